/* Values as rows of bits. What is answered was compared with redis-server 7.0; where 7.2 differs it is 7.2's.
 */
#include "tests/unit/random.h"
#include "tests/unit/resp_fixture.h"

static void test_setbit_and_getbit(void **state) {
    (void)state;
    check("SETBIT a 7 1", ":0\r\n");
    check("GET a", "$1\r\n\x01\r\n");
    check("SETBIT a 7 1", ":1\r\n");
    check("SETBIT a 7 0", ":1\r\n");
    check("GETBIT a 7", ":0\r\n");
    check("SETBIT a 16 0", ":0\r\n");
    check("STRLEN a", ":3\r\n");
    check("GETBIT a 100", ":0\r\n");
    check("GETBIT a 4294967295", ":0\r\n");
    check("GETBIT nope 0", ":0\r\n");
    check("SETBIT a 0 2", "-ERR bit is not an integer or out of range\r\n");
    check("SETBIT a 0 x", "-ERR bit is not an integer or out of range\r\n");
    check("SETBIT a 0 -1", "-ERR bit is not an integer or out of range\r\n");
    check("SETBIT a 0 \"\"", "-ERR bit is not an integer or out of range\r\n");
    check("SETBIT a -1 0", "-ERR bit offset is not an integer or out of range\r\n");
    check("SETBIT a x 0", "-ERR bit offset is not an integer or out of range\r\n");
    check("SETBIT a 4294967296 0", "-ERR bit offset is not an integer or out of range\r\n");
    check("SETBIT a #1 0", "-ERR bit offset is not an integer or out of range\r\n");
    check("GETBIT a 4294967296", "-ERR bit offset is not an integer or out of range\r\n");
    check("GETBIT a -1", "-ERR bit offset is not an integer or out of range\r\n");
    check("GETBIT a #1", "-ERR bit offset is not an integer or out of range\r\n");
    check("GETBIT a 01", "-ERR bit offset is not an integer or out of range\r\n");
    check("SETBIT a 0", "-ERR wrong number of arguments for 'setbit' command\r\n");
    check("SET t v EX 100", "+OK\r\n");
    check("SETBIT t 100 1", ":0\r\n");
    check("TTL t", ":100\r\n");
}

static void test_bitcount(void **state) {
    (void)state;
    check("SET a foobar", "+OK\r\n");
    check("BITCOUNT a", ":26\r\n");
    check("BITCOUNT a 0 0", ":4\r\n");
    check("BITCOUNT a 1 1", ":6\r\n");
    check("BITCOUNT a 1 1 BYTE", ":6\r\n");
    check("BITCOUNT a 5 30 BIT", ":17\r\n");
    check("BITCOUNT a 5 5 BIT", ":1\r\n");
    check("BITCOUNT a -2 -1", ":7\r\n");
    check("BITCOUNT a -9 -1 bit", ":5\r\n");
    check("BITCOUNT a -1 -2", ":0\r\n");
    check("BITCOUNT a 3 1", ":0\r\n");
    check("BITCOUNT a -100 -50", ":4\r\n");
    check("BITCOUNT a -50 -100", ":0\r\n");
    check("BITCOUNT a 0 100", ":26\r\n");
    check("BITCOUNT a 9223372036854775807 -9223372036854775808", ":0\r\n");
    check("BITCOUNT a 0", "-ERR syntax error\r\n");
    check("BITCOUNT a 0 x", "-ERR value is not an integer or out of range\r\n");
    check("BITCOUNT a 0 1 foo", "-ERR syntax error\r\n");
    check("BITCOUNT a 0 1 BIT 2", "-ERR syntax error\r\n");
    check("BITCOUNT nope", ":0\r\n");
    check("BITCOUNT nope 0 -1", ":0\r\n");
    check("SET a \"\"", "+OK\r\n");
    check("BITCOUNT a", ":0\r\n");
    check("BITCOUNT a 0 0", ":0\r\n");
}

static void test_bitpos(void **state) {
    (void)state;
    check("SET a \"\\xff\\xf0\\x00\"", "+OK\r\n");
    check("BITPOS a 0", ":12\r\n");
    check("BITPOS a 1", ":0\r\n");
    check("BITPOS a 1 2", ":-1\r\n");
    check("BITPOS a 0 0 0", ":-1\r\n");
    check("BITPOS a 0 0 0 BYTE", ":-1\r\n");
    check("BITPOS a 0 5 7 BIT", ":-1\r\n");
    check("BITPOS a 0 5 20 BIT", ":12\r\n");
    check("BITPOS a 0 -1 -1", ":16\r\n");
    check("BITPOS a 1 -1 -1", ":-1\r\n");
    check("BITPOS a 0 -1 -100", ":-1\r\n");
    check("BITPOS a 1 3 1", ":-1\r\n");
    check("BITPOS a 2", "-ERR The bit argument must be 1 or 0.\r\n");
    check("BITPOS a x", "-ERR value is not an integer or out of range\r\n");
    check("BITPOS a 1 x", "-ERR value is not an integer or out of range\r\n");
    check("BITPOS a 1 0 x", "-ERR value is not an integer or out of range\r\n");
    check("BITPOS a 1 0 -1 foo", "-ERR syntax error\r\n");
    check("BITPOS a 1 0 -1 BIT 1", "-ERR syntax error\r\n");
    check("BITPOS nope 0", ":0\r\n");
    check("BITPOS nope 1", ":-1\r\n");
    check("BITPOS nope 1 0 -1 BIT", ":-1\r\n");
    check("SET a \"\\xff\\xff\"", "+OK\r\n");
    check("BITPOS a 0", ":16\r\n");
    check("BITPOS a 0 0", ":16\r\n");
    check("BITPOS a 0 1", ":16\r\n");
    check("BITPOS a 0 2", ":-1\r\n");
    check("BITPOS a 0 0 -1", ":-1\r\n");
    check("BITPOS a 0 0 100", ":-1\r\n");
    check("SET a \"\"", "+OK\r\n");
    check("BITPOS a 0", ":-1\r\n");
    check("BITPOS a 1", ":-1\r\n");
}

static void test_bitop(void **state) {
    (void)state;
    check("SET a \"abc\"", "+OK\r\n");
    check("SET b \"ab\"", "+OK\r\n");
    check("SET t v EX 100", "+OK\r\n");
    check("BITOP AND t a b", ":3\r\n");
    check_bytes("GET t", SLICE("$3\r\nab\x00\r\n"));
    check("TTL t", ":-1\r\n");
    check("BITOP OR d a b", ":3\r\n");
    check("GET d", "$3\r\nabc\r\n");
    check("BITOP XOR d a b", ":3\r\n");
    check_bytes("GET d", SLICE("$3\r\n\x00\x00"
                               "c\r\n"));
    check("BITOP NOT d b", ":2\r\n");
    check("GET d", "$2\r\n\x9e\x9d\r\n");
    check("BITOP and d a nope", ":3\r\n");
    check_bytes("GET d", SLICE("$3\r\n\x00\x00\x00\r\n"));
    check("BITOP or a a a", ":3\r\n");
    check("GET a", "$3\r\nabc\r\n");
    check("BITOP AND d nope nope2", ":0\r\n");
    check("EXISTS d", ":0\r\n");
    check("BITOP NOT d nope", ":0\r\n");
    check("BITOP NOT d a b", "-ERR BITOP NOT must be called with a single source key.\r\n");
    check("BITOP FOO d a", "-ERR syntax error\r\n");
    check("BITOP AND d", "-ERR wrong number of arguments for 'bitop' command\r\n");
}

static void test_bitfield(void **state) {
    (void)state;
    check("BITFIELD a", "*0\r\n");
    check("BITFIELD a GET u8 0", "*1\r\n:0\r\n");
    check("EXISTS a", ":0\r\n");
    check("BITFIELD a SET u8 0 255 GET u8 0 GET i8 0 GET u4 6", "*4\r\n:0\r\n:255\r\n:-1\r\n:12\r\n");
    check("BITFIELD a INCRBY u8 0 1 GET u8 0", "*2\r\n:0\r\n:0\r\n");
    check("BITFIELD a SET i8 #1 -100 INCRBY i8 #1 -100", "*2\r\n:0\r\n:56\r\n");
    check("BITFIELD a OVERFLOW SAT INCRBY i8 #1 100 INCRBY i8 #1 100 OVERFLOW FAIL INCRBY i8 #1 1 OVERFLOW "
          "WRAP INCRBY i8 #1 1",
          "*4\r\n:127\r\n:127\r\n$-1\r\n:-128\r\n");
    check("BITFIELD a SET u8 0 -1 OVERFLOW SAT SET u8 0 -1 SET u8 0 256 SET i8 0 200 SET i8 0 -200",
          "*5\r\n:0\r\n:255\r\n:255\r\n:-1\r\n:127\r\n");
    check("BITFIELD a OVERFLOW SAT SET i8 0 -9223372036854775808 GET i8 0", "*2\r\n:-128\r\n:127\r\n");
    check("BITFIELD a SET i64 0 -9223372036854775808 INCRBY i64 0 -1 OVERFLOW SAT INCRBY i64 0 1 OVERFLOW FAIL "
          "INCRBY i64 0 1",
          "*4\r\n:9187343239835811840\r\n:9223372036854775807\r\n:9223372036854775807\r\n$-1\r\n");
    check("BITFIELD a SET u63 1 9223372036854775807 INCRBY u63 1 1", "*2\r\n:9223372036854775807\r\n:0\r\n");
    check("BITFIELD a SET u1 3 1 SET u3 13 5 GET u16 0", "*3\r\n:0\r\n:0\r\n:4101\r\n");
    check("STRLEN a", ":8\r\n");
    check("BITFIELD a GET u8 4294967295", "*1\r\n:0\r\n");
    check("BITFIELD a GET u8 #536870911", "*1\r\n:0\r\n");
    check("BITFIELD new OVERFLOW FAIL INCRBY u2 100 9 GET u8 0", "*2\r\n$-1\r\n:0\r\n");
    check("STRLEN new", ":13\r\n");
    check("SET t v EX 100", "+OK\r\n");
    check("BITFIELD t SET u8 100 1", "*1\r\n:0\r\n");
    check("TTL t", ":100\r\n");
}

static void test_bitfield_is_refused(void **state) {
    (void)state;
    check("BITFIELD a GET", "-ERR syntax error\r\n");
    check("BITFIELD a GET u8", "-ERR syntax error\r\n");
    check("BITFIELD a SET u8 0", "-ERR syntax error\r\n");
    check("BITFIELD a INCRBY u8 0", "-ERR syntax error\r\n");
    check("BITFIELD a OVERFLOW", "-ERR syntax error\r\n");
    check("BITFIELD a OVERFLOW foo", "-ERR Invalid OVERFLOW type specified\r\n");
    check("BITFIELD a foo u8 0", "-ERR syntax error\r\n");
    check("BITFIELD a GET u64 0", "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not "
                                  "supported but i64 is.\r\n");
    check("BITFIELD a GET i65 0", "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not "
                                  "supported but i64 is.\r\n");
    check("BITFIELD a GET u0 0", "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not "
                                 "supported but i64 is.\r\n");
    check("BITFIELD a GET U8 0", "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not "
                                 "supported but i64 is.\r\n");
    check("BITFIELD a GET x8 0", "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not "
                                 "supported but i64 is.\r\n");
    check("BITFIELD a GET i 0", "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not "
                                "supported but i64 is.\r\n");
    check("BITFIELD a GET \"\" 0", "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is "
                                   "not supported but i64 is.\r\n");
    check("BITFIELD a GET i08 0", "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not "
                                  "supported but i64 is.\r\n");
    check("BITFIELD a GET u8 -1", "-ERR bit offset is not an integer or out of range\r\n");
    check("BITFIELD a GET u8 x", "-ERR bit offset is not an integer or out of range\r\n");
    check("BITFIELD a GET u8 #x", "-ERR bit offset is not an integer or out of range\r\n");
    check("BITFIELD a GET u8 4294967296", "-ERR bit offset is not an integer or out of range\r\n");
    check("BITFIELD a GET u8 #536870912", "-ERR bit offset is not an integer or out of range\r\n");
    check("BITFIELD a SET u8 0 x", "-ERR value is not an integer or out of range\r\n");
    check("BITFIELD a SET u8 0 1.5", "-ERR value is not an integer or out of range\r\n");
    check("EXISTS a", ":0\r\n");
    check("BITFIELD", "-ERR wrong number of arguments for 'bitfield' command\r\n");
    check("BITFIELD_RO a SET u8 0 1", "-ERR BITFIELD_RO only supports the GET subcommand\r\n");
    check("BITFIELD_RO a GET u8 0 INCRBY u8 0 1", "-ERR BITFIELD_RO only supports the GET subcommand\r\n");
    check("BITFIELD_RO a GET u8 0 GET i5 100", "*2\r\n:0\r\n:0\r\n");
    check("BITFIELD_RO a", "*0\r\n");
    check("BITFIELD_RO a OVERFLOW SAT GET u8 0", "*1\r\n:0\r\n");
    check("EXISTS a", ":0\r\n");
}

/* --- 7.2 differs from 7.0: what is wrong is said of a missing key, too --- */

static void test_arguments_before_the_key(void **state) {
    (void)state;
    check("BITCOUNT nope 0", "-ERR syntax error\r\n");
    check("BITCOUNT nope x 1", "-ERR value is not an integer or out of range\r\n");
    check("BITCOUNT nope 0 1 foo", "-ERR syntax error\r\n");
    check("BITPOS nope 1 x", "-ERR value is not an integer or out of range\r\n");
    check("BITPOS nope 1 0 1 foo", "-ERR syntax error\r\n");
}

/* --- Random bits, against the simplest way to look at them --- */

enum { BITS_BYTES = 40, BITS = BITS_BYTES * 8 };

static bool bit_of(const uint8_t *bytes, size_t i) { return (bytes[i / 8] >> (7 - i % 8) & 1) != 0; }

static void check_range(const uint8_t *bytes, int start, int end, bool in_bits) {
    char line[64], expected[32];
    int unit = in_bits ? 1 : 8, count = 0, first[2] = {-1, -1};
    for (int i = start * unit; i < (end + 1) * unit && i < BITS; i++) {
        bool bit = bit_of(bytes, (size_t)i);
        count += bit;
        first[bit] = first[bit] < 0 ? i : first[bit];
    }
    const char *word = in_bits ? "BIT" : "BYTE";
    snprintf(line, sizeof(line), "BITCOUNT a %d %d %s", start, end, word);
    snprintf(expected, sizeof(expected), ":%d\r\n", count);
    check(line, expected);
    for (int bit = 0; bit < 2; bit++) {
        snprintf(line, sizeof(line), "BITPOS a %d %d %d %s", bit, start, end, word);
        snprintf(expected, sizeof(expected), ":%d\r\n", first[bit]);
        check(line, expected);
    }
}

static void test_random_bits(void **state) {
    (void)state;
    struct random random = random_start("test_random_bits");
    for (int round = 0; round < 20; round++) {
        uint8_t bytes[BITS_BYTES] = {0};
        check("DEL a", round == 0 ? ":0\r\n" : ":1\r\n");
        check("SETRANGE a 39 \"\\x00\"", ":40\r\n");
        for (size_t n = random_below(&random, 60); n > 0; n--) {
            char line[64], expected[16];
            size_t at = random_below(&random, BITS);
            unsigned bit = (unsigned)random_below(&random, 2);
            snprintf(line, sizeof(line), "SETBIT a %zu %u", at, bit);
            snprintf(expected, sizeof(expected), ":%d\r\n", bit_of(bytes, at));
            check(line, expected);
            bytes[at / 8] = (uint8_t)((bytes[at / 8] & ~(0x80U >> at % 8)) | bit << (7 - at % 8));
        }
        for (int n = 0; n < 20; n++) {
            check_range(bytes, (int)random_below(&random, BITS), (int)random_below(&random, BITS + 50), true);
            check_range(bytes, (int)random_below(&random, BITS_BYTES),
                        (int)random_below(&random, BITS_BYTES + 9), false);
        }
    }
}

/* What is set comes back, at every place and width, and nothing beside it changes. */
static void test_random_fields(void **state) {
    (void)state;
    struct random random = random_start("test_random_fields");
    for (int round = 0; round < 500; round++) {
        unsigned bits = 1 + (unsigned)random_below(&random, 63);
        size_t at = random_below(&random, 100);
        uint64_t number = random_u64(&random) >> (64 - bits);
        char line[256], expected[128];
        check(
            "SET a \"\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff"
            "\\xff\\xff\\xff\"",
            "+OK\r\n");
        snprintf(line, sizeof(line), "BITFIELD a SET u%u %zu %llu GET u%u %zu GET u1 %zu", bits, at,
                 (unsigned long long)number, bits, at, at + bits);
        snprintf(expected, sizeof(expected), "*3\r\n:%llu\r\n:%llu\r\n:1\r\n",
                 (unsigned long long)(UINT64_MAX >> (64 - bits)), (unsigned long long)number);
        check(line, expected);
        snprintf(expected, sizeof(expected), ":%d\r\n", 168 - (int)bits + __builtin_popcountll(number));
        check("BITCOUNT a", expected);
    }
}

static void test_a_large_row_of_bits(void **state) {
    (void)state;
    check("SETBIT a 80000000 1", ":0\r\n");
    check("STRLEN a", ":10000001\r\n");
    check("SETBIT a 79999999 1", ":0\r\n");
    check("BITCOUNT a", ":2\r\n");
    check("BITPOS a 1", ":79999999\r\n");
    check("BITFIELD a GET u2 79999999 SET u8 0 1 GET u8 80000000", "*3\r\n:3\r\n:0\r\n:128\r\n");
    check("BITOP NOT b a", ":10000001\r\n");
    check("BITCOUNT b", ":80000005\r\n");
    check("BITPOS b 0", ":7\r\n");
}

int main(void) {
#define test(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        test(test_setbit_and_getbit),
        test(test_bitcount),
        test(test_bitpos),
        test(test_bitop),
        test(test_bitfield),
        test(test_bitfield_is_refused),
        test(test_arguments_before_the_key),
        test(test_random_bits),
        test(test_random_fields),
        test(test_a_large_row_of_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
