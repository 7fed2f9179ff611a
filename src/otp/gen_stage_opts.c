/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gen_stage: options, of a stage and of a subscription, checked with GenStage's texts.
 *
 * Both exist as a C struct and as a keyword list. A struct is made a list, and the list is checked: so there
 * is one set of rules, and what a program wrote in C reads in an error as it would in Elixir. A dispatcher
 * stands in the list by its name; the table that C gave is kept beside it.
 */
#include <coppice/module.h>
#include <stdarg.h>
#include <stdio.h>

#include "gen_stage.h"
#include "sys.h"

static cop_term option(cop_ctx *ctx, cop_term list, cop_atom key, cop_term value) {
    return cop_cons(ctx, cop_tuple(ctx, key, value), list);
}

/* What is wrong, with the value inspected behind it. */
static cop_term text(cop_ctx *ctx, cop_term value, const char *format, ...) {
    char expected[200];
    cop_bytes shown;
    va_list args;
    va_start(args, format);
    vsnprintf(expected, sizeof expected, format, args);
    va_end(args);
    cop_term inspected = cop_inspect(ctx, value, NULL);
    cop_get_bytes(inspected, &shown);
    return cop_format(ctx, "expected %s, got: %.*s", expected, (int)shown.size,
                      (const char *)shown.data);
}

/* The list without that key; the first value of it, or COP_NONE. */
static cop_term take(cop_ctx *ctx, cop_term *list, cop_atom key) {
    cop_term value = COP_NONE, rest = COP_NIL, element, v;
    for (cop_term l = *list; cop_get_cons(l, &element, &l);) {
        if (!cop_match_tuple(element, key, &v))
            rest = cop_cons(ctx, element, rest);
        else if (cop_is_none(value))
            value = v;
    }
    *list = cop_list_reverse(ctx, rest);
    return value;
}

/* An integer of at least `least`. One that does not fit 64 bits is as good as the largest. */
static cop_term check_integer(cop_ctx *ctx, const char *name, cop_term value, int64_t least,
                              int64_t *out) {
    if (!cop_is_integer(value))
        return text(ctx, value, ":%s to be an integer", name);
    if (!cop_get_i64(value, out))
        *out = cop_compare(value, COP_INT(0)) < 0 ? INT64_MIN : INT64_MAX - 1;
    if (*out < least)
        return text(ctx, value, ":%s to be equal to or greater than %lld", name, (long long)least);
    return COP_NONE;
}

/* ---- of a stage ---------------------------------------------------------------------------------------- */

static cop_term dispatcher_term(cop_ctx *ctx, const cop_stage_opts *opts) {
    cop_atom name = sys_module_atom(opts->dispatcher->name);
    return cop_is_none(opts->dispatcher_opts) ? name.t
                                              : cop_tuple(ctx, name, opts->dispatcher_opts);
}

static cop_term stage_terms(cop_ctx *ctx, const cop_stage_opts *opts) {
    cop_term list = cop_is_none(opts->terms) ? COP_NIL : opts->terms;
    if (opts->demand != COP_DEMAND_FORWARD)
        list = option(ctx, list, cop_a(demand), cop_a(accumulate).t);
    if (opts->buffer_size == COP_INFINITY)
        list = option(ctx, list, cop_a(buffer_size), cop_a(infinity).t);
    else if (opts->buffer_size != 0)
        list = option(ctx, list, cop_a(buffer_size),
                      cop_of(ctx, opts->buffer_size == COP_ZERO ? 0 : opts->buffer_size));
    if (opts->buffer_keep != COP_KEEP_LAST)
        list = option(ctx, list, cop_a(buffer_keep), cop_a(first).t);
    if (opts->dispatcher != NULL)
        list = option(ctx, list, cop_a(dispatcher), dispatcher_term(ctx, opts));
    if (!cop_is_none(opts->subscribe_to))
        list = option(ctx, list, cop_a(subscribe_to), opts->subscribe_to);
    return list;
}

/* The table of a name; one that nobody has ends as a call of its init does. */
static const cop_dispatcher *dispatcher_named(cop_ctx *ctx, cop_atom name, cop_term opts) {
    static const cop_dispatcher *const all[] = { &cop_demand_dispatcher, &cop_broadcast_dispatcher,
                                                 &cop_partition_dispatcher };
    for (size_t i = 0; i < 3; i++)
        if (cop_match(name.t, sys_module_atom(all[i]->name)))
            return all[i];
    cop_apply(ctx, name, cop_a(init), cop_list(ctx, opts));
    cop_error(ctx, cop_tuple(ctx, cop_a(no_dispatcher), name));
}

static cop_term take_dispatcher(cop_ctx *ctx, cop_term *list, const cop_dispatcher *given,
                                struct stage_config *out) {
    cop_term value = take(ctx, list, cop_a(dispatcher));
    cop_atom name;
    out->dispatcher = &cop_demand_dispatcher;
    out->dispatcher_opts = COP_NIL;
    if (cop_is_none(value))
        return COP_NONE;
    if (!cop_get_atom(value, &name)
        && (!cop_match_tuple(value, &name, &out->dispatcher_opts)
            || !cop_is_list(out->dispatcher_opts)))
        return text(ctx, value, ":dispatcher to be an atom or a {atom, list}");
    if (given != NULL && cop_match(name.t, sys_module_atom(given->name)))
        out->dispatcher = given;
    else
        out->dispatcher = dispatcher_named(ctx, name, out->dispatcher_opts);
    return COP_NONE;
}

static cop_term take_subscribe_to(cop_ctx *ctx, cop_term *list, struct stage_config *out) {
    cop_term value = take(ctx, list, cop_a(subscribe_to));
    out->subscribe_to = cop_is_none(value) ? COP_NIL : value;
    return cop_is_list(out->subscribe_to) ? COP_NONE
                                          : text(ctx, value, ":subscribe_to to be a list");
}

static cop_term take_buffer_size(cop_ctx *ctx, cop_term *list, cop_stage_kind kind,
                                 struct stage_config *out) {
    cop_term value = take(ctx, list, cop_a(buffer_size));
    out->buffer_size = kind == COP_PRODUCER ? 10000 : INT64_MAX;
    if (cop_is_none(value))
        return COP_NONE;
    if (cop_match(value, cop_a(infinity))) {
        out->buffer_size = INT64_MAX;
        return COP_NONE;
    }
    return check_integer(ctx, "buffer_size", value, 0, &out->buffer_size);
}

static cop_term take_buffer_keep(cop_ctx *ctx, cop_term *list, struct stage_config *out) {
    cop_term value = take(ctx, list, cop_a(buffer_keep));
    out->keep = cop_match(value, cop_a(first)) ? COP_KEEP_FIRST : COP_KEEP_LAST;
    if (cop_is_none(value) || out->keep == COP_KEEP_FIRST || cop_match(value, cop_a(last)))
        return COP_NONE;
    return text(ctx, value, ":buffer_keep to be one of [:first, :last]");
}

static cop_term take_demand(cop_ctx *ctx, cop_term *list, struct stage_config *out) {
    cop_term value = take(ctx, list, cop_a(demand));
    out->accumulates = cop_match(value, cop_a(accumulate));
    if (cop_is_none(value) || out->accumulates || cop_match(value, cop_a(forward)))
        return COP_NONE;
    return text(ctx, value, ":demand to be one of [:accumulate, :forward]");
}

static cop_term unknown(cop_ctx *ctx, cop_term list) {
    cop_bytes shown;
    if (cop_is_nil(list))
        return COP_NONE;
    cop_term inspected = cop_inspect(ctx, list, NULL);
    cop_get_bytes(inspected, &shown);
    return cop_format(ctx, "unknown options %.*s", (int)shown.size, (const char *)shown.data);
}

/* In GenStage's order; the first that is wrong counts. */
static cop_term check_stage(cop_ctx *ctx, cop_stage_kind kind, cop_term list,
                            const cop_dispatcher *given, struct stage_config *out) {
    cop_term wrong = COP_NONE;
    if (!cop_is_list(list))
        return unknown(ctx, list);
    if (kind != COP_CONSUMER)
        wrong = take_dispatcher(ctx, &list, given, out);
    if (cop_is_none(wrong) && kind != COP_PRODUCER)
        wrong = take_subscribe_to(ctx, &list, out);
    if (cop_is_none(wrong) && kind != COP_CONSUMER)
        wrong = take_buffer_size(ctx, &list, kind, out);
    if (cop_is_none(wrong) && kind != COP_CONSUMER)
        wrong = take_buffer_keep(ctx, &list, out);
    if (cop_is_none(wrong) && kind == COP_PRODUCER)
        wrong = take_demand(ctx, &list, out);
    return cop_is_none(wrong) ? unknown(ctx, list) : wrong;
}

bool stage_config_of(cop_ctx *ctx, cop_stage_kind kind, const cop_stage_opts *opts,
                     struct stage_config *out, cop_term *why) {
    *out = (struct stage_config){ .subscribe_to = COP_NIL, .buffer_size = INT64_MAX };
    cop_term wrong = check_stage(ctx, kind, stage_terms(ctx, opts), opts->dispatcher, out);
    if (cop_is_none(wrong))
        return true;
    *why = cop_tuple(ctx, cop_a(bad_opts), wrong);
    return false;
}

/* ---- of a subscription ---------------------------------------------------------------------------------- */

cop_term stage_subscription_terms(cop_ctx *ctx, const cop_subscribe_opts *opts) {
    if (opts == NULL)
        return COP_NIL;
    cop_term list = cop_is_none(opts->terms) ? COP_NIL : opts->terms;
    if (opts->cancel != COP_CANCEL_PERMANENT)
        list =
            option(ctx, list, cop_a(cancel),
                   opts->cancel == COP_CANCEL_TRANSIENT ? cop_a(transient).t : cop_a(temporary).t);
    if (opts->min_demand != 0)
        list = option(ctx, list, cop_a(min_demand),
                      cop_of(ctx, opts->min_demand == COP_ZERO ? 0 : opts->min_demand));
    if (opts->max_demand != 0)
        list = option(ctx, list, cop_a(max_demand), cop_of(ctx, opts->max_demand));
    return list;
}

cop_term cop__subscription(cop_ctx *ctx, cop_term to, const cop_subscribe_opts *opts) {
    return cop_tuple(ctx, to, stage_subscription_terms(ctx, opts));
}

static cop_term check_cancel(cop_ctx *ctx, cop_term value, struct stage_sub *out) {
    out->cancel = cop_match(value, cop_a(transient))   ? COP_CANCEL_TRANSIENT
                  : cop_match(value, cop_a(temporary)) ? COP_CANCEL_TEMPORARY
                                                       : COP_CANCEL_PERMANENT;
    if (out->cancel != COP_CANCEL_PERMANENT || cop_match(value, cop_a(permanent)))
        return COP_NONE;
    return text(ctx, value, ":cancel to be one of [:temporary, :transient, :permanent]");
}

cop_term stage_check_subscription(cop_ctx *ctx, cop_term opts, struct stage_sub *out) {
    cop_term wrong;
    *out = (struct stage_sub){ 0 };
    cop_term max = sup_option(opts, cop_a(max_demand), COP_INT(1000));
    if (!cop_is_none(wrong = check_integer(ctx, "max_demand", max, 1, &out->max)))
        return wrong;
    if (out->max > STAGE_MAX_DEMAND)
        return text(ctx, max, ":max_demand to be equal to or less than %lld",
                    (long long)STAGE_MAX_DEMAND);
    cop_term min = sup_option(opts, cop_a(min_demand), cop_of(ctx, out->max / 2));
    if (!cop_is_none(wrong = check_integer(ctx, "min_demand", min, 0, &out->min)))
        return wrong;
    if (out->min > out->max - 1)
        return text(ctx, min, ":min_demand to be equal to or less than %lld",
                    (long long)(out->max - 1));
    return check_cancel(ctx, sup_option(opts, cop_a(cancel), cop_a(permanent).t), out);
}
