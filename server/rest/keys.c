/* keys.c: GET /get, POST /set, DELETE /delete: one key each. */
#include "cluster/routing.h"
#include "protocol/http_fields.h"
#include "protocol/http_query.h"
#include "protocol/json_text.h"
#include "protocol/line.h"
#include "protocol/num.h"
#include "protocol/set_body.h"
#include "server/dispatch/large_value.h"
#include "server/rest/admission.h"
#include "server/rest/handlers.h"
#include "server/rest/problem.h"
#include "server/store/keyspace.h"

static const struct slice json_type = {"Content-Type: application/json\r\n", 32};
static const struct slice octets_type = {"Content-Type: application/octet-stream\r\n", 40};

/* --- What comes before the keyspace --- */

enum param { PARAM_KEY, PARAM_TTL, PARAM_DEADLINE, PARAMS };

/* False: the problem is written. */
static bool read_params(struct exchange *exchange, struct http_param params[PARAMS]) {
    params[PARAM_KEY] = (struct http_param){.name = SLICE("key")};
    params[PARAM_TTL] = (struct http_param){.name = SLICE("ttl")};
    params[PARAM_DEADLINE] = (struct http_param){.name = SLICE("deadline")};
    return rest_read_query(exchange, params, PARAMS);
}

static bool read_key(struct exchange *exchange, struct slice *key) {
    struct http_param params[PARAMS];
    if (!read_params(exchange, params)) {
        return false;
    }
    if (!params[PARAM_KEY].given) {
        rest_problem(exchange, ERR_BAD_REQUEST, "the query has no key=");
        return false;
    }
    *key = params[PARAM_KEY].value;
    return true;
}

/* False: somebody else answers for the key, or nobody does; that is written. A write may take memory, unless it
 * only deletes. */
static bool is_answered_here(struct exchange *exchange, struct slice key, bool write, bool grows) {
    return rest_admits(
        exchange,
        (struct demand){
            .keys = &key, .key_count = 1, .data = true, .leader = write, .grows = grows, .at_once = write});
}

/* The same of a write of a key that is not known yet, as far as it goes. */
static bool takes_writes(struct exchange *exchange) {
    return rest_admits(exchange, (struct demand){.data = true, .grows = true, .at_once = true});
}

enum verdict { VERDICT_GO, VERDICT_NOT_MODIFIED, VERDICT_ANSWERED };

/* If-Match, then If-None-Match (RFC 9110, 13.2.2), against what is stored; entry NULL: nothing. */
static enum verdict check_conditions(struct exchange *exchange, const struct entry *entry) {
    const struct http_request *request = exchange->request;
    uint64_t version = entry == NULL ? 0 : entry_version(entry);
    enum http_etag match = HTTP_ETAG_MATCH, none_match = HTTP_ETAG_NONE;
    if (request->if_match.count > 0) {
        match = http_etag_match(&request->if_match, entry != NULL, version, false);
    }
    if (request->if_none_match.count > 0) {
        none_match = http_etag_match(&request->if_none_match, entry != NULL, version, true);
    }
    if (match == HTTP_ETAG_MALFORMED || none_match == HTTP_ETAG_MALFORMED) {
        rest_problem(exchange, ERR_BAD_REQUEST,
                     "If-Match or If-None-Match is neither * nor a list of entity tags");
        return VERDICT_ANSWERED;
    }
    bool reads = request->method == HTTP_GET || request->method == HTTP_HEAD;
    if (match == HTTP_ETAG_MATCH && none_match == HTTP_ETAG_MATCH && reads) {
        return VERDICT_NOT_MODIFIED;
    }
    if (match != HTTP_ETAG_MATCH || none_match == HTTP_ETAG_MATCH) {
        rest_problem(exchange, ERR_PRECONDITION, NULL);
        return VERDICT_ANSWERED;
    }
    return VERDICT_GO;
}

static bool is_conditional(const struct http_request *request) {
    return request->if_match.count + request->if_none_match.count > 0;
}

/* For a write: its conditions as the keyspace has them: what they held for must still be there. */
static bool take_conditions(struct exchange *exchange, const struct key *key,
                            enum keyspace_condition *condition, uint64_t *version) {
    *condition = KEYSPACE_ALWAYS;
    *version = 0;
    if (!is_conditional(exchange->request)) {
        return true;
    }
    const struct entry *entry = keyspace_find(exchange->context->keyspace, key, KEYSPACE_QUIETLY);
    if (check_conditions(exchange, entry) != VERDICT_GO) {
        return false;
    }
    *condition = entry == NULL ? KEYSPACE_IF_ABSENT : KEYSPACE_IF_VERSION;
    *version = entry == NULL ? 0 : entry_version(entry);
    return true;
}

/* --- GET /get --- */

static void reply_octets(struct exchange *exchange, const struct entry *entry) {
    const struct http_reply *reply = &exchange->reply;
    struct slice value = entry_value(entry);
    char timestamp[TIME_RFC3339_BYTES];
    time_rfc3339(timestamp, entry_timestamp_ms(entry));
    http_reply_field(reply, octets_type);
    buf_append_slice(reply->out, SLICE("Kvnode-Timestamp: "));
    buf_append(reply->out, timestamp, sizeof(timestamp));
    buf_append_slice(reply->out, SLICE("\r\n"));
    http_reply_end_with_length(reply, value.len);
    if (value.len >= CONN_LARGE_BYTES && !reply->head_only) {
        large_value_write(exchange->session->conn, entry, value, SLICE(""));
    } else {
        http_reply_body(reply, value);
    }
}

static void reply_entry(struct exchange *exchange, struct slice name, const struct entry *entry) {
    const struct http_reply *reply = &exchange->reply;
    struct json_text key = json_text_measure(name), value = json_text_measure(entry_value(entry));
    char version[NUM_MAX_DIGITS], timestamp[TIME_RFC3339_BYTES];
    size_t version_len = num_write_u64(version, entry_version(entry));
    time_rfc3339(timestamp, entry_timestamp_ms(entry));
    const struct slice before_key = SLICE("{\"key\":"), before_value = SLICE(",\"value\":"),
                       before_version = SLICE(",\"version\":"), before_time = SLICE(",\"timestamp\":\""),
                       after_time = SLICE("\"}\n");
    http_reply_field(reply, json_type);
    http_reply_end_with_length(reply, before_key.len + key.length + before_value.len + value.length +
                                          before_version.len + version_len + before_time.len +
                                          sizeof(timestamp) + after_time.len);
    if (reply->head_only) {
        return;
    }
    struct buf *out = reply->out;
    buf_append_slice(out, before_key);
    json_text_append(out, &key);
    buf_append_slice(out, before_value);
    json_text_append(out, &value);
    buf_append_slice(out, before_version);
    buf_append(out, version, version_len);
    buf_append_slice(out, before_time);
    buf_append(out, timestamp, sizeof(timestamp));
    buf_append_slice(out, after_time);
}

void rest_get(struct exchange *exchange) {
    struct slice name;
    if (!read_key(exchange, &name) || !is_answered_here(exchange, name, false, false)) {
        return;
    }
    struct keyspace *keyspace = exchange->context->keyspace;
    struct key key = keyspace_key(keyspace, name);
    const struct entry *entry = keyspace_find(keyspace, &key, KEYSPACE_READ);
    if (entry == NULL) {
        rest_problem(exchange, ERR_NO_SUCH_KEY, NULL);
        return;
    }
    const struct http_reply *reply = &exchange->reply;
    enum verdict verdict = is_conditional(exchange->request) ? check_conditions(exchange, entry) : VERDICT_GO;
    if (verdict == VERDICT_ANSWERED) {
        return;
    }
    http_reply_start(reply, verdict == VERDICT_NOT_MODIFIED ? 304 : 200);
    http_reply_etag_field(reply, entry_version(entry));
    http_reply_field(reply, HTTP_FIELD("Vary: Accept"));
    if (verdict == VERDICT_NOT_MODIFIED) {
        http_reply_end_without_body(reply);
    } else if (http_accept_prefers_octets(&exchange->request->accept)) {
        reply_octets(exchange, entry);
    } else {
        reply_entry(exchange, name, entry);
    }
}

/* --- POST /set --- */

/* deadline_ms wins over ttl_ms; 0: not given. */
static void store(struct exchange *exchange, struct slice name, struct slice value, int64_t ttl_ms,
                  int64_t deadline_ms) {
    if (!is_answered_here(exchange, name, true, true)) {
        return;
    }
    struct keyspace *keyspace = exchange->context->keyspace;
    struct key key = keyspace_key(keyspace, name);
    struct keyspace_set set = {.value = value, .deadline = KEYSPACE_DEADLINE_CLEAR};
    if (!take_conditions(exchange, &key, &set.condition, &set.version)) {
        return;
    }
    if (ttl_ms > 0 || deadline_ms > 0) {
        set.deadline = KEYSPACE_DEADLINE_SET;
        set.deadline_ms = deadline_ms > 0 ? deadline_ms : keyspace_now_ms(keyspace) + ttl_ms;
        if (set.deadline_ms >= LINE_TIME_LIMIT_MS) {
            rest_problem(exchange, ERR_INVALID_EXPIRE, NULL);
            return;
        }
    }
    struct keyspace_result result;
    enum err err = keyspace_set(keyspace, &key, &set, &result);
    if (err != ERR_NONE) {
        rest_problem(exchange, err, NULL);
        return;
    }
    char timestamp[TIME_RFC3339_BYTES];
    time_rfc3339(timestamp, result.timestamp_ms);
    struct buf *body = &exchange->server->body;
    buf_append_slice(body, SLICE("{\"key\":"));
    json_text_write(body, name);
    buf_append_slice(body, SLICE(",\"version\":"));
    buf_append_u64(body, result.version);
    buf_append_slice(body, SLICE(",\"timestamp\":\""));
    buf_append(body, timestamp, sizeof(timestamp));
    buf_append_slice(body, SLICE("\"}\n"));
    char etag[NUM_MAX_DIGITS + 16] = "ETag: \"";
    size_t n = strlen(etag);
    n += num_write_u64(etag + n, result.version);
    memcpy(etag + n, "\"\r\n", 3);
    rest_reply_json(exchange, 200, slice_of(etag, n + 3));
}

/* What the head of a POST /set says of the body. */
struct set_head {
    bool is_json;
    struct http_param params[PARAMS];
    int64_t ttl_ms, deadline_ms; /* what the query said; 0: nothing */
};

/* False: the problem is written. */
static bool read_lifetime(struct exchange *exchange, struct set_head *head) {
    const struct http_param *ttl = &head->params[PARAM_TTL], *deadline = &head->params[PARAM_DEADLINE];
    head->ttl_ms = head->deadline_ms = 0;
    if (ttl->given && !set_body_ttl_of_text(ttl->value, &head->ttl_ms)) {
        rest_problem(exchange, ERR_INVALID_EXPIRE, "ttl is a number of seconds above 0");
        return false;
    }
    if (deadline->given && (!num_parse_i64(deadline->value, &head->deadline_ms) || head->deadline_ms <= 0)) {
        rest_problem(exchange, ERR_INVALID_EXPIRE, "deadline is a time in Unix ms above 0");
        return false;
    }
    return true;
}

/* False: the problem is written. */
static bool read_set_head(struct exchange *exchange, struct set_head *head) {
    const struct http_request *request = exchange->request;
    if (!http_is_identity(&request->content_encoding)) {
        rest_problem_with(exchange, ERR_MEDIA_TYPE, "a body with a Content-Encoding is not taken",
                          HTTP_FIELD("Accept-Encoding: identity"));
        return false;
    }
    if (!read_params(exchange, head->params)) {
        return false;
    }
    if (!read_lifetime(exchange, head)) {
        return false;
    }
    const struct http_param *key = &head->params[PARAM_KEY];
    if (head->ttl_ms > 0 && head->deadline_ms > 0) {
        rest_problem(exchange, ERR_BAD_REQUEST, "ttl and deadline are one at a time");
        return false;
    }
    head->is_json = request->has_content_type
                        ? http_media_type_is(request->content_type, SLICE("application/json"))
                        : !key->given;
    if (!head->is_json && !key->given) {
        rest_problem(exchange, ERR_MEDIA_TYPE,
                     "without key= in the query the body is JSON: send Content-Type: application/json");
        return false;
    }
    return true;
}

static void set_json(struct exchange *exchange, const struct set_head *head) {
    const struct http_param *key = &head->params[PARAM_KEY];
    struct set_body body;
    const char *reason;
    enum err err = set_body_read(exchange->request->body, &body, &reason);
    if (err == ERR_NONE) {
        struct slice name = body.has_key ? body.key : key->value;
        err = ERR_BAD_REQUEST;
        if (!body.has_key && !key->given) {
            reason = "the JSON has no member \"key\"";
        } else if (!body.has_value) {
            reason = "the JSON has no member \"value\"";
        } else if (key->given && !slice_equals(name, key->value)) {
            reason = "the key of the query and the key of the JSON differ";
        } else if (head->ttl_ms > 0 && body.ttl_ms > 0 && head->ttl_ms != body.ttl_ms) {
            reason = "the ttl of the query and the ttl of the JSON differ";
        } else if (head->deadline_ms > 0 && body.ttl_ms > 0) {
            reason = "ttl and deadline are one at a time";
        } else {
            err = ERR_NONE;
            store(exchange, name, body.value, head->ttl_ms > 0 ? head->ttl_ms : body.ttl_ms, head->deadline_ms);
        }
    }
    if (err != ERR_NONE) {
        rest_problem(exchange, err, reason);
    }
    set_body_deinit(&body);
}

void rest_set(struct exchange *exchange) {
    struct set_head head;
    if (!read_set_head(exchange, &head)) {
        return;
    }
    if (head.is_json) {
        set_json(exchange, &head);
    } else {
        store(exchange, head.params[PARAM_KEY].value, exchange->request->body, head.ttl_ms, head.deadline_ms);
    }
}

/* All that store() will look at, and that does not need the body; it looks again, for the body takes its time.
 * A key that is in the JSON only is not known yet. */
bool rest_set_head(struct exchange *exchange) {
    struct set_head head;
    if (!read_set_head(exchange, &head)) {
        return false;
    }
    if (!head.is_json && exchange->request->announced_bytes > LIMIT_VALUE_BYTES) {
        rest_problem(exchange, ERR_VALUE_TOO_LONG, NULL);
        return false;
    }
    const struct http_param *name = &head.params[PARAM_KEY];
    if (!name->given) {
        return takes_writes(exchange);
    }
    if (!is_answered_here(exchange, name->value, true, true)) {
        return false;
    }
    struct key key = keyspace_key(exchange->context->keyspace, name->value);
    enum keyspace_condition condition;
    uint64_t version;
    return take_conditions(exchange, &key, &condition, &version);
}

/* --- DELETE /delete --- */

void rest_delete(struct exchange *exchange) {
    struct slice name;
    if (!read_key(exchange, &name) || !is_answered_here(exchange, name, true, false)) {
        return;
    }
    struct keyspace *keyspace = exchange->context->keyspace;
    struct key key = keyspace_key(keyspace, name);
    /* Conditions are ignored where the answer without them would be an error (RFC 9110, 13.2.1). */
    if (is_conditional(exchange->request) && keyspace_find(keyspace, &key, KEYSPACE_QUIETLY) == NULL) {
        rest_problem(exchange, ERR_NO_SUCH_KEY, NULL);
        return;
    }
    enum keyspace_condition condition;
    struct keyspace_result result;
    uint64_t version;
    if (!take_conditions(exchange, &key, &condition, &version)) {
        return;
    }
    enum err err = keyspace_delete(keyspace, &key, condition, version, &result);
    if (err != ERR_NONE) {
        rest_problem(exchange, err, NULL);
        return;
    }
    struct buf *body = &exchange->server->body;
    buf_append_slice(body, SLICE("{\"key\":"));
    json_text_write(body, name);
    buf_append_slice(body, SLICE(",\"deleted\":true,\"version\":"));
    buf_append_u64(body, result.version);
    buf_append_slice(body, SLICE("}\n"));
    rest_reply_json(exchange, 200, SLICE(""));
}
