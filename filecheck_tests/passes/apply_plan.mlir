// RUN: not htvm-opt %s --split-input-file -p apply-plan 2>&1 | filecheck %s

// Tiles of 4 rows: a 3x3 kernel sees 6 rows of the input, from one above the tile. The rows of padding move from the
// convolution into that window; the columns, which are not tiled, keep theirs. The constants move out of the region.

!in = tensor<1x3x8x16xi8, #accel.layout<0, 1, 2, 3 : 16 xor 3>>
!out = tensor<1x16x8x16xi8, #accel.layout<0, 1, 2, 3 : 16 xor 3>>

builtin.module attributes {accel.target = #accel.target<"diana">} {
// CHECK-LABEL: func.func @main
// CHECK-NEXT: %[[W:.*]] = arith.constant dense<1> : tensor<16x3x3x3xi8>
// CHECK-NEXT: %rows = tiled.nest @digital "rows" grid <y = 8 by 4> windows [#tiled.window<_, _, y - 1 : 3, _>, #tiled.window<_, _, _, _>, #tiled.window<_, _, y, _>] buffers [1, 1] ins(%x, %[[W]] :
// CHECK-NEXT: ^bb0(%[[X:.*]]: tensor<1x3x6x16xi8, {{.*}}>, %[[V:.*]]: tensor<16x3x3x3xi8>):
// CHECK-NEXT:   %[[ACC:.*]] = graph.conv2d %[[X]], %[[V]] strides [1, 1] pads [0, 1, 0, 1] {{.*}} -> tensor<1x16x4x16xi32>
// CHECK-NEXT:   %[[Y:.*]] = graph.requant "floor" %[[ACC]] {{.*}} -> tensor<1x16x4x16xi8,
// CHECK-NEXT:   tiled.yield %[[Y]]
// CHECK-NEXT: } -> tensor<1x16x8x16xi8,
func.func @main(%x: !in) -> (!out, !out) {
  %rows = accel.dispatch @digital "rows" ins(%x : !in) plan #tiled.plan<y = 4> {
  ^bb0(%a: !in):
    %w = arith.constant dense<1> : tensor<16x3x3x3xi8>
    %acc = graph.conv2d %a, %w strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] groups 1 : !in, tensor<16x3x3x3xi8> -> tensor<1x16x8x16xi32>
    %y = graph.requant "floor" %acc multiplier [1] shift [5] zero_point 0 range 0 to 127 : tensor<1x16x8x16xi32> -> !out
    accel.yield %y : !out
  } -> !out

// A tile as large as the output leaves nothing to walk over, and the convolution as it is.

// CHECK:      %whole = tiled.nest @digital "whole" grid <> windows [#tiled.window<_, _, _, _>, #tiled.window<_, _, _, _>, #tiled.window<_, _, _, _>] buffers [2, 2] ins(
// CHECK-NEXT: ^bb0(%{{.*}}: tensor<1x3x8x16xi8, {{.*}}>, %{{.*}}: tensor<16x3x3x3xi8>):
// CHECK-NEXT:   graph.conv2d {{.*}} pads [1, 1, 1, 1] {{.*}} -> tensor<1x16x8x16xi32>
  %whole = accel.dispatch @digital "whole" ins(%x : !in) plan #tiled.plan<y = 8, k = 16 buffers [2, 2]> {
  ^bb0(%a: !in):
    %w = arith.constant dense<1> : tensor<16x3x3x3xi8>
    %acc = graph.conv2d %a, %w strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] groups 1 : !in, tensor<16x3x3x3xi8> -> tensor<1x16x8x16xi32>
    %y = graph.requant "floor" %acc multiplier [1] shift [5] zero_point 0 range 0 to 127 : tensor<1x16x8x16xi32> -> !out
    accel.yield %y : !out
  } -> !out
  func.return %rows, %whole : !out, !out
}
}

// -----

// The last tile's three rows of 16 bytes are no whole number of the DMA's units of 32.

!map = tensor<1x16x8x16xi8, #accel.layout<0, 1, 2, 3 : 16 xor 3>>

builtin.module attributes {accel.target = #accel.target<"diana">} {
// CHECK: htvm-opt: error: the plan of kernel 'rows' cannot be obeyed: y = 5 is not one of the legal sizes [2, 3, 4, 6, 8]
func.func @main(%x: !map) -> !map {
  %rows = accel.dispatch @digital "rows" ins(%x : !map) plan #tiled.plan<y = 5> {
  ^bb0(%a: !map):
    %w = arith.constant dense<1> : tensor<16x16x1x1xi8>
    %acc = graph.conv2d %a, %w strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] groups 1 : !map, tensor<16x16x1x1xi8> -> tensor<1x16x8x16xi32>
    %y = graph.requant "floor" %acc multiplier [1] shift [5] zero_point 0 range 0 to 127 : tensor<1x16x8x16xi32> -> !map
    accel.yield %y : !map
  } -> !map
  func.return %rows : !map
}
}
