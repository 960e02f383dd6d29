/* datagram.h: the discovery protocol's datagrams (specification, "Discovery Protocol"). Pure codec.
 *
 *   ANNOUNCE|nodeID|host|port|groupID|isLeader      as specified, byte for byte
 *   ENDPOINTS|nodeID|api port|redis port|has state|index[|term]
 *   WHO
 *   LEAVE|nodeID
 *
 * Has state and index say whether the node has its group's state, and how far; an older node says neither. The
 * term is that in which a node was elected (0: it was not, and there is no such field): of two that claim a
 * group the greater one leads it.
 *
 * The same texts travel as lines on the TCP port in answer to WHO, and only there, behind them:
 *
 *   UPTIME|nodeID|ms
 *
 * An LF, or CR LF, at the end is tolerated. Fields behind the last one are of the future, and ignored, but in
 * ANNOUNCE, which is specified.
 */
#ifndef KVNODE_PROTOCOL_DATAGRAM_H
#define KVNODE_PROTOCOL_DATAGRAM_H

#include "protocol/limits.h"
#include "protocol/slice.h"

#include <stdint.h>

enum datagram_verb { DATAGRAM_ANNOUNCE, DATAGRAM_ENDPOINTS, DATAGRAM_WHO, DATAGRAM_LEAVE, DATAGRAM_UPTIME };

struct datagram {
    enum datagram_verb verb;
    char node_id[LIMIT_NODE_ID_BYTES + 1]; /* all but WHO */
    char host[LIMIT_HOST_BYTES + 1];       /* ANNOUNCE */
    uint16_t port;                         /* ANNOUNCE: replication port; never 0 */
    uint16_t group;                        /* ANNOUNCE: 0 to LIMIT_GROUP */
    bool leader;                           /* ANNOUNCE: "true" or "false" */
    uint16_t api_port, redis_port;         /* ENDPOINTS; never 0 */
    bool tells_position;                   /* ENDPOINTS: the two that follow are there */
    bool has_state;
    uint64_t index;    /* of the newest line of the history that the node has */
    uint64_t term;     /* ENDPOINTS: 0: none */
    int64_t uptime_ms; /* UPTIME: how long the node has been there */
};

enum datagram_result {
    DATAGRAM_OK,
    DATAGRAM_UNKNOWN,   /* a verb of the future: to be ignored and counted */
    DATAGRAM_MALFORMED, /* to be ignored and counted */
};

/* Reads one datagram. Malformed: too long, missing fields, too many in ANNOUNCE, an id, host, port, group,
 * truth value or index out of its domain, a NUL or control character anywhere. */
enum datagram_result datagram_decode(struct slice bytes, struct datagram *out);

/* Writes the text without LF; to has room for LIMIT_DATAGRAM_BYTES. Returns its length. */
size_t datagram_encode(const struct datagram *datagram, char *to);

/* 1 to 40 of [A-Za-z0-9_-]. */
bool datagram_valid_node_id(struct slice id);
/* The address of one host, IPv4 or IPv6: what a peer can dial. Neither a name nor an address of many or of
 * none. */
bool datagram_valid_host(struct slice host);

#endif
