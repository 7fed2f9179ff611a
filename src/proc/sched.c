/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Schedulers: run queues, work stealing, and when a worker sleeps.
 *
 * Each scheduler has, for processes of normal priority, a ring that its worker fills at the tail and
 * that it and thieves empty at the head; a list that takes what the ring cannot (then order is kept
 * by filling only the list until the ring is empty); and one place for the process "next in line":
 * a process woken by the running one, whose message is still warm in the cache. Lists hold the other
 * priorities. Threads without a scheduler push onto `remote`.
 *
 *     woken here --> next --\
 *     displaced  --> ring (512) --> pick     <== thieves take half of a ring that is not served
 *                    overflow --/
 *     other threads --> remote --> ring
 *
 * Waking a sleeping core costs tens of microseconds, a thousand messages' worth. So nothing wakes a
 * core for one message: a thief steals, and a busy scheduler wakes a sleeper, only when something has
 * stood in the ring for longer than PATIENCE: seen at its tail then, still not past the head now. A few that
 * compute pass the head from look to look; they are told by the length of their steps, twice in a row, for
 * once the kernel may have run another program meanwhile.
 *
 * A throng is left alone: if all in the ring have spent their turns on filling one mailbox, they wait for its
 * owner and not for a core. On another core they would fill it no sooner, and each message would have to
 * cross over; so one that was taken away goes back to where the owner is. That is so for short turns: where
 * the senders do more than send, or their messages are large, a second core is worth its way.
 *
 * A scheduler keeps stacks, nurseries and blocks of memory for what comes next. When it has picked hardly
 * anything for a second it gives all of them back, and the free stacks of the common pool.
 *
 * `next` is the owner's alone, so that two processes that talk to each other cost no locked operation
 * here. A thief that sees one wait behind a long step claims the worker (monitor.c) and takes it.
 *
 * Invariants
 *   1. ring[i] for head <= i < tail are runnable processes, each in one place only.
 *   2. Only the carrying worker writes tail; head moves by compare-and-swap.
 *   3. Those in the ring from `throng_from` on have flooded one mailbox, `thronged`.
 *   4. A worker that sleeps has set `asleep` and looked at `remote` after; who pushes onto `remote`
 *      looks at `asleep` after. (Both sequentially consistent.)
 * Threads: push and pick by the carrying worker; steal by other workers; remote by any.
 */
#include "proc/proc.h"

enum {
    PATIENCE_NS = 50000,
    SHORT_STEP_NS = 25000,
    SPIN_NS = 70000,
    LOOK_NS = 10000,
    LOOK_EVERY = 32, /* picks, at most */
    IN_A_ROW = 16,
    TIMERS_AT_ONCE = 512,
    QUIET_PICKS = 64
};

struct cop__node cop__node;

static inline bool list_has(const struct cop__list *list) {
    return __builtin_expect(__atomic_load_n(&list->count, __ATOMIC_RELAXED) != 0, 0);
}

static bool list_pop(struct cop__sched *s, struct cop__list *list, cop_ctx **p) {
    if (!list_has(list))
        return false;
    cop__lock(&s->lock);
    *p = list->head;
    if (*p != NULL) {
        list->head = (*p)->run_next;
        if (list->head == NULL)
            list->tail = &list->head;
        __atomic_store_n(&list->count, list->count - 1, __ATOMIC_RELAXED);
    }
    cop__unlock(&s->lock);
    return *p != NULL;
}

static void list_push(struct cop__sched *s, struct cop__list *list, cop_ctx *p) {
    p->run_next = NULL;
    cop__lock(&s->lock);
    *list->tail = p;
    list->tail = &p->run_next;
    __atomic_store_n(&list->count, list->count + 1, __ATOMIC_RELAXED);
    cop__unlock(&s->lock);
}

static inline void push_last(struct cop__sched *s, cop_ctx *p) {
    uint32_t head = __atomic_load_n(&s->head, __ATOMIC_ACQUIRE);
    uint32_t tail = s->tail;
    if (tail - head < COP__RING && __atomic_load_n(&s->overflow.count, __ATOMIC_RELAXED) == 0) {
        __atomic_store_n(&s->ring[tail % COP__RING], p, __ATOMIC_RELAXED);
        __atomic_store_n(&s->tail, tail + 1, __ATOMIC_RELEASE);
        return;
    }
    list_push(s, &s->overflow, p);
}

static __attribute__((noinline)) void push_tail(struct cop__sched *s, cop_ctx *p) {
    if (p->slot != s->thronged) /* whom the throng waits for is one of them */
        __atomic_store_n(&s->throng_from, s->tail + 1, __ATOMIC_RELAXED);
    push_last(s, p);
}

/* The same for one of a throng. */
static __attribute__((noinline)) void push_to_throng(struct cop__sched *s, cop_ctx *p,
                                                     const struct cop__slot *flooded) {
    if (flooded != s->thronged) {
        s->thronged = flooded;
        __atomic_store_n(&s->throng_from, s->tail, __ATOMIC_RELAXED);
    }
    push_last(s, p);
}

/* Does all that waits in the ring behind head wait for one who cannot follow? */
static inline bool is_throng(const struct cop__sched *s, uint32_t head) {
    return __atomic_load_n(&s->steps_are_short, __ATOMIC_RELAXED)
           && (int32_t)(__atomic_load_n(&s->throng_from, __ATOMIC_RELAXED) - head) <= 0;
}

/* In line at once: at the tail goes who was there. */
static inline void push_next(struct cop__sched *s, cop_ctx *p) {
    cop_ctx *displaced = s->next;
    __atomic_store_n(&s->next, p, __ATOMIC_RELAXED);
    if (displaced != NULL)
        push_tail(s, displaced);
}

static cop_ctx *ring_pop(struct cop__sched *s) {
    uint32_t head = __atomic_load_n(&s->head, __ATOMIC_ACQUIRE);
    for (;;) {
        if (head == s->tail)
            return NULL;
        cop_ctx *p = __atomic_load_n(&s->ring[head % COP__RING], __ATOMIC_RELAXED);
        if (__atomic_compare_exchange_n(&s->head, &head, head + 1, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE))
            return p;
    }
}

/* The ring is empty: fills it from the overflow list. */
static void refill(struct cop__sched *s) {
    cop__lock(&s->lock);
    uint32_t head = __atomic_load_n(&s->head, __ATOMIC_ACQUIRE);
    uint32_t tail = s->tail;
    while (s->overflow.head != NULL && tail - head < COP__RING / 2) {
        cop_ctx *p = s->overflow.head;
        s->overflow.head = p->run_next;
        __atomic_store_n(&s->ring[tail % COP__RING], p, __ATOMIC_RELAXED);
        tail++;
        __atomic_store_n(&s->overflow.count, s->overflow.count - 1, __ATOMIC_RELAXED);
    }
    if (s->overflow.head == NULL)
        s->overflow.tail = &s->overflow.head;
    __atomic_store_n(&s->throng_from, tail, __ATOMIC_RELAXED);
    __atomic_store_n(&s->tail, tail, __ATOMIC_RELEASE);
    cop__unlock(&s->lock);
}

void cop__sched_push(struct cop__sched *s, cop_ctx *p, bool next_in_line) {
    if (__builtin_expect(cop__node.sim, 0)) {
        cop__sim_push(p);
        return;
    }
    switch ((cop_priority)p->priority) {
    case COP_PRIORITY_MAX:
        list_push(s, &s->urgent[0], p);
        return;
    case COP_PRIORITY_HIGH:
        list_push(s, &s->urgent[1], p);
        return;
    case COP_PRIORITY_LOW:
        list_push(s, &s->low, p);
        return;
    case COP_PRIORITY_NORMAL:
        break;
    }
    if (next_in_line)
        push_next(s, p);
    else
        push_tail(s, p);
}

static void remote_push(struct cop__sched *s, cop_ctx *p) {
    cop_ctx *head = __atomic_load_n(&s->remote, __ATOMIC_RELAXED);
    do
        p->run_next = head;
    while (!__atomic_compare_exchange_n(&s->remote, &head, p, true, __ATOMIC_SEQ_CST,
                                        __ATOMIC_RELAXED));
    if (__atomic_load_n(&s->asleep, __ATOMIC_SEQ_CST) != 0)
        cop__sched_wake(s);
}

void cop__sched_push_flooder(struct cop__sched *s, cop_ctx *p, const struct cop__slot *flooded) {
    uint32_t at = __atomic_load_n(&flooded->at, __ATOMIC_RELAXED) - 1;
    if (p->priority != COP_PRIORITY_NORMAL || __builtin_expect(cop__node.sim, 0)) {
        cop__sched_push(s, p, false);
    } else if (at == (uint32_t)s->index || at >= cop__node.sched_count || !s->steps_are_short) {
        push_to_throng(s, p, flooded);
    } else {
        p->follows = true;
        remote_push(cop__node.scheds[at], p);
    }
}

/* It comes to the throng that is here: of what it has flooded only the scheduler is known. */
static void push_follower(struct cop__sched *s, cop_ctx *p) {
    p->follows = false;
    if (s->thronged != NULL)
        push_to_throng(s, p, s->thronged);
    else
        push_tail(s, p);
}

void cop__sched_drain(struct cop__sched *s) {
    if (__builtin_expect(__atomic_load_n(&s->remote, __ATOMIC_RELAXED) == NULL, 1))
        return;
    cop_ctx *p = __atomic_exchange_n(&s->remote, NULL, __ATOMIC_ACQUIRE), *oldest = NULL;
    while (p != NULL) {
        cop_ctx *next = p->run_next;
        p->run_next = oldest;
        oldest = p;
        p = next;
    }
    while (oldest != NULL) {
        cop_ctx *next = oldest->run_next;
        if (oldest->follows)
            push_follower(s, oldest);
        else
            cop__sched_push(s, oldest, false);
        oldest = next;
    }
}

static __attribute__((noinline)) void schedule_otherwise(struct cop__worker *w, cop_ctx *p) {
    if (p->kind == KIND_PORT) {
        cop__bound_push(p->bound, p);
        return;
    }
    if (p->kind == KIND_HOST) {
        /* Once it is woken the thread may end and p be gone: only the word's address is used then. */
        uint32_t *word = &p->worker->wake;
        __atomic_store_n(word, 1, __ATOMIC_RELEASE);
        cop__futex_wake(word, 1);
        return;
    }
    p->where = WHERE_RUNNABLE;
    if (w != NULL && w->sched != NULL)
        cop__sched_push(w->sched, p, true);
    else
        remote_push(p->home, p);
}

void cop__schedule(struct cop__worker *w, cop_ctx *p) {
    if (__builtin_expect(p->kind != KIND_PROCESS || p->priority != COP_PRIORITY_NORMAL || w == NULL
                             || w->sched == NULL || cop__node.sim,
                         0)) {
        schedule_otherwise(w, p);
        return;
    }
    p->where = WHERE_RUNNABLE;
    push_next(w->sched, p);
}

void cop__sched_wake(struct cop__sched *s) {
    if (__atomic_exchange_n(&s->asleep, 0, __ATOMIC_SEQ_CST) != 0)
        cop__futex_wake(&s->asleep, 1);
}

void cop__sched_wake_one(struct cop__sched *busy) {
    if (__atomic_load_n(&cop__node.sleeping, __ATOMIC_RELAXED) == 0
        || __atomic_load_n(&cop__node.spinning, __ATOMIC_RELAXED) != 0)
        return;
    for (uint32_t i = 1; i < cop__node.sched_count; i++) {
        struct cop__sched *s =
            cop__node.scheds[((uint32_t)busy->index + i) % cop__node.sched_count];
        if (__atomic_load_n(&s->asleep, __ATOMIC_RELAXED) != 0) {
            cop__sched_wake(s);
            return;
        }
    }
}

/* How many picks until the next look: so many that the clock costs little, so few that no timer has to wait
   long for it. A step may take long after many short ones, so they are never very many. */
static uint32_t until_next_look(struct cop__sched *s, int64_t since_last_ns) {
    if (since_last_ns < LOOK_NS / 2 && s->look_every < LOOK_EVERY)
        s->look_every *= 2;
    else if (since_last_ns > LOOK_NS && s->look_every > LOOK_EVERY / 8)
        s->look_every /= 2;
    return s->look_every;
}

/* Has something waited in the ring for too long, all the time or behind each of the last steps? */
static bool is_too_much(struct cop__sched *s, int64_t steps_ns, uint32_t steps) {
    uint32_t head = __atomic_load_n(&s->head, __ATOMIC_RELAXED);
    bool were_long = s->steps_are_long;
    s->steps_are_long = steps_ns > (int64_t)steps * PATIENCE_NS;
    bool are_short = steps_ns < (int64_t)steps * SHORT_STEP_NS;
    __atomic_store_n(&s->steps_are_short, are_short || s->steps_were_short, __ATOMIC_RELAXED);
    s->steps_were_short = are_short;
    if (were_long && s->steps_are_long && head != s->tail)
        return true;
    if ((int32_t)(s->backlog_tail - head) > 0 && !is_throng(s, head))
        return s->now_ns - s->backlog_since > PATIENCE_NS;
    s->backlog_tail = s->tail;
    s->backlog_since = s->now_ns;
    return false;
}

/* Every few picks: the clock, due timers, and whether another core is needed. */
static __attribute__((noinline)) void look_around(struct cop__sched *s) {
    int64_t last_ns = s->now_ns;
    uint32_t steps = s->picks - s->looked_at;
    s->looked_at = s->picks;
    s->now_ns = cop__now_ns();
    /* Of many timers that are due at once some fire now, and what they woke runs while it is warm. */
    bool more = cop__wheel_run(s->wheel, s->now_ns, TIMERS_AT_ONCE);
    s->look_at = s->picks + (more ? 1 : until_next_look(s, s->now_ns - last_ns));
    if (cop__node.sched_count > 1 && is_too_much(s, s->now_ns - last_ns, steps)) {
        cop__sched_wake_one(s);
        s->backlog_since = s->now_ns;
    }
}

static inline cop_ctx *take_own_next(struct cop__sched *s) {
    cop_ctx *p = s->next;
    if (p != NULL)
        __atomic_store_n(&s->next, NULL, __ATOMIC_RELAXED);
    return p;
}

/* When something waits elsewhere than in the place next in line, or nothing does there. */
static __attribute__((noinline)) cop_ctx *pick_among_all(struct cop__sched *s) {
    cop_ctx *p;
    cop__sched_drain(s);
    if ((list_has(&s->urgent[0]) || list_has(&s->urgent[1]))
        && (list_pop(s, &s->urgent[0], &p) || list_pop(s, &s->urgent[1], &p)))
        return p;
    if (s->picks % 8 == 0 && list_pop(s, &s->low, &p))
        return p;
    if (s->in_a_row < IN_A_ROW && (p = take_own_next(s)) != NULL) {
        s->in_a_row++;
        return p;
    }
    s->in_a_row = 0;
    if ((p = ring_pop(s)) != NULL)
        return p;
    if (__atomic_load_n(&s->overflow.count, __ATOMIC_RELAXED) != 0) {
        refill(s);
        if ((p = ring_pop(s)) != NULL)
            return p;
    }
    if ((p = take_own_next(s)) != NULL)
        return p;
    return list_pop(s, &s->low, &p) ? p : NULL;
}

/* Does anything come before the one next in line? */
static inline bool is_something_urgent(struct cop__sched *s) {
    return __atomic_load_n(&s->remote, __ATOMIC_RELAXED) != NULL
           || (__atomic_load_n(&s->urgent[0].count, __ATOMIC_RELAXED)
               | __atomic_load_n(&s->urgent[1].count, __ATOMIC_RELAXED))
                  != 0
           || (__atomic_load_n(&s->low.count, __ATOMIC_RELAXED) != 0 && s->picks % 8 == 0);
}

cop_ctx *cop__sched_pick(struct cop__worker *w) {
    struct cop__sched *s = w->sched;
    cop_ctx *p = w->preselected;
    if (p != NULL) {
        w->preselected = NULL;
        return p;
    }
    if (__builtin_expect(cop__node.sim, 0))
        return cop__sim_pick(w);
    uint32_t n = s->picks + 1;
    __atomic_store_n(&s->picks, n, __ATOMIC_RELAXED);
    if (__builtin_expect((int32_t)(n - s->look_at) >= 0, 0))
        look_around(s);
    if (s->in_a_row >= IN_A_ROW || is_something_urgent(s) || (p = take_own_next(s)) == NULL)
        return pick_among_all(s);
    s->in_a_row++;
    return p;
}

/* ---- idling ---------------------------------------------------------------------------------- */

struct sight {
    uint32_t tail;
    int64_t since;
    uint32_t picks;
    int64_t picks_since;
    uint32_t step;
    int64_t step_since;
};

/* Takes half of a ring that its owner does not get round to. */
static bool steal_from(struct cop__sched *me, struct cop__sched *victim, struct sight *seen,
                       int64_t now) {
    uint32_t head = __atomic_load_n(&victim->head, __ATOMIC_ACQUIRE);
    uint32_t tail = __atomic_load_n(&victim->tail, __ATOMIC_ACQUIRE);
    cop_ctx *next = __atomic_load_n(&victim->next, __ATOMIC_RELAXED);
    uint32_t picks = __atomic_load_n(&victim->picks, __ATOMIC_RELAXED);
    if (next == NULL || picks != seen->picks || seen->picks_since == 0) {
        seen->picks = picks;
        seen->picks_since = now;
    } else if (head == tail && now - seen->picks_since > PATIENCE_NS) {
        /* The one next in line waits behind a long step: nothing was picked all that time. */
        seen->picks_since = now;
        if ((next = cop__take_next(victim)) != NULL) {
            cop__sched_push(me, next, false);
            return true;
        }
    }
    if (picks != seen->step || seen->step_since == 0) {
        seen->step = picks;
        seen->step_since = now;
    }
    if ((int32_t)(seen->tail - head) <= 0 || head == tail || seen->since == 0
        || (is_throng(victim, head) && now - seen->step_since < PATIENCE_NS)) {
        seen->tail = tail;
        seen->since = now;
        return false;
    }
    if (now - seen->since < PATIENCE_NS)
        return false;
    uint32_t n = (tail - head) - (tail - head) / 2;
    uint32_t mine = me->tail;
    if (n > COP__RING / 2 || mine != __atomic_load_n(&me->head, __ATOMIC_ACQUIRE))
        return false; /* an inconsistent look, or not idle after all */
    for (uint32_t i = 0; i < n; i++) {
        cop_ctx *p = __atomic_load_n(&victim->ring[(head + i) % COP__RING], __ATOMIC_RELAXED);
        __atomic_store_n(&me->ring[(mine + i) % COP__RING], p, __ATOMIC_RELAXED);
    }
    if (!__atomic_compare_exchange_n(&victim->head, &head, head + n, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_RELAXED))
        return false;
    __atomic_store_n(&me->throng_from, mine + n, __ATOMIC_RELAXED);
    __atomic_store_n(&me->tail, mine + n, __ATOMIC_RELEASE);
    seen->since = 0;
    return true;
}

static bool has_work(struct cop__sched *s) {
    return __atomic_load_n(&s->remote, __ATOMIC_SEQ_CST) != NULL
           || __atomic_load_n(&s->head, __ATOMIC_RELAXED)
                  != __atomic_load_n(&s->tail, __ATOMIC_RELAXED)
           || __atomic_load_n(&s->next, __ATOMIC_RELAXED) != NULL
           || __atomic_load_n(&s->overflow.count, __ATOMIC_RELAXED) != 0
           || __atomic_load_n(&s->urgent[0].count, __ATOMIC_RELAXED) != 0
           || __atomic_load_n(&s->urgent[1].count, __ATOMIC_RELAXED) != 0
           || __atomic_load_n(&s->low.count, __ATOMIC_RELAXED) != 0;
}

bool cop__sched_has_work(struct cop__sched *s) {
    return has_work(s) || cop__wheel_next_ms(s->wheel) <= cop__now_ms();
}

/* One look at all other schedulers' queues. */
static bool steal(struct cop__sched *s, struct sight *seen, int64_t now) {
    for (uint32_t i = 1; i < cop__node.sched_count; i++) {
        uint32_t k = ((uint32_t)s->index + i) % cop__node.sched_count;
        if (steal_from(s, cop__node.scheds[k], &seen[k % 8], now))
            return true;
    }
    return false;
}

static bool spin(struct cop__sched *s) {
    struct sight seen[8];
    memset(seen, 0, sizeof seen);
    int64_t start = cop__now_ns(), now = start;
    bool found = false;
    __atomic_fetch_add(&cop__node.spinning, 1, __ATOMIC_RELAXED);
    while (!found && now - start < SPIN_NS
           && !__atomic_load_n(&cop__node.ended, __ATOMIC_RELAXED)) {
        for (int i = 0; i < 16 && !found; i++) {
            cop__cpu_relax();
            found = __atomic_load_n(&s->remote, __ATOMIC_RELAXED) != NULL;
        }
        now = cop__now_ns();
        found = found || steal(s, seen, now) || cop__wheel_next_ms(s->wheel) <= now / 1000000;
    }
    __atomic_fetch_sub(&cop__node.spinning, 1, __ATOMIC_RELAXED);
    s->now_ns = now;
    return found;
}

void cop__sched_sleep(struct cop__sched *s, int64_t most_ns) {
    __atomic_fetch_add(&cop__node.sleeping, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&s->asleep, 1, __ATOMIC_SEQ_CST);
    if (!has_work(s) && !__atomic_load_n(&cop__node.ended, __ATOMIC_SEQ_CST)) {
        int64_t next = cop__wheel_next_ms(s->wheel), wait = most_ns;
        if (next != INT64_MAX && next * 1000000 - cop__now_ns() < wait)
            wait = next * 1000000 - cop__now_ns();
        if (wait > 0)
            cop__futex_wait(&s->asleep, 1, wait == INT64_MAX ? -1 : wait);
    }
    __atomic_store_n(&s->asleep, 0, __ATOMIC_SEQ_CST);
    __atomic_fetch_sub(&cop__node.sleeping, 1, __ATOMIC_RELAXED);
    cop__monitor_poke();
}

/* In how many ns it is time to give memory back; INT64_MAX if nothing ran since it did: one pick was in vain. */
static int64_t trim_in(struct cop__sched *s) {
    if (s->picks - s->trimmed_picks <= 1)
        return INT64_MAX;
    if (s->picks - s->quiet_picks > QUIET_PICKS) {
        s->quiet_picks = s->picks;
        s->quiet_since = s->now_ns;
    }
    return s->quiet_since + COP__QUIET_NS - s->now_ns;
}

/* Stops when there is work; then what is left comes later. */
static void trim(struct cop__worker *w) {
    struct cop__sched *s = w->sched;
    cop__stacks_flush(s);
    cop__public_timers_trim();
    cop__alloc_trim();
    while (cop__stacks_trim())
        if (cop__sched_has_work(s))
            return;
    cop__stack_trim_below(w->stack);
    s->trimmed_picks = s->picks;
}

void cop__worker_idle(struct cop__worker *w) {
    struct cop__sched *s = w->sched;
    if (cop__node.sim) {
        cop__sim_idle(w);
        return;
    }
    if (!spin(s)) {
        int64_t left = trim_in(s);
        if (left > 0)
            cop__sched_sleep(s, left);
        else
            trim(w);
    }
    s->now_ns = cop__now_ns();
    if (cop__wheel_run(s->wheel, s->now_ns, TIMERS_AT_ONCE))
        s->look_at = s->picks;
}

int64_t cop__now_ns(void) {
    if (__builtin_expect(cop__node.sim, 0))
        return __atomic_load_n(&cop__node.sim_now_ns, __ATOMIC_RELAXED);
    return cop__clock_monotonic_ns();
}

int64_t cop__recent_ms(struct cop__worker *w) {
    if (__builtin_expect(cop__node.sim, 0))
        return cop__now_ms();
    uint64_t ticks = cop__cpu_ticks();
    if (ticks - w->clock_ticks > COP__FEW_TICKS) {
        w->clock_ticks = ticks;
        w->clock_ms = cop__now_ms();
    }
    return w->clock_ms;
}

int64_t cop__due_ms(int64_t ms) { return (cop__now_ns() + 999999) / 1000000 + ms; }

/* ---- making and ending ------------------------------------------------------------------------- */

static struct cop__sched *sched_new(int index) {
    struct cop__sched *s = cop__aligned_alloc(64, (sizeof *s + 63) / 64 * 64);
    memset(s, 0, sizeof *s);
    s->index = index;
    s->look_every = LOOK_EVERY / 8;
    s->overflow.tail = &s->overflow.head;
    s->urgent[0].tail = &s->urgent[0].head;
    s->urgent[1].tail = &s->urgent[1].head;
    s->low.tail = &s->low.head;
    s->wheel = cop__wheel_new(index, cop__now_ms());
    cop__random_init(s->random, cop__node.sim ? cop__sim_random() : cop__random_seed());
    return s;
}

int cop__scheds_start(int count) {
    for (int i = 0; i < count; i++)
        cop__node.scheds[i] = sched_new(i);
    cop__node.sched_count = (uint32_t)count;
    for (int i = 0; i < count; i++)
        cop__worker_carry(cop__node.scheds[i]);
    return 0;
}

void cop__scheds_free(void) {
    for (uint32_t i = 0; i < cop__node.sched_count; i++) {
        struct cop__sched *s = cop__node.scheds[i];
        cop__stacks_flush(s);
        cop__wheel_free(s->wheel);
        cop__free(s);
    }
    cop__node.sched_count = 0;
}
