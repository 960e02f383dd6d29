#include "server/tools/force_voters.h"

#include "protocol/line.h"
#include "server/tools/progress.h"
#include "server/tools/state_file.h"
#include "server/tools/tool.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct forcing {
    struct kept_data *kept;
    const struct voters *voters;
    uint64_t history_id;
    struct state_file file;
    struct progress progress;
    int error; /* errno of what has failed; 0 */
};

static const char *path_of(const struct forcing *forcing) {
    return journal_directory_path(forcing->kept->directory);
}

static enum tool_status fail(const struct forcing *forcing, const char *what) {
    return tool_say(TOOL_FAILED, "%s: %s: %s", path_of(forcing), what, strerror(errno));
}

/* --- Whether it may be --- */

static enum tool_status check(const struct forcing *forcing) {
    const char *node_id = journal_directory_meta(forcing->kept->directory)->node_id;
    if (voters_find(forcing->voters, node_id) < 0) {
        return tool_say(TOOL_MISUSED, "-force-voters: node %s, whose data %s holds, is to be one of them",
                        node_id, path_of(forcing));
    }
    if (kept_data_found(forcing->kept)->history_id == 0) {
        return tool_say(TOOL_FAILED, "%s: there are no data in it to go on with", path_of(forcing));
    }
    return TOOL_OK;
}

/* Before anything is written. */
static void say_what_is_lost(const struct forcing *forcing) {
    const struct journal_found *found = kept_data_found(forcing->kept);
    const struct voters *voters = &forcing->kept->voters;
    char ids[VOTERS_MAX_BYTES], term[TERM_MAX_BYTES];
    int id_bytes = voters->count == 0 ? 0 : (int)voters_write(ids, voters);
    int term_bytes = found->term.number == 0 ? 0 : (int)term_write(term, &found->term);
    tool_say(TOOL_OK,
             "%s: loss accepted: history %016llx%s%.*s ends here with line %llu%s%.*s; what was acknowledged "
             "behind it is lost",
             path_of(forcing), (unsigned long long)found->history_id, id_bytes > 0 ? " of the voters " : "",
             id_bytes, ids, (unsigned long long)found->index, term_bytes > 0 ? " of term " : "", term_bytes,
             term);
    if (found->cut_bytes > 0) {
        tool_say(TOOL_OK, "%s: a torn tail of %llu bytes is left out: %s", path_of(forcing),
                 (unsigned long long)found->cut_bytes, found->reason);
    }
}

/* --- Writing --- */

static void write_entry(void *context, const struct entry *entry) {
    struct forcing *forcing = context;
    struct state_file *file = &forcing->file;
    if (forcing->error == 0 && !state_file_put(file, entry_key(entry), entry_value(entry), entry_version(entry),
                                               entry_timestamp_ms(entry), entry_deadline_ms(entry))) {
        forcing->error = errno;
    }
    progress_say(&forcing->progress, (uint64_t)file->offset, 0, file->keys);
}

/* Its first line: a history without any has not begun, and nobody stands for it (election.h). */
static bool write_end(struct forcing *forcing) {
    struct buf acks, voters;
    buf_init(&acks, SIZE_MAX);
    buf_init(&voters, SIZE_MAX);
    if (forcing->kept->quorum) {
        line_acks(&acks, true);
    }
    line_voters(&voters, forcing->voters);
    errno = ENOMEM;
    bool written = !buf_failed(&acks) && !buf_failed(&voters) &&
                   state_file_add(&forcing->file, buf_slice(&acks)) &&
                   state_file_end(&forcing->file, buf_slice(&voters));
    buf_deinit(&acks);
    buf_deinit(&voters);
    return written;
}

static bool write_state(struct forcing *forcing) {
    const struct keyspace *keyspace = forcing->kept->keyspace;
    uint64_t cursor = 0;
    if (!state_file_begin(&forcing->file, forcing->kept->directory, forcing->history_id,
                          keyspace_floor(keyspace))) {
        return false;
    }
    keyspace_pin(forcing->kept->keyspace);
    progress_begin(&forcing->progress, "writing");
    forcing->progress.total_keys = keyspace_count(keyspace);
    do {
        cursor = keyspace_scan_stored(keyspace, cursor, write_entry, forcing);
    } while (cursor != 0 && forcing->error == 0);
    progress_end(&forcing->progress);
    keyspace_unpin(forcing->kept->keyspace);
    errno = forcing->error;
    return forcing->error == 0 && write_end(forcing);
}

static bool raise_term(const struct forcing *forcing) {
    struct journal_meta meta = *journal_directory_meta(forcing->kept->directory);
    uint64_t of_lines = kept_data_found(forcing->kept)->term.number;
    meta.kept.term = (of_lines > meta.kept.term ? of_lines : meta.kept.term) + 1;
    meta.kept.voted_for[0] = '\0';
    return journal_directory_write_meta(forcing->kept->directory, &meta);
}

/* All that there is was written just now, and synced. */
static bool finish_meta(const struct forcing *forcing) {
    struct journal_meta meta = *journal_directory_meta(forcing->kept->directory);
    struct journal_peers *peers = &meta.peers;
    size_t kept = 0;
    for (size_t i = 0; i < peers->count; i++) {
        if (voters_find(forcing->voters, peers->all[i].node_id) >= 0) {
            peers->all[kept++] = peers->all[i];
        }
    }
    peers->count = kept;
    meta.kept = (struct journal_kept){.term = meta.kept.term};
    meta.clean = true;
    meta.weakest_fsync = JOURNAL_FSYNC_ALWAYS;
    return journal_directory_write_meta(forcing->kept->directory, &meta);
}

static enum tool_status write_all(struct forcing *forcing) {
    struct journal_directory *directory = forcing->kept->directory;
    uint64_t number = kept_data_found(forcing->kept)->next_segment;
    if (!state_file_make_history_id(&forcing->history_id)) {
        return fail(forcing, "no time, or no random numbers");
    }
    if (!raise_term(forcing)) {
        return fail(forcing, "its file meta cannot be written");
    }
    if (!write_state(forcing)) {
        return fail(forcing, "it cannot be written, and is as it was");
    }
    if (!state_file_accept(&forcing->file, number) || !finish_meta(forcing)) {
        return fail(forcing, "not all of it is on the disk: do it again");
    }
    if (!journal_directory_remove_below(directory, number)) {
        return fail(forcing, "its new history is there, but the segments of the old one cannot be removed");
    }
    return TOOL_OK;
}

enum tool_status force_voters(struct kept_data *kept, const struct voters *voters) {
    struct forcing forcing = {.kept = kept, .voters = voters, .file.fd = -1};
    enum tool_status status = check(&forcing);
    if (status != TOOL_OK) {
        return status;
    }
    say_what_is_lost(&forcing);
    status = write_all(&forcing);
    state_file_close(&forcing.file);
    if (status == TOOL_OK) {
        char ids[VOTERS_MAX_BYTES];
        printf("%s: history %016llx begins with its %llu keys and the voters %.*s, behind term %llu\n",
               path_of(&forcing), (unsigned long long)forcing.history_id, (unsigned long long)forcing.file.keys,
               (int)voters_write(ids, voters), ids,
               (unsigned long long)journal_directory_meta(kept->directory)->kept.term);
    }
    return status;
}

enum tool_status tool_force_voters(const struct options *options) {
    const struct kept_data_wish wish = {.path = options->tool.to, .what = "reading", .mend = true};
    struct kept_data kept;
    struct voters voters;
    if (!voters_parse(slice_from_text(options->tool.from), &voters)) {
        return tool_say(TOOL_MISUSED,
                        "-force-voters wants ids of nodes, with commas, no two the same, %d at most",
                        VOTERS_MOST);
    }
    enum tool_status status = kept_data_open(&kept, &wish);
    status = status == TOOL_OK ? force_voters(&kept, &voters) : status;
    kept_data_close(&kept);
    return status;
}
