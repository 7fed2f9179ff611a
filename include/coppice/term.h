/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COPPICE_TERM_H
#define COPPICE_TERM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Terms: the values of Coppice. A term is one word; small integers, atoms, local pids, references
 * and ports live in the word itself, everything else is an immutable box on a heap.
 *
 * A term lives until the callback that received or built it returns (or, in a raw process, until
 * the COP_SCOPE around it ends). What must live longer stands in the process's state.
 */
typedef struct cop_term {
    uint64_t w;
} cop_term;

/* Typed terms: the same word, but the compiler keeps them apart. `.t` is the plain term. */
typedef struct cop_atom {
    cop_term t;
} cop_atom;
typedef struct cop_pid {
    cop_term t;
} cop_pid;
typedef struct cop_ref {
    cop_term t;
} cop_ref;
typedef struct cop_port {
    cop_term t;
} cop_port;
typedef struct cop_from {
    cop_term t;
} cop_from;

/* A read-only view of a binary's bytes; valid as long as the term it was taken from. */
typedef struct cop_bytes {
    const uint8_t *data;
    size_t size;
} cop_bytes;

/*
 * What every call that allocates, waits or may exit takes first: the process that runs.
 * It begins with that process's heap. Never keep one beyond the callback that was given it.
 */
typedef struct cop_ctx cop_ctx;

/* "No term": the value of a zeroed field. Never a valid term, never sent. */
#define COP_NONE ((cop_term){ 0 })
/* The empty list, `[]`. A constant expression. */
#define COP_NIL ((cop_term){ 0x1f })
/* A small integer as a constant expression, for static tables; n must fit 60 bits. */
#define COP_INT(n) ((cop_term){ ((uint64_t)(int64_t)(n) << 4) | 3 })

/* The word's layout. Low 2 bits: 00 box, 01 cons, 10 header (never in a term), 11 immediate. */
enum {
    COP__TAG_SMALL = 0x3,
    COP__TAG_ATOM = 0x7,
    COP__TAG_PID = 0xb,
    COP__TAG_OTHER = 0xf, /* sub-tag in the next 2 bits */
    COP__TAG_NIL = 0x1f,  /* OTHER, sub-tag 01 */
    COP__TAG_REF = 0x2f,  /* OTHER, sub-tag 10: bits 6..63 are unused by the tag */
    COP__TAG_PORT = 0x3f, /* OTHER, sub-tag 11 */
};

/* What kind of value a term is; the order is Erlang's order of kinds. */
typedef enum cop_kind {
    COP_KIND_INTEGER,
    COP_KIND_FLOAT,
    COP_KIND_ATOM,
    COP_KIND_REF,
    COP_KIND_FUN,
    COP_KIND_PORT,
    COP_KIND_PID,
    COP_KIND_TUPLE,
    COP_KIND_MAP,
    COP_KIND_NIL,
    COP_KIND_LIST,     /* a cons, proper or not */
    COP_KIND_BINARY,   /* also a bit string, which Coppice makes only from the wire */
    COP_KIND_RESOURCE, /* orders and prints as a reference, as in Erlang */
} cop_kind;

cop_kind cop_kind_of(cop_term t);

/* One-expression tests; each answers for any term. */
static inline bool cop_is_none(cop_term t) { return t.w == 0; }
static inline bool cop_is_nil(cop_term t) { return t.w == COP__TAG_NIL; }
static inline bool cop_is_small(cop_term t) { return (t.w & 15) == COP__TAG_SMALL; }
static inline bool cop_is_atom(cop_term t) { return (t.w & 15) == COP__TAG_ATOM; }
static inline bool cop_is_immediate(cop_term t) { return (t.w & 3) == 3; }
static inline bool cop_is_cons(cop_term t) { return (t.w & 3) == 1; }
static inline bool cop_is_boxed(cop_term t) { return (t.w & 3) == 0; }
static inline bool cop_is_list(cop_term t) { return cop_is_nil(t) || cop_is_cons(t); }
bool cop_is_integer(cop_term t);
bool cop_is_float(cop_term t);
bool cop_is_number(cop_term t);
bool cop_is_boolean(cop_term t);
bool cop_is_pid(cop_term t);  /* local or of another node */
bool cop_is_ref(cop_term t);  /* likewise; resources too */
bool cop_is_port(cop_term t); /* likewise */
bool cop_is_tuple(cop_term t);
bool cop_is_map(cop_term t);
bool cop_is_binary(cop_term t);
bool cop_is_fun(cop_term t);
bool cop_is_resource(cop_term t);
bool cop_is_proper_list(cop_term t);           /* O(length) */
bool cop_is_struct(cop_term t, cop_atom name); /* Elixir's is_struct/2 */

/* ---- atoms ---------------------------------------------------------------------------- */

/*
 * The atom of that name. Atoms are never freed; the table holds at most 1,048,576.
 *
 * Elixir:  String.to_atom/1
 * Name:    UTF-8, at most 255 characters; for an Elixir module "Elixir.Name"
 * Returns: the atom; a full table, a longer name or bad UTF-8 stops the program with a message
 *          (use cop_atom_try for names that come from outside)
 * Context: anywhere, any thread
 */
cop_atom cop_atom_new(const char *name);
/* The same for a name of `size` bytes; false (and *out untouched) when it cannot be made. */
bool cop_atom_try(const char *name, size_t size, cop_atom *out);
/* The atom if it exists already (Elixir: String.to_existing_atom/1, with false for the raise). */
bool cop_atom_existing(const char *name, size_t size, cop_atom *out);
/* Its name: NUL-terminated UTF-8 that lives as long as the program; *size may be NULL. */
const char *cop_atom_name(cop_atom a, size_t *size);
/* true or false as an atom. */
cop_atom cop_bool(bool b);

uint64_t cop__atom_site(uint64_t *site, const char *name);
/*
 * The atom with this name, looked up once per place in the program.
 * cop_a(ok) is :ok; cop_as("$gen_call") is for names that are no C identifier. Write cop_a(true).
 */
#define cop_a(name) cop_as(#name)
#define cop_as(string)                                                   \
    ({                                                                   \
        static uint64_t cop__site;                                       \
        uint64_t cop__w = __atomic_load_n(&cop__site, __ATOMIC_RELAXED); \
        if (__builtin_expect(cop__w == 0, 0))                            \
            cop__w = cop__atom_site(&cop__site, string);                 \
        (cop_atom){ { cop__w } };                                        \
    })

/* ---- taking values apart --------------------------------------------------------------- */

/* Each stores what the term holds and answers true, or answers false and stores nothing. */
bool cop_get_i64(cop_term t, int64_t *out);
bool cop_get_u64(cop_term t, uint64_t *out);
bool cop_get_int(cop_term t, int *out);
bool cop_get_double(cop_term t, double *out); /* a float, not an integer */
bool cop_get_number(cop_term t, double *out); /* either */
bool cop_get_bool(cop_term t, bool *out);
bool cop_get_atom(cop_term t, cop_atom *out);
bool cop_get_pid(cop_term t, cop_pid *out);
bool cop_get_ref(cop_term t, cop_ref *out);
bool cop_get_port(cop_term t, cop_port *out);
bool cop_get_bytes(cop_term t, cop_bytes *out);
bool cop_get_cons(cop_term t, cop_term *head, cop_term *tail);

/* Tuple access. cop_tuple_size is -1 for anything else; cop_elem's index is from 0 and must be
   in range (checked; a wrong one stops the program: it is a mistake of the caller's code). */
int64_t cop_tuple_size(cop_term t);
cop_term cop_elem(cop_term tuple, size_t index);
/* The elements of a tuple of exactly `arity`, or NULL: the base of all tuple matching. */
const cop_term *cop__tuple_elems(cop_term t, size_t arity);

int64_t cop_list_length(cop_term list); /* -1 unless a proper list */
cop_term cop_head(cop_term cons);       /* checked as cop_elem is */
cop_term cop_tail(cop_term cons);

/* ---- building ---------------------------------------------------------------------------- */

cop_term cop__of_i64(cop_ctx *ctx, int64_t n);
cop_term cop__of_u64(cop_ctx *ctx, uint64_t n);
cop_term cop__of_bool(cop_ctx *ctx, bool b);
cop_term cop__of_double(cop_ctx *ctx, double d);
cop_term cop__of_str(cop_ctx *ctx, const char *s);
cop_term cop__of_bytes(cop_ctx *ctx, cop_bytes b);
cop_term cop__of_term(cop_ctx *ctx, cop_term t);
cop_term cop__of_atom(cop_ctx *ctx, cop_atom a);
cop_term cop__of_pid(cop_ctx *ctx, cop_pid p);
cop_term cop__of_ref(cop_ctx *ctx, cop_ref r);
cop_term cop__of_port(cop_ctx *ctx, cop_port p);
cop_term cop__of_from(cop_ctx *ctx, cop_from f);

/*
 * A C value as a term, by its C type: integers, double, bool, strings (a binary, as in Elixir),
 * cop_bytes (a binary), and every term type. An infinite or NaN double raises :badarith.
 * Context: in a process; strings and large integers allocate on its heap.
 */
#define cop_of(ctx, x) \
    _Generic((x), bool                                                                             \
             : cop__of_bool, char                                                                  \
             : cop__of_i64, signed char                                                            \
             : cop__of_i64, unsigned char                                                          \
             : cop__of_u64, short                                                                  \
             : cop__of_i64, unsigned short                                                         \
             : cop__of_u64, int                                                                    \
             : cop__of_i64, unsigned                                                               \
             : cop__of_u64, long                                                                   \
             : cop__of_i64, unsigned long                                                          \
             : cop__of_u64, long long                                                              \
             : cop__of_i64, unsigned long long                                                     \
             : cop__of_u64, float                                                                  \
             : cop__of_double, double                                                              \
             : cop__of_double, char *                                                              \
             : cop__of_str, const char *                                                           \
             : cop__of_str, cop_bytes                                                              \
             : cop__of_bytes, cop_term                                                             \
             : cop__of_term, cop_atom                                                              \
             : cop__of_atom, cop_pid                                                               \
             : cop__of_pid, cop_ref                                                                \
             : cop__of_ref, cop_port                                                               \
             : cop__of_port, cop_from                                                              \
             : cop__of_from)((ctx), (x))

cop_term cop_tuple_n(cop_ctx *ctx, size_t n, const cop_term *elems);
cop_term cop_list_n(cop_ctx *ctx, size_t n, const cop_term *elems);
cop_term cop__list_tail_n(cop_ctx *ctx, size_t n, const cop_term *elems); /* last is the tail */
/* n terms, key, value, key, value ...; a key given twice keeps its last value. */
cop_term cop_map_n(cop_ctx *ctx, size_t n, const cop_term *keys_and_values);

/*
 * Building reads like the value; each argument goes through cop_of. Up to 20 arguments.
 *   cop_tuple(ctx, cop_a(ok), 1)          {:ok, 1}
 *   cop_list(ctx, 1, 2.0, "three")        [1, 2.0, "three"]
 *   cop_list_tail(ctx, 1, rest)           [1 | rest]
 *   cop_map(ctx, cop_a(a), 1)             %{a: 1}
 * The arguments are evaluated once, in order of writing within each call.
 */
#define cop_tuple(ctx, ...) COP__BUILD(cop_tuple_n, ctx __VA_OPT__(, ) __VA_ARGS__)
#define cop_list(ctx, ...) COP__BUILD(cop_list_n, ctx __VA_OPT__(, ) __VA_ARGS__)
#define cop_list_tail(ctx, ...) COP__BUILD(cop__list_tail_n, ctx __VA_OPT__(, ) __VA_ARGS__)
#define cop_map(ctx, ...) COP__BUILD(cop_map_n, ctx __VA_OPT__(, ) __VA_ARGS__)
#define cop_cons(ctx, head, tail) cop_list_tail(ctx, head, tail)

/* A binary of these bytes: inside the heap up to 64 bytes, above that shared by count. */
cop_term cop_binary(cop_ctx *ctx, const void *data, size_t size);
/* A binary whose bytes the caller fills in before anything else is built: *data is writable. */
cop_term cop_binary_new(cop_ctx *ctx, size_t size, uint8_t **data);
/* A part of a binary; shares above 64 bytes. Wrong bounds raise :badarg. */
cop_term cop_binary_part(cop_ctx *ctx, cop_term binary, size_t start, size_t size);
/* printf into a binary, for messages and reasons. */
cop_term cop_format(cop_ctx *ctx, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A charlist: the list of code points of a UTF-8 string. */
cop_term cop_charlist(cop_ctx *ctx, const char *utf8);
cop_term cop_list_reverse(cop_ctx *ctx, cop_term list);
cop_term cop_list_append(cop_ctx *ctx, cop_term list, cop_term tail);
/* An arbitrarily large integer from its decimal text, sign allowed. COP_NONE for bad text. */
cop_term cop_integer_parse(cop_ctx *ctx, const char *text, size_t size);

/* iodata: a binary, or a list of bytes, binaries and such lists. -1 if the term is none. */
int64_t cop_iodata_size(cop_term iodata);
/* Writes it flat into out, which has room for cop_iodata_size bytes. */
void cop_iodata_copy(cop_term iodata, uint8_t *out);
/* As one binary; raises :badarg for anything else (Elixir: IO.iodata_to_binary/1). */
cop_term cop_iodata_to_binary(cop_ctx *ctx, cop_term iodata);

/* ---- maps ----------------------------------------------------------------------------------- */

int64_t cop_map_size(cop_term map); /* -1 if none */
/* The value of key (compared with ===), or false. (Elixir: Map.fetch/2) */
bool cop_map_get(cop_term map, cop_term key, cop_term *value);
cop_term cop_map_put(cop_ctx *ctx, cop_term map, cop_term key, cop_term value);
cop_term cop_map_remove(cop_ctx *ctx, cop_term map, cop_term key);
cop_term cop_map_merge(cop_ctx *ctx, cop_term map, cop_term over); /* `over` wins */
cop_term cop_map_keys(cop_ctx *ctx, cop_term map);
cop_term cop_map_to_list(cop_ctx *ctx, cop_term map); /* [{k, v}], in iteration order */
/* Iteration: for (cop_map_iter it = cop_map_first(m); cop_map_next(&it, &k, &v);) */
typedef struct cop_map_iter {
    cop_term map;
    size_t index;
    struct {
        cop_term node;
        uint32_t at;
    } path[18];
    uint32_t depth;
} cop_map_iter;
cop_map_iter cop_map_first(cop_term map);
bool cop_map_next(cop_map_iter *it, cop_term *key, cop_term *value);

/* ---- comparing and hashing -------------------------------------------------------------------- */

/* Erlang's total order: <0, 0 or >0. 1 and 1.0 are equal here. */
int cop_compare(cop_term a, cop_term b);
bool cop_eq(cop_term a, cop_term b);   /* ==  : 1 == 1.0 */
bool cop_same(cop_term a, cop_term b); /* === : the type counts */
/* :erlang.phash2/1 (27 bits) and /2, bit for bit those of Erlang. range: 1..2^32. */
uint32_t cop_phash2(cop_term t);
uint32_t cop_phash2_range(cop_term t, uint64_t range);

/* ---- printing and reading ---------------------------------------------------------------------- */

/*
 * How to print. Zeroed is Elixir's default.
 *   limit             elements shown per collection over the whole term; 0 = 50, -1 = no limit
 *   printable_limit   characters shown of strings; 0 = 4096, -1 = no limit
 *   charlists_as_lists, binaries_as_binaries, structs_as_maps   as in Inspect.Opts
 */
typedef struct cop_inspect_opts {
    int64_t limit;
    int64_t printable_limit;
    bool charlists_as_lists;
    bool binaries_as_binaries;
    bool structs_as_maps;
} cop_inspect_opts;

/* The term in Elixir's notation, as a binary. (Elixir: inspect/2); opts may be NULL. */
cop_term cop_inspect(cop_ctx *ctx, cop_term t, const cop_inspect_opts *opts);
/*
 * The same into a buffer, as snprintf does: writes at most size bytes with a closing NUL, returns
 * the length of the whole text. Needs 5 KiB of stack whatever the term is. Takes memory only for
 * what the default limit does not show: nesting beyond 50 (to 512, then "..."), large maps three
 * deep, integers beyond 4096 bits. Usable on any thread while the term lives.
 */
size_t cop_inspect_to(char *out, size_t size, cop_term t, const cop_inspect_opts *opts);

/* Where reading failed: byte offset and what was expected there. */
typedef struct cop_parse_error {
    size_t offset;
    const char *expected;
} cop_parse_error;
/*
 * Reads one term in Elixir's notation, the whole text. Atoms are made; nesting is bounded at 512.
 * Reads all that inspect prints, pids (#PID<0.1.2>), references and ports of this node included.
 * Returns: false with *error (may be NULL) filled in
 */
bool cop_parse(cop_ctx *ctx, const char *text, size_t size, cop_term *out, cop_parse_error *error);

/* ---- resources and funs ------------------------------------------------------------------------- */

typedef struct cop_resource_type {
    const char *name;
    void (*destroy)(void *object); /* when the last term that holds it is gone; any thread */
} cop_resource_type;
/*
 * A C pointer as a term, shared by count between all copies of the term.
 * Returns: the term; `destroy` is called once, when no term holds it any more
 */
cop_term cop_resource(cop_ctx *ctx, const cop_resource_type *type, void *object);
bool cop_get_resource(cop_term t, const cop_resource_type *type, void **object);

/* A C function with one captured term, as a value; called through cop_fun_call. */
typedef cop_term (*cop_fun_body)(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv);
cop_term cop_fun(cop_ctx *ctx, cop_fun_body body, size_t arity, cop_term env);
/* Takes one apart; false for anything else, also for a function by its name. */
bool cop_get_fun(cop_term fun, cop_fun_body *body, size_t *arity, cop_term *env);
/* A function by its name, &Module.function/arity: a value that prints, compares, hashes and travels like
   Erlang's. Calling it looks the function up among the loaded modules (coppice/module.h). */
cop_term cop_fun_export(cop_ctx *ctx, cop_atom module, cop_atom function, size_t arity);
bool cop_get_fun_export(cop_term fun, cop_atom *module, cop_atom *function, size_t *arity);
/* Calls it; a wrong number of arguments raises {:badarity, {fun, args}}. */
cop_term cop_fun_call_n(cop_ctx *ctx, cop_term fun, size_t argc, const cop_term *argv);
int64_t cop_fun_arity(cop_term fun); /* -1 if none */
#define cop_fun_call(ctx, fun, ...) COP__BUILD_FUN(ctx, fun __VA_OPT__(, ) __VA_ARGS__)

/* ---- terms outside of heaps ---------------------------------------------------------------------- */

/*
 * A copy of a term in memory of its own, until it is forgotten: for tables of many terms, which would
 * cost each collection of a process's heap, and for what several processes read.
 * Returns: the copy, never NULL; belongs to the caller, however many processes read it
 * Context: any thread
 */
typedef struct cop_saved cop_saved;
cop_saved *cop_term_save(cop_term term);
/* The term again, copied to ctx's heap. */
cop_term cop_saved_load(cop_ctx *ctx, const cop_saved *saved);
/* True if it is this term (===); copies nothing. */
bool cop_saved_is(const cop_saved *saved, cop_term term);
/* Frees it; NULL is passed over. */
void cop_saved_forget(cop_saved *saved);

/* ---- pieces of the macros above -------------------------------------------------------------------- */

#define COP__CAT_(a, b) a##b
#define COP__CAT(a, b) COP__CAT_(a, b)
#define COP__COUNT_(_0, _1, _2, _3, _4, _5, _6, _7, _8, _9, _10, _11, _12, _13, _14, _15, _16, \
                    _17, _18, _19, _20, n, ...)                                                \
    n
#define COP__COUNT(...)                                                                            \
    COP__COUNT_(0 __VA_OPT__(, ) __VA_ARGS__, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, \
                6, 5, 4, 3, 2, 1, 0)
#define COP__OF_0(c)
#define COP__OF_1(c, x) cop_of(c, x)
#define COP__OF_2(c, x, ...) cop_of(c, x), COP__OF_1(c, __VA_ARGS__)
#define COP__OF_3(c, x, ...) cop_of(c, x), COP__OF_2(c, __VA_ARGS__)
#define COP__OF_4(c, x, ...) cop_of(c, x), COP__OF_3(c, __VA_ARGS__)
#define COP__OF_5(c, x, ...) cop_of(c, x), COP__OF_4(c, __VA_ARGS__)
#define COP__OF_6(c, x, ...) cop_of(c, x), COP__OF_5(c, __VA_ARGS__)
#define COP__OF_7(c, x, ...) cop_of(c, x), COP__OF_6(c, __VA_ARGS__)
#define COP__OF_8(c, x, ...) cop_of(c, x), COP__OF_7(c, __VA_ARGS__)
#define COP__OF_9(c, x, ...) cop_of(c, x), COP__OF_8(c, __VA_ARGS__)
#define COP__OF_10(c, x, ...) cop_of(c, x), COP__OF_9(c, __VA_ARGS__)
#define COP__OF_11(c, x, ...) cop_of(c, x), COP__OF_10(c, __VA_ARGS__)
#define COP__OF_12(c, x, ...) cop_of(c, x), COP__OF_11(c, __VA_ARGS__)
#define COP__OF_13(c, x, ...) cop_of(c, x), COP__OF_12(c, __VA_ARGS__)
#define COP__OF_14(c, x, ...) cop_of(c, x), COP__OF_13(c, __VA_ARGS__)
#define COP__OF_15(c, x, ...) cop_of(c, x), COP__OF_14(c, __VA_ARGS__)
#define COP__OF_16(c, x, ...) cop_of(c, x), COP__OF_15(c, __VA_ARGS__)
#define COP__OF_17(c, x, ...) cop_of(c, x), COP__OF_16(c, __VA_ARGS__)
#define COP__OF_18(c, x, ...) cop_of(c, x), COP__OF_17(c, __VA_ARGS__)
#define COP__OF_19(c, x, ...) cop_of(c, x), COP__OF_18(c, __VA_ARGS__)
#define COP__OF_20(c, x, ...) cop_of(c, x), COP__OF_19(c, __VA_ARGS__)
#define COP__OF_ALL(c, ...) \
    COP__CAT(COP__OF_, COP__COUNT(__VA_ARGS__))(c __VA_OPT__(, ) __VA_ARGS__)
/* The leading dummy element keeps the array non-empty when there are no arguments. No local has a
   name here, so that nested builds shadow nothing; ctx is a variable, so it may stand repeated. */
#define COP__ELEMS(c, ...) \
    (((const cop_term[]){ COP_NONE, COP__OF_ALL(c __VA_OPT__(, ) __VA_ARGS__) }) + 1)
#define COP__BUILD(function, ctx, ...) \
    function((ctx), COP__COUNT(__VA_ARGS__), COP__ELEMS(ctx __VA_OPT__(, ) __VA_ARGS__))
#define COP__BUILD_FUN(ctx, fun, ...)                     \
    cop_fun_call_n((ctx), (fun), COP__COUNT(__VA_ARGS__), \
                   COP__ELEMS(ctx __VA_OPT__(, ) __VA_ARGS__))

#endif
