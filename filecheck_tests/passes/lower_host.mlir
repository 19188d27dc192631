// RUN: htvm-opt %s -p lower-host | filecheck %s

builtin.module attributes {accel.target = #accel.target<"diana">} {

// A convolution, its bias and its requantisation are one nest. Padding clips the loops over the window; the columns
// are cut where the window leaves the padding, so that the middle part, the long one, has loops of known length.

// CHECK: "memref.global"() <{sym_name = "conv_bias", type = memref<2xi32, "L2">
// CHECK: "memref.global"() <{sym_name = "conv_weights", type = memref<2x1x1x3xi8, "L2">
// CHECK: "memref.global"() <{sym_name = "conv_shifts", type = memref<2xi8, "L2">
// CHECK-LABEL: func.func private @conv
// CHECK-NOT: accel.dispatch
// CHECK: %[[TWO:.*]] = arith.constant 2 : index
// CHECK: %[[ONE:.*]] = arith.constant 1 : index
// CHECK: %[[THREE:.*]] = arith.constant 3 : index
// CHECK: %[[EIGHT:.*]] = arith.constant 8 : index
// CHECK: scf.for %k =
// CHECK-NEXT: %[[BIAS:.*]] = memref.load %bias
// CHECK: scf.for %fx = %[[ONE]] to %[[THREE]] step %[[ONE]] iter_args(%{{.*}} = %[[BIAS]])
// CHECK: memref.store
// CHECK: scf.for %x = %[[ONE]] to %[[EIGHT]] step %[[ONE]] {
// CHECK: %[[ACC:.*]] = scf.for %{{.*}} = %{{.*}} to %[[THREE]] step %[[ONE]] iter_args(%{{.*}} = %[[BIAS]])
// CHECK: arith.muli
// CHECK: %[[SCALED:.*]] = arith.shrsi %[[ACC]]
// CHECK: arith.maxsi %[[SCALED]]
// CHECK: memref.store
// CHECK: scf.for %{{.*}} = %{{.*}} to %[[TWO]] step %[[ONE]] iter_args(%{{.*}} = %[[BIAS]])
// CHECK: memref.store
func.func private @conv(%input: memref<1x1x1x9xi8, "L2">, %output: memref<1x2x1x9xi8, "L2">) {
  accel.dispatch @cpu "conv" ins(%input : memref<1x1x1x9xi8, "L2">) outs(%output : memref<1x2x1x9xi8, "L2">) {
  ^bb0(%x: tensor<1x1x1x9xi8>):
    %weights = arith.constant dense<[[[[1, 2, 3]]], [[[4, 5, 6]]]]> : tensor<2x1x1x3xi8>
    %bias = arith.constant dense<[7, 8]> : tensor<2xi32>
    %acc = graph.conv2d %x, %weights bias %bias strides [1, 1] pads [0, 1, 0, 1] dilations [1, 1] groups 1 : tensor<1x1x1x9xi8>, tensor<2x1x1x3xi8>, tensor<2xi32> -> tensor<1x2x1x9xi32>
    %y = graph.requant "floor" %acc multiplier [1] shift [3, 4] zero_point 0 range 0 to 127 : tensor<1x2x1x9xi32> -> tensor<1x2x1x9xi8>
    accel.yield %y : tensor<1x2x1x9xi8>
  }
  func.return
}

// Layouts: bytes of a word are reversed, words read as a whole, and the padding of the stored row is zero.

// CHECK-LABEL: func.func private @convert
// CHECK: %[[WORDS:.*]] = memref.view {{.*}} : memref<12xi8, "L2"> to memref<3xi32, "L2">
// CHECK: %[[FLAT:.*]] = memref.collapse_shape %output
// CHECK: scf.for %i = {{.*}} {
// CHECK: %[[WORD:.*]] = memref.load %[[WORDS]]
// CHECK: %[[BYTE:.*]] = arith.trunci %[[WORD]] : i32 to i8
// CHECK: memref.store %[[BYTE]], %[[FLAT]]
// CHECK: arith.shrsi %[[WORD]]
// CHECK-COUNT-3: memref.store
// CHECK: }
// CHECK: memref.load
// CHECK-COUNT-2: memref.store %{{.*}}, %[[FLAT]]
// CHECK: scf.for
// CHECK: memref.store
func.func private @convert(%input: memref<1x12xi8, "L2">, %output: memref<1x12xi8, "L2">) {
  accel.dispatch @cpu "convert" ins(%input : memref<1x12xi8, "L2">) outs(%output : memref<1x12xi8, "L2">) {
  ^bb0(%x: tensor<1x10xi8, #accel.layout<0, 1 : 4>>):
    %y = accel.convert_layout %x : tensor<1x10xi8, #accel.layout<0, 1 : 4>> to tensor<1x10xi8, #accel.layout<0, 1 : 4 xor 3>>
    accel.yield %y : tensor<1x10xi8, #accel.layout<0, 1 : 4 xor 3>>
  }
  func.return
}

// Ops that cannot be fused into the loop that reads a buffer only remap indices.

// CHECK-LABEL: func.func private @pool
// CHECK: scf.for %k =
// CHECK: scf.for %fy =
// CHECK-COUNT-3: memref.load %input[%{{.*}}, %k,
// CHECK: arith.muli
// CHECK: arith.shrsi
// CHECK: memref.store %{{.*}}, %{{.*}}[%k]
func.func private @pool(%input: memref<1x4x2x3xi8, "L2">, %output: memref<1x4xi8, "L2">) {
  accel.dispatch @cpu "pool" ins(%input : memref<1x4x2x3xi8, "L2">) outs(%output : memref<1x4xi8, "L2">) {
  ^bb0(%x: tensor<1x4x2x3xi8>):
    %0 = graph.pool "average" %x kernel [2, 3] strides [1, 1] pads [0, 0, 0, 0] rounding "floor" : tensor<1x4x2x3xi8> -> tensor<1x4x1x1xi8>
    %1 = graph.reshape %0 : tensor<1x4x1x1xi8> -> tensor<1x4xi8>
    accel.yield %1 : tensor<1x4xi8>
  }
  func.return
}

}
