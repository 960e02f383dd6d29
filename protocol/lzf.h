/* lzf.h: the LZF format, in which Redis writes long strings of a payload. Pure.
 *
 *   000nnnnn                     n + 1 bytes follow as they are
 *   lllooooo oooooooo            l + 2 bytes (l from 1 to 6) as they were o + 1 bytes before the end of the
 * output 111ooooo llllllll oooooooo   l + 9 bytes, likewise
 */
#ifndef KVNODE_PROTOCOL_LZF_H
#define KVNODE_PROTOCOL_LZF_H

#include "protocol/slice.h"

/* No more bytes come out of one byte of the format than this. */
enum { LZF_MAX_RATIO = 88 };

/* False: in is malformed, or does not give just n bytes. */
bool lzf_decompress(struct slice in, char *to, size_t n);

/* Returns the bytes written to to, fewer than in has and at most room; 0: it can't be said so shortly. */
size_t lzf_compress(struct slice in, char *to, size_t room);

#endif
