/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Terms against the real thing: phash2, the order, inspect and its limits. The values are in
 * vectors/vectors.inc and phash2.inc, written by the scripts beside them from Elixir 1.14 on OTP 25; the
 * terms are read from the text that Elixir printed.
 */
#include <coppice.h>
#include <coppice/test.h>
#include <stdlib.h>
#include <string.h>

#include "vectors/phash2.inc"
#include "vectors/vectors.inc"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static cop_term read(cop_ctx *ctx, const char *text) {
    cop_term t;
    cop_parse_error error;
    if (!cop_parse(ctx, text, strlen(text), &t, &error))
        FAIL("%.200s: expected %s at %zu", text, error.expected, error.offset);
    return t;
}

TEST_TERM(phash2_equals_erlangs) {
    EXPECT(COUNT(hashes) >= 300);
    for (size_t i = 0; i < COUNT(hashes); i++) {
        cop_term t = read(ctx, hashes[i].text);
        test_note("%.200s", hashes[i].text);
        EXPECT_INT(cop_phash2(t), hashes[i].hash27);
        EXPECT_INT(cop_phash2_range(t, UINT64_C(4294967296)), hashes[i].hash32);
        EXPECT_INT(cop_phash2_range(t, 1000), hashes[i].hash1000);
    }
}

TEST_TERM(phash2_of_random_terms_equals_erlangs) {
    EXPECT(COUNT(random_hashes) >= 2500);
    for (size_t i = 0; i < COUNT(random_hashes); i++) {
        cop_term t = read(ctx, random_hashes[i].text);
        test_note("%.200s", random_hashes[i].text);
        EXPECT_INT(cop_phash2_range(t, UINT64_C(4294967296)), random_hashes[i].hash32);
        EXPECT_INT(cop_phash2_range(t, 7), random_hashes[i].hash7);
    }
}

TEST_TERM(what_was_read_prints_as_elixir_prints_it) {
    static const cop_inspect_opts all = { .limit = -1, .printable_limit = -1 };
    char *text = malloc(1 << 16);
    for (size_t i = 0; i < COUNT(hashes); i++) {
        cop_term t = read(ctx, hashes[i].text);
        EXPECT(cop_inspect_to(text, 1 << 16, t, &all) < 1 << 16);
        if (hashes[i].in_order)
            EXPECT_STR(text, hashes[i].text);
        EXPECT(cop_same(read(ctx, text), t)); /* large maps print in an order of their own */
    }
    free(text);
}

TEST_TERM(structs_and_exceptions_print_by_their_names) {
    cop_term t = read(ctx, "%{__struct__: RuntimeError, __exception__: true, message: \"boom\"}");
    char text[200];
    cop_inspect_to(text, sizeof text, t, NULL);
    EXPECT_STR(text, "%RuntimeError{message: \"boom\"}");
    cop_inspect_to(text, sizeof text, t, &(cop_inspect_opts){ .structs_as_maps = true });
    EXPECT_STR(text, "%{__exception__: true, __struct__: RuntimeError, message: \"boom\"}");
}

TEST_TERM(functions_by_name) { /* observed: erlang:phash2/1, lists:sort/1 on OTP 25 */
    cop_term map = read(ctx, "&:lists.map/2"), bar = read(ctx, "&Foo.bar/1");
    EXPECT_INT(cop_phash2(map), 34981515);
    EXPECT_INT(cop_phash2(bar), 130567232);
    EXPECT_INT(cop_phash2(read(ctx, "&:erlang.+/2")), 30008331);
    EXPECT_INT(cop_phash2(read(ctx, "{&:lists.map/2, 1}")), 112685042);
    EXPECT(cop_compare(read(ctx, "&:a.b/0"), read(ctx, "&:a.b/1")) < 0);
    EXPECT(cop_compare(read(ctx, "&:lists.map/1"), map) < 0);
    EXPECT(cop_same(read(ctx, "&:lists.map/2"), map) && !cop_same(bar, map));
    char text[100];
    cop_inspect_to(text, sizeof text, read(ctx, "[&Foo.\"a b\"/2, ?\\u{20ac}]"), NULL);
    EXPECT_STR(text, "[&Foo.\"a b\"/2, 8364]");
    EXPECT_ERROR(ctx, ":undef") { cop_fun_call(ctx, map, 1, 2); }
}

TEST_TERM(the_order_is_erlangs) {
    EXPECT_INT(COUNT(sorted), 60);
    cop_term terms[COUNT(sorted)];
    for (size_t i = 0; i < COUNT(sorted); i++)
        terms[i] = read(ctx, sorted[i].text);
    for (size_t i = 0; i < COUNT(sorted); i++)
        for (size_t k = 0; k < COUNT(sorted); k++) {
            int order = cop_compare(terms[i], terms[k]);
            int expected =
                sorted[i].group < sorted[k].group ? -1 : sorted[i].group > sorted[k].group;
            test_note("%s and %s", sorted[i].text, sorted[k].text);
            EXPECT_INT(order < 0 ? -1 : order > 0, expected);
            EXPECT_INT(cop_eq(terms[i], terms[k]), expected == 0);
            EXPECT_INT(cop_same(terms[i], terms[k]), strcmp(sorted[i].text, sorted[k].text) == 0);
        }
}

TEST_TERM(limits_show_what_elixir_shows) {
    char *text = malloc(1 << 16);
    for (size_t i = 0; i < COUNT(limited); i++) {
        cop_inspect_opts opts = { .limit = limited[i].limit,
                                  .printable_limit = limited[i].printable };
        cop_inspect_to(text, 1 << 16, read(ctx, limited[i].text), &opts);
        EXPECT_STR(text, limited[i].shown);
    }
    free(text);
}

TEST_TERM(what_is_no_term_is_refused_with_its_place) {
    static const struct {
        const char *text;
        size_t offset;
    } bad[] = { { "", 0 },          { "{:ok, ", 6 },    { "[1, 2", 5 }, { "%{a: }", 5 },
                { "foo", 0 },       { "\"open", 5 },    { "{1 2}", 3 }, { "1 2", 2 },
                { "#PID<1>", 0 },   { "<<300", 5 },     { ":", 1 },     { "0x", 2 },
                { "%{1 -> 2}", 4 }, { "[1 | 2, 3]", 6 } };
    for (size_t i = 0; i < COUNT(bad); i++) {
        cop_term t;
        cop_parse_error error = { 0 };
        test_note("%s", bad[i].text);
        EXPECT(!cop_parse(ctx, bad[i].text, strlen(bad[i].text), &t, &error));
        EXPECT_INT(error.offset, bad[i].offset);
        EXPECT(error.expected != NULL);
    }
}
