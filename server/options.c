#include "server/options.h"

#include "protocol/datagram.h"
#include "server/net/socket.h"
#include "server/version.h"

#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
    SPECIFIED_PORT = 8000, /* the first node of the specification; its RESP port is Redis's own */
    SPECIFIED_REDIS_PORT = 6379,
    GENERATED_ID_DIGITS = 8,
    HELP_COLUMN = 30,
};

/* What one run of the parser carries along. */
struct parse {
    struct options *out;
    char *message;
    size_t message_bytes;
    const char *file; /* whose line is read; NULL: the command line */
    unsigned line;
};

static enum options_result wrong(const struct parse *parse, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* One line, whatever the text that the user gave contains. */
static enum options_result wrong(const struct parse *parse, const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (parse->file != NULL) {
        snprintf(parse->message, parse->message_bytes, "kvnode: %s:%u: %s", parse->file, parse->line, text);
    } else {
        snprintf(parse->message, parse->message_bytes, "kvnode: %s", text);
    }
    for (char *at = parse->message; *at != '\0'; at++) {
        if (iscntrl((unsigned char)*at)) {
            *at = '?';
        }
    }
    return OPTIONS_WRONG;
}

/* --- What only a command line can ask for */

static enum options_result set_config_file(const struct parse *parse, const char *path) {
    size_t length = strlen(path);
    if (length >= sizeof(parse->out->config_file)) {
        return wrong(parse, "-config: the path is too long");
    }
    memcpy(parse->out->config_file, path, length + 1);
    return OPTIONS_RUN;
}

static enum options_result set_tool(const struct parse *parse, enum tool tool, const char *from) {
    struct tool_request *request = &parse->out->tool;
    if (request->tool != TOOL_NONE) {
        return wrong(parse,
                     "-check, -export, -force-voters, -forget-form, -import and -repair are one at a time");
    }
    request->tool = tool;
    request->from = from;
    return OPTIONS_RUN;
}

static enum options_result set_check(const struct parse *parse, const char *directory) {
    return set_tool(parse, TOOL_CHECK, directory);
}

static enum options_result set_export(const struct parse *parse, const char *from) {
    return set_tool(parse, TOOL_EXPORT, from);
}

static enum options_result set_force_voters(const struct parse *parse, const char *ids) {
    return set_tool(parse, TOOL_FORCE_VOTERS, ids);
}

static enum options_result set_forget_form(const struct parse *parse, const char *directory) {
    return set_tool(parse, TOOL_FORGET_FORM, directory);
}

static enum options_result set_import(const struct parse *parse, const char *from) {
    return set_tool(parse, TOOL_IMPORT, from);
}

static enum options_result set_repair(const struct parse *parse, const char *from) {
    return set_tool(parse, TOOL_REPAIR, from);
}

static enum options_result set_to(const struct parse *parse, const char *url) {
    parse->out->tool.to = url;
    return OPTIONS_RUN;
}

static enum options_result set_skip_other_types(const struct parse *parse, const char *unused) {
    (void)unused;
    parse->out->tool.skip_other_types = true;
    return OPTIONS_RUN;
}

static enum options_result answer_version(const struct parse *parse, const char *unused) {
    (void)unused;
    snprintf(parse->message, parse->message_bytes, "kvnode %s\n", KVNODE_VERSION);
    return OPTIONS_EXIT;
}

static enum options_result answer_help(const struct parse *parse, const char *unused);

static const struct action {
    const char *name;
    enum options_result (*function)(const struct parse *parse, const char *value);
    const char *unit; /* of its value; "": takes none */
    const char *help;
} actions[] = {
    {"config", set_config_file, "FILE", "a file with a `name value` a line"},
    {"check", set_check, "DIR", "verify all that -data DIR has kept, and end"},
    {"export", set_export, "DIR|URL",
     "write all keys of -data DIR, or of the node at http://HOST:PORT, to stdout, and end"},
    {"force-voters", set_force_voters, "ID,ID.. DIR",
     "a majority of voters is gone for good: go on with what DIR has, and with these, and end"},
    {"forget-form", set_forget_form, "DIR",
     "a set of voters that will never come about: the node of -data DIR has not agreed to it, and end"},
    {"import", set_import, "FILE",
     "read what -export wrote, a Redis RDB file (-: stdin), or redis://HOST:PORT, into -to or -data DIR, and "
     "end"},
    {"repair", set_repair, "DIR NEWDIR",
     "copy what is valid of a damaged DIR to NEWDIR, say what is lost, and end"},
    {"to", set_to, "URL", "the node that -import writes to: http://[:PASSWORD@]HOST:PORT"},
    {"skip-other-types", set_skip_other_types, "", "-import leaves out what is no string of database 0"},
    {"version", answer_version, "", "print the version"},
    {"help", answer_help, "", "print this"},
};

enum { ACTION_COUNT = sizeof(actions) / sizeof(actions[0]) };

static const struct action *find_action(struct slice name) {
    for (size_t i = 0; i < ACTION_COUNT; i++) {
        if (slice_equals(name, slice_from_text(actions[i].name))) {
            return &actions[i];
        }
    }
    return NULL;
}

static void help_line(struct buf *out, const char *name, const char *unit, const char *help,
                      const char *initial) {
    char flag[64];
    snprintf(flag, sizeof(flag), "-%s %s", name, unit);
    buf_printf(out, "  %-*s", HELP_COLUMN, flag);
    if (strlen(flag) >= HELP_COLUMN) {
        buf_printf(out, "\n  %*s", HELP_COLUMN, "");
    }
    buf_append_text(out, help);
    if (initial[0] != '\0') {
        buf_printf(out, " (%s)", initial);
    }
    buf_append_byte(out, '\n');
}

static void help_settings(struct buf *out, bool at_start) {
    for (size_t i = 0; i < settings_count(); i++) {
        const struct setting *setting = settings_at(i);
        if ((setting->effect == SETTING_AT_START) == at_start && setting->kind != SETTING_KIND_CONSTANT) {
            bool says_more = setting->kind != SETTING_KIND_FLAG;
            help_line(out, setting_flag(setting), setting->unit, setting->help,
                      says_more ? setting->initial : "");
        }
    }
}

static enum options_result answer_help(const struct parse *parse, const char *unused) {
    (void)unused;
    struct buf text;
    buf_init(&text, SIZE_MAX);
    buf_append_text(&text, "usage: kvnode [-flag [value]] ...\n");
    help_settings(&text, true);
    for (size_t i = 0; i < ACTION_COUNT; i++) {
        help_line(&text, actions[i].name, actions[i].unit, actions[i].help, "");
    }
    buf_append_text(&text, "and what CONFIG SET may change later:\n");
    help_settings(&text, false);
    struct slice whole = buf_slice(&text);
    snprintf(parse->message, parse->message_bytes, "%.*s", (int)whole.len, whole.ptr);
    buf_deinit(&text);
    return OPTIONS_EXIT;
}

/* --- A value for a name */

/* name and value as the user wrote them. */
static enum options_result set(const struct parse *parse, struct slice name, const char *value) {
    const struct action *action = find_action(name);
    const struct setting *setting = action == NULL ? settings_find_flag(name) : NULL;
    assert(action != NULL || setting != NULL); /* the callers have looked */
    bool is_constant = setting != NULL && setting->kind == SETTING_KIND_CONSTANT;
    char reason[256];
    bool says_empty =
        is_constant || parse->file != NULL; /* on the command line it is a variable that is not set */
    if (value == NULL || (value[0] == '\0' && !says_empty)) {
        return wrong(parse, "-%.*s wants a value: %s", (int)name.len, name.ptr,
                     action != NULL ? action->unit : setting->unit);
    }
    if (action != NULL) {
        return action->function(parse, value);
    }
    if (!setting_parse(setting, slice_from_text(value), &parse->out->settings, reason, sizeof(reason))) {
        return wrong(parse, "-%.*s %.100s: %s", (int)name.len, name.ptr, value, reason);
    }
    return OPTIONS_RUN;
}

/* Does the name stand alone? Then this is what it means. NULL: a value has to follow. */
static const char *value_alone(struct slice name) {
    const struct action *action = find_action(name);
    const struct setting *setting = action == NULL ? settings_find_flag(name) : NULL;
    bool alone = action != NULL ? action->unit[0] == '\0' : setting->kind == SETTING_KIND_FLAG;
    return alone ? "true" : NULL;
}

/* --- Where they come from */

static enum options_result read_arguments(const struct parse *parse, int argc, char **argv) {
    enum options_result result = OPTIONS_RUN;
    for (int i = 1; i < argc && result == OPTIONS_RUN; i++) {
        const char *argument = argv[i];
        struct tool_request *tool = &parse->out->tool;
        bool wants_two = tool->tool == TOOL_REPAIR || tool->tool == TOOL_FORCE_VOTERS;
        if (argument[0] != '-' && wants_two && tool->to == NULL) {
            tool->to = argument; /* NEWDIR, DIR */
            continue;
        }
        if (argument[0] != '-' || argument[1 + (argument[1] == '-')] == '\0') {
            return wrong(parse, "unexpected argument %s (see kvnode -help)", argument);
        }
        argument += argument[1] == '-' ? 2 : 1;
        struct slice name = slice_of(argument, strcspn(argument, "="));
        if (find_action(name) == NULL && settings_find_flag(name) == NULL) {
            return wrong(parse, "unknown flag -%.*s (see kvnode -help)", (int)name.len, name.ptr);
        }
        const char *value = argument[name.len] == '=' ? argument + name.len + 1 : value_alone(name);
        if (value == NULL && i + 1 < argc) {
            value = argv[++i];
        }
        result = set(parse, name, value);
    }
    return result;
}

/* Cuts the comment and the blanks at both ends off. */
static char *trim(char *line) {
    for (char *at = line; *at != '\0'; at++) {
        if (*at == '#' && (at == line || isspace((unsigned char)at[-1]))) {
            *at = '\0';
            break;
        }
    }
    line += strspn(line, " \t\r\n");
    size_t length = strlen(line);
    while (length > 0 && isspace((unsigned char)line[length - 1])) {
        line[--length] = '\0';
    }
    return line;
}

bool options_split_line(char *line, struct slice *name, const char **value) {
    char *text = trim(line);
    *name = slice_of(text, strcspn(text, " \t"));
    const char *rest = text + name->len + strspn(text + name->len, " \t");
    *value = *rest == '\0' ? NULL : strcmp(rest, "\"\"") == 0 ? "" : rest;
    return name->len > 0;
}

/* One line: empty, or `name`, or `name value`. */
static enum options_result read_line(const struct parse *parse, char *line) {
    struct slice name;
    const char *value;
    if (!options_split_line(line, &name, &value)) {
        return OPTIONS_RUN;
    }
    if (find_action(name) != NULL || settings_find_flag(name) == NULL) {
        return wrong(parse, "unknown option %.*s (see kvnode -help)", (int)name.len, name.ptr);
    }
    return set(parse, name, value != NULL ? value : value_alone(name));
}

/* Takes a line with its LF, or the beginning of a longer one. Returns its length, 0 at the end; fgets would not
 * tell it of one with a NUL. */
static size_t take_line(FILE *file, char line[OPTIONS_LINE_BYTES]) {
    size_t n = 0;
    for (int byte = 0; n < OPTIONS_LINE_BYTES - 1 && byte != '\n' && (byte = getc(file)) != EOF;) {
        line[n++] = (char)byte;
    }
    line[n] = '\0';
    return n;
}

static enum options_result read_file(struct parse *parse, const char *path) {
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return wrong(parse, "-config: cannot read %s: %s", path, strerror(errno));
    }
    enum options_result result = OPTIONS_RUN;
    char line[OPTIONS_LINE_BYTES];
    size_t n;
    parse->file = path;
    for (parse->line = 1; result == OPTIONS_RUN && (n = take_line(file, line)) > 0; parse->line++) {
        if (n == sizeof(line) - 1) {
            result = wrong(parse, "the line is too long");
        } else if (memchr(line, '\0', n) != NULL) {
            result = wrong(parse, "there is a NUL byte in the line");
        } else {
            result = read_line(parse, line);
        }
    }
    parse->file = NULL;
    if (result == OPTIONS_RUN && ferror(file)) {
        result = wrong(parse, "-config: cannot read %s: %s", path, strerror(errno));
    }
    fclose(file);
    return result;
}

/* --- What was not given, and what must fit together */

struct named_port {
    const char *name;
    uint16_t port;
};

static enum options_result check_distinct(const struct parse *parse, const struct named_port ports[3]) {
    for (size_t i = 0; i < 3; i++) {
        for (size_t k = i + 1; k < 3; k++) {
            if (ports[i].port == ports[k].port) {
                return wrong(parse, "-%s and -%s are the same port, %u", ports[i].name, ports[k].name,
                             ports[i].port);
            }
        }
    }
    return OPTIONS_RUN;
}

static struct named_port announced(uint16_t *port, uint16_t bound, const char *name, const char *bound_name) {
    struct named_port chosen = {*port != 0 ? name : bound_name, *port != 0 ? *port : bound};
    *port = chosen.port;
    return chosen;
}

static enum options_result complete_ports(const struct parse *parse) {
    struct settings *out = &parse->out->settings;
    if (out->redis_port == 0) {
        int port = out->port - SPECIFIED_PORT + SPECIFIED_REDIS_PORT;
        if (port < 1 || port > 65535) {
            return wrong(parse, "-redis must be given: its default, -port - %d + %d, would be %d",
                         SPECIFIED_PORT, SPECIFIED_REDIS_PORT, port);
        }
        out->redis_port = (uint16_t)port;
    }
    /* Discovery is UDP: it has its ports to itself. */
    const struct named_port bound[] = {{"port", out->port}, {"api", out->api_port}, {"redis", out->redis_port}};
    const struct named_port said[] = {
        announced(&out->announce_port, out->port, "announce-port", "port"),
        announced(&out->announce_api_port, out->api_port, "announce-api", "api"),
        announced(&out->announce_redis_port, out->redis_port, "announce-redis", "redis"),
    };
    enum options_result result = check_distinct(parse, bound);
    return result == OPTIONS_RUN ? check_distinct(parse, said) : result;
}

/* --- Addresses: where the node is bound, and which of them it tells others */

static bool is_any(const char *host) { return strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0; }

/* -bind in numbers: an item with a '-' before it keeps that. */
static enum options_result complete_bind(const struct parse *parse, struct slice given, struct buf *hosts) {
    for (struct slice item = slice_next_item(&given); item.len > 0; item = slice_next_item(&given)) {
        bool may_be_absent = item.ptr[0] == '-';
        struct slice text = slice_skip(item, may_be_absent);
        char name[LIMIT_HOST_BYTES + 1] = "", host[LIMIT_HOST_BYTES + 1];
        if (text.len < sizeof(name)) {
            memcpy(name, text.ptr, text.len);
        }
        if (!socket_resolve_host(name, host)) {
            return wrong(parse, "-bind: %.*s is no address, host name or interface of an address",
                         (int)item.len, item.ptr);
        }
        buf_printf(hosts, "%s%s%s", buf_used(hosts) > 0 ? "," : "", may_be_absent ? "-" : "", host);
    }
    return OPTIONS_RUN;
}

/* The first address of -bind that a peer can dial. */
static bool find_announceable(struct slice hosts, char host[LIMIT_HOST_BYTES + 1]) {
    for (struct slice item = slice_next_item(&hosts); item.len > 0; item = slice_next_item(&hosts)) {
        memcpy(host, item.ptr, item.len);
        host[item.len] = '\0';
        struct in_addr v4;
        if (!is_any(host) && inet_pton(AF_INET, host, &v4) == 1) {
            return true;
        }
    }
    return false;
}

/* Nobody has said which address others shall be told: that of -bind, or the only one that this machine has. */
static enum options_result choose_host(const struct parse *parse) {
    struct settings *out = &parse->out->settings;
    char *warning = parse->out->warning;
    char all[200];
    if (out->bind[0] == '\0') {
        strcpy(out->host, "127.0.0.1");
        return OPTIONS_RUN;
    }
    if (find_announceable(slice_from_text(out->bind), out->host)) {
        return OPTIONS_RUN;
    }
    size_t count = socket_machine_addresses(out->host, all, sizeof(all));
    if (count > 1) {
        return wrong(parse, "-bind %s: give -host, the address that others are told; this machine has %s",
                     out->bind, all);
    }
    if (count == 0) {
        strcpy(out->host, "127.0.0.1");
    }
    snprintf(warning, sizeof(parse->out->warning), "-bind %.100s without -host: %s is announced, %s", out->bind,
             out->host, count == 0 ? "for there is no other address" : "the only address of this machine");
    return OPTIONS_RUN;
}

static enum options_result complete_host(const struct parse *parse) {
    struct settings *out = &parse->out->settings;
    char given[LIMIT_HOST_BYTES + 1];
    if (out->host[0] == '\0') {
        return choose_host(parse);
    }
    memcpy(given, out->host, sizeof(given));
    if (!socket_resolve_host(given, out->host)) {
        return wrong(parse, "-host: %s is no address, host name or interface of an address", given);
    }
    if (!datagram_valid_host(slice_from_text(out->host))) {
        return wrong(parse, "-host: %s is not an address that others can reach; -bind may be it", given);
    }
    return OPTIONS_RUN;
}

static enum options_result complete_broadcast(const struct parse *parse) {
    struct settings *out = &parse->out->settings;
    struct sockaddr_storage address;
    socklen_t length;
    if (out->broadcast[0] == '\0') {
        return socket_broadcast_of(out->host, out->broadcast)
                   ? OPTIONS_RUN
                   : wrong(parse, "no interface with a broadcast address has %s: give -broadcast", out->host);
    }
    return socket_address(out->broadcast, 0, &address, &length)
               ? OPTIONS_RUN
               : wrong(parse, "-broadcast: %s is not an address in numbers", out->broadcast);
}

/* `localhost` is ::1 for many programs. */
static const char *bind_beside(const char *host) { return strcmp(host, "127.0.0.1") == 0 ? ",-::1" : ""; }

static enum options_result complete_addresses(const struct parse *parse) {
    struct settings *out = &parse->out->settings;
    struct buf hosts;
    buf_init(&hosts, SETTINGS_BYTES);
    enum options_result result = complete_bind(parse, slice_from_text(out->bind), &hosts);
    if (result == OPTIONS_RUN && buf_failed(&hosts)) {
        result = wrong(parse, "-bind: too many addresses");
    }
    if (result == OPTIONS_RUN) {
        snprintf(out->bind, sizeof(out->bind), "%.*s", (int)buf_used(&hosts), buf_slice(&hosts).ptr);
        result = complete_host(parse);
    }
    buf_deinit(&hosts);
    if (result == OPTIONS_RUN && out->bind[0] == '\0') {
        snprintf(out->bind, sizeof(out->bind), "%s%s", out->host, bind_beside(out->host));
    }
    return result == OPTIONS_RUN ? complete_broadcast(parse) : result;
}

static enum options_result complete_id(const struct parse *parse) {
    struct settings *out = &parse->out->settings;
    uint32_t random;
    out->appendonly = out->data[0] != '\0';
    if (out->id[0] != '\0' || out->appendonly) { /* with -data the id stands there, or is made there */
        return OPTIONS_RUN;
    }
    if (getrandom(&random, sizeof(random), 0) != sizeof(random)) {
        return wrong(parse, "-id must be given: no random numbers: %s", strerror(errno));
    }
    snprintf(out->id, sizeof(out->id), "%0*x", GENERATED_ID_DIGITS, random);
    return OPTIONS_RUN;
}

static enum options_result complete_voters(const struct parse *parse) {
    const struct settings *out = &parse->out->settings;
    if (out->voters > 0 && out->leader) {
        return wrong(parse, "-voters elects the leader that -leader names: give one of them");
    }
    if (out->voters > 0 && out->data[0] == '\0') {
        return wrong(parse, "-voters wants -data DIR: a voter must not forget what it has voted");
    }
    return OPTIONS_RUN;
}

/* What of a tool's flags go together. Ports and addresses are not its matter. */
static enum options_result complete_tool(const struct parse *parse) {
    const struct tool_request *request = &parse->out->tool;
    bool has_data = parse->out->settings.data[0] != '\0';
    if (request->tool == TOOL_REPAIR) {
        return request->to != NULL ? OPTIONS_TOOL : wrong(parse, "-repair wants DIR and NEWDIR");
    }
    if (request->tool == TOOL_FORCE_VOTERS) {
        return request->to != NULL ? OPTIONS_TOOL : wrong(parse, "-force-voters wants ids, and DIR");
    }
    if (request->tool != TOOL_IMPORT) {
        bool alone = request->to == NULL && !request->skip_other_types;
        return alone ? OPTIONS_TOOL : wrong(parse, "-to and -skip-other-types go with -import");
    }
    if (has_data == (request->to != NULL)) {
        return wrong(parse, "-import wants either -to http://HOST:PORT, or -data DIR with a new DIR");
    }
    return OPTIONS_TOOL;
}

static void set_defaults(struct options *out) {
    out->tool = (struct tool_request){.tool = TOOL_NONE};
    out->config_file[0] = out->warning[0] = '\0';
    settings_init(&out->settings);
}

enum options_result options_parse(int argc, char **argv, struct options *out, char *message, size_t n) {
    struct parse parse = {.out = out, .message = message, .message_bytes = n};
    message[0] = '\0';
    set_defaults(out);
    enum options_result result = read_arguments(&parse, argc, argv);
    if (result == OPTIONS_RUN && out->config_file[0] != '\0') {
        /* The command line was read to find the file; it is read once more to win over it. */
        char path[sizeof(out->config_file)];
        memcpy(path, out->config_file, sizeof(path));
        set_defaults(out);
        result = read_file(&parse, path);
        if (result == OPTIONS_RUN) {
            result = read_arguments(&parse, argc, argv);
        }
    }
    const struct tool_request *tool = &out->tool;
    if (result == OPTIONS_RUN && (tool->tool != TOOL_NONE || tool->to != NULL || tool->skip_other_types)) {
        return complete_tool(&parse);
    }
    enum options_result (*const completions[])(const struct parse *) = {complete_ports, complete_addresses,
                                                                        complete_id, complete_voters};
    for (size_t i = 0; i < sizeof(completions) / sizeof(completions[0]) && result == OPTIONS_RUN; i++) {
        result = completions[i](&parse);
    }
    return result;
}
