/* write_options.h: the words behind SET, SETIFMATCH and GETEX: when the key is to expire, and whether to write.
 */
#ifndef KVNODE_SERVER_COMMANDS_STRING_WRITE_OPTIONS_H
#define KVNODE_SERVER_COMMANDS_STRING_WRITE_OPTIONS_H

#include "server/commands/key/expiry.h"

enum write_option {
    WRITE_NX = 1 << 0,
    WRITE_XX = 1 << 1,
    WRITE_IFEQ = 1 << 2,
    WRITE_GET = 1 << 3,
    WRITE_KEEPTTL = 1 << 4,
    WRITE_PERSIST = 1 << 5,
    WRITE_EX = 1 << 6,
    WRITE_PX = 1 << 7,
    WRITE_EXAT = 1 << 8,
    WRITE_PXAT = 1 << 9,
};
#define WRITE_TIMES (WRITE_EX | WRITE_PX | WRITE_EXAT | WRITE_PXAT)

struct write_options {
    unsigned given;
    size_t time_at; /* the argument that is the time; 0: none */
    struct expiry_form form;
    size_t ifeq_at; /* the argument that the value has to equal; 0: none */
};

/* Reads the arguments from first on, of which those in allowed may be given. False: replied with a syntax
 * error. *options is zero before. */
bool write_options_parse(struct request *request, size_t first, unsigned allowed,
                         struct write_options *options);

/* What they say of the deadline, for keyspace_set; nothing said clears it. False: replied with an error. */
bool write_options_deadline(struct request *request, const struct write_options *options,
                            struct keyspace_set *set);

#endif
