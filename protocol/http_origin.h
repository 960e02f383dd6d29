/* http_origin.h: which server a browser means, and which page asks: Host (RFC 9110, 7.2) and Origin (RFC 6454,
 * 7) taken apart. Pure. */
#ifndef KVNODE_PROTOCOL_HTTP_ORIGIN_H
#define KVNODE_PROTOCOL_HTTP_ORIGIN_H

#include "protocol/slice.h"

/* uri-host [ ":" port ] (RFC 3986, 3.2.2). */
struct http_authority {
    struct slice host; /* a name, an IPv4 address, or what stands between the brackets of an IP literal */
    bool is_literal;   /* it stood in brackets */
    struct slice port; /* digits; empty: not given */
};

/* False: it is none; user information before the host is none, too. The host may be empty. What is between
 * brackets is checked for its characters only. */
bool http_authority_parse(struct slice text, struct http_authority *out);

struct http_origin {
    struct slice scheme;
    struct http_authority authority;
};

/* scheme "://" authority, with a host, and nothing behind it. False: it is none, as "null" is none. */
bool http_origin_parse(struct slice text, struct http_origin *out);

/* Scheme, host and port are the same; a port that is not given is that of its scheme. */
bool http_origin_equal(const struct http_origin *a, const struct http_origin *b);

/* A page of this origin came from the server that a request with this Host means. Whether it was http or https
 * is not known to who stands behind a TLS proxy. */
bool http_origin_is_of(const struct http_origin *origin, const struct http_authority *host);

/* Names are the same in any case, and with or without the dot at the end that makes them absolute. */
bool http_host_name_equal(struct slice a, struct slice b);

#endif
