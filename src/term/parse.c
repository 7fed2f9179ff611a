/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading terms in Elixir's notation: what inspect prints, and what people write in tests and
 * configuration.
 *
 * The reader does not recurse. A collection that is open is a level: its kind, and where its
 * elements begin on one stack of terms. Reading a value is a loop: openers push a level, a leaf is
 * a value; then the value is put into the level on top, and what follows it (a comma, a closing
 * bracket, which makes the collection a value in its turn, ...) says what comes next. So nesting is
 * bounded by COP__NESTING_MAX only, and by no C stack. The first error stops it: its place and what
 * was expected there are kept.
 *
 * In patterns (cop__parse_pattern) a name that begins with _ is read as COP_NONE.
 *
 * Threads: those of the heap.
 */
#include "term/parse.h"

#include <math.h>

#include "os/alloc.h"
#include "term/float_text.h"
#include "term/identifier.h"
#include "term/layout.h"
#include "term/utf8.h"

enum { INLINE_LEVELS = 16, BASED_DIGITS_MAX = 4096, ELEMENTS_MAX = (1 << 24) - 1 };

enum kind { LIST, TUPLE, MAP };

struct level {
    uint32_t base;      /* where its elements begin on the stack */
    uint32_t pairs;     /* of a tuple: the pairs at its end, key: value, which are one list */
    uint32_t wildcards; /* of a map: how many were read before the present key */
    uint8_t kind;
    bool keyed;  /* a list's or tuple's key is on the stack, its value comes */
    bool tail;   /* of a list: what comes stands after | */
    bool valued; /* of a map: the key is on the stack, its value comes */
};

struct reader {
    cop_ctx *ctx;
    const char *at, *end;
    const char *expected; /* of the error */
    const char *error_at;
    bool wildcards_allowed;
    uint32_t wildcards;
    struct cop__worklist stack;
    struct level *levels;
    size_t depth, cap;
    struct level first_levels[INLINE_LEVELS];
};

static bool fail(struct reader *r, const char *expected) {
    if (r->expected == NULL) {
        r->expected = expected;
        r->error_at = r->at;
    }
    return false;
}

static size_t left(const struct reader *r) { return (size_t)(r->end - r->at); }
static char peek_at(const struct reader *r, size_t n) { return left(r) > n ? r->at[n] : '\0'; }
static char peek(const struct reader *r) { return peek_at(r, 0); }

static void skip_space(struct reader *r) {
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r'))
        r->at++;
}

static bool take(struct reader *r, const char *text) {
    size_t n = strlen(text);
    if (left(r) < n || memcmp(r->at, text, n) != 0)
        return false;
    r->at += n;
    return true;
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
static bool is_start(char c) {
    return (c >= 'a' && c <= 'z') || is_upper(c) || c == '_' || (unsigned char)c >= 0x80;
}
static bool is_word(char c) { return is_start(c) || is_digit(c) || c == '@'; }

/* ---- text with escapes --------------------------------------------------------------------- */

/* Bytes that grow. */
struct text {
    char *bytes;
    size_t size, cap;
};

static struct text text_new(void) { return (struct text){ cop__malloc(32), 0, 32 }; }

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

/* {h...}, or up to 2 digits (\x), or exactly 4 (\u). */
static bool read_hex(struct reader *r, int digits, uint32_t *out) {
    bool braces = take(r, "{");
    uint32_t n = 0;
    int count = 0;
    while (count < (braces ? 6 : digits) && hex_digit(peek(r)) >= 0) {
        n = n << 4 | (uint32_t)hex_digit(*r->at++);
        count++;
    }
    if (count == 0 || (digits == 4 && !braces && count < 4))
        return fail(r, "hexadecimal digits");
    if (braces && !take(r, "}"))
        return fail(r, "a closing }");
    *out = n;
    return true;
}

/* After the backslash. In strings \xHH is a byte; in what is made of characters it is one. */
static bool read_escape(struct reader *r, bool bytes, struct text *t) {
    static const char letters[] = "abdefnrstv0";
    static const char values[] = "\a\b\x7f\x1b\f\n\r \t\v";
    if (r->at == r->end)
        return fail(r, "a character after the backslash");
    char c = *r->at++;
    const char *found = c == '\0' ? NULL : strchr(letters, c);
    if (found != NULL) {
        text_put(t, &values[found - letters], 1);
    } else if (c == 'x' || c == 'u') {
        bool braces = peek(r) == '{';
        uint32_t code;
        if (!read_hex(r, c == 'x' ? 2 : 4, &code))
            return false;
        uint8_t utf8[4] = { (uint8_t)code };
        size_t n = c == 'x' && bytes && !braces ? 1 : cop__utf8_put(code, utf8);
        if (n == 0)
            return fail(r, "a code point");
        text_put(t, utf8, n);
    } else if (c != '\n') { /* a line may be broken; any other character stands for itself */
        text_put(t, &c, 1);
    }
    return true;
}

/* After the opening quote, up to the closing one. The caller frees the bytes if it is true. */
static bool read_quoted(struct reader *r, char quote, bool bytes, struct text *t) {
    *t = text_new();
    while (r->at < r->end && *r->at != quote) {
        if (take(r, "\\")) {
            if (!read_escape(r, bytes, t))
                goto bad;
        } else if (peek(r) == '#' && peek_at(r, 1) == '{') {
            fail(r, "a \\ before #{ (nothing is interpolated)");
            goto bad;
        } else {
            text_put(t, r->at++, 1);
        }
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

static bool read_string(struct reader *r, cop_term *out) {
    struct text t;
    if (!read_quoted(r, '"', true, &t))
        return false;
    *out = cop_binary(r->ctx, t.bytes, t.size);
    cop__free(t.bytes);
    return true;
}

static bool read_charlist(struct reader *r, char quote, cop_term *out) {
    struct text t;
    cop_term list = COP_NIL;
    if (!read_quoted(r, quote, false, &t))
        return false;
    const uint8_t *at = (const uint8_t *)t.bytes, *end = at + t.size;
    uint32_t code;
    size_t n;
    for (; (n = cop__utf8_next(at, end, &code)) > 0; at += n)
        list = cop_cons(r->ctx, code, list);
    cop__free(t.bytes);
    *out = cop_list_reverse(r->ctx, list);
    return at == end || fail(r, "a charlist in UTF-8");
}

/* After the ?. */
static bool read_character(struct reader *r, cop_term *out) {
    struct text t = text_new();
    uint32_t code;
    bool ok = true;
    if (take(r, "\\")) {
        ok = read_escape(r, false, &t);
    } else {
        size_t n = cop__utf8_next((const uint8_t *)r->at, (const uint8_t *)r->end, &code);
        text_put(&t, r->at, n);
        r->at += n;
    }
    const uint8_t *bytes = (const uint8_t *)t.bytes;
    ok = ok && cop__utf8_next(bytes, bytes + t.size, &code) > 0;
    cop__free(t.bytes);
    if (!ok)
        return fail(r, "a character");
    *out = COP_INT(code);
    return true;
}

/* ---- numbers ------------------------------------------------------------------------------- */

static bool read_based(struct reader *r, unsigned base, bool negative, cop_term *out) {
    const char *first = r->at;
    while (hex_digit(peek(r)) >= 0 || (peek(r) == '_' && hex_digit(peek_at(r, 1)) >= 0))
        r->at++;
    size_t size = (size_t)(r->at - first);
    if (size == 0)
        return fail(r, "a digit");
    if (size > BASED_DIGITS_MAX)
        return fail(r, "fewer digits");
    size_t cap = size / 16 + 1, count = 0;
    uint64_t *limbs = cop__malloc(cap * sizeof *limbs);
    bool ok = true;
    for (const char *at = first; at < r->at && ok; at++) {
        if (*at == '_')
            continue;
        unsigned __int128 carry = (unsigned)hex_digit(*at);
        ok = carry < base;
        for (size_t i = 0; i < count; i++) {
            carry += (unsigned __int128)limbs[i] * base;
            limbs[i] = (uint64_t)carry;
            carry >>= 64;
        }
        if (carry != 0)
            limbs[count++] = (uint64_t)carry;
    }
    if (ok)
        *out = cop__integer_make(r->ctx, negative, limbs, count);
    cop__free(limbs);
    return ok || fail(r, "digits of that base");
}

/* Copies digits, with single underscores between them left out. */
static void copy_digits(struct reader *r, struct text *t) {
    while (is_digit(peek(r)) || (peek(r) == '_' && is_digit(peek_at(r, 1)))) {
        if (*r->at != '_')
            text_put(t, r->at, 1);
        r->at++;
    }
}

/* The point and what follows, if it is there. */
static bool copy_fraction(struct reader *r, struct text *t) {
    if (peek(r) != '.' || !is_digit(peek_at(r, 1)))
        return false;
    text_put(t, r->at++, 1);
    copy_digits(r, t);
    size_t sign = peek_at(r, 1) == '-' || peek_at(r, 1) == '+' ? 1 : 0;
    if ((peek(r) == 'e' || peek(r) == 'E') && is_digit(peek_at(r, 1 + sign))) {
        text_put(t, r->at, 1 + sign);
        r->at += 1 + sign;
        copy_digits(r, t);
    }
    return true;
}

static bool read_number(struct reader *r, cop_term *out) {
    bool negative = take(r, "-");
    if (!negative)
        take(r, "+");
    char letter = peek(r) == '0' ? peek_at(r, 1) : '\0';
    if (letter == 'x' || letter == 'o' || letter == 'b') {
        r->at += 2;
        return read_based(r, letter == 'x' ? 16 : letter == 'o' ? 8 : 2, negative, out);
    }
    struct text t = text_new();
    if (negative)
        text_put(&t, "-", 1);
    copy_digits(r, &t);
    bool is_float = copy_fraction(r, &t), ok;
    text_put(&t, "", 1);
    if (is_float) {
        double d = cop__float_parse(t.bytes);
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

/* ---- atoms and words ----------------------------------------------------------------------- */

static bool make_atom(struct reader *r, const char *name, size_t size, cop_term *out) {
    cop_atom a;
    if (!cop_atom_try(name, size, &a))
        return fail(r, "an atom: UTF-8, at most 255 characters");
    *out = a.t;
    return true;
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

static bool read_quoted_atom(struct reader *r, cop_term *out) {
    struct text t;
    if (!read_quoted(r, '"', false, &t))
        return false;
    bool ok = make_atom(r, t.bytes, t.size, out);
    cop__free(t.bytes);
    return ok;
}

/* After the colon. */
static bool read_atom(struct reader *r, cop_term *out) {
    if (take(r, "\""))
        return read_quoted_atom(r, out);
    size_t n = word_length(r);
    if (n == 0)
        n = cop__operator_length(r->at, left(r));
    if (n == 0)
        return fail(r, "the name of an atom");
    bool ok = make_atom(r, r->at, n, out);
    r->at += n;
    return ok;
}

/* Foo.Bar is :"Elixir.Foo.Bar"; what begins with Elixir has its whole name already. */
static bool read_alias(struct reader *r, cop_term *out) {
    size_t n = cop__alias_length(r->at, left(r));
    bool whole = n >= 6 && memcmp(r->at, "Elixir", 6) == 0 && (n == 6 || r->at[6] == '.');
    struct text t = text_new();
    text_put(&t, "Elixir.", whole ? 0 : 7);
    text_put(&t, r->at, n);
    bool ok = make_atom(r, t.bytes, t.size, out);
    r->at += n;
    cop__free(t.bytes);
    return ok;
}

/* nil, true, false, an alias, or a wildcard. */
static bool read_word(struct reader *r, cop_term *out) {
    static const char *const known[] = { "nil", "true", "false" };
    if (is_upper(*r->at))
        return read_alias(r, out);
    size_t n = word_length(r);
    if (*r->at == '_' && r->wildcards_allowed) {
        r->at += n;
        r->wildcards++;
        *out = COP_NONE;
        return true;
    }
    for (int i = 0; i < 3; i++)
        if (n == strlen(known[i]) && memcmp(r->at, known[i], n) == 0) {
            r->at += n;
            return make_atom(r, known[i], n, out);
        }
    return fail(r, "a term");
}

/* The length of an unquoted key that begins here, without its colon, or 0. */
static size_t key_length(const struct reader *r) {
    size_t n = word_length(r);
    if (n > 0)
        return peek_at(r, n) == ':' && peek_at(r, n + 1) != ':' ? n : 0;
    /* An operator may begin another term, such as %{}: so it needs a space after its colon. */
    n = cop__operator_length(r->at, left(r));
    char after = n > 0 && peek_at(r, n) == ':' ? peek_at(r, n + 1) : '\0';
    return after == ' ' || after == '\n' ? n : 0;
}

/* `key:` or `"key":` in a collection. Nothing is taken when there is none. */
static bool read_key(struct reader *r, cop_term *out, bool *is_key) {
    const char *before = r->at;
    *is_key = false;
    if (take(r, "\"")) {
        struct text t;
        if (!read_quoted(r, '"', true, &t))
            return false;
        cop__free(t.bytes);
        *is_key = take(r, ":");
        const char *after = r->at;
        r->at = before;
        if (!*is_key)
            return true;
        r->at++;
        bool ok = read_quoted_atom(r, out); /* once more: its escapes mean characters */
        r->at = after;
        return ok;
    }
    size_t n = key_length(r);
    if (n == 0)
        return true;
    *is_key = true;
    bool ok = make_atom(r, r->at, n, out);
    r->at += n + 1;
    return ok;
}

/* ---- binaries ------------------------------------------------------------------------------ */

/* Bits, most significant first; `bits` are used of the last byte, 0 when all are. */
struct bits {
    struct text text;
    unsigned bits;
};

static void bits_put(struct bits *b, uint64_t value, unsigned size) {
    while (size > 0) {
        if (b->bits == 0)
            text_put(&b->text, "", 1);
        size--;
        char *last = &b->text.bytes[b->text.size - 1];
        *last = (char)(*last | (int)(value >> size & 1) << (7 - b->bits));
        b->bits = (b->bits + 1) & 7;
    }
}

/* After an integer: ::size(n) or ::n, else 8 bits. */
static bool read_size(struct reader *r, unsigned *size) {
    *size = 8;
    if (!take(r, "::"))
        return true;
    bool named = take(r, "size(");
    unsigned n = 0;
    for (int i = 0; i < 2 && is_digit(peek(r)); i++)
        n = n * 10 + (unsigned)(*r->at++ - '0');
    if (n < 1 || n > 64)
        return fail(r, "a size of 1 to 64 bits");
    *size = n;
    return !named || take(r, ")") || fail(r, "a closing )");
}

static bool read_part(struct reader *r, struct bits *b) {
    cop_term part;
    cop_bytes bytes;
    int64_t n;
    unsigned size;
    if (take(r, "\"")) {
        if (!read_string(r, &part) || !cop_get_bytes(part, &bytes))
            return false;
        for (size_t i = 0; i < bytes.size; i++)
            bits_put(b, bytes.data[i], 8);
        return true;
    }
    char next = peek(r) == '-' || peek(r) == '+' ? peek_at(r, 1) : peek(r);
    if (take(r, "?") ? !read_character(r, &part) : !is_digit(next) || !read_number(r, &part))
        return fail(r, "a byte or a string");
    if (!cop_get_i64(part, &n))
        return fail(r, "an integer of 64 bits");
    if (!read_size(r, &size))
        return false;
    bits_put(b, (uint64_t)n, size);
    return true;
}

/* After the <<. */
static bool read_bytes(struct reader *r, cop_term *out) {
    struct bits b = { text_new(), 0 };
    bool ok = true;
    skip_space(r);
    for (bool more = !take(r, ">>"); ok && more;) {
        skip_space(r);
        ok = read_part(r, &b);
        skip_space(r);
        more = ok && take(r, ",");
        ok = ok && (more || take(r, ">>") || fail(r, "a comma or a closing >>"));
    }
    if (ok)
        *out = cop__bitstring(r->ctx, (const uint8_t *)b.text.bytes, b.text.size, b.bits);
    cop__free(b.text.bytes);
    return ok;
}

/* ---- pids, references, ports --------------------------------------------------------------- */

static bool read_numbers(struct reader *r, uint64_t *numbers, int count) {
    for (int i = 0; i < count; i++) {
        if (i > 0 && !take(r, "."))
            return fail(r, "a point");
        uint64_t n = 0;
        if (!is_digit(peek(r)))
            return fail(r, "a number");
        while (is_digit(peek(r)) && n < UINT64_C(1) << 60)
            n = n * 10 + (uint64_t)(*r->at++ - '0');
        numbers[i] = n;
    }
    return take(r, ">") || fail(r, "a closing >");
}

static bool read_address(struct reader *r, cop_term *out) {
    uint64_t n[3];
    if (take(r, "#PID<0.")) {
        if (!read_numbers(r, n, 2))
            return false;
        if (n[0] >= 1 << 24 || n[1] >= UINT64_C(1) << 36)
            return fail(r, "a pid in range");
        *out = cop__pid_make(n[0], n[1]);
    } else if (take(r, "#Port<0.")) {
        if (!read_numbers(r, n, 1))
            return false;
        if (n[0] >= UINT64_C(1) << 58)
            return fail(r, "a port in range");
        *out = (cop_term){ n[0] << 6 | COP__TAG_PORT };
    } else if (take(r, "#Reference<0.")) {
        if (!read_numbers(r, n, 3))
            return false;
        if (n[0] >= 1 << 22 || n[1] >= 1 << 18 || n[2] >= 1 << 18)
            return fail(r, "a reference in range");
        *out = (cop_term){ (n[0] << 36 | n[1] << 18 | n[2]) << 6 | COP__TAG_REF };
    } else {
        return fail(r, "#PID<0., #Port<0. or #Reference<0.");
    }
    return true;
}

/* After the &: Module.function/arity. */
static bool read_export(struct reader *r, cop_term *out) {
    cop_term module, function, arity;
    int64_t n;
    bool ok = take(r, ":")        ? read_atom(r, &module)
              : is_upper(peek(r)) ? read_alias(r, &module)
                                  : fail(r, "a module");
    if (!ok || (!take(r, ".") && !fail(r, "a point")) || !read_atom(r, &function))
        return false;
    if (!take(r, "/") || !is_digit(peek(r)) || !read_number(r, &arity) || !cop_get_i64(arity, &n)
        || n > 255)
        return fail(r, "/ and the arity");
    *out = cop_fun_export(r->ctx, (cop_atom){ module }, (cop_atom){ function }, (size_t)n);
    return true;
}

/* ---- values -------------------------------------------------------------------------------- */

static struct level *open_level(struct reader *r, enum kind kind) {
    if (r->depth == COP__NESTING_MAX) {
        fail(r, "less nesting (512 levels at most)");
        return NULL;
    }
    if (r->depth == r->cap) {
        struct level *more = cop__malloc(COP__NESTING_MAX * sizeof *more);
        memcpy(more, r->levels, r->depth * sizeof *more);
        r->levels = more;
        r->cap = COP__NESTING_MAX;
    }
    struct level *level = &r->levels[r->depth++];
    *level = (struct level){ .base = (uint32_t)r->stack.count, .kind = (uint8_t)kind };
    return level;
}

/* After the %: an optional name, then the brace. */
static bool open_map(struct reader *r) {
    cop_term name;
    if (open_level(r, MAP) == NULL)
        return false;
    if (take(r, "{"))
        return true;
    bool named = is_upper(peek(r)) ? read_alias(r, &name)
                 : take(r, ":")    ? read_atom(r, &name)
                                   : fail(r, "{ or the name of a struct");
    if (!named)
        return false;
    cop__worklist_push(&r->stack, cop_as("__struct__").t);
    cop__worklist_push(&r->stack, name);
    return take(r, "{") || fail(r, "{");
}

/* A leaf into *out; or a collection is opened, and *opened is its closing bracket. */
static bool read_value(struct reader *r, cop_term *out, const char **opened) {
    char c = peek(r), next = peek_at(r, 1);
    *opened = NULL;
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
    if (take(r, "<<"))
        return read_bytes(r, out);
    if (c == '#')
        return read_address(r, out);
    if (is_start(c))
        return read_word(r, out);
    *opened = c == '[' ? "]" : "}";
    if (take(r, "["))
        return open_level(r, LIST) != NULL;
    if (take(r, "{"))
        return open_level(r, TUPLE) != NULL;
    if (take(r, "%"))
        return open_map(r);
    return fail(r, "a term");
}

/* Before an element: its key, if it has one. */
static bool begin_element(struct reader *r) {
    struct level *level = &r->levels[r->depth - 1];
    bool is_key;
    cop_term key;
    skip_space(r);
    if (r->stack.count - level->base >= ELEMENTS_MAX)
        return fail(r, "fewer elements");
    level->wildcards = r->wildcards;
    if (!read_key(r, &key, &is_key))
        return false;
    if (!is_key)
        return level->pairs == 0 || fail(r, "a key, as before");
    cop__worklist_push(&r->stack, key);
    if (level->kind == MAP)
        level->valued = true;
    else
        level->keyed = true;
    return true;
}

/* The level on top is complete: the term it is. */
static cop_term close_level(struct reader *r) {
    struct level *level = &r->levels[--r->depth];
    size_t count = r->stack.count - level->base;
    cop_term t;
    if (level->pairs > 0) { /* {1, a: 2} is {1, [a: 2]} */
        size_t first = r->stack.count - level->pairs;
        r->stack.items[first] = cop_list_n(r->ctx, level->pairs, r->stack.items + first);
        count -= level->pairs - 1;
    }
    const cop_term *elements = r->stack.items + level->base;
    if (level->kind == TUPLE)
        t = cop_tuple_n(r->ctx, count, elements);
    else if (level->kind == MAP)
        t = cop_map_n(r->ctx, count, elements);
    else if (level->tail)
        t = cop__list_tail_n(r->ctx, count, elements);
    else
        t = cop_list_n(r->ctx, count, elements);
    r->stack.count = level->base;
    return t;
}

/* A value of the level on top: makes it an element. */
static void add_value(struct reader *r, struct level *level, cop_term value) {
    if (level->keyed) {
        cop_term pair[2] = { r->stack.items[r->stack.count - 1], value };
        r->stack.items[r->stack.count - 1] = cop_tuple_n(r->ctx, 2, pair);
        level->keyed = false;
        level->pairs += level->kind == TUPLE;
    } else {
        cop__worklist_push(&r->stack, value);
    }
}

/* After a value of the level on top: *closed when it ends here, else another value comes. */
static bool after_value(struct reader *r, cop_term value, bool *closed) {
    struct level *level = &r->levels[r->depth - 1];
    const char *close = level->kind == LIST ? "]" : "}";
    add_value(r, level, value);
    skip_space(r);
    *closed = false;
    if (level->kind == MAP && !level->valued) {
        if (r->wildcards != level->wildcards)
            return fail(r, "a key without _");
        level->valued = take(r, "=>");
        skip_space(r);
        return level->valued || fail(r, "=>");
    }
    level->valued = false;
    if ((*closed = take(r, close)))
        return true;
    if (level->tail)
        return fail(r, "a closing ]");
    if (level->kind == LIST && take(r, "|")) {
        level->tail = true;
        skip_space(r);
        return true;
    }
    if (!take(r, ","))
        return fail(r,
                    level->kind == LIST ? "a comma, | or a closing ]" : "a comma or a closing }");
    skip_space(r);
    *closed = take(r, close); /* a trailing comma is no error */
    return *closed || begin_element(r);
}

/* One term, with all that is in it. */
static bool read_term(struct reader *r, cop_term *out) {
    const char *opened;
    do {
        bool closed = true;
        skip_space(r);
        if (!read_value(r, out, &opened))
            return false;
        if (opened != NULL) {
            skip_space(r);
            closed = take(r, opened);
            if (!closed && !begin_element(r))
                return false;
            if (closed)
                *out = close_level(r);
        }
        while (closed && r->depth > 0) {
            if (!after_value(r, *out, &closed))
                return false;
            if (closed)
                *out = close_level(r);
        }
    } while (r->depth > 0);
    return true;
}

static bool read_all(struct reader *r, cop_term *out, cop_parse_error *error) {
    const char *start = r->at;
    cop_term t = COP_NONE;
    cop__heap_hold(cop__heap_of(r->ctx));
    cop__worklist_init(&r->stack);
    r->levels = r->first_levels;
    r->cap = INLINE_LEVELS;
    bool ok = read_term(r, &t);
    if (ok) {
        skip_space(r);
        ok = r->at == r->end || fail(r, "the end of the text");
    }
    cop__worklist_free(&r->stack);
    if (r->levels != r->first_levels)
        cop__free(r->levels);
    if (ok)
        *out = t;
    else if (error != NULL)
        *error = (cop_parse_error){ (size_t)(r->error_at - start), r->expected };
    cop__heap_let(cop__heap_of(r->ctx));
    return ok;
}

bool cop_parse(cop_ctx *ctx, const char *text, size_t size, cop_term *out, cop_parse_error *error) {
    struct reader r = { .ctx = ctx, .at = text, .end = text + size };
    return read_all(&r, out, error);
}

bool cop__parse_pattern(cop_ctx *ctx, const char *text, size_t size, cop_term *out,
                        cop_parse_error *error) {
    struct reader r = { .ctx = ctx, .at = text, .end = text + size, .wildcards_allowed = true };
    return read_all(&r, out, error);
}
