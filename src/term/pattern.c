/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patterns: the text is read into a term that has COP_NONE for each wildcard, then pattern and term
 * are walked side by side. What is still to be compared is kept in a list, pairs of pattern and
 * term, so neither depth nor length costs any stack. The pattern is built on the caller's heap and
 * released again: nothing refers to it afterwards.
 *
 * Threads: those of the heap.
 */
#include <coppice/pattern.h>

#include "term/layout.h"
#include "term/parse.h"

struct walk {
    struct cop__worklist pairs; /* pattern, term, pattern, term ... */
};

static void push(struct walk *walk, cop_term pattern, cop_term t) {
    cop__worklist_push(&walk->pairs, pattern);
    cop__worklist_push(&walk->pairs, t);
}

static bool step_tuple(struct walk *walk, cop_term pattern, cop_term t) {
    size_t size = (size_t)cop_tuple_size(pattern);
    const cop_term *have = cop__tuple_elems(t, size);
    if (have == NULL)
        return false;
    for (size_t i = 0; i < size; i++)
        push(walk, cop_elem(pattern, i), have[i]);
    return true;
}

/* The first element and the rest, which may be the open tail. */
static bool step_list(struct walk *walk, cop_term pattern, cop_term t) {
    cop_term head, tail;
    if (!cop_get_cons(t, &head, &tail))
        return false;
    push(walk, cop_tail(pattern), tail);
    push(walk, cop_head(pattern), head);
    return true;
}

static bool step_map(struct walk *walk, cop_term pattern, cop_term t) {
    cop_term key, wanted, value;
    if (!cop_is_map(t))
        return false;
    for (cop_map_iter it = cop_map_first(pattern); cop_map_next(&it, &key, &wanted);) {
        if (!cop_map_get(t, key, &value))
            return false;
        push(walk, wanted, value);
    }
    return true;
}

static bool step(struct walk *walk, cop_term pattern, cop_term t) {
    if (cop_is_none(pattern))
        return true;
    if (cop_is_tuple(pattern))
        return step_tuple(walk, pattern, t);
    if (cop_is_cons(pattern))
        return step_list(walk, pattern, t);
    if (cop_is_map(pattern))
        return step_map(walk, pattern, t);
    return cop_same(t, pattern);
}

static bool matches(cop_term pattern, cop_term t) {
    struct walk walk;
    cop__worklist_init(&walk.pairs);
    push(&walk, pattern, t);
    bool same = true;
    while (same && walk.pairs.count > 0) {
        size_t n = walk.pairs.count -= 2;
        same = step(&walk, walk.pairs.items[n], walk.pairs.items[n + 1]);
    }
    cop__worklist_free(&walk.pairs);
    return same;
}

bool cop_matches(cop_ctx *ctx, cop_term term, const char *pattern, cop_parse_error *error) {
    struct cop__heap *heap = cop__heap_of(ctx);
    struct cop__heap_mark mark = cop__heap_mark(heap);
    cop_term parsed;
    if (error != NULL)
        *error = (cop_parse_error){ 0, NULL };
    bool ok =
        cop__parse_pattern(ctx, pattern, strlen(pattern), &parsed, error) && matches(parsed, term);
    cop__heap_release(heap, &mark);
    return ok;
}
