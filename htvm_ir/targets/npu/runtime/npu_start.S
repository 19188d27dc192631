/* Start-up code of a bare-metal program on the npu: a stack, a clean .bss, main, and its result to the control device. */

    .section .text.start, "ax", @progbits
    .globl _start
    .type _start, @function
_start:
    .option push
    .option norelax
    la gp, __global_pointer$
    .option pop
    la sp, __stack_top
    la a0, __bss_start
    la a1, __bss_end
clear_bss:
    bgeu a0, a1, run
    sw zero, 0(a0)
    addi a0, a0, 4
    j clear_bss
run:
    li a0, 0
    li a1, 0
    call main
    /* EXIT ends the program with a code. */
    li t1, 0x1A100000
    sw a0, 0(t1)
halt:
    j halt
    .size _start, . - _start
