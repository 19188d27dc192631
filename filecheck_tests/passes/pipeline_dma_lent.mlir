// RUN: htvm-opt %s -p pipeline-dma | filecheck %s

// DIANA's analog core lends its DMA: one transfer at a time for both channels, and nothing is queued. Beside the second job
// the tile before is stored, then the tile behind is loaded; all of it has been waited for when that job has.

builtin.module attributes {accel.target = #accel.target<"diana,copy_engine=analog">} {
// CHECK-LABEL: func.func private @double
// CHECK:      %load0 = dma.start @copy_in %x0 to %in0
// CHECK-NEXT: dma.wait %load0
// CHECK-NEXT: %job0 = accel.launch @digital "add" ins(%in0, %in0 :
// CHECK-NEXT: %load1 = dma.start @copy_in %x1 to %in1
// CHECK-NEXT: accel.await %job0
// CHECK-NEXT: dma.wait %load1
// CHECK-NEXT: %job1 = accel.launch @digital "add" ins(%in1, %in1 :
// CHECK-NEXT: %store0 = dma.start @copy_out %out0 to %y0
// CHECK-NEXT: dma.wait %store0
// CHECK-NEXT: %load2 = dma.start @copy_in %x2 to %in0
// CHECK-NEXT: accel.await %job1
// CHECK-NEXT: dma.wait %load2
// CHECK-NEXT: %job2 = accel.launch @digital "add" ins(%in0, %in0 :
// CHECK-NEXT: %store1 = dma.start @copy_out %out1 to %y1
// CHECK-NEXT: accel.await %job2
// CHECK-NEXT: dma.wait %store1
// CHECK-NEXT: %store2 = dma.start @copy_out %out0 to %y2
// CHECK-NEXT: dma.wait %store2
// CHECK-NEXT: func.return
func.func private @double(%x0: memref<32xi8, "L2">, %x1: memref<32xi8, "L2">, %x2: memref<32xi8, "L2">, %y0: memref<32xi8, "L2">, %y1: memref<32xi8, "L2">, %y2: memref<32xi8, "L2">) {
  %in0 = memref.alloc() : memref<32xi8, "L1">
  %in1 = memref.alloc() : memref<32xi8, "L1">
  %out0 = memref.alloc() : memref<32xi8, "L1">
  %out1 = memref.alloc() : memref<32xi8, "L1">
  %load0 = dma.start @copy_in %x0 to %in0 : memref<32xi8, "L2"> to memref<32xi8, "L1">
  dma.wait %load0
  %job0 = accel.launch @digital "add" ins(%in0, %in0 : memref<32xi8, "L1">, memref<32xi8, "L1">) outs(%out0 : memref<32xi8, "L1">) job {}
  accel.await %job0
  %store0 = dma.start @copy_out %out0 to %y0 : memref<32xi8, "L1"> to memref<32xi8, "L2">
  dma.wait %store0
  %load1 = dma.start @copy_in %x1 to %in1 : memref<32xi8, "L2"> to memref<32xi8, "L1">
  dma.wait %load1
  %job1 = accel.launch @digital "add" ins(%in1, %in1 : memref<32xi8, "L1">, memref<32xi8, "L1">) outs(%out1 : memref<32xi8, "L1">) job {}
  accel.await %job1
  %store1 = dma.start @copy_out %out1 to %y1 : memref<32xi8, "L1"> to memref<32xi8, "L2">
  dma.wait %store1
  %load2 = dma.start @copy_in %x2 to %in0 : memref<32xi8, "L2"> to memref<32xi8, "L1">
  dma.wait %load2
  %job2 = accel.launch @digital "add" ins(%in0, %in0 : memref<32xi8, "L1">, memref<32xi8, "L1">) outs(%out0 : memref<32xi8, "L1">) job {}
  accel.await %job2
  %store2 = dma.start @copy_out %out0 to %y2 : memref<32xi8, "L1"> to memref<32xi8, "L2">
  dma.wait %store2
  func.return
}

// With one buffer for the result the store waits for nobody else, and comes before the next job.

// CHECK-LABEL: func.func private @single
// CHECK:      %job0 = accel.launch
// CHECK-NEXT: %load1 = dma.start @copy_in %x1 to %in1
// CHECK-NEXT: accel.await %job0
// CHECK-NEXT: dma.wait %load1
// CHECK-NEXT: %store0 = dma.start @copy_out %out to %y0
// CHECK-NEXT: dma.wait %store0
// CHECK-NEXT: %job1 = accel.launch
func.func private @single(%x0: memref<32xi8, "L2">, %x1: memref<32xi8, "L2">, %y0: memref<32xi8, "L2">, %y1: memref<32xi8, "L2">) {
  %in0 = memref.alloc() : memref<32xi8, "L1">
  %in1 = memref.alloc() : memref<32xi8, "L1">
  %out = memref.alloc() : memref<32xi8, "L1">
  %load0 = dma.start @copy_in %x0 to %in0 : memref<32xi8, "L2"> to memref<32xi8, "L1">
  dma.wait %load0
  %job0 = accel.launch @digital "add" ins(%in0, %in0 : memref<32xi8, "L1">, memref<32xi8, "L1">) outs(%out : memref<32xi8, "L1">) job {}
  accel.await %job0
  %store0 = dma.start @copy_out %out to %y0 : memref<32xi8, "L1"> to memref<32xi8, "L2">
  dma.wait %store0
  %load1 = dma.start @copy_in %x1 to %in1 : memref<32xi8, "L2"> to memref<32xi8, "L1">
  dma.wait %load1
  %job1 = accel.launch @digital "add" ins(%in1, %in1 : memref<32xi8, "L1">, memref<32xi8, "L1">) outs(%out : memref<32xi8, "L1">) job {}
  accel.await %job1
  %store1 = dma.start @copy_out %out to %y1 : memref<32xi8, "L1"> to memref<32xi8, "L2">
  dma.wait %store1
  func.return
}
}
