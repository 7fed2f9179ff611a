/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work beside other work: async and await, a module-based task, and tasks under a Task.Supervisor.
 *
 *     task = Task.async(fn -> do_some_work() end)
 *     res = do_some_other_work()
 *     res + Task.await(task)
 */
#include <coppice.h>
#include <stdio.h>
#include <stdlib.h>

static void expect(bool ok, const char *what) {
    printf("%s: %s\n", what, ok ? "yes" : "NO");
    if (!ok)
        exit(1);
}

/* ---- async and await --------------------------------------------------------------------------------- */

/* How many primes there are below n. */
static cop_term do_some_work(cop_ctx *ctx, cop_term n) {
    int64_t below = 0, count = 0;
    cop_match(n, &below);
    for (int64_t i = 2; i < below; i++) {
        int64_t d = 2;
        while (d * d <= i && i % d != 0)
            d++;
        count += d * d > i;
    }
    return cop_of(ctx, count);
}

static int64_t do_some_other_work(void) { return 2; }

static void async_and_await(cop_ctx *ctx) {
    int64_t heavy = 0;
    cop_task task = cop_task_async(ctx, do_some_work, COP_INT(10000));
    int64_t res = do_some_other_work();
    cop_match(cop_task_await(ctx, task, 0), &heavy);
    expect(res + heavy == 2 + 1229, "the sum of both works is 1231");
}

/* ---- a module-based task: never restarted, and not to be awaited ---------------------------------------- */

/*
 *     defmodule Greeter do
 *       use Task
 *       def start_link(arg), do: Task.start_link(__MODULE__, :run, [arg])
 *       def run(arg), do: ...
 *     end
 */
static cop_term run(cop_ctx *ctx, cop_term arg) {
    cop_send(ctx, arg, cop_a(greeting));
    return cop_a(ok).t;
}

static cop_started greeter_start_link(cop_ctx *ctx, cop_term arg) {
    return cop_started_ok(cop_task_start_link(ctx, run, arg));
}

/*
 *     Supervisor.start_link([{Task.Supervisor, name: MyApp.TaskSupervisor}, {Greeter, self()}],
 *                           strategy: :one_for_one)
 */
#define TASKS cop_as("Elixir.MyApp.TaskSupervisor")

static cop_started tasks_start_link(cop_ctx *ctx, cop_term arg) {
    return cop_task_supervisor_start_link(ctx, &(cop_dynamic_supervisor_opts){ .name = TASKS });
}

static cop_pid start_tree(cop_ctx *ctx) {
    cop_child_spec children[] = {
        { .id = "tasks", .start = tasks_start_link, .type = COP_SUPERVISOR },
        { .id = "greeter",
          .start = greeter_start_link,
          .arg = cop_self(ctx).t,
          .restart = COP_TEMPORARY },
    };
    cop_started tree = cop_supervisor_start_link(ctx, children, 2, NULL);
    if (tree.is != COP_STARTED)
        cop_exit(ctx, tree.reason);
    return tree.pid;
}

/* ---- tasks under a Task.Supervisor ---------------------------------------------------------------------- */

static cop_term answer(cop_ctx *ctx, cop_term to) {
    cop_send(ctx, to, cop_a(done));
    return cop_of(ctx, 42);
}

static void supervised(cop_ctx *ctx) {
    cop_term message;
    cop_receive(ctx, COP_INFINITY, &message);
    expect(cop_match(message, cop_a(greeting)), "the module-based task ran");

    /* No response: Task.Supervisor.start_child(MyApp.TaskSupervisor, fn -> ... end) */
    cop_task_supervisor_start_child(ctx, TASKS, answer, cop_self(ctx).t, NULL);
    cop_receive(ctx, COP_INFINITY, &message);
    expect(cop_match(message, cop_a(done)), "the child did something");

    /* Await the response: Task.Supervisor.async(MyApp.TaskSupervisor, fn -> ... end) |> Task.await() */
    cop_task task = cop_task_supervisor_async(ctx, TASKS, answer, cop_self(ctx).t, NULL);
    expect(cop_match(cop_task_await(ctx, task, 0), 42), "the answer is 42");
}

static void async_main(cop_ctx *ctx, cop_term arg) {
    async_and_await(ctx);
    cop_pid tree = start_tree(ctx);
    supervised(ctx);
    cop_supervisor_stop(ctx, tree, cop_a(normal), 0);
}

int main(void) { return cop_run(NULL, async_main); }
