#include "server/tools/tool.h"

static tool_function *const tools[] = {
    [TOOL_CHECK] = tool_check,
    [TOOL_EXPORT] = tool_export,
    [TOOL_FORCE_VOTERS] = tool_force_voters,
    [TOOL_FORGET_FORM] = tool_forget_form,
    [TOOL_IMPORT] = tool_import,
    [TOOL_REPAIR] = tool_repair,
};

int tool_run(const struct options *options) { return (int)tools[options->tool.tool](options); }
