/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Atoms: an array of names and an open hash table over it. Both only grow.
 *
 * Looking up takes no lock: a table of indices is published whole when it has grown; the old one is
 * kept, because somebody may be reading it (the sizes double, so all old ones together are smaller
 * than the present one). Making an atom takes the mutex.
 *
 *     table (indices + 1) --> atoms[index] = { name, size, key, hash }
 *
 * The key is a quick hash, which the table goes by: names are looked up at each start of a child. The other
 * one is Erlang's, known for each atom since phash2 needs it.
 *
 * Invariant: an index in the table refers to an atom that is completely written (release/acquire).
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "os/alloc.h"
#include "os/vm.h"
#include "term/layout.h"
#include "term/utf8.h"

struct atom {
    const char *name;
    uint32_t size;
    uint32_t key;
    uint32_t hash;
};

struct table {
    uint32_t mask;
    struct table *old;
    uint32_t slots[];
};

/* Where names are kept; the newest block is filled. */
struct names {
    struct names *older;
    char text[16384 - sizeof(struct names *)];
};

static struct names *names;
static size_t names_left;
static struct atom *atoms; /* reserved address space */
static uint32_t count;
static struct table *table;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

_Noreturn void cop__term_panic(const char *what) {
    fprintf(stderr, "coppice: %s\n", what);
    abort();
}

/* The hash of its text that Erlang uses, so that phash2 can be the same. */
static uint32_t text_hash(const char *name, size_t size) {
    uint32_t h = 0;
    const uint8_t *p = (const uint8_t *)name, *end = p + size;
    while (p < end) {
        uint8_t v = *p++;
        if (p < end && (v & 0xfe) == 0xc2 && (*p & 0xc0) == 0x80) {
            v = (uint8_t)(v << 6 | (*p & 0x3f)); /* a Latin-1 letter counts as one byte */
            p++;
        }
        h = (h << 4) + v;
        uint32_t g = h & 0xf0000000;
        if (g != 0) {
            h ^= g >> 24;
            h ^= g;
        }
    }
    return h;
}

static uint64_t mix(uint64_t h, uint64_t word) {
    h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ h >> 32;
}

/* Eight bytes at a time. */
static uint32_t key_of(const char *name, size_t size) {
    uint64_t h = size, word;
    for (; size >= sizeof word; name += sizeof word, size -= sizeof word) {
        memcpy(&word, name, sizeof word);
        h = mix(h, word);
    }
    word = 0;
    while (size > 0)
        word = word << 8 | (uint8_t)name[--size];
    return (uint32_t)mix(h, word);
}

static struct table *table_new(uint32_t slots) {
    struct table *t = calloc(1, sizeof *t + slots * sizeof t->slots[0]);
    if (t == NULL)
        cop__term_panic("no memory for atoms");
    t->mask = slots - 1;
    return t;
}

static bool find(const struct table *t, const char *name, size_t size, uint32_t key,
                 uint32_t *index) {
    if (t == NULL)
        return false;
    for (uint32_t i = key & t->mask;; i = (i + 1) & t->mask) {
        uint32_t slot = __atomic_load_n(&t->slots[i], __ATOMIC_ACQUIRE);
        if (slot == 0)
            return false;
        const struct atom *a = &atoms[slot - 1];
        if (a->key == key && a->size == size && memcmp(a->name, name, size) == 0) {
            *index = slot - 1;
            return true;
        }
    }
}

static void insert(struct table *t, uint32_t index) {
    uint32_t i = atoms[index].key & t->mask;
    while (t->slots[i] != 0)
        i = (i + 1) & t->mask;
    __atomic_store_n(&t->slots[i], index + 1, __ATOMIC_RELEASE);
}

/* Under the mutex: a copy of the name, for ever. Blocks are chained so that a leak checker, which
   does not look into reserved memory, sees that they are still held. */
static const char *name_keep(const char *name, size_t size) {
    if (names == NULL || names_left < size + 1) {
        struct names *block = malloc(sizeof *block);
        if (block == NULL)
            cop__term_panic("no memory for atoms");
        block->older = names;
        names = block;
        names_left = sizeof block->text;
    }
    char *copy = names->text + sizeof names->text - names_left;
    memcpy(copy, name, size);
    copy[size] = '\0';
    names_left -= size + 1;
    return copy;
}

/* Under the mutex. */
static bool make(const char *name, size_t size, uint32_t key, uint32_t *index) {
    if (atoms == NULL) {
        atoms = cop__vm_reserve(COP__MAX_ATOMS * sizeof *atoms);
        if (atoms == NULL)
            cop__term_panic("no memory for atoms");
    }
    if (count == COP__MAX_ATOMS)
        return false;
    if (table == NULL || count >= (table->mask + 1) / 2) {
        struct table *larger = table_new(table == NULL ? 2048 : (table->mask + 1) * 2);
        for (uint32_t i = 0; i < count; i++)
            insert(larger, i);
        larger->old = table;
        __atomic_store_n(&table, larger, __ATOMIC_RELEASE);
    }
    const char *copy = name_keep(name, size);
    atoms[count] = (struct atom){ copy, (uint32_t)size, key, text_hash(name, size) };
    *index = count;
    /* It counts before it can be found: whoever finds it may ask for its name at once. */
    __atomic_store_n(&count, count + 1, __ATOMIC_RELEASE);
    insert(table, *index);
    return true;
}

static cop_atom atom_at(uint32_t index) {
    return (cop_atom){ { (uint64_t)index << 4 | COP__TAG_ATOM } };
}

bool cop_atom_existing(const char *name, size_t size, cop_atom *out) {
    uint32_t index;
    if (!find(__atomic_load_n(&table, __ATOMIC_ACQUIRE), name, size, key_of(name, size), &index))
        return false;
    *out = atom_at(index);
    return true;
}

bool cop_atom_try(const char *name, size_t size, cop_atom *out) {
    if (cop_atom_existing(name, size, out))
        return true;
    size_t characters;
    if (size > 4 * 255 || !cop__utf8_valid(name, size, &characters) || characters > 255
        || memchr(name, '\0', size) != NULL)
        return false;
    uint32_t index, key = key_of(name, size);
    pthread_mutex_lock(&mutex);
    bool ok = find(table, name, size, key, &index) || make(name, size, key, &index);
    pthread_mutex_unlock(&mutex);
    if (ok)
        *out = atom_at(index);
    return ok;
}

cop_atom cop_atom_new(const char *name) {
    cop_atom a;
    if (!cop_atom_try(name, strlen(name), &a)) {
        fprintf(stderr, "coppice: no atom can be made of \"%.300s\"\n", name);
        abort();
    }
    return a;
}

uint64_t cop__atom_site(uint64_t *site, const char *name) {
    uint64_t word = cop_atom_new(name).t.w;
    __atomic_store_n(site, word, __ATOMIC_RELEASE);
    return word;
}

const char *cop_atom_name(cop_atom a, size_t *size) {
    uint64_t index = a.t.w >> 4;
    if (!cop_is_atom(a.t) || index >= __atomic_load_n(&count, __ATOMIC_ACQUIRE))
        cop__term_panic("cop_atom_name of what is no atom");
    if (size != NULL)
        *size = atoms[index].size;
    return atoms[index].name;
}

uint32_t cop__atom_hash(cop_atom a) { return atoms[a.t.w >> 4].hash; }
uint32_t cop__atom_count(void) { return __atomic_load_n(&count, __ATOMIC_ACQUIRE); }

cop_atom cop_bool(bool b) { return b ? cop_a(true) : cop_a(false); }
