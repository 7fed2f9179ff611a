/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads of the node: more than schedulers while steps block, and no more some time after; what happens when
 * the system has none to give.
 */
#include <coppice.h>
#include <coppice/test.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- a system that has no thread to give ------------------------------------------------------------------ */

static uint32_t no_threads, refused;

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*function)(void *),
                   void *arg) {
    static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    if (__atomic_load_n(&no_threads, __ATOMIC_ACQUIRE)) {
        __atomic_fetch_add(&refused, 1, __ATOMIC_RELEASE);
        return EAGAIN;
    }
    if (real == NULL) {
        void *symbol = dlsym(RTLD_NEXT, "pthread_create");
        memcpy(&real, &symbol, sizeof real);
    }
    return real(thread, attr, function, arg);
}

/* ---- help --------------------------------------------------------------------------------------------------- */

static int gate[2];

static void gate_open(void) { EXPECT_INT(pipe(gate), 0); }
static void gate_close(void) {
    close(gate[0]);
    close(gate[1]);
}
static void gate_let(size_t count) {
    for (size_t i = 0; i < count; i++)
        EXPECT_INT(write(gate[1], "x", 1), 1);
}

/* In a system call, out of the node's sight, until the gate lets it. */
static void block(cop_ctx *ctx, cop_term to) {
    char byte;
    cop_send(ctx, to, cop_a(ready));
    EXPECT_INT(read(gate[0], &byte, 1), 1);
    cop_send(ctx, to, cop_a(done));
}

static void answer(cop_ctx *ctx, cop_term to) { cop_send(ctx, to, cop_a(answer)); }

/* What no message tells is looked at again and again; the test's time is the limit. */
static void look_again(void) { nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL); }

static void await_workers(size_t count) {
    while (cop_node_worker_count() != count)
        look_again();
}

static size_t threads_of_program(void) {
    size_t n = 0;
    DIR *dir = opendir("/proc/self/task");
    EXPECT(dir != NULL);
    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        n += e->d_name[0] != '.';
    closedir(dir);
    return n;
}

static void expect_each(cop_ctx *ctx, cop_atom what, int count) {
    cop_term message;
    for (int i = 0; i < count; i++) {
        EXPECT(cop_receive(ctx, 20000, &message));
        EXPECT(cop_match(message, what));
    }
}

/* ---- tests ---------------------------------------------------------------------------------------------------- */

TEST_HOST(threads_end_some_time_after_the_calls_that_blocked) {
    enum { BLOCKED = 12 };
    EXPECT_INT(
        cop_node_start(&(cop_node_opts){ .schedulers = 2, .slice_ms = 1, .worker_idle_ms = 20 }),
        0);
    ctx = cop_attach();
    gate_open();
    await_workers(2);
    size_t threads = threads_of_program();
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < BLOCKED; i++)
            cop_spawn(ctx, block, cop_self(ctx).t);
        /* Each holds a thread, and none holds up the others. */
        expect_each(ctx, cop_a(ready), BLOCKED);
        EXPECT(cop_node_worker_count() >= BLOCKED);
        EXPECT(threads_of_program() >= threads + BLOCKED - 2);
        gate_let(BLOCKED);
        expect_each(ctx, cop_a(done), BLOCKED);
        await_workers(2);
        while (threads_of_program() != threads) /* one that was joined stays in /proc a little */
            look_again();
        cop_spawn(ctx, answer, cop_self(ctx).t);
        expect_each(ctx, cop_a(answer), 1);
    }
    gate_close();
    cop_detach(ctx);
    EXPECT_INT(cop_node_stop(), 0);
    EXPECT_INT((int64_t)cop_node_worker_count(), 0);
}

TEST_HOST(a_node_stops_while_threads_are_idle_or_end) {
    for (int round = 0; round < 20; round++) {
        enum { BLOCKED = 4 };
        EXPECT_INT(
            cop_node_start(&(cop_node_opts){ .schedulers = 1,
                                             .slice_ms = 1,
                                             .worker_idle_ms = round % 2 == 0 ? 1 : COP_INFINITY }),
            0);
        ctx = cop_attach();
        gate_open();
        for (int i = 0; i < BLOCKED; i++)
            cop_spawn(ctx, block, cop_self(ctx).t);
        expect_each(ctx, cop_a(ready), BLOCKED);
        gate_let(BLOCKED);
        expect_each(ctx, cop_a(done), BLOCKED);
        cop_detach(ctx);
        EXPECT_INT(cop_node_stop(), 0);
        gate_close();
    }
}

/* Steps block for about as long as a thread lives that has nothing to do. */
static void block_now_and_then(cop_ctx *ctx, cop_term arg) {
    cop_pid to;
    int64_t rounds;
    EXPECT(cop_match_tuple(arg, &to, &rounds));
    for (int64_t i = 0; i < rounds; i++) {
        long us = (long)(cop_random_u64(ctx) % 6000);
        nanosleep(&(struct timespec){ .tv_nsec = us * 1000 }, NULL);
        cop_process_sleep(ctx, (int64_t)(cop_random_u64(ctx) % 6));
    }
    cop_send(ctx, to, cop_a(done));
}

TEST_HOST(threads_end_while_schedulers_need_them, .timeout_s = 60) {
    enum { PROCESSES = 6, ROUNDS = 400 };
    EXPECT_INT(
        cop_node_start(&(cop_node_opts){ .schedulers = 2, .slice_ms = 1, .worker_idle_ms = 3 }), 0);
    ctx = cop_attach();
    for (int i = 0; i < PROCESSES; i++)
        cop_spawn(ctx, block_now_and_then, cop_tuple(ctx, cop_self(ctx), (int)ROUNDS));
    for (int i = 0; i < PROCESSES; i++) {
        cop_term message;
        EXPECT(cop_receive(ctx, COP_INFINITY, &message));
        EXPECT(cop_match(message, cop_a(done)));
    }
    await_workers(2);
    cop_detach(ctx);
    EXPECT_INT(cop_node_stop(), 0);
}

TEST_HOST(a_scheduler_without_a_thread_goes_on_with_the_first_there_is) {
    EXPECT_INT(cop_node_start(&(cop_node_opts){ .schedulers = 1, .slice_ms = 1 }), 0);
    ctx = cop_attach();
    await_workers(1);
    gate_open();
    for (int has_one_again = 0; has_one_again < 2; has_one_again++) {
        /* Each blocks one more than there are threads. */
        int count = (int)cop_node_worker_count();
        __atomic_store_n(&refused, 0, __ATOMIC_RELEASE);
        __atomic_store_n(&no_threads, 1, __ATOMIC_RELEASE);
        for (int i = 0; i < count; i++)
            cop_spawn(ctx, block, cop_self(ctx).t);
        expect_each(ctx, cop_a(ready), count);
        cop_spawn(ctx, answer, cop_self(ctx).t);
        while (__atomic_load_n(&refused, __ATOMIC_ACQUIRE) < 3)
            look_again();
        EXPECT_INT((int64_t)cop_node_worker_count(), count);
        if (has_one_again) {
            __atomic_store_n(&no_threads, 0, __ATOMIC_RELEASE);
            expect_each(ctx, cop_a(answer), 1); /* while all others block */
            EXPECT_INT((int64_t)cop_node_worker_count(), count + 1);
            gate_let((size_t)count);
            expect_each(ctx, cop_a(done), count);
        } else {
            cop_term message;
            gate_let(1);
            for (int answered = 0, done = 0; answered + done < 2;) {
                EXPECT(cop_receive(ctx, 20000, &message));
                answered += cop_match(message, cop_a(answer));
                done += cop_match(message, cop_a(done));
            }
            gate_let((size_t)count - 1);
            expect_each(ctx, cop_a(done), count - 1);
            __atomic_store_n(&no_threads, 0, __ATOMIC_RELEASE);
        }
    }
    gate_close();
    cop_detach(ctx);
    EXPECT_INT(cop_node_stop(), 0);
}
