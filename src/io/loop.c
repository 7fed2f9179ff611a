/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The I/O thread: one libuv loop, started by the first port or signal watcher of a node and ended with
 * the node.
 *
 * Work for its ports comes through the bound (proc/port.h); its wake is a uv_async_t. Other things to
 * do on the thread (signal watchers) come as calls, in a list under a mutex.
 *
 * When hardly anything happened for a second, the thread gives back the memory that it keeps.
 *
 * The end: all processes are gone before the thread is told, so nobody opens ports or has calls made any
 * more: who does so is inside of the run-time, where no kill takes a process away. A timer may still send to
 * a port, and whoever pushed a port wakes the loop after it, when the port may have run and ended. So the bound
 * stays when the loop ends, until the loop begins again; and a wake is under the mutex, and none when the
 * handle is not open, for libuv ends the program when a closed one is sent to.
 *
 * Threads: cop__io_bound and cop__io_call from any; the rest on the loop's thread.
 */
#include "io/loop.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "os/alloc.h"
#include "proc/proc.h"

struct call {
    struct call *next;
    void (*function)(void *arg);
    void *arg;
};

enum { QUIET_MS = 1000, QUIET_ROUNDS = 64 };

static struct {
    pthread_mutex_t mutex;
    bool running; /* atomic */
    bool stop;    /* atomic */
    bool open;    /* under the mutex: wake may be sent to */
    pthread_t thread;
    uv_loop_t loop;
    uv_async_t wake;
    struct cop__bound *bound;
    struct call *calls, **last_call;
    unsigned holds; /* the loop's thread only, as all below */
    uv_check_t round;
    uv_timer_t quiet;
    uint32_t rounds, quiet_rounds;
} io = { .mutex = PTHREAD_MUTEX_INITIALIZER };

static void wake(void *arg) {
    (void)arg;
    pthread_mutex_lock(&io.mutex);
    if (io.open)
        uv_async_send(&io.wake);
    pthread_mutex_unlock(&io.mutex);
}

static void run_calls(void) {
    pthread_mutex_lock(&io.mutex);
    struct call *call = io.calls;
    io.calls = NULL;
    io.last_call = &io.calls;
    pthread_mutex_unlock(&io.mutex);
    while (call != NULL) {
        struct call *next = call->next;
        call->function(call->arg);
        cop__free(call);
        call = next;
    }
}

static void on_wake(uv_async_t *handle) {
    run_calls();
    if (__atomic_load_n(&io.stop, __ATOMIC_ACQUIRE))
        uv_stop(handle->loop);
    if (cop__bound_run(io.bound, 256)) /* the sockets get their turn in between */
        uv_async_send(&io.wake);
}

static void on_quiet(uv_timer_t *timer) {
    if (io.rounds - io.quiet_rounds <= QUIET_ROUNDS) {
        cop__alloc_trim();
        return;
    }
    io.quiet_rounds = io.rounds;
    uv_timer_start(timer, on_quiet, QUIET_MS, 0);
}

static void on_round(uv_check_t *check) {
    (void)check;
    io.rounds++;
    if (uv_is_active((uv_handle_t *)&io.quiet))
        return;
    io.quiet_rounds = io.rounds;
    uv_timer_start(&io.quiet, on_quiet, QUIET_MS, 0);
}

/* Neither keeps the loop going. */
static void watch_for_quiet(void) {
    uv_check_init(&io.loop, &io.round);
    uv_timer_init(&io.loop, &io.quiet);
    uv_check_start(&io.round, on_round);
    uv_unref((uv_handle_t *)&io.round);
    uv_unref((uv_handle_t *)&io.quiet);
}

static void close_handle(uv_handle_t *handle, void *arg) {
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

void cop__io_hold(void) { io.holds++; }
void cop__io_let(void) { io.holds--; }

static void *loop_main(void *arg) {
    (void)arg;
    /* Writing to what nobody reads is an error there and no signal. */
    sigset_t broken_pipe;
    sigemptyset(&broken_pipe);
    sigaddset(&broken_pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &broken_pipe, NULL);
    cop__small_keep();
    while (!__atomic_load_n(&io.stop, __ATOMIC_ACQUIRE))
        uv_run(&io.loop, UV_RUN_DEFAULT);
    run_calls(); /* what was still to come: each owns what it is called with */
    cop__bound_kill(io.bound);
    while (cop_node_port_count() > 0 || io.holds > 0)
        uv_run(&io.loop, UV_RUN_ONCE);
    cop__bound_end(io.bound);
    pthread_mutex_lock(&io.mutex);
    io.open = false;
    pthread_mutex_unlock(&io.mutex);
    uv_walk(&io.loop, close_handle, NULL);
    uv_run(&io.loop, UV_RUN_DEFAULT);
    uv_loop_close(&io.loop);
    cop__small_flush();
    return NULL;
}

static void stop(void *arg) {
    (void)arg;
    __atomic_store_n(&io.stop, true, __ATOMIC_RELEASE);
    wake(NULL);
    pthread_join(io.thread, NULL);
    __atomic_store_n(&io.running, false, __ATOMIC_RELEASE);
}

static void ensure_running(void) {
    if (__atomic_load_n(&io.running, __ATOMIC_ACQUIRE))
        return;
    pthread_mutex_lock(&io.mutex);
    if (!io.running) {
        __atomic_store_n(&io.stop, false, __ATOMIC_RELEASE);
        io.calls = NULL;
        io.last_call = &io.calls;
        uv_loop_init(&io.loop);
        uv_async_init(&io.loop, &io.wake, on_wake);
        watch_for_quiet();
        io.open = true;
        if (io.bound == NULL)
            io.bound = cop__bound_new(wake, NULL);
        cop__node_at_stop(stop, NULL);
        if (pthread_create(&io.thread, NULL, loop_main, NULL) != 0) {
            fputs("coppice: no thread for input and output\n", stderr);
            abort();
        }
        __atomic_store_n(&io.running, true, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&io.mutex);
}

uv_loop_t *cop__io_loop(void) { return &io.loop; }

struct cop__bound *cop__io_bound(cop_ctx *ctx) {
    cop__enter(ctx);
    ensure_running();
    cop__leave(ctx);
    return io.bound;
}

void cop__io_call(void (*function)(void *arg), void *arg) {
    ensure_running();
    struct call *call = cop__malloc(sizeof *call);
    *call = (struct call){ .function = function, .arg = arg };
    pthread_mutex_lock(&io.mutex);
    *io.last_call = call;
    io.last_call = &call->next;
    uv_async_send(&io.wake);
    pthread_mutex_unlock(&io.mutex);
}
