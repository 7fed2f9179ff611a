/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PartitionSupervisor: a Supervisor whose children are the partitions, and a table that leads from its
 * name and a key to a partition's pid.
 *
 * Each partition's start function is PartitionSupervisor.start_child/6, which calls the real one and writes
 * the new pid into the table. Readers take no lock:
 *
 *     names -> { name, current, next } -> ...        current -> { count, max, pids[max] }
 *
 * A name's entry lives as long as the program (as its atom does). The arrays behind it are never
 * freed either, but used again for the next supervisor of that name with as many partitions or fewer, so who
 * reads one that was just replaced reads pids, perhaps dead ones, as one may from any table of names.
 *
 * Threads: one process writes an entry, the one that holds the name; any may read.
 */
#include <coppice/node.h>
#include <coppice/partition_supervisor.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "sup.h"

struct parts {
    struct parts *older; /* kept for readers, and for LeakSanitizer to see */
    size_t max;
    _Atomic int64_t count; /* -1: no supervisor */
    _Atomic int64_t limit; /* what it started with */
    _Atomic uint64_t pids[];
};

struct name {
    struct name *next;
    uint64_t atom;
    struct parts *_Atomic current;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* of writers */
static struct name *_Atomic names;

/* ---- the table ------------------------------------------------------------------------------------------- */

static struct name *entry_of(cop_atom name) {
    struct name *n = atomic_load_explicit(&names, memory_order_acquire);
    while (n != NULL && n->atom != name.t.w)
        n = n->next;
    return n;
}

static struct parts *parts_of(cop_atom name) {
    struct name *entry = entry_of(name);
    return entry == NULL ? NULL : atomic_load_explicit(&entry->current, memory_order_acquire);
}

/* Under the mutex; NULL without memory. */
static struct name *entry_for(cop_atom name) {
    struct name *entry = entry_of(name);
    if (entry != NULL)
        return entry;
    entry = calloc(1, sizeof *entry);
    if (entry == NULL)
        return NULL;
    entry->atom = name.t.w;
    entry->next = atomic_load_explicit(&names, memory_order_relaxed);
    atomic_store_explicit(&names, entry, memory_order_release);
    return entry;
}

/* Makes room for n partitions, none of which runs; under the mutex. */
static struct parts *parts_for(struct name *entry, size_t n) {
    struct parts *parts = atomic_load_explicit(&entry->current, memory_order_relaxed);
    if (parts == NULL || parts->max < n) {
        struct parts *wider = calloc(1, sizeof *wider + n * sizeof wider->pids[0]);
        if (wider == NULL)
            return NULL;
        wider->older = parts;
        wider->max = n;
        parts = wider;
    }
    for (size_t i = 0; i < n; i++)
        atomic_store_explicit(&parts->pids[i], 0, memory_order_relaxed);
    atomic_store_explicit(&parts->limit, (int64_t)n, memory_order_relaxed);
    atomic_store_explicit(&parts->count, (int64_t)n, memory_order_release);
    atomic_store_explicit(&entry->current, parts, memory_order_release);
    return parts;
}

static struct parts *table_open(cop_ctx *ctx, cop_atom name, size_t n) {
    pthread_mutex_lock(&mutex);
    struct name *entry = entry_for(name);
    struct parts *parts = entry == NULL ? NULL : parts_for(entry, n);
    pthread_mutex_unlock(&mutex);
    if (parts == NULL)
        cop_error(ctx, cop_a(system_limit));
    return parts;
}

static void table_close(void *object) {
    struct parts *parts = object;
    atomic_store_explicit(&parts->count, -1, memory_order_release);
}

/* ---- finding --------------------------------------------------------------------------------------------- */

static _Noreturn void no_such(cop_ctx *ctx, cop_atom name, cop_term args, const char *function) {
    cop_exit(ctx, cop_tuple(ctx, cop_a(noproc),
                            cop_tuple(ctx, cop_as("Elixir.PartitionSupervisor"),
                                      cop_atom_new(function), args)));
}

static struct parts *opened(cop_ctx *ctx, cop_atom name, int64_t *count) {
    struct parts *parts = parts_of(name);
    *count = parts == NULL ? -1 : atomic_load_explicit(&parts->count, memory_order_acquire);
    if (*count < 0)
        no_such(ctx, name, cop_list(ctx, name), "partitions");
    return parts;
}

/* |k| rem n, of integers of any size; phash2 of anything else. */
static uint64_t partition_of(cop_ctx *ctx, cop_term key, uint64_t n) {
    int64_t small;
    if (cop_get_i64(key, &small)) {
        uint64_t magnitude = small < 0 ? 0 - (uint64_t)small : (uint64_t)small;
        return magnitude % n;
    }
    if (!cop_is_integer(key))
        return cop_phash2_range(key, n);
    cop_bytes digits;
    uint64_t rest = 0;
    if (cop_get_bytes(cop_inspect(ctx, key, &(cop_inspect_opts){ .limit = -1 }), &digits))
        for (size_t i = 0; i < digits.size; i++)
            if (digits.data[i] != '-')
                rest = (rest * 10 + (uint64_t)(digits.data[i] - '0')) % n;
    return rest;
}

cop_term cop__partition_supervisor_whereis(cop_ctx *ctx, cop_atom name, cop_term key) {
    int64_t count;
    struct parts *parts = opened(ctx, name, &count);
    if (count == 0)
        sup_argument_error(ctx, "PartitionSupervisor ", name.t, " has zero partitions");
    uint64_t i = partition_of(ctx, key, (uint64_t)count);
    return (cop_term){ atomic_load_explicit(&parts->pids[i], memory_order_acquire) };
}

int64_t cop_partition_supervisor_partitions(cop_ctx *ctx, cop_atom name) {
    int64_t count;
    opened(ctx, name, &count);
    return count;
}

/* ---- starting -------------------------------------------------------------------------------------------- */

/* What init gets: {name, partitions, {:ok, {flags, specs}}}. */
static cop_term partition_init(cop_ctx *ctx, cop_term arg) {
    cop_atom name;
    uint64_t n;
    cop_term made;
    if (!cop_match_tuple(arg, &name, &n, &made))
        cop_error(ctx, cop_a(badarg));
    cop_own(ctx, table_open(ctx, name, n), table_close);
    return made;
}

static const cop_supervisor partition_module = { "PartitionSupervisor", partition_init };

/* start_child(m, f, args, name, partition, start), start a C function or nil */
static cop_term start_child(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    cop_atom m, f, name;
    uint64_t partition;
    cop_started (*start)(cop_ctx *, cop_term);
    if (!cop_get_atom(a[0], &m) || !cop_get_atom(a[1], &f) || !cop_get_atom(a[3], &name)
        || !cop_get_u64(a[4], &partition))
        cop_error(ctx, cop_a(badarg));
    cop_term result = sup_c_start_from(a[5], &start)
                          ? cop_started_to_term(ctx, start(ctx, cop_head(a[2])))
                          : cop_apply(ctx, m, f, a[2]);
    struct sup_started got = sup_started_of(result);
    struct parts *parts = parts_of(name);
    if (got.is == SUP_STARTED && parts != NULL && partition < parts->max)
        atomic_store_explicit(&parts->pids[partition], got.pid.t.w, memory_order_release);
    return result;
}

/* One partition's specification: the whole one with another id and another start. */
static cop_term partition_spec(cop_ctx *ctx, cop_term map, cop_atom name, int64_t i,
                               cop_term args) {
    cop_term mfa, m, f, any, modules, c_start = cop_a(nil).t;
    if (!cop_map_get(map, cop_a(start).t, &mfa) || !cop_match_tuple(mfa, &m, &f, &any))
        cop_error(ctx, cop_tuple(ctx, cop_a(badmatch), map));
    if (!cop_map_get(map, cop_a(modules).t, &modules))
        modules = cop_list(ctx, m);
    cop_map_get(map, cop_as("$start").t, &c_start);
    map = cop_map_remove(ctx, map, cop_as("$start").t);
    cop_term start = cop_tuple(ctx, cop_as("Elixir.PartitionSupervisor"), cop_a(start_child),
                               cop_list(ctx, m, f, args, name, i, c_start));
    return cop_map_merge(ctx, map,
                         cop_map(ctx, cop_a(id), i, cop_a(start), start, cop_a(modules), modules));
}

static cop_term args_of(cop_term map) {
    cop_term mfa, m, f, args;
    return cop_map_get(map, cop_a(start).t, &mfa) && cop_match_tuple(mfa, &m, &f, &args) ? args
                                                                                         : COP_NIL;
}

/* How the arguments of a partition are made: by a C function or by a fun. */
struct with {
    cop_term (*argument)(cop_ctx *ctx, cop_term arg, int64_t partition);
    bool whole; /* it takes the list, not its one element */
    cop_term fun;
};

static cop_term partition_args(cop_ctx *ctx, const struct with *with, cop_term args, int64_t i) {
    if (!cop_is_none(with->fun)) {
        args = cop_fun_call(ctx, with->fun, args, i);
        if (!cop_is_list(args)) {
            char shown[200];
            cop_inspect_to(shown, sizeof shown, args, NULL);
            cop_raise(ctx, "RuntimeError",
                      "the call to the function in :with_arguments must return a list, got: %s",
                      shown);
        }
        return args;
    }
    if (with->argument == NULL)
        return args;
    if (with->whole)
        return with->argument(ctx, args, i);
    return cop_list(ctx, with->argument(ctx, cop_head(args), i));
}

static cop_term partition_specs(cop_ctx *ctx, cop_term map, cop_atom name, int64_t n,
                                const struct with *with) {
    cop_term list = COP_NIL, args = args_of(map);
    for (int64_t i = n; i > 0; i--)
        list = cop_cons(
            ctx, partition_spec(ctx, map, name, i - 1, partition_args(ctx, with, args, i - 1)),
            list);
    return list;
}

/* options: a keyword list with the strategy and its limits. */
static cop_started start(cop_ctx *ctx, cop_atom name, cop_term map, int64_t n,
                         const struct with *with, cop_term options) {
    cop_term specs = partition_specs(ctx, map, name, n, with);
    cop_term arg = cop_tuple(ctx, name, n, cop_supervisor_init_terms(ctx, specs, options));
    return cop_supervisor_start_link_module(ctx, &partition_module, arg,
                                            &(cop_supervisor_opts){ .name = name });
}

static void need(cop_ctx *ctx, bool given, const char *what) {
    if (!given)
        cop_raise(ctx, "ArgumentError", "the :%s option must be given to PartitionSupervisor",
                  what);
}

static int64_t count_of(cop_ctx *ctx, cop_term partitions) {
    int64_t n;
    if (!cop_get_i64(partitions, &n) || n < 1 || n > 1000000)
        sup_argument_error(
            ctx, "the :partitions option must be a positive integer, got: ", partitions, "");
    return n;
}

static cop_term strategy_term(cop_strategy s) {
    return s == COP_ONE_FOR_ONE   ? cop_a(one_for_one).t
           : s == COP_ONE_FOR_ALL ? cop_a(one_for_all).t
                                  : cop_a(rest_for_one).t;
}

cop_started cop_partition_supervisor_start_link(cop_ctx *ctx,
                                                const cop_partition_supervisor_opts *opts) {
    static const cop_partition_supervisor_opts none;
    const cop_partition_supervisor_opts *o = opts != NULL ? opts : &none;
    need(ctx, !cop_is_none(o->name.t), "name");
    need(ctx, o->child_spec != NULL || !cop_is_none(o->child_term), "child_spec");
    cop_term map = o->child_spec != NULL ? cop_child_spec_to_term(ctx, o->child_spec)
                                         : cop_supervisor_child_spec(ctx, o->child_term, COP_NIL);
    int64_t n =
        count_of(ctx, cop_of(ctx, o->partitions == 0 ? cop_node_schedulers() : o->partitions));
    cop_term options =
        cop_list(ctx, cop_tuple(ctx, cop_a(strategy), strategy_term(o->strategy)),
                 cop_tuple(ctx, cop_a(max_restarts),
                           o->max_restarts == 0          ? 3
                           : o->max_restarts == COP_ZERO ? 0
                                                         : o->max_restarts),
                 cop_tuple(ctx, cop_a(max_seconds), o->max_seconds == 0 ? 5 : o->max_seconds),
                 cop_tuple(ctx, cop_a(timeline), o->timeline));
    bool one = o->child_spec != NULL && o->child_spec->start != NULL;
    struct with with = { .argument = o->with_argument, .whole = !one };
    return start(ctx, o->name, map, n, &with, options);
}

cop_started cop_partition_supervisor_start_link_terms(cop_ctx *ctx, cop_term options) {
    cop_start_opts opts = { 0 };
    sup_name_option(ctx, options, &opts);
    need(ctx, !cop_is_none(opts.name.t), "name");
    cop_atom name = opts.name;
    cop_term spec = sup_option(options, cop_a(child_spec), COP_NONE);
    need(ctx, !cop_is_none(spec), "child_spec");
    int64_t n =
        count_of(ctx, sup_option(options, cop_a(partitions), cop_of(ctx, cop_node_schedulers())));
    struct with with = { .fun = sup_option(options, cop_a(with_arguments), COP_NONE) };
    if (!cop_is_none(with.fun) && cop_fun_arity(with.fun) != 2)
        sup_argument_error(ctx,
                           "the :with_arguments option must be a function that receives two "
                           "arguments, the current call arguments and the partition, got: ",
                           with.fun, "");
    cop_term map = cop_supervisor_child_spec(ctx, spec, COP_NIL);
    cop_term auto_shutdown = sup_option(options, cop_a(auto_shutdown), cop_a(never).t);
    if (!cop_match(auto_shutdown, cop_a(never)))
        sup_argument_error(ctx, "the :auto_shutdown option must be :never, got: ", auto_shutdown,
                           "");
    if (cop_is_none(sup_option(options, cop_a(strategy), COP_NONE)))
        options = cop_cons(ctx, cop_tuple(ctx, cop_a(strategy), cop_a(one_for_one)), options);
    return start(ctx, name, map, n, &with, options);
}

cop_term cop_partition_supervisor_child_spec(cop_ctx *ctx, cop_term options) {
    cop_atom module = cop_as("Elixir.PartitionSupervisor");
    cop_term id = sup_option(options, cop_a(name), module.t), name, any;
    if (cop_match_tuple(id, cop_a(via), &any, &name))
        id = name;
    return cop_map(ctx, cop_a(id), id, cop_a(start),
                   cop_tuple(ctx, module, cop_a(start_link), cop_list(ctx, options)), cop_a(type),
                   cop_a(supervisor));
}

/* ---- resizing -------------------------------------------------------------------------------------------- */

static void start_more(cop_ctx *ctx, cop_atom name, int64_t from, int64_t to) {
    for (int64_t i = from; i < to; i++) {
        cop_term result = cop_supervisor_restart_child(ctx, name, cop_of(ctx, i)), reason;
        char shown[200];
        if (!cop_match_tuple(result, cop_a(error), &reason))
            continue;
        cop_inspect_to(shown, sizeof shown, reason, NULL);
        cop_raise(ctx, "RuntimeError",
                  "cannot restart partition %lld of PartitionSupervisor :%s due to reason %s",
                  (long long)i, cop_atom_name(name, NULL), shown);
    }
}

int64_t cop_partition_supervisor_resize(cop_ctx *ctx, cop_atom name, int64_t partitions) {
    int64_t count;
    if (cop_is_none(cop_process_whereis(ctx, name)))
        no_such(ctx, name, cop_list(ctx, name, partitions), "resize!");
    struct parts *parts = opened(ctx, name, &count);
    int64_t limit = atomic_load_explicit(&parts->limit, memory_order_relaxed);
    if (partitions < 0 || partitions > limit)
        cop_raise(ctx, "ArgumentError",
                  "the number of partitions to resize to must be a number between 0 and %lld, "
                  "got: %lld",
                  (long long)limit, (long long)partitions);
    if (partitions > count)
        start_more(ctx, name, count, partitions);
    atomic_store_explicit(&parts->count, partitions, memory_order_release);
    for (int64_t i = partitions; i < count; i++)
        cop_supervisor_terminate_child(ctx, name, cop_of(ctx, i));
    return count;
}

/* ---- as a module ----------------------------------------------------------------------------------------- */

static cop_term m_start_link(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    return cop_started_to_term(ctx, cop_partition_supervisor_start_link_terms(ctx, a[0]));
}

static cop_term m_child_spec(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    return cop_partition_supervisor_child_spec(ctx, a[0]);
}

static cop_term m_whereis_name(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    cop_atom name;
    cop_term key;
    if (!cop_match_tuple(a[0], &name, &key))
        cop_error(ctx, cop_a(function_clause));
    cop_term pid = cop_partition_supervisor_whereis(ctx, name, key);
    return cop_is_none(pid) ? cop_a(undefined).t : pid;
}

static cop_term m_send(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    return cop_send(ctx, m_whereis_name(ctx, env, 1, a), a[1]);
}

static cop_term m_register_name(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    cop_raise(ctx, "RuntimeError",
              "{:via, PartitionSupervisor, _} cannot be given on registration");
}

static cop_term m_unregister_name(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    cop_raise(ctx, "RuntimeError",
              "{:via, PartitionSupervisor, _} cannot be given on unregistration");
}

const cop_module sup_partition_module = {
    .name = "Elixir.PartitionSupervisor",
    .exports = (const cop_export[]){ { "start_link", 1, m_start_link },
                                     { "child_spec", 1, m_child_spec },
                                     { "start_child", 6, start_child },
                                     { "whereis_name", 1, m_whereis_name },
                                     { "send", 2, m_send },
                                     { "register_name", 2, m_register_name },
                                     { "unregister_name", 1, m_unregister_name },
                                     { 0 } },
};
