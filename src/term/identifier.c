/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which atoms are written without quotes: identifiers, operators and aliases, as Elixir 1.14 reads
 * them.
 *
 * An identifier of ASCII characters is plain. Beyond ASCII, Elixir takes the letters of Unicode's
 * recommended scripts, and only one script in an identifier, or a set of scripts that are written
 * together (Latin with Japanese, say). The table of those letters and their scripts is in
 * identifiers.inc, made from Elixir's own by test/term/vectors/identifiers.exs. An identifier that
 * is not in Unicode's normal form C is quoted, unless it begins with an upper case letter or has an
 * @ in it. We take each mark that could join with the letter before it for a sign of that; where
 * the two have no joined form, we quote an atom that Elixir does not, which reads back the same.
 *
 * Everything here is constant: any thread.
 */
#include "term/identifier.h"

#include <stdint.h>
#include <string.h>

#include "term/utf8.h"

/* What a character may be: the first of an identifier, an upper case letter, one that may join with
   the letter before it. */
enum { BEGINS = 1, UPPER = 2, JOINS = 4 };

struct range {
    uint32_t first;
    uint16_t more;
    uint8_t flags, scripts;
};

#include "term/identifiers.inc"

#define ALL_SCRIPTS UINT64_C(0xFFFFFFFFFFF)
#define LATIN UINT64_C(1)

static bool is_letter(uint32_t c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
static bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
static bool is_digit(uint32_t c) { return c >= '0' && c <= '9'; }

static const struct range *find_range(uint32_t code) {
    size_t low = 0, high = sizeof ranges / sizeof *ranges;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (code < ranges[middle].first)
            high = middle;
        else if (code - ranges[middle].first > ranges[middle].more)
            low = middle + 1;
        else
            return &ranges[middle];
    }
    return NULL;
}

/* Whether a character may stand in an identifier, and as the first; what it is, and its scripts. */
static bool classify(uint32_t code, bool first, unsigned *flags, uint64_t *scripts) {
    *flags = is_letter(code) && code < 'a' ? UPPER : 0;
    *scripts = is_letter(code) ? LATIN : ALL_SCRIPTS;
    if (is_letter(code) || code == '_')
        return true;
    if (code < 0x80)
        return !first && (is_digit(code) || code == '@');
    const struct range *range = find_range(code);
    if (range == NULL || (first && (range->flags & BEGINS) == 0))
        return false;
    *flags = range->flags;
    *scripts = script_sets[range->scripts];
    return true;
}

/* *special: upper case, or an @ in it; such atoms are no names of functions. */
static bool is_identifier(const char *name, size_t size, bool *special) {
    /* Latin with Japanese, with Han and Bopomofo, with Korean. */
    static const uint64_t together[] = { 0x100001, 0x10001, 0x4000001 };
    const uint8_t *at = (const uint8_t *)name, *end = at + size;
    uint64_t common = ALL_SCRIPTS, scripts;
    unsigned allowed = 7, flags;
    bool ascii = true, joins = false;
    *special = false;
    for (bool first = true; at < end; first = false) {
        uint32_t code;
        size_t n = cop__utf8_next(at, end, &code);
        if (n == 0)
            return false;
        if (!first && (code == '?' || code == '!') && at + n == end)
            break;
        if (!classify(code, first, &flags, &scripts))
            return false;
        common &= scripts;
        for (unsigned i = 0; i < 3; i++)
            if ((scripts & together[i]) == 0)
                allowed &= ~(1u << i);
        ascii = ascii && code < 0x80;
        joins = joins || (flags & JOINS) != 0;
        *special = *special || code == '@' || (first && (flags & UPPER) != 0);
        at += n;
    }
    return size > 0 && (ascii || common != 0 || allowed != 0) && (!joins || *special);
}

static const char *const operators[] = {
    "..//", "<<>>", "%{}", "!==", "&&&", "+++", "---", "...", "<<<", "<<~", "<|>", "<~>",  "===",
    ">>>",  "^^^",  "|||", "~>>", "~~~", "!=",  "&&",  "**",  "++",  "--",  "->",  "..",   "::",
    "<-",   "<=",   "<>",  "<~",  "==",  "=~",  ">=",  "{}",  "|>",  "||",  "~>",  "\\\\", "!",
    "%",    "&",    "*",   "+",   "-",   ".",   "/",   "<",   "=",   ">",   "@",   "^",    "|",
};

size_t cop__operator_length(const char *text, size_t size) {
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        size_t n = strlen(operators[i]);
        if (n <= size && memcmp(text, operators[i], n) == 0)
            return n;
    }
    return 0;
}

/* These are operators that Elixir prints in quotes: deprecated, or ambiguous. */
static bool is_quoted_operator(const char *name) {
    return strcmp(name, "::") == 0 || strcmp(name, "^^^") == 0 || strcmp(name, "~~~") == 0
           || strcmp(name, "<|>") == 0;
}

size_t cop__alias_length(const char *text, size_t size) {
    size_t at = 0, length = 0;
    while (at < size && is_upper(text[at])) {
        while (at < size
               && (is_letter((uint8_t)text[at]) || is_digit((uint8_t)text[at]) || text[at] == '_'))
            at++;
        length = at;
        if (at == size || text[at] != '.')
            break;
        at++;
    }
    return length;
}

static bool is_operator(const char *name, size_t size) {
    return size > 0 && cop__operator_length(name, size) == size;
}

bool cop__is_callable(const char *name, size_t size) {
    static const char *const syntax[] = {
        "%", "%{}", "{}", "<<>>", "...", "..", ".", "..//", "->"
    };
    bool special;
    for (size_t i = 0; i < sizeof syntax / sizeof *syntax; i++)
        if (strcmp(name, syntax[i]) == 0)
            return false;
    return is_operator(name, size) || (is_identifier(name, size, &special) && !special);
}

enum cop__atom_form cop__atom_form(const char *name, size_t size) {
    bool special;
    if (size >= 6 && memcmp(name, "Elixir", 6) == 0 && cop__alias_length(name, size) == size
        && (size == 6 || name[6] == '.'))
        return ATOM_ALIAS;
    if (is_identifier(name, size, &special))
        return ATOM_PLAIN;
    if (is_operator(name, size) && !is_quoted_operator(name))
        return ATOM_PLAIN;
    return ATOM_QUOTED;
}
