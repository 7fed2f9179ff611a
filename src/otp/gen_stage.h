/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__OTP_GEN_STAGE_H
#define COP__OTP_GEN_STAGE_H

#include <coppice/gen_stage.h>

#include "sup.h"

/*
 * What the files of gen_stage share. A stage is a gen_server whose state is
 *
 *     | struct stage_terms | the user's state: terms, then plain | struct stage |
 *
 * so that all terms lie together. Its queues and the dispatcher's state are a block of their own, kept by
 * range 1.
 */

/* ---- subscriptions (gen_stage_subs.c) ------------------------------------------------------------- */

/* One subscription, on either side. What a producer needs of it, and what a consumer, is never both. */
struct stage_sub {
    cop_term pid, tag; /* immediates; COP_NONE: see saved_ */
    cop_saved *saved_pid, *saved_tag;
    uint64_t key;     /* of the tag */
    cop_term monitor; /* of the other stage; a consumer's is the tag */
    /* a consumer's */
    int64_t max, min, open; /* open: events that were asked for and have not come */
    uint8_t cancel;         /* cop_stage_cancel */
    bool manual;
    bool in_use;
    uint32_t next_free;
    int64_t events, batches; /* a consumer's: that came */
    int64_t asked;           /* by the consumer */
};

struct stage_subs {
    struct stage_sub *at;
    uint32_t count, used, cap, free;
    struct sup_table by_tag, by_monitor;
};
enum { STAGE_NO_SUB = UINT32_MAX };

/* The subscription with that tag or with that monitor, or STAGE_NO_SUB. The usual stage has one. */
uint32_t stage_sub_search(const struct stage_subs *subs, cop_term tag);
static inline uint32_t stage_sub_find(const struct stage_subs *subs, cop_term tag) {
    if (subs->used != 0 && subs->at[0].tag.w == tag.w)
        return 0;
    return stage_sub_search(subs, tag);
}
uint32_t stage_sub_find_monitor(const struct stage_subs *subs, cop_term monitor);
/* Pointers to others are void after it. */
struct stage_sub *stage_sub_add(cop_ctx *ctx, struct stage_subs *subs, cop_term pid, cop_term tag,
                                cop_term monitor);
void stage_sub_remove(struct stage_subs *subs, uint32_t i);
cop_term stage_sub_pid(cop_ctx *ctx, const struct stage_sub *sub);
cop_term stage_sub_tag(cop_ctx *ctx, const struct stage_sub *sub);
void stage_subs_release(struct stage_subs *subs);
/* {pid, tag} */
cop_from stage_sub_from(cop_ctx *ctx, const struct stage_sub *sub);
/* The first in use at or behind i, or STAGE_NO_SUB. */
uint32_t stage_sub_next(const struct stage_subs *subs, uint32_t i);

/* ---- a stage -------------------------------------------------------------------------------------------- */

struct stage_terms {
    cop_term plain;  /* a small integer: bytes from here to struct stage */
    cop_term unused; /* so that the user's state begins at 16 bytes */
};
enum { STAGE_TERMS = 2 };

/* What waits in a stage that sends events. All words are terms; they are kept alive while any is in use, so
   that the usual stage, in which nothing waits, costs the collector nothing. */
struct stage_queues {
    cop_term marker;   /* {position, message}: the oldest info that waits behind an event */
    cop_queue markers; /* the younger ones */
    cop_queue buffer;  /* events that wait for demand */
    cop_queue in; /* a producer-consumer: what it has not handled. An accumulating producer: demands
                          and events that it holds back */
};
enum { STAGE_QUEUE_TERMS = 1 + 3 * COP_QUEUE_TERMS };

/* Malloc'ed, owned by the process. */
struct stage_tables {
    struct stage_subs producers, consumers;
};

struct stage {
    const cop_gen_stage *module;
    void *user;
    struct stage_tables *tables;
    const cop_dispatcher *dispatcher; /* NULL: a consumer; it has no queues either */
    struct stage_queues *q;           /* the dispatcher's state follows them in the same block */
    void *dispatcher_state;
    int64_t capacity; /* of the buffer; INT64_MAX: no limit */
    int64_t pushed;   /* events that ever entered the buffer; a marker's position counts them */
    int64_t left;     /* events that ever left it */
    int64_t owed;     /* producer: events that it was asked for and has not made */
    int64_t k;        /* producer-consumer: demand that is not served */
    int64_t dispatched, dropped; /* events: given to the dispatcher and taken by it; not buffered */
    int64_t handled;             /* entries taken out of `in` */
    int64_t stall_ms;            /* 0: nobody wants to know */
    int64_t stall_mark;          /* how far the stage was when the stall's timer started */
    uint8_t kind;                /* cop_stage_kind */
    uint8_t keep;                /* cop_stage_keep */
    bool accumulates;
    bool stall_timed, stall_told;
    uint8_t drains;   /* enum stage_drains */
    bool queues_kept; /* range 1 begins with the queues, not with the dispatcher's state */
};

static inline struct stage *stage_of(const void *state) {
    const struct stage_terms *t = state;
    return (struct stage *)((uintptr_t)state + (uintptr_t)(t->plain.w >> 4));
}

static inline bool stage_stops(cop_next next) {
    return next.is == COP__STOP || next.is == COP__STOP_REPLY;
}

/* ---- gen_stage.c: callbacks ------------------------------------------------------------------------------- */

/* To be called when the queues may have changed, before the collector may run. */
void stage_keep_queues(cop_ctx *ctx, struct stage *st);
/* Carries out what a callback returned: dispatches its events, and says how the server goes on. */
cop_next stage_carry(cop_ctx *ctx, struct stage *st, cop_stage_next next);
cop_next stage_call_events(cop_ctx *ctx, struct stage *st, cop_events events, cop_from from);
cop_next stage_call_cancel(cop_ctx *ctx, struct stage *st, cop_term why, cop_from from);
/* True: goes on, and *manual is what it wants. False: *next is the stop. */
bool stage_call_subscribe(cop_ctx *ctx, struct stage *st, cop_stage_kind other, cop_term opts,
                          cop_from from, bool *manual, cop_next *next);
/* Ends as a call of a function that the module has not: {:undef, [{Module, function, args, []}]}. */
_Noreturn void stage_undefined(cop_ctx *ctx, const struct stage *st, cop_atom function,
                               cop_term args);
cop_term stage_user_term(cop_ctx *ctx, const struct stage *st);
bool stage_user_from_term(cop_ctx *ctx, struct stage *st, cop_term term);
/* A message that is none of the stages'. */
cop_next stage_info(cop_ctx *ctx, struct stage *st, cop_term message);

/* ---- gen_stage_consumer.c ---------------------------------------------------------------------------------- */

/* current: nil or {tag, reason}. *reply is what a caller is answered. */
cop_next stage_subscribe(cop_ctx *ctx, struct stage *st, cop_term current, cop_term to,
                         cop_term opts, cop_term *reply);
/* All of the list in subscribe_to. */
cop_next stage_subscribe_all(cop_ctx *ctx, struct stage *st, cop_term list);
/* A message {:"$gen_consumer", from, what}. */
cop_next stage_consumer_message(cop_ctx *ctx, struct stage *st, cop_term message, cop_term from,
                                cop_term what);
/* The subscription to a producer is over; kind is :cancel or :down. */
cop_next stage_producer_gone(cop_ctx *ctx, struct stage *st, uint32_t i, cop_atom kind,
                             cop_term reason);
/* A producer-consumer handles what it has while there is demand. */
cop_next stage_drain(cop_ctx *ctx, struct stage *st);

/* How a list is cut: `old` of what was open before it is left, and `now` will be open after it. */
struct stage_cut {
    int64_t old, now;
};
/* The next chunk: its size; how much is asked for after it; how much of it nobody asked for. */
int64_t stage_next_chunk(const struct stage_sub *sub, struct stage_cut *cut, int64_t left,
                         int64_t *ask, int64_t *excess);
/* Cuts without handling anything: what is open afterwards. Logs what came in excess. */
int64_t stage_open_after(cop_ctx *ctx, const struct stage_sub *sub, int64_t count, cop_term from);

/* ---- gen_stage_producer.c ----------------------------------------------------------------------------------- */

/* A message {:"$gen_producer", from, what}. */
cop_next stage_producer_message(cop_ctx *ctx, struct stage *st, cop_term message, cop_term from,
                                cop_term what);
cop_next stage_consumer_gone(cop_ctx *ctx, struct stage *st, uint32_t i, cop_atom kind,
                             cop_term reason);
void stage_dispatch(cop_ctx *ctx, struct stage *st, cop_events events);
void stage_dispatch_info(cop_ctx *ctx, struct stage *st, cop_term message);
cop_next stage_set_demand(cop_ctx *ctx, struct stage *st, cop_term mode);
/* sync_info, async_info */
void stage_take_info(cop_ctx *ctx, struct stage *st, cop_term message);

/* ---- gen_stage_buffer.c --------------------------------------------------------------------------------------- */

bool stage_buffer_is_empty(const struct stage *st);
/* Events that nobody has asked for. */
void stage_buffer_store(cop_ctx *ctx, struct stage *st, cop_events events);
/* Dispatches at most so many events of it; returns how much demand is left. */
int64_t stage_buffer_take(cop_ctx *ctx, struct stage *st, int64_t demand);
/* Puts an info behind the last event. */
void stage_buffer_mark(cop_ctx *ctx, struct stage *st, cop_term message);
/* Events, and without a limit infos too, as Elixir counts them. */
int64_t stage_buffer_count(const struct stage *st);

/* ---- gen_stage_drain.c: draining, stalls, counters ----------------------------------------------------------- */

enum stage_drains { STAGE_NO_DRAIN, STAGE_DRAINS, STAGE_DRAIN_MARKED };
/* The call {:"$drain", ms}: answered when all is out, or after so long; the stage stops then. */
cop_next stage_drain_begin(cop_ctx *ctx, struct stage *st, cop_term from, int64_t ms);
/* After each message while it drains: is all out? */
cop_next stage_drain_look(cop_ctx *ctx, struct stage *st, cop_next next);
/* {:timeout, _, :"$drain" | :"$stall"}, or the mark that all events are out; false for another message. */
bool stage_watch_message(cop_ctx *ctx, struct stage *st, cop_term message, cop_next *next);
/* After each message, when stall_ms is set: something waits, or nothing does any more. */
void stage_watch_stall(cop_ctx *ctx, struct stage *st);
cop_term stage_counters(cop_ctx *ctx, const struct stage *st);

/* ---- gen_stage_opts.c ------------------------------------------------------------------------------------------ */

/* Options of init, checked; false: *why is {:bad_opts, text}. */
struct stage_config {
    const cop_dispatcher *dispatcher;
    cop_term dispatcher_opts, subscribe_to;
    int64_t buffer_size; /* INT64_MAX: no limit */
    uint8_t keep;
    bool accumulates;
};
bool stage_config_of(cop_ctx *ctx, cop_stage_kind kind, const cop_stage_opts *opts,
                     struct stage_config *out, cop_term *why);
/* Options of a subscription; COP_NONE when they are good, else a text. */
cop_term stage_check_subscription(cop_ctx *ctx, cop_term opts, struct stage_sub *out);
/* The keyword list of a struct. */
cop_term stage_subscription_terms(cop_ctx *ctx, const cop_subscribe_opts *opts);

/* ---- gen_stage_sys.c --------------------------------------------------------------------------------------------- */

cop_atom stage_kind_atom(uint8_t kind);
cop_atom stage_module_atom(const struct stage *st);
cop_term stage_state_to_term(cop_ctx *ctx, const void *state);
bool stage_state_from_term(cop_ctx *ctx, void *state, cop_term term);
cop_term stage_status_data(cop_ctx *ctx, const void *state, cop_term shown);
/* The name a stage is registered with, or its pid. */
cop_term stage_name(cop_ctx *ctx);
/* A log event; format has ~tp for each of args, which is a list. */
void stage_log(cop_ctx *ctx, cop_level level, const char *format, cop_term args);

/* Demands and batches are counted in 64 bits; one demand may be that much. */
#define STAGE_MAX_DEMAND (INT64_C(1) << 48)

#endif
