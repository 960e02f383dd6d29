/* glob.h: matching a key against a pattern as Redis does (KEYS, SCAN MATCH, GET /keys?match=). Pure.
 *
 *   *        any run of bytes, also none        [abc] [a-z]   one byte out of a set; [z-a] is [a-z]
 *   ?        any one byte                       [^abc]        one byte that is not in it
 *   \x       x itself, also within a set        a set without its ']' goes to the end of the pattern
 *
 * Bytes, not characters; their order is unsigned. `[]` matches nothing, `[^]` any byte, as in Redis. One
 * difference: a pattern of stars matches the empty key whoever asks; in Redis that depends on the command.
 */
#ifndef KVNODE_PROTOCOL_GLOB_H
#define KVNODE_PROTOCOL_GLOB_H

#include "protocol/slice.h"

enum glob_case { GLOB_CASE, GLOB_NOCASE /* ASCII letters of either case are the same */ };

/* In O(pattern * text) steps at the very worst, and without recursion, whatever the pattern. */
bool glob_match(struct slice pattern, struct slice text, enum glob_case mode);

#endif
