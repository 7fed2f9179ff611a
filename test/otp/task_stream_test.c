/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Task: async_stream. The specification's cases TA-100..121; what is expected was observed with the Task
 * of Elixir's main branch, and with Elixir 1.14 where the two agree.
 */
#include "task_stream_help.h"

/* ---- results ------------------------------------------------------------------------------------------ */

TEST(TA_100_results_in_order_at_any_concurrency) {
    cop_term before = links(ctx, cop_self(ctx));
    for (int64_t max = 2; max <= 8; max *= 2) {
        cop_term stream =
            each(ctx, "[1, 2, 3, 4]", slow_one, &(cop_async_stream_opts){ .max_concurrency = max });
        EXPECT_TERM(ctx, cop_enum_to_list(ctx, stream), "[ok: 1, ok: 2, ok: 3, ok: 4]");
        no_messages(ctx);
        EXPECT_SAME(ctx, links(ctx, cop_self(ctx)), before);
        EXPECT_TERM(ctx, cop_process_info(ctx, cop_self(ctx), cop_a(monitors)), "[]");
    }
}

TEST(TA_101_a_module_s_function_with_arguments) {
    cop_term stream = cop_task_async_stream_term(ctx, T(ctx, "[1, 2]"),
                                                 mfa(ctx, "subtract", T(ctx, "[10]")), NULL);
    EXPECT_TERM(ctx, cop_enum_to_list(ctx, stream), "[ok: -9, ok: -8]");
}

TEST(TA_102_ordered_and_unordered_results) {
    cop_async_stream_opts four = { .max_concurrency = 4 };
    EXPECT_TERM(ctx, run(ctx, "[40, 20, 10, 1]", slow_one, &four),
                "[ok: 40, ok: 20, ok: 10, ok: 1]");
    four.unordered = true;
    EXPECT_TERM(ctx, run(ctx, "[90, 60, 30, 0]", slow_one, &four),
                "[ok: 0, ok: 30, ok: 60, ok: 90]");
    EXPECT_TERM(ctx,
                run(ctx, "[20, 1, 10]", slow_one,
                    &(cop_async_stream_opts){ .max_concurrency = 1, .unordered = true }),
                "[ok: 20, ok: 1, ok: 10]");
}

TEST(TA_103_elements_that_exit_under_a_trapping_caller) {
    test_trap_exit(ctx);
    EXPECT_TERM(ctx, run(ctx, "[1, 2, 3, 4]", leave_one, NULL),
                "[exit: 1, exit: 2, exit: 3, exit: 4]");
    no_messages(ctx);
}

static void walk_leaving(cop_ctx *ctx, cop_term reason) {
    cop_enum_to_list(ctx,
                     cop_task_async_stream(ctx, cop_list(ctx, reason), leave_one, COP_NIL, NULL));
}

TEST(TA_104_elements_that_exit_under_a_caller_that_does_not_trap) {
    cop_spawn_monitor(ctx, walk_leaving, cop_a(boom).t);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :boom}");
    cop_spawn_monitor(ctx, walk_leaving, cop_a(shutdown).t);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :shutdown}");
    EXPECT_TERM(ctx, run(ctx, "[:normal, 1]", leave_if_atom, NULL), "[exit: :normal, ok: 1]");
}

TEST(TA_105_a_time_out_ends_the_walk) {
    for (int trap = 0; trap < 2; trap++) {
        cop_process_trap_exit(ctx, trap == 1);
        EXPECT_EXIT(ctx, "{:timeout, {Task.Supervised, :stream, [20]}}") {
            run(ctx, "[:infinity]", slow_one, &(cop_async_stream_opts){ .timeout_ms = 20 });
        }
        EXPECT_EXIT(ctx, "{:timeout, {Task.Supervised, :stream, [0]}}") {
            run(ctx, "[:infinity]", slow_one, &(cop_async_stream_opts){ .timeout_ms = COP_ZERO });
        }
        no_messages(ctx);
        EXPECT_TERM(ctx, cop_process_info(ctx, cop_self(ctx), cop_a(monitors)), "[]");
    }
}

TEST(TA_106_a_time_out_kills_the_task) {
    cop_async_stream_opts opts = { .timeout_ms = 50,
                                   .on_timeout = COP_ELEMENT_TIMEOUT_KILL,
                                   .max_concurrency = 4 };
    EXPECT_TERM(ctx, run(ctx, "[:infinity, 1, :infinity, 1]", slow_one, &opts),
                "[exit: :timeout, ok: 1, exit: :timeout, ok: 1]");
    opts.unordered = true;
    EXPECT_TERM(ctx, run(ctx, "[:infinity, 1, :infinity, 1]", slow_one, &opts),
                "[ok: 1, ok: 1, exit: :timeout, exit: :timeout]");
    no_messages(ctx);
}

TEST(TA_107_exits_are_zipped_with_their_elements) {
    cop_async_stream_opts opts = { .timeout_ms = 50,
                                   .on_timeout = COP_ELEMENT_TIMEOUT_KILL,
                                   .zip_input_on_exit = true };
    EXPECT_TERM(ctx, run(ctx, "[1, :infinity]", slow_one, &opts),
                "[ok: 1, exit: {:infinity, :timeout}]");
    test_trap_exit(ctx);
    EXPECT_TERM(ctx, run(ctx, "[:a, 1]", leave_if_atom, &opts), "[exit: {:a, :a}, ok: 1]");
}

TEST(TA_108_bad_options_are_refused_when_the_stream_is_built) {
    static const struct {
        cop_async_stream_opts opts;
        const char *message;
    } cases[] = {
        { { .max_concurrency = -1 }, ":max_concurrency must be an integer greater than zero" },
        { { .timeout_ms = -1 }, ":timeout must be either a positive integer or :infinity" },
        { { .on_timeout = (cop_on_element_timeout)7 },
          ":on_timeout must be either :exit or :kill_task" },
        { { .shutdown_ms = COP_INFINITY },
          ":shutdown must be either a positive integer or :brutal_kill" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char pattern[200];
        snprintf(pattern, sizeof pattern, "%%{__struct__: ArgumentError, message: \"%s\"}",
                 cases[i].message);
        EXPECT_ERROR(ctx, pattern) { each(ctx, "[]", slow_one, &cases[i].opts); }
    }
    EXPECT_ERROR(ctx, "%{__struct__: FunctionClauseError}") {
        cop_task_async_stream_term(ctx, COP_NIL, cop_task_fun(ctx, give, COP_NIL), NULL);
    }
}

TEST(TA_109_no_time_out) {
    EXPECT_TERM(
        ctx, run(ctx, "[1, 2]", slow_one, &(cop_async_stream_opts){ .timeout_ms = COP_INFINITY }),
        "[ok: 1, ok: 2]");
}

/* ---- halting -------------------------------------------------------------------------------------------- */

static cop_term tell_and_stay(cop_ctx *ctx, cop_term element, cop_term to) {
    cop_send(ctx, to, cop_tuple(ctx, cop_a(task), cop_self(ctx)));
    return slow_one(ctx, element, to);
}

TEST(TA_110_an_early_halt_kills_the_other_tasks) {
    cop_term before = links(ctx, cop_self(ctx));
    cop_term stream =
        cop_task_async_stream(ctx, T(ctx, "[0, :infinity, :infinity, :infinity]"), tell_and_stay,
                              cop_self(ctx).t, &(cop_async_stream_opts){ .max_concurrency = 4 });
    EXPECT_TERM(ctx, cop_enum_take(ctx, stream, 1), "[ok: 0]");
    cop_term told = test_flush(ctx),
             task; /* what a task was killed before it could tell is not there */
    while (cop_get_cons(told, &task, &told))
        EXPECT(!cop_process_is_alive(ctx, (cop_pid){ cop_elem(task, 1) }));
    EXPECT_SAME(ctx, links(ctx, cop_self(ctx)), before);
    no_messages(ctx);
}

TEST(TA_111_halts_of_the_input_and_of_the_consumer) {
    cop_async_stream_opts two = { .max_concurrency = 2 };
    test_trap_exit(ctx);
    for (int fails = 0; fails < 2; fails++) {
        cop_task_element_function f = fails ? leave_one : slow_one;
        const char *four =
            fails ? "[exit: 1, exit: 2, exit: 3, exit: 4]" : "[ok: 1, ok: 2, ok: 3, ok: 4]";
        cop_term input = cop_enum_take(ctx, cop_range(ctx, 1, 8, 1), 4);
        cop_term stream = cop_task_async_stream(ctx, input, f, COP_NIL, &two);
        EXPECT_TERM(ctx, cop_enum_to_list(ctx, stream), four);
        stream = cop_task_async_stream(ctx, cop_range(ctx, 1, 8, 1), f, COP_NIL, &two);
        EXPECT_TERM(ctx, cop_enum_take(ctx, stream, 4), four);
        no_messages(ctx);
    }
}

TEST(TA_112_two_streams_walked_in_turn) {
    cop_term a = each(ctx, "[1, 2, 3]", slow_one, NULL), b = each(ctx, "[6, 5, 4]", slow_one, NULL);
    cop_enum one = cop_enum_open(ctx, a), two = cop_enum_open(ctx, b);
    cop_term x, y, list = COP_NIL;
    while (cop_enum_next(ctx, &one, &x) && cop_enum_next(ctx, &two, &y))
        list = cop_cons(ctx, cop_tuple(ctx, x, y), list);
    cop_enum_close(ctx, &two);
    EXPECT_TERM(ctx, cop_list_reverse(ctx, list),
                "[{{:ok, 1}, {:ok, 6}}, {{:ok, 2}, {:ok, 5}}, {{:ok, 3}, {:ok, 4}}]");
    no_messages(ctx);
}

TEST(TA_113_the_input_is_closed_at_the_end_and_after_a_halt) {
    closed = 0;
    EXPECT_TERM(ctx, cop_enum_to_list(ctx, over(ctx, counted(ctx, "[1, 2]"), slow_one, NULL)),
                "[ok: 1, ok: 2]");
    EXPECT_INT(closed, 1);
    EXPECT_TERM(ctx, cop_enum_take(ctx, over(ctx, counted(ctx, "[1, 2]"), slow_one, NULL), 1),
                "[ok: 1]");
    EXPECT_INT(closed, 2);
}

/* ---- the processes --------------------------------------------------------------------------------------- */

static cop_term fake_downs(cop_ctx *ctx, cop_term element, cop_term caller) {
    cop_term list = links(ctx, cop_self(ctx)), watcher;
    EXPECT(cop_match_cons(list, &watcher, &list));
    cop_send(
        ctx, watcher,
        cop_tuple(ctx, cop_as("DOWN"), cop_make_ref(ctx), cop_a(process), caller, cop_a(oops)));
    return element;
}

TEST(TA_114_down_messages_that_somebody_made_are_ignored) {
    cop_term stream =
        cop_task_async_stream(ctx, cop_range(ctx, 1, 4, 1), fake_downs, cop_self(ctx).t, NULL);
    EXPECT_TERM(ctx, cop_enum_to_list(ctx, stream), "[ok: 1, ok: 2, ok: 3, ok: 4]");
}

static cop_term my_callers(cop_ctx *ctx, cop_term element, cop_term arg) {
    return cop_process_get(ctx, cop_as("$callers").t);
}

TEST(TA_115_the_callers_of_a_stream_s_task) {
    cop_term result = cop_head(run(ctx, "[1]", my_callers, NULL));
    EXPECT_SAME(ctx, cop_head(cop_elem(result, 1)), cop_self(ctx));
}

static cop_term walk(cop_ctx *ctx, cop_term stream) { return cop_enum_to_list(ctx, stream); }
static cop_term tell_one(cop_ctx *ctx, cop_term element, cop_term to) {
    cop_send(ctx, to, cop_tuple(ctx, cop_a(ran), element));
    return element;
}

TEST(TA_116_a_stream_walked_elsewhere_and_twice) {
    cop_term stream = cop_task_async_stream(ctx, T(ctx, "[1]"), tell_one, cop_self(ctx).t, NULL);
    no_messages(ctx); /* nothing runs when it is built */
    for (int i = 0; i < 2; i++) {
        EXPECT_TERM(ctx, cop_task_await(ctx, cop_task_async(ctx, walk, stream), 0), "[ok: 1]");
        ASSERT_RECEIVE(ctx, "{:ran, 1}");
    }
    no_messages(ctx);
}

TEST(TA_117_what_is_pulled_from_the_input) {
    static const int64_t pulls[][2] = { { 1, 3 }, { 2, 4 }, { 4, 6 } };
    for (size_t i = 0; i < 3; i++) {
        pulled = 0;
        cop_async_stream_opts opts = { .max_concurrency = pulls[i][0] };
        /* Far enough apart that each task is down before the next one has its value. */
        cop_term input = counted(ctx, "[50, 100, 150, 200, 250, 300, 350]");
        cop_term taken = cop_enum_take(ctx, over(ctx, input, slow_one, &opts), 3);
        EXPECT_TERM(ctx, taken, "[ok: 50, ok: 100, ok: 150]");
        EXPECT_INT(pulled, pulls[i][1]);
    }
}

static bool raise_here(cop_ctx *ctx, cop_term element, void *arg) {
    cop_raise(ctx, "RuntimeError", "of the consumer");
}

TEST(TA_118_a_raise_of_the_consumer_or_of_the_input) {
    cop_term before = links(ctx, cop_self(ctx));
    cop_async_stream_opts two = { .max_concurrency = 2 };
    EXPECT_ERROR(ctx, "%{__struct__: RuntimeError, message: \"of the consumer\"}") {
        cop_enum_each(ctx, each(ctx, "[1, :infinity]", slow_one, &two), raise_here, NULL);
    }
    cop_term input = counted(ctx, "[:infinity, :raise]");
    EXPECT_ERROR(ctx, "%{__struct__: RuntimeError, message: \"of the input\"}") {
        cop_enum_to_list(ctx, over(ctx, input, slow_one, &two));
    }
    EXPECT_SAME(ctx, links(ctx, cop_self(ctx)), before);
    no_messages(ctx);
}

static void walk_telling(cop_ctx *ctx, cop_term to) {
    cop_enum_to_list(ctx,
                     cop_task_async_stream(ctx, T(ctx, "[:infinity]"), tell_and_stay, to, NULL));
}

TEST(TA_119_a_caller_that_ends_takes_its_tasks_along) {
    static const char *reasons[][2] = { { ":kill", ":killed" }, { ":foo", ":foo" } };
    for (int i = 0; i < 2; i++) {
        cop_pid caller = cop_spawn(ctx, walk_telling, cop_self(ctx).t), task = { COP_NONE };
        EXPECT(cop_match_tuple(ASSERT_RECEIVE(ctx, "{:task, _}"), cop_a(task), &task));
        cop_process_monitor(ctx, task);
        cop_process_exit(ctx, caller, T(ctx, reasons[i][0]));
        cop_term down = ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, _}");
        EXPECT_TERM(ctx, cop_elem(down, 4), reasons[i][1]);
    }
}

static cop_term my_links(cop_ctx *ctx, cop_term element, cop_term arg) {
    cop_term mine = links(ctx, cop_self(ctx)), watcher, rest;
    EXPECT(cop_match_cons(mine, &watcher, &rest) && cop_is_nil(rest));
    return cop_tuple(ctx, cop_self(ctx), links(ctx, (cop_pid){ watcher }));
}

TEST(TA_120_the_links_of_a_stream) {
    cop_term result = cop_elem(cop_head(run(ctx, "[1]", my_links, NULL)), 1), all;
    all = cop_elem(result, 1);
    EXPECT_INT(cop_list_length(all), 2);
    EXPECT(in_list(all, cop_self(ctx).t) && in_list(all, cop_elem(result, 0)));
}

TEST(TA_121_no_elements) { EXPECT_TERM(ctx, run(ctx, "[]", slow_one, NULL), "[]"); }

/* ---- under load ------------------------------------------------------------------------------------------- */

static bool add_up(cop_ctx *ctx, cop_term result, void *arg) {
    int64_t n;
    EXPECT(cop_match_tuple(result, cop_a(ok), &n));
    *(int64_t *)arg += n;
    return true;
}

TEST(a_long_stream_gives_every_result_once) {
    int64_t sum = 0;
    cop_term stream = cop_task_async_stream(ctx, cop_range(ctx, 1, 2000, 1), slow_one, cop_a(now).t,
                                            &(cop_async_stream_opts){ .max_concurrency = 16 });
    EXPECT(cop_enum_each(ctx, stream, add_up, &sum));
    EXPECT_INT(sum, 2000 * 2001 / 2);
    no_messages(ctx);
}

TEST(other_messages_stay_in_the_mailbox_during_a_walk) {
    cop_send(ctx, cop_self(ctx), cop_a(before));
    run(ctx, "[1, 2, 3]", slow_one, NULL);
    EXPECT_TERM(ctx, test_flush(ctx), "[:before]");
}
