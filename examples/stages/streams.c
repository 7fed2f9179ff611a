/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Into stages and out of them: a producer of an enumerable's elements, a stage of our own behind it, and a
 * stream of what that emits, which is walked like any other.
 */
#include <coppice.h>
#include <stdio.h>

static cop_stage_init square_init(cop_ctx *ctx, void *state, cop_term producer) {
    cop_subscribe_opts opts = { .max_demand = 4, .cancel = COP_CANCEL_TRANSIENT };
    return cop_stage_producer_consumer(.subscribe_to =
                                           cop_list(ctx, cop_subscription(ctx, producer, &opts)));
}

static cop_stage_next square_events(cop_ctx *ctx, void *state, cop_events events, cop_from from) {
    cop_events squares;
    cop_term *at = cop_events_new(ctx, events.count, &squares);
    for (size_t i = 0; i < events.count; i++) {
        int64_t n = 0;
        cop_get_i64(events.at[i], &n);
        at[i] = cop_of(ctx, n * n);
    }
    return cop_stage_emit(squares);
}

/* The end of the numbers is ours, once all squares have been sent. */
static cop_stage_next square_cancel(cop_ctx *ctx, void *state, cop_term why, cop_from from) {
    cop_gen_stage_async_info(ctx, cop_self(ctx), cop_a(end));
    return cop_stage_noreply();
}

static cop_stage_next square_info(cop_ctx *ctx, void *state, cop_term message) {
    return cop_stage_stop(cop_a(normal));
}

static const cop_gen_stage square = {
    .name = "Square",
    .init = square_init,
    .handle_events = square_events,
    .handle_cancel = square_cancel,
    .handle_info = square_info,
};

static void show(cop_ctx *ctx, const char *what, cop_term t) {
    char text[300];
    cop_inspect_to(text, sizeof text, t, &(cop_inspect_opts){ .charlists_as_lists = true });
    printf("%s%s\n", what, text);
}

static void streams_main(cop_ctx *ctx, cop_term arg) {
    cop_pid numbers = cop_gen_stage_from_enumerable(
                          ctx, cop_range(ctx, 1, 10, 1),
                          &(cop_from_enumerable_opts){ .demand = COP_DEMAND_ACCUMULATE })
                          .pid;
    cop_pid squares = cop_gen_stage_start_link(ctx, &square, numbers.t, NULL).pid;
    cop_subscribe_opts opts = { .cancel = COP_CANCEL_TRANSIENT };
    cop_term producers = cop_list(ctx, cop_subscription(ctx, squares, &opts));
    /* The walk sets the numbers' demand free when it has subscribed. */
    cop_term stream = cop_gen_stage_stream(
        ctx, producers, &(cop_stage_stream_opts){ .producers = cop_list(ctx, numbers) });
    show(ctx, "the squares: ", cop_enum_to_list(ctx, stream));

    cop_pid endless =
        cop_gen_stage_from_enumerable(ctx, cop_range(ctx, 1, INT64_C(1) << 40, 1), NULL).pid;
    opts.max_demand = 10;
    stream = cop_gen_stage_stream(ctx, cop_list(ctx, cop_subscription(ctx, endless, &opts)), NULL);
    show(ctx, "the first of many: ", cop_enum_take(ctx, stream, 5));
    cop_gen_stage_stop(ctx, endless, cop_a(normal), 0);
}

int main(void) { return cop_run(NULL, streams_main); }
