/* force_voters.h: kvnode -force-voters ID,ID.. DIR: a group whose voters are gone for good, a majority of them,
 * goes on with what one of them has. What the others had acknowledged behind that is lost: so it is another
 * history, which nobody takes for the old one.
 *
 * At any moment DIR holds the old one, or the new one:
 *   meta: a term above all that are known, in which nobody has been voted for    (which harms no history)
 *   incoming.log: the state, and the voters as its history's first line; synced; it is the newest segment
 *   meta: nothing is forgotten, nothing was agreed to before                     (true of the new one alone)
 *   the older segments go
 */
#ifndef KVNODE_SERVER_TOOLS_FORCE_VOTERS_H
#define KVNODE_SERVER_TOOLS_FORCE_VOTERS_H

#include "server/tools/kept_data.h"

/* On data that were opened to be mended. */
enum tool_status force_voters(struct kept_data *kept, const struct voters *voters);

#endif
