/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The allocator's cold half: running out of memory, giving memory back, and which code is the
 * allocator's.
 * In builds with COP__PLAIN_MALLOC also the functions themselves, over the C library's.
 */
#include "os/alloc.h"

#include <link.h>
#include <pthread.h>
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
/* The tools are to see each block. */
void *cop__small_alloc(size_t size) { return cop__malloc(size); }
void cop__small_free(void *block, size_t size) {
    (void)size;
    free(block);
}
void cop__small_keep(void) {}
void cop__small_flush(void) {}
void cop__alloc_trim(void) {}
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

#if MI_MALLOC_VERSION >= 210
#define ABANDONED_GIVES_BACK mi_option_abandoned_page_purge
#else
#define ABANDONED_GIVES_BACK mi_option_abandoned_page_decommit
#endif

/* Before main, so that a signal handler need not take the loader's lock. */
__attribute__((constructor)) static void prepare(void) {
    dl_iterate_phdr(find_allocator, NULL);
    mi_option_set_enabled_default(ABANDONED_GIVES_BACK, true);
}

/* ---- small blocks ------------------------------------------------------------------------------ */

/*
 * One list per size and thread. A list that is full passes blocks on to the allocator, so what one
 * thread makes and another frees does not pile up. The functions are not inlined, because a process
 * may wake on another thread and thread-local addresses must not be kept over a wait; cop__small_kept goes
 * only into functions in which none waits.
 */
enum { KEPT_STEPS = 64 * 1024 / COP__SMALL_STEP }; /* of each size: so many bytes */
__thread struct cop__kept_list cop__kept_lists[COP__SMALL_MAX / COP__SMALL_STEP + 1]
    __attribute__((tls_model("initial-exec"), visibility("hidden")));

void cop__small_keep(void) {
    cop__small_flush();
    for (uint32_t i = 1; i < sizeof cop__kept_lists / sizeof *cop__kept_lists; i++)
        cop__kept_lists[i].room = KEPT_STEPS / i;
}

__attribute__((noinline)) void *cop__small_alloc(size_t size) {
    void *block = cop__small_kept(size);
    return __builtin_expect(block != NULL, 1) ? block : cop__malloc(cop__small_room(size));
}

__attribute__((noinline)) void cop__small_free(void *block, size_t size) {
    struct cop__kept_list *list = &cop__kept_lists[(size + COP__SMALL_STEP - 1) / COP__SMALL_STEP];
    if (__builtin_expect(list->room == 0, 0)) {
        cop__free(block);
        return;
    }
    struct cop__kept *kept = block;
    kept->next = list->first;
    list->first = kept;
    list->room--;
}

void cop__small_flush(void) {
    for (size_t i = 0; i < sizeof cop__kept_lists / sizeof *cop__kept_lists; i++) {
        struct cop__kept_list *list = &cop__kept_lists[i];
        while (list->first != NULL) {
            struct cop__kept *block = list->first;
            list->first = block->next;
            list->room++;
            cop__free(block);
        }
    }
}

/*
 * mimalloc gives free pages back some time after, when a page is taken near them: so never, in a thread
 * that has nothing to do. What a thread abandons, as if it ended, it gives back at once; what lives in
 * its other pages goes to whoever needs a page next, and this thread begins anew with its next block.
 * One at a time: a page that two threads free blocks of while a third abandons it would be overlooked.
 */
void cop__alloc_trim(void) {
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&mutex);
    cop__small_flush();
    mi_free(mi_malloc(1)); /* a thread that only frees has no heap, and would not collect */
    mi_collect(true);
    mi_thread_done();
    pthread_mutex_unlock(&mutex);
}

bool cop__alloc_contains(uintptr_t pc) { return pc >= text_low && pc < text_high; }
#endif
