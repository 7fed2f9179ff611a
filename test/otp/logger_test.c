/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The logger's texts, against what Elixir 1.14's console logger printed for the same crashes (a module
 * Srv with state 5; GenServer.call and cast of what is named here). Lines of stack traces, which begin
 * with four spaces, are left out of the comparison, and pids are written as P.
 */
#include <coppice.h>
#include <coppice/test.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int ends[2];
static bool keep_indented; /* also the lines that begin with four spaces */

static cop_init srv_init(cop_ctx *ctx, void *state, cop_term arg) {
    *(int64_t *)state = 5;
    return cop_init_ok();
}

static cop_next srv_handle_call(cop_ctx *ctx, void *state, cop_term request, cop_from from) {
    if (cop_match(request, cop_a(raise)))
        cop_raise(ctx, "RuntimeError", "boom");
    if (cop_match(request, cop_a(exit)))
        cop_exit(ctx, cop_tuple(ctx, cop_a(a), 1));
    if (cop_match(request, cop_a(stop)))
        return cop_stop(cop_a(bad));
    cop_throw(ctx, cop_a(banana));
}

static cop_next srv_handle_cast(cop_ctx *ctx, void *state, cop_term request) {
    cop_raise(ctx, "RuntimeError", "boom");
}

static cop_term srv_state_to_term(cop_ctx *ctx, const void *state) {
    return cop_of(ctx, *(const int64_t *)state);
}

static const cop_gen_server srv = {
    .name = "Srv",
    .state_size = 8,
    .init = srv_init,
    .handle_call = srv_handle_call,
    .handle_cast = srv_handle_cast,
    .state_to_term = srv_state_to_term,
};

/* What the logger wrote, without traces, pids as P. */
static const char *logged(cop_ctx *ctx) {
    static char raw[8192], text[8192];
    cop_logger_flush(ctx);
    ssize_t n = read(ends[0], raw, sizeof raw - 1);
    raw[n > 0 ? n : 0] = '\0';
    char *to = text;
    bool line_start = true, skip = false;
    for (const char *at = raw; *at != '\0'; at++) {
        if (line_start)
            skip = !keep_indented && strncmp(at, "    ", 4) == 0;
        line_start = *at == '\n';
        if (skip)
            continue;
        if (strncmp(at, "#PID<", 5) == 0) {
            at = strchr(at, '>');
            *to++ = 'P';
            continue;
        }
        *to++ = *at;
    }
    *to = '\0';
    return text;
}

static void start_logger(cop_ctx *ctx) {
    EXPECT_INT(pipe(ends), 0);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    cop_logger_start(&(cop_logger_opts){ .fd = ends[1], .no_time = true });
    while (cop_is_none(cop_process_whereis(ctx, cop_a(logger))))
        cop_process_sleep(ctx, 1);
}

static void crash_by_call(cop_ctx *ctx, cop_atom request) {
    cop_started s = cop_gen_server_start(ctx, &srv, COP_NONE,
                                         &(cop_start_opts){ .name = cop_as("Elixir.Srv") });
    EXPECT(s.is == COP_STARTED);
    EXPECT(!cop_gen_server_try_call(ctx, s.pid, request, 0).ok);
}

TEST(a_raise_in_a_call) {
    start_logger(ctx);
    crash_by_call(ctx, cop_a(raise));
    EXPECT_STR(logged(ctx), "\n[error] GenServer Srv terminating\n"
                            "** (RuntimeError) boom\n"
                            "Last message (from P): :raise\n"
                            "State: 5\n"
                            "Client P is alive\n\n");
}

TEST(an_exit_in_a_call) {
    start_logger(ctx);
    crash_by_call(ctx, cop_a(exit));
    EXPECT_STR(logged(ctx), "\n[error] GenServer Srv terminating\n"
                            "** (stop) {:a, 1}\n"
                            "Last message (from P): :exit\n"
                            "State: 5\n"
                            "Client P is alive\n\n");
}

/* observed: Elixir 1.14, exit(:ex) in handle_cast/2: "** (stop) :ex\n    d.exs:22: Srv.handle_cast/2" */
TEST(an_exit_in_a_callback_has_its_trace) {
    start_logger(ctx);
    keep_indented = true;
    crash_by_call(ctx, cop_a(exit));
    const char *text = logged(ctx),
               *start = "\n[error] GenServer Srv terminating\n** (stop) {:a, 1}\n    ";
    EXPECT(strncmp(text, start, strlen(start)) == 0);
    const char *place = strstr(text, ": srv_handle_call\n"), *last = strstr(text, "\nLast message");
    EXPECT(place != NULL && place < last);
}

TEST(a_stop_with_a_reason) {
    start_logger(ctx);
    crash_by_call(ctx, cop_a(stop));
    EXPECT_STR(logged(ctx), "\n[error] GenServer Srv terminating\n"
                            "** (stop) :bad\n"
                            "Last message (from P): :stop\n"
                            "State: 5\n"
                            "Client P is alive\n\n");
}

TEST(a_bad_return_value) {
    start_logger(ctx);
    crash_by_call(ctx, cop_a(badret));
    EXPECT_STR(logged(ctx), "\n[error] GenServer Srv terminating\n"
                            "** (stop) bad return value: :banana\n"
                            "Last message (from P): :badret\n"
                            "State: 5\n"
                            "Client P is alive\n\n");
}

TEST(a_raise_in_a_cast) {
    start_logger(ctx);
    cop_started s = cop_gen_server_start(ctx, &srv, COP_NONE, NULL);
    cop_gen_server_cast(ctx, s.pid, cop_a(raise));
    test_await_down(ctx, s.pid);
    EXPECT_STR(logged(ctx), "\n[error] GenServer P terminating\n"
                            "** (RuntimeError) boom\n"
                            "Last message: {:\"$gen_cast\", :raise}\n"
                            "State: 5\n");
}

TEST(an_unexpected_message) {
    start_logger(ctx);
    cop_started s = cop_gen_server_start(ctx, &srv, COP_NONE, NULL);
    cop_send(ctx, s.pid, cop_a(strange));
    cop_gen_server_stop(ctx, s.pid, cop_a(normal), 0);
    EXPECT_STR(logged(ctx),
               "\n[error] Srv P received unexpected message in handle_info/2: :strange\n");
}

static void raise_raw(cop_ctx *ctx, cop_term arg) { cop_raise(ctx, "RuntimeError", "raw"); }
static void error_raw(cop_ctx *ctx, cop_term arg) { cop_error(ctx, cop_a(badthing)); }
static void exit_raw(cop_ctx *ctx, cop_term arg) { cop_exit(ctx, cop_a(boo)); }

TEST(PR_017_a_raw_process_that_raises_is_logged_and_one_that_exits_is_not) {
    start_logger(ctx);
    test_await_down(ctx, cop_spawn(ctx, raise_raw, COP_NONE));
    EXPECT_STR(logged(ctx), "\n[error] Process P raised an exception\n** (RuntimeError) raw\n");
    test_await_down(ctx, cop_spawn(ctx, error_raw, COP_NONE));
    EXPECT_STR(logged(ctx), "\n[error] Process P raised an exception\n"
                            "** (ErlangError) Erlang error: :badthing\n");
    test_await_down(ctx, cop_spawn(ctx, exit_raw, COP_NONE));
    EXPECT_STR(logged(ctx), "");
}

/* ---- tasks ------------------------------------------------------------------------------------------------ */

static cop_term task_exit(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    cop_exit(ctx, a[0]);
}
static cop_term task_throw(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    cop_throw(ctx, a[0]);
}
static cop_term task_raise(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    cop_raise(ctx, "RuntimeError", "oops");
}
static const cop_module task_functions = {
    .name = "Elixir.M",
    .exports = (const cop_export[]){ { "exit", 1, task_exit },
                                     { "throw", 1, task_throw },
                                     { "raise", 1, task_raise },
                                     { 0 } },
};

static void crash_task(cop_ctx *ctx, cop_atom function) {
    cop_module_load(&task_functions);
    cop_term what = cop_tuple(ctx, cop_as("Elixir.M"), function, cop_list(ctx, cop_a(x)));
    test_await_down(ctx, cop_task_start_term(ctx, what));
}

TEST(a_task_that_fails) {
    start_logger(ctx);
    cop_process_register(ctx, cop_self(ctx), cop_a(owner_name));
    crash_task(ctx, cop_a(exit));
    EXPECT_STR(logged(ctx), "\n[error] Task P started from :owner_name terminating\n"
                            "** (stop) :x\n"
                            "Function: &M.exit/1\n");
    cop_process_unregister(ctx, cop_a(owner_name));
    crash_task(ctx, cop_a(throw));
    EXPECT_STR(logged(ctx), "\n[error] Task P started from P terminating\n"
                            "** (stop) {:nocatch, :x}\n"
                            "Function: &M.throw/1\n");
    crash_task(ctx, cop_a(raise));
    EXPECT_STR(logged(ctx), "\n[error] Task P started from P terminating\n"
                            "** (RuntimeError) oops\n"
                            "Function: &M.raise/1\n");
    keep_indented = true;
    crash_task(ctx, cop_a(nothing));
    EXPECT(strstr(logged(ctx), "** (UndefinedFunctionError) function M.nothing/1 is undefined or "
                               "private\n    M.nothing(:x)\n")
           != NULL);
    crash_task(ctx, cop_a(exit));
    EXPECT(strstr(logged(ctx), "Function: &M.exit/1\n    Args: [:x]\n") != NULL);
}

/* ---- crash reports, with handle_sasl_reports ------------------------------------------------------------ */

static void start_sasl_logger(cop_ctx *ctx, cop_level level) {
    EXPECT_INT(pipe(ends), 0);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    cop_logger_start(
        &(cop_logger_opts){ .fd = ends[1], .no_time = true, .sasl_reports = true, .level = level });
    while (cop_is_none(cop_process_whereis(ctx, cop_a(logger))))
        cop_process_sleep(ctx, 1);
}

static void throw_raw(cop_ctx *ctx, cop_term arg) { cop_throw(ctx, cop_a(ball)); }
static void exit_noproc(cop_ctx *ctx, cop_term arg) {
    cop_term call = cop_tuple(ctx, cop_as("Elixir.GenServer"), cop_a(call),
                              cop_list(ctx, cop_a(x), cop_a(get), 5000));
    cop_exit(ctx, cop_tuple(ctx, cop_a(noproc), call));
}
static void call_unknown(cop_ctx *ctx, cop_term arg) {
    cop_apply(ctx, cop_as("Elixir.M"), cop_a(undefd), cop_list(ctx, 1));
}

static void crash_of(cop_ctx *ctx, cop_entry entry) {
    test_await_down(ctx, cop_proc_lib_spawn(ctx, entry, COP_NONE));
}

/* Without the numbers, which differ; the lines of traces are left out above. */
TEST(PR_137_the_text_of_a_crash_report) {
    start_sasl_logger(ctx, COP_LEVEL_INFO);
    cop_process_delete(ctx, cop_as("$ancestors").t);
    cop_process_register(ctx, cop_self(ctx), cop_a(top));
    crash_of(ctx, raise_raw);
    EXPECT_STR(logged(ctx), "\n[error] Process P terminating\n** (RuntimeError) raw\n"
                            "Initial Call: :c.entry/2\nAncestors: [:top]\n");
    crash_of(ctx, throw_raw);
    EXPECT_STR(logged(ctx), "\n[error] Process P terminating\n** (throw) :ball\n"
                            "Initial Call: :c.entry/2\nAncestors: [:top]\n");
    crash_of(ctx, exit_raw);
    EXPECT_STR(logged(ctx), "\n[error] Process P terminating\n** (exit) :boo\n"
                            "Initial Call: :c.entry/2\nAncestors: [:top]\n");
    crash_of(ctx, exit_noproc);
    EXPECT_STR(logged(ctx), "\n[error] Process P terminating\n"
                            "** (exit) exited in: GenServer.call(:x, :get, 5000)\n"
                            "Initial Call: :c.entry/2\nAncestors: [:top]\n");
    crash_of(ctx, call_unknown);
    EXPECT_STR(logged(ctx),
               "\n[error] Process P terminating\n"
               "** (UndefinedFunctionError) function M.undefd/1 is undefined or private\n"
               "Initial Call: :c.entry/2\nAncestors: [:top]\n");
}

static void sleeper(cop_ctx *ctx, cop_term arg) {
    for (;;)
        cop_process_sleep(ctx, COP_INFINITY);
}

static void named_with_a_neighbour(cop_ctx *ctx, cop_term arg) {
    cop_process_put(ctx, cop_a(user).t, cop_of(ctx, 1));
    cop_send(ctx, cop_self(ctx), cop_a(queued));
    cop_process_register(ctx, cop_self(ctx), cop_a(named));
    cop_process_register(ctx, cop_spawn_link(ctx, sleeper, COP_NONE), cop_a(n2));
    cop_exit(ctx, cop_a(boo));
}

/* Lines that differ from run to run: their ends are cut. */
static const char *without_numbers(const char *text) {
    static char out[4096];
    size_t n = 0;
    for (; *text != '\0' && n < sizeof out - 1; text++) {
        out[n++] = *text;
        if (*text == ':' && n > 5
            && (strncmp(text - 4, "Size", 4) == 0
                || (n > 11 && strncmp(text - 10, "Reductions", 10) == 0)))
            while (text[1] != '\n' && text[1] != '\0')
                text++;
    }
    out[n] = '\0';
    return out;
}

TEST(PR_138_the_text_of_a_crash_report_in_full) {
    start_sasl_logger(ctx, COP_LEVEL_DEBUG);
    keep_indented = true;
    cop_process_delete(ctx, cop_as("$ancestors").t);
    crash_of(ctx, named_with_a_neighbour);
    const char *text = without_numbers(logged(ctx));
    EXPECT(strncmp(text, "\n[error] Process :named (P) terminating\n** (exit) :boo\n    ", 58)
           == 0);
    const char *rest = strstr(text, "\nInitial Call");
    EXPECT(rest != NULL);
    EXPECT_STR(strstr(rest, "\n    :n2 (P)\n") != NULL ? "there" : rest, "there");
    char own[1024];
    snprintf(own, sizeof own, "%.*s", (int)(strstr(rest, "\n        Current Call") - rest), rest);
    EXPECT_STR(own,
               "\nInitial Call: :c.entry/2\nAncestors: [P]\nMessage Queue Length: 1\n"
               "Messages: [:queued]\nLinks: [P]\nDictionary: [user: 1]\n"
               "Trapping Exits: false\nStatus: :running\nHeap Size:\nStack Size:\nReductions:\n"
               "Neighbours:\n    :n2 (P)\n        Initial Call: :c.sleeper/2");
    EXPECT(strstr(text, "\n        Ancestors: []\n        Message Queue Length: 0\n"
                        "        Links: [P]\n        Trapping Exits: false\n")
           != NULL);
    EXPECT(strstr(text, "\n        Current Stacktrace:") != NULL);
}

TEST(plain_texts_have_their_level) {
    start_logger(ctx);
    cop_logger_write(ctx, COP_LEVEL_ERROR, "plain");
    cop_logger_write(ctx, COP_LEVEL_INFO, "info %d", 7);
    EXPECT_STR(logged(ctx), "\n[error] plain\n\n[info] info 7\n");
}
