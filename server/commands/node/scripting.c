/* scripting.c: what clients ask about scripts, functions and modules: there are none here, as on an empty
 * server. */
#include "server/commands/rows.h"

/* EVAL, EVALSHA, FCALL, SCRIPT LOAD, FUNCTION LOAD, ... */
void command_no_scripts(struct request *request) {
    resp_errorf(&request->reply, "ERR kvnode runs no scripts and no functions: '%s' does nothing here",
                request->command->name);
}

void command_not_busy(struct request *request) {
    resp_errorf(&request->reply, "NOTBUSY No scripts in execution right now.");
}

/* [ASYNC|SYNC] */
static bool parse_flush(struct request *request, const char *refusal) {
    if (request->arg_count == 2 || (request->arg_count == 3 && (request_word(request, 2, SLICE("async")) ||
                                                                request_word(request, 2, SLICE("sync"))))) {
        return true;
    }
    resp_errorf(&request->reply, "ERR %s SYNC|ASYNC option", refusal);
    return false;
}

void command_script_flush(struct request *request) {
    if (parse_flush(request, "SCRIPT FLUSH only support")) {
        reply_ok(request);
    }
}

void command_script_exists(struct request *request) {
    resp_array(&request->reply, request->arg_count - 2);
    for (size_t i = 2; i < request->arg_count; i++) {
        resp_integer(&request->reply, 0);
    }
}

void command_function_flush(struct request *request) {
    if (parse_flush(request, "FUNCTION FLUSH only supports")) {
        reply_ok(request);
    }
}

void command_function_list(struct request *request) {
    for (size_t i = 2; i < request->arg_count; i++) {
        bool named = request_word(request, i, SLICE("libraryname"));
        if (named && i + 1 == request->arg_count) {
            resp_errorf(&request->reply, "ERR library name argument was not given");
            return;
        }
        if (!named && !request_word(request, i, SLICE("withcode"))) {
            struct slice option = slice_first(request->args[i], 128);
            resp_errorf(&request->reply, "ERR Unknown argument %.*s", (int)option.len, option.ptr);
            return;
        }
        i += named;
    }
    resp_array(&request->reply, 0);
}

void command_function_stats(struct request *request) {
    struct resp_reply *reply = &request->reply;
    resp_map(reply, 2);
    resp_bulk_text(reply, "running_script");
    resp_null(reply);
    resp_bulk_text(reply, "engines");
    resp_map(reply, 1);
    resp_bulk_text(reply, "LUA");
    resp_map(reply, 2);
    resp_bulk_text(reply, "libraries_count");
    resp_integer(reply, 0);
    resp_bulk_text(reply, "functions_count");
    resp_integer(reply, 0);
}

void command_function_delete(struct request *request) { resp_errorf(&request->reply, "ERR Library not found"); }

void command_module_list(struct request *request) { resp_array(&request->reply, 0); }
