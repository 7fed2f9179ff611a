/* SPDX-License-Identifier: Apache-2.0 */
/* SIGTERM and SIGINT: the orderly end of a node. */
#include <coppice.h>
#include <coppice/test.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* What happened, in order; written by one process at a time. */
static char story[64];
static size_t story_length;

static void tell(char what) {
    if (story_length < sizeof story - 1)
        story[story_length++] = what;
}

/* Linked to the main process as a supervisor is, and slow to end. */
static void tree(cop_ctx *ctx, cop_term arg) {
    cop_term message;
    cop_process_flag(ctx, cop_a(trap_exit), cop_a(true));
    cop_send(ctx, (cop_pid){ arg }, cop_a(ready));
    cop_receive(ctx, COP_INFINITY, &message);
    if (cop_match_tuple(message, cop_as("EXIT"), arg, cop_a(shutdown)))
        tell('t');
}

static void main_with_a_tree(cop_ctx *ctx, cop_term arg) {
    cop_term message;
    cop_spawn_link(ctx, tree, cop_self(ctx).t);
    cop_receive(ctx, COP_INFINITY, &message);
    tell('m');
    kill(getpid(), SIGTERM);
    cop_process_sleep(ctx, COP_INFINITY);
}

TEST_HOST(sigterm_ends_the_main_process_then_its_tree_then_the_node) {
    EXPECT_INT(cop_run(NULL, main_with_a_tree), 0);
    EXPECT_STR(story, "mt");
    EXPECT(cop_os_is_stopping());
}

static void told_by_message(cop_ctx *ctx, cop_term arg) {
    cop_term message;
    cop_process_register(ctx, cop_self(ctx), cop_a(erl_signal_server));
    kill(getpid(), SIGINT);
    cop_receive(ctx, COP_INFINITY, &message);
    tell(cop_match_tuple(message, cop_a(signal), cop_a(sigint)) ? 'i' : '?');
    cop_node_shutdown(ctx, 3);
}

TEST_HOST(a_signal_server_is_told_and_decides) {
    EXPECT_INT(cop_run(NULL, told_by_message), 3);
    EXPECT_STR(story, "i");
}

static void wait_for_ever(cop_ctx *ctx, cop_term arg) { cop_process_sleep(ctx, COP_INFINITY); }

/* All but this one end after the signal was taken, and with them the reason why nothing could be started. */
static void main_in_a_full_table(cop_ctx *ctx, cop_term arg) {
    enum { MOST = 300 };
    cop_pid pids[MOST];
    volatile size_t n = 0;
    COP_TRY(ctx) {
        for (; n < MOST; n++)
            pids[n] = cop_spawn(ctx, wait_for_ever, COP_NIL);
    }
    COP_CATCH(caught) { tell('f'); }
    kill(getpid(), SIGTERM);
    while (!cop_os_is_stopping())
        cop_yield(ctx);
    for (size_t i = 0; i < n; i++)
        cop_process_exit(ctx, pids[i], cop_a(kill));
    cop_process_sleep(ctx, COP_INFINITY);
}

TEST_HOST(in_a_full_table_the_end_comes_as_soon_as_there_is_a_place) {
    EXPECT_INT(
        cop_run(&(cop_node_opts){ .max_processes = 200, .schedulers = 1 }, main_in_a_full_table),
        0);
    EXPECT_STR(story, "f");
}

static void stubborn(cop_ctx *ctx, cop_term arg) {
    cop_process_flag(ctx, cop_a(trap_exit), cop_a(true));
    kill(getpid(), SIGTERM);
    cop_term message;
    cop_receive(ctx, COP_INFINITY, &message); /* the exit signal of the orderly end */
    kill(getpid(), SIGTERM);
    cop_process_sleep(ctx, COP_INFINITY);
}

TEST_HOST(a_second_signal_ends_the_program_at_once) {
    if (COP__HAS_TSAN) /* which does not follow a program with threads into a fork */
        return;
    pid_t child = fork();
    if (child == 0)
        _exit(cop_run(NULL, stubborn));
    int status = 0;
    EXPECT(child > 0 && waitpid(child, &status, 0) == child);
    EXPECT(WIFEXITED(status));
    EXPECT_INT(WEXITSTATUS(status), 128 + SIGTERM);
}
