/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COPPICE_REGISTRY_H
#define COPPICE_REGISTRY_H

#include <coppice/supervisor.h>

/*
 * Registry: a table of this node's from keys to processes. A process registers itself under any term,
 * with a value; its entries go when it ends. For names ({:via, Registry, {registry, key}}), for
 * dispatch to all who registered under a key (pub/sub), and for locks.
 *
 * Reading and writing is done by the calling process on shared tables (coppice/table.h); the
 * registry's own processes, the partitions, only clean up after the dead and hand out locks. Keys
 * compare with ===. What a process has seen die (a DOWN, an EXIT) no lookup shows it any more.
 *
 * Errors of all functions: ArgumentError "unknown registry: Name" when it does not run.
 */

typedef enum cop_registry_keys {
    COP_REGISTRY_UNIQUE = 1,
    COP_REGISTRY_DUPLICATE, /* {:duplicate, :pid}: partitions by process; for few entries a key */
    COP_REGISTRY_DUPLICATE_KEY, /* {:duplicate, :key}: partitions by key; for many keys */
} cop_registry_keys;

/*
 * How to start one.
 *   keys        required
 *   name        required: the atom's text; with a capital an Elixir module's, "My.Names"
 *   partitions  0 = 1
 *   listeners   names of processes that are told of register and unregister, ended by NULL, or NULL:
 *               {:register, registry, key, pid, value}, {:unregister, registry, key, pid}. They are
 *               not told when a process ends: they monitor it
 *   meta        makes the first metadata, a keyword list; or NULL
 */
typedef struct cop_registry_opts {
    cop_registry_keys keys;
    const char *name;
    int64_t partitions;
    const char *const *listeners;
    cop_term (*meta)(cop_ctx *ctx);
} __attribute__((aligned(16))) cop_registry_opts;

/* The options of a constant child spec as its argument: a constant expression too. */
#define COP_REGISTRY_ARG(opts) ((cop_term){ (uint64_t)(uintptr_t)(opts) + COP__TAG_SMALL })

/*
 * Starts a registry: a supervisor of that name and its partitions.
 *
 *     static const cop_registry_opts names = { .keys = COP_REGISTRY_UNIQUE, .name = "My.Names" };
 *     static const cop_child_spec children[] = {
 *         { .id = "names", .start = cop_registry_start_link, .arg = COP_REGISTRY_ARG(&names),
 *           .type = COP_SUPERVISOR },
 *     };
 *
 * Elixir:  Registry.start_link/1
 * Options: COP_REGISTRY_ARG(a static cop_registry_opts *), or Elixir's keyword list: keys, name,
 *          partitions, listeners, meta, compressed (which changes nothing)
 * Returns: COP_STARTED, or COP_ERROR with {:already_started, pid}
 * Errors:  ArgumentError for a bad option, in the caller
 */
cop_started cop_registry_start_link(cop_ctx *ctx, cop_term options);
/* The same from options that need not be static. */
cop_started cop_registry_start(cop_ctx *ctx, const cop_registry_opts *opts);
/* A child spec with these options (as above); its id is the name, or Registry without one.
   Elixir: Registry.child_spec/1. */
cop_child_spec cop_registry_child_spec(cop_ctx *ctx, cop_term options);

/* ---- registering ------------------------------------------------------------------------------ */

typedef struct cop_registered {
    bool ok;
    cop_pid pid; /* ok: the partition that owns the entry, linked now; else who has the key */
} cop_registered;

cop_registered cop__registry_register(cop_ctx *ctx, cop_atom registry, cop_term key,
                                      cop_term value);
void cop__registry_unregister(cop_ctx *ctx, cop_atom registry, cop_term key);
void cop__registry_unregister_match(cop_ctx *ctx, cop_atom registry, cop_term key, cop_term pattern,
                                    cop_term guards);
/*
 * Registers the calling process.
 *
 * Elixir:  Registry.register/3: {:ok, owner} | {:error, {:already_registered, pid}}
 * Key, value: anything cop_of takes
 * Returns: not ok only in a unique registry, when a live process (perhaps the caller) has the key
 * Errors:  :badarg when a listener's name is not registered; the entry is made all the same
 * Context: links the caller with the partition: each ends with the other
 */
#define cop_registry_register(ctx, registry, key, value)                                           \
    ({                                                                                             \
        cop_ctx *cop__rg = (ctx);                                                                  \
        cop__registry_register(cop__rg, (registry), cop_of(cop__rg, key), cop_of(cop__rg, value)); \
    })
/* Removes all entries of the caller under a key; tells listeners, even if there was none.
   Elixir: Registry.unregister/2. */
#define cop_registry_unregister(ctx, registry, key)                          \
    ({                                                                       \
        cop_ctx *cop__rg = (ctx);                                            \
        cop__registry_unregister(cop__rg, (registry), cop_of(cop__rg, key)); \
    })
/* Removes those of them whose value matches; pattern and guards as in coppice/match_spec.h, guards a
   list. Listeners are told when none is left. Elixir: Registry.unregister_match/4. */
#define cop_registry_unregister_match(ctx, registry, key, pattern, guards)                 \
    ({                                                                                     \
        cop_ctx *cop__rg = (ctx);                                                          \
        cop__registry_unregister_match(cop__rg, (registry), cop_of(cop__rg, key),          \
                                       cop_of(cop__rg, pattern), cop_of(cop__rg, guards)); \
    })

bool cop__registry_update_value(cop_ctx *ctx, cop_atom registry, cop_term key, cop_term fun,
                                cop_term *new_value, cop_term *old_value);
/*
 * Gives the caller's entry under a key the value fun(old); outputs may be NULL.
 *
 * Elixir:  Registry.update_value/3: {new, old} | :error
 * Fun:     a fun of one argument, called by the caller
 * Returns: false when the caller has no such entry
 * Errors:  ArgumentError in a duplicate registry
 */
#define cop_registry_update_value(ctx, registry, key, fun, new_value, old_value)                  \
    ({                                                                                            \
        cop_ctx *cop__rg = (ctx);                                                                 \
        cop__registry_update_value(cop__rg, (registry), cop_of(cop__rg, key), (fun), (new_value), \
                                   (old_value));                                                  \
    })

/* ---- looking up --------------------------------------------------------------------------------- */

cop_term cop__registry_lookup(cop_ctx *ctx, cop_atom registry, cop_term key);
cop_term cop__registry_match(cop_ctx *ctx, cop_atom registry, cop_term key, cop_term pattern,
                             cop_term guards);
int64_t cop__registry_count_match(cop_ctx *ctx, cop_atom registry, cop_term key, cop_term pattern,
                                  cop_term guards);
cop_term cop__registry_values(cop_ctx *ctx, cop_atom registry, cop_term key, cop_pid pid);
cop_term cop__registry_whereis(cop_ctx *ctx, cop_atom registry, cop_term key);
/* [{pid, value}]: the live processes under a key; with one partition in the order in which they
   registered. Elixir: Registry.lookup/2. */
#define cop_registry_lookup(ctx, registry, key)                          \
    ({                                                                   \
        cop_ctx *cop__rg = (ctx);                                        \
        cop__registry_lookup(cop__rg, (registry), cop_of(cop__rg, key)); \
    })
/* The live process that has a key of a unique registry, a pid as a term; or COP_NONE.
   Elixir: Registry.whereis_name/1. */
#define cop_registry_whereis(ctx, registry, key)                          \
    ({                                                                    \
        cop_ctx *cop__rg = (ctx);                                         \
        cop__registry_whereis(cop__rg, (registry), cop_of(cop__rg, key)); \
    })
/*
 * Those of them whose value matches a pattern.
 *
 * Elixir:  Registry.match/4
 * Pattern, guards: see coppice/match_spec.h; guards is a list, COP_NIL for none
 * Errors:  ArgumentError for what is no pattern or guard
 */
#define cop_registry_match(ctx, registry, key, pattern, guards)                                  \
    ({                                                                                           \
        cop_ctx *cop__rg = (ctx);                                                                \
        cop__registry_match(cop__rg, (registry), cop_of(cop__rg, key), cop_of(cop__rg, pattern), \
                            cop_of(cop__rg, guards));                                            \
    })
/* How many there are of them. Elixir: Registry.count_match/4. */
#define cop_registry_count_match(ctx, registry, key, pattern, guards)                 \
    ({                                                                                \
        cop_ctx *cop__rg = (ctx);                                                     \
        cop__registry_count_match(cop__rg, (registry), cop_of(cop__rg, key),          \
                                  cop_of(cop__rg, pattern), cop_of(cop__rg, guards)); \
    })
/* The values of one process under a key. Elixir: Registry.values/3. */
#define cop_registry_values(ctx, registry, key, pid)                            \
    ({                                                                          \
        cop_ctx *cop__rg = (ctx);                                               \
        cop__registry_values(cop__rg, (registry), cop_of(cop__rg, key), (pid)); \
    })
/* The keys of a process, each as often as it registered it. Elixir: Registry.keys/2. */
cop_term cop_registry_keys_of(cop_ctx *ctx, cop_atom registry, cop_pid pid);
/* How many entries there are, also of processes that have just died. Elixir: Registry.count/1. */
int64_t cop_registry_count(cop_ctx *ctx, cop_atom registry);
/*
 * Reads all entries by a match specification whose heads are {key, pid, value}.
 *
 * Elixir:  Registry.select/2, count_select/2 (how often the result is true)
 * Errors:  ArgumentError for another head, and for what is no specification
 */
cop_term cop_registry_select(cop_ctx *ctx, cop_atom registry, cop_term spec);
int64_t cop_registry_count_select(cop_ctx *ctx, cop_atom registry, cop_term spec);

/* ---- dispatch ----------------------------------------------------------------------------------- */

typedef struct cop_dispatch_opts {
    bool parallel; /* a process for each partition, linked to the caller, which waits for all */
} cop_dispatch_opts;

void cop__registry_dispatch(cop_ctx *ctx, cop_atom registry, cop_term key, cop_term fun_or_mfa,
                            const cop_dispatch_opts *opts);
/*
 * Calls fun([{pid, value}]) with the entries under a key: once, or in a COP_REGISTRY_DUPLICATE
 * registry once for each partition that has some. Never with none.
 *
 * Elixir:  Registry.dispatch/4
 * Fun:     a fun of one argument, or {module, function, args}: apply(module, function, [entries |
 *          args]). What it returns is ignored
 * Opts:    NULL for none; parallel makes a difference only with several partitions by process
 * Errors:  what fun raises; in parallel the caller exits with it
 */
#define cop_registry_dispatch(ctx, registry, key, fun_or_mfa, opts)                              \
    ({                                                                                           \
        cop_ctx *cop__rg = (ctx);                                                                \
        cop__registry_dispatch(cop__rg, (registry), cop_of(cop__rg, key), (fun_or_mfa), (opts)); \
    })

/* ---- metadata and locks ----------------------------------------------------------------------- */

/* Metadata of the registry; keys are atoms or tuples, else FunctionClauseError. Visible to all; the
   last write wins; lives as long as the registry. Elixir: Registry.meta/2, put_meta/3, delete_meta/2. */
bool cop_registry_meta(cop_ctx *ctx, cop_atom registry, cop_term key, cop_term *value);
void cop_registry_put_meta(cop_ctx *ctx, cop_atom registry, cop_term key, cop_term value);
void cop_registry_delete_meta(cop_ctx *ctx, cop_atom registry, cop_term key);

/*
 * Runs fun() in the caller while it holds a lock; returns what fun returns.
 *
 * Elixir:  Registry.lock/3
 * Key:     any term; apart from the keys of entries
 * Errors:  exits with {:timeout, ...} after 5 seconds of waiting. Not reentrant
 * Context: first come, first served; released however fun or the caller ends
 */
cop_term cop_registry_lock(cop_ctx *ctx, cop_atom registry, cop_term key, cop_term fun);
/* Waits until the partitions have handled what they have been told so far: the ends of processes. */
void cop_registry_sync(cop_ctx *ctx, cop_atom registry);

/* ---- names ---------------------------------------------------------------------------------------- */

cop_term cop__registry_via(cop_ctx *ctx, cop_atom registry, cop_term key);
cop_term cop__registry_via_value(cop_ctx *ctx, cop_atom registry, cop_term key, cop_term value);
/*
 * {:via, Registry, {registry, key}}, or with a value {registry, key, value}: a name wherever a server is
 * named: cop_start_opts.via, cop_gen_server_call ... Elixir writes it out.
 */
#define cop_registry_via(ctx, registry, key)                          \
    ({                                                                \
        cop_ctx *cop__rg = (ctx);                                     \
        cop__registry_via(cop__rg, (registry), cop_of(cop__rg, key)); \
    })
#define cop_registry_via_value(ctx, registry, key, value)                  \
    ({                                                                     \
        cop_ctx *cop__rg = (ctx);                                          \
        cop__registry_via_value(cop__rg, (registry), cop_of(cop__rg, key), \
                                cop_of(cop__rg, value));                   \
    })
/*
 * What {:via, Registry, name} stands on; name is {registry, key} or {registry, key, value}. Any module
 * (coppice/module.h) that exports register_name/2, unregister_name/1, whereis_name/1 and send/2 can
 * stand in the place of Registry.
 *
 * Elixir:  Registry.register_name/2 (:yes | :no), unregister_name/1, whereis_name/1, send/2
 * Errors:  ArgumentError in a duplicate registry; FunctionClauseError for another name, and for a pid
 *          that is not the caller's; send raises :badarg when nobody has the name
 */
bool cop_registry_register_name(cop_ctx *ctx, cop_term name, cop_pid pid);
void cop_registry_unregister_name(cop_ctx *ctx, cop_term name);
cop_term cop_registry_whereis_name(cop_ctx *ctx, cop_term name); /* a pid, or COP_NONE */
void cop_registry_send(cop_ctx *ctx, cop_term name, cop_term message);

#endif
