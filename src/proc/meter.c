/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits: of a process's heap, and of its mailbox.
 *
 * A heap is looked at when it takes more memory, also in the middle of a callback, between callbacks
 * and in each receive. A mailbox is counted by those who send, because its owner may not be running:
 * a process with a limit has a meter, whose number stands in its slot. A sender adds what its message
 * weighs and writes the meter's number into the envelope; whoever takes the envelope out of the
 * mailbox, or throws it away, gives that back to the same meter.
 *
 * Invariants
 *   1. meter->words and ->length are the sum over the envelopes that bear its number. So a meter may go to
 *      another process while envelopes for the last one are still about.
 *   2. Meters stand in reserved memory and are never unmapped: a stale number may always be used.
 *   3. Only messages sent by a process are counted or refused. System messages, exit signals, down
 *      messages, replies through an alias, timers, what ports send and messages to oneself always pass.
 *   4. No more than max_length of the counted wait at any time: who finds no place takes his count
 *      back. Of the words, the last message let in may stand above the bound.
 * Threads: admit and release by any; the rest by the process's runner.
 */
#include "proc/proc.h"

struct meter {
    int64_t words;  /* atomic: with the envelopes themselves */
    int64_t length; /* atomic */
    uint64_t dropped;
    size_t heap_words; /* of max_heap_size when messages count; 0: none */
    size_t max_length, max_words;
    uint8_t policy;
    uint8_t told;     /* atomic: TOLD_* of which a signal to its owner is on the way */
    uint8_t commands; /* a port's: only {_, {:command, _}} is counted */
    uint8_t busy;     /* atomic; a port's: full, whatever the counts say */
    uint32_t next_free;
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct meter) == 64, "a meter is one cache line");

enum { TOLD_HEAP = 1, TOLD_QUEUE = 2 };

static struct {
    struct cop__lock lock;
    struct meter *all; /* number n is all[n]; 0 is nobody's */
    uint32_t top, free, max;
} meters;

void cop__meters_init(size_t most) {
    meters.max = (uint32_t)most + 1;
    meters.all = cop__vm_reserve(meters.max * sizeof *meters.all);
    if (meters.all == NULL)
        cop__panic(__FILE__, __LINE__, "no memory for meters");
    meters.top = 1;
    meters.free = 0;
}

void cop__meters_free(void) {
    cop__vm_release(meters.all, meters.max * sizeof *meters.all);
    meters.all = NULL;
}

/* The process's meter; made when it has none. */
static struct meter *meter_of(cop_ctx *p) {
    if (p->slot->meter != 0)
        return &meters.all[p->slot->meter];
    cop__lock(&meters.lock);
    uint32_t number = meters.free;
    if (number != 0)
        meters.free = meters.all[number].next_free;
    else
        number = meters.top++; /* there are as many as slots */
    cop__unlock(&meters.lock);
    struct meter *m = &meters.all[number];
    m->dropped = 0;
    m->heap_words = m->max_length = m->max_words = 0;
    m->commands = 0;
    __atomic_store_n(&m->busy, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&m->told, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&p->slot->meter, number, __ATOMIC_RELEASE);
    return m;
}

void cop__meter_give(struct cop__slot *slot) {
    uint32_t number = slot->meter;
    if (number == 0)
        return;
    __atomic_store_n(&slot->meter, 0, __ATOMIC_RELEASE);
    cop__lock(&meters.lock);
    meters.all[number].next_free = meters.free;
    meters.free = number;
    cop__unlock(&meters.lock);
}

static size_t weight(const struct cop__env *env) {
    return env->frag.words + sizeof *env / sizeof(uint64_t);
}

void cop__meter_release(struct cop__env *env) {
    struct meter *m = &meters.all[env->id];
    __atomic_fetch_sub(&m->words, (int64_t)weight(env), __ATOMIC_RELAXED);
    __atomic_fetch_sub(&m->length, 1, __ATOMIC_RELAXED);
    env->id = 0;
}

/* ---- the mailbox ------------------------------------------------------------------------------------ */

/* Counts a message in, unless the mailbox is full. Who comes at the same time as others may find it
   full by what they take back at once: as if he had come a little earlier. */
static bool count_in(struct meter *m, const struct cop__env *env, int64_t *words) {
    if (__atomic_load_n(&m->busy, __ATOMIC_RELAXED))
        return false;
    int64_t added = (int64_t)weight(env);
    int64_t length = __atomic_fetch_add(&m->length, 1, __ATOMIC_RELAXED);
    *words = __atomic_fetch_add(&m->words, added, __ATOMIC_RELAXED);
    if ((m->max_length == 0 || length < (int64_t)m->max_length)
        && (m->max_words == 0 || *words < (int64_t)m->max_words)) {
        *words += added;
        return true;
    }
    __atomic_fetch_sub(&m->length, 1, __ATOMIC_RELAXED);
    __atomic_fetch_sub(&m->words, added, __ATOMIC_RELAXED);
    return false;
}

static bool is_command(cop_term message) {
    const cop_term *e = cop__tuple_elems(message, 2);
    e = e != NULL ? cop__tuple_elems(e[1], 2) : NULL;
    return e != NULL && e[0].w == cop_a(command).t.w;
}

/* Ports and processes that are ending cannot wait, and what a port read cannot be dropped. A letter to
   somebody who has moved goes the way of all dead letters. */
static bool always_passes(const cop_ctx *sender, const struct meter *m,
                          const struct cop__env *env) {
    if (m->commands && !is_command(env->term))
        return true;
    const cop_term *e = cop__tuple_elems(env->term, 3);
    return env->kind != SIG_MESSAGE || env->to.w == sender->pid.w || sender->kind == KIND_PORT
           || sender->exiting || (e != NULL && e[0].w == cop_a(system).t.w)
           || !cop__is_here(env->to);
}

/* Its owner looks at itself, also when it does not run. */
static void tell_owner(cop_ctx *sender, uint32_t number, cop_term owner, uint8_t what) {
    if (__atomic_fetch_or(&meters.all[number].told, what, __ATOMIC_ACQ_REL) & what)
        return;
    struct cop__env *env = cop__env_raw(SIG_LIMIT, owner, sender->pid, 0);
    env->id = number;
    env->flag = what;
    cop__deliver(sender->worker, env);
}

/* A SIG_LIMIT was read, or nobody is there to read it. */
void cop__limit_told(const struct cop__env *env) {
    __atomic_fetch_and(&meters.all[env->id].told, (uint8_t)~env->flag, __ATOMIC_ACQ_REL);
}

/* Until the owner has taken half of what was there, or is gone. The message stands with the sender:
   who is killed while he waits does not come back here. */
static void wait_for_room(cop_ctx *sender, struct cop__env *env) {
    struct cop__extra *extra = cop__extra_of(sender);
    cop_term owner = env->to;
    if (extra->unsent != NULL) /* of a wait that an exit ended, which was caught */
        cop__env_free(extra->unsent);
    extra->unsent = env;
    cop_ref ref = cop__ref_next(sender);
    cop__deliver(sender->worker, cop__env_new(SIG_ROOM, owner, sender->pid, ref.t));
    cop__leave(sender);
    cop_term room;
    cop_receive_ref(sender, COP_INFINITY, ref, &room);
    cop__enter(sender);
    extra->unsent = NULL;
}

bool cop__meter_admit(cop_ctx *sender, uint32_t number, struct cop__env *env, bool *would_wait) {
    struct meter *m = &meters.all[number];
    int64_t words;
    if (always_passes(sender, m, env))
        return true;
    while (!count_in(m, env, &words)) {
        if (m->policy == COP_QUEUE_DROP) {
            __atomic_fetch_add(&m->dropped, 1, __ATOMIC_RELAXED);
            return false;
        }
        if (m->policy == COP_QUEUE_EXIT) {
            tell_owner(sender, number, env->to, TOLD_QUEUE);
            return false;
        }
        if (would_wait != NULL) {
            *would_wait = true;
            return false;
        }
        wait_for_room(sender, env);
        if (!cop__is_here(env->to))
            return false;
    }
    env->id = number;
    if (m->heap_words != 0 && words > (int64_t)m->heap_words)
        tell_owner(sender, number, env->to, TOLD_HEAP);
    return true;
}

void cop__set_max_queue(cop_ctx *p, size_t length, size_t bytes, int policy) {
    struct meter *m = meter_of(p);
    m->max_length = length;
    m->max_words = (bytes + 7) / 8;
    m->policy = (uint8_t)policy;
}

void cop__meter_commands(cop_ctx *p, size_t length) {
    struct meter *m = meter_of(p);
    m->max_length = length;
    m->commands = 1;
    m->policy = COP_QUEUE_WAIT;
}

void cop__meter_set_busy(cop_ctx *p, bool busy) {
    COP_ASSERT(p->slot->meter != 0);
    __atomic_store_n(&meters.all[p->slot->meter].busy, busy, __ATOMIC_RELAXED);
    if (!busy && p->extra != NULL && p->extra->waiters != NULL)
        cop__meter_wake(p);
}

bool cop__meter_is_full(uint32_t number) {
    const struct meter *m = &meters.all[number];
    return __atomic_load_n(&m->busy, __ATOMIC_RELAXED)
           || (m->max_length != 0
               && __atomic_load_n(&m->length, __ATOMIC_RELAXED) >= (int64_t)m->max_length);
}

/* SIG_ROOM: somebody waits until there is room again. */
void cop__handle_room(cop_ctx *p, struct cop__env *env) {
    struct cop__extra *extra = cop__extra_of(p);
    env->next = extra->waiters;
    extra->waiters = env;
    cop__meter_wake(p);
}

void cop__answer_room(struct cop__env *env) {
    struct cop__scratch scratch;
    cop_ctx *c = cop__scratch_open(&scratch);
    cop_term answer = cop_tuple(c, env->term, cop_a(room));
    cop__deliver(cop__worker_self(), cop__env_new(SIG_MESSAGE, env->from, COP_NONE, answer));
    cop__scratch_close(&scratch);
    cop__env_free(env);
}

void cop__meter_wake(cop_ctx *p) {
    struct cop__extra *extra = p->extra;
    const struct meter *m = p->slot != NULL ? &meters.all[p->slot->meter] : NULL;
    if (m != NULL && !p->exiting
        && (__atomic_load_n(&m->busy, __ATOMIC_RELAXED)
            || (m->max_length != 0
                && __atomic_load_n(&m->length, __ATOMIC_RELAXED) > (int64_t)m->max_length / 2)
            || (m->max_words != 0
                && __atomic_load_n(&m->words, __ATOMIC_RELAXED) > (int64_t)m->max_words / 2)))
        return;
    struct cop__env *youngest = extra->waiters, *oldest = NULL;
    extra->waiters = NULL;
    while (youngest != NULL) {
        struct cop__env *next = youngest->next;
        youngest->next = oldest;
        oldest = youngest;
        youngest = next;
    }
    while (oldest != NULL) { /* who has waited longest goes first */
        struct cop__env *next = oldest->next;
        cop__answer_room(oldest);
        oldest = next;
    }
}

cop_term cop__max_queue_map(cop_ctx *ctx, const cop_ctx *p) {
    static const struct meter none;
    static const char *const names[] = { "drop", "exit", "wait" };
    const struct meter *m = p->slot->meter != 0 ? &meters.all[p->slot->meter] : &none;
    return cop_map(ctx, cop_a(length), (uint64_t)m->max_length, cop_a(bytes),
                   (uint64_t)m->max_words * 8, cop_a(policy), cop_atom_new(names[m->policy]),
                   cop_a(dropped), __atomic_load_n(&m->dropped, __ATOMIC_RELAXED));
}

/* ---- the heap ----------------------------------------------------------------------------------------- */

static void over_limit(cop_ctx *p);

void cop__set_max_heap(cop_ctx *p, size_t words) {
    struct cop__extra *extra = cop__extra_of(p);
    extra->max_heap_words = words;
    p->heap.limit_words = words > UINT32_MAX ? UINT32_MAX : (uint32_t)words;
    cop__limit_hook = over_limit;
    if (words != 0 && !extra->off_heap && !extra->no_kill)
        meter_of(p)->heap_words = words;
    else if (p->slot->meter != 0)
        meters.all[p->slot->meter].heap_words = 0;
}

size_t cop__total_words(const cop_ctx *p) {
    size_t words = cop__heap_words(&p->heap);
    if (p->extra != NULL && p->extra->with_shared)
        words += cop__heap_shared_bytes(&p->heap, NULL, 0) / sizeof(uint64_t);
    if (p->extra == NULL || !p->extra->off_heap)
        words += p->queue_words;
    return words;
}

/* To the process registered as :logger; built aside, because there is no room here. */
static void log_limit(cop_ctx *p, size_t words, bool kill) {
    cop_term logger;
    if (!cop__log_is_heard(&logger))
        return;
    struct cop__scratch scratch;
    cop_ctx *c = cop__scratch_open(&scratch);
    cop_term args = cop_list(c, p->pid, (uint64_t)p->extra->max_heap_words, (uint64_t)words,
                             cop_bool(kill), cop_bool(true), p->queue_len,
                             cop__info_answer(c, p, cop_a(garbage_collection_info).t));
    cop_term text = cop_charlist(c, "     Process:            ~p ~n"
                                    "     Context:            maximum heap size reached~n"
                                    "     Max Heap Size:      ~p~n"
                                    "     Total Heap Size:    ~p~n"
                                    "     Kill:               ~p~n"
                                    "     Error Logger:       ~p~n"
                                    "     Message Queue Len:  ~p~n"
                                    "     GC Info:            ~p~n");
    cop_term origin = cop_map(c, cop_a(tag), cop_a(error), cop_a(emulator), cop_bool(true));
    int64_t now =
        (cop__node.sim ? INT64_C(1700000000000000000) + cop__now_ns() : cop__clock_realtime_ns())
        / 1000;
    cop_term meta = cop_map(c, cop_a(error_logger), origin, cop_a(pid), p->pid, cop_a(gl),
                            cop__leader_of(p), cop_a(time), now);
    cop__log_aside(p, c, logger, cop_tuple(c, cop_a(format), text, args), meta);
    cop__scratch_close(&scratch);
}

/* coming: words of messages that were sent and do not stand in its queue yet. */
static void look_at_heap(cop_ctx *p, size_t coming) {
    struct cop__extra *extra = p->extra;
    size_t words = cop__total_words(p) + coming;
    if (extra == NULL || extra->max_heap_words == 0 || words <= extra->max_heap_words
        || p->pending_exit || p->exiting)
        return;
    bool kill = !extra->no_kill;
    if (!extra->no_log)
        log_limit(p, words, kill);
    if (kill) {
        extra->exit_term = cop_a(killed).t;
        p->pending_exit = true;
    } else if (words <= UINT32_MAX / 2) {
        p->heap.limit_words = (uint32_t)words * 2; /* said once; again when it has doubled */
    }
}

void cop__heap_limit(cop_ctx *p) { look_at_heap(p, 0); }

/* The heap takes more memory, or refers to more, in the middle of whatever the process does. */
static void over_limit(cop_ctx *p) {
    if (cop__heap_words(&p->heap) <= p->heap.limit_words && !p->extra->with_shared)
        return;
    if (p->worker == NULL || p->pending_exit || p->exiting || p->kind == KIND_PORT
        || __atomic_load_n(&p->worker->in_runtime, __ATOMIC_RELAXED))
        return; /* the run-time finishes what it does; the next look is soon */
    cop__enter(p);
    cop__heap_limit(p);
    cop__check_exit(p);
    cop__leave(p);
}

/* A message was refused: that ends the process, even if there is room again by now. Otherwise it
   looks at its heap: also at what lies behind this signal, because whoever sent that saw that the
   owner had been told. */
void cop__handle_limit(cop_ctx *p, const struct cop__env *env) {
    cop__limit_told(env);
    if (env->flag != TOLD_QUEUE) {
        int64_t sent = __atomic_load_n(&meters.all[p->slot->meter].words, __ATOMIC_RELAXED);
        bool counts = p->extra != NULL && !p->extra->off_heap && sent > (int64_t)p->queue_words;
        look_at_heap(p, counts ? (size_t)sent - p->queue_words : 0);
    } else if (!p->pending_exit && !p->exiting) {
        cop__extra_of(p)->exit_term = cop_a(max_queue).t;
        p->pending_exit = true;
    }
}
