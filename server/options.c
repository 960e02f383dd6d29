#include "server/options.h"

#include "protocol/num.h"
#include "server/net/socket.h"
#include "server/version.h"

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
    LINE_BYTES = 8192, /* of the config file */
    GENERATED_ID_DIGITS = 8,
};

enum kind {
    KIND_U16,
    KIND_SIZE,  /* bytes, with k, m, g */
    KIND_COUNT, /* a size_t without a unit */
    KIND_FLAG,
    KIND_TEXT, /* not empty; max is the longest */
    KIND_ID,
    KIND_LEVEL,
    KIND_POLICY,
    KIND_CONFIG, /* a text that has no place in the file itself */
    KIND_VERSION,
    KIND_HELP,
};

struct option {
    const char *name;
    enum kind kind;
    size_t offset; /* in struct options */
    uint64_t min, max;
    const char *argument; /* as -help names it; NULL: takes none */
    const char *help;
};

#define AT(field)   offsetof(struct options, field)
#define TEXT(field) AT(field), 1, sizeof(((struct options *)0)->field) - 1

static const struct option table[] = {
    {"port", KIND_U16, AT(port), 1, 65535, "PORT", "replication port (8000)"},
    {"group", KIND_U16, AT(group), 0, LIMIT_GROUP, "N", "replication group (0)"},
    {"leader", KIND_FLAG, AT(leader), 0, 0, NULL, "this node leads its group"},
    {"api", KIND_U16, AT(api_port), 1, 65535, "PORT", "HTTP port (9000)"},
    {"redis", KIND_U16, AT(redis_port), 1, 65535, "PORT", "RESP port (-port - 8000 + 6379)"},
    {"host", KIND_TEXT, TEXT(host), "HOST", "address or interface that is announced (127.0.0.1)"},
    {"bind", KIND_TEXT, TEXT(bind), "HOST", "address or interface that is bound to (-host)"},
    {"broadcast", KIND_TEXT, TEXT(broadcast), "ADDRESS", "where discovery sends (of the -host's network)"},
    {"discovery-port", KIND_U16, AT(discovery_port), 1, 65535, "PORT", "UDP port of discovery (7946)"},
    {"id", KIND_ID, TEXT(id), "ID", "node id (8 random hex digits)"},
    {"backlog", KIND_SIZE, AT(backlog_bytes), 16 << 10, (uint64_t)1 << 40, "SIZE",
     "history kept for followers (64m)"},
    {"maxmemory", KIND_SIZE, AT(maxmemory_bytes), 0, (uint64_t)1 << 50, "SIZE",
     "most memory for data, 0 for no limit (0)"},
    {"maxmemory-policy", KIND_POLICY, TEXT(maxmemory_policy), "NAME", "what happens at the limit (noeviction)"},
    {"max-clients", KIND_COUNT, AT(max_clients), 1, 1000000, "N", "most clients at a time (10000)"},
    {"requirepass", KIND_TEXT, AT(settings.requirepass), 1, SETTINGS_TEXT_BYTES - 1, "PASSWORD",
     "what RESP and HTTP clients have to know (none)"},
    {"log-level", KIND_LEVEL, AT(log_level), 0, 0, "LEVEL", "debug, info, warn or error (info)"},
    {"config", KIND_CONFIG, TEXT(config_file), "FILE", "a file with a `name value` a line"},
    {"version", KIND_VERSION, 0, 0, 0, NULL, "print the version"},
    {"help", KIND_HELP, 0, 0, 0, NULL, "print this"},
};

enum { OPTION_COUNT = sizeof(table) / sizeof(table[0]) };

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

static const struct option *find(const char *name, size_t length) {
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (strlen(table[i].name) == length && memcmp(table[i].name, name, length) == 0) {
            return &table[i];
        }
    }
    return NULL;
}

/* --- values */

/* 64, 64k, 64KB, 1g: a k is 1024. */
static bool parse_size(const char *text, uint64_t *out) {
    size_t digits = strspn(text, "0123456789");
    const char *unit = text + digits;
    unsigned shift = 0;
    if (!num_parse_u64(slice_of(text, digits), out)) {
        return false;
    }
    switch (tolower((unsigned char)*unit)) {
    case 'k':
        shift = 10;
        break;
    case 'm':
        shift = 20;
        break;
    case 'g':
        shift = 30;
        break;
    default:
        break;
    }
    if (shift != 0) {
        unit++;
    }
    if (tolower((unsigned char)*unit) == 'b') {
        unit++;
    }
    return *unit == '\0' && !__builtin_mul_overflow(*out, UINT64_C(1) << shift, out);
}

static enum options_result set_number(const struct parse *parse, const struct option *option,
                                      const char *text) {
    void *to = (char *)parse->out + option->offset;
    uint64_t number;
    bool is_size = option->kind == KIND_SIZE;
    bool ok = is_size ? parse_size(text, &number) : num_parse_u64(slice_from_text(text), &number);
    if (!ok) {
        return wrong(parse, "-%s: %s is not a %s", option->name, text,
                     is_size ? "size (a number, perhaps with k, m or g)" : "number");
    }
    if (number < option->min || number > option->max) {
        return wrong(parse, "-%s: %s is out of range (%llu to %llu)", option->name, text,
                     (unsigned long long)option->min, (unsigned long long)option->max);
    }
    if (option->kind == KIND_U16) {
        *(uint16_t *)to = (uint16_t)number;
    } else {
        *(size_t *)to = (size_t)number;
    }
    return OPTIONS_RUN;
}

static enum options_result set_flag(const struct parse *parse, const struct option *option, const char *text) {
    bool *to = (bool *)((char *)parse->out + option->offset);
    if (strcmp(text, "true") == 0) {
        *to = true;
    } else if (strcmp(text, "false") == 0) {
        *to = false;
    } else {
        return wrong(parse, "-%s: %s is neither true nor false", option->name, text);
    }
    return OPTIONS_RUN;
}

static enum options_result set_text(const struct parse *parse, const struct option *option, const char *text) {
    size_t length = strlen(text);
    if (length < option->min || length > option->max) {
        return wrong(parse, "-%s: a value of 1 to %llu bytes is wanted", option->name,
                     (unsigned long long)option->max);
    }
    memcpy((char *)parse->out + option->offset, text, length + 1);
    return OPTIONS_RUN;
}

static enum options_result set_id(const struct parse *parse, const struct option *option, const char *text) {
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    if (text[strspn(text, allowed)] != '\0') {
        return wrong(parse, "-%s: %s has other characters than A-Z a-z 0-9 _ -", option->name, text);
    }
    return set_text(parse, option, text);
}

static enum options_result set_policy(const struct parse *parse, const struct option *option,
                                      const char *text) {
    int64_t policy;
    if (!settings_policy_parse(slice_from_text(text), &policy)) {
        return wrong(parse, "-%s: %s is no policy (allkeys-lru, volatile-ttl and noeviction are some)",
                     option->name, text);
    }
    return set_text(parse, option, settings_policy_name(policy));
}

static enum options_result set_level(const struct parse *parse, const struct option *option, const char *text) {
    if (!log_level_parse(text, (enum log_level *)(void *)((char *)parse->out + option->offset))) {
        return wrong(parse, "-%s: %s is none of debug, info, warn, error", option->name, text);
    }
    return OPTIONS_RUN;
}

static enum options_result answer_help(const struct parse *parse) {
    size_t used = 0;
    int n = snprintf(parse->message, parse->message_bytes, "usage: kvnode [-flag [value]] ...\n");
    for (size_t i = 0; n >= 0; i++) {
        used += (size_t)n;
        if (i == OPTION_COUNT || used >= parse->message_bytes) {
            break;
        }
        const struct option *option = &table[i];
        char flag[64];
        snprintf(flag, sizeof(flag), "-%s %s", option->name, option->argument == NULL ? "" : option->argument);
        n = snprintf(parse->message + used, parse->message_bytes - used, "  %-24s %s\n", flag, option->help);
    }
    return OPTIONS_EXIT;
}

/* value: NULL when none was given, which is right for the options without an argument. */
static enum options_result set(const struct parse *parse, const struct option *option, const char *value) {
    if (value == NULL) {
        if (option->argument != NULL) {
            return wrong(parse, "-%s wants a value: %s", option->name, option->argument);
        }
        value = "true";
    }
    switch (option->kind) {
    case KIND_U16:
    case KIND_SIZE:
    case KIND_COUNT:
        return set_number(parse, option, value);
    case KIND_FLAG:
        return set_flag(parse, option, value);
    case KIND_ID:
        return set_id(parse, option, value);
    case KIND_LEVEL:
        return set_level(parse, option, value);
    case KIND_POLICY:
        return set_policy(parse, option, value);
    case KIND_TEXT:
    case KIND_CONFIG:
        return set_text(parse, option, value);
    case KIND_VERSION:
        snprintf(parse->message, parse->message_bytes, "kvnode %s\n", KVNODE_VERSION);
        return OPTIONS_EXIT;
    case KIND_HELP:
        return answer_help(parse);
    }
    return OPTIONS_RUN;
}

/* --- parameters of CONFIG SET: each may be given by its name, too */

/* One that has a flag of its own under another name is taken for that flag. */
static const struct option *find_by_either_name(const char *name, size_t length) {
    const struct option *option = find(name, length);
    const struct setting *setting = option != NULL ? NULL : settings_find(slice_of(name, length));
    if (setting == NULL) {
        return option;
    }
    const char *flag = setting_flag_name(setting);
    return find(flag, strlen(flag));
}

static enum options_result set_setting(const struct parse *parse, const struct setting *setting,
                                       const char *value) {
    char reason[256];
    if (value == NULL) {
        return wrong(parse, "-%s wants a value", setting_name(setting));
    }
    if (!setting_parse(setting, slice_from_text(value), &parse->out->settings, reason, sizeof(reason))) {
        return wrong(parse, "-%s: %s", setting_name(setting), reason);
    }
    return OPTIONS_RUN;
}

/* --- where they come from */

static enum options_result read_arguments(const struct parse *parse, int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        if (name[0] != '-' || name[1 + (name[1] == '-')] == '\0') {
            return wrong(parse, "unexpected argument %s (see kvnode -help)", name);
        }
        name += name[1] == '-' ? 2 : 1;
        const char *equals = strchr(name, '=');
        const char *value = equals == NULL ? NULL : equals + 1;
        size_t length = equals == NULL ? strlen(name) : (size_t)(equals - name);
        const struct option *option = find_by_either_name(name, length);
        const struct setting *setting = option != NULL ? NULL : settings_find(slice_of(name, length));
        if (setting != NULL) {
            enum options_result result =
                set_setting(parse, setting, value != NULL || i + 1 == argc ? value : argv[++i]);
            if (result != OPTIONS_RUN) {
                return result;
            }
            continue;
        }
        if (option == NULL) {
            return wrong(parse, "unknown flag -%.*s (see kvnode -help)", (int)length, name);
        }
        if (value == NULL && option->argument != NULL && i + 1 < argc) {
            value = argv[++i];
        }
        enum options_result result = set(parse, option, value);
        if (result != OPTIONS_RUN) {
            return result;
        }
    }
    return OPTIONS_RUN;
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

/* One line: empty, or `name`, or `name value`. */
static enum options_result read_line(const struct parse *parse, char *line) {
    char *name = trim(line);
    if (*name == '\0') {
        return OPTIONS_RUN;
    }
    size_t length = strcspn(name, " \t");
    char *value = name[length] == '\0' ? NULL : name + length + strspn(name + length, " \t");
    const struct option *option = find_by_either_name(name, length);
    const struct setting *setting = option != NULL ? NULL : settings_find(slice_of(name, length));
    if (setting != NULL) {
        return set_setting(parse, setting, value);
    }
    if (option == NULL || option->kind == KIND_VERSION || option->kind == KIND_HELP ||
        option->kind == KIND_CONFIG) {
        return wrong(parse, "unknown option %.*s (see kvnode -help)", (int)length, name);
    }
    return set(parse, option, value);
}

/* Takes a line with its LF, or the beginning of a longer one. Returns its length, 0 at the end; fgets would not
 * tell it of one with a NUL. */
static size_t take_line(FILE *file, char line[LINE_BYTES]) {
    size_t n = 0;
    for (int byte = 0; n < LINE_BYTES - 1 && byte != '\n' && (byte = getc(file)) != EOF;) {
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
    char line[LINE_BYTES];
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

/* --- what was not given, and what must fit together */

static enum options_result complete_ports(const struct parse *parse) {
    struct options *out = parse->out;
    if (out->redis_port == 0) {
        int port = out->port - SPECIFIED_PORT + SPECIFIED_REDIS_PORT;
        if (port < 1 || port > 65535) {
            return wrong(parse, "-redis must be given: its default, -port - %d + %d, would be %d",
                         SPECIFIED_PORT, SPECIFIED_REDIS_PORT, port);
        }
        out->redis_port = (uint16_t)port;
    }
    /* Discovery is UDP: it has its ports to itself. */
    const struct {
        const char *name;
        uint16_t port;
    } ports[] = {{"port", out->port}, {"api", out->api_port}, {"redis", out->redis_port}};
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

/* Replaces a name by its address in numbers. */
static bool resolve(char host[LIMIT_HOST_BYTES + 1]) {
    char name[LIMIT_HOST_BYTES + 1];
    memcpy(name, host, sizeof(name));
    return socket_resolve_host(name, host);
}

static enum options_result complete_addresses(const struct parse *parse) {
    struct options *out = parse->out;
    char given[LIMIT_HOST_BYTES + 1];
    memcpy(given, out->host, sizeof(given));
    if (!resolve(out->host)) {
        return wrong(parse, "-host: %s is no address, host name or interface of an address", given);
    }
    if (strcmp(out->host, "0.0.0.0") == 0 || strcmp(out->host, "::") == 0) {
        return wrong(parse, "-host: %s is not an address that others can reach; -bind may be it", given);
    }
    memcpy(given, out->bind, sizeof(given));
    if (given[0] == '\0') {
        memcpy(out->bind, out->host, sizeof(out->bind));
    } else if (!resolve(out->bind)) {
        return wrong(parse, "-bind: %s is no address, host name or interface of an address", given);
    }
    if (out->broadcast[0] == '\0') {
        if (!socket_broadcast_of(out->host, out->broadcast)) {
            return wrong(parse, "no interface with a broadcast address has %s: give -broadcast", out->host);
        }
        return OPTIONS_RUN;
    }
    struct sockaddr_storage address;
    socklen_t length;
    if (!socket_address(out->broadcast, 0, &address, &length)) {
        return wrong(parse, "-broadcast: %s is not an address in numbers", out->broadcast);
    }
    return OPTIONS_RUN;
}

static enum options_result complete_id(const struct parse *parse) {
    uint32_t random;
    if (parse->out->id[0] != '\0') {
        return OPTIONS_RUN;
    }
    if (getrandom(&random, sizeof(random), 0) != sizeof(random)) {
        return wrong(parse, "-id must be given: no random numbers: %s", strerror(errno));
    }
    snprintf(parse->out->id, sizeof(parse->out->id), "%0*x", GENERATED_ID_DIGITS, random);
    return OPTIONS_RUN;
}

/* The flags that are parameters of CONFIG SET, too. */
static enum options_result complete_settings(const struct parse *parse) {
    static const int64_t redis_levels[] = {[LOG_DEBUG] = 0, [LOG_INFO] = 2, [LOG_WARN] = 3, [LOG_ERROR] = 4};
    struct options *out = parse->out;
    out->settings.maxmemory_bytes = (int64_t)out->maxmemory_bytes;
    out->settings.maxclients = (int64_t)out->max_clients;
    out->settings.log_level = redis_levels[out->log_level];
    settings_policy_parse(slice_from_text(out->maxmemory_policy), &out->settings.maxmemory_policy);
    return OPTIONS_RUN;
}

static void set_defaults(struct options *out) {
    *out = (struct options){
        .port = SPECIFIED_PORT,
        .api_port = 9000,
        .discovery_port = 7946,
        .host = "127.0.0.1",
        .backlog_bytes = (size_t)64 << 20,
        .maxmemory_policy = "noeviction",
        .max_clients = LIMIT_CLIENTS,
        .log_level = LOG_INFO,
    };
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
    enum options_result (*const completions[])(const struct parse *) = {complete_ports, complete_addresses,
                                                                        complete_id, complete_settings};
    for (size_t i = 0; i < sizeof(completions) / sizeof(completions[0]) && result == OPTIONS_RUN; i++) {
        result = completions[i](&parse);
    }
    return result;
}
