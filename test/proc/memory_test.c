/* SPDX-License-Identifier: Apache-2.0 */
/* What a process's memory is counted as, and the limits of heap and mailbox. Sizes shrink by
   COPPICE_TEST_SCALE (a divisor) for slow builds. */
#include <coppice/gen_tcp.h>
#include <stdio.h>
#include <unistd.h>

#include "help.h"

static int64_t scaled(int64_t n) {
    const char *text = getenv("COPPICE_TEST_SCALE");
    int64_t scale = text != NULL ? strtoll(text, NULL, 10) : 1;
    return scale > 1 && n / scale > 10 ? n / scale : scale > 1 ? 10 : n;
}

static int64_t info(cop_ctx *ctx, cop_pid pid, cop_atom item) {
    int64_t n = -1;
    cop_get_i64(cop_process_info(ctx, pid, item), &n);
    return n;
}

static int64_t memory(cop_ctx *ctx, cop_pid pid) { return info(ctx, pid, cop_a(memory)); }

/* ---- a process that does as it is told -------------------------------------------------------------- */

struct holder {
    cop_term kept; /* whatever it was told to keep */
    void *block;
};

static void holder_message(cop_ctx *ctx, void *state, cop_term message) {
    struct holder *self = state;
    int64_t size;
    cop_term what;
    cop_pid from;
    if (cop_match_tuple(message, &from, cop_a(own), &size)) {
        cop_free(ctx, self->block);
        self->block = size > 0 ? cop_alloc(ctx, (size_t)size) : NULL;
        cop_send(ctx, from, cop_a(done));
    } else if (cop_match_tuple(message, &from, cop_a(keep), &what)) {
        self->kept = what;
        cop_send(ctx, from, cop_a(done));
        cop_process_hibernate_after_callback(ctx); /* collected to its exact size */
    } else if (cop_match(message, cop_a(grow))) {
        for (int64_t i = 0;; i++) /* this callback never returns */
            self->kept = cop_cons(ctx, i, self->kept);
    }
}

static const cop_callbacks holder_callbacks = { .name = "holder", .message = holder_message };

static void holder_start(cop_ctx *ctx, cop_term arg) {
    struct holder *self = cop_process_state(ctx, sizeof *self);
    self->kept = COP_NIL;
    cop_process_keep(ctx, 0, &self->kept, 1);
    cop_become(ctx, &holder_callbacks, self);
}

/* Tells it to own or keep something; returns its memory afterwards. */
static int64_t memory_after(cop_ctx *ctx, cop_pid holder, cop_atom verb, cop_term what) {
    cop_send(ctx, holder, cop_tuple(ctx, cop_self(ctx), verb, what));
    ASSERT_RECEIVE(ctx, ":done");
    /* It says so in the middle of its callback; what that took is given back after it. */
    while (!cop_match(cop_process_info(ctx, holder, cop_a(status)), cop_a(waiting)))
        cop_yield(ctx);
    return memory(ctx, holder);
}

static cop_term binary_of(cop_ctx *ctx, size_t size) {
    uint8_t *data;
    cop_term binary = cop_binary_new(ctx, size, &data);
    memset(data, 'm', size);
    return binary;
}

static cop_term list_of(cop_ctx *ctx, int64_t length) {
    cop_term list = COP_NIL;
    for (int64_t i = 0; i < length; i++)
        list = cop_cons(ctx, i, list);
    return list;
}

static void tell_and_sleep(cop_ctx *ctx, cop_term arg) {
    cop_send(ctx, arg, cop_a(ready));
    sleep_for_ever(ctx, arg);
}

/* A process that waits in the middle of its function, and takes nothing. */
static cop_pid start_sleeper(cop_ctx *ctx) {
    cop_pid p = cop_spawn(ctx, tell_and_sleep, cop_self(ctx).t);
    ASSERT_RECEIVE(ctx, ":ready");
    return p;
}

/* ---- accounting -------------------------------------------------------------------------------------- */

TEST(owned_memory_counts_to_the_byte) {
    cop_pid p = cop_spawn(ctx, holder_start, COP_NIL);
    memory_after(ctx, p, cop_a(own), COP_INT(1)); /* the list of what it owns has begun */
    int64_t none = memory_after(ctx, p, cop_a(own), COP_INT(0));
    int64_t some = memory_after(ctx, p, cop_a(own), COP_INT(10000));
    int64_t more = memory_after(ctx, p, cop_a(own), COP_INT(30000));
    EXPECT_INT(more - some, 20000);
    EXPECT(some - none >= 10000 && some - none < 10100);
    EXPECT_INT(memory_after(ctx, p, cop_a(own), COP_INT(0)), none);
}

/* A small heap is cut to its size; a larger one keeps some room to grow, which counts. */
TEST(terms_that_are_kept_count_by_their_words) {
    cop_pid p = cop_spawn(ctx, holder_start, COP_NIL);
    int64_t none = memory_after(ctx, p, cop_a(keep), COP_NIL);
    int64_t few = memory_after(ctx, p, cop_a(keep), list_of(ctx, 10));
    int64_t some = memory_after(ctx, p, cop_a(keep), list_of(ctx, 1000));
    int64_t more = memory_after(ctx, p, cop_a(keep), list_of(ctx, 3000));
    test_note("%lld %lld %lld %lld", (long long)none, (long long)few, (long long)some,
              (long long)more);
    EXPECT_INT(few - none, 160);
    EXPECT(some - none >= 16000 && some - none < 16000 * 3 / 2);
    EXPECT(more - none >= 48000 && more - none < 48000 * 3 / 2);
    EXPECT_INT(memory_after(ctx, p, cop_a(keep), COP_NIL), none);
}

TEST(a_shared_binary_counts_once_however_often_it_is_held) {
    cop_pid p = cop_spawn(ctx, holder_start, COP_NIL);
    int64_t none = memory_after(ctx, p, cop_a(keep), COP_NIL);
    cop_term b = binary_of(ctx, 100000), other = binary_of(ctx, 50000);
    cop_term part = cop_binary_part(ctx, b, 10, 5000);
    int64_t one = memory_after(ctx, p, cop_a(keep), b);
    EXPECT(one - none >= 100000 && one - none < 100100);
    int64_t same = memory_after(ctx, p, cop_a(keep), cop_list(ctx, b, b, part));
    EXPECT(same - one > 0 && same - one < 200);
    int64_t both = memory_after(ctx, p, cop_a(keep), cop_list(ctx, b, b, other));
    EXPECT(both - same >= 50000 - 100 && both - same <= 50000 + 100);
    EXPECT_INT(memory_after(ctx, p, cop_a(keep), COP_NIL), none);
}

TEST(messages_that_wait_count_each_by_its_size) {
    cop_pid p = start_sleeper(ctx);
    cop_term list = list_of(ctx, 10);
    int64_t at[3];
    for (int i = 0; i < 3; i++) {
        at[i] = memory(ctx, p);
        for (int n = 0; n < 100; n++)
            cop_send(ctx, p, list);
    }
    EXPECT_INT(at[2] - at[1], at[1] - at[0]);
    EXPECT((at[1] - at[0]) % 100 == 0 && (at[1] - at[0]) / 100 >= 10 * 16);
    /* Twenty cells instead of ten: 160 bytes more each. */
    list = list_of(ctx, 20);
    at[0] = memory(ctx, p);
    for (int n = 0; n < 100; n++)
        cop_send(ctx, p, list);
    EXPECT_INT(memory(ctx, p) - at[0], (at[2] - at[1]) + INT64_C(100) * 160);
}

TEST(a_shared_binary_in_messages_counts_once) {
    cop_pid p = start_sleeper(ctx);
    cop_term b = binary_of(ctx, 1000000);
    int64_t before = memory(ctx, p);
    for (int i = 0; i < 20; i++)
        cop_send(ctx, p, cop_tuple(ctx, i, b));
    int64_t after = memory(ctx, p);
    EXPECT(after - before >= 1000000 && after - before < 1000000 + 20 * 300);
}

static void set_queue_data(cop_ctx *ctx, cop_term arg) {
    cop_process_flag(ctx, cop_a(message_queue_data), cop_elem(arg, 1));
    tell_and_sleep(ctx, cop_elem(arg, 0));
}

static cop_pid start_with_queue(cop_ctx *ctx, cop_atom where) {
    cop_pid p = cop_spawn(ctx, set_queue_data, cop_tuple(ctx, cop_self(ctx), where));
    ASSERT_RECEIVE(ctx, ":ready");
    return p;
}

TEST(off_the_heap_messages_are_memory_but_not_heap) {
    cop_pid on = start_with_queue(ctx, cop_a(on_heap));
    cop_pid off = start_with_queue(ctx, cop_a(off_heap));
    int64_t heap_on = info(ctx, on, cop_a(total_heap_size));
    int64_t heap_off = info(ctx, off, cop_a(total_heap_size)), memory_off = memory(ctx, off);
    for (int n = 0; n < 1000; n++) {
        COP_SCOPE(ctx) {
            cop_term list = list_of(ctx, 10);
            cop_send(ctx, on, list);
            cop_send(ctx, off, list);
        }
    }
    EXPECT(info(ctx, on, cop_a(total_heap_size)) - heap_on >= 20000);
    EXPECT_INT(info(ctx, off, cop_a(total_heap_size)), heap_off);
    EXPECT(memory(ctx, off) - memory_off >= 160000);
}

static int64_t resident(void) {
    long long all = 0, pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%lld %lld", &all, &pages) != 2)
        FAIL("statm");
    fclose(file);
    return pages * sysconf(_SC_PAGESIZE);
}

/* The independent count: the kernel's. The allocator rounds up by at most a quarter. */
TEST(the_sum_of_all_memory_is_what_the_kernel_gave, .real_time = true) {
    if (COP_SANITIZED)
        test_skip("sanitizers have an allocator of their own");
    enum { COUNT = 2000 };
    cop_pid *all = cop_alloc(ctx, COUNT * sizeof all[0]);
    cop_term list = list_of(ctx, 500);
    int64_t before = resident(), sum = 0;
    for (int i = 0; i < COUNT; i++) {
        all[i] = cop_spawn(ctx, holder_start, COP_NIL);
        memory_after(ctx, all[i], cop_a(keep), list);
        memory_after(ctx, all[i], cop_a(own), COP_INT(12000));
        cop_process_suspend(ctx, all[i], 0);
        for (int n = 0; n < 20; n++)
            cop_send(ctx, all[i], cop_tuple(ctx, n, binary_of(ctx, 1000)));
    }
    for (int i = 0; i < COUNT; i++)
        sum += memory(ctx, all[i]);
    int64_t given = resident() - before;
    test_note("counted %lld, resident %lld", (long long)sum, (long long)given);
    EXPECT(given > sum * 9 / 10 && given < sum * 5 / 4);
}

static void fill_and_wait(cop_ctx *ctx, cop_term top) {
    volatile char deep[20000];
    memset((char *)deep, 1, sizeof deep);
    cop_term list = list_of(ctx, 500), message;
    cop_process_send_after(ctx, cop_self(ctx), cop_a(never), 3600000);
    cop_send(ctx, top, cop_tuple(ctx, cop_a(full), (int64_t)deep[0]));
    cop_receive(ctx, COP_INFINITY, &message);
    cop_send(ctx, top, list);
}

/* Each fills 4 KB of heap, 20 of stack, and has a timer; all are there at once, and are killed. */
static void rise_and_fall(cop_ctx *ctx, cop_term arg) {
    enum { COUNT = 3000 };
    for (int i = 0; i < COUNT; i++)
        cop_spawn_link(ctx, fill_and_wait, cop_self(ctx).t);
    for (int i = 0; i < COUNT; i++)
        COP_SCOPE(ctx) { ASSERT_RECEIVE(ctx, "{:full, 1}"); }
    cop_process_exit(ctx, cop_self(ctx), cop_a(kill));
}

/* When the schedulers have been at rest for a second; a busy machine may take longer for that. */
TEST(a_node_at_rest_gives_back_what_a_peak_took, .real_time = true) {
    if (COP_SANITIZED)
        test_skip("sanitizers have an allocator of their own");
    int64_t before = resident();
    cop_process_monitor(ctx, cop_spawn(ctx, rise_and_fall, COP_NIL));
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :killed}");
    int64_t left = 0;
    for (int i = 0; i < 40; i++) {
        cop_process_sleep(ctx, 500);
        left = resident() - before;
        if (left < 3000000)
            break;
    }
    test_note("left of some 90 MB: %lld", (long long)left);
    EXPECT(left < 3000000);
}

/* ---- limits of the heap ------------------------------------------------------------------------------ */

static cop_spawned start_holder(cop_ctx *ctx, const cop_spawn_opts *opts) {
    return cop_process_spawn(ctx, holder_start, COP_NIL, opts);
}

TEST(a_heap_limit_ends_a_callback_that_never_returns) {
    cop_spawn_opts o = { .monitor = true, .max_heap_words = 20000, .max_heap_no_log = true };
    cop_send(ctx, start_holder(ctx, &o).pid, cop_a(grow));
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :killed}");
}

/* Takes messages and never frees one, as a loop without COP_SCOPE does. */
static void take_for_ever(cop_ctx *ctx, cop_term arg) {
    cop_term message;
    for (;;)
        cop_receive(ctx, COP_INFINITY, &message);
}

TEST(a_heap_limit_ends_a_receive_loop_that_keeps_its_messages) {
    cop_spawn_opts o = { .monitor = true, .max_heap_words = 20000, .max_heap_no_log = true };
    cop_pid p = cop_process_spawn(ctx, take_for_ever, COP_NIL, &o).pid;
    int sent = 0;
    while (cop_process_is_alive(ctx, p) && sent < 10000) {
        COP_SCOPE(ctx) { cop_send(ctx, p, list_of(ctx, 10)); }
        sent++;
    }
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :killed}");
    EXPECT(sent >= 500 && sent < 2000); /* 20 words each and an envelope */
}

TEST(a_heap_limit_that_does_not_kill_is_said_and_the_process_goes_on) {
    test_capture_log(ctx);
    cop_spawn_opts o = { .max_heap_words = 1000, .max_heap_no_kill = true };
    cop_pid p = start_holder(ctx, &o).pid;
    for (int i = 0; i < 10; i++) {
        memory_after(ctx, p, cop_a(keep), list_of(ctx, 2000 + i));
    }
    EXPECT(cop_process_is_alive(ctx, p));
    cop_term events = test_flush(ctx);
    EXPECT(cop_list_length(events) >= 1 && cop_list_length(events) <= 20);
    EXPECT_TERM(ctx, cop_head(events), "{:log, :error, _, _}");
}

/* arg: {parent, to, count}; sends 0, 1, 2 ... with its own pid, then tells that it has. */
static void flooder(cop_ctx *ctx, cop_term arg) {
    cop_pid parent, to;
    int64_t count;
    EXPECT(cop_match_tuple(arg, &parent, &to, &count));
    for (int64_t i = 0; i < count; i++) {
        COP_SCOPE(ctx) { cop_send(ctx, to, cop_tuple(ctx, cop_self(ctx), i)); }
    }
    cop_send(ctx, parent, cop_a(flooded));
}

static void start_flooders(cop_ctx *ctx, int flooders, cop_pid to, int64_t count) {
    for (int i = 0; i < flooders; i++)
        cop_spawn(ctx, flooder, cop_tuple(ctx, cop_self(ctx), to, count));
}

static void await_flooders(cop_ctx *ctx, int flooders) {
    for (int i = 0; i < flooders; i++)
        ASSERT_RECEIVE_IN(ctx, ":flooded", 20000);
}

TEST(a_flood_from_many_ends_a_suspended_process_at_its_heap_limit) {
    cop_spawn_opts o = { .monitor = true, .max_heap_words = 20000, .max_heap_no_log = true };
    cop_pid p = start_holder(ctx, &o).pid;
    cop_process_suspend(ctx, p, 0);
    start_flooders(ctx, 4, p, scaled(20000) < 2000 ? 2000 : scaled(20000));
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :killed}");
    await_flooders(ctx, 4);
}

static void limit_then_on_heap(cop_ctx *ctx, cop_term arg) {
    cop_process_flag(ctx, cop_a(max_heap_size),
                     cop_map(ctx, cop_a(size), 20000, cop_a(error_logger), cop_bool(false)));
    cop_process_flag(ctx, cop_a(message_queue_data), cop_a(on_heap));
    cop_send(ctx, arg, cop_a(ready));
    for (;;)
        cop_bump_reductions(ctx, 100);
}

TEST(messages_brought_back_to_the_heap_count_for_its_limit_again) {
    cop_spawn_opts o = { .monitor = true, .message_queue_off_heap = true };
    cop_pid p = cop_process_spawn(ctx, limit_then_on_heap, cop_self(ctx).t, &o).pid;
    ASSERT_RECEIVE(ctx, ":ready");
    cop_process_suspend(ctx, p, 0);
    start_flooders(ctx, 2, p, 2000);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :killed}");
    await_flooders(ctx, 2);
}

/* ---- bounds of the mailbox --------------------------------------------------------------------------- */

TEST(a_bound_of_messages_is_exact_whoever_sends) {
    cop_spawn_opts o = { .max_queue_len = 100 };
    cop_pid p = start_holder(ctx, &o).pid;
    int64_t each = scaled(20000) < 100 ? 100 : scaled(20000);
    char expected[100];
    cop_process_suspend(ctx, p, 0);
    start_flooders(ctx, 4, p, each);
    await_flooders(ctx, 4);
    EXPECT_INT(info(ctx, p, cop_a(message_queue_len)), 100);
    snprintf(expected, sizeof expected, "%%{length: 100, policy: :drop, dropped: %lld}",
             (long long)(4 * each - 100));
    EXPECT_TERM(ctx, cop_process_info(ctx, p, cop_a(max_queue)), expected);
    cop_process_resume(ctx, p); /* it takes them; afterwards there is room */
    while (info(ctx, p, cop_a(message_queue_len)) > 0)
        cop_yield(ctx);
    cop_process_suspend(ctx, p, 0);
    start_flooders(ctx, 1, p, 99);
    await_flooders(ctx, 1);
    EXPECT_INT(info(ctx, p, cop_a(message_queue_len)), 99);
}

TEST(a_bound_of_bytes_is_passed_by_one_message_at_most) {
    cop_spawn_opts o = { .max_queue_bytes = 10000 };
    cop_pid p = start_holder(ctx, &o).pid;
    cop_process_suspend(ctx, p, 0);
    int64_t before = memory(ctx, p);
    cop_term list = list_of(ctx, 10);
    for (int i = 0; i < 1000; i++)
        cop_send(ctx, p, list);
    int64_t waits = memory(ctx, p) - before, each = waits / info(ctx, p, cop_a(message_queue_len));
    EXPECT(waits >= 10000 && waits < 10000 + each);
}

static void numbers_in_order(cop_ctx *ctx, cop_term arg) {
    for (int64_t i = 0, left = 1; left > 0; i++) {
        COP_SCOPE(ctx) {
            cop_term message;
            int64_t n;
            EXPECT(cop_receive(ctx, COP_INFINITY, &message));
            EXPECT(cop_match_tuple(message, &(cop_pid){ 0 }, &n));
            EXPECT_INT(n, i); /* one that was refused must have ended this process */
            left = n == 299 ? 0 : 1;
        }
    }
}

TEST(a_message_that_is_refused_ends_the_owner_even_if_there_is_room_again, .timeout_s = 120) {
    cop_spawn_opts o = { .monitor = true, .max_queue_len = 5, .max_queue_policy = COP_QUEUE_EXIT };
    for (int64_t round = scaled(300); round > 0; round--) {
        cop_pid p = cop_process_spawn(ctx, numbers_in_order, COP_NIL, &o).pid;
        start_flooders(ctx, 1, p, 300);
        cop_term down = ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, _}");
        cop_term why = cop_elem(down, 4);
        EXPECT(cop_match(why, cop_a(max_queue)) || cop_match(why, cop_a(normal)));
        await_flooders(ctx, 1);
    }
}

/* arg: {parent, senders, each}; takes what they send; each one's must be in order. */
static void take_all(cop_ctx *ctx, cop_term arg) {
    cop_pid parent, from;
    int64_t senders, each, n, seen = 0;
    struct {
        uint64_t pid;
        int64_t next;
    } by[16] = { 0 };
    EXPECT(cop_match_tuple(arg, &parent, &senders, &each));
    for (int64_t left = senders * each; left > 0; left--) {
        COP_SCOPE(ctx) {
            cop_term message;
            EXPECT(cop_receive(ctx, 20000, &message));
            EXPECT(cop_match_tuple(message, &from, &n));
            int64_t i = 0;
            while (i < seen && by[i].pid != from.t.w)
                i++;
            if (i == seen)
                by[seen++].pid = from.t.w;
            EXPECT_INT(n, by[i].next++);
        }
        if (left % 97 == 0)
            EXPECT(info(ctx, cop_self(ctx), cop_a(message_queue_len)) <= 8);
    }
    cop_send(ctx, parent, cop_a(taken));
}

TEST(senders_that_wait_lose_nothing_and_keep_their_order, .timeout_s = 120) {
    cop_spawn_opts o = { .max_queue_len = 8, .max_queue_policy = COP_QUEUE_WAIT };
    int64_t each = scaled(20000);
    cop_term arg = cop_tuple(ctx, cop_self(ctx), 6, each);
    cop_pid p = cop_process_spawn(ctx, take_all, arg, &o).pid;
    start_flooders(ctx, 6, p, each);
    ASSERT_RECEIVE_IN(ctx, ":taken", 60000);
    await_flooders(ctx, 6);
}

/* Returns when all of them wait, which here is for room. */
static void until_they_wait(cop_ctx *ctx, const cop_pid *all, int count) {
    for (int i = 0; i < count; i++)
        while (!cop_match(cop_process_info(ctx, all[i], cop_a(status)), cop_a(waiting)))
            cop_yield(ctx);
}

enum { WAITERS = 10 };

/* A suspended process with a full mailbox, and ten that wait for it; each has something to say. */
static cop_pid start_waiters(cop_ctx *ctx, cop_pid *waiters, bool monitor) {
    cop_spawn_opts o = { .max_queue_len = 2, .max_queue_policy = COP_QUEUE_WAIT };
    cop_pid p = start_holder(ctx, &o).pid;
    cop_process_suspend(ctx, p, 0);
    cop_send(ctx, p, 1);
    cop_send(ctx, p, 2);
    for (int i = 0; i < WAITERS; i++)
        waiters[i] = cop_process_spawn(ctx, flooder, cop_tuple(ctx, cop_self(ctx), p, 3),
                                       &(cop_spawn_opts){ .monitor = monitor })
                         .pid;
    until_they_wait(ctx, waiters, WAITERS);
    return p;
}

TEST(a_sender_that_is_killed_while_it_waits_leaves_nothing_behind) {
    cop_pid waiters[WAITERS];
    cop_pid p = start_waiters(ctx, waiters, true);
    for (int i = 0; i < WAITERS; i += 2) {
        cop_process_exit(ctx, waiters[i], i % 4 == 0 ? cop_a(kill) : cop_a(enough));
        ASSERT_RECEIVE(ctx, i % 4 == 0 ? "{:DOWN, _, :process, _, :killed}"
                                       : "{:DOWN, _, :process, _, :enough}");
    }
    EXPECT_INT(info(ctx, p, cop_a(message_queue_len)), 2);
    cop_process_resume(ctx, p);
    await_flooders(ctx, WAITERS / 2);
    for (int i = 0; i < WAITERS / 2; i++)
        ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :normal}");
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

TEST(all_who_wait_go_on_when_the_owner_dies_suspended) {
    cop_pid waiters[WAITERS];
    cop_pid p = start_waiters(ctx, waiters, false);
    cop_process_exit(ctx, p, cop_a(kill));
    await_flooders(ctx, WAITERS);
}

TEST(who_must_not_wait_is_told_and_nothing_is_sent) {
    cop_spawn_opts o = { .max_queue_len = 1, .max_queue_policy = COP_QUEUE_WAIT };
    cop_pid p = start_holder(ctx, &o).pid;
    cop_process_suspend(ctx, p, 0);
    EXPECT_TERM(ctx, cop_process_send(ctx, p, 1, COP_SEND_NOSUSPEND), ":ok");
    EXPECT_TERM(ctx, cop_process_send(ctx, p, 2, COP_SEND_NOSUSPEND), ":nosuspend");
    EXPECT_TERM(ctx, cop_process_info(ctx, p, cop_a(messages)), "[1]");
    EXPECT_ERROR(ctx, ":badarg") {
        cop_process_send(ctx, cop_a(nobody_has_this_name), 2, COP_SEND_NOSUSPEND);
    }
    start_flooders(ctx, 1, p, 1); /* after the error another send waits as ever */
    REFUTE_RECEIVE(ctx, ":flooded", 20);
    cop_process_resume(ctx, p);
    await_flooders(ctx, 1);
}

static void say_goodbye(cop_ctx *ctx, void *arg) {
    cop_pid to = { { (uint64_t)(uintptr_t)arg } };
    cop_send(ctx, to, cop_a(goodbye));
}

static void end_with_a_goodbye(cop_ctx *ctx, cop_term to) {
    cop_defer(ctx, say_goodbye, (void *)(uintptr_t)to.w);
}

TEST(what_a_process_sends_at_its_end_passes_because_it_cannot_wait) {
    cop_spawn_opts o = { .max_queue_len = 1, .max_queue_policy = COP_QUEUE_WAIT };
    cop_pid p = start_holder(ctx, &o).pid;
    cop_process_suspend(ctx, p, 0);
    cop_send(ctx, p, 1);
    cop_spawned s = cop_spawn_monitor(ctx, end_with_a_goodbye, p.t);
    test_await_down(ctx, s.pid);
    EXPECT_TERM(ctx, cop_process_info(ctx, p, cop_a(messages)), "[1, :goodbye]");
}

static void full_and_controlled(cop_ctx *ctx, cop_term arg) {
    cop_process_trap_exit(ctx, true);
    cop_ref alias = cop_process_alias(ctx, false);
    cop_process_monitor(ctx, test_dead_pid(ctx));
    cop_process_send_after(ctx, cop_self(ctx), cop_a(timer), 0);
    cop_send(ctx, cop_self(ctx), cop_a(to_oneself));
    cop_send(ctx, arg, cop_tuple(ctx, cop_a(alias), alias));
    cop_process_sleep(ctx, COP_INFINITY);
}

TEST(signals_and_what_controls_a_process_pass_a_full_mailbox) {
    cop_spawn_opts o = { .max_queue_len = 1 };
    cop_term message;
    cop_pid p = cop_process_spawn(ctx, full_and_controlled, cop_self(ctx).t, &o).pid;
    message = ASSERT_RECEIVE(ctx, "{:alias, _}");
    cop_send(ctx, p, 1);
    cop_send(ctx, p, 2); /* is dropped */
    cop_send(ctx, cop_elem(message, 1), cop_a(reply));
    cop_send(ctx, p, cop_tuple(ctx, cop_a(system), cop_self(ctx), cop_a(get_state)));
    cop_process_exit(ctx, p, cop_a(trapped));
    while (info(ctx, p, cop_a(message_queue_len)) < 7)
        cop_process_sleep(ctx, 1);
    EXPECT_TERM(ctx, cop_process_info(ctx, p, cop_a(max_queue)), "%{dropped: 1}");
    cop_process_exit(ctx, p, cop_a(kill));
    test_await_down(ctx, p);
}

/* Its mailbox is full, and its connection has data for it: what was read cannot be dropped. */
static void full_with_a_connection(cop_ctx *ctx, cop_term arg) {
    cop_tcp_result listener =
        cop_gen_tcp_listen(ctx, 0, &(cop_tcp_opts){ .active = COP_TCP_ACTIVE });
    cop_send(ctx, arg, cop_tuple(ctx, cop_a(port), cop_inet_port(ctx, listener.port)));
    EXPECT(cop_gen_tcp_accept(ctx, listener.port, COP_INFINITY).ok);
    cop_send(ctx, arg, cop_a(accepted));
    cop_process_sleep(ctx, COP_INFINITY);
}

static void port_data_passes(cop_ctx *ctx, cop_queue_policy policy) {
    cop_spawn_opts o = { .max_queue_len = 1, .max_queue_policy = policy };
    cop_pid p = cop_process_spawn(ctx, full_with_a_connection, cop_self(ctx).t, &o).pid;
    int port = 0;
    EXPECT(cop_get_int(cop_elem(ASSERT_RECEIVE(ctx, "{:port, _}"), 1), &port));
    cop_tcp_result to = cop_gen_tcp_connect(ctx, "127.0.0.1", port, NULL, 0);
    EXPECT(to.ok);
    ASSERT_RECEIVE(ctx, ":accepted");
    cop_send(ctx, p, 1);
    EXPECT_TERM(ctx, cop_gen_tcp_send(ctx, to.port, cop_of(ctx, "data")), ":ok");
    while (info(ctx, p, cop_a(message_queue_len)) < 2)
        cop_process_sleep(ctx, 1);
    EXPECT_TERM(ctx, cop_process_info(ctx, p, cop_a(messages)), "[1, {:tcp, _, \"data\"}]");
    cop_process_exit(ctx, p, cop_a(kill));
    ASSERT_RECEIVE(ctx, "{:tcp_closed, _}");
}

TEST(what_a_port_sends_passes_a_full_mailbox, .real_time = true) {
    port_data_passes(ctx, COP_QUEUE_DROP);
    port_data_passes(ctx, COP_QUEUE_EXIT);
    port_data_passes(ctx, COP_QUEUE_WAIT);
}

/* The number between the dots of #PID<0.N.M>: the slot, which a later process may have again. */
static long slot_number(cop_pid pid) {
    char text[64];
    cop_inspect_to(text, sizeof text, pid.t, NULL);
    return strtol(text + strlen("#PID<0."), NULL, 10);
}

TEST(a_letter_to_the_dead_does_not_touch_the_mailbox_of_their_successor) {
    cop_spawn_opts o = { .monitor = true, .max_queue_len = 1, .max_queue_policy = COP_QUEUE_EXIT };
    cop_pid dead = test_dead_pid(ctx), p = dead;
    for (int i = 0; i < 10000 && (i == 0 || slot_number(p) != slot_number(dead)); i++) {
        COP_SCOPE(ctx) {
            if (i > 0) {
                cop_process_exit(ctx, p, cop_a(kill));
                ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :killed}");
            }
            p = cop_process_spawn(ctx, holder_start, COP_NIL, &o).pid;
        }
    }
    if (slot_number(p) != slot_number(dead))
        test_skip("the slot was not used again");
    cop_process_suspend(ctx, p, 0);
    cop_send(ctx, p, 1);
    for (int i = 0; i < 10; i++)
        cop_send(ctx, dead, i);
    EXPECT(cop_process_is_alive(ctx, p));
    cop_send(ctx, p, 2); /* but this is one too many */
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :max_queue}");
}

/* ---- all at once ------------------------------------------------------------------------------------- */

/* arg: {parent, policy}; an owner that takes some, pauses, and dies in one of several ways. */
static void short_lived_owner(cop_ctx *ctx, cop_term arg) {
    cop_term message;
    uint64_t random = cop_random_u64(ctx);
    for (uint64_t i = random % 50; i > 0; i--)
        COP_SCOPE(ctx) { cop_receive(ctx, 10, &message); }
    if (random >> 8 & 1)
        cop_exit(ctx, cop_a(shutdown));
}

TEST(owners_and_senders_die_at_any_time, .timeout_s = 120) {
    size_t before = cop_node_process_count();
    for (int64_t round = scaled(100); round > 0; round--) {
        COP_SCOPE(ctx) {
            cop_spawn_opts o = { .monitor = true,
                                 .max_queue_len = 1 + (size_t)round % 7,
                                 .max_queue_bytes = round % 3 == 0 ? 500 : 0,
                                 .max_heap_words = round % 5 == 0 ? 4000 : 0,
                                 .max_heap_no_log = true,
                                 .max_queue_policy = (cop_queue_policy)(round % 3) };
            cop_pid p = cop_process_spawn(ctx, short_lived_owner, COP_NIL, &o).pid;
            cop_pid senders[4];
            for (int i = 0; i < 4; i++)
                senders[i] = cop_process_spawn(ctx, flooder, cop_tuple(ctx, cop_self(ctx), p, 20),
                                               &(cop_spawn_opts){ .monitor = true })
                                 .pid;
            cop_process_exit(ctx, senders[round % 4], cop_a(kill));
            if (round % 2 == 0)
                cop_process_exit(ctx, p, cop_a(kill));
            for (int i = 0; i < 5; i++)
                ASSERT_RECEIVE_IN(ctx, "{:DOWN, _, :process, _, _}", 20000);
            test_flush(ctx);
        }
    }
    EXPECT(cop_node_process_count() <= before + 1);
}
