/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COPPICE_GEN_H
#define COPPICE_GEN_H

#include <coppice/process.h>

/*
 * Requests and replies between processes, the ground that gen_server's calls stand on; for behaviours
 * of one's own. A request is {label, {pid, tag}, request}; the pair is what a reply needs to know.
 */

/*
 * Sends a request to a process and monitors it, both in one signal.
 *
 * Erlang:  :gen.send_request/3, with the monitor's options that :gen.call/4 uses
 * alias:   the tag is [:alias | ref], and ref an alias that the reply goes through, so that one that
 *          comes after cop_gen_abandon is dropped. Else the tag is ref itself
 * Returns: ref, for cop_gen_receive
 * Context: inside a process; does not wait
 */
cop_ref cop__gen_request(cop_ctx *ctx, cop_pid to, cop_atom label, cop_term request, bool alias);
#define cop_gen_request(ctx, to, label, request, alias)                              \
    ({                                                                               \
        cop_ctx *cop__gn = (ctx);                                                    \
        cop__gen_request(cop__gn, (to), (label), cop_of(cop__gn, request), (alias)); \
    })

/*
 * Waits for what answers a request. After it the monitor is gone.
 * Message: {tag, reply}, or {:DOWN, ref, :process, pid, reason} when the process has ended
 * Returns: false when timeout_ms have passed: the request is abandoned, and a late reply is dropped if
 *          it comes through an alias
 */
bool cop_gen_receive(cop_ctx *ctx, cop_ref request, int64_t timeout_ms, cop_term *message);

/*
 * Answers a request: sends {tag, reply} to whom `from`, a pair {pid, tag}, names.
 * Elixir:  GenServer.reply/2
 * Errors:  raises :badarg for what is no such pair
 * Context: any process, not only the one that was asked
 */
void cop__gen_reply(cop_ctx *ctx, cop_term from, cop_term reply);
#define cop_gen_reply(ctx, from, reply)                                  \
    ({                                                                   \
        cop_ctx *cop__gn = (ctx);                                        \
        cop__gen_reply(cop__gn, COP_TERM(from), cop_of(cop__gn, reply)); \
    })

/*
 * Sends {label, {self, tag}, what}: a request that nobody waits for. `_list`: what is a list of n elements, which
 * stand in an array; it is built in the message itself.
 *
 * To:      as of cop_send; tag: any term; flags: of cop_process_send
 * Returns: as cop_process_send does
 * Context: inside a process; does not wait
 */
cop_term cop__gen_send(cop_ctx *ctx, cop_term to, cop_atom label, cop_term tag, cop_term what,
                       int flags);
#define cop_gen_send(ctx, to, label, tag, what, flags)                                      \
    ({                                                                                      \
        cop_ctx *cop__gn = (ctx);                                                           \
        cop__gen_send(cop__gn, COP_TERM(to), (label), COP_TERM(tag), cop_of(cop__gn, what), \
                      (flags));                                                             \
    })
cop_term cop_gen_send_list(cop_ctx *ctx, cop_term to, cop_atom label, cop_term tag, size_t n,
                           const cop_term *elems, int flags);

#endif
