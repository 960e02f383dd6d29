/* limits.h: every fixed bound of the wire, in one place (flags override some of them in server/options). */
#ifndef KVNODE_PROTOCOL_LIMITS_H
#define KVNODE_PROTOCOL_LIMITS_H

#include <stddef.h>

#define LIMIT_KEY_BYTES         ((size_t)64 << 20)
#define LIMIT_VALUE_BYTES       ((size_t)512 << 20)
#define LIMIT_ARGUMENTS         ((size_t)1048576)
#define LIMIT_INLINE_BYTES      ((size_t)64 << 10)
#define LIMIT_HTTP_TARGET_BYTES ((size_t)64 << 10)
#define LIMIT_HTTP_HEADER_BYTES ((size_t)64 << 10) /* all header fields of a request together */
/* A JSON body says a value in at most 6 bytes a byte, base64 in 4/3. */
#define LIMIT_HTTP_BODY_BYTES ((size_t)1 << 30)
#define LIMIT_DATAGRAM_BYTES  ((size_t)1400)
/* A history line: key and value percent-encoded at worst, the numbers and the verb. */
#define LIMIT_LINE_BYTES  (3 * (LIMIT_KEY_BYTES + LIMIT_VALUE_BYTES) + 256)
#define LIMIT_BATCH_LINES ((size_t)1048576)

#define LIMIT_NODE_ID_BYTES ((size_t)40)
#define LIMIT_HOST_BYTES    ((size_t)255)
#define LIMIT_GROUP         16383

#endif
