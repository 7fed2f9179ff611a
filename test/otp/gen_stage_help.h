/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_OTP_GEN_STAGE_HELP_H
#define TEST_OTP_GEN_STAGE_HELP_H

/*
 * Act: a stage that does what a map says, and tells the test what happens to it. In Elixir's notation:
 *   init       what init returns; {:producer, 0} and so on
 *   id         the first element of what it tells (:s)
 *   demand     handle_demand: :count emits the next numbers (up to 5000), :echo the demand itself, else nothing
 *   events     handle_events: :double (2 times the number), :twice and :triple (each so often), :pass, :hang
 *              (never returns); {:return, term}, a return as it is; {:stop_at, event}; else nothing is emitted
 *   subscribe  handle_subscribe: :manual; {:return, term}; {:sleep, ms}
 *   cancel     handle_cancel: {:return, term}
 *   discard    format_discarded: true or false, and it is told
 *   tell       a list of what is told; else all of it: {id, :init} {id, :demand, n} {id, :events, list}
 *              {id, :from, from} {id, :subscribe, role, opts, from} {id, :cancel, why, from} {id, :info,
 *              message} {id, :discard, n} {id, :terminate, reason}; :from only when asked for
 * Calls and casts: {:emit, list}; {:return, term}; {:reply_first, list} answers by GenStage.reply and emits
 * then; {:sleep, ms}; :raise; anything else is answered by itself.
 */
#include <coppice.h>
#include <coppice/test.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* printf of a text in static memory, good for some calls. */
__attribute__((format(printf, 1, 2))) static inline const char *P(const char *format, ...) {
    static char texts[16][2048];
    static unsigned at;
    char *text = texts[at++ % 16];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof texts[0], format, args);
    va_end(args);
    return text;
}

/* A term as text. */
static inline const char *show(cop_term t) {
    char text[1024];
    cop_inspect_to(text, sizeof text, t, NULL);
    return P("%s", text);
}
#define S(x) show(COP_TERM(x))

static inline cop_term T(cop_ctx *ctx, const char *text) {
    cop_term t;
    cop_parse_error error;
    if (!cop_parse(ctx, text, strlen(text), &t, &error))
        FAIL("%s: expected %s at %zu", text, error.expected, error.offset);
    return t;
}

struct act {
    cop_term script, watcher, id, value;
    int64_t next;
};

static inline cop_term act_opt(const struct act *self, cop_atom key) {
    cop_term value = COP_NONE;
    cop_map_get(self->script, key.t, &value);
    return value;
}

static inline void act_tell(cop_ctx *ctx, const struct act *self, cop_atom kind, cop_term message) {
    cop_term list = act_opt(self, cop_a(tell)), one;
    bool told = cop_is_none(list) && !cop_match(kind.t, cop_a(from));
    while (!cop_is_none(list) && cop_get_cons(list, &one, &list))
        told = told || cop_match(one, kind);
    if (told)
        cop_send(ctx, self->watcher, message);
}

static inline cop_stage_init act_init(cop_ctx *ctx, void *state, cop_term arg) {
    struct act *self = state;
    EXPECT(cop_match_tuple(arg, &self->script, &self->watcher));
    self->id = act_opt(self, cop_a(id));
    if (cop_is_none(self->id))
        self->id = cop_a(s).t;
    return cop_stage_init_return(act_opt(self, cop_a(init)));
}

enum { ACT_COUNTS_TO = 5000 }; /* so that no test is flooded */

static inline cop_events act_count(cop_ctx *ctx, struct act *self, int64_t n) {
    cop_events events;
    if (n > ACT_COUNTS_TO - self->next)
        n = ACT_COUNTS_TO - self->next;
    cop_term *at = cop_events_new(ctx, (size_t)n, &events);
    for (int64_t i = 0; i < n; i++)
        at[i] = cop_of(ctx, self->next++);
    return events;
}

static inline cop_stage_next act_demand(cop_ctx *ctx, void *state, int64_t demand) {
    struct act *self = state;
    cop_term how = act_opt(self, cop_a(demand)), returned;
    cop_events list;
    act_tell(ctx, self, cop_a(demand), cop_tuple(ctx, self->id, cop_a(demand), demand));
    if (cop_match_tuple(how, cop_a(return ), &returned))
        return cop_stage_return(returned);
    if (cop_match_tuple(how, cop_a(emit), &returned) && cop_events_from_list(ctx, returned, &list))
        return cop_stage_emit(list);
    if (cop_match(how, cop_a(count)))
        return cop_stage_emit(act_count(ctx, self, demand));
    cop_events echo;
    cop_events_new(ctx, 1, &echo)[0] = cop_of(ctx, demand);
    return cop_match(how, cop_a(echo)) ? cop_stage_emit(echo) : cop_stage_noreply();
}

static inline cop_events act_times(cop_ctx *ctx, cop_events in, int64_t times, bool repeat) {
    cop_events out;
    size_t n = repeat ? in.count * (size_t)times : in.count;
    cop_term *at = cop_events_new(ctx, n, &out);
    for (size_t i = 0; i < n; i++) {
        int64_t number = 0;
        EXPECT(cop_get_i64(in.at[repeat ? i / (size_t)times : i], &number));
        at[i] = cop_of(ctx, repeat ? number : number * times);
    }
    return out;
}

static inline cop_stage_next act_events(cop_ctx *ctx, void *state, cop_events events,
                                        cop_from from) {
    struct act *self = state;
    cop_term how = act_opt(self, cop_a(events)), x;
    act_tell(ctx, self, cop_a(events),
             cop_tuple(ctx, self->id, cop_a(events), cop_events_to_list(ctx, events)));
    act_tell(ctx, self, cop_a(from), cop_tuple(ctx, self->id, cop_a(from), from));
    if (cop_match_tuple(how, cop_a(return ), &x))
        return cop_stage_return(x);
    if (cop_match_tuple(how, cop_a(stop_at), &x))
        for (size_t i = 0; i < events.count; i++)
            if (cop_same(events.at[i], x))
                return cop_stage_stop(cop_a(stop_at));
    if (cop_match(how, cop_a(hang)))
        cop_process_sleep(ctx, COP_INFINITY);
    if (cop_match(how, cop_a(double)))
        return cop_stage_emit(act_times(ctx, events, 2, false));
    if (cop_match(how, cop_a(twice)))
        return cop_stage_emit(act_times(ctx, events, 2, true));
    if (cop_match(how, cop_a(triple)))
        return cop_stage_emit(act_times(ctx, events, 3, true));
    return cop_match(how, cop_a(pass)) ? cop_stage_emit(events) : cop_stage_noreply();
}

static inline cop_stage_subscribed act_subscribe(cop_ctx *ctx, void *state, cop_stage_kind other,
                                                 cop_term opts, cop_from from) {
    struct act *self = state;
    cop_term how = act_opt(self, cop_a(subscribe)), returned;
    int64_t ms;
    cop_atom role = other == COP_CONSUMER ? cop_a(consumer) : cop_a(producer);
    act_tell(ctx, self, cop_a(subscribe),
             cop_tuple(ctx, self->id, cop_a(subscribe), role, opts, from));
    if (cop_match_tuple(how, cop_a(return ), &returned))
        return cop_stage_subscribe_return(returned);
    if (cop_match_tuple(how, cop_a(sleep), &ms))
        cop_process_sleep(ctx, ms);
    return cop_match(how, cop_a(manual)) && other == COP_PRODUCER ? cop_stage_manual()
                                                                  : cop_stage_automatic();
}

static inline cop_stage_next act_cancel(cop_ctx *ctx, void *state, cop_term why, cop_from from) {
    struct act *self = state;
    cop_term returned;
    act_tell(ctx, self, cop_a(cancel), cop_tuple(ctx, self->id, cop_a(cancel), why, from));
    if (cop_match_tuple(act_opt(self, cop_a(cancel)), cop_a(return ), &returned))
        return cop_stage_return(returned);
    return cop_stage_noreply();
}

static inline cop_stage_next act_request(cop_ctx *ctx, struct act *self, cop_term request,
                                         const cop_from *from) {
    cop_term x;
    cop_events events = cop_no_events();
    int64_t ms;
    if (cop_match_tuple(request, cop_a(return ), &x))
        return cop_stage_return(x);
    if (cop_match_tuple(request, cop_a(sleep), &ms))
        cop_process_sleep(ctx, ms);
    if (cop_match(request, cop_a(raise)))
        cop_raise(ctx, "RuntimeError", "boom");
    if (cop_match_tuple(request, cop_a(emit), &x))
        EXPECT(cop_events_from_list(ctx, x, &events));
    if (cop_match_tuple(request, cop_a(reply_first), &x)) {
        EXPECT(cop_events_from_list(ctx, x, &events));
        cop_gen_stage_reply(ctx, *from, cop_a(first));
        return cop_stage_emit(events);
    }
    return from == NULL ? cop_stage_emit(events) : cop_stage_reply(ctx, request, events);
}

static inline cop_stage_next act_call(cop_ctx *ctx, void *state, cop_term request, cop_from from) {
    return act_request(ctx, state, request, &from);
}

static inline cop_stage_next act_cast(cop_ctx *ctx, void *state, cop_term request) {
    return act_request(ctx, state, request, NULL);
}

static inline cop_stage_next act_info(cop_ctx *ctx, void *state, cop_term message) {
    struct act *self = state;
    act_tell(ctx, self, cop_a(info), cop_tuple(ctx, self->id, cop_a(info), message));
    return cop_stage_noreply();
}

static inline bool act_discarded(cop_ctx *ctx, void *state, size_t count) {
    struct act *self = state;
    cop_term how = act_opt(self, cop_a(discard));
    if (!cop_is_none(how))
        act_tell(ctx, self, cop_a(discard), cop_tuple(ctx, self->id, cop_a(discard), count));
    return !cop_match(how, cop_a(false));
}

static inline void act_terminate(cop_ctx *ctx, void *state, cop_term reason) {
    struct act *self = state;
    act_tell(ctx, self, cop_a(terminate), cop_tuple(ctx, self->id, cop_a(terminate), reason));
}

static inline cop_term act_to_term(cop_ctx *ctx, const void *state) {
    const struct act *self = state;
    return cop_is_none(self->value) ? cop_a(nil).t : self->value;
}

static inline bool act_from_term(cop_ctx *ctx, void *state, cop_term term) {
    ((struct act *)state)->value = term;
    return true;
}

#define ACT                                                                                      \
    .name = "Act", .state_size = sizeof(struct act), .state_terms = 4, .init = act_init,         \
    .handle_demand = act_demand, .handle_events = act_events, .handle_subscribe = act_subscribe, \
    .handle_cancel = act_cancel, .handle_call = act_call, .handle_cast = act_cast,               \
    .handle_info = act_info, .format_discarded = act_discarded, .terminate = act_terminate,      \
    .state_to_term = act_to_term, .state_from_term = act_from_term

static const cop_gen_stage act_stage = { ACT };

static inline cop_started act_try(cop_ctx *ctx, const char *script, const cop_start_opts *opts) {
    cop_term arg = cop_tuple(ctx, T(ctx, script), cop_self(ctx));
    return cop_gen_stage_start(ctx, &act_stage, arg, opts);
}

/* Starts one, which must succeed. */
static inline cop_pid act(cop_ctx *ctx, const char *script) {
    cop_started started = act_try(ctx, script, NULL);
    if (started.is != COP_STARTED)
        FAIL("%s: %s", script, show(cop_started_to_term(ctx, started)));
    return started.pid;
}

/* Ends what a failed or finished test might leave running. */
static inline void act_end(cop_ctx *ctx, cop_pid pid) {
    cop_process_exit(ctx, pid, cop_a(kill));
    test_await_down(ctx, pid);
}

/* The process of that monitor has ended, with such a reason. */
static inline void ended(cop_ctx *ctx, cop_ref monitor, const char *reason) {
    cop_term down = ASSERT_RECEIVE(ctx, P("{:DOWN, %s, _, _, _}", S(monitor)));
    EXPECT_TERM(ctx, cop_elem(down, 4), reason);
}

static inline cop_term subscribe(cop_ctx *ctx, cop_pid consumer, cop_pid producer,
                                 const char *opts) {
    cop_subscribe_opts o = { .terms = T(ctx, opts) };
    cop_term got = cop_gen_stage_sync_subscribe(ctx, consumer, producer, &o, 0), tag = COP_NONE;
    if (!cop_match_tuple(got, cop_a(ok), &tag))
        EXPECT_TERM(ctx, got, "{:ok, _}");
    return tag;
}

static inline void emit(cop_ctx *ctx, cop_pid stage, const char *list) {
    EXPECT_TERM(ctx, cop_gen_stage_call(ctx, stage, cop_tuple(ctx, cop_a(emit), T(ctx, list)), 0),
                "{:emit, _}");
}

/* What a consumer would send to a producer, and a producer to a consumer, from this process. */
static inline void to_producer(cop_ctx *ctx, cop_pid stage, cop_term tag, const char *what) {
    cop_send(
        ctx, stage,
        cop_tuple(ctx, cop_as("$gen_producer"), cop_tuple(ctx, cop_self(ctx), tag), T(ctx, what)));
}

static inline void to_consumer(cop_ctx *ctx, cop_pid stage, cop_term tag, const char *what) {
    cop_send(
        ctx, stage,
        cop_tuple(ctx, cop_as("$gen_consumer"), cop_tuple(ctx, cop_self(ctx), tag), T(ctx, what)));
}

/* A log event of that level, format and arguments came; args as a pattern. */
static inline void log_is(cop_ctx *ctx, const char *level, const char *format, const char *args) {
    cop_term log = ASSERT_RECEIVE(ctx, P("{:log, :%s, {:format, _, _}, _}", level));
    EXPECT_SAME(ctx, cop_elem(cop_elem(log, 2), 1), cop_charlist(ctx, format));
    EXPECT_TERM(ctx, cop_elem(cop_elem(log, 2), 2), args);
}

/* Both sides have handled all that was sent to them so far. */
static inline void settle(cop_ctx *ctx, cop_pid stage) { cop_sys_get_state(ctx, stage, 0); }

/* The list first, first + 1, ..., first + n - 1 times `times` as text. */
static inline const char *numbers(int first, int n, int times) {
    static char text[2][16384];
    static unsigned at;
    char *to = text[at++ % 2];
    size_t used = 0;
    for (int i = 0; i < n; i++)
        used += (size_t)snprintf(to + used, sizeof text[0] - used, "%s%d", i == 0 ? "" : ", ",
                                 (first + i) * times);
    return to;
}

/* The stage with that id got exactly these numbers as its next batch. */
static inline void batch(cop_ctx *ctx, const char *id, int first, int n, int times) {
    static char pattern[16500];
    cop_term message = ASSERT_RECEIVE(ctx, P("{:%s, :events, _}", id));
    snprintf(pattern, sizeof pattern, "[%s]", numbers(first, n, times));
    EXPECT_TERM(ctx, cop_elem(message, 2), pattern);
}

#endif
