/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stacks and nurseries.
 *
 * Stacks of the default size are cut from slabs of 64, mapped without being touched; a guard page
 * lies below each. The struct that describes a stack and a small nursery (the bump region of a raw
 * process) stand at its top, just above the first frames, so that a raw process that waits in a
 * shallow place keeps one page of memory:
 *
 *     |guard page|............. frames grow down <-|frames|struct cop__stack + nursery|
 *     ^ map      ^ low                                    ^ the struct
 *
 * A stack of a special size is a mapping of its own. Free stacks are kept by the scheduler that gave
 * them back, beyond that in a common pool; what the pool holds beyond its high-water mark has its
 * pages given back to the kernel, but for the one with the struct. When a scheduler has nothing to do,
 * the free stacks go cold: all of their pages are given back, and of each only a bit in its slab is left.
 * Who takes one makes it again, as one that was never used.
 *
 * Threads: the caches by the scheduler's worker; the pool by any, under its lock.
 */
#include <stdio.h>

#include "proc/proc.h"

enum { SLAB_STACKS = 64, CACHE = 32, POOL_HIGH_WATER = 64, NURSERY_CACHE = 8, TRIM_AT_ONCE = 128 };

struct cop__slab {
    struct cop__slab *next, *next_cold;
    char *map;
    uint64_t cold;    /* a bit for each stack: free, without a page of memory */
    uint64_t guarded; /* and for each that has been in use: its guard stands */
};
_Static_assert(SLAB_STACKS == 64, "a bit for each");

static struct {
    struct cop__lock lock;
    struct cop__stack *free;
    size_t free_count;
    struct cop__slab *slabs;
    struct cop__slab *cold; /* those with cold stacks */
    size_t size;            /* of one, with its guard page */
    size_t cut;             /* atomic for readers: how many there have been at once */
} pool;

static size_t page_up(size_t n) {
    size_t page = cop__vm_page_size();
    return (n + page - 1) / page * page;
}

void cop__stacks_init(size_t default_size) {
    size_t least = 4 * cop__vm_page_size();
    pool.size = page_up(default_size < least ? least : default_size);
}

/* Kernels before 6.13 split a mapping for each guard, and allow vm.max_map_count of them. Stacks
   beyond that are used without a guard, which must not go unsaid. */
static void guard_failed(void) {
    static bool said;
    if (__atomic_exchange_n(&said, true, __ATOMIC_RELAXED))
        return;
    fputs("coppice: no guard page could be set: an overflow of this and of further stacks will not "
          "be "
          "caught; raise vm.max_map_count, or use a kernel from 6.13 on\n",
          stderr);
}

size_t cop__stacks_in_use(void) { return __atomic_load_n(&pool.cut, __ATOMIC_RELAXED); }

static void stack_guard(char *map) {
    if (!cop__vm_guard(map, cop__vm_page_size()))
        guard_failed();
}

static struct cop__stack *stack_make(char *map, size_t bytes, struct cop__slab *slab) {
    char *top = map + bytes - sizeof(struct cop__stack);
    struct cop__stack *stack = (struct cop__stack *)((uintptr_t)top & ~(uintptr_t)63);
    stack->map = map;
    stack->map_end = map + bytes;
    stack->low = map + cop__vm_page_size();
    stack->size = (size_t)((char *)stack - stack->low);
    stack->slab = slab;
    stack->holds_loop = false;
    stack->next = NULL;
    cop__fiber_create(&stack->fiber, stack->low, stack->size);
    return stack;
}

static void add_slab(void) {
    struct cop__slab *slab = cop__malloc(sizeof *slab);
    *slab = (struct cop__slab){ .next = pool.slabs, .next_cold = pool.cold, .cold = UINT64_MAX };
    slab->map = cop__vm_reserve(SLAB_STACKS * pool.size);
    if (slab->map == NULL)
        cop__panic(__FILE__, __LINE__, "no memory for stacks");
    pool.slabs = pool.cold = slab;
}

/* Under the lock. */
static struct cop__stack *take_cold(void) {
    if (pool.cold == NULL)
        add_slab();
    struct cop__slab *slab = pool.cold;
    int i = __builtin_ctzll(slab->cold);
    uint64_t bit = UINT64_C(1) << i;
    char *map = slab->map + (size_t)i * pool.size;
    slab->cold &= ~bit;
    if (slab->cold == 0)
        pool.cold = slab->next_cold;
    if ((slab->guarded & bit) == 0) {
        stack_guard(map);
        slab->guarded |= bit;
        __atomic_store_n(&pool.cut, pool.cut + 1, __ATOMIC_RELAXED);
    }
    return stack_make(map, pool.size, slab);
}

/* Under the lock. */
static struct cop__stack *pool_take(void) {
    struct cop__stack *stack = pool.free;
    if (stack == NULL)
        return take_cold();
    pool.free = stack->next;
    pool.free_count--;
    return stack;
}

struct cop__stack *cop__stack_take(struct cop__sched *sched, size_t size) {
    struct cop__stack *stack;
    if (size > pool.size) {
        size = page_up(size + cop__vm_page_size());
        char *map = cop__vm_reserve(size);
        if (map == NULL)
            cop__panic(__FILE__, __LINE__, "no memory for a stack");
        stack_guard(map);
        stack = stack_make(map, size, NULL);
    } else if (sched != NULL && sched->stacks != NULL) {
        stack = sched->stacks;
        sched->stacks = stack->next;
        sched->stack_count--;
        if (stack->holds_loop) { /* which goes on where it was left */
            stack->holds_loop = false;
            return stack;
        }
    } else {
        cop__lock(&pool.lock);
        stack = pool_take();
        cop__unlock(&pool.lock);
    }
    cop__fiber_restart(&stack->fiber);
    cop__context_make(&stack->context, stack->low, stack->size, cop__loop);
    return stack;
}

static void pool_give(struct cop__stack *stack) {
    bool discard = pool.free_count >= POOL_HIGH_WATER;
    if (discard) /* the page with the struct stays */
        cop__vm_discard(stack->low,
                        ((uintptr_t)stack & ~(cop__vm_page_size() - 1)) - (uintptr_t)stack->low);
    stack->holds_loop = false;
    stack->next = pool.free;
    pool.free = stack;
    pool.free_count++;
}

void cop__stack_give(struct cop__sched *sched, struct cop__stack *stack) {
    if (stack->slab == NULL) {
        cop__fiber_destroy(&stack->fiber);
        cop__vm_release(stack->map, (size_t)(stack->map_end - stack->map));
        return;
    }
    if (sched != NULL && sched->stack_count < CACHE) {
        stack->next = sched->stacks;
        sched->stacks = stack;
        sched->stack_count++;
        return;
    }
    cop__lock(&pool.lock);
    pool_give(stack);
    cop__unlock(&pool.lock);
}

void cop__stacks_flush(struct cop__sched *sched) {
    cop__lock(&pool.lock);
    while (sched->stacks != NULL) {
        struct cop__stack *stack = sched->stacks;
        sched->stacks = stack->next;
        pool_give(stack);
    }
    sched->stack_count = 0;
    cop__unlock(&pool.lock);
    while (sched->nurseries != NULL) {
        uint64_t *nursery = sched->nurseries;
        sched->nurseries = *(uint64_t **)nursery;
        cop__free(nursery);
    }
    sched->nursery_count = 0;
}

/* Takes its pages, the one with the struct too. */
static uint64_t chill(struct cop__stack *stack) {
    size_t place = (size_t)(stack->map - stack->slab->map) / pool.size;
    cop__fiber_destroy(&stack->fiber);
    cop__vm_discard(stack->low, (size_t)(stack->map_end - stack->low));
    return UINT64_C(1) << place;
}

/* The kernel works outside of the lock: some come out, and go back as bits. */
bool cop__stacks_trim(void) {
    struct cop__slab *slabs[TRIM_AT_ONCE];
    uint64_t bits[TRIM_AT_ONCE];
    struct cop__stack *taken = NULL;
    int count = 0;
    cop__lock(&pool.lock);
    for (; count < TRIM_AT_ONCE && pool.free != NULL; count++) {
        struct cop__stack *stack = pool_take();
        stack->next = taken;
        taken = stack;
    }
    bool more = pool.free != NULL;
    cop__unlock(&pool.lock);
    for (int i = 0; i < count; i++) {
        struct cop__stack *stack = taken;
        taken = stack->next;
        slabs[i] = stack->slab;
        bits[i] = chill(stack);
    }
    cop__lock(&pool.lock);
    for (int i = 0; i < count; i++) {
        if (slabs[i]->cold == 0) {
            slabs[i]->next_cold = pool.cold;
            pool.cold = slabs[i];
        }
        slabs[i]->cold |= bits[i];
    }
    cop__unlock(&pool.lock);
    return more;
}

void cop__stack_trim_below(struct cop__stack *stack) {
    /* A page for the frames of what is called from here. */
    size_t page = cop__vm_page_size();
    uintptr_t end = ((uintptr_t)__builtin_frame_address(0) - page) & ~(page - 1);
    if (end > (uintptr_t)stack->low)
        cop__vm_discard(stack->low, end - (uintptr_t)stack->low);
}

void cop__stacks_free(void) {
    while (pool.free != NULL) {
        struct cop__stack *stack = pool.free;
        pool.free = stack->next;
        cop__fiber_destroy(&stack->fiber);
    }
    pool.free_count = 0;
    while (pool.slabs != NULL) {
        struct cop__slab *slab = pool.slabs;
        pool.slabs = slab->next;
        cop__vm_release(slab->map, SLAB_STACKS * pool.size);
        cop__free(slab);
    }
    pool.cold = NULL;
    pool.cut = 0;
}

uint64_t *cop__nursery_take(struct cop__sched *sched) {
    if (sched != NULL && sched->nurseries != NULL) {
        uint64_t *nursery = sched->nurseries;
        sched->nurseries = *(uint64_t **)nursery;
        sched->nursery_count--;
        return nursery;
    }
    return cop__malloc(COP__BIG_NURSERY * sizeof(uint64_t));
}

void cop__nursery_give(struct cop__sched *sched, uint64_t *nursery) {
    if (sched == NULL || sched->nursery_count >= NURSERY_CACHE) {
        cop__free(nursery);
        return;
    }
    *(uint64_t **)nursery = sched->nurseries;
    sched->nurseries = nursery;
    sched->nursery_count++;
}
