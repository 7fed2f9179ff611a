/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COPPICE_EVENTS_H
#define COPPICE_EVENTS_H

#include <coppice/term.h>

/*
 * Events: the terms that stages exchange. In C a batch of them is a view of an array, so that a handler
 * is a plain loop; in a message it is Erlang's list.
 *
 *     for (size_t i = 0; i < events.count; i++)
 *         work(ctx, events.at[i]);
 *
 * A view owns nothing. It is valid like a term: until the callback that was given it, or made it, returns.
 */
typedef struct cop_events {
    const cop_term *at;
    size_t count;
} cop_events;

static inline cop_events cop_no_events(void) { return (cop_events){ NULL, 0 }; }
/* n terms of an array, which must stay where it is until they were dispatched. */
static inline cop_events cop_events_of(const cop_term *at, size_t n) {
    return (cop_events){ at, n };
}
/* Without the first n (at most all). */
static inline cop_events cop_events_skip(cop_events events, size_t n) {
    return n >= events.count ? cop_no_events() : (cop_events){ events.at + n, events.count - n };
}
/* The first n (at most all). */
static inline cop_events cop_events_take(cop_events events, size_t n) {
    return n < events.count ? (cop_events){ events.at, n } : events;
}
/*
 * Room for n events on the process's heap, to be filled in by the caller; all [] at first.
 *
 * Returns: the array; valid like a term. *out (may be NULL) is a view of it
 * Context: inside a process; terms may be built while it is filled
 */
cop_term *cop_events_new(cop_ctx *ctx, size_t n, cop_events *out);
/* The elements of a tuple, where they lie; false for anything else. */
bool cop_events_from_tuple(cop_term tuple, cop_events *out);
/* The elements of a proper list; false for anything else. */
bool cop_events_from_list(cop_ctx *ctx, cop_term list, cop_events *out);
cop_term cop_events_to_list(cop_ctx *ctx, cop_events events);

/*
 * A FIFO of events that lives in a state from one callback to the next. All its words are terms: it
 * stands among the first `state_terms` words, counts COP_QUEUE_TERMS there, and is empty when zeroed.
 * Events lie in it in arrays as they came, so that taking them out again usually copies nothing.
 *
 * Elixir:  :queue
 */
typedef struct cop_queue {
    cop_term front; /* arrays, the oldest first */
    cop_term back;  /* arrays, the newest first */
    cop_term at;    /* how many of the first array are gone */
    cop_term count;
} cop_queue;
enum { COP_QUEUE_TERMS = 4 };

size_t cop_queue_count(const cop_queue *queue);
/* Behind all others. O(events). */
void cop_queue_push(cop_ctx *ctx, cop_queue *queue, cop_events events);
/* Takes the n oldest events out, or all if there are not so many. A view into the queue's own arrays, if
   one of them has them all; else they are gathered. */
cop_events cop_queue_take(cop_ctx *ctx, cop_queue *queue, size_t n);
/* All of it as one list. */
cop_term cop_queue_to_list(cop_ctx *ctx, const cop_queue *queue);

#endif
