/* Lives of RESP clients while memory fails: one who reads and writes, one who runs transactions, one who asks
 * for much. */
#include "tests/fault/transcript.h"

static void test_reading_and_writing(void **state) {
    (void)state;
    static const struct step steps[] = {
        {'a', "HELLO 3", SAME},
        {'a', "SET a 1", SAME},
        {'a', "GET a", SAME},
        {'a', "APPEND a 234", SAME},
        {'a', "APPEND text @long", SAME},
        {'a', "APPEND text @long", SAME},
        {'a', "SETRANGE text 5000 far", SAME},
        {'a', "SETRANGE range 600 far", SAME},
        {'a', "GETRANGE text 4990 -1", SAME},
        {'a', "INCR a", SAME},
        {'a', "INCRBYFLOAT float 1.5", SAME},
        {'a', "GETEX a EXAT 4102444800", SAME},
        {'a', "EXPIREAT text 4102444800", SAME},
        {'a', "PERSIST text", SAME},
        {'a', "SET b @long GET", SAME},
        {'a', "SET b @long GET", SAME},
        {'a', "GETSET b 5", SAME},
        {'a', "COPY text copy", SAME},
        {'a', "RENAME copy text2", SAME},
        {'a', "RENAME text2 text", SAME},
        {'a', "DUMP text", SAME},
        {'a', "RESTORE back 0 @dump", SAME},
        {'a', "RESTORE back 4102444800000 @dump REPLACE ABSTTL", SAME},
        {'a', "GET back", SAME},
        {'a', "GETDEL back", SAME},
        {'a', "SETBIT bits 8000 1", SAME},
        {'a', "BITFIELD bits SET u8 0 255 INCRBY u8 100 10 GET u8 0", SAME},
        {'a', "BITOP OR sum bits text", SAME},
        {'a', "BITOP NOT negative text", SAME},
        {'a', "BITCOUNT negative", SAME},
        {'a', "SET l1 ohmytextabcdefgh", SAME},
        {'a', "SET l2 mynewtextbcdefg", SAME},
        {'a', "LCS l1 l2", SAME},
        {'a', "LCS l1 l2 IDX WITHMATCHLEN", SAME},
        {'a', "PFADD hll a b c d e f g h", SAME},
        {'a', "PFADD hll2 x y z", SAME},
        {'a', "PFMERGE all hll hll2", SAME},
        {'a', "PFCOUNT hll hll2", SAME},
        {'a', "SCAN 0 COUNT 1000", AS_LONG},
        {'a', "KEYS *", AS_LONG},
        {'a', "RANDOMKEY", WELL_FORMED},
        {'a', "MGET a b text nothing", SAME},
        {'a', "OBJECT ENCODING text", SAME},
        {'a', "MEMORY USAGE text", SAME},
        {'a', "DEL l1 l2 float", SAME},
        {'a', "SET empty 1 PXAT 1", SAME},
        {'a', "FLUSHALL", SAME},
        {'a', "DBSIZE", SAME},
        {'a', "SET large @large", SAME},
        {'a', "APPEND large @large", SAME},
        {'a', "STRLEN large", SAME},
        {'a', "GET large", SAME},
        {'a', "SET large @large PXAT 4102444800000\nSTRLEN large", SAME},
        {'a', "GETSET large @large", SAME},
        {'a', "UNLINK large", SAME},
    };
    PLAY(steps);
}

static void test_transactions(void **state) {
    (void)state;
    static const struct step steps[] = {
        {'a', "WATCH a b @long", SAME}, {'b', "SET c 1", SAME}, {'a', "UNWATCH", SAME}, {'a', "WATCH c", SAME},
        {'a', "MULTI", SAME},           {'a', "DISCARD", SAME}, {'a', "WATCH d", SAME}, {'b', "SET d 1", SAME},
        {'b', "SET d 2", SAME},         {'b', "DEL d", SAME},
    };
    PLAY(steps);
}

static void test_large_replies(void **state) {
    (void)state;
    static const struct step steps[] = {
        {'a', "CONFIG SET slowlog-log-slower-than 0 latency-tracking yes", SAME},
        {'a', "HELLO 3 SETNAME one", WELL_FORMED},
        {'b', "CLIENT SETNAME two", SAME},
        {'b', "CLIENT SETINFO LIB-NAME lib", SAME},
        {'a', "CLIENT LIST", WELL_FORMED},
        {'a', "CLIENT INFO", WELL_FORMED},
        {'a', "CLIENT ID", WELL_FORMED},
        {'a', "INFO all", WELL_FORMED},
        {'a', "COMMAND", AS_LONG},
        {'a', "COMMAND DOCS", AS_LONG},
        {'a', "COMMAND INFO get set", SAME},
        {'a', "COMMAND GETKEYS MSET a b c d", SAME},
        {'a', "CONFIG GET *", WELL_FORMED},
        {'a', "SET a @long", SAME},
        {'a', "KEYS a*", SAME},
        {'a', "DEBUG DIGEST", WELL_FORMED},
        {'a', "SLOWLOG GET 100", WELL_FORMED},
        {'a', "LATENCY HISTOGRAM", WELL_FORMED},
        {'a', "CLUSTER SLOTS", SAME},
        {'a', "CLUSTER SHARDS", WELL_FORMED},
        {'a', "CLUSTER NODES", WELL_FORMED},
        {'a', "CLUSTER GETKEYSINSLOT 15495 10", SAME},
        {'a', "CLUSTER COUNTKEYSINSLOT 15495", SAME},
        {'a', "ACL LOG", SAME},
        {'a', "ACL WHOAMI", SAME},
        {'a', "MEMORY STATS", WELL_FORMED},
        {'a', "MEMORY MALLOC-STATS", WELL_FORMED},
        {'a', "MEMORY DOCTOR", WELL_FORMED},
        {'a', "GET a\nGET a\nGET a\nPING\nGET a\nECHO @long\nGET a", SAME},
    };
    PLAY(steps);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reading_and_writing),
        cmocka_unit_test(test_transactions),
        cmocka_unit_test(test_large_replies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
