/* acl_log.h: logins that were refused, the newest ones: ACL LOG shows them. One that is repeated within a
 * minute is one entry with a count, as in Redis, so that a client that keeps trying does not push out the
 * others.
 */
#ifndef KVNODE_SERVER_COMMANDS_NODE_ACL_LOG_H
#define KVNODE_SERVER_COMMANDS_NODE_ACL_LOG_H

#include "server/dispatch/command.h"

struct acl_entry;

/* Embedded; zero-initialised. */
struct acl_log {
    struct acl_entry *newest;
    size_t count;
};

void acl_log_deinit(struct acl_log *log);
/* The request (AUTH, HELLO) gave a user and a password that do not go together. Without memory it is not
 * logged. At most max_entries are kept. */
void acl_log_add(struct acl_log *log, const struct request *request, struct slice user, size_t max_entries);

#endif
