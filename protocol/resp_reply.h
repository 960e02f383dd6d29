/* resp_reply.h: writes replies in the Redis serialization protocol, version 2 or 3. Pure.
 *
 * A writer is a place (a buf, not owned) and a version. Where the versions differ, the writer knows; a command
 * does not. The hot ones (status, integer, bulk) use no printf and reserve once.
 */
#ifndef KVNODE_PROTOCOL_RESP_REPLY_H
#define KVNODE_PROTOCOL_RESP_REPLY_H

#include "protocol/buf.h"
#include "protocol/err.h"

#include <stdint.h>

struct resp_reply {
    struct buf *out;
    int version;       /* 2 or 3 */
    const char *error; /* what the last error written begins with: its code; NULL: there was none */
};

/* A complete reply that is constant: RESP_LITERAL(reply, "+OK\r\n"). */
#define RESP_LITERAL(reply, literal) buf_append((reply)->out, (literal), sizeof(literal) - 1)

void resp_status(struct resp_reply *reply, const char *text); /* without CR and LF */
void resp_integer(struct resp_reply *reply, int64_t number);
void resp_bulk(struct resp_reply *reply, struct slice bytes);
void resp_bulk_text(struct resp_reply *reply, const char *text);
/* A field of a map; nothing where there is no text. */
void resp_field(struct resp_reply *reply, const char *name, struct slice text);
void resp_bulk_number(struct resp_reply *reply, uint64_t number); /* the decimal as a bulk */
void resp_bulk_header(struct resp_reply *reply, size_t length);   /* the bytes and a CR LF follow */
void resp_double(struct resp_reply *reply, double number);        /* in RESP2 a bulk */
void resp_null(struct resp_reply *reply);
void resp_null_array(struct resp_reply *reply); /* where an array would stand */
void resp_text(struct resp_reply *reply,
               struct slice text); /* for people: a verbatim string where there is one */

/* So many elements follow; of a map: pairs. */
void resp_array(struct resp_reply *reply, size_t count);
void resp_set(struct resp_reply *reply, size_t count);
void resp_map(struct resp_reply *reply, size_t count);
void resp_push(struct resp_reply *reply, size_t count); /* not a reply, but a message */

/* An error's general form, and one with a text of its own ("ERR wrong ..."), in which CR and LF become blanks.
 */
void resp_error(struct resp_reply *reply, enum err err);
void resp_errorf(struct resp_reply *reply, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
