/* redis_client.h: the other end of RESP2, for a tool that asks a Redis or Valkey: commands in pipelines,
 * replies in their order. It blocks. */
#ifndef KVNODE_SERVER_TOOLS_REDIS_CLIENT_H
#define KVNODE_SERVER_TOOLS_REDIS_CLIENT_H

#include "protocol/buf.h"
#include "server/tools/tcp.h"

/* Embedded in its owner. */
struct redis_client {
    struct tcp tcp; /* its reason is this one's */
    struct buf out; /* commands that are not sent yet */
    struct buf in;  /* private: what is not read yet */
    size_t given;   /* private: of its front, by the last reply */
};

struct redis_reply {
    char kind;         /* '+', '-', ':', '$', '*'; of an array its elements are the next replies */
    bool is_null;      /* '$', '*' */
    struct slice text; /* '+', '-', '$': until the next reply is read */
    int64_t number;    /* ':'; '*': how many elements */
};

/* Each returns false when it fails: tcp.reason is one line. */
bool redis_client_open(struct redis_client *client, const char *host, uint16_t port);
void redis_client_close(struct redis_client *client); /* in every case */

void redis_client_command(struct redis_client *client, const struct slice *words, size_t n); /* to out */
bool redis_client_send(struct redis_client *client);                                         /* all of out */
bool redis_client_read(struct redis_client *client, struct redis_reply *reply);

#endif
