#include "server/tools/http_client.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

enum { READ_BYTES = 256 << 10, KEPT_BODY_BYTES = 64 << 10 };

/* --- Answers, as llhttp tells of them --- */

static struct http_client *client_of(const llhttp_t *parser) { return parser->data; }

static int on_field(llhttp_t *parser, const char *at, size_t n) {
    struct http_client *client = client_of(parser);
    if (client->field_ended) {
        client->field_ended = false;
        buf_reset(&client->field);
    }
    buf_append(&client->field, at, n);
    return 0;
}

static int on_value(llhttp_t *parser, const char *at, size_t n) {
    struct http_client *client = client_of(parser);
    client->field_ended = true;
    if (slice_equals_nocase(buf_slice(&client->field), SLICE("location"))) {
        buf_append(&client->location, at, n);
    }
    return 0;
}

static int on_begin(llhttp_t *parser) {
    struct http_client *client = client_of(parser);
    buf_reset(&client->field);
    buf_reset(&client->location);
    buf_reset(&client->body);
    client->field_ended = false;
    return 0;
}

static int on_body(llhttp_t *parser, const char *at, size_t n) {
    struct http_client *client = client_of(parser);
    bool goes_on = true;
    if (parser->status_code != 200) {
        buf_append(&client->body, at, n); /* as far as it goes */
    } else if (client->events->on_body != NULL) {
        goes_on = client->events->on_body(client->context, slice_of(at, n));
    }
    client->is_refused |= !goes_on;
    return goes_on ? 0 : -1;
}

static int on_complete(llhttp_t *parser) {
    struct http_client *client = client_of(parser);
    struct slice body = buf_slice(&client->body);
    cJSON *json = parser->status_code == 200 ? NULL : cJSON_ParseWithLength(body.ptr, body.len);
    const char *detail = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "detail"));
    const struct http_answer answer = {
        .status = parser->status_code,
        .location = buf_slice(&client->location),
        .detail = detail == NULL ? SLICE("") : slice_from_text(detail),
    };
    client->answered++;
    client->is_over = llhttp_should_keep_alive(parser) == 0;
    bool goes_on = client->events->on_answer(client->context, &answer);
    cJSON_Delete(json);
    client->is_refused |= !goes_on;
    return goes_on ? 0 : -1;
}

/* --- The connection --- */

bool http_client_open(struct http_client *client, const struct url *url,
                      const struct http_client_events *events, void *context) {
    memset(client, 0, sizeof(*client));
    client->url = *url;
    client->tcp.fd = -1;
    client->events = events;
    client->context = context;
    buf_init(&client->out, SIZE_MAX);
    buf_init(&client->field, LIMIT_HTTP_HEADER_BYTES);
    buf_init(&client->location, LIMIT_HTTP_HEADER_BYTES + LIMIT_HTTP_TARGET_BYTES);
    buf_init(&client->body, KEPT_BODY_BYTES);
    llhttp_settings_init(&client->settings);
    client->settings.on_message_begin = on_begin;
    client->settings.on_header_field = on_field;
    client->settings.on_header_value = on_value;
    client->settings.on_body = on_body;
    client->settings.on_message_complete = on_complete;
    return http_client_reopen(client);
}

bool http_client_reopen(struct http_client *client) {
    tcp_close(&client->tcp);
    buf_reset(&client->out);
    client->wanted = client->answered = 0;
    client->is_over = false;
    llhttp_init(&client->parser, HTTP_RESPONSE, &client->settings);
    client->parser.data = client;
    return tcp_dial(&client->tcp, client->url.host, client->url.port);
}

void http_client_close(struct http_client *client) {
    tcp_close(&client->tcp);
    buf_deinit(&client->out);
    buf_deinit(&client->field);
    buf_deinit(&client->location);
    buf_deinit(&client->body);
}

void http_client_request(struct http_client *client, const char *method, struct slice target, const char *type,
                         size_t body_bytes) {
    struct buf *out = &client->out;
    const struct url *url = &client->url;
    bool is_v6 = strchr(url->host, ':') != NULL;
    buf_append_text(out, method);
    buf_append_byte(out, ' ');
    buf_append_slice(out, target);
    buf_printf(out, is_v6 ? " HTTP/1.1\r\nHost: [%s]:%u\r\n" : " HTTP/1.1\r\nHost: %s:%u\r\n", url->host,
               url->port);
    if (url->password_len > 0) {
        buf_append_text(out, "Authorization: Bearer ");
        buf_append(out, url->password, url->password_len);
        buf_append_text(out, "\r\n");
    }
    if (type != NULL) {
        buf_printf(out, "Content-Type: %s\r\nContent-Length: %zu\r\n", type, body_bytes);
    }
    buf_append_text(out, "\r\n");
    client->wanted++;
}

static bool send_some(struct http_client *client) {
    struct slice rest = buf_slice(&client->out);
    ssize_t n = send(client->tcp.fd, rest.ptr, rest.len, MSG_NOSIGNAL);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            buf_reset(&client->out); /* what it has answered before may be here, and say why */
        }
        return true;
    }
    buf_consume(&client->out, (size_t)n);
    return true;
}

static bool receive_some(struct http_client *client) {
    static char bytes[READ_BYTES];
    ssize_t n = recv(client->tcp.fd, bytes, sizeof(bytes), 0);
    if (n < 0) {
        return errno == EAGAIN || errno == EINTR || tcp_fail(&client->tcp, "has gone away", errno);
    }
    if (n == 0) {
        return tcp_fail(&client->tcp, "has gone away in the middle", 0);
    }
    if (llhttp_execute(&client->parser, bytes, (size_t)n) == HPE_OK ||
        (client->is_over && !client->is_refused)) {
        return true;
    }
    return client->is_refused ? false : tcp_fail(&client->tcp, "does not speak HTTP as a node does", 0);
}

bool http_client_run(struct http_client *client) {
    client->tcp.reason[0] = '\0';
    if (buf_failed(&client->out)) {
        return tcp_fail(&client->tcp, "is to be sent more than there is memory for", 0);
    }
    while (client->answered < client->wanted && !client->is_over) {
        short got;
        short events = (short)(POLLIN | (buf_used(&client->out) > 0 ? POLLOUT : 0));
        if (!tcp_wait(&client->tcp, events, &got) || ((got & POLLOUT) != 0 && !send_some(client))) {
            return false;
        }
        if ((got & (POLLIN | POLLHUP | POLLERR)) != 0 && !receive_some(client)) {
            return false;
        }
    }
    return true;
}
