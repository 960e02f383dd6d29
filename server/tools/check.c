/* check.c: kvnode -check DIR: every record is verified, and what is there is said. */
#include "server/tools/kept_data.h"
#include "server/tools/tool.h"

#include <stdio.h>

static void say_terms(const struct journal_found *found) {
    printf("terms       %zu", found->terms_count);
    if (found->term.number > 0) {
        printf(" (the last: %llu, of node %s)", (unsigned long long)found->term.number, found->term.node_id);
    }
    printf("\n");
}

/* Nothing of it where nobody votes. */
static void say_votes(const struct kept_data *kept, const struct journal_kept *meta) {
    char ids[VOTERS_MAX_BYTES];
    if (kept->voters.count > 0) {
        printf("voters      %.*s\n", (int)voters_write(ids, &kept->voters), ids);
    }
    if (meta->formed_id != 0) {
        printf("agreed to   %.*s, for history %016llx, as %s\n", (int)voters_write(ids, &meta->formed), ids,
               (unsigned long long)meta->formed_id, meta->proposer ? "the proposer" : "an acceptor");
    }
    if (meta->term > 0) {
        printf("knows term  %llu%s%s\n", (unsigned long long)meta->term,
               meta->voted_for[0] == '\0' ? "" : ", has voted for ", meta->voted_for);
    }
    if (meta->forgetful) {
        printf("forgetful   it may have lost what it had acknowledged\n");
    }
}

static void say_found(const char *path, const struct kept_data *kept) {
    const struct journal_found *found = kept_data_found(kept);
    const struct journal_meta *meta = journal_directory_meta(kept->directory);
    printf("%s: %s\n", path, found->cut_bytes == 0 ? "all is good" : "good, but for a torn tail");
    printf("node        %s, of group %u, %s\n", meta->node_id, meta->group,
           meta->clean ? "stopped cleanly" : "not stopped cleanly");
    printf("segments    %zu\n", found->segments);
    printf("records     %llu\n", (unsigned long long)found->records);
    printf("keys        %zu\n", keyspace_count(kept->keyspace));
    printf("history     %016llx\n", (unsigned long long)found->history_id);
    say_terms(found);
    say_votes(kept, &meta->kept);
    printf("last index  %llu\n", (unsigned long long)found->index);
    printf("MB          %.3f\n", (double)found->bytes_done / 1e6);
    if (found->dropped > 0) {
        printf("dropped     %zu segments that no state stands in, and nothing that was acknowledged\n",
               found->dropped);
    }
    if (found->cut_bytes > 0) {
        printf("torn tail   %llu bytes, which the next start cuts off: %s\n",
               (unsigned long long)found->cut_bytes, found->reason);
    }
}

enum tool_status tool_check(const struct options *options) {
    const struct kept_data_wish wish = {.path = options->tool.from, .what = "checking", .keys_only = true};
    struct kept_data kept;
    enum tool_status status = kept_data_open(&kept, &wish);
    if (status == TOOL_OK) {
        say_found(options->tool.from, &kept);
    }
    kept_data_close(&kept);
    return status;
}
