/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The listener: owns the listening socket, and gives every connection a process.
 *
 * The process is started by the supervisor of connections, as a temporary child: it is stopped with
 * the service and never restarted. Then the socket becomes its own, and it is told to begin. A
 * listener that is restarted listens on the port that the kernel picked for the first one.
 */
#include <stdio.h>

#include "kv.h"

static cop_port open_socket(cop_ctx *ctx) {
    int known = atomic_load(&kv_counters.bound_port);
    int wanted = known != 0 ? known : kv_config.port;
    cop_tcp_result result = cop_gen_tcp_listen(ctx, wanted, &(cop_tcp_opts){ .backlog = 4096 });
    if (!result.ok) {
        cop_logger_write(ctx, COP_LEVEL_ERROR, "cannot listen on 127.0.0.1:%d", wanted);
        cop_proc_lib_init_fail(ctx, cop_started_error(result.reason), result.reason);
    }
    int port = cop_inet_port(ctx, result.port);
    if (known == 0) {
        atomic_store(&kv_counters.bound_port, port);
        printf("listening on 127.0.0.1:%d\n", port);
        fflush(stdout);
    }
    return result.port;
}

static void refuse(cop_ctx *ctx, cop_port port) {
    atomic_fetch_add(&kv_counters.refused, 1);
    cop_gen_tcp_send(ctx, port, cop_of(ctx, "-ERR max number of clients reached\r\n"));
    cop_gen_tcp_close(ctx, port);
}

static void hand_over(cop_ctx *ctx, cop_port port) {
    static uint64_t last_id;
    cop_pid pid;
    atomic_fetch_add(&kv_counters.accepted, 1);
    const cop_child_spec spec = {
        .id_term = cop_of(ctx, ++last_id),
        .start = connection_start_link,
        .arg = port.t,
        .module = "Connection",
        .restart = COP_TEMPORARY,
    };
    cop_term started = cop_supervisor_start_child(ctx, cop_a(connections).t, &spec);
    if (!cop_match_tuple(started, cop_a(ok), &pid)) {
        refuse(ctx, port);
        return;
    }
    cop_gen_tcp_controlling_process(ctx, port, pid);
    cop_gen_server_cast(ctx, pid, cop_a(start));
}

static void listen_for_ever(cop_ctx *ctx, cop_term arg) {
    cop_port listener = open_socket(ctx);
    cop_proc_lib_init_ack(ctx, cop_started_ok(cop_self(ctx)));
    for (;;)
        COP_SCOPE(ctx) {
            cop_tcp_result accepted = cop_gen_tcp_accept(ctx, listener, COP_INFINITY);
            if (!accepted.ok)
                cop_exit(ctx, cop_tuple(ctx, cop_a(accept), accepted.reason));
            hand_over(ctx, accepted.port);
        }
}

cop_started listener_start_link(cop_ctx *ctx, cop_term arg) {
    return cop_proc_lib_start_link(
        ctx, listen_for_ever, arg,
        &(cop_start_opts){ .name = cop_a(listener), .initial_call = "Listener" });
}
