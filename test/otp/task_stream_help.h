/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_OTP_TASK_STREAM_HELP_H
#define TEST_OTP_TASK_STREAM_HELP_H

#include "task_help.h"

/* The tasks of streams: what is done with one element. */

/* Waits so many ms, for ever with :infinity, not at all when arg is :now; returns the element. */
static inline cop_term slow_one(cop_ctx *ctx, cop_term element, cop_term arg) {
    if (cop_match(element, cop_a(infinity)))
        return stay(ctx, element);
    return cop_match(arg, cop_a(now)) ? element : slow(ctx, element);
}
static inline cop_term leave_one(cop_ctx *ctx, cop_term element, cop_term arg) {
    cop_exit(ctx, element);
}
static inline cop_term leave_if_atom(cop_ctx *ctx, cop_term element, cop_term arg) {
    if (cop_is_atom(element))
        cop_exit(ctx, element);
    return element;
}

/* A stream over an enumerable, over a list; and what a walk along the latter gives. */
static inline cop_term over(cop_ctx *ctx, cop_term enumerable, cop_task_element_function f,
                            const cop_async_stream_opts *opts) {
    return cop_task_async_stream(ctx, enumerable, f, COP_NIL, opts);
}
static inline cop_term each(cop_ctx *ctx, const char *list, cop_task_element_function f,
                            const cop_async_stream_opts *opts) {
    return over(ctx, T(ctx, list), f, opts);
}
static inline cop_term run(cop_ctx *ctx, const char *list, cop_task_element_function f,
                           const cop_async_stream_opts *opts) {
    return cop_enum_to_list(ctx, each(ctx, list, f, opts));
}

/* A list whose walks are counted: the elements taken, and the ends. The element :raise raises. */
static int64_t pulled, closed;
static inline bool counted_next(cop_ctx *ctx, void *state, cop_term *kept, cop_term *element) {
    if (!cop_get_cons(*kept, element, kept))
        return false;
    if (cop_match(*element, cop_a(raise)))
        cop_raise(ctx, "RuntimeError", "of the input");
    pulled++;
    return true;
}
static inline void counted_close(void *state) { closed++; }
static const cop_generator counted_generator = { .name = "counted",
                                                 .next = counted_next,
                                                 .close = counted_close };
static inline cop_term counted(cop_ctx *ctx, const char *list) {
    return cop_stream(ctx, &counted_generator, T(ctx, list));
}

#endif
