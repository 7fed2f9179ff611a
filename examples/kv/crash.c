/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Six ways to die. CRASH is here to be tried: each of these is what a mistake in a C program does,
 * in the process that the client named, and nothing catches it on the way.
 */
#include <stdlib.h>

#include "kv.h"

static volatile int zero;
static int *volatile nowhere;

static void by_segv(cop_ctx *ctx) { *nowhere = 1; }

static void by_abort(cop_ctx *ctx) { abort(); }

static __attribute__((noinline)) int dig(volatile int *above) {
    if (*above < 0)
        return 0; /* it never is: this only keeps compilers from seeing what they would warn of */
    volatile int hole[64];
    hole[0] = *above + 1;
    int below = dig(hole);
    return below + hole[0];
}

static void by_stack(cop_ctx *ctx) {
    volatile int top = 0;
    zero = dig(&top);
}

/* Not every machine traps at the division; where one does not, it is made to. */
static void by_div(cop_ctx *ctx) {
    volatile int one = 1;
    volatile int quotient = one / zero;
    (void)quotient;
    __builtin_trap();
}

static void by_loop(cop_ctx *ctx) {
    for (volatile unsigned turns = 0;; turns++)
        continue;
}

static void by_exit(cop_ctx *ctx) { cop_exit(ctx, cop_a(crash_was_asked_for)); }

static const struct {
    const char *kind;
    void (*crash)(cop_ctx *ctx);
} kinds[] = {
    { "SEGV", by_segv }, { "ABORT", by_abort }, { "STACK", by_stack },
    { "DIV", by_div },   { "LOOP", by_loop },   { "EXIT", by_exit },
};

bool crash_is_known(cop_bytes kind) {
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (bytes_are(kind, kinds[i].kind))
            return true;
    return false;
}

void crash(cop_ctx *ctx, cop_bytes kind) {
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (bytes_are(kind, kinds[i].kind))
            kinds[i].crash(ctx);
}
