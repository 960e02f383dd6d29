/* crc64.h: CRC-64 as Redis puts it behind a DUMP payload: the "Jones" polynomial 0xad93d23594c935a9, reflected,
 * from 0, not inverted. Of "123456789" it is 0xe9c6d914c4b8d9ca. Pure. */
#ifndef KVNODE_PROTOCOL_CRC64_H
#define KVNODE_PROTOCOL_CRC64_H

#include "protocol/slice.h"

#include <stdint.h>

/* crc: 0, or what the bytes before these gave. */
uint64_t crc64(uint64_t crc, struct slice bytes);

#endif
