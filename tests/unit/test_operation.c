/* What operators and client libraries ask of a node besides data: who it is, who is there, what goes on. Texts
 * were compared with redis-server 7.0; where 7.2 differs they are 7.2's. */
#include "tests/unit/resp_clients.h"

#include "server/clients/clients.h"

#include <sys/stat.h>

/* --- Who it is */

#define HELLO_REPLY(proto, id)                                                                                 \
    "$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.2.4\r\n$5\r\nproto\r\n:" proto                    \
    "\r\n$2\r\nid\r\n:" id "\r\n$4\r\nmode\r\n$7\r\ncluster\r\n$4\r\nrole\r\n$6\r\nmaster\r\n"                 \
    "$7\r\nmodules\r\n*0\r\n"

static void test_hello(void **state) {
    (void)state;
    check("HELLO", "*14\r\n" HELLO_REPLY("2", "1"));
    check("HELLO 3", "%7\r\n" HELLO_REPLY("3", "1"));
    check("GET missing", "_\r\n");
    check("HELLO 2 SETNAME me", "*14\r\n" HELLO_REPLY("2", "1"));
    check("CLIENT GETNAME", "$2\r\nme\r\n");
    check("GET missing", "$-1\r\n");
    check("HELLO 4", "-NOPROTO unsupported protocol version\r\n");
    check("HELLO x", "-ERR Protocol version is not an integer or out of range\r\n");
    check("HELLO 3 foo", "-ERR Syntax error in HELLO option 'foo'\r\n");
    check("HELLO 3 SETNAME", "-ERR Syntax error in HELLO option 'SETNAME'\r\n");
    check("HELLO 3 SETNAME \"a b\"",
          "-ERR Client names cannot contain spaces, newlines or special characters.\r\n");
    check("HELLO 3 AUTH foo bar", "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
    check("GET missing", "$-1\r\n");
    check("HELLO 2 AUTH default whatever", "*14\r\n" HELLO_REPLY("2", "1"));
    check("AUTH x",
          "-ERR AUTH <password> called without any password configured for the default user. Are you sure "
          "your configuration is correct?\r\n");
    check("AUTH a b c", "-ERR syntax error\r\n");
}

static void test_a_password(void **state) {
    (void)state;
    says('a', "CONFIG SET requirepass sesame", "+OK\r\n");
    says('a', "PING", "+PONG\r\n"); /* who is in stays in */
    says('b', "PING", "-NOAUTH Authentication required.\r\n");
    says('b', "GET a", "-NOAUTH Authentication required.\r\n");
    says('b', "nosuch", "-ERR unknown command 'nosuch', with args beginning with: \r\n");
    turn_to('b');
    check_bytes("HELLO 3",
                SLICE("-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO "
                      "<proto> AUTH <user> <pass> option can be used to authenticate the client and select the "
                      "RESP protocol version at the same time\r\n"));
    static const char *const wrong[] = {"AUTH sesam",           "AUTH sesame1",          "AUTH \"\"",
                                        "AUTH default sesam",   "AUTH Default sesame",   "AUTH user sesame",
                                        "AUTH \"sesame\\x00\"", "HELLO 2 AUTH default x"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        says('b', wrong[i], "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
        says('b', "PING", "-NOAUTH Authentication required.\r\n");
    }
    says('b', "AUTH sesame", "+OK\r\n");
    says('b', "PING", "+PONG\r\n");
    says('b', "ACL GETUSER default",
         "*12\r\n$5\r\nflags\r\n*1\r\n$2\r\non\r\n$9\r\npasswords\r\n*1\r\n"
         /* hashlib.sha256(b"sesame").hexdigest() */
         "$64\r\nd0c04f4b1951e4aeaaec8223ed2039e542f3aae805a6fa7f6d794e5afff5d272\r\n"
         "$8\r\ncommands\r\n$5\r\n+@all\r\n$4\r\nkeys\r\n$2\r\n~*\r\n$8\r\nchannels\r\n$2\r\n&*\r\n"
         "$9\r\nselectors\r\n*0\r\n");
    says('b', "RESET", "+RESET\r\n");
    says('b', "PING", "-NOAUTH Authentication required.\r\n");
    turn_to('c');
    check_contains("HELLO 3 AUTH default sesame SETNAME me", ":3\r\n");
    says('c', "CLIENT GETNAME", "$2\r\nme\r\n");
    says('c', "CONFIG SET requirepass \"\"", "+OK\r\n");
    says('b', "PING", "+PONG\r\n");
}

static void test_reset(void **state) {
    (void)state;
    check_contains("HELLO 3 SETNAME me", ":3\r\n");
    check("CLIENT NO-EVICT ON", "+OK\r\n");
    check("RESET", "+RESET\r\n");
    check("CLIENT GETNAME", "$-1\r\n");
    check_contains("CLIENT INFO", " flags=N ");
    check_contains("CLIENT INFO", " resp=2 ");
}

static void test_acl(void **state) {
    (void)state;
    check("ACL WHOAMI", "$7\r\ndefault\r\n");
    check("ACL USERS", "*1\r\n$7\r\ndefault\r\n");
    check("ACL LIST", "*1\r\n$34\r\nuser default on nopass ~* &* +@all\r\n");
    check("ACL GETUSER nobody", "$-1\r\n");
    check("ACL CAT nosuch", "-ERR Unknown category 'nosuch'\r\n");
    check_contains("ACL CAT", "*21\r\n$8\r\nkeyspace\r\n");
    check_contains("ACL CAT STRING", "$3\r\nset\r\n");
    check(
        "ACL GENPASS 0",
        "-ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to "
        "4096\r\n");
    check_contains("ACL GENPASS 5", "$2\r\n");
    check_contains("ACL GENPASS", "$64\r\n");
    check_contains("ACL GENPASS 4096", "$1024\r\n");
    check("ACL DRYRUN default GET a", "+OK\r\n");
    check("ACL DRYRUN default nosuch", "-ERR Command 'nosuch' not found\r\n");
    check("ACL DRYRUN nobody GET a", "-ERR User 'nobody' not found\r\n");
    check("ACL LOG", "*0\r\n");
    check("ACL LOG RESET", "+OK\r\n");
    check_contains("ACL SETUSER x on", "-ERR kvnode has one user");
}

/* --- Who is there */

static void test_client_list(void **state) {
    (void)state;
    says('b', "CLIENT SETNAME worker", "+OK\r\n");
    says('b', "CLIENT SETINFO LIB-NAME lib", "+OK\r\n");
    turn_to('a');
    check_contains("CLIENT LIST", "id=1 addr=");
    check_contains("CLIENT LIST", " cmd=client|setinfo user=default redir=-1 resp=2 lib-name=lib lib-ver=\n");
    check_contains("CLIENT LIST ID 2 900", "id=2 addr=");
    check_contains("CLIENT LIST TYPE normal", " name=worker age=0 ");
    check("CLIENT LIST TYPE pubsub", "$0\r\n\r\n");
    check("CLIENT LIST TYPE replica", "$0\r\n\r\n");
    check("CLIENT LIST ID 900", "$0\r\n\r\n");
    check("CLIENT LIST ID x", "-ERR Invalid client ID\r\n");
    check("CLIENT LIST TYPE x", "-ERR Unknown client type 'x'\r\n");
    check("CLIENT LIST x", "-ERR syntax error\r\n");
    check_contains("HELLO 3", ":3\r\n");
    check_contains("CLIENT INFO", "txt:id=1 addr=");
}

static void test_client_kill(void **state) {
    (void)state;
    says('b', "CLIENT ID", ":2\r\n");
    says('a', "CLIENT KILL 1.2.3.4:5", "-ERR No such client\r\n");
    says('a', "CLIENT KILL ID 0", "-ERR client-id should be greater than 0\r\n");
    says('a', "CLIENT KILL ID 2 TYPE", "-ERR syntax error\r\n");
    says('a', "CLIENT KILL foo bar", "-ERR syntax error\r\n");
    says('a', "CLIENT KILL USER nobody", "-ERR No such user 'nobody'\r\n");
    says('a', "CLIENT KILL TYPE x", "-ERR Unknown client type 'x'\r\n");
    says('a', "CLIENT KILL ID 2 SKIPME x", "-ERR syntax error\r\n");
    says('a', "CLIENT KILL ID 2 TYPE pubsub", ":0\r\n");
    says('a', "CLIENT KILL ID 1", ":0\r\n"); /* not itself, unless it says so */
    says('a', "CLIENT KILL ID 2 TYPE normal USER default", ":1\r\n");
    turn_to('b');
    expect_closed();
    leaves('b');
    says('a', "PING", "+PONG\r\n");
    says('c', "PING", "+PONG\r\n");
    says('c', "CLIENT KILL ID 3 SKIPME no", ":1\r\n");
    expect_closed();
    leaves('c');
    says('a', "PING", "+PONG\r\n");
}

static void test_client_reply(void **state) {
    (void)state;
    check("CLIENT REPLY SKIP\r\nPING one\r\nPING two", "$3\r\ntwo\r\n");
    check("CLIENT REPLY OFF\r\nPING\r\nnosuch\r\nSET a b\r\nCLIENT REPLY SKIP\r\nPING\r\nCLIENT REPLY "
          "ON\r\nGET a",
          "+OK\r\n$1\r\nb\r\n");
    check("CLIENT REPLY x", "-ERR syntax error\r\n");
}

static void test_client_pause(void **state) {
    (void)state;
    says('a', "CLIENT PAUSE x", "-ERR timeout is not an integer or out of range\r\n");
    says('a', "CLIENT PAUSE -1", "-ERR timeout is negative\r\n");
    says('a', "CLIENT PAUSE 9223372036854775807", "-ERR timeout is out of range\r\n");
    says('a', "CLIENT PAUSE 1 foo", "-ERR CLIENT PAUSE mode must be WRITE or ALL\r\n");
    says('a', "CLIENT PAUSE 60000 WRITE", "+OK\r\n");
    turn_to('b');
    send_bytes(SLICE("GET k\r\nSET k v\r\nGET k\r\n"));
    hears('b', "$-1\r\n");
    says('a', "GET k", "$-1\r\n");
    says('a', "CLIENT UNPAUSE", "+OK\r\n");
    hears('b', "+OK\r\n$1\r\nv\r\n");
    /* It ends by itself, too. */
    int64_t begin_ms = now_ms();
    says('a', "CLIENT PAUSE 150 ALL", "+OK\r\n");
    says('b', "PING", "+PONG\r\n");
    assert_in_range(now_ms() - begin_ms, 140, 5000);
    says('a', "SET k w", "+OK\r\n");
}

static void test_a_held_client_that_has_left_is_closed(void **state) {
    (void)state;
    says('b', "PING", "+PONG\r\n");
    says('a', "CLIENT PAUSE 60000 WRITE", "+OK\r\n");
    turn_to('b');
    send_bytes(SLICE("SET k v\r\n"));
    hears('b', "");
    leaves('b');
    assert_int_equal(node.stats.resp_clients, 2);
    int64_t until_ms = now_ms() + 5000;
    while (node.stats.resp_clients == 2 && now_ms() < until_ms) {
        turn();
    }
    assert_int_equal(node.stats.resp_clients, 1);
    says('a', "CLIENT UNPAUSE\r\nGET k", "+OK\r\n$-1\r\n");
}

static void test_timeout(void **state) {
    (void)state;
    turn_to('b');
    says('a', "CONFIG SET timeout 1", "+OK\r\n");
    int64_t begin_ms = now_ms();
    turn_to('b');
    expect_closed();
    assert_in_range(now_ms() - begin_ms, 900, 4000);
    leaves('b');
    leaves('a');
    says('a', "PING", "+PONG\r\n");
}

static void test_buffer_limits(void **state) {
    (void)state;
    says('a', "CONFIG SET client-output-buffer-limit \"normal 1000 0 0\" client-query-buffer-limit 1mb",
         "+OK\r\n");
    char line[1200] = "SET k ";
    memset(line + 6, 'v', 990);
    says('a', line, "+OK\r\n");
    turn_to('b');
    send_bytes(SLICE("GET k\r\n"));
    receive_bytes(990 + 8);
    assert_int_equal(buf_used(&node.received), 990 + 8);
    buf_reset(&node.received);
    send_bytes(SLICE("GET k\r\nGET k\r\n"));
    expect_closed();
    leaves('b');
    turn_to('c');
    send_bytes(SLICE("*2\r\n$4\r\nECHO\r\n$3000000\r\n"));
    struct buf part;
    buf_init(&part, SIZE_MAX);
    memset(buf_reserve(&part, 100000), 'v', 100000);
    buf_commit(&part, 100000);
    bool open = true;
    for (int i = 0; i < 20 && open; i++) {
        (void)!send(node.client, buf_slice(&part).ptr, 100000, MSG_NOSIGNAL);
        turn();
        open = receive();
    }
    buf_deinit(&part);
    assert_false(open);
    leaves('c');
    says('a', "PING", "+PONG\r\n");
}

/* What waits for EXEC is input that is kept, too. */
static void test_a_queue_is_limited(void **state) {
    (void)state;
    says('a', "CONFIG SET client-query-buffer-limit 1mb", "+OK\r\n");
    says('b', "MULTI", "+OK\r\n");
    struct buf set;
    buf_init(&set, SIZE_MAX);
    buf_append_text(&set, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$400000\r\n");
    memset(buf_reserve(&set, 400000), 'v', 400000);
    buf_commit(&set, 400000);
    buf_append_text(&set, "\r\n");
    for (int i = 0; i < 2; i++) {
        send_bytes(buf_slice(&set));
        expect_bytes(SLICE("+QUEUED\r\n"));
    }
    send_bytes(buf_slice(&set));
    expect_closed();
    buf_deinit(&set);
    buf_reset(&node.received);
    leaves('b');
    says('a', "GET k", "$-1\r\n");
}

static void test_monitor(void **state) {
    (void)state;
    says('a', "MONITOR", "+OK\r\n");
    says('b', "SET \"a\\\"b\" \"x\\r\\n\\x01\"", "+OK\r\n");
    turn_to('a');
    turn();
    receive();
    buf_append_byte(&node.received, '\0');
    assert_non_null(strstr(buf_slice(&node.received).ptr, "] \"SET\" \"a\\\"b\" \"x\\r\\n\\x01\"\r\n"));
    buf_reset(&node.received);
    says('b', "AUTH default secret", "+OK\r\n");
    turn_to('a');
    turn();
    receive();
    buf_append_byte(&node.received, '\0');
    assert_non_null(strstr(buf_slice(&node.received).ptr, "] \"AUTH\" \"(redacted)\" \"(redacted)\"\r\n"));
    assert_null(strstr(buf_slice(&node.received).ptr, "secret"));
    buf_reset(&node.received);
    says('b', "CONFIG SET timeout 0", "+OK\r\n"); /* an administrator's commands are not shown */
    hears('a', "");
    leaves('a');
    says('b', "PING", "+PONG\r\n");
    says('a', "PING", "+PONG\r\n");
}

/* --- Parameters */

/* CLIENT LIST counts the input that is being worked on, and output as Redis does: 16 KB, then blocks of that.
 */
static void test_what_waits_for_a_client(void **state) {
    (void)state;
    check_contains("PING\r\nCLIENT INFO", " obl=7 oll=0 omem=0 ");
    check_contains("CLIENT INFO", " qbuf=32 qbuf-free="); /* with ECHO end-of-reply */
    turn_to('a');
    says('a', "SETRANGE big 999999 x", ":1000000\r\n");
    says('b', "CLIENT ID", ":2\r\n");
    for (int i = 0; i < 5; i++) {
        send_bytes(SLICE("GET big\r\n"));
    }
    for (int i = 0; i < 20; i++) {
        turn();
    }
    turn_to('a');
    check_contains("CLIENT LIST ID 2", " obl=16384 oll=");
    leaves('b');
}

static void test_config_set(void **state) {
    (void)state;
    check("CONFIG SET maxmemory 100mb maxmemory-policy allkeys-lfu maxmemory-samples 7", "+OK\r\n");
    assert_int_equal(keyspace_maxmemory_bytes(node.keyspace), 100 << 20);
    assert_int_equal(keyspace_policy(node.keyspace), EVICTION_ALLKEYS_LFU);
    assert_int_equal(keyspace_maxmemory_samples(node.keyspace), 7);
    check("CONFIG GET maxmemory maxmemory-p* timeou?",
          "*6\r\n$9\r\nmaxmemory\r\n$9\r\n104857600\r\n$16\r\nmaxmemory-policy\r\n$11\r\nallkeys-lfu\r\n"
          "$7\r\ntimeout\r\n$1\r\n0\r\n");
    check("CONFIG SET loglevel warning", "+OK\r\n");
    assert_int_equal(node.log.level, LOG_WARN);
    check("CONFIG SET maxclients 50", "+OK\r\n");
    assert_int_equal(node.settings.maxclients, 50);
    check("CONFIG SET a", "-ERR wrong number of arguments for 'config|set' command\r\n");
    check("CONFIG SET a b c", "-ERR syntax error\r\n");
    check("CONFIG SET foo bar", "-ERR Unknown option or number of arguments for CONFIG SET - 'foo'\r\n");
    check("CONFIG SET port 1",
          "-ERR CONFIG SET failed (possibly related to argument 'port') - can't set immutable config\r\n");
    check("CONFIG SET timeout 1 Id self0001",
          "-ERR CONFIG SET failed (possibly related to argument 'Id') - can't set immutable config\r\n");
    check("CONFIG GET port id replication* repl-*",
          "*8\r\n$16\r\nreplication-port\r\n$4\r\n8000\r\n$4\r\nport\r\n$4\r\n6379\r\n"
          "$2\r\nid\r\n$8\r\nself0001\r\n$17\r\nrepl-backlog-size\r\n$8\r\n67108864\r\n");
    check("CONFIG SET timeout 1 TIMEOUT 2",
          "-ERR CONFIG SET failed (possibly related to argument 'TIMEOUT') - duplicate parameter\r\n");
}

/* One that is wrong, or can't be: nothing of the others is left. */
static void test_config_set_is_all_or_nothing(void **state) {
    (void)state;
    check(
        "CONFIG SET maxmemory 1gb timeout x",
        "-ERR CONFIG SET failed (possibly related to argument 'timeout') - argument couldn't be parsed into an "
        "integer\r\n");
    assert_int_equal(keyspace_maxmemory_bytes(node.keyspace), 0);
    check_contains(
        "CONFIG SET maxmemory 1gb maxclients 4000000000",
        "-ERR CONFIG SET failed (possibly related to argument 'maxclients') - The operating system is not "
        "able to handle the specified number of clients, try with ");
    assert_int_equal(keyspace_maxmemory_bytes(node.keyspace), 0);
    assert_int_equal(node.settings.maxclients, 100);
    check("CONFIG GET maxmemory", "*2\r\n$9\r\nmaxmemory\r\n$1\r\n0\r\n");
}

static void write_config(const char *text) {
    FILE *file = fopen(node.options.config_file, "w");
    assert_true(fputs(text, file) >= 0);
    fclose(file);
}

static void check_file(const char *expected) {
    char text[1024] = "";
    FILE *file = fopen(node.options.config_file, "r");
    assert_true(fread(text, 1, sizeof(text) - 1, file) > 0);
    fclose(file);
    assert_string_equal(text, expected);
}

static void test_config_rewrite(void **state) {
    (void)state;
    check("CONFIG REWRITE", "-ERR The server is running without a config file\r\n");
    strcpy(node.options.config_file, "/tmp/kvnode-test-XXXXXX");
    close(mkstemp(node.options.config_file));
    write_config("# a comment\nport 8000\ntimeout 5 # old\nlog-level info");
    check("CONFIG SET timeout 7 loglevel debug maxmemory 1mb requirepass \"a b\"", "+OK\r\n");
    check("CONFIG REWRITE", "+OK\r\n");
    check_file("# a comment\nport 8000\ntimeout 7\nlog-level debug\nmaxmemory 1048576\nrequirepass a b\n");
    struct stat status; /* it has the password */
    assert_int_equal(stat(node.options.config_file, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    /* What is as it was at the start is written, too, where the file has said something else since; of a
     * parameter with several lines each that still holds stays. */
    check("CONFIG SET timeout 0 maxmemory 0 requirepass \"\" latency-tracking-info-percentiles \"\"",
          "+OK\r\n");
    check("CONFIG REWRITE", "+OK\r\n");
    check_file("# a comment\nport 8000\ntimeout 0\nlog-level debug\nmaxmemory 0\nrequirepass \"\"\n"
               "latency-tracking-info-percentiles \"\"\n");
    write_config("client-output-buffer-limit slave 1 2 3 # a\nclient-output-buffer-limit pubsub 4 5 6\n");
    check("CONFIG SET client-output-buffer-limit \"slave 1 2 3 pubsub 4 5 7\" loglevel notice "
          "latency-tracking-info-percentiles \"50 99 99.9\"",
          "+OK\r\n");
    check("CONFIG REWRITE", "+OK\r\n");
    check_file("client-output-buffer-limit slave 1 2 3 # a\n"
               "client-output-buffer-limit normal 0 0 0 slave 1 2 3 pubsub 4 5 7\n");
    check("CONFIG SET requirepass \"a #b\"", "+OK\r\n");
    check("CONFIG REWRITE", "-ERR Rewriting config file: a value can't be written on a line of its own\r\n");
    unlink(node.options.config_file);
    check("CONFIG REWRITE", "-ERR Rewriting config file: No such file or directory\r\n");
}

/* --- What goes on */

static void test_commandstats(void **state) {
    (void)state;
    check("CONFIG RESETSTAT", "+OK\r\n");
    check("SET a b\r\nGET a\r\nGET a\r\nGET\r\nAPPEND a x",
          "+OK\r\n$1\r\nb\r\n$1\r\nb\r\n"
          "-ERR wrong number of arguments for 'get' command\r\n"
          ":2\r\n");
    check("EXPIRE a x", "-ERR value is not an integer or out of range\r\n");
    check_contains("INFO commandstats", "\r\ncmdstat_get:calls=2,usec=");
    check_contains("INFO commandstats", ",rejected_calls=1,failed_calls=0\r\n");
    check_contains("INFO commandstats", ",rejected_calls=0,failed_calls=1\r\n");
    check("HELLO 9", "-NOPROTO unsupported protocol version\r\n");
    check("INFO errorstats",
          "$64\r\n# Errorstats\r\nerrorstat_ERR:count=2\r\nerrorstat_NOPROTO:count=1\r\n\r\n");
    check_contains("INFO stats", "\r\ntotal_error_replies:3\r\n");
    check_contains("INFO latencystats", "latency_percentiles_usec_get:p50=");
    check_contains("INFO everything", "\r\n# Latencystats\r\n");
    check_contains("INFO keyspace cpu", "# CPU\r\nused_cpu_sys:");
    check_contains("LATENCY HISTOGRAM get nosuch",
                   "*2\r\n$3\r\nget\r\n*4\r\n$5\r\ncalls\r\n:2\r\n$14\r\nhistogram_usec\r\n");
    check("CONFIG RESETSTAT", "+OK\r\n");
    check("INFO errorstats", "$14\r\n# Errorstats\r\n\r\n");
}

static void test_slowlog(void **state) {
    (void)state;
    check("CONFIG SET slowlog-log-slower-than 5000", "+OK\r\n");
    check("DEBUG SLEEP 0.01", "+OK\r\n");
    check("SLOWLOG LEN", ":1\r\n");
    check_contains("SLOWLOG GET", "*3\r\n$5\r\nDEBUG\r\n$5\r\nSLEEP\r\n$4\r\n0.01\r\n");
    check("SLOWLOG RESET", "+OK\r\n");
    check("SLOWLOG GET", "*0\r\n");
    check("SLOWLOG GET -2", "-ERR count should be greater than or equal to -1\r\n");
    check("SLOWLOG GET x", "-ERR count should be greater than or equal to -1\r\n");
    /* Of every command, with arguments cut; the oldest ones go. */
    check("CONFIG SET slowlog-log-slower-than 0 slowlog-max-len 3", "+OK\r\n");
    check("AUTH default secret", "+OK\r\n");
    check_contains("SLOWLOG GET -1", "*3\r\n$4\r\nAUTH\r\n$10\r\n(redacted)\r\n$10\r\n(redacted)\r\n");
    char line[300] = "SET a ", shown[300];
    memset(line + 6, 'v', 200);
    check(line, "+OK\r\n");
    snprintf(shown, sizeof(shown), "$147\r\n%.128s... (72 more bytes)\r\n", line + 6);
    check_contains("SLOWLOG GET 3", shown);
    check("DEL 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32",
          ":0\r\n");
    check_contains("SLOWLOG GET", "$2\r\n30\r\n$22\r\n... (2 more arguments)\r\n");
    check("SLOWLOG LEN", ":3\r\n");
    check("CONFIG SET slowlog-log-slower-than -1", "+OK\r\n");
    assert_int_equal(node.telemetry->slowlog.count, 3);
}

static void test_latency(void **state) {
    (void)state;
    check_contains("LATENCY DOCTOR", "Latency monitoring is disabled");
    check("LATENCY LATEST", "*0\r\n");
    check("LATENCY HISTORY command", "*0\r\n");
    check("LATENCY GRAPH command", "-ERR No samples available for event 'command'\r\n");
    check("CONFIG SET latency-monitor-threshold 5", "+OK\r\n");
    check_contains("LATENCY DOCTOR", "Dave, no latency spike was observed");
    check("DEBUG SLEEP 0.01", "+OK\r\n");
    check_contains("LATENCY LATEST", "*1\r\n*4\r\n$7\r\ncommand\r\n:");
    check_contains("LATENCY HISTORY command", "*1\r\n*2\r\n:");
    check_contains("LATENCY GRAPH command", " ms (all time high ");
    check_contains("LATENCY DOCTOR", "1. command: 1 latency spikes (average ");
    check("LATENCY RESET nosuch", ":0\r\n");
    check("LATENCY RESET", ":1\r\n");
    check("LATENCY LATEST", "*0\r\n");
}

static void test_latency_series(void **state) {
    (void)state;
    struct latency *latency = &node.telemetry->latency;
    for (int64_t s = 1; s <= LATENCY_SAMPLES + 5; s++) {
        latency_add(latency, LATENCY_COMMAND, s, (uint64_t)s);
    }
    latency_add(latency, LATENCY_COMMAND, LATENCY_SAMPLES + 5, 1); /* in the same second: the worst counts */
    check_contains("LATENCY LATEST", "$7\r\ncommand\r\n:165\r\n:165\r\n:165\r\n");
    check_contains("LATENCY HISTORY command", "*160\r\n*2\r\n:6\r\n:6\r\n*2\r\n:7\r\n:7\r\n");
    check_contains("LATENCY GRAPH command", "command - high 165 ms, low 6 ms (all time high 165 ms)\n");
}

/* --- Commands about commands, the cluster, and what is not here */

static void test_command(void **state) {
    (void)state;
    check("COMMAND GETKEYS MSET a 1 b 2", "*2\r\n$1\r\na\r\n$1\r\nb\r\n");
    check("COMMAND GETKEYS PING", "-ERR The command has no key arguments\r\n");
    check("COMMAND GETKEYS nosuch", "-ERR Invalid command specified\r\n");
    check("COMMAND GETKEYS GET a b", "-ERR Invalid number of arguments specified for command\r\n");
    check("COMMAND GETKEYSANDFLAGS GET a", "*1\r\n*2\r\n$1\r\na\r\n*2\r\n+RO\r\n+access\r\n");
    check("COMMAND LIST FILTERBY PATTERN slowlog|*",
          "*4\r\n$11\r\nslowlog|get\r\n$12\r\nslowlog|help\r\n$11\r\nslowlog|len\r\n$13\r\nslowlog|reset\r\n");
    check_contains("COMMAND LIST", "\r\n$11\r\nslowlog|len\r\n");
    check("COMMAND LIST FILTERBY MODULE x", "*0\r\n");
    /* Behind the number of them. */
    check_contains(
        "COMMAND INFO evalsha",
        "$5\r\nindex\r\n:2\r\n$9\r\nfind_keys\r\n*4\r\n$4\r\ntype\r\n$6\r\nkeynum\r\n$4\r\nspec\r\n*6\r\n"
        "$9\r\nkeynumidx\r\n:0\r\n$8\r\nfirstkey\r\n:1\r\n$7\r\nkeystep\r\n:1\r\n");
    check("COMMAND LIST FILTERBY x y", "-ERR syntax error\r\n");
    check("COMMAND LIST x", "-ERR syntax error\r\n");
    check_contains("COMMAND LIST FILTERBY ACLCAT transaction", "$4\r\nexec\r\n");
    check_contains("COMMAND HELP", "+COMMAND <subcommand> [<arg> [value] [opt] ...]. Subcommands are:\r\n");
}

static void test_cluster(void **state) {
    (void)state;
    check("SET {a}1 x\r\nSET {a}2 x\r\nSET b x", "+OK\r\n+OK\r\n+OK\r\n");
    check("CLUSTER COUNTKEYSINSLOT 15495", ":2\r\n");
    check("CLUSTER COUNTKEYSINSLOT 0", ":0\r\n");
    check("CLUSTER COUNTKEYSINSLOT 16384", "-ERR Invalid slot\r\n");
    check("CLUSTER GETKEYSINSLOT 3300 9", "*1\r\n$1\r\nb\r\n");
    check_contains("CLUSTER GETKEYSINSLOT 15495 1", "*1\r\n$4\r\n{a}");
    check("CLUSTER GETKEYSINSLOT 1 -1", "-ERR Invalid slot or number of keys\r\n");
    check("CLUSTER MYSHARDID", "$40\r\n0000000000000000000000000000000000000000\r\n");
    check("CLUSTER REPLICAS nobody", "-ERR Unknown node nobody\r\n");
    check("CLUSTER REPLICAS self0001", "*0\r\n");
    check("CLUSTER SLAVES self0001", "*0\r\n");
    check("ASKING\r\nREADONLY\r\nREADWRITE", "+OK\r\n+OK\r\n+OK\r\n");
    check_contains("CLUSTER MEET 1.2.3.4 5",
                   "-ERR kvnode does not take 'cluster|meet' by hand: nodes find each other");
    check_contains("CLUSTER ADDSLOTS 1",
                   "-ERR kvnode does not take 'cluster|addslots' by hand: slots belong to groups");
    check("CLUSTER FAILOVER", "-ERR this node leads already\r\n");
    check("REPLICAOF NO ONE", "-ERR REPLICAOF not allowed in cluster mode.\r\n");
}

static void test_debug(void **state) {
    (void)state;
    check("DEBUG PROTOCOL string", "$11\r\nHello World\r\n");
    check("DEBUG PROTOCOL push", "-ERR RESP2 is not supported by this command\r\n");
    check("DEBUG PROTOCOL map", "*6\r\n:0\r\n:0\r\n:1\r\n:1\r\n:2\r\n:0\r\n");
    check_contains("DEBUG PROTOCOL x", "-ERR Wrong protocol type name. ");
    check("DEBUG STRINGMATCH-LEN a* abc\r\nDEBUG STRINGMATCH-LEN a* bc", ":1\r\n:0\r\n");
    check("DEBUG OBJECT a", "-ERR no such key\r\n");
    check("SET a 1\r\nSET b 1\r\nSET c 2", "+OK\r\n+OK\r\n+OK\r\n");
    check_contains("DEBUG OBJECT a", " encoding:int serializedlength:2 ");
    check("DEBUG DIGEST-VALUE nosuch", "*1\r\n$40\r\n0000000000000000000000000000000000000000\r\n");
    /* hashlib.sha256(b"1").hexdigest()[:40] */
    check("DEBUG DIGEST-VALUE a b", "*2\r\n$40\r\n6b86b273ff34fce19d6b804eff5a3f5747ada4ea\r\n"
                                    "$40\r\n6b86b273ff34fce19d6b804eff5a3f5747ada4ea\r\n");
    check("DEBUG RELOAD\r\nDEBUG QUICKLIST-PACKED-THRESHOLD 1\r\nGET c", "+OK\r\n+OK\r\n$1\r\n2\r\n");
    check_contains("HELLO 3", ":3\r\n");
    check("DEBUG PROTOCOL double", ",3.141\r\n");
    check("DEBUG PROTOCOL attrib", "|1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n"
                                   "$39\r\nSome real reply following the attribute\r\n");
    check("DEBUG PROTOCOL true\r\nDEBUG PROTOCOL null", "#t\r\n_\r\n");
}

static void expect_same_after_reload(void) {
    uint64_t index = history_index(node.history), floor = keyspace_floor(node.keyspace);
    char digest[sizeof("+0123456789012345678901234567890123456789\r\n")] = "";
    send_bytes(SLICE("DEBUG DIGEST\r\n"));
    assert_true(receive_bytes(sizeof(digest) - 1));
    memcpy(digest, buf_slice(&node.received).ptr, sizeof(digest) - 1);
    buf_reset(&node.received);
    check("DEBUG RELOAD", "+OK\r\n");
    check("DEBUG DIGEST", digest);
    assert_int_equal(history_index(node.history), index);
    assert_int_equal(keyspace_floor(node.keyspace), floor);
}

static void test_a_reload(void **state) {
    (void)state;
    says('a', "SET a 1\r\nSET a 2\r\nSET \"\\x00\\r\\n|\" \"\\n%\" PX 5000000\r\nSET b 1\r\nDEL b",
         "+OK\r\n+OK\r\n+OK\r\n+OK\r\n:1\r\n");
    for (int i = 0; i < 20; i++) { /* more often than entries have marks */
        expect_same_after_reload();
    }
    says('a', "FLUSHALL", "+OK\r\n");
    expect_same_after_reload();
}

/* As of a flush, which it is; and nothing of what comes back is told. */
static void test_who_watches_is_told_of_a_reload(void **state) {
    (void)state;
    says('a', "CONFIG SET notify-keyspace-events KA", "+OK\r\n");
    says('a', "SET a 1", "+OK\r\n");
    says('b', "WATCH a\r\nMULTI\r\nPING", "+OK\r\n+OK\r\n+QUEUED\r\n");
    says('c', "WATCH missing\r\nMULTI\r\nPING", "+OK\r\n+OK\r\n+QUEUED\r\n");
    says('d', "PSUBSCRIBE *", "*3\r\n$10\r\npsubscribe\r\n$1\r\n*\r\n:1\r\n");
    says('a', "DEBUG RELOAD", "+OK\r\n");
    hears('d', "");
    says('b', "EXEC", "*-1\r\n");
    says('c', "EXEC", "*1\r\n+PONG\r\n");
    says('a', "SET a 2", "+OK\r\n");
    hears('d', "*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$16\r\n__keyspace@0__:a\r\n$3\r\nset\r\n");
}

static void test_a_reload_of_several_at_once(void **state) {
    (void)state;
    says('a', "SET a 1", "+OK\r\n");
    for (char who = 'a'; who <= 'c'; who++) {
        says(who, "PING", "+PONG\r\n");
        send_bytes(SLICE("DEBUG RELOAD\r\nGET a\r\n"));
    }
    turn_to('d');
    send_bytes(SLICE("CLIENT REPLY OFF\r\nDEBUG RELOAD\r\nCLIENT REPLY ON\r\n"));
    for (char who = 'a'; who <= 'c'; who++) {
        hears(who, "+OK\r\n$1\r\n1\r\n");
    }
    hears('d', "+OK\r\n");
    turn_to('b'); /* leaves with one on its way */
    send_bytes(SLICE("DEBUG RELOAD\r\n"));
    leaves('b');
    says('a', "GET a", "$1\r\n1\r\n");
}

static void test_a_reload_that_is_refused(void **state) {
    (void)state;
    check("SET a 1", "+OK\r\n");
    check("DEBUG RELOAD NOSAVE\r\nDEBUG RELOAD nosuch", "+OK\r\n-ERR syntax error\r\n");
    check(
        "DEBUG RELOAD NOSAVE NOFLUSH",
        "-ERR DEBUG RELOAD does not take NOFLUSH or MERGE: the store is always emptied before it is read\r\n");
    check_contains("DEBUG RELOAD MERGE", "-ERR DEBUG RELOAD does not take NOFLUSH or MERGE");
    check("MULTI\r\nDEBUG RELOAD\r\nEXEC", "+OK\r\n-ERR Command not allowed inside a transaction\r\n"
                                           "-EXECABORT Transaction discarded because of previous errors.\r\n");
    node.replication.is_taking_a_state = true;
    check("DEBUG RELOAD", "-ERR a state of the group's leader is on its way into the store\r\n");
    node.replication.is_taking_a_state = false;
    node.replication.role = REPLICATION_STARTING;
    check_contains("DEBUG RELOAD", "-LOADING ");
    node.replication.role = REPLICATION_LEADER;
    check("DEBUG RELOAD\r\nGET a", "+OK\r\n$1\r\n1\r\n");
}

/* It comes back, so that its deletion is still to come: in a pause, too, in which nothing is deleted. */
static void test_what_has_expired_stays_in_a_reload(void **state) {
    (void)state;
    check("DEBUG SET-ACTIVE-EXPIRE 0", "+OK\r\n");
    for (int i = 0; i < 300; i++) {
        char set[64];
        snprintf(set, sizeof(set), "SET key%d 1 PX %d", i, i < 200 ? 1 : 1000000);
        check(set, "+OK\r\n");
    }
    pass_ms(300);
    uint64_t index = history_index(node.history);
    check("CLIENT PAUSE 60000 WRITE\r\nDEBUG RELOAD\r\nDBSIZE", "+OK\r\n+OK\r\n:300\r\n");
    check("EXISTS key0 key299\r\nCLIENT UNPAUSE", ":1\r\n+OK\r\n");
    assert_int_equal(history_index(node.history), index);
    check("GET key0\r\nDBSIZE", "$-1\r\n:299\r\n");
    assert_int_equal(history_index(node.history), index + 1);
    assert_int_equal(keyspace_floor(node.keyspace), 2);
}

static void test_active_expiry_can_wait(void **state) {
    (void)state;
    check("DEBUG SET-ACTIVE-EXPIRE 0", "+OK\r\n");
    check("SET a b PX 1", "+OK\r\n");
    pass_ms(300);
    check("DBSIZE", ":1\r\n");
    check("GET a", "$-1\r\n");
    check("DBSIZE", ":0\r\n");
    check("SET a b PX 1", "+OK\r\n");
    check("DEBUG SET-ACTIVE-EXPIRE 1", "+OK\r\n");
    pass_ms(300);
    check("DBSIZE", ":0\r\n");
}

static void test_no_scripts(void **state) {
    (void)state;
    check("EVAL \"return 1\" 0", "-ERR kvnode runs no scripts and no functions: 'eval' does nothing here\r\n");
    check("SCRIPT FLUSH\r\nFUNCTION FLUSH SYNC", "+OK\r\n+OK\r\n");
    check("SCRIPT EXISTS a b", "*2\r\n:0\r\n:0\r\n");
    check("FUNCTION LIST", "*0\r\n");
    check("MODULE LIST", "*0\r\n");
    check("SCRIPT KILL", "-NOTBUSY No scripts in execution right now.\r\n");
    check("SCRIPT nosuch", "-ERR unknown subcommand 'nosuch'. Try SCRIPT HELP.\r\n");
}

static void test_shutdown(void **state) {
    (void)state;
    check("SHUTDOWN ABORT", "-ERR No shutdown in progress.\r\n");
    check("SHUTDOWN x", "-ERR syntax error\r\n");
    check("SHUTDOWN SAVE NOSAVE", "-ERR syntax error\r\n");
    assert_false(node.stopped);
    send_bytes(SLICE("SHUTDOWN NOSAVE NOW FORCE\r\n"));
    expect_closed();
    assert_int_equal(buf_used(&node.received), 0);
    assert_true(node.stopped);
}

int main(void) {
#define test(function) cmocka_unit_test_setup_teardown(function, set_up_clients, tear_down_clients)
    const struct CMUnitTest tests[] = {
        test(test_hello),
        test(test_a_password),
        test(test_reset),
        test(test_acl),
        test(test_client_list),
        test(test_client_kill),
        test(test_client_reply),
        test(test_client_pause),
        test(test_a_held_client_that_has_left_is_closed),
        test(test_timeout),
        test(test_buffer_limits),
        test(test_a_queue_is_limited),
        test(test_monitor),
        test(test_what_waits_for_a_client),
        test(test_config_set),
        test(test_config_set_is_all_or_nothing),
        test(test_config_rewrite),
        test(test_commandstats),
        test(test_slowlog),
        test(test_latency),
        test(test_latency_series),
        test(test_command),
        test(test_cluster),
        test(test_debug),
        test(test_a_reload),
        test(test_who_watches_is_told_of_a_reload),
        test(test_a_reload_of_several_at_once),
        test(test_a_reload_that_is_refused),
        test(test_what_has_expired_stays_in_a_reload),
        test(test_active_expiry_can_wait),
        test(test_no_scripts),
        test(test_shutdown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
