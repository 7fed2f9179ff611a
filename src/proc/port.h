/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__PROC_PORT_H
#define COP__PROC_PORT_H

#include <coppice/process.h>

/*
 * Ports, seen from the run-time: processes that live on a thread with an event loop of its own.
 * Links, monitors, names, exit signals and messages reach them like any process. Their callbacks
 * never wait: only cop_send, term building, links, timers and the like are allowed there.
 */

/* A scheduler whose worker is somebody else's loop. `wake` is called from any thread when the loop
   should soon call cop__bound_run; calls are coalesced (at most one until the next run). */
struct cop__bound;
struct cop__bound *cop__bound_new(void (*wake)(void *arg), void *arg);
/* Runs ready ports on the calling thread, at most `budget` steps. True if more are ready. The first
   caller becomes the bound's thread. */
bool cop__bound_run(struct cop__bound *bound, int budget);
/* On the bound's thread, at node stop: kills all its ports (their `stop` runs) and frees it. */
void cop__bound_free(struct cop__bound *bound);

/*
 * What a kind of port does; all on the bound's thread.
 *   start     first of all
 *   message   a message sent to the port, any term
 *   stop      the port is ending (its owner died, it was killed or closed): let go of the handles.
 *             ctx is not valid any more after it returns; `data` is the port's own to free, now or
 *             when its last handle has closed.
 */
struct cop__port_ops {
    const char *name; /* shown in Port.info and in dumps, e.g. "tcp_inet" */
    void (*start)(cop_ctx *ctx, void *data);
    void (*message)(cop_ctx *ctx, void *data, cop_term message);
    void (*stop)(cop_ctx *ctx, void *data, cop_term reason);
};

/* Makes a port linked to its owner `owner` (pass cop_self for the caller) on that bound. `data` is
   handed to every callback. Called from inside any process or port. Raises :system_limit. */
cop_port cop__port_open(cop_ctx *ctx, struct cop__bound *bound, const struct cop__port_ops *ops,
                        void *data, cop_pid owner);

/* Around any work that the loop does for a port outside the callbacks above (e.g. a read callback).
   ctx is what the callbacks were given; it stays valid until `stop`. Between the two, terms may be
   built and messages sent in the port's name. leave may call `stop`. */
void cop__port_enter(cop_ctx *ctx);
void cop__port_leave(cop_ctx *ctx);
/* Ends the port after the callback (or at leave) with this exit reason. */
void cop__port_close(cop_ctx *ctx, cop_term reason);
/* The port of such a ctx. */
cop_port cop__port_self(cop_ctx *ctx);

/* Run at cop_node_stop, last registered first, before workers end; and what may be asked when a
   service must start with the first use. Host thread or process. */
void cop__node_at_stop(void (*stop)(void *arg), void *arg);
bool cop__node_is_simulated(void);
/* The group leader of processes that have no other, from now on. */
void cop__node_set_leader(cop_pid leader);

#endif
