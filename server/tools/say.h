/* say.h: how a tool ends, and how it says why. */
#ifndef KVNODE_SERVER_TOOLS_SAY_H
#define KVNODE_SERVER_TOOLS_SAY_H

enum tool_status {
    TOOL_OK = 0,
    TOOL_FAILED = 1, /* what was looked at is damaged, or it was not done; one line has said why */
    TOOL_MISUSED = 2 /* it can't be done to that: one line has said why */
};

/* "kvnode: " and one line, on stderr, whatever bytes its parts hold. Returns status. */
enum tool_status tool_say(enum tool_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
