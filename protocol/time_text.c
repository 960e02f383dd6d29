#include "protocol/time_text.h"

#include <string.h>

static const int64_t last_ms = INT64_C(253402300799999);

struct civil {
    unsigned year, month, day; /* month and day from 1 */
    unsigned weekday;          /* 0: Sunday */
    unsigned hour, minute, second, ms;
};

/* Days to a date of the Gregorian calendar: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms",
 * civil_from_days, for days since 1970-01-01 only. Its years begin in March. */
static struct civil civil_of(int64_t unix_ms) {
    uint64_t ms = (uint64_t)(unix_ms < 0 ? 0 : unix_ms > last_ms ? last_ms : unix_ms);
    unsigned of_day = (unsigned)(ms % 86400000);
    unsigned days = (unsigned)(ms / 86400000);
    unsigned z = days + 719468;
    unsigned era = z / 146097, day_of_era = z % 146097;
    unsigned year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned month = (5 * day_of_year + 2) / 153; /* 0: March */
    return (struct civil){
        .year = year_of_era + era * 400 + (month >= 10),
        .month = month < 10 ? month + 3 : month - 9,
        .day = day_of_year - (153 * month + 2) / 5 + 1,
        .weekday = (days + 4) % 7,
        .hour = of_day / 3600000,
        .minute = of_day / 60000 % 60,
        .second = of_day / 1000 % 60,
        .ms = of_day % 1000,
    };
}

static char *put(char *to, unsigned number, int digits) {
    for (int i = digits; i-- > 0; number /= 10) {
        to[i] = (char)('0' + number % 10);
    }
    return to + digits;
}

static char *put_clock(char *to, const struct civil *t) {
    to = put(to, t->hour, 2);
    *to++ = ':';
    to = put(to, t->minute, 2);
    *to++ = ':';
    return put(to, t->second, 2);
}

void time_rfc3339(char to[TIME_RFC3339_BYTES], int64_t unix_ms) {
    struct civil t = civil_of(unix_ms);
    to = put(to, t.year, 4);
    *to++ = '-';
    to = put(to, t.month, 2);
    *to++ = '-';
    to = put(to, t.day, 2);
    *to++ = 'T';
    to = put_clock(to, &t);
    *to++ = '.';
    to = put(to, t.ms, 3);
    *to = 'Z';
}

void time_http(char to[TIME_HTTP_BYTES], int64_t unix_ms) {
    struct civil t = civil_of(unix_ms);
    memcpy(to, &"Sun, Mon, Tue, Wed, Thu, Fri, Sat, "[t.weekday * 5], 5);
    to = put(to + 5, t.day, 2);
    memcpy(to, &" Jan  Feb  Mar  Apr  May  Jun  Jul  Aug  Sep  Oct  Nov  Dec "[(t.month - 1) * 5], 5);
    to = put(to + 5, t.year, 4);
    *to++ = ' ';
    to = put_clock(to, &t);
    memcpy(to, " GMT", 4);
}
