/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server that has work done by a task, one at a time, and survives when it fails:
 * Task.Supervisor.async_nolink in a GenServer. The task's messages come to handle_info:
 *
 *     def handle_info({ref, answer}, %{ref: ref} = state) do
 *       Process.demonitor(ref, [:flush])
 *       {:noreply, %{state | ref: nil}}
 *     end
 *     def handle_info({:DOWN, ref, :process, _pid, _reason}, %{ref: ref} = state) do
 *       {:noreply, %{state | ref: nil}}
 *     end
 */
#include <coppice.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TASKS cop_as("Elixir.MyApp.TaskSupervisor")

struct server {
    cop_ref ref;   /* of the task that runs; COP_NONE inside when none does */
    cop_pid asker; /* who is told how it went */
};

static cop_init server_init(cop_ctx *ctx, void *state, cop_term asker) {
    struct server *self = state;
    return cop_match(asker, &self->asker) ? cop_init_ok() : cop_init_stop(cop_a(badarg));
}

static cop_term divide(cop_ctx *ctx, cop_term by) {
    int64_t n = 0;
    cop_match(by, &n);
    if (n == 0)
        cop_exit(ctx, cop_a(division_by_zero));
    return cop_of(ctx, 84 / n);
}

static cop_next server_handle_call(cop_ctx *ctx, void *state, cop_term request, cop_from from) {
    struct server *self = state;
    cop_term by;
    if (!cop_match_tuple(request, cop_a(start_task), &by))
        return cop_bad_call(ctx, request);
    if (cop_is_none(self->ref.t)) /* else the task is already running, so we just return :ok */
        self->ref = cop_task_supervisor_async_nolink(ctx, TASKS, divide, by, NULL).ref;
    return cop_reply(ctx, cop_a(ok));
}

static cop_next server_handle_info(cop_ctx *ctx, void *state, cop_term message) {
    struct server *self = state;
    cop_term answer, pid, reason;
    if (cop_match_tuple(message, self->ref, &answer)) {
        /* The task completed. We do not care about its down message now. */
        cop_process_demonitor(ctx, self->ref, COP_DEMONITOR_FLUSH);
        cop_send(ctx, self->asker, cop_tuple(ctx, cop_a(ok), answer));
        self->ref = (cop_ref){ COP_NONE };
    } else if (cop_match_tuple(message, cop_as("DOWN"), self->ref, cop_a(process), &pid, &reason)) {
        /* The task failed. Here it could be started again. */
        cop_send(ctx, self->asker, cop_tuple(ctx, cop_a(error), reason));
        self->ref = (cop_ref){ COP_NONE };
    }
    return cop_noreply();
}

static const cop_gen_server server = {
    .name = "MyApp.Server",
    .state_size = sizeof(struct server),
    .state_terms = 2,
    .init = server_init,
    .handle_call = server_handle_call,
    .handle_info = server_handle_info,
};

static cop_started server_start_link(cop_ctx *ctx, cop_term asker) {
    return cop_gen_server_start_link(ctx, &server, asker,
                                     &(cop_start_opts){ .name = cop_a(server) });
}

static cop_started tasks_start_link(cop_ctx *ctx, cop_term arg) {
    return cop_task_supervisor_start_link(ctx, &(cop_dynamic_supervisor_opts){ .name = TASKS });
}

static void start_task(cop_ctx *ctx, int64_t by, const char *expected) {
    char text[100];
    cop_term message;
    cop_gen_server_call(ctx, cop_a(server), cop_tuple(ctx, cop_a(start_task), by), 0);
    cop_receive(ctx, COP_INFINITY, &message);
    cop_inspect_to(text, sizeof text, message, NULL);
    printf("84 / %lld: %s\n", (long long)by, text);
    cop_parse_error error;
    cop_term wanted;
    if (!cop_parse(ctx, expected, strlen(expected), &wanted, &error) || !cop_same(message, wanted))
        exit(1);
}

static void server_main(cop_ctx *ctx, cop_term arg) {
    cop_child_spec children[] = {
        { .id = "tasks", .start = tasks_start_link, .type = COP_SUPERVISOR },
        { .id = "server", .start = server_start_link, .arg = cop_self(ctx).t },
    };
    cop_started tree = cop_supervisor_start_link(ctx, children, 2, NULL);
    if (tree.is != COP_STARTED)
        cop_exit(ctx, tree.reason);
    start_task(ctx, 2, "{:ok, 42}");
    start_task(ctx, 0, "{:error, :division_by_zero}");
    start_task(ctx, 4, "{:ok, 21}");
    cop_supervisor_stop(ctx, tree.pid, cop_a(normal), 0);
}

int main(void) { return cop_run(NULL, server_main); }
