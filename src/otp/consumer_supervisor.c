/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ConsumerSupervisor: a consumer with manual demand around a bag of children (sup_bag.c).
 *
 * Each subscription has an account:
 *
 *     count    events that came and whose children have not ended
 *     pending  children that have ended since it asked last; when they are min, it asks for so many
 *
 * A child's entry in the bag carries the serial number of its account as its origin (0: started by
 * start_child, for nobody's account). When a subscription is over its children go on; the account stays,
 * closed, until the last of them is gone, so that they can be shown with their tag.
 *
 * All arguments of a child, the template's and the event, are kept with it: a change of code may bring
 * another template, and a restart starts again what was there.
 *
 * Invariants
 *   1. An open account's count is the number of its children, those that are :restarting too.
 *   2. After each accounting pending < min, or 0 when min is 0.
 * Threads: its own process. The API for others is in consumer_supervisor_api.c.
 */
#include <coppice/consumer_supervisor.h>

#include "held.h"
#include "sup_bag.h"
#include "sys.h"

struct account {
    uint64_t serial;
    int64_t count, pending, min, max;
    uint64_t children; /* entries of the bag */
    bool closed;
    struct held pid, tag;
};

struct consumer_sup {
    cop_term args;  /* the template's, a list */
    struct bag bag; /* its terms first */
    const cop_supervisor *module;
    struct sup_form *form; /* the template; owned by the process */
    struct account *accounts;
    size_t count, cap;
    uint64_t serial;
};
enum { CONSUMER_SUP_TERMS = 1 + BAG_TERMS };

static struct consumer_sup *sup_of(const struct bag *bag) {
    return (struct consumer_sup *)((uintptr_t)bag - offsetof(struct consumer_sup, bag));
}

/* ---- accounts --------------------------------------------------------------------------------------------- */

static struct account *account_of(const struct consumer_sup *s, uint64_t serial) {
    for (size_t i = 0; i < s->count; i++)
        if (s->accounts[i].serial == serial)
            return &s->accounts[i];
    return NULL;
}

static struct account *account_by_tag(const struct consumer_sup *s, cop_term tag) {
    for (size_t i = 0; i < s->count; i++)
        if (!s->accounts[i].closed && held_is(&s->accounts[i].tag, tag))
            return &s->accounts[i];
    return NULL;
}

static cop_term from_of(cop_ctx *ctx, const struct account *a) {
    return cop_tuple(ctx, held_term(ctx, &a->pid), held_term(ctx, &a->tag));
}

static void log_text(cop_ctx *ctx, const char *format, cop_term args) {
    cop_log(ctx, COP_LEVEL_ERROR, cop_tuple(ctx, cop_a(format), cop_charlist(ctx, format), args),
            cop_map(ctx, cop_a(error_logger), cop_map(ctx, cop_a(tag), cop_a(error))));
}

static void account(cop_ctx *ctx, struct account *a, int64_t events, int64_t down) {
    if (a->count + events > a->max)
        log_text(ctx, "ConsumerSupervisor has received ~tp events in excess from: ~tp~n",
                 cop_list(ctx, a->count + events - a->max, from_of(ctx, a)));
    a->pending += down;
    a->count += events - down;
    if (a->pending < a->min)
        return;
    cop_gen_stage_ask(ctx, from_of(ctx, a), a->pending, 0);
    a->pending = 0;
}

static void account_free(cop_ctx *ctx, struct consumer_sup *s, struct account *a) {
    held_forget(ctx, &a->pid);
    held_forget(ctx, &a->tag);
    *a = s->accounts[--s->count];
}

/* A child is gone for good. */
static void gone(cop_ctx *ctx, struct bag *bag, uint64_t origin) {
    struct consumer_sup *s = sup_of(bag);
    struct account *a = account_of(s, origin);
    if (a == NULL)
        return;
    a->children--;
    if (!a->closed)
        account(ctx, a, 0, 1);
    else if (a->children == 0)
        account_free(ctx, s, a);
}

/* ---- init ------------------------------------------------------------------------------------------------- */

static cop_term bad_opts(cop_ctx *ctx, const char *text) {
    return cop_tuple(ctx, cop_a(bad_opts), text);
}

/* What is wrong with the template; COP_NONE and *out when nothing is. */
static cop_term check_template(cop_ctx *ctx, cop_term specs, struct sup_spec *out) {
    struct sup_raw raw;
    if (cop_list_length(specs) != 1)
        return cop_tuple(ctx, cop_a(bad_specs),
                         "consumer supervisor expects a list with a single item as a template");
    cop_term spec = cop_head(specs), wrong = cop_tuple(ctx, cop_a(invalid_child_spec), spec);
    if (sup_raw_from(spec, &raw))
        wrong = sup_check(ctx, &raw, cop_a(never).t, out);
    return cop_is_none(wrong) ? COP_NONE : cop_tuple(ctx, cop_a(bad_specs), wrong);
}

struct limits {
    int64_t max_restarts, max_seconds;
};

/* An integer of any size. */
static bool take_integer(cop_term t, int64_t *out) {
    if (!cop_is_integer(t))
        return false;
    if (!cop_get_i64(t, out))
        *out = cop_compare(t, COP_INT(0)) < 0 ? INT64_MIN : INT64_MAX;
    return true;
}

static cop_term check_options(cop_ctx *ctx, cop_term options, const struct sup_spec *spec,
                              struct limits *out) {
    if (!cop_is_proper_list(options))
        return bad_opts(ctx, "supervisor's init expects a keywords list as options");
    cop_term strategy = sup_option(options, cop_a(strategy), cop_a(nil).t);
    if (cop_match(strategy, cop_a(nil)))
        return bad_opts(ctx, "supervisor expects a strategy to be given");
    if (!cop_match(strategy, cop_a(one_for_one)))
        return bad_opts(ctx, "unknown supervision strategy for consumer supervisor");
    if (!take_integer(sup_option(options, cop_a(max_restarts), COP_INT(3)), &out->max_restarts))
        return bad_opts(ctx, "max_restarts must be an integer");
    if (!take_integer(sup_option(options, cop_a(max_seconds), COP_INT(5)), &out->max_seconds))
        return bad_opts(ctx, "max_seconds must be an integer");
    if (out->max_seconds < -1)
        out->max_seconds = -1; /* as good as any below: no two restarts are within it */
    if (spec->restart == COP_PERMANENT)
        return bad_opts(ctx,
                        "a child specification with :restart set to :permanent is not supported in "
                        "ConsumerSupervisor\n\n"
                        "Set the :restart option either to :temporary, so children spawned from "
                        "events are never restarted, or :transient, so they are restarted only on "
                        "abnormal exits\n");
    return COP_NONE;
}

static void release_form(void *form) { sup_form_release(form); }

/* What init returned; COP_NONE and taken, with *rest the options that are the stage's, or what is wrong. */
static cop_term take_init(cop_ctx *ctx, struct consumer_sup *s, cop_term specs, cop_term options,
                          cop_term *rest) {
    struct sup_spec spec;
    struct limits limits;
    cop_term wrong = check_template(ctx, specs, &spec), pair;
    if (cop_is_none(wrong))
        wrong = check_options(ctx, options, &spec, &limits);
    if (!cop_is_none(wrong))
        return wrong;
    if (s->form != NULL && cop_disown(ctx, s->form))
        sup_form_release(s->form);
    s->form = cop_own(ctx, sup_form_new(&spec), release_form);
    s->bag.max_restarts = limits.max_restarts;
    s->bag.max_seconds = limits.max_seconds;
    s->args = spec.args;
    bag_set_id(&s->bag, spec.id);
    for (*rest = COP_NIL; cop_get_cons(options, &pair, &options);) {
        cop_term key = cop_tuple_size(pair) == 2 ? cop_elem(pair, 0) : COP_NIL;
        if (!cop_match(key, cop_a(strategy)) && !cop_match(key, cop_a(max_restarts))
            && !cop_match(key, cop_a(max_seconds)))
            *rest = cop_list_tail(ctx, pair, *rest);
    }
    *rest = cop_list_reverse(ctx, *rest);
    return COP_NONE;
}

static cop_stage_init consumer_init(cop_ctx *ctx, void *state, cop_term packed) {
    struct consumer_sup *s = state;
    cop_term arg, specs, options, rest;
    if (!sup_unpack(packed, &s->module, &arg, &s->bag.name))
        return cop_stage_init_stop(cop_a(badarg));
    bag_init(ctx, &s->bag, arg);
    s->bag.gone = gone;
    s->bag.bare_name = true;
    s->bag.module_name = sys_module_atom(s->module->name);
    cop_process_trap_exit(ctx, true);
    cop_term result = s->module->init(ctx, arg);
    if (cop_match(result, cop_a(ignore)))
        return cop_stage_init_ignore();
    if (!cop_match_tuple(result, cop_a(ok), &specs, &options))
        return cop_stage_init_stop(cop_tuple(ctx, cop_a(bad_return_value), result));
    cop_term wrong = take_init(ctx, s, specs, options, &rest);
    return cop_is_none(wrong) ? cop_stage_consumer(.terms = rest) : cop_stage_init_stop(wrong);
}

/* Calls init again; children that run stay as they are. */
static cop_term consumer_code_change(cop_ctx *ctx, void *state, cop_term old_vsn, cop_term extra) {
    struct consumer_sup *s = state;
    cop_term specs, options, rest;
    cop_term result = s->module->init(ctx, bag_args(ctx, &s->bag));
    if (cop_match(result, cop_a(ignore)))
        return cop_a(ok).t;
    if (!cop_match_tuple(result, cop_a(ok), &specs, &options))
        return cop_tuple(ctx, cop_a(bad_return_value), result);
    cop_term wrong = take_init(ctx, s, specs, options, &rest);
    return cop_is_none(wrong) ? cop_a(ok).t : wrong;
}

/* ---- subscriptions ---------------------------------------------------------------------------------------- */

static cop_stage_subscribed consumer_subscribe(cop_ctx *ctx, void *state, cop_stage_kind other,
                                               cop_term opts, cop_from from) {
    struct consumer_sup *s = state;
    cop_term pid, tag;
    int64_t max = 1000;
    if (!cop_match_tuple(from.t, &pid, &tag))
        cop_error(ctx, cop_a(badarg));
    cop_get_i64(sup_option(opts, cop_a(max_demand), COP_INT(1000)), &max);
    int64_t min = max / 2;
    cop_get_i64(sup_option(opts, cop_a(min_demand), COP_NIL), &min);
    if (s->count == s->cap) {
        s->cap = s->cap == 0 ? 4 : 2 * s->cap;
        s->accounts = cop_realloc(ctx, s->accounts, s->cap * sizeof *s->accounts);
    }
    s->accounts[s->count++] = (struct account){ .serial = ++s->serial,
                                                .min = min,
                                                .max = max,
                                                .pid = held_new(ctx, pid),
                                                .tag = held_new(ctx, tag) };
    cop_gen_stage_ask(ctx, from, max, 0);
    return cop_stage_manual();
}

static cop_stage_next consumer_cancel(cop_ctx *ctx, void *state, cop_term why, cop_from from) {
    struct consumer_sup *s = state;
    struct account *a = account_by_tag(s, cop_elem(from.t, 1));
    if (a == NULL)
        return cop_stage_noreply();
    a->closed = true;
    if (a->children == 0)
        account_free(ctx, s, a);
    return cop_stage_noreply();
}

/* ---- starting children ------------------------------------------------------------------------------------ */

/* The arguments to be kept: what a function by name is called with; a C function is handed the one term, or
   a list of them all when the template has an argument of its own. */
static cop_term args_with(cop_ctx *ctx, const struct consumer_sup *s, cop_term extra) {
    cop_term all = cop_list_append(ctx, s->args, extra);
    return s->form->c_start != NULL && cop_is_cons(s->args) ? cop_list(ctx, all) : all;
}

static struct sup_started start(cop_ctx *ctx, struct consumer_sup *s, cop_term args,
                                uint64_t origin) {
    struct sup_started got = sup_start(ctx, s->form, COP_NIL, args);
    if (got.is == SUP_STARTED) {
        s->form->refs++; /* the child's count */
        bag_add(ctx, &s->bag, s->form, args, got.pid, origin);
    }
    return got;
}

static cop_stage_next consumer_events(cop_ctx *ctx, void *state, cop_events events, cop_from from) {
    struct consumer_sup *s = state;
    struct account *a = account_by_tag(s, cop_elem(from.t, 1));
    if (a == NULL)
        return cop_stage_noreply();
    int64_t down = 0;
    for (size_t i = 0; i < events.count; i++) {
        cop_term args = args_with(ctx, s, cop_list(ctx, events.at[i]));
        struct sup_started got = start(ctx, s, args, a->serial);
        if (got.is == SUP_STARTED) {
            a->children++;
            continue;
        }
        down++;
        if (got.is == SUP_IGNORED)
            continue;
        cop_term reason = bag_reason(ctx, &got);
        log_text(ctx, "ConsumerSupervisor failed to start child from: ~tp with reason: ~tp~n",
                 cop_list(ctx, from.t, reason));
        bag_report_start(ctx, &s->bag, s->form, reason, args);
    }
    account(ctx, a, (int64_t)events.count, down);
    return cop_stage_noreply();
}

/* ---- callbacks -------------------------------------------------------------------------------------------- */

static cop_stage_next consumer_info(cop_ctx *ctx, void *state, cop_term message) {
    struct consumer_sup *s = state;
    switch (bag_message(ctx, &s->bag, message)) {
    case BAG_STOPS:
        return cop_stage_stop(cop_a(shutdown));
    case BAG_NOT_MINE:
        log_text(ctx, "ConsumerSupervisor received unexpected message: ~tp~n",
                 cop_list(ctx, message));
        break;
    case BAG_DONE:
        break;
    }
    return cop_stage_noreply();
}

static cop_term count_children(cop_ctx *ctx, const struct consumer_sup *s) {
    struct bag_counts counts = bag_counts(&s->bag);
    bool workers = s->form->type == COP_WORKER;
    return cop_map(ctx, cop_a(specs), 1, cop_a(active), counts.active, cop_a(supervisors),
                   workers ? 0 : bag_count(&s->bag), cop_a(workers),
                   workers ? bag_count(&s->bag) : 0);
}

static cop_stage_next consumer_call(cop_ctx *ctx, void *state, cop_term request, cop_from from) {
    struct consumer_sup *s = state;
    cop_term x;
    if (cop_match_tuple(request, cop_a(start_child), &x) && cop_is_proper_list(x)) {
        struct sup_started got = start(ctx, s, args_with(ctx, s, x), 0);
        return cop_stage_reply(ctx, bag_started_term(ctx, &got), cop_no_events());
    }
    if (cop_match_tuple(request, cop_a(terminate_child), &x))
        return cop_stage_reply(ctx, bag_terminate(ctx, &s->bag, x), cop_no_events());
    if (cop_match(request, cop_a(which_children)))
        return cop_stage_reply(ctx, bag_which(ctx, &s->bag), cop_no_events());
    if (cop_match(request, cop_a(count_children)))
        return cop_stage_reply(ctx, count_children(ctx, s), cop_no_events());
    cop_error(ctx, cop_a(function_clause));
}

static cop_stage_next consumer_cast(cop_ctx *ctx, void *state, cop_term request) {
    return cop_stage_noreply(); /* observed: casts are ignored, silently */
}

static void consumer_terminate(cop_ctx *ctx, void *state, cop_term reason) {
    struct consumer_sup *s = state;
    bag_stop_all(ctx, &s->bag, reason);
}

/* ---- as a term -------------------------------------------------------------------------------------------- */

/* [tag | args], where tag is :dynamic for a child of start_child. */
static cop_term child_term(cop_ctx *ctx, const struct bag *bag, uint64_t origin,
                           const struct sup_form *form, cop_term args, bool restarting) {
    const struct account *a = account_of(sup_of(bag), origin);
    cop_term tag = a != NULL ? held_term(ctx, &a->tag) : cop_a(dynamic).t;
    cop_term term = cop_list_tail(ctx, tag, args);
    return restarting ? cop_tuple(ctx, cop_a(restarting), term) : term;
}

static cop_term template_term(cop_ctx *ctx, const struct consumer_sup *s) {
    const struct sup_form *form = s->form;
    return cop_tuple(ctx, bag_id(ctx, &s->bag), sup_mfa(ctx, form, s->args),
                     sup_restart_atom(form->restart), sup_shutdown_term(ctx, form->shutdown),
                     sup_type_atom(form->type), cop_saved_load(ctx, form->modules));
}

/* Elixir's struct. */
static cop_term consumer_to_term(cop_ctx *ctx, const void *state) {
    const struct consumer_sup *s = state;
    cop_term producers = cop_map(ctx);
    if (s->form == NULL)
        return cop_a(nil).t; /* its init has not come so far */
    for (size_t i = 0; i < s->count; i++) {
        const struct account *a = &s->accounts[i];
        if (!a->closed)
            producers =
                cop_map_put(ctx, producers, held_term(ctx, &a->tag),
                            cop_tuple(ctx, from_of(ctx, a), a->count, a->pending, a->min, a->max));
    }
    struct bag_counts counts = bag_counts(&s->bag);
    cop_term map =
        cop_map(ctx, cop_as("__struct__"), cop_as("Elixir.ConsumerSupervisor"), cop_a(name),
                bag_name(ctx, &s->bag), cop_a(mod), s->bag.module_name, cop_a(args),
                bag_args(ctx, &s->bag), cop_a(template), template_term(ctx, s), cop_a(max_restarts),
                s->bag.max_restarts, cop_a(max_seconds), s->bag.max_seconds, cop_a(strategy),
                cop_a(one_for_one), cop_a(producers), producers);
    cop_term more =
        cop_map(ctx, cop_a(children), bag_children(ctx, &s->bag, child_term), cop_a(restarts),
                bag_restarts(ctx, &s->bag), cop_a(restarting), bag_count(&s->bag) - counts.active);
    return cop_map_merge(ctx, map, more);
}

static cop_term consumer_status(cop_ctx *ctx, const void *state) {
    const struct consumer_sup *s = state;
    return sup_status(ctx, s->bag.module_name);
}

static const cop_gen_stage consumer_stage = {
    .name = "ConsumerSupervisor",
    .state_size = sizeof(struct consumer_sup),
    .state_terms = CONSUMER_SUP_TERMS,
    .init = consumer_init,
    .handle_events = consumer_events,
    .handle_subscribe = consumer_subscribe,
    .handle_cancel = consumer_cancel,
    .handle_call = consumer_call,
    .handle_cast = consumer_cast,
    .handle_info = consumer_info,
    .terminate = consumer_terminate,
    .state_to_term = consumer_to_term,
    .code_change = consumer_code_change,
    .status_more = consumer_status,
};

cop_started cop_consumer_supervisor_start_link_module(cop_ctx *ctx, const cop_supervisor *module,
                                                      cop_term arg, const cop_start_opts *opts) {
    char call[SUP_CALL];
    cop_start_opts start = sup_start_opts(call, module, opts);
    return cop_gen_stage_start_link(ctx, &consumer_stage, sup_pack(ctx, module, arg, &start),
                                    &start);
}
