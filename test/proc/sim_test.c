/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Simulation: the same seed is the same run, other seeds find other orders, time is virtual, fault
 * points strike as they are told. Each test starts nodes of its own.
 */
#include <coppice.h>
#include <coppice/test.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

static void run_node(cop_entry entry, const cop_node_opts *opts) {
    EXPECT_INT(cop_node_start(opts), 0);
    EXPECT(!cop_is_none(cop_node_spawn(entry).t));
    EXPECT_INT(cop_node_wait(), 0);
    EXPECT_INT(cop_node_stop(), 0);
}

static uint64_t trace_of(cop_entry entry, uint64_t seed, const char *faults) {
    run_node(entry, &(cop_node_opts){ .sim = true, .sim_seed = seed, .sim_faults = faults });
    return cop_sim_trace();
}

/* ---- the same seed, the same run --------------------------------------------------------------- */

/* Which of two processes is heard first: the order-dependent thing of these tests. */
static int first_heard;

static void say(cop_ctx *ctx, cop_term arg) {
    cop_pid parent;
    int64_t n;
    EXPECT(cop_match_tuple(arg, &parent, &n));
    cop_process_send_after(ctx, cop_self(ctx), cop_a(later), n);
    cop_send(ctx, parent, cop_tuple(ctx, cop_a(said), n, cop_random_u64(ctx) % 1000));
    cop_term message;
    cop_receive(ctx, COP_INFINITY, &message);
}

static void two_talkers(cop_ctx *ctx, cop_term arg) {
    cop_term down, random;
    cop_spawned child[2];
    for (int64_t i = 0; i < 2; i++)
        child[i] = cop_spawn_monitor(ctx, say, cop_tuple(ctx, cop_self(ctx), i + 1));
    cop_term message = ASSERT_RECEIVE(ctx, "{:said, _, _}");
    EXPECT(cop_match_tuple(message, cop_a(said), &first_heard, &random));
    for (int i = 0; i < 2; i++)
        EXPECT(cop_receive_ref(ctx, COP_INFINITY, child[i].ref, &down));
    cop_node_shutdown(ctx, 0);
}

TEST_HOST(the_same_seed_is_the_same_trace) {
    for (uint64_t seed = 1; seed <= 20; seed++) {
        uint64_t once = trace_of(two_talkers, seed, NULL);
        int heard = first_heard;
        EXPECT_INT(trace_of(two_talkers, seed, NULL), once);
        EXPECT_INT(first_heard, heard);
    }
}

TEST_HOST(other_seeds_are_other_traces) {
    uint64_t one = trace_of(two_talkers, 1, NULL);
    int others = 0;
    for (uint64_t seed = 2; seed <= 20; seed++)
        others += trace_of(two_talkers, seed, NULL) != one;
    EXPECT(others >= 18);
}

TEST_HOST(seeds_find_an_order_that_a_plain_run_does_not) {
    cop_node_opts plain = { .schedulers = 1, .no_logger = true };
    for (int i = 0; i < 50; i++) {
        run_node(two_talkers, &plain);
        EXPECT_INT(first_heard, 1); /* the program's author would swear that it is always so */
    }
    uint64_t seed = 0, trace;
    do
        trace = trace_of(two_talkers, ++seed, NULL);
    while (first_heard == 1 && seed < 100);
    EXPECT_INT(first_heard, 2);
    EXPECT_INT(trace_of(two_talkers, seed, NULL), trace); /* and the seed finds it again */
    EXPECT_INT(first_heard, 2);
}

TEST_HOST(a_plain_node_is_not_simulated) {
    run_node(two_talkers, &(cop_node_opts){ .schedulers = 1 });
    EXPECT(!cop_sim_is_on());
    EXPECT_INT(cop_sim_seed(), 0);
}

static void tell_seed(cop_ctx *ctx, cop_term arg) {
    EXPECT(cop_sim_is_on());
    EXPECT_INT(cop_sim_seed(), 77);
    cop_node_shutdown(ctx, 0);
}

TEST_HOST(the_seed_may_come_from_the_environment) {
    setenv("COP_SIM", "77", 1);
    run_node(tell_seed, NULL);
    unsetenv("COP_SIM");
}

TEST_HOST(what_is_no_seed_and_what_is_no_fault_point_is_said) {
    static const char *const bad[] = { "kill=2", "kill=-1", "kill=x", "kill=0.1x", "=0.5" };
    setenv("COP_SIM", "seven", 1);
    EXPECT_INT(cop_node_start(NULL), -EINVAL);
    unsetenv("COP_SIM");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        EXPECT_INT(cop_node_start(&(cop_node_opts){ .sim = true, .sim_faults = bad[i] }), -EINVAL);
    trace_of(two_talkers, 1, "handoff=0.5, late, kill=0,mine=1");
}

/* ---- time ---------------------------------------------------------------------------------------- */

static void sleep_for_a_year(cop_ctx *ctx) {
    int64_t before = cop_monotonic_ms(ctx), year = INT64_C(365) * 86400000;
    cop_process_sleep(ctx, year);
    int64_t passed = cop_monotonic_ms(ctx) - before;
    EXPECT(passed >= year && passed < year + 1000);
}

TEST_HOST(virtual_time_takes_no_time) {
    time_t before = time(NULL);
    simulate(100, sleep_for_a_year);
    EXPECT(time(NULL) - before < 25);
}

/* Never early, in order of their deadlines, equal ones in order of their making. */
static void timers_in_order(cop_ctx *ctx) {
    enum { TIMERS = 60 };
    int64_t start = cop_monotonic_ms(ctx), due[TIMERS], last_due = 0, last = -1;
    for (int64_t i = 0; i < TIMERS; i++) {
        due[i] = 1000 + (int64_t)(cop_random_u64(ctx) % 12);
        cop_start_timer_at(ctx, start + due[i], cop_self(ctx).t, cop_of(ctx, i));
    }
    for (int k = 0; k < TIMERS; k++) {
        cop_term message = ASSERT_RECEIVE(ctx, "{:timeout, _, _}");
        int64_t i;
        EXPECT(cop_get_i64(cop_elem(message, 2), &i));
        EXPECT(cop_monotonic_ms(ctx) >= start + due[i]);
        EXPECT(due[i] > last_due || (due[i] == last_due && i > last));
        last_due = due[i];
        last = i;
    }
}

TEST_HOST(a_late_timer_is_never_early_and_keeps_its_place) {
    simulate(100, timers_in_order, .faults = "jitter=0.5,late=0.2");
}

static void answer(cop_ctx *ctx, cop_term to) { cop_send(ctx, to, cop_a(answer)); }

/* A wait that is answered leaves its alarm in the wheel, and those that follow find it there. */
static void wait_often(cop_ctx *ctx, cop_term arg) {
    cop_term message;
    for (int i = 0; i < 5; i++) {
        int64_t ms = 40 + (int64_t)(cop_random_u64(ctx) % 20);
        cop_spawn(ctx, answer, cop_self(ctx).t);
        EXPECT(cop_receive(ctx, 40, &message));
        int64_t before = cop_monotonic_ns(ctx);
        EXPECT(!cop_receive(ctx, ms, &message));
        int64_t passed = cop_monotonic_ns(ctx) - before;
        EXPECT(passed >= ms * 1000000 && passed < (ms + 20) * 1000000);
    }
}

static void many_wait_often(cop_ctx *ctx) {
    enum { WAITERS = 40 };
    cop_spawned waiter[WAITERS];
    cop_term down;
    for (int i = 0; i < WAITERS; i++)
        waiter[i] = cop_spawn_monitor(ctx, wait_often, COP_NIL);
    for (int i = 0; i < WAITERS; i++) {
        EXPECT(cop_receive_ref(ctx, COP_INFINITY, waiter[i].ref, &down));
        EXPECT_TERM(ctx, cop_elem(down, 4), ":normal");
    }
}

TEST_HOST(a_wait_is_never_early_and_hardly_late) { simulate(100, many_wait_often); }

static void wait_a_little(cop_ctx *ctx) {
    int64_t before = cop_monotonic_ms(ctx);
    for (int i = 0; i < 50; i++)
        cop_process_sleep(ctx, 10);
    int64_t passed = cop_monotonic_ms(ctx) - before;
    EXPECT(passed > 500 && passed < 500 + 50 * 5 + 10);
}

TEST_HOST(jitter_makes_timers_late_by_some_milliseconds) {
    simulate(20, wait_a_little, .faults = "jitter=1");
}

/* ---- fault points ---------------------------------------------------------------------------------- */

static void live(cop_ctx *ctx, cop_term arg) {
    cop_term message;
    for (int i = 0; i < 200; i++)
        cop_receive(ctx, 1, &message);
    cop_exit(ctx, cop_a(lived));
}

static int killed_of(cop_ctx *ctx, int n) {
    int killed = 0;
    for (int i = 0; i < n; i++) {
        cop_term down;
        cop_spawned victim = cop_spawn_monitor(ctx, live, COP_NIL);
        EXPECT(cop_receive_ref(ctx, COP_INFINITY, victim.ref, &down));
        EXPECT(cop_matches(ctx, down, "{:DOWN, _, :process, _, :killed}", NULL)
               || cop_matches(ctx, down, "{:DOWN, _, :process, _, :lived}", NULL));
        killed += cop_match(cop_elem(down, 4), cop_a(killed));
    }
    return killed;
}

static void all_are_killed(cop_ctx *ctx) { EXPECT_INT(killed_of(ctx, 5), 5); }
static void none_is_killed(cop_ctx *ctx) { EXPECT_INT(killed_of(ctx, 5), 0); }
static int killed_at_all;
static void some_are_killed(cop_ctx *ctx) { killed_at_all += killed_of(ctx, 10); }

TEST_HOST(a_fault_point_kills_at_any_call) {
    simulate(10, all_are_killed, .faults = "kill=1");
    simulate(10, none_is_killed);
    simulate(20, some_are_killed, .faults = "kill=0.002");
    EXPECT(killed_at_all > 20 && killed_at_all < 180); /* 200 calls and more each: about a half */
}

static void spared_lives(cop_ctx *ctx, cop_term arg) {
    cop_sim_spare(ctx);
    live(ctx, arg);
}

static void the_spared_live(cop_ctx *ctx) {
    cop_spawned one = cop_spawn_monitor(ctx, spared_lives, COP_NIL);
    cop_term down;
    EXPECT(cop_receive_ref(ctx, COP_INFINITY, one.ref, &down));
    EXPECT_TERM(ctx, down, "{:DOWN, _, :process, _, :lived}");
}

TEST_HOST(a_spared_process_is_not_killed) { simulate(20, the_spared_live, .faults = "kill=1"); }

static void want_memory(cop_ctx *ctx, cop_term arg) {
    EXPECT_ERROR(ctx, ":system_limit") { cop_alloc(ctx, 100); }
    EXPECT_ERROR(ctx, ":system_limit") { cop_spawn(ctx, live, COP_NIL); }
    cop_exit(ctx, cop_a(refused_twice));
}

static void memory_is_refused(cop_ctx *ctx) {
    cop_spawned one = cop_spawn_monitor(ctx, want_memory, COP_NIL);
    cop_term down;
    EXPECT(cop_receive_ref(ctx, COP_INFINITY, one.ref, &down));
    EXPECT_TERM(ctx, down, "{:DOWN, _, :process, _, :refused_twice}");
}

TEST_HOST(a_fault_point_refuses_memory) { simulate(20, memory_is_refused, .faults = "alloc=1"); }

static int struck;
static void ask_own_point(cop_ctx *ctx, cop_term arg) {
    for (int i = 0; i < 100; i++)
        struck += cop_sim_fault(ctx, "disk_full");
    EXPECT(!cop_sim_fault(ctx, "not_in_the_list"));
    cop_node_shutdown(ctx, 0);
}

TEST_HOST(a_program_has_fault_points_of_its_own) {
    trace_of(ask_own_point, 5, "disk_full=0.3");
    EXPECT(struck > 10 && struck < 60);
    struck = 0;
    trace_of(ask_own_point, 5, "disk_full");
    EXPECT(struck < 10);
    struck = 0;
    trace_of(ask_own_point, 5, NULL);
    run_node(ask_own_point, NULL);
    EXPECT_INT(struck, 0);
}

/* Hand-offs between any two calls: two that do not protect what they share lose an update. */
static int64_t shared_sum;
static void add_carelessly(cop_ctx *ctx, cop_term arg) {
    for (int i = 0; i < 10; i++) {
        int64_t read = shared_sum;
        cop_make_ref(ctx); /* any call will do */
        shared_sum = read + 1;
    }
}

static bool lost;
static void count_together(cop_ctx *ctx) {
    cop_term down;
    shared_sum = 0;
    cop_spawned a = cop_spawn_monitor(ctx, add_carelessly, COP_NIL);
    cop_spawned b = cop_spawn_monitor(ctx, add_carelessly, COP_NIL);
    EXPECT(cop_receive_ref(ctx, COP_INFINITY, a.ref, &down));
    EXPECT(cop_receive_ref(ctx, COP_INFINITY, b.ref, &down));
    lost = lost || shared_sum != 20;
}

TEST_HOST(a_hand_off_comes_between_any_two_calls) {
    simulate(50, count_together, .faults = "handoff=0,cut=0");
    EXPECT(!lost);
    simulate(50, count_together, .faults = "handoff=0.2");
    EXPECT(lost);
}

/* ---- what stays as it is ------------------------------------------------------------------------------ */

static void note_priority(cop_ctx *ctx, cop_term arg) {
    cop_pid parent;
    cop_term name;
    EXPECT(cop_match_tuple(arg, &parent, &name));
    cop_send(ctx, parent, name);
}

static void start_both(cop_ctx *ctx, cop_term parent) {
    static const cop_spawn_opts high = { .priority = COP_PRIORITY_HIGH };
    cop_process_spawn(ctx, note_priority, cop_tuple(ctx, parent, cop_a(normal)), NULL);
    cop_process_spawn(ctx, note_priority, cop_tuple(ctx, parent, cop_a(high)), &high);
}

static void high_goes_first(cop_ctx *ctx) {
    static const cop_spawn_opts max = { .priority = COP_PRIORITY_MAX };
    cop_process_spawn(ctx, start_both, cop_self(ctx).t, &max);
    cop_process_sleep(ctx, 100);
    EXPECT_TERM(ctx, test_flush(ctx), "[:high, :normal]");
}

TEST_HOST(priorities_hold_in_every_order) { simulate(50, high_goes_first, .faults = "late=0"); }

static void flood(cop_ctx *ctx, cop_term arg) {
    cop_pid to;
    int64_t who;
    EXPECT(cop_match_tuple(arg, &to, &who));
    for (int64_t i = 0; i < 100; i++)
        cop_send(ctx, to, cop_tuple(ctx, who, i));
}

static void each_in_its_order(cop_ctx *ctx) {
    int64_t next[3] = { 0 }, who, n;
    for (int64_t i = 0; i < 3; i++)
        cop_spawn(ctx, flood, cop_tuple(ctx, cop_self(ctx), i));
    for (int i = 0; i < 300; i++) {
        EXPECT(cop_match_tuple(ASSERT_RECEIVE(ctx, "{_, _}"), &who, &n));
        EXPECT_INT(n, next[who]++);
    }
}

TEST_HOST(messages_of_one_process_stay_in_order_under_every_seed) {
    simulate(100, each_in_its_order, .faults = "handoff=0.3,late=0.3,cut=0.5");
}

static void busy_beyond_the_ring(cop_ctx *ctx) {
    enum { MANY = 3000 };
    for (int64_t i = 0; i < MANY; i++)
        cop_spawn(ctx, note_priority, cop_tuple(ctx, cop_self(ctx), i));
    int64_t sum = 0, n;
    for (int i = 0; i < MANY; i++) {
        COP_SCOPE(ctx) {
            EXPECT(cop_get_i64(ASSERT_RECEIVE(ctx, "_"), &n));
            sum += n;
        }
    }
    EXPECT_INT(sum, (int64_t)MANY * (MANY - 1) / 2);
}

TEST_HOST(many_runnable_processes_are_all_run) { simulate(8, busy_beyond_the_ring); }

TEST(a_test_may_always_run_under_seeds, .seeds = 10, .faults = "kill=1") {
    EXPECT(cop_sim_is_on());
    EXPECT(cop_sim_seed() >= 1);
    EXPECT_INT(killed_of(ctx, 1), 1);
}
