// RUN: htvm-opt %s --split-input-file -p dispatch | filecheck %s

// The array takes a convolution with its requantisation and constants; the CPU takes the rest, with the reasons, and
// reshapes with what they follow. Whoever could compute an op has a cost. Where narrower rows than the array's usual ones
// save time, dispatch says so.

builtin.module attributes {accel.target = #accel.target<"diana">} {
// CHECK-LABEL: func.func @main
// CHECK-NEXT: %[[CONV:.*]] = accel.dispatch @digital "digital_conv2d_0" ins(%x : tensor<1x16x8x8xi8>) refused {analog = "the input may hold -128 to 127; the analog array takes 7 bits, -64 to 63 (clip it)"} attributes {accel.costs = {digital = {{[0-9]+}} : i64, cpu = {{[0-9]+}} : i64}, accel.layouts = [#accel.layout<0, 1, 2 : 9, 3 : 4 xor 3>, #accel.layout<0, 1, 2 : 9, 3 : 4 xor 3>]} {
// CHECK-NEXT: ^bb0(%[[X:.*]]: tensor<1x16x8x8xi8>):
// CHECK-NEXT:   %[[W:.*]] = arith.constant dense<1> : tensor<16x16x1x1xi8>
// CHECK-NEXT:   %[[ACC:.*]] = graph.conv2d %[[X]], %[[W]]
// CHECK-NEXT:   %[[Y:.*]] = graph.requant "floor" %[[ACC]]
// CHECK-NEXT:   accel.yield %[[Y]] : tensor<1x16x8x8xi8>
// CHECK-NEXT: } -> tensor<1x16x8x8xi8>
// CHECK-NEXT: %[[POOL:.*]] = accel.dispatch @cpu "cpu_pool_1" ins(%[[CONV]] : tensor<1x16x8x8xi8>) refused {digital = "the digital array has no pool; it computes conv2d, dense and add", analog = "the analog array has no pool; it computes conv2d"} attributes {accel.costs = {cpu = {{[0-9]+}} : i64}} {
// CHECK-NEXT: ^bb0(%[[X:.*]]: tensor<1x16x8x8xi8>):
// CHECK-NEXT:   %[[Y:.*]] = graph.pool "average" %[[X]]
// CHECK-NEXT:   %[[FLAT:.*]] = graph.reshape %[[Y]]
// CHECK-NEXT:   accel.yield %[[FLAT]] : tensor<1x16xi8>
// CHECK-NEXT: } -> tensor<1x16xi8>
// CHECK-NEXT: func.return %[[POOL]]
func.func @main(%x: tensor<1x16x8x8xi8>) -> tensor<1x16xi8> {
  %w = arith.constant dense<1> : tensor<16x16x1x1xi8>
  %acc = graph.conv2d %x, %w strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] groups 1 : tensor<1x16x8x8xi8>, tensor<16x16x1x1xi8> -> tensor<1x16x8x8xi32>
  %conv = graph.requant "floor" %acc multiplier [1] shift [8] zero_point 0 range 0 to 127 : tensor<1x16x8x8xi32> -> tensor<1x16x8x8xi8>
  %pool = graph.pool "average" %conv kernel [8, 8] strides [1, 1] pads [0, 0, 0, 0] rounding "floor" : tensor<1x16x8x8xi8> -> tensor<1x16x1x1xi8>
  %flat = graph.reshape %pool : tensor<1x16x1x1xi8> -> tensor<1x16xi8>
  func.return %flat : tensor<1x16xi8>
}
}

// -----
// CHECK: {{// ?-----}}

builtin.module attributes {accel.target = #accel.target<"diana">} {
// CHECK: accel.dispatch @cpu "cpu_conv2d_0" ins(%x : tensor<1x3x9x9xi8>) refused {digital = "stride 3x3: the array supports 1 and 2, equal in both directions (move pixels into channels)", analog = "the input may hold -128 to 127; the analog array takes 7 bits, -64 to 63 (clip it)"} attributes {accel.costs = {cpu = {{[0-9]+}} : i64}} {
func.func @main(%x: tensor<1x3x9x9xi8>) -> tensor<1x16x3x3xi8> {
  %w = arith.constant dense<1> : tensor<16x3x1x1xi8>
  %acc = graph.conv2d %x, %w strides [3, 3] pads [0, 0, 0, 0] dilations [1, 1] groups 1 : tensor<1x3x9x9xi8>, tensor<16x3x1x1xi8> -> tensor<1x16x3x3xi32>
  %y = graph.requant "floor" %acc multiplier [1] shift [8] zero_point 0 range 0 to 127 : tensor<1x16x3x3xi32> -> tensor<1x16x3x3xi8>
  func.return %y : tensor<1x16x3x3xi8>
}
}

// -----
// CHECK: {{// ?-----}}

// Without engines there is nobody to refuse.

builtin.module attributes {accel.target = #accel.target<"diana" engines []>} {
// CHECK: accel.dispatch @cpu "cpu_add_0" ins(%x : tensor<1x16xi8>) attributes {accel.costs = {cpu = {{[0-9]+}} : i64}} {
func.func @main(%x: tensor<1x16xi8>) -> tensor<1x16xi8> {
  %sum = graph.add %x, %x : tensor<1x16xi8>, tensor<1x16xi8> -> tensor<1x16xi32>
  %y = graph.requant "floor" %sum multiplier [1] shift [1] zero_point 0 range -128 to 127 : tensor<1x16xi32> -> tensor<1x16xi8>
  func.return %y : tensor<1x16xi8>
}
}

// -----
// CHECK: {{// ?-----}}

// The widening of an operand runs with the sum it is for, and what follows element by element as well.

builtin.module attributes {accel.target = #accel.target<"diana">} {
// CHECK: accel.dispatch @cpu "cpu_add_0" ins(%y, %x : tensor<1x16xui8>, tensor<1x16xi8>)
// CHECK: graph.requant "half_even"
// CHECK: graph.requant "floor"
// CHECK: graph.add
// CHECK: graph.requant "half_away"
// CHECK: graph.lookup
// CHECK-NEXT: accel.yield
// CHECK-NOT: accel.dispatch
func.func @main(%x: tensor<1x16xi8>, %y: tensor<1x16xui8>) -> tensor<1x16xi8> {
  %table = arith.constant dense<3> : tensor<256xi8>
  %a = graph.requant "half_even" %y multiplier [3] shift [0] zero_point -6 range -999 to 999 : tensor<1x16xui8> -> tensor<1x16xi32>
  %b = graph.requant "floor" %x multiplier [5] shift [0] zero_point 0 range -999 to 999 : tensor<1x16xi8> -> tensor<1x16xi32>
  %sum = graph.add %a, %b : tensor<1x16xi32>, tensor<1x16xi32> -> tensor<1x16xi32>
  %z = graph.requant "half_away" %sum multiplier [1] shift [3] zero_point 0 range -128 to 127 : tensor<1x16xi32> -> tensor<1x16xi8>
  %l = graph.lookup %z, %table : tensor<1x16xi8>, tensor<256xi8> -> tensor<1x16xi8>
  func.return %l : tensor<1x16xi8>
}
}

// -----
// CHECK: {{// ?-----}}

// A widening in two steps, as TFLite's sums have it, does not run with the op before it: no 32-bit tensor is stored.

builtin.module attributes {accel.target = #accel.target<"diana">} {
// CHECK: accel.dispatch @cpu "cpu_pool_0"
// CHECK: graph.pool
// CHECK-NEXT: accel.yield
// CHECK: accel.dispatch @cpu "cpu_add_1"
// CHECK: graph.requant "floor" {{.*}} multiplier [1048576]
// CHECK: graph.requant "gemmlowp"
// CHECK: graph.add
// CHECK-NOT: accel.dispatch
func.func @main(%x: tensor<1x2x4x4xi8>, %y: tensor<1x2x2x2xi32>) -> tensor<1x2x2x2xi32> {
  %p = graph.pool "max" %x kernel [2, 2] strides [2, 2] pads [0, 0, 0, 0] rounding "floor" : tensor<1x2x4x4xi8> -> tensor<1x2x2x2xi8>
  %w = graph.requant "floor" %p multiplier [1048576] shift [0] zero_point 0 range -2147483648 to 2147483647 : tensor<1x2x2x2xi8> -> tensor<1x2x2x2xi32>
  %t = graph.requant "gemmlowp" %w multiplier [1100000000] shift [31] zero_point 0 range -2147483648 to 2147483647 : tensor<1x2x2x2xi32> -> tensor<1x2x2x2xi32>
  %sum = graph.add %t, %y : tensor<1x2x2x2xi32>, tensor<1x2x2x2xi32> -> tensor<1x2x2x2xi32>
  func.return %sum : tensor<1x2x2x2xi32>
}
}

// -----
// CHECK: {{// ?-----}}

// Engines take constants that are packed beforehand.

builtin.module attributes {accel.target = #accel.target<"diana">} {
// CHECK: accel.dispatch @cpu "cpu_conv2d_0" ins(%x, %b : tensor<1x16x8x8xi8>, tensor<16xi32>) refused {digital = "the bias is not constant; engines take constants that are packed beforehand", analog = "the bias is not constant; engines take constants that are packed beforehand"}
func.func @main(%x: tensor<1x16x8x8xi8>, %b: tensor<16xi32>) -> tensor<1x16x8x8xi8> {
  %w = arith.constant dense<1> : tensor<16x16x3x3xi8>
  %acc = graph.conv2d %x, %w bias %b strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] groups 1 : tensor<1x16x8x8xi8>, tensor<16x16x3x3xi8>, tensor<16xi32> -> tensor<1x16x8x8xi32>
  %y = graph.requant "floor" %acc multiplier [1] shift [5] zero_point 0 range -128 to 127 : tensor<1x16x8x8xi32> -> tensor<1x16x8x8xi8>
  func.return %y : tensor<1x16x8x8xi8>
}
}

// -----
// CHECK: {{// ?-----}}

// The caller gets a copy of a constant.

builtin.module attributes {accel.target = #accel.target<"diana">} {
// CHECK: %[[COPY:.*]] = accel.dispatch @cpu "cpu_reshape_0" ins() refused
// CHECK-NEXT: %[[C:.*]] = arith.constant dense<[[1, 2]]> : tensor<1x2xi8>
// CHECK-NEXT: %[[R:.*]] = graph.reshape %[[C]]
// CHECK-NEXT: accel.yield %[[R]]
// CHECK: func.return %[[COPY]]
func.func @main(%x: tensor<1x2xi8>) -> tensor<1x2xi8> {
  %c = arith.constant dense<[[1, 2]]> : tensor<1x2xi8>
  func.return %c : tensor<1x2xi8>
}
}
