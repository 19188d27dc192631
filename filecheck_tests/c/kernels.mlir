// RUN: htvm-opt %s -p lower-host -t htvm-c | filecheck %s

builtin.module attributes {accel.target = #accel.target<"diana">} {

// CHECK:      // ---- include/tvmgen_default_kernels.h
// CHECK:      int32_t tvmgen_default_dense(const int8_t *input, int8_t *restrict output);
// CHECK:      // ---- src/tvmgen_default_kernels.c
// CHECK:      #include "diana_digital.h"
// CHECK:      // dense_weights: 2x8 int8_t.
// CHECK-NEXT: static const _Alignas(32) int8_t dense_weights[16] DIANA_L2_SHARED_CONST = {
// CHECK-NEXT:   1, 2, 3, -4, -5, -6, 7, 8, 1, 2, 3, -4, -5, -6, 7, -128,
// CHECK-NEXT: };
// CHECK:      // Computes 'logits' on cpu: input 1x8 int8_t, output 1x2 int8_t.
// CHECK-NEXT: int32_t tvmgen_default_dense(const int8_t *input, int8_t *restrict output) {
// CHECK-NEXT:   for (int32_t k = 0; k < 2; ++k) {
// CHECK-NEXT:     int32_t acc = 0;
// CHECK-NEXT:     for (int32_t c = 0; c < 8; c += 4) {
// CHECK-NEXT:       const int8_t value = input[c];
// CHECK-NEXT:       const int32_t value_1 = (int32_t)value;
// CHECK-NEXT:       const int8_t weight = dense_weights[k * 8 + c];
// CHECK-NEXT:       const int32_t weight_1 = (int32_t)weight;
// CHECK-NEXT:       const int32_t product = value_1 * weight_1;
// CHECK-NEXT:       const int32_t acc_1 = acc + product;
// CHECK-NEXT:       const int32_t c_1 = c + 1;
// CHECK-NEXT:       const int8_t value_2 = input[c_1];
// CHECK:            acc = acc_4;
// CHECK-NEXT:     }
// CHECK-NEXT:     const int32_t scaled = acc >> 9;
// CHECK-NEXT:     const int32_t y = scaled > 0 ? scaled : 0;
// CHECK-NEXT:     const int8_t y_1 = (int8_t)y;
// CHECK-NEXT:     output[k] = y_1;
// CHECK-NEXT:   }
// CHECK-NEXT:   return 0;
// CHECK-NEXT: }
func.func private @dense(%input: memref<1x8xi8, "L2">, %output: memref<1x2xi8, "L2">) attributes {accel.engine = "cpu", graph.name = "logits"} {
  accel.dispatch @cpu "dense" ins(%input : memref<1x8xi8, "L2">) outs(%output : memref<1x2xi8, "L2">) {
  ^bb0(%x: tensor<1x8xi8>):
    %weights = arith.constant dense<[[1, 2, 3, -4, -5, -6, 7, 8], [1, 2, 3, -4, -5, -6, 7, -128]]> : tensor<2x8xi8>
    %acc = graph.dense %x, %weights : tensor<1x8xi8>, tensor<2x8xi8> -> tensor<1x2xi32>
    %y = graph.requant "floor" %acc multiplier [1] shift [9] zero_point 0 range 0 to 127 : tensor<1x2xi32> -> tensor<1x2xi8>
    accel.yield %y : tensor<1x2xi8>
  }
  func.return
}

// A 64-bit product, and a rounding mode that looks at its sign.

// CHECK-LABEL: int32_t tvmgen_default_requant(const int32_t *input, int8_t *restrict output) {
// CHECK-NEXT:   for (int32_t i = 0; i < 9; ++i) {
// CHECK-NEXT:     const int32_t value = input[i];
// CHECK-NEXT:     const int64_t wide = (int64_t)value;
// CHECK-NEXT:     const int64_t product = wide * 1234567;
// CHECK-NEXT:     const int64_t sign = product >> 63;
// CHECK-NEXT:     const int64_t moved = product + 17179869184;
// CHECK-NEXT:     const int64_t moved_1 = moved + sign;
// CHECK-NEXT:     const int64_t scaled = moved_1 >> 35;
// CHECK-NEXT:     const int32_t scaled_1 = (int32_t)scaled;
// CHECK-NEXT:     const int32_t y = scaled_1 - 3;
// CHECK-NEXT:     const int32_t y_1 = y > -128 ? y : -128;
// CHECK-NEXT:     const int32_t y_2 = y_1 < 127 ? y_1 : 127;
// CHECK-NEXT:     const int8_t y_3 = (int8_t)y_2;
// CHECK-NEXT:     output[i] = y_3;
func.func private @requant(%input: memref<1x9xi32, "L2">, %output: memref<1x9xi8, "L2">) {
  accel.dispatch @cpu "requant" ins(%input : memref<1x9xi32, "L2">) outs(%output : memref<1x9xi8, "L2">) {
  ^bb0(%x: tensor<1x9xi32>):
    %y = graph.requant "half_away" %x multiplier [1234567] shift [35] zero_point -3 range -128 to 127 : tensor<1x9xi32> -> tensor<1x9xi8>
    accel.yield %y : tensor<1x9xi8>
  }
  func.return
}

}
