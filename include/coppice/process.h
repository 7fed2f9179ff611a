/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COPPICE_PROCESS_H
#define COPPICE_PROCESS_H

#include <coppice/log.h>
#include <coppice/match.h>
#include <coppice/term.h>

#if defined(__SANITIZE_THREAD__)
#define COP__HAS_TSAN 1
#elif defined(__has_feature)
#define COP__HAS_TSAN __has_feature(thread_sanitizer)
#else
#define COP__HAS_TSAN 0
#endif
#if defined(__SANITIZE_ADDRESS__)
#define COP__HAS_ASAN 1
#elif defined(__has_feature)
#define COP__HAS_ASAN __has_feature(address_sanitizer)
#else
#define COP__HAS_ASAN 0
#endif
/* 1 in a build under AddressSanitizer or ThreadSanitizer, whose allocators make any count of memory theirs. */
#define COP_SANITIZED (COP__HAS_ASAN || COP__HAS_TSAN)

/* Times are in milliseconds; 0 in an option struct means its default, so: */
#define COP_INFINITY INT64_C(0x7fffffffffffffff) /* never */
#define COP_ZERO INT64_C(-0x7fffffffffffffff)    /* really zero, where 0 is the default */

/* ---- spawning -------------------------------------------------------------------------------- */

/* What a process runs. Returning ends the process with :normal. `arg` is its own copy. */
typedef void (*cop_entry)(cop_ctx *ctx, cop_term arg);

typedef enum cop_priority {
    COP_PRIORITY_NORMAL,
    COP_PRIORITY_LOW,
    COP_PRIORITY_HIGH,
    COP_PRIORITY_MAX,
} cop_priority;

typedef enum cop_queue_policy { COP_QUEUE_DROP, COP_QUEUE_EXIT, COP_QUEUE_WAIT } cop_queue_policy;

/*
 * Spawn options; zeroed is the default of each (Elixir: Process.spawn/2).
 *   link, monitor          set atomically with the creation
 *   monitor_tag            replaces :DOWN in the down message; implies monitor
 *   monitor_alias          cop_alias_mode of the monitor's reference; implies monitor
 *   monitor_ref            beyond Elixir: the monitor has this reference, which the caller just made for it
 *                          (cop_make_ref), so that it can stand in the argument; implies monitor
 *   priority               not inherited
 *   fullsweep_after        minor collections between full ones; COP_ZERO = 0, 0 = 65535
 *   min_heap_words         rounded up to the next of OTP's heap sizes; when the process needs memory it
 *                          takes no less, and collects its old terms later; at most max_heap_words;
 *                          0 = 233
 *   min_bin_vheap_words    words of large binaries it may hold before they make it collect; rounded up
 *                          likewise; 0 = 46422
 *   max_heap_words         a process found above it is killed (reason :killed) and a log event says so;
 *                          looked at after each callback and in each receive; 0 = no limit
 *   max_heap_no_kill, max_heap_no_log   the map form's kill: false, error_logger: false
 *   max_heap_with_shared   large binaries count too (OTP 27's include_shared_binaries)
 *   message_queue_off_heap waiting messages are not counted as heap
 *   max_queue_len, max_queue_bytes   beyond OTP: a bound of the mailbox; 0 = none. A mailbox is full when
 *   max_queue_policy       so many messages, or so many bytes of them, wait. What happens to a message
 *                          then: COP_QUEUE_DROP forgets it, COP_QUEUE_EXIT ends the receiver with
 *                          :max_queue, COP_QUEUE_WAIT makes the sender wait until half was taken or the
 *                          receiver is gone. System messages, exits, down messages, timers, replies
 *                          through an alias, what ports and ending processes send and messages to
 *                          oneself always pass
 *   async_dist             shown by info: sends to other nodes never wait
 *   stack_size             bytes of C stack while it has frames; 0 = the node's default (64 KiB)
 *   keep_stack             the stack stays in memory however long it waits; see stack_idle_ms in node.h
 *   name_hint              a C string of static life shown as {module, function, arity} in info
 *   dictionary             beyond Elixir: a map that the process dictionary begins as. Processes that one
 *                          process starts one after another with the same map share one copy of it, until
 *                          they put something else into theirs
 *   make_dictionary        beyond Elixir, in the place of dictionary: makes that map, of nothing but the
 *                          dictionary_key and the name, pid and dictionary of the process that spawns. So it
 *                          is not called when the process spawned its last one with the same function and
 *                          the same key, an immediate term, and has its name and dictionary still
 */
typedef struct cop_spawn_opts {
    bool link;
    bool monitor;
    cop_term monitor_tag;
    int monitor_alias;
    cop_ref monitor_ref;
    cop_priority priority;
    int64_t fullsweep_after;
    size_t min_heap_words;
    size_t min_bin_vheap_words;
    size_t max_heap_words;
    bool max_heap_no_kill;
    bool max_heap_no_log;
    bool max_heap_with_shared;
    bool message_queue_off_heap;
    size_t max_queue_len;
    size_t max_queue_bytes;
    cop_queue_policy max_queue_policy;
    bool async_dist;
    size_t stack_size;
    bool keep_stack;
    const char *name_hint;
    cop_term dictionary;
    cop_term (*make_dictionary)(cop_ctx *ctx, cop_term dictionary_key);
    cop_term dictionary_key;
} cop_spawn_opts;

typedef struct cop_spawned {
    cop_pid pid;
    cop_ref ref; /* the monitor's, with a monitor option; else COP_NONE inside */
} cop_spawned;

/*
 * Starts a process that runs entry(ctx, arg).
 *
 * Elixir:  spawn/1
 * Arg:     copied to the new process
 * Returns: its pid
 * Errors:  a full process table raises :system_limit in the caller
 * Context: inside a process; never waits
 */
cop_pid cop_spawn(cop_ctx *ctx, cop_entry entry, cop_term arg);
/* The same and linked; Elixir: spawn_link/1. */
cop_pid cop_spawn_link(cop_ctx *ctx, cop_entry entry, cop_term arg);
/* The same and monitored; Elixir: spawn_monitor/1. */
cop_spawned cop_spawn_monitor(cop_ctx *ctx, cop_entry entry, cop_term arg);
/* The same with options; Elixir: Process.spawn/2. opts may be NULL. */
cop_spawned cop_process_spawn(cop_ctx *ctx, cop_entry entry, cop_term arg,
                              const cop_spawn_opts *opts);
/*
 * Reads options from a term: the list that Process.spawn/2 takes. For options that come from
 * outside; a C program writes the struct.
 * Returns: false for an unknown option, a bad value or an improper list
 */
bool cop_spawn_opts_from_term(cop_term list, cop_spawn_opts *out);

typedef enum cop_spawn_reply {
    COP_SPAWN_REPLY_YES,
    COP_SPAWN_REPLY_NO,
    COP_SPAWN_REPLY_ERROR_ONLY,
    COP_SPAWN_REPLY_SUCCESS_ONLY,
} cop_spawn_reply;
/*
 * Asks for a process; the answer comes as a message. With a monitor option the monitor's reference
 * is the request's.
 *
 * Elixir:  :erlang.spawn_request/2
 * Tag:     the message's first element; COP_NONE = :spawn_reply
 * Message: {tag, ref, :ok, pid}, or {tag, ref, :error, :badopt | :system_limit}, as `reply` says
 * Returns: the request's reference
 */
cop_ref cop_spawn_request(cop_ctx *ctx, cop_entry entry, cop_term arg, const cop_spawn_opts *opts,
                          cop_term tag, cop_spawn_reply reply);
/* True if no answer to this request will come any more. On one's own node an answer is there at
   once, so it cannot be prevented. Elixir: :erlang.spawn_request_abandon/1. */
bool cop_spawn_request_abandon(cop_ctx *ctx, cop_ref request);

/* The pid of the calling process; Elixir: self/0. */
cop_pid cop_self(cop_ctx *ctx);
/* A fresh reference, unique on this node; Elixir: make_ref/0. */
cop_ref cop_make_ref(cop_ctx *ctx);

/* ---- messages -------------------------------------------------------------------------------- */

cop_term cop__send(cop_ctx *ctx, cop_term dest, cop_term message);
/*
 * Sends a message; returns it. Never waits.
 *
 * Elixir:  send/2
 * Dest:    cop_pid, cop_port, cop_ref (an alias), cop_atom (a registered name), or a cop_term that
 *          is one of those or {name, node}
 * Message: anything cop_of takes
 * Errors:  an unregistered name, or another kind of dest, raises :badarg; a dead pid, alias or
 *          port drops the message silently
 */
#define cop_send(ctx, dest, message)                                  \
    ({                                                                \
        cop_ctx *cop__sc = (ctx);                                     \
        cop__send(cop__sc, COP_TERM(dest), cop_of(cop__sc, message)); \
    })

enum { COP_SEND_NOCONNECT = 1, COP_SEND_NOSUSPEND = 2 };
cop_term cop__process_send(cop_ctx *ctx, cop_term dest, cop_term message, int flags);
/*
 * The same with options; Elixir: Process.send/3.
 * Returns: :ok; :noconnect when COP_SEND_NOCONNECT is given and dest's node is not connected;
 *          :nosuspend when COP_SEND_NOSUSPEND is given and the send would have to wait (for a mailbox
 *          with COP_QUEUE_WAIT); nothing is sent then
 */
#define cop_process_send(ctx, dest, message, flags)                                    \
    ({                                                                                 \
        cop_ctx *cop__sc = (ctx);                                                      \
        cop__process_send(cop__sc, COP_TERM(dest), cop_of(cop__sc, message), (flags)); \
    })

/*
 * Takes the oldest message, waiting for one.
 *
 * Elixir:  receive do message -> ... after timeout_ms -> ... end
 * Timeout: 0..4294967295 or COP_INFINITY; 0 looks and does not wait
 * Returns: false when nothing came in time; otherwise *message, valid like any term
 * Context: inside a process; may wait, on the process's own C stack
 */
bool cop_receive(cop_ctx *ctx, int64_t timeout_ms, cop_term *message);
/*
 * Selective receive: the oldest message that `wanted` accepts; the others keep their places.
 * `wanted` must not call anything that takes a ctx; `arg` is handed to it.
 */
typedef bool (*cop_wanted)(cop_term message, void *arg);
bool cop_receive_match(cop_ctx *ctx, int64_t timeout_ms, cop_wanted wanted, void *arg,
                       cop_term *message);
/*
 * Waits for the message that answers `ref`: {ref, x} or {[:alias | ref], x}, {tag, ref, x} as I/O
 * devices answer, or {tag, ref, _, _, _} for a monitor with that reference. Messages older than the
 * reference are not even looked at.
 */
bool cop_receive_ref(cop_ctx *ctx, int64_t timeout_ms, cop_ref ref, cop_term *message);
/* cop_receive_match for a message that cannot be older than the reference `since`, the last one that the
   caller made or monitored with: what stood in the queue before it is passed over unseen, so it costs the
   same however much that is. When another was made since, all are looked at. */
bool cop_receive_match_since(cop_ctx *ctx, int64_t timeout_ms, cop_ref since, cop_wanted wanted,
                             void *arg, cop_term *message);
/* Waits without taking messages; Elixir: Process.sleep/1. */
void cop_process_sleep(cop_ctx *ctx, int64_t ms);
/* Lets others run; Elixir: :erlang.yield/0. */
void cop_yield(cop_ctx *ctx);

/* ---- callback processes ----------------------------------------------------------------------- */

struct cop_caught; /* below: what COP_CATCH caught */
/*
 * A callback process has no C stack between two messages: the run-time calls `message` with each,
 * in order. This is what every behaviour is made of.
 *   message   called with each message; may do everything, also wait
 *   timeout   called when the idle timeout set by cop_process_idle_timeout has passed
 *   raised    called when one of the others has raised, exited, thrown or faulted and nobody caught it;
 *             the process ends when it returns, or with what it raises itself, and lives on if it calls
 *             cop_become. So a behaviour cleans up without a COP_TRY around each message. NULL: the
 *             process just ends. An exit signal does not come here
 */
typedef struct cop_callbacks {
    const char *name;
    void (*message)(cop_ctx *ctx, void *state, cop_term message);
    void (*timeout)(cop_ctx *ctx, void *state);
    void (*raised)(cop_ctx *ctx, void *state, const struct cop_caught *caught);
} cop_callbacks;

/*
 * The process's state block: zeroed, `size` bytes, freed with the process. At most one; asking
 * again with another size replaces it (contents are lost).
 */
void *cop_process_state(cop_ctx *ctx, size_t size);
/*
 * Which words of the state are terms to be kept alive. Two ranges, index 0 and 1; count 0 clears.
 * The words must be valid terms or COP_NONE whenever a callback returns.
 */
void cop_process_keep(cop_ctx *ctx, unsigned index, cop_term *first, size_t count);
/*
 * Turns the calling process into a callback process: its C stack is thrown away. Never returns.
 * Deferred functions and owned memory stay.
 */
_Noreturn void cop_become(cop_ctx *ctx, const cop_callbacks *callbacks, void *state);
/*
 * When the process is a callback process and no message arrives for ms, `timeout` is called, once.
 * Any message clears it, and so does COP_INFINITY; 0 fires at once unless a message is waiting.
 */
void cop_process_idle_timeout(cop_ctx *ctx, int64_t ms);
/*
 * Throws the C stack away, collects, waits for a message (continues at once if there is one), then
 * runs entry(ctx, arg) with the queue untouched. Elixir: Process.hibernate/3. Never returns.
 */
_Noreturn void cop_process_hibernate(cop_ctx *ctx, cop_entry entry, cop_term arg);
/* The same, woken only by a message that `wanted` accepts, as for cop_receive_match: others stay in the queue and
   wake nobody. wanted_arg must not be on the C stack. Never returns. */
_Noreturn void cop_process_hibernate_match(cop_ctx *ctx, cop_wanted wanted, void *wanted_arg,
                                           cop_entry entry, cop_term arg);
/* A callback process that should collect fully and count as hibernating until its next message. */
void cop_process_hibernate_after_callback(cop_ctx *ctx);

/* ---- exits -------------------------------------------------------------------------------------- */

_Noreturn void cop__exit(cop_ctx *ctx, cop_term reason);
/* Ends the calling process with this reason unless COP_TRY catches it; Elixir: exit/1. */
#define cop_exit(ctx, reason) cop__exit((ctx), COP_TERM(reason))
/* Raises an error: uncaught, the exit reason is {reason, stacktrace}; Elixir: :erlang.error/1. */
_Noreturn void cop__error(cop_ctx *ctx, cop_term reason);
#define cop_error(ctx, reason) cop__error((ctx), COP_TERM(reason))
/* Raises an Elixir exception of that module, as in raise RuntimeError, "text". */
_Noreturn void cop_raise(cop_ctx *ctx, const char *exception, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Throws; uncaught, the exit reason is {{:nocatch, value}, stacktrace}; Elixir: throw/1. */
_Noreturn void cop__throw(cop_ctx *ctx, cop_term value);
#define cop_throw(ctx, value) cop__throw((ctx), COP_TERM(value))

typedef enum cop_class { COP_CLASS_EXIT, COP_CLASS_ERROR, COP_CLASS_THROW } cop_class;
/* What COP_CATCH caught. A fault (a SIGSEGV ...) is class error with is_fault set: memory that the
   code was changing may be in disorder, so do no more than report it. */
typedef struct cop_caught {
    cop_class class;
    cop_term reason;     /* as given to cop_exit, cop_error, cop_throw */
    cop_term stacktrace; /* of an error: [{module, function, arity, location}, ...]; else [] */
    bool is_fault;
} cop_caught;
/* Where what was caught was raised, also for exits and throws, for which `stacktrace` is not made unasked.
   To be called first in the COP_CATCH block. Elixir: __STACKTRACE__. */
cop_term cop_stacktrace(cop_ctx *ctx);
/* The exit reason that this would have been, uncaught. */
cop_term cop_caught_reason(cop_ctx *ctx, const cop_caught *caught);
/* Goes on with it, as if it had not been caught. */
_Noreturn void cop_rethrow(cop_ctx *ctx, const cop_caught *caught);

struct cop__try {
    struct cop__try *outer;
    uint64_t regs[25];
    cop_caught caught;
    void *owner;
};
#if COP__HAS_TSAN
#include <setjmp.h>
/* ThreadSanitizer must see the jump, to keep its own record of the calls. */
#define cop__try_save(regs) _setjmp(*(jmp_buf *)(void *)(regs))
#else
int cop__try_save(uint64_t *regs) __attribute__((returns_twice));
#endif
void cop__try_push(cop_ctx *ctx, struct cop__try *t);
void cop__try_pop(cop_ctx *ctx, struct cop__try *t);
const cop_caught *cop__try_caught(cop_ctx *ctx, struct cop__try *t);
/*
 * COP_TRY(ctx) { ... } COP_CATCH(caught) { ... }
 * Catches exits, errors, throws and faults of the block; a kill is never caught. Leave the block
 * only by its end (no return, break or goto out of it). Locals changed in it and read after a
 * catch must be volatile. `caught` is a const cop_caught *.
 */
#define COP_TRY(ctx)                                                                    \
    for (struct {                                                                       \
             struct cop__try t;                                                         \
             cop_ctx *c;                                                                \
             int pass;                                                                  \
         } cop__tr = { .c = (ctx), .pass = 0 };                                         \
         cop__tr.pass < 1; cop__tr.pass++)                                              \
        if ((cop__try_push(cop__tr.c, &cop__tr.t), cop__try_save(cop__tr.t.regs)) == 0) \
            for (int cop__once = 1; cop__once; cop__once = 0, cop__try_pop(cop__tr.c, &cop__tr.t))
#define COP_CATCH(name)                                                                      \
    else for (const cop_caught *name = cop__try_caught(cop__tr.c, &cop__tr.t); name != NULL; \
              name = NULL)

void cop__process_exit(cop_ctx *ctx, cop_term dest, cop_term reason);
/*
 * Sends an exit signal; Elixir: Process.exit/2. :kill cannot be trapped; :normal is ignored by
 * others. Dest is a cop_pid, a cop_port or a cop_term that is one; else raises :badarg.
 */
#define cop_process_exit(ctx, dest, reason) \
    cop__process_exit((ctx), COP_TERM(dest), COP_TERM(reason))

/* ---- links and monitors ---------------------------------------------------------------------------- */

void cop__process_link(cop_ctx *ctx, cop_term dest);
void cop__process_unlink(cop_ctx *ctx, cop_term dest);
/*
 * Links the caller with a process or port; both ways, once.
 * Elixir:  Process.link/1
 * Errors:  it is gone: {:EXIT, pid, :noproc} for a caller that traps exits, else raises :noproc
 */
#define cop_process_link(ctx, dest) cop__process_link((ctx), COP_TERM(dest))
/* Removes the link; afterwards no exit comes through it. Elixir: Process.unlink/1. */
#define cop_process_unlink(ctx, dest) cop__process_unlink((ctx), COP_TERM(dest))

typedef enum cop_alias_mode {
    COP_ALIAS_NONE,
    COP_ALIAS_EXPLICIT_UNALIAS,
    COP_ALIAS_DEMONITOR,
    COP_ALIAS_REPLY_DEMONITOR,
} cop_alias_mode;
/* alias: the reference is also an alias; tag: replaces :DOWN. */
typedef struct cop_monitor_opts {
    cop_alias_mode alias;
    cop_term tag;
} cop_monitor_opts;

cop_ref cop__process_monitor(cop_ctx *ctx, cop_term item, const cop_monitor_opts *opts);
/*
 * Monitors a process: when it ends, the caller receives one message. For ports: cop_port_monitor.
 *
 * Elixir:  Process.monitor/1,2
 * Item:    cop_pid, cop_atom (a registered name) or a cop_term, {name, node} too
 * Message: {:DOWN, ref, :process, object, reason}; object is the pid, or {name, node} for a name;
 *          reason is :noproc if it was gone already
 * Errors:  :badarg for a port
 * Returns: a fresh reference, the `ref` of that message
 * Context: inside a process; never waits for the other process
 */
#define cop_process_monitor(ctx, item) cop__process_monitor((ctx), COP_TERM(item), NULL)
#define cop_process_monitor_opts(ctx, item, opts) \
    cop__process_monitor((ctx), COP_TERM(item), (opts))

enum { COP_DEMONITOR_FLUSH = 1, COP_DEMONITOR_INFO = 2 };
/*
 * Ends a monitor. With COP_DEMONITOR_FLUSH its down message is also taken out of the queue.
 * Elixir:  Process.demonitor/2
 * Returns: true; with COP_DEMONITOR_INFO whether the monitor was found and removed
 */
bool cop_process_demonitor(cop_ctx *ctx, cop_ref ref, int flags);

/* A reference to which messages for the caller can be sent; Elixir: Process.alias/1.
   reply: it ends with the first message received through it. */
cop_ref cop_process_alias(cop_ctx *ctx, bool reply);
/* Ends an alias of the caller: true if it was an active one. Elixir: Process.unalias/1. */
bool cop_process_unalias(cop_ctx *ctx, cop_ref alias);

/* ---- names --------------------------------------------------------------------------------------------- */

void cop__process_register(cop_ctx *ctx, cop_term pid_or_port, cop_atom name);
bool cop__process_try_register(cop_ctx *ctx, cop_term pid_or_port, cop_atom name);
/*
 * Gives a process or port of this node a name.
 *
 * Elixir:  Process.register/2
 * Errors:  raises an ArgumentError that says why: it is dead or of another node, it has a name, the
 *          name is taken, or is one of nil, true, false, undefined
 */
#define cop_process_register(ctx, pid_or_port, name) \
    cop__process_register((ctx), COP_TERM(pid_or_port), (name))
/* The same, with false in the place of the error. */
#define cop_process_try_register(ctx, pid_or_port, name) \
    cop__process_try_register((ctx), COP_TERM(pid_or_port), (name))
/* Takes a name away; raises :badarg if nobody has it. Elixir: Process.unregister/1. */
void cop_process_unregister(cop_ctx *ctx, cop_atom name);
/* The pid or port of that name, or COP_NONE. Elixir: Process.whereis/1. */
cop_term cop_process_whereis(cop_ctx *ctx, cop_atom name);
/* All names, as a list of atoms. Elixir: Process.registered/0. */
cop_term cop_process_registered(cop_ctx *ctx);

/* ---- timers --------------------------------------------------------------------------------------------- */

cop_ref cop__send_after(cop_ctx *ctx, cop_term dest, cop_term message, int64_t ms, bool absolute);
/*
 * Sends message to dest after ms milliseconds.
 * Elixir:  Process.send_after/3
 * Dest:    a local cop_pid or a cop_atom (looked up when it fires), or a cop_term that is one
 * Returns: the timer's reference
 * Errors:  negative time or another kind of dest raises :badarg
 */
#define cop_process_send_after(ctx, dest, message, ms)                                   \
    ({                                                                                   \
        cop_ctx *cop__sc = (ctx);                                                        \
        cop__send_after(cop__sc, COP_TERM(dest), cop_of(cop__sc, message), (ms), false); \
    })
/* The same at an absolute time of the monotonic clock (cop_monotonic_ms). */
#define cop_process_send_at(ctx, dest, message, at_ms)                                     \
    ({                                                                                     \
        cop_ctx *cop__sc = (ctx);                                                          \
        cop__send_after(cop__sc, COP_TERM(dest), cop_of(cop__sc, message), (at_ms), true); \
    })
/* Delivers {:timeout, ref, message}; Elixir: :erlang.start_timer/3; _at: at an absolute time. */
cop_ref cop_start_timer(cop_ctx *ctx, int64_t ms, cop_term dest, cop_term message);
cop_ref cop_start_timer_at(cop_ctx *ctx, int64_t at_ms, cop_term dest, cop_term message);
/* Milliseconds left, or -1 when it fired, was cancelled or never was; what is no reference raises
   :badarg. Exact: after a cancel that answers >= 0 the message will not come. Any process may ask.
   Elixir: Process.cancel_timer/1, read_timer/1. */
int64_t cop_process_cancel_timer(cop_ctx *ctx, cop_ref timer);
int64_t cop_process_read_timer(cop_ctx *ctx, cop_ref timer);
/* Cancels without waiting; unless quiet, {:cancel_timer, timer, ms | false} comes as a message.
   Elixir: Process.cancel_timer(timer, async: true, info: not quiet). */
void cop_process_cancel_timer_async(cop_ctx *ctx, cop_ref timer, bool quiet);
/* {:read_timer, timer, ms | false} comes as a message. Elixir: :erlang.read_timer/2, async. */
void cop_process_read_timer_async(cop_ctx *ctx, cop_ref timer);
/* The monotonic clock in ms and ns (virtual under simulation). */
int64_t cop_monotonic_ms(cop_ctx *ctx);
int64_t cop_monotonic_ns(cop_ctx *ctx);
/* The wall clock, ns since 1970 (virtual under simulation). */
int64_t cop_system_time_ns(cop_ctx *ctx);
/* A random number of the process's own stream (seeded under simulation). */
uint64_t cop_random_u64(cop_ctx *ctx);

/* ---- flags, dictionary, information ------------------------------------------------------------------------ */

/* Each sets a flag of the calling process and returns the old value. Elixir: Process.flag/2. */
bool cop_process_trap_exit(cop_ctx *ctx, bool on);
cop_priority cop_process_set_priority(cop_ctx *ctx, cop_priority priority);
cop_term cop__process_flag(cop_ctx *ctx, cop_atom flag, cop_term value);
/*
 * Sets any flag by name, with values as in Elixir; returns the old value.
 *
 * Elixir:  Process.flag/2
 * Flags:   trap_exit, priority, fullsweep_after, min_heap_size, min_bin_vheap_size, max_heap_size (an
 *          integer or a map; answered with the map), message_queue_data, error_handler, save_calls,
 *          sensitive, async_dist, monitor_nodes
 * Errors:  :badarg for an unknown flag or a bad value
 */
#define cop_process_flag(ctx, flag, value)                          \
    ({                                                              \
        cop_ctx *cop__sc = (ctx);                                   \
        cop__process_flag(cop__sc, (flag), cop_of(cop__sc, value)); \
    })
/* Another process's :save_calls, the only flag that can be set from outside; raises :badarg when the
   process is gone. Elixir: Process.flag/3. */
int64_t cop_process_set_save_calls(cop_ctx *ctx, cop_pid pid, int64_t count);

/* The process dictionary; COP_NONE for "nothing". Elixir: Process.put/2, get/1, delete/1. */
cop_term cop_process_put(cop_ctx *ctx, cop_term key, cop_term value);
cop_term cop_process_get(cop_ctx *ctx, cop_term key);
cop_term cop_process_delete(cop_ctx *ctx, cop_term key);
/* The whole dictionary as [{key, value}]. */
cop_term cop_process_dictionary(cop_ctx *ctx);

/* All keys; those with that value. Elixir: Process.get_keys/0,1. */
cop_term cop_process_get_keys(cop_ctx *ctx);
cop_term cop_process_get_keys_of(cop_ctx *ctx, cop_term value);

void cop__process_set_label(cop_ctx *ctx, cop_term label);
/* A label for people who look at the process: any term. Elixir: Process.set_label/1. */
#define cop_process_set_label(ctx, label)                        \
    ({                                                           \
        cop_ctx *cop__sc = (ctx);                                \
        cop__process_set_label(cop__sc, cop_of(cop__sc, label)); \
    })
/* A process's label; :nil when it has none or is gone. Elixir: Process.get_label/1. */
cop_term cop_process_label(cop_ctx *ctx, cop_pid pid);

/* The group leader, inherited at spawn. Elixir: Process.group_leader/0,2. Setting it raises :badarg when
   pid is gone; the leader itself may be. */
cop_pid cop_process_group_leader(cop_ctx *ctx);
void cop_process_set_group_leader(cop_ctx *ctx, cop_pid pid, cop_pid leader);
/* The pid of the process that spawned the caller; COP_NONE inside for the first. */
cop_pid cop_process_parent(cop_ctx *ctx);

/* False for a pid that has ended. Signals the caller sent before take effect first.
   Elixir: Process.alive?/1. */
bool cop_process_is_alive(cop_ctx *ctx, cop_pid pid);
cop_term cop__process_info(cop_ctx *ctx, cop_pid pid, cop_term item);
/*
 * One item of information, or COP_NONE when the process is gone. Elixir: Process.info/2.
 * Item:  an atom, or {:dictionary, key}: registered_name ([] when none), current_function,
 *        current_location, current_stacktrace, initial_call, status, message_queue_len, messages,
 *        links, monitors, monitored_by, dictionary, trap_exit, error_handler, priority, group_leader,
 *        total_heap_size, heap_size, stack_size, min_heap_size, min_bin_vheap_size, fullsweep_after
 *        (words and counts), memory (bytes), reductions, garbage_collection, garbage_collection_info,
 *        max_heap_size, message_queue_data, async_dist, parent, suspending, binary, backtrace,
 *        catchlevel, last_calls, sequential_trace_token, trace, magic_ref, label,
 *        max_queue
 * Errors:  :badarg for an unknown item, also when the process is gone
 * Context: waits until the other process answers between two of its steps
 */
#define cop_process_info(ctx, pid, item) cop__process_info((ctx), (pid), COP_TERM(item))
/* Several items, a list of them: [{item, value}, ...] in that order. Elixir: Process.info/2. */
cop_term cop_process_info_list(cop_ctx *ctx, cop_pid pid, cop_term items);
/* The usual items, as Process.info/1 has them; COP_NONE when the process is gone. */
cop_term cop_process_info_all(cop_ctx *ctx, cop_pid pid);
/* All live processes. Elixir: Process.list/0. */
cop_term cop_process_list(cop_ctx *ctx);

/*
 * Keeps a process from running until it is resumed as often: by the caller, or by the caller's end.
 * It goes on to queue messages, and an exit signal still ends it.
 *
 * Elixir:  :erlang.suspend_process/1,2
 * Flags:   COP_UNLESS_SUSPENDING does nothing when the caller suspends it already
 * Returns: true; false when COP_UNLESS_SUSPENDING did nothing
 * Errors:  :badarg for the caller itself and for a process that is gone
 * Context: waits until it is suspended
 */
enum { COP_UNLESS_SUSPENDING = 1 };
bool cop_process_suspend(cop_ctx *ctx, cop_pid pid, int flags);
/* The same without waiting; when tag is not COP_NONE, {tag, :suspended} comes as a message. */
bool cop_process_suspend_async(cop_ctx *ctx, cop_pid pid, int flags, cop_term tag);
/* Takes one suspend back; raises :badarg when the caller does not suspend it.
   Elixir: :erlang.resume_process/1. */
void cop_process_resume(cop_ctx *ctx, cop_pid pid);

/* A full collection: of the caller at the end of its callback (terms on its C stack stay till then), of
   another process as soon as it waits. False when it is gone. Elixir: :erlang.garbage_collect/1. */
bool cop_garbage_collect(cop_ctx *ctx, cop_pid pid);
/* Without waiting: {:garbage_collect, id, bool} comes as a message. */
void cop_garbage_collect_async(cop_ctx *ctx, cop_pid pid, cop_term id);

/* ---- memory ---------------------------------------------------------------------------------------------------- */

/* malloc-like memory that belongs to the process: freed when it ends. 16-byte aligned, zeroed. */
void *cop_alloc(cop_ctx *ctx, size_t size);
void *cop_realloc(cop_ctx *ctx, void *block, size_t size);
void cop_free(cop_ctx *ctx, void *block);
/* object belongs to the process: release(object) runs however it ends. Returns object; NULL is
   passed through and not owned. cop_disown takes it back (false if it was not owned). */
void *cop_own(cop_ctx *ctx, void *object, void (*release)(void *object));
bool cop_disown(cop_ctx *ctx, void *object);
/* Runs function(ctx, arg) when the process ends, last one first, before links and monitors are
   told. It must not wait. */
void cop_defer(cop_ctx *ctx, void (*function)(cop_ctx *ctx, void *arg), void *arg);

struct cop__scope {
    uint64_t mark[4];
    uint64_t dictionary;
    cop_ctx *ctx;
    int pass;
};
void cop__scope_enter(cop_ctx *ctx, struct cop__scope *scope);
void cop__scope_leave(struct cop__scope *scope);
/*
 * COP_SCOPE(ctx) { ... }: terms built or received in the block are gone at its end. For loops in raw
 * processes, which are collected only here. Do not leave it by return, break or goto.
 */
#define COP_SCOPE(ctx)                                                \
    for (struct cop__scope cop__sp = { .pass = 0 };                   \
         cop__sp.pass == 0 && (cop__scope_enter((ctx), &cop__sp), 1); \
         cop__sp.pass = 1, cop__scope_leave(&cop__sp))

/* ---- long work in C ------------------------------------------------------------------------------------------------ */

/* Counts n reductions of work; a callback process that spends its budget lets others run after
   its callback, a raw one inside this call. Elixir: :erlang.bump_reductions/1. */
void cop_bump_reductions(cop_ctx *ctx, int64_t n);

/*
 * Who is told of steps that run longer than long_schedule_ms, once of each step. One process of the node;
 * COP_NONE inside `process` for none, which is the default and costs nothing.
 *
 * Erlang:  :erlang.system_monitor/2 with {:long_schedule, ms}. Erlang tells of a step when it ends; here it is
 *          told while it runs, because a step in C may never end
 * Message: {:monitor, pid, :long_schedule, [timeout: ms, in: {module, function, arity} | :undefined]},
 *          with the time up to now, and the function that the process was found in
 * Returns: the process before, COP_NONE inside if none
 * Errors:  :badarg for what is no pid of this node, and for a time that is not above 0
 * Context: never under simulation, where nothing takes time. To look, the thread is sent SIGURG, which may
 *          end a system call that it waits in with EINTR
 */
cop_pid cop_system_monitor(cop_ctx *ctx, cop_pid process, int64_t long_schedule_ms);

#endif
