/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of a process's relations: its links, the monitors it holds, those who watch it, and its
 * aliases, all by one key (the other's word, or the reference's).
 *
 * Up to 8 entries it is a plain list, searched from its end (a call adds one and removes it soon).
 * Beyond, it is a hash with linear probing; removing shifts the run back, so there are no tombstones.
 *
 * Invariant: pointers into the table are good until the next add or remove.
 * Threads: the owner's runner only.
 */
#include "proc/proc.h"

enum { PLAIN = 8, MANY = 8192, DIGIT = 8, DIGITS = 256 };

static uint32_t hash_of(uint64_t key, uint32_t cap) {
    return (uint32_t)(((key >> 4) * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (cap - 1);
}

struct cop__rel *cop__rel_find(const struct cop__reltab *tab, uint64_t key) {
    if (tab->cap <= PLAIN) {
        for (uint32_t i = tab->count; i > 0; i--)
            if (tab->rels[i - 1].key == key)
                return &tab->rels[i - 1];
        return NULL;
    }
    for (uint32_t i = hash_of(key, tab->cap);; i = (i + 1) & (tab->cap - 1)) {
        if (tab->rels[i].key == key)
            return &tab->rels[i];
        if (tab->rels[i].key == 0)
            return NULL;
    }
}

static uint32_t digit_of(const struct cop__link_end *link, int shift) {
    cop_term id = { link->key };
    uint64_t slot = cop__is_local_pid(id) ? cop__pid_slot(id) : cop__ref_slot(id); /* or a port's */
    return (uint32_t)(slot >> shift) & (DIGITS - 1);
}

static struct cop__rel *hash_insert(struct cop__rel *rels, uint32_t cap, uint64_t key) {
    uint32_t i = hash_of(key, cap);
    while (rels[i].key != 0)
        i = (i + 1) & (cap - 1);
    return &rels[i];
}

static void give(const struct cop__reltab *tab) {
    if (tab->cap == 0)
        return;
    if (tab->cap <= PLAIN)
        cop__small_free(tab->rels, tab->cap * sizeof *tab->rels);
    else
        cop__free(tab->rels);
}

static void grow(struct cop__reltab *tab) {
    uint32_t cap = tab->cap == 0 ? 2 : tab->cap * 2;
    if (cap <= PLAIN) {
        struct cop__rel *rels = cop__small_alloc(cap * sizeof *rels);
        if (tab->count != 0)
            memcpy(rels, tab->rels, tab->count * sizeof *rels);
        give(tab);
        tab->rels = rels;
        tab->cap = cap;
        return;
    }
    if (tab->cap == PLAIN)
        cap = 4 * PLAIN;
    struct cop__rel *rels = cop__calloc(cap, sizeof *rels);
    for (uint32_t i = 0; i < tab->cap; i++)
        if (tab->rels[i].key != 0)
            *hash_insert(rels, cap, tab->rels[i].key) = tab->rels[i];
    give(tab);
    tab->rels = rels;
    tab->cap = cap;
}

struct cop__rel *cop__rel_add(struct cop__reltab *tab, uint64_t key, enum cop__rel_kind kind) {
    COP_ASSERT(key != 0);
    bool full = tab->cap <= PLAIN ? tab->count == tab->cap : tab->count >= tab->cap / 4 * 3;
    if (full)
        grow(tab);
    struct cop__rel *rel =
        tab->cap <= PLAIN ? &tab->rels[tab->count] : hash_insert(tab->rels, tab->cap, key);
    tab->count++;
    *rel = (struct cop__rel){ .key = key, .kind = (uint8_t)kind };
    return rel;
}

void cop__rel_remove(struct cop__reltab *tab, struct cop__rel *rel) {
    if (rel->tag != NULL)
        cop__fragment_free(rel->tag);
    tab->count--;
    if (tab->cap <= PLAIN) {
        /* Keep the order of the rest: it shows in Process.info's lists. */
        struct cop__rel *end = tab->rels + tab->count;
        memmove(rel, rel + 1, (size_t)((char *)end - (char *)rel));
        return;
    }
    uint32_t mask = tab->cap - 1, hole = (uint32_t)(rel - tab->rels);
    tab->rels[hole].key = 0;
    for (uint32_t i = (hole + 1) & mask; tab->rels[i].key != 0; i = (i + 1) & mask) {
        uint32_t want = hash_of(tab->rels[i].key, tab->cap);
        if (((i - want) & mask) >= ((i - hole) & mask)) {
            tab->rels[hole] = tab->rels[i];
            tab->rels[i].key = 0;
            hole = i;
        }
    }
}

struct cop__rel *cop__rel_at(const struct cop__reltab *tab, uint32_t *cursor) {
    if (tab->cap <= PLAIN)
        return *cursor < tab->count ? &tab->rels[(*cursor)++] : NULL;
    while (*cursor < tab->cap) {
        struct cop__rel *rel = &tab->rels[(*cursor)++];
        if (rel->key != 0)
            return rel;
    }
    return NULL;
}

/* One of three passes of a radix sort by the slot's 24 bits. */
static void sort_pass(const struct cop__link_end *from, struct cop__link_end *to, size_t count,
                      int shift) {
    uint32_t places[DIGITS] = { 0 }, sum = 0;
    for (size_t i = 0; i < count; i++)
        places[digit_of(&from[i], shift)]++;
    for (size_t d = 0; d < DIGITS; d++) {
        uint32_t here = places[d];
        places[d] = sum;
        sum += here;
    }
    for (size_t i = 0; i < count; i++)
        to[places[digit_of(&from[i], shift)]++] = from[i];
}

/* A process tells all of its links: in the order of a hash it would look at slots and processes, and these
   would run, from all over the memory; by slots they are, more or less, in the order of their making. */
struct cop__link_end *cop__rel_many_links(const struct cop__reltab *tab) {
    if (tab->cap < MANY)
        return NULL;
    struct cop__link_end *links = cop__malloc((tab->count + 1) * sizeof *links);
    struct cop__link_end *other = cop__malloc((tab->count + 1) * sizeof *other);
    struct cop__rel *rel;
    size_t count = 0;
    for (uint32_t i = 0; (rel = cop__rel_at(tab, &i)) != NULL;)
        if (rel->kind == REL_LINK)
            links[count++] = (struct cop__link_end){ rel->key, rel->mine, rel->theirs };
    sort_pass(links, other, count, 0);
    sort_pass(other, links, count, DIGIT);
    sort_pass(links, other, count, 2 * DIGIT);
    cop__free(links);
    other[count] = (struct cop__link_end){ 0 };
    return other;
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
