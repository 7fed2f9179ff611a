/* SPDX-License-Identifier: Apache-2.0 */
/* floor_switch and floor_switch_make for aarch64; see floor.c. */
    .text
    .globl floor_switch
    .type floor_switch, %function
floor_switch:
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
    mov sp, x1
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
    .size floor_switch, . - floor_switch

    .globl floor_switch_make
    .type floor_switch_make, %function
floor_switch_make:
    add x0, x0, x1
    and x0, x0, #-16
    sub x0, x0, #160
    stp xzr, x2, [x0, #80]
    ret
    .size floor_switch_make, . - floor_switch_make
    .section .note.GNU-stack, "", %progbits
