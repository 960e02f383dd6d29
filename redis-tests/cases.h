/* cases.h: the cases. Each gets fresh connections, and leaves none of its own; hiredis_client.c has their
 * titles. */
#ifndef REDIS_TESTS_CASES_H
#define REDIS_TESTS_CASES_H

#include "redis-tests/expect.h"

void case_basics(struct test *test);
void case_set_options(struct test *test);
void case_expiry(struct test *test);
void case_connection_state(struct test *test);
void case_errors(struct test *test);
void case_binary(struct test *test);
void case_large(struct test *test);
void case_pipeline(struct test *test);
void case_scan(struct test *test);
void case_keys(struct test *test);
void case_followers(struct test *test);
void case_cluster_slots(struct test *test);
void case_quit(struct test *test);
void case_shutdown(struct test *test);
void case_protocol_error(struct test *test);
void case_quit_in_pipeline(struct test *test);
void case_async(struct test *test);
void case_async_followers(struct test *test);
void case_async_server_closes(struct test *test);

#endif
