#include "server/tools/say.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

enum tool_status tool_say(enum tool_status status, const char *format, ...) {
    char text[4096];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    for (char *at = text; *at != '\0'; at++) {
        if (iscntrl((unsigned char)*at)) {
            *at = '?';
        }
    }
    fprintf(stderr, "kvnode: %s\n", text);
    return status;
}
