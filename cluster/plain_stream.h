/* plain_stream.h: the history as it is sent to a peer that knows only the specification. Pure.
 *
 * It is the bytes of the backlog, but for PATCHX: in its place goes the key as it is now, whole; or nothing,
 * where the key has changed since or is gone, for then a line that follows says so. So however many bits of a
 * value are set, it is sent once each time that the peer has caught up.
 */
#ifndef KVNODE_CLUSTER_PLAIN_STREAM_H
#define KVNODE_CLUSTER_PLAIN_STREAM_H

#include "cluster/history.h"

/* Appends the line of a key, whole, if it is there with this version: the shortest line that can say it. */
typedef void plain_stream_say(void *context, struct slice key, uint64_t version, struct buf *out);

/* Zero before it is used. */
struct plain_stream {
    struct buf instead; /* goes out in the place of a line that was taken */
    bool mid_line;      /* what was taken last has not ended its line */
};
void plain_stream_deinit(struct plain_stream *stream);

/* What is next for the peer, contiguous; empty: nothing now. False: the reader is lost, or memory is out. */
bool plain_stream_read(struct plain_stream *stream, const struct history *history,
                       struct history_reader *reader, plain_stream_say *say, void *context, struct slice *out);
/* n of the bytes read were taken. */
void plain_stream_advance(struct plain_stream *stream, const struct history *history,
                          struct history_reader *reader, size_t n);

#endif
