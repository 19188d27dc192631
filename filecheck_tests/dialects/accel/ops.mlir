// RUN: htvm-opt %s | htvm-opt | filecheck %s
// RUN: htvm-opt %s --print-op-generic | htvm-opt | filecheck %s
// RUN: htvm-opt %s --print-op-generic | filecheck %s --check-prefix=GENERIC

builtin.module attributes {accel.target = #accel.target<"diana" engines ["digital"]>} {
// CHECK: builtin.module attributes {accel.target = #accel.target<"diana" engines ["digital"]>} {

  builtin.module attributes {accel.target = #accel.target<"diana">} {}
  // CHECK-NEXT: builtin.module attributes {accel.target = #accel.target<"diana">} {

  %x, %w, %b = "test.op"() : () -> (tensor<1x4xi8>, tensor<6x4xi8>, memref<1x16xi8, "L2">)
  // CHECK: %[[x:.*]], %[[w:.*]], %[[b:.*]] = "test.op"()

  %r = accel.dispatch @digital "dense_0" ins(%x : tensor<1x4xi8>) refused {analog = "weights are not ternary"} plan #tiled.plan<k = 6> attributes {graph.name = "y"} {
  ^bb0(%a: tensor<1x4xi8>):
    %s = graph.add %a, %a : tensor<1x4xi8>, tensor<1x4xi8> -> tensor<1x4xi32, #accel.layout<0, 1 : 16>>
    accel.yield %s : tensor<1x4xi32, #accel.layout<0, 1 : 16>>
  } -> tensor<1x4xi32, #accel.layout<0, 1 : 16>>
  // CHECK-NEXT: %[[r:.*]] = accel.dispatch @digital "dense_0" ins(%[[x]] : tensor<1x4xi8>) refused {analog = "weights are not ternary"} plan #tiled.plan<k = 6> attributes {graph.name = "y"} {
  // CHECK-NEXT: ^bb0(%[[a:.*]]: tensor<1x4xi8>):
  // CHECK-NEXT:   %[[s:.*]] = graph.add %[[a]], %[[a]]
  // CHECK-NEXT:   accel.yield %[[s]] : tensor<1x4xi32, #accel.layout<0, 1 : 16>>
  // CHECK-NEXT: } -> tensor<1x4xi32, #accel.layout<0, 1 : 16>>
  // GENERIC: "accel.dispatch"(%{{.*}}) <{engine = @digital, kernel = "dense_0", refused = {analog = "weights are not ternary"}, plan = #tiled.plan<k = 6>, operandSegmentSizes = array<i32: 1, 0>}> ({

  accel.dispatch @cpu "copy_1" ins(%x : tensor<1x4xi8>) outs(%b : memref<1x16xi8, "L2">) {
  ^bb0(%a: tensor<1x4xi8>):
    %c = accel.convert_layout %a : tensor<1x4xi8> to tensor<1x4xi8, #accel.layout<0, 1 : 16 xor 3>>
    accel.yield %c : tensor<1x4xi8, #accel.layout<0, 1 : 16 xor 3>>
  }
  // CHECK-NEXT: accel.dispatch @cpu "copy_1" ins(%[[x]] : tensor<1x4xi8>) outs(%[[b]] : memref<1x16xi8, "L2">) {
  // CHECK-NEXT: ^bb0(%[[a:.*]]: tensor<1x4xi8>):
  // CHECK-NEXT:   %[[c:.*]] = accel.convert_layout %[[a]] : tensor<1x4xi8> to tensor<1x4xi8, #accel.layout<0, 1 : 16 xor 3>>
  // CHECK-NEXT:   accel.yield %[[c]] : tensor<1x4xi8, #accel.layout<0, 1 : 16 xor 3>>
  // CHECK-NEXT: }

  %k = accel.dispatch @cpu "constant_2" ins() {
    %z = "test.op"() : () -> tensor<1x4xi8, #accel.layout<1, 0>>
    accel.yield %z : tensor<1x4xi8, #accel.layout<1, 0>>
  } -> tensor<1x4xi8, #accel.layout<1, 0>>
  // CHECK-NEXT: accel.dispatch @cpu "constant_2" ins() {
  // CHECK-NEXT:   %[[z:.*]] = "test.op"() : () -> tensor<1x4xi8, #accel.layout<1, 0>>
  // CHECK-NEXT:   accel.yield %[[z]] : tensor<1x4xi8, #accel.layout<1, 0>>
  // CHECK-NEXT: } -> tensor<1x4xi8, #accel.layout<1, 0>>

  %i, %c, %o = "test.op"() : () -> (memref<64xi8, "L1">, memref<96xi8, "L2">, memref<32xi8, "L1">)
  // CHECK-NEXT: %[[i:.*]], %[[c:.*]], %[[o:.*]] = "test.op"()

  %t = accel.launch @digital "conv2d" ins(%i : memref<64xi8, "L1">) constants(%c : memref<96xi8, "L2">) outs(%o : memref<32xi8, "L1">) job {c = 3 : i64, k = 16 : i64}
  // CHECK-NEXT: %[[t:.*]] = accel.launch @digital "conv2d" ins(%[[i]] : memref<64xi8, "L1">) constants(%[[c]] : memref<96xi8, "L2">) outs(%[[o]] : memref<32xi8, "L1">) job {c = 3 : i64, k = 16 : i64}
  // GENERIC: "accel.launch"(%{{.*}}, %{{.*}}, %{{.*}}) <{engine = @digital, kernel = "conv2d", job = {c = 3 : i64, k = 16 : i64}, operandSegmentSizes = array<i32: 1, 1, 1, 0>}> : (memref<64xi8, "L1">, memref<96xi8, "L2">, memref<32xi8, "L1">) -> !accel.token

  accel.await %t
  // CHECK-NEXT: accel.await %[[t]]

  %u = accel.launch @digital "add" ins(%i, %i : memref<64xi8, "L1">, memref<64xi8, "L1">) outs(%o : memref<32xi8, "L1">) job {}
  // CHECK-NEXT: %[[u:.*]] = accel.launch @digital "add" ins(%[[i]], %[[i]] : memref<64xi8, "L1">, memref<64xi8, "L1">) outs(%[[o]] : memref<32xi8, "L1">) job {}

  accel.await %u {keep}
  // CHECK-NEXT: accel.await %[[u]] {keep}

  %p = accel.prepare @digital "blocks" ins(%i : memref<64xi8, "L1">) outs(%o : memref<32xi8, "L1">) job {lanes = 8 : i64}
  // CHECK-NEXT: %[[p:.*]] = accel.prepare @digital "blocks" ins(%[[i]] : memref<64xi8, "L1">) outs(%[[o]] : memref<32xi8, "L1">) job {lanes = 8 : i64}
  // GENERIC: "accel.prepare"({{.*}}) <{{.*}}> : (memref<64xi8, "L1">, memref<32xi8, "L1">) -> !accel.prepared

  %v = accel.launch @digital "blocks" ins(%i : memref<64xi8, "L1">) outs(%o : memref<32xi8, "L1">) prepared(%p) job {lanes = 8 : i64}
  // CHECK-NEXT: %[[v:.*]] = accel.launch @digital "blocks" ins(%[[i]] : memref<64xi8, "L1">) outs(%[[o]] : memref<32xi8, "L1">) prepared(%[[p]]) job {lanes = 8 : i64}

  accel.await %v
  // CHECK-NEXT: accel.await %[[v]]
}
