/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__OS_CONTEXT_FRAME_H
#define COP__OS_CONTEXT_FRAME_H

/* The saved frame of a stack that was left, from its stack pointer upwards, in words. */
#if defined(__x86_64__)
/* r15 r14 r13 r12 rbx rbp pc, and padding so that the entry is called with an aligned stack */
enum { COP__FRAME_WORDS = 9, COP__FRAME_ENTRY = 4, COP__FRAME_PC = 6 };
#elif defined(__aarch64__)
/* x19..x28, x29, x30, d8..d15 */
enum { COP__FRAME_WORDS = 20, COP__FRAME_ENTRY = 0, COP__FRAME_PC = 11 };
#else
#error "Coppice runs on x86-64 and aarch64"
#endif

void cop__context_start(void); /* where a fresh stack begins: calls the entry */

#endif
