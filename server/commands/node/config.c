/* config.c: CONFIG GET, SET, RESETSTAT, REWRITE; what a parameter changes besides its value is a row of
 * effects. */
#include "server/commands/node/config.h"

#include "protocol/glob.h"
#include "server/clients/clients.h"
#include "server/commands/client/notify.h"
#include "server/commands/client/tracking.h"
#include "server/commands/rows.h"
#include "server/dispatch/telemetry.h"
#include "server/journal/journal.h"
#include "server/net/socket.h"
#include "server/options.h"
#include "server/password.h"
#include "server/stats.h"
#include "server/store/keyspace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    REASON_BYTES = 512,
    TIMED_BELOW_US = 1000, /* a threshold so low is about single commands: each of them is timed */
};

/* --- Effects: what is in force becomes so */

typedef bool effect_function(const struct command_context *context, struct clients *clients, char *reason,
                             size_t n);

static bool apply_memory(const struct command_context *context, struct clients *clients, char *reason,
                         size_t n) {
    (void)clients, (void)reason, (void)n;
    const struct settings *settings = context->settings;
    struct keyspace *keyspace = context->keyspace;
    keyspace_set_maxmemory(keyspace, (size_t)settings->maxmemory_bytes);
    keyspace_set_policy(keyspace, (enum eviction_policy)settings->maxmemory_policy);
    keyspace_set_maxmemory_samples(keyspace, (unsigned)settings->maxmemory_samples);
    keyspace_set_lfu_log_factor(keyspace, (unsigned)settings->lfu_log_factor);
    keyspace_set_lfu_decay_minutes(keyspace, (unsigned)settings->lfu_decay_time_min);
    return true;
}

static bool apply_clients(const struct command_context *context, struct clients *clients, char *reason,
                          size_t n) {
    (void)clients;
    size_t besides, possible = socket_share_descriptors((size_t)context->settings->maxclients, &besides);
    if (possible < (size_t)context->settings->maxclients) {
        snprintf(reason, n,
                 "The operating system is not able to handle the specified number of clients, try with %zu",
                 possible);
        return false;
    }
    return true;
}

static bool apply_log(const struct command_context *context, struct clients *clients, char *reason, size_t n) {
    (void)clients, (void)reason, (void)n;
    context->log->level = settings_log_level(context->settings);
    return true;
}

static bool apply_timing(const struct command_context *context, struct clients *clients, char *reason,
                         size_t n) {
    (void)clients, (void)reason, (void)n;
    const struct settings *settings = context->settings;
    bool every_command = settings->latency_monitor_threshold_ms > 0 ||
                         (settings->slowlog_slower_than_us >= 0 && settings->slowlog_max_len > 0 &&
                          settings->slowlog_slower_than_us < TIMED_BELOW_US);
    telemetry_time_all(context->telemetry, every_command);
    return true;
}

static bool apply_journal(const struct command_context *context, struct clients *clients, char *reason,
                          size_t n) {
    (void)clients, (void)reason, (void)n;
    if (context->journal != NULL) {
        journal_set_fsync(context->journal, (enum journal_fsync)context->settings->fsync);
        journal_set_compact_ratio(context->journal, (double)context->settings->compact_ratio);
    }
    return true;
}

/* Without a password there is nothing to owe. Who is in stays in when the password changes, as in Redis. */
static bool apply_password(const struct command_context *context, struct clients *clients, char *reason,
                           size_t n) {
    (void)reason, (void)n;
    if (!password_is_wanted(context->settings)) {
        for (struct client *client = clients->first; client != NULL; client = client->next) {
            client->gates &= ~(uint32_t)GATE_UNAUTHENTICATED;
        }
    }
    return true;
}

static bool apply_idle(const struct command_context *context, struct clients *clients, char *reason, size_t n) {
    (void)context, (void)reason, (void)n;
    for (struct client *client = clients->first; client != NULL; client = client->next) {
        if (client->holds == 0) { /* else it is when to look for it */
            conn_set_deadline(client->conn, client_idle_deadline(clients));
        }
    }
    return true;
}

static bool apply_tracking(const struct command_context *context, struct clients *clients, char *reason,
                           size_t n) {
    (void)context, (void)reason, (void)n;
    tracking_limit_changed(clients);
    return true;
}

static bool apply_notify(const struct command_context *context, struct clients *clients, char *reason,
                         size_t n) {
    (void)context, (void)reason, (void)n;
    notify_follow_settings(clients);
    return true;
}

static effect_function *const effects[SETTING_EFFECTS] = {
    [SETTING_MEMORY] = apply_memory,   [SETTING_CLIENTS] = apply_clients,   [SETTING_LOG] = apply_log,
    [SETTING_SLOWLOG] = apply_timing,  [SETTING_LATENCY] = apply_timing,    [SETTING_PASSWORD] = apply_password,
    [SETTING_IDLE] = apply_idle,       [SETTING_TRACKING] = apply_tracking, [SETTING_NOTIFY] = apply_notify,
    [SETTING_JOURNAL] = apply_journal,
};

void config_apply_all(const struct command_context *context, struct clients *clients) {
    for (size_t i = 0; i < SETTING_EFFECTS; i++) {
        char reason[REASON_BYTES];
        if (effects[i] != NULL && i != SETTING_CLIENTS) {
            effects[i](context, clients, reason, sizeof(reason));
        }
    }
}

/* --- CONFIG GET */

static bool is_asked_for(const struct request *request, const char *name) {
    for (size_t i = 2; i < request->arg_count; i++) {
        if (glob_match(request->args[i], slice_from_text(name), GLOB_NOCASE)) {
            return true;
        }
    }
    return false;
}

void command_config_get(struct request *request) {
    const struct command_context *context = request->context;
    struct buf pairs, value;
    struct resp_reply reply = {.out = &pairs, .version = request->reply.version};
    size_t count = 0;
    bool ok = true;
    buf_init(&pairs, SIZE_MAX);
    buf_init(&value, SIZE_MAX);
    for (size_t i = 0; i < settings_count(); i++) {
        const struct setting *setting = settings_at(i);
        if (is_asked_for(request, setting->name)) {
            buf_reset(&value);
            setting_write(setting, context->settings, &value);
            ok = ok && !buf_failed(&value);
            resp_bulk_text(&reply, setting->name);
            resp_bulk(&reply, buf_slice(&value));
            count++;
        }
    }
    if (ok && !buf_failed(&pairs)) {
        resp_map(&request->reply, count);
        buf_append_slice(request->reply.out, buf_slice(&pairs));
    } else {
        resp_error(&request->reply, ERR_NO_MEMORY);
    }
    buf_deinit(&pairs);
    buf_deinit(&value);
}

/* --- CONFIG SET: all or nothing */

static void reply_refused(struct request *request, struct slice name, const char *reason) {
    resp_errorf(&request->reply, "ERR CONFIG SET failed (possibly related to argument '%.*s') - %s",
                (int)name.len, name.ptr, reason);
}

static bool is_repeated(const struct request *request, size_t i) {
    for (size_t k = 2; k < i; k += 2) {
        if (slice_equals_nocase(request->args[k], request->args[i])) {
            return true;
        }
    }
    return false;
}

/* All names are looked at before any value, as Redis does. */
static bool check_names(struct request *request) {
    for (size_t i = 2; i < request->arg_count; i += 2) {
        struct slice name = slice_first(request->args[i], 128);
        const struct setting *setting = settings_find(name);
        if (setting == NULL) {
            resp_errorf(&request->reply, "ERR Unknown option or number of arguments for CONFIG SET - '%.*s'",
                        (int)name.len, name.ptr);
            return false;
        }
        if (setting->effect == SETTING_AT_START) {
            reply_refused(request, name, "can't set immutable config");
            return false;
        }
        if (is_repeated(request, i)) {
            reply_refused(request, name, "duplicate parameter");
            return false;
        }
    }
    return true;
}

static bool parse_values(struct request *request, struct settings *settings) {
    for (size_t i = 2; i < request->arg_count; i += 2) {
        char reason[REASON_BYTES];
        const struct setting *setting = settings_find(request->args[i]);
        if (!setting_parse(setting, request->args[i + 1], settings, reason, sizeof(reason))) {
            reply_refused(request, slice_from_text(setting->name), reason);
            return false;
        }
    }
    return true;
}

/* Each effect of the parameters, once. False: replied; some have taken place. */
static bool apply_values(struct request *request) {
    bool done[SETTING_EFFECTS] = {0};
    for (size_t i = 2; i < request->arg_count; i += 2) {
        char reason[REASON_BYTES];
        const struct setting *setting = settings_find(request->args[i]);
        enum setting_effect effect = setting->effect;
        if (done[effect] || effects[effect] == NULL) {
            continue;
        }
        done[effect] = true;
        if (!effects[effect](request->context, request->client->clients, reason, sizeof(reason))) {
            reply_refused(request, slice_from_text(setting->name), reason);
            return false;
        }
    }
    return true;
}

void command_config_set(struct request *request) {
    const struct command_context *context = request->context;
    if (request->arg_count % 2 != 0) {
        resp_error(&request->reply, ERR_SYNTAX);
        return;
    }
    if (!check_names(request)) {
        return;
    }
    struct settings before = *context->settings, after = before;
    if (!parse_values(request, &after)) {
        return;
    }
    *context->settings = after;
    if (apply_values(request)) {
        reply_ok(request);
        return;
    }
    *context->settings = before;
    config_apply_all(context, request->client->clients);
}

/* --- CONFIG REWRITE: every line stays, but that of a parameter that has another value now; what the file does
 * not say is appended, if it has been changed */

struct rewrite {
    const struct command_context *context;
    struct settings kept; /* what the lines that stay say, over the defaults */
    bool *written;        /* by settings_at: anew */
    struct buf *out;
};

/* Can a line of the file say it? A blank at an end is cut off there, a # begins a comment, and "" is nothing.
 */
static bool line_can_hold(struct slice value) {
    for (size_t i = 0; i < value.len; i++) {
        char byte = value.ptr[i];
        bool blank_before = i == 0 || value.ptr[i - 1] == ' ';
        if ((unsigned char)byte < ' ' || (byte == '#' && blank_before) ||
            (byte == ' ' && (i == 0 || i + 1 == value.len))) {
            return false;
        }
    }
    return !slice_equals(value, SLICE("\"\""));
}

/* False: the file can't say it. */
static bool write_line(const struct rewrite *rewrite, const struct setting *setting) {
    struct buf value, *out = rewrite->out;
    buf_init(&value, SIZE_MAX);
    setting_write(setting, rewrite->context->settings, &value);
    bool can = !buf_failed(&value) && line_can_hold(buf_slice(&value));
    buf_fail_if(out, buf_failed(&value)); /* empty for want of memory is not empty */
    if (can) {
        buf_printf(out, "%s ", setting_flag(setting));
        buf_append_slice(out, buf_used(&value) == 0 ? SLICE("\"\"") : buf_slice(&value));
        buf_append_byte(out, '\n');
    }
    buf_deinit(&value);
    return can;
}

/* Is it so what the line says, or none of CONFIG SET's business? */
static bool line_stays(struct rewrite *rewrite, const char *line, const struct setting **setting) {
    char copy[OPTIONS_LINE_BYTES], reason[REASON_BYTES];
    struct slice name;
    const char *value;
    memcpy(copy, line, strlen(line) + 1);
    *setting = options_split_line(copy, &name, &value) ? settings_find_flag(name) : NULL;
    if (*setting == NULL || (*setting)->effect == SETTING_AT_START ||
        (*setting)->kind == SETTING_KIND_CONSTANT) {
        return true;
    }
    const struct settings *now = rewrite->context->settings;
    struct settings said = *now;
    struct slice text = slice_from_text(value == NULL ? "" : value);
    return setting_parse(*setting, text, &said, reason, sizeof(reason)) &&
           setting_equal(*setting, &said, now) &&
           setting_parse(*setting, text, &rewrite->kept, reason, sizeof(reason));
}

static bool rewrite_line(struct rewrite *rewrite, const char *line) {
    const struct setting *setting;
    if (line_stays(rewrite, line, &setting)) {
        buf_append_text(rewrite->out, line);
        return true;
    }
    bool ok = true;
    for (size_t i = 0; i < settings_count(); i++) {
        if (settings_at(i) == setting && !rewrite->written[i]) {
            rewrite->written[i] = true;
            ok = write_line(rewrite, setting);
        }
    }
    return ok;
}

static bool is_to_be_added(const struct rewrite *rewrite, size_t i) {
    const struct setting *setting = settings_at(i);
    const struct settings *now = rewrite->context->settings;
    return !rewrite->written[i] && !setting_equal(setting, now, &rewrite->context->options->settings) &&
           !setting_equal(setting, now, &rewrite->kept);
}

/* The new text of the file; false: a value can't be said in it, or out has failed. */
static bool rewrite_text(const struct command_context *context, FILE *file, struct buf *out) {
    char line[OPTIONS_LINE_BYTES];
    struct rewrite rewrite = {
        .context = context, .written = calloc(settings_count(), sizeof(*rewrite.written)), .out = out};
    bool ok = rewrite.written != NULL;
    buf_fail_if(out, !ok);
    settings_init(&rewrite.kept);
    while (ok && fgets(line, sizeof(line), file) != NULL) {
        ok = rewrite_line(&rewrite, line);
    }
    if (buf_used(out) > 0 && out->data[out->end - 1] != '\n') {
        buf_append_byte(out, '\n');
    }
    for (size_t i = 0; ok && i < settings_count(); i++) {
        ok = !is_to_be_added(&rewrite, i) || write_line(&rewrite, settings_at(i));
    }
    free(rewrite.written);
    return ok && !buf_failed(out);
}

/* Whole or not at all: a file beside it takes its name, and who may read it stays: it may hold the password. */
static bool replace_file(const char *path, mode_t mode, struct slice text) {
    char beside[sizeof(((struct options *)0)->config_file) + 16];
    snprintf(beside, sizeof(beside), "%s.%ld.tmp", path, (long)getpid());
    FILE *file = fopen(beside, "we");
    if (file == NULL) {
        return false;
    }
    bool ok = fchmod(fileno(file), mode) == 0 && fwrite(text.ptr, 1, text.len, file) == text.len &&
              fflush(file) == 0 && fsync(fileno(file)) == 0;
    ok = fclose(file) == 0 && ok && rename(beside, path) == 0;
    int error = errno;
    if (!ok) {
        unlink(beside);
        errno = error;
    }
    return ok;
}

void command_config_rewrite(struct request *request) {
    const struct command_context *context = request->context;
    const char *path = context->options->config_file;
    if (path[0] == '\0') {
        resp_errorf(&request->reply, "ERR The server is running without a config file");
        return;
    }
    FILE *file = fopen(path, "re");
    struct stat status;
    if (file == NULL || fstat(fileno(file), &status) != 0) {
        resp_errorf(&request->reply, "ERR Rewriting config file: %s", strerror(errno));
        if (file != NULL) {
            fclose(file);
        }
        return;
    }
    struct buf text;
    buf_init(&text, SIZE_MAX);
    bool ok = rewrite_text(context, file, &text);
    fclose(file);
    if (buf_failed(&text)) {
        resp_error(&request->reply, ERR_NO_MEMORY);
    } else if (!ok) {
        resp_errorf(&request->reply,
                    "ERR Rewriting config file: a value can't be written on a line of its own");
    } else if (!replace_file(path, status.st_mode & 0777, buf_slice(&text))) {
        resp_errorf(&request->reply, "ERR Rewriting config file: %s", strerror(errno));
    } else {
        reply_ok(request);
    }
    buf_deinit(&text);
}

/* --- The small ones */

void command_config_resetstat(struct request *request) {
    const struct command_context *context = request->context;
    struct server_stats *stats = context->stats;
    telemetry_reset(context->telemetry);
    keyspace_stats_reset(context->keyspace);
    loop_stalls_reset(context->loop);
    stats->resp_connections = stats->http_connections = 0;
    stats->http_requests = 0;
    stats->protocol_errors = stats->redirects = stats->evicted_clients = 0;
    reply_ok(request);
}
