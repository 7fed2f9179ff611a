/* SPDX-License-Identifier: Apache-2.0 */
/* Spawning, exit signals and links. Expectations: spec cases of the process chapter, which were
   observed on Elixir 1.14 / OTP 25; the numbers are in the names. */
#include "help.h"

/* Smaller by COPPICE_TEST_SCALE, for slow builds. */
static int64_t scaled(int64_t n) {
    const char *text = getenv("COPPICE_TEST_SCALE");
    int64_t by = text != NULL ? atoll(text) : 1;
    return by > 1 ? n / by : n;
}

TEST(PR_001_a_spawned_process_ends_normal) {
    cop_spawned s = cop_spawn_monitor(ctx, return_at_once, COP_NONE);
    cop_term down = ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :normal}");
    EXPECT(cop_elem(down, 1).w == s.ref.t.w);
}

TEST(PR_002_a_linked_exit_is_a_message_to_a_trapper) {
    cop_process_trap_exit(ctx, true);
    cop_pid p = cop_spawn_link(ctx, exit_with_arg, cop_a(boo).t);
    cop_term exit = ASSERT_RECEIVE(ctx, "{:EXIT, _, :boo}");
    EXPECT(cop_elem(exit, 1).w == p.t.w);
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

TEST(PR_003_a_monitored_exit_is_a_down_message) {
    cop_spawned s = cop_spawn_monitor(ctx, exit_with_arg, cop_a(boo).t);
    cop_term pattern = cop_tuple(ctx, cop_as("DOWN"), s.ref, cop_a(process), s.pid, cop_a(boo));
    cop_term down = ASSERT_RECEIVE(ctx, "{:DOWN, _, _, _, _}");
    EXPECT_SAME(ctx, down, pattern);
}

TEST(PR_005_a_monitor_may_have_a_tag) {
    cop_process_spawn(ctx, exit_with_arg, cop_a(q).t,
                      &(cop_spawn_opts){ .monitor_tag = cop_tuple(ctx, cop_a(t), "x") });
    ASSERT_RECEIVE(ctx, "{{:t, \"x\"}, _, :process, _, :q}");
}

TEST(PR_013_link_and_monitor_both_tell) {
    cop_process_trap_exit(ctx, true);
    cop_process_spawn(ctx, exit_with_arg, cop_a(e).t,
                      &(cop_spawn_opts){ .link = true, .monitor = true });
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :e}");
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :e}");
}

static void raise_oops(cop_ctx *ctx, cop_term arg) { cop_raise(ctx, "RuntimeError", "oops"); }
static void throw_ball(cop_ctx *ctx, cop_term arg) { cop_throw(ctx, cop_a(ball)); }
static void error_term(cop_ctx *ctx, cop_term arg) { cop_error(ctx, cop_a(badthing)); }

TEST(PR_014_exit_reasons) {
    cop_spawn_monitor(ctx, raise_oops, COP_NONE);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, _, _, {%RuntimeError{message: \"oops\"}, _}}");
    cop_spawn_monitor(ctx, throw_ball, COP_NONE);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, _, _, {{:nocatch, :ball}, _}}");
    cop_spawn_monitor(ctx, error_term, COP_NONE);
    cop_term down = ASSERT_RECEIVE(ctx, "{:DOWN, _, _, _, {:badthing, _}}");
    EXPECT(cop_is_list(cop_elem(cop_elem(down, 4), 1)));
}

TEST(PR_019_a_thousand_pids_differ) {
    cop_term set = cop_map(ctx);
    for (int i = 0; i < 1000; i++)
        set = cop_map_put(ctx, set, cop_spawn(ctx, return_at_once, COP_NONE).t, COP_NIL);
    EXPECT_INT(cop_map_size(set), 1000);
}

TEST(PR_020_normal_does_not_kill_another) {
    cop_process_trap_exit(ctx, true);
    cop_pid p = cop_spawn_link(ctx, wait_for_ever, COP_NONE);
    cop_process_exit(ctx, p, cop_a(normal).t);
    EXPECT(cop_process_is_alive(ctx, p));
    cop_process_exit(ctx, p, cop_a(abnormal).t);
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :abnormal}");
    EXPECT(!cop_process_is_alive(ctx, p));
}

static void exit_self_normal(cop_ctx *ctx, cop_term arg) {
    cop_process_exit(ctx, cop_self(ctx), cop_a(normal).t);
    wait_for_ever(ctx, arg);
}

TEST(PR_021_normal_to_oneself_ends) {
    cop_process_trap_exit(ctx, true);
    cop_spawn_link(ctx, exit_self_normal, COP_NONE);
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :normal}");
}

TEST(PR_022_a_trapper_gets_normal_as_a_message) {
    cop_pid p = trapper(ctx);
    cop_process_exit(ctx, p, cop_a(normal).t);
    ASSERT_RECEIVE(ctx, "{:got, {:EXIT, _, :normal}}");
    EXPECT(cop_process_is_alive(ctx, p));
}

static void trap_and_exit_oneself(cop_ctx *ctx, cop_term reason) {
    cop_process_trap_exit(ctx, true);
    cop_process_exit(ctx, cop_self(ctx), reason);
    cop_term message;
    cop_receive(ctx, COP_INFINITY, &message);
    cop_exit(ctx, cop_tuple(ctx, cop_a(got), cop_elem(message, 2)));
}

TEST(PR_023_a_trapper_gets_its_own_exit_signal_as_a_message) {
    cop_spawn_monitor(ctx, trap_and_exit_oneself, cop_a(foo).t);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, {:got, :foo}}");
    cop_spawn_monitor(ctx, trap_and_exit_oneself, cop_a(normal).t);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, {:got, :normal}}");
}

TEST(PR_024_kill_cannot_be_trapped) {
    cop_pid p = trapper(ctx);
    cop_process_monitor(ctx, p);
    cop_process_exit(ctx, p, cop_a(kill).t);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :killed}");
}

TEST(PR_025_exit_kill_by_itself_is_an_ordinary_reason) {
    cop_process_trap_exit(ctx, true);
    cop_spawn_link(ctx, exit_with_arg, cop_a(kill).t);
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :kill}");
}

TEST(PR_026_exit_to_the_dead_and_to_nonsense) {
    cop_process_exit(ctx, test_dead_pid(ctx), cop_a(foo).t);
    EXPECT_ERROR(ctx, ":badarg") { cop_process_exit(ctx, cop_a(name), cop_a(x).t); }
}

TEST(PR_027_killed_is_dead_for_the_killer_at_once) {
    for (int i = 0; i < 200; i++) {
        cop_pid p = cop_spawn(ctx, wait_for_ever, COP_NONE);
        cop_process_exit(ctx, p, cop_a(kill).t);
        EXPECT(!cop_process_is_alive(ctx, p));
        EXPECT(cop_is_none(cop_process_info(ctx, p, cop_a(status))));
    }
}

static void chain(cop_ctx *ctx, cop_term arg) {
    int64_t depth;
    EXPECT(cop_get_i64(arg, &depth));
    if (depth == 0)
        cop_exit(ctx, cop_a(deep));
    cop_spawn_link(ctx, chain, cop_of(ctx, depth - 1));
    wait_for_ever(ctx, arg);
}

TEST(PR_028_an_exit_climbs_a_chain_of_links) {
    cop_spawn_monitor(ctx, chain, COP_INT(3));
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :deep}");
}

static void link_to_one_that_ends(cop_ctx *ctx, cop_term trap) {
    bool traps = false;
    cop_get_bool(trap, &traps);
    cop_process_trap_exit(ctx, traps);
    cop_pid p = cop_spawn_link(ctx, return_at_once, COP_NONE);
    test_await_down(ctx, p);
    cop_exit(ctx, cop_tuple(ctx, cop_a(lived), cop_list_length(test_flush(ctx))));
}

TEST(PR_029_a_linked_normal_end) {
    cop_spawn_monitor(ctx, link_to_one_that_ends, cop_a(false).t);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, {:lived, 0}}");
    cop_spawn_monitor(ctx, link_to_one_that_ends, cop_a(true).t);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, {:lived, 1}}");
}

static int exit_is_sent; /* atomic */

static void work_then_trap(cop_ctx *ctx, cop_term to) {
    cop_send(ctx, to, cop_a(working));
    while (__atomic_load_n(&exit_is_sent, __ATOMIC_ACQUIRE) == 0)
        cop_bump_reductions(ctx, 10);
    cop_process_trap_exit(ctx, true);
    wait_for_ever(ctx, to);
}

TEST(PR_030_a_busy_process_dies_of_what_came_before_it_traps) {
    __atomic_store_n(&exit_is_sent, 0, __ATOMIC_RELAXED);
    cop_spawned s = cop_spawn_monitor(ctx, work_then_trap, cop_self(ctx).t);
    ASSERT_RECEIVE(ctx, ":working");
    cop_process_exit(ctx, s.pid, cop_a(early));
    __atomic_store_n(&exit_is_sent, 1, __ATOMIC_RELEASE);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :early}");
}

TEST(PR_031_a_link_to_oneself_does_nothing) {
    cop_process_link(ctx, cop_self(ctx));
    EXPECT_TERM(ctx, cop_process_info(ctx, cop_self(ctx), cop_a(links)), "[]");
}

TEST(PR_032_a_link_is_there_once) {
    cop_pid p = test_idle_pid(ctx);
    cop_process_link(ctx, p);
    cop_process_link(ctx, p);
    EXPECT_SAME(ctx, cop_process_info(ctx, cop_self(ctx), cop_a(links)), cop_list(ctx, p));
    cop_process_unlink(ctx, p);
    EXPECT_TERM(ctx, cop_process_info(ctx, cop_self(ctx), cop_a(links)), "[]");
}

TEST(PR_033_a_trapper_links_to_the_dead) {
    cop_pid dead = test_dead_pid(ctx);
    cop_process_trap_exit(ctx, true);
    cop_process_link(ctx, dead);
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :noproc}");
}

TEST(PR_034_a_link_to_the_dead_raises_noproc) {
    cop_pid dead = test_dead_pid(ctx);
    EXPECT_ERROR(ctx, ":noproc") { cop_process_link(ctx, dead); }
}

TEST(PR_035_links_to_nonsense) {
    EXPECT_ERROR(ctx, ":badarg") { cop_process_link(ctx, cop_a(foo).t); }
    EXPECT_ERROR(ctx, ":badarg") { cop_process_unlink(ctx, cop_a(foo).t); }
    cop_process_unlink(ctx, test_dead_pid(ctx));
}

TEST(PR_036_an_unlinked_exit_does_not_reach) {
    cop_pid p = cop_spawn_link(ctx, wait_for_ever, COP_NONE);
    cop_process_unlink(ctx, p);
    cop_process_exit(ctx, p, cop_a(boo).t);
    EXPECT_TERM(ctx, test_await_down(ctx, p), "_");
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

TEST(link_unlink_link_never_delivers_a_stale_exit) {
    cop_process_trap_exit(ctx, true);
    for (int i = 0; i < 500; i++)
        COP_SCOPE(ctx) {
            cop_pid p = cop_spawn_link(ctx, exit_with_arg, cop_a(boo).t);
            cop_process_unlink(ctx, p);
            cop_process_link(ctx, p);
            EXPECT_TERM(ctx, test_await_down(ctx, p), "_");
            /* By the first link before it was removed, or by the second, to one that lived or not; never
               by the first one afterwards. */
            cop_term exits = test_flush(ctx);
            if (!cop_matches(ctx, exits, "[{:EXIT, _, :boo}]", NULL)
                && !cop_matches(ctx, exits, "[{:EXIT, _, :noproc}]", NULL))
                EXPECT_TERM(ctx, exits, "[{:EXIT, _, :boo}, {:EXIT, _, :noproc}]");
            EXPECT(cop_elem(cop_head(exits), 1).w == p.t.w);
        }
}

static void link_in_line(cop_ctx *ctx, cop_term left) {
    int64_t n;
    cop_pid top;
    EXPECT(cop_match_tuple(left, &n, &top));
    if (n == 0)
        cop_send(ctx, top, cop_a(all_there));
    else
        cop_spawn_link(ctx, link_in_line, cop_tuple(ctx, n - 1, top));
    wait_for_ever(ctx, left);
}

TEST(a_hundred_thousand_linked_in_a_line_die_by_one_exit, .timeout_s = 120) {
    int64_t n = scaled(100000), before = (int64_t)cop_node_process_count();
    cop_spawned first = cop_spawn_monitor(ctx, link_in_line, cop_tuple(ctx, n, cop_self(ctx)));
    ASSERT_RECEIVE_IN(ctx, ":all_there", 60000);
    EXPECT((int64_t)cop_node_process_count() > before + n);
    cop_process_exit(ctx, first.pid, cop_a(enough).t);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :enough}");
    while ((int64_t)cop_node_process_count() > before)
        cop_yield(ctx);
}

static void link_with_many(cop_ctx *ctx, cop_term arg) {
    int64_t n;
    cop_pid top;
    EXPECT(cop_match_tuple(arg, &n, &top));
    for (int64_t i = 0; i < n; i++)
        COP_SCOPE(ctx) {
            cop_pid child = cop_spawn_link(ctx, wait_for_ever, COP_NIL);
            if (i % 10 == 0) /* one in ten is let go */
                cop_process_unlink(ctx, child);
            cop_send(ctx, top, cop_tuple(ctx, child, i));
        }
    cop_process_trap_exit(ctx, true);
    wait_for_ever(ctx, arg);
}

TEST(all_that_are_linked_with_one_die_by_its_exit, .timeout_s = 120) {
    int64_t n = scaled(20000), i = 0;
    cop_pid one = cop_spawn(ctx, link_with_many, cop_tuple(ctx, n, cop_self(ctx))), child;
    cop_pid *all = cop_alloc(ctx, (size_t)n * sizeof *all);
    for (int64_t k = 0; k < n; k++)
        COP_SCOPE(ctx) {
            EXPECT(cop_match_tuple(ASSERT_RECEIVE(ctx, "{_, _}"), &child, &i));
            all[i] = child;
        }
    cop_process_exit(ctx, one, cop_a(kill));
    for (int64_t k = 0; k < n; k++)
        COP_SCOPE(ctx) {
            if (k % 10 == 0) {
                EXPECT(cop_process_is_alive(ctx, all[k]));
                cop_process_exit(ctx, all[k], cop_a(kill));
            }
            cop_process_monitor(ctx, all[k]);
            cop_term down = ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, _}");
            cop_term reason = cop_elem(down, 4);
            EXPECT(cop_match(reason, cop_a(killed)) || cop_match(reason, cop_a(noproc)));
        }
}
