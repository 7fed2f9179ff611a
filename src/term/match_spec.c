/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Match specifications: the compiler, and the machine that runs what it wrote.
 *
 * The compiler copies the specification into a block of its own, so that literals can be referred
 * to, and writes one linear program per clause: the pattern in prefix order, then each expression
 * in postfix order. Neither it nor the machine recurses (stacks are small): the compiler keeps what
 * is still to be written in `todo`, the machine has the stack whose greatest depth the compiler has
 * found out.
 *
 *     {{:"$1", 2}, [{:>, :"$1", 0}], [:"$1"]}
 *     TUPLE 2  BIND 0  EQUAL 2 | VARIABLE 0  LITERAL 0  CALL >  GUARD | BODY  VARIABLE 0  DONE
 *
 * A call that cannot be computed fails the clause while guards run, and is :EXIT in the body; what
 * stands around it goes on with that. An object may lie outside the heap (a row of a table): then
 * the result is copied as a whole, so that it does not point there.
 *
 * Invariants
 *   1. A compiled specification is never changed, so any number of processes may run it.
 *   2. The depth of the stack at an instruction is the same on every way that leads to it.
 *   3. The machine's stack is freed on every way out: it calls nothing that raises, and holds the
 *      heap's limit off.
 */
#include "term/match_spec.h"

#include "os/alloc.h"
#include "term/layout.h"

/* ---- the compiler ------------------------------------------------------------------------------ */

/* Something still to be written: the code of a term, one instruction, or the mark of a label. */
enum todo_is { TODO_TERM, TODO_INSN, TODO_LABEL };
struct todo {
    enum todo_is is;
    struct cop__spec_insn insn; /* TERM: its term; LABEL: its n */
};

struct compiler {
    struct cop__match_spec *spec;
    uint32_t code_cap;
    struct todo *todo;
    size_t todo_count, todo_cap;
    uint32_t *labels;
    size_t label_count, label_cap;
    uint64_t *variables; /* of this clause: their numbers, by place */
    uint32_t variable_count, variable_cap;
    uint32_t depth;
    const char *why;
};

#define GROW(array, count, cap)                                       \
    do {                                                              \
        if ((count) == (cap)) {                                       \
            (cap) = (cap) == 0 ? 16 : 2 * (cap);                      \
            (array) = cop__realloc((array), (cap) * sizeof *(array)); \
        }                                                             \
    } while (0)

static void todo(struct compiler *c, enum todo_is is, struct cop__spec_insn insn) {
    GROW(c->todo, c->todo_count, c->todo_cap);
    c->todo[c->todo_count++] = (struct todo){ is, insn };
}

static void todo_term(struct compiler *c, cop_term t) {
    todo(c, TODO_TERM, (struct cop__spec_insn){ .term = t });
}

static void todo_insn(struct compiler *c, enum cop__spec_op op, size_t n) {
    todo(c, TODO_INSN, (struct cop__spec_insn){ .op = (uint8_t)op, .n = (uint32_t)n });
}

/* How much an instruction changes the depth of the stack. */
static int64_t effect(const struct cop__spec_insn *i) {
    int64_t n = i->n;
    switch ((enum cop__spec_op)i->op) {
    case SPEC_ANY:
    case SPEC_BIND:
    case SPEC_SAME:
    case SPEC_EQUAL:
    case SPEC_ANDALSO:
    case SPEC_ORELSE:
    case SPEC_GUARD:
    case SPEC_DROP:
    case SPEC_DONE:
        return -1;
    case SPEC_TUPLE:
    case SPEC_MAP:
        return n - 1;
    case SPEC_CONS:
    case SPEC_LITERAL:
    case SPEC_VARIABLE:
    case SPEC_OBJECT:
    case SPEC_BOUND:
        return 1;
    case SPEC_MAKE_TUPLE:
    case SPEC_CALL:
        return 1 - n;
    case SPEC_MAKE_LIST:
        return -n;
    case SPEC_MAKE_MAP:
        return 1 - 2 * n;
    case SPEC_KEY:
    case SPEC_BODY:
        break;
    }
    return 0;
}

static void emit(struct compiler *c, struct cop__spec_insn insn) {
    struct cop__match_spec *s = c->spec;
    GROW(s->code, s->code_count, c->code_cap);
    s->code[s->code_count++] = insn;
    c->depth = (uint32_t)(c->depth + effect(&insn));
    if (c->depth > s->stack)
        s->stack = c->depth;
}

static void emit_op(struct compiler *c, enum cop__spec_op op, uint32_t n) {
    emit(c, (struct cop__spec_insn){ .op = (uint8_t)op, .n = n });
}

static void emit_term(struct compiler *c, enum cop__spec_op op, cop_term t) {
    emit(c, (struct cop__spec_insn){ .op = (uint8_t)op, .term = t });
}

/* :"$0", :"$1", :"$10" ... but not :"$01". */
static bool is_variable(cop_term t, uint64_t *number) {
    cop_atom atom;
    size_t size;
    if (!cop_get_atom(t, &atom))
        return false;
    const char *name = cop_atom_name(atom, &size);
    if (size < 2 || size > 10 || name[0] != '$' || (name[1] == '0' && size > 2))
        return false;
    *number = 0;
    for (size_t i = 1; i < size; i++) {
        if (name[i] < '0' || name[i] > '9')
            return false;
        *number = *number * 10 + (uint64_t)(name[i] - '0');
    }
    return true;
}

/* The place of a variable, or -1. */
static int64_t place_of(const struct compiler *c, uint64_t number) {
    for (uint32_t i = 0; i < c->variable_count; i++)
        if (c->variables[i] == number)
            return i;
    return -1;
}

static bool is_any(cop_term t) { return t.w == cop_a(_).t.w; }

static void emit_variable(struct compiler *c, uint64_t number) {
    int64_t place = place_of(c, number);
    if (place >= 0) {
        emit_op(c, SPEC_SAME, (uint32_t)place);
        return;
    }
    GROW(c->variables, c->variable_count, c->variable_cap);
    c->variables[c->variable_count] = number;
    emit_op(c, SPEC_BIND, c->variable_count++);
}

static bool compile_map_pattern(struct compiler *c, cop_term map) {
    cop_term key, value;
    uint64_t number;
    emit_op(c, SPEC_MAP, (uint32_t)cop_map_size(map));
    size_t first = c->todo_count;
    for (cop_map_iter it = cop_map_first(map); cop_map_next(&it, &key, &value);) {
        if (is_any(key) || is_variable(key, &number)) {
            c->why = "a variable is the key of a map in a pattern";
            return false;
        }
        emit_term(c, SPEC_KEY, key);
        todo_term(c, value);
    }
    for (size_t i = first, j = c->todo_count; i + 1 < j; i++) { /* the first is to be on top */
        struct todo swap = c->todo[--j];
        c->todo[j] = c->todo[i];
        c->todo[i] = swap;
    }
    return true;
}

static bool compile_pattern_term(struct compiler *c, cop_term t) {
    uint64_t number;
    if (is_any(t)) {
        emit_op(c, SPEC_ANY, 0);
    } else if (is_variable(t, &number)) {
        emit_variable(c, number);
    } else if (cop_is_tuple(t)) {
        size_t n = (size_t)cop_tuple_size(t);
        emit_op(c, SPEC_TUPLE, (uint32_t)n);
        for (size_t i = n; i > 0; i--)
            todo_term(c, cop_elem(t, i - 1));
    } else if (cop_is_cons(t)) {
        emit_op(c, SPEC_CONS, 0);
        todo_term(c, cop_tail(t));
        todo_term(c, cop_head(t));
    } else if (cop_is_map(t)) {
        return compile_map_pattern(c, t);
    } else {
        emit_term(c, SPEC_EQUAL, t);
    }
    return true;
}

static bool compile_pattern(struct compiler *c, cop_term head) {
    c->depth = 1;
    if (c->spec->stack == 0)
        c->spec->stack = 1;
    todo_term(c, head);
    while (c->todo_count > 0)
        if (!compile_pattern_term(c, c->todo[--c->todo_count].insn.term))
            return false;
    return true;
}

/* ---- the compiler: expressions -------------------------------------------------------------------- */

static bool bad(struct compiler *c, const char *why) {
    c->why = why;
    return false;
}

static bool compile_atom(struct compiler *c, cop_term t) {
    uint64_t number;
    if (is_variable(t, &number)) {
        int64_t place = place_of(c, number);
        if (place < 0)
            return bad(c, "a variable is not bound by the head");
        emit_op(c, SPEC_VARIABLE, (uint32_t)place);
    } else if (t.w == cop_as("$_").t.w) {
        emit_op(c, SPEC_OBJECT, 0);
    } else if (t.w == cop_as("$$").t.w) {
        emit_op(c, SPEC_BOUND, 0);
    } else {
        emit_term(c, SPEC_LITERAL, t);
    }
    return true;
}

static void compile_list(struct compiler *c, cop_term list) {
    size_t count = 0, first = c->todo_count;
    for (cop_term t = list; cop_is_cons(t); t = cop_tail(t))
        count++;
    todo_insn(c, SPEC_MAKE_LIST, count);
    for (size_t i = 0; i <= count; i++) /* room; then from the top down, the tail lowest */
        todo_term(c, COP_NIL);
    for (size_t i = 0; i < count; i++, list = cop_tail(list))
        c->todo[first + 1 + count - i].insn.term = cop_head(list);
    c->todo[first + 1].insn.term = list;
}

static void compile_map(struct compiler *c, cop_term map) {
    cop_term key, value;
    todo_insn(c, SPEC_MAKE_MAP, (size_t)cop_map_size(map));
    for (cop_map_iter it = cop_map_first(map); cop_map_next(&it, &key, &value);) {
        todo_term(c, value);
        todo_term(c, key);
    }
}

static void todo_elements(struct compiler *c, cop_term tuple, size_t from) {
    for (size_t i = (size_t)cop_tuple_size(tuple); i > from; i--)
        todo_term(c, cop_elem(tuple, i - 1));
}

/* a and then, unless it decides, b: the test stands between them and jumps behind the last. */
static void compile_lazy(struct compiler *c, cop_term call, enum cop__spec_op op) {
    size_t size = (size_t)cop_tuple_size(call), label = c->label_count;
    GROW(c->labels, c->label_count, c->label_cap);
    c->labels[c->label_count++] = 0;
    todo(c, TODO_LABEL, (struct cop__spec_insn){ .n = (uint32_t)label });
    for (size_t i = size - 1; i > 0; i--) {
        todo_term(c, cop_elem(call, i));
        if (i > 1)
            todo_insn(c, op, label);
    }
}

static bool compile_call(struct compiler *c, cop_term call) {
    cop_term name = cop_elem(call, 0);
    size_t argc = (size_t)cop_tuple_size(call) - 1;
    if (name.w == cop_a(const).t.w) {
        if (argc != 1)
            return bad(c, "{:const, term} takes one term");
        emit_term(c, SPEC_LITERAL, cop_elem(call, 1));
        return true;
    }
    bool andalso = name.w == cop_a(andalso).t.w;
    if ((andalso || name.w == cop_a(orelse).t.w) && argc > 0) {
        compile_lazy(c, call, andalso ? SPEC_ANDALSO : SPEC_ORELSE);
        return true;
    }
    int fn = cop__spec_function(name, argc);
    if (fn < 0)
        return bad(c, "no such function, or not with so many arguments");
    todo(c, TODO_INSN,
         (struct cop__spec_insn){ .op = SPEC_CALL, .fn = (uint8_t)fn, .n = (uint32_t)argc });
    todo_elements(c, call, 1);
    return true;
}

static bool compile_tuple(struct compiler *c, cop_term t) {
    size_t size = (size_t)cop_tuple_size(t);
    if (size == 0)
        return bad(c, "{} is written {{}}");
    cop_term first = cop_elem(t, 0);
    if (size == 1 && cop_is_tuple(first)) {
        todo_insn(c, SPEC_MAKE_TUPLE, (size_t)cop_tuple_size(first));
        todo_elements(c, first, 0);
        return true;
    }
    return compile_call(c, t);
}

static bool compile_term(struct compiler *c, cop_term t) {
    if (cop_is_atom(t))
        return compile_atom(c, t);
    if (cop_is_tuple(t))
        return compile_tuple(c, t);
    if (cop_is_cons(t))
        compile_list(c, t);
    else if (cop_is_map(t))
        compile_map(c, t);
    else
        emit_term(c, SPEC_LITERAL, t);
    return true;
}

static bool compile_expression(struct compiler *c, cop_term t) {
    todo_term(c, t);
    while (c->todo_count > 0) {
        struct todo next = c->todo[--c->todo_count];
        if (next.is == TODO_INSN)
            emit(c, next.insn);
        else if (next.is == TODO_LABEL)
            c->labels[next.insn.n] = c->spec->code_count;
        else if (!compile_term(c, next.insn.term))
            return false;
    }
    return true;
}

static bool compile_body(struct compiler *c, cop_term guards, cop_term body) {
    cop_term t;
    if (!cop_is_proper_list(guards) || !cop_is_proper_list(body) || cop_is_nil(body))
        return bad(c, "guards and body are lists, and the body is not empty");
    while (cop_get_cons(guards, &t, &guards)) {
        if (!compile_expression(c, t))
            return false;
        emit_op(c, SPEC_GUARD, 0);
    }
    emit_op(c, SPEC_BODY, 0);
    while (cop_get_cons(body, &t, &body)) {
        if (!compile_expression(c, t))
            return false;
        emit_op(c, cop_is_nil(body) ? SPEC_DONE : SPEC_DROP, 0);
    }
    return true;
}

/* The places of this clause's variables in the order of their numbers, for $$. */
static void note_order(struct compiler *c, struct cop__spec_clause *clause) {
    struct cop__match_spec *s = c->spec;
    clause->variables = c->variable_count;
    clause->order_start = s->order_count;
    s->order = cop__realloc(s->order, (s->order_count + c->variable_count + 1) * sizeof *s->order);
    uint32_t *order = s->order + s->order_count;
    for (uint32_t i = 0; i < c->variable_count; i++) {
        uint32_t at = i;
        for (; at > 0 && c->variables[order[at - 1]] > c->variables[i]; at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
    s->order_count += c->variable_count;
    if (c->variable_count > s->variables)
        s->variables = c->variable_count;
}

static bool compile_clause(struct compiler *c, cop_term t, struct cop__spec_clause *clause) {
    if (cop_tuple_size(t) != 3)
        return bad(c, "a clause is {head, guards, body}");
    clause->start = c->spec->code_count;
    c->variable_count = 0;
    if (!compile_pattern(c, cop_elem(t, 0)))
        return false;
    note_order(c, clause);
    return compile_body(c, cop_elem(t, 1), cop_elem(t, 2));
}

static bool compile(struct compiler *c, cop_term spec) {
    int64_t count = cop_list_length(spec);
    if (count <= 0)
        return bad(c, "a specification is a list of clauses");
    struct cop__match_spec *s = c->spec;
    s->clauses = cop__calloc((size_t)count, sizeof *s->clauses);
    cop_term t;
    while (cop_get_cons(spec, &t, &spec))
        if (!compile_clause(c, t, &s->clauses[s->clause_count++]))
            return false;
    /* Without a label there is no jump. */
    for (uint32_t i = 0; i < s->code_count && c->labels != NULL; i++)
        if (s->code[i].op == SPEC_ANDALSO || s->code[i].op == SPEC_ORELSE)
            s->code[i].n = c->labels[s->code[i].n];
    return true;
}

static void spec_free(void *object) {
    struct cop__match_spec *s = object;
    cop__free(s->code);
    cop__free(s->clauses);
    cop__free(s->order);
    if (s->terms != NULL)
        cop__fragment_free(s->terms);
    cop__free(s);
}

static const cop_resource_type spec_type = { "match_spec", spec_free };

const struct cop__match_spec *cop__match_spec_of(cop_term compiled) {
    void *object;
    return cop_get_resource(compiled, &spec_type, &object) ? object : NULL;
}

static cop_term own_copy(struct cop__match_spec *s, cop_term t) {
    size_t words = cop__term_words(t);
    s->terms = cop__malloc(sizeof *s->terms + (words + 1) * sizeof(uint64_t));
    *s->terms = (struct cop__fragment){ .words = (uint32_t)words };
    uint64_t *hp = s->terms->body;
    return cop_is_immediate(t) ? t : cop__term_copy(t, &hp, &s->terms->offheap);
}

cop_term cop_match_spec_compile(cop_ctx *ctx, cop_term spec, const char **why) {
    struct compiler c = { .spec = cop__calloc(1, sizeof(struct cop__match_spec)) };
    bool ok = compile(&c, own_copy(c.spec, spec));
    cop__free(c.todo);
    cop__free(c.labels);
    cop__free(c.variables);
    if (why != NULL)
        *why = c.why;
    if (ok)
        return cop_resource(ctx, &spec_type, c.spec);
    spec_free(c.spec);
    return COP_NONE;
}

/* ---- the machine ----------------------------------------------------------------------------------- */

/* What one run works on. The stack and the variables are one block. */
struct run {
    cop_ctx *ctx;
    const struct cop__match_spec *spec;
    cop_term object;
    cop_term *stack, *variables;
    bool in_body;
};

/* Floats by their bits, as ETS does it: 0.0 is not -0.0 here. */
static bool is_equal(cop_term a, cop_term b) {
    if (a.w == b.w)
        return true;
    if (cop_is_immediate(a) || cop_is_immediate(b))
        return false;
    if (cop__is_kind(a, BOX_FLOAT))
        return cop__is_kind(b, BOX_FLOAT) && cop__box(a)[1] == cop__box(b)[1];
    return cop_same(a, b);
}

static cop_term bound_list(const struct run *r, const struct cop__spec_clause *clause) {
    cop_term list = COP_NIL;
    for (uint32_t i = clause->variables; i > 0; i--)
        list = cop_cons(r->ctx, r->variables[r->spec->order[clause->order_start + i - 1]], list);
    return list;
}

static cop_term *push_values(cop_term *sp, const struct cop__spec_insn *keys, uint32_t n,
                             cop_term map) {
    for (uint32_t i = n; i > 0; i--)
        if (!cop_map_get(map, keys[i - 1].term, sp++))
            return NULL;
    return sp;
}

/* One clause: the pattern. Returns the first instruction behind it, or NULL. */
static const struct cop__spec_insn *match_pattern(struct run *r, const struct cop__spec_insn *i) {
    cop_term *sp = r->stack, value;
    *sp++ = r->object;
    while (sp > r->stack) {
        value = *--sp;
        switch ((enum cop__spec_op)i->op) {
        case SPEC_ANY:
            break;
        case SPEC_BIND:
            r->variables[i->n] = value;
            break;
        case SPEC_SAME:
            if (!cop_same(value, r->variables[i->n]))
                return NULL;
            break;
        case SPEC_EQUAL:
            if (!is_equal(value, i->term))
                return NULL;
            break;
        case SPEC_TUPLE:
            if (cop_tuple_size(value) != (int64_t)i->n)
                return NULL;
            for (uint32_t k = i->n; k > 0; k--)
                *sp++ = cop_elem(value, k - 1);
            break;
        case SPEC_CONS:
            if (!cop_is_cons(value))
                return NULL;
            *sp++ = cop_tail(value);
            *sp++ = cop_head(value);
            break;
        default: /* SPEC_MAP */
            if (!cop_is_map(value) || (sp = push_values(sp, i + 1, i->n, value)) == NULL)
                return NULL;
            i += i->n;
            break;
        }
        i++;
    }
    return i;
}

static cop_term value_of(struct run *r, const struct cop__spec_clause *clause,
                         const struct cop__spec_insn *i) {
    switch ((enum cop__spec_op)i->op) {
    case SPEC_LITERAL: /* it may outlive the specification */
        return r->in_body ? cop__term_copy_to(r->ctx, i->term) : i->term;
    case SPEC_VARIABLE:
        return r->variables[i->n];
    case SPEC_OBJECT:
        return r->object;
    default: /* SPEC_BOUND */
        return bound_list(r, clause);
    }
}

/* The value of a call or of something built of the n (or 2n, n + 1) values at `args`; COP_NONE when
   it cannot be computed. */
static cop_term value_made(struct run *r, const struct cop__spec_insn *i, const cop_term *args) {
    cop_term list;
    switch ((enum cop__spec_op)i->op) {
    case SPEC_MAKE_TUPLE:
        return cop_tuple_n(r->ctx, i->n, args);
    case SPEC_MAKE_MAP:
        return cop_map_n(r->ctx, 2 * (size_t)i->n, args);
    case SPEC_MAKE_LIST:
        list = args[i->n];
        for (uint32_t k = i->n; k > 0; k--)
            list = cop_cons(r->ctx, args[k - 1], list);
        return list;
    default: /* SPEC_CALL */
        return cop__spec_call(r->ctx, i->fn, i->n, args);
    }
}

static uint32_t values_taken(const struct cop__spec_insn *i) {
    return i->op == SPEC_MAKE_MAP ? 2 * i->n : i->op == SPEC_MAKE_LIST ? i->n + 1 : i->n;
}

/* andalso, orelse: whether to go on behind the jump. The value on top is what the whole is then. */
static bool decides(struct cop__spec_insn const *i, cop_term *top) {
    bool b, go_on = i->op == SPEC_ANDALSO;
    if (cop_get_bool(*top, &b))
        return b != go_on;
    *top = COP_NONE;
    return true;
}

/* The guards and the body behind a pattern that matched. */
static bool evaluate(struct run *r, const struct cop__spec_clause *clause,
                     const struct cop__spec_insn *i, cop_term *result) {
    cop_term *sp = r->stack;
    r->in_body = false;
    for (;; i++) {
        switch ((enum cop__spec_op)i->op) {
        case SPEC_GUARD:
            if ((--sp)->w != cop_a(true).t.w)
                return false;
            continue;
        case SPEC_BODY:
            r->in_body = true;
            continue;
        case SPEC_DROP:
            sp--;
            continue;
        case SPEC_DONE:
            *result = sp[-1];
            return true;
        case SPEC_ANDALSO:
        case SPEC_ORELSE:
            if (decides(i, sp - 1))
                i = r->spec->code + i->n - 1;
            else
                sp--;
            break;
        case SPEC_MAKE_TUPLE:
        case SPEC_MAKE_LIST:
        case SPEC_MAKE_MAP:
        case SPEC_CALL:
            sp -= values_taken(i);
            *sp = value_made(r, i, sp);
            sp++;
            break;
        default:
            *sp++ = value_of(r, clause, i);
            break;
        }
        if (sp > r->stack && cop_is_none(sp[-1])) {
            if (!r->in_body)
                return false;
            sp[-1] = cop_as("EXIT").t;
        }
    }
}

static bool run_clauses(struct run *r, cop_term *result) {
    for (uint32_t k = 0; k < r->spec->clause_count; k++) {
        const struct cop__spec_clause *clause = &r->spec->clauses[k];
        const struct cop__spec_insn *i = match_pattern(r, r->spec->code + clause->start);
        if (i != NULL && evaluate(r, clause, i, result))
            return true;
    }
    return false;
}

bool cop__match_spec_match(cop_ctx *ctx, const struct cop__match_spec *spec, cop_term object,
                           bool foreign, cop_term *result) {
    cop_term few[64];
    size_t needed = (size_t)spec->stack + spec->variables + 1;
    struct run r = { .ctx = ctx, .spec = spec, .object = object };
    struct cop__heap *heap = cop__heap_of(ctx);
    r.stack = needed <= 64 ? few : cop__malloc(needed * sizeof *r.stack);
    r.variables = r.stack + spec->stack;
    cop__heap_hold(heap);
    bool matched = run_clauses(&r, result);
    if (matched && foreign)
        *result = cop__term_copy_to(ctx, *result);
    if (r.stack != few)
        cop__free(r.stack);
    cop__heap_let(heap);
    return matched;
}

bool cop_match_spec_match(cop_ctx *ctx, cop_term compiled, cop_term object, cop_term *result) {
    const struct cop__match_spec *spec = cop__match_spec_of(compiled);
    if (spec == NULL)
        cop__raise(ctx, cop_a(badarg).t);
    return cop__match_spec_match(ctx, spec, object, false, result);
}

cop_term cop_match_spec_run(cop_ctx *ctx, cop_term list, cop_term compiled) {
    const struct cop__match_spec *spec = cop__match_spec_of(compiled);
    if (spec == NULL || !cop_is_proper_list(list))
        cop__raise(ctx, cop_a(badarg).t);
    cop_term object, value, results = COP_NIL;
    while (cop_get_cons(list, &object, &list))
        if (cop__match_spec_match(ctx, spec, object, false, &value))
            results = cop_cons(ctx, value, results);
    return cop_list_reverse(ctx, results);
}
