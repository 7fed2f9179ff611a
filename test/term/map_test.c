/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Maps against a model: an array of slots, one per key of a fixed set, each present with a value or
 * not. Sizes cross the border between flat maps and tries again and again.
 */
#include <coppice/test.h>
#include <pthread.h>
#include <stdlib.h>

#include "os/alloc.h"
#include "term/heap.h"
#include "term/layout.h"

enum { KEYS = 2000 };

struct model {
    int64_t values[KEYS]; /* -1: not there */
    int64_t count;
};

static uint32_t next_random(uint64_t *seed) {
    *seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (uint32_t)(*seed >> 33);
}

/* The key of a slot, built anew each time so that nothing is found by its address. Neighbours are
   == but not === where that is possible. */
static cop_term key_at(cop_ctx *ctx, int slot) {
    int n = slot / 8;
    switch (slot % 8) {
    case 0:
        return COP_INT(n);
    case 1:
        return cop_of(ctx, (double)n);
    case 2:
        return cop_tuple(ctx, n);
    case 3:
        return cop_tuple(ctx, (double)n);
    case 4:
        return cop_format(ctx, "key %d", n);
    case 5:
        return cop_of(ctx, UINT64_MAX - (uint64_t)n);
    case 6:
        return cop_tuple(ctx, cop_a(tag), cop__ref_make(5, (uint64_t)n));
    default:
        return cop_map(ctx, n, cop_list(ctx, n));
    }
}

static void model_clear(struct model *model) {
    model->count = 0;
    for (int i = 0; i < KEYS; i++)
        model->values[i] = -1;
}

static void model_set(struct model *model, int slot, int64_t value) {
    model->count += (value >= 0) - (model->values[slot] >= 0);
    model->values[slot] = value;
}

static int64_t small(cop_term t) {
    int64_t n = -1;
    EXPECT(cop_get_i64(t, &n));
    return n;
}

static int slot_of_value(int64_t value) { return (int)(value % KEYS); }

/* Everything that can be asked of a map. A value is slot + KEYS * n. */
static void expect_model(cop_ctx *ctx, cop_term map, const struct model *model) {
    EXPECT_INT(cop_map_size(map), model->count);
    for (int slot = 0; slot < KEYS; slot++) {
        cop_term found;
        bool there = cop_map_get(map, key_at(ctx, slot), &found);
        EXPECT(there == (model->values[slot] >= 0));
        if (there)
            EXPECT_INT(small(found), model->values[slot]);
    }
    cop_term key, value;
    int64_t seen = 0;
    cop_map_iter it = cop_map_first(map);
    for (; cop_map_next(&it, &key, &value); seen++) {
        EXPECT_INT(model->values[slot_of_value(small(value))], small(value));
        EXPECT(cop_same(key, key_at(ctx, slot_of_value(small(value)))));
    }
    EXPECT_INT(seen, model->count);
}

/* The same content in another order of putting is the same map. */
static cop_term rebuilt(cop_ctx *ctx, const struct model *model, uint64_t *seed) {
    cop_term map = cop_map(ctx);
    int start = (int)(next_random(seed) % KEYS);
    for (int i = 0; i < KEYS; i++) {
        int slot = (start + i * 7) % KEYS; /* 7 and KEYS have no common factor */
        if (model->values[slot] >= 0)
            map = cop_map_put(ctx, map, key_at(ctx, slot), COP_INT(model->values[slot]));
    }
    return map;
}

static void collect(cop_ctx *ctx, cop_term *map) {
    cop__heap_collect((struct cop__heap *)ctx, &(struct cop__roots){ map, 1 }, 1, false);
}

/* Random puts and removes over the first `keys` slots. */
static void run_against_model(cop_ctx *ctx, uint64_t seed, int keys, int rounds) {
    static struct model model;
    model_clear(&model);
    cop_term map = cop_map(ctx);
    for (int round = 0; round < rounds; round++) {
        int bias = round / 3 % 2; /* grows for some rounds, then shrinks */
        for (int i = 0; i < keys / 2; i++) {
            uint32_t r = next_random(&seed);
            int slot = (int)(r % (uint32_t)keys);
            if (r / 7919 % 4 < 1 + 2 * (uint32_t)bias) {
                map = cop_map_remove(ctx, map, key_at(ctx, slot));
                model_set(&model, slot, -1);
            } else {
                int64_t value = slot + KEYS * (int64_t)(r % 1000);
                map = cop_map_put(ctx, map, key_at(ctx, slot), COP_INT(value));
                model_set(&model, slot, value);
            }
        }
        expect_model(ctx, map, &model);
        cop_term twin = rebuilt(ctx, &model, &seed);
        EXPECT(cop_same(map, twin) && cop_eq(map, twin) && cop_compare(map, twin) == 0);
        EXPECT_INT(cop_phash2(map), cop_phash2(twin));
        EXPECT_INT(cop__hash_key(map), cop__hash_key(twin));
        collect(ctx, &map);
    }
}

TEST_TERM(small_maps_behave_like_the_model) { run_against_model(ctx, 1, 24, 200); }
TEST_TERM(maps_about_the_border_behave_like_the_model) { run_against_model(ctx, 2, 64, 200); }
TEST_TERM(large_maps_behave_like_the_model) { run_against_model(ctx, 3, KEYS, 24); }

TEST_TERM(a_map_can_be_emptied_from_any_size) {
    for (int size = 0; size <= 200; size += 5) {
        cop_term map = cop_map(ctx);
        for (int i = 0; i < size; i++)
            map = cop_map_put(ctx, map, key_at(ctx, i), COP_INT(i));
        for (int i = size; i-- > 0;) {
            map = cop_map_remove(ctx, map, key_at(ctx, i));
            EXPECT_INT(cop_map_size(map), i);
            /* 32 keys or fewer are always flat, as equality and order rely on. */
            EXPECT(cop__is_kind(map, i > 32 ? BOX_HAMT : BOX_MAP));
        }
        EXPECT(cop_same(map, cop_map(ctx)));
    }
}

TEST_TERM(a_removed_key_that_is_not_there_changes_nothing) {
    cop_term map = cop_map(ctx, 1, "one");
    EXPECT(cop_map_remove(ctx, map, cop_of(ctx, 1.0)).w == map.w);
    EXPECT(cop_map_remove(ctx, cop_map(ctx), COP_NIL).w != 0);
}

TEST_TERM(keys_are_the_same_only_with_the_same_type) {
    cop_term value, map = cop_map(ctx, 1, "integer", 1.0, "float");
    EXPECT_INT(cop_map_size(map), 2);
    EXPECT(cop_map_get(map, COP_INT(1), &value) && cop_match(value, "integer"));
    EXPECT(cop_map_get(map, cop_of(ctx, 1.0), &value) && cop_match(value, "float"));
    EXPECT(!cop_map_get(map, cop_a(a).t, &value));
    EXPECT(!cop_map_get(COP_INT(1), COP_INT(1), &value));
}

TEST_TERM(a_key_given_twice_keeps_its_last_value) {
    cop_term value, pairs[200];
    for (int i = 0; i < 100; i++) {
        pairs[2 * i] = cop_tuple(ctx, i % 50);
        pairs[2 * i + 1] = COP_INT(i);
    }
    cop_term map = cop_map_n(ctx, 200, pairs);
    EXPECT_INT(cop_map_size(map), 50);
    EXPECT(cop_map_get(map, cop_tuple(ctx, 7), &value) && cop_match(value, 57));
    map = cop_map(ctx, 1, "a", 2, "b", 1, "c", 2, "d", 1, "e");
    EXPECT_INT(cop_map_size(map), 2);
    EXPECT(cop_map_get(map, COP_INT(1), &value) && cop_match(value, "e"));
}

TEST_TERM(a_flat_map_runs_in_the_order_of_terms) {
    cop_term map = cop_map(ctx, "b", 8, COP_NIL, 7, cop_tuple(ctx), 5, cop_a(b), 4, cop_a(a), 3,
                           1.0, 2, 2, 1, cop_map(ctx), 6, 1, 0);
    cop_term key, value;
    cop_map_iter it = cop_map_first(map);
    for (int i = 0; i < 9; i++)
        EXPECT(cop_map_next(&it, &key, &value) && cop_match(value, i));
    EXPECT(!cop_map_next(&it, &key, &value));
    EXPECT_INT(cop_list_length(cop_map_keys(ctx, map)), 9);
    EXPECT(cop_match_tuple(cop_head(cop_map_to_list(ctx, map)), 1, 0));
}

TEST_TERM(merging_takes_the_second_maps_value) {
    uint64_t seed = 11;
    static struct model both;
    for (int round = 0; round < 30; round++) {
        cop_term maps[2];
        int sizes[2] = { (int)(next_random(&seed) % 80), (int)(next_random(&seed) % 80) };
        model_clear(&both);
        for (int m = 0; m < 2; m++) {
            maps[m] = cop_map(ctx);
            for (int i = 0; i < sizes[m]; i++) {
                int slot = (int)(next_random(&seed) % 120);
                int64_t value = slot + KEYS * (int64_t)(m + 1);
                maps[m] = cop_map_put(ctx, maps[m], key_at(ctx, slot), COP_INT(value));
                model_set(&both, slot, value);
            }
        }
        expect_model(ctx, cop_map_merge(ctx, maps[0], maps[1]), &both);
    }
}

TEST_TERM(maps_order_by_size_then_keys_then_values) {
    cop_term ascending[] = {
        cop_map(ctx),
        cop_map(ctx, 1, 9),
        cop_map(ctx, 2, 1),
        cop_map(ctx, 1.0, 1), /* keys: integers before floats */
        cop_map(ctx, cop_a(a), 1),
        cop_map(ctx, cop_a(a), 2),
        cop_map(ctx, 1, 1, 2, 1),
        cop_map(ctx, 1, 1, 3, 0),
    };
    size_t n = sizeof ascending / sizeof *ascending;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n; k++) {
            int order = cop_compare(ascending[i], ascending[k]);
            EXPECT_INT((order > 0) - (order < 0), (i > k) - (i < k));
        }
    EXPECT(cop_eq(cop_map(ctx, 1, 1), cop_map(ctx, 1, 1.0)));
    EXPECT(!cop_same(cop_map(ctx, 1, 1), cop_map(ctx, 1, 1.0)));
    EXPECT(!cop_eq(cop_map(ctx, 1, 1), cop_map(ctx, 1.0, 1)));
}

TEST_TERM(large_maps_that_differ_in_one_place_are_different) {
    cop_term map = cop_map(ctx);
    for (int i = 0; i < 500; i++)
        map = cop_map_put(ctx, map, key_at(ctx, i), COP_INT(i));
    for (int i = 0; i < 500; i += 37) {
        cop_term other = cop_map_put(ctx, map, key_at(ctx, i), COP_INT(1000));
        EXPECT(!cop_same(map, other) && !cop_eq(map, other));
        EXPECT(cop_compare(map, other) < 0 && cop_compare(other, map) > 0);
        other = cop_map_put(ctx, map, key_at(ctx, i), cop_of(ctx, (double)i));
        EXPECT(!cop_same(map, other) && cop_eq(map, other));
        other = cop_map_put(ctx, cop_map_remove(ctx, map, key_at(ctx, i)), COP_NIL, COP_INT(i));
        EXPECT(!cop_eq(map, other) && cop_compare(map, other) == -cop_compare(other, map));
    }
}

/* Pairs of binaries of 8 bytes whose key hash is equal, found by search: they share a collision. */
static cop_term same_hash_twin(cop_ctx *ctx, cop_term *other) {
    enum { SLOTS = 1 << 20 };
    uint32_t *seen = calloc(SLOTS, sizeof *seen);
    cop_term found = COP_NONE;
    for (uint32_t n = 1; n < 2000000 && cop_is_none(found); n++) {
        struct cop__heap_mark mark = cop__heap_mark((struct cop__heap *)ctx);
        uint32_t hash = cop__hash_key(cop_binary(ctx, &n, sizeof n)), *slot = &seen[hash % SLOTS];
        cop__heap_release((struct cop__heap *)ctx, &mark);
        if (*slot != 0 && cop__hash_key(cop_binary(ctx, slot, sizeof n)) == hash) {
            *other = cop_binary(ctx, slot, sizeof n);
            found = cop_binary(ctx, &n, sizeof n);
        }
        *slot = n;
    }
    free(seen);
    return found;
}

TEST_TERM(keys_of_equal_hash_live_together) {
    cop_term a, b = same_hash_twin(ctx, &a), value, map = cop_map(ctx);
    EXPECT(!cop_is_none(b));
    for (int i = 0; i < 60; i++)
        map = cop_map_put(ctx, map, COP_INT(i), COP_NIL);
    cop_term with_a = cop_map_put(ctx, map, a, COP_INT(1));
    cop_term with_both = cop_map_put(ctx, with_a, b, COP_INT(2));
    EXPECT_INT(cop_map_size(with_both), 62);
    EXPECT(cop_map_get(with_both, a, &value) && cop_match(value, 1));
    EXPECT(cop_map_get(with_both, b, &value) && cop_match(value, 2));
    EXPECT(!cop_map_get(with_a, b, &value));
    with_both = cop_map_put(ctx, with_both, a, COP_INT(3));
    EXPECT_INT(cop_map_size(with_both), 62);
    cop_term other_order = cop_map_put(ctx, cop_map_put(ctx, map, b, COP_INT(2)), a, COP_INT(3));
    EXPECT(cop_same(with_both, other_order));
    cop_term without_b = cop_map_remove(ctx, with_both, b);
    EXPECT(cop_same(without_b, cop_map_put(ctx, map, a, COP_INT(3))));
    EXPECT(cop_same(cop_map_remove(ctx, without_b, a), map));
}

/* ---- on the stack of a process --------------------------------------------------------------- */

static void *grow_large(void *arg) {
    cop_ctx *ctx = arg;
    cop_term map = cop_map(ctx), value;
    for (int i = 0; i < 50000; i++) {
        map = cop_map_put(ctx, map, cop_tuple(ctx, i), COP_INT(i));
        if (i % 1000 == 0)
            collect(ctx, &map);
    }
    EXPECT_INT(cop_map_size(map), 50000);
    EXPECT(cop_map_get(map, cop_tuple(ctx, 33333), &value) && cop_match(value, 33333));
    EXPECT(cop_same(map, cop_map_merge(ctx, map, map)));
    return NULL;
}

TEST_TERM(large_maps_need_little_stack) {
    pthread_attr_t attr;
    pthread_t thread;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 65536);
    EXPECT_INT(pthread_create(&thread, &attr, grow_large, ctx), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attr);
}

TEST_TERM(what_is_no_map_raises_badmap) {
    EXPECT_ERROR(ctx, "{:badmap, 1}") { cop_map_put(ctx, COP_INT(1), COP_INT(1), COP_INT(1)); }
    EXPECT_ERROR(ctx, "{:badmap, []}") { cop_map_remove(ctx, COP_NIL, COP_INT(1)); }
    EXPECT_ERROR(ctx, "{:badmap, []}") { cop_map_merge(ctx, cop_map(ctx), COP_NIL); }
    EXPECT_INT(cop_map_size(COP_NIL), -1);
}
