/* SPDX-License-Identifier: Apache-2.0 */
/* TCP ports: modes, packets, back-pressure, owners, closing. Message shapes are OTP's inet's. */
#include <coppice.h>
#include <coppice/test.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "resolver.h"

struct pair {
    cop_port listener, client, server;
};

static cop_port listen_on(cop_ctx *ctx, const cop_tcp_opts *opts) {
    cop_tcp_result r = cop_gen_tcp_listen(ctx, 0, opts);
    EXPECT(r.ok);
    return r.port;
}

/* A connection to oneself: both ends are the test's, passive. */
static struct pair connect_pair(cop_ctx *ctx, const cop_tcp_opts *opts) {
    struct pair p = { .listener = listen_on(ctx, opts) };
    cop_tcp_opts passive = { .active = COP_TCP_PASSIVE };
    cop_tcp_result r =
        cop_gen_tcp_connect(ctx, "127.0.0.1", cop_inet_port(ctx, p.listener), &passive, 5000);
    EXPECT(r.ok);
    p.client = r.port;
    r = cop_gen_tcp_accept(ctx, p.listener, 5000);
    EXPECT(r.ok);
    p.server = r.port;
    return p;
}

TEST(what_one_end_sends_the_other_receives, .real_time = true) {
    struct pair p = connect_pair(ctx, NULL);
    EXPECT_TERM(ctx, cop_gen_tcp_send(ctx, p.client, cop_list(ctx, "he", cop_list(ctx, 'l', "lo"))),
                ":ok");
    EXPECT_TERM(ctx, cop_gen_tcp_recv(ctx, p.server, 5, 5000), "{:ok, \"hello\"}");
    EXPECT_TERM(ctx, cop_gen_tcp_send(ctx, p.server, cop_of(ctx, "back")), ":ok");
    EXPECT_TERM(ctx, cop_gen_tcp_recv(ctx, p.client, 0, 5000), "{:ok, \"back\"}");
    EXPECT_TERM(ctx, cop_gen_tcp_recv(ctx, p.client, 0, 5), "{:error, :timeout}");
    EXPECT_TERM(ctx, cop_inet_peername(ctx, p.server), "{:ok, {{127, 0, 0, 1}, _}}");
}

TEST(active_once_and_count_deliver_messages, .real_time = true) {
    struct pair p = connect_pair(ctx, NULL);
    cop_inet_set_active(ctx, p.server, COP_TCP_ONCE);
    cop_gen_tcp_send(ctx, p.client, cop_of(ctx, "one"));
    ASSERT_RECEIVE(ctx, "{:tcp, _, \"one\"}");
    cop_gen_tcp_send(ctx, p.client, cop_of(ctx, "two"));
    EXPECT_TERM(ctx, cop_gen_tcp_recv(ctx, p.server, 0, 5000), "{:ok, \"two\"}");
    cop_inet_set_active(ctx, p.server, 2);
    cop_gen_tcp_send(ctx, p.client, cop_of(ctx, "three"));
    ASSERT_RECEIVE(ctx, "{:tcp, _, \"three\"}");
    cop_gen_tcp_send(ctx, p.client, cop_of(ctx, "four"));
    ASSERT_RECEIVE(ctx, "{:tcp, _, \"four\"}");
    ASSERT_RECEIVE(ctx, "{:tcp_passive, _}");
    EXPECT_TERM(ctx, cop_gen_tcp_recv(ctx, p.server, 0, 5), "{:error, :timeout}");
    cop_inet_set_active(ctx, p.server, COP_TCP_ACTIVE);
    EXPECT_TERM(ctx, cop_gen_tcp_recv(ctx, p.server, 0, 100), "{:error, :einval}");
}

TEST(lines_come_whole_or_in_pieces_of_the_maximum, .real_time = true) {
    struct pair p = connect_pair(ctx, &(cop_tcp_opts){ .packet = COP_PACKET_LINE, .line_max = 8 });
    cop_gen_tcp_send(ctx, p.client, cop_of(ctx, "a\nbc"));
    EXPECT_TERM(ctx, cop_gen_tcp_recv(ctx, p.server, 0, 5000), "{:ok, \"a\\n\"}");
    cop_gen_tcp_send(ctx, p.client, cop_of(ctx, "d\n0123456789\n"));
    EXPECT_TERM(ctx, cop_gen_tcp_recv(ctx, p.server, 0, 5000), "{:ok, \"bcd\\n\"}");
    EXPECT_TERM(ctx, cop_gen_tcp_recv(ctx, p.server, 0, 5000), "{:ok, \"01234567\"}");
    EXPECT_TERM(ctx, cop_gen_tcp_recv(ctx, p.server, 0, 5000), "{:ok, \"89\\n\"}");
}

TEST(a_closed_peer_is_told, .real_time = true) {
    struct pair p = connect_pair(ctx, NULL);
    test_trap_exit(ctx);
    cop_inet_set_active(ctx, p.server, COP_TCP_ACTIVE);
    cop_gen_tcp_send(ctx, p.client, cop_of(ctx, "last words"));
    cop_gen_tcp_close(ctx, p.client);
    ASSERT_RECEIVE(ctx, "{:tcp, _, \"last words\"}");
    ASSERT_RECEIVE(ctx, "{:tcp_closed, _}");
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :normal}");
    EXPECT_TERM(ctx, cop_gen_tcp_send(ctx, p.server, cop_of(ctx, "x")), "{:error, :closed}");
}

TEST(a_passive_receiver_sees_the_end, .real_time = true) {
    struct pair p = connect_pair(ctx, NULL);
    cop_gen_tcp_send(ctx, p.client, cop_of(ctx, "ab"));
    cop_gen_tcp_close(ctx, p.client);
    EXPECT_TERM(ctx, cop_gen_tcp_recv(ctx, p.server, 2, 5000), "{:ok, \"ab\"}");
    EXPECT_TERM(ctx, cop_gen_tcp_recv(ctx, p.server, 0, 5000), "{:error, :closed}");
}

TEST(ports_are_monitored_registered_and_killed_like_processes, .real_time = true) {
    cop_port listener = listen_on(ctx, NULL);
    cop_port_monitor(ctx, listener);
    cop_process_register(ctx, listener, cop_a(door));
    EXPECT(cop_process_whereis(ctx, cop_a(door)).w == listener.t.w);
    cop_gen_tcp_close(ctx, listener);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :port, _, :normal}");
    EXPECT(cop_is_none(cop_process_whereis(ctx, cop_a(door))));
    test_trap_exit(ctx);
    listener = listen_on(ctx, NULL);
    cop_process_exit(ctx, listener, cop_a(kill).t);
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :killed}");
}

static void own_and_end(cop_ctx *ctx, cop_term to) {
    cop_port listener = listen_on(ctx, NULL);
    cop_send(ctx, to, listener);
    cop_term message;
    cop_receive(ctx, COP_INFINITY, &message);
}

TEST(a_port_does_not_outlive_its_owner, .real_time = true) {
    cop_pid owner = cop_spawn(ctx, own_and_end, cop_self(ctx).t);
    cop_term port = ASSERT_RECEIVE(ctx, "_");
    cop_port_monitor(ctx, port);
    cop_send(ctx, owner, cop_a(end));
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :port, _, :normal}");
}

static void take_over(cop_ctx *ctx, cop_term to) {
    cop_term message;
    for (;;) {
        cop_receive(ctx, COP_INFINITY, &message);
        cop_send(ctx, to, cop_tuple(ctx, cop_a(got), message));
    }
}

TEST(another_process_becomes_the_owner, .real_time = true) {
    struct pair p = connect_pair(ctx, NULL);
    cop_pid other = cop_spawn(ctx, take_over, cop_self(ctx).t);
    EXPECT_TERM(ctx, cop_gen_tcp_controlling_process(ctx, p.server, other), ":ok");
    cop_inet_set_active(ctx, p.server, COP_TCP_ACTIVE);
    cop_gen_tcp_send(ctx, p.client, cop_of(ctx, "x"));
    ASSERT_RECEIVE(ctx, "{:got, {:tcp, _, \"x\"}}");
    EXPECT_TERM(ctx, cop_gen_tcp_controlling_process(ctx, p.server, other), ":ok");
    EXPECT_TERM(ctx, cop_gen_tcp_controlling_process(ctx, p.server, cop_self(ctx)),
                "{:error, :not_owner}");
}

TEST(the_port_protocol_of_messages, .real_time = true) {
    struct pair p = connect_pair(ctx, NULL);
    cop_send(ctx, p.client, cop_tuple(ctx, cop_self(ctx), cop_tuple(ctx, cop_a(command), "hi")));
    EXPECT_TERM(ctx, cop_gen_tcp_recv(ctx, p.server, 2, 5000), "{:ok, \"hi\"}");
    cop_send(ctx, p.client, cop_tuple(ctx, cop_self(ctx), cop_a(close)));
    ASSERT_RECEIVE(ctx, "{_, :closed}");
    test_trap_exit(ctx);
    cop_send(ctx, p.server, cop_a(garbage));
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :badsig}");
}

enum { OFFERED = 4 * 1024 * 1024, CHUNK = 256 * 1024 };

static void offer(cop_ctx *ctx, cop_term arg) {
    cop_pid top;
    cop_port port;
    EXPECT(cop_match_tuple(arg, &top, &port));
    static char chunk[CHUNK];
    memset(chunk, 'x', sizeof chunk);
    for (int64_t sent = 0; sent < 16 * (int64_t)OFFERED; sent += CHUNK)
        COP_SCOPE(ctx) {
            cop_gen_tcp_send(ctx, port, cop_binary(ctx, chunk, sizeof chunk));
            cop_send(ctx, top, cop_tuple(ctx, cop_a(sent), sent));
        }
    cop_send(ctx, top, cop_a(all_sent));
}

TEST(a_slow_reader_holds_its_sender, .real_time = true, .timeout_s = 60) {
    struct pair p = connect_pair(ctx, NULL);
    cop_spawn(ctx, offer, cop_tuple(ctx, cop_self(ctx), p.client));
    /* Nobody reads: what the kernel and the watermark take is all that goes out. */
    cop_process_sleep(ctx, 200);
    int64_t count = cop_list_length(test_flush(ctx));
    EXPECT(count * CHUNK < 16 * (int64_t)OFFERED / 2);
    for (int64_t got = 0; got < 16 * (int64_t)OFFERED;)
        COP_SCOPE(ctx) {
            cop_term answer = cop_gen_tcp_recv(ctx, p.server, 0, 5000), data;
            cop_bytes bytes;
            EXPECT(cop_match_tuple(answer, cop_a(ok), &data) && cop_get_bytes(data, &bytes));
            got += (int64_t)bytes.size;
        }
    ASSERT_RECEIVE(ctx, ":all_sent");
}

static void echo(cop_ctx *ctx, cop_term listener) {
    cop_port l;
    EXPECT(cop_get_port(listener, &l));
    for (;;)
        COP_SCOPE(ctx) {
            cop_tcp_result r = cop_gen_tcp_accept(ctx, l, 0);
            if (!r.ok) /* the test is over and has closed it */
                cop_exit(ctx, cop_a(normal));
            cop_term answer = cop_gen_tcp_recv(ctx, r.port, 4, 5000), data;
            if (cop_match_tuple(answer, cop_a(ok), &data))
                cop_gen_tcp_send(ctx, r.port, data);
            cop_gen_tcp_close(ctx, r.port);
        }
}

TEST(five_hundred_connections_one_after_another, .real_time = true, .timeout_s = 60) {
    cop_port listener = listen_on(ctx, NULL);
    for (int i = 0; i < 4; i++)
        cop_spawn_link(ctx, echo, listener.t);
    int tcp_port = cop_inet_port(ctx, listener);
    cop_tcp_opts passive = { .active = COP_TCP_PASSIVE };
    for (int i = 0; i < 500; i++)
        COP_SCOPE(ctx) {
            cop_tcp_result r = cop_gen_tcp_connect(ctx, "127.0.0.1", tcp_port, &passive, 5000);
            EXPECT(r.ok);
            EXPECT_TERM(ctx, cop_gen_tcp_send(ctx, r.port, cop_of(ctx, "ping")), ":ok");
            EXPECT_TERM(ctx, cop_gen_tcp_recv(ctx, r.port, 4, 5000), "{:ok, \"ping\"}");
            EXPECT_TERM(ctx, cop_gen_tcp_recv(ctx, r.port, 0, 5000), "{:error, :closed}");
            cop_gen_tcp_close(ctx, r.port);
        }
}

TEST(a_refused_connection_and_a_taken_port, .real_time = true) {
    cop_port listener = listen_on(ctx, NULL);
    int tcp_port = cop_inet_port(ctx, listener);
    cop_tcp_result r = cop_gen_tcp_listen(ctx, tcp_port, NULL);
    EXPECT(!r.ok);
    EXPECT_TERM(ctx, r.reason, ":eaddrinuse");
    cop_port_monitor(ctx, listener);
    cop_gen_tcp_close(ctx, listener);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :port, _, _}");
    r = cop_gen_tcp_connect(ctx, "127.0.0.1", tcp_port, NULL, 5000);
    EXPECT(!r.ok);
    EXPECT_TERM(ctx, r.reason, ":econnrefused");
}

TEST_HOST(a_node_with_ports_stops_and_starts_again) {
    for (int i = 0; i < 3; i++) {
        EXPECT_INT(cop_node_start(NULL), 0);
        ctx = cop_attach();
        cop_port listener = listen_on(ctx, NULL);
        EXPECT(cop_inet_port(ctx, listener) > 0);
        cop_detach(ctx);
        EXPECT_INT(cop_node_stop(), 0);
    }
}

static void listen_for_ever(cop_ctx *ctx, cop_term to) {
    for (bool told = false;; told = true) {
        cop_port listener = listen_on(ctx, NULL);
        if (!told)
            cop_send(ctx, to, cop_a(ready));
        cop_gen_tcp_close(ctx, listener);
    }
}

TEST_HOST(a_node_stops_while_ports_are_opened) {
    for (int i = 0; i < 20; i++) {
        cop_term message;
        EXPECT_INT(cop_node_start(NULL), 0);
        ctx = cop_attach();
        int count = 1 + i % 3;
        for (int k = 0; k < count; k++)
            cop_spawn(ctx, listen_for_ever, cop_self(ctx).t);
        for (int k = 0; k < count; k++)
            EXPECT(cop_receive(ctx, 5000, &message));
        cop_detach(ctx);
        EXPECT_INT(cop_node_stop(), 0);
        EXPECT_INT((int)cop_node_port_count(), 0);
    }
}

/* A connection of the C library's, blocking; reads what is there after the other end was closed. */
static ssize_t read_after_close(cop_ctx *ctx, bool linger_reset) {
    cop_port listener = listen_on(ctx, &(cop_tcp_opts){ .linger_reset = linger_reset });
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t)cop_inet_port(ctx, listener)),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT(fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
    cop_tcp_result r = cop_gen_tcp_accept(ctx, listener, 5000);
    EXPECT(r.ok);
    cop_gen_tcp_close(ctx, r.port);
    char byte;
    ssize_t n = read(fd, &byte, 1);
    int error = errno;
    close(fd);
    return n < 0 ? -error : n;
}

TEST(linger_reset_closes_with_a_reset, .real_time = true) {
    EXPECT_INT(read_after_close(ctx, false), 0);
    EXPECT_INT(read_after_close(ctx, true), -ECONNRESET);
}

/* ---- a full process table ------------------------------------------------------------------------------ */

static void wait_for_ever(cop_ctx *ctx, cop_term arg) { cop_process_sleep(ctx, COP_INFINITY); }

/* Until there is no place: what a scheduler has taken ahead for itself is not counted. */
static size_t fill_table(cop_ctx *ctx, cop_pid *pids, size_t max) {
    volatile size_t n = 0;
    EXPECT_ERROR(ctx, ":system_limit") {
        for (; n < max; n++)
            pids[n] = cop_spawn(ctx, wait_for_ever, COP_NIL);
    }
    return n;
}

static void empty_table(cop_ctx *ctx, const cop_pid *pids, size_t n) {
    for (size_t i = 0; i < n; i++) {
        cop_process_monitor(ctx, pids[i]);
        cop_process_exit(ctx, pids[i], cop_a(kill));
        ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :killed}");
    }
}

TEST_HOST(a_full_table_refuses_connections_and_hurts_no_listener) {
    enum { MOST = 300 };
    cop_pid pids[MOST];
    EXPECT_INT(cop_node_start(&(cop_node_opts){ .max_processes = MOST, .schedulers = 1 }), 0);
    ctx = cop_attach();
    cop_port listener = listen_on(ctx, NULL);
    int tcp_port = cop_inet_port(ctx, listener);
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t)tcp_port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT(fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
    size_t n = fill_table(ctx, pids, MOST);
    cop_tcp_result r = cop_gen_tcp_accept(ctx, listener, 5000);
    EXPECT(!r.ok);
    EXPECT_TERM(ctx, r.reason, ":system_limit");
    char byte;
    EXPECT_INT(read(fd, &byte, 1), 0); /* it was closed, not left */
    close(fd);
    r = cop_gen_tcp_connect(ctx, "127.0.0.1", tcp_port, NULL, 5000);
    EXPECT(!r.ok);
    EXPECT_TERM(ctx, r.reason, ":system_limit");
    EXPECT_TERM(ctx, cop_inet_getaddr(ctx, "one.test", COP_INET, 5000), "{:error, :system_limit}");
    EXPECT_ERROR(ctx, ":system_limit") {
        cop_port_open(ctx, cop_tuple(ctx, cop_a(spawn_executable), "/bin/cat"), NULL);
    }
    empty_table(ctx, pids, n);
    r = cop_gen_tcp_connect(ctx, "127.0.0.1", tcp_port, NULL, 5000);
    EXPECT_TERM(ctx, r.ok ? cop_a(ok).t : r.reason, ":ok");
    r = cop_gen_tcp_accept(ctx, listener, 5000);
    EXPECT_TERM(ctx, r.ok ? cop_a(ok).t : r.reason, ":ok");
    cop_detach(ctx);
    EXPECT_INT(cop_node_stop(), 0);
}

/* ---- names, time and addresses -------------------------------------------------------------------- */

static const cop_tcp_opts passive = { .active = COP_TCP_PASSIVE };

TEST(a_name_is_looked_up_and_its_addresses_tried_in_turn, .real_time = true) {
    cop_port listener = listen_on(ctx, NULL);
    int number = cop_inet_port(ctx, listener);
    cop_tcp_result r = cop_gen_tcp_connect(ctx, "one.test", number, &passive, 5000);
    EXPECT(r.ok);
    /* many.test is 127.0.0.2, where nobody listens, and 127.0.0.1 */
    r = cop_gen_tcp_connect(ctx, "many.test", number, &passive, 5000);
    EXPECT(r.ok);
    EXPECT_TERM(ctx, cop_inet_peername(ctx, r.port), "{:ok, {{127, 0, 0, 1}, _}}");
    r = cop_gen_tcp_connect(ctx, "none.test", number, &passive, 5000);
    EXPECT(!r.ok);
    EXPECT_TERM(ctx, r.reason, ":nxdomain");
    cop_gen_tcp_close(ctx, listener);
    r = cop_gen_tcp_connect(ctx, "many.test", number, &passive, 5000);
    EXPECT(!r.ok);
    EXPECT_TERM(ctx, r.reason, ":econnrefused");
}

TEST(an_address_may_be_a_tuple_and_one_connects_from_another, .real_time = true) {
    cop_port listener = listen_on(ctx, NULL);
    cop_tcp_result r =
        cop_gen_tcp_connect(ctx, cop_tuple(ctx, 127, 0, 0, 1), cop_inet_port(ctx, listener),
                            &(cop_tcp_opts){ .active = COP_TCP_PASSIVE, .ip = "127.0.0.9" }, 5000);
    EXPECT(r.ok);
    EXPECT_TERM(ctx, cop_inet_sockname(ctx, r.port), "{:ok, {{127, 0, 0, 9}, _}}");
    r = cop_gen_tcp_connect(ctx, cop_tuple(ctx, 127, 0), 1, NULL, 5000);
    EXPECT(!r.ok);
    EXPECT_TERM(ctx, r.reason, ":einval");
    EXPECT_ERROR(ctx, ":badarg") { cop_gen_tcp_connect(ctx, "one.test", 70000, NULL, 5000); }
}

TEST(ipv6_works_alike, .real_time = true) {
    cop_tcp_result l = cop_gen_tcp_listen(ctx, 0, &(cop_tcp_opts){ .ip = "::1" });
    if (!l.ok)
        test_skip("no IPv6 here");
    cop_tcp_result r = cop_gen_tcp_connect(
        ctx, "six.test", cop_inet_port(ctx, l.port),
        &(cop_tcp_opts){ .active = COP_TCP_PASSIVE, .family = COP_INET6 }, 5000);
    EXPECT(r.ok);
    EXPECT_TERM(ctx, cop_inet_peername(ctx, r.port), "{:ok, {{0, 0, 0, 0, 0, 0, 0, 1}, _}}");
}

/* Nothing is left of it: no port, no link, no message, also of the end of the port. */
static void expect_nothing_left(cop_ctx *ctx) {
    EXPECT_TERM(ctx, cop_process_info(ctx, cop_self(ctx), cop_a(links)), "[]");
    EXPECT_TERM(ctx, cop_process_info(ctx, cop_self(ctx), cop_a(monitors)), "[]");
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

TEST(the_time_covers_the_look_up_and_nothing_is_left, .real_time = true) {
    cop_tcp_result l = cop_gen_tcp_listen(ctx, 0, NULL);
    test_trap_exit(ctx);
    cop_tcp_result r =
        cop_gen_tcp_connect(ctx, "slow.test", cop_inet_port(ctx, l.port), &passive, 10);
    EXPECT(!r.ok);
    EXPECT_TERM(ctx, r.reason, ":timeout");
    resolver_release();
    /* The look-up ends after that; nobody comes to the listener. */
    EXPECT_TERM(ctx, cop_inet_getaddr(ctx, "one.test", COP_INET, 0), "{:ok, _}");
    r = cop_gen_tcp_accept(ctx, l.port, 20);
    EXPECT(!r.ok);
    EXPECT_TERM(ctx, r.reason, ":timeout");
    cop_gen_tcp_close(ctx, l.port);
    expect_nothing_left(ctx);
}

TEST(a_refused_connection_leaves_nothing_to_who_traps_exits, .real_time = true) {
    test_trap_exit(ctx);
    cop_port listener = listen_on(ctx, NULL);
    int number = cop_inet_port(ctx, listener);
    cop_gen_tcp_close(ctx, listener);
    EXPECT(!cop_gen_tcp_connect(ctx, "127.0.0.1", number, NULL, 5000).ok);
    expect_nothing_left(ctx);
}

static void connect_slowly(cop_ctx *ctx, cop_term arg) {
    cop_gen_tcp_connect(ctx, "slow.test", 9, NULL, 0);
}

TEST(whoever_connects_may_end_meanwhile, .real_time = true) {
    cop_pid pid = cop_spawn(ctx, connect_slowly, COP_NIL);
    cop_process_exit(ctx, pid, cop_a(kill));
    test_await_down(ctx, pid);
    resolver_release();
    EXPECT_TERM(ctx, cop_inet_getaddr(ctx, "one.test", COP_INET, 0), "{:ok, _}");
}

TEST(two_listeners_share_a_port, .real_time = true) {
    cop_tcp_opts opts = { .reuseport = true };
    cop_port one = listen_on(ctx, &opts);
    cop_tcp_result two = cop_gen_tcp_listen(ctx, cop_inet_port(ctx, one), &opts);
    EXPECT(two.ok);
    EXPECT_INT(cop_inet_port(ctx, one), cop_inet_port(ctx, two.port));
}

/* ---- packets ------------------------------------------------------------------------------------------ */

static void exchange(cop_ctx *ctx, cop_packet packet, int64_t largest) {
    struct pair p = connect_pair(ctx, &(cop_tcp_opts){ .packet = packet });
    cop_inet_set_packet(ctx, p.client, packet);
    uint8_t *bytes;
    cop_term data = cop_binary_new(ctx, (size_t)largest, &bytes);
    memset(bytes, 'p', (size_t)largest);
    EXPECT_TERM(ctx, cop_gen_tcp_send(ctx, p.client, cop_of(ctx, "ab")), ":ok");
    EXPECT_TERM(ctx, cop_gen_tcp_send(ctx, p.client, data), ":ok");
    EXPECT_TERM(ctx, cop_gen_tcp_send(ctx, p.client, cop_of(ctx, "")), ":ok");
    EXPECT_TERM(ctx, cop_gen_tcp_recv(ctx, p.server, 1, 5000), "{:error, :einval}");
    EXPECT_TERM(ctx, cop_gen_tcp_recv(ctx, p.server, 0, 5000), "{:ok, \"ab\"}");
    cop_term whole = cop_gen_tcp_recv(ctx, p.server, 0, 5000), got;
    EXPECT(cop_match_tuple(whole, cop_a(ok), &got) && cop_same(got, data));
    EXPECT_TERM(ctx, cop_gen_tcp_recv(ctx, p.server, 0, 5000), "{:ok, \"\"}");
    cop_inet_set_active(ctx, p.client, COP_TCP_ACTIVE);
    EXPECT_TERM(ctx, cop_gen_tcp_send(ctx, p.server, cop_of(ctx, "back")), ":ok");
    ASSERT_RECEIVE(ctx, "{:tcp, _, \"back\"}");
}

TEST(packets_of_one_length_byte, .real_time = true) { exchange(ctx, COP_PACKET_1, 255); }
TEST(packets_of_two_length_bytes, .real_time = true) { exchange(ctx, COP_PACKET_2, 65535); }
TEST(packets_of_four_length_bytes, .real_time = true) { exchange(ctx, COP_PACKET_4, 300000); }

TEST(a_packet_too_long_for_its_length_is_not_sent, .real_time = true) {
    struct pair p = connect_pair(ctx, &(cop_tcp_opts){ .packet = COP_PACKET_1 });
    static char data[256];
    EXPECT_TERM(ctx, cop_gen_tcp_send(ctx, p.server, cop_binary(ctx, data, sizeof data)),
                "{:error, :emsgsize}");
    EXPECT_TERM(ctx, cop_gen_tcp_send(ctx, p.server, cop_of(ctx, "x")), ":ok");
    EXPECT_TERM(ctx, cop_gen_tcp_recv(ctx, p.client, 2, 5000), "{:ok, <<1, 120>>}");
}

/* observed: OTP 25, {packet, 2}, {packet_size, 100} and a length of 101 */
TEST(a_packet_above_the_limit_ends_a_passive_connection, .real_time = true) {
    struct pair p =
        connect_pair(ctx, &(cop_tcp_opts){ .packet = COP_PACKET_2, .packet_size = 100 });
    cop_gen_tcp_send(ctx, p.client, cop_binary(ctx, "\0\003abc\0\145abc", 10));
    EXPECT_TERM(ctx, cop_gen_tcp_recv(ctx, p.server, 0, 5000), "{:ok, \"abc\"}");
    EXPECT_TERM(ctx, cop_gen_tcp_recv(ctx, p.server, 0, 5000), "{:error, :emsgsize}");
    EXPECT_TERM(ctx, cop_gen_tcp_recv(ctx, p.server, 0, 5000), "{:error, :enotconn}");
}

TEST(a_packet_above_the_limit_ends_an_active_connection, .real_time = true) {
    struct pair p = connect_pair(ctx, &(cop_tcp_opts){ .packet = COP_PACKET_4 });
    cop_port_monitor(ctx, p.server);
    cop_inet_set_active(ctx, p.server, COP_TCP_ACTIVE);
    cop_gen_tcp_send(ctx, p.client, cop_binary(ctx, "\377\377\377\377", 4));
    ASSERT_RECEIVE(ctx, "{:tcp_error, _, :emsgsize}");
    ASSERT_RECEIVE(ctx, "{:tcp_closed, _}");
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :port, _, :normal}");
}

/* ---- large things and slow readers ------------------------------------------------------------------------ */

static void send_large(cop_ctx *ctx, cop_term arg) {
    cop_pid to;
    cop_port port;
    EXPECT(cop_match_tuple(arg, &to, &port));
    static char piece[65536];
    memset(piece, 'z', sizeof piece);
    cop_term list = COP_NIL, binary = cop_binary(ctx, piece, sizeof piece);
    for (int i = 0; i < 128; i++) /* 8 MiB, nested to the left */
        list = cop_list(ctx, list, binary);
    cop_send(ctx, to, cop_tuple(ctx, cop_a(sent), cop_gen_tcp_send(ctx, port, list)));
    cop_term message;
    cop_receive(ctx, COP_INFINITY, &message);
}

TEST(large_iodata_goes_out_whole, .real_time = true) {
    struct pair p = connect_pair(ctx, NULL);
    cop_spawn_link(ctx, send_large, cop_tuple(ctx, cop_self(ctx), p.client));
    cop_term answer = cop_gen_tcp_recv(ctx, p.server, 8 << 20, 20000), data;
    cop_bytes bytes;
    EXPECT(cop_match_tuple(answer, cop_a(ok), &data) && cop_get_bytes(data, &bytes));
    EXPECT_INT((int64_t)bytes.size, 8 << 20);
    EXPECT(memchr(bytes.data, 'z', 1) != NULL && bytes.data[bytes.size - 1] == 'z');
    ASSERT_RECEIVE(ctx, "{:sent, :ok}");
    EXPECT_TERM(ctx, cop_gen_tcp_recv(ctx, p.server, (64 << 20) + 1, 10), "{:error, :enomem}");
}

static int64_t number_in(cop_term map, cop_atom key) {
    cop_term value;
    int64_t n;
    EXPECT(cop_map_get(map, key.t, &value) && cop_get_i64(value, &n));
    return n;
}

/* Nothing more is taken: once is not enough, for the time may be over while the I/O thread has no core. */
static void send_until_held(cop_ctx *ctx, cop_port port, cop_term data) {
    enum { ROUNDS = 10000, HELD = 5 };
    int held = 0;
    for (int i = 0; i < ROUNDS && held < HELD; i++) {
        cop_term answer = cop_gen_tcp_send(ctx, port, data);
        held = cop_match(answer, cop_a(ok)) ? 0 : held + 1;
        if (held > 0)
            EXPECT_TERM(ctx, answer, "{:error, :timeout}");
    }
    EXPECT_INT(held, HELD);
}

/* Nobody reads: the sender's port holds no more than the watermark and one send, the receiver's no
   more than its buffer, and the sender is told when its time is over. */
TEST(a_slow_reader_grows_no_memory, .real_time = true) {
    struct pair p =
        connect_pair(ctx, &(cop_tcp_opts){ .high_watermark = 100000, .send_timeout_ms = 50 });
    static char chunk[10000];
    cop_term data = cop_binary(ctx, chunk, sizeof chunk);
    send_until_held(ctx, p.server, data);
    cop_term info = cop_inet_info(ctx, p.server), counters;
    EXPECT(cop_map_get(info, cop_a(counters).t, &counters));
    int64_t taken = number_in(counters, cop_a(send_cnt));
    int64_t output = number_in(info, cop_a(output));
    int64_t input = number_in(cop_inet_info(ctx, p.client), cop_a(input));
    test_note("%d chunks, output %d, input %d", (int)taken, (int)output, (int)input);
    EXPECT(output <= 100000 + (int64_t)sizeof chunk);
    EXPECT(input <= 2 * 65536);
    for (int64_t i = 0; i < taken; i++) /* what was taken over is delivered */
        EXPECT_TERM(ctx, cop_gen_tcp_recv(ctx, p.client, sizeof chunk, 5000), "{:ok, _}");
    EXPECT_TERM(ctx, cop_gen_tcp_send(ctx, p.server, data), ":ok");
}

TEST(a_send_that_times_out_may_close, .real_time = true) {
    struct pair p = connect_pair(
        ctx,
        &(cop_tcp_opts){ .send_timeout_ms = 10, .send_timeout_close = true, .linger_reset = true });
    cop_port_monitor(ctx, p.server);
    static char chunk[65536];
    cop_term data = cop_binary(ctx, chunk, sizeof chunk), answer;
    do
        answer = cop_gen_tcp_send(ctx, p.server, data);
    while (cop_match(answer, cop_a(ok)));
    EXPECT_TERM(ctx, answer, "{:error, :timeout}");
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :port, _, :normal}");
}

/* Many send on one connection at once: packets stay whole though the kernel takes them in pieces. */
enum { PACKETS = 40 };

static void send_packets(cop_ctx *ctx, cop_term arg) {
    cop_port port;
    int letter;
    EXPECT(cop_match_tuple(arg, &port, &letter));
    char packet[20000];
    memset(packet, letter, sizeof packet);
    for (int i = 0; i < PACKETS; i++)
        COP_SCOPE(ctx)
    EXPECT_TERM(ctx, cop_gen_tcp_send(ctx, port, cop_binary(ctx, packet, sizeof packet)), ":ok");
}

TEST(packets_of_many_senders_stay_whole, .real_time = true, .timeout_s = 60) {
    struct pair p = connect_pair(ctx, &(cop_tcp_opts){ .packet = COP_PACKET_4 });
    cop_inet_set_packet(ctx, p.client, COP_PACKET_4);
    for (int i = 0; i < 8; i++)
        cop_spawn_link(ctx, send_packets, cop_tuple(ctx, p.client, 'a' + i));
    for (int i = 0; i < 8 * PACKETS; i++)
        COP_SCOPE(ctx) {
            cop_term answer = cop_gen_tcp_recv(ctx, p.server, 0, 5000), data;
            cop_bytes bytes;
            EXPECT(cop_match_tuple(answer, cop_a(ok), &data) && cop_get_bytes(data, &bytes));
            EXPECT_INT((int64_t)bytes.size, 20000);
            EXPECT(memcmp(bytes.data, bytes.data + 1, bytes.size - 1) == 0);
        }
}

/* ---- ends ------------------------------------------------------------------------------------------------ */

/* observed: OTP 25 */
TEST(one_direction_is_ended_and_the_other_goes_on, .real_time = true) {
    struct pair p = connect_pair(ctx, &(cop_tcp_opts){ .no_exit_on_close = true });
    cop_inet_set_active(ctx, p.server, COP_TCP_ACTIVE);
    cop_gen_tcp_send(ctx, p.client, cop_of(ctx, "all"));
    EXPECT_TERM(ctx, cop_gen_tcp_shutdown(ctx, p.client, cop_a(write)), ":ok");
    EXPECT_TERM(ctx, cop_gen_tcp_send(ctx, p.client, cop_of(ctx, "more")), "{:error, :closed}");
    ASSERT_RECEIVE(ctx, "{:tcp, _, \"all\"}");
    ASSERT_RECEIVE(ctx, "{:tcp_closed, _}");
    EXPECT_TERM(ctx, cop_gen_tcp_send(ctx, p.server, cop_of(ctx, "answer")), ":ok");
    EXPECT_TERM(ctx, cop_gen_tcp_recv(ctx, p.client, 6, 5000), "{:ok, \"answer\"}");
    EXPECT_TERM(ctx, cop_gen_tcp_shutdown(ctx, p.client, cop_a(read_write)), ":ok");
    EXPECT_TERM(ctx, cop_gen_tcp_recv(ctx, p.client, 0, 5000), "{:error, :closed}");
    EXPECT_TERM(ctx, cop_gen_tcp_shutdown(ctx, p.client, cop_a(both)), "{:error, :einval}");
}

TEST(a_passive_one_ends_when_it_has_heard_so, .real_time = true) {
    struct pair p = connect_pair(ctx, NULL);
    cop_gen_tcp_close(ctx, p.client);
    EXPECT_TERM(ctx, cop_gen_tcp_recv(ctx, p.server, 0, 5000), "{:error, :closed}");
    EXPECT_TERM(ctx, cop_gen_tcp_recv(ctx, p.server, 0, 5000), "{:error, :enotconn}");
    EXPECT_TERM(ctx, cop_gen_tcp_send(ctx, p.server, cop_of(ctx, "x")), "{:error, :closed}");
}

TEST(a_closed_port_is_closed_to_its_owner_at_once, .real_time = true) {
    struct pair p = connect_pair(ctx, NULL);
    test_trap_exit(ctx);
    cop_gen_tcp_close(ctx, p.client);
    EXPECT_TERM(ctx, cop_gen_tcp_send(ctx, p.client, cop_of(ctx, "x")), "{:error, :closed}");
    EXPECT_TERM(ctx, cop_gen_tcp_recv(ctx, p.client, 0, 5000), "{:error, :closed}");
    int number = cop_inet_port(ctx, p.listener);
    cop_gen_tcp_close(ctx, p.listener);
    EXPECT(cop_gen_tcp_listen(ctx, number, NULL).ok);
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

static void wait_in_accept(cop_ctx *ctx, cop_term arg) {
    cop_pid to;
    cop_port listener;
    EXPECT(cop_match_tuple(arg, &to, &listener));
    cop_send(ctx, to, cop_a(ready));
    cop_tcp_result r = cop_gen_tcp_accept(ctx, listener, 0);
    cop_send(ctx, to, cop_tuple(ctx, cop_a(accept), r.reason));
}

TEST(a_dead_acceptor_takes_no_connection, .real_time = true) {
    cop_port listener = listen_on(ctx, NULL);
    cop_pid other = cop_spawn(ctx, wait_in_accept, cop_tuple(ctx, cop_self(ctx), listener));
    ASSERT_RECEIVE(ctx, ":ready");
    EXPECT(!cop_gen_tcp_accept(ctx, listener, 5).ok);
    cop_process_exit(ctx, other, cop_a(kill));
    test_await_down(ctx, other);
    EXPECT(!cop_gen_tcp_accept(ctx, listener, 5).ok);
    cop_tcp_result r =
        cop_gen_tcp_connect(ctx, "127.0.0.1", cop_inet_port(ctx, listener), &passive, 5000);
    EXPECT(r.ok);
    EXPECT(cop_gen_tcp_accept(ctx, listener, 5000).ok);
}

TEST(a_closed_listener_wakes_who_waits, .real_time = true) {
    cop_port listener = listen_on(ctx, NULL);
    cop_spawn(ctx, wait_in_accept, cop_tuple(ctx, cop_self(ctx), listener));
    ASSERT_RECEIVE(ctx, ":ready");
    cop_gen_tcp_close(ctx, listener);
    ASSERT_RECEIVE(ctx, "{:accept, :closed}");
    cop_tcp_result r = cop_gen_tcp_accept(ctx, listener, 5000);
    EXPECT(!r.ok);
    EXPECT_TERM(ctx, r.reason, ":closed");
}

/* What was delivered before and what comes after the change of owner is one stream. */
TEST(a_new_owner_gets_all_in_order, .real_time = true) {
    struct pair p = connect_pair(ctx, NULL);
    cop_pid other = cop_spawn(ctx, take_over, cop_self(ctx).t);
    cop_inet_set_active(ctx, p.server, COP_TCP_ACTIVE);
    cop_gen_tcp_send(ctx, p.client, cop_of(ctx, "1"));
    cop_term first = ASSERT_RECEIVE(ctx, "{:tcp, _, \"1\"}");
    cop_send(ctx, cop_self(ctx), first); /* it waits in the mailbox */
    EXPECT_TERM(ctx, cop_gen_tcp_controlling_process(ctx, p.server, other), ":ok");
    cop_gen_tcp_send(ctx, p.client, cop_of(ctx, "2"));
    EXPECT_TERM(ctx, cop_elem(ASSERT_RECEIVE(ctx, "{:got, _}"), 1), "{:tcp, _, \"1\"}");
    EXPECT_TERM(ctx, cop_elem(ASSERT_RECEIVE(ctx, "{:got, _}"), 1), "{:tcp, _, \"2\"}");
    EXPECT_TERM(ctx, cop_process_info(ctx, cop_self(ctx), cop_a(links)), "[_, _]");
}

/* What is unsent goes on after a close, but not for ever. */
TEST(a_close_waits_for_a_peer_that_reads_no_longer_than_it_lingers, .real_time = true) {
    enum { MORE_THAN_THE_KERNEL_TAKES = 16 << 20 };
    struct pair p = connect_pair(ctx, &(cop_tcp_opts){ .high_watermark = MORE_THAN_THE_KERNEL_TAKES,
                                                       .sndbuf = 65536,
                                                       .recbuf = 65536 });
    static char all[MORE_THAN_THE_KERNEL_TAKES];
    cop_term data = cop_binary(ctx, all, sizeof all), opts, got;
    EXPECT(cop_parse(ctx, "[linger: {true, 1}]", 19, &opts, NULL));
    EXPECT_TERM(ctx, cop_inet_setopts(ctx, p.server, opts), ":ok");
    EXPECT_TERM(ctx, cop_gen_tcp_send(ctx, p.server, data), ":ok");
    cop_port_monitor(ctx, p.server);
    cop_gen_tcp_close(ctx, p.server);
    REFUTE_RECEIVE(ctx, "{:DOWN, _, _, _, _}", 100);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :port, _, :normal}");
    while (cop_match_tuple(cop_gen_tcp_recv(ctx, p.client, 0, 5000), cop_a(ok), &got))
        ;
}

TEST(what_was_sent_before_a_close_arrives, .real_time = true) {
    struct pair p = connect_pair(ctx, &(cop_tcp_opts){ .high_watermark = 8 << 20 });
    static char chunk[4 << 20];
    EXPECT_TERM(ctx, cop_gen_tcp_send(ctx, p.server, cop_binary(ctx, chunk, sizeof chunk)), ":ok");
    cop_gen_tcp_close(ctx, p.server);
    EXPECT_TERM(ctx, cop_inet_getstat(ctx, p.client), "{:ok, _}");
    cop_term answer = cop_gen_tcp_recv(ctx, p.client, sizeof chunk, 10000), data;
    EXPECT(cop_match_tuple(answer, cop_a(ok), &data));
    EXPECT_TERM(ctx, cop_gen_tcp_recv(ctx, p.client, 0, 5000), "{:error, :closed}");
}

/* ---- many -------------------------------------------------------------------------------------------------- */

static void talk(cop_ctx *ctx, cop_term arg) {
    cop_pid top;
    int number;
    EXPECT(cop_match_tuple(arg, &top, &number));
    cop_tcp_result r = cop_gen_tcp_connect(ctx, "one.test", number, &passive, 20000);
    EXPECT(r.ok);
    cop_term message;
    cop_send(ctx, top, cop_a(connected));
    cop_receive(ctx, COP_INFINITY, &message); /* until all are connected */
    EXPECT_TERM(ctx, cop_gen_tcp_send(ctx, r.port, cop_of(ctx, "ping")), ":ok");
    EXPECT_TERM(ctx, cop_gen_tcp_recv(ctx, r.port, 4, 20000), "{:ok, \"ping\"}");
    cop_send(ctx, top, cop_a(done));
}

static void serve_one(cop_ctx *ctx, cop_term listener) {
    cop_port l;
    EXPECT(cop_get_port(listener, &l));
    cop_tcp_result r = cop_gen_tcp_accept(ctx, l, 0);
    EXPECT(r.ok);
    cop_term answer = cop_gen_tcp_recv(ctx, r.port, 4, 20000), data, message;
    EXPECT(cop_match_tuple(answer, cop_a(ok), &data));
    cop_gen_tcp_send(ctx, r.port, data);
    cop_receive(ctx, COP_INFINITY, &message);
}

TEST(three_hundred_connections_at_once, .real_time = true, .timeout_s = 60) {
    enum { MANY = 300 };
    cop_port listener = listen_on(ctx, NULL);
    cop_term arg = cop_tuple(ctx, cop_self(ctx), cop_inet_port(ctx, listener));
    cop_pid clients[MANY];
    for (int i = 0; i < MANY; i++) {
        cop_spawn_link(ctx, serve_one, listener.t);
        clients[i] = cop_spawn_link(ctx, talk, arg);
    }
    for (int i = 0; i < MANY; i++)
        ASSERT_RECEIVE_IN(ctx, ":connected", 20000);
    for (int i = 0; i < MANY; i++)
        cop_send(ctx, clients[i], cop_a(go));
    for (int i = 0; i < MANY; i++)
        ASSERT_RECEIVE_IN(ctx, ":done", 20000);
}
