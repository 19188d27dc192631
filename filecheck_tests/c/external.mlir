// RUN: htvm-opt %s -t htvm-c | filecheck %s

builtin.module attributes {accel.target = #accel.target<"diana">} {
  func.func private @first(%x: memref<1x4xi8, "L2">, %workspace: memref<16xi8, "L2">, %y: memref<1x4xf32, "L2">) attributes {accel.engine = "cpu"} {
    accel.external "halves" ins(%x : memref<1x4xi8, "L2">) outs(%y, %workspace : memref<1x4xf32, "L2">, memref<16xi8, "L2">) workspace 16 : i64 work 4 : i64 reason "" source "// halves, once"
    func.return
  }
  func.func private @second(%x: memref<1x4xi8, "L2">, %y: memref<1x4xf32, "L2">) attributes {accel.engine = "cpu"} {
    %f = memref.get_global @factors : memref<4xf32, "L2">
    accel.external "others" ins(%x, %f : memref<1x4xi8, "L2">, memref<4xf32, "L2">) outs(%y : memref<1x4xf32, "L2">) workspace 0 : i64 work 4 : i64 reason "" source "// halves, once"
    func.return
  }
  "memref.global"() <{sym_name = "factors", type = memref<4xf32, "L2">, initial_value = dense<[0.5, -0.1, 3.0, 1.0e-30]> : tensor<4xf32>, sym_visibility = "private", constant}> : () -> ()
}

// CHECK: // halves, once
// CHECK-NOT: // halves, once
// CHECK: float factors[4]
// CHECK-NEXT: 0x1p-1f, -0x1.99999ap-4f, 0x1.8p+1f, 0x1.4484cp-100f,
// CHECK: int32_t tvmgen_default_first(const int8_t *x, int8_t *restrict workspace, float *restrict y) {
// CHECK-NEXT: halves(x, y, workspace);
// CHECK: int32_t tvmgen_default_second(const int8_t *x, float *restrict y) {
// CHECK-NEXT: others(x, factors, y);
