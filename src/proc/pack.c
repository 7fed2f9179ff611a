/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Long sleepers give their stacks back.
 *
 * A raw process that waits keeps the pages that its frames stand on, 4 KiB at least, for a few hundred
 * bytes in use. The monitor thread walks over the slots, some at a time. A process that it finds
 * waiting at the same place as on its last round is packed: the used bytes of its stack are copied
 * to a block of their size, and the stack's pages are sealed: given back to the kernel, and a fault for
 * who touches them. Whoever resumes the process unpacks it first, to the same addresses.
 *
 *     |guard|...............|frames|struct, nursery in use|nursery, not used|
 *                           |<------- copied ----------->|
 *     |sealed from low to the end ...........................................|
 *
 * A pointer to a variable on the stack of a process that waits is good for nobody but that process: with
 * a sealed stack, who follows it ends with a fault and spoils nothing. Where the kernel cannot seal
 * without splitting mappings (before 6.13) stacks stay as they are.
 *
 * Invariants
 *   1. Only who holds the process's claim packs or unpacks: the monitor by PARKED -> 0, the worker that
 *      was given it to run.
 *   2. p->is_packed says which of the two p->stack and p->packed is meant.
 * Threads: cop__pack_some by the monitor; cop__unpack by the worker that resumes the process.
 */
#include "proc/proc.h"

/* WORTH: bytes that packing must save at least. */
enum { VISITS = 512, FEW_STACKS = 256, WORTH = 1024 };

struct cop__packed {
    struct cop__stack *stack;
    uintptr_t from; /* where the bytes go back to */
    size_t size;
    uint64_t bytes[];
};

static struct {
    uint32_t *seen; /* by slot: what the last round noted of its process */
    uint32_t next;  /* where this round goes on */
    int64_t round_ns;
    bool cannot;
    uint32_t packed; /* atomic: how many are now */
} walk;

void cop__pack_init(void) {
    memset(&walk, 0, sizeof walk);
    walk.cannot = COP__FIBERS_ARE_WATCHED || cop__node.stack_idle_ns < 0;
}

void cop__pack_free(void) {
    if (walk.seen != NULL)
        cop__vm_release(walk.seen, cop__node.max_slots * sizeof *walk.seen);
    walk.seen = NULL;
}

size_t cop_node_stacks_given_back(void) { return __atomic_load_n(&walk.packed, __ATOMIC_RELAXED); }

static size_t sealed_size(const struct cop__stack *stack) {
    return (size_t)((uintptr_t)stack->map_end - (uintptr_t)stack->low);
}

/* Up to where the small nursery is in use. */
static const uint64_t *nursery_end(const cop_ctx *p, const struct cop__stack *stack) {
    if ((const uint64_t *)p->heap.young != stack->nursery)
        return stack->nursery;
    return cop__heap_region_top(&p->heap);
}

static void pack(cop_ctx *p) {
    struct cop__stack *stack = p->stack;
    uintptr_t from = (uintptr_t)stack->context.sp & ~(uintptr_t)15;
    uintptr_t to = (uintptr_t)nursery_end(p, stack);
    size_t page = cop__vm_page_size();
    size_t resident = ((uintptr_t)stack->map_end - from + page - 1) / page * page;
    if (from < (uintptr_t)stack->low || to - from + WORTH > resident)
        return;
    struct cop__packed *packed = cop__malloc(sizeof *packed + (to - from));
    packed->stack = stack;
    packed->from = from;
    packed->size = to - from;
    memcpy(packed->bytes, (const void *)from, to - from);
    if (!cop__vm_seal(stack->low, sealed_size(stack))) {
        walk.cannot = true;
        cop__free(packed);
        return;
    }
    __atomic_fetch_add(&walk.packed, 1, __ATOMIC_RELAXED);
    p->packed = packed;
    p->is_packed = true;
}

void cop__unpack(cop_ctx *p) {
    struct cop__packed *packed = p->packed;
    /* The struct that knows the mapping's end is in the block: its place tells. */
    const struct cop__stack *copy =
        (const struct cop__stack *)((const char *)packed->bytes
                                    + ((uintptr_t)packed->stack - packed->from));
    if (!cop__vm_unseal(copy->low, sealed_size(copy)))
        cop__panic(__FILE__, __LINE__, "a stack cannot be unsealed");
    memcpy((void *)packed->from, packed->bytes, packed->size);
    __atomic_fetch_sub(&walk.packed, 1, __ATOMIC_RELAXED);
    p->stack = packed->stack;
    p->is_packed = false;
    cop__free(packed);
}

/* What changes when a process has run; 0 is nobody's. */
static uint32_t note_of(const cop_ctx *p) {
    return (uint32_t)(p->reductions ^ p->wait_seq ^ cop__pid_serial(p->pid) << 7) | 1;
}

static void visit(struct cop__slot *slot, uint32_t *seen) {
    uintptr_t parked = INBOX_PARKED, empty = 0;
    if (__atomic_load_n(&slot->inbox, __ATOMIC_RELAXED) != INBOX_PARKED
        || !__atomic_compare_exchange_n(&slot->inbox, &parked, 0, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_RELAXED)) {
        *seen = 0;
        return;
    }
    cop_ctx *p = slot->proc;
    if (p->kind == KIND_PROCESS && p->has_frames && !p->is_packed && !p->keeps_stack) {
        uint32_t note = note_of(p);
        if (*seen == note)
            pack(p);
        else
            *seen = note;
    }
    if (!__atomic_compare_exchange_n(&slot->inbox, &empty, INBOX_PARKED, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_RELAXED))
        cop__schedule(NULL, p); /* something came meanwhile */
}

bool cop__pack_some(int64_t now_ns) {
    if (walk.cannot)
        return false;
    if (walk.next == 0) {
        if (now_ns - walk.round_ns < cop__node.stack_idle_ns || cop__stacks_in_use() < FEW_STACKS)
            return false;
        walk.round_ns = now_ns;
        if (walk.seen == NULL)
            walk.seen = cop__vm_reserve(cop__node.max_slots * sizeof *walk.seen);
        if (walk.seen == NULL) {
            walk.cannot = true;
            return false;
        }
    }
    uint32_t top = __atomic_load_n(&cop__node.slot_top, __ATOMIC_ACQUIRE);
    for (int n = 0; n < VISITS && walk.next < top && !walk.cannot; n++, walk.next++)
        visit(&cop__node.slots[walk.next], &walk.seen[walk.next]);
    if (walk.next >= top)
        walk.next = 0;
    return walk.next != 0 && !walk.cannot;
}
