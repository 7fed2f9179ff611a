/* SPDX-License-Identifier: Apache-2.0 */
/* TCP ports: modes, packets, back-pressure, owners, closing. Message shapes are OTP's inet's. */
#include <coppice.h>
#include <coppice/test.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

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
    EXPECT_TERM(ctx, cop_inet_peername(ctx, p.server), "{:ok, {\"127.0.0.1\", _}}");
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
    cop_process_monitor(ctx, listener);
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
    cop_process_monitor(ctx, port);
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
    EXPECT_TERM(ctx, cop_gen_tcp_controlling_process(ctx, p.server, other), "{:error, :not_owner}");
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
    cop_process_monitor(ctx, listener);
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
