/* command_table.h: finds the row of a command by its name in any case: open addressing over the folded name. */
#ifndef KVNODE_SERVER_DISPATCH_COMMAND_TABLE_H
#define KVNODE_SERVER_DISPATCH_COMMAND_TABLE_H

#include "server/dispatch/command.h"

struct command_table;

/* The rows outlive it. NULL: out of memory. */
struct command_table *command_table_create(const struct command_rows *rows);
void command_table_destroy(struct command_table **table);

/* The row of a full name ("get", "config|get") or NULL. */
const struct command *command_table_find(const struct command_table *table, struct slice name);

/* Of a container that was found, or a subcommand: see below. */
const struct command *command_table_resolve_within(const struct command_table *table,
                                                   const struct command *found, const struct slice *args,
                                                   size_t arg_count, const struct command **container);

/* The row that a request is for: that of the subcommand where the name is a container's and has an argument.
 * *container is the container's row if the name is one's (also when the subcommand is unknown), else NULL.
 * Inline: most commands are no containers. */
static inline const struct command *command_table_resolve(const struct command_table *table,
                                                          const struct slice *args, size_t arg_count,
                                                          const struct command **container) {
    const struct command *found = command_table_find(table, args[0]);
    *container = NULL;
    return found == NULL || (found->flags & (COMMAND_CONTAINER | COMMAND_SUBCOMMAND)) == 0
               ? found
               : command_table_resolve_within(table, found, args, arg_count, container);
}

bool command_has_category(const struct command *command,
                          struct slice category); /* without the @; in any case */
bool command_is_subcommand_of(const struct command *command, const struct command *container);

#endif
