/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call.1, call.8, call.1000, fanin.cast, memory.gen_server and memory.hibernated: the gen_server.
 *
 * A call is the whole thing: a fresh reference that is monitor and alias at once, a time-out of
 * five seconds, a reply that cannot come late. Clients are raw processes; the server echoes its
 * request.
 */
#include "bench.h"

struct server {
    cop_term main;
    int64_t left;
};

static cop_init server_init(cop_ctx *ctx, void *state, cop_term arg) {
    struct server *self = state;
    self->main = COP_NIL;
    return cop_match(arg, cop_a(hibernate)) ? cop_then_hibernate(cop_init_ok()) : cop_init_ok();
}

static cop_next server_call(cop_ctx *ctx, void *state, cop_term request, cop_from from) {
    struct server *self = state;
    cop_term main_pid;
    int64_t limit;
    if (cop_match_tuple(request, cop_a(limit), &main_pid, &limit)) {
        self->main = main_pid;
        self->left = limit;
        return cop_reply(ctx, cop_a(ok));
    }
    return cop_reply(ctx, request);
}

static cop_next server_cast(cop_ctx *ctx, void *state, cop_term message) {
    struct server *self = state;
    if (!cop_match_tuple(message, cop_a(m), 1))
        bench_fail("cast");
    if (--self->left == 0)
        cop_send(ctx, self->main, cop_a(all_there));
    return cop_noreply();
}

static const cop_gen_server server = {
    .name = "BenchServer",
    .state_size = sizeof(struct server),
    .state_terms = 1,
    .init = server_init,
    .handle_call = server_call,
    .handle_cast = server_cast,
};

static cop_pid start_server(cop_ctx *ctx, cop_term arg) {
    cop_started started = cop_gen_server_start(ctx, &server, arg, NULL);
    if (started.is != COP_STARTED)
        bench_fail("gen_server did not start");
    return started.pid;
}

cop_pid bench_start_server(cop_ctx *ctx) { return start_server(ctx, COP_NIL); }

/* ---- calls ----------------------------------------------------------------------------------- */

static void client(cop_ctx *ctx, cop_term arg) {
    cop_pid main_pid, to;
    int64_t calls;
    cop_term go;
    if (!cop_match_tuple(arg, &main_pid, &to, &calls))
        bench_fail("client");
    cop_receive(ctx, COP_INFINITY, &go);
    for (int64_t i = 0; i < calls; i++) {
        COP_SCOPE(ctx) {
            cop_term reply = cop_gen_server_call(ctx, to, cop_a(hi), 5000);
            if (!cop_match(reply, cop_a(hi)))
                bench_fail("reply");
        }
    }
    cop_send(ctx, main_pid, cop_a(client_done));
}

static int64_t timed_calls(cop_ctx *ctx, const cop_pid *servers, int count, int clients,
                           int64_t calls) {
    cop_pid *started = cop_alloc(ctx, (size_t)clients * sizeof(started[0]));
    for (int i = 0; i < clients; i++)
        started[i] = cop_spawn(ctx, client,
                               cop_tuple(ctx, cop_self(ctx), servers[i % count], calls / clients));
    int64_t start = bench_now_ns();
    for (int i = 0; i < clients; i++)
        cop_send(ctx, started[i], cop_a(go));
    bench_collect(ctx, clients, cop_a(client_done).t);
    int64_t took = bench_now_ns() - start;
    cop_free(ctx, started);
    return took;
}

static void bench_calls(cop_ctx *ctx, const char *name, int count, int clients) {
    cop_pid *servers = cop_alloc(ctx, (size_t)count * sizeof(servers[0]));
    for (int i = 0; i < count; i++)
        servers[i] = bench_start_server(ctx);
    timed_calls(ctx, servers, count, clients, CALLS / 10);
    bench_out(name, (double)timed_calls(ctx, servers, count, clients, CALLS) / CALLS, "ns/call");
}

void bench_call_1(cop_ctx *ctx) { bench_calls(ctx, "call.1", 1, 1); }

void bench_call_8(cop_ctx *ctx) { bench_calls(ctx, "call.8", 1, 8); }

void bench_call_1000(cop_ctx *ctx) { bench_calls(ctx, "call.1000", PAIRS, PAIRS); }

/* ---- casts ----------------------------------------------------------------------------------- */

static void cast_many(cop_ctx *ctx, cop_term arg) {
    cop_pid to;
    int64_t messages;
    if (!cop_match_tuple(arg, &to, &messages))
        bench_fail("cast_many");
    for (int64_t i = 0; i < messages; i++) {
        COP_SCOPE(ctx) { cop_gen_server_cast(ctx, to, cop_tuple(ctx, cop_a(m), 1)); }
    }
}

static int64_t fanin_cast(cop_ctx *ctx, int64_t messages) {
    cop_pid to = bench_start_server(ctx);
    cop_gen_server_call(ctx, to, cop_tuple(ctx, cop_a(limit), cop_self(ctx), messages), 5000);
    int64_t start = bench_now_ns();
    bench_senders(ctx, cast_many, to, messages);
    bench_collect(ctx, 1, cop_a(all_there).t);
    int64_t took = bench_now_ns() - start;
    cop_process_exit(ctx, to, cop_a(kill));
    return took;
}

void bench_fanin_cast(cop_ctx *ctx) {
    fanin_cast(ctx, FANIN_MESSAGES / 10);
    double took = (double)fanin_cast(ctx, FANIN_MESSAGES);
    bench_out("fanin.cast", FANIN_MESSAGES * 1e9 / took, "messages/s");
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void start_one(cop_ctx *ctx) { bench_start_server(ctx); }

static void start_hibernated(cop_ctx *ctx) { start_server(ctx, cop_a(hibernate).t); }

void bench_memory_gen_server(cop_ctx *ctx) { bench_memory(ctx, "memory.gen_server", start_one); }

void bench_memory_hibernated(cop_ctx *ctx) {
    bench_memory(ctx, "memory.hibernated", start_hibernated);
}
