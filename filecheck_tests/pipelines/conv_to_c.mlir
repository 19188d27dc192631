// RUN: htvm-opt %s -p 'set-target{target=diana},fold-constants,fuse-requant,legalize-convs,dispatch' \
// RUN:   | htvm-opt -p assign-layouts,plan-tiles,apply-plan,bufferize \
// RUN:   | htvm-opt -p explicit-dma,pipeline-dma,lower-host,plan-memory -t htvm-c \
// RUN:   | filecheck %s

// From a convolution and its clip to C: one job of the array between two changes of the byte order on the CPU. Rows of
// 10 elements take 12 bytes before the array, which hides 2 of them and the ninth row, and 16 behind it.

builtin.module attributes {graph.model = "tiny"} {

// CHECK:      // ---- src/tvmgen_default_kernels.c
// CHECK:      #include "diana_digital.h"
// CHECK:      static const _Alignas(32) int8_t digital_conv2d_0_constants[496] DIANA_L2_SHARED_CONST = {
// CHECK-NEXT:   1, 1, 1,
// CHECK:      static const _Alignas(32) uint32_t digital_conv2d_0_job[64] DIANA_L2_SHARED_CONST = {
// CHECK:      // Computes 'input' on cpu: input 1x3x8x10 int8_t, output 1x3x9x12 int8_t.
// CHECK-NEXT: int32_t tvmgen_default_cpu_convert_layout_0(const int8_t *input, int8_t *restrict output) {
// CHECK-NEXT:   word_t *const words = (word_t *)(void *)output;
// CHECK:          words[{{.*}}] = 0;
// CHECK:      // Computes 'relu' on digital: input 1x3x9x12 int8_t, output 1x16x8x16 int8_t.
// CHECK-NEXT: int32_t tvmgen_default_digital_conv2d_0(const int8_t *input, int8_t *restrict output) {
// CHECK-NEXT:   diana_digital_dma_in(2080, input, 324, 1, 0, 1, 0);
// CHECK-NEXT:   diana_digital_wait();
// CHECK-NEXT:   diana_digital_conv(digital_conv2d_0_job, digital_conv2d_0_constants, 496);
// CHECK-NEXT:   diana_digital_wait();
// CHECK-NEXT:   diana_digital_dma_out(output, 0, 2048, 1, 0, 1, 0);
// CHECK-NEXT:   diana_digital_wait();
// CHECK-NEXT:   return 0;
// CHECK-NEXT: }
// CHECK:      // Computes 'relu' on cpu: input 1x16x8x16 int8_t, output 1x16x8x10 int8_t.
// CHECK-NEXT: int32_t tvmgen_default_cpu_convert_layout_1(const int8_t *input, int8_t *restrict output) {
// CHECK:      // ---- include/tvmgen_default.h
// CHECK:      #define TVMGEN_DEFAULT_WORKSPACE_SIZE 2400
// CHECK:      #define TVMGEN_DEFAULT_INPUT_SIZE 240
// CHECK:      #define TVMGEN_DEFAULT_OUTPUT_SIZE 1280
// CHECK:      // ---- src/tvmgen_default.c
// CHECK:      static _Alignas(32) uint8_t arena_l2[2400] DIANA_L2_SHARED_BSS;
// CHECK:      int32_t tvmgen_default___tvm_main__(const int8_t *input, int8_t *restrict output) {
// CHECK-NEXT:   int8_t *const buffer = (int8_t *)&arena_l2[2048];
// CHECK-NEXT:   if (tvmgen_default_cpu_convert_layout_0(input, buffer) != 0) {
// CHECK-NEXT:     return -1;
// CHECK-NEXT:   }
// CHECK-NEXT:   int8_t *const buffer_1 = (int8_t *)&arena_l2[0];
// CHECK-NEXT:   if (tvmgen_default_digital_conv2d_0(buffer, buffer_1) != 0) {
// CHECK-NEXT:     return -1;
// CHECK-NEXT:   }
// CHECK-NEXT:   if (tvmgen_default_cpu_convert_layout_1(buffer_1, output) != 0) {
// CHECK-NEXT:     return -1;
// CHECK-NEXT:   }
// CHECK-NEXT:   return 0;
// CHECK-NEXT: }
func.func @main(%x: tensor<1x3x8x10xi8> {graph.name = "input"}) -> (tensor<1x16x8x10xi8> {graph.name = "output"}) {
  %weights = arith.constant dense<1> : tensor<16x3x3x3xi8>
  %acc = graph.conv2d %x, %weights strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] groups 1 : tensor<1x3x8x10xi8>, tensor<16x3x3x3xi8> -> tensor<1x16x8x10xi32>
  %conv = graph.requant "floor" %acc multiplier [1] shift [5] zero_point 0 range -128 to 127 {graph.name = "conv"} : tensor<1x16x8x10xi32> -> tensor<1x16x8x10xi8>
  %relu = graph.requant "floor" %conv multiplier [1] shift [0] zero_point 0 range 0 to 127 {graph.name = "relu"} : tensor<1x16x8x10xi8> -> tensor<1x16x8x10xi8>
  func.return %relu : tensor<1x16x8x10xi8>
}

}
