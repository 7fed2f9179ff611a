/* SPDX-License-Identifier: Apache-2.0 */
/* Names, addresses, and what is asked of sockets. Answers observed with OTP 25's inet. */
#include <coppice.h>
#include <coppice/test.h>

#include "resolver.h"

/* ---- text ------------------------------------------------------------------------------------------------ */

struct text_case {
    const char *text;
    const char *any, *strict, *ipv4, *ipv6;
};

#define EINVAL_TERM "{:error, :einval}"

/* observed: inet:parse_address/1 and its like, OTP 25 */
static const struct text_case texts[] = {
    { "127.0.0.1", "{:ok, {127, 0, 0, 1}}", "{:ok, {127, 0, 0, 1}}", "{:ok, {127, 0, 0, 1}}",
      "{:ok, {0, 0, 0, 0, 0, 65535, 32512, 1}}" },
    { "127.1", "{:ok, {127, 0, 0, 1}}", EINVAL_TERM, "{:ok, {127, 0, 0, 1}}",
      "{:ok, {0, 0, 0, 0, 0, 65535, 32512, 1}}" },
    { "0x7f.1", "{:ok, {127, 0, 0, 1}}", EINVAL_TERM, "{:ok, {127, 0, 0, 1}}",
      "{:ok, {0, 0, 0, 0, 0, 65535, 32512, 1}}" },
    { "017.1", "{:ok, {15, 0, 0, 1}}", EINVAL_TERM, "{:ok, {15, 0, 0, 1}}",
      "{:ok, {0, 0, 0, 0, 0, 65535, 3840, 1}}" },
    { "1", "{:ok, {0, 0, 0, 1}}", EINVAL_TERM, "{:ok, {0, 0, 0, 1}}",
      "{:ok, {0, 0, 0, 0, 0, 65535, 0, 1}}" },
    { "4294967295", "{:ok, {255, 255, 255, 255}}", EINVAL_TERM, "{:ok, {255, 255, 255, 255}}",
      "{:ok, {0, 0, 0, 0, 0, 65535, 65535, 65535}}" },
    { "1.65536", "{:ok, {1, 1, 0, 0}}", EINVAL_TERM, "{:ok, {1, 1, 0, 0}}",
      "{:ok, {0, 0, 0, 0, 0, 65535, 257, 0}}" },
    { "1.2.3.04", "{:ok, {1, 2, 3, 4}}", EINVAL_TERM, "{:ok, {1, 2, 3, 4}}",
      "{:ok, {0, 0, 0, 0, 0, 65535, 258, 772}}" },
    { "::", "{:ok, {0, 0, 0, 0, 0, 0, 0, 0}}", "{:ok, {0, 0, 0, 0, 0, 0, 0, 0}}", EINVAL_TERM,
      "{:ok, {0, 0, 0, 0, 0, 0, 0, 0}}" },
    { "::ffff:1.2.3.4", "{:ok, {0, 0, 0, 0, 0, 65535, 258, 772}}",
      "{:ok, {0, 0, 0, 0, 0, 65535, 258, 772}}", EINVAL_TERM,
      "{:ok, {0, 0, 0, 0, 0, 65535, 258, 772}}" },
    { "fe80::1%lo", "{:ok, {65152, 0, 0, 0, 0, 0, 0, 1}}", "{:ok, {65152, 0, 0, 0, 0, 0, 0, 1}}",
      EINVAL_TERM, "{:ok, {65152, 0, 0, 0, 0, 0, 0, 1}}" },
    { "1:2:3:4:5:6:7:8", "{:ok, {1, 2, 3, 4, 5, 6, 7, 8}}", "{:ok, {1, 2, 3, 4, 5, 6, 7, 8}}",
      EINVAL_TERM, "{:ok, {1, 2, 3, 4, 5, 6, 7, 8}}" },
};

TEST(addresses_are_read_as_erlang_reads_them) {
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const struct text_case *c = &texts[i];
        test_note("%s", c->text);
        EXPECT_TERM(ctx, cop_inet_parse_address(ctx, c->text), c->any);
        EXPECT_TERM(ctx, cop_inet_parse_strict_address(ctx, c->text), c->strict);
        EXPECT_TERM(ctx, cop_inet_parse_ipv4_address(ctx, c->text), c->ipv4);
        EXPECT_TERM(ctx, cop_inet_parse_ipv6_address(ctx, c->text), c->ipv6);
    }
}

TEST(what_is_no_address_is_einval) {
    static const char *const bad[] = { "",         "256.1.1.1",     "1.2.3.4.5", "1::2::3",
                                       "1.2.3.4 ", " 1.2.3.4",      "1.2.3.",    "4294967296",
                                       "g",        "1:2:3:4:5:6:7", "12345::",   "08.1.1.1",
                                       "[::1]",    "::1.2.3",       "1..2",      "0x" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        test_note("%s", bad[i]);
        EXPECT_TERM(ctx, cop_inet_parse_address(ctx, bad[i]), EINVAL_TERM);
    }
}

static cop_term term_of(cop_ctx *ctx, const char *text) {
    cop_term t;
    EXPECT(cop_parse(ctx, text, strlen(text), &t, NULL));
    return t;
}

TEST(addresses_are_written_as_erlang_writes_them) {
    EXPECT_TERM(ctx, cop_inet_ntoa(ctx, term_of(ctx, "{127, 0, 0, 1}")), "\"127.0.0.1\"");
    EXPECT_TERM(ctx, cop_inet_ntoa(ctx, term_of(ctx, "{0, 0, 0, 0, 0, 0, 0, 1}")), "\"::1\"");
    EXPECT_TERM(ctx, cop_inet_ntoa(ctx, term_of(ctx, "{0, 0, 0, 0, 0, 65535, 32512, 1}")),
                "\"::ffff:127.0.0.1\"");
    EXPECT_TERM(ctx, cop_inet_ntoa(ctx, term_of(ctx, "{1, 0, 0, 4, 0, 0, 0, 8}")),
                "\"1:0:0:4::8\"");
    EXPECT_TERM(ctx, cop_inet_ntoa(ctx, term_of(ctx, "{1, 2, 3}")), EINVAL_TERM);
    EXPECT_TERM(ctx, cop_inet_ntoa(ctx, term_of(ctx, "{256, 0, 0, 1}")), EINVAL_TERM);
    EXPECT_TERM(ctx, cop_inet_ntoa(ctx, cop_a(localhost).t), EINVAL_TERM);
}

/* ---- names ------------------------------------------------------------------------------------------------- */

TEST(names_are_looked_up, .real_time = true) {
    EXPECT_TERM(ctx, cop_inet_getaddr(ctx, "one.test", COP_INET, 5000), "{:ok, {127, 0, 0, 1}}");
    EXPECT_TERM(ctx, cop_inet_getaddr(ctx, cop_as("one.test"), COP_INET, 0),
                "{:ok, {127, 0, 0, 1}}");
    EXPECT_TERM(ctx, cop_inet_getaddr(ctx, cop_charlist(ctx, "one.test"), COP_INET, 0),
                "{:ok, {127, 0, 0, 1}}");
    EXPECT_TERM(ctx, cop_inet_getaddrs(ctx, "many.test", COP_INET, 5000),
                "{:ok, [{127, 0, 0, 2}, {127, 0, 0, 1}]}");
    EXPECT_TERM(ctx, cop_inet_getaddr(ctx, "six.test", COP_INET6, 5000),
                "{:ok, {0, 0, 0, 0, 0, 0, 0, 1}}");
    EXPECT_TERM(ctx, cop_inet_getaddr(ctx, "six.test", COP_INET, 5000), "{:error, :nxdomain}");
    EXPECT_TERM(ctx, cop_inet_getaddr(ctx, "none.test", COP_INET, 5000), "{:error, :nxdomain}");
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

TEST(a_numeric_host_needs_no_look_up, .real_time = true) {
    EXPECT_TERM(ctx, cop_inet_getaddr(ctx, "127.0.0.1", COP_INET, 0), "{:ok, {127, 0, 0, 1}}");
    EXPECT_TERM(ctx, cop_inet_getaddr(ctx, "127.0.0.1", COP_INET6, 0), "{:error, :nxdomain}");
    EXPECT_TERM(ctx, cop_inet_getaddr(ctx, term_of(ctx, "{127, 0, 0, 1}"), COP_INET6, 0),
                "{:error, :eafnosupport}");
    EXPECT_TERM(ctx, cop_inet_getaddr(ctx, cop_a(loopback), COP_INET6, 0),
                "{:ok, {0, 0, 0, 0, 0, 0, 0, 1}}");
    EXPECT_TERM(ctx, cop_inet_getaddr(ctx, "", COP_INET, 0), EINVAL_TERM);
    EXPECT_TERM(ctx, cop_inet_getaddr(ctx, 17, COP_INET, 0), EINVAL_TERM);
}

/* Others run while a name is looked up: this test has one scheduler only. */
static void count_up(cop_ctx *ctx, cop_term to) {
    for (int i = 0; i < 100; i++)
        cop_yield(ctx);
    cop_send(ctx, to, cop_a(counted));
    resolver_release();
}

TEST(a_look_up_holds_nobody_else, .real_time = true, .schedulers = 1) {
    cop_spawn(ctx, count_up, cop_self(ctx).t);
    EXPECT_TERM(ctx, cop_inet_getaddr(ctx, "slow.test", COP_INET, 0), "{:ok, {127, 0, 0, 1}}");
    ASSERT_RECEIVE_IN(ctx, ":counted", 0);
}

TEST(a_look_up_that_takes_too_long_leaves_nothing, .real_time = true) {
    test_trap_exit(ctx);
    EXPECT_TERM(ctx, cop_inet_getaddr(ctx, "slow.test", COP_INET, 10), "{:error, :timeout}");
    resolver_release();
    EXPECT_TERM(ctx, cop_inet_getaddr(ctx, "one.test", COP_INET, 0), "{:ok, {127, 0, 0, 1}}");
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
    EXPECT_TERM(ctx, cop_process_info(ctx, cop_self(ctx), cop_a(links)), "[]");
    EXPECT_TERM(ctx, cop_process_info(ctx, cop_self(ctx), cop_a(monitors)), "[]");
}

static void look_up_slowly(cop_ctx *ctx, cop_term arg) {
    cop_inet_getaddr(ctx, "slow.test", COP_INET, 0);
}

TEST(whoever_asked_may_end_meanwhile, .real_time = true) {
    cop_pid pid = cop_spawn(ctx, look_up_slowly, COP_NIL);
    cop_process_exit(ctx, pid, cop_a(kill));
    EXPECT_TERM(ctx, test_await_down(ctx, pid), "_");
    resolver_release();
    EXPECT_TERM(ctx, cop_inet_getaddr(ctx, "one.test", COP_INET, 0), "{:ok, {127, 0, 0, 1}}");
}

/* ---- sockets ----------------------------------------------------------------------------------------------------- */

struct pair {
    cop_port listener, client, server;
};

static struct pair connect_pair(cop_ctx *ctx, const cop_tcp_opts *opts) {
    cop_tcp_result listener = cop_gen_tcp_listen(ctx, 0, opts);
    EXPECT(listener.ok);
    cop_tcp_result client = cop_gen_tcp_connect(ctx, "127.0.0.1", cop_inet_port(ctx, listener.port),
                                                &(cop_tcp_opts){ .active = COP_TCP_PASSIVE }, 5000);
    EXPECT(client.ok);
    cop_tcp_result server = cop_gen_tcp_accept(ctx, listener.port, 5000);
    EXPECT(server.ok);
    return (struct pair){ listener.port, client.port, server.port };
}

TEST(both_ends_have_names, .real_time = true) {
    struct pair p = connect_pair(ctx, NULL);
    EXPECT_SAME(ctx, cop_inet_peername(ctx, p.client), cop_inet_sockname(ctx, p.server));
    EXPECT_SAME(ctx, cop_inet_peername(ctx, p.server), cop_inet_sockname(ctx, p.client));
    EXPECT_TERM(ctx, cop_inet_sockname(ctx, p.listener), "{:ok, {{127, 0, 0, 1}, _}}");
    EXPECT_TERM(ctx, cop_inet_peername(ctx, p.listener), "{:error, :enotconn}");
}

TEST(traffic_is_counted_at_both_ends, .real_time = true) {
    struct pair p = connect_pair(ctx, NULL);
    cop_gen_tcp_send(ctx, p.client, cop_of(ctx, "0123456789"));
    cop_gen_tcp_send(ctx, p.client, cop_of(ctx, "0123"));
    EXPECT_TERM(ctx, cop_gen_tcp_recv(ctx, p.server, 14, 5000), "{:ok, _}");
    EXPECT_TERM(ctx, cop_inet_getstat(ctx, p.client),
                "{:ok, [recv_oct: 0, recv_cnt: 0, recv_max: 0, recv_avg: 0, recv_dvi: 0, "
                "send_oct: 14, send_cnt: 2, send_max: 10, send_avg: 7, send_pend: 0]}");
    EXPECT_TERM(ctx, cop_inet_getstat(ctx, p.server),
                "{:ok, [recv_oct: 14, recv_cnt: 1, recv_max: 14, recv_avg: 14, recv_dvi: 0, "
                "send_oct: 0, send_cnt: 0, send_max: 0, send_avg: 0, send_pend: 0]}");
}

TEST(options_are_set_and_read_by_name, .real_time = true) {
    struct pair p = connect_pair(ctx, NULL);
    EXPECT_TERM(ctx,
                cop_inet_setopts(ctx, p.server,
                                 term_of(ctx, "[keepalive: true, nodelay: false, packet: 2, "
                                              "packet_size: 100, send_timeout: 7, active: :once]")),
                ":ok");
    EXPECT_TERM(ctx,
                cop_inet_getopts(ctx, p.server,
                                 term_of(ctx, "[:keepalive, :nodelay, :packet, :packet_size, "
                                              ":send_timeout, :active, :exit_on_close, :linger]")),
                "{:ok, [keepalive: true, nodelay: false, packet: 2, packet_size: 100, "
                "send_timeout: 7, active: :once, exit_on_close: true, linger: {false, 0}]}");
    EXPECT_TERM(ctx, cop_inet_setopts(ctx, p.server, term_of(ctx, "[foo: 1]")), EINVAL_TERM);
    EXPECT_TERM(ctx, cop_inet_setopts(ctx, p.server, term_of(ctx, "[nodelay: 1]")), EINVAL_TERM);
    EXPECT_TERM(ctx, cop_inet_setopts(ctx, p.server, term_of(ctx, "[broadcast: true]")),
                EINVAL_TERM);
    EXPECT_TERM(ctx, cop_inet_setopts(ctx, p.server, cop_a(nodelay).t), EINVAL_TERM);
    EXPECT_TERM(ctx, cop_inet_getopts(ctx, p.server, term_of(ctx, "[:foo]")), EINVAL_TERM);
}

/* observed: OTP 25, inet:setopts(S, [{active, N}]) */
TEST(an_active_count_is_added_to, .real_time = true) {
    struct pair p = connect_pair(ctx, NULL);
    cop_term active = term_of(ctx, "[:active]");
    EXPECT_TERM(ctx, cop_inet_setopts(ctx, p.server, term_of(ctx, "[active: 3]")), ":ok");
    EXPECT_TERM(ctx, cop_inet_setopts(ctx, p.server, term_of(ctx, "[active: 4]")), ":ok");
    EXPECT_TERM(ctx, cop_inet_getopts(ctx, p.server, active), "{:ok, [active: 7]}");
    EXPECT_TERM(ctx, cop_inet_setopts(ctx, p.server, term_of(ctx, "[active: 32768]")), EINVAL_TERM);
    EXPECT_TERM(ctx, cop_inet_setopts(ctx, p.server, term_of(ctx, "[active: -7]")), ":ok");
    ASSERT_RECEIVE(ctx, "{:tcp_passive, _}");
    EXPECT_TERM(ctx, cop_inet_getopts(ctx, p.server, active), "{:ok, [active: false]}");
}

TEST(a_closed_socket_answers_every_question, .real_time = true) {
    struct pair p = connect_pair(ctx, NULL);
    cop_port_monitor(ctx, p.server);
    cop_gen_tcp_close(ctx, p.server);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :port, _, :normal}");
    EXPECT_INT(cop_inet_port(ctx, p.server), -1);
    EXPECT_TERM(ctx, cop_inet_sockname(ctx, p.server), "{:error, :closed}");
    EXPECT_TERM(ctx, cop_inet_getstat(ctx, p.server), EINVAL_TERM);
    EXPECT_TERM(ctx, cop_inet_setopts(ctx, p.server, COP_NIL), EINVAL_TERM);
    EXPECT_TERM(ctx, cop_inet_info(ctx, p.server), ":undefined");
    cop_inet_set_active(ctx, p.server, COP_TCP_ONCE);
    cop_inet_set_packet(ctx, p.server, COP_PACKET_2);
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

static void look_up_and_tell(cop_ctx *ctx, cop_term to) {
    cop_send(ctx, to, cop_a(ready));
    cop_inet_getaddr(ctx, "slow.test", COP_INET, 0);
}

TEST_HOST(a_node_stops_while_names_are_looked_up) {
    for (int i = 0; i < 20; i++) {
        cop_term message;
        EXPECT_INT(cop_node_start(NULL), 0);
        ctx = cop_attach();
        for (int k = 0; k < 6; k++) /* more than there are threads for it */
            cop_spawn(ctx, look_up_and_tell, cop_self(ctx).t);
        for (int k = 0; k < 6; k++)
            EXPECT(cop_receive(ctx, 5000, &message));
        cop_detach(ctx);
        for (int k = 0; k < 6; k++) /* those that were not begun are cancelled */
            resolver_release();
        EXPECT_INT(cop_node_stop(), 0);
        while (sem_trywait(&resolver_gate) == 0)
            ;
    }
}
