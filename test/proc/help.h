/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_PROC_HELP_H
#define TEST_PROC_HELP_H

/* Processes that these tests have in common. */
#include <coppice.h>
#include <coppice/test.h>
#include <stdlib.h>
#include <string.h>

static inline void exit_with_arg(cop_ctx *ctx, cop_term arg) { cop_exit(ctx, arg); }
static inline void return_at_once(cop_ctx *ctx, cop_term arg) {}

static inline void wait_for_ever(cop_ctx *ctx, cop_term arg) {
    cop_term message;
    for (;;)
        COP_SCOPE(ctx) { cop_receive(ctx, COP_INFINITY, &message); }
}

/* Waits and takes nothing. */
static inline void sleep_for_ever(cop_ctx *ctx, cop_term arg) {
    cop_process_sleep(ctx, COP_INFINITY);
}

/* Takes one message and ends normally. */
static inline void take_one(cop_ctx *ctx, cop_term arg) {
    cop_term message;
    cop_receive(ctx, COP_INFINITY, &message);
}

/* Traps exits and tells `arg` every message it gets, the first :ready. */
static inline void trap_and_tell(cop_ctx *ctx, cop_term arg) {
    cop_process_trap_exit(ctx, true);
    cop_send(ctx, arg, cop_a(ready));
    for (;;)
        COP_SCOPE(ctx) {
            cop_term message;
            cop_receive(ctx, COP_INFINITY, &message);
            cop_send(ctx, arg, cop_tuple(ctx, cop_a(got), message));
        }
}

static inline cop_pid trapper(cop_ctx *ctx) {
    cop_pid p = cop_spawn(ctx, trap_and_tell, cop_self(ctx).t);
    ASSERT_RECEIVE(ctx, ":ready");
    return p;
}

#endif
