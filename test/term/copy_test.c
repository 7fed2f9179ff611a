/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies between heaps: equal to what was copied, of exactly the words that were counted, free of
 * pointers into the source, with counts taken and given back; and on the stack of a process,
 * however deep the term is.
 */
#include <coppice/test.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "os/alloc.h"
#include "term/heap.h"
#include "term/layout.h"

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

/* As a message is built: counted, then copied into one block. */
static struct cop__fragment *copy_out(cop_term t, cop_term *copy) {
    size_t words = cop__term_words(t);
    struct cop__fragment *fragment = cop__malloc(sizeof *fragment + (words + 1) * 8);
    *fragment = (struct cop__fragment){ .words = (uint32_t)words };
    uint64_t *hp = fragment->body;
    *copy = cop__term_copy(t, &hp, &fragment->offheap);
    EXPECT_INT(hp - fragment->body, words);
    return fragment;
}

static void run_on_small_stack(void *(*body)(void *), cop_ctx *ctx) {
    pthread_attr_t attr;
    pthread_t thread;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 65536);
    EXPECT_INT(pthread_create(&thread, &attr, body, ctx), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attr);
}

/* Copies t, destroys the heap it was built on, and compares with a twin built on another. */
static void expect_copied(cop_term (*build)(cop_ctx *ctx)) {
    struct cop__heap source, other;
    cop__heap_init(&source);
    cop__heap_init(&other);
    cop_term copy, twin = build((cop_ctx *)&other);
    struct cop__fragment *fragment = copy_out(build((cop_ctx *)&source), &copy);
    cop__heap_reset(&source);
    EXPECT(cop_same(copy, twin));
    EXPECT_INT(cop_phash2(copy), cop_phash2(twin));
    cop__fragment_free(fragment);
    cop__heap_reset(&other);
}

static cop_term immediates(cop_ctx *ctx) {
    return cop_tuple(ctx, 1, cop_a(ok), COP_NIL, cop_a(true), cop__pid_make(7, 9),
                     cop__ref_make(7, 9));
}
static cop_term numbers(cop_ctx *ctx) { return cop_list(ctx, 1.5, UINT64_MAX, INT64_MIN, -7, 0.0); }
static cop_term binaries(cop_ctx *ctx) {
    static const char text[1000] = "some text";
    cop_term large = cop_binary(ctx, text, sizeof text);
    return cop_tuple(ctx, "", "a", cop_binary(ctx, text, 64), cop_binary(ctx, text, 65), large,
                     cop_binary_part(ctx, large, 3, 500), cop_binary_part(ctx, large, 3, 5),
                     cop__bitstring(ctx, (const uint8_t *)"\xff\xff", 2, 3));
}
static cop_term maps(cop_ctx *ctx) {
    cop_term map = cop_map(ctx, 1, "one", "two", cop_list(ctx, 2));
    for (int i = 0; i < 300; i++)
        map = cop_map_put(ctx, map, cop_tuple(ctx, i), cop_of(ctx, (double)i));
    return cop_tuple(ctx, map, cop_map(ctx), cop_map(ctx, map, map));
}
static cop_term externals(cop_ctx *ctx) {
    const uint32_t numbers_of[3] = { 1, 2, 3 };
    cop_atom node = cop_as("a@b");
    return cop_list(ctx, cop__external(ctx, BOX_EXT_PID, node, 7, 2, numbers_of),
                    cop__external(ctx, BOX_EXT_PORT, node, 7, 2, numbers_of),
                    cop__external(ctx, BOX_EXT_REF, node, 7, 3, numbers_of));
}
static cop_term improper(cop_ctx *ctx) {
    return cop_cons(ctx, cop_cons(ctx, cop_tuple(ctx), "x"), cop_tuple(ctx, cop_list(ctx, 1, 2)));
}
/* Lists of immediates beside others, before and behind them, and one behind the other: what points nowhere is
   copied in one go, and must not hide what does. */
static cop_term rows(cop_ctx *ctx) {
    cop_term plain = cop_list(ctx, 1, 2, 3), mixed = cop_list(ctx, 1, "two", plain, 4);
    cop_term ends_in_box = cop_cons(ctx, 1, cop_cons(ctx, 2, cop_of(ctx, "tail")));
    return cop_tuple(ctx, plain, plain, mixed, plain, cop_list(ctx, plain, plain, mixed, plain),
                     ends_in_box, plain, cop_tuple(ctx, plain, mixed), cop_cons(ctx, 7, plain));
}

TEST_TERM(a_copy_of_each_kind_is_the_same_term) {
    cop_term (*const builders[])(cop_ctx *) = { immediates, numbers,  binaries, maps,
                                                externals,  improper, rows };
    for (size_t i = 0; i < sizeof builders / sizeof *builders; i++)
        expect_copied(builders[i]);
}

TEST_TERM(an_immediate_takes_no_words) {
    cop_term all[] = { COP_INT(-1), cop_a(ok).t, COP_NIL, cop__pid_make(1, 2) };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        uint64_t *hp = NULL;
        EXPECT_INT(cop__term_words(all[i]), 0);
        EXPECT(cop__term_copy(all[i], &hp, NULL).w == all[i].w && hp == NULL);
    }
}

TEST_TERM(what_is_shared_is_copied_as_often_as_it_is_reached) {
    cop_term t = cop_tuple(ctx, 1); /* 2 words */
    for (int i = 0; i < 10; i++)
        t = cop_tuple(ctx, t, t);
    EXPECT_INT(cop__term_words(t), 1024 * 2 + 1023 * 3);
    cop_term copy;
    struct cop__fragment *fragment = copy_out(t, &copy);
    EXPECT(cop_same(t, copy));
    EXPECT(cop_elem(copy, 0).w != cop_elem(copy, 1).w);
    cop__fragment_free(fragment);
}

TEST_TERM(a_copy_holds_a_count_of_its_own) {
    cop_term t = cop_list(ctx, new_resource(ctx), cop_tuple(ctx, new_resource(ctx))), copy;
    struct cop__fragment *fragment = copy_out(t, &copy);
    cop__heap_reset((struct cop__heap *)ctx);
    EXPECT_INT(resources_alive, 2);
    void *object;
    EXPECT(cop_get_resource(cop_head(copy), &counted, &object));
    cop__fragment_free(fragment);
    EXPECT_INT(resources_alive, 0);
}

TEST_TERM(an_adopted_copy_lives_as_long_as_it_is_reached) {
    struct cop__heap *heap = (struct cop__heap *)ctx;
    cop_term t = cop_list(ctx, new_resource(ctx), new_resource(ctx)), copy;
    cop__heap_adopt(heap, copy_out(t, &copy));
    cop_term root = cop_tail(copy);
    cop__heap_collect(heap, &(struct cop__roots){ &root, 1 }, 1, false);
    EXPECT_INT(resources_alive, 1);
    root = COP_NIL;
    cop__heap_collect(heap, &(struct cop__roots){ &root, 1 }, 1, true);
    EXPECT_INT(resources_alive, 0);
}

/* ---- on the stack of a process --------------------------------------------------------------- */

enum { DEEP = 1000000 };

static void copy_and_compare(cop_term t, size_t words) {
    cop_term copy;
    EXPECT_INT(cop__term_words(t), words);
    struct cop__fragment *fragment = copy_out(t, &copy);
    EXPECT(cop_same(t, copy));
    EXPECT(cop_compare(t, copy) == 0);
    EXPECT(cop_eq(t, copy));
    EXPECT_INT(cop_phash2(t), cop_phash2(copy));
    cop__fragment_free(fragment);
}

static void *long_list(void *arg) {
    cop_ctx *ctx = arg;
    cop_term t = COP_NIL;
    for (int i = 0; i < DEEP; i++)
        t = cop_cons(ctx, COP_INT(i), t);
    copy_and_compare(t, 2 * (size_t)DEEP);
    return NULL;
}
static void *deep_heads(void *arg) {
    cop_ctx *ctx = arg;
    cop_term t = COP_NIL;
    for (int i = 0; i < DEEP; i++)
        t = cop_cons(ctx, t, cop_a(tail));
    copy_and_compare(t, 2 * (size_t)DEEP);
    return NULL;
}
static void *deep_tuples(void *arg) {
    cop_ctx *ctx = arg;
    cop_term t = COP_NIL;
    for (int i = 0; i < DEEP; i++)
        t = i % 2 ? cop_tuple(ctx, t, i) : cop_tuple(ctx, i, t);
    copy_and_compare(t, 3 * (size_t)DEEP);
    return NULL;
}
static void *deep_maps(void *arg) {
    cop_ctx *ctx = arg;
    cop_term t = COP_NIL;
    for (int i = 0; i < DEEP / 4; i++)
        t = i % 2 ? cop_map(ctx, cop_a(value), t) : cop_map(ctx, t, cop_a(value));
    copy_and_compare(t, 3 * (size_t)DEEP / 4);
    return NULL;
}

TEST_TERM(a_million_conses_need_no_stack) { run_on_small_stack(long_list, ctx); }
TEST_TERM(a_million_nested_heads_need_no_stack) { run_on_small_stack(deep_heads, ctx); }
TEST_TERM(a_million_nested_tuples_need_no_stack) { run_on_small_stack(deep_tuples, ctx); }
TEST_TERM(many_nested_maps_need_no_stack) { run_on_small_stack(deep_maps, ctx); }
