/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__PROC_ROW_INDEX_H
#define COP__PROC_ROW_INDEX_H

#include "proc/epoch.h"
#include "proc/proc.h"

/*
 * The rows of a table and the two ways to find them: see row_index.c.
 */
struct cop__link {
    struct cop__link *next; /* atomic: the next row of the same key (or owner) */
    struct cop__link *prev; /* NULL: it is the first, which stands in a cell */
    struct cop__link *last; /* of the first row only */
    uint64_t count;         /* likewise; atomic */
    uint64_t hash;
};

enum cop__by { BY_OWNER, BY_KEY };

/* What a lookup reads stands together: the link by key, the owner, the body's begin, the key. */
struct cop__row {
    struct cop__retired retired; /* first */
    bool in_table;               /* under the locks of its shards */
    cop_term object;             /* {key, {owner, value}}, which is the body */
    struct cop__offbox *offheap;
    struct cop__link by[2];
    uint64_t owner;  /* a pid's word; 0: nobody's */
    uint64_t body[]; /* header, key, entry; header, owner, value; what these point to */
};
enum { ROW_KEY = 1, ROW_ENTRY = 2, ROW_OWNER = 4, ROW_VALUE = 5, ROW_WORDS = 6 };

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
    uint64_t hash;
};

static inline struct cop__row *cop__row_of(struct cop__link *link, enum cop__by by) {
    return (struct cop__row *)((char *)link - offsetof(struct cop__row, by)
                               - by * sizeof(struct cop__link));
}
static inline cop_term cop__row_key(const struct cop__row *row) {
    return (cop_term){ row->body[ROW_KEY] };
}
static inline cop_term cop__row_value(const struct cop__row *row) {
    return (cop_term){ row->body[ROW_VALUE] };
}
static inline struct cop__link *cop__link_next(const struct cop__link *link) {
    return __atomic_load_n(&link->next, __ATOMIC_ACQUIRE);
}
static inline struct cop__shard *cop__shard_of(struct cop__index *index, uint64_t hash) {
    return &index->shards[hash % COP__SHARDS];
}

/* ===, as cop_same has it, with a short way for what keys usually are. */
bool cop__same_key(cop_term a, cop_term b);
struct cop__sought cop__sought_key(cop_term key);
struct cop__sought cop__sought_owner(uint64_t owner);
/* The first row, or NULL. Pinned, or under the shard's lock. */
struct cop__link *cop__index_find(struct cop__index *index, const struct cop__sought *sought);
/* Under the shard's lock; the worker is for what is retired, which comes out as *old (NULL: nothing)
   to be retired without the lock. */
void cop__index_add(struct cop__index *index, struct cop__link *link,
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
