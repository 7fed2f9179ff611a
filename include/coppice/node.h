/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COPPICE_NODE_H
#define COPPICE_NODE_H

#include <coppice/process.h>

/*
 * The node: one per OS process. These are host calls: they are made outside processes, return 0 or
 * a negative errno (text: cop_strerror) and take no ctx.
 */

/*
 * How to start it; zeroed is the default.
 *   schedulers      0 = one per core (environment: COP_SCHEDULERS)
 *   max_processes   0 = 1,048,576; at most 16,000,000
 *   stack_size      bytes of C stack of a process that waits or runs; 0 = 65536
 *   stack_idle_ms   a process that has waited in the middle of its work for about so long (up to twice)
 *                   gives its C stack's pages back until it goes on; 0 = 10000, COP_INFINITY = never.
 *                   A pointer to a variable on its stack must not be used by others meanwhile: that is
 *                   a fault. Needs Linux 6.13
 *   slice_ms        how long one step may hold its scheduler before it is handed to another
 *                   worker; 0 = 10
 *   fault_aborts    a fault ends the program (with a core file) instead of its process
 *                   (environment: COP_FAULT=abort)
 *   fault_isolates  it does not, also when COP_FAULT=abort is set
 *   stall_report_ms a step that runs longer than this is told to the log, once, with its stack; 0 = no
 *                   step is (environment: COP_STALL_MS); see cop_system_monitor
 *   worker_idle_ms  a thread beyond one for each scheduler, started because steps blocked for longer than
 *                   slice_ms, ends when it has had nothing to do for so long; 0 = 30000, COP_INFINITY = never
 *   sim, sim_seed   simulation: one worker, virtual time, seeded choices (environment:
 *                   COP_SIM=seed)
 *   sim_faults      its fault points, see coppice/sim.h (environment: COP_SIM_FAULTS)
 *   no_logger       do not start the logger (see coppice/logger.h)
 *   log_level       the logger's primary level by its name, "none" to "debug"; NULL = "debug" (environment:
 *                   COP_LOG_LEVEL)
 *   logger          options of the logger that cop_run starts; NULL = its defaults
 */
typedef struct cop_node_opts {
    int schedulers;
    size_t max_processes;
    size_t stack_size;
    int64_t stack_idle_ms;
    int slice_ms;
    bool fault_aborts;
    bool fault_isolates;
    int64_t stall_report_ms;
    int64_t worker_idle_ms;
    bool sim;
    uint64_t sim_seed;
    const char *sim_faults;
    bool no_logger;
    const char *log_level;
    const struct cop_logger_opts *logger;
} cop_node_opts;

/*
 * Reads the node's flags among the arguments of a program, as erl has them, and takes them out of argv:
 *   +S n            schedulers                 +P n              max_processes
 *   +fault abort    fault_aborts               +fault isolate    fault_isolates
 *   +sim seed       simulation, that seed      +slice ms         slice_ms
 *   +stack bytes    stack_size                 +stall ms         stall_report_ms
 *   +log level      log_level
 * Everything else stays, in order, and from "--" on everything does. What opts holds already is kept where
 * no flag says otherwise.
 *
 * Errors: -EINVAL for a flag of these without a value or with a bad one; *argc and argv are untouched then,
 *         and *bad (which may be NULL) is the flag
 */
int cop_node_opts_from_args(int *argc, char **argv, cop_node_opts *opts, const char **bad);

/* Starts the node; opts may be NULL. -EALREADY if it runs. */
int cop_node_start(const cop_node_opts *opts);
/*
 * Stops it: every process is killed, ports close, workers end, all memory is given back. Waits.
 * Not from inside a process: there, cop_node_shutdown.
 */
int cop_node_stop(void);
/* function() is called by cop_node_stop, by its thread, before the processes are killed; once. It may attach
   itself, to talk to some of them, and should not wait long. At most 8 functions. */
void cop_node_at_stop(void (*function)(void));
/* From inside a process: asks cop_run / cop_node_wait to return `status`, and the node to stop. The first
   call counts. */
void cop_node_shutdown(cop_ctx *ctx, int status);
/* Waits until somebody calls cop_node_shutdown; returns its status. */
int cop_node_wait(void);
/*
 * All in one for a main(): starts the node, runs entry(ctx, :undefined) as its first process, waits
 * until that process ends or somebody calls cop_node_shutdown, stops the node.
 * Returns: the shutdown's status; else 0 when the process ended :normal or :shutdown, 1 otherwise,
 *          or a negative errno when the node did not start
 */
int cop_run(const cop_node_opts *opts, cop_entry entry);
/* Starts a process from outside; Returns its pid (COP_NONE inside when the node does not run). */
cop_pid cop_node_spawn(cop_entry entry);

/*
 * Makes the calling thread of the host program a process: it gets a pid, a mailbox and a heap and
 * may use the whole API; waiting blocks the thread. An exit or kill of it that is not caught makes
 * the call it is in never return: so wrap calls in COP_TRY; a signalled exit is raised there.
 * Returns: NULL when the node does not run or the table is full
 */
cop_ctx *cop_attach(void);
/* Ends that process with :normal. */
void cop_detach(cop_ctx *ctx);

/* The text of a negative errno from a host call. */
const char *cop_strerror(int error);
/* Writes all live processes with their state and mailboxes to a file descriptor; for the moment when
   something hangs. Best effort, from any thread. */
void cop_node_dump(int fd);
/* How many schedulers run; processes, ports and timers (send_after, start_timer) alive now. */
int cop_node_schedulers(void);
size_t cop_node_process_count(void);
size_t cop_node_port_count(void);
size_t cop_node_timer_count(void);
/* How many processes wait without their stack's pages now; see stack_idle_ms. */
size_t cop_node_stacks_given_back(void);
/* How many worker threads there are now: one for each scheduler, one for each step that blocks, and those that
   did so lately; see worker_idle_ms. */
size_t cop_node_worker_count(void);
const char *cop_version(void);

#endif
