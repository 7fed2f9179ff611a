/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__PROC_H
#define COP__PROC_H

#include <coppice/node.h>
#include <coppice/process.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/alloc.h"
#include "os/barrier.h"
#include "os/clock.h"
#include "os/context.h"
#include "os/cpu.h"
#include "os/fault.h"
#include "os/fiber.h"
#include "os/futex.h"
#include "os/random.h"
#include "os/vm.h"
#include "proc/port.h"
#include "proc/sim.h"
#include "term/heap.h"
#include "term/layout.h"

/*
 * The run-time's own structures. Who may touch what:
 *   slot      `inbox` and `pid` by anybody, atomically; the rest by the occupant's runner
 *   process   only by its runner: the one worker (or thread) that took it out of PARKED or out of a
 *             run queue; or, under the worker's lock, by the monitor thread (see monitor.c)
 *   scheduler the worker that carries it; ring heads also by thieves; lists under `lock`
 */

/* Stops the program: the run-time itself is wrong. */
_Noreturn void cop__panic(const char *file, int line, const char *what);
#define COP_ASSERT(cond) ((cond) ? (void)0 : cop__panic(__FILE__, __LINE__, #cond))
#define COP_UNREACHABLE(what) cop__panic(__FILE__, __LINE__, what)

/* ---- locks -------------------------------------------------------------------------------- */

struct cop__lock {
    uint32_t word;
};
void cop__lock_slow(struct cop__lock *lock);
static inline void cop__lock(struct cop__lock *lock) {
    if (__atomic_exchange_n(&lock->word, 1, __ATOMIC_ACQUIRE) != 0)
        cop__lock_slow(lock);
}
static inline void cop__unlock(struct cop__lock *lock) {
    __atomic_store_n(&lock->word, 0, __ATOMIC_RELEASE);
}

/* ---- envelopes ------------------------------------------------------------------------------ */

enum cop__signal {
    SIG_MESSAGE,   /* term: the message; to: the pid */
    SIG_ALIAS,     /* term: the message; to: the alias */
    SIG_CALL,      /* term: {label, {from, tag}, request}: a message and a monitor; see call.c */
    SIG_EXIT,      /* Process.exit/2; term: {:EXIT, from, reason} */
    SIG_LINK_EXIT, /* the end of a linked one; term as above; id: the link's, of which side: flag */
    SIG_LINK,      /* id: the link's */
    SIG_UNLINK,    /* id, flag as for SIG_LINK_EXIT; id 0: whatever link there is */
    SIG_MONITOR,   /* term: [ref | name] with name [] or an atom */
    SIG_DEMONITOR, /* term: ref */
    SIG_DOWN,      /* term: {:DOWN, ref, kind, object, reason} */
    SIG_INFO,      /* term: [ref | what], answered with {ref, {value} | nil} */
    SIG_LEADER,    /* term: the new group leader */
    SIG_WAKE,      /* a timer of the process's own wait; id: which wait */
    SIG_SUSPEND,   /* term: [ref | message], answered with {ref, :suspended | nil}, or with the
                      message in the place of the tuple when it is not [] */
    SIG_RESUME,    /* id: how many suspends of the sender's it takes back */
    SIG_RELEASED,  /* a suspended process is gone */
    SIG_LIMIT,     /* look at your limits */
    SIG_ROOM,      /* term: ref; answered with {ref, :room} when the mailbox has room */
    SIG_COLLECT,   /* term: [ref | id], answered with {ref, true | false}, or
                      {:garbage_collect, id, bool} when id is not [] */
};

enum {
    COP__ID_MINE = 1,   /* the id was given by the sender of the signal */
    COP__FORCED = 2,    /* SIG_EXIT: the kill itself */
    COP__UNWATCHED = 4, /* a reply: the monitor that came with the request is struck out */
};

struct cop__env {
    struct cop__env *next;
    cop_term to;
    cop_term from;
    cop_term term;
    uint32_t id; /* of a link or wait; of a message: the meter that counts it, or 0 */
    uint8_t kind;
    uint8_t flag;
    struct cop__fragment frag; /* last: its body follows */
};

struct cop__env *cop__env_new(enum cop__signal kind, cop_term to, cop_term from, cop_term term);
/* Without copying: a body of that many words, to be filled by the caller. */
struct cop__env *cop__env_raw(enum cop__signal kind, cop_term to, cop_term from, size_t words);
/* The same, at the end of a block that begins with `before` bytes for the caller, a multiple of 8. Who
   frees the envelope frees the block. */
struct cop__env *cop__env_behind(size_t before, enum cop__signal kind, cop_term to, cop_term from,
                                 size_t words);
void cop__env_free(struct cop__env *env);

/* ---- slots: the post office -------------------------------------------------------------------- */

#define INBOX_FREE ((uintptr_t)1)   /* nobody lives here */
#define INBOX_PARKED ((uintptr_t)2) /* the occupant waits; whoever replaces this must schedule it */

struct cop__slot {
    uintptr_t inbox;      /* atomic: a sentinel, 0, or the youngest envelope */
    uint64_t pid;         /* atomic: the word of the live occupant's pid or port, 0 when none */
    struct cop_ctx *proc; /* valid while not FREE, for whoever un-parked it */
    uint64_t serial;
    uint64_t ref_counter; /* never goes back: references stay unique over all occupants */
    uint64_t name; /* atomic: the registered name's word or 0; changed under the names lock */
    union {
        uint32_t next_free; /* nobody lives here */
        uint32_t
            at; /* atomic: 1 + the scheduler where many messages were taken in last; 0 = unknown */
    };
    uint32_t index;
    uint32_t backlog; /* atomic: about how many messages wait, for senders to slow down by */
    uint32_t meter;   /* atomic: the number of its meter, 0 = none; see meter.c */
};
_Static_assert(sizeof(struct cop__slot) == 64, "a slot is one cache line");

/* ---- relations: links, monitors, aliases ---------------------------------------------------------- */

enum cop__rel_kind {
    REL_LINK = 1,
    REL_MONITOR,
    REL_WATCHER,
    REL_ALIAS,
    REL_SUSPENDING, /* the owner suspends the other */
    REL_SUSPENDER,  /* the other suspends the owner */
};
/* Their keys: a pid's word with tags that no other key has. */
enum { COP__KEY_SUSPENDING = 8, COP__KEY_SUSPENDER = 12 }; /* xor */
struct cop__rel {
    uint64_t key; /* LINK: the other's word; SUSPEND*: see below; else the reference's word */
    union {
        uint64_t other; /* MONITOR: the target's word; WATCHER: the watcher's */
        struct {
            uint32_t mine, theirs; /* LINK: the ids; SUSPEND*: mine is how often */
        };
    };
    struct cop__fragment *tag; /* MONITOR: custom tag, a fragment whose body[0] is the term */
    uint32_t name;             /* monitored by this name (an atom's word, 24 bits) or 0 */
    uint8_t kind;
    uint8_t alias; /* cop_alias_mode; COP__ALIAS_REPLY for alias([:reply]) */
};
_Static_assert(sizeof(struct cop__rel) == 32, "two are one small block");
enum { COP__ALIAS_REPLY = 16, COP__BY_CALL = 17 }; /* the second: of a WATCHER that a call noted */
struct cop__reltab {
    union {
        struct cop__rel *rels; /* cap <= 8: a plain list */
        struct cop__relmany *many;
    };
    uint32_t count, cap;
};
struct cop__rel *cop__rel_find(const struct cop__reltab *tab, uint64_t key);
struct cop__rel *cop__rel_add(struct cop__reltab *tab, uint64_t key, enum cop__rel_kind kind);
void cop__rel_remove(struct cop__reltab *tab, struct cop__rel *rel);
/* for (i = 0; (rel = cop__rel_at(tab, &i)) != NULL;) */
struct cop__rel *cop__rel_at(const struct cop__reltab *tab, uint32_t *cursor);
void cop__rel_clear(struct cop__reltab *tab);
/* The memory it takes. */
size_t cop__rel_bytes(const struct cop__reltab *tab);

/* ---- timers ---------------------------------------------------------------------------------------- */

struct cop__timer {
    struct cop__timer *next, *prev; /* in a wheel's list; NULL when not armed */
    int64_t due_ms;
    uint16_t wheel; /* atomic: the number of the wheel that it stands in; 0: not armed */
    uint8_t level, index;
    bool is_alarm; /* it stands in one; else in a public timer */
};
/* Of a process's own wait: see timer.c. */
struct cop__alarm {
    struct cop__timer timer; /* first */
    struct cop_ctx *waiter;  /* gets SIG_WAKE with `seq` */
    int64_t until_ms; /* when it rings, not before the timer's time; INT64_MAX: it does not */
    uint32_t seq;
    uint8_t undated; /* not 0: its place among the wheel's undated ones */
};
struct cop__wheel;
struct cop__wheel *cop__wheel_new(int scheduler, int64_t now_ms);
void cop__wheel_free(struct cop__wheel *wheel);
void cop__wheel_arm(struct cop__wheel *wheel, struct cop__timer *timer, int64_t due_ms);
/* True if it was armed; after it the timer will not fire. */
bool cop__timer_disarm(struct cop__timer *timer);
/* For p's own wait, on the wheel of the scheduler that runs it: SIG_WAKE will come with the number that
   p->wait_seq has then. In the run-time, by p's runner. */
void cop__alarm_set(struct cop_ctx *p, int64_t due_ms);
/* The same for a wait that begins now; never before so many ms have passed. */
void cop__alarm_set_in(struct cop_ctx *p, int64_t ms);
bool cop__alarm_is_set(const struct cop_ctx *p);
/* It does not ring any more. */
void cop__alarm_clear(struct cop_ctx *p);
/* p is over. */
void cop__alarm_free(struct cop_ctx *p);
/* Fires what is due, at most so many timers: true when more are due. Any thread, one at a time per
   wheel. */
bool cop__wheel_run(struct cop__wheel *wheel, int64_t now_ns, int most);
/* A lower bound of the next deadline, INT64_MAX if none. As above. */
int64_t cop__wheel_next_ms(struct cop__wheel *wheel);
void cop__public_timer_fire(struct cop__timer *timer);
void cop__public_timers_init(void);
void cop__public_timers_trim(void);
void cop__public_timers_free(void);

/* ---- stacks ------------------------------------------------------------------------------------------ */

enum { COP__SMALL_NURSERY = 160, COP__BIG_NURSERY = 2048 }; /* words */

struct cop__stack {
    cop__context context; /* where to go on, when its process waits */
    struct cop__fiber fiber;
    struct cop__stack *next;             /* in a pool */
    uint64_t base_jump[COP__JUMP_WORDS]; /* the loop frame at its base */
    char *low;                           /* lowest usable byte; the guard page lies below */
    char *map;                           /* where it begins, with the guard */
    char *map_end;
    size_t size;            /* usable bytes from low up to this struct */
    struct cop__slab *slab; /* NULL: a mapping of its own */
    bool holds_loop;        /* in a scheduler's cache: it was left by a loop, see resume */
    uint64_t nursery[COP__SMALL_NURSERY];
};
struct cop__sched;
struct cop__worker;
struct cop__stack *cop__stack_take(struct cop__sched *sched, size_t size);
void cop__stack_give(struct cop__sched *sched, struct cop__stack *stack);
void cop__stacks_init(size_t default_size);
void cop__stacks_flush(
    struct cop__sched *sched); /* the scheduler's cache, back to the common pool */
/* Gives all memory of some stacks in the common pool back; true when there are more. */
bool cop__stacks_trim(void);
/* And what the stack that the caller stands on once used. */
void cop__stack_trim_below(struct cop__stack *stack);
void cop__stacks_free(void);
size_t cop__stacks_in_use(void);
/* ---- pack.c: the stacks of long sleepers ---- */
void cop__pack_init(void);
void cop__pack_free(void);
/* Visits some processes; true when there is more to do at once. */
bool cop__pack_some(int64_t now_ns);
void cop__unpack(struct cop_ctx *p);
uint64_t *cop__nursery_take(struct cop__sched *sched);
void cop__nursery_give(struct cop__sched *sched, uint64_t *nursery);

enum { COP__MIN_HEAP = 233, COP__MIN_BIN_VHEAP = 46422 }; /* words, the defaults */

/* ---- processes ------------------------------------------------------------------------------------------ */

enum cop__life { LIFE_START, LIFE_RAW, LIFE_CALLBACK, LIFE_HIBERNATED, LIFE_EXITING };
enum cop__where { WHERE_WAITING, WHERE_RUNNABLE, WHERE_RUNNING };
enum cop__proc_kind { KIND_PROCESS, KIND_PORT, KIND_HOST };

/* How a step came back to its loop frame (values of the jump). */
enum {
    BACK_SAVED = 0,
    BACK_EXIT = 1,
    BACK_BECOME = 2,
    BACK_FAULT = 3,
    BACK_ZOMBIE = 4,
    BACK_RAISED = 5, /* to its callback `raised`; what was raised is in `extra` */
};

struct cop__owned {
    struct cop__owned *next, *prev;
    void *object;            /* NULL: a block of cop_alloc, which follows this header */
    void (*release)(void *); /* of cop_own */
    void (*defer)(cop_ctx *, void *);
    size_t size;
};

/* What few processes need, allocated when they do. */
struct cop__extra {
    struct cop__owned *owned;
    cop_term exit_term; /* pending exit: its reason, in exit_env */
    struct cop__env *exit_env;
    size_t owned_bytes;
    size_t max_heap_words;
    size_t min_bin_vheap_words; /* 0: the default */
    size_t stack_size;
    cop_atom error_handler;   /* none: the default */
    struct cop__env *waiters; /* SIG_ROOM: senders that wait */
    struct cop__env *unsent;  /* what it wants to send, while it waits for room */
    cop_caught raised;        /* for the callback of that name */
    int raised_how;
    uint32_t save_calls;
    uint32_t node_monitors;
    bool no_kill, no_log, off_heap, with_shared, sensitive, async_dist;
    cop_term owner;             /* a port's */
    struct cop__env *last_word; /* a port's: delivered after its end */
    cop_wanted wanted;          /* HIBERNATED: what wakes it; NULL: any message */
    void *wanted_arg;
    struct cop__env **wanted_at; /* where the queue has not been looked at */
    struct cop__roots keep;      /* the second ones */
    cop_saved *last_given; /* the dictionary of the last process that it has started with one */
    struct {
        cop_term (*function)(cop_ctx *ctx,
                             cop_term key); /* NULL: not made, or its reasons are gone */
        uint64_t key, name;
    } made; /* what made last_given */
};

struct cop_ctx {
    struct cop__heap heap; /* first: src/term finds it there */
    cop_term pid;
    struct cop__slot *slot;
    struct cop__worker *worker; /* the one that runs it now */
    union {
        struct cop__sched *home;  /* where it ran last */
        struct cop__bound *bound; /* a port's */
    };
    struct cop_ctx *run_next; /* in a run queue's list */
    union {
        struct cop__stack *stack;   /* with frames on it; or the loop's, while it runs */
        struct cop__packed *packed; /* is_packed: what its frames were */
    };
    struct cop__try *tries;

    struct cop__env *queue, **queue_end;
    struct cop__env **mark; /* where the scan for the answer to its youngest reference starts */

    union {
        cop_entry entry;
        const cop_callbacks *callbacks;
        const struct cop__port_ops *port;
    } does;
    const char *name_hint;
    void *state;
    cop_term arg; /* START, HIBERNATED: the entry's argument; kept alive by arg_env or the heap */
    struct cop__env *arg_env;
    struct cop__roots keep;
    cop_term dictionary; /* a map, COP_NONE, or a word that cop__given_dictionary reads */
    cop_term leader;     /* COP_NONE: the node's, see cop__leader_of */
    cop_term parent;
    struct cop__reltab rels;
    struct cop__alarm *alarm; /* of receive, sleep and the idle timeout; made when first set */
    struct cop__extra *extra;
    uint64_t reductions;
    int64_t idle_due; /* ms; INT64_MAX: no idle timeout */
    size_t queue_words;
    uint32_t queue_len;
    uint32_t wait_seq;
    uint32_t link_ids;
    int32_t budget;
    uint32_t state_size;
    uint8_t kind, life, where, priority;
    bool trap_exit, exiting, zombie, woken, hibernate_asked, has_frames;
    bool pending_exit, exiting_alone;
    bool is_packed, keeps_stack;
    bool has_nursery; /* what its heap was lent is a big one, of a scheduler's */
    bool in_raised;   /* its callback `raised` runs, or has run */
    bool suspended;   /* by somebody's suspend */
    bool collect_asked;
    bool idle;    /* it waits, or would if it were not asked something just now */
    bool follows; /* it is on its way to the scheduler of whom it has flooded */
};
/* They are counted in millions, and the allocator's next size is 64 bytes more. */
_Static_assert(sizeof(cop_ctx) <= 320, "a process is small");

struct cop__extra *cop__extra_of(cop_ctx *p);

/* ---- schedulers and workers ---------------------------------------------------------------------------- */

enum { COP__STACK_RESERVE = 12 * 1024 };
enum { COP__RING = 512, COP__BUDGET = 4000, COP__MESSAGES = 2000, COP__MAX_SCHEDS = 256 };

struct cop__list {
    struct cop_ctx *head, **tail;
    uint32_t count; /* atomic for readers without the lock */
};

struct cop__sched {
    /* the ring: the owner pushes at tail; the owner and thieves pop at head */
    uint32_t head __attribute__((aligned(64)));
    uint32_t tail __attribute__((aligned(64)));
    struct cop_ctx *ring[COP__RING];
    struct cop_ctx
        *next; /* next in line: woken by what runs now; the owner's, or by cop__take_next */
    struct cop__list overflow, urgent[2], low; /* urgent: max, high; under lock */
    const struct cop__slot
        *thronged;        /* the mailbox of those in the ring from throng_from on; owner's */
    uint32_t throng_from; /* atomic */
    struct cop__lock lock;
    struct cop_ctx *remote __attribute__((aligned(64))); /* pushed by other threads; atomic stack */
    uint32_t asleep;                                     /* futex word: 1 while its worker sleeps */
    uint32_t picks;
    uint32_t look_at; /* the pick at which to look around again */
    uint32_t look_every;
    uint32_t looked_at;   /* what `picks` was at the last look */
    bool steps_are_long;  /* and were before it */
    bool steps_are_short; /* atomic; or were before it */
    bool steps_were_short;
    uint32_t in_a_row; /* how often `next` was taken without the ring's turn */
    int64_t backlog_since;
    uint32_t backlog_tail;
    struct cop__wheel *wheel;
    int64_t now_ns;
    uint32_t trimmed_picks; /* what `picks` was when it last gave memory back, */
    uint32_t quiet_picks;   /* and at quiet_since: hardly more since then */
    int64_t quiet_since;
    struct cop__worker *worker; /* who carries it; atomic */
    struct cop__stack *stacks;
    uint64_t *nurseries;
    uint32_t stack_count, nursery_count, slot_count;
    uint32_t slots[64];
    uint64_t random[4];
    int index;
};

enum cop__duty { DUTY_NONE, DUTY_PARK, DUTY_REQUEUE, DUTY_RECYCLE };

enum { COP__STALL_FRAMES = 32 };

/* What stall.c knows of a worker's step. */
struct cop__stall {
    uint32_t state; /* atomic */
    int wanted, told;
    uint64_t step, seen_step;
    int64_t since_ns, ms;
    cop_term pid;
    uint64_t name; /* its registered name's word, or 0 */
    size_t depth;
    uintptr_t pcs[COP__STALL_FRAMES];
};

struct cop__worker {
    /* Written by the worker with plain stores, read by the monitor after a membarrier. */
    uint32_t in_runtime;     /* atomic, relaxed: see cop__set_in_runtime */
    uint32_t attention;      /* atomic; set by the monitor under lock: come through the slow path */
    uint64_t steps;          /* atomic: counts steps begun */
    struct cop_ctx *current; /* atomic for the monitor */
    uintptr_t stack_limit;   /* below it the run-time is not entered; 0: no limit known */
    struct cop__sched *sched; /* NULL once it was handed to another worker */
    struct cop__stack *stack; /* that the thread stands on */
    struct cop_ctx *preselected;
    enum cop__duty duty;
    struct cop_ctx *duty_proc;
    const struct cop__slot *duty_flooded;
    struct cop__stack *duty_stack;
    struct cop__lock lock;
    /* fault report, written by the handler */
    struct cop__fault fault;
    uintptr_t fault_pcs[32];
    size_t fault_depth;
    /* the monitor's notes */
    uint64_t seen_steps;
    int64_t seen_since_ns;
    bool detached; /* the monitor took its scheduler away in the middle of a step */
    struct cop__worker *next_idle,
        **idle_at;  /* in a list of worker.c; where the idle list leads to it, or NULL */
    bool is_vacant; /* it has no thread */
    uint32_t wake;  /* futex word for idle workers */
    struct cop__epoch_record *epoch; /* see epoch.h */
    uint64_t clock_ticks;            /* when it looked at the clock for cop__recent_ms, */
    int64_t clock_ms;                /* and what that said */
    pthread_t thread;
    int thread_number; /* atomic: the kernel's, once it runs */
    struct cop__stall stall;
    cop__context thread_context;
    struct cop__fiber thread_fiber;
    uint64_t thread_jump[COP__JUMP_WORDS]; /* base for steps that run on the thread's own stack */
    bool is_pseudo;                        /* host thread or bound: has no loop */
    struct cop__worker *all_next;
};

struct cop__node {
    bool running, stopping, ended, sim, fault_aborts;
    uint32_t sched_count;
    struct cop__sched *scheds[COP__MAX_SCHEDS];
    struct cop__slot *slots;
    size_t max_slots;
    uint32_t slot_top; /* atomic */
    struct cop__lock slot_lock;
    uint32_t free_slots;         /* index + 1 of the first, under slot_lock */
    uint64_t processes;          /* atomic: alive, ports not among them */
    uint64_t ports;              /* atomic: alive */
    uint32_t spinning, sleeping; /* atomic counts of workers */
    int64_t slice_ns;
    int64_t stack_idle_ns;  /* < 0: stacks are kept */
    int64_t worker_idle_ns; /* < 0: workers are kept */
    size_t stack_size;
    uint64_t leader; /* atomic: :user's pid, once it runs */
    int64_t sim_now_ns;
    uint32_t tick; /* futex of waiters for process count */
};
extern struct cop__node cop__node;

struct cop__worker *cop__worker_self(void); /* noinline; NULL on foreign threads */

/* Into and out of the run-time. Between, the monitor leaves the worker alone. */
void cop__attention(cop_ctx *p);
_Noreturn void cop__stack_exhausted(cop_ctx *p);
static inline void cop__set_in_runtime(struct cop__worker *w, uint32_t yes) {
    __atomic_store_n(&w->in_runtime, yes, __ATOMIC_RELEASE);
}
static inline void cop__enter(cop_ctx *p) {
    struct cop__worker *w = p->worker;
    cop__set_in_runtime(w, 1);
    atomic_signal_fence(memory_order_seq_cst);
    if (__builtin_expect(__atomic_load_n(&w->attention, __ATOMIC_RELAXED) != 0, 0)) {
        cop__attention(p);
        w = p->worker;
    }
    /* The run-time must not be what runs over the end of the stack: that could not be isolated. */
    if (__builtin_expect((uintptr_t)__builtin_frame_address(0) < w->stack_limit, 0))
        cop__stack_exhausted(p);
}
/* The same in two steps, for who has something in hand that would be lost if the process died on its way
   in: first without that, then, when it is in safety, with it. */
void cop__enter_holding(cop_ctx *p);
void cop__enter_held(cop_ctx *p);
static inline void cop__leave(cop_ctx *p) {
    atomic_signal_fence(memory_order_seq_cst);
    cop__set_in_runtime(p->worker, 0);
}

/* Makes a runnable process known to a scheduler. The caller has un-parked or created it. */
void cop__schedule(struct cop__worker *w, cop_ctx *p);
/* Pops the next process for this worker without waiting; NULL if there is none. */
cop_ctx *cop__sched_pick(struct cop__worker *w);
void cop__sched_push(struct cop__sched *s, cop_ctx *p, bool next_in_line);
/* To the end of the line: its turn was spent on sending to one who cannot follow. */
void cop__sched_push_flooder(struct cop__sched *s, cop_ctx *p, const struct cop__slot *flooded);
void cop__sched_wake(struct cop__sched *s);
void cop__sched_wake_one(struct cop__sched *busy);
int cop__scheds_start(int count);
void cop__scheds_free(void);
bool cop__sched_has_work(struct cop__sched *s);
void cop__worker_set_self(struct cop__worker *w);
struct cop__worker *cop__workers_all(void);
bool cop__workers_stop(void);
void cop__worker_idle(struct cop__worker *w); /* no work: spin, then sleep */
/* For the simulation: what other threads pushed comes into the queues; sleeps until something does,
   until the next deadline, or for that long. */
void cop__sched_drain(struct cop__sched *s);
void cop__sched_sleep(struct cop__sched *s, int64_t most_ns);
/* Waits for a scheduler; without one after it the worker is to end. */
void cop__worker_park_without_sched(struct cop__worker *w);
/* The loop of a worker's thread, until that is to end. */
void cop__worker_run(struct cop__worker *w);
/* Now and then: what ended workers left, and schedulers for which there was no thread. */
void cop__workers_tidy(void);
/* What has nothing to do for so long gives back what it keeps for the next rush. */
enum { COP__QUIET_NS = 1000000000 };
void cop__worker_carry(struct cop__sched *s); /* a worker, idle or new, for this scheduler */
void cop__monitor_start(void);
void cop__monitor_stop(void);
void cop__monitor_poke(void);
/* Reports of steps that run too long; log_ms 0: none to the log. */
void cop__stalls_init(int64_t log_ms);
extern uint32_t cop__stalls_on; /* atomic */
void cop__stall_look(struct cop__worker *w, int64_t now_ns);
/* For a thief: takes the one next in line behind a step that is outside of the run-time; or NULL. */
cop_ctx *cop__take_next(struct cop__sched *s);

int64_t cop__now_ns(void);
/* The time, in ms, when so many ms will have passed: never before. (The kernel's coarse clock is no
   help: on a busy machine its tick is late.) */
int64_t cop__due_ms(int64_t ms);
static inline int64_t cop__now_ms(void) { return cop__now_ns() / 1000000; }
/* That, or what it was a few microseconds ago, for a third of the time: for what is told to a person or in
   milliseconds, never for when something is due. */
int64_t cop__recent_ms(struct cop__worker *w);

/* ---- running ----------------------------------------------------------------------------------------- */

void cop__loop(void *worker); /* the entry of a fresh stack */
/* Waits until something is in the inbox; on the process's own stack, in the run-time. */
void cop__wait(cop_ctx *p);
/* Lets others run, staying runnable. */
void cop__requeue(cop_ctx *p);
/* The same for who has sent one more message, which has cost so many reductions, to that slot. */
void cop__requeue_sender(cop_ctx *p, const struct cop__slot *to, int cost);
/* Back to the loop frame at the base of the stack. */
_Noreturn void cop__back(cop_ctx *p, int how);
/* Runs one turn of a process that has no frames, on the stack the caller stands on. */
void cop__turn(struct cop__worker *w, cop_ctx *p);
/* Between callbacks: gives the young memory back. */
void cop__tidy(cop_ctx *p, bool full);
/* The process is over: `reason` lives on its heap. Frees it. */
void cop__die(cop_ctx *p, cop_term reason);
/* The part of dying that others see; also done by the monitor for one that does not come. */
void cop__die_in_public(cop_ctx *p, cop_term reason);
void cop__proc_free(cop_ctx *p);
static inline bool cop__spend(cop_ctx *p, int n) {
    p->reductions += (uint64_t)n;
    return (p->budget -= n) < 0;
}

/* ---- signals -------------------------------------------------------------------------------------------- */

/* Of a local pid, port or reference; NULL if out of range. */
static inline struct cop__slot *cop__slot_of(cop_term id) {
    bool is_pid = (id.w & 15) == COP__TAG_PID;
    uint64_t index =
        is_pid ? cop__pid_slot(id) : cop__ref_slot(id); /* a port's is where a reference's is */
    if (__builtin_expect(index >= __atomic_load_n(&cop__node.slot_top, __ATOMIC_ACQUIRE), 0))
        return NULL;
    return &cop__node.slots[index];
}
enum { COP__FLAT_TUPLE = 16 }; /* elements */
/* The words of a tuple of not too many elements, all immediate; 0 for anything else. */
static inline size_t cop__tuple_words(cop_term t) {
    if (!cop__is_box(t))
        return 0;
    const uint64_t *box = cop__box(t);
    if (cop__header_kind(*box) != BOX_TUPLE)
        return 0;
    size_t size = cop__header_size(*box);
    if (__builtin_expect(size > COP__FLAT_TUPLE, 0))
        return 0;
    uint64_t all = 3;
    for (size_t i = 1; i <= size; i++)
        all &= box[i];
    return (all & 3) == 3 ? size + 1 : 0;
}
/* Delivers; takes the envelope. What the dead cannot take is answered. w may be NULL. */
void cop__deliver(struct cop__worker *w, struct cop__env *env);
/* Opens the box: messages to the queue, all else handled. True if anything came. */
bool cop__take_in(cop_ctx *p);
/* An envelope for somebody who has gone. */
void cop__dead_letter(struct cop__worker *w, struct cop__env *env);
/* Delivers into the slot that env->to says. False: nobody lives there. */
static inline bool cop__deliver_to(struct cop__worker *w, struct cop__slot *slot,
                                   struct cop__env *env) {
    uintptr_t seen = __atomic_load_n(&slot->inbox, __ATOMIC_ACQUIRE);
    do {
        if (__builtin_expect(seen == INBOX_FREE, 0)) {
            cop__dead_letter(w, env);
            return false;
        }
        env->next = seen == INBOX_PARKED ? NULL : (struct cop__env *)seen;
    } while (!__atomic_compare_exchange_n(&slot->inbox, &seen, (uintptr_t)env, true,
                                          __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
    if (seen == INBOX_PARKED)
        cop__schedule(w, slot->proc);
    return true;
}
/* Acts on what was taken in: an exit leaves for the base, a suspend waits for the resume. */
void cop__check_exit_slowly(cop_ctx *p);
static inline void cop__check_exit(cop_ctx *p) {
    if (__builtin_expect(p->pending_exit || p->suspended, 0))
        cop__check_exit_slowly(p);
}
/* Delivers one more message, and counts it; returns what that costs in reductions. Who floods a process that
   cannot follow spends his turn sooner, so that it gets its own while what waits is still in the cache. The
   count need not be exact; it is written when the slot's line is this core's anyway. */
enum { COP__SEND_COST_MAX = 128, COP__FLOOD_COST = 16 };
static inline int cop__deliver_counted(struct cop__worker *w, struct cop__slot *slot,
                                       struct cop__env *env) {
    uint32_t backlog = __atomic_load_n(&slot->backlog, __ATOMIC_RELAXED), cost = 1 + backlog / 2;
    if (!cop__deliver_to(w, slot, env))
        return 1;
    __atomic_store_n(&slot->backlog, backlog + 1, __ATOMIC_RELAXED);
    return __builtin_expect(cost > COP__SEND_COST_MAX, 0) ? COP__SEND_COST_MAX : (int)cost;
}
static inline size_t cop__env_words(const struct cop__env *env) {
    return env->frag.words + sizeof *env / sizeof(uint64_t);
}
static inline void cop__queue_append(cop_ctx *p, struct cop__env *env) {
    env->next = NULL;
    *p->queue_end = env;
    p->queue_end = &env->next;
    p->queue_len++;
    p->queue_words += cop__env_words(env);
}
/* An envelope with an id has left the queue. */
void cop__uncount(cop_ctx *p, struct cop__env *env);
static inline void cop__queue_remove(cop_ctx *p, struct cop__env **at) {
    struct cop__env *env = *at;
    *at = env->next;
    if (p->queue_end == &env->next)
        p->queue_end = at;
    if (p->mark == &env->next)
        p->mark = at;
    p->queue_len--;
    p->queue_words -= cop__env_words(env);
    if (__builtin_expect(env->id != 0, 0))
        cop__uncount(p, env);
}
/* The queue's message becomes the process's: valid until the next collection. */
static inline cop_term cop__adopt(cop_ctx *p, struct cop__env *env) {
    cop_term term = env->term;
    if (cop_is_immediate(term))
        cop__env_free(env);
    else
        cop__heap_adopt(&p->heap, &env->frag);
    return term;
}
cop_term cop__exit_tuple(cop_ctx *ctx, cop_term from, cop_term reason);
cop_ref cop__ref_next(cop_ctx *p);
/* The word of the one it made last. */
static inline uint64_t cop__ref_youngest(const cop_ctx *p) {
    return cop__ref_make(p->slot->index, p->slot->ref_counter & ((UINT64_C(1) << 34) - 1)).w;
}
/* A copied tag of a monitor: body[0] is the term. */
struct cop__fragment *cop__tag_fragment(cop_term tag);
/* An info answer, built on `ctx`'s heap about p: one item's value, or [{item, value}, ...]. */
cop_term cop__info_answer(cop_ctx *ctx, cop_ctx *p, cop_term what);
cop_term cop__max_heap_map(cop_ctx *ctx, const cop_ctx *p);
/* The value of an item for p itself, or COP_NONE. */
cop_term cop__ask(cop_ctx *ctx, enum cop__signal kind, cop_term pid, cop_term what);
/* Is it a local pid or port that lives? */
static inline bool cop__is_here(cop_term id) {
    const struct cop__slot *slot = cop__slot_of(id);
    return slot != NULL && __atomic_load_n(&slot->pid, __ATOMIC_ACQUIRE) == id.w;
}
const char *cop__entry_name(const cop_ctx *p); /* NULL when it has none of its own */
/* What process.c, flag.c and info.c read of options. */
bool cop__priority_from(cop_term t, cop_priority *out);
bool cop__max_heap_from(cop_term t, cop_spawn_opts *out);
bool cop__queue_data_from(cop_term t, bool *off_heap);
/* Was it spawned with a fun (*mfa none) or by name ({module, function, args})? */
bool cop__initial_mfa(const cop_ctx *p, cop_term *mfa);
/* Never 0. */
static inline uint32_t cop__next_link_id(cop_ctx *p) {
    if (++p->link_ids == 0)
        p->link_ids = 1;
    return p->link_ids;
}
static inline size_t cop__min_heap_words(const cop_ctx *p) {
    return p->heap.min_words != 0 ? p->heap.min_words : COP__MIN_HEAP;
}
/* ---- limits: meter.c ---- */
void cop__meters_init(size_t most);
void cop__meters_free(void);
/* The limit of its heap; 0 takes it away. */
void cop__set_max_heap(cop_ctx *p, size_t words);
void cop__set_max_queue(cop_ctx *p, size_t length, size_t bytes, int policy);
/* May it be delivered? Counts it; may wait. In the run-time. */
bool cop__meter_admit(cop_ctx *sender, uint32_t number, struct cop__env *env, bool *would_wait);
/* A counted message (id not 0) leaves the mailbox. */
void cop__meter_release(struct cop__env *env);
void cop__meter_give(struct cop__slot *slot);
/* Senders that wait go on if there is room, or when the process ends. */
void cop__meter_wake(cop_ctx *p);
void cop__handle_room(cop_ctx *p, struct cop__env *env);
/* A port's meter: see port.h. */
void cop__meter_commands(cop_ctx *p, size_t length);
void cop__meter_set_busy(cop_ctx *p, bool busy);
bool cop__meter_is_full(uint32_t number);
void cop__answer_room(struct cop__env *env);
void cop__handle_limit(cop_ctx *p, const struct cop__env *env);
void cop__limit_told(const struct cop__env *env);
cop_term cop__max_queue_map(cop_ctx *ctx, const cop_ctx *p);
/* Heap, messages and binaries as max_heap_size counts them. */
size_t cop__total_words(const cop_ctx *p);

/* ---- requests: call.c ---- */
void cop__handle_call(cop_ctx *p, struct cop__env *env);
cop_term cop__call_reference(const struct cop__env *env);
void cop__handle_bare_reply(cop_ctx *p, const struct cop__env *env);
void cop__watch_anew(cop_ctx *p, const struct cop__rel *rel);
struct cop__env *cop__monitor_env(cop_term target, cop_term watcher, cop_term ref, uint64_t name);

void cop__handle_suspend(cop_ctx *p, struct cop__env *env);
void cop__handle_resume(cop_ctx *p, const struct cop__env *env);
void cop__handle_collect(cop_ctx *p, const struct cop__env *env);
/* For the end of a process: whom it suspends goes on, who suspends it is told. */
void cop__suspends_end(cop_ctx *p, const struct cop__rel *rel);

/* ---- the rest --------------------------------------------------------------------------------------------- */

/* ---- dictionaries: flag.c ---- */
/* One that it was given at its start, and has not changed: outside of its heap, shared. Else NULL. */
static inline cop_saved *cop__given_dictionary(const cop_ctx *p) {
    return cop_is_immediate(p->dictionary)
               ? (cop_saved *)(uintptr_t)(p->dictionary.w & ~UINT64_C(3))
               : NULL;
}
/* Makes that map, or what the options make, the one that the next child is given. */
void cop__dictionary_ready(cop_ctx *parent, cop_term map);
void cop__dictionary_make(cop_ctx *parent, const cop_spawn_opts *o);
void cop__dictionary_give(const cop_ctx *parent, cop_ctx *child);
/* p is over. */
void cop__dictionary_drop(cop_ctx *p);
/* The map itself, to be looked at only, or COP_NONE. */
cop_term cop__dictionary_view(const cop_ctx *p);
/* The value of a key, for ctx, which may be p or build an answer about it. */
bool cop__dictionary_get(cop_ctx *ctx, const cop_ctx *p, cop_term key, cop_term *value);
/* All of it, as {key, value}. */
cop_term cop__dictionary_list(cop_ctx *ctx, const cop_ctx *p);

/* The least of OTP's heap sizes that holds so many words. */
size_t cop__heap_step(size_t words);
cop_ctx *cop__proc_new(cop_ctx *parent, struct cop__worker *w, enum cop__proc_kind kind);
void cop__slot_give(struct cop__worker *w, struct cop__slot *slot);
void cop__names_init(void);
void cop__names_free(void);
void cop__tables_init(void);
void cop__tables_free(void);
void cop__epoch_forget(struct cop__worker *w);
void cop__name_forget(struct cop__slot *slot);
cop_term cop__name_lookup(cop_term atom);
/* Its group leader: what was set or inherited, else the node's :user, else itself. */
cop_term cop__leader_of(const cop_ctx *p);
void cop__owned_release(cop_ctx *p);
/* As cop_disown, from within the run-time. */
bool cop__owned_forget(cop_ctx *p, const void *object);
void cop__scope_leave_with(struct cop__scope *scope, cop_term *keep);
void cop__fault_init(void);
cop_term cop__fault_reason(cop_ctx *p, struct cop__worker *w);
/* Does its callback `raised` want what it has just raised? */
bool cop__wants_raised(const cop_ctx *p);
/* Calls it; returns the reason to end with. In the loop frame, in the run-time. */
cop_term cop__call_raised(cop_ctx *p, bool is_fault);
cop_term cop__stacktrace(cop_ctx *p, const uintptr_t *pcs, size_t count);
void cop__report_error(cop_ctx *p, cop_term reason);
/* ---- log.c ---- -EINVAL for a bad level. */
int cop__log_init(const cop_node_opts *opts);
/* Is an error told to anybody? *logger: the process registered as :logger, or COP_NONE. */
bool cop__log_is_heard(cop_term *logger);
/* An error that a process tells of itself at its end, by message; and one told of p from outside, whose
   terms stand in `scratch`, with all its metadata. */
void cop__log_from_end(cop_ctx *p, cop_term logger, cop_term event, cop_term metadata);
void cop__log_aside(cop_ctx *p, cop_ctx *scratch, cop_term logger, cop_term event,
                    cop_term metadata);
/* Looks at max_heap_words: above it the process is told to end, and a log event says so. */
void cop__heap_limit(cop_ctx *p);
static inline void cop__check_heap(cop_ctx *p) {
    if (__builtin_expect(p->extra != NULL && p->extra->max_heap_words != 0, 0))
        cop__heap_limit(p);
}
void cop__bound_push(struct cop__bound *bound, cop_ctx *p);
void cop__run_stop_hooks(void);
/* A process of the run-time's own; from any thread. False if there is no room for it. */
bool cop__spawn_service(cop_entry entry, int64_t arg);
void cop__host_end(cop_ctx *p, cop_term reason);
_Noreturn void cop__host_exit(cop_ctx *p);
_Noreturn void cop__badarg(cop_ctx *p);
bool cop__is_local_pid(cop_term t);
static inline bool cop__is_local_ref(cop_term t) { return (t.w & 63) == COP__TAG_REF; }
static inline bool cop__is_local_port(cop_term t) { return (t.w & 63) == COP__TAG_PORT; }

/* A scratch heap for terms that leave at once by a copy. */
struct cop__scratch {
    struct cop__heap heap;
    uint64_t words[64 + COP__YOUNG_WORDS];
};
static inline cop_ctx *cop__scratch_open(struct cop__scratch *s) {
    cop__heap_init(&s->heap);
    cop__heap_lend(&s->heap, s->words, 64 + COP__YOUNG_WORDS);
    return (cop_ctx *)&s->heap;
}
static inline void cop__scratch_close(struct cop__scratch *s) { cop__heap_reset(&s->heap); }

#endif
