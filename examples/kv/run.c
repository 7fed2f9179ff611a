/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What shards do: each command on one key, or on one shard's part of all keys.
 *
 * Every function here leaves exactly one reply in job->out. Replies, error texts and limits are
 * those of redis-server 7.0.15, observed. An error changes nothing. Threads: the shard's process,
 * between store_enter and store_leave.
 */
#include <string.h>

#include "command.h"
#include "glob.h"

static const char not_an_integer[] = "ERR value is not an integer or out of range";
static const char syntax_error[] = "ERR syntax error";

static bool look_up(struct job *job, cop_bytes key, struct found *found) {
    return store_get(job->store, key, job->hash, job->now_ms, found);
}

static void reply_ok(struct job *job) { reply_text(job->out, "+OK"); }

static void reply_found(struct job *job, bool is_there, const struct found *found) {
    if (is_there)
        reply_bulk(job->out, found->value);
    else
        reply_nil(job->out);
}

/* ---- times ----------------------------------------------------------------------------------- */

enum time_unit { SECONDS, MILLISECONDS };
enum time_base { FROM_NOW, SINCE_1970 };

/* A time of a command as milliseconds since 1970; false when it does not fit. */
static bool time_to_ms(struct job *job, int64_t n, enum time_unit unit, enum time_base base,
                       int64_t *ms) {
    if (unit == SECONDS && __builtin_mul_overflow(n, 1000, &n))
        return false;
    if (base == FROM_NOW && __builtin_add_overflow(n, job->now_ms, &n))
        return false;
    *ms = n;
    return n != STORE_FOREVER;
}

/* The time of SET, SETEX and their kin, which must lie in the future; replies when it is wrong. */
static bool parse_expiry(struct job *job, const char *command, cop_bytes text, enum time_unit unit,
                         enum time_base base, int64_t *ms) {
    int64_t n;
    if (!integer_parse(text, &n)) {
        reply_error(job->out, "%s", not_an_integer);
        return false;
    }
    if (n <= 0 || !time_to_ms(job, n, unit, base, ms)) {
        reply_error(job->out, "ERR invalid expire time in '%s' command", command);
        return false;
    }
    return true;
}

/* ---- SET and its kin ------------------------------------------------------------------------- */

RUN(get) {
    struct found found;
    reply_found(job, look_up(job, argv[0], &found), &found);
}

struct set_options {
    bool if_absent, if_present, get, keep_ttl, has_expiry;
    cop_bytes expiry;
    enum time_unit unit;
    enum time_base base;
};

/* EX, PX, EXAT or PXAT; false for any other word. */
static bool expiry_word(cop_bytes word, struct set_options *options) {
    bool at = bytes_are(word, "EXAT") || bytes_are(word, "PXAT");
    options->base = at ? SINCE_1970 : FROM_NOW;
    options->unit = bytes_are(word, "EX") || bytes_are(word, "EXAT") ? SECONDS : MILLISECONDS;
    return at || bytes_are(word, "EX") || bytes_are(word, "PX");
}

static bool parse_set_options(const cop_bytes *argv, size_t argc, struct set_options *options) {
    for (size_t i = 2; i < argc; i++) {
        if (bytes_are(argv[i], "NX") && !options->if_present) {
            options->if_absent = true;
        } else if (bytes_are(argv[i], "XX") && !options->if_absent) {
            options->if_present = true;
        } else if (bytes_are(argv[i], "GET")) {
            options->get = true;
        } else if (bytes_are(argv[i], "KEEPTTL") && !options->has_expiry) {
            options->keep_ttl = true;
        } else if (i + 1 < argc && !options->keep_ttl && !options->has_expiry
                   && expiry_word(argv[i], options)) {
            options->has_expiry = true;
            options->expiry = argv[++i];
        } else {
            return false;
        }
    }
    return true;
}

RUN(set) {
    struct set_options options = { 0 };
    int64_t expires_ms = STORE_FOREVER;
    if (!parse_set_options(argv, argc, &options)) {
        reply_error(job->out, "%s", syntax_error);
        return;
    }
    if (options.has_expiry
        && !parse_expiry(job, "set", options.expiry, options.unit, options.base, &expires_ms))
        return;
    struct found old;
    bool asks = options.get || options.keep_ttl || options.if_absent || options.if_present;
    bool is_there = asks && look_up(job, argv[0], &old);
    bool skip = options.if_absent ? is_there : options.if_present && !is_there;
    if (options.get || skip)
        reply_found(job, options.get && is_there, &old);
    else
        reply_ok(job);
    if (skip)
        return;
    if (options.keep_ttl && is_there)
        expires_ms = old.expires_ms;
    store_put(job->store, argv[0], job->hash, argv[1], expires_ms);
}

RUN(setnx) {
    struct found found;
    bool is_there = look_up(job, argv[0], &found);
    if (!is_there)
        store_put(job->store, argv[0], job->hash, argv[1], STORE_FOREVER);
    reply_integer(job->out, !is_there);
}

static void set_expiring(struct job *job, const cop_bytes *argv, const char *command,
                         enum time_unit unit) {
    int64_t expires_ms;
    if (!parse_expiry(job, command, argv[1], unit, FROM_NOW, &expires_ms))
        return;
    store_put(job->store, argv[0], job->hash, argv[2], expires_ms);
    reply_ok(job);
}

RUN(setex) { set_expiring(job, argv, "setex", SECONDS); }
RUN(psetex) { set_expiring(job, argv, "psetex", MILLISECONDS); }

RUN(getset) {
    run_get(job, argv, argc);
    store_put(job->store, argv[0], job->hash, argv[1], STORE_FOREVER);
}

RUN(getdel) {
    run_get(job, argv, argc);
    store_delete(job->store, argv[0], job->hash, job->now_ms);
}

RUN(del) { reply_integer(job->out, store_delete(job->store, argv[0], job->hash, job->now_ms)); }

RUN(exists) {
    struct found found;
    reply_integer(job->out, look_up(job, argv[0], &found));
}

RUN(strlen) {
    struct found found;
    reply_integer(job->out, look_up(job, argv[0], &found) ? (int64_t)found.value.size : 0);
}

RUN(type) {
    struct found found;
    reply_text(job->out, look_up(job, argv[0], &found) ? "+string" : "+none");
}

RUN(append) {
    struct found found;
    size_t size = look_up(job, argv[0], &found) ? found.value.size : 0;
    if (size + argv[1].size > job->max_value) {
        reply_error(job->out, "ERR string exceeds maximum allowed size (proto-max-bulk-len)");
        return;
    }
    reply_integer(job->out,
                  (int64_t)store_append(job->store, argv[0], job->hash, job->now_ms, argv[1]));
}

/* ---- counting -------------------------------------------------------------------------------- */

static void add(struct job *job, cop_bytes key, int64_t by) {
    struct found found = { .expires_ms = STORE_FOREVER };
    int64_t n = 0;
    char text[24];
    if (look_up(job, key, &found) && !integer_parse(found.value, &n)) {
        reply_error(job->out, "%s", not_an_integer);
        return;
    }
    if (__builtin_add_overflow(n, by, &n)) {
        reply_error(job->out, "ERR increment or decrement would overflow");
        return;
    }
    cop_bytes value = { .data = (const uint8_t *)text, .size = integer_format(text, n) };
    store_put(job->store, key, job->hash, value, found.expires_ms);
    reply_integer(job->out, n);
}

RUN(incr) { add(job, argv[0], 1); }
RUN(decr) { add(job, argv[0], -1); }

RUN(incrby) {
    int64_t by;
    if (integer_parse(argv[1], &by))
        add(job, argv[0], by);
    else
        reply_error(job->out, "%s", not_an_integer);
}

RUN(decrby) {
    int64_t by;
    if (!integer_parse(argv[1], &by))
        reply_error(job->out, "%s", not_an_integer);
    else if (by == INT64_MIN)
        reply_error(job->out, "ERR decrement would overflow");
    else
        add(job, argv[0], -by);
}

/* ---- time to live ---------------------------------------------------------------------------- */

struct expire_options {
    bool if_none, if_some, if_later, if_sooner;
};

static bool parse_expire_options(struct job *job, const cop_bytes *argv, size_t argc,
                                 struct expire_options *options) {
    for (size_t i = 2; i < argc; i++) {
        if (bytes_are(argv[i], "NX")) {
            options->if_none = true;
        } else if (bytes_are(argv[i], "XX")) {
            options->if_some = true;
        } else if (bytes_are(argv[i], "GT")) {
            options->if_later = true;
        } else if (bytes_are(argv[i], "LT")) {
            options->if_sooner = true;
        } else {
            int shown = argv[i].size > 128 ? 128 : (int)argv[i].size;
            reply_error(job->out, "ERR Unsupported option %.*s", shown, (const char *)argv[i].data);
            return false;
        }
    }
    if (options->if_none && (options->if_some || options->if_later || options->if_sooner)) {
        reply_error(job->out,
                    "ERR NX and XX, GT or LT options at the same time are not compatible");
        return false;
    }
    if (options->if_later && options->if_sooner) {
        reply_error(job->out, "ERR GT and LT options at the same time are not compatible");
        return false;
    }
    return true;
}

static bool expire_applies(const struct expire_options *options, int64_t old_ms, int64_t new_ms) {
    return !(options->if_none && old_ms != STORE_FOREVER)
           && !(options->if_some && old_ms == STORE_FOREVER)
           && !(options->if_later && new_ms <= old_ms) && !(options->if_sooner && new_ms >= old_ms);
}

static void expire(struct job *job, const cop_bytes *argv, size_t argc, const char *command,
                   enum time_unit unit, enum time_base base) {
    struct expire_options options = { 0 };
    struct found found;
    int64_t n, expires_ms;
    if (!parse_expire_options(job, argv, argc, &options))
        return;
    if (!integer_parse(argv[1], &n)) {
        reply_error(job->out, "%s", not_an_integer);
        return;
    }
    if (!time_to_ms(job, n, unit, base, &expires_ms)) {
        reply_error(job->out, "ERR invalid expire time in '%s' command", command);
        return;
    }
    bool applies =
        look_up(job, argv[0], &found) && expire_applies(&options, found.expires_ms, expires_ms);
    if (applies && expires_ms <= job->now_ms)
        store_delete(job->store, argv[0], job->hash, job->now_ms);
    else if (applies)
        store_expire(job->store, argv[0], job->hash, job->now_ms, expires_ms);
    reply_integer(job->out, applies);
}

RUN(expire) { expire(job, argv, argc, "expire", SECONDS, FROM_NOW); }
RUN(pexpire) { expire(job, argv, argc, "pexpire", MILLISECONDS, FROM_NOW); }
RUN(expireat) { expire(job, argv, argc, "expireat", SECONDS, SINCE_1970); }
RUN(pexpireat) { expire(job, argv, argc, "pexpireat", MILLISECONDS, SINCE_1970); }

static void time_left(struct job *job, cop_bytes key, enum time_unit unit, enum time_base base) {
    struct found found;
    if (!look_up(job, key, &found)) {
        reply_integer(job->out, -2);
    } else if (found.expires_ms == STORE_FOREVER) {
        reply_integer(job->out, -1);
    } else {
        int64_t ms = found.expires_ms - (base == FROM_NOW ? job->now_ms : 0);
        reply_integer(job->out, unit == SECONDS ? (ms + 500) / 1000 : ms);
    }
}

RUN(ttl) { time_left(job, argv[0], SECONDS, FROM_NOW); }
RUN(pttl) { time_left(job, argv[0], MILLISECONDS, FROM_NOW); }
RUN(expiretime) { time_left(job, argv[0], SECONDS, SINCE_1970); }
RUN(pexpiretime) { time_left(job, argv[0], MILLISECONDS, SINCE_1970); }

RUN(persist) {
    struct found found;
    bool had = look_up(job, argv[0], &found) && found.expires_ms != STORE_FOREVER;
    if (had)
        store_expire(job->store, argv[0], job->hash, job->now_ms, STORE_FOREVER);
    reply_integer(job->out, had);
}

/* ---- all of a shard's keys ------------------------------------------------------------------- */

RUN(dbsize) { reply_integer(job->out, (int64_t)store_count(job->store)); }

RUN(flushall) {
    bool known =
        argc == 0 || (argc == 1 && (bytes_are(argv[0], "SYNC") || bytes_are(argv[0], "ASYNC")));
    if (!known) {
        reply_error(job->out, "%s", syntax_error);
        return;
    }
    store_clear(job->store);
    reply_ok(job);
}

RUN(info) {
    struct shard_info info = {
        .keys = store_count(job->store),
        .expiring = store_count_expiring(job->store),
        .bytes = store_bytes(job->store),
        .served = job->served,
    };
    buffer_put(job->out, &info, sizeof info);
}

struct matching {
    cop_bytes pattern;
    bool any; /* all keys match */
    int64_t now_ms;
    uint64_t count;
    uint64_t looked_at;
    struct buffer *out;
};

static void take_if_matching(void *arg, cop_bytes key, const struct found *found) {
    struct matching *matching = arg;
    matching->looked_at++;
    if (found->expires_ms <= matching->now_ms
        || !(matching->any || glob_matches(matching->pattern, key)))
        return;
    reply_bulk(matching->out, key);
    matching->count++;
}

/* A count, 8 bytes, then the keys as bulk strings. */
RUN(keys) {
    struct matching matching = {
        .pattern = argv[0],
        .any = bytes_are(argv[0], "*"),
        .now_ms = job->now_ms,
        .out = job->out,
    };
    size_t head = job->out->size;
    buffer_put_u64(job->out, 0);
    uint64_t cursor = 0;
    do
        cursor = store_scan(job->store, cursor, take_if_matching, &matching);
    while (cursor != 0);
    memcpy(job->out->data + head, &matching.count, sizeof matching.count);
}

struct scan_options {
    cop_bytes pattern;
    bool any;
    bool none; /* a type that no value here has */
    int64_t count;
};

static bool parse_scan_options(struct job *job, const cop_bytes *argv, size_t argc,
                               struct scan_options *options) {
    for (size_t i = 1; i < argc; i += 2) {
        bool has_value = i + 1 < argc;
        if (has_value && bytes_are(argv[i], "COUNT")) {
            if (!integer_parse(argv[i + 1], &options->count)) {
                reply_error(job->out, "%s", not_an_integer);
                return false;
            }
            if (options->count >= 1)
                continue;
        } else if (has_value && bytes_are(argv[i], "MATCH")) {
            options->pattern = argv[i + 1];
            options->any = bytes_are(argv[i + 1], "*");
            continue;
        } else if (has_value && bytes_are(argv[i], "TYPE")) {
            options->none = !bytes_are(argv[i + 1], "STRING");
            continue;
        }
        reply_error(job->out, "%s", syntax_error);
        return false;
    }
    return true;
}

/* Where the scan goes on: in this shard, in the next one, or nowhere. */
static uint64_t cursor_after(const struct job *job, uint64_t cursor) {
    if (cursor != 0)
        return cursor << CURSOR_SHARD_BITS | job->shard;
    return job->shard + 1 < job->shards ? job->shard + 1 : 0;
}

RUN(scan) {
    uint64_t cursor = 0;
    struct scan_options options = { .any = true, .count = 10 };
    if (!cursor_parse(argv[0], &cursor)) {
        reply_error(job->out, "ERR invalid cursor");
        return;
    }
    if (!parse_scan_options(job, argv, argc, &options))
        return;
    struct buffer keys = { 0 };
    struct matching matching = { .pattern = options.pattern,
                                 .any = options.any,
                                 .now_ms = options.none ? STORE_FOREVER : job->now_ms,
                                 .out = &keys };
    cursor >>= CURSOR_SHARD_BITS;
    /* Empty buckets count too, so that a scan of a table that was emptied comes to an end. */
    uint64_t buckets_left =
        (uint64_t)options.count > UINT64_MAX / 10 ? UINT64_MAX : (uint64_t)options.count * 10;
    do
        cursor = store_scan(job->store, cursor, take_if_matching, &matching);
    while (cursor != 0 && matching.looked_at < (uint64_t)options.count && --buckets_left > 0);
    char text[24];
    cursor = cursor_after(job, cursor);
    reply_array(job->out, 2);
    reply_bulk(job->out, (cop_bytes){ .data = (const uint8_t *)text,
                                      .size = integer_format(text, (int64_t)cursor) });
    reply_array(job->out, matching.count);
    buffer_put(job->out, keys.data, keys.size);
    buffer_free(&keys);
}
