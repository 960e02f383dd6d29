/* forget_form.c: kvnode -forget-form DIR: a node that has agreed to a set of voters which will never come
 * about, since the node that proposed it is gone for good, agrees to another one at its next start. Only where
 * nothing has come of it: a set that leads a history is changed, or forced. */
#include "server/tools/kept_data.h"
#include "server/tools/tool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum tool_status forget(struct journal_directory *directory, const char *path) {
    struct journal_meta meta = *journal_directory_meta(directory);
    struct journal_kept *kept = &meta.kept;
    const struct journal_kept before = meta.kept;
    char ids[VOTERS_MAX_BYTES];
    kept->formed_id = 0;
    kept->formed = (struct voters){0};
    kept->proposer = kept->complete = false;
    if (!journal_directory_write_meta(directory, &meta)) {
        return tool_say(TOOL_FAILED, "%s: its file meta cannot be written: %s", path, strerror(errno));
    }
    printf("%s: node %s is free: as %s it had agreed to the voters %.*s of history %016llx\n", path,
           meta.node_id, before.proposer ? "the proposer" : "an acceptor",
           (int)voters_write(ids, &before.formed), ids, (unsigned long long)before.formed_id);
    return TOOL_OK;
}

static enum tool_status forget_if_nothing_came(struct journal_directory *directory, const char *path) {
    const struct journal_meta *meta = journal_directory_meta(directory);
    uint64_t *numbers;
    size_t n;
    if (!journal_directory_list(directory, &numbers, &n)) {
        return tool_say(TOOL_FAILED, "%s cannot be listed: %s", path, strerror(errno));
    }
    free(numbers);
    if (meta->kept.formed_id == 0) {
        return tool_say(TOOL_FAILED, "%s: node %s has agreed to no set of voters", path, meta->node_id);
    }
    if (n > 0) {
        return tool_say(TOOL_FAILED,
                        "%s: node %s has a history already: what it has agreed to stays (see -force-voters)",
                        path, meta->node_id);
    }
    return forget(directory, path);
}

enum tool_status tool_forget_form(const struct options *options) {
    const struct kept_data_wish wish = {.path = options->tool.from, .mend = true};
    struct journal_directory *directory;
    enum tool_status status = kept_data_open_directory(&wish, &directory);
    status = status == TOOL_OK ? forget_if_nothing_came(directory, wish.path) : status;
    journal_directory_close(&directory);
    return status;
}
