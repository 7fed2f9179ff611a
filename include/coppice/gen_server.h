/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COPPICE_GEN_SERVER_H
#define COPPICE_GEN_SERVER_H

#include <coppice/proc_lib.h>

/*
 * GenServer: a process around a state, driven by calls, casts, messages, time-outs and continues.
 * Its messages are Erlang's, so that any Erlang or Elixir node may be the client or the server.
 */

enum cop__next_is { COP__NOREPLY, COP__REPLY, COP__STOP, COP__STOP_REPLY };
enum cop__then { COP__THEN_WAIT, COP__THEN_TIMEOUT, COP__THEN_HIBERNATE, COP__THEN_CONTINUE };

/* What a handler returns; made by the functions below. A zeroed one is {:noreply, state}. */
typedef struct cop_next {
    uint8_t is;
    uint8_t then;
    int64_t timeout_ms;
    cop_term reply;
    cop_term reason;
    cop_term continue_with;
} cop_next;

/* What init returns. A zeroed one is {:ok, state}. */
typedef struct cop_init {
    enum { COP__INIT_OK, COP__INIT_IGNORE, COP__INIT_STOP, COP__INIT_ERROR } is;
    uint8_t then;
    int64_t timeout_ms;
    cop_term reason;
    cop_term continue_with;
} cop_init;

/*
 * The table of a server. NULL is Elixir's default for each callback.
 *   name            the module's name: in reports, and in $initial_call
 *   state_size      bytes of the state, zeroed, freed with the process
 *   state_terms     how many words at its beginning are terms to be kept alive
 *   init            required
 *   handle_call     NULL: a call ends the server with Elixir's RuntimeError; handle_cast likewise
 *   handle_info     NULL: logs an error and goes on
 *   handle_continue NULL: a continue ends the server with :undef
 *   terminate       before the end, if the end comes from a callback, from stop, or from the parent's
 *                   exit signal while trapping exits. Not after a fault (a SIGSEGV ...): the state may
 *                   be torn.
 *   state_to_term   the state for :sys.get_state and reports; NULL: its terms as a tuple
 *   state_from_term its inverse, for :sys.replace_state; NULL: that is refused, unless the state consists
 *                   of terms only and state_to_term is NULL
 *   code_change     changes the state for another version of the code (:sys.change_code): :ok; anything
 *                   else is the error. NULL: :ok
 *   format_status   what get_status and the report of a crash show: given %{state: ..., log: ...}, in a
 *                   report message and reason too, returns that map changed
 *   redact          beyond Elixir: given one term at a time, and what it is (:state, :message or :reason;
 *                   for proc_lib's crash report also :dictionary and :label), returns what may be shown of
 *                   it, in get_status, reports, logged and traced events. What links and monitors get is
 *                   the reason itself. When it raises, :redacted is shown
 *   report_max_words  a state, message, reason or log that has more words is shown in a report as the
 *                   beginning of its text; 0 = 65536
 *   status_data     the rows of the last {:data, list} of get_status; `shown` is the state as
 *                   format_status and redact show it. NULL: [{'State', shown}]
 *   status_more     a list of further items of get_status, behind that one. NULL: none
 * A server that keeps terms outside of its state may set range 1 of cop_process_keep.
 */
typedef struct cop_gen_server {
    const char *name;
    size_t state_size;
    size_t state_terms;
    cop_init (*init)(cop_ctx *ctx, void *state, cop_term arg);
    cop_next (*handle_call)(cop_ctx *ctx, void *state, cop_term request, cop_from from);
    cop_next (*handle_cast)(cop_ctx *ctx, void *state, cop_term request);
    cop_next (*handle_info)(cop_ctx *ctx, void *state, cop_term message);
    cop_next (*handle_continue)(cop_ctx *ctx, void *state, cop_term with);
    void (*terminate)(cop_ctx *ctx, void *state, cop_term reason);
    cop_term (*state_to_term)(cop_ctx *ctx, const void *state);
    bool (*state_from_term)(cop_ctx *ctx, void *state, cop_term term);
    cop_term (*code_change)(cop_ctx *ctx, void *state, cop_term old_vsn, cop_term extra);
    cop_term (*format_status)(cop_ctx *ctx, cop_term status);
    cop_redact redact;
    size_t report_max_words;
    cop_term (*status_data)(cop_ctx *ctx, const void *state, cop_term shown);
    cop_term (*status_more)(cop_ctx *ctx, const void *state);
} cop_gen_server;

/* ---- what init returns ------------------------------------------------------------------- */

static inline cop_init cop_init_ok(void) { return (cop_init){ .is = COP__INIT_OK }; }
static inline cop_init cop_init_ignore(void) { return (cop_init){ .is = COP__INIT_IGNORE }; }
/* {:stop, reason}: the process exits with reason. */
#define cop_init_stop(why) ((cop_init){ .is = COP__INIT_STOP, .reason = COP_TERM(why) })
/* {:error, reason}: the start fails, the process exits :normal. */
#define cop_init_error(why) ((cop_init){ .is = COP__INIT_ERROR, .reason = COP_TERM(why) })

/* ---- what handlers return ------------------------------------------------------------------ */

static inline cop_next cop_noreply(void) { return (cop_next){ .is = COP__NOREPLY }; }
/* {:reply, x, state}; x is anything cop_of takes. */
#define cop_reply(ctx, x)                                            \
    ({                                                               \
        cop_ctx *cop__rc = (ctx);                                    \
        (cop_next){ .is = COP__REPLY, .reply = cop_of(cop__rc, x) }; \
    })
/* {:stop, reason, state} */
#define cop_stop(why) ((cop_next){ .is = COP__STOP, .reason = COP_TERM(why) })
/* {:stop, reason, reply, state}: terminate runs first, then the reply is sent. */
#define cop_stop_reply(ctx, why, x)                                                                \
    ({                                                                                             \
        cop_ctx *cop__rc = (ctx);                                                                  \
        (cop_next){ .is = COP__STOP_REPLY, .reason = COP_TERM(why), .reply = cop_of(cop__rc, x) }; \
    })

cop_next cop__next_timeout(cop_next next, int64_t ms);
cop_init cop__init_timeout(cop_init init, int64_t ms);
cop_next cop__next_hibernate(cop_next next);
cop_init cop__init_hibernate(cop_init init);
cop_next cop__next_continue(cop_next next, cop_term with);
cop_init cop__init_continue(cop_init init, cop_term with);
/* After it: when no message comes for ms (0 too), handle_info gets :timeout. */
#define cop_then_timeout(x, ms) \
    _Generic((x), cop_next : cop__next_timeout, cop_init : cop__init_timeout)((x), (ms))
/* After it: hibernate until the next message. */
#define cop_then_hibernate(x) \
    _Generic((x), cop_next : cop__next_hibernate, cop_init : cop__init_hibernate)(x)
/* After it, before any other message: handle_continue(with). */
#define cop_then_continue(x, with) \
    _Generic((x), cop_next : cop__next_continue, cop_init : cop__init_continue)((x), COP_TERM(with))

/* What to return for a request that is not known: ends the server as Elixir's default does. */
_Noreturn cop_next cop_bad_call(cop_ctx *ctx, cop_term request);
_Noreturn cop_next cop_bad_cast(cop_ctx *ctx, cop_term request);

/* ---- starting --------------------------------------------------------------------------------- */

/*
 * Starts a server and waits for its init.
 *
 * Elixir:  GenServer.start_link/3, start/3; :gen_server.start_monitor/3
 * Returns: COP_STARTED; COP_IGNORE; COP_ERROR with {:already_started, pid}, :timeout, init's reason,
 *          or {exception, stacktrace}
 * Context: waits for init; a linked caller that does not trap exits dies with a failing init
 */
cop_started cop_gen_server_start_link(cop_ctx *ctx, const cop_gen_server *module, cop_term arg,
                                      const cop_start_opts *opts);
cop_started cop_gen_server_start(cop_ctx *ctx, const cop_gen_server *module, cop_term arg,
                                 const cop_start_opts *opts);
cop_started cop_gen_server_start_monitor(cop_ctx *ctx, const cop_gen_server *module, cop_term arg,
                                         const cop_start_opts *opts);

/*
 * Makes the calling process, one of proc_lib's, a server: its C stack is thrown away, init does not run.
 *
 * Erlang:  :gen_server.enter_loop/3,4,5
 * State:   state_size bytes, copied; NULL = zeroed
 * Opts:    hibernate_after_ms and debug; name or via: the name that the process has
 * First:   cop_init_ok(), with cop_then_timeout and the like
 * Exits:   :process_not_registered; :process_was_not_started_by_proc_lib
 */
_Noreturn void cop_gen_server_enter_loop(cop_ctx *ctx, const cop_gen_server *module,
                                         const void *state, const cop_start_opts *opts,
                                         cop_init first);

/* ---- talking to it ------------------------------------------------------------------------------ */

typedef struct cop_called {
    bool ok;
    cop_term value; /* the reply; else the reason with which the call would have exited */
} cop_called;

cop_term cop__gen_server_call(cop_ctx *ctx, cop_term server, cop_term request, int64_t timeout_ms);
cop_called cop__gen_server_try_call(cop_ctx *ctx, cop_term server, cop_term request,
                                    int64_t timeout_ms);
/*
 * Calls a server and waits for its reply.
 *
 * Elixir:  GenServer.call/3
 * Server:  a cop_pid, a cop_atom, or a cop_term that is one of those, {name, node},
 *          {:global, name} or {:via, module, name} (see cop_registry_via)
 * Request: anything cop_of takes
 * Timeout: ms; 0 = 5000, COP_ZERO = none at all, COP_INFINITY
 * Errors:  exits the caller with {reason, {GenServer, :call, [server, request, timeout]}}; reason is
 *          :timeout, :noproc, :calling_self, or what the server ended with
 * Context: waits; a reply that comes too late is dropped
 */
#define cop_gen_server_call(ctx, server, request, timeout_ms)                                    \
    ({                                                                                           \
        cop_ctx *cop__gc = (ctx);                                                                \
        cop__gen_server_call(cop__gc, COP_TERM(server), cop_of(cop__gc, request), (timeout_ms)); \
    })
/* The same, with the exit as a value. */
#define cop_gen_server_try_call(ctx, server, request, timeout_ms)                     \
    ({                                                                                \
        cop_ctx *cop__gc = (ctx);                                                     \
        cop__gen_server_try_call(cop__gc, COP_TERM(server), cop_of(cop__gc, request), \
                                 (timeout_ms));                                       \
    })
void cop__gen_server_cast(cop_ctx *ctx, cop_term server, cop_term request);
/* Sends a request without a reply; never fails for a well-formed server. Elixir: GenServer.cast/2. */
#define cop_gen_server_cast(ctx, server, request)                                  \
    ({                                                                             \
        cop_ctx *cop__gc = (ctx);                                                  \
        cop__gen_server_cast(cop__gc, COP_TERM(server), cop_of(cop__gc, request)); \
    })
void cop__gen_server_reply(cop_ctx *ctx, cop_term from, cop_term reply);
/* Answers a call from anywhere, any time: `from` may be kept (its .t, as a term of the state) and sent
   away. Elixir: GenServer.reply/2. */
#define cop_gen_server_reply(ctx, from, reply)                                  \
    ({                                                                          \
        cop_ctx *cop__gc = (ctx);                                               \
        cop__gen_server_reply(cop__gc, COP_TERM(from), cop_of(cop__gc, reply)); \
    })
void cop__gen_server_stop(cop_ctx *ctx, cop_term server, cop_term reason, int64_t timeout_ms);
/* Stops a server in order (its messages so far are served first) and waits for its end; exits the
   caller if it ends with another reason. timeout_ms: 0 = COP_INFINITY. Elixir: GenServer.stop/3. */
#define cop_gen_server_stop(ctx, server, reason, timeout_ms) \
    cop__gen_server_stop((ctx), COP_TERM(server), COP_TERM(reason), (timeout_ms))
/* The pid behind a name; COP_NONE; {name, node} of another node is returned as it is.
   Elixir: GenServer.whereis/1. */
cop_term cop_gen_server_whereis(cop_ctx *ctx, cop_term server);

/* A call in two steps: send now, collect later. Erlang: :gen_server.send_request/2. An answer that comes
   after the request was given up is dropped. */
typedef struct cop_request_id {
    cop_ref ref;
    cop_term server; /* as it was given: a term, to be kept alive with the state it stands in */
} cop_request_id;
cop_request_id cop__gen_server_send_request(cop_ctx *ctx, cop_term server, cop_term request);
#define cop_gen_server_send_request(ctx, server, request)                                  \
    ({                                                                                     \
        cop_ctx *cop__gc = (ctx);                                                          \
        cop__gen_server_send_request(cop__gc, COP_TERM(server), cop_of(cop__gc, request)); \
    })
/*
 * Waits for the answer. timeout_ms as for a call.
 *
 * Erlang:  :gen_server.receive_response/2, wait_response/2
 * Returns: ok: value is the reply. Else value is {:error, {reason, server}}, or :timeout: then the
 *          request is given up by receive, and still open after wait
 */
cop_called cop_gen_server_receive_response(cop_ctx *ctx, cop_request_id id, int64_t timeout_ms);
cop_called cop_gen_server_wait_response(cop_ctx *ctx, cop_request_id id, int64_t timeout_ms);
/* The same of a message that has come; false if it is no answer to this request. For handle_info.
   Erlang: :gen_server.check_response/2. */
bool cop_gen_server_check_response(cop_ctx *ctx, cop_term message, cop_request_id id,
                                   cop_called *response);

/*
 * A collection of requests, each with a label: a term, which may stand in a server's state.
 *
 * Erlang:  :gen_server.reqids_new/0, reqids_add/3, reqids_size/1, reqids_to_list/1
 * List:    [{reference, label}]
 * Errors:  :badarg for a request that is in it already
 */
#define cop_gen_server_reqids_new(ctx) cop_map_n((ctx), 0, NULL)
#define cop_gen_server_reqids_size(collection) cop_map_size(collection)
cop_term cop__gen_server_reqids_add(cop_ctx *ctx, cop_request_id id, cop_term label,
                                    cop_term collection);
#define cop_gen_server_reqids_add(ctx, id, label, collection)                            \
    ({                                                                                   \
        cop_ctx *cop__gc = (ctx);                                                        \
        cop__gen_server_reqids_add(cop__gc, (id), cop_of(cop__gc, label), (collection)); \
    })
cop_term cop_gen_server_reqids_to_list(cop_ctx *ctx, cop_term collection);

/* is: COP_NO_REQUEST if the collection is empty; COP_NO_RESPONSE after a timeout, or for a message that
   answers none of them. */
typedef struct cop_any_response {
    enum { COP_RESPONSE, COP_NO_REQUEST, COP_NO_RESPONSE } is;
    cop_called response;
    cop_term label;
} cop_any_response;
/* Flags: an answered request stays in the collection; after a timeout all requests are given up. */
enum { COP_REQUEST_KEEP = 1, COP_REQUEST_ABANDON = 2 };
/*
 * Waits for an answer to any of them; of a message that has come.
 * Erlang:  :gen_server.wait_response/3 (with COP_REQUEST_ABANDON: receive_response/3), check_response/3
 */
cop_any_response cop_gen_server_wait_any(cop_ctx *ctx, cop_term *collection, int64_t timeout_ms,
                                         int flags);
cop_any_response cop_gen_server_check_any(cop_ctx *ctx, cop_term message, cop_term *collection,
                                          int flags);

/* ---- many nodes --------------------------------------------------------------------------------- */

void cop__gen_server_abcast(cop_ctx *ctx, cop_term nodes, cop_atom name, cop_term request);
/* Casts to the server of that name on each of a list of nodes; COP_NONE: all that are known. Never fails.
   Elixir: GenServer.abcast/3. */
#define cop_gen_server_abcast(ctx, nodes, name, request)                            \
    ({                                                                              \
        cop_ctx *cop__gc = (ctx);                                                   \
        cop__gen_server_abcast(cop__gc, (nodes), (name), cop_of(cop__gc, request)); \
    })
/* replies: [{node, reply}]; bad_nodes: those without the server, or whose answer did not come. */
typedef struct cop_multi {
    cop_term replies;
    cop_term bad_nodes;
} cop_multi;
cop_multi cop__gen_server_multi_call(cop_ctx *ctx, cop_term nodes, cop_atom name, cop_term request,
                                     int64_t timeout_ms);
/* Calls the server of that name on each node, all at once, and waits for all; never exits for what goes
   wrong. nodes as above; timeout_ms: 0 = COP_INFINITY. Elixir: GenServer.multi_call/4. */
#define cop_gen_server_multi_call(ctx, nodes, name, request, timeout_ms)               \
    ({                                                                                 \
        cop_ctx *cop__gc = (ctx);                                                      \
        cop__gen_server_multi_call(cop__gc, (nodes), (name), cop_of(cop__gc, request), \
                                   (timeout_ms));                                      \
    })

#endif
