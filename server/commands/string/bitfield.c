/* bitfield.c: BITFIELD and BITFIELD_RO: numbers of 1 to 64 bits anywhere in a value. All operations of a
 * command are read first, then run in order on a copy of the bytes that they may write, which is then written
 * at once. */
#include "protocol/num.h"
#include "server/commands/rows.h"
#include "server/commands/string/bits.h"
#include "server/commands/string/values.h"

#include <stdlib.h>

enum field_verb { FIELD_GET, FIELD_SET, FIELD_INCRBY };
enum field_overflow { OVERFLOW_WRAP, OVERFLOW_SAT, OVERFLOW_FAIL };

struct field_operation {
    enum field_verb verb;
    enum field_overflow overflow;
    bool is_signed;
    unsigned bits;
    size_t offset; /* in bits */
    int64_t operand;
};

struct field_program {
    struct field_operation *operations; /* owned */
    size_t count;
    size_t first, last; /* the bytes that may be written: first to last - 1 */
};

/* --- Reading the arguments --- */

static bool is_write(const struct field_operation *operation) { return operation->verb != FIELD_GET; }

static bool parse_overflow(struct request *request, size_t i, enum field_overflow *overflow) {
    static const struct slice words[] = {{"wrap", 4}, {"sat", 3}, {"fail", 4}};
    for (size_t n = 0; n < sizeof(words) / sizeof(words[0]); n++) {
        if (request_word(request, i, words[n])) {
            *overflow = (enum field_overflow)n;
            return true;
        }
    }
    resp_errorf(&request->reply, "ERR Invalid OVERFLOW type specified");
    return false;
}

static bool parse_type(struct request *request, size_t i, struct field_operation *operation) {
    struct slice text = request->args[i];
    int64_t bits = 0;
    operation->is_signed = text.len > 0 && text.ptr[0] == 'i';
    bool named = operation->is_signed || (text.len > 0 && text.ptr[0] == 'u');
    if (!named || !num_parse_i64(slice_skip(text, 1), &bits) || bits < 1 ||
        bits > (operation->is_signed ? 64 : 63)) {
        resp_errorf(&request->reply, "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is "
                                     "not supported but i64 is.");
        return false;
    }
    operation->bits = (unsigned)bits;
    return true;
}

static bool find_verb(const struct request *request, size_t i, enum field_verb *verb) {
    static const struct slice words[] = {{"get", 3}, {"set", 3}, {"incrby", 6}};
    for (size_t n = 0; n < sizeof(words) / sizeof(words[0]); n++) {
        if (request_word(request, i, words[n])) {
            *verb = (enum field_verb)n;
            return i + (*verb == FIELD_GET ? 2 : 3) < request->arg_count;
        }
    }
    return false;
}

/* The operation whose name is argument *i, which is then its last argument. */
static bool parse_operation(struct request *request, size_t *i, struct field_operation *operation) {
    if (!find_verb(request, *i, &operation->verb)) {
        resp_error(&request->reply, ERR_SYNTAX);
        return false;
    }
    if (!parse_type(request, *i + 1, operation) ||
        !bit_offset_parse(request, *i + 2, operation->bits, &operation->offset) ||
        (is_write(operation) && !request_integer(request, *i + 3, &operation->operand))) {
        return false;
    }
    *i += is_write(operation) ? 3 : 2;
    return true;
}

static void note_written(struct field_program *program, const struct field_operation *operation) {
    size_t first = operation->offset / 8, last = (operation->offset + operation->bits + 7) / 8;
    program->first = program->last == 0 || first < program->first ? first : program->first;
    program->last = last > program->last ? last : program->last;
}

static bool parse_program(struct request *request, struct field_program *program) {
    enum field_overflow overflow = OVERFLOW_WRAP;
    for (size_t i = 2; i < request->arg_count; i++) {
        if (request_word(request, i, SLICE("overflow")) && i + 1 < request->arg_count) {
            if (!parse_overflow(request, ++i, &overflow)) {
                return false;
            }
            continue;
        }
        struct field_operation *operation = &program->operations[program->count];
        *operation = (struct field_operation){.overflow = overflow};
        if (!parse_operation(request, &i, operation)) {
            return false;
        }
        if (is_write(operation)) {
            note_written(program, operation);
        }
        program->count++;
    }
    return true;
}

/* --- Running --- */

/* The value as the operations have it: copy has its bytes first to last - 1. */
struct field_image {
    struct slice value;
    uint8_t *copy;
    size_t first, last;
    bool changed;
};

static unsigned image_byte(const struct field_image *image, size_t i) {
    if (i >= image->first && i < image->last) {
        return image->copy[i - image->first];
    }
    return i < image->value.len ? (unsigned char)image->value.ptr[i] : 0;
}

static uint64_t low_bits(uint64_t number, unsigned bits) {
    return bits == 64 ? number : number & ((UINT64_C(1) << bits) - 1);
}

/* As it stands there, without a sign. */
static uint64_t read_field(const struct field_image *image, size_t offset, unsigned bits) {
    size_t first = offset / 8, last = (offset + bits + 7) / 8;
    unsigned __int128 wide = 0;
    for (size_t i = first; i < last; i++) {
        wide = wide << 8 | image_byte(image, i);
    }
    return low_bits((uint64_t)(wide >> (last * 8 - offset - bits)), bits);
}

static void write_field(struct field_image *image, size_t offset, unsigned bits, uint64_t number) {
    for (unsigned n = 0; n < bits; n++) {
        size_t at = offset + n - image->first * 8;
        unsigned mask = 0x80U >> at % 8;
        unsigned bit = number >> (bits - 1 - n) & 1;
        image->copy[at / 8] = (uint8_t)((image->copy[at / 8] & ~mask) | (bit == 1 ? mask : 0));
    }
}

/* The number that the low bits are. */
static __int128 to_number(const struct field_operation *operation, uint64_t low) {
    bool negative = operation->is_signed && (low >> (operation->bits - 1) & 1) == 1;
    return negative ? (__int128)low - ((__int128)1 << operation->bits) : (__int128)low;
}

static __int128 least(const struct field_operation *operation) {
    return operation->is_signed ? -((__int128)1 << (operation->bits - 1)) : 0;
}

static __int128 greatest(const struct field_operation *operation) {
    return ((__int128)1 << (operation->bits - operation->is_signed)) - 1;
}

/* Redis reckons in 64 bits how far SET's number is from the greatest: from far enough below it is over it, and
 * saturates there. */
static bool is_over(const struct field_operation *operation, __int128 number) {
    bool wraps = operation->verb == FIELD_SET && operation->is_signed && operation->bits < 64 &&
                 greatest(operation) - number > INT64_MAX;
    return wraps || number > greatest(operation);
}

/* Makes the number fit as OVERFLOW says. False: it does not and must not be written. */
static bool fit(const struct field_operation *operation, __int128 *number) {
    bool over = is_over(operation, *number), under = *number < least(operation);
    if (!over && !under) {
        return true;
    }
    switch (operation->overflow) {
    case OVERFLOW_WRAP:
        *number = to_number(operation, low_bits((uint64_t)*number, operation->bits));
        return true;
    case OVERFLOW_SAT:
        *number = over ? greatest(operation) : least(operation);
        return true;
    case OVERFLOW_FAIL:
        break;
    }
    return false;
}

/* What SET is given for an unsigned field is taken without its sign: -1 is too much, not too little. */
static __int128 operand_of(const struct field_operation *operation) {
    bool as_unsigned = operation->verb == FIELD_SET && !operation->is_signed;
    return as_unsigned ? (__int128)(uint64_t)operation->operand : (__int128)operation->operand;
}

static void run_operation(struct request *request, struct field_image *image,
                          const struct field_operation *operation) {
    uint64_t low = read_field(image, operation->offset, operation->bits);
    __int128 old = to_number(operation, low), number = old;
    if (is_write(operation)) {
        number = operand_of(operation) + (operation->verb == FIELD_INCRBY ? old : 0);
        if (!fit(operation, &number)) {
            resp_null(&request->reply);
            return;
        }
        write_field(image, operation->offset, operation->bits, (uint64_t)number);
        image->changed = image->changed || number != old;
    }
    resp_integer(&request->reply, (int64_t)(operation->verb == FIELD_INCRBY ? number : old));
}

/* False: out of memory. */
static bool make_copy(struct field_image *image) {
    size_t bytes = image->last - image->first;
    image->copy = bytes > 0 ? calloc(bytes, 1) : NULL;
    if (image->copy != NULL && image->value.len > image->first) {
        struct slice there = slice_first(slice_skip(image->value, image->first), bytes);
        memcpy(image->copy, there.ptr, there.len);
    }
    return bytes == 0 || image->copy != NULL;
}

static void run_program(struct request *request, const struct field_program *program) {
    struct field_image image = {
        .value = value_or_empty(keyspace_find(request->context->keyspace, &request->key, KEYSPACE_READ)),
        .first = program->first,
        .last = program->last,
    };
    size_t before = buf_used(request->reply.out);
    if (!make_copy(&image)) {
        resp_error(&request->reply, ERR_NO_MEMORY);
        return;
    }
    resp_array(&request->reply, program->count);
    for (size_t i = 0; i < program->count; i++) {
        run_operation(request, &image, &program->operations[i]);
    }
    /* As in Redis a write makes room first: the value grows even if the write then fails by its overflow. */
    if (image.changed || image.last > image.value.len) {
        struct keyspace_set set = {
            .value = image.value,
            .deadline = KEYSPACE_DEADLINE_KEEP,
            .patch = slice_of(image.copy, image.last - image.first),
            .patch_at = image.first,
        };
        enum err err = keyspace_set(request->context->keyspace, &request->key, &set, NULL);
        if (err != ERR_NONE) {
            buf_truncate(request->reply.out, before);
            resp_error(&request->reply, err);
        }
    }
    free(image.copy);
}

static void run_arguments(struct request *request, bool read_only) {
    struct field_program program = {
        .operations = malloc(request->arg_count * sizeof(*program.operations)),
    };
    if (program.operations == NULL) {
        resp_error(&request->reply, ERR_NO_MEMORY);
    } else if (parse_program(request, &program)) {
        if (read_only && program.last > 0) {
            resp_errorf(&request->reply, "ERR BITFIELD_RO only supports the GET subcommand");
        } else {
            run_program(request, &program);
        }
    }
    free(program.operations);
}

void command_bitfield(struct request *request) { run_arguments(request, false); }

void command_bitfield_ro(struct request *request) { run_arguments(request, true); }
