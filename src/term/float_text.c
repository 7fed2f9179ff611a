/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Floats as text: the fewest digits that read back as the same number, in the form Elixir gives
 * them (its own for whole numbers below 1.0e16, io_lib_format:fwrite_g/1 for the others).
 *
 * The digits are found by printing with more and more of them until the text reads back. No two
 * decimals of 15 digits are the same float, so it begins there and drops zeros; only subnormal
 * floats, which have less precision, need a look at each length. The nearest decimal of a length is
 * the only one to try, but for powers of two: below these, floats are twice as dense, so the next
 * decimal above may read back where the nearest does not.
 *
 * The C library writes the point of the program's locale; so the point is skipped, not expected,
 * and texts of ours are read in the C locale. Any thread.
 */
#include "term/float_text.h"

#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static locale_t c_locale(void) {
    static locale_t cached; /* the C library has one object for it, so twice is no harm */
    locale_t locale = __atomic_load_n(&cached, __ATOMIC_ACQUIRE);
    if (locale == (locale_t)0) {
        locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
        __atomic_store_n(&cached, locale, __ATOMIC_RELEASE);
    }
    return locale;
}

double cop__float_parse(const char *text) { return strtod_l(text, NULL, c_locale()); }

/* The value is 0.digits times ten to the power of `point`. */
struct decimal {
    char digits[20];
    int count, point;
};

static double value_of(const struct decimal *decimal) {
    char text[40];
    snprintf(text, sizeof text, "0.%.*se%d", decimal->count, decimal->digits, decimal->point);
    return cop__float_parse(text);
}

static void nearest(double d, int count, struct decimal *decimal) {
    char text[40];
    snprintf(text, sizeof text, "%.*e", count - 1, d);
    char *at = text;
    decimal->count = 0;
    for (; *at != 'e'; at++)
        if (*at >= '0' && *at <= '9')
            decimal->digits[decimal->count++] = *at;
    decimal->point = atoi(at + 1) + 1;
}

/* The next decimal of as many digits. */
static void increment(struct decimal *decimal) {
    int i = decimal->count - 1;
    while (i >= 0 && decimal->digits[i] == '9')
        decimal->digits[i--] = '0';
    if (i >= 0) {
        decimal->digits[i]++;
    } else {
        decimal->digits[0] = '1';
        decimal->point++;
    }
}

static void shortest(double d, struct decimal *decimal) {
    uint64_t bits;
    memcpy(&bits, &d, sizeof bits);
    bool is_power_of_two = (bits & ((UINT64_C(1) << 52) - 1)) == 0;
    for (int count = d < DBL_MIN ? 1 : 15; count <= 17; count++) {
        nearest(d, count, decimal);
        if (value_of(decimal) == d)
            break;
        if (is_power_of_two) {
            increment(decimal);
            if (value_of(decimal) == d)
                break;
        }
    }
    while (decimal->count > 1 && decimal->digits[decimal->count - 1] == '0')
        decimal->count--;
}

static char *put(char *at, const char *text, int n) {
    memcpy(at, text, (size_t)n);
    return at + n;
}

static char *put_zeros(char *at, int n) {
    memset(at, '0', (size_t)n);
    return at + n;
}

/* Plain where that is not longer than with an exponent, and exact for whole numbers. */
static char *put_decimal(char *at, double d, const struct decimal *x) {
    char exponent[8];
    int cost = snprintf(exponent, sizeof exponent, "e%d", x->point - 1) + (x->count == 1 ? 2 : 1);
    bool plain = d < 9007199254740992.0
                 && (x->point < 0           ? 2 - x->point <= cost
                     : x->point >= x->count ? x->point - x->count + 2 <= cost
                                            : true);
    if (!plain) {
        at = put(put(at, x->digits, 1), ".", 1);
        at = x->count == 1 ? put_zeros(at, 1) : put(at, x->digits + 1, x->count - 1);
        return put(at, exponent, (int)strlen(exponent));
    }
    if (x->point <= 0)
        return put(put_zeros(put(at, "0.", 2), -x->point), x->digits, x->count);
    if (x->point >= x->count)
        return put(put_zeros(put(at, x->digits, x->count), x->point - x->count), ".0", 2);
    at = put(put(at, x->digits, x->point), ".", 1);
    return put(at, x->digits + x->point, x->count - x->point);
}

size_t cop__float_text(double d, char out[COP__FLOAT_TEXT_MAX]) {
    if (fabs(d) >= 1.0 && fabs(d) < 1.0e16 && trunc(d) == d)
        return (size_t)snprintf(out, COP__FLOAT_TEXT_MAX, "%lld.0", (long long)d);
    char *at = out;
    if (signbit(d)) {
        *at++ = '-';
        d = -d;
    }
    if (d == 0) {
        at = put(at, "0.0", 3);
    } else {
        struct decimal decimal;
        shortest(d, &decimal);
        at = put_decimal(at, d, &decimal);
    }
    *at = '\0';
    return (size_t)(at - out);
}
