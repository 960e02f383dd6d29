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
    assert_encodes(&datagram, "ENDPOINTS|a1b2c3d4|9000|6379");

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

static void test_fields_of_the_future_are_ignored(void **state) {
    (void)state;
    struct datagram datagram;
    assert_int_equal(datagram_decode(SLICE("ENDPOINTS|a|9000|6379|3-b"), &datagram), DATAGRAM_OK);
    assert_encodes(&datagram, "ENDPOINTS|a|9000|6379");
    assert_int_equal(datagram_decode(SLICE("LEAVE|a|b|\n"), &datagram), DATAGRAM_OK);
    assert_encodes(&datagram, "LEAVE|a");
    assert_int_equal(decode("WHO|"), DATAGRAM_OK);
    assert_int_equal(decode("WHO|a"), DATAGRAM_OK);
    assert_malformed("WHO|\x01");
}

static void test_tolerates_one_line_end(void **state) {
    (void)state;
    struct datagram datagram;
    assert_int_equal(datagram_decode(SLICE("ANNOUNCE|a|h|1|2|false\n"), &datagram), DATAGRAM_OK);
    assert_int_equal(datagram_decode(SLICE("ANNOUNCE|a|h|1|2|false\r\n"), &datagram), DATAGRAM_OK);
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
        "ANNOUNCE|a|h|1|2",
        "ANNOUNCE|a|h|1|2|true|",
        "ANNOUNCE|a|h|1|2|true|x",
        /* node id */
        "ANNOUNCE||h|1|2|true",
        "ANNOUNCE|a.b|h|1|2|true",
        "ANNOUNCE|a b|h|1|2|true",
        "ANNOUNCE|\xC3\xA9|h|1|2|true",
        "ANNOUNCE|12345678901234567890123456789012345678901|h|1|2|true",
        /* host */
        "ANNOUNCE|a||1|2|true",
        "ANNOUNCE|a|h h|1|2|true",
        "ANNOUNCE|a|h/|1|2|true",
        "ANNOUNCE|a|[::1]|1|2|true",
        "ANNOUNCE|a|h%eth0|1|2|true",
        /* port */
        "ANNOUNCE|a|h||2|true",
        "ANNOUNCE|a|h|0|2|true",
        "ANNOUNCE|a|h|65536|2|true",
        "ANNOUNCE|a|h|08000|2|true",
        "ANNOUNCE|a|h|-1|2|true",
        "ANNOUNCE|a|h|+1|2|true",
        "ANNOUNCE|a|h|1 |2|true",
        "ANNOUNCE|a|h|18446744073709551617|2|true",
        /* group */
        "ANNOUNCE|a|h|1||true",
        "ANNOUNCE|a|h|1|16384|true",
        "ANNOUNCE|a|h|1|-1|true",
        "ANNOUNCE|a|h|1|00|true",
        "ANNOUNCE|a|h|1|65536|true",
        /* truth */
        "ANNOUNCE|a|h|1|2|",
        "ANNOUNCE|a|h|1|2|TRUE",
        "ANNOUNCE|a|h|1|2|1",
        "ANNOUNCE|a|h|1|2|truee",
        "ANNOUNCE|a|h|1|2|true ",
        /* the others */
        "ENDPOINTS|a|9000",
        "ENDPOINTS|a|9000|",
        "ENDPOINTS|a|0|6379",
        "ENDPOINTS|a|9000|0",
        "ENDPOINTS|a|9000|65536",
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
    memset(datagram.host, 'h', LIMIT_HOST_BYTES);
    char text[LIMIT_DATAGRAM_BYTES + 1];
    size_t n = datagram_encode(&datagram, text);
    struct datagram back;
    assert_int_equal(datagram_decode(slice_of(text, n), &back), DATAGRAM_OK);
    assert_string_equal(back.node_id, datagram.node_id);
    assert_string_equal(back.host, datagram.host);

    char long_host[LIMIT_HOST_BYTES + 1];
    memset(long_host, 'h', sizeof(long_host));
    assert_false(datagram_valid_host(slice_of(long_host, sizeof(long_host))));
    assert_true(datagram_valid_host(slice_of(long_host, LIMIT_HOST_BYTES)));

    memset(text, 'X', sizeof(text));
    assert_int_equal(datagram_decode(slice_of(text, LIMIT_DATAGRAM_BYTES), &back), DATAGRAM_UNKNOWN);
    assert_int_equal(datagram_decode(slice_of(text, LIMIT_DATAGRAM_BYTES + 1), &back), DATAGRAM_MALFORMED);
}

static void test_characters_of_ids_and_hosts(void **state) {
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        char c = (char)byte;
        bool common =
            (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-';
        assert_int_equal(datagram_valid_node_id(slice_of(&c, 1)), common);
        assert_int_equal(datagram_valid_host(slice_of(&c, 1)), common || c == '.' || c == ':');
    }
    assert_true(datagram_valid_host(SLICE("fe80::1")));
    assert_true(datagram_valid_host(SLICE("node-1.example.org")));
    assert_false(datagram_valid_node_id((struct slice){0}));
    assert_false(datagram_valid_host((struct slice){0}));
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
            random_text(&random, datagram.host, LIMIT_HOST_BYTES, "azAZ09.-_:");
            datagram.port = (uint16_t)(1 + random_below(&random, 65535));
            datagram.group = (uint16_t)random_below(&random, LIMIT_GROUP + 1);
            datagram.leader = random_below(&random, 2) == 0;
        }
        if (datagram.verb == DATAGRAM_ENDPOINTS) {
            datagram.api_port = (uint16_t)(1 + random_below(&random, 65535));
            datagram.redis_port = (uint16_t)(1 + random_below(&random, 65535));
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
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_example_of_the_specification),
        cmocka_unit_test(test_the_other_datagrams),
        cmocka_unit_test(test_fields_of_the_future_are_ignored),
        cmocka_unit_test(test_tolerates_one_line_end),
        cmocka_unit_test(test_a_verb_of_the_future_is_unknown),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_lengths_at_their_limits),
        cmocka_unit_test(test_characters_of_ids_and_hosts),
        cmocka_unit_test(test_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
