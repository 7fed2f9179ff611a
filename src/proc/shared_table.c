/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared tables: rows of key, owner and value in blocks of their own, in two indexes (row_index.c), by key
 * and by owner. This file owns the list of all tables, their names, and the calls.
 *
 *     id --> place --> table --> keys:   shards, cells, rows of one key
 *                          `---> owners: shards, cells, rows of one owner     (the same rows)
 *
 * Every call is pinned (epoch.h) from before it looks the table up until it is done with it, writers
 * too; so a table that is deleted meanwhile, and its rows, stay whole for it. A row's terms are
 * copied to the caller's heap while it is pinned. Nothing waits, calls foreign code or raises while
 * pinned: the limit of the heap is held off.
 *
 * Invariants
 *   1. Locks are taken in this order: the owner's shard, the key's shard; one of each at most.
 *   2. A row of somebody's is in both indexes or in none, seen under both locks. A row of nobody's is
 *      only in the index by key, and has no other row beside it.
 *   3. A table's name leads to its id as long as the process that made it lives.
 * Threads: any process's runner; a table's end also from where processes are freed.
 */
#include <coppice/table.h>

#include "proc/row_index.h"
#include "term/match_spec.h"

enum { MAX_TABLES = 1 << 16, MAX_ATOMS = 1 << 20 };

struct table {
    struct cop__retired retired; /* first */
    uint64_t id;                 /* serial << 16 | place */
    uint64_t maker;              /* a pid's word */
    uint64_t name;               /* an atom's word or 0 */
    bool duplicate;
    struct cop__index keys, owners;
};

static struct {
    struct table **places; /* each atomic */
    uint64_t *names;       /* each atomic: by atom index the table's id or 0 */
    uint32_t *free;        /* places that were used before */
    uint32_t free_count, top;
    uint64_t serial;
    struct cop__lock lock;
} all;

void cop__tables_init(void) {
    all.places = cop__vm_reserve(MAX_TABLES * sizeof *all.places);
    all.names = cop__vm_reserve(MAX_ATOMS * sizeof *all.names);
    all.free = cop__vm_reserve(MAX_TABLES * sizeof *all.free);
    if (all.places == NULL || all.names == NULL || all.free == NULL)
        cop__panic(__FILE__, __LINE__, "no memory for tables");
    all.top = all.free_count = 0;
    if (cop__node.sim) /* the ids of a run are the same whatever ran before it */
        all.serial = 0;
}

void cop__tables_free(void) {
    cop__epochs_free();
    cop__vm_release(all.places, MAX_TABLES * sizeof *all.places);
    cop__vm_release(all.names, MAX_ATOMS * sizeof *all.names);
    cop__vm_release(all.free, MAX_TABLES * sizeof *all.free);
}

/* ---- a call --------------------------------------------------------------------------------------- */

/* What a call holds while it works on a table. */
struct use {
    cop_ctx *ctx;
    struct cop__epoch_record *pin;
    struct table *table; /* NULL: gone */
};

static inline struct use begin(cop_ctx *ctx, cop_table id) {
    cop__enter(ctx);
    cop__heap_hold(&ctx->heap);
    struct use u = { .ctx = ctx, .pin = cop__epoch_pin(ctx->worker) };
    struct table *t = __atomic_load_n(&all.places[id.id % MAX_TABLES], __ATOMIC_SEQ_CST);
    u.table = t != NULL && t->id == id.id ? t : NULL;
    return u;
}

static void retire(struct use *u, struct cop__retired *object) {
    if (object != NULL)
        cop__epoch_retire(u->ctx->worker, object);
}

/* Ends a call that has looked at so many rows. */
static inline cop_table_status end(struct use *u, cop_table_status status, size_t rows) {
    cop_ctx *ctx = u->ctx;
    if (u->table == NULL)
        status = COP_TABLE_GONE;
    cop__epoch_unpin(u->pin);
    cop__heap_let(&ctx->heap);
    if (cop__spend(ctx, 1 + (rows > 80000 ? 10000 : (int)(rows / 8))))
        cop__requeue(ctx);
    cop__leave(ctx);
    return status;
}

/* ---- making and ending ---------------------------------------------------------------------------- */

static void table_free(struct cop__retired *retired) {
    struct table *t = (struct table *)retired;
    cop__index_free(&t->owners, false);
    cop__index_free(&t->keys, true);
    cop__free(t);
}

static bool maker_lives(uint64_t id) {
    struct table *t = all.places[id % MAX_TABLES];
    return t != NULL && t->id == id && cop__is_here((cop_term){ t->maker });
}

/* Under the lock. */
static void forget_name(const struct table *t) {
    if (t->name != 0 && all.names[t->name >> 4] == t->id)
        __atomic_store_n(&all.names[t->name >> 4], 0, __ATOMIC_SEQ_CST);
}

/* Gives the table a place and its name; false if that is not possible. */
static bool make_known(struct table *t, cop_atom *why) {
    cop__lock(&all.lock);
    bool taken = t->name != 0 && maker_lives(all.names[t->name >> 4]);
    bool full = all.free_count == 0 && all.top == MAX_TABLES;
    *why = taken ? cop_a(badarg) : cop_a(system_limit);
    if (!taken && !full) {
        uint32_t place = all.free_count > 0 ? all.free[--all.free_count] : all.top++;
        t->id = (++all.serial & ((UINT64_C(1) << 43) - 1)) << 16 | place;
        __atomic_store_n(&all.places[place], t, __ATOMIC_SEQ_CST);
        if (t->name != 0)
            __atomic_store_n(&all.names[t->name >> 4], t->id, __ATOMIC_SEQ_CST);
    }
    cop__unlock(&all.lock);
    return !taken && !full;
}

/* Takes the table out; NULL if somebody else has. */
static struct table *take_out(uint64_t id) {
    cop__lock(&all.lock);
    struct table *t = all.places[id % MAX_TABLES];
    if (t != NULL && t->id == id) {
        __atomic_store_n(&all.places[id % MAX_TABLES], NULL, __ATOMIC_SEQ_CST);
        all.free[all.free_count++] = (uint32_t)(id % MAX_TABLES);
        forget_name(t);
    } else {
        t = NULL;
    }
    cop__unlock(&all.lock);
    return t;
}

static bool delete (cop_ctx *ctx, uint64_t id) {
    struct table *t = take_out(id);
    if (t == NULL)
        return false;
    cop__epoch_retire(ctx->worker, &t->retired);
    cop__epoch_flush(ctx->worker);
    return true;
}

/* The maker ends. What it owns is its table's id. */
static void maker_ends(void *owned) {
    cop_ctx *ctx = cop__worker_self()->current;
    cop__enter(ctx);
    delete (ctx, *(uint64_t *)owned);
    cop__free(owned);
    cop__leave(ctx);
}

cop_table cop_table_new(cop_ctx *ctx, const cop_table_opts *opts) {
    static const cop_table_opts defaults;
    if (opts == NULL)
        opts = &defaults;
    cop__enter(ctx);
    struct table *t = cop__aligned_alloc(64, sizeof *t);
    memset(t, 0, sizeof *t);
    t->retired.release = table_free;
    t->maker = ctx->pid.w;
    t->name = opts->name.t.w;
    t->duplicate = opts->duplicate;
    t->owners.by = BY_OWNER;
    t->keys.by = BY_KEY;
    cop_atom why;
    if (!make_known(t, &why)) {
        cop__free(t);
        cop__error(ctx, why.t);
    }
    uint64_t *owned = cop__malloc(sizeof *owned);
    cop_table id = { *owned = t->id };
    cop__leave(ctx);
    cop_own(ctx, owned, maker_ends);
    return id;
}

bool cop_table_delete(cop_ctx *ctx, cop_table table) {
    cop__enter(ctx);
    bool done = delete (ctx, table.id);
    cop__leave(ctx);
    return done;
}

cop_table cop_table_whereis(cop_ctx *ctx, cop_atom name) {
    return (cop_table){ __atomic_load_n(&all.names[name.t.w >> 4], __ATOMIC_SEQ_CST) };
}

/* ---- rows -------------------------------------------------------------------------------------------- */

static void row_free(struct cop__retired *retired) {
    struct cop__row *row = (struct cop__row *)retired;
    for (struct cop__offbox *box = row->offheap, *next; box != NULL; box = next) {
        next = box->next;
        cop__offbox_release(box);
    }
    cop__free(row);
}

static cop_term copy_into(cop_term t, uint64_t **hp, struct cop__offbox **offheap) {
    return cop_is_immediate(t) ? t : cop__term_copy(t, hp, offheap);
}

static struct cop__row *row_new(cop_term owner, cop_term key, cop_term value) {
    size_t words = cop__term_words(key) + cop__term_words(value);
    struct cop__row *row =
        cop__aligned_alloc(64, offsetof(struct cop__row, boxes) + words * sizeof(uint64_t));
    uint64_t *hp = row->boxes;
    row->retired.release = row_free;
    row->offheap = NULL;
    row->owner = owner.w;
    row->key = copy_into(key, &hp, &row->offheap);
    row->value = copy_into(value, &hp, &row->offheap);
    row->by[BY_KEY].prev = NULL;
    return row;
}

/* What a match specification is shown: {key, {owner, value}}, in these words. */
enum { OBJECT_WORDS = 6 };
static cop_term row_object(const struct cop__row *row, uint64_t words[OBJECT_WORDS]) {
    words[0] = words[3] = cop__header(BOX_TUPLE, 2);
    words[1] = row->key.w;
    words[2] = cop__box_term(words + 3).w;
    words[4] = row->owner != 0 ? row->owner : cop_a(nil).t.w;
    words[5] = row->value.w;
    return cop__box_term(words);
}

static bool is_in_table(const struct cop__row *row) { return row->by[BY_KEY].prev != NULL; }

static bool is_live(const struct cop__row *row) {
    return row->owner == 0 || cop__is_here((cop_term){ row->owner });
}

static struct cop__row *first_of(struct table *t, const struct cop__sought *key) {
    struct cop__link *first = cop__index_find(&t->keys, key);
    return first == NULL ? NULL : cop__row_of(first, BY_KEY);
}

/* ---- writing ------------------------------------------------------------------------------------------ */

/* Both locks of a row, in their order; owner's of nobody is none. */
static void lock_both(struct table *t, const struct cop__sought *owner,
                      const struct cop__sought *key) {
    if (owner->owner != 0)
        cop__lock(&cop__shard_of(&t->owners, owner->hash)->lock);
    cop__lock(&cop__shard_of(&t->keys, key->hash)->lock);
}

static void unlock_both(struct table *t, const struct cop__sought *owner,
                        const struct cop__sought *key) {
    cop__unlock(&cop__shard_of(&t->keys, key->hash)->lock);
    if (owner->owner != 0)
        cop__unlock(&cop__shard_of(&t->owners, owner->hash)->lock);
}

/* Under both locks; there: the first row of the key. */
static void add_row(struct table *t, struct cop__row *row, struct cop__row *there,
                    const struct cop__sought *owner, const struct cop__sought *key,
                    struct cop__retired *old[2]) {
    struct cop__link *first = there == NULL ? NULL : &there->by[BY_KEY];
    cop__index_add(&t->keys, first, &row->by[BY_KEY], key, &old[0]);
    if (row->owner != 0)
        cop__index_add(&t->owners, cop__index_find(&t->owners, owner), &row->by[BY_OWNER], owner,
                       &old[1]);
}

cop_table_status cop_table_insert(cop_ctx *ctx, cop_table table, cop_pid owner, cop_term key,
                                  cop_term value, cop_pid *holder) {
    if (!cop__is_local_pid(owner.t))
        cop__badarg(ctx);
    struct use u = begin(ctx, table);
    struct table *t = u.table;
    if (t == NULL)
        return end(&u, COP_TABLE_GONE, 0);
    struct cop__row *row = row_new(owner.t, key, value);
    struct cop__sought by_key = cop__sought_key(row->key);
    struct cop__sought by_owner = cop__sought_owner(owner.t.w);
    struct cop__retired *old[2] = { NULL, NULL };
    lock_both(t, &by_owner, &by_key);
    struct cop__row *there = first_of(t, &by_key);
    uint64_t holder_word = there != NULL ? there->owner : 0;
    bool added = there == NULL || t->duplicate;
    if (added)
        add_row(t, row, there, &by_owner, &by_key, old);
    unlock_both(t, &by_owner, &by_key);
    retire(&u, old[0]);
    retire(&u, old[1]);
    if (added)
        return end(&u, COP_TABLE_OK, 0);
    row_free(&row->retired);
    if (holder != NULL)
        holder->t.w = holder_word;
    return end(&u, COP_TABLE_TAKEN, 0);
}

/* Puts `row` in the place of the key's row if that has the same owner. Under both locks. */
static bool swap_row(struct table *t, struct cop__row *there, struct cop__row *row,
                     const struct cop__sought *owner, const struct cop__sought *key) {
    if (there == NULL || there->owner != row->owner)
        return false;
    cop__index_replace(&t->keys, &there->by[BY_KEY], &row->by[BY_KEY], key);
    if (row->owner != 0)
        cop__index_replace(&t->owners, &there->by[BY_OWNER], &row->by[BY_OWNER], owner);
    return true;
}

/* cop_table_replace and, with owner COP_NONE, cop_table_put. */
static cop_table_status put(cop_ctx *ctx, cop_table table, cop_term owner, cop_term key,
                            cop_term value) {
    struct use u = begin(ctx, table);
    struct table *t = u.table;
    if (t == NULL || t->duplicate)
        return end(&u, COP_TABLE_MISSING, 0);
    struct cop__row *row = row_new(owner, key, value);
    struct cop__sought by_key = cop__sought_key(row->key);
    struct cop__sought by_owner = cop__sought_owner(owner.w);
    struct cop__retired *old[2] = { NULL, NULL };
    lock_both(t, &by_owner, &by_key);
    struct cop__row *there = first_of(t, &by_key);
    bool swapped = swap_row(t, there, row, &by_owner, &by_key);
    bool added = !swapped && there == NULL && owner.w == 0;
    if (added)
        add_row(t, row, NULL, &by_owner, &by_key, old);
    unlock_both(t, &by_owner, &by_key);
    retire(&u, old[0]);
    if (swapped)
        retire(&u, &there->retired);
    else if (!added)
        row_free(&row->retired);
    return end(&u,
               swapped || added ? COP_TABLE_OK
               : owner.w == 0   ? COP_TABLE_TAKEN
                                : COP_TABLE_MISSING,
               0);
}

cop_table_status cop_table_replace(cop_ctx *ctx, cop_table table, cop_pid owner, cop_term key,
                                   cop_term value) {
    if (!cop__is_local_pid(owner.t))
        cop__badarg(ctx);
    return put(ctx, table, owner.t, key, value);
}

cop_table_status cop_table_put(cop_ctx *ctx, cop_table table, cop_term key, cop_term value) {
    return put(ctx, table, COP_NONE, key, value);
}

/* ---- reading ------------------------------------------------------------------------------------------- */

cop_table_status cop_table_get(cop_ctx *ctx, cop_table table, cop_term key, cop_pid *owner,
                               cop_term *value) {
    struct use u = begin(ctx, table);
    struct cop__link *first = u.table == NULL ? NULL : cop__index_find_key(&u.table->keys, key);
    if (first == NULL)
        return end(&u, COP_TABLE_MISSING, 0);
    const struct cop__row *row = cop__row_of(first, BY_KEY);
    if (owner != NULL)
        owner->t.w = row->owner;
    if (value != NULL)
        *value = cop__term_copy_to(ctx, row->value);
    return end(&u, COP_TABLE_OK, 0);
}

/* A walk over the rows of a query: next() until NULL. */
struct walk {
    const cop_table_query *query;
    const struct cop__match_spec *spec;
    struct table *table;
    struct cop__sought key, owner;
    enum cop__by by;        /* whose `next` is followed */
    struct cop__link *link; /* the next one */
    struct cop__cells *cells;
    uint64_t at;
    int shard; /* while all are walked; else COP__SHARDS */
    size_t seen;
};

static struct walk walk_over(struct table *t, const cop_table_query *query,
                             const struct cop__match_spec *spec) {
    struct walk w = { .query = query, .spec = spec, .table = t, .shard = COP__SHARDS };
    bool by_owner = !cop_is_none(query->owner.t), by_key = !cop_is_none(query->key);
    if (by_key)
        w.key = cop__sought_key(query->key);
    if (by_owner)
        w.owner = cop__sought_owner(query->owner.t.w);
    if (t == NULL)
        return w;
    w.by = by_owner ? BY_OWNER : BY_KEY;
    if (by_owner)
        w.link = cop__index_find(&t->owners, &w.owner);
    else if (by_key)
        w.link = cop__index_find(&t->keys, &w.key);
    else
        w.shard = -1;
    return w;
}

static struct cop__row *step(struct walk *w) {
    while (w->link == NULL) {
        if (w->shard < COP__SHARDS && w->shard >= 0
            && (w->link = cop__cells_at(w->cells, &w->at)) != NULL)
            break;
        if (w->shard >= COP__SHARDS - 1)
            return NULL;
        w->cells = cop__shard_cells(&w->table->keys.shards[++w->shard]);
        w->at = 0;
    }
    struct cop__row *row = cop__row_of(w->link, w->by);
    w->link = cop__link_next(w->link);
    w->seen++;
    return row;
}

static bool has_key(const struct walk *w, const struct cop__row *row) {
    return cop_is_none(w->query->key)
           || (row->by[BY_KEY].hash == w->key.hash && cop__same_key(row->key, w->query->key));
}

static struct cop__row *next(struct walk *w) {
    struct cop__row *row;
    while ((row = step(w)) != NULL)
        if ((w->query->with_dead || is_live(row)) && (w->by == BY_KEY || has_key(w, row)))
            return row;
    return NULL;
}

/* A list that grows at its end; it is all young and not seen by others yet. */
struct out {
    cop_term list;
    uint64_t *tail; /* of the last cons, NULL when empty */
};

/* Room for a box of `words` in front of which stands its cons; returns where the box goes. */
static uint64_t *out_add(cop_ctx *ctx, struct out *out, size_t words) {
    uint64_t *cons = cop__heap_alloc(&ctx->heap, 2 + words);
    cons[1] = COP__TAG_NIL;
    if (out->tail == NULL)
        out->list = cop__cons_term(cons);
    else
        *out->tail = cop__cons_term(cons).w;
    out->tail = cons + 1;
    return cons;
}

static void out_term(cop_ctx *ctx, struct out *out, cop_term t) { out_add(ctx, out, 0)[0] = t.w; }

static inline void out_entry(cop_ctx *ctx, struct out *out, const struct cop__row *row) {
    uint64_t *cons = out_add(ctx, out, 3);
    cons[0] = cop__box_term(cons + 2).w;
    cons[2] = cop__header(BOX_TUPLE, 2);
    cons[3] = row->owner != 0 ? row->owner : cop_a(nil).t.w;
    cons[4] = cop__term_copy_to(ctx, row->value).w;
}

static void out_row(cop_ctx *ctx, struct out *out, cop_table_what what,
                    const struct cop__row *row) {
    if (what == COP_TABLE_ENTRIES)
        out_entry(ctx, out, row);
    else if (what == COP_TABLE_KEYS)
        out_term(ctx, out, cop__term_copy_to(ctx, row->key));
    else
        out_term(ctx, out, cop__term_copy_to(ctx, row->value));
}

static const struct cop__match_spec *spec_of(cop_ctx *ctx, const cop_table_query *query) {
    if (cop_is_none(query->spec))
        return NULL;
    const struct cop__match_spec *spec = cop__match_spec_of(query->spec);
    if (spec == NULL)
        cop__badarg(ctx);
    return spec;
}

cop_table_status cop_table_lookup(cop_ctx *ctx, cop_table table, cop_term key, cop_term *list) {
    struct use u = begin(ctx, table);
    struct out out = { .list = COP_NIL };
    size_t seen = 0;
    struct cop__link *link = u.table == NULL ? NULL : cop__index_find_key(&u.table->keys, key);
    for (; link != NULL; link = cop__link_next(link), seen++) {
        const struct cop__row *row = cop__row_of(link, BY_KEY);
        if (is_live(row))
            out_entry(ctx, &out, row);
    }
    *list = out.list;
    return end(&u, COP_TABLE_OK, seen);
}

cop_table_status cop_table_read(cop_ctx *ctx, cop_table table, const cop_table_query *query,
                                cop_term *list) {
    const struct cop__match_spec *spec = spec_of(ctx, query);
    struct use u = begin(ctx, table);
    struct walk w = walk_over(u.table, query, spec);
    struct out out = { .list = COP_NIL };
    struct cop__row *row;
    uint64_t words[OBJECT_WORDS];
    cop_term result;
    while ((row = next(&w)) != NULL) {
        if (spec == NULL) {
            out_row(ctx, &out, query->what, row);
            continue;
        }
        struct cop__heap_mark mark = cop__heap_mark(&ctx->heap);
        if (cop__match_spec_match(ctx, spec, row_object(row, words), true, &result))
            out_term(ctx, &out, result);
        else
            cop__heap_release(&ctx->heap, &mark);
    }
    *list = out.list;
    return end(&u, COP_TABLE_OK, w.seen);
}

/* Is the specification's result for this row true? Leaves nothing on the heap. */
static bool is_true_for(cop_ctx *ctx, const struct cop__match_spec *spec,
                        const struct cop__row *row) {
    struct cop__heap_mark mark = cop__heap_mark(&ctx->heap);
    uint64_t words[OBJECT_WORDS];
    cop_term result;
    bool yes = cop__match_spec_match(ctx, spec, row_object(row, words), true, &result)
               && result.w == cop_a(true).t.w;
    cop__heap_release(&ctx->heap, &mark);
    return yes;
}

/* All rows of a key, of an owner, or of the table, dead owners' too: nobody needs to walk. */
static size_t count_at_once(struct table *t, const struct walk *w) {
    if (w->shard == COP__SHARDS)
        return w->link == NULL ? 0 : __atomic_load_n(&w->link->count, __ATOMIC_RELAXED);
    size_t n = 0;
    for (int i = 0; i < COP__SHARDS; i++)
        n += __atomic_load_n(&t->keys.shards[i].rows, __ATOMIC_RELAXED);
    return n;
}

cop_table_status cop_table_count(cop_ctx *ctx, cop_table table, const cop_table_query *query,
                                 size_t *count) {
    const struct cop__match_spec *spec = spec_of(ctx, query);
    struct use u = begin(ctx, table);
    struct walk w = walk_over(u.table, query, spec);
    bool both = !cop_is_none(query->key) && !cop_is_none(query->owner.t);
    *count = 0;
    if (u.table == NULL)
        return end(&u, COP_TABLE_GONE, 0);
    if (spec == NULL && query->with_dead && !both) {
        *count = count_at_once(u.table, &w);
        return end(&u, COP_TABLE_OK, 0);
    }
    for (struct cop__row *row; (row = next(&w)) != NULL;)
        *count += spec == NULL || is_true_for(ctx, spec, row);
    return end(&u, COP_TABLE_OK, w.seen);
}

/* ---- removing ------------------------------------------------------------------------------------------ */

/* False if somebody else was faster. */
static bool remove_row(struct use *u, struct cop__row *row) {
    struct table *t = u->table;
    struct cop__sought key = { .key = row->key, .hash = row->by[BY_KEY].hash };
    struct cop__sought owner = cop__sought_owner(row->owner);
    lock_both(t, &owner, &key);
    bool there = is_in_table(row);
    if (there) {
        cop__index_remove(&t->keys, &row->by[BY_KEY], &key);
        if (row->owner != 0)
            cop__index_remove(&t->owners, &row->by[BY_OWNER], &owner);
    }
    unlock_both(t, &owner, &key);
    if (there)
        retire(u, &row->retired);
    return there;
}

cop_table_status cop_table_remove(cop_ctx *ctx, cop_table table, const cop_table_query *query,
                                  size_t *removed) {
    const struct cop__match_spec *spec = spec_of(ctx, query);
    cop_table_query all_rows = *query;
    all_rows.with_dead = true;
    struct use u = begin(ctx, table);
    struct walk w = walk_over(u.table, &all_rows, spec);
    size_t count = 0;
    for (struct cop__row *row; (row = next(&w)) != NULL;)
        if (row->owner == query->owner.t.w && (spec == NULL || is_true_for(ctx, spec, row)))
            count += remove_row(&u, row);
    if (removed != NULL)
        *removed = count;
    return end(&u, COP_TABLE_OK, w.seen);
}
