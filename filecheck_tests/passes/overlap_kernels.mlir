// RUN: htvm-opt %s -p overlap-kernels | filecheck %s

// The pooling does not need what it computes, so it comes before the wait; what was local to the
// kernel is allocated in @main, and the job's token travels there. The kernel that comes last needs both and stays whole.

builtin.module attributes {accel.target = #accel.target<"diana">} {
// CHECK:      builtin.module attributes {{.*}}accel.hidden = {conv = {{[0-9]+}} : i64}
// CHECK-LABEL: func.func private @conv_part1
// CHECK-SAME: (%in: memref<4096xi8, "L1">, %out: memref<4096xi8, "L1">, %x: memref<4096xi8, "L2">) -> !accel.token
// CHECK:      dma.wait
// CHECK:      %job = accel.launch @digital
// CHECK-NEXT: func.return %job : !accel.token
// CHECK-LABEL: func.func private @conv_part2
// CHECK-SAME: (%job: !accel.token, %out: memref<4096xi8, "L1">, %y: memref<4096xi8, "L2">)
// CHECK:      accel.await %job
// CHECK-NEXT: dma.start @digital_out %out to %y
// CHECK:      func.return
func.func private @conv(%x: memref<4096xi8, "L2">, %y: memref<4096xi8, "L2">) attributes {accel.engine = "digital"} {
  %in = memref.alloc() : memref<4096xi8, "L1">
  %out = memref.alloc() : memref<4096xi8, "L1">
  %load = dma.start @digital_in %x to %in : memref<4096xi8, "L2"> to memref<4096xi8, "L1">
  dma.wait %load
  %job = accel.launch @digital "add" ins(%in, %in : memref<4096xi8, "L1">, memref<4096xi8, "L1">) outs(%out : memref<4096xi8, "L1">) job {c = 32000 : i64, shift = 1 : i64, relu = 0 : i64}
  accel.await %job
  %store = dma.start @digital_out %out to %y : memref<4096xi8, "L1"> to memref<4096xi8, "L2">
  dma.wait %store
  func.return
}

func.func private @pool(%x: memref<1x4x4x16xi8, "L2">, %y: memref<1x4x4x16xi8, "L2">) attributes {accel.engine = "cpu"} {
  accel.dispatch @cpu "pool" ins(%x : memref<1x4x4x16xi8, "L2">) outs(%y : memref<1x4x4x16xi8, "L2">) {
  ^bb0(%t: tensor<1x4x4x16xi8>):
    %r = graph.pool "max" %t kernel [3, 3] strides [1, 1] pads [1, 1, 1, 1] rounding "floor" : tensor<1x4x4x16xi8> -> tensor<1x4x4x16xi8>
    accel.yield %r : tensor<1x4x4x16xi8>
  }
  func.return
}

// CHECK-LABEL: func.func @main
// CHECK:      %in = memref.alloc()
// CHECK-NEXT: %out = memref.alloc()
// CHECK-NEXT: %[[TOKEN:.*]] = func.call @conv_part1(%in, %out, %x)
// CHECK-NEXT: func.call @pool(%u, %v)
// CHECK-NEXT: func.call @conv_part2(%[[TOKEN]], %out, %y)
// CHECK-NEXT: func.return
func.func @main(%x: memref<4096xi8, "L2">, %u: memref<1x4x4x16xi8, "L2">, %y: memref<4096xi8, "L2">, %v: memref<1x4x4x16xi8, "L2">) {
  func.call @conv(%x, %y) : (memref<4096xi8, "L2">, memref<4096xi8, "L2">) -> ()
  func.call @pool(%u, %v) : (memref<1x4x4x16xi8, "L2">, memref<1x4x4x16xi8, "L2">) -> ()
  func.return
}
}
