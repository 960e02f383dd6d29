/* resp_request.h: reads what a Redis client sends: multibulk and inline commands (Redis serialization protocol,
 * "Sending commands to a Redis server" and "Inline commands"). Pure.
 *
 *   START --'*'--> COUNT --n > 0--> HEADER --$len--> BULK --len bytes CR LF--> HEADER ... --n-th bulk--> OK
 *     |              '--n <= 0--> OK, no arguments
 *     '--else--> INLINE --LF--> OK
 *
 * Three answers: OK, MORE (state kept: what was looked at is not looked at again, however the input is split),
 * BAD. The arguments are slices of the input and go into an arena that many commands share, so that a batch of
 * them is parsed without an allocation. While a command is incomplete nothing of it is kept but how far it was
 * understood: when its last byte is there, its headers are read a second time. So a client that claims a
 * million arguments, or sends all but the last of them, costs no memory besides the input itself.
 */
#ifndef KVNODE_PROTOCOL_RESP_REQUEST_H
#define KVNODE_PROTOCOL_RESP_REQUEST_H

#include "protocol/buf.h"
#include "protocol/limits.h"

#include <stdint.h>

/* One command in all, headers included. Redis: client-query-buffer-limit. */
#define RESP_REQUEST_MAX_BYTES ((size_t)1 << 30)

/* What a command may be at most, beyond the bounds of the format. Made by the two functions below. */
struct resp_limits {
    size_t arguments, bulk_bytes;
    size_t
        small_arguments; /* of a command that is read the short way, which looks at no bulk limit; 0: none is */
    bool strangers;      /* the words are for somebody who has not authenticated */
};

/* Lengths that the short way reads have so many digits at most. */
enum { RESP_SMALL_DIGITS = 7, RESP_SMALL_BYTES_END = 10000000 };

static inline struct resp_limits resp_limits(size_t max_bulk_bytes) {
    size_t bulk_bytes = max_bulk_bytes < LIMIT_VALUE_BYTES ? max_bulk_bytes : LIMIT_VALUE_BYTES;
    return (struct resp_limits){
        .arguments = LIMIT_ARGUMENTS,
        .bulk_bytes = bulk_bytes,
        .small_arguments = bulk_bytes < RESP_SMALL_BYTES_END ? 0 : LIMIT_ARGUMENTS,
    };
}

/* Enough for AUTH and HELLO: who owes the password still gets no more memory than that. */
static inline struct resp_limits resp_limits_of_strangers(void) {
    return (struct resp_limits){.arguments = 10, .bulk_bytes = 16384, .strangers = true};
}

/* The arguments of the commands of a batch, one command's behind the other's. Zero-initialised. */
struct resp_arguments {
    struct slice *items;
    size_t count, capacity;
    struct buf unescaped; /* of the one inline command that a batch may have (see resp_request_parse) */
};
void resp_arguments_deinit(struct resp_arguments *arguments);
/* Forgets all arguments; gives memory back that only a huge command needed. */
void resp_arguments_reset(struct resp_arguments *arguments);

enum resp_request_fault {
    RESP_REQUEST_NO_FAULT,
#define RESP_REQUEST_FAULT(name, text) RESP_REQUEST_##name,
#include "protocol/resp_request_faults.def"
#undef RESP_REQUEST_FAULT
};

enum resp_request_state {
    RESP_REQUEST_START,
    RESP_REQUEST_COUNT,
    RESP_REQUEST_HEADER,
    RESP_REQUEST_BULK,
    RESP_REQUEST_INLINE
};

/* What is kept of an incomplete command. All zero between commands. Offsets count from the command's first
 * byte. */
struct resp_request {
    size_t offset;     /* where the header, bulk or line that comes next starts */
    size_t scanned;    /* there is no line end before this */
    size_t bulk_bytes; /* BULK: its length */
    uint32_t bulks_left;
    enum resp_request_state state : 8;
    enum resp_request_fault fault : 8; /* after BAD */
    char unexpected;                   /* the byte in place of a '$' */
};

/* One whole command. */
struct resp_command {
    size_t bytes; /* of the input that it took */
    size_t first; /* its arguments in the arena */
    size_t count; /* 0: a blank line or an empty multibulk, to be skipped */
    bool is_inline;
};

enum resp_request_result { RESP_REQUEST_OK, RESP_REQUEST_MORE, RESP_REQUEST_BAD };

/* in begins with the command's first byte, also when the call continues after MORE (the bytes given then come
 * again). After OK and MORE request is ready for the next call; after BAD the connection is to be closed.
 * Inline commands with quotes need scratch memory: after an inline command the arena must be reset before the
 * next one is parsed. */
enum resp_request_result resp_request_parse(struct resp_request *request, const struct resp_limits *limits,
                                            struct slice in, struct resp_arguments *arguments,
                                            struct resp_command *out);

/* After MORE: how many bytes of input the command has in all, if every second bulk to come is as long as the
 * one that is not complete; 0: there is none. What a client claims may be absurd. */
size_t resp_request_expected_bytes(const struct resp_request *request);

/* A bulk that does not lie in the input, as its header does: at so many bytes of the command it is passed over.
 * A large value can be read to where it is to stay. */
struct resp_detour {
    size_t at;
    struct slice bytes; /* the bulk with its CR LF */
};

/* After MORE: the bulk that is not complete has as many bytes (0: it is no bulk that is missing), behind so
 * many of the input. Appends the arguments before it, which are in the input; false: there are none, because
 * the command has more than limits says, or out of memory. */
struct resp_pending_bulk {
    size_t bytes, at;
};
struct resp_pending_bulk resp_request_pending_bulk(const struct resp_request *request);
bool resp_request_arguments_so_far(const struct resp_limits *limits, struct slice in,
                                   struct resp_arguments *arguments);

/* resp_request_parse for a command with a detour: as MORE left it, or from its first byte. The detour is
 * complete; its bytes are not among in, nor among those of out. */
enum resp_request_result resp_request_parse_around(struct resp_request *request,
                                                   const struct resp_limits *limits, struct slice in,
                                                   const struct resp_detour *detour,
                                                   struct resp_arguments *arguments, struct resp_command *out);

/* After BAD: appends "Protocol error: ..." as Redis words it. */
void resp_request_append_reason(const struct resp_request *request, struct buf *out);

#endif
