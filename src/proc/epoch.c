/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Epochs: when memory that others may still be reading can be freed.
 *
 * A reader pins the present epoch, follows pointers without a lock, and unpins: two writes to a cache
 * line of its own worker and no shared one. Who takes an object out of a structure retires it. Retired
 * objects gather in the worker's record; 32 of them are closed into a batch with the epoch that is
 * read then, and the epoch may go on by one when no one is pinned in an older one. A batch is released
 * when the epoch is two beyond its own.
 *
 *     record (one per worker):  pinned epoch | pending objects
 *     limbo:                    batch(epoch 7) -> batch(8) -> ...          epoch: 9
 *                               free now           wait
 *
 * Why two: who could hold an object of a batch closed in epoch e was pinned before, in e or earlier
 * (he read the epoch again after he had announced it), and while he is, the epoch stays below e + 2.
 * Who pins later than that read the epoch through a chain of writes that begins with the batch's own
 * read of it (a write in form), so he sees that the object is gone.
 *
 * Invariants
 *   1. A batch's epoch is read after all its objects were taken out.
 *   2. The epoch goes from e to e + 1 only when every pinned record says e.
 *   3. Records are never freed while the node runs; one of a worker that ended is used again.
 * Threads: pin, unpin, retire by the worker itself; limbo under its lock.
 */
#include "proc/epoch.h"

#include "proc/proc.h"

enum { BATCH = 32 };

struct cop__epoch_record {
    uint64_t pinned; /* atomic: epoch << 1 | 1, or 0 */
    uint32_t busy;   /* atomic: it is some worker's */
    uint32_t pending_count;
    struct cop__retired *pending;
    struct cop__epoch_record *next; /* of all */
} __attribute__((aligned(64)));

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

struct cop__epoch_record *cop__epoch_pin(struct cop__worker *w) {
    struct cop__epoch_record *r = record_of(w);
    uint64_t seen = __atomic_load_n(&epoch, __ATOMIC_ACQUIRE), now;
    COP_ASSERT(r->pinned == 0);
    for (;; seen = now) {
        __atomic_store_n(&r->pinned, seen << 1 | 1, __ATOMIC_SEQ_CST);
        now = __atomic_load_n(&epoch, __ATOMIC_SEQ_CST);
        if (__builtin_expect(now == seen, 1))
            return r;
    }
}

void cop__epoch_unpin(struct cop__epoch_record *r) {
    __atomic_store_n(&r->pinned, 0, __ATOMIC_RELEASE);
}

/* Goes on by one if it may. */
static bool advance(void) {
    uint64_t now = __atomic_load_n(&epoch, __ATOMIC_SEQ_CST);
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
