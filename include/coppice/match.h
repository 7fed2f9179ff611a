/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COPPICE_MATCH_H
#define COPPICE_MATCH_H

#include <coppice/term.h>

/*
 * Matching: a value must be equal, an address is bound.
 *   cop_match_tuple(msg, cop_a(add), &by)    Elixir: {:add, by} = msg, with by an int64_t
 * It fails (false) where the shape differs, where a value is not === the one given, and where what
 * is there is not of the type the address points to. Outputs of a failed match may be half written.
 * Patterns are flat: bind a nested term to a cop_term, then match that. Nothing is allocated.
 * Addresses: int, long, long long and their unsigned kinds, double, bool, cop_term, cop_atom,
 * cop_pid, cop_ref, cop_port, cop_bytes. Values: those types and strings (a binary).
 */

/* The whole term against one pattern. */
#define cop_match(term, pattern) COP__MATCH1((term), (pattern))
/* A tuple of exactly these elements; up to 16. */
#define cop_match_tuple(term, ...)                                                  \
    ({                                                                              \
        const cop_term *cop__e = cop__tuple_elems((term), COP__COUNT(__VA_ARGS__)); \
        cop__e != NULL COP__AND_ALL(__VA_ARGS__);                                   \
    })
/* A non-empty list: its head and its tail. */
#define cop_match_cons(term, head, tail)                                      \
    ({                                                                        \
        cop_term cop__h, cop__t;                                              \
        cop_get_cons((term), &cop__h, &cop__t) && COP__MATCH1(cop__h, (head)) \
            && COP__MATCH1(cop__t, (tail));                                   \
    })
/* A map that has this key (an atom or a term), its value against the pattern. */
#define cop_match_key(term, key, pattern)                                              \
    ({                                                                                 \
        cop_term cop__v;                                                               \
        cop_map_get((term), COP_TERM(key), &cop__v) && COP__MATCH1(cop__v, (pattern)); \
    })

static inline cop_term cop__term_of_term(cop_term t) { return t; }
static inline cop_term cop__term_of_atom(cop_atom a) { return a.t; }
static inline cop_term cop__term_of_pid(cop_pid p) { return p.t; }
static inline cop_term cop__term_of_ref(cop_ref r) { return r.t; }
static inline cop_term cop__term_of_port(cop_port p) { return p.t; }
static inline cop_term cop__term_of_from(cop_from f) { return f.t; }
/* Any term type as a plain cop_term; allocates nothing, needs no ctx. */
#define COP_TERM(x)                        \
    _Generic((x), cop_term                 \
             : cop__term_of_term, cop_atom \
             : cop__term_of_atom, cop_pid  \
             : cop__term_of_pid, cop_ref   \
             : cop__term_of_ref, cop_port  \
             : cop__term_of_port, cop_from \
             : cop__term_of_from)(x)

/* A value must be equal ... */
static inline bool cop__is_i64(cop_term t, int64_t n) {
    int64_t have;
    return cop_get_i64(t, &have) && have == n;
}
static inline bool cop__is_u64(cop_term t, uint64_t n) {
    uint64_t have;
    return cop_get_u64(t, &have) && have == n;
}
static inline bool cop__is_bool(cop_term t, bool b) { return t.w == cop_bool(b).t.w; }
bool cop__is_double(cop_term t, double d);
bool cop__is_str(cop_term t, const char *s);
bool cop__is_bytes(cop_term t, cop_bytes b);
static inline bool cop__is_term(cop_term t, cop_term v) { return t.w == v.w || cop_same(t, v); }
static inline bool cop__is_atom(cop_term t, cop_atom v) { return t.w == v.t.w; }
static inline bool cop__is_pid(cop_term t, cop_pid v) { return cop__is_term(t, v.t); }
static inline bool cop__is_ref(cop_term t, cop_ref v) { return cop__is_term(t, v.t); }
static inline bool cop__is_port(cop_term t, cop_port v) { return cop__is_term(t, v.t); }
/* ... an address is bound. */
static inline bool cop__bind_term(cop_term t, cop_term *out) {
    *out = t;
    return true;
}
static inline bool cop__bind_long(cop_term t, long *out) { return cop_get_i64(t, (int64_t *)out); }
bool cop__bind_llong(cop_term t, long long *out);
bool cop__bind_uint(cop_term t, unsigned *out);
static inline bool cop__bind_ulong(cop_term t, unsigned long *out) {
    return cop_get_u64(t, (uint64_t *)out);
}
bool cop__bind_ullong(cop_term t, unsigned long long *out);

#define COP__MATCH1(term, p) \
    _Generic((p), bool                                                                             \
             : cop__is_bool, int                                                                   \
             : cop__is_i64, unsigned                                                               \
             : cop__is_u64, long                                                                   \
             : cop__is_i64, unsigned long                                                          \
             : cop__is_u64, long long                                                              \
             : cop__is_i64, unsigned long long                                                     \
             : cop__is_u64, double                                                                 \
             : cop__is_double, char *                                                              \
             : cop__is_str, const char *                                                           \
             : cop__is_str, cop_bytes                                                              \
             : cop__is_bytes, cop_term                                                             \
             : cop__is_term, cop_atom                                                              \
             : cop__is_atom, cop_pid                                                               \
             : cop__is_pid, cop_ref                                                                \
             : cop__is_ref, cop_port                                                               \
             : cop__is_port, int *                                                                 \
             : cop_get_int, unsigned *                                                             \
             : cop__bind_uint, long *                                                              \
             : cop__bind_long, unsigned long *                                                     \
             : cop__bind_ulong, long long *                                                        \
             : cop__bind_llong, unsigned long long *                                               \
             : cop__bind_ullong, double *                                                          \
             : cop_get_double, bool *                                                              \
             : cop_get_bool, cop_term *                                                            \
             : cop__bind_term, cop_atom *                                                          \
             : cop_get_atom, cop_pid *                                                             \
             : cop_get_pid, cop_ref *                                                              \
             : cop_get_ref, cop_port *                                                             \
             : cop_get_port, cop_bytes *                                                           \
             : cop_get_bytes)((term), (p))

#define COP__AND_0(i)
#define COP__AND_1(i, p) &&COP__MATCH1(cop__e[i], p)
#define COP__AND_2(i, p, ...) &&COP__MATCH1(cop__e[i], p) COP__AND_1(i + 1, __VA_ARGS__)
#define COP__AND_3(i, p, ...) &&COP__MATCH1(cop__e[i], p) COP__AND_2(i + 1, __VA_ARGS__)
#define COP__AND_4(i, p, ...) &&COP__MATCH1(cop__e[i], p) COP__AND_3(i + 1, __VA_ARGS__)
#define COP__AND_5(i, p, ...) &&COP__MATCH1(cop__e[i], p) COP__AND_4(i + 1, __VA_ARGS__)
#define COP__AND_6(i, p, ...) &&COP__MATCH1(cop__e[i], p) COP__AND_5(i + 1, __VA_ARGS__)
#define COP__AND_7(i, p, ...) &&COP__MATCH1(cop__e[i], p) COP__AND_6(i + 1, __VA_ARGS__)
#define COP__AND_8(i, p, ...) &&COP__MATCH1(cop__e[i], p) COP__AND_7(i + 1, __VA_ARGS__)
#define COP__AND_9(i, p, ...) &&COP__MATCH1(cop__e[i], p) COP__AND_8(i + 1, __VA_ARGS__)
#define COP__AND_10(i, p, ...) &&COP__MATCH1(cop__e[i], p) COP__AND_9(i + 1, __VA_ARGS__)
#define COP__AND_11(i, p, ...) &&COP__MATCH1(cop__e[i], p) COP__AND_10(i + 1, __VA_ARGS__)
#define COP__AND_12(i, p, ...) &&COP__MATCH1(cop__e[i], p) COP__AND_11(i + 1, __VA_ARGS__)
#define COP__AND_13(i, p, ...) &&COP__MATCH1(cop__e[i], p) COP__AND_12(i + 1, __VA_ARGS__)
#define COP__AND_14(i, p, ...) &&COP__MATCH1(cop__e[i], p) COP__AND_13(i + 1, __VA_ARGS__)
#define COP__AND_15(i, p, ...) &&COP__MATCH1(cop__e[i], p) COP__AND_14(i + 1, __VA_ARGS__)
#define COP__AND_16(i, p, ...) &&COP__MATCH1(cop__e[i], p) COP__AND_15(i + 1, __VA_ARGS__)
#define COP__AND_ALL(...) COP__CAT(COP__AND_, COP__COUNT(__VA_ARGS__))(0 __VA_OPT__(, ) __VA_ARGS__)

#endif
