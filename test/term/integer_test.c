/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Integers of any size: what fits where, decimal text there and back, order among themselves and
 * with floats. Long products are checked against sums done on decimal digits in the test itself.
 */
#include <coppice/match.h>
#include <coppice/test.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/alloc.h"
#include "term/heap.h"
#include "term/layout.h"

static cop_term parse(cop_ctx *ctx, const char *text) {
    return cop_integer_parse(ctx, text, strlen(text));
}

static void expect_text(cop_term t, const char *expected) {
    char *text = cop__integer_text(t);
    EXPECT_STR(text, expected);
    cop__free(text);
}

static int sign(int n) { return (n > 0) - (n < 0); }

TEST_TERM(what_fits_sixty_bits_is_a_word) {
    const int64_t border = INT64_C(1) << 59;
    EXPECT(cop_is_small(cop_of(ctx, border - 1)));
    EXPECT(!cop_is_small(cop_of(ctx, border)));
    EXPECT(cop_is_small(cop_of(ctx, -border)));
    EXPECT(!cop_is_small(cop_of(ctx, -border - 1)));
    EXPECT(cop_is_small(cop_of(ctx, (uint64_t)border - 1)));
    EXPECT(!cop_is_small(cop_of(ctx, (uint64_t)border)));
    EXPECT(cop_is_integer(cop_of(ctx, border)) && cop_is_number(cop_of(ctx, border)));
    EXPECT(cop_same(parse(ctx, "576460752303423487"), cop_of(ctx, border - 1)));
    EXPECT(cop_same(parse(ctx, "-576460752303423488"), cop_of(ctx, -border)));
    EXPECT(cop_same(parse(ctx, "-576460752303423489"), cop_of(ctx, -border - 1)));
}

TEST_TERM(each_c_type_takes_what_it_can_hold) {
    int64_t i = 0;
    uint64_t u = 0;
    int n = 0;
    unsigned w = 0;
    EXPECT(cop_match(cop_of(ctx, INT64_MIN), &i) && i == INT64_MIN);
    EXPECT(cop_match(cop_of(ctx, INT64_MAX), &i) && i == INT64_MAX);
    EXPECT(!cop_match(parse(ctx, "9223372036854775808"), &i));
    EXPECT(!cop_match(parse(ctx, "-9223372036854775809"), &i));
    EXPECT(cop_match(cop_of(ctx, UINT64_MAX), &u) && u == UINT64_MAX);
    EXPECT(!cop_match(parse(ctx, "18446744073709551616"), &u));
    EXPECT(!cop_match(COP_INT(-1), &u));
    EXPECT(cop_match(cop_of(ctx, INT32_MAX), &n) && n == INT32_MAX);
    EXPECT(!cop_match(cop_of(ctx, INT64_C(1) << 31), &n));
    EXPECT(cop_match(cop_of(ctx, UINT32_MAX), &w) && w == UINT32_MAX);
    EXPECT(!cop_match(cop_of(ctx, INT64_C(1) << 32), &w));
    EXPECT(!cop_match(cop_of(ctx, 1.0), &i));
    EXPECT(cop_match(cop_of(ctx, UINT64_MAX), UINT64_MAX));
    EXPECT(!cop_match(cop_of(ctx, UINT64_MAX), INT64_C(-1)));
}

TEST_TERM(text_goes_there_and_back) {
    static const char *const texts[] = {
        "0",
        "1",
        "-1",
        "10000000000000000000",
        "-9999999999999999999",
        "18446744073709551615",
        "18446744073709551616",
        "340282366920938463463374607431768211455",
        "340282366920938463463374607431768211456",
        "-100000000000000000000000000000000000000",
        "123456789012345678901234567890123456789012345678901234567890",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        expect_text(parse(ctx, texts[i]), texts[i]);
    expect_text(parse(ctx, "+7"), "7");
    expect_text(parse(ctx, "-0"), "0");
    expect_text(parse(ctx, "000000000000000000000000000000000000012"), "12");
}

TEST_TERM(bad_text_is_no_integer) {
    static const char *const texts[] = { "", "-", "+", "1 ", " 1", "1a", "--1", "0x10", "1_000" };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        EXPECT(cop_is_none(parse(ctx, texts[i])));
    EXPECT(cop_is_none(cop_integer_parse(ctx, "12345678901234567890123x", 24)));
}

/* The decimal digits of 2 * n, least first. */
static size_t double_digits(char *digits, size_t count) {
    int carry = 0;
    for (size_t i = 0; i < count; i++) {
        int d = 2 * digits[i] + carry;
        digits[i] = (char)(d % 10);
        carry = d / 10;
    }
    if (carry)
        digits[count++] = (char)carry;
    return count;
}

TEST_TERM(powers_of_two_are_exact) {
    static char digits[800], text[802];
    size_t count = 1;
    digits[0] = 1;
    cop_term previous = COP_INT(0);
    for (unsigned power = 0; power < 2400; power++) {
        text[0] = '-';
        for (size_t i = 0; i < count; i++)
            text[1 + i] = (char)('0' + digits[count - 1 - i]);
        text[count + 1] = '\0';
        cop_term n = parse(ctx, text + 1), minus = parse(ctx, text);
        uint64_t limbs[40] = { 0 };
        limbs[power / 64] = UINT64_C(1) << power % 64;
        EXPECT(cop_same(n, cop__integer_make(ctx, false, limbs, 40)));
        expect_text(n, text + 1);
        expect_text(minus, text);
        EXPECT(cop_compare(previous, n) < 0 && cop_compare(n, previous) > 0);
        EXPECT(cop_compare(minus, n) < 0 && cop_eq(n, parse(ctx, text + 1)));
        double d;
        EXPECT(cop_get_number(n, &d) == (power < 1024));
        if (power < 1024) {
            EXPECT(d == ldexp(1, (int)power));
            EXPECT(cop_eq(n, cop_of(ctx, d)) && !cop_same(n, cop_of(ctx, d)));
            EXPECT(cop_compare(minus, cop_of(ctx, -d)) == 0);
        } else {
            EXPECT(cop_compare(n, cop_of(ctx, DBL_MAX)) > 0);
            EXPECT(cop_compare(minus, cop_of(ctx, -DBL_MAX)) < 0);
        }
        previous = n;
        count = double_digits(digits, count);
    }
}

TEST_TERM(a_long_number_goes_there_and_back) {
    enum { DIGITS = 20000 };
    char *text = malloc(DIGITS + 1);
    uint64_t seed = 5;
    for (int i = 0; i < DIGITS; i++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        text[i] = (char)('0' + (seed >> 33) % (i == 0 ? 9 : 10) + (i == 0));
    }
    text[DIGITS] = '\0';
    expect_text(parse(ctx, text), text);
    free(text);
}

TEST_TERM(integers_and_floats_compare_by_exact_value) {
    /* 2^53 + 1 is no float; its neighbours are. */
    cop_term odd = cop_of(ctx, (INT64_C(1) << 53) + 1);
    EXPECT(cop_compare(odd, cop_of(ctx, 9007199254740992.0)) > 0);
    EXPECT(cop_compare(odd, cop_of(ctx, 9007199254740994.0)) < 0);
    EXPECT(cop_compare(COP_INT(1), cop_of(ctx, 1.5)) < 0);
    EXPECT(cop_compare(COP_INT(-1), cop_of(ctx, -1.5)) > 0);
    EXPECT(cop_compare(COP_INT(0), cop_of(ctx, 1e-300)) < 0);
    EXPECT(cop_compare(COP_INT(0), cop_of(ctx, -1e-300)) > 0);
    EXPECT(cop_compare(COP_INT(1), cop_of(ctx, 0.5)) > 0);
    EXPECT(cop_compare(COP_INT(-1), cop_of(ctx, -0.5)) < 0);
    EXPECT(cop_eq(COP_INT(0), cop_of(ctx, -0.0)) && !cop_same(COP_INT(0), cop_of(ctx, 0.0)));
    EXPECT(cop_same(cop_of(ctx, 0.0), cop_of(ctx, -0.0))); /* as in Erlang 25 */
    cop_term big = parse(ctx, "100000000000000000000001");
    EXPECT(cop_compare(big, cop_of(ctx, 1e23)) > 0); /* 1e23 is 99999999999999991611392 */
    EXPECT(cop_compare(parse(ctx, "99999999999999991611392"), cop_of(ctx, 1e23)) == 0);
    EXPECT(cop_compare(parse(ctx, "99999999999999991611391"), cop_of(ctx, 1e23)) < 0);
}

TEST_TERM(integers_sort_by_value) {
    static const char *const ascending[] = {
        "-340282366920938463463374607431768211456",
        "-18446744073709551617",
        "-18446744073709551616",
        "-18446744073709551615",
        "-576460752303423489",
        "-576460752303423488",
        "-1",
        "0",
        "1",
        "576460752303423487",
        "576460752303423488",
        "18446744073709551615",
        "18446744073709551616",
        "18446744073709551617",
        "340282366920938463463374607431768211456",
    };
    int n = sizeof ascending / sizeof *ascending;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < n; k++) {
            cop_term a = parse(ctx, ascending[i]), b = parse(ctx, ascending[k]);
            EXPECT_INT(sign(cop_compare(a, b)), sign(i - k));
            EXPECT(cop_same(a, b) == (i == k) && cop_eq(a, b) == (i == k));
        }
}

TEST_TERM(a_number_is_rounded_once) {
    double d;
    /* 2^64 + 2^11 lies half way between two floats; one more decides. */
    EXPECT(cop_get_number(parse(ctx, "18446744073709553664"), &d) && d == 18446744073709551616.0);
    EXPECT(cop_get_number(parse(ctx, "18446744073709553665"), &d) && d == 18446744073709555712.0);
    EXPECT(cop_get_number(parse(ctx, "-18446744073709553665"), &d) && d == -18446744073709555712.0);
    EXPECT(cop_get_number(COP_INT(-3), &d) && d == -3);
    EXPECT(cop_get_number(cop_of(ctx, 2.5), &d) && d == 2.5);
    EXPECT(!cop_get_number(cop_a(a).t, &d));
}
