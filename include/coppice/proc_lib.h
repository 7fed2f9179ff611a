/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COPPICE_PROC_LIB_H
#define COPPICE_PROC_LIB_H

#include <coppice/process.h>

/*
 * How a start ended: {:ok, pid} | {:ok, pid, info} | :ignore | {:error, reason}. What a process
 * acknowledges that is none of these is COP_OTHER.
 */
typedef struct cop_started {
    enum { COP_STARTED = 1, COP_IGNORE, COP_ERROR, COP_OTHER } is;
    cop_pid pid;
    cop_ref ref;     /* of start_monitor, else COP_NONE inside */
    cop_term reason; /* of COP_ERROR; the term itself of COP_OTHER */
    cop_term info;   /* COP_NONE unless given */
} cop_started;

/* The result as the Elixir term; and back (false for COP_OTHER). */
cop_term cop_started_to_term(cop_ctx *ctx, cop_started started);
bool cop_started_from_term(cop_term t, cop_started *out);
static inline cop_started cop_started_ok(cop_pid pid) {
    return (cop_started){ .is = COP_STARTED, .pid = pid };
}
static inline cop_started cop_started_error(cop_term reason) {
    return (cop_started){ .is = COP_ERROR, .reason = reason };
}

/*
 * Start options, zeroed is the default of each.
 *   name                registers the process under this atom before init (gen_server, supervisor)
 *   timeout_ms          for the start; 0 = COP_INFINITY
 *   spawn               spawn options; a monitor in them raises :badarg
 *   hibernate_after_ms  idle time before a gen_server hibernates; 0 = never, COP_ZERO = at once
 *   initial_call        shown in `$initial_call` and crash reports: "Counter" for {Counter, :init, 1}, or
 *                       "module:function/arity"; NULL = the table's name, or {:c, entry, 2}
 *   debug               a list: a gen_server's debug options (see cop_sys_debug_options)
 *   via                 in the place of name: {:global, term}, or {:via, module, name}, which registers
 *                       the process by the module's functions (see coppice/registry.h)
 */
typedef struct cop_start_opts {
    cop_atom name;
    int64_t timeout_ms;
    const cop_spawn_opts *spawn;
    int64_t hibernate_after_ms;
    const char *initial_call;
    cop_term via;
    cop_term debug;
} cop_start_opts;

/* ---- starting, for the starter -------------------------------------------------------------------- */

/*
 * Starts entry(ctx, arg) in a process of proc_lib's (with $ancestors, $initial_call and crash
 * reports) and waits until it calls cop_proc_lib_init_ack or init_fail, or ends.
 *
 * Erlang:  :proc_lib.start/5, start_link/5, start_monitor/5
 * Opts:    the last argument: cop_start_opts, or NULL
 * Returns: a cop_started: what the process acknowledged; {:error, reason} if it ended before;
 *          {:error, :timeout} after opts->timeout_ms, when it is killed. A failed start leaves no
 *          message behind, but of start_monitor the down message
 * Errors:  a linked caller that does not trap exits dies with a failing process; :badarg for a monitor
 *          among the spawn options
 */
#define cop_proc_lib_start(ctx, entry, arg, ...) \
    cop__proc_lib_start((ctx), (entry), (arg), COP__START, #entry, __VA_ARGS__)
#define cop_proc_lib_start_link(ctx, entry, arg, ...) \
    cop__proc_lib_start((ctx), (entry), (arg), COP__START_LINK, #entry, __VA_ARGS__)
#define cop_proc_lib_start_monitor(ctx, entry, arg, ...) \
    cop__proc_lib_start((ctx), (entry), (arg), COP__START_MONITOR, #entry, __VA_ARGS__)
/* The same with a function by name (coppice/module.h) and a list of arguments. */
cop_started cop_proc_lib_start_mfa(cop_ctx *ctx, cop_atom module, cop_atom function, cop_term args,
                                   const cop_start_opts *opts);
cop_started cop_proc_lib_start_link_mfa(cop_ctx *ctx, cop_atom module, cop_atom function,
                                        cop_term args, const cop_start_opts *opts);
cop_started cop_proc_lib_start_monitor_mfa(cop_ctx *ctx, cop_atom module, cop_atom function,
                                           cop_term args, const cop_start_opts *opts);

/*
 * The same without waiting.
 * Erlang:  :proc_lib.spawn/1, spawn_link/1, spawn_opt/2; the last returns a cop_spawned, and a monitor
 *          is allowed among its cop_spawn_opts
 */
#define cop_proc_lib_spawn(ctx, entry, arg) \
    cop__spawned_pid(cop__proc_lib_spawn((ctx), (entry), (arg), false, #entry, NULL))
#define cop_proc_lib_spawn_link(ctx, entry, arg) \
    cop__spawned_pid(cop__proc_lib_spawn((ctx), (entry), (arg), true, #entry, NULL))
#define cop_proc_lib_spawn_opt(ctx, entry, arg, ...) \
    cop__proc_lib_spawn((ctx), (entry), (arg), false, #entry, __VA_ARGS__)
/* With a function by name, or a fun without arguments. Erlang: :proc_lib.spawn_opt/4, spawn_opt/2. */
cop_spawned cop_proc_lib_spawn_mfa(cop_ctx *ctx, cop_atom module, cop_atom function, cop_term args,
                                   const cop_spawn_opts *opts);
cop_spawned cop_proc_lib_spawn_fun(cop_ctx *ctx, cop_term fun, const cop_spawn_opts *opts);

/* ---- starting, for the new process ---------------------------------------------------------------- */

/*
 * The start is over: the starter's call returns this.
 * Erlang:  :proc_lib.init_ack/1; init_ack/2, with any term and the starter's pid
 * Message: {:ack, self, ret}
 */
void cop_proc_lib_init_ack(cop_ctx *ctx, cop_started started);
void cop_proc_lib_init_ack_to(cop_ctx *ctx, cop_pid parent, cop_term ret);
/*
 * The start has failed: the starter's call returns `ret` once this process is gone, which ends now,
 * with an exit of that reason or with what was caught.
 * Erlang:  :proc_lib.init_fail/2,3
 * Message: {:nack, self, ret}
 */
_Noreturn void cop_proc_lib_init_fail(cop_ctx *ctx, cop_started started, cop_term exit_reason);
_Noreturn void cop_proc_lib_init_fail_to(cop_ctx *ctx, cop_pid parent, cop_term ret,
                                         const cop_caught *exception);
/* The process that started the caller by proc_lib; COP_NONE inside if none did. */
cop_pid cop_proc_lib_parent(cop_ctx *ctx);

/* As cop_process_hibernate, and crashes after the waking are reported too.
   Erlang: :proc_lib.hibernate/3. */
_Noreturn void cop_proc_lib_hibernate(cop_ctx *ctx, cop_entry entry, cop_term arg);
_Noreturn void cop_proc_lib_hibernate_mfa(cop_ctx *ctx, cop_atom module, cop_atom function,
                                          cop_term args);

/* ---- stopping ----------------------------------------------------------------------------------------- */

void cop__proc_lib_stop(cop_ctx *ctx, cop_term process, cop_term reason, int64_t timeout_ms);
/*
 * Asks a process of OTP's to end with reason, by the system message {:terminate, reason}, and waits
 * for its end, at most timeout_ms for both (0 = COP_INFINITY).
 *
 * Erlang:  :proc_lib.stop/3
 * Process: a pid or a registered name; reason: any term
 * Exits:   :noproc; :timeout (the request stays in its mailbox); the reason it ended with, when that is
 *          another one; {reason, {:sys, :terminate, [process, reason, timeout]}} when it ended without
 *          having taken the request
 */
#define cop_proc_lib_stop(ctx, process, reason, timeout_ms) \
    cop__proc_lib_stop((ctx), COP_TERM(process), COP_TERM(reason), (timeout_ms))
/* The same, and returns :ok or the reason with which that call would exit. */
cop_term cop_proc_lib_try_stop(cop_ctx *ctx, cop_pid process, cop_term reason, int64_t timeout_ms);

/* ---- where a process came from ---------------------------------------------------------------------------- */

/*
 * What a process was started with: {module, function, [:Argument__1, ...]}, or false for one that
 * proc_lib did not start or that is gone.
 * Erlang:  :proc_lib.initial_call/1
 */
cop_term cop_proc_lib_initial_call(cop_ctx *ctx, cop_pid process);
/* The same as {module, function, arity}; {:proc_lib, :init_p, 5} when it is not known.
   Erlang: :proc_lib.translate_initial_call/1. */
cop_term cop_proc_lib_translate_initial_call(cop_ctx *ctx, cop_pid process);
/* The label of cop_process_set_label; :undefined when there is none. Erlang: :proc_lib.get_label/1. */
cop_term cop_proc_lib_get_label(cop_ctx *ctx, cop_pid process);
#define cop_proc_lib_set_label(ctx, label) cop_process_set_label(ctx, label)

/*
 * A say in what is shown of a process: given one term at a time, and what it is, returns what may be shown
 * of it. When it raises, :redacted is shown.
 * What: :reason, :message, :dictionary (a list of pairs), :label; of a gen_server also :state
 */
typedef cop_term (*cop_redact)(cop_ctx *ctx, cop_atom what, cop_term term);
/*
 * The calling process's crash reports are redacted from here on; NULL: they are not. For a process without a
 * behaviour; a gen_server has it in its table. With it, arguments in stack traces are shown as
 * their number.
 */
void cop_proc_lib_set_redact(cop_ctx *ctx, cop_redact redact);

/* ---- crash reports ---------------------------------------------------------------------------------------- */

/*
 * Reports a crash as proc_lib does, unless it is an exit with a reason that is normal, shutdown or
 * {shutdown, _}. For behaviours, which catch what their callbacks raise and end then.
 *
 * Event:    {:report, %{label: {:proc_lib, :crash}, report: [own, neighbours]}}, keyword lists as OTP
 *           has them; neighbours are up to 15 processes that do not trap exits, over links
 * Metadata: domain [:otp, :sasl], error_logger, logger_formatter
 * Context:  waits for the neighbours' answers; after a second no other one is asked
 */
void cop_proc_lib_crash_report(cop_ctx *ctx, const cop_caught *caught);
/* normal, shutdown and {shutdown, _}: reasons that nobody logs. */
bool cop_reason_is_normal(cop_term reason);

/* ---- pieces of the macros above ------------------------------------------------------------------------- */

enum cop__start_kind { COP__START, COP__START_LINK, COP__START_MONITOR };
cop_started cop__proc_lib_start(cop_ctx *ctx, cop_entry entry, cop_term arg,
                                enum cop__start_kind kind, const char *name,
                                const cop_start_opts *opts);
cop_spawned cop__proc_lib_spawn(cop_ctx *ctx, cop_entry entry, cop_term arg, bool link,
                                const char *name, const cop_spawn_opts *opts);
static inline cop_pid cop__spawned_pid(cop_spawned spawned) { return spawned.pid; }

#endif
