#include "protocol/rdb_file.h"

#include "protocol/crc64.h"
#include "protocol/limits.h"
#include "protocol/line.h"
#include "protocol/rdb_string.h"

#include <stdio.h>

enum { HEAD_BYTES = 9, CRC_BYTES = 8, CRC_FROM_VERSION = 5 };

enum opcode {
    OPCODE_SLOT_INFO = 0xf4,
    OPCODE_FUNCTION = 0xf5,
    OPCODE_MODULE_AUX = 0xf7,
    OPCODE_IDLE = 0xf8,
    OPCODE_FREQUENCY = 0xf9,
    OPCODE_AUX = 0xfa,
    OPCODE_RESIZE = 0xfb,
    OPCODE_DEADLINE_MS = 0xfc,
    OPCODE_DEADLINE_S = 0xfd,
    OPCODE_DATABASE = 0xfe,
    OPCODE_END = 0xff,
};

/* --- Pieces: each takes what it walks over off the front of *in --- */

static bool skip(struct slice *in, size_t n) {
    if (in->len < n) {
        return false;
    }
    *in = slice_skip(*in, n);
    return true;
}

static bool take_little(struct slice *in, size_t bytes, uint64_t *out) {
    if (in->len < bytes) {
        return false;
    }
    *out = 0;
    for (size_t i = bytes; i > 0; i--) {
        *out = *out << 8 | (unsigned char)in->ptr[i - 1];
    }
    *in = slice_skip(*in, bytes);
    return true;
}

static bool skip_lengths(struct slice *in, size_t n) {
    uint64_t length;
    for (size_t i = 0; i < n; i++) {
        if (!rdb_length_take(in, &length)) {
            return false;
        }
    }
    return true;
}

/* So many times one thing, as a length in front says. */
static bool skip_each(struct slice *in, bool (*skip_one)(struct slice *in)) {
    uint64_t n;
    if (!rdb_length_take(in, &n)) {
        return false;
    }
    while (n-- > 0) {
        if (!skip_one(in)) {
            return false;
        }
    }
    return true;
}

static bool skip_pair(struct slice *in) { return rdb_string_skip(in) && rdb_string_skip(in); }

/* --- Values of other types --- */

static bool skip_strings(struct slice *in) { return skip_each(in, rdb_string_skip); }
static bool skip_pairs(struct slice *in) { return skip_each(in, skip_pair); }

/* A score as text: its length, or 253 to 255 for what is no number. */
static bool skip_scored_text(struct slice *in) {
    uint64_t n;
    return rdb_string_skip(in) && take_little(in, 1, &n) && (n >= 253 || skip(in, n));
}
static bool skip_zset_text(struct slice *in) { return skip_each(in, skip_scored_text); }

static bool skip_scored(struct slice *in) { return rdb_string_skip(in) && skip(in, 8); }
static bool skip_zset(struct slice *in) { return skip_each(in, skip_scored); }

static bool skip_list_node(struct slice *in) { return skip_lengths(in, 1) && rdb_string_skip(in); }
static bool skip_quicklist(struct slice *in) { return skip_each(in, skip_list_node); }

static bool skip_field_with_ttl(struct slice *in) { return skip_lengths(in, 1) && skip_pair(in); }
static bool skip_hash_with_ttl(struct slice *in) { return skip(in, 8) && skip_each(in, skip_field_with_ttl); }
static bool skip_packed_hash_with_ttl(struct slice *in) { return skip(in, 8) && rdb_string_skip(in); }

/* Its id, then pieces, each behind what it is. */
static bool skip_module_pieces(struct slice *in) {
    uint64_t what;
    while (rdb_length_take(in, &what)) {
        bool ok = what == 1 || what == 2 ? skip_lengths(in, 1)
                  : what == 3            ? skip(in, 4)
                  : what == 4            ? skip(in, 8)
                  : what == 5            ? rdb_string_skip(in)
                                         : false;
        if (!ok) {
            return what == 0;
        }
    }
    return false;
}
static bool skip_module(struct slice *in) { return skip_lengths(in, 1) && skip_module_pieces(in); }

static bool skip_pending(struct slice *in) { return skip(in, 16 + 8) && skip_lengths(in, 1); }
static bool skip_pending_id(struct slice *in) { return skip(in, 16); }
static bool skip_consumer_1(struct slice *in) {
    return rdb_string_skip(in) && skip(in, 8) && skip_each(in, skip_pending_id);
}
static bool skip_consumer_3(struct slice *in) {
    return rdb_string_skip(in) && skip(in, 16) && skip_each(in, skip_pending_id);
}
static bool skip_group_1(struct slice *in) {
    return rdb_string_skip(in) && skip_lengths(in, 2) && skip_each(in, skip_pending) &&
           skip_each(in, skip_consumer_1);
}
static bool skip_group_2(struct slice *in) {
    return rdb_string_skip(in) && skip_lengths(in, 3) && skip_each(in, skip_pending) &&
           skip_each(in, skip_consumer_1);
}
static bool skip_group_3(struct slice *in) {
    return rdb_string_skip(in) && skip_lengths(in, 3) && skip_each(in, skip_pending) &&
           skip_each(in, skip_consumer_3);
}
/* Nodes; length and last id, and then from the second form on first id, greatest deleted id, entries added. */
static bool skip_stream_1(struct slice *in) {
    return skip_each(in, skip_pair) && skip_lengths(in, 3) && skip_each(in, skip_group_1);
}
static bool skip_stream_2(struct slice *in) {
    return skip_each(in, skip_pair) && skip_lengths(in, 8) && skip_each(in, skip_group_2);
}
static bool skip_stream_3(struct slice *in) {
    return skip_each(in, skip_pair) && skip_lengths(in, 8) && skip_each(in, skip_group_3);
}

/* By the byte in front of the key; the first is the string. */
static const struct type {
    const char *name;
    bool (*skip)(struct slice *in);
} types[] = {
    {"string", rdb_string_skip},
    {"list", skip_strings},
    {"set", skip_strings},
    {"sorted set", skip_zset_text},
    {"hash", skip_pairs},
    {"sorted set", skip_zset},
    [7] = {"value of a module", skip_module},
    [9] = {"hash", rdb_string_skip},
    [10] = {"list", rdb_string_skip},
    [11] = {"set", rdb_string_skip},
    [12] = {"sorted set", rdb_string_skip},
    [13] = {"hash", rdb_string_skip},
    [14] = {"list", skip_strings},
    [15] = {"stream", skip_stream_1},
    [16] = {"hash", rdb_string_skip},
    [17] = {"sorted set", rdb_string_skip},
    [18] = {"list", skip_quicklist},
    [19] = {"stream", skip_stream_2},
    [20] = {"set", rdb_string_skip},
    [21] = {"stream", skip_stream_3},
    [24] = {"hash", skip_hash_with_ttl},
    [25] = {"hash", skip_packed_hash_with_ttl},
};

/* --- The file --- */

bool rdb_file_is(struct slice whole) {
    return slice_equals(slice_first(whole, 5), SLICE("REDIS")) ||
           slice_equals(slice_first(whole, 6), SLICE("VALKEY"));
}

void rdb_file_init(struct rdb_file *file, struct slice whole) {
    *file = (struct rdb_file){.whole = whole, .in = whole};
    buf_init(&file->key, LIMIT_VALUE_BYTES + 1);
    buf_init(&file->value, LIMIT_VALUE_BYTES + 1);
}

void rdb_file_deinit(struct rdb_file *file) {
    buf_deinit(&file->key);
    buf_deinit(&file->value);
}

uint64_t rdb_file_done(const struct rdb_file *file) { return file->whole.len - file->in.len; }

static enum rdb_file_result bad(struct rdb_file *file, const char *why) {
    snprintf(file->reason, sizeof(file->reason), "byte %llu: %s", (unsigned long long)rdb_file_done(file), why);
    return RDB_FILE_BAD;
}

/* Something is missing, or is not what it should be: a file that is whole has an end of a known form. */
static enum rdb_file_result bad_piece(struct rdb_file *file, const char *what) {
    size_t end_bytes = 1 + (file->version >= CRC_FROM_VERSION ? CRC_BYTES : 0);
    struct slice whole = file->whole;
    bool has_end = whole.len >= end_bytes && (unsigned char)whole.ptr[whole.len - end_bytes] == OPCODE_END;
    char why[96];
    snprintf(why, sizeof(why), "%s is %s", what,
             has_end ? "damaged" : "not whole: the file is cut off, or damaged");
    return bad(file, why);
}

static bool read_head(struct rdb_file *file) {
    unsigned version = 0;
    bool is_one = rdb_file_is(file->whole) && file->whole.ptr[0] == 'R';
    for (size_t i = 5; i < HEAD_BYTES && is_one; i++) {
        is_one = i < file->whole.len && file->whole.ptr[i] >= '0' && file->whole.ptr[i] <= '9';
        version = is_one ? version * 10 + (unsigned)(file->whole.ptr[i] - '0') : 0;
    }
    if (rdb_file_is(file->whole) && file->whole.ptr[0] == 'V') {
        snprintf(file->reason, sizeof(file->reason),
                 "it is in a format of Valkey's own (%.*s), which is newer than this kvnode", HEAD_BYTES,
                 file->whole.ptr);
    } else if (!is_one) {
        snprintf(file->reason, sizeof(file->reason), "it is no RDB file, or only the beginning of one");
    } else if (version < 1 || version > RDB_FILE_VERSION_MAX) {
        snprintf(file->reason, sizeof(file->reason), "it is of RDB version %u, and this kvnode reads 1 to %d",
                 version, RDB_FILE_VERSION_MAX);
        is_one = false;
    }
    file->version = version;
    file->begun = true;
    file->in = slice_skip(file->whole, is_one ? HEAD_BYTES : 0);
    return is_one;
}

/* What is behind the opcode END. */
static enum rdb_file_result end(struct rdb_file *file) {
    uint64_t crc = 0;
    if (file->version >= CRC_FROM_VERSION && !take_little(&file->in, CRC_BYTES, &crc)) {
        return bad_piece(file, "the checksum");
    }
    if (crc != 0 && crc != file->crc) {
        return bad(file, "the checksum is another one: the file is damaged");
    }
    return file->in.len == 0 ? RDB_FILE_END : bad(file, "something stands behind its end: is it an AOF?");
}

static bool skip_opcode(struct slice *in, unsigned opcode) {
    switch (opcode) {
    case OPCODE_AUX:
        return skip_pair(in);
    case OPCODE_RESIZE:
        return skip_lengths(in, 2);
    case OPCODE_SLOT_INFO:
        return skip_lengths(in, 3);
    case OPCODE_IDLE:
        return skip_lengths(in, 1);
    case OPCODE_FREQUENCY:
        return skip(in, 1);
    case OPCODE_MODULE_AUX: /* its id, when it is to be loaded, and then as a value of it */
        return skip_lengths(in, 3) && skip_module_pieces(in);
    default:
        return false;
    }
}

/* A key and its value, behind the type. */
static enum rdb_file_result take_key(struct rdb_file *file, unsigned code, struct rdb_file_item *item) {
    const struct type *type = &types[code];
    item->type = type->name;
    item->is_string = code == 0;
    item->database = file->database;
    enum rdb_string_result result = rdb_string_take(&file->in, &file->key, &item->key);
    if (result == RDB_STRING_OK && item->is_string) {
        result = rdb_string_take(&file->in, &file->value, &item->value);
    } else if (result == RDB_STRING_OK && !type->skip(&file->in)) {
        return bad_piece(file, "a value");
    }
    if (result == RDB_STRING_NO_MEMORY) {
        return RDB_FILE_NO_MEMORY;
    }
    if (result != RDB_STRING_OK) {
        return bad_piece(file, "a string");
    }
    return item->key.len <= LIMIT_KEY_BYTES ? RDB_FILE_ITEM : bad(file, "a key is longer than 64 MB");
}

/* false: it is not whole. One that has passed long ago has passed all the same. */
static bool take_deadline(struct slice *in, bool in_ms, int64_t *deadline_ms) {
    uint64_t raw;
    if (!take_little(in, in_ms ? 8 : 4, &raw)) {
        return false;
    }
    int64_t number = in_ms ? (int64_t)raw : (int64_t)(int32_t)raw * 1000;
    *deadline_ms = number > 0 ? number : 1;
    return true;
}

/* One opcode, or one key; *over: what is to be given back is in result and item. */
static enum rdb_file_result step(struct rdb_file *file, struct rdb_file_item *item, bool *over) {
    struct slice *in = &file->in;
    uint64_t code = 0;
    *over = true;
    if (!take_little(in, 1, &code)) {
        return bad_piece(file, "its end");
    }
    if (code < sizeof(types) / sizeof(types[0]) && types[code].name != NULL) {
        return take_key(file, (unsigned)code, item);
    }
    *over = false;
    bool ok;
    switch (code) {
    case OPCODE_DEADLINE_MS:
    case OPCODE_DEADLINE_S:
        ok = take_deadline(in, code == OPCODE_DEADLINE_MS, &item->deadline_ms);
        break;
    case OPCODE_DATABASE:
        ok = rdb_length_take(in, &file->database);
        break;
    case OPCODE_FUNCTION:
        item->type = "library of functions";
        ok = *over = rdb_string_skip(in);
        break;
    default:
        ok = skip_opcode(in, (unsigned)code);
        break;
    }
    *over |= !ok;
    return ok ? RDB_FILE_ITEM
              : bad_piece(file, code >= OPCODE_SLOT_INFO ? "a field" : "a type that is not known");
}

enum rdb_file_result rdb_file_next(struct rdb_file *file, struct rdb_file_item *item) {
    if (!file->begun) {
        if (!read_head(file)) {
            return RDB_FILE_BAD;
        }
        file->crc = crc64(0, slice_first(file->whole, HEAD_BYTES));
    }
    enum rdb_file_result result;
    bool over = false;
    *item = (struct rdb_file_item){.type = NULL};
    do {
        struct slice before = file->in;
        bool ends = before.len > 0 && (unsigned char)before.ptr[0] == OPCODE_END;
        if (ends) {
            file->in = slice_skip(before, 1);
            file->crc = crc64(file->crc, slice_first(before, 1));
            return end(file);
        }
        result = step(file, item, &over);
        file->crc = crc64(file->crc, slice_first(before, before.len - file->in.len));
    } while (!over);
    if (result == RDB_FILE_ITEM && item->deadline_ms >= LINE_TIME_LIMIT_MS) {
        return bad(file, "a deadline is later than kvnode can keep");
    }
    return result;
}
