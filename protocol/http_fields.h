/* http_fields.h: what the values of header fields say: entity tags, accepted types, media types (RFC 9110).
 * Pure. */
#ifndef KVNODE_PROTOCOL_HTTP_FIELDS_H
#define KVNODE_PROTOCOL_HTTP_FIELDS_H

#include "protocol/http_request.h"

/* Without the blanks (OWS: SP, HTAB) at both ends. */
struct slice http_trim(struct slice s);

enum http_etag { HTTP_ETAG_NONE /* no tag of the list is it */, HTTP_ETAG_MATCH, HTTP_ETAG_MALFORMED };

/* Whether a list of If-Match or If-None-Match names what is there. exists: there is something, and its tag is
 * "version" in decimal. "*" names anything that exists. weak: W/"..." may match as well (RFC 9110, 8.8.3.2): so
 * for If-None-Match, not for If-Match. */
enum http_etag http_etag_match(const struct http_list *list, bool exists, uint64_t version, bool weak);

/* Accept: the client would rather have application/octet-stream than application/json. An element that is
 * malformed is ignored; where both are equally welcome the one that is named more exactly wins, and JSON if
 * neither is. */
bool http_accept_prefers_octets(const struct http_list *accept);

/* Content-Type says this media type (lower case), with whatever parameters. */
bool http_media_type_is(struct slice content_type, struct slice media_type);

/* Content-Encoding names no coding, or none but identity: the body is what it says. */
bool http_is_identity(const struct http_list *content_encoding);

#endif
