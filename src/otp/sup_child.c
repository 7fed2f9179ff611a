/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every kind of supervisor needs for its children: the form that many children share, the call of
 * a start function, the pause before a restart, the restart window, and a table from a word to an index.
 *
 * All memory here is malloc'ed and belongs to the supervisor's tables, which one cop_own releases however
 * the supervisor ends. No term of a child stands on the supervisor's heap: a collection of a supervisor
 * with a million children costs no more than of one with none.
 *
 * The table is open addressing with linear probing; removing shifts back what was displaced, so there
 * are no tombstones. A key may stand in it several times, with different values.
 *
 * Threads: the supervisor's own process.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sup.h"
#include "sys.h"

void *sup_alloc(cop_ctx *ctx, size_t size) {
    void *block = calloc(1, size);
    if (block == NULL)
        cop_error(ctx, cop_a(system_limit));
    return block;
}

void *sup_grow(cop_ctx *ctx, void *block, size_t size) {
    block = realloc(block, size);
    if (block == NULL)
        cop_error(ctx, cop_a(system_limit));
    return block;
}

/* ---- forms ------------------------------------------------------------------------------------------- */

struct sup_form *sup_form_new(const struct sup_spec *spec) {
    struct sup_form *form = malloc(sizeof *form);
    if (form == NULL)
        abort();
    *form = (struct sup_form){
        .refs = 1,
        .m = spec->m,
        .f = spec->f,
        .c_start = spec->c_start,
        .modules = cop_term_save(spec->modules),
        .restart = spec->restart,
        .type = spec->type,
        .significant = spec->significant,
        .shutdown = spec->shutdown,
        .backoff = spec->backoff,
    };
    return form;
}

static bool is_same_backoff(const cop_backoff *a, const cop_backoff *b) {
    return a->min_ms == b->min_ms && a->max_ms == b->max_ms && a->factor >= b->factor
           && a->factor <= b->factor && a->jitter >= b->jitter && a->jitter <= b->jitter
           && a->reset_after_ms == b->reset_after_ms;
}

bool sup_form_is_of(const struct sup_form *form, const struct sup_spec *spec) {
    return form->m.t.w == spec->m.t.w && form->f.t.w == spec->f.t.w
           && form->c_start == spec->c_start && form->restart == spec->restart
           && form->type == spec->type && form->significant == spec->significant
           && form->shutdown == spec->shutdown && is_same_backoff(&form->backoff, &spec->backoff)
           && cop_saved_is(form->modules, spec->modules);
}

void sup_form_release(struct sup_form *form) {
    if (form == NULL || --form->refs > 0)
        return;
    cop_saved_forget(form->modules);
    free(form);
}

cop_term sup_mfa(cop_ctx *ctx, const struct sup_form *form, cop_term args) {
    return cop_tuple(ctx, form->m, form->f, args);
}

/* ---- starting ---------------------------------------------------------------------------------------- */

struct sup_started sup_started_of(cop_term t) {
    struct sup_started s = { .is = SUP_FAILED, .reason = t };
    cop_term reason;
    /* A pid of another node is no immediate term; it could not be kept as a word. */
    if ((cop_match_tuple(t, cop_a(ok), &s.pid) || cop_match_tuple(t, cop_a(ok), &s.pid, &s.info))
        && cop_is_immediate(s.pid.t))
        s.is = SUP_STARTED;
    else if (cop_match(t, cop_a(ignore)))
        s.is = SUP_IGNORED;
    else if (cop_match_tuple(t, cop_a(error), &reason))
        s.reason = reason;
    return s;
}

static struct sup_started of_struct(cop_started got) {
    struct sup_started s = { .is = SUP_FAILED, .pid = got.pid, .info = got.info };
    s.reason = cop_is_none(got.reason) ? cop_a(undefined).t : got.reason;
    if (got.is == COP_STARTED && cop_is_pid(got.pid.t) && cop_is_immediate(got.pid.t))
        s.is = SUP_STARTED;
    else if (got.is == COP_IGNORE)
        s.is = SUP_IGNORED;
    return s;
}

/* Not inlined: what it stores through `out` is in memory when the call is left by a raise. */
static __attribute__((noinline)) void call(cop_ctx *ctx, const struct sup_form *form,
                                           cop_term extra, cop_term args, struct sup_started *out) {
    if (!cop_is_nil(extra))
        args = cop_list_append(ctx, extra, args);
    if (form->c_start == NULL) {
        *out = sup_started_of(cop_apply(ctx, form->m, form->f, args));
        return;
    }
    cop_term arg = args, rest;
    if (cop_is_nil(extra) && !cop_get_cons(args, &arg, &rest))
        arg = cop_a(undefined).t;
    *out = of_struct(form->c_start(ctx, arg));
}

struct sup_started sup_start(cop_ctx *ctx, const struct sup_form *form, cop_term extra,
                             cop_term args) {
    struct sup_started out = { .is = SUP_FAILED };
    COP_TRY(ctx) { call(ctx, form, extra, args, &out); }
    COP_CATCH(caught) {
        out = (struct sup_started){ .is = SUP_RAISED, .caught = *caught };
        if (caught->class == COP_CLASS_THROW) /* its reason names the place too */
            out.caught.stacktrace = cop_stacktrace(ctx);
    }
    return out;
}

static bool is_exit_of(cop_term message, void *arg) {
    cop_term any;
    return cop_match_tuple(message, cop_as("EXIT"), *(cop_pid *)arg, &any);
}

bool sup_take_exit(cop_ctx *ctx, cop_pid pid, cop_term *reason) {
    cop_term message;
    return cop_receive_match(ctx, 0, is_exit_of, &pid, &message)
           && cop_match_tuple(message, cop_as("EXIT"), pid, reason);
}

int64_t sup_pause(cop_ctx *ctx, const cop_backoff *b, uint32_t attempt) {
    double longest = b->max_ms > 0 ? (double)b->max_ms : 60000.0;
    double pause = (double)b->min_ms, factor = b->factor >= 1 ? b->factor : 2;
    for (uint32_t i = 0; i < attempt && pause < longest; i++)
        pause *= factor;
    if (pause > longest)
        pause = longest;
    double random = (double)(cop_random_u64(ctx) >> 11) / 9007199254740992.0;
    return (int64_t)(pause - pause * b->jitter * random);
}

/* ---- the restart window --------------------------------------------------------------------------------- */

int64_t sup_window_add(struct sup_window *w, int64_t now, int64_t period) {
    while (w->first < w->end && w->at[w->first].second < now - period)
        w->total -= w->at[w->first++].count;
    if (w->first == w->end)
        w->first = w->end = 0;
    w->total++;
    if (w->end > w->first && w->at[w->end - 1].second == now) {
        w->at[w->end - 1].count++;
        return w->total;
    }
    if (w->first > 0 && w->end == w->cap) {
        memmove(w->at, w->at + w->first, (w->end - w->first) * sizeof *w->at);
        w->end -= w->first;
        w->first = 0;
    }
    if (w->end == w->cap) {
        w->cap = w->cap == 0 ? 4 : 2 * w->cap;
        w->at = realloc(w->at, w->cap * sizeof *w->at);
        if (w->at == NULL)
            abort();
    }
    w->at[w->end++] = (struct sup_second){ now, 1 };
    return w->total;
}

cop_term sup_window_term(cop_ctx *ctx, const struct sup_window *w) {
    cop_term list = COP_NIL;
    for (size_t i = w->first; i < w->end; i++)
        for (int64_t k = 0; k < w->at[i].count; k++)
            list = cop_cons(ctx, w->at[i].second, list);
    return list;
}

/* ---- the table -------------------------------------------------------------------------------------------- */

static uint32_t hash_of(uint64_t key) {
    return (uint32_t)((key * UINT64_C(0x9e3779b97f4a7c15)) >> 32);
}

static void insert(struct sup_table *t, uint32_t hash, uint32_t stored) {
    size_t i = hash & t->mask;
    while (t->slots[i].value != 0)
        i = (i + 1) & t->mask;
    t->slots[i] = (struct sup_slot){ hash, stored };
}

static void table_grow(struct sup_table *t) {
    struct sup_table wider = { .mask = t->slots == NULL ? 15 : 2 * t->mask + 1, .count = t->count };
    wider.slots = calloc(wider.mask + 1, sizeof *wider.slots);
    if (wider.slots == NULL)
        abort();
    for (size_t i = 0; t->slots != NULL && i <= t->mask; i++)
        if (t->slots[i].value != 0)
            insert(&wider, t->slots[i].hash, t->slots[i].value);
    free(t->slots);
    *t = wider;
}

void sup_table_put(struct sup_table *t, uint64_t key, uint32_t value) {
    if (t->slots == NULL || t->count * 3 > t->mask * 2)
        table_grow(t);
    insert(t, hash_of(key), value + 1);
    t->count++;
}

uint32_t sup_table_next(const struct sup_table *t, uint64_t key, size_t *at) {
    if (t->slots == NULL)
        return UINT32_MAX;
    uint32_t hash = hash_of(key);
    size_t i = *at == SIZE_MAX ? hash & t->mask : (*at + 1) & t->mask;
    for (; t->slots[i].value != 0; i = (i + 1) & t->mask)
        if (t->slots[i].hash == hash) {
            *at = i;
            return t->slots[i].value - 1;
        }
    return UINT32_MAX;
}

void sup_table_remove(struct sup_table *t, uint64_t key, uint32_t value) {
    size_t hole = SIZE_MAX;
    uint32_t found;
    while ((found = sup_table_next(t, key, &hole)) != value)
        if (found == UINT32_MAX)
            return;
    t->count--;
    for (size_t i = (hole + 1) & t->mask; t->slots[i].value != 0; i = (i + 1) & t->mask) {
        /* What lies behind the hole moves into it unless its home lies behind the hole, too. */
        size_t home = t->slots[i].hash & t->mask;
        if (((i - home) & t->mask) < ((i - hole) & t->mask))
            continue;
        t->slots[hole] = t->slots[i];
        hole = i;
    }
    t->slots[hole].value = 0;
}

/* ---- who it is ----------------------------------------------------------------------------------------------- */

static cop_term default_init(cop_ctx *ctx, cop_term arg) { return arg; }
const cop_supervisor sup_default_module = { "Supervisor.Default", default_init };

cop_term sup_pack(cop_ctx *ctx, const cop_supervisor *module, cop_term arg,
                  const cop_start_opts *start) {
    sup_load_modules();
    cop_term name = !cop_is_none(start->via)      ? start->via
                    : !cop_is_none(start->name.t) ? start->name.t
                                                  : cop_a(nil).t;
    return cop_tuple(ctx, (uint64_t)(uintptr_t)module, cop_is_none(arg) ? cop_a(undefined).t : arg,
                     name);
}

bool sup_unpack(cop_term packed, const cop_supervisor **module, cop_term *arg, cop_term *name) {
    uint64_t address;
    if (!cop_match_tuple(packed, &address, arg, name))
        return false;
    *module = (const cop_supervisor *)(uintptr_t)address;
    if (cop_match(*name, cop_a(nil)))
        *name = COP_NONE;
    return true;
}

cop_start_opts sup_start_opts(char *call, const cop_supervisor *module,
                              const cop_start_opts *given) {
    cop_start_opts start = { 0 };
    if (given != NULL)
        start = *given;
    snprintf(call, SUP_CALL, "supervisor:%s/1", module->name);
    start.initial_call = call;
    return start;
}

cop_term sup_shown_name(cop_ctx *ctx, cop_term name, cop_atom module) {
    if (cop_is_none(name))
        return cop_tuple(ctx, cop_self(ctx), module);
    return cop_is_atom(name) ? cop_tuple(ctx, cop_a(local), name) : name;
}

cop_term sup_status(cop_ctx *ctx, cop_atom module) {
    cop_term callback = cop_tuple(ctx, cop_charlist(ctx, "Callback"), module);
    return cop_list(ctx, cop_tuple(ctx, cop_a(supervisor), cop_list(ctx, callback)));
}
