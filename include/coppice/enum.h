/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COPPICE_ENUM_H
#define COPPICE_ENUM_H

#include <coppice/process.h>

/*
 * Enumerables: terms that stand for a row of elements, and iterators that walk along one.
 *
 * As in Elixir an enumerable is a value. It may be sent to another process, and each walk over it
 * begins anew. These are enumerable:
 *   a list                    its elements (an array of C: cop_list_n(ctx, n, terms))
 *   a map that is no struct   its pairs {key, value}
 *   a range                   %Range{}, made by cop_range
 *   a stream                  made by cop_stream from a generator written in C, by
 *                             cop_file_stream (coppice/file.h) and others
 *
 * A walk in C, and the same as one call:
 *
 *     cop_enum e = cop_enum_open(ctx, enumerable);
 *     for (cop_term element; cop_enum_next(ctx, &e, &element);)
 *         work(ctx, element);
 *
 *     cop_enum_each(ctx, enumerable, work, NULL);
 *
 * What a walk has opened is closed at its end, by cop_enum_close before it, when the generator
 * raises, and however the process ends.
 */

/*
 * An iterator: a small value, owned by the process that opened it. Zeroed it is at its end.
 * `kept` is a term. A callback process that keeps an iterator in its state puts it first there and
 * counts COP_ENUM_TERMS for it in `state_terms`.
 */
typedef struct cop_enum {
    cop_term kept;
    struct cop__enum_run *run; /* of a generator */
    int64_t at, last, step;    /* of a range; step 0 = at its end */
} cop_enum;
enum { COP_ENUM_TERMS = 1 };

/*
 * A generator: elements made by C functions. Only `name` and `next` must be there.
 *   name        for people: a stream made from it prints with it
 *   state_size  bytes of C state, zeroed, freed after close
 *   open        first of all; may raise or wait. What it opens it puts into `state`
 *   next        the next element, or false at the end; may raise or wait. *kept is the generator's
 *               own term: the stream's argument at first, kept alive from one call to the next. All
 *               other terms live as long as the caller's callback or scope
 *   halt        in the process, where it may still send and wait: after the last element, when the
 *               walk is ended early, and when next raised. Not when the process is ending
 *   close       last of all and always, also when open raised or the process was killed: lets go of
 *               what `state` holds. It has no ctx, must not wait and must not raise
 * After a fault in next only close is called, when the process ends.
 *
 * Elixir:  Stream.resource/3 (halt and close are its after_fun)
 */
typedef struct cop_generator {
    const char *name;
    size_t state_size;
    void (*open)(cop_ctx *ctx, void *state, cop_term arg);
    bool (*next)(cop_ctx *ctx, void *state, cop_term *kept, cop_term *element);
    void (*halt)(cop_ctx *ctx, void *state, cop_term kept);
    void (*close)(void *state);
} cop_generator;

/* ---- enumerables ----------------------------------------------------------------------------- */

/*
 * The stream that a generator makes of an argument: a term. Nothing runs until it is walked.
 *
 * Generator: lives as long as the program
 * Returns:   a struct, which prints as %Coppice.Stream{arg: ..., generator: ..., name: "..."}
 */
cop_term cop_stream(cop_ctx *ctx, const cop_generator *generator, cop_term arg);
/*
 * The numbers from first to last by step.
 *
 * Elixir:  first..last//step
 * Step:    0 = 1 or -1, towards last
 * Returns: %Range{first: first, last: last, step: step}
 */
cop_term cop_range(cop_ctx *ctx, int64_t first, int64_t last, int64_t step);
/* True for what cop_enum_open takes. */
bool cop_is_enumerable(cop_term t);

/* ---- walking --------------------------------------------------------------------------------- */

/*
 * Begins a walk.
 *
 * Errors:  raises Protocol.UndefinedError for what is no enumerable; what the generator's open raises;
 *          an ArgumentError for a range that leaves 64 bits
 */
cop_enum cop_enum_open(cop_ctx *ctx, cop_term enumerable);
/*
 * The next element.
 *
 * Returns: false at the end (everything is closed then), and from then on
 * Errors:  what the generator raises, after it was closed; a FunctionClauseError at the tail of an
 *          improper list
 * Context: in the process that opened it; waits if the generator does. In a COP_SCOPE only with an
 *          iterator opened outside whose generator keeps no boxed term (cop_enum_each has no such
 *          limit)
 */
bool cop_enum_next(cop_ctx *ctx, cop_enum *e, cop_term *element);
/* Up to `count` elements as a list; fewer only at the end. */
cop_term cop_enum_next_list(cop_ctx *ctx, cop_enum *e, size_t count);
/* Ends a walk early; nothing for one at its end. */
void cop_enum_close(cop_ctx *ctx, cop_enum *e);

/* All elements as a list. Elixir: Enum.to_list/1. */
cop_term cop_enum_to_list(cop_ctx *ctx, cop_term enumerable);
/* The first `count` elements; negative: the last. Elixir: Enum.take/2. With 0 nothing is opened. */
cop_term cop_enum_take(cop_ctx *ctx, cop_term enumerable, int64_t count);
/* How many elements there are; ranges, lists and maps are not walked. Elixir: Enum.count/1. */
uint64_t cop_enum_count(cop_ctx *ctx, cop_term enumerable);
/*
 * Calls each(ctx, element, arg) until it answers false or the elements end. Each call has a scope of
 * its own: terms made in it are gone afterwards, so memory does not grow with the number of elements.
 * When it raises, the walk is closed and the error goes on.
 *
 * Elixir:  Enum.each/2, Enum.reduce_while/3
 * Returns: false if `each` ended it
 */
bool cop_enum_each(cop_ctx *ctx, cop_term enumerable,
                   bool (*each)(cop_ctx *ctx, cop_term element, void *arg), void *arg);

#endif
