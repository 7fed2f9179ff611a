/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Epochs: when memory that others may still be reading can be freed.
 *
 * A reader pins the present epoch, follows pointers without a lock, and unpins: two plain writes to a
 * cache line of its own worker and no shared one. Who takes an object out of a structure retires it.
 * Retired objects gather in the worker's record; 64 of them are closed into a batch with the epoch that is
 * read then, and the epoch may go on by one when no one is pinned in an older one. A batch is released
 * when the epoch is two beyond its own.
 *
 *     record (one per worker):  pinned epoch | pending objects
 *     limbo:                    batch(epoch 7) -> batch(8) -> ...          epoch: 9
 *                               free now           wait
 *
 * Pinning has no barrier of its own: who moves the epoch puts one on all threads (cop__membarrier)
 * between reading the epoch and looking at the pins. A pin written before that is seen; who pins after it
 * sees all that had been taken out before. Where such a barrier would be slow, pinning is one.
 *
 * Why two: who could hold an object of a batch closed in epoch e has pinned e or an earlier one, and has
 * not unpinned. The step from e + 1 looked at all pins: it saw his, and did not happen; or his came after
 * the step's barrier, and the batch's read of the epoch (a write in form) begins a chain of writes up to
 * the step's own reading of it, so he sees that the object is gone. The same chain leads to who pinned
 * e + 1, which the step lets pass.
 *
 * Invariants
 *   1. A batch's epoch is read after all its objects were taken out.
 *   2. The epoch goes from e to e + 1 only when every pinned record says e.
 *   3. Records are never freed while the node runs; one of a worker that ended is used again.
 * Threads: pin, unpin, retire by the worker itself; limbo under its lock.
 */
#include "proc/epoch.h"

#include "os/barrier.h"
#include "proc/proc.h"

enum { BATCH = 64 };

struct batch {
    struct batch *next;
    struct cop__retired *objects;
    uint64_t epoch;
};

static uint64_t epoch __attribute__((aligned(64))) = 1;                /* atomic */
static struct cop__epoch_record *records __attribute__((aligned(64))); /* atomic; only grows */
static struct {
    struct cop__lock lock;
    struct batch *first, **last;
} limbo = { .last = &limbo.first };

static struct cop__epoch_record *take_record(void) {
    struct cop__epoch_record *r = __atomic_load_n(&records, __ATOMIC_ACQUIRE);
    for (; r != NULL; r = r->next) {
        uint32_t free = 0;
        if (__atomic_compare_exchange_n(&r->busy, &free, 1, false, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED))
            return r;
    }
    r = cop__aligned_alloc(64, sizeof *r);
    *r = (struct cop__epoch_record){ .busy = 1 };
    r->next = __atomic_load_n(&records, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&records, &r->next, r, true, __ATOMIC_ACQ_REL,
                                        __ATOMIC_RELAXED))
        ;
    return r;
}

static struct cop__epoch_record *record_of(struct cop__worker *w) {
    if (__builtin_expect(w->epoch == NULL, 0))
        w->epoch = take_record();
    return w->epoch;
}

/* The write of the pin and the read of the epoch stand in one order with those of advance(). */
static void pin_with_barrier(struct cop__epoch_record *r, uint64_t seen) {
    for (uint64_t now;; seen = now) {
        __atomic_store_n(&r->pinned, seen << 1 | 1, __ATOMIC_SEQ_CST);
        now = __atomic_load_n(&epoch, __ATOMIC_SEQ_CST);
        if (now == seen)
            return;
    }
}

struct cop__epoch_record *cop__epoch_pin(struct cop__worker *w) {
    struct cop__epoch_record *r = record_of(w);
    uint64_t seen = __atomic_load_n(&epoch, __ATOMIC_ACQUIRE);
    COP_ASSERT(r->pinned == 0);
    __atomic_store_n(&r->pinned, seen << 1 | 1, __ATOMIC_RELEASE);
    atomic_signal_fence(memory_order_seq_cst);
    if (__builtin_expect(!cop__membarrier_is_quick, 0))
        pin_with_barrier(r, seen);
    return r;
}

/* Goes on by one if it may. */
static bool advance(void) {
    uint64_t now = __atomic_load_n(&epoch, __ATOMIC_SEQ_CST);
    if (cop__membarrier_is_quick)
        cop__membarrier();
    for (struct cop__epoch_record *r = __atomic_load_n(&records, __ATOMIC_ACQUIRE); r != NULL;
         r = r->next) {
        uint64_t pinned = __atomic_load_n(&r->pinned, __ATOMIC_SEQ_CST);
        if (pinned != 0 && pinned >> 1 != now)
            return false;
    }
    return __atomic_compare_exchange_n(&epoch, &now, now + 1, false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_RELAXED);
}

static void release_all(struct cop__retired *object) {
    while (object != NULL) {
        struct cop__retired *next = object->next;
        object->release(object);
        object = next;
    }
}

/* Releases the batches that are due; at most so many, so that nobody has to do it all. */
static void release_due(uint64_t now, int most) {
    for (int i = 0; i < most; i++) {
        cop__lock(&limbo.lock);
        struct batch *b = limbo.first;
        if (b != NULL && b->epoch + 2 <= now) {
            limbo.first = b->next;
            if (b->next == NULL)
                limbo.last = &limbo.first;
        } else {
            b = NULL;
        }
        cop__unlock(&limbo.lock);
        if (b == NULL)
            return;
        release_all(b->objects);
        cop__free(b);
    }
}

static void close_batch(struct cop__epoch_record *r) {
    if (r->pending == NULL)
        return;
    struct batch *b = cop__malloc(sizeof *b);
    *b = (struct batch){ .objects = r->pending };
    r->pending = NULL;
    r->pending_count = 0;
    cop__lock(&limbo.lock); /* also keeps the list in the order of the epochs */
    b->epoch = __atomic_fetch_add(&epoch, 0, __ATOMIC_SEQ_CST);
    *limbo.last = b;
    limbo.last = &b->next;
    cop__unlock(&limbo.lock);
}

void cop__epoch_retire(struct cop__worker *w, struct cop__retired *object) {
    struct cop__epoch_record *r = record_of(w);
    object->next = r->pending;
    r->pending = object;
    if (++r->pending_count < BATCH)
        return;
    close_batch(r);
    advance();
    release_due(__atomic_load_n(&epoch, __ATOMIC_SEQ_CST), 4);
}

void cop__epoch_flush(struct cop__worker *w) {
    close_batch(record_of(w));
    for (int i = 0; i < 3 && advance(); i++)
        ;
    release_due(__atomic_load_n(&epoch, __ATOMIC_SEQ_CST), 1 << 30);
}

void cop__epoch_forget(struct cop__worker *w) {
    struct cop__epoch_record *r = w->epoch;
    if (r == NULL)
        return;
    w->epoch = NULL;
    COP_ASSERT(r->pinned == 0);
    close_batch(r);
    __atomic_store_n(&r->busy, 0, __ATOMIC_RELEASE);
}

void cop__epochs_free(void) {
    while (records != NULL) {
        struct cop__epoch_record *r = records;
        records = r->next;
        release_all(r->pending);
        cop__free(r);
    }
    while (limbo.first != NULL) {
        struct batch *b = limbo.first;
        limbo.first = b->next;
        release_all(b->objects);
        cop__free(b);
    }
    limbo.last = &limbo.first;
}
