/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events: levels, metadata, the kinds of messages, what the run-time tells, and what becomes of events when a
 * node begins and ends. What Elixir 1.14 and OTP 25 did is named where it counts.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "logger_help.h"

/* ---- levels ---------------------------------------------------------------------------------------------- */

TEST(levels_have_names) {
    static const char *const names[] = { "emergency", "alert",  "critical", "error",
                                         "warning",   "notice", "info",     "debug" };
    cop_level level;
    for (int i = 0; i < 8; i++) {
        EXPECT(cop_level_from_name(names[i], &level));
        EXPECT_INT(level, i);
        EXPECT_STR(cop_level_name(level), names[i]);
    }
    EXPECT(cop_level_from_name("none", &level) && level == COP_LEVEL_NONE);
    EXPECT(cop_level_from_name("all", &level) && level == COP_LEVEL_ALL);
    EXPECT(!cop_level_from_name("warn", &level) && !cop_level_from_name(NULL, &level));
}

TEST(the_primary_level_decides_what_is_made) {
    start_logger(ctx);
    add_collector(ctx, "a");
    EXPECT_INT(cop_logger_level(), COP_LEVEL_DEBUG);
    cop_logger_configure_level(COP_LEVEL_WARNING);
    EXPECT_INT(cop_logger_level(), COP_LEVEL_WARNING);
    EXPECT(cop_log_is_enabled(COP_LEVEL_WARNING) && !cop_log_is_enabled(COP_LEVEL_NOTICE));
    cop_logger_notice(ctx, "no");
    cop_logger_warning(ctx, "yes");
    cop_logger_emergency(ctx, "yes");
    cop_logger_configure_level(COP_LEVEL_NONE);
    cop_logger_emergency(ctx, "no");
    cop_logger_flush(ctx);
    EXPECT_TERM(ctx, test_flush(ctx),
                "[{:logged, :a, \"[warning] yes\"}, {:logged, :a, \"[emergency] yes\"}]");
}

static int evaluated;
static int evaluate(void) { return ++evaluated; }

TEST(arguments_of_a_disabled_level_are_not_evaluated) {
    start_logger(ctx);
    add_collector(ctx, "a");
    evaluated = 0;
    cop_logger_configure_level(COP_LEVEL_INFO);
    cop_logger_debug(ctx, "%d", evaluate());
    cop_logger_log(ctx, COP_LEVEL_DEBUG, evaluate(), COP_NONE);
    EXPECT_INT(evaluated, 0);
    cop_logger_info(ctx, "%d", evaluate());
    ASSERT_RECEIVE(ctx, "{:logged, :a, \"[info] 1\"}");
}

static cop_term lazy(cop_ctx *ctx, void *arg) {
    ++*(int *)arg;
    return cop_list(ctx, "made ", "late");
}

TEST(a_lazy_message_is_made_only_for_somebody) {
    int made = 0;
    start_logger(ctx);
    cop_logger_handler_opts opts = collects(ctx, "a");
    opts.level = COP_LEVEL_INFO;
    EXPECT_TERM(ctx, cop_logger_add_handler(ctx, &opts), ":ok");
    cop_logger_log_lazy(ctx, COP_LEVEL_DEBUG, lazy, &made, COP_NONE); /* no handler wants it */
    EXPECT_INT(made, 0);
    cop_logger_log_lazy(ctx, COP_LEVEL_INFO, lazy, &made, COP_NONE);
    EXPECT_INT(made, 1);
    ASSERT_RECEIVE(ctx, "{:logged, :a, \"[info] made late\"}");
}

TEST(a_file_has_a_level_of_its_own) {
    start_logger(ctx);
    add_collector(ctx, "a");
    cop_logger_configure_level(COP_LEVEL_ERROR);
    cop_logger_debug(ctx, "1");
    EXPECT(cop_logger_put_file_level("logger_event_test.c", COP_LEVEL_DEBUG));
    cop_logger_debug(ctx, "2");
    EXPECT(cop_logger_put_file_level("event_test.c", COP_LEVEL_NONE)); /* another file */
    cop_logger_debug(ctx, "3");
    EXPECT(cop_logger_put_file_level("otp/logger_event_test.c", COP_LEVEL_NONE)); /* says more */
    cop_logger_error(ctx, "4");
    cop_logger_delete_file_level("otp/logger_event_test.c");
    cop_logger_delete_file_level("logger_event_test.c");
    cop_logger_debug(ctx, "5");
    EXPECT(!cop_log_is_enabled(COP_LEVEL_WARNING));
    cop_logger_flush(ctx);
    EXPECT_TERM(ctx, test_flush(ctx), "[{_, _, \"[debug] 2\"}, {_, _, \"[debug] 3\"}]");
}

TEST(a_folder_has_a_level_of_its_own) {
    start_logger(ctx);
    add_collector(ctx, "a");
    EXPECT(cop_logger_put_file_level("test/otp/", COP_LEVEL_NONE));
    cop_logger_error(ctx, "1");
    EXPECT(cop_logger_put_file_level("est/otp/", COP_LEVEL_ALL)); /* no folder of that name */
    cop_logger_error(ctx, "2");
    EXPECT(!cop_logger_put_file_level("", COP_LEVEL_ALL));
    cop_logger_flush(ctx);
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

static void talks(cop_ctx *ctx, cop_term arg) { cop_logger_info(ctx, "by another"); }

TEST(a_process_has_a_level_of_its_own) {
    cop_level level;
    start_logger(ctx);
    add_collector(ctx, "a");
    cop_logger_configure_level(COP_LEVEL_ERROR);
    EXPECT(!cop_logger_get_process_level(ctx, &level));
    cop_logger_put_process_level(ctx, COP_LEVEL_DEBUG);
    EXPECT(cop_logger_get_process_level(ctx, &level) && level == COP_LEVEL_DEBUG);
    cop_logger_info(ctx, "mine");
    test_await_down(ctx, cop_spawn(ctx, talks, COP_NONE));
    cop_logger_delete_process_level(ctx);
    cop_logger_info(ctx, "no more");
    cop_logger_flush(ctx);
    EXPECT_TERM(ctx, test_flush(ctx), "[{:logged, :a, \"[info] mine\"}]");
}

/* ---- messages --------------------------------------------------------------------------------------------------- */

/* observed: Elixir 1.14, Logger.info(["io", ?l, [0x20AC], "ist"]), Logger.info(%{z: 1, y: "s"}),
   Logger.info([z: 1, y: "s"]) */
TEST(chardata_and_reports_are_shown_as_Elixir_does) {
    start_logger(ctx);
    add_collector(ctx, "a");
    cop_term chardata = cop_list(ctx, "io", (int)'l', cop_list(ctx, 0x20AC), "ist");
    cop_logger_log(ctx, COP_LEVEL_INFO, chardata, COP_NONE);
    ASSERT_RECEIVE(ctx, "{:logged, :a, \"[info] iol€ist\"}");
    cop_logger_log(ctx, COP_LEVEL_INFO, cop_map(ctx, cop_a(z), 1, cop_a(y), "s"), COP_NONE);
    ASSERT_RECEIVE(ctx, "{:logged, :a, \"[info] [y: \\\"s\\\", z: 1]\"}");
    cop_term keywords = cop_list(ctx, cop_tuple(ctx, cop_a(z), 1), cop_tuple(ctx, cop_a(y), "s"));
    cop_logger_log(ctx, COP_LEVEL_INFO, keywords, COP_NONE);
    ASSERT_RECEIVE(ctx, "{:logged, :a, \"[info] [z: 1, y: \\\"s\\\"]\"}");
    cop_logger_log(ctx, COP_LEVEL_INFO, cop_a(other), COP_NONE);
    ASSERT_RECEIVE(ctx, "{:logged, :a, \"[info] :other\"}");
}

TEST(a_printed_text_may_be_long) {
    start_logger(ctx);
    cop_logger_handler_opts opts = collects(ctx, "a");
    opts.formatter.truncate = COP_NO_LIMIT;
    EXPECT_TERM(ctx, cop_logger_add_handler(ctx, &opts), ":ok");
    cop_logger_info(ctx, "%0*d", 5000, 1);
    cop_logger_info(ctx, "%0*d", 100000, 1);
    cop_term first = ASSERT_RECEIVE(ctx, "{:logged, :a, _}");
    cop_term second = ASSERT_RECEIVE(ctx, "{:logged, :a, _}");
    EXPECT_INT(cop_iodata_size(cop_elem(first, 2)), 5007);
    EXPECT_INT(cop_iodata_size(cop_elem(second, 2)), 65536 + 7);
}

TEST(a_huge_report_travels_as_the_beginning_of_its_text) {
    start_logger(ctx);
    add_collector(ctx, "a");
    cop_term list = COP_NIL;
    for (int i = 0; i < 200000; i++)
        list = cop_cons(ctx, i, list);
    cop_logger_log(ctx, COP_LEVEL_INFO, cop_map(ctx, cop_a(list), list), COP_NONE);
    cop_term got = ASSERT_RECEIVE(ctx, "{:logged, :a, _}");
    EXPECT(cop_iodata_size(cop_elem(got, 2)) < 3000);
}

TEST(a_huge_text_travels_as_its_beginning) {
    start_logger(ctx);
    cop_logger_handler_opts opts = collects(ctx, "a");
    opts.formatter.truncate = COP_NO_LIMIT;
    EXPECT_TERM(ctx, cop_logger_add_handler(ctx, &opts), ":ok");
    cop_term list = COP_NIL;
    for (int i = 0; i < 200000; i++)
        list = cop_cons(ctx, (int)'x', list);
    cop_logger_log(ctx, COP_LEVEL_INFO, list, COP_NONE);
    cop_term got = ASSERT_RECEIVE(ctx, "{:logged, :a, _}");
    EXPECT_INT(cop_iodata_size(cop_elem(got, 2)), 65536 + 7);
}

/* ---- metadata ----------------------------------------------------------------------------------------------------- */

/* A handler that sends {:event, event, metadata}. */
static void sends_events(cop_ctx *ctx, void *state, const cop_log_event *event,
                         const cop_logger_handler_opts *opts) {
    struct collector *self = state;
    cop_send(ctx, self->to, cop_tuple(ctx, cop_a(event), event->event, event->metadata));
}
static const cop_logger_handler events = { .name = "events",
                                           .state_size = sizeof(struct collector),
                                           .init = collector_init,
                                           .log = sends_events };

static void start_events(cop_ctx *ctx, bool sasl) {
    start_logger(ctx);
    cop_logger_handler_opts opts = {
        .id = cop_a(events), .module = &events, .arg = cop_self(ctx).t, .sasl_reports = sasl
    };
    EXPECT_TERM(ctx, cop_logger_add_handler(ctx, &opts), ":ok");
}

static cop_term metadata_of_next(cop_ctx *ctx) {
    return cop_elem(ASSERT_RECEIVE(ctx, "{:event, _, _}"), 2);
}

TEST(an_event_knows_its_place_process_and_time) {
    start_events(ctx, false);
    int line = __LINE__ + 1;
    cop_logger_info(ctx, "x");
    cop_term metadata = metadata_of_next(ctx);
    EXPECT_TERM(
        ctx, metadata,
        "%{file: _, function: \"an_event_knows_its_place_process_and_time\", gl: _, mfa: {:c, "
        ":an_event_knows_its_place_process_and_time, 0}}");
    int64_t n;
    EXPECT(cop_match_key(metadata, cop_a(line), line));
    EXPECT(cop_match_key(metadata, cop_a(pid), cop_self(ctx)));
    EXPECT(cop_match_key(metadata, cop_a(time), &n));
    EXPECT(n / 1000000 <= cop_system_time_ns(ctx) / 1000000000 && n > INT64_C(1600000000000000));
}

/* observed: Elixir 1.14, Logger.metadata(a: 1, b: 2); Logger.metadata(a: nil); reset_metadata(q: 1);
   Process.get() then has "$logger_metadata$": %{q: 1} */
TEST(a_process_has_metadata) {
    start_events(ctx, false);
    EXPECT_TERM(ctx, cop_logger_get_metadata(ctx), "%{}");
    cop_logger_metadata(ctx, cop_map(ctx, cop_a(a), 1, cop_a(b), 2));
    cop_logger_metadata(ctx, cop_list(ctx, cop_tuple(ctx, cop_a(a), cop_a(nil))));
    EXPECT_TERM(ctx, cop_logger_get_metadata(ctx), "%{b: 2}");
    EXPECT_INT(cop_map_size(cop_logger_get_metadata(ctx)), 1);
    cop_logger_info(ctx, "x");
    EXPECT_TERM(ctx, metadata_of_next(ctx), "%{b: 2}");
    cop_logger_reset_metadata(ctx, cop_list(ctx, cop_tuple(ctx, cop_a(q), 1)));
    EXPECT_TERM(ctx, cop_process_get(ctx, cop_as("$logger_metadata$").t), "%{q: 1}");
    cop_logger_reset_metadata(ctx, COP_NONE);
    EXPECT_INT(cop_map_size(cop_logger_get_metadata(ctx)), 0);
    EXPECT_ERROR(ctx, ":badarg") { cop_logger_metadata(ctx, cop_a(none).t); }
}

TEST(metadata_of_a_message_goes_before_that_of_the_process) {
    start_events(ctx, false);
    cop_logger_metadata(ctx, cop_map(ctx, cop_a(a), 1, cop_a(line), 2));
    cop_logger_log(ctx, COP_LEVEL_INFO, "x", cop_map(ctx, cop_a(b), 3, cop_a(a), 4));
    cop_term metadata = metadata_of_next(ctx);
    EXPECT_TERM(ctx, metadata, "%{a: 4, b: 3}");
    EXPECT(!cop_match_key(metadata, cop_a(line), 2)); /* that of the place is the message's too */
}

static void raises_badarg(cop_ctx *ctx, cop_term arg) { cop_error(ctx, cop_a(badarg)); }

/* observed: Elixir 1.14's translator: crash_reason: {%ArgumentError{}, stack}; here the error as raised. */
TEST(a_crash_of_a_raw_process_has_its_reason) {
    start_events(ctx, false);
    test_await_down(ctx, cop_spawn(ctx, raises_badarg, COP_NONE));
    EXPECT_TERM(
        ctx, metadata_of_next(ctx),
        "%{crash_reason: {:badarg, _}, error_logger: %{emulator: true, tag: :error}, pid: _}");
}

static void named_crash(cop_ctx *ctx, cop_term arg) {
    cop_process_register(ctx, cop_self(ctx), cop_a(crasher));
    cop_logger_metadata(ctx, cop_map(ctx, cop_a(u), 1));
    cop_exit(ctx, cop_a(boo));
}

/* observed: Elixir 1.14 with handle_sasl_reports, :proc_lib.spawn(fn -> Logger.metadata(u: 1); exit(:boo) end):
   crash_reason: {:boo, stack}, initial_call: {_, _, 0}, ancestors: [:me], u: 1 */
TEST(a_crash_report_has_its_reason_and_origin) {
    start_events(ctx, true);
    cop_proc_lib_spawn(ctx, named_crash, COP_NONE);
    EXPECT_TERM(ctx, metadata_of_next(ctx),
                "%{crash_reason: {:boo, _}, registered_name: :crasher, u: 1, initial_call: {:c, "
                ":named_crash, 2}, ancestors: [_ | _], domain: [:otp, :sasl], error_logger: %{tag: "
                ":error_report, type: :crash_report}}");
}

static cop_init srv_init(cop_ctx *ctx, void *state, cop_term arg) { return cop_init_ok(); }
static cop_next srv_cast(cop_ctx *ctx, void *state, cop_term request) {
    return cop_stop(cop_a(bad));
}
static const cop_gen_server srv = {
    .name = "Srv", .state_size = 8, .init = srv_init, .handle_cast = srv_cast
};

TEST(a_report_of_a_server_has_its_reason_and_name) {
    start_events(ctx, false);
    cop_started s =
        cop_gen_server_start(ctx, &srv, COP_NONE, &(cop_start_opts){ .name = cop_a(my_server) });
    cop_gen_server_cast(ctx, s.pid, cop_a(x));
    EXPECT_TERM(ctx, metadata_of_next(ctx),
                "%{crash_reason: {:bad, []}, registered_name: :my_server, domain: [:otp]}");
}

/* ---- reports of the domain [:otp, :sasl] -------------------------------------------------------------------------- */

TEST(reports_of_sasl_go_only_where_they_are_wanted) {
    start_logger(ctx);
    add_collector(ctx, "plain");
    cop_logger_handler_opts opts = collects(ctx, "sasl");
    opts.sasl_reports = true;
    opts.level = COP_LEVEL_ERROR;
    EXPECT_TERM(ctx, cop_logger_add_handler(ctx, &opts), ":ok");
    test_flush(ctx);
    cop_proc_lib_spawn(ctx, named_crash, COP_NONE);
    cop_term got = ASSERT_RECEIVE(ctx, "{:logged, _, _}");
    EXPECT_TERM(ctx, cop_elem(got, 1), ":sasl");
    cop_logger_flush(ctx);
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

/* ---- capturing ----------------------------------------------------------------------------------------------------- */

static void logs_two(cop_ctx *ctx, cop_term arg) {
    cop_logger_info(ctx, "one");
    cop_logger_error(ctx, "two");
}

TEST(what_is_logged_is_caught_as_text) {
    start_logger(ctx);
    add_collector(ctx, "a");
    cop_term server = cop_process_whereis(ctx, cop_a(logger));
    EXPECT_TERM(ctx, test_log_of(ctx, logs_two, COP_NIL), "\"\\n[info] one\\n\\n[error] two\\n\"");
    EXPECT_SAME(ctx, cop_process_whereis(ctx, cop_a(logger)), server);
    cop_logger_info(ctx, "after");
    ASSERT_RECEIVE(ctx, "{:logged, :a, \"[info] after\"}");
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

TEST(what_is_logged_is_caught_without_a_logger_too) {
    EXPECT_TERM(ctx, test_log_of(ctx, logs_two, COP_NIL), "\"\\n[info] one\\n\\n[error] two\\n\"");
    EXPECT(cop_is_none(cop_process_whereis(ctx, cop_a(logger))));
}

/* ---- the beginning and the end of a node --------------------------------------------------------------------------- */

static char path[200];

static const char *file_content(void) {
    static char text[100000];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    text[n > 0 ? n : 0] = '\0';
    if (fd >= 0)
        close(fd);
    unlink(path);
    return text;
}

static cop_node_opts to_file(void) {
    static cop_logger_handler_opts handler;
    static cop_logger_opts logger;
    const char *folder = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/coppice_log_%llx", folder != NULL ? folder : "/tmp",
             (unsigned long long)test_unique());
    handler = (cop_logger_handler_opts){ .file = path,
                                         .queue_limit = 10000,
                                         .formatter = { .pattern = "$level $message\n" } };
    logger = (cop_logger_opts){ .handler = &handler };
    return (cop_node_opts){ .logger = &logger };
}

static void waits_for_logger(cop_ctx *ctx) {
    while (cop_is_none(cop_process_whereis(ctx, cop_a(logger))))
        cop_process_sleep(ctx, 1);
}

static void logs_and_ends(cop_ctx *ctx, cop_term arg) {
    waits_for_logger(ctx);
    for (int i = 0; i < 3000; i++)
        cop_logger_info(ctx, "%d", i);
    cop_node_shutdown(ctx, 3);
}

TEST_HOST(a_node_that_stops_has_written_what_was_accepted) {
    cop_node_opts opts = to_file();
    EXPECT_INT(cop_run(&opts, logs_and_ends), 3);
    const char *at = file_content();
    for (int i = 0; i < 3000; i++) {
        char line[32];
        int n = snprintf(line, sizeof line, "info %d\n", i);
        EXPECT(strncmp(at, line, (size_t)n) == 0);
        at += n;
    }
    EXPECT_STR(at, "");
}

static void last_words(cop_ctx *ctx, void *arg) { cop_logger_warning(ctx, "last words"); }

static void speaks_when_killed(cop_ctx *ctx, cop_term arg) {
    cop_defer(ctx, last_words, NULL);
    cop_send(ctx, cop_process_parent(ctx), cop_a(ready));
    cop_process_sleep(ctx, COP_INFINITY);
}

static void leaves_a_speaker(cop_ctx *ctx, cop_term arg) {
    waits_for_logger(ctx);
    cop_spawn(ctx, speaks_when_killed, COP_NONE);
    ASSERT_RECEIVE(ctx, ":ready");
    cop_node_shutdown(ctx, 0);
}

TEST_HOST(what_is_logged_while_the_node_stops_is_written_too) {
    cop_node_opts opts = to_file();
    EXPECT_INT(cop_run(&opts, leaves_a_speaker), 0);
    EXPECT_STR(file_content(), "warning last words\n");
}

TEST_HOST(a_second_node_logs_again) {
    for (int i = 0; i < 3; i++) {
        cop_node_opts opts = to_file();
        EXPECT_INT(cop_run(&opts, leaves_a_speaker), 0);
        EXPECT_STR(file_content(), "warning last words\n");
    }
}

static int level_seen;
static void sees_level(cop_ctx *ctx, cop_term arg) {
    level_seen = (int)cop_logger_level();
    cop_logger_info(ctx, "not written");
}

TEST_HOST(a_node_begins_with_the_level_of_its_options) {
    cop_node_opts opts = to_file();
    opts.log_level = "error";
    EXPECT_INT(cop_run(&opts, sees_level), 0);
    EXPECT_INT(level_seen, COP_LEVEL_ERROR);
    EXPECT_STR(file_content(), "");
    opts.log_level = NULL;
    setenv("COP_LOG_LEVEL", "none", 1);
    EXPECT_INT(cop_run(&opts, sees_level), 0);
    EXPECT_INT(level_seen, COP_LEVEL_NONE);
    setenv("COP_LOG_LEVEL", "loud", 1);
    EXPECT_INT(cop_run(&opts, sees_level), -EINVAL);
    unsetenv("COP_LOG_LEVEL");
    EXPECT_INT(cop_run(&opts, sees_level), 0);
    EXPECT_INT(level_seen, COP_LEVEL_DEBUG);
    unlink(path);
}

static void crash_is_watched(cop_ctx *ctx, cop_term arg) {
    test_await_down(ctx, cop_spawn(ctx, raises_badarg, COP_NONE));
    cop_node_shutdown(ctx, 0);
}

/* What a node without a logger writes to standard error while a process of its crashes. */
static const char *stderr_of(bool no_logger) {
    static char text[4096];
    int ends[2], before = dup(STDERR_FILENO);
    EXPECT_INT(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    cop_node_opts opts = { .no_logger = no_logger };
    EXPECT_INT(cop_node_start(&opts), 0);
    cop_node_spawn(crash_is_watched);
    cop_node_wait();
    cop_node_stop();
    dup2(before, STDERR_FILENO);
    close(before);
    close(ends[1]);
    ssize_t n = read(ends[0], text, sizeof text - 1);
    text[n > 0 ? n : 0] = '\0';
    close(ends[0]);
    return text;
}

TEST_HOST(before_there_is_a_logger_errors_go_to_standard_error) {
    const char *text = stderr_of(false);
    const char *first = "\n[error] {:format, 'Error in process ~p with exit value:~n~p~n', [#PID<";
    EXPECT(strncmp(text, first, strlen(first)) == 0);
    EXPECT(strstr(text, "{:badarg, [") != NULL);
}

TEST_HOST(a_node_that_wants_no_logger_says_nothing) { EXPECT_STR(stderr_of(true), ""); }
