/* values.h: what the string commands have in common: reading a value that may be missing, and rewriting one. */
#ifndef KVNODE_SERVER_COMMANDS_STRING_VALUES_H
#define KVNODE_SERVER_COMMANDS_STRING_VALUES_H

#include "server/dispatch/command.h"
#include "server/store/keyspace.h"

/* A missing key is an empty string. */
static inline struct slice value_or_empty(const struct entry *entry) {
    return entry == NULL ? SLICE("") : entry_value(entry);
}

/* What OBJECT ENCODING calls it: "int", "embstr", "raw". */
const char *value_encoding(struct slice value);

/* No command makes a value longer than that: proto-max-bulk-len, as far as the store goes. */
size_t value_limit(const struct request *request);

/* False: replied with the error. */
bool value_written(struct request *request, enum err err);

/* Where the request's key is, for one of the two below, which then do not look for it again. */
static inline struct table_place value_place(struct request *request, unsigned flags) {
    return keyspace_find_place(request->context->keyspace, &request->key, flags);
}

/* Stores a value under the request's key, whose deadline stays. False: replied with an error. */
bool value_store(struct request *request, const struct table_place *place, struct slice value);

/* Puts bytes (not empty, not the key's own) into the value of the request's key at offset, with zeros before
 * them where it was shorter; its deadline stays. A write. False: replied with an error. */
bool value_patch(struct request *request, const struct table_place *place, size_t offset, struct slice bytes);

/* A 64-bit version as a number; over the 63 bits that RESP2 has for one: as a bulk string. */
void reply_version(struct request *request, uint64_t version);

#endif
