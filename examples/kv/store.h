/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KV_STORE_H
#define KV_STORE_H

#include <coppice/term.h>
#include <stdint.h>

/*
 * A table of keys and values in C memory, outside every process's heap, made to outlive the process
 * that writes it. Whatever instruction that process ends at, the table can be taken over.
 *
 * One owner at a time: store_enter before, store_leave after every use. Between the two the table
 * may be changed; a store whose owner ended there is never used again but salvaged into a new one.
 */
struct store;

#define STORE_FOREVER INT64_C(0x7fffffffffffffff) /* expires never */

struct store *store_new(void);
/* Frees it with all it holds; one that was salvaged keeps its memory, since it may be torn. */
void store_free(struct store *store);

/* A key's hash; the same in every store and process of the program, another in every run. */
uint64_t store_hash(cop_bytes key);
/* Sets the seed of the hash. Once, before the first hash. */
void store_seed(uint64_t seed);

/* ---- ownership, for any thread --------------------------------------------------------------- */

/* False when the caller's claim is not the newest: somebody else has taken the store over. */
bool store_enter(struct store *store, uint64_t claim);
void store_leave(struct store *store, uint64_t claim);
/*
 * Takes it over from whoever had it.
 * Returns: the new claim; or 0 when the last owner is, or ended, in the middle of a use: then
 *          store_salvage
 */
uint64_t store_claim(struct store *store);

/* A walk over a store that may be torn, one bucket after the other. */
struct salvage {
    struct store *from;
    struct store *into;
    unsigned table;
    size_t bucket;
    size_t kept;
    size_t lost; /* entries, or rests of chains, that did not look like what they should be */
};
/*
 * Copies what is sound of the next buckets into `into`. `from` is only read and is marked, so that
 * store_free does not walk it. A caller that survives a fault in here skips that bucket with
 * store_salvage_skip and goes on.
 * Returns: false when all is done
 */
bool store_salvage(struct salvage *salvage);
void store_salvage_skip(struct salvage *salvage);
/* Looks whether every entry is where and what it should be. Reads everything. */
bool store_verify(const struct store *store);

/* ---- use, between enter and leave ------------------------------------------------------------ */

struct found {
    cop_bytes value;
    int64_t expires_ms; /* or STORE_FOREVER */
};

/* Keys are of at most 4 GiB - 1, values as well; `now_ms` makes what has expired invisible. */
bool store_get(struct store *store, cop_bytes key, uint64_t hash, int64_t now_ms,
               struct found *found);
void store_put(struct store *store, cop_bytes key, uint64_t hash, cop_bytes value,
               int64_t expires_ms);
/* False if the key was not there (or had expired by now_ms). */
bool store_delete(struct store *store, cop_bytes key, uint64_t hash, int64_t now_ms);
/* Sets when a key expires; false if it is not there. */
bool store_expire(struct store *store, cop_bytes key, uint64_t hash, int64_t now_ms,
                  int64_t expires_ms);
/* Appends to a value, from nothing if there is none. Returns the size now. */
size_t store_append(struct store *store, cop_bytes key, uint64_t hash, int64_t now_ms,
                    cop_bytes more);
void store_clear(struct store *store);

size_t store_count(const struct store *store);          /* expired ones that are still held too */
size_t store_count_expiring(const struct store *store); /* those with a time to live */
size_t store_bytes(const struct store *store);          /* keys, values and entries */

typedef void (*store_visit)(void *arg, cop_bytes key, const struct found *found);
/*
 * Visits the entries of some bucket; every key that is there from the first call to the last is
 * visited at least once, however the table grows or shrinks between calls.
 * Returns: the cursor of the next call, 0 at the end. The first cursor is 0.
 */
uint64_t store_scan(struct store *store, uint64_t cursor, store_visit visit, void *arg);
/* Looks through at most `buckets` buckets, frees what has expired; returns how many. Goes on where
   the last call ended. */
size_t store_sweep(struct store *store, int64_t now_ms, size_t buckets);

#endif
