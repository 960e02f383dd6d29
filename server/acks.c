#include "server/acks.h"

#include "cluster/routing.h"
#include "server/journal/journal.h"

static uint64_t newest_ticket(const struct acks *acks) {
    return acks->journal == NULL ? history_index(acks->config.history) : journal_newest_ticket(acks->journal);
}

static void newest(void *context, bool quorum, struct fence_ticket *out) {
    struct acks *acks = context;
    const struct acks_config *config = &acks->config;
    uint64_t committed_index, round;
    out->kept = newest_ticket(acks);
    if (__builtin_expect(quorum || history_quorum(config->history), 0) &&
        config->quorum(config->context, &committed_index, &round)) {
        out->committed = out->kept;
        out->round = config->ask_round(config->context);
    }
}

static void commit(void *context) {
    struct acks *acks = context;
    const struct acks_config *config = &acks->config;
    uint64_t committed_index, round;
    if (history_quorum(config->history) != config->routing->quorum) {
        routing_set_quorum(config->routing, !config->routing->quorum);
    }
    if (acks->fence.voters && config->quorum(config->context, &committed_index, &round)) {
        uint64_t committed =
            acks->journal == NULL ? committed_index : journal_ticket(acks->journal, committed_index);
        fence_raise_quorum(&acks->fence, committed, round);
    }
}

void acks_init(struct acks *acks, const struct acks_config *config) {
    *acks = (struct acks){
        .config = *config, .loop = net_loop(config->net), .hook = {.run = commit, .context = acks}};
    fence_init(&acks->fence, newest, acks);
    loop_add_hook(acks->loop, LOOP_COMMIT, &acks->hook);
    if (config->keeps) {
        net_set_fence(config->net, &acks->fence);
    }
}

void acks_deinit(struct acks *acks) {
    if (acks->hook.next != NULL) {
        loop_remove_hook(acks->loop, &acks->hook);
    }
}

void acks_set_journal(struct acks *acks, struct journal *journal) { acks->journal = journal; }

void acks_break(struct acks *acks) { fence_break(&acks->fence, CLOSE_DEPOSED); }
