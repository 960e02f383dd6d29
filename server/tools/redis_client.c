#include "server/tools/redis_client.h"

#include "protocol/limits.h"
#include "protocol/num.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

enum { READ_BYTES = 256 << 10, LINE_BYTES = 64 << 10 };

bool redis_client_open(struct redis_client *client, const char *host, uint16_t port) {
    memset(client, 0, sizeof(*client));
    client->tcp.fd = -1;
    buf_init(&client->out, SIZE_MAX);
    buf_init(&client->in, SIZE_MAX);
    return tcp_dial(&client->tcp, host, port);
}

void redis_client_close(struct redis_client *client) {
    tcp_close(&client->tcp);
    buf_deinit(&client->out);
    buf_deinit(&client->in);
}

void redis_client_command(struct redis_client *client, const struct slice *words, size_t n) {
    buf_printf(&client->out, "*%zu\r\n", n);
    for (size_t i = 0; i < n; i++) {
        buf_printf(&client->out, "$%zu\r\n", words[i].len);
        buf_append_slice(&client->out, words[i]);
        buf_append_slice(&client->out, SLICE("\r\n"));
    }
}

/* It reads while it writes, as every Redis does; so this side need not. */
bool redis_client_send(struct redis_client *client) {
    if (buf_failed(&client->out)) {
        return tcp_fail(&client->tcp, "is to be sent more than there is memory for", 0);
    }
    while (buf_used(&client->out) > 0) {
        struct slice rest = buf_slice(&client->out);
        short got;
        ssize_t n = send(client->tcp.fd, rest.ptr, rest.len, MSG_NOSIGNAL);
        if (n >= 0) {
            buf_consume(&client->out, (size_t)n);
        } else if (errno != EAGAIN && errno != EINTR) {
            return tcp_fail(&client->tcp, "has gone away", errno);
        } else if (!tcp_wait(&client->tcp, POLLOUT, &got)) {
            return false;
        }
    }
    return true;
}

/* --- Replies --- */

static bool read_more(struct redis_client *client) {
    short got;
    char *to = buf_reserve(&client->in, READ_BYTES);
    if (to == NULL) {
        return tcp_fail(&client->tcp, "says more than there is memory for", 0);
    }
    ssize_t n;
    while ((n = recv(client->tcp.fd, to, READ_BYTES, 0)) < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            return tcp_fail(&client->tcp, "has gone away", errno);
        }
        if (!tcp_wait(&client->tcp, POLLIN, &got)) {
            return false;
        }
    }
    if (n == 0) {
        return tcp_fail(&client->tcp, "has gone away in the middle", 0);
    }
    buf_commit(&client->in, (size_t)n);
    return true;
}

/* The first line of what is not read yet, without its CR LF. */
static bool take_line(struct redis_client *client, struct slice *line) {
    for (;;) {
        struct slice in = buf_slice(&client->in);
        const char *lf = memchr(in.ptr, '\n', in.len);
        if (lf != NULL && lf > in.ptr && lf[-1] == '\r') {
            *line = slice_first(in, (size_t)(lf - 1 - in.ptr));
            client->given = line->len + 2;
            return true;
        }
        if (lf != NULL || in.len > LINE_BYTES) {
            return tcp_fail(&client->tcp, "does not speak RESP", 0);
        }
        if (!read_more(client)) {
            return false;
        }
    }
}

static bool take_bulk(struct redis_client *client, struct redis_reply *reply) {
    size_t head = client->given, n = (size_t)reply->number;
    while (buf_used(&client->in) < head + n + 2) {
        if (!read_more(client)) {
            return false;
        }
    }
    reply->text = slice_first(slice_skip(buf_slice(&client->in), head), n);
    client->given = head + n + 2;
    return true;
}

bool redis_client_read(struct redis_client *client, struct redis_reply *reply) {
    struct slice line = SLICE("");
    buf_consume(&client->in, client->given);
    client->given = 0;
    *reply = (struct redis_reply){.kind = '\0'};
    if (!take_line(client, &line)) {
        return false;
    }
    reply->kind = line.len == 0 ? '\0' : line.ptr[0];
    reply->text = line.len == 0 ? line : slice_skip(line, 1);
    if (reply->kind == '+' || reply->kind == '-') {
        return true;
    }
    bool is_bulk = reply->kind == '$';
    bool known = is_bulk || reply->kind == ':' || reply->kind == '*';
    if (!known || !num_parse_i64(reply->text, &reply->number) ||
        (reply->kind != ':' && (reply->number < -1 || reply->number > (int64_t)LIMIT_HTTP_BODY_BYTES))) {
        return tcp_fail(&client->tcp, "does not speak RESP", 0);
    }
    reply->is_null = reply->kind != ':' && reply->number == -1;
    return !is_bulk || reply->is_null || take_bulk(client, reply);
}
