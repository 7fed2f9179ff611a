/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timers: one hierarchical wheel per scheduler, and the table of the timers that users hold by
 * reference.
 *
 * A wheel has 5 levels of 256 slots; a tick is 1 ms. A timer stands on the level of the highest byte
 * in which its due time differs from the present, so timers of equal due time are always in the same
 * list, in the order of their creation. When a byte of the present rolls over, the slot of the level
 * above is dealt out again (cascade).
 *
 *     level 0   |0|1|2|...|255|   this 256 ms
 *     level 1   |0|1|2|...|255|   this 65 s, by 256 ms
 *     ...
 *
 * Two kinds of timers: alarms, one for each process that ever waited for a time (rings as SIG_WAKE with the
 * number of the wait, so a late one is recognised), and public ones (send_after, start_timer), which stand in
 * a sharded hash table by their reference as well.
 *
 * Most waits end by a message long before their time, and then there is another one: a server's next call. So
 * an alarm that is cleared stays in the wheel, where it only says that it is not to ring. If it is set again
 * for a later time it stays too; when the wheel gets there it goes on to the time that is wanted by then. A
 * call's time-out costs neither a lock nor a list. This needs the worker that carries the wheel's scheduler,
 * which is also who runs the wheel; anybody else takes the alarm out under the lock.
 *
 * Nor does it cost a look at the clock. An alarm that is set where it stands in the wheel is `undated`: its time
 * counts from when the scheduler looks at the clock next, which it does every few steps and before it rests. That
 * is never early, and late by those steps. Most are cleared by then.
 *
 * Invariants
 *   1. timer->wheel is not 0 exactly while it is in a list of that wheel; changed under its lock.
 *   2. until_ms and seq of an alarm in a wheel are written and read only on the worker that carries the wheel's
 *      scheduler, in the run-time: no other runs the wheel.
 *   3. An undated alarm is in the wheel, and undated[alarm->undated - 1] is it. Only that worker enters one;
 *      whoever takes one out of the wheel clears its place, under the lock. wheel->now_ms does not change while
 *      there is one: its until_ms is what it will be if the clock still says that.
 *   4. Firing takes a timer out under the lock and works on it after; whoever finds it out of the
 *      wheel must not assume that it is still there, except under the shard's lock, which firing
 *      needs to free a public one.
 * Threads: any; the lock order is shard before wheel.
 */
#include "proc/proc.h"

enum { LEVELS = 5, SLOTS = 256, SHARDS = 64, FEW_BUCKETS = 256, UNDATED = 16 };

struct cop__wheel {
    struct cop__lock lock;
    uint16_t number; /* its scheduler's, counted from 1 */
    int64_t now_ms;
    uint64_t count;
    struct {
        struct cop__timer *head, *tail;
    } slots[LEVELS][SLOTS];
    uint64_t used[LEVELS][SLOTS / 64];
    uint32_t undated_count; /* places used; some may be empty again */
    struct cop__alarm *undated[UNDATED];
};

struct cop__wheel *cop__wheel_new(int scheduler, int64_t now_ms) {
    struct cop__wheel *wheel = cop__calloc(1, sizeof *wheel);
    wheel->number = (uint16_t)(scheduler + 1);
    wheel->now_ms = now_ms;
    return wheel;
}

void cop__wheel_free(struct cop__wheel *wheel) { cop__free(wheel); }

static void slot_append(struct cop__wheel *wheel, struct cop__timer *t) {
    uint64_t differs = (uint64_t)t->due_ms ^ (uint64_t)wheel->now_ms;
    if (t->due_ms <= wheel->now_ms)
        differs = 0;
    int level = differs == 0 ? 0 : (63 - __builtin_clzll(differs)) / 8;
    int64_t at = t->due_ms <= wheel->now_ms ? wheel->now_ms : t->due_ms;
    if (level >= LEVELS)
        level = LEVELS - 1;
    unsigned index = (unsigned)((uint64_t)at >> (8 * level)) & (SLOTS - 1);
    t->level = (uint8_t)level;
    t->index = (uint8_t)index;
    t->next = NULL;
    t->prev = wheel->slots[level][index].tail;
    if (t->prev != NULL)
        t->prev->next = t;
    else
        wheel->slots[level][index].head = t;
    wheel->slots[level][index].tail = t;
    wheel->used[level][index / 64] |= UINT64_C(1) << (index % 64);
}

static void slot_remove(struct cop__wheel *wheel, struct cop__timer *t) {
    if (t->prev != NULL)
        t->prev->next = t->next;
    else
        wheel->slots[t->level][t->index].head = t->next;
    if (t->next != NULL)
        t->next->prev = t->prev;
    else
        wheel->slots[t->level][t->index].tail = t->prev;
    if (wheel->slots[t->level][t->index].head == NULL)
        wheel->used[t->level][t->index / 64] &= ~(UINT64_C(1) << (t->index % 64));
    t->next = t->prev = NULL;
}

void cop__wheel_arm(struct cop__wheel *wheel, struct cop__timer *timer, int64_t due_ms) {
    cop__lock(&wheel->lock);
    COP_ASSERT(timer->wheel == 0);
    /* What lies beyond the wheel's 34 years comes round at its end and is dealt out again. */
    timer->due_ms = due_ms;
    __atomic_store_n(&timer->wheel, wheel->number, __ATOMIC_RELAXED);
    slot_append(wheel, timer);
    wheel->count++;
    cop__unlock(&wheel->lock);
}

static void forget_undated(struct cop__wheel *wheel, struct cop__alarm *alarm) {
    if (alarm->undated != 0)
        wheel->undated[alarm->undated - 1] = NULL;
    alarm->undated = 0;
}

bool cop__timer_disarm(struct cop__timer *timer) {
    uint16_t number = __atomic_load_n(&timer->wheel, __ATOMIC_ACQUIRE);
    if (number == 0)
        return false;
    struct cop__wheel *wheel = cop__node.scheds[number - 1]->wheel;
    cop__lock(&wheel->lock);
    bool armed = timer->wheel == number;
    if (armed) {
        slot_remove(wheel, timer);
        if (timer->is_alarm)
            forget_undated(wheel, (struct cop__alarm *)timer);
        __atomic_store_n(&timer->wheel, 0, __ATOMIC_RELAXED);
        wheel->count--;
    }
    cop__unlock(&wheel->lock);
    return armed;
}

/* ---- alarms --------------------------------------------------------------------------------- */

/* Is it in the wheel that this worker runs? */
static bool is_own(const cop_ctx *p, const struct cop__alarm *alarm) {
    const struct cop__sched *s = p->worker->sched;
    return s != NULL && __atomic_load_n(&alarm->timer.wheel, __ATOMIC_RELAXED) == s->index + 1;
}

static struct cop__alarm *alarm_of(cop_ctx *p) {
    if (p->alarm == NULL) {
        p->alarm = cop__small_alloc(sizeof *p->alarm);
        *p->alarm = (struct cop__alarm){ .waiter = p, .timer.is_alarm = true };
    }
    return p->alarm;
}

void cop__alarm_set(cop_ctx *p, int64_t due_ms) {
    struct cop__alarm *alarm = alarm_of(p);
    bool stays = is_own(p, alarm) && alarm->timer.due_ms <= due_ms;
    if (stays)
        forget_undated(p->worker->sched->wheel, alarm);
    else
        cop__timer_disarm(&alarm->timer);
    alarm->until_ms = due_ms;
    alarm->seq = ++p->wait_seq;
    if (stays)
        return;
    struct cop__sched *s = p->worker->sched != NULL ? p->worker->sched : p->home;
    cop__wheel_arm(s->wheel, &alarm->timer, due_ms);
    if (s != p->worker->sched)
        cop__sched_wake(s); /* it must see the new deadline */
}

/* All that is undated counts from now on. */
static void date_all(struct cop__wheel *wheel, int64_t now_ns) {
    int64_t passed_ms = (now_ns + 999999) / 1000000 - wheel->now_ms;
    for (uint32_t i = 0; i < wheel->undated_count; i++) {
        struct cop__alarm *alarm = wheel->undated[i];
        if (alarm == NULL)
            continue;
        if (alarm->until_ms != INT64_MAX)
            alarm->until_ms += passed_ms;
        alarm->undated = 0;
    }
    wheel->undated_count = 0;
}

static __attribute__((noinline)) void date_all_now(struct cop__wheel *wheel) {
    cop__lock(&wheel->lock);
    date_all(wheel, cop__now_ns());
    cop__unlock(&wheel->lock);
}

static inline void enter_undated(struct cop__wheel *wheel, struct cop__alarm *alarm) {
    if (wheel->undated_count == UNDATED)
        date_all_now(wheel);
    wheel->undated[wheel->undated_count++] = alarm;
    alarm->undated = (uint8_t)wheel->undated_count;
}

void cop__alarm_set_in(cop_ctx *p, int64_t ms) {
    struct cop__alarm *alarm = p->alarm;
    if (alarm == NULL || !is_own(p, alarm)
        || alarm->timer.due_ms > p->worker->sched->wheel->now_ms + ms) {
        cop__alarm_set(p, cop__due_ms(ms));
        return;
    }
    struct cop__wheel *wheel = p->worker->sched->wheel;
    if (alarm->undated == 0)
        enter_undated(wheel, alarm);
    alarm->until_ms = wheel->now_ms + ms;
    alarm->seq = ++p->wait_seq;
}

bool cop__alarm_is_set(const cop_ctx *p) {
    const struct cop__alarm *alarm = p->alarm;
    return alarm != NULL && alarm->until_ms != INT64_MAX
           && __atomic_load_n(&alarm->timer.wheel, __ATOMIC_RELAXED) != 0;
}

void cop__alarm_clear(cop_ctx *p) {
    struct cop__alarm *alarm = p->alarm;
    if (alarm == NULL)
        return;
    if (!is_own(p, alarm))
        cop__timer_disarm(&alarm->timer);
    alarm->until_ms = INT64_MAX;
}

void cop__alarm_free(cop_ctx *p) {
    cop__timer_disarm(&p->alarm->timer);
    cop__small_free(p->alarm, sizeof *p->alarm);
}

/* ---- what is due ---------------------------------------------------------------------------- */

/* The first used slot at or after `from` on that level, or SLOTS. */
static unsigned next_used(const struct cop__wheel *wheel, int level, unsigned from) {
    for (unsigned word = from / 64; word < SLOTS / 64; word++) {
        uint64_t bits = wheel->used[level][word];
        if (word == from / 64)
            bits &= ~UINT64_C(0) << (from % 64);
        if (bits != 0)
            return word * 64 + (unsigned)__builtin_ctzll(bits);
    }
    return SLOTS;
}

static int64_t next_locked(const struct cop__wheel *wheel) {
    if (wheel->count == 0)
        return INT64_MAX;
    for (int level = 0; level < LEVELS; level++) {
        unsigned here = (unsigned)((uint64_t)wheel->now_ms >> (8 * level)) & (SLOTS - 1);
        unsigned found = next_used(wheel, level, level == 0 ? here : here + 1);
        if (level > 0 && here + 1 >= SLOTS)
            found = SLOTS;
        if (found < SLOTS) {
            int64_t block = (wheel->now_ms >> (8 * (level + 1))) << (8 * (level + 1));
            int64_t at = block + ((int64_t)found << (8 * level));
            return at > wheel->now_ms ? at : wheel->now_ms;
        }
    }
    /* Only what wrapped round at the last level is left: its next slot may have to be dealt out. */
    int top = 8 * (LEVELS - 1);
    return ((wheel->now_ms >> top) + 1) << top;
}

int64_t cop__wheel_next_ms(struct cop__wheel *wheel) {
    cop__lock(&wheel->lock);
    if (wheel->undated_count != 0)
        date_all(wheel, cop__now_ns());
    int64_t next = next_locked(wheel);
    cop__unlock(&wheel->lock);
    return next;
}

static void cascade(struct cop__wheel *wheel) {
    for (int level = LEVELS - 1; level > 0; level--) {
        if (((uint64_t)wheel->now_ms & ((UINT64_C(1) << (8 * level)) - 1)) != 0)
            continue;
        unsigned index = (unsigned)((uint64_t)wheel->now_ms >> (8 * level)) & (SLOTS - 1);
        struct cop__timer *t = wheel->slots[level][index].head;
        wheel->slots[level][index].head = wheel->slots[level][index].tail = NULL;
        wheel->used[level][index / 64] &= ~(UINT64_C(1) << (index % 64));
        while (t != NULL) {
            struct cop__timer *next = t->next;
            slot_append(wheel, t);
            t = next;
        }
    }
}

struct due {
    struct cop__timer *publics, **publics_end;
    struct cop__env *wakes, **wakes_end;
};

/* Out of its slot; it goes on to its time if that is later, else it rings. */
static void alarm_due(struct cop__wheel *wheel, struct cop__alarm *alarm, struct due *due) {
    if (alarm->until_ms > wheel->now_ms && alarm->until_ms != INT64_MAX) {
        alarm->timer.due_ms = alarm->until_ms;
        slot_append(wheel, &alarm->timer);
        wheel->count++;
        return;
    }
    if (alarm->until_ms != INT64_MAX) {
        /* The process may be gone as soon as the lock is: take what is needed now. */
        struct cop__env *env = cop__env_raw(SIG_WAKE, alarm->waiter->pid, COP_NONE, 0);
        env->id = alarm->seq;
        *due->wakes_end = env;
        due->wakes_end = &env->next;
    }
    __atomic_store_n(&alarm->timer.wheel, 0, __ATOMIC_RELEASE);
}

/* Takes out what is in the present tick's slot, at most so many; returns how many it may be still. */
static int collect_due(struct cop__wheel *wheel, struct due *due, int most) {
    unsigned index = (unsigned)(wheel->now_ms & (SLOTS - 1));
    for (; wheel->slots[0][index].head != NULL && most > 0; most--) {
        struct cop__timer *t = wheel->slots[0][index].head;
        slot_remove(wheel, t);
        wheel->count--;
        if (t->is_alarm) {
            alarm_due(wheel, (struct cop__alarm *)t, due);
        } else {
            __atomic_store_n(&t->wheel, 0, __ATOMIC_RELEASE);
            *due->publics_end = t;
            due->publics_end = &t->next;
        }
    }
    return most;
}

bool cop__wheel_run(struct cop__wheel *wheel, int64_t now_ns, int most) {
    int64_t now_ms = now_ns / 1000000;
    struct due due;
    due.publics = NULL;
    due.publics_end = &due.publics;
    due.wakes = NULL;
    due.wakes_end = &due.wakes;
    cop__lock(&wheel->lock);
    date_all(wheel, now_ns);
    for (;;) {
        most = collect_due(wheel, &due, most);
        if (wheel->now_ms >= now_ms || most == 0)
            break;
        /* Up to the next deadline, or the beginning of the next slot that must be dealt out, there is
           nothing: however far it is, it is one step. */
        int64_t next = next_locked(wheel);
        if (next > now_ms) {
            wheel->now_ms = now_ms;
            break;
        }
        wheel->now_ms = next > wheel->now_ms ? next : wheel->now_ms + 1;
        if ((wheel->now_ms & (SLOTS - 1)) == 0)
            cascade(wheel);
    }
    cop__unlock(&wheel->lock);
    struct cop__worker *w = cop__worker_self();
    while (due.wakes != NULL) {
        struct cop__env *env = due.wakes;
        due.wakes = env->next;
        cop__deliver(w, env);
    }
    while (due.publics != NULL) {
        struct cop__timer *t = due.publics;
        due.publics = t->next;
        cop__public_timer_fire(t);
    }
    return most == 0;
}

/* ---- public timers ------------------------------------------------------------------------- */

/* One block with its message, which is the envelope that goes out when it fires; its `to` is the destination, a
   pid or a name. Until then it is in no list and on no heap: what links it there chains the bucket and holds the
   reference, so that a timer with a tuple of three is two cache lines. */
struct public_timer {
    struct cop__timer timer; /* first */
    struct cop__env env;     /* last */
};
_Static_assert(sizeof(struct public_timer) == 96, "two cache lines, with {:timeout, ref, message}");

static struct public_timer *timer_of(struct cop__env *env) {
    return (struct public_timer *)((char *)env - offsetof(struct public_timer, env));
}
static uint64_t ref_of(const struct cop__env *env) { return (uintptr_t)env->frag.next; }
static void set_ref(struct cop__env *env, uint64_t ref) {
    env->frag.next = (struct cop__fragment *)(uintptr_t)ref;
}

static struct shard {
    struct cop__lock lock;
    struct cop__env **buckets; /* of `few`, or of the allocator's when there are many */
    uint32_t mask, count;
} shards[SHARDS];

/* The shards' small tables: pages of their own, so that what is kept for ever lies in nobody's way. */
static struct cop__env *(*few)[FEW_BUCKETS];

/* A process's references count up, and timers made one after another tend to end so: they stand side by
   side, 64 in a shard. Each process begins at another place. */
static uint64_t ref_place(uint64_t ref) {
    uint64_t slot = cop__ref_slot((cop_term){ ref });
    return (ref >> 30) + (slot * UINT64_C(0x9e3779b97f4a7c15) >> 20);
}
static struct shard *shard_of(uint64_t ref) { return &shards[ref_place(ref) / 64 % SHARDS]; }
static struct cop__env **bucket_of(struct shard *s, uint64_t ref) {
    uint64_t place = ref_place(ref), bucket = place / 64 / SHARDS * 64 + place % 64;
    return &s->buckets[(bucket ^ bucket >> 18) & s->mask];
}

void cop__public_timers_init(void) {
    few = cop__vm_reserve(SHARDS * sizeof *few);
    if (few == NULL)
        cop__panic(__FILE__, __LINE__, "no memory for timers");
    for (int i = 0; i < SHARDS; i++) {
        shards[i].mask = FEW_BUCKETS - 1;
        shards[i].count = 0;
        shards[i].buckets = few[i];
    }
}

void cop__public_timers_free(void) {
    for (int i = 0; i < SHARDS; i++) {
        for (uint32_t b = 0; shards[i].buckets != NULL && b <= shards[i].mask; b++) {
            struct cop__env *env = shards[i].buckets[b];
            while (env != NULL) {
                struct cop__env *next = env->next;
                cop__env_free(env);
                env = next;
            }
        }
        if (shards[i].buckets != few[i])
            cop__free(shards[i].buckets);
        shards[i].buckets = NULL;
    }
    cop__vm_release(few, SHARDS * sizeof *few);
}

static void shard_resize(struct shard *s, uint32_t mask) {
    struct cop__env **old = s->buckets;
    uint32_t old_mask = s->mask;
    struct cop__env **small = few[s - shards];
    s->buckets = mask < FEW_BUCKETS ? small : cop__calloc((size_t)mask + 1, sizeof *s->buckets);
    s->mask = mask;
    for (uint32_t b = 0; b <= old_mask; b++) {
        while (old[b] != NULL) {
            struct cop__env *env = old[b];
            old[b] = env->next;
            struct cop__env **to = bucket_of(s, ref_of(env));
            env->next = *to;
            *to = env;
        }
    }
    if (old != small)
        cop__free(old);
}

/* What has grown for many timers becomes small again when few are left. */
void cop__public_timers_trim(void) {
    for (int i = 0; i < SHARDS; i++) {
        struct shard *s = &shards[i];
        cop__lock(&s->lock);
        uint32_t mask = s->mask;
        while (mask >= FEW_BUCKETS && s->count < mask / 8)
            mask /= 2;
        if (mask != s->mask)
            shard_resize(s, mask);
        cop__unlock(&s->lock);
    }
}

size_t cop_node_timer_count(void) {
    size_t count = 0;
    for (int i = 0; i < SHARDS; i++) {
        cop__lock(&shards[i].lock);
        count += shards[i].count;
        cop__unlock(&shards[i].lock);
    }
    return count;
}

static void shard_insert(struct cop__env *env) {
    struct shard *s = shard_of(ref_of(env));
    cop__lock(&s->lock);
    if (s->count > s->mask)
        shard_resize(s, s->mask * 2 + 1);
    struct cop__env **to = bucket_of(s, ref_of(env));
    env->next = *to;
    *to = env;
    s->count++;
    cop__unlock(&s->lock);
}

static struct cop__env **shard_find(struct shard *s, uint64_t ref) {
    struct cop__env **at = bucket_of(s, ref);
    while (*at != NULL && ref_of(*at) != ref)
        at = &(*at)->next;
    return at;
}

static void shard_remove(struct shard *s, struct cop__env **at) {
    struct cop__env *env = *at;
    *at = env->next;
    s->count--;
    env->next = NULL;
    set_ref(env, 0);
}

void cop__public_timer_fire(struct cop__timer *timer) {
    struct cop__env *env = &((struct public_timer *)timer)->env;
    struct shard *s = shard_of(ref_of(env));
    cop__lock(&s->lock);
    struct cop__env **at = shard_find(s, ref_of(env));
    COP_ASSERT(*at == env);
    shard_remove(s, at);
    cop__unlock(&s->lock);
    cop_term to = cop_is_atom(env->to) ? cop__name_lookup(env->to) : env->to;
    if (cop_is_none(to)) {
        cop__env_free(env);
    } else {
        env->to = to;
        cop__deliver(cop__worker_self(), env);
    }
}

static struct cop__wheel *wheel_here(cop_ctx *p) {
    struct cop__sched *s = p->worker->sched != NULL ? p->worker->sched : cop__node.scheds[0];
    return s->wheel;
}

/* The message is as given, or {:timeout, ref, message}. */
static struct public_timer *timer_new(cop_ctx *p, cop_term dest, cop_ref ref, cop_term message,
                                      bool tagged) {
    enum { FRAME = 4 };
    size_t frame = tagged ? FRAME : 0;
    struct cop__env *env = cop__env_behind(offsetof(struct public_timer, env), SIG_MESSAGE, dest,
                                           p->pid, frame + cop__term_words(message));
    uint64_t *at = env->frag.body, *room = at + frame;
    env->term =
        cop_is_immediate(message) ? message : cop__term_copy(message, &room, &env->frag.offheap);
    if (tagged) {
        at[0] = cop__header(BOX_TUPLE, 3);
        at[1] = cop_a(timeout).t.w;
        at[2] = ref.t.w;
        at[3] = env->term.w;
        env->term = cop__box_term(at);
    }
    timer_of(env)->timer = (struct cop__timer){ 0 };
    set_ref(env, ref.t.w);
    return timer_of(env);
}

static cop_ref timer_start(cop_ctx *p, cop_term dest, cop_term message, int64_t ms, bool absolute,
                           bool tagged) {
    if ((!cop__is_local_pid(dest) && !cop_is_atom(dest)) || (!absolute && ms < 0))
        cop__badarg(p);
    cop_ref ref = cop__ref_next(p);
    struct public_timer *t = timer_new(p, dest, ref, message, tagged);
    int64_t now_ns = cop__now_ns();
    int64_t now_up = (now_ns + 999999) / 1000000; /* never early: round the present up */
    int64_t due = absolute ? ms : ms > (INT64_C(1) << 60) ? INT64_C(1) << 60 : now_up + ms;
    shard_insert(&t->env);
    cop__wheel_arm(wheel_here(p), &t->timer, due);
    if (p->worker->sched == NULL)
        cop__sched_wake(cop__node.scheds[0]); /* a sleeping scheduler must see the new deadline */
    return ref;
}

cop_ref cop__send_after(cop_ctx *ctx, cop_term dest, cop_term message, int64_t ms, bool absolute) {
    cop__enter(ctx);
    cop_ref ref = timer_start(ctx, dest, message, ms, absolute, false);
    cop__leave(ctx);
    return ref;
}

cop_ref cop_start_timer(cop_ctx *ctx, int64_t ms, cop_term dest, cop_term message) {
    cop__enter(ctx);
    cop_ref ref = timer_start(ctx, dest, message, ms, false, true);
    cop__leave(ctx);
    return ref;
}

cop_ref cop_start_timer_at(cop_ctx *ctx, int64_t at_ms, cop_term dest, cop_term message) {
    cop__enter(ctx);
    cop_ref ref = timer_start(ctx, dest, message, at_ms, true, true);
    cop__leave(ctx);
    return ref;
}

static int64_t ms_left(const cop_ctx *p, const struct public_timer *t) {
    int64_t left = t->timer.due_ms - cop__recent_ms(p->worker);
    return left > 0 ? left : 0;
}

static bool dest_is_gone(const struct cop__env *env) {
    return cop__is_local_pid(env->to) && !cop__is_here(env->to);
}

static bool is_armed(struct cop__env *env) {
    return __atomic_load_n(&timer_of(env)->timer.wheel, __ATOMIC_ACQUIRE) != 0;
}

int64_t cop_process_cancel_timer(cop_ctx *ctx, cop_ref timer) {
    if (!cop_is_ref(timer.t))
        cop__badarg(ctx);
    if (!cop__is_local_ref(timer.t))
        return -1;
    cop__enter(ctx);
    struct shard *s = shard_of(timer.t.w);
    int64_t left = -1;
    cop__lock(&s->lock);
    struct cop__env **at = shard_find(s, timer.t.w), *env = *at;
    if (env != NULL && cop__timer_disarm(&timer_of(env)->timer)) {
        left = dest_is_gone(env) ? -1 : ms_left(ctx, timer_of(env));
        shard_remove(s, at);
    } else {
        env = NULL;
    }
    cop__unlock(&s->lock);
    if (env != NULL)
        cop__env_free(env);
    cop__leave(ctx);
    return left;
}

int64_t cop_process_read_timer(cop_ctx *ctx, cop_ref timer) {
    if (!cop_is_ref(timer.t))
        cop__badarg(ctx);
    if (!cop__is_local_ref(timer.t))
        return -1;
    cop__enter(ctx);
    struct shard *s = shard_of(timer.t.w);
    cop__lock(&s->lock);
    struct cop__env *env = *shard_find(s, timer.t.w);
    bool waits = env != NULL && is_armed(env) && !dest_is_gone(env);
    int64_t left = waits ? ms_left(ctx, timer_of(env)) : -1;
    cop__unlock(&s->lock);
    cop__leave(ctx);
    return left;
}

/* The answer of the asynchronous forms: to oneself, so it comes at once, but as a message. */
static void answer(cop_ctx *ctx, cop_atom what, cop_ref timer, int64_t left) {
    cop_term value = left < 0 ? cop_a(false).t : cop_of(ctx, left);
    cop__send(ctx, ctx->pid, cop_tuple(ctx, what, timer, value));
}

void cop_process_cancel_timer_async(cop_ctx *ctx, cop_ref timer, bool quiet) {
    int64_t left = cop_process_cancel_timer(ctx, timer);
    if (!quiet)
        answer(ctx, cop_a(cancel_timer), timer, left);
}

void cop_process_read_timer_async(cop_ctx *ctx, cop_ref timer) {
    answer(ctx, cop_a(read_timer), timer, cop_process_read_timer(ctx, timer));
}
