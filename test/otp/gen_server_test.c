/* SPDX-License-Identifier: Apache-2.0 */
/* GenServer, by the spec's cases (observed on Elixir 1.14 / OTP 25). */
#include <coppice.h>
#include <coppice/test.h>

/* A server that does what it is told: it has one term of state, and tells `watcher` what happens. */
struct srv {
    cop_term value;
    cop_term watcher;
};

static void tell(cop_ctx *ctx, struct srv *self, cop_term what) {
    if (cop_is_pid(self->watcher))
        cop_send(ctx, self->watcher, what);
}

static cop_init srv_init(cop_ctx *ctx, void *state, cop_term arg) {
    struct srv *self = state;
    cop_term what, value;
    int64_t ms;
    self->value = COP_INT(0);
    self->watcher = COP_NIL;
    if (cop_match_tuple(arg, cop_a(stop), &what))
        return cop_init_stop(what);
    if (cop_match_tuple(arg, cop_a(error), &what))
        return cop_init_error(what);
    if (cop_match(arg, cop_a(ignore)))
        return cop_init_ignore();
    if (cop_match(arg, cop_a(raise)))
        cop_raise(ctx, "RuntimeError", "x");
    if (cop_match_tuple(arg, cop_a(exit), &what))
        cop_exit(ctx, what);
    if (cop_match(arg, cop_a(slow)))
        cop_process_sleep(ctx, COP_INFINITY);
    if (cop_match_tuple(arg, &value, &self->watcher, cop_a(timeout), &ms)) {
        self->value = value;
        return cop_then_timeout(cop_init_ok(), ms);
    }
    if (cop_match_tuple(arg, &value, &self->watcher, cop_a(continue), &what)) {
        self->value = value;
        cop_send(ctx, cop_self(ctx), cop_a(early));
        return cop_then_continue(cop_init_ok(), what);
    }
    if (cop_match_tuple(arg, &value, &self->watcher))
        self->value = value;
    else
        self->value = arg;
    return cop_init_ok();
}

/* Not known to the compiler, which would have something to say. */
static volatile int *volatile nowhere = (volatile int *)8;

static cop_next srv_handle_call(cop_ctx *ctx, void *state, cop_term request, cop_from from) {
    struct srv *self = state;
    cop_term what, value;
    int64_t ms;
    if (cop_match(request, cop_a(get)))
        return cop_reply(ctx, self->value);
    if (cop_match_tuple(request, cop_a(put), &value)) {
        self->value = value;
        return cop_reply(ctx, cop_a(ok));
    }
    if (cop_match(request, cop_a(noreply)))
        return cop_noreply();
    if (cop_match_tuple(request, cop_a(stop), &what, &value)) {
        self->value = COP_INT(99);
        return cop_stop_reply(ctx, what, value);
    }
    if (cop_match_tuple(request, cop_a(stop), &what))
        return cop_stop(what);
    if (cop_match(request, cop_a(raise)))
        cop_raise(ctx, "RuntimeError", "boom");
    if (cop_match_tuple(request, cop_a(exit), &what))
        cop_exit(ctx, what);
    if (cop_match_tuple(request, cop_a(timeout), &ms))
        return cop_then_timeout(cop_reply(ctx, cop_a(ok)), ms == 0 ? COP_ZERO : ms);
    if (cop_match(request, cop_a(hibernate)))
        return cop_then_hibernate(cop_reply(ctx, cop_a(ok)));
    if (cop_match_tuple(request, cop_a(continue), &what)) {
        cop_send(ctx, cop_self(ctx), cop_a(queued));
        return cop_then_continue(cop_reply(ctx, cop_a(ok)), what);
    }
    if (cop_match(request, cop_a(later))) {
        cop_process_send_after(ctx, cop_self(ctx), cop_tuple(ctx, cop_a(reply), from), 5);
        return cop_noreply();
    }
    if (cop_match(request, cop_a(from)))
        return cop_reply(ctx, from);
    if (cop_match(request, cop_a(segv)))
        *nowhere = 1;
    return cop_bad_call(ctx, request);
}

static cop_next srv_handle_info(cop_ctx *ctx, void *state, cop_term message) {
    struct srv *self = state;
    cop_term from;
    if (cop_match_tuple(message, cop_a(reply), &from))
        cop_gen_server_reply(ctx, (cop_from){ from }, cop_a(later));
    else
        tell(ctx, self, cop_tuple(ctx, cop_a(info), message));
    return cop_noreply();
}

static cop_next srv_handle_continue(cop_ctx *ctx, void *state, cop_term with) {
    tell(ctx, state, cop_tuple(ctx, cop_a(continue), with));
    return cop_noreply();
}

static cop_next srv_handle_cast(cop_ctx *ctx, void *state, cop_term request) {
    tell(ctx, state, cop_tuple(ctx, cop_a(cast), request));
    return cop_noreply();
}

static void srv_terminate(cop_ctx *ctx, void *state, cop_term reason) {
    struct srv *self = state;
    tell(ctx, self, cop_tuple(ctx, cop_a(terminate), reason, self->value));
}

static const cop_gen_server srv = {
    .name = "Srv",
    .state_size = sizeof(struct srv),
    .state_terms = 2,
    .init = srv_init,
    .handle_call = srv_handle_call,
    .handle_cast = srv_handle_cast,
    .handle_info = srv_handle_info,
    .handle_continue = srv_handle_continue,
    .terminate = srv_terminate,
};

static cop_pid start(cop_ctx *ctx, cop_term arg) {
    cop_started s = cop_gen_server_start(ctx, &srv, arg, NULL);
    EXPECT(s.is == COP_STARTED);
    return s.pid;
}

/* Its state is 5, and it tells the test. */
static cop_pid watched(cop_ctx *ctx) { return start(ctx, cop_tuple(ctx, 5, cop_self(ctx))); }

TEST(GS_001_start_link_call_cast_stop) {
    cop_started s = cop_gen_server_start_link(ctx, &srv, cop_list(ctx, cop_a(hello)), NULL);
    EXPECT(s.is == COP_STARTED);
    EXPECT_SAME(ctx, cop_process_info(ctx, cop_self(ctx), cop_a(links)), cop_list(ctx, s.pid));
    EXPECT_TERM(ctx, cop_gen_server_call(ctx, s.pid, cop_a(get), 0), "[:hello]");
    EXPECT_TERM(ctx, cop_gen_server_call(ctx, s.pid, cop_tuple(ctx, cop_a(put), "w"), 0), ":ok");
    EXPECT_TERM(ctx, cop_gen_server_call(ctx, s.pid, cop_a(get), COP_INFINITY), "\"w\"");
    cop_gen_server_stop(ctx, s.pid, cop_a(normal), 0);
    EXPECT(!cop_process_is_alive(ctx, s.pid));
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

TEST(GS_005_a_name_that_is_taken) {
    test_trap_exit(ctx);
    cop_started a =
        cop_gen_server_start_link(ctx, &srv, COP_INT(1), &(cop_start_opts){ .name = cop_a(one) });
    cop_started b =
        cop_gen_server_start_link(ctx, &srv, COP_INT(2), &(cop_start_opts){ .name = cop_a(one) });
    EXPECT(b.is == COP_ERROR);
    EXPECT_SAME(ctx, b.reason, cop_tuple(ctx, cop_a(already_started), a.pid));
    EXPECT_TERM(ctx, cop_gen_server_call(ctx, cop_a(one), cop_a(get), 0), "1");
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

TEST(GS_006_a_timeout_from_init) {
    start(ctx, cop_tuple(ctx, 5, cop_self(ctx), cop_a(timeout), 10));
    ASSERT_RECEIVE(ctx, "{:info, :timeout}");
}

TEST(GS_008_continue_comes_before_what_init_sent_itself) {
    start(ctx, cop_tuple(ctx, 5, cop_self(ctx), cop_a(continue), cop_a(c)));
    ASSERT_RECEIVE(ctx, "{:info, :early}");
    EXPECT_TERM(ctx, test_flush(ctx), "[continue: :c]");
}

TEST(GS_010_a_failing_init_leaves_nothing_behind) {
    test_trap_exit(ctx);
    cop_started s = cop_gen_server_start_link(ctx, &srv, cop_tuple(ctx, cop_a(stop), cop_a(why)),
                                              &(cop_start_opts){ .name = cop_a(gone) });
    EXPECT(s.is == COP_ERROR);
    EXPECT_TERM(ctx, s.reason, ":why");
    EXPECT(cop_is_none(cop_process_whereis(ctx, cop_a(gone))));
    s = cop_gen_server_start_link(ctx, &srv, cop_a(ignore).t, NULL);
    EXPECT(s.is == COP_IGNORE);
    s = cop_gen_server_start_link(ctx, &srv, cop_tuple(ctx, cop_a(error), cop_a(why)), NULL);
    EXPECT_TERM(ctx, s.reason, ":why");
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

static void start_failing(cop_ctx *ctx, cop_term arg) {
    cop_gen_server_start_link(ctx, &srv, arg, NULL);
    cop_exit(ctx, cop_a(lived));
}

TEST(GS_009_a_caller_that_does_not_trap_dies_with_a_failing_init) {
    cop_spawn_monitor(ctx, start_failing, cop_tuple(ctx, cop_a(stop), cop_a(why)));
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :why}");
    cop_spawn_monitor(ctx, start_failing, cop_tuple(ctx, cop_a(stop), cop_a(normal)));
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :lived}");
}

TEST(GS_013_init_raises_or_exits) {
    cop_started s = cop_gen_server_start(ctx, &srv, cop_a(raise).t, NULL);
    EXPECT_TERM(ctx, s.reason, "{%RuntimeError{message: \"x\"}, _}");
    s = cop_gen_server_start(ctx, &srv, cop_tuple(ctx, cop_a(exit), cop_a(x)), NULL);
    EXPECT_TERM(ctx, s.reason, ":x");
}

TEST(GS_014_a_slow_init_times_out) {
    cop_started s =
        cop_gen_server_start(ctx, &srv, cop_a(slow).t, &(cop_start_opts){ .timeout_ms = 20 });
    EXPECT_TERM(ctx, s.reason, ":timeout");
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

TEST(GS_018_the_dictionary_names_ancestors_and_initial_call) {
    cop_pid p = start(ctx, COP_INT(1));
    cop_term dictionary = cop_process_info(ctx, p, cop_a(dictionary));
    EXPECT_TERM(ctx, dictionary, "[{:\"$ancestors\", _}, {:\"$initial_call\", {Srv, :init, 1}}]");
    EXPECT_SAME(ctx, cop_head(cop_elem(cop_head(dictionary), 1)), cop_self(ctx));
}

TEST(GS_030_what_a_call_may_return) {
    cop_pid p = watched(ctx);
    EXPECT_TERM(ctx, cop_gen_server_call(ctx, p, cop_tuple(ctx, cop_a(timeout), 10), 0), ":ok");
    ASSERT_RECEIVE(ctx, "{:info, :timeout}");
    EXPECT_TERM(ctx, cop_gen_server_call(ctx, p, cop_a(hibernate), 0), ":ok");
    EXPECT_TERM(ctx, cop_gen_server_call(ctx, p, cop_tuple(ctx, cop_a(continue), cop_a(c)), 0),
                ":ok");
    ASSERT_RECEIVE(ctx, "{:info, :queued}");
    EXPECT_TERM(ctx, test_flush(ctx), "[continue: :c]");
}

TEST(GS_031_a_timeout_of_zero_gives_way_to_a_message) {
    cop_pid p = watched(ctx);
    EXPECT_TERM(ctx, cop_gen_server_call(ctx, p, cop_tuple(ctx, cop_a(timeout), 0), 0), ":ok");
    ASSERT_RECEIVE(ctx, "{:info, :timeout}");
}

TEST(GS_032_a_reply_may_come_later) {
    cop_pid p = watched(ctx);
    EXPECT_TERM(ctx, cop_gen_server_call(ctx, p, cop_a(later), 0), ":later");
}

TEST(GS_033_stop_with_a_reply) {
    cop_pid p = watched(ctx);
    cop_term request = cop_tuple(ctx, cop_a(stop), cop_a(normal), cop_a(bye));
    EXPECT_TERM(ctx, cop_gen_server_call(ctx, p, request, 0), ":bye");
    /* GS_034: terminate has run before the reply came */
    EXPECT_TERM(ctx, test_flush(ctx), "[{:terminate, :normal, 99}]");
    EXPECT_TERM(ctx, test_await_down(ctx, p), "_");
}

TEST(GS_035_stop_without_a_reply_ends_the_caller) {
    cop_pid p = watched(ctx);
    EXPECT_EXIT(ctx, "{:zip, {GenServer, :call, [_, {:stop, :zip}, 1234]}}") {
        cop_gen_server_call(ctx, p, cop_tuple(ctx, cop_a(stop), cop_a(zip)), 1234);
    }
}

TEST(GS_037_raise_and_exit_in_a_call) {
    cop_pid p = watched(ctx);
    EXPECT_EXIT(ctx, "{{%RuntimeError{message: \"boom\"}, _}, {GenServer, :call, _}}") {
        cop_gen_server_call(ctx, p, cop_a(raise), 0);
    }
    ASSERT_RECEIVE(ctx, "{:terminate, {%RuntimeError{message: \"boom\"}, _}, 5}");
    p = watched(ctx);
    EXPECT_EXIT(ctx, "{:xx, _}") {
        cop_gen_server_call(ctx, p, cop_tuple(ctx, cop_a(exit), cop_a(xx)), 0);
    }
}

TEST(a_fault_in_a_call_ends_the_server_without_terminate) {
    cop_pid p = watched(ctx);
    EXPECT_EXIT(ctx, "{{{:sigsegv, 8}, _}, {GenServer, :call, _}}") {
        cop_gen_server_call(ctx, p, cop_a(segv), 0);
    }
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

TEST(GS_038_nobody_is_there) {
    EXPECT_EXIT(ctx, "{:noproc, {GenServer, :call, [:nosuch, :get, 5000]}}") {
        cop_gen_server_call(ctx, cop_a(nosuch), cop_a(get), 0);
    }
    cop_pid dead = test_dead_pid(ctx);
    EXPECT_EXIT(ctx, "{:noproc, {GenServer, :call, [_, :get, 100]}}") {
        cop_gen_server_call(ctx, dead, cop_a(get), 100);
    }
}

TEST(GS_039_calling_oneself) {
    EXPECT_EXIT(ctx, "{:calling_self, {GenServer, :call, _}}") {
        cop_gen_server_call(ctx, cop_self(ctx), cop_a(get), 0);
    }
}

TEST(GS_040_a_call_times_out_and_leaves_no_monitor) {
    cop_pid p = watched(ctx);
    EXPECT_EXIT(ctx, "{:timeout, {GenServer, :call, [_, :noreply, 1]}}") {
        cop_gen_server_call(ctx, p, cop_a(noreply), 1);
    }
    EXPECT_TERM(ctx, cop_process_info(ctx, cop_self(ctx), cop_a(monitors)), "[]");
    EXPECT_TERM(ctx, cop_process_info(ctx, p, cop_a(monitored_by)), "[]");
}

TEST(GS_042_another_node) {
    EXPECT_EXIT(ctx, "{{:nodedown, :bogus_node}, _}") {
        cop_gen_server_call(ctx, cop_tuple(ctx, cop_a(stack), cop_a(bogus_node)), cop_a(get), 0);
    }
}

TEST(GS_046_the_shape_of_from) {
    cop_pid p = watched(ctx);
    cop_term from = cop_gen_server_call(ctx, p, cop_a(from), 0);
    EXPECT_TERM(ctx, from, "{_, [:alias | _]}");
    EXPECT_TERM(ctx, cop_elem(cop_gen_server_call(ctx, p, cop_a(from), COP_INFINITY), 1), "_");
    EXPECT(cop_is_ref(cop_elem(cop_gen_server_call(ctx, p, cop_a(from), COP_INFINITY), 1)));
}

TEST(casts_go_to_handle_cast_and_never_fail) {
    cop_pid p = watched(ctx);
    cop_gen_server_cast(ctx, p, cop_a(hi));
    ASSERT_RECEIVE(ctx, "{:cast, :hi}");
    cop_gen_server_cast(ctx, cop_a(nosuch), 1);
    cop_gen_server_cast(ctx, test_dead_pid(ctx), 1);
}

TEST(a_request_in_two_steps) {
    cop_pid p = watched(ctx);
    cop_request_id a = cop_gen_server_send_request(ctx, p, cop_a(get));
    cop_request_id b = cop_gen_server_send_request(ctx, p, cop_a(noreply));
    cop_called called = cop_gen_server_receive_response(ctx, a, 0);
    EXPECT(called.ok);
    EXPECT_TERM(ctx, called.value, "5");
    called = cop_gen_server_receive_response(ctx, b, 1);
    EXPECT(!called.ok);
    EXPECT_TERM(ctx, called.value, ":timeout");
}

static const cop_gen_server bare = { .name = "Bare", .init = srv_init, .state_size = 64 };

TEST(a_server_without_callbacks_does_what_elixirs_default_does) {
    test_capture_log(ctx);
    cop_started s = cop_gen_server_start(ctx, &bare, COP_INT(1), NULL);
    cop_send(ctx, s.pid, cop_a(strange));
    ASSERT_RECEIVE(ctx, "{:log, :error, {:report, %{label: {GenServer, :no_handle_info}}}, _}");
    EXPECT_EXIT(ctx, "{{%RuntimeError{}, _}, _}") { cop_gen_server_call(ctx, s.pid, 1, 0); }
    ASSERT_RECEIVE(ctx, "{:log, :error, {:report, %{label: {:gen_server, :terminate}}}, _}");
    ASSERT_RECEIVE(ctx, "{:log, :error, {:report, %{label: {:proc_lib, :crash}}}, _}");
}

TEST(system_messages_get_state_suspend_resume) {
    cop_pid p = watched(ctx);
    cop_ref ref = cop_make_ref(ctx);
    cop_term from = cop_tuple(ctx, cop_self(ctx), ref);
    cop_send(ctx, p, cop_tuple(ctx, cop_a(system), from, cop_a(get_state)));
    ASSERT_RECEIVE(ctx, "{_, {5, _}}");
    cop_send(ctx, p, cop_tuple(ctx, cop_a(system), from, cop_a(suspend)));
    ASSERT_RECEIVE(ctx, "{_, :ok}");
    cop_gen_server_cast(ctx, p, cop_a(waits));
    cop_send(ctx, p, cop_tuple(ctx, cop_a(system), from, cop_a(get_status)));
    ASSERT_RECEIVE(ctx, "{_, {:status, _, {:module, :gen_server}, [_, :suspended, _, _, _]}}");
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
    cop_send(ctx, p, cop_tuple(ctx, cop_a(system), from, cop_a(resume)));
    ASSERT_RECEIVE(ctx, "{:cast, :waits}");
}
