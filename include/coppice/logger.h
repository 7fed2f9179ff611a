/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COPPICE_LOGGER_H
#define COPPICE_LOGGER_H

#include <coppice/process.h>

/*
 * The logger: a process registered as :logger that takes the events of cop_log and writes what
 * Elixir's console logger writes, to standard error or another file descriptor.
 */

/*
 *   level              events below it are dropped; 0 = everything (COP_LEVEL_DEBUG)
 *   fd                 where to write; 0 = standard error
 *   no_time            leave out the time of day (for comparing texts)
 *   sasl_reports       also print progress, crash and supervisor reports (Elixir's
 *                      handle_sasl_reports)
 *   queue_limit        beyond that many waiting events new ones are counted and dropped; 0 = 1000
 */
typedef struct cop_logger_opts {
    cop_level level;
    int fd;
    bool no_time;
    bool sasl_reports;
    size_t queue_limit;
} cop_logger_opts;

/* Starts it. Host call; opts may be NULL. Returns its pid; COP_NONE inside if the node does not run.
   cop_run does this by itself. */
cop_pid cop_logger_start(const cop_logger_opts *opts);
/* Waits until everything logged so far is written. */
void cop_logger_flush(cop_ctx *ctx);
/* Logs a text, as printf makes it. Elixir: Logger.error/1 and so on. */
void cop_logger_write(cop_ctx *ctx, cop_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
