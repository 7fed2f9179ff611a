/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The index of a shared table: rows by their key, or by their owner.
 *
 * 64 shards by the hash's low bits, each with a lock for writers and an open-addressed array of cells
 * with linear probing. A cell holds the hash and the first of the rows with one key; the others hang
 * from it in a list, in the order in which they came:
 *
 *     shard --> | hash row | - | hash row | TOMB | ...          (replaced as a whole when it is full)
 *                       |              |
 *                       v              v
 *                      row <-> row    row          the first one knows the last (prev) and the number
 *
 * A reader takes no lock. It is pinned (epoch.h), so that neither rows nor arrays are freed under it. It
 * loads the array, probes, and follows `next`. A row that was taken out keeps its own `next`, so a
 * reader that stands on it comes back to rows that are there: as rows are added only at the end, it
 * misses none that stays. An array that was replaced is never changed again: what it leads to are the
 * rows of then, whose lists are still kept up.
 *
 * Invariants
 *   1. A cell's hash is written before its row, and never again: cells are not used twice, a row that
 *      was the last of its key leaves a tomb, and tombs go when the array is replaced.
 *   2. At least a quarter of the cells is empty, so probing ends.
 *   3. `count` is right in the first row of a list, whose `prev` is the last; in the others it is the
 *      one before. `prev` is for writers only, and NULL in a row that is in no list.
 * Threads: find and the walks from any that is pinned; the rest under the shard's lock.
 */
#include "proc/row_index.h"

#define TOMB ((struct cop__link *)1)

struct cell {
    uint32_t hash;          /* atomic */
    struct cop__link *link; /* atomic: NULL, TOMB or the first row */
};

struct cop__cells {
    struct cop__retired retired; /* first */
    uint64_t mask;
    struct cell cells[] __attribute__((aligned(16))); /* none lies across two cache lines */
};

static uint64_t mix(uint64_t hash, uint64_t word) {
    hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 32;
}

/* A binary in the heap, whose last word is zero padded; and the same for one that is shared. */
static inline uint64_t hash_inline(const uint64_t *box) {
    uint64_t hash = box[1] >> 3;
    size_t size = cop__header_size(box[0]);
    for (size_t i = 2; i <= size; i++)
        hash = mix(hash, box[i]);
    return hash;
}

static uint64_t hash_bytes(cop_bytes bytes) {
    uint64_t hash = bytes.size, word = 0;
    for (; bytes.size >= sizeof word; bytes.data += sizeof word, bytes.size -= sizeof word) {
        memcpy(&word, bytes.data, sizeof word);
        hash = mix(hash, word);
    }
    word = 0;
    memcpy(&word, bytes.data, bytes.size);
    return bytes.size == 0 ? hash : mix(hash, word);
}

static inline bool is_inline_bytes(cop_term t) {
    return cop__is_kind(t, BOX_BINARY) && (cop__box(t)[1] & 7) == 0;
}

/* Equal for what is ===. Immediates, binaries and short flat tuples, which keys usually are, have a way
   of their own; the rest is hashed as maps do it. */
static uint64_t hash_of(cop_term t, bool in_tuple) {
    cop_bytes bytes;
    unsigned bits;
    if (cop_is_immediate(t))
        return mix(0, t.w);
    if (is_inline_bytes(t))
        return hash_inline(cop__box(t));
    if (cop__is_kind(t, BOX_SHARED) && cop__binary_view(t, &bytes, &bits) && bits == 0)
        return hash_bytes(bytes);
    if (!in_tuple && cop__is_kind(t, BOX_TUPLE)) {
        uint64_t *box = cop__box(t), hash = box[0];
        for (size_t i = 1; i <= cop__header_size(box[0]); i++)
            hash = mix(hash, hash_of((cop_term){ box[i] }, true));
        return hash;
    }
    return cop__hash_key(t);
}

static inline bool same_key(cop_term a, cop_term b) {
    if (a.w == b.w)
        return true;
    if (!cop__is_box(a) || !cop__is_box(b))
        return !cop_is_immediate(a) && !cop_is_immediate(b) && cop_same(a, b);
    const uint64_t *x = cop__box(a), *y = cop__box(b), header = x[0];
    if (header != y[0] || cop__header_kind(header) != BOX_BINARY)
        return cop_same(a, b);
    uint64_t differs = 0;
    for (size_t i = cop__header_size(header); i > 0; i--)
        differs |= x[i] ^ y[i];
    return differs == 0;
}

bool cop__same_key(cop_term a, cop_term b) { return same_key(a, b); }

static inline struct cop__sought sought_key(cop_term key) {
    uint64_t hash = is_inline_bytes(key) ? hash_inline(cop__box(key)) : hash_of(key, false);
    return (struct cop__sought){ .key = key, .hash = (uint32_t)hash };
}

struct cop__sought cop__sought_key(cop_term key) {
    return sought_key(key);
}

struct cop__sought cop__sought_owner(uint64_t owner) {
    uint64_t hash = owner * UINT64_C(0x9e3779b97f4a7c15) >> 32;
    return (struct cop__sought){ .owner = owner, .hash = (uint32_t)hash };
}

/* The hash is the same already. */
static inline bool is_sought(enum cop__by by, struct cop__link *link,
                             const struct cop__sought *sought) {
    const struct cop__row *row = cop__row_of(link, by);
    return by == BY_KEY ? same_key(row->key, sought->key) : row->owner == sought->owner;
}

/* The cell, and the first row that was seen in it, which may be gone already. */
static inline struct cell *cell_of(enum cop__by by, struct cop__cells *cells,
                                   const struct cop__sought *sought, struct cop__link **first) {
    if (cells == NULL)
        return NULL;
    for (uint64_t i = sought->hash / COP__SHARDS;; i++) {
        struct cell *cell = &cells->cells[i & cells->mask];
        struct cop__link *link = __atomic_load_n(&cell->link, __ATOMIC_ACQUIRE);
        if (link == NULL)
            return NULL;
        if (__atomic_load_n(&cell->hash, __ATOMIC_RELAXED) == sought->hash && link != TOMB
            && is_sought(by, link, sought)) {
            *first = link;
            return cell;
        }
    }
}

struct cop__link *cop__index_find(struct cop__index *index, const struct cop__sought *sought) {
    struct cop__link *first = NULL;
    struct cop__cells *cells = cop__shard_cells(cop__shard_of(index, sought->hash));
    if (index->by == BY_KEY)
        cell_of(BY_KEY, cells, sought, &first);
    else
        cell_of(BY_OWNER, cells, sought, &first);
    return first;
}

struct cop__link *cop__index_find_key(struct cop__index *index, cop_term key) {
    struct cop__sought sought = sought_key(key);
    struct cop__link *first = NULL;
    cell_of(BY_KEY, cop__shard_cells(cop__shard_of(index, sought.hash)), &sought, &first);
    return first;
}

/* Of a writer: under the lock. */
static struct cell *cell_for(struct cop__index *index, const struct cop__sought *sought) {
    struct cop__link *first;
    struct cell *cell =
        cell_of(index->by, cop__shard_of(index, sought->hash)->cells, sought, &first);
    COP_ASSERT(cell != NULL);
    return cell;
}

/* ---- arrays ------------------------------------------------------------------------------------- */

struct cop__cells *cop__shard_cells(struct cop__shard *shard) {
    return __atomic_load_n(&shard->cells, __ATOMIC_SEQ_CST);
}

static void put_cell(struct cop__cells *cells, uint32_t hash, struct cop__link *link) {
    uint64_t i = hash / COP__SHARDS;
    while (cells->cells[i & cells->mask].link != NULL)
        i++;
    struct cell *cell = &cells->cells[i & cells->mask];
    __atomic_store_n(&cell->hash, hash, __ATOMIC_RELAXED);
    __atomic_store_n(&cell->link, link, __ATOMIC_RELEASE);
}

static void free_cells(struct cop__retired *cells) { cop__free(cells); }

/* An array with room for one more; the one before comes out as *old. */
static struct cop__cells *make_room(struct cop__shard *shard, struct cop__retired **old) {
    struct cop__cells *cells = shard->cells;
    uint64_t count = cells == NULL ? 0 : cells->mask + 1;
    if ((shard->used + 1) * UINT64_C(4) <= count * 3)
        return cells;
    uint64_t wanted = 4;
    while (wanted < (shard->live + 1) * UINT64_C(2))
        wanted *= 2;
    struct cop__cells *fresh = cop__calloc(1, sizeof *fresh + wanted * sizeof *fresh->cells);
    fresh->mask = wanted - 1;
    fresh->retired.release = free_cells;
    for (uint64_t i = 0; i < count; i++)
        if (cells->cells[i].link != NULL && cells->cells[i].link != TOMB)
            put_cell(fresh, cells->cells[i].hash, cells->cells[i].link);
    shard->used = shard->live;
    __atomic_store_n(&shard->cells, fresh, __ATOMIC_RELEASE);
    *old = cells == NULL ? NULL : &cells->retired;
    return fresh;
}

struct cop__link *cop__cells_at(struct cop__cells *cells, uint64_t *at) {
    while (cells != NULL && *at <= cells->mask) {
        struct cop__link *link = __atomic_load_n(&cells->cells[(*at)++].link, __ATOMIC_ACQUIRE);
        if (link != NULL && link != TOMB)
            return link;
    }
    return NULL;
}

/* ---- changes --------------------------------------------------------------------------------------- */

static void count_rows(struct cop__shard *shard, int64_t n) {
    __atomic_store_n(&shard->rows, shard->rows + (uint64_t)n, __ATOMIC_RELAXED);
}

static void set_count(struct cop__link *first, uint32_t count) {
    __atomic_store_n(&first->count, count, __ATOMIC_RELAXED);
}

static void set_next(struct cop__link *link, struct cop__link *next) {
    __atomic_store_n(&link->next, next, __ATOMIC_RELEASE);
}

void cop__index_add(struct cop__index *index, struct cop__link *first, struct cop__link *link,
                    const struct cop__sought *sought, struct cop__retired **old) {
    struct cop__shard *shard = cop__shard_of(index, sought->hash);
    *old = NULL;
    *link = (struct cop__link){ .hash = sought->hash, .prev = link, .count = 1 };
    if (first != NULL) {
        link->prev = first->prev;
        set_next(first->prev, link);
        first->prev = link;
        set_count(first, first->count + 1);
    } else {
        put_cell(make_room(shard, old), sought->hash, link);
        shard->used++;
        shard->live++;
    }
    count_rows(shard, 1);
}

static void remove_first(struct cop__shard *shard, struct cop__link *first, struct cell *cell) {
    struct cop__link *next = first->next;
    if (next == NULL) {
        __atomic_store_n(&cell->link, TOMB, __ATOMIC_RELEASE);
        shard->live--;
        return;
    }
    next->prev = first->prev;
    set_count(next, first->count - 1);
    __atomic_store_n(&cell->link, next, __ATOMIC_RELEASE);
}

void cop__index_remove(struct cop__index *index, struct cop__link *link,
                       const struct cop__sought *sought) {
    struct cop__shard *shard = cop__shard_of(index, sought->hash);
    struct cell *cell = cell_for(index, sought);
    struct cop__link *first = cell->link;
    if (link == first) {
        remove_first(shard, first, cell);
    } else {
        set_next(link->prev, link->next);
        (link->next != NULL ? link->next : first)->prev = link->prev;
        set_count(first, first->count - 1);
    }
    link->prev = NULL;
    count_rows(shard, -1);
}

void cop__index_replace(struct cop__index *index, struct cop__link *link, struct cop__link *fresh,
                        const struct cop__sought *sought) {
    struct cell *cell = cell_for(index, sought);
    struct cop__link *first = cell->link;
    *fresh = *link;
    (link->next != NULL ? link->next : link == first ? fresh : first)->prev = fresh;
    if (link == first)
        __atomic_store_n(&cell->link, fresh, __ATOMIC_RELEASE);
    else
        set_next(link->prev, fresh);
    link->prev = NULL;
}

void cop__index_free(struct cop__index *index, bool with_rows) {
    for (int i = 0; i < COP__SHARDS; i++) {
        struct cop__cells *cells = index->shards[i].cells;
        struct cop__link *link;
        for (uint64_t at = 0; with_rows && (link = cop__cells_at(cells, &at)) != NULL;)
            while (link != NULL) {
                struct cop__row *row = cop__row_of(link, index->by);
                link = link->next;
                row->retired.release(&row->retired);
            }
        cop__free(cells);
    }
}
