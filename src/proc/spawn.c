/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making processes: by a C function, by the name of a function, by a fun; options as a struct and as a
 * term; requests that are answered by a message.
 *
 * A link or monitor of the options stands on both sides before the child runs, so no end of it can be
 * missed. Nothing is made when an option is wrong.
 *
 * Threads: the caller's process's runner.
 */
#include <coppice/module.h>

#include "proc/proc.h"

/* OTP's steps: like Fibonacci's numbers up to about a million words, then a fifth more each time. */
size_t cop__heap_step(size_t words) {
    size_t before = 12, step = 38;
    if (words <= before)
        return before;
    for (int i = 1; step < words && step < (size_t)1 << 60; i++) {
        size_t next = i < 22 ? before + step + 1 : step + step / 5;
        before = step;
        step = next;
    }
    return step;
}

static bool needs_extra(const cop_spawn_opts *o) {
    return o->max_heap_words || o->min_bin_vheap_words || o->stack_size || o->message_queue_off_heap
           || o->async_dist || o->max_queue_len || o->max_queue_bytes;
}

static bool gives_dictionary(const cop_spawn_opts *o) {
    return o->make_dictionary != NULL
           || (!cop_is_none(o->dictionary) && cop_map_size(o->dictionary) != 0);
}

/* Before anything is made: what makes a dictionary may raise. */
static void ready_dictionary(cop_ctx *ctx, const cop_spawn_opts *o) {
    if (o->make_dictionary != NULL)
        cop__dictionary_make(ctx, o);
    else if (gives_dictionary(o))
        cop__dictionary_ready(ctx, o->dictionary);
}

static void apply_opts(cop_ctx *parent, cop_ctx *child, const cop_spawn_opts *o) {
    child->priority = (uint8_t)o->priority;
    if (o->fullsweep_after != 0)
        child->heap.fullsweep_after =
            o->fullsweep_after == COP_ZERO ? 0 : (uint32_t)o->fullsweep_after;
    child->name_hint = o->name_hint;
    child->keeps_stack = o->keep_stack;
    if (gives_dictionary(o))
        cop__dictionary_give(parent, child);
    if (o->min_heap_words > COP__MIN_HEAP)
        child->heap.min_words = (uint32_t)cop__heap_step(o->min_heap_words);
    if (!needs_extra(o))
        return;
    struct cop__extra *extra = cop__extra_of(child);
    extra->min_bin_vheap_words =
        o->min_bin_vheap_words == 0 ? 0 : cop__heap_step(o->min_bin_vheap_words);
    extra->stack_size = o->stack_size;
    extra->no_kill = o->max_heap_no_kill;
    extra->no_log = o->max_heap_no_log;
    extra->with_shared = o->max_heap_with_shared;
    extra->off_heap = o->message_queue_off_heap;
    extra->async_dist = o->async_dist;
    if (o->max_heap_words != 0)
        cop__set_max_heap(child, o->max_heap_words);
    if (o->max_queue_len != 0 || o->max_queue_bytes != 0)
        cop__set_max_queue(child, o->max_queue_len, o->max_queue_bytes, (int)o->max_queue_policy);
}

static void link_at_birth(cop_ctx *parent, cop_ctx *child) {
    uint32_t id = cop__next_link_id(parent);
    cop__rel_add(&parent->rels, child->pid.w, REL_LINK)->mine = id;
    cop__rel_add(&child->rels, parent->pid.w, REL_LINK)->theirs = id;
}

static void monitor_at_birth(cop_ctx *parent, cop_ctx *child, const cop_spawn_opts *o,
                             cop_ref ref) {
    struct cop__rel *rel = cop__rel_add(&parent->rels, ref.t.w, REL_MONITOR);
    rel->other = child->pid.w;
    rel->alias = (uint8_t)o->monitor_alias;
    if (!cop_is_none(o->monitor_tag))
        rel->tag = cop__tag_fragment(o->monitor_tag);
    cop__rel_add(&child->rels, ref.t.w, REL_WATCHER)->other = parent->pid.w;
}

/* Is it p's own, and no monitor or alias yet? */
static bool ref_is_good(cop_ctx *p, cop_ref ref) {
    return cop_is_none(ref.t)
           || (cop__is_local_ref(ref.t) && cop__ref_slot(ref.t) == p->slot->index
               && cop__rel_find(&p->rels, ref.t.w) == NULL);
}

static bool opts_are_good(const cop_spawn_opts *o) {
    const size_t most = UINT32_MAX;
    return (unsigned)o->priority <= COP_PRIORITY_MAX
           && (o->fullsweep_after == COP_ZERO
               || (o->fullsweep_after >= 0 && o->fullsweep_after <= UINT32_MAX))
           && o->min_heap_words <= most && o->min_bin_vheap_words <= most
           && (o->max_heap_words == 0
               || (o->max_heap_words >= o->min_heap_words && o->max_heap_words >= COP__MIN_HEAP))
           && (unsigned)o->max_queue_policy <= COP_QUEUE_WAIT
           && (cop_is_none(o->dictionary) || cop_is_map(o->dictionary))
           && (o->make_dictionary == NULL
               || (cop_is_none(o->dictionary) && cop_is_immediate(o->dictionary_key)))
           && (unsigned)o->monitor_alias <= COP_ALIAS_REPLY_DEMONITOR;
}

static bool wants_monitor(const cop_spawn_opts *o) {
    return o->monitor || o->monitor_alias != COP_ALIAS_NONE || !cop_is_none(o->monitor_tag)
           || !cop_is_none(o->monitor_ref.t);
}

static const cop_spawn_opts no_opts;

/* Good options. `ref`: of the monitor, or COP_NONE for a fresh one. None inside: no room. */
static cop_spawned make(cop_ctx *p, cop_entry entry, cop_term arg, const cop_spawn_opts *o,
                        cop_ref ref) {
    cop_ctx *child = cop__proc_new(p, p->worker, KIND_PROCESS);
    if (child == NULL)
        return (cop_spawned){ 0 };
    child->does.entry = entry;
    child->life = LIFE_START;
    if (cop_is_immediate(arg) || cop_is_none(arg)) {
        child->arg = cop_is_none(arg) ? cop_a(undefined).t : arg;
    } else {
        child->arg_env = cop__env_new(SIG_MESSAGE, child->pid, p->pid, arg);
        child->arg = child->arg_env->term;
    }
    if (o != &no_opts)
        apply_opts(p, child, o);
    cop_spawned result = { .pid = { child->pid } };
    if (o->link)
        link_at_birth(p, child);
    if (wants_monitor(o)) {
        result.ref = cop_is_none(ref.t) ? cop__ref_next(p) : ref;
        monitor_at_birth(p, child, o, result.ref);
    }
    child->where = WHERE_RUNNABLE;
    if (p->worker->sched != NULL)
        cop__sched_push(p->worker->sched, child, false);
    else
        cop__schedule(p->worker, child);
    return result;
}

cop_spawned cop_process_spawn(cop_ctx *ctx, cop_entry entry, cop_term arg,
                              const cop_spawn_opts *opts) {
    cop__enter(ctx);
    if (opts == NULL)
        opts = &no_opts;
    if (entry == NULL || !opts_are_good(opts) || !ref_is_good(ctx, opts->monitor_ref))
        cop__badarg(ctx);
    if (opts != &no_opts)
        ready_dictionary(ctx, opts);
    cop_spawned result = make(ctx, entry, arg, opts, opts->monitor_ref);
    if (cop_is_none(result.pid.t))
        cop__error(ctx, cop_a(system_limit).t);
    if (cop__spend(ctx, 20))
        cop__requeue(ctx);
    cop__leave(ctx);
    return result;
}

cop_pid cop_spawn(cop_ctx *ctx, cop_entry entry, cop_term arg) {
    return cop_process_spawn(ctx, entry, arg, NULL).pid;
}

cop_pid cop_spawn_link(cop_ctx *ctx, cop_entry entry, cop_term arg) {
    static const cop_spawn_opts link = { .link = true };
    return cop_process_spawn(ctx, entry, arg, &link).pid;
}

cop_spawned cop_spawn_monitor(cop_ctx *ctx, cop_entry entry, cop_term arg) {
    static const cop_spawn_opts monitor = { .monitor = true };
    return cop_process_spawn(ctx, entry, arg, &monitor);
}

/* ---- requests ---------------------------------------------------------------------------------------- */

cop_ref cop_spawn_request(cop_ctx *ctx, cop_entry entry, cop_term arg, const cop_spawn_opts *opts,
                          cop_term tag, cop_spawn_reply reply) {
    if (entry == NULL || (unsigned)reply > COP_SPAWN_REPLY_SUCCESS_ONLY)
        cop__badarg(ctx);
    cop__enter(ctx);
    if (opts == NULL)
        opts = &no_opts;
    bool are_good = opts_are_good(opts) && cop_is_none(opts->monitor_ref.t);
    if (are_good)
        ready_dictionary(ctx, opts);
    cop_ref ref = cop__ref_next(ctx);
    cop_spawned made = { 0 };
    cop_term why = cop_a(badopt).t;
    if (are_good) { /* its monitor has the request's reference */
        made = make(ctx, entry, arg, opts, ref);
        why = cop_a(system_limit).t;
    }
    bool good = !cop_is_none(made.pid.t);
    cop__leave(ctx);
    if (reply == COP_SPAWN_REPLY_YES
        || reply == (good ? COP_SPAWN_REPLY_SUCCESS_ONLY : COP_SPAWN_REPLY_ERROR_ONLY))
        cop__send(ctx, ctx->pid,
                  cop_tuple(ctx, cop_is_none(tag) ? cop_a(spawn_reply).t : tag, ref,
                            good ? cop_a(ok) : cop_a(error), good ? made.pid.t : why));
    return ref;
}

bool cop_spawn_request_abandon(cop_ctx *ctx, cop_ref request) {
    if (!cop_is_ref(request.t))
        cop__badarg(ctx);
    return false;
}

/* ---- by name, by fun --------------------------------------------------------------------------------- */

/* {module, function, args}; for info, which shows the arity. */
static void run_mfa(cop_ctx *ctx, cop_term mfa) {
    cop_atom module, function;
    cop_term args;
    if (!cop_match_tuple(mfa, &module, &function, &args))
        cop__badarg(ctx);
    cop_apply(ctx, module, function, args);
}

static void run_fun(cop_ctx *ctx, cop_term fun) { cop_fun_call_n(ctx, fun, 0, NULL); }

cop_spawned cop_spawn_mfa(cop_ctx *ctx, cop_atom module, cop_atom function, cop_term args,
                          const cop_spawn_opts *opts) {
    if (!cop_is_atom(module.t) || !cop_is_atom(function.t) || !cop_is_proper_list(args))
        cop__badarg(ctx);
    return cop_process_spawn(ctx, run_mfa, cop_tuple(ctx, module, function, args), opts);
}

cop_spawned cop_spawn_fun(cop_ctx *ctx, cop_term fun, const cop_spawn_opts *opts) {
    if (!cop_is_fun(fun))
        cop__badarg(ctx);
    return cop_process_spawn(ctx, run_fun, fun, opts);
}

_Noreturn void cop_process_hibernate_mfa(cop_ctx *ctx, cop_atom module, cop_atom function,
                                         cop_term args) {
    if (!cop_is_atom(module.t) || !cop_is_atom(function.t) || !cop_is_proper_list(args))
        cop__badarg(ctx);
    cop_process_hibernate(ctx, run_mfa, cop_tuple(ctx, module, function, args));
}

bool cop__initial_mfa(const cop_ctx *p, cop_term *mfa) {
    if ((p->life != LIFE_START && p->life != LIFE_RAW && p->life != LIFE_HIBERNATED)
        || cop_is_none(p->arg))
        return false;
    if (p->does.entry == run_fun)
        *mfa = COP_NONE;
    else if (p->does.entry == run_mfa)
        *mfa = p->arg;
    else
        return false;
    return true;
}

/* ---- options as a term ------------------------------------------------------------------------------- */

bool cop__priority_from(cop_term t, cop_priority *out) {
    static const char *const names[] = { "normal", "low", "high", "max" };
    cop_atom level;
    if (!cop_match(t, &level))
        return false;
    for (unsigned i = 0; i < 4; i++) {
        if (strcmp(cop_atom_name(level, NULL), names[i]) == 0) {
            *out = (cop_priority)i;
            return true;
        }
    }
    return false;
}

static bool words_from(cop_term t, size_t *out) {
    uint64_t n;
    if (!cop_get_u64(t, &n) || n > UINT32_MAX)
        return false;
    *out = (size_t)n;
    return true;
}

static bool flag_in_map(cop_term map, cop_atom key, bool otherwise, bool *out) {
    cop_term value;
    *out = otherwise;
    return !cop_map_get(map, key.t, &value) || cop_get_bool(value, out);
}

bool cop__max_heap_from(cop_term t, cop_spawn_opts *out) {
    bool kill = true, log = true, shared = false;
    cop_term size = t;
    if (cop_is_map(t)
        && (!cop_map_get(t, cop_a(size).t, &size) || !flag_in_map(t, cop_a(kill), true, &kill)
            || !flag_in_map(t, cop_a(error_logger), true, &log)
            || !flag_in_map(t, cop_a(include_shared_binaries), false, &shared)))
        return false;
    out->max_heap_no_kill = !kill;
    out->max_heap_no_log = !log;
    out->max_heap_with_shared = shared;
    return words_from(size, &out->max_heap_words);
}

bool cop__queue_data_from(cop_term t, bool *off_heap) {
    *off_heap = cop_match(t, cop_a(off_heap));
    return *off_heap || cop_match(t, cop_a(on_heap));
}

static bool monitor_opts_from(cop_term list, cop_spawn_opts *out) {
    cop_term head, value;
    cop_atom mode;
    for (; cop_get_cons(list, &head, &list);) {
        if (cop_match_tuple(head, cop_a(tag), &value)) {
            out->monitor_tag = value;
        } else if (cop_match_tuple(head, cop_a(alias), &mode)) {
            out->monitor_alias =
                cop_match(mode.t, cop_a(explicit_unalias))  ? COP_ALIAS_EXPLICIT_UNALIAS
                : cop_match(mode.t, cop_a(demonitor))       ? COP_ALIAS_DEMONITOR
                : cop_match(mode.t, cop_a(reply_demonitor)) ? COP_ALIAS_REPLY_DEMONITOR
                                                            : COP_ALIAS_NONE;
            if (out->monitor_alias == COP_ALIAS_NONE)
                return false;
        } else {
            return false;
        }
    }
    return cop_is_nil(list);
}

static bool pair_from(cop_atom key, cop_term value, cop_spawn_opts *out) {
    size_t words;
    if (cop_match(key.t, cop_a(priority)))
        return cop__priority_from(value, &out->priority);
    if (cop_match(key.t, cop_a(monitor))) {
        out->monitor = true;
        return monitor_opts_from(value, out);
    }
    if (cop_match(key.t, cop_a(fullsweep_after))) {
        if (!words_from(value, &words))
            return false;
        out->fullsweep_after = words == 0 ? COP_ZERO : (int64_t)words;
        return true;
    }
    if (cop_match(key.t, cop_a(min_heap_size)))
        return words_from(value, &out->min_heap_words);
    if (cop_match(key.t, cop_a(min_bin_vheap_size)))
        return words_from(value, &out->min_bin_vheap_words);
    if (cop_match(key.t, cop_a(max_heap_size)))
        return cop__max_heap_from(value, out);
    if (cop_match(key.t, cop_a(message_queue_data)))
        return cop__queue_data_from(value, &out->message_queue_off_heap);
    return cop_match(key.t, cop_a(async_dist)) && cop_get_bool(value, &out->async_dist);
}

bool cop_spawn_opts_from_term(cop_term list, cop_spawn_opts *out) {
    cop_term head, value;
    cop_atom key;
    *out = (cop_spawn_opts){ 0 };
    while (cop_get_cons(list, &head, &list)) {
        if (cop_match(head, cop_a(link)))
            out->link = true;
        else if (cop_match(head, cop_a(monitor)))
            out->monitor = true;
        else if (!cop_match_tuple(head, &key, &value) || !pair_from(key, value, out))
            return false;
    }
    return cop_is_nil(list) && opts_are_good(out);
}
