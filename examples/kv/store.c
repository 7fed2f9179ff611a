/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store: a hash table that survives its writer.
 *
 *     store --> tables[0] --> [bucket] --> entry --> entry
 *               tables[1] --> [bucket] --> entry        only while the table is being resized
 *               moving    --> entry                     the one that is between the two just now
 *
 * An entry is one block: header, key, value. Its key never changes. A new value is a new entry that
 * takes the old one's place in the chain.
 *
 * The discipline of writing
 *   1. What is written is written fully before anybody can reach it, and becomes reachable by one
 *      store of one pointer (`publish`).
 *   2. What is taken out is freed only after it cannot be reached.
 *   3. An entry that changes tables is in `moving` from before it leaves the one chain until
 *      after it joined the other.
 *   4. Where a value changes in place it does so by one aligned word: the time it expires, and the
 *      size after bytes were appended behind the old end.
 * So whatever instruction the writer stops at, every entry is reachable and whole, and the
 * operation it was in has happened or has not. Counts may be off then, and an entry may be reached
 * twice; that is why such a store is salvaged, not used: its entries are copied into a new one.
 *
 * The word `owner` holds the newest claim, twice, plus one while its owner uses the store. A new
 * owner takes the word when it is even. When it is odd, the last owner ended in there, or is stuck
 * in there and may wake up again: then the store is left to it. An owner that was stuck elsewhere
 * finds a claim that is not its own and stays out.
 *
 * Threads: one at a time between enter and leave; enter, leave and claim from any.
 */
#include "store.h"

#include <stdlib.h>
#include <string.h>

enum {
    FIRST_BUCKETS = 16,
    MOVES_PER_WRITE = 1,     /* buckets moved at each write while the table is resized */
    EMPTY_PER_MOVE = 16,     /* empty buckets passed at most for one move */
    LONGEST_CHAIN = 1 << 20, /* what a salvage follows, in case a chain has become a ring */
};

struct entry {
    struct entry *next;
    uint64_t hash;
    int64_t expires_ms;
    uint32_t key_size;
    uint32_t capacity; /* bytes for the value */
    uint32_t value_size;
    uint32_t seal; /* of what does not change: see seal_of */
    uint8_t bytes[];
};

struct table {
    size_t mask;
    struct entry *buckets[];
};

struct store {
    uint64_t owner;
    struct table *tables[2];
    struct entry *moving;
    size_t moved; /* buckets of tables[0] below this one are empty, while there is a tables[1] */
    size_t count;
    size_t expiring;
    size_t bytes;
    size_t sweep_at;
    bool torn;
};

/* The tests stop the writer here, at every place between two steps. */
#ifdef STORE_STEP
void STORE_STEP(void);
#define step() STORE_STEP()
#else
#define step() ((void)0)
#endif

/* Makes an entry reachable, or an old one unreachable, after everything before and before
   everything behind. The writer is alone; it is the compiler that must not change the order. */
static inline void publish(struct entry **at, struct entry *entry) {
    step();
    __atomic_store_n(at, entry, __ATOMIC_RELEASE);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    step();
}

/* ---- hashing --------------------------------------------------------------------------------- */

static uint64_t hash_seed = 0x9e3779b97f4a7c15u;

void store_seed(uint64_t seed) { hash_seed = seed | 1; }

static inline uint64_t fold(uint64_t a, uint64_t b) {
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t word_at(const uint8_t *at, size_t size) {
    uint64_t word = 0;
    memcpy(&word, at, size);
    return word;
}

uint64_t store_hash(cop_bytes key) {
    const uint8_t *at = key.data;
    size_t left = key.size;
    uint64_t hash = fold(hash_seed ^ key.size, 0xa0761d6478bd642fu);
    for (; left > 16; at += 16, left -= 16)
        hash = fold(word_at(at, 8) ^ 0xe7037ed1a0b428dbu ^ hash, word_at(at + 8, 8) ^ hash_seed);
    uint64_t low = left >= 8 ? word_at(at, 8) : word_at(at, left);
    uint64_t high = left > 8 ? word_at(at + 8, left - 8) : 0;
    hash = fold(low ^ 0x8ebc6af09c88c6e3u ^ hash, high ^ hash_seed ^ 0x589965cc75374cc3u);
    return fold(hash ^ hash_seed, 0x1d8e4e27c47d124fu);
}

/* ---- entries --------------------------------------------------------------------------------- */

/* Tells an entry from what is none, and from one of another place in memory. */
static uint32_t seal_of(const struct entry *entry) {
    uint64_t mixed =
        fold(entry->hash ^ (uint64_t)(uintptr_t)entry,
             ((uint64_t)entry->key_size << 32 | entry->capacity) ^ 0x2d358dccaa6c78a5u);
    return (uint32_t)(mixed >> 32);
}

static inline cop_bytes key_of(const struct entry *entry) {
    return (cop_bytes){ .data = entry->bytes, .size = entry->key_size };
}

static inline struct found found_of(const struct entry *entry) {
    return (struct found){
        .value = { .data = entry->bytes + entry->key_size, .size = entry->value_size },
        .expires_ms = entry->expires_ms,
    };
}

static inline size_t entry_size(const struct entry *entry) {
    return sizeof *entry + entry->key_size + entry->capacity;
}

static struct entry *entry_new(cop_bytes key, uint64_t hash, size_t capacity, int64_t expires_ms) {
    struct entry *entry = malloc(sizeof *entry + key.size + capacity);
    if (entry == NULL || capacity > UINT32_MAX || key.size > UINT32_MAX)
        abort();
    *entry = (struct entry){
        .hash = hash,
        .expires_ms = expires_ms,
        .key_size = (uint32_t)key.size,
        .capacity = (uint32_t)capacity,
    };
    entry->seal = seal_of(entry);
    if (key.size != 0)
        memcpy(entry->bytes, key.data, key.size);
    return entry;
}

static void entry_append(struct entry *entry, cop_bytes more) {
    if (more.size != 0)
        memcpy(entry->bytes + entry->key_size + entry->value_size, more.data, more.size);
    step();
    __atomic_store_n(&entry->value_size, entry->value_size + (uint32_t)more.size, __ATOMIC_RELEASE);
    step();
}

static struct entry *entry_with(cop_bytes key, uint64_t hash, cop_bytes value, int64_t expires_ms) {
    struct entry *entry = entry_new(key, hash, value.size, expires_ms);
    entry_append(entry, value);
    return entry;
}

static inline bool entry_has_key(const struct entry *entry, cop_bytes key, uint64_t hash) {
    return entry->hash == hash && entry->key_size == key.size
           && memcmp(entry->bytes, key.data, key.size) == 0;
}

static void count_in(struct store *store, const struct entry *entry) {
    store->count++;
    store->expiring += entry->expires_ms != STORE_FOREVER;
    store->bytes += entry_size(entry);
}

static void count_out(struct store *store, const struct entry *entry) {
    store->count--;
    store->expiring -= entry->expires_ms != STORE_FOREVER;
    store->bytes -= entry_size(entry);
}

/* ---- making and freeing ---------------------------------------------------------------------- */

static struct table *table_new(size_t buckets) {
    struct table *table = calloc(1, sizeof *table + buckets * sizeof(struct entry *));
    if (table == NULL)
        abort();
    table->mask = buckets - 1;
    return table;
}

struct store *store_new(void) {
    struct store *store = calloc(1, sizeof *store);
    if (store == NULL)
        abort();
    store->tables[0] = table_new(FIRST_BUCKETS);
    return store;
}

static void table_free(struct table *table) {
    if (table == NULL)
        return;
    for (size_t i = 0; i <= table->mask; i++) {
        struct entry *next;
        for (struct entry *entry = table->buckets[i]; entry != NULL; entry = next) {
            next = entry->next;
            free(entry);
        }
    }
    free(table);
}

void store_free(struct store *store) {
    if (store == NULL || store->torn)
        return;
    table_free(store->tables[0]);
    table_free(store->tables[1]);
    free(store);
}

void store_clear(struct store *store) {
    struct table *old[2] = { store->tables[0], store->tables[1] };
    struct table *empty = table_new(FIRST_BUCKETS);
    /* The one operation that a crash may leave half done: between these two stores, while resizing.
       */
    step();
    __atomic_store_n(&store->tables[1], NULL, __ATOMIC_RELEASE);
    step();
    __atomic_store_n(&store->tables[0], empty, __ATOMIC_RELEASE);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    step();
    store->count = store->expiring = store->bytes = store->moved = 0;
    table_free(old[0]);
    table_free(old[1]);
}

/* ---- resizing -------------------------------------------------------------------------------- */

/* Moves one bucket of tables[0] to tables[1]. */
static void move_bucket(struct store *store) {
    struct entry **from = &store->tables[0]->buckets[store->moved];
    while (*from != NULL) {
        struct entry *entry = *from;
        struct entry **to = &store->tables[1]->buckets[entry->hash & store->tables[1]->mask];
        publish(&store->moving, entry);
        publish(from, entry->next);
        publish(&entry->next, *to);
        publish(to, entry);
        publish(&store->moving, NULL);
    }
    store->moved++;
}

static void resize_finish(struct store *store) {
    struct table *old = store->tables[0];
    step();
    __atomic_store_n(&store->tables[0], store->tables[1], __ATOMIC_RELEASE);
    step();
    __atomic_store_n(&store->tables[1], NULL, __ATOMIC_RELEASE);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    step();
    store->moved = 0;
    free(old);
}

/* A little of the way, if a resize is under way. */
static void resize_step(struct store *store) {
    if (store->tables[1] == NULL)
        return;
    size_t passed = 0;
    for (size_t moves = 0; store->moved <= store->tables[0]->mask && moves < MOVES_PER_WRITE;) {
        if (store->tables[0]->buckets[store->moved] != NULL)
            moves++;
        else if (++passed > EMPTY_PER_MOVE)
            break;
        move_bucket(store);
    }
    if (store->moved > store->tables[0]->mask)
        resize_finish(store);
}

/* Begins a resize when the table has become too small or far too big. */
static void resize_check(struct store *store) {
    if (store->tables[1] != NULL)
        return;
    size_t buckets = store->tables[0]->mask + 1, wanted = buckets;
    if (store->count > buckets)
        wanted = buckets * 2;
    else if (buckets > FIRST_BUCKETS && store->count < buckets / 8)
        wanted = buckets / 2;
    if (wanted == buckets)
        return;
    struct table *table = table_new(wanted);
    step();
    store->moved = 0;
    __atomic_store_n(&store->tables[1], table, __ATOMIC_RELEASE);
    step();
}

/* ---- finding --------------------------------------------------------------------------------- */

/* Where the pointer to the entry of this key stands; NULL if there is none. */
static struct entry **find(struct store *store, cop_bytes key, uint64_t hash) {
    for (unsigned i = 0; i < 2 && store->tables[i] != NULL; i++) {
        struct entry **at = &store->tables[i]->buckets[hash & store->tables[i]->mask];
        for (; *at != NULL; at = &(*at)->next)
            if (entry_has_key(*at, key, hash))
                return at;
    }
    return NULL;
}

static void take_out(struct store *store, struct entry **at) {
    struct entry *entry = *at;
    publish(at, entry->next);
    count_out(store, entry);
    free(entry);
}

/* The same for a key that may have expired: then it is taken out, and is not there. */
static struct entry **find_live(struct store *store, cop_bytes key, uint64_t hash, int64_t now_ms) {
    struct entry **at = find(store, key, hash);
    if (at != NULL && (*at)->expires_ms <= now_ms) {
        take_out(store, at);
        return NULL;
    }
    return at;
}

bool store_get(struct store *store, cop_bytes key, uint64_t hash, int64_t now_ms,
               struct found *found) {
    struct entry **at = find_live(store, key, hash, now_ms);
    if (at == NULL)
        return false;
    *found = found_of(*at);
    return true;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void replace(struct store *store, struct entry **at, struct entry *entry) {
    struct entry *old = *at;
    entry->next = old->next;
    publish(at, entry);
    count_out(store, old);
    count_in(store, entry);
    free(old);
}

static void insert(struct store *store, struct entry *entry) {
    struct table *table = store->tables[1] != NULL ? store->tables[1] : store->tables[0];
    struct entry **at = &table->buckets[entry->hash & table->mask];
    entry->next = *at;
    publish(at, entry);
    count_in(store, entry);
    resize_check(store);
}

void store_put(struct store *store, cop_bytes key, uint64_t hash, cop_bytes value,
               int64_t expires_ms) {
    resize_step(store);
    struct entry *entry = entry_with(key, hash, value, expires_ms);
    struct entry **at = find(store, key, hash);
    if (at != NULL)
        replace(store, at, entry);
    else
        insert(store, entry);
}

bool store_delete(struct store *store, cop_bytes key, uint64_t hash, int64_t now_ms) {
    resize_step(store);
    struct entry **at = find_live(store, key, hash, now_ms);
    if (at == NULL)
        return false;
    take_out(store, at);
    resize_check(store);
    return true;
}

bool store_expire(struct store *store, cop_bytes key, uint64_t hash, int64_t now_ms,
                  int64_t expires_ms) {
    struct entry **at = find_live(store, key, hash, now_ms);
    if (at == NULL)
        return false;
    struct entry *entry = *at;
    store->expiring -= entry->expires_ms != STORE_FOREVER;
    store->expiring += expires_ms != STORE_FOREVER;
    step();
    __atomic_store_n(&entry->expires_ms, expires_ms, __ATOMIC_RELEASE);
    step();
    return true;
}

size_t store_append(struct store *store, cop_bytes key, uint64_t hash, int64_t now_ms,
                    cop_bytes more) {
    resize_step(store);
    struct entry **at = find_live(store, key, hash, now_ms);
    if (at == NULL) {
        insert(store, entry_with(key, hash, more, STORE_FOREVER));
        return more.size;
    }
    struct entry *old = *at;
    size_t size = old->value_size + more.size;
    if (size <= old->capacity) {
        entry_append(old, more);
        return size;
    }
    size_t capacity = size + size / 2 <= UINT32_MAX ? size + size / 2 : size;
    struct entry *entry = entry_new(key, hash, capacity, old->expires_ms);
    entry_append(entry, found_of(old).value);
    entry_append(entry, more);
    replace(store, at, entry);
    return size;
}

size_t store_count(const struct store *store) { return store->count; }
size_t store_count_expiring(const struct store *store) { return store->expiring; }
size_t store_bytes(const struct store *store) { return store->bytes; }

/* ---- walking --------------------------------------------------------------------------------- */

static uint64_t reverse_bits(uint64_t n) {
    n = (n >> 1 & 0x5555555555555555u) | (n & 0x5555555555555555u) << 1;
    n = (n >> 2 & 0x3333333333333333u) | (n & 0x3333333333333333u) << 2;
    n = (n >> 4 & 0x0f0f0f0f0f0f0f0fu) | (n & 0x0f0f0f0f0f0f0f0fu) << 4;
    return __builtin_bswap64(n);
}

static void visit_bucket(const struct table *table, uint64_t at, store_visit visit, void *arg) {
    for (const struct entry *entry = table->buckets[at & table->mask]; entry; entry = entry->next) {
        struct found found = found_of(entry);
        visit(arg, key_of(entry), &found);
    }
}

/* The cursor counts with its highest bit first, as Redis's does: the buckets that a bucket is split
   into, or joined from, are neighbours in that order, so a change of size makes nothing be missed.
   */
uint64_t store_scan(struct store *store, uint64_t cursor, store_visit visit, void *arg) {
    const struct table *small = store->tables[0], *big = store->tables[1];
    if (big != NULL && big->mask < small->mask) {
        const struct table *other = small;
        small = big;
        big = other;
    }
    visit_bucket(small, cursor, visit, arg);
    const struct table *last = big != NULL ? big : small;
    if (big == NULL)
        return reverse_bits(reverse_bits(cursor | ~last->mask) + 1);
    do {
        visit_bucket(big, cursor, visit, arg);
        cursor = reverse_bits(reverse_bits(cursor | ~big->mask) + 1);
    } while (cursor & (small->mask ^ big->mask));
    return cursor;
}

static size_t sweep_bucket(struct store *store, struct entry **at, int64_t now_ms) {
    size_t freed = 0;
    while (*at != NULL) {
        if ((*at)->expires_ms <= now_ms) {
            take_out(store, at);
            freed++;
        } else {
            at = &(*at)->next;
        }
    }
    return freed;
}

size_t store_sweep(struct store *store, int64_t now_ms, size_t buckets) {
    size_t freed = 0;
    for (; buckets > 0 && store->expiring > 0; buckets--) {
        size_t at = store->sweep_at++;
        for (unsigned i = 0; i < 2 && store->tables[i] != NULL; i++)
            if (at <= store->tables[i]->mask)
                freed += sweep_bucket(store, &store->tables[i]->buckets[at], now_ms);
        size_t mask = store->tables[0]->mask;
        if (store->tables[1] != NULL && store->tables[1]->mask > mask)
            mask = store->tables[1]->mask;
        if (store->sweep_at > mask)
            store->sweep_at = 0;
        resize_step(store);
        resize_check(store);
    }
    return freed;
}

/* ---- taking over ----------------------------------------------------------------------------- */

bool store_enter(struct store *store, uint64_t claim) {
    uint64_t expected = claim * 2;
    return __atomic_compare_exchange_n(&store->owner, &expected, claim * 2 + 1, false,
                                       __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

void store_leave(struct store *store, uint64_t claim) {
    __atomic_store_n(&store->owner, claim * 2, __ATOMIC_RELEASE);
}

uint64_t store_claim(struct store *store) {
    uint64_t word = __atomic_load_n(&store->owner, __ATOMIC_ACQUIRE);
    while ((word & 1) == 0) {
        uint64_t claim = word / 2 + 1;
        if (__atomic_compare_exchange_n(&store->owner, &word, claim * 2, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE))
            return claim;
    }
    return 0;
}

static bool is_sound(const struct entry *entry) {
    return ((uintptr_t)entry & 7) == 0 && entry->seal == seal_of(entry)
           && entry->value_size <= entry->capacity && store_hash(key_of(entry)) == entry->hash;
}

static void keep(struct salvage *salvage, const struct entry *entry) {
    if (find(salvage->into, key_of(entry), entry->hash) != NULL)
        return; /* reached a second time, from another place */
    struct found found = found_of(entry);
    store_put(salvage->into, key_of(entry), entry->hash, found.value, found.expires_ms);
    salvage->kept++;
}

bool store_salvage(struct salvage *salvage) {
    struct store *from = salvage->from;
    if (!from->torn) {
        from->torn = true;
        const struct entry *moving = from->moving;
        if (moving != NULL && is_sound(moving))
            keep(salvage, moving);
    }
    const struct table *table = salvage->table < 2 ? from->tables[salvage->table] : NULL;
    if (table == NULL || salvage->bucket > table->mask) {
        store_salvage_skip(salvage);
        return salvage->table < 2;
    }
    const struct entry *entry = table->buckets[salvage->bucket];
    for (size_t i = 0; entry != NULL && i < LONGEST_CHAIN && is_sound(entry); i++) {
        keep(salvage, entry);
        entry = entry->next;
    }
    salvage->lost += entry != NULL;
    salvage->bucket++;
    return true;
}

void store_salvage_skip(struct salvage *salvage) {
    const struct table *table = salvage->table < 2 ? salvage->from->tables[salvage->table] : NULL;
    if (table == NULL || salvage->bucket > table->mask) {
        salvage->table++;
        salvage->bucket = 0;
    } else {
        salvage->bucket++;
        salvage->lost++;
    }
}

/* The entries of a table, or -1 when one is not sound or stands in a wrong bucket. */
static int64_t verify_table(const struct table *table, size_t limit) {
    int64_t count = 0;
    for (size_t i = 0; i <= table->mask; i++)
        for (const struct entry *entry = table->buckets[i]; entry != NULL; entry = entry->next)
            if (!is_sound(entry) || (entry->hash & table->mask) != i || (size_t)++count > limit)
                return -1;
    return count;
}

bool store_verify(const struct store *store) {
    int64_t first = verify_table(store->tables[0], store->count);
    int64_t second = store->tables[1] == NULL ? 0 : verify_table(store->tables[1], store->count);
    return store->moving == NULL && first >= 0 && second >= 0
           && (size_t)(first + second) == store->count;
}
