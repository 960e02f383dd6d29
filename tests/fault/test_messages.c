/* Clients that hear of what others do, while memory fails: channels, tracking, MONITOR, notifications. */
#include "tests/fault/transcript.h"

static void test_channels(void **state) {
    (void)state;
    static const struct step steps[] = {
        {'b', "HELLO 3", WELL_FORMED},
        {'b', "SUBSCRIBE short", SAME},
        {'b', "SUBSCRIBE @long", SAME},
        {'b', "PSUBSCRIBE s*", SAME},
        {'c', "SUBSCRIBE short", SAME},
        {'c', "SSUBSCRIBE shard", SAME},
        {'a', "PUBLISH short message", SAME},
        {'a', "PUBLISH short @long", SAME},
        {'a', "PUBLISH short @large", SAME},
        {'a', "PUBLISH @long message", SAME},
        {'a', "SPUBLISH shard @long", SAME},
        {'a', "PUBSUB CHANNELS", AS_LONG},
        {'a', "PUBSUB NUMSUB short @long", SAME},
        {'a', "PUBSUB NUMPAT", SAME},
        {'c', "SUNSUBSCRIBE", SAME},
        {'b', "PUNSUBSCRIBE", SAME},
        {'b', "UNSUBSCRIBE\nPING", SAME},
        {'a', "PUBLISH short message", SAME},
    };
    PLAY(steps);
}

static void test_tracking(void **state) {
    (void)state;
    static const struct step steps[] = {
        {'b', "HELLO 3", WELL_FORMED},
        {'b', "CLIENT TRACKING ON", TOLD},
        {'c', "HELLO 3", WELL_FORMED},
        {'c', "CLIENT TRACKING ON BCAST PREFIX a PREFIX xx", TOLD},
        {'a', "SET a 1", TOLD},
        {'b', "GET a", TOLD},
        {'a', "SET a 2", TOLD},
        {'a', "SET @long 1", TOLD},
        {'b', "GET @long", TOLD},
        {'a', "SET @long 2", TOLD},
        {'b', "MGET a b c d", TOLD},
        {'a', "SET b 1", TOLD},
        {'b', "GET a", TOLD},
        {'a', "FLUSHALL", TOLD},
        {'c', "CLIENT TRACKING OFF", TOLD},
        {'b', "CLIENT TRACKINGINFO", TOLD},
        {'b', "CLIENT TRACKING OFF", TOLD},
    };
    PLAY(steps);
}

static void test_monitor(void **state) {
    (void)state;
    static const struct step steps[] = {
        {'b', "MONITOR", SAME},
        {'a', "SET a @long", WELL_FORMED},
        {'a', "GET a", WELL_FORMED},
        {'a', "SET a @large", WELL_FORMED},
    };
    PLAY(steps);
}

static void test_notifications(void **state) {
    (void)state;
    static const struct step steps[] = {
        {'a', "CONFIG SET notify-keyspace-events KEA", SAME},
        {'b', "HELLO 3", WELL_FORMED},
        {'b', "PSUBSCRIBE *", SAME},
        {'a', "SET a 1", SOME_TOLD},
        {'a', "SET @long 1", SOME_TOLD},
        {'a', "DEL @long", SOME_TOLD},
    };
    PLAY(steps);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_channels),
        cmocka_unit_test(test_tracking),
        cmocka_unit_test(test_monitor),
        cmocka_unit_test(test_notifications),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
