/* SPDX-License-Identifier: Apache-2.0 */
/*
 * selective: request and reply of a process in whose mailbox 10,000 other messages wait.
 *
 *   selective.empty   the mailbox is empty, the reply is known by a fresh reference
 *   selective.full    the same with 10,000 messages that nobody takes
 *   selective.ratio   the second divided by the first: 1 when the length does not matter
 *   selective.call    a gen_server call with 10,000 waiting
 *   selective.scan    no reference: every message that waits is looked at, cost of each
 */
#include "bench.h"

static void answer_message(cop_ctx *ctx, void *state, cop_term message) {
    cop_pid from;
    cop_term tag;
    if (!cop_match_tuple(message, &from, &tag))
        bench_fail("selective");
    cop_send(ctx, from, cop_tuple(ctx, tag, 1));
}

static const cop_callbacks answer_callbacks = { .name = "answer", .message = answer_message };

static void answer_start(cop_ctx *ctx, cop_term arg) { cop_become(ctx, &answer_callbacks, NULL); }

static int64_t by_reference(cop_ctx *ctx, cop_pid server, int64_t rounds) {
    int64_t start = bench_now_ns();
    for (int64_t i = 0; i < rounds; i++) {
        COP_SCOPE(ctx) {
            cop_term reply;
            cop_ref ref = cop_make_ref(ctx);
            cop_send(ctx, server, cop_tuple(ctx, cop_self(ctx), ref));
            if (!cop_receive_ref(ctx, 60000, ref, &reply) || !cop_match_tuple(reply, ref, 1))
                bench_fail("no reply");
        }
    }
    return bench_now_ns() - start;
}

static bool is_tagged(cop_term message, void *arg) {
    return cop_match_tuple(message, cop_a(tag), 1);
}

static int64_t by_scan(cop_ctx *ctx, cop_pid server, int64_t rounds) {
    int64_t start = bench_now_ns();
    for (int64_t i = 0; i < rounds; i++) {
        COP_SCOPE(ctx) {
            cop_term reply;
            cop_send(ctx, server, cop_tuple(ctx, cop_self(ctx), cop_a(tag)));
            if (!cop_receive_match(ctx, 60000, is_tagged, NULL, &reply))
                bench_fail("no reply");
        }
    }
    return bench_now_ns() - start;
}

static int64_t by_call(cop_ctx *ctx, cop_pid server, int64_t rounds) {
    int64_t start = bench_now_ns();
    for (int64_t i = 0; i < rounds; i++) {
        COP_SCOPE(ctx) {
            if (!cop_match(cop_gen_server_call(ctx, server, cop_a(hi), 5000), cop_a(hi)))
                bench_fail("no reply");
        }
    }
    return bench_now_ns() - start;
}

void bench_selective(cop_ctx *ctx) {
    cop_pid server = cop_spawn(ctx, answer_start, COP_NIL);
    cop_pid called = bench_start_server(ctx);
    by_reference(ctx, server, SELECTIVE_ROUNDS / 10);
    by_call(ctx, called, SELECTIVE_ROUNDS / 10);
    double empty = (double)by_reference(ctx, server, SELECTIVE_ROUNDS) / SELECTIVE_ROUNDS;
    for (int64_t i = 0; i < SELECTIVE_WAITING; i++) {
        COP_SCOPE(ctx) { cop_send(ctx, cop_self(ctx), cop_tuple(ctx, cop_a(junk), i)); }
    }
    by_reference(ctx, server, SELECTIVE_ROUNDS / 10);
    double full = (double)by_reference(ctx, server, SELECTIVE_ROUNDS) / SELECTIVE_ROUNDS;
    bench_out("selective.empty", empty, "ns/request");
    bench_out("selective.full", full, "ns/request");
    bench_out("selective.ratio", full / empty, "full/empty");
    bench_out("selective.call", (double)by_call(ctx, called, SELECTIVE_ROUNDS) / SELECTIVE_ROUNDS,
              "ns/call");
    by_scan(ctx, server, SELECTIVE_SCANS / 10);
    bench_out("selective.scan",
              (double)by_scan(ctx, server, SELECTIVE_SCANS)
                  / ((double)SELECTIVE_SCANS * SELECTIVE_WAITING),
              "ns/skipped");
    for (int64_t i = 0; i < SELECTIVE_WAITING; i++) {
        COP_SCOPE(ctx) { bench_collect(ctx, 1, cop_tuple(ctx, cop_a(junk), i)); }
    }
}
