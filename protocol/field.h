/* field.h: taking apart what lines and datagrams have in common: VERB, and a '|' before each field. */
#ifndef KVNODE_PROTOCOL_FIELD_H
#define KVNODE_PROTOCOL_FIELD_H

#include "protocol/slice.h"

/* The bytes before the first '|', or all; *rest is what follows, and when not empty begins with the '|'. */
static inline struct slice field_up_to_bar(struct slice text, struct slice *rest) {
    *rest = (struct slice){0};
    const char *bar = text.len > 0 ? memchr(text.ptr, '|', text.len) : NULL;
    if (bar == NULL) {
        return text;
    }
    *rest = slice_skip(text, (size_t)(bar - text.ptr));
    return slice_first(text, text.len - rest->len);
}

/* Takes the '|' and the field behind it from *rest; false when there is no field left. */
static inline bool field_next(struct slice *rest, struct slice *field) {
    if (rest->len == 0) {
        return false;
    }
    *field = field_up_to_bar(slice_skip(*rest, 1), rest);
    return true;
}

#endif
