/* http_query.h: the parameters of a query, as HTML forms write them: name=value&name=value, %XX, '+' for a
 * blank. Pure. */
#ifndef KVNODE_PROTOCOL_HTTP_QUERY_H
#define KVNODE_PROTOCOL_HTTP_QUERY_H

#include "protocol/buf.h"

struct http_param {
    struct slice name;  /* asked for */
    bool given;         /* answer */
    struct slice value; /* answer: decoded; in the query, or in scratch when something had to be decoded */
};

/* Looks for n parameters; others are counted. "name" alone is the same as "name=". False: one of them is given
 * twice, a '%' has no two digits behind it, or scratch could not grow (buf_failed); *reason is a static text.
 * scratch is emptied first; the values live as long as it and the query are left alone. */
bool http_query_read(struct slice query, struct http_param *params, size_t n, struct buf *scratch,
                     size_t *others, const char **reason);

#endif
