/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COPPICE_LOG_H
#define COPPICE_LOG_H

#include <coppice/term.h>

/*
 * Log events: what the run-time and the behaviours tell, and who takes it. For programs there is
 * coppice/logger.h, which is made of this.
 */

typedef enum cop_level {
    COP_LEVEL_NONE = -1, /* as a limit: nothing */
    COP_LEVEL_EMERGENCY,
    COP_LEVEL_ALERT,
    COP_LEVEL_CRITICAL,
    COP_LEVEL_ERROR,
    COP_LEVEL_WARNING,
    COP_LEVEL_NOTICE,
    COP_LEVEL_INFO,
    COP_LEVEL_DEBUG,
    COP_LEVEL_ALL = COP_LEVEL_DEBUG, /* as a limit: everything */
} cop_level;

/* "error" and so on; "none". */
const char *cop_level_name(cop_level level);
/* The level of that name, "none" and "all" too; false for what is none. */
bool cop_level_from_name(const char *name, cop_level *out);

extern int cop__log_gate;
/*
 * False when nobody at all wants events of that level: one load. True is a "perhaps", because levels of
 * files, processes and handlers are looked at later.
 * Context: anywhere, any thread
 */
static inline bool cop_log_is_enabled(cop_level level) {
    return (int)level <= __atomic_load_n(&cop__log_gate, __ATOMIC_RELAXED);
}
/*
 * The primary level, for all that has no other one; a node begins with its options' log_level. And the most
 * verbose of the others (of files and processes), which cop_log_is_enabled has to let through as well.
 * Context: any thread
 */
void cop_log_set_level(cop_level level);
cop_level cop_log_level(void);
void cop_log_set_finest(cop_level level);

/*
 * A log event, if its level is enabled. It goes to the logger (coppice/logger.h). A process that is
 * registered as :logger, and is not the logger's own, gets it as the message
 * {:log, level, event, metadata}. Where there is neither, errors and warnings are written to standard
 * error as plain terms, unless the node's options say no_logger.
 *
 * Erlang:   :logger.log/3
 * Event:    {:string, chardata}, {:report, map or keyword list} or {:format, charlist, [term]}
 * Metadata: a map or COP_NONE. Under it lies the process's own (cop_logger_metadata); pid, gl and time (us)
 *           are added when they are not there
 * Context:  inside a process; never waits
 */
void cop_log(cop_ctx *ctx, cop_level level, cop_term event, cop_term metadata);

/*
 * Who takes the events of cop_log: called in the process that logs. `owner` is the process that is
 * registered as :logger then; to it go, as messages, the events that the run-time makes of processes
 * that are ending. NULL: nobody.
 * Context: any thread
 */
typedef void (*cop_log_sink)(cop_ctx *ctx, cop_level level, cop_term event, cop_term metadata);
void cop_log_set_sink(cop_log_sink sink, cop_pid owner);
/* For the owner: it has taken one of those messages. Of them 1000 may wait, more are dropped; returns how many
   were dropped since the last call. */
uint64_t cop_log_taken(void);

#endif
