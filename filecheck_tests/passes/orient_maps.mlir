// RUN: htvm-opt %s --split-input-file -p orient-maps | filecheck %s

// The array computes 16 columns for the 3 of this map, and 48 for the 40 rows of the turned one. The kernel is turned
// with the map, the padding too; the mean over the map looks the same from both sides and leaves nothing to turn back.

// CHECK: accel.orientation = {swapped = {{[0-9]+}} : i64}
builtin.module attributes {accel.target = #accel.target<"diana">} {
// CHECK-LABEL: func.func @main
// CHECK-NEXT: %[[IN:.*]] = graph.transpose %x permutation [0, 1, 3, 2] {graph.name = "input", graph.turned = array<i64: 0, 1, 3, 2>} : tensor<1x4x40x3xi8> -> tensor<1x4x3x40xi8>
// CHECK-NEXT: %[[W:.*]] = arith.constant dense<1> : tensor<16x4x3x5xi8>
// CHECK-NEXT: %[[ACC:.*]] = graph.conv2d %[[IN]], %[[W]] strides [1, 1] pads [1, 2, 1, 1] dilations [1, 1] groups 1 {graph.turned = array<i64: 0, 1, 3, 2>}
// CHECK-NEXT: %[[MAP:.*]] = graph.requant "floor" %[[ACC]] {{.*}} {graph.name = "map", graph.turned = array<i64: 0, 1, 3, 2>}
// CHECK-NEXT: graph.pool "average" %[[MAP]] kernel [3, 39] strides [1, 1] pads [0, 0, 0, 0] rounding "floor" : tensor<1x16x3x39xi8> -> tensor<1x16x1x1xi8>
// CHECK-NEXT: func.return
func.func @main(%x: tensor<1x4x40x3xi8> {graph.name = "input"}) -> tensor<1x16x1x1xi8> {
  %w = arith.constant dense<1> : tensor<16x4x5x3xi8>
  %acc = graph.conv2d %x, %w strides [1, 1] pads [2, 1, 1, 1] dilations [1, 1] groups 1 : tensor<1x4x40x3xi8>, tensor<16x4x5x3xi8> -> tensor<1x16x39x3xi32>
  %map = graph.requant "floor" %acc multiplier [1] shift [8] zero_point 0 range 0 to 127 {graph.name = "map"} : tensor<1x16x39x3xi32> -> tensor<1x16x39x3xi8>
  %mean = graph.pool "average" %map kernel [39, 3] strides [1, 1] pads [0, 0, 0, 0] rounding "floor" : tensor<1x16x39x3xi8> -> tensor<1x16x1x1xi8>
  func.return %mean : tensor<1x16x1x1xi8>
}
}

// -----
// CHECK: {{// ?-----}}

// The same map the other way round stays.

builtin.module attributes {accel.target = #accel.target<"diana">} {
// CHECK-LABEL: func.func @main
// CHECK-NOT: graph.transpose
// CHECK: graph.conv2d %x
// CHECK-NOT: graph.transpose
func.func @main(%x: tensor<1x1x3x20xi8>) -> tensor<1x1x3x20xi8> {
  %w = arith.constant dense<1> : tensor<1x1x3x3xi8>
  %acc = graph.conv2d %x, %w strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] groups 1 : tensor<1x1x3x20xi8>, tensor<1x1x3x3xi8> -> tensor<1x1x3x20xi32>
  %map = graph.requant "floor" %acc multiplier [1] shift [8] zero_point 0 range 0 to 127 : tensor<1x1x3x20xi32> -> tensor<1x1x3x20xi8>
  func.return %map : tensor<1x1x3x20xi8>
}
}

// -----
// CHECK: {{// ?-----}}

// Mirrored, the input's words are the layout's: reversed inside, and in reverse order along each row. A window that
// needs a column beyond the right edge and none before the left one changes sides.

// CHECK: accel.orientation = {mirrored = {{[0-9]+}} : i64}
builtin.module attributes {accel.target = #accel.target<"diana">} {
// CHECK-LABEL: func.func @main
// CHECK-NEXT: %[[IN:.*]] = graph.reverse %x axes [3] {graph.name = "input", graph.mirrored} : tensor<1x3x32x32xi8> -> tensor<1x3x32x32xi8>
// CHECK-NEXT: %[[W:.*]] = arith.constant dense<1> : tensor<16x3x3x3xi8>
// CHECK-NEXT: graph.conv2d %[[IN]], %[[W]] strides [2, 2] pads [0, 1, 1, 0]
// CHECK-NEXT: graph.requant
// CHECK-NEXT: graph.pool
// CHECK-NEXT: func.return
func.func @main(%x: tensor<1x3x32x32xi8> {graph.name = "input"}) -> tensor<1x16x1x1xi8> {
  %w = arith.constant dense<1> : tensor<16x3x3x3xi8>
  %acc = graph.conv2d %x, %w strides [2, 2] pads [0, 0, 1, 1] dilations [1, 1] groups 1 : tensor<1x3x32x32xi8>, tensor<16x3x3x3xi8> -> tensor<1x16x16x16xi32>
  %map = graph.requant "floor" %acc multiplier [1] shift [8] zero_point 0 range 0 to 127 {graph.name = "map"} : tensor<1x16x16x16xi32> -> tensor<1x16x16x16xi8>
  %mean = graph.pool "average" %map kernel [16, 16] strides [1, 1] pads [0, 0, 0, 0] rounding "floor" : tensor<1x16x16x16xi8> -> tensor<1x16x1x1xi8>
  func.return %mean : tensor<1x16x1x1xi8>
}
}

// -----
// CHECK: {{// ?-----}}

// The last column, which no window reads, would need a pad of -1 on the other side.

builtin.module attributes {accel.target = #accel.target<"diana">} {
// CHECK-LABEL: func.func @main
// CHECK-NOT: graph.reverse
// CHECK: func.return
func.func @main(%x: tensor<1x3x32x32xi8>) -> tensor<1x16x1x1xi8> {
  %w = arith.constant dense<1> : tensor<16x3x1x1xi8>
  %acc = graph.conv2d %x, %w strides [2, 2] pads [0, 0, 0, 0] dilations [1, 1] groups 1 : tensor<1x3x32x32xi8>, tensor<16x3x1x1xi8> -> tensor<1x16x16x16xi32>
  %map = graph.requant "floor" %acc multiplier [1] shift [8] zero_point 0 range 0 to 127 : tensor<1x16x16x16xi32> -> tensor<1x16x16x16xi8>
  %mean = graph.pool "average" %map kernel [16, 16] strides [1, 1] pads [0, 0, 0, 0] rounding "floor" : tensor<1x16x16x16xi8> -> tensor<1x16x1x1xi8>
  func.return %mean : tensor<1x16x1x1xi8>
}
}
