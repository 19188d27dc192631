// RUN: htvm-opt %s -p crop-kernels | filecheck %s

// On a map of one pixel only the middle of a kernel meets anything but padding; on one of 2x2 pixels all of it counts.

builtin.module {
// CHECK-LABEL: func.func @pixel
// CHECK-NEXT: %[[W:.*]] = arith.constant dense<5> : tensor<1x1x1x1xi8>
// CHECK-NEXT: graph.conv2d %x, %[[W]] strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] groups 1 {graph.name = "conv"}
func.func @pixel(%x: tensor<1x1x1x1xi8>) -> tensor<1x1x1x1xi32> {
  %w = arith.constant dense<[[[[1, 2, 3], [4, 5, 6], [7, 8, 9]]]]> : tensor<1x1x3x3xi8>
  %acc = graph.conv2d %x, %w strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] groups 1 {graph.name = "conv"} : tensor<1x1x1x1xi8>, tensor<1x1x3x3xi8> -> tensor<1x1x1x1xi32>
  func.return %acc : tensor<1x1x1x1xi32>
}

// CHECK-LABEL: func.func @pixels
// CHECK: graph.conv2d %x, %w strides [1, 1] pads [1, 1, 1, 1]
func.func @pixels(%x: tensor<1x1x2x2xi8>) -> tensor<1x1x2x2xi32> {
  %w = arith.constant dense<[[[[1, 2, 3], [4, 5, 6], [7, 8, 9]]]]> : tensor<1x1x3x3xi8>
  %acc = graph.conv2d %x, %w strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] groups 1 : tensor<1x1x2x2xi8>, tensor<1x1x3x3xi8> -> tensor<1x1x2x2xi32>
  func.return %acc : tensor<1x1x2x2xi32>
}
}
