/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The world outside, from within a simulation: ports work, and while one is open virtual time keeps to the
 * wall clock, so an answer that takes real time is not overtaken by its time-out.
 */
#include <coppice.h>
#include <coppice/test.h>
#include <dirent.h>
#include <time.h>

#include "folder.h"

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

/* ---- nothing is left of who is killed ------------------------------------------------------------------ */

/* Each of its calls may be its last one. */
static void open_ports(cop_ctx *ctx, cop_term arg) {
    cop_gen_tcp_listen(ctx, 0, NULL);
    cop_gen_tcp_connect(ctx, "127.0.0.1", 1, NULL, 5000);
    cop_gen_udp_open(ctx, 0, &(cop_udp_opts){ .ip = "127.0.0.1" });
    cop_inet_getaddr(ctx, "localhost", COP_INET, 5000);
    cop_port_try_open(ctx, cop_tuple(ctx, cop_a(spawn_executable), "/bin/true"), NULL);
}

static void talk(cop_ctx *ctx, cop_term arg) {
    static const cop_tcp_opts passive = { .active = COP_TCP_PASSIVE };
    cop_tcp_result listener = cop_gen_tcp_listen(ctx, 0, &passive);
    int port = cop_inet_port(ctx, listener.port);
    cop_tcp_result client = cop_gen_tcp_connect(ctx, "127.0.0.1", port, &passive, 100);
    cop_tcp_result server = cop_gen_tcp_accept(ctx, listener.port, 100);
    cop_gen_tcp_send(ctx, client.port, cop_list(ctx, "hello ", "world"));
    cop_gen_tcp_recv(ctx, server.port, 5, 100);
    cop_gen_tcp_recv(ctx, server.port, 100, 1);
    cop_gen_tcp_close(ctx, client.port);
}

static void use_files(cop_ctx *ctx, cop_term dir) {
    cop_pid device;
    cop_term path = cop_list(ctx, dir, "/file"), line;
    cop_file_mkdir_p(ctx, cop_list(ctx, dir, "/a/b"));
    cop_file_write(ctx, path, "one\ntwo\nthree\n", 0);
    cop_file_read(ctx, path);
    cop_file_cp(ctx, path, cop_list(ctx, dir, "/copy"));
    cop_enum_take(ctx, cop_file_stream(ctx, path, NULL), 2);
    if (cop_match_tuple(cop_file_open(ctx, path, COP_FILE_READ | COP_FILE_WRITE), cop_a(ok),
                        &device)) {
        line = cop_io_gets(ctx, device, "");
        cop_io_write(ctx, device, line);
        cop_file_pread(ctx, device, 0, 5);
        cop_file_close(ctx, device);
    }
    cop_file_ls(ctx, dir);
    cop_file_rm_rf(ctx, cop_list(ctx, dir, "/a"));
    cop_pid text = cop_string_io_open(ctx, "a text\n", NULL);
    cop_io_gets(ctx, text, "? ");
    cop_io_puts(ctx, text, "out");
    cop_string_io_close(ctx, text);
}

static void users_are_killed(cop_ctx *ctx, const cop_entry *uses, int count) {
    enum { USERS = 9 };
    cop_spawned user[USERS];
    cop_term down;
    cop_sim_spare(ctx);
    for (int i = 0; i < USERS; i++)
        user[i] = cop_spawn_monitor(ctx, uses[i % count], cop_of(ctx, folder));
    for (int i = 0; i < USERS; i++)
        EXPECT(cop_receive_ref(ctx, COP_INFINITY, user[i].ref, &down));
}

static void users_of_ports_are_killed(cop_ctx *ctx) {
    users_are_killed(ctx, (const cop_entry[]){ open_ports, talk }, 2);
}

/* Not beside the others: ThreadSanitizer does not see libuv close a file whose number is then another's. */
static void users_of_files_are_killed(cop_ctx *ctx) {
    users_are_killed(ctx, (const cop_entry[]){ use_files }, 1);
}

static int open_files(void) {
    int count = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (dir != NULL && readdir(dir) != NULL)
        count++;
    if (dir != NULL)
        closedir(dir);
    return count;
}

/* No file is open, and what they had in hand would be found by a leak checker. */
static void leave_nothing(void (*users)(cop_ctx *ctx)) {
    simulate(1, users);
    int before = open_files();
    simulate(20, users, .faults = "kill=0.01");
    simulate(20, users, .faults = "kill=0.05");
    EXPECT_INT(open_files(), before);
}

TEST_HOST(who_is_killed_while_it_uses_ports_leaves_nothing) {
    leave_nothing(users_of_ports_are_killed);
}

TEST_HOST(who_is_killed_while_it_uses_files_leaves_nothing) {
    enter_folder();
    leave_nothing(users_of_files_are_killed);
}
