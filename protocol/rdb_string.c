#include "protocol/rdb_string.h"

#include "protocol/crc64.h"
#include "protocol/limits.h"
#include "protocol/lzf.h"
#include "protocol/num.h"

enum {
    TYPE_STRING = 0,
    FOOTER_BYTES = 2 + 8,
    LENGTH_MAX_BYTES = 9,
    INTEGER_MAX_TEXT = 11, /* "-2147483648" */
    COMPRESS_FROM_BYTES = 21,
    COMPRESS_GAIN_BYTES = 4, /* what Redis wants to gain */
};

/* The first byte of a length, or of what is said in place of one. */
enum {
    FORM_MASK = 0xc0,
    FORM_6_BITS = 0x00,
    FORM_14_BITS = 0x40,
    FORM_32_BITS = 0x80,
    FORM_64_BITS = 0x81,
    FORM_INT8 = 0xc0,
    FORM_INT16 = 0xc1,
    FORM_INT32 = 0xc2,
    FORM_LZF = 0xc3,
};

static void put_little(char *to, uint64_t number, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        to[i] = (char)(number >> (8 * i));
    }
}

static uint64_t get_little(const char *from, size_t bytes) {
    uint64_t number = 0;
    for (size_t i = bytes; i > 0; i--) {
        number = number << 8 | (unsigned char)from[i - 1];
    }
    return number;
}

static uint64_t get_big(const char *from, size_t bytes) {
    uint64_t number = 0;
    for (size_t i = 0; i < bytes; i++) {
        number = number << 8 | (unsigned char)from[i];
    }
    return number;
}

/* --- Writing --- */

static size_t put_length(char *to, uint64_t length) {
    if (length < 1 << 6) {
        to[0] = (char)(FORM_6_BITS | length);
        return 1;
    }
    if (length < 1 << 14) {
        to[0] = (char)(FORM_14_BITS | length >> 8);
        to[1] = (char)length;
        return 2;
    }
    size_t bytes = length <= UINT32_MAX ? 4 : 8;
    to[0] = (char)(bytes == 4 ? FORM_32_BITS : FORM_64_BITS);
    for (size_t i = 0; i < bytes; i++) {
        to[1 + i] = (char)(length >> (8 * (bytes - 1 - i)));
    }
    return 1 + bytes;
}

static bool write_integer(struct buf *out, struct slice value) {
    int64_t number;
    if (value.len > INTEGER_MAX_TEXT || !num_parse_i64(value, &number) || number < INT32_MIN ||
        number > INT32_MAX) {
        return false;
    }
    size_t bytes = number >= INT8_MIN && number <= INT8_MAX     ? 1
                   : number >= INT16_MIN && number <= INT16_MAX ? 2
                                                                : 4;
    char text[5];
    text[0] = (char)(bytes == 1 ? FORM_INT8 : bytes == 2 ? FORM_INT16 : FORM_INT32);
    put_little(text + 1, (uint64_t)number, bytes);
    buf_append(out, text, 1 + bytes);
    return true;
}

static bool write_compressed(struct buf *out, struct slice value) {
    const size_t head = 1 + 2 * LENGTH_MAX_BYTES;
    char *to = value.len < COMPRESS_FROM_BYTES ? NULL : buf_reserve(out, head + value.len);
    size_t packed = to == NULL ? 0 : lzf_compress(value, to + head, value.len - COMPRESS_GAIN_BYTES);
    if (packed == 0) {
        return false;
    }
    to[0] = (char)FORM_LZF;
    size_t used = 1;
    used += put_length(to + used, packed);
    used += put_length(to + used, value.len);
    memmove(to + used, to + head, packed);
    buf_commit(out, used + packed);
    return true;
}

void rdb_string_write(struct buf *out, struct slice value) {
    size_t before = buf_used(out);
    buf_append_byte(out, TYPE_STRING);
    if (!write_integer(out, value) && !write_compressed(out, value)) {
        char length[LENGTH_MAX_BYTES];
        buf_append(out, length, put_length(length, value.len));
        buf_append_slice(out, value);
    }
    char footer[FOOTER_BYTES];
    put_little(footer, RDB_VERSION_WRITTEN, 2);
    buf_append(out, footer, 2);
    put_little(footer, crc64(0, slice_skip(buf_slice(out), before)), 8);
    buf_append(out, footer, 8);
}

/* --- Reading: each takes what it reads from the front of *in --- */

static bool take(struct slice *in, size_t n, const char **out) {
    if (in->len < n) {
        return false;
    }
    *out = in->ptr;
    *in = slice_skip(*in, n);
    return true;
}

bool rdb_length_take(struct slice *in, uint64_t *length) {
    const char *at;
    if (!take(in, 1, &at)) {
        return false;
    }
    unsigned first = (unsigned char)*at;
    if ((first & FORM_MASK) == FORM_6_BITS) {
        *length = first;
        return true;
    }
    if ((first & FORM_MASK) == FORM_14_BITS) {
        if (!take(in, 1, &at)) {
            return false;
        }
        *length = (first & ~(unsigned)FORM_MASK) << 8 | (unsigned char)*at;
        return true;
    }
    size_t bytes = first == FORM_32_BITS ? 4 : 8;
    if ((first != FORM_32_BITS && first != FORM_64_BITS) || !take(in, bytes, &at)) {
        return false;
    }
    *length = get_big(at, bytes);
    return true;
}

static enum rdb_string_result read_integer(struct slice *in, size_t bytes, struct buf *scratch,
                                           struct slice *value) {
    const char *at;
    if (!take(in, bytes, &at)) {
        return RDB_STRING_BAD_FORMAT;
    }
    uint64_t raw = get_little(at, bytes);
    int64_t number = bytes == 1 ? (int8_t)raw : bytes == 2 ? (int16_t)raw : (int32_t)raw;
    buf_append_i64(scratch, number);
    *value = buf_slice(scratch);
    return buf_failed(scratch) ? RDB_STRING_NO_MEMORY : RDB_STRING_OK;
}

static enum rdb_string_result read_compressed(struct slice *in, struct buf *scratch, struct slice *value) {
    uint64_t packed, length;
    if (!rdb_length_take(in, &packed) || !rdb_length_take(in, &length) || packed > in->len ||
        length > LIMIT_VALUE_BYTES || length > packed * LZF_MAX_RATIO) {
        return RDB_STRING_BAD_FORMAT;
    }
    char *to = buf_reserve(scratch, length + 1); /* + 1: the place of nothing at all */
    if (to == NULL) {
        return RDB_STRING_NO_MEMORY;
    }
    if (!lzf_decompress(slice_first(*in, packed), to, length)) {
        return RDB_STRING_BAD_FORMAT;
    }
    *in = slice_skip(*in, packed);
    buf_commit(scratch, length);
    *value = buf_slice(scratch);
    return RDB_STRING_OK;
}

static enum rdb_string_result read_plain(struct slice *in, struct slice *value) {
    uint64_t length;
    if (!rdb_length_take(in, &length) || length > in->len || length > LIMIT_VALUE_BYTES) {
        return RDB_STRING_BAD_FORMAT;
    }
    *value = slice_first(*in, length);
    *in = slice_skip(*in, length);
    return RDB_STRING_OK;
}

/* What in begins with in place of a length: FORM_INT8 to FORM_LZF are taken off it; 0: it is a length. */
static unsigned take_form(struct slice *in) {
    unsigned form = in->len == 0 ? 0 : (unsigned char)in->ptr[0];
    if (form < FORM_INT8 || form > FORM_LZF) {
        return 0;
    }
    *in = slice_skip(*in, 1);
    return form;
}

enum rdb_string_result rdb_string_take(struct slice *in, struct buf *scratch, struct slice *value) {
    buf_reset(scratch);
    switch (take_form(in)) {
    case FORM_INT8:
        return read_integer(in, 1, scratch, value);
    case FORM_INT16:
        return read_integer(in, 2, scratch, value);
    case FORM_INT32:
        return read_integer(in, 4, scratch, value);
    case FORM_LZF:
        return read_compressed(in, scratch, value);
    default:
        return read_plain(in, value);
    }
}

bool rdb_string_skip(struct slice *in) {
    uint64_t bytes, length;
    bool ok = true;
    switch (take_form(in)) {
    case FORM_INT8:
        bytes = 1;
        break;
    case FORM_INT16:
        bytes = 2;
        break;
    case FORM_INT32:
        bytes = 4;
        break;
    case FORM_LZF:
        ok = rdb_length_take(in, &bytes) && rdb_length_take(in, &length);
        break;
    default:
        ok = rdb_length_take(in, &bytes);
        break;
    }
    if (!ok || bytes > in->len) {
        return false;
    }
    *in = slice_skip(*in, bytes);
    return true;
}

static bool footer_ok(struct slice payload) {
    if (payload.len < FOOTER_BYTES) {
        return false;
    }
    const char *footer = payload.ptr + payload.len - FOOTER_BYTES;
    return get_little(footer, 2) <= RDB_VERSION_MAX &&
           get_little(footer + 2, 8) == crc64(0, slice_first(payload, payload.len - 8));
}

/* Bytes between the string and the footer are passed over, as Redis does. */
enum rdb_string_result rdb_string_read(struct slice payload, struct buf *scratch, struct slice *value) {
    buf_reset(scratch);
    if (!footer_ok(payload)) {
        return RDB_STRING_BAD_FOOTER;
    }
    struct slice in = slice_first(payload, payload.len - FOOTER_BYTES);
    const char *type;
    if (!take(&in, 1, &type) || *type != TYPE_STRING) {
        return RDB_STRING_BAD_FORMAT;
    }
    return rdb_string_take(&in, scratch, value);
}
