/* SPDX-License-Identifier: Apache-2.0 */
/* Agent, by the spec's cases (observed on Elixir 1.14 / OTP 25). */
#include <coppice.h>
#include <coppice/test.h>

/* ---- functions ----------------------------------------------------------------------------------------- */

static cop_term first(cop_ctx *ctx, cop_term arg) { return arg; }
static cop_term first_raises(cop_ctx *ctx, cop_term arg) { cop_raise(ctx, "RuntimeError", "oops"); }
static cop_term first_exits(cop_ctx *ctx, cop_term arg) { cop_exit(ctx, arg); }
static cop_term first_throws(cop_ctx *ctx, cop_term arg) { cop_throw(ctx, arg); }
static cop_term first_sleeps(cop_ctx *ctx, cop_term arg) {
    cop_process_sleep(ctx, 1000);
    return arg;
}
static cop_term same(cop_ctx *ctx, cop_term state, cop_term arg) { return state; }
static cop_term other(cop_ctx *ctx, cop_term state, cop_term arg) { return arg; }
static cop_term add(cop_ctx *ctx, cop_term state, cop_term by) {
    int64_t a = 0, b = 0;
    cop_get_i64(state, &a);
    cop_get_i64(by, &b);
    return cop_of(ctx, a + b);
}
static cop_term take_and_add(cop_ctx *ctx, cop_term state, cop_term by) {
    return cop_tuple(ctx, state, add(ctx, state, by));
}
static cop_term prepend(cop_ctx *ctx, cop_term state, cop_term x) {
    return cop_cons(ctx, x, state);
}
static cop_term raises(cop_ctx *ctx, cop_term state, cop_term arg) {
    cop_raise(ctx, "RuntimeError", "boom");
}
static cop_term exits(cop_ctx *ctx, cop_term state, cop_term arg) { cop_exit(ctx, arg); }
static cop_term throws(cop_ctx *ctx, cop_term state, cop_term arg) { cop_throw(ctx, arg); }
static cop_term slow_add(cop_ctx *ctx, cop_term state, cop_term by) {
    cop_process_sleep(ctx, 60);
    return add(ctx, state, by);
}
static cop_term get_of_itself(cop_ctx *ctx, cop_term state, cop_term arg) {
    return cop_agent_get(ctx, cop_self(ctx), cop_agent_fun(ctx, same, COP_NIL), 0);
}
static cop_term who(cop_ctx *ctx, cop_term state, cop_term arg) { return cop_self(ctx).t; }

/* By name: Calc.new/0, new/1, plus/2, put/3, fetch/2, pop/2 (of maps). */
static cop_term calc_new(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    return cop_map(ctx);
}
static cop_term calc_plus(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    return add(ctx, a[0], a[1]);
}
static cop_term calc_put(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    return cop_map_put(ctx, a[0], a[1], a[2]);
}
static cop_term calc_fetch(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    cop_term value = cop_a(nil).t;
    cop_map_get(a[0], a[1], &value);
    return value;
}
static cop_term calc_pop(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    return cop_tuple(ctx, calc_fetch(ctx, env, n, a), cop_map_remove(ctx, a[0], a[1]));
}
static cop_term calc_raise(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    cop_raise(ctx, "RuntimeError", "calc");
}
static const cop_module calc = {
    .name = "Elixir.Calc",
    .exports = (const cop_export[]){ { "new", 0, calc_new },
                                     { "plus", 2, calc_plus },
                                     { "put", 3, calc_put },
                                     { "fetch", 2, calc_fetch },
                                     { "pop", 2, calc_pop },
                                     { "raise", 1, calc_raise },
                                     { 0 } },
};

#define F(function, arg) cop_agent_fun(ctx, function, COP_TERM(arg))
#define CALC(function, ...) \
    cop_tuple(ctx, cop_as("Elixir.Calc"), cop_a(function), cop_list(ctx __VA_OPT__(, ) __VA_ARGS__))
#define GET(agent) cop_agent_get(ctx, agent, F(same, COP_NIL), 0)

static cop_pid agent_of(cop_ctx *ctx, cop_term state) {
    cop_started s = cop_agent_start(ctx, cop_agent_init_fun(ctx, first, state), NULL);
    EXPECT_INT(s.is, COP_STARTED);
    return s.pid;
}

static cop_pid map_agent(cop_ctx *ctx) {
    cop_module_load(&calc);
    return cop_agent_start(ctx, CALC(new), NULL).pid;
}

/* ---- starting ------------------------------------------------------------------------------------------- */

TEST(AG_001_agents_under_a_supervisor) {
    cop_term init = cop_agent_init_fun(ctx, first, COP_INT(7));
    cop_agent_load();
    cop_term children = cop_list(ctx, cop_tuple(ctx, cop_as("Elixir.Agent"), init));
    cop_term options = cop_list(ctx, cop_tuple(ctx, cop_a(strategy), cop_a(one_for_one)));
    cop_started s = cop_supervisor_start_link_terms(ctx, children, options);
    EXPECT_INT(s.is, COP_STARTED);
    cop_term which = cop_supervisor_which_children(ctx, s.pid);
    EXPECT_TERM(ctx, which, "[{Agent, _, :worker, [Agent]}]");
    EXPECT_TERM(ctx, GET((cop_pid){ cop_elem(cop_head(which), 1) }), "7");
}

TEST(AG_002_and_012_child_specs) {
    cop_term init = cop_agent_init_fun(ctx, first, COP_INT(7));
    EXPECT_TERM(ctx, cop_agent_child_spec(ctx, init),
                "%{id: Agent, start: {Agent, :start_link, [_]}}");
    EXPECT_INT(cop_map_size(cop_agent_child_spec(ctx, init)), 2);
    cop_term id = cop_tuple(ctx, cop_as("Elixir.Agent"), 1);
    cop_term spec = cop_supervisor_child_spec(ctx, cop_tuple(ctx, cop_as("Elixir.Agent"), init),
                                              cop_list(ctx, cop_tuple(ctx, cop_a(id), id)));
    EXPECT_TERM(ctx, spec, "%{id: {Agent, 1}, start: {Agent, :start_link, [_]}}");
}

/* use Agent, id: :id, restart: :temporary, shutdown: :infinity, start: {:foo, :bar, []} */
TEST(AG_002_the_spec_of_a_module) {
    cop_term foo = cop_tuple(ctx, cop_a(foo), cop_a(bar), COP_NIL);
    cop_term overrides = cop_list(
        ctx, cop_tuple(ctx, cop_a(id), cop_a(id)), cop_tuple(ctx, cop_a(restart), cop_a(temporary)),
        cop_tuple(ctx, cop_a(shutdown), cop_a(infinity)), cop_tuple(ctx, cop_a(start), foo));
    EXPECT_SAME(ctx, cop_child_spec_use(ctx, "Mine", COP_WORKER, COP_NIL, overrides),
                cop_map(ctx, cop_a(id), cop_a(id), cop_a(restart), cop_a(temporary),
                        cop_a(shutdown), cop_a(infinity), cop_a(start), foo));
    EXPECT_TERM(ctx, cop_child_spec_use(ctx, "Mine", COP_WORKER, COP_INT(1), COP_NONE),
                "%{id: Mine, start: {Mine, :start_link, [1]}}");
}

TEST(AG_003_the_life_of_an_agent) {
    cop_module_load(&calc);
    cop_term init = cop_fun_export(ctx, cop_as("Elixir.Calc"), cop_a(new), 0);
    cop_pid p = cop_agent_start_link(ctx, init, NULL).pid;
    EXPECT(cop_match(cop_head(cop_process_info(ctx, cop_self(ctx), cop_a(links))), p)
           || cop_list_length(cop_process_info(ctx, cop_self(ctx), cop_a(links))) > 1);
    EXPECT_TERM(ctx, cop_proc_lib_translate_initial_call(ctx, p), "{Calc, :new, 0}");
    cop_agent_update(ctx, p, CALC(put, cop_a(hello), cop_a(world)), 0);
    EXPECT_TERM(ctx, cop_agent_get(ctx, p, CALC(fetch, cop_a(hello)), 3000), ":world");
    EXPECT_TERM(ctx, cop_agent_get_and_update(ctx, p, CALC(pop, cop_a(hello)), 3000), ":world");
    EXPECT_TERM(ctx, GET(p), "%{}");
    cop_agent_stop(ctx, p, cop_a(normal), 0);
    EXPECT(!cop_process_is_alive(ctx, p));
}

TEST(AG_004_spawn_options) {
    cop_spawn_opts spawn = { .priority = COP_PRIORITY_HIGH };
    cop_pid p = cop_agent_start(ctx, cop_agent_init_fun(ctx, first, COP_INT(1)),
                                &(cop_start_opts){ .spawn = &spawn })
                    .pid;
    EXPECT_TERM(ctx, cop_process_info(ctx, p, cop_a(priority)), ":high");
}

TEST(AG_005_functions_by_name) {
    cop_module_load(&calc);
    cop_pid p = cop_agent_start(ctx, CALC(new), &(cop_start_opts){ .name = cop_a(agent) }).pid;
    EXPECT_TERM(ctx, cop_process_info(ctx, p, cop_a(registered_name)), ":agent");
    EXPECT_TERM(ctx, cop_proc_lib_translate_initial_call(ctx, p), "{Calc, :new, 0}");
    cop_agent_cast(ctx, cop_a(agent), CALC(put, cop_a(hello), cop_a(world)));
    EXPECT_TERM(ctx, cop_agent_get(ctx, cop_a(agent), CALC(fetch, cop_a(hello)), 0), ":world");
    EXPECT_TERM(ctx, cop_agent_get_and_update(ctx, cop_a(agent), CALC(pop, cop_a(hello)), 0),
                ":world");
    cop_agent_stop(ctx, p, cop_a(normal), 0);
    EXPECT(cop_is_none(cop_process_whereis(ctx, cop_a(agent))));
}

static cop_term change(cop_ctx *ctx, cop_pid p, cop_term function) {
    return cop_sys_change_code(ctx, p, cop_a(m), "vsn", function, 0);
}

TEST(AG_006_to_008_change_code_with_a_function) {
    cop_pid p = map_agent(ctx);
    cop_sys_suspend(ctx, p, 0);
    EXPECT_TERM(ctx, change(ctx, p, CALC(raise)), "{:error, {:EXIT, _}}");
    EXPECT_TERM(ctx, cop_sys_get_state(ctx, p, 0), "%{}");
    EXPECT_TERM(ctx, change(ctx, p, CALC(put, cop_a(hello), cop_a(world))), ":ok");
    cop_sys_resume(ctx, p, 0);
    EXPECT_TERM(ctx, cop_agent_get(ctx, p, CALC(fetch, cop_a(hello)), 0), ":world");
    cop_sys_suspend(ctx, p, 0);
    EXPECT_TERM(ctx, change(ctx, p, F(other, cop_a(new))), ":ok");
    EXPECT_TERM(ctx, cop_sys_get_state(ctx, p, 0), ":new");
}

static void links_to_a_failing_start(cop_ctx *ctx, cop_term arg) {
    cop_agent_start_link(ctx, cop_agent_init_fun(ctx, first_exits, cop_a(x).t), NULL);
}

TEST(AG_009_a_start_that_fails) {
    cop_started s = cop_agent_start(ctx, cop_agent_init_fun(ctx, first_raises, COP_NIL), NULL);
    EXPECT_TERM(ctx, cop_started_to_term(ctx, s),
                "{:error, {%RuntimeError{message: \"oops\"}, _}}");
    s = cop_agent_start(ctx, cop_agent_init_fun(ctx, first_exits, cop_a(x).t), NULL);
    EXPECT_TERM(ctx, cop_started_to_term(ctx, s), "{:error, :x}");
    cop_spawn_monitor(ctx, links_to_a_failing_start, COP_NIL);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :x}");
}

TEST(AG_010_a_counter) {
    cop_pid p = agent_of(ctx, COP_INT(42));
    EXPECT_TERM(ctx, cop_agent_get_and_update(ctx, p, F(take_and_add, COP_INT(1)), 0), "42");
    EXPECT_TERM(ctx, GET(p), "43");
    cop_module_load(&calc);
    cop_agent_update(ctx, p, CALC(plus, 11), 0);
    EXPECT_TERM(ctx, GET(p), "54");
    cop_agent_cast(ctx, p, F(add, COP_INT(1)));
    EXPECT_TERM(ctx, GET(p), "55");
}

TEST(AG_011_statistics_of_an_agent) {
    cop_pid p = agent_of(ctx, COP_INT(1));
    cop_agent_update(ctx, p, F(add, COP_INT(1)), 0);
    EXPECT_TERM(ctx, cop_sys_statistics(ctx, p, cop_a(get), 0), "{:ok, :no_statistics}");
    cop_sys_statistics(ctx, p, cop_a(true), 0);
    cop_agent_update(ctx, p, F(add, COP_INT(1)), 0);
    EXPECT_TERM(ctx, cop_sys_statistics(ctx, p, cop_a(get), 0),
                "{:ok, [start_time: _, current_time: _, reductions: _, messages_in: 1, "
                "messages_out: 1]}");
}

TEST(AG_013_a_slow_start_times_out) {
    cop_started s = cop_agent_start(ctx, cop_agent_init_fun(ctx, first_sleeps, COP_NIL),
                                    &(cop_start_opts){ .timeout_ms = 20 });
    EXPECT_TERM(ctx, cop_started_to_term(ctx, s), "{:error, :timeout}");
}

TEST(AG_014_a_name_that_is_taken) {
    cop_start_opts opts = { .name = cop_a(agent) };
    cop_pid p = cop_agent_start(ctx, cop_agent_init_fun(ctx, first, COP_INT(1)), &opts).pid;
    cop_started s = cop_agent_start(ctx, cop_agent_init_fun(ctx, first, COP_INT(2)), &opts);
    EXPECT_TERM(ctx, cop_started_to_term(ctx, s), "{:error, {:already_started, _}}");
    EXPECT_TERM(ctx, GET(p), "1");
}

TEST(AG_015_whatever_the_first_function_returns_is_the_state) {
    EXPECT_TERM(ctx, GET(agent_of(ctx, cop_tuple(ctx, cop_a(ok), 1, 5))), "{:ok, 1, 5}");
    EXPECT_TERM(ctx, GET(agent_of(ctx, cop_a(ignore).t)), ":ignore");
}

TEST(AG_016_what_the_first_function_throws_is_a_return_of_init) {
    cop_term ok = cop_tuple(ctx, cop_a(ok), cop_a(thrown));
    cop_started s = cop_agent_start(ctx, cop_agent_init_fun(ctx, first_throws, ok), NULL);
    EXPECT_INT(s.is, COP_STARTED);
    EXPECT_TERM(ctx, GET(s.pid), ":thrown");
    s = cop_agent_start(ctx, cop_agent_init_fun(ctx, first_throws, cop_a(ignore).t), NULL);
    EXPECT_INT(s.is, COP_IGNORE);
    s = cop_agent_start(ctx, cop_agent_init_fun(ctx, first_throws, cop_a(x).t), NULL);
    EXPECT_TERM(ctx, cop_started_to_term(ctx, s), "{:error, {:bad_return_value, :x}}");
}

/* ---- what functions may do --------------------------------------------------------------------------------- */

TEST(AG_017_a_function_that_raises) {
    cop_pid p = agent_of(ctx, COP_INT(1));
    cop_process_monitor(ctx, p);
    EXPECT_EXIT(
        ctx, "{{%RuntimeError{message: \"boom\"}, _}, {GenServer, :call, [_, {:get, _}, 5000]}}") {
        cop_agent_get(ctx, p, F(raises, COP_NIL), 0);
    }
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, {%RuntimeError{message: \"boom\"}, _}}");
}

TEST(AG_018_a_function_that_exits_or_throws) {
    EXPECT_EXIT(ctx, "{:bye, _}") {
        cop_agent_get(ctx, agent_of(ctx, COP_INT(1)), F(exits, cop_a(bye)), 0);
    }
    EXPECT_EXIT(ctx, "{{:bad_return_value, :ball}, _}") {
        cop_agent_get(ctx, agent_of(ctx, COP_INT(1)), F(throws, cop_a(ball)), 0);
    }
    cop_pid p = agent_of(ctx, COP_INT(1));
    cop_term reply = cop_tuple(ctx, cop_a(reply), cop_a(hacked), 2);
    EXPECT_TERM(ctx, cop_agent_get(ctx, p, F(throws, reply), 0), ":hacked");
    EXPECT_TERM(ctx, GET(p), "2");
    EXPECT_EXIT(ctx, "{:timeout, _}") {
        cop_agent_get(ctx, p, F(throws, cop_tuple(ctx, cop_a(noreply), 3)), 20);
    }
    EXPECT_TERM(ctx, GET(p), "3");
}

TEST(AG_019_get_and_update_must_return_a_pair) {
    EXPECT_EXIT(ctx, "{{:bad_return_value, :bad}, _}") {
        cop_agent_get_and_update(ctx, agent_of(ctx, COP_INT(1)), F(other, cop_a(bad)), 0);
    }
    EXPECT_EXIT(ctx, "{{:bad_return_value, {1, 2, 3}}, _}") {
        cop_agent_get_and_update(ctx, agent_of(ctx, COP_INT(1)), F(other, cop_tuple(ctx, 1, 2, 3)),
                                 0);
    }
}

TEST(AG_020_what_is_no_function_of_one_argument) {
    cop_pid p = agent_of(ctx, COP_INT(1));
    EXPECT_ERROR(ctx, "%FunctionClauseError{}") {
        cop_agent_get(ctx, p, cop_agent_init_fun(ctx, first, COP_NIL), 0);
    }
    EXPECT_ERROR(ctx, "%FunctionClauseError{}") { cop_agent_cast(ctx, p, cop_a(f).t); }
    EXPECT_ERROR(ctx, "%FunctionClauseError{}") { cop_agent_start(ctx, F(same, COP_NIL), NULL); }
    EXPECT_ERROR(ctx, "%FunctionClauseError{}") { cop_agent_get(ctx, p, F(same, COP_NIL), -5); }
    EXPECT_TERM(ctx, GET(p), "1");
}

TEST(AG_021_a_state_of_nil) {
    cop_pid p = agent_of(ctx, COP_INT(1));
    cop_agent_update(ctx, p, F(other, cop_a(nil)), 0);
    EXPECT_TERM(ctx, GET(p), "nil");
}

TEST(AG_022_timeouts_do_not_stop_the_function) {
    cop_pid p = agent_of(ctx, COP_INT(1));
    EXPECT_EXIT(ctx, "{:timeout, {GenServer, :call, [_, {:get, _}, 20]}}") {
        cop_agent_get(ctx, p, F(slow_add, COP_INT(1)), 20);
    }
    EXPECT_EXIT(ctx, "{:timeout, _}") { cop_agent_update(ctx, p, F(slow_add, COP_INT(1)), 10); }
    EXPECT_TERM(ctx, GET(p), "2");
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

TEST(AG_023_nobody_of_that_name) {
    cop_atom nobody = cop_a(nosuchagent);
    EXPECT_EXIT(ctx, "{:noproc, {GenServer, :call, [:nosuchagent, {:get, _}, 5000]}}") {
        GET(nobody);
    }
    cop_agent_cast(ctx, nobody, F(same, COP_NIL));
    EXPECT_EXIT(ctx, "{:noproc, {GenServer, :stop, [:nosuchagent, :normal, :infinity]}}") {
        cop_agent_stop(ctx, nobody, cop_a(normal), 0);
    }
}

TEST(AG_024_functions_of_one_client_run_in_order) {
    cop_pid p = agent_of(ctx, COP_NIL);
    for (int i = 1; i <= 5; i++)
        cop_agent_cast(ctx, p, F(prepend, COP_INT(i)));
    EXPECT_TERM(ctx, GET(p), "[5, 4, 3, 2, 1]");
}

TEST(AG_025_an_agent_that_asks_itself) {
    EXPECT_EXIT(ctx, "{{:calling_self, _}, _}") {
        cop_agent_get(ctx, agent_of(ctx, COP_INT(1)), F(get_of_itself, COP_NIL), 0);
    }
}

TEST(AG_026_functions_run_in_the_agent) {
    cop_pid p = agent_of(ctx, COP_INT(1));
    EXPECT_SAME(ctx, cop_agent_get(ctx, p, F(who, COP_NIL), 0), p);
}

TEST(AG_027_a_plain_message_is_logged_and_ignored) {
    test_capture_log(ctx);
    cop_pid p = agent_of(ctx, COP_INT(1));
    cop_send(ctx, p, cop_a(plain));
    EXPECT_TERM(ctx, GET(p), "1");
    ASSERT_RECEIVE(ctx, "{:log, :error, {:report, %{label: {GenServer, :no_handle_info}, report: "
                        "%{module: Agent.Server, message: :plain}}}, _}");
}

TEST(AG_028_unknown_requests) {
    EXPECT_EXIT(ctx,
                "{{:function_clause, [{Agent.Server, :handle_call, [:bad, _, 1], _} | _]}, _}") {
        cop_gen_server_call(ctx, agent_of(ctx, COP_INT(1)), cop_a(bad), 0);
    }
    cop_pid p = agent_of(ctx, COP_INT(1));
    cop_process_monitor(ctx, p);
    cop_gen_server_cast(ctx, p, cop_a(bad));
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, {:function_clause, [{Agent.Server, :handle_cast, "
                        "[:bad, 1], _} | _]}}");
}

TEST(AG_029_raw_requests) {
    cop_module_load(&calc);
    cop_pid p = agent_of(ctx, COP_INT(1));
    cop_term from = cop_tuple(ctx, cop_self(ctx), cop_a(r));
    cop_term get = cop_tuple(ctx, cop_a(get), CALC(plus, 5));
    cop_send(ctx, p, cop_tuple(ctx, cop_as("$gen_call"), from, get));
    ASSERT_RECEIVE(ctx, "{:r, 6}");
    cop_term update = cop_tuple(ctx, cop_a(update), CALC(plus, 5));
    cop_send(ctx, p, cop_tuple(ctx, cop_as("$gen_call"), from, update));
    ASSERT_RECEIVE(ctx, "{:r, :ok}");
    cop_term cast = cop_tuple(ctx, cop_a(cast), CALC(plus, 6));
    cop_send(ctx, p, cop_tuple(ctx, cop_as("$gen_cast"), cast));
    EXPECT_TERM(ctx, GET(p), "12");
}

TEST(AG_030_a_function_that_does_not_exist) {
    cop_module_load(&calc);
    cop_pid p = agent_of(ctx, COP_INT(1));
    EXPECT_EXIT(ctx, "{{:undef, [{Calc, :nofun, [1], []} | _]}, _}") {
        cop_agent_get(ctx, p, CALC(nofun), 0);
    }
    EXPECT(!cop_process_is_alive(ctx, p));
}

TEST(AG_031_other_addresses) {
    cop_term via = cop_tuple(ctx, cop_a(global), cop_tuple(ctx, cop_a(an), cop_a(agent)));
    cop_agent_start(ctx, cop_agent_init_fun(ctx, first, COP_INT(1)),
                    &(cop_start_opts){ .via = via });
    EXPECT_TERM(ctx, GET(via), "1");
    cop_agent_start(ctx, cop_agent_init_fun(ctx, first, COP_INT(2)),
                    &(cop_start_opts){ .name = cop_a(agent) });
    EXPECT_TERM(ctx, GET(cop_tuple(ctx, cop_a(agent), cop_as("nonode@nohost"))), "2");
}

TEST(AG_032_get_status) {
    EXPECT_TERM(ctx, cop_sys_get_status(ctx, map_agent(ctx), 0),
                "{:status, _, {:module, :gen_server}, [[_, {:\"$initial_call\", {Calc, :new, 0}}], "
                ":running, _, [], [_, _, {:data, [{~c\"State\", %{}}]}]]}");
}
