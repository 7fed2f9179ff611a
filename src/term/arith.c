/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arithmetic on terms: what the guards of match specifications compute.
 *
 * Integers that fit 64 bits are computed in the machine's; what overflows there, or was large from
 * the beginning, goes the long way over sign and limbs. The bitwise operators see two's complement
 * of endless width, which is a magnitude's complement cut one limb above the longer operand.
 * Schoolbook methods: numbers in guards are short, and the size of a result is bounded.
 *
 * Invariant: while a buffer of limbs is held the heap is held too (cop__heap_hold), so that a heap
 * limit cannot leave here without freeing it.
 */
#include "term/arith.h"

#include <math.h>
#include <stdlib.h>

#include "os/alloc.h"
#include "term/layout.h"

enum { MAX_LIMBS = 65536 };

/* An operand of any size; `small` holds the limb of one that has no box. */
struct number {
    struct cop__magnitude m;
    uint64_t small;
};

static bool number_of(cop_term t, struct number *n) {
    return cop__magnitude_of(t, &n->m, &n->small);
}

static cop_term of_double(cop_ctx *ctx, double d) {
    return isfinite(d) ? cop_of(ctx, d) : COP_NONE;
}

/* Makes the term of limbs that were taken with cop__malloc, and frees them. */
static cop_term take(cop_ctx *ctx, bool negative, uint64_t *limbs, size_t count) {
    while (count > 0 && limbs[count - 1] == 0)
        count--;
    cop_term t = count > MAX_LIMBS ? COP_NONE : cop__integer_make(ctx, negative, limbs, count);
    cop__free(limbs);
    return t;
}

/* ---- magnitudes ------------------------------------------------------------------------------- */

static int compare(const struct cop__magnitude *a, const struct cop__magnitude *b) {
    if (a->count != b->count)
        return a->count < b->count ? -1 : 1;
    for (size_t i = a->count; i > 0; i--)
        if (a->limbs[i - 1] != b->limbs[i - 1])
            return a->limbs[i - 1] < b->limbs[i - 1] ? -1 : 1;
    return 0;
}

/* |a| + |b|, a the longer one. */
static cop_term add_magnitudes(cop_ctx *ctx, const struct cop__magnitude *a,
                               const struct cop__magnitude *b, bool negative) {
    uint64_t *limbs = cop__malloc((a->count + 1) * sizeof *limbs), carry = 0;
    for (size_t i = 0; i < a->count; i++) {
        unsigned __int128 sum = (unsigned __int128)a->limbs[i] + carry;
        sum += i < b->count ? b->limbs[i] : 0;
        limbs[i] = (uint64_t)sum;
        carry = (uint64_t)(sum >> 64);
    }
    limbs[a->count] = carry;
    return take(ctx, negative, limbs, a->count + 1);
}

/* |a| - |b|, a the larger one. */
static cop_term subtract_magnitudes(cop_ctx *ctx, const struct cop__magnitude *a,
                                    const struct cop__magnitude *b, bool negative) {
    uint64_t *limbs = cop__malloc((a->count + 1) * sizeof *limbs), borrow = 0;
    for (size_t i = 0; i < a->count; i++) {
        uint64_t less = i < b->count ? b->limbs[i] : 0, from = a->limbs[i];
        limbs[i] = from - less - borrow;
        borrow = from < less || (from == less && borrow != 0);
    }
    return take(ctx, negative, limbs, a->count);
}

static cop_term add(cop_ctx *ctx, const struct cop__magnitude *a, const struct cop__magnitude *b,
                    bool b_negative) {
    int order = compare(a, b);
    if (a->negative == b_negative)
        return a->count >= b->count ? add_magnitudes(ctx, a, b, a->negative)
                                    : add_magnitudes(ctx, b, a, a->negative);
    if (order == 0)
        return COP_INT(0);
    return order > 0 ? subtract_magnitudes(ctx, a, b, a->negative)
                     : subtract_magnitudes(ctx, b, a, b_negative);
}

static cop_term multiply(cop_ctx *ctx, const struct cop__magnitude *a,
                         const struct cop__magnitude *b) {
    size_t count = a->count + b->count;
    if (count > MAX_LIMBS)
        return COP_NONE;
    uint64_t *limbs = cop__calloc(count + 1, sizeof *limbs);
    for (size_t i = 0; i < a->count; i++) {
        uint64_t carry = 0;
        for (size_t j = 0; j < b->count; j++) {
            unsigned __int128 sum = (unsigned __int128)a->limbs[i] * b->limbs[j];
            sum += limbs[i + j];
            sum += carry;
            limbs[i + j] = (uint64_t)sum;
            carry = (uint64_t)(sum >> 64);
        }
        limbs[i + b->count] = carry;
    }
    return take(ctx, a->negative != b->negative, limbs, count);
}

/* ---- division: Knuth's algorithm D on digits of 32 bits ------------------------------------------- */

static void to_digits(uint32_t *digits, const struct cop__magnitude *m, int shift) {
    uint32_t carry = 0;
    for (size_t i = 0; i < 2 * m->count; i++) {
        uint32_t digit = (uint32_t)(m->limbs[i / 2] >> (i % 2 == 0 ? 0 : 32));
        digits[i] = digit << shift | carry;
        carry = shift == 0 ? 0 : digit >> (32 - shift);
    }
    digits[2 * m->count] = carry;
}

/* One digit of the quotient; u (n + 1 digits) becomes the rest. v is normalised, n > 1. */
static uint32_t divide_step(uint32_t *u, const uint32_t *v, size_t n) {
    uint64_t top = (uint64_t)u[n] << 32 | u[n - 1];
    uint64_t q = top / v[n - 1], r = top % v[n - 1];
    while (q >> 32 != 0 || q * v[n - 2] > (r << 32 | u[n - 2])) {
        q--;
        r += v[n - 1];
        if (r >> 32 != 0)
            break;
    }
    uint64_t borrow = 0, carry = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t product = q * v[i] + carry;
        carry = product >> 32;
        uint64_t less = (product & 0xffffffff) + borrow;
        borrow = u[i] < less;
        u[i] = (uint32_t)(u[i] - less);
    }
    uint64_t less = carry + borrow;
    bool too_much = u[n] < less;
    u[n] = (uint32_t)(u[n] - less);
    if (!too_much)
        return (uint32_t)q;
    for (size_t i = 0, c = 0; i <= n; i++) {
        uint64_t sum = (uint64_t)u[i] + (i < n ? v[i] : 0) + c;
        u[i] = (uint32_t)sum;
        c = (size_t)(sum >> 32);
    }
    return (uint32_t)(q - 1);
}

static size_t digits_in(const struct cop__magnitude *m) {
    return 2 * m->count - (m->limbs[m->count - 1] >> 32 == 0 ? 1 : 0);
}

static uint64_t *limbs_of(const uint32_t *digits, size_t count, int shift) {
    uint64_t *limbs = cop__calloc(count / 2 + 1, sizeof *limbs);
    for (size_t i = 0; i < count; i++) {
        uint32_t high = shift == 0 || i + 1 == count ? 0 : digits[i + 1] << (32 - shift);
        limbs[i / 2] |= (uint64_t)(digits[i] >> shift | high) << (i % 2 == 0 ? 0 : 32);
    }
    return limbs;
}

static cop_term divide_long(cop_ctx *ctx, const struct cop__magnitude *a,
                            const struct cop__magnitude *b, bool want_rest) {
    size_t na = digits_in(a), n = digits_in(b);
    int shift = __builtin_clz((uint32_t)(b->limbs[(n - 1) / 2] >> ((n - 1) % 2 == 0 ? 0 : 32)));
    uint32_t *u = cop__malloc((2 * a->count + 2) * sizeof *u);
    uint32_t *v = cop__malloc((2 * b->count + 2) * sizeof *v);
    uint32_t *q = cop__calloc(2 * a->count + 2, sizeof *q);
    to_digits(u, a, shift);
    to_digits(v, b, shift);
    for (size_t i = na - n + 1; i > 0; i--)
        q[i - 1] = divide_step(u + i - 1, v, n);
    uint64_t *limbs = want_rest ? limbs_of(u, n, shift) : limbs_of(q, na - n + 1, 0);
    cop__free(u);
    cop__free(v);
    cop__free(q);
    return take(ctx, want_rest ? a->negative : a->negative != b->negative, limbs,
                want_rest ? (n + 1) / 2 : (na - n + 2) / 2);
}

/* By a divisor of one digit. */
static cop_term divide_short(cop_ctx *ctx, const struct cop__magnitude *a,
                             const struct cop__magnitude *b, bool want_rest) {
    uint64_t divisor = b->limbs[0], rest = 0;
    uint64_t *limbs = cop__malloc((a->count + 1) * sizeof *limbs);
    for (size_t i = a->count; i > 0; i--) {
        uint64_t high = rest << 32 | a->limbs[i - 1] >> 32;
        uint64_t low = (high % divisor) << 32 | (a->limbs[i - 1] & 0xffffffff);
        limbs[i - 1] = (high / divisor) << 32 | low / divisor;
        rest = low % divisor;
    }
    if (!want_rest)
        return take(ctx, a->negative != b->negative, limbs, a->count);
    limbs[0] = rest;
    return take(ctx, a->negative, limbs, 1);
}

static cop_term divide(cop_ctx *ctx, const struct cop__magnitude *a, const struct cop__magnitude *b,
                       cop_term a_term, bool want_rest) {
    if (b->count == 0)
        return COP_NONE;
    if (compare(a, b) < 0)
        return want_rest ? a_term : COP_INT(0);
    return digits_in(b) == 1 ? divide_short(ctx, a, b, want_rest)
                             : divide_long(ctx, a, b, want_rest);
}

/* ---- bits ------------------------------------------------------------------------------------------ */

static void complement(uint64_t *limbs, size_t count) {
    uint64_t carry = 1;
    for (size_t i = 0; i < count; i++) {
        limbs[i] = ~limbs[i] + carry;
        carry = carry != 0 && limbs[i] == 0;
    }
}

static uint64_t *two_complement(const struct cop__magnitude *m, size_t count) {
    uint64_t *limbs = cop__calloc(count, sizeof *limbs);
    for (size_t i = 0; i < m->count; i++)
        limbs[i] = m->limbs[i];
    if (m->negative)
        complement(limbs, count);
    return limbs;
}

static cop_term bitwise(cop_ctx *ctx, enum cop__arith op, const struct cop__magnitude *a,
                        const struct cop__magnitude *b) {
    size_t count = (a->count > b->count ? a->count : b->count) + 1;
    uint64_t *x = two_complement(a, count), *y = two_complement(b, count);
    for (size_t i = 0; i < count; i++)
        x[i] = op == ARITH_BAND ? x[i] & y[i] : op == ARITH_BOR ? x[i] | y[i] : x[i] ^ y[i];
    cop__free(y);
    bool negative = x[count - 1] >> 63 != 0;
    if (negative)
        complement(x, count);
    return take(ctx, negative, x, count);
}

static cop_term shift_left(cop_ctx *ctx, const struct cop__magnitude *a, uint64_t by) {
    if (a->count == 0)
        return COP_INT(0);
    if (by / 64 + a->count + 1 > MAX_LIMBS)
        return COP_NONE;
    size_t whole = (size_t)(by / 64), count = whole + a->count + 1;
    unsigned bits = (unsigned)(by % 64);
    uint64_t *limbs = cop__calloc(count, sizeof *limbs);
    for (size_t i = 0; i < a->count; i++) {
        limbs[whole + i] |= a->limbs[i] << bits;
        if (bits != 0)
            limbs[whole + i + 1] = a->limbs[i] >> (64 - bits);
    }
    return take(ctx, a->negative, limbs, count);
}

/* Rounds down, so a negative number never becomes 0: it ends at -1. */
static cop_term shift_right(cop_ctx *ctx, const struct cop__magnitude *a, uint64_t by) {
    if (by / 64 >= a->count)
        return a->negative ? COP_INT(-1) : COP_INT(0);
    size_t whole = (size_t)(by / 64), count = a->count - whole;
    unsigned bits = (unsigned)(by % 64);
    uint64_t lost = bits == 0 ? 0 : a->limbs[whole] << (64 - bits);
    for (size_t i = 0; i < whole; i++)
        lost |= a->limbs[i];
    uint64_t *limbs = cop__calloc(count + 1, sizeof *limbs);
    for (size_t i = 0; i < count; i++) {
        limbs[i] = a->limbs[whole + i] >> bits;
        if (bits != 0 && i + 1 < count)
            limbs[i] |= a->limbs[whole + i + 1] << (64 - bits);
    }
    for (size_t i = 0; a->negative && lost != 0 && i <= count; i++)
        if (++limbs[i] != 0)
            break;
    return take(ctx, a->negative, limbs, count + 1);
}

static cop_term shift(cop_ctx *ctx, const struct cop__magnitude *a, const struct cop__magnitude *b,
                      bool left) {
    uint64_t by = b->count == 0 ? 0 : b->count > 1 ? UINT64_MAX : b->limbs[0];
    return left != b->negative ? shift_left(ctx, a, by) : shift_right(ctx, a, by);
}

/* ---- the operators -------------------------------------------------------------------------------- */

static cop_term on_floats(cop_ctx *ctx, enum cop__arith op, cop_term a, cop_term b) {
    double x, y;
    if (!cop_get_number(a, &x) || !cop_get_number(b, &y))
        return COP_NONE;
    switch (op) {
    case ARITH_ADD:
        return of_double(ctx, x + y);
    case ARITH_SUBTRACT:
        return of_double(ctx, x - y);
    case ARITH_MULTIPLY:
        return of_double(ctx, x * y);
    case ARITH_DIVIDE:
        return y == 0 ? COP_NONE : of_double(ctx, x / y);
    default:
        return COP_NONE;
    }
}

/* Small ones whose result fits 64 bits; COP_NONE: go the long way. */
static cop_term on_small(cop_ctx *ctx, enum cop__arith op, int64_t a, int64_t b) {
    int64_t n;
    switch (op) {
    case ARITH_ADD:
        return cop_of(ctx, a + b);
    case ARITH_SUBTRACT:
        return cop_of(ctx, a - b);
    case ARITH_MULTIPLY:
        return __builtin_mul_overflow(a, b, &n) ? COP_NONE : cop_of(ctx, n);
    case ARITH_DIV:
        return b == 0 ? COP_NONE : cop_of(ctx, a / b);
    case ARITH_REM:
        return b == 0 ? COP_NONE : cop_of(ctx, a % b);
    case ARITH_BAND:
        return cop_of(ctx, a & b);
    case ARITH_BOR:
        return cop_of(ctx, a | b);
    case ARITH_BXOR:
        return cop_of(ctx, a ^ b);
    default:
        return COP_NONE;
    }
}

static cop_term on_large(cop_ctx *ctx, enum cop__arith op, cop_term a, const struct number *x,
                         const struct number *y) {
    switch (op) {
    case ARITH_ADD:
        return add(ctx, &x->m, &y->m, y->m.negative);
    case ARITH_SUBTRACT:
        return add(ctx, &x->m, &y->m, !y->m.negative);
    case ARITH_MULTIPLY:
        return multiply(ctx, &x->m, &y->m);
    case ARITH_DIV:
    case ARITH_REM:
        return divide(ctx, &x->m, &y->m, a, op == ARITH_REM);
    case ARITH_BSL:
    case ARITH_BSR:
        return shift(ctx, &x->m, &y->m, op == ARITH_BSL);
    default:
        return bitwise(ctx, op, &x->m, &y->m);
    }
}

cop_term cop__arith(cop_ctx *ctx, enum cop__arith op, cop_term a, cop_term b) {
    if (cop_is_small(a) && cop_is_small(b) && op != ARITH_DIVIDE) {
        cop_term done = on_small(ctx, op, (int64_t)a.w >> 4, (int64_t)b.w >> 4);
        if (!cop_is_none(done))
            return done;
    }
    struct number x, y;
    if (op == ARITH_DIVIDE || !number_of(a, &x) || !number_of(b, &y))
        return on_floats(ctx, op, a, b);
    struct cop__heap *heap = cop__heap_of(ctx);
    cop__heap_hold(heap);
    cop_term result = on_large(ctx, op, a, &x, &y);
    cop__heap_let(heap);
    return result;
}

cop_term cop__arith_negate(cop_ctx *ctx, cop_term a) {
    double d;
    if (cop_get_double(a, &d))
        return of_double(ctx, -d);
    return cop__arith(ctx, ARITH_SUBTRACT, COP_INT(0), a);
}

cop_term cop__arith_abs(cop_ctx *ctx, cop_term a) {
    double d;
    struct number n;
    if (cop_get_double(a, &d))
        return of_double(ctx, fabs(d));
    if (!number_of(a, &n))
        return COP_NONE;
    return n.m.negative ? cop__arith_negate(ctx, a) : a;
}

cop_term cop__arith_bnot(cop_ctx *ctx, cop_term a) {
    return cop_is_integer(a) ? cop__arith(ctx, ARITH_SUBTRACT, COP_INT(-1), a) : COP_NONE;
}

/* A float without a fraction as an integer. */
static cop_term whole(cop_ctx *ctx, double d) {
    int exponent;
    double fraction = frexp(fabs(d), &exponent);
    uint64_t mantissa = (uint64_t)ldexp(fraction, 53);
    bool left = exponent > 53;
    struct number n = { .small = mantissa };
    n.m = (struct cop__magnitude){ &n.small, mantissa == 0 ? 0 : 1, d < 0 };
    struct cop__heap *heap = cop__heap_of(ctx);
    cop__heap_hold(heap);
    cop_term t = left ? shift_left(ctx, &n.m, (uint64_t)(exponent - 53))
                      : shift_right(ctx, &n.m, (uint64_t)(53 - exponent));
    cop__heap_let(heap);
    return t;
}

cop_term cop__arith_round(cop_ctx *ctx, cop_term a) {
    double d;
    if (cop_get_double(a, &d))
        return whole(ctx, round(d));
    return cop_is_integer(a) ? a : COP_NONE;
}

cop_term cop__arith_trunc(cop_ctx *ctx, cop_term a) {
    double d;
    if (cop_get_double(a, &d))
        return whole(ctx, trunc(d));
    return cop_is_integer(a) ? a : COP_NONE;
}

cop_term cop__arith_float(cop_ctx *ctx, cop_term a) {
    double d;
    return cop_get_number(a, &d) ? of_double(ctx, d) : COP_NONE;
}
