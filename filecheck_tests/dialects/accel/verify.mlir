// RUN: htvm-opt %s --parsing-diagnostics --verify-diagnostics --split-input-file | filecheck %s

"test.op"() : () -> tensor<1x4xi8, #accel.layout<0, 2>>
// CHECK: [0, 2] is not an order of the axes

// -----
// CHECK: {{// ?-----}}

"test.op"() : () -> tensor<1x4xi8, #accel.layout<0, 1, 1>>
// CHECK: [0, 1, 1] is not an order of the axes

// -----
// CHECK: {{// ?-----}}

"test.op"() : () -> tensor<1x4xi8, #accel.layout<0, 1 : 0>>
// CHECK: an axis must be rounded up to at least 1 element

// -----
// CHECK: {{// ?-----}}

"test.op"() : () -> tensor<1x4xi8, #accel.layout<0, 1 : 4 xor 2>>
// CHECK: xor must be a power of two minus one, got 2

// -----
// CHECK: {{// ?-----}}

%x, %m, %n = "test.op"() : () -> (tensor<1x4xi8>, memref<1x4xi8>, i8)
%r = accel.dispatch @digital "k" ins(%x : tensor<1x4xi8>) {
^bb0(%a: tensor<1x4xi8>, %b: tensor<1x4xi8>):
  accel.yield %a : tensor<1x4xi8>
} -> tensor<1x4xi8>
// CHECK: Operation does not verify: 1 inputs, but the body takes 2 arguments

// -----
// CHECK: {{// ?-----}}

%x, %m, %n = "test.op"() : () -> (tensor<1x4xi8>, memref<1x4xi8>, i8)
%r = accel.dispatch @digital "k" ins(%x : tensor<1x4xi8>) outs(%m : memref<1x4xi8>) {
^bb0(%a: tensor<1x4xi8>):
  accel.yield %a : tensor<1x4xi8>
} -> tensor<1x4xi8>
// CHECK: Operation does not verify: expected either tensor results or output buffers

// -----
// CHECK: {{// ?-----}}

%x, %m, %n = "test.op"() : () -> (tensor<1x4xi8>, memref<1x4xi8>, i8)
accel.dispatch @digital "k" ins(%x : tensor<1x4xi8>) {
^bb0(%a: tensor<1x4xi8>):
  accel.yield %a : tensor<1x4xi8>
}
// CHECK: Operation does not verify: expected either tensor results or output buffers

// -----
// CHECK: {{// ?-----}}

%x, %m, %n = "test.op"() : () -> (tensor<1x4xi8>, memref<1x4xi8>, i8)
%r = accel.dispatch @digital "k" ins(%x : tensor<1x4xi8>) {
^bb0(%a: i8):
  %b = "test.op"() : () -> tensor<1x4xi8>
  accel.yield %b : tensor<1x4xi8>
} -> tensor<1x4xi8>
// CHECK: Operation does not verify: body arguments must be tensors, got i8

// -----
// CHECK: {{// ?-----}}

%x, %m, %n = "test.op"() : () -> (tensor<1x4xi8>, memref<1x4xi8>, i8)
%r = accel.dispatch @digital "k" ins(%n : i8) {
^bb0(%a: tensor<1x4xi8>):
  accel.yield %a : tensor<1x4xi8>
} -> tensor<1x4xi8>
// CHECK: Operation does not verify: inputs must be tensors or buffers, got i8

// -----
// CHECK: {{// ?-----}}

%x, %m, %n = "test.op"() : () -> (tensor<1x4xi8>, memref<1x4xi8>, i8)
%r = accel.dispatch @digital "k" ins(%m : memref<1x4xi8>) {
^bb0(%a: tensor<1x4xi32>):
  accel.yield %a : tensor<1x4xi32>
} -> tensor<1x4xi32>
// CHECK: Operation does not verify: the body takes i32 elements of an input memref<1x4xi8>

// -----
// CHECK: {{// ?-----}}

%x, %m, %n = "test.op"() : () -> (tensor<1x4xi8>, memref<1x4xi8>, i8)
%r = accel.dispatch @digital "k" ins(%x : tensor<1x4xi8>) {
^bb0(%a: tensor<1x5xi8>):
  accel.yield %a : tensor<1x5xi8>
} -> tensor<1x5xi8>
// CHECK: Operation does not verify: the body takes tensor<1x5xi8>, but the input is tensor<1x4xi8>

// -----
// CHECK: {{// ?-----}}

%x, %m, %n = "test.op"() : () -> (tensor<1x4xi8>, memref<1x4xi8>, i8)
%r = accel.dispatch @digital "k" ins(%x : tensor<1x4xi8>) {
^bb0(%a: tensor<1x4xi8>):
  accel.yield %a, %a : tensor<1x4xi8>, tensor<1x4xi8>
} -> tensor<1x4xi8>
// CHECK: Operation does not verify: 1 outputs, but 2 values yielded

// -----
// CHECK: {{// ?-----}}

%x, %m, %n = "test.op"() : () -> (tensor<1x4xi8>, memref<1x4xi8>, i8)
%r = accel.dispatch @digital "k" ins(%x : tensor<1x4xi8>) {
^bb0(%a: tensor<1x4xi8>):
  accel.yield %a : tensor<1x4xi8>
} -> tensor<1x4xi8, #accel.layout<0, 1 : 16>>
// CHECK: Operation does not verify: yields tensor<1x4xi8>, but the result is tensor<1x4xi8, #accel.layout<0, 1 : 16>>

// -----
// CHECK: {{// ?-----}}

%x, %m, %n = "test.op"() : () -> (tensor<1x4xi8>, memref<1x4xi8>, i8)
%r = accel.dispatch @digital "k" ins(%x : tensor<1x4xi8>) {
^bb0(%a: tensor<1x4xi8>):
  "test.termop"() : () -> ()
} -> tensor<1x4xi8>
// CHECK: Operation does not verify: the body must end with accel.yield

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x4xi8>
%r = accel.convert_layout %x : tensor<1x4xi8> to tensor<4x1xi8>
// CHECK: Operation does not verify: a layout conversion keeps shape and element type

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x4xi8>
%r = accel.convert_layout %x : tensor<1x4xi8> to tensor<1x4xi32>
// CHECK: Operation does not verify: a layout conversion keeps shape and element type

// -----
// CHECK: {{// ?-----}}

%m = "test.op"() : () -> memref<4xi8, "L1">
%t = accel.launch @digital "k" ins(%m : memref<4xi8, "L1">) outs(%m : memref<4xi8, "L1">) job {c = "three"}
// CHECK: Operation does not verify: job field 'c' must be an integer, got "three"

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x4xi8>
accel.yield %x : tensor<1x4xi8>
// CHECK: Operation does not verify: 'accel.yield' expects parent op 'accel.dispatch'

// -----
// CHECK: {{// ?-----}}

%x, %w = "test.op"() : () -> (tensor<1x4xi8>, memref<8xi8, "L2">)
%y = accel.external "f" ins(%x : tensor<1x4xi8>) outs(%w : memref<8xi8, "L2">) workspace 8 : i64 work 1 : i64 reason "" source "" -> tensor<1x4xi8>
// CHECK: Operation does not verify: an external kernel has one result, or writes one buffer and its workspace

// -----
// CHECK: {{// ?-----}}

%x, %y = "test.op"() : () -> (tensor<1x4xi8>, memref<8xi8, "L2">)
accel.external "f" ins(%x : tensor<1x4xi8>) outs(%y : memref<8xi8, "L2">) workspace 0 : i64 work 1 : i64 reason "" source ""
// CHECK: Operation does not verify: the inputs of an external kernel that writes a buffer must be buffers, and tensors else
