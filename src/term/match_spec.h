/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__TERM_MATCH_SPEC_H
#define COP__TERM_MATCH_SPEC_H

#include <coppice/match_spec.h>

/*
 * A compiled specification: code for a small stack machine. Every clause is
 *
 *     pattern | guards, each closed by GUARD | BODY | expressions, DROP between them | DONE
 *
 * and `next` of a clause is where the following one begins. See match_spec.c for the machine.
 */
enum cop__spec_op {
    /* patterns: each takes a value from the stack */
    SPEC_ANY,
    SPEC_BIND,  /* n: the variable's place */
    SPEC_SAME,  /* n: it was bound before */
    SPEC_EQUAL, /* term */
    SPEC_TUPLE, /* n elements, which go to the stack, the first on top */
    SPEC_CONS,  /* the tail, then the head go to the stack */
    SPEC_MAP,   /* n keys, in the SPEC_KEYs that follow; their values go to the stack */
    SPEC_KEY,
    /* expressions: each leaves a value on the stack */
    SPEC_LITERAL,
    SPEC_VARIABLE,
    SPEC_OBJECT,
    SPEC_BOUND,      /* $$ */
    SPEC_MAKE_TUPLE, /* of n */
    SPEC_MAKE_LIST,  /* of n and the tail */
    SPEC_MAKE_MAP,   /* of n keys and values */
    SPEC_CALL,       /* fn, with n arguments */
    SPEC_ANDALSO,    /* not true: goes to n, with this value */
    SPEC_ORELSE,
    /* the frame */
    SPEC_GUARD,
    SPEC_BODY,
    SPEC_DROP,
    SPEC_DONE,
};

struct cop__spec_insn {
    uint8_t op;
    uint8_t fn;
    uint32_t n;
    cop_term term;
};

struct cop__spec_clause {
    uint32_t start;
    uint32_t variables;   /* how many places */
    uint32_t order_start; /* in `order`: its places by the variables' numbers */
};

struct cop__match_spec {
    struct cop__fragment *terms; /* the specification's own copy: literals point into it */
    struct cop__spec_insn *code;
    struct cop__spec_clause *clauses;
    uint32_t *order;
    uint32_t code_count, clause_count, order_count;
    uint32_t stack, variables; /* the most that any clause needs */
};

/* The compiled specification behind a term, or NULL. */
const struct cop__match_spec *cop__match_spec_of(cop_term compiled);
/*
 * cop_match_spec_match for an object that may lie outside the heap: `foreign` asks for a result that
 * does not point into it. Only a limit of the heap can make it not return.
 */
bool cop__match_spec_match(cop_ctx *ctx, const struct cop__match_spec *spec, cop_term object,
                           bool foreign, cop_term *result);
/* The functions of expressions: their number, or -1; see spec_call.c. */
int cop__spec_function(cop_term name, size_t arity);
/* The value, or COP_NONE when it cannot be computed. */
cop_term cop__spec_call(cop_ctx *ctx, int fn, size_t argc, const cop_term *args);
/* Set by the run-time: the pid of the process that owns ctx. */
extern cop_term (*cop__self_hook)(cop_ctx *ctx);

#endif
