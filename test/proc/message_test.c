/* SPDX-License-Identifier: Apache-2.0 */
/* Sending, receiving, names, timers, dictionary: the spec's cases (Elixir 1.14 / OTP 25). */
#include <coppice.h>
#include <coppice/test.h>
#include <stdio.h>
#include <time.h>

static bool is_b(cop_term message, void *arg) { return cop_match(message, cop_a(b)); }

TEST(PR_090_a_receive_takes_the_first_that_matches) {
    cop_send(ctx, cop_self(ctx), cop_a(a));
    cop_send(ctx, cop_self(ctx), cop_a(b));
    cop_send(ctx, cop_self(ctx), cop_a(c));
    cop_send(ctx, cop_self(ctx), cop_a(b));
    cop_term message;
    EXPECT(cop_receive_match(ctx, COP_INFINITY, is_b, NULL, &message));
    EXPECT_TERM(ctx, test_flush(ctx), "[:a, :c, :b]");
}

static bool is_one_or_two(cop_term message, void *arg) {
    return cop_match(message, 1) || cop_match(message, 2);
}

TEST(PR_091_the_first_message_wins_not_the_first_clause) {
    cop_send(ctx, cop_self(ctx), 2);
    cop_send(ctx, cop_self(ctx), 1);
    cop_term message;
    EXPECT(cop_receive_match(ctx, 0, is_one_or_two, NULL, &message));
    EXPECT_TERM(ctx, message, "2");
}

TEST(PR_092_after_zero_with_unmatched_mail) {
    cop_send(ctx, cop_self(ctx), cop_a(a));
    cop_term message;
    EXPECT(!cop_receive_match(ctx, 0, is_b, NULL, &message));
    EXPECT_TERM(ctx, test_flush(ctx), "[:a]");
}

TEST(PR_093_a_bad_timeout_raises_unless_a_message_matches) {
    cop_term message;
    EXPECT_ERROR(ctx, ":timeout_value") { cop_receive(ctx, INT64_C(4294967296), &message); }
    EXPECT_ERROR(ctx, ":timeout_value") { cop_receive(ctx, -1, &message); }
    cop_send(ctx, cop_self(ctx), cop_a(a));
    EXPECT(cop_receive(ctx, -1, &message));
}

static void send_thousand(cop_ctx *ctx, cop_term to) {
    for (int i = 0; i < 1000; i++)
        cop_send(ctx, to, i);
}

TEST(PR_094_a_thousand_messages_arrive_in_order) {
    cop_spawn(ctx, send_thousand, cop_self(ctx).t);
    for (int i = 0; i < 1000; i++) {
        cop_term message;
        EXPECT(cop_receive(ctx, 5000, &message));
        EXPECT_TERM(ctx, message, "_");
        int64_t n;
        EXPECT(cop_get_i64(message, &n) && n == i);
    }
}

static void two_then_exit(cop_ctx *ctx, cop_term to) {
    cop_send(ctx, to, cop_a(m1));
    cop_send(ctx, to, cop_a(m2));
    cop_exit(ctx, cop_a(e));
}

TEST(PR_095_messages_come_before_the_exit) {
    cop_process_trap_exit(ctx, true);
    cop_spawn_link(ctx, two_then_exit, cop_self(ctx).t);
    cop_term exit = ASSERT_RECEIVE(ctx, "{:EXIT, _, :e}");
    EXPECT_TERM(ctx, exit, "_");
    EXPECT_TERM(ctx, test_flush(ctx), "[:m1, :m2]");
}

TEST(PR_096_where_a_message_may_go) {
    EXPECT_ERROR(ctx, ":badarg") { cop_send(ctx, cop_a(nosuchname), cop_a(x)); }
    EXPECT_TERM(ctx, cop_send(ctx, cop_tuple(ctx, cop_a(nosuch), cop_as("nonode@nohost")), 1), "1");
    EXPECT_TERM(ctx, cop_send(ctx, cop_tuple(ctx, cop_a(n), cop_as("foo@bar")), 1), "1");
    EXPECT_TERM(ctx, cop_send(ctx, test_dead_pid(ctx), 1), "1");
    EXPECT_TERM(ctx, cop_send(ctx, cop_make_ref(ctx), 1), "1");
    EXPECT_ERROR(ctx, ":badarg") { cop_send(ctx, cop_of(ctx, "x"), 1); }
}

TEST(PR_097_send_with_options) {
    cop_term far = cop_tuple(ctx, cop_a(name), cop_as("unknown_node@nohost"));
    EXPECT_TERM(ctx, cop_process_send(ctx, far, cop_a(hi), COP_SEND_NOCONNECT), ":noconnect");
    EXPECT_TERM(ctx, cop_process_send(ctx, cop_self(ctx), cop_a(x), 0), ":ok");
    ASSERT_RECEIVE(ctx, ":x");
    EXPECT_ERROR(ctx, ":badarg") { cop_process_send(ctx, cop_self(ctx), cop_a(x), 64); }
    EXPECT_ERROR(ctx, ":badarg") { cop_process_send(ctx, cop_a(nosuchname), cop_a(x), 0); }
}

TEST(PR_098_the_queue_length_counts_what_was_just_sent) {
    cop_pid p = cop_spawn(ctx, two_then_exit, cop_self(ctx).t); /* never receives */
    test_await_down(ctx, p);
    test_flush(ctx);
    cop_send(ctx, cop_self(ctx), cop_a(m));
    EXPECT_TERM(ctx, cop_process_info(ctx, cop_self(ctx), cop_a(message_queue_len)), "1");
}

TEST(PR_099_send_without_suspending) {
    EXPECT_TERM(ctx, cop_process_send(ctx, cop_self(ctx), cop_a(x), COP_SEND_NOSUSPEND), ":ok");
    ASSERT_RECEIVE(ctx, ":x");
}

TEST(PR_060_register_and_whereis) {
    cop_process_register(ctx, cop_self(ctx), cop_a(me));
    EXPECT(cop_process_whereis(ctx, cop_a(me)).w == cop_self(ctx).t.w);
    EXPECT_TERM(ctx, cop_process_info(ctx, cop_self(ctx), cop_a(registered_name)), ":me");
    cop_send(ctx, cop_a(me), cop_a(hi));
    ASSERT_RECEIVE(ctx, ":hi");
    EXPECT(!cop_process_try_register(ctx, cop_self(ctx), cop_a(me2))); /* PR_061 */
    cop_process_unregister(ctx, cop_a(me));
    EXPECT(cop_is_none(cop_process_whereis(ctx, cop_a(me))));
    EXPECT_ERROR(ctx, ":badarg") { cop_process_unregister(ctx, cop_a(me)); }
    EXPECT(!cop_process_try_register(ctx, cop_self(ctx), cop_a(undefined))); /* PR_062 */
    EXPECT(!cop_process_try_register(ctx, test_dead_pid(ctx), cop_a(gone)));
}

static void register_and_end(cop_ctx *ctx, cop_term arg) {
    cop_process_register(ctx, cop_self(ctx), cop_a(fixed));
}

/* Why it could not be registered, with the text of Elixir's. */
#define EXPECT_NOT_REGISTERED(ctx, who, name) \
    EXPECT_ERROR(ctx, "%ArgumentError{message: _}") { cop_process_register(ctx, who, name); }

TEST(PR_061_who_cannot_be_registered) {
    cop_pid p = test_idle_pid(ctx), q = test_idle_pid(ctx);
    cop_process_register(ctx, p, cop_a(taken));
    EXPECT_NOT_REGISTERED(ctx, q, cop_a(taken));
    EXPECT_NOT_REGISTERED(ctx, p, cop_a(second));
    EXPECT_NOT_REGISTERED(ctx, p, cop_a(taken));
    cop_pid dead = test_dead_pid(ctx);
    COP_TRY(ctx) { cop_process_register(ctx, dead, cop_a(gone)); }
    COP_CATCH(caught) {
        char pid[64], text[300], have[300];
        cop_term message;
        cop_inspect_to(pid, sizeof pid, dead.t, NULL);
        snprintf(text, sizeof text,
                 "\"could not register %s with name :gone because it is not alive, the name is "
                 "already taken, or it has already been given another name\"",
                 pid);
        EXPECT(cop_map_get(caught->reason, cop_a(message).t, &message));
        cop_inspect_to(have, sizeof have, message, NULL);
        EXPECT_STR(have, text);
    }
    EXPECT(!cop_process_try_register(ctx, q, cop_a(taken)));
}

TEST(PR_062_what_cannot_be_a_name) {
    cop_pid me = cop_self(ctx);
    EXPECT_NOT_REGISTERED(ctx, me, cop_a(nil));
    EXPECT_NOT_REGISTERED(ctx, me, cop_bool(true));
    EXPECT_NOT_REGISTERED(ctx, me, cop_bool(false));
    EXPECT_NOT_REGISTERED(ctx, me, cop_a(undefined));
    EXPECT_NOT_REGISTERED(ctx, me, (cop_atom){ cop_of(ctx, "x") });
}

static void unregister_it(cop_ctx *ctx, cop_term name) {
    cop_process_unregister(ctx, (cop_atom){ name });
}

TEST(PR_063_unregister_and_whereis) {
    EXPECT_ERROR(ctx, ":badarg") { cop_process_unregister(ctx, cop_a(unknown)); }
    EXPECT_ERROR(ctx, ":badarg") { cop_process_whereis(ctx, (cop_atom){ cop_of(ctx, "x") }); }
    cop_process_register(ctx, cop_self(ctx), cop_a(mine));
    test_await_down(ctx, cop_spawn(ctx, unregister_it, cop_a(mine).t)); /* anybody may */
    EXPECT(cop_is_none(cop_process_whereis(ctx, cop_a(mine))));
}

TEST(PR_064_registered_name) {
    cop_pid p = test_idle_pid(ctx), dead = test_dead_pid(ctx);
    cop_term items = cop_list(ctx, cop_a(registered_name));
    EXPECT(cop_is_none(cop_process_info(ctx, dead, cop_a(registered_name))));
    EXPECT_TERM(ctx, cop_process_info(ctx, p, cop_a(registered_name)), "[]");
    EXPECT_TERM(ctx, cop_process_info_list(ctx, p, items), "[registered_name: []]");
    cop_process_register(ctx, p, cop_a(somebody));
    EXPECT_TERM(ctx, cop_process_info(ctx, p, cop_a(registered_name)), ":somebody");
}

TEST(PR_065_a_name_is_free_when_down_has_come) {
    for (int i = 0; i < 200; i++) {
        cop_spawn_monitor(ctx, register_and_end, COP_NONE);
        ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :normal}");
        EXPECT(cop_is_none(cop_process_whereis(ctx, cop_a(fixed))));
    }
}

TEST(PR_070_send_after_delivers) {
    cop_ref timer = cop_process_send_after(ctx, cop_self(ctx), cop_a(hi), 10);
    ASSERT_RECEIVE(ctx, ":hi");
    EXPECT_INT(cop_process_read_timer(ctx, timer), -1);
    EXPECT_INT(cop_process_cancel_timer(ctx, timer), -1);
}

TEST(PR_071_an_absolute_time) {
    int64_t due = cop_monotonic_ms(ctx) + 30;
    cop_process_send_at(ctx, cop_self(ctx), cop_a(hi), due);
    ASSERT_RECEIVE(ctx, ":hi");
    EXPECT(cop_monotonic_ms(ctx) >= due);
    cop_process_send_at(ctx, cop_self(ctx), cop_a(past), -5);
    ASSERT_RECEIVE(ctx, ":past");
}

TEST(PR_072_read_and_cancel) {
    cop_ref timer = cop_process_send_after(ctx, cop_self(ctx), cop_a(hi), 100000);
    int64_t left = cop_process_read_timer(ctx, timer);
    EXPECT(left > 99000 && left <= 100001);
    EXPECT(cop_process_cancel_timer(ctx, timer) > 99000);
    EXPECT_INT(cop_process_cancel_timer(ctx, timer), -1);
}

TEST(a_timer_never_has_more_left_than_the_clock_says, .real_time = true) {
    int64_t due = cop_monotonic_ms(ctx) + 100000;
    cop_ref timer = cop_start_timer_at(ctx, due, cop_self(ctx).t, cop_a(m).t);
    for (int i = 0; i < 50000; i++) {
        cop_process_read_timer(ctx, timer);
        int64_t most = due - cop_monotonic_ms(ctx);
        EXPECT(cop_process_read_timer(ctx, timer) <= most);
    }
}

TEST(PR_073_timers_are_cancelled_without_waiting) {
    cop_ref t = cop_process_send_after(ctx, cop_self(ctx), cop_a(late), 100000);
    cop_process_read_timer_async(ctx, t);
    ASSERT_RECEIVE(ctx, "{:read_timer, _, _}");
    cop_process_cancel_timer_async(ctx, t, false);
    cop_term first = ASSERT_RECEIVE(ctx, "{:cancel_timer, _, _}");
    int64_t left = 0;
    EXPECT_SAME(ctx, cop_elem(first, 1), t);
    EXPECT(cop_get_i64(cop_elem(first, 2), &left) && left > 90000);
    cop_process_cancel_timer_async(ctx, t, false);
    ASSERT_RECEIVE(ctx, "{:cancel_timer, _, false}");
}

TEST(PR_074_timers_are_cancelled_without_an_answer) {
    cop_ref t = cop_process_send_after(ctx, cop_self(ctx), cop_a(late), 20);
    cop_process_cancel_timer_async(ctx, t, true);
    REFUTE_RECEIVE(ctx, "_", 40);
}

static void start_and_end(cop_ctx *ctx, cop_term to) {
    cop_ref t = cop_process_send_after(ctx, to, cop_a(from_the_dead), 20);
    cop_ref far = cop_process_send_after(ctx, to, cop_a(never), 100000);
    cop_send(ctx, to, cop_tuple(ctx, t, far));
}

TEST(PR_078_a_timer_outlives_who_started_it) {
    cop_pid p = cop_spawn(ctx, start_and_end, cop_self(ctx).t);
    cop_ref near, far;
    EXPECT(cop_match_tuple(ASSERT_RECEIVE(ctx, "{_, _}"), &near, &far));
    test_await_down(ctx, p);
    EXPECT(cop_process_read_timer(ctx, far) > 90000); /* anybody may read and cancel */
    EXPECT(cop_process_cancel_timer(ctx, far) > 90000);
    ASSERT_RECEIVE(ctx, ":from_the_dead");
}

TEST(PR_081_what_is_no_timer) {
    EXPECT_INT(cop_process_cancel_timer(ctx, cop_make_ref(ctx)), -1);
    EXPECT_INT(cop_process_read_timer(ctx, cop_make_ref(ctx)), -1);
    EXPECT_ERROR(ctx, ":badarg") { cop_process_cancel_timer(ctx, (cop_ref){ cop_a(x).t }); }
    EXPECT_ERROR(ctx, ":badarg") { cop_process_read_timer(ctx, (cop_ref){ cop_a(x).t }); }
}

TEST(a_timer_with_a_tuple_at_an_absolute_time) {
    int64_t at = cop_monotonic_ms(ctx) + 10;
    cop_ref t = cop_start_timer_at(ctx, at, cop_self(ctx).t, cop_a(m).t);
    cop_term message = ASSERT_RECEIVE(ctx, "{:timeout, _, :m}");
    EXPECT_SAME(ctx, cop_elem(message, 1), t);
    EXPECT(cop_monotonic_ms(ctx) >= at);
}

TEST(PR_075_bad_timers) {
    EXPECT_ERROR(ctx, ":badarg") { cop_process_send_after(ctx, cop_self(ctx), 1, -1); }
    EXPECT_ERROR(ctx, ":badarg") { cop_process_send_after(ctx, cop_of(ctx, "x"), 1, 1); }
    cop_ref far = cop_process_send_after(ctx, cop_self(ctx), 1, INT64_C(4294967296));
    EXPECT(cop_process_cancel_timer(ctx, far) >= INT64_C(4294967295));
}

TEST(PR_076_a_name_is_looked_up_when_the_timer_fires) {
    cop_process_send_after(ctx, cop_a(soon), cop_a(hi), 20);
    cop_process_send_after(ctx, cop_a(never), cop_a(hi), 1);
    cop_process_register(ctx, cop_self(ctx), cop_a(soon));
    ASSERT_RECEIVE(ctx, ":hi");
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

TEST(PR_077_a_timer_to_the_dead_reads_as_none) {
    cop_ref timer = cop_process_send_after(ctx, test_dead_pid(ctx), 1, 100000);
    EXPECT_INT(cop_process_read_timer(ctx, timer), -1);
    EXPECT_INT(cop_process_cancel_timer(ctx, timer), -1);
}

TEST(PR_079_start_timer_wraps_the_message) {
    cop_ref timer = cop_start_timer(ctx, 5, cop_self(ctx).t, cop_a(m).t);
    cop_term message = ASSERT_RECEIVE(ctx, "{:timeout, _, :m}");
    EXPECT(cop_elem(message, 1).w == timer.t.w);
}

TEST(PR_080_equal_times_keep_their_order) {
    int64_t due = cop_monotonic_ms(ctx) + 300;
    for (int i = 0; i < 5; i++)
        cop_process_send_at(ctx, cop_self(ctx), i, due);
    ASSERT_RECEIVE(ctx, "4");
    EXPECT_TERM(ctx, test_flush(ctx), "[0, 1, 2, 3]");
}

TEST(PR_107_the_dictionary) {
    EXPECT(cop_is_none(cop_process_put(ctx, cop_a(foo).t, cop_a(bar).t)));
    EXPECT_TERM(ctx, cop_process_put(ctx, cop_a(foo).t, cop_a(baz).t), ":bar");
    EXPECT_TERM(ctx, cop_process_get(ctx, cop_a(foo).t), ":baz");
    EXPECT(cop_is_none(cop_process_get(ctx, cop_of(ctx, "foo"))));
    EXPECT_TERM(ctx, cop_process_delete(ctx, cop_a(foo).t), ":baz");
    EXPECT(cop_is_none(cop_process_delete(ctx, cop_a(foo).t)));
}

TEST(the_dictionary_outlives_a_scope) {
    COP_SCOPE(ctx) { cop_process_put(ctx, cop_a(k).t, cop_tuple(ctx, "kept", 1)); }
    COP_SCOPE(ctx) {
        for (int i = 0; i < 1000; i++)
            cop_tuple(ctx, i, "noise");
    }
    EXPECT_TERM(ctx, cop_process_get(ctx, cop_a(k).t), "{\"kept\", 1}");
}

TEST(PR_111_sleep) {
    int64_t before = cop_monotonic_ns(ctx);
    cop_process_sleep(ctx, 0);
    cop_process_sleep(ctx, 20);
    EXPECT(cop_monotonic_ns(ctx) - before >= 20000000);
    EXPECT_ERROR(ctx, ":badarg") { cop_process_sleep(ctx, -1); }
}

static void answer_soon(cop_ctx *ctx, cop_term to) {
    cop_process_sleep(ctx, 1);
    cop_send(ctx, to, cop_a(answer));
}

/* Its alarm stays in the wheel, for about so many ms. */
static void wait_for_an_answer(cop_ctx *ctx, int64_t most_ms) {
    cop_term message;
    cop_spawn(ctx, answer_soon, cop_self(ctx).t);
    EXPECT(cop_receive(ctx, most_ms, &message));
}

static int64_t wait_in_vain_ns(cop_ctx *ctx, int64_t ms) {
    cop_term message;
    int64_t before = cop_monotonic_ns(ctx);
    EXPECT(!cop_receive(ctx, ms, &message));
    return cop_monotonic_ns(ctx) - before;
}

TEST(a_wait_is_not_cut_short_by_the_one_before) {
    wait_for_an_answer(ctx, 1000);
    EXPECT(wait_in_vain_ns(ctx, 1200) >= INT64_C(1200000000));
}

TEST(a_wait_counts_from_its_own_beginning, .real_time = true) {
    wait_for_an_answer(ctx, 1000);
    int64_t computed = cop_monotonic_ns(ctx) + 5000000;
    while (cop_monotonic_ns(ctx) < computed) {}
    EXPECT(wait_in_vain_ns(ctx, 1050) >= 1050000000);
}

TEST(a_wait_may_end_before_the_time_of_the_one_before) {
    wait_for_an_answer(ctx, 60000);
    EXPECT(wait_in_vain_ns(ctx, 5) < INT64_C(30000000000));
}

TEST(a_wait_that_an_answer_ended_does_not_ring_later) {
    cop_term message;
    wait_for_an_answer(ctx, 1000);
    cop_process_send_after(ctx, cop_self(ctx), cop_a(late), 1200);
    EXPECT(cop_receive(ctx, COP_INFINITY, &message));
    EXPECT_TERM(ctx, message, ":late");
}

TEST(a_wait_for_a_fresh_reference_skips_the_old_mail) {
    for (int i = 0; i < 1000; i++)
        cop_send(ctx, cop_self(ctx), cop_a(noise));
    cop_ref ref = cop_make_ref(ctx);
    cop_send(ctx, cop_self(ctx), cop_tuple(ctx, ref, cop_a(answer)));
    cop_term message;
    EXPECT(cop_receive_ref(ctx, 1000, ref, &message));
    EXPECT_TERM(ctx, cop_elem(message, 1), ":answer");
    EXPECT_INT(cop_list_length(test_flush(ctx)), 1000);
}

static void after_hibernate(cop_ctx *ctx, cop_term arg) {
    cop_pid to;
    cop_term kept, message;
    EXPECT(cop_match_tuple(arg, &to, &kept));
    EXPECT(cop_receive(ctx, 0, &message));
    cop_send(ctx, to, cop_tuple(ctx, cop_a(woke), kept, message));
}

static void hibernate(cop_ctx *ctx, cop_term to) {
    cop_process_hibernate(ctx, after_hibernate, cop_tuple(ctx, to, cop_list(ctx, 1, "two", 3.0)));
}

TEST(PR_113_hibernate_waits_and_goes_on_elsewhere) {
    cop_spawned s = cop_spawn_monitor(ctx, hibernate, cop_self(ctx).t);
    cop_term hibernating = cop_tuple(ctx, cop_a(erlang), cop_a(hibernate), 3);
    while (!cop_same(cop_process_info(ctx, s.pid, cop_a(current_function)), hibernating))
        cop_yield(ctx);
    cop_send(ctx, s.pid, cop_a(wake));
    ASSERT_RECEIVE(ctx, "{:woke, [1, \"two\", 3.0], :wake}");
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :normal}");
}

/* ---- callback processes ----------------------------------------------------------------------- */

struct tally {
    cop_term last; /* kept */
    int64_t count;
};

static void tally_message(cop_ctx *ctx, void *state, cop_term message) {
    struct tally *self = state;
    cop_pid to;
    int64_t ms;
    if (cop_match_tuple(message, cop_a(get), &to)) {
        cop_send(ctx, to, cop_tuple(ctx, self->count, self->last));
        return;
    }
    if (cop_match_tuple(message, cop_a(idle), &ms)) {
        cop_process_idle_timeout(ctx, ms);
        return;
    }
    if (cop_match(message, cop_a(stop)))
        cop_exit(ctx, cop_a(done));
    self->count++;
    self->last = message;
}

static void tally_timeout(cop_ctx *ctx, void *state) {
    struct tally *self = state;
    self->last = cop_tuple(ctx, cop_a(timeout), self->last);
}

static void tally_start(cop_ctx *ctx, cop_term arg) {
    static const cop_callbacks callbacks = { .name = "tally",
                                             .message = tally_message,
                                             .timeout = tally_timeout };
    struct tally *self = cop_process_state(ctx, sizeof *self);
    self->last = arg;
    cop_process_keep(ctx, 0, &self->last, 1);
    cop_become(ctx, &callbacks, self);
}

TEST(a_callback_process_keeps_its_state_over_collections) {
    cop_pid p = cop_spawn(ctx, tally_start, cop_list(ctx, "first"));
    for (int i = 0; i < 10000; i++)
        COP_SCOPE(ctx) { cop_send(ctx, p, cop_list(ctx, i, "some text that is longer", 1.5)); }
    cop_send(ctx, p, cop_tuple(ctx, cop_a(get), cop_self(ctx)));
    ASSERT_RECEIVE(ctx, "{10000, [9999, \"some text that is longer\", 1.5]}");
    cop_process_monitor(ctx, p);
    cop_send(ctx, p, cop_a(stop));
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :done}");
}

/* The first message's callback lasts until the test says so, and longer than a tick of the kernel's clock. */
struct slow {
    cop_pid test;
    int handled;
};
static int slow_may_go; /* atomic */

static void slow_message(cop_ctx *ctx, void *state, cop_term message) {
    struct slow *self = state;
    if (self->handled++ > 0) {
        cop_send(ctx, self->test, cop_a(handled_another));
        return;
    }
    cop_send(ctx, self->test, cop_a(busy));
    while (__atomic_load_n(&slow_may_go, __ATOMIC_ACQUIRE) == 0)
        continue;
    struct timespec step, begun, now;
    clock_getres(CLOCK_MONOTONIC_COARSE, &step);
    clock_gettime(CLOCK_MONOTONIC, &begun);
    int64_t lasted_ns;
    do {
        clock_gettime(CLOCK_MONOTONIC, &now);
        lasted_ns = (now.tv_sec - begun.tv_sec) * 1000000000 + now.tv_nsec - begun.tv_nsec;
    } while (lasted_ns < 2 * step.tv_nsec);
}

static int64_t reductions_of(cop_ctx *ctx) {
    int64_t n = -1;
    EXPECT(cop_match(cop_process_info(ctx, cop_self(ctx), cop_a(reductions)), &n));
    return n;
}

static void ends(cop_ctx *ctx, cop_term arg) {}

TEST(messages_to_the_dead_do_not_pile_up_in_the_sender_s_account) {
    cop_pid pid = cop_spawn_monitor(ctx, ends, COP_NIL).pid;
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, _}");
    int64_t before = reductions_of(ctx);
    for (int i = 0; i < 1000; i++)
        cop_send(ctx, pid, i);
    EXPECT(reductions_of(ctx) - before < 3000);
}

static bool is_go(cop_term message, void *arg) { return cop_match(message, cop_a(go)); }

static void slow_start(cop_ctx *ctx, cop_term arg) {
    static const cop_callbacks callbacks = { .name = "slow", .message = slow_message };
    struct slow *self = cop_process_state(ctx, sizeof *self);
    cop_term message;
    self->test = (cop_pid){ arg };
    cop_receive_match(ctx, COP_INFINITY, is_go, NULL, &message);
    cop_become(ctx, &callbacks, self);
}

TEST(an_exit_does_not_wait_behind_slow_callbacks, .schedulers = 2, .real_time = true) {
    cop_pid pid = cop_spawn_monitor(ctx, slow_start, cop_self(ctx).t).pid;
    for (int i = 0; i < 10; i++)
        cop_send(ctx, pid, i);
    cop_send(ctx, pid, cop_a(go));
    ASSERT_RECEIVE(ctx, ":busy");
    cop_process_exit(ctx, pid, cop_a(enough));
    __atomic_store_n(&slow_may_go, 1, __ATOMIC_RELEASE);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :enough}");
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

TEST(the_idle_timeout_of_a_callback_process) {
    cop_pid p = cop_spawn(ctx, tally_start, cop_a(first).t);
    cop_send(ctx, p, cop_tuple(ctx, cop_a(idle), 5));
    cop_process_sleep(ctx, 30);
    cop_send(ctx, p, cop_tuple(ctx, cop_a(get), cop_self(ctx)));
    ASSERT_RECEIVE(ctx, "{0, {:timeout, :first}}");
    /* A message that arrives first clears it. */
    cop_send(ctx, p, cop_tuple(ctx, cop_a(idle), 20));
    cop_send(ctx, p, cop_a(x));
    cop_process_sleep(ctx, 60);
    cop_send(ctx, p, cop_tuple(ctx, cop_a(get), cop_self(ctx)));
    ASSERT_RECEIVE(ctx, "{1, :x}");
}

static void low_first(cop_ctx *ctx, cop_term arg) {
    cop_pid to;
    cop_term what;
    EXPECT(cop_match_tuple(arg, &to, &what));
    cop_send(ctx, to, what);
}

TEST(PR_007_priorities_are_shown_and_high_goes_first, .schedulers = 1, .real_time = true) {
    static const cop_priority all[] = { COP_PRIORITY_LOW, COP_PRIORITY_NORMAL, COP_PRIORITY_HIGH,
                                        COP_PRIORITY_MAX };
    for (int i = 0; i < 4; i++)
        cop_process_spawn(ctx, low_first, cop_tuple(ctx, cop_self(ctx), i),
                          &(cop_spawn_opts){ .priority = all[i] });
    for (int i = 0; i < 4; i++)
        cop_yield(ctx);
    cop_term got = ASSERT_RECEIVE(ctx, "_");
    EXPECT_TERM(ctx, got, "3");
    got = ASSERT_RECEIVE(ctx, "_");
    EXPECT_TERM(ctx, got, "2");
}

static bool is_wanted(cop_term message, void *arg) {
    ++*(int *)arg;
    return cop_match(message, cop_a(wanted));
}

static bool is_never(cop_term message, void *arg) { return false; }

TEST(a_receive_since_a_reference_passes_over_what_is_older) {
    int looked = 0;
    cop_term message;
    cop_send(ctx, cop_self(ctx), cop_a(wanted));
    cop_send(ctx, cop_self(ctx), cop_a(old));
    cop_receive_match(ctx, 0, is_never, NULL, &message); /* now they stand in the queue */
    cop_ref ref = cop_make_ref(ctx);
    cop_send(ctx, cop_self(ctx), cop_a(wanted));
    EXPECT(cop_receive_match_since(ctx, 0, ref, is_wanted, &looked, &message));
    EXPECT_INT(looked, 1);
    EXPECT(!cop_receive_match_since(ctx, 0, ref, is_wanted, &looked, &message));
    cop_make_ref(ctx); /* now that it is not the last any more, all are looked at */
    looked = 0;
    EXPECT(cop_receive_match_since(ctx, 0, ref, is_wanted, &looked, &message));
    EXPECT_INT(looked, 1);
    EXPECT_TERM(ctx, test_flush(ctx), "[:old]");
}
