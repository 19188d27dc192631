// RUN: not htvm-opt %s --split-input-file -p plan-memory 2>&1 | filecheck %s

// Buffers whose lives do not meet share bytes: %c takes the place of %a. In a kernel a buffer lives until the last
// transfer or job that uses it is waited for. Kernels run one after the other, so that the arena of L1 is that of the
// largest. Offsets are multiples of 32, the unit of the DMA.

builtin.module attributes {accel.target = #accel.target<"diana">} {
// CHECK:      accel.arena = {L1 = 128 : i64, L2 = 192 : i64}, accel.arena_bound = {L1 = 128 : i64, L2 = 192 : i64}
// CHECK-LABEL: func.func private @double
// CHECK-NEXT: %in = memref.alloc() {accel.offset = 64 : i64} : memref<32xi8, "L1">
// CHECK-NEXT: %out = memref.alloc() {accel.offset = 0 : i64} : memref<50xi8, "L1">
func.func private @double(%x: memref<32xi8, "L2">, %y: memref<50xi8, "L2">) {
  %in = memref.alloc() : memref<32xi8, "L1">
  %out = memref.alloc() : memref<50xi8, "L1">
  %load = dma.start @digital_in %x to %in : memref<32xi8, "L2"> to memref<32xi8, "L1">
  dma.wait %load
  %job = accel.launch @digital "add" ins(%in, %in : memref<32xi8, "L1">, memref<32xi8, "L1">) outs(%out : memref<50xi8, "L1">) job {c = 2 : i64, shift = 1 : i64, relu = 0 : i64}
  accel.await %job
  %store = dma.start @digital_out %out to %y : memref<50xi8, "L1"> to memref<50xi8, "L2">
  dma.wait %store
  func.return
}

// CHECK-LABEL: func.func private @twice
// CHECK-NEXT: %first = memref.alloc() {accel.offset = 0 : i64} : memref<128xi8, "L1">
// CHECK-NEXT: %second = memref.alloc() {accel.offset = 0 : i64} : memref<128xi8, "L1">
func.func private @twice(%x: memref<128xi8, "L2">, %y: memref<128xi8, "L2">) {
  %first = memref.alloc() : memref<128xi8, "L1">
  %second = memref.alloc() : memref<128xi8, "L1">
  %load = dma.start @digital_in %x to %first : memref<128xi8, "L2"> to memref<128xi8, "L1">
  dma.wait %load
  %again = dma.start @digital_in %x to %second : memref<128xi8, "L2"> to memref<128xi8, "L1">
  dma.wait %again
  func.return
}

func.func private @grow(memref<50xi8, "L2">, memref<128xi8, "L2">) -> ()
func.func private @shrink(memref<128xi8, "L2">, memref<32xi8, "L2">) -> ()

// CHECK-LABEL: func.func @main
// CHECK-NEXT: %a = memref.alloc() {accel.offset = 128 : i64} : memref<50xi8, "L2">
// CHECK:      %b = memref.alloc() {accel.offset = 0 : i64} : memref<128xi8, "L2">
// CHECK:      %c = memref.alloc() {accel.offset = 128 : i64} : memref<32xi8, "L2">
func.func @main(%x: memref<32xi8, "L2">, %y: memref<50xi8, "L2">) {
  %a = memref.alloc() : memref<50xi8, "L2">
  func.call @double(%x, %a) : (memref<32xi8, "L2">, memref<50xi8, "L2">) -> ()
  %b = memref.alloc() : memref<128xi8, "L2">
  func.call @grow(%a, %b) : (memref<50xi8, "L2">, memref<128xi8, "L2">) -> ()
  %c = memref.alloc() : memref<32xi8, "L2">
  func.call @shrink(%b, %c) : (memref<128xi8, "L2">, memref<32xi8, "L2">) -> ()
  func.call @double(%c, %y) : (memref<32xi8, "L2">, memref<50xi8, "L2">) -> ()
  func.return
}

}

// -----

// Constants lie in L2 as well and count.

builtin.module attributes {accel.target = #accel.target<"diana">} {
// CHECK: htvm-opt: error: the network does not fit L2: 500000 bytes needed (300000 of constants, 0 of job tables, 200000 of buffers), 451584 there, 48416 too many; largest: weights (300000 bytes), buffer 2x100000 (200000 bytes)
"memref.global"() <{sym_name = "weights", type = memref<300000xi8, "L2">, initial_value = dense<0> : tensor<300000xi8>, sym_visibility = "private", constant}> : () -> ()
func.func @main() {
  %a = memref.alloc() : memref<2x100000xi8, "L2">
  func.return
}
}
