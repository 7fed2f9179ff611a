/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public calls of a process about itself and others: send, links, monitors, aliases, state.
 * (spawn.c, flag.c, suspend.c and info.c have the rest.) Each goes into the run-time (cop__enter) and out again; what raises does
 * so from inside, and the jump to the loop frame leaves in_runtime set as the loop wants it.
 *
 * Threads: the caller's process's runner.
 */
#include <coppice/port.h>

#include "proc/proc.h"

bool cop__is_local_pid(cop_term t) { return (t.w & 15) == COP__TAG_PID; }

_Noreturn void cop__badarg(cop_ctx *p) { cop__error(p, cop_a(badarg).t); }

/* ---- identities --------------------------------------------------------------------------------- */

cop_pid cop_self(cop_ctx *ctx) { return (cop_pid){ ctx->pid }; }

cop_ref cop__ref_next(cop_ctx *p) {
    p->slot->ref_counter++;
    /* After 17,179,869,184 references the counter has come round: step over what is in use. */
    if (__builtin_expect(p->slot->ref_counter >> 34 != 0, 0))
        while (cop__rel_find(&p->rels, cop__ref_youngest(p)) != NULL)
            p->slot->ref_counter++;
    p->mark = p->queue_end;
    return (cop_ref){ { cop__ref_youngest(p) } };
}

cop_ref cop_make_ref(cop_ctx *ctx) {
    cop__enter(ctx);
    cop_ref ref = cop__ref_next(ctx);
    cop__leave(ctx);
    return ref;
}

/* ---- sending ------------------------------------------------------------------------------------- */

/* The address behind {name, node}; COP_NONE if nobody. Another shape raises. */
static cop_term resolve_tuple(cop_ctx *p, cop_term dest) {
    cop_atom name, node;
    if (!cop_match_tuple(dest, &name, &node))
        cop__badarg(p);
    return node.t.w == cop_as("nonode@nohost").t.w ? cop__name_lookup(name.t) : COP_NONE;
}

/* A process with limits counts what it gets; see meter.c. False when it would have had to wait. */
static bool send_counted(cop_ctx *ctx, uint32_t meter, struct cop__env *env, bool may_wait) {
    bool would_wait = false;
    if (cop__meter_admit(ctx, meter, env, may_wait ? NULL : &would_wait))
        cop__deliver(ctx->worker, env);
    else
        cop__env_free(env);
    return !would_wait;
}

/* The address that is meant by what is no pid of this node; COP_NONE if nobody. */
static __attribute__((noinline)) cop_term address_of(cop_ctx *p, cop_term dest) {
    if (cop_is_atom(dest)) {
        dest = cop__name_lookup(dest);
        if (cop_is_none(dest))
            cop__badarg(p);
        return dest;
    }
    if (cop__is_local_ref(dest) || cop__is_local_port(dest))
        return dest;
    if (cop_is_pid(dest) || cop_is_ref(dest) || cop_is_port(dest))
        return COP_NONE; /* of a node that is not there */
    return resolve_tuple(p, dest);
}

/* To any address. */
static __attribute__((noinline)) bool send_anywhere(cop_ctx *ctx, cop_term dest, cop_term message,
                                                    bool may_wait) {
    bool sent = true;
    int cost = 1;
    cop__enter(ctx);
    if (!cop__is_local_pid(dest))
        dest = address_of(ctx, dest);
    struct cop__slot *slot = cop_is_none(dest) ? NULL : cop__slot_of(dest);
    if (slot != NULL) {
        uint32_t meter = __atomic_load_n(&slot->meter, __ATOMIC_RELAXED);
        enum cop__signal kind = cop__is_local_ref(dest) ? SIG_ALIAS : SIG_MESSAGE;
        struct cop__env *env = cop__env_new(kind, dest, ctx->pid, message);
        if (__builtin_expect(meter != 0, 0))
            sent = send_counted(ctx, meter, env, may_wait);
        else
            cost = cop__deliver_counted(ctx->worker, slot, env);
    }
    if (cop__spend(ctx, cost))
        cop__requeue_sender(ctx, slot, cost);
    cop__leave(ctx);
    return sent;
}

cop_term cop__send(cop_ctx *ctx, cop_term dest, cop_term message) {
    struct cop__slot *slot = cop__is_local_pid(dest) ? cop__slot_of(dest) : NULL;
    if (__builtin_expect(slot == NULL || __atomic_load_n(&slot->meter, __ATOMIC_RELAXED) != 0, 0)) {
        send_anywhere(ctx, dest, message, true);
        return message;
    }
    cop__enter(ctx);
    struct cop__env *env = cop__env_new(SIG_MESSAGE, dest, ctx->pid, message);
    int cost = cop__deliver_counted(ctx->worker, slot, env);
    if (cop__spend(ctx, cost))
        cop__requeue_sender(ctx, slot, cost);
    cop__leave(ctx);
    return message;
}

/* Is it on another node? None of them is connected. */
static bool is_far(cop_term dest) {
    cop_atom name, node;
    if (cop_match_tuple(dest, &name, &node))
        return node.t.w != cop_as("nonode@nohost").t.w;
    return (cop_is_pid(dest) && !cop__is_local_pid(dest))
           || (cop_is_ref(dest) && !cop__is_local_ref(dest));
}

cop_term cop__process_send(cop_ctx *ctx, cop_term dest, cop_term message, int flags) {
    if ((flags & ~(COP_SEND_NOCONNECT | COP_SEND_NOSUSPEND)) != 0)
        cop__badarg(ctx);
    if ((flags & COP_SEND_NOCONNECT) && is_far(dest))
        return cop_a(noconnect).t;
    bool sent = send_anywhere(ctx, dest, message, (flags & COP_SEND_NOSUSPEND) == 0);
    return sent ? cop_a(ok).t : cop_a(nosuspend).t;
}

/* ---- exit signals ---------------------------------------------------------------------------------- */

void cop__process_exit(cop_ctx *ctx, cop_term dest, cop_term reason) {
    cop__enter(ctx);
    if (!cop__is_local_pid(dest) && !cop__is_local_port(dest)) {
        if (!cop_is_pid(dest) && !cop_is_port(dest))
            cop__badarg(ctx);
        cop__leave(ctx);
        return;
    }
    cop_term tuple = cop__exit_tuple(ctx, ctx->pid, reason);
    cop__deliver(ctx->worker, cop__env_new(SIG_EXIT, dest, ctx->pid, tuple));
    if (dest.w == ctx->pid.w) { /* to oneself it works at once */
        cop__take_in(ctx);
        cop__check_exit(ctx);
    }
    cop__leave(ctx);
}

/* ---- links ------------------------------------------------------------------------------------------ */

void cop__process_link(cop_ctx *ctx, cop_term dest) {
    cop__enter(ctx);
    if (!cop__is_local_pid(dest) && !cop__is_local_port(dest))
        cop__badarg(ctx);
    if (dest.w != ctx->pid.w && cop__rel_find(&ctx->rels, dest.w) == NULL) {
        if (!cop__is_here(dest) && !ctx->trap_exit)
            cop__error(ctx, cop_a(noproc).t);
        uint32_t id = cop__next_link_id(ctx);
        cop__rel_add(&ctx->rels, dest.w, REL_LINK)->mine = id;
        struct cop__env *env = cop__env_raw(SIG_LINK, dest, ctx->pid, 0);
        env->id = id;
        cop__deliver(ctx->worker, env);
    }
    cop__leave(ctx);
}

void cop__process_unlink(cop_ctx *ctx, cop_term dest) {
    cop__enter(ctx);
    if (!cop__is_local_pid(dest) && !cop__is_local_port(dest))
        cop__badarg(ctx);
    struct cop__rel *rel = cop__rel_find(&ctx->rels, dest.w);
    if (rel != NULL) {
        struct cop__env *env = cop__env_raw(SIG_UNLINK, dest, ctx->pid, 0);
        env->id = rel->mine != 0 ? rel->mine : rel->theirs;
        env->flag = rel->mine != 0 ? COP__ID_MINE : 0;
        cop__rel_remove(&ctx->rels, rel);
        cop__deliver(ctx->worker, env);
    }
    cop__leave(ctx);
}

/* ---- monitors ----------------------------------------------------------------------------------------- */

struct cop__fragment *cop__tag_fragment(cop_term tag) {
    size_t words = cop_is_immediate(tag) ? 0 : cop__term_words(tag);
    struct cop__fragment *frag = cop__malloc(sizeof *frag + (words + 1) * sizeof(uint64_t));
    *frag = (struct cop__fragment){ .words = (uint32_t)words + 1 };
    uint64_t *hp = frag->body + 1;
    cop_term copy = words == 0 ? tag : cop__term_copy(tag, &hp, &frag->offheap);
    frag->body[0] = copy.w;
    return frag;
}

/* Whom does the item mean? *name is its atom's word when it was given by name. */
static cop_term monitor_target(cop_ctx *ctx, cop_term item, uint64_t *name) {
    *name = 0;
    if (cop_is_atom(item)) {
        *name = item.w;
        return cop__name_lookup(item);
    }
    if (cop_is_tuple(item)) {
        cop_atom n, node;
        if (!cop_match_tuple(item, &n, &node) || node.t.w != cop_as("nonode@nohost").t.w)
            cop__badarg(ctx);
        *name = n.t.w;
        return cop__name_lookup(n.t);
    }
    if (!cop__is_local_pid(item) && !cop__is_local_port(item))
        cop__badarg(ctx);
    return item;
}

/* Nobody has that name: the down message comes at once. */
static void down_for_name(cop_ctx *ctx, cop_ref ref, uint64_t name, cop_atom kind) {
    struct cop__scratch scratch;
    cop_ctx *c = cop__scratch_open(&scratch);
    cop_term object = cop_tuple(c, (cop_term){ name }, cop_as("nonode@nohost"));
    cop_term down = cop_tuple(c, cop_as("DOWN"), ref, kind, object, cop_a(noproc));
    struct cop__env *env = cop__env_new(SIG_DOWN, ctx->pid, ctx->pid, down);
    cop__scratch_close(&scratch);
    cop__deliver(ctx->worker, env);
}

struct cop__env *cop__monitor_env(cop_term target, cop_term watcher, cop_term ref, uint64_t name) {
    struct cop__env *env = cop__env_raw(SIG_MONITOR, target, watcher, 2);
    env->frag.body[0] = ref.w;
    env->frag.body[1] = name == 0 ? COP__TAG_NIL : name;
    env->term = cop__cons_term(env->frag.body);
    return env;
}

/* `kind` says of what: :process or :port. In the run-time. */
static cop_ref monitor(cop_ctx *ctx, cop_term item, const cop_monitor_opts *opts, cop_atom kind) {
    uint64_t name;
    bool port_only = kind.t.w == cop_a(port).t.w;
    if (opts != NULL && (unsigned)opts->alias > COP_ALIAS_REPLY_DEMONITOR)
        cop__badarg(ctx);
    cop_term target = monitor_target(ctx, item, &name);
    if (!cop_is_none(target) && cop__is_local_port(target) != port_only) {
        if (name == 0)
            cop__badarg(ctx);
        target = COP_NONE; /* nobody of that kind has the name */
    }
    cop_ref ref = cop__ref_next(ctx);
    if (target.w == ctx->pid.w && opts == NULL)
        return ref; /* never fires */
    struct cop__rel *rel = cop__rel_add(&ctx->rels, ref.t.w, REL_MONITOR);
    rel->other = target.w;
    rel->name = (uint32_t)name;
    if (opts != NULL) {
        rel->alias = (uint8_t)opts->alias;
        if (!cop_is_none(opts->tag))
            rel->tag = cop__tag_fragment(opts->tag);
    }
    if (cop_is_none(target)) {
        down_for_name(ctx, ref, name, kind);
    } else if (target.w != ctx->pid.w) {
        cop__deliver(ctx->worker, cop__monitor_env(target, ctx->pid, ref.t, name));
    }
    cop__spend(ctx, 1);
    return ref;
}

cop_ref cop__process_monitor(cop_ctx *ctx, cop_term item, const cop_monitor_opts *opts) {
    cop__enter(ctx);
    cop_ref ref = monitor(ctx, item, opts, cop_a(process));
    cop__leave(ctx);
    return ref;
}

cop_ref cop__port_monitor(cop_ctx *ctx, cop_term item, const cop_monitor_opts *opts) {
    cop__enter(ctx);
    cop_ref ref = monitor(ctx, item, opts, cop_a(port));
    cop__leave(ctx);
    return ref;
}

static bool is_down_for(const struct cop__env *env, cop_ref ref) {
    return env->kind == SIG_DOWN && cop_elem(env->term, 1).w == ref.t.w;
}

static void flush_down(cop_ctx *ctx, cop_ref ref) {
    for (struct cop__env **at = &ctx->queue; *at != NULL; at = &(*at)->next) {
        struct cop__env *env = *at;
        if (is_down_for(env, ref)) {
            cop__queue_remove(ctx, at);
            cop__env_free(env);
            return;
        }
    }
}

bool cop_process_demonitor(cop_ctx *ctx, cop_ref ref, int flags) {
    cop__enter(ctx);
    if (!cop__is_local_ref(ref.t) || (flags & ~(COP_DEMONITOR_FLUSH | COP_DEMONITOR_INFO)) != 0)
        cop__badarg(ctx);
    struct cop__rel *rel = cop__rel_find(&ctx->rels, ref.t.w);
    bool found = rel != NULL && rel->kind == REL_MONITOR;
    if (found) {
        if (rel->other != 0)
            cop__deliver(ctx->worker,
                         cop__env_new(SIG_DEMONITOR, (cop_term){ rel->other }, ctx->pid, ref.t));
        if (rel->alias == COP_ALIAS_EXPLICIT_UNALIAS) {
            rel->kind = REL_ALIAS;
            rel->other = 0;
        } else {
            cop__rel_remove(&ctx->rels, rel);
        }
    } else if (flags & COP_DEMONITOR_FLUSH) {
        cop__take_in(ctx);
        cop__check_exit(ctx);
        flush_down(ctx, ref);
    }
    cop__leave(ctx);
    return flags & COP_DEMONITOR_INFO ? found : true;
}

cop_ref cop_process_alias(cop_ctx *ctx, bool reply) {
    cop__enter(ctx);
    cop_ref ref = cop__ref_next(ctx);
    struct cop__rel *rel = cop__rel_add(&ctx->rels, ref.t.w, REL_ALIAS);
    rel->alias = reply ? COP__ALIAS_REPLY : COP_ALIAS_EXPLICIT_UNALIAS;
    cop__leave(ctx);
    return ref;
}

bool cop_process_unalias(cop_ctx *ctx, cop_ref alias) {
    cop__enter(ctx);
    if (!cop__is_local_ref(alias.t))
        cop__badarg(ctx);
    struct cop__rel *rel = cop__rel_find(&ctx->rels, alias.t.w);
    bool active = rel != NULL && rel->alias != COP_ALIAS_NONE;
    if (active && rel->kind == REL_ALIAS)
        cop__rel_remove(&ctx->rels, rel);
    else if (active)
        rel->alias = COP_ALIAS_NONE; /* the monitor goes on */
    cop__leave(ctx);
    return active;
}

/* ---- callback processes --------------------------------------------------------------------------- */

void *cop_process_state(cop_ctx *ctx, size_t size) {
    cop__enter(ctx);
    cop__free(ctx->state);
    ctx->state = cop__calloc(1, size == 0 ? 1 : size);
    ctx->state_size = (uint32_t)size;
    cop__leave(ctx);
    return ctx->state;
}

void cop_process_keep(cop_ctx *ctx, unsigned index, cop_term *first, size_t count) {
    if (index > 1 || count > UINT32_MAX)
        cop__badarg(ctx);
    struct cop__roots roots = { first, count };
    if (index == 0)
        ctx->keep = roots;
    else
        cop__extra_of(ctx)->keep = roots;
}

_Noreturn void cop_become(cop_ctx *ctx, const cop_callbacks *callbacks, void *state) {
    cop__enter(ctx);
    COP_ASSERT(ctx->kind == KIND_PROCESS);
    ctx->does.callbacks = callbacks;
    ctx->life = LIFE_CALLBACK;
    ctx->in_raised = false; /* it may be `raised` that goes on so */
    ctx->arg = COP_NONE;
    if (ctx->arg_env != NULL) { /* the argument may still be in what the state holds */
        cop__heap_adopt(&ctx->heap, &ctx->arg_env->frag);
        ctx->arg_env = NULL;
    }
    (void)state;
    COP_ASSERT(state == ctx->state || state == NULL);
    cop__back(ctx, BACK_BECOME);
}

_Noreturn void cop_process_hibernate(cop_ctx *ctx, cop_entry entry, cop_term arg) {
    cop__enter(ctx);
    COP_ASSERT(ctx->kind == KIND_PROCESS);
    ctx->does.entry = entry;
    ctx->life = LIFE_HIBERNATED;
    ctx->arg = cop_is_none(arg) ? cop_a(undefined).t : arg;
    if (ctx->arg_env != NULL) {
        cop__heap_adopt(&ctx->heap, &ctx->arg_env->frag);
        ctx->arg_env = NULL;
    }
    cop__back(ctx, BACK_BECOME);
}

_Noreturn void cop_process_hibernate_match(cop_ctx *ctx, cop_wanted wanted, void *wanted_arg,
                                           cop_entry entry, cop_term arg) {
    struct cop__extra *extra = cop__extra_of(ctx);
    extra->wanted = wanted;
    extra->wanted_arg = wanted_arg;
    extra->wanted_at = &ctx->queue;
    cop_process_hibernate(ctx, entry, arg);
}

void cop_process_hibernate_after_callback(cop_ctx *ctx) { ctx->hibernate_asked = true; }

void cop_process_idle_timeout(cop_ctx *ctx, int64_t ms) {
    cop__enter(ctx);
    if (ms < 0)
        cop__badarg(ctx);
    cop__alarm_clear(ctx);
    ctx->wait_seq++;
    if (ms == COP_INFINITY)
        ctx->idle_due = INT64_MAX;
    else if (ms == 0)
        ctx->idle_due = INT64_MIN; /* due at once, unless a message waits */
    else
        ctx->idle_due = cop__due_ms(ms);
    cop__leave(ctx);
}

void cop_bump_reductions(cop_ctx *ctx, int64_t n) {
    cop__enter(ctx);
    if (cop__spend(ctx, n > 1000000 ? 1000000 : (int)n))
        cop__requeue(ctx);
    cop__check_exit(ctx);
    cop__leave(ctx);
}

void cop_yield(cop_ctx *ctx) {
    cop__enter(ctx);
    cop__requeue(ctx);
    cop__leave(ctx);
}

int64_t cop_monotonic_ns(cop_ctx *ctx) {
    ctx->worker->clock_ticks = 0; /* a timer is not to have more left than by what is read here */
    return cop__now_ns();
}
int64_t cop_monotonic_ms(cop_ctx *ctx) { return cop_monotonic_ns(ctx) / 1000000; }
int64_t cop_system_time_ns(cop_ctx *ctx) {
    return cop__node.sim ? INT64_C(1700000000000000000) + cop__now_ns() : cop__clock_realtime_ns();
}
uint64_t cop_random_u64(cop_ctx *ctx) {
    cop__enter(ctx); /* the scheduler is this worker's only as long as the monitor leaves it */
    struct cop__sched *s = ctx->worker->sched;
    uint64_t own[4], *state = own;
    if (s != NULL)
        state = s->random;
    else /* on no scheduler: a draw of its own */
        cop__random_init(own, cop__random_seed());
    uint64_t drawn = cop__random_next(state);
    cop__leave(ctx);
    return drawn;
}
