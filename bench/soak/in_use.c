/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counts the bytes that are in use. Pages tell how much memory a program has, and an allocator has more
 * of them than its blocks need, by what happened before; blocks tell what the program has not given back.
 * The linker (--wrap) puts these functions between the library and mimalloc; they count what a block can
 * hold. A function of mimalloc's that the library takes blocks from and that is not here would show: its
 * blocks are counted when they are freed.
 */
#include "in_use.h"

#ifdef COP__PLAIN_MALLOC
int64_t bytes_in_use(void) { return -1; }
#else
#include <mimalloc.h>

static int64_t in_use; /* atomic */

static void *taken(void *block) {
    __atomic_fetch_add(&in_use, (int64_t)mi_usable_size(block), __ATOMIC_RELAXED);
    return block;
}

static void given_back(void *block) {
    __atomic_fetch_sub(&in_use, (int64_t)mi_usable_size(block), __ATOMIC_RELAXED);
}

int64_t bytes_in_use(void) { return __atomic_load_n(&in_use, __ATOMIC_RELAXED); }

/* The names that the linker asks for. */
void *__real_mi_malloc(size_t size);
void *__real_mi_calloc(size_t count, size_t size);
void *__real_mi_realloc(void *block, size_t size);
void *__real_mi_malloc_aligned(size_t size, size_t alignment);
void __real_mi_free(void *block);
void *__wrap_mi_malloc(size_t size);
void *__wrap_mi_calloc(size_t count, size_t size);
void *__wrap_mi_realloc(void *block, size_t size);
void *__wrap_mi_malloc_aligned(size_t size, size_t alignment);
void __wrap_mi_free(void *block);

void *__wrap_mi_malloc(size_t size) { return taken(__real_mi_malloc(size)); }

void *__wrap_mi_calloc(size_t count, size_t size) { return taken(__real_mi_calloc(count, size)); }

void *__wrap_mi_realloc(void *block, size_t size) {
    given_back(block);
    return taken(__real_mi_realloc(block, size));
}

void *__wrap_mi_malloc_aligned(size_t size, size_t alignment) {
    return taken(__real_mi_malloc_aligned(size, alignment));
}

void __wrap_mi_free(void *block) {
    given_back(block);
    __real_mi_free(block);
}
#endif
