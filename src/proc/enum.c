/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Enumerables and iterators.
 *
 * An enumerable is a term; an iterator is a value of the caller's, of one of three kinds:
 *
 *     list       kept = what is left; a map is walked as the list of its pairs, as in Elixir
 *     range      at, last, step
 *     generator  run = a block with the generator's state, owned by the process (cop_own)
 *
 * A stream is a struct that names its generator by a resource, so that it can be copied to any process.
 * The block of a run belongs to the process, and run_close is what the process's end calls for it; an
 * orderly end takes it off first. So close is called exactly once. `halt` needs a living process and is
 * called only by the paths that have one.
 *
 * Threads: the process that opened the iterator.
 */
#include <coppice/enum.h>

#include "proc/proc.h"

struct cop__enum_run {
    const cop_generator *generator;
    _Alignas(16) uint8_t state[];
};

static const cop_resource_type generator_type = { .name = "generator" };

/* ---- enumerables ------------------------------------------------------------------------------------- */

cop_term cop_stream(cop_ctx *ctx, const cop_generator *generator, cop_term arg) {
    COP_ASSERT(generator->next != NULL && generator->name != NULL);
    /* The resource only carries the pointer: nothing is freed with it. */
    cop_term resource = cop_resource(ctx, &generator_type, (void *)(uintptr_t)generator);
    return cop_map(ctx, cop_a(__struct__), cop_as("Elixir.Coppice.Stream"), cop_a(generator),
                   resource, cop_a(name), generator->name, cop_a(arg),
                   cop_is_none(arg) ? COP_NIL : arg);
}

cop_term cop_range(cop_ctx *ctx, int64_t first, int64_t last, int64_t step) {
    if (step == 0)
        step = first <= last ? 1 : -1;
    return cop_map(ctx, cop_a(__struct__), cop_as("Elixir.Range"), cop_a(first), first, cop_a(last),
                   last, cop_a(step), step);
}

static const cop_generator *generator_of(cop_term t) {
    cop_term resource;
    void *generator;
    if (!cop_is_struct(t, cop_as("Elixir.Coppice.Stream"))
        || !cop_map_get(t, cop_a(generator).t, &resource)
        || !cop_get_resource(resource, &generator_type, &generator))
        return NULL;
    return generator;
}

static bool is_range(cop_term t) { return cop_is_struct(t, cop_as("Elixir.Range")); }

static bool is_plain_map(cop_term t) {
    cop_term name;
    return cop_is_map(t) && !cop_map_get(t, cop_a(__struct__).t, &name);
}

bool cop_is_enumerable(cop_term t) {
    return cop_is_list(t) || is_plain_map(t) || is_range(t) || generator_of(t) != NULL;
}

static _Noreturn void raise_not_enumerable(cop_ctx *ctx, cop_term t) {
    char text[256];
    cop_inspect_to(text, sizeof text, t, NULL);
    cop_raise(ctx, "Protocol.UndefinedError", "protocol Enumerable not implemented for %s", text);
}

static cop_enum range_open(cop_ctx *ctx, cop_term range) {
    cop_enum e = { .kept = COP_NIL };
    if (!cop_match_key(range, cop_a(first), &e.at) || !cop_match_key(range, cop_a(last), &e.last)
        || !cop_match_key(range, cop_a(step), &e.step) || e.step == 0)
        cop_raise(ctx, "ArgumentError",
                  "ranges (first..last//step) expect both sides to be integers of 64 bits and the "
                  "step to be a non-zero integer");
    if (e.step > 0 ? e.at > e.last : e.at < e.last)
        e.step = 0;
    return e;
}

/* ---- generators -------------------------------------------------------------------------------------- */

static void run_close(void *object) {
    struct cop__enum_run *run = object;
    if (run->generator->close != NULL)
        run->generator->close(run->state);
}

static void run_free(cop_ctx *ctx, struct cop__enum_run *run) {
    if (cop_disown(ctx, run))
        run_close(run);
    cop_free(ctx, run);
}

/* In the process, at the end or before it. The run is taken off first: whatever halt raises, the walk is
   over, and its state is still given back by the process's end. */
static void run_end(cop_ctx *ctx, cop_enum *e) {
    struct cop__enum_run *run = e->run;
    cop_term kept = e->kept;
    e->run = NULL;
    e->kept = COP_NIL;
    if (run->generator->halt != NULL)
        run->generator->halt(ctx, run->state, kept);
    run_free(ctx, run);
}

static cop_enum run_open(cop_ctx *ctx, const cop_generator *generator, cop_term stream) {
    cop_enum e = { .kept = COP_NIL };
    cop_map_get(stream, cop_a(arg).t, &e.kept);
    struct cop__enum_run *run = cop_alloc(ctx, sizeof *run + generator->state_size);
    run->generator = generator;
    cop_own(ctx, run, run_close);
    e.run = run;
    if (generator->open == NULL)
        return e;
    COP_TRY(ctx) { generator->open(ctx, run->state, e.kept); }
    COP_CATCH(caught) {
        if (!caught->is_fault)
            run_free(ctx, run);
        cop_rethrow(ctx, caught);
    }
    return e;
}

static bool run_next(cop_ctx *ctx, cop_enum *e, cop_term *element) {
    struct cop__enum_run *run = e->run;
    volatile bool more = false;
    COP_TRY(ctx) { more = run->generator->next(ctx, run->state, &e->kept, element); }
    COP_CATCH(caught) {
        if (caught->is_fault) /* its state may be torn; the process's end closes it */
            e->run = NULL;
        else
            run_end(ctx, e);
        cop_rethrow(ctx, caught);
    }
    if (!more)
        run_end(ctx, e);
    return more;
}

/* ---- walking ----------------------------------------------------------------------------------------- */

cop_enum cop_enum_open(cop_ctx *ctx, cop_term enumerable) {
    if (cop_is_list(enumerable))
        return (cop_enum){ .kept = enumerable };
    if (is_plain_map(enumerable))
        return (cop_enum){ .kept = cop_map_to_list(ctx, enumerable) };
    if (is_range(enumerable))
        return range_open(ctx, enumerable);
    const cop_generator *generator = generator_of(enumerable);
    if (generator == NULL)
        raise_not_enumerable(ctx, enumerable);
    return run_open(ctx, generator, enumerable);
}

static bool range_next(cop_ctx *ctx, cop_enum *e, cop_term *element) {
    *element = cop_of(ctx, e->at);
    /* The distance is unsigned: it may be anything up to 2^64 - 1. */
    uint64_t left =
        e->step > 0 ? (uint64_t)e->last - (uint64_t)e->at : (uint64_t)e->at - (uint64_t)e->last;
    uint64_t step = e->step > 0 ? (uint64_t)e->step : -(uint64_t)e->step;
    if (left < step)
        e->step = 0;
    else
        e->at += e->step;
    return true;
}

bool cop_enum_next(cop_ctx *ctx, cop_enum *e, cop_term *element) {
    if (e->run != NULL)
        return run_next(ctx, e, element);
    if (e->step != 0)
        return range_next(ctx, e, element);
    if (cop_get_cons(e->kept, element, &e->kept))
        return true;
    if (!cop_is_nil(e->kept) && !cop_is_none(e->kept)) {
        e->kept = COP_NIL;
        cop_raise(ctx, "FunctionClauseError",
                  "no function clause matching in Enumerable.List.reduce/3");
    }
    return false;
}

void cop_enum_close(cop_ctx *ctx, cop_enum *e) {
    e->step = 0;
    if (e->run != NULL)
        run_end(ctx, e);
    e->kept = COP_NIL;
}

cop_term cop_enum_next_list(cop_ctx *ctx, cop_enum *e, size_t count) {
    cop_term list = COP_NIL, element;
    while (count-- > 0 && cop_enum_next(ctx, e, &element))
        list = cop_cons(ctx, element, list);
    return cop_list_reverse(ctx, list);
}

cop_term cop_enum_to_list(cop_ctx *ctx, cop_term enumerable) {
    if (cop_is_list(enumerable))
        return enumerable;
    cop_enum e = cop_enum_open(ctx, enumerable);
    return cop_enum_next_list(ctx, &e, SIZE_MAX);
}

cop_term cop_enum_take(cop_ctx *ctx, cop_term enumerable, int64_t count) {
    if (count == 0 && cop_is_enumerable(enumerable))
        return COP_NIL;
    if (count < 0) {
        cop_term list = cop_enum_to_list(ctx, enumerable);
        for (int64_t length = cop_list_length(list); length > 0 && -length < count; length--)
            list = cop_tail(list);
        return list;
    }
    cop_enum e = cop_enum_open(ctx, enumerable);
    cop_term list = cop_enum_next_list(ctx, &e, (size_t)count);
    cop_enum_close(ctx, &e);
    return list;
}

static bool count_one(cop_ctx *ctx, cop_term element, void *arg) {
    (void)ctx;
    (void)element;
    ++*(uint64_t *)arg;
    return true;
}

uint64_t cop_enum_count(cop_ctx *ctx, cop_term enumerable) {
    int64_t length = cop_list_length(enumerable);
    if (length >= 0)
        return (uint64_t)length;
    if (is_plain_map(enumerable))
        return (uint64_t)cop_map_size(enumerable);
    if (is_range(enumerable)) {
        cop_enum e = range_open(ctx, enumerable);
        uint64_t width =
            e.step > 0 ? (uint64_t)e.last - (uint64_t)e.at : (uint64_t)e.at - (uint64_t)e.last;
        uint64_t step = e.step > 0 ? (uint64_t)e.step : -(uint64_t)e.step;
        return step == 0 ? 0 : width / step + 1;
    }
    uint64_t count = 0;
    cop_enum_each(ctx, enumerable, count_one, &count);
    return count;
}

/* 1 or 0 as `each` answered; -1 at the end. */
static int each_one(cop_ctx *ctx, cop_enum *e,
                    bool (*each)(cop_ctx *ctx, cop_term element, void *arg), void *arg) {
    cop_term element;
    volatile int went = -1;
    if (!cop_enum_next(ctx, e, &element))
        return -1;
    COP_TRY(ctx) { went = each(ctx, element, arg); }
    COP_CATCH(caught) {
        if (!caught->is_fault)
            cop_enum_close(ctx, e);
        cop_rethrow(ctx, caught);
    }
    return went;
}

bool cop_enum_each(cop_ctx *ctx, cop_term enumerable,
                   bool (*each)(cop_ctx *ctx, cop_term element, void *arg), void *arg) {
    cop_enum e = cop_enum_open(ctx, enumerable);
    cop_term first = e.kept;
    bool is_generator = e.run != NULL;
    struct cop__scope scope;
    int went;
    cop__scope_enter(ctx, &scope);
    do {
        went = each_one(ctx, &e, each, arg);
        /* Everything since the walk began goes, the copy of the last round too; what the generator keeps
           moves out before. The rest of a list is older than the walk. */
        bool is_new = is_generator && e.kept.w != first.w && !cop_is_immediate(e.kept);
        cop__scope_leave_with(&scope, is_new ? &e.kept : NULL);
    } while (went > 0);
    if (went == 0)
        cop_enum_close(ctx, &e);
    return went < 0;
}
