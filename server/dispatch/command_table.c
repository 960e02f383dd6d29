#include "server/dispatch/command_table.h"

#include <stdlib.h>

enum { LONGEST_NAME = 64 };

struct slot {
    uint64_t fold;
    const struct command *command; /* NULL: free */
    size_t length;                 /* of its name */
};

struct command_table {
    const struct command_rows *rows;
    size_t mask;
    struct slot slots[];
};

static inline bool is_short(struct slice name) { return name.len < sizeof(uint64_t); }

/* A name of less than eight bytes, in lower case: which says all of it but its length. Of a longer one the
 * first and the last eight bytes (they may overlap) with what folds the case of letters, and some other bytes
 * too. */
static inline uint64_t fold_name(struct slice name) {
    const uint64_t lower = 0x2020202020202020u;
    uint64_t head, tail;
    if (is_short(name)) {
        return slice_lower_word(slice_short_word(name.ptr, name.len));
    }
    memcpy(&head, name.ptr, sizeof(head));
    memcpy(&tail, name.ptr + name.len - sizeof(tail), sizeof(tail));
    return ((head | lower) * 0x9e3779b97f4a7c15u) ^ (tail | lower) ^ name.len;
}

static inline size_t slot_of_fold(const struct command_table *table, uint64_t fold) {
    return (size_t)((fold * 0xff51afd7ed558ccdu) >> 40) & table->mask;
}

struct command_table *command_table_create(const struct command_rows *rows) {
    size_t capacity = 64;
    while (capacity < rows->count * 4) {
        capacity *= 2;
    }
    struct command_table *table = calloc(1, sizeof(*table) + capacity * sizeof(table->slots[0]));
    if (table == NULL) {
        return NULL;
    }
    table->rows = rows;
    table->mask = capacity - 1;
    for (size_t i = 0; i < rows->count; i++) {
        uint64_t fold = fold_name(slice_from_text(rows->items[i].name));
        size_t at = slot_of_fold(table, fold);
        while (table->slots[at].command != NULL) {
            at = (at + 1) & table->mask;
        }
        table->slots[at] = (struct slot){fold, &rows->items[i], strlen(rows->items[i].name)};
    }
    return table;
}

void command_table_destroy(struct command_table **table) {
    free(*table);
    *table = NULL;
}

const struct command *command_table_find(const struct command_table *table, struct slice name) {
    uint64_t fold = fold_name(name);
    for (size_t at = slot_of_fold(table, fold); table->slots[at].command != NULL; at = (at + 1) & table->mask) {
        const struct slot *slot = &table->slots[at];
        if (slot->fold == fold && slot->length == name.len &&
            (is_short(name) || slice_equals_nocase(slice_of(slot->command->name, slot->length), name))) {
            return slot->command;
        }
    }
    return NULL;
}

static const struct command *find_subcommand(const struct command_table *table, struct slice container,
                                             struct slice name) {
    char full[LONGEST_NAME];
    if (container.len + 1 + name.len > sizeof(full)) {
        return NULL;
    }
    memcpy(full, container.ptr, container.len);
    full[container.len] = '|';
    if (name.len > 0) {
        memcpy(full + container.len + 1, name.ptr, name.len);
    }
    return command_table_find(table, slice_of(full, container.len + 1 + name.len));
}

const struct command *command_table_resolve_within(const struct command_table *table,
                                                   const struct command *found, const struct slice *args,
                                                   size_t arg_count, const struct command **container) {
    if ((found->flags & COMMAND_SUBCOMMAND) != 0) {
        return NULL;
    }
    *container = found;
    return arg_count < 2 ? found : find_subcommand(table, args[0], args[1]);
}

bool command_is_subcommand_of(const struct command *command, const struct command *container) {
    size_t n = strlen(container->name);
    return strncmp(command->name, container->name, n) == 0 && command->name[n] == '|';
}

bool command_has_category(const struct command *command, struct slice category) {
    for (const char *word = command->categories; *word != '\0';) {
        size_t n = strcspn(word, " ");
        if (slice_equals_nocase(slice_of(word, n), category)) {
            return true;
        }
        word += n + (word[n] == ' ');
    }
    return false;
}
