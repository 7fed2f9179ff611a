/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_OTP_TASK_HELP_H
#define TEST_OTP_TASK_HELP_H

/*
 * What the tasks of these tests do, as functions of C:
 *   give      returns its argument             leave     exits with it
 *   hurl      throws it                        stay      waits for ever
 *   at_go     waits for :go, then returns it   leave_go  waits for :go, then exits with it
 * and, as functions of the module M, by name: give/1, add/2 ...
 */
#include <coppice.h>
#include <coppice/test.h>
#include <stdio.h>
#include <string.h>

static inline cop_term T(cop_ctx *ctx, const char *text) {
    cop_term t;
    cop_parse_error error;
    if (!cop_parse(ctx, text, strlen(text), &t, &error))
        FAIL("%s: expected %s at %zu", text, error.expected, error.offset);
    return t;
}

static inline void wait_for(cop_ctx *ctx, const char *atom) {
    cop_term message;
    do
        cop_receive(ctx, COP_INFINITY, &message);
    while (!cop_match(message, cop_atom_new(atom)));
}

static inline cop_term give(cop_ctx *ctx, cop_term arg) { return arg; }
static inline cop_term leave(cop_ctx *ctx, cop_term arg) { cop_exit(ctx, arg); }
static inline cop_term hurl(cop_ctx *ctx, cop_term arg) { cop_throw(ctx, arg); }
static inline cop_term oops(cop_ctx *ctx, cop_term arg) { cop_raise(ctx, "RuntimeError", "oops"); }
static inline cop_term stay(cop_ctx *ctx, cop_term arg) {
    wait_for(ctx, "the end, which nobody sends");
    return arg;
}
static inline cop_term at_go(cop_ctx *ctx, cop_term arg) {
    wait_for(ctx, "go");
    return arg;
}
static inline cop_term leave_go(cop_ctx *ctx, cop_term arg) {
    wait_for(ctx, "go");
    cop_exit(ctx, arg);
}
/* arg ms later. */
static inline cop_term slow(cop_ctx *ctx, cop_term arg) {
    int64_t ms;
    if (cop_get_i64(arg, &ms))
        cop_process_sleep(ctx, ms);
    return arg;
}
/* arg is {pid, message}: sends it, with the task's pid: {message, self}. */
static inline cop_term tell(cop_ctx *ctx, cop_term arg) {
    cop_send(ctx, cop_elem(arg, 0), cop_tuple(ctx, cop_elem(arg, 1), cop_self(ctx)));
    return cop_elem(arg, 1);
}

static inline cop_term m_give(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    return a[0];
}
static inline cop_term m_add(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    int64_t x = 0, y = 0;
    cop_get_i64(a[0], &x);
    cop_get_i64(a[1], &y);
    return cop_of(ctx, x + y);
}
static inline cop_term m_subtract(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    int64_t x = 0, y = 0;
    cop_get_i64(a[0], &x);
    cop_get_i64(a[1], &y);
    return cop_of(ctx, x - y);
}
static inline cop_term m_tell(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    return tell(ctx, a[0]);
}
/* A module-based task: start_link(arg) and run(arg). */
static inline cop_term m_start_link(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    cop_term mfa = cop_tuple(ctx, cop_as("Elixir.M"), cop_a(tell), cop_list(ctx, a[0]));
    return cop_tuple(ctx, cop_a(ok), cop_task_start_link_term(ctx, mfa));
}
static inline cop_term m_child_spec(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    return cop_task_child_spec_use(ctx, "M", a[0], COP_NIL);
}
static const cop_module m_module = {
    .name = "Elixir.M",
    .exports = (const cop_export[]){ { "give", 1, m_give },
                                     { "add", 2, m_add },
                                     { "subtract", 2, m_subtract },
                                     { "tell", 1, m_tell },
                                     { "start_link", 1, m_start_link },
                                     { "child_spec", 1, m_child_spec },
                                     { 0 } },
};
static inline cop_term mfa(cop_ctx *ctx, const char *function, cop_term args) {
    cop_module_load(&m_module);
    return cop_tuple(ctx, cop_as("Elixir.M"), cop_atom_new(function), args);
}

static inline bool in_list(cop_term list, cop_term t) {
    cop_term head;
    while (cop_get_cons(list, &head, &list))
        if (cop_same(head, t))
            return true;
    return false;
}
static inline cop_term links(cop_ctx *ctx, cop_pid pid) {
    return cop_process_info(ctx, pid, cop_a(links));
}
static inline bool is_linked(cop_ctx *ctx, cop_pid pid) {
    return in_list(links(ctx, cop_self(ctx)), pid.t);
}
/* Nothing is in the caller's mailbox. */
static inline void no_messages(cop_ctx *ctx) { EXPECT_TERM(ctx, test_flush(ctx), "[]"); }

/* The text of a term, in a static buffer: for patterns that name a pid or a reference. */
static inline const char *text_of(cop_term t) {
    static char text[8][2000];
    static int at;
    char *out = text[at++ % 8];
    cop_inspect_to(out, sizeof text[0], t, &(cop_inspect_opts){ .limit = -1 });
    return out;
}

/* A process outside of the test's own, for callers that are to die: runs body(ctx, arg). */
static inline cop_pid other(cop_ctx *ctx, cop_entry body, cop_term arg) {
    return cop_spawn(ctx, body, arg);
}
static inline void go(cop_ctx *ctx, cop_pid pid) { cop_send(ctx, pid, cop_a(go)); }

static inline cop_term dict(cop_ctx *ctx, cop_pid pid, const char *key) {
    cop_term item = cop_tuple(ctx, cop_a(dictionary), cop_atom_new(key));
    return cop_process_info(ctx, pid, item);
}
/* A task of nobody's: no process sends to it. */
static inline cop_task fake_task(cop_ctx *ctx) {
    return (cop_task){ .pid = cop_self(ctx),
                       .ref = cop_make_ref(ctx),
                       .owner = cop_self(ctx),
                       .mfa = T(ctx, "{M, :f, 0}") };
}
static inline void down_arrives(cop_ctx *ctx, cop_task task, cop_term object, cop_term reason) {
    cop_send(ctx, cop_self(ctx),
             cop_tuple(ctx, cop_as("DOWN"), task.ref, cop_a(process), object, reason));
}
#define EXPECT_RESULT(ctx, result, pattern) \
    EXPECT_TERM(ctx, cop_task_result_to_term(ctx, (result)), pattern)

#endif
