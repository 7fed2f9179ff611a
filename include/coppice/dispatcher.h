/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COPPICE_DISPATCHER_H
#define COPPICE_DISPATCHER_H

#include <coppice/events.h>
#include <coppice/process.h>

/*
 * GenStage.Dispatcher: who of a producer's consumers gets which event, and how much of their demand
 * reaches the producer. A dispatcher is a table of callbacks with a state; it runs inside the stage.
 *
 * The state is a C struct of state_size bytes, zeroed, that ends with the stage. Its first state_terms
 * words are terms and kept alive, as those of a gen_server are. What has no fixed size:
 *   events that wait        a cop_queue (coppice/events.h) among the terms
 *   tables of plain data    cop_alloc memory; it goes with the process. Local pids and references made
 *                           on this node are in their word (cop_is_immediate) and may stand in it
 *   any other term in them  cop_term_save, released by what cop_own was given
 * A dispatcher and its stage do not see each other's state.
 *
 * Errors: a callback that raises (cop_raise, cop_error, cop_exit) ends the stage with that reason; in
 * init its start fails so. Only subscribe has an answer of its own for what it does not want.
 *
 * `from` is the pair {consumer_pid, tag} of the subscription, taken apart by
 * cop_match_tuple(from.t, &pid, &tag), where tag is any term, usually a reference.
 */

/* What subscribe returns; made by the functions below. A zeroed one is {:ok, 0, state}. */
typedef struct cop_subscribed {
    int64_t demand;
    cop_term error; /* COP_NONE: none */
} cop_subscribed;

/* {:ok, demand, state}: so many events more are asked from the producer. */
static inline cop_subscribed cop_subscribe_ok(int64_t demand) {
    return (cop_subscribed){ .demand = demand };
}
/* {:error, why}: the stage cancels the subscription with {:cancel, why}, and calls cancel for it. */
#define cop_subscribe_error(why) ((cop_subscribed){ .error = COP_TERM(why) })

/*
 * The table. Each demand that is returned must be one that dispatch can deliver: the stage feeds that
 * many events of its buffer straight back, and then asks the producer for what is missing.
 *   name       the module's name, "GenStage.DemandDispatcher": dispatcher_mod in :sys.get_state
 *   init       opts is the list that was given with the dispatcher, [] if none. NULL: nothing to do
 *   subscribe  after the producer's handle_subscribe; opts are all of the subscription's options
 *   ask        a consumer asks for n more, n > 0. Returns the demand for the producer, >= 0
 *   dispatch   events has one at least. Sends them (cop_dispatcher_send) and returns those that are left:
 *              a part of the view, or one of its own. They wait in the stage's buffer, in that order, and
 *              come again when there is demand
 *   cancel     the subscription was cancelled, or its consumer is down. Returns the demand that comes free
 *   info       sync_info or async_info of the stage. To be sent to self once all events that wait in the
 *              dispatcher are out. NULL: is sent at once, for a dispatcher where none wait
 *   room       beyond GenStage: how many events dispatch would deliver now. With it the stage serves its
 *              buffer as far as that goes when a consumer asks or goes, so that nothing overtakes what
 *              waits there, and asks the producer for what then is missing and was not asked for, so
 *              that nobody waits for ever. NULL: both go by the returned demand alone, as in GenStage
 *   state_to_term    the state for :sys.get_state; NULL: its terms as a tuple
 *   state_from_term  its inverse, for :sys.replace_state, true if it is one; NULL: the state stays
 * ask and cancel are only called for subscriptions that subscribe has seen (one that it refused too).
 *
 * Elixir:  the behaviour GenStage.Dispatcher (gen_stage: lib/gen_stage/dispatcher.ex)
 */
typedef struct cop_dispatcher {
    const char *name;
    size_t state_size;
    size_t state_terms;
    void (*init)(cop_ctx *ctx, void *state, cop_term opts);
    cop_subscribed (*subscribe)(cop_ctx *ctx, void *state, cop_term opts, cop_from from);
    int64_t (*ask)(cop_ctx *ctx, void *state, int64_t n, cop_from from);
    cop_events (*dispatch)(cop_ctx *ctx, void *state, cop_events events);
    int64_t (*cancel)(cop_ctx *ctx, void *state, cop_from from);
    void (*info)(cop_ctx *ctx, void *state, cop_term message);
    int64_t (*room)(cop_ctx *ctx, const void *state);
    cop_term (*state_to_term)(cop_ctx *ctx, const void *state);
    bool (*state_from_term)(cop_ctx *ctx, void *state, cop_term term);
} cop_dispatcher;

/*
 * Sends events to a consumer, as one message. To be called by dispatchers; also with no events.
 *
 * Message: {:"$gen_consumer", {self, tag}, [event, ...]}
 * Context: never waits; does not connect to a node that is down
 */
void cop_dispatcher_send(cop_ctx *ctx, cop_from to, cop_events events);
/* Calls info, or does what NULL stands for. */
void cop_dispatcher_info(cop_ctx *ctx, const cop_dispatcher *dispatcher, void *state,
                         cop_term message);

/* ---- the dispatchers there are -------------------------------------------------------------------- */

/*
 * Each batch goes to the consumer that has asked for most, as much as it has asked for, the rest to the
 * next; among equals to the one that has waited longest. The default of a producer.
 *
 * Elixir:  GenStage.DemandDispatcher
 * Opts:    max_demand: n, above which a demand is warned of (the size of the first one);
 *          shuffle_demands_on_first_dispatch: bool (false)
 */
extern const cop_dispatcher cop_demand_dispatcher;

/*
 * Each event goes to every consumer; so the demand is that of the consumer that has asked for least. A
 * process can subscribe once.
 *
 * Elixir:       GenStage.BroadcastDispatcher
 * Subscription: selector: a fun of one argument, true of the events that this consumer wants
 */
extern const cop_dispatcher cop_broadcast_dispatcher;

/*
 * A hash says to which partition an event belongs; each partition has one consumer.
 *
 * Elixir:       GenStage.PartitionDispatcher
 * Opts:         partitions: how many (names 0 to n - 1), or an enumerable of their names; required.
 *               hash: a fun of one argument, that returns {event, partition} or :none, which drops the
 *               event; or what cop_partition_hash makes of a C function. Without it, where all names are
 *               integers, {event, phash2(event, number)}.
 *               bad_subscription: what one with a wrong or taken partition ends: :raise, as in GenStage,
 *               the producer; :refuse only itself, with {:cancel, {:bad_opts, text}}
 * Subscription: partition: its name; required
 */
extern const cop_dispatcher cop_partition_dispatcher;

/* The place of an event's partition: 0 is the first of the names, in the order in which they were given;
   COP_NO_PARTITION drops the event. */
typedef int64_t (*cop_partition_of)(cop_ctx *ctx, cop_term event);
enum { COP_NO_PARTITION = -1 };
/*
 * A hash that is a plain C function: no term is built for an event, and the event itself is sent.
 *
 *     cop_list(ctx, cop_tuple(ctx, cop_a(partitions), 2),
 *              cop_tuple(ctx, cop_a(hash), cop_partition_hash(ctx, parity)))
 *
 * Returns: the value of `hash`. It is a fun of one argument, which returns {event, place} or :none
 * Errors:  a place that there is not ends the producer, as an unknown name does
 */
cop_term cop_partition_hash(cop_ctx *ctx, cop_partition_of place);

#endif
