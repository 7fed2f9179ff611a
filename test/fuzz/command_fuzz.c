/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the commands of examples/kv: the input is what a client sends. Each command that a shard
 * carries out must leave one whole reply, and a sound store; on the way it passes through a batch,
 * as in the service. Time stands still but for a millisecond a command.
 */
#include <stdlib.h>
#include <string.h>

#include "batch.h"
#include "command.h"
#include "resp.h"

/* The number in a reply's first line, and the position behind that line. */
static int64_t first_line(cop_bytes reply, size_t *at) {
    const uint8_t *end = *at < reply.size ? memchr(reply.data + *at, '\r', reply.size - *at) : NULL;
    if (end == NULL || end + 1 == reply.data + reply.size || end[1] != '\n')
        abort();
    cop_bytes digits = { .data = reply.data + *at + 1,
                         .size = (size_t)(end - reply.data) - *at - 1 };
    int64_t n = 0;
    uint8_t type = reply.data[*at];
    if (strchr(":$*", type) != NULL && !integer_parse(digits, &n))
        abort();
    if (strchr(":$*+-", type) == NULL || type == 0)
        abort();
    *at = (size_t)(end - reply.data) + 2;
    return n;
}

/* One whole reply; nesting is that of SCAN. */
static void read_reply(cop_bytes reply, size_t *at, int depth) {
    uint8_t type = *at < reply.size ? reply.data[*at] : 0;
    int64_t n = first_line(reply, at);
    if (type == '$' && n >= 0) {
        if (reply.size - *at < (size_t)n + 2 || memcmp(reply.data + *at + n, "\r\n", 2) != 0)
            abort();
        *at += (size_t)n + 2;
    }
    for (int64_t i = 0; type == '*' && i < n; i++) {
        if (depth == 0)
            abort();
        read_reply(reply, at, depth - 1);
    }
}

static void check_reply(const struct command *command, cop_bytes reply) {
    size_t at = 0;
    if (command->plan == PLAN_ALL_INFO) {
        at = sizeof(struct shard_info);
    } else if (command->plan == PLAN_ALL_KEYS) {
        uint64_t count;
        memcpy(&count, reply.data, sizeof count);
        for (at = sizeof count; count > 0; count--)
            read_reply(reply, &at, 0);
    } else {
        read_reply(reply, &at, 2);
    }
    if (at != reply.size)
        abort();
}

static void run(struct job *job, const struct command *command, const cop_bytes *argv,
                size_t argc) {
    struct buffer request = { 0 };
    struct batch_item item;
    size_t done = 0;
    batch_add(&request, command_number(command), argc > 0 ? store_hash(argv[0]) : 0, argv, argc);
    cop_bytes bytes = { .data = request.data, .size = request.size };
    if (!batch_read(bytes, &done, &item) || done != request.size)
        abort();
    job->out->size = 0;
    job->hash = item.hash;
    job->now_ms++;
    size_t head = batch_reply_begin(job->out);
    command_at(item.command)->run(job, item.argv, item.argc);
    batch_reply_end(job->out, head);
    cop_bytes replies = { .data = job->out->data, .size = job->out->size }, reply;
    if (!batch_reply_next(&replies, &reply) || replies.size != 0)
        abort();
    check_reply(command, reply);
    buffer_free(&request);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv) {
    command_setup();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct resp_limits limits = { .max_bulk = 4096 };
    struct resp resp;
    struct buffer out = { 0 };
    struct job job = { .store = store_new(),
                       .out = &out,
                       .now_ms = 1000,
                       .shards = 3,
                       .shard = 1,
                       .max_value = 4096 };
    resp_init(&resp, &limits);
    resp_feed(&resp, data, size);
    while (resp_next(&resp) == RESP_COMMAND) {
        const struct command *command = command_find(resp.argv[0]);
        if (command == NULL || command->run == NULL || !command_takes(command, resp.argc)
            || resp.argc > BATCH_MAX_ARGS)
            continue;
        bool splits = command->plan == PLAN_COUNT;
        run(&job, command, resp.argv + 1, splits ? 1 : resp.argc - 1);
    }
    store_sweep(job.store, job.now_ms, 64);
    if (!store_verify(job.store))
        abort();
    store_free(job.store);
    resp_free(&resp);
    buffer_free(&out);
    return 0;
}
