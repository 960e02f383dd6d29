/* routes.c: the paths and what may be done with them: a row each. */
#include "server/rest/authorization.h"
#include "server/rest/handlers.h"
#include "server/rest/origin.h"
#include "server/rest/problem.h"
#include "server/settings.h"

struct route {
    struct slice path;
    struct slice allow; /* the header line */
    bool for_everybody; /* answered without a password, too */
    bool no_data;       /* the answer tells of the node alone */
    rest_handler *get, *post, *delete;
    rest_check *post_head; /* what the head of a POST decides; NULL: nothing takes a body here */
};

#define ROUTE(path_text, methods, ...)                                                                         \
    {                                                                                                          \
        {path_text, sizeof(path_text) - 1}, {"Allow: " methods "\r\n", sizeof("Allow: " methods) + 1},         \
            __VA_ARGS__                                                                                        \
    }

static const struct route routes[] = {
    ROUTE("/get", "GET, HEAD, OPTIONS", .get = rest_get),
    ROUTE("/set", "POST, OPTIONS", .post = rest_set, .post_head = rest_set_head),
    ROUTE("/delete", "DELETE, OPTIONS", .delete = rest_delete),
    ROUTE("/keys", "GET, HEAD, OPTIONS", .get = rest_list),
    ROUTE("/export", "GET, HEAD, OPTIONS", .get = rest_export),
    ROUTE("/admin/compact", "POST, OPTIONS", .post = rest_compact, .no_data = true),
    ROUTE("/admin/voters", "POST, OPTIONS", .post = rest_voters, .post_head = rest_voters_head),
    ROUTE("/cluster", "GET, HEAD, OPTIONS", .get = rest_cluster, .no_data = true),
    /* A load balancer has no password. */
    ROUTE("/health", "GET, HEAD, OPTIONS", .get = rest_health, .for_everybody = true, .no_data = true),
};
/* "OPTIONS *": of the server in general. No other method has such a target (RFC 9112, 3.2.4). */
static const struct route any_route = ROUTE("*", "GET, HEAD, POST, DELETE, OPTIONS", .get = NULL);
#undef ROUTE

static const struct route *find(struct slice path, llhttp_method_t method) {
    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
        if (slice_equals(path, routes[i].path)) {
            return &routes[i];
        }
    }
    return method == HTTP_OPTIONS && slice_equals(path, any_route.path) ? &any_route : NULL;
}

static rest_handler *handler_of(const struct route *route, llhttp_method_t method) {
    switch (method) {
    case HTTP_GET:
    case HTTP_HEAD:
        return route->get;
    case HTTP_POST:
        return route->post;
    case HTTP_DELETE:
        return route->delete;
    default:
        return NULL;
    }
}

/* A browser asks without the password whether its page may ask with it. */
static bool needs_password(const struct route *route, const struct exchange *exchange) {
    bool is_answered = exchange->request->is_preflight && exchange->reply.allow_origin.len > 0;
    return !is_answered && (route == NULL || !route->for_everybody);
}

static bool takes_body(const struct route *route, llhttp_method_t method) {
    return method == HTTP_POST && route->post_head != NULL;
}

static bool has_room_for_body(struct exchange *exchange) {
    size_t announced = exchange->request->announced_bytes;
    size_t most = (size_t)exchange->context->settings->api_body_memory_bytes;
    if (announced > most) {
        rest_problem(exchange, ERR_BODY_TOO_LARGE, "the body is larger than api-body-memory");
        return false;
    }
    if (announced > most - exchange->server->kept_body_bytes) {
        rest_problem(exchange, ERR_BODIES_TOO_LARGE, NULL);
        return false;
    }
    return true;
}

/* What the head alone decides: who asks, and for what. NULL: the problem is written. */
static const struct route *admit(struct exchange *exchange) {
    const struct http_request *request = exchange->request;
    const struct route *route = find(request->path, request->method);
    if (!rest_is_from_friend(exchange)) {
        return NULL;
    }
    if (needs_password(route, exchange) && !rest_is_authorized(exchange)) {
        rest_problem_with(exchange, ERR_UNAUTHORIZED, NULL,
                          HTTP_FIELD("WWW-Authenticate: Basic realm=\"kvnode\", Bearer realm=\"kvnode\""));
        return NULL;
    }
    if (route == NULL) {
        rest_problem(exchange, ERR_NO_SUCH_PATH, NULL);
        return NULL;
    }
    if (handler_of(route, request->method) == NULL && request->method != HTTP_OPTIONS) {
        rest_problem_with(exchange, ERR_METHOD_NOT_ALLOWED, NULL, route->allow);
        return NULL;
    }
    if (!takes_body(route, request->method) && request->announced_bytes > REST_USELESS_BODY_BYTES) {
        rest_problem(exchange, ERR_BODY_TOO_LARGE, "nothing takes a body here");
        return NULL;
    }
    return route;
}

bool rest_takes_body(const struct http_request *request) {
    const struct route *route = find(request->path, request->method);
    return route != NULL && takes_body(route, request->method);
}

bool rest_admit(struct exchange *exchange) {
    const struct route *route = admit(exchange);
    if (route == NULL || !takes_body(route, exchange->request->method)) {
        return route != NULL;
    }
    return route->post_head(exchange) && has_room_for_body(exchange);
}

void rest_dispatch(struct exchange *exchange) {
    const struct route *route = admit(exchange);
    if (route == NULL) {
        return;
    }
    rest_handler *handler = handler_of(route, exchange->request->method);
    if (handler != NULL) {
        exchange->session->saw_data |= !route->no_data;
        handler(exchange);
        return;
    }
    if (exchange->request->is_preflight) {
        rest_answer_preflight(exchange, route->allow);
        return;
    }
    http_reply_start(&exchange->reply, 204);
    http_reply_field(&exchange->reply, route->allow);
    http_reply_end_without_body(&exchange->reply);
}
