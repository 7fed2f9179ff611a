/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__TERM_HEAP_H
#define COP__TERM_HEAP_H

#include <coppice/term.h>

/*
 * Heaps. A cop_ctx begins with one of these: `(struct cop__heap *)ctx` is how src/term allocates.
 *
 * Young: a bump region that is *lent* (it belongs to the stack the process runs on) plus blocks
 *        taken with malloc when it is full, plus adopted message fragments. What is known of it, `struct
 *        cop__young`, stands at the start of the lent region, so a process that waits without one does not
 *        pay for it.
 * Old:   blocks that the collector filled. Terms are immutable: old never points to young.
 * A collection evacuates what the roots reach out of young into old, frees the young blocks and
 * fragments and rewinds the lent region. A full one also evacuates old into fresh blocks.
 *
 * Off-heap: boxes that hold a count on something shared (large binaries, resources) are linked
 * through their second word, one list per generation; a dropped box gives its count back.
 */
struct cop__block {
    struct cop__block *next;
    uint64_t *end; /* one past the last word */
    uint64_t *top; /* words up to here are used (maintained when another block becomes current) */
    uint64_t words[];
};

/* A box with a count: { header, next box of the list, pointer to the shared object, ... }. */
struct cop__offbox {
    uint64_t header;
    struct cop__offbox *next;
    void *shared;
};

/* A copied term in one malloc'ed block: a message's body. Its owner embeds it last. */
struct cop__fragment {
    struct cop__fragment *next;
    struct cop__offbox *offheap;
    uint32_t words;  /* size of the body */
    uint16_t offset; /* from the start of the allocated block to this struct, for free */
    uint16_t small;  /* the block is a small one, asked for with this size; 0: it is malloc'ed */
    uint64_t body[];
};

struct cop__young {
    uint64_t *end;                   /* of the region that begins behind this struct */
    struct cop__block *blocks;       /* malloc'ed, current first */
    struct cop__fragment *fragments; /* adopted messages */
    struct cop__offbox *off;
    uint32_t words;     /* in malloc'ed blocks and fragments */
    uint32_t off_bytes; /* bytes of shared binaries reached from young boxes */
    uint32_t held;      /* > 0: the limit's hook is not called; see cop__heap_hold */
    uint32_t off_seen;  /* how many quarters of the limit off_bytes were at the hook's last look */
    uint64_t region[];
};
enum { COP__YOUNG_WORDS = sizeof(struct cop__young) / sizeof(uint64_t) };

struct cop__heap {
    uint64_t *hp, *hend;      /* where the next box goes; end of the current young block */
    struct cop__young *young; /* never NULL: cop__nothing_young when nothing is lent nor young */
    struct cop__offbox *old_off;
    struct cop__block *old; /* current first */
    uint32_t old_words;     /* in old blocks */
    uint32_t old_live;      /* words that the last full collection kept */
    uint32_t since_full;    /* minor collections since then */
    uint32_t fullsweep_after;
    uint32_t limit_words; /* the hook is called when more is taken; 0: never */
    uint32_t min_words;   /* no less is taken when memory is taken at all */
};
_Static_assert(sizeof(struct cop__heap) == 64, "a heap at rest is one cache line");

extern struct cop__young cop__nothing_young; /* is never written */

struct cop__roots {
    cop_term *first;
    size_t count;
};

void cop__heap_init(struct cop__heap *heap);
/* Lends the bump region [start, start + words) to the heap, COP__YOUNG_WORDS of it for what the heap knows of
   it; nothing young may be alive but adopted fragments. */
void cop__heap_lend(struct cop__heap *heap, uint64_t *start, size_t words);
/* Takes it back; returns where it starts. Nothing young may be alive in it. */
uint64_t *cop__heap_unlend(struct cop__heap *heap);
/* True when nothing at all was allocated or adopted since the last collection. */
static inline bool cop__heap_young_is_empty(const struct cop__heap *heap) {
    const struct cop__young *y = heap->young;
    return heap->hp == y->region && y->fragments == NULL && y->blocks == NULL;
}
uint64_t *cop__heap_more(struct cop__heap *heap, size_t words);
/* Room for a box of that many words. Never NULL; out of memory stops the program. */
static inline uint64_t *cop__heap_alloc(struct cop__heap *heap, size_t words) {
    uint64_t *at = heap->hp;
    if (__builtin_expect((size_t)(heap->hend - at) < words, 0))
        return cop__heap_more(heap, words);
    heap->hp = at + words;
    return at;
}
/* A young that may be written: one of its own when nothing is lent. */
struct cop__young *cop__heap_own_young(struct cop__heap *heap);
static inline struct cop__young *cop__heap_young(struct cop__heap *heap) {
    if (__builtin_expect(heap->young == &cop__nothing_young, 0))
        return cop__heap_own_young(heap);
    return heap->young;
}
/* The heap keeps this fragment until its next collection. */
static inline void cop__heap_adopt(struct cop__heap *heap, struct cop__fragment *fragment) {
    struct cop__young *y = cop__heap_young(heap);
    fragment->next = y->fragments;
    y->fragments = fragment;
    y->words += fragment->words;
}
/* Frees a fragment nobody adopted. */
void cop__fragment_free(struct cop__fragment *fragment);
/* Collects: afterwards young is empty, and what the roots hold is old. `full`: old is swept too. */
void cop__heap_collect(struct cop__heap *heap, struct cop__roots *roots, size_t count, bool full);
/* Does a boxed term lie in old? May say false where that would take long to find out: it looks at two
   blocks, which is all that a small process has. */
static inline bool cop__heap_holds_as_old(const struct cop__heap *heap, cop_term t) {
    const uint64_t *at = (const uint64_t *)(uintptr_t)(t.w & ~(uint64_t)3);
    const struct cop__block *block = heap->old;
    if (block == NULL || (at >= block->words && at < block->end))
        return block != NULL;
    block = block->next;
    return block != NULL && at >= block->words && at < block->end;
}
/* A collection for roots that are all old: old never points to young, so young goes as it is. */
void cop__heap_drop_young(struct cop__heap *heap);
/* True when the policy (old has doubled, or fullsweep_after) asks for a full one now. */
bool cop__heap_wants_full(const struct cop__heap *heap);
/* Nothing is alive any more: frees everything, keeps the lent region. */
void cop__heap_reset(struct cop__heap *heap);
/* Up to where the lent region is in use. */
const uint64_t *cop__heap_region_top(const struct cop__heap *heap);
/* Words in use: young region and blocks, fragments, old. */
size_t cop__heap_words(const struct cop__heap *heap);

/* A point to come back to, for COP_SCOPE: release frees what was allocated or adopted since. */
struct cop__heap_mark {
    uint64_t *hp;
    struct cop__block *young;
    struct cop__fragment *fragments;
    struct cop__offbox *young_off;
};
struct cop__heap_mark cop__heap_mark(struct cop__heap *heap);
void cop__heap_release_more(struct cop__heap *heap, const struct cop__heap_mark *mark);
static inline void cop__heap_release(struct cop__heap *heap, const struct cop__heap_mark *mark) {
    const struct cop__young *y = heap->young;
    if (y->blocks == mark->young && y->fragments == mark->fragments && y->off == mark->young_off)
        heap->hp = mark->hp;
    else
        cop__heap_release_more(heap, mark);
}

/* Copying between heaps: the words needed for a deep copy, then the copy, which fills exactly them
   and links its counted boxes into *offheap. Neither recurses: stacks are small. Immediates need
   0 words. Terms built outside (COP_NONE) must not be passed. */
size_t cop__term_words(cop_term t);
cop_term cop__term_copy(cop_term t, uint64_t **hp, struct cop__offbox **offheap);
/* Copies a term onto the heap of ctx; an immediate one is itself. */
cop_term cop__term_copy_to(cop_ctx *ctx, cop_term t);

/* The term of a saved one where it lies: to be looked at, not to be put onto a heap, whose collector would
   move it. */
cop_term cop__saved_view(const cop_saved *saved);
/* One more who will forget it. */
cop_saved *cop__saved_keep(cop_saved *saved);

/* Set by the run-time: this heap has passed its limit. May end the process, and so not return. */
extern void (*cop__limit_hook)(cop_ctx *ctx);
void cop__heap_check_limit(struct cop__heap *heap);
/* Between these the hook is not called: for code that would lose something of its own if it did not
   go on. Pairs may nest; what raises in between leaves by cop__heap_drop_holds. */
static inline void cop__heap_hold(struct cop__heap *heap) { cop__heap_young(heap)->held++; }
static inline void cop__heap_let(struct cop__heap *heap) {
    if (--heap->young->held == 0 && __builtin_expect(heap->limit_words != 0, 0))
        cop__heap_check_limit(heap);
}
static inline void cop__heap_drop_holds(struct cop__heap *heap) {
    if (__builtin_expect(heap->young->held != 0, 0))
        heap->young->held = 0;
}
/* Bytes of the shared binaries that it and these further lists refer to, each counted once. */
size_t cop__heap_shared_bytes(const struct cop__heap *heap, const struct cop__offbox *const *more,
                              size_t more_count);

/* Set by the run-time: raises an error in the process that owns ctx; does not return. */
extern void (*cop__raise_hook)(cop_ctx *ctx, cop_term reason);
/* Likewise for :undef; `frame` stands first in the stacktrace: {module, function, args, []}. */
extern void (*cop__undef_hook)(cop_ctx *ctx, cop_term frame);
_Noreturn void cop__raise(cop_ctx *ctx, cop_term reason);

#endif
