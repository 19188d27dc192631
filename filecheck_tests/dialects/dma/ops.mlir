// RUN: htvm-opt %s | htvm-opt | filecheck %s
// RUN: htvm-opt %s --print-op-generic | htvm-opt | filecheck %s
// RUN: htvm-opt %s --print-op-generic | filecheck %s --check-prefix=GENERIC

%far, %near, %rows = "test.op"() : () -> (memref<2x3x4xi8, strided<[96, 32, 1], offset: 5>, "L2">, memref<24xi8, "L1">, memref<4x6xi8>)
// CHECK: %[[far:.*]], %[[near:.*]], %[[rows:.*]] = "test.op"()

%t = dma.start @load %far to %near : memref<2x3x4xi8, strided<[96, 32, 1], offset: 5>, "L2"> to memref<24xi8, "L1">
// CHECK-NEXT: %[[t:.*]] = dma.start @load %[[far]] to %[[near]] : memref<2x3x4xi8, strided<[96, 32, 1], offset: 5>, "L2"> to memref<24xi8, "L1">
// GENERIC: "dma.start"(%{{.*}}, %{{.*}}) <{channel = @load}> : (memref<2x3x4xi8, strided<[96, 32, 1], offset: 5>, "L2">, memref<24xi8, "L1">) -> !dma.token

dma.wait %t
// CHECK-NEXT: dma.wait %[[t]]
// GENERIC: "dma.wait"(%{{.*}}) : (!dma.token) -> ()

%u = dma.start @store %near to %rows {layer = 3 : i64} : memref<24xi8, "L1"> to memref<4x6xi8>
// CHECK-NEXT: %[[u:.*]] = dma.start @store %[[near]] to %[[rows]] {layer = 3 : i64} : memref<24xi8, "L1"> to memref<4x6xi8>

dma.wait %u
// CHECK-NEXT: dma.wait %[[u]]
