/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session: from bytes received to bytes sent.
 *
 * All complete commands of what came in make one round. Each command becomes a step, which says how
 * its reply is put together, and pieces of work for shards. The pieces of one shard are one call:
 *
 *     received   MSET a 1 b 2 | PING | GET a          a, b: keys of shards 0 and 1
 *     steps      OK of 2      | "+PONG" | pass
 *     shards     0, 1                   | 0
 *     requests   shard 0: SET a 1, GET a      shard 1: SET b 2
 *
 * The calls go out together, and the answers are taken as the steps need them. So the time that a
 * client waits does not grow with the number of shards, and a pipeline of many commands costs one
 * call for each shard. Commands on one key are done in the order they came; a command over several
 * shards is not one indivisible step for other clients.
 *
 * When a shard ends while it has a request, its pieces of this round have failed: some of them may
 * have been done. When there is nobody under its name the request was not delivered, and is sent
 * again as soon as the restarted shard is there.
 *
 * Invariants
 *   1. Steps use the replies of a shard in the order in which its pieces were added.
 *   2. Terms live in a round only: parts hold none between two calls of session_serve.
 * Threads: the connection's process.
 */
#include "session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ROUND_PIECES = 1024,   /* a round ends with the command that reaches this many pieces */
    ROUND_BYTES = 1 << 20, /* or this many bytes for shards */
    SEND_AT = 128 << 10,   /* replies are sent when there are so many bytes, and at the end */
    KEEP_AT_MOST = 1024,   /* an idle session's buffers are no bigger */
    AWAIT_MS = 5000,       /* for a shard to be restarted */
    AWAIT_TIMES = 20,
};

struct session *session_new(cop_port port, struct pulse *pulse) {
    static _Atomic uint64_t last_id;
    struct session *s = calloc(1, sizeof *s + kv_config.shards * sizeof(struct part));
    if (s == NULL)
        return NULL;
    resp_init(&s->resp, &kv_config.limits);
    s->id = atomic_fetch_add(&last_id, 1) + 1;
    s->port = port;
    s->pulse = pulse;
    return s;
}

void session_free(void *session) {
    struct session *s = session;
    resp_free(&s->resp);
    buffer_free(&s->out);
    buffer_free(&s->steps);
    buffer_free(&s->shards);
    buffer_free(&s->local);
    buffer_free(&s->name);
    for (unsigned i = 0; i < kv_config.shards; i++) {
        buffer_free(&s->parts[i].request);
        buffer_free(&s->parts[i].copied);
    }
    free(s);
}

/* ---- sending --------------------------------------------------------------------------------- */

static void reset(struct buffer *buffer) {
    buffer->size = 0;
    if (buffer->capacity > KEEP_AT_MOST)
        buffer_free(buffer);
}

/* Waiting is no work: others may take their time without this process being taken for stuck. */
static void send_out(cop_ctx *ctx, struct session *s) {
    if (s->out.size == 0)
        return;
    COP_SCOPE(ctx) {
        cop_term bytes = cop_binary(ctx, s->out.data, s->out.size);
        reset(&s->out);
        pulse_end(s->pulse);
        if (!cop_match(cop_gen_tcp_send(ctx, s->port, bytes), cop_a(ok)))
            s->closing = true;
        pulse_begin(s->pulse);
    }
}

/* ---- one shard's part ------------------------------------------------------------------------ */

static void send_request(cop_ctx *ctx, struct session *s, unsigned shard) {
    struct part *part = &s->parts[shard];
    cop_term request = cop_tuple(ctx, cop_a(run), part->sent);
    part->id = cop_gen_server_send_request(ctx, kv_shard_name(shard), request);
    part->pending = true;
}

/* The end of a shard as a client is told it: the reason without its stack trace. */
static void explain(struct part *part, unsigned shard, cop_term reason) {
    char text[120];
    cop_term what = reason, inner, trace;
    if (cop_match_tuple(reason, &inner, &trace) && cop_is_list(trace))
        what = inner;
    cop_inspect_to(text, sizeof text, what, NULL);
    part->failed = true;
    snprintf(part->error, sizeof part->error, "ERR shard %u ended in the middle of this: %s", shard,
             text);
}

/* Nobody was there: waits until the restarted shard is, then sends again. */
static bool send_again(cop_ctx *ctx, struct session *s, unsigned shard) {
    cop_called called =
        cop_gen_server_try_call(ctx, cop_a(keeper), cop_tuple(ctx, cop_a(await), shard), AWAIT_MS);
    if (called.ok)
        send_request(ctx, s, shard);
    return called.ok;
}

/* Takes the answer to what was sent: the replies, or why there are none. */
static void receive_answer(cop_ctx *ctx, struct session *s, unsigned shard, cop_bytes *answer) {
    struct part *part = &s->parts[shard];
    cop_term reason = COP_NIL, error, server;
    for (int times = 0; times < AWAIT_TIMES; times++) {
        part->pending = false;
        /* The watchdog sees to it that this wait has an end. */
        cop_called called = cop_gen_server_receive_response(ctx, part->id, COP_INFINITY);
        if (called.ok && cop_get_bytes(called.value, answer)
            && batch_reply_done(answer, &part->done))
            return;
        reason = called.value;
        if (cop_match_tuple(called.value, cop_a(error), &error))
            cop_match_tuple(error, &reason, &server);
        if (!cop_match(reason, cop_a(noproc)) || !send_again(ctx, s, shard))
            break;
    }
    explain(part, shard, reason);
}

static void receive_part(cop_ctx *ctx, struct session *s, unsigned shard) {
    pulse_end(s->pulse);
    receive_answer(ctx, s, shard, &s->parts[shard].replies);
    pulse_begin(s->pulse);
}

/* The shard answered before it was through: the rest of the request. Its replies are copied out, so
   that the terms can go; a round may bring any number of them. */
static void receive_rest(cop_ctx *ctx, struct session *s, unsigned shard) {
    struct part *part = &s->parts[shard];
    cop_bytes all, answer = { 0 };
    cop_get_bytes(part->sent, &all);
    if (part->done == 0 || part->done >= all.size) {
        explain(part, shard, cop_a(no_reply).t);
        return;
    }
    part->sent = cop_binary_part(ctx, part->sent, part->done, all.size - part->done);
    COP_SCOPE(ctx) {
        send_request(ctx, s, shard);
        pulse_end(s->pulse);
        receive_answer(ctx, s, shard, &answer);
        pulse_begin(s->pulse);
        part->copied.size = 0;
        buffer_put(&part->copied, answer.data, answer.size);
    }
    part->replies = (cop_bytes){ .data = part->copied.data, .size = part->copied.size };
}

/* The next reply in this round; false when its shard has failed, with *error. */
static bool next_reply(cop_ctx *ctx, struct session *s, cop_bytes *reply, const char **error) {
    unsigned shard = s->shards.data[s->shards_at++];
    struct part *part = &s->parts[shard];
    if (part->pending)
        receive_part(ctx, s, shard);
    while (!part->failed && !batch_reply_next(&part->replies, reply))
        receive_rest(ctx, s, shard);
    *error = part->error;
    return !part->failed;
}

/* ---- steps to replies ------------------------------------------------------------------------ */

static void finish_pass(cop_ctx *ctx, struct session *s) {
    cop_bytes reply;
    const char *error;
    if (next_reply(ctx, s, &reply, &error))
        buffer_put(&s->out, reply.data, reply.size);
    else
        reply_error(&s->out, "%s", error);
}

static void finish_each(cop_ctx *ctx, struct session *s, size_t size) {
    reply_array(&s->out, size);
    for (size_t i = 0; i < size; i++) {
        finish_pass(ctx, s);
        if (s->out.size >= SEND_AT)
            send_out(ctx, s);
    }
}

/* An integer's or a status's reply over several pieces: their sum, or the first error. */
static void finish_sum(cop_ctx *ctx, struct session *s, size_t size, bool is_count) {
    int64_t sum = 0, n = 0;
    struct buffer problem = { 0 };
    for (size_t i = 0; i < size; i++) {
        cop_bytes reply;
        const char *error;
        if (!next_reply(ctx, s, &reply, &error)) {
            if (problem.size == 0)
                reply_error(&problem, "%s", error);
        } else if (reply.data[0] == '-') {
            if (problem.size == 0)
                buffer_put(&problem, reply.data, reply.size);
        } else if (is_count) {
            cop_bytes digits = { .data = reply.data + 1, .size = reply.size - 3 };
            sum += integer_parse(digits, &n) ? n : 0;
        }
    }
    if (problem.size > 0)
        buffer_put(&s->out, problem.data, problem.size);
    else if (is_count)
        reply_integer(&s->out, sum);
    else
        reply_text(&s->out, "+OK");
    buffer_free(&problem);
}

/* One reply of every shard; false after the first error, which is the reply then. */
static bool all_replies(cop_ctx *ctx, struct session *s, cop_bytes *replies) {
    const char *problem = NULL;
    for (unsigned i = 0; i < kv_config.shards; i++) {
        const char *error;
        if (!next_reply(ctx, s, &replies[i], &error) && problem == NULL)
            problem = error;
    }
    if (problem != NULL)
        reply_error(&s->out, "%s", problem);
    return problem == NULL;
}

static void finish_keys(cop_ctx *ctx, struct session *s) {
    cop_bytes replies[KV_MAX_SHARDS];
    if (!all_replies(ctx, s, replies))
        return;
    uint64_t total = 0, count;
    for (unsigned i = 0; i < kv_config.shards; i++) {
        memcpy(&count, replies[i].data, sizeof count);
        total += count;
    }
    reply_array(&s->out, total);
    for (unsigned i = 0; i < kv_config.shards; i++)
        buffer_put(&s->out, replies[i].data + sizeof count, replies[i].size - sizeof count);
}

static void finish_info(cop_ctx *ctx, struct session *s) {
    cop_bytes replies[KV_MAX_SHARDS];
    if (!all_replies(ctx, s, replies))
        return;
    struct shard_info sum = { 0 }, info;
    for (unsigned i = 0; i < kv_config.shards; i++) {
        memcpy(&info, replies[i].data, sizeof info);
        sum.keys += info.keys;
        sum.expiring += info.expiring;
        sum.bytes += info.bytes;
        sum.served += info.served;
    }
    local_info(&sum, &s->out);
}

static void finish_step(cop_ctx *ctx, struct session *s, const struct step *step) {
    switch (step->kind) {
    case STEP_LOCAL:
        buffer_put(&s->out, s->local.data + s->local_at, step->size);
        s->local_at += step->size;
        break;
    case STEP_PASS:
        finish_pass(ctx, s);
        break;
    case STEP_EACH:
        finish_each(ctx, s, step->size);
        break;
    case STEP_COUNT:
    case STEP_OK:
        finish_sum(ctx, s, step->size, step->kind == STEP_COUNT);
        break;
    case STEP_KEYS:
        finish_keys(ctx, s);
        break;
    case STEP_INFO:
        finish_info(ctx, s);
        break;
    }
}

static void begin_round(cop_ctx *ctx, struct session *s) {
    s->shards_at = s->local_at = 0;
    for (unsigned i = 0; i < kv_config.shards; i++) {
        struct part *part = &s->parts[i];
        part->failed = false;
        part->replies = (cop_bytes){ 0 };
        if (part->request.size == 0)
            continue;
        part->sent = cop_binary(ctx, part->request.data, part->request.size);
        reset(&part->request);
        send_request(ctx, s, i);
    }
}

static void end_round(struct session *s) {
    reset(&s->steps);
    reset(&s->shards);
    reset(&s->local);
    for (unsigned i = 0; i < kv_config.shards; i++) {
        s->parts[i].sent = COP_NONE;
        reset(&s->parts[i].copied);
    }
}

/* Has the work of all steps done, and their replies put into `out`. */
static void run_round(cop_ctx *ctx, struct session *s) {
    if (s->steps.size == 0)
        return;
    COP_SCOPE(ctx) {
        begin_round(ctx, s);
        for (size_t at = 0; at < s->steps.size; at += sizeof(struct step)) {
            struct step step;
            memcpy(&step, s->steps.data + at, sizeof step);
            finish_step(ctx, s, &step);
            if (s->out.size >= SEND_AT)
                send_out(ctx, s);
        }
        end_round(s);
    }
}

/* ---- commands to steps ----------------------------------------------------------------------- */

static void add_step(struct session *s, enum step_kind kind, size_t size) {
    struct step step = { .kind = kind, .size = size };
    buffer_put(&s->steps, &step, sizeof step);
}

/* A reply that is known now goes behind those that are not. */
static struct buffer *local_begin(struct session *s) {
    return s->steps.size == 0 ? &s->out : &s->local;
}

static void local_end(struct session *s, const struct buffer *to, size_t before) {
    if (to == &s->local)
        add_step(s, STEP_LOCAL, to->size - before);
}

#define SAY(s, write)                       \
    do {                                    \
        struct buffer *to = local_begin(s); \
        size_t before = to->size;           \
        write;                              \
        local_end((s), to, before);         \
    } while (0)

static void add_piece(struct session *s, unsigned shard, const struct command *command,
                      uint64_t hash, const cop_bytes *argv, size_t argc) {
    uint8_t number = (uint8_t)shard;
    buffer_put(&s->shards, &number, 1);
    batch_add(&s->parts[shard].request, command_number(command), hash, argv, argc);
}

static void add_key_piece(struct session *s, const struct command *command, const cop_bytes *argv,
                          size_t argc) {
    uint64_t hash = store_hash(argv[0]);
    add_piece(s, kv_shard_of(hash), command, hash, argv, argc);
}

static void plan_key(struct session *s, const struct command *command, const cop_bytes *argv,
                     size_t argc) {
    if (argc > BATCH_MAX_ARGS) {
        SAY(s, reply_error(to, "ERR syntax error"));
        return;
    }
    add_key_piece(s, command, argv, argc);
    add_step(s, STEP_PASS, 1);
}

/* One piece for each `stride` arguments. */
static void plan_many(struct session *s, const struct command *command, enum step_kind kind,
                      const cop_bytes *argv, size_t argc, size_t stride) {
    const struct command *part = command_find(bytes_of(command->part));
    if (argc % stride != 0) {
        SAY(s, reply_error(to, "ERR wrong number of arguments for 'mset' command"));
        return;
    }
    for (size_t i = 0; i < argc; i += stride)
        add_key_piece(s, part, &argv[i], stride);
    add_step(s, kind, argc / stride);
}

static void plan_all(struct session *s, const struct command *command, enum step_kind kind,
                     const cop_bytes *argv, size_t argc) {
    if (argc > BATCH_MAX_ARGS)
        argc = BATCH_MAX_ARGS;
    for (unsigned i = 0; i < kv_config.shards; i++)
        add_piece(s, i, command, 0, argv, argc);
    add_step(s, kind, kv_config.shards);
}

static void plan_scan(struct session *s, const struct command *command, const cop_bytes *argv,
                      size_t argc) {
    uint64_t cursor = 0;
    cursor_parse(argv[0], &cursor); /* the shard says what is wrong with it */
    unsigned shard = (unsigned)(cursor & ((1u << CURSOR_SHARD_BITS) - 1)) % kv_config.shards;
    add_piece(s, shard, command, 0, argv, argc > BATCH_MAX_ARGS ? BATCH_MAX_ARGS : argc);
    add_step(s, STEP_PASS, 1);
}

/* CRASH kind [shard [key] | connection]: alone in its round, so that it takes no other command
   along. */
static void plan_crash(cop_ctx *ctx, struct session *s, const struct command *command,
                       const cop_bytes *argv, size_t argc) {
    bool here = argc > 1 && bytes_are(argv[1], "CONNECTION");
    if (argc > 3 || (here && argc > 2) || (argc > 1 && !here && !bytes_are(argv[1], "SHARD"))
        || !crash_is_known(argv[0])) {
        SAY(s, reply_error(to, "ERR usage: CRASH segv|abort|stack|div|loop|exit "
                               "[shard [key]|connection]"));
        return;
    }
    run_round(ctx, s);
    send_out(ctx, s);
    if (here)
        crash(ctx, argv[0]);
    unsigned shard = argc > 2 ? kv_shard_of(store_hash(argv[2])) : 0;
    add_piece(s, shard, command, 0, argv, 1);
    add_step(s, STEP_PASS, 1);
    run_round(ctx, s);
}

static void plan_unknown(struct session *s, const cop_bytes *argv, size_t argc) {
    /* What a browser sends is no client's: Redis closes at once, and so do we. */
    if (bytes_are(argv[0], "POST") || bytes_are(argv[0], "HOST:")) {
        s->closing = true;
        return;
    }
    char args[160] = "";
    size_t used = 0;
    for (size_t i = 1; i < argc && used < 128; i++) {
        size_t room = 128 - used, size = argv[i].size < room ? argv[i].size : room;
        used += (size_t)snprintf(args + used, sizeof args - used, "'%.*s' ", (int)size,
                                 (const char *)argv[i].data);
    }
    int shown = argv[0].size > 128 ? 128 : (int)argv[0].size;
    SAY(s, reply_error(to, "ERR unknown command '%.*s', with args beginning with: %s", shown,
                       (const char *)argv[0].data, args));
}

static void plan_command(cop_ctx *ctx, struct session *s, const cop_bytes *argv, size_t argc) {
    const struct command *command = command_find(argv[0]);
    if (command == NULL) {
        plan_unknown(s, argv, argc);
        return;
    }
    if (!command_takes(command, argc)) {
        char name[32];
        SAY(s, reply_error(to, "ERR wrong number of arguments for '%s' command",
                           command_name(command, name)));
        return;
    }
    switch (command->plan) {
    case PLAN_LOCAL:
        SAY(s, local_reply(s, command, argv, argc, to));
        break;
    case PLAN_KEY:
        plan_key(s, command, argv + 1, argc - 1);
        break;
    case PLAN_EACH:
        plan_many(s, command, STEP_EACH, argv + 1, argc - 1, 1);
        break;
    case PLAN_COUNT:
        plan_many(s, command, STEP_COUNT, argv + 1, argc - 1, 1);
        break;
    case PLAN_PAIRS:
        plan_many(s, command, STEP_OK, argv + 1, argc - 1, 2);
        break;
    case PLAN_ALL_OK:
        plan_all(s, command, STEP_OK, argv + 1, argc - 1);
        break;
    case PLAN_ALL_COUNT:
        plan_all(s, command, STEP_COUNT, argv + 1, argc - 1);
        break;
    case PLAN_ALL_KEYS:
        plan_all(s, command, STEP_KEYS, argv + 1, argc - 1);
        break;
    case PLAN_ALL_INFO:
        plan_all(s, command, STEP_INFO, NULL, 0);
        break;
    case PLAN_SCAN:
        plan_scan(s, command, argv + 1, argc - 1);
        break;
    case PLAN_CRASH:
        plan_crash(ctx, s, command, argv + 1, argc - 1);
        break;
    }
}

/* ---- the whole ------------------------------------------------------------------------------- */

static bool round_is_full(const struct session *s) {
    if (s->shards.size >= ROUND_PIECES || s->local.size >= ROUND_BYTES)
        return true;
    for (unsigned i = 0; i < kv_config.shards; i++)
        if (s->parts[i].request.size >= ROUND_BYTES)
            return true;
    return false;
}

void session_serve(cop_ctx *ctx, struct session *s, cop_bytes received) {
    enum resp_status status = RESP_MORE;
    uint64_t commands = 0;
    resp_feed(&s->resp, received.data, received.size);
    while (!s->closing && (status = resp_next(&s->resp)) == RESP_COMMAND) {
        plan_command(ctx, s, s->resp.argv, s->resp.argc);
        commands++;
        if (round_is_full(s))
            run_round(ctx, s);
        if (s->out.size >= SEND_AT)
            send_out(ctx, s);
    }
    run_round(ctx, s);
    if (status == RESP_ERROR) {
        reply_error(&s->out, "%s", s->resp.error);
        s->closing = true;
    }
    resp_park(&s->resp);
    atomic_fetch_add_explicit(&kv_counters.commands, commands, memory_order_relaxed);
    send_out(ctx, s);
}
