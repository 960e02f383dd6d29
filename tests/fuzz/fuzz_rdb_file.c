/* fuzz_rdb_file.c: no file makes the reader read past its end or go on for ever, and all that it gives lies
 * within its limits. What comes first is made right: else almost no input would get past it. */
#include "protocol/limits.h"
#include "protocol/rdb_file.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* assert() would vanish with NDEBUG. */
static void require(bool holds) {
    if (!holds) {
        abort();
    }
}

static uint64_t sum_of(struct slice bytes) {
    uint64_t sum = 0;
    for (size_t i = 0; i < bytes.len; i++) {
        sum += (unsigned char)bytes.ptr[i];
    }
    return sum;
}

static void read_one(struct slice whole) {
    struct rdb_file file;
    struct rdb_file_item item;
    enum rdb_file_result result;
    uint64_t before = 0;
    rdb_file_init(&file, whole);
    while ((result = rdb_file_next(&file, &item)) == RDB_FILE_ITEM) {
        require(item.type != NULL && item.deadline_ms >= 0);
        require(item.key.len <= LIMIT_KEY_BYTES && item.value.len <= LIMIT_VALUE_BYTES);
        volatile uint64_t sum = sum_of(item.key) + sum_of(item.value);
        (void)sum;
        require(rdb_file_done(&file) > before && rdb_file_done(&file) <= whole.len);
        before = rdb_file_done(&file);
    }
    require(result == RDB_FILE_END ? before <= whole.len : file.reason[0] != '\0' || result != RDB_FILE_BAD);
    rdb_file_deinit(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char head[] = "REDIS0012";
    read_one(slice_of(data, size));
    char *whole = malloc(size + sizeof(head));
    require(whole != NULL);
    memcpy(whole, head, sizeof(head) - 1);
    if (size > 0) {
        memcpy(whole + sizeof(head) - 1, data, size);
    }
    read_one(slice_of(whole, size + sizeof(head) - 1));
    free(whole);
    return 0;
}
