#include "server/rest/origin.h"

#include "server/password.h"
#include "server/rest/problem.h"

#include <arpa/inet.h>

/* --- Host --- */

static bool is_address(const struct http_authority *host) {
    char text[INET6_ADDRSTRLEN], address[sizeof(struct in6_addr)];
    if (host->host.len >= sizeof(text)) {
        return false;
    }
    memcpy(text, host->host.ptr, host->host.len);
    text[host->host.len] = '\0';
    return inet_pton(host->is_literal ? AF_INET6 : AF_INET, text, address) == 1;
}

static bool is_own_name(const struct settings *settings, struct slice name) {
    if (http_host_name_equal(name, SLICE("localhost"))) {
        return true;
    }
    struct slice rest = slice_from_text(settings->api_hosts);
    for (struct slice item = slice_next_item(&rest); item.len > 0; item = slice_next_item(&rest)) {
        if (http_host_name_equal(name, item)) {
            return true;
        }
    }
    return false;
}

/* Without Host there is no name that could have been turned to this address. */
static bool is_own_host(const struct settings *settings, const struct http_request *request) {
    return password_is_wanted(settings) || !request->has_host ||
           (!request->host.is_literal && is_own_name(settings, request->host.host)) ||
           is_address(&request->host);
}

/* --- Origin --- */

static bool is_allowed(const struct settings *settings, const struct http_origin *origin) {
    struct slice rest = slice_from_text(settings->api_origins);
    for (struct slice item = slice_next_item(&rest); item.len > 0; item = slice_next_item(&rest)) {
        struct http_origin allowed;
        if (http_origin_parse(item, &allowed) && http_origin_equal(origin, &allowed)) {
            return true;
        }
    }
    return false;
}

/* Of a page that is not one of api-origins. "null" is what any page can make its browser say. */
static bool is_of_another_origin(const struct http_request *request, const struct http_origin *origin) {
    bool same_site = !request->has_fetch_site || slice_equals(request->fetch_site, SLICE("same-origin")) ||
                     slice_equals(request->fetch_site, SLICE("none")); /* none: a person, not a page */
    bool same_origin = !request->has_origin ||
                       (origin != NULL && request->has_host && http_origin_is_of(origin, &request->host));
    return !same_site || !same_origin;
}

/* The safe methods (RFC 9110, 9.2.1) change nothing here either. */
static bool may_change(const struct http_request *request) {
    return (request->method != HTTP_GET && request->method != HTTP_HEAD && request->method != HTTP_OPTIONS) ||
           request->is_preflight;
}

bool rest_is_from_friend(struct exchange *exchange) {
    const struct settings *settings = exchange->context->settings;
    const struct http_request *request = exchange->request;
    if (!is_own_host(settings, request)) {
        rest_problem(exchange, ERR_FOREIGN_HOST, NULL);
        return false;
    }
    exchange->reply.varies_by_origin = settings->api_origins[0] != '\0';
    if (!request->has_origin && !request->has_fetch_site) {
        return true;
    }
    struct http_origin origin;
    bool is_origin = request->has_origin && http_origin_parse(request->origin, &origin);
    if (is_origin && is_allowed(settings, &origin)) {
        exchange->reply.allow_origin = request->origin;
        return true;
    }
    if (may_change(request) && is_of_another_origin(request, is_origin ? &origin : NULL)) {
        rest_problem(exchange, ERR_FOREIGN_ORIGIN, NULL);
        return false;
    }
    return true;
}

/* --- Preflight --- */

void rest_answer_preflight(struct exchange *exchange, struct slice allow) {
    const struct http_reply *reply = &exchange->reply;
    http_reply_start(reply, 204);
    http_reply_field(reply, allow);
    buf_append_slice(reply->out, SLICE("Access-Control-Allow-Methods"));
    buf_append_slice(reply->out, slice_skip(allow, strlen("Allow")));
    http_reply_field(reply, HTTP_FIELD("Access-Control-Allow-Headers: Accept, Authorization, Content-Type, "
                                       "If-Match, If-None-Match"));
    http_reply_field(reply, HTTP_FIELD("Access-Control-Max-Age: 600"));
    http_reply_end_without_body(reply);
}
