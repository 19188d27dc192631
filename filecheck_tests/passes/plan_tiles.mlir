// RUN: not htvm-opt %s --split-input-file -p plan-tiles 2>&1 | filecheck %s

// Input and output are 256 KiB each, as much as L1 has; 62 rows and their halo are what fits. A plan written by hand
// stays and is told what it costs. What the CPU computes is not tiled.

!map = tensor<1x16x128x128xi8, #accel.layout<0, 1, 2, 3 : 16 xor 3>>
!acc = tensor<1x16x128x128xi32>

builtin.module attributes {accel.target = #accel.target<"diana">} {
// CHECK-LABEL: func.func @main
// CHECK-NEXT: %solved = accel.dispatch @digital "solved" ins(%x : {{.*}}) plan #tiled.plan<y = 62, k = 16 buffers [1, 1] latency {{[1-9][0-9]*}} proven> {
// CHECK:      %written = accel.dispatch @digital "written" ins(%solved : {{.*}}) plan #tiled.plan<y = 32 latency {{[1-9][0-9]*}}> {
// CHECK:      %clip = accel.dispatch @cpu "clip" ins(%written : tensor<1x16x128x128xi8, #accel.layout<0, 1, 2, 3 : 16 xor 3>>) {
func.func @main(%x: !map) -> !map {
  %solved = accel.dispatch @digital "solved" ins(%x : !map) {
  ^bb0(%a: !map):
    %w = arith.constant dense<1> : tensor<16x16x3x3xi8>
    %acc = graph.conv2d %a, %w strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] groups 1 : !map, tensor<16x16x3x3xi8> -> !acc
    %y = graph.requant "floor" %acc multiplier [1] shift [8] zero_point 0 range -128 to 127 : !acc -> !map
    accel.yield %y : !map
  } -> !map
  %written = accel.dispatch @digital "written" ins(%solved : !map) plan #tiled.plan<y = 32> {
  ^bb0(%a: !map):
    %w = arith.constant dense<1> : tensor<16x16x3x3xi8>
    %acc = graph.conv2d %a, %w strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] groups 1 : !map, tensor<16x16x3x3xi8> -> !acc
    %y = graph.requant "floor" %acc multiplier [1] shift [8] zero_point 0 range -128 to 127 : !acc -> !map
    accel.yield %y : !map
  } -> !map
  %clip = accel.dispatch @cpu "clip" ins(%written : !map) {
  ^bb0(%a: !map):
    %y = graph.requant "floor" %a multiplier [1] shift [0] zero_point 0 range 0 to 64 : !map -> !map
    accel.yield %y : !map
  } -> !map
  func.return %clip : !map
}
}

// -----

// A depthwise layer runs in diagonal blocks, unless a plan says otherwise.

!map = tensor<1x16x16x16xi8, #accel.layout<0, 1, 2, 3 : 16 xor 3>>
!acc = tensor<1x16x16x16xi32>

builtin.module attributes {accel.target = #accel.target<"diana">} {
// CHECK:      accel.dispatch @digital "blocks" ins(%x : {{.*}}) plan #tiled.plan<y = 16, k = 16 mapping blocks8 buffers [1, 1] latency {{[1-9][0-9]*}} proven> {
// CHECK:      accel.dispatch @digital "written" ins(%blocks : {{.*}}) plan #tiled.plan<y = 8 mapping channels latency {{[1-9][0-9]*}}> {
func.func @main(%x: !map) -> !map {
  %blocks = accel.dispatch @digital "blocks" ins(%x : !map) {
  ^bb0(%a: !map):
    %w = arith.constant dense<1> : tensor<16x1x3x3xi8>
    %acc = graph.conv2d %a, %w strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] groups 16 : !map, tensor<16x1x3x3xi8> -> !acc
    %y = graph.requant "floor" %acc multiplier [1] shift [3] zero_point 0 range -128 to 127 : !acc -> !map
    accel.yield %y : !map
  } -> !map
  %written = accel.dispatch @digital "written" ins(%blocks : !map) plan #tiled.plan<y = 8 mapping channels> {
  ^bb0(%a: !map):
    %w = arith.constant dense<1> : tensor<16x1x3x3xi8>
    %acc = graph.conv2d %a, %w strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] groups 16 : !map, tensor<16x1x3x3xi8> -> !acc
    %y = graph.requant "floor" %acc multiplier [1] shift [3] zero_point 0 range -128 to 127 : !acc -> !map
    accel.yield %y : !map
  } -> !map
  func.return %written : !map
}
}

// -----

// A sum is tiled along its channels only, and here one channel is too much.

!map = tensor<1x2x400x400xi8, #accel.layout<0, 1, 2, 3 : 16 xor 3>>
!acc = tensor<1x2x400x400xi32>

builtin.module attributes {accel.target = #accel.target<"diana">} {
// CHECK: htvm-opt: error: kernel 'double': the smallest tile exceeds L1 by 217952 bytes; keep it off the engine with --engines
func.func @main(%x: !map) -> !map {
  %double = accel.dispatch @digital "double" ins(%x : !map) {
  ^bb0(%a: !map):
    %acc = graph.add %a, %a : !map, !map -> !acc
    %y = graph.requant "floor" %acc multiplier [1] shift [1] zero_point 0 range -128 to 127 : !acc -> !map
    accel.yield %y : !map
  } -> !map
  func.return %double : !map
}
}
