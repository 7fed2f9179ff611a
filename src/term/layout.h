/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__TERM_LAYOUT_H
#define COP__TERM_LAYOUT_H

#include <coppice/match.h>
#include <coppice/term.h>
#include <string.h>

#include "term/heap.h"

/*
 * What boxes look like. A box is a header word and `size` words; the header's low bits are 10,
 * which no term has, so a heap can be walked: a word with 10 begins a box, any other begins a cons.
 *
 *     header = size << 8 | kind << 2 | 2
 *
 *     TUPLE      elements
 *     MAP        key, value, key, value ... sorted by cop__key_compare, at most 32 pairs
 *     HAMT       count of pairs (raw), top node
 *     NODE       bitmap (raw), for each set bit: a node, a collision, or a cons [key | value]
 *     COLLISION  conses [key | value] of equal hash
 *     POSBIG     limbs, least first, without leading zeros; NEGBIG likewise
 *     FLOAT      the double
 *     BINARY     bytes (raw count), the bytes, zero padded; up to 64 of them
 *     SHARED     next (offheap list), struct cop__shared *, offset, bytes << 3 | bits of the last
 *     RESOURCE   next, struct cop__resource *
 *     FUN        body, arity (raw), env
 *     EXPORT     module, function (atoms), arity (raw): a function by its name
 *     EXT_PID, EXT_PORT, EXT_REF   node (an atom), creation (raw), numbers (raw)
 */
enum cop__box {
    BOX_TUPLE,
    BOX_MAP,
    BOX_HAMT,
    BOX_NODE,
    BOX_COLLISION,
    BOX_POSBIG,
    BOX_NEGBIG,
    BOX_FLOAT,
    BOX_BINARY,
    BOX_SHARED,
    BOX_RESOURCE,
    BOX_FUN,
    BOX_EXT_PID,
    BOX_EXT_PORT,
    BOX_EXT_REF,
    BOX_EXPORT,
};

enum { COP__MAP_FLAT_MAX = 32, COP__BINARY_INLINE_MAX = 64, COP__MAX_ATOMS = 1 << 20 };

struct cop__shared {
    uint64_t count; /* atomic */
    uint64_t size;
    uint8_t data[];
};

struct cop__resource {
    uint64_t count; /* atomic */
    const cop_resource_type *type;
    void *object;
};

static inline uint64_t cop__header(enum cop__box kind, size_t size) {
    return (uint64_t)size << 8 | (uint64_t)kind << 2 | 2;
}
static inline enum cop__box cop__header_kind(uint64_t header) {
    return (enum cop__box)((header >> 2) & 63);
}
static inline size_t cop__header_size(uint64_t header) { return (size_t)(header >> 8); }
static inline bool cop__is_header(uint64_t word) { return (word & 3) == 2; }

static inline bool cop__is_box(cop_term t) { return cop_is_boxed(t) && t.w != 0; }
static inline uint64_t *cop__box(cop_term t) { return (uint64_t *)(uintptr_t)t.w; }
static inline uint64_t *cop__cons(cop_term t) { return (uint64_t *)(uintptr_t)(t.w - 1); }
static inline cop_term cop__box_term(uint64_t *box) {
    return (cop_term){ (uint64_t)(uintptr_t)box };
}
/*
 * From the cell *at, whose tail is given, to that tail; false when it is no cell. Cells mostly lie at even
 * distances: in a message one behind the other, in what was consed one before the other. So the next one's place
 * is guessed, and only compared with the pointer: then the processor need not wait for that before it reads on.
 * *stride begins as COP__CELL and is a distance between cells, so a guess that holds is a cell.
 */
enum { COP__CELL = 2 * sizeof(uint64_t) };
static inline bool cop__next_cell(uint64_t *at, uint64_t tail, uint64_t *stride) {
    uint64_t guess = *at + *stride;
    if (__builtin_expect(tail == guess, 1)) {
        __asm__(
            ""
            : "+r"(guess)); /* or the compiler, which knows that they are equal, takes the other */
        *at = guess;
        return true;
    }
    *stride = tail - *at;
    *at = tail;
    return (tail & 3) == 1;
}
static inline cop_term cop__cons_term(uint64_t *cons) {
    return (cop_term){ (uint64_t)(uintptr_t)cons | 1 };
}
static inline bool cop__is_kind(cop_term t, enum cop__box kind) {
    return cop__is_box(t) && cop__header_kind(*cop__box(t)) == kind;
}
/* The index of the first word that is a term; 0 when none is. All after it are. */
static inline size_t cop__traced_from(enum cop__box kind) {
    switch (kind) {
    case BOX_TUPLE:
    case BOX_MAP:
    case BOX_COLLISION:
        return 1;
    case BOX_HAMT:
    case BOX_NODE:
        return 2;
    case BOX_FUN:
        return 3;
    default:
        return 0;
    }
}
static inline bool cop__is_offheap(enum cop__box kind) {
    return kind == BOX_SHARED || kind == BOX_RESOURCE;
}
static inline struct cop__heap *cop__heap_of(cop_ctx *ctx) { return (struct cop__heap *)ctx; }

/* Local addresses. A pid: slot 24 bits, serial 36. A reference or a port: slot 24, number 34. */
static inline cop_term cop__pid_make(uint64_t slot, uint64_t serial) {
    return (cop_term){ (slot | serial << 24) << 4 | COP__TAG_PID };
}
static inline uint64_t cop__pid_slot(cop_term t) { return t.w >> 4 & 0xffffff; }
static inline uint64_t cop__pid_serial(cop_term t) { return t.w >> 28; }
static inline cop_term cop__ref_make(uint64_t slot, uint64_t number) {
    return (cop_term){ (slot | number << 24) << 6 | COP__TAG_REF };
}
static inline uint64_t cop__ref_slot(cop_term t) { return t.w >> 6 & 0xffffff; }
/* A local reference's 58 bits as three numbers of 18, 18 and 22 bits, least significant first; it
   prints as #Reference<0.n[2].n[1].n[0]>, and phash2 takes in n[0], as with Erlang's. */
static inline void cop__ref_numbers(cop_term t, uint32_t n[3]) {
    n[0] = (uint32_t)(t.w >> 6 & 0x3ffff);
    n[1] = (uint32_t)(t.w >> 24 & 0x3ffff);
    n[2] = (uint32_t)(t.w >> 42);
}
static inline cop_term cop__port_make(uint64_t slot, uint64_t number) {
    return (cop_term){ (slot | number << 24) << 6 | COP__TAG_PORT };
}
static inline uint64_t cop__port_slot(cop_term t) { return t.w >> 6 & 0xffffff; }
static inline bool cop__is_ref_word(cop_term t) { return (t.w & 63) == COP__TAG_REF; }
static inline bool cop__is_port_word(cop_term t) { return (t.w & 63) == COP__TAG_PORT; }
static inline bool cop__is_pid_word(cop_term t) { return (t.w & 15) == COP__TAG_PID; }

/* An address of another node; numbers in the order of the external format. */
cop_term cop__external(cop_ctx *ctx, enum cop__box kind, cop_atom node, uint32_t creation,
                       size_t count, const uint32_t *numbers);

/* The bytes of a binary and the bits used of its last byte (0: all). False for anything else. */
bool cop__binary_view(cop_term t, cop_bytes *bytes, unsigned *bits);
cop_term cop__bitstring(cop_ctx *ctx, const uint8_t *data, size_t bytes, unsigned last_bits);

/* Integers as sign and limbs; a small one is put into *small. */
struct cop__magnitude {
    const uint64_t *limbs;
    size_t count;
    bool negative;
};
bool cop__magnitude_of(cop_term t, struct cop__magnitude *m, uint64_t *small);
cop_term cop__integer_make(cop_ctx *ctx, bool negative, const uint64_t *limbs, size_t count);
/* A malloc'ed decimal text (free with cop__free). */
char *cop__integer_text(cop_term t);

uint32_t cop__atom_hash(cop_atom a); /* as Erlang hashes its text */
uint32_t cop__atom_count(void);
uint32_t cop__hash_full(cop_term t); /* phash2 before it is cut to a range */
uint32_t cop__hash_key(cop_term t);  /* for maps: takes in every bit of what === compares */
int cop__key_compare(cop_term a, cop_term b); /* the order of keys in a flat map */
void cop__heap_link_offheap(struct cop__heap *heap, struct cop__offbox *box);
void cop__offbox_release(struct cop__offbox *box);
void cop__offbox_retain(struct cop__offbox *box);

/* A list of terms that grows: for walks that must not recurse. */
struct cop__worklist {
    cop_term *items;
    size_t count, cap;
    cop_term first[64];
};
static inline void cop__worklist_init(struct cop__worklist *w) {
    w->items = w->first;
    w->count = 0;
    w->cap = 64;
}
void cop__worklist_grow(struct cop__worklist *w);
static inline void cop__worklist_push(struct cop__worklist *w, cop_term t) {
    if (w->count == w->cap)
        cop__worklist_grow(w);
    w->items[w->count++] = t;
}
void cop__worklist_free(struct cop__worklist *w);

/* Stops the program: a caller's mistake that cannot be an exit, or the run-time's own. */
_Noreturn void cop__term_panic(const char *what);

#endif
