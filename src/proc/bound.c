/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ports: processes bound to a thread with an event loop of its own (see port.h).
 *
 * A bound has a stack of ready ports that any thread pushes onto; its loop is woken once per
 * emptying. Ports run on the loop's thread, on its own stack, one callback at a time; they never
 * wait, so they need neither a borrowed stack nor a place to come back to, except the jump of
 * cop__bound_run for ports that end.
 */
#include <coppice/port.h>

#include "proc/proc.h"

struct cop__bound {
    cop_ctx *ready; /* atomic stack, youngest first */
    cop_ctx *todo;  /* oldest first, the loop's thread only */
    uint32_t woken; /* atomic: a wake is on its way */
    void (*wake)(void *arg);
    void *arg;
    struct cop__worker worker; /* a pseudo worker: the loop's thread */
    bool entered;
};

struct cop__bound *cop__bound_new(void (*wake)(void *arg), void *arg) {
    struct cop__bound *b = cop__calloc(1, sizeof *b);
    b->wake = wake;
    b->arg = arg;
    b->worker.is_pseudo = true;
    return b;
}

void cop__bound_push(struct cop__bound *b, cop_ctx *p) {
    cop_ctx *head = __atomic_load_n(&b->ready, __ATOMIC_RELAXED);
    do
        p->run_next = head;
    while (!__atomic_compare_exchange_n(&b->ready, &head, p, true, __ATOMIC_SEQ_CST,
                                        __ATOMIC_RELAXED));
    if (__atomic_exchange_n(&b->woken, 1, __ATOMIC_SEQ_CST) == 0)
        b->wake(b->arg);
}

static void take_ready(struct cop__bound *b) {
    cop_ctx *p = __atomic_exchange_n(&b->ready, NULL, __ATOMIC_ACQUIRE), *oldest = NULL;
    while (p != NULL) {
        cop_ctx *next = p->run_next;
        p->run_next = oldest;
        oldest = p;
        p = next;
    }
    cop_ctx **at = &b->todo;
    while (*at != NULL)
        at = &(*at)->run_next;
    *at = oldest;
}

static void stop_port(cop_ctx *p, cop_term reason) {
    void (*stop)(cop_ctx *, void *, cop_term) = p->does.port->stop;
    p->exiting = true;
    if (stop != NULL)
        stop(p, p->state, reason);
    p->state = NULL; /* the port's data is its own */
    struct cop__env *last_word = p->extra->last_word;
    cop__die(p, reason);
    if (last_word != NULL)
        cop__deliver(cop__worker_self(), last_word);
}

static void run_port(cop_ctx *p) {
    struct cop__worker *w = p->worker;
    w->current = p;
    if (p->life == LIFE_START) {
        p->life = LIFE_CALLBACK;
        if (p->does.port->start != NULL)
            p->does.port->start(p, p->state);
    }
    for (int n = 0; n < 64; n++) {
        cop__take_in(p);
        if (p->pending_exit) {
            stop_port(p, p->extra->exit_term);
            return;
        }
        struct cop__env *env = p->queue;
        if (env == NULL) {
            cop__tidy(p, false);
            p->where = WHERE_WAITING;
            uintptr_t empty = 0;
            if (__atomic_compare_exchange_n(&p->slot->inbox, &empty, INBOX_PARKED, false,
                                            __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
                return;
            p->where = WHERE_RUNNING;
            continue;
        }
        cop__queue_remove(p, &p->queue);
        cop_term message = cop__adopt(p, env);
        p->reductions++;
        if (p->does.port->message != NULL)
            p->does.port->message(p, p->state, message);
        cop__set_in_runtime(w, 1);
        cop__tidy(p, false);
    }
    cop__bound_push(p->bound, p);
}

bool cop__bound_run(struct cop__bound *b, int budget) {
    struct cop__worker *before = cop__worker_self();
    if (!b->entered) {
        b->entered = true;
        cop__set_in_runtime(&b->worker, 1);
        cop__worker_set_self(&b->worker);
        before = &b->worker;
    }
    COP_ASSERT(before == &b->worker);
    __atomic_store_n(&b->woken, 0, __ATOMIC_SEQ_CST);
    take_ready(b);
    while (budget-- > 0 && b->todo != NULL) {
        cop_ctx *p = b->todo;
        b->todo = p->run_next;
        p->worker = &b->worker;
        p->where = WHERE_RUNNING;
        run_port(p);
        b->worker.current = NULL;
        cop__set_in_runtime(&b->worker, 1);
    }
    return b->todo != NULL || __atomic_load_n(&b->ready, __ATOMIC_RELAXED) != NULL;
}

cop_port cop__port_open(cop_ctx *ctx, struct cop__bound *bound, const struct cop__port_ops *ops,
                        void *data, cop_pid owner) {
    cop__enter(ctx);
    cop_ctx *port = cop__proc_new(ctx, ctx->worker, KIND_PORT);
    if (port == NULL) {
        cop__leave(ctx);
        return (cop_port){ COP_NONE };
    }
    port->does.port = ops;
    port->state = data;
    cop__owned_forget(ctx, data);
    port->bound = bound;
    port->life = LIFE_START;
    port->where = WHERE_RUNNABLE;
    port->trap_exit =
        true; /* so that a link to the dead is a signal, which ends it, and no error */
    cop__extra_of(port)->owner = owner.t;
    cop_port result = { port->pid };
    if (owner.t.w == ctx->pid.w) {
        uint32_t id = ++ctx->link_ids == 0 ? ++ctx->link_ids : ctx->link_ids;
        cop__rel_add(&ctx->rels, port->pid.w, REL_LINK)->mine = id;
        cop__rel_add(&port->rels, ctx->pid.w, REL_LINK)->theirs = id;
    } else {
        port->link_ids = 1;
        cop__rel_add(&port->rels, owner.t.w, REL_LINK)->mine = 1;
        struct cop__env *env = cop__env_raw(SIG_LINK, owner.t, port->pid, 0);
        env->id = 1;
        cop__deliver(ctx->worker, env);
    }
    cop__bound_push(bound, port);
    cop__leave(ctx);
    return result;
}

cop_port cop__port_self(cop_ctx *ctx) { return (cop_port){ ctx->pid }; }

/* Between its callbacks a port is parked, or about to run: either way only this thread runs it, so
   the loop may act for it without taking it out of the queue it stands in. */
void cop__port_enter(cop_ctx *ctx) { ctx->worker->current = ctx; }

void cop__port_leave(cop_ctx *ctx) {
    struct cop__worker *w = ctx->worker;
    cop__set_in_runtime(w, 1);
    cop__tidy(ctx, false);
    w->current = NULL;
    if (ctx->pending_exit) {
        /* It ends in its own turn; a signal to itself brings that about wherever it stands. */
        struct cop__env *env = cop__env_raw(SIG_WAKE, ctx->pid, ctx->pid, 0);
        env->id = 0;
        cop__deliver(w, env);
    }
}

void cop__port_close(cop_ctx *ctx, cop_term reason) {
    if (ctx->pending_exit || ctx->exiting)
        return;
    struct cop__extra *extra = cop__extra_of(ctx);
    extra->exit_env = cop__env_new(SIG_EXIT, ctx->pid, ctx->pid, reason);
    extra->exit_term = extra->exit_env->term;
    ctx->pending_exit = true;
}

/* ---- the owner, and others ------------------------------------------------------------------------ */

void cop__port_own(cop_ctx *ctx, cop_pid owner) {
    cop__extra_of(ctx)->owner = owner.t;
    cop_process_link(ctx, owner);
}

void cop__port_last_word(cop_ctx *ctx, cop_pid to, cop_term message) {
    struct cop__extra *extra = cop__extra_of(ctx);
    if (extra->last_word == NULL)
        extra->last_word = cop__env_new(SIG_MESSAGE, to.t, ctx->pid, message);
}

bool cop__port_is_open(cop_port port) { return cop__is_local_port(port.t) && cop__is_here(port.t); }

bool cop__port_may_have(cop_pid owner) {
    return cop__is_local_pid(owner.t) && cop__is_here(owner.t);
}

cop_term cop_port_list(cop_ctx *ctx) {
    cop_term list = COP_NIL;
    for (uint32_t i = __atomic_load_n(&cop__node.slot_top, __ATOMIC_ACQUIRE); i > 0; i--) {
        cop_term id = { __atomic_load_n(&cop__node.slots[i - 1].pid, __ATOMIC_ACQUIRE) };
        if (cop__is_local_port(id))
            list = cop_cons(ctx, id, list);
    }
    return list;
}

cop_term cop__port_item(cop_ctx *ctx, cop_atom item) { return cop__info_answer(ctx, ctx, item.t); }

void cop__port_limit_commands(cop_ctx *ctx, size_t length) { cop__meter_commands(ctx, length); }
void cop__port_set_busy(cop_ctx *ctx, bool busy) { cop__meter_set_busy(ctx, busy); }

bool cop__port_has_waiters(const cop_ctx *ctx) {
    return ctx->extra != NULL && ctx->extra->waiters != NULL;
}

bool cop__port_is_busy(cop_port port) {
    struct cop__slot *slot = cop__slot_of(port.t);
    uint32_t meter = slot != NULL ? __atomic_load_n(&slot->meter, __ATOMIC_ACQUIRE) : 0;
    return meter != 0 && cop__meter_is_full(meter) && cop__is_here(port.t);
}

cop_ref cop__port_ask_unread(cop_ctx *ctx, cop_pid pid) {
    cop_ref ref = cop__ref_next(ctx);
    struct cop__scratch scratch;
    cop_ctx *c = cop__scratch_open(&scratch);
    cop_term what = cop_cons(c, ref, cop_tuple(c, cop_a(unread), ctx->pid));
    cop__deliver(ctx->worker, cop__env_new(SIG_INFO, pid.t, ctx->pid, what));
    cop__scratch_close(&scratch);
    return ref;
}

/* ---- the end -------------------------------------------------------------------------------------- */

bool cop__port_is_ending(const cop_ctx *ctx) { return ctx->pending_exit || ctx->exiting; }

void cop__bound_kill(struct cop__bound *b) {
    /* What is left: the ports of processes that outlived their ends. */
    uint32_t top = __atomic_load_n(&cop__node.slot_top, __ATOMIC_ACQUIRE);
    for (uint32_t i = 0; i < top; i++) {
        cop_term id = { __atomic_load_n(&cop__node.slots[i].pid, __ATOMIC_ACQUIRE) };
        if (!cop__is_local_port(id) || cop__node.slots[i].proc->bound != b)
            continue;
        struct cop__scratch scratch;
        cop_ctx *c = cop__scratch_open(&scratch);
        cop_term tuple = cop__exit_tuple(c, id, cop_a(kill).t);
        cop__deliver(&b->worker, cop__env_new(SIG_EXIT, id, id, tuple));
        cop__scratch_close(&scratch);
    }
}

void cop__bound_end(struct cop__bound *b) {
    cop__worker_set_self(NULL);
    cop__epoch_forget(&b->worker);
    b->worker = (struct cop__worker){ .is_pseudo = true };
    b->entered = false;
}
