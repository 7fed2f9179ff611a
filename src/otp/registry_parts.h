/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__OTP_REGISTRY_PARTS_H
#define COP__OTP_REGISTRY_PARTS_H

#include <coppice/module.h>
#include <coppice/registry.h>
#include <coppice/table.h>

/*
 * What the files of the registry share. A registry's own table has its name and these rows, of
 * nobody's; metadata stands in it too, under atoms and tuples:
 *
 *     -2        {keys, partitions, table of partition 0, are there listeners?}
 *     -1        listeners
 *     0..N-1    {the partition's pid, its table}
 */
enum { REGISTRY_INFO = -2, REGISTRY_LISTENERS = -1 };

struct registry {
    cop_atom name;
    cop_table own; /* the table of that name */
    int keys;      /* cop_registry_keys */
    int64_t partitions;
    bool has_listeners;
    cop_table first; /* the table of partition 0; in a unique registry all entries are there */
};

/* Reads it; raises ArgumentError when no such registry runs. */
struct registry registry_of(cop_ctx *ctx, cop_atom name);
/* A row of information was written: what is remembered of others may be old. */
void registry_changed(void);
/* A partition: its process (may be NULL) and its table. */
cop_table registry_partition(cop_ctx *ctx, const struct registry *r, int64_t index, cop_pid *pid);
/* Which one is for this term. */
int64_t registry_index(const struct registry *r, cop_term t);
_Noreturn void registry_unknown(cop_ctx *ctx, cop_atom name, const char *more);

/* Starts a partition; in the supervisor. arg: {name, index, keys, partitions}. */
cop_started registry_partition_start(cop_ctx *ctx, cop_term arg);
/* The name of a partition's process. */
cop_atom registry_partition_name(cop_ctx *ctx, cop_atom registry, int64_t index);

/* ---- registry_start.c ---- */
extern const cop_module registry_module;

#endif
