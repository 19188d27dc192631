// RUN: htvm-opt %s --parsing-diagnostics --verify-diagnostics --split-input-file | filecheck %s

"test.op"() {a = #tiled.plan<y = 0>} : () -> ()
// CHECK: tile sizes must be positive, got {'y': 0}

// -----
// CHECK: {{// ?-----}}

"test.op"() {a = #tiled.plan<_ = 4>} : () -> ()
// CHECK: '>' expected

// -----
// CHECK: {{// ?-----}}

"test.op"() {a = #tiled.plan<y = 4, k = 2, y = 8>} : () -> ()
// CHECK: dimension 'y' is given twice

// -----
// CHECK: {{// ?-----}}

"test.op"() {a = #tiled.grid<y = 4 by 2, y = 8 by 2>} : () -> ()
// CHECK: dimension 'y' is given twice

// -----
// CHECK: {{// ?-----}}

"test.op"() {a = #tiled.plan<y = 4 buffers [2, 0]>} : () -> ()
// CHECK: every operand needs a buffer, got [2, 0]

// -----
// CHECK: {{// ?-----}}

"test.op"() {a = #tiled.grid<y = 8 by 9>} : () -> ()
// CHECK: tile size 9 of 'y' must lie in 1 to 8

// -----
// CHECK: {{// ?-----}}

"test.op"() {a = #tiled.grid<y = 8 by 0>} : () -> ()
// CHECK: tile size 0 of 'y' must lie in 1 to 8

// -----
// CHECK: {{// ?-----}}

%x, %m = "test.op"() : () -> (tensor<1x6xi8>, memref<1x6xi8>)
%r = tiled.nest @digital "k" grid <k = 6 by 4> windows [#tiled.window<_, k>, #tiled.window<_, k>] buffers [1, 1] ins(%x : tensor<1x6xi8>) {
^bb0(%a: tensor<1x4xi8>):
  "test.termop"() : () -> ()
} -> tensor<1x6xi8>
// CHECK: Operation does not verify: the body must end with tiled.yield of one value

// -----
// CHECK: {{// ?-----}}

%x, %m = "test.op"() : () -> (tensor<1x6xi8>, memref<1x6xi8>)
%r = tiled.nest @digital "k" grid <k = 6 by 4> windows [#tiled.window<_, k>, #tiled.window<_, k>] buffers [1, 1] ins(%x : tensor<1x6xi8>) {
^bb0(%a: tensor<1x4xi8>):
  tiled.yield %a, %a : tensor<1x4xi8>, tensor<1x4xi8>
} -> tensor<1x6xi8>
// CHECK: Operation does not verify: the body must end with tiled.yield of one value

// -----
// CHECK: {{// ?-----}}

%x, %m = "test.op"() : () -> (tensor<1x6xi8>, memref<1x6xi8>)
%r = tiled.nest @digital "k" grid <k = 6 by 4> windows [#tiled.window<_, k>, #tiled.window<_, k>] buffers [1, 1] ins(%x : tensor<1x6xi8>) {
^bb0(%a: tensor<1x4xi8>, %b: tensor<1x4xi8>):
  tiled.yield %a : tensor<1x4xi8>
} -> tensor<1x6xi8>
// CHECK: Operation does not verify: 1 inputs, but the body takes 2 arguments

// -----
// CHECK: {{// ?-----}}

%x, %m = "test.op"() : () -> (tensor<1x6xi8>, memref<1x6xi8>)
%r = tiled.nest @digital "k" grid <k = 6 by 4> windows [#tiled.window<_, k>, #tiled.window<_, k>] buffers [1, 1] ins(%x : tensor<1x6xi8>) outs(%m : memref<1x6xi8>) {
^bb0(%a: tensor<1x4xi8>):
  tiled.yield %a : tensor<1x4xi8>
} -> tensor<1x6xi8>
// CHECK: Operation does not verify: expected either tensor results or output buffers

// -----
// CHECK: {{// ?-----}}

%x, %m = "test.op"() : () -> (tensor<1x6xi8>, memref<1x6xi8>)
tiled.nest @digital "k" grid <k = 6 by 4> windows [#tiled.window<_, k>, #tiled.window<_, k>] buffers [1, 1] ins(%x : tensor<1x6xi8>) outs(%m, %m : memref<1x6xi8>, memref<1x6xi8>) {
^bb0(%a: tensor<1x4xi8>):
  tiled.yield %a : tensor<1x4xi8>
}
// CHECK: Operation does not verify: a nest has one output

// -----
// CHECK: {{// ?-----}}

%x, %m = "test.op"() : () -> (tensor<1x6xi8>, memref<1x6xi8>)
%r = tiled.nest @digital "k" grid <k = 6 by 4> windows [#tiled.window<_, k>] buffers [1, 1] ins(%x : tensor<1x6xi8>) {
^bb0(%a: tensor<1x4xi8>):
  tiled.yield %a : tensor<1x4xi8>
} -> tensor<1x6xi8>
// CHECK: Operation does not verify: 1 inputs and one output need 2 windows, got 1

// -----
// CHECK: {{// ?-----}}

%x, %m = "test.op"() : () -> (tensor<1x6xi8>, memref<1x6xi8>)
%r = tiled.nest @digital "k" grid <k = 6 by 4> windows [#tiled.window<_, k>, #tiled.window<_, k>] buffers [1] ins(%x : tensor<1x6xi8>) {
^bb0(%a: tensor<1x4xi8>):
  tiled.yield %a : tensor<1x4xi8>
} -> tensor<1x6xi8>
// CHECK: Operation does not verify: buffers name 0 activations of 1

// -----
// CHECK: {{// ?-----}}

%x, %m = "test.op"() : () -> (tensor<1x6xi8>, memref<1x6xi8>)
%r = tiled.nest @digital "k" grid <k = 6 by 4> windows [#tiled.window<_, k>, #tiled.window<_, k>] buffers [1, 1, 1] ins(%x : tensor<1x6xi8>) {
^bb0(%a: tensor<1x4xi8>):
  tiled.yield %a : tensor<1x4xi8>
} -> tensor<1x6xi8>
// CHECK: Operation does not verify: buffers name 2 activations of 1

// -----
// CHECK: {{// ?-----}}

%x, %m = "test.op"() : () -> (tensor<1x6xi8>, memref<1x6xi8>)
%r = tiled.nest @digital "k" grid <k = 6 by 4> windows [#tiled.window<_, k>, #tiled.window<_, k>] buffers [1, 0] ins(%x : tensor<1x6xi8>) {
^bb0(%a: tensor<1x4xi8>):
  tiled.yield %a : tensor<1x4xi8>
} -> tensor<1x6xi8>
// CHECK: Operation does not verify: every operand needs at least one buffer

// -----
// CHECK: {{// ?-----}}

%x, %m = "test.op"() : () -> (tensor<1x6xi8>, memref<1x6xi8>)
%r = tiled.nest @digital "k" grid <k = 6 by 4> windows [#tiled.window<k>, #tiled.window<_, k>] buffers [1, 1] ins(%x : tensor<1x6xi8>) {
^bb0(%a: tensor<1x4xi8>):
  tiled.yield %a : tensor<1x4xi8>
} -> tensor<1x6xi8>
// CHECK: Operation does not verify: window 0 has 1 axes, not 2

// -----
// CHECK: {{// ?-----}}

%x, %m = "test.op"() : () -> (tensor<1x6xi8>, memref<1x6xi8>)
%r = tiled.nest @digital "k" grid <k = 6 by 4> windows [#tiled.window<_, y>, #tiled.window<_, k>] buffers [1, 1] ins(%x : tensor<1x6xi8>) {
^bb0(%a: tensor<1x4xi8>):
  tiled.yield %a : tensor<1x4xi8>
} -> tensor<1x6xi8>
// CHECK: Operation does not verify: window 0 names 'y', which the grid lacks

// -----
// CHECK: {{// ?-----}}

%x, %m = "test.op"() : () -> (tensor<1x6xi8>, memref<1x6xi8>)
%r = tiled.nest @digital "k" grid <k = 6 by 4> windows [#tiled.window<_, k * 2>, #tiled.window<_, k>] buffers [1, 1] ins(%x : tensor<1x6xi8>) {
^bb0(%a: tensor<1x4xi8>):
  tiled.yield %a : tensor<1x4xi8>
} -> tensor<1x6xi8>
// CHECK: Operation does not verify: window 0 spans 7 elements of axis 1, the body takes 4

// -----
// CHECK: {{// ?-----}}

%x, %m = "test.op"() : () -> (tensor<1x6xi8>, memref<1x6xi8>)
%r = tiled.nest @digital "k" grid <k = 6 by 4> windows [#tiled.window<_, k>, #tiled.window<_, k : 2>] buffers [1, 1] ins(%x : tensor<1x6xi8>) {
^bb0(%a: tensor<1x4xi8>):
  tiled.yield %a : tensor<1x4xi8>
} -> tensor<1x6xi8>
// CHECK: Operation does not verify: window 1 spans 5 elements of axis 1, the body takes 4

// -----
// CHECK: {{// ?-----}}

%x, %m = "test.op"() : () -> (tensor<1x6xi8>, memref<1x6xi8>)
%r = tiled.nest @digital "k" grid <k = 6 by 4> windows [#tiled.window<_, _>, #tiled.window<_, k>] buffers [1, 1] ins(%x : tensor<1x6xi8>) {
^bb0(%a: tensor<1x4xi8>):
  tiled.yield %a : tensor<1x4xi8>
} -> tensor<1x6xi8>
// CHECK: Operation does not verify: window 0 is the whole axis 1 of 6 elements, the body takes 4

// -----
// CHECK: {{// ?-----}}

%x, %m = "test.op"() : () -> (tensor<1x6xi8>, memref<1x6xi8>)
%r = tiled.nest @digital "k" grid <k = 6 by 4> windows [#tiled.window<_, k>, #tiled.window<_, k>] buffers [1, 1] ins(%x : tensor<1x6xi8>) {
^bb0(%a: tensor<1x4xi8>):
  tiled.yield %a : tensor<1x4xi8>
} -> tensor<1x6xi32>
// CHECK: Operation does not verify: operand 1 is tensor<1x6xi32>, its tile is tensor<1x4xi8>

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x4xi8>
tiled.yield %x : tensor<1x4xi8>
// CHECK: Operation does not verify: 'tiled.yield' expects parent op 'tiled.nest'
