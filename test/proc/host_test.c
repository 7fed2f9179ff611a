/* SPDX-License-Identifier: Apache-2.0 */
/* The node from outside: start and stop, threads that attach. */
#include <coppice.h>
#include <coppice/test.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

static void doubler(cop_ctx *ctx, cop_term arg) {
    cop_process_register(ctx, cop_self(ctx), cop_a(doubler));
    for (;;)
        COP_SCOPE(ctx) {
            cop_term message;
            cop_pid from;
            int64_t n;
            cop_receive(ctx, COP_INFINITY, &message);
            if (cop_match_tuple(message, &from, &n))
                cop_send(ctx, from, 2 * n);
        }
}

TEST_HOST(a_node_starts_and_stops_many_times) {
    for (int i = 0; i < 20; i++) {
        EXPECT_INT(cop_node_start(&(cop_node_opts){ .schedulers = 2 }), 0);
        EXPECT_INT(cop_node_start(NULL), -EALREADY);
        for (int k = 0; k < 10; k++)
            cop_node_spawn(doubler);
        EXPECT_INT(cop_node_stop(), 0);
        EXPECT_INT(cop_node_stop(), -ESRCH);
    }
}

static void *ask(void *arg) {
    cop_ctx *ctx = cop_attach();
    EXPECT(ctx != NULL);
    for (int64_t i = 0; i < 1000; i++) {
        COP_SCOPE(ctx) {
            cop_term message;
            int64_t twice;
            cop_send(ctx, cop_a(doubler), cop_tuple(ctx, cop_self(ctx), i));
            EXPECT(cop_receive(ctx, 10000, &message));
            EXPECT(cop_get_i64(message, &twice) && twice == 2 * i);
        }
    }
    cop_term message;
    EXPECT(!cop_receive(ctx, 5, &message));
    cop_detach(ctx);
    return NULL;
}

TEST_HOST(threads_of_the_host_program_attach_and_call_in) {
    EXPECT_INT(cop_node_start(&(cop_node_opts){ .schedulers = 2 }), 0);
    cop_node_spawn(doubler);
    ctx = cop_attach();
    while (cop_is_none(cop_process_whereis(ctx, cop_a(doubler))))
        cop_process_sleep(ctx, 1);
    cop_detach(ctx);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        EXPECT_INT(pthread_create(&threads[i], NULL, ask, NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    EXPECT_INT(cop_node_stop(), 0);
}

static void kill_host(cop_ctx *ctx, cop_term arg) {
    cop_term host = cop_process_whereis(ctx, cop_a(host));
    cop_process_exit(ctx, host, cop_a(enough).t);
}

TEST_HOST(an_exit_signal_is_raised_in_the_call_of_an_attached_thread) {
    EXPECT_INT(cop_node_start(NULL), 0);
    ctx = cop_attach();
    cop_process_register(ctx, cop_self(ctx), cop_a(host));
    cop_node_spawn(kill_host);
    EXPECT_EXIT(ctx, ":enough") { cop_process_sleep(ctx, COP_INFINITY); }
    cop_detach(ctx);
    EXPECT_INT(cop_node_stop(), 0);
}

static void end_the_node(cop_ctx *ctx, cop_term arg) { cop_node_shutdown(ctx, 7); }

TEST_HOST(a_process_ends_the_node_with_a_status) {
    EXPECT_INT(cop_node_start(NULL), 0);
    cop_node_spawn(end_the_node);
    EXPECT_INT(cop_node_wait(), 7);
    EXPECT_INT(cop_node_stop(), 0);
}

TEST_HOST(a_full_table_raises_system_limit) {
    EXPECT_INT(cop_node_start(&(cop_node_opts){ .max_processes = 100 }), 0);
    ctx = cop_attach();
    EXPECT_ERROR(ctx, ":system_limit") {
        for (int i = 0; i < 200; i++)
            cop_spawn(ctx, doubler, COP_NONE);
    }
    cop_detach(ctx);
    EXPECT_INT(cop_node_stop(), 0);
}

/* ---- flags on the command line ----------------------------------------------------------------------- */

TEST_HOST(the_nodes_flags_are_taken_out_of_the_arguments) {
    char *argv[] = { "prog", "--port", "80",     "+S",     "4",  "+fault",   "abort",
                     "+P",   "100000", "+sim",   "7",      "in", "+unknown", "+slice",
                     "20",   "+stack", "131072", "+stall", "50", "+log",     "info",
                     "--",   "+S",     "9",      NULL };
    int argc = sizeof argv / sizeof *argv - 1;
    cop_node_opts opts = { .no_logger = true, .schedulers = 1 };
    EXPECT_INT(cop_node_opts_from_args(&argc, argv, &opts, NULL), 0);
    static const char *const kept[] = { "prog", "--port", "80", "in", "+unknown", "--", "+S", "9" };
    EXPECT_INT(argc, 8);
    for (int i = 0; i < 8; i++)
        EXPECT_STR(argv[i], kept[i]);
    EXPECT(argv[8] == NULL);
    EXPECT_INT(opts.schedulers, 4);
    EXPECT_INT(opts.max_processes, 100000);
    EXPECT_INT(opts.slice_ms, 20);
    EXPECT_INT(opts.stack_size, 131072);
    EXPECT_INT(opts.stall_report_ms, 50);
    EXPECT_STR(opts.log_level, "info");
    EXPECT(opts.sim && opts.sim_seed == 7 && opts.fault_aborts && !opts.fault_isolates);
    EXPECT(opts.no_logger);
}

TEST_HOST(bad_flags_change_nothing) {
    static char *const wrong[][2] = {
        { "+S", "0" },         { "+S", "x" },
        { "+S", NULL },        { "+P", "99999999999999999999" },
        { "+fault", "maybe" }, { "+fault", NULL },
        { "+sim", "-1" },      { "+stack", "1" },
        { "+slice", "5ms" },   { "+stall", "" },
        { "+log", "loud" },    { "+log", NULL },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char *argv[] = { "prog", "+S", "2", wrong[i][0], wrong[i][1], NULL };
        int argc = wrong[i][1] != NULL ? 5 : 4, before = argc;
        cop_node_opts opts = { 0 };
        const char *bad = NULL;
        EXPECT_INT(cop_node_opts_from_args(&argc, argv, &opts, &bad), -EINVAL);
        EXPECT_INT(argc, before);
        EXPECT_STR(argv[3], wrong[i][0]);
        EXPECT_STR(bad, wrong[i][0]);
        EXPECT_INT(opts.schedulers, 0);
    }
}

static void count_schedulers(cop_ctx *ctx, cop_term arg) {
    cop_node_shutdown(ctx, cop_node_schedulers());
}

static void fault_in_a_child(cop_ctx *ctx, cop_term arg) {
    static int *volatile nowhere = (int *)8;
    if (cop_is_pid(arg))
        *nowhere = 1;
    cop_spawn_monitor(ctx, fault_in_a_child, cop_self(ctx).t);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, {{:sigsegv, 8}, _}}");
    cop_node_shutdown(ctx, 3);
}

TEST_HOST(a_node_is_as_its_flags_say) {
    char *argv[] = { "prog", "+S", "3", "+fault", "isolate", NULL };
    int argc = 5;
    cop_node_opts opts = { 0 };
    EXPECT_INT(cop_node_opts_from_args(&argc, argv, &opts, NULL), 0);
    setenv("COP_FAULT", "abort", 1); /* the command line goes before the environment */
    EXPECT_INT(cop_node_start(&opts), 0);
    cop_node_spawn(count_schedulers);
    int expected = getenv("COP_SIM") != NULL ? 1 : 3;
    EXPECT_INT(cop_node_wait(), expected);
    EXPECT_INT(cop_node_stop(), 0);
    EXPECT_INT(cop_node_start(&opts), 0);
    cop_node_spawn(fault_in_a_child);
    EXPECT_INT(cop_node_wait(), 3);
    EXPECT_INT(cop_node_stop(), 0);
}
