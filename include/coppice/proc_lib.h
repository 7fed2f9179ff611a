/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COPPICE_PROC_LIB_H
#define COPPICE_PROC_LIB_H

#include <coppice/process.h>

/* How a start ended: {:ok, pid} | {:ok, pid, info} | :ignore | {:error, reason}. */
typedef struct cop_started {
    enum { COP_STARTED = 1, COP_IGNORE, COP_ERROR } is;
    cop_pid pid;
    cop_ref ref;     /* of start_monitor, else COP_NONE inside */
    cop_term reason; /* of COP_ERROR */
    cop_term info;   /* COP_NONE unless given */
} cop_started;

/* The result as the Elixir term; and back (false for a term that is none of the four). */
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
 *   hibernate_after_ms  idle time before a gen_server hibernates; 0 = never
 *   initial_call        shown in `$initial_call` and crash reports; NULL = the table's name
 */
typedef struct cop_start_opts {
    cop_atom name;
    int64_t timeout_ms;
    const cop_spawn_opts *spawn;
    int64_t hibernate_after_ms;
    const char *initial_call;
} cop_start_opts;

/*
 * Starts entry(ctx, arg) in a process of proc_lib's (with $ancestors, $initial_call and crash
 * reports) and waits until it calls cop_proc_lib_init_ack or init_fail, or ends.
 *
 * Erlang:  :proc_lib.start/5, start_link/5, start_monitor/5
 * Returns: what the process acknowledged; {:error, reason} if it ended before; {:error, :timeout}
 *          after opts->timeout_ms, when it is killed. A failed start leaves no message behind.
 * Errors:  a linked caller that does not trap exits dies with a failing process
 */
cop_started cop_proc_lib_start(cop_ctx *ctx, cop_entry entry, cop_term arg,
                               const cop_start_opts *opts);
cop_started cop_proc_lib_start_link(cop_ctx *ctx, cop_entry entry, cop_term arg,
                                    const cop_start_opts *opts);
cop_started cop_proc_lib_start_monitor(cop_ctx *ctx, cop_entry entry, cop_term arg,
                                       const cop_start_opts *opts);
/* The same without waiting; Erlang: :proc_lib.spawn/1, spawn_link/1. */
cop_pid cop_proc_lib_spawn(cop_ctx *ctx, cop_entry entry, cop_term arg);
cop_pid cop_proc_lib_spawn_link(cop_ctx *ctx, cop_entry entry, cop_term arg);

/* The start is over: the parent's call returns this. Erlang: :proc_lib.init_ack/1. */
void cop_proc_lib_init_ack(cop_ctx *ctx, cop_started started);
/* The start has failed: the parent's call returns it once this process is gone, which ends now with
   exit_reason. Erlang: :proc_lib.init_fail/2. */
_Noreturn void cop_proc_lib_init_fail(cop_ctx *ctx, cop_started started, cop_term exit_reason);
/* The process that started the caller by proc_lib; COP_NONE inside if none did. */
cop_pid cop_proc_lib_parent(cop_ctx *ctx);
/*
 * Asks a process of OTP's to end with reason, and waits for its end, at most timeout_ms (0 =
 * COP_INFINITY). Erlang: :proc_lib.stop/3
 * Returns: :ok, or the reason with which Erlang's call would exit
 */
cop_term cop_proc_lib_try_stop(cop_ctx *ctx, cop_pid process, cop_term reason, int64_t timeout_ms);
/* Reports a crash as proc_lib does, unless the reason is normal, shutdown or {shutdown, _}. For
   behaviours, which catch what their callbacks raise. */
void cop_proc_lib_crash_report(cop_ctx *ctx, const cop_caught *caught);
/* normal, shutdown and {shutdown, _}: reasons that nobody logs. */
bool cop_reason_is_normal(cop_term reason);

#endif
