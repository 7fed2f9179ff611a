/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__OS_ALLOC_H
#define COP__OS_ALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The allocator: mimalloc, because blocks are born on one thread and die on another; the C library's
 * in builds whose tools replace malloc (COP__PLAIN_MALLOC, set by the build). All abort the program
 * when there is no memory: nothing above them checks.
 */
void *cop__malloc(size_t size);
void *cop__calloc(size_t count, size_t size);
void *cop__realloc(void *block, size_t size);
void *cop__aligned_alloc(size_t alignment, size_t size);
void cop__free(void *block);
/* True for a place in the allocator's own code: a fault there means that its structures are broken. */
bool cop__alloc_contains(uintptr_t pc);

/*
 * Small blocks, for what is taken and given back all the time: a thread that said so keeps some that it
 * was given and gives them out again, without a look at the allocator. Who frees one says the size it was
 * asked for. The block is good for cop__small_room(size) bytes. size <= COP__SMALL_MAX.
 */
enum { COP__SMALL_STEP = 32, COP__SMALL_MAX = 512 };
static inline size_t cop__small_room(size_t size) {
    return (size + COP__SMALL_STEP - 1) / COP__SMALL_STEP * COP__SMALL_STEP;
}
void *cop__small_alloc(size_t size);
/* The same, but NULL when the thread has kept none of that size. Goes into its caller, who must be a function
   that is not inlined and in which no process waits. */
static inline void *cop__small_kept(size_t size);
void cop__small_free(void *block, size_t size);
/* From now on this thread keeps some. One that takes hardly any must not: each holds a page. */
void cop__small_keep(void);
/* A thread that ends gives back what it kept. */
void cop__small_flush(void);
/* And one that has nothing to do also all pages of the allocator's that nothing lives in. Not for the
   program's first thread. */
void cop__alloc_trim(void);

#ifdef COP__PLAIN_MALLOC
static inline void *cop__small_kept(size_t size) {
    (void)size;
    return NULL;
}
#else
struct cop__kept {
    struct cop__kept *next;
};
struct cop__kept_list {
    struct cop__kept *first;
    uint32_t room; /* for so many more */
};
extern __thread struct cop__kept_list cop__kept_lists[COP__SMALL_MAX / COP__SMALL_STEP + 1]
    __attribute__((tls_model("initial-exec"), visibility("hidden")));
static inline void *cop__small_kept(size_t size) {
    struct cop__kept_list *list = &cop__kept_lists[(size + COP__SMALL_STEP - 1) / COP__SMALL_STEP];
    struct cop__kept *block = list->first;
    if (__builtin_expect(block == NULL, 0))
        return NULL;
    list->first = block->next;
    list->room++;
    return block;
}

#include <mimalloc.h>
_Noreturn void cop__out_of_memory(size_t size);
static inline void *cop__alloc_checked(void *block, size_t size) {
    if (__builtin_expect(block == NULL, 0))
        cop__out_of_memory(size);
    return block;
}
#define cop__malloc(size) cop__alloc_checked(mi_malloc(size), (size))
#define cop__calloc(count, size) cop__alloc_checked(mi_calloc((count), (size)), (size))
#define cop__realloc(block, size) cop__alloc_checked(mi_realloc((block), (size)), (size))
#define cop__aligned_alloc(alignment, size) \
    cop__alloc_checked(mi_malloc_aligned((size), (alignment)), (size))
#define cop__free(block) mi_free(block)
#endif

#endif
