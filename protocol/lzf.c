#include "protocol/lzf.h"

#include <stdint.h>

enum {
    LITERALS_MAX = 32,
    DISTANCE_MAX = 1 << 13,
    MATCH_MIN = 3,
    MATCH_MAX = 264,
    HASH_BITS_MIN = 6, /* a short input needs, and clears, a small table only */
    HASH_BITS_MAX = 12,
    MISSES_A_STEP =
        64, /* without a match for so many bytes, every other one is tried; for twice as many, ... */
};

/* --- Reading --- */

/* The source may overlap what is being written: then it repeats itself. */
static void copy_back(char *to, size_t distance, size_t n) {
    if (distance >= n) {
        memcpy(to, to - distance, n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        to[i] = to[(ptrdiff_t)i - (ptrdiff_t)distance];
    }
}

bool lzf_decompress(struct slice in, char *to, size_t n) {
    const unsigned char *from = (const unsigned char *)in.ptr;
    size_t at = 0, done = 0;
    while (at < in.len) {
        size_t control = from[at++];
        if (control < LITERALS_MAX) {
            size_t literals = control + 1;
            if (in.len - at < literals || n - done < literals) {
                return false;
            }
            memcpy(to + done, from + at, literals);
            at += literals;
            done += literals;
            continue;
        }
        size_t length = (control >> 5) + 2;
        if (length == 9) {
            if (at == in.len) {
                return false;
            }
            length += from[at++];
        }
        if (at == in.len) {
            return false;
        }
        size_t distance = ((control & 31) << 8 | from[at++]) + 1;
        if (distance > done || n - done < length) {
            return false;
        }
        copy_back(to + done, distance, length);
        done += length;
    }
    return done == n;
}

/* --- Writing: greedy, with the last place where each hash of three bytes was seen --- */

struct writer {
    const unsigned char *in;
    size_t length;
    unsigned char *to;
    size_t room, used;
    unsigned hash_bits;
};

static size_t hash_at(const struct writer *writer, size_t i) {
    const unsigned char *at = writer->in + i;
    uint32_t three = (uint32_t)at[0] << 16 | (uint32_t)at[1] << 8 | at[2];
    return three * 2654435761U >> (32 - writer->hash_bits);
}

/* False: no room. */
static bool write_literals(struct writer *writer, size_t from, size_t to) {
    while (from < to) {
        size_t n = to - from < LITERALS_MAX ? to - from : LITERALS_MAX;
        if (writer->room - writer->used < n + 1) {
            return false;
        }
        writer->to[writer->used++] = (unsigned char)(n - 1);
        memcpy(writer->to + writer->used, writer->in + from, n);
        writer->used += n;
        from += n;
    }
    return true;
}

static bool write_match(struct writer *writer, size_t distance, size_t length) {
    if (writer->room - writer->used < 3) {
        return false;
    }
    size_t offset = distance - 1, code = length - 2;
    if (code < 7) {
        writer->to[writer->used++] = (unsigned char)(code << 5 | offset >> 8);
    } else {
        writer->to[writer->used++] = (unsigned char)(7 << 5 | offset >> 8);
        writer->to[writer->used++] = (unsigned char)(code - 7);
    }
    writer->to[writer->used++] = (unsigned char)offset;
    return true;
}

static size_t match_length(const struct writer *writer, size_t candidate, size_t i) {
    size_t most = writer->length - i < MATCH_MAX ? writer->length - i : MATCH_MAX;
    size_t n = 0;
    while (n < most && writer->in[candidate + n] == writer->in[i + n]) {
        n++;
    }
    return n;
}

static unsigned hash_bits_for(size_t length) {
    unsigned bits = HASH_BITS_MIN;
    while (bits < HASH_BITS_MAX && length >> bits != 0) {
        bits++;
    }
    return bits;
}

/* seen: the place after the last one of each hash; 0: none. */
static size_t find_match(const struct writer *writer, uint32_t *seen, size_t i, size_t *distance) {
    uint32_t *slot = &seen[hash_at(writer, i)];
    size_t after = *slot;
    *slot = (uint32_t)(i + 1);
    *distance = i + 1 - after;
    return after == 0 || *distance > DISTANCE_MAX ? 0 : match_length(writer, after - 1, i);
}

size_t lzf_compress(struct slice in, char *to, size_t room) {
    struct writer writer = {.in = (const unsigned char *)in.ptr,
                            .length = in.len,
                            .to = (unsigned char *)to,
                            .room = room < in.len ? room : in.len - (in.len > 0),
                            .hash_bits = hash_bits_for(in.len)};
    uint32_t seen[1 << HASH_BITS_MAX]; /* 32 bits: what is stored is shorter than 4 GB */
    memset(seen, 0, sizeof(seen[0]) << writer.hash_bits);
    size_t i = 0, literals_from = 0;
    while (i < in.len && in.len - i >= MATCH_MIN) {
        size_t distance, length = find_match(&writer, seen, i, &distance);
        if (length < MATCH_MIN) {
            i += 1 + (i - literals_from) / MISSES_A_STEP;
            continue;
        }
        if (!write_literals(&writer, literals_from, i) || !write_match(&writer, distance, length)) {
            return 0;
        }
        i += length;
        literals_from = i;
    }
    return write_literals(&writer, literals_from, in.len) ? writer.used : 0;
}
