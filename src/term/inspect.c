/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Printing terms as Elixir 1.14's inspect/2 does, on one line.
 *
 * The printer writes into a buffer of the caller's and counts on when it is full, so it allocates
 * nothing (but for the digits of large integers) and can be used on any thread. It recurses by the
 * nesting of the term; beyond DEPTH it prints "...", because processes have small stacks.
 *
 * Limits count as Elixir's do: the n-th element of a collection may itself show limit - n elements.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "os/alloc.h"
#include "term/layout.h"
#include "term/utf8.h"

enum { DEPTH = 80, DEFAULT_LIMIT = 50, DEFAULT_PRINTABLE = 4096 };

struct printer {
    char *out;
    size_t size, length;
    const cop_inspect_opts *opts;
    int depth;
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

/* ---- characters -------------------------------------------------------------------------------------- */

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
    default:
        return 0;
    }
}

static bool is_printable(uint32_t code) {
    return (code >= 0x20 && code <= 0x7f) || escape_of(code) != 0
           || (code >= 0xa0 && code <= 0xd7ff) || (code >= 0xe000 && code <= 0xfffd)
           || (code >= 0x10000 && code <= 0x10ffff);
}

/* Text between quotes; at most `limit` characters. True if all of it was shown. */
static bool put_quoted(struct printer *p, const uint8_t *at, const uint8_t *end, char quote,
                       int64_t limit) {
    put_bytes(p, &quote, 1);
    while (at < end && limit != 0) {
        uint32_t code;
        size_t n = cop__utf8_next(at, end, &code);
        char escape = escape_of(code);
        if (code == 0x7f)
            escape = 'd';
        if (code == (uint32_t)quote || code == '\\'
            || (code == '#' && at + 1 < end && at[1] == '{'))
            put(p, "\\");
        if (escape != 0) {
            char text[2] = { '\\', escape };
            put_bytes(p, text, 2);
        } else {
            put_bytes(p, (const char *)at, n);
        }
        at += n;
        limit--;
    }
    put_bytes(p, &quote, 1);
    return at == end;
}

/* ---- atoms --------------------------------------------------------------------------------------------- */

static bool is_start(uint32_t c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0xaa;
}

static bool is_rest(uint32_t c) { return is_start(c) || (c >= '0' && c <= '9') || c == '@'; }

static bool is_identifier(const char *name, size_t size) {
    const uint8_t *at = (const uint8_t *)name, *end = at + size;
    uint32_t code;
    for (bool first = true; at < end; first = false) {
        size_t n = cop__utf8_next(at, end, &code);
        bool last = at + n == end;
        if (first ? !is_start(code) : !is_rest(code) && !(last && (code == '?' || code == '!')))
            return false;
        at += n;
    }
    return size > 0;
}

static bool is_operator(const char *name) {
    static const char *const operators[] = {
        "!",  "!=",  "!==", "%",  "%{}", "&",    "&&",  "&&&", "*",   "**",  "+",   "++",   "+++",
        "-",  "--",  "---", "->", "..",  "..//", "...", "/",   "<",   "<-",  "<<<", "<<>>", "<<~",
        "<=", "<>",  "<|>", "<~", "<~>", "=",    "==",  "===", "=~",  ">",   ">=",  ">>>",  "@",
        "^",  "^^^", "{}",  "|",  "|>",  "||",   "|||", "~>",  "~>>", "~~~", ".",
    };
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++)
        if (strcmp(name, operators[i]) == 0)
            return true;
    return false;
}

static bool is_alias(const char *name, size_t size) {
    if (size < 8 || memcmp(name, "Elixir.", 7) != 0)
        return false;
    bool start = true;
    for (size_t i = 7; i < size; i++) {
        char c = name[i];
        bool upper = c >= 'A' && c <= 'Z';
        bool word = upper || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
        if (start ? !upper : !word && c != '.')
            return false;
        start = c == '.';
    }
    return !start;
}

static void put_atom_text(struct printer *p, const char *name, size_t size) {
    if (is_identifier(name, size) || is_operator(name))
        put_bytes(p, name, size);
    else
        put_quoted(p, (const uint8_t *)name, (const uint8_t *)name + size, '"', -1);
}

static void put_atom(struct printer *p, cop_term t) {
    size_t size;
    const char *name = cop_atom_name((cop_atom){ t }, &size);
    if (strcmp(name, "nil") == 0 || strcmp(name, "true") == 0 || strcmp(name, "false") == 0) {
        put_bytes(p, name, size);
    } else if (is_alias(name, size)) {
        put_bytes(p, name + 7, size - 7);
    } else {
        put(p, ":");
        put_atom_text(p, name, size);
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
    put_atom_text(p, name, size);
    put(p, ": ");
}

/* ---- numbers, binaries, addresses ------------------------------------------------------------------------ */

static void put_float(struct printer *p, double d) {
    char text[40], digits[24];
    int exponent = 0;
    if (fabs(d) >= 1.0 && fabs(d) < 1.0e16 && trunc(d) == d) {
        put_bytes(p, text, (size_t)snprintf(text, sizeof text, "%.1f", d));
        return;
    }
    if (signbit(d)) {
        put(p, "-");
        d = -d;
    }
    if (d == 0) {
        put(p, "0.0");
        return;
    }
    /* The fewest digits that read back as the same number. */
    for (int precision = 0; precision < 17; precision++) {
        snprintf(text, sizeof text, "%.*e", precision, d);
        if (strtod(text, NULL) == d)
            break;
    }
    size_t n = 0;
    char *at = text;
    for (; *at != 'e'; at++)
        if (*at != '.')
            digits[n++] = *at;
    exponent = atoi(at + 1);
    int place = exponent + 1, length = (int)n; /* the value is 0.digits times 10^place */
    char shown[8];
    int exponent_cost = snprintf(shown, sizeof shown, "%d", place - 1) + 1 + (length == 1 ? 2 : 1);
    bool plain = d < 9007199254740992.0
                 && (place < 0         ? 2 - place <= exponent_cost
                     : place >= length ? place - length + 2 <= exponent_cost
                                       : true);
    if (!plain) {
        put_bytes(p, digits, 1);
        put(p, ".");
        if (n == 1)
            put(p, "0");
        put_bytes(p, digits + 1, n - 1);
        put(p, "e");
        put(p, shown);
    } else if (place <= 0) {
        put(p, "0.");
        for (int i = 0; i < -place; i++)
            put(p, "0");
        put_bytes(p, digits, n);
    } else if (place >= length) {
        put_bytes(p, digits, n);
        for (int i = length; i < place; i++)
            put(p, "0");
        put(p, ".0");
    } else {
        put_bytes(p, digits, (size_t)place);
        put(p, ".");
        put_bytes(p, digits + place, n - (size_t)place);
    }
}

static void put_integer(struct printer *p, cop_term t) {
    if (cop_is_small(t)) {
        char text[24];
        put_bytes(p, text,
                  (size_t)snprintf(text, sizeof text, "%lld", (long long)((int64_t)t.w >> 4)));
        return;
    }
    char *text = cop__integer_text(t);
    put(p, text);
    cop__free(text);
}

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

/* The three parts that stand for the 58 bits of a reference of this node. */
static void put_address(struct printer *p, cop_term t) {
    uint64_t n = t.w >> 6;
    if (cop__is_pid_word(t)) {
        put_number(p, "#PID<0.%llu", cop__pid_slot(t));
        put_number(p, ".%llu>", cop__pid_serial(t));
    } else if (cop__is_port_word(t)) {
        put_number(p, "#Port<0.%llu>", n);
    } else if (cop__is_ref_word(t)) {
        put_number(p, "#Reference<0.%llu", n >> 36);
        put_number(p, ".%llu", n >> 18 & 0x3ffff);
        put_number(p, ".%llu>", n & 0x3ffff);
    } else {
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
}

/* ---- collections ------------------------------------------------------------------------------------------ */

static void put_term(struct printer *p, cop_term t, int64_t limit);

static bool is_charlist(cop_term t) {
    if (cop_is_nil(t))
        return false;
    cop_term head;
    while (cop_get_cons(t, &head, &t)) {
        int64_t c;
        if (!cop_is_small(head) || !cop_get_i64(head, &c)
            || !((c >= 32 && c <= 126) || (c > 0 && c < 32 && escape_of((uint32_t)c) != 0)))
            return false;
    }
    return cop_is_nil(t);
}

static void put_charlist(struct printer *p, cop_term t) {
    cop_term head;
    int64_t limit = printable_limit(p);
    put(p, "'");
    while (limit != 0 && cop_get_cons(t, &head, &t)) {
        uint32_t c = (uint32_t)(head.w >> 4);
        char escape = escape_of(c), text[2] = { '\\', escape != 0 ? escape : (char)c };
        bool escaped = escape != 0 || c == '\'' || c == '\\';
        put_bytes(p, text + (escaped ? 0 : 1), escaped ? 2 : 1);
        limit--;
    }
    put(p, "'");
    if (cop_is_cons(t))
        put(p, " ++ ...");
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

static void put_list(struct printer *p, cop_term t, int64_t limit) {
    bool keyword = is_keyword(t);
    cop_term head;
    put(p, "[");
    for (bool first = true; cop_get_cons(t, &head, &t); first = false) {
        if (!first)
            put(p, ", ");
        if (limit == 0) {
            put(p, "...");
            t = COP_NIL;
            break;
        }
        limit--;
        if (keyword) {
            const cop_term *pair = cop__tuple_elems(head, 2);
            put_key(p, pair[0]);
            put_term(p, pair[1], limit);
        } else {
            put_term(p, head, limit);
        }
    }
    if (!cop_is_nil(t)) {
        put(p, " | ");
        put_term(p, t, limit);
    }
    put(p, "]");
}

static void put_tuple(struct printer *p, cop_term t, int64_t limit) {
    size_t n = (size_t)cop_tuple_size(t);
    put(p, "{");
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            put(p, ", ");
        if (limit == 0) {
            put(p, "...");
            break;
        }
        limit--;
        put_term(p, cop_elem(t, i), limit);
    }
    put(p, "}");
}

static bool is_hidden(cop_term key, bool is_struct, cop_term value) {
    return is_struct
           && (key.w == cop_as("__struct__").t.w
               || (key.w == cop_as("__exception__").t.w && value.w == cop_a(true).t.w));
}

static void put_map(struct printer *p, cop_term t, int64_t limit) {
    cop_term key, value, name = COP_NONE;
    bool all_keys = true;
    bool is_struct = !p->opts->structs_as_maps && cop_map_get(t, cop_as("__struct__").t, &name)
                     && cop_is_atom(name);
    cop_map_iter it = cop_map_first(t);
    while (cop_map_next(&it, &key, &value))
        all_keys = all_keys && is_key(key);
    put(p, "%");
    if (is_struct) {
        size_t size;
        const char *text = cop_atom_name((cop_atom){ name }, &size);
        if (is_alias(text, size))
            put_bytes(p, text + 7, size - 7);
        else
            put_atom(p, name);
    }
    put(p, "{");
    bool first = true;
    it = cop_map_first(t);
    while (cop_map_next(&it, &key, &value)) {
        if (is_hidden(key, is_struct, value))
            continue;
        if (!first)
            put(p, ", ");
        first = false;
        if (limit == 0) {
            put(p, "...");
            break;
        }
        limit--;
        if (all_keys) {
            put_key(p, key);
        } else {
            put_term(p, key, limit);
            put(p, " => ");
        }
        put_term(p, value, limit);
    }
    put(p, "}");
}

static void put_compound(struct printer *p, cop_term t, int64_t limit) {
    if (p->depth >= DEPTH) {
        put(p, "...");
        return;
    }
    p->depth++;
    if (cop_is_cons(t)) {
        if (!p->opts->charlists_as_lists && is_charlist(t))
            put_charlist(p, t);
        else
            put_list(p, t, limit);
    } else if (cop_is_tuple(t)) {
        put_tuple(p, t, limit);
    } else {
        put_map(p, t, limit);
    }
    p->depth--;
}

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
        if (cop__is_kind(t, BOX_EXPORT)) {
            size_t size;
            const char *name = cop_atom_name((cop_atom){ { cop__box(t)[2] } }, &size);
            put(p, "&");
            put_atom(p, (cop_term){ cop__box(t)[1] });
            put(p, ".");
            put_atom_text(p, name, size);
            put_number(p, "/%llu", cop__box(t)[3]);
            return;
        }
        put_number(p, "#Function<%llx", cop__box(t)[1]);
        put_number(p, "/%llu>", cop__box(t)[2]);
        return;
    case COP_KIND_NIL:
        put(p, "[]");
        return;
    case COP_KIND_BINARY:
        put_binary(p, t, limit);
        return;
    case COP_KIND_TUPLE:
    case COP_KIND_MAP:
    case COP_KIND_LIST:
        put_compound(p, t, limit);
        return;
    }
}

size_t cop_inspect_to(char *out, size_t size, cop_term t, const cop_inspect_opts *opts) {
    static const cop_inspect_opts defaults;
    struct printer p = { out, size > 0 ? size - 1 : 0, 0, opts != NULL ? opts : &defaults, 0 };
    put_term(&p, t, p.opts->limit == 0 ? DEFAULT_LIMIT : p.opts->limit);
    if (size > 0)
        out[p.length < size ? p.length : size - 1] = '\0';
    return p.length;
}

cop_term cop_inspect(cop_ctx *ctx, cop_term t, const cop_inspect_opts *opts) {
    char text[256];
    size_t length = cop_inspect_to(text, sizeof text, t, opts);
    if (length < sizeof text)
        return cop_binary(ctx, text, length);
    char *whole = cop__malloc(length + 1);
    cop_inspect_to(whole, length + 1, t, opts);
    cop_term binary = cop_binary(ctx, whole, length);
    cop__free(whole);
    return binary;
}
