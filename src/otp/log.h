/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__OTP_LOG_H
#define COP__OTP_LOG_H

#include <coppice/gen_server.h>
#include <coppice/logger.h>

enum { LOG_HANDLERS = 16, LOG_FILTERS = 8 };

/* ---- log_table.c: the handlers, as all processes see them ---- */

/* A handler's options, copied; shared by count between the table and the handler's process. */
struct log_config {
    size_t refs; /* atomic */
    cop_logger_handler_opts opts;
    cop_saved *arg;
};
/* NULL: no id, too many filters, or a pattern that is none. */
struct log_config *log_config_new(const cop_logger_handler_opts *opts);
struct log_config *log_config_ref(struct log_config *config);
void log_config_release(void *config);

/* A list of filters; never changed but for `removed`, and not freed while a node runs, for a process may be in
   the midst of it. */
struct log_filters {
    struct log_filters *next; /* retired before */
    uint32_t removed;         /* atomic: a bit for each */
    size_t count;
    bool default_stop;
    cop_logger_filter list[LOG_FILTERS];
    char ids[LOG_FILTERS][40];
};

/* One process of a handler. */
struct log_life {
    uint64_t pid;   /* atomic; 0: none */
    int64_t queued; /* atomic: events that were sent to it and that it has not taken */
};
struct log_handler {
    uint64_t id;      /* atomic: an atom; 0: the place is free */
    uint32_t current; /* atomic: which life */
    struct log_life lives[2];
    int level;                   /* atomic */
    uint32_t sasl;               /* atomic */
    int64_t limit;               /* atomic */
    uint64_t dropped;            /* atomic: not told yet */
    struct log_filters *filters; /* atomic; NULL: none */
    struct log_config *config;   /* under the mutex */
    uint64_t since;              /* under the mutex: the order of ids */
};
extern struct log_handler log_handlers[LOG_HANDLERS];

/* The index of that id, or -1. */
int log_find(cop_term id);
/* A place for a handler that does not run yet, or -1: none is free. Takes over the reference. */
int log_place(struct log_config *config);
void log_reconfigure(int at, struct log_config *config);
void log_unplace(int at);
/* A new life: which one it is. Its count begins at 0, and the life before gets no more events. */
uint32_t log_born(int at, cop_pid pid);
void log_died(int at);
/* Its configuration, a reference of the caller's; NULL if the place is free. */
struct log_config *log_config_of(int at);
cop_term log_ids(cop_ctx *ctx);
/* No handler and no filter any more. all: no process is left that may be in the midst of a filter. */
void log_clear(bool all);
struct log_filters *log_primary_filters(void);

/* ---- logger.c: events on their way ---- */

enum { LOG_OFF, LOG_ON, LOG_CLOSED };
extern int log_state; /* atomic */
/* The sink of cop_log. */
void log_dispatch(cop_ctx *ctx, cop_level level, cop_term event, cop_term metadata);
/* Would anybody take such an event? is_sasl: of the domain [:otp, :sasl]. */
bool log_is_heard(cop_ctx *ctx, cop_level level, bool is_sasl);
/* An event of the logger's own: {:report, %{label: {:logger, what}, report: report}}; and logs one. */
cop_term log_own_report(cop_ctx *ctx, const char *what, cop_term report);
void log_own_event(cop_ctx *ctx, cop_level level, const char *what, cop_term report);

/* ---- log_server.c ---- */

/* The word of the pid that is registered as :logger, while it is the logger's. */
uint64_t log_server_pid(void);

/* ---- log_level.c ---- */

bool log_allows(cop_ctx *ctx, cop_level level, const char *file, size_t size);
void log_levels_clear(void);

/* ---- log_handler.c: a handler's process; arg: its place ---- */

cop_started log_handler_start(cop_ctx *ctx, cop_term arg);

/* ---- log_metadata.c ---- */

/* file, line, function and mfa of a place, and `metadata` (a map, a keyword list or COP_NONE) over them. */
cop_term log_site_metadata(cop_ctx *ctx, const cop_log_site *site, cop_term metadata);
/* What Elixir's translator adds to the metadata of a crash. */
cop_term log_translated(cop_ctx *ctx, cop_term event, cop_term metadata);

/* ---- log_std.c ---- */

/* Writes an event at once, from the process that logs. */
void log_write_direct(cop_ctx *ctx, const cop_log_event *event);

#endif
