/* crc32c.h: CRC-32C, Castagnoli's (RFC 3720, appendix B.4): reflected 0x82f63b78, from ~0, inverted at the end.
 * Of "123456789" it is 0xe3069283. Pure.
 *
 * By the processor's instruction where there is one (SSE 4.2, ARMv8), which is asked for when it runs; by a
 * table otherwise.
 */
#ifndef KVNODE_PROTOCOL_CRC32C_H
#define KVNODE_PROTOCOL_CRC32C_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* crc: 0, or what the bytes before these gave. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t n);

/* The two ways, for the tests; the first one only where crc32c_has_instruction. */
bool crc32c_has_instruction(void);
uint32_t crc32c_by_instruction(uint32_t crc, const void *bytes, size_t n);
uint32_t crc32c_by_table(uint32_t crc, const void *bytes, size_t n);

#endif
