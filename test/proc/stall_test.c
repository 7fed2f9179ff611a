/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Steps that run too long are told, to the log and to who asked by cop_system_monitor, with the place they
 * are at. (Erlang's message for a long schedule has the same form; observed on OTP 25.)
 */
#include <coppice.h>
#include <coppice/test.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint32_t stop_spinning;

static void __attribute__((noinline)) spin_here(void) {
    while (!__atomic_load_n(&stop_spinning, __ATOMIC_RELAXED))
        ;
}

static void spin(cop_ctx *ctx, cop_term to) {
    spin_here();
    cop_send(ctx, to, cop_a(over));
}

static int64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Busy for so long, and seldom at the clock, whose function keeps no frame pointer. */
static void __attribute__((noinline)) work(int64_t ms) {
    static volatile uint32_t count;
    for (int64_t until = now_ms() + ms; now_ms() < until;)
        for (int i = 0; i < 200000; i++)
            count = count + 1;
}

TEST(a_long_step_is_told_to_who_asked, .real_time = true) {
    EXPECT(cop_is_none(cop_system_monitor(ctx, cop_self(ctx), 30).t));
    cop_pid p = cop_spawn(ctx, spin, cop_self(ctx).t);
    cop_term message =
        ASSERT_RECEIVE(ctx, "{:monitor, _, :long_schedule, [timeout: _, in: {:c, :spin_here, _}]}");
    EXPECT_SAME(ctx, cop_elem(message, 1), p);
    int64_t ms = 0;
    cop_get_i64(cop_elem(cop_head(cop_elem(message, 3)), 1), &ms);
    EXPECT(ms >= 30);
    REFUTE_RECEIVE(ctx, "{:monitor, _, _, _}", 100); /* once of a step */
    __atomic_store_n(&stop_spinning, 1, __ATOMIC_RELAXED);
    ASSERT_RECEIVE(ctx, ":over");
    EXPECT_SAME(ctx, cop_system_monitor(ctx, (cop_pid){ COP_NONE }, 0), cop_self(ctx));
    EXPECT(cop_is_none(cop_system_monitor(ctx, (cop_pid){ COP_NONE }, 0).t));
    EXPECT_ERROR(ctx, ":badarg") { cop_system_monitor(ctx, cop_self(ctx), 0); }
    EXPECT_ERROR(ctx, ":badarg") { cop_system_monitor(ctx, (cop_pid){ cop_a(x).t }, 10); }
}

static void work_in_pieces(cop_ctx *ctx, cop_term to) {
    for (int i = 0; i < 150; i++) {
        work(5);
        cop_bump_reductions(ctx, 4000);
    }
    cop_send(ctx, to, cop_a(over));
}

/* A budget that is spent ends a step: it lets others run. */
TEST(a_step_that_yields_is_not_long, .real_time = true) {
    cop_system_monitor(ctx, cop_self(ctx), 500);
    cop_spawn(ctx, work_in_pieces, cop_self(ctx).t);
    ASSERT_RECEIVE(ctx, ":over");
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

static void __attribute__((noinline)) wait_for_time(int64_t ms) {
    for (int64_t until = now_ms() + ms; now_ms() < until;) {
        struct timespec t = { .tv_nsec = 5000000 };
        nanosleep(&t, NULL); /* is woken by the look, and goes on */
    }
}
static void block_twice(cop_ctx *ctx, cop_term to) {
    for (int i = 0; i < 2; i++) {
        wait_for_time(150);
        cop_process_sleep(ctx, 5);
    }
    cop_send(ctx, to, cop_a(over));
}

TEST(each_long_step_is_told_also_when_it_sleeps_in_a_system_call, .real_time = true) {
    cop_system_monitor(ctx, cop_self(ctx), 40);
    cop_spawn(ctx, block_twice, cop_self(ctx).t);
    ASSERT_RECEIVE(ctx, "{:monitor, _, :long_schedule, [timeout: _, in: {:c, _, _}]}");
    ASSERT_RECEIVE(ctx, "{:monitor, _, :long_schedule, [timeout: _, in: {:c, _, _}]}");
    ASSERT_RECEIVE(ctx, ":over");
}

/* ---- the log ------------------------------------------------------------------------------------------------ */

static void spin_a_while(cop_ctx *ctx, cop_term arg) {
    cop_process_register(ctx, cop_self(ctx), cop_a(spinner));
    work(250);
    cop_exit(ctx, cop_a(normal));
}

static void see_the_event(cop_ctx *ctx, cop_term arg) {
    cop_process_register(ctx, cop_self(ctx), cop_a(logger));
    cop_spawn_monitor(ctx, spin_a_while, COP_NONE);
    cop_term event = ASSERT_RECEIVE(
        ctx, "{:log, :warning, {:report, %{label: {:system_monitor, :long_schedule}, "
             "report: [pid: _, registered_name: :spinner, timeout: _, in: {:c, _, _}, "
             "stacktrace: [_ | _]]}}, %{pid: _}}");
    cop_term report, trace;
    EXPECT(cop_map_get(cop_elem(cop_elem(event, 2), 1), cop_a(report).t, &report));
    for (int i = 0; i < 4; i++)
        report = cop_tail(report);
    trace = cop_elem(cop_head(report), 1);
    bool found = false;
    for (; cop_is_cons(trace); trace = cop_tail(trace))
        found = found || cop_match(cop_elem(cop_head(trace), 1), cop_a(spin_a_while));
    EXPECT(found);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :normal}");
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
    cop_node_shutdown(ctx, 0);
}

TEST_HOST(the_log_is_told_with_the_stack) {
    unsetenv("COP_SIM"); /* where nothing takes time */
    EXPECT_INT(cop_node_start(&(cop_node_opts){ .schedulers = 2, .stall_report_ms = 50 }), 0);
    cop_node_spawn(see_the_event);
    EXPECT_INT(cop_node_wait(), 0);
    EXPECT_INT(cop_node_stop(), 0);
}

static void see_nothing(cop_ctx *ctx, cop_term arg) {
    cop_process_register(ctx, cop_self(ctx), cop_a(logger));
    cop_spawn_monitor(ctx, spin_a_while, COP_NONE);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :normal}");
    REFUTE_RECEIVE(ctx, "_", 50);
    cop_node_shutdown(ctx, 0);
}

TEST_HOST(nothing_is_told_by_default) {
    unsetenv("COP_SIM");
    EXPECT_INT(cop_node_start(&(cop_node_opts){ .schedulers = 2 }), 0);
    cop_node_spawn(see_nothing);
    EXPECT_INT(cop_node_wait(), 0);
    EXPECT_INT(cop_node_stop(), 0);
}

/* ---- looks at threads that do everything ---------------------------------------------------------------------- */

/* Steps of all lengths about the limit, in which processes begin, talk, wait and end: a look may come at any
   moment of the run-time too. */
static void churn(cop_ctx *ctx, cop_term arg) {
    int64_t until = now_ms() + 1500;
    uint64_t random = 1;
    while (now_ms() < until)
        COP_SCOPE(ctx) {
            random = random * 6364136223846793005 + 1442695040888963407;
            cop_pid child = cop_spawn(ctx, spin, cop_self(ctx).t);
            cop_spawned other = cop_spawn_monitor(ctx, spin, cop_self(ctx).t);
            cop_term message;
            cop_receive(ctx, COP_INFINITY, &message);
            cop_receive_ref(ctx, COP_INFINITY, other.ref, &message);
            cop_process_exit(ctx, child, cop_a(kill));
            if ((random >> 33) % 8 == 0)
                work(12);
            for (int i = 0; i < 50; i++)
                free(malloc(1 + (size_t)(random >> 40) % 200));
        }
}

static void forget(cop_ctx *ctx, cop_term to) {
    int64_t count = 0;
    cop_send(ctx, to, cop_a(ready));
    for (;;)
        COP_SCOPE(ctx) {
            cop_term message;
            cop_pid from;
            cop_receive(ctx, COP_INFINITY, &message);
            if (cop_match(message, &from))
                cop_send(ctx, from, cop_tuple(ctx, cop_a(count), count));
            else
                count++;
        }
}

TEST(a_look_may_come_at_any_moment, .real_time = true, .timeout_s = 60) {
    __atomic_store_n(&stop_spinning, 1, __ATOMIC_RELAXED);
    cop_pid counter = cop_spawn(ctx, forget, cop_self(ctx).t);
    ASSERT_RECEIVE(ctx, ":ready");
    cop_system_monitor(ctx, counter, 1);
    cop_spawned some[3];
    for (int i = 0; i < 3; i++)
        some[i] = cop_spawn_monitor(ctx, churn, COP_NONE);
    for (int i = 0; i < 3; i++) {
        cop_term message;
        EXPECT(cop_receive_ref(ctx, 30000, some[i].ref, &message));
        EXPECT_TERM(ctx, cop_elem(message, 4), ":normal");
    }
    cop_send(ctx, counter, cop_self(ctx));
    cop_term answer = ASSERT_RECEIVE(ctx, "{:count, _}");
    int64_t count = 0;
    cop_get_i64(cop_elem(answer, 1), &count);
    test_note("%lld stalls were told", (long long)count);
    EXPECT(count > 5);
}
