/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events by kind: a hash says to which partition an event belongs, and each partition has one consumer. The
 * events come from a list, and the stages end when it does.
 */
#include <coppice.h>
#include <stdio.h>

/* {:odd, n} and {:even, n} by the number; what is no number is dropped. */
static cop_term kind_of(cop_ctx *ctx, cop_term env, size_t n, const cop_term *args) {
    int64_t number;
    if (!cop_get_i64(args[0], &number))
        return cop_a(none).t;
    return cop_tuple(ctx, args[0], number % 2 != 0 ? cop_a(odd) : cop_a(even));
}

struct adder {
    cop_term reader, partition;
    int64_t sum;
};

static cop_stage_init adder_init(cop_ctx *ctx, void *state, cop_term arg) {
    struct adder *self = state;
    cop_term producer;
    if (!cop_match_tuple(arg, &self->reader, &self->partition, &producer))
        return cop_stage_init_stop(cop_a(badarg));
    cop_subscribe_opts opts = {
        .cancel = COP_CANCEL_TRANSIENT, /* the list's end is no failure */
        .max_demand = 10,
        .terms = cop_list(ctx, cop_tuple(ctx, cop_a(partition), self->partition)),
    };
    return cop_stage_consumer(.subscribe_to =
                                  cop_list(ctx, cop_subscription(ctx, producer, &opts)));
}

static cop_stage_next adder_events(cop_ctx *ctx, void *state, cop_events events, cop_from from) {
    struct adder *self = state;
    for (size_t i = 0; i < events.count; i++) {
        int64_t n = 0;
        cop_get_i64(events.at[i], &n);
        self->sum += n;
    }
    return cop_stage_noreply();
}

static cop_stage_next adder_cancel(cop_ctx *ctx, void *state, cop_term why, cop_from from) {
    struct adder *self = state;
    cop_send(ctx, self->reader, cop_tuple(ctx, self->partition, self->sum));
    return cop_stage_stop(cop_a(normal));
}

static const cop_gen_stage adder = {
    .name = "Adder",
    .state_size = sizeof(struct adder),
    .state_terms = 2,
    .init = adder_init,
    .handle_events = adder_events,
    .handle_cancel = adder_cancel,
};

static int64_t sum_of(cop_ctx *ctx, cop_atom partition) {
    cop_term message;
    int64_t sum = 0;
    while (cop_receive(ctx, COP_INFINITY, &message) && !cop_match_tuple(message, partition, &sum))
        cop_send(ctx, cop_self(ctx), message);
    return sum;
}

static void partitions_main(cop_ctx *ctx, cop_term arg) {
    const cop_from_enumerable_opts opts = {
        .demand = COP_DEMAND_ACCUMULATE, /* until both partitions have their consumer */
        .dispatcher = &cop_partition_dispatcher,
        .dispatcher_opts =
            cop_list(ctx, cop_tuple(ctx, cop_a(partitions), cop_list(ctx, cop_a(odd), cop_a(even))),
                     cop_tuple(ctx, cop_a(hash), cop_fun(ctx, kind_of, 1, COP_NIL))),
    };
    cop_pid source = cop_gen_stage_from_enumerable(ctx, cop_range(ctx, 1, 1000, 1), &opts).pid;
    cop_gen_stage_start(ctx, &adder, cop_tuple(ctx, cop_self(ctx), cop_a(odd), source), NULL);
    cop_gen_stage_start(ctx, &adder, cop_tuple(ctx, cop_self(ctx), cop_a(even), source), NULL);
    cop_gen_stage_set_demand(ctx, source, COP_DEMAND_FORWARD);
    printf("odd numbers add up to %lld\n", (long long)sum_of(ctx, cop_a(odd)));
    printf("even numbers add up to %lld\n", (long long)sum_of(ctx, cop_a(even)));
}

int main(void) { return cop_run(NULL, partitions_main); }
