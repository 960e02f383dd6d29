/* problem.h: errors as application/problem+json (RFC 9457):
 *
 *   {"type":"about:blank","title":"Not Found","status":404,"detail":"no such key","code":"NOTFOUND"}
 *
 * title is the name of the status, as about:blank wants it; code is the prefix of the same error in RESP
 * (errors.def).
 */
#ifndef KVNODE_SERVER_REST_PROBLEM_H
#define KVNODE_SERVER_REST_PROBLEM_H

#include "cluster/routing.h"
#include "server/rest/exchange.h"

/* detail NULL: the text of the error. A 503 says Retry-After. */
void rest_problem(struct exchange *exchange, enum err err, const char *detail);
/* The same with more header lines, each with CR LF. */
void rest_problem_with(struct exchange *exchange, enum err err, const char *detail, struct slice fields);
/* 307 to the same target at that node; detail says why. */
void rest_redirect(struct exchange *exchange, const struct member *to, const char *detail);
/* A request for a key that this node does not answer: what admit said. */
void rest_problem_of_route(struct exchange *exchange, enum err err, const struct routing_answer *answer);

#endif
