/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preparing a stack for its first switch: the frame that cop__context_switch restores is laid out
 * here; what is in it differs by machine (context_<machine>.S) and is described there.
 */
#include "os/context.h"

#include "os/context_frame.h"

void cop__context_make(cop__context *c, void *low, size_t size, void (*entry)(void *arg)) {
    uintptr_t top = ((uintptr_t)low + size) & ~(uintptr_t)15;
    uint64_t *frame = (uint64_t *)(top - COP__FRAME_WORDS * sizeof(uint64_t));
    for (int i = 0; i < COP__FRAME_WORDS; i++)
        frame[i] = 0;
    frame[COP__FRAME_PC] = (uint64_t)(uintptr_t)cop__context_start;
    frame[COP__FRAME_ENTRY] = (uint64_t)(uintptr_t)entry;
    c->sp = frame;
}
