/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__PROC_ROW_INDEX_H
#define COP__PROC_ROW_INDEX_H

#include "proc/epoch.h"
#include "proc/proc.h"

/*
 * The rows of a table and the two ways to find them: see row_index.c.
 */
struct cop__link {
    struct cop__link *prev; /* of the first row: the last one; NULL: it is in no index */
    uint32_t count;         /* of the first row only; atomic */
    uint32_t hash;
    struct cop__link *next; /* atomic: the next row of the same key (or owner) */
};

enum cop__by { BY_OWNER, BY_KEY };

/*
 * A row has two cache lines, if its terms are small: the first is for writers, all that a lookup reads
 * is in the second. It is what it is until it is freed, but for the links.
 */
struct cop__row {
    struct cop__retired retired; /* first */
    struct cop__offbox *offheap;
    struct cop__link by[2];
    uint64_t owner; /* a pid's word; 0: nobody's */
    cop_term key, value;
    uint64_t boxes[]; /* of the key and the value */
} __attribute__((aligned(64)));
_Static_assert(offsetof(struct cop__row, by[BY_KEY].next) == 64, "a lookup reads one line");

struct cop__cells;
struct cop__shard {
    struct cop__lock lock;
    uint32_t used, live;      /* cells that were ever taken; that hold rows */
    struct cop__cells *cells; /* atomic; NULL: empty */
    uint64_t rows;            /* atomic */
} __attribute__((aligned(64)));

enum { COP__SHARDS = 64 };
struct cop__index {
    enum cop__by by;
    struct cop__shard shards[COP__SHARDS];
};

/* What is looked for: a key, or an owner's word. */
struct cop__sought {
    cop_term key;
    uint64_t owner;
    uint32_t hash;
};

static inline struct cop__row *cop__row_of(struct cop__link *link, enum cop__by by) {
    return (struct cop__row *)((char *)link - offsetof(struct cop__row, by)
                               - by * sizeof(struct cop__link));
}
static inline struct cop__link *cop__link_next(const struct cop__link *link) {
    return __atomic_load_n(&link->next, __ATOMIC_ACQUIRE);
}
static inline struct cop__shard *cop__shard_of(struct cop__index *index, uint32_t hash) {
    return &index->shards[hash % COP__SHARDS];
}

/* ===, as cop_same has it, with a short way for what keys usually are. */
bool cop__same_key(cop_term a, cop_term b);
struct cop__sought cop__sought_key(cop_term key);
struct cop__sought cop__sought_owner(uint64_t owner);
/* The first row, or NULL. Pinned, or under the shard's lock. */
struct cop__link *cop__index_find(struct cop__index *index, const struct cop__sought *sought);
struct cop__link *cop__index_find_key(struct cop__index *index, cop_term key);
/* Under the shard's lock. Adds behind the rows that are there, of which cop__index_find gave the first.
   An array that was replaced comes out as *old (else NULL), to be retired without the lock. */
void cop__index_add(struct cop__index *index, struct cop__link *first, struct cop__link *link,
                    const struct cop__sought *sought, struct cop__retired **old);
void cop__index_remove(struct cop__index *index, struct cop__link *link,
                       const struct cop__sought *sought);
/* `fresh` takes the place of `link`. */
void cop__index_replace(struct cop__index *index, struct cop__link *link, struct cop__link *fresh,
                        const struct cop__sought *sought);
/* Walks over all first rows of a shard: for (at = 0; (link = cop__cells_at(cells, &at)) != NULL;) */
struct cop__cells *cop__shard_cells(struct cop__shard *shard);
struct cop__link *cop__cells_at(struct cop__cells *cells, uint64_t *at);
/* Nobody uses it any more: its arrays, and with_rows its rows. */
void cop__index_free(struct cop__index *index, bool with_rows);

#endif
