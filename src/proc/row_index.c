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
 *                      row <-> row    row          the first one knows the last and the number
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
 *   3. `last` and `count` are right in the first row of a list; `prev` is for writers only.
 * Threads: find and the walks from any that is pinned; the rest under the shard's lock.
 */
#include "proc/row_index.h"

#define TOMB ((struct cop__link *)1)

struct cell {
    uint64_t hash;          /* atomic */
    struct cop__link *link; /* atomic: NULL, TOMB or the first row */
};

struct cop__cells {
    struct cop__retired retired; /* first */
    uint64_t mask;
    struct cell cells[];
};

static uint64_t mix(uint64_t hash, uint64_t word) {
    hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 32;
}

/* A binary in the heap, whose last word is zero padded; and the same for one that is shared. */
static uint64_t hash_inline(const uint64_t *box) {
    uint64_t hash = box[1] >> 3;
    for (size_t i = 2; i <= cop__header_size(box[0]); i++)
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

/* Equal for what is ===. Immediates, binaries and short flat tuples, which keys usually are, have a way
   of their own; the rest is hashed as maps do it. */
static uint64_t hash_of(cop_term t, bool in_tuple) {
    cop_bytes bytes;
    unsigned bits;
    if (cop_is_immediate(t))
        return mix(0, t.w);
    if (cop__is_kind(t, BOX_BINARY) && (cop__box(t)[1] & 7) == 0)
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

bool cop__same_key(cop_term a, cop_term b) {
    if (a.w == b.w)
        return true;
    if (cop_is_immediate(a) || cop_is_immediate(b))
        return false;
    if (!cop__is_kind(a, BOX_BINARY) || !cop__is_kind(b, BOX_BINARY))
        return cop_same(a, b);
    const uint64_t *x = cop__box(a), *y = cop__box(b);
    if (x[0] != y[0])
        return false;
    size_t size = cop__header_size(x[0]), i = 1;
    while (i <= size && x[i] == y[i])
        i++;
    return i > size;
}

struct cop__sought cop__sought_key(cop_term key) {
    return (struct cop__sought){ .key = key, .hash = hash_of(key, false) };
}

struct cop__sought cop__sought_owner(uint64_t owner) {
    uint64_t hash = owner * UINT64_C(0x9e3779b97f4a7c15) >> 32;
    return (struct cop__sought){ .owner = owner, .hash = hash };
}

/* The hash is the same already. */
static bool is_sought(enum cop__by by, struct cop__link *link, const struct cop__sought *sought) {
    const struct cop__row *row = cop__row_of(link, by);
    return by == BY_KEY ? cop__same_key(cop__row_key(row), sought->key)
                        : row->owner == sought->owner;
}

static struct cell *cell_of(enum cop__by by, struct cop__cells *cells,
                            const struct cop__sought *sought) {
    if (cells == NULL)
        return NULL;
    for (uint64_t i = sought->hash / COP__SHARDS;; i++) {
        struct cell *cell = &cells->cells[i & cells->mask];
        struct cop__link *link = __atomic_load_n(&cell->link, __ATOMIC_ACQUIRE);
        if (link == NULL)
            return NULL;
        if (link != TOMB && __atomic_load_n(&cell->hash, __ATOMIC_RELAXED) == sought->hash
            && is_sought(by, link, sought))
            return cell;
    }
}

struct cop__link *cop__index_find(struct cop__index *index, const struct cop__sought *sought) {
    struct cop__shard *shard = cop__shard_of(index, sought->hash);
    struct cell *cell = cell_of(index->by, cop__shard_cells(shard), sought);
    if (cell == NULL)
        return NULL;
    struct cop__link *link = __atomic_load_n(&cell->link, __ATOMIC_ACQUIRE);
    return link == TOMB ? NULL : link; /* it went just now */
}

/* ---- arrays ------------------------------------------------------------------------------------- */

struct cop__cells *cop__shard_cells(struct cop__shard *shard) {
    return __atomic_load_n(&shard->cells, __ATOMIC_SEQ_CST);
}

static void put_cell(struct cop__cells *cells, uint64_t hash, struct cop__link *link) {
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

static void set_count(struct cop__link *first, uint64_t count) {
    __atomic_store_n(&first->count, count, __ATOMIC_RELAXED);
}

static void set_next(struct cop__link *link, struct cop__link *next) {
    __atomic_store_n(&link->next, next, __ATOMIC_RELEASE);
}

void cop__index_add(struct cop__index *index, struct cop__link *link,
                    const struct cop__sought *sought, struct cop__retired **old) {
    struct cop__shard *shard = cop__shard_of(index, sought->hash);
    struct cop__link *first = cop__index_find(index, sought);
    *old = NULL;
    *link = (struct cop__link){ .hash = sought->hash, .last = link, .count = 1 };
    if (first != NULL) {
        link->prev = first->last;
        set_next(first->last, link);
        first->last = link;
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
    next->prev = NULL;
    next->last = first->last;
    set_count(next, first->count - 1);
    __atomic_store_n(&cell->link, next, __ATOMIC_RELEASE);
}

void cop__index_remove(struct cop__index *index, struct cop__link *link,
                       const struct cop__sought *sought) {
    struct cop__shard *shard = cop__shard_of(index, sought->hash);
    struct cell *cell = cell_of(index->by, shard->cells, sought);
    COP_ASSERT(cell != NULL);
    struct cop__link *first = cell->link;
    if (link == first) {
        remove_first(shard, first, cell);
    } else {
        set_next(link->prev, link->next);
        if (link->next != NULL)
            link->next->prev = link->prev;
        else
            first->last = link->prev;
        set_count(first, first->count - 1);
    }
    count_rows(shard, -1);
}

void cop__index_replace(struct cop__index *index, struct cop__link *link, struct cop__link *fresh,
                        const struct cop__sought *sought) {
    struct cop__shard *shard = cop__shard_of(index, sought->hash);
    struct cell *cell = cell_of(index->by, shard->cells, sought);
    COP_ASSERT(cell != NULL);
    struct cop__link *first = cell->link;
    *fresh = *link;
    if (first->last == link)
        first->last = fresh->last = fresh;
    if (link->next != NULL)
        link->next->prev = fresh;
    if (link == first)
        __atomic_store_n(&cell->link, fresh, __ATOMIC_RELEASE);
    else
        set_next(link->prev, fresh);
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
