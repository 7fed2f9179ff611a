/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COPPICE_SIM_H
#define COPPICE_SIM_H

#include <coppice/process.h>

/*
 * Simulation: the whole node on one thread, with virtual time, and with every choice that a schedule
 * leaves open made by a seed. docs/simulation.md is the guide; coppice/test.h has simulate().
 *
 *     COP_SIM=7 program                          one run with seed 7
 *     COP_SIM=7 COP_SIM_FAULTS=kill=0.01 program with processes killed at one call in a hundred
 *     COP_SIM_TRACE=FILE                         every event of the trace as a line of that file
 *
 * The fault points of the run-time, as names in COP_SIM_FAULTS or .sim_faults: `name` alone has the
 * probability of the table, `name=P` has P (0 to 1), separated by commas.
 *
 *   handoff  0.125  another process runs first, at any call into the run-time        (by the seed)
 *   cut      0.25   a turn has almost no budget of reductions and messages           (by the seed)
 *   late     0.03   a process that was woken is runnable a while later               (by the seed)
 *   jitter   0.25   a timer fires some milliseconds late, never early                (by the seed)
 *   kill     0.004  the process is killed at this call into the run-time             (off)
 *   alloc    0.02   cop_alloc and spawns raise :system_limit                         (off)
 *
 * What is "by the seed" changes no meaning, only the order: each seed draws its own strength for it,
 * often none; a name in the list sets it for all seeds. Any other name is a point of the program's own:
 * see cop_sim_fault.
 */

/* Does the node run under simulation? From anywhere. */
bool cop_sim_is_on(void);
/* Its seed, 0 without simulation. */
uint64_t cop_sim_seed(void);
/*
 * The hash of all events so far: which process ran when, what it received, spawns, exits, timers. The
 * same seed gives the same hash, in every run of the same program. The trace ends where the end of the
 * node begins, at cop_node_shutdown or cop_node_stop; it stays readable until the next start.
 */
uint64_t cop_sim_trace(void);
/*
 * A fault point of one's own: true with the probability that COP_SIM_FAULTS or .sim_faults gives the
 * name; false when it is not there, and without simulation.
 *
 *     if (cop_sim_fault(ctx, "disk_full"))
 *         return cop_tuple(ctx, cop_a(error), cop_a(enospc));
 *
 * Context: inside a process; costs one test without simulation
 */
bool cop_sim_fault(cop_ctx *ctx, const char *name);
/* The fault points kill and alloc leave the calling process alone from here on. */
void cop_sim_spare(cop_ctx *ctx);

#endif
