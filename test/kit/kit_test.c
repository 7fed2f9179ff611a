/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The test kit, tested from outside: runs the sample program (its path is in KIT_SAMPLE) and reads
 * the TAP that it prints. And from inside: the helpers, in tests that pass.
 */
#include <coppice/test.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

static char output[256 * 1024];

/* Runs `environment sample arguments`; its output is in `output`. Returns the exit status. */
static int run_sample(const char *environment, const char *arguments) {
    char command[1024];
    const char *sample = getenv("KIT_SAMPLE");
    if (sample == NULL)
        test_skip("KIT_SAMPLE is not set");
    snprintf(command, sizeof(command),
             "env -u COPPICE_TEST_SEEDS -u COPPICE_TEST_SEED -u COPPICE_TEST_BATCH "
             "-u COPPICE_TEST_TRACE -u COP_SIM -u COP_SIM_FAULTS "
             "%s %s %s 2>/dev/null",
             environment, sample, arguments);
    FILE *pipe = popen(command, "r");
    EXPECT(pipe != NULL);
    size_t size = fread(output, 1, sizeof(output) - 1, pipe);
    output[size] = '\0';
    int status = pclose(pipe);
    EXPECT(WIFEXITED(status));
    return WEXITSTATUS(status);
}

#define EXPECT_OUTPUT(text) expect_output(__LINE__, (text))
static void expect_output(int line, const char *text) {
    if (strstr(output, text) == NULL)
        test_fail_at(__FILE__, line, "expected in the output: %s\nthere is: %.800s", text, output);
}

static void expect_failure(const char *name, const char *text) {
    EXPECT_INT(run_sample("", name), 1);
    EXPECT_OUTPUT("1..1\nnot ok 1 - ");
    EXPECT_OUTPUT(name);
    EXPECT_OUTPUT(text);
    EXPECT_OUTPUT("# 1 of 1 tests failed\n");
}

TEST_HOST(a_passing_host_test_is_ok_and_its_output_is_kept_out_of_tap) {
    EXPECT_INT(run_sample("", "host_passes"), 0);
    EXPECT_STR(output, "TAP version 13\n1..1\nok 1 - host_passes\n");
}

TEST_HOST(failures_show_what_was_expected_and_what_is_there) {
    expect_failure("host_condition_fails", "expected: n == 2\n");
    expect_failure("host_integer_fails", "20 + 1\n#   expected: 22\n#   there is: 21\n");
    expect_failure("host_string_fails", "#   expected: \"wanted\"\n#   there is: \"have\"\n");
    EXPECT_OUTPUT("sample.c:");
}

TEST_HOST(a_skipped_test_says_why) {
    EXPECT_INT(run_sample("", "host_skips"), 0);
    EXPECT_OUTPUT("ok 1 - host_skips # SKIP nothing to do here\n");
}

TEST_HOST(a_test_that_calls_exit_half_way_fails) {
    expect_failure("host_exits_half_way", "ended early");
}

TEST_HOST(a_test_that_crashes_fails_with_its_signal_and_its_notes) {
    expect_failure("host_crashes", "died of signal 6");
    EXPECT_OUTPUT("just before\n");
}

TEST_HOST(a_test_that_hangs_is_ended_after_its_time_out) {
    expect_failure("host_hangs", "time-out: not finished after 1 s");
}

TEST_HOST(processes_that_a_test_leaves_are_gone_when_it_is_over) {
    expect_failure("host_leaves_a_process", "left behind: ");
    int left = atoi(strstr(output, "left behind: ") + strlen("left behind: "));
    EXPECT(left > 1);
    EXPECT(kill(left, 0) < 0 && errno == ESRCH);
}

TEST_HOST(list_prints_names_and_runs_nothing) {
    EXPECT_INT(run_sample("", "--list"), 0);
    EXPECT_OUTPUT("host_passes\nhost_condition_fails\n");
    EXPECT(strstr(output, "ok") == NULL);
}

TEST_HOST(several_filters_are_an_or_and_tests_keep_the_order_of_the_source) {
    EXPECT_INT(run_sample("", "term_passes host_passes"), 0);
    EXPECT_OUTPUT("1..2\nok 1 - host_passes\nok 2 - term_passes\n");
}

TEST_HOST(a_filter_that_nothing_matches_gives_an_empty_plan) {
    EXPECT_INT(run_sample("", "no_test_has_this_name"), 0);
    EXPECT_OUTPUT("1..0 # SKIP");
}

TEST_HOST(term_failures_show_pattern_and_term) {
    expect_failure("term_differs", "expected: {:ok, 2}\n#   there is: {:ok, 1}\n");
    expect_failure("term_raises_unexpectedly", "raised that nothing expected: :badarg");
    expect_failure("term_does_not_raise", "none, the block came to its end");
    expect_failure("term_pattern_is_bad", "this is no pattern: {:ok, ");
}

TEST_HOST(a_node_test_passes) {
    EXPECT_INT(run_sample("", "node_passes"), 0);
    EXPECT_OUTPUT("ok 1 - node_passes\n");
}

TEST_HOST(a_wrong_exit_shows_class_and_reason) {
    expect_failure("node_exit_has_another_reason", "an exit with reason :this");
    EXPECT_OUTPUT("with: :that\n");
    expect_failure("node_exit_is_an_error", "there is: an error\n");
    expect_failure("node_nothing_exits", "none, the block came to its end");
}

TEST_HOST(a_missing_message_shows_the_mailbox) {
    expect_failure("node_no_message", "expected a message: :wanted");
    EXPECT_OUTPUT("in the mailbox: :something_else");
    expect_failure("node_unwanted_message", "expected no message: :unwanted");
}

TEST_HOST(a_test_process_that_ends_early_fails_with_its_reason) {
    expect_failure("node_test_exits", "with reason: :because");
    expect_failure("node_test_ends_normally_half_way", "with reason: :normal");
    expect_failure("node_link_ends_the_test", "with reason: :pulled_down");
}

TEST_HOST(a_start_that_fails_fails_the_test_with_its_reason) {
    expect_failure("node_start_fails", "start failed: :no_luck");
}

TEST_HOST(a_failure_in_another_process_of_the_node_fails_the_test) {
    expect_failure("node_another_process_fails", "there is: :given");
}

TEST_HOST(a_time_out_shows_the_mailboxes_of_all_processes) {
    expect_failure("node_hangs", "time-out: not finished after 1 s");
    EXPECT_OUTPUT("the_unread_message");
    EXPECT_OUTPUT("test_supervisor");
}

TEST_HOST(seeds_find_a_race_and_the_seed_finds_it_again) {
    unsigned long long seed = 0;
    EXPECT_INT(run_sample("COPPICE_TEST_SEEDS=100", "node_fails_under_some_seed"), 1);
    const char *again = strstr(output, "COPPICE_TEST_SEED=");
    EXPECT(again != NULL && sscanf(again, "COPPICE_TEST_SEED=%llu", &seed) == 1);
    char environment[64];
    snprintf(environment, sizeof(environment), "COPPICE_TEST_SEED=%llu", seed);
    EXPECT_INT(run_sample(environment, "node_fails_under_some_seed"), 1);
    EXPECT_OUTPUT("there is: :two");
}

/* The line of the output that begins so, without its beginning, as a string of its own. */
static char *line_after(const char *beginning) {
    static char line[512];
    const char *at = strstr(output, beginning);
    EXPECT(at != NULL);
    at += strlen(beginning);
    snprintf(line, sizeof(line), "%.*s", (int)strcspn(at, "\n"), at);
    return line;
}

TEST_HOST(the_command_of_a_failed_seed_runs_it_again_to_the_same_trace) {
    char report[4096], command[600];
    EXPECT_INT(
        run_sample("COPPICE_TEST_SEEDS=100 COP_SIM_FAULTS=late=0.2", "node_fails_under_some_seed"),
        1);
    snprintf(report, sizeof(report), "%s", strstr(output, "simulated with seed"));
    snprintf(command, sizeof(command), "%s 2>/dev/null", line_after("#   again: "));
    EXPECT(strncmp(command, "COP_SIM_FAULTS='late=0.2' COPPICE_TEST_SEED=", 44) == 0);
    FILE *pipe = popen(command, "r");
    EXPECT(pipe != NULL);
    output[fread(output, 1, sizeof(output) - 1, pipe)] = '\0';
    EXPECT(pclose(pipe) != 0);
    EXPECT(strstr(output, ", trace ") != NULL);
    EXPECT_OUTPUT(report); /* the same seed, the same trace, the same command */
}

TEST_HOST(traces_are_the_same_in_every_run_and_in_every_batch) {
    char first[512];
    static const char *const again[] = { "COPPICE_TEST_SEEDS=40", "COPPICE_TEST_BATCH=7" };
    EXPECT_INT(run_sample("COPPICE_TEST_SEEDS=40", "node_passes"), 0);
    snprintf(first, sizeof(first), "%s", line_after("# node_passes: 40 seeds, all traces "));
    EXPECT_INT((int64_t)strlen(first), 16);
    for (int i = 0; i < 2; i++) {
        char environment[64];
        snprintf(environment, sizeof(environment), "COPPICE_TEST_SEEDS=40 %s", again[i]);
        EXPECT_INT(run_sample(environment, "node_passes"), 0);
        EXPECT_STR(line_after("# node_passes: 40 seeds, all traces "), first);
    }
}

TEST_HOST(what_a_test_leaves_in_static_data_does_not_fail_the_next_seed) {
    EXPECT_INT(run_sample("COPPICE_TEST_SEEDS=20", "node_counts_its_runs"), 0);
    EXPECT_OUTPUT("# node_counts_its_runs leaves something in static data: from seed 2 on");
    EXPECT_OUTPUT("# node_counts_its_runs: 20 seeds, all traces ");
}

TEST_HOST(a_crash_and_a_hang_under_a_seed_name_the_seed) {
    EXPECT_INT(run_sample("COPPICE_TEST_SEEDS=3", "node_crashes_under_seed_2"), 1);
    EXPECT_OUTPUT("died of signal 9");
    EXPECT_OUTPUT("simulated with seed 2\n");
    EXPECT_INT(run_sample("COPPICE_TEST_SEED=1", "node_hangs"), 1);
    EXPECT_OUTPUT("simulated with seed 1, trace ");
}

TEST_HOST(simulate_shows_the_command_of_the_seed_that_failed) {
    EXPECT_INT(run_sample("", "host_simulates_and_fails"), 1);
    EXPECT_OUTPUT("faults kill=0,handoff=0.1, trace ");
    char again[600];
    snprintf(again, sizeof(again), "%s", line_after("#   again: "));
    unsigned long long seed = 0;
    EXPECT(sscanf(again, "COPPICE_TEST_SEED=%llu", &seed) == 1 && seed > 0);
    char environment[64];
    snprintf(environment, sizeof(environment), "COPPICE_TEST_SEED=%llu", seed);
    EXPECT_INT(run_sample(environment, "host_simulates_and_fails"), 1);
    EXPECT_OUTPUT(again);
}

TEST_HOST(the_trace_of_a_seed_that_failed_is_whole) {
    char path[100], environment[200];
    snprintf(path, sizeof path, "/tmp/kit-%llx", (unsigned long long)test_unique());
    snprintf(environment, sizeof environment, "COPPICE_TEST_SEEDS=100 COP_SIM_TRACE=%s", path);
    EXPECT_INT(run_sample(environment, "node_fails_under_some_seed"), 1);
    FILE *file = fopen(path, "r");
    EXPECT(file != NULL);
    size_t size = fread(output, 1, sizeof output - 1, file);
    output[size] = '\0';
    fclose(file);
    remove(path);
    char *last = output; /* the seed that failed; the mailbox told which message came first */
    for (char *next; (next = strstr(last + 1, "seed ")) != NULL;)
        last = next;
    EXPECT(strstr(last, " open ") != NULL && strstr(last, ":two") != NULL);
}

TEST_HOST(time_is_virtual_under_a_seed) {
    EXPECT_INT(run_sample("COPPICE_TEST_SEED=7", "node_waits_for_days"), 0);
}

/* ---- the helpers ----------------------------------------------------------------------------- */

TEST(a_dead_pid_is_dead) {
    EXPECT(!cop_process_is_alive(ctx, test_dead_pid(ctx)));
    EXPECT(cop_process_is_alive(ctx, test_idle_pid(ctx)));
}

static void wait_for_shutdown(cop_ctx *ctx, cop_term arg) {
    cop_term message, reason;
    cop_pid owner = { COP_NONE }, from;
    cop_get_pid(arg, &owner);
    cop_process_trap_exit(ctx, true);
    cop_receive(ctx, COP_INFINITY, &message);
    if (cop_match_tuple(message, cop_a(EXIT), &from, &reason)) {
        cop_send(ctx, owner, cop_tuple(ctx, cop_a(ended), cop_self(ctx), reason));
        cop_exit(ctx, reason);
    }
}

static cop_pid start_waiting(cop_ctx *ctx, cop_term arg) {
    return cop_spawn_link(ctx, wait_for_shutdown, arg);
}

TEST(a_supervised_process_is_shut_down_when_asked) {
    cop_pid child = test_start_supervised(ctx, start_waiting, cop_self(ctx));
    EXPECT(cop_process_is_alive(ctx, child));
    test_stop_supervised(ctx, child);
    EXPECT(!cop_process_is_alive(ctx, child));
    EXPECT_TERM(ctx, ASSERT_RECEIVE(ctx, "{:ended, _, _}"), "{:ended, _, :shutdown}");
}

static cop_pid start_crashing(cop_ctx *ctx, cop_term arg) {
    return cop_spawn_link(ctx, wait_for_shutdown, COP_NIL);
}

TEST(a_supervised_process_that_crashes_does_not_touch_the_test) {
    cop_pid child = test_start_supervised(ctx, start_crashing, COP_NIL);
    cop_ref ref = cop_process_monitor(ctx, child);
    cop_process_exit(ctx, child, cop_a(kill));
    cop_term down = ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :killed}");
    EXPECT(cop_match_tuple(down, cop_a(DOWN), ref, cop_a(process), child, cop_a(killed)));
}

static void exit_with(cop_ctx *ctx, cop_term arg) { cop_exit(ctx, arg); }

static cop_started start_link_waiting(cop_ctx *ctx, cop_term arg) {
    return cop_started_ok(start_waiting(ctx, arg));
}

TEST(a_start_function_may_return_a_started) {
    cop_pid child = test_start_supervised(ctx, start_link_waiting, COP_NIL);
    EXPECT(cop_process_is_alive(ctx, child));
}

TEST(trapped_exits_are_messages) {
    test_trap_exit(ctx);
    cop_spawn_link(ctx, exit_with, cop_a(oops).t);
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :oops}");
}

TEST(await_down_returns_the_exit_reason) {
    cop_pid pid = cop_spawn(ctx, wait_for_shutdown, COP_NIL);
    cop_process_exit(ctx, pid, cop_a(kill));
    EXPECT_TERM(ctx, test_await_down(ctx, pid), "_");
    EXPECT_TERM(ctx, test_await_down(ctx, test_dead_pid(ctx)), ":noproc");
}

TEST(captured_log_events_are_messages) {
    test_capture_log(ctx);
    cop_log(ctx, COP_LEVEL_ERROR, cop_tuple(ctx, cop_a(string), "it burns"), cop_map(ctx));
    ASSERT_RECEIVE(ctx, "{:log, _, {:string, \"it burns\"}, _}");
}

TEST(flush_empties_the_mailbox_in_order) {
    for (int i = 1; i <= 3; i++)
        cop_send(ctx, cop_self(ctx), i);
    EXPECT_TERM(ctx, test_flush(ctx), "[1, 2, 3]");
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}
