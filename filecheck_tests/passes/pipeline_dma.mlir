// RUN: htvm-opt %s -p pipeline-dma | filecheck %s

// DIANA's array and its DMA share one trigger and one status register: even a load into a buffer of its own must not
// start beside a job.

builtin.module attributes {accel.target = #accel.target<"diana">} {
// CHECK-LABEL: func.func private @double
// CHECK:      %load0 = dma.start @digital_in %x0 to %in0
// CHECK-NEXT: dma.wait %load0
// CHECK-NEXT: %job0 = accel.launch @digital "add" ins(%in0, %in0 :
// CHECK-NEXT: accel.await %job0
// CHECK-NEXT: %store0 = dma.start @digital_out %out to %y0
// CHECK-NEXT: dma.wait %store0
// CHECK-NEXT: %load1 = dma.start @digital_in %x1 to %in1
// CHECK-NEXT: dma.wait %load1
// CHECK-NEXT: %job1 = accel.launch @digital "add" ins(%in1, %in1 :
// CHECK-NEXT: accel.await %job1
// CHECK-NEXT: %store1 = dma.start @digital_out %out to %y1
// CHECK-NEXT: dma.wait %store1
// CHECK-NEXT: func.return
func.func private @double(%x0: memref<32xi8, "L2">, %x1: memref<32xi8, "L2">, %y0: memref<32xi8, "L2">, %y1: memref<32xi8, "L2">) {
  %in0 = memref.alloc() : memref<32xi8, "L1">
  %in1 = memref.alloc() : memref<32xi8, "L1">
  %out = memref.alloc() : memref<32xi8, "L1">
  %load0 = dma.start @digital_in %x0 to %in0 : memref<32xi8, "L2"> to memref<32xi8, "L1">
  dma.wait %load0
  %job0 = accel.launch @digital "add" ins(%in0, %in0 : memref<32xi8, "L1">, memref<32xi8, "L1">) outs(%out : memref<32xi8, "L1">) job {c = 2 : i64, shift = 1 : i64, relu = 0 : i64}
  accel.await %job0
  %store0 = dma.start @digital_out %out to %y0 : memref<32xi8, "L1"> to memref<32xi8, "L2">
  dma.wait %store0
  %load1 = dma.start @digital_in %x1 to %in1 : memref<32xi8, "L2"> to memref<32xi8, "L1">
  dma.wait %load1
  %job1 = accel.launch @digital "add" ins(%in1, %in1 : memref<32xi8, "L1">, memref<32xi8, "L1">) outs(%out : memref<32xi8, "L1">) job {c = 2 : i64, shift = 1 : i64, relu = 0 : i64}
  accel.await %job1
  %store1 = dma.start @digital_out %out to %y1 : memref<32xi8, "L1"> to memref<32xi8, "L2">
  dma.wait %store1
  func.return
}
}
