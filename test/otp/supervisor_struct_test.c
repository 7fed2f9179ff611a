/* SPDX-License-Identifier: Apache-2.0 */
/* Supervisor, by the rules of the spec (observed on OTP 25). */
#include <coppice.h>
#include <coppice/test.h>

static cop_init child_init(cop_ctx *ctx, void *state, cop_term arg) { return cop_init_ok(); }

static cop_next child_call(cop_ctx *ctx, void *state, cop_term request, cop_from from) {
    cop_term reason;
    if (cop_match_tuple(request, cop_a(stop), &reason))
        return cop_stop_reply(ctx, reason, cop_a(ok));
    return cop_reply(ctx, cop_a(ok));
}

static const cop_gen_server child_server = {
    .name = "Child", .state_size = 8, .init = child_init, .handle_call = child_call
};

static cop_started child_start(cop_ctx *ctx, cop_term arg) {
    cop_atom name;
    cop_start_opts opts = { 0 };
    if (cop_get_atom(arg, &name) && !cop_match(arg, cop_a(undefined)))
        opts.name = name;
    return cop_gen_server_start_link(ctx, &child_server, arg, &opts);
}

static cop_started fails(cop_ctx *ctx, cop_term arg) { return cop_started_error(cop_a(no_way).t); }
static cop_started ignores(cop_ctx *ctx, cop_term arg) { return (cop_started){ .is = COP_IGNORE }; }

static const cop_child_spec abc[] = {
    { .id = "a", .start = child_start },
    { .id = "b", .start = child_start, .restart = COP_TRANSIENT },
    { .id = "c", .start = child_start, .restart = COP_TEMPORARY },
};

static cop_pid sup_start(cop_ctx *ctx, const cop_supervisor_opts *opts) {
    cop_started s = cop_supervisor_start_link(ctx, abc, 3, opts);
    EXPECT(s.is == COP_STARTED);
    return s.pid;
}

static cop_pid child(cop_ctx *ctx, cop_pid sup, const char *id) {
    cop_pid pid = { COP_NONE };
    cop_get_pid(cop_supervisor_child(ctx, sup.t, cop_atom_new(id).t), &pid);
    return pid;
}

/* Waits until the child has another pid than before; answers it. */
static cop_pid next_child(cop_ctx *ctx, cop_pid sup, const char *id, cop_pid before) {
    for (;;) {
        cop_pid now = child(ctx, sup, id);
        if (!cop_is_none(now.t) && now.t.w != before.t.w)
            return now;
        cop_yield(ctx);
    }
}

static void kill(cop_ctx *ctx, cop_pid pid) {
    cop_process_exit(ctx, pid, cop_a(kill).t);
    test_await_down(ctx, pid);
}

TEST(children_start_in_order_and_are_listed_last_first) {
    cop_pid sup = sup_start(ctx, NULL);
    EXPECT_TERM(ctx, cop_supervisor_which_children(ctx, sup.t),
                "[{:c, _, :worker, [:c]}, {:b, _, :worker, [:b]}, {:a, _, :worker, [:a]}]");
    EXPECT_TERM(ctx, cop_supervisor_count_children(ctx, sup.t),
                "%{specs: 3, active: 3, supervisors: 0, workers: 3}");
}

TEST(a_permanent_child_is_restarted_whatever_its_reason) {
    cop_pid sup = sup_start(ctx, NULL), a = child(ctx, sup, "a");
    cop_gen_server_call(ctx, a, cop_tuple(ctx, cop_a(stop), cop_a(normal)), 0);
    a = next_child(ctx, sup, "a", a);
    kill(ctx, a);
    next_child(ctx, sup, "a", a);
}

TEST(a_transient_child_only_after_an_abnormal_end) {
    cop_pid sup = sup_start(ctx, NULL), b = child(ctx, sup, "b");
    kill(ctx, b);
    b = next_child(ctx, sup, "b", b);
    cop_gen_server_call(ctx, b, cop_tuple(ctx, cop_a(stop), cop_a(normal)), 0);
    test_await_down(ctx, b);
    EXPECT_TERM(ctx, cop_supervisor_which_children(ctx, sup.t),
                "[{:c, _, _, _}, {:b, :undefined, _, _}, {:a, _, _, _}]");
}

TEST(a_temporary_child_is_forgotten) {
    cop_pid sup = sup_start(ctx, NULL);
    kill(ctx, child(ctx, sup, "c"));
    while (cop_list_length(cop_supervisor_which_children(ctx, sup.t)) != 2)
        cop_yield(ctx);
}

TEST(one_for_all_restarts_all_but_the_temporary) {
    cop_pid sup = sup_start(ctx, &(cop_supervisor_opts){ .strategy = COP_ONE_FOR_ALL });
    cop_pid a = child(ctx, sup, "a"), b = child(ctx, sup, "b"), c = child(ctx, sup, "c");
    kill(ctx, b);
    next_child(ctx, sup, "b", b);
    EXPECT(!cop_process_is_alive(ctx, a) && !cop_process_is_alive(ctx, c));
    EXPECT_TERM(ctx, cop_supervisor_which_children(ctx, sup.t), "[{:b, _, _, _}, {:a, _, _, _}]");
}

TEST(rest_for_one_restarts_those_after_it) {
    cop_pid sup = sup_start(ctx, &(cop_supervisor_opts){ .strategy = COP_REST_FOR_ONE });
    cop_pid a = child(ctx, sup, "a"), b = child(ctx, sup, "b");
    kill(ctx, b);
    next_child(ctx, sup, "b", b);
    EXPECT(cop_process_is_alive(ctx, a));
    EXPECT(child(ctx, sup, "a").t.w == a.t.w);
}

TEST(too_many_restarts_end_the_supervisor_with_shutdown) {
    test_trap_exit(ctx);
    cop_pid sup = sup_start(ctx, &(cop_supervisor_opts){ .max_restarts = 2 });
    for (int i = 0; i < 2; i++) {
        cop_pid a = child(ctx, sup, "a");
        kill(ctx, a);
        next_child(ctx, sup, "a", a);
    }
    EXPECT(cop_process_is_alive(ctx, sup));
    kill(ctx, child(ctx, sup, "a"));
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :shutdown}");
}

TEST(no_restarts_at_all_are_allowed_with_zero) {
    test_trap_exit(ctx);
    cop_pid sup = sup_start(ctx, &(cop_supervisor_opts){ .max_restarts = COP_ZERO });
    kill(ctx, child(ctx, sup, "a"));
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :shutdown}");
}

TEST(a_failing_child_fails_the_start_and_stops_those_before_it) {
    static const cop_child_spec specs[] = {
        { .id = "a", .start = child_start, .arg = COP_NONE },
        { .id = "bad", .start = fails },
    };
    test_trap_exit(ctx);
    size_t before = cop_node_process_count();
    cop_started s = cop_supervisor_start_link(ctx, specs, 2, NULL);
    EXPECT(s.is == COP_ERROR);
    EXPECT_TERM(ctx, s.reason, "{:shutdown, {:failed_to_start_child, :bad, :no_way}}");
    while (cop_node_process_count() > before)
        cop_yield(ctx);
}

TEST(bad_specs_are_named) {
    static const cop_child_spec twice[] = {
        { .id = "a", .start = child_start },
        { .id = "a", .start = child_start },
    };
    static const cop_child_spec no_start[] = { { .id = "a" } };
    test_trap_exit(ctx);
    cop_started s = cop_supervisor_start_link(ctx, twice, 2, NULL);
    EXPECT_TERM(ctx, s.reason, "{:start_spec, {:duplicate_child_name, :a}}");
    s = cop_supervisor_start_link(ctx, no_start, 1, NULL);
    EXPECT_TERM(ctx, s.reason, "{:start_spec, :missing_start}");
}

TEST(children_by_hand) {
    cop_pid sup = sup_start(ctx, NULL);
    cop_child_spec d = { .id = "d", .start = child_start };
    EXPECT_TERM(ctx, cop_supervisor_start_child(ctx, sup.t, &d), "{:ok, _}");
    EXPECT_TERM(ctx, cop_supervisor_start_child(ctx, sup.t, &d), "{:error, {:already_started, _}}");
    EXPECT_TERM(ctx, cop_supervisor_delete_child(ctx, sup.t, cop_a(d).t), "{:error, :running}");
    EXPECT_TERM(ctx, cop_supervisor_terminate_child(ctx, sup.t, cop_a(d).t), ":ok");
    EXPECT_TERM(ctx, cop_supervisor_start_child(ctx, sup.t, &d), "{:error, :already_present}");
    EXPECT_TERM(ctx, cop_supervisor_restart_child(ctx, sup.t, cop_a(d).t), "{:ok, _}");
    EXPECT_TERM(ctx, cop_supervisor_restart_child(ctx, sup.t, cop_a(d).t), "{:error, :running}");
    EXPECT_TERM(ctx, cop_supervisor_terminate_child(ctx, sup.t, cop_a(d).t), ":ok");
    EXPECT_TERM(ctx, cop_supervisor_delete_child(ctx, sup.t, cop_a(d).t), ":ok");
    EXPECT_TERM(ctx, cop_supervisor_delete_child(ctx, sup.t, cop_a(d).t), "{:error, :not_found}");
    cop_child_spec bad = { .id = "e", .start = fails };
    EXPECT_TERM(ctx, cop_supervisor_start_child(ctx, sup.t, &bad),
                "{:error, {:no_way, {:child, :undefined, :e, {:e, :start_link, [:undefined]}, "
                ":permanent, false, 5000, :worker, [:e]}}}");
    cop_child_spec ignored = { .id = "f", .start = ignores };
    EXPECT_TERM(ctx, cop_supervisor_start_child(ctx, sup.t, &ignored), "{:ok, :undefined}");
}

TEST(the_end_of_a_supervisor_ends_its_children_in_reverse) {
    cop_pid sup = sup_start(ctx, NULL);
    cop_process_monitor(ctx, child(ctx, sup, "a"));
    cop_process_monitor(ctx, child(ctx, sup, "b"));
    cop_supervisor_stop(ctx, sup, cop_a(normal), 0);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, _, _, :shutdown}");
    ASSERT_RECEIVE(ctx, "{:DOWN, _, _, _, :shutdown}");
}

static void stubborn_entry(cop_ctx *ctx, cop_term arg) {
    cop_process_trap_exit(ctx, true);
    cop_proc_lib_init_ack(ctx, cop_started_ok(cop_self(ctx)));
    for (;;)
        COP_SCOPE(ctx) {
            cop_term message;
            cop_receive(ctx, COP_INFINITY, &message);
        }
}

static cop_started stubborn(cop_ctx *ctx, cop_term arg) {
    return cop_proc_lib_start_link(ctx, stubborn_entry, arg, NULL);
}

TEST(a_child_that_does_not_stop_is_killed_after_its_time) {
    static const cop_child_spec specs[] = {
        { .id = "slow", .start = stubborn, .shutdown_ms = 20 },
        { .id = "brutal", .start = stubborn, .shutdown_ms = COP_BRUTAL_KILL },
    };
    cop_started s = cop_supervisor_start_link(ctx, specs, 2, NULL);
    cop_process_monitor(ctx, child(ctx, s.pid, "slow"));
    cop_process_monitor(ctx, child(ctx, s.pid, "brutal"));
    cop_supervisor_stop(ctx, s.pid, cop_a(normal), 0);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, _, _, :killed}");
    ASSERT_RECEIVE(ctx, "{:DOWN, _, _, _, :killed}");
}
