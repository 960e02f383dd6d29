#include "protocol/http_query.h"

#include "protocol/percent.h"

static bool is_encoded(struct slice text) {
    return text.len > 0 && (memchr(text.ptr, '%', text.len) != NULL || memchr(text.ptr, '+', text.len) != NULL);
}

/* Decodes into scratch, which has room. */
static bool decode(struct slice *text, struct buf *scratch) {
    if (!is_encoded(*text)) {
        return true;
    }
    char *to = scratch->data + scratch->end;
    size_t n;
    if (!percent_decode(*text, PERCENT_PLUS_IS_BLANK, to, &n)) {
        return false;
    }
    buf_commit(scratch, n);
    *text = slice_of(to, n);
    return true;
}

/* What the item is the value of; NULL: of none of them. */
static struct http_param *find_param(struct http_param *params, size_t n, struct slice name) {
    for (size_t i = 0; i < n; i++) {
        if (slice_equals(name, params[i].name)) {
            return &params[i];
        }
    }
    return NULL;
}

bool http_query_read(struct slice query, struct http_param *params, size_t n, struct buf *scratch,
                     size_t *others, const char **reason) {
    *others = 0;
    for (size_t i = 0; i < n; i++) {
        params[i].given = false;
        params[i].value = SLICE("");
    }
    buf_reset(scratch);
    /* What is decoded is never longer than the query; so scratch does not move while slices point into it. */
    if (is_encoded(query) && buf_reserve(scratch, query.len) == NULL) {
        *reason = "out of memory: the query cannot be decoded";
        return false;
    }
    while (query.len > 0) {
        struct slice value = slice_take_until(&query, '&');
        struct slice name = slice_take_until(&value, '=');
        if (!decode(&name, scratch)) {
            *reason = "a '%' in the query has no two hexadecimal digits behind it";
            return false;
        }
        struct http_param *param = find_param(params, n, name);
        if (param == NULL) {
            ++*others;
            continue;
        }
        if (param->given) {
            *reason = "a parameter is given twice";
            return false;
        }
        param->given = true;
        param->value = value;
        if (!decode(&param->value, scratch)) {
            *reason = "a '%' in the query has no two hexadecimal digits behind it";
            return false;
        }
    }
    return true;
}
