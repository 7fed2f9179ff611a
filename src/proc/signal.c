/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals: envelopes, their delivery, and the opening of the box.
 *
 * All that one process says to another is an envelope in the other's inbox, a lock-free stack that
 * its owner turns round:
 *
 *     senders --compare-and-swap--> slot->inbox  ==take_in: xchg, reverse==>  p->queue (messages)
 *                                                                        \==> handled at once (all else)
 *
 * Invariants
 *   1. Between one pair, the order of arrival is the order sent, over all kinds of signals: one inbox.
 *   2. Who replaces PARKED by an envelope, and only he, schedules the process.
 *   3. An envelope carries its full address. The opener compares: a letter to a predecessor in the
 *      slot is a dead letter, answered where the protocol wants it.
 *   4. take_in does not touch the process's heap, and sends as the thread it runs on, not as the
 *      process's worker: the monitor may call it for a process whose code is running (monitor.c).
 * Threads: deliver from any; take_in by the process's runner.
 */
#include "proc/proc.h"

/* The envelope at `before` in its block, which is a small one or not. */
static inline struct cop__env *fill(char *block, size_t before, bool small, enum cop__signal kind,
                                    cop_term to, cop_term from, size_t words) {
    struct cop__env *env = (struct cop__env *)(block + before);
    size_t size = before + sizeof(struct cop__env) + words * sizeof(uint64_t);
    env->next = NULL;
    env->to = to;
    env->from = from;
    env->term = COP_NONE;
    env->id = 0;
    env->kind = (uint8_t)kind;
    env->flag = 0;
    env->frag.next = NULL;
    env->frag.offheap = NULL;
    env->frag.words = (uint32_t)words;
    env->frag.offset = (uint16_t)(before + offsetof(struct cop__env, frag));
    env->frag.small = small ? (uint16_t)size : 0;
    return env;
}

struct cop__env *cop__env_behind(size_t before, enum cop__signal kind, cop_term to, cop_term from,
                                 size_t words) {
    size_t size = before + sizeof(struct cop__env) + words * sizeof(uint64_t);
    bool small = size <= COP__SMALL_MAX;
    char *block = small ? cop__small_alloc(size) : cop__malloc(size);
    return fill(block, before, small, kind, to, from, words);
}

struct cop__env *cop__env_raw(enum cop__signal kind, cop_term to, cop_term from, size_t words) {
    size_t size = sizeof(struct cop__env) + words * sizeof(uint64_t);
    if (__builtin_expect(size <= COP__SMALL_MAX, 1))
        return fill(cop__small_alloc(size), 0, true, kind, to, from, words);
    return fill(cop__malloc(size), 0, false, kind, to, from, words);
}

/* The words of a tuple of immediates and of flat tuples, the usual request; 0 for anything else. */
static size_t nested_words(cop_term t) {
    const uint64_t *box = cop__box(t);
    size_t size = cop__header_size(*box), words = size + 1;
    if (cop__header_kind(*box) != BOX_TUPLE || size > COP__FLAT_TUPLE)
        return 0;
    for (size_t i = 1; i <= size; i++) {
        cop_term e = { box[i] };
        size_t inner = cop_is_immediate(e) ? 0 : cop__tuple_words(e);
        if (inner == 0 && !cop_is_immediate(e))
            return 0;
        words += inner;
    }
    return words;
}

/* Copies such a tuple to `to`, what it holds behind it. */
static void copy_nested(cop_term t, uint64_t *to) {
    const uint64_t *box = cop__box(t);
    size_t size = cop__header_size(*box);
    uint64_t *end = to + size + 1;
    to[0] = box[0];
    for (size_t i = 1; i <= size; i++) {
        to[i] = box[i];
        if (cop_is_immediate((cop_term){ box[i] }))
            continue;
        const uint64_t *inner = cop__box((cop_term){ box[i] });
        to[i] = cop__box_term(end).w;
        for (size_t left = cop__header_size(*inner) + 1; left > 0; left--)
            *end++ = *inner++;
    }
}

/* With so many words of nested tuples, or 0: of whatever it is. */
static __attribute__((noinline)) struct cop__env *env_by_copy(enum cop__signal kind, cop_term to,
                                                              cop_term from, cop_term term,
                                                              size_t nested) {
    struct cop__env *env =
        cop__env_raw(kind, to, from, nested != 0 ? nested : cop__term_words(term));
    uint64_t *hp = env->frag.body;
    if (nested != 0) {
        copy_nested(term, hp);
        env->term = cop__box_term(hp);
    } else {
        env->term = cop__term_copy(term, &hp, &env->frag.offheap);
    }
    return env;
}

static __attribute__((noinline)) struct cop__env *env_of_any(enum cop__signal kind, cop_term to,
                                                             cop_term from, cop_term term) {
    size_t nested = cop__is_box(term) ? nested_words(term) : 0;
    size_t size = sizeof(struct cop__env) + nested * sizeof(uint64_t);
    char *block = nested != 0 && size <= COP__SMALL_MAX ? cop__small_kept(size) : NULL;
    if (__builtin_expect(block == NULL, 0))
        return env_by_copy(kind, to, from, term, nested);
    struct cop__env *env = fill(block, 0, true, kind, to, from, nested);
    copy_nested(term, env->frag.body);
    env->term = cop__box_term(env->frag.body);
    return env;
}

/* An envelope for a word or a tuple of immediates, the usual message. */
static inline struct cop__env *fill_flat(char *block, enum cop__signal kind, cop_term to,
                                         cop_term from, cop_term term, size_t words) {
    struct cop__env *env = fill(block, 0, true, kind, to, from, words);
    if (words == 0) {
        env->term = term;
        return env;
    }
    const uint64_t *box = cop__box(term);
    size_t i = 0;
    do
        env->frag.body[i] = box[i];
    while (++i < words);
    env->term = cop__box_term(env->frag.body);
    return env;
}

static __attribute__((noinline)) struct cop__env *env_of_flat(enum cop__signal kind, cop_term to,
                                                              cop_term from, cop_term term,
                                                              size_t words) {
    size_t size = sizeof(struct cop__env) + words * sizeof(uint64_t);
    return fill_flat(cop__small_alloc(size), kind, to, from, term, words);
}

/* Calls nothing but at its end, and so saves nothing, for the usual message in a block that was kept. */
__attribute__((noinline)) struct cop__env *cop__env_new(enum cop__signal kind, cop_term to,
                                                        cop_term from, cop_term term) {
    size_t words = 0;
    if (!cop_is_immediate(term) && !cop_is_none(term)) {
        words = cop__tuple_words(term);
        if (__builtin_expect(words == 0, 0))
            return env_of_any(kind, to, from, term);
    }
    _Static_assert(sizeof(struct cop__env) + (COP__FLAT_TUPLE + 1) * sizeof(uint64_t)
                       <= COP__SMALL_MAX,
                   "a flat tuple goes into a small block");
    char *block = cop__small_kept(sizeof(struct cop__env) + words * sizeof(uint64_t));
    if (__builtin_expect(block == NULL, 0))
        return env_of_flat(kind, to, from, term, words);
    return fill_flat(block, kind, to, from, term, words);
}

void cop__env_free(struct cop__env *env) { cop__fragment_free(&env->frag); }

void cop__deliver(struct cop__worker *w, struct cop__env *env) {
    struct cop__slot *slot = cop__slot_of(env->to);
    if (slot == NULL)
        cop__dead_letter(w, env);
    else
        cop__deliver_to(w, slot, env);
}

cop_term cop__exit_tuple(cop_ctx *ctx, cop_term from, cop_term reason) {
    return cop_tuple(ctx, cop_as("EXIT"), from, reason);
}

static void answer_link(struct cop__worker *w, const struct cop__env *link) {
    struct cop__scratch scratch;
    cop_ctx *c = cop__scratch_open(&scratch);
    cop_term exit = cop__exit_tuple(c, link->to, cop_a(noproc).t);
    struct cop__env *answer = cop__env_new(SIG_LINK_EXIT, link->from, link->to, exit);
    answer->id = link->id;
    cop__scratch_close(&scratch);
    cop__deliver(w, answer);
}

static cop_term down_tuple(cop_ctx *c, cop_term ref, cop_term object, uint64_t name, cop_term why) {
    cop_atom kind = cop__is_local_port(object) ? cop_a(port) : cop_a(process);
    if (name != 0)
        object = cop_tuple(c, (cop_term){ name }, cop_as("nonode@nohost"));
    return cop_tuple(c, cop_as("DOWN"), ref, kind, object, why);
}

static void send_down(struct cop__worker *w, cop_term watcher, cop_term ref, cop_term object,
                      uint64_t name, cop_term why) {
    struct cop__scratch scratch;
    cop_ctx *c = cop__scratch_open(&scratch);
    cop_term down = down_tuple(c, ref, object, name, why);
    struct cop__env *env = cop__env_new(SIG_DOWN, watcher, object, down);
    cop__scratch_close(&scratch);
    cop__deliver(w, env);
}

static void send_info(struct cop__worker *w, cop_term to, cop_term ref, cop_ctx *about,
                      cop_term what) {
    struct cop__scratch scratch;
    cop_ctx *c = cop__scratch_open(&scratch);
    cop_term value = cop_a(nil).t;
    if (about != NULL) /* wrapped, so that a value of nil is not taken for "dead" */
        value = cop_tuple(c, cop__info_answer(c, about, what));
    struct cop__env *env = cop__env_new(SIG_MESSAGE, to, COP_NONE, cop_tuple(c, ref, value));
    cop__scratch_close(&scratch);
    cop__deliver(w, env);
}

/* Who suspends learns that there is nobody: by the answer that he waits for, or by a signal. */
static void answer_suspend(struct cop__worker *w, const struct cop__env *env) {
    cop_term ref = cop_head(env->term);
    if (cop_is_nil(ref))
        cop__deliver(w, cop__env_raw(SIG_RELEASED, env->from, env->to, 0));
    else
        send_info(w, env->from, ref, NULL, COP_NONE);
}

static void answer_collect(struct cop__worker *w, const struct cop__env *env) {
    cop_term ref = cop_head(env->term), id = cop_tail(env->term);
    if (cop_is_nil(id)) {
        send_info(w, env->from, ref, NULL, COP_NONE);
        return;
    }
    struct cop__scratch scratch;
    cop_ctx *c = cop__scratch_open(&scratch);
    cop_term answer = cop_tuple(c, cop_a(garbage_collect), cop_head(id), cop_a(false));
    cop__deliver(w, cop__env_new(SIG_MESSAGE, env->from, COP_NONE, answer));
    cop__scratch_close(&scratch);
}

/* A message that nobody takes. */
static void forget(struct cop__env *env) {
    if ((env->kind == SIG_MESSAGE || env->kind == SIG_ALIAS) && env->id != 0)
        cop__meter_release(env);
    cop__env_free(env);
}

void cop__dead_letter(struct cop__worker *w, struct cop__env *env) {
    switch ((enum cop__signal)env->kind) {
    case SIG_LINK:
        answer_link(w, env);
        break;
    case SIG_MONITOR: {
        cop_term name = cop_tail(env->term);
        send_down(w, env->from, cop_head(env->term), env->to, cop_is_nil(name) ? 0 : name.w,
                  cop_a(noproc).t);
        break;
    }
    case SIG_CALL:
        send_down(w, env->from, cop__call_reference(env), env->to, 0, cop_a(noproc).t);
        break;
    case SIG_SUSPEND:
        answer_suspend(w, env);
        break;
    case SIG_COLLECT:
        answer_collect(w, env);
        break;
    case SIG_INFO:
        send_info(w, env->from, cop_head(env->term), NULL, COP_NONE);
        break;
    case SIG_ROOM:
        cop__answer_room(env);
        return;
    case SIG_LIMIT:
        cop__limit_told(env);
        break;
    default:
        break;
    }
    forget(env);
}

void cop__uncount(cop_ctx *p, struct cop__env *env) {
    if (env->kind != SIG_MESSAGE)
        return;
    cop__meter_release(env);
    if (p->extra != NULL && p->extra->waiters != NULL)
        cop__meter_wake(p);
}

/* The reason in an {:EXIT, from, reason} tuple. */
static cop_term exit_reason(cop_term tuple) { return cop_elem(tuple, 2); }

/* The process must go; env holds the reason and stays with it. The first one counts. */
static void exit_pending(cop_ctx *p, struct cop__env *env, cop_term reason) {
    if (p->pending_exit || p->exiting) {
        /* A kill outdoes what has not been acted upon yet. */
        if (!p->exiting && reason.w == cop_a(killed).t.w)
            p->extra->exit_term = reason;
        cop__env_free(env);
        return;
    }
    struct cop__extra *extra = cop__extra_of(p);
    extra->exit_env = env;
    extra->exit_term = reason;
    p->pending_exit = true;
}

static void handle_exit(cop_ctx *p, struct cop__env *env) {
    cop_term reason = exit_reason(env->term);
    bool by_link = env->kind == SIG_LINK_EXIT;
    if (by_link) {
        struct cop__rel *rel = cop__rel_find(&p->rels, env->from.w);
        uint32_t mine = rel == NULL || rel->kind != REL_LINK ? 0
                        : env->flag & COP__ID_MINE           ? rel->theirs
                                                             : rel->mine;
        if (mine == 0 || mine != env->id) {
            cop__env_free(env); /* of a link that is no more */
            return;
        }
        cop__rel_remove(&p->rels, rel);
    } else if (reason.w == cop_a(kill).t.w) {
        exit_pending(p, env, cop_a(killed).t);
        return;
    }
    if (p->kind == KIND_PORT && by_link && reason.w == cop_a(normal).t.w
        && env->from.w != cop__extra_of(p)->owner.w)
        cop__env_free(env); /* a former owner's, for one */
    else if (p->kind == KIND_PORT)
        exit_pending(p, env, reason); /* a port does not outlive what it is linked to */
    else if (p->trap_exit)
        cop__queue_append(p, env);
    else if (reason.w == cop_a(normal).t.w && (by_link || env->from.w != p->pid.w))
        cop__env_free(env);
    else
        exit_pending(p, env, reason);
}

static void handle_link(cop_ctx *p, struct cop__env *env) {
    struct cop__rel *rel = cop__rel_find(&p->rels, env->from.w);
    if (rel == NULL)
        rel = cop__rel_add(&p->rels, env->from.w, REL_LINK);
    rel->theirs = env->id;
    cop__env_free(env);
}

static void handle_unlink(cop_ctx *p, struct cop__env *env) {
    struct cop__rel *rel = cop__rel_find(&p->rels, env->from.w);
    if (rel != NULL && rel->kind == REL_LINK) {
        uint32_t known = env->flag & COP__ID_MINE ? rel->theirs : rel->mine;
        if (known == env->id)
            cop__rel_remove(&p->rels, rel);
    }
    cop__env_free(env);
}

static void send_demonitor(cop_ctx *p, const struct cop__rel *rel) {
    if (rel->other != 0)
        cop__deliver(cop__worker_self(), cop__env_new(SIG_DEMONITOR, (cop_term){ rel->other },
                                                      p->pid, (cop_term){ rel->key }));
}

/* A message that came by an alias: does it still stand? */
static void handle_alias(cop_ctx *p, struct cop__env *env) {
    struct cop__rel *rel = cop__rel_find(&p->rels, env->to.w);
    bool unwatched = env->flag & COP__UNWATCHED;
    if (rel == NULL || rel->alias == COP_ALIAS_NONE) {
        if (rel != NULL && rel->kind == REL_MONITOR && unwatched)
            cop__watch_anew(p, rel);
        forget(env);
        return;
    }
    if (rel->alias == COP__ALIAS_REPLY) {
        cop__rel_remove(&p->rels, rel);
    } else if (rel->alias == COP_ALIAS_REPLY_DEMONITOR) {
        if (!unwatched)
            send_demonitor(p, rel);
        cop__rel_remove(&p->rels, rel);
    }
    cop__queue_append(p, env);
}

/* The same down message with another first element. */
static struct cop__env *retag(struct cop__env *env, cop_term tag) {
    struct cop__scratch scratch;
    cop_ctx *c = cop__scratch_open(&scratch);
    cop_term t = env->term;
    cop_term whole =
        cop_tuple(c, tag, cop_elem(t, 1), cop_elem(t, 2), cop_elem(t, 3), cop_elem(t, 4));
    struct cop__env *fresh = cop__env_new(SIG_DOWN, env->to, env->from, whole);
    cop__scratch_close(&scratch);
    cop__env_free(env);
    return fresh;
}

static void handle_down(cop_ctx *p, struct cop__env *env) {
    struct cop__rel *rel = cop__rel_find(&p->rels, cop_elem(env->term, 1).w);
    if (rel == NULL || rel->kind != REL_MONITOR) {
        cop__env_free(env); /* demonitored meanwhile */
        return;
    }
    if (rel->tag != NULL)
        env = retag(env, (cop_term){ rel->tag->body[0] });
    if (rel->alias == COP_ALIAS_EXPLICIT_UNALIAS) {
        rel->kind = REL_ALIAS;
        rel->other = 0;
    } else {
        cop__rel_remove(&p->rels, rel);
    }
    cop__queue_append(p, env);
}

static void handle_monitor(cop_ctx *p, struct cop__env *env) {
    cop_term name = cop_tail(env->term);
    struct cop__rel *rel = cop__rel_add(&p->rels, cop_head(env->term).w, REL_WATCHER);
    rel->other = env->from.w;
    rel->name = cop_is_nil(name) ? 0 : (uint32_t)name.w;
}

static void forget_watcher(cop_ctx *p, cop_term ref) {
    struct cop__rel *rel = cop__rel_find(&p->rels, ref.w);
    if (rel != NULL && rel->kind == REL_WATCHER)
        cop__rel_remove(&p->rels, rel);
}

/* A process that this one held suspended is gone. */
static void forget_suspended(cop_ctx *p, cop_term gone) {
    struct cop__rel *rel = cop__rel_find(&p->rels, gone.w ^ COP__KEY_SUSPENDING);
    if (rel != NULL)
        cop__rel_remove(&p->rels, rel);
}

static __attribute__((noinline)) void handle(cop_ctx *p, struct cop__env *env) {
    if (env->kind != SIG_ALIAS && env->to.w != p->pid.w) {
        cop__dead_letter(cop__worker_self(), env);
        return;
    }
    switch ((enum cop__signal)env->kind) {
    case SIG_MESSAGE:
        if (__builtin_expect(env->flag & COP__UNWATCHED, 0))
            cop__handle_bare_reply(p, env);
        cop__queue_append(p, env);
        return;
    case SIG_CALL:
        cop__handle_call(p, env);
        return;
    case SIG_ALIAS:
        handle_alias(p, env);
        return;
    case SIG_EXIT:
    case SIG_LINK_EXIT:
        handle_exit(p, env);
        return;
    case SIG_LINK:
        handle_link(p, env);
        return;
    case SIG_UNLINK:
        handle_unlink(p, env);
        return;
    case SIG_MONITOR:
        handle_monitor(p, env);
        break;
    case SIG_DEMONITOR:
        forget_watcher(p, env->term);
        break;
    case SIG_DOWN:
        handle_down(p, env);
        return;
    case SIG_INFO:
        if (p->pending_exit || p->exiting) { /* what came before it has ended the process */
            cop__dead_letter(cop__worker_self(), env);
            return;
        }
        send_info(cop__worker_self(), env->from, cop_head(env->term), p, cop_tail(env->term));
        break;
    case SIG_SUSPEND:
        cop__handle_suspend(p, env);
        return;
    case SIG_RESUME:
        cop__handle_resume(p, env);
        break;
    case SIG_RELEASED:
        forget_suspended(p, env->from);
        break;
    case SIG_LIMIT:
        cop__handle_limit(p, env);
        break;
    case SIG_ROOM:
        cop__handle_room(p, env);
        return;
    case SIG_COLLECT:
        if (p->pending_exit || p->exiting)
            answer_collect(cop__worker_self(), env);
        else
            cop__handle_collect(p, env);
        break;
    case SIG_LEADER:
        p->leader = env->term;
        break;
    case SIG_WAKE:
        if (env->id == p->wait_seq)
            p->woken = true;
        break;
    }
    cop__env_free(env);
}

/* Zero for a message to p, which goes to the queue as it is. */
static inline uint64_t not_plain(const cop_ctx *p, const struct cop__env *env) {
    _Static_assert(SIG_MESSAGE == 0, "what is not 0 is no plain message");
    return (env->to.w ^ p->pid.w) | env->kind | env->flag;
}

/* Turns round what came. If all are plain they go to the queue in one piece. What another core has sent comes
   from there line by line; the blocks of messages in a row often lie in a row, so some are asked for early. */
static __attribute__((noinline)) void take_many(cop_ctx *p, struct cop__env *youngest) {
    enum { AHEAD = 6 };
    struct cop__env *oldest = NULL;
    uint64_t special = cop__node.sim, words = 0;
    uint32_t count = 0;
    if (p->kind == KIND_PROCESS)
        __atomic_store_n(&p->slot->at, (uint32_t)p->home->index + 1, __ATOMIC_RELAXED);
    for (struct cop__env *env = youngest, *next; env != NULL; env = next) {
        next = env->next;
        __builtin_prefetch((void *)((uintptr_t)env + AHEAD * ((uintptr_t)next - (uintptr_t)env)));
        env->next = oldest;
        oldest = env;
        special |= not_plain(p, env);
        words += cop__env_words(env);
        count++;
    }
    if (special == 0) {
        *p->queue_end = oldest;
        p->queue_end = &youngest->next;
        p->queue_len += count;
        p->queue_words += words;
        return;
    }
    if (cop__node.sim)
        cop__sim_opened(p, oldest);
    while (oldest != NULL) {
        struct cop__env *next = oldest->next;
        handle(p, oldest);
        oldest = next;
    }
}

bool cop__take_in(cop_ctx *p) {
    if (__atomic_load_n(&p->slot->inbox, __ATOMIC_RELAXED) == 0)
        return false;
    uintptr_t taken = __atomic_exchange_n(&p->slot->inbox, 0, __ATOMIC_ACQ_REL);
    COP_ASSERT(taken != INBOX_PARKED && taken != INBOX_FREE);
    struct cop__env *youngest = (struct cop__env *)taken;
    if (youngest->next != NULL || __builtin_expect(cop__node.sim, 0))
        take_many(p, youngest);
    else if (not_plain(p, youngest) == 0)
        cop__queue_append(p, youngest);
    else
        handle(p, youngest);
    __atomic_store_n(&p->slot->backlog, p->queue_len, __ATOMIC_RELAXED);
    return true;
}

void cop__check_exit_slowly(cop_ctx *p) {
    while (__builtin_expect(p->suspended, 0) && !p->pending_exit && !p->exiting
           && p->kind != KIND_PORT) {
        cop__wait(p);
        p->idle = false;
        cop__take_in(p);
    }
    if (__builtin_expect(!p->pending_exit, 1) || p->exiting)
        return;
    if (p->kind == KIND_HOST)
        cop__host_exit(p);
    cop__back(p, BACK_EXIT);
}

/* ---- the end, as others see it ------------------------------------------------------------- */

static void tell_link(cop_ctx *p, const struct cop__rel *link, cop_term exit) {
    struct cop__env *env = cop__env_new(SIG_LINK_EXIT, (cop_term){ link->key }, p->pid, exit);
    env->id = link->mine != 0 ? link->mine : link->theirs;
    env->flag = link->mine != 0 ? COP__ID_MINE : 0;
    cop__deliver(cop__worker_self(), env);
}

static void tell_relations(cop_ctx *p, cop_term reason) {
    if (p->rels.count == 0 && (p->extra == NULL || p->extra->waiters == NULL))
        return;
    struct cop__scratch scratch;
    cop_ctx *c = cop__scratch_open(&scratch);
    cop_term exit = cop__exit_tuple(c, p->pid, reason);
    /* Links first: a process that has both hears of the link before the monitor. */
    struct cop__rel *rel;
    for (uint32_t i = 0; (rel = cop__rel_at(&p->rels, &i)) != NULL;)
        if (rel->kind == REL_LINK)
            tell_link(p, rel, exit);
    cop__scratch_close(&scratch);
    for (uint32_t i = 0; (rel = cop__rel_at(&p->rels, &i)) != NULL;) {
        if (rel->kind == REL_WATCHER)
            send_down(cop__worker_self(), (cop_term){ rel->other }, (cop_term){ rel->key }, p->pid,
                      rel->name, reason);
        else if (rel->kind == REL_MONITOR)
            send_demonitor(p, rel);
        else if (rel->kind == REL_SUSPENDING || rel->kind == REL_SUSPENDER)
            cop__suspends_end(p, rel);
    }
    if (p->extra != NULL && p->extra->waiters != NULL)
        cop__meter_wake(p);
}

void cop__die_in_public(cop_ctx *p, cop_term reason) {
    struct cop__slot *slot = p->slot;
    p->exiting = true;
    if (cop__node.sim)
        cop__sim_exits(p, reason);
    cop__take_in(p); /* what came before the end is told the reason, not :noproc */
    __atomic_store_n(&slot->pid, 0, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&slot->name, __ATOMIC_SEQ_CST) != 0)
        cop__name_forget(slot);
    tell_relations(p, reason);
    cop__rel_clear(&p->rels);
    /* The rest of the box are dead letters; whoever comes later finds it FREE. */
    for (;;) {
        uintptr_t seen = 0;
        if (__atomic_compare_exchange_n(&slot->inbox, &seen, INBOX_FREE, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE))
            break;
        struct cop__env *env =
            (struct cop__env *)__atomic_exchange_n(&slot->inbox, 0, __ATOMIC_ACQ_REL);
        while (env != NULL) {
            struct cop__env *next = env->next;
            cop__dead_letter(cop__worker_self(), env);
            env = next;
        }
    }
    cop__meter_give(slot);
    p->slot = NULL;
    struct cop__worker *w = cop__worker_self();
    cop__slot_give(w, slot);
    __atomic_fetch_sub(p->kind == KIND_PORT ? &cop__node.ports : &cop__node.processes, 1,
                       __ATOMIC_RELEASE);
    if (__atomic_load_n(&cop__node.stopping, __ATOMIC_RELAXED)) {
        __atomic_fetch_add(&cop__node.tick, 1, __ATOMIC_RELEASE);
        cop__futex_wake(&cop__node.tick, 1);
    }
}
