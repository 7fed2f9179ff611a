/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__OS_VM_H
#define COP__OS_VM_H

#include <stdbool.h>
#include <stddef.h>

/* Address space that takes memory only where it is touched; zeroed. NULL when there is none. */
void *cop__vm_reserve(size_t bytes);
void cop__vm_release(void *addr, size_t bytes);
/* Any access there is a SIGSEGV from now on. False when the kernel has no mapping left for it:
   before 6.13 each guard splits one, and there are 65,530 (vm.max_map_count). */
bool cop__vm_guard(void *addr, size_t bytes);
/* Gives the pages back and makes any access there a SIGSEGV, without splitting a mapping, until they are
   unsealed and read as zero. False where the kernel cannot do that (before 6.13). */
bool cop__vm_seal(void *addr, size_t bytes);
bool cop__vm_unseal(void *addr, size_t bytes);
/* Gives the pages back to the kernel; they read as zero afterwards. */
void cop__vm_discard(void *addr, size_t bytes);
size_t cop__vm_page_size(void);

#endif
