/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events: batches of terms as arrays, and the queue in which they wait between two callbacks.
 *
 * An array on the heap is a tuple, of which the view shows the elements. So a queue's arrays are terms
 * that the collector moves once and then leaves alone:
 *
 *     front -> [{e2, e3, e4}, {e5}]   at = 1: e2 is gone; what is taken are views into the first tuple
 *     back  -> [{e8}, {e6, e7}]       the newest first; turned round when front is used up
 *
 * Invariants
 *   1. Each array holds one event at least, and the first one of front one more than `at`.
 *   2. count is the number of events in the arrays, without the first `at`.
 *   3. No array is longer than CHUNK, so that what was taken does not stay for the sake of one event.
 * Threads: the heap's owner.
 */
#include <coppice/events.h>

#include "term/layout.h"

enum { CHUNK = 1024 };

/* Four at a time: one store for two, where the machine has that. */
static void fill_nil(cop_term *at, size_t n) {
    size_t i = 0;
    for (; n - i >= 4; i += 4)
        at[i] = at[i + 1] = at[i + 2] = at[i + 3] = COP_NIL;
    for (; i < n; i++)
        at[i] = COP_NIL;
}

cop_term *cop_events_new(cop_ctx *ctx, size_t n, cop_events *out) {
    uint64_t *box = cop__heap_alloc(cop__heap_of(ctx), n + 1);
    cop_term *at = (cop_term *)(box + 1);
    box[0] = cop__header(BOX_TUPLE, n);
    fill_nil(at, n);
    if (out != NULL)
        *out = (cop_events){ at, n };
    return at;
}

bool cop_events_from_tuple(cop_term tuple, cop_events *out) {
    if (!cop_is_tuple(tuple))
        return false;
    *out = (cop_events){ (const cop_term *)(cop__box(tuple) + 1), (size_t)cop_tuple_size(tuple) };
    return true;
}

/* Takes elements four at a time while cells lie one behind the other, as those of a message do. Each is
   looked at only when the one before it has led there. */
static size_t take_row(cop_term *list, uint64_t *to, size_t room) {
    const uint64_t *at = cop__cons(*list);
    uint64_t w = list->w;
    size_t n = 0;
    while (room - n >= 4 && at[1] == w + COP__CELL && at[3] == w + 2 * COP__CELL
           && at[5] == w + 3 * COP__CELL) {
        to[n] = at[0];
        to[n + 1] = at[2];
        to[n + 2] = at[4];
        to[n + 3] = at[6];
        n += 4;
        w += 4 * COP__CELL;
        if (at[7] != w) {
            w = at[7];
            break;
        }
        at += 8;
    }
    list->w = w;
    return n;
}

/* Takes elements until there are no more or no room; *list is what is left of it then. */
static size_t take_elements(cop_term *list, uint64_t *to, size_t room) {
    size_t n = cop_is_cons(*list) ? take_row(list, to, room) : 0;
    uint64_t at = list->w, stride = COP__CELL;
    for (bool more = cop_is_cons(*list); more && n < room; n++) {
        const uint64_t *cons = cop__cons((cop_term){ at });
        to[n] = cons[0];
        more = cop__next_cell(&at, cons[1], &stride);
    }
    list->w = at;
    return n;
}

bool cop_events_from_list(cop_ctx *ctx, cop_term list, cop_events *out) {
    struct cop__heap *heap = cop__heap_of(ctx);
    uint64_t *box = heap->hp;
    size_t room = (size_t)(heap->hend - box);
    cop_term rest = list;
    /* Mostly there is room, and the length shows when all are taken. */
    size_t n = room > 1 ? take_elements(&rest, box + 1, room - 1) : 0;
    if (cop_is_cons(rest)) {
        int64_t length = cop_list_length(list);
        if (length < 0)
            return false;
        box = cop__heap_alloc(heap, (size_t)length + 1);
        n = take_elements(&list, box + 1, (size_t)length);
    } else if (!cop_is_nil(rest)) {
        return false;
    } else {
        heap->hp += n == 0 ? 0 : n + 1;
    }
    *out = cop_no_events();
    if (n > 0) {
        box[0] = cop__header(BOX_TUPLE, n);
        *out = (cop_events){ (const cop_term *)(box + 1), n };
    }
    return true;
}

cop_term cop_events_to_list(cop_ctx *ctx, cop_events events) {
    return cop_list_n(ctx, events.count, events.at);
}

/* ---- the queue ----------------------------------------------------------------------------------- */

static size_t small(cop_term t) { return t.w == 0 ? 0 : (size_t)(t.w >> 4); }

static void set_count(cop_queue *queue, size_t count) {
    queue->count = COP_INT((int64_t)count);
    if (count == 0)
        *queue = (cop_queue){ COP_NIL, COP_NIL, COP_INT(0), COP_INT(0) };
}

size_t cop_queue_count(const cop_queue *queue) { return small(queue->count); }

void cop_queue_push(cop_ctx *ctx, cop_queue *queue, cop_events events) {
    size_t count = cop_queue_count(queue) + events.count;
    if (cop_is_none(queue->count))
        set_count(queue, 0);
    while (events.count > 0) {
        cop_events part = cop_events_take(events, CHUNK);
        queue->back = cop_list_tail(ctx, cop_tuple_n(ctx, part.count, part.at), queue->back);
        events = cop_events_skip(events, part.count);
    }
    set_count(queue, count);
}

/* As many as lie together. */
static cop_events take_some(cop_ctx *ctx, cop_queue *queue, size_t n) {
    size_t count = cop_queue_count(queue), at = small(queue->at);
    if (!cop_is_cons(queue->front)) {
        queue->front = cop_list_reverse(ctx, queue->back);
        queue->back = COP_NIL;
    }
    cop_events all = cop_no_events();
    cop_events_from_tuple(cop_head(queue->front), &all);
    cop_events view = cop_events_take(cop_events_skip(all, at), n);
    at += view.count;
    if (at == all.count) {
        queue->front = cop_tail(queue->front);
        at = 0;
    }
    queue->at = COP_INT((int64_t)at);
    set_count(queue, count - view.count);
    return view;
}

cop_events cop_queue_take(cop_ctx *ctx, cop_queue *queue, size_t n) {
    if (n > cop_queue_count(queue))
        n = cop_queue_count(queue);
    if (n == 0)
        return cop_no_events();
    cop_events view = take_some(ctx, queue, n), all;
    if (view.count == n)
        return view;
    cop_term *to = cop_events_new(ctx, n, &all);
    for (size_t at = 0; at < n;) {
        if (at > 0)
            view = take_some(ctx, queue, n - at);
        memcpy(to + at, view.at, view.count * sizeof *to);
        at += view.count;
    }
    return all;
}

static cop_term array_onto(cop_ctx *ctx, cop_term array, size_t from, cop_term list) {
    for (size_t i = (size_t)cop_tuple_size(array); i > from; i--)
        list = cop_list_tail(ctx, cop_elem(array, i - 1), list);
    return list;
}

cop_term cop_queue_to_list(cop_ctx *ctx, const cop_queue *queue) {
    cop_term list = COP_NIL, array, rest = queue->back;
    if (cop_queue_count(queue) == 0)
        return COP_NIL;
    while (cop_get_cons(rest, &array, &rest))
        list = array_onto(ctx, array, 0, list);
    rest = cop_list_reverse(ctx, queue->front);
    while (cop_get_cons(rest, &array, &rest))
        list = array_onto(ctx, array, cop_is_nil(rest) ? small(queue->at) : 0, list);
    return list;
}
