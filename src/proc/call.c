/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests and replies, each one envelope.
 *
 * A request is a message and a monitor, a reply a message and a demonitor. Sent apart they would be four
 * signals; here the request's envelope (SIG_CALL) makes its receiver note the watcher when it takes the
 * envelope in, and the reply's carries COP__UNWATCHED when the one who replies is the one who was
 * asked and has struck the watcher out by itself. Both terms are built in their envelopes.
 *
 *     client: MONITOR noted  --SIG_CALL-->   server: WATCHER noted, message queued
 *     client: MONITOR gone   <--reply-----   server: WATCHER gone
 *
 * Invariants
 *   1. A watcher that a SIG_CALL noted has alias COP__BY_CALL, and only such a one is struck out by a
 *      reply: the client's side of it goes when the reply is taken in.
 *   2. A client that has taken its alias back keeps its monitor: if then the reply comes, with its watcher
 *      struck out, the client watches anew.
 *
 * A send is a request without the monitor: of any tag, and of elements in an array, which become a list in the
 * envelope and are copied once.
 * Threads: the caller's process's runner.
 */
#include <coppice/gen.h>

#include "proc/proc.h"

/* ---- asking ------------------------------------------------------------------------------------ */

/* The words of {label, {self, [:alias | ref]}, request} but for the request's own; the bare tag needs
   two less. */
enum { PAIR = 4, CELL = 7, FRAME = 9 };

/* A cell of two immediates, as the usual tag is. */
static inline bool is_pair(cop_term t) {
    return cop_is_cons(t) && (cop__cons(t)[0] & cop__cons(t)[1] & 3) == 3;
}

static inline size_t words_of(cop_term t) {
    return cop_is_immediate(t) ? 0 : is_pair(t) ? 2 : cop__term_words(t);
}

static inline uint64_t put_in(struct cop__env *env, cop_term t, uint64_t *room) {
    if (cop_is_immediate(t))
        return t.w;
    if (!is_pair(t))
        return cop__term_copy(t, &room, &env->frag.offheap).w;
    room[0] = cop__cons(t)[0];
    room[1] = cop__cons(t)[1];
    return cop__cons_term(room).w;
}

static struct cop__env *request_env(cop_ctx *p, cop_term to, cop_ref ref, cop_term label,
                                    cop_term request, bool alias) {
    size_t frame = alias ? FRAME : CELL;
    struct cop__env *env = cop__env_raw(SIG_CALL, to, p->pid, frame + words_of(request));
    uint64_t *at = env->frag.body;
    at[0] = cop__header(BOX_TUPLE, 3);
    at[1] = label.w;
    at[2] = cop__box_term(at + PAIR).w;
    at[3] = put_in(env, request, at + frame);
    at[PAIR] = cop__header(BOX_TUPLE, 2);
    at[PAIR + 1] = p->pid.w;
    at[PAIR + 2] = alias ? cop__cons_term(at + CELL).w : ref.t.w;
    if (alias) {
        at[CELL] = cop_a(alias).t.w;
        at[CELL + 1] = ref.t.w;
    }
    env->term = cop__box_term(at);
    return env;
}

/* As two signals: for oneself, and for who counts the messages it gets. */
static cop_ref request_apart(cop_ctx *ctx, cop_pid to, cop_term label, cop_term request,
                             bool alias) {
    static const cop_monitor_opts by_reply = { .alias = COP_ALIAS_REPLY_DEMONITOR };
    cop_ref ref = cop__process_monitor(ctx, to.t, alias ? &by_reply : NULL);
    cop_term tag = alias ? cop_cons(ctx, cop_a(alias), ref) : ref.t;
    cop__send(ctx, to.t, cop_tuple(ctx, label, cop_tuple(ctx, ctx->pid, tag), request));
    return ref;
}

cop_ref cop__gen_request(cop_ctx *ctx, cop_pid to, cop_atom label, cop_term request, bool alias) {
    if (!cop__is_local_pid(to.t))
        cop__badarg(ctx);
    struct cop__slot *slot = cop__slot_of(to.t);
    if (to.t.w == ctx->pid.w
        || (slot != NULL && __atomic_load_n(&slot->meter, __ATOMIC_RELAXED) != 0))
        return request_apart(ctx, to, label.t, request, alias);
    cop__enter(ctx);
    cop_ref ref = cop__ref_next(ctx);
    struct cop__rel *rel = cop__rel_add(&ctx->rels, ref.t.w, REL_MONITOR);
    rel->other = to.t.w;
    rel->alias = alias ? COP_ALIAS_REPLY_DEMONITOR : COP_ALIAS_NONE;
    struct cop__env *env = request_env(ctx, to.t, ref, label.t, request, alias);
    if (__builtin_expect(slot != NULL, 1))
        cop__deliver_to(ctx->worker, slot, env);
    else
        cop__dead_letter(ctx->worker, env);
    cop__spend(ctx, 2);
    cop__leave(ctx);
    return ref;
}

bool cop_gen_receive(cop_ctx *ctx, cop_ref request, int64_t timeout_ms, cop_term *message) {
    bool came = cop_receive_ref(ctx, timeout_ms, request, message);
    if (came) {
        /* Gone by now, unless another process has replied to the bare reference. */
        if (cop__rel_find(&ctx->rels, request.t.w) != NULL)
            cop_process_demonitor(ctx, request, COP_DEMONITOR_FLUSH);
        return true;
    }
    cop_process_demonitor(ctx, request, COP_DEMONITOR_FLUSH);
    /* One last look: what came up to now is a success. */
    return cop_receive_ref(ctx, 0, request, message);
}

static cop_term reference_of(const struct cop__env *env) {
    cop_term tag = { env->frag.body[PAIR + 2] };
    return cop_is_cons(tag) ? (cop_term){ cop__cons(tag)[1] } : tag;
}

void cop__handle_call(cop_ctx *p, struct cop__env *env) {
    struct cop__rel *rel = cop__rel_add(&p->rels, reference_of(env).w, REL_WATCHER);
    rel->other = env->from.w;
    rel->alias = COP__BY_CALL;
    env->kind = SIG_MESSAGE;
    cop__queue_append(p, env);
}

cop_term cop__call_reference(const struct cop__env *env) { return reference_of(env); }

/* ---- answering ------------------------------------------------------------------------------------ */

/* The reference in a tag: ref, [:alias | ref], or [[:alias | ref] | more] as :gen_server has it. */
static cop_term tag_reference(cop_term tag, bool *alias) {
    *alias = false;
    if (cop_is_cons(tag) && cop_is_cons((cop_term){ cop__cons(tag)[0] }))
        tag = (cop_term){ cop__cons(tag)[0] };
    if (cop_is_cons(tag) && cop__cons(tag)[0] == cop_a(alias).t.w) {
        tag = (cop_term){ cop__cons(tag)[1] };
        *alias = true;
    }
    return cop__is_local_ref(tag) ? tag : COP_NONE;
}

/* {tag, reply} in an envelope. */
static struct cop__env *reply_env(cop_ctx *p, enum cop__signal kind, cop_term to, cop_term tag,
                                  cop_term reply) {
    size_t tag_words = words_of(tag);
    struct cop__env *env = cop__env_raw(kind, to, p->pid, 3 + tag_words + words_of(reply));
    uint64_t *at = env->frag.body;
    at[0] = cop__header(BOX_TUPLE, 2);
    at[1] = put_in(env, tag, at + 3);
    at[2] = put_in(env, reply, at + 3 + tag_words);
    env->term = cop__box_term(at);
    return env;
}

void cop__gen_reply(cop_ctx *ctx, cop_term from, cop_term reply) {
    const cop_term *pair = cop__tuple_elems(from, 2);
    if (pair == NULL || !cop_is_pid(pair[0]))
        cop__badarg(ctx);
    bool alias;
    cop_term ref = tag_reference(pair[1], &alias);
    struct cop__slot *slot = cop__is_local_pid(pair[0]) ? cop__slot_of(pair[0]) : NULL;
    bool counted = slot == NULL || __atomic_load_n(&slot->meter, __ATOMIC_RELAXED) != 0;
    if (cop_is_none(ref) || (counted && !alias)) {
        cop__send(ctx, alias ? ref : pair[0], cop_tuple(ctx, pair[1], reply));
        return;
    }
    cop__enter(ctx);
    struct cop__env *env =
        reply_env(ctx, alias ? SIG_ALIAS : SIG_MESSAGE, alias ? ref : pair[0], pair[1], reply);
    struct cop__rel *rel = cop__rel_find(&ctx->rels, ref.w);
    if (rel != NULL && rel->kind == REL_WATCHER && rel->alias == COP__BY_CALL
        && rel->other == pair[0].w) {
        cop__rel_remove(&ctx->rels, rel);
        env->flag |= COP__UNWATCHED;
    }
    cop__deliver(ctx->worker, env);
    if (cop__spend(ctx, 1))
        cop__requeue(ctx);
    cop__leave(ctx);
}

void cop__handle_bare_reply(cop_ctx *p, const struct cop__env *env) {
    struct cop__rel *rel = cop__rel_find(&p->rels, cop_elem(env->term, 0).w);
    if (rel != NULL && rel->kind == REL_MONITOR)
        cop__rel_remove(&p->rels, rel);
}

void cop__watch_anew(cop_ctx *p, const struct cop__rel *rel) {
    cop__deliver(cop__worker_self(), cop__monitor_env((cop_term){ rel->other }, p->pid,
                                                      (cop_term){ rel->key }, rel->name));
}

/* ---- sending without a monitor ------------------------------------------------------------------- */

/* What takes a message at once: a process of this node, which does not count what it gets. */
static bool is_plain(cop_ctx *ctx, cop_term to) {
    struct cop__slot *slot = cop__is_local_pid(to) ? cop__slot_of(to) : NULL;
    return slot != NULL && to.w != ctx->pid.w
           && __atomic_load_n(&slot->meter, __ATOMIC_RELAXED) == 0;
}

/* The envelope of {label, {self, tag}, _} with room for more words; *room is where they go. */
static struct cop__env *frame_env(cop_ctx *p, cop_term to, cop_term label, cop_term tag,
                                  size_t more, uint64_t **room) {
    size_t tag_words = cop__term_words(tag);
    struct cop__env *env = cop__env_raw(SIG_MESSAGE, to, p->pid, CELL + tag_words + more);
    uint64_t *at = env->frag.body;
    *room = at + CELL;
    at[0] = cop__header(BOX_TUPLE, 3);
    at[1] = label.w;
    at[2] = cop__box_term(at + PAIR).w;
    at[PAIR] = cop__header(BOX_TUPLE, 2);
    at[PAIR + 1] = p->pid.w;
    at[PAIR + 2] = cop__term_copy(tag, room, &env->frag.offheap).w;
    env->term = cop__box_term(at);
    return env;
}

static void post(cop_ctx *ctx, struct cop__env *env) {
    if (cop__spend(ctx, cop__deliver_counted(ctx->worker, cop__slot_of(env->to), env)))
        cop__requeue(ctx);
}

cop_term cop__gen_send(cop_ctx *ctx, cop_term to, cop_atom label, cop_term tag, cop_term what,
                       int flags) {
    if (!is_plain(ctx, to))
        return cop_process_send(ctx, to, cop_tuple(ctx, label, cop_tuple(ctx, ctx->pid, tag), what),
                                flags);
    uint64_t *room;
    cop__enter(ctx);
    size_t words = cop__tuple_words(what);
    bool flat = words != 0;
    struct cop__env *env =
        frame_env(ctx, to, label.t, tag, flat ? words : cop__term_words(what), &room);
    if (flat) {
        const uint64_t *box = cop__box(what);
        for (size_t i = 0; i < words; i++)
            room[i] = box[i];
        env->frag.body[3] = cop__box_term(room).w;
    } else {
        env->frag.body[3] = cop__term_copy(what, &room, &env->frag.offheap).w;
    }
    post(ctx, env);
    cop__leave(ctx);
    return cop_a(ok).t;
}

static bool all_immediate(size_t n, const cop_term *elems) {
    uint64_t all = 3;
    size_t i = 0;
    for (; n - i >= 4; i += 4)
        all &= elems[i].w & elems[i + 1].w & elems[i + 2].w & elems[i + 3].w;
    for (; i < n; i++)
        all &= elems[i].w;
    return (all & 3) == 3;
}

/* Fills cells with elements that are in their words. */
static void fill_flat(uint64_t *cells, size_t n, const cop_term *elems) {
    uint64_t *to = cells, next = cop__cons_term(cells).w;
    for (; n >= 4; n -= 4, elems += 4, to += 8) {
        to[0] = elems[0].w;
        to[1] = next + COP__CELL;
        to[2] = elems[1].w;
        to[3] = next + 2 * COP__CELL;
        to[4] = elems[2].w;
        to[5] = next + 3 * COP__CELL;
        to[6] = elems[3].w;
        to[7] = next += 4 * COP__CELL;
    }
    for (; n > 0; n--, elems++, to += 2) {
        to[0] = elems->w;
        to[1] = next += COP__CELL;
    }
    to[-1] = COP_NIL.w;
}

/* Fills cells with the elements; what is not in its word is copied behind them. */
static void fill_cells(struct cop__env *env, uint64_t *cells, size_t n, const cop_term *elems) {
    uint64_t *room = cells + 2 * n;
    for (size_t i = 0; i < n; i++) {
        cop_term e = elems[i];
        cells[2 * i] = cop_is_immediate(e) ? e.w : cop__term_copy(e, &room, &env->frag.offheap).w;
        cells[2 * i + 1] = cop__cons_term(cells + 2 * i + 2).w;
    }
    cells[2 * n - 1] = COP_NIL.w;
}

cop_term cop_gen_send_list(cop_ctx *ctx, cop_term to, cop_atom label, cop_term tag, size_t n,
                           const cop_term *elems, int flags) {
    if (n == 0 || !is_plain(ctx, to))
        return cop__gen_send(ctx, to, label, tag, cop_list_n(ctx, n, elems), flags);
    uint64_t *room;
    size_t words = 2 * n;
    cop__enter(ctx);
    bool flat = all_immediate(n, elems);
    if (!flat)
        for (size_t i = 0; i < n; i++)
            words += cop__term_words(elems[i]);
    struct cop__env *env = frame_env(ctx, to, label.t, tag, words, &room);
    env->frag.body[3] = cop__cons_term(room).w;
    if (flat)
        fill_flat(room, n, elems);
    else
        fill_cells(env, room, n, elems);
    post(ctx, env);
    cop__leave(ctx);
    return cop_a(ok).t;
}
