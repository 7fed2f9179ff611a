/* SPDX-License-Identifier: Apache-2.0 */
/* floor_switch and floor_switch_make for x86-64; see floor.c. */
    .text
    .globl floor_switch
    .type floor_switch, @function
floor_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size floor_switch, . - floor_switch

    .globl floor_switch_make
    .type floor_switch_make, @function
floor_switch_make:
    leaq (%rdi, %rsi), %rax
    andq $-16, %rax
    movq $0, -8(%rax)
    movq %rdx, -16(%rax)
    subq $64, %rax
    ret
    .size floor_switch_make, . - floor_switch_make
    .section .note.GNU-stack, "", @progbits
