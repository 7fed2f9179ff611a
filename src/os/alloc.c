/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The allocator's cold half: running out of memory, and which code is the allocator's.
 * In builds with COP__PLAIN_MALLOC also the functions themselves, over the C library's.
 */
#include "os/alloc.h"

#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Noreturn void cop__out_of_memory(size_t size);
_Noreturn void cop__out_of_memory(size_t size) {
    fprintf(stderr, "coppice: out of memory: no %zu bytes\n", size);
    abort();
}

#ifdef COP__PLAIN_MALLOC
static void *checked(void *block, size_t size) {
    if (block == NULL)
        cop__out_of_memory(size);
    return block;
}
void *cop__malloc(size_t size) { return checked(malloc(size == 0 ? 1 : size), size); }
void *cop__calloc(size_t count, size_t size) {
    return checked(calloc(count == 0 ? 1 : count, size == 0 ? 1 : size), size);
}
void *cop__realloc(void *block, size_t size) {
    return checked(realloc(block, size == 0 ? 1 : size), size);
}
void *cop__aligned_alloc(size_t alignment, size_t size) {
    return checked(aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment), size);
}
void cop__free(void *block) { free(block); }
/* The C library's code cannot be told from its allocator's. */
bool cop__alloc_contains(uintptr_t pc) {
    (void)pc;
    return false;
}
#else

static uintptr_t text_low, text_high; /* of libmimalloc */

static int find_allocator(struct dl_phdr_info *info, size_t size, void *unused) {
    (void)size;
    (void)unused;
    if (strstr(info->dlpi_name, "mimalloc") == NULL)
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type == PT_LOAD && (part->p_flags & PF_X) != 0) {
            text_low = info->dlpi_addr + part->p_vaddr;
            text_high = text_low + part->p_memsz;
        }
    }
    return 1;
}

/* Before main, so that a signal handler need not take the loader's lock. */
__attribute__((constructor)) static void find_allocator_once(void) {
    dl_iterate_phdr(find_allocator, NULL);
}

bool cop__alloc_contains(uintptr_t pc) { return pc >= text_low && pc < text_high; }
#endif
