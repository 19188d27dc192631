// RUN: htvm-opt %s --split-input-file -p plan-residency | filecheck %s
// RUN: htvm-opt %s --split-input-file -p 'plan-residency{enabled=false}' | filecheck %s --check-prefix OFF

// OFF-NOT: accel.resident

// What only the array writes and reads stays in L1, with room for the lanes a job computes beyond the channels: 3
// channels of 8x16 bytes take 16. The network's input and output are the CPU's, and stay in L2.

!map = tensor<1x3x8x16xi8, #accel.layout<0, 1, 2, 3 : 16 xor 3>>
!acc = tensor<1x3x8x16xi32>

builtin.module attributes {accel.target = #accel.target<"diana">} {
// CHECK-LABEL: func.func @main
// CHECK:      accel.dispatch @digital "first"{{.*}} attributes {accel.resident = {"1" = 2080 : i64}}
// CHECK:      accel.dispatch @digital "second"{{.*}} attributes {accel.resident = {"0" = 2080 : i64, "1" = 2080 : i64}}
// CHECK:      accel.dispatch @digital "sum"{{.*}} attributes {accel.resident = {"0" = 2080 : i64, "1" = 2080 : i64}}
// CHECK:      accel.dispatch @cpu "clip" ins(%sum : tensor<1x3x8x16xi8, #accel.layout<0, 1, 2, 3 : 16 xor 3>>) {
func.func @main(%x: !map) -> !map {
  %first = accel.dispatch @digital "first" ins(%x : !map) {
  ^bb0(%a: !map):
    %w = arith.constant dense<1> : tensor<3x3x3x3xi8>
    %acc = graph.conv2d %a, %w strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] groups 1 : !map, tensor<3x3x3x3xi8> -> !acc
    %y = graph.requant "floor" %acc multiplier [1] shift [8] zero_point 0 range -128 to 127 : !acc -> !map
    accel.yield %y : !map
  } -> !map
  %second = accel.dispatch @digital "second" ins(%first : !map) {
  ^bb0(%a: !map):
    %w = arith.constant dense<1> : tensor<3x3x3x3xi8>
    %acc = graph.conv2d %a, %w strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] groups 1 : !map, tensor<3x3x3x3xi8> -> !acc
    %y = graph.requant "floor" %acc multiplier [1] shift [8] zero_point 0 range -128 to 127 : !acc -> !map
    accel.yield %y : !map
  } -> !map
  %sum = accel.dispatch @digital "sum" ins(%first, %second : !map, !map) {
  ^bb0(%a: !map, %b: !map):
    %acc = graph.add %a, %b : !map, !map -> !acc
    %y = graph.requant "floor" %acc multiplier [1] shift [1] zero_point 0 range -128 to 127 : !acc -> !map
    accel.yield %y : !map
  } -> !map
  %clip = accel.dispatch @cpu "clip" ins(%sum : !map) {
  ^bb0(%a: !map):
    %y = graph.requant "floor" %a multiplier [1] shift [0] zero_point 0 range 0 to 64 : !map -> !map
    accel.yield %y : !map
  } -> !map
  func.return %clip : !map
}
}

// -----

// On an array with less L1 only one of two tensors stays, the one that fits beside the tiles of both its kernels.

!large = tensor<1x32x8x16xi8, #accel.layout<0, 1, 2, 3 : 16 xor 3>>
!wide = tensor<1x32x8x16xi32>
!small = tensor<1x16x8x16xi8, #accel.layout<0, 1, 2, 3 : 16 xor 3>>
!half = tensor<1x16x8x16xi32>

builtin.module attributes {accel.target = #accel.target<"diana,l1_bytes=6208">} {
// CHECK-LABEL: func.func @main
// CHECK:      %small = accel.dispatch @digital "small" ins(%x : {{[^)]*}}) attributes {accel.resident = {"1" = 2080 : i64}} {
// CHECK:      %large = accel.dispatch @digital "large" ins(%small : {{[^)]*}}) attributes {accel.resident = {"0" = 2080 : i64}} {
// CHECK:      %again = accel.dispatch @digital "again" ins(%large : {{[^)]*}}) {
func.func @main(%x: !small) -> !small {
  %small = accel.dispatch @digital "small" ins(%x : !small) {
  ^bb0(%i: !small):
    %w = arith.constant dense<1> : tensor<16x16x1x1xi8>
    %acc = graph.conv2d %i, %w strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] groups 1 : !small, tensor<16x16x1x1xi8> -> !half
    %y = graph.requant "floor" %acc multiplier [1] shift [8] zero_point 0 range -128 to 127 : !half -> !small
    accel.yield %y : !small
  } -> !small
  %large = accel.dispatch @digital "large" ins(%small : !small) {
  ^bb0(%i: !small):
    %w = arith.constant dense<1> : tensor<32x16x1x1xi8>
    %acc = graph.conv2d %i, %w strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] groups 1 : !small, tensor<32x16x1x1xi8> -> !wide
    %y = graph.requant "floor" %acc multiplier [1] shift [8] zero_point 0 range -128 to 127 : !wide -> !large
    accel.yield %y : !large
  } -> !large
  %again = accel.dispatch @digital "again" ins(%large : !large) {
  ^bb0(%i: !large):
    %w = arith.constant dense<1> : tensor<16x32x1x1xi8>
    %acc = graph.conv2d %i, %w strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] groups 1 : !large, tensor<16x32x1x1xi8> -> !half
    %y = graph.requant "floor" %acc multiplier [1] shift [8] zero_point 0 range -128 to 127 : !half -> !small
    accel.yield %y : !small
  } -> !small
  func.return %again : !small
}
}
