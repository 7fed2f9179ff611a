/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_OTP_SUPERVISOR_HELP_H
#define TEST_OTP_SUPERVISOR_HELP_H

/*
 * A worker for the supervisors' tests, and short words for what they do again and again.
 *
 * W is a module whose functions start such workers (W.start_link/1 and others below). Its argument is
 * a keyword list; without one the worker tells nobody anything:
 *   id       it sends the test {:up, id} when it starts, {:down, id, reason} in terminate
 *   stop     init returns {:stop, reason};  ignore: true, raise: true likewise
 *   exit     terminate exits with this reason
 *   deaf     terminate waits for ever
 *   deaf_ms  terminate waits so long
 *   no_trap  it does not trap exits at all
 * Calls: :get -> :ok, {:stop, reason} -> :ok and stops; everything that is read by tests comes as a
 * message to the test's process.
 */
#include <coppice.h>
#include <coppice/test.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static cop_pid tester;
static atomic_int good_starts, bad_starts; /* of W.flaky/1: first so many good, then so many bad */
static bool bad_is_ignore;                 /* a bad start returns :ignore */

static inline cop_term T(cop_ctx *ctx, const char *text) {
    cop_term t;
    cop_parse_error error;
    if (!cop_parse(ctx, text, strlen(text), &t, &error))
        FAIL("%s: expected %s at %zu", text, error.expected, error.offset);
    return t;
}

static inline cop_term w_opt(cop_term opts, cop_atom key) {
    cop_term pair, value;
    while (cop_get_cons(opts, &pair, &opts))
        if (cop_match_tuple(pair, key, &value))
            return value;
    return COP_NONE;
}

struct w {
    cop_term opts;
};

static inline void w_tell(cop_ctx *ctx, cop_term opts, cop_term message) {
    if (!cop_is_none(w_opt(opts, cop_a(id))))
        cop_send(ctx, tester, message);
}

static inline cop_init w_init(cop_ctx *ctx, void *state, cop_term opts) {
    struct w *w = state;
    w->opts = opts;
    if (!cop_is_none(w_opt(opts, cop_a(stop))))
        return cop_init_stop(w_opt(opts, cop_a(stop)));
    if (!cop_is_none(w_opt(opts, cop_a(ignore))))
        return cop_init_ignore();
    if (!cop_is_none(w_opt(opts, cop_a(raise))))
        cop_raise(ctx, "RuntimeError", "oops");
    if (cop_is_none(w_opt(opts, cop_a(no_trap))))
        cop_process_trap_exit(ctx, true);
    w_tell(ctx, opts, cop_tuple(ctx, cop_a(up), w_opt(opts, cop_a(id))));
    return cop_init_ok();
}

static inline cop_next w_call(cop_ctx *ctx, void *state, cop_term request, cop_from from) {
    cop_term reason;
    if (cop_match_tuple(request, cop_a(stop), &reason))
        return cop_stop_reply(ctx, reason, cop_a(ok));
    if (cop_match(request, cop_a(ancestors)))
        return cop_reply(ctx, cop_process_get(ctx, cop_as("$ancestors").t));
    return cop_reply(ctx, cop_a(ok));
}

static inline void w_terminate(cop_ctx *ctx, void *state, cop_term reason) {
    struct w *w = state;
    cop_term ms = w_opt(w->opts, cop_a(deaf_ms));
    int64_t wait = COP_INFINITY;
    w_tell(ctx, w->opts, cop_tuple(ctx, cop_a(down), w_opt(w->opts, cop_a(id)), reason));
    if (!cop_is_none(ms))
        cop_get_i64(ms, &wait);
    if (!cop_is_none(ms) || !cop_is_none(w_opt(w->opts, cop_a(deaf))))
        cop_process_sleep(ctx, wait);
    if (!cop_is_none(w_opt(w->opts, cop_a(exit))))
        cop_exit(ctx, w_opt(w->opts, cop_a(exit)));
}

static const cop_gen_server w_server = {
    .name = "W",
    .state_size = sizeof(struct w),
    .state_terms = 1,
    .init = w_init,
    .handle_call = w_call,
    .terminate = w_terminate,
};

static inline cop_started w_start_link(cop_ctx *ctx, cop_term opts) {
    cop_start_opts o = { 0 };
    cop_term name = cop_is_list(opts) ? w_opt(opts, cop_a(name)) : COP_NONE;
    if (!cop_is_none(name))
        cop_get_atom(name, &o.name);
    return cop_gen_server_start_link(ctx, &w_server, opts, &o);
}

static inline cop_term w_f_start_link(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    return cop_started_to_term(ctx, w_start_link(ctx, a[0]));
}
/* Not linked: the supervisor never hears of its end. */
static inline cop_term w_f_start(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    return cop_started_to_term(ctx, cop_gen_server_start(ctx, &w_server, a[0], NULL));
}
static inline cop_term w_f_start_extra(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    return cop_tuple(ctx, cop_a(ok), w_start_link(ctx, a[0]).pid, cop_a(extra));
}
static inline cop_term w_f_value(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    return a[0];
}
static inline cop_term w_f_throw(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    cop_throw(ctx, a[0]);
}
static inline cop_term w_f_exit(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    cop_exit(ctx, a[0]);
}
static inline cop_term w_f_raise(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    cop_raise(ctx, "RuntimeError", "oops");
}
static inline cop_term w_f_flaky(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    if (good_starts > 0) {
        good_starts--;
    } else if (bad_starts > 0) {
        bad_starts--;
        w_tell(ctx, a[0], cop_tuple(ctx, cop_a(fail), w_opt(a[0], cop_a(id))));
        return bad_is_ignore ? cop_a(ignore).t : cop_tuple(ctx, cop_a(error), cop_a(nope));
    }
    return w_f_start_link(ctx, env, n, a);
}
static inline cop_term w_f_slow(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    cop_process_sleep(ctx, 150);
    return w_f_start_link(ctx, env, n, a);
}
static inline cop_term w_f_three(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    cop_send(ctx, tester, cop_tuple(ctx, cop_a(args), cop_list(ctx, a[0], a[1], a[2])));
    return cop_started_to_term(ctx, w_start_link(ctx, COP_NIL));
}
static inline cop_term w_f_child_spec(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    return cop_child_spec_use(ctx, "W", COP_WORKER, a[0], COP_NONE);
}
static inline cop_term task_f_child_spec(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    return cop_child_spec_use(ctx, "Task", COP_WORKER, a[0], T(ctx, "[restart: :temporary]"));
}
static inline cop_term plain_f_child_spec(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    return cop_child_spec_use(ctx, "Stack", COP_WORKER, a[0], COP_NONE);
}
static inline cop_term sup_f_child_spec(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    return cop_child_spec_use(ctx, "Sup", COP_SUPERVISOR, a[0], COP_NONE);
}

static const cop_module module_w = {
    .name = "Elixir.W",
    .exports = (const cop_export[]){ { "start_link", 1, w_f_start_link },
                                     { "start", 1, w_f_start },
                                     { "start_extra", 1, w_f_start_extra },
                                     { "value", 1, w_f_value },
                                     { "throws", 1, w_f_throw },
                                     { "exits", 1, w_f_exit },
                                     { "raises", 1, w_f_raise },
                                     { "flaky", 1, w_f_flaky },
                                     { "slow", 1, w_f_slow },
                                     { "three", 3, w_f_three },
                                     { "child_spec", 1, w_f_child_spec },
                                     { 0 } },
};
static const cop_module module_task = {
    .name = "Elixir.Task",
    .exports = (const cop_export[]){ { "child_spec", 1, task_f_child_spec }, { 0 } },
};
static const cop_module module_stack = {
    .name = "Elixir.Stack",
    .exports = (const cop_export[]){ { "child_spec", 1, plain_f_child_spec }, { 0 } },
};
static const cop_module module_sup = {
    .name = "Elixir.Sup",
    .exports = (const cop_export[]){ { "child_spec", 1, sup_f_child_spec }, { 0 } },
};
static const cop_module module_bare = {
    .name = "Elixir.Bare",
    .exports = (const cop_export[]){ { "value", 1, w_f_value }, { 0 } },
};

/* Loads the modules and makes the caller the one who is told. */
static inline void begin(cop_ctx *ctx) {
    cop_module_load(&module_w);
    cop_module_load(&module_task);
    cop_module_load(&module_stack);
    cop_module_load(&module_sup);
    cop_module_load(&module_bare);
    tester = cop_self(ctx);
    test_trap_exit(ctx);
}

/* The specification of a worker that reports: W.start_link([id: id]) with more keys behind. */
static inline cop_term W(cop_ctx *ctx, const char *id, const char *more) {
    char text[400];
    snprintf(text, sizeof text, "%%{id: :%s, start: {W, :start_link, [[id: :%s]]}%s%s}", id, id,
             more[0] != '\0' ? ", " : "", more);
    return T(ctx, text);
}

/* A list of them, from their ids: "a b c:restart: :temporary" is not needed often, so ids only. */
static inline cop_term workers(cop_ctx *ctx, const char *ids) {
    cop_term list = COP_NIL;
    char id[2] = { 0 };
    for (size_t i = strlen(ids); i > 0; i--) {
        id[0] = ids[i - 1];
        list = cop_cons(ctx, W(ctx, id, ""), list);
    }
    return list;
}

static inline cop_pid sup_of(cop_ctx *ctx, cop_term children, const char *options) {
    cop_started s = cop_supervisor_start_link_terms(ctx, children, T(ctx, options));
    if (s.is != COP_STARTED)
        EXPECT_TERM(ctx, s.reason, "nothing");
    return s.pid;
}

/* The pid of a child by its id's name. */
static inline cop_pid child(cop_ctx *ctx, cop_pid sup, const char *id) {
    cop_pid pid = { COP_NONE };
    cop_get_pid(cop_supervisor_child(ctx, sup, cop_atom_new(id)), &pid);
    return pid;
}

static inline void kill_pid(cop_ctx *ctx, cop_pid pid) {
    cop_process_exit(ctx, pid, cop_a(kill));
    test_await_down(ctx, pid);
}

static inline void kill_child(cop_ctx *ctx, cop_pid sup, const char *id) {
    kill_pid(ctx, child(ctx, sup, id));
}

/* The child ends itself with that reason, and has ended. */
static inline void end_child(cop_ctx *ctx, cop_pid sup, const char *id, const char *reason) {
    cop_pid pid = child(ctx, sup, id);
    cop_gen_server_call(ctx, pid, cop_tuple(ctx, cop_a(stop), T(ctx, reason)), 0);
    test_await_down(ctx, pid);
}

static inline bool is_event(cop_term m, void *arg) {
    cop_term any;
    return cop_match_tuple(m, cop_a(up), &any) || cop_match_tuple(m, cop_a(fail), &any)
           || cop_match_tuple(m, cop_a(down), &any, &any);
}

/* As many events of the workers as the list has come next, in this order. */
#define EVENTS(ctx, expected)                                                         \
    ({                                                                                \
        int64_t cop__n = cop_list_length(T(ctx, expected));                           \
        cop_term cop__got = COP_NIL, cop__m;                                          \
        while (cop__n-- > 0 && cop_receive_match(ctx, 5000, is_event, NULL, &cop__m)) \
            cop__got = cop_cons(ctx, cop__m, cop__got);                               \
        EXPECT_TERM(ctx, cop_list_reverse(ctx, cop__got), expected);                  \
    })
/* No event is there, once the supervisor has done what it was told before. */
#define NO_EVENTS(ctx, sup)                                     \
    ({                                                          \
        cop_term cop__m;                                        \
        if (cop_process_is_alive(ctx, sup))                     \
            cop_supervisor_count_children(ctx, sup);            \
        if (cop_receive_match(ctx, 0, is_event, NULL, &cop__m)) \
            EXPECT_TERM(ctx, cop__m, "nothing");                \
    })

static inline bool is_report(cop_term m, void *arg) {
    cop_term any;
    return cop_match_tuple(m, cop_a(log), &any, &any, &any);
}

/* The supervisors' reports that the captured log has up to now: [{what, id, reason, pid}, ...]; of another
   event {:other, level}. reason is nil for progress. */
static inline cop_term reports(cop_ctx *ctx) {
    cop_term list = COP_NIL, m, event, level, report, label, what, inner;
    while (cop_receive_match(ctx, 0, is_report, NULL, &m)) {
        level = cop_elem(m, 1);
        event = cop_elem(m, 2);
        if (!cop_match_tuple(event, cop_a(report), &report)
            || !cop_match_key(report, cop_a(label), &label)
            || !cop_match_tuple(label, cop_a(supervisor), &what)
            || !cop_match_key(report, cop_a(report), &inner)) {
            list = cop_cons(ctx, cop_tuple(ctx, cop_a(other), level), list);
            continue;
        }
        cop_term who = w_opt(inner, cop_a(offender)), why = w_opt(inner, cop_a(reason));
        if (cop_is_none(who))
            who = w_opt(inner, cop_a(started));
        if (cop_is_none(why))
            why = cop_a(nil).t;
        list = cop_cons(
            ctx, cop_tuple(ctx, what, w_opt(who, cop_a(id)), why, w_opt(who, cop_a(pid))), list);
    }
    return cop_list_reverse(ctx, list);
}

/* Waits until the supervisor has taken what was in its mailbox. */
static inline void sync_with(cop_ctx *ctx, cop_pid sup) { cop_supervisor_count_children(ctx, sup); }

#endif
