// RUN: htvm-opt %s --verify-diagnostics --split-input-file | filecheck %s

%a, %b = "test.op"() : () -> (memref<2x3xi8, "L2">, memref<8xi8, "L1">)
%t = dma.start @load %a to %b : memref<2x3xi8, "L2"> to memref<8xi8, "L1">
// CHECK: Operation does not verify: copies 6 elements to 8

// -----
// CHECK: {{// ?-----}}

%a, %b = "test.op"() : () -> (memref<8xi32, "L2">, memref<8xi8, "L1">)
%t = dma.start @load %a to %b : memref<8xi32, "L2"> to memref<8xi8, "L1">
// CHECK: Operation does not verify: copies i32 to i8

// -----
// CHECK: {{// ?-----}}

%a, %b = "test.op"() : () -> (memref<8xi8, "L1">, memref<8xi8, "L1">)
%t = dma.start @load %a to %b : memref<8xi8, "L1"> to memref<8xi8, "L1">
// CHECK: Operation does not verify: both ends lie in memory space "L1"

// -----
// CHECK: {{// ?-----}}

%a, %b = "test.op"() : () -> (memref<?xi8, "L2">, memref<?xi8, "L1">)
%t = dma.start @load %a to %b : memref<?xi8, "L2"> to memref<?xi8, "L1">
// CHECK: Operation does not verify: a transfer needs a static shape, got memref<?xi8, "L2">

// -----
// CHECK: {{// ?-----}}

%a, %b = "test.op"() : () -> (memref<8xi8, strided<[?]>, "L2">, memref<8xi8, "L1">)
%t = dma.start @load %a to %b : memref<8xi8, strided<[?]>, "L2"> to memref<8xi8, "L1">
// CHECK: Operation does not verify: a transfer needs static strides, got memref<8xi8, strided<[?]>, "L2">

// -----
// CHECK: {{// ?-----}}

%a, %b = "test.op"() : () -> (memref<2x2x2x2xi8, strided<[100, 40, 10, 1]>, "L2">, memref<16xi8, "L1">)
%t = dma.start @load %a to %b : memref<2x2x2x2xi8, strided<[100, 40, 10, 1]>, "L2"> to memref<16xi8, "L1">
// CHECK: Operation does not verify: memref<2x2x2x2xi8, strided<[100, 40, 10, 1]>, "L2"> needs more than 3 loops

// -----
// CHECK: {{// ?-----}}

%a, %b = "test.op"() : () -> (memref<2x2x2xi8, strided<[100, 40, 10]>, "L2">, memref<8xi8, "L1">)
%t = dma.start @load %a to %b : memref<2x2x2xi8, strided<[100, 40, 10]>, "L2"> to memref<8xi8, "L1">
// CHECK: Operation does not verify: memref<2x2x2xi8, strided<[100, 40, 10]>, "L2"> needs more than 3 loops
