/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patterns: a term against text in Elixir's notation, in which `_` (or a name such as `_ref`)
 * matches anything. As in Elixir, a map pattern matches maps that have at least its keys, and
 * everything else must be ===.
 *
 * The text is read by cop_parse, which knows no wildcards. So every wildcard is first written as an
 * atom that nobody uses, ANY; then pattern and term are walked side by side. Both the parse and the
 * walk use a heap of their own that is gone afterwards, so a pattern may be matched where no
 * process may allocate: in the middle of a selective receive.
 *
 * Invariant: only the pattern decides how deep the walk goes, and patterns are written by hand;
 * DEPTH bounds them, because processes have small stacks.
 *
 * Threads: any.
 */
#include "kit.h"
#include "term/heap.h"

#include <stdlib.h>
#include <string.h>

#define ANY ":\"$any\""
#define DEPTH 64

/* ---- the text -------------------------------------------------------------------------------- */

static bool is_name_byte(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'
           || c == '@';
}

/* The end of the quoted text that begins at `at`; escapes are stepped over. */
static const char *skip_quoted(const char *at) {
    char quote = *at++;
    while (*at != '\0' && *at != quote)
        at += at[0] == '\\' && at[1] != '\0' ? 2 : 1;
    return *at == quote ? at + 1 : at;
}

/* The end of a run of name bytes; a ":" before it and "?" or "!" after it do not matter here. */
static const char *skip_name(const char *at) {
    while (is_name_byte(*at))
        at++;
    return at;
}

/* A wildcard begins with "_" and is no keyword's key, as in %{_: 1}, and no atom, as in :_. */
static bool is_wildcard(const char *start, const char *at, const char *end) {
    return *at == '_' && *end != ':' && (at == start || at[-1] != ':');
}

/* The pattern with ANY for every wildcard; malloc'ed. */
static char *with_any(const char *pattern) {
    char *text = malloc(strlen(pattern) * sizeof(ANY) + 1), *out = text;
    if (text == NULL)
        test_fail_at("pattern", 0, "no memory");
    for (const char *at = pattern, *end; *at != '\0'; at = end) {
        const char *copied = at;
        size_t size;
        if (*at == '"' || *at == '\'')
            end = skip_quoted(at);
        else if (is_name_byte(*at))
            end = skip_name(at);
        else
            end = at + 1;
        size = (size_t)(end - at);
        if (is_wildcard(pattern, at, end)) {
            copied = ANY;
            size = sizeof(ANY) - 1;
        }
        memcpy(out, copied, size);
        out += size;
    }
    *out = '\0';
    return text;
}

/* ---- the walk -------------------------------------------------------------------------------- */

static bool walk(cop_term t, cop_term pattern, int depth);

static bool walk_tuple(cop_term t, cop_term pattern, int depth) {
    int64_t size = cop_tuple_size(pattern);
    if (cop_tuple_size(t) != size)
        return false;
    for (int64_t i = 0; i < size; i++)
        if (!walk(cop_elem(t, (size_t)i), cop_elem(pattern, (size_t)i), depth + 1))
            return false;
    return true;
}

/* Elements, then the tail, which [1 | _] leaves open. */
static bool walk_list(cop_term t, cop_term pattern, int depth) {
    while (cop_is_cons(pattern)) {
        if (!cop_is_cons(t) || !walk(cop_head(t), cop_head(pattern), depth + 1))
            return false;
        t = cop_tail(t);
        pattern = cop_tail(pattern);
    }
    return walk(t, pattern, depth + 1);
}

static bool walk_map(cop_term t, cop_term pattern, int depth) {
    cop_term key, wanted, value;
    if (!cop_is_map(t))
        return false;
    for (cop_map_iter it = cop_map_first(pattern); cop_map_next(&it, &key, &wanted);)
        if (!cop_map_get(t, key, &value) || !walk(value, wanted, depth + 1))
            return false;
    return true;
}

static bool walk(cop_term t, cop_term pattern, int depth) {
    if (depth > DEPTH)
        test_fail_at("pattern", 0, "a pattern is nested deeper than %d", DEPTH);
    if (pattern.w == cop_as("$any").t.w)
        return true;
    if (cop_is_tuple(pattern))
        return walk_tuple(t, pattern, depth);
    if (cop_is_cons(pattern))
        return walk_list(t, pattern, depth);
    if (cop_is_map(pattern))
        return walk_map(t, pattern, depth);
    return cop_same(t, pattern);
}

bool kit_matches(const char *file, int line, cop_term t, const char *pattern) {
    struct cop__heap heap;
    cop_term parsed;
    cop_parse_error error = { 0 };
    char *text = with_any(pattern);
    cop__heap_init(&heap);
    cop_ctx *ctx = (cop_ctx *)(void *)&heap;
    if (!cop_parse(ctx, text, strlen(text), &parsed, &error))
        test_fail_at(file, line, "this is no pattern: %s\nexpected at byte %zu of %s: %s", pattern,
                     error.offset, text, error.expected ? error.expected : "another");
    bool matched = walk(t, parsed, 0);
    cop__heap_reset(&heap);
    free(text);
    return matched;
}
