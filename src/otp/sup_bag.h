/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__OTP_SUP_BAG_H
#define COP__OTP_SUP_BAG_H

#include "sup.h"

/*
 * A bag of children, known by pid: what DynamicSupervisor and ConsumerSupervisor have in common
 * (sup_bag.c). It stands first in the supervisor's state, which counts BAG_TERMS for it.
 */
struct bag_tables;
struct bag {
    cop_term name; /* an atom, {:via, module, name} or COP_NONE */
    struct bag_tables *t;
    cop_atom module_name;
    int64_t max_restarts, max_seconds;
    bool bare_name; /* reports show an atom as it is, and not {:local, name} */
    /* An entry is gone for good; origin as given to bag_add. NULL: nobody wants to know. */
    void (*gone)(cop_ctx *ctx, struct bag *bag, uint64_t origin);
};
enum { BAG_TERMS = 1 };

/* Makes the tables, owned by the process. args are what the supervisor was started with; id (COP_NONE is
   :undefined) is shown as each child's. */
void bag_init(cop_ctx *ctx, struct bag *bag, cop_term args);
void bag_set_id(struct bag *bag, cop_term id);
void bag_set_extra(struct bag *bag, cop_term extra);
void bag_set_timeline(cop_ctx *ctx, struct bag *bag, int64_t limit);
cop_term bag_args(cop_ctx *ctx, const struct bag *bag);
cop_term bag_extra(cop_ctx *ctx, const struct bag *bag);
cop_term bag_name(cop_ctx *ctx, const struct bag *bag);
cop_term bag_id(cop_ctx *ctx, const struct bag *bag);

/* The form of that specification, one of the last few or a new one; counted for the caller. */
struct sup_form *bag_form(struct bag *bag, const struct sup_spec *spec);
/* A child that was started just now; takes the caller's count of the form. */
void bag_add(cop_ctx *ctx, struct bag *bag, struct sup_form *form, cop_term args, cop_pid pid,
             uint64_t origin);
/* What the start of a child comes to, for who asked: {:ok, pid} ..., :ignore, {:error, reason}. */
cop_term bag_started_term(cop_ctx *ctx, const struct sup_started *got);
/* Why it failed. */
cop_term bag_reason(cop_ctx *ctx, const struct sup_started *got);
/* A report about a child that is not in the bag. */
void bag_report_start(cop_ctx *ctx, const struct bag *bag, const struct sup_form *form,
                      cop_term reason, cop_term args);

/* A message: the end of a child, a restart to be tried again. */
enum bag_took {
    BAG_NOT_MINE,
    BAG_DONE,
    BAG_STOPS, /* too many restarts: the supervisor ends with :shutdown */
};
enum bag_took bag_message(cop_ctx *ctx, struct bag *bag, cop_term message);
/* :ok | {:error, :not_found} */
cop_term bag_terminate(cop_ctx *ctx, struct bag *bag, cop_term pid);
/* At the end of the supervisor. */
void bag_stop_all(cop_ctx *ctx, struct bag *bag, cop_term reason);

size_t bag_count(const struct bag *bag);
struct bag_counts {
    size_t active, supervisors, workers;
};
struct bag_counts bag_counts(const struct bag *bag);
cop_term bag_which(cop_ctx *ctx, const struct bag *bag);
/* All entries as a map by pid, each as `make` shows it; and the seconds of the restarts. */
typedef cop_term (*bag_shown)(cop_ctx *ctx, const struct bag *bag, uint64_t origin,
                              const struct sup_form *form, cop_term args, bool restarting);
cop_term bag_children(cop_ctx *ctx, const struct bag *bag, bag_shown make);
cop_term bag_restarts(cop_ctx *ctx, const struct bag *bag);

#endif
