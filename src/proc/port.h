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
/*
 * On the bound's thread, at node stop: kills all its ports; they are gone (their `stop` ran) when the
 * node counts none, for which the loop goes on until then: one may be on its way from who pushed it. After the end
 * it has no thread and nothing runs; it can begin again. It is not freed, for who pushed a port still touches it.
 */
void cop__bound_kill(struct cop__bound *bound);
void cop__bound_end(struct cop__bound *bound);

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
   handed to every callback; if the caller has made it its own (cop_own, so that it is not lost when the caller is
   killed on its way here), it is the port's from here on. Called from inside any process or port. COP_NONE in a
   full table: then `data` is still the caller's. */
cop_port cop__port_open(cop_ctx *ctx, struct cop__bound *bound, const struct cop__port_ops *ops,
                        void *data, cop_pid owner);

/* Around any work that the loop does for a port outside the callbacks above (e.g. a read callback).
   ctx is what the callbacks were given; it stays valid until `stop`. Between the two, terms may be
   built and messages sent in the port's name. leave may call `stop`. */
void cop__port_enter(cop_ctx *ctx);
void cop__port_leave(cop_ctx *ctx);
/* Ends the port after the callback (or at leave) with this exit reason. */
void cop__port_close(cop_ctx *ctx, cop_term reason);
bool cop__port_is_ending(const cop_ctx *ctx);
/* The port of such a ctx. */
cop_port cop__port_self(cop_ctx *ctx);

/* Another owner, who becomes linked; the link of the last one stays. The owner's end closes the port,
   whatever its reason; the :normal end of others that are linked does not. One that is gone closes it
   with :noproc. */
void cop__port_own(cop_ctx *ctx, cop_pid owner);
/* Sent when the port has ended and its links and monitors were told. The first one counts. */
void cop__port_last_word(cop_ctx *ctx, cop_pid to, cop_term message);
/* Is it a port that lives? A process that could own one? Any thread. */
bool cop__port_is_open(cop_port port);
bool cop__port_may_have(cop_pid owner);
/* An item of Process.info about the port itself. */
cop_term cop__port_item(cop_ctx *ctx, cop_atom item);

/*
 * Back-pressure from a port to its senders. At most `length` messages {_, {:command, _}} wait in its
 * mailbox, and while it is busy none is put there: who sends one waits. All other messages pass.
 */
void cop__port_limit_commands(cop_ctx *ctx, size_t length);
void cop__port_set_busy(cop_ctx *ctx, bool busy);
bool cop__port_has_waiters(const cop_ctx *ctx);
/* Would who sends a command wait now? Any thread. */
bool cop__port_is_busy(cop_port port);
/* And to a port from the process that it floods: asks for the bytes of the port's own messages that
   wait in its mailbox. The answer comes as a message, {ref, {bytes}}, or {ref, nil} from the dead. */
cop_ref cop__port_ask_unread(cop_ctx *ctx, cop_pid pid);

/* Run at cop_node_stop, last registered first, before workers end; and what may be asked when a
   service must start with the first use. Host thread or process. */
void cop__node_at_stop(void (*stop)(void *arg), void *arg);
bool cop__node_is_simulated(void);
/* The group leader of processes that have no other, from now on. */
void cop__node_set_leader(cop_pid leader);

#endif
