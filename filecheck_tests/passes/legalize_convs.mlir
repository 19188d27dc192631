// RUN: htvm-opt %s --split-input-file -p legalize-convs | filecheck %s

// The array has no 10x4 kernel. Blocks of 2x2 pixels turn the stride into channels and the kernel into 5x2, which a
// column of zeros makes 5x3.

builtin.module attributes {accel.target = #accel.target<"diana">} {
// CHECK-LABEL: func.func @blocks
// CHECK-NEXT: %[[W:.*]] = arith.constant dense<{{\[\[\[\[}}1, 1, 0], [1, 1, 0], {{.*}}> : tensor<1x4x5x3xi8>
// CHECK-NEXT: %[[B:.*]] = graph.space_to_depth %x block [2, 2] pads [0, 1, 0, 1] : tensor<1x1x20x8xi8> -> tensor<1x4x10x5xi8>
// CHECK-NEXT: %[[ACC:.*]] = graph.conv2d %[[B]], %[[W]] strides [1, 1] pads [2, 0, 2, 1] dilations [1, 1] groups 1 {graph.name = "conv"} : tensor<1x4x10x5xi8>, tensor<1x4x5x3xi8> -> tensor<1x1x10x4xi32>
// CHECK-NEXT: graph.requant "floor" %[[ACC]]
func.func @blocks(%x: tensor<1x1x20x8xi8>) -> tensor<1x1x10x4xi8> {
  %w = arith.constant dense<1> : tensor<1x1x10x4xi8>
  %acc = graph.conv2d %x, %w strides [2, 2] pads [4, 1, 4, 1] dilations [1, 1] groups 1 {graph.name = "conv"} : tensor<1x1x20x8xi8>, tensor<1x1x10x4xi8> -> tensor<1x1x10x4xi32>
  %y = graph.requant "floor" %acc multiplier [1] shift [8] zero_point 0 range 0 to 127 : tensor<1x1x10x4xi32> -> tensor<1x1x10x4xi8>
  func.return %y : tensor<1x1x10x4xi8>
}

// A kernel that only has to grow keeps its input; the zeros reach one column beyond it.

// CHECK-LABEL: func.func @grown
// CHECK-NEXT: %[[W:.*]] = arith.constant dense<{{\[\[\[\[}}1, 1, 0]]]]> : tensor<1x1x1x3xi8>
// CHECK-NEXT: graph.conv2d %x, %[[W]] strides [1, 1] pads [0, 0, 0, 1]
func.func @grown(%x: tensor<1x1x4x4xi8>) -> tensor<1x1x4x3xi8> {
  %w = arith.constant dense<1> : tensor<1x1x1x2xi8>
  %acc = graph.conv2d %x, %w strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] groups 1 : tensor<1x1x4x4xi8>, tensor<1x1x1x2xi8> -> tensor<1x1x4x3xi32>
  %y = graph.requant "floor" %acc multiplier [1] shift [8] zero_point 0 range 0 to 127 : tensor<1x1x4x3xi32> -> tensor<1x1x4x3xi8>
  func.return %y : tensor<1x1x4x3xi8>
}

// What the array takes stays as it is, with the padding that stride 2 never reaches.

// CHECK-LABEL: func.func @supported
// CHECK-NEXT: %[[W:.*]] = arith.constant dense<1> : tensor<1x1x3x3xi8>
// CHECK-NEXT: graph.conv2d %x, %[[W]] strides [2, 2] pads [1, 1, 1, 1]
func.func @supported(%x: tensor<1x1x4x4xi8>) -> tensor<1x1x2x2xi8> {
  %w = arith.constant dense<1> : tensor<1x1x3x3xi8>
  %acc = graph.conv2d %x, %w strides [2, 2] pads [1, 1, 1, 1] dilations [1, 1] groups 1 : tensor<1x1x4x4xi8>, tensor<1x1x3x3xi8> -> tensor<1x1x2x2xi32>
  %y = graph.requant "floor" %acc multiplier [1] shift [8] zero_point 0 range 0 to 127 : tensor<1x1x2x2xi32> -> tensor<1x1x2x2xi8>
  func.return %y : tensor<1x1x2x2xi8>
}
}

// -----
// CHECK: {{// ?-----}}

// Without an engine to please, nothing is rewritten.

builtin.module attributes {accel.target = #accel.target<"diana" engines []>} {
// CHECK-LABEL: func.func @engineless
// CHECK-NEXT: %[[W:.*]] = arith.constant dense<1> : tensor<1x1x1x2xi8>
// CHECK-NEXT: graph.conv2d %x, %[[W]] strides [1, 1] pads [0, 0, 0, 0]
func.func @engineless(%x: tensor<1x1x4x4xi8>) -> tensor<1x1x4x3xi8> {
  %w = arith.constant dense<1> : tensor<1x1x1x2xi8>
  %acc = graph.conv2d %x, %w strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] groups 1 : tensor<1x1x4x4xi8>, tensor<1x1x1x2xi8> -> tensor<1x1x4x3xi32>
  %y = graph.requant "floor" %acc multiplier [1] shift [8] zero_point 0 range 0 to 127 : tensor<1x1x4x3xi32> -> tensor<1x1x4x3xi8>
  func.return %y : tensor<1x1x4x3xi8>
}
}
