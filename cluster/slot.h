/* slot.h: which of the 16384 hash slots a key belongs to. Pure.
 *
 * CRC16 (XMODEM) of the key, or of what stands between the first '{' and the first '}' behind it if that is not
 * empty, modulo 16384: Redis Cluster specification, "Key distribution model" and "Hash tags".
 */
#ifndef KVNODE_CLUSTER_SLOT_H
#define KVNODE_CLUSTER_SLOT_H

#include "protocol/slice.h"

#include <stdint.h>

enum { SLOT_COUNT = 16384 };

uint16_t slot_of_key(struct slice key);
uint16_t slot_crc16(struct slice bytes);

#endif
