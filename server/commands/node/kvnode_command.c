/* kvnode_command.c: KVNODE: what an operator tells kvnode, and Redis has no command for. */
#include "cluster/membership.h"
#include "protocol/num.h"
#include "server/commands/rows.h"

static const char *const forget_errors[] = {
    [MEMBERSHIP_NO_SUCH_GROUP] = "ERR No such group: it is not in the ring",
    [MEMBERSHIP_OWN_GROUP] = "ERR That is this node's own group",
    [MEMBERSHIP_GROUP_LIVES] = "ERR That group has live nodes: stop them first",
    [MEMBERSHIP_GROUP_SERVED] = "ERR That group has served: its keys would be lost when it comes back",
    [MEMBERSHIP_FORGET_NO_MEMORY] = "OOM out of memory",
};

static bool read_group(struct request *request, struct slice text, uint16_t *group) {
    uint64_t number;
    if (!num_parse_u64(text, &number) || number > LIMIT_GROUP) {
        resp_errorf(&request->reply, "ERR A group is a number from 0 to %d", LIMIT_GROUP);
        return false;
    }
    *group = (uint16_t)number;
    return true;
}

/* KVNODE GROUP FORGET group */
void command_kvnode_group(struct request *request) {
    uint16_t group;
    if (!request_word(request, 2, SLICE("forget"))) {
        resp_errorf(&request->reply, "ERR Unknown action on a group. Try KVNODE HELP.");
        return;
    }
    if (!read_group(request, request->args[3], &group)) {
        return;
    }
    int answer = request->context->forget_group(request->context->node, group);
    if (answer == MEMBERSHIP_FORGOTTEN) {
        reply_ok(request);
    } else {
        resp_errorf(&request->reply, "%s", forget_errors[answer]);
    }
}
