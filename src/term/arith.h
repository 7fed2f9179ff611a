/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__TERM_ARITH_H
#define COP__TERM_ARITH_H

#include <coppice/term.h>

/* Erlang's arithmetic on terms, for match specifications. */
enum cop__arith {
    ARITH_ADD,
    ARITH_SUBTRACT,
    ARITH_MULTIPLY,
    ARITH_DIVIDE, /* the operator /, always a float */
    ARITH_DIV,
    ARITH_REM,
    ARITH_BAND,
    ARITH_BOR,
    ARITH_BXOR,
    ARITH_BSL,
    ARITH_BSR,
};

/*
 * The result, or COP_NONE where Erlang raises: a wrong type, a zero divisor, a float that is too
 * large, an integer of more than 4,194,304 bits (the limit of Erlang is somewhat higher).
 */
cop_term cop__arith(cop_ctx *ctx, enum cop__arith op, cop_term a, cop_term b);
cop_term cop__arith_negate(cop_ctx *ctx, cop_term a);
cop_term cop__arith_abs(cop_ctx *ctx, cop_term a);
cop_term cop__arith_bnot(cop_ctx *ctx, cop_term a);
cop_term cop__arith_round(cop_ctx *ctx, cop_term a); /* halves away from zero */
cop_term cop__arith_trunc(cop_ctx *ctx, cop_term a);
cop_term cop__arith_float(cop_ctx *ctx, cop_term a);

#endif
