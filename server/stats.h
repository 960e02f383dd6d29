/* stats.h: what the sessions count themselves; metrics.def shows it. */
#ifndef KVNODE_SERVER_STATS_H
#define KVNODE_SERVER_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct server_stats {
    int64_t started_ms; /* Unix ms */
    int64_t started_monotonic_ms;
    uint64_t resp_connections, http_connections; /* accepted since the start */
    size_t clients; /* RESP and HTTP connections open now: what -max-clients is about */
    size_t resp_clients, http_clients;
    uint64_t evicted_clients; /* closed for maxmemory-clients */
    uint64_t http_requests;
    uint64_t protocol_errors;
    uint64_t redirects;         /* MOVED and 307 */
    bool disk_behind;           /* writers have to wait for it */
    uint64_t recovered_records; /* of the journal, at the start */
};

#endif
