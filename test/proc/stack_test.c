/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Long sleepers give their stacks back, and find everything again. Not under the sanitizers, which keep
 * records of each stack, and not where the kernel cannot seal pages: then the tests say so.
 */
#include <sys/mman.h>

#include "help.h"

enum { SLEEPERS = 600 };

static bool can_seal(void) {
    enum { MADV_GUARD_INSTALL_ = 102 };
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool can = madvise(page, 4096, MADV_GUARD_INSTALL_) == 0;
    munmap(page, 4096);
    return can && !COP_SANITIZED;
}

/* Sleeps in the midst of frames with values of its own, `depth` calls deep. */
static int64_t sleep_deep(cop_ctx *ctx, int64_t seed, int depth) {
    volatile int64_t values[20];
    for (int i = 0; i < 20; i++)
        values[i] = seed * 31 + i * depth;
    int64_t sum = 0;
    if (depth > 0) {
        sum = sleep_deep(ctx, seed + 1, depth - 1);
    } else {
        cop_term mine = cop_list(ctx, seed, "a text", cop_tuple(ctx, seed)), message;
        cop_receive(ctx, COP_INFINITY, &message);
        EXPECT_SAME(ctx, cop_tuple(ctx, mine), cop_tuple(ctx, message));
    }
    for (int i = 0; i < 20; i++) {
        EXPECT(values[i] == seed * 31 + i * depth);
        sum += values[i];
    }
    return sum;
}

static void sleeper(cop_ctx *ctx, cop_term arg) {
    cop_pid top;
    int64_t seed, depth;
    EXPECT(cop_match_tuple(arg, &top, &seed, &depth));
    int64_t sum = sleep_deep(ctx, seed, (int)depth);
    cop_send(ctx, top, cop_tuple(ctx, cop_a(woke), seed, sum));
}

static int64_t sum_of(int64_t seed, int depth) {
    int64_t sum = 0;
    for (; depth >= 0; depth--, seed++)
        for (int i = 0; i < 20; i++)
            sum += seed * 31 + i * depth;
    return sum;
}

/* Until the count says that they sleep; each look is a turn of the scheduler. */
static void await_packed(cop_ctx *ctx, size_t count) {
    while (cop_node_stacks_given_back() < count)
        cop_process_sleep(ctx, 1);
}

static void give_back_and_wake(cop_ctx *ctx, cop_term arg) {
    cop_pid pids[SLEEPERS];
    for (int64_t i = 0; i < SLEEPERS; i++)
        pids[i] = cop_spawn(ctx, sleeper, cop_tuple(ctx, cop_self(ctx), i, i % 5));
    await_packed(ctx, SLEEPERS);
    for (int64_t i = 0; i < SLEEPERS; i++)
        COP_SCOPE(ctx) {
            cop_send(ctx, pids[i], cop_list(ctx, i + i % 5, "a text", cop_tuple(ctx, i + i % 5)));
        }
    for (int i = 0; i < SLEEPERS; i++)
        COP_SCOPE(ctx) {
            cop_term message = ASSERT_RECEIVE(ctx, "{:woke, _, _}");
            int64_t seed, sum;
            EXPECT(cop_match_tuple(message, cop_a(woke), &seed, &sum));
            EXPECT_INT(sum, sum_of(seed, (int)(seed % 5)));
        }
    EXPECT_INT(cop_node_stacks_given_back(), 0);
    cop_node_shutdown(ctx, 0);
}

static void on_node(cop_entry entry) {
    cop_node_opts opts = { .schedulers = 2, .stack_idle_ms = 10 };
    EXPECT_INT(cop_node_start(&opts), 0);
    cop_node_spawn(entry);
    EXPECT_INT(cop_node_wait(), 0);
    EXPECT_INT(cop_node_stop(), 0);
}

TEST_HOST(a_sleeper_finds_its_frames_again) {
    if (can_seal())
        on_node(give_back_and_wake);
    else
        test_note("this build or kernel keeps stacks in place");
}

/* Killed, exited and asked while they sleep; and a node that stops with sleepers. */
static void wake_otherwise(cop_ctx *ctx, cop_term arg) {
    cop_spawned s[SLEEPERS];
    for (int64_t i = 0; i < SLEEPERS; i++)
        s[i] = cop_spawn_monitor(ctx, sleeper, cop_tuple(ctx, cop_self(ctx), i, 1));
    await_packed(ctx, SLEEPERS);
    for (int i = 0; i < SLEEPERS / 2; i++) {
        cop_process_exit(ctx, s[i].pid, i % 2 == 0 ? cop_a(kill) : cop_a(boo));
        ASSERT_RECEIVE(ctx, i % 2 == 0 ? "{:DOWN, _, :process, _, :killed}"
                                       : "{:DOWN, _, :process, _, :boo}");
    }
    EXPECT_TERM(ctx, cop_process_info(ctx, s[SLEEPERS - 1].pid, cop_a(status)), ":waiting");
    await_packed(ctx, SLEEPERS / 2);
    cop_node_shutdown(ctx, 0);
}

TEST_HOST(a_sleeper_may_be_killed_asked_and_left_behind) {
    if (can_seal())
        on_node(wake_otherwise);
    else
        test_note("this build or kernel keeps stacks in place");
}

static int64_t *shown;

static void shows_its_stack(cop_ctx *ctx, cop_term arg) {
    int64_t value = 42;
    cop_term message;
    shown = &value;
    cop_receive(ctx, COP_INFINITY, &message);
    cop_send(ctx, message, *(volatile int64_t *)&value);
}

static void follows_it(cop_ctx *ctx, cop_term arg) { *(volatile int64_t *)shown = 1; }

static void seal_and_spare(cop_ctx *ctx, cop_term arg) {
    cop_pid p = cop_spawn(ctx, shows_its_stack, COP_NONE);
    for (int64_t i = 0; i < SLEEPERS; i++)
        cop_spawn(ctx, sleeper, cop_tuple(ctx, cop_self(ctx), i, 0));
    cop_spawn_opts kept = { .keep_stack = true };
    cop_pid q = cop_process_spawn(ctx, sleep_for_ever, COP_NONE, &kept).pid;
    await_packed(ctx, SLEEPERS + 1);
    cop_spawn_monitor(ctx, follows_it, COP_NONE);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, {{:sigsegv, _}, _}}");
    cop_send(ctx, p, cop_self(ctx));
    ASSERT_RECEIVE(ctx, "42");
    EXPECT(cop_process_is_alive(ctx, q));
    EXPECT_INT(cop_node_stacks_given_back(), SLEEPERS);
    cop_node_shutdown(ctx, 0);
}

TEST_HOST(a_pointer_to_a_sleepers_stack_is_a_fault_for_who_follows_it) {
    if (can_seal())
        on_node(seal_and_spare);
    else
        test_note("this build or kernel keeps stacks in place");
}
