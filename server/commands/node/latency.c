/* latency.c: LATENCY: what has taken long, as numbers, as a picture, as advice. */
#include "server/dispatch/latency.h"
#include "server/settings.h"

#include "server/commands/rows.h"
#include "server/dispatch/telemetry.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const event_names[LATENCY_EVENTS] = {"command", "fast-command"};

static size_t count_samples(const struct latency_series *series) {
    size_t count = 0;
    while (latency_sample_at(series, count) != NULL) {
        count++;
    }
    return count;
}

/* What the samples come to. */
struct summary {
    size_t count;
    uint32_t low_ms, high_ms;
    uint64_t mean_ms, deviation_ms; /* the mean, and how far samples are from it on the average */
    double period_s;                /* between samples */
};

static struct summary summarize(const struct latency_series *series, int64_t now_s) {
    struct summary summary = {.count = count_samples(series), .low_ms = UINT32_MAX};
    uint64_t sum = 0, deviations = 0;
    for (size_t i = 0; i < summary.count; i++) {
        uint32_t ms = latency_sample_at(series, i)->ms;
        summary.low_ms = ms < summary.low_ms ? ms : summary.low_ms;
        summary.high_ms = ms > summary.high_ms ? ms : summary.high_ms;
        sum += ms;
    }
    if (summary.count == 0) {
        return (struct summary){0};
    }
    summary.mean_ms = sum / summary.count;
    for (size_t i = 0; i < summary.count; i++) {
        uint64_t ms = latency_sample_at(series, i)->ms;
        deviations += ms > summary.mean_ms ? ms - summary.mean_ms : summary.mean_ms - ms;
    }
    summary.deviation_ms = deviations / summary.count;
    summary.period_s = (double)(now_s - latency_sample_at(series, 0)->time_s) / (double)summary.count;
    return summary;
}

/* --- LATENCY LATEST, HISTORY, RESET */

static struct latency *latency_of(const struct request *request) {
    return &request->context->telemetry->latency;
}

static int64_t now_s_of(const struct request *request) { return loop_now_ms(request->context->loop) / 1000; }

/* NULL: there is no such event. Its name ends up in *name. */
static const struct latency_series *find_series(const struct request *request, size_t i, const char **name) {
    for (size_t event = 0; event < LATENCY_EVENTS; event++) {
        if (slice_equals(request->args[i], slice_from_text(event_names[event]))) {
            *name = event_names[event];
            return &latency_of(request)->series[event];
        }
    }
    return NULL;
}

void command_latency_latest(struct request *request) {
    struct resp_reply *reply = &request->reply;
    const struct latency *latency = latency_of(request);
    size_t count = 0;
    for (size_t i = 0; i < LATENCY_EVENTS; i++) {
        count += latency_newest(&latency->series[i]) != NULL;
    }
    resp_array(reply, count);
    for (size_t i = 0; i < LATENCY_EVENTS; i++) {
        const struct latency_sample *newest = latency_newest(&latency->series[i]);
        if (newest != NULL) {
            resp_array(reply, 4);
            resp_bulk_text(reply, event_names[i]);
            resp_integer(reply, newest->time_s);
            resp_integer(reply, newest->ms);
            resp_integer(reply, latency->series[i].max_ms);
        }
    }
}

void command_latency_history(struct request *request) {
    struct resp_reply *reply = &request->reply;
    const char *name;
    const struct latency_series *series = find_series(request, 2, &name);
    size_t count = series == NULL ? 0 : count_samples(series);
    resp_array(reply, count);
    for (size_t i = 0; i < count; i++) {
        resp_array(reply, 2);
        resp_integer(reply, latency_sample_at(series, i)->time_s);
        resp_integer(reply, latency_sample_at(series, i)->ms);
    }
}

void command_latency_reset(struct request *request) {
    struct latency *latency = latency_of(request);
    int64_t count = 0;
    for (size_t i = 0; i < LATENCY_EVENTS; i++) {
        bool asked = request->arg_count == 2;
        for (size_t k = 2; k < request->arg_count; k++) {
            asked = asked || request_word(request, k, slice_from_text(event_names[i])); /* in any case */
        }
        if (asked && latency_newest(&latency->series[i]) != NULL) {
            latency->series[i] = (struct latency_series){0};
            count++;
        }
    }
    resp_integer(&request->reply, count);
}

/* --- LATENCY GRAPH: a column a sample, four rows of three steps, and under it how long ago it was */

enum { GRAPH_ROWS = 4, LABEL_BYTES = 24 };

static const char graph_steps[] = "_o#";

static char graph_char(const struct summary *summary, uint32_t ms, int row) {
    const int height = (int)sizeof(graph_steps) - 1, steps = height * GRAPH_ROWS;
    double range = summary->high_ms > summary->low_ms ? summary->high_ms - summary->low_ms : 1;
    int step = (int)((ms - summary->low_ms) * (double)steps / range);
    int in_row = (step < steps ? step : steps - 1) - (GRAPH_ROWS - row - 1) * height;
    return in_row < 0 ? ' ' : in_row < height ? graph_steps[in_row] : '|';
}

static void ago_label(char *to, int64_t seconds) {
    static const struct {
        int64_t seconds;
        char unit;
    } units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
    size_t i = 0;
    while (i < 3 && seconds < units[i].seconds) {
        i++;
    }
    snprintf(to, LABEL_BYTES, "%lld%c", (long long)(seconds / units[i].seconds), units[i].unit);
}

static void write_graph(const struct latency_series *series, const struct summary *summary, int64_t now_s,
                        struct buf *out) {
    for (int row = 0; row < GRAPH_ROWS; row++) {
        for (size_t i = 0; i < summary->count; i++) {
            buf_append_byte(out, graph_char(summary, latency_sample_at(series, i)->ms, row));
        }
        buf_append_byte(out, '\n');
    }
    buf_printf(out, "%*s\n", (int)summary->count, "");
    bool more = true;
    for (size_t place = 0; more; place++) {
        char line[LATENCY_SAMPLES + 1] = "";
        more = false;
        for (size_t i = 0; i < summary->count; i++) {
            char label[LABEL_BYTES];
            ago_label(label, now_s - latency_sample_at(series, i)->time_s);
            line[i] = strlen(label) > place ? label[place] : ' ';
            more = more || line[i] != ' ';
        }
        if (more) {
            buf_printf(out, "%s\n", line);
        }
    }
}

void command_latency_graph(struct request *request) {
    const char *name = "";
    const struct latency_series *series = find_series(request, 2, &name);
    if (series == NULL || latency_newest(series) == NULL) {
        struct slice event = slice_first(request->args[2], 512);
        resp_errorf(&request->reply, "ERR No samples available for event '%.*s'", (int)event.len, event.ptr);
        return;
    }
    int64_t now_s = now_s_of(request);
    struct summary summary = summarize(series, now_s);
    struct buf text;
    buf_init(&text, SIZE_MAX);
    buf_printf(&text, "%s - high %u ms, low %u ms (all time high %u ms)\n", name, summary.high_ms,
               summary.low_ms, series->max_ms);
    for (int i = 0; i < 80; i++) {
        buf_append_byte(&text, '-');
    }
    buf_append_byte(&text, '\n');
    write_graph(series, &summary, now_s, &text);
    reply_gathered(request, &text);
}

/* --- LATENCY DOCTOR */

static void write_diagnosis(const struct request *request, struct buf *out) {
    const struct settings *settings = request->context->settings;
    int64_t threshold_ms = settings->latency_monitor_threshold_ms;
    unsigned number = 0;
    buf_append_text(out,
                    "Dave, I have observed latency spikes in this Redis instance. You don't mind talking about "
                    "it, do you Dave?\n\n");
    for (size_t i = 0; i < LATENCY_EVENTS; i++) {
        const struct latency_series *series = &latency_of(request)->series[i];
        struct summary summary = summarize(series, now_s_of(request));
        if (summary.count > 0) {
            buf_printf(
                out,
                "%u. %s: %zu latency spikes (average %llums, mean deviation %llums, period %.2f sec). Worst "
                "all time event %ums.\n",
                ++number, event_names[i], summary.count, (unsigned long long)summary.mean_ms,
                (unsigned long long)summary.deviation_ms, summary.period_s, series->max_ms);
        }
    }
    buf_append_text(out, "\nI have a few advices for you:\n\n");
    if (settings->slowlog_slower_than_us < 0 || settings->slowlog_slower_than_us / 1000 > threshold_ms) {
        buf_printf(
            out,
            "- Your current Slow Log configuration only logs events that are slower than your configured "
            "latency monitor threshold. Please use 'CONFIG SET slowlog-log-slower-than %llu'.\n",
            (unsigned long long)threshold_ms * 1000);
    }
    buf_append_text(
        out, "- Check your Slow Log to understand what are the commands you are running which are too slow "
             "to execute. Please check https://redis.io/commands/slowlog for more information.\n");
}

void command_latency_doctor(struct request *request) {
    const struct latency *latency = latency_of(request);
    bool any = false;
    for (size_t i = 0; i < LATENCY_EVENTS; i++) {
        any = any || latency_newest(&latency->series[i]) != NULL;
    }
    struct buf text;
    buf_init(&text, SIZE_MAX);
    if (any) {
        write_diagnosis(request, &text);
    } else if (request->context->settings->latency_monitor_threshold_ms == 0) {
        buf_append_text(
            &text,
            "I'm sorry, Dave, I can't do that. Latency monitoring is disabled in this Redis instance. "
            "You may use \"CONFIG SET latency-monitor-threshold <milliseconds>.\" in order to enable it. "
            "If we weren't in a deep space mission I'd suggest to take a look at "
            "https://redis.io/topics/latency-monitor.\n");
    } else {
        buf_append_text(
            &text, "Dave, no latency spike was observed during the lifetime of this Redis instance, not in "
                   "the slightest bit. I honestly think you ought to sit down calmly, take a stress pill, "
                   "and think things over.\n");
    }
    reply_gathered(request, &text);
}

/* --- LATENCY HISTOGRAM: how many calls took at most so many us, for bounds that double, as Redis has them. The
 * histogram is of the runs that were timed: it stands for all of them. */

enum { FIRST_BOUND_BITS = 10, LAST_BOUND_BITS = 40 };

/* The end of an HDR histogram's bucket at 2^bits ns, in us. */
static uint64_t bound_us(unsigned bits) {
    return ((UINT64_C(1) << bits) + (UINT64_C(1) << (bits - 7)) - 1) / 1000;
}

static uint64_t count_up_to(const struct histogram *histogram, uint64_t us) {
    uint64_t count = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS && i <= histogram_bucket(us); i++) {
        count += histogram->counts[i];
    }
    return count;
}

/* So many timed runs stand for so many calls. */
static int64_t scaled(const struct command_stat *stat, uint64_t count) {
    return llround((double)count * (double)stat->calls / (double)stat->timed_calls);
}

static void reply_histogram(struct resp_reply *reply, const struct command *command,
                            const struct command_stat *stat) {
    struct buf pairs;
    struct resp_reply inner = {.out = &pairs, .version = reply->version};
    size_t count = 0;
    uint64_t before = 0;
    buf_init(&pairs, SIZE_MAX);
    for (unsigned bits = FIRST_BOUND_BITS; bits <= LAST_BOUND_BITS && before < stat->histogram->total; bits++) {
        uint64_t now = count_up_to(stat->histogram, bound_us(bits));
        if (now > before) {
            resp_integer(&inner, (int64_t)bound_us(bits));
            resp_integer(&inner, scaled(stat, now));
            before = now;
            count++;
        }
    }
    resp_bulk_text(reply, command->name);
    resp_map(reply, 2);
    resp_bulk_text(reply, "calls");
    resp_integer(reply, scaled(stat, stat->histogram->total));
    resp_bulk_text(reply, "histogram_usec");
    resp_map(reply, count);
    buf_append_slice(reply->out, buf_slice(&pairs));
    buf_fail_if(reply->out, buf_failed(&pairs));
    buf_deinit(&pairs);
}

/* Is the row asked for, by its own name or its container's? */
static bool histogram_is_asked(const struct request *request, const struct command *command) {
    for (size_t i = 2; i < request->arg_count; i++) {
        const struct command *named = command_table_find(request->table, request->args[i]);
        if (named != NULL && (named == command || command_is_subcommand_of(command, named))) {
            return true;
        }
    }
    return request->arg_count == 2;
}

void command_latency_histogram(struct request *request) {
    const struct telemetry *telemetry = request->context->telemetry;
    const struct command_rows *rows = telemetry->rows;
    bool write = false;
    size_t count = 0;
    do { /* once to count, once to write */
        if (write) {
            resp_map(&request->reply, count);
        }
        for (size_t i = 0; i < rows->count; i++) {
            const struct command_stat *stat = &telemetry->commands[i];
            if (stat->histogram == NULL || !histogram_is_asked(request, &rows->items[i])) {
                continue;
            }
            if (write) {
                reply_histogram(&request->reply, &rows->items[i], stat);
            } else {
                count++;
            }
        }
        write = !write;
    } while (write);
}
