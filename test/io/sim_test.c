/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The world outside, from within a simulation: ports work, and while one is open virtual time keeps to the
 * wall clock, so an answer that takes real time is not overtaken by its time-out.
 */
#include <coppice.h>
#include <coppice/test.h>
#include <time.h>

static void hello_over_tcp(cop_ctx *ctx) {
    static const cop_tcp_opts passive = { .active = COP_TCP_PASSIVE };
    cop_tcp_result listener = cop_gen_tcp_listen(ctx, 0, &passive);
    EXPECT(listener.ok);
    int port = cop_inet_port(ctx, listener.port);
    cop_tcp_result client = cop_gen_tcp_connect(ctx, "127.0.0.1", port, &passive, 10000);
    cop_tcp_result server = cop_gen_tcp_accept(ctx, listener.port, 10000);
    EXPECT(client.ok && server.ok);
    EXPECT_TERM(ctx, cop_gen_tcp_send(ctx, client.port, cop_of(ctx, "hello")), ":ok");
    EXPECT_TERM(ctx, cop_gen_tcp_recv(ctx, server.port, 5, 10000), "{:ok, \"hello\"}");
    int64_t before = cop_monotonic_ms(ctx);
    EXPECT_TERM(ctx, cop_gen_tcp_recv(ctx, server.port, 1, 20), "{:error, :timeout}");
    EXPECT(cop_monotonic_ms(ctx) - before >= 20);
    cop_gen_tcp_close(ctx, server.port);
    cop_gen_tcp_close(ctx, client.port);
    cop_gen_tcp_close(ctx, listener.port);
    cop_process_sleep(ctx, 86400 * INT64_C(1000)); /* and now it jumps again */
}

TEST_HOST(ports_work_under_simulation_and_hold_time_back) {
    time_t before = time(NULL);
    simulate(10, hello_over_tcp);
    EXPECT(time(NULL) - before < 25);
}

/* Each of its calls may be its last one. */
static void open_ports(cop_ctx *ctx, cop_term arg) {
    cop_gen_tcp_listen(ctx, 0, NULL);
    cop_gen_tcp_connect(ctx, "127.0.0.1", 1, NULL, 5000);
    cop_gen_udp_open(ctx, 0, &(cop_udp_opts){ .ip = "127.0.0.1" });
    cop_inet_getaddr(ctx, "localhost", COP_INET, 5000);
    cop_port_try_open(ctx, cop_tuple(ctx, cop_a(spawn_executable), "/bin/true"), NULL);
}

static void openers_are_killed(cop_ctx *ctx) {
    enum { OPENERS = 10 };
    cop_spawned opener[OPENERS];
    cop_term down;
    cop_sim_spare(ctx);
    for (int i = 0; i < OPENERS; i++)
        opener[i] = cop_spawn_monitor(ctx, open_ports, COP_NIL);
    for (int i = 0; i < OPENERS; i++)
        EXPECT(cop_receive_ref(ctx, COP_INFINITY, opener[i].ref, &down));
}

/* What they had in hand would be found by a leak checker. */
TEST_HOST(who_is_killed_while_it_opens_ports_leaves_nothing) {
    simulate(20, openers_are_killed, .faults = "kill=0.05");
}
