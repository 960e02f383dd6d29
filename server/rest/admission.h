/* admission.h: what every request about data passes: what its query says of the answer, and whether this node
 * may give it (dispatch/admit.h).
 *
 *   acks=leader|quorum   what the answer waits for: the stricter of this and of the group's
 *   stale=ok             a read takes the copy of whoever has one, where else the leader alone would answer
 */
#ifndef KVNODE_SERVER_REST_ADMISSION_H
#define KVNODE_SERVER_REST_ADMISSION_H

#include "protocol/http_query.h"
#include "server/dispatch/admit.h"
#include "server/rest/exchange.h"

enum { REST_PARAMS_MOST = 6 };

/* These parameters of the request's query, which live as long as the exchange, and those above. False: the
 * problem is written. */
bool rest_read_query(struct exchange *exchange, struct http_param *params, size_t n);
/* After it. False: somebody else answers, or nobody does; that is written. */
bool rest_admits(struct exchange *exchange, struct demand demand);

#endif
