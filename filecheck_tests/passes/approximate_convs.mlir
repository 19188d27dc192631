// RUN: htvm-opt %s --split-input-file -p approximate-convs | filecheck %s

// A multiplier keeps the convolution off every array. The converters take its sums in steps of 2, since three standard
// deviations of 16 inputs of -8 to 7 end at -64 and 48; they are scaled back by 2, and half a step is added to the bias.

builtin.module attributes {accel.target = #accel.target<"diana">} {
// CHECK-LABEL: func.func @converted
// CHECK: %[[SUMS:.*]] = graph.conv2d %x, %{{.*}} strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] groups 1 :
// CHECK-NEXT: %[[STEPS:.*]] = graph.requant "floor" %[[SUMS]] multiplier [1] shift [1] zero_point 0 range -32 to 31 {graph.name = "conv.converted0"}
// CHECK-NEXT: %[[SCALE:.*]] = arith.constant dense<2> : tensor<16x1x1x1xi8>
// CHECK-NEXT: %[[BIAS:.*]] = arith.constant dense<6> : tensor<16xi32>
// CHECK-NEXT: %[[ACC:.*]] = graph.conv2d %[[STEPS]], %[[SCALE]] bias %[[BIAS]] strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] groups 16 {graph.name = "conv", graph.approximated}
// CHECK-NEXT: graph.requant "floor" %[[ACC]] multiplier [3]
func.func @converted(%x: tensor<1x16x8x8xi8> {graph.range = array<i64: -8, 7>}) -> tensor<1x16x8x8xi8> {
  %w = arith.constant dense<1> : tensor<16x16x1x1xi8>
  %b = arith.constant dense<5> : tensor<16xi32>
  %acc = graph.conv2d %x, %w bias %b strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] groups 1 {graph.name = "conv"} : tensor<1x16x8x8xi8>, tensor<16x16x1x1xi8>, tensor<16xi32> -> tensor<1x16x8x8xi32>
  %y = graph.requant "floor" %acc multiplier [3] shift [1] zero_point 0 range -128 to 127 : tensor<1x16x8x8xi32> -> tensor<1x16x8x8xi8>
  func.return %y : tensor<1x16x8x8xi8>
}

// The digital array computes this one exactly, and as fast.

// CHECK-LABEL: func.func @exact
// CHECK-NOT: range -32 to 31
// CHECK: func.return
func.func @exact(%x: tensor<1x16x8x8xi8> {graph.range = array<i64: -8, 7>}) -> tensor<1x16x8x8xi8> {
  %w = arith.constant dense<1> : tensor<16x16x1x1xi8>
  %acc = graph.conv2d %x, %w strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] groups 1 : tensor<1x16x8x8xi8>, tensor<16x16x1x1xi8> -> tensor<1x16x8x8xi32>
  %y = graph.requant "floor" %acc multiplier [1] shift [1] zero_point 0 range -128 to 127 : tensor<1x16x8x8xi32> -> tensor<1x16x8x8xi8>
  func.return %y : tensor<1x16x8x8xi8>
}
}
