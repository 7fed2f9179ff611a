/* SPDX-License-Identifier: Apache-2.0 */
/* The README's counter as a whole program: a server under a supervisor, used, crashed, used again. */
#include <coppice.h>
#include <stdio.h>

struct counter {
    int64_t count;
};

static cop_init counter_init(cop_ctx *ctx, void *state, cop_term arg) {
    struct counter *self = state;
    return cop_match(arg, &self->count) ? cop_init_ok() : cop_init_stop(cop_a(badarg));
}

static cop_next counter_handle_call(cop_ctx *ctx, void *state, cop_term request, cop_from from) {
    struct counter *self = state;
    int64_t by;
    if (cop_match_tuple(request, cop_a(add), &by))
        return cop_reply(ctx, self->count += by);
    if (cop_match(request, cop_a(crash)))
        *(volatile int *)(uintptr_t)(self->count * 0) = 1; /* what C programs do on bad days */
    return cop_bad_call(ctx, request);
}

static const cop_gen_server counter_server = {
    .name = "Counter",
    .state_size = sizeof(struct counter),
    .init = counter_init,
    .handle_call = counter_handle_call,
};

static cop_started counter_start_link(cop_ctx *ctx, cop_term first) {
    return cop_gen_server_start_link(ctx, &counter_server, first,
                                     &(cop_start_opts){ .name = cop_a(counter) });
}

static const cop_child_spec children[] = {
    { .id = "counter", .start = counter_start_link, .arg = COP_INT(40), .module = "Counter" },
};

static int64_t add(cop_ctx *ctx, int64_t by) {
    int64_t count = 0;
    cop_match(cop_gen_server_call(ctx, cop_a(counter), cop_tuple(ctx, cop_a(add), by), 0), &count);
    return count;
}

static void counter_main(cop_ctx *ctx, cop_term arg) {
    cop_started sup = cop_supervisor_start_link(ctx, children, 1, NULL);
    if (sup.is != COP_STARTED)
        cop_exit(ctx, sup.reason);
    printf("the count is %lld\n", (long long)add(ctx, 2));
    cop_called called = cop_gen_server_try_call(ctx, cop_a(counter), cop_a(crash), 0);
    printf("the server %s\n", called.ok ? "answered" : "crashed; its supervisor starts it again");
    while (cop_is_none(cop_process_whereis(ctx, cop_a(counter))))
        cop_yield(ctx); /* the name is free until the next one has it */
    printf("the count is %lld\n", (long long)add(ctx, 2));
    cop_supervisor_stop(ctx, sup.pid, cop_a(normal), 0);
}

int main(void) { return cop_run(NULL, counter_main); }
