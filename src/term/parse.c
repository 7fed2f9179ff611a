/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading terms in Elixir's notation: what inspect prints, and what people write in tests and
 * configuration.
 *
 * A recursive descent over the text, one function per form. The elements of a collection are kept on
 * one stack of the reader's (a collection's own begin at its base), so the C stack holds little;
 * nesting is bounded at DEPTH, and everything else by the length of the text. The first error stops it:
 * its place and what was expected there are kept.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "os/alloc.h"
#include "term/layout.h"
#include "term/utf8.h"

enum { DEPTH = 100 };

struct reader {
    cop_ctx *ctx;
    const char *start, *at, *end;
    struct cop__worklist stack;
    const char *expected; /* of the error */
    const char *error_at;
    int depth;
};

static bool fail(struct reader *r, const char *expected) {
    if (r->expected == NULL) {
        r->expected = expected;
        r->error_at = r->at;
    }
    return false;
}

static char peek(const struct reader *r) { return r->at < r->end ? *r->at : '\0'; }
static char peek_at(const struct reader *r, size_t n) {
    return (size_t)(r->end - r->at) > n ? r->at[n] : '\0';
}

static void skip_space(struct reader *r) {
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r'))
        r->at++;
}

static bool take(struct reader *r, const char *text) {
    size_t n = strlen(text);
    if ((size_t)(r->end - r->at) < n || memcmp(r->at, text, n) != 0)
        return false;
    r->at += n;
    return true;
}

static bool read_term(struct reader *r, cop_term *out);

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
static bool is_start(char c) {
    return (c >= 'a' && c <= 'z') || is_upper(c) || c == '_' || (unsigned char)c >= 0x80;
}
static bool is_word(char c) { return is_start(c) || is_digit(c) || c == '@'; }

/* ---- text with escapes --------------------------------------------------------------------------------- */

struct text {
    char *bytes;
    size_t size, cap;
};

static void text_put(struct text *t, const void *bytes, size_t n) {
    if (t->cap - t->size < n) {
        t->cap = (t->cap + n) * 2;
        t->bytes = cop__realloc(t->bytes, t->cap);
    }
    memcpy(t->bytes + t->size, bytes, n);
    t->size += n;
}

static int hex_digit(char c) {
    return is_digit(c)            ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* {h...} or exactly `digits` digits. */
static bool read_hex(struct reader *r, int digits, uint32_t *out) {
    bool braces = take(r, "{");
    uint32_t n = 0;
    int count = 0;
    while (count < (braces ? 6 : digits) && hex_digit(peek(r)) >= 0) {
        n = n << 4 | (uint32_t)hex_digit(*r->at++);
        count++;
    }
    if (count == 0 || (!braces && count < digits && digits == 4) || (braces && !take(r, "}")))
        return fail(r, "hexadecimal digits");
    *out = n;
    return true;
}

static bool read_escape(struct reader *r, struct text *t) {
    static const char letters[] = "abdefnrstv0";
    static const char values[] = "\a\b\x7f\x1b\f\n\r \t\v\0";
    if (r->at >= r->end)
        return fail(r, "a character after the backslash");
    char c = *r->at++;
    const char *found = c == '\0' ? NULL : strchr(letters, c);
    uint32_t code;
    if (found != NULL) {
        text_put(t, &values[found - letters], 1);
        return true;
    }
    if (c == 'x' || c == 'u') {
        if (!read_hex(r, c == 'x' ? 2 : 4, &code))
            return false;
        uint8_t utf8[4] = { (uint8_t)code };
        size_t n = c == 'x' && code < 256 ? 1 : cop__utf8_put(code, utf8);
        if (n == 0)
            return fail(r, "a code point");
        text_put(t, utf8, n);
        return true;
    }
    text_put(t, &c, 1); /* any other stands for itself */
    return true;
}

/* After the opening quote, up to the closing one. The bytes are to be freed. */
static bool read_quoted(struct reader *r, char quote, struct text *t) {
    *t = (struct text){ cop__malloc(32), 0, 32 };
    while (r->at < r->end && *r->at != quote) {
        if (*r->at == '\\') {
            r->at++;
            if (!read_escape(r, t))
                goto bad;
            continue;
        }
        text_put(t, r->at, 1);
        r->at++;
    }
    if (r->at < r->end) {
        r->at++;
        return true;
    }
    fail(r, quote == '"' ? "a closing \"" : "a closing '");
bad:
    cop__free(t->bytes);
    return false;
}

/* ---- numbers ----------------------------------------------------------------------------------------------- */

static bool read_based(struct reader *r, unsigned base, bool negative, cop_term *out) {
    uint64_t limbs[17] = { 0 };
    int count = 0;
    for (; hex_digit(peek(r)) >= 0 || peek(r) == '_'; r->at++) {
        if (*r->at == '_')
            continue;
        unsigned digit = (unsigned)hex_digit(*r->at);
        if (digit >= base || ++count > 256)
            return fail(r, "a digit of that base");
        unsigned __int128 carry = digit;
        for (int i = 0; i < 17; i++) {
            carry += (unsigned __int128)limbs[i] * base;
            limbs[i] = (uint64_t)carry;
            carry >>= 64;
        }
    }
    if (count == 0)
        return fail(r, "a digit");
    *out = cop__integer_make(r->ctx, negative, limbs, 17);
    return true;
}

static bool read_number(struct reader *r, cop_term *out) {
    bool negative = take(r, "-");
    if (!negative)
        take(r, "+");
    if (peek(r) == '0' && (peek_at(r, 1) == 'x' || peek_at(r, 1) == 'o' || peek_at(r, 1) == 'b')) {
        unsigned base = r->at[1] == 'x' ? 16 : r->at[1] == 'o' ? 8 : 2;
        r->at += 2;
        return read_based(r, base, negative, out);
    }
    struct text t = { cop__malloc(64), 0, 64 };
    bool is_float = false, ok = true;
    if (negative)
        text_put(&t, "-", 1);
    for (; r->at < r->end; r->at++) {
        char c = *r->at;
        if (c == '.' && !is_float && is_digit(peek_at(r, 1)))
            is_float = true;
        else if ((c == 'e' || c == 'E') && is_float
                 && (is_digit(peek_at(r, 1))
                     || ((peek_at(r, 1) == '-' || peek_at(r, 1) == '+')
                         && is_digit(peek_at(r, 2))))) {
            text_put(&t, r->at, 2);
            r->at++;
            continue;
        } else if (c == '_' && is_digit(peek_at(r, 1)))
            continue;
        else if (!is_digit(c))
            break;
        text_put(&t, &c, 1);
    }
    text_put(&t, "", 1);
    if (is_float) {
        double d = strtod(t.bytes, NULL);
        ok = isfinite(d);
        if (ok)
            *out = cop_of(r->ctx, d);
    } else {
        *out = cop_integer_parse(r->ctx, t.bytes, t.size - 1);
        ok = !cop_is_none(*out);
    }
    cop__free(t.bytes);
    return ok || fail(r, is_float ? "a float in range" : "an integer of at most a million digits");
}

/* ---- atoms and words ------------------------------------------------------------------------------------------ */

static bool make_atom(struct reader *r, const char *name, size_t size, cop_term *out) {
    cop_atom a;
    if (!cop_atom_try(name, size, &a))
        return fail(r, "an atom of at most 255 characters");
    *out = a.t;
    return true;
}

static size_t operator_length(const struct reader *r) {
    static const char *const operators[] = {
        "..//", "<<>>", "%{}", "!==", "&&&", "+++", "---", "...", "<<<", "<<~", "<|>", "<~>", "===",
        ">>>",  "^^^",  "|||", "~>>", "~~~", "!=",  "&&",  "**",  "++",  "--",  "->",  "..",  "<-",
        "<=",   "<>",   "<~",  "==",  "=~",  ">=",  "{}",  "|>",  "||",  "~>",  "!",   "%",   "&",
        "*",    "+",    "-",   "/",   "<",   "=",   ">",   "@",   "^",   "|",   ".",
    };
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        size_t n = strlen(operators[i]);
        if ((size_t)(r->end - r->at) >= n && memcmp(r->at, operators[i], n) == 0)
            return n;
    }
    return 0;
}

static size_t word_length(const struct reader *r) {
    const char *at = r->at;
    if (at >= r->end || !is_start(*at))
        return 0;
    while (at < r->end && is_word(*at))
        at++;
    if (at < r->end && (*at == '?' || *at == '!'))
        at++;
    return (size_t)(at - r->at);
}

static bool read_atom(struct reader *r, cop_term *out) {
    if (peek(r) == '"') {
        r->at++;
        struct text t;
        if (!read_quoted(r, '"', &t))
            return false;
        bool ok = make_atom(r, t.bytes, t.size, out);
        cop__free(t.bytes);
        return ok;
    }
    size_t n = word_length(r);
    if (n == 0)
        n = operator_length(r);
    if (n == 0)
        return fail(r, "the name of an atom");
    bool ok = make_atom(r, r->at, n, out);
    r->at += n;
    return ok;
}

/* nil, true, false, or an alias such as Foo.Bar. */
static bool read_word(struct reader *r, cop_term *out) {
    size_t n = word_length(r);
    if (!is_upper(*r->at)) {
        static const char *const known[] = { "nil", "true", "false" };
        for (int i = 0; i < 3; i++)
            if (n == strlen(known[i]) && memcmp(r->at, known[i], n) == 0) {
                r->at += n;
                return make_atom(r, known[i], n, out);
            }
        return fail(r, "a term");
    }
    char name[1024] = "Elixir.";
    size_t size = 7;
    for (;;) {
        n = word_length(r);
        if (size + n + 1 >= sizeof name)
            return fail(r, "a shorter alias");
        memcpy(name + size, r->at, n);
        size += n;
        r->at += n;
        if (peek(r) != '.' || !is_upper(peek_at(r, 1)))
            break;
        name[size++] = '.';
        r->at++;
    }
    return make_atom(r, name, size, out);
}

/* `key:` or `"key":` in a list or map. Nothing is taken when there is none. */
static bool read_key(struct reader *r, cop_term *out, bool *is_key) {
    const char *before = r->at;
    *is_key = false;
    if (peek(r) == '"') {
        r->at++;
        struct text t;
        if (!read_quoted(r, '"', &t))
            return false;
        bool ok = true;
        if (peek(r) == ':' && (peek_at(r, 1) == ' ' || peek_at(r, 1) == '\n')) {
            r->at++;
            *is_key = true;
            ok = make_atom(r, t.bytes, t.size, out);
        } else {
            r->at = before;
        }
        cop__free(t.bytes);
        return ok;
    }
    size_t n = word_length(r);
    if (n == 0 && peek(r) != ':' && peek(r) != '%' && peek(r) != '{' && peek(r) != '<')
        n = operator_length(r);
    /* The colon of a key is followed by space; any other begins an atom or belongs to one. */
    if (n == 0 || r->at + n + 1 >= r->end || r->at[n] != ':'
        || (r->at[n + 1] != ' ' && r->at[n + 1] != '\n'))
        return true;
    *is_key = true;
    bool ok = make_atom(r, r->at, n, out);
    r->at += n + 1;
    return ok;
}

/* ---- collections -------------------------------------------------------------------------------------------------- */

/* After an element: a comma, or the closing text. */
static bool more_or_close(struct reader *r, const char *close, const char *expected, bool *more) {
    skip_space(r);
    *more = false;
    if (take(r, close))
        return true;
    if (!take(r, ","))
        return fail(r, expected);
    skip_space(r);
    *more = !take(r, close); /* a trailing comma is no error */
    return true;
}

static bool push_element(struct reader *r) {
    cop_term key, value;
    bool is_key;
    skip_space(r);
    if (!read_key(r, &key, &is_key))
        return false;
    if (is_key)
        skip_space(r);
    if (!read_term(r, &value))
        return false;
    cop__worklist_push(&r->stack, is_key ? cop_tuple(r->ctx, key, value) : value);
    return true;
}

static bool read_list(struct reader *r, cop_term *out) {
    size_t base = r->stack.count;
    cop_term tail = COP_NIL;
    skip_space(r);
    bool more = !take(r, "]");
    while (more) {
        if (!push_element(r))
            return false;
        skip_space(r);
        if (take(r, "|")) {
            skip_space(r);
            if (!read_term(r, &tail))
                return false;
            skip_space(r);
            if (!take(r, "]"))
                return fail(r, "a closing ]");
            break;
        }
        if (!more_or_close(r, "]", "a comma, | or a closing ]", &more))
            return false;
    }
    cop__worklist_push(&r->stack, tail);
    *out = cop__list_tail_n(r->ctx, r->stack.count - base, r->stack.items + base);
    r->stack.count = base;
    return true;
}

static bool read_tuple(struct reader *r, cop_term *out) {
    size_t base = r->stack.count;
    skip_space(r);
    bool more = !take(r, "}");
    while (more)
        if (!push_element(r) || !more_or_close(r, "}", "a comma or a closing }", &more))
            return false;
    *out = cop_tuple_n(r->ctx, r->stack.count - base, r->stack.items + base);
    r->stack.count = base;
    return true;
}

static bool push_pair(struct reader *r) {
    cop_term key, value;
    bool is_key;
    skip_space(r);
    if (!read_key(r, &key, &is_key) || (!is_key && !read_term(r, &key)))
        return false;
    skip_space(r);
    if (!is_key && !take(r, "=>"))
        return fail(r, "=>");
    skip_space(r);
    if (!read_term(r, &value))
        return false;
    cop__worklist_push(&r->stack, key);
    cop__worklist_push(&r->stack, value);
    return true;
}

/* After the %: an optional name, then { ... }. */
static bool read_map(struct reader *r, cop_term *out) {
    size_t base = r->stack.count;
    if (peek(r) != '{') {
        cop_term name;
        if (peek(r) == ':' ? (r->at++, !read_atom(r, &name))
                           : !is_upper(peek(r)) || !read_word(r, &name))
            return fail(r, "{ or the name of a struct");
        cop__worklist_push(&r->stack, cop_as("__struct__").t);
        cop__worklist_push(&r->stack, name);
    }
    if (!take(r, "{"))
        return fail(r, "{");
    skip_space(r);
    bool more = !take(r, "}");
    while (more)
        if (!push_pair(r) || !more_or_close(r, "}", "a comma or a closing }", &more))
            return false;
    *out = cop_map_n(r->ctx, r->stack.count - base, r->stack.items + base);
    r->stack.count = base;
    return true;
}

static bool read_bytes(struct reader *r, cop_term *out) {
    struct text t = { cop__malloc(32), 0, 32 };
    unsigned bits = 0;
    bool ok = true, more;
    skip_space(r);
    for (more = !take(r, ">>"); ok && more;) {
        cop_term part;
        cop_bytes bytes;
        int64_t n = 0;
        skip_space(r);
        ok = bits == 0 && read_term(r, &part);
        if (ok && cop_get_bytes(part, &bytes)) {
            text_put(&t, bytes.data, bytes.size);
        } else if (ok && cop_get_i64(part, &n)) {
            int64_t size = 8;
            if (take(r, "::size(")) {
                cop_term s;
                ok = read_number(r, &s) && cop_get_i64(s, &size) && size >= 1 && size <= 8
                     && take(r, ")");
            }
            uint8_t byte = ok ? (uint8_t)((uint64_t)n << (8 - size)) : 0;
            bits = (unsigned)size & 7;
            text_put(&t, &byte, 1);
        } else {
            ok = false;
        }
        if (!ok)
            fail(r, "a byte or a string");
        ok = ok && more_or_close(r, ">>", "a comma or a closing >>", &more);
    }
    if (ok)
        *out = cop__bitstring(r->ctx, (const uint8_t *)t.bytes, t.size, bits);
    cop__free(t.bytes);
    return ok;
}

/* ---- strings, charlists, addresses ------------------------------------------------------------------------------- */

static bool read_string(struct reader *r, cop_term *out) {
    struct text t;
    if (!read_quoted(r, '"', &t))
        return false;
    *out = cop_binary(r->ctx, t.bytes, t.size);
    cop__free(t.bytes);
    return true;
}

static bool read_charlist(struct reader *r, char quote, cop_term *out) {
    struct text t;
    if (!read_quoted(r, quote, &t))
        return false;
    text_put(&t, "", 1);
    *out = cop_charlist(r->ctx, t.bytes);
    cop__free(t.bytes);
    return true;
}

static bool read_parts(struct reader *r, uint64_t *parts, int count) {
    for (int i = 0; i < count; i++) {
        if (i > 0 && !take(r, "."))
            return fail(r, "a point");
        uint64_t n = 0;
        if (!is_digit(peek(r)))
            return fail(r, "a number");
        while (is_digit(peek(r)) && n < UINT64_C(1) << 60)
            n = n * 10 + (uint64_t)(*r->at++ - '0');
        parts[i] = n;
    }
    return take(r, ">") || fail(r, "a closing >");
}

static bool read_address(struct reader *r, cop_term *out) {
    uint64_t n[4];
    const char *what = "#PID<0., #Port<0. or #Reference<0.";
    if (take(r, "#PID<0.")) {
        if (!read_parts(r, n, 2))
            return false;
        if (n[0] >= 1 << 24 || n[1] >= UINT64_C(1) << 36)
            return fail(r, "a pid in range");
        *out = cop__pid_make(n[0], n[1]);
    } else if (take(r, "#Port<0.")) {
        if (!read_parts(r, n, 1))
            return false;
        if (n[0] >= UINT64_C(1) << 58)
            return fail(r, "a port in range");
        *out = (cop_term){ n[0] << 6 | COP__TAG_PORT };
    } else if (take(r, "#Reference<0.")) {
        if (!read_parts(r, n, 3))
            return false;
        if (n[0] >= 1 << 22 || n[1] >= 1 << 18 || n[2] >= 1 << 18)
            return fail(r, "a reference in range");
        *out = (cop_term){ (n[0] << 36 | n[1] << 18 | n[2]) << 6 | COP__TAG_REF };
    } else {
        return fail(r, what);
    }
    return true;
}

static bool read_character(struct reader *r, cop_term *out) {
    uint32_t code;
    if (peek(r) == '\\') {
        r->at++;
        struct text t = { cop__malloc(8), 0, 8 };
        bool ok = read_escape(r, &t);
        if (ok && cop__utf8_next((uint8_t *)t.bytes, (uint8_t *)t.bytes + t.size, &code) != t.size)
            code = (uint8_t)t.bytes[0]; /* a byte by its number */
        if (ok)
            *out = COP_INT(code);
        cop__free(t.bytes);
        return ok;
    }
    size_t n = cop__utf8_next((const uint8_t *)r->at, (const uint8_t *)r->end, &code);
    if (n == 0)
        return fail(r, "a character");
    r->at += n;
    *out = COP_INT(code);
    return true;
}

/* After the &: Module.function/arity. */
static bool read_export(struct reader *r, cop_term *out) {
    cop_term module, function, arity;
    int64_t n;
    bool ok = take(r, ":") ? read_atom(r, &module) : is_upper(peek(r)) && read_word(r, &module);
    if (!ok || !take(r, ".") || !read_atom(r, &function) || !take(r, "/") || !is_digit(peek(r))
        || !read_number(r, &arity) || !cop_get_i64(arity, &n) || n > 255)
        return fail(r, "Module.function/arity");
    *out = cop_fun_export(r->ctx, (cop_atom){ module }, (cop_atom){ function }, (size_t)n);
    return true;
}

static bool read_any(struct reader *r, cop_term *out) {
    char c = peek(r), next = peek_at(r, 1);
    if (is_digit(c) || ((c == '-' || c == '+') && is_digit(next)))
        return read_number(r, out);
    if (take(r, "\""))
        return read_string(r, out);
    if (take(r, "'"))
        return read_charlist(r, '\'', out);
    if (take(r, "~c\""))
        return read_charlist(r, '"', out);
    if (take(r, "?"))
        return read_character(r, out);
    if (take(r, "&"))
        return read_export(r, out);
    if (take(r, ":"))
        return read_atom(r, out);
    if (take(r, "["))
        return read_list(r, out);
    if (take(r, "{"))
        return read_tuple(r, out);
    if (take(r, "%"))
        return read_map(r, out);
    if (take(r, "<<"))
        return read_bytes(r, out);
    if (c == '#')
        return read_address(r, out);
    if (is_start(c))
        return read_word(r, out);
    return fail(r, "a term");
}

static bool read_term(struct reader *r, cop_term *out) {
    if (r->depth >= DEPTH)
        return fail(r, "less nesting (100 levels at most)");
    r->depth++;
    bool ok = read_any(r, out);
    r->depth--;
    return ok;
}

bool cop_parse(cop_ctx *ctx, const char *text, size_t size, cop_term *out, cop_parse_error *error) {
    struct reader r = { .ctx = ctx, .start = text, .at = text, .end = text + size };
    cop__worklist_init(&r.stack);
    skip_space(&r);
    cop_term t = COP_NONE;
    bool ok = read_term(&r, &t);
    if (ok) {
        skip_space(&r);
        ok = r.at == r.end || fail(&r, "the end of the text");
    }
    cop__worklist_free(&r.stack);
    if (ok)
        *out = t;
    else if (error != NULL)
        *error = (cop_parse_error){ (size_t)(r.error_at - text), r.expected };
    return ok;
}
