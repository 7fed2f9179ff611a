/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of commands, and its index by name: an open hash table of twice the size, made once.
 * Threads: any, after command_setup.
 */
#include "command.h"

#include <string.h>

static const struct command commands[] = {
    { "APPEND", 3, PLAN_KEY, .run = run_append, .writes = true },
    { "CLIENT", -2, .plan = PLAN_LOCAL },
    { "COMMAND", -1, .plan = PLAN_LOCAL },
    { "CONFIG", -2, .plan = PLAN_LOCAL },
    { "CRASH", -2, .plan = PLAN_CRASH },
    { "DBSIZE", 1, PLAN_ALL_COUNT, .run = run_dbsize },
    { "DECR", 2, PLAN_KEY, .run = run_decr, .writes = true },
    { "DECRBY", 3, PLAN_KEY, .run = run_decrby, .writes = true },
    { "DEL", -2, PLAN_COUNT, .run = run_del, .part = "DEL", .writes = true },
    { "ECHO", 2, .plan = PLAN_LOCAL },
    { "EXISTS", -2, PLAN_COUNT, .run = run_exists, .part = "EXISTS" },
    { "EXPIRE", -3, PLAN_KEY, .run = run_expire, .writes = true },
    { "EXPIREAT", -3, PLAN_KEY, .run = run_expireat, .writes = true },
    { "EXPIRETIME", 2, PLAN_KEY, .run = run_expiretime },
    { "FLUSHALL", -1, PLAN_ALL_OK, .run = run_flushall, .writes = true },
    { "FLUSHDB", -1, PLAN_ALL_OK, .run = run_flushall, .writes = true },
    { "GET", 2, PLAN_KEY, .run = run_get },
    { "GETDEL", 2, PLAN_KEY, .run = run_getdel, .writes = true },
    { "GETSET", 3, PLAN_KEY, .run = run_getset, .writes = true },
    { "INCR", 2, PLAN_KEY, .run = run_incr, .writes = true },
    { "INCRBY", 3, PLAN_KEY, .run = run_incrby, .writes = true },
    { "INFO", -1, PLAN_ALL_INFO, .run = run_info },
    { "KEYS", 2, PLAN_ALL_KEYS, .run = run_keys },
    { "MGET", -2, PLAN_EACH, .part = "GET" },
    { "MSET", -3, PLAN_PAIRS, .part = "SET", .writes = true },
    { "PERSIST", 2, PLAN_KEY, .run = run_persist, .writes = true },
    { "PEXPIRE", -3, PLAN_KEY, .run = run_pexpire, .writes = true },
    { "PEXPIREAT", -3, PLAN_KEY, .run = run_pexpireat, .writes = true },
    { "PEXPIRETIME", 2, PLAN_KEY, .run = run_pexpiretime },
    { "PING", -1, .plan = PLAN_LOCAL },
    { "PSETEX", 4, PLAN_KEY, .run = run_psetex, .writes = true },
    { "PTTL", 2, PLAN_KEY, .run = run_pttl },
    { "QUIT", -1, .plan = PLAN_LOCAL },
    { "SCAN", -2, PLAN_SCAN, .run = run_scan },
    { "SELECT", 2, .plan = PLAN_LOCAL },
    { "SET", -3, PLAN_KEY, .run = run_set, .writes = true },
    { "SETEX", 4, PLAN_KEY, .run = run_setex, .writes = true },
    { "SETNX", 3, PLAN_KEY, .run = run_setnx, .writes = true },
    { "STRLEN", 2, PLAN_KEY, .run = run_strlen },
    { "TOUCH", -2, PLAN_COUNT, .part = "EXISTS" },
    { "TTL", 2, PLAN_KEY, .run = run_ttl },
    { "TYPE", 2, PLAN_KEY, .run = run_type },
    { "UNLINK", -2, PLAN_COUNT, .part = "DEL", .writes = true },
};

enum { COMMANDS = sizeof commands / sizeof *commands, INDEX_SIZE = 128, LONGEST_NAME = 16 };
_Static_assert(COMMANDS * 2 <= INDEX_SIZE, "the index has room");

static uint8_t command_index[INDEX_SIZE]; /* number + 1; 0 is free */

/* The place where a name in any case is looked for first. */
static size_t first_place(cop_bytes name) {
    uint32_t hash = (uint32_t)name.size;
    for (size_t i = 0; i < name.size; i++)
        hash = hash * 31 + (name.data[i] & 0x5f);
    return (hash ^ hash >> 7) % INDEX_SIZE;
}

void command_setup(void) {
    for (size_t i = 0; i < COMMANDS; i++) {
        size_t at = first_place(bytes_of(commands[i].name));
        while (command_index[at] != 0)
            at = (at + 1) % INDEX_SIZE;
        command_index[at] = (uint8_t)(i + 1);
    }
}

const struct command *command_find(cop_bytes name) {
    if (name.size > LONGEST_NAME)
        return NULL;
    for (size_t at = first_place(name); command_index[at] != 0; at = (at + 1) % INDEX_SIZE)
        if (bytes_are(name, commands[command_index[at] - 1].name))
            return &commands[command_index[at] - 1];
    return NULL;
}

const struct command *command_at(size_t number) {
    return number < COMMANDS ? &commands[number] : NULL;
}

size_t command_number(const struct command *command) { return (size_t)(command - commands); }

size_t command_count(void) { return COMMANDS; }

bool command_takes(const struct command *command, size_t argc) {
    return command->arity >= 0 ? argc == (size_t)command->arity : argc >= (size_t)-command->arity;
}

const char *command_name(const struct command *command, char *text) {
    size_t i = 0;
    for (; command->name[i] != 0; i++)
        text[i] = (char)(command->name[i] | 0x20);
    text[i] = 0;
    return text;
}

void command_describe(const struct command *command, struct buffer *out) {
    if (command == NULL) {
        reply_nil(out);
        return;
    }
    char name[32];
    bool one = command->plan == PLAN_KEY;
    bool all = command->plan == PLAN_EACH || command->plan == PLAN_COUNT;
    bool pairs = command->plan == PLAN_PAIRS;
    reply_array(out, 6);
    reply_string(out, command_name(command, name));
    reply_integer(out, command->arity);
    reply_array(out, 1);
    reply_text(out, command->writes ? "+write" : "+readonly");
    reply_integer(out, one || all || pairs);
    reply_integer(out, one ? 1 : all || pairs ? -1 : 0);
    reply_integer(out, pairs ? 2 : one || all);
}

bool cursor_parse(cop_bytes text, uint64_t *out) {
    uint64_t n = 0;
    if (text.size == 0)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        uint64_t digit = (uint64_t)text.data[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, digit, &n))
            return false;
    }
    *out = n;
    return true;
}
