/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A test, inside its own OS process.
 *
 *     main thread   runs it: a node (simulate.c), a bare heap, or the plain function
 *     watchdog      thread: sleeps on the control pipe; a byte there means that time is up
 *
 * Threads: kit_run_here on the main thread of a freshly forked OS process that has no others.
 */
#include "kit.h"

#include "term/heap.h"
#include <coppice/sim.h>

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
    if (kit_progress->simulated)
        kit_progress->trace = cop_sim_trace();
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
        test_fail_at(kit_test->file, kit_test->line, "no thread for the watchdog");
    pthread_detach(thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void run_in_node(const struct kit_run *run) {
    cop_node_opts opts = {
        .schedulers = run->test->schedulers > 0 ? run->test->schedulers : 2,
        .sim_faults = run->test->faults,
        .no_logger = !run->test->logger,
    };
    if (run->simulated)
        kit_run_seeds(run->test->body, &opts, run->seed, run->count);
    else
        kit_run_node(run->test->body, &opts);
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
    kit_test->body(ctx);
    cop__heap_reset(&heap);
    cop__heap_unlend(&heap);
}

_Noreturn void kit_run_here(const struct kit_run *run, int report, int control) {
    static struct watchdog dog;
    kit_test = run->test;
    kit_report_to(report);
    dog = (struct watchdog){ .control = control, .report = report };
    dog.has_node = run->test->kind != COP__TEST_TERM;
    if (run->test->real_time)
        unsetenv("COP_SIM");
    start_watchdog(&dog);
    switch (run->test->kind) {
    case COP__TEST_NODE:
        run_in_node(run);
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
