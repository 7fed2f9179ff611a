/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ports and programs of the operating system. Expected terms were observed with Elixir 1.14 on OTP 25,
 * where the comment does not say otherwise.
 */
#include <coppice.h>
#include <coppice/test.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static cop_port open_program(cop_ctx *ctx, const char *path, const cop_port_opts *opts) {
    return cop_port_open(ctx, cop_tuple(ctx, cop_a(spawn_executable), path), opts);
}

static cop_port open_cat(cop_ctx *ctx) { return open_program(ctx, "/bin/cat", NULL); }

/* A port that runs a shell script, with these options but for args. */
static cop_port open_script(cop_ctx *ctx, const char *script, const cop_port_opts *opts) {
    const char *args[] = { "-c", script, NULL };
    cop_port_opts all = opts != NULL ? *opts : (cop_port_opts){ 0 };
    all.args = args;
    return open_program(ctx, "/bin/sh", &all);
}

static void command(cop_ctx *ctx, cop_port port, cop_pid owner, cop_term request) {
    cop_send(ctx, port, cop_tuple(ctx, owner, request));
}

static void wait_for_end(cop_ctx *ctx, cop_term arg) {
    cop_term message;
    cop_receive(ctx, COP_INFINITY, &message);
    cop_exit(ctx, message);
}

static int os_pid_of(cop_ctx *ctx, cop_port port) {
    int pid = 0;
    EXPECT(cop_get_int(cop_port_info(ctx, port, cop_a(os_pid)), &pid) && pid > 0);
    return pid;
}

/* Waits until nobody has that number: it was waited for, too. */
static void await_gone(cop_ctx *ctx, int os_pid) {
    for (int i = 0; kill(os_pid, 0) == 0; i++) {
        EXPECT(i < 1000);
        cop_process_sleep(ctx, 10); /* there is no message for it */
    }
    EXPECT_INT(errno, ESRCH);
}

/* ---- the cases of the specification -------------------------------------------------------------------- */

TEST(PR_066_a_port_has_a_name_until_it_closes, .real_time = true) {
    cop_port port = open_cat(ctx);
    cop_process_register(ctx, port, cop_a(the_cat));
    EXPECT_SAME(ctx, cop_process_whereis(ctx, cop_a(the_cat)), port);
    EXPECT_TERM(ctx, cop_port_info(ctx, cop_a(the_cat), cop_a(registered_name)), ":the_cat");
    EXPECT(cop_port_command(ctx, cop_a(the_cat), "by name"));
    ASSERT_RECEIVE(ctx, "{_, {:data, \"by name\"}}");
    cop_port_close(ctx, port);
    EXPECT(cop_is_none(cop_process_whereis(ctx, cop_a(the_cat))));
}

TEST(PR_120_a_port_is_linked_monitored_and_closed, .real_time = true) {
    cop_port port = open_cat(ctx);
    EXPECT_SAME(ctx, cop_process_info(ctx, cop_self(ctx), cop_a(links)), cop_list(ctx, port));
    cop_process_register(ctx, port, cop_a(the_cat));
    cop_ref by_port = cop_port_monitor(ctx, port), by_name = cop_port_monitor(ctx, cop_a(the_cat));
    EXPECT_TERM(ctx, cop_process_info(ctx, cop_self(ctx), cop_a(monitors)),
                "[port: _, port: {:the_cat, :nonode@nohost}]");
    cop_port_close(ctx, port);
    cop_term down = ASSERT_RECEIVE(ctx, "{:DOWN, _, :port, {:the_cat, :nonode@nohost}, :normal}");
    EXPECT_SAME(ctx, cop_elem(down, 1), by_name);
    down = ASSERT_RECEIVE(ctx, "{:DOWN, _, :port, _, :normal}");
    EXPECT_SAME(ctx, cop_elem(down, 1), by_port);
    EXPECT_SAME(ctx, cop_elem(down, 3), port);
    EXPECT_TERM(ctx, cop_process_info(ctx, cop_self(ctx), cop_a(links)), "[]");
    cop_port_monitor(ctx, port);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :port, _, :noproc}");
    cop_port_monitor(ctx, cop_a(the_cat));
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :port, {:the_cat, :nonode@nohost}, :noproc}");
}

TEST(PR_121_the_ends_of_a_port_and_of_a_program, .real_time = true) {
    test_trap_exit(ctx);
    cop_port port = open_cat(ctx);
    cop_port_close(ctx, port);
    EXPECT_TERM(ctx, test_flush(ctx), "[{:EXIT, _, :normal}]");
    open_script(ctx, "exit 3", NULL);
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :normal}");
    open_script(ctx, "exit 3", &(cop_port_opts){ .exit_status = true });
    ASSERT_RECEIVE(ctx, "{_, {:exit_status, 3}}");
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :normal}");
    open_script(ctx, "kill -TERM $$", &(cop_port_opts){ .exit_status = true });
    ASSERT_RECEIVE(ctx, "{_, {:exit_status, 143}}");
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :normal}");
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

TEST(PR_122_command_and_close_as_messages, .real_time = true) {
    test_trap_exit(ctx);
    cop_port port = open_cat(ctx);
    command(ctx, port, cop_self(ctx), cop_tuple(ctx, cop_a(command), cop_list(ctx, 'h', "i")));
    EXPECT_SAME(ctx, cop_elem(ASSERT_RECEIVE(ctx, "{_, {:data, \"hi\"}}"), 0), port);
    command(ctx, port, cop_self(ctx), cop_a(close).t);
    /* The end of the port comes first. */
    ASSERT_RECEIVE(ctx, "{_, :closed}");
    EXPECT_TERM(ctx, test_flush(ctx), "[{:EXIT, _, :normal}]");
}

TEST(PR_123_garbage_and_strangers_are_badsig_to_the_owner, .real_time = true) {
    test_trap_exit(ctx);
    cop_port port = open_cat(ctx);
    cop_pid other = test_idle_pid(ctx), self = cop_self(ctx);
    cop_send(ctx, port, cop_a(garbage));
    EXPECT_SAME(ctx, cop_elem(ASSERT_RECEIVE(ctx, "{:EXIT, _, :badsig}"), 1), port);
    command(ctx, port, other, cop_tuple(ctx, cop_a(command), "x"));
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :badsig}");
    command(ctx, port, other, cop_a(close).t);
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :badsig}");
    command(ctx, port, self, cop_tuple(ctx, cop_a(command), cop_a(no_iodata)));
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :badsig}");
    command(ctx, port, self, cop_tuple(ctx, cop_a(connect), cop_a(no_pid)));
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :badsig}");
    cop_send(ctx, port, cop_tuple(ctx, cop_a(system), cop_a(x), cop_a(close)));
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :badsig}");
    /* The port itself lives on. */
    EXPECT(cop_port_command(ctx, port, "still here"));
    ASSERT_RECEIVE(ctx, "{_, {:data, \"still here\"}}");
}

static void own_a_cat(cop_ctx *ctx, cop_term to) {
    cop_port port = open_cat(ctx);
    cop_send(ctx, to, cop_tuple(ctx, port, os_pid_of(ctx, port)));
    wait_for_end(ctx, COP_NIL);
}

TEST(PR_124_an_owner_that_ends_normally_closes_its_port, .real_time = true) {
    cop_pid owner = cop_spawn(ctx, own_a_cat, cop_self(ctx).t);
    cop_term hello = ASSERT_RECEIVE(ctx, "{_, _}");
    int os_pid;
    EXPECT(cop_get_int(cop_elem(hello, 1), &os_pid));
    cop_port_monitor(ctx, cop_elem(hello, 0));
    cop_send(ctx, owner, cop_a(normal));
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :port, _, :normal}");
    await_gone(ctx, os_pid);
}

TEST(PR_125_exit_signals_close_a_port, .real_time = true) {
    test_trap_exit(ctx);
    cop_process_exit(ctx, open_cat(ctx), cop_a(boo));
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :boo}");
    cop_process_exit(ctx, open_cat(ctx), cop_a(kill));
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :killed}");
    cop_process_exit(ctx, open_cat(ctx), cop_a(normal));
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :normal}");
}

TEST(PR_126_linking_and_unlinking_a_closed_port, .real_time = true) {
    cop_port port = open_cat(ctx);
    cop_port_close(ctx, port);
    EXPECT_ERROR(ctx, ":noproc") { cop_process_link(ctx, port); }
    test_trap_exit(ctx);
    cop_process_link(ctx, port);
    EXPECT_SAME(ctx, cop_elem(ASSERT_RECEIVE(ctx, "{:EXIT, _, :noproc}"), 1), port);
    cop_process_unlink(ctx, port);
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

TEST(PR_127_connect_keeps_the_link_of_the_old_owner, .real_time = true) {
    test_trap_exit(ctx);
    cop_port port = open_cat(ctx);
    cop_pid other = cop_spawn(ctx, wait_for_end, COP_NIL);
    cop_port_connect(ctx, port, other);
    EXPECT_SAME(ctx, cop_port_info(ctx, port, cop_a(connected)), other);
    EXPECT_SAME(ctx, cop_port_info(ctx, port, cop_a(links)), cop_list(ctx, cop_self(ctx), other));
    cop_send(ctx, other, cop_a(gone));
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :gone}"); /* of the port, whose owner ended */
}

/* ---- owners ------------------------------------------------------------------------------------------ */

static void open_and_give(cop_ctx *ctx, cop_term to) {
    cop_pid owner;
    EXPECT(cop_get_pid(to, &owner));
    cop_port port = open_cat(ctx);
    cop_port_connect(ctx, port, owner);
    cop_send(ctx, owner, port);
    wait_for_end(ctx, COP_NIL);
}

TEST(a_former_owner_that_ends_normally_leaves_the_port_open, .real_time = true) {
    test_trap_exit(ctx);
    cop_spawned former = cop_spawn_monitor(ctx, open_and_give, cop_self(ctx).t);
    cop_port port;
    EXPECT(cop_get_port(ASSERT_RECEIVE(ctx, "_"), &port));
    cop_send(ctx, former.pid, cop_a(normal));
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :normal}");
    EXPECT_SAME(ctx, cop_port_info(ctx, port, cop_a(links)), cop_list(ctx, cop_self(ctx)));
    former = cop_spawn_monitor(ctx, open_and_give, cop_self(ctx).t);
    ASSERT_RECEIVE(ctx, "_");
    cop_send(ctx, former.pid, cop_a(boo));
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :boo}"); /* another reason does close it */
}

TEST(connect_as_a_message_tells_the_old_owner, .real_time = true) {
    cop_port port = open_cat(ctx);
    cop_pid other = cop_spawn(ctx, wait_for_end, COP_NIL);
    command(ctx, port, cop_self(ctx), cop_tuple(ctx, cop_a(connect), other));
    EXPECT_SAME(ctx, cop_elem(ASSERT_RECEIVE(ctx, "{_, :connected}"), 0), port);
    EXPECT_SAME(ctx, cop_port_info(ctx, port, cop_a(connected)), other);
    /* OTP does not link the new owner here, and so loses the port when that ends; we do. */
    cop_process_unlink(ctx, port);
    cop_port_monitor(ctx, port);
    cop_send(ctx, other, cop_a(normal));
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :port, _, :normal}");
}

TEST(a_port_is_not_given_to_the_dead, .real_time = true) {
    test_trap_exit(ctx);
    cop_port port = open_cat(ctx);
    cop_pid dead = test_dead_pid(ctx);
    EXPECT_ERROR(ctx, ":badarg") { cop_port_connect(ctx, port, dead); }
    EXPECT_SAME(ctx, cop_port_info(ctx, port, cop_a(connected)), cop_self(ctx));
    /* As a message OTP takes it, and keeps a port that nobody owns; here the port ends. */
    command(ctx, port, cop_self(ctx), cop_tuple(ctx, cop_a(connect), dead));
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :noproc}");
}

static void close_it(cop_ctx *ctx, cop_term port) { cop_port_close(ctx, port); }

TEST(anybody_may_close_a_port_by_the_call, .real_time = true) {
    test_trap_exit(ctx);
    cop_port port = open_cat(ctx);
    cop_spawn(ctx, close_it, port.t);
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :normal}");
    EXPECT_ERROR(ctx, ":badarg") { cop_port_close(ctx, port); }
    EXPECT_ERROR(ctx, ":badarg") { cop_port_command(ctx, port, "x"); }
    EXPECT_ERROR(ctx, ":badarg") { cop_port_connect(ctx, port, cop_self(ctx)); }
    EXPECT(cop_is_none(cop_port_info_all(ctx, port)));
    EXPECT(cop_is_none(cop_port_info(ctx, port, cop_a(nonsense))));
    cop_send(ctx, port, cop_a(dropped));
}

TEST(sockets_are_ports_like_any, .real_time = true) {
    test_trap_exit(ctx);
    cop_tcp_result r = cop_gen_tcp_listen(ctx, 0, NULL);
    EXPECT(r.ok);
    EXPECT_TERM(ctx, cop_port_info_all(ctx, r.port),
                "[name: 'tcp_inet', links: [_], id: _, connected: _, input: 0, output: 0, os_pid: "
                ":undefined]");
    cop_tcp_opts passive = { .active = COP_TCP_PASSIVE };
    cop_port client =
        cop_gen_tcp_connect(ctx, "127.0.0.1", cop_inet_port(ctx, r.port), &passive, 5000).port;
    cop_port server = cop_gen_tcp_accept(ctx, r.port, 5000).port;
    EXPECT(cop_port_command(ctx, client, "hello"));
    EXPECT_TERM(ctx, cop_gen_tcp_recv(ctx, server, 5, 5000), "{:ok, \"hello\"}");
    EXPECT_TERM(ctx, cop_port_info(ctx, client, cop_a(output)), "5");
    EXPECT_TERM(ctx, cop_port_info(ctx, server, cop_a(input)), "5");
    cop_pid other = cop_spawn(ctx, wait_for_end, COP_NIL);
    cop_port_connect(ctx, server, other);
    cop_process_unlink(ctx, server);
    cop_port_monitor(ctx, server);
    cop_send(ctx, other, cop_a(normal)); /* the new owner's end is the port's */
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :port, _, :normal}");
    cop_port_close(ctx, client);
    EXPECT_TERM(ctx, test_flush(ctx), "[{:EXIT, _, :normal}]");
    command(ctx, r.port, cop_self(ctx), cop_tuple(ctx, cop_a(connect), test_dead_pid(ctx)));
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :noproc}"); /* and nothing else has happened */
}

/* ---- information ------------------------------------------------------------------------------------- */

TEST(info_has_the_keys_of_Port_info, .real_time = true) {
    cop_port port = open_cat(ctx);
    EXPECT_TERM(ctx, cop_port_info_all(ctx, port),
                "[name: '/bin/cat', links: [_], id: _, connected: _, input: 0, output: 0, "
                "os_pid: _]");
    cop_process_register(ctx, port, cop_a(the_cat));
    cop_port_command(ctx, port, cop_list(ctx, "hel", 'l', "o"));
    ASSERT_RECEIVE(ctx, "{_, {:data, \"hello\"}}");
    cop_port_monitor(ctx, port);
    EXPECT_TERM(ctx, cop_port_info_all(ctx, cop_a(the_cat)),
                "[registered_name: :the_cat, name: '/bin/cat', links: [_], id: _, connected: _, "
                "input: 5, output: 5, os_pid: _]");
    EXPECT_SAME(ctx, cop_port_info(ctx, port, cop_a(monitored_by)), cop_list(ctx, cop_self(ctx)));
    EXPECT_TERM(ctx, cop_port_info(ctx, port, cop_a(queue_size)), "0");
    EXPECT_TERM(ctx, cop_port_info(ctx, port, cop_a(monitors)), "[]");
    EXPECT_TERM(ctx, cop_port_info(ctx, port, cop_a(parallelism)), "false");
    EXPECT_TERM(ctx, cop_port_info(ctx, port, cop_a(locking)), ":port_level");
    EXPECT_ERROR(ctx, ":badarg") { cop_port_info(ctx, port, cop_a(nonsense)); }
    EXPECT(cop_is_none(cop_port_info_all(ctx, cop_a(nobody))));
    EXPECT_SAME(ctx, cop_port_list(ctx), cop_list(ctx, port));
    cop_port_close(ctx, port);
    EXPECT_TERM(ctx, cop_port_list(ctx), "[]");
}

TEST(a_monitor_of_a_port_ends_by_demonitor, .real_time = true) {
    cop_port port = open_cat(ctx);
    cop_ref ref = cop_port_monitor(ctx, port);
    EXPECT(cop_port_demonitor(ctx, ref, COP_DEMONITOR_INFO));
    cop_port_close(ctx, port);
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
    EXPECT_ERROR(ctx, ":badarg") { cop_port_monitor(ctx, cop_self(ctx)); }
    cop_process_register(ctx, cop_self(ctx), cop_a(me));
    cop_port_monitor(ctx, cop_a(me));
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :port, {:me, :nonode@nohost}, :noproc}");
    EXPECT_ERROR(ctx, ":badarg") { cop_port_command(ctx, cop_a(me), "x"); }
}

/* ---- opening ----------------------------------------------------------------------------------------- */

static cop_term reason_of(cop_ctx *ctx, const char *path, const cop_port_opts *opts) {
    cop_port_result r = cop_port_try_open(ctx, cop_tuple(ctx, cop_a(spawn_executable), path), opts);
    EXPECT(!r.ok);
    return r.reason;
}

TEST(a_file_that_cannot_be_run_is_an_error, .real_time = true) {
    test_trap_exit(ctx);
    EXPECT_TERM(ctx, reason_of(ctx, "/nope/x", NULL), ":enoent");
    EXPECT_TERM(ctx, reason_of(ctx, "/etc/passwd", NULL), ":eacces");
    EXPECT_TERM(ctx, reason_of(ctx, "cat", NULL), ":enoent"); /* not looked for in PATH */
    EXPECT_TERM(ctx, reason_of(ctx, "/etc/passwd/x", NULL), ":enotdir");
    EXPECT_ERROR(ctx, ":enoent") { open_program(ctx, "/nope/x", NULL); }
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

TEST(what_fails_when_the_file_is_run_is_the_programs_end, .real_time = true) {
    test_trap_exit(ctx);
    cop_port_opts opts = { .exit_status = true, .cd = "/nope" };
    open_script(ctx, "pwd", &opts);
    ASSERT_RECEIVE(ctx, "{_, {:exit_status, 2}}");
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :normal}");
    opts.cd = NULL;
    open_program(ctx, "/tmp", &opts); /* a directory: EACCES */
    ASSERT_RECEIVE(ctx, "{_, {:exit_status, 13}}");
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :normal}");
}

TEST(bad_names_and_options_are_badarg, .real_time = true) {
    cop_term cat = cop_tuple(ctx, cop_a(spawn), "cat"), bad[] = {
        cop_a(x).t,
        cop_tuple(ctx, cop_a(spawn), cop_a(x)),
        cop_tuple(ctx, cop_a(fd), 0, 1),
        cop_tuple(ctx, cop_a(spawn_driver), "x"),
        cop_tuple(ctx, cop_a(spawn), cop_list(ctx, 'a', 0)),
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        EXPECT_ERROR(ctx, ":badarg") { cop_port_open(ctx, bad[i], NULL); }
    const char *args[] = { "x", NULL };
    cop_port_env env = { .name = "A=B", .value = "x" };
    cop_port_opts opts[] = {
        { .args = args },
        { .arg0 = "x" },
        { .packet = 3 },
        { .packet = 1, .line = 5 },
        { .env = &env, .env_count = 1 },
        { .grace_ms = 10001 },
        { .busy_low = 2, .busy_high = 1 },
    };
    for (size_t i = 0; i < sizeof opts / sizeof *opts; i++)
        EXPECT_ERROR(ctx, ":badarg") { cop_port_open(ctx, cat, &opts[i]); }
}

TEST(a_command_is_run_by_the_shell, .real_time = true) {
    test_trap_exit(ctx);
    cop_port_opts opts = { .exit_status = true };
    cop_port port = cop_port_open(ctx, cop_tuple(ctx, cop_a(spawn), "cat -u"), NULL);
    EXPECT_TERM(ctx, cop_port_info(ctx, port, cop_a(name)), "'cat -u'");
    cop_port_close(ctx, port);
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :normal}");
    cop_port_open(ctx, cop_tuple(ctx, cop_a(spawn), "sh -c 'exit 3'"), &opts);
    ASSERT_RECEIVE(ctx, "{_, {:exit_status, 3}}");
    cop_port_open(ctx, cop_tuple(ctx, cop_a(spawn), cop_charlist(ctx, "sh -c 'echo a; exit 4'")),
                  &opts);
    ASSERT_RECEIVE(ctx, "{_, {:data, \"a\\n\"}}");
    ASSERT_RECEIVE(ctx, "{_, {:exit_status, 4}}");
    opts.stderr_to_stdout = true;
    cop_port_open(ctx, cop_tuple(ctx, cop_a(spawn), "nosuchcommand"), &opts);
    ASSERT_RECEIVE(ctx, "{_, {:exit_status, 127}}");
}

/* A script of which the output is this line, and that ends well. */
static void expect_output(cop_ctx *ctx, const char *script, cop_port_opts opts, const char *text) {
    char pattern[512];
    opts.exit_status = true;
    opts.line = 1000;
    open_script(ctx, script, &opts);
    snprintf(pattern, sizeof pattern, "{_, {:data, {:eol, \"%s\"}}}", text);
    ASSERT_RECEIVE(ctx, pattern);
    ASSERT_RECEIVE(ctx, "{_, {:exit_status, 0}}");
}

TEST(environment_directory_and_arguments, .real_time = true) {
    setenv("COPPICE_KEPT", "kept", 1);
    setenv("COPPICE_GONE", "x", 1);
    cop_port_env env[] = { { "A", "first" }, { "COPPICE_GONE", NULL }, { "A", "x y" } };
    expect_output(ctx, "echo [$A] [$COPPICE_KEPT] [${COPPICE_GONE-none}]",
                  (cop_port_opts){ .env = env, .env_count = 3 }, "[x y] [kept] [none]");
    expect_output(ctx, "echo [$A]", (cop_port_opts){ 0 }, "[]");
    expect_output(ctx, "pwd", (cop_port_opts){ .cd = "/" }, "/");
    expect_output(ctx, "tr '\\0' ' ' </proc/$$/cmdline; echo", (cop_port_opts){ .arg0 = "zero" },
                  "zero -c tr '\\\\0' ' ' </proc/$$/cmdline; echo ");
    expect_output(ctx, "echo err >&2", (cop_port_opts){ .stderr_to_stdout = true }, "err");
    expect_output(ctx, "ps -o pgid= -o sid= -p $$ | tr -s ' ' | sed \"s/$$/me/g; s/^ //\"",
                  (cop_port_opts){ 0 }, "me me");
}

TEST(other_descriptors_than_standard_ones, .real_time = true) {
    cop_port port =
        open_script(ctx, "cat <&3 >&4", &(cop_port_opts){ .nouse_stdio = true, .line = 80 });
    cop_port_command(ctx, port, "by 3 and 4\n");
    ASSERT_RECEIVE(ctx, "{_, {:data, {:eol, \"by 3 and 4\"}}}");
    expect_output(ctx, "readlink /proc/self/fd/0", (cop_port_opts){ .in = true }, "/dev/null");
    expect_output(ctx, "test -p /dev/stdin && test -p /dev/stdout && echo pipes",
                  (cop_port_opts){ 0 }, "pipes");
}

TEST(a_port_for_one_direction, .real_time = true) {
    test_trap_exit(ctx);
    cop_port port = open_script(ctx, "cat", &(cop_port_opts){ .in = true });
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :normal}"); /* it reads /dev/null */
    port = open_script(ctx, "sleep 30", &(cop_port_opts){ .in = true });
    EXPECT(cop_port_command(ctx, port, "x"));
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :ebadf}");
    /* OTP says nothing of the end of such a program; here it is told. */
    port =
        open_script(ctx, "read a; exit $a", &(cop_port_opts){ .out = true, .exit_status = true });
    cop_port_command(ctx, port, "5\n");
    ASSERT_RECEIVE(ctx, "{_, {:exit_status, 5}}");
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :normal}");
}

TEST(options_are_read_from_a_term, .real_time = true) {
    cop_term list;
    cop_port_opts o;
    const char *text = "[:binary, :exit_status, :eof, :in, :out, :nouse_stdio, :stderr_to_stdout, "
                       ":hide, {:args, [\"a\", 'b']}, {:arg0, 'zero'}, {:cd, \"/tmp\"}, "
                       "{:env, [{'A', 'x'}, {\"B\", false}]}, {:line, 5}, {:parallelism, true}, "
                       "{:busy_limits_port, {1, 2}}]";
    EXPECT(cop_parse(ctx, text, strlen(text), &list, NULL));
    EXPECT(cop_port_opts_from_term(ctx, list, &o));
    EXPECT(!o.list && o.exit_status && o.eof && o.in && o.out && o.nouse_stdio);
    EXPECT(o.stderr_to_stdout && o.hide && o.parallelism && o.line == 5 && o.packet == 0);
    EXPECT(o.busy_low == 1 && o.busy_high == 2 && o.env_count == 2);
    EXPECT_STR(o.args[0], "a");
    EXPECT_STR(o.args[1], "b");
    EXPECT_STR(o.args[2], NULL);
    EXPECT_STR(o.arg0, "zero");
    EXPECT_STR(o.cd, "/tmp");
    EXPECT_STR(o.env[0].name, "A");
    EXPECT_STR(o.env[0].value, "x");
    EXPECT_STR(o.env[1].value, NULL);
    EXPECT(cop_port_opts_from_term(ctx, COP_NIL, &o) && o.list);
    const char *bad[] = {
        "[:foo]",      "[packet: 3]",           "[line: 0]",      "[line: 5, packet: 1]", "[:line]",
        "[env: [:a]]", "[env: [{'A=B', 'x'}]]", "[args: [:x]]",   "[:eof | :in]",         "[cd: 1]",
        ":eof",        "[args: \"x\"]",         "[{:eof, true}]", "[packet: 0]"
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        EXPECT(cop_parse(ctx, bad[i], strlen(bad[i]), &list, NULL));
        EXPECT(!cop_port_opts_from_term(ctx, list, &o));
    }
}

/* ---- what a program writes ------------------------------------------------------------------------------ */

/* All {:data, d} until the port's end, as a list of the d's. */
static cop_term data_of(cop_ctx *ctx, const char *script, const cop_port_opts *opts) {
    test_trap_exit(ctx);
    cop_port port = open_script(ctx, script, opts);
    cop_term list = COP_NIL, message, what, data;
    for (;;) {
        EXPECT(cop_receive(ctx, 5000, &message));
        if (!cop_match_tuple(message, port, &what))
            return cop_list_reverse(ctx, list);
        if (cop_match_tuple(what, cop_a(data), &data))
            list = cop_cons(ctx, data, list);
    }
}

TEST(lines_are_cut_as_by_OTP, .real_time = true) {
    static const struct {
        const char *text, *expected;
    } cases[] = {
        { "ab\\nabcdefg\\nabcde\\n\\nxyz",
          "[eol: \"ab\", noeol: \"abcde\", eol: \"fg\", eol: \"abcde\", eol: \"\", noeol: "
          "\"xyz\"]" },
        { "abcde", "[noeol: \"abcde\"]" },
        { "ab\\r\\ncd\\r", "[eol: \"ab\", noeol: \"cd\\r\"]" },
        { "abcde\\r\\n", "[eol: \"abcde\"]" },
        { "abcd\\rx\\n", "[noeol: \"abcd\\r\", eol: \"x\"]" },
        { "abcdefghijkl\\r\\n", "[noeol: \"abcde\", noeol: \"fghij\", eol: \"kl\"]" },
        { "\\r\\r\\n", "[eol: \"\\r\"]" },
        { "abcdefghij\\nk\\n", "[noeol: \"abcde\", eol: \"fghij\", eol: \"k\"]" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char script[128];
        snprintf(script, sizeof script, "printf '%s'", cases[i].text);
        EXPECT_TERM(ctx, data_of(ctx, script, &(cop_port_opts){ .line = 5 }), cases[i].expected);
    }
    EXPECT_TERM(ctx, data_of(ctx, "printf 'a\\nb'", &(cop_port_opts){ .line = 5, .list = true }),
                "[eol: 'a', noeol: 'b']");
}

TEST(packets_come_whole, .real_time = true) {
    EXPECT_TERM(ctx,
                data_of(ctx, "printf '\\002ab\\000\\003cd'; printf 'e\\005x'",
                        &(cop_port_opts){ .packet = 1 }),
                "[\"ab\", \"\", \"cde\"]");
    EXPECT_TERM(ctx,
                data_of(ctx, "printf '\\000\\002ab\\000\\000'", &(cop_port_opts){ .packet = 2 }),
                "[\"ab\", \"\"]");
    EXPECT_TERM(ctx,
                data_of(ctx, "printf '\\000\\000\\000\\002ab'", &(cop_port_opts){ .packet = 4 }),
                "[\"ab\"]");
    EXPECT_TERM(ctx, data_of(ctx, "printf hi", &(cop_port_opts){ .list = true }), "['hi']");
}

TEST(a_packet_that_claims_to_be_huge_closes_the_port, .real_time = true) {
    test_trap_exit(ctx);
    open_script(ctx, "printf '\\177\\377\\377\\377ab'; sleep 30", &(cop_port_opts){ .packet = 4 });
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :emsgsize}");
    open_script(ctx, "printf '\\000\\004abcd'; sleep 30",
                &(cop_port_opts){ .packet = 2, .packet_max = 3 });
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :emsgsize}");
}

TEST(packets_are_written_with_their_length, .real_time = true) {
    test_trap_exit(ctx);
    cop_port port = open_program(ctx, "/bin/cat", &(cop_port_opts){ .packet = 2 });
    cop_port_command(ctx, port, cop_list(ctx, "ab", 'c'));
    cop_port_command(ctx, port, "");
    ASSERT_RECEIVE(ctx, "{_, {:data, \"abc\"}}");
    ASSERT_RECEIVE(ctx, "{_, {:data, \"\"}}");
    EXPECT_TERM(ctx, cop_port_info(ctx, port, cop_a(input)), "3");
    EXPECT_TERM(ctx, cop_port_info(ctx, port, cop_a(output)), "3");
    port = open_program(ctx, "/bin/cat", &(cop_port_opts){ .packet = 1 });
    char long_one[300];
    memset(long_one, 'x', sizeof long_one);
    EXPECT(cop_port_command(ctx, port, cop_binary(ctx, long_one, sizeof long_one)));
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :einval}");
}

TEST(the_end_of_output_and_the_exit_status, .real_time = true) {
    test_trap_exit(ctx);
    cop_port port = open_script(ctx, "printf x", &(cop_port_opts){ .eof = true });
    ASSERT_RECEIVE(ctx, "{_, {:data, \"x\"}}");
    ASSERT_RECEIVE(ctx, "{_, :eof}");
    EXPECT(!cop_is_none(cop_port_info_all(ctx, port))); /* it stays open */
    cop_port_close(ctx, port);
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :normal}");
    port = open_script(ctx, "printf 'ab\\nabcdefg'; exit 2",
                       &(cop_port_opts){ .eof = true, .exit_status = true, .line = 5 });
    ASSERT_RECEIVE(ctx, "{_, :eof}");
    EXPECT_TERM(ctx, test_flush(ctx),
                "[{_, {:data, {:eol, \"ab\"}}}, {_, {:data, {:noeol, \"abcde\"}}}, "
                "{_, {:exit_status, 2}}, {_, {:data, {:noeol, \"fg\"}}}]");
    cop_port_close(ctx, port);
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :normal}");
    /* Without :exit_status the end of output is the port's. */
    port = open_script(ctx, "exec >&-; sleep 30", &(cop_port_opts){ .grace_ms = COP_ZERO });
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :normal}");
    /* With it the port waits for both. */
    open_script(ctx, "exec >&-; sleep 0.1; exit 4", &(cop_port_opts){ .exit_status = true });
    ASSERT_RECEIVE(ctx, "{_, {:exit_status, 4}}");
    open_script(ctx, "(sleep 0.1; echo late) & exit 5", &(cop_port_opts){ .exit_status = true });
    ASSERT_RECEIVE(ctx, "{_, {:exit_status, 5}}");
    ASSERT_RECEIVE_IN(ctx, "{_, {:data, \"late\\n\"}}", 0); /* it came before */
}

TEST(a_program_that_does_not_read_breaks_the_pipe, .real_time = true) {
    test_trap_exit(ctx);
    cop_port port = open_script(ctx, "exec <&-; echo ready; sleep 30", NULL);
    ASSERT_RECEIVE(ctx, "{_, {:data, \"ready\\n\"}}");
    EXPECT(cop_port_command(ctx, port, "x"));
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :epipe}");
}

/* ---- back-pressure ------------------------------------------------------------------------------------------ */

static void flood(cop_ctx *ctx, cop_term arg) {
    cop_pid top;
    cop_port port;
    static char chunk[65536];
    EXPECT(cop_match_tuple(arg, &top, &port));
    for (int i = 0; i < 512; i++)
        COP_SCOPE(ctx) {
            cop_port_command(ctx, port, cop_binary(ctx, chunk, sizeof chunk));
            cop_send(ctx, top, cop_tuple(ctx, cop_a(sent), i));
        }
    cop_send(ctx, top, cop_a(all_sent));
}

TEST(a_program_that_does_not_read_holds_its_writers, .real_time = true) {
    cop_port port = open_script(ctx, "read go; head -c 33554432 | wc -c", NULL);
    char chunk[1000] = { 'x' };
    cop_spawn(ctx, flood, cop_tuple(ctx, cop_self(ctx), port));
    ASSERT_RECEIVE(ctx, "{:sent, 1}");
    /* The flood has filled pipe and queue as soon as a command would wait. */
    while (
        cop_port_command_opts(ctx, port, cop_binary(ctx, chunk, sizeof chunk), COP_PORT_NOSUSPEND))
        cop_yield(ctx);
    int64_t count = cop_list_length(test_flush(ctx));
    EXPECT(count < 256);
    EXPECT_ERROR(ctx, ":notsup") { cop_port_command_opts(ctx, port, "x", COP_PORT_FORCE); }
    uint64_t queued;
    EXPECT(cop_get_u64(cop_port_info(ctx, port, cop_a(queue_size)), &queued) && queued > 0);
    REFUTE_RECEIVE(ctx, ":all_sent", 50);
    cop_port_close(ctx, port); /* who waits goes on, into nothing */
}

TEST(a_flood_to_a_reader_arrives_whole, .real_time = true) {
    cop_port port = open_script(ctx, "head -c 33554432 | wc -c", NULL);
    cop_spawn(ctx, flood, cop_tuple(ctx, cop_self(ctx), port));
    ASSERT_RECEIVE(ctx, ":all_sent");
    ASSERT_RECEIVE(ctx, "{_, {:data, \"33554432\\n\"}}");
}

TEST(an_owner_that_does_not_read_holds_its_program, .real_time = true, .timeout_s = 60) {
    enum { TOTAL = 64 << 20, LIMIT = 4 << 20 };
    cop_port port = open_script(ctx, "head -c 67108864 /dev/zero",
                                &(cop_port_opts){ .unread_max = LIMIT, .exit_status = true });
    /* Until it stands still: what it has read is bounded, and stays so. */
    uint64_t input = 0, before;
    do {
        before = input;
        cop_process_sleep(ctx, 200); /* there is nothing to wait for but that nothing happens */
        EXPECT(cop_get_u64(cop_port_info(ctx, port, cop_a(input)), &input));
    } while (input != before);
    EXPECT(input >= LIMIT / 2 && input < 2 * LIMIT);
    /* And goes on when the owner reads. */
    uint64_t got = 0;
    for (bool ended = false; !ended;)
        COP_SCOPE(ctx) {
            cop_term message, what, data;
            cop_bytes bytes;
            EXPECT(cop_receive(ctx, 10000, &message) && cop_match_tuple(message, port, &what));
            if (cop_match_tuple(what, cop_a(data), &data) && cop_get_bytes(data, &bytes))
                got += bytes.size;
            ended = cop_match_tuple(what, cop_a(exit_status), 0);
        }
    EXPECT_INT(got, TOTAL);
}

TEST(an_owner_that_waits_for_an_echo_is_not_waited_for, .real_time = true, .timeout_s = 60) {
    static char chunk[1 << 20];
    cop_port port = open_program(ctx, "/bin/cat", &(cop_port_opts){ .unread_max = 1 << 20 });
    for (int i = 0; i < 16; i++) /* 16 MiB come back, and nobody takes them meanwhile */
        COP_SCOPE(ctx) { cop_port_command(ctx, port, cop_binary(ctx, chunk, sizeof chunk)); }
    uint64_t got = 0;
    while (got < 16 * sizeof chunk)
        COP_SCOPE(ctx) {
            cop_bytes bytes;
            cop_term message = ASSERT_RECEIVE(ctx, "{_, {:data, _}}");
            EXPECT(cop_get_bytes(cop_elem(cop_elem(message, 1), 1), &bytes));
            got += bytes.size;
        }
    EXPECT_INT(got, 16 * sizeof chunk);
}

static void own_with_a_limit(cop_ctx *ctx, cop_term to) {
    open_script(ctx, "seq 100", &(cop_port_opts){ .line = 10, .exit_status = true });
    ASSERT_RECEIVE(ctx, "{_, {:exit_status, 0}}");
    cop_send(ctx, to, cop_list_length(test_flush(ctx)));
}

TEST(a_port_does_not_wait_for_a_full_mailbox, .real_time = true) {
    cop_process_spawn(ctx, own_with_a_limit, cop_self(ctx).t,
                      &(cop_spawn_opts){ .max_queue_len = 2, .max_queue_policy = COP_QUEUE_WAIT });
    ASSERT_RECEIVE(ctx, "100");
}

/* ---- the end of a port, and its program -------------------------------------------------------------------- */

TEST(what_was_written_is_handed_over_after_the_close, .real_time = true) {
    char path[64], script[256];
    snprintf(path, sizeof path, "/tmp/coppice-%llx", (unsigned long long)test_unique());
    snprintf(script, sizeof script, "exec >&2; sleep 0.2; cat >%s.part; mv %s.part %s", path, path,
             path);
    cop_port port = open_script(ctx, script, &(cop_port_opts){ .out = true });
    int os_pid = os_pid_of(ctx, port);
    static char bytes[300000];
    cop_port_command(ctx, port, cop_binary(ctx, bytes, sizeof bytes));
    cop_port_close(ctx, port);
    await_gone(ctx, os_pid);
    EXPECT_INT(truncate(path, sizeof bytes), 0); /* it is there */
    snprintf(script, sizeof script, "wc -c <%s; rm %s", path, path);
    expect_output(ctx, script, (cop_port_opts){ 0 }, "300000");
}

TEST(a_program_that_goes_on_is_ended_by_signals, .real_time = true) {
    cop_port_opts opts = { .grace_ms = 50 };
    cop_port port = open_script(ctx, "sleep 1000 & wait", &opts);
    int os_pid = os_pid_of(ctx, port);
    cop_port_close(ctx, port);
    await_gone(ctx, os_pid);
    /* One that does not mind SIGTERM too. */
    port = open_script(ctx, "trap '' TERM; echo ready; sleep 1000 & sleep 1000", &opts);
    ASSERT_RECEIVE(ctx, "{_, {:data, \"ready\\n\"}}");
    os_pid = os_pid_of(ctx, port);
    cop_process_unlink(ctx, port);
    cop_process_exit(ctx, port, cop_a(kill));
    await_gone(ctx, os_pid);
}

TEST(a_program_may_end_by_itself_in_the_grace, .real_time = true) {
    char path[64], script[128];
    snprintf(path, sizeof path, "/tmp/coppice-%llx", (unsigned long long)test_unique());
    snprintf(script, sizeof script, "cat >/dev/null; sleep 0.1; : >%s", path);
    cop_port port = open_script(ctx, script, &(cop_port_opts){ .grace_ms = 10000 });
    int os_pid = os_pid_of(ctx, port);
    cop_port_close(ctx, port);
    await_gone(ctx, os_pid);
    EXPECT_INT(unlink(path), 0);
}

static int left_behind[3];

static void leave_programs(cop_ctx *ctx, cop_term arg) {
    static char bytes[300000];
    cop_port_opts opts = { .grace_ms = 50 };
    left_behind[0] = os_pid_of(ctx, open_script(ctx, "sleep 1000", &opts));
    left_behind[1] = os_pid_of(ctx, open_script(ctx, "trap '' TERM; sleep 1000", &opts));
    cop_port port = open_script(ctx, "sleep 1000", &opts);
    left_behind[2] = os_pid_of(ctx, port);
    cop_port_command(ctx, port, cop_binary(ctx, bytes, sizeof bytes));
    cop_node_shutdown(ctx, 7);
    wait_for_end(ctx, COP_NIL);
}

TEST_HOST(a_node_that_stops_leaves_no_program_behind) {
    for (int i = 0; i < 2; i++) {
        EXPECT_INT(cop_run(&(cop_node_opts){ .no_logger = true }, leave_programs), 7);
        for (int n = 0; n < 3; n++)
            EXPECT(kill(left_behind[n], 0) < 0 && errno == ESRCH);
    }
}

TEST(a_hundred_programs_at_once, .real_time = true, .timeout_s = 60) {
    enum { COUNT = 100 };
    for (int i = 0; i < COUNT; i++) {
        cop_port port = open_program(ctx, "/bin/cat", &(cop_port_opts){ .packet = 2 });
        cop_port_command(ctx, port, cop_format(ctx, "%d", i));
    }
    for (int i = 0; i < COUNT; i++)
        ASSERT_RECEIVE(ctx, "{_, {:data, _}}");
    cop_term ports = cop_port_list(ctx), port;
    EXPECT_INT(cop_list_length(ports), COUNT);
    while (cop_get_cons(ports, &port, &ports))
        cop_port_close(ctx, port);
    EXPECT_TERM(ctx, cop_port_list(ctx), "[]");
}
