/* tracking_command.c: CLIENT TRACKING, CACHING, GETREDIR, TRACKINGINFO. */
#include "server/commands/client/tracking.h"

#include "server/commands/rows.h"

#include <stdlib.h>

static const struct {
    struct slice word;
    uint32_t option;
} option_words[] = {
    {{"bcast", 5}, TRACKING_BCAST},
    {{"optin", 5}, TRACKING_OPTIN},
    {{"optout", 6}, TRACKING_OPTOUT},
    {{"noloop", 6}, TRACKING_NOLOOP},
};

static uint32_t find_option(const struct request *request, size_t i) {
    for (size_t n = 0; n < sizeof(option_words) / sizeof(option_words[0]); n++) {
        if (request_word(request, i, option_words[n].word)) {
            return option_words[n].option;
        }
    }
    return 0;
}

static bool parse_redirect(struct request *request, size_t i, int64_t *redirect) {
    if (*redirect != 0) {
        resp_errorf(&request->reply, "ERR A client can only redirect to a single other client");
        return false;
    }
    if (!request_integer(request, i, redirect)) {
        return false;
    }
    if (clients_find(request->client->clients, (uint64_t)*redirect) == NULL) {
        resp_errorf(&request->reply, "ERR The client ID you want redirect to does not exist");
        return false;
    }
    return true;
}

/* Prefixes are gathered in an array of the caller's, as long as the arguments. */
static bool parse_options(struct request *request, struct tracking_wish *wish, struct slice *prefixes) {
    for (size_t i = 3; i < request->arg_count; i++) {
        bool more = i + 1 < request->arg_count;
        uint32_t option = find_option(request, i);
        if (option != 0) {
            wish->options |= option;
        } else if (more && request_word(request, i, SLICE("redirect"))) {
            if (!parse_redirect(request, ++i, &wish->redirect)) {
                return false;
            }
        } else if (more && request_word(request, i, SLICE("prefix"))) {
            prefixes[wish->prefix_count++] = request->args[++i];
        } else {
            resp_error(&request->reply, ERR_SYNTAX);
            return false;
        }
    }
    return true;
}

static bool overlap(struct slice a, struct slice b) {
    size_t n = a.len < b.len ? a.len : b.len;
    return n == 0 || memcmp(a.ptr, b.ptr, n) == 0;
}

static bool prefixes_are_apart(struct request *request, const struct slice *prefixes, size_t count) {
    const struct tracker *tracker = request->client->tracker;
    for (size_t i = 0; i < count; i++) {
        const struct interest_link *link = tracker == NULL ? NULL : tracker->prefixes.first;
        for (; link != NULL; link = link->next_name) {
            struct slice old = interest_bytes(link->name);
            if (overlap(prefixes[i], old)) {
                resp_errorf(&request->reply,
                            "ERR Prefix '%.*s' overlaps with an existing prefix '%.*s'. Prefixes for a single "
                            "client must not overlap.",
                            (int)prefixes[i].len, prefixes[i].ptr, (int)old.len, old.ptr);
                return false;
            }
        }
        for (size_t j = i + 1; j < count; j++) {
            if (overlap(prefixes[i], prefixes[j])) {
                resp_errorf(
                    &request->reply,
                    "ERR Prefix '%.*s' overlaps with another provided prefix '%.*s'. Prefixes for a single "
                    "client must not overlap.",
                    (int)prefixes[i].len, prefixes[i].ptr, (int)prefixes[j].len, prefixes[j].ptr);
                return false;
            }
        }
    }
    return true;
}

/* NULL: they go together, with each other and with what the client has already. */
static const char *conflict(const struct tracker *old, uint32_t options, size_t prefix_count) {
    bool bcast = (options & TRACKING_BCAST) != 0;
    if (!bcast && prefix_count > 0) {
        return "PREFIX option requires BCAST mode to be enabled";
    }
    if (old != NULL && ((old->options ^ options) & TRACKING_BCAST) != 0) {
        return "You can't switch BCAST mode on/off before disabling tracking for this client, and then "
               "re-enabling it with a different mode.";
    }
    if (bcast && (options & (TRACKING_OPTIN | TRACKING_OPTOUT)) != 0) {
        return "OPTIN and OPTOUT are not compatible with BCAST";
    }
    if ((options & TRACKING_OPTIN) != 0 && (options & TRACKING_OPTOUT) != 0) {
        return "You can't specify both OPTIN mode and OPTOUT mode";
    }
    if (old != NULL && (((options & TRACKING_OPTIN) != 0 && (old->options & TRACKING_OPTOUT) != 0) ||
                        ((options & TRACKING_OPTOUT) != 0 && (old->options & TRACKING_OPTIN) != 0))) {
        return "You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then "
               "re-enabling "
               "it with a different mode.";
    }
    return NULL;
}

static void track(struct request *request, const struct tracking_wish *wish, const struct slice *prefixes) {
    struct client *client = request->client;
    bool on = request_word(request, 2, SLICE("on"));
    if (!on && !request_word(request, 2, SLICE("off"))) {
        resp_error(&request->reply, ERR_SYNTAX);
        return;
    }
    const char *reason = on ? conflict(client->tracker, wish->options, wish->prefix_count) : NULL;
    if (reason != NULL) {
        resp_errorf(&request->reply, "ERR %s", reason);
        return;
    }
    if (!on) {
        tracking_turn_off(client);
        reply_ok(request);
    } else if (prefixes_are_apart(request, prefixes, wish->prefix_count)) {
        if (tracking_turn_on(client, wish, prefixes)) {
            reply_ok(request);
        } else {
            resp_error(&request->reply, ERR_NO_MEMORY);
        }
    }
}

void command_client_tracking(struct request *request) {
    struct tracking_wish wish = {0};
    struct slice *prefixes = malloc(request->arg_count * sizeof(*prefixes));
    if (prefixes == NULL) {
        resp_error(&request->reply, ERR_NO_MEMORY);
        return;
    }
    if (parse_options(request, &wish, prefixes)) {
        track(request, &wish, prefixes);
    }
    free(prefixes);
}

void command_client_caching(struct request *request) {
    struct tracker *tracker = request->client->tracker;
    bool yes = request_word(request, 2, SLICE("yes"));
    if (tracker == NULL) {
        resp_errorf(&request->reply,
                    "ERR CLIENT CACHING can be called only when the client is in tracking mode "
                    "with OPTIN or OPTOUT mode enabled");
    } else if (!yes && !request_word(request, 2, SLICE("no"))) {
        resp_error(&request->reply, ERR_SYNTAX);
    } else if ((tracker->options & (yes ? TRACKING_OPTIN : TRACKING_OPTOUT)) == 0) {
        resp_errorf(&request->reply, "ERR CLIENT CACHING %s is only valid when tracking is enabled in %s mode.",
                    yes ? "YES" : "NO", yes ? "OPTIN" : "OPTOUT");
    } else {
        tracker->caching = true;
        reply_ok(request);
    }
}

void command_client_getredir(struct request *request) {
    resp_integer(&request->reply, tracking_redirection(request->client));
}

static size_t tracking_flags(const struct tracker *tracker, const char *flags[8]) {
    size_t n = 0;
    flags[n++] = tracker == NULL ? "off" : "on";
    if (tracker == NULL) {
        return n;
    }
    for (size_t i = 0; i < sizeof(option_words) / sizeof(option_words[0]); i++) {
        uint32_t option = option_words[i].option;
        if ((tracker->options & option) != 0) {
            flags[n++] = option_words[i].word.ptr;
        }
        if ((tracker->options & option & (TRACKING_OPTIN | TRACKING_OPTOUT)) != 0 && tracker->caching) {
            flags[n++] = option == TRACKING_OPTIN ? "caching-yes" : "caching-no";
        }
    }
    if (tracker->redirect_broken) {
        flags[n++] = "broken_redirect";
    }
    return n;
}

void command_client_trackinginfo(struct request *request) {
    const struct tracker *tracker = request->client->tracker;
    struct resp_reply *reply = &request->reply;
    const char *flags[8];
    size_t count = tracking_flags(tracker, flags);
    resp_map(reply, 3);
    resp_bulk_text(reply, "flags");
    resp_set(reply, count);
    for (size_t i = 0; i < count; i++) {
        resp_bulk_text(reply, flags[i]);
    }
    resp_bulk_text(reply, "redirect");
    resp_integer(reply, tracking_redirection(request->client));
    resp_bulk_text(reply, "prefixes");
    resp_array(reply, tracker == NULL ? 0 : tracker->prefixes.count);
    for (const struct interest_link *link = tracker == NULL ? NULL : tracker->prefixes.first; link != NULL;
         link = link->next_name) {
        resp_bulk(reply, interest_bytes(link->name));
    }
}
