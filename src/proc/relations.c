/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of a process's relations: its links, the monitors it holds, those who watch it, and its
 * aliases, all by one key (the other's word, or the reference's).
 *
 * Up to 8 entries it is a plain list, searched from its end (a call adds one and removes it soon).
 * Beyond, entries stand in chunks, in the order in which they were made, and never move: a table that grows
 * touches no more memory than its entries take, and who walks over it walks forwards. An index leads from a
 * key to a place, a hash with linear probing of four bytes each, at most half full; removing shifts the run
 * back, so there are no tombstones. Places that are free again are linked through `other`.
 *
 *     index:  [ place + 1 | 0 | 0 | place + 1 ... ]          chunks:  [0] -> 32 entries, [1] -> 32 entries ...
 *
 * Invariants
 *   1. Pointers into the table are good until the next add or remove.
 *   2. Beyond 8, the index has each place in use once, and an entry not in use has key 0.
 * Threads: the owner's runner only.
 */
#include "proc/proc.h"

enum { PLAIN = 8, FIRST_INDEX = 64, CHUNK = 32 };

struct cop__relmany {
    uint32_t *index; /* `cap` of the table */
    struct cop__rel **chunks;
    uint32_t room, used; /* places in chunks; those ever taken */
    uint32_t free;       /* place + 1 of the first that is free again */
};

/* ---- many ---------------------------------------------------------------------------------------- */

static struct cop__rel *place(const struct cop__relmany *many, uint32_t i) {
    return &many->chunks[i / CHUNK][i % CHUNK];
}

static uint32_t hash_of(uint64_t key, uint32_t cap) {
    return (uint32_t)(((key >> 4) * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (cap - 1);
}

static void index_insert(uint32_t *index, uint32_t cap, uint64_t key, uint32_t stored) {
    uint32_t i = hash_of(key, cap);
    while (index[i] != 0)
        i = (i + 1) & (cap - 1);
    index[i] = stored;
}

static void index_grow(struct cop__reltab *tab, uint32_t cap) {
    struct cop__relmany *many = tab->many;
    cop__free(many->index);
    many->index = cop__calloc(cap, sizeof *many->index);
    for (uint32_t i = 0; i < many->used; i++)
        if (place(many, i)->key != 0)
            index_insert(many->index, cap, place(many, i)->key, i + 1);
    tab->cap = cap;
}

static uint32_t place_take(struct cop__relmany *many) {
    if (many->free != 0) {
        uint32_t i = many->free - 1;
        many->free = (uint32_t)place(many, i)->other;
        return i;
    }
    if (many->used == many->room) {
        uint32_t chunks = many->room / CHUNK;
        if ((chunks & (chunks - 1)) == 0)
            many->chunks =
                cop__realloc(many->chunks, (chunks == 0 ? 1 : 2 * chunks) * sizeof *many->chunks);
        many->chunks[chunks] = cop__malloc(CHUNK * sizeof **many->chunks);
        many->room += CHUNK;
    }
    return many->used++;
}

static struct cop__rel *many_add(struct cop__reltab *tab, uint64_t key) {
    if (tab->count >= tab->cap / 2)
        index_grow(tab, 2 * tab->cap);
    uint32_t i = place_take(tab->many);
    index_insert(tab->many->index, tab->cap, key, i + 1);
    return place(tab->many, i);
}

static struct cop__rel *many_find(const struct cop__reltab *tab, uint64_t key) {
    const struct cop__relmany *many = tab->many;
    for (uint32_t i = hash_of(key, tab->cap); many->index[i] != 0; i = (i + 1) & (tab->cap - 1)) {
        struct cop__rel *rel = place(many, many->index[i] - 1);
        if (rel->key == key)
            return rel;
    }
    return NULL;
}

static void many_remove(struct cop__reltab *tab, struct cop__rel *rel) {
    struct cop__relmany *many = tab->many;
    uint32_t mask = tab->cap - 1, hole = hash_of(rel->key, tab->cap);
    while (place(many, many->index[hole] - 1) != rel)
        hole = (hole + 1) & mask;
    rel->key = 0;
    rel->other = many->free;
    many->free = many->index[hole];
    for (uint32_t i = (hole + 1) & mask; many->index[i] != 0; i = (i + 1) & mask) {
        uint32_t want = hash_of(place(many, many->index[i] - 1)->key, tab->cap);
        if (((i - want) & mask) >= ((i - hole) & mask)) {
            many->index[hole] = many->index[i];
            hole = i;
        }
    }
    many->index[hole] = 0;
}

static void many_free(struct cop__relmany *many) {
    for (uint32_t i = 0; i < many->room / CHUNK; i++)
        cop__free(many->chunks[i]);
    cop__free(many->chunks);
    cop__free(many->index);
    cop__free(many);
}

/* ---- few or many --------------------------------------------------------------------------------- */

struct cop__rel *cop__rel_find(const struct cop__reltab *tab, uint64_t key) {
    if (tab->cap > PLAIN)
        return many_find(tab, key);
    for (uint32_t i = tab->count; i > 0; i--)
        if (tab->rels[i - 1].key == key)
            return &tab->rels[i - 1];
    return NULL;
}

static void give(const struct cop__reltab *tab) {
    if (tab->cap > PLAIN)
        many_free(tab->many);
    else if (tab->cap != 0)
        cop__small_free(tab->rels, tab->cap * sizeof *tab->rels);
}

static void to_many(struct cop__reltab *tab) {
    struct cop__reltab wider = { .many = cop__calloc(1, sizeof *wider.many) };
    index_grow(&wider, FIRST_INDEX);
    for (uint32_t i = 0; i < tab->count; i++, wider.count++)
        *many_add(&wider, tab->rels[i].key) = tab->rels[i];
    give(tab);
    *tab = wider;
}

/* The plain list is full. */
static void grow(struct cop__reltab *tab) {
    uint32_t cap = tab->cap == 0 ? 2 : tab->cap * 2;
    if (cap > PLAIN) {
        to_many(tab);
        return;
    }
    struct cop__rel *rels = cop__small_alloc(cap * sizeof *rels);
    if (tab->count != 0)
        memcpy(rels, tab->rels, tab->count * sizeof *rels);
    give(tab);
    tab->rels = rels;
    tab->cap = cap;
}

struct cop__rel *cop__rel_add(struct cop__reltab *tab, uint64_t key, enum cop__rel_kind kind) {
    COP_ASSERT(key != 0);
    if (tab->cap <= PLAIN && tab->count == tab->cap)
        grow(tab);
    struct cop__rel *rel = tab->cap <= PLAIN ? &tab->rels[tab->count] : many_add(tab, key);
    tab->count++;
    *rel = (struct cop__rel){ .key = key, .kind = (uint8_t)kind };
    return rel;
}

void cop__rel_remove(struct cop__reltab *tab, struct cop__rel *rel) {
    if (rel->tag != NULL)
        cop__fragment_free(rel->tag);
    tab->count--;
    if (tab->cap > PLAIN) {
        many_remove(tab, rel);
        return;
    }
    /* Keep the order of the rest: it shows in Process.info's lists. */
    struct cop__rel *end = tab->rels + tab->count;
    memmove(rel, rel + 1, (size_t)((char *)end - (char *)rel));
}

struct cop__rel *cop__rel_at(const struct cop__reltab *tab, uint32_t *cursor) {
    if (tab->cap <= PLAIN)
        return *cursor < tab->count ? &tab->rels[(*cursor)++] : NULL;
    while (*cursor < tab->many->used) {
        struct cop__rel *rel = place(tab->many, (*cursor)++);
        if (rel->key != 0)
            return rel;
    }
    return NULL;
}

size_t cop__rel_bytes(const struct cop__reltab *tab) {
    if (tab->cap <= PLAIN)
        return tab->cap * sizeof *tab->rels;
    return tab->cap * sizeof *tab->many->index + tab->many->room * sizeof *tab->rels;
}

void cop__rel_clear(struct cop__reltab *tab) {
    struct cop__rel *rel;
    if (tab->cap == 0)
        return;
    for (uint32_t i = 0; (rel = cop__rel_at(tab, &i)) != NULL;)
        if (rel->tag != NULL)
            cop__fragment_free(rel->tag);
    give(tab);
    *tab = (struct cop__reltab){ 0 };
}
