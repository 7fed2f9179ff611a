/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COPPICE_PARTITION_SUPERVISOR_H
#define COPPICE_PARTITION_SUPERVISOR_H

#include <coppice/supervisor.h>

/*
 * PartitionSupervisor: a supervisor of several children made from one specification, the partitions,
 * 0 to n - 1, among which callers are distributed by a key: an integer k goes to |k| rem n, any other term
 * to phash2(term, n). A process that would be a bottleneck becomes several.
 */

/*
 *   name            required
 *   child_spec      required, unless child_term is given; its id is replaced by the partition's number
 *   child_term      a map, a module or {module, arg} in its place
 *   partitions      0 = as many as the node has schedulers
 *   with_argument   makes a partition's argument from the specification's: its arg, or for child_term its
 *                   list of arguments; NULL = the same for all
 *   strategy, max_restarts, max_seconds, timeline   as for a Supervisor
 */
typedef struct cop_partition_supervisor_opts {
    cop_atom name;
    const cop_child_spec *child_spec;
    cop_term child_term;
    int64_t partitions;
    cop_term (*with_argument)(cop_ctx *ctx, cop_term arg, int64_t partition);
    cop_strategy strategy;
    int64_t max_restarts;
    int64_t max_seconds;
    int64_t timeline;
} cop_partition_supervisor_opts;

/*
 * Starts one.
 *
 * Elixir:  PartitionSupervisor.start_link/1
 * Returns: as a Supervisor's start
 * Errors:  raises Elixir's ArgumentErrors: no name, no child_spec, a bad number of partitions
 */
cop_started cop_partition_supervisor_start_link(cop_ctx *ctx,
                                                const cop_partition_supervisor_opts *opts);
/* From Elixir's keyword list; with_arguments: a fun of a list of arguments and the partition's number, which
   returns a list. auto_shutdown may only be :never. */
cop_started cop_partition_supervisor_start_link_terms(cop_ctx *ctx, cop_term options);
/* Elixir: PartitionSupervisor.child_spec/1; options a keyword list. */
cop_term cop_partition_supervisor_child_spec(cop_ctx *ctx, cop_term options);
/*
 * The pid of the partition that a key belongs to, or COP_NONE when it is not running. Asks no process.
 *
 * Elixir:  GenServer.whereis({:via, PartitionSupervisor, {name, key}})
 * Key:     anything cop_of takes
 * Errors:  exits the caller with {:noproc, {PartitionSupervisor, :partitions, [name]}} when there is none of
 *          that name; raises an ArgumentError while it has no partitions
 */
#define cop_partition_supervisor_whereis(ctx, name, key)                          \
    ({                                                                            \
        cop_ctx *cop__pc = (ctx);                                                 \
        cop__partition_supervisor_whereis(cop__pc, (name), cop_of(cop__pc, key)); \
    })
cop_term cop__partition_supervisor_whereis(cop_ctx *ctx, cop_atom name, cop_term key);
/* {:via, PartitionSupervisor, {name, key}}: a server's address, as GenServer.call takes it. */
#define cop_partition_supervisor_via(ctx, name, key)                         \
    ({                                                                       \
        cop_ctx *cop__pc = (ctx);                                            \
        cop_tuple(cop__pc, cop_a(via), cop_as("Elixir.PartitionSupervisor"), \
                  cop_tuple(cop__pc, (name), key));                          \
    })
/* How many; exits as above when there is none. Elixir: PartitionSupervisor.partitions/1. */
int64_t cop_partition_supervisor_partitions(cop_ctx *ctx, cop_atom name);
/*
 * Starts or stops partitions until there are so many, at most as many as it started with; returns how many
 * there were.
 *
 * Elixir:  PartitionSupervisor.resize!/2
 * Errors:  an ArgumentError for another number; a RuntimeError when a partition does not start
 * Context: one at a time: whoever resizes it while another does may find half of it done
 */
int64_t cop_partition_supervisor_resize(cop_ctx *ctx, cop_atom name, int64_t partitions);
/* [{partition, pid | :undefined | :restarting, type, modules}] */
#define cop_partition_supervisor_which_children(ctx, name) \
    cop_supervisor_which_children((ctx), (name))
#define cop_partition_supervisor_count_children(ctx, name) \
    cop_supervisor_count_children((ctx), (name))
/* Elixir: PartitionSupervisor.stop/3. */
#define cop_partition_supervisor_stop(ctx, name, reason, timeout_ms) \
    cop_gen_server_stop((ctx), (name), (reason), (timeout_ms))

#endif
