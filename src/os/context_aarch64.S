/* SPDX-License-Identifier: Apache-2.0 */
/* Context switch and jumps for AArch64, AAPCS64. A left stack holds, from sp up:
   x19..x28, x29, x30, d8..d15. */
    .text

    .globl cop__context_switch
    .type cop__context_switch, %function
cop__context_switch:
    .cfi_startproc
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    ldr x9, [x1]
    mov sp, x9
    mov x0, x2
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
    .cfi_endproc
    .size cop__context_switch, . - cop__context_switch

    .globl cop__context_start
    .type cop__context_start, %function
cop__context_start:
    .cfi_startproc
    mov x29, #0
    mov x30, #0
    blr x19
    brk #1
    .cfi_endproc
    .size cop__context_start, . - cop__context_start

    .globl cop__jump_save
    .globl cop__try_save
    .type cop__jump_save, %function
    .type cop__try_save, %function
cop__jump_save:
cop__try_save:
    .cfi_startproc
    stp x19, x20, [x0, #0]
    stp x21, x22, [x0, #16]
    stp x23, x24, [x0, #32]
    stp x25, x26, [x0, #48]
    stp x27, x28, [x0, #64]
    stp x29, x30, [x0, #80]
    stp d8, d9, [x0, #96]
    stp d10, d11, [x0, #112]
    stp d12, d13, [x0, #128]
    stp d14, d15, [x0, #144]
    mov x9, sp
    str x9, [x0, #160]
    mov w0, #0
    ret
    .cfi_endproc
    .size cop__jump_save, . - cop__jump_save

    .globl cop__jump_to
    .type cop__jump_to, %function
cop__jump_to:
    .cfi_startproc
    ldp x19, x20, [x0, #0]
    ldp x21, x22, [x0, #16]
    ldp x23, x24, [x0, #32]
    ldp x25, x26, [x0, #48]
    ldp x27, x28, [x0, #64]
    ldp x29, x30, [x0, #80]
    ldp d8, d9, [x0, #96]
    ldp d10, d11, [x0, #112]
    ldp d12, d13, [x0, #128]
    ldp d14, d15, [x0, #144]
    ldr x9, [x0, #160]
    mov sp, x9
    mov w0, w1
    ret
    .cfi_endproc
    .size cop__jump_to, . - cop__jump_to

    .section .note.GNU-stack, "", %progbits
