#include "server/clients/interest.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/random.h>

enum { FIRST_BUCKETS = 16 };

bool interest_init(struct interest *interest) {
    uint8_t secret[16];
    *interest = (struct interest){0};
    if (getrandom(secret, sizeof(secret), 0) != sizeof(secret)) {
        return false;
    }
    interest->secret = siphash_key_from(secret);
    return true;
}

void interest_deinit(struct interest *interest) {
    assert(interest->count == 0);
    free(interest->buckets);
}

/* --- Names --- */

static struct interest_name **bucket_of(const struct interest *interest, uint64_t hash) {
    return &interest->buckets[hash & (interest->bucket_count - 1)];
}

static void put_into_bucket(struct interest *interest, struct interest_name *name) {
    struct interest_name **bucket = bucket_of(interest, name->hash);
    name->same_bucket = *bucket;
    *bucket = name;
}

/* False: there are no buckets at all. */
static bool grow(struct interest *interest) {
    if (interest->count < interest->bucket_count) {
        return true;
    }
    size_t bucket_count = interest->bucket_count == 0 ? FIRST_BUCKETS : interest->bucket_count * 2;
    struct interest_name **buckets = calloc(bucket_count, sizeof(struct interest_name *));
    if (buckets == NULL) {
        return interest->bucket_count > 0; /* the chains get longer */
    }
    free(interest->buckets);
    interest->buckets = buckets;
    interest->bucket_count = bucket_count;
    for (struct interest_name *name = interest->first; name != NULL; name = name->next) {
        put_into_bucket(interest, name);
    }
    return true;
}

static struct interest_name *find_name(const struct interest *interest, struct slice bytes, uint64_t hash) {
    struct interest_name *name = interest->bucket_count == 0 ? NULL : *bucket_of(interest, hash);
    while (name != NULL && !(name->hash == hash && slice_equals(interest_bytes(name), bytes))) {
        name = name->same_bucket;
    }
    return name;
}

static uint64_t hash_of(const struct interest *interest, struct slice bytes) {
    return siphash_1_3(interest->secret, bytes.ptr, bytes.len);
}

struct interest_name *interest_find(const struct interest *interest, struct slice name) {
    return interest->count == 0 ? NULL : find_name(interest, name, hash_of(interest, name));
}

static struct interest_name *add_name(struct interest *interest, struct slice bytes, uint64_t hash) {
    struct interest_name *name = grow(interest) ? malloc(sizeof(*name) + bytes.len) : NULL;
    if (name == NULL) {
        return NULL;
    }
    *name = (struct interest_name){.hash = hash, .length = bytes.len, .prev = interest->last};
    if (bytes.len > 0) {
        memcpy(name->bytes, bytes.ptr, bytes.len);
    }
    put_into_bucket(interest, name);
    *(interest->last == NULL ? &interest->first : &interest->last->next) = name;
    interest->last = name;
    interest->count++;
    return name;
}

static void remove_name(struct interest *interest, struct interest_name *name) {
    struct interest_name **at = bucket_of(interest, name->hash);
    while (*at != name) {
        at = &(*at)->same_bucket;
    }
    *at = name->same_bucket;
    *(name->prev == NULL ? &interest->first : &name->prev->next) = name->next;
    *(name->next == NULL ? &interest->last : &name->next->prev) = name->prev;
    interest->count--;
    free(name);
}

/* --- Links --- */

static struct interest_link *find_link(const struct interest_name *name, const struct interested *who) {
    struct interest_link *link;
    if (who->count < name->count) {
        for (link = who->first; link != NULL && link->name != name;) {
            link = link->next_name;
        }
    } else {
        for (link = name->first; link != NULL && link->who != who;) {
            link = link->next;
        }
    }
    return link;
}

static void put_link(struct interest_link *link) {
    struct interest_name *name = link->name;
    struct interested *who = link->who;
    link->prev = name->last;
    *(name->last == NULL ? &name->first : &name->last->next) = link;
    name->last = link;
    name->count++;
    link->prev_name = who->last;
    *(who->last == NULL ? &who->first : &who->last->next_name) = link;
    who->last = link;
    who->count++;
}

enum interest_added interest_add(struct interest *interest, struct interested *who, struct slice bytes,
                                 struct interest_link **out) {
    uint64_t hash = hash_of(interest, bytes);
    struct interest_name *name = find_name(interest, bytes, hash);
    struct interest_link *link = name == NULL ? NULL : find_link(name, who);
    enum interest_added added = link == NULL ? INTEREST_NEW : INTEREST_OLD;
    if (link == NULL) {
        link = malloc(sizeof(*link));
        name = link == NULL || name != NULL ? name : add_name(interest, bytes, hash);
        if (link == NULL || name == NULL) {
            free(link);
            return INTEREST_NO_MEMORY;
        }
        *link = (struct interest_link){.name = name, .who = who};
        put_link(link);
    }
    if (out != NULL) {
        *out = link;
    }
    return added;
}

void interest_drop(struct interest *interest, struct interest_link *link) {
    struct interest_name *name = link->name;
    struct interested *who = link->who;
    *(link->prev == NULL ? &name->first : &link->prev->next) = link->next;
    *(link->next == NULL ? &name->last : &link->next->prev) = link->prev;
    *(link->prev_name == NULL ? &who->first : &link->prev_name->next_name) = link->next_name;
    *(link->next_name == NULL ? &who->last : &link->next_name->prev_name) = link->prev_name;
    who->count--;
    free(link);
    if (--name->count == 0) {
        remove_name(interest, name);
    }
}

bool interest_remove(struct interest *interest, struct interested *who, struct slice bytes) {
    const struct interest_name *name = interest_find(interest, bytes);
    struct interest_link *link = name == NULL ? NULL : find_link(name, who);
    if (link == NULL) {
        return false;
    }
    interest_drop(interest, link);
    return true;
}

void interest_drop_all(struct interest *interest, struct interested *who) {
    struct interest_link *link = who->first;
    while (link != NULL) {
        struct interest_link *next = link->next_name;
        interest_drop(interest, link);
        link = next;
    }
}
