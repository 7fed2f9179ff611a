/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COPPICE_GEN_STAGE_H
#define COPPICE_GEN_STAGE_H

#include <coppice/child_spec.h>
#include <coppice/dispatcher.h>
#include <coppice/events.h>

/*
 * GenStage: servers that exchange batches of events. A consumer asks, a producer never sends more than was
 * asked for. A stage is a gen_server: it starts, is named, called, looked at by sys and ends as one. The
 * messages between stages are GenStage's own, so that either end may be a stage of an Elixir node.
 *
 *     static cop_stage_next numbers(cop_ctx *ctx, void *state, int64_t demand) {
 *         int64_t *next = state;
 *         cop_events events;
 *         cop_term *at = cop_events_new(ctx, (size_t)demand, &events);
 *         for (int64_t i = 0; i < demand; i++)
 *             at[i] = cop_of(ctx, (*next)++);
 *         return cop_stage_emit(events);
 *     }
 *
 * A stage, in all functions here, is a cop_pid, a cop_atom, or a cop_term that is one of those, {:global,
 * name}, {:via, module, name} or {name, node}. A subscription is known by the pair {pid, tag}, a cop_from:
 * in a consumer's callbacks pid is the producer, in a producer's the consumer; tag is the reference with
 * which the consumer monitors the producer.
 */

/* ---- what callbacks return ------------------------------------------------------------------------ */

enum cop__stage_is {
    COP__STAGE_NOREPLY,
    COP__STAGE_REPLY,
    COP__STAGE_STOP,
    COP__STAGE_STOP_REPLY,
    COP__STAGE_TERM,
};

/* What a handler returns; made by the functions below. A zeroed one is {:noreply, [], state}. */
typedef struct cop_stage_next {
    uint8_t is;
    bool hibernate;
    cop_events events; /* of a producer or producer-consumer: to be dispatched */
    cop_term reply;
    cop_term reason;
} cop_stage_next;

/* {:noreply, [], state} */
static inline cop_stage_next cop_stage_noreply(void) { return (cop_stage_next){ 0 }; }
/* {:noreply, events, state}. The events are dispatched before anything else happens. */
static inline cop_stage_next cop_stage_emit(cop_events events) {
    return (cop_stage_next){ .events = events };
}
/* {:reply, x, events, state}; x is anything cop_of takes. The reply is sent after the events. */
#define cop_stage_reply(ctx, x, some)                                                   \
    ({                                                                                  \
        cop_ctx *cop__gs = (ctx);                                                       \
        cop_term cop__gx = cop_of(cop__gs, x);                                          \
        (cop_stage_next){ .is = COP__STAGE_REPLY, .events = (some), .reply = cop__gx }; \
    })
/* {:stop, reason, state} */
#define cop_stage_stop(why) ((cop_stage_next){ .is = COP__STAGE_STOP, .reason = COP_TERM(why) })
/* {:stop, reason, x, state}, in handle_call */
#define cop_stage_stop_reply(ctx, why, x)              \
    ({                                                 \
        cop_ctx *cop__gs = (ctx);                      \
        cop_term cop__gx = cop_of(cop__gs, x);         \
        (cop_stage_next){ .is = COP__STAGE_STOP_REPLY, \
                          .reply = cop__gx,            \
                          .reason = COP_TERM(why) };   \
    })
/* The same, and the process hibernates after it. */
static inline cop_stage_next cop_stage_hibernate(cop_stage_next next) {
    next.hibernate = true;
    return next;
}
/* A return in Elixir's form, {:noreply, [1, 2], state}, with a state as state_from_term takes it. What is
   none ends the stage with {:bad_return_value, term}. */
static inline cop_stage_next cop_stage_return(cop_term term) {
    return (cop_stage_next){ .is = COP__STAGE_TERM, .reason = term };
}

/* What handle_subscribe returns. A zeroed one is {:automatic, state}. */
typedef struct cop_stage_subscribed {
    enum {
        COP__STAGE_AUTOMATIC,
        COP__STAGE_MANUAL,
        COP__STAGE_SUBSCRIBE_STOP,
        COP__STAGE_SUBSCRIBE_TERM
    } is;
    cop_term reason;
} cop_stage_subscribed;
/* Demand is sent by the stage, by max_demand and min_demand. */
static inline cop_stage_subscribed cop_stage_automatic(void) { return (cop_stage_subscribed){ 0 }; }
/* Demand is sent by the program, with cop_gen_stage_ask. On the consumer's side only. */
static inline cop_stage_subscribed cop_stage_manual(void) {
    return (cop_stage_subscribed){ .is = COP__STAGE_MANUAL };
}
/* {:stop, reason, state} */
#define cop_stage_subscribe_stop(why) \
    ((cop_stage_subscribed){ .is = COP__STAGE_SUBSCRIBE_STOP, .reason = COP_TERM(why) })
/* A return in Elixir's form, as cop_stage_return. */
static inline cop_stage_subscribed cop_stage_subscribe_return(cop_term term) {
    return (cop_stage_subscribed){ .is = COP__STAGE_SUBSCRIBE_TERM, .reason = term };
}

/* ---- what init returns ------------------------------------------------------------------------------ */

typedef enum cop_stage_kind { COP_PRODUCER, COP_CONSUMER, COP_PRODUCER_CONSUMER } cop_stage_kind;
typedef enum cop_stage_demand { COP_DEMAND_FORWARD, COP_DEMAND_ACCUMULATE } cop_stage_demand;
typedef enum cop_stage_keep { COP_KEEP_LAST, COP_KEEP_FIRST } cop_stage_keep;

/*
 * Options of a stage. One that its kind does not have is an error: start returns {:bad_opts, text}.
 *   demand          producer: COP_DEMAND_ACCUMULATE keeps demand and events until
 *                   cop_gen_stage_set_demand says COP_DEMAND_FORWARD
 *   buffer_size     events that wait for demand; 0 = 10000 for a producer, COP_INFINITY for a
 *                   producer-consumer; COP_ZERO drops all that nobody has asked for
 *   buffer_keep     which ones are dropped when more would wait: the oldest (COP_KEEP_LAST), or those that
 *                   come (COP_KEEP_FIRST)
 *   dispatcher      NULL = &cop_demand_dispatcher
 *   dispatcher_opts its options, a keyword list; COP_NONE = []
 *   subscribe_to    consumer, producer-consumer: a list of stages and {stage, options}, as
 *                   cop_subscription makes them; COP_NONE = []
 *   terms           more options, as a keyword list in Elixir's form, for such that come from outside
 *   stall_ms        beyond Elixir: when events have waited so long for demand and none has moved, a warning
 *                   says so, once until they move again; 0 = none does
 */
typedef struct cop_stage_opts {
    cop_stage_demand demand;
    int64_t buffer_size;
    cop_stage_keep buffer_keep;
    const cop_dispatcher *dispatcher;
    cop_term dispatcher_opts;
    cop_term subscribe_to;
    cop_term terms;
    int64_t stall_ms;
} cop_stage_opts;

typedef struct cop_stage_init {
    enum {
        COP__STAGE_INIT_NONE,
        COP__STAGE_INIT_OK,
        COP__STAGE_INIT_IGNORE,
        COP__STAGE_INIT_STOP,
        COP__STAGE_INIT_TERM
    } is;
    cop_stage_kind kind;
    cop_stage_opts opts;
    cop_term reason;
} cop_stage_init;

/* Options follow as designated initialisers:
       return cop_stage_producer(.demand = COP_DEMAND_ACCUMULATE, .buffer_size = 100);
   Elixir: {:producer, state, options} and so on. */
#define cop_stage_producer(...) \
    ((cop_stage_init){          \
        .is = COP__STAGE_INIT_OK, .kind = COP_PRODUCER, .opts = (cop_stage_opts){ __VA_ARGS__ } })
#define cop_stage_consumer(...) \
    ((cop_stage_init){          \
        .is = COP__STAGE_INIT_OK, .kind = COP_CONSUMER, .opts = (cop_stage_opts){ __VA_ARGS__ } })
#define cop_stage_producer_consumer(...)              \
    ((cop_stage_init){ .is = COP__STAGE_INIT_OK,      \
                       .kind = COP_PRODUCER_CONSUMER, \
                       .opts = (cop_stage_opts){ __VA_ARGS__ } })
static inline cop_stage_init cop_stage_init_ignore(void) {
    return (cop_stage_init){ .is = COP__STAGE_INIT_IGNORE };
}
#define cop_stage_init_stop(why) \
    ((cop_stage_init){ .is = COP__STAGE_INIT_STOP, .reason = COP_TERM(why) })
/* A return in Elixir's form, {:producer, state, [buffer_size: 5]}. */
static inline cop_stage_init cop_stage_init_return(cop_term term) {
    return (cop_stage_init){ .is = COP__STAGE_INIT_TERM, .reason = term };
}

/* ---- the table ---------------------------------------------------------------------------------------- */

/*
 * The table of a stage; it lives as long as the program. NULL is Elixir's default for each callback.
 *   name, state_size, state_terms, terminate, state_to_term, state_from_term, code_change, redact,
 *   report_max_words, status_more   as of a gen_server (coppice/gen_server.h)
 *   init               required; the state is zeroed
 *   handle_demand      producer: so many more events are asked for; > 0. NULL: ends it with :undef
 *   handle_events      consumer, producer-consumer: a batch from one subscription; `from` is {producer,
 *                      tag}. NULL: ends it with :undef
 *   handle_subscribe   a consumer subscribes here (other = COP_CONSUMER), or this stage to a producer
 *                      (COP_PRODUCER); opts are all of the subscription's options but :to. NULL: automatic
 *   handle_cancel      a subscription is over: why is {:cancel, reason} or {:down, reason}. NULL: goes on
 *   handle_call, handle_cast   NULL: a call or a cast ends it with :undef
 *   handle_info        NULL: logs a warning and goes on
 *   format_discarded   producer, producer-consumer: so many events were dropped from the buffer; true, as
 *                      when it is NULL: log a warning
 *   format_status      given %{state: ..., ...} as a gen_server's, where state is the whole %GenStage{}
 * A consumer must return no events. What a handler built, events too, lives until its return has been
 * carried out.
 */
typedef struct cop_gen_stage {
    const char *name;
    size_t state_size;
    size_t state_terms;
    cop_stage_init (*init)(cop_ctx *ctx, void *state, cop_term arg);
    cop_stage_next (*handle_demand)(cop_ctx *ctx, void *state, int64_t demand);
    cop_stage_next (*handle_events)(cop_ctx *ctx, void *state, cop_events events, cop_from from);
    cop_stage_subscribed (*handle_subscribe)(cop_ctx *ctx, void *state, cop_stage_kind other,
                                             cop_term opts, cop_from from);
    cop_stage_next (*handle_cancel)(cop_ctx *ctx, void *state, cop_term why, cop_from from);
    cop_stage_next (*handle_call)(cop_ctx *ctx, void *state, cop_term request, cop_from from);
    cop_stage_next (*handle_cast)(cop_ctx *ctx, void *state, cop_term request);
    cop_stage_next (*handle_info)(cop_ctx *ctx, void *state, cop_term message);
    bool (*format_discarded)(cop_ctx *ctx, void *state, size_t count);
    void (*terminate)(cop_ctx *ctx, void *state, cop_term reason);
    cop_term (*state_to_term)(cop_ctx *ctx, const void *state);
    bool (*state_from_term)(cop_ctx *ctx, void *state, cop_term term);
    cop_term (*code_change)(cop_ctx *ctx, void *state, cop_term old_vsn, cop_term extra);
    cop_term (*format_status)(cop_ctx *ctx, cop_term status);
    cop_term (*redact)(cop_ctx *ctx, cop_atom what, cop_term term);
    size_t report_max_words;
    cop_term (*status_more)(cop_ctx *ctx, const void *state);
} cop_gen_stage;

/* ---- starting and talking -------------------------------------------------------------------------------- */

/*
 * Starts a stage and waits for its init, and for the subscriptions that init asks for.
 *
 * Elixir:  GenStage.start_link/3, start/3
 * Returns: as of a gen_server; also COP_ERROR with {:bad_opts, text}, or :noproc for a stage in
 *          subscribe_to that is not there
 */
cop_started cop_gen_stage_start_link(cop_ctx *ctx, const cop_gen_stage *module, cop_term arg,
                                     const cop_start_opts *opts);
cop_started cop_gen_stage_start(cop_ctx *ctx, const cop_gen_stage *module, cop_term arg,
                                const cop_start_opts *opts);
void cop__gen_stage_stop(cop_ctx *ctx, cop_term stage, cop_term reason, int64_t timeout_ms);
/*
 * Stops a stage in order and waits for its end. Events in its buffers are lost; see cop_gen_stage_drain.
 *
 * Elixir:  GenStage.stop/3
 * Timeout: ms; 0 = COP_INFINITY
 * Exits:   :noproc, :timeout, or the reason it ended with, if that is another one; the bare reason
 */
#define cop_gen_stage_stop(ctx, stage, reason, timeout_ms) \
    cop__gen_stage_stop((ctx), COP_TERM(stage), COP_TERM(reason), (timeout_ms))
/* As of a gen_server. Elixir: GenStage.call/3, cast/2. */
#define cop_gen_stage_call(ctx, stage, request, timeout_ms) \
    cop_gen_server_call(ctx, stage, request, timeout_ms)
#define cop_gen_stage_cast(ctx, stage, request) cop_gen_server_cast(ctx, stage, request)
void cop__gen_stage_reply(cop_ctx *ctx, cop_term from, cop_term reply);
/* Answers a call from anywhere: sends {tag, reply} to the pid in `from`. So an answer to a call that was
   given up comes as a message, as in Elixir. Elixir: GenStage.reply/2. */
#define cop_gen_stage_reply(ctx, from, reply)                                  \
    ({                                                                         \
        cop_ctx *cop__gs = (ctx);                                              \
        cop__gen_stage_reply(cop__gs, COP_TERM(from), cop_of(cop__gs, reply)); \
    })

/* ---- subscribing ----------------------------------------------------------------------------------------- */

/* What a subscription's end means for the consumer: it stops with the reason always; unless the reason is
   :normal, :shutdown or {:shutdown, _}; never. */
typedef enum cop_stage_cancel {
    COP_CANCEL_PERMANENT,
    COP_CANCEL_TRANSIENT,
    COP_CANCEL_TEMPORARY
} cop_stage_cancel;

/*
 * Options of a subscription; NULL or zeroed is the default of each.
 *   max_demand  events that may be on their way; 0 = 1000
 *   min_demand  more are asked for when no more than that are; 0 = max_demand / 2, COP_ZERO = 0
 *   cancel      see above
 *   terms       more options, a keyword list: partition, selector and others for the producer's
 *               dispatcher, and whatever handle_subscribe is to see on both sides
 */
typedef struct cop_subscribe_opts {
    int64_t max_demand;
    int64_t min_demand;
    cop_stage_cancel cancel;
    cop_term terms;
} cop_subscribe_opts;

cop_term cop__subscription(cop_ctx *ctx, cop_term to, const cop_subscribe_opts *opts);
/* {to, options}, for .subscribe_to and cop_gen_stage_stream. */
#define cop_subscription(ctx, to, opts) cop__subscription((ctx), COP_TERM(to), (opts))

cop_term cop__gen_stage_sync_subscribe(cop_ctx *ctx, cop_term consumer, cop_term to,
                                       const cop_subscribe_opts *opts, int64_t timeout_ms);
void cop__gen_stage_async_subscribe(cop_ctx *ctx, cop_term consumer, cop_term to,
                                    const cop_subscribe_opts *opts);
/*
 * Makes a consumer subscribe to a producer.
 *
 * Elixir:  GenStage.sync_subscribe/3, async_subscribe/2
 * Timeout: as of a call
 * Returns: {:ok, tag}, when the consumer's handle_subscribe has run; {:error, :not_a_consumer};
 *          {:error, {:bad_opts, text}}
 * Errors:  raises an ArgumentError when `to` is COP_NONE; exits as a call does
 */
#define cop_gen_stage_sync_subscribe(ctx, consumer, to, opts, timeout_ms) \
    cop__gen_stage_sync_subscribe((ctx), COP_TERM(consumer), COP_TERM(to), (opts), (timeout_ms))
#define cop_gen_stage_async_subscribe(ctx, consumer, to, opts) \
    cop__gen_stage_async_subscribe((ctx), COP_TERM(consumer), COP_TERM(to), (opts))

/* The subscription that is to go, and the reason it is cancelled with. */
typedef struct cop_resubscribe {
    cop_term tag;
    cop_term reason;
} cop_resubscribe;
cop_term cop__gen_stage_sync_resubscribe(cop_ctx *ctx, cop_term consumer, cop_resubscribe old,
                                         cop_term to, const cop_subscribe_opts *opts,
                                         int64_t timeout_ms);
void cop__gen_stage_async_resubscribe(cop_ctx *ctx, cop_term consumer, cop_resubscribe old,
                                      cop_term to, const cop_subscribe_opts *opts);
/*
 * Subscribes anew and cancels an old subscription, in one step for the producer. When the old one was
 * permanent the consumer stops with the reason.
 *
 * Elixir:  GenStage.sync_resubscribe/5, async_resubscribe/4
 */
#define cop_gen_stage_sync_resubscribe(ctx, consumer, old_tag, why, to, opts, timeout_ms)     \
    cop__gen_stage_sync_resubscribe(                                                          \
        (ctx), COP_TERM(consumer),                                                            \
        (cop_resubscribe){ .tag = COP_TERM(old_tag), .reason = COP_TERM(why) }, COP_TERM(to), \
        (opts), (timeout_ms))
#define cop_gen_stage_async_resubscribe(ctx, consumer, old_tag, why, to, opts)                \
    cop__gen_stage_async_resubscribe(                                                         \
        (ctx), COP_TERM(consumer),                                                            \
        (cop_resubscribe){ .tag = COP_TERM(old_tag), .reason = COP_TERM(why) }, COP_TERM(to), \
        (opts))

cop_term cop__gen_stage_ask(cop_ctx *ctx, cop_term from, int64_t n, int flags);
cop_term cop__gen_stage_cancel(cop_ctx *ctx, cop_term from, cop_term reason, int flags);
/*
 * Asks the producer of a subscription for n more events. For subscriptions with manual demand.
 *
 * Elixir:  GenStage.ask/3
 * From:    {producer, tag}, as handle_subscribe was given it
 * Flags:   of cop_process_send
 * Returns: :ok; :noconnect or :nosuspend as flags say. With n = 0 nothing is sent
 * Errors:  a FunctionClauseError for a negative n, or one above 2^48
 */
#define cop_gen_stage_ask(ctx, from, n, flags) \
    cop__gen_stage_ask((ctx), COP_TERM(from), (n), (flags))
/* Cancels a subscription at its producer, which tells the consumer. Elixir: GenStage.cancel/3. */
#define cop_gen_stage_cancel(ctx, from, reason, flags) \
    cop__gen_stage_cancel((ctx), COP_TERM(from), COP_TERM(reason), (flags))

/* ---- of a producer ------------------------------------------------------------------------------------------ */

cop_atom cop__gen_stage_demand(cop_ctx *ctx, cop_term stage);
void cop__gen_stage_set_demand(cop_ctx *ctx, cop_term stage, cop_stage_demand mode);
/* :forward or :accumulate. Elixir: GenStage.demand/1. */
#define cop_gen_stage_demand(ctx, stage) cop__gen_stage_demand((ctx), COP_TERM(stage))
/* Sets it, without waiting. Going forward, what was kept is replayed in order. Elixir: GenStage.demand/2. */
#define cop_gen_stage_set_demand(ctx, stage, mode) \
    cop__gen_stage_set_demand((ctx), COP_TERM(stage), (mode))
void cop__gen_stage_sync_info(cop_ctx *ctx, cop_term stage, cop_term message, int64_t timeout_ms);
void cop__gen_stage_async_info(cop_ctx *ctx, cop_term stage, cop_term message);
/* A message for handle_info that comes after all events that are buffered now were sent; sync returns when
   it stands there. Elixir: GenStage.sync_info/3, async_info/2. */
#define cop_gen_stage_sync_info(ctx, stage, message, timeout_ms)                     \
    ({                                                                               \
        cop_ctx *cop__gs = (ctx);                                                    \
        cop__gen_stage_sync_info(cop__gs, COP_TERM(stage), cop_of(cop__gs, message), \
                                 (timeout_ms));                                      \
    })
#define cop_gen_stage_async_info(ctx, stage, message)                                  \
    ({                                                                                 \
        cop_ctx *cop__gs = (ctx);                                                      \
        cop__gen_stage_async_info(cop__gs, COP_TERM(stage), cop_of(cop__gs, message)); \
    })
int64_t cop__gen_stage_estimate_buffered_count(cop_ctx *ctx, cop_term stage, int64_t timeout_ms);
/* How many events wait in its buffer. Elixir: GenStage.estimate_buffered_count/2. */
#define cop_gen_stage_estimate_buffered_count(ctx, stage, timeout_ms) \
    cop__gen_stage_estimate_buffered_count((ctx), COP_TERM(stage), (timeout_ms))

/* ---- enumerables ---------------------------------------------------------------------------------------------- */

/*
 * Options of cop_gen_stage_from_enumerable; NULL or zeroed is the default of each.
 *   no_link         the producer is not linked to the caller
 *   stop_on_cancel  it stops with :normal when its last subscription is over (on_cancel: :stop)
 *   demand, dispatcher, dispatcher_opts   as of init
 *   start           name and other start options
 */
typedef struct cop_from_enumerable_opts {
    bool no_link;
    bool stop_on_cancel;
    cop_stage_demand demand;
    const cop_dispatcher *dispatcher;
    cop_term dispatcher_opts;
    cop_start_opts start;
} cop_from_enumerable_opts;

cop_started cop__gen_stage_from_enumerable(cop_ctx *ctx, cop_term enumerable,
                                           const cop_from_enumerable_opts *opts);
/*
 * Starts a producer of an enumerable's elements (coppice/enum.h). It takes as many as are asked for, and
 * may wait for them. When there are no more it stops with :normal, once those that wait for demand are
 * gone: so a consumer of it is usually transient.
 *
 * Elixir:  GenStage.from_enumerable/2
 * Errors:  in the producer: it ends with what the enumerable raises
 */
#define cop_gen_stage_from_enumerable(ctx, enumerable, opts) \
    cop__gen_stage_from_enumerable((ctx), COP_TERM(enumerable), (opts))

/*
 * Options of cop_gen_stage_stream.
 *   demand     what the producers' demand mode is set to when all are subscribed
 *   producers  whose; a list of stages. COP_NONE: those of the subscriptions; to be given when one of these
 *              is a producer-consumer
 */
typedef struct cop_stage_stream_opts {
    cop_stage_demand demand;
    cop_term producers;
} cop_stage_stream_opts;
/*
 * An enumerable of what producers emit. Whoever walks along it is their consumer, with automatic demand.
 *
 * Elixir:        GenStage.stream/2
 * Subscriptions: a list of stages and {stage, options}, as cop_subscription makes them
 * Returns:       the stream. Its end is that of all subscriptions; the walk exits with {reason, {GenStage,
 *                :close_stream, [_]}} when one ends as its mode cancel does not allow, with {:noproc,
 *                {GenStage, :init_stream, [subscriptions]}} when a producer is not there. An early end of
 *                the walk cancels all and leaves no message behind
 * Errors:        an ArgumentError for what is no list, and for bad options
 */
cop_term cop_gen_stage_stream(cop_ctx *ctx, cop_term subscriptions,
                              const cop_stage_stream_opts *opts);

/* ---- beyond Elixir ----------------------------------------------------------------------------------------- */

/* all: everything was delivered. Else undelivered are the events that were still buffered, unhandled those
   that had come and were not handled, both as lists. */
typedef struct cop_drained {
    bool all;
    cop_term undelivered;
    cop_term unhandled;
} cop_drained;
cop_drained cop__gen_stage_drain(cop_ctx *ctx, cop_term stage, int64_t timeout_ms);
/*
 * Stops a stage without losing what it has. It cancels its own subscriptions, with {:shutdown, :drains}, and
 * handles what was on its way; it calls handle_demand no more and takes no new consumers, but serves those
 * that it has from its buffer. When nothing is left, or after timeout_ms, it stops with :normal. Of a chain
 * the first stage is to be drained first, and then each that is behind it, with transient subscriptions.
 *
 * Timeout: ms; 0 = 5000, COP_INFINITY
 * Exits:   as a call does; with :timeout when the stage does not answer within a second after that, being
 *          in a callback
 */
#define cop_gen_stage_drain(ctx, stage, timeout_ms) \
    cop__gen_stage_drain((ctx), COP_TERM(stage), (timeout_ms))

cop_term cop__gen_stage_counters(cop_ctx *ctx, cop_term stage, int64_t timeout_ms);
/*
 * What a stage has done since it started.
 *
 * Returns: %{kind: kind, producers: [...], consumers: [...]}; of a stage that sends events also dispatched
 *          (events that its dispatcher took), buffered, dropped, and of a producer-consumer demand (that is
 *          open) and waiting (lists that were not handled). Each producer is %{pid, tag, cancel, events,
 *          batches}, and %{open, min_demand, max_demand} if its demand is automatic; each consumer is
 *          %{pid, tag, asked}
 */
#define cop_gen_stage_counters(ctx, stage, timeout_ms) \
    cop__gen_stage_counters((ctx), COP_TERM(stage), (timeout_ms))

/*
 * Options of a rate limiter.
 *   events           it lets through so many in each interval; at least 1
 *   interval_ms      at least 1
 *   subscribe_to, dispatcher, dispatcher_opts, stall_ms   as of init
 *   no_link          it is not linked to the caller
 *   start            name and other start options
 */
typedef struct cop_rate_limiter_opts {
    int64_t events;
    int64_t interval_ms;
    cop_term subscribe_to;
    const cop_dispatcher *dispatcher;
    cop_term dispatcher_opts;
    int64_t stall_ms;
    bool no_link;
    cop_start_opts start;
} cop_rate_limiter_opts;
/*
 * Starts a producer-consumer that passes events on, at most so many in each interval, whatever is asked for.
 * What it may let through it asks its producers for in equal parts; what was not used up is not saved.
 *
 * Errors: COP_ERROR with {:bad_opts, text}
 */
cop_started cop_gen_stage_rate_limiter(cop_ctx *ctx, const cop_rate_limiter_opts *opts);

#endif
