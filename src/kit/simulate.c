/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes for tests: one, or one per seed.
 *
 *     calling thread  starts the node, waits for the verdict, stops the node
 *     runner          process: starts the test's supervisor and the body, waits for the body's end
 *     body            process: the test itself, on a stack four times the usual size
 *
 * The runner sees the end of the body through a monitor, because a body may be ended by anything: an exit
 * signal from a link, a kill, a fault. The flag `body_done` tells a body that came to its end from one
 * that exited with :normal half way.
 *
 * Seeds are run one after the other in the same OS process, a node each: a thousand of them cost less
 * than a thousand forks. What the parent must know of the run that is on, also when it crashes or
 * hangs, stands in memory that both share.
 *
 * Threads: the one that calls; the flag by the body's.
 */
#include <coppice/sim.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kit.h"

struct kit_progress *kit_progress;
const struct cop__test *kit_test;

static void (*body_function)(cop_ctx *ctx);
static atomic_bool body_done;

static void body(cop_ctx *ctx, cop_term arg) {
    cop_sim_spare(ctx);
    body_function(ctx);
    atomic_store(&body_done, true);
}

static void runner(cop_ctx *ctx, cop_term arg) {
    cop_term down, pid, reason = COP_NONE;
    cop_sim_spare(ctx);
    kit_supervisor_start(ctx);
    cop_spawn_opts opts = {
        .monitor = true,
        .stack_size = (size_t)256 * 1024,
        .name_hint = kit_test->name,
    };
    cop_spawned test = cop_process_spawn(ctx, body, COP_NIL, &opts);
    cop_receive_ref(ctx, COP_INFINITY, test.ref, &down);
    if (!atomic_load(&body_done)) {
        cop_match_tuple(down, cop_a(DOWN), test.ref, cop_a(process), &pid, &reason);
        kit_fail_begin(kit_test->file, kit_test->line);
        kit_report_term("the test's process ended before its end, with reason", reason);
        kit_fail_end();
    }
    kit_supervisor_stop(ctx);
    cop_node_shutdown(ctx, 0);
}

void kit_run_node(void (*function)(cop_ctx *ctx), const cop_node_opts *opts) {
    const struct cop__test *test = kit_test;
    body_function = function;
    atomic_store(&body_done, false);
    int rc = cop_node_start(opts);
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

/* One line per run, for two runs to be compared. */
static void write_trace(FILE *file, uint64_t seed, uint64_t trace) {
    fprintf(file, "%s %llu %016llx\n", kit_test->name, (unsigned long long)seed,
            (unsigned long long)trace);
}

void kit_run_seeds(void (*function)(cop_ctx *ctx), const cop_node_opts *opts, uint64_t first,
                   uint64_t count) {
    const char *path = getenv("COPPICE_TEST_TRACE");
    FILE *file = path != NULL && *path != '\0' ? fopen(path, "ae") : NULL;
    cop_node_opts simulated = *opts;
    simulated.sim = true;
    if (opts->sim_faults != NULL)
        snprintf(kit_progress->faults, sizeof kit_progress->faults, "%s", opts->sim_faults);
    kit_progress->simulated = true;
    for (uint64_t seed = first; seed < first + count; seed++) {
        simulated.sim_seed = seed;
        kit_progress->seed = seed;
        __atomic_fetch_add(&kit_progress->started, 1, __ATOMIC_RELAXED);
        kit_run_node(function, &simulated);
        uint64_t trace = cop_sim_trace();
        kit_progress->all_traces =
            (kit_progress->all_traces ^ trace) * UINT64_C(0x9e3779b97f4a7c15) + seed;
        if (file != NULL)
            write_trace(file, seed, trace);
    }
    kit_progress->simulated = false;
    if (file != NULL)
        fclose(file);
}

void cop__test_simulate(uint64_t seeds, void (*function)(cop_ctx *ctx),
                        const struct cop__test_simulate *how) {
    const char *one = getenv("COPPICE_TEST_SEED"), *many = getenv("COPPICE_TEST_SEEDS");
    uint64_t first = how->first_seed != 0 ? how->first_seed : 1;
    if (one != NULL && (many == NULL || *many == '\0')) { /* a failed seed is run again */
        first = strtoull(one, NULL, 0);
        seeds = 1;
    }
    if (kit_test->kind != COP__TEST_HOST)
        test_fail_at(kit_test->file, kit_test->line,
                     "simulate() is for a TEST_HOST: it starts nodes");
    cop_node_opts opts = { .sim_faults = how->faults, .no_logger = true };
    kit_run_seeds(function, &opts, first, seeds);
}
