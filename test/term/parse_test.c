/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading terms: forms that inspect never prints (other bases, escapes, keywords at the end of a
 * tuple), where errors are found and what they say, the limit of nesting, and patterns with `_`. That
 * everything printed is read back is in inspect_test.c and vectors_test.c.
 */
#include <coppice.h>
#include <coppice/test.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static cop_term read(cop_ctx *ctx, const char *text) {
    cop_term t;
    cop_parse_error error;
    if (!cop_parse(ctx, text, strlen(text), &t, &error))
        FAIL("%.200s: expected %s at %zu", text, error.expected, error.offset);
    return t;
}

TEST_TERM(other_ways_to_write_a_term_mean_the_same) {
    /* observed: each pair is === in Elixir 1.14 */
    static const char *const pairs[][2] = {
        { "0xFF", "255" },
        { "-0x1f", "-31" },
        { "0b1010", "10" },
        { "0o777", "511" },
        { "0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF", "340282366920938463463374607431768211455" },
        { "1_000_000", "1000000" },
        { "0xFF_FF", "65535" },
        { "+5", "5" },
        { "1_0.5_0e+1_0", "105000000000.0" },
        { "1.0E3", "1000.0" },
        { "?a", "97" },
        { "?\\n", "10" },
        { "?\\x41", "65" },
        { "?\\u00e9", "233" },
        { "?\xc3\xa9", "233" },
        { "?\\\\", "92" },
        { "\"\\x41\\u0042\\u{43}\\x{44}\"", "\"ABCD\"" },
        { "\"\\xFF\"", "<<255>>" },
        { "\"\\x{FF}\"", "\"\xc3\xbf\"" },
        { "'\\xFF'", "[255]" },
        { "\"\\s\\q\\0\"", "<<32, 113, 0>>" },
        { "\"a\\\nb\"", "\"ab\"" },
        { "~c\"abc\"", "'abc'" },
        { "'a\\'b'", "[97, 39, 98]" },
        { "''", "[]" },
        { "'a\\0b'", "[97, 0, 98]" },
        { "<<1, \"ab\", ?c>>", "<<1, 97, 98, 99>>" },
        { "<<5::3, 1::size(5), 258::16>>", "<<161, 1, 2>>" },
        { "<<-1, 256, 300>>", "<<255, 0, 44>>" },
        { "<<1::1>>", "<<1::size(1)>>" },
        { "<<>>", "\"\"" },
        { "[a: 1, b: 2]", "[{:a, 1}, {:b, 2}]" },
        { "[1, a: 2]", "[1, {:a, 2}]" },
        { "[\"a b\": 1]", "[{:\"a b\", 1}]" },
        { "[+: 1, ..//: 2]", "[{:+, 1}, {:..//, 2}]" },
        { "{1, a: 2, b: 3}", "{1, [a: 2, b: 3]}" },
        { "{a: 1}", "{[a: 1]}" },
        { "%{\"k\" => 1, a: 2}", "%{:a => 2, \"k\" => 1}" },
        { "%{\n  a: 1,\n\tb: [\n  ]\r\n}", "%{a: 1, b: []}" },
        { "%Foo.Bar{a: 1}", "%{__struct__: Foo.Bar, a: 1}" },
        { "%{a: 1, a: 2}", "%{a: 2}" },
        { "[1, 2 | [3]]", "[1, 2, 3]" },
        { "[1,2,]", "[1, 2]" },
        { ":\"Elixir.Foo\"", "Foo" },
        { "Elixir.Foo", "Foo" },
        { ":Elixir", "Elixir" },
        { ":\"foo\"", ":foo" },
        { ":nil", "nil" },
        { ":\"\\u00e9\"", ":\xc3\xa9" },
        { "  {  }  ", "{}" },
    };
    for (size_t i = 0; i < COUNT(pairs); i++) {
        test_note("%s", pairs[i][0]);
        EXPECT_SAME(ctx, read(ctx, pairs[i][0]), read(ctx, pairs[i][1]));
    }
}

TEST_TERM(addresses_are_read_back) {
    static const char *const texts[] = { "#PID<0.1.2>", "#PID<0.16777215.68719476735>",
                                         "#Port<0.6>", "#Reference<0.1.2.3>",
                                         "#Reference<0.4194303.262143.262143>" };
    char text[100];
    for (size_t i = 0; i < COUNT(texts); i++) {
        cop_inspect_to(text, sizeof text, read(ctx, texts[i]), NULL);
        EXPECT_STR(text, texts[i]);
    }
    EXPECT(cop_is_pid(read(ctx, texts[0])) && cop_is_port(read(ctx, texts[2])));
    EXPECT(cop_is_ref(read(ctx, texts[3])));
}

TEST_TERM(an_error_tells_where_and_what_was_expected) {
    static const struct {
        const char *text;
        size_t offset;
        const char *expected;
    } bad[] = {
        { "   ", 3, "a term" },
        { "foo", 0, "a term" },
        { "_", 0, "a term" },
        { "{:a", 3, "a comma or a closing }" },
        { "[1 2]", 3, "a comma, | or a closing ]" },
        { "[1 | 2, 3]", 6, "a closing ]" },
        { "[ | 1]", 2, "a term" },
        { "%{1, 2}", 3, "=>" },
        { "%[]", 1, "{ or the name of a struct" },
        { "%Foo[]", 4, "{" },
        { "{a: 1, 2}", 7, "a key, as before" },
        { "\"abc", 4, "a closing \"" },
        { "'abc", 4, "a closing '" },
        { "\"\\", 2, "a character after the backslash" },
        { "\"\\xZ\"", 3, "hexadecimal digits" },
        { "\"\\u12\"", 5, "hexadecimal digits" },
        { "\"\\u{12\"", 6, "a closing }" },
        { "\"\\u{110000}\"", 11, "a code point" },
        { "\"\\uD800\"", 7, "a code point" },
        { "\"#{1}\"", 1, "a \\ before #{ (nothing is interpolated)" },
        { "0x", 2, "a digit" },
        { "0b12", 4, "digits of that base" },
        { "1.0e999", 7, "a float in range" },
        { "1__0", 1, "the end of the text" },
        { "1.", 1, "the end of the text" },
        { "<<\"a\", :b>>", 7, "a byte or a string" },
        { "<<1::0>>", 6, "a size of 1 to 64 bits" },
        { "<<1 2>>", 4, "a comma or a closing >>" },
        { "#PID<1.2.3>", 0, "#PID<0., #Port<0. or #Reference<0." },
        { "#PID<0.1>", 8, "a point" },
        { "#PID<0.16777216.0>", 18, "a pid in range" },
        { ":", 1, "the name of an atom" },
        { ":\"\xff\"", 4, "an atom: UTF-8, at most 255 characters" },
        { "'\xff'", 3, "a charlist in UTF-8" },
        { "?", 1, "a character" },
        { "&Foo/1", 4, "a point" },
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        cop_term t;
        cop_parse_error error = { 0 };
        test_note("%s", bad[i].text);
        EXPECT(!cop_parse(ctx, bad[i].text, strlen(bad[i].text), &t, &error));
        EXPECT_STR(error.expected, bad[i].expected);
        EXPECT_INT(error.offset, bad[i].offset);
    }
}

TEST_TERM(no_prefix_of_a_text_is_read_beyond_its_end) {
    const char *text =
        "{:ok, %{\"k\" => [1.5e3, 'c', ?\\n | <<1, \"\\x{41}\">>]}, #PID<0.1.2>, A.B}";
    for (size_t size = 0; size <= strlen(text); size++) {
        char *exact = malloc(size + 1); /* nothing after it, for the sanitizer */
        cop_term t;
        memcpy(exact, text, size);
        exact = realloc(exact, size > 0 ? size : 1);
        EXPECT_INT(cop_parse(ctx, exact, size, &t, NULL), size == strlen(text));
        free(exact);
    }
}

static void *nest(void *arg) {
    cop_ctx *ctx = arg;
    char text[513 * 4];
    cop_term t;
    cop_parse_error error;
    memset(text, '{', 512);
    memset(text + 512, '}', 512);
    EXPECT(cop_parse(ctx, text, 1024, &t, NULL));
    EXPECT(!cop_parse(ctx, text, 1023, &t, NULL));
    memset(text, '[', 513);
    EXPECT(!cop_parse(ctx, text, 513, &t, &error));
    EXPECT_INT(error.offset, 513);
    EXPECT_STR(error.expected, "less nesting (512 levels at most)");
    for (int i = 0; i < 512; i++)
        memcpy(text + 4 * i, "%{a:", 4);
    EXPECT(!cop_parse(ctx, text, 512 * 4, &t, &error));
    EXPECT_STR(error.expected, "a term");
    return NULL;
}

TEST_TERM(nesting_is_bounded_and_needs_no_stack) {
    pthread_attr_t attr;
    pthread_t thread;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, getenv("ASAN_OPTIONS") != NULL ? 512 * 1024 : 64 * 1024);
    EXPECT_INT(pthread_create(&thread, &attr, nest, ctx), 0);
    pthread_join(thread, NULL);
}

TEST_TERM(patterns_match_as_in_elixir) {
    static const struct {
        const char *term, *pattern;
        bool matches;
    } cases[] = {
        { "1", "_", true },
        { "{:ok, 1}", "{:ok, _}", true },
        { "{:ok, 1}", "{:ok, _value}", true },
        { "{:ok, 1}", "{:ok, _, _}", false },
        { "{:ok, 1}", "[:ok, _]", false },
        { "1", "1.0", false },
        { "[1, 2, 3]", "[1 | _]", true },
        { "[1]", "[1 | _]", true },
        { "[]", "[_ | _]", false },
        { "[1, 2, 3]", "[_, 2, _]", true },
        { "[1, 2]", "[1, 2, 3]", false },
        { "[1 | 2]", "[1 | 2]", true },
        { "[1 | 2]", "[_ | _]", true },
        { "[1 | 2]", "[1, _]", false },
        { "%{a: 1, b: 2}", "%{a: _}", true },
        { "%{a: 1, b: 2}", "%{}", true },
        { "%{a: 1}", "%{b: _}", false },
        { "%{1 => :a}", "%{1.0 => :a}", false },
        { "[]", "%{}", false },
        { "%Foo{a: 1}", "%Foo{}", true },
        { "%Foo{a: 1}", "%Bar{}", false },
        { "%{a: {1, %{b: [2]}}}", "%{a: {_, %{b: [_]}}}", true },
        { "[a: 1, b: 2]", "[a: _, b: 2]", true },
        { "{:_, \"_\", :\"$any\"}", "{:_, \"_\", _}", true },
        { "{:x, \"a\"}", "{:_, _}", false },
        { "'abc'", "[_, 98, 99]", true },
        { "<<1, 2>>", "<<1, 2>>", true },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        cop_parse_error error;
        test_note("%s against %s", cases[i].term, cases[i].pattern);
        EXPECT_INT(cop_matches(ctx, read(ctx, cases[i].term), cases[i].pattern, &error),
                   cases[i].matches);
        EXPECT(error.expected == NULL);
    }
}

TEST_TERM(what_is_no_pattern_is_told_from_what_does_not_match) {
    cop_parse_error error;
    EXPECT(!cop_matches(ctx, COP_INT(1), "{_", &error));
    EXPECT_STR(error.expected, "a comma or a closing }");
    EXPECT(!cop_matches(ctx, COP_INT(1), "%{_ => 1}", &error));
    EXPECT_STR(error.expected, "a key without _");
    EXPECT(!cop_matches(ctx, COP_INT(1), "%{{:a, [_]} => 1}", &error));
    EXPECT_STR(error.expected, "a key without _");
    EXPECT(!cop_matches(ctx, COP_INT(1), "foo", &error));
    EXPECT_STR(error.expected, "a term");
    EXPECT(!cop_matches(ctx, COP_INT(1), "foo", NULL));
}

TEST_TERM(a_long_list_is_matched_without_a_stack) {
    cop_term t = COP_NIL;
    for (int i = 0; i < 1000000; i++)
        t = cop_cons(ctx, i, t);
    EXPECT(cop_matches(ctx, t, "[999999 | _]", NULL));
    EXPECT(!cop_matches(ctx, t, "[999999]", NULL));
}
