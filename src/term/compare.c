/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Erlang's total order, == and ===.
 *
 *     number < atom < reference < fun < port < pid < tuple < map < [] < list < bit string
 *
 * Nested terms are compared with an explicit list of pairs still to come; the first pair that
 * differs decides. A pair carries its mode: keys of maps are compared exactly (1 before 1.0),
 * values as the caller asked. An integer and a float are compared exactly, however large.
 */
#include <math.h>
#include <stdlib.h>

#include "os/alloc.h"
#include "term/layout.h"

/* ---- numbers --------------------------------------------------------------------------------- */

static int compare_magnitudes(const uint64_t *a, size_t na, const uint64_t *b, size_t nb) {
    if (na != nb)
        return na < nb ? -1 : 1;
    for (size_t i = na; i > 0; i--)
        if (a[i - 1] != b[i - 1])
            return a[i - 1] < b[i - 1] ? -1 : 1;
    return 0;
}

static int compare_integers(cop_term a, cop_term b) {
    struct cop__magnitude x, y;
    uint64_t small_x, small_y;
    cop__magnitude_of(a, &x, &small_x);
    cop__magnitude_of(b, &y, &small_y);
    if (x.negative != y.negative)
        return x.negative ? -1 : 1;
    int order = compare_magnitudes(x.limbs, x.count, y.limbs, y.count);
    return x.negative ? -order : order;
}

/* The whole part of |d| as limbs (a double has at most 1024 bits before the point). */
static size_t limbs_of(double d, uint64_t limbs[17]) {
    int exponent;
    double fraction = frexp(trunc(fabs(d)), &exponent);
    memset(limbs, 0, 17 * sizeof *limbs);
    if (exponent <= 0)
        return 0;
    uint64_t bits = (uint64_t)ldexp(fraction, 53); /* times 2^(exponent - 53) */
    int shift = exponent - 53;
    if (shift < 0) {
        limbs[0] = bits >> -shift;
    } else {
        limbs[shift / 64] = bits << shift % 64;
        if (shift % 64 > 11)
            limbs[shift / 64 + 1] = bits >> (64 - shift % 64);
    }
    size_t count = 17;
    while (count > 0 && limbs[count - 1] == 0)
        count--;
    return count;
}

static int compare_integer_float(cop_term a, double d) {
    struct cop__magnitude x;
    uint64_t small, limbs[17];
    cop__magnitude_of(a, &x, &small);
    bool negative = d < 0;
    if (x.count == 0)
        return d > 0 ? -1 : d < 0;
    if (d == 0 || x.negative != negative)
        return x.negative ? -1 : 1;
    size_t count = limbs_of(d, limbs);
    int order = compare_magnitudes(x.limbs, x.count, limbs, count);
    if (order == 0 && trunc(d) != d)
        order = -1; /* the float has a fraction more */
    return negative ? -order : order;
}

static int compare_numbers(cop_term a, cop_term b, bool exact) {
    double x, y;
    bool float_a = cop_get_double(a, &x), float_b = cop_get_double(b, &y);
    if (float_a && float_b)
        return x < y ? -1 : x > y;
    if (!float_a && !float_b)
        return compare_integers(a, b);
    if (exact)
        return float_a ? 1 : -1;
    return float_a ? -compare_integer_float(b, x) : compare_integer_float(a, y);
}

/* ---- what holds no terms --------------------------------------------------------------------- */

static int compare_text(const void *a, size_t na, const void *b, size_t nb) {
    int order = memcmp(a, b, na < nb ? na : nb);
    return order != 0 ? (order < 0 ? -1 : 1) : na < nb ? -1 : na > nb;
}

static int compare_atoms(cop_term a, cop_term b) {
    if (a.w == b.w)
        return 0;
    size_t na, nb;
    const char *x = cop_atom_name((cop_atom){ a }, &na), *y = cop_atom_name((cop_atom){ b }, &nb);
    return compare_text(x, na, y, nb);
}

static int compare_binaries(cop_term a, cop_term b) {
    cop_bytes x, y;
    unsigned bits_x, bits_y;
    cop__binary_view(a, &x, &bits_x);
    cop__binary_view(b, &y, &bits_y);
    size_t whole_x = bits_x ? x.size - 1 : x.size, whole_y = bits_y ? y.size - 1 : y.size;
    size_t whole = whole_x < whole_y ? whole_x : whole_y;
    int order = whole == 0 ? 0 : memcmp(x.data, y.data, whole);
    if (order != 0)
        return order < 0 ? -1 : 1;
    /* One ends here; the bits that are left of both decide, then the length. */
    size_t left_x = (x.size - whole) * 8 - (bits_x ? 8 - bits_x : 0);
    size_t left_y = (y.size - whole) * 8 - (bits_y ? 8 - bits_y : 0);
    if (left_x > 0 && left_y > 0) {
        size_t common = left_x < left_y ? left_x : left_y;
        unsigned mask = common >= 8 ? 0xff : 0xff00u >> common & 0xff;
        unsigned p = x.data[whole] & mask, q = y.data[whole] & mask;
        if (p != q)
            return p < q ? -1 : 1;
    }
    return left_x < left_y ? -1 : left_x > left_y;
}

/* Addresses: the numbers, most significant last in the box, then the node. */
struct address {
    uint64_t numbers[3];
    const char *node;
    uint64_t creation;
};

static void address_of(cop_term t, struct address *a) {
    memset(a, 0, sizeof *a);
    a->node = "nonode@nohost";
    if (cop_is_immediate(t)) {
        a->numbers[0] = t.w >> (cop__is_pid_word(t) ? 4 : 6);
        return;
    }
    uint64_t *box = cop__box(t);
    if (cop__header_kind(*box) == BOX_RESOURCE) {
        a->numbers[0] = box[2];
        return;
    }
    a->node = cop_atom_name((cop_atom){ { box[1] } }, NULL);
    a->creation = box[2];
    for (size_t i = 3; i <= cop__header_size(*box) && i < 6; i++)
        a->numbers[i - 3] = box[i];
}

static int compare_addresses(cop_term a, cop_term b) {
    struct address x, y;
    address_of(a, &x);
    address_of(b, &y);
    for (int i = 2; i >= 0; i--)
        if (x.numbers[i] != y.numbers[i])
            return x.numbers[i] < y.numbers[i] ? -1 : 1;
    int order = strcmp(x.node, y.node);
    if (order != 0)
        return order < 0 ? -1 : 1;
    return x.creation < y.creation ? -1 : x.creation > y.creation;
}

/* ---- the walk -------------------------------------------------------------------------------- */

struct walk {
    struct cop__worklist pairs; /* a, b, mode; a, b, mode ... */
};

static void push(struct walk *walk, cop_term a, cop_term b, bool exact) {
    if (a.w == b.w)
        return;
    cop__worklist_push(&walk->pairs, a);
    cop__worklist_push(&walk->pairs, b);
    cop__worklist_push(&walk->pairs, (cop_term){ exact });
}

static int by_key(const void *a, const void *b) {
    const cop_term *x = a, *y = b; /* of { key, value } */
    return cop__key_compare(*x, *y);
}

/* All pairs of a map by ascending key, in a block to be freed. */
static cop_term *sorted_pairs(cop_term map, size_t n) {
    cop_term *pairs = cop__malloc((2 * n + 1) * sizeof *pairs);
    cop_map_iter it = cop_map_first(map);
    for (size_t i = 0; i < n && cop_map_next(&it, &pairs[2 * i], &pairs[2 * i + 1]); i++)
        ;
    if (cop__is_kind(map, BOX_HAMT))
        qsort(pairs, n, 2 * sizeof *pairs, by_key);
    return pairs;
}

static int compare_maps(struct walk *walk, cop_term a, cop_term b, bool exact) {
    size_t n = (size_t)cop_map_size(a), m = (size_t)cop_map_size(b);
    if (n != m)
        return n < m ? -1 : 1;
    cop_term *x = sorted_pairs(a, n), *y = sorted_pairs(b, n);
    for (size_t i = n; i > 0; i--)
        push(walk, x[2 * i - 1], y[2 * i - 1], exact);
    for (size_t i = n; i > 0; i--)
        push(walk, x[2 * i - 2], y[2 * i - 2], true);
    cop__free(x);
    cop__free(y);
    return 0;
}

static int compare_funs(struct walk *walk, cop_term a, cop_term b, bool exact) {
    uint64_t *x = cop__box(a), *y = cop__box(b);
    bool export_a = cop__is_kind(a, BOX_EXPORT), export_b = cop__is_kind(b, BOX_EXPORT);
    if (export_a != export_b)
        return export_a ? 1 : -1;
    if (export_a) {
        int order = compare_atoms((cop_term){ x[1] }, (cop_term){ y[1] });
        if (order == 0)
            order = compare_atoms((cop_term){ x[2] }, (cop_term){ y[2] });
        return order != 0 ? order : x[3] < y[3] ? -1 : x[3] > y[3];
    }
    if (x[1] != y[1])
        return x[1] < y[1] ? -1 : 1;
    if (x[2] != y[2])
        return x[2] < y[2] ? -1 : 1;
    push(walk, (cop_term){ x[3] }, (cop_term){ y[3] }, exact);
    return 0;
}

static cop_kind order_of(cop_term t) {
    cop_kind kind = cop_kind_of(t);
    return kind == COP_KIND_RESOURCE ? COP_KIND_REF
           : kind == COP_KIND_FLOAT  ? COP_KIND_INTEGER
                                     : kind;
}

/* One pair; what is inside is pushed. */
static int compare_step(struct walk *walk, cop_term a, cop_term b, bool exact) {
    cop_kind kind = order_of(a), other = order_of(b);
    if (kind != other)
        return kind < other ? -1 : 1;
    switch (kind) {
    case COP_KIND_INTEGER:
    case COP_KIND_FLOAT:
        return compare_numbers(a, b, exact);
    case COP_KIND_ATOM:
        return compare_atoms(a, b);
    case COP_KIND_REF:
    case COP_KIND_PORT:
    case COP_KIND_PID:
    case COP_KIND_RESOURCE:
        return compare_addresses(a, b);
    case COP_KIND_FUN:
        return compare_funs(walk, a, b, exact);
    case COP_KIND_TUPLE: {
        size_t n = (size_t)cop_tuple_size(a), m = (size_t)cop_tuple_size(b);
        if (n != m)
            return n < m ? -1 : 1;
        for (size_t i = n; i > 0; i--)
            push(walk, (cop_term){ cop__box(a)[i] }, (cop_term){ cop__box(b)[i] }, exact);
        return 0;
    }
    case COP_KIND_MAP:
        return compare_maps(walk, a, b, exact);
    case COP_KIND_NIL:
        return 0;
    case COP_KIND_LIST:
        push(walk, cop_tail(a), cop_tail(b), exact);
        push(walk, cop_head(a), cop_head(b), exact);
        return 0;
    case COP_KIND_BINARY:
        break;
    }
    return compare_binaries(a, b);
}

static int compare(cop_term a, cop_term b, bool exact) {
    if (a.w == b.w)
        return 0;
    struct walk walk;
    cop__worklist_init(&walk.pairs);
    int order = compare_step(&walk, a, b, exact);
    while (order == 0 && walk.pairs.count > 0) {
        size_t n = walk.pairs.count -= 3;
        cop_term *p = walk.pairs.items + n;
        order = compare_step(&walk, p[0], p[1], p[2].w != 0);
    }
    cop__worklist_free(&walk.pairs);
    return order;
}

int cop_compare(cop_term a, cop_term b) { return compare(a, b, false); }
bool cop_eq(cop_term a, cop_term b) { return compare(a, b, false) == 0; }
int cop__key_compare(cop_term a, cop_term b) {
    return cop_is_atom(a) && cop_is_atom(b) ? compare_atoms(a, b) : compare(a, b, true);
}

/* One box against another for ===, both not the same word. Tuples and flat maps have their equals
   place by place, so unequal headers end it and words are compared before anything is pushed. */
static bool same_box(struct cop__worklist *pairs, cop_term a, cop_term b) {
    const uint64_t *x = cop__box(a), *y = cop__box(b);
    enum cop__box kind = cop__header_kind(*x);
    if (kind != BOX_TUPLE && kind != BOX_MAP)
        return compare(a, b, true) == 0;
    if (*x != *y)
        return false;
    for (size_t i = 1; i <= cop__header_size(*x); i++) {
        if (x[i] == y[i])
            continue;
        if ((x[i] & 3) != (y[i] & 3) || (x[i] & 3) == 3)
            return false;
        cop__worklist_push(pairs, (cop_term){ x[i] });
        cop__worklist_push(pairs, (cop_term){ y[i] });
    }
    return true;
}

/* Both are boxes or both conses. */
static bool same_walk(cop_term a, cop_term b) {
    struct cop__worklist pairs;
    cop__worklist_init(&pairs);
    bool same = true;
    for (;;) {
        while (same && cop_is_cons(a)) {
            const uint64_t *x = cop__cons(a), *y = cop__cons(b);
            if (x[0] != y[0]) {
                same = (x[0] & 3) == (y[0] & 3) && (x[0] & 3) != 3;
                cop__worklist_push(&pairs, (cop_term){ x[0] });
                cop__worklist_push(&pairs, (cop_term){ y[0] });
            }
            a.w = x[1];
            b.w = y[1];
            if (a.w == b.w)
                break;
            same = same && (a.w & 3) == (b.w & 3) && (a.w & 3) != 3;
        }
        if (same && a.w != b.w)
            same = same_box(&pairs, a, b);
        if (!same || pairs.count == 0)
            break;
        pairs.count -= 2;
        a = pairs.items[pairs.count];
        b = pairs.items[pairs.count + 1];
    }
    cop__worklist_free(&pairs);
    return same;
}

bool cop_same(cop_term a, cop_term b) {
    if (a.w == b.w)
        return true;
    if ((a.w & 3) != (b.w & 3) || cop_is_immediate(a) || cop_is_none(a) || cop_is_none(b))
        return false;
    return same_walk(a, b);
}
