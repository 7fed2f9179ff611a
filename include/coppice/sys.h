/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COPPICE_SYS_H
#define COPPICE_SYS_H

#include <coppice/process.h>

/*
 * System messages, as Erlang's sys: what every behaviour's process answers between its callbacks. One looks
 * into it, replaces its state, suspends it, ends it, and attaches debug functions.
 *
 *     cop_term state = cop_sys_get_state(ctx, server, 0);
 *
 * Name:    a cop_pid, a cop_atom, or a cop_term that is one of those, {name, node}, {:global, term} or
 *          {:via, module, term}
 * Timeout: timeout_ms, in ms; 0 = 5000 and not shown in an exit's reason, COP_ZERO = none at all,
 *          COP_INFINITY
 * Exits:   {reason, {:sys, function, [name, arguments ..., timeout]}}; reason is :noproc, :timeout,
 *          :calling_self, {:nodedown, node}, or what the process ended with. One that is no process of a
 *          behaviour never answers
 * Context: inside a process; waits for the answer
 */

#define COP__SYS(function, ctx, name, x, timeout_ms)                         \
    ({                                                                       \
        cop_ctx *cop__sy = (ctx);                                            \
        function(cop__sy, COP_TERM(name), cop_of(cop__sy, x), (timeout_ms)); \
    })

/* The state. Raises reason if the answer is {:error, reason}, so for such a state too.
   Erlang: :sys.get_state/1,2. */
#define cop_sys_get_state(ctx, name, timeout_ms) \
    cop__sys_get_state((ctx), COP_TERM(name), (timeout_ms))
/*
 * Gives the state to a fun of one argument, which runs in the other process; what it returns is the new
 * state, and is returned here.
 *
 * Erlang:  :sys.replace_state/2,3
 * Errors:  raises {:callback_failed, {module, :system_replace_state}, {class, reason}} when the fun
 *          raises, or when the server cannot take that term for a state; the old state stays
 */
#define cop_sys_replace_state(ctx, name, fun, timeout_ms) \
    cop__sys_replace_state((ctx), COP_TERM(name), (fun), (timeout_ms))
/* {:status, pid, {:module, module}, [dictionary, :running | :suspended, parent, debug, misc]}.
   Erlang: :sys.get_status/1,2. */
#define cop_sys_get_status(ctx, name, timeout_ms) \
    cop__sys_request((ctx), COP_TERM(name), cop_a(get_status).t, (timeout_ms))
/* From here on it takes only system messages and its parent's exit; all else waits.
   Erlang: :sys.suspend/1,2, resume/1,2. */
#define cop_sys_suspend(ctx, name, timeout_ms) \
    cop__sys_request((ctx), COP_TERM(name), cop_a(suspend).t, (timeout_ms))
#define cop_sys_resume(ctx, name, timeout_ms) \
    cop__sys_request((ctx), COP_TERM(name), cop_a(resume).t, (timeout_ms))
/* Has a suspended process change its state for another version of its code: :ok or {:error, reason}.
   Erlang: :sys.change_code/4,5. */
#define cop_sys_change_code(ctx, name, module, old_vsn, extra, timeout_ms)               \
    ({                                                                                   \
        cop_ctx *cop__sy = (ctx);                                                        \
        cop__sys_request(cop__sy, COP_TERM(name),                                        \
                         cop_tuple(cop__sy, cop_a(change_code), module, old_vsn, extra), \
                         (timeout_ms));                                                  \
    })
/* Asks it to end with reason; :ok comes before it has. Erlang: :sys.terminate/2,3. */
#define cop_sys_terminate(ctx, name, reason, timeout_ms) \
    COP__SYS(cop__sys_terminate, ctx, name, reason, timeout_ms)

/*
 * Debug options. Each returns :ok, or :unknown_debug for a flag that is none.
 *
 *   statistics   true, false, or :get: {:ok, [start_time: ..., current_time: ..., reductions: ...,
 *                messages_in: ..., messages_out: ...]} or {:ok, :no_statistics}
 *   trace        true, false: a line for each event on the process's :stdio
 *   log          true (the last 10 events), {true, n}, false, :print, or :get: {:ok, [event]}
 *   log_to_file  a file's name or false: the lines of trace into a file; {:error, :open_file}
 *   install      {fun, state} or {id, fun, state}: fun(state, event, name) is called with each event
 *                in the other process and returns its next state, or :done to be removed. One that raises
 *                is removed; what it throws counts as returned
 *   remove       the fun or the id
 *   no_debug     removes all of them
 *
 * Erlang:  :sys.statistics/2,3 and so on
 * Event:   {:in, message}, {:out, reply, from, state}, {:noreply, state}, {:continue, term}
 */
#define cop_sys_statistics(ctx, name, flag, timeout_ms) \
    COP__SYS(cop__sys_statistics, ctx, name, flag, timeout_ms)
#define cop_sys_trace(ctx, name, flag, timeout_ms) \
    COP__SYS(cop__sys_trace, ctx, name, flag, timeout_ms)
#define cop_sys_log(ctx, name, flag, timeout_ms) COP__SYS(cop__sys_log, ctx, name, flag, timeout_ms)
#define cop_sys_log_to_file(ctx, name, file, timeout_ms) \
    COP__SYS(cop__sys_log_to_file, ctx, name, file, timeout_ms)
#define cop_sys_install(ctx, name, spec, timeout_ms) \
    COP__SYS(cop__sys_install, ctx, name, spec, timeout_ms)
#define cop_sys_remove(ctx, name, fun_or_id, timeout_ms) \
    COP__SYS(cop__sys_remove, ctx, name, fun_or_id, timeout_ms)
#define cop_sys_no_debug(ctx, name, timeout_ms) \
    COP__SYS(cop__sys_debug, ctx, name, cop_a(no_debug), timeout_ms)

/* ---- for processes of one's own ------------------------------------------------------------------ */

/*
 * What a process that answers system messages keeps: terms only. A callback process puts it first in its
 * state and counts COP_SYS_TERMS for it; zeroed it is a running process without debug options.
 *   parent  whose exit, as a message, ends it; COP_NONE: its own pid is shown
 *   name    what it is called in trace lines and given to debug functions; COP_NONE: its pid
 *   debug   the debug options, newest first, as get_status shows them
 *   phase   :running or :suspended
 */
typedef struct cop_sys {
    cop_term parent;
    cop_term name;
    cop_term debug;
    cop_term phase;
} cop_sys;
enum { COP_SYS_TERMS = 4 };

/*
 * How sys acts on a process.
 *   module         shown as {:module, module} and in errors
 *   terminate      ends it, in order; does not return
 *   get_state      its state as a term (Erlang: system_get_state/1, or misc)
 *   set_state      takes a term for its state, false if it is none: for replace_state. NULL: refused
 *   replace_state  in the place of set_state: applies the fun, and returns the new state
 *   code_change    :ok; anything else is answered as {:error, it}. NULL: {:error, {:EXIT, {:undef, _}}}
 *   status         the last element of get_status (Erlang: format_status/2); NULL: its state
 *   format         the line of a debug event, iodata with its newline; NULL: "*DBG* name dbg  event"
 */
typedef struct cop_sys_callbacks {
    const char *module;
    void (*terminate)(cop_ctx *ctx, void *state, cop_term reason);
    cop_term (*get_state)(cop_ctx *ctx, void *state);
    bool (*set_state)(cop_ctx *ctx, void *state, cop_term term);
    cop_term (*replace_state)(cop_ctx *ctx, void *state, cop_term fun);
    cop_term (*code_change)(cop_ctx *ctx, void *state, cop_term module, cop_term old_vsn,
                            cop_term extra);
    cop_term (*status)(cop_ctx *ctx, void *state);
    cop_term (*format)(cop_ctx *ctx, cop_term event, cop_term name);
} cop_sys_callbacks;

/*
 * Serves a message if it is {:system, from, request}: answers it, and while the process is suspended
 * serves all that may come then. Returns when the process is to go on.
 *
 *     if (cop_sys_handle(ctx, &self->sys, &callbacks, self, message))
 *         return;
 *
 * Erlang:  :sys.handle_system_msg/6; its return is system_continue
 * Returns: false for any other message, which is the process's own
 * Errors:  raises :function_clause for a `from` that is no pair
 * Context: in the process itself, between its own messages
 */
bool cop_sys_handle(cop_ctx *ctx, cop_sys *sys, const cop_sys_callbacks *callbacks, void *state,
                    cop_term message);
void cop__sys_handle_debug(cop_ctx *ctx, cop_sys *sys, const cop_sys_callbacks *callbacks,
                           cop_term event);
/* Tells the debug options, if there are any, of an event; `event` is not evaluated when there are none.
   Erlang: :sys.handle_debug/4. */
#define cop_sys_handle_debug(ctx, sys, callbacks, event)                       \
    do {                                                                       \
        if (cop_is_cons((sys)->debug))                                         \
            cop__sys_handle_debug((ctx), (sys), (callbacks), COP_TERM(event)); \
    } while (0)
/* Debug options from a start's list: :trace, :log, {:log, n}, :statistics, {:log_to_file, name},
   {:install, spec}; other elements are passed over. Erlang: :sys.debug_options/1. */
cop_term cop_sys_debug_options(cop_ctx *ctx, cop_term list);
/* The logged events, oldest first. Erlang: :sys.get_log/1. */
cop_term cop_sys_get_log(cop_ctx *ctx, const cop_sys *sys);
/* Writes them to :stdio as trace does. Erlang: :sys.print_log/1. */
void cop_sys_print_log(cop_ctx *ctx, const cop_sys *sys, const cop_sys_callbacks *callbacks);
/* A term in Erlang's notation, as ~tp writes it, for `format`: a binary, at most 64 KiB and 50 levels deep;
   what is beyond is "...". */
cop_term cop_sys_erlang_text(cop_ctx *ctx, cop_term t);

/* ---- pieces of the macros above -------------------------------------------------------------- */

cop_term cop__sys_request(cop_ctx *ctx, cop_term name, cop_term request, int64_t timeout_ms);
cop_term cop__sys_get_state(cop_ctx *ctx, cop_term name, int64_t timeout_ms);
cop_term cop__sys_replace_state(cop_ctx *ctx, cop_term name, cop_term fun, int64_t timeout_ms);
cop_term cop__sys_terminate(cop_ctx *ctx, cop_term name, cop_term reason, int64_t timeout_ms);
cop_term cop__sys_statistics(cop_ctx *ctx, cop_term name, cop_term flag, int64_t timeout_ms);
cop_term cop__sys_trace(cop_ctx *ctx, cop_term name, cop_term flag, int64_t timeout_ms);
cop_term cop__sys_log(cop_ctx *ctx, cop_term name, cop_term flag, int64_t timeout_ms);
cop_term cop__sys_log_to_file(cop_ctx *ctx, cop_term name, cop_term file, int64_t timeout_ms);
cop_term cop__sys_install(cop_ctx *ctx, cop_term name, cop_term spec, int64_t timeout_ms);
cop_term cop__sys_remove(cop_ctx *ctx, cop_term name, cop_term fun_or_id, int64_t timeout_ms);
cop_term cop__sys_debug(cop_ctx *ctx, cop_term name, cop_term command, int64_t timeout_ms);

#endif
