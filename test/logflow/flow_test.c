/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pipeline of examples/logflow among crashes, under many schedules: whatever ends its parsers, and when, each line
 * is counted once, and only what has ended two parsers is lost.
 */
#include <coppice/test.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "collect.h"
#include "generate.h"

enum { LINES = 400 };
static char log_path[64];

static void make_log(int64_t crashes) {
    struct generate what = { .lines = LINES, .seed = 9, .malformed = 20000, .crashes = crashes };
    snprintf(log_path, sizeof log_path, "/tmp/logflow-%llx", (unsigned long long)test_unique());
    EXPECT_INT(generate_log(&what, log_path), 0);
}

static cop_pid start(cop_ctx *ctx, struct flow *flow) {
    *flow = (struct flow){ .path = log_path,
                           .parsers = 3,
                           .aggregators = 2,
                           .ledger = cop_own(ctx, ledger_new(), ledger_free),
                           .collector = cop_self(ctx) };
    cop_started tree = flow_start_link(ctx, flow);
    EXPECT(tree.is == COP_STARTED);
    return tree.pid;
}

static void finish(cop_ctx *ctx, struct flow *flow, cop_pid tree, int64_t lost) {
    struct progress p;
    collect(ctx, &p, NULL);
    struct totals *t = collect_totals(ctx, flow);
    EXPECT_INT(t->lines, LINES);
    EXPECT_INT(t->lost, lost);
    EXPECT_INT(t->server_errors, p.handled);
    static int64_t bytes, malformed, errors; /* those of the first seed are those of all */
    if (bytes == 0) {
        bytes = t->bytes;
        malformed = t->malformed;
        errors = t->server_errors;
    }
    EXPECT_INT(t->bytes, bytes);
    EXPECT_INT(t->malformed, malformed);
    EXPECT_INT(t->server_errors, errors);
    EXPECT(malformed > 0 && errors > 0);
    cop_supervisor_stop(ctx, tree, cop_a(normal), 0);
}

static void with_lines_that_crash(cop_ctx *ctx) {
    struct flow flow;
    cop_pid tree = start(ctx, &flow);
    finish(ctx, &flow, tree, 4);
}

TEST_HOST(only_lines_that_crash_parsers_are_lost) {
    make_log(4);
    simulate(100, with_lines_that_crash);
    unlink(log_path);
}

/* Ends parsers, any, at any time; {parsers' supervisor, how often}. */
static void killer(cop_ctx *ctx, cop_term arg) {
    cop_pid parsers, pid;
    int64_t left;
    EXPECT(cop_match_tuple(arg, &parsers, &left));
    for (; left > 0; left--) {
        cop_process_sleep(ctx, (int64_t)(cop_random_u64(ctx) % 3));
        cop_term children = cop_supervisor_which_children(ctx, parsers), child = COP_NIL;
        for (uint64_t i = cop_random_u64(ctx) % 3 + 1; i > 0; i--)
            cop_get_cons(children, &child, &children);
        if (cop_get_pid(cop_elem(child, 1), &pid))
            cop_process_exit(ctx, pid, cop_a(kill));
    }
}

static void among_kills(cop_ctx *ctx) {
    struct flow flow;
    cop_pid tree = start(ctx, &flow);
    cop_term parsers = cop_supervisor_child(ctx, tree, cop_a(parsers));
    cop_ref ref = cop_spawn_monitor(ctx, killer, cop_tuple(ctx, parsers, 6)).ref;
    cop_term down;
    EXPECT(cop_receive_ref(ctx, 60000, ref, &down));
    finish(ctx, &flow, tree, 0);
}

TEST_HOST(a_parser_that_is_killed_loses_nothing) {
    make_log(0);
    simulate(100, among_kills);
    unlink(log_path);
}
