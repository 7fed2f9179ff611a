/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__PROC_EPOCH_H
#define COP__PROC_EPOCH_H

#include <stdint.h>

struct cop__worker;

/* A worker's; see epoch.c. */
struct cop__epoch_record {
    uint64_t pinned; /* atomic: epoch << 1 | 1, or 0 */
    uint32_t busy;   /* atomic: it is some worker's */
    uint32_t pending_count;
    struct cop__retired *pending;
    struct cop__epoch_record *next; /* of all */
} __attribute__((aligned(64)));

/* The first field of what may be retired. */
struct cop__retired {
    struct cop__retired *next;
    void (*release)(struct cop__retired *object);
};

/*
 * Between these two nothing that is reachable is freed. In the run-time; short, without waiting.
 * A pin is not nested. unpin takes what pin returned.
 */
struct cop__epoch_record *cop__epoch_pin(struct cop__worker *w);
static inline void cop__epoch_unpin(struct cop__epoch_record *record) {
    __atomic_store_n(&record->pinned, 0, __ATOMIC_RELEASE);
}
/* release(object) is called once nobody who is pinned now can still hold it. The object must not be
   reachable any more. Not while locks are held: what is due is released at once. */
void cop__epoch_retire(struct cop__worker *w, struct cop__retired *object);
/* Does not wait for more before it tries to release what is due. */
void cop__epoch_flush(struct cop__worker *w);
/* The worker ends before the node does. */
void cop__epoch_forget(struct cop__worker *w);
/* The node has stopped: everything is released. */
void cop__epochs_free(void);

#endif
