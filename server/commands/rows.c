#include "server/commands/rows.h"

/* What varies is the tips, and behind them the history and the help of a row that has them: neighbours in the
 * struct. */
static const struct command rows[] = {
#define COMMAND(row_name, function, row_arity, row_flags, first, last, step, row_group, row_since, row_syntax, \
                row_complexity, row_summary, row_categories, row_key_flags, ...)                               \
    {.name = row_name,                                                                                         \
     .run = function,                                                                                          \
     .arity = row_arity,                                                                                       \
     .flags = row_flags,                                                                                       \
     .first_key = first,                                                                                       \
     .last_key = last,                                                                                         \
     .key_step = step,                                                                                         \
     .group = row_group,                                                                                       \
     .since = row_since,                                                                                       \
     .syntax = row_syntax,                                                                                     \
     .complexity = row_complexity,                                                                             \
     .summary = row_summary,                                                                                   \
     .categories = row_categories,                                                                             \
     .key_flags = row_key_flags,                                                                               \
     .tips = __VA_ARGS__},
#define COMMAND_CONTAINER_ROW(name, flags, group, since, summary, categories, help)                            \
    COMMAND(name, NULL, -2, flags, 0, 0, 0, group, since, "", "Depends on subcommand.", summary, categories,   \
            "", "", NULL, help)
#include "server/commands/rows.def"
#undef COMMAND
#undef COMMAND_CONTAINER_ROW
};

const struct command_rows all_commands = {rows, sizeof(rows) / sizeof(rows[0])};
