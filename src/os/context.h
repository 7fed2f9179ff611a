/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__OS_CONTEXT_H
#define COP__OS_CONTEXT_H

#include <stddef.h>
#include <stdint.h>

/* A place to go on with: the stack pointer of a stack that was left by cop__context_switch. */
typedef struct cop__context {
    void *sp;
} cop__context;

/* Prepares a stack of `size` bytes from `low`: the first switch to it calls entry(arg), which must
   not return. The frame chain ends there (a zero frame pointer). */
void cop__context_make(cop__context *c, void *low, size_t size, void (*entry)(void *arg));
/* Saves the present place in *save and goes on at *to; `arg` is what the other side's switch
   returns, or what its entry gets. */
void *cop__context_switch(cop__context *save, cop__context *to, void *arg);

/* setjmp and longjmp without signal masks: the callee-saved registers, stack pointer and place, in
   COP__JUMP_WORDS words. */
#if defined(__SANITIZE_THREAD__)
#include <setjmp.h>
/* ThreadSanitizer must see the jump, to keep its own record of the calls. */
enum { COP__JUMP_WORDS = sizeof(jmp_buf) / sizeof(uint64_t) };
#define cop__jump_save(regs) _setjmp(*(jmp_buf *)(void *)(regs))
#define cop__jump_to(regs, value) longjmp(*(jmp_buf *)(uintptr_t)(regs), (value))
static inline uintptr_t cop__jump_sp(const uint64_t *regs) {
    (void)regs;
    return 0;
}
#else
/* The stack pointer that a jump goes back to. */
#if defined(__x86_64__)
enum { COP__JUMP_WORDS = 8 };
static inline uintptr_t cop__jump_sp(const uint64_t *regs) { return (uintptr_t)regs[6]; }
#else
enum { COP__JUMP_WORDS = 21 };
static inline uintptr_t cop__jump_sp(const uint64_t *regs) { return (uintptr_t)regs[20]; }
#endif
int cop__jump_save(uint64_t *regs) __attribute__((returns_twice));
_Noreturn void cop__jump_to(const uint64_t *regs, int value);
#endif

#endif
