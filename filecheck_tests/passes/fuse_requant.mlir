// RUN: htvm-opt %s -p fuse-requant | filecheck %s

// A clip, here with a shift of the zero point, merges into the scaling before it; the result has the clip's name.

// CHECK-LABEL: func.func @clip
// CHECK-NEXT: %[[RELU:.*]] = graph.requant "floor" %x multiplier [3] shift [8] zero_point 3 range 0 to 100 {graph.name = "relu"} : tensor<1x4xi32> -> tensor<1x4xi8>
// CHECK-NEXT: func.return %[[RELU]]
func.func @clip(%x: tensor<1x4xi32>) -> tensor<1x4xi8> {
  %scaled = graph.requant "floor" %x multiplier [3] shift [8] zero_point 5 range -128 to 127 {graph.name = "scaled"} : tensor<1x4xi32> -> tensor<1x4xi8>
  %relu = graph.requant "floor" %scaled multiplier [1] shift [0] zero_point -2 range 0 to 100 {graph.name = "relu"} : tensor<1x4xi8> -> tensor<1x4xi8>
  func.return %relu : tensor<1x4xi8>
}

// Nothing below 0 comes out of the first, reshape or not, so that the second changes nothing but the name.

// CHECK-LABEL: func.func @identity
// CHECK-NEXT: %[[RELU:.*]] = graph.requant "floor" %x multiplier [1] shift [8] zero_point 0 range 0 to 127 {graph.name = "relu"}
// CHECK-NEXT: %[[FLAT:.*]] = graph.reshape %[[RELU]] {graph.name = "again"}
// CHECK-NEXT: func.return %[[FLAT]]
func.func @identity(%x: tensor<1x4xi32>) -> tensor<4xi8> {
  %relu = graph.requant "floor" %x multiplier [1] shift [8] zero_point 0 range 0 to 127 {graph.name = "relu"} : tensor<1x4xi32> -> tensor<1x4xi8>
  %flat = graph.reshape %relu {graph.name = "flat"} : tensor<1x4xi8> -> tensor<4xi8>
  %again = graph.requant "half_up" %flat multiplier [1] shift [0] zero_point 0 range 0 to 127 {graph.name = "again"} : tensor<4xi8> -> tensor<4xi8>
  func.return %again : tensor<4xi8>
}

// Two shifts stay two, since the first clips in between.

// CHECK-LABEL: func.func @shifts
// CHECK-NEXT: %[[FIRST:.*]] = graph.requant "floor" %x multiplier [1] shift [8]
// CHECK-NEXT: %[[SECOND:.*]] = graph.requant "floor" %[[FIRST]] multiplier [1] shift [1]
// CHECK-NEXT: func.return %[[SECOND]]
func.func @shifts(%x: tensor<1x4xi32>) -> tensor<1x4xi8> {
  %first = graph.requant "floor" %x multiplier [1] shift [8] zero_point 0 range 0 to 127 : tensor<1x4xi32> -> tensor<1x4xi8>
  %second = graph.requant "floor" %first multiplier [1] shift [1] zero_point 0 range 0 to 127 : tensor<1x4xi8> -> tensor<1x4xi8>
  func.return %second : tensor<1x4xi8>
}

// Neither does a clip merge into what has another reader.

// CHECK-LABEL: func.func @uses
// CHECK-NEXT: %[[FIRST:.*]] = graph.requant "floor" %x multiplier [1] shift [8] zero_point 0 range -128 to 127
// CHECK-NEXT: %[[SECOND:.*]] = graph.requant "floor" %[[FIRST]] multiplier [1] shift [0] zero_point 0 range 0 to 127
// CHECK-NEXT: func.return %[[FIRST]], %[[SECOND]]
func.func @uses(%x: tensor<1x4xi32>) -> (tensor<1x4xi8>, tensor<1x4xi8>) {
  %first = graph.requant "floor" %x multiplier [1] shift [8] zero_point 0 range -128 to 127 : tensor<1x4xi32> -> tensor<1x4xi8>
  %second = graph.requant "floor" %first multiplier [1] shift [0] zero_point 0 range 0 to 127 : tensor<1x4xi8> -> tensor<1x4xi8>
  func.return %first, %second : tensor<1x4xi8>, tensor<1x4xi8>
}
