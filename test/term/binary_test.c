/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Binaries, bit strings and iodata: the border between inline and shared, parts that share, counts,
 * order bit by bit, and what is and is not iodata. Atoms: names there and back.
 */
#include <coppice/match.h>
#include <coppice/test.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "term/heap.h"
#include "term/layout.h"

static cop_term filled(cop_ctx *ctx, size_t size) {
    uint8_t *data;
    cop_term t = cop_binary_new(ctx, size, &data);
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)i;
    return t;
}

static uint64_t count_of(cop_term shared) {
    return ((const struct cop__shared *)(uintptr_t)cop__box(shared)[2])->count;
}

TEST_TERM(a_binary_keeps_its_bytes_at_any_size) {
    for (size_t size = 0; size < 200; size++) {
        cop_term t = filled(ctx, size);
        cop_bytes bytes;
        EXPECT(cop_get_bytes(t, &bytes) && bytes.size == size);
        for (size_t i = 0; i < size; i++)
            EXPECT_INT(bytes.data[i], (uint8_t)i);
        EXPECT(cop__is_kind(t, size <= 64 ? BOX_BINARY : BOX_SHARED));
        EXPECT(cop_same(t, cop_binary(ctx, bytes.data, size)));
        EXPECT(cop_match(t, bytes));
    }
}

TEST_TERM(a_part_shares_above_64_bytes) {
    cop_term whole = filled(ctx, 1000);
    cop_term part = cop_binary_part(ctx, whole, 100, 500);
    cop_term inner = cop_binary_part(ctx, part, 100, 65);
    cop_term small = cop_binary_part(ctx, whole, 7, 3);
    cop_bytes bytes;
    EXPECT_INT(count_of(whole), 3);
    EXPECT(cop_get_bytes(inner, &bytes) && bytes.data[0] == 200 && bytes.size == 65);
    EXPECT(cop_match(small, "\x07\x08\x09"));
    EXPECT(cop__is_kind(small, BOX_BINARY));
    EXPECT_INT(cop_phash2(inner), cop_phash2(cop_binary(ctx, bytes.data, bytes.size)));
    EXPECT(cop_same(cop_binary_part(ctx, whole, 1000, 0), cop_binary(ctx, "", 0)));
}

TEST_TERM(wrong_bounds_of_a_part_raise_badarg) {
    EXPECT_ERROR(ctx, ":badarg") { cop_binary_part(ctx, filled(ctx, 10), 11, 0); }
    EXPECT_ERROR(ctx, ":badarg") { cop_binary_part(ctx, filled(ctx, 10), 5, 6); }
    EXPECT_ERROR(ctx, ":badarg") { cop_binary_part(ctx, filled(ctx, 10), 5, SIZE_MAX); }
    EXPECT_ERROR(ctx, ":badarg") { cop_binary_part(ctx, COP_NIL, 0, 0); }
}

TEST_TERM(a_dropped_part_gives_its_count_back) {
    struct cop__heap *heap = (struct cop__heap *)ctx;
    cop_term root = filled(ctx, 1000);
    for (int i = 0; i < 10; i++)
        cop_binary_part(ctx, root, (size_t)i, 900);
    EXPECT_INT(count_of(root), 11);
    cop__heap_collect(heap, &(struct cop__roots){ &root, 1 }, 1, false);
    EXPECT_INT(count_of(root), 1);
}

TEST_TERM(binaries_order_byte_by_byte) {
    cop_term ascending[] = {
        cop_of(ctx, ""),
        cop__bitstring(ctx, (const uint8_t *)"\x00", 1, 1),
        cop__bitstring(ctx, (const uint8_t *)"\x00", 1, 3),
        cop_binary(ctx, "\0", 1),
        cop_of(ctx, "a"),
        cop__bitstring(ctx, (const uint8_t *)"a\x00", 2, 4),
        cop_of(ctx, "aa"),
        cop_of(ctx, "ab"),
        cop_of(ctx, "b"),
        cop__bitstring(ctx, (const uint8_t *)"\xff", 1, 1),
        cop_binary(ctx, "\xff", 1),
    };
    int n = sizeof ascending / sizeof *ascending;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < n; k++) {
            int order = cop_compare(ascending[i], ascending[k]);
            EXPECT_INT((order > 0) - (order < 0), (i > k) - (i < k));
            EXPECT(cop_same(ascending[i], ascending[k]) == (i == k));
        }
}

TEST_TERM(a_bit_string_is_no_binary) {
    cop_bytes bytes;
    unsigned bits;
    cop_term t = cop__bitstring(ctx, (const uint8_t *)"\xff\xff", 2, 3);
    EXPECT(!cop_is_binary(t) && !cop_get_bytes(t, &bytes));
    EXPECT(cop_kind_of(t) == COP_KIND_BINARY);
    EXPECT(cop__binary_view(t, &bytes, &bits) && bytes.size == 2 && bits == 3);
    EXPECT_INT(bytes.data[1], 0xe0); /* what does not belong to it is zero */
    EXPECT_INT(cop_iodata_size(t), -1);
}

TEST_TERM(iodata_is_flattened_in_order) {
    cop_term tail = cop_of(ctx, "tail");
    cop_term t = cop_list(ctx, "a", cop_list(ctx, 98, cop_list(ctx), cop_list(ctx, "c", 100)),
                          cop_list_tail(ctx, 101, tail));
    EXPECT_INT(cop_iodata_size(t), 9);
    EXPECT(cop_match(cop_iodata_to_binary(ctx, t), "abcdetail"));
    EXPECT_INT(cop_iodata_size(COP_NIL), 0);
    EXPECT_INT(cop_iodata_size(cop_of(ctx, "abc")), 3);
    cop_term large = cop_list(ctx, filled(ctx, 200), filled(ctx, 100));
    EXPECT_INT(cop_iodata_size(large), 300);
    EXPECT(cop_is_binary(cop_iodata_to_binary(ctx, large)));
}

TEST_TERM(what_is_no_iodata_is_found) {
    cop_term bad[] = {
        COP_INT(1),         cop_a(a).t,          cop_list(ctx, 256),
        cop_list(ctx, -1),  cop_cons(ctx, 1, 2), cop_list(ctx, cop_a(a)),
        cop_list(ctx, 1.0), cop_tuple(ctx, "a"), cop_list(ctx, "a", cop_cons(ctx, 1, 1)),
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        EXPECT_INT(cop_iodata_size(bad[i]), -1);
        EXPECT_ERROR(ctx, ":badarg") { cop_iodata_to_binary(ctx, bad[i]); }
    }
}

static void *deep_iodata(void *arg) {
    cop_ctx *ctx = arg;
    cop_term left = COP_NIL, right = COP_NIL;
    for (int i = 0; i < 500000; i++) {
        left = cop_list(ctx, left, "x");
        right = cop_cons(ctx, 120, right);
    }
    EXPECT_INT(cop_iodata_size(left), 500000);
    EXPECT(cop_same(cop_iodata_to_binary(ctx, left), cop_iodata_to_binary(ctx, right)));
    return NULL;
}

TEST_TERM(deep_iodata_needs_no_stack) {
    pthread_attr_t attr;
    pthread_t thread;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 65536);
    EXPECT_INT(pthread_create(&thread, &attr, deep_iodata, ctx), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attr);
}

TEST_TERM(format_makes_a_binary_of_any_length) {
    EXPECT(cop_match(cop_format(ctx, "%s %d", "n", 7), "n 7"));
    cop_bytes bytes;
    EXPECT(cop_get_bytes(cop_format(ctx, "%5000d", 1), &bytes) && bytes.size == 5000);
    EXPECT_INT(bytes.data[4999], '1');
    EXPECT(cop_match(cop_format(ctx, "%s", ""), ""));
}

TEST_TERM(a_charlist_holds_code_points) {
    cop_term head, tail;
    EXPECT(cop_same(cop_charlist(ctx, "ab"), cop_list(ctx, 97, 98)));
    EXPECT(cop_is_nil(cop_charlist(ctx, "")));
    EXPECT(cop_get_cons(cop_charlist(ctx, "\xe2\x82\xac!"), &head, &tail));
    EXPECT(cop_match(head, 0x20ac) && cop_same(tail, cop_list(ctx, 33)));
    EXPECT(cop_same(cop_charlist(ctx, "\xff!"), cop_list(ctx, 255, 33))); /* not UTF-8: bytes */
}

TEST_TERM(lists_are_reversed_and_appended) {
    cop_term list = cop_list(ctx, 1, 2, 3);
    EXPECT(cop_same(cop_list_reverse(ctx, list), cop_list(ctx, 3, 2, 1)));
    EXPECT(cop_same(cop_list_append(ctx, list, cop_list(ctx, 4)), cop_list(ctx, 1, 2, 3, 4)));
    EXPECT(cop_same(cop_list_append(ctx, COP_NIL, COP_INT(4)), COP_INT(4)));
    EXPECT(cop_same(cop_list_append(ctx, list, COP_INT(4)), cop_list_tail(ctx, 1, 2, 3, 4)));
    EXPECT(cop_same(list, cop_list(ctx, 1, 2, 3)));
    EXPECT_ERROR(ctx, ":badarg") { cop_list_reverse(ctx, cop_cons(ctx, 1, 2)); }
    EXPECT_ERROR(ctx, ":badarg") { cop_list_append(ctx, cop_cons(ctx, 1, 2), COP_NIL); }
}

/* ---- atoms ----------------------------------------------------------------------------------- */

TEST_TERM(an_atom_is_its_name) {
    size_t size;
    cop_atom atom;
    EXPECT(cop_atom_new("some_name").t.w == cop_a(some_name).t.w);
    EXPECT_STR(cop_atom_name(cop_a(some_name), &size), "some_name");
    EXPECT_INT(size, 9);
    EXPECT(!cop_atom_existing("never made before", 17, &atom));
    EXPECT(cop_atom_try("never made before", 17, &atom));
    EXPECT(cop_atom_existing("never made before", 17, &atom));
    EXPECT(cop_atom_try("", 0, &atom) && cop_atom_name(atom, &size)[0] == 0 && size == 0);
    EXPECT(cop_bool(true).t.w == cop_a(true).t.w && cop_bool(false).t.w == cop_a(false).t.w);
}

TEST_TERM(an_atom_has_at_most_255_characters_of_utf8) {
    char name[256 * 2];
    cop_atom atom;
    for (size_t i = 0; i < 256; i++)
        memcpy(name + 2 * i, "\xc3\xa9", 2);
    EXPECT(cop_atom_try(name, 255 * 2, &atom));
    EXPECT(!cop_atom_try(name, 256 * 2, &atom));
    EXPECT(!cop_atom_try("\xff", 1, &atom) && !cop_atom_try("\xc3", 1, &atom));
    EXPECT(!cop_atom_try("\xed\xa0\x80", 3, &atom) && !cop_atom_try("\xc0\xaf", 2, &atom));
}

static void *make_atoms(void *arg) {
    uint64_t *words = arg;
    for (int i = 0; i < 20000; i++) {
        char name[32];
        snprintf(name, sizeof name, "made by two %d", i);
        cop_atom atom = cop_atom_new(name);
        words[i] = atom.t.w;
        EXPECT_STR(cop_atom_name(atom, NULL), name);
    }
    return NULL;
}

TEST_TERM(two_threads_make_the_same_atoms) {
    enum { ATOMS = 20000 };
    uint64_t *words[2] = { calloc(ATOMS, 8), calloc(ATOMS, 8) };
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        EXPECT_INT(pthread_create(&threads[i], NULL, make_atoms, words[i]), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    EXPECT(memcmp(words[0], words[1], ATOMS * 8) == 0);
    free(words[0]);
    free(words[1]);
}
