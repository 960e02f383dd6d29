#include "server/clients/limits.h"

#include "server/clients/client_eviction.h"
#include "server/commands/client/transactions.h"

enum { LOOKS_A_ROUND = 10 };

struct client_waiting client_waiting(const struct client *client) {
    size_t output_bytes = buf_used(conn_out(client->conn));
    return (struct client_waiting){conn_pending_bytes(client->conn) - output_bytes, output_bytes};
}

size_t client_memory_bytes(const struct client *client, struct client_waiting waiting) {
    return sizeof(*client) + waiting.input_bytes + waiting.output_bytes + buf_used(&client->pushes) +
           transaction_bytes(client);
}

void client_count_memory(struct client *client, struct client_waiting waiting) {
    size_t bytes = client_memory_bytes(client, waiting);
    client->clients->counted_bytes += bytes - client->counted_bytes;
    client->counted_bytes = bytes;
}

void client_count_now(struct client *client) { client_count_memory(client, client_waiting(client)); }

/* --- Soft limits --- */

static bool is_over(size_t bytes, int64_t limit_bytes) {
    return limit_bytes != 0 && bytes > (size_t)limit_bytes;
}

/* NULL: none. Replies are of the class normal; messages have the limit of the class pubsub, whoever gets them.
 */
static const struct output_limit *softly_exceeded(const struct client *client) {
    const struct output_limit *limits = client->clients->context->settings->output_limits;
    size_t output_bytes = buf_used(conn_out(client->conn));
    size_t untaken_bytes = output_bytes + buf_used(&client->pushes);
    size_t message_bytes = client->untaken_pushes < untaken_bytes ? client->untaken_pushes : untaken_bytes;
    if (is_over(message_bytes, limits[CLIENT_CLASS_PUBSUB].soft_bytes)) {
        return &limits[CLIENT_CLASS_PUBSUB];
    }
    bool subscribed = (client->gates & GATE_SUBSCRIBED) != 0;
    return !subscribed && is_over(output_bytes, limits[CLIENT_CLASS_NORMAL].soft_bytes)
               ? &limits[CLIENT_CLASS_NORMAL]
               : NULL;
}

static bool is_over_for_too_long(struct client *client) {
    const struct output_limit *limit = softly_exceeded(client);
    int64_t now_ms = loop_monotonic_ms(client->clients->loop);
    if (limit == NULL) {
        client->over_soft_since_ms = 0;
        return false;
    }
    if (client->over_soft_since_ms == 0) {
        client->over_soft_since_ms = now_ms;
    }
    return (now_ms - client->over_soft_since_ms) / 1000 >= limit->soft_seconds;
}

/* --- */

void clients_look_after(struct clients *clients) {
    for (size_t left = clients->count / LOOKS_A_ROUND + 1; left > 0 && clients->count > 0; left--) {
        struct client *client = clients->next_look == NULL ? clients->first : clients->next_look;
        clients->next_look = client->next;
        client_count_now(client);
        if (is_over_for_too_long(client)) {
            conn_close(client->conn, CLOSE_OUTPUT_LIMIT);
        }
    }
    client_eviction_tick(clients->eviction);
}
