/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__OTP_TASK_PART_H
#define COP__OTP_TASK_PART_H

#include <coppice/child_spec.h>
#include <coppice/module.h>
#include <coppice/task.h>

/*
 * What the parts of Task have in common. A call is always {module, function, args}; a fun is
 * {:erlang, :apply, [fun, args]}.
 */

/* ---- calls (task_run.c) ------------------------------------------------------------------------------ */

/* Elixir's FunctionClauseError. */
_Noreturn void task_no_clause(cop_ctx *ctx, const char *function);
/* The call that a fun of this arity, or {m, f, args}, makes; raises for anything else. For a fun of one
   argument args is [] and the element comes in front. */
cop_term task_call_of(cop_ctx *ctx, cop_term what, int64_t fun_arity, const char *function);
/* {module, function, arity}. */
cop_term task_arity_of(cop_ctx *ctx, cop_term call);
/* {node, registered name | pid, pid} of the calling process. */
cop_term task_owner(cop_ctx *ctx);
/* [self | $callers]. */
cop_term task_callers(cop_ctx *ctx);

/* ---- the process of a task (task_run.c) ------------------------------------------------------------- */

/* Spawns one that waits for its start message. monitor: it watches the owner until then, 5 seconds at
   most. */
cop_spawned task_spawn(cop_ctx *ctx, cop_term owner, bool monitor, const cop_spawn_opts *opts);
/* Spawns one that runs the call at once, and sends {ref, result} to opts->monitor_ref if that is given. */
cop_spawned task_spawn_now(cop_ctx *ctx, cop_term owner, cop_term callers, cop_term call,
                           const cop_spawn_opts *opts);
/* The start message: {self, ref, reply_to, callers, call}. */
void task_send_start(cop_ctx *ctx, cop_pid pid, cop_term ref, cop_term reply_to, cop_term call);
/* The modules Task, Task.Supervised and Task.Supervisor; loaded by sup_load_modules. */
extern const cop_module task_module, task_supervised_module, task_supervisor_module;

/* ---- one task and its messages (task.c) -------------------------------------------------------------- */

/* Raises an ArgumentError unless the caller owns it. */
void task_check_owner(cop_ctx *ctx, const cop_task *task);
/* 0 = 5000 and so on; raises for a negative one. */
int64_t task_timeout(cop_ctx *ctx, int64_t timeout_ms, const char *function);
/* The {reason, {Task, function, [first, timeout]}} exit. shown: the time-out as a term. */
_Noreturn void task_exit(cop_ctx *ctx, cop_term reason, const char *function, cop_term first,
                         cop_term shown);
cop_term task_timeout_term(cop_ctx *ctx, int64_t timeout_ms);
/* A down message's reason, {:nodedown, node} in the place of :noconnection. */
cop_term task_down_reason(cop_ctx *ctx, cop_term down);
/* {:DOWN, ref, type, object, reason}? */
bool task_is_down(cop_term message, cop_ref ref);

/* ---- streams ------------------------------------------------------------------------------------------- */

/* How a stream starts its tasks. */
enum task_under { TASK_UNDER_NOBODY, TASK_UNDER_SUPERVISOR, TASK_UNDER_SUPERVISOR_NOLINK };
/* The stream (task_stream.c). */
cop_term task_stream(cop_ctx *ctx, cop_term enumerable, cop_term what, enum task_under under,
                     cop_term supervisor, const cop_async_stream_opts *opts);
/* Spawns the process that watches over the tasks of one walk (task_watch.c). */
cop_spawned task_watch_spawn(cop_ctx *ctx, enum task_under under, cop_term supervisor,
                             cop_term shutdown, cop_term timeout);
/* {:start_task, ...} of a Task.Supervisor: {:ok, pid} | {:error, reason} (task_supervisor.c). */
cop_term task_ask_start(cop_ctx *ctx, cop_term supervisor, cop_term args, cop_term restart,
                        cop_term shutdown);
extern const char task_max_children_text[];

#endif
