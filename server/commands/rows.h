/* rows.h: every command, once: a row in the rows.def of its family's folder, and a function beside it. This
 * header declares the functions; rows.c has the table, which whoever starts a node hands to the dispatcher.
 *
 * COMMAND(name, function, arity, flags, first key, last key, key step, group, since, syntax, complexity,
 * summary, categories, key flags, tips[, history[, help]]) COMMAND_CONTAINER_ROW(name, flags, group, since,
 * summary, categories, help): a name that has subcommands and does nothing itself
 *
 * The texts are Redis's own, as COMMAND INFO and COMMAND DOCS give them. A subcommand stands behind its
 * container. The syntax is written as syntax.h says, without the name. Of keys that are used in several ways ",
 * " is between the flags of each; ": " and a note may be behind the last, and behind that " | 3 get | OW
 * update": which words at argument 3 or behind it decide, and the flags of a command without any of them. The
 * history has a line for each change, "7.0.0 What is new."; in the last one "!5.0.0 `OTHER`" is since when the
 * command is deprecated, and what is in its place. The help is what the container's HELP says, a line each.
 */
#ifndef KVNODE_SERVER_COMMANDS_ROWS_H
#define KVNODE_SERVER_COMMANDS_ROWS_H

#include "server/dispatch/command_table.h"

#define COMMAND(name, function, arity, flags, first, last, step, group, since, syntax, complexity, summary,    \
                categories, key_flags, ...)                                                                    \
    command_function function;
#define COMMAND_CONTAINER_ROW(name, flags, group, since, summary, categories, help)
#include "server/commands/rows.def"
#undef COMMAND
#undef COMMAND_CONTAINER_ROW

extern const struct command_rows all_commands;

#endif
