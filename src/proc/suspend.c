/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Suspending processes, and collecting them from outside.
 *
 * Both are signals, so they come after what the asker sent before. A suspended process handles its
 * signals as ever and runs nothing else: it waits in cop__check_exit, or is parked between two
 * callbacks, until its suspenders have resumed it as often. Both sides keep the count: the suspender
 * to take its suspends back when it ends, the suspended one to know when it may go on.
 *
 * Threads: each process's runner.
 */
#include "proc/proc.h"

static struct cop__rel *suspending(cop_ctx *p, cop_term pid) {
    return cop__rel_find(&p->rels, pid.w ^ COP__KEY_SUSPENDING);
}

/* The common part: false when the flags say that nothing is to be done. */
static bool note_suspend(cop_ctx *ctx, cop_pid pid, int flags) {
    if (!cop__is_local_pid(pid.t) || pid.t.w == ctx->pid.w || !cop__is_here(pid.t))
        cop__badarg(ctx);
    struct cop__rel *rel = suspending(ctx, pid.t);
    if (rel != NULL && (flags & COP_UNLESS_SUSPENDING))
        return false;
    if (rel == NULL)
        rel = cop__rel_add(&ctx->rels, pid.t.w ^ COP__KEY_SUSPENDING, REL_SUSPENDING);
    rel->mine++;
    return true;
}

bool cop_process_suspend(cop_ctx *ctx, cop_pid pid, int flags) {
    cop__enter(ctx);
    bool done = note_suspend(ctx, pid, flags);
    if (done && cop_is_none(cop__ask(ctx, SIG_SUSPEND, pid.t, COP_NIL))) {
        struct cop__rel *rel = suspending(ctx, pid.t);
        if (rel != NULL) /* it ended before it could be suspended */
            cop__rel_remove(&ctx->rels, rel);
        cop__badarg(ctx);
    }
    cop__leave(ctx);
    return done;
}

bool cop_process_suspend_async(cop_ctx *ctx, cop_pid pid, int flags, cop_term tag) {
    cop__enter(ctx);
    bool done = note_suspend(ctx, pid, flags);
    struct cop__scratch scratch;
    cop_ctx *c = cop__scratch_open(&scratch);
    cop_term answer = cop_is_none(tag) ? cop_a(undefined).t : cop_tuple(c, tag, cop_a(suspended));
    struct cop__env *env = cop__env_new(done ? SIG_SUSPEND : SIG_MESSAGE, done ? pid.t : ctx->pid,
                                        ctx->pid, done ? cop_cons(c, COP_NIL, answer) : answer);
    cop__scratch_close(&scratch);
    if (done || !cop_is_none(tag))
        cop__deliver(ctx->worker, env);
    else
        cop__env_free(env);
    cop__leave(ctx);
    return done;
}

void cop_process_resume(cop_ctx *ctx, cop_pid pid) {
    cop__enter(ctx);
    struct cop__rel *rel = cop__is_local_pid(pid.t) ? suspending(ctx, pid.t) : NULL;
    if (rel == NULL)
        cop__badarg(ctx);
    if (--rel->mine == 0)
        cop__rel_remove(&ctx->rels, rel);
    struct cop__env *env = cop__env_raw(SIG_RESUME, pid.t, ctx->pid, 0);
    env->id = 1;
    cop__deliver(ctx->worker, env);
    cop__leave(ctx);
}

/* ---- on the other side --------------------------------------------------------------------------------- */

static void look_again(cop_ctx *p) {
    struct cop__rel *rel;
    p->suspended = false;
    for (uint32_t i = 0; (rel = cop__rel_at(&p->rels, &i)) != NULL;)
        if (rel->kind == REL_SUSPENDER)
            p->suspended = true;
}

void cop__handle_suspend(cop_ctx *p, struct cop__env *env) {
    if (p->pending_exit || p->exiting) {
        cop__dead_letter(cop__worker_self(), env);
        return;
    }
    uint64_t key = env->from.w ^ COP__KEY_SUSPENDER;
    struct cop__rel *rel = cop__rel_find(&p->rels, key);
    if (rel == NULL)
        rel = cop__rel_add(&p->rels, key, REL_SUSPENDER);
    rel->mine++;
    p->suspended = true;
    struct cop__scratch scratch;
    cop_ctx *c = cop__scratch_open(&scratch);
    cop_term ref = cop_head(env->term), answer = cop_tail(env->term);
    if (!cop_is_nil(ref))
        answer = cop_tuple(c, ref, cop_tuple(c, cop_a(suspended)));
    if (answer.w != cop_a(undefined).t.w)
        cop__deliver(cop__worker_self(), cop__env_new(SIG_MESSAGE, env->from, COP_NONE, answer));
    cop__scratch_close(&scratch);
    cop__env_free(env);
}

void cop__handle_resume(cop_ctx *p, const struct cop__env *env) {
    struct cop__rel *rel = cop__rel_find(&p->rels, env->from.w ^ COP__KEY_SUSPENDER);
    if (rel == NULL)
        return;
    if (rel->mine > env->id) {
        rel->mine -= env->id;
        return;
    }
    cop__rel_remove(&p->rels, rel);
    look_again(p);
}

void cop__suspends_end(cop_ctx *p, const struct cop__rel *rel) {
    bool mine = rel->kind == REL_SUSPENDING;
    cop_term other = { rel->key ^ (mine ? COP__KEY_SUSPENDING : COP__KEY_SUSPENDER) };
    struct cop__env *env = cop__env_raw(mine ? SIG_RESUME : SIG_RELEASED, other, p->pid, 0);
    env->id = UINT32_MAX;
    cop__deliver(cop__worker_self(), env);
}

/* ---- collecting from outside -------------------------------------------------------------------------- */

void cop__handle_collect(cop_ctx *p, const struct cop__env *env) {
    /* A callback process that waits has nothing on a stack; another one collects when it comes there. */
    p->collect_asked = true;
    struct cop__scratch scratch;
    cop_ctx *c = cop__scratch_open(&scratch);
    cop_term ref = cop_head(env->term), id = cop_tail(env->term);
    cop_term answer = cop_is_nil(id)
                          ? cop_tuple(c, ref, cop_tuple(c, cop_a(true)))
                          : cop_tuple(c, cop_a(garbage_collect), cop_head(id), cop_a(true));
    cop__deliver(cop__worker_self(), cop__env_new(SIG_MESSAGE, env->from, COP_NONE, answer));
    cop__scratch_close(&scratch);
}

bool cop_garbage_collect(cop_ctx *ctx, cop_pid pid) {
    if (!cop__is_local_pid(pid.t))
        cop__badarg(ctx);
    if (pid.t.w == ctx->pid.w) {
        ctx->collect_asked = true;
        return true;
    }
    cop__enter(ctx);
    bool there = !cop_is_none(cop__ask(ctx, SIG_COLLECT, pid.t, COP_NIL));
    cop__leave(ctx);
    return there;
}

void cop_garbage_collect_async(cop_ctx *ctx, cop_pid pid, cop_term id) {
    if (!cop__is_local_pid(pid.t))
        cop__badarg(ctx);
    cop__enter(ctx);
    struct cop__scratch scratch;
    cop_ctx *c = cop__scratch_open(&scratch);
    cop_term what = cop_cons(c, COP_NIL, cop_list(c, id));
    cop__deliver(ctx->worker, cop__env_new(SIG_COLLECT, pid.t, ctx->pid, what));
    cop__scratch_close(&scratch);
    cop__leave(ctx);
}
