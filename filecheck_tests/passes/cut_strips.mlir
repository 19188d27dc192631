// RUN: not htvm-opt %s --split-input-file -p cut-strips 2>&1 | filecheck %s
// RUN: not htvm-opt %s --split-input-file -p cut-strips,plan-tiles,apply-plan,bufferize 2>&1 | filecheck %s --check-prefix VIEWS

// Three rows of the result at a time, then the last two. Each strip needs a row more of the map between the kernels
// at either end, where there is one, and as much of the input; padding stays at the borders. Slices and the
// concatenation are views of buffers.

!map = tensor<1x16x8x32xi8, #accel.layout<0, 1, 2, 3 : 16 xor 3>>
!acc = tensor<1x16x8x32xi32>

builtin.module attributes {accel.target = #accel.target<"diana">} {
// CHECK-LABEL: func.func @main
// CHECK-NEXT: %[[IN0:.*]] = graph.slice %x offsets [0, 0, 0, 0] sizes [1, 16, 4, 32]
// CHECK-NEXT: %[[A0:.*]] = accel.dispatch @digital "first_strip0" ins(%[[IN0]] : tensor<1x16x4x32xi8, #accel.layout<0, 1, 2, 3 : 16 xor 3>>) {
// CHECK:        graph.conv2d {{.*}} pads [0, 0, 0, 0] {{.*}} groups 1 {graph.first_row = 0 : i64}
// CHECK:      %[[B0:.*]] = accel.dispatch @digital "second_strip0" ins(%[[A0]] :
// CHECK:        graph.conv2d {{.*}} pads [1, 1, 0, 1] {{.*}} : tensor<1x16x4x32xi8, {{.*}} -> tensor<1x16x3x32xi32>
// CHECK:      %[[IN1:.*]] = graph.slice %x offsets [0, 0, 2, 0] sizes [1, 16, 5, 32]
// CHECK-NEXT: %[[A1:.*]] = accel.dispatch @digital "first_strip1" ins(%[[IN1]] :
// CHECK:      %[[B1:.*]] = accel.dispatch @digital "second_strip1" ins(%[[A1]] :
// CHECK:        graph.conv2d {{.*}} pads [0, 1, 0, 1] {{.*}} groups 1 {graph.first_row = 3 : i64} : tensor<1x16x5x32xi8, {{.*}} -> tensor<1x16x3x32xi32>
// CHECK:      %[[IN2:.*]] = graph.slice %x offsets [0, 0, 5, 0] sizes [1, 16, 3, 32]
// CHECK-NEXT: %[[A2:.*]] = accel.dispatch @digital "first_strip2" ins(%[[IN2]] :
// CHECK:      %[[B2:.*]] = accel.dispatch @digital "second_strip2" ins(%[[A2]] :
// CHECK:        graph.conv2d {{.*}} pads [0, 1, 1, 1] {{.*}} : tensor<1x16x3x32xi8, {{.*}} -> tensor<1x16x2x32xi32>
// CHECK:      %[[RESULT:.*]] = graph.concat %[[B0]], %[[B1]], %[[B2]] axis 2
// CHECK-NEXT: func.return %[[RESULT]]

// VIEWS:      func.func private @first_strip0(%{{.*}}: memref<1x16x4x32xi8, strided<[4096, 256, 32, 1], offset: ?>>,
// VIEWS:      func.func @main(%x: memref<1x16x8x32xi8>, %output: memref<1x16x8x32xi8> {accel.output}) {
// VIEWS-NEXT:   %[[IN0:.*]] = memref.subview %x[0, 0, 0, 0] [1, 16, 4, 32] [1, 1, 1, 1]
// VIEWS-NEXT:   %[[A0:.*]] = memref.alloc() : memref<1x16x4x32xi8, "L2">
// VIEWS-NEXT:   func.call @first_strip0(%[[IN0]], %[[A0]])
// VIEWS-NEXT:   %[[B0:.*]] = memref.subview %output[0, 0, 0, 0] [1, 16, 3, 32] [1, 1, 1, 1]
// VIEWS-NEXT:   func.call @second_strip0(%[[A0]], %[[B0]])
// VIEWS:        %[[B2:.*]] = memref.subview %output[0, 0, 6, 0] [1, 16, 2, 32] [1, 1, 1, 1]
// VIEWS-NEXT:   func.call @second_strip2(%{{.*}}, %[[B2]])
// VIEWS-NEXT:   func.return
func.func @main(%x: !map) -> !map {
  %first = accel.dispatch @digital "first" ins(%x : !map) attributes {accel.strips = {segment = 0 : i64, rows = 3 : i64}} {
  ^bb0(%a: !map):
    %w = arith.constant dense<1> : tensor<16x16x1x1xi8>
    %acc = graph.conv2d %a, %w strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] groups 1 : !map, tensor<16x16x1x1xi8> -> !acc
    %y = graph.requant "floor" %acc multiplier [1] shift [8] zero_point 0 range -128 to 127 : !acc -> !map
    accel.yield %y : !map
  } -> !map
  %second = accel.dispatch @digital "second" ins(%first : !map) attributes {accel.strips = {segment = 0 : i64, rows = 3 : i64}} {
  ^bb0(%a: !map):
    %w = arith.constant dense<1> : tensor<16x16x3x3xi8>
    %acc = graph.conv2d %a, %w strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] groups 1 : !map, tensor<16x16x3x3xi8> -> !acc
    %y = graph.requant "floor" %acc multiplier [1] shift [8] zero_point 0 range -128 to 127 : !acc -> !map
    accel.yield %y : !map
  } -> !map
  func.return %second : !map
}
}

// -----

!map = tensor<1x16x8x32xi8, #accel.layout<0, 1, 2, 3 : 16 xor 3>>
!acc = tensor<1x16x8x32xi32>

builtin.module attributes {accel.target = #accel.target<"diana">} {
// CHECK: htvm-opt: error: accel.strips of 'sum': two kernels need different rows of a map between them, or one sees nothing but padding
func.func @main(%x: !map) -> !map {
  %first = accel.dispatch @digital "first" ins(%x : !map) attributes {accel.strips = {segment = 0 : i64, rows = 4 : i64}} {
  ^bb0(%a: !map):
    %acc = graph.add %a, %a : !map, !map -> !acc
    %y = graph.requant "floor" %acc multiplier [1] shift [1] zero_point 0 range -128 to 127 : !acc -> !map
    accel.yield %y : !map
  } -> !map
  %second = accel.dispatch @digital "second" ins(%first : !map) attributes {accel.strips = {segment = 0 : i64, rows = 4 : i64}} {
  ^bb0(%a: !map):
    %w = arith.constant dense<1> : tensor<16x16x3x3xi8>
    %acc = graph.conv2d %a, %w strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] groups 1 : !map, tensor<16x16x3x3xi8> -> !acc
    %y = graph.requant "floor" %acc multiplier [1] shift [8] zero_point 0 range -128 to 127 : !acc -> !map
    accel.yield %y : !map
  } -> !map
  %sum = accel.dispatch @digital "sum" ins(%first, %second : !map, !map) attributes {accel.strips = {segment = 0 : i64, rows = 4 : i64}} {
  ^bb0(%a: !map, %b: !map):
    %acc = graph.add %a, %b : !map, !map -> !acc
    %y = graph.requant "floor" %acc multiplier [1] shift [1] zero_point 0 range -128 to 127 : !acc -> !map
    accel.yield %y : !map
  } -> !map
  func.return %sum : !map
}
}
