// RUN: htvm-opt %s --split-input-file -p assign-layouts | filecheck %s

// The array's layout is rows of 16 bytes with the bytes of each word reversed. Its two readers of the network's input
// share one conversion; another one makes the result row-major for the caller.

!map = tensor<1x16x8x8xi8>
!acc = tensor<1x16x8x8xi32>

builtin.module attributes {accel.target = #accel.target<"diana">} {
// CHECK-LABEL: func.func @main
// CHECK-NEXT: %[[IN:.*]] = accel.dispatch @cpu "cpu_convert_layout_0" ins(%x : tensor<1x16x8x8xi8>) {
// CHECK-NEXT: ^bb0(%[[ROWS:.*]]: tensor<1x16x8x8xi8>):
// CHECK-NEXT:   accel.convert_layout %[[ROWS]] {graph.name = "input"} : tensor<1x16x8x8xi8> to tensor<1x16x8x8xi8, #accel.layout<0, 1, 2, 3 : 16 xor 3>>
// CHECK-NEXT:   accel.yield
// CHECK-NEXT: } -> [[MAP:tensor<1x16x8x8xi8, #accel.layout<0, 1, 2, 3 : 16 xor 3>>]]
// CHECK-NEXT: %double = accel.dispatch @digital "double" ins(%[[IN]] : [[MAP]]) {
// CHECK-NEXT: ^bb0(%[[A:.*]]: [[MAP]]):
// CHECK-NEXT:   graph.add %[[A]], %[[A]] : [[MAP]], [[MAP]] -> tensor<1x16x8x8xi32>
// CHECK-NEXT:   graph.requant {{.*}} : tensor<1x16x8x8xi32> -> [[MAP]]
// CHECK:      } -> [[MAP]]
// CHECK-NEXT: %sum = accel.dispatch @digital "sum" ins(%[[IN]], %double : [[MAP]], [[MAP]]) {
// CHECK:      } -> [[MAP]]
// CHECK-NEXT: %[[OUT:.*]] = accel.dispatch @cpu "cpu_convert_layout_1" ins(%sum : [[MAP]]) {
// CHECK-NEXT: ^bb0(%[[STORED:.*]]: [[MAP]]):
// CHECK-NEXT:   accel.convert_layout %[[STORED]] : [[MAP]] to tensor<1x16x8x8xi8>
// CHECK:      } -> tensor<1x16x8x8xi8>
// CHECK-NEXT: func.return %[[OUT]]
func.func @main(%x: !map {graph.name = "input"}) -> !map {
  %double = accel.dispatch @digital "double" ins(%x : !map) {
  ^bb0(%a: !map):
    %acc = graph.add %a, %a : !map, !map -> !acc
    %y = graph.requant "floor" %acc multiplier [1] shift [1] zero_point 0 range -128 to 127 : !acc -> !map
    accel.yield %y : !map
  } -> !map
  %sum = accel.dispatch @digital "sum" ins(%x, %double : !map, !map) {
  ^bb0(%a: !map, %b: !map):
    %acc = graph.add %a, %b : !map, !map -> !acc
    %y = graph.requant "floor" %acc multiplier [1] shift [1] zero_point 0 range -128 to 127 : !acc -> !map
    accel.yield %y : !map
  } -> !map
  func.return %sum : !map
}
}

// -----
// CHECK: {{// ?-----}}

// The CPU reads and writes any layout: what stands between the array and the caller needs no conversion.

!vector = tensor<1x20xi8>
!acc = tensor<1x20xi32>

builtin.module attributes {accel.target = #accel.target<"diana">} {
// CHECK-LABEL: func.func @main
// CHECK-NEXT: %relu = accel.dispatch @cpu "relu" ins(%x : tensor<1x20xi8>) {
// CHECK-NEXT: ^bb0(%{{.*}}: tensor<1x20xi8>):
// CHECK-NEXT:   graph.requant {{.*}} : tensor<1x20xi8> -> [[VECTOR:tensor<1x20xi8, #accel.layout<0, 1 : 16>>]]
// CHECK:      } -> [[VECTOR]]
// CHECK-NEXT: %double = accel.dispatch @digital "double" ins(%relu : [[VECTOR]]) {
// CHECK:      } -> [[VECTOR]]
// CHECK-NEXT: %clip = accel.dispatch @cpu "clip" ins(%double : [[VECTOR]]) {
// CHECK-NEXT: ^bb0(%{{.*}}: [[VECTOR]]):
// CHECK-NEXT:   graph.requant {{.*}} : [[VECTOR]] -> tensor<1x20xi8>
// CHECK:      } -> tensor<1x20xi8>
// CHECK-NEXT: func.return %clip
func.func @main(%x: !vector) -> !vector {
  %relu = accel.dispatch @cpu "relu" ins(%x : !vector) {
  ^bb0(%a: !vector):
    %y = graph.requant "floor" %a multiplier [1] shift [0] zero_point 0 range 0 to 127 : !vector -> !vector
    accel.yield %y : !vector
  } -> !vector
  %double = accel.dispatch @digital "double" ins(%relu : !vector) {
  ^bb0(%a: !vector):
    %acc = graph.add %a, %a : !vector, !vector -> !acc
    %y = graph.requant "floor" %acc multiplier [1] shift [1] zero_point 0 range -128 to 127 : !acc -> !vector
    accel.yield %y : !vector
  } -> !vector
  %clip = accel.dispatch @cpu "clip" ins(%double : !vector) {
  ^bb0(%a: !vector):
    %y = graph.requant "floor" %a multiplier [1] shift [0] zero_point 0 range 0 to 64 : !vector -> !vector
    accel.yield %y : !vector
  } -> !vector
  func.return %clip : !vector
}
}
