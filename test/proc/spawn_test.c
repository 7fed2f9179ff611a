/* SPDX-License-Identifier: Apache-2.0 */
/* Spawning: options, modules, requests; cases of the process chapter, as observed on OTP 25. */
#include <errno.h>

#include "help.h"

/* ---- options ----------------------------------------------------------------------------------- */

TEST(PR_004_the_reference_of_a_spawn_may_be_an_alias) {
    cop_spawned s = cop_process_spawn(
        ctx, wait_for_ever, COP_NONE,
        &(cop_spawn_opts){ .monitor = true, .monitor_alias = COP_ALIAS_DEMONITOR });
    cop_send(ctx, s.ref, cop_a(hi));
    ASSERT_RECEIVE(ctx, ":hi");
}

static void answer_and_end(cop_ctx *ctx, cop_term ref) {
    cop_send(ctx, ref, cop_tuple(ctx, ref, cop_a(hi)));
}

TEST(a_process_may_be_told_the_reference_of_its_monitor) {
    cop_ref ref = cop_make_ref(ctx);
    cop_spawn_opts opts = { .monitor_ref = ref, .monitor_alias = COP_ALIAS_DEMONITOR };
    cop_spawned s = cop_process_spawn(ctx, answer_and_end, ref.t, &opts);
    EXPECT(cop_same(s.ref.t, ref.t));
    ASSERT_RECEIVE(ctx, "{_, :hi}");
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :normal}");
}

TEST(the_reference_of_a_monitor_is_the_callers_own_and_free) {
    cop_spawned s =
        cop_process_spawn(ctx, wait_for_ever, COP_NONE, &(cop_spawn_opts){ .monitor = true });
    cop_ref bad[] = { s.ref, { cop_a(ref).t }, { s.pid.t } };
    size_t before = cop_node_process_count();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        EXPECT_ERROR(ctx, ":badarg") {
            cop_process_spawn(ctx, wait_for_ever, COP_NONE,
                              &(cop_spawn_opts){ .monitor_ref = bad[i] });
        }
    EXPECT_INT(cop_node_process_count(), before);
}

TEST(PR_006_bad_options_make_no_process) {
    static const char *const bad[] = {
        "[:foo]",
        "[:link | :x]",
        "[{:priority, :foo}]",
        "[min_heap_size: -1]",
        "[max_heap_size: %{kill: false}]",
        "[max_heap_size: 100, min_heap_size: 1000]",
        "[max_heap_size: 100]",
        "[monitor: [alias: :foo]]",
        "[monitor: [:tag]]",
        "[message_queue_data: :both]",
        "[async_dist: 1]",
        ":link",
    };
    size_t before = cop_node_process_count();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cop_term list;
        cop_spawn_opts opts;
        EXPECT(cop_parse(ctx, bad[i], strlen(bad[i]), &list, NULL));
        if (cop_spawn_opts_from_term(list, &opts))
            FAIL("accepted: %s", bad[i]);
    }
    static const cop_spawn_opts wrong[] = {
        { .priority = (cop_priority)9 },
        { .fullsweep_after = -1 },
        { .max_heap_words = 300, .min_heap_words = 1000 },
        { .max_heap_words = 100 },
        { .monitor_alias = 9 },
        { .max_queue_policy = (cop_queue_policy)9 },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        EXPECT_ERROR(ctx, ":badarg") {
            cop_process_spawn(ctx, return_at_once, COP_NONE, &wrong[i]);
        }
    EXPECT_ERROR(ctx, ":badarg") { cop_spawn(ctx, NULL, COP_NONE); }
    EXPECT_INT(cop_node_process_count(), before);
}

TEST(options_are_read_from_a_term) {
    static const char text[] = "[:link, {:monitor, [tag: :t, alias: :reply_demonitor]}, "
                               "{:priority, :low}, fullsweep_after: 0, "
                               "max_heap_size: %{size: 5000, kill: false}, message_queue_data: "
                               ":off_heap, async_dist: true]";
    cop_term list;
    cop_spawn_opts o;
    EXPECT(cop_parse(ctx, text, sizeof text - 1, &list, NULL));
    EXPECT(cop_spawn_opts_from_term(list, &o));
    EXPECT(o.link && o.monitor && o.priority == COP_PRIORITY_LOW && o.fullsweep_after == COP_ZERO);
    EXPECT(o.max_heap_words == 5000 && o.max_heap_no_kill && !o.max_heap_no_log);
    EXPECT(o.message_queue_off_heap && o.async_dist);
    EXPECT_INT(o.monitor_alias, COP_ALIAS_REPLY_DEMONITOR);
    EXPECT_TERM(ctx, o.monitor_tag, ":t");
}

TEST(PR_008_options_are_shown_by_info) {
    cop_pid p = cop_process_spawn(ctx, wait_for_ever, COP_NONE,
                                  &(cop_spawn_opts){ .min_heap_words = 1000,
                                                     .min_bin_vheap_words = 100000,
                                                     .fullsweep_after = 7,
                                                     .max_heap_words = 500000,
                                                     .message_queue_off_heap = true })
                    .pid;
    int64_t words = 0;
    EXPECT(cop_get_i64(cop_process_info(ctx, p, cop_a(heap_size)), &words) && words >= 1000);
    EXPECT_TERM(ctx, cop_process_info(ctx, p, cop_a(min_heap_size)), "1598");
    EXPECT_TERM(ctx, cop_process_info(ctx, p, cop_a(min_bin_vheap_size)), "121536");
    EXPECT_TERM(ctx, cop_process_info(ctx, p, cop_a(fullsweep_after)), "7");
    EXPECT_TERM(ctx, cop_process_info(ctx, p, cop_a(max_heap_size)),
                "%{size: 500000, kill: true, error_logger: true}");
    EXPECT_TERM(ctx, cop_process_info(ctx, p, cop_a(message_queue_data)), ":off_heap");
    cop_pid plain = cop_spawn(ctx, wait_for_ever, COP_NONE);
    EXPECT_TERM(ctx, cop_process_info(ctx, plain, cop_a(garbage_collection)),
                "[max_heap_size: %{error_logger: true, kill: true, size: 0}, min_bin_vheap_size: "
                "46422, min_heap_size: 233, fullsweep_after: 65535, minor_gcs: _]");
}

TEST(PR_009_the_map_of_max_heap_size) {
    cop_spawn_opts o = { .max_heap_words = 100000,
                         .max_heap_no_kill = true,
                         .max_heap_no_log = true };
    cop_pid p = cop_process_spawn(ctx, wait_for_ever, COP_NONE, &o).pid;
    EXPECT_TERM(ctx, cop_process_info(ctx, p, cop_a(max_heap_size)),
                "%{size: 100000, kill: false, error_logger: false}");
    o = (cop_spawn_opts){ .max_heap_words = 100000 };
    p = cop_process_spawn(ctx, wait_for_ever, COP_NONE, &o).pid;
    EXPECT_TERM(ctx, cop_process_info(ctx, p, cop_a(max_heap_size)),
                "%{size: 100000, kill: true, error_logger: true}");
}

TEST(PR_012_link_twice_is_one_link) {
    cop_term list;
    cop_spawn_opts o;
    EXPECT(cop_parse(ctx, "[:link, :link]", 14, &list, NULL) && cop_spawn_opts_from_term(list, &o));
    cop_pid p = cop_process_spawn(ctx, wait_for_ever, COP_NONE, &o).pid;
    EXPECT_SAME(ctx, cop_process_info(ctx, cop_self(ctx), cop_a(links)), cop_list(ctx, p));
}

/* ---- memory limits ------------------------------------------------------------------------------- */

/* Grows in a loop that never comes into the run-time. */
static void grow_for_ever(cop_ctx *ctx, cop_term arg) {
    cop_term list = COP_NIL;
    for (int64_t i = 0;; i++)
        list = cop_cons(ctx, i, list);
}

static void grow_a_bit(cop_ctx *ctx, cop_term arg) {
    cop_term list = COP_NIL;
    for (int64_t i = 0; i < 100000; i++)
        list = cop_cons(ctx, i, list);
}

static void trap_and_grow(cop_ctx *ctx, cop_term arg) {
    cop_process_trap_exit(ctx, true);
    COP_TRY(ctx) { grow_for_ever(ctx, arg); }
    COP_CATCH(caught) { (void)caught; }
}

TEST(PR_010_above_its_heap_limit_a_process_is_killed) {
    test_capture_log(ctx);
    cop_spawn_opts o = { .monitor = true, .max_heap_words = 1000, .max_heap_no_log = true };
    cop_process_spawn(ctx, grow_for_ever, COP_NONE, &o);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :killed}");
    cop_process_spawn(ctx, trap_and_grow, COP_NONE, &o);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :killed}");
    o.max_heap_no_kill = true;
    cop_process_spawn(ctx, grow_a_bit, COP_NONE, &o);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :normal}");
    o = (cop_spawn_opts){ .monitor = true };
    cop_process_spawn(ctx, grow_a_bit, COP_NONE, &o);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :normal}");
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

TEST(PR_011_the_heap_limit_is_logged_once) {
    test_capture_log(ctx);
    cop_spawn_opts o = { .monitor = true, .max_heap_words = 1000 };
    cop_pid p = cop_process_spawn(ctx, grow_for_ever, COP_NONE, &o).pid;
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :killed}");
    cop_term event = ASSERT_RECEIVE(
        ctx, "{:log, :error, {:format, _, [_, 1000, _, true, true, 0, [{:old_heap_block_size, _} | "
             "_]]}, "
             "%{error_logger: %{tag: :error, emulator: true}, pid: _, gl: _, time: _}}");
    cop_term format = cop_elem(cop_elem(event, 2), 1), args = cop_elem(cop_elem(event, 2), 2);
    EXPECT_SAME(ctx, cop_head(args), p);
    EXPECT_SAME(ctx, format, /* as OTP 25 has it */
                cop_charlist(ctx, "     Process:            ~p ~n"
                                  "     Context:            maximum heap size reached~n"
                                  "     Max Heap Size:      ~p~n     Total Heap Size:    ~p~n"
                                  "     Kill:               ~p~n     Error Logger:       ~p~n"
                                  "     Message Queue Len:  ~p~n     GC Info:            ~p~n"));
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

/* Reading and printing hold memory outside of the heap while they build on it: it must not be lost. */
static void read_and_print(cop_ctx *ctx, cop_term arg) {
    static const char text[] = "[[[[1, 2.5, \"text\", %{a: 123456789012345678901234567890}]]]]";
    cop_term list = COP_NIL, t;
    for (;;) {
        if (cop_parse(ctx, text, sizeof text - 1, &t, NULL))
            list = cop_list_tail(ctx, t, cop_inspect(ctx, t, NULL), list);
    }
}

TEST(a_heap_limit_met_in_the_middle_of_reading_or_printing) {
    cop_spawn_opts o = { .monitor = true, .max_heap_no_log = true };
    for (size_t limit = 1000; limit < 6000; limit += 250) {
        o.max_heap_words = limit;
        cop_process_spawn(ctx, read_and_print, COP_NONE, &o);
        ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :killed}");
    }
}

static void busy(cop_ctx *ctx, cop_term arg) {
    cop_send(ctx, arg, cop_a(busy));
    for (;;)
        cop_bump_reductions(ctx, 100);
}

TEST(messages_count_as_heap_of_a_process_that_does_not_take_them) {
    cop_spawn_opts o = { .monitor = true, .max_heap_words = 5000, .max_heap_no_log = true };
    cop_spawned s = cop_process_spawn(ctx, sleep_for_ever, COP_NONE, &o);
    cop_term list = cop_list(ctx, 1, 2, 3, 4, 5, 6, 7, 8);
    for (int i = 0; i < 1000 && cop_process_is_alive(ctx, s.pid); i++)
        cop_send(ctx, s.pid, list);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :killed}");
    /* Suspended, it does not even run. */
    s = cop_process_spawn(ctx, busy, cop_self(ctx).t, &o);
    ASSERT_RECEIVE(ctx, ":busy");
    cop_process_suspend(ctx, s.pid, 0);
    for (int i = 0; i < 1000; i++)
        cop_send(ctx, s.pid, list);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :killed}");
    /* Off the heap they do not count. */
    o.message_queue_off_heap = true;
    s = cop_process_spawn(ctx, sleep_for_ever, COP_NONE, &o);
    for (int i = 0; i < 1000; i++)
        cop_send(ctx, s.pid, list);
    EXPECT(cop_process_is_alive(ctx, s.pid));
}

static int64_t binaries_made;

static void drop_binaries(cop_ctx *ctx, cop_term arg) {
    for (binaries_made = 0;; binaries_made++) {
        uint8_t *data;
        cop_binary_new(ctx, 8000, &data);
    }
}

TEST(large_binaries_count_when_asked) {
    cop_spawn_opts o = { .monitor = true,
                         .max_heap_words = 100000,
                         .max_heap_no_log = true,
                         .max_heap_with_shared = true };
    cop_process_spawn(ctx, drop_binaries, COP_NONE, &o);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :killed}");
    EXPECT(binaries_made >= 99 && binaries_made <= 130); /* a hundred of them are the limit */
}

/* ---- bounded mailboxes ----------------------------------------------------------------------------- */

TEST(a_full_mailbox_drops) {
    cop_spawn_opts o = { .max_queue_len = 10 };
    cop_pid p = cop_process_spawn(ctx, sleep_for_ever, COP_NONE, &o).pid;
    for (int i = 0; i < 25; i++)
        cop_send(ctx, p, i);
    EXPECT_TERM(ctx, cop_process_info(ctx, p, cop_a(messages)), "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]");
    EXPECT_TERM(ctx, cop_process_info(ctx, p, cop_a(max_queue)),
                "%{length: 10, policy: :drop, dropped: 15}");
    /* What controls it gets through. */
    cop_send(ctx, p, cop_tuple(ctx, cop_a(system), cop_a(from), cop_a(get_state)));
    EXPECT_TERM(ctx, cop_process_info(ctx, p, cop_a(message_queue_len)), "11");
    cop_process_monitor(ctx, p);
    cop_process_exit(ctx, p, cop_a(enough));
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :enough}");
}

TEST(a_full_mailbox_ends_its_owner) {
    cop_spawn_opts o = { .monitor = true,
                         .max_queue_bytes = 1000,
                         .max_queue_policy = COP_QUEUE_EXIT };
    cop_pid p = cop_process_spawn(ctx, sleep_for_ever, COP_NONE, &o).pid;
    for (int i = 0; i < 100; i++)
        cop_send(ctx, p, cop_list(ctx, i, i, i));
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :max_queue}");
}

static void take_when_told(cop_ctx *ctx, cop_term arg) {
    cop_term message;
    cop_send(ctx, arg, cop_a(ready));
    cop_process_sleep(ctx, 100);
    for (int64_t i = 0; i < 1000; i++) {
        cop_receive(ctx, COP_INFINITY, &message);
        EXPECT_SAME(ctx, message, i);
    }
}

TEST(a_full_mailbox_makes_its_senders_wait) {
    cop_spawn_opts o = { .monitor = true, .max_queue_len = 8, .max_queue_policy = COP_QUEUE_WAIT };
    cop_pid p = cop_process_spawn(ctx, take_when_told, cop_self(ctx).t, &o).pid;
    ASSERT_RECEIVE(ctx, ":ready");
    for (int64_t i = 0; i < 1000; i++) {
        cop_send(ctx, p, i);
        int64_t waiting = 0;
        cop_get_i64(cop_process_info(ctx, p, cop_a(message_queue_len)), &waiting);
        EXPECT(waiting <= 8);
    }
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :normal}");
}

static void end_after(cop_ctx *ctx, cop_term ms) {
    int64_t n = 0;
    cop_get_i64(ms, &n);
    cop_process_sleep(ctx, n);
}

TEST(who_waits_for_a_mailbox_goes_on_when_its_owner_ends) {
    cop_spawn_opts o = { .max_queue_len = 2, .max_queue_policy = COP_QUEUE_WAIT };
    cop_pid p = cop_process_spawn(ctx, end_after, cop_of(ctx, 20), &o).pid;
    for (int i = 0; i < 5; i++)
        cop_send(ctx, p, i);
    EXPECT(!cop_process_is_alive(ctx, p));
}

/* ---- functions by name ------------------------------------------------------------------------------ */

static cop_term add(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    int64_t a, b;
    if (!cop_get_i64(argv[0], &a) || !cop_get_i64(argv[1], &b))
        cop_error(ctx, cop_a(badarith));
    return cop_of(ctx, a + b);
}

static cop_term tell(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    cop_send(ctx, argv[0], cop_tuple(ctx, cop_a(told), argv[1]));
    return cop_a(ok).t;
}

static cop_term take(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    cop_term message;
    cop_receive(ctx, COP_INFINITY, &message);
    cop_send(ctx, argv[0], cop_tuple(ctx, cop_a(took), message));
    return cop_a(ok).t;
}

static const cop_module calculator = {
    .name = "calculator",
    .exports =
        (const cop_export[]){ { "add", 2, add }, { "tell", 2, tell }, { "take", 1, take }, { 0 } },
};

static const cop_module bad = {
    .name = "bad",
    .exports = (const cop_export[]){ { "f", 0, NULL }, { 0 } },
};

TEST(functions_are_called_by_name) {
    EXPECT_INT(cop_module_load(&calculator), 0);
    EXPECT_INT(cop_module_load(&calculator), 0); /* again replaces */
    EXPECT_TERM(ctx, cop_apply(ctx, cop_a(calculator), cop_a(add), cop_list(ctx, 1, 2)), "3");
    EXPECT_TERM(ctx,
                cop_fun_call(ctx, cop_fun_export(ctx, cop_a(calculator), cop_a(add), 2), 20, 22),
                "42");
    EXPECT_ERROR(ctx, ":undef") { cop_apply(ctx, cop_a(calculator), cop_a(add), cop_list(ctx, 1)); }
    EXPECT_ERROR(ctx, ":badarg") { cop_apply(ctx, cop_a(calculator), cop_a(add), cop_a(x).t); }
    EXPECT_ERROR(ctx, "{:badarity, {_, [1]}}") {
        cop_fun_call(ctx, cop_fun_export(ctx, cop_a(calculator), cop_a(add), 2), 1);
    }
    EXPECT(cop_module_load(&bad) == -EINVAL && cop_module_load(NULL) < 0);
    COP_TRY(ctx) { cop_apply(ctx, cop_a(nomod), cop_a(nofun), cop_list(ctx, 7)); }
    COP_CATCH(caught) {
        EXPECT_TERM(ctx, cop_head(caught->stacktrace), "{:nomod, :nofun, [7], []}");
    }
}

TEST(a_process_runs_a_function_by_name) {
    cop_module_load(&calculator);
    cop_spawned s =
        cop_spawn_mfa(ctx, cop_a(calculator), cop_a(tell), cop_list(ctx, cop_self(ctx), 5),
                      &(cop_spawn_opts){ .monitor = true });
    ASSERT_RECEIVE(ctx, "{:told, 5}");
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :normal}");
    s = cop_spawn_mfa(ctx, cop_a(calculator), cop_a(take), cop_list(ctx, cop_self(ctx)), NULL);
    EXPECT_TERM(ctx, cop_process_info(ctx, s.pid, cop_a(initial_call)), "{:calculator, :take, 1}");
    cop_send(ctx, s.pid, 8);
    ASSERT_RECEIVE(ctx, "{:took, 8}");
}

TEST(PR_014_exit_reason_of_an_undefined_function) {
    cop_spawn_mfa(ctx, cop_a(nomod), cop_a(nofun), cop_list(ctx, 1),
                  &(cop_spawn_opts){ .monitor = true });
    cop_term down = ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, {:undef, [_ | _]}}");
    EXPECT_TERM(ctx, cop_head(cop_elem(cop_elem(down, 4), 1)), "{:nomod, :nofun, [1], []}");
    cop_spawn_monitor(ctx, exit_with_arg, cop_tuple(ctx, cop_a(a), 1));
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, {:a, 1}}");
    cop_spawn_monitor(ctx, return_at_once, COP_NONE);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :normal}");
}

static cop_term of_one(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    return env;
}

TEST(PR_015_a_fun_of_another_arity_ends_its_process) {
    cop_term fun = cop_fun(ctx, of_one, 1, COP_NIL);
    cop_spawned s = cop_spawn_fun(ctx, fun, &(cop_spawn_opts){ .monitor = true });
    EXPECT(cop_is_pid(s.pid.t));
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, {{:badarity, {_, []}}, _}}");
    s = cop_spawn_fun(ctx, cop_fun(ctx, of_one, 0, COP_NIL), &(cop_spawn_opts){ .monitor = true });
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :normal}");
    EXPECT_ERROR(ctx, ":badarg") { cop_spawn_fun(ctx, cop_a(nofun).t, NULL); }
}

TEST(PR_016_arguments_must_be_a_list) {
    EXPECT_ERROR(ctx, ":badarg") {
        cop_spawn_mfa(ctx, cop_a(m), cop_a(f), cop_a(notalist).t, NULL);
    }
}

/* ---- reports ------------------------------------------------------------------------------------------ */

static void raise_oops(cop_ctx *ctx, cop_term arg) { cop_raise(ctx, "RuntimeError", "oops"); }
static void throw_ball(cop_ctx *ctx, cop_term arg) { cop_throw(ctx, cop_a(ball).t); }

TEST(PR_017_only_errors_and_throws_are_logged) {
    test_capture_log(ctx);
    cop_pid p = cop_spawn_monitor(ctx, raise_oops, COP_NONE).pid;
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, _}");
    cop_term event = ASSERT_RECEIVE(
        ctx, "{:log, :error, {:format, 'Error in process ~p with exit value:~n~p~n', "
             "[_, {%RuntimeError{message: \"oops\"}, _}]}, "
             "%{error_logger: %{tag: :error, emulator: true}}}");
    EXPECT_SAME(ctx, cop_head(cop_elem(cop_elem(event, 2), 2)), p);
    cop_spawn_monitor(ctx, throw_ball, COP_NONE);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, _}");
    ASSERT_RECEIVE(ctx, "{:log, :error, {:format, _, [_, {{:nocatch, :ball}, _}]}, _}");
    cop_spawn_monitor(ctx, exit_with_arg, cop_a(boo).t);
    cop_spawn_monitor(ctx, return_at_once, COP_NONE);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :boo}");
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :normal}");
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

/* ---- a dictionary that is made once --------------------------------------------------------------------- */

static int times_made;

static cop_term make_of_key(cop_ctx *ctx, cop_term key) {
    times_made++;
    if (cop_match(key, cop_a(none)))
        return cop_a(none).t;
    if (cop_match(key, cop_a(raise)))
        cop_raise(ctx, "RuntimeError", "oops");
    return cop_map(ctx, cop_a(key), key, cop_a(own), cop_process_dictionary(ctx));
}

/* What a process begins with that is spawned with that key. */
static cop_term made_for(cop_ctx *ctx, cop_atom key) {
    cop_spawn_opts opts = { .make_dictionary = make_of_key, .dictionary_key = key.t };
    cop_pid p = cop_process_spawn(ctx, wait_for_ever, COP_NONE, &opts).pid;
    return cop_process_info(ctx, p, cop_a(dictionary));
}

TEST(a_dictionary_is_made_again_when_what_it_is_made_of_has_changed) {
    times_made = 0;
    EXPECT_TERM(ctx, made_for(ctx, cop_a(a)), "[key: :a, own: []]");
    EXPECT_TERM(ctx, made_for(ctx, cop_a(a)), "[key: :a, own: []]");
    EXPECT_INT(times_made, 1);
    EXPECT_TERM(ctx, made_for(ctx, cop_a(b)), "[key: :b, own: []]");
    EXPECT_TERM(ctx, made_for(ctx, cop_a(a)), "[key: :a, own: []]");
    EXPECT_INT(times_made, 3);
    cop_process_put(ctx, cop_a(x).t, COP_INT(1));
    EXPECT_TERM(ctx, made_for(ctx, cop_a(a)), "[key: :a, own: [x: 1]]");
    cop_process_delete(ctx, cop_a(x).t);
    EXPECT_TERM(ctx, made_for(ctx, cop_a(a)), "[key: :a, own: []]");
    EXPECT_INT(times_made, 5);
    cop_process_register(ctx, cop_self(ctx), cop_a(maker));
    made_for(ctx, cop_a(a));
    EXPECT_INT(times_made, 6);
    cop_spawn_opts other = { .dictionary = cop_map(ctx, cop_a(other), 1) };
    cop_process_spawn(ctx, wait_for_ever, COP_NONE, &other);
    EXPECT_TERM(ctx, made_for(ctx, cop_a(a)), "[key: :a, own: []]");
    EXPECT_INT(times_made, 7);
}

TEST(nothing_is_spawned_when_no_dictionary_is_made) {
    size_t before = cop_node_process_count();
    EXPECT_ERROR(ctx, ":badarg") { made_for(ctx, cop_a(none)); }
    EXPECT_ERROR(ctx, "%RuntimeError{message: \"oops\"}") { made_for(ctx, cop_a(raise)); }
    cop_spawn_opts wrong[] = {
        { .make_dictionary = make_of_key, .dictionary_key = cop_tuple(ctx, 1) },
        { .make_dictionary = make_of_key, .dictionary_key = COP_NIL, .dictionary = cop_map(ctx) },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        EXPECT_ERROR(ctx, ":badarg") { cop_process_spawn(ctx, wait_for_ever, COP_NONE, &wrong[i]); }
    EXPECT_INT(cop_node_process_count(), before);
}

/* ---- requests ------------------------------------------------------------------------------------------ */

TEST(PR_018_a_spawn_is_requested) {
    cop_ref r =
        cop_spawn_request(ctx, wait_for_ever, COP_NONE, NULL, COP_NONE, COP_SPAWN_REPLY_YES);
    cop_term reply = ASSERT_RECEIVE(ctx, "{:spawn_reply, _, :ok, _}");
    EXPECT_SAME(ctx, cop_elem(reply, 1), r);
    EXPECT(cop_is_pid(cop_elem(reply, 3)));
    r = cop_spawn_request(ctx, wait_for_ever, COP_NONE, &(cop_spawn_opts){ .fullsweep_after = -5 },
                          COP_NONE, COP_SPAWN_REPLY_YES);
    reply = ASSERT_RECEIVE(ctx, "{:spawn_reply, _, :error, :badopt}");
    EXPECT_SAME(ctx, cop_elem(reply, 1), r);
    cop_spawn_request(ctx, wait_for_ever, COP_NONE, NULL, COP_NONE, COP_SPAWN_REPLY_NO);
    cop_spawn_request(ctx, wait_for_ever, COP_NONE, NULL, COP_NONE, COP_SPAWN_REPLY_ERROR_ONLY);
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
    r = cop_spawn_request(ctx, exit_with_arg, cop_a(boo).t, &(cop_spawn_opts){ .monitor = true },
                          cop_a(tagged).t, COP_SPAWN_REPLY_SUCCESS_ONLY);
    reply = ASSERT_RECEIVE(ctx, "{:tagged, _, :ok, _}");
    cop_term down = ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :boo}");
    EXPECT_SAME(ctx, cop_elem(reply, 1), r);
    EXPECT_SAME(ctx, cop_elem(down, 1), r);
    EXPECT(!cop_spawn_request_abandon(ctx, r));
}
