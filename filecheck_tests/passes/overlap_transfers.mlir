// RUN: htvm-opt %s --split-input-file -p overlap-transfers | filecheck %s

// The second kernel's weights need nothing of the first one's: they begin to move before its store is waited for, though
// not before that is started, since the two share a port. The second kernel's input is what the first one stores: that load
// stays behind the wait. What was local to the kernels is allocated in @main, where the tokens travel.

builtin.module attributes {accel.target = #accel.target<"npu">} {
// CHECK:      builtin.module attributes {{.*}}accel.hidden = {
// CHECK-LABEL: func.func private @first_part1
// CHECK:      dma.wait %load
// CHECK-NEXT: %job = accel.launch @array "add"
// CHECK-NEXT: accel.await %job
// CHECK-NEXT: %store = dma.start @outputs %out to %y
// CHECK-NEXT: func.return %store : !dma.token
// CHECK-LABEL: func.func private @first_part2
// CHECK:      dma.wait %store
// CHECK-NEXT: func.return
func.func private @first(%x: memref<1x400xi8, "L2">, %y: memref<1x400xi8, "L2">) attributes {accel.engine = "array"} {
  %in = memref.alloc() : memref<400xi8, "L1">
  %out = memref.alloc() : memref<400xi8, "L1">
  %load = dma.start @inputs %x to %in : memref<1x400xi8, "L2"> to memref<400xi8, "L1">
  dma.wait %load
  %job = accel.launch @array "add" ins(%in, %in : memref<400xi8, "L1">, memref<400xi8, "L1">) outs(%out : memref<400xi8, "L1">) job {c = 400 : i64, iy = 1 : i64, ix = 1 : i64, k = 400 : i64, oy = 1 : i64, ox = 1 : i64, input_pitch = 1 : i64, second_pitch = 1 : i64, output_pitch = 1 : i64, fy = 1 : i64, fx = 1 : i64, sy = 1 : i64, sx = 1 : i64, top = 0 : i64, left = 0 : i64, mean = 0 : i64, zero_point = 0 : i64, source_unsigned = 0 : i64, result_unsigned = 0 : i64, scaled = 0 : i64, rounding = 0 : i64, multiplier = 1 : i64, shift = 1 : i64, addend = 0 : i64, result_zero_point = 0 : i64, lo = -128 : i64, hi = 127 : i64}
  accel.await %job
  %store = dma.start @outputs %out to %y : memref<400xi8, "L1"> to memref<1x400xi8, "L2">
  dma.wait %store
  func.return
}

// CHECK-LABEL: func.func private @second_part1
// CHECK:      %[[WEIGHTS:.*]] = dma.start @weights
// CHECK-NEXT: func.return %[[WEIGHTS]] : !dma.token
// CHECK-LABEL: func.func private @second_part2
// CHECK:      dma.start @inputs
// CHECK:      dma.wait
// CHECK:      dma.wait
// CHECK:      accel.launch @array "conv2d"
// CHECK:      accel.await
// CHECK:      func.return
"memref.global"() <{sym_name = "records", sym_visibility = "private", type = memref<8080xi8, "L2">, initial_value = dense<1> : tensor<8080xi8>, constant}> : () -> ()
func.func private @second(%x: memref<1x400xi8, "L2">, %y: memref<1x20xi8, "L2">) attributes {accel.engine = "array"} {
  %in = memref.alloc() : memref<400xi8, "L1">
  %out = memref.alloc() : memref<20xi8, "L1">
  %local = memref.alloc() : memref<8080xi8, "WM">
  %packed = memref.get_global @records : memref<8080xi8, "L2">
  %weights = dma.start @weights %packed to %local : memref<8080xi8, "L2"> to memref<8080xi8, "WM">
  %load = dma.start @inputs %x to %in : memref<1x400xi8, "L2"> to memref<400xi8, "L1">
  dma.wait %weights
  dma.wait %load
  %job = accel.launch @array "conv2d" ins(%in : memref<400xi8, "L1">) constants(%local : memref<8080xi8, "WM">) outs(%out : memref<20xi8, "L1">) job {c = 400 : i64, iy = 1 : i64, ix = 1 : i64, k = 20 : i64, oy = 1 : i64, ox = 1 : i64, input_pitch = 1 : i64, second_pitch = 0 : i64, output_pitch = 1 : i64, fy = 1 : i64, fx = 1 : i64, sy = 1 : i64, sx = 1 : i64, top = 0 : i64, left = 0 : i64, mean = 0 : i64, zero_point = 0 : i64, source_unsigned = 0 : i64, result_unsigned = 0 : i64, scaled = 0 : i64, rounding = 0 : i64, multiplier = 1 : i64, shift = 8 : i64, addend = 0 : i64, result_zero_point = 0 : i64, lo = -128 : i64, hi = 127 : i64}
  accel.await %job
  %store = dma.start @outputs %out to %y : memref<20xi8, "L1"> to memref<1x20xi8, "L2">
  dma.wait %store
  func.return
}

// CHECK-LABEL: func.func @main
// CHECK:      %[[STORE:.*]] = func.call @first_part1
// CHECK:      %[[TOKEN:.*]] = func.call @second_part1
// CHECK-NEXT: func.call @first_part2(%[[STORE]],
// CHECK-NEXT: func.call @second_part2(%[[TOKEN]],
// CHECK-NEXT: func.return
func.func @main(%x: memref<1x400xi8, "L2">, %y: memref<1x20xi8, "L2">) {
  %between = memref.alloc() : memref<1x400xi8, "L2">
  func.call @first(%x, %between) : (memref<1x400xi8, "L2">, memref<1x400xi8, "L2">) -> ()
  func.call @second(%between, %y) : (memref<1x400xi8, "L2">, memref<1x20xi8, "L2">) -> ()
  func.return
}
}

// -----
// CHECK: {{// ?-----}}

// What the first kernel leaves in L1 for the last one takes half of it: the third kernel's tiles have no room beside the
// second one's, though neither uses it. The last kernel's weights, in another memory, begin to move beside the third one.

builtin.module attributes {accel.target = #accel.target<"npu">} {
func.func private @writes(%x: memref<1x16000xi8, "L2">, %stays: memref<16000xi8, "L1">) attributes {accel.engine = "array"} {
  %in = memref.alloc() : memref<16000xi8, "L1">
  %load = dma.start @inputs %x to %in : memref<1x16000xi8, "L2"> to memref<16000xi8, "L1">
  dma.wait %load
  %job = accel.launch @array "add" ins(%in, %in : memref<16000xi8, "L1">, memref<16000xi8, "L1">) outs(%stays : memref<16000xi8, "L1">) job {c = 16000 : i64, iy = 1 : i64, ix = 1 : i64, k = 16000 : i64, oy = 1 : i64, ox = 1 : i64, input_pitch = 1 : i64, second_pitch = 1 : i64, output_pitch = 1 : i64, fy = 1 : i64, fx = 1 : i64, sy = 1 : i64, sx = 1 : i64, top = 0 : i64, left = 0 : i64, mean = 0 : i64, zero_point = 0 : i64, source_unsigned = 0 : i64, result_unsigned = 0 : i64, scaled = 0 : i64, rounding = 0 : i64, multiplier = 1 : i64, shift = 1 : i64, addend = 0 : i64, result_zero_point = 0 : i64, lo = -128 : i64, hi = 127 : i64}
  accel.await %job
  func.return
}
func.func private @second(%x: memref<1x8000xi8, "L2">, %y: memref<1x8000xi8, "L2">) attributes {accel.engine = "array"} {
  %in = memref.alloc() : memref<8000xi8, "L1">
  %out = memref.alloc() : memref<8000xi8, "L1">
  %load = dma.start @inputs %x to %in : memref<1x8000xi8, "L2"> to memref<8000xi8, "L1">
  dma.wait %load
  %job = accel.launch @array "add" ins(%in, %in : memref<8000xi8, "L1">, memref<8000xi8, "L1">) outs(%out : memref<8000xi8, "L1">) job {c = 8000 : i64, iy = 1 : i64, ix = 1 : i64, k = 8000 : i64, oy = 1 : i64, ox = 1 : i64, input_pitch = 1 : i64, second_pitch = 1 : i64, output_pitch = 1 : i64, fy = 1 : i64, fx = 1 : i64, sy = 1 : i64, sx = 1 : i64, top = 0 : i64, left = 0 : i64, mean = 0 : i64, zero_point = 0 : i64, source_unsigned = 0 : i64, result_unsigned = 0 : i64, scaled = 0 : i64, rounding = 0 : i64, multiplier = 1 : i64, shift = 1 : i64, addend = 0 : i64, result_zero_point = 0 : i64, lo = -128 : i64, hi = 127 : i64}
  accel.await %job
  %store = dma.start @outputs %out to %y : memref<8000xi8, "L1"> to memref<1x8000xi8, "L2">
  dma.wait %store
  func.return
}
func.func private @third(%x: memref<1x8000xi8, "L2">, %y: memref<1x8000xi8, "L2">) attributes {accel.engine = "array"} {
  %in = memref.alloc() : memref<8000xi8, "L1">
  %out = memref.alloc() : memref<8000xi8, "L1">
  %load = dma.start @inputs %x to %in : memref<1x8000xi8, "L2"> to memref<8000xi8, "L1">
  dma.wait %load
  %job = accel.launch @array "add" ins(%in, %in : memref<8000xi8, "L1">, memref<8000xi8, "L1">) outs(%out : memref<8000xi8, "L1">) job {c = 8000 : i64, iy = 1 : i64, ix = 1 : i64, k = 8000 : i64, oy = 1 : i64, ox = 1 : i64, input_pitch = 1 : i64, second_pitch = 1 : i64, output_pitch = 1 : i64, fy = 1 : i64, fx = 1 : i64, sy = 1 : i64, sx = 1 : i64, top = 0 : i64, left = 0 : i64, mean = 0 : i64, zero_point = 0 : i64, source_unsigned = 0 : i64, result_unsigned = 0 : i64, scaled = 0 : i64, rounding = 0 : i64, multiplier = 1 : i64, shift = 1 : i64, addend = 0 : i64, result_zero_point = 0 : i64, lo = -128 : i64, hi = 127 : i64}
  accel.await %job
  %store = dma.start @outputs %out to %y : memref<8000xi8, "L1"> to memref<1x8000xi8, "L2">
  dma.wait %store
  func.return
}
"memref.global"() <{sym_name = "records", sym_visibility = "private", type = memref<32008xi8, "L2">, initial_value = dense<1> : tensor<32008xi8>, constant}> : () -> ()
func.func private @reads(%stays: memref<16000xi8, "L1">, %y: memref<1x2xi8, "L2">) attributes {accel.engine = "array"} {
  %out = memref.alloc() : memref<2xi8, "L1">
  %local = memref.alloc() : memref<32008xi8, "WM">
  %packed = memref.get_global @records : memref<32008xi8, "L2">
  %weights = dma.start @weights %packed to %local : memref<32008xi8, "L2"> to memref<32008xi8, "WM">
  dma.wait %weights
  %job = accel.launch @array "conv2d" ins(%stays : memref<16000xi8, "L1">) constants(%local : memref<32008xi8, "WM">) outs(%out : memref<2xi8, "L1">) job {c = 16000 : i64, iy = 1 : i64, ix = 1 : i64, k = 2 : i64, oy = 1 : i64, ox = 1 : i64, input_pitch = 1 : i64, second_pitch = 0 : i64, output_pitch = 1 : i64, fy = 1 : i64, fx = 1 : i64, sy = 1 : i64, sx = 1 : i64, top = 0 : i64, left = 0 : i64, mean = 0 : i64, zero_point = 0 : i64, source_unsigned = 0 : i64, result_unsigned = 0 : i64, scaled = 0 : i64, rounding = 0 : i64, multiplier = 1 : i64, shift = 1 : i64, addend = 0 : i64, result_zero_point = 0 : i64, lo = -128 : i64, hi = 127 : i64}
  accel.await %job
  %store = dma.start @outputs %out to %y : memref<2xi8, "L1"> to memref<1x2xi8, "L2">
  dma.wait %store
  func.return
}

// CHECK-LABEL: func.func @main
// CHECK:      func.call @writes(
// CHECK-NEXT: func.call @second(
// CHECK:      func.call @third_part1(
// CHECK:      func.call @reads_part1(
// CHECK:      func.call @third_part2(
// CHECK:      func.call @reads_part2(
func.func @main(%x: memref<1x16000xi8, "L2">, %a: memref<1x8000xi8, "L2">, %b: memref<1x8000xi8, "L2">, %c: memref<1x8000xi8, "L2">, %d: memref<1x8000xi8, "L2">, %y: memref<1x2xi8, "L2">) {
  %stays = memref.alloc() : memref<16000xi8, "L1">
  func.call @writes(%x, %stays) : (memref<1x16000xi8, "L2">, memref<16000xi8, "L1">) -> ()
  func.call @second(%a, %b) : (memref<1x8000xi8, "L2">, memref<1x8000xi8, "L2">) -> ()
  func.call @third(%c, %d) : (memref<1x8000xi8, "L2">, memref<1x8000xi8, "L2">) -> ()
  func.call @reads(%stays, %y) : (memref<16000xi8, "L1">, memref<1x2xi8, "L2">) -> ()
  func.return
}
}
