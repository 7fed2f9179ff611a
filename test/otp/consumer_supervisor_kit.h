/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__TEST_CONSUMER_SUPERVISOR_KIT_H
#define COP__TEST_CONSUMER_SUPERVISOR_KIT_H

#include <coppice.h>
#include <coppice/test.h>
#include <stdio.h>
#include <string.h>

/*
 * Children and a producer for tests of ConsumerSupervisor. The test process is the producer, and is
 * registered as :tester, or, once it captures the log, as :logger. The event says what the start function, kid.start_link, does:
 *   :ok2, :ok3, :error, :ignore, :unknown, :raise, :throw, :exit   as named
 *   {:now, term}           puts the term into the supervisor's dictionary; ignored
 *   {:seq, [event, ...]}   the first event at the first start, and so on; the last one again and again
 *   :deaf, :last_words     children that trap exits: ignores all, ends with {:shutdown, :oops}
 * A child tells {:kid, pid, arguments} and ends when it is told {:end, reason}.
 */

static void kid_run(cop_ctx *ctx, cop_term arg) {
    cop_term args, how, message, from, reason;
    if (!cop_match_tuple(arg, &args, &how))
        cop_error(ctx, cop_a(badarg));
    if (cop_match(how, cop_a(deaf)) || cop_match(how, cop_a(last_words)))
        cop_process_trap_exit(ctx, true);
    cop_term tester = cop_process_whereis(ctx, cop_a(tester));
    if (cop_is_none(tester))
        tester = cop_process_whereis(ctx, cop_a(logger));
    cop_send(ctx, tester, cop_tuple(ctx, cop_a(kid), cop_self(ctx), args));
    while (cop_receive(ctx, COP_INFINITY, &message)) {
        if (cop_match_tuple(message, cop_a(end), &reason))
            cop_exit(ctx, reason);
        if (cop_match_tuple(message, cop_as("EXIT"), &from, &reason)
            && cop_match(how, cop_a(last_words)))
            cop_exit(ctx, cop_tuple(ctx, cop_a(shutdown), cop_a(oops)));
    }
}

/* The event for this start: of a :seq, counted in the supervisor's dictionary. */
static cop_term kid_how(cop_ctx *ctx, cop_term event) {
    cop_term list, count;
    int64_t n = 0;
    if (!cop_match_tuple(event, cop_a(seq), &list))
        return event;
    count = cop_process_get(ctx, event);
    if (!cop_is_none(count))
        cop_get_i64(count, &n);
    cop_process_put(ctx, event, cop_of(ctx, n + 1));
    while (n-- > 0 && cop_is_cons(cop_tail(list)))
        list = cop_tail(list);
    return cop_head(list);
}

static cop_term kid_start(cop_ctx *ctx, cop_term event, cop_term args) {
    cop_term how = kid_how(ctx, event);
    cop_term now;
    if (cop_match_tuple(how, cop_a(now), &now)) {
        cop_process_put(ctx, cop_a(now).t, now);
        return cop_a(ignore).t;
    }
    if (cop_match(how, cop_a(error)))
        return cop_tuple(ctx, cop_a(error), cop_a(found));
    if (cop_match(how, cop_a(ignore)) || cop_match(how, cop_a(unknown)))
        return how;
    if (cop_match(how, cop_a(raise)))
        cop_raise(ctx, "RuntimeError", "oops");
    if (cop_match(how, cop_a(throw)))
        cop_throw(ctx, cop_a(oops));
    if (cop_match(how, cop_a(exit)))
        cop_exit(ctx, cop_a(oops));
    cop_pid pid = cop_spawn_link(ctx, kid_run, cop_tuple(ctx, args, how));
    return cop_match(how, cop_a(ok3)) ? cop_tuple(ctx, cop_a(ok), pid, cop_a(extra))
                                      : cop_tuple(ctx, cop_a(ok), pid);
}

static cop_term kid_start_1(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    return kid_start(ctx, a[0], cop_list(ctx, a[0]));
}
static cop_term kid_start_2(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    return kid_start(ctx, a[1], cop_list(ctx, a[0], a[1]));
}
static const cop_module kid_module = {
    .name = "kid",
    .exports = (const cop_export[]){ { "start_link", 1, kid_start_1 },
                                     { "start_link", 2, kid_start_2 },
                                     { 0 } },
};

static inline cop_term read(cop_ctx *ctx, const char *text) {
    cop_term t;
    cop_parse_error error;
    if (!cop_parse(ctx, text, strlen(text), &t, &error))
        FAIL("%s: expected %s at %zu", text, error.expected, error.offset);
    return t;
}

#define KID(more) "[%{id: :kid, start: {:kid, :start_link, []}, " more "}]"
#define TEMPORARY KID("restart: :temporary")
#define TRANSIENT KID("restart: :transient")
#define ONE_FOR_ONE "[strategy: :one_for_one]"

static cop_started start_terms(cop_ctx *ctx, cop_term arg) {
    return cop_consumer_supervisor_start_link_terms(ctx, cop_elem(arg, 0), cop_elem(arg, 1));
}

static inline void be_tester(cop_ctx *ctx) {
    cop_module_load(&kid_module);
    if (cop_is_none(cop_process_whereis(ctx, cop_a(tester))))
        cop_process_register(ctx, cop_self(ctx), cop_a(tester));
}

static inline void capture_log(cop_ctx *ctx) {
    cop_process_unregister(ctx, cop_a(tester));
    test_capture_log(ctx);
}

static inline cop_pid start_sup(cop_ctx *ctx, const char *children, const char *options) {
    be_tester(ctx);
    return test_start_supervised(ctx, start_terms,
                                 cop_tuple(ctx, read(ctx, children), read(ctx, options)));
}

/* The same, as a child of the test process itself. */
static inline cop_pid start_own(cop_ctx *ctx, const char *children, const char *options) {
    be_tester(ctx);
    test_trap_exit(ctx);
    cop_started got =
        cop_consumer_supervisor_start_link_terms(ctx, read(ctx, children), read(ctx, options));
    EXPECT_INT(got.is, COP_STARTED);
    return got.pid;
}

/* ---- the test process as producer ------------------------------------------------------------------------ */

static inline int64_t next_ask(cop_ctx *ctx) {
    int64_t n = -1;
    cop_term message = ASSERT_RECEIVE(ctx, "{:\"$gen_producer\", _, {:ask, _}}");
    cop_get_i64(cop_elem(cop_elem(message, 2), 1), &n);
    return n;
}

/* Subscribes it to the test process; returns the tag, after the first ask has come. */
static inline cop_term feed(cop_ctx *ctx, cop_pid sup, int64_t max, int64_t min,
                            cop_stage_cancel cancel) {
    cop_subscribe_opts opts = { .max_demand = max,
                                .min_demand = min == 0 ? COP_ZERO : min,
                                .cancel = cancel };
    cop_term reply = cop_gen_stage_sync_subscribe(ctx, sup, cop_self(ctx), &opts, 0), tag;
    EXPECT(cop_match_tuple(reply, cop_a(ok), &tag));
    ASSERT_RECEIVE(ctx, "{:\"$gen_producer\", _, {:subscribe, nil, _}}");
    EXPECT_INT(next_ask(ctx), max);
    return tag;
}

static inline void give(cop_ctx *ctx, cop_pid sup, cop_term tag, cop_term events) {
    cop_send(ctx, sup,
             cop_tuple(ctx, cop_as("$gen_consumer"), cop_tuple(ctx, cop_self(ctx), tag), events));
}
#define GIVE(events) give(ctx, sup, tag, read(ctx, events))

static inline cop_pid next_kid(cop_ctx *ctx) {
    cop_pid pid = { COP_NONE };
    EXPECT(cop_get_pid(cop_elem(ASSERT_RECEIVE(ctx, "{:kid, _, _}"), 1), &pid));
    return pid;
}

/* The end of what is monitored by that reference: its reason. */
static inline cop_term end_of(cop_ctx *ctx, cop_ref ref) {
    cop_term down;
    EXPECT(cop_receive_ref(ctx, 5000, ref, &down));
    return cop_elem(down, 4);
}

/* Ends a child, and waits until it has. */
static inline void end_kid(cop_ctx *ctx, cop_pid kid, cop_atom reason) {
    cop_ref ref = cop_process_monitor(ctx, kid);
    cop_send(ctx, kid, cop_tuple(ctx, cop_a(end), reason));
    end_of(ctx, ref);
}

/* A field of its state. Its messages so far are handled then. */
static inline cop_term state_field(cop_ctx *ctx, cop_pid sup, cop_atom field) {
    cop_term state, value;
    EXPECT(cop_match_key(cop_sys_get_state(ctx, sup, 0), cop_a(state), &state));
    EXPECT(cop_match_key(state, field, &value));
    return value;
}

/* The account of its only producer: {count, pending}. */
static inline cop_term account_of(cop_ctx *ctx, cop_pid sup) {
    cop_term producers = state_field(ctx, sup, cop_a(producers)), tag, account;
    cop_map_iter it = cop_map_first(producers);
    EXPECT(cop_map_next(&it, &tag, &account));
    return cop_tuple(ctx, cop_elem(account, 1), cop_elem(account, 2));
}
#define ACCOUNT(pattern) EXPECT_TERM(ctx, account_of(ctx, sup), pattern)
#define COUNTS(pattern) EXPECT_TERM(ctx, cop_consumer_supervisor_count_children(ctx, sup), pattern)

/* Waits until it has so many children, of which so many run: their exits have reached it. */
static inline void await_counts(cop_ctx *ctx, cop_pid sup, int64_t run, int64_t all) {
    int64_t active = -1, workers = -1;
    while (active != run || workers != all) {
        cop_term counts = cop_consumer_supervisor_count_children(ctx, sup);
        EXPECT(cop_match_key(counts, cop_a(active), &active)
               && cop_match_key(counts, cop_a(workers), &workers));
        cop_yield(ctx);
    }
}
static inline void await_children(cop_ctx *ctx, cop_pid sup, int64_t n) {
    await_counts(ctx, sup, n, n);
}

static inline void no_ask(cop_ctx *ctx, cop_pid sup) {
    cop_consumer_supervisor_count_children(ctx, sup);
    REFUTE_RECEIVE(ctx, "{:\"$gen_producer\", _, {:ask, _}}", 0);
}

#endif
