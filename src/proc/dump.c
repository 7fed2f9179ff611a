/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dump, for the moment when something hangs. It runs on any thread: it claims waiting processes one
 * by one (PARKED -> 0), prints them and parks them again; of running ones it prints the address only.
 */
#include <unistd.h>

#include "proc/proc.h"

static void put(int fd, const char *text, size_t size) {
    while (size > 0) {
        ssize_t n = write(fd, text, size);
        if (n <= 0)
            return;
        text += n;
        size -= (size_t)n;
    }
}

static void put_term(int fd, const char *label, cop_term t) {
    char text[600];
    cop_inspect_opts opts = { .limit = 20, .printable_limit = 200 };
    size_t at = (size_t)snprintf(text, sizeof text, "%s", label);
    at += cop_inspect_to(text + at, sizeof text - at - 1, t, &opts);
    if (at > sizeof text - 2)
        at = sizeof text - 2;
    text[at++] = '\n';
    put(fd, text, at);
}

static void dump_claimed(int fd, cop_ctx *p) {
    char text[200];
    const char *name = cop__entry_name(p);
    int n =
        snprintf(text, sizeof text, "  %s%s, waiting, %u messages, %llu reductions%s\n",
                 p->kind == KIND_PORT ? "port " : "", name != NULL ? name : "process", p->queue_len,
                 (unsigned long long)p->reductions, p->trap_exit ? ", traps exits" : "");
    put(fd, text, (size_t)n);
    cop_term call, dictionary = cop__dictionary_view(p);
    if (!cop_is_none(dictionary) && cop_map_get(dictionary, cop_as("$initial_call").t, &call))
        put_term(fd, "    started as ", call);
    struct cop__rel *rel;
    for (uint32_t i = 0; (rel = cop__rel_at(&p->rels, &i)) != NULL;)
        if (rel->kind == REL_LINK)
            put_term(fd, "    link ", (cop_term){ rel->key });
    int shown = 0;
    for (struct cop__env *env = p->queue; env != NULL && shown < 20; env = env->next, shown++)
        put_term(fd, "    message ", env->term);
}

void cop_node_dump(int fd) {
    if (!__atomic_load_n(&cop__node.running, __ATOMIC_ACQUIRE))
        return;
    uint32_t top = __atomic_load_n(&cop__node.slot_top, __ATOMIC_ACQUIRE);
    for (uint32_t i = 0; i < top; i++) {
        struct cop__slot *slot = &cop__node.slots[i];
        cop_term pid = { __atomic_load_n(&slot->pid, __ATOMIC_ACQUIRE) };
        if (pid.w == 0)
            continue;
        put_term(fd, "", pid);
        uint64_t name = __atomic_load_n(&slot->name, __ATOMIC_ACQUIRE);
        if (name != 0)
            put_term(fd, "  registered as ", (cop_term){ name });
        uintptr_t parked = INBOX_PARKED;
        if (!__atomic_compare_exchange_n(&slot->inbox, &parked, 0, false, __ATOMIC_ACQ_REL,
                                         __ATOMIC_RELAXED)) {
            put(fd, "  runs or is about to\n", 22);
            continue;
        }
        dump_claimed(fd, slot->proc);
        uintptr_t empty = 0;
        if (!__atomic_compare_exchange_n(&slot->inbox, &empty, INBOX_PARKED, false,
                                         __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
            cop__schedule(NULL, slot->proc); /* something came meanwhile */
    }
}
