/* SPDX-License-Identifier: Apache-2.0 */
/*
 * phash2: the portable hash of Erlang, bit for bit.
 *
 * A 32-bit state is mixed with each part of the term in the order Erlang visits them; each kind has
 * its own multiple of one constant. Strings inside lists are taken four bytes at a time. A map's
 * pairs are hashed each by itself and combined by exclusive or, so their order does not matter.
 * The walk keeps what is still to come in a list; for maps it also keeps marks there.
 *
 * The same walk with another treatment of immediates is cop__hash_key, by which our own maps place
 * their keys.
 */
#include "os/alloc.h"
#include "term/layout.h"

#define HCONST(n) (0x9e3779b9u * (uint32_t)(n))

static inline void mix(uint32_t *pa, uint32_t *pb, uint32_t *pc) {
    uint32_t a = *pa, b = *pb, c = *pc;
    a -= b, a -= c, a ^= c >> 13;
    b -= c, b -= a, b ^= a << 8;
    c -= a, c -= b, c ^= b >> 13;
    a -= b, a -= c, a ^= c >> 12;
    b -= c, b -= a, b ^= a << 16;
    c -= a, c -= b, c ^= b >> 5;
    a -= b, a -= c, a ^= c >> 3;
    b -= c, b -= a, b ^= a << 10;
    c -= a, c -= b, c ^= b >> 15;
    *pa = a, *pb = b, *pc = c;
}

static uint32_t hash_two(uint32_t x, uint32_t y, uint32_t constant, uint32_t hash) {
    uint32_t a = constant + x, b = constant + y;
    mix(&a, &b, &hash);
    return hash;
}

static uint32_t hash_one(uint32_t x, uint32_t constant, uint32_t hash) {
    return hash_two(x, 0, constant, hash);
}

static uint32_t hash_bytes(const uint8_t *k, size_t size, uint32_t init) {
    uint32_t a = HCONST(1), b = HCONST(1), c = init;
    size_t left = size;
    for (; left >= 12; k += 12, left -= 12) {
        a += k[0] + ((uint32_t)k[1] << 8) + ((uint32_t)k[2] << 16) + ((uint32_t)k[3] << 24);
        b += k[4] + ((uint32_t)k[5] << 8) + ((uint32_t)k[6] << 16) + ((uint32_t)k[7] << 24);
        c += k[8] + ((uint32_t)k[9] << 8) + ((uint32_t)k[10] << 16) + ((uint32_t)k[11] << 24);
        mix(&a, &b, &c);
    }
    c += (uint32_t)size;
    /* The lowest byte of c is kept for the length. */
    for (size_t i = left; i > 0; i--) {
        uint32_t byte = k[i - 1];
        if (i > 8)
            c += byte << 8 * (i - 8);
        else if (i > 4)
            b += byte << 8 * (i - 5);
        else
            a += byte << 8 * (i - 1);
    }
    mix(&a, &b, &c);
    return c;
}

static uint32_t hash_limbs(const uint64_t *limbs, size_t n, bool negative, uint32_t hash) {
    for (size_t i = 0; i < n; i++)
        hash = hash_two((uint32_t)limbs[i], (uint32_t)(limbs[i] >> 32), HCONST(negative ? 10 : 11),
                        hash);
    return hash;
}

static uint32_t hash_small(int64_t n, uint32_t hash) {
    if (n < -(INT64_C(1) << 27) || n >= INT64_C(1) << 27) {
        uint64_t limb = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
        return hash_limbs(&limb, 1, n < 0, hash);
    }
    int32_t y = (int32_t)n;
    if (y < 0) /* negative ones are mixed twice */
        hash = hash_one((uint32_t)-y, HCONST(1), hash);
    return hash_one((uint32_t)y, HCONST(1), hash);
}

static uint32_t hash_immediate(cop_term t, uint32_t hash) {
    uint32_t numbers[3];
    if (cop_is_small(t))
        return hash_small((int64_t)t.w >> 4, hash);
    if (cop_is_atom(t)) {
        uint32_t text = cop__atom_hash((cop_atom){ t });
        return hash == 0 ? text : hash_one(text, HCONST(3), hash);
    }
    if (cop_is_nil(t))
        return hash == 0 ? 3468870702u : hash_one(2, HCONST(2), hash);
    if (cop__is_pid_word(t))
        return hash_one((uint32_t)cop__pid_slot(t), HCONST(5), hash);
    if (cop__is_port_word(t))
        return hash_two((uint32_t)(t.w >> 6), (uint32_t)(t.w >> 38), HCONST(6), hash);
    cop__ref_numbers(t, numbers);
    return hash_one(numbers[0], HCONST(7), hash);
}

static uint32_t hash_binary(cop_term t, uint32_t hash) {
    cop_bytes bytes;
    unsigned bits;
    cop__binary_view(t, &bytes, &bits);
    uint32_t constant = HCONST(13) + hash;
    size_t whole = bits != 0 ? bytes.size - 1 : bytes.size;
    if (bytes.size == 0)
        return constant;
    hash = hash_bytes(bytes.data, whole, constant);
    if (bits != 0)
        hash = hash_two(bits, (uint32_t)bytes.data[whole] >> (8 - bits), HCONST(15), hash);
    return hash;
}

static uint32_t hash_float(cop_term t, uint32_t hash) {
    double d;
    uint64_t bits;
    cop_get_double(t, &d);
    if (d == 0)
        d = 0; /* minus zero too */
    memcpy(&bits, &d, sizeof bits);
    return hash_two((uint32_t)(bits >> 32), (uint32_t)bits, HCONST(12), hash);
}

/* Marks in the list: what is popped as one of these is no term (headers never are). */
enum { PAIR_END = 2, MAP_END = 6 };

struct walk {
    struct cop__worklist list;
    uint32_t hash, pairs;
    bool key; /* for a map: immediates count with all their bits */
};

static void hash_map(struct walk *w, cop_term t) {
    w->hash = hash_one((uint32_t)cop_map_size(t), HCONST(16), w->hash);
    if (cop_map_size(t) == 0)
        return;
    cop__worklist_push(&w->list, (cop_term){ (uint64_t)w->pairs << 3 | 7 });
    cop__worklist_push(&w->list, (cop_term){ (uint64_t)w->hash << 3 | 7 });
    cop__worklist_push(&w->list, (cop_term){ MAP_END });
    cop_term key, value;
    cop_map_iter it = cop_map_first(t);
    while (cop_map_next(&it, &key, &value)) {
        cop__worklist_push(&w->list, (cop_term){ PAIR_END });
        cop__worklist_push(&w->list, value);
        cop__worklist_push(&w->list, key);
    }
    w->hash = 0;
    w->pairs = 0;
}

static void hash_list(struct walk *w, cop_term t) {
    uint32_t packed = 0;
    int count = 0;
    while (cop_is_cons(t)) {
        cop_term head = cop_head(t);
        if (!cop_is_small(head) || head.w >> 4 > 255)
            break;
        packed = packed << 8 | (uint32_t)(head.w >> 4);
        if (count++ == 3) {
            w->hash = hash_one(packed, HCONST(4), w->hash);
            packed = 0;
            count = 0;
        }
        t = cop_tail(t);
    }
    if (count > 0)
        w->hash = hash_one(packed, HCONST(4), w->hash);
    if (cop_is_cons(t)) {
        cop__worklist_push(&w->list, cop_tail(t));
        cop__worklist_push(&w->list, cop_head(t));
    } else {
        cop__worklist_push(&w->list, t);
    }
}

static void hash_box(struct walk *w, cop_term t) {
    uint64_t *box = cop__box(t);
    size_t size = cop__header_size(*box);
    enum cop__box kind = cop__header_kind(*box);
    if (w->key && kind >= BOX_EXT_PID) {
        for (size_t i = 1; i <= size; i++)
            w->hash = hash_two((uint32_t)box[i], (uint32_t)(box[i] >> 32), HCONST(18), w->hash);
        return;
    }
    switch (kind) {
    case BOX_TUPLE:
        w->hash = hash_one((uint32_t)size, HCONST(9), w->hash);
        for (size_t i = size; i > 0; i--)
            cop__worklist_push(&w->list, (cop_term){ box[i] });
        return;
    case BOX_MAP:
    case BOX_HAMT:
        hash_map(w, t);
        return;
    case BOX_POSBIG:
    case BOX_NEGBIG:
        w->hash = hash_limbs(box + 1, size, kind == BOX_NEGBIG, w->hash);
        return;
    case BOX_FLOAT:
        w->hash = hash_float(t, w->hash);
        return;
    case BOX_BINARY:
    case BOX_SHARED:
        w->hash = hash_binary(t, w->hash);
        return;
    case BOX_EXT_PID:
        w->hash = hash_one((uint32_t)box[3], HCONST(5), w->hash);
        return;
    case BOX_EXT_PORT:
        w->hash = hash_two((uint32_t)box[4], (uint32_t)box[3], HCONST(6), w->hash);
        return;
    case BOX_EXT_REF:
    case BOX_RESOURCE:
        w->hash = hash_one((uint32_t)box[size > 2 ? 3 : 2], HCONST(7), w->hash);
        return;
    case BOX_EXPORT:
        w->hash = hash_two((uint32_t)box[3], cop__atom_hash((cop_atom){ { box[1] } }), HCONST(1),
                           w->hash);
        w->hash = hash_one(cop__atom_hash((cop_atom){ { box[2] } }), HCONST(14), w->hash);
        return;
    case BOX_FUN: /* a C function has no counterpart: its own, stable while the program runs */
        w->hash = hash_two((uint32_t)box[1], (uint32_t)(box[1] >> 32), HCONST(8), w->hash);
        cop__worklist_push(&w->list, (cop_term){ box[3] });
        return;
    case BOX_NODE:
    case BOX_COLLISION:
        break;
    }
    cop__term_panic("a part of a map was hashed");
}

static uint32_t hash_walk(cop_term t, bool key) {
    struct walk w;
    w.hash = w.pairs = 0;
    w.key = key;
    cop__worklist_init(&w.list);
    cop__worklist_push(&w.list, t);
    while (w.list.count > 0) {
        t = w.list.items[--w.list.count];
        if (t.w == PAIR_END) {
            w.pairs ^= w.hash;
            w.hash = 0;
        } else if (t.w == MAP_END) {
            w.hash = (uint32_t)(w.list.items[--w.list.count].w >> 3);
            w.hash = hash_one(w.pairs, HCONST(19), w.hash);
            w.pairs = (uint32_t)(w.list.items[--w.list.count].w >> 3);
        } else if (cop_is_immediate(t)) {
            w.hash = key ? hash_two((uint32_t)t.w, (uint32_t)(t.w >> 32), HCONST(18), w.hash)
                         : hash_immediate(t, w.hash);
        } else if (cop_is_cons(t)) {
            hash_list(&w, t);
        } else {
            hash_box(&w, t);
        }
    }
    cop__worklist_free(&w.list);
    return w.hash;
}

uint32_t cop__hash_full(cop_term t) {
    return cop_is_immediate(t) ? hash_immediate(t, 0) : hash_walk(t, false);
}

/* phash2 takes in little of a pid and of a reference; a map whose keys hold many of one process's
   references would be one long collision. */
uint32_t cop__hash_key(cop_term t) {
    if (!cop_is_immediate(t))
        return hash_walk(t, true) * 0x9e3779b1u;
    return (uint32_t)(t.w * UINT64_C(0x9e3779b97f4a7c15) >> 32);
}

uint32_t cop_phash2(cop_term t) { return cop__hash_full(t) & ((1u << 27) - 1); }

uint32_t cop_phash2_range(cop_term t, uint64_t range) {
    uint32_t hash = cop__hash_full(t);
    return range == 0 || range >= UINT64_C(1) << 32 ? hash : hash % (uint32_t)range;
}
