/* SPDX-License-Identifier: Apache-2.0 */
/* UDP ports: modes, addresses, bounds, owners. Message shapes and errors observed with OTP 25. */
#include <coppice.h>
#include <coppice/test.h>
#include <string.h>

#include "resolver.h"

static cop_port open_udp(cop_ctx *ctx, int active) {
    cop_udp_result r =
        cop_gen_udp_open(ctx, 0, &(cop_udp_opts){ .ip = "127.0.0.1", .active = active });
    EXPECT(r.ok);
    return r.port;
}

static cop_term loopback(cop_ctx *ctx) { return cop_tuple(ctx, 127, 0, 0, 1); }

TEST(a_datagram_comes_with_the_address_it_came_from, .real_time = true) {
    cop_port a = open_udp(ctx, COP_UDP_ACTIVE), b = open_udp(ctx, COP_UDP_PASSIVE);
    int to = cop_inet_port(ctx, a), from = cop_inet_port(ctx, b);
    EXPECT_TERM(ctx, cop_gen_udp_send(ctx, b, "127.0.0.1", to, cop_list(ctx, 'h', "i")), ":ok");
    cop_term message = ASSERT_RECEIVE(ctx, "{:udp, _, {127, 0, 0, 1}, _, \"hi\"}");
    EXPECT(cop_match(cop_elem(message, 1), a) && cop_match(cop_elem(message, 3), from));
    EXPECT_TERM(ctx, cop_gen_udp_send(ctx, a, cop_elem(message, 2), from, "back"), ":ok");
    EXPECT_TERM(ctx, cop_gen_udp_recv(ctx, b, 0, 5000), "{:ok, {{127, 0, 0, 1}, _, \"back\"}}");
}

TEST(once_and_a_count_deliver_so_many, .real_time = true) {
    cop_port a = open_udp(ctx, COP_UDP_ONCE), b = open_udp(ctx, COP_UDP_PASSIVE);
    int to = cop_inet_port(ctx, a);
    static const char *const words[] = { "1", "2", "3", "4" };
    for (int i = 0; i < 4; i++)
        cop_gen_udp_send(ctx, b, loopback(ctx), to, words[i]);
    ASSERT_RECEIVE(ctx, "{:udp, _, _, _, \"1\"}");
    EXPECT_TERM(ctx, cop_gen_udp_recv(ctx, a, 0, 5000), "{:ok, {_, _, \"2\"}}");
    cop_inet_set_active(ctx, a, 2);
    ASSERT_RECEIVE(ctx, "{:udp, _, _, _, \"3\"}");
    ASSERT_RECEIVE(ctx, "{:udp, _, _, _, \"4\"}");
    ASSERT_RECEIVE(ctx, "{:udp_passive, _}");
    cop_inet_set_active(ctx, a, COP_UDP_ACTIVE);
    EXPECT_TERM(ctx, cop_gen_udp_recv(ctx, a, 0, 5), "{:error, :einval}");
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

TEST(a_recv_that_timed_out_loses_nothing, .real_time = true) {
    cop_port a = open_udp(ctx, COP_UDP_PASSIVE), b = open_udp(ctx, COP_UDP_PASSIVE);
    EXPECT_TERM(ctx, cop_gen_udp_recv(ctx, a, 0, COP_ZERO), "{:error, :timeout}");
    EXPECT_TERM(ctx, cop_gen_udp_recv(ctx, a, 0, 5), "{:error, :timeout}");
    cop_gen_udp_send(ctx, b, loopback(ctx), cop_inet_port(ctx, a), "late");
    EXPECT_TERM(ctx, cop_gen_udp_recv(ctx, a, 0, 5000), "{:ok, {_, _, \"late\"}}");
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

TEST(names_are_looked_up_when_sending, .real_time = true) {
    cop_port a = open_udp(ctx, COP_UDP_ACTIVE);
    int to = cop_inet_port(ctx, a);
    EXPECT_TERM(ctx, cop_gen_udp_send(ctx, a, "one.test", to, "x"), ":ok");
    ASSERT_RECEIVE(ctx, "{:udp, _, {127, 0, 0, 1}, _, \"x\"}");
    EXPECT_TERM(ctx, cop_gen_udp_send(ctx, a, "none.test", to, "x"), "{:error, :nxdomain}");
}

TEST(what_cannot_be_sent_is_an_error, .real_time = true) {
    cop_port a = open_udp(ctx, COP_UDP_PASSIVE);
    int to = cop_inet_port(ctx, a);
    static char large[65508];
    EXPECT_TERM(ctx,
                cop_gen_udp_send(ctx, a, loopback(ctx), to, cop_binary(ctx, large, sizeof large)),
                "{:error, :emsgsize}");
    EXPECT_TERM(ctx, cop_gen_udp_send(ctx, a, loopback(ctx), 0, "x"), "{:error, :einval}");
    EXPECT_TERM(ctx, cop_gen_udp_send(ctx, a, "::1", to, "x"), "{:error, :eafnosupport}");
    EXPECT_TERM(ctx, cop_gen_udp_send_connected(ctx, a, cop_of(ctx, "x")), "{:error, :einval}");
    EXPECT_TERM(ctx, cop_gen_udp_send(ctx, a, cop_tuple(ctx, 1, 2), to, "x"), "{:error, :einval}");
    EXPECT_TERM(ctx, cop_gen_udp_send(ctx, a, "255.255.255.255", to, "x"), "{:error, :eacces}");
    EXPECT_ERROR(ctx, ":badarg") { cop_gen_udp_send(ctx, a, loopback(ctx), 70000, "x"); }
    EXPECT_TERM(ctx, cop_gen_tcp_send(ctx, a, cop_of(ctx, "x")), "{:error, :einval}");
}

TEST(an_empty_datagram_is_one, .real_time = true) {
    cop_port a = open_udp(ctx, COP_UDP_ACTIVE);
    EXPECT_TERM(ctx, cop_gen_udp_send(ctx, a, loopback(ctx), cop_inet_port(ctx, a), ""), ":ok");
    ASSERT_RECEIVE(ctx, "{:udp, _, _, _, \"\"}");
}

TEST(a_connected_socket_knows_its_peer, .real_time = true) {
    cop_port a = open_udp(ctx, COP_UDP_ACTIVE), b = open_udp(ctx, COP_UDP_PASSIVE);
    EXPECT_TERM(ctx, cop_inet_peername(ctx, b), "{:error, :enotconn}");
    EXPECT_TERM(ctx, cop_gen_udp_connect(ctx, b, loopback(ctx), cop_inet_port(ctx, a)), ":ok");
    EXPECT_SAME(ctx, cop_inet_peername(ctx, b), cop_inet_sockname(ctx, a));
    EXPECT_TERM(ctx, cop_gen_udp_send_connected(ctx, b, cop_of(ctx, "x")), ":ok");
    ASSERT_RECEIVE(ctx, "{:udp, _, _, _, \"x\"}");
    /* Nobody is there any more: the next send brings that back. */
    cop_gen_udp_close(ctx, a);
    EXPECT_TERM(ctx, cop_gen_udp_send_connected(ctx, b, cop_of(ctx, "y")), ":ok");
    EXPECT_TERM(ctx, cop_gen_udp_recv(ctx, b, 0, 5000), "{:error, :econnrefused}");
    cop_inet_set_active(ctx, b, COP_UDP_ACTIVE);
    EXPECT_TERM(ctx, cop_gen_udp_send_connected(ctx, b, cop_of(ctx, "z")), ":ok");
    ASSERT_RECEIVE(ctx, "{:udp_error, _, :econnrefused}");
}

TEST(a_port_number_is_taken_once_and_free_after_close, .real_time = true) {
    cop_port a = open_udp(ctx, COP_UDP_ACTIVE);
    cop_udp_opts here = { .ip = "127.0.0.1" };
    int number = cop_inet_port(ctx, a);
    cop_udp_result r = cop_gen_udp_open(ctx, number, &here);
    EXPECT(!r.ok);
    EXPECT_TERM(ctx, r.reason, ":eaddrinuse");
    cop_gen_udp_close(ctx, a);
    EXPECT(cop_gen_udp_open(ctx, number, &here).ok);
    r = cop_gen_udp_open(ctx, 0, &(cop_udp_opts){ .ip = "1.2.3.4" });
    EXPECT(!r.ok);
    EXPECT_TERM(ctx, r.reason, ":eaddrnotavail");
    r = cop_gen_udp_open(ctx, 0, &(cop_udp_opts){ .ip = "nowhere" });
    EXPECT(!r.ok);
    EXPECT_TERM(ctx, r.reason, ":einval");
}

TEST(ipv6_works_alike, .real_time = true) {
    cop_udp_result a = cop_gen_udp_open(ctx, 0, &(cop_udp_opts){ .ip = "::1" });
    if (!a.ok)
        test_skip("no IPv6 here");
    int number = cop_inet_port(ctx, a.port);
    EXPECT_TERM(ctx, cop_gen_udp_send(ctx, a.port, "six.test", number, "6"), ":ok");
    ASSERT_RECEIVE(ctx, "{:udp, _, {0, 0, 0, 0, 0, 0, 0, 1}, _, \"6\"}");
    EXPECT_TERM(ctx, cop_inet_sockname(ctx, a.port), "{:ok, {{0, 0, 0, 0, 0, 0, 0, 1}, _}}");
}

/* Nobody receives: the kernel keeps what fits in its buffer and throws the rest away, the port and the
   owner hold nothing. */
TEST(what_nobody_receives_is_dropped_and_counted, .real_time = true) {
    cop_udp_result r = cop_gen_udp_open(
        ctx, 0, &(cop_udp_opts){ .ip = "127.0.0.1", .active = COP_UDP_PASSIVE, .recbuf = 16384 });
    EXPECT(r.ok);
    cop_port a = r.port, b = open_udp(ctx, COP_UDP_PASSIVE);
    static char data[1000];
    int64_t drops, got = 0;
    cop_term value;
    for (int i = 0; i < 200; i++)
        cop_gen_udp_send(ctx, b, loopback(ctx), cop_inet_port(ctx, a),
                         cop_binary(ctx, data, sizeof data));
    cop_term info = cop_inet_info(ctx, a);
    EXPECT(cop_map_get(info, cop_a(drops).t, &value) && cop_get_i64(value, &drops));
    EXPECT(cop_map_get(info, cop_a(input).t, &value) && cop_match(value, 0));
    while (cop_match_tuple(cop_gen_udp_recv(ctx, a, 0, COP_ZERO), cop_a(ok), &value))
        got++;
    test_note("received %d, dropped %d", (int)got, (int)drops);
    if (drops == 0 && got < 200)
        test_skip("this kernel does not tell what it drops");
    EXPECT(drops > 0 && got > 0);
    EXPECT_INT(drops + got, 200);
}

static void own_and_wait(cop_ctx *ctx, cop_term to) {
    cop_term message;
    cop_send(ctx, to, open_udp(ctx, COP_UDP_ACTIVE));
    cop_receive(ctx, COP_INFINITY, &message);
}

TEST(a_socket_does_not_outlive_its_owner, .real_time = true) {
    cop_pid owner = cop_spawn(ctx, own_and_wait, cop_self(ctx).t);
    cop_term port = ASSERT_RECEIVE(ctx, "_");
    cop_port_monitor(ctx, port);
    cop_process_exit(ctx, owner, cop_a(shutdown));
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :port, _, :shutdown}");
}

TEST(an_exit_signal_ends_the_socket_and_its_link_tells, .real_time = true) {
    cop_port a = open_udp(ctx, COP_UDP_ACTIVE);
    test_trap_exit(ctx);
    cop_process_exit(ctx, a, cop_a(kill));
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :killed}");
    EXPECT_TERM(ctx, cop_gen_udp_send(ctx, a, loopback(ctx), 1, "x"), "{:error, :closed}");
    EXPECT_TERM(ctx, cop_gen_udp_recv(ctx, a, 0, 5000), "{:error, :closed}");
}

static void wait_in_recv(cop_ctx *ctx, cop_term arg) {
    cop_port port;
    cop_pid to;
    EXPECT(cop_match_tuple(arg, &to, &port));
    cop_send(ctx, to, cop_a(ready));
    cop_send(ctx, to, cop_gen_udp_recv(ctx, port, 0, 0));
}

/* One that waits and dies takes no datagram with it. */
TEST(a_dead_receiver_takes_nothing, .real_time = true) {
    cop_port a = open_udp(ctx, COP_UDP_PASSIVE);
    cop_pid other = cop_spawn(ctx, wait_in_recv, cop_tuple(ctx, cop_self(ctx), a));
    ASSERT_RECEIVE(ctx, ":ready");
    EXPECT_TERM(ctx, cop_gen_udp_recv(ctx, a, 0, 5), "{:error, :timeout}");
    cop_process_exit(ctx, other, cop_a(kill));
    test_await_down(ctx, other);
    EXPECT_TERM(ctx, cop_gen_udp_recv(ctx, a, 0, 5), "{:error, :timeout}");
    cop_gen_udp_send(ctx, a, loopback(ctx), cop_inet_port(ctx, a), "mine");
    EXPECT_TERM(ctx, cop_gen_udp_recv(ctx, a, 0, 5000), "{:ok, {_, _, \"mine\"}}");
}

static void pass_on(cop_ctx *ctx, cop_term to) {
    cop_term message;
    for (;;) {
        cop_receive(ctx, COP_INFINITY, &message);
        cop_send(ctx, to, cop_tuple(ctx, cop_a(got), message));
    }
}

TEST(another_process_becomes_the_owner_in_order, .real_time = true) {
    cop_port a = open_udp(ctx, COP_UDP_ACTIVE);
    cop_pid other = cop_spawn(ctx, pass_on, cop_self(ctx).t);
    int number = cop_inet_port(ctx, a);
    for (int i = 0; i < 20; i++) {
        char text[8] = { (char)('a' + i) };
        cop_gen_udp_send(ctx, a, loopback(ctx), number, (const char *)text);
        if (i == 10)
            EXPECT_TERM(ctx, cop_gen_udp_controlling_process(ctx, a, other), ":ok");
    }
    for (int i = 0; i < 20; i++) {
        cop_term message = ASSERT_RECEIVE(ctx, "{:got, {:udp, _, _, _, _}}"), data;
        char text[8] = { (char)('a' + i) };
        data = cop_elem(cop_elem(message, 1), 4);
        EXPECT(cop_match(data, (const char *)text));
    }
    EXPECT_TERM(ctx, cop_gen_udp_controlling_process(ctx, a, cop_self(ctx)),
                "{:error, :not_owner}");
}

static cop_term term_of(cop_ctx *ctx, const char *text) {
    cop_term t;
    EXPECT(cop_parse(ctx, text, strlen(text), &t, NULL));
    return t;
}

TEST(broadcast_and_multicast_options, .real_time = true) {
    cop_port a = open_udp(ctx, COP_UDP_PASSIVE);
    EXPECT_TERM(ctx,
                cop_inet_setopts(ctx, a,
                                 term_of(ctx, "[broadcast: true, multicast_ttl: 3, "
                                              "multicast_loop: false, ttl: 9]")),
                ":ok");
    EXPECT_TERM(ctx,
                cop_inet_getopts(
                    ctx, a, term_of(ctx, "[:broadcast, :multicast_ttl, :multicast_loop, :ttl]")),
                "{:ok, [broadcast: true, multicast_ttl: 3, multicast_loop: false, ttl: 9]}");
    EXPECT_TERM(ctx, cop_inet_setopts(ctx, a, term_of(ctx, "[packet: 2]")), "{:error, :einval}");
    EXPECT_TERM(ctx, cop_inet_setopts(ctx, a, term_of(ctx, "[add_membership: {1, 2}]")),
                "{:error, :einval}");
}

TEST(a_group_is_joined_and_left, .real_time = true) {
    cop_udp_result r = cop_gen_udp_open(ctx, 0, NULL);
    EXPECT(r.ok);
    cop_term joined =
        cop_inet_setopts(ctx, r.port,
                         term_of(ctx, "[add_membership: {{239, 1, 2, 3}, {127, 0, 0, 1}}, "
                                      "multicast_if: {127, 0, 0, 1}, multicast_loop: true]"));
    if (!cop_match(joined, cop_a(ok)))
        test_skip("no multicast here");
    int number = cop_inet_port(ctx, r.port);
    EXPECT_TERM(ctx, cop_gen_udp_send(ctx, r.port, "239.1.2.3", number, "all"), ":ok");
    ASSERT_RECEIVE(ctx, "{:udp, _, _, _, \"all\"}");
    EXPECT_TERM(ctx,
                cop_inet_setopts(ctx, r.port,
                                 term_of(ctx, "[drop_membership: {{239, 1, 2, 3}, "
                                              "{127, 0, 0, 1}}]")),
                ":ok");
}

enum { SENDERS = 20, EACH = 50 };

static void send_many(cop_ctx *ctx, cop_term number) {
    int to;
    EXPECT(cop_get_int(number, &to));
    cop_port port = open_udp(ctx, COP_UDP_PASSIVE);
    for (int i = 0; i < EACH; i++) {
        EXPECT_TERM(ctx, cop_gen_udp_send(ctx, port, loopback(ctx), to, "ping"), ":ok");
        EXPECT_TERM(ctx, cop_gen_udp_recv(ctx, port, 0, 5000), "{:ok, {_, _, \"pong\"}}");
    }
}

TEST(many_sockets_talk_to_one, .real_time = true, .timeout_s = 60) {
    cop_port server = open_udp(ctx, 100);
    cop_term number = cop_of(ctx, cop_inet_port(ctx, server)), ip, data;
    int from;
    for (int i = 0; i < SENDERS; i++)
        cop_spawn_link(ctx, send_many, number);
    for (int i = 0; i < SENDERS * EACH; i++) {
        cop_term message = ASSERT_RECEIVE(ctx, "{:udp, _, _, _, _}");
        EXPECT(cop_match_tuple(message, cop_a(udp), server, &ip, &from, &data));
        EXPECT_TERM(ctx, cop_gen_udp_send(ctx, server, ip, from, "pong"), ":ok");
        if (i % 100 == 99) {
            ASSERT_RECEIVE(ctx, "{:udp_passive, _}");
            cop_inet_set_active(ctx, server, 100);
        }
    }
    EXPECT_TERM(ctx, cop_inet_getstat(ctx, server),
                "{:ok, [recv_oct: 4000, recv_cnt: 1000, recv_max: 4, recv_avg: 4, recv_dvi: 0, "
                "send_oct: 4000, send_cnt: 1000, send_max: 4, send_avg: 4, send_pend: 0]}");
}
