// RUN: htvm-opt %s --split-input-file -p explicit-dma | filecheck %s
// RUN: htvm-opt %s --split-input-file -p 'explicit-dma{reload=true}' | filecheck %s --check-prefix RELOAD

// Two tiles of 4 rows: each loads 5 rows of each channel, since the sixth is padding: at the top of the first and at the
// bottom of the second. A tile lies densely in L1, in the same buffer each time.

#words = #accel.layout<0, 1, 2, 3 : 16 xor 3>

builtin.module attributes {accel.target = #accel.target<"diana">} {
// CHECK:      "memref.global"() <{sym_name = "rows_constants", type = memref<352xi8, "L2">
// CHECK-LABEL: func.func private @rows
// CHECK-NEXT: %[[IN:.*]] = memref.alloc() : memref<192xi8, "L1">
// CHECK-NEXT: %[[OUT:.*]] = memref.alloc() : memref<1056xi8, "L1">
// CHECK-NEXT: %[[CONSTANTS:.*]] = memref.get_global @rows_constants : memref<352xi8, "L2">
// CHECK-NEXT: %[[X:.*]] = memref.subview %x[0, 0, 0, 0] [1, 2, 5, 16] [1, 1, 1, 1] : memref<1x2x8x16xi8, "L2"> to memref<1x2x5x16xi8, strided<[256, 128, 16, 1]>, "L2">
// CHECK-NEXT: %[[TILE:.*]] = memref.subview %[[IN]][0] [160] [1]
// CHECK-NEXT: %[[T:.*]] = dma.start @digital_in %[[X]] to %[[TILE]]
// CHECK-NEXT: dma.wait %[[T]]
// CHECK-NEXT: %[[J:.*]] = accel.launch @digital "conv2d" ins(%[[IN]] : {{.*}}) constants(%[[CONSTANTS]] : {{.*}}) outs(%[[OUT]] : {{.*}}) job {c = 2 : i64, {{.*}}cy = 5 : i64, {{.*}}oy = 4 : i64, {{.*}}pad_top = 1 : i64, pad_left = 1 : i64, pad_bottom = 0 : i64, {{.*}}}
// CHECK-NEXT: accel.await %[[J]]
// CHECK-NEXT: %[[Y:.*]] = memref.subview %y[0, 0, 0, 0] [1, 16, 4, 16] [1, 1, 1, 1] : memref<1x16x8x16xi8, "L2"> to memref<1x16x4x16xi8, strided<[2048, 128, 16, 1]>, "L2">
// CHECK-NEXT: %[[TILE:.*]] = memref.subview %[[OUT]][0] [1024] [1]
// CHECK-NEXT: %[[T:.*]] = dma.start @digital_out %[[TILE]] to %[[Y]]
// CHECK-NEXT: dma.wait %[[T]]
// CHECK-NEXT: %[[X:.*]] = memref.subview %x[0, 0, 3, 0] [1, 2, 5, 16] [1, 1, 1, 1] : memref<1x2x8x16xi8, "L2"> to memref<1x2x5x16xi8, strided<[256, 128, 16, 1], offset: 48>, "L2">
// CHECK-NEXT: %[[TILE:.*]] = memref.subview %[[IN]][0] [160] [1]
// CHECK-NEXT: %[[T:.*]] = dma.start @digital_in %[[X]] to %[[TILE]]
// CHECK-NEXT: dma.wait %[[T]]
// CHECK-NEXT: %[[J:.*]] = accel.launch @digital "conv2d" ins(%[[IN]] : {{.*}}) constants(%[[CONSTANTS]] : {{.*}}) outs(%[[OUT]] : {{.*}}) job {c = 2 : i64, {{.*}}cy = 5 : i64, {{.*}}oy = 4 : i64, {{.*}}pad_top = 0 : i64, pad_left = 1 : i64, pad_bottom = 1 : i64, {{.*}}}
// CHECK-NEXT: accel.await %[[J]]
// CHECK-NEXT: %[[Y:.*]] = memref.subview %y[0, 0, 4, 0] [1, 16, 4, 16] [1, 1, 1, 1] : memref<1x16x8x16xi8, "L2"> to memref<1x16x4x16xi8, strided<[2048, 128, 16, 1], offset: 64>, "L2">
// CHECK-NEXT: %[[TILE:.*]] = memref.subview %[[OUT]][0] [1024] [1]
// CHECK-NEXT: %[[T:.*]] = dma.start @digital_out %[[TILE]] to %[[Y]]
// CHECK-NEXT: dma.wait %[[T]]
// CHECK-NEXT: func.return
func.func private @rows(%x: memref<1x2x8x16xi8, "L2">, %y: memref<1x16x8x16xi8, "L2">) attributes {accel.types = [tensor<1x2x8x16xi8, #words>, tensor<1x16x8x16xi8, #words>]} {
  %weights = arith.constant dense<1> : tensor<16x2x3x3xi8>
  tiled.nest @digital "rows" grid <y = 8 by 4> windows [#tiled.window<_, _, y - 1 : 3, _>, #tiled.window<_, _, _, _>, #tiled.window<_, _, y, _>] buffers [1, 1] ins(%x, %weights : memref<1x2x8x16xi8, "L2">, tensor<16x2x3x3xi8>) outs(%y : memref<1x16x8x16xi8, "L2">) {
  ^bb0(%a: tensor<1x2x6x16xi8, #words>, %w: tensor<16x2x3x3xi8>):
    %acc = graph.conv2d %a, %w strides [1, 1] pads [0, 1, 0, 1] dilations [1, 1] groups 1 : tensor<1x2x6x16xi8, #words>, tensor<16x2x3x3xi8> -> tensor<1x16x4x16xi32>
    %r = graph.requant "floor" %acc multiplier [1] shift [5] zero_point 0 range 0 to 127 : tensor<1x16x4x16xi32> -> tensor<1x16x4x16xi8, #words>
    tiled.yield %r : tensor<1x16x4x16xi8, #words>
  }
  func.return
}
}

// -----
// CHECK: {{// ?-----}}

// The input is in L1 and stays there: each job reads its rows of it, 5 of 8, where they lie, the planes 128 bytes apart,
// and writes rows that follow each other, to be stored.

builtin.module attributes {accel.target = #accel.target<"npu">} {
// CHECK-LABEL: func.func private @gaps
// CHECK-NOT:  dma.start @inputs
// CHECK:      %[[X:.*]] = memref.subview %x[0] [208] [1] : memref<256xi8, "L1"> to
// CHECK:      accel.launch @array "conv2d" ins(%[[X]] : {{.*}}) job {{{.*}}iy = 5 : i64, {{.*}}oy = 4 : i64, {{.*}}input_pitch = 128 : i64, {{.*}}output_pitch = 64 : i64, {{.*}}top = 1 : i64,
// CHECK:      dma.start @outputs
// CHECK:      %[[X:.*]] = memref.subview %x[48] [208] [1] : memref<256xi8, "L1"> to
// CHECK:      accel.launch @array "conv2d" ins(%[[X]] : {{.*}}) job {{{.*}}iy = 5 : i64, {{.*}}oy = 4 : i64, {{.*}}input_pitch = 128 : i64, {{.*}}output_pitch = 64 : i64, {{.*}}top = 0 : i64,
// CHECK:      dma.start @outputs
func.func private @gaps(%x: memref<256xi8, "L1">, %y: memref<1x16x8x16xi8, "L2">) attributes {accel.types = [tensor<1x2x8x16xi8>, tensor<1x16x8x16xi8>]} {
  %weights = arith.constant dense<1> : tensor<16x2x3x3xi8>
  tiled.nest @array "gaps" grid <y = 8 by 4> windows [#tiled.window<_, _, y - 1 : 3, _>, #tiled.window<_, _, _, _>, #tiled.window<_, _, y, _>] buffers [1, 1] ins(%x, %weights : memref<256xi8, "L1">, tensor<16x2x3x3xi8>) outs(%y : memref<1x16x8x16xi8, "L2">) attributes {accel.resident = {"0" = 256 : i64}} {
  ^bb0(%a: tensor<1x2x6x16xi8>, %w: tensor<16x2x3x3xi8>):
    %acc = graph.conv2d %a, %w strides [1, 1] pads [0, 1, 0, 1] dilations [1, 1] groups 1 : tensor<1x2x6x16xi8>, tensor<16x2x3x3xi8> -> tensor<1x16x4x16xi32>
    %r = graph.requant "floor" %acc multiplier [1] shift [5] zero_point 0 range 0 to 127 : tensor<1x16x4x16xi32> -> tensor<1x16x4x16xi8>
    tiled.yield %r : tensor<1x16x4x16xi8>
  }
  func.return
}
}

// -----
// CHECK: {{// ?-----}}

// Tiles of 32 and 16 outputs read the same input, which is loaded once, or for each if so asked; each has its own part
// of the constants.

#words = #accel.layout<0, 1 : 16 xor 3>

builtin.module attributes {accel.target = #accel.target<"diana">} {
// RELOAD-LABEL: func.func private @outputs
// RELOAD:      dma.start @digital_in %x to
// RELOAD:      accel.launch @digital
// RELOAD:      dma.start @digital_in %x to
// RELOAD:      accel.launch @digital
// RELOAD-NOT:  dma.start @digital_in

// CHECK-LABEL: func.func private @outputs
// CHECK-NEXT: %[[IN:.*]] = memref.alloc() : memref<64xi8, "L1">
// CHECK-NEXT: %[[OUT:.*]] = memref.alloc() : memref<64xi8, "L1">
// CHECK-NEXT: %[[ALL:.*]] = memref.get_global @outputs_constants : memref<2304xi8, "L2">
// CHECK:      dma.start @digital_in %x to
// CHECK-NOT:  dma.start @digital_in
// CHECK:      %[[PART:.*]] = memref.subview %[[ALL]][0] [1536] [1]
// CHECK-NEXT: accel.launch @digital "dense" ins(%[[IN]] : {{.*}}) constants(%[[PART]] : {{.*}}) outs(%[[OUT]] : {{.*}}) job {c = 2 : i64, k = 2 : i64,
// CHECK:      memref.subview %y[0, 0] [1, 32] [1, 1]
// CHECK-NOT:  dma.start @digital_in
// CHECK:      %[[PART:.*]] = memref.subview %[[ALL]][1536] [768] [1]
// CHECK-NEXT: accel.launch @digital "dense" ins(%[[IN]] : {{.*}}) constants(%[[PART]] : {{.*}}) outs(%[[OUT]] : {{.*}}) job {c = 2 : i64, k = 1 : i64,
// CHECK:      memref.subview %y[0, 32] [1, 16] [1, 1]
func.func private @outputs(%x: memref<1x32xi8, "L2">, %y: memref<1x48xi8, "L2">) attributes {accel.types = [tensor<1x32xi8, #words>, tensor<1x48xi8, #words>]} {
  %weights = arith.constant dense<1> : tensor<48x32xi8>
  tiled.nest @digital "outputs" grid <k = 48 by 32> windows [#tiled.window<_, _>, #tiled.window<k, _>, #tiled.window<_, k>] buffers [1, 1] ins(%x, %weights : memref<1x32xi8, "L2">, tensor<48x32xi8>) outs(%y : memref<1x48xi8, "L2">) {
  ^bb0(%a: tensor<1x32xi8, #words>, %w: tensor<32x32xi8>):
    %acc = graph.dense %a, %w : tensor<1x32xi8, #words>, tensor<32x32xi8> -> tensor<1x32xi32>
    %r = graph.requant "floor" %acc multiplier [1] shift [5] zero_point 0 range 0 to 127 : tensor<1x32xi32> -> tensor<1x32xi8, #words>
    tiled.yield %r : tensor<1x32xi8, #words>
  }
  func.return
}
}
