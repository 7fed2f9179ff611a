/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Printing terms as Elixir 1.14's inspect/2 does, on one line.
 *
 * The printer writes into a buffer of the caller's and counts on when that is full. It does not
 * recurse: what is open is a stack of levels, each a collection and the place in it, of which
 * INLINE_LEVELS lie in the printer. So it needs the same 5 KiB of C stack for every term, and takes
 * memory only for what the default limit never shows: deeper nesting (up to COP__NESTING_MAX, then
 * "..."), more large maps open at once than ITERATORS, and integers of more than SMALL_LIMBS limbs.
 *
 * Limits count as Elixir's do: the n-th element of a collection may itself show limit - n elements.
 * Two things cannot be as in Elixir, because C programs define no structs: every map with an alias
 * under __struct__ and otherwise atoms as keys prints as one, its fields in the map's order; and
 * maps of more than 32 keys have an order of their own.
 *
 * Threads: any, while the term lives.
 */
#include <stdio.h>

#include "os/alloc.h"
#include "term/float_text.h"
#include "term/identifier.h"
#include "term/layout.h"
#include "term/parse.h"
#include "term/utf8.h"

enum { INLINE_LEVELS = 52, ITERATORS = 2, SMALL_LIMBS = 64 };
enum { DEFAULT_LIMIT = 50, DEFAULT_PRINTABLE = 4096 };

enum kind { LIST, TUPLE, MAP };

/* A collection that is being printed. */
struct level {
    cop_term rest;      /* of a list what is still to come; else the whole collection */
    cop_map_iter *iter; /* of a large map */
    cop_term value;     /* of the pair whose key was printed last, or COP_NONE */
    int64_t limit;
    uint32_t index; /* of the next element */
    uint8_t kind;
    bool keys; /* pairs are shown as key: value */
    bool is_struct;
    bool any; /* something was printed, so a comma comes next */
};

struct printer {
    char *out;
    size_t size, length;
    const cop_inspect_opts *opts;
    struct level *levels;
    size_t depth, cap;
    size_t iterators; /* of the inline ones, in use */
    struct level first_levels[INLINE_LEVELS];
    cop_map_iter first_iterators[ITERATORS];
};

static void put_bytes(struct printer *p, const char *text, size_t n) {
    if (p->length < p->size) {
        size_t room = p->size - p->length;
        memcpy(p->out + p->length, text, n < room ? n : room);
    }
    p->length += n;
}

static void put(struct printer *p, const char *text) { put_bytes(p, text, strlen(text)); }

static void put_number(struct printer *p, const char *format, unsigned long long n) {
    char text[32];
    int length = snprintf(text, sizeof text, format, n);
    put_bytes(p, text, (size_t)length);
}

/* ---- characters ---------------------------------------------------------------------------- */

/* The letter after the backslash, or 0. */
static char escape_of(uint32_t code) {
    switch (code) {
    case 7:
        return 'a';
    case 8:
        return 'b';
    case 9:
        return 't';
    case 10:
        return 'n';
    case 11:
        return 'v';
    case 12:
        return 'f';
    case 13:
        return 'r';
    case 27:
        return 'e';
    case 127:
        return 'd';
    default:
        return 0;
    }
}

static bool is_printable(uint32_t code) {
    return (code >= 0x20 && code <= 0x7e) || escape_of(code) != 0
           || (code >= 0xa0 && code <= 0xd7ff) || (code >= 0xe000 && code <= 0xfffd)
           || (code >= 0x10000 && code <= 0x10ffff);
}

/* One character of quoted text, which lies at `at` in n bytes when it may stand for itself. */
static void put_character(struct printer *p, uint32_t code, char quote, const char *at, size_t n) {
    char escape = code == (uint32_t)quote || code == '\\' ? (char)code : escape_of(code);
    if (code == 0)
        escape = '0';
    if (escape != 0) {
        char text[2] = { '\\', escape };
        put_bytes(p, text, 2);
    } else if (code == 0xfeff) {
        put(p, "\\uFEFF"); /* a byte order mark cannot be seen */
    } else if (is_printable(code)) {
        put_bytes(p, at, n);
    } else {
        put_number(p, code < 0x100 ? "\\x%02llX" : "\\x{%04llX}", code);
    }
}

/* Text between quotes; at most `limit` characters. True if all of it was shown. */
static bool put_quoted(struct printer *p, const uint8_t *at, const uint8_t *end, char quote,
                       int64_t limit) {
    put_bytes(p, &quote, 1);
    for (; at < end && limit != 0; limit--) {
        uint32_t code;
        size_t n = cop__utf8_next(at, end, &code);
        if (*at == '#' && end - at > 1 && at[1] == '{') {
            put(p, "\\#{"); /* else it would be an interpolation; counts as one */
            at += 2;
        } else if (n == 0) {
            put_number(p, "\\x%02llX", *at++);
        } else {
            put_character(p, code, quote, (const char *)at, n);
            at += n;
        }
    }
    put_bytes(p, &quote, 1);
    return at == end;
}

/* ---- atoms --------------------------------------------------------------------------------- */

static void put_quoted_atom(struct printer *p, const char *name, size_t size) {
    put_quoted(p, (const uint8_t *)name, (const uint8_t *)name + size, '"', -1);
}

/* Elixir.Foo is Foo; but Elixir and Elixir.Elixir.Foo keep their names. */
static void put_alias(struct printer *p, const char *name, size_t size) {
    bool whole =
        size == 6
        || (size >= 13 && memcmp(name + 7, "Elixir", 6) == 0 && (size == 13 || name[13] == '.'));
    put_bytes(p, whole ? name : name + 7, whole ? size : size - 7);
}

static void put_atom(struct printer *p, cop_term t) {
    size_t size;
    const char *name = cop_atom_name((cop_atom){ t }, &size);
    if (strcmp(name, "nil") == 0 || strcmp(name, "true") == 0 || strcmp(name, "false") == 0) {
        put_bytes(p, name, size);
        return;
    }
    switch (cop__atom_form(name, size)) {
    case ATOM_ALIAS:
        put_alias(p, name, size);
        break;
    case ATOM_PLAIN:
        put(p, ":");
        put_bytes(p, name, size);
        break;
    case ATOM_QUOTED:
        put(p, ":");
        put_quoted_atom(p, name, size);
        break;
    }
}

/* May the atom stand as `key:`? */
static bool is_key(cop_term t) {
    if (!cop_is_atom(t))
        return false;
    size_t size;
    const char *name = cop_atom_name((cop_atom){ t }, &size);
    return !(size >= 7 && memcmp(name, "Elixir.", 7) == 0);
}

static void put_key(struct printer *p, cop_term t) {
    size_t size;
    const char *name = cop_atom_name((cop_atom){ t }, &size);
    if (cop__atom_form(name, size) == ATOM_PLAIN)
        put_bytes(p, name, size);
    else
        put_quoted_atom(p, name, size);
    put(p, ": ");
}

/* ---- numbers, binaries, addresses ---------------------------------------------------------- */

static void put_float(struct printer *p, double d) {
    char text[COP__FLOAT_TEXT_MAX];
    put_bytes(p, text, cop__float_text(d, text));
}

/* Takes no memory: parts of 19 digits, the least first, then written backwards. */
static void put_limbs(struct printer *p, const struct cop__magnitude *m) {
    const uint64_t chunk = UINT64_C(10000000000000000000);
    uint64_t limbs[SMALL_LIMBS], parts[SMALL_LIMBS + SMALL_LIMBS / 64 + 2];
    size_t count = m->count, used = 0;
    memcpy(limbs, m->limbs, count * sizeof *limbs);
    while (count > 0) {
        unsigned __int128 rest = 0;
        for (size_t i = count; i > 0; i--) {
            rest = rest << 64 | limbs[i - 1];
            limbs[i - 1] = (uint64_t)(rest / chunk);
            rest %= chunk;
        }
        parts[used++] = (uint64_t)rest;
        while (count > 0 && limbs[count - 1] == 0)
            count--;
    }
    put(p, m->negative ? "-" : "");
    for (size_t i = used; i > 0; i--)
        put_number(p, i == used ? "%llu" : "%019llu", parts[i - 1]);
}

static void put_integer(struct printer *p, cop_term t) {
    struct cop__magnitude m;
    uint64_t small;
    if (cop_is_small(t)) {
        char text[24];
        long long n = (int64_t)t.w >> 4;
        put_bytes(p, text, (size_t)snprintf(text, sizeof text, "%lld", n));
    } else if (cop__magnitude_of(t, &m, &small) && m.count <= SMALL_LIMBS) {
        put_limbs(p, &m);
    } else {
        char *text = cop__integer_text(t);
        put(p, text);
        cop__free(text);
    }
}

/* Only the first `limit` characters are looked at. */
static bool is_text(cop_bytes bytes, int64_t limit) {
    const uint8_t *at = bytes.data, *end = at + bytes.size;
    while (at < end && limit-- != 0) {
        uint32_t code;
        size_t n = cop__utf8_next(at, end, &code);
        if (n == 0 || !is_printable(code))
            return false;
        at += n;
    }
    return true;
}

static int64_t printable_limit(const struct printer *p) {
    return p->opts->printable_limit == 0 ? DEFAULT_PRINTABLE : p->opts->printable_limit;
}

static void put_binary(struct printer *p, cop_term t, int64_t limit) {
    cop_bytes bytes;
    unsigned bits;
    cop__binary_view(t, &bytes, &bits);
    if (bits == 0 && !p->opts->binaries_as_binaries && is_text(bytes, printable_limit(p))) {
        if (!put_quoted(p, bytes.data, bytes.data + bytes.size, '"', printable_limit(p)))
            put(p, " <> ...");
        return;
    }
    put(p, "<<");
    for (size_t i = 0; i < bytes.size; i++, limit--) {
        if (i > 0)
            put(p, ", ");
        if (limit == 0) {
            put(p, "...");
            break;
        }
        bool partial = bits != 0 && i + 1 == bytes.size;
        put_number(p, "%llu", partial ? (unsigned)bytes.data[i] >> (8 - bits) : bytes.data[i]);
        if (partial)
            put_number(p, "::size(%llu)", bits);
    }
    put(p, ">>");
}

static void put_external(struct printer *p, cop_term t) {
    uint64_t *box = cop__box(t);
    size_t size = cop__header_size(*box);
    enum cop__box kind = cop__header_kind(*box);
    put(p, kind == BOX_EXT_PID ? "#PID<" : kind == BOX_EXT_PORT ? "#Port<" : "#Reference<");
    put_number(p, "%llu", kind == BOX_RESOURCE ? 0 : box[1] >> 4);
    for (size_t i = size; i >= 3 && kind == BOX_EXT_REF; i--)
        put_number(p, ".%llu", box[i]);
    for (size_t i = 3; i <= size && kind != BOX_EXT_REF && kind != BOX_RESOURCE; i++)
        put_number(p, ".%llu", box[i]);
    if (kind == BOX_RESOURCE)
        put_number(p, ".%llu", box[2]);
    put(p, ">");
}

static void put_address(struct printer *p, cop_term t) {
    uint32_t n[3];
    if (cop__is_pid_word(t)) {
        put_number(p, "#PID<0.%llu", cop__pid_slot(t));
        put_number(p, ".%llu>", cop__pid_serial(t));
    } else if (cop__is_port_word(t)) {
        put_number(p, "#Port<0.%llu>", t.w >> 6);
    } else if (cop__is_ref_word(t)) {
        cop__ref_numbers(t, n);
        put_number(p, "#Reference<0.%llu", n[2]);
        put_number(p, ".%llu", n[1]);
        put_number(p, ".%llu>", n[0]);
    } else {
        put_external(p, t);
    }
}

static void put_fun(struct printer *p, cop_term t) {
    const uint64_t *box = cop__box(t);
    if (!cop__is_kind(t, BOX_EXPORT)) {
        put_number(p, "#Function<%llx", box[1]);
        put_number(p, "/%llu>", box[2]);
        return;
    }
    size_t size;
    const char *name = cop_atom_name((cop_atom){ { box[2] } }, &size);
    put(p, "&");
    put_atom(p, (cop_term){ box[1] });
    put(p, ".");
    if (cop__is_callable(name, size))
        put_bytes(p, name, size);
    else
        put_quoted_atom(p, name, size);
    put_number(p, "/%llu", box[3]);
}

/* ---- lists that are text or keywords ------------------------------------------------------- */

/* As with strings, only the first `limit` elements are looked at. */
static bool is_charlist(cop_term t, int64_t limit) {
    cop_term head;
    while (limit-- != 0 && cop_get_cons(t, &head, &t)) {
        int64_t c;
        if (!cop_is_small(head) || !cop_get_i64(head, &c)
            || !((c >= 32 && c <= 126) || (c > 0 && c < 32 && escape_of((uint32_t)c) != 0)))
            return false;
    }
    return cop_is_list(t);
}

/* The character that a list begins with, or 0. */
static uint32_t first_of(cop_term list) {
    int64_t c;
    bool is_code = cop_is_cons(list) && cop_get_i64(cop_head(list), &c) && c > 0 && c <= 0x10ffff;
    return is_code ? (uint32_t)c : 0;
}

/* Past the printable part there may be anything, if the limit is not reached before it: "#{" counts
   as one character here, as in Elixir, but as two in is_charlist. */
static void put_charlist(struct printer *p, cop_term t) {
    put(p, "'");
    for (int64_t limit = printable_limit(p); limit != 0; limit--) {
        uint8_t utf8[4];
        uint32_t code = first_of(t);
        size_t n = cop__utf8_put(code, utf8);
        if (code == 0 || n == 0)
            break;
        t = cop_tail(t);
        if (code == '#' && first_of(t) == '{') {
            put(p, "\\#{");
            t = cop_tail(t);
        } else {
            put_character(p, code, '\'', (const char *)utf8, n);
        }
    }
    put(p, cop_is_nil(t) ? "'" : "' ++ ...");
}

static bool is_keyword(cop_term t) {
    cop_term head;
    while (cop_get_cons(t, &head, &t)) {
        const cop_term *pair = cop__tuple_elems(head, 2);
        if (pair == NULL || !is_key(pair[0]))
            return false;
    }
    return cop_is_nil(t);
}

/* ---- levels -------------------------------------------------------------------------------- */

/* A new level, or NULL when the term is nested too deep: then "..." was printed for it. */
static struct level *open_level(struct printer *p, enum kind kind, cop_term t, int64_t limit) {
    if (p->depth == COP__NESTING_MAX) {
        put(p, "...");
        return NULL;
    }
    if (p->depth == p->cap) {
        struct level *more = cop__malloc(COP__NESTING_MAX * sizeof *more);
        memcpy(more, p->levels, p->depth * sizeof *more);
        p->levels = more;
        p->cap = COP__NESTING_MAX;
    }
    struct level *level = &p->levels[p->depth++];
    *level = (struct level){ .rest = t, .limit = limit, .kind = (uint8_t)kind };
    return level;
}

static void close_level(struct printer *p, const char *text) {
    struct level *level = &p->levels[--p->depth];
    put(p, text);
    if (level->iter == NULL)
        return;
    if (p->iterators > 0 && level->iter == &p->first_iterators[p->iterators - 1])
        p->iterators--;
    else
        cop__free(level->iter);
}

static void open_list(struct printer *p, cop_term t, int64_t limit) {
    struct level *level = open_level(p, LIST, t, limit);
    if (level == NULL)
        return;
    level->keys = is_keyword(t);
    put(p, "[");
}

/* The struct's name when the map prints as a struct. */
static bool is_struct_map(cop_term t, const char **name, size_t *size) {
    cop_term under;
    if (!cop_map_get(t, cop_as("__struct__").t, &under) || !cop_is_atom(under))
        return false;
    *name = cop_atom_name((cop_atom){ under }, size);
    return *size > 7 && cop__atom_form(*name, *size) == ATOM_ALIAS;
}

static void open_map(struct printer *p, cop_term t, int64_t limit) {
    struct level *level = open_level(p, MAP, t, limit);
    if (level == NULL)
        return;
    cop_term key, value;
    bool all_atoms = true;
    size_t size;
    const char *name;
    if (cop__is_kind(t, BOX_HAMT)) {
        level->iter = p->iterators < ITERATORS ? &p->first_iterators[p->iterators++]
                                               : cop__malloc(sizeof *level->iter);
        *level->iter = cop_map_first(t);
        level->keys = true;
        while (level->keys && cop_map_next(level->iter, &key, &value)) {
            level->keys = is_key(key);
            all_atoms = all_atoms && cop_is_atom(key);
        }
        *level->iter = cop_map_first(t);
    } else {
        const uint64_t *box = cop__box(t);
        level->keys = true;
        for (size_t i = 1; i < cop__header_size(*box); i += 2) {
            level->keys = level->keys && is_key((cop_term){ box[i] });
            all_atoms = all_atoms && cop_is_atom((cop_term){ box[i] });
        }
    }
    put(p, "%");
    level->is_struct = all_atoms && !p->opts->structs_as_maps && is_struct_map(t, &name, &size);
    if (level->is_struct) {
        level->keys = true;
        put_alias(p, name, size);
    }
    put(p, "{");
}

/* ---- the walk ------------------------------------------------------------------------------ */

/* Prints what holds no terms; opens a level for what does. */
static void put_term(struct printer *p, cop_term t, int64_t limit) {
    double d;
    switch (cop_kind_of(t)) {
    case COP_KIND_INTEGER:
        put_integer(p, t);
        return;
    case COP_KIND_FLOAT:
        cop_get_double(t, &d);
        put_float(p, d);
        return;
    case COP_KIND_ATOM:
        put_atom(p, t);
        return;
    case COP_KIND_REF:
    case COP_KIND_PORT:
    case COP_KIND_PID:
    case COP_KIND_RESOURCE:
        put_address(p, t);
        return;
    case COP_KIND_FUN:
        put_fun(p, t);
        return;
    case COP_KIND_NIL:
        put(p, "[]");
        return;
    case COP_KIND_BINARY:
        put_binary(p, t, limit);
        return;
    case COP_KIND_TUPLE:
        if (open_level(p, TUPLE, t, limit) != NULL)
            put(p, "{");
        return;
    case COP_KIND_LIST:
        if (!p->opts->charlists_as_lists && is_charlist(t, printable_limit(p)))
            put_charlist(p, t);
        else
            open_list(p, t, limit);
        return;
    case COP_KIND_MAP:
        open_map(p, t, limit);
        return;
    }
}

/* A comma where one is due, and one element less of the limit; false when the limit is used up. */
static bool may_show(struct printer *p, struct level *level) {
    if (level->any)
        put(p, ", ");
    level->any = true;
    if (level->limit == 0) {
        put(p, "...");
        return false;
    }
    level->limit--;
    return true;
}

static void step_list(struct printer *p, struct level *level) {
    cop_term head, rest = level->rest;
    if (cop_is_nil(rest)) {
        close_level(p, "]");
    } else if (!cop_get_cons(rest, &head, &level->rest)) {
        put(p, " | ");
        level->rest = COP_NIL;
        put_term(p, rest, level->limit);
    } else if (!may_show(p, level)) {
        level->rest = COP_NIL;
    } else if (level->keys) {
        const cop_term *pair = cop__tuple_elems(head, 2);
        put_key(p, pair[0]);
        put_term(p, pair[1], level->limit);
    } else {
        put_term(p, head, level->limit);
    }
}

static void step_tuple(struct printer *p, struct level *level) {
    uint64_t *box = cop__box(level->rest);
    if (level->index == cop__header_size(*box))
        close_level(p, "}");
    else if (!may_show(p, level))
        level->index = (uint32_t)cop__header_size(*box);
    else
        put_term(p, (cop_term){ box[1 + level->index++] }, level->limit);
}

static bool next_pair(struct level *level, cop_term *key, cop_term *value) {
    if (level->iter != NULL)
        return cop_map_next(level->iter, key, value);
    uint64_t *box = cop__box(level->rest);
    if (2 * level->index >= cop__header_size(*box))
        return false;
    key->w = box[1 + 2 * level->index];
    value->w = box[2 + 2 * level->index++];
    return true;
}

/* What %Name{...} says already, or what Elixir's exceptions have all of them. */
static bool is_hidden(const struct level *level, cop_term key, cop_term value) {
    return level->is_struct
           && (key.w == cop_as("__struct__").t.w
               || (key.w == cop_as("__exception__").t.w && value.w == cop_a(true).t.w));
}

static void step_map(struct printer *p, struct level *level) {
    cop_term key, value = level->value;
    if (!cop_is_none(value)) { /* its key was printed */
        level->value = COP_NONE;
        put(p, " => ");
        put_term(p, value, level->limit);
        return;
    }
    bool more = next_pair(level, &key, &value);
    while (more && is_hidden(level, key, value))
        more = next_pair(level, &key, &value);
    if (!more || !may_show(p, level)) {
        close_level(p, "}");
    } else if (level->keys) {
        put_key(p, key);
        put_term(p, value, level->limit);
    } else {
        level->value = value;
        put_term(p, key, level->limit);
    }
}

size_t cop_inspect_to(char *out, size_t size, cop_term t, const cop_inspect_opts *opts) {
    static const cop_inspect_opts defaults;
    struct printer p; /* most of it is filled in where it is used */
    p.out = out;
    p.size = size > 0 ? size - 1 : 0;
    p.length = p.depth = p.iterators = 0;
    p.opts = opts != NULL ? opts : &defaults;
    p.levels = p.first_levels;
    p.cap = INLINE_LEVELS;
    put_term(&p, t, p.opts->limit == 0 ? DEFAULT_LIMIT : p.opts->limit);
    while (p.depth > 0) {
        struct level *level = &p.levels[p.depth - 1];
        if (level->kind == LIST)
            step_list(&p, level);
        else if (level->kind == TUPLE)
            step_tuple(&p, level);
        else
            step_map(&p, level);
    }
    if (p.levels != p.first_levels)
        cop__free(p.levels);
    if (size > 0)
        out[p.length < size ? p.length : size - 1] = '\0';
    return p.length;
}

cop_term cop_inspect(cop_ctx *ctx, cop_term t, const cop_inspect_opts *opts) {
    char text[256];
    size_t length = cop_inspect_to(text, sizeof text, t, opts);
    if (length < sizeof text)
        return cop_binary(ctx, text, length);
    cop__heap_hold(cop__heap_of(ctx));
    char *whole = cop__malloc(length + 1);
    cop_inspect_to(whole, length + 1, t, opts);
    cop_term binary = cop_binary(ctx, whole, length);
    cop__free(whole);
    cop__heap_let(cop__heap_of(ctx));
    return binary;
}
