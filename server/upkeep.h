/* upkeep.h: what is looked after ten times a second whether or not anybody asks: the rates that INFO shows, the
 * peak of memory, what features do ten times a second, and memory that was touched ahead. One a resp_server,
 * which owns it.
 */
#ifndef KVNODE_SERVER_UPKEEP_H
#define KVNODE_SERVER_UPKEEP_H

struct clients;
struct upkeep;

struct upkeep *upkeep_create(struct clients *clients); /* NULL: out of memory */
void upkeep_destroy(struct upkeep **upkeep);           /* NULL-safe, nulls it */

#endif
