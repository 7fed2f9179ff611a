/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The collector: what the roots hold survives it unchanged and still shared, what they do not hold
 * is gone, and every counted object is given back exactly when its last term is.
 *
 * The stress test keeps a copy of every root in a fragment of its own, which no collection touches,
 * and compares. Resources are counted by their destructor.
 */
#include <coppice/test.h>
#include <pthread.h>
#include <stdlib.h>

#include "os/alloc.h"
#include "term/heap.h"
#include "term/layout.h"

enum { ROOTS = 48, MAX_WORDS = 3000 };

static int64_t resources_alive;

static void destroy_counted(void *object) {
    resources_alive--;
    free(object);
}
static const cop_resource_type counted = { "counted", destroy_counted };

static cop_term new_resource(cop_ctx *ctx) {
    resources_alive++;
    return cop_resource(ctx, &counted, malloc(1));
}

static struct cop__heap *heap_of(cop_ctx *ctx) { return (struct cop__heap *)ctx; }

static void collect(cop_ctx *ctx, cop_term *roots, size_t count, bool full) {
    cop__heap_collect(heap_of(ctx), &(struct cop__roots){ roots, count }, 1, full);
}

/* A copy of t that lies in no heap; *copy is the term in it. */
static struct cop__fragment *copy_out(cop_term t, cop_term *copy) {
    size_t words = cop__term_words(t);
    struct cop__fragment *fragment = cop__malloc(sizeof *fragment + (words + 1) * 8);
    *fragment = (struct cop__fragment){ .words = (uint32_t)words };
    uint64_t *hp = fragment->body;
    *copy = cop__term_copy(t, &hp, &fragment->offheap);
    EXPECT_INT(hp - fragment->body, words);
    return fragment;
}

static uint32_t next_random(uint64_t *seed) {
    *seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (uint32_t)(*seed >> 33);
}

static cop_term fun_body(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    return argc == 0 ? env : argv[0];
}

static cop_term random_binary(cop_ctx *ctx, size_t size, uint32_t fill) {
    uint8_t *data;
    cop_term t = cop_binary_new(ctx, size, &data);
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)(fill + i);
    return t;
}

/* A new term, often out of two that are there, so that sharing comes about. */
static cop_term random_term(cop_ctx *ctx, uint64_t *seed, cop_term a, cop_term b) {
    if (cop__term_words(a) + cop__term_words(b) > MAX_WORDS)
        return COP_INT(next_random(seed));
    uint32_t r = next_random(seed);
    switch (r % 13) {
    case 0:
        return cop_tuple(ctx, a, b, a);
    case 1:
        return cop_list(ctx, a, b);
    case 2:
        return cop_cons(ctx, a, b);
    case 3:
        return cop_map(ctx, r % 7, a, "key", b, a, 1);
    case 4:
        return cop_of(ctx, (double)r / 3);
    case 5:
        return cop_of(ctx, UINT64_MAX - r);
    case 6:
        return random_binary(ctx, r % 65, r);
    case 7:
        return random_binary(ctx, 65 + r % 300, r);
    case 8:
        return new_resource(ctx);
    case 9:
        return cop_fun(ctx, fun_body, 1, a);
    case 10:
        return cop_tuple(ctx);
    case 11: {
        cop_bytes bytes;
        if (cop_get_bytes(a, &bytes) && bytes.size > 70)
            return cop_binary_part(ctx, a, 2, bytes.size - r % 10 - 2);
        return cop_is_map(a) ? cop_map_put(ctx, a, COP_INT(r % 50), b) : COP_NIL;
    }
    default: {
        cop_term map = cop_map(ctx);
        for (int i = 0; i < 40; i++)
            map = cop_map_put(ctx, map, cop_tuple(ctx, i, (uint64_t)r), i == 20 ? b : COP_INT(i));
        return map;
    }
    }
}

/* How many different resources these terms hold: each is known by its shared object. */
static int64_t resources_in(const cop_term *roots, size_t count) {
    struct cop__worklist work;
    static void *seen[4096];
    int64_t found = 0;
    cop__worklist_init(&work);
    for (size_t i = 0; i < count; i++)
        cop__worklist_push(&work, roots[i]);
    while (work.count > 0) {
        cop_term t = work.items[--work.count];
        if (cop_is_cons(t)) {
            cop__worklist_push(&work, cop_head(t));
            cop__worklist_push(&work, cop_tail(t));
        } else if (cop__is_box(t)) {
            uint64_t *box = cop__box(t);
            size_t from = cop__traced_from(cop__header_kind(*box));
            for (size_t i = from; from != 0 && i <= cop__header_size(*box); i++)
                cop__worklist_push(&work, (cop_term){ box[i] });
            if (!cop_is_resource(t))
                continue;
            void *shared = ((struct cop__offbox *)box)->shared;
            int64_t at = 0;
            while (at < found && seen[at] != shared)
                at++;
            if (at == found && found < 4096)
                seen[found++] = shared;
        }
    }
    cop__worklist_free(&work);
    return found;
}

/* One round: builds for a while, collects, compares every root with its copy. */
static void stress_round(cop_ctx *ctx, cop_term *roots, uint64_t *seed, bool full) {
    for (int i = 0; i < 60; i++) {
        uint32_t at = next_random(seed) % ROOTS;
        roots[at] = random_term(ctx, seed, roots[next_random(seed) % ROOTS],
                                roots[next_random(seed) % ROOTS]);
        if (next_random(seed) % 8 == 0) {
            cop_term copy;
            struct cop__fragment *fragment = copy_out(roots[at], &copy);
            cop__heap_adopt(heap_of(ctx), fragment);
            roots[next_random(seed) % ROOTS] = copy;
        }
    }
    struct cop__fragment *copies[ROOTS];
    cop_term expected[ROOTS];
    for (int i = 0; i < ROOTS; i++)
        copies[i] = copy_out(roots[i], &expected[i]);
    collect(ctx, roots, ROOTS, full);
    for (int i = 0; i < ROOTS; i++) {
        EXPECT(cop_same(roots[i], expected[i]));
        EXPECT_INT(cop__term_words(roots[i]), cop__term_words(expected[i]));
        cop__fragment_free(copies[i]);
    }
    EXPECT(heap_of(ctx)->young->blocks == NULL && heap_of(ctx)->young->fragments == NULL);
    if (full)
        EXPECT_INT(resources_alive, resources_in(roots, ROOTS));
}

static void stress(cop_ctx *ctx, uint64_t seed, uint64_t *region, size_t region_words) {
    cop_term roots[ROOTS];
    for (int i = 0; i < ROOTS; i++)
        roots[i] = COP_INT(i);
    for (int round = 0; round < 60; round++) {
        bool lent = region_words > 0 && round % 3 != 0;
        if (lent)
            cop__heap_lend(heap_of(ctx), region, region_words);
        stress_round(ctx, roots, &seed, round % 5 == 4);
        if (lent)
            cop__heap_unlend(heap_of(ctx));
    }
    cop__heap_reset(heap_of(ctx));
    EXPECT_INT(resources_alive, 0);
}

TEST_TERM(random_graphs_survive_collections) {
    static uint64_t region[2048];
    struct cop__heap heap;
    cop__heap_init(&heap);
    for (uint64_t seed = 1; seed <= 6; seed++)
        stress((cop_ctx *)&heap, seed, region, seed % 3 * 1024);
}

TEST_TERM(what_is_shared_stays_shared) {
    cop_term t = cop_tuple(ctx, 1);
    for (int i = 0; i < 60; i++) /* as a tree it would have 2^60 leaves */
        t = cop_tuple(ctx, t, t);
    for (int round = 0; round < 4; round++) {
        collect(ctx, &t, 1, round % 2 == 1);
        int depth = 0;
        for (cop_term at = t; cop_tuple_size(at) == 2; at = cop_elem(at, 0), depth++)
            EXPECT(cop_elem(at, 0).w == cop_elem(at, 1).w);
        EXPECT_INT(depth, 60);
    }
}

TEST_TERM(what_is_old_stays_where_it_is_until_a_full_collection) {
    cop_term roots[2] = { cop_tuple(ctx, 1, 2), COP_NIL };
    collect(ctx, roots, 2, false);
    cop_term before = roots[0];
    roots[1] = cop_list(ctx, roots[0], roots[0]);
    collect(ctx, roots, 2, false);
    EXPECT(roots[0].w == before.w);
    EXPECT(cop_head(roots[1]).w == before.w);
    collect(ctx, roots, 2, true);
    EXPECT(cop_head(roots[1]).w == roots[0].w);
    EXPECT(cop_match_tuple(roots[0], 1, 2));
}

static double double_of(cop_term t) {
    double d = 0;
    EXPECT(cop_get_double(t, &d));
    return d;
}

TEST_TERM(the_heap_of_a_small_state_stays_small) {
    cop_term state = cop_of(ctx, 0.5);
    for (int i = 0; i < 20000; i++) {
        state = cop_of(ctx, double_of(state) + 1);
        collect(ctx, &state, 1, cop__heap_wants_full(heap_of(ctx)));
        EXPECT(cop__heap_words(heap_of(ctx)) < 400);
    }
    EXPECT(double_of(state) == 20000.5);
}

TEST_TERM(a_scope_gives_back_what_was_made_in_it) {
    struct cop__heap *heap = heap_of(ctx);
    cop_term kept = cop_tuple(ctx, new_resource(ctx), cop_of(ctx, UINT64_MAX));
    size_t words = 0;
    for (int round = 0; round < 50; round++) {
        struct cop__heap_mark mark = cop__heap_mark(heap);
        cop_term t = kept, copy;
        for (int i = 0; i < 200; i++)
            t = cop_tuple(ctx, t, new_resource(ctx), random_binary(ctx, 100, 1));
        cop__heap_adopt(heap, copy_out(t, &copy));
        EXPECT(cop_same(t, copy));
        EXPECT_INT(resources_alive, 201);
        cop__heap_release(heap, &mark);
        EXPECT_INT(resources_alive, 1);
        if (round == 0)
            words = cop__heap_words(heap);
        EXPECT_INT(cop__heap_words(heap), words);
    }
    uint64_t n;
    EXPECT(cop_is_resource(cop_elem(kept, 0)));
    EXPECT(cop_get_u64(cop_elem(kept, 1), &n) && n == UINT64_MAX);
    cop__heap_reset(heap);
    EXPECT_INT(resources_alive, 0);
}

TEST_TERM(a_reset_gives_everything_back) {
    cop_term roots[1] = { COP_NIL };
    size_t before = cop__heap_words(heap_of(ctx));
    for (int i = 0; i < 100; i++) {
        roots[0] = cop_cons(ctx, new_resource(ctx), roots[0]);
        collect(ctx, roots, 1, i % 10 == 0);
        new_resource(ctx);
    }
    EXPECT_INT(resources_alive, 101); /* the last of the dropped ones waits in young */
    cop__heap_reset(heap_of(ctx));
    EXPECT_INT(resources_alive, 0);
    EXPECT_INT(cop__heap_words(heap_of(ctx)), before);
}

/* ---- on the stack of a process --------------------------------------------------------------- */

static void *collect_deep(void *arg) {
    cop_ctx *ctx = arg;
    cop_term roots[3] = { COP_NIL, COP_NIL, COP_NIL };
    for (int i = 0; i < 1000000; i++) {
        roots[0] = cop_cons(ctx, COP_INT(i), roots[0]);
        roots[1] = cop_tuple(ctx, COP_INT(i), roots[1], 0);
        roots[2] = cop_cons(ctx, roots[2], COP_NIL);
    }
    for (int round = 0; round < 3; round++)
        collect(ctx, roots, 3, round == 2);
    EXPECT_INT(cop_list_length(roots[0]), 1000000);
    int64_t depth = 0;
    for (cop_term t = roots[1]; cop_tuple_size(t) == 3; t = cop_elem(t, 1))
        depth++;
    EXPECT_INT(depth, 1000000);
    cop__heap_reset(heap_of(ctx));
    return NULL;
}

TEST_TERM(a_million_deep_terms_need_no_stack) {
    pthread_attr_t attr;
    pthread_t thread;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 65536);
    EXPECT_INT(pthread_create(&thread, &attr, collect_deep, ctx), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attr);
}
