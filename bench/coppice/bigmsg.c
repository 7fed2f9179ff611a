/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bigmsg.binary, bigmsg.list: a large message and its acknowledgement.
 *
 * A binary of a mebibyte is shared by count; a list of a thousand integers is copied, walked by the
 * receiver's collector, and freed. The receiver is a callback process.
 */
#include "bench.h"

struct acker {
    int64_t length; /* what the message must be: elements of the list, or bytes of the binary */
};

static void acker_message(cop_ctx *ctx, void *state, cop_term message) {
    const struct acker *self = state;
    cop_pid from;
    cop_term what;
    cop_bytes bytes;
    if (!cop_match_tuple(message, &from, &what))
        bench_fail("bigmsg");
    if (cop_get_bytes(what, &bytes) ? (int64_t)bytes.size != self->length : !cop_is_list(what))
        bench_fail("the message is another one");
    cop_send(ctx, from, cop_a(ack));
}

static const cop_callbacks acker_callbacks = { .name = "acker", .message = acker_message };

static void acker_start(cop_ctx *ctx, cop_term arg) {
    struct acker *self = cop_process_state(ctx, sizeof(*self));
    if (!cop_match(arg, &self->length))
        bench_fail("acker");
    cop_become(ctx, &acker_callbacks, self);
}

static int64_t send_and_wait(cop_ctx *ctx, cop_pid to, cop_term what, int64_t rounds) {
    int64_t start = bench_now_ns();
    for (int64_t i = 0; i < rounds; i++) {
        COP_SCOPE(ctx) {
            cop_send(ctx, to, cop_tuple(ctx, cop_self(ctx), what));
            bench_collect(ctx, 1, cop_a(ack).t);
        }
    }
    return bench_now_ns() - start;
}

static void time_bigmsg(cop_ctx *ctx, const char *name, cop_term what, int64_t length,
                        int64_t rounds) {
    cop_pid to = cop_spawn(ctx, acker_start, cop_of(ctx, length));
    send_and_wait(ctx, to, what, rounds / 10);
    bench_out(name, (double)send_and_wait(ctx, to, what, rounds) / (double)rounds, "ns/round");
}

void bench_bigmsg_binary(cop_ctx *ctx) {
    uint8_t *data;
    cop_term binary = cop_binary_new(ctx, BIGMSG_BINARY_BYTES, &data);
    for (size_t i = 0; i < BIGMSG_BINARY_BYTES; i++)
        data[i] = 'x';
    time_bigmsg(ctx, "bigmsg.binary", binary, BIGMSG_BINARY_BYTES, BIGMSG_BINARY_ROUNDS);
}

void bench_bigmsg_list(cop_ctx *ctx) {
    cop_term list = COP_NIL;
    for (int64_t i = BIGMSG_LIST_LENGTH; i > 0; i--)
        list = cop_cons(ctx, i, list);
    if (cop_list_length(list) != BIGMSG_LIST_LENGTH)
        bench_fail("the list");
    time_bigmsg(ctx, "bigmsg.list", list, BIGMSG_LIST_LENGTH, BIGMSG_LIST_ROUNDS);
}
