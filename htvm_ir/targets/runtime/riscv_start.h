/* The start of a bare-metal program, for assembly files: a stack, a clean .bss, main.
   What follows the inclusion has main's result in a0, ends the program, and states the size of _start. */

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
