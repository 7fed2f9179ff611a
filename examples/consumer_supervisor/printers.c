/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process for each event, at most fifty at a time: ConsumerSupervisor behind a producer of numbers.
 *
 *     defmodule Consumer do
 *       use ConsumerSupervisor
 *       def init(_arg) do
 *         children = [%{id: Printer, start: {Printer, :start_link, []}, restart: :transient}]
 *         opts = [strategy: :one_for_one, subscribe_to: [{Producer, max_demand: 50}]]
 *         ConsumerSupervisor.init(children, opts)
 *       end
 *     end
 *     defmodule Printer do
 *       def start_link(event) do
 *         Task.start_link(fn -> IO.inspect({self(), event}) end)
 *       end
 *     end
 */
#include <coppice.h>
#include <stdio.h>

enum { NUMBERS = 200 };

/* ---- the producer: numbers as long as there are some ---------------------------------------------------- */

struct producer {
    int64_t next;
};

static cop_stage_init producer_init(cop_ctx *ctx, void *state, cop_term arg) {
    return cop_stage_producer();
}

static cop_stage_next producer_handle_demand(cop_ctx *ctx, void *state, int64_t demand) {
    struct producer *self = state;
    cop_events events;
    if (demand > NUMBERS - self->next)
        demand = NUMBERS - self->next;
    cop_term *at = cop_events_new(ctx, (size_t)demand, &events);
    for (int64_t i = 0; i < demand; i++)
        at[i] = cop_of(ctx, self->next++);
    return cop_stage_emit(events);
}

static const cop_gen_stage producer = {
    .name = "Producer",
    .state_size = sizeof(struct producer),
    .init = producer_init,
    .handle_demand = producer_handle_demand,
};

static cop_started producer_start_link(cop_ctx *ctx, cop_term arg) {
    return cop_gen_stage_start_link(ctx, &producer, arg,
                                    &(cop_start_opts){ .name = cop_as("Elixir.Producer") });
}

/* ---- the printer: one process for one event -------------------------------------------------------------- */

static cop_term print(cop_ctx *ctx, cop_term event) {
    char text[80];
    cop_inspect_to(text, sizeof text, cop_tuple(ctx, cop_self(ctx), event), NULL);
    printf("%s\n", text);
    cop_send(ctx, cop_a(main),
             cop_tuple(ctx, cop_a(printed), event)); /* so that the program ends */
    return cop_a(ok).t;
}

static cop_started printer_start_link(cop_ctx *ctx, cop_term event) {
    return cop_started_ok(cop_task_start_link(ctx, print, event));
}

/* ---- the consumer ------------------------------------------------------------------------------------------ */

static const cop_child_spec printer = {
    .id = "Elixir.Printer",
    .start = printer_start_link,
    .restart = COP_TRANSIENT,
};

static cop_term consumer_init(cop_ctx *ctx, cop_term arg) {
    cop_term to =
        cop_subscription(ctx, cop_as("Elixir.Producer"), &(cop_subscribe_opts){ .max_demand = 50 });
    cop_consumer_supervisor_opts opts = { .subscribe_to = cop_list(ctx, to) };
    return cop_consumer_supervisor_init(ctx, &printer, &opts);
}

static const cop_supervisor consumer = { "Consumer", consumer_init };

static cop_started consumer_start_link(cop_ctx *ctx, cop_term arg) {
    return cop_consumer_supervisor_start_link_module(ctx, &consumer, arg, NULL);
}

/* ---- the program --------------------------------------------------------------------------------------------- */

/* When the producer ends, so do its consumers: one_for_one would restart the producer alone. */
static const cop_child_spec children[] = {
    { .id = "producer", .start = producer_start_link, .module = "Producer" },
    { .id = "consumer",
      .start = consumer_start_link,
      .module = "Consumer",
      .type = COP_SUPERVISOR },
};

static void printers_main(cop_ctx *ctx, cop_term arg) {
    bool printed[NUMBERS] = { false };
    cop_process_register(ctx, cop_self(ctx), cop_a(main));
    cop_started tree = cop_supervisor_start_link(
        ctx, children, 2, &(cop_supervisor_opts){ .strategy = COP_REST_FOR_ONE });
    if (tree.is != COP_STARTED)
        cop_exit(ctx, tree.reason);
    for (int i = 0; i < NUMBERS; i++) {
        cop_term message;
        int64_t n = 0;
        cop_receive(ctx, COP_INFINITY, &message);
        if (!cop_match_tuple(message, cop_a(printed), &n) || n < 0 || n >= NUMBERS || printed[n])
            cop_exit(ctx, cop_tuple(ctx, cop_a(unexpected), message));
        printed[n] = true;
    }
    printf("each of %d numbers was printed once, by a process of its own\n", NUMBERS);
    cop_supervisor_stop(ctx, tree.pid, cop_a(normal), 0);
}

int main(void) { return cop_run(NULL, printers_main); }
