/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process sets about itself: flags, dictionary, label, group leader.
 *
 * Flags by name take and give the values that Process.flag/2 has; the rare ones live in the process's
 * `extra`, which is made when one is set.
 *
 * Threads: the caller's process's runner.
 */
#include "proc/proc.h"

/* ---- flags ------------------------------------------------------------------------------------------- */

bool cop_process_trap_exit(cop_ctx *ctx, bool on) {
    cop__enter(ctx);
    /* A signal that came before the flag was turned takes its effect by the old value. */
    cop__take_in(ctx);
    cop__check_exit(ctx);
    bool old = ctx->trap_exit;
    ctx->trap_exit = on;
    cop__leave(ctx);
    return old;
}

cop_priority cop_process_set_priority(cop_ctx *ctx, cop_priority priority) {
    if ((unsigned)priority > COP_PRIORITY_MAX)
        cop__badarg(ctx);
    cop_priority old = (cop_priority)ctx->priority;
    ctx->priority = (uint8_t)priority;
    return old;
}

cop_term cop__max_heap_map(cop_ctx *ctx, const cop_ctx *p) {
    static const struct cop__extra none;
    const struct cop__extra *extra = p->extra != NULL ? p->extra : &none;
    cop_term map =
        cop_map(ctx, cop_a(size), (uint64_t)extra->max_heap_words, cop_a(kill),
                cop_bool(!extra->no_kill), cop_a(error_logger), cop_bool(!extra->no_log));
    if (extra->with_shared)
        map = cop_map_put(ctx, map, cop_a(include_shared_binaries).t, cop_a(true).t);
    return map;
}

/* Each sets one flag: false for a bad value. The old value is built before. */
struct flag {
    const char *name;
    cop_term (*get)(cop_ctx *ctx);
    bool (*set)(cop_ctx *ctx, cop_term value);
};

static cop_term get_trap_exit(cop_ctx *ctx) { return cop_bool(ctx->trap_exit).t; }
static bool set_trap_exit(cop_ctx *ctx, cop_term value) {
    bool on;
    if (!cop_get_bool(value, &on))
        return false;
    cop_process_trap_exit(ctx, on);
    return true;
}

static bool set_priority(cop_ctx *ctx, cop_term value) {
    cop_priority priority;
    if (!cop__priority_from(value, &priority))
        return false;
    ctx->priority = (uint8_t)priority;
    return true;
}

static bool get_words(cop_term value, uint32_t *out) {
    uint64_t n;
    if (!cop_get_u64(value, &n) || n > UINT32_MAX)
        return false;
    *out = (uint32_t)n;
    return true;
}

static bool set_fullsweep_after(cop_ctx *ctx, cop_term value) {
    return get_words(value, &ctx->heap.fullsweep_after);
}

static bool set_min_heap_size(cop_ctx *ctx, cop_term value) {
    uint32_t words;
    if (!get_words(value, &words)
        || (ctx->extra != NULL && ctx->extra->max_heap_words != 0
            && words > ctx->extra->max_heap_words))
        return false;
    ctx->heap.min_words = words > COP__MIN_HEAP ? (uint32_t)cop__heap_step(words) : 0;
    return true;
}

static bool set_min_bin_vheap_size(cop_ctx *ctx, cop_term value) {
    uint32_t words;
    if (!get_words(value, &words))
        return false;
    cop__extra_of(ctx)->min_bin_vheap_words = cop__heap_step(words);
    return true;
}

static cop_term get_max_heap_size(cop_ctx *ctx) { return cop__max_heap_map(ctx, ctx); }
static bool set_max_heap_size(cop_ctx *ctx, cop_term value) {
    cop_spawn_opts opts = { 0 };
    if (!cop__max_heap_from(value, &opts)
        || (opts.max_heap_words != 0 && opts.max_heap_words < cop__min_heap_words(ctx)))
        return false;
    struct cop__extra *extra = cop__extra_of(ctx);
    extra->no_kill = opts.max_heap_no_kill;
    extra->no_log = opts.max_heap_no_log;
    extra->with_shared = opts.max_heap_with_shared;
    cop__set_max_heap(ctx, opts.max_heap_words);
    return true;
}

static bool set_message_queue_data(cop_ctx *ctx, cop_term value) {
    bool off_heap;
    if (!cop__queue_data_from(value, &off_heap))
        return false;
    struct cop__extra *extra = cop__extra_of(ctx);
    extra->off_heap = off_heap;
    if (extra->max_heap_words != 0) /* what its senders look at */
        cop__set_max_heap(ctx, extra->max_heap_words);
    return true;
}

static bool set_error_handler(cop_ctx *ctx, cop_term value) {
    cop_atom module;
    if (!cop_match(value, &module))
        return false;
    cop__extra_of(ctx)->error_handler = module;
    return true;
}

static cop_term get_save_calls(cop_ctx *ctx) {
    return cop_of(ctx, ctx->extra != NULL ? ctx->extra->save_calls : 0);
}
static bool set_save_calls(cop_ctx *ctx, cop_term value) {
    uint32_t n;
    if (!get_words(value, &n) || n > 10000)
        return false;
    cop__extra_of(ctx)->save_calls = n;
    return true;
}

static cop_term get_sensitive(cop_ctx *ctx) {
    return cop_bool(ctx->extra != NULL && ctx->extra->sensitive).t;
}
static bool set_sensitive(cop_ctx *ctx, cop_term value) {
    return cop_get_bool(value, &cop__extra_of(ctx)->sensitive);
}

static bool set_async_dist(cop_ctx *ctx, cop_term value) {
    return cop_get_bool(value, &cop__extra_of(ctx)->async_dist);
}

/* Answered with the count of subscriptions before; there are as many as were made. */
static cop_term get_monitor_nodes(cop_ctx *ctx) {
    return cop_of(ctx, ctx->extra != NULL ? ctx->extra->node_monitors : 0);
}
static bool set_monitor_nodes(cop_ctx *ctx, cop_term value) {
    bool on;
    if (!cop_get_bool(value, &on))
        return false;
    struct cop__extra *extra = cop__extra_of(ctx);
    extra->node_monitors = on ? extra->node_monitors + 1 : 0;
    return true;
}

static const struct flag flags[] = {
    { "trap_exit", get_trap_exit, set_trap_exit },
    { "priority", NULL, set_priority },
    { "fullsweep_after", NULL, set_fullsweep_after },
    { "min_heap_size", NULL, set_min_heap_size },
    { "min_bin_vheap_size", NULL, set_min_bin_vheap_size },
    { "max_heap_size", get_max_heap_size, set_max_heap_size },
    { "message_queue_data", NULL, set_message_queue_data },
    { "error_handler", NULL, set_error_handler },
    { "save_calls", get_save_calls, set_save_calls },
    { "sensitive", get_sensitive, set_sensitive },
    { "async_dist", NULL, set_async_dist },
    { "monitor_nodes", get_monitor_nodes, set_monitor_nodes },
};

cop_term cop__process_flag(cop_ctx *ctx, cop_atom flag, cop_term value) {
    const char *name = cop_is_atom(flag.t) ? cop_atom_name(flag, NULL) : "";
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        if (strcmp(name, flags[i].name) != 0)
            continue;
        /* The item of info with the same name has the same value. */
        cop_term old =
            flags[i].get != NULL ? flags[i].get(ctx) : cop__info_answer(ctx, ctx, flag.t);
        if (!flags[i].set(ctx, value))
            break;
        return old;
    }
    cop__badarg(ctx);
}

int64_t cop_process_set_save_calls(cop_ctx *ctx, cop_pid pid, int64_t count) {
    int64_t old = 0;
    if (count < 0 || count > 10000 || !cop__is_local_pid(pid.t))
        cop__badarg(ctx);
    if (pid.t.w == ctx->pid.w) {
        cop_get_i64(get_save_calls(ctx), &old);
        cop__extra_of(ctx)->save_calls = (uint32_t)count;
        return old;
    }
    cop__enter(ctx);
    cop_term answer = cop__ask(ctx, SIG_INFO, pid.t, cop_tuple(ctx, cop_a(save_calls), count));
    cop__leave(ctx);
    if (cop_is_none(answer))
        cop__badarg(ctx);
    cop_get_i64(answer, &old);
    return old;
}

/* ---- dictionary -------------------------------------------------------------------------------------- */

/*
 * A dictionary is a map on the process's heap, or a saved one that it was given at its start: in its word the
 * address of that, with the low bits of an immediate term, which no collector follows. A given one lies
 * outside of the heap and may be that of others too. So what is read from it is copied, and the first change
 * makes the process a map of its own.
 */
void cop__dictionary_ready(cop_ctx *parent, cop_term map) {
    struct cop__extra *extra = cop__extra_of(parent);
    extra->made.function = NULL;
    if (extra->last_given == NULL || !cop_saved_is(extra->last_given, map)) {
        cop_saved_forget(extra->last_given);
        extra->last_given = cop_term_save(map);
    }
}

void cop__dictionary_make(cop_ctx *parent, const cop_spawn_opts *o) {
    struct cop__extra *extra = cop__extra_of(parent);
    uint64_t name = __atomic_load_n(&parent->slot->name, __ATOMIC_RELAXED);
    if (extra->made.function == o->make_dictionary && extra->made.key == o->dictionary_key.w
        && extra->made.name == name)
        return;
    cop__leave(parent);
    cop_term map = o->make_dictionary(parent, o->dictionary_key);
    cop__enter(parent);
    if (!cop_is_map(map))
        cop__badarg(parent);
    cop__dictionary_ready(parent, map);
    extra->made.function = o->make_dictionary;
    extra->made.key = o->dictionary_key.w;
    extra->made.name = name;
}

void cop__dictionary_give(const cop_ctx *parent, cop_ctx *child) {
    child->dictionary.w = (uintptr_t)cop__saved_keep(parent->extra->last_given) | 3;
}

void cop__dictionary_drop(cop_ctx *p) {
    cop_saved_forget(cop__given_dictionary(p));
    if (p->extra != NULL)
        cop_saved_forget(p->extra->last_given);
}

cop_term cop__dictionary_view(const cop_ctx *p) {
    const cop_saved *given = cop__given_dictionary(p);
    return given != NULL ? cop__saved_view(given) : p->dictionary;
}

bool cop__dictionary_get(cop_ctx *ctx, const cop_ctx *p, cop_term key, cop_term *value) {
    cop_term map = cop__dictionary_view(p);
    if (cop_is_none(map) || !cop_map_get(map, key, value))
        return false;
    if (cop__given_dictionary(p) != NULL)
        *value = cop__term_copy_to(ctx, *value);
    return true;
}

/* For who keeps what stands in it. */
static cop_term load(cop_ctx *ctx, const cop_ctx *p) {
    const cop_saved *given = cop__given_dictionary(p);
    return given != NULL ? cop_saved_load(ctx, given) : p->dictionary;
}

cop_term cop__dictionary_list(cop_ctx *ctx, const cop_ctx *p) {
    cop_term map = load(ctx, p);
    return cop_is_none(map) ? COP_NIL : cop_map_to_list(ctx, map);
}

/* It is about to change. */
static void make_own(cop_ctx *ctx) {
    if (ctx->extra != NULL)
        ctx->extra->made.function = NULL;
    cop_saved *given = cop__given_dictionary(ctx);
    if (given == NULL)
        return;
    ctx->dictionary = cop_saved_load(ctx, given);
    cop_saved_forget(given);
}

/* A stored :undefined reads as nothing, as in Elixir. */
cop_term cop_process_get(cop_ctx *ctx, cop_term key) {
    cop_term value;
    if (!cop__dictionary_get(ctx, ctx, key, &value) || value.w == cop_a(undefined).t.w)
        return COP_NONE;
    return value;
}

cop_term cop_process_put(cop_ctx *ctx, cop_term key, cop_term value) {
    make_own(ctx);
    cop_term old = cop_process_get(ctx, key);
    ctx->dictionary = cop_is_none(ctx->dictionary) ? cop_map(ctx, key, value)
                                                   : cop_map_put(ctx, ctx->dictionary, key, value);
    return old;
}

cop_term cop_process_delete(cop_ctx *ctx, cop_term key) {
    make_own(ctx);
    cop_term old = cop_process_get(ctx, key);
    if (!cop_is_none(ctx->dictionary)) {
        ctx->dictionary = cop_map_remove(ctx, ctx->dictionary, key);
        if (cop_map_size(ctx->dictionary) == 0)
            ctx->dictionary = COP_NONE;
    }
    return old;
}

cop_term cop_process_dictionary(cop_ctx *ctx) { return cop__dictionary_list(ctx, ctx); }

static cop_term keys(cop_ctx *ctx, const cop_term *with) {
    cop_term map = load(ctx, ctx), list = COP_NIL, key, value;
    if (cop_is_none(map))
        return list;
    for (cop_map_iter it = cop_map_first(map); cop_map_next(&it, &key, &value);)
        if (with == NULL || cop_same(value, *with))
            list = cop_cons(ctx, key, list);
    return list;
}

cop_term cop_process_get_keys(cop_ctx *ctx) { return keys(ctx, NULL); }
cop_term cop_process_get_keys_of(cop_ctx *ctx, cop_term value) { return keys(ctx, &value); }

/* ---- label, group leader ------------------------------------------------------------------------------- */

void cop__process_set_label(cop_ctx *ctx, cop_term label) {
    cop_process_put(ctx, cop_as("$process_label").t, label);
}

cop_term cop_process_label(cop_ctx *ctx, cop_pid pid) {
    if (!cop__is_local_pid(pid.t))
        cop__badarg(ctx);
    cop_term label = cop__process_info(ctx, pid, cop_a(label).t);
    return cop_is_none(label) || label.w == cop_a(undefined).t.w ? cop_a(nil).t : label;
}

cop_term cop__leader_of(const cop_ctx *p) {
    if (!cop_is_none(p->leader))
        return p->leader;
    uint64_t leader = __atomic_load_n(&cop__node.leader, __ATOMIC_ACQUIRE);
    return leader != 0 ? (cop_term){ leader } : p->pid;
}

void cop__node_set_leader(cop_pid leader) {
    __atomic_store_n(&cop__node.leader, leader.t.w, __ATOMIC_RELEASE);
}

cop_pid cop_process_group_leader(cop_ctx *ctx) { return (cop_pid){ cop__leader_of(ctx) }; }
cop_pid cop_process_parent(cop_ctx *ctx) { return (cop_pid){ ctx->parent }; }

void cop_process_set_group_leader(cop_ctx *ctx, cop_pid pid, cop_pid leader) {
    cop__enter(ctx);
    if (!cop_is_pid(leader.t) || !cop__is_local_pid(pid.t) || !cop__is_here(pid.t))
        cop__badarg(ctx);
    if (pid.t.w == ctx->pid.w)
        ctx->leader = leader.t;
    else
        cop__deliver(ctx->worker, cop__env_new(SIG_LEADER, pid.t, ctx->pid, leader.t));
    cop__leave(ctx);
}
