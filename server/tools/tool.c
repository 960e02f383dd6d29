#include "server/tools/tool.h"

static tool_function *const tools[] = {
    [TOOL_CHECK] = tool_check,
    [TOOL_EXPORT] = tool_export,
};

int tool_run(const struct options *options) {
    enum tool tool = options->tool.tool;
    bool is_there = (size_t)tool < sizeof(tools) / sizeof(tools[0]) && tools[tool] != NULL;
    return is_there ? (int)tools[tool](options) : (int)tool_say(TOOL_MISUSED, "this tool is not there yet");
}
