/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a connection answers by itself: PING, ECHO, SELECT, CLIENT, COMMAND, CONFIG, QUIT, and the
 * text of INFO. Texts are those of redis-server 7.0.15 where it has them, observed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "glob.h"
#include "session.h"

/* "ERR wrong number of arguments for 'config|get' command", and so on. */
static void wrong_number(struct buffer *out, const char *command) {
    reply_error(out, "ERR wrong number of arguments for '%s' command", command);
}

static void unknown_subcommand(struct buffer *out, cop_bytes word, const char *command) {
    int shown = word.size > 128 ? 128 : (int)word.size;
    reply_error(out, "ERR unknown subcommand '%.*s'. Try %s HELP.", shown, (const char *)word.data,
                command);
}

static void reply_ping(const cop_bytes *argv, size_t argc, struct buffer *out) {
    if (argc > 2)
        wrong_number(out, "ping");
    else if (argc == 2)
        reply_bulk(out, argv[1]);
    else
        reply_text(out, "+PONG");
}

static void reply_select(cop_bytes database, struct buffer *out) {
    int64_t n;
    if (!integer_parse(database, &n))
        reply_error(out, "ERR value is not an integer or out of range");
    else if (n != 0)
        reply_error(out, "ERR DB index is out of range");
    else
        reply_text(out, "+OK");
}

/* ---- CLIENT ---------------------------------------------------------------------------------- */

static void set_name(struct session *s, cop_bytes name, struct buffer *out) {
    for (size_t i = 0; i < name.size; i++)
        if (name.data[i] < '!' || name.data[i] > '~') {
            reply_error(out,
                        "ERR Client names cannot contain spaces, newlines or special characters.");
            return;
        }
    buffer_free(&s->name);
    buffer_put(&s->name, name.data, name.size);
    reply_text(out, "+OK");
}

static void reply_client(struct session *s, const cop_bytes *argv, size_t argc,
                         struct buffer *out) {
    if (bytes_are(argv[1], "SETNAME")) {
        if (argc == 3)
            set_name(s, argv[2], out);
        else
            wrong_number(out, "client|setname");
    } else if (bytes_are(argv[1], "GETNAME")) {
        if (argc != 2)
            wrong_number(out, "client|getname");
        else if (s->name.size == 0)
            reply_nil(out);
        else
            reply_bulk(out, (cop_bytes){ .data = s->name.data, .size = s->name.size });
    } else if (bytes_are(argv[1], "ID")) {
        if (argc != 2)
            wrong_number(out, "client|id");
        else
            reply_integer(out, (int64_t)s->id);
    } else {
        unknown_subcommand(out, argv[1], "CLIENT");
    }
}

/* ---- COMMAND --------------------------------------------------------------------------------- */

static void describe_all(struct buffer *out) {
    reply_array(out, command_count());
    for (size_t i = 0; i < command_count(); i++)
        command_describe(command_at(i), out);
}

static void list_all(struct buffer *out) {
    char name[32];
    reply_array(out, command_count());
    for (size_t i = 0; i < command_count(); i++)
        reply_string(out, command_name(command_at(i), name));
}

static void reply_command(const cop_bytes *argv, size_t argc, struct buffer *out) {
    if (argc == 1 || (argc == 2 && bytes_are(argv[1], "INFO"))) {
        describe_all(out);
    } else if (bytes_are(argv[1], "INFO")) {
        reply_array(out, argc - 2);
        for (size_t i = 2; i < argc; i++)
            command_describe(command_find(argv[i]), out);
    } else if (bytes_are(argv[1], "COUNT") && argc == 2) {
        reply_integer(out, (int64_t)command_count());
    } else if (bytes_are(argv[1], "LIST") && argc == 2) {
        list_all(out);
    } else if (bytes_are(argv[1], "LIST")) {
        reply_error(out, "ERR syntax error");
    } else if (bytes_are(argv[1], "DOCS")) {
        reply_array(out, 0);
    } else if (bytes_are(argv[1], "COUNT")) {
        wrong_number(out, "command|count");
    } else {
        unknown_subcommand(out, argv[1], "COMMAND");
    }
}

/* ---- CONFIG ---------------------------------------------------------------------------------- */

struct setting {
    const char *name;
    int64_t number; /* shown if there is no text */
    const char *text;
};

static cop_bytes lower(cop_bytes text, char *to, size_t room) {
    size_t size = text.size < room ? text.size : room;
    for (size_t i = 0; i < size; i++)
        to[i] =
            (char)(text.data[i] >= 'A' && text.data[i] <= 'Z' ? text.data[i] | 0x20 : text.data[i]);
    return (cop_bytes){ .data = (const uint8_t *)to, .size = size };
}

static bool any_matches(const cop_bytes *patterns, size_t count, const char *name) {
    char small[64];
    for (size_t i = 0; i < count; i++)
        if (glob_matches(lower(patterns[i], small, sizeof small), bytes_of(name)))
            return true;
    return false;
}

static void reply_settings(const cop_bytes *patterns, size_t count, struct buffer *out) {
    const struct setting settings[] = {
        { .name = "appendonly", .text = "no" },
        { .name = "databases", .number = 1 },
        { .name = "maxclients", .number = kv_config.max_clients },
        { .name = "port", .number = atomic_load(&kv_counters.bound_port) },
        { .name = "proto-max-bulk-len", .number = (int64_t)kv_config.limits.max_bulk },
        { .name = "save", .text = "" },
        { .name = "shards", .number = kv_config.shards },
        { .name = "watchdog-ms", .number = kv_config.watchdog_ms },
    };
    struct buffer found = { 0 };
    size_t matching = 0;
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        if (!any_matches(patterns, count, settings[i].name))
            continue;
        char number[24] = { 0 };
        integer_format(number, settings[i].number);
        reply_string(&found, settings[i].name);
        reply_string(&found, settings[i].text != NULL ? settings[i].text : number);
        matching++;
    }
    reply_array(out, matching * 2);
    buffer_put(out, found.data, found.size);
    buffer_free(&found);
}

static void reply_config(const cop_bytes *argv, size_t argc, struct buffer *out) {
    if (bytes_are(argv[1], "GET")) {
        if (argc > 2)
            reply_settings(argv + 2, argc - 2, out);
        else
            wrong_number(out, "config|get");
    } else if (bytes_are(argv[1], "SET") && argc > 3) {
        int shown = argv[2].size > 128 ? 128 : (int)argv[2].size;
        reply_error(out, "ERR Unknown option or number of arguments for CONFIG SET - '%.*s'", shown,
                    (const char *)argv[2].data);
    } else {
        unknown_subcommand(out, argv[1], "CONFIG");
    }
}

/* ---- all ------------------------------------------------------------------------------------- */

void local_reply(struct session *s, const struct command *command, const cop_bytes *argv,
                 size_t argc, struct buffer *out) {
    cop_bytes name = bytes_of(command->name);
    if (bytes_are(name, "PING")) {
        reply_ping(argv, argc, out);
    } else if (bytes_are(name, "ECHO")) {
        reply_bulk(out, argv[1]);
    } else if (bytes_are(name, "SELECT")) {
        reply_select(argv[1], out);
    } else if (bytes_are(name, "CLIENT")) {
        reply_client(s, argv, argc, out);
    } else if (bytes_are(name, "COMMAND")) {
        reply_command(argv, argc, out);
    } else if (bytes_are(name, "CONFIG")) {
        reply_config(argv, argc, out);
    } else {
        reply_text(out, "+OK"); /* QUIT */
        s->closing = true;
    }
}

static uint64_t count_of(const _Atomic uint64_t *counter) {
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void local_info(const struct shard_info *shards, struct buffer *out) {
    char text[1500];
    struct kv_counters *c = &kv_counters;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int length = snprintf(
        text, sizeof text,
        "# "
        "Server\r\nserver_name:coppice-kv\r\ncoppice_version:%s\r\nprocess_id:%d\r\ntcp_port:%d\r\n"
        "uptime_in_seconds:%lld\r\nschedulers:%d\r\nprocesses:%zu\r\nshards:%u\r\n\r\n"
        "# Clients\r\nconnected_clients:%llu\r\nmaxclients:%u\r\n\r\n"
        "# Memory\r\nused_memory_dataset:%llu\r\n\r\n"
        "# Stats\r\ntotal_connections_received:%llu\r\nrejected_connections:%llu\r\n"
        "total_commands_processed:%llu\r\nshard_commands_processed:%llu\r\n"
        "stores_taken_over:%llu\r\nstores_salvaged:%llu\r\nkilled_by_watchdog:%llu\r\n\r\n"
        "# Keyspace\r\n",
        cop_version(), (int)getpid(), atomic_load(&c->bound_port),
        (long long)(now.tv_sec - atomic_load(&c->started_ms) / 1000), cop_node_schedulers(),
        cop_node_process_count(), kv_config.shards, (unsigned long long)count_of(&c->connected),
        kv_config.max_clients, (unsigned long long)shards->bytes,
        (unsigned long long)count_of(&c->accepted), (unsigned long long)count_of(&c->refused),
        (unsigned long long)count_of(&c->commands), (unsigned long long)shards->served,
        (unsigned long long)count_of(&c->taken_over), (unsigned long long)count_of(&c->salvaged),
        (unsigned long long)count_of(&c->killed));
    if (shards->keys > 0)
        length += snprintf(text + length, sizeof text - (size_t)length,
                           "db0:keys=%llu,expires=%llu,avg_ttl=0\r\n",
                           (unsigned long long)shards->keys, (unsigned long long)shards->expiring);
    reply_bulk(out, (cop_bytes){ .data = (const uint8_t *)text, .size = (size_t)length });
}
