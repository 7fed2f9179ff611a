/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proc_lib: the start protocol, where a process came from, stopping, crash reports. Observed on Elixir
 * 1.14 / OTP 25, with a module of the functions below; what OTP 26 and 27 changed (init_fail, the
 * label in reports) is as the specification has it.
 */
#include <coppice.h>
#include <coppice/test.h>
#include <string.h>

/* ---- functions that are started ------------------------------------------------------------------------ */

static void ack_term(cop_ctx *ctx, cop_term arg) {
    cop_pid parent;
    cop_term ret;
    EXPECT(cop_match_tuple(arg, &parent, &ret));
    cop_proc_lib_init_ack_to(ctx, parent, ret);
    cop_process_sleep(ctx, 50);
}
static void ack_ok(cop_ctx *ctx, cop_term arg) {
    cop_proc_lib_init_ack(ctx, cop_started_ok(cop_self(ctx)));
    cop_process_sleep(ctx, COP_INFINITY);
}
static void never(cop_ctx *ctx, cop_term arg) {
    for (;;) /* keeps its frame */
        cop_process_sleep(ctx, COP_INFINITY);
}
static void exit_with(cop_ctx *ctx, cop_term reason) { cop_exit(ctx, reason); }
static void throw_it(cop_ctx *ctx, cop_term value) { cop_throw(ctx, value); }
static void raise_it(cop_ctx *ctx, cop_term arg) { cop_raise(ctx, "RuntimeError", "oops"); }
static void fine(cop_ctx *ctx, cop_term arg) {}

static cop_term to_mod(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    cop_pid parent;
    if (argc == 2 && cop_get_pid(argv[0], &parent))
        cop_proc_lib_init_ack_to(ctx, parent, argv[1]);
    cop_process_sleep(ctx, 50);
    return cop_a(ok).t;
}
static cop_term mod_exit(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    cop_exit(ctx, argv[0]);
}
static const cop_module mod = {
    .name = "Elixir.M",
    .exports = (const cop_export[]){ { "ack", 2, to_mod }, { "exit_it", 1, mod_exit }, { 0 } },
};

static cop_term parsed(cop_ctx *ctx, const char *text) {
    cop_term t;
    EXPECT(cop_parse(ctx, text, strlen(text), &t, NULL));
    return t;
}

static cop_term started(cop_ctx *ctx, cop_started s) { return cop_started_to_term(ctx, s); }

/* Until it waits: then it has begun, and its dictionary is there. */
static void await_waiting(cop_ctx *ctx, cop_pid pid) {
    while (!cop_match(cop_process_info(ctx, pid, cop_a(status)), cop_a(waiting))
           || cop_match(cop_proc_lib_initial_call(ctx, pid), cop_a(false)))
        cop_yield(ctx);
}

/* ---- starting -------------------------------------------------------------------------------------------- */

TEST(PR_130_what_is_acknowledged_is_returned) {
    cop_term two = cop_tuple(ctx, cop_self(ctx), cop_tuple(ctx, cop_a(ok), cop_self(ctx), 2));
    EXPECT_SAME(ctx, started(ctx, cop_proc_lib_start(ctx, ack_term, two, NULL)),
                cop_tuple(ctx, cop_a(ok), cop_self(ctx), 2));
    cop_term other = cop_tuple(ctx, cop_self(ctx), "any");
    cop_started s = cop_proc_lib_start_link(ctx, ack_term, other, NULL);
    EXPECT(s.is == COP_OTHER);
    EXPECT_TERM(ctx, started(ctx, s), "\"any\"");
    s = cop_proc_lib_start_monitor(ctx, ack_term, other, NULL);
    EXPECT_TERM(ctx, started(ctx, s), "\"any\"");
    EXPECT_TERM(ctx, cop_elem(ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :normal}"), 1),
                "_"); /* its monitor is the caller's */
    s = cop_proc_lib_start_link(ctx, ack_ok, COP_NONE, NULL);
    EXPECT(s.is == COP_STARTED && cop_process_is_alive(ctx, s.pid));
    /* On the wire it is {:ack, pid, ret}. */
    cop_pid p = cop_proc_lib_spawn(ctx, ack_term, other);
    EXPECT_SAME(ctx, ASSERT_RECEIVE(ctx, "{:ack, _, _}"), cop_tuple(ctx, cop_a(ack), p, "any"));
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

TEST(PR_130_a_function_by_name_is_started) {
    cop_module_load(&mod);
    cop_term args = cop_list(ctx, cop_self(ctx), cop_a(hello));
    cop_atom m = cop_as("Elixir.M"), f = cop_a(ack);
    EXPECT_TERM(ctx, started(ctx, cop_proc_lib_start_mfa(ctx, m, f, args, NULL)), ":hello");
    EXPECT_TERM(ctx, started(ctx, cop_proc_lib_start_link_mfa(ctx, m, f, args, NULL)), ":hello");
    cop_started s = cop_proc_lib_start_monitor_mfa(ctx, m, f, args, NULL);
    EXPECT_TERM(ctx, started(ctx, s), ":hello");
    EXPECT_SAME(ctx, cop_elem(ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :normal}"), 1), s.ref);
    EXPECT_ERROR(ctx, ":function_clause") {
        cop_proc_lib_start_mfa(ctx, m, f, cop_a(notalist).t, NULL);
    }
}

static void start_link_a_failing(cop_ctx *ctx, cop_term to) {
    cop_started s = cop_proc_lib_start_link(ctx, exit_with, cop_a(boo).t, NULL);
    cop_send(ctx, to, started(ctx, s));
}

TEST(PR_131_a_child_that_ends_before_it_acknowledges) {
    cop_term boo = cop_a(boo).t;
    EXPECT_TERM(ctx, started(ctx, cop_proc_lib_start(ctx, exit_with, boo, NULL)), "{:error, :boo}");
    EXPECT_TERM(ctx, started(ctx, cop_proc_lib_start(ctx, raise_it, boo, NULL)),
                "{:error, {%RuntimeError{message: \"oops\"}, [_ | _]}}");
    EXPECT_TERM(ctx, started(ctx, cop_proc_lib_start(ctx, fine, boo, NULL)), "{:error, :normal}");
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
    /* start_monitor leaves the down message to the caller */
    cop_started s = cop_proc_lib_start_monitor(ctx, exit_with, boo, NULL);
    EXPECT_TERM(ctx, started(ctx, s), "{:error, :boo}");
    EXPECT_SAME(ctx, cop_elem(ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :boo}"), 1), s.ref);
    /* a linked caller dies with it, unless it traps */
    cop_spawned caller = cop_spawn_monitor(ctx, start_link_a_failing, cop_self(ctx).t);
    cop_term down = ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :boo}");
    EXPECT_SAME(ctx, cop_elem(down, 3), caller.pid);
    test_trap_exit(ctx);
    EXPECT_TERM(ctx, started(ctx, cop_proc_lib_start_link(ctx, exit_with, boo, NULL)),
                "{:error, :boo}");
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

static void start_link_a_returning(cop_ctx *ctx, cop_term to) {
    cop_started s = cop_proc_lib_start_link(ctx, fine, COP_NONE, NULL);
    cop_send(ctx, to, started(ctx, s));
}

TEST(PR_132_a_linked_child_returns_without_a_word) {
    cop_spawn(ctx, start_link_a_returning, cop_self(ctx).t);
    ASSERT_RECEIVE(ctx, "{:error, :normal}");
}

TEST(PR_133_a_start_that_takes_too_long) {
    cop_start_opts opts = { .timeout_ms = 20 };
    for (int trap = 0; trap < 2; trap++) {
        cop_process_trap_exit(ctx, trap == 1);
        EXPECT_TERM(ctx, started(ctx, cop_proc_lib_start(ctx, never, COP_NONE, &opts)),
                    "{:error, :timeout}");
        EXPECT_TERM(ctx, started(ctx, cop_proc_lib_start_link(ctx, never, COP_NONE, &opts)),
                    "{:error, :timeout}");
        EXPECT_TERM(ctx, test_flush(ctx), "[]");
        EXPECT_TERM(ctx, cop_process_info(ctx, cop_self(ctx), cop_a(links)), "[]");
    }
    cop_started s = cop_proc_lib_start_monitor(ctx, never, COP_NONE, &opts);
    EXPECT_TERM(ctx, started(ctx, s), "{:error, :timeout}");
    cop_term down = ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :killed}");
    EXPECT_SAME(ctx, cop_elem(down, 1), s.ref);
    EXPECT(!cop_process_is_alive(ctx, (cop_pid){ cop_elem(down, 3) }));
}

TEST(PR_134_no_monitor_among_the_options) {
    cop_spawn_opts wrong[] = { { .monitor = true },
                               { .monitor_alias = COP_ALIAS_DEMONITOR },
                               { .monitor_tag = cop_a(t).t } };
    for (size_t i = 0; i < 3; i++) {
        cop_start_opts opts = { .spawn = &wrong[i] };
        EXPECT_ERROR(ctx, ":badarg") { cop_proc_lib_start(ctx, ack_ok, COP_NONE, &opts); }
        EXPECT_ERROR(ctx, ":badarg") { cop_proc_lib_start_link(ctx, ack_ok, COP_NONE, &opts); }
        EXPECT_ERROR(ctx, ":badarg") { cop_proc_lib_start_monitor(ctx, ack_ok, COP_NONE, &opts); }
    }
    /* spawn_opt takes one; and a start takes a link */
    cop_spawned s = cop_proc_lib_spawn_opt(ctx, fine, COP_NONE, &wrong[0]);
    cop_term down = ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :normal}");
    EXPECT_SAME(ctx, cop_elem(down, 1), s.ref);
    test_trap_exit(ctx);
    cop_spawn_opts linked = { .link = true, .priority = COP_PRIORITY_HIGH };
    cop_started child =
        cop_proc_lib_start(ctx, ack_ok, COP_NONE, &(cop_start_opts){ .spawn = &linked });
    EXPECT_TERM(ctx, cop_process_info(ctx, child.pid, cop_a(priority)), ":high");
    cop_process_exit(ctx, child.pid, cop_a(boo));
    ASSERT_RECEIVE(ctx, "{:EXIT, _, :boo}");
}

static void fail_normally(cop_ctx *ctx, cop_term arg) {
    cop_caught normal = { .class = COP_CLASS_EXIT, .reason = cop_a(normal).t };
    cop_proc_lib_init_fail_to(ctx, cop_proc_lib_parent(ctx),
                              cop_tuple(ctx, cop_a(error), cop_a(nope)), &normal);
}
static void fail_with_an_error(cop_ctx *ctx, cop_term arg) {
    cop_caught error = { .class = COP_CLASS_ERROR, .reason = cop_a(bad).t, .stacktrace = COP_NIL };
    cop_proc_lib_init_fail_to(ctx, cop_proc_lib_parent(ctx), cop_a(whatever).t, &error);
}

TEST(PR_135_init_fail_leaves_nothing) {
    test_trap_exit(ctx);
    for (int i = 0; i < 50; i++) {
        size_t before = cop_node_process_count();
        EXPECT_TERM(ctx, started(ctx, cop_proc_lib_start_link(ctx, fail_normally, COP_NONE, NULL)),
                    "{:error, :nope}");
        EXPECT_INT(cop_node_process_count(), before);
        EXPECT_TERM(ctx, test_flush(ctx), "[]");
    }
    test_capture_log(ctx);
    cop_started s = cop_proc_lib_start_monitor(ctx, fail_with_an_error, COP_NONE, NULL);
    EXPECT_TERM(ctx, started(ctx, s), ":whatever");
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, {:bad, []}}");
    cop_term log = ASSERT_RECEIVE(ctx, "{:log, :error, {:report, _}, _}"), report;
    EXPECT(cop_map_get(cop_elem(cop_elem(log, 2), 1), cop_a(report).t, &report));
    EXPECT_TERM(ctx, cop_head(report), "[_, _, _, _, {:error_info, {:error, :bad, []}} | _]");
}

/* ---- where a process came from ------------------------------------------------------------------------------ */

static void tell_dictionary(cop_ctx *ctx, cop_term to) {
    cop_send(ctx, to, cop_process_dictionary(ctx));
    cop_process_sleep(ctx, 10);
}
static void tell_and_start_another(cop_ctx *ctx, cop_term to) {
    cop_proc_lib_spawn(ctx, tell_dictionary, to);
    cop_process_sleep(ctx, 10);
}

TEST(PR_136_ancestors_and_initial_call) {
    cop_pid me = cop_self(ctx);
    cop_pid p = cop_proc_lib_spawn(ctx, tell_and_start_another, me.t);
    cop_term dictionary = ASSERT_RECEIVE(ctx, "[_ | _]"), value = COP_NONE, pair;
    cop_term map = cop_map(ctx);
    while (cop_get_cons(dictionary, &pair, &dictionary))
        map = cop_map_put(ctx, map, cop_elem(pair, 0), cop_elem(pair, 1));
    EXPECT_TERM(ctx, map, "%{\"$initial_call\": {:c, :tell_dictionary, 2}}");
    EXPECT(cop_map_get(map, cop_as("$ancestors").t, &value));
    cop_term before = cop_process_get(ctx, cop_as("$ancestors").t); /* the test's own */
    EXPECT_SAME(ctx, value, cop_list_tail(ctx, p, me, cop_is_none(before) ? COP_NIL : before));
    cop_pid o = cop_proc_lib_start(ctx, ack_ok, COP_NONE, NULL).pid;
    cop_process_register(ctx, me, cop_a(parentname));
    cop_pid q = cop_proc_lib_start(ctx, ack_ok, COP_NONE, NULL).pid;
    cop_term key = cop_tuple(ctx, cop_a(dictionary), cop_as("$ancestors"));
    EXPECT(cop_match(cop_head(cop_process_info(ctx, o, key)), me));
    EXPECT_TERM(ctx, cop_process_info(ctx, q, key), "[:parentname | _]");
}

/* Children that are started one after another share what they begin with: it must not be another's. */
TEST(PR_136_ancestors_of_children_of_several_kinds) {
    static const char *const calls[] = { "Counter", "Other", NULL, "Other", "gen:loop/3", "Other" };
    for (int i = 0; i < 6; i++) {
        cop_start_opts opts = { .initial_call = calls[i] };
        cop_pid p = cop_proc_lib_start(ctx, ack_ok, COP_NONE, &opts).pid;
        EXPECT_TERM(ctx, cop_proc_lib_translate_initial_call(ctx, p),
                    i == 0   ? "{Counter, :init, 1}"
                    : i == 2 ? "{:c, :ack_ok, 2}"
                    : i == 4 ? "{:gen, :loop, 3}"
                             : "{Other, :init, 1}");
    }
    cop_spawn_opts given = { .dictionary = cop_map(ctx, cop_a(mine), 1) };
    cop_pid p = cop_proc_lib_start(ctx, ack_ok, COP_NONE, &(cop_start_opts){ .spawn = &given }).pid;
    EXPECT_TERM(ctx, cop_process_info(ctx, p, cop_tuple(ctx, cop_a(dictionary), cop_a(mine))), "1");
    EXPECT_TERM(ctx, cop_proc_lib_translate_initial_call(ctx, p), "{:c, :ack_ok, 2}");
    cop_process_put(ctx, cop_as("$ancestors").t, cop_list(ctx, cop_a(somebody)));
    p = cop_proc_lib_start(ctx, ack_ok, COP_NONE, NULL).pid;
    EXPECT_TERM(ctx,
                cop_process_info(ctx, p, cop_tuple(ctx, cop_a(dictionary), cop_as("$ancestors"))),
                "[_, :somebody]");
}

TEST(PR_136_a_name_for_the_initial_call) {
    cop_module_load(&mod);
    cop_start_opts named = { .initial_call = "Counter" };
    cop_started s = cop_proc_lib_start(ctx, ack_ok, COP_NONE, &named);
    EXPECT_TERM(ctx, cop_proc_lib_translate_initial_call(ctx, s.pid), "{Counter, :init, 1}");
    EXPECT_TERM(ctx, cop_proc_lib_initial_call(ctx, s.pid), "{Counter, :init, [:Argument__1]}");
    named.initial_call = "gen:loop/3";
    s = cop_proc_lib_start(ctx, ack_ok, COP_NONE, &named);
    EXPECT_TERM(ctx, cop_proc_lib_initial_call(ctx, s.pid),
                "{:gen, :loop, [:Argument__1, :Argument__2, :Argument__3]}");
    EXPECT_TERM(ctx, cop_process_info(ctx, s.pid, cop_a(initial_call)), "{:proc_lib, :init_p, 5}");
    cop_pid p =
        cop_proc_lib_spawn_mfa(ctx, cop_as("Elixir.M"), cop_a(ack), cop_list(ctx, 1, 2), NULL).pid;
    await_waiting(ctx, p);
    EXPECT_TERM(ctx, cop_proc_lib_translate_initial_call(ctx, p), "{M, :ack, 2}");
    p = cop_proc_lib_spawn_fun(ctx, cop_fun(ctx, to_mod, 0, COP_NIL), NULL).pid;
    await_waiting(ctx, p);
    EXPECT_TERM(ctx, cop_proc_lib_translate_initial_call(ctx, p), "{:c, _, 0}");
    EXPECT_TERM(ctx, cop_process_info(ctx, p, cop_a(initial_call)), "{:proc_lib, :init_p, 3}");
    cop_started sup = cop_supervisor_start_link(ctx, NULL, 0, NULL);
    EXPECT_TERM(ctx, cop_proc_lib_translate_initial_call(ctx, sup.pid),
                "{:supervisor, Supervisor.Default, 1}");
    await_waiting(ctx, sup.pid);
    EXPECT_TERM(ctx, cop_process_info(ctx, sup.pid, cop_a(current_function)),
                "{:gen_server, :loop, 7}");
}

TEST(PR_139_the_initial_call_of_a_raw_process) {
    cop_pid raw = cop_spawn(ctx, never, COP_NONE), dead = test_dead_pid(ctx);
    EXPECT_TERM(ctx, cop_proc_lib_initial_call(ctx, raw), "false");
    EXPECT_TERM(ctx, cop_proc_lib_translate_initial_call(ctx, raw), "{:proc_lib, :init_p, 5}");
    EXPECT_TERM(ctx, cop_proc_lib_initial_call(ctx, dead), "false");
    EXPECT_TERM(ctx, cop_proc_lib_translate_initial_call(ctx, dead), "{:proc_lib, :init_p, 5}");
}

TEST(a_label_is_undefined_until_it_is_set) {
    EXPECT_TERM(ctx, cop_proc_lib_get_label(ctx, cop_self(ctx)), ":undefined");
    cop_proc_lib_set_label(ctx, cop_tuple(ctx, cop_a(x), 1));
    EXPECT_TERM(ctx, cop_proc_lib_get_label(ctx, cop_self(ctx)), "{:x, 1}");
    EXPECT_TERM(ctx, cop_proc_lib_get_label(ctx, test_dead_pid(ctx)), ":undefined");
}

/* ---- crash reports ------------------------------------------------------------------------------------------- */

/* The one crash report there is: own part, with its metadata and neighbours if they are asked for. */
static cop_term crash(cop_ctx *ctx, cop_term *metadata, cop_term *neighbours) {
    cop_term log = ASSERT_RECEIVE(
        ctx, "{:log, :error, {:report, %{label: {:proc_lib, :crash}, report: [_, _]}}, _}");
    cop_term report = COP_NONE;
    cop_map_get(cop_elem(cop_elem(log, 2), 1), cop_a(report).t, &report);
    if (metadata != NULL)
        *metadata = cop_elem(log, 3);
    if (neighbours != NULL)
        *neighbours = cop_head(cop_tail(report));
    return cop_head(report);
}

static cop_term of_list(cop_term list, cop_atom key) {
    cop_term pair, value;
    while (cop_get_cons(list, &pair, &list))
        if (cop_match_tuple(pair, key, &value))
            return value;
    return COP_NONE;
}

TEST(PR_137_a_crash_report_for_each_class) {
    test_capture_log(ctx);
    static const struct {
        cop_entry entry;
        const char *arg, *info, *reason;
    } kinds[] = {
        { raise_it, ":x", "{:error, %RuntimeError{message: \"oops\"}, [_ | _]}",
          "{%RuntimeError{message: \"oops\"}, [_ | _]}" },
        { throw_it, ":ball", "{:throw, :ball, [_ | _]}", "{{:nocatch, :ball}, [_ | _]}" },
        { exit_with, ":boo", "{:exit, :boo, [_ | _]}", ":boo" },
        { exit_with, "{:bad, 1}", "{:exit, {:bad, 1}, [_ | _]}", "{:bad, 1}" },
    };
    for (size_t i = 0; i < 4; i++) {
        cop_term metadata;
        cop_pid p = cop_proc_lib_spawn(ctx, kinds[i].entry, parsed(ctx, kinds[i].arg));
        cop_term own = crash(ctx, &metadata, NULL);
        EXPECT_TERM(ctx, test_await_down(ctx, p), "_");
        EXPECT_SAME(ctx, of_list(own, cop_a(pid)), p);
        EXPECT_TERM(ctx, of_list(own, cop_a(error_info)), kinds[i].info);
        EXPECT_TERM(ctx, metadata,
                    "%{domain: [:otp, :sasl], error_logger: %{tag: :error_report, "
                    "type: :crash_report}, logger_formatter: %{title: 'CRASH REPORT'}, pid: _, "
                    "gl: _, time: _}");
        cop_spawn_opts monitored = { .monitor = true };
        cop_proc_lib_spawn_opt(ctx, kinds[i].entry, parsed(ctx, kinds[i].arg), &monitored);
        crash(ctx, NULL, NULL);
        cop_term down = ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, _}");
        EXPECT_TERM(ctx, cop_elem(down, 4), kinds[i].reason);
    }
    EXPECT_TERM(ctx, test_flush(ctx),
                "[]"); /* one event for each, and no second one of the node's */
}

TEST(PR_137_no_report_for_these) {
    test_capture_log(ctx);
    static const char *const quiet[] = { ":normal", ":shutdown", "{:shutdown, 1}" };
    for (size_t i = 0; i < 3; i++)
        test_await_down(ctx, cop_proc_lib_spawn(ctx, exit_with, parsed(ctx, quiet[i])));
    static const char *const signals[] = { ":kill", ":boo" };
    for (size_t i = 0; i < 2; i++) {
        cop_pid p = cop_proc_lib_spawn(ctx, never, COP_NONE);
        cop_process_exit(ctx, p, parsed(ctx, signals[i]));
        test_await_down(ctx, p);
    }
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

static void crash_with_neighbours(cop_ctx *ctx, cop_term to) {
    cop_process_put(ctx, cop_a(user).t, cop_of(ctx, 1));
    cop_process_register(ctx, cop_self(ctx), cop_a(named));
    cop_process_set_label(ctx, cop_a(label));
    cop_send(ctx, cop_self(ctx), cop_a(queued));
    cop_pid plain = cop_spawn_link(ctx, never, COP_NONE);
    cop_pid lib = cop_proc_lib_spawn_link(ctx, never, COP_NONE);
    cop_send(ctx, to, cop_tuple(ctx, cop_a(started), plain, lib));
    await_waiting(ctx, lib);
    while (!cop_is_cons(cop_process_info(ctx, plain, cop_a(current_stacktrace))))
        cop_yield(ctx); /* until it sleeps */
    cop_exit(ctx, cop_a(boo));
}

TEST(PR_138_own_part_and_neighbours) {
    test_capture_log(ctx);
    cop_pid p = cop_proc_lib_spawn(ctx, crash_with_neighbours, cop_self(ctx).t), plain, lib;
    cop_term told = ASSERT_RECEIVE(ctx, "{:started, _, _}"), neighbours, n;
    EXPECT(cop_match_tuple(told, cop_a(started), &plain, &lib));
    cop_term own = crash(ctx, NULL, &neighbours);
    EXPECT_TERM(ctx, own,
                "[initial_call: {:c, :crash_with_neighbours, [:Argument__1, :Argument__2]}, "
                "pid: _, registered_name: :named, process_label: :label, "
                "error_info: {:exit, :boo, [_ | _]}, ancestors: [_ | _], message_queue_len: 1, "
                "messages: [:queued], links: [_, _], dictionary: [user: 1], trap_exit: false, "
                "status: :running, heap_size: _, stack_size: _, reductions: _]");
    EXPECT_SAME(ctx, of_list(own, cop_a(pid)), p);
    EXPECT_INT(cop_list_length(neighbours), 2);
    while (cop_get_cons(neighbours, &n, &neighbours)) {
        EXPECT_TERM(ctx, n,
                    "{:neighbour, [pid: _, registered_name: [], process_label: :undefined, "
                    "initial_call: {:c, :never, _}, current_function: {:c, :never, _}, "
                    "ancestors: _, message_queue_len: 0, links: [_], trap_exit: false, "
                    "status: :waiting, heap_size: _, stack_size: _, reductions: _, "
                    "current_stacktrace: [_ | _]]}");
        cop_term list = cop_elem(n, 1), ancestors = of_list(list, cop_a(ancestors));
        if (cop_same(of_list(list, cop_a(pid)), lib.t))
            EXPECT_TERM(ctx, cop_head(ancestors), ":named");
        else
            EXPECT_TERM(ctx, ancestors, "[]");
    }
}

/* A chain of processes, each linked to the next; the third of them traps exits. */
static void chain(cop_ctx *ctx, cop_term arg) {
    cop_pid to;
    int64_t left;
    EXPECT(cop_match_tuple(arg, &to, &left));
    if (left == 3)
        cop_process_trap_exit(ctx, true);
    if (left > 0)
        cop_spawn_link(ctx, chain, cop_tuple(ctx, to, left - 1));
    else
        cop_send(ctx, to, cop_a(built));
    cop_process_sleep(ctx, COP_INFINITY);
}

static void crash_in_a_crowd(cop_ctx *ctx, cop_term arg) {
    cop_pid to;
    int64_t kind;
    cop_term message;
    EXPECT(cop_match_tuple(arg, &to, &kind));
    if (kind == 0) {
        cop_spawn_link(ctx, chain, cop_tuple(ctx, cop_self(ctx), 5));
        cop_receive(ctx, COP_INFINITY, &message);
    }
    for (int i = 0; i < 20 && kind == 1; i++)
        cop_spawn_link(ctx, never, COP_NONE);
    cop_exit(ctx, cop_a(boo));
}

TEST(PR_138_neighbours_are_reached_through_those_that_do_not_trap) {
    test_capture_log(ctx);
    cop_term neighbours;
    cop_proc_lib_spawn(ctx, crash_in_a_crowd, cop_tuple(ctx, cop_self(ctx), 0));
    crash(ctx, NULL, &neighbours);
    EXPECT_INT(cop_list_length(neighbours), 2);
    cop_proc_lib_spawn(ctx, crash_in_a_crowd, cop_tuple(ctx, cop_self(ctx), 1));
    crash(ctx, NULL, &neighbours);
    EXPECT_INT(cop_list_length(neighbours), 15);
}

static uint32_t stop_spinning;

static void spin(cop_ctx *ctx, cop_term to) {
    cop_send(ctx, to, cop_a(spinning));
    while (!__atomic_load_n(&stop_spinning, __ATOMIC_ACQUIRE))
        ;
}
static void crash_beside_a_busy_one(cop_ctx *ctx, cop_term arg) {
    cop_term message;
    cop_spawn_link(ctx, spin, cop_self(ctx).t);
    cop_receive(ctx, COP_INFINITY, &message);
    cop_exit(ctx, cop_a(boo));
}

TEST(a_busy_neighbour_does_not_hold_a_crash_up, .real_time = true) {
    test_capture_log(ctx);
    cop_term neighbours;
    cop_spawn_opts monitored = { .monitor = true };
    cop_proc_lib_spawn_opt(ctx, crash_beside_a_busy_one, COP_NONE, &monitored);
    crash(ctx, NULL, &neighbours);
    EXPECT_INT(cop_list_length(neighbours), 1); /* the node's monitor answers for it */
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :boo}");
    __atomic_store_n(&stop_spinning, 1, __ATOMIC_RELEASE);
}

static void wake_and_crash(cop_ctx *ctx, cop_term arg) { cop_exit(ctx, arg); }
static void hibernate_first(cop_ctx *ctx, cop_term to) {
    cop_proc_lib_hibernate(ctx, wake_and_crash, cop_a(after_waking).t);
}
static void hibernate_by_name(cop_ctx *ctx, cop_term to) {
    cop_proc_lib_hibernate_mfa(ctx, cop_as("Elixir.M"), cop_a(exit_it),
                               cop_list(ctx, cop_a(by_name)));
}
static void hibernate_badly(cop_ctx *ctx, cop_term to) {
    cop_proc_lib_hibernate_mfa(ctx, cop_as("Elixir.M"), cop_a(exit_it), cop_a(notalist).t);
}

TEST(a_crash_after_hibernation_is_reported) {
    test_capture_log(ctx);
    cop_module_load(&mod);
    cop_pid p = cop_proc_lib_spawn(ctx, hibernate_first, COP_NONE);
    cop_pid q = cop_proc_lib_spawn(ctx, hibernate_by_name, COP_NONE);
    await_waiting(ctx, p);
    await_waiting(ctx, q);
    EXPECT_TERM(ctx, cop_proc_lib_initial_call(ctx, p),
                "{:c, :hibernate_first, [:Argument__1, :Argument__2]}");
    cop_send(ctx, p, cop_a(wake));
    EXPECT_TERM(ctx, of_list(crash(ctx, NULL, NULL), cop_a(error_info)),
                "{:exit, :after_waking, _}");
    cop_send(ctx, q, cop_a(wake));
    EXPECT_TERM(ctx, of_list(crash(ctx, NULL, NULL), cop_a(error_info)), "{:exit, :by_name, _}");
    cop_proc_lib_spawn(ctx, hibernate_badly, COP_NONE);
    EXPECT_TERM(ctx, of_list(crash(ctx, NULL, NULL), cop_a(error_info)),
                "{:error, :function_clause, [_ | _]}");
}

/* ---- stopping ------------------------------------------------------------------------------------------------- */

/* Takes the system message, answers if arg is not 1, and ends as arg says. */
static void server(cop_ctx *ctx, cop_term arg) {
    int64_t kind;
    cop_term message, from, reason;
    EXPECT(cop_match(arg, &kind));
    cop_receive(ctx, COP_INFINITY, &message);
    EXPECT(cop_match_tuple(message, cop_a(system), &from, &message));
    EXPECT(cop_match_tuple(message, cop_a(terminate), &reason));
    if (kind == 0 || kind == 2)
        cop_gen_server_reply(ctx, (cop_from){ from }, cop_a(ok));
    if (kind == 0 || kind == 3)
        cop_exit(ctx, reason);
    cop_exit(ctx, cop_a(other));
}

TEST(stop_waits_for_the_end) {
    static const char *const ends[] = {
        NULL,
        "{:other, {:sys, :terminate, [_, :why, 1000]}}",
        ":other",
        "{:why, {:sys, :terminate, [_, :why, 1000]}}",
    };
    for (int i = 0; i < 4; i++) {
        cop_pid p = cop_spawn(ctx, server, cop_of(ctx, i));
        if (ends[i] == NULL) {
            cop_proc_lib_stop(ctx, p, cop_a(why), 1000);
            continue;
        }
        EXPECT_EXIT(ctx, ends[i]) { cop_proc_lib_stop(ctx, p, cop_a(why), 1000); }
    }
    cop_pid p = cop_spawn(ctx, never, COP_NONE);
    EXPECT_EXIT(ctx, ":timeout") { cop_proc_lib_stop(ctx, p, cop_a(why), 20); }
    EXPECT_TERM(ctx, cop_process_info(ctx, p, cop_a(messages)),
                "[{:system, {_, [:alias | _]}, {:terminate, :why}}]");
    EXPECT_EXIT(ctx, ":noproc") { cop_proc_lib_stop(ctx, test_dead_pid(ctx), cop_a(why), 0); }
    EXPECT_EXIT(ctx, ":noproc") { cop_proc_lib_stop(ctx, cop_a(nosuch), cop_a(why), 0); }
    EXPECT_ERROR(ctx, ":badarg") { cop_proc_lib_stop(ctx, cop_of(ctx, "x"), cop_a(why), 0); }
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}
