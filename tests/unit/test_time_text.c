#include "protocol/time_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static void expect(int64_t ms, const char *rfc3339, const char *http) {
    char text[TIME_HTTP_BYTES + 1] = {0};
    time_rfc3339(text, ms);
    assert_string_equal(text, rfc3339);
    memset(text, 0, sizeof(text));
    time_http(text, ms);
    assert_string_equal(text, http);
}

static void test_known_times(void **state) {
    (void)state;
    expect(0, "1970-01-01T00:00:00.000Z", "Thu, 01 Jan 1970 00:00:00 GMT");
    expect(784111777000, "1994-11-06T08:49:37.000Z", "Sun, 06 Nov 1994 08:49:37 GMT"); /* RFC 9110, 5.6.7 */
    expect(951868799999, "2000-02-29T23:59:59.999Z", "Tue, 29 Feb 2000 23:59:59 GMT");
    expect(4107542400000, "2100-03-01T00:00:00.000Z", "Mon, 01 Mar 2100 00:00:00 GMT");
    expect(253402300799999, "9999-12-31T23:59:59.999Z", "Fri, 31 Dec 9999 23:59:59 GMT");
    expect(((int64_t)1 << 48) - 1, "9999-12-31T23:59:59.999Z", "Fri, 31 Dec 9999 23:59:59 GMT");
}

/* A day and a second at a time, with the C library's calendar beside. */
static void test_every_day_of_two_centuries(void **state) {
    (void)state;
    for (int64_t s = 0; s < INT64_C(86401) * 73050; s += 86401) {
        time_t t = (time_t)s;
        struct tm tm;
        gmtime_r(&t, &tm);
        char rfc3339[64], http[64];
        size_t n = strftime(rfc3339, sizeof(rfc3339), "%Y-%m-%dT%H:%M:%S", &tm);
        snprintf(rfc3339 + n, sizeof(rfc3339) - n, ".%03dZ", (int)(s % 1000));
        strftime(http, sizeof(http), "%a, %d %b %Y %H:%M:%S GMT", &tm);
        expect(s * 1000 + s % 1000, rfc3339, http);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_times),
        cmocka_unit_test(test_every_day_of_two_centuries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
