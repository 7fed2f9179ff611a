/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registry: unique ones, starting, metadata, names. The spec's cases RE-001..026, 045..048, 056..069;
 * observed with the module of Elixir's main branch on OTP 25.
 */
#include "registry_help.h"

/* ---- RE-001..026: unique, one and eight partitions --------------------------------------------- */

static void re_001(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    cop_term children = cop_supervisor_which_children(ctx, REG.t), child;
    EXPECT_INT(cop_list_length(children), n);
    for (int64_t i = n - 1; cop_get_cons(children, &child, &children); i--) {
        char id[120];
        snprintf(id, sizeof id,
                 "{:\"Elixir.reg.PIDPartition%lld\", _, :worker, [Registry.Partition]}",
                 (long long)i);
        EXPECT_TERM(ctx, child, id);
        EXPECT_SAME(ctx, cop_elem(child, 1), partition(ctx, i));
    }
}
TEST(RE_001_which_children_shows_the_partitions) { for_unique(ctx, re_001); }

static void re_002(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    EXPECT_INT(cop_registry_count(ctx, REG), 0);
    reg(ctx, "\"hello\"", ":value");
    reg(ctx, "\"world\"", ":value");
    EXPECT_INT(cop_registry_count(ctx, REG), 2);
}
TEST(RE_002_count) { for_unique(ctx, re_002); }

static void re_003(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    cop_registered first = reg(ctx, "\"hello\"", ":value");
    EXPECT(first.ok && is_linked(ctx, first.pid));
    cop_registered again = reg(ctx, "\"hello\"", ":other");
    EXPECT(!again.ok && cop_same(again.pid.t, cop_self(ctx).t));
    EXPECT_TERM(ctx, my_keys(ctx), "[\"hello\"]");
    EXPECT_TERM(ctx, my_values(ctx, "\"hello\""), "[:value]");
}
TEST(RE_003_a_key_is_registered_once) { for_unique(ctx, re_003); }

static void re_004(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    cop_pid task = new_member(ctx, "[{\"hello\", :value}]"), registry;
    EXPECT(cop_get_pid(cop_process_whereis(ctx, REG), &registry));
    cop_registered mine = reg(ctx, "\"hello\"", ":value");
    EXPECT(!mine.ok && cop_same(mine.pid.t, task.t));
    EXPECT_TERM(ctx, my_keys(ctx), "[]");
    EXPECT_TERM(ctx, my_values(ctx, "\"hello\""), "[]");
    EXPECT_TERM(ctx, cop_registry_keys_of(ctx, REG, task), "[\"hello\"]");
    EXPECT_TERM(ctx, cop_registry_values(ctx, REG, "hello", task), "[:value]");
    EXPECT(is_linked(ctx, registry)); /* by start_link */
    kill_and_wait(ctx, task);
}
TEST(RE_004_a_key_of_another_process) { for_unique(ctx, re_004); }

static void re_005(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    cop_pid holder = new_member(ctx, "[{\"hello\", :old}]");
    suspend_partitions(ctx, n, true);
    kill_and_wait(ctx, holder);
    EXPECT(reg(ctx, "\"hello\"", ":new").ok);
    cop_term expected = cop_list(ctx, cop_tuple(ctx, cop_self(ctx), cop_a(new)));
    EXPECT_SAME(ctx, lookup(ctx, "\"hello\""), expected);
    suspend_partitions(ctx, n, false);
    cop_registry_sync(ctx, REG);
    EXPECT_SAME(ctx, lookup(ctx, "\"hello\""), expected);
}
TEST(RE_005_a_dead_holders_key_is_free_at_once) { for_unique(ctx, re_005); }

static void re_006(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    EXPECT_TERM(ctx, lookup(ctx, "\"hello\""), "[]");
    cop_pid other = new_member(ctx, "[{\"hello\", :world}]");
    EXPECT_SAME(ctx, lookup(ctx, "\"hello\""), cop_list(ctx, cop_tuple(ctx, other, cop_a(world))));
    kill_and_wait(ctx, other);
}
TEST(RE_006_lookup) { for_unique(ctx, re_006); }

static void re_007(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    reg(ctx, "\"hello\"", "{1, :atom, 1}");
    const char *found = "[{_, {1, :atom, 1}}]";
    EXPECT_TERM(ctx, match(ctx, "\"hello\"", "{1, :_, :_}", "[]"), found);
    EXPECT_TERM(ctx, match(ctx, "\"hello\"", "{1.0, :_, :_}", "[]"), "[]");
    EXPECT_TERM(ctx, match(ctx, "\"hello\"", "{:_, :atom, :_}", "[]"), found);
    EXPECT_TERM(ctx, match(ctx, "\"hello\"", "{:\"$1\", :_, :\"$1\"}", "[]"), found);
    EXPECT_TERM(ctx, match(ctx, "\"hello\"", ":_", "[]"), found);
    EXPECT_TERM(ctx, match(ctx, ":_", ":_", "[]"), "[]");
}
TEST(RE_007_match) { for_unique(ctx, re_007); }

static void re_008(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    reg(ctx, "\"hello\"", "%{a: \"a\", b: \"b\"}");
    EXPECT_TERM(ctx, match(ctx, "\"hello\"", "%{b: \"b\"}", "[]"), "[{_, %{a: \"a\", b: \"b\"}}]");
}
TEST(RE_008_a_map_pattern_needs_its_own_keys) { for_unique(ctx, re_008); }

static void re_009(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    static const struct {
        const char *guards;
        int64_t found;
    } cases[] = { { "[{:>, :\"$1\", 1}]", 1 },
                  { "[{:>, :\"$1\", 2}]", 0 },
                  { "[{:is_atom, :\"$2\"}]", 1 } };
    reg(ctx, "\"hello\"", "{2, :atom, 2}");
    for (size_t i = 0; i < 3; i++) {
        const char *pattern = "{:\"$1\", :\"$2\", :_}";
        EXPECT_INT(cop_list_length(match(ctx, "\"hello\"", pattern, cases[i].guards)),
                   cases[i].found);
        EXPECT_INT(count_match(ctx, "\"hello\"", pattern, cases[i].guards), cases[i].found);
        char spec[200];
        snprintf(spec, sizeof spec, "[{{\"hello\", :_, %s}, %s, [true]}]", pattern,
                 cases[i].guards);
        EXPECT_INT(count_rows(ctx, spec), cases[i].found);
    }
}
TEST(RE_009_guards) { for_unique(ctx, re_009); }

static void re_010(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    static const char *const reserved[] = { ":_", "{:\"$1\", :l}", "[:\"$$\", :l]",
                                            "%{label: :l, b: \"b\"}" };
    reg(ctx, "%{label: :l, a: \"a\", b: \"b\"}", ":superset");
    reg(ctx, "{:good, :l}", ":good");
    for (size_t i = 0; i < 4; i++) {
        const char *key = reserved[i];
        EXPECT_TERM(ctx, lookup(ctx, key), "[]");
        EXPECT_TERM(ctx, match(ctx, key, ":_", "[]"), "[]");
        EXPECT(reg(ctx, key, ":v").ok);
        EXPECT_TERM(ctx, lookup(ctx, key), "[{_, :v}]");
        EXPECT_TERM(ctx, match(ctx, key, ":_", "[]"), "[{_, :v}]");
        EXPECT_INT(count_match(ctx, key, ":_", "[]"), 1);
        unregister_match(ctx, key, ":_", "[]");
        EXPECT_TERM(ctx, lookup(ctx, key), "[]");
        reg(ctx, key, ":v");
        unregister(ctx, key);
        EXPECT_INT(cop_registry_count(ctx, REG), 2);
    }
    EXPECT_TERM(ctx, lookup(ctx, "%{label: :l, a: \"a\", b: \"b\"}"), "[{_, :superset}]");
}
TEST(RE_010_reserved_keys_are_keys_like_others) { for_unique(ctx, re_010); }

static void re_011(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    reg(ctx, "\"hello\"", "{1, :atom, 1}");
    unregister_match(ctx, "\"hello\"", "{2, :_, :_}", "[]");
    unregister_match(ctx, "\"hello\"", "{1.0, :_, :_}", "[]");
    EXPECT_TERM(ctx, lookup(ctx, "\"hello\""), "[{_, {1, :atom, 1}}]");
    unregister_match(ctx, "\"hello\"", "{:_, :atom, :_}", "[]");
    EXPECT_TERM(ctx, lookup(ctx, "\"hello\""), "[]");
    reg(ctx, "\"hello\"", "{1, :atom, 1}");
    unregister_match(ctx, "\"hello\"", "{:\"$1\", :_, :_}", "[{:<, :\"$1\", 2}]");
    EXPECT_TERM(ctx, lookup(ctx, "\"hello\""), "[]");
}
TEST(RE_011_unregister_match) { for_unique(ctx, re_011); }

static void re_012(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    EXPECT(reg(ctx, "1.0", ":value").ok);
    EXPECT(reg(ctx, "1", ":value").ok);
    cop_term k = my_keys(ctx);
    EXPECT_INT(cop_list_length(k), 2);
    EXPECT(cop_is_integer(cop_head(k)) != cop_is_integer(cop_head(cop_tail(k))));
    unregister(ctx, "1.0");
    EXPECT_TERM(ctx, my_keys(ctx), "[1]");
}
TEST(RE_012_one_and_one_point_zero_are_two_keys) { for_unique(ctx, re_012); }

static cop_term add_one(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    int64_t old;
    if (!cop_get_i64(argv[0], &old))
        cop_error(ctx, cop_a(badarith));
    return cop_of(ctx, old + 1);
}

static cop_term never(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    FAIL("this function must not be called");
}

static void re_013(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    cop_term new_value, old_value, fun = cop_fun(ctx, never, 1, COP_NIL);
    cop_pid other = new_member(ctx, "[{\"theirs\", 1}]");
    EXPECT(!cop_registry_update_value(ctx, REG, "unknown", fun, NULL, NULL));
    EXPECT(!cop_registry_update_value(ctx, REG, "theirs", fun, NULL, NULL));
    reg(ctx, "\"mine\"", "1");
    fun = cop_fun(ctx, add_one, 1, COP_NIL);
    EXPECT(cop_registry_update_value(ctx, REG, "mine", fun, &new_value, &old_value));
    EXPECT_TERM(ctx, cop_tuple(ctx, new_value, old_value), "{2, 1}");
    EXPECT_TERM(ctx, lookup(ctx, "\"mine\""), "[{_, 2}]");
    EXPECT_TERM(ctx, my_values(ctx, "\"mine\""), "[2]");
    reg(ctx, "\"text\"", ":no_number"); /* what raises leaves the old value */
    EXPECT_ERROR(ctx, ":badarith") { cop_registry_update_value(ctx, REG, "text", fun, NULL, NULL); }
    EXPECT_TERM(ctx, lookup(ctx, "\"text\""), "[{_, :no_number}]");
    kill_and_wait(ctx, other);
}
TEST(RE_013_update_value) { for_unique(ctx, re_013); }

static cop_term tell_entries(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    cop_send(ctx, env, cop_tuple(ctx, cop_a(entries), argv[0], cop_self(ctx)));
    return cop_a(ignored).t;
}

static void re_014(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    cop_registry_dispatch(ctx, REG, "hello", cop_fun(ctx, never, 1, COP_NIL), NULL);
    reg(ctx, "\"hello\"", ":value");
    cop_registry_dispatch(ctx, REG, "hello", cop_fun(ctx, tell_entries, 1, cop_self(ctx).t), NULL);
    cop_term got = ASSERT_RECEIVE(ctx, "{:entries, [{_, :value}], _}");
    EXPECT_SAME(ctx, cop_elem(got, 2), cop_self(ctx));
}
TEST(RE_014_dispatch) { for_unique(ctx, re_014); }

static void re_015(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    unregister(ctx, "\"hello\"");
    reg(ctx, "\"hello\"", ":value");
    reg(ctx, "\"world\"", ":value");
    unregister(ctx, "\"hello\"");
    EXPECT_TERM(ctx, my_keys(ctx), "[\"world\"]");
}
TEST(RE_015_unregister) { for_unique(ctx, re_015); }

TEST(RE_016_listeners_are_told_of_register_and_unregister) {
    cop_process_register(ctx, cop_self(ctx), cop_a(listener));
    EXPECT_INT(start_with(ctx, "[keys: :unique, name: :reg, listeners: [:listener]]").is,
               COP_STARTED);
    cop_pid task =
        cop_spawn(ctx, member, cop_tuple(ctx, cop_self(ctx), T(ctx, "[{\"hello\", :world}]")));
    cop_term got = ASSERT_RECEIVE(ctx, "{:register, :reg, \"hello\", _, :world}");
    EXPECT_SAME(ctx, cop_elem(got, 3), task);
    reg(ctx, "\"world\"", ":value");
    unregister(ctx, "\"world\"");
    got = ASSERT_RECEIVE(ctx, "{:register, :reg, \"world\", _, :value}");
    EXPECT_SAME(ctx, cop_elem(got, 3), cop_self(ctx));
    got = ASSERT_RECEIVE(ctx, "{:unregister, :reg, \"world\", _}");
    EXPECT_SAME(ctx, cop_elem(got, 3), cop_self(ctx));
}

static void re_017(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    cop_pid owner = reg(ctx, "\"hello\"", ":value").pid;
    EXPECT(cop_same(reg(ctx, "\"world\"", ":value").pid.t, owner.t));
    EXPECT(is_linked(ctx, owner));
    unregister(ctx, "\"hello\"");
    EXPECT(is_linked(ctx, owner));
    unregister(ctx, "\"world\"");
    EXPECT(!is_linked(ctx, owner));
}
TEST(RE_017_the_link_lasts_as_long_as_an_entry) { for_unique(ctx, re_017); }

#define UNKNOWN(expression) \
    EXPECT_ERROR(ctx, "%ArgumentError{message: \"unknown registry: :unknown\"}") { expression; }

TEST(RE_018_an_unknown_registry_raises_in_every_function) {
    cop_atom name = cop_a(unknown);
    cop_term fun = cop_fun(ctx, never, 1, COP_NIL), value;
    UNKNOWN(cop_registry_register(ctx, name, 1, 2));
    UNKNOWN(cop_registry_unregister(ctx, name, 1));
    UNKNOWN(cop_registry_unregister_match(ctx, name, 1, 2, COP_NIL));
    UNKNOWN(cop_registry_update_value(ctx, name, 1, fun, NULL, NULL));
    UNKNOWN(cop_registry_lookup(ctx, name, 1));
    UNKNOWN(cop_registry_match(ctx, name, 1, 2, COP_NIL));
    UNKNOWN(cop_registry_count_match(ctx, name, 1, 2, COP_NIL));
    UNKNOWN(cop_registry_select(ctx, name, COP_NIL));
    UNKNOWN(cop_registry_count_select(ctx, name, COP_NIL));
    UNKNOWN(cop_registry_dispatch(ctx, name, 1, fun, NULL));
    UNKNOWN(cop_registry_keys_of(ctx, name, cop_self(ctx)));
    UNKNOWN(cop_registry_values(ctx, name, 1, cop_self(ctx)));
    UNKNOWN(cop_registry_count(ctx, name));
    UNKNOWN(cop_registry_put_meta(ctx, name, cop_a(k).t, COP_NIL));
    UNKNOWN(cop_registry_delete_meta(ctx, name, cop_a(k).t));
    UNKNOWN(cop_registry_lock(ctx, name, cop_a(k).t, fun));
    UNKNOWN(cop_registry_whereis(ctx, name, 1));
    UNKNOWN(cop_registry_send(ctx, T(ctx, "{:unknown, 1}"), COP_NIL));
    EXPECT_ERROR(ctx, "%ArgumentError{message: \"unknown registry: :unknown. Either the registry "
                      "name is invalid or the registry is not running, possibly because its "
                      "application isn't started\"}") {
        cop_registry_meta(ctx, name, cop_a(k).t, &value);
    }
}

/* ---- names ---------------------------------------------------------------------------------------- */

struct keeper {
    cop_term value;
};

static cop_init keeper_init(cop_ctx *ctx, void *state, cop_term arg) {
    if (cop_match(arg, cop_a(stop)))
        return cop_init_stop(cop_a(no));
    ((struct keeper *)state)->value = arg;
    return cop_init_ok();
}

static cop_next keeper_call(cop_ctx *ctx, void *state, cop_term request, cop_from from) {
    return cop_reply(ctx, ((struct keeper *)state)->value);
}

static cop_next keeper_cast(cop_ctx *ctx, void *state, cop_term request) {
    ((struct keeper *)state)->value = request;
    return cop_noreply();
}

static const cop_gen_server keeper_server = { .name = "Keeper",
                                              .state_size = sizeof(struct keeper),
                                              .state_terms = 1,
                                              .init = keeper_init,
                                              .handle_call = keeper_call,
                                              .handle_cast = keeper_cast };

static cop_started start_keeper(cop_ctx *ctx, cop_term via, cop_term value) {
    return cop_gen_server_start_link(ctx, &keeper_server, value, &(cop_start_opts){ .via = via });
}

static void re_019(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    cop_term name = cop_registry_via(ctx, REG, "hello");
    cop_started first = start_keeper(ctx, name, cop_a(one).t);
    EXPECT_INT(first.is, COP_STARTED);
    EXPECT_TERM(ctx, cop_gen_server_call(ctx, name, cop_a(get), 0), ":one");
    cop_gen_server_cast(ctx, name, cop_a(two));
    EXPECT_TERM(ctx, cop_gen_server_call(ctx, name, cop_a(get), 0), ":two");
    EXPECT_SAME(ctx, cop_gen_server_whereis(ctx, name), first.pid);
    cop_started second = start_keeper(ctx, name, cop_a(three).t);
    EXPECT_INT(second.is, COP_ERROR);
    EXPECT_SAME(ctx, second.reason, cop_tuple(ctx, cop_a(already_started), first.pid));
    cop_request_id request = cop_gen_server_send_request(ctx, name, cop_a(get));
    EXPECT_TERM(ctx, cop_gen_server_receive_response(ctx, request, 0).value, ":two");
    cop_gen_server_stop(ctx, name, cop_a(normal), 0);
    EXPECT(cop_is_none(cop_gen_server_whereis(ctx, name)));
}
TEST(RE_019_a_server_is_started_and_called_by_a_via_name) { for_unique(ctx, re_019); }

static void re_020(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    cop_started a =
        start_keeper(ctx, cop_registry_via_value(ctx, REG, "a", cop_a(value)), cop_a(one).t);
    cop_started b = start_keeper(ctx, cop_registry_via(ctx, REG, "b"), cop_a(one).t);
    EXPECT_SAME(ctx, lookup(ctx, "\"a\""), cop_list(ctx, cop_tuple(ctx, a.pid, cop_a(value))));
    EXPECT_SAME(ctx, lookup(ctx, "\"b\""), cop_list(ctx, cop_tuple(ctx, b.pid, cop_a(nil))));
    cop_term other = cop_registry_via_value(ctx, REG, "a", cop_a(different));
    EXPECT_TERM(ctx, cop_gen_server_call(ctx, other, cop_a(get), 0), ":one");
    cop_gen_server_stop(ctx, a.pid, cop_a(normal), 0);
    cop_gen_server_stop(ctx, b.pid, cop_a(normal), 0);
}
TEST(RE_020_a_via_name_with_a_value) { for_unique(ctx, re_020); }

static void start_keeper_anywhere(cop_ctx *ctx, cop_term name) {
    start_keeper(ctx, name, cop_a(stop).t);
}

TEST(a_failed_start_frees_its_via_name) {
    start(ctx, COP_REGISTRY_UNIQUE, 1);
    cop_term name = cop_registry_via(ctx, REG, "hello");
    test_trap_exit(ctx);
    EXPECT_TERM(ctx, start_keeper(ctx, name, cop_a(stop).t).reason, ":no");
    EXPECT(cop_is_none(cop_gen_server_whereis(ctx, name)));
    EXPECT_INT(cop_registry_count(ctx, REG), 0);
}

TEST(an_unknown_registry_in_a_via_name_raises_in_the_starter) {
    cop_term name = cop_registry_via(ctx, cop_a(unknown), 1);
    UNKNOWN(start_keeper_anywhere(ctx, name));
    UNKNOWN(cop_gen_server_call(ctx, name, 1, 0));
    UNKNOWN(cop_gen_server_whereis(ctx, name));
    cop_gen_server_cast(ctx, name, 1); /* :ok, observed */
}

/* ---- select ----------------------------------------------------------------------------------------- */

static void re_021(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    const char *all = "[{{:\"$1\", :\"$2\", :\"$3\"}, [], [{{:\"$1\", :\"$2\", :\"$3\"}}]}]";
    EXPECT_TERM(ctx, select_rows(ctx, all), "[]");
    cop_pid other = new_member(ctx, "[{\"hello\", nil}]");
    reg(ctx, "\"world\"", ":value");
    EXPECT_SAME(ctx, sorted(ctx, select_rows(ctx, all)),
                cop_list(ctx, cop_tuple(ctx, "hello", other, cop_a(nil)),
                         cop_tuple(ctx, "world", cop_self(ctx), cop_a(value))));
    kill_and_wait(ctx, other);
}
TEST(RE_021_select_all) { for_unique(ctx, re_021); }

static void re_022(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    static const struct {
        const char *head, *found;
    } cases[] = {
        { "{\"hello\", :_, :\"$3\"}", "[{1, :atom, 1}]" },
        { "{:_, :_, {1.0, :_, :\"$3\"}}", "[]" },
        { "{:_, :_, {1, :_, :\"$3\"}}", "[1]" },
        { "{:_, :_, {:\"$3\", :_, :\"$3\"}}", "[1]" },
        { "{:_, :_, {:\"$2\", :\"$3\", :\"$1\"}}", "[:atom]" },
        { "{\"hey\", :_, :\"$3\"}", "[]" },
        { "{:\"$3\", :_, %{b: \"b\"}}", "[\"map\"]" },
        { "{:_, :_, %{a: :\"$3\"}}", "[\"a\"]" },
    };
    reg(ctx, "\"hello\"", "{1, :atom, 1}");
    reg(ctx, "\"map\"", "%{a: \"a\", b: \"b\"}");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char spec[200];
        snprintf(spec, sizeof spec, "[{%s, [], [:\"$3\"]}]", cases[i].head);
        EXPECT_TERM(ctx, select_rows(ctx, spec), cases[i].found);
    }
    cop_term head = cop_tuple(ctx, cop_as("$1"), cop_self(ctx), cop_a(_));
    cop_term spec = cop_list(ctx, cop_tuple(ctx, head, COP_NIL, cop_list(ctx, cop_as("$1"))));
    EXPECT_TERM(ctx, sorted(ctx, cop_registry_select(ctx, REG, spec)), "[\"hello\", \"map\"]");
    EXPECT_INT(cop_list_length(select_rows(ctx, "[{{:_, :_, {1, :atom, 1}}, [], [1]}]")), 1);
}
TEST(RE_022_select_by_key_pid_and_value) { for_unique(ctx, re_022); }

static void re_023(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    reg(ctx, "\"hello\"", "nil");
    reg(ctx, "\"world\"", ":value");
    reg(ctx, "\"other\"", ":value");
    cop_term found = select_rows(ctx, "[{{\"hello\", :_, :_}, [], [{:element, 1, :\"$_\"}]}, "
                                      "{{\"world\", :_, :_}, [], [{:element, 1, :\"$_\"}]}]");
    EXPECT_TERM(ctx, sorted(ctx, found), "[\"hello\", \"world\"]");
}
TEST(RE_023_select_with_several_clauses) { for_unique(ctx, re_023); }

static void re_024(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    EXPECT_ERROR(ctx, "%ArgumentError{message: \"invalid match specification in "
                      "Registry.select/2: [{:_, [], []}]\"}") {
        select_rows(ctx, "[{:_, [], []}]");
    }
    EXPECT_ERROR(ctx, "%ArgumentError{message: \"invalid match specification in "
                      "Registry.count_select/2: [{:_, [], []}]\"}") {
        count_rows(ctx, "[{:_, [], []}]");
    }
}
TEST(RE_024_select_needs_a_head_of_three) { for_unique(ctx, re_024); }

static void re_025(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    reg(ctx, "\"hello\"", "{1, :atom, 1}");
    reg(ctx, "\"world\"", "{1, :atom, 2}");
    EXPECT_INT(count_rows(ctx, "[{{:_, :_, {1, :atom, 1}}, [], [true]}]"), 1);
    EXPECT_INT(count_rows(ctx, "[{{\"hello\", :_, :_}, [], [true]}]"), 1);
    EXPECT_INT(count_rows(ctx, "[{{:_, :_, {1, :atom, :_}}, [], [true]}]"), 2);
    EXPECT_INT(count_rows(ctx, "[{{:_, :_, {:\"$1\", :_, :\"$1\"}}, [], [true]}]"), 1);
    EXPECT_INT(count_rows(ctx, "[{{\"hello\", :_, nil}, [], [true]}]"), 0);
    EXPECT_INT(count_rows(ctx, "[{{\"hello\", :_, :_}, [], [true]}, "
                               "{{\"world\", :_, :_}, [], [true]}]"),
               2);
}
TEST(RE_025_count_select) { for_unique(ctx, re_025); }

static void re_026(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    cop_pid other = new_member(ctx, "[{\"hello\", 1}]");
    EXPECT(!reg(ctx, "\"hello\"", "1").ok);
    EXPECT_TERM(ctx, my_keys(ctx), "[]");
    cop_send(ctx, other, T(ctx, "{:register, \"hello\", 2}"));
    ASSERT_RECEIVE(ctx, "{:registered, false}");
    EXPECT_TERM(ctx, cop_registry_keys_of(ctx, REG, other), "[\"hello\"]");
    EXPECT_INT(cop_registry_count(ctx, REG), 1);
    kill_and_wait(ctx, other);
}
TEST(RE_026_a_failed_register_leaves_nothing) { for_unique(ctx, re_026); }

/* ---- starting ------------------------------------------------------------------------------------- */

TEST(RE_045_bad_options_raise_in_the_caller) {
    static const char *const keys =
        "expected :keys to be given and be one of :unique, :duplicate, {:duplicate, :key}, or "
        "{:duplicate, :pid}, got: ";
    const struct {
        const char *options, *before, *text;
    } cases[] = {
        { "[name: :reg]", keys, "nil" },
        { "[keys: :foo, name: :reg]", keys, ":foo" },
        { "[keys: {:duplicate, :invalid}, name: :reg]", keys, "{:duplicate, :invalid}" },
        { "[keys: :unique]", "", "expected :name option to be present" },
        { "[keys: :unique, name: \"x\"]", "", "expected :name to be an atom, got: \\\"x\\\"" },
        { "[keys: :unique, name: :reg, partitions: 0]", "",
          "expected :partitions to be a positive integer, got: 0" },
        { "[keys: :unique, name: :reg, listeners: [\"a\"]]", "",
          "expected :listeners to be a list of named processes, got: [\\\"a\\\"]" },
        { "[keys: :unique, name: :reg, meta: [{\"a\", 1}]]", "",
          "expected :meta to be a keyword list, got: [{\\\"a\\\", 1}]" },
        { "[keys: :unique, name: :reg, compressed: 1]", "",
          "expected :compressed to be a boolean, got: 1" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char expected[500];
        snprintf(expected, sizeof expected, "%%ArgumentError{message: \"%s%s\"}", cases[i].before,
                 cases[i].text);
        EXPECT_ERROR(ctx, expected) { start_with(ctx, cases[i].options); }
    }
}

TEST(RE_042_an_unknown_kind_of_duplicate_raises) {
    EXPECT_ERROR(ctx, "%ArgumentError{message: \"expected :keys to be given and be one of "
                      ":unique, :duplicate, {:duplicate, :key}, or {:duplicate, :pid}, got: "
                      "{:duplicate, :invalid}\"}") {
        start_with(ctx, "[keys: {:duplicate, :invalid}, name: :reg]");
    }
}

TEST(RE_046_a_name_that_is_taken) {
    cop_pid registry = start(ctx, COP_REGISTRY_UNIQUE, 1);
    cop_started again = start_with(ctx, "[keys: :unique, name: :reg]");
    EXPECT_INT(again.is, COP_ERROR);
    EXPECT_SAME(ctx, again.reason, cop_tuple(ctx, cop_a(already_started), registry));
    cop_process_register(ctx, cop_self(ctx), cop_a(somebody));
    again = start_with(ctx, "[keys: :unique, name: :somebody]");
    EXPECT_SAME(ctx, again.reason, cop_tuple(ctx, cop_a(already_started), cop_self(ctx)));
}

static const cop_registry_opts const_opts = { .keys = COP_REGISTRY_UNIQUE,
                                              .name = "My.Names",
                                              .partitions = 2 };
static const cop_child_spec const_children[] = {
    { .id = "names",
      .start = cop_registry_start_link,
      .arg = COP_REGISTRY_ARG(&const_opts),
      .type = COP_SUPERVISOR },
};

TEST(RE_047_child_spec) {
    cop_child_spec spec =
        cop_registry_child_spec(ctx, T(ctx, "[keys: :unique, name: :reg, partitions: 2]"));
    EXPECT_TERM(ctx, spec.id_term, ":reg");
    EXPECT_INT(spec.type, COP_SUPERVISOR);
    EXPECT_TERM(ctx, cop_registry_child_spec(ctx, T(ctx, "[keys: :unique]")).id_term, "Registry");
    cop_started s = cop_supervisor_start_link(ctx, &spec, 1, NULL);
    EXPECT_TERM(ctx, cop_supervisor_which_children(ctx, s.pid.t),
                "[{:reg, _, :supervisor, [Registry]}]");
    EXPECT(reg(ctx, "1", "1").ok);
}

TEST(a_constant_child_spec_starts_a_registry_under_a_supervisor) {
    cop_started s = cop_supervisor_start_link(ctx, const_children, 1, NULL);
    EXPECT_INT(s.is, COP_STARTED);
    cop_atom name = cop_as("Elixir.My.Names");
    EXPECT(cop_registry_register(ctx, name, 1, 2).ok);
    EXPECT(!cop_is_none(cop_process_whereis(ctx, cop_as("Elixir.My.Names.PIDPartition1"))));
    EXPECT_TERM(ctx, cop_supervisor_count_children(ctx, s.pid.t),
                "%{specs: 1, active: 1, supervisors: 1, workers: 0}");
}

/* ---- metadata ---------------------------------------------------------------------------------------- */

static cop_term meta(cop_ctx *ctx, const char *key) {
    cop_term value;
    return cop_registry_meta(ctx, REG, T(ctx, key), &value) ? value : cop_a(error).t;
}

TEST(RE_048_metadata) {
    start_with(ctx, "[keys: :unique, name: :reg, meta: [custom: \"value\"]]");
    EXPECT_TERM(ctx, meta(ctx, ":custom"), "\"value\"");
    EXPECT_TERM(ctx, meta(ctx, ":unknown"), ":error");
    cop_registry_put_meta(ctx, REG, cop_a(custom).t, cop_of(ctx, 1));
    EXPECT_TERM(ctx, meta(ctx, ":custom"), "1");
    cop_registry_put_meta(ctx, REG, T(ctx, "{:tuple, :key}"), cop_of(ctx, "t"));
    EXPECT_TERM(ctx, meta(ctx, "{:tuple, :key}"), "\"t\"");
    cop_registry_delete_meta(ctx, REG, cop_a(custom).t);
    EXPECT_TERM(ctx, meta(ctx, ":custom"), ":error");
    cop_registry_delete_meta(ctx, REG, cop_a(custom).t);
    EXPECT_ERROR(ctx, "%FunctionClauseError{}") { meta(ctx, "\"string\""); }
    EXPECT_ERROR(ctx, "%FunctionClauseError{}") {
        cop_registry_put_meta(ctx, REG, T(ctx, "\"string\""), COP_NIL);
    }
    EXPECT_ERROR(ctx, "%FunctionClauseError{}") { cop_registry_delete_meta(ctx, REG, T(ctx, "1")); }
}

/* ---- rules found on the real system --------------------------------------------------------------- */

static void start_with_listener(cop_ctx *ctx) {
    cop_process_register(ctx, cop_self(ctx), cop_a(listener));
    start_with(ctx, "[keys: :unique, name: :reg, listeners: [:listener]]");
}

TEST(RE_056_unregister_by_a_process_without_the_key) {
    start_with_listener(ctx);
    cop_pid other = cop_spawn(ctx, member, cop_tuple(ctx, cop_self(ctx), T(ctx, "[{:k, 1}]")));
    ASSERT_RECEIVE(ctx, "{:ready, _}");
    unregister(ctx, ":k");
    EXPECT_SAME(ctx, lookup(ctx, ":k"), cop_list(ctx, cop_tuple(ctx, other, 1)));
    cop_term told = ASSERT_RECEIVE_IN(ctx, "{:unregister, :reg, :k, _}", 0);
    EXPECT_SAME(ctx, cop_elem(told, 3), cop_self(ctx));
}

TEST(RE_057_unregister_match_tells_when_nothing_is_left) {
    start_with_listener(ctx);
    unregister_match(ctx, ":k", ":_", "[]"); /* a caller without entries counts as everything */
    ASSERT_RECEIVE_IN(ctx, "{:unregister, :reg, :k, _}", 0);
    reg(ctx, ":k", "1");
    test_flush(ctx);
    unregister_match(ctx, ":k", "2", "[]");
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
    unregister_match(ctx, ":k", "1", "[]");
    EXPECT_TERM(ctx, test_flush(ctx), "[{:unregister, :reg, :k, _}]");
}

TEST(RE_058_a_listener_that_is_not_there_makes_register_raise) {
    start_with(ctx, "[keys: :unique, name: :reg, listeners: [:nobody]]");
    EXPECT_ERROR(ctx, ":badarg") { reg(ctx, ":k", "1"); }
    EXPECT_TERM(ctx, lookup(ctx, ":k"), "[{_, 1}]");
}

static void re_059(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    cop_pid other = new_member(ctx, "[{:taken, 1}]");
    reg(ctx, ":taken", "1");
    for (int64_t i = 0; i < n; i++)
        EXPECT(!is_linked(ctx, partition(ctx, i)));
    cop_pid owner = reg(ctx, ":mine", "1").pid;
    EXPECT(!reg(ctx, ":taken", "1").ok);
    EXPECT(is_linked(ctx, owner));
    kill_and_wait(ctx, other);
}
TEST(RE_059_a_failed_register_leaves_no_link) { for_unique(ctx, re_059); }

static void re_060(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    cop_term name = T(ctx, "{:reg, 1}");
    EXPECT_ERROR(ctx, "%FunctionClauseError{}") {
        cop_registry_register_name(ctx, name, test_idle_pid(ctx));
    }
    EXPECT(cop_registry_register_name(ctx, name, cop_self(ctx)));
    EXPECT(!cop_registry_register_name(ctx, name, cop_self(ctx)));
    EXPECT_TERM(ctx,
                cop_apply(ctx, cop_as("Elixir.Registry"), cop_a(register_name),
                          cop_list(ctx, name, cop_self(ctx))),
                ":no");
    cop_registry_unregister_name(ctx, name);
    EXPECT_TERM(ctx,
                cop_apply(ctx, cop_as("Elixir.Registry"), cop_a(whereis_name), cop_list(ctx, name)),
                ":undefined");
}
TEST(RE_060_register_name_is_for_oneself) { for_unique(ctx, re_060); }

static void re_061(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    cop_term name = cop_registry_via(ctx, REG, "nobody");
    EXPECT_ERROR(ctx, ":badarg") { cop_registry_send(ctx, T(ctx, "{:reg, \"nobody\"}"), name); }
    EXPECT_EXIT(ctx, "{:noproc, {GenServer, :call, [{:via, Registry, {:reg, \"nobody\"}}, :m, "
                     "5000]}}") {
        cop_gen_server_call(ctx, name, cop_a(m), 0);
    }
    cop_gen_server_cast(ctx, name, cop_a(m));
    EXPECT(cop_is_none(cop_gen_server_whereis(ctx, name)));
    cop_request_id request = cop_gen_server_send_request(ctx, name, cop_a(get));
    EXPECT_TERM(ctx, cop_gen_server_receive_response(ctx, request, 0).value,
                "{:error, {:noproc, {:via, Registry, {:reg, \"nobody\"}}}}");
    reg(ctx, "\"somebody\"", "1");
    cop_registry_send(ctx, T(ctx, "{:reg, \"somebody\"}"), cop_a(hello).t);
    ASSERT_RECEIVE(ctx, ":hello");
}
TEST(RE_061_a_name_that_nobody_has) { for_unique(ctx, re_061); }

static void re_064(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    static const struct {
        const char *body, *result;
    } cases[] = {
        { "[:\"$$\"]", "[[:k, 5]]" },
        { "[{{:\"$1\", :\"$2\"}}]", "[{:k, 5}]" },
        { "[%{k: :\"$1\", v: :\"$2\"}]", "[%{k: :k, v: 5}]" },
        { "[{:+, :\"$2\", 1}]", "[6]" },
        { "[{:const, {:x, :\"$1\"}}]", "[{:x, :\"$1\"}]" },
        { "[:\"$1\", :\"$2\"]", "[5]" },
    };
    reg(ctx, ":k", "5");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char spec[200];
        snprintf(spec, sizeof spec, "[{{:\"$1\", :_, :\"$2\"}, [], %s}]", cases[i].body);
        EXPECT_TERM(ctx, select_rows(ctx, spec), cases[i].result);
    }
}
TEST(RE_064_bodies) { for_unique(ctx, re_064); }

static void re_065(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    static const struct {
        const char *guards;
        int64_t found;
    } cases[] = {
        { "[{:==, :\"$2\", 3.0}]", 1 },
        { "[{:\"=:=\", :\"$2\", 3.0}]", 0 },
        { "[{:>, {:+, :\"$2\", 1}, 0}]", 1 },
        { "[true]", 2 },
        { "[false]", 0 },
        { "[:foo]", 0 },
        { "[1]", 0 },
        { "[{:==, :\"$3\", {:self}}]", 2 },
    };
    reg(ctx, ":number", "3");
    reg(ctx, ":text", "\"x\"");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char spec[200];
        snprintf(spec, sizeof spec, "[{{:_, :\"$3\", :\"$2\"}, %s, [true]}]", cases[i].guards);
        EXPECT_INT(count_rows(ctx, spec), cases[i].found);
    }
}
TEST(RE_065_guards_compare_and_compute) { for_unique(ctx, re_065); }

static void re_066(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    static const char *const bad[] = {
        "[{{:_, :_, :_}, [], []}]",
        "[{{:_, :_, :_}, [], true}]",
        "[{{:_, :_, :_}, [], [:\"$1\"]}]",
        "[{{:_, :_, :_}, [:\"$1\"], [1]}]",
        "[{{:_, :_, :_}, [{:is_something, 1}], [1]}]",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) { /* the registry is empty */
        EXPECT_ERROR(ctx, "%ArgumentError{}") { select_rows(ctx, bad[i]); }
        EXPECT_ERROR(ctx, "%ArgumentError{}") { count_rows(ctx, bad[i]); }
    }
    EXPECT_ERROR(ctx, "%ArgumentError{}") { match(ctx, "1", ":_", "[{:is_something, 1}]"); }
    COP_TRY(ctx) { match(ctx, "1", ":_", "[{:is_something, 1}]"); }
    COP_CATCH(caught) {
        char text[300];
        cop_inspect_to(text, sizeof text, caught->reason, NULL);
        EXPECT(strstr(text, "not a valid match specification") != NULL);
    }
    reg(ctx, ":k", "{1}");
    EXPECT_TERM(ctx, select_rows(ctx, "[{{:_, :_, :\"$1\"}, [], [{:+, :\"$1\", 1}]}]"), "[:EXIT]");
}
TEST(RE_066_bad_specifications_raise) { for_unique(ctx, re_066); }

static void re_067(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    reg(ctx, "1", "1");
    reg(ctx, "2", "1");
    EXPECT_TERM(ctx,
                sorted(ctx, select_rows(ctx, "[{{1, :_, :_}, [], [:first]}, "
                                             "{{:_, :_, :_}, [], [:second]}]")),
                "[:first, :second]");
}
TEST(RE_067_the_first_clause_that_matches_decides) { for_unique(ctx, re_067); }

static void re_068(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    reg(ctx, "1", "1");
    EXPECT_INT(count_rows(ctx, "[{{:_, :_, :_}, [], [:foo]}]"), 0);
    EXPECT_INT(count_rows(ctx, "[{{:_, :_, :_}, [], [false]}]"), 0);
}
TEST(RE_068_count_select_counts_true) { for_unique(ctx, re_068); }

static void re_069(cop_ctx *ctx, cop_registry_keys keys, int64_t n) {
    reg(ctx, ":list", "[1, 2 | 3]");
    reg(ctx, ":map", "%{x: 1, y: %{z: 5, w: 6}}");
    EXPECT_TERM(ctx, select_rows(ctx, "[{{:_, :_, [:\"$2\" | :\"$3\"]}, [], [:\"$$\"]}]"),
                "[[1, [2 | 3]]]");
    EXPECT_TERM(ctx, select_rows(ctx, "[{{:_, :_, %{y: %{z: :\"$2\"}}}, [], [:\"$2\"]}]"), "[5]");
    EXPECT_TERM(ctx, select_rows(ctx, "[{{:\"$1\", :_, %{}}, [], [:\"$1\"]}]"), "[:map]");
}
TEST(RE_069_patterns_of_lists_and_maps) { for_unique(ctx, re_069); }
