#include "server/net/deadlines.h"

static void ring_init(struct deadline *head) { head->next = head->prev = head; }

static void ring_append(struct deadline *head, struct deadline *entry) {
    entry->prev = head->prev;
    entry->next = head;
    entry->prev->next = entry;
    head->prev = entry;
}

void deadlines_init(struct deadlines *deadlines, int64_t now_ms) {
    *deadlines = (struct deadlines){.tick = now_ms / DEADLINES_TICK_MS};
    ring_init(&deadlines->due);
    for (size_t i = 0; i < DEADLINES_SLOTS; i++) {
        ring_init(&deadlines->slots[i]);
    }
}

/* The first tick at which at_ms has certainly passed. */
static int64_t tick_of(const struct deadlines *deadlines, int64_t at_ms) {
    int64_t tick = at_ms / DEADLINES_TICK_MS + 1;
    return tick > deadlines->tick ? tick : deadlines->tick + 1;
}

static void put(struct deadlines *deadlines, struct deadline *entry) {
    entry->tick = tick_of(deadlines, entry->at_ms);
    ring_append(&deadlines->slots[(uint64_t)entry->tick % DEADLINES_SLOTS], entry);
    deadlines->count++;
}

void deadlines_set(struct deadlines *deadlines, struct deadline *entry, int64_t at_ms) {
    entry->at_ms = at_ms;
    if (at_ms == 0 || (entry->next != NULL && entry->tick <= tick_of(deadlines, at_ms))) {
        return;
    }
    deadlines_remove(deadlines, entry);
    put(deadlines, entry);
}

void deadlines_remove(struct deadlines *deadlines, struct deadline *entry) {
    if (entry->next == NULL) {
        return;
    }
    entry->prev->next = entry->next;
    entry->next->prev = entry->prev;
    entry->next = entry->prev = NULL;
    deadlines->count--;
}

static void move_slot_to_due(struct deadlines *deadlines, struct deadline *slot) {
    if (slot->next == slot) {
        return;
    }
    slot->next->prev = deadlines->due.prev;
    slot->prev->next = &deadlines->due;
    deadlines->due.prev->next = slot->next;
    deadlines->due.prev = slot->prev;
    ring_init(slot);
}

struct deadline *deadlines_take_due(struct deadlines *deadlines, int64_t now_ms) {
    int64_t now_tick = now_ms / DEADLINES_TICK_MS;
    /* After a long pause one turn of the wheel has seen every slot. */
    if (now_tick - deadlines->tick > DEADLINES_SLOTS) {
        deadlines->tick = now_tick - DEADLINES_SLOTS;
    }
    while (deadlines->tick < now_tick) {
        deadlines->tick++;
        move_slot_to_due(deadlines, &deadlines->slots[(uint64_t)deadlines->tick % DEADLINES_SLOTS]);
    }
    while (deadlines->due.next != &deadlines->due) {
        struct deadline *entry = deadlines->due.next;
        deadlines_remove(deadlines, entry);
        if (entry->at_ms == 0) {
            continue;
        }
        if (entry->at_ms <= now_ms) {
            entry->at_ms = 0;
            return entry;
        }
        put(deadlines, entry);
    }
    return NULL;
}
