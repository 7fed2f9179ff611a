/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COPPICE_TASK_H
#define COPPICE_TASK_H

#include <coppice/process.h>

/*
 * Tasks: processes that run one function each, mostly to do something while the caller does something
 * else, and to hand back the result.
 *
 *     static cop_term heavy(cop_ctx *ctx, cop_term arg) { ... return cop_of(ctx, sum); }
 *
 *     cop_task task = cop_task_async(ctx, heavy, COP_INT(1000));
 *     int64_t other = do_other_work();
 *     cop_term sum = cop_task_await(ctx, task, 0);
 *
 * A task's result is sent to the process that started it, which is its owner: {ref, result}. Its end is
 * {:DOWN, ref, :process, pid, reason}. cop_task_await and the others below take these messages; a server
 * gets them in handle_info.
 *
 * Time-outs are in ms: 0 = 5000, COP_ZERO = really zero, COP_INFINITY. A negative one raises a
 * FunctionClauseError.
 */

/*
 * A task. A callback process that keeps one in its state puts it among its first words and counts
 * COP_TASK_TERMS for it in `state_terms`.
 *   pid    its process; COP_NONE inside for one made by cop_task_completed
 *   ref    the reference of its messages: a monitor of the owner's, and an alias for the reply. After
 *          cop_process_demonitor a reply that comes late is dropped
 *   owner  the process that may ask for the result
 *   mfa    {module, function, arity}; {:erlang, :apply, 2} for a function of C and for a fun
 */
typedef struct cop_task {
    cop_pid pid;
    cop_ref ref;
    cop_pid owner;
    cop_term mfa;
} cop_task;
enum { COP_TASK_TERMS = 4 };

/* As %Task{mfa: mfa, owner: pid, pid: pid | nil, ref: ref}; and back, false for what is none. */
cop_term cop_task_to_term(cop_ctx *ctx, cop_task task);
bool cop_task_from_term(cop_term t, cop_task *out);

/*
 * How a task stands: nothing yet (nil), {:ok, value} or {:exit, reason}.
 */
typedef struct cop_task_result {
    enum { COP_TASK_NOTHING, COP_TASK_OK, COP_TASK_EXIT } is;
    cop_term value; /* the result, or the reason of its exit */
} cop_task_result;
cop_term cop_task_result_to_term(cop_ctx *ctx, cop_task_result result);

/* ---- what a task runs ------------------------------------------------------------------------ */

/* A function of C and its argument. What it returns is the result. */
typedef cop_term (*cop_task_function)(cop_ctx *ctx, cop_term arg);
/* Both as one value, a fun without arguments; COP_NONE as arg is []. */
cop_term cop_task_fun(cop_ctx *ctx, cop_task_function function, cop_term arg);

/*
 * All that start a task come in two forms: with a function of C and its argument, and, *_term, with a
 * term: a fun without arguments, or {module, function, args} (coppice/module.h). Anything else raises a
 * FunctionClauseError in the caller, and no process is started. An unknown function is no error
 * here: the task ends with {:undef, stacktrace}.
 */

/* ---- without a result -------------------------------------------------------------------------- */

/*
 * Starts a task that nobody waits for.
 *
 * Elixir:  Task.start/1, start/3; start_link is linked to the caller: Task.start_link/1, /3
 * Returns: its pid
 */
cop_pid cop_task_start_term(cop_ctx *ctx, cop_term what);
cop_pid cop_task_start_link_term(cop_ctx *ctx, cop_term what);
#define cop_task_start(ctx, function, arg)                                      \
    ({                                                                          \
        cop_ctx *cop__tk = (ctx);                                               \
        cop_task_start_term(cop__tk, cop_task_fun(cop__tk, (function), (arg))); \
    })
#define cop_task_start_link(ctx, function, arg)                                      \
    ({                                                                               \
        cop_ctx *cop__tk = (ctx);                                                    \
        cop_task_start_link_term(cop__tk, cop_task_fun(cop__tk, (function), (arg))); \
    })

/*
 * %{id: Task, start: {Task, :start_link, [arg]}, restart: :temporary}, for a supervisor's children; the
 * module Task is known to supervisors, so {Task, fun} is a child as well.
 *
 * Elixir:  Task.child_spec/1
 */
cop_term cop_task_child_spec(cop_ctx *ctx, cop_term arg);
/*
 * What `use Task` makes of child_spec/1 in a module: as above, with the module's name, and the
 * overrides (a keyword list of id, start, restart, shutdown) that stand after `use`.
 */
cop_term cop_task_child_spec_use(cop_ctx *ctx, const char *module, cop_term arg,
                                 cop_term overrides);

/* ---- with a result ------------------------------------------------------------------------------ */

/*
 * Starts a task, linked to the caller, that sends back its result.
 *
 * Elixir:  Task.async/1, async/3
 * Message: {ref, result}, then {:DOWN, ref, :process, pid, :normal}; only the second when it fails
 */
cop_task cop_task_async_term(cop_ctx *ctx, cop_term what);
#define cop_task_async(ctx, function, arg)                                      \
    ({                                                                          \
        cop_ctx *cop__tk = (ctx);                                               \
        cop_task_async_term(cop__tk, cop_task_fun(cop__tk, (function), (arg))); \
    })
/* A task without a process whose result is this value. Elixir: Task.completed/1. */
cop_task cop_task_completed(cop_ctx *ctx, cop_term value);

/*
 * Waits for a task's result.
 *
 * Elixir:  Task.await/2
 * Returns: the result
 * Exits:   {reason, {Task, :await, [task, timeout]}}, with the task's reason, {:nodedown, node}, or
 *          :timeout. After the last the task still runs, and its result will not come any more
 * Errors:  an ArgumentError when the caller is not the owner; so in all that follow
 */
cop_term cop_task_await(cop_ctx *ctx, cop_task task, int64_t timeout_ms);
/*
 * Waits for all of them.
 *
 * Elixir:  Task.await_many/2
 * Returns: the list of results, in the order of the tasks
 * Exits:   {reason, {Task, :await_many, [tasks, timeout]}} with the first that fails; results that had come
 *          are lost, and the other tasks go on
 */
cop_term cop_task_await_many(cop_ctx *ctx, size_t count, const cop_task *tasks, int64_t timeout_ms);
/*
 * Waits for a task's end, which may be bad, or for nothing. After a time-out it may be called again.
 *
 * Elixir:  Task.yield/2
 * Exits:   {{:nodedown, node}, {Task, :yield, [task, timeout]}}
 */
cop_task_result cop_task_yield(cop_ctx *ctx, cop_task task, int64_t timeout_ms);

typedef enum cop_on_timeout {
    COP_ON_TIMEOUT_NOTHING, /* the task can be asked again */
    COP_ON_TIMEOUT_IGNORE,  /* cop_task_ignore */
    COP_ON_TIMEOUT_KILL,    /* cop_task_shutdown with COP_BRUTAL_KILL */
} cop_on_timeout;
/*
 *   timeout_ms  for all of them together
 *   limit       so many ended tasks are enough; 0 = all, COP_ZERO = none
 *   on_timeout  done to each task that has not ended when the time is over (not when the limit is)
 */
typedef struct cop_yield_opts {
    int64_t timeout_ms;
    int64_t limit;
    cop_on_timeout on_timeout;
} cop_yield_opts;
/*
 * The same for many: results[i] is that of tasks[i].
 *
 * Elixir:  Task.yield_many/2
 * Opts:    may be NULL
 */
void cop_task_yield_many(cop_ctx *ctx, size_t count, const cop_task *tasks,
                         const cop_yield_opts *opts, cop_task_result *results);
/*
 * Ends a task and waits until it has ended.
 *
 * Elixir:  Task.shutdown/2
 * Timeout: after it the task is killed; COP_BRUTAL_KILL (coppice/child_spec.h): it is killed at once
 * Returns: its result, if it has sent one; COP_TASK_NOTHING when it ended as it was told; COP_TASK_EXIT
 *          when it ended otherwise, :noproc when that is not known any more
 * Exits:   {{:nodedown, node}, {Task, :shutdown, [task, timeout | :brutal_kill]}}
 */
cop_task_result cop_task_shutdown(cop_ctx *ctx, cop_task task, int64_t timeout_ms);
/*
 * Does without the result: the task goes on, not linked to the caller any more.
 *
 * Elixir:  Task.ignore/1
 * Returns: what had come by now
 */
cop_task_result cop_task_ignore(cop_ctx *ctx, cop_task task);

/* ---- many elements -------------------------------------------------------------------------------- */

/* What is done to one element of a stream; arg is that of cop_task_async_stream. */
typedef cop_term (*cop_task_element_function)(cop_ctx *ctx, cop_term element, cop_term arg);
/* Both as one value, a fun with one argument. */
cop_term cop_task_element_fun(cop_ctx *ctx, cop_task_element_function function, cop_term arg);

typedef enum cop_on_element_timeout {
    COP_ELEMENT_TIMEOUT_EXIT, /* the caller exits */
    COP_ELEMENT_TIMEOUT_KILL, /* the task is killed; the result is {:exit, :timeout} */
} cop_on_element_timeout;
/*
 *   max_concurrency    tasks at a time; 0 = as many as there are schedulers
 *   unordered          results come as they are ready, not in the order of the elements
 *   timeout_ms         for each task
 *   on_timeout         what happens then
 *   zip_input_on_exit  {:exit, {element, reason}} in the place of {:exit, reason}
 *   shutdown_ms        under a Task.Supervisor: how long a task may take to stop; 0 = 5000,
 *                      COP_ZERO, COP_BRUTAL_KILL
 */
typedef struct cop_async_stream_opts {
    int64_t max_concurrency;
    bool unordered;
    int64_t timeout_ms;
    cop_on_element_timeout on_timeout;
    bool zip_input_on_exit;
    int64_t shutdown_ms;
} cop_async_stream_opts;

/*
 * Runs a function on each element of an enumerable (coppice/enum.h), each in a task of its own, some at
 * a time.
 *
 *     cop_term squares = cop_task_async_stream(ctx, cop_range(ctx, 1, 1000, 1), square, COP_NIL, NULL);
 *     cop_enum_each(ctx, squares, print, NULL);
 *
 * The tasks are linked to a process of the stream's, and that to the caller, which ends with a task that
 * fails unless it traps exits.
 *
 * Elixir:  Task.async_stream/3, /5
 * What:    (the *_term form) a fun with one argument, or {module, function, args}: the element is put in
 *          front of the args
 * Opts:    may be NULL; a bad one raises an ArgumentError here
 * Returns: an enumerable of {:ok, value} and {:exit, reason}. Nothing runs until it is walked, and each
 *          walk runs everything anew. An element is taken from the input only when a task can be started
 *          for it. A walk that ends early kills the tasks that run, and leaves nothing behind
 * Exits:   (the walk) {reason, {Task.Supervised, :stream, [timeout]}}; reason is :timeout after a task's
 *          time-out
 */
cop_term cop_task_async_stream_term(cop_ctx *ctx, cop_term enumerable, cop_term what,
                                    const cop_async_stream_opts *opts);
#define cop_task_async_stream(ctx, enumerable, function, arg, opts)                           \
    ({                                                                                        \
        cop_ctx *cop__tk = (ctx);                                                             \
        cop_task_async_stream_term(cop__tk, (enumerable),                                     \
                                   cop_task_element_fun(cop__tk, (function), (arg)), (opts)); \
    })

#endif
