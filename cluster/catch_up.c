#include "cluster/catch_up.h"

bool catch_up_begin(struct catch_up *catch_up, const struct archive *archive, uint64_t index,
                    uint64_t most_bytes, int64_t now_ms) {
    *catch_up = (struct catch_up){.from = index, .index = index, .began_ms = now_ms};
    if (archive->open != NULL) {
        catch_up->reader = archive->open(archive->context, index, most_bytes);
    }
    return catch_up->reader != NULL;
}

enum archive_result catch_up_read(struct catch_up *catch_up, const struct archive *archive,
                                  struct slice *lines) {
    *lines = SLICE("");
    enum archive_result result = archive->read(catch_up->reader, lines, &catch_up->last_index);
    catch_up->left_bytes = lines->len;
    return result;
}

bool catch_up_advance(struct catch_up *catch_up, const struct archive *archive, size_t n,
                      struct history *history, struct history_reader *reader) {
    archive->advance(catch_up->reader, n);
    catch_up->left_bytes -= n;
    catch_up->bytes += n;
    if (catch_up->left_bytes > 0) {
        return false;
    }
    catch_up->index = catch_up->last_index;
    if (!history_open(history, reader, catch_up->index)) {
        return false; /* the backlog has moved on: so does this */
    }
    catch_up_end(catch_up, archive);
    return true;
}

void catch_up_end(struct catch_up *catch_up, const struct archive *archive) {
    if (catch_up->reader != NULL) {
        archive->close(catch_up->reader);
        catch_up->reader = NULL;
    }
}
