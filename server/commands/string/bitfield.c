/* bitfield.c: BITFIELD and BITFIELD_RO: numbers of 1 to 64 bits anywhere in a value. All operations of a
 * command are read first, then run in order on a copy of the bytes that they may write, which are then written
 * at once: as one patch of the value, or as several where they are far apart. */
#include "protocol/num.h"
#include "server/commands/rows.h"
#include "server/commands/string/bits.h"
#include "server/commands/string/values.h"
#include "server/store/keyspace.h"

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
    size_t count, writes;
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
        program->writes += is_write(operation);
        program->count++;
    }
    return true;
}

/* --- Running --- */

/* What lies no further apart than this is one patch: a line of its own would be longer. */
enum { APART_BYTES = 64 };

/* The value as the operations have it: that of the key but for the copies, which lie in bytes one behind the
 * other. */
struct field_image {
    struct table_place place;
    struct slice value;
    struct entry_patch *copies; /* ascending, apart */
    size_t count;
    uint8_t *bytes;
    bool changed;
};

/* NULL: byte i of the value is not copied. */
static uint8_t *find_copy(const struct field_image *image, size_t i) {
    size_t low = 0, high = image->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct entry_patch *copy = &image->copies[middle];
        if (i < copy->offset) {
            high = middle;
        } else if (i >= copy->offset + copy->bytes.len) {
            low = middle + 1;
        } else {
            return image->bytes + ((const uint8_t *)copy->bytes.ptr - image->bytes) + (i - copy->offset);
        }
    }
    return NULL;
}

static unsigned image_byte(const struct field_image *image, size_t i) {
    const uint8_t *copy = find_copy(image, i);
    return copy != NULL ? *copy : i < image->value.len ? (unsigned char)image->value.ptr[i] : 0;
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
    uint8_t *copy = find_copy(image, offset / 8); /* all of the field is in it */
    for (unsigned n = 0; n < bits; n++) {
        size_t at = offset % 8 + n;
        unsigned mask = 0x80U >> at % 8;
        unsigned bit = number >> (bits - 1 - n) & 1;
        copy[at / 8] = (uint8_t)((copy[at / 8] & ~mask) | (bit == 1 ? mask : 0));
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

static int compare_offsets(const void *a, const void *b) {
    size_t first = ((const struct entry_patch *)a)->offset, second = ((const struct entry_patch *)b)->offset;
    return (first > second) - (first < second);
}

/* The places that may be written, as few as possible; returns how many bytes they are. */
static size_t find_places(struct field_image *image, const struct field_program *program) {
    for (size_t i = 0; i < program->count; i++) {
        const struct field_operation *operation = &program->operations[i];
        if (is_write(operation)) {
            size_t first = operation->offset / 8, last = (operation->offset + operation->bits + 7) / 8;
            image->copies[image->count++] = (struct entry_patch){first, {NULL, last - first}};
        }
    }
    qsort(image->copies, image->count, sizeof(*image->copies), compare_offsets);
    size_t kept = 0, sum = 0;
    for (size_t i = 0; i < image->count; i++) {
        struct entry_patch next = image->copies[i];
        struct entry_patch *before = kept == 0 ? NULL : &image->copies[kept - 1];
        size_t end = before == NULL ? 0 : before->offset + before->bytes.len;
        if (before != NULL && next.offset <= end + APART_BYTES) {
            size_t longer = next.offset + next.bytes.len > end ? next.offset + next.bytes.len - end : 0;
            before->bytes.len += longer;
            sum += longer;
        } else {
            image->copies[kept++] = next;
            sum += next.bytes.len;
        }
    }
    image->count = kept;
    return sum;
}

/* False: out of memory. */
static bool make_copies(struct field_image *image, const struct field_program *program) {
    if (program->writes == 0) {
        return true;
    }
    image->copies = malloc(program->writes * sizeof(*image->copies));
    image->bytes = image->copies == NULL ? NULL : calloc(find_places(image, program), 1);
    if (image->bytes == NULL) {
        return false;
    }
    uint8_t *to = image->bytes;
    for (size_t i = 0; i < image->count; i++) {
        struct entry_patch *copy = &image->copies[i];
        if (image->value.len > copy->offset) {
            struct slice there = slice_first(slice_skip(image->value, copy->offset), copy->bytes.len);
            memcpy(to, there.ptr, there.len);
        }
        copy->bytes = slice_of(to, copy->bytes.len);
        to += copy->bytes.len;
    }
    return true;
}

static void run_operations(struct request *request, const struct field_program *program,
                           struct field_image *image) {
    size_t before = buf_used(request->reply.out);
    resp_array(&request->reply, program->count);
    for (size_t i = 0; i < program->count; i++) {
        run_operation(request, image, &program->operations[i]);
    }
    /* As in Redis a write makes room first: the value grows even if the write then fails by its overflow. */
    if (image->changed || entry_patched_len(image->value.len, image->copies, image->count) > image->value.len) {
        enum err err = keyspace_patch(request->context->keyspace, &request->key, &image->place, image->copies,
                                      image->count, NULL);
        if (err != ERR_NONE) {
            buf_truncate(request->reply.out, before);
            resp_error(&request->reply, err);
        }
    }
}

static void run_program(struct request *request, const struct field_program *program) {
    struct field_image image = {.place = value_place(request, KEYSPACE_READ)};
    image.value = value_or_empty(image.place.entry);
    if (make_copies(&image, program)) {
        run_operations(request, program, &image);
    } else {
        resp_error(&request->reply, ERR_NO_MEMORY);
    }
    free(image.bytes);
    free(image.copies);
}

static void run_arguments(struct request *request, bool read_only) {
    struct field_program program = {
        .operations = malloc(request->arg_count * sizeof(*program.operations)),
    };
    if (program.operations == NULL) {
        resp_error(&request->reply, ERR_NO_MEMORY);
    } else if (parse_program(request, &program)) {
        if (read_only && program.writes > 0) {
            resp_errorf(&request->reply, "ERR BITFIELD_RO only supports the GET subcommand");
        } else {
            run_program(request, &program);
        }
    }
    free(program.operations);
}

void command_bitfield(struct request *request) { run_arguments(request, false); }

void command_bitfield_ro(struct request *request) { run_arguments(request, true); }
