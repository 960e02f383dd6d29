#include "protocol/datagram.h"

#include "tests/unit/random.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void assert_encodes(const struct datagram *datagram, const char *expected) {
    char text[LIMIT_DATAGRAM_BYTES];
    assert_int_equal(datagram_encode(datagram, text), strlen(expected));
    assert_memory_equal(text, expected, strlen(expected));
}

static enum datagram_result decode(const char *text) {
    struct datagram datagram;
    return datagram_decode(slice_from_text(text), &datagram);
}

static void assert_malformed(const char *text) {
    if (decode(text) != DATAGRAM_MALFORMED) {
        fail_msg("\"%s\" is malformed", text);
    }
}

/* "ANNOUNCE|nodeID|host|port|groupID|isLeader", the specification's example. */
static void test_the_example_of_the_specification(void **state) {
    (void)state;
    struct datagram datagram;
    assert_int_equal(datagram_decode(SLICE("ANNOUNCE|a1b2c3d4|127.0.0.1|8000|0|true"), &datagram), DATAGRAM_OK);
    assert_int_equal(datagram.verb, DATAGRAM_ANNOUNCE);
    assert_string_equal(datagram.node_id, "a1b2c3d4");
    assert_string_equal(datagram.host, "127.0.0.1");
    assert_int_equal(datagram.port, 8000);
    assert_int_equal(datagram.group, 0);
    assert_true(datagram.leader);
    assert_encodes(&datagram, "ANNOUNCE|a1b2c3d4|127.0.0.1|8000|0|true");

    datagram.leader = false;
    datagram.group = LIMIT_GROUP;
    datagram.port = 65535;
    assert_encodes(&datagram, "ANNOUNCE|a1b2c3d4|127.0.0.1|65535|16383|false");
}

static void test_the_other_datagrams(void **state) {
    (void)state;
    struct datagram datagram;
    assert_int_equal(datagram_decode(SLICE("ENDPOINTS|a1b2c3d4|9000|6379"), &datagram), DATAGRAM_OK);
    assert_int_equal(datagram.verb, DATAGRAM_ENDPOINTS);
    assert_string_equal(datagram.node_id, "a1b2c3d4");
    assert_int_equal(datagram.api_port, 9000);
    assert_int_equal(datagram.redis_port, 6379);
    assert_false(datagram.tells_position);
    assert_encodes(&datagram, "ENDPOINTS|a1b2c3d4|9000|6379");

    assert_int_equal(datagram_decode(SLICE("ENDPOINTS|a|9000|6379|true|18446744073709551615"), &datagram),
                     DATAGRAM_OK);
    assert_true(datagram.tells_position && datagram.has_state && datagram.index == UINT64_MAX);
    assert_encodes(&datagram, "ENDPOINTS|a|9000|6379|true|18446744073709551615");
    datagram.has_state = false;
    datagram.index = 0;
    assert_encodes(&datagram, "ENDPOINTS|a|9000|6379|false|0");
    assert_int_equal(datagram_decode(SLICE("ENDPOINTS|a|9000|6379|true|7|18446744073709551615"), &datagram),
                     DATAGRAM_OK);
    assert_true(datagram.index == 7 && datagram.term == UINT64_MAX);
    assert_encodes(&datagram, "ENDPOINTS|a|9000|6379|true|7|18446744073709551615");
    assert_malformed("ENDPOINTS|a|9000|6379|true|7|x");

    assert_int_equal(datagram_decode(SLICE("UPTIME|a1b2c3d4|9223372036854775807"), &datagram), DATAGRAM_OK);
    assert_int_equal(datagram.verb, DATAGRAM_UPTIME);
    assert_string_equal(datagram.node_id, "a1b2c3d4");
    assert_true(datagram.uptime_ms == INT64_MAX);
    assert_encodes(&datagram, "UPTIME|a1b2c3d4|9223372036854775807");
    assert_malformed("UPTIME|a1b2c3d4|9223372036854775808");
    assert_malformed("UPTIME|a1b2c3d4|-1");

    assert_int_equal(datagram_decode(SLICE("WHO"), &datagram), DATAGRAM_OK);
    assert_int_equal(datagram.verb, DATAGRAM_WHO);
    assert_string_equal(datagram.node_id, "");
    assert_encodes(&datagram, "WHO");

    assert_int_equal(datagram_decode(SLICE("LEAVE|A_b-9"), &datagram), DATAGRAM_OK);
    assert_int_equal(datagram.verb, DATAGRAM_LEAVE);
    assert_string_equal(datagram.node_id, "A_b-9");
    assert_encodes(&datagram, "LEAVE|A_b-9");
}

/* "Surplus fields at the end of kvnode's own datagrams are ignored, so that both can grow": not of ANNOUNCE,
 * which is the specification's. */
static void test_fields_of_the_future_are_ignored(void **state) {
    (void)state;
    struct datagram datagram;
    assert_int_equal(datagram_decode(SLICE("ENDPOINTS|a|9000|6379|true|7|3|news|of|the future"), &datagram),
                     DATAGRAM_OK);
    assert_true(datagram.has_state && datagram.index == 7 && datagram.term == 3);
    assert_int_equal(decode("LEAVE|a|news"), DATAGRAM_OK);
    assert_int_equal(datagram_decode(SLICE("LEAVE|a|b|\n"), &datagram), DATAGRAM_OK);
    assert_encodes(&datagram, "LEAVE|a");
    assert_int_equal(decode("WHO|"), DATAGRAM_OK);
    assert_int_equal(decode("WHO|news"), DATAGRAM_OK);
    assert_malformed("WHO|\x01");
    assert_malformed("ANNOUNCE|a|10.0.0.1|1|2|true|news");
}

static void test_tolerates_one_line_end(void **state) {
    (void)state;
    struct datagram datagram;
    assert_int_equal(datagram_decode(SLICE("ANNOUNCE|a|10.0.0.1|1|2|false\n"), &datagram), DATAGRAM_OK);
    assert_int_equal(datagram_decode(SLICE("ANNOUNCE|a|10.0.0.1|1|2|false\r\n"), &datagram), DATAGRAM_OK);
    assert_false(datagram.leader);
    assert_int_equal(decode("WHO\n"), DATAGRAM_OK);
    assert_malformed("WHO\n\n");
    assert_malformed("WHO\r");
    assert_malformed("WHO\r\r\n");
    assert_malformed("\n");
    assert_malformed("\r\n");
}

static void test_a_verb_of_the_future_is_unknown(void **state) {
    (void)state;
    assert_int_equal(decode("GOSSIP|a|b"), DATAGRAM_UNKNOWN);
    assert_int_equal(decode("WHOM"), DATAGRAM_UNKNOWN);
    assert_int_equal(decode("WH"), DATAGRAM_UNKNOWN);
    assert_int_equal(decode("who"), DATAGRAM_UNKNOWN);
    assert_int_equal(decode("ANNOUNCE2|a|h|1|2|true"), DATAGRAM_UNKNOWN);
    assert_int_equal(decode("REPLICATE|k|v|1"), DATAGRAM_UNKNOWN);
    assert_malformed("GOSSIP|a\x01|b");
    assert_malformed("GOSSIP|a\x7F|b");
    assert_malformed("GOSSIP|a\x1F|b");
    assert_int_equal(decode("GOSSIP|a b|\xC3\xA9"), DATAGRAM_UNKNOWN);
}

static void test_malformed(void **state) {
    (void)state;
    static const char *const texts[] = {
        "",
        "|",
        "|a",
        "ANNOUNCE",
        "ANNOUNCE|",
        "ANNOUNCE|a|10.0.0.1|1|2",
        "ANNOUNCE|a|10.0.0.1|1|2|true|",
        "ANNOUNCE|a|10.0.0.1|1|2|true|x",
        /* node id */
        "ANNOUNCE||10.0.0.1|1|2|true",
        "ANNOUNCE|a.b|10.0.0.1|1|2|true",
        "ANNOUNCE|a b|10.0.0.1|1|2|true",
        "ANNOUNCE|\xC3\xA9|10.0.0.1|1|2|true",
        "ANNOUNCE|12345678901234567890123456789012345678901|10.0.0.1|1|2|true",
        /* host */
        "ANNOUNCE|a||1|2|true",
        "ANNOUNCE|a| |1|2|true",
        "ANNOUNCE|a|h|1|2|true",
        "ANNOUNCE|a|8.8.8.8x|1|2|true",
        "ANNOUNCE|a|999.1.2.3|1|2|true",
        "ANNOUNCE|a|0.0.0.0|1|2|true",
        "ANNOUNCE|a|255.255.255.255|1|2|true",
        "ANNOUNCE|a|224.0.0.1|1|2|true",
        /* port */
        "ANNOUNCE|a|10.0.0.1||2|true",
        "ANNOUNCE|a|10.0.0.1|0|2|true",
        "ANNOUNCE|a|10.0.0.1|65536|2|true",
        "ANNOUNCE|a|10.0.0.1|08000|2|true",
        "ANNOUNCE|a|10.0.0.1|-1|2|true",
        "ANNOUNCE|a|10.0.0.1|+1|2|true",
        "ANNOUNCE|a|10.0.0.1|1 |2|true",
        "ANNOUNCE|a|10.0.0.1|18446744073709551617|2|true",
        /* group */
        "ANNOUNCE|a|10.0.0.1|1||true",
        "ANNOUNCE|a|10.0.0.1|1|16384|true",
        "ANNOUNCE|a|10.0.0.1|1|-1|true",
        "ANNOUNCE|a|10.0.0.1|1|00|true",
        "ANNOUNCE|a|10.0.0.1|1|65536|true",
        /* truth */
        "ANNOUNCE|a|10.0.0.1|1|2|",
        "ANNOUNCE|a|10.0.0.1|1|2|TRUE",
        "ANNOUNCE|a|10.0.0.1|1|2|1",
        "ANNOUNCE|a|10.0.0.1|1|2|truee",
        "ANNOUNCE|a|10.0.0.1|1|2|true ",
        /* the others */
        "ENDPOINTS|a|9000",
        "ENDPOINTS|a|9000|",
        "ENDPOINTS|a|0|6379",
        "ENDPOINTS|a|9000|0",
        "ENDPOINTS|a|9000|65536",
        "ENDPOINTS|a|9000|6379|1",
        "ENDPOINTS|a|9000|6379|true",
        "ENDPOINTS|a|9000|6379|true|",
        "ENDPOINTS|a|9000|6379|true|-1",
        "ENDPOINTS|a|9000|6379|yes|1",
        "ENDPOINTS||9000|6379",
        "LEAVE",
        "LEAVE|",
        "LEAVE|a\t",
        "LEAVE|a\x7F",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_malformed(texts[i]);
    }
    struct datagram datagram;
    assert_int_equal(datagram_decode(SLICE("LEAVE|a\0"), &datagram), DATAGRAM_MALFORMED);
    assert_int_equal(datagram_decode(SLICE("WHO\0"), &datagram), DATAGRAM_MALFORMED);
    assert_int_equal(datagram_decode((struct slice){0}, &datagram), DATAGRAM_MALFORMED);
}

static void test_lengths_at_their_limits(void **state) {
    (void)state;
    struct datagram datagram = {.verb = DATAGRAM_ANNOUNCE, .port = 65535, .group = LIMIT_GROUP};
    memset(datagram.node_id, 'n', LIMIT_NODE_ID_BYTES);
    strcpy(datagram.host, "1111:2222:3333:4444:5555:6666:123.123.123.123");
    char text[LIMIT_DATAGRAM_BYTES + 1];
    size_t n = datagram_encode(&datagram, text);
    struct datagram back;
    assert_int_equal(datagram_decode(slice_of(text, n), &back), DATAGRAM_OK);
    assert_string_equal(back.node_id, datagram.node_id);
    assert_string_equal(back.host, datagram.host);

    char long_host[LIMIT_HOST_BYTES * 4];
    memset(long_host, '1', sizeof(long_host));
    for (size_t len = 0; len <= sizeof(long_host); len++) {
        assert_false(datagram_valid_host(slice_of(long_host, len)));
    }

    memset(text, 'X', sizeof(text));
    assert_int_equal(datagram_decode(slice_of(text, LIMIT_DATAGRAM_BYTES), &back), DATAGRAM_UNKNOWN);
    assert_int_equal(datagram_decode(slice_of(text, LIMIT_DATAGRAM_BYTES + 1), &back), DATAGRAM_MALFORMED);
}

static void test_characters_of_ids(void **state) {
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        char c = (char)byte;
        bool valid =
            (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-';
        assert_int_equal(datagram_valid_node_id(slice_of(&c, 1)), valid);
    }
    assert_false(datagram_valid_node_id((struct slice){0}));
}

static void test_a_host_is_the_address_of_one(void **state) {
    (void)state;
    static const char *const hosts[] = {"127.0.0.1", "1.0.0.0", "223.255.255.255", "10.0.0.255",
                                        "::1",       "fe80::1", "2001:DB8::1",     "::ffff:10.0.0.1"};
    static const char *const none[] = {
        "localhost",
        "node-1.example.org",
        "8.8.8.8x",
        "8.8.8",
        "8.8.8.8.8",
        "999.1.2.3",
        "1.2.3.256",
        "08.8.8.8x",
        "0x7f.0.0.1",
        "2130706433",
        " 10.0.0.1",
        "10.0.0.1 ",
        "10. 0.0.1",
        "10.0.0.1:80",
        "[::1]",
        "::1%lo",
        ":::",
        "12345::1",
        "0.0.0.0",
        "0.1.2.3",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "ff02::1",
        "::ffff:0.0.0.0",
        "::ffff:224.0.0.1",
    };
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        assert_true(datagram_valid_host(slice_from_text(hosts[i])));
    }
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        assert_false(datagram_valid_host(slice_from_text(none[i])));
    }
    assert_false(datagram_valid_host((struct slice){0}));
    assert_false(datagram_valid_host(SLICE("10.0.0.1\0")));
}

static void random_text(struct random *random, char *to, size_t most, const char *from) {
    size_t n = 1 + random_below(random, most);
    random_bytes_of(random, to, n, from, strlen(from));
    to[n] = '\0';
}

static void test_round_trip(void **state) {
    (void)state;
    struct random random = random_start(__func__);
    for (int i = 0; i < 20000; i++) {
        struct datagram datagram = {.verb = (enum datagram_verb)random_below(&random, 4)};
        if (datagram.verb != DATAGRAM_WHO) {
            random_text(&random, datagram.node_id, LIMIT_NODE_ID_BYTES, "azAZ09_-");
        }
        if (datagram.verb == DATAGRAM_ANNOUNCE) {
            snprintf(datagram.host, sizeof(datagram.host), "10.%u.%u.%u", (unsigned)random_below(&random, 256),
                     (unsigned)random_below(&random, 256), (unsigned)random_below(&random, 256));
            datagram.port = (uint16_t)(1 + random_below(&random, 65535));
            datagram.group = (uint16_t)random_below(&random, LIMIT_GROUP + 1);
            datagram.leader = random_below(&random, 2) == 0;
        }
        if (datagram.verb == DATAGRAM_ENDPOINTS) {
            datagram.api_port = (uint16_t)(1 + random_below(&random, 65535));
            datagram.redis_port = (uint16_t)(1 + random_below(&random, 65535));
            datagram.tells_position = random_below(&random, 2) == 0;
            datagram.has_state = datagram.tells_position && random_below(&random, 2) == 0;
            datagram.index = datagram.tells_position ? random_below(&random, UINT64_MAX) : 0;
        }
        char text[LIMIT_DATAGRAM_BYTES];
        struct datagram back;
        assert_int_equal(datagram_decode(slice_of(text, datagram_encode(&datagram, text)), &back), DATAGRAM_OK);
        assert_int_equal(back.verb, datagram.verb);
        assert_string_equal(back.node_id, datagram.node_id);
        assert_string_equal(back.host, datagram.host);
        assert_int_equal(back.port, datagram.port);
        assert_int_equal(back.group, datagram.group);
        assert_int_equal(back.leader, datagram.leader);
        assert_int_equal(back.api_port, datagram.api_port);
        assert_int_equal(back.redis_port, datagram.redis_port);
        assert_int_equal(back.tells_position, datagram.tells_position);
        assert_int_equal(back.has_state, datagram.has_state);
        assert_true(back.index == datagram.index);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_example_of_the_specification), cmocka_unit_test(test_the_other_datagrams),
        cmocka_unit_test(test_fields_of_the_future_are_ignored), cmocka_unit_test(test_tolerates_one_line_end),
        cmocka_unit_test(test_a_verb_of_the_future_is_unknown),  cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_lengths_at_their_limits),          cmocka_unit_test(test_characters_of_ids),
        cmocka_unit_test(test_a_host_is_the_address_of_one),     cmocka_unit_test(test_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
