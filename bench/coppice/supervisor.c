/* SPDX-License-Identifier: Apache-2.0 */
/*
 * supervisor.*: gen_servers under a DynamicSupervisor. start: one after another, by call; restart_burst: all
 * are killed at once, and each says that it is there again; shutdown: the supervisor is stopped, and with it
 * all of them.
 */
#include "bench.h"

static cop_init child_init(cop_ctx *ctx, void *state, cop_term main_pid) {
    cop_pid pid;
    if (cop_get_pid(main_pid, &pid))
        cop_send(ctx, pid, cop_a(up));
    return cop_init_ok();
}

static const cop_gen_server child_server = { .name = "BenchChild", .init = child_init };

static cop_started child_start(cop_ctx *ctx, cop_term arg) {
    return cop_gen_server_start_link(ctx, &child_server, arg, NULL);
}

static cop_pid start_supervisor(cop_ctx *ctx) {
    cop_started s = cop_dynamic_supervisor_start_link(
        ctx, &(cop_dynamic_supervisor_opts){ .max_restarts = 1000000000 });
    if (s.is != COP_STARTED)
        bench_fail("supervisor did not start");
    return s.pid;
}

static int64_t start_children(cop_ctx *ctx, cop_pid sup, int64_t count, cop_term arg,
                              cop_pid *pids) {
    const cop_child_spec spec = { .start = child_start, .arg = arg, .module = "BenchChild" };
    int64_t from = bench_now_ns();
    for (int64_t i = 0; i < count; i++)
        COP_SCOPE(ctx) {
            cop_pid pid;
            if (!cop_match_tuple(cop_dynamic_supervisor_start_child(ctx, sup, &spec), cop_a(ok),
                                 &pid))
                bench_fail("child did not start");
            if (pids != NULL)
                pids[i] = pid;
        }
    return bench_now_ns() - from;
}

static int64_t shutdown(cop_ctx *ctx, int64_t count) {
    cop_pid sup = start_supervisor(ctx);
    start_children(ctx, sup, count, cop_a(nil).t, NULL);
    int64_t from = bench_now_ns();
    cop_dynamic_supervisor_stop(ctx, sup, cop_a(normal), 0);
    return bench_now_ns() - from;
}

static int64_t burst(cop_ctx *ctx, int64_t count) {
    cop_pid sup = start_supervisor(ctx);
    cop_pid *pids = cop_alloc(ctx, (size_t)count * sizeof *pids);
    start_children(ctx, sup, count, cop_self(ctx).t, pids);
    bench_collect(ctx, count, cop_a(up).t);
    int64_t from = bench_now_ns();
    for (int64_t i = 0; i < count; i++)
        cop_process_exit(ctx, pids[i], cop_a(kill));
    bench_collect(ctx, count, cop_a(up).t);
    int64_t took = bench_now_ns() - from;
    cop_dynamic_supervisor_stop(ctx, sup, cop_a(normal), 0);
    cop_free(ctx, pids);
    return took;
}

static void out(const char *name, int64_t took, int64_t count, const char *unit) {
    bench_out(name, (double)took / (double)count, unit);
}

void bench_supervisor_start(cop_ctx *ctx) {
    shutdown(ctx, SUPERVISOR_CHILDREN / 10);
    cop_pid sup = start_supervisor(ctx);
    out("supervisor.start", start_children(ctx, sup, SUPERVISOR_CHILDREN, cop_a(nil).t, NULL),
        SUPERVISOR_CHILDREN, "ns/child");
}

void bench_supervisor_restart_burst(cop_ctx *ctx) {
    burst(ctx, 1000);
    out("supervisor.restart_burst.1k", burst(ctx, 1000), 1000, "ns/restart");
    out("supervisor.restart_burst.10k", burst(ctx, 10000), 10000, "ns/restart");
}

void bench_supervisor_shutdown(cop_ctx *ctx) {
    shutdown(ctx, 1000);
    out("supervisor.shutdown.10k", shutdown(ctx, 10000), 10000, "ns/child");
}

void bench_supervisor_shutdown_100k(cop_ctx *ctx) {
    shutdown(ctx, 10000);
    out("supervisor.shutdown.100k", shutdown(ctx, 100000), 100000, "ns/child");
}
