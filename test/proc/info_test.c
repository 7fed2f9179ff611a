/* SPDX-License-Identifier: Apache-2.0 */
/* Flags, information, dictionary, labels, suspending, collecting; cases of the process chapter. */
#include "help.h"

static cop_pid me(cop_ctx *ctx) { return cop_self(ctx); }

/* ---- flags ------------------------------------------------------------------------------------------- */

TEST(PR_100_trap_exit_gives_the_old_value) {
    EXPECT_TERM(ctx, cop_process_flag(ctx, cop_a(trap_exit), cop_bool(true)), "false");
    EXPECT_TERM(ctx, cop_process_flag(ctx, cop_a(trap_exit), cop_bool(false)), "true");
    EXPECT(!cop_process_trap_exit(ctx, true) && cop_process_trap_exit(ctx, false));
    EXPECT_ERROR(ctx, ":badarg") { cop_process_flag(ctx, cop_a(trap_exit), 1); }
    EXPECT_ERROR(ctx, ":badarg") { cop_process_flag(ctx, cop_a(no_such_flag), cop_bool(true)); }
}

TEST(PR_101_max_heap_size_gives_the_old_map) {
    EXPECT_TERM(ctx, cop_process_flag(ctx, cop_a(max_heap_size), 1000000),
                "%{size: 0, kill: true, error_logger: true}");
    EXPECT_TERM(ctx,
                cop_process_flag(ctx, cop_a(max_heap_size),
                                 cop_map(ctx, cop_a(size), 2000000, cop_a(kill), cop_bool(false))),
                "%{size: 1000000, kill: true, error_logger: true}");
    EXPECT_TERM(ctx, cop_process_info(ctx, me(ctx), cop_a(max_heap_size)),
                "%{size: 2000000, kill: false, error_logger: true}");
    EXPECT_ERROR(ctx, ":badarg") { cop_process_flag(ctx, cop_a(max_heap_size), 100); }
    EXPECT_ERROR(ctx, ":badarg") { cop_process_flag(ctx, cop_a(max_heap_size), cop_map(ctx)); }
}

TEST(flags_give_what_info_shows) {
    EXPECT_TERM(ctx, cop_process_flag(ctx, cop_a(fullsweep_after), 3), "65535");
    EXPECT_TERM(ctx, cop_process_flag(ctx, cop_a(min_heap_size), 1000), "233");
    EXPECT_TERM(ctx, cop_process_flag(ctx, cop_a(min_bin_vheap_size), 50000), "46422");
    EXPECT_TERM(ctx, cop_process_flag(ctx, cop_a(message_queue_data), cop_a(off_heap)), ":on_heap");
    EXPECT_TERM(ctx, cop_process_flag(ctx, cop_a(error_handler), cop_a(foo)), ":error_handler");
    EXPECT_TERM(ctx, cop_process_flag(ctx, cop_a(priority), cop_a(high)), ":normal");
    EXPECT_TERM(ctx, cop_process_flag(ctx, cop_a(async_dist), cop_bool(true)), "false");
    cop_term items = cop_list(ctx, cop_a(fullsweep_after), cop_a(min_heap_size),
                              cop_a(min_bin_vheap_size), cop_a(message_queue_data),
                              cop_a(error_handler), cop_a(priority), cop_a(async_dist));
    EXPECT_TERM(ctx, cop_process_info_list(ctx, me(ctx), items),
                "[fullsweep_after: 3, min_heap_size: 1598, min_bin_vheap_size: 75113, "
                "message_queue_data: :off_heap, error_handler: :foo, priority: :high, "
                "async_dist: true]");
    EXPECT_ERROR(ctx, ":badarg") { cop_process_flag(ctx, cop_a(priority), cop_a(highest)); }
    EXPECT_ERROR(ctx, ":badarg") { cop_process_flag(ctx, cop_a(error_handler), 1); }
}

TEST(PR_102_save_calls) {
    EXPECT_TERM(ctx, cop_process_flag(ctx, cop_a(save_calls), 10), "0");
    EXPECT_TERM(ctx, cop_process_info(ctx, me(ctx), cop_a(last_calls)), "[]");
    EXPECT_ERROR(ctx, ":badarg") { cop_process_flag(ctx, cop_a(save_calls), 10001); }
    cop_pid p = cop_spawn(ctx, wait_for_ever, COP_NONE);
    EXPECT_INT(cop_process_set_save_calls(ctx, p, 5), 0);
    EXPECT_INT(cop_process_set_save_calls(ctx, p, 0), 5);
    EXPECT_INT(cop_process_set_save_calls(ctx, me(ctx), 0), 10);
    EXPECT_ERROR(ctx, ":badarg") { cop_process_set_save_calls(ctx, test_dead_pid(ctx), 5); }
    EXPECT_ERROR(ctx, ":badarg") { cop_process_set_save_calls(ctx, p, 10001); }
}

TEST(a_sensitive_process_shows_neither_mail_nor_dictionary) {
    cop_process_put(ctx, cop_a(key).t, cop_a(secret).t);
    cop_send(ctx, me(ctx), cop_a(secret));
    EXPECT_TERM(ctx, cop_process_flag(ctx, cop_a(sensitive), cop_bool(true)), "false");
    EXPECT_TERM(ctx, cop_process_info(ctx, me(ctx), cop_a(messages)), "[]");
    EXPECT_TERM(ctx, cop_process_info(ctx, me(ctx), cop_a(dictionary)), "[]");
    EXPECT_TERM(ctx, cop_process_flag(ctx, cop_a(sensitive), cop_bool(false)), "true");
    EXPECT_TERM(ctx, cop_process_info(ctx, me(ctx), cop_a(messages)), "[:secret]");
}

TEST(PR_118_subscriptions_to_nodes_are_counted) {
    EXPECT_TERM(ctx, cop_process_flag(ctx, cop_a(monitor_nodes), cop_bool(true)), "0");
    EXPECT_TERM(ctx, cop_process_flag(ctx, cop_a(monitor_nodes), cop_bool(true)), "1");
    EXPECT_TERM(ctx, cop_process_flag(ctx, cop_a(monitor_nodes), cop_bool(false)), "2");
    EXPECT_TERM(ctx, cop_process_flag(ctx, cop_a(monitor_nodes), cop_bool(true)), "0");
}

/* ---- info ---------------------------------------------------------------------------------------------- */

TEST(PR_103_info_has_the_usual_items_in_their_order) {
    cop_pid p = cop_spawn(ctx, wait_for_ever, COP_NONE);
    EXPECT_TERM(
        ctx, cop_process_info_all(ctx, p),
        "[current_function: _, initial_call: _, status: _, message_queue_len: 0, links: [], "
        "dictionary: [], trap_exit: false, error_handler: :error_handler, priority: :normal, "
        "group_leader: _, total_heap_size: _, heap_size: _, stack_size: _, reductions: _, "
        "garbage_collection: [max_heap_size: _, min_bin_vheap_size: _, min_heap_size: _, "
        "fullsweep_after: _, minor_gcs: _], suspending: []]");
    cop_process_register(ctx, p, cop_a(named));
    EXPECT_TERM(ctx, cop_head(cop_process_info_all(ctx, p)), "{:registered_name, :named}");
    EXPECT(cop_is_none(cop_process_info_all(ctx, test_dead_pid(ctx))));
}

TEST(PR_104_one_item_or_a_list) {
    cop_pid p = cop_spawn(ctx, wait_for_ever, COP_NONE);
    EXPECT_TERM(ctx, cop_process_info(ctx, p, cop_a(priority)), ":normal");
    EXPECT_TERM(ctx, cop_process_info_list(ctx, p, cop_list(ctx, cop_a(priority))),
                "[priority: :normal]");
    cop_pid dead = test_dead_pid(ctx);
    EXPECT(cop_is_none(cop_process_info(ctx, dead, cop_a(priority))));
    EXPECT(cop_is_none(cop_process_info_list(ctx, dead, cop_list(ctx, cop_a(priority)))));
}

TEST(PR_105_unknown_items_and_empty_lists) {
    cop_pid dead = test_dead_pid(ctx);
    EXPECT_ERROR(ctx, ":badarg") { cop_process_info(ctx, me(ctx), cop_a(foo)); }
    EXPECT_ERROR(ctx, ":badarg") { cop_process_info(ctx, dead, cop_a(foo)); }
    EXPECT_ERROR(ctx, ":badarg") { cop_process_info_list(ctx, me(ctx), cop_a(links).t); }
    EXPECT_TERM(ctx, cop_process_info_list(ctx, me(ctx), COP_NIL), "[]");
    EXPECT_TERM(
        ctx, cop_process_info_list(ctx, me(ctx), cop_list(ctx, cop_a(trap_exit), cop_a(trap_exit))),
        "[trap_exit: false, trap_exit: false]");
}

static void busy(cop_ctx *ctx, cop_term arg) {
    for (;;)
        cop_bump_reductions(ctx, 100);
}

TEST(PR_106_every_item_is_answered) {
    static const char *const expected[][2] = {
        { "current_function", "{_, _, _}" },
        { "current_location", "{_, _, _, _}" },
        { "current_stacktrace", "[_ | _]" },
        { "initial_call", "{:c, :wait_for_ever, 2}" },
        { "status", ":waiting" },
        { "message_queue_len", "0" },
        { "messages", "[]" },
        { "links", "[_]" },
        { "monitors", "[]" },
        { "monitored_by", "[_, _]" },
        { "dictionary", "[]" },
        { "trap_exit", "false" },
        { "priority", ":normal" },
        { "error_handler", ":error_handler" },
        { "group_leader", "_" },
        { "registered_name", "[]" },
        { "total_heap_size", "_" },
        { "heap_size", "_" },
        { "stack_size", "_" },
        { "min_heap_size", "233" },
        { "min_bin_vheap_size", "46422" },
        { "fullsweep_after", "65535" },
        { "memory", "_" },
        { "reductions", "_" },
        { "garbage_collection", "[_, _, _, _, _]" },
        { "garbage_collection_info",
          "[old_heap_block_size: _, heap_block_size: _, mbuf_size: _, recent_size: _, stack_size: "
          "_, "
          "old_heap_size: _, heap_size: _, bin_vheap_size: _, bin_vheap_block_size: _, "
          "bin_old_vheap_size: _, bin_old_vheap_block_size: _]" },
        { "max_heap_size", "%{size: 0}" },
        { "message_queue_data", ":on_heap" },
        { "async_dist", "false" },
        { "suspending", "[]" },
        { "binary", "[]" },
        { "backtrace", "_" },
        { "catchlevel", "0" },
        { "last_calls", "false" },
        { "sequential_trace_token", "[]" },
        { "trace", "0" },
        { "magic_ref", "[]" },
        { "label", ":undefined" },
    };
    cop_pid p = cop_spawn_link(ctx, wait_for_ever, COP_NONE);
    cop_process_monitor(ctx, p);
    cop_process_monitor(ctx, p);
    while (!cop_same(cop_process_info(ctx, p, cop_a(status)), cop_a(waiting).t))
        cop_yield(ctx);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        cop_term value = cop_process_info(ctx, p, cop_atom_new(expected[i][0]));
        if (!cop_matches(ctx, value, expected[i][1], NULL))
            test_note("item %s", expected[i][0]);
        EXPECT_TERM(ctx, value, expected[i][1]);
    }
    EXPECT_SAME(ctx, cop_process_info(ctx, p, cop_a(parent)), me(ctx));
    EXPECT_TERM(ctx, cop_process_info(ctx, me(ctx), cop_a(status)), ":running");
    EXPECT_TERM(ctx, cop_process_info(ctx, cop_spawn(ctx, busy, COP_NONE), cop_a(status)),
                ":runnable");
    cop_process_put(ctx, cop_a(k).t, cop_a(v).t);
    EXPECT_TERM(ctx, cop_process_info(ctx, me(ctx), cop_tuple(ctx, cop_a(dictionary), cop_a(k))),
                ":v");
    EXPECT_TERM(ctx, cop_process_info(ctx, me(ctx), cop_tuple(ctx, cop_a(dictionary), cop_a(z))),
                ":undefined");
}

static __attribute__((noinline)) void wait_in_a_function_of_its_own(cop_ctx *ctx) {
    cop_term message;
    cop_receive(ctx, COP_INFINITY, &message);
    cop_send(ctx, message, cop_a(done)); /* so that the wait is not a tail call */
}

static void wait_below(cop_ctx *ctx, cop_term arg) { wait_in_a_function_of_its_own(ctx); }

TEST(current_function_is_the_c_function_that_waits) {
    cop_pid p = cop_spawn(ctx, wait_below, COP_NONE);
    while (!cop_same(cop_process_info(ctx, p, cop_a(status)), cop_a(waiting).t))
        cop_yield(ctx);
    EXPECT_TERM(ctx, cop_process_info(ctx, p, cop_a(current_function)),
                "{:c, :wait_in_a_function_of_its_own, 0}");
    EXPECT_TERM(ctx, cop_process_info(ctx, p, cop_a(current_location)),
                "{:c, :wait_in_a_function_of_its_own, 0, [file: 'info_test.c', line: _]}");
    cop_send(ctx, p, me(ctx));
    ASSERT_RECEIVE(ctx, ":done");
}

TEST(binaries_and_memory_are_counted_once) {
    cop_pid p = cop_spawn(ctx, sleep_for_ever, COP_NONE);
    int64_t before = 0, after = 0;
    while (!cop_same(cop_process_info(ctx, p, cop_a(status)), cop_a(waiting).t))
        cop_yield(ctx);
    cop_get_i64(cop_process_info(ctx, p, cop_a(memory)), &before);
    for (int i = 0; i < 10; i++)
        cop_send(ctx, p, cop_list(ctx, 1, 2, 3));
    cop_get_i64(cop_process_info(ctx, p, cop_a(memory)), &after);
    EXPECT(after - before >= 10 * 6 * 8 && after - before < 10 * 200);
    uint8_t *data;
    cop_term big = cop_binary_new(ctx, 100000, &data);
    memset(data, 1, 100000);
    cop_get_i64(cop_process_info(ctx, me(ctx), cop_a(memory)), &before);
    cop_term part = cop_binary_part(ctx, big, 10, 50000);
    cop_get_i64(cop_process_info(ctx, me(ctx), cop_a(memory)), &after);
    EXPECT(after - before < 5000 && before > 100000); /* the part shares it */
    EXPECT_TERM(ctx, cop_process_info(ctx, me(ctx), cop_a(binary)),
                "[{_, 100000, _}, {_, 100000, _}]");
    EXPECT(cop_is_binary(part));
}

/* ---- dictionary, label, group leader ------------------------------------------------------------------------ */

static void tell_dictionary(cop_ctx *ctx, cop_term to) {
    cop_send(ctx, to, cop_process_dictionary(ctx));
}

TEST(PR_108_corners_of_the_dictionary) {
    cop_process_put(ctx, cop_a(k).t, cop_a(undefined).t);
    EXPECT(cop_is_none(cop_process_get(ctx, cop_a(k).t)));
    cop_process_put(ctx, cop_a(k).t, cop_a(nil).t);
    EXPECT_TERM(ctx, cop_process_get(ctx, cop_a(k).t), "nil");
    cop_process_put(ctx, cop_of(ctx, 1), cop_a(integer).t);
    cop_process_put(ctx, cop_of(ctx, 1.0), cop_a(real).t);
    EXPECT_TERM(ctx, cop_process_get(ctx, cop_of(ctx, 1)), ":integer");
    EXPECT_TERM(ctx, cop_process_get(ctx, cop_of(ctx, 1.0)), ":real");
    cop_spawn(ctx, tell_dictionary, me(ctx).t);
    ASSERT_RECEIVE(ctx, "[]");
}

TEST(keys_of_the_dictionary) {
    EXPECT_TERM(ctx, cop_process_get_keys(ctx), "[]");
    cop_process_put(ctx, cop_a(foo).t, cop_a(baz).t);
    EXPECT_TERM(ctx, cop_process_get_keys(ctx), "[:foo]");
    EXPECT_TERM(ctx, cop_process_get_keys_of(ctx, cop_a(baz).t), "[:foo]");
    EXPECT_TERM(ctx, cop_process_get_keys_of(ctx, cop_a(bar).t), "[]");
}

static cop_pid spawn_given(cop_ctx *ctx, cop_entry entry, cop_term dictionary) {
    return cop_process_spawn(ctx, entry, cop_self(ctx).t,
                             &(cop_spawn_opts){ .monitor = true, .dictionary = dictionary })
        .pid;
}

TEST(a_process_begins_with_the_dictionary_that_it_was_given) {
    cop_pid child = spawn_given(ctx, tell_dictionary, cop_map(ctx, cop_a(k), "a value"));
    ASSERT_RECEIVE(ctx, "[{:k, \"a value\"}]");
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :normal}");
    spawn_given(ctx, tell_dictionary, cop_map(ctx));
    ASSERT_RECEIVE(ctx, "[]");
    EXPECT_TERM(ctx, cop_process_dictionary(ctx), "[]");
    EXPECT(!cop_process_is_alive(ctx, child));
    EXPECT_ERROR(ctx, ":badarg") { spawn_given(ctx, tell_dictionary, cop_a(k).t); }
}

/* Changes its dictionary twice, in scopes and with collections between, and tells it. */
static void change_given(cop_ctx *ctx, cop_term to) {
    cop_term k = cop_process_get(ctx, cop_a(k).t);
    COP_SCOPE(ctx) { cop_process_put(ctx, cop_a(own).t, cop_tuple(ctx, to, "own")); }
    cop_process_delete(ctx, cop_a(l).t);
    cop_process_put(ctx, cop_a(k).t, cop_tuple(ctx, k, "changed"));
    cop_send(ctx, to, cop_process_dictionary(ctx));
}

TEST(a_given_dictionary_is_changed_for_one_process_only) {
    cop_term given = cop_map(ctx, cop_a(k), "a value", cop_a(l), cop_list(ctx, 1, 2));
    cop_pid other = spawn_given(ctx, wait_for_ever, given);
    spawn_given(ctx, change_given, given);
    ASSERT_RECEIVE(ctx, "[{:k, {\"a value\", \"changed\"}}, {:own, {_, \"own\"}}]");
    spawn_given(ctx, tell_dictionary, given);
    ASSERT_RECEIVE(ctx, "[{:k, \"a value\"}, {:l, [1, 2]}]");
    EXPECT_TERM(ctx, cop_process_info(ctx, other, cop_a(dictionary)),
                "[{:k, \"a value\"}, {:l, [1, 2]}]");
}

static void start_given(cop_ctx *ctx, cop_term to) {
    static const char bytes[1000];
    cop_term large = cop_binary(ctx, bytes, sizeof bytes);
    cop_pid child = spawn_given(ctx, wait_for_ever, cop_map(ctx, cop_a(k), large));
    cop_send(ctx, to, child);
}

TEST(a_given_dictionary_outlives_who_gave_it) {
    cop_spawn(ctx, start_given, me(ctx).t);
    cop_term child = ASSERT_RECEIVE(ctx, "_");
    cop_term item =
        cop_process_info(ctx, (cop_pid){ child }, cop_tuple(ctx, cop_a(dictionary), cop_a(k)));
    EXPECT(cop_is_binary(item));
}

static void tell_leader(cop_ctx *ctx, cop_term to) {
    cop_send(ctx, to, cop_tuple(ctx, cop_a(leader), cop_process_group_leader(ctx)));
}

TEST(PR_109_the_group_leader_is_inherited) {
    cop_pid p = cop_spawn(ctx, wait_for_ever, COP_NONE);
    cop_process_set_group_leader(ctx, me(ctx), p);
    EXPECT_SAME(ctx, cop_process_group_leader(ctx), p);
    cop_spawn(ctx, tell_leader, me(ctx).t);
    EXPECT_SAME(ctx, ASSERT_RECEIVE(ctx, "{:leader, _}"), cop_tuple(ctx, cop_a(leader), p));
    cop_process_set_group_leader(ctx, p, me(ctx));
    EXPECT_SAME(ctx, cop_process_info(ctx, p, cop_a(group_leader)), me(ctx));
    cop_pid dead = test_dead_pid(ctx);
    EXPECT_ERROR(ctx, ":badarg") { cop_process_set_group_leader(ctx, dead, p); }
    cop_process_set_group_leader(ctx, me(ctx), dead); /* the leader may be dead */
    EXPECT_ERROR(ctx, ":badarg") { cop_process_set_group_leader(ctx, p, (cop_pid){ cop_a(x).t }); }
}

static void label_oneself(cop_ctx *ctx, cop_term to) {
    cop_process_set_label(ctx, "a worker");
    cop_send(ctx, to, cop_a(labelled));
    sleep_for_ever(ctx, to);
}

TEST(PR_110_a_label) {
    EXPECT_TERM(ctx, cop_process_label(ctx, me(ctx)), "nil");
    cop_process_set_label(ctx, cop_tuple(ctx, cop_a(x), 1));
    EXPECT_TERM(ctx, cop_process_label(ctx, me(ctx)), "{:x, 1}");
    EXPECT_TERM(ctx, cop_process_get(ctx, cop_as("$process_label").t), "{:x, 1}");
    cop_pid p = cop_spawn(ctx, label_oneself, me(ctx).t);
    ASSERT_RECEIVE(ctx, ":labelled");
    EXPECT_TERM(ctx, cop_process_label(ctx, p), "\"a worker\"");
    EXPECT_TERM(ctx, cop_process_label(ctx, test_dead_pid(ctx)), "nil");
}

/* ---- list, alive, reductions ---------------------------------------------------------------------------------- */

static bool is_listed(cop_ctx *ctx, cop_pid p) {
    cop_term list = cop_process_list(ctx), head;
    while (cop_get_cons(list, &head, &list))
        if (cop_same(head, p.t))
            return true;
    return false;
}

TEST(PR_112_the_list_of_processes) {
    EXPECT(is_listed(ctx, me(ctx)));
    cop_pid p = cop_spawn(ctx, wait_for_ever, COP_NONE);
    EXPECT(is_listed(ctx, p));
    cop_process_exit(ctx, p, cop_a(kill));
    test_await_down(ctx, p);
    EXPECT(!is_listed(ctx, p));
}

TEST(PR_117_alive) {
    EXPECT(cop_process_is_alive(ctx, me(ctx)));
    EXPECT(!cop_process_is_alive(ctx, test_dead_pid(ctx)));
    EXPECT_ERROR(ctx, ":badarg") { cop_process_is_alive(ctx, (cop_pid){ cop_a(foo).t }); }
}

TEST(PR_119_reductions_grow) {
    int64_t before = 0, after = 0;
    cop_get_i64(cop_process_info(ctx, me(ctx), cop_a(reductions)), &before);
    cop_bump_reductions(ctx, 1000);
    cop_get_i64(cop_process_info(ctx, me(ctx), cop_a(reductions)), &after);
    EXPECT(after - before >= 1000);
}

/* ---- hibernate ------------------------------------------------------------------------------------------------- */

static cop_term woken(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    cop_term message;
    if (!cop_receive(ctx, 0, &message))
        message = cop_a(nothing).t;
    cop_send(ctx, argv[0], cop_tuple(ctx, cop_a(woken_by), message));
    return cop_a(ok).t;
}

static const cop_module sleeper = {
    .name = "sleeper",
    .exports = (const cop_export[]){ { "woken", 1, woken }, { 0 } },
};

static void hibernate(cop_ctx *ctx, cop_term to) {
    cop_process_hibernate_mfa(ctx, cop_a(sleeper), cop_a(woken), cop_list(ctx, to));
}

static void hibernate_to_nowhere(cop_ctx *ctx, cop_term to) {
    cop_process_hibernate_mfa(ctx, cop_a(nomod), cop_a(nofun), COP_NIL);
}

static void hibernate_with_mail(cop_ctx *ctx, cop_term to) {
    cop_send(ctx, cop_self(ctx), cop_a(already));
    hibernate(ctx, to);
}

TEST(PR_114_hibernate_with_mail_or_to_an_unknown_function) {
    cop_module_load(&sleeper);
    cop_spawned s = cop_spawn_monitor(ctx, hibernate, me(ctx).t);
    while (!cop_matches(ctx, cop_process_info(ctx, s.pid, cop_a(current_function)),
                        "{:erlang, :hibernate, 3}", NULL))
        cop_yield(ctx);
    EXPECT_TERM(ctx, cop_process_info(ctx, s.pid, cop_a(status)), ":waiting");
    cop_send(ctx, s.pid, cop_a(wake));
    ASSERT_RECEIVE(ctx, "{:woken_by, :wake}");
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :normal}");
    cop_spawn(ctx, hibernate_with_mail, me(ctx).t);
    ASSERT_RECEIVE(ctx, "{:woken_by, :already}");
    s = cop_spawn_monitor(ctx, hibernate_to_nowhere, COP_NONE);
    cop_send(ctx, s.pid, cop_a(wake));
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, {:undef, [{:nomod, :nofun, [], []} | _]}}");
    EXPECT_ERROR(ctx, ":badarg") {
        cop_process_hibernate_mfa(ctx, cop_a(m), cop_a(f), cop_a(notalist).t);
    }
}

static bool is_odd(cop_term message, void *arg) {
    int64_t n;
    ++*(int *)arg;
    return cop_get_i64(message, &n) && n % 2 != 0;
}

static void tell_all(cop_ctx *ctx, cop_term to) {
    cop_term message;
    while (cop_receive(ctx, 0, &message))
        cop_send(ctx, to, message);
}

static int looked_at;
static void hibernate_for_odd(cop_ctx *ctx, cop_term to) {
    cop_process_hibernate_match(ctx, is_odd, &looked_at, tell_all, to);
}

TEST(a_hibernating_process_may_be_woken_by_some_messages_only) {
    cop_pid pid = cop_spawn(ctx, hibernate_for_odd, me(ctx).t);
    for (int i = 0; i < 100; i += 2)
        cop_send(ctx, pid, i);
    while (!cop_matches(ctx, cop_process_info(ctx, pid, cop_a(message_queue_len)), "50", NULL))
        cop_yield(ctx);
    REFUTE_RECEIVE(ctx, "_", 10);
    EXPECT_TERM(ctx, cop_process_info(ctx, pid, cop_a(current_function)),
                "{:erlang, :hibernate, 3}");
    EXPECT_INT(looked_at, 50); /* each once */
    cop_send(ctx, pid, 101);
    for (int64_t i = 0; i < 100; i += 2)
        EXPECT(cop_match(ASSERT_RECEIVE(ctx, "_"), i)); /* all kept their places */
    ASSERT_RECEIVE(ctx, "101");
}

TEST(one_that_hibernates_for_some_messages_may_find_one_there) {
    cop_pid pid = cop_spawn(ctx, hibernate_for_odd, me(ctx).t);
    cop_process_suspend(ctx, pid, 0);
    cop_send(ctx, pid, 2);
    cop_send(ctx, pid, 3);
    cop_process_resume(ctx, pid);
    ASSERT_RECEIVE(ctx, "3");
    EXPECT_TERM(ctx, test_flush(ctx), "[2]");
    pid = cop_spawn(ctx, hibernate_for_odd, me(ctx).t);
    cop_send(ctx, pid, 2);
    cop_process_exit(ctx, pid, cop_a(kill));
    test_await_down(ctx, pid);
}

/* ---- suspend ----------------------------------------------------------------------------------------------------- */

static void echo(cop_ctx *ctx, cop_term to) {
    for (;;)
        COP_SCOPE(ctx) {
            cop_term message;
            cop_receive(ctx, COP_INFINITY, &message);
            cop_send(ctx, to, cop_tuple(ctx, cop_a(echo), message));
        }
}

TEST(PR_115_a_suspended_process_does_nothing) {
    cop_pid p = cop_spawn(ctx, echo, me(ctx).t);
    EXPECT(cop_process_suspend(ctx, p, 0));
    EXPECT_TERM(ctx, cop_process_info(ctx, p, cop_a(status)), ":suspended");
    EXPECT_SAME(ctx, cop_process_info(ctx, me(ctx), cop_a(suspending)),
                cop_list(ctx, cop_tuple(ctx, p, 1, 0)));
    cop_send(ctx, p, 1);
    REFUTE_RECEIVE(ctx, "{:echo, _}", 50);
    EXPECT_TERM(ctx, cop_process_info(ctx, p, cop_a(message_queue_len)), "1");
    cop_process_resume(ctx, p);
    ASSERT_RECEIVE(ctx, "{:echo, 1}");
    EXPECT_TERM(ctx, cop_process_info(ctx, me(ctx), cop_a(suspending)), "[]");
}

static void suspend_and_wait(cop_ctx *ctx, cop_term whom) {
    cop_process_suspend(ctx, (cop_pid){ whom }, 0);
    take_one(ctx, whom);
}

TEST(PR_116_suspends_are_counted) {
    cop_pid p = cop_spawn(ctx, echo, me(ctx).t);
    cop_process_suspend(ctx, p, 0);
    cop_process_suspend(ctx, p, 0);
    EXPECT(!cop_process_suspend(ctx, p, COP_UNLESS_SUSPENDING));
    cop_send(ctx, p, 1);
    cop_process_resume(ctx, p);
    REFUTE_RECEIVE(ctx, "{:echo, _}", 20);
    cop_process_resume(ctx, p);
    ASSERT_RECEIVE(ctx, "{:echo, 1}");
    EXPECT_ERROR(ctx, ":badarg") { cop_process_resume(ctx, p); }
    EXPECT(cop_process_suspend_async(ctx, p, 0, cop_a(tg).t));
    ASSERT_RECEIVE(ctx, "{:tg, :suspended}");
    cop_process_resume(ctx, p);
    EXPECT_ERROR(ctx, ":badarg") { cop_process_suspend(ctx, me(ctx), 0); }
    cop_pid dead = test_dead_pid(ctx);
    EXPECT_ERROR(ctx, ":badarg") { cop_process_suspend(ctx, dead, 0); }
    /* The end of who suspends resumes. */
    cop_pid other = cop_spawn(ctx, suspend_and_wait, p.t);
    while (!cop_same(cop_process_info(ctx, p, cop_a(status)), cop_a(suspended).t))
        cop_yield(ctx);
    cop_send(ctx, p, 2);
    REFUTE_RECEIVE(ctx, "{:echo, _}", 20);
    cop_send(ctx, other, cop_a(go));
    ASSERT_RECEIVE(ctx, "{:echo, 2}");
    /* An exit signal ends it all the same. */
    cop_process_suspend(ctx, p, 0);
    cop_process_monitor(ctx, p);
    cop_process_exit(ctx, p, cop_a(boo));
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :boo}");
    EXPECT_TERM(ctx, cop_process_info(ctx, me(ctx), cop_a(suspending)), "[]");
}

static void beat(cop_ctx *ctx, void *state, cop_term message) {
    cop_send(ctx, *(cop_term *)state, message);
}

static void become_beat(cop_ctx *ctx, cop_term to) {
    static const cop_callbacks callbacks = { .name = "beat", .message = beat };
    cop_term *state = cop_process_state(ctx, sizeof *state);
    *state = to;
    cop_process_keep(ctx, 0, state, 1);
    cop_become(ctx, &callbacks, state);
}

TEST(callback_processes_and_fresh_ones_are_suspended_too) {
    cop_pid p = cop_spawn(ctx, become_beat, me(ctx).t);
    cop_process_suspend(ctx, p, 0); /* perhaps before it has begun */
    cop_send(ctx, p, 1);
    REFUTE_RECEIVE(ctx, "_", 20);
    cop_process_resume(ctx, p);
    ASSERT_RECEIVE(ctx, "1");
    cop_process_suspend(ctx, p, 0);
    cop_send(ctx, p, 2);
    REFUTE_RECEIVE(ctx, "_", 20);
    cop_process_resume(ctx, p);
    ASSERT_RECEIVE(ctx, "2");
    cop_pid loop = cop_spawn(ctx, busy, COP_NONE);
    cop_process_suspend(ctx, loop, 0);
    EXPECT_TERM(ctx, cop_process_info(ctx, loop, cop_a(status)), ":suspended");
    cop_process_resume(ctx, loop);
    EXPECT_TERM(ctx, cop_process_info(ctx, loop, cop_a(status)), ":runnable");
}

/* ---- collecting ------------------------------------------------------------------------------------------------------ */

TEST(a_process_is_collected_from_outside) {
    cop_pid p = cop_spawn(ctx, become_beat, me(ctx).t);
    EXPECT(cop_garbage_collect(ctx, p));
    EXPECT(cop_garbage_collect(ctx, me(ctx)));
    EXPECT(!cop_garbage_collect(ctx, test_dead_pid(ctx)));
    cop_garbage_collect_async(ctx, p, cop_a(one).t);
    ASSERT_RECEIVE(ctx, "{:garbage_collect, :one, true}");
    cop_garbage_collect_async(ctx, test_dead_pid(ctx), cop_a(two).t);
    ASSERT_RECEIVE(ctx, "{:garbage_collect, :two, false}");
    cop_send(ctx, p, cop_a(still_there));
    ASSERT_RECEIVE(ctx, ":still_there");
}
