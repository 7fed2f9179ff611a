/* SPDX-License-Identifier: Apache-2.0 */
/* Stress: mailboxes, slots and their reuse, run queues, timer wheels; run under ThreadSanitizer too.
   Sizes shrink by COPPICE_TEST_SCALE (a divisor) for slow builds. */
#include <coppice.h>
#include <coppice/test.h>
#include <stdlib.h>

static int scaled(int n) {
    const char *text = getenv("COPPICE_TEST_SCALE");
    int by = text != NULL ? atoi(text) : 1;
    return by > 1 ? n / by : n;
}

static void busy_work(cop_ctx *ctx) {
    for (volatile int i = 0; i < 20; i++)
        ;
}

/* Sends 0..n-1 to the top and, so that the two really stand on different schedulers, works a bit. */
static void count_up(cop_ctx *ctx, cop_term arg) {
    cop_pid to;
    int64_t n;
    EXPECT(cop_match_tuple(arg, &to, &n));
    for (int64_t i = 0; i < n; i++) {
        cop_send(ctx, to, i);
        busy_work(ctx);
    }
}

static void check_in_order(cop_ctx *ctx, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        COP_SCOPE(ctx) {
            cop_term message;
            int64_t got;
            EXPECT(cop_receive(ctx, 20000, &message));
            EXPECT(cop_get_i64(message, &got));
            if (got != i)
                FAIL("message %lld came in the place of %lld", (long long)got, (long long)i);
        }
}

TEST(mailbox_ten_million_messages_none_lost_order_kept, .timeout_s = 180) {
    int n = scaled(10000000);
    cop_spawn(ctx, count_up, cop_tuple(ctx, cop_self(ctx), n));
    check_in_order(ctx, n);
}

static void tagged_count(cop_ctx *ctx, cop_term arg) {
    cop_pid to;
    int64_t id, n;
    EXPECT(cop_match_tuple(arg, &to, &id, &n));
    for (int64_t i = 0; i < n; i++)
        COP_SCOPE(ctx) { cop_send(ctx, to, cop_tuple(ctx, id, i)); }
}

TEST(mailbox_eight_senders_each_in_order, .timeout_s = 120) {
    int n = scaled(100000);
    int64_t next[8] = { 0 };
    for (int id = 0; id < 8; id++)
        cop_spawn(ctx, tagged_count, cop_tuple(ctx, cop_self(ctx), id, n));
    for (int k = 0; k < 8 * n; k++)
        COP_SCOPE(ctx) {
            cop_term message;
            int64_t id, i;
            EXPECT(cop_receive(ctx, 20000, &message));
            EXPECT(cop_match_tuple(message, &id, &i));
            EXPECT_INT(i, next[id]++);
        }
}

static void answer_once(cop_ctx *ctx, cop_term arg) {
    cop_term message;
    cop_pid from;
    cop_ref ref;
    if (cop_receive(ctx, COP_INFINITY, &message) && cop_match_tuple(message, &from, &ref))
        cop_send(ctx, from, ref);
}

/* Slots are reused at once; whoever writes to a former occupant must not reach the present one. */
static void churn(cop_ctx *ctx, cop_term arg) {
    cop_pid top;
    int64_t n;
    EXPECT(cop_match_tuple(arg, &top, &n));
    cop_pid old[16] = { 0 };
    for (int64_t i = 0; i < n; i++)
        COP_SCOPE(ctx) {
            cop_spawned s = cop_spawn_monitor(ctx, answer_once, COP_NONE);
            cop_pid *stale = &old[i % 16];
            if (i >= 16) {
                cop_send(ctx, *stale, cop_tuple(ctx, cop_a(wrong), cop_a(letter)));
                cop_process_exit(ctx, *stale, cop_a(kill).t);
                cop_ref ref = cop_process_monitor(ctx, *stale);
                cop_term down;
                EXPECT(cop_receive_ref(ctx, 20000, ref, &down));
            }
            cop_send(ctx, s.pid, cop_tuple(ctx, cop_self(ctx), s.ref));
            *stale = s.pid;
            cop_term answer, down;
            EXPECT(cop_receive(ctx, 20000, &answer));
            EXPECT(cop_match(answer, s.ref));
            EXPECT(cop_receive_ref(ctx, 20000, s.ref, &down));
            EXPECT(cop_match(cop_elem(down, 4), cop_a(normal)));
        }
    cop_send(ctx, top, cop_a(done));
}

TEST(slots_are_reused_and_stale_letters_do_not_arrive, .timeout_s = 120) {
    int n = scaled(20000);
    for (int i = 0; i < 4; i++)
        cop_spawn(ctx, churn, cop_tuple(ctx, cop_self(ctx), n));
    for (int i = 0; i < 4; i++)
        ASSERT_RECEIVE_IN(ctx, ":done", 100000);
}

static void yielding(cop_ctx *ctx, cop_term arg) {
    cop_pid top;
    int64_t n;
    EXPECT(cop_match_tuple(arg, &top, &n));
    for (int64_t i = 0; i < n; i++) {
        busy_work(ctx);
        cop_yield(ctx);
    }
    cop_send(ctx, top, cop_a(done));
}

TEST(run_queues_lose_nobody_under_stealing, .timeout_s = 120, .schedulers = 4) {
    int n = scaled(2000); /* more than a ring holds, so that the overflow list is used */
    for (int i = 0; i < n; i++)
        COP_SCOPE(ctx) {
            cop_process_spawn(ctx, yielding, cop_tuple(ctx, cop_self(ctx), 50),
                              &(cop_spawn_opts){ .priority = i % 7 == 0    ? COP_PRIORITY_LOW
                                                             : i % 11 == 0 ? COP_PRIORITY_HIGH
                                                                           : COP_PRIORITY_NORMAL });
        }
    for (int i = 0; i < n; i++)
        COP_SCOPE(ctx) { ASSERT_RECEIVE_IN(ctx, ":done", 100000); }
}

static void set_and_cancel(cop_ctx *ctx, cop_term arg) {
    cop_pid top;
    int64_t n, fired = 0, expected = 0;
    EXPECT(cop_match_tuple(arg, &top, &n));
    for (int64_t i = 0; i < n; i++)
        COP_SCOPE(ctx) {
            cop_ref timer =
                cop_process_send_after(ctx, cop_self(ctx), i, (int64_t)(cop_random_u64(ctx) % 20));
            if (i % 2 == 0) {
                if (i % 64 == 0)
                    cop_process_sleep(ctx, 1);
                if (cop_process_cancel_timer(ctx, timer) >= 0)
                    continue; /* it must never come */
            }
            expected++;
        }
    cop_term message;
    while (fired < expected)
        COP_SCOPE(ctx) {
            EXPECT(cop_receive(ctx, 20000, &message));
            fired++;
        }
    EXPECT(!cop_receive(ctx, 50, &message));
    cop_send(ctx, top, cop_a(done));
}

/* Two that compute and never wait, each counted while it is at work between two calls: are they ever both? */
static int at_work, both_at_work; /* atomic */

static void computes(cop_ctx *ctx, cop_term arg) {
    while (__atomic_load_n(&both_at_work, __ATOMIC_RELAXED) == 0) {
        if (__atomic_add_fetch(&at_work, 1, __ATOMIC_SEQ_CST) == 2)
            __atomic_store_n(&both_at_work, 1, __ATOMIC_SEQ_CST);
        for (volatile int i = 0; i < 10000; i++)
            continue;
        __atomic_sub_fetch(&at_work, 1, __ATOMIC_SEQ_CST);
        cop_bump_reductions(ctx, 500);
    }
}

TEST(two_that_compute_have_two_schedulers, .timeout_s = 60, .schedulers = 2, .real_time = true) {
    for (int i = 0; i < 2; i++)
        cop_spawn_monitor(ctx, computes, COP_NIL);
    for (int i = 0; i < 2; i++)
        ASSERT_RECEIVE_IN(ctx, "{:DOWN, _, :process, _, :normal}", 50000);
}

/* Who takes what the flooders send, and never keeps up with them. */
static void is_flooded(cop_ctx *ctx, void *state, cop_term message) {
    if (__atomic_add_fetch(&at_work, 1, __ATOMIC_SEQ_CST) == 2)
        __atomic_store_n(&both_at_work, 1, __ATOMIC_SEQ_CST);
    for (volatile int i = 0; i < 30; i++)
        continue;
    __atomic_sub_fetch(&at_work, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&both_at_work, __ATOMIC_RELAXED) != 0)
        cop_exit(ctx, cop_a(normal));
}

static void waits_for_floods(cop_ctx *ctx, cop_term arg) {
    static const cop_callbacks callbacks = { .name = "flooded", .message = is_flooded };
    cop_become(ctx, &callbacks, NULL);
}

static void floods(cop_ctx *ctx, cop_term to) {
    while (__atomic_load_n(&both_at_work, __ATOMIC_RELAXED) == 0)
        COP_SCOPE(ctx) { cop_send(ctx, to, cop_tuple(ctx, cop_a(m), 1)); }
}

/* Those who fill one mailbox are left together, but not all who fill some mailbox. */
TEST(two_throngs_have_two_schedulers, .timeout_s = 60, .schedulers = 2, .real_time = true) {
    at_work = both_at_work = 0;
    for (int i = 0; i < 2; i++) {
        cop_spawned flooded = cop_spawn_monitor(ctx, waits_for_floods, COP_NIL);
        for (int k = 0; k < 4; k++)
            cop_spawn(ctx, floods, flooded.pid.t);
    }
    for (int i = 0; i < 2; i++)
        ASSERT_RECEIVE_IN(ctx, "{:DOWN, _, :process, _, :normal}", 50000);
}

TEST(timers_fire_once_or_are_cancelled, .timeout_s = 120) {
    int n = scaled(10000);
    for (int i = 0; i < 4; i++)
        cop_spawn(ctx, set_and_cancel, cop_tuple(ctx, cop_self(ctx), n));
    for (int i = 0; i < 4; i++)
        ASSERT_RECEIVE_IN(ctx, ":done", 100000);
}

static void pass_on(cop_ctx *ctx, void *state, cop_term message) {
    cop_pid *next = state;
    int64_t hops;
    if (cop_match(message, next))
        return;
    EXPECT(cop_get_i64(message, &hops));
    cop_send(ctx, *next, hops - 1);
}

static void ring_member(cop_ctx *ctx, cop_term next) {
    static const cop_callbacks callbacks = { .name = "ring_member", .message = pass_on };
    cop_pid *state = cop_process_state(ctx, sizeof *state);
    if (cop_is_pid(next))
        EXPECT(cop_match(next, state));
    cop_become(ctx, &callbacks, state);
}

TEST(a_ring_of_a_thousand_passes_a_token, .timeout_s = 60) {
    cop_pid first = cop_spawn(ctx, ring_member, COP_NONE), last = first;
    for (int i = 1; i < 999; i++)
        last = cop_spawn(ctx, ring_member, last.t);
    /* first -> me -> last -> ... -> first */
    cop_send(ctx, first, cop_self(ctx));
    int hops = scaled(1000000);
    cop_send(ctx, last, hops);
    for (bool more = true; more;)
        COP_SCOPE(ctx) {
            cop_term message;
            int64_t left;
            EXPECT(cop_receive(ctx, 20000, &message));
            EXPECT(cop_get_i64(message, &left));
            if (left > 1000)
                cop_send(ctx, last, left - 1);
            else
                more = false;
        }
}

static void answers_by_chance(cop_ctx *ctx, cop_term arg) {
    for (;;)
        COP_SCOPE(ctx) {
            cop_term message, from, n;
            cop_receive(ctx, COP_INFINITY, &message);
            if (!cop_match_tuple(message, cop_a(ask), &from, &n))
                continue;
            uint64_t chance = cop_random_u64(ctx) % 64;
            if (chance == 0)
                cop_exit(ctx, cop_a(by_chance));
            if (chance > 3)
                cop_gen_reply(ctx, from, n);
        }
}

/* Each request is answered, or its server ends, or it is given up: never two of these. */
static void asks(cop_ctx *ctx, cop_term arg) {
    cop_pid top, server;
    int64_t left;
    EXPECT(cop_match_tuple(arg, &top, &left));
    server = cop_spawn(ctx, answers_by_chance, COP_NONE);
    while (left-- > 0)
        COP_SCOPE(ctx) {
            cop_term message, tag, n;
            cop_ref ref = cop_gen_request(ctx, server, cop_a(ask), left, left % 2 == 0);
            if (!cop_gen_receive(ctx, ref, 1, &message))
                continue;
            if (cop_match_tuple(message, &tag, &n))
                EXPECT(cop_match(n, left));
            else
                server = cop_spawn(ctx, answers_by_chance, COP_NONE);
        }
    EXPECT_TERM(ctx, cop_process_info(ctx, cop_self(ctx), cop_a(monitors)), "[]");
    cop_send(ctx, top, cop_a(asked));
}

TEST(requests_are_answered_once, .timeout_s = 120) {
    for (int i = 0; i < 8; i++)
        cop_spawn(ctx, asks, cop_tuple(ctx, cop_self(ctx), scaled(20000)));
    for (int i = 0; i < 8; i++)
        ASSERT_RECEIVE_IN(ctx, ":asked", 100000);
}
