// RUN: htvm-opt %s -p plan-strips | filecheck %s
// RUN: htvm-opt %s -p 'plan-strips{enabled=false}' | filecheck %s --check-prefix OFF

// OFF-NOT: accel.strips

// The wide map between the first two kernels takes 16 kB, more than the L1 of 12 kB; the 9 rows of it that half of the
// next map needs have room. The map behind that is small, so the third kernel is left alone.

!map = tensor<1x8x16x16xi8, #accel.layout<0, 1, 2, 3 : 16 xor 3>>
!wide = tensor<1x64x16x16xi8, #accel.layout<0, 1, 2, 3 : 16 xor 3>>
!sums = tensor<1x64x16x16xi32>
!half = tensor<1x16x8x8xi8, #accel.layout<0, 1, 2, 3 : 16 xor 3>>
!last = tensor<1x16x8x8xi32>

builtin.module attributes {accel.target = #accel.target<"diana,l1_bytes=12288">} {
// CHECK-LABEL: func.func @main
// CHECK:      accel.dispatch @digital "widen"{{.*}} attributes {accel.strips = {segment = 0 : i64, rows = 4 : i64}}
// CHECK:      accel.dispatch @digital "narrow"{{.*}} attributes {accel.strips = {segment = 0 : i64, rows = 4 : i64}}
// CHECK:      accel.dispatch @digital "last" ins(%{{[^)]*}}) {
func.func @main(%x: !map) -> !half {
  %widen = accel.dispatch @digital "widen" ins(%x : !map) {
  ^bb0(%a: !map):
    %w = arith.constant dense<1> : tensor<64x8x1x1xi8>
    %acc = graph.conv2d %a, %w strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] groups 1 : !map, tensor<64x8x1x1xi8> -> !sums
    %y = graph.requant "floor" %acc multiplier [1] shift [4] zero_point 0 range 0 to 127 : !sums -> !wide
    accel.yield %y : !wide
  } -> !wide
  %narrow = accel.dispatch @digital "narrow" ins(%widen : !wide) {
  ^bb0(%a: !wide):
    %w = arith.constant dense<1> : tensor<16x64x3x3xi8>
    %acc = graph.conv2d %a, %w strides [2, 2] pads [1, 1, 1, 1] dilations [1, 1] groups 1 : !wide, tensor<16x64x3x3xi8> -> !last
    %y = graph.requant "floor" %acc multiplier [1] shift [8] zero_point 0 range 0 to 127 : !last -> !half
    accel.yield %y : !half
  } -> !half
  %last = accel.dispatch @digital "last" ins(%narrow : !half) {
  ^bb0(%a: !half):
    %w = arith.constant dense<1> : tensor<16x16x3x3xi8>
    %acc = graph.conv2d %a, %w strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] groups 1 : !half, tensor<16x16x3x3xi8> -> !last
    %y = graph.requant "floor" %acc multiplier [1] shift [8] zero_point 0 range 0 to 127 : !last -> !half
    accel.yield %y : !half
  } -> !half
  func.return %last : !half
}
}
