// RUN: not htvm-opt %s --split-input-file -p 'plan-tiles{tiler=dory}' 2>&1 | filecheck %s
// RUN: not htvm-opt %s --split-input-file -p 'plan-tiles{tiler=none}' 2>&1 | filecheck %s --check-prefix NONE
// RUN: not htvm-opt %s --split-input-file -p 'plan-tiles{tiler=best}' 2>&1 | filecheck %s --check-prefix BEST

// BEST: htvm-opt: error: no tiler 'best'; choose from optimal, dory, htvm, none

// DORY cuts 64x26x64 out of the input and 96x24x64 out of the output; without heuristics 107x23x64 has the most bytes, to
// which 112 channels are nearest, and then 22 rows, as 23 do not fit. The outer loop is that of the channels.

!in = tensor<1x64x64x64xi8, #accel.layout<0, 1, 2, 3 : 16 xor 3>>
!out = tensor<1x256x64x64xi8, #accel.layout<0, 1, 2, 3 : 16 xor 3>>

builtin.module attributes {accel.target = #accel.target<"diana">} {
// CHECK-LABEL: func.func @main
// CHECK-NEXT: %large = accel.dispatch @digital "large" ins(%x : {{.*}}) plan #tiled.plan<k = 96, y = 24 buffers [1, 1] latency {{[1-9][0-9]*}}> {
// NONE-LABEL: func.func @main
// NONE-NEXT: %large = accel.dispatch @digital "large" ins(%x : {{.*}}) plan #tiled.plan<k = 112, y = 22 buffers [1, 1] latency {{[1-9][0-9]*}}> {
func.func @main(%x: !in) -> !out {
  %large = accel.dispatch @digital "large" ins(%x : !in) {
  ^bb0(%a: !in):
    %w = arith.constant dense<1> : tensor<256x64x3x3xi8>
    %acc = graph.conv2d %a, %w strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] groups 1 : !in, tensor<256x64x3x3xi8> -> tensor<1x256x64x64xi32>
    %y = graph.requant "floor" %acc multiplier [1] shift [8] zero_point 0 range -128 to 127 : tensor<1x256x64x64xi32> -> !out
    accel.yield %y : !out
  } -> !out
  func.return %large : !out
}
}

// -----

// DORY tiles sums over rows, with room for two tiles of each operand; one row is too much.

!map = tensor<1x100x2x512xi8, #accel.layout<0, 1, 2, 3 : 16 xor 3>>
!acc = tensor<1x100x2x512xi32>

builtin.module attributes {accel.target = #accel.target<"diana">} {
// CHECK: htvm-opt: error: kernel 'double': HTVM's tiler finds no tile within 256000 bytes of activations; use --tiler=optimal
// NONE: htvm-opt: error: kernel 'double': HTVM's tiler finds no tile within 256000 bytes of activations; use --tiler=optimal
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
