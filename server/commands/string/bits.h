/* bits.h: places of bits in values: bit 0 is the highest of the first byte. */
#ifndef KVNODE_SERVER_COMMANDS_STRING_BITS_H
#define KVNODE_SERVER_COMMANDS_STRING_BITS_H

#include "server/dispatch/command.h"

/* Argument i as the place of a bit; with a unit other than 0 "#n" is the n-th field of so many bits. False:
 * replied with an error. */
bool bit_offset_parse(struct request *request, size_t i, unsigned unit, size_t *offset);

#endif
