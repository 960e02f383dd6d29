/* authorization.h: may this request be answered? Without the requirepass parameter any one may; with it the
 * request says `Authorization: Basic` with base64 of "default:" and the password (RFC 7617), or `Authorization:
 * Bearer` with the password (RFC 6750). */
#ifndef KVNODE_SERVER_REST_AUTHORIZATION_H
#define KVNODE_SERVER_REST_AUTHORIZATION_H

#include "server/rest/exchange.h"

bool rest_is_authorized(const struct exchange *exchange);

#endif
