/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KV_COMMAND_H
#define KV_COMMAND_H

#include "buffer.h"
#include "store.h"

/*
 * The commands: what each is called, how many arguments it takes, who carries it out, and the part
 * that shards carry out. Nothing here knows of processes.
 */

/* How a connection has a command done. */
enum plan {
    PLAN_LOCAL,     /* by itself */
    PLAN_KEY,       /* by the shard of its first argument, whose reply is the reply */
    PLAN_EACH,      /* MGET: one `part` for each key; the replies are an array */
    PLAN_COUNT,     /* DEL, EXISTS: one `part` for each key; the replies are added up */
    PLAN_PAIRS,     /* MSET: one `part` for each key and value; +OK */
    PLAN_ALL_OK,    /* FLUSHALL: by all shards; +OK */
    PLAN_ALL_COUNT, /* DBSIZE: by all shards; the replies are added up */
    PLAN_ALL_KEYS,  /* KEYS: by all shards; the replies are joined */
    PLAN_ALL_INFO,  /* INFO: by all shards; the connection makes a text of it */
    PLAN_SCAN,      /* by the shard that the cursor names */
    PLAN_CRASH,     /* by whom the command says */
};

/* What a shard knows while it carries out one command. */
struct job {
    struct store *store;
    struct buffer *out; /* where the reply goes */
    int64_t now_ms;     /* since 1970 */
    uint64_t hash;      /* of argv[0], for commands with a key */
    uint64_t served;    /* commands of this shard so far, for INFO */
    unsigned shard;     /* of so many */
    unsigned shards;
    size_t max_value; /* bytes a value may grow to */
};

/* What a shard says for INFO. */
struct shard_info {
    uint64_t keys;
    uint64_t expiring;
    uint64_t bytes;
    uint64_t served;
};

struct command {
    const char *name; /* in capitals */
    int arity;        /* with the name; negative: at least so many */
    enum plan plan;
    /* Carries it out in a shard. argv is without the command's name. NULL: that is done elsewhere.
       */
    void (*run)(struct job *job, const cop_bytes *argv, size_t argc);
    const char *part; /* of PLAN_EACH, PLAN_COUNT, PLAN_PAIRS: the command for one key */
    bool writes;
};

/* Makes the table's index. Once, before the first lookup. */
void command_setup(void);
/* By name, in any case; NULL for one that is not known. */
const struct command *command_find(cop_bytes name);
/* By number, 0 .. command_count - 1; and back. */
const struct command *command_at(size_t number);
size_t command_number(const struct command *command);
size_t command_count(void);
/* Whether so many arguments (with the name) are right. */
bool command_takes(const struct command *command, size_t argc);
/* The name in small letters, into text, which has room for 32 bytes. */
const char *command_name(const struct command *command, char *text);
/* What COMMAND INFO says of it; and for a name that is not known (NULL). */
void command_describe(const struct command *command, struct buffer *out);

/* The cursor of SCAN holds the shard in its low bits, the shard's own cursor above. */
enum { CURSOR_SHARD_BITS = 8 };
/* Reads a cursor as Redis does; false for text that is none. */
bool cursor_parse(cop_bytes text, uint64_t *out);

#define RUN(name) void run_##name(struct job *job, const cop_bytes *argv, size_t argc)
RUN(get);
RUN(set);
RUN(setnx);
RUN(setex);
RUN(psetex);
RUN(getset);
RUN(getdel);
RUN(del);
RUN(exists);
RUN(incr);
RUN(decr);
RUN(incrby);
RUN(decrby);
RUN(append);
RUN(strlen);
RUN(type);
RUN(expire);
RUN(pexpire);
RUN(expireat);
RUN(pexpireat);
RUN(expiretime);
RUN(pexpiretime);
RUN(ttl);
RUN(pttl);
RUN(persist);
RUN(keys);
RUN(scan);
RUN(dbsize);
RUN(flushall);
RUN(info);

#endif
