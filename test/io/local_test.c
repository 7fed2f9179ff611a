/* SPDX-License-Identifier: Apache-2.0 */
/* Unix domain sockets: the same streams behind a path. Answers observed with OTP 25. */
#include <coppice.h>
#include <coppice/test.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A path that no other run has; removed before and left behind in /tmp by a failing test only. */
static const char *fresh_path(void) {
    static char path[64];
    snprintf(path, sizeof path, "/tmp/coppice-%llx.sock", (unsigned long long)test_unique());
    unlink(path);
    return path;
}

static cop_tcp_result connect_to(cop_ctx *ctx, const char *path) {
    return cop_gen_tcp_connect(ctx, cop_tuple(ctx, cop_a(local), path), 0,
                               &(cop_tcp_opts){ .active = COP_TCP_PASSIVE }, 5000);
}

static cop_port listen_at(cop_ctx *ctx, const char *path) {
    cop_tcp_result r = cop_gen_tcp_listen(ctx, 0, &(cop_tcp_opts){ .local = path });
    EXPECT(r.ok);
    return r.port;
}

TEST(a_path_is_listened_on_and_connected_to, .real_time = true) {
    const char *path = fresh_path();
    cop_port listener = listen_at(ctx, path);
    cop_tcp_result client = connect_to(ctx, path);
    EXPECT(client.ok);
    cop_tcp_result server = cop_gen_tcp_accept(ctx, listener, 5000);
    EXPECT(server.ok);
    EXPECT_TERM(ctx, cop_gen_tcp_send(ctx, client.port, cop_of(ctx, "hello")), ":ok");
    EXPECT_TERM(ctx, cop_gen_tcp_recv(ctx, server.port, 5, 5000), "{:ok, \"hello\"}");
    cop_inet_set_active(ctx, client.port, COP_TCP_ACTIVE);
    EXPECT_TERM(ctx, cop_gen_tcp_send(ctx, server.port, cop_of(ctx, "back")), ":ok");
    ASSERT_RECEIVE(ctx, "{:tcp, _, \"back\"}");
    cop_gen_tcp_close(ctx, server.port);
    ASSERT_RECEIVE(ctx, "{:tcp_closed, _}");
    unlink(path);
}

TEST(the_names_are_paths, .real_time = true) {
    const char *path = fresh_path();
    cop_port listener = listen_at(ctx, path);
    cop_tcp_result client = connect_to(ctx, path);
    cop_tcp_result server = cop_gen_tcp_accept(ctx, listener, 5000);
    EXPECT(client.ok && server.ok);
    cop_term name = cop_tuple(ctx, cop_a(ok), cop_tuple(ctx, cop_a(local), path));
    EXPECT_SAME(ctx, cop_inet_sockname(ctx, listener), name);
    EXPECT_SAME(ctx, cop_inet_peername(ctx, client.port), name);
    EXPECT_SAME(ctx, cop_inet_sockname(ctx, server.port), name);
    EXPECT_TERM(ctx, cop_inet_sockname(ctx, client.port), "{:ok, {:local, \"\"}}");
    EXPECT_TERM(ctx, cop_inet_peername(ctx, server.port), "{:ok, {:local, \"\"}}");
    EXPECT_INT(cop_inet_port(ctx, listener), -1);
    unlink(path);
}

TEST(the_file_stays_and_is_in_use_until_it_is_removed, .real_time = true) {
    const char *path = fresh_path();
    cop_port listener = listen_at(ctx, path);
    cop_tcp_result r = cop_gen_tcp_listen(ctx, 0, &(cop_tcp_opts){ .local = path });
    EXPECT(!r.ok);
    EXPECT_TERM(ctx, r.reason, ":eaddrinuse");
    cop_gen_tcp_close(ctx, listener);
    struct stat about;
    EXPECT_INT(stat(path, &about), 0);
    r = cop_gen_tcp_listen(ctx, 0, &(cop_tcp_opts){ .local = path });
    EXPECT(!r.ok);
    EXPECT_TERM(ctx, r.reason, ":eaddrinuse");
    r = connect_to(ctx, path);
    EXPECT(!r.ok);
    EXPECT_TERM(ctx, r.reason, ":econnrefused");
    EXPECT_INT(unlink(path), 0);
    cop_gen_tcp_close(ctx, listen_at(ctx, path));
    unlink(path);
}

TEST(a_path_that_cannot_be_is_an_error, .real_time = true) {
    char lengthy[200] = "/tmp/";
    memset(lengthy + 5, 'a', 190);
    cop_tcp_result r = cop_gen_tcp_listen(ctx, 0, &(cop_tcp_opts){ .local = lengthy });
    EXPECT(!r.ok);
    EXPECT_TERM(ctx, r.reason, ":einval");
    r = cop_gen_tcp_listen(ctx, 0, &(cop_tcp_opts){ .local = "/no/such/directory/x" });
    EXPECT(!r.ok);
    EXPECT_TERM(ctx, r.reason, ":enoent");
    r = connect_to(ctx, fresh_path());
    EXPECT(!r.ok);
    EXPECT_TERM(ctx, r.reason, ":enoent");
    r = connect_to(ctx, lengthy);
    EXPECT(!r.ok);
    EXPECT_TERM(ctx, r.reason, ":einval");
    r = cop_gen_tcp_connect(ctx, cop_tuple(ctx, cop_a(local), "/tmp/x"), 1, NULL, 5000);
    EXPECT(!r.ok);
    EXPECT_TERM(ctx, r.reason, ":einval");
}

/* Linux does not let a connection wait for a place in the backlog without blocking. */
TEST(a_full_backlog_is_eagain, .real_time = true) {
    const char *path = fresh_path();
    cop_tcp_result r = cop_gen_tcp_listen(ctx, 0, &(cop_tcp_opts){ .local = path, .backlog = 1 });
    EXPECT(r.ok);
    int connected = 0;
    while (connected < 10 && (r = connect_to(ctx, path)).ok)
        connected++;
    EXPECT(!r.ok && connected > 0);
    EXPECT_TERM(ctx, r.reason, ":eagain");
    unlink(path);
}

TEST(packets_go_both_ways, .real_time = true) {
    const char *path = fresh_path();
    cop_tcp_result listener =
        cop_gen_tcp_listen(ctx, 0, &(cop_tcp_opts){ .local = path, .packet = COP_PACKET_4 });
    EXPECT(listener.ok);
    cop_tcp_result client = connect_to(ctx, path);
    cop_tcp_result server = cop_gen_tcp_accept(ctx, listener.port, 5000);
    EXPECT(client.ok && server.ok);
    cop_inet_set_packet(ctx, client.port, COP_PACKET_4);
    cop_gen_tcp_send(ctx, client.port, cop_of(ctx, "one"));
    cop_gen_tcp_send(ctx, client.port, cop_of(ctx, ""));
    EXPECT_TERM(ctx, cop_gen_tcp_recv(ctx, server.port, 0, 5000), "{:ok, \"one\"}");
    EXPECT_TERM(ctx, cop_gen_tcp_recv(ctx, server.port, 0, 5000), "{:ok, \"\"}");
    cop_gen_tcp_send(ctx, server.port, cop_of(ctx, "two"));
    EXPECT_TERM(ctx, cop_gen_tcp_recv(ctx, client.port, 0, 5000), "{:ok, \"two\"}");
    unlink(path);
}

static void listen_and_wait(cop_ctx *ctx, cop_term arg) {
    cop_pid to;
    cop_bytes path;
    cop_term message;
    EXPECT(cop_match_tuple(arg, &to, &path));
    char text[64];
    snprintf(text, sizeof text, "%.*s", (int)path.size, (const char *)path.data);
    cop_send(ctx, to, listen_at(ctx, text));
    cop_receive(ctx, COP_INFINITY, &message);
}

TEST(a_listener_does_not_outlive_its_owner, .real_time = true) {
    const char *path = fresh_path();
    cop_pid owner = cop_spawn(ctx, listen_and_wait, cop_tuple(ctx, cop_self(ctx), path));
    cop_term port = ASSERT_RECEIVE(ctx, "_");
    cop_port_monitor(ctx, port);
    cop_process_exit(ctx, owner, cop_a(kill));
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :port, _, :killed}");
    cop_tcp_result r = connect_to(ctx, path);
    EXPECT(!r.ok);
    EXPECT_TERM(ctx, r.reason, ":econnrefused");
    unlink(path);
}
