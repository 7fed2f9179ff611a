/* SPDX-License-Identifier: Apache-2.0 */
/* PartitionSupervisor. Expected terms were observed on Elixir 1.14, and resize on the main branch. */
#include "supervisor_help.h"

static const cop_child_spec worker = { .start = w_start_link, .arg = COP_NIL, .module = "W" };

static cop_pid parts(cop_ctx *ctx, int64_t n) {
    begin(ctx);
    cop_started s = cop_partition_supervisor_start_link(
        ctx, &(cop_partition_supervisor_opts){
                 .name = cop_a(parts), .child_spec = &worker, .partitions = n });
    if (s.is != COP_STARTED)
        EXPECT_TERM(ctx, s.reason, "nothing");
    return s.pid;
}

static cop_term with_partition(cop_ctx *ctx, cop_term arg, int64_t partition) {
    return cop_list(ctx, cop_tuple(ctx, cop_a(id), partition));
}

TEST(the_spec_of_one_uses_its_name_as_id) {
    begin(ctx);
    EXPECT_SAME(
        ctx, cop_supervisor_child_spec(ctx, T(ctx, "{PartitionSupervisor, [name: Foo]}"), COP_NIL),
        T(ctx, "%{id: Foo, start: {PartitionSupervisor, :start_link, [[name: Foo]]}, "
               "type: :supervisor}"));
}

TEST(there_are_as_many_partitions_as_schedulers) {
    parts(ctx, 0);
    EXPECT_INT(cop_partition_supervisor_partitions(ctx, cop_a(parts)), cop_node_schedulers());
}

TEST(each_partition_is_found_by_its_number) {
    cop_pid sup = parts(ctx, 3);
    cop_term list = cop_partition_supervisor_which_children(ctx, cop_a(parts)), one;
    EXPECT_TERM(ctx, list, "[{2, _, :worker, [W]}, {1, _, :worker, [W]}, {0, _, :worker, [W]}]");
    while (cop_get_cons(list, &one, &list))
        EXPECT_SAME(ctx, cop_partition_supervisor_whereis(ctx, cop_a(parts), cop_elem(one, 0)),
                    cop_elem(one, 1));
    EXPECT_TERM(ctx, cop_partition_supervisor_count_children(ctx, sup),
                "%{specs: 3, active: 3, supervisors: 0, workers: 3}");
}

TEST(keys_are_routed_as_in_Elixir) {
    parts(ctx, 3);
    cop_term p[3];
    for (int i = 0; i < 3; i++)
        p[i] = cop_partition_supervisor_whereis(ctx, cop_a(parts), i);
    EXPECT_SAME(ctx, cop_partition_supervisor_whereis(ctx, cop_a(parts), 3), p[0]);
    EXPECT_SAME(ctx, cop_partition_supervisor_whereis(ctx, cop_a(parts), -1), p[1]);
    /* Observed: rem(10 ** 30, 3), :erlang.phash2(:a, 3) and phash2("key", 3) are all 1. */
    cop_term large = T(ctx, "1000000000000000000000000000000");
    EXPECT_SAME(ctx, cop_partition_supervisor_whereis(ctx, cop_a(parts), large), p[1]);
    EXPECT_SAME(ctx, cop_partition_supervisor_whereis(ctx, cop_a(parts), cop_a(a)), p[1]);
    EXPECT_SAME(ctx, cop_partition_supervisor_whereis(ctx, cop_a(parts), "key"), p[1]);
}

TEST(a_partition_that_was_restarted_is_found_again) {
    cop_pid sup = parts(ctx, 2), old = { COP_NONE };
    EXPECT(cop_get_pid(cop_partition_supervisor_whereis(ctx, cop_a(parts), 1), &old));
    kill_pid(ctx, old);
    sync_with(ctx, sup);
    cop_term now = cop_partition_supervisor_whereis(ctx, cop_a(parts), 1);
    EXPECT(now.w != old.t.w);
    EXPECT_SAME(ctx, cop_supervisor_child(ctx, sup, COP_INT(1)), now);
}

TEST(with_argument_tells_a_partition_its_number) {
    begin(ctx);
    cop_partition_supervisor_start_link(
        ctx, &(cop_partition_supervisor_opts){ .name = cop_a(parts),
                                               .child_spec = &worker,
                                               .partitions = 3,
                                               .with_argument = with_partition });
    EVENTS(ctx, "[{:up, 0}, {:up, 1}, {:up, 2}]");
}

static cop_term fun_body(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    if (cop_match(env, cop_a(bad)))
        return cop_a(not_a_list).t;
    return cop_list(ctx, cop_list(ctx, cop_tuple(ctx, cop_a(id), a[1])));
}

static cop_term options(cop_ctx *ctx, const char *text, cop_term with) {
    return cop_cons(ctx, cop_tuple(ctx, cop_a(with_arguments), with), T(ctx, text));
}

TEST(with_arguments_from_terms) {
    begin(ctx);
    cop_term fun = cop_fun(ctx, fun_body, 2, cop_a(good).t);
    cop_started s = cop_partition_supervisor_start_link_terms(
        ctx, options(ctx, "[name: :parts, child_spec: {W, []}, partitions: 2]", fun));
    EXPECT(s.is == COP_STARTED);
    EVENTS(ctx, "[{:up, 0}, {:up, 1}]");
}

TEST(dynamic_supervisors_as_partitions) {
    begin(ctx);
    cop_supervisor_start_link_terms(
        ctx,
        T(ctx, "[{PartitionSupervisor, [name: :parts, child_spec: DynamicSupervisor, "
               "partitions: 4]}]"),
        T(ctx, "[strategy: :one_for_one]"));
    int64_t all = 0;
    for (int i = 0; i < 100; i++) {
        cop_term sup = cop_partition_supervisor_whereis(ctx, cop_a(parts), cop_make_ref(ctx));
        EXPECT_TERM(ctx, cop_dynamic_supervisor_start_child_term(ctx, sup, T(ctx, "{W, []}")),
                    "{:ok, _}");
    }
    for (int i = 0; i < 4; i++) {
        int64_t specs;
        cop_term sup = cop_partition_supervisor_whereis(ctx, cop_a(parts), i);
        EXPECT(cop_match_key(cop_supervisor_count_children(ctx, sup), cop_a(specs), &specs));
        all += specs;
    }
    EXPECT_INT(all, 100);
    EXPECT_TERM(ctx, cop_partition_supervisor_count_children(ctx, cop_a(parts)),
                "%{specs: 4, active: 4, supervisors: 4, workers: 0}");
}

TEST(what_is_raised_in_the_caller) {
    static const char *const cases[][2] = {
        { "[child_spec: W]", "the :name option must be given to PartitionSupervisor" },
        { "[name: :x]", "the :child_spec option must be given to PartitionSupervisor" },
        { "[name: :x, child_spec: W, partitions: 0]",
          "the :partitions option must be a positive integer, got: 0" },
        { "[name: :x, child_spec: W, with_arguments: 123]",
          "the :with_arguments option must be a function that receives two arguments, the current "
          "call arguments and the partition, got: 123" },
        { "[name: :x, child_spec: W, auto_shutdown: :any_significant]",
          "the :auto_shutdown option must be :never, got: :any_significant" },
    };
    begin(ctx);
    for (int i = 0; i < 5; i++) {
        char text[300];
        snprintf(text, sizeof text, "%%ArgumentError{message: \"%s\"}", cases[i][1]);
        EXPECT_ERROR(ctx, text) {
            cop_partition_supervisor_start_link_terms(ctx, T(ctx, cases[i][0]));
        }
    }
    EXPECT_ERROR(ctx, "%RuntimeError{message: \"the call to the function in :with_arguments must "
                      "return a list, got: :not_a_list\"}") {
        cop_partition_supervisor_start_link_terms(
            ctx,
            options(ctx, "[name: :x, child_spec: W]", cop_fun(ctx, fun_body, 2, cop_a(bad).t)));
    }
}

TEST(nobody_of_that_name) {
    EXPECT_EXIT(ctx, "{:noproc, {PartitionSupervisor, :partitions, [:nope]}}") {
        cop_partition_supervisor_partitions(ctx, cop_a(nope));
    }
    cop_pid sup = parts(ctx, 2);
    cop_partition_supervisor_stop(ctx, cop_a(parts), cop_a(normal), 0);
    EXPECT(!cop_process_is_alive(ctx, sup));
    EXPECT_EXIT(ctx, "{:noproc, {PartitionSupervisor, :partitions, [:parts]}}") {
        cop_partition_supervisor_whereis(ctx, cop_a(parts), 0);
    }
    parts(ctx, 5);
    EXPECT_INT(cop_partition_supervisor_partitions(ctx, cop_a(parts)), 5);
}

TEST(the_via_name_of_a_partition_is_an_address) {
    parts(ctx, 3);
    cop_term via = cop_partition_supervisor_via(ctx, cop_a(parts), 4);
    EXPECT_TERM(ctx, via, "{:via, PartitionSupervisor, {:parts, 4}}");
    EXPECT_TERM(ctx, cop_gen_server_call(ctx, via, cop_a(get), 0), ":ok");
    EXPECT_SAME(ctx, cop_gen_server_whereis(ctx, via),
                cop_partition_supervisor_whereis(ctx, cop_a(parts), 1));
    EXPECT_EXIT(ctx, "{:noproc, {PartitionSupervisor, :partitions, [:nope]}}") {
        cop_gen_server_call(ctx, cop_partition_supervisor_via(ctx, cop_a(nope), 4), cop_a(get), 0);
    }
}

static atomic_bool over;

static void reader(cop_ctx *ctx, cop_term arg) {
    int64_t found = 0;
    while (!over)
        COP_SCOPE(ctx) {
            COP_TRY(ctx) {
                for (int i = 0; i < 100; i++) {
                    cop_term pid = cop_partition_supervisor_whereis(ctx, cop_a(parts), i);
                    if (!cop_is_none(pid) && !cop_is_pid(pid))
                        FAIL("a partition that is no pid");
                    found += cop_is_pid(pid);
                }
            }
            COP_CATCH(caught) { EXPECT_TERM(ctx, caught->reason, "{:noproc, _}"); }
            cop_yield(ctx);
        }
    cop_send(ctx, tester, cop_tuple(ctx, cop_a(found), found));
}

TEST(readers_find_pids_while_partitions_come_and_go) {
    begin(ctx);
    for (int i = 0; i < 4; i++)
        cop_spawn(ctx, reader, COP_NONE);
    for (volatile int i = 0; i < 40; i++)
        COP_SCOPE(ctx) {
            cop_pid one = { COP_NONE };
            parts(ctx, 1 + i % 7);
            if (cop_get_pid(cop_partition_supervisor_whereis(ctx, cop_a(parts), i), &one))
                kill_pid(ctx, one);
            cop_partition_supervisor_stop(ctx, cop_a(parts), cop_a(normal), 0);
        }
    over = true;
    for (int i = 0; i < 4; i++)
        ASSERT_RECEIVE(ctx, "{:found, _}");
}

TEST(resizing) {
    cop_pid sup = parts(ctx, 3);
    EXPECT_INT(cop_partition_supervisor_resize(ctx, cop_a(parts), 1), 3);
    EXPECT_TERM(ctx, cop_supervisor_count_children(ctx, sup), "%{active: 1}");
    EXPECT_SAME(ctx, cop_partition_supervisor_whereis(ctx, cop_a(parts), 7),
                cop_partition_supervisor_whereis(ctx, cop_a(parts), 0));
    EXPECT_INT(cop_partition_supervisor_resize(ctx, cop_a(parts), 3), 1);
    EXPECT_TERM(ctx, cop_supervisor_count_children(ctx, sup), "%{active: 3}");
    EXPECT_INT(cop_partition_supervisor_resize(ctx, cop_a(parts), 0), 3);
    EXPECT_ERROR(ctx, "%ArgumentError{message: \"PartitionSupervisor :parts has zero "
                      "partitions\"}") {
        cop_partition_supervisor_whereis(ctx, cop_a(parts), 0);
    }
    EXPECT_ERROR(ctx, "%ArgumentError{message: \"the number of partitions to resize to must be a "
                      "number between 0 and 3, got: 4\"}") {
        cop_partition_supervisor_resize(ctx, cop_a(parts), 4);
    }
}
