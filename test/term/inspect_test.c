/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Printing against the real thing: atoms, floats, text, collections, with and without limits. The
 * expected values are in vectors/inspect.inc, written by vectors/inspect.exs from Elixir 1.14 on
 * OTP 25; the terms are read from the text that Elixir printed. And the promises of cop_inspect_to:
 * cut like snprintf, small stack, whatever the locale.
 */
#include <coppice.h>
#include <coppice/test.h>
#include <locale.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "vectors/inspect.inc"

#define COUNT(array) (sizeof(array) / sizeof *(array))
enum { SIZE = 1 << 16 };

static const cop_inspect_opts all = { .limit = -1, .printable_limit = -1 };

static cop_term read(cop_ctx *ctx, const char *text) {
    cop_term t;
    cop_parse_error error;
    if (!cop_parse(ctx, text, strlen(text), &t, &error))
        FAIL("%.200s: expected %s at %zu", text, error.expected, error.offset);
    return t;
}

TEST_TERM(terms_print_as_elixir_prints_them) {
    static char text[SIZE];
    EXPECT(COUNT(inspected) >= 100);
    for (size_t i = 0; i < COUNT(inspected); i++) {
        cop_inspect_opts opts = { .limit = inspected[i].limit,
                                  .printable_limit = inspected[i].printable,
                                  .charlists_as_lists = inspected[i].lists,
                                  .binaries_as_binaries = inspected[i].binaries,
                                  .structs_as_maps = inspected[i].maps };
        size_t length = cop_inspect_to(text, SIZE, read(ctx, inspected[i].text), &opts);
        test_note("limit %ld, printable %ld of %.500s", inspected[i].limit, inspected[i].printable,
                  inspected[i].text);
        EXPECT_STR(text, inspected[i].shown);
        EXPECT_INT(length, strlen(text));
    }
}

TEST_TERM(what_is_printed_whole_reads_back_as_the_same) {
    for (size_t i = 0; i < COUNT(inspected); i++) {
        cop_term t = read(ctx, inspected[i].text);
        test_note("%.500s", inspected[i].text);
        if (inspected[i].limit == -1 && inspected[i].printable == -1)
            EXPECT(cop_same(read(ctx, inspected[i].shown), t));
    }
}

TEST_TERM(what_does_not_fit_is_cut_and_counted) {
    cop_term t = read(ctx, "{:ok, [1, 2.5, \"text\"], %{a: 1}}");
    char whole[100], part[100];
    size_t length = cop_inspect_to(whole, sizeof whole, t, NULL);
    EXPECT_INT(length, strlen(whole));
    EXPECT_INT(cop_inspect_to(NULL, 0, t, NULL), length);
    for (size_t size = 1; size < 60; size++) {
        memset(part, 'x', sizeof part);
        EXPECT_INT(cop_inspect_to(part, size, t, NULL), length);
        EXPECT_INT(strlen(part), size - 1 < length ? size - 1 : length);
        EXPECT(strncmp(part, whole, strlen(part)) == 0);
        EXPECT_INT(part[size], 'x');
    }
    EXPECT_TERM(ctx, cop_inspect(ctx, COP_INT(7), NULL), "\"7\"");
}

TEST_TERM(a_struct_prints_its_other_fields) {
    char text[200];
    cop_term t = read(ctx, "%{__struct__: KeyError, __exception__: true, key: :a, term: %{}}");
    cop_inspect_to(text, sizeof text, t, NULL); /* observed: inspect(%KeyError{...}) */
    EXPECT_STR(text, "%KeyError{key: :a, term: %{}}");
    cop_inspect_to(text, sizeof text, read(ctx, "%A.B{a: 1, b: 2}"),
                   &(cop_inspect_opts){ .limit = 1 });
    EXPECT_STR(text, "%A.B{a: 1, ...}");
}

TEST_TERM(large_maps_inside_each_other_print_whole) {
    static char text[SIZE];
    cop_term t = COP_INT(0);
    for (int depth = 0; depth < 5; depth++) {
        cop_term map = read(ctx, "%{}");
        for (int i = 0; i < 40; i++)
            map = cop_map_put(ctx, map, COP_INT(i), i == 17 ? t : COP_INT(i));
        t = map;
    }
    EXPECT(cop_inspect_to(text, SIZE, t, &all) < SIZE);
    EXPECT(cop_same(read(ctx, text), t));
    t = cop_list(ctx, t, t, cop_map(ctx, t, t));
    EXPECT(cop_inspect_to(text, SIZE, t, &all) < SIZE);
    EXPECT(cop_same(read(ctx, text), t));
}

TEST_TERM(integers_of_any_size_print) {
    static char digits[20001], text[SIZE];
    for (size_t n = 1; n <= 20000; n += n < 1300 ? 37 : 6233) {
        memset(digits, '7', n);
        digits[n] = '\0';
        cop_inspect_to(text, SIZE, cop_integer_parse(ctx, digits, n), NULL);
        EXPECT_STR(text, digits);
    }
}

TEST_TERM(the_locale_does_not_matter) {
    char text[100];
    const char *const names[] = { "de_DE.UTF-8", "fr_FR.UTF-8", "nl_NL.UTF-8", "de_DE" };
    bool found = false;
    for (size_t i = 0; i < COUNT(names) && !found; i++)
        found = setlocale(LC_ALL, names[i]) != NULL;
    cop_inspect_to(text, sizeof text, read(ctx, "[1.5, 2.0e-30, 3.0, 0.1]"), NULL);
    EXPECT_STR(text, "[1.5, 2.0e-30, 3.0, 0.1]");
    setlocale(LC_ALL, "C");
    if (!found)
        test_skip("this machine has no locale with a decimal comma");
}

static void *print_deep(void *arg) {
    cop_ctx *ctx = arg;
    static char text[SIZE];
    cop_term t = COP_INT(1);
    for (int i = 0; i < 100000; i++)
        t = i % 3 == 0 ? cop_tuple(ctx, t) : i % 3 == 1 ? cop_list(ctx, t) : cop_map(ctx, t, t);
    /* Where a map is its own key and value, the print doubles: the limit ends it. */
    EXPECT(cop_inspect_to(text, SIZE, t, &(cop_inspect_opts){ .limit = 20 }) > 0);
    t = COP_NIL;
    for (int i = 0; i < 600; i++)
        t = cop_tuple(ctx, t);
    EXPECT_INT(cop_inspect_to(text, SIZE, t, &all), 512 * 2 + 3);
    EXPECT(strncmp(text + 511, "{...}", 5) == 0);
    return NULL;
}

TEST_TERM(deep_terms_print_on_a_small_stack) {
    pthread_attr_t attr;
    pthread_t thread;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, getenv("ASAN_OPTIONS") != NULL ? 512 * 1024 : 64 * 1024);
    EXPECT_INT(pthread_create(&thread, &attr, print_deep, ctx), 0);
    pthread_join(thread, NULL);
}
