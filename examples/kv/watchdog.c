/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The watchdog: ends processes that do not come back from a piece of work.
 *
 * A process in an endless loop hinders nobody but those who wait for it: the run-time gives its
 * scheduler to another thread. But a shard that loops answers nobody, and the run-time cannot know
 * that this loop has no end. The watchdog decides so after --watchdog-ms, and kills it. From that
 * moment it is dead for everybody: its name is free, its supervisor starts another, its callers get
 * an error. Only the thread that it holds goes on turning.
 */
#include "kv.h"
#include "pulse.h"

enum { TICKS_PER_LIMIT = 4 };

static int64_t tick_ms(void) {
    int64_t ms = kv_config.watchdog_ms / TICKS_PER_LIMIT;
    return ms > 0 ? ms : 1;
}

static void set_tick(cop_ctx *ctx) {
    cop_process_send_after(ctx, cop_self(ctx), cop_a(tick), tick_ms());
}

static cop_init watchdog_init(cop_ctx *ctx, void *state, cop_term arg) {
    set_tick(ctx);
    return cop_init_ok();
}

static void end_late(void *arg, cop_pid pid) {
    cop_ctx *ctx = arg;
    char text[64];
    cop_inspect_to(text, sizeof text, pid.t, NULL);
    cop_logger_write(ctx, COP_LEVEL_WARNING,
                     "watchdog: %s has been at one request for %lld ms, killing it", text,
                     (long long)kv_config.watchdog_ms);
    atomic_fetch_add(&kv_counters.killed, 1);
    cop_process_exit(ctx, pid, cop_a(kill));
}

static cop_next watchdog_handle_info(cop_ctx *ctx, void *state, cop_term message) {
    if (cop_match(message, cop_a(tick))) {
        pulse_check(TICKS_PER_LIMIT + 1, end_late, ctx);
        set_tick(ctx);
    }
    return cop_noreply();
}

static const cop_gen_server watchdog = {
    .name = "Watchdog",
    .init = watchdog_init,
    .handle_info = watchdog_handle_info,
};

cop_started watchdog_start_link(cop_ctx *ctx, cop_term arg) {
    /* It must have its turn even when everybody else has much to do. */
    static const cop_spawn_opts spawn = { .priority = COP_PRIORITY_HIGH };
    return cop_gen_server_start_link(ctx, &watchdog, arg,
                                     &(cop_start_opts){ .name = cop_a(watchdog), .spawn = &spawn });
}
