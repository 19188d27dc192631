// RUN: not htvm-opt %s --split-input-file -p bufferize 2>&1 | filecheck %s

// A kernel becomes a function on buffers of the stored shape, here 32 bytes for 20 elements, which remembers the logical
// types; its constants come with it. The caller brings the buffers at the network's edges, @main those between kernels.

!rows = tensor<1x20xi8>
!words = tensor<1x20xi8, #accel.layout<0, 1 : 16>>

builtin.module attributes {accel.target = #accel.target<"diana">} {
// CHECK:      func.func private @dense(%[[X:.*]]: memref<1x20xi8>, %[[Y:.*]]: memref<1x32xi8, "L2">) attributes {graph.name = "logits", accel.engine = "digital", accel.types = [tensor<1x20xi8>, tensor<1x20xi8, #accel.layout<0, 1 : 16>>]} {
// CHECK-NEXT:   %[[W:.*]] = arith.constant dense<1> : tensor<20x20xi8>
// CHECK-NEXT:   tiled.nest @digital "dense" grid <> windows [#tiled.window<_, _>, #tiled.window<_, _>, #tiled.window<_, _>] buffers [1, 1] ins(%[[X]], %[[W]] : memref<1x20xi8>, tensor<20x20xi8>) outs(%[[Y]] : memref<1x32xi8, "L2">) {
// CHECK:        func.return
// CHECK-NEXT: }
// CHECK-NEXT: func.func private @back(%[[X:.*]]: memref<1x32xi8, "L2"> {graph.range = array<i64: 0, 127>}, %[[Y:.*]]: memref<1x20xi8>) attributes {accel.engine = "cpu", accel.types = [tensor<1x20xi8, #accel.layout<0, 1 : 16>>, tensor<1x20xi8>]} {
// CHECK-NEXT:   accel.dispatch @cpu "back" ins(%[[X]] : memref<1x32xi8, "L2">) outs(%[[Y]] : memref<1x20xi8>) {
// CHECK:        func.return
// CHECK-NEXT: }
// CHECK-NEXT: func.func @main(%x: memref<1x20xi8> {graph.name = "input"}, %output: memref<1x20xi8> {graph.name = "output", accel.output}) {
// CHECK-NEXT:   %[[BUFFER:.*]] = memref.alloc() : memref<1x32xi8, "L2">
// CHECK-NEXT:   func.call @dense(%x, %[[BUFFER]]) : (memref<1x20xi8>, memref<1x32xi8, "L2">) -> ()
// CHECK-NEXT:   func.call @back(%[[BUFFER]], %output) : (memref<1x32xi8, "L2">, memref<1x20xi8>) -> ()
// CHECK-NEXT:   func.return
// CHECK-NEXT: }
func.func @main(%x: !rows {graph.name = "input"}) -> (!rows {graph.name = "output"}) {
  %weights = arith.constant dense<1> : tensor<20x20xi8>
  %dense = tiled.nest @digital "dense" grid <> windows [#tiled.window<_, _>, #tiled.window<_, _>, #tiled.window<_, _>] buffers [1, 1] ins(%x, %weights : !rows, tensor<20x20xi8>) {
  ^bb0(%a: !rows, %w: tensor<20x20xi8>):
    %acc = graph.dense %a, %w : !rows, tensor<20x20xi8> -> tensor<1x20xi32>
    %y = graph.requant "floor" %acc multiplier [1] shift [6] zero_point 0 range 0 to 127 {graph.name = "logits"} : tensor<1x20xi32> -> !words
    tiled.yield %y : !words
  } -> !words
  %back = accel.dispatch @cpu "back" ins(%dense : !words) {
  ^bb0(%a: !words):
    %y = accel.convert_layout %a : !words to !rows
    accel.yield %y : !rows
  } -> !rows
  func.return %back : !rows
}
}

// -----

builtin.module attributes {accel.target = #accel.target<"diana">} {
// CHECK: htvm-opt: error: 'graph.reshape' is in no kernel; run dispatch first
func.func @main(%x: tensor<1x2xi8>) -> tensor<2xi8> {
  %y = graph.reshape %x : tensor<1x2xi8> -> tensor<2xi8>
  func.return %y : tensor<2xi8>
}
}
