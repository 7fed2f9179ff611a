/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registry: what its users call. All of it runs in the calling process, on shared tables; the partition
 * processes (registry_partition.c) clean up after the dead and hand out locks.
 *
 *     name --> own table: keys, partitions, partition i = {pid, table}, metadata
 *                                                             |
 *                                    rows {key, {pid, value}} of its entries
 *
 * Upstream has a table by key and another by pid for every partition. Here one table has both ways to
 * its rows, so an entry is whole or absent, and all entries of a unique registry stand in the table
 * of partition 0: the table itself is made of parts that do not hinder each other. What a partition
 * still decides is who is linked to whom, and, in a duplicate registry, in which table an entry
 * stands: by its process, or (COP_REGISTRY_DUPLICATE_KEY) by its key.
 *
 * Invariants
 *   1. Who has an entry is linked to the partition that removes it after his end: the link is made
 *      before the entry, and taken back after the last one.
 *   2. An entry of a dead process hinders nobody: it is not shown, and its unique key is free.
 * A partition that has just died has a table that is gone: reading finds nothing there, registering
 * raises, until its successor has put its own into the registry's table.
 */
#include <coppice/registry.h>

#include "registry_parts.h"

/* ---- finding the tables ------------------------------------------------------------------------ */

_Noreturn void registry_unknown(cop_ctx *ctx, cop_atom name, const char *more) {
    char text[300];
    cop_inspect_to(text, sizeof text, name.t, NULL);
    cop_raise(ctx, "ArgumentError", "unknown registry: %s%s", text, more);
}

/*
 * What was found last in rows of information, of some registries: reading it takes no table. A place is good
 * for a row of a table when these are its own, and nobody's row of information was written since it
 * was read (`version`). It is written under a sequence number that is odd meanwhile; who reads looks at
 * it before and after.
 */
enum { KNOWN = 256 };
static uint64_t version __attribute__((aligned(64))) = 1; /* atomic */
struct facts {
    uint64_t a,
        b; /* of the registry: its shape and its first table; of a partition: pid and table */
};
static struct known {
    uint64_t sequence, version, own, row, a, b; /* each atomic */
} __attribute__((aligned(64))) known[KNOWN];

static inline struct known *known_place(cop_table own, int64_t row) {
    return &known[((own.id * UINT64_C(0x9e3779b97f4a7c15) >> 32) + (uint64_t)row) % KNOWN];
}

#define GET(field) __atomic_load_n(&(field), __ATOMIC_ACQUIRE)
#define SET(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELEASE)

static inline bool is_known(cop_table own, int64_t row, struct facts *facts) {
    const struct known *k = known_place(own, row);
    uint64_t sequence = GET(k->sequence);
    bool good =
        GET(k->own) == own.id && GET(k->row) == (uint64_t)row && GET(k->version) == GET(version);
    facts->a = GET(k->a);
    facts->b = GET(k->b);
    return good && own.id != 0 && sequence % 2 == 0 && GET(k->sequence) == sequence;
}

static void make_known(cop_table own, int64_t row, struct facts facts, uint64_t at_version) {
    struct known *k = known_place(own, row);
    uint64_t sequence = GET(k->sequence);
    if (sequence % 2 != 0
        || !__atomic_compare_exchange_n(&k->sequence, &sequence, sequence + 1, false,
                                        __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
        return; /* somebody else writes there */
    SET(k->own, own.id);
    SET(k->row, (uint64_t)row);
    SET(k->version, at_version);
    SET(k->a, facts.a);
    SET(k->b, facts.b);
    SET(k->sequence, sequence + 2);
}

void registry_changed(void) { __atomic_fetch_add(&version, 1, __ATOMIC_SEQ_CST); }

static struct facts read_info(cop_ctx *ctx, cop_atom name, cop_table own) {
    uint64_t at_version = GET(version);
    cop_term info = COP_NONE;
    int64_t keys, partitions;
    cop_table first;
    bool has_listeners;
    cop_table_get(ctx, own, COP_INT(REGISTRY_INFO), NULL, &info);
    if (cop_is_none(info) || !cop_match_tuple(info, &keys, &partitions, &first.id, &has_listeners))
        registry_unknown(ctx, name, "");
    uint64_t shape = (uint64_t)partitions << 16 | (uint64_t)has_listeners << 8 | (uint64_t)keys;
    make_known(own, REGISTRY_INFO, (struct facts){ shape, first.id }, at_version);
    return (struct facts){ shape, first.id };
}

static inline struct registry find(cop_ctx *ctx, cop_atom name) {
    cop_table own = cop_table_whereis(ctx, name);
    struct facts facts;
    if (__builtin_expect(!is_known(own, REGISTRY_INFO, &facts), 0))
        facts = read_info(ctx, name, own);
    return (struct registry){ .name = name,
                              .own = own,
                              .keys = (int)(facts.a & 255),
                              .has_listeners = (facts.a >> 8 & 255) != 0,
                              .partitions = (int64_t)(facts.a >> 16),
                              .first = { facts.b } };
}

struct registry registry_of(cop_ctx *ctx, cop_atom name) {
    return find(ctx, name);
}

int64_t registry_index(const struct registry *r, cop_term t) {
    return r->partitions == 1 ? 0 : (int64_t)cop_phash2_range(t, (uint64_t)r->partitions);
}

cop_table registry_partition(cop_ctx *ctx, const struct registry *r, int64_t index, cop_pid *pid) {
    uint64_t at_version = GET(version);
    struct facts facts;
    cop_term row = COP_NONE;
    cop_pid server;
    cop_table table;
    if (!is_known(r->own, index, &facts)) {
        cop_table_get(ctx, r->own, COP_INT(index), NULL, &row);
        if (cop_is_none(row) || !cop_match_tuple(row, &server, &table.id))
            registry_unknown(ctx, r->name, "");
        facts = (struct facts){ server.t.w, table.id };
        make_known(r->own, index, facts, at_version);
    }
    if (pid != NULL)
        pid->t.w = facts.a;
    return (cop_table){ facts.b };
}

static bool is_unique(const struct registry *r) { return r->keys == COP_REGISTRY_UNIQUE; }

/* The partition that the caller is linked to for an entry under this key. */
static int64_t owner_index(cop_ctx *ctx, const struct registry *r, cop_term key) {
    return registry_index(r, r->keys == COP_REGISTRY_DUPLICATE_KEY ? key : cop_self(ctx).t);
}

/* The table in which this process has its entries under this key, and the owner of them. */
static cop_table table_for(cop_ctx *ctx, const struct registry *r, cop_term key, cop_pid pid) {
    if (is_unique(r) || r->partitions == 1)
        return r->first;
    bool by_key = r->keys == COP_REGISTRY_DUPLICATE_KEY;
    return registry_partition(ctx, r, registry_index(r, by_key ? key : pid.t), NULL);
}

/* For reading under a key: are all its entries in one table? If so, which. */
static bool one_table(cop_ctx *ctx, const struct registry *r, cop_term key, cop_table *table) {
    *table = r->first;
    if (is_unique(r) || r->partitions == 1)
        return true;
    if (r->keys != COP_REGISTRY_DUPLICATE_KEY)
        return false;
    *table = registry_partition(ctx, r, registry_index(r, key), NULL);
    return true;
}

/* ---- reading many tables ------------------------------------------------------------------------ */

static cop_term read_table(cop_ctx *ctx, cop_table table, const cop_table_query *query) {
    cop_term list = COP_NIL;
    cop_table_read(ctx, table, query, &list); /* a table that is gone has no entries */
    return list;
}

static size_t count_table(cop_ctx *ctx, cop_table table, const cop_table_query *query) {
    size_t n = 0;
    cop_table_count(ctx, table, query, &n);
    return n;
}

/* In how many tables entries are: those of the partitions from 0 on. */
static int64_t tables_of(const struct registry *r) { return is_unique(r) ? 1 : r->partitions; }

static cop_table table_at(cop_ctx *ctx, const struct registry *r, int64_t i) {
    return tables_of(r) == 1 ? r->first : registry_partition(ctx, r, i, NULL);
}

/* Partition by partition, 0 first. */
static cop_term read_all(cop_ctx *ctx, const struct registry *r, const cop_table_query *query) {
    cop_term list = COP_NIL;
    for (int64_t i = tables_of(r); i > 0; i--) {
        cop_term part = read_table(ctx, table_at(ctx, r, i - 1), query);
        list = cop_is_nil(list) ? part : cop_list_append(ctx, part, list);
    }
    return list;
}

static size_t count_all(cop_ctx *ctx, const struct registry *r, const cop_table_query *query) {
    size_t n = 0;
    for (int64_t i = 0; i < tables_of(r); i++)
        n += count_table(ctx, table_at(ctx, r, i), query);
    return n;
}

static cop_term read_key(cop_ctx *ctx, const struct registry *r, const cop_table_query *query) {
    cop_table table;
    return one_table(ctx, r, query->key, &table) ? read_table(ctx, table, query)
                                                 : read_all(ctx, r, query);
}

static int64_t count_key(cop_ctx *ctx, const struct registry *r, const cop_table_query *query) {
    cop_table table;
    return (int64_t)(one_table(ctx, r, query->key, &table) ? count_table(ctx, table, query)
                                                           : count_all(ctx, r, query));
}

/* ---- specifications ------------------------------------------------------------------------------ */

static cop_term compiled(cop_ctx *ctx, cop_term spec) {
    const char *why = NULL;
    cop_term c = cop_match_spec_compile(ctx, spec, &why);
    if (cop_is_none(c))
        cop_raise(
            ctx, "ArgumentError",
            "errors were found at the given arguments:\n\n  * 2nd argument: not a valid match "
            "specification (%s)\n",
            why);
    return c;
}

/* For the value alone; result: what the body of the one clause says. */
static cop_term value_spec(cop_ctx *ctx, cop_term pattern, cop_term guards, cop_term body) {
    cop_term head = cop_tuple(ctx, cop_a(_), cop_tuple(ctx, cop_a(_), pattern));
    return compiled(ctx, cop_list(ctx, cop_tuple(ctx, head, guards, cop_list(ctx, body))));
}

/* [{{key, pid, value}, guards, body}] as a specification for rows. */
static cop_term row_spec(cop_ctx *ctx, cop_term spec, const char *function) {
    cop_term rest = spec, clause, head, guards, body, key, pid, value, clauses = COP_NIL;
    while (cop_get_cons(rest, &clause, &rest)) {
        if (!cop_match_tuple(clause, &head, &guards, &body)
            || !cop_match_tuple(head, &key, &pid, &value))
            goto invalid;
        head = cop_tuple(ctx, key, cop_tuple(ctx, pid, value));
        clauses = cop_cons(ctx, cop_tuple(ctx, head, guards, body), clauses);
    }
    if (cop_is_nil(rest))
        return compiled(ctx, cop_list_reverse(ctx, clauses));
invalid:;
    char text[400];
    cop_inspect_to(text, sizeof text, spec, NULL);
    cop_raise(ctx, "ArgumentError", "invalid match specification in Registry.%s/2: %s", function,
              text);
}

/* ---- registering ---------------------------------------------------------------------------------- */

static void tell_listeners(cop_ctx *ctx, const struct registry *r, cop_term message) {
    cop_term listeners = COP_NIL, listener;
    cop_table_get(ctx, r->own, COP_INT(REGISTRY_LISTENERS), NULL, &listeners);
    while (cop_get_cons(listeners, &listener, &listeners))
        cop_send(ctx, listener, message);
}

static void tell_unregistered(cop_ctx *ctx, const struct registry *r, cop_term key) {
    if (r->has_listeners)
        tell_listeners(ctx, r, cop_tuple(ctx, cop_a(unregister), r->name, key, cop_self(ctx)));
}

static void unlink_if_without_entries(cop_ctx *ctx, cop_table table, cop_pid owner) {
    cop_table_query mine = { .owner = cop_self(ctx), .with_dead = true };
    if (count_table(ctx, table, &mine) == 0)
        cop_process_unlink(ctx, owner);
}

cop_registered cop__registry_register(cop_ctx *ctx, cop_atom registry, cop_term key,
                                      cop_term value) {
    struct registry r = registry_of(ctx, registry);
    cop_pid owner, holder;
    cop_table table = registry_partition(ctx, &r, owner_index(ctx, &r, key), &owner);
    if (is_unique(&r))
        table = r.first;
    cop_process_link(ctx, owner);
    for (;;) {
        cop_table_status status = cop_table_insert(ctx, table, cop_self(ctx), key, value, &holder);
        if (status == COP_TABLE_OK)
            break;
        if (status == COP_TABLE_GONE)
            registry_unknown(ctx, registry, "");
        if (cop_process_is_alive(ctx, holder)) {
            unlink_if_without_entries(ctx, table, owner);
            return (cop_registered){ false, holder };
        }
        cop_table_remove(ctx, table, &(cop_table_query){ .key = key, .owner = holder }, NULL);
    }
    if (r.has_listeners)
        tell_listeners(ctx, &r,
                       cop_tuple(ctx, cop_a(register), registry, key, cop_self(ctx), value));
    return (cop_registered){ true, owner };
}

/* Removes what of the caller's is under the key (and matches); true if that was all of it. */
static bool remove_own(cop_ctx *ctx, const struct registry *r, cop_term key, cop_term spec) {
    cop_table_query mine = { .key = key, .owner = cop_self(ctx), .with_dead = true };
    cop_pid owner;
    cop_table table = table_for(ctx, r, key, cop_self(ctx));
    size_t had = cop_is_none(spec) ? 0 : count_table(ctx, table, &mine), removed = 0;
    mine.spec = spec;
    cop_table_remove(ctx, table, &mine, &removed);
    if (!cop_is_none(spec) && removed < had)
        return false;
    registry_partition(ctx, r, owner_index(ctx, r, key), &owner);
    unlink_if_without_entries(ctx, table, owner);
    return true;
}

void cop__registry_unregister(cop_ctx *ctx, cop_atom registry, cop_term key) {
    struct registry r = registry_of(ctx, registry);
    remove_own(ctx, &r, key, COP_NONE);
    tell_unregistered(ctx, &r, key);
}

void cop__registry_unregister_match(cop_ctx *ctx, cop_atom registry, cop_term key, cop_term pattern,
                                    cop_term guards) {
    struct registry r = registry_of(ctx, registry);
    if (remove_own(ctx, &r, key, value_spec(ctx, pattern, guards, cop_a(true).t)))
        tell_unregistered(ctx, &r, key);
}

bool cop__registry_update_value(cop_ctx *ctx, cop_atom registry, cop_term key, cop_term fun,
                                cop_term *new_value, cop_term *old_value) {
    struct registry r = registry_of(ctx, registry);
    cop_pid holder;
    cop_term old, fresh;
    if (!is_unique(&r))
        cop_raise(ctx, "ArgumentError",
                  "Registry.update_value/3 is not supported for {:duplicate, :%s} registries",
                  r.keys == COP_REGISTRY_DUPLICATE_KEY ? "key" : "pid");
    if (cop_table_get(ctx, r.first, key, &holder, &old) != COP_TABLE_OK
        || !cop_match(holder.t, cop_self(ctx)))
        return false;
    fresh = cop_fun_call(ctx, fun, old);
    if (new_value != NULL)
        *new_value = fresh;
    if (old_value != NULL)
        *old_value = old;
    return cop_table_replace(ctx, r.first, cop_self(ctx), key, fresh) == COP_TABLE_OK;
}

/* ---- looking up -------------------------------------------------------------------------------------- */

cop_term cop__registry_lookup(cop_ctx *ctx, cop_atom registry, cop_term key) {
    struct registry r = find(ctx, registry);
    cop_term list = COP_NIL;
    cop_table table;
    if (!one_table(ctx, &r, key, &table))
        return read_all(ctx, &r, &(cop_table_query){ .key = key });
    cop_table_lookup(ctx, table, key, &list); /* a table that is gone has no entries */
    return list;
}

cop_term cop__registry_match(cop_ctx *ctx, cop_atom registry, cop_term key, cop_term pattern,
                             cop_term guards) {
    struct registry r = registry_of(ctx, registry);
    cop_term entry = cop_tuple(ctx, cop_a(element), 2, cop_as("$_"));
    cop_table_query q = { .key = key, .spec = value_spec(ctx, pattern, guards, entry) };
    return read_key(ctx, &r, &q);
}

int64_t cop__registry_count_match(cop_ctx *ctx, cop_atom registry, cop_term key, cop_term pattern,
                                  cop_term guards) {
    struct registry r = registry_of(ctx, registry);
    cop_table_query q = { .key = key, .spec = value_spec(ctx, pattern, guards, cop_a(true).t) };
    return count_key(ctx, &r, &q);
}

cop_term cop__registry_values(cop_ctx *ctx, cop_atom registry, cop_term key, cop_pid pid) {
    struct registry r = registry_of(ctx, registry);
    cop_table_query q = { .key = key, .owner = pid, .what = COP_TABLE_VALUES, .with_dead = true };
    return read_table(ctx, table_for(ctx, &r, key, pid), &q);
}

cop_term cop_registry_keys_of(cop_ctx *ctx, cop_atom registry, cop_pid pid) {
    struct registry r = registry_of(ctx, registry);
    cop_table_query q = { .owner = pid, .what = COP_TABLE_KEYS, .with_dead = true };
    return r.keys == COP_REGISTRY_DUPLICATE_KEY
               ? read_all(ctx, &r, &q)
               : read_table(ctx, table_for(ctx, &r, COP_NIL, pid), &q);
}

int64_t cop_registry_count(cop_ctx *ctx, cop_atom registry) {
    struct registry r = registry_of(ctx, registry);
    return (int64_t)count_all(ctx, &r, &(cop_table_query){ .with_dead = true });
}

cop_term cop_registry_select(cop_ctx *ctx, cop_atom registry, cop_term spec) {
    struct registry r = registry_of(ctx, registry);
    return read_all(ctx, &r, &(cop_table_query){ .spec = row_spec(ctx, spec, "select") });
}

int64_t cop_registry_count_select(cop_ctx *ctx, cop_atom registry, cop_term spec) {
    struct registry r = registry_of(ctx, registry);
    cop_table_query q = { .spec = row_spec(ctx, spec, "count_select") };
    return (int64_t)count_all(ctx, &r, &q);
}

/* ---- metadata ------------------------------------------------------------------------------------------ */

static void check_meta_key(cop_ctx *ctx, cop_term key, const char *function) {
    if (!cop_is_atom(key) && !cop_is_tuple(key))
        cop_raise(ctx, "FunctionClauseError", "no function clause matching in Registry.%s",
                  function);
}

bool cop_registry_meta(cop_ctx *ctx, cop_atom registry, cop_term key, cop_term *value) {
    check_meta_key(ctx, key, "meta/2");
    cop_table own = cop_table_whereis(ctx, registry);
    cop_table_status status = cop_table_get(ctx, own, key, NULL, value);
    if (status == COP_TABLE_GONE)
        registry_unknown(ctx, registry,
                         ". Either the registry name is invalid or the registry is not running, "
                         "possibly because its application isn't started");
    return status == COP_TABLE_OK;
}

void cop_registry_put_meta(cop_ctx *ctx, cop_atom registry, cop_term key, cop_term value) {
    check_meta_key(ctx, key, "put_meta/3");
    if (cop_table_put(ctx, cop_table_whereis(ctx, registry), key, value) == COP_TABLE_GONE)
        registry_unknown(ctx, registry, "");
}

void cop_registry_delete_meta(cop_ctx *ctx, cop_atom registry, cop_term key) {
    check_meta_key(ctx, key, "delete_meta/2");
    cop_table own = cop_table_whereis(ctx, registry);
    if (cop_table_remove(ctx, own, &(cop_table_query){ .key = key }, NULL) == COP_TABLE_GONE)
        registry_unknown(ctx, registry, "");
}

/* ---- locks ------------------------------------------------------------------------------------------------ */

cop_term cop_registry_lock(cop_ctx *ctx, cop_atom registry, cop_term key, cop_term fun) {
    struct registry r = registry_of(ctx, registry);
    cop_pid server;
    registry_partition(ctx, &r, registry_index(&r, key), &server);
    cop_term request = cop_tuple(ctx, cop_a(lock), key);
    volatile cop_term result = COP_NONE;
    cop_term ref = COP_NONE;
    COP_TRY(ctx) { result.w = cop_gen_server_call(ctx, server, request, 5000).w; }
    COP_CATCH(caught) { /* so that nobody is given a lock that he does not wait for any more */
        cop_send(ctx, server, cop_tuple(ctx, cop_a(unlock), key, cop_self(ctx)));
        cop_rethrow(ctx, caught);
    }
    ref.w = result.w;
    COP_TRY(ctx) { result.w = cop_fun_call(ctx, fun).w; }
    COP_CATCH(caught) {
        cop_send(ctx, server, cop_tuple(ctx, cop_a(unlock), key, ref));
        cop_rethrow(ctx, caught);
    }
    cop_send(ctx, server, cop_tuple(ctx, cop_a(unlock), key, ref));
    return (cop_term){ result.w };
}

void cop_registry_sync(cop_ctx *ctx, cop_atom registry) {
    struct registry r = registry_of(ctx, registry);
    for (int64_t i = 0; i < r.partitions; i++) {
        cop_pid server;
        registry_partition(ctx, &r, i, &server);
        cop_gen_server_call(ctx, server, cop_a(sync), COP_INFINITY);
    }
}

/* ---- names ------------------------------------------------------------------------------------------------- */

cop_term cop__registry_via(cop_ctx *ctx, cop_atom registry, cop_term key) {
    return cop_tuple(ctx, cop_a(via), cop_as("Elixir.Registry"), cop_tuple(ctx, registry, key));
}

cop_term cop__registry_via_value(cop_ctx *ctx, cop_atom registry, cop_term key, cop_term value) {
    return cop_tuple(ctx, cop_a(via), cop_as("Elixir.Registry"),
                     cop_tuple(ctx, registry, key, value));
}

static void read_name(cop_ctx *ctx, cop_term name, const char *function, cop_atom *registry,
                      cop_term *key, cop_term *value) {
    *value = cop_a(nil).t;
    if (!cop_match_tuple(name, registry, key) && !cop_match_tuple(name, registry, key, value))
        cop_raise(ctx, "FunctionClauseError", "no function clause matching in Registry.%s",
                  function);
}

cop_term cop__registry_whereis(cop_ctx *ctx, cop_atom registry, cop_term key) {
    struct registry r = find(ctx, registry);
    cop_pid holder;
    if (!is_unique(&r))
        cop_raise(ctx, "ArgumentError", ":via is not supported for duplicate registries");
    if (cop_table_get(ctx, r.first, key, &holder, NULL) != COP_TABLE_OK
        || !cop_process_is_alive(ctx, holder))
        return COP_NONE;
    return holder.t;
}

cop_term cop_registry_whereis_name(cop_ctx *ctx, cop_term name) {
    cop_atom registry;
    cop_term key, value;
    read_name(ctx, name, "whereis_name/1", &registry, &key, &value);
    return cop__registry_whereis(ctx, registry, key);
}

bool cop_registry_register_name(cop_ctx *ctx, cop_term name, cop_pid pid) {
    cop_atom registry;
    cop_term key, value;
    read_name(ctx, name, "register_name/2", &registry, &key, &value);
    if (!cop_match(pid.t, cop_self(ctx)))
        cop_raise(ctx, "FunctionClauseError",
                  "no function clause matching in Registry.register_name/2");
    return cop__registry_register(ctx, registry, key, value).ok;
}

void cop_registry_unregister_name(cop_ctx *ctx, cop_term name) {
    cop_atom registry;
    cop_term key, value;
    read_name(ctx, name, "unregister_name/1", &registry, &key, &value);
    cop__registry_unregister(ctx, registry, key);
}

void cop_registry_send(cop_ctx *ctx, cop_term name, cop_term message) {
    cop_term pid = cop_registry_whereis_name(ctx, name);
    if (cop_is_none(pid))
        cop_error(ctx, cop_a(badarg));
    cop_send(ctx, pid, message);
}
