#include "protocol/voters.h"

#include "protocol/datagram.h"

#include <assert.h>

bool voters_parse(struct slice text, struct voters *out) {
    struct voters voters = {0};
    bool more = true;
    while (more) {
        struct slice id = text;
        const char *comma = text.len == 0 ? NULL : memchr(text.ptr, ',', text.len);
        more = comma != NULL;
        if (more) {
            id = slice_take_until(&text, ',');
        }
        char node_id[LIMIT_NODE_ID_BYTES + 1] = "";
        if (!datagram_valid_node_id(id)) {
            return false;
        }
        memcpy(node_id, id.ptr, id.len);
        if (!voters_add(&voters, node_id)) {
            return false;
        }
    }
    *out = voters;
    return true;
}

size_t voters_write(char *to, const struct voters *voters) {
    size_t n = 0;
    assert(voters->count > 0);
    for (size_t i = 0; i < voters->count; i++) {
        size_t id_bytes = strlen(voters->ids[i]);
        if (i > 0) {
            to[n++] = ',';
        }
        memcpy(to + n, voters->ids[i], id_bytes);
        n += id_bytes;
    }
    return n;
}

int voters_find(const struct voters *voters, const char *node_id) {
    for (size_t i = 0; i < voters->count; i++) {
        if (strcmp(voters->ids[i], node_id) == 0) {
            return (int)i;
        }
    }
    return -1;
}

bool voters_add(struct voters *voters, const char *node_id) {
    if (voters->count == VOTERS_MOST || voters_find(voters, node_id) >= 0) {
        return false;
    }
    size_t bytes = strlen(node_id) + 1;
    if (bytes > sizeof(voters->ids[0])) {
        return false;
    }
    memcpy(voters->ids[voters->count++], node_id, bytes);
    return true;
}

bool voters_remove(struct voters *voters, const char *node_id) {
    int at = voters_find(voters, node_id);
    if (at < 0) {
        return false;
    }
    voters->count--;
    memmove(voters->ids[at], voters->ids[at + 1], (voters->count - (size_t)at) * sizeof(voters->ids[0]));
    return true;
}
