/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Maps: up to 32 pairs a flat box sorted by key; above, a hash array mapped trie (HAMT) of 32-way
 * nodes over a 32-bit hash, with a collision box below the seventh level. Keys are the same when
 * they are ===. Putting and removing copy the path; the rest is shared with the old map.
 *
 *     HAMT { count, top }    NODE { bitmap, child ... }     child: NODE | COLLISION | [key | value]
 *
 * Invariants
 *   1. A flat map's keys are strictly ascending by cop__key_compare.
 *   2. A HAMT has more than 32 pairs; a NODE below the top never has a single leaf alone.
 * Recursion is as deep as the trie: at most 8.
 */
#include <stdlib.h>

#include "os/alloc.h"
#include "term/layout.h"

enum { LEVELS = 7 };

static inline unsigned part_of(uint32_t hash, unsigned level) { return hash >> (5 * level) & 31; }

int64_t cop_map_size(cop_term map) {
    if (cop__is_kind(map, BOX_MAP))
        return (int64_t)cop__header_size(*cop__box(map)) / 2;
    if (cop__is_kind(map, BOX_HAMT))
        return (int64_t)cop__box(map)[1];
    return -1;
}

/* ---- flat ------------------------------------------------------------------------------------ */

/* The place of key among n pairs; *found tells whether it is there. */
static size_t flat_find(const uint64_t *pairs, size_t n, cop_term key, bool *found) {
    *found = true;
    if (cop_is_immediate(key)) { /* only the same word can be it; most maps are small */
        for (size_t i = 0; i < n; i++)
            if (pairs[2 * i] == key.w)
                return i;
    }
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = cop__key_compare((cop_term){ pairs[2 * middle] }, key);
        if (order == 0)
            return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *found = false;
    return low;
}

/* Only the same word can be equal to an immediate key. */
static bool flat_get_word(const uint64_t *pairs, size_t n, cop_term key, cop_term *value) {
    for (size_t i = 0; i < n; i++)
        if (pairs[2 * i] == key.w) {
            value->w = pairs[2 * i + 1];
            return true;
        }
    return false;
}

static cop_term flat_new(cop_ctx *ctx, size_t n, uint64_t **pairs) {
    uint64_t *box = cop__heap_alloc(cop__heap_of(ctx), 2 * n + 1);
    box[0] = cop__header(BOX_MAP, 2 * n);
    *pairs = box + 1;
    return cop__box_term(box);
}

/* ---- the trie -------------------------------------------------------------------------------- */

static cop_term leaf_new(cop_ctx *ctx, cop_term key, cop_term value) {
    return cop_cons(ctx, key, value);
}

static cop_term node_new(cop_ctx *ctx, uint64_t bitmap, size_t n, uint64_t **children) {
    uint64_t *box = cop__heap_alloc(cop__heap_of(ctx), n + 2);
    box[0] = cop__header(BOX_NODE, n + 1);
    box[1] = bitmap;
    *children = box + 2;
    return cop__box_term(box);
}

static cop_term collision_new(cop_ctx *ctx, size_t n, const uint64_t *leaves, cop_term more) {
    uint64_t *box = cop__heap_alloc(cop__heap_of(ctx), n + 2);
    box[0] = cop__header(BOX_COLLISION, n + 1);
    for (size_t i = 0; i < n; i++)
        box[1 + i] = leaves[i];
    box[1 + n] = more.w;
    return cop__box_term(box);
}

/* Two leaves whose hashes are equal up to this level. */
static cop_term node_of_two(cop_ctx *ctx, unsigned level, cop_term a, uint32_t hash_a, cop_term b,
                            uint32_t hash_b) {
    if (level == LEVELS)
        return collision_new(ctx, 1, &a.w, b);
    unsigned part_a = part_of(hash_a, level), part_b = part_of(hash_b, level);
    uint64_t *children;
    if (part_a == part_b) {
        cop_term below = node_of_two(ctx, level + 1, a, hash_a, b, hash_b);
        cop_term node = node_new(ctx, UINT64_C(1) << part_a, 1, &children);
        children[0] = below.w;
        return node;
    }
    cop_term node = node_new(ctx, UINT64_C(1) << part_a | UINT64_C(1) << part_b, 2, &children);
    children[part_a > part_b] = a.w;
    children[part_a < part_b] = b.w;
    return node;
}

static cop_term trie_put(cop_ctx *ctx, cop_term at, unsigned level, uint32_t hash, cop_term key,
                         cop_term value, bool *added);

static cop_term collision_put(cop_ctx *ctx, cop_term at, cop_term key, cop_term value,
                              bool *added) {
    uint64_t *box = cop__box(at);
    size_t n = cop__header_size(*box);
    cop_term leaf = leaf_new(ctx, key, value);
    for (size_t i = 1; i <= n; i++) {
        if (!cop_same(cop_head((cop_term){ box[i] }), key))
            continue;
        cop_term copy = collision_new(ctx, n - 1, box + 1, (cop_term){ box[n] });
        cop__box(copy)[i] = leaf.w;
        return copy;
    }
    *added = true;
    return collision_new(ctx, n, box + 1, leaf);
}

static cop_term node_put(cop_ctx *ctx, cop_term at, unsigned level, uint32_t hash, cop_term key,
                         cop_term value, bool *added) {
    uint64_t *box = cop__box(at), *children;
    size_t n = cop__header_size(*box) - 1;
    uint64_t bit = UINT64_C(1) << part_of(hash, level), bitmap = box[1];
    size_t place = (size_t)__builtin_popcountll(bitmap & (bit - 1));
    bool there = (bitmap & bit) != 0;
    cop_term child;
    if (there) {
        child = trie_put(ctx, (cop_term){ box[2 + place] }, level + 1, hash, key, value, added);
    } else {
        child = leaf_new(ctx, key, value);
        *added = true;
    }
    cop_term node = node_new(ctx, bitmap | bit, there ? n : n + 1, &children);
    memcpy(children, box + 2, place * sizeof *children);
    children[place] = child.w;
    memcpy(children + place + 1, box + 2 + place + (there ? 1 : 0),
           (n - place - (there ? 1 : 0)) * sizeof *children);
    return node;
}

static cop_term trie_put(cop_ctx *ctx, cop_term at, unsigned level, uint32_t hash, cop_term key,
                         cop_term value, bool *added) {
    if (cop_is_cons(at)) {
        cop_term leaf = leaf_new(ctx, key, value), other = cop_head(at);
        if (cop_same(other, key))
            return leaf;
        *added = true;
        return node_of_two(ctx, level, at, cop__hash_key(other), leaf, hash);
    }
    if (cop__is_kind(at, BOX_COLLISION))
        return collision_put(ctx, at, key, value, added);
    return node_put(ctx, at, level, hash, key, value, added);
}

static bool trie_get(cop_term at, cop_term key, cop_term *value) {
    uint32_t hash = cop__hash_key(key);
    for (unsigned level = 0;; level++) {
        if (cop_is_cons(at)) {
            *value = cop_tail(at);
            return cop_same(cop_head(at), key);
        }
        uint64_t *box = cop__box(at);
        if (cop__header_kind(*box) == BOX_COLLISION) {
            for (size_t i = 1; i <= cop__header_size(*box); i++) {
                *value = cop_tail((cop_term){ box[i] });
                if (cop_same(cop_head((cop_term){ box[i] }), key))
                    return true;
            }
            return false;
        }
        uint64_t bit = UINT64_C(1) << part_of(hash, level);
        if ((box[1] & bit) == 0)
            return false;
        at = (cop_term){ box[2 + __builtin_popcountll(box[1] & (bit - 1))] };
    }
}

static cop_term hamt_new(cop_ctx *ctx, uint64_t count, cop_term top) {
    uint64_t *box = cop__heap_alloc(cop__heap_of(ctx), 3);
    box[0] = cop__header(BOX_HAMT, 2);
    box[1] = count;
    box[2] = top.w;
    return cop__box_term(box);
}

/* COP_NONE: nothing is left there. The key is known to be in it. */
static cop_term trie_remove(cop_ctx *ctx, cop_term at, unsigned level, uint32_t hash,
                            cop_term key) {
    if (cop_is_cons(at))
        return COP_NONE;
    uint64_t *box = cop__box(at), *children;
    size_t n = cop__header_size(*box);
    if (cop__header_kind(*box) == BOX_COLLISION) {
        size_t place = 1;
        while (!cop_same(cop_head((cop_term){ box[place] }), key))
            place++;
        if (n == 2)
            return (cop_term){ box[3 - place] };
        /* The last leaf takes the place of the one that goes. */
        cop_term copy = collision_new(ctx, n - 2, box + 1, (cop_term){ box[n - 1] });
        if (place < n)
            cop__box(copy)[place] = box[n];
        return copy;
    }
    n--;
    uint64_t bit = UINT64_C(1) << part_of(hash, level);
    size_t place = (size_t)__builtin_popcountll(box[1] & (bit - 1));
    cop_term child = trie_remove(ctx, (cop_term){ box[2 + place] }, level + 1, hash, key);
    if (cop_is_none(child)) {
        if (n == 1)
            return COP_NONE;
        cop_term other = { box[2 + (place == 0 ? 1 : 0)] };
        if (n == 2 && level > 0 && cop_is_cons(other))
            return other;
        cop_term node = node_new(ctx, box[1] & ~bit, n - 1, &children);
        memcpy(children, box + 2, place * sizeof *children);
        memcpy(children + place, box + 3 + place, (n - place - 1) * sizeof *children);
        return node;
    }
    if (n == 1 && level > 0 && cop_is_cons(child))
        return child;
    cop_term node = node_new(ctx, box[1], n, &children);
    memcpy(children, box + 2, n * sizeof *children);
    children[place] = child.w;
    return node;
}

/* ---- both ------------------------------------------------------------------------------------ */

bool cop_map_get(cop_term map, cop_term key, cop_term *value) {
    if (cop__is_kind(map, BOX_MAP)) {
        uint64_t *box = cop__box(map);
        bool found;
        if (cop_is_immediate(key))
            return flat_get_word(box + 1, cop__header_size(*box) / 2, key, value);
        size_t at = flat_find(box + 1, cop__header_size(*box) / 2, key, &found);
        if (found)
            value->w = box[1 + 2 * at + 1];
        return found;
    }
    cop_term got;
    if (!cop__is_kind(map, BOX_HAMT) || !trie_get((cop_term){ cop__box(map)[2] }, key, &got))
        return false;
    *value = got;
    return true;
}

static cop_term trie_of_flat(cop_ctx *ctx, const uint64_t *pairs, size_t n) {
    uint64_t *children;
    cop_term top = node_new(ctx, 0, 0, &children);
    for (size_t i = 0; i < n; i++) {
        bool added = false;
        cop_term key = { pairs[2 * i] };
        top =
            trie_put(ctx, top, 0, cop__hash_key(key), key, (cop_term){ pairs[2 * i + 1] }, &added);
    }
    return top;
}

cop_term cop_map_put(cop_ctx *ctx, cop_term map, cop_term key, cop_term value) {
    bool found, added = false;
    if (cop__is_kind(map, BOX_MAP)) {
        uint64_t *from = cop__box(map) + 1, *pairs;
        size_t n = cop__header_size(from[-1]) / 2, at = flat_find(from, n, key, &found);
        if (!found && n == COP__MAP_FLAT_MAX) {
            cop_term top = trie_of_flat(ctx, from, n);
            top = trie_put(ctx, top, 0, cop__hash_key(key), key, value, &added);
            return hamt_new(ctx, n + 1, top);
        }
        cop_term fresh = flat_new(ctx, found ? n : n + 1, &pairs);
        memcpy(pairs, from, 2 * at * sizeof *pairs);
        pairs[2 * at] = found ? from[2 * at] : key.w;
        pairs[2 * at + 1] = value.w;
        size_t skip = found ? at + 1 : at;
        memcpy(pairs + 2 * at + 2, from + 2 * skip, 2 * (n - skip) * sizeof *pairs);
        return fresh;
    }
    if (!cop__is_kind(map, BOX_HAMT))
        cop__raise(ctx, cop_tuple(ctx, cop_a(badmap), map));
    uint64_t *box = cop__box(map);
    cop_term top = trie_put(ctx, (cop_term){ box[2] }, 0, cop__hash_key(key), key, value, &added);
    return hamt_new(ctx, box[1] + (added ? 1 : 0), top);
}

struct pair {
    cop_term key, value;
    size_t order; /* of writing: the later of two equal keys wins */
};

static int by_key(const void *a, const void *b) {
    const struct pair *x = a, *y = b;
    int order = cop__key_compare(x->key, y->key);
    return order != 0 ? order : x->order < y->order ? -1 : x->order > y->order;
}

/* Most are few, and written in order. */
static void sort_pairs(struct pair *pairs, size_t n) {
    if (n > 8) {
        qsort(pairs, n, sizeof *pairs, by_key);
        return;
    }
    for (size_t i = 1; i < n; i++) {
        struct pair pair = pairs[i];
        size_t to = i;
        for (; to > 0 && cop__key_compare(pairs[to - 1].key, pair.key) > 0; to--)
            pairs[to] = pairs[to - 1];
        pairs[to] = pair;
    }
}

static bool is_same_key(cop_term a, cop_term b) {
    return a.w == b.w || (!cop_is_immediate(a) && cop__key_compare(a, b) == 0);
}

static cop_term flat_of_pairs(cop_ctx *ctx, struct pair *pairs, size_t n) {
    sort_pairs(pairs, n);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (kept > 0 && is_same_key(pairs[kept - 1].key, pairs[i].key))
            kept--;
        pairs[kept++] = pairs[i];
    }
    uint64_t *to;
    cop_term map = flat_new(ctx, kept, &to);
    for (size_t i = 0; i < kept; i++) {
        to[2 * i] = pairs[i].key.w;
        to[2 * i + 1] = pairs[i].value.w;
    }
    return map;
}

cop_term cop_map_remove(cop_ctx *ctx, cop_term map, cop_term key) {
    cop_term unused;
    if (!cop_is_map(map))
        cop__raise(ctx, cop_tuple(ctx, cop_a(badmap), map));
    if (!cop_map_get(map, key, &unused))
        return map;
    uint64_t *pairs;
    if (cop__is_kind(map, BOX_MAP)) {
        uint64_t *from = cop__box(map) + 1;
        bool found;
        size_t n = cop__header_size(from[-1]) / 2, at = flat_find(from, n, key, &found);
        cop_term fresh = flat_new(ctx, n - 1, &pairs);
        memcpy(pairs, from, 2 * at * sizeof *pairs);
        memcpy(pairs + 2 * at, from + 2 * at + 2, 2 * (n - at - 1) * sizeof *pairs);
        return fresh;
    }
    uint64_t *box = cop__box(map);
    cop_term top = trie_remove(ctx, (cop_term){ box[2] }, 0, cop__hash_key(key), key);
    cop_term rest = hamt_new(ctx, box[1] - 1, top);
    if (box[1] - 1 > COP__MAP_FLAT_MAX)
        return rest;
    struct pair all[COP__MAP_FLAT_MAX + 1]; /* the last look stores nothing, but is made */
    size_t n = 0;
    cop_map_iter it = cop_map_first(rest);
    while (cop_map_next(&it, &all[n].key, &all[n].value))
        n++;
    return flat_of_pairs(ctx, all, n);
}

cop_term cop_map_n(cop_ctx *ctx, size_t n, const cop_term *kv) {
    if (n % 2 != 0)
        cop__raise(ctx, cop_a(badarg).t);
    if (n / 2 <= COP__MAP_FLAT_MAX) {
        struct pair pairs[COP__MAP_FLAT_MAX];
        for (size_t i = 0; i < n / 2; i++)
            pairs[i] = (struct pair){ kv[2 * i], kv[2 * i + 1], i };
        return flat_of_pairs(ctx, pairs, n / 2);
    }
    cop_term map = cop_map_n(ctx, 2 * COP__MAP_FLAT_MAX, kv);
    for (size_t i = COP__MAP_FLAT_MAX; i < n / 2; i++)
        map = cop_map_put(ctx, map, kv[2 * i], kv[2 * i + 1]);
    return map;
}

cop_term cop_map_merge(cop_ctx *ctx, cop_term map, cop_term over) {
    if (!cop_is_map(map) || !cop_is_map(over))
        cop__raise(ctx, cop_tuple(ctx, cop_a(badmap), cop_is_map(map) ? over : map));
    cop_term key, value;
    cop_map_iter it = cop_map_first(over);
    while (cop_map_next(&it, &key, &value))
        map = cop_map_put(ctx, map, key, value);
    return map;
}

cop_term cop_map_keys(cop_ctx *ctx, cop_term map) {
    cop_term list = COP_NIL, key, value;
    cop_map_iter it = cop_map_first(map);
    while (cop_map_next(&it, &key, &value))
        list = cop_cons(ctx, key, list);
    return cop_list_reverse(ctx, list);
}

cop_term cop_map_to_list(cop_ctx *ctx, cop_term map) {
    cop_term list = COP_NIL, key, value;
    cop_map_iter it = cop_map_first(map);
    while (cop_map_next(&it, &key, &value))
        list = cop_cons(ctx, cop_tuple(ctx, key, value), list);
    return cop_list_reverse(ctx, list);
}

/* ---- iteration ------------------------------------------------------------------------------- */

cop_map_iter cop_map_first(cop_term map) {
    cop_map_iter it;
    it.map = map;
    it.index = 0;
    it.depth = 0;
    if (cop__is_kind(map, BOX_HAMT)) {
        it.path[0].node = (cop_term){ cop__box(map)[2] };
        it.path[0].at = 0;
        it.depth = 1;
    }
    return it;
}

static bool trie_next(cop_map_iter *it, cop_term *key, cop_term *value) {
    while (it->depth > 0) {
        uint64_t *box = cop__box(it->path[it->depth - 1].node);
        bool is_node = cop__header_kind(*box) == BOX_NODE;
        uint64_t *children = box + (is_node ? 2 : 1);
        size_t n = cop__header_size(*box) - (is_node ? 1 : 0);
        uint32_t at = it->path[it->depth - 1].at++;
        if (at >= n) {
            it->depth--;
            continue;
        }
        cop_term child = { children[at] };
        if (cop_get_cons(child, key, value))
            return true;
        it->path[it->depth].node = child;
        it->path[it->depth++].at = 0;
    }
    return false;
}

bool cop_map_next(cop_map_iter *it, cop_term *key, cop_term *value) {
    if (cop__is_kind(it->map, BOX_HAMT))
        return trie_next(it, key, value);
    if (!cop__is_kind(it->map, BOX_MAP))
        return false;
    uint64_t *box = cop__box(it->map);
    if (2 * it->index >= cop__header_size(*box))
        return false;
    key->w = box[1 + 2 * it->index];
    value->w = box[2 + 2 * it->index];
    it->index++;
    return true;
}
