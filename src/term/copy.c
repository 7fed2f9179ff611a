/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deep copies between heaps: what every message is.
 *
 * First the words are counted, then they are filled. Counting walks with a list of what is still to
 * be visited (most terms need none of it); filling needs no list: the copy itself is scanned from
 * its beginning, as a collector would, and what a word points to is appended at its end. Sharing
 * inside the term is not kept, as in Erlang, so both walks visit the same things.
 */
#include "os/alloc.h"
#include "term/layout.h"

void cop__worklist_grow(struct cop__worklist *w) {
    size_t cap = w->cap * 4;
    cop_term *items = cop__malloc(cap * sizeof *items);
    memcpy(items, w->items, w->count * sizeof *items);
    if (w->items != w->first)
        cop__free(w->items);
    w->items = items;
    w->cap = cap;
}

void cop__worklist_free(struct cop__worklist *w) {
    if (w->items != w->first)
        cop__free(w->items);
}

static size_t words_of(cop_term t, struct cop__worklist *work) {
    size_t words = 0;
    for (;;) {
        uint64_t stride = COP__CELL;
        for (bool more = cop_is_cons(t); more; words += 2) {
            const uint64_t *cons = cop__cons(t);
            if (!cop_is_immediate((cop_term){ cons[0] }))
                cop__worklist_push(work, (cop_term){ cons[0] });
            more = cop__next_cell(&t.w, cons[1], &stride);
        }
        if (cop__is_box(t)) {
            uint64_t *box = cop__box(t);
            size_t size = cop__header_size(*box);
            size_t from = cop__traced_from(cop__header_kind(*box));
            words += size + 1;
            for (size_t i = from; from != 0 && i <= size; i++)
                if (!cop_is_immediate((cop_term){ box[i] }))
                    cop__worklist_push(work, (cop_term){ box[i] });
        }
        if (work->count == 0)
            return words;
        t = work->items[--work->count];
    }
}

/* A tuple of immediates and flat tuples, the usual message, needs no list. 0: it is not that. */
static size_t words_of_flat(cop_term t, int depth) {
    if (!cop__is_box(t))
        return 0;
    uint64_t *box = cop__box(t);
    size_t size = cop__header_size(*box), words = size + 1;
    size_t from = cop__traced_from(cop__header_kind(*box));
    for (size_t i = from; from != 0 && i <= size; i++) {
        cop_term e = { box[i] };
        if (cop_is_immediate(e))
            continue;
        size_t inner = 0;
        if (cop_is_cons(e)) {
            uint64_t *cons = cop__cons(e);
            if (cop_is_immediate((cop_term){ cons[0] }) && cop_is_immediate((cop_term){ cons[1] }))
                inner = 2;
        } else if (depth > 0) {
            inner = words_of_flat(e, depth - 1);
        }
        if (inner == 0)
            return 0;
        words += inner;
    }
    return words;
}

size_t cop__term_words(cop_term t) {
    if (cop_is_immediate(t))
        return 0;
    size_t flat = words_of_flat(t, 2);
    if (flat != 0)
        return flat;
    struct cop__worklist work;
    cop__worklist_init(&work);
    size_t words = words_of(t, &work);
    cop__worklist_free(&work);
    return words;
}

/*
 * A copy under way. What stands from `done` to `done_end` points nowhere, so the scan leaps over it: the next
 * such stretch that it will come to. Others are scanned in vain.
 */
struct copy {
    uint64_t *end;
    struct cop__offbox **offheap;
    uint64_t *done, *done_end;
};

/* Appends a whole row of cells; that their tails are done shows by where these lead. */
static inline void append_row(struct copy *c, uint64_t at) {
    uint64_t *from = c->end, *to = from, all = 3, stride = COP__CELL, tail;
    for (;; to += 2) {
        const uint64_t *cons = cop__cons((cop_term){ at });
        to[0] = cons[0];
        all &= cons[0];
        tail = cons[1];
        if (!cop__next_cell(&at, tail, &stride))
            break;
        to[1] = cop__cons_term(to + 2).w;
    }
    to[1] = tail;
    c->end = to + 2;
    if ((all & tail & 3) == 3 && (c->done == NULL || c->done_end == from)) {
        c->done = c->done == NULL ? from : c->done;
        c->done_end = c->end;
    }
}

/* Appends what w points to; the pointers inside still lead to the source. */
static inline uint64_t append(struct copy *c, uint64_t w) {
    cop_term t = { w };
    uint64_t *to = c->end;
    if (cop_is_cons(t)) {
        append_row(c, w);
        return cop__cons_term(to).w;
    }
    if (!cop__is_box(t))
        return w;
    uint64_t *box = cop__box(t);
    size_t words = cop__header_size(*box) + 1;
    for (size_t i = 0; i < words; i++)
        to[i] = box[i];
    c->end = to + words;
    if (cop__is_offheap(cop__header_kind(*box))) {
        struct cop__offbox *off = (struct cop__offbox *)to;
        cop__offbox_retain(off);
        off->next = *c->offheap;
        *c->offheap = off;
    }
    return cop__box_term(to).w;
}

static inline uint64_t *scan_cell(struct copy *c, uint64_t *cell) {
    if (!cop_is_immediate((cop_term){ cell[0] }))
        cell[0] = append(c, cell[0]);
    if (!cop_is_immediate((cop_term){ cell[1] }) && cell[1] != cop__cons_term(cell + 2).w)
        cell[1] = append(c, cell[1]);
    return cell + 2;
}

static inline uint64_t *scan_box(struct copy *c, uint64_t *box) {
    size_t size = cop__header_size(*box), from = cop__traced_from(cop__header_kind(*box));
    for (size_t i = from; from != 0 && i <= size; i++)
        if (!cop_is_immediate((cop_term){ box[i] }))
            box[i] = append(c, box[i]);
    return box + size + 1;
}

cop_term cop__term_copy(cop_term t, uint64_t **hp, struct cop__offbox **offheap) {
    struct copy c = { .end = *hp, .offheap = offheap };
    uint64_t *scan = *hp;
    cop_term copy = { append(&c, t.w) };
    while (scan < c.end) {
        if (scan == c.done) {
            scan = c.done_end;
            c.done = NULL;
        } else {
            scan = cop__is_header(*scan) ? scan_box(&c, scan) : scan_cell(&c, scan);
        }
    }
    *hp = c.end;
    return copy;
}

cop_term cop__term_copy_to(cop_ctx *ctx, cop_term t) {
    if (cop_is_immediate(t))
        return t;
    struct cop__heap *heap = cop__heap_of(ctx);
    struct cop__offbox *counted = NULL;
    uint64_t *hp = cop__heap_alloc(heap, cop__term_words(t));
    cop_term copy = cop__term_copy(t, &hp, &counted);
    while (counted != NULL) {
        struct cop__offbox *next = counted->next;
        cop__heap_link_offheap(heap, counted);
        counted = next;
    }
    return copy;
}
