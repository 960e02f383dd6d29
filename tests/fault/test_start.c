/* A node that is made while memory fails: it is not made, says so, and nothing is left of it. */
#include "server/node.h"
#include "server/options.h"
#include "tests/fault/failing_heap.h"

#include <string.h>

static void a_start(void) {
    static char host[] = "-host=127.0.0.1", broadcast[] = "-broadcast=127.255.255.255", name[] = "kvnode";
    char *arguments[] = {name, host, broadcast};
    char message[OPTIONS_MESSAGE_BYTES] = "";
    struct options options;
    enum options_result parsed = options_parse(3, arguments, &options, message, sizeof(message));
    if (parsed != OPTIONS_RUN) {
        fail_msg("%s", message);
    }
    options.settings.port = options.settings.api_port = 0; /* any that is free */
    options.settings.redis_port = options.settings.discovery_port = 0;
    fault_arm();
    struct node *node = node_create(&options, message, sizeof(message));
    fault_disarm();
    if (node == NULL ? strncmp(message, "out of memory", 13) != 0 || fault_count() == 0 : fault_count() > 0) {
        fault_fail("%s, with the message \"%s\"", node == NULL ? "no node" : "a node", message);
    }
    node_destroy(&node);
}

static void test_a_start(void **state) {
    (void)state;
    fault_each(a_start);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_start)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
