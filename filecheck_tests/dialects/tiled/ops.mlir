// RUN: htvm-opt %s | htvm-opt | filecheck %s
// RUN: htvm-opt %s --print-op-generic | htvm-opt | filecheck %s
// RUN: htvm-opt %s --print-op-generic | filecheck %s --check-prefix=GENERIC

"test.op"() {
  sizes = #tiled.plan<y = 12, k = 32>,
  whole = #tiled.plan<_>,
  double = #tiled.plan<_ buffers [2, 2] latency 7>,
  buffered = #tiled.plan<y = 12 buffers [2, 1]>,
  solved = #tiled.plan<y = 12, k = 32 buffers [2, 2] latency 1234 proven>,
  local = #tiled.plan<k = 32 buffers [1, 3] constants 2 latency 9>,
  mapped = #tiled.plan<k = 32 mapping wide buffers [1, 1]>,
  grid = #tiled.grid<y = 32 by 12, k = 64 by 64>,
  windows = [#tiled.window<_, k, y * 2 - 1 : 3, _>, #tiled.window<k + 4, y : 5, y * 3>]
} : () -> ()
// CHECK: "test.op"() {
// CHECK-SAME: sizes = #tiled.plan<y = 12, k = 32>,
// CHECK-SAME: whole = #tiled.plan<_>,
// CHECK-SAME: double = #tiled.plan<_ buffers [2, 2] latency 7>,
// CHECK-SAME: buffered = #tiled.plan<y = 12 buffers [2, 1]>,
// CHECK-SAME: solved = #tiled.plan<y = 12, k = 32 buffers [2, 2] latency 1234 proven>,
// CHECK-SAME: local = #tiled.plan<k = 32 buffers [1, 3] constants 2 latency 9>,
// CHECK-SAME: mapped = #tiled.plan<k = 32 mapping wide buffers [1, 1]>,
// CHECK-SAME: grid = #tiled.grid<y = 32 by 12, k = 64 by 64>,
// CHECK-SAME: windows = [#tiled.window<_, k, y * 2 - 1 : 3, _>, #tiled.window<k + 4, y : 5, y * 3>]}

%x, %w, %in, %out = "test.op"() : () -> (tensor<1x3x8x8xi8>, tensor<16x3x3x3xi8>, memref<1x6xi8, "L2">, memref<1x6xi32, "L2">)
// CHECK: %[[x:.*]], %[[w:.*]], %[[in:.*]], %[[out:.*]] = "test.op"()

%r = tiled.nest @digital "conv2d_0" grid <y = 8 by 4, k = 16 by 8> windows [#tiled.window<_, _, y - 1 : 3, _>, #tiled.window<k, _, _, _>, #tiled.window<_, k, y, _>] buffers [2, 1] ins(%x, %w : tensor<1x3x8x8xi8>, tensor<16x3x3x3xi8>) attributes {graph.name = "conv"} {
^bb0(%a: tensor<1x3x6x8xi8>, %v: tensor<8x3x3x3xi8>):
  %c = graph.conv2d %a, %v strides [1, 1] pads [0, 1, 0, 1] dilations [1, 1] groups 1 : tensor<1x3x6x8xi8>, tensor<8x3x3x3xi8> -> tensor<1x8x4x8xi32>
  tiled.yield %c : tensor<1x8x4x8xi32>
} -> tensor<1x16x8x8xi32>
// CHECK-NEXT: %[[r:.*]] = tiled.nest @digital "conv2d_0" grid <y = 8 by 4, k = 16 by 8> windows [#tiled.window<_, _, y - 1 : 3, _>, #tiled.window<k, _, _, _>, #tiled.window<_, k, y, _>] buffers [2, 1] ins(%[[x]], %[[w]] : tensor<1x3x8x8xi8>, tensor<16x3x3x3xi8>) attributes {graph.name = "conv"} {
// CHECK-NEXT: ^bb0(%[[a:.*]]: tensor<1x3x6x8xi8>, %[[v:.*]]: tensor<8x3x3x3xi8>):
// CHECK-NEXT:   %[[c:.*]] = graph.conv2d %[[a]], %[[v]]
// CHECK-NEXT:   tiled.yield %[[c]] : tensor<1x8x4x8xi32>
// CHECK-NEXT: } -> tensor<1x16x8x8xi32>
// GENERIC: "tiled.nest"(%{{.*}}, %{{.*}}) <{engine = @digital, kernel = "conv2d_0", grid = #tiled.grid<y = 8 by 4, k = 16 by 8>, windows = [#tiled.window<_, _, y - 1 : 3, _>, #tiled.window<k, _, _, _>, #tiled.window<_, k, y, _>], buffers = array<i64: 2, 1>, operandSegmentSizes = array<i32: 2, 0>}> ({

tiled.nest @digital "add_1" grid <k = 6 by 4> windows [#tiled.window<_, k>, #tiled.window<_, k>] buffers [1, 1] mapping "wide" ins(%in : memref<1x6xi8, "L2">) outs(%out : memref<1x6xi32, "L2">) {
^bb0(%a: tensor<1x4xi8>):
  %s = graph.add %a, %a : tensor<1x4xi8>, tensor<1x4xi8> -> tensor<1x4xi32>
  tiled.yield %s : tensor<1x4xi32>
}
// CHECK-NEXT: tiled.nest @digital "add_1" grid <k = 6 by 4> windows [#tiled.window<_, k>, #tiled.window<_, k>] buffers [1, 1] mapping "wide" ins(%[[in]] : memref<1x6xi8, "L2">) outs(%[[out]] : memref<1x6xi32, "L2">) {
// CHECK-NEXT: ^bb0(%[[a:.*]]: tensor<1x4xi8>):
// CHECK-NEXT:   %[[s:.*]] = graph.add %[[a]], %[[a]]
// CHECK-NEXT:   tiled.yield %[[s]] : tensor<1x4xi32>
// CHECK-NEXT: }
