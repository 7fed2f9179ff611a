/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handlers: what reaches them, in which order, what happens to one that breaks or cannot keep up, and that
 * nothing of it hurts or delays who logs.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "logger_help.h"

/* ---- adding and removing -------------------------------------------------------------------------------- */

TEST(an_event_reaches_every_handler_of_its_level) {
    start_logger(ctx);
    add_collector(ctx, "all");
    cop_logger_handler_opts opts = collects(ctx, "errors");
    opts.level = COP_LEVEL_ERROR;
    EXPECT_TERM(ctx, cop_logger_add_handler(ctx, &opts), ":ok");
    cop_logger_info(ctx, "one %d", 1);
    cop_logger_error(ctx, "two");
    ASSERT_RECEIVE(ctx, "{:logged, :all, \"[info] one 1\"}");
    ASSERT_RECEIVE(ctx, "{:logged, :all, \"[error] two\"}");
    ASSERT_RECEIVE(ctx, "{:logged, :errors, \"[error] two\"}");
    cop_logger_flush(ctx);
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

/* observed: OTP 25's logger:add_handler/3 and remove_handler/1. */
TEST(adding_and_removing_answer_as_OTP_does) {
    start_logger(ctx);
    add_collector(ctx, "a");
    add_collector(ctx, "b");
    cop_logger_handler_opts again = collects(ctx, "a");
    EXPECT_TERM(ctx, cop_logger_add_handler(ctx, &again), "{:error, {:already_exist, :a}}");
    EXPECT_TERM(ctx, cop_logger_get_handler_ids(ctx), "[:a, :b]");
    EXPECT_TERM(ctx, cop_logger_remove_handler(ctx, cop_a(a)), ":ok");
    EXPECT_TERM(ctx, cop_logger_remove_handler(ctx, cop_a(a)), "{:error, {:not_found, :a}}");
    EXPECT_TERM(ctx, cop_logger_get_handler_ids(ctx), "[:b]");
    EXPECT_TERM(ctx, cop_logger_get_handler_config(ctx, cop_a(a)), "{:error, {:not_found, :a}}");
    EXPECT_TERM(ctx, cop_logger_get_handler_config(ctx, cop_a(b)),
                "{:ok, %{id: :b, level: :debug, module: :collector, queued: 0, dropped: 0}}");
}

TEST(a_handler_whose_init_refuses_is_not_added) {
    start_logger(ctx);
    cop_logger_handler_opts opts = collects(ctx, "a");
    opts.arg = cop_a(nobody).t;
    EXPECT_TERM(ctx, cop_logger_add_handler(ctx, &opts), "{:error, {:handler_not_added, :no_pid}}");
    EXPECT_TERM(ctx, cop_logger_get_handler_ids(ctx), "[]");
}

static cop_term never_starts(cop_ctx *ctx, void *state, const cop_logger_handler_opts *opts) {
    cop_process_sleep(ctx, COP_INFINITY);
    return cop_a(ok).t;
}

static void adds_one_that_never_starts(cop_ctx *ctx) {
    static const cop_logger_handler module = { .name = "never", .init = never_starts };
    start_logger(ctx);
    cop_logger_handler_opts opts = { .id = cop_a(a), .module = &module };
    EXPECT_TERM(ctx, cop_logger_add_handler(ctx, &opts),
                "{:error, {:handler_not_added, :timeout}}");
}

TEST_HOST(a_handler_has_five_seconds_to_start) { simulate(20, adds_one_that_never_starts); }

TEST(a_bad_configuration_is_refused) {
    start_logger(ctx);
    cop_logger_handler_opts opts = collects(ctx, "a");
    opts.formatter.pattern = "$tme $message";
    EXPECT_TERM(ctx, cop_logger_add_handler(ctx, &opts), "{:error, :bad_config}");
    opts = (cop_logger_handler_opts){ .module = &collector };
    EXPECT_TERM(ctx, cop_logger_add_handler(ctx, &opts), "{:error, :bad_config}");
}

TEST(no_more_than_sixteen_handlers) {
    start_logger(ctx);
    char id[16];
    for (int i = 0; i < 16; i++) {
        snprintf(id, sizeof id, "h%d", i);
        add_collector(ctx, id);
    }
    cop_logger_handler_opts opts = collects(ctx, "too_many");
    EXPECT_TERM(ctx, cop_logger_add_handler(ctx, &opts),
                "{:error, {:handler_not_added, :system_limit}}");
}

TEST(without_a_logger_there_are_no_handlers) {
    cop_logger_handler_opts opts = collects(ctx, "a");
    EXPECT_TERM(ctx, cop_logger_add_handler(ctx, &opts), "{:error, :no_logger}");
    cop_logger_flush(ctx);
}

TEST(a_removed_handler_first_writes_what_it_has_accepted) {
    start_logger(ctx);
    add_collector(ctx, "a");
    for (int i = 0; i < 50; i++)
        cop_logger_info(ctx, "%d", i);
    EXPECT_TERM(ctx, cop_logger_remove_handler(ctx, cop_a(a)), ":ok");
    cop_term got = test_flush(ctx);
    EXPECT_INT(cop_list_length(got), 51);
    EXPECT_TERM(ctx, cop_head(got), "{:logged, :a, \"[info] 0\"}");
    EXPECT_TERM(ctx, cop_head(cop_list_reverse(ctx, got)), "{:terminated, :a}");
}

TEST(a_handler_takes_another_configuration) {
    start_logger(ctx);
    add_collector(ctx, "a");
    cop_logger_handler_opts opts = collects(ctx, "a");
    opts.level = COP_LEVEL_WARNING;
    opts.formatter.pattern = "<$message>";
    EXPECT_TERM(ctx, cop_logger_set_handler_config(ctx, &opts), ":ok");
    cop_logger_info(ctx, "not this");
    cop_logger_warning(ctx, "this");
    ASSERT_RECEIVE(ctx, "{:logged, :a, \"<this>\"}");
    opts.id = cop_a(b);
    EXPECT_TERM(ctx, cop_logger_set_handler_config(ctx, &opts), "{:error, {:not_found, :b}}");
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

TEST(handlers_are_children_of_a_supervisor) {
    start_logger(ctx);
    add_collector(ctx, "a");
    EXPECT_TERM(ctx, cop_supervisor_count_children(ctx, cop_a(logger_handlers)),
                "%{active: 1, workers: 1}");
    EXPECT_TERM(ctx, cop_supervisor_which_children(ctx, cop_a(logger_sup)),
                "[{:logger, _, :worker, _}, {:logger_handlers, _, :supervisor, _}]");
}

/* ---- order ------------------------------------------------------------------------------------------------ */

static void logs_many(cop_ctx *ctx, cop_term arg) {
    int64_t who = 0;
    cop_get_i64(arg, &who);
    for (int i = 0; i < 40; i++) {
        cop_logger_info(ctx, "%d %d", (int)who, i);
        if (i % 7 == 0)
            cop_yield(ctx);
    }
}

TEST(the_events_of_one_process_keep_their_order) {
    start_logger(ctx);
    add_collector(ctx, "a");
    add_collector(ctx, "b");
    cop_spawned workers[5];
    int next[2][5] = { { 0 } };
    for (int i = 0; i < 5; i++)
        workers[i] = cop_spawn_monitor(ctx, logs_many, cop_of(ctx, i));
    for (int i = 0; i < 5; i++)
        test_await_down(ctx, workers[i].pid);
    cop_logger_flush(ctx);
    cop_term list = test_flush(ctx), message;
    while (cop_get_cons(list, &message, &list)) {
        cop_bytes text;
        int who, n;
        if (!cop_match(cop_elem(message, 0), cop_a(logged)))
            continue;
        EXPECT(cop_get_bytes(cop_elem(message, 2), &text));
        char line[64];
        snprintf(line, sizeof line, "%.*s", (int)text.size, (const char *)text.data);
        EXPECT_INT(sscanf(line, "[info] %d %d", &who, &n), 2);
        bool second = cop_match(cop_elem(message, 1), cop_a(b));
        EXPECT_INT(n, next[second][who]++);
    }
    for (int i = 0; i < 10; i++)
        EXPECT_INT(next[i / 5][i % 5], 40);
}

/* ---- crashes ------------------------------------------------------------------------------------------------ */

static volatile uintptr_t nowhere = 8;

static void fragile_log(cop_ctx *ctx, void *state, const cop_log_event *event,
                        const cop_logger_handler_opts *opts) {
    cop_bytes text;
    if (cop_get_bytes(cop_logger_message(ctx, event, false), &text)) {
        if (text.size == 5 && memcmp(text.data, "break", 5) == 0)
            cop_error(ctx, cop_a(broken));
        if (text.size == 5 && memcmp(text.data, "fault", 5) == 0)
            *(volatile int *)nowhere = 1;
    }
    collector_log(ctx, state, event, opts);
}

static const cop_logger_handler fragile = { .name = "fragile",
                                            .state_size = sizeof(struct collector),
                                            .init = collector_init,
                                            .log = fragile_log };

static void start_fragile(cop_ctx *ctx) {
    start_logger(ctx);
    add_collector(ctx, "good");
    cop_logger_handler_opts opts = collects(ctx, "bad");
    opts.module = &fragile;
    EXPECT_TERM(ctx, cop_logger_add_handler(ctx, &opts), ":ok");
}

/* Waits for the event with this beginning at :good. */
static bool is_at_good(cop_term message, void *beginning) {
    cop_bytes text;
    return cop_tuple_size(message) == 3 && cop_match(cop_elem(message, 1), cop_a(good))
           && cop_get_bytes(cop_elem(message, 2), &text) && text.size >= strlen(beginning)
           && memcmp(text.data, beginning, strlen(beginning)) == 0;
}

static void await_good(cop_ctx *ctx, const char *beginning) {
    cop_term message;
    char text[200];
    snprintf(text, sizeof text, "%s", beginning);
    if (!cop_receive_match(ctx, 5000, is_at_good, text, &message))
        FAIL("no event that begins with %s", beginning);
}

TEST(a_handler_that_crashes_is_started_again_and_the_others_say_so) {
    start_fragile(ctx);
    cop_pid before = handler_pid(ctx, "bad");
    cop_logger_info(ctx, "break");
    await_good(ctx, "[info] break");
    await_good(ctx, "[error] GenServer ");
    await_good(ctx, "[error] Logger handler :bad was started again: ");
    EXPECT(!cop_process_is_alive(ctx, before));
    test_flush(ctx);
    cop_logger_info(ctx, "and on");
    ASSERT_RECEIVE(ctx, "{:logged, :bad, \"[info] and on\"}");
    ASSERT_RECEIVE(ctx, "{:logged, :good, \"[info] and on\"}");
}

TEST(what_waited_for_a_crashed_handler_counts_as_dropped) {
    start_fragile(ctx);
    cop_pid bad = handler_pid(ctx, "bad");
    cop_process_suspend(ctx, bad, 0);
    cop_logger_info(ctx, "break");
    for (int i = 0; i < 4; i++)
        cop_logger_info(ctx, "lost");
    cop_process_resume(ctx, bad);
    await_good(ctx, "[error] Logger handler :bad was started again: ");
    cop_logger_info(ctx, "next");
    ASSERT_RECEIVE(ctx, "{:logged, :bad, \"[info] next\"}");
    ASSERT_RECEIVE(ctx, "{:logged, :bad, \"[warning] Logger handler :bad dropped 4 messages\"}");
}

TEST(a_handler_that_crashes_too_often_is_removed) {
    start_fragile(ctx);
    for (int i = 0; i < 4; i++) {
        cop_logger_info(ctx, "break");
        await_good(ctx, i < 3 ? "[error] Logger handler :bad was started again: "
                              : "[error] Logger handler :bad was removed: ");
    }
    EXPECT_TERM(ctx, cop_logger_get_handler_ids(ctx), "[:good]");
}

static void crashes_far_apart(cop_ctx *ctx) {
    start_fragile(ctx);
    for (int i = 0; i < 6; i++) {
        cop_logger_info(ctx, "break");
        await_good(ctx, "[error] Logger handler :bad was started again: ");
        cop_process_sleep(ctx, 6000); /* of virtual time */
    }
    EXPECT_TERM(ctx, cop_logger_get_handler_ids(ctx), "[:good, :bad]");
}

TEST_HOST(crashes_that_are_far_apart_do_not_add_up) { simulate(20, crashes_far_apart); }

TEST(a_fault_in_a_handler_hurts_nobody) {
    start_fragile(ctx);
    cop_logger_info(ctx, "fault");
    await_good(ctx, "[error] Logger handler :bad was started again: {{:sigsegv, 8}");
    cop_logger_info(ctx, "after");
    ASSERT_RECEIVE(ctx, "{:logged, :bad, \"[info] after\"}");
}

TEST(the_server_may_crash_and_finds_its_handlers_again) {
    start_logger(ctx);
    add_collector(ctx, "a");
    cop_pid handler = handler_pid(ctx, "a"), server = { cop_process_whereis(ctx, cop_a(logger)) };
    cop_process_exit(ctx, server, cop_a(kill));
    test_await_down(ctx, server);
    cop_logger_info(ctx, "without a server");
    ASSERT_RECEIVE(ctx, "{:logged, :a, \"[info] without a server\"}");
    while (cop_is_none(cop_process_whereis(ctx, cop_a(logger))))
        cop_process_sleep(ctx, 1);
    EXPECT_SAME(ctx, handler_pid(ctx, "a"), handler);
    cop_process_exit(ctx, handler, cop_a(kill)); /* it is watched again */
    test_await_down(ctx, handler);
    cop_gen_server_call(ctx, cop_a(logger), cop_a(flush), 0);
    EXPECT_TERM(ctx, cop_logger_get_handler_ids(ctx), "[:a]");
    test_flush(ctx);
    cop_logger_info(ctx, "again");
    ASSERT_RECEIVE(ctx, "{:logged, :a, \"[info] again\"}");
}

TEST(who_ends_a_handler_in_order_removes_it) {
    start_logger(ctx);
    add_collector(ctx, "a");
    cop_gen_server_stop(ctx, handler_pid(ctx, "a"), cop_a(normal), 0);
    cop_gen_server_call(ctx, cop_a(logger), cop_a(flush), 0);
    EXPECT_TERM(ctx, cop_logger_get_handler_ids(ctx), "[]");
}

/* ---- overload ------------------------------------------------------------------------------------------------- */

TEST(beyond_its_limit_events_are_dropped_counted_and_told_once) {
    start_logger(ctx);
    cop_logger_handler_opts opts = collects(ctx, "slow");
    opts.queue_limit = 10;
    EXPECT_TERM(ctx, cop_logger_add_handler(ctx, &opts), ":ok");
    cop_pid slow = handler_pid(ctx, "slow");
    cop_process_suspend(ctx, slow, 0);
    for (int i = 0; i < 25; i++) /* nobody waits: the handler does not run */
        cop_logger_info(ctx, "%d", i);
    EXPECT_TERM(ctx, cop_logger_get_handler_config(ctx, cop_a(slow)),
                "{:ok, %{queued: 10, dropped: 15}}");
    cop_process_resume(ctx, slow);
    cop_logger_flush(ctx);
    cop_logger_info(ctx, "fine again");
    cop_logger_flush(ctx);
    cop_term got = test_flush(ctx);
    EXPECT_INT(cop_list_length(got), 12);
    int told = 0;
    for (cop_term head; cop_get_cons(got, &head, &got);)
        if (cop_match(cop_elem(head, 2), "[warning] Logger handler :slow dropped 15 messages"))
            told++;
        else if (cop_is_nil(got))
            EXPECT_TERM(ctx, head, "{:logged, :slow, \"[info] fine again\"}");
    EXPECT_INT(told, 1);
    EXPECT_TERM(ctx, cop_logger_get_handler_config(ctx, cop_a(slow)),
                "{:ok, %{queued: 0, dropped: 0}}");
}

TEST(a_slow_handler_does_not_keep_events_from_the_others) {
    start_logger(ctx);
    add_collector(ctx, "quick");
    cop_logger_handler_opts opts = collects(ctx, "slow");
    opts.queue_limit = 1;
    EXPECT_TERM(ctx, cop_logger_add_handler(ctx, &opts), ":ok");
    cop_process_suspend(ctx, handler_pid(ctx, "slow"), 0);
    for (int i = 0; i < 30; i++)
        cop_logger_info(ctx, "x");
    for (int i = 0; i < 30; i++)
        ASSERT_RECEIVE(ctx, "{:logged, :quick, \"[info] x\"}");
}

TEST(a_burst_is_cut_and_told_when_its_window_is_over) {
    start_logger(ctx);
    cop_logger_handler_opts opts = collects(ctx, "a");
    opts.burst_limit = 5;
    opts.burst_window_ms = 200;
    EXPECT_TERM(ctx, cop_logger_add_handler(ctx, &opts), ":ok");
    int64_t before = cop_monotonic_ms(ctx);
    for (int i = 0; i < 12; i++)
        cop_logger_info(ctx, "%d", i);
    cop_logger_flush(ctx);
    if (cop_monotonic_ms(ctx) - before < 200)
        EXPECT_INT(cop_list_length(test_flush(ctx)), 5);
    ASSERT_RECEIVE(ctx, "{:logged, :a, \"[warning] Logger handler :a dropped 7 messages\"}");
    EXPECT(cop_monotonic_ms(ctx) - before >= 199);
    cop_logger_info(ctx, "next window");
    ASSERT_RECEIVE(ctx, "{:logged, :a, \"[info] next window\"}");
}

TEST(a_handler_that_is_far_behind_drops_all_that_waits) {
    start_logger(ctx);
    cop_logger_handler_opts opts = collects(ctx, "a");
    opts.flush_limit = 10;
    EXPECT_TERM(ctx, cop_logger_add_handler(ctx, &opts), ":ok");
    cop_pid pid = handler_pid(ctx, "a");
    cop_process_suspend(ctx, pid, 0);
    for (int i = 0; i < 30; i++)
        cop_logger_info(ctx, "old");
    cop_process_resume(ctx, pid);
    cop_logger_flush(ctx);
    cop_logger_info(ctx, "new");
    cop_logger_flush(ctx);
    EXPECT_TERM(ctx, test_flush(ctx),
                "[{:logged, :a, \"[warning] Logger handler :a dropped 30 messages\"}, "
                "{:logged, :a, \"[info] new\"}]");
}

static void raises(cop_ctx *ctx, cop_term arg) { cop_error(ctx, cop_a(oops)); }

TEST(errors_of_ending_processes_come_by_the_server_and_are_bounded_too) {
    start_logger(ctx);
    add_collector(ctx, "a");
    cop_pid server = { cop_process_whereis(ctx, cop_a(logger)) };
    cop_process_suspend(ctx, server, 0);
    for (int i = 0; i < 1010; i++)
        test_await_down(ctx, cop_spawn(ctx, raises, COP_NONE));
    EXPECT_TERM(ctx, cop_process_info(ctx, server, cop_a(message_queue_len)), "1000");
    cop_process_resume(ctx, server);
    ASSERT_RECEIVE(ctx, "{:logged, :a, \"[warning] Logger handler :logger dropped 10 messages\"}");
}

/* ---- filters ---------------------------------------------------------------------------------------------------- */

static cop_filter_result no_secrets(cop_ctx *ctx, cop_log_event *event, const void *arg) {
    cop_bytes text;
    if (!cop_match_tuple(event->event, cop_a(string), &text))
        return COP_FILTER_IGNORE;
    if (text.size == 6 && memcmp(text.data, "secret", 6) == 0)
        return COP_FILTER_STOP;
    if (text.size == 4 && memcmp(text.data, "name", 4) == 0) {
        event->event = cop_tuple(ctx, cop_a(string), (const char *)arg);
        return COP_FILTER_LOG;
    }
    return COP_FILTER_IGNORE;
}

TEST(a_handlers_filter_stops_and_changes_events) {
    static const cop_logger_filter filters[] = { { "secrets", no_secrets, "NAME" } };
    start_logger(ctx);
    add_collector(ctx, "plain");
    cop_logger_handler_opts opts = collects(ctx, "filtered");
    opts.filters = filters;
    opts.filter_count = 1;
    EXPECT_TERM(ctx, cop_logger_add_handler(ctx, &opts), ":ok");
    cop_logger_info(ctx, "secret");
    cop_logger_info(ctx, "name");
    cop_logger_info(ctx, "other");
    ASSERT_RECEIVE(ctx, "{:logged, :plain, \"[info] secret\"}");
    ASSERT_RECEIVE(ctx, "{:logged, :plain, \"[info] name\"}");
    ASSERT_RECEIVE(ctx, "{:logged, :filtered, \"[info] NAME\"}");
    ASSERT_RECEIVE(ctx, "{:logged, :filtered, \"[info] other\"}");
    cop_logger_flush(ctx);
    EXPECT_TERM(ctx, test_flush(ctx), "[{:logged, :plain, \"[info] other\"}]");
}

TEST(without_a_filter_that_says_log_the_default_decides) {
    static const cop_logger_filter filters[] = { { "secrets", no_secrets, "NAME" } };
    start_logger(ctx);
    cop_logger_handler_opts opts = collects(ctx, "a");
    opts.filters = filters;
    opts.filter_count = 1;
    opts.filter_default_stop = true;
    EXPECT_TERM(ctx, cop_logger_add_handler(ctx, &opts), ":ok");
    cop_logger_info(ctx, "other");
    cop_logger_info(ctx, "name");
    cop_logger_flush(ctx);
    EXPECT_TERM(ctx, test_flush(ctx), "[{:logged, :a, \"[info] NAME\"}]");
}

TEST(a_primary_filter_is_for_all_handlers) {
    static const cop_logger_filter filter = { "secrets", no_secrets, "NAME" };
    start_logger(ctx);
    add_collector(ctx, "a");
    add_collector(ctx, "b");
    EXPECT(cop_logger_add_primary_filter(&filter));
    EXPECT(!cop_logger_add_primary_filter(&filter));
    cop_logger_info(ctx, "secret");
    cop_logger_flush(ctx);
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
    EXPECT(cop_logger_remove_primary_filter("secrets"));
    EXPECT(!cop_logger_remove_primary_filter("secrets"));
    cop_logger_info(ctx, "secret");
    ASSERT_RECEIVE(ctx, "{:logged, :a, \"[info] secret\"}");
    ASSERT_RECEIVE(ctx, "{:logged, :b, \"[info] secret\"}");
}

static cop_filter_result failing(cop_ctx *ctx, cop_log_event *event, const void *arg) {
    cop_throw(ctx, cop_a(ball));
}

TEST(a_filter_that_raises_is_removed_and_the_caller_goes_on) {
    static const cop_logger_filter filter = { "failing", failing, NULL };
    start_logger(ctx);
    add_collector(ctx, "a");
    EXPECT(cop_logger_add_primary_filter(&filter));
    cop_logger_info(ctx, "one");
    cop_logger_info(ctx, "two");
    cop_logger_flush(ctx);
    EXPECT_TERM(ctx, test_flush(ctx),
                "[{:logged, :a, \"[error] Logger filter \\\"failing\\\" was removed: :ball\"}, "
                "{:logged, :a, \"[info] one\"}, {:logged, :a, \"[info] two\"}]");
}

static void log_domain(cop_ctx *ctx, const char *domain) {
    cop_term list = COP_NIL;
    if (domain[0] != '\0')
        list = cop_list(ctx, cop_a(app), cop_atom_new(domain));
    cop_logger_log(ctx, COP_LEVEL_INFO, domain, cop_map(ctx, cop_a(domain), list));
}

/* As :logger_filters.domain/2 with sub and equal. */
TEST(domains_are_filtered) {
    static const cop_domain_filter only_db = { .domain = "app.db", .log = true };
    static const cop_logger_filter filters[] = { { "db", cop_logger_filter_domain, &only_db } };
    start_logger(ctx);
    cop_logger_handler_opts opts = collects(ctx, "a");
    opts.filters = filters;
    opts.filter_count = 1;
    opts.filter_default_stop = true;
    EXPECT_TERM(ctx, cop_logger_add_handler(ctx, &opts), ":ok");
    log_domain(ctx, "db");
    log_domain(ctx, "dbx");
    log_domain(ctx, "");
    cop_logger_info(ctx, "none");
    cop_logger_flush(ctx);
    EXPECT_TERM(ctx, test_flush(ctx), "[{:logged, :a, \"[info] db\"}]");
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static char path[200];

static void add_file(cop_ctx *ctx, uint64_t max_bytes, unsigned max_files) {
    const char *folder = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/coppice_log_%llx", folder != NULL ? folder : "/tmp",
             (unsigned long long)test_unique());
    cop_logger_handler_opts opts = { .id = cop_a(file),
                                     .file = path,
                                     .max_no_bytes = max_bytes,
                                     .max_no_files = max_files,
                                     .formatter = { .pattern = "$message\n" } };
    EXPECT_TERM(ctx, cop_logger_add_handler(ctx, &opts), ":ok");
}

/* What stands in the file with that ending; NULL when there is none. It is taken away. */
static const char *content(const char *ending) {
    static char text[4096], name[256];
    snprintf(name, sizeof name, "%s%s", path, ending);
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    ssize_t n = read(fd, text, sizeof text - 1);
    text[n > 0 ? n : 0] = '\0';
    close(fd);
    unlink(name);
    return text;
}

TEST(a_file_gets_its_lines) {
    start_logger(ctx);
    add_file(ctx, 0, 0);
    cop_logger_info(ctx, "one");
    cop_logger_info(ctx, "two");
    cop_logger_flush(ctx);
    EXPECT_STR(content(""), "one\ntwo\n");
}

TEST(a_file_that_is_full_is_kept_under_a_number) {
    start_logger(ctx);
    add_file(ctx, 10, 2);
    for (int i = 0; i < 8; i++)
        cop_logger_info(ctx, "%d23", i);
    cop_logger_flush(ctx);
    EXPECT_STR(content(""), "623\n723\n");
    EXPECT_STR(content(".0"), "423\n523\n");
    EXPECT_STR(content(".1"), "223\n323\n");
    EXPECT(content(".2") == NULL);
}

TEST(a_full_file_is_emptied_when_none_is_to_be_kept) {
    start_logger(ctx);
    add_file(ctx, 10, 0);
    for (int i = 0; i < 3; i++)
        cop_logger_info(ctx, "%d23", i);
    cop_logger_flush(ctx);
    EXPECT_STR(content(""), "223\n");
    EXPECT(content(".0") == NULL);
}

TEST(a_file_that_was_moved_away_is_opened_again) {
    start_logger(ctx);
    add_file(ctx, 0, 0);
    cop_logger_info(ctx, "before");
    cop_logger_flush(ctx);
    char moved[256];
    snprintf(moved, sizeof moved, "%s.old", path);
    EXPECT_INT(rename(path, moved), 0);
    cop_logger_flush(ctx);
    cop_logger_info(ctx, "after");
    cop_logger_flush(ctx);
    EXPECT_STR(content(""), "after\n");
    EXPECT_STR(content(".old"), "before\n");
}

TEST(a_file_that_cannot_be_opened_is_an_error) {
    start_logger(ctx);
    cop_logger_handler_opts opts = { .id = cop_a(file), .file = "/no/such/folder/log" };
    EXPECT_TERM(ctx, cop_logger_add_handler(ctx, &opts),
                "{:error, {:handler_not_added, {:file_error, \"/no/such/folder/log\", _}}}");
}

TEST(what_cannot_be_written_is_told_to_the_others_once) {
    start_logger(ctx);
    add_collector(ctx, "a");
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    cop_logger_handler_opts opts = { .id = cop_a(full), .fd = fd };
    EXPECT_TERM(ctx, cop_logger_add_handler(ctx, &opts), ":ok");
    cop_logger_info(ctx, "one");
    cop_logger_info(ctx, "two");
    cop_logger_flush(ctx);
    cop_logger_flush(ctx);
    cop_term got = test_flush(ctx);
    EXPECT_INT(cop_list_length(got), 3);
    int told = 0;
    for (cop_term head; cop_get_cons(got, &head, &got);)
        told += cop_match(cop_elem(head, 2), "[error] Logger handler :full could not write: "
                                             "\"No space left on device\"");
    EXPECT_INT(told, 1);
    close(fd);
}

TEST(a_closed_pipe_is_told_and_ends_nothing) {
    int ends[2];
    start_logger(ctx);
    add_collector(ctx, "a");
    EXPECT_INT(pipe(ends), 0);
    cop_logger_handler_opts opts = { .id = cop_a(pipe), .fd = ends[1] };
    EXPECT_TERM(ctx, cop_logger_add_handler(ctx, &opts), ":ok");
    close(ends[0]);
    cop_logger_info(ctx, "x");
    ASSERT_RECEIVE(ctx, "{:logged, :a, \"[error] Logger handler :pipe could not write: "
                        "\\\"Broken pipe\\\"\"}");
    close(ends[1]);
}

static void stuck_log(cop_ctx *ctx, void *state, const cop_log_event *event,
                      const cop_logger_handler_opts *opts) {
    for (;;)
        cop_process_sleep(ctx, 1000000);
}
static const cop_logger_handler stuck = { .name = "stuck", .log = stuck_log };

static void has_a_stuck_handler(cop_ctx *ctx) {
    start_logger(ctx);
    add_collector(ctx, "a");
    cop_logger_handler_opts opts = { .id = cop_a(stuck), .module = &stuck };
    EXPECT_TERM(ctx, cop_logger_add_handler(ctx, &opts), ":ok");
    cop_logger_info(ctx, "x");
    ASSERT_RECEIVE(ctx, "{:logged, :a, \"[info] x\"}");
    int64_t before = cop_monotonic_ms(ctx);
    cop_logger_flush(ctx);
    int64_t took = cop_monotonic_ms(ctx) - before;
    EXPECT(took >= 5000 && took < 6000);
    cop_logger_info(ctx, "y"); /* and the node stops */
    ASSERT_RECEIVE(ctx, "{:logged, :a, \"[info] y\"}");
}

TEST_HOST(a_handler_that_is_stuck_holds_up_a_flush_and_a_stop_for_five_seconds) {
    simulate(20, has_a_stuck_handler);
}

/* ---- many at once -------------------------------------------------------------------------------------------------- */

static void logs_and_yields(cop_ctx *ctx, cop_term arg) {
    int64_t n = 0;
    cop_get_i64(arg, &n);
    for (int64_t i = 0; i < n; i++) {
        COP_SCOPE(ctx) { cop_logger_info(ctx, "event"); }
        if (i % 16 == 0)
            cop_yield(ctx);
    }
}

/* Counts, and forgets. */
static int64_t counted, told_as_dropped;
static void counts(cop_ctx *ctx, void *state, const cop_log_event *event,
                   const cop_logger_handler_opts *opts) {
    cop_term report, list, pair, rest;
    int64_t n;
    if (!cop_match_tuple(event->event, cop_a(report), &report)) {
        counted++;
    } else if (cop_match_key(report, cop_a(report), &list) && cop_match_cons(list, &pair, &rest)
               && cop_match_cons(rest, &pair, &rest) && cop_match_tuple(pair, cop_a(count), &n)) {
        told_as_dropped += n;
    }
}
static const cop_logger_handler counter = { .name = "counter", .log = counts };
static const cop_logger_handler nothing = { .name = "nothing" };

TEST(every_event_is_written_or_counted_while_handlers_come_and_go, .timeout_s = 120) {
    enum { WORKERS = 6 };
    const char *scale = getenv("COPPICE_TEST_SCALE");
    int64_t each = 20000 / (scale != NULL ? atoi(scale) : 1) + 20;
    static const cop_domain_filter of_otp = {
        .domain = "otp"
    }; /* what the logger tells is not counted */
    static const cop_logger_filter filter = { "otp", cop_logger_filter_domain, &of_otp };
    cop_pid workers[WORKERS];
    counted = told_as_dropped = 0;
    start_logger(ctx);
    cop_logger_handler_opts opts = { .id = cop_a(keep),
                                     .module = &counter,
                                     .queue_limit = 50,
                                     .filters = &filter,
                                     .filter_count = 1 };
    cop_logger_handler_opts other = { .id = cop_a(other), .module = &nothing };
    EXPECT_TERM(ctx, cop_logger_add_handler(ctx, &opts), ":ok");
    for (int i = 0; i < WORKERS; i++)
        workers[i] = cop_spawn(ctx, logs_and_yields, cop_of(ctx, each));
    for (int i = 0; i < 40; i++) {
        cop_logger_add_handler(ctx, &other);
        cop_logger_set_handler_config(ctx, &opts);
        if (i % 4 == 0) {
            cop_process_exit(ctx, handler_pid(ctx, "other"), cop_a(kill));
            cop_yield(ctx);
        }
        cop_logger_remove_handler(ctx, cop_a(other));
    }
    for (int i = 0; i < WORKERS; i++)
        test_await_down(ctx, workers[i]);
    cop_logger_flush(ctx);
    cop_logger_flush(ctx); /* the last of what was dropped is told at the first */
    EXPECT(counted > 0);
    EXPECT_INT(counted + told_as_dropped, each * WORKERS);
}

/* ---- kills -------------------------------------------------------------------------------------------------------- */

/* Whatever of the logger is killed when: who logs goes on, and what arrives is in order, each event once. */
static void logs_among_kills(cop_ctx *ctx) {
    cop_logger_start(&(cop_logger_opts){ .no_handler = true });
    for (int i = 0; i < 50 && cop_is_none(cop_process_whereis(ctx, cop_a(logger))); i++)
        cop_process_sleep(ctx, 1);
    cop_logger_handler_opts opts = collects(ctx, "a");
    cop_logger_add_handler(ctx, &opts);
    for (int i = 0; i < 60; i++) {
        cop_logger_info(ctx, "%d", i);
        if (i % 10 == 0)
            cop_logger_flush(ctx);
        if (i % 25 == 0)
            cop_logger_add_handler(ctx, &opts);
    }
    cop_logger_flush(ctx);
    int last = -1;
    cop_term list = test_flush(ctx);
    for (cop_term message; cop_get_cons(list, &message, &list);) {
        char line[100];
        cop_bytes text;
        int n;
        if (!cop_match(cop_elem(message, 0), cop_a(logged)))
            continue;
        EXPECT(cop_get_bytes(cop_elem(message, 2), &text));
        snprintf(line, sizeof line, "%.*s", (int)text.size, (const char *)text.data);
        if (sscanf(line, "[info] %d", &n) == 1) {
            EXPECT(n > last);
            last = n;
        }
    }
}

TEST_HOST(kills_of_the_loggers_processes_hurt_nobody) {
    simulate(200, logs_among_kills, .faults = "kill=0.01");
}
