/* origin.h: may this request come from where it comes from? A browser runs the pages of strangers on the
 * machines of people who can reach the node; it says who asks, and this says what such a page may do.
 *
 *   - Host: without a password, only an address, localhost and the names of api-hosts are this node. A page
 * that lets its own name point here (DNS rebinding) is of one origin with the node as far as the browser knows,
 *     but says its own name. With a password such a page would have to know it.
 *   - Origin and Sec-Fetch-Site: a page of another origin may write only if it is one of api-origins. What it
 *     reads, its browser keeps from it (no Access-Control-Allow-Origin) unless it is one of them.
 *
 * Who is not a browser says neither Origin nor Sec-Fetch-Site, and is not looked at.
 */
#ifndef KVNODE_SERVER_REST_ORIGIN_H
#define KVNODE_SERVER_REST_ORIGIN_H

#include "server/rest/exchange.h"

/* False: the problem is written. Notes in the reply whether the page may read it. */
bool rest_is_from_friend(struct exchange *exchange);

/* The answer to a preflight of a page that may ask; allow: the Allow line of what is asked for. */
void rest_answer_preflight(struct exchange *exchange, struct slice allow);

#endif
