/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Saved terms: copies that no heap owns and no collector sees.
 *
 * A copy lies in one malloc'ed block behind its header, with its own list of counted boxes, like a
 * message that was never delivered. It is read by copying it back: a pointer into it in something
 * that a collector walks would be taken for young, and moved.
 *
 * Threads: a saved term is immutable; any number may read it, whoever keeps it forgets it once.
 */
#include "os/alloc.h"
#include "term/heap.h"
#include "term/layout.h"

struct cop_saved {
    cop_term term;
    struct cop__offbox *offheap;
    uint32_t count; /* atomic: of those who will forget it */
    uint64_t body[];
};

cop_saved *cop_term_save(cop_term term) {
    if (cop_is_none(term))
        cop__term_panic("no term was saved");
    size_t words = cop__term_words(term);
    cop_saved *saved = cop__malloc(sizeof *saved + words * sizeof(uint64_t));
    uint64_t *hp = saved->body;
    saved->offheap = NULL;
    saved->count = 1;
    saved->term = words == 0 ? term : cop__term_copy(term, &hp, &saved->offheap);
    return saved;
}

cop_term cop__saved_view(const cop_saved *saved) { return saved->term; }

cop_term cop_saved_load(cop_ctx *ctx, const cop_saved *saved) {
    return cop__term_copy_to(ctx, saved->term);
}

bool cop_saved_is(const cop_saved *saved, cop_term term) { return cop_same(saved->term, term); }

cop_saved *cop__saved_keep(cop_saved *saved) {
    __atomic_add_fetch(&saved->count, 1, __ATOMIC_RELAXED);
    return saved;
}

void cop_saved_forget(cop_saved *saved) {
    if (saved == NULL || __atomic_sub_fetch(&saved->count, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    for (struct cop__offbox *box = saved->offheap; box != NULL;) {
        struct cop__offbox *next = box->next;
        cop__offbox_release(box);
        box = next;
    }
    cop__free(saved);
}
