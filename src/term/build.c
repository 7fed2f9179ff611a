/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kinds, getters and the building of tuples and lists; matching's small pieces.
 * Threads: a getter anywhere while the term lives; building by the heap's owner.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "os/alloc.h"
#include "term/layout.h"
#include "term/utf8.h"

/* ---- kinds ----------------------------------------------------------------------------------- */

static cop_kind kind_of_box(enum cop__box kind) {
    switch (kind) {
    case BOX_TUPLE:
        return COP_KIND_TUPLE;
    case BOX_MAP:
    case BOX_HAMT:
    case BOX_NODE:
    case BOX_COLLISION:
        return COP_KIND_MAP;
    case BOX_POSBIG:
    case BOX_NEGBIG:
        return COP_KIND_INTEGER;
    case BOX_FLOAT:
        return COP_KIND_FLOAT;
    case BOX_BINARY:
    case BOX_SHARED:
        return COP_KIND_BINARY;
    case BOX_RESOURCE:
        return COP_KIND_RESOURCE;
    case BOX_FUN:
    case BOX_EXPORT:
        return COP_KIND_FUN;
    case BOX_EXT_PID:
        return COP_KIND_PID;
    case BOX_EXT_PORT:
        return COP_KIND_PORT;
    case BOX_EXT_REF:
        break;
    }
    return COP_KIND_REF;
}

cop_kind cop_kind_of(cop_term t) {
    if (cop_is_cons(t))
        return COP_KIND_LIST;
    if (cop__is_box(t))
        return kind_of_box(cop__header_kind(*cop__box(t)));
    switch (t.w & 15) {
    case COP__TAG_SMALL:
        return COP_KIND_INTEGER;
    case COP__TAG_ATOM:
        return COP_KIND_ATOM;
    case COP__TAG_PID:
        return COP_KIND_PID;
    default:
        break;
    }
    if (cop__is_ref_word(t))
        return COP_KIND_REF;
    if (cop__is_port_word(t))
        return COP_KIND_PORT;
    if (!cop_is_nil(t))
        cop__term_panic("a word that is no term was used as one");
    return COP_KIND_NIL;
}

bool cop_is_integer(cop_term t) {
    return cop_is_small(t) || cop__is_kind(t, BOX_POSBIG) || cop__is_kind(t, BOX_NEGBIG);
}
bool cop_is_float(cop_term t) { return cop__is_kind(t, BOX_FLOAT); }
bool cop_is_number(cop_term t) { return cop_is_integer(t) || cop_is_float(t); }
bool cop_is_boolean(cop_term t) { return t.w == cop_a(true).t.w || t.w == cop_a(false).t.w; }
bool cop_is_pid(cop_term t) { return cop__is_pid_word(t) || cop__is_kind(t, BOX_EXT_PID); }
bool cop_is_ref(cop_term t) {
    return cop__is_ref_word(t) || cop__is_kind(t, BOX_EXT_REF) || cop__is_kind(t, BOX_RESOURCE);
}
bool cop_is_port(cop_term t) { return cop__is_port_word(t) || cop__is_kind(t, BOX_EXT_PORT); }
bool cop_is_tuple(cop_term t) { return cop__is_kind(t, BOX_TUPLE); }
bool cop_is_map(cop_term t) { return cop__is_kind(t, BOX_MAP) || cop__is_kind(t, BOX_HAMT); }
bool cop_is_fun(cop_term t) { return cop__is_kind(t, BOX_FUN) || cop__is_kind(t, BOX_EXPORT); }
bool cop_is_resource(cop_term t) { return cop__is_kind(t, BOX_RESOURCE); }
bool cop_is_proper_list(cop_term t) { return cop_list_length(t) >= 0; }

bool cop_is_binary(cop_term t) {
    cop_bytes bytes;
    unsigned bits;
    return cop__binary_view(t, &bytes, &bits) && bits == 0;
}

bool cop_is_struct(cop_term t, cop_atom name) {
    cop_term have;
    return cop_map_get(t, cop_as("__struct__").t, &have) && have.w == name.t.w;
}

/* ---- taking apart ---------------------------------------------------------------------------- */

bool cop_get_i64(cop_term t, int64_t *out) {
    if (cop_is_small(t)) {
        *out = (int64_t)t.w >> 4;
        return true;
    }
    struct cop__magnitude m;
    uint64_t small;
    if (!cop__magnitude_of(t, &m, &small) || m.count != 1)
        return false;
    if (m.limbs[0] > (uint64_t)INT64_MAX + (m.negative ? 1 : 0))
        return false;
    *out = m.negative ? (int64_t)(0 - m.limbs[0]) : (int64_t)m.limbs[0];
    return true;
}

bool cop_get_u64(cop_term t, uint64_t *out) {
    int64_t n;
    if (cop_is_small(t)) {
        n = (int64_t)t.w >> 4;
        if (n < 0)
            return false;
        *out = (uint64_t)n;
        return true;
    }
    struct cop__magnitude m;
    uint64_t small;
    if (!cop__magnitude_of(t, &m, &small) || m.count != 1 || m.negative)
        return false;
    *out = m.limbs[0];
    return true;
}

bool cop_get_int(cop_term t, int *out) {
    int64_t n;
    if (!cop_get_i64(t, &n) || n < INT32_MIN || n > INT32_MAX)
        return false;
    *out = (int)n;
    return true;
}

bool cop__bind_uint(cop_term t, unsigned *out) {
    uint64_t n;
    if (!cop_get_u64(t, &n) || n > UINT32_MAX)
        return false;
    *out = (unsigned)n;
    return true;
}

bool cop__bind_llong(cop_term t, long long *out) {
    int64_t n;
    if (!cop_get_i64(t, &n))
        return false;
    *out = n;
    return true;
}

bool cop__bind_ullong(cop_term t, unsigned long long *out) {
    uint64_t n;
    if (!cop_get_u64(t, &n))
        return false;
    *out = n;
    return true;
}

bool cop_get_double(cop_term t, double *out) {
    if (!cop_is_float(t))
        return false;
    memcpy(out, cop__box(t) + 1, sizeof *out);
    return true;
}

/* An integer's magnitude as the nearest double; infinite where none is near. Only the upper 128
   bits are rounded; what lies below them can but break a tie, so it becomes one bit. */
static double nearest_double(const struct cop__magnitude *m) {
    if (m->count > 16)
        return HUGE_VAL;
    unsigned __int128 top = m->count > 0 ? m->limbs[m->count - 1] : 0;
    if (m->count > 1)
        top = top << 64 | m->limbs[m->count - 2];
    if (m->count <= 2)
        return (double)top;
    uint64_t below = m->limbs[m->count - 3];
    int zeros = __builtin_clzll(m->limbs[m->count - 1]);
    if (zeros > 0)
        top = top << zeros | below >> (64 - zeros);
    uint64_t rest = below << zeros;
    for (size_t i = 0; i + 3 < m->count; i++)
        rest |= m->limbs[i];
    return ldexp((double)(top | (rest != 0)), 64 * ((int)m->count - 2) - zeros);
}

bool cop_get_number(cop_term t, double *out) {
    if (cop_get_double(t, out))
        return true;
    struct cop__magnitude m;
    uint64_t small;
    if (!cop__magnitude_of(t, &m, &small))
        return false;
    double d = nearest_double(&m);
    if (isinf(d))
        return false;
    *out = m.negative ? -d : d;
    return true;
}

bool cop_get_bool(cop_term t, bool *out) {
    if (!cop_is_boolean(t))
        return false;
    *out = t.w == cop_a(true).t.w;
    return true;
}

bool cop_get_atom(cop_term t, cop_atom *out) {
    if (!cop_is_atom(t))
        return false;
    out->t = t;
    return true;
}
bool cop_get_pid(cop_term t, cop_pid *out) {
    if (!cop_is_pid(t))
        return false;
    out->t = t;
    return true;
}
bool cop_get_ref(cop_term t, cop_ref *out) {
    if (!cop_is_ref(t))
        return false;
    out->t = t;
    return true;
}
bool cop_get_port(cop_term t, cop_port *out) {
    if (!cop_is_port(t))
        return false;
    out->t = t;
    return true;
}

bool cop_get_bytes(cop_term t, cop_bytes *out) {
    unsigned bits;
    return cop__binary_view(t, out, &bits) && bits == 0;
}

bool cop_get_cons(cop_term t, cop_term *head, cop_term *tail) {
    if (!cop_is_cons(t))
        return false;
    uint64_t *cons = cop__cons(t);
    head->w = cons[0];
    tail->w = cons[1];
    return true;
}

int64_t cop_tuple_size(cop_term t) {
    return cop_is_tuple(t) ? (int64_t)cop__header_size(*cop__box(t)) : -1;
}

cop_term cop_elem(cop_term tuple, size_t index) {
    if (!cop_is_tuple(tuple) || index >= cop__header_size(*cop__box(tuple)))
        cop__term_panic("cop_elem: no such element");
    return (cop_term){ cop__box(tuple)[1 + index] };
}

const cop_term *cop__tuple_elems(cop_term t, size_t arity) {
    if (!cop__is_box(t) || *cop__box(t) != cop__header(BOX_TUPLE, arity))
        return NULL;
    return (const cop_term *)(cop__box(t) + 1);
}

int64_t cop_list_length(cop_term list) {
    int64_t n = 0;
    uint64_t stride = COP__CELL;
    for (bool more = cop_is_cons(list); more; n++)
        more = cop__next_cell(&list.w, cop__cons(list)[1], &stride);
    return cop_is_nil(list) ? n : -1;
}

cop_term cop_head(cop_term cons) {
    if (!cop_is_cons(cons))
        cop__term_panic("cop_head of what is no list with elements");
    return (cop_term){ cop__cons(cons)[0] };
}

cop_term cop_tail(cop_term cons) {
    if (!cop_is_cons(cons))
        cop__term_panic("cop_tail of what is no list with elements");
    return (cop_term){ cop__cons(cons)[1] };
}

/* ---- matching's pieces ----------------------------------------------------------------------- */

bool cop__is_double(cop_term t, double d) {
    double have;
    return cop_get_double(t, &have) && have == d;
}

bool cop__is_str(cop_term t, const char *s) {
    cop_bytes have;
    return cop_get_bytes(t, &have) && strlen(s) == have.size
           && memcmp(have.data, s, have.size) == 0;
}

bool cop__is_bytes(cop_term t, cop_bytes b) {
    cop_bytes have;
    return cop_get_bytes(t, &have) && have.size == b.size
           && (b.size == 0 || memcmp(have.data, b.data, b.size) == 0);
}

/* ---- building -------------------------------------------------------------------------------- */

cop_term cop__of_i64(cop_ctx *ctx, int64_t n) {
    if (n >= -(INT64_C(1) << 59) && n < INT64_C(1) << 59)
        return COP_INT(n);
    uint64_t limb = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
    return cop__integer_make(ctx, n < 0, &limb, 1);
}

cop_term cop__of_u64(cop_ctx *ctx, uint64_t n) {
    return n < UINT64_C(1) << 59 ? COP_INT(n) : cop__integer_make(ctx, false, &n, 1);
}

cop_term cop__of_bool(cop_ctx *ctx, bool b) { return cop_bool(b).t; }

cop_term cop__of_double(cop_ctx *ctx, double d) {
    if (!isfinite(d))
        cop__raise(ctx, cop_a(badarith).t);
    uint64_t *box = cop__heap_alloc(cop__heap_of(ctx), 2);
    box[0] = cop__header(BOX_FLOAT, 1);
    memcpy(box + 1, &d, sizeof d);
    return cop__box_term(box);
}

cop_term cop__of_str(cop_ctx *ctx, const char *s) { return cop_binary(ctx, s, strlen(s)); }
cop_term cop__of_bytes(cop_ctx *ctx, cop_bytes b) { return cop_binary(ctx, b.data, b.size); }
cop_term cop__of_term(cop_ctx *ctx, cop_term t) { return t; }
cop_term cop__of_atom(cop_ctx *ctx, cop_atom a) { return a.t; }
cop_term cop__of_pid(cop_ctx *ctx, cop_pid p) { return p.t; }
cop_term cop__of_ref(cop_ctx *ctx, cop_ref r) { return r.t; }
cop_term cop__of_port(cop_ctx *ctx, cop_port p) { return p.t; }
cop_term cop__of_from(cop_ctx *ctx, cop_from f) { return f.t; }

cop_term cop_tuple_n(cop_ctx *ctx, size_t n, const cop_term *elems) {
    if (n >= (size_t)1 << 24)
        cop__raise(ctx, cop_a(system_limit).t);
    uint64_t *box = cop__heap_alloc(cop__heap_of(ctx), n + 1);
    box[0] = cop__header(BOX_TUPLE, n);
    for (size_t i = 0; i < n; i++)
        box[1 + i] = elems[i].w;
    return cop__box_term(box);
}

static cop_term list_onto(cop_ctx *ctx, size_t n, const cop_term *elems, cop_term tail) {
    if (n == 0)
        return tail;
    uint64_t *cons = cop__heap_alloc(cop__heap_of(ctx), 2 * n);
    for (size_t i = 0; i < n; i++) {
        cons[2 * i] = elems[i].w;
        cons[2 * i + 1] = i + 1 < n ? cop__cons_term(cons + 2 * i + 2).w : tail.w;
    }
    return cop__cons_term(cons);
}

cop_term cop_list_n(cop_ctx *ctx, size_t n, const cop_term *elems) {
    return list_onto(ctx, n, elems, COP_NIL);
}

cop_term cop__list_tail_n(cop_ctx *ctx, size_t n, const cop_term *elems) {
    return n == 0 ? COP_NIL : list_onto(ctx, n - 1, elems, elems[n - 1]);
}

cop_term cop_list_reverse(cop_ctx *ctx, cop_term list) {
    cop_term reversed = COP_NIL, head;
    while (cop_get_cons(list, &head, &list))
        reversed = list_onto(ctx, 1, &head, reversed);
    if (!cop_is_nil(list))
        cop__raise(ctx, cop_a(badarg).t);
    return reversed;
}

cop_term cop_list_append(cop_ctx *ctx, cop_term list, cop_term tail) {
    cop_term head, result = COP_NIL;
    uint64_t *hole = &result.w;
    while (cop_get_cons(list, &head, &list)) {
        cop_term cons = list_onto(ctx, 1, &head, tail);
        *hole = cons.w;
        hole = &cop__cons(cons)[1];
    }
    if (!cop_is_nil(list))
        cop__raise(ctx, cop_a(badarg).t);
    *hole = tail.w;
    return result;
}

cop_term cop_charlist(cop_ctx *ctx, const char *utf8) {
    const uint8_t *at = (const uint8_t *)utf8, *end = at + strlen(utf8);
    cop_term list = COP_NIL;
    while (at < end) {
        uint32_t code;
        size_t n = cop__utf8_next(at, end, &code);
        if (n == 0) { /* what is no UTF-8 stands for itself */
            code = *at;
            n = 1;
        }
        at += n;
        cop_term c = COP_INT(code);
        list = list_onto(ctx, 1, &c, list);
    }
    return cop_list_reverse(ctx, list);
}
