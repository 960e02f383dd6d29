/* slowlog.c: SLOWLOG. */
#include "server/dispatch/slowlog.h"

#include "protocol/num.h"
#include "server/commands/rows.h"
#include "server/dispatch/telemetry.h"

enum { DEFAULT_ENTRIES = 10 };

static struct slowlog *slowlog_of(const struct request *request) {
    return &request->context->telemetry->slowlog;
}

void command_slowlog_get(struct request *request) {
    const struct slowlog *slowlog = slowlog_of(request);
    struct resp_reply *reply = &request->reply;
    int64_t count = DEFAULT_ENTRIES;
    if (request->arg_count > 3) {
        resp_errorf(reply, "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try SLOWLOG HELP.",
                    (int)request->args[1].len, request->args[1].ptr);
        return;
    }
    if (request->arg_count == 3 && (!num_parse_i64(request->args[2], &count) || count < -1)) {
        resp_errorf(reply, "ERR count should be greater than or equal to -1");
        return;
    }
    size_t shown = count < 0 || (uint64_t)count > slowlog->count ? slowlog->count : (size_t)count;
    resp_array(reply, shown);
    const struct slowlog_entry *entry = slowlog->newest;
    for (size_t i = 0; i < shown; i++, entry = entry->older) {
        resp_array(reply, 6);
        resp_integer(reply, (int64_t)entry->id);
        resp_integer(reply, entry->time_s);
        resp_integer(reply, (int64_t)entry->us);
        resp_array(reply, entry->argument_count);
        buf_append_slice(reply->out, buf_slice(&entry->arguments));
        resp_bulk(reply, buf_slice(&entry->peer));
        resp_bulk(reply, buf_slice(&entry->name));
    }
}

void command_slowlog_len(struct request *request) {
    resp_integer(&request->reply, (int64_t)slowlog_of(request)->count);
}

void command_slowlog_reset(struct request *request) {
    slowlog_deinit(slowlog_of(request));
    reply_ok(request);
}
