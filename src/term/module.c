/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions that modules export, by module, name and arity.
 *
 * An open hash table that only grows. Looking up takes no lock: a table is published whole, and the
 * ones it replaced are kept, because somebody may be reading them (all together they are smaller
 * than the present one). An entry's body may be replaced; its key never changes.
 *
 * Threads: loading under the mutex, looking up from any.
 */
#include <coppice/module.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "term/heap.h"
#include "term/layout.h"

void (*cop__undef_hook)(cop_ctx *ctx, cop_term frame);

struct entry {
    uint64_t module, function; /* words of atoms; module 0: free */
    uint64_t arity;
    cop_fun_body body; /* atomic */
};

struct table {
    struct table *older;
    size_t mask, count;
    struct entry entries[];
};

static struct table *table;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static size_t hash_of(uint64_t module, uint64_t function, uint64_t arity) {
    uint64_t h = (module >> 4) * UINT64_C(0x9e3779b97f4a7c15) ^ (function >> 4) << 8 ^ arity;
    return (size_t)(h * UINT64_C(0xd6e8feb86659fd93) >> 32);
}

/* The entry with that key, or the free one where it would stand. */
static struct entry *place(struct table *t, uint64_t module, uint64_t function, uint64_t arity) {
    for (size_t i = hash_of(module, function, arity);; i++) {
        struct entry *e = &t->entries[i & t->mask];
        uint64_t m = __atomic_load_n(&e->module, __ATOMIC_ACQUIRE);
        if (m == 0 || (m == module && e->function == function && e->arity == arity))
            return e;
    }
}

/* Under the mutex. */
static void put(struct table *t, uint64_t module, uint64_t function, uint64_t arity,
                cop_fun_body body) {
    struct entry *e = place(t, module, function, arity);
    __atomic_store_n(&e->body, body, __ATOMIC_RELEASE);
    if (e->module != 0)
        return;
    e->function = function;
    e->arity = arity;
    t->count++;
    __atomic_store_n(&e->module, module, __ATOMIC_RELEASE);
}

/* Under the mutex: room for n more. */
static void grow(size_t n) {
    size_t slots = table == NULL ? 64 : table->mask + 1;
    while (slots < 2 * ((table == NULL ? 0 : table->count) + n))
        slots *= 2;
    if (table != NULL && slots == table->mask + 1)
        return;
    struct table *t = calloc(1, sizeof *t + slots * sizeof t->entries[0]);
    if (t == NULL)
        cop__term_panic("no memory for modules");
    t->mask = slots - 1;
    for (size_t i = 0; table != NULL && i <= table->mask; i++) {
        const struct entry *e = &table->entries[i];
        if (e->module != 0)
            put(t, e->module, e->function, e->arity, e->body);
    }
    t->older = table;
    __atomic_store_n(&table, t, __ATOMIC_RELEASE);
}

static bool is_good(const cop_module *module, size_t *count) {
    cop_atom unused;
    if (module == NULL || module->name == NULL || module->exports == NULL
        || !cop_atom_try(module->name, strlen(module->name), &unused))
        return false;
    for (*count = 0; module->exports[*count].name != NULL; ++*count) {
        const cop_export *e = &module->exports[*count];
        if (e->body == NULL || e->arity > 255 || !cop_atom_try(e->name, strlen(e->name), &unused))
            return false;
    }
    return true;
}

int cop_module_load(const cop_module *module) {
    size_t count;
    if (!is_good(module, &count))
        return -EINVAL;
    pthread_mutex_lock(&mutex);
    grow(count);
    for (size_t i = 0; i < count; i++)
        put(table, cop_atom_new(module->name).t.w, cop_atom_new(module->exports[i].name).t.w,
            module->exports[i].arity, module->exports[i].body);
    pthread_mutex_unlock(&mutex);
    return 0;
}

cop_fun_body cop_module_function(cop_atom module, cop_atom function, size_t arity) {
    struct table *t = __atomic_load_n(&table, __ATOMIC_ACQUIRE);
    if (t == NULL)
        return NULL;
    struct entry *e = place(t, module.t.w, function.t.w, arity);
    return __atomic_load_n(&e->module, __ATOMIC_ACQUIRE) == 0
               ? NULL
               : __atomic_load_n(&e->body, __ATOMIC_ACQUIRE);
}

bool cop_module_is_loaded(cop_atom module) {
    struct table *t = __atomic_load_n(&table, __ATOMIC_ACQUIRE);
    for (size_t i = 0; t != NULL && i <= t->mask; i++)
        if (__atomic_load_n(&t->entries[i].module, __ATOMIC_ACQUIRE) == module.t.w)
            return true;
    return false;
}

cop_term cop_apply(cop_ctx *ctx, cop_atom module, cop_atom function, cop_term args) {
    int64_t argc = cop_list_length(args);
    if (argc < 0)
        cop__raise(ctx, cop_a(badarg).t);
    cop_fun_body body = argc > 255 ? NULL : cop_module_function(module, function, (size_t)argc);
    if (body == NULL) {
        if (cop__undef_hook != NULL)
            cop__undef_hook(ctx, cop_tuple(ctx, module, function, args, COP_NIL));
        cop__raise(ctx, cop_a(undef).t);
    }
    cop_term argv[256];
    for (int64_t i = 0; i < argc; i++, args = cop_tail(args))
        argv[i] = cop_head(args);
    return body(ctx, COP_NIL, (size_t)argc, argv);
}
