/* fuzz_rdb_string.c: no payload makes the reader read or write past an end, and what was understood can be
 * written and read again. The footer is made right first: else almost no input would get past it. */
#include "protocol/crc64.h"
#include "protocol/rdb_string.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* assert() would vanish with NDEBUG. */
static void require(bool holds) {
    if (!holds) {
        abort();
    }
}

static void write_and_read_again(struct slice value) {
    struct buf out, scratch;
    struct slice again;
    buf_init(&out, SIZE_MAX);
    buf_init(&scratch, SIZE_MAX);
    rdb_string_write(&out, value);
    require(rdb_string_read(buf_slice(&out), &scratch, &again) == RDB_STRING_OK);
    require(slice_equals(again, value));
    buf_deinit(&out);
    buf_deinit(&scratch);
}

static void read_one(struct slice payload) {
    struct buf scratch;
    struct slice value;
    buf_init(&scratch, (size_t)16 << 20);
    if (rdb_string_read(payload, &scratch, &value) == RDB_STRING_OK) {
        write_and_read_again(value);
    }
    buf_deinit(&scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    read_one(slice_of(data, size));
    char *payload = malloc(size + 10);
    require(payload != NULL);
    if (size > 0) {
        memcpy(payload, data, size);
    }
    payload[size] = RDB_VERSION_WRITTEN;
    payload[size + 1] = 0;
    uint64_t crc = crc64(0, slice_of(payload, size + 2));
    memcpy(payload + size + 2, &crc, sizeof(crc));
    read_one(slice_of(payload, size + 10));
    write_and_read_again(slice_of(payload, size));
    free(payload);
    return 0;
}
