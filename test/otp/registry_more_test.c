/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registry: duplicate ones, what happens at deaths, locks. The spec's cases RE-027..044, 049..055, 062,
 * 063, 070..076; observed with the module of Elixir's main branch on OTP 25.
 */
#include <stdlib.h>

#include "registry_help.h"

/* ---- RE-027..044: duplicate, both kinds, one and eight partitions ---------------------------------- */

static void re_027(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    EXPECT(reg(ctx, "\"hello\"", ":value").ok);
    EXPECT(reg(ctx, "\"hello\"", ":value").ok);
    EXPECT_INT(cop_registry_count(ctx, REG), 2);
    EXPECT_TERM(ctx, my_keys(ctx), "[\"hello\", \"hello\"]");
    EXPECT_TERM(ctx, my_values(ctx, "\"hello\""), "[:value, :value]");
}
TEST(RE_027_the_same_entry_twice) { for_duplicate(ctx, re_027); }

static void re_028(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    cop_pid other = new_member(ctx, "[{\"hello\", :theirs}]");
    EXPECT(reg(ctx, "\"hello\"", ":mine").ok);
    EXPECT_TERM(ctx, my_values(ctx, "\"hello\""), "[:mine]");
    EXPECT_TERM(ctx, cop_registry_values(ctx, REG, "hello", other), "[:theirs]");
    EXPECT_TERM(ctx, cop_registry_keys_of(ctx, REG, other), "[\"hello\"]");
    EXPECT_INT(cop_registry_count(ctx, REG), 2);
    kill_and_wait(ctx, other);
}
TEST(RE_028_entries_of_several_processes) { for_duplicate(ctx, re_028); }

static void re_029(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    reg(ctx, "\"hello\"", ":world");
    EXPECT_TERM(ctx, lookup(ctx, "\"hello\""), "[{_, :world}]");
    EXPECT(reg(ctx, "\"hello\"", ":another").ok);
    cop_term me = cop_self(ctx).t; /* the seed's example shows it sorted */
    EXPECT_SAME(
        ctx, sorted(ctx, lookup(ctx, "\"hello\"")),
        cop_list(ctx, cop_tuple(ctx, me, cop_a(another)), cop_tuple(ctx, me, cop_a(world))));
}
TEST(RE_029_lookup_shows_all_entries) { for_duplicate(ctx, re_029); }

static void re_030(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    reg(ctx, "1.0", ":float");
    reg(ctx, "1", ":integer");
    EXPECT_TERM(ctx, lookup(ctx, "1"), "[{_, :integer}]");
    EXPECT_TERM(ctx, lookup(ctx, "1.0"), "[{_, :float}]");
    unregister(ctx, "1.0");
    EXPECT_TERM(ctx, lookup(ctx, "1"), "[{_, :integer}]");
    EXPECT_TERM(ctx, lookup(ctx, "1.0"), "[]");
}
TEST(RE_030_one_and_one_point_zero_are_two_keys) { for_duplicate(ctx, re_030); }

/* fun(entries): sends {:entries, entries, self} to its environment. */
static cop_term tell_entries(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    cop_send(ctx, env, cop_tuple(ctx, cop_a(entries), argv[0], cop_self(ctx)));
    return cop_a(ignored).t;
}

static cop_term telling(cop_ctx *ctx) { return cop_fun(ctx, tell_entries, 1, cop_self(ctx).t); }

/* The number of entries of all {:entries, _, _} that came; *self_only: all calls were the test's own. */
static int64_t entries_told(cop_ctx *ctx, int64_t *calls, bool *self_only) {
    int64_t count = 0;
    *calls = 0;
    *self_only = true;
    for (cop_term list = test_flush(ctx), message, entries, pid;
         cop_get_cons(list, &message, &list);) {
        EXPECT(cop_match_tuple(message, cop_a(entries), &entries, &pid)); /* no EXIT among them */
        EXPECT(cop_is_cons(entries));
        count += cop_list_length(entries);
        ++*calls;
        *self_only = *self_only && cop_same(pid, cop_self(ctx).t);
    }
    return count;
}

static void five_members(cop_ctx *ctx, cop_pid members[5]) {
    for (int i = 0; i < 5; i++)
        members[i] = new_member(ctx, "[{\"hello\", :value}, {\"other\", :value}]");
    reg(ctx, "\"hello\"", ":value");
}

static void kill_members(cop_ctx *ctx, cop_pid members[5]) {
    for (int i = 0; i < 5; i++)
        kill_and_wait(ctx, members[i]);
}

static void re_031(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    cop_pid members[5];
    int64_t calls;
    bool self_only;
    five_members(ctx, members);
    test_trap_exit(ctx);
    test_flush(ctx);
    cop_registry_dispatch(ctx, REG, "hello", telling(ctx), NULL);
    EXPECT_INT(entries_told(ctx, &calls, &self_only), 6);
    EXPECT(self_only);
    EXPECT(n > 1 && keys == COP_REGISTRY_DUPLICATE ? calls > 1 : calls == 1);
    cop_registry_dispatch(ctx, REG, "nobody", telling(ctx), NULL);
    EXPECT_INT(entries_told(ctx, &calls, &self_only), 0);
    kill_members(ctx, members);
    test_flush(ctx);
    cop_process_trap_exit(ctx, false);
}
TEST(RE_031_dispatch_in_the_caller) { for_duplicate(ctx, re_031); }

static void re_032(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    cop_pid members[5];
    int64_t calls;
    bool self_only;
    five_members(ctx, members);
    test_trap_exit(ctx);
    test_flush(ctx);
    cop_registry_dispatch(ctx, REG, "hello", telling(ctx),
                          &(cop_dispatch_opts){ .parallel = true });
    EXPECT_INT(entries_told(ctx, &calls, &self_only), 6);
    EXPECT(self_only == !(n > 1 && keys == COP_REGISTRY_DUPLICATE));
    kill_members(ctx, members);
    test_flush(ctx);
    cop_process_trap_exit(ctx, false);
}
TEST(RE_032_dispatch_in_parallel) { for_duplicate(ctx, re_032); }

static cop_term broadcast(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    cop_term list = argv[0], entry;
    while (cop_get_cons(list, &entry, &list))
        cop_send(ctx, cop_elem(entry, 0), cop_tuple(ctx, cop_a(broadcast), env));
    return cop_a(ok).t;
}

static void re_033(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    cop_pid member = new_member(ctx, "[{\"hello\", 1}]");
    reg(ctx, "\"hello\"", "1");
    reg(ctx, "\"hello\"", "2");
    cop_registry_dispatch(ctx, REG, "hello", cop_fun(ctx, broadcast, 1, cop_of(ctx, "world")),
                          NULL);
    ASSERT_RECEIVE(ctx, "{:got, _, {:broadcast, \"world\"}}");
    EXPECT_TERM(ctx, test_flush(ctx), "[{:broadcast, \"world\"}, {:broadcast, \"world\"}]");
    kill_and_wait(ctx, member);
}
TEST(RE_033_publish_to_all_subscribers) { for_duplicate(ctx, re_033); }

static void re_034(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    reg(ctx, "\"hello\"", ":a");
    reg(ctx, "\"hello\"", ":b");
    reg(ctx, "\"world\"", ":c");
    unregister(ctx, "\"hello\"");
    EXPECT_TERM(ctx, my_keys(ctx), "[\"world\"]");
}
TEST(RE_034_unregister_removes_all_of_a_key) { for_duplicate(ctx, re_034); }

static void re_035(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    reg(ctx, "\"hello\"", "{1, :atom, 1}");
    reg(ctx, "\"hello\"", "{2, :atom, 2}");
    EXPECT_TERM(ctx, match(ctx, "\"hello\"", "{1, :_, :_}", "[]"), "[{_, {1, :atom, 1}}]");
    EXPECT_TERM(ctx, match(ctx, "\"hello\"", "{1.0, :_, :_}", "[]"), "[]");
    EXPECT_INT(cop_list_length(match(ctx, "\"hello\"", "{:_, :atom, :_}", "[]")), 2);
    EXPECT_INT(cop_list_length(match(ctx, "\"hello\"", "{:\"$1\", :_, :\"$1\"}", "[]")), 2);
    EXPECT_TERM(ctx, match(ctx, "\"hello\"", "{:\"$1\", :_, :_}", "[{:<, :\"$1\", 2}]"),
                "[{_, {1, :atom, 1}}]");
    EXPECT_INT(count_match(ctx, "\"hello\"", "{:\"$1\", :_, :_}", "[{:>, :\"$1\", 3}]"), 0);
    EXPECT_INT(count_match(ctx, "\"hello\"", "{:\"$1\", :_, :_}", "[{:is_integer, :\"$1\"}]"), 2);
    EXPECT_TERM(ctx, match(ctx, ":_", ":_", "[]"), "[]");
}
TEST(RE_035_match_among_several_values) { for_duplicate(ctx, re_035); }

static void re_036(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    reg(ctx, "\"hello\"", "{1, :atom, 1}");
    reg(ctx, "\"hello\"", "{2, :atom, 2}");
    unregister_match(ctx, "\"hello\"", "{2, :_, :_}", "[]");
    EXPECT_TERM(ctx, lookup(ctx, "\"hello\""), "[{_, {1, :atom, 1}}]");
    reg(ctx, "\"hello\"", "{2, :atom, 2}");
    unregister_match(ctx, "\"hello\"", "{2.0, :_, :_}", "[]");
    EXPECT_INT(cop_list_length(lookup(ctx, "\"hello\"")), 2);
    unregister_match(ctx, "\"hello\"", "{:\"$1\", :_, :_}", "[{:<, :\"$1\", 2}]");
    EXPECT_TERM(ctx, my_values(ctx, "\"hello\""), "[{2, :atom, 2}]");
    reg(ctx, "\"hello\"", "{1, :atom, 1}");
    unregister_match(ctx, "\"hello\"", "{:_, :atom, :_}", "[]");
    EXPECT_TERM(ctx, lookup(ctx, "\"hello\""), "[]");
    EXPECT_TERM(ctx, my_keys(ctx), "[]");
}
TEST(RE_036_unregister_match_of_several) { for_duplicate(ctx, re_036); }

static void re_037(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    static const char *const cases[][2] = { { "{:_, :topic}", "{:other, :topic}" },
                                            { "%{b: \"b\"}", "%{a: \"a\", b: \"b\"}" } };
    for (size_t i = 0; i < 2; i++) {
        reg(ctx, cases[i][1], ":wrong");
        EXPECT_TERM(ctx, lookup(ctx, cases[i][0]), "[]");
        reg(ctx, cases[i][0], ":right");
        EXPECT_TERM(ctx, lookup(ctx, cases[i][0]), "[{_, :right}]");
        EXPECT_TERM(ctx, match(ctx, cases[i][0], ":_", "[]"), "[{_, :right}]");
        EXPECT_INT(count_match(ctx, cases[i][0], ":_", "[]"), 1);
    }
}
TEST(RE_037_a_key_is_no_pattern) { for_duplicate(ctx, re_037); }

TEST(RE_038_listeners_of_a_duplicate_registry) {
    cop_process_register(ctx, cop_self(ctx), cop_a(listener));
    start_with(ctx, "[keys: :duplicate, name: :reg, listeners: [:listener], partitions: 8]");
    reg(ctx, "\"hello\"", ":world");
    reg(ctx, "\"hello\"", ":again");
    unregister(ctx, "\"hello\"");
    EXPECT_TERM(
        ctx, test_flush(ctx),
        "[{:register, :reg, \"hello\", _, :world}, {:register, :reg, \"hello\", _, :again}, "
        "{:unregister, :reg, \"hello\", _}]");
}

static void re_039(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    cop_pid owner = reg(ctx, "\"hello\"", ":a").pid;
    reg(ctx, "\"hello\"", ":b");
    EXPECT(is_linked(ctx, owner));
    unregister_match(ctx, "\"hello\"", ":a", "[]");
    EXPECT(is_linked(ctx, owner));
    unregister(ctx, "\"hello\"");
    EXPECT(!is_linked(ctx, owner));
}
TEST(RE_039_the_link_lasts_as_long_as_an_entry) { for_duplicate(ctx, re_039); }

static cop_init idle_init(cop_ctx *ctx, void *state, cop_term arg) { return cop_init_ok(); }
static const cop_gen_server idle_server = { .name = "Idle", .init = idle_init };

static void re_040(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    cop_term name = cop_registry_via(ctx, REG, "hello");
    EXPECT_ERROR(ctx, "%ArgumentError{message: \":via is not supported for duplicate "
                      "registries\"}") {
        cop_gen_server_start_link(ctx, &idle_server, COP_NIL, &(cop_start_opts){ .via = name });
    }
    EXPECT_ERROR(ctx, "%ArgumentError{}") { cop_gen_server_call(ctx, name, 1, 0); }
}
TEST(RE_040_no_via_names_in_a_duplicate_registry) { for_duplicate(ctx, re_040); }

static void re_041(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    char expected[200];
    snprintf(expected, sizeof expected,
             "%%ArgumentError{message: \"Registry.update_value/3 is not supported for {:duplicate, "
             ":%s} registries\"}",
             keys == COP_REGISTRY_DUPLICATE ? "pid" : "key");
    EXPECT_ERROR(ctx, expected) {
        cop_registry_update_value(ctx, REG, 1, telling(ctx), NULL, NULL);
    }
}
TEST(RE_041_no_update_value_in_a_duplicate_registry) { for_duplicate(ctx, re_041); }

static void re_043(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    static const char *const any =
        "[{{:\"$1\", :_, :\"$2\"}, [{:\"=:=\", :\"$1\", {:const, :_}}], %s}]";
    static const char *const one =
        "[{{:\"$2\", :_, :\"$3\"}, [{:\"=:=\", :\"$2\", {:const, :\"$1\"}}], %s}]";
    char spec[200];
    reg(ctx, ":_", "1");
    reg(ctx, ":_", "2");
    reg(ctx, ":\"$1\"", "3");
    snprintf(spec, sizeof spec, any, "[:\"$2\"]");
    EXPECT_TERM(ctx, sorted(ctx, select_rows(ctx, spec)), "[1, 2]");
    snprintf(spec, sizeof spec, one, "[:\"$3\"]");
    EXPECT_TERM(ctx, select_rows(ctx, spec), "[3]");
    snprintf(spec, sizeof spec, any, "[true]");
    EXPECT_INT(count_rows(ctx, spec), 2);
    snprintf(spec, sizeof spec, one, "[true]");
    EXPECT_INT(count_rows(ctx, spec), 1);
}
TEST(RE_043_keys_that_look_like_variables_are_selected_by_guards) { for_duplicate(ctx, re_043); }

TEST(RE_044_values_stand_in_the_order_of_registration) {
    start(ctx, COP_REGISTRY_DUPLICATE, 1);
    for (const char *v = "3121"; *v != '\0'; v++)
        cop_registry_register(ctx, REG, cop_a(k), *v - '0');
    EXPECT_TERM(ctx, lookup(ctx, ":k"), "[{_, 3}, {_, 1}, {_, 2}, {_, 1}]");
    unregister_match(ctx, ":k", "1", "[]");
    EXPECT_TERM(ctx, lookup(ctx, ":k"), "[{_, 3}, {_, 2}]");
    EXPECT_TERM(ctx, my_keys(ctx), "[:k, :k]");
}

/* ---- deaths --------------------------------------------------------------------------------------- */

static void re_049(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    cop_pid a = new_member(ctx, "[{\"one\", 1}, {\"two\", 2}]");
    cop_pid b = new_member(ctx, "[{\"three\", 1}, {\"four\", 2}]");
    kill_and_wait(ctx, a);
    kill_and_wait(ctx, b);
    cop_registry_sync(ctx, REG);
    EXPECT_INT(cop_registry_count(ctx, REG), 0);
    EXPECT_TERM(ctx, cop_registry_keys_of(ctx, REG, a), "[]");
    EXPECT_TERM(ctx, cop_registry_values(ctx, REG, "three", b), "[]");
    EXPECT_TERM(ctx, select_rows(ctx, "[{{:_, :_, :_}, [], [1]}]"), "[]");
}
TEST(RE_049_entries_go_with_their_process) { for_all(ctx, re_049); }

/*
 * The partition has not heard of the end yet. Observed on Elixir: lookup, match and dispatch show the
 * dead process here, as keys, values and count do. Ours show nobody whose end the caller has seen.
 */
static void re_050(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    cop_pid member = new_member(ctx, "[{\"hello\", :value}]");
    int64_t calls;
    bool self_only;
    suspend_partitions(ctx, n, true);
    kill_and_wait(ctx, member);
    EXPECT_INT(cop_registry_count(ctx, REG), 1);
    EXPECT_TERM(ctx, cop_registry_keys_of(ctx, REG, member), "[\"hello\"]");
    EXPECT_TERM(ctx, cop_registry_values(ctx, REG, "hello", member), "[:value]");
    EXPECT_TERM(ctx, lookup(ctx, "\"hello\""), "[]");
    EXPECT_TERM(ctx, match(ctx, "\"hello\"", ":_", "[]"), "[]");
    EXPECT_TERM(ctx, select_rows(ctx, "[{{:_, :\"$1\", :_}, [], [:\"$1\"]}]"), "[]");
    test_flush(ctx);
    cop_registry_dispatch(ctx, REG, "hello", telling(ctx), NULL);
    EXPECT_INT(entries_told(ctx, &calls, &self_only), 0);
    if (keys == COP_REGISTRY_UNIQUE)
        EXPECT(cop_is_none(cop_registry_whereis(ctx, REG, "hello")));
    suspend_partitions(ctx, n, false);
    cop_registry_sync(ctx, REG);
    EXPECT_INT(cop_registry_count(ctx, REG), 0);
}
TEST(RE_050_between_a_death_and_the_cleaning) { for_all(ctx, re_050); }

TEST(RE_051_listeners_hear_nothing_of_a_death) {
    cop_process_register(ctx, cop_self(ctx), cop_a(listener));
    start_with(ctx, "[keys: :unique, name: :reg, listeners: [:listener]]");
    cop_pid other = cop_spawn(ctx, member, cop_tuple(ctx, cop_self(ctx), T(ctx, "[{:k, 1}]")));
    ASSERT_RECEIVE(ctx, "{:ready, _}");
    ASSERT_RECEIVE(ctx, "{:register, :reg, :k, _, 1}");
    kill_and_wait(ctx, other);
    cop_registry_sync(ctx, REG);
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
}

/* A member of that partition. */
static cop_pid member_of(cop_ctx *ctx, int64_t wanted) {
    for (int i = 0; i < 1000; i++) {
        char entries[60];
        snprintf(entries, sizeof entries, "[{%d, 1}]", i + (wanted == 0 ? 0 : 1000));
        cop_pid pid = new_member(ctx, entries);
        cop_term links = cop_process_info(ctx, pid, cop_a(links));
        if (cop_same(cop_head(links), partition(ctx, wanted).t))
            return pid;
        cop_send(ctx, pid, cop_a(trap)); /* it stays, and must not matter */
        ASSERT_RECEIVE(ctx, ":trapping");
    }
    FAIL("no process is of that partition");
}

TEST(RE_052_a_partition_of_a_unique_registry_dies) {
    start_with(ctx, "[keys: :unique, name: :reg, partitions: 2, meta: [m: 1]]");
    test_capture_log(ctx);
    cop_pid trapping = member_of(ctx, 0), plain = member_of(ctx, 1);
    cop_pid old[2] = { partition(ctx, 0), partition(ctx, 1) };
    cop_term value;
    cop_send(ctx, trapping, cop_a(trap));
    ASSERT_RECEIVE(ctx, ":trapping");
    test_flush(ctx);
    cop_ref down = cop_process_monitor(ctx, plain);
    cop_process_exit(ctx, old[0], cop_a(kill).t);
    cop_term message = COP_NONE;
    EXPECT(cop_receive_ref(ctx, 5000, down, &message));
    EXPECT_TERM(ctx, message, "{:DOWN, _, :process, _, :shutdown}");
    message = ASSERT_RECEIVE(ctx, "{:got, _, {:EXIT, _, :killed}}");
    EXPECT_SAME(ctx, cop_elem(cop_elem(message, 2), 1), old[0]);
    cop_supervisor_which_children(ctx, REG.t); /* it has restarted them */
    for (int i = 0; i < 2; i++)
        EXPECT(cop_is_pid(partition(ctx, i).t) && !cop_same(partition(ctx, i).t, old[i].t));
    EXPECT(cop_process_is_alive(ctx, trapping));
    EXPECT_INT(cop_registry_count(ctx, REG), 0);
    EXPECT_TERM(ctx, cop_registry_keys_of(ctx, REG, trapping), "[]");
    EXPECT(cop_registry_meta(ctx, REG, cop_a(m).t, &value));
    EXPECT(reg(ctx, "1", "1").ok);
    ASSERT_RECEIVE(ctx, "{:log, :error, {:report, %{label: {:supervisor, :child_terminated}}}, _}");
    REFUTE_RECEIVE(ctx, "{:log, :error, {:report, %{label: {:supervisor, :child_terminated}}}, _}",
                   0);
}

static void re_053(cop_ctx *ctx, cop_registry_keys keys) {
    start(ctx, keys, 2);
    cop_pid other = partition(ctx, 1), killed = partition(ctx, 0);
    test_trap_exit(ctx);
    for (int i = 0; i < 20; i++)
        cop_registry_register(ctx, REG, i, 1);
    kill_and_wait(ctx, killed);
    cop_supervisor_which_children(ctx, REG.t);
    EXPECT(cop_same(partition(ctx, 1).t, other.t));
    EXPECT(!cop_same(partition(ctx, 0).t, killed.t));
    int64_t left = cop_registry_count(ctx, REG);
    EXPECT_INT(cop_list_length(my_keys(ctx)), left);
    EXPECT(keys == COP_REGISTRY_DUPLICATE ? left == 0 || left == 20 : left > 0 && left < 20);
}
TEST(RE_053_a_partition_of_a_duplicate_registry_dies) { re_053(ctx, COP_REGISTRY_DUPLICATE); }
TEST(RE_053_a_partition_by_key_dies) { re_053(ctx, COP_REGISTRY_DUPLICATE_KEY); }

static void re_054(cop_ctx *ctx, cop_registry_keys keys) {
    cop_pid registry = start(ctx, keys, 2);
    cop_pid other = new_member(ctx, "[{:k, 1}]");
    cop_ref down = cop_process_monitor(ctx, other);
    cop_process_unlink(ctx, registry);
    cop_supervisor_stop(ctx, registry, cop_a(normal), 0);
    cop_term message = COP_NONE;
    EXPECT(cop_receive_ref(ctx, 5000, down, &message));
    EXPECT_TERM(ctx, message, "{:DOWN, _, :process, _, :shutdown}");
    EXPECT_ERROR(ctx, "%ArgumentError{message: \"unknown registry: :reg\"}") { lookup(ctx, ":k"); }
}
TEST(RE_054_the_registry_stops) { re_054(ctx, COP_REGISTRY_UNIQUE); }
TEST(RE_054_a_duplicate_registry_stops) { re_054(ctx, COP_REGISTRY_DUPLICATE); }

TEST(RE_055_a_partition_stops_normally) {
    start(ctx, COP_REGISTRY_UNIQUE, 1);
    cop_pid other = new_member(ctx, "[{:k, 1}]");
    cop_gen_server_stop(ctx, partition(ctx, 0), cop_a(normal), 0);
    cop_supervisor_which_children(ctx, REG.t);
    EXPECT(cop_process_is_alive(ctx, other));
    EXPECT_TERM(ctx, lookup(ctx, ":k"), "[]");
    EXPECT_TERM(ctx, cop_registry_keys_of(ctx, REG, other), "[]");
}

/* ---- dispatch by name; what it raises ------------------------------------------------------------------ */

static cop_term tell_count(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    cop_send(ctx, argv[1], cop_tuple(ctx, cop_a(entries), argv[0], cop_self(ctx)));
    return cop_a(anything).t;
}

static const cop_export exports[] = { { "tell", 2, tell_count }, { 0 } };
static const cop_module teller = { .name = "Teller", .exports = exports };

TEST(RE_062_dispatch_calls_a_function_by_name) {
    start(ctx, COP_REGISTRY_DUPLICATE, 4);
    cop_pid members[5];
    int64_t calls;
    bool self_only;
    cop_module_load(&teller);
    five_members(ctx, members);
    test_flush(ctx);
    cop_term mfa = cop_tuple(ctx, cop_a(Teller), cop_a(tell), cop_list(ctx, cop_self(ctx)));
    cop_registry_dispatch(ctx, REG, "hello", mfa, NULL);
    EXPECT_INT(entries_told(ctx, &calls, &self_only), 6);
    EXPECT(calls > 1 && calls <= 4);
}

static cop_term raise_oops(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    cop_raise(ctx, "RuntimeError", "oops");
}

static void dispatch_oops(cop_ctx *ctx, cop_term trap) {
    cop_process_trap_exit(ctx, cop_match(trap, cop_a(true)));
    cop_registry_dispatch(ctx, REG, "hello", cop_fun(ctx, raise_oops, 1, COP_NIL),
                          &(cop_dispatch_opts){ .parallel = true });
}

TEST(RE_063_what_the_function_raises) {
    start(ctx, COP_REGISTRY_DUPLICATE, 8);
    reg(ctx, "\"hello\"", "1");
    EXPECT_ERROR(ctx, "%RuntimeError{message: \"oops\"}") {
        cop_registry_dispatch(ctx, REG, "hello", cop_fun(ctx, raise_oops, 1, COP_NIL), NULL);
    }
    for (int trap = 0; trap < 2; trap++) {
        cop_term down = COP_NONE;
        cop_spawned s = cop_spawn_monitor(ctx, dispatch_oops, cop_bool(trap == 1).t);
        EXPECT(cop_receive_ref(ctx, 5000, s.ref, &down));
        EXPECT_TERM(ctx, cop_elem(down, 4),
                    trap == 0 ? "{%RuntimeError{message: \"oops\"}, _}"
                              : "{{%RuntimeError{message: \"oops\"}, _}, {Task, :await, _}}");
    }
}

/* ---- locks -------------------------------------------------------------------------------------------- */

/* fun(): tells {:locked, self} to its environment and waits for :go. */
static cop_term hold(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    cop_term message;
    cop_send(ctx, env, cop_tuple(ctx, cop_a(locked), cop_self(ctx)));
    cop_receive(ctx, COP_INFINITY, &message);
    if (cop_match(message, cop_a(raise)))
        cop_raise(ctx, "RuntimeError", "oops");
    return cop_tuple(ctx, cop_a(result), message);
}

static void locker(cop_ctx *ctx, cop_term arg) {
    cop_term test = cop_elem(arg, 0);
    cop_term got = cop_registry_lock(ctx, REG, cop_elem(arg, 1), cop_fun(ctx, hold, 0, test));
    cop_send(ctx, test, cop_tuple(ctx, cop_a(unlocked), cop_self(ctx), got));
}

static cop_pid new_locker(cop_ctx *ctx, int key) {
    return cop_spawn(ctx, locker, cop_tuple(ctx, cop_self(ctx), key));
}

static void expect_locked(cop_ctx *ctx, cop_pid pid) {
    EXPECT_SAME(ctx, cop_elem(ASSERT_RECEIVE(ctx, "{:locked, _}"), 1), pid);
}

/* One that waits: the partition has its call. */
static cop_pid new_waiter(cop_ctx *ctx) {
    cop_pid pid = new_locker(ctx, 1);
    for (;;) {
        cop_term monitored = cop_process_info(ctx, pid, cop_a(status));
        if (cop_match(monitored, cop_a(waiting)))
            break;
        cop_yield(ctx);
    }
    cop_registry_sync(ctx, REG);
    return pid;
}

static void re_070(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    cop_pid a = new_locker(ctx, 1), b = new_locker(ctx, 2);
    ASSERT_RECEIVE(ctx, "{:locked, _}");
    ASSERT_RECEIVE(ctx, "{:locked, _}");
    cop_send(ctx, a, 1);
    cop_send(ctx, b, 1);
    ASSERT_RECEIVE(ctx, "{:unlocked, _, {:result, 1}}");
    ASSERT_RECEIVE(ctx, "{:unlocked, _, {:result, 1}}");
}
TEST(RE_070_different_locks_are_held_at_once) { for_all(ctx, re_070); }

static void re_071(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    cop_pid a = new_locker(ctx, 1);
    expect_locked(ctx, a);
    cop_pid b = new_waiter(ctx), c = new_waiter(ctx);
    REFUTE_RECEIVE(ctx, "{:locked, _}", 0);
    cop_send(ctx, a, 1);
    expect_locked(ctx, b); /* first come, first served */
    REFUTE_RECEIVE(ctx, "{:locked, _}", 0);
    cop_send(ctx, b, 1);
    expect_locked(ctx, c);
    cop_send(ctx, c, 1);
    for (int i = 0; i < 3; i++)
        ASSERT_RECEIVE(ctx, "{:unlocked, _, _}");
}
TEST(RE_071_a_lock_is_held_by_one) { for_all(ctx, re_071); }

static void re_072(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    cop_pid a = new_locker(ctx, 1);
    expect_locked(ctx, a);
    cop_pid b = new_waiter(ctx);
    cop_ref ref = cop_process_monitor(ctx, a);
    cop_send(ctx, a, cop_a(raise));
    cop_term down = COP_NONE;
    EXPECT(cop_receive_ref(ctx, 5000, ref, &down));
    EXPECT_TERM(ctx, cop_elem(down, 4), "{%RuntimeError{message: \"oops\"}, _}");
    expect_locked(ctx, b);
    cop_send(ctx, b, 1);
    ASSERT_RECEIVE(ctx, "{:unlocked, _, _}");
}
TEST(RE_072_the_holder_raises) { for_all(ctx, re_072); }

static void re_073(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    cop_pid a = new_locker(ctx, 1);
    expect_locked(ctx, a);
    cop_pid b = new_waiter(ctx);
    cop_process_exit(ctx, a, cop_a(kill).t);
    expect_locked(ctx, b);
    cop_send(ctx, b, 1);
    ASSERT_RECEIVE(ctx, "{:unlocked, _, _}");
}
TEST(RE_073_the_holder_is_killed) { for_all(ctx, re_073); }

static void re_074(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    cop_pid a = new_locker(ctx, 1);
    expect_locked(ctx, a);
    cop_pid b = new_waiter(ctx), c = new_waiter(ctx);
    kill_and_wait(ctx, b);
    cop_send(ctx, a, 1);
    expect_locked(ctx, c);
    cop_send(ctx, c, 1);
    ASSERT_RECEIVE(ctx, "{:unlocked, _, _}");
    ASSERT_RECEIVE(ctx, "{:unlocked, _, _}");
}
TEST(RE_074_a_waiter_is_killed) { for_all(ctx, re_074); }

static cop_term who(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    return cop_self(ctx).t;
}

static void re_075(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    EXPECT_SAME(ctx, cop_registry_lock(ctx, REG, cop_a(k).t, cop_fun(ctx, who, 0, COP_NIL)),
                cop_self(ctx));
}
TEST(RE_075_lock_runs_its_function_in_the_caller) { for_all(ctx, re_075); }

static cop_term nested(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    EXPECT_EXIT(ctx, "{:timeout, {GenServer, :call, [_, {:lock, :n}, 5000]}}") {
        cop_registry_lock(ctx, REG, cop_a(n).t, cop_fun(ctx, who, 0, COP_NIL));
    }
    return cop_a(timed_out).t;
}

TEST(RE_076_a_nested_lock_times_out) {
    start(ctx, COP_REGISTRY_UNIQUE, 1);
    EXPECT_TERM(ctx, cop_registry_lock(ctx, REG, cop_a(n).t, cop_fun(ctx, nested, 0, COP_NIL)),
                ":timed_out");
    EXPECT_SAME(ctx, cop_registry_lock(ctx, REG, cop_a(n).t, cop_fun(ctx, who, 0, COP_NIL)),
                cop_self(ctx)); /* free again, also of the call that was given up */
}

/* ---- many at once ----------------------------------------------------------------------------------------- */

static int scaled(int n) {
    const char *text = getenv("COPPICE_TEST_SCALE");
    int by = text != NULL ? atoi(text) : 1;
    return by > 1 ? n / by + 1 : n;
}

/* Registers under some of the topics, looks around, and dies in one way or another. */
static void come_and_go(cop_ctx *ctx, cop_term arg) {
    for (int i = 0; i < 20; i++)
        COP_SCOPE(ctx) {
            int topic = (int)(cop_random_u64(ctx) % 8);
            cop_registry_register(ctx, REG, topic, i);
            cop_registry_lookup(ctx, REG, topic);
            if (i % 3 == 0)
                cop_registry_unregister(ctx, REG, topic);
            if (i % 5 == 0)
                cop_yield(ctx); /* to be seen alive by others on the same scheduler */
        }
    if (cop_random_u64(ctx) % 2 == 0)
        cop_exit(ctx, cop_a(gone));
}

/* Monitors what it finds; what it has seen die must never be found again. */
static void watch(cop_ctx *ctx, cop_term arg) {
    cop_term test = cop_elem(arg, 0), seen = cop_map(ctx), list, entry, message, any, pid, v;
    int64_t rounds = 0, dead = 0;
    cop_get_i64(cop_elem(arg, 1), &rounds);
    for (int64_t i = 0; i < rounds || dead == 0; i++) {
        list = cop_registry_lookup(ctx, REG, i % 8);
        while (cop_get_cons(list, &entry, &list)) {
            pid = cop_elem(entry, 0);
            if (!cop_map_get(seen, pid, &v)) {
                seen = cop_map_put(ctx, seen, pid, cop_a(alive).t);
                cop_process_monitor(ctx, pid);
            } else if (cop_match(v, cop_a(dead))) {
                FAIL("a process that was seen dead was looked up");
            }
        }
        while (cop_receive(ctx, 0, &message))
            if (cop_match_tuple(message, cop_as("DOWN"), &any, &any, &pid, &any)) {
                seen = cop_map_put(ctx, seen, pid, cop_a(dead).t);
                dead++;
            }
        cop_yield(ctx);
    }
    cop_send(ctx, test, cop_a(watched));
}

static void many(cop_ctx *ctx, cop_registry_keys keys) {
    start(ctx, keys, 4);
    test_trap_exit(ctx);
    int rounds = scaled(3000);
    for (int i = 0; i < 2; i++)
        cop_spawn(ctx, watch, cop_tuple(ctx, cop_self(ctx), rounds));
    int watching = 2;
    while (watching > 0)
        COP_SCOPE(ctx) {
            cop_term down, message;
            cop_spawned s = cop_spawn_monitor(ctx, come_and_go, COP_NONE);
            if (cop_random_u64(ctx) % 4 == 0)
                cop_process_exit(ctx, s.pid, cop_a(kill).t);
            cop_receive_ref(ctx, COP_INFINITY, s.ref, &down);
            while (cop_receive(ctx, 0, &message))
                watching -= cop_match(message, cop_a(watched));
        }
    for (int i = 0; i < 100 && cop_registry_count(ctx, REG) != 0; i++)
        cop_registry_sync(ctx, REG);
    EXPECT_INT(cop_registry_count(ctx, REG), 0);
}

TEST(many_register_look_up_and_die_unique, .timeout_s = 120) { many(ctx, COP_REGISTRY_UNIQUE); }
TEST(many_register_look_up_and_die_by_process, .timeout_s = 120) {
    many(ctx, COP_REGISTRY_DUPLICATE);
}
TEST(many_register_look_up_and_die_by_key, .timeout_s = 120) {
    many(ctx, COP_REGISTRY_DUPLICATE_KEY);
}

static void many_entries(cop_ctx *ctx, cop_term arg) {
    cop_term test = cop_elem(arg, 0);
    int count = 0;
    cop_get_int(cop_elem(arg, 1), &count);
    for (int i = 0; i < count; i++)
        COP_SCOPE(ctx) { cop_registry_register(ctx, REG, cop_a(topic), i); }
    cop_send(ctx, test, cop_a(ready));
    cop_process_sleep(ctx, COP_INFINITY);
}

TEST(leaving_a_crowded_topic_is_short, .timeout_s = 60) {
    start(ctx, COP_REGISTRY_DUPLICATE, 1);
    int count = scaled(150000);
    cop_pid crowd = cop_spawn(ctx, many_entries, cop_tuple(ctx, cop_self(ctx), count));
    ASSERT_RECEIVE_IN(ctx, ":ready", 50000);
    int64_t before = 0, after = 0;
    cop_get_i64(cop_process_info(ctx, cop_self(ctx), cop_a(reductions)), &before);
    for (int i = 0; i < 100; i++) {
        reg(ctx, ":topic", ":mine");
        unregister(ctx, ":topic");
    }
    cop_get_i64(cop_process_info(ctx, cop_self(ctx), cop_a(reductions)), &after);
    EXPECT(after - before < 10000); /* 150,000 rows would cost 18,750 each time */
    EXPECT_INT(cop_registry_count(ctx, REG), count);
    kill_and_wait(ctx, crowd);
    cop_registry_sync(ctx, REG);
    EXPECT_INT(cop_registry_count(ctx, REG), 0);
}
