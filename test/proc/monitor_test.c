/* SPDX-License-Identifier: Apache-2.0 */
/* Monitors and aliases, by the spec's cases (observed on Elixir 1.14 / OTP 25). */
#include <coppice.h>
#include <coppice/sim.h>
#include <coppice/test.h>
#include <stdlib.h>

/* Smaller by COPPICE_TEST_SCALE, for slow builds. */
static int64_t scaled(int64_t n) {
    const char *text = getenv("COPPICE_TEST_SCALE");
    int64_t by = text != NULL ? atoll(text) : 1;
    return by > 1 ? n / by : n;
}

static void wait_then_exit(cop_ctx *ctx, cop_term arg) {
    cop_term message;
    cop_receive(ctx, COP_INFINITY, &message);
    cop_exit(ctx, message);
}

static cop_pid waiting(cop_ctx *ctx) { return cop_spawn(ctx, wait_then_exit, COP_NONE); }

TEST(PR_040_a_dead_pid_is_down_at_once) {
    cop_pid dead = test_dead_pid(ctx);
    cop_ref ref = cop_process_monitor(ctx, dead);
    cop_term down = ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :noproc}");
    EXPECT(cop_elem(down, 1).w == ref.t.w);
}

TEST(PR_041_a_name_nobody_has_is_down_at_once) {
    cop_process_monitor(ctx, cop_a(nosuch));
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, {:nosuch, :nonode@nohost}, :noproc}");
    cop_process_monitor(ctx, cop_tuple(ctx, cop_a(nosuch), cop_as("nonode@nohost")));
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, {:nosuch, :nonode@nohost}, :noproc}");
}

TEST(PR_042_a_monitor_by_name) {
    cop_pid p = waiting(ctx);
    cop_process_register(ctx, p, cop_a(regm));
    cop_process_monitor(ctx, cop_a(regm));
    EXPECT_TERM(ctx, cop_process_info(ctx, cop_self(ctx), cop_a(monitors)),
                "[process: {:regm, :nonode@nohost}]");
    cop_send(ctx, p, cop_a(bye));
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, {:regm, :nonode@nohost}, :bye}");
}

TEST(PR_043_two_monitors_two_downs) {
    cop_pid p = waiting(ctx);
    cop_ref a = cop_process_monitor(ctx, p), b = cop_process_monitor(ctx, p);
    EXPECT(a.t.w != b.t.w);
    EXPECT_INT(cop_list_length(cop_process_info(ctx, p, cop_a(monitored_by))), 2);
    cop_send(ctx, p, cop_a(bye));
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :bye}");
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :bye}");
}

/* The book that the test keeps itself: a reference, or none, at each of its places. */
enum { BOOK = 300 };

static int64_t come_and_go(cop_ctx *ctx, cop_pid p, cop_ref *book) {
    uint64_t random = 1;
    int64_t count = 0;
    for (int step = 0; step < 20 * BOOK; step++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
        cop_ref *ref = &book[(random >> 33) % BOOK];
        if (cop_is_none(ref->t)) {
            *ref = cop_process_monitor(ctx, p);
            count++;
        } else {
            EXPECT(cop_process_demonitor(ctx, *ref, COP_DEMONITOR_INFO));
            EXPECT(!cop_process_demonitor(ctx, *ref, COP_DEMONITOR_INFO));
            *ref = (cop_ref){ COP_NONE };
            count--;
        }
    }
    return count;
}

TEST(many_monitors_come_and_go_in_any_order) {
    static cop_ref book[BOOK];
    cop_pid p = waiting(ctx);
    int64_t count = come_and_go(ctx, p, book);
    EXPECT_INT(cop_list_length(cop_process_info(ctx, cop_self(ctx), cop_a(monitors))), count);
    EXPECT_INT(cop_list_length(cop_process_info(ctx, p, cop_a(monitored_by))), count);
    cop_send(ctx, p, cop_a(bye));
    for (int i = 0; i < BOOK; i++) {
        cop_term down;
        if (!cop_is_none(book[i].t))
            EXPECT(cop_receive_ref(ctx, 5000, book[i], &down));
    }
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

TEST(PR_044_a_monitor_of_oneself_never_fires) {
    cop_process_monitor(ctx, cop_self(ctx));
    EXPECT_ERROR(ctx, ":badarg") { cop_process_monitor(ctx, cop_of(ctx, "x")); }
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

TEST(PR_045_a_demonitored_process_is_not_reported) {
    cop_pid p = waiting(ctx);
    cop_ref ref = cop_process_monitor(ctx, p);
    EXPECT(cop_process_demonitor(ctx, ref, 0));
    EXPECT(cop_process_demonitor(ctx, ref, 0));
    cop_send(ctx, p, cop_a(bye));
    test_await_down(ctx, p);
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

TEST(PR_046_demonitor_info_and_flush) {
    cop_pid p = waiting(ctx);
    cop_ref ref = cop_process_monitor(ctx, p);
    EXPECT(cop_process_demonitor(ctx, ref, COP_DEMONITOR_INFO));
    EXPECT(!cop_process_demonitor(ctx, ref, COP_DEMONITOR_INFO));
    ref = cop_process_monitor(ctx, test_dead_pid(ctx));
    cop_yield(ctx);
    EXPECT(!cop_process_demonitor(ctx, ref, COP_DEMONITOR_INFO));
    EXPECT_INT(cop_list_length(test_flush(ctx)), 1);
    ref = cop_process_monitor(ctx, test_dead_pid(ctx));
    cop_yield(ctx);
    EXPECT(!cop_process_demonitor(ctx, ref, COP_DEMONITOR_INFO | COP_DEMONITOR_FLUSH));
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

TEST(PR_047_demonitor_of_a_plain_reference) {
    cop_ref plain = cop_make_ref(ctx);
    EXPECT(cop_process_demonitor(ctx, plain, 0));
    EXPECT(!cop_process_demonitor(ctx, plain, COP_DEMONITOR_INFO));
    EXPECT_ERROR(ctx, ":badarg") { cop_process_demonitor(ctx, (cop_ref){ cop_a(x).t }, 0); }
    EXPECT_ERROR(ctx, ":badarg") { cop_process_demonitor(ctx, plain, 8); }
}

TEST(PR_048_flush_finds_a_tagged_down_message) {
    cop_ref ref =
        cop_process_monitor_opts(ctx, test_dead_pid(ctx), &(cop_monitor_opts){ .tag = cop_a(t).t });
    cop_yield(ctx);
    EXPECT(cop_process_demonitor(ctx, ref, COP_DEMONITOR_FLUSH));
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

TEST(PR_049_an_alias_until_unalias) {
    cop_ref alias = cop_process_alias(ctx, false);
    cop_send(ctx, alias, cop_a(hi));
    ASSERT_RECEIVE(ctx, ":hi");
    EXPECT(cop_process_unalias(ctx, alias));
    EXPECT(!cop_process_unalias(ctx, alias));
    cop_send(ctx, alias, cop_a(late));
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

TEST(PR_050_a_reply_alias_takes_one_message) {
    cop_ref alias = cop_process_alias(ctx, true);
    cop_send(ctx, alias, 1);
    cop_send(ctx, alias, 2);
    EXPECT_TERM(ctx, test_flush(ctx), "[1]");
    EXPECT(!cop_process_unalias(ctx, alias));
}

static void unalias_of_another(cop_ctx *ctx, cop_term alias) {
    cop_exit(ctx, cop_process_unalias(ctx, (cop_ref){ alias }) ? cop_a(yes) : cop_a(no));
}

TEST(PR_051_unalias_of_anothers_alias) {
    cop_ref alias = cop_process_alias(ctx, false);
    cop_spawn_monitor(ctx, unalias_of_another, alias.t);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :no}");
    cop_send(ctx, alias, cop_a(hi));
    ASSERT_RECEIVE(ctx, ":hi");
    EXPECT_ERROR(ctx, ":badarg") { cop_process_unalias(ctx, (cop_ref){ cop_a(x).t }); }
    cop_pid p = test_idle_pid(ctx);
    EXPECT_ERROR(ctx, ":badarg") {
        cop_process_monitor_opts(ctx, p, &(cop_monitor_opts){ .alias = (cop_alias_mode)9 });
    }
}

TEST(PR_052_explicit_unalias_outlives_the_monitor) {
    cop_pid p = waiting(ctx);
    cop_ref ref = cop_process_monitor_opts(
        ctx, p, &(cop_monitor_opts){ .alias = COP_ALIAS_EXPLICIT_UNALIAS });
    cop_send(ctx, ref, cop_a(reply));
    ASSERT_RECEIVE(ctx, ":reply");
    cop_send(ctx, p, cop_a(bye));
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :bye}");
    cop_send(ctx, ref, cop_a(still));
    ASSERT_RECEIVE(ctx, ":still");
    EXPECT(cop_process_unalias(ctx, ref));
}

TEST(PR_053_a_demonitor_alias_ends_with_the_monitor) {
    cop_pid p = waiting(ctx);
    cop_ref ref =
        cop_process_monitor_opts(ctx, p, &(cop_monitor_opts){ .alias = COP_ALIAS_DEMONITOR });
    cop_process_demonitor(ctx, ref, 0);
    cop_send(ctx, ref, cop_a(late));
    ref = cop_process_monitor_opts(ctx, p, &(cop_monitor_opts){ .alias = COP_ALIAS_DEMONITOR });
    EXPECT(cop_process_unalias(ctx, ref));
    cop_send(ctx, ref, cop_a(late));
    cop_send(ctx, p, cop_a(bye));
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :bye}");
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

TEST(PR_054_reply_demonitor_ends_with_the_first_reply) {
    cop_pid p = waiting(ctx);
    cop_ref ref =
        cop_process_monitor_opts(ctx, p, &(cop_monitor_opts){ .alias = COP_ALIAS_REPLY_DEMONITOR });
    cop_send(ctx, ref, 1);
    cop_send(ctx, ref, 2);
    EXPECT_TERM(ctx, test_flush(ctx), "[1]");
    cop_send(ctx, p, cop_a(bye));
    test_await_down(ctx, p);
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

TEST(PR_055_a_monitor_of_the_dead_is_no_alias) {
    cop_pid dead = test_dead_pid(ctx);
    cop_ref ref = cop_process_monitor_opts(
        ctx, dead, &(cop_monitor_opts){ .alias = COP_ALIAS_REPLY_DEMONITOR });
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :noproc}");
    EXPECT(!cop_process_unalias(ctx, ref));
}

TEST(PR_057_a_monitor_on_a_node_that_is_not_distributed) {
    EXPECT_ERROR(ctx, ":badarg") {
        cop_process_monitor(ctx, cop_tuple(ctx, cop_a(x), cop_as("nope@nohost")));
    }
}

TEST(PR_056_unalias_drops_what_was_not_taken_in) {
    cop_ref alias = cop_process_alias(ctx, false);
    cop_send(ctx, alias, cop_a(m1));
    EXPECT(cop_process_unalias(ctx, alias));
    /* Under simulation a turn may have ended in between, and the message been taken in. */
    EXPECT_TERM(ctx, test_flush(ctx), cop_sim_is_on() ? "_" : "[]");
}

static void watch_and_wait(cop_ctx *ctx, cop_term arg) {
    cop_pid hub, top;
    EXPECT(cop_match_tuple(arg, &hub, &top));
    cop_process_monitor(ctx, hub);
    cop_process_link(ctx, hub);
    cop_send(ctx, top, cop_a(there));
    cop_term message;
    cop_receive(ctx, COP_INFINITY, &message);
}

TEST(a_hub_with_ten_thousand_links_and_monitors_tells_all, .timeout_s = 60) {
    cop_pid hub = waiting(ctx);
    int64_t n = scaled(10000), before = (int64_t)cop_node_process_count();
    for (int64_t i = 0; i < n; i++)
        COP_SCOPE(ctx) { cop_spawn(ctx, watch_and_wait, cop_tuple(ctx, hub, cop_self(ctx))); }
    for (int64_t i = 0; i < n; i++)
        COP_SCOPE(ctx) { ASSERT_RECEIVE(ctx, ":there"); }
    cop_send(ctx, hub, cop_a(bang));
    test_await_down(ctx, hub);
    while ((int64_t)cop_node_process_count() >= before)
        cop_yield(ctx);
}
