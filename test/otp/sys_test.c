/* SPDX-License-Identifier: Apache-2.0 */
/* sys, by the spec's cases (observed on Elixir 1.14 / OTP 25). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "srv.h"

static cop_term add_one(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    int64_t n = 0;
    cop_get_i64(argv[0], &n);
    cop_send(ctx, env, cop_tuple(ctx, cop_a(ran_in), cop_self(ctx)));
    return cop_of(ctx, n + 1);
}

static cop_term raises(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    if (cop_match(env, cop_a(error)))
        cop_raise(ctx, "RuntimeError", "x");
    if (cop_match(env, cop_a(exit)))
        cop_exit(ctx, cop_a(x));
    cop_throw(ctx, cop_a(x));
}

static cop_pid numbered(cop_ctx *ctx) { return start_srv(ctx, COP_INT(4), NULL); }

TEST(SY_001_get_state_by_pid_and_name) {
    cop_pid p = start_srv(ctx, COP_INT(4), &(cop_start_opts){ .name = cop_a(sysnamed) });
    EXPECT_TERM(ctx, cop_sys_get_state(ctx, p, 0), "4");
    EXPECT_TERM(ctx, cop_sys_get_state(ctx, cop_a(sysnamed), 0), "4");
    cop_term here = cop_tuple(ctx, cop_a(sysnamed), cop_as("nonode@nohost"));
    EXPECT_TERM(ctx, cop_sys_get_state(ctx, here, 0), "4");
}

TEST(SY_002_nobody_of_that_name) {
    EXPECT_EXIT(ctx, "{:noproc, {:sys, :get_state, [:nosys]}}") {
        cop_sys_get_state(ctx, cop_a(nosys), 0);
    }
    EXPECT_EXIT(ctx, "{:noproc, {:sys, :get_state, [:nosys, 100]}}") {
        cop_sys_get_state(ctx, cop_a(nosys), 100);
    }
    EXPECT_EXIT(ctx, "{:noproc, {:sys, {:debug, :no_debug}, [:nosys]}}") {
        cop_sys_no_debug(ctx, cop_a(nosys), 0);
    }
    EXPECT_EXIT(ctx, "{:noproc, {:sys, :statistics, [:nosys, true, 7]}}") {
        cop_sys_statistics(ctx, cop_a(nosys), cop_a(true), 7);
    }
    EXPECT_EXIT(ctx, "{:noproc, {:sys, :change_code, [:nosys, :m, :v, []]}}") {
        cop_sys_change_code(ctx, cop_a(nosys), cop_a(m), cop_a(v), COP_NIL, 0);
    }
    EXPECT_EXIT(ctx, "{:noproc, {:sys, {:replace_state, :f}, [:nosys]}}") {
        cop_sys_replace_state(ctx, cop_a(nosys), cop_a(f).t, 0);
    }
}

static void ends_when_asked(cop_ctx *ctx, cop_term arg) {
    cop_term message;
    cop_receive(ctx, COP_INFINITY, &message);
}

TEST(SY_003_who_does_not_answer) {
    EXPECT_EXIT(ctx, "{:timeout, {:sys, :get_state, [_, 20]}}") {
        cop_sys_get_state(ctx, test_idle_pid(ctx), 20);
    }
    EXPECT_EXIT(ctx, "{:calling_self, {:sys, :get_state, [_]}}") {
        cop_sys_get_state(ctx, cop_self(ctx), 0);
    }
    cop_pid p = cop_spawn(ctx, ends_when_asked, COP_NIL);
    EXPECT_EXIT(ctx, "{:normal, {:sys, :get_state, [_]}}") { cop_sys_get_state(ctx, p, 0); }
}

TEST(SY_004_a_state_that_looks_like_an_error) {
    cop_pid p = start_srv(ctx, cop_tuple(ctx, cop_a(error), cop_a(foo)), NULL);
    EXPECT_ERROR(ctx, ":foo") { cop_sys_get_state(ctx, p, 0); }
}

TEST(SY_005_replace_state_runs_in_the_server) {
    cop_pid p = numbered(ctx);
    cop_term fun = cop_fun(ctx, add_one, 1, cop_self(ctx).t);
    EXPECT_TERM(ctx, cop_sys_replace_state(ctx, p, fun, 0), "5");
    EXPECT_TERM(ctx, cop_sys_get_state(ctx, p, 0), "5");
    cop_term message = ASSERT_RECEIVE(ctx, "{:ran_in, _}");
    EXPECT_SAME(ctx, cop_elem(message, 1), p);
}

TEST(SY_006_a_fun_that_raises_leaves_the_state) {
    cop_pid p = numbered(ctx);
#define CALLBACK_FAILED "{:callback_failed, {:gen_server, :system_replace_state}, "
    EXPECT_ERROR(ctx, CALLBACK_FAILED "{:error, %RuntimeError{message: \"x\"}}}") {
        cop_sys_replace_state(ctx, p, cop_fun(ctx, raises, 1, cop_a(error).t), 0);
    }
    EXPECT_ERROR(ctx, CALLBACK_FAILED "{:exit, :x}}") {
        cop_sys_replace_state(ctx, p, cop_fun(ctx, raises, 1, cop_a(exit).t), 0);
    }
    EXPECT_ERROR(ctx, CALLBACK_FAILED "{:throw, :x}}") {
        cop_sys_replace_state(ctx, p, cop_fun(ctx, raises, 1, cop_a(throw).t), 0);
    }
    EXPECT_TERM(ctx, cop_sys_get_state(ctx, p, 0), "4");
}

/* The header of an unnamed server, which ends with its pid as Erlang writes it. */
static void expect_header(cop_ctx *ctx, cop_term status, cop_pid p) {
    char pid[64], text[200], line[120];
    cop_inspect_to(pid, sizeof pid, p.t, NULL);
    snprintf(line, sizeof line, "Status for generic server %s", pid + 4);
    cop_term misc = cop_head(cop_tail(cop_tail(cop_tail(cop_tail(cop_elem(status, 3))))));
    EXPECT_SAME(ctx, cop_elem(cop_head(misc), 1), cop_charlist(ctx, line));
    cop_inspect_to(text, sizeof text, cop_elem(cop_head(misc), 0), NULL);
    EXPECT_STR(text, ":header");
}

TEST(SY_007_get_status_of_a_linked_server) {
    cop_pid p = link_srv(ctx, COP_INT(4), false);
    cop_term status = cop_sys_get_status(ctx, p, 0);
    EXPECT_TERM(ctx, status,
                "{:status, _, {:module, :gen_server}, [[{:\"$ancestors\", [_]}, "
                "{:\"$initial_call\", {Srv, :init, 1}}], :running, _, [], [{:header, _}, {:data, "
                "[{~c\"Status\", :running}, {~c\"Parent\", _}, {~c\"Logged events\", []}]}, "
                "{:data, [{~c\"State\", 4}]}]]}");
    expect_header(ctx, status, p);
    EXPECT_SAME(ctx, cop_head(cop_tail(cop_tail(cop_elem(status, 3)))), cop_self(ctx));
}

TEST(SY_008_statistics_in_the_status) {
    cop_pid p = numbered(ctx);
    cop_sys_statistics(ctx, p, cop_a(true), 0);
    cop_gen_server_call(ctx, p, cop_a(get), 0);
    EXPECT_TERM(ctx, cop_sys_get_status(ctx, p, 0),
                "{:status, _, _, [_, :running, _, [statistics: {{{_, _, _}, {_, _, _}}, "
                "{:reductions, _}, 1, 1}], _]}");
}

TEST(SY_009_headers_of_named_servers) {
    cop_pid p = start_srv(ctx, COP_INT(4), &(cop_start_opts){ .name = cop_a(sysnamed) });
    cop_term status = cop_sys_get_status(ctx, p, 0);
    EXPECT_TERM(
        ctx, status,
        "{_, _, _, [_, _, _, _, [{:header, ~c\"Status for generic server sysnamed\"}, _, _]]}");
    EXPECT_SAME(ctx, cop_head(cop_tail(cop_tail(cop_elem(status, 3)))), p);
}

TEST(SY_010_the_status_of_a_suspended_one) {
    cop_pid p = numbered(ctx);
    EXPECT_TERM(ctx, cop_sys_suspend(ctx, p, 0), ":ok");
    EXPECT_TERM(ctx, cop_sys_get_status(ctx, p, 0),
                "{:status, _, _, [_, :suspended, _, [], [_, {:data, [{~c\"Status\", :suspended}, "
                "_, _]}, _]]}");
}

TEST(SY_011_logged_events_in_the_status) {
    cop_pid p = numbered(ctx);
    cop_sys_log(ctx, p, cop_a(true), 0);
    cop_gen_server_cast(ctx, p, cop_a(c));
    EXPECT_TERM(ctx, cop_sys_get_status(ctx, p, 0),
                "{:status, _, _, [_, _, _, [{:log, _}], [_, {:data, [_, _, {~c\"Logged events\", "
                "[in: {:\"$gen_cast\", :c}, noreply: 4]}]}, _]]}");
}

TEST(SY_012_statistics_off_on_and_off) {
    cop_pid p = numbered(ctx);
    EXPECT_TERM(ctx, cop_sys_statistics(ctx, p, cop_a(get), 0), "{:ok, :no_statistics}");
    EXPECT_TERM(ctx, cop_sys_statistics(ctx, p, cop_a(true), 0), ":ok");
    cop_gen_server_call(ctx, p, cop_a(get), 0);
    EXPECT_TERM(ctx, cop_sys_statistics(ctx, p, cop_a(get), 0),
                "{:ok, [start_time: {{_, _, _}, {_, _, _}}, current_time: {{_, _, _}, {_, _, _}}, "
                "reductions: _, messages_in: 1, messages_out: 1]}");
    EXPECT_TERM(ctx, cop_sys_statistics(ctx, p, cop_a(false), 0), ":ok");
    EXPECT_TERM(ctx, cop_sys_statistics(ctx, p, cop_a(get), 0), "{:ok, :no_statistics}");
}

static void expect_counts(cop_ctx *ctx, cop_pid p, const char *in_and_out) {
    cop_term got = cop_elem(cop_sys_statistics(ctx, p, cop_a(get), 0), 1);
    EXPECT_TERM(ctx, cop_tail(cop_tail(cop_tail(got))), in_and_out);
    cop_sys_no_debug(ctx, p, 0);
    cop_sys_statistics(ctx, p, cop_a(true), 0);
}

TEST(SY_013_what_statistics_count) {
    cop_pid p = numbered(ctx);
    cop_sys_statistics(ctx, p, cop_a(true), 0);
    cop_gen_server_call(ctx, p, cop_a(get), 0);
    cop_gen_server_cast(ctx, p, cop_a(c));
    cop_send(ctx, p, cop_a(m));
    cop_sys_statistics(ctx, p, cop_a(true), 0);
    expect_counts(ctx, p, "[messages_in: 3, messages_out: 1]");
    EXPECT_TERM(ctx, cop_gen_server_call(ctx, p, cop_a(explicit), 0), ":early");
    expect_counts(ctx, p, "[messages_in: 1, messages_out: 0]");
    cop_gen_server_cast(ctx, p, cop_tuple(ctx, cop_a(timeout), 10));
    ASSERT_RECEIVE(ctx, "{:info, :timeout}");
    expect_counts(ctx, p, "[messages_in: 2, messages_out: 0]");
    cop_gen_server_cast(ctx, p, cop_tuple(ctx, cop_a(continue), cop_a(x)));
    expect_counts(ctx, p, "[messages_in: 1, messages_out: 0]");
    EXPECT_TERM(ctx, cop_sys_statistics(ctx, p, cop_a(bad), 0), ":unknown_debug");
}

TEST(SY_014_the_log_has_what_came_and_what_was_returned) {
    cop_pid p = start_srv(ctx, COP_INT(1), NULL);
    EXPECT_TERM(ctx, cop_sys_log(ctx, p, cop_a(get), 0), "{:ok, []}");
    EXPECT_TERM(ctx, cop_sys_log(ctx, p, cop_a(true), 0), ":ok");
    cop_gen_server_call(ctx, p, cop_a(get), 0);
    cop_send(ctx, p, cop_a(m));
    EXPECT_TERM(ctx, cop_sys_log(ctx, p, cop_a(get), 0),
                "{:ok, [{:in, {:\"$gen_call\", _, :get}}, {:out, 1, _, 1}, {:in, :m}, "
                "{:noreply, 1}]}");
}

TEST(SY_015_the_size_of_the_log) {
    cop_pid p = start_srv(ctx, COP_INT(1), NULL);
    cop_sys_log(ctx, p, cop_a(true), 0);
    for (int i = 0; i < 12; i++)
        cop_gen_server_call(ctx, p, cop_a(get), 0);
    EXPECT_INT(cop_list_length(cop_elem(cop_sys_log(ctx, p, cop_a(get), 0), 1)), 10);
    cop_sys_log(ctx, p, cop_a(false), 0);
    cop_sys_log(ctx, p, cop_tuple(ctx, cop_a(true), 3), 0);
    for (int i = 1; i <= 4; i++)
        cop_send(ctx, p, i);
    EXPECT_TERM(ctx, cop_sys_log(ctx, p, cop_a(get), 0), "{:ok, [noreply: 1, in: 4, noreply: 1]}");
    EXPECT_TERM(ctx, cop_sys_log(ctx, p, cop_tuple(ctx, cop_a(true), 2), 0), ":ok");
    EXPECT_INT(cop_list_length(cop_elem(cop_sys_log(ctx, p, cop_a(get), 0), 1)), 3);
    EXPECT_TERM(ctx, cop_sys_log(ctx, p, cop_tuple(ctx, cop_a(true), 0), 0), ":unknown_debug");
}

TEST(SY_016_events_of_continues_and_timeouts) {
    cop_pid p = start_srv(ctx, COP_INT(1), NULL);
    cop_sys_log(ctx, p, cop_a(true), 0);
    cop_gen_server_cast(ctx, p, cop_tuple(ctx, cop_a(continue), cop_a(cc)));
    cop_gen_server_cast(ctx, p, cop_tuple(ctx, cop_a(timeout), 10));
    ASSERT_RECEIVE(ctx, "{:info, :timeout}");
    EXPECT_TERM(ctx, cop_sys_log(ctx, p, cop_a(get), 0),
                "{:ok, [{:in, _}, {:noreply, 1}, {:continue, :cc}, {:noreply, 1}, {:in, _}, "
                "{:noreply, 1}, {:in, :timeout}, {:noreply, 1}]}");
}

static void make_trace(cop_ctx *ctx, cop_term arg) {
    cop_started s = try_srv(ctx, &one_srv, COP_INT(1), false,
                            &(cop_start_opts){ .name = cop_as("Elixir.TrNamed") });
    EXPECT(cop_match(cop_sys_trace(ctx, s.pid, cop_a(true), 0), cop_a(ok)));
    cop_gen_server_call(ctx, s.pid, cop_a(get), 0);
    cop_gen_server_cast(ctx, s.pid, cop_tuple(ctx, cop_a(continue), "c"));
    cop_send(ctx, s.pid, cop_charlist(ctx, "abc"));
    cop_sys_trace(ctx, s.pid, cop_a(false), 0);
    cop_gen_server_call(ctx, s.pid, cop_a(get), 0);
}

TEST(SY_017_trace_prints_a_line_for_each_event) {
    char pid[64], text[600];
    cop_inspect_to(pid, sizeof pid, cop_self(ctx).t, NULL);
    snprintf(text, sizeof text,
             "*DBG* 'Elixir.TrNamed' got call get from %s\n"
             "*DBG* 'Elixir.TrNamed' sent 1 to %s, new state 1\n"
             "*DBG* 'Elixir.TrNamed' got cast {continue,<<\"c\">>}\n"
             "*DBG* 'Elixir.TrNamed' new state 1\n"
             "*DBG* 'Elixir.TrNamed' dbg  {continue,<<\"c\">>}\n"
             "*DBG* 'Elixir.TrNamed' new state 1\n"
             "*DBG* 'Elixir.TrNamed' got \"abc\"\n"
             "*DBG* 'Elixir.TrNamed' new state 1\n",
             pid + 4, pid + 4);
    EXPECT_SAME(ctx, test_capture_io(ctx, "", make_trace, COP_NIL), cop_of(ctx, text));
}

TEST(SY_018_log_to_file, .real_time = true) {
    char path[] = "/tmp/coppice-sys-XXXXXX";
    int fd = mkstemp(path);
    EXPECT(fd >= 0);
    cop_pid p = start_srv(ctx, COP_INT(1), NULL);
    EXPECT_TERM(ctx, cop_sys_log_to_file(ctx, p, path, 0), ":ok");
    cop_gen_server_call(ctx, p, cop_a(get), 0);
    EXPECT_TERM(ctx, cop_sys_log_to_file(ctx, p, cop_a(false), 0), ":ok");
    cop_gen_server_call(ctx, p, cop_a(get), 0);
    cop_bytes bytes;
    cop_term content = cop_elem(cop_file_read(ctx, path), 1);
    EXPECT(cop_get_bytes(content, &bytes));
    int lines = 0;
    for (size_t i = 0; i < bytes.size; i++)
        lines += bytes.data[i] == '\n';
    EXPECT_INT(lines, 2);
    close(fd);
    unlink(path);
    EXPECT_TERM(ctx, cop_sys_log_to_file(ctx, p, "/no/such/folder/f", 0), "{:error, :open_file}");
}

/* Tells `env` of each event; its state counts. */
static cop_term counts(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    int64_t n = 0;
    cop_get_i64(argv[0], &n);
    cop_send(ctx, env, cop_tuple(ctx, cop_a(dbg), argv[0], argv[1], argv[2]));
    return cop_of(ctx, n + 1);
}

/* Tells, and then does what its state says. */
static cop_term obeys(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    cop_send(ctx, env, cop_tuple(ctx, cop_a(dbg), argv[0], argv[1]));
    if (cop_match(argv[0], cop_a(raise)))
        cop_raise(ctx, "RuntimeError", "x");
    if (cop_match(argv[0], cop_a(throw)))
        cop_throw(ctx, cop_a(thrown));
    return cop_match(argv[0], cop_a(thrown)) ? argv[0] : cop_a(done).t;
}

TEST(SY_019_an_installed_function_sees_each_event) {
    cop_pid p = start_srv(ctx, COP_INT(1), &(cop_start_opts){ .name = cop_a(named) });
    cop_term fun = cop_fun(ctx, counts, 3, cop_self(ctx).t);
    EXPECT_TERM(ctx, cop_sys_install(ctx, p, cop_tuple(ctx, fun, 0), 0), ":ok");
    cop_send(ctx, p, cop_a(m));
    ASSERT_RECEIVE(ctx, "{:dbg, 0, {:in, :m}, :named}");
    ASSERT_RECEIVE(ctx, "{:dbg, 1, {:noreply, 1}, :named}");
}

TEST(SY_020_the_same_function_or_id_twice) {
    cop_pid p = start_srv(ctx, COP_INT(1), NULL);
    cop_term fun = cop_fun(ctx, counts, 3, cop_self(ctx).t);
    cop_sys_install(ctx, p, cop_tuple(ctx, cop_a(id), fun, 0), 0);
    cop_sys_install(ctx, p, cop_tuple(ctx, cop_a(id), fun, 50), 0);
    cop_gen_server_call(ctx, p, cop_a(get), 0);
    ASSERT_RECEIVE(ctx, "{:dbg, 0, _, _}");
    ASSERT_RECEIVE(ctx, "{:dbg, 1, _, _}");
    EXPECT_TERM(ctx, cop_sys_remove(ctx, p, cop_a(id), 0), ":ok");
    EXPECT_TERM(ctx, cop_sys_remove(ctx, p, cop_a(zzz), 0), ":ok");
    cop_gen_server_call(ctx, p, cop_a(get), 0);
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
    cop_sys_install(ctx, p, cop_tuple(ctx, fun, 0), 0);
    cop_sys_install(ctx, p, cop_tuple(ctx, fun, 50), 0);
    cop_send(ctx, p, cop_a(m));
    cop_gen_server_call(ctx, p, cop_a(get), 0);
    cop_sys_get_state(ctx, p, 0);
    EXPECT_TERM(
        ctx, test_flush(ctx),
        "[{:dbg, 0, _, _}, {:info, :m}, {:dbg, 1, _, _}, {:dbg, 2, _, _}, {:dbg, 3, _, _}]");
}

TEST(SY_021_a_function_that_is_done_raises_or_throws) {
    cop_pid p = start_srv(ctx, COP_INT(1), NULL);
    cop_term fun = cop_fun(ctx, obeys, 3, cop_self(ctx).t);
    cop_sys_install(ctx, p, cop_tuple(ctx, cop_a(a), fun, cop_a(raise)), 0);
    cop_gen_server_call(ctx, p, cop_a(get), 0);
    EXPECT_TERM(ctx, test_flush(ctx), "[{:dbg, :raise, {:in, _}}]");
    cop_sys_install(ctx, p, cop_tuple(ctx, cop_a(b), fun, cop_a(done)), 0);
    cop_gen_server_call(ctx, p, cop_a(get), 0);
    EXPECT_TERM(ctx, test_flush(ctx), "[{:dbg, :done, {:in, _}}]");
    cop_sys_install(ctx, p, cop_tuple(ctx, fun, cop_a(throw)), 0);
    cop_gen_server_call(ctx, p, cop_a(get), 0);
    cop_sys_get_state(ctx, p, 0); /* the event of a reply comes after it */
    EXPECT_TERM(ctx, test_flush(ctx),
                "[{:dbg, :throw, {:in, _}}, {:dbg, :thrown, {:out, _, _, _}}]");
}

TEST(SY_022_no_debug_removes_all) {
    cop_pid p = numbered(ctx);
    cop_sys_statistics(ctx, p, cop_a(true), 0);
    cop_sys_log(ctx, p, cop_a(true), 0);
    EXPECT_TERM(ctx, cop_sys_no_debug(ctx, p, 0), ":ok");
    EXPECT_TERM(ctx, cop_sys_statistics(ctx, p, cop_a(get), 0), "{:ok, :no_statistics}");
    EXPECT_TERM(ctx, cop_sys_log(ctx, p, cop_a(get), 0), "{:ok, []}");
}

TEST(SY_023_what_comes_while_it_is_suspended_waits) {
    cop_pid p = numbered(ctx);
    cop_sys_suspend(ctx, p, 0);
    cop_send(ctx, p, cop_a(first));
    cop_gen_server_cast(ctx, p, cop_a(second));
    EXPECT_TERM(ctx, cop_sys_get_state(ctx, p, 0), "4");
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
    EXPECT_TERM(ctx, cop_sys_resume(ctx, p, 0), ":ok");
    cop_gen_server_call(ctx, p, cop_a(get), 0);
    EXPECT_TERM(ctx, test_flush(ctx), "[{:info, :first}, {:cast, :second}]");
}

TEST(SY_024_a_call_to_a_suspended_server_times_out) {
    cop_pid p = numbered(ctx);
    cop_sys_suspend(ctx, p, 0);
    EXPECT_EXIT(ctx, "{:timeout, _}") { cop_gen_server_call(ctx, p, cop_a(get), 30); }
}

TEST(SY_025_suspends_are_not_counted) {
    cop_pid p = numbered(ctx);
    cop_sys_suspend(ctx, p, 0);
    cop_sys_suspend(ctx, p, 0);
    cop_sys_resume(ctx, p, 0);
    EXPECT_TERM(ctx, cop_gen_server_call(ctx, p, cop_a(get), 0), "4");
    EXPECT_TERM(ctx, cop_sys_resume(ctx, p, 0), ":ok");
}

TEST(SY_026_replace_state_of_a_suspended_one) {
    cop_pid p = numbered(ctx);
    cop_sys_suspend(ctx, p, 0);
    EXPECT_TERM(ctx, cop_sys_replace_state(ctx, p, cop_fun(ctx, add_one, 1, cop_self(ctx).t), 0),
                "5");
}

TEST(SY_027_a_timeout_does_not_fire_while_suspended) {
    cop_pid p = numbered(ctx);
    cop_gen_server_call(ctx, p, cop_tuple(ctx, cop_a(timeout), 30), 0);
    cop_sys_suspend(ctx, p, 0);
    REFUTE_RECEIVE(ctx, "{:info, :timeout}", 60);
    cop_sys_resume(ctx, p, 0);
    ASSERT_RECEIVE(ctx, "{:info, :timeout}");
}

static void parent_of_suspended(cop_ctx *ctx, cop_term watcher) {
    cop_term arg = cop_tuple(ctx, 4, watcher, cop_a(true));
    cop_started s = cop_gen_server_start_link(ctx, &one_srv, arg, NULL);
    cop_sys_suspend(ctx, s.pid, 0);
    cop_send(ctx, watcher, cop_tuple(ctx, cop_a(child), s.pid));
    cop_exit(ctx, cop_a(shutdown));
}

TEST(SY_028_a_suspended_server_ends_with_its_parent_and_by_stop) {
    cop_spawn(ctx, parent_of_suspended, cop_self(ctx).t);
    cop_term message = ASSERT_RECEIVE(ctx, "{:child, _}");
    cop_pid child;
    EXPECT(cop_get_pid(cop_elem(message, 1), &child));
    ASSERT_RECEIVE(ctx, "{:terminate, :shutdown, 4}");
    test_await_down(ctx, child);
    cop_pid p = numbered(ctx);
    cop_sys_suspend(ctx, p, 0);
    cop_gen_server_stop(ctx, p, cop_a(normal), 0);
    ASSERT_RECEIVE(ctx, "{:terminate, :normal, 4}");
}

TEST(SY_029_hibernation_goes_on_after_a_system_message) {
    cop_pid p = numbered(ctx);
    cop_gen_server_call(ctx, p, cop_a(hibernate), 0);
    EXPECT_TERM(ctx, cop_sys_get_state(ctx, p, 0), "4");
    REFUTE_RECEIVE(ctx, "_", 10); /* it answers before it hibernates again */
    EXPECT_TERM(ctx, cop_process_info(ctx, p, cop_a(current_function)), "{:erlang, :hibernate, 3}");
    cop_sys_suspend(ctx, p, 0);
    cop_send(ctx, p, cop_a(plain));
    EXPECT_TERM(ctx, cop_process_info(ctx, p, cop_a(message_queue_len)), "1");
    cop_sys_resume(ctx, p, 0);
    ASSERT_RECEIVE(ctx, "{:info, :plain}");
}

static void expect_hibernating(cop_ctx *ctx, cop_pid p) {
    REFUTE_RECEIVE(ctx, "_", 10); /* it answers before it hibernates */
    EXPECT_TERM(ctx, cop_process_info(ctx, p, cop_a(current_function)), "{:erlang, :hibernate, 3}");
}

/* OTP's shows the same, but wakes for each plain message (its reductions go on growing, observed). */
TEST(SY_029_a_hibernating_server_hibernates_in_suspension) {
    cop_pid p = numbered(ctx);
    cop_gen_server_call(ctx, p, cop_a(hibernate), 0);
    cop_sys_suspend(ctx, p, 0);
    expect_hibernating(ctx, p);
    for (int i = 0; i < 3; i++)
        cop_send(ctx, p, cop_a(plain)); /* wakes nobody */
    expect_hibernating(ctx, p);
    EXPECT_TERM(ctx, cop_process_info(ctx, p, cop_a(message_queue_len)), "3");
    EXPECT_TERM(ctx, cop_sys_get_state(ctx, p, 0), "4");
    expect_hibernating(ctx, p);
    cop_sys_resume(ctx, p, 0);
    for (int i = 0; i < 3; i++)
        ASSERT_RECEIVE(ctx, "{:info, :plain}");
    EXPECT_TERM(ctx, cop_gen_server_call(ctx, p, cop_a(get), 0), "4");
}

TEST(SY_029_it_ends_by_stop_and_by_what_is_no_request) {
    for (int i = 0; i < 2; i++) {
        cop_pid p = start_srv(ctx, COP_INT(4), &(cop_start_opts){ .hibernate_after_ms = COP_ZERO });
        cop_sys_suspend(ctx, p, 0);
        expect_hibernating(ctx, p);
        cop_process_unlink(ctx, p);
        cop_process_monitor(ctx, p);
        if (i == 0)
            cop_gen_server_stop(ctx, p, cop_a(normal), 0);
        else
            cop_send(ctx, p, cop_tuple(ctx, cop_a(system), cop_a(bad), cop_a(get_state)));
        cop_term down = ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, _}");
        EXPECT_TERM(ctx, cop_elem(down, 4), i == 0 ? ":normal" : "{:function_clause, _}");
        ASSERT_RECEIVE(ctx, "{:terminate, _, 4}");
    }
}

TEST(SY_029_one_that_went_to_sleep_by_itself_hibernates_in_suspension) {
    cop_pid p = start_srv(ctx, COP_INT(4), &(cop_start_opts){ .hibernate_after_ms = 5 });
    cop_process_sleep(ctx, 200);
    cop_sys_suspend(ctx, p, 0);
    expect_hibernating(ctx, p);
    cop_sys_resume(ctx, p, 0);
    EXPECT_TERM(ctx, cop_gen_server_call(ctx, p, cop_a(get), 0), "4");
}

TEST(SY_030_change_code_of_a_running_server_is_unknown) {
    cop_term extra = cop_tuple(ctx, cop_a(ok), 2);
    EXPECT_TERM(ctx, cop_sys_change_code(ctx, numbered(ctx), cop_a(cc), cop_a(v), extra, 0),
                "{:error, {:unknown_system_msg, {:change_code, :cc, :v, {:ok, 2}}}}");
}

static cop_term change(cop_ctx *ctx, cop_pid p, cop_term extra) {
    return cop_sys_change_code(ctx, p, cop_a(m), cop_a(undefined), extra, 0);
}

TEST(SY_031_change_code_and_what_it_may_answer) {
    cop_pid p = numbered(ctx);
    cop_sys_suspend(ctx, p, 0);
    EXPECT_TERM(ctx, change(ctx, p, cop_tuple(ctx, cop_a(ok), 2)), ":ok");
    ASSERT_RECEIVE(ctx, "{:code_change, :undefined}");
    EXPECT_TERM(ctx, change(ctx, p, cop_tuple(ctx, cop_a(error), cop_a(nope))),
                "{:error, {:error, :nope}}");
    EXPECT_TERM(ctx, change(ctx, p, cop_a(bad).t), "{:error, :bad}");
    EXPECT_TERM(ctx, change(ctx, p, cop_a(raise).t),
                "{:error, {:EXIT, {%RuntimeError{message: \"cc\"}, _}}}");
    EXPECT_TERM(ctx, cop_sys_get_state(ctx, p, 0), "2");
}

static const cop_gen_server bare_server = { .name = "Bare",
                                            .state_size = sizeof(struct one),
                                            .state_terms = 2,
                                            .init = one_init,
                                            .state_to_term = one_to_term };

TEST(SY_032_change_code_by_default_changes_nothing) {
    cop_pid p = try_srv(ctx, &bare_server, COP_INT(4), false, NULL).pid;
    cop_sys_suspend(ctx, p, 0);
    EXPECT_TERM(ctx, change(ctx, p, COP_NIL), ":ok");
    EXPECT_TERM(ctx, cop_sys_get_state(ctx, p, 0), "4");
}

TEST(SY_033_terminate) {
    cop_pid p = numbered(ctx);
    cop_process_monitor(ctx, p);
    EXPECT_TERM(ctx, cop_sys_terminate(ctx, p, cop_a(bye), 0), ":ok");
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :bye}");
    ASSERT_RECEIVE(ctx, "{:terminate, :bye, 4}");
}

static cop_term raw(cop_ctx *ctx, cop_pid p, cop_term request) {
    cop_ref ref = cop_make_ref(ctx);
    cop_term message;
    cop_send(ctx, p, cop_tuple(ctx, cop_a(system), cop_tuple(ctx, cop_self(ctx), ref), request));
    EXPECT(cop_receive_ref(ctx, 5000, ref, &message));
    return cop_elem(message, 1);
}

TEST(SY_034_raw_requests) {
    cop_pid p = numbered(ctx);
    EXPECT_TERM(ctx, raw(ctx, p, cop_a(get_state).t), "4");
    EXPECT_TERM(ctx, raw(ctx, p, cop_a(frobnicate).t),
                "{:error, {:unknown_system_msg, :frobnicate}}");
    EXPECT_TERM(ctx, raw(ctx, p, cop_tuple(ctx, cop_a(debug), cop_a(frob))), ":unknown_debug");
}

TEST(SY_035_malformed_requests) {
    cop_pid p = numbered(ctx);
    cop_send(ctx, p, cop_tuple(ctx, cop_a(system), 1));
    ASSERT_RECEIVE(ctx, "{:info, {:system, 1}}");
    cop_process_monitor(ctx, p);
    cop_send(ctx, p, cop_tuple(ctx, cop_a(system), cop_a(bad), cop_a(get_state)));
    ASSERT_RECEIVE(ctx, "{:DOWN, _, _, _, {:function_clause, _}}");
}

TEST(SY_036_system_messages_wait_their_turn) {
    cop_pid p = numbered(ctx);
    cop_gen_server_cast(ctx, p, cop_tuple(ctx, cop_a(sleep), 30));
    cop_gen_server_cast(ctx, p, cop_tuple(ctx, cop_a(put), 9));
    EXPECT_TERM(ctx, cop_sys_get_state(ctx, p, 0), "9");
}

static cop_term hides(cop_ctx *ctx, cop_term status) {
    status = cop_map_put(ctx, status, cop_a(more).t, COP_INT(1));
    return cop_map_put(ctx, status, cop_a(state).t, cop_a(hidden).t);
}
static cop_term no_map(cop_ctx *ctx, cop_term status) { return COP_NIL; }
static cop_term loses(cop_ctx *ctx, cop_term status) {
    return cop_map_remove(ctx, status, cop_a(log).t);
}
static cop_term breaks(cop_ctx *ctx, cop_term status) { cop_exit(ctx, cop_a(oops)); }
static const cop_gen_server hiding[] = {
    { SRV, .format_status = hides },
    { SRV, .format_status = no_map },
    { SRV, .format_status = loses },
    { SRV, .format_status = breaks },
};

TEST(SY_037_format_status_in_get_status) {
    static const char *const expected[] = {
        ":hidden",
        "~c\"Srv:format_status/1 did not return a map\"",
        "~c\"Srv:format_status/1 returned a map with unknown keys\"",
        "~c\"Srv:format_status/1 crashed\"",
    };
    for (size_t i = 0; i < 4; i++) {
        char pattern[200];
        snprintf(pattern, sizeof pattern,
                 "{_, _, _, [_, _, _, _, [_, _, {:data, [{~c\"State\", %s}]}]]}", expected[i]);
        cop_pid p = try_srv(ctx, &hiding[i], COP_INT(4), false, NULL).pid;
        EXPECT_TERM(ctx, cop_sys_get_status(ctx, p, 0), pattern);
        EXPECT_TERM(ctx, cop_sys_get_state(ctx, p, 0), "4");
    }
}

/* ---- a special process: one of one's own ---------------------------------------------------------- */

struct special {
    cop_sys sys;
    cop_term misc;
};
static cop_term special_misc(cop_ctx *ctx, void *state) { return ((struct special *)state)->misc; }
static bool special_set(cop_ctx *ctx, void *state, cop_term term) {
    ((struct special *)state)->misc = term;
    return true;
}
static void special_end(cop_ctx *ctx, void *state, cop_term reason) { cop_exit(ctx, reason); }
static const cop_sys_callbacks special_sys = {
    .module = "Sp", .terminate = special_end, .get_state = special_misc, .set_state = special_set
};
static void special_message(cop_ctx *ctx, void *state, cop_term message) {
    struct special *self = state;
    cop_term who;
    if (cop_sys_handle(ctx, &self->sys, &special_sys, self, message))
        return;
    cop_sys_handle_debug(ctx, &self->sys, &special_sys, cop_tuple(ctx, cop_a(in), message));
    if (cop_match_tuple(message, cop_a(ping), &who))
        cop_send(ctx, who, cop_a(pong));
}
static const cop_callbacks special_callbacks = { .name = "special", .message = special_message };
static void special_entry(cop_ctx *ctx, cop_term arg) {
    struct special *self = cop_process_state(ctx, sizeof *self);
    cop_process_keep(ctx, 0, &self->sys.parent, COP_SYS_TERMS + 1);
    self->misc = arg;
    cop_become(ctx, &special_callbacks, self);
}

TEST(SY_038_a_special_process) {
    cop_pid p = cop_proc_lib_spawn(ctx, special_entry, COP_INT(7));
    EXPECT_TERM(ctx, cop_sys_get_state(ctx, p, 0), "7");
    EXPECT_TERM(ctx, cop_sys_get_status(ctx, p, 0),
                "{:status, _, {:module, Sp}, [_, :running, _, [], 7]}");
    EXPECT_TERM(ctx, cop_sys_replace_state(ctx, p, cop_fun(ctx, add_one, 1, cop_self(ctx).t), 0),
                "8");
    EXPECT_ERROR(ctx, "{:callback_failed, _, {:exit, :x}}") {
        cop_sys_replace_state(ctx, p, cop_fun(ctx, raises, 1, cop_a(exit).t), 0);
    }
    cop_sys_log(ctx, p, cop_a(true), 0);
    cop_sys_suspend(ctx, p, 0);
    cop_send(ctx, p, cop_tuple(ctx, cop_as("EXIT"), cop_list(ctx, 1), cop_a(x))); /* of no parent */
    cop_send(ctx, p, cop_tuple(ctx, cop_a(ping), cop_self(ctx)));
    EXPECT_TERM(ctx, change(ctx, p, COP_NIL), "{:error, {:EXIT, {:undef, _}}}");
    REFUTE_RECEIVE(ctx, ":pong", 0);
    cop_sys_resume(ctx, p, 0);
    ASSERT_RECEIVE(ctx, ":pong");
    EXPECT_TERM(ctx, cop_sys_log(ctx, p, cop_a(get), 0),
                "{:ok, [in: {:EXIT, [1], :x}, in: {:ping, _}]}");
    EXPECT_EXIT(ctx, ":bye") {
        cop_exit(ctx, cop_proc_lib_try_stop(ctx, p, cop_a(bye).t, 0).w == cop_a(ok).t.w
                          ? cop_a(bye).t
                          : cop_a(bad).t);
    }
    EXPECT(!cop_process_is_alive(ctx, p));
}

TEST(SY_039_debug_options_at_the_start) {
    cop_term fun = cop_fun(ctx, counts, 3, cop_self(ctx).t);
    cop_term debug = cop_list(ctx, cop_a(statistics), cop_tuple(ctx, cop_a(log), 2), cop_a(zzz),
                              cop_tuple(ctx, cop_a(install), cop_tuple(ctx, cop_a(i), fun, 0)));
    cop_pid p = start_srv(ctx, COP_INT(1), &(cop_start_opts){ .debug = debug });
    EXPECT_TERM(ctx, cop_sys_get_status(ctx, p, 0),
                "{_, _, _, [_, _, _, [{:i, {_, 0}}, {:log, _}, {:statistics, _}], _]}");
    cop_gen_server_call(ctx, p, cop_a(get), 0);
    ASSERT_RECEIVE(ctx, "{:dbg, 1, {:out, _, _, _}, _}");
}

TEST(SY_040_a_supervisor_answers) {
    cop_started s = cop_supervisor_start_link(ctx, NULL, 0, NULL);
    EXPECT_INT(s.is, COP_STARTED);
    EXPECT_TERM(ctx, cop_elem(cop_sys_get_state(ctx, s.pid, 0), 0), ":state");
    EXPECT_TERM(ctx, cop_sys_get_status(ctx, s.pid, 0), "{:status, _, {:module, :gen_server}, _}");
}
