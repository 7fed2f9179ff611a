/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COPPICE_GLOBAL_H
#define COPPICE_GLOBAL_H

#include <coppice/process.h>

/*
 * Global names: any term as the name of a process, Erlang's global. {:global, name} addresses it in calls,
 * casts, stops and sys, and registers a server as the start option `via`; {:via, :global, name} means the
 * same. A process may have several; they go with it. Names of this node only, as on a node that is
 * connected to no other.
 *
 * Name: anything cop_of takes
 */

bool cop__global_register_name(cop_ctx *ctx, cop_term name, cop_pid pid);
/* False if a live process has it. Erlang: :global.register_name/2. */
#define cop_global_register_name(ctx, name, pid)                          \
    ({                                                                    \
        cop_ctx *cop__gl = (ctx);                                         \
        cop__global_register_name(cop__gl, cop_of(cop__gl, name), (pid)); \
    })
void cop__global_unregister_name(cop_ctx *ctx, cop_term name);
/* Nothing if nobody has it. Erlang: :global.unregister_name/1. */
#define cop_global_unregister_name(ctx, name)                        \
    ({                                                               \
        cop_ctx *cop__gl = (ctx);                                    \
        cop__global_unregister_name(cop__gl, cop_of(cop__gl, name)); \
    })
cop_term cop__global_whereis_name(cop_ctx *ctx, cop_term name);
/* Its pid, or COP_NONE; asks no process. Erlang: :global.whereis_name/1. */
#define cop_global_whereis_name(ctx, name)                        \
    ({                                                            \
        cop_ctx *cop__gl = (ctx);                                 \
        cop__global_whereis_name(cop__gl, cop_of(cop__gl, name)); \
    })
cop_pid cop__global_send(cop_ctx *ctx, cop_term name, cop_term message);
/* Sends a message; returns the pid. Exits with {:badarg, {name, message}} if nobody has the name.
   Erlang: :global.send/2. */
#define cop_global_send(ctx, name, message)                                         \
    ({                                                                              \
        cop_ctx *cop__gl = (ctx);                                                   \
        cop__global_send(cop__gl, cop_of(cop__gl, name), cop_of(cop__gl, message)); \
    })
/* All names, a list. Erlang: :global.registered_names/0. */
cop_term cop_global_registered_names(cop_ctx *ctx);

#endif
