// RUN: htvm-opt %s -p pipeline-dma | filecheck %s

// toynpu's DMA moves data while its NPU computes. Two buffers for each operand make a software pipeline: a tile comes in
// beside the job before, and goes out beside the job after; only the first load and the last store are waited for idly.

builtin.module attributes {accel.target = #accel.target<"toynpu">} {
// CHECK-LABEL: func.func private @double
// CHECK:      %load0 = dma.start @dma_in %x0 to %in0
// CHECK-NEXT: dma.wait %load0
// CHECK-NEXT: %job0 = accel.launch @npu "add" ins(%in0, %in0 :
// CHECK-NEXT: %load1 = dma.start @dma_in %x1 to %in1
// CHECK-NEXT: accel.await %job0
// CHECK-NEXT: %store0 = dma.start @dma_out %out0 to %y0
// CHECK-NEXT: dma.wait %load1
// CHECK-NEXT: %job1 = accel.launch @npu "add" ins(%in1, %in1 :
// CHECK-NEXT: accel.await %job1
// CHECK-NEXT: dma.wait %store0
// CHECK-NEXT: %store1 = dma.start @dma_out %out1 to %y1
// CHECK-NEXT: dma.wait %store1
// CHECK-NEXT: func.return
func.func private @double(%x0: memref<8xi8, "RAM">, %x1: memref<8xi8, "RAM">, %y0: memref<8xi8, "RAM">, %y1: memref<8xi8, "RAM">) {
  %in0 = memref.alloc() : memref<8xi8, "SPM">
  %in1 = memref.alloc() : memref<8xi8, "SPM">
  %out0 = memref.alloc() : memref<8xi8, "SPM">
  %out1 = memref.alloc() : memref<8xi8, "SPM">
  %load0 = dma.start @dma_in %x0 to %in0 : memref<8xi8, "RAM"> to memref<8xi8, "SPM">
  dma.wait %load0
  %job0 = accel.launch @npu "add" ins(%in0, %in0 : memref<8xi8, "SPM">, memref<8xi8, "SPM">) outs(%out0 : memref<8xi8, "SPM">) job {}
  accel.await %job0
  %store0 = dma.start @dma_out %out0 to %y0 : memref<8xi8, "SPM"> to memref<8xi8, "RAM">
  dma.wait %store0
  %load1 = dma.start @dma_in %x1 to %in1 : memref<8xi8, "RAM"> to memref<8xi8, "SPM">
  dma.wait %load1
  %job1 = accel.launch @npu "add" ins(%in1, %in1 : memref<8xi8, "SPM">, memref<8xi8, "SPM">) outs(%out1 : memref<8xi8, "SPM">) job {}
  accel.await %job1
  %store1 = dma.start @dma_out %out1 to %y1 : memref<8xi8, "SPM"> to memref<8xi8, "RAM">
  dma.wait %store1
  func.return
}

// With one buffer the next load waits until the job has read it. A store and a load of the same tensor keep their order.

// CHECK-LABEL: func.func private @in_place
// CHECK:      %job0 = accel.launch
// CHECK-NEXT: accel.await %job0
// CHECK-NEXT: %store0 = dma.start @dma_out %out to %x
// CHECK-NEXT: dma.wait %store0
// CHECK-NEXT: %load1 = dma.start @dma_in %x to %in
// CHECK-NEXT: dma.wait %load1
func.func private @in_place(%x: memref<8xi8, "RAM">) {
  %in = memref.alloc() : memref<8xi8, "SPM">
  %out = memref.alloc() : memref<8xi8, "SPM">
  %job0 = accel.launch @npu "add" ins(%in, %in : memref<8xi8, "SPM">, memref<8xi8, "SPM">) outs(%out : memref<8xi8, "SPM">) job {}
  accel.await %job0
  %store0 = dma.start @dma_out %out to %x : memref<8xi8, "SPM"> to memref<8xi8, "RAM">
  dma.wait %store0
  %load1 = dma.start @dma_in %x to %in : memref<8xi8, "RAM"> to memref<8xi8, "SPM">
  dma.wait %load1
  func.return
}
}
