/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Task: await_many and yield_many. The specification's cases TA-045..056 and TA-070..078; what is
 * expected was observed with the Task of Elixir's main branch.
 */
#include "task_help.h"

/* ---- await_many ---------------------------------------------------------------------------------------- */

static void three(cop_ctx *ctx, cop_task *tasks, cop_task_function function) {
    tasks[0] = cop_task_async(ctx, function, COP_INT(1));
    tasks[1] = cop_task_async(ctx, function, COP_INT(3));
    tasks[2] = cop_task_async(ctx, function, COP_INT(9));
}

TEST(TA_045_await_many) {
    cop_task tasks[3];
    three(ctx, tasks, give);
    EXPECT_TERM(ctx, cop_task_await_many(ctx, 3, tasks, 0), "[1, 3, 9]");
    cop_process_sleep(ctx, 1);
    no_messages(ctx);
}

TEST(TA_046_await_many_keeps_the_order_of_the_tasks) {
    cop_task tasks[3];
    three(ctx, tasks, at_go);
    for (int i = 1; i <= 3; i++) {
        go(ctx, tasks[i % 3].pid);
        test_await_down(ctx, tasks[i % 3].pid);
    }
    EXPECT_TERM(ctx, cop_task_await_many(ctx, 3, tasks, 0), "[1, 3, 9]");
}

TEST(TA_047_await_many_of_none) { EXPECT_TERM(ctx, cop_task_await_many(ctx, 0, NULL, 0), "[]"); }

TEST(TA_048_await_many_leaves_other_messages) {
    cop_ref ref = cop_make_ref(ctx);
    cop_term z = cop_tuple(ctx, ref, cop_a(z));
    cop_term down =
        cop_tuple(ctx, cop_as("DOWN"), ref, cop_a(process), cop_self(ctx), cop_a(goodbye));
    cop_send(ctx, cop_self(ctx), ref);
    cop_send(ctx, cop_self(ctx), z);
    cop_send(ctx, cop_self(ctx), down);
    cop_task tasks[3];
    three(ctx, tasks, give);
    EXPECT_TERM(ctx, cop_task_await_many(ctx, 3, tasks, 0), "[1, 3, 9]");
    EXPECT_SAME(ctx, test_flush(ctx), cop_list(ctx, ref, z, down));
}

TEST(TA_049_await_many_leaves_a_second_message_of_a_task) {
    cop_task tasks[2] = { fake_task(ctx), fake_task(ctx) };
    cop_send(ctx, cop_self(ctx), cop_tuple(ctx, tasks[0].ref, cop_a(first)));
    cop_send(ctx, cop_self(ctx), cop_tuple(ctx, tasks[0].ref, cop_a(other)));
    cop_send(ctx, cop_self(ctx), cop_tuple(ctx, tasks[1].ref, cop_a(second)));
    EXPECT_TERM(ctx, cop_task_await_many(ctx, 2, tasks, 0), "[:first, :second]");
    EXPECT_SAME(ctx, test_flush(ctx), cop_list(ctx, cop_tuple(ctx, tasks[0].ref, cop_a(other))));
}

TEST(TA_050_await_many_of_an_endless_task) {
    cop_task task = cop_task_async(ctx, stay, COP_NIL);
    EXPECT_EXIT(ctx, "{:timeout, {Task, :await_many, [[%{__struct__: Task}], 0]}}") {
        cop_task_await_many(ctx, 1, &task, COP_ZERO);
    }
    EXPECT(cop_process_is_alive(ctx, task.pid));
}

TEST(TA_051_await_many_ends_with_the_first_that_exits) {
    cop_task tasks[] = { cop_task_async(ctx, stay, COP_NIL),
                         cop_task_async(ctx, leave, cop_a(normal).t) };
    EXPECT_EXIT(ctx, "{:normal, {Task, :await_many, [[_, _], 5000]}}") {
        cop_task_await_many(ctx, 2, tasks, 0);
    }
}

TEST(TA_052_await_many_forgets_the_others_after_a_bad_end) {
    test_trap_exit(ctx);
    cop_task tasks[] = { cop_task_async(ctx, stay, COP_NIL),
                         cop_task_async(ctx, leave, cop_a(unknown).t) };
    EXPECT_EXIT(ctx, "{:unknown, {Task, :await_many, _}}") {
        cop_task_await_many(ctx, 2, tasks, 0);
    }
    cop_process_exit(ctx, tasks[0].pid, cop_a(kill));
    test_await_down(ctx, tasks[0].pid);
    REFUTE_RECEIVE(ctx, "{:DOWN, _, _, _, _}", 0);
}

TEST(TA_053_await_many_of_tasks_that_throw_and_raise) {
    test_trap_exit(ctx);
    cop_task thrower = cop_task_async(ctx, hurl, cop_a(t).t);
    EXPECT_EXIT(ctx, "{{{:nocatch, :t}, [_ | _]}, {Task, :await_many, [[_], 5000]}}") {
        cop_task_await_many(ctx, 1, &thrower, 0);
    }
    cop_task raiser = cop_task_async(ctx, oops, COP_NIL);
    EXPECT_EXIT(ctx, "{{%{__struct__: RuntimeError, message: \"oops\"}, [_ | _]}, _}") {
        cop_task_await_many(ctx, 1, &raiser, 0);
    }
}

TEST(TA_054_await_many_when_the_connection_is_lost) {
    cop_task tasks[2] = { fake_task(ctx), fake_task(ctx) };
    down_arrives(ctx, tasks[1], tasks[1].pid.t, cop_a(noconnection).t);
    EXPECT_EXIT(ctx, "{{:nodedown, :nonode@nohost}, {Task, :await_many, [[_, _], 5000]}}") {
        cop_task_await_many(ctx, 2, tasks, 0);
    }
}

static cop_term own_and_foreign(cop_ctx *ctx, cop_term foreign) {
    cop_task tasks[2] = { fake_task(ctx), fake_task(ctx) };
    char pattern[3000];
    EXPECT(cop_task_from_term(foreign, &tasks[1]));
    snprintf(
        pattern, sizeof pattern,
        "%%{__struct__: ArgumentError, message: \"task %s must be queried from the owner but was "
        "queried from %s\"}",
        text_of(foreign), text_of(cop_self(ctx).t));
    EXPECT_ERROR(ctx, pattern) { cop_task_await_many(ctx, 2, tasks, 0); }
    return cop_a(ok).t;
}

TEST(TA_055_await_many_names_the_task_of_another_owner) {
    cop_term foreign = cop_task_to_term(ctx, fake_task(ctx));
    EXPECT_TERM(ctx, cop_task_await(ctx, cop_task_async(ctx, own_and_foreign, foreign), 0), ":ok");
}

TEST(TA_056_await_many_of_a_task_twice) {
    cop_task task = cop_task_async(ctx, give, cop_a(v).t), twice[] = { task, task };
    EXPECT_TERM(ctx, cop_task_await_many(ctx, 2, twice, 0), "[:v, :v]");
}

TEST(await_many_of_thousands) {
    enum { N = 3000 };
    static cop_task tasks[N];
    for (int i = 0; i < N; i++)
        tasks[i] = cop_task_async(ctx, give, cop_of(ctx, i));
    cop_term list = cop_task_await_many(ctx, N, tasks, COP_INFINITY), value;
    int64_t i = 0;
    for (; cop_get_cons(list, &value, &list); i++)
        EXPECT(cop_match(value, i));
    EXPECT_INT(i, N);
}

/* ---- yield_many ------------------------------------------------------------------------------------------- */

static cop_term yield_many(cop_ctx *ctx, size_t n, const cop_task *tasks,
                           const cop_yield_opts *opts) {
    cop_task_result results[8];
    cop_term list = COP_NIL;
    cop_task_yield_many(ctx, n, tasks, opts, results);
    while (n-- > 0)
        list = cop_cons(ctx, cop_task_result_to_term(ctx, results[n]), list);
    return list;
}
static const cop_yield_opts at_once = { .timeout_ms = COP_ZERO };

static void reply_arrives(cop_ctx *ctx, cop_task task, const char *value) {
    cop_send(ctx, cop_self(ctx), cop_tuple(ctx, task.ref, T(ctx, value)));
}

TEST(TA_070_yield_many_says_how_each_stands) {
    cop_task tasks[3] = { fake_task(ctx), fake_task(ctx), fake_task(ctx) };
    reply_arrives(ctx, tasks[0], ":r");
    down_arrives(ctx, tasks[2], tasks[2].pid.t, cop_a(normal).t);
    EXPECT_TERM(ctx, yield_many(ctx, 3, tasks, &at_once), "[{:ok, :r}, nil, {:exit, :normal}]");
    no_messages(ctx);
}

TEST(TA_071_yield_many_with_a_limit_takes_the_first_in_the_mailbox) {
    cop_yield_opts opts = { .timeout_ms = COP_INFINITY, .limit = 1 };
    cop_task tasks[2] = { fake_task(ctx), fake_task(ctx) };
    reply_arrives(ctx, tasks[1], ":b");
    reply_arrives(ctx, tasks[0], ":a");
    EXPECT_TERM(ctx, yield_many(ctx, 2, tasks, &opts), "[nil, {:ok, :b}]");
    EXPECT_TERM(ctx, yield_many(ctx, 2, tasks, &opts), "[{:ok, :a}, nil]");
}

TEST(TA_072_yield_many_with_a_limit_above_the_number_of_tasks) {
    cop_yield_opts opts = { .timeout_ms = COP_INFINITY, .limit = 2 };
    cop_task task = cop_task_async(ctx, give, cop_a(v).t);
    EXPECT_TERM(ctx, yield_many(ctx, 1, &task, &opts), "[{:ok, :v}]");
}

TEST(TA_073_yield_many_kills_on_time_out) {
    cop_yield_opts opts = { .timeout_ms = COP_ZERO, .on_timeout = COP_ON_TIMEOUT_KILL };
    cop_task task = cop_task_async(ctx, stay, COP_NIL);
    EXPECT_TERM(ctx, yield_many(ctx, 1, &task, &opts), "[nil]");
    EXPECT(!cop_process_is_alive(ctx, task.pid));
    no_messages(ctx);
}

TEST(TA_074_yield_many_ignores_on_time_out) {
    cop_yield_opts opts = { .timeout_ms = COP_ZERO, .on_timeout = COP_ON_TIMEOUT_IGNORE };
    cop_task task = cop_task_async(ctx, at_go, cop_a(v).t);
    EXPECT_TERM(ctx, yield_many(ctx, 1, &task, &opts), "[nil]");
    EXPECT(cop_process_is_alive(ctx, task.pid));
    go(ctx, task.pid);
    test_await_down(ctx, task.pid);
    no_messages(ctx);
}

TEST(TA_075_yield_many_kills_nobody_when_the_limit_is_reached) {
    cop_yield_opts opts = { .limit = 1, .on_timeout = COP_ON_TIMEOUT_KILL };
    cop_task tasks[] = { cop_task_async(ctx, stay, COP_NIL),
                         cop_task_async(ctx, give, cop_a(v).t) };
    EXPECT_TERM(ctx, yield_many(ctx, 2, tasks, &opts), "[nil, {:ok, :v}]");
    EXPECT(cop_process_is_alive(ctx, tasks[0].pid));
}

TEST(TA_076_yield_many_with_a_time_out_alone_with_limit_zero_and_of_none) {
    cop_yield_opts none = { .timeout_ms = COP_INFINITY, .limit = COP_ZERO };
    cop_task task = cop_task_async(ctx, stay, COP_NIL);
    EXPECT_TERM(ctx, yield_many(ctx, 1, &task, &(cop_yield_opts){ .timeout_ms = 5 }), "[nil]");
    EXPECT_TERM(ctx, yield_many(ctx, 1, &task, &none), "[nil]");
    EXPECT_TERM(ctx, yield_many(ctx, 0, NULL, NULL), "[]");
}

TEST(TA_077_yield_many_of_a_task_twice) {
    cop_task task = cop_task_async(ctx, give, cop_a(v).t), twice[] = { task, task };
    EXPECT_TERM(ctx, yield_many(ctx, 2, twice, NULL), "[{:ok, :v}, {:ok, :v}]");
}

TEST(TA_078_yield_many_when_the_connection_is_lost) {
    cop_task task = fake_task(ctx);
    down_arrives(ctx, task, task.pid.t, cop_a(noconnection).t);
    EXPECT_EXIT(ctx, "{{:nodedown, :nonode@nohost}, {Task, :yield_many, [[_], 5000]}}") {
        yield_many(ctx, 1, &task, NULL);
    }
}
