/* handlers.h: the endpoints (design, "REST API"). */
#ifndef KVNODE_SERVER_REST_HANDLERS_H
#define KVNODE_SERVER_REST_HANDLERS_H

#include "server/rest/exchange.h"

rest_handler rest_get;       /* keys.c */
rest_handler rest_set;       /* keys.c */
rest_check rest_set_head;    /* keys.c */
rest_handler rest_delete;    /* keys.c */
rest_handler rest_list;      /* listing.c */
rest_handler rest_export;    /* export.c */
rest_handler rest_compact;   /* compact.c */
rest_handler rest_voters;    /* voters.c */
rest_check rest_voters_head; /* voters.c */
rest_handler rest_cluster;   /* cluster.c */
rest_handler rest_health;    /* health.c */

#endif
