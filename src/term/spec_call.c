/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions that the expressions of match specifications may call: one table of names and
 * arities, in the order of the enumeration, and one function for each group. What Erlang would
 * raise is COP_NONE here.
 *
 * Threads: any, with a heap of one's own to build results on.
 */
#include "term/arith.h"
#include "term/layout.h"
#include "term/match_spec.h"

cop_term (*cop__self_hook)(cop_ctx *ctx);

/* The enumeration, the name, the arity; ANY: one or more. */
enum { ANY = 0xff };
#define FUNCTIONS(X)                    \
    X(LESS, "<", 2)                     \
    X(GREATER, ">", 2)                  \
    X(AT_MOST, "=<", 2)                 \
    X(AT_LEAST, ">=", 2)                \
    X(EQUAL, "==", 2)                   \
    X(NOT_EQUAL, "/=", 2)               \
    X(SAME, "=:=", 2)                   \
    X(NOT_SAME, "=/=", 2)               \
    X(ADD, "+", 2)                      \
    X(SUBTRACT, "-", 2)                 \
    X(MULTIPLY, "*", 2)                 \
    X(DIVIDE, "/", 2)                   \
    X(DIV, "div", 2)                    \
    X(REM, "rem", 2)                    \
    X(BAND, "band", 2)                  \
    X(BOR, "bor", 2)                    \
    X(BXOR, "bxor", 2)                  \
    X(BSL, "bsl", 2)                    \
    X(BSR, "bsr", 2)                    \
    X(PLUS, "+", 1)                     \
    X(NEGATE, "-", 1)                   \
    X(BNOT, "bnot", 1)                  \
    X(ABS, "abs", 1)                    \
    X(ROUND, "round", 1)                \
    X(TRUNC, "trunc", 1)                \
    X(FLOAT, "float", 1)                \
    X(AND, "and", ANY)                  \
    X(OR, "or", ANY)                    \
    X(XOR, "xor", 2)                    \
    X(NOT, "not", 1)                    \
    X(IS_ATOM, "is_atom", 1)            \
    X(IS_FLOAT, "is_float", 1)          \
    X(IS_INTEGER, "is_integer", 1)      \
    X(IS_LIST, "is_list", 1)            \
    X(IS_NUMBER, "is_number", 1)        \
    X(IS_PID, "is_pid", 1)              \
    X(IS_PORT, "is_port", 1)            \
    X(IS_REFERENCE, "is_reference", 1)  \
    X(IS_TUPLE, "is_tuple", 1)          \
    X(IS_MAP, "is_map", 1)              \
    X(IS_BINARY, "is_binary", 1)        \
    X(IS_FUNCTION, "is_function", 1)    \
    X(IS_RECORD, "is_record", 3)        \
    X(IS_MAP_KEY, "is_map_key", 2)      \
    X(MAP_GET, "map_get", 2)            \
    X(MAP_SIZE, "map_size", 1)          \
    X(ELEMENT, "element", 2)            \
    X(HD, "hd", 1)                      \
    X(TL, "tl", 1)                      \
    X(LENGTH, "length", 1)              \
    X(SIZE, "size", 1)                  \
    X(BYTE_SIZE, "byte_size", 1)        \
    X(BIT_SIZE, "bit_size", 1)          \
    X(BINARY_PART, "binary_part", 2)    \
    X(BINARY_PART_OF, "binary_part", 3) \
    X(NODE, "node", 0)                  \
    X(NODE_OF, "node", 1)               \
    X(SELF, "self", 0)

#define ENUMERATOR(id, name, arity) FN_##id,
enum fn { FUNCTIONS(ENUMERATOR) FN_COUNT };
#define ENTRY(id, name, arity) { name, arity },
static const struct {
    const char *name;
    uint8_t arity;
} functions[] = { FUNCTIONS(ENTRY) };

int cop__spec_function(cop_term name, size_t arity) {
    cop_atom atom;
    if (!cop_get_atom(name, &atom))
        return -1;
    const char *text = cop_atom_name(atom, NULL);
    for (int i = 0; i < FN_COUNT; i++)
        if ((functions[i].arity == arity || (functions[i].arity == ANY && arity > 0))
            && strcmp(functions[i].name, text) == 0)
            return i;
    return -1;
}

static cop_term of_bool(bool b) { return cop_bool(b).t; }

/* ---- groups --------------------------------------------------------------------------------------- */

static cop_term compared(enum fn fn, cop_term a, cop_term b) {
    switch (fn) {
    case FN_LESS:
        return of_bool(cop_compare(a, b) < 0);
    case FN_GREATER:
        return of_bool(cop_compare(a, b) > 0);
    case FN_AT_MOST:
        return of_bool(cop_compare(a, b) <= 0);
    case FN_AT_LEAST:
        return of_bool(cop_compare(a, b) >= 0);
    case FN_EQUAL:
        return of_bool(cop_eq(a, b));
    case FN_NOT_EQUAL:
        return of_bool(!cop_eq(a, b));
    case FN_SAME:
        return of_bool(cop_same(a, b));
    default:
        return of_bool(!cop_same(a, b));
    }
}

static cop_term computed(cop_ctx *ctx, enum fn fn, cop_term a) {
    switch (fn) {
    case FN_PLUS:
        return cop_is_number(a) ? a : COP_NONE;
    case FN_NEGATE:
        return cop__arith_negate(ctx, a);
    case FN_BNOT:
        return cop__arith_bnot(ctx, a);
    case FN_ABS:
        return cop__arith_abs(ctx, a);
    case FN_ROUND:
        return cop__arith_round(ctx, a);
    case FN_TRUNC:
        return cop__arith_trunc(ctx, a);
    default:
        return cop__arith_float(ctx, a);
    }
}

/* All must be booleans, also those behind the one that decides. */
static cop_term all_or_any(bool any, size_t argc, const cop_term *args) {
    bool result = !any;
    for (size_t i = 0; i < argc; i++) {
        bool b;
        if (!cop_get_bool(args[i], &b))
            return COP_NONE;
        result = any ? result || b : result && b;
    }
    return of_bool(result);
}

static bool is_kind(enum fn fn, cop_term a) {
    switch (fn) {
    case FN_IS_ATOM:
        return cop_is_atom(a);
    case FN_IS_FLOAT:
        return cop_is_float(a);
    case FN_IS_INTEGER:
        return cop_is_integer(a);
    case FN_IS_LIST:
        return cop_is_list(a);
    case FN_IS_NUMBER:
        return cop_is_number(a);
    case FN_IS_PID:
        return cop_is_pid(a);
    case FN_IS_PORT:
        return cop_is_port(a);
    case FN_IS_REFERENCE:
        return cop_is_ref(a);
    case FN_IS_TUPLE:
        return cop_is_tuple(a);
    case FN_IS_MAP:
        return cop_is_map(a);
    case FN_IS_BINARY:
        return cop_is_binary(a);
    default:
        return cop_is_fun(a);
    }
}

static cop_term is_record(const cop_term *args) {
    if (!cop_is_atom(args[1]) || !cop_is_integer(args[2]))
        return COP_NONE;
    int64_t size = cop_tuple_size(args[0]), wanted;
    return of_bool(size > 0 && cop_get_i64(args[2], &wanted) && size == wanted
                   && cop_elem(args[0], 0).w == args[1].w);
}

static cop_term element(cop_term index, cop_term tuple) {
    int64_t i, size = cop_tuple_size(tuple);
    if (!cop_get_i64(index, &i) || i < 1 || i > size)
        return COP_NONE;
    return cop_elem(tuple, (size_t)i - 1);
}

static cop_term size_of(enum fn fn, cop_term a) {
    cop_bytes bytes;
    unsigned bits;
    int64_t n = -1;
    switch (fn) {
    case FN_LENGTH:
        n = cop_list_length(a);
        break;
    case FN_MAP_SIZE:
        n = cop_map_size(a);
        break;
    default:
        if (fn == FN_SIZE && cop_is_tuple(a))
            n = cop_tuple_size(a);
        else if (cop__binary_view(a, &bytes, &bits))
            n = fn == FN_BIT_SIZE ? (int64_t)bytes.size * 8 - (bits != 0 ? 8 - bits : 0)
                                  : (int64_t)bytes.size - (fn == FN_SIZE && bits != 0);
        break;
    }
    return n < 0 ? COP_NONE : COP_INT(n);
}

/* The size may be negative: the part then ends at the start. */
static cop_term part(cop_ctx *ctx, cop_term binary, cop_term start, cop_term size) {
    int64_t at, n, total;
    cop_bytes bytes;
    unsigned bits;
    if (!cop__binary_view(binary, &bytes, &bits) || bits != 0 || !cop_get_i64(start, &at)
        || !cop_get_i64(size, &n))
        return COP_NONE;
    total = (int64_t)bytes.size;
    if (at < 0 || at > total || n > total - at || n < -at)
        return COP_NONE;
    if (n < 0) {
        at += n;
        n = -n;
    }
    return cop_binary_part(ctx, binary, (size_t)at, (size_t)n);
}

static cop_term node_of(cop_term a) {
    if (!cop_is_pid(a) && !cop_is_ref(a) && !cop_is_port(a))
        return COP_NONE;
    if (cop__is_kind(a, BOX_EXT_PID) || cop__is_kind(a, BOX_EXT_PORT)
        || cop__is_kind(a, BOX_EXT_REF))
        return (cop_term){ cop__box(a)[1] };
    return cop_as("nonode@nohost").t;
}

static cop_term called(cop_ctx *ctx, enum fn fn, size_t argc, const cop_term *args) {
    bool b;
    cop_term value = COP_NONE;
    switch (fn) {
    case FN_AND:
    case FN_OR:
        return all_or_any(fn == FN_OR, argc, args);
    case FN_XOR:
        return cop_is_boolean(args[0]) && cop_is_boolean(args[1]) ? of_bool(args[0].w != args[1].w)
                                                                  : COP_NONE;
    case FN_NOT:
        return cop_get_bool(args[0], &b) ? of_bool(!b) : COP_NONE;
    case FN_IS_RECORD:
        return is_record(args);
    case FN_IS_MAP_KEY:
        return cop_is_map(args[1]) ? of_bool(cop_map_get(args[1], args[0], &value)) : COP_NONE;
    case FN_MAP_GET:
        return cop_is_map(args[1]) && cop_map_get(args[1], args[0], &value) ? value : COP_NONE;
    case FN_ELEMENT:
        return element(args[0], args[1]);
    case FN_HD:
        return cop_is_cons(args[0]) ? cop_head(args[0]) : COP_NONE;
    case FN_TL:
        return cop_is_cons(args[0]) ? cop_tail(args[0]) : COP_NONE;
    case FN_BINARY_PART:
        return cop_tuple_size(args[1]) != 2
                   ? COP_NONE
                   : part(ctx, args[0], cop_elem(args[1], 0), cop_elem(args[1], 1));
    case FN_BINARY_PART_OF:
        return part(ctx, args[0], args[1], args[2]);
    case FN_NODE:
        return cop_as("nonode@nohost").t;
    case FN_NODE_OF:
        return node_of(args[0]);
    case FN_SELF:
        return cop__self_hook != NULL ? cop__self_hook(ctx) : COP_NONE;
    default:
        return size_of(fn, args[0]);
    }
}

cop_term cop__spec_call(cop_ctx *ctx, int number, size_t argc, const cop_term *args) {
    enum fn fn = (enum fn)number;
    if (fn <= FN_NOT_SAME)
        return compared(fn, args[0], args[1]);
    if (fn <= FN_BSR)
        return cop__arith(ctx, (enum cop__arith)(fn - FN_ADD), args[0], args[1]);
    if (fn <= FN_FLOAT)
        return computed(ctx, fn, args[0]);
    if (fn >= FN_IS_ATOM && fn <= FN_IS_FUNCTION)
        return of_bool(is_kind(fn, args[0]));
    return called(ctx, fn, argc, args);
}

_Static_assert(FN_BSR - FN_ADD == ARITH_BSR, "both lists of operators have one order");
