/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a server can do, one thing after another: answer a second later, go on after init, time out,
 * monitor, and be looked into by sys. The time is that of the node, so under simulation the seconds
 * pass at once. docs/guides/gen_server.md explains each.
 */
#include <coppice.h>
#include <stdio.h>

struct server {
    cop_term state;   /* the first words are terms: .state_terms = 2 */
    cop_term waiting; /* the caller who is answered later */
};

static void show(cop_ctx *ctx, const char *what, cop_term term) {
    char text[1000];
    cop_inspect_to(text, sizeof text, term, NULL);
    printf("%s: %s\n", what, text);
}

static cop_init server_init(cop_ctx *ctx, void *state, cop_term arg) {
    struct server *self = state;
    self->state = arg;
    self->waiting = COP_NIL;
    /* Whoever started it goes on now; nothing gets in front of the continue. */
    return cop_then_continue(cop_init_ok(), cop_a(more_work));
}

static cop_next server_handle_continue(cop_ctx *ctx, void *state, cop_term with) {
    show(ctx, "continue", with);
    return cop_noreply();
}

static cop_next server_handle_call(cop_ctx *ctx, void *state, cop_term request, cop_from from) {
    struct server *self = state;
    cop_pid pid;
    if (cop_match(request, cop_a(reply_in_one_second))) {
        cop_process_send_after(ctx, cop_self(ctx), cop_tuple(ctx, cop_a(reply), from), 1000);
        return cop_noreply();
    }
    if (cop_match(request, cop_a(wake_me))) {
        self->waiting = from.t;
        return cop_then_timeout(cop_noreply(), 50);
    }
    if (cop_match_tuple(request, cop_a(watch), &pid)) {
        self->waiting = from.t;
        cop_process_monitor(ctx, pid);
        return cop_noreply();
    }
    if (cop_match(request, cop_a(bye)))
        return cop_stop_reply(ctx, cop_a(normal), self->state);
    return cop_bad_call(ctx, request);
}

static cop_next server_handle_info(cop_ctx *ctx, void *state, cop_term message) {
    struct server *self = state;
    cop_term from, object, reason, any;
    if (cop_match_tuple(message, cop_a(reply), &from))
        cop_gen_server_reply(ctx, (cop_from){ from }, cop_a(one_second_has_passed));
    else if (cop_match(message, cop_a(timeout)))
        cop_gen_server_reply(ctx, self->waiting, message);
    else if (cop_match_tuple(message, cop_as("DOWN"), &any, cop_a(process), &object, &reason))
        cop_gen_server_reply(ctx, self->waiting, cop_tuple(ctx, cop_a(down), reason));
    return cop_noreply();
}

static void server_terminate(cop_ctx *ctx, void *state, cop_term reason) {
    show(ctx, "terminate", reason);
}

static cop_term server_to_term(cop_ctx *ctx, const void *state) {
    return ((const struct server *)state)->state;
}

static bool server_from_term(cop_ctx *ctx, void *state, cop_term term) {
    ((struct server *)state)->state = term;
    return true;
}

static const cop_gen_server server = {
    .name = "Server",
    .state_size = sizeof(struct server),
    .state_terms = 2,
    .init = server_init,
    .handle_call = server_handle_call,
    .handle_info = server_handle_info,
    .handle_continue = server_handle_continue,
    .terminate = server_terminate,
    .state_to_term = server_to_term,
    .state_from_term = server_from_term,
};

static void ends_as_told(cop_ctx *ctx, cop_term arg) {
    cop_term message;
    cop_receive(ctx, COP_INFINITY, &message);
    cop_exit(ctx, message);
}

/* The status without what is different each time. */
static void show_status(cop_ctx *ctx, cop_pid pid) {
    cop_term list = cop_elem(cop_sys_get_status(ctx, pid, 0), 3), debug, misc, any;
    for (int i = 0; i < 3; i++)
        cop_get_cons(list, &any, &list);
    cop_get_cons(list, &debug, &list);
    cop_get_cons(list, &misc, &list);
    show(ctx, "debug options", cop_bool(cop_is_cons(debug)).t);
    show(ctx, "state in the status", cop_tail(cop_tail(misc)));
}

static cop_term first_state(cop_ctx *ctx, cop_term arg) { return arg; }
static cop_term add(cop_ctx *ctx, cop_term state, cop_term by) {
    int64_t a = 0, b = 0;
    cop_get_i64(state, &a);
    cop_get_i64(by, &b);
    return cop_of(ctx, a + b);
}

static void agent_and_statistics(cop_ctx *ctx) {
    cop_term one = cop_agent_fun(ctx, add, COP_INT(1)), counts;
    cop_pid agent =
        cop_agent_start_link(ctx, cop_agent_init_fun(ctx, first_state, COP_INT(1)), NULL).pid;
    cop_agent_update(ctx, agent, one, 0);
    show(ctx, "statistics", cop_sys_statistics(ctx, agent, cop_a(get), 0));
    cop_sys_statistics(ctx, agent, cop_a(true), 0);
    cop_agent_update(ctx, agent, one, 0);
    counts = cop_elem(cop_sys_statistics(ctx, agent, cop_a(get), 0), 1);
    for (int i = 0; i < 3; i++) /* times and reductions */
        counts = cop_tail(counts);
    show(ctx, "statistics", counts);
    cop_sys_no_debug(ctx, agent, 0);
    show(ctx, "agent", cop_sys_get_state(ctx, agent, 0));
    cop_agent_stop(ctx, agent, cop_a(normal), 0);
}

static void server_main(cop_ctx *ctx, cop_term arg) {
    cop_pid pid = cop_gen_server_start_link(ctx, &server, COP_INT(4), NULL).pid;
    show(ctx, "call", cop_gen_server_call(ctx, pid, cop_a(reply_in_one_second), 0));
    show(ctx, "call", cop_gen_server_call(ctx, pid, cop_a(wake_me), 0));
    cop_pid other = cop_spawn(ctx, ends_as_told, COP_NIL);
    cop_process_send_after(ctx, other, cop_a(tired), 50);
    show(ctx, "call", cop_gen_server_call(ctx, pid, cop_tuple(ctx, cop_a(watch), other), 0));
    show(ctx, "state", cop_sys_get_state(ctx, pid, 0));
    show_status(ctx, pid);
    cop_sys_suspend(ctx, pid, 0);
    cop_sys_resume(ctx, pid, 0);
    agent_and_statistics(ctx);
    show(ctx, "call", cop_gen_server_call(ctx, pid, cop_a(bye), 0));
}

int main(void) { return cop_run(NULL, server_main); }
