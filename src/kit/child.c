/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A test, inside its own OS process.
 *
 *     main thread   starts the node, waits for the verdict, stops the node, writes the end mark
 *     runner        process: starts the test's supervisor and the body, waits for the body's end
 *     body          process: the test itself, on a stack four times the usual size
 *     watchdog      thread: sleeps on the control pipe; a byte there means that time is up
 *
 * The runner sees the end of the body through a monitor, because a body may be ended by anything:
 * an exit signal from a link, a kill, a fault. The flag `body_done` tells a body that came to its
 * end from one that exited with :normal half way.
 *
 * Threads: kit_run_here on the main thread of a freshly forked OS process that has no others.
 */
#include "kit.h"
#include "term/heap.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct kit_run *running;
static atomic_bool body_done;

struct watchdog {
    int control;
    int report;
    bool has_node;
};

/* Time is up: shows what everybody is waiting for. The end of the pipe means that the parent died,
   and then nobody wants to know. */
static void *watch(void *arg) {
    const struct watchdog *dog = arg;
    char byte;
    if (read(dog->control, &byte, 1) != 1)
        _exit(KIT_FAILED);
    if (dog->has_node)
        cop_node_dump(dog->report);
    _exit(KIT_TIMED_OUT);
}

/* The thread takes no signals: they are meant for the test. */
static void start_watchdog(struct watchdog *dog) {
    sigset_t all, before;
    pthread_t thread;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    if (pthread_create(&thread, NULL, watch, dog) != 0)
        test_fail_at(running->test->file, running->test->line, "no thread for the watchdog");
    pthread_detach(thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void body(cop_ctx *ctx, cop_term arg) {
    running->test->body(ctx);
    atomic_store(&body_done, true);
}

static void runner(cop_ctx *ctx, cop_term arg) {
    cop_term down, pid, reason = COP_NONE;
    kit_supervisor_start(ctx);
    cop_spawn_opts opts = {
        .monitor = true,
        .stack_size = (size_t)256 * 1024,
        .name_hint = running->test->name,
    };
    cop_spawned test = cop_process_spawn(ctx, body, COP_NIL, &opts);
    cop_receive_ref(ctx, COP_INFINITY, test.ref, &down);
    if (!atomic_load(&body_done)) {
        cop_match_tuple(down, cop_a(DOWN), test.ref, cop_a(process), &pid, &reason);
        kit_fail_begin(running->test->file, running->test->line);
        kit_report_term("the test's process ended before its end, with reason", reason);
        kit_fail_end();
    }
    kit_supervisor_stop(ctx);
    cop_node_shutdown(ctx, 0);
}

static void run_in_node(void) {
    const struct cop__test *test = running->test;
    cop_node_opts opts = {
        .schedulers = test->schedulers > 0 ? test->schedulers : 2,
        .sim = running->simulated,
        .sim_seed = running->seed,
        .no_logger = !test->logger,
    };
    int rc = cop_node_start(&opts);
    if (rc < 0)
        test_fail_at(test->file, test->line, "the node did not start: %s", cop_strerror(rc));
    cop_pid first = cop_node_spawn(runner);
    if (cop_is_none(first.t))
        test_fail_at(test->file, test->line, "the node started no process");
    rc = cop_node_wait();
    if (rc != 0)
        test_fail_at(test->file, test->line, "the node was shut down with status %d", rc);
    rc = cop_node_stop();
    if (rc < 0)
        test_fail_at(test->file, test->line, "the node did not stop: %s", cop_strerror(rc));
    if (!atomic_load(&body_done))
        test_fail_at(test->file, test->line, "the node was shut down by the test itself");
}

/* The bump region is small on purpose, so that ordinary tests also take blocks beyond it. */
static void run_on_bare_heap(void) {
    static uint64_t region[512];
    static struct cop__heap heap;
    cop__heap_init(&heap);
    cop__heap_lend(&heap, region, sizeof(region) / sizeof(region[0]));
    cop_ctx *ctx = (cop_ctx *)(void *)&heap;
    cop__raise_hook = kit_bare_raise;
    kit_bare_is(ctx);
    running->test->body(ctx);
    cop__heap_reset(&heap);
    cop__heap_unlend(&heap);
}

_Noreturn void kit_run_here(const struct kit_run *run, int report, int control) {
    static struct watchdog dog;
    running = run;
    kit_report_to(report);
    dog = (struct watchdog){ .control = control, .report = report };
    dog.has_node = run->test->kind != COP__TEST_TERM;
    if (run->test->real_time)
        unsetenv("COP_SIM");
    start_watchdog(&dog);
    switch (run->test->kind) {
    case COP__TEST_NODE:
        run_in_node();
        break;
    case COP__TEST_TERM:
        run_on_bare_heap();
        break;
    default:
        run->test->body(NULL);
        break;
    }
    kit_report_write((const char[]){ KIT_END_MARK }, 1);
    exit(KIT_PASSED);
}
