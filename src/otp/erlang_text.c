/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Terms in Erlang's notation, as ~tp writes them on one line: for trace lines of sys, which are read by
 * those who know Erlang's. The text is built in a buffer of the process's, at most TEXT_MAX bytes and
 * DEPTH_MAX levels deep; what is beyond either is cut off with "...".
 */
#include <coppice/sys.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { TEXT_MAX = 65536, DEPTH_MAX = 50 };

struct text {
    cop_ctx *ctx;
    char *data;
    size_t size, room;
    bool full;
};

static void put(struct text *t, const char *s, size_t n) {
    if (t->full)
        return;
    if (t->size + n > TEXT_MAX) {
        t->full = true;
        s = "...";
        n = 3;
    }
    if (t->size + n > t->room) {
        t->room = 2 * t->room + n + 256;
        t->data = cop_realloc(t->ctx, t->data, t->room);
    }
    memcpy(t->data + t->size, s, n);
    t->size += n;
}

static void puts_text(struct text *t, const char *s) { put(t, s, strlen(s)); }

/* A quoted name or string; what has no character of its own is escaped. */
static void put_quoted(struct text *t, const char *s, size_t n, char quote) {
    put(t, &quote, 1);
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '\n')
            puts_text(t, "\\n");
        else if (s[i] == '\t')
            puts_text(t, "\\t");
        else if (s[i] == '\r')
            puts_text(t, "\\r");
        else {
            if (s[i] == quote || s[i] == '\\')
                puts_text(t, "\\");
            put(t, &s[i], 1);
        }
    }
    put(t, &quote, 1);
}

static bool is_reserved(const char *name) {
    static const char *const words[] = { "after", "and", "andalso", "band", "begin",  "bnot",
                                         "bor",   "bsl", "bsr",     "bxor", "case",   "catch",
                                         "cond",  "div", "end",     "fun",  "if",     "let",
                                         "maybe", "not", "of",      "or",   "orelse", "receive",
                                         "rem",   "try", "when",    "xor" };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(words[i], name) == 0)
            return true;
    return false;
}

static void put_atom(struct text *t, cop_atom atom) {
    size_t size;
    const char *name = cop_atom_name(atom, &size);
    bool bare = islower((unsigned char)name[0]) && !is_reserved(name);
    for (size_t i = 0; i < size && bare; i++)
        bare = isalnum((unsigned char)name[i]) || name[i] == '_' || name[i] == '@';
    if (bare)
        put(t, name, size);
    else
        put_quoted(t, name, size, '\'');
}

static bool is_printable(int64_t c) {
    return (c >= 32 && c < 127) || c == '\n' || c == '\t' || c == '\r';
}

static bool is_string(cop_term list) {
    cop_term head;
    int64_t c;
    if (cop_is_nil(list))
        return false;
    while (cop_get_cons(list, &head, &list))
        if (!cop_get_i64(head, &c) || !is_printable(c))
            return false;
    return cop_is_nil(list);
}

static void put_string(struct text *t, cop_term list) {
    cop_term head;
    int64_t c;
    puts_text(t, "\"");
    for (; !t->full && cop_get_cons(list, &head, &list);) {
        char one = cop_get_i64(head, &c) ? (char)c : ' ';
        if (one == '"' || one == '\\')
            puts_text(t, "\\");
        if (one == '\n' || one == '\t' || one == '\r')
            puts_text(t, one == '\n' ? "\\n" : one == '\t' ? "\\t" : "\\r");
        else
            put(t, &one, 1);
    }
    puts_text(t, "\"");
}

static void put_binary(struct text *t, cop_bytes b) {
    bool text = b.size > 0;
    char number[8];
    for (size_t i = 0; i < b.size && text; i++)
        text = is_printable(b.data[i]);
    puts_text(t, "<<");
    if (text)
        put_quoted(t, (const char *)b.data, b.size, '"');
    for (size_t i = 0; i < b.size && !text && !t->full; i++) {
        snprintf(number, sizeof number, i == 0 ? "%u" : ",%u", b.data[i]);
        puts_text(t, number);
    }
    puts_text(t, ">>");
}

/* What Elixir writes #PID<0.1.0> and the like. */
static void put_identity(struct text *t, cop_term x) {
    char shown[300];
    cop_inspect_to(shown, sizeof shown, x, NULL);
    const char *at = strchr(shown, '<');
    if (at == NULL || shown[0] != '#') {
        puts_text(t, shown);
        return;
    }
    if (!cop_is_pid(x))
        puts_text(t, cop_is_ref(x) ? "#Ref" : cop_is_port(x) ? "#Port" : "#Fun");
    puts_text(t, at);
}

static void put_term(struct text *t, cop_term x, int depth);

static void put_list(struct text *t, cop_term list, int depth) {
    cop_term head;
    const char *before = "[";
    for (; !t->full && cop_get_cons(list, &head, &list); before = ",") {
        puts_text(t, before);
        put_term(t, head, depth);
    }
    if (!cop_is_nil(list) && !t->full) {
        puts_text(t, "|");
        put_term(t, list, depth);
    }
    puts_text(t, "]");
}

static void put_map(struct text *t, cop_term map, int depth) {
    cop_term key, value;
    const char *before = "";
    puts_text(t, "#{");
    for (cop_map_iter it = cop_map_first(map); !t->full && cop_map_next(&it, &key, &value);) {
        puts_text(t, before);
        put_term(t, key, depth);
        puts_text(t, " => ");
        put_term(t, value, depth);
        before = ",";
    }
    puts_text(t, "}");
}

static void put_tuple(struct text *t, cop_term tuple, int depth) {
    size_t size = (size_t)cop_tuple_size(tuple);
    puts_text(t, "{");
    for (size_t i = 0; i < size && !t->full; i++) {
        if (i > 0)
            puts_text(t, ",");
        put_term(t, cop_elem(tuple, i), depth);
    }
    puts_text(t, "}");
}

static void put_term(struct text *t, cop_term x, int depth) {
    cop_bytes bytes;
    cop_atom atom;
    if (depth > DEPTH_MAX)
        puts_text(t, "...");
    else if (cop_get_atom(x, &atom))
        put_atom(t, atom);
    else if (cop_is_nil(x))
        puts_text(t, "[]");
    else if (cop_is_cons(x) && is_string(x))
        put_string(t, x);
    else if (cop_is_cons(x))
        put_list(t, x, depth + 1);
    else if (cop_is_tuple(x))
        put_tuple(t, x, depth + 1);
    else if (cop_is_map(x))
        put_map(t, x, depth + 1);
    else if (cop_get_bytes(x, &bytes))
        put_binary(t, bytes);
    else
        put_identity(t, x);
}

cop_term cop_sys_erlang_text(cop_ctx *ctx, cop_term term) {
    struct text t = { .ctx = ctx };
    put_term(&t, term, 0);
    cop_term text = cop_binary(ctx, t.data, t.size);
    cop_free(ctx, t.data);
    return text;
}
