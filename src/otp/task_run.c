/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process of a task: what stands in its dictionary, what it runs, how it ends.
 *
 * Who starts a task for itself knows all at once: the argument is {owner, ref | nil, what}, and the
 * dictionary is there from the beginning. Where another process starts it (a supervisor, the watcher of
 * a stream), the argument is {owner, ancestors, guard}, and the owner sends the rest. The owner is
 * {node, name | pid, pid}.
 *
 *     owner  --spawn-->  task                  $ancestors, $callers, $initial_call
 *     owner  <--{ref, result} to ref--  task
 *
 *     another  --spawn-->  task                $ancestors
 *     owner  --{owner, ref, reply_to, callers, call}-->  task       $callers, $initial_call
 *     owner  <--{ref, result} to reply_to--  task
 *
 * ref and reply_to are mostly an alias, so that a reply nobody waits for any more is dropped. A task under
 * a supervisor (guard is :monitor) watches its owner until the start message has come: an owner that dies
 * between the two steps leaves nothing behind.
 *
 * What the function raises, exits with or throws is caught here: what is no orderly exit is logged, and
 * becomes the exit reason, as a plain exit, so that the run-time does not log it again.
 *
 * Threads: the processes' own.
 */
#include <coppice/proc_lib.h>

#include "sys.h"
#include "task_part.h"

enum { START_WAIT_MS = 5000 };

/* ---- calls ------------------------------------------------------------------------------------------ */

_Noreturn void task_no_clause(cop_ctx *ctx, const char *function) {
    cop_raise(ctx, "FunctionClauseError", "no function clause matching in %s", function);
}

static cop_term apply_call(cop_ctx *ctx, cop_term fun, cop_term args) {
    return cop_tuple(ctx, cop_a(erlang), cop_a(apply), cop_list(ctx, fun, args));
}

cop_term task_call_of(cop_ctx *ctx, cop_term what, int64_t fun_arity, const char *function) {
    cop_atom module, name;
    cop_term args;
    if (cop_is_fun(what) && cop_fun_arity(what) == fun_arity)
        return apply_call(ctx, what, COP_NIL);
    if (!cop_match_tuple(what, &module, &name, &args) || !cop_is_list(args))
        task_no_clause(ctx, function);
    return what;
}

/* {:erlang, :apply, [fun, args]}? */
static bool is_fun_call(cop_term call, cop_term *fun, cop_term *args) {
    cop_term both, rest;
    return cop_match_tuple(call, cop_a(erlang), cop_a(apply), &both)
           && cop_match_cons(both, fun, &rest) && cop_match_cons(rest, args, &rest)
           && cop_is_nil(rest) && cop_is_fun(*fun);
}

cop_term task_arity_of(cop_ctx *ctx, cop_term call) {
    return cop_tuple(ctx, cop_elem(call, 0), cop_elem(call, 1), cop_list_length(cop_elem(call, 2)));
}

/* env is {function's address, arg}. */
static cop_term call_c(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    uint64_t function;
    cop_term arg;
    if (!cop_match_tuple(env, &function, &arg))
        cop_error(ctx, cop_a(badarg));
    if (argc == 0)
        return ((cop_task_function)(uintptr_t)function)(ctx, arg);
    return ((cop_task_element_function)(uintptr_t)function)(ctx, argv[0], arg);
}

static cop_term env_of(cop_ctx *ctx, uintptr_t function, cop_term arg) {
    return cop_tuple(ctx, (uint64_t)function, cop_is_none(arg) ? COP_NIL : arg);
}

cop_term cop_task_fun(cop_ctx *ctx, cop_task_function function, cop_term arg) {
    return cop_fun(ctx, call_c, 0, env_of(ctx, (uintptr_t)function, arg));
}

cop_term cop_task_element_fun(cop_ctx *ctx, cop_task_element_function function, cop_term arg) {
    return cop_fun(ctx, call_c, 1, env_of(ctx, (uintptr_t)function, arg));
}

static cop_term call_fun(cop_ctx *ctx, cop_term fun, cop_term args) {
    int64_t argc = cop_list_length(args);
    cop_term argv[20];
    if (argc < 0 || argc > 20)
        cop_error(ctx, cop_a(badarg));
    for (int64_t i = 0; cop_get_cons(args, &argv[i], &args);)
        i++;
    return cop_fun_call_n(ctx, fun, (size_t)argc, argv);
}

/* A call, or a fun without arguments. */
static cop_term run_call(cop_ctx *ctx, cop_term call) {
    cop_atom module, function;
    cop_term args, fun;
    if (cop_is_fun(call))
        return cop_fun_call_n(ctx, call, 0, NULL);
    if (is_fun_call(call, &fun, &args))
        return call_fun(ctx, fun, args);
    if (!cop_match_tuple(call, &module, &function, &args))
        cop_error(ctx, cop_a(badarg));
    return cop_apply(ctx, module, function, args);
}

/* ---- where a task comes from ----------------------------------------------------------------------------- */

cop_term task_owner(cop_ctx *ctx) {
    cop_term name = cop_process_info(ctx, cop_self(ctx), cop_a(registered_name));
    return cop_tuple(ctx, cop_as("nonode@nohost"), cop_is_atom(name) ? name : cop_self(ctx).t,
                     cop_self(ctx));
}

static cop_term self_and(cop_ctx *ctx, cop_atom key) {
    cop_term before = cop_process_get(ctx, key.t);
    return cop_list_tail(ctx, cop_self(ctx), cop_is_list(before) ? before : COP_NIL);
}

cop_term task_callers(cop_ctx *ctx) { return self_and(ctx, cop_as("$callers")); }

/* A function of C has no module and no name that the process knows; its stacktrace has both. */
static cop_term initial_call(cop_ctx *ctx, cop_term call) {
    cop_term fun, args;
    cop_atom module, function;
    size_t arity;
    if (!is_fun_call(call, &fun, &args))
        return task_arity_of(ctx, call);
    if (cop_get_fun_export(fun, &module, &function, &arity))
        return cop_tuple(ctx, module, function, (uint64_t)arity);
    return cop_tuple(ctx, cop_a(c), cop_a(fun), cop_fun_arity(fun));
}

/* ---- a bad end ------------------------------------------------------------------------------------------- */

/* The owner as people know it, from wherever the task is. */
static cop_term starter_of(cop_ctx *ctx, cop_term owner) {
    cop_term node, shown, pid;
    if (!cop_match_tuple(owner, &node, &shown, &pid))
        return owner;
    if (cop_is_pid(shown) || cop_match(node, cop_as("nonode@nohost")))
        return shown;
    return cop_tuple(ctx, shown, node);
}

static void log_end(cop_ctx *ctx, cop_term owner, cop_term call, cop_term reason, cop_term stack) {
    cop_term fun = COP_NONE, args;
    cop_atom module, function;
    if (!is_fun_call(call, &fun, &args) && cop_match_tuple(call, &module, &function, &args)) {
        int64_t arity = cop_list_length(args);
        fun = cop_fun_export(ctx, module, function, arity < 0 ? 0 : (size_t)arity);
    }
    cop_term callers = cop_process_get(ctx, cop_as("$callers").t);
    cop_term report =
        cop_map(ctx, cop_a(name), cop_self(ctx), cop_a(starter), starter_of(ctx, owner),
                cop_a(function), fun, cop_a(args), sys_bounded(ctx, args, SYS_REPORT_WORDS),
                cop_a(reason), cop_tuple(ctx, sys_bounded(ctx, reason, SYS_REPORT_WORDS), stack),
                cop_a(process_label), cop_proc_lib_get_label(ctx, cop_self(ctx)));
    cop_term event = cop_map(ctx, cop_a(label),
                             cop_tuple(ctx, cop_as("Elixir.Task.Supervisor"), cop_a(terminating)),
                             cop_a(report), report);
    cop_log(ctx, COP_LEVEL_ERROR, cop_tuple(ctx, cop_a(report), event),
            cop_map(ctx, cop_a(domain), cop_list(ctx, cop_a(otp), cop_a(elixir)), cop_a(callers),
                    cop_is_none(callers) ? COP_NIL : callers, cop_a(error_logger),
                    cop_map(ctx, cop_a(tag), cop_a(error_msg))));
}

static _Noreturn void end_badly(cop_ctx *ctx, cop_term owner, cop_term call,
                                const cop_caught *caught) {
    cop_caught c = *caught;
    if (c.class == COP_CLASS_EXIT && cop_reason_is_normal(c.reason))
        cop_exit(ctx, c.reason);
    if (c.class != COP_CLASS_ERROR && cop_is_nil(c.stacktrace))
        c.stacktrace = cop_stacktrace(ctx);
    cop_term reason = c.reason;
    if (c.class == COP_CLASS_THROW)
        reason = cop_tuple(ctx, cop_a(nocatch), reason);
    log_end(ctx, owner, call, reason, c.stacktrace);
    cop_exit(ctx, c.class == COP_CLASS_EXIT ? reason : cop_tuple(ctx, reason, c.stacktrace));
}

/* ---- the life of a task ---------------------------------------------------------------------------------- */

static cop_term invoke(cop_ctx *ctx, cop_term owner, cop_term what) {
    volatile uint64_t result = COP_NIL.w;
    COP_TRY(ctx) { result = run_call(ctx, what).w; }
    COP_CATCH(caught) {
        end_badly(ctx, owner, cop_is_fun(what) ? apply_call(ctx, what, COP_NIL) : what, caught);
    }
    return (cop_term){ result };
}

struct waiting {
    cop_pid owner;
    cop_ref watch; /* COP_NONE inside without a guard */
};

static bool is_start(cop_term message, cop_pid owner) {
    cop_term any, call, args;
    cop_atom module, function;
    return cop_match_tuple(message, owner, &any, &any, &any, &call)
           && cop_match_tuple(call, &module, &function, &args);
}

static bool starts_or_ends(cop_term message, void *arg) {
    const struct waiting *w = arg;
    return is_start(message, w->owner)
           || (!cop_is_none(w->watch.t) && task_is_down(message, w->watch));
}

static void wait_and_reply(cop_ctx *ctx, cop_term owner, bool guard) {
    struct waiting w = { .watch = { COP_NONE } };
    cop_term message, ref, reply_to, callers, call, any;
    if (!cop_get_pid(cop_elem(owner, 2), &w.owner))
        cop_exit(ctx, cop_a(badarg));
    if (guard)
        w.watch = cop_process_monitor(ctx, w.owner);
    if (!cop_receive_match(ctx, guard ? START_WAIT_MS : COP_INFINITY, starts_or_ends, &w, &message))
        cop_exit(ctx, cop_a(timeout));
    if (!is_start(message, w.owner))
        cop_exit(ctx, cop_tuple(ctx, cop_a(shutdown), cop_elem(message, 4)));
    if (guard)
        cop_process_demonitor(ctx, w.watch, COP_DEMONITOR_FLUSH);
    if (!cop_match_tuple(message, &any, &ref, &reply_to, &callers, &call))
        cop_exit(ctx, cop_a(badarg));
    cop_process_put(ctx, cop_as("$initial_call").t, initial_call(ctx, call));
    cop_process_put(ctx, cop_as("$callers").t, callers);
    cop_send(ctx, reply_to, cop_tuple(ctx, ref, invoke(ctx, owner, call)));
}

static void waiting_main(cop_ctx *ctx, cop_term arg) {
    cop_term owner, ancestors;
    cop_atom guard;
    if (!cop_match_tuple(arg, &owner, &ancestors, &guard))
        cop_exit(ctx, cop_a(badarg));
    cop_process_put(ctx, cop_as("$ancestors").t, ancestors);
    wait_and_reply(ctx, owner, cop_match(guard.t, cop_a(monitor)));
}

static void task_main(cop_ctx *ctx, cop_term arg) {
    cop_term owner, ref, what;
    if (!cop_match_tuple(arg, &owner, &ref, &what))
        cop_exit(ctx, cop_a(badarg));
    cop_term result = invoke(ctx, owner, what);
    if (cop_is_ref(ref))
        cop_send(ctx, ref, cop_tuple(ctx, ref, result));
}

static cop_spawned spawn(cop_ctx *ctx, cop_entry entry, cop_term arg, cop_spawn_opts opts) {
    opts.name_hint = "Elixir.Task.Supervised:reply/3";
    return cop_process_spawn(ctx, entry, arg, &opts);
}

/* No dictionary is given: it would be copied when the start message changes it. */
cop_spawned task_spawn(cop_ctx *ctx, cop_term owner, bool monitor, const cop_spawn_opts *opts) {
    cop_term arg = cop_tuple(ctx, owner, self_and(ctx, cop_as("$ancestors")),
                             monitor ? cop_a(monitor) : cop_a(nomonitor));
    return spawn(ctx, waiting_main, arg, *opts);
}

cop_spawned task_spawn_now(cop_ctx *ctx, cop_term owner, cop_term callers, cop_term call,
                           const cop_spawn_opts *opts) {
    cop_term fun, args, ref = opts->monitor_ref.t;
    bool is_fun = is_fun_call(call, &fun, &args) && cop_is_nil(args);
    cop_term dictionary =
        cop_map(ctx, cop_as("$ancestors"), self_and(ctx, cop_as("$ancestors")), cop_as("$callers"),
                callers, cop_as("$initial_call"), initial_call(ctx, call));
    cop_term arg =
        cop_tuple(ctx, owner, cop_is_none(ref) ? cop_a(nil).t : ref, is_fun ? fun : call);
    cop_spawn_opts o = *opts;
    o.dictionary = dictionary;
    return spawn(ctx, task_main, arg, o);
}

void task_send_start(cop_ctx *ctx, cop_pid pid, cop_term ref, cop_term reply_to, cop_term call) {
    cop_send(ctx, pid, cop_tuple(ctx, cop_self(ctx), ref, reply_to, task_callers(ctx), call));
}

/* ---- Task.Supervised, Task: what supervisors call by name ------------------------------------------------- */

static const cop_spawn_opts linked = { .link = true };

static cop_term ok_pid(cop_ctx *ctx, cop_pid pid) { return cop_tuple(ctx, cop_a(ok), pid); }

/* The owner comes from the request of whoever called the supervisor. */
static void check_owner_term(cop_ctx *ctx, cop_term owner) {
    if (cop_tuple_size(owner) != 3 || !cop_is_pid(cop_elem(owner, 2)))
        task_no_clause(ctx, "Task.Supervised.start_link");
}

static cop_term supervised_waiting(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    check_owner_term(ctx, a[0]);
    return ok_pid(ctx, task_spawn(ctx, a[0], cop_match(a[1], cop_a(monitor)), &linked).pid);
}

static cop_term supervised_now(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    check_owner_term(ctx, a[0]);
    if (!cop_is_list(a[1]) || cop_tuple_size(a[2]) != 3)
        task_no_clause(ctx, "Task.Supervised.start_link/3");
    return ok_pid(ctx, task_spawn_now(ctx, a[0], a[1], a[2], &linked).pid);
}

const cop_module task_supervised_module = {
    .name = "Elixir.Task.Supervised",
    .exports = (const cop_export[]){ { "start_link", 2, supervised_waiting },
                                     { "start_link", 3, supervised_now },
                                     { 0 } },
};

static cop_term start_link_fun(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    return ok_pid(ctx, cop_task_start_link_term(ctx, a[0]));
}

static cop_term start_link_mfa(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    return ok_pid(ctx, cop_task_start_link_term(ctx, cop_tuple(ctx, a[0], a[1], a[2])));
}

static cop_term child_spec(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    return cop_task_child_spec(ctx, a[0]);
}

const cop_module task_module = {
    .name = "Elixir.Task",
    .exports = (const cop_export[]){ { "start_link", 1, start_link_fun },
                                     { "start_link", 3, start_link_mfa },
                                     { "child_spec", 1, child_spec },
                                     { 0 } },
};
