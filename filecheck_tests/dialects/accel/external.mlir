// RUN: htvm-opt %s | htvm-opt | filecheck %s
// RUN: htvm-opt %s --print-op-generic | htvm-opt | filecheck %s

%x, %c = "test.op"() : () -> (tensor<1x4xi8>, tensor<3xf32>)
%b, %y, %w = "test.op"() : () -> (memref<1x4xi8, "L2">, memref<1x4xf32, "L2">, memref<16xi8, "L2">)

%r = accel.external "erf" ins(%x, %c : tensor<1x4xi8>, tensor<3xf32>) workspace 16 : i64 work 160 : i64 reason "Erf 'e'" source "void erf(void);\n" {graph.name = "e"} -> tensor<1x4xf32>
// CHECK: %{{.*}} = accel.external "erf" ins(%{{.*}}, %{{.*}} : tensor<1x4xi8>, tensor<3xf32>) workspace 16 : i64 work 160 : i64 reason "Erf 'e'" source "void erf(void);\0A" {graph.name = "e"} -> tensor<1x4xf32>

accel.external "erf" ins(%b : memref<1x4xi8, "L2">) outs(%y, %w : memref<1x4xf32, "L2">, memref<16xi8, "L2">) workspace 16 : i64 work 160 : i64 reason "Erf 'e'" source ""
// CHECK-NEXT: accel.external "erf" ins(%{{.*}} : memref<1x4xi8, "L2">) outs(%{{.*}}, %{{.*}} : memref<1x4xf32, "L2">, memref<16xi8, "L2">) workspace 16 : i64 work 160 : i64 reason "Erf 'e'" source ""
