/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heaps: where boxes are born, and how they go when nothing lives any more.
 *
 * A heap bumps `hp` through the region that was lent to it. When that is full, it takes blocks with
 * malloc, each about as large as all before it, and goes on in the newest:
 *
 *     lent:   [ young | box box box ....... ]   full, but for a tail too small for the box that came
 *     blocks: block -> block -> ...        current first; `top` of the older ones says what is used
 *     fragments: messages that were adopted, each with its own list of counted boxes
 *     off: counted boxes in lent and blocks;   old_off: those in old
 *
 * A heap with nothing lent has a region of no words; when something young comes to it, it gets a struct
 * cop__young of its own, until that is collected.
 *
 * Invariants
 *   1. hp and hend lie in the first young block, or in the region when there is none.
 *   2. Every counted box is on exactly one list, the one of the place it lies in.
 *   3. Old never points to young (terms are immutable and old was filled from the past).
 * Threads: whoever runs the process that owns the heap; counts of shared objects are atomic.
 */
#include "term/heap.h"

#include <stdio.h>
#include <stdlib.h>

#include "os/alloc.h"
#include "term/layout.h"

enum { FIRST_BLOCK_WORDS = 256, LARGEST_BLOCK_WORDS = 1 << 17 };

void (*cop__raise_hook)(cop_ctx *ctx, cop_term reason);
void (*cop__limit_hook)(cop_ctx *ctx);

void cop__raise(cop_ctx *ctx, cop_term reason) {
    if (cop__raise_hook != NULL)
        cop__raise_hook(ctx, reason);
    fputs("coppice: an error was raised outside of any process\n", stderr);
    abort();
}

/* ---- counted boxes --------------------------------------------------------------------------- */

void cop__offbox_retain(struct cop__offbox *box) {
    __atomic_add_fetch((uint64_t *)box->shared, 1, __ATOMIC_RELAXED);
}

/* Both kinds of shared object begin with their count. */
void cop__offbox_release(struct cop__offbox *box) {
    if (__atomic_sub_fetch((uint64_t *)box->shared, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    if (cop__header_kind(box->header) == BOX_RESOURCE) {
        struct cop__resource *resource = box->shared;
        if (resource->type->destroy != NULL)
            resource->type->destroy(resource->object);
    }
    cop__free(box->shared);
}

void cop__heap_link_offheap(struct cop__heap *heap, struct cop__offbox *box) {
    struct cop__young *y = cop__heap_young(heap);
    box->next = y->off;
    y->off = box;
    if (cop__header_kind(box->header) != BOX_SHARED)
        return;
    uint64_t bytes = y->off_bytes + ((struct cop__shared *)box->shared)->size;
    y->off_bytes = bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)bytes;
}

/* Drops the boxes of a list down to `end`, which stays. */
static void drop_list(struct cop__offbox *box, const struct cop__offbox *end) {
    while (box != end) {
        struct cop__offbox *next = box->next;
        cop__offbox_release(box);
        box = next;
    }
}

/* ---- growing --------------------------------------------------------------------------------- */

struct cop__young cop__nothing_young = { .end = cop__nothing_young.region };

/* Allocation goes on in its region: nowhere, if that has no words. */
static inline void have_young(struct cop__heap *heap, struct cop__young *y) {
    heap->young = y;
    heap->hp = y->region;
    heap->hend = y->end;
}

static inline bool is_lent(const struct cop__heap *heap) {
    return __builtin_expect(heap->young->end != heap->young->region, 1);
}

void cop__heap_init(struct cop__heap *heap) {
    *heap = (struct cop__heap){ .fullsweep_after = 65535 };
    have_young(heap, &cop__nothing_young);
}

__attribute__((noinline)) struct cop__young *cop__heap_own_young(struct cop__heap *heap) {
    struct cop__young *y = cop__malloc(sizeof *y);
    *y = (struct cop__young){ .end = y->region };
    have_young(heap, y);
    return y;
}

/* Nothing is lent, and nothing young any more: a struct of the heap's own is not needed. */
static __attribute__((noinline)) void drop_own_young(struct cop__heap *heap) {
    struct cop__young *y = heap->young;
    if (y == &cop__nothing_young)
        return;
    y->words = y->off_bytes = 0;
    if (y->held != 0)
        return;
    have_young(heap, &cop__nothing_young);
    cop__free(y);
}

/* Something is there that is not to be: or fragments, which go along. */
static __attribute__((noinline)) void take_over_young(struct cop__heap *heap,
                                                      struct cop__young *y) {
    struct cop__young *before = heap->young;
    if (is_lent(heap) || before->blocks != NULL)
        cop__term_panic("a heap was lent a second region");
    uint64_t *end = y->end;
    *y = *before;
    y->end = end;
    cop__free(before);
}

void cop__heap_lend(struct cop__heap *heap, uint64_t *start, size_t words) {
    struct cop__young *y = (struct cop__young *)start;
    *y = (struct cop__young){ .end = start + words };
    if (__builtin_expect(heap->young != &cop__nothing_young, 0))
        take_over_young(heap, y);
    have_young(heap, y);
}

uint64_t *cop__heap_unlend(struct cop__heap *heap) {
    struct cop__young *y = heap->young;
    if (!is_lent(heap))
        return NULL;
    if (y->blocks != NULL || heap->hp != y->region)
        cop__term_panic("a region was taken back with young terms in it");
    have_young(heap, &cop__nothing_young);
    return (uint64_t *)y;
}

/* Shared binaries are counted only for who wants them to be, by the hook, who walks over all of them. So it is
   called once for each quarter of the limit that their references have grown by. */
static bool shared_has_grown(const struct cop__heap *heap) {
    struct cop__young *y = heap->young;
    uint64_t quarters = y->off_bytes / (2 * (uint64_t)heap->limit_words);
    if (quarters == y->off_seen)
        return false;
    y->off_seen = (uint32_t)quarters;
    return true;
}

void cop__heap_check_limit(struct cop__heap *heap) {
    if (heap->young->held == 0 && cop__limit_hook != NULL
        && (cop__heap_words(heap) > heap->limit_words || shared_has_grown(heap)))
        cop__limit_hook((cop_ctx *)heap);
}

uint64_t *cop__heap_more(struct cop__heap *heap, size_t words) {
    if (__builtin_expect(heap->limit_words != 0, 0))
        cop__heap_check_limit(heap);
    struct cop__young *y = cop__heap_young(heap);
    size_t room = y->words;
    if (room < FIRST_BLOCK_WORDS)
        room = FIRST_BLOCK_WORDS;
    if (room > LARGEST_BLOCK_WORDS)
        room = LARGEST_BLOCK_WORDS;
    if (room < heap->min_words)
        room = heap->min_words;
    if (room < words)
        room = words;
    struct cop__block *block = cop__malloc(sizeof *block + room * sizeof(uint64_t));
    if (y->blocks != NULL)
        y->blocks->top = heap->hp;
    block->next = y->blocks;
    block->end = block->words + room;
    block->top = block->words;
    y->blocks = block;
    heap->hp = block->words + words;
    heap->hend = block->end;
    y->words += (uint32_t)room;
    return block->words;
}

static __attribute__((noinline)) void fragment_free_slowly(struct cop__fragment *fragment) {
    drop_list(fragment->offheap, NULL);
    char *block = (char *)fragment - fragment->offset;
    if (fragment->small != 0)
        cop__small_free(block, fragment->small);
    else
        cop__free(block);
}

/* The usual one is a small block and counts nothing. */
void cop__fragment_free(struct cop__fragment *fragment) {
    if (__builtin_expect(fragment->offheap == NULL && fragment->small != 0, 1))
        cop__small_free((char *)fragment - fragment->offset, fragment->small);
    else
        fragment_free_slowly(fragment);
}

const uint64_t *cop__heap_region_top(const struct cop__heap *heap) {
    return heap->young->blocks != NULL ? heap->young->end : heap->hp;
}

size_t cop__heap_words(const struct cop__heap *heap) {
    const struct cop__young *y = heap->young;
    return (size_t)(cop__heap_region_top(heap) - y->region) + y->words + heap->old_words;
}

/* Several boxes may refer to one object: in order of their objects, the same stand together. */
static int by_object(const void *left, const void *right) {
    uintptr_t a = (uintptr_t) * (void *const *)left, b = (uintptr_t) * (void *const *)right;
    return (a > b) - (a < b);
}

static size_t objects_of(const struct cop__offbox *box, void **out) {
    size_t n = 0;
    for (; box != NULL; box = box->next)
        if (cop__header_kind(box->header) == BOX_SHARED) {
            if (out != NULL)
                out[n] = box->shared;
            n++;
        }
    return n;
}

static size_t all_objects(const struct cop__heap *heap, void **out) {
    size_t n = objects_of(heap->young->off, out);
    n += objects_of(heap->old_off, out == NULL ? NULL : out + n);
    for (const struct cop__fragment *f = heap->young->fragments; f != NULL; f = f->next)
        n += objects_of(f->offheap, out == NULL ? NULL : out + n);
    return n;
}

size_t cop__heap_shared_bytes(const struct cop__heap *heap, const struct cop__offbox *const *more,
                              size_t more_count) {
    size_t n = all_objects(heap, NULL), bytes = 0;
    for (size_t i = 0; i < more_count; i++)
        n += objects_of(more[i], NULL);
    if (n == 0)
        return 0;
    void **objects = cop__malloc(n * sizeof *objects);
    size_t at = all_objects(heap, objects);
    for (size_t i = 0; i < more_count; i++)
        at += objects_of(more[i], objects + at);
    qsort(objects, n, sizeof *objects, by_object);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || objects[i] != objects[i - 1])
            bytes += ((const struct cop__shared *)objects[i])->size;
    cop__free(objects);
    return bytes;
}

/* ---- letting go ------------------------------------------------------------------------------ */

static void free_blocks(struct cop__block *block) {
    while (block != NULL) {
        struct cop__block *next = block->next;
        cop__free(block);
        block = next;
    }
}

static void free_fragments(struct cop__fragment *fragment) {
    while (fragment != NULL) {
        struct cop__fragment *next = fragment->next;
        cop__fragment_free(fragment);
        fragment = next;
    }
}

/* Young is garbage; the counts of its boxes were taken care of, those of fragments too. */
static inline void rewind_young(struct cop__heap *heap) {
    struct cop__young *y = heap->young;
    heap->hp = y->region;
    heap->hend = y->end;
    if (y->blocks != NULL) {
        free_blocks(y->blocks);
        y->blocks = NULL;
    }
    if (!is_lent(heap)) {
        drop_own_young(heap);
        return;
    }
    y->words = 0;
    y->off_bytes = 0;
}

static inline void drop_young(struct cop__heap *heap) {
    struct cop__young *y = heap->young;
    if (y->off != NULL) {
        drop_list(y->off, NULL);
        y->off = NULL;
    }
    if (y->fragments != NULL) {
        free_fragments(y->fragments);
        y->fragments = NULL;
    }
    rewind_young(heap);
}

void cop__heap_drop_young(struct cop__heap *heap) {
    drop_young(heap);
    heap->since_full++;
}

static __attribute__((noinline)) void reset_slowly(struct cop__heap *heap) {
    drop_young(heap);
    if (heap->old != NULL) {
        drop_list(heap->old_off, NULL);
        free_blocks(heap->old);
        heap->old_off = NULL;
        heap->old = NULL;
        heap->old_words = heap->old_live = 0;
    }
    heap->since_full = 0;
}

/* The usual: one message was adopted, and nothing else but small boxes is there. */
void cop__heap_reset(struct cop__heap *heap) {
    struct cop__young *y = heap->young;
    struct cop__fragment *only = y->fragments;
    if (only == NULL || only->next != NULL || y->off != NULL || y->blocks != NULL
        || heap->old != NULL || !is_lent(heap)) {
        reset_slowly(heap);
        return;
    }
    y->fragments = NULL;
    y->words = 0;
    y->off_bytes = 0;
    heap->hp = y->region;
    heap->since_full = 0;
    cop__fragment_free(only);
}

struct cop__heap_mark cop__heap_mark(struct cop__heap *heap) {
    const struct cop__young *y = cop__heap_young(heap); /* that it is there at the release */
    return (struct cop__heap_mark){ heap->hp, y->blocks, y->fragments, y->off };
}

static void drop_blocks(struct cop__heap *heap, const struct cop__block *end) {
    struct cop__young *y = heap->young;
    while (y->blocks != end) {
        struct cop__block *block = y->blocks;
        y->blocks = block->next;
        y->words -= (uint32_t)(block->end - block->words);
        cop__free(block);
    }
    heap->hend = end != NULL ? end->end : y->end;
}

void cop__heap_release_more(struct cop__heap *heap, const struct cop__heap_mark *mark) {
    struct cop__young *y = heap->young;
    if (y->off != mark->young_off) {
        drop_list(y->off, mark->young_off);
        y->off = mark->young_off;
    }
    while (y->fragments != mark->fragments) {
        struct cop__fragment *fragment = y->fragments;
        y->fragments = fragment->next;
        y->words -= fragment->words;
        cop__fragment_free(fragment);
    }
    if (y->blocks != mark->young)
        drop_blocks(heap, mark->young);
    heap->hp = mark->hp;
}

/* ---- collecting ------------------------------------------------------------------------------ */

/*
 * Cheney's algorithm over a list of blocks. What the roots reach is moved to the blocks' ends; then
 * a finger walks over the words that were moved and moves what they point to, until it meets the
 * end. Nothing recurses, and a term that is shared is moved once: its old place says where to.
 *
 *     start                 finger                  hp
 *       | scanned: points to  | not scanned: points   |  free
 *       | new or old only     | to young still        |
 *
 * A minor collection goes on in the newest old block and leaves alone what is old. A full one moves
 * everything, so it needs to know no places at all.
 */
static const uint64_t MOVED = UINT64_MAX << 2 | 2; /* in a cons's head: its tail says where to */

struct collection {
    struct cop__heap *heap;
    bool full;
    uint64_t *hp, *end;         /* in the block that is filled now */
    struct cop__block *current; /* NULL before the first */
    struct cop__block *fresh;   /* blocks made by this collection, oldest first */
    struct cop__block **next;   /* where the next one of them goes */
    size_t fresh_words;
    size_t bound; /* words that may still come, at most */
};

/* Words that young may hold at most: the tail of each block may be unused. */
static size_t young_bound(const struct cop__heap *heap) {
    const struct cop__young *y = heap->young;
    size_t bound = (size_t)(cop__heap_region_top(heap) - y->region) + y->words;
    return y->blocks == NULL ? bound : bound - (size_t)(heap->hend - heap->hp);
}

static void next_block(struct collection *gc, size_t words) {
    size_t room;
    if (gc->bound <= 64 && gc->current == NULL) {
        room = gc->bound; /* a small state gets exactly its size */
    } else {
        /* Twice the block before as long as so much may come, and never so little that the blocks
           become many: a quarter of what is there. */
        room = gc->current == NULL ? 64 : 2 * (size_t)(gc->current->end - gc->current->words);
        if (room > LARGEST_BLOCK_WORDS)
            room = LARGEST_BLOCK_WORDS;
        if (room > gc->bound)
            room = gc->bound;
        size_t least = (gc->fresh_words + (gc->full ? 0 : gc->heap->old_words)) / 4;
        if (least < 64)
            least = 64;
        if (room < least)
            room = least;
    }
    if (room < words)
        room = words;
    struct cop__block *block = cop__malloc(sizeof *block + room * sizeof(uint64_t));
    block->next = NULL;
    block->end = block->words + room;
    block->top = block->words;
    if (gc->current != NULL)
        gc->current->top = gc->hp;
    *gc->next = block;
    gc->next = &block->next;
    gc->current = block;
    gc->fresh_words += room;
    gc->hp = block->words;
    gc->end = block->end;
}

static inline uint64_t *take(struct collection *gc, size_t words) {
    if (__builtin_expect((size_t)(gc->end - gc->hp) < words, 0))
        next_block(gc, words);
    uint64_t *at = gc->hp;
    gc->hp = at + words;
    gc->bound -= gc->bound < words ? gc->bound : words;
    return at;
}

static bool is_old(const struct cop__heap *heap, const uint64_t *at) {
    uintptr_t region = (uintptr_t)heap->young->region;
    if ((uintptr_t)at - region < (uintptr_t)heap->young->end - region)
        return false;
    for (const struct cop__block *block = heap->old; block != NULL; block = block->next)
        if (at >= block->words && at < block->end)
            return true;
    return false;
}

/* Where the value of this word lies after the collection. */
static inline uint64_t move(struct collection *gc, uint64_t word) {
    if ((word & 3) == 1) {
        uint64_t *cons = cop__cons((cop_term){ word });
        if (cons[0] == MOVED)
            return cons[1];
        if (!gc->full && is_old(gc->heap, cons))
            return word;
        uint64_t *to = take(gc, 2);
        to[0] = cons[0];
        to[1] = cons[1];
        cons[0] = MOVED;
        cons[1] = cop__cons_term(to).w;
        return cons[1];
    }
    if ((word & 3) != 0 || word == 0)
        return word;
    uint64_t *box = cop__box((cop_term){ word });
    if (!cop__is_header(box[0]))
        return box[0];
    if (!gc->full && is_old(gc->heap, box))
        return word;
    size_t words = 1 + cop__header_size(box[0]);
    uint64_t *to = take(gc, words);
    memcpy(to, box, words * sizeof(uint64_t));
    box[0] = cop__box_term(to).w;
    return box[0];
}

/* Moves what the words from i to `last` point to; most boxes that are long hold numbers, so four at a time
   are passed over. */
static inline void scan_words(struct collection *gc, uint64_t *at, size_t i, size_t last) {
    while (i <= last) {
        if (last - i >= 3 && (at[i] & at[i + 1] & at[i + 2] & at[i + 3] & 3) == 3) {
            i += 4;
            continue;
        }
        at[i] = move(gc, at[i]);
        i++;
    }
}

/* Moves what the boxes and conses in [at, end) point to; returns end. */
static uint64_t *scan(struct collection *gc, uint64_t *at, uint64_t *end) {
    while (at < end) {
        if (!cop__is_header(*at)) {
            at[0] = move(gc, at[0]);
            at[1] = move(gc, at[1]);
            at += 2;
            continue;
        }
        size_t size = cop__header_size(*at), from = cop__traced_from(cop__header_kind(*at));
        if (from != 0)
            scan_words(gc, at, from, size);
        at += size + 1;
    }
    return at;
}

/* The counted boxes of a list that were moved go to old's list, the others give back a count. */
static void sweep_off(struct cop__heap *heap, struct cop__offbox *box) {
    while (box != NULL) {
        struct cop__offbox *next = box->next;
        if (cop__is_header(box->header)) {
            cop__offbox_release(box);
        } else {
            struct cop__offbox *moved = (struct cop__offbox *)(uintptr_t)box->header;
            moved->next = heap->old_off;
            heap->old_off = moved;
        }
        box = next;
    }
}

static uint32_t used_words(const struct cop__block *block) {
    size_t words = 0;
    for (; block != NULL; block = block->next)
        words += (size_t)(block->top - block->words);
    return (uint32_t)words;
}

/* The blocks that this collection made, newest first, in front of the old ones that stay. */
static void keep_blocks(struct collection *gc, struct cop__block *old) {
    if (gc->current != NULL)
        gc->current->top = gc->hp;
    struct cop__block *block = gc->fresh;
    while (block != NULL) {
        struct cop__block *next = block->next;
        block->next = old;
        old = block;
        block = next;
    }
    gc->heap->old = old;
    gc->heap->old_words = (uint32_t)(gc->heap->old_words + gc->fresh_words);
}

static void move_all(struct collection *gc, struct cop__roots *roots, size_t count) {
    struct cop__block *block = gc->current; /* where the finger is */
    uint64_t *finger = gc->hp;
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < roots[i].count; k++)
            roots[i].first[k].w = move(gc, roots[i].first[k].w);
    if (block == NULL) {
        if ((block = gc->fresh) == NULL)
            return;
        finger = block->words;
    }
    bool in_old = block == gc->heap->old && !gc->full;
    for (;;) {
        while (block == gc->current && finger < gc->hp)
            finger = scan(gc, finger, gc->hp);
        if (block == gc->current)
            return;
        /* The old block we began in has an older one as `next`: the one after it is fresh. */
        scan(gc, finger, block->top);
        block = in_old ? gc->fresh : block->next;
        in_old = false;
        finger = block->words;
    }
}

/* The counted boxes of young, and the fragments. */
static void sweep_young(struct cop__heap *heap) {
    struct cop__young *y = heap->young;
    if (y == &cop__nothing_young)
        return;
    sweep_off(heap, y->off);
    y->off = NULL;
    while (y->fragments != NULL) {
        struct cop__fragment *fragment = y->fragments;
        y->fragments = fragment->next;
        sweep_off(heap, fragment->offheap);
        fragment->offheap = NULL;
        cop__fragment_free(fragment);
    }
}

void cop__heap_collect(struct cop__heap *heap, struct cop__roots *roots, size_t count, bool full) {
    struct collection gc = { .heap = heap, .full = full, .bound = young_bound(heap) };
    gc.next = &gc.fresh;
    if (full)
        gc.bound += used_words(heap->old);
    if (!full && heap->old != NULL) {
        gc.current = heap->old;
        gc.hp = heap->old->top;
        gc.end = heap->old->end;
    }
    move_all(&gc, roots, count);

    struct cop__offbox *old_off = heap->old_off;
    struct cop__block *old = heap->old;
    if (full) {
        heap->old_off = NULL;
        heap->old_words = 0;
        keep_blocks(&gc, NULL);
        sweep_off(heap, old_off);
        free_blocks(old);
        heap->old_live = used_words(heap->old);
        heap->since_full = 0;
    } else {
        keep_blocks(&gc, old);
        heap->since_full++;
    }
    sweep_young(heap);
    rewind_young(heap);
    /* What is left of a small heap may be far less than what could have been: an idle process should
       not pay for its start. Once more, now that the size is known. */
    if (full && heap->old != NULL && heap->old->next == NULL && heap->old_words <= 512
        && heap->old_live + heap->old_live / 4 < heap->old_words)
        cop__heap_collect(heap, roots, count, true);
}

bool cop__heap_wants_full(const struct cop__heap *heap) {
    return heap->since_full >= heap->fullsweep_after
           || heap->old_words > 2 * (size_t)heap->old_live + 128 + heap->min_words;
}
