/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_OTP_REGISTRY_HELP_H
#define TEST_OTP_REGISTRY_HELP_H

/* What the tests of the registry have in common. Each runs with one partition and with eight. */
#include <coppice.h>
#include <coppice/test.h>
#include <stdio.h>
#include <string.h>

/* A term from its text. */
static inline cop_term T(cop_ctx *ctx, const char *text) {
    cop_term t;
    cop_parse_error error;
    if (!cop_parse(ctx, text, strlen(text), &t, &error))
        FAIL("%.200s: expected %s at %zu", text, error.expected, error.offset);
    return t;
}

/* Starts a registry with options in Elixir's notation; linked to the caller. */
static inline cop_started start_with(cop_ctx *ctx, const char *options) {
    return cop_registry_start_link(ctx, T(ctx, options));
}

static inline cop_pid start(cop_ctx *ctx, cop_registry_keys keys, int64_t partitions) {
    cop_started s = cop_registry_start(
        ctx, &(cop_registry_opts){ .keys = keys, .name = "reg", .partitions = partitions });
    EXPECT_INT(s.is, COP_STARTED);
    return s.pid;
}

/* Ends a registry that the caller started and waits for its end. Who has entries is linked to it. */
static inline void stop(cop_ctx *ctx, cop_pid registry) {
    cop_process_unlink(ctx, registry);
    bool trapped = cop_process_trap_exit(ctx, true);
    cop_supervisor_stop(ctx, registry, cop_a(normal).t, 0);
    test_flush(ctx);
    cop_process_trap_exit(ctx, trapped);
}

/* For every kind of duplicate registry and both numbers of partitions: a body with `reg` running. */
typedef void (*with_registry)(cop_ctx *ctx, cop_registry_keys keys, int64_t partitions);
static inline void for_each(cop_ctx *ctx, cop_registry_keys first, cop_registry_keys last,
                            with_registry body) {
    for (int keys = (int)first; keys <= (int)last; keys++)
        for (int64_t n = 1; n <= 8; n += 7) {
            test_note("keys %d, %d partitions", keys, (int)n);
            cop_pid registry = start(ctx, (cop_registry_keys)keys, n);
            body(ctx, (cop_registry_keys)keys, n);
            stop(ctx, registry);
            test_flush(ctx);
        }
}
static inline void for_unique(cop_ctx *ctx, with_registry body) {
    for_each(ctx, COP_REGISTRY_UNIQUE, COP_REGISTRY_UNIQUE, body);
}
static inline void for_duplicate(cop_ctx *ctx, with_registry body) {
    for_each(ctx, COP_REGISTRY_DUPLICATE, COP_REGISTRY_DUPLICATE_KEY, body);
}
static inline void for_all(cop_ctx *ctx, with_registry body) {
    for_each(ctx, COP_REGISTRY_UNIQUE, COP_REGISTRY_DUPLICATE_KEY, body);
}

#define REG cop_a(reg)

/* A process that registers {key, value} and tells the test; then it does as it is told:
   {:register, key, value}, {:unregister, key}, :trap; everything it does not know it sends back. */
static inline void member(cop_ctx *ctx, cop_term arg) {
    cop_term test = cop_elem(arg, 0), key, value, message;
    for (cop_term list = cop_elem(arg, 1), pair; cop_get_cons(list, &pair, &list);)
        cop_registry_register(ctx, REG, cop_elem(pair, 0), cop_elem(pair, 1));
    cop_send(ctx, test, cop_tuple(ctx, cop_a(ready), cop_self(ctx)));
    for (;;)
        COP_SCOPE(ctx) {
            cop_receive(ctx, COP_INFINITY, &message);
            if (cop_match_tuple(message, cop_a(register), &key, &value)) {
                bool ok = cop_registry_register(ctx, REG, key, value).ok;
                cop_send(ctx, test, cop_tuple(ctx, cop_a(registered), ok));
            } else if (cop_match_tuple(message, cop_a(unregister), &key)) {
                cop_registry_unregister(ctx, REG, key);
                cop_send(ctx, test, cop_a(unregistered));
            } else if (cop_match(message, cop_a(trap))) {
                cop_process_trap_exit(ctx, true);
                cop_send(ctx, test, cop_a(trapping));
            } else {
                cop_send(ctx, test, cop_tuple(ctx, cop_a(got), cop_self(ctx), message));
            }
        }
}

/* One with these entries, [{key, value}, ...] as text. */
static inline cop_pid new_member(cop_ctx *ctx, const char *entries) {
    cop_pid pid = cop_spawn(ctx, member, cop_tuple(ctx, cop_self(ctx), T(ctx, entries)));
    cop_term ready = ASSERT_RECEIVE(ctx, "{:ready, _}");
    EXPECT(cop_same(cop_elem(ready, 1), pid.t));
    return pid;
}

static inline void kill_and_wait(cop_ctx *ctx, cop_pid pid) {
    cop_process_exit(ctx, pid, cop_a(kill).t);
    test_await_down(ctx, pid);
}

static inline bool is_linked(cop_ctx *ctx, cop_pid pid) {
    cop_term links = cop_process_info(ctx, cop_self(ctx), cop_a(links)), link;
    while (cop_get_cons(links, &link, &links))
        if (cop_same(link, pid.t))
            return true;
    return false;
}

/* The partition's process. */
static inline cop_pid partition(cop_ctx *ctx, int64_t index) {
    char name[64];
    snprintf(name, sizeof name, "Elixir.reg.PIDPartition%lld", (long long)index);
    cop_pid pid = { COP_NONE };
    cop_get_pid(cop_process_whereis(ctx, cop_atom_new(name)), &pid);
    return pid;
}

static inline void suspend_partitions(cop_ctx *ctx, int64_t partitions, bool suspend) {
    for (int64_t i = 0; i < partitions; i++) {
        if (suspend)
            cop_process_suspend(ctx, partition(ctx, i), 0);
        else
            cop_process_resume(ctx, partition(ctx, i));
    }
}

static inline cop_registered reg(cop_ctx *ctx, const char *key, const char *value) {
    return cop_registry_register(ctx, REG, T(ctx, key), T(ctx, value));
}
static inline cop_term lookup(cop_ctx *ctx, const char *key) {
    return cop_registry_lookup(ctx, REG, T(ctx, key));
}
static inline cop_term match(cop_ctx *ctx, const char *key, const char *pattern,
                             const char *guards) {
    return cop_registry_match(ctx, REG, T(ctx, key), T(ctx, pattern), T(ctx, guards));
}
static inline int64_t count_match(cop_ctx *ctx, const char *key, const char *pattern,
                                  const char *guards) {
    return cop_registry_count_match(ctx, REG, T(ctx, key), T(ctx, pattern), T(ctx, guards));
}
static inline cop_term my_keys(cop_ctx *ctx) {
    return cop_registry_keys_of(ctx, REG, cop_self(ctx));
}
static inline cop_term my_values(cop_ctx *ctx, const char *key) {
    return cop_registry_values(ctx, REG, T(ctx, key), cop_self(ctx));
}
static inline cop_term select_rows(cop_ctx *ctx, const char *spec) {
    return cop_registry_select(ctx, REG, T(ctx, spec));
}
static inline int64_t count_rows(cop_ctx *ctx, const char *spec) {
    return cop_registry_count_select(ctx, REG, T(ctx, spec));
}
static inline void unregister_match(cop_ctx *ctx, const char *key, const char *pattern,
                                    const char *guards) {
    cop_registry_unregister_match(ctx, REG, T(ctx, key), T(ctx, pattern), T(ctx, guards));
}
static inline void unregister(cop_ctx *ctx, const char *key) {
    cop_registry_unregister(ctx, REG, T(ctx, key));
}

/* In the order of terms, for what comes in none. */
static inline cop_term sorted(cop_ctx *ctx, cop_term list) {
    cop_term terms[64], t;
    size_t count = 0;
    for (; cop_get_cons(list, &t, &list); count++) {
        EXPECT(count < 64);
        size_t at = count;
        for (; at > 0 && cop_compare(terms[at - 1], t) > 0; at--)
            terms[at] = terms[at - 1];
        terms[at] = t;
    }
    return cop_list_n(ctx, count, terms);
}

#endif
