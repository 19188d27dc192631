// RUN: htvm-opt %s -p chunk-host | filecheck %s

// Rows of a map in chunks of three, on views with gaps between the channels; the last chunk is a function of its own.
// Chunks of channels need no strides, and share a function.

builtin.module attributes {accel.target = #accel.target<"diana">} {
// CHECK-LABEL: func.func private @rows_chunk
// CHECK-SAME: memref<1x2x3x16xi8, strided<[128, 64, 16, 1]{{.*}}>
// CHECK:      accel.dispatch @cpu "rows"
// CHECK-LABEL: func.func private @rows_rest
// CHECK-SAME: memref<1x2x1x16xi8, strided<[128, 64, 16, 1]{{.*}}>
func.func private @rows(%x: memref<1x2x4x16xi8>, %y: memref<1x2x4x16xi8, "L2">) attributes {accel.engine = "cpu", accel.types = [tensor<1x2x4x16xi8>, tensor<1x2x4x16xi8, #accel.layout<0, 1, 2, 3 : 16 xor 3>>]} {
  accel.dispatch @cpu "rows" ins(%x : memref<1x2x4x16xi8>) outs(%y : memref<1x2x4x16xi8, "L2">) attributes {accel.chunks = {axis = 2 : i64, size = 3 : i64}} {
  ^bb0(%t: tensor<1x2x4x16xi8>):
    %r = accel.convert_layout %t : tensor<1x2x4x16xi8> to tensor<1x2x4x16xi8, #accel.layout<0, 1, 2, 3 : 16 xor 3>>
    accel.yield %r : tensor<1x2x4x16xi8, #accel.layout<0, 1, 2, 3 : 16 xor 3>>
  }
  func.return
}

// CHECK-LABEL: func.func private @channels_chunk
// CHECK-SAME: memref<1x1x4x16xi8>
func.func private @channels(%x: memref<1x2x4x16xi8>, %y: memref<1x2x4x16xi8, "L2">) attributes {accel.engine = "cpu", accel.types = [tensor<1x2x4x16xi8>, tensor<1x2x4x16xi8, #accel.layout<0, 1, 2, 3 : 16 xor 3>>]} {
  accel.dispatch @cpu "channels" ins(%x : memref<1x2x4x16xi8>) outs(%y : memref<1x2x4x16xi8, "L2">) attributes {accel.chunks = {axis = 1 : i64, size = 1 : i64}} {
  ^bb0(%t: tensor<1x2x4x16xi8>):
    %r = accel.convert_layout %t : tensor<1x2x4x16xi8> to tensor<1x2x4x16xi8, #accel.layout<0, 1, 2, 3 : 16 xor 3>>
    accel.yield %r : tensor<1x2x4x16xi8, #accel.layout<0, 1, 2, 3 : 16 xor 3>>
  }
  func.return
}

// CHECK-LABEL: func.func @main
// CHECK:      memref.subview %x[0, 0, 0, 0] [1, 2, 3, 16]
// CHECK:      func.call @rows_chunk
// CHECK:      memref.subview %x[0, 0, 3, 0] [1, 2, 1, 16]
// CHECK:      func.call @rows_rest
// CHECK:      func.call @channels_chunk
// CHECK:      memref.subview %x[0, 1, 0, 0] [1, 1, 4, 16]
// CHECK:      func.call @channels_chunk
func.func @main(%x: memref<1x2x4x16xi8>) {
  %y = memref.alloc() : memref<1x2x4x16xi8, "L2">
  func.call @rows(%x, %y) : (memref<1x2x4x16xi8>, memref<1x2x4x16xi8, "L2">) -> ()
  func.call @channels(%x, %y) : (memref<1x2x4x16xi8>, memref<1x2x4x16xi8, "L2">) -> ()
  func.return
}
}
