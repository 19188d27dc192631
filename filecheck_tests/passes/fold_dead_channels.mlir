// RUN: htvm-opt %s -p fold-dead-channels | filecheck %s

// 162 multiply-accumulates are 117 in the end; the indices that stay are noted for tensors that have a name.

// CHECK: builtin.module attributes {graph.kept = {a = [array<i64>, array<i64: 0, 2>, array<i64>, array<i64>]}, graph.macs = array<i64: 162, 117>}

// Channel 1 is 5 whatever the input: its 7 * 5 go into the bias of the next layer, which reads two channels.

// CHECK-LABEL: func.func @bias
// CHECK-DAG: %[[W0:.*]] = arith.constant dense<{{\[\[\[\[}}3]]], {{\[\[\[}}1]]]]> : tensor<2x1x1x1xi8>
// CHECK-DAG: %[[B0:.*]] = arith.constant dense<[1, 2]> : tensor<2xi32>
// CHECK: %[[ACC:.*]] = graph.conv2d %x, %[[W0]] bias %[[B0]]
// CHECK-NEXT: %[[A:.*]] = graph.requant "floor" %[[ACC]] multiplier [1, 3] shift [0] {{.*}} {graph.name = "a"} : tensor<1x2x3x3xi32> -> tensor<1x2x3x3xi8>
// CHECK-DAG: %[[W1:.*]] = arith.constant dense<{{\[\[\[\[}}2]], {{\[\[}}9]]]]> : tensor<1x2x1x1xi8>
// CHECK-DAG: %[[B1:.*]] = arith.constant dense<35> : tensor<1xi32>
// CHECK: graph.conv2d %[[A]], %[[W1]] bias %[[B1]] strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] groups 1
func.func @bias(%x: tensor<1x1x3x3xi8>) -> tensor<1x1x3x3xi32> {
  %w0 = arith.constant dense<[[[[3]]], [[[0]]], [[[1]]]]> : tensor<3x1x1x1xi8>
  %b0 = arith.constant dense<[1, 5, 2]> : tensor<3xi32>
  %acc = graph.conv2d %x, %w0 bias %b0 strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] groups 1 : tensor<1x1x3x3xi8>, tensor<3x1x1x1xi8>, tensor<3xi32> -> tensor<1x3x3x3xi32>
  %a = graph.requant "floor" %acc multiplier [1, 1, 3] shift [0] zero_point 0 range -128 to 127 {graph.name = "a"} : tensor<1x3x3x3xi32> -> tensor<1x3x3x3xi8>
  %w1 = arith.constant dense<[[[[2]], [[7]], [[9]]]]> : tensor<1x3x1x1xi8>
  %y = graph.conv2d %a, %w1 strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] groups 1 : tensor<1x3x3x3xi8>, tensor<1x3x1x1xi8> -> tensor<1x1x3x3xi32>
  func.return %y : tensor<1x1x3x3xi32>
}

// With padding the same constant is missing at the border, and so stays.

// CHECK-LABEL: func.func @border
// CHECK: graph.conv2d %x, {{.*}} -> tensor<1x2x3x3xi32>
// CHECK: graph.conv2d {{.*}} : tensor<1x2x3x3xi8>, tensor<1x2x1x2xi8> -> tensor<1x1x3x3xi32>
func.func @border(%x: tensor<1x1x3x3xi8>) -> tensor<1x1x3x3xi32> {
  %w0 = arith.constant dense<[[[[3]]], [[[0]]]]> : tensor<2x1x1x1xi8>
  %b0 = arith.constant dense<[1, 5]> : tensor<2xi32>
  %acc = graph.conv2d %x, %w0 bias %b0 strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] groups 1 : tensor<1x1x3x3xi8>, tensor<2x1x1x1xi8>, tensor<2xi32> -> tensor<1x2x3x3xi32>
  %a = graph.requant "floor" %acc multiplier [1] shift [0] zero_point 0 range -128 to 127 : tensor<1x2x3x3xi32> -> tensor<1x2x3x3xi8>
  %w1 = arith.constant dense<[[[[2, 4]], [[7, 6]]]]> : tensor<1x2x1x2xi8>
  %y = graph.conv2d %a, %w1 strides [1, 1] pads [0, 1, 0, 0] dilations [1, 1] groups 1 : tensor<1x2x3x3xi8>, tensor<1x2x1x2xi8> -> tensor<1x1x3x3xi32>
  func.return %y : tensor<1x1x3x3xi32>
}

// Padding holds the zero point, 5, so that here there is no border.

// CHECK-LABEL: func.func @zero_point
// CHECK: graph.conv2d %x, {{.*}} -> tensor<1x1x3x3xi32>
// CHECK: graph.conv2d {{.*}} zero_point 5 : tensor<1x1x3x3xi8>, tensor<1x1x1x2xi8> -> tensor<1x1x3x3xi32>
func.func @zero_point(%x: tensor<1x1x3x3xi8>) -> tensor<1x1x3x3xi32> {
  %w0 = arith.constant dense<[[[[3]]], [[[0]]]]> : tensor<2x1x1x1xi8>
  %b0 = arith.constant dense<[1, 5]> : tensor<2xi32>
  %acc = graph.conv2d %x, %w0 bias %b0 strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] groups 1 : tensor<1x1x3x3xi8>, tensor<2x1x1x1xi8>, tensor<2xi32> -> tensor<1x2x3x3xi32>
  %a = graph.requant "floor" %acc multiplier [1] shift [0] zero_point 0 range -128 to 127 : tensor<1x2x3x3xi32> -> tensor<1x2x3x3xi8>
  %w1 = arith.constant dense<[[[[2, 4]], [[7, 6]]]]> : tensor<1x2x1x2xi8>
  %y = graph.conv2d %a, %w1 strides [1, 1] pads [0, 1, 0, 0] dilations [1, 1] groups 1 zero_point 5 : tensor<1x2x3x3xi8>, tensor<1x2x1x2xi8> -> tensor<1x1x3x3xi32>
  func.return %y : tensor<1x1x3x3xi32>
}
