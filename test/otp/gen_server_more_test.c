/* SPDX-License-Identifier: Apache-2.0 */
/* GenServer, the rest of the spec's cases (observed on Elixir 1.14 / OTP 25), with the server of srv.h. */
#include "srv.h"

/* ---- starting, names, options (Srv of srv.h) ------------------------------------------------------- */

#define GLOBAL(name) cop_tuple(ctx, cop_a(global), cop_a(name))

static cop_pid told(cop_ctx *ctx) { return start_srv(ctx, COP_INT(1), NULL); }
static cop_pid trapping(cop_ctx *ctx) { return try_srv(ctx, &one_srv, COP_INT(1), true, NULL).pid; }

TEST(GS_002_start_does_not_link) {
    cop_pid p = told(ctx), linked;
    cop_term links = cop_process_info(ctx, cop_self(ctx), cop_a(links)), one;
    for (; cop_get_cons(links, &one, &links);)
        EXPECT(!cop_get_pid(one, &linked) || !cop_match(p.t, linked));
}

TEST(GS_003_names) {
    cop_term global = GLOBAL(gs),
             via = cop_tuple(ctx, cop_a(via), cop_a(global), cop_tuple(ctx, 1));
    start_srv(ctx, COP_INT(1), &(cop_start_opts){ .name = cop_a(local) });
    start_srv(ctx, COP_INT(2), &(cop_start_opts){ .via = global });
    start_srv(ctx, COP_INT(3), &(cop_start_opts){ .via = via });
    EXPECT_TERM(ctx, cop_gen_server_call(ctx, cop_a(local), cop_a(get), 0), "1");
    EXPECT_TERM(ctx, cop_gen_server_call(ctx, global, cop_a(get), 0), "2");
    EXPECT_TERM(ctx, cop_gen_server_call(ctx, via, cop_a(get), 0), "3");
    EXPECT_TERM(ctx, cop_process_info(ctx, told(ctx), cop_a(registered_name)), "[]");
    EXPECT_TERM(ctx, cop_sys_get_state(ctx, global, 0), "2");
}

TEST(SY_001_get_state_by_global_and_via) {
    cop_term via = cop_tuple(ctx, cop_a(via), cop_a(global), cop_tuple(ctx, 1));
    start_srv(ctx, COP_INT(3), &(cop_start_opts){ .via = via });
    EXPECT_TERM(ctx, cop_sys_get_state(ctx, via, 0), "3");
    EXPECT_TERM(ctx, cop_sys_get_state(ctx, cop_tuple(ctx, cop_a(global), cop_tuple(ctx, 1)), 0),
                "3");
}

TEST(SY_009_the_header_of_a_global_name) {
    cop_term name = cop_tuple(ctx, cop_a(global), cop_tuple(ctx, cop_a(a), 1));
    cop_pid p = start_srv(ctx, COP_INT(3), &(cop_start_opts){ .via = name });
    EXPECT_TERM(
        ctx, cop_sys_get_status(ctx, p, 0),
        "{_, _, _, [_, _, _, _, [{:header, {~c\"Status for generic server\", {:a, 1}}}, _, _]]}");
}

TEST(a_global_name_is_free_when_its_process_has_ended) {
    cop_start_opts opts = { .via = GLOBAL(gs) };
    cop_pid p = start_srv(ctx, COP_INT(1), &opts);
    cop_started again = try_srv(ctx, &one_srv, COP_INT(2), false, &opts);
    EXPECT_TERM(ctx, cop_started_to_term(ctx, again), "{:error, {:already_started, _}}");
    EXPECT_TERM(ctx, cop_global_registered_names(ctx), "[:gs]");
    EXPECT(!cop_global_register_name(ctx, cop_a(gs), cop_self(ctx)));
    cop_gen_server_stop(ctx, p, cop_a(normal), 0);
    EXPECT(cop_is_none(cop_global_whereis_name(ctx, cop_a(gs))));
    EXPECT(cop_global_register_name(ctx, cop_a(gs), cop_self(ctx)));
    EXPECT_SAME(ctx, cop_global_send(ctx, cop_a(gs), cop_a(hello)), cop_self(ctx));
    ASSERT_RECEIVE(ctx, ":hello");
    cop_global_unregister_name(ctx, cop_a(gs));
    EXPECT_EXIT(ctx, "{:badarg, {:gs, :x}}") { cop_global_send(ctx, cop_a(gs), cop_a(x)); }
}

TEST(GS_004_bad_names) {
    cop_term bad[] = { cop_of(ctx, "x"), cop_tuple(ctx, cop_a(invalid_tuple), "x"),
                       cop_tuple(ctx, cop_a(via), "Via", cop_a(x)),
                       cop_tuple(ctx, cop_a(local), cop_a(x)) };
    for (size_t i = 0; i < 4; i++)
        EXPECT_ERROR(ctx, "%ArgumentError{message: _}") {
            try_srv(ctx, &one_srv, COP_INT(1), false, &(cop_start_opts){ .via = bad[i] });
        }
    EXPECT_ERROR(ctx,
                 "%ArgumentError{message: \"expected :name option to be one of the following:\\n\\n"
                 "  * nil\\n  * atom\\n  * {:global, term}\\n  * {:via, module, term}\\n\\n"
                 "Got: \\\"x\\\"\\n\"}") {
        try_srv(ctx, &one_srv, COP_INT(1), false, &(cop_start_opts){ .via = bad[0] });
    }
}

static cop_init odd_init(cop_ctx *ctx, void *state, cop_term arg) {
    struct one *self = state;
    cop_term what;
    int64_t ms;
    self->value = COP_INT(5);
    self->watcher = cop_self(ctx).t;
    if (cop_match(arg, cop_a(hibernate)))
        return cop_then_hibernate(cop_init_ok());
    if (cop_match(arg, cop_a(continue)))
        return cop_then_continue(cop_init_ok(), cop_a(raise));
    if (cop_match_tuple(arg, cop_a(timeout), &ms))
        return cop_then_timeout(cop_init_ok(), ms);
    if (cop_match_tuple(arg, cop_a(throw), &what))
        cop_throw(ctx, what);
    if (cop_match(arg, cop_a(named)))
        self->value = cop_process_info(ctx, cop_self(ctx), cop_a(registered_name));
    return cop_match(arg, cop_a(error)) ? cop_init_error(cop_a(why)) : cop_init_ok();
}
static cop_next raise_on_continue(cop_ctx *ctx, void *state, cop_term with) {
    cop_raise(ctx, "RuntimeError", "in continue");
}
static const cop_gen_server odd = { .name = "Odd",
                                    .state_size = sizeof(struct one),
                                    .state_terms = 2,
                                    .init = odd_init,
                                    .handle_call = one_call,
                                    .handle_continue = raise_on_continue,
                                    .state_to_term = one_to_term,
                                    .state_from_term = one_from_term };
static cop_started start_odd(cop_ctx *ctx, cop_term arg, cop_atom name) {
    return cop_gen_server_start(ctx, &odd, arg, &(cop_start_opts){ .name = name });
}
static const cop_atom unnamed = { COP_NONE };

TEST(GS_007_init_may_hibernate) {
    cop_started s = start_odd(ctx, cop_a(hibernate).t, unnamed);
    REFUTE_RECEIVE(ctx, "_", 10); /* the start is acknowledged before it hibernates */
    EXPECT_TERM(ctx, cop_process_info(ctx, s.pid, cop_a(current_function)),
                "{:erlang, :hibernate, 3}");
    EXPECT_TERM(ctx, cop_gen_server_call(ctx, s.pid, cop_a(get), 0), "5");
}

TEST(GS_011_bad_returns_of_init) {
    cop_started s = start_odd(ctx, cop_tuple(ctx, cop_a(throw), cop_a(banana)), cop_a(bad));
    EXPECT_TERM(ctx, cop_started_to_term(ctx, s), "{:error, {:bad_return_value, :banana}}");
    s = start_odd(ctx, cop_tuple(ctx, cop_a(timeout), -1), cop_a(bad));
    EXPECT_TERM(ctx, cop_started_to_term(ctx, s), "{:error, {:bad_return_value, {:ok, 5, -1}}}");
    EXPECT(cop_is_none(cop_process_whereis(ctx, cop_a(bad))));
}

TEST(GS_012_an_error_of_init_is_not_logged) {
    test_capture_log(ctx);
    cop_started s = start_odd(ctx, cop_a(error).t, unnamed);
    EXPECT_TERM(ctx, cop_started_to_term(ctx, s), "{:error, :why}");
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

TEST(GS_013_init_throws_a_return) {
    cop_term ok = cop_tuple(ctx, cop_a(ok), 9);
    cop_started s = start_odd(ctx, cop_tuple(ctx, cop_a(throw), ok), unnamed);
    EXPECT_TERM(ctx, cop_gen_server_call(ctx, s.pid, cop_a(get), 0), "9");
}

TEST(GS_016_spawn_options) {
    cop_spawn_opts spawn = { .priority = COP_PRIORITY_HIGH, .link = true };
    cop_pid p = start_srv(ctx, COP_INT(1), &(cop_start_opts){ .spawn = &spawn });
    EXPECT_TERM(ctx, cop_process_info(ctx, p, cop_a(priority)), ":high");
    test_trap_exit(ctx);
    cop_process_exit(ctx, p, cop_a(kill));
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :killed}");
    spawn = (cop_spawn_opts){ .monitor = true };
    EXPECT_ERROR(ctx, ":badarg") {
        try_srv(ctx, &one_srv, COP_INT(1), false, &(cop_start_opts){ .spawn = &spawn });
    }
}

TEST(GS_017_init_runs_registered) {
    cop_started s = start_odd(ctx, cop_a(named).t, cop_a(odd_one));
    EXPECT_TERM(ctx, cop_gen_server_call(ctx, s.pid, cop_a(get), 0), ":odd_one");
}

TEST(GS_019_start_monitor) {
    cop_started s = cop_gen_server_start_monitor(
        ctx, &one_srv, cop_tuple(ctx, 1, cop_self(ctx), cop_a(false)), NULL);
    EXPECT_INT(s.is, COP_STARTED);
    cop_gen_server_stop(ctx, s.pid, cop_a(normal), 0);
    EXPECT_SAME(ctx, cop_elem(ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :normal}"), 1), s.ref);
    s = cop_gen_server_start_monitor(ctx, &odd, cop_tuple(ctx, cop_a(throw), cop_a(ignore)), NULL);
    EXPECT_INT(s.is, COP_IGNORE);
    REFUTE_RECEIVE(ctx, "{:DOWN, _, _, _, _}", 0);
}

TEST(GS_020_child_specs) {
    cop_term given = cop_list(ctx, cop_a(hello)),
             foo = cop_tuple(ctx, cop_a(foo), cop_a(bar), COP_NIL);
    EXPECT_TERM(ctx, cop_child_spec_use(ctx, "Stack", COP_WORKER, given, COP_NONE),
                "%{id: Stack, start: {Stack, :start_link, [[:hello]]}}");
    EXPECT_INT(cop_map_size(cop_child_spec_use(ctx, "Stack", COP_WORKER, given, COP_NONE)), 2);
    cop_term overrides = cop_list(
        ctx, cop_tuple(ctx, cop_a(id), cop_a(id)), cop_tuple(ctx, cop_a(restart), cop_a(temporary)),
        cop_tuple(ctx, cop_a(shutdown), cop_a(infinity)), cop_tuple(ctx, cop_a(start), foo));
    EXPECT_SAME(ctx, cop_child_spec_use(ctx, "Stack", COP_WORKER, given, overrides),
                cop_map(ctx, cop_a(id), cop_a(id), cop_a(restart), cop_a(temporary),
                        cop_a(shutdown), cop_a(infinity), cop_a(start), foo));
}

static void loop_entry(cop_ctx *ctx, cop_term arg) {
    struct one state = { .value = COP_INT(7), .watcher = cop_self(ctx).t };
    cop_start_opts opts = { .name = arg.w == cop_a(none).t.w ? unnamed : (cop_atom){ arg } };
    if (cop_match(arg, cop_a(looping)))
        cop_process_register(ctx, cop_self(ctx), cop_a(looping));
    cop_gen_server_enter_loop(ctx, &one_srv, &state, &opts, cop_init_ok());
}

TEST(GS_021_enter_loop) {
    cop_proc_lib_spawn(ctx, loop_entry, cop_a(none).t);
    cop_pid p = cop_proc_lib_spawn(ctx, loop_entry, cop_a(looping).t);
    EXPECT_TERM(ctx, cop_gen_server_call(ctx, p, cop_a(get), 0), "7"); /* so it is registered */
    EXPECT_TERM(ctx, cop_gen_server_call(ctx, cop_a(looping), cop_a(get), 0), "7");
    cop_spawn_opts monitored = { .monitor = true };
    cop_proc_lib_spawn_opt(ctx, loop_entry, cop_a(unregistered).t, &monitored);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, _, _, :process_not_registered}");
    cop_spawn_monitor(ctx, loop_entry, cop_a(none).t);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, _, _, :process_was_not_started_by_proc_lib}");
}

/* ---- calls -------------------------------------------------------------------------------------------- */

static void slow_terminate(cop_ctx *ctx, void *state, cop_term reason) {
    cop_process_sleep(ctx, 20);
    one_terminate(ctx, state, reason);
}
static cop_next stop_with_reply(cop_ctx *ctx, void *state, cop_term request, cop_from from) {
    return cop_stop_reply(ctx, cop_a(normal), cop_a(bye));
}
static const cop_gen_server slow_end = { .name = "SlowEnd",
                                         .state_size = sizeof(struct one),
                                         .state_terms = 2,
                                         .init = one_init,
                                         .handle_call = stop_with_reply,
                                         .terminate = slow_terminate };

TEST(GS_034_the_reply_comes_after_terminate) {
    cop_pid p = try_srv(ctx, &slow_end, COP_INT(1), false, NULL).pid;
    EXPECT_TERM(ctx, cop_gen_server_call(ctx, p, cop_a(x), 0), ":bye");
    EXPECT_TERM(ctx, test_flush(ctx), "[{:terminate, :normal, 1}]");
}

TEST(GS_036_a_bad_return) {
    EXPECT_EXIT(ctx, "{{:bad_return_value, :banana}, _}") {
        cop_gen_server_call(ctx, told(ctx), cop_tuple(ctx, cop_a(throw), cop_a(banana)), 0);
    }
    ASSERT_RECEIVE(ctx, "{:terminate, {:bad_return_value, :banana}, 1}");
    EXPECT_EXIT(ctx, "{{:bad_return_value, {:reply, 1, 1, -5}}, _}") {
        cop_gen_server_call(ctx, told(ctx), cop_tuple(ctx, cop_a(timeout), -5), 0);
    }
}

TEST(GS_037_a_thrown_return) {
    cop_pid p = told(ctx);
    cop_term reply = cop_tuple(ctx, cop_a(reply), cop_a(r), 8);
    EXPECT_TERM(ctx, cop_gen_server_call(ctx, p, cop_tuple(ctx, cop_a(throw), reply), 0), ":r");
    reply = cop_tuple(ctx, cop_a(reply), cop_a(r), 9, cop_tuple(ctx, cop_a(continue), cop_a(c)));
    EXPECT_TERM(ctx, cop_gen_server_call(ctx, p, cop_tuple(ctx, cop_a(throw), reply), 0), ":r");
    ASSERT_RECEIVE(ctx, "{:continue, :c}");
    EXPECT_TERM(ctx, cop_gen_server_call(ctx, p, cop_a(get), 0), "9");
}

TEST(GS_041_a_late_reply_never_shows_up) {
    cop_pid p = told(ctx);
    EXPECT_EXIT(ctx, "{:timeout, _}") {
        cop_gen_server_call(ctx, p, cop_tuple(ctx, cop_a(sleep), 30), 10);
    }
    EXPECT_TERM(ctx, cop_gen_server_call(ctx, p, cop_a(get), 0), "1");
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

TEST(GS_044_a_server_that_ends_during_the_call) {
    EXPECT_EXIT(ctx, "{:normal, _}") {
        cop_gen_server_call(ctx, told(ctx), cop_tuple(ctx, cop_a(exit), cop_a(normal)), 0);
    }
    cop_pid p = told(ctx);
    cop_request_id id = cop_gen_server_send_request(ctx, p, cop_a(noreply));
    cop_process_exit(ctx, p, cop_a(kill));
    EXPECT_TERM(ctx, cop_gen_server_receive_response(ctx, id, 0).value, "{:error, {:killed, _}}");
}

TEST(GS_045_arguments_of_a_call) {
    cop_pid p = told(ctx);
    EXPECT_ERROR(ctx, "%FunctionClauseError{}") { cop_gen_server_call(ctx, p, cop_a(get), -1); }
    EXPECT_ERROR(ctx, ":timeout_value") { cop_gen_server_call(ctx, p, cop_a(get), 4294967296); }
    EXPECT_ERROR(ctx, "%FunctionClauseError{}") {
        cop_gen_server_call(ctx, cop_of(ctx, "foo"), cop_a(get), 0);
    }
}

TEST(GS_047_replies_to_anybody) {
    cop_gen_server_reply(ctx, cop_tuple(ctx, test_dead_pid(ctx), cop_a(tag)), cop_a(x));
    EXPECT_ERROR(ctx, "%FunctionClauseError{}") {
        cop_gen_server_reply(ctx, cop_a(nope), cop_a(x));
    }
    cop_gen_server_reply(ctx, cop_tuple(ctx, cop_self(ctx), cop_a(tag)), cop_a(x));
    EXPECT_TERM(ctx, test_flush(ctx), "[{:tag, :x}]");
}

/* ---- casts, messages, continues ---------------------------------------------------------------------- */

TEST(GS_050_casts_that_reach_nobody) {
    cop_gen_server_cast(ctx, test_dead_pid(ctx), cop_a(x));
    cop_gen_server_cast(ctx, cop_a(nosuch), cop_a(x));
    cop_gen_server_cast(ctx, cop_a(nil), cop_a(x));
    cop_gen_server_cast(ctx, GLOBAL(nosuch), cop_a(x));
    cop_gen_server_cast(ctx, cop_tuple(ctx, cop_a(via), cop_a(foo), 1), cop_a(x));
    cop_gen_server_cast(ctx, cop_tuple(ctx, cop_a(a), cop_as("foo@bar")), cop_a(x));
    EXPECT_ERROR(ctx, "%FunctionClauseError{}") {
        cop_gen_server_cast(ctx, cop_of(ctx, "x"), cop_a(x));
    }
}

TEST(GS_051_what_a_cast_may_return) {
    cop_pid p = told(ctx);
    cop_gen_server_cast(ctx, p, cop_tuple(ctx, cop_a(timeout), 5));
    ASSERT_RECEIVE(ctx, "{:info, :timeout}");
    cop_gen_server_cast(ctx, p, cop_tuple(ctx, cop_a(continue), cop_a(c)));
    ASSERT_RECEIVE(ctx, "{:continue, :c}");
    cop_gen_server_cast(ctx, p, cop_a(hibernate));
    cop_gen_server_cast(ctx, p, cop_tuple(ctx, cop_a(stop), cop_a(normal)));
    ASSERT_RECEIVE(ctx, "{:terminate, :normal, :stopped}");
}

TEST(GS_052_bad_returns_of_a_cast) {
    cop_pid p = told(ctx);
    cop_process_monitor(ctx, p);
    cop_term reply = cop_tuple(ctx, cop_a(reply), 1, 2);
    cop_gen_server_cast(ctx, p, cop_tuple(ctx, cop_a(throw), reply));
    ASSERT_RECEIVE(ctx, "{:DOWN, _, _, _, {:bad_return_value, {:reply, 1, 2}}}");
}

TEST(GS_053_a_cast_that_raises) {
    cop_pid p = told(ctx);
    cop_process_monitor(ctx, p);
    cop_gen_server_cast(ctx, p, cop_a(raise));
    ASSERT_RECEIVE(ctx, "{:terminate, {%RuntimeError{message: \"boom\"}, _}, 1}");
    ASSERT_RECEIVE(ctx, "{:DOWN, _, _, _, {%RuntimeError{message: \"boom\"}, _}}");
}

TEST(GS_054_continues) {
    cop_pid p = told(ctx);
    cop_term c2 = cop_tuple(ctx, cop_a(continue), cop_a(c2));
    cop_sys_suspend(ctx, p, 0);
    cop_gen_server_cast(ctx, p, cop_tuple(ctx, cop_a(continue), c2));
    cop_send(ctx, p, cop_a(other));
    cop_sys_resume(ctx, p, 0);
    ASSERT_RECEIVE(ctx, "{:info, :other}");
    EXPECT_TERM(ctx, test_flush(ctx),
                "[{:cast, _}, {:continue, {:continue, :c2}}, {:continue, :c2}]");
    cop_gen_server_cast(
        ctx, p, cop_tuple(ctx, cop_a(continue), cop_tuple(ctx, cop_a(stop), cop_a(normal))));
    ASSERT_RECEIVE(ctx, "{:terminate, :normal, :stopped}");
    cop_started s = start_odd(ctx, cop_a(continue).t, unnamed);
    EXPECT_INT(s.is, COP_STARTED);
    test_await_down(ctx, s.pid);
}

TEST(GS_055_a_message_ends_the_timeout) {
    cop_pid p = told(ctx);
    cop_gen_server_call(ctx, p, cop_tuple(ctx, cop_a(timeout), 40), 0);
    cop_process_send_after(ctx, p, cop_a(m), 10);
    ASSERT_RECEIVE(ctx, "{:info, :m}");
    REFUTE_RECEIVE(ctx, "{:info, :timeout}", 80);
}

TEST(GS_056_a_system_message_starts_the_timeout_again) {
    cop_pid p = told(ctx);
    int64_t start_ms = cop_monotonic_ms(ctx);
    cop_gen_server_call(ctx, p, cop_tuple(ctx, cop_a(timeout), 60), 0);
    REFUTE_RECEIVE(ctx, "{:info, :timeout}", 40);
    cop_sys_get_state(ctx, p, 0);
    ASSERT_RECEIVE(ctx, "{:info, :timeout}");
    EXPECT(cop_monotonic_ms(ctx) - start_ms >= 99);
}

TEST(GS_057_a_server_monitors) {
    cop_pid p = told(ctx), watched_one = told(ctx);
    cop_gen_server_call(ctx, p, cop_tuple(ctx, cop_a(monitor), watched_one), 0);
    cop_gen_server_stop(ctx, watched_one, cop_a(why), 0);
    cop_term message = ASSERT_RECEIVE(ctx, "{:info, {:DOWN, _, :process, _, :why}}");
    EXPECT_SAME(ctx, cop_elem(cop_elem(message, 1), 3), watched_one);
}

TEST(GS_058_malformed_messages) {
    cop_pid p = told(ctx);
    cop_send(ctx, p, cop_tuple(ctx, cop_as("$gen_call"), cop_a(x)));
    cop_send(ctx, p, cop_tuple(ctx, cop_as("$gen_cast"), 1, 2));
    cop_send(ctx, p, cop_tuple(ctx, cop_a(system), 1));
    ASSERT_RECEIVE(ctx, "{:info, {:\"$gen_call\", :x}}");
    ASSERT_RECEIVE(ctx, "{:info, {:\"$gen_cast\", 1, 2}}");
    ASSERT_RECEIVE(ctx, "{:info, {:system, 1}}");
    cop_process_monitor(ctx, p);
    cop_send(ctx, p, cop_tuple(ctx, cop_as("$gen_call"), cop_a(notfrom), cop_a(get)));
    ASSERT_RECEIVE(ctx, "{:DOWN, _, _, _, {:function_clause, _}}");
}

/* ---- defaults ------------------------------------------------------------------------------------------- */

static const cop_gen_server defaults = { .name = "Dfl",
                                         .state_size = sizeof(struct one),
                                         .state_terms = 2,
                                         .init = one_init,
                                         .state_to_term = one_to_term };

TEST(GS_060_061_default_callbacks) {
    test_capture_log(ctx);
    cop_start_opts opts = { .name = cop_a(dflnamed) };
    cop_pid p = try_srv(ctx, &defaults, COP_INT(1), false, &opts).pid;
    cop_send(ctx, p, cop_a(hello));
    ASSERT_RECEIVE(ctx, "{:log, :error, {:report, %{label: {GenServer, :no_handle_info}, report: "
                        "%{module: Dfl, message: :hello, name: :dflnamed}}}, "
                        "%{domain: [:otp, :elixir], error_logger: %{tag: :error_msg}}}");
    EXPECT_EXIT(ctx, "{{%RuntimeError{message: \"attempted to call GenServer :dflnamed but no "
                     "handle_call/3 clause was provided\"}, _}, _}") {
        cop_gen_server_call(ctx, p, cop_a(x), 0);
    }
    p = try_srv(ctx, &defaults, COP_INT(1), false, &opts).pid;
    cop_process_monitor(ctx, p);
    cop_gen_server_cast(ctx, p, cop_a(x));
    ASSERT_RECEIVE(ctx, "{:DOWN, _, _, _, {%RuntimeError{message: \"attempted to cast GenServer "
                        ":dflnamed but no handle_cast/2 clause was provided\"}, _}}");
}

static cop_next continue_zz(cop_ctx *ctx, void *state, cop_term request) {
    return cop_then_continue(cop_noreply(), cop_a(zz));
}
static const cop_gen_server no_continue = { .name = "Cu",
                                            .state_size = sizeof(struct one),
                                            .state_terms = 2,
                                            .init = one_init,
                                            .handle_cast = continue_zz,
                                            .state_to_term = one_to_term };

TEST(GS_062_a_continue_without_handle_continue) {
    cop_pid p = try_srv(ctx, &no_continue, cop_a(st).t, false, NULL).pid;
    cop_process_monitor(ctx, p);
    cop_gen_server_cast(ctx, p, cop_a(x));
    ASSERT_RECEIVE(ctx, "{:DOWN, _, _, _, {:undef, [{Cu, :handle_continue, [:zz, :st], []} | _]}}");
}

/* ---- the end ---------------------------------------------------------------------------------------------- */

/* How many events of crashes were captured. */
static int crashes(cop_ctx *ctx) {
    int n = 0;
    for (cop_term event, list = test_flush(ctx); cop_get_cons(list, &event, &list);)
        n += cop_match(cop_elem(event, 0), cop_a(log));
    return n;
}

TEST(GS_070_stop_and_what_is_logged) {
    test_capture_log(ctx);
    cop_gen_server_stop(ctx, told(ctx), cop_a(normal), 0);
    ASSERT_RECEIVE(ctx, "{:terminate, :normal, 1}");
    cop_gen_server_stop(ctx, told(ctx), cop_a(shutdown), 0);
    cop_gen_server_stop(ctx, told(ctx), cop_tuple(ctx, cop_a(shutdown), 1), 0);
    EXPECT_INT(crashes(ctx), 0);
    cop_gen_server_stop(ctx, told(ctx), cop_a(foo), 0);
    ASSERT_RECEIVE(ctx, "{:terminate, :foo, 1}");
    EXPECT_INT(crashes(ctx), 2);
}

static void stop_self(cop_ctx *ctx, cop_term arg) {
    cop_gen_server_stop(ctx, cop_self(ctx), cop_a(normal), 0);
}

TEST(GS_071_nobody_to_stop) {
    EXPECT_EXIT(ctx, "{:noproc, {GenServer, :stop, [_, :normal, :infinity]}}") {
        cop_gen_server_stop(ctx, test_dead_pid(ctx), cop_a(normal), 0);
    }
    EXPECT_EXIT(ctx, "{:noproc, {GenServer, :stop, [nil, :normal, :infinity]}}") {
        cop_gen_server_stop(ctx, cop_a(nil), cop_a(normal), 0);
    }
    cop_spawn_monitor(ctx, stop_self, COP_NIL);
    ASSERT_RECEIVE(
        ctx, "{:DOWN, _, _, _, {:calling_self, {GenServer, :stop, [_, :normal, :infinity]}}}");
}

/* terminate does what the state says. */
static void odd_terminate(cop_ctx *ctx, void *state, cop_term reason) {
    struct one *self = state;
    one_terminate(ctx, state, reason);
    if (cop_match(self->value, cop_a(exit)))
        cop_exit(ctx, cop_a(changed));
    if (cop_match(self->value, cop_a(raise)))
        cop_raise(ctx, "RuntimeError", "late");
    if (cop_match(self->value, cop_a(throw)))
        cop_throw(ctx, cop_a(x));
}
static const cop_gen_server odd_end = { .name = "OddEnd",
                                        .state_size = sizeof(struct one),
                                        .state_terms = 2,
                                        .init = one_init,
                                        .terminate = odd_terminate };

TEST(GS_072_and_075_a_terminate_that_raises) {
    test_capture_log(ctx);
    cop_pid p = try_srv(ctx, &odd_end, cop_a(exit).t, false, NULL).pid;
    EXPECT_EXIT(ctx, "{:changed, {GenServer, :stop, [_, :foo, :infinity]}}") {
        cop_gen_server_stop(ctx, p, cop_a(foo), 0);
    }
    p = try_srv(ctx, &odd_end, cop_a(raise).t, false, NULL).pid;
    test_flush(ctx);
    EXPECT_EXIT(ctx, "{{%RuntimeError{message: \"late\"}, _}, {GenServer, :stop, _}}") {
        cop_gen_server_stop(ctx, p, cop_a(normal), 0);
    }
    ASSERT_RECEIVE(ctx, "{:log, :error, {:report, %{label: {:gen_server, :terminate}, reason: "
                        "{%RuntimeError{message: \"late\"}, _}}}, _}");
    p = try_srv(ctx, &odd_end, cop_a(throw).t, false, NULL).pid;
    cop_gen_server_stop(ctx, p, cop_a(normal), 0);
}

TEST(GS_073_a_stop_that_times_out) {
    cop_pid p = told(ctx);
    cop_gen_server_cast(ctx, p, cop_tuple(ctx, cop_a(sleep), 60));
    EXPECT_EXIT(ctx, "{:timeout, {GenServer, :stop, [_, :normal, 20]}}") {
        cop_gen_server_stop(ctx, p, cop_a(normal), 20);
    }
    EXPECT(cop_process_is_alive(ctx, p));
    test_await_down(ctx, p);
}

static void stops_its_own(cop_ctx *ctx, cop_term arg) {
    cop_gen_server_stop(ctx, link_srv(ctx, COP_INT(1), false), cop_a(boo), 0);
}

TEST(GS_074_stopping_a_linked_server) {
    cop_spawn_monitor(ctx, stops_its_own, COP_NIL);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, _, _, :boo}");
    test_trap_exit(ctx);
    cop_gen_server_stop(ctx, link_srv(ctx, COP_INT(1), false), cop_a(shutdown), 0);
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :shutdown}");
}

TEST(GS_076_077_exit_signals) {
    cop_pid p = told(ctx);
    cop_process_exit(ctx, p, cop_a(x));
    test_await_down(ctx, p);
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
    p = trapping(ctx); /* started without a link: the starter is not its parent */
    cop_process_exit(ctx, p, cop_a(x));
    ASSERT_RECEIVE(ctx, "{:info, {:EXIT, _, :x}}");
    EXPECT(cop_process_is_alive(ctx, p));
    p = link_srv(ctx, COP_INT(1), true);
    cop_process_unlink(ctx, p);
    cop_process_exit(ctx, p, cop_a(normal));
    ASSERT_RECEIVE(ctx, "{:terminate, :normal, 1}");
}

TEST(GS_078_a_forged_exit_of_the_parent) {
    cop_pid p = link_srv(ctx, COP_INT(1), false);
    cop_process_unlink(ctx, p);
    cop_send(ctx, p, cop_tuple(ctx, cop_as("EXIT"), cop_self(ctx), cop_a(forged)));
    ASSERT_RECEIVE(ctx, "{:terminate, :forged, 1}");
    test_await_down(ctx, p);
}

/* Starts a linked server that tells `watcher`, sends it mail, and ends with `reason`. */
static void parent_entry(cop_ctx *ctx, cop_term arg) {
    cop_term watcher = COP_NONE, trap = COP_NONE, reason = COP_NONE;
    cop_match_tuple(arg, &watcher, &trap, &reason);
    cop_pid p =
        cop_gen_server_start_link(ctx, &one_srv, cop_tuple(ctx, 1, watcher, trap), NULL).pid;
    cop_send(ctx, watcher, cop_tuple(ctx, cop_a(child), p));
    cop_send(ctx, p, cop_a(before));
    cop_exit(ctx, reason);
}

TEST(GS_079_080_the_parents_end) {
    cop_spawn(ctx, parent_entry, cop_tuple(ctx, cop_self(ctx), cop_a(true), cop_a(parentdead)));
    ASSERT_RECEIVE(ctx, "{:terminate, :parentdead, 1}");
    EXPECT_TERM(ctx, test_flush(ctx), "[{:child, _}, {:info, :before}]");
    cop_spawn_monitor(ctx, parent_entry,
                      cop_tuple(ctx, cop_self(ctx), cop_a(false), cop_a(normal)));
    ASSERT_RECEIVE(ctx, "{:DOWN, _, _, _, :normal}");
    cop_pid p = { cop_elem(ASSERT_RECEIVE(ctx, "{:child, _}"), 1) };
    EXPECT_TERM(ctx, cop_gen_server_call(ctx, p, cop_a(get), 0), "1");
}

/* ---- many nodes, whereis, raw ------------------------------------------------------------------------------- */

static const char own[] = "nonode@nohost";

TEST(GS_085_abcast) {
    start_srv(ctx, COP_INT(1), &(cop_start_opts){ .name = cop_a(many) });
    cop_gen_server_abcast(ctx, COP_NONE, cop_a(many), cop_a(a));
    cop_gen_server_abcast(ctx, cop_list(ctx, cop_as("foo@bar"), cop_as("nonode@nohost")),
                          cop_a(many), cop_a(b));
    ASSERT_RECEIVE(ctx, "{:cast, :a}");
    ASSERT_RECEIVE(ctx, "{:cast, :b}");
}

static void expect_multi(cop_ctx *ctx, cop_multi m, const char *pattern) {
    EXPECT_TERM(ctx, cop_tuple(ctx, m.replies, m.bad_nodes), pattern);
}

TEST(GS_086_multi_call) {
    cop_term node = cop_atom_new(own).t;
    start_srv(ctx, COP_INT(1), &(cop_start_opts){ .name = cop_a(many) });
    expect_multi(ctx, cop_gen_server_multi_call(ctx, COP_NONE, cop_a(many), cop_a(get), 0),
                 "{[{:nonode@nohost, 1}], []}");
    expect_multi(ctx,
                 cop_gen_server_multi_call(ctx, cop_list(ctx, node, cop_as("foo@bar")), cop_a(many),
                                           cop_a(get), 100),
                 "{[{:nonode@nohost, 1}], [:foo@bar]}");
    expect_multi(ctx, cop_gen_server_multi_call(ctx, COP_NONE, cop_a(nosuch), cop_a(get), 0),
                 "{[], [:nonode@nohost]}");
    expect_multi(ctx, cop_gen_server_multi_call(ctx, COP_NIL, cop_a(many), cop_a(get), 0),
                 "{[], []}");
}

TEST(GS_087_multi_call_of_a_slow_or_dying_server) {
    start_srv(ctx, COP_INT(1), &(cop_start_opts){ .name = cop_a(many) });
    cop_term slow = cop_tuple(ctx, cop_a(sleep), 60), dying = cop_tuple(ctx, cop_a(exit), cop_a(x));
    expect_multi(ctx, cop_gen_server_multi_call(ctx, COP_NONE, cop_a(many), slow, 20),
                 "{[], [:nonode@nohost]}");
    cop_gen_server_call(ctx, cop_a(many), cop_a(get), 0);
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
    expect_multi(ctx, cop_gen_server_multi_call(ctx, COP_NONE, cop_a(many), dying, 0),
                 "{[], [:nonode@nohost]}");
}

TEST(GS_088_whereis) {
    cop_pid p = start_srv(ctx, COP_INT(1), &(cop_start_opts){ .name = cop_a(here) });
    cop_term away = cop_tuple(ctx, cop_a(here), cop_a(another_node));
    EXPECT_SAME(ctx, cop_gen_server_whereis(ctx, cop_a(here).t), p);
    EXPECT_SAME(ctx, cop_gen_server_whereis(ctx, cop_tuple(ctx, cop_a(here), cop_atom_new(own))),
                p);
    EXPECT_SAME(ctx, cop_gen_server_whereis(ctx, p.t), p);
    EXPECT_SAME(ctx, cop_gen_server_whereis(ctx, away), away);
    EXPECT(cop_is_none(cop_gen_server_whereis(ctx, cop_a(nosuch).t)));
    EXPECT(cop_is_none(cop_gen_server_whereis(ctx, GLOBAL(nosuch))));
    EXPECT(cop_is_none(cop_gen_server_whereis(ctx, cop_a(nil).t)));
}

TEST(GS_090_raw_calls) {
    cop_pid p = told(ctx);
    cop_term from = cop_tuple(ctx, cop_self(ctx), "tag");
    cop_send(ctx, p, cop_tuple(ctx, cop_as("$gen_call"), from, cop_a(get)));
    ASSERT_RECEIVE(ctx, "{\"tag\", 1}");
    cop_ref alias = cop_process_alias(ctx, false);
    cop_term tag = cop_cons(ctx, cop_a(alias), alias);
    from = cop_tuple(ctx, test_dead_pid(ctx), tag);
    cop_send(ctx, p, cop_tuple(ctx, cop_as("$gen_call"), from, cop_a(get)));
    EXPECT_SAME(ctx, cop_elem(ASSERT_RECEIVE(ctx, "{[:alias | _], 1}"), 0), tag);
    tag = cop_cons(ctx, tag, cop_a(ext));
    from = cop_tuple(ctx, test_dead_pid(ctx), tag);
    cop_send(ctx, p, cop_tuple(ctx, cop_as("$gen_call"), from, cop_a(get)));
    EXPECT_SAME(ctx, cop_elem(ASSERT_RECEIVE(ctx, "{[_ | :ext], 1}"), 0), tag);
}

TEST(GS_091_requests_in_two_steps) {
    cop_pid p = told(ctx), dead = test_dead_pid(ctx);
    cop_request_id id = cop_gen_server_send_request(ctx, p, cop_tuple(ctx, cop_a(sleep), 40));
    EXPECT_TERM(ctx, cop_gen_server_wait_response(ctx, id, 10).value, ":timeout");
    EXPECT_TERM(ctx, cop_gen_server_wait_response(ctx, id, 0).value, "1");
    id = cop_gen_server_send_request(ctx, dead, cop_a(get));
    EXPECT_TERM(ctx, cop_gen_server_receive_response(ctx, id, 0).value, "{:error, {:noproc, _}}");
    id = cop_gen_server_send_request(ctx, cop_a(nosuch), cop_a(get));
    EXPECT_TERM(ctx, cop_gen_server_receive_response(ctx, id, 0).value,
                "{:error, {:noproc, :nosuch}}");
    id = cop_gen_server_send_request(ctx, p, cop_a(get));
    cop_called called = { 0 };
    EXPECT(!cop_gen_server_check_response(ctx, cop_a(other).t, id, &called));
    EXPECT(
        cop_gen_server_check_response(ctx, ASSERT_RECEIVE(ctx, "{[:alias | _], _}"), id, &called));
    EXPECT_TERM(ctx, called.value, "1");
}

TEST(GS_091_collections_of_requests) {
    cop_pid p = told(ctx);
    cop_term ids = cop_gen_server_reqids_new(ctx);
    EXPECT_INT(cop_gen_server_wait_any(ctx, &ids, 0, 0).is, COP_NO_REQUEST);
    cop_request_id id = cop_gen_server_send_request(ctx, p, cop_a(get));
    ids = cop_gen_server_reqids_add(ctx, id, cop_a(first), ids);
    EXPECT_ERROR(ctx, ":badarg") { cop_gen_server_reqids_add(ctx, id, cop_a(again), ids); }
    id = cop_gen_server_send_request(ctx, p, cop_a(noreply));
    ids = cop_gen_server_reqids_add(ctx, id, cop_a(never), ids);
    EXPECT_INT(cop_gen_server_reqids_size(ids), 2);
    cop_any_response any = cop_gen_server_wait_any(ctx, &ids, 0, 0);
    EXPECT_INT(any.is, COP_RESPONSE);
    EXPECT_TERM(ctx, cop_tuple(ctx, any.response.value, any.label), "{1, :first}");
    EXPECT_TERM(ctx, cop_gen_server_reqids_to_list(ctx, ids), "[{_, :never}]");
    EXPECT_INT(cop_gen_server_wait_any(ctx, &ids, 10, COP_REQUEST_ABANDON).is, COP_NO_RESPONSE);
    cop_gen_server_stop(ctx, p, cop_a(normal), 0);
    EXPECT_TERM(ctx, test_flush(ctx), "[{:terminate, :normal, 1}]");
}

/* ---- hibernation, debug options, reports ---------------------------------------------------------------------- */

static bool hibernates(cop_ctx *ctx, cop_pid p) {
    cop_term at = cop_process_info(ctx, p, cop_a(current_function));
    return cop_match_tuple(at, cop_a(erlang), cop_a(hibernate), 3);
}

TEST(GS_095_hibernate_after) {
    cop_pid p = start_srv(ctx, COP_INT(1), &(cop_start_opts){ .hibernate_after_ms = 20 });
    EXPECT(!hibernates(ctx, p));
    REFUTE_RECEIVE(ctx, "_", 60);
    EXPECT(hibernates(ctx, p));
    cop_gen_server_call(ctx, p, cop_tuple(ctx, cop_a(timeout), 5000), 0);
    REFUTE_RECEIVE(ctx, "_", 60);
    EXPECT(!hibernates(ctx, p));
    p = start_srv(ctx, COP_INT(1), &(cop_start_opts){ .hibernate_after_ms = COP_ZERO });
    REFUTE_RECEIVE(ctx, "_", 10);
    EXPECT(hibernates(ctx, p));
}

TEST(GS_096_debug_options) {
    cop_term debug = cop_list(ctx, cop_a(statistics));
    cop_pid p = start_srv(ctx, COP_INT(1), &(cop_start_opts){ .debug = debug });
    EXPECT_TERM(ctx, cop_sys_statistics(ctx, p, cop_a(get), 0), "{:ok, [_, _, _, _, _]}");
    debug = cop_list(ctx, cop_tuple(ctx, cop_a(log), 2));
    p = start_srv(ctx, COP_INT(1), &(cop_start_opts){ .debug = debug });
    for (int i = 0; i < 3; i++)
        cop_gen_server_call(ctx, p, cop_a(get), 0);
    EXPECT_TERM(ctx, cop_sys_log(ctx, p, cop_a(get), 0), "{:ok, [_, _]}");
    start_srv(ctx, COP_INT(1), &(cop_start_opts){ .debug = cop_list(ctx, cop_a(zzz)) });
    start_srv(ctx, COP_INT(1), &(cop_start_opts){ .debug = cop_a(zzz).t });
}

#define TERMINATE_REPORT "{:log, :error, {:report, %{label: {:gen_server, :terminate}, "

TEST(GS_097_the_report_of_a_crash_in_a_call) {
    test_capture_log(ctx);
    EXPECT_EXIT(ctx, "_") { cop_gen_server_call(ctx, told(ctx), cop_a(raise), 0); }
    ASSERT_RECEIVE(ctx, TERMINATE_REPORT
                   "name: _, last_message: :raise, state: 1, log: [], reason: "
                   "{%RuntimeError{message: \"boom\"}, _}, client_info: {_, {_, _}}}}, "
                   "%{domain: [:otp], error_logger: %{tag: :error}}}");
    ASSERT_RECEIVE(ctx, "{:log, :error, {:report, %{label: {:proc_lib, :crash}, report: _}}, _}");
}

TEST(GS_098_reasons_and_messages_of_reports) {
    test_capture_log(ctx);
    cop_gen_server_cast(ctx, told(ctx), cop_tuple(ctx, cop_a(stop), cop_a(badness)));
    ASSERT_RECEIVE(ctx, TERMINATE_REPORT "reason: :badness, state: :stopped}}, _}");
    cop_gen_server_cast(ctx, told(ctx), cop_tuple(ctx, cop_a(exit), cop_a(uu)));
    ASSERT_RECEIVE(ctx, TERMINATE_REPORT "reason: {:uu, _}, client_info: :undefined, last_message: "
                                         "{:\"$gen_cast\", {:exit, :uu}}}}, _}");
}

static cop_term hide_state(cop_ctx *ctx, cop_term status) {
    return cop_map_put(ctx, status, cop_a(state).t, cop_a(hidden).t);
}
static const cop_gen_server hides_state = { SRV, .format_status = hide_state };

TEST(GS_099_format_status_in_a_report) {
    test_capture_log(ctx);
    cop_gen_server_cast(ctx, try_srv(ctx, &hides_state, COP_INT(1), false, NULL).pid, cop_a(raise));
    ASSERT_RECEIVE(ctx, TERMINATE_REPORT "state: :hidden, log: []}}, _}");
}

static cop_term hide_all(cop_ctx *ctx, cop_atom what, cop_term term) { return what.t; }
static const cop_gen_server hides_all = { SRV, .redact = hide_all };

TEST(redact_has_its_say_wherever_something_is_shown) {
    test_capture_log(ctx);
    cop_pid p = try_srv(ctx, &hides_all, COP_INT(1), false, NULL).pid;
    cop_sys_log(ctx, p, cop_a(true), 0);
    cop_gen_server_cast(ctx, p, cop_a(secret));
    EXPECT_TERM(ctx, cop_sys_log(ctx, p, cop_a(get), 0), "{:ok, [in: :message, noreply: :state]}");
    cop_gen_server_cast(ctx, p, cop_a(raise));
    ASSERT_RECEIVE(ctx,
                   TERMINATE_REPORT "state: :state, last_message: :message, reason: :reason}}, _}");
    ASSERT_RECEIVE(ctx, "{:log, :error, {:report, %{label: {:proc_lib, :crash}, report: "
                        "[[_, _, _, _, {:error_info, {:error, :reason, _}} | _], _]}}, _}");
}

static const cop_gen_server small_reports = { SRV, .report_max_words = 20 };

TEST(a_report_is_bounded) {
    test_capture_log(ctx);
    cop_term list = COP_NIL;
    for (int i = 0; i < 100; i++)
        list = cop_cons(ctx, i, list);
    cop_pid p = try_srv(ctx, &small_reports, list, false, NULL).pid;
    cop_gen_server_cast(ctx, p, cop_a(raise));
    cop_term event = ASSERT_RECEIVE(ctx, TERMINATE_REPORT "last_message: {_, :raise}}}, _}"), state;
    EXPECT(cop_map_get(cop_elem(cop_elem(event, 2), 1), cop_a(state).t, &state));
    EXPECT(cop_is_binary(state));
}

static void calls_and_dies(cop_ctx *ctx, cop_term server) {
    cop_pid p = { server };
    cop_gen_server_send_request(ctx, p, cop_tuple(ctx, cop_a(exit), cop_a(oops)));
}

TEST(GS_100_the_client_of_a_report_is_dead) {
    test_capture_log(ctx);
    cop_pid p = told(ctx);
    cop_sys_suspend(ctx, p, 0);
    cop_spawned client = cop_spawn_monitor(ctx, calls_and_dies, p.t);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, _, _, :normal}");
    cop_sys_resume(ctx, p, 0);
    cop_term event = ASSERT_RECEIVE(ctx, TERMINATE_REPORT "client_info: {_, :dead}}}, _}"), info;
    EXPECT(cop_map_get(cop_elem(cop_elem(event, 2), 1), cop_a(client_info).t, &info));
    EXPECT_SAME(ctx, cop_elem(info, 0), client.pid);
}
