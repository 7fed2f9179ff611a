/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gen_stage: the buffer of a producer, events that nobody has asked for yet, with infos between them.
 *
 *     events  | e e e | e | e e e e e |      a cop_queue; `left` were there before, `pushed` come to its end
 *     markers         ^ 7             ^ 12   {position, message}: comes out when `left` has got there
 *
 * Where the buffer has a limit a marker belongs to the event before it: both leave together, and it is not
 * counted. Without a limit a marker is an entry of its own: it waits for demand as an event does, but uses
 * none up, and it is counted. Both is what GenStage does, and can be seen from outside.
 *
 * When more events come than there is room for, the oldest are dropped, or those that come, as buffer_keep
 * says; format_discarded has a say in whether that is logged.
 *
 * Invariants
 *   1. pushed - left is the number of events in the queue, and at most `capacity`.
 *   2. Positions of markers never fall. With a limit none is <= left between two calls.
 * Threads: the stage's own process.
 */
#include <string.h>

#include "gen_stage.h"

static int64_t events_in(const struct stage *st) { return st->pushed - st->left; }

static bool is_unlimited(const struct stage *st) { return st->capacity == INT64_MAX; }

static bool has_marker(const struct stage *st) { return !cop_is_none(st->q->marker); }

bool stage_buffer_is_empty(const struct stage *st) { return events_in(st) == 0 && !has_marker(st); }

int64_t stage_buffer_count(const struct stage *st) {
    int64_t count = events_in(st);
    if (is_unlimited(st) && has_marker(st))
        count += 1 + (int64_t)cop_queue_count(&st->q->markers);
    return count;
}

/* ---- infos ---------------------------------------------------------------------------------------------- */

static int64_t marker_position(const struct stage *st) {
    int64_t position = INT64_MAX;
    if (has_marker(st))
        cop_get_i64(cop_elem(st->q->marker, 0), &position);
    return position;
}

void stage_buffer_mark(cop_ctx *ctx, struct stage *st, cop_term message) {
    cop_term marker = cop_tuple(ctx, st->pushed, message);
    if (has_marker(st))
        cop_queue_push(ctx, &st->q->markers, cop_events_of(&marker, 1));
    else
        st->q->marker = marker;
}

/* Lets go of the infos before which all events have left. */
static void release_markers(cop_ctx *ctx, struct stage *st) {
    while (marker_position(st) <= st->left) {
        cop_term message = cop_elem(st->q->marker, 1);
        cop_events next = cop_queue_take(ctx, &st->q->markers, 1);
        st->q->marker = next.count == 0 ? COP_NONE : next.at[0];
        stage_dispatch_info(ctx, st, message);
    }
}

/* ---- events --------------------------------------------------------------------------------------------- */

/* n events, which are there, in one array. */
static cop_events take(cop_ctx *ctx, struct stage *st, size_t n) {
    cop_events some = cop_queue_take(ctx, &st->q->buffer, n), all;
    if (some.count < n) {
        cop_term *to = cop_events_new(ctx, n, &all);
        for (size_t have = 0;; some = cop_queue_take(ctx, &st->q->buffer, n - have)) {
            memcpy(to + have, some.at, some.count * sizeof *to);
            have += some.count;
            if (have == n)
                break;
        }
        some = all;
    }
    st->left += (int64_t)n;
    return some;
}

static void drop_oldest(cop_ctx *ctx, struct stage *st, int64_t n) {
    st->left += n;
    while (n > 0)
        n -= (int64_t)cop_queue_take(ctx, &st->q->buffer, (size_t)n).count;
}

static void tell_discarded(cop_ctx *ctx, struct stage *st, int64_t n) {
    const cop_gen_stage *m = st->module;
    if (m->format_discarded != NULL && !m->format_discarded(ctx, st->user, (size_t)n))
        return;
    stage_log(ctx, COP_LEVEL_WARNING, "GenStage producer ~tp has discarded ~tp events from buffer",
              cop_list(ctx, stage_name(ctx), n));
}

void stage_buffer_store(cop_ctx *ctx, struct stage *st, cop_events events) {
    int64_t room = st->capacity - events_in(st), n = (int64_t)events.count;
    int64_t excess = n > room ? n - room : 0;
    if (excess > 0 && st->keep == COP_KEEP_FIRST) {
        events = cop_events_take(events, (size_t)room);
    } else if (excess > 0) {
        int64_t old = excess < events_in(st) ? excess : events_in(st);
        drop_oldest(ctx, st, old);
        events = cop_events_skip(events, (size_t)(excess - old));
    }
    if (events.count > 0)
        cop_queue_push(ctx, &st->q->buffer, events);
    st->pushed += (int64_t)events.count;
    if (excess > 0) {
        st->dropped += excess;
        tell_discarded(ctx, st, excess);
        if (!is_unlimited(st))
            release_markers(ctx, st);
    }
}

int64_t stage_buffer_take(cop_ctx *ctx, struct stage *st, int64_t demand) {
    while (demand > 0 && !stage_buffer_is_empty(st)) {
        int64_t run = demand < events_in(st) ? demand : events_in(st);
        int64_t to_marker = marker_position(st) - st->left;
        if (to_marker < run)
            run = to_marker;
        if (run > 0)
            stage_dispatch(ctx, st, take(ctx, st, (size_t)run));
        demand -= run;
        if (demand > 0 || !is_unlimited(st))
            release_markers(ctx, st);
    }
    return demand;
}
