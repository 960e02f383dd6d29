/* time_text.h: points in time as text, UTC, without the C library's locale and time zone. Pure. */
#ifndef KVNODE_PROTOCOL_TIME_TEXT_H
#define KVNODE_PROTOCOL_TIME_TEXT_H

#include <stdint.h>

enum {
    TIME_RFC3339_BYTES = 24, /* "2026-01-02T03:04:05.678Z" */
    TIME_HTTP_BYTES = 29,    /* "Sun, 06 Nov 1994 08:49:37 GMT" */
};

/* Both write exactly so many bytes, no NUL. unix_ms: 0 to 2^48 - 1; from the year 10000 on (ms 253402300800000)
 * the last moment of 9999 is written, since RFC 3339 has four digits for the year. */
void time_rfc3339(char to[TIME_RFC3339_BYTES], int64_t unix_ms);
void time_http(char to[TIME_HTTP_BYTES], int64_t unix_ms);

#endif
