/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Match specifications against the real thing: vectors/match_spec.inc, written by match_spec.exs from
 * :ets.match_spec_compile/1 and match_spec_run/2 of OTP 25; and what vectors cannot say.
 */
#include <coppice.h>
#include <coppice/test.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vectors/match_spec.inc"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static cop_term read(cop_ctx *ctx, const char *text) {
    cop_term t;
    cop_parse_error error;
    if (!cop_parse(ctx, text, strlen(text), &t, &error))
        FAIL("%.200s: expected %s at %zu", text, error.expected, error.offset);
    return t;
}

static cop_term run(cop_ctx *ctx, const char *spec, const char *objects) {
    cop_term compiled = cop_match_spec_compile(ctx, read(ctx, spec), NULL);
    return cop_is_none(compiled) ? cop_a(error).t
                                 : cop_match_spec_run(ctx, read(ctx, objects), compiled);
}

TEST_TERM(results_equal_those_of_ets) {
    EXPECT(COUNT(specs) >= 2000);
    char *objects = malloc(1 << 16);
    for (size_t i = 0; i < COUNT(specs); i++) {
        snprintf(objects, 1 << 16, "[%s]", specs[i].object);
        cop_term expected =
            strcmp(specs[i].result, "error") == 0 ? cop_a(error).t : read(ctx, specs[i].result);
        cop_term have = run(ctx, specs[i].spec, objects);
        if (!cop_same(have, expected)) {
            char text[2000];
            cop_inspect_to(text, sizeof text, have, NULL);
            FAIL("%s on %s: expected %s, have %s", specs[i].spec, specs[i].object, specs[i].result,
                 text);
        }
    }
    free(objects);
}

TEST_TERM(results_stand_in_the_order_of_the_objects) {
    EXPECT_TERM(ctx, run(ctx, "[{{:\"$1\", 1}, [], [:\"$1\"]}]", "[{:a, 1}, {:b, 2}, {:c, 1}]"),
                "[:a, :c]");
    EXPECT_TERM(ctx, run(ctx, "[{:_, [], [1]}]", "[]"), "[]");
}

TEST_TERM(what_is_no_specification_says_why) {
    const char *why = NULL;
    EXPECT(
        cop_is_none(cop_match_spec_compile(ctx, read(ctx, "[{{:\"$1\"}, [], [:\"$2\"]}]"), &why)));
    EXPECT_STR(why, "a variable is not bound by the head");
    EXPECT(cop_is_none(cop_match_spec_compile(ctx, read(ctx, "[{:_, [{:foo, 1}], [1]}]"), &why)));
    EXPECT_STR(why, "no such function, or not with so many arguments");
}

TEST_TERM(only_a_compiled_one_runs) {
    EXPECT_ERROR(ctx, ":badarg") { cop_match_spec_run(ctx, COP_NIL, cop_a(a).t); }
    cop_term compiled = cop_match_spec_compile(ctx, read(ctx, "[{:_, [], [1]}]"), NULL);
    EXPECT_ERROR(ctx, ":badarg") { cop_match_spec_run(ctx, cop_a(a).t, compiled); }
}

/* 100,000 levels: neither the compiler nor the machine may recurse on a stack of 64 KiB. */
TEST(a_deep_specification_needs_no_deep_stack) {
    cop_term pattern = cop_as("$1").t, object = cop_of(ctx, 7), body = cop_as("$1").t;
    for (int i = 0; i < 100000; i++) {
        pattern = cop_tuple(ctx, pattern);
        object = cop_tuple(ctx, object);
        body = cop_tuple(ctx, cop_as("+"), body, 1);
    }
    cop_term clause = cop_tuple(ctx, pattern, COP_NIL, cop_list(ctx, body));
    cop_term compiled = cop_match_spec_compile(ctx, cop_list(ctx, clause), NULL), result;
    EXPECT(cop_match_spec_match(ctx, compiled, object, &result));
    EXPECT_TERM(ctx, result, "100007");
}

static void run_it(cop_ctx *ctx, cop_term arg) {
    cop_term to = cop_elem(arg, 0), result = COP_NONE;
    cop_match_spec_match(ctx, cop_elem(arg, 1), cop_tuple(ctx, 1), &result);
    cop_send(ctx, to, result);
}

TEST(a_compiled_one_travels_and_lives_as_long_as_it_is_held) {
    COP_SCOPE(ctx) {
        cop_term compiled = cop_match_spec_compile(
            ctx, read(ctx, "[{{:\"$1\"}, [], [{{:\"$1\", {:self}, \"literal\"}}]}]"), NULL);
        cop_spawn(ctx, run_it, cop_tuple(ctx, cop_self(ctx), compiled));
    }
    cop_term got = ASSERT_RECEIVE(ctx, "{1, _, \"literal\"}");
    EXPECT(cop_is_pid(cop_elem(got, 1)) && !cop_same(cop_elem(got, 1), cop_self(ctx).t));
}
