/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A producer of numbers, producer-consumers that multiply them, and a consumer that shows them:
 *
 *     A ---> B ---> C
 *
 * wired by hand, from the bottom up, and once more under a supervisor, where each subscribes in init and B
 * is there twice.
 */
#include <coppice.h>
#include <stdio.h>

static void show(cop_ctx *ctx, const char *what, cop_term t) {
    char text[500];
    cop_inspect_to(text, sizeof text, t, &(cop_inspect_opts){ .charlists_as_lists = true });
    printf("%s%s\n", what, text);
}

/* ---- A: counts ------------------------------------------------------------------------------------------- */

static cop_stage_init a_init(cop_ctx *ctx, void *state, cop_term first) {
    cop_match(first, (int64_t *)state);
    return cop_stage_producer(0);
}

/* At 3 a demand of 2 emits 3 and 4, and the state is 5. */
static cop_stage_next a_demand(cop_ctx *ctx, void *state, int64_t demand) {
    int64_t *counter = state;
    cop_events events;
    cop_term *at = cop_events_new(ctx, (size_t)demand, &events);
    for (int64_t i = 0; i < demand; i++)
        at[i] = cop_of(ctx, (*counter)++);
    return cop_stage_emit(events);
}

static const cop_gen_stage a_stage = {
    .name = "A", .state_size = sizeof(int64_t), .init = a_init, .handle_demand = a_demand
};

/* ---- B: multiplies ------------------------------------------------------------------------------------------ */

/* Started with a number, or {number, producer}: then it subscribes to that by itself. */
static cop_stage_init b_init(cop_ctx *ctx, void *state, cop_term arg) {
    cop_term producer;
    if (!cop_match_tuple(arg, (int64_t *)state, &producer)) {
        cop_match(arg, (int64_t *)state);
        return cop_stage_producer_consumer(0);
    }
    cop_subscribe_opts opts = { .max_demand = 10 };
    return cop_stage_producer_consumer(.subscribe_to =
                                           cop_list(ctx, cop_subscription(ctx, producer, &opts)));
}

static cop_stage_next b_events(cop_ctx *ctx, void *state, cop_events events, cop_from from) {
    cop_events products;
    cop_term *at = cop_events_new(ctx, events.count, &products);
    for (size_t i = 0; i < events.count; i++) {
        int64_t n = 0;
        cop_get_i64(events.at[i], &n);
        at[i] = cop_of(ctx, n * *(int64_t *)state);
    }
    return cop_stage_emit(products);
}

static const cop_gen_stage b_stage = {
    .name = "B", .state_size = sizeof(int64_t), .init = b_init, .handle_events = b_events
};

/* ---- C: shows the first batches that it gets --------------------------------------------------------------- */

struct c {
    cop_term reader; /* who is told of them */
    cop_term subscriptions;
    int64_t batches;
};

static cop_stage_init c_init(cop_ctx *ctx, void *state, cop_term arg) {
    struct c *self = state;
    if (!cop_match_tuple(arg, &self->reader, &self->batches, &self->subscriptions))
        return cop_stage_init_stop(cop_a(badarg));
    return cop_stage_consumer(.subscribe_to = self->subscriptions);
}

static cop_stage_next c_events(cop_ctx *ctx, void *state, cop_events events, cop_from from) {
    struct c *self = state;
    if (self->batches-- > 0)
        cop_send(
            ctx, self->reader,
            cop_tuple(ctx, cop_a(batch), cop_elem(from.t, 0), cop_events_to_list(ctx, events)));
    return cop_stage_noreply(); /* a consumer emits nothing */
}

static const cop_gen_stage c_stage = { .name = "C",
                                       .state_size = sizeof(struct c),
                                       .state_terms = 2,
                                       .init = c_init,
                                       .handle_events = c_events };

/* ---- by hand --------------------------------------------------------------------------------------------------- */

static void by_hand(cop_ctx *ctx) {
    cop_term c_arg = cop_tuple(ctx, cop_self(ctx), 3, COP_NIL), message, from, batch;
    cop_pid a = cop_gen_stage_start_link(ctx, &a_stage, COP_INT(0), NULL).pid;
    cop_pid b = cop_gen_stage_start_link(ctx, &b_stage, COP_INT(2), NULL).pid;
    cop_pid c = cop_gen_stage_start_link(ctx, &c_stage, c_arg, NULL).pid;
    /* From the bottom up: nothing flows before the last link. */
    cop_gen_stage_sync_subscribe(ctx, c, b, NULL, 0);
    cop_gen_stage_sync_subscribe(ctx, b, a, &(cop_subscribe_opts){ .max_demand = 10 }, 0);
    for (int i = 0; i < 3; i++) {
        cop_receive(ctx, COP_INFINITY, &message);
        if (cop_match_tuple(message, cop_a(batch), &from, &batch))
            show(ctx, "C got ", batch);
    }
    /* The end of a producer is the end of its permanent consumers; here from the bottom up again. */
    cop_gen_stage_stop(ctx, c, cop_a(normal), 0);
    cop_gen_stage_stop(ctx, b, cop_a(normal), 0);
    cop_gen_stage_stop(ctx, a, cop_a(normal), 0);
}

/* ---- under a supervisor ---------------------------------------------------------------------------------------- */

static cop_started a_start(cop_ctx *ctx, cop_term first) {
    return cop_gen_stage_start_link(ctx, &a_stage, first, &(cop_start_opts){ .name = cop_a(a) });
}

static cop_started b_start(cop_ctx *ctx, cop_term name) {
    cop_term arg = cop_tuple(ctx, 2, cop_a(a));
    return cop_gen_stage_start_link(ctx, &b_stage, arg,
                                    &(cop_start_opts){ .name = (cop_atom){ name } });
}

static cop_started c_start(cop_ctx *ctx, cop_term reader) {
    cop_term arg = cop_tuple(ctx, reader, 100, cop_list(ctx, cop_a(b1), cop_a(b2)));
    return cop_gen_stage_start_link(ctx, &c_stage, arg, NULL);
}

/* The first batch that came from the stage of that name. */
static cop_term first_of(cop_ctx *ctx, cop_atom name) {
    cop_term producer = cop_process_whereis(ctx, name), message, from, batch;
    for (;;) {
        cop_receive(ctx, COP_INFINITY, &message);
        if (cop_match_tuple(message, cop_a(batch), &from, &batch) && cop_same(from, producer))
            return batch;
        cop_send(ctx, cop_self(ctx), message);
    }
}

static void supervised(cop_ctx *ctx) {
    const cop_child_spec children[] = {
        { .id = "a", .start = a_start, .arg = COP_INT(0) },
        { .id = "b1", .start = b_start, .arg = cop_a(b1).t },
        { .id = "b2", .start = b_start, .arg = cop_a(b2).t },
        { .id = "c", .start = c_start, .arg = cop_self(ctx).t },
    };
    /* rest_for_one: when A ends, all that depend on it start anew, in order. */
    cop_started sup = cop_supervisor_start_link(
        ctx, children, 4, &(cop_supervisor_opts){ .strategy = COP_REST_FOR_ONE });
    show(ctx, "C got from B1 ", first_of(ctx, cop_a(b1)));
    show(ctx, "C got from B2 ", first_of(ctx, cop_a(b2)));
    cop_supervisor_stop(ctx, sup.pid, cop_a(normal), 0);
}

static void pipeline_main(cop_ctx *ctx, cop_term arg) {
    by_hand(ctx);
    supervised(ctx);
}

int main(void) { return cop_run(NULL, pipeline_main); }
