// RUN: htvm-opt %s -p fold-constants | filecheck %s

// What depends on constants only becomes a constant, one op after the other, and takes over the tensor's name; an op
// with a computed operand stays.

// CHECK-LABEL: func.func @constants
// CHECK-NEXT: %[[KNOWN:.*]] = arith.constant {graph.name = "known"} dense<{{\[\[}}10, 12]]> : tensor<1x2xi8>
// CHECK-NEXT: %[[SUM:.*]] = graph.add %x, %[[KNOWN]]
// CHECK-NEXT: func.return %[[SUM]]
func.func @constants(%x: tensor<1x2xi8>) -> tensor<1x2xi32> {
  %row = arith.constant dense<[[3, 4]]> : tensor<1x2xi8>
  %weights = arith.constant dense<[[1, 2], [-3, 4]]> : tensor<2x2xi8>
  %bias = arith.constant dense<[10, 20]> : tensor<2xi32>
  %acc = graph.dense %row, %weights bias %bias : tensor<1x2xi8>, tensor<2x2xi8>, tensor<2xi32> -> tensor<1x2xi32>
  %known = graph.requant "floor" %acc multiplier [1] shift [1] zero_point 0 range 0 to 12 {graph.name = "known"} : tensor<1x2xi32> -> tensor<1x2xi8>
  %sum = graph.add %x, %known : tensor<1x2xi8>, tensor<1x2xi8> -> tensor<1x2xi32>
  func.return %sum : tensor<1x2xi32>
}

// Only the last shape of a row of reshapes counts, and none if it is the first.

// CHECK-LABEL: func.func @there_and_back
// CHECK-NEXT: %[[SUM:.*]] = graph.add %x, %x
// CHECK-NEXT: func.return %[[SUM]]
func.func @there_and_back(%x: tensor<1x4x1x1xi8>) -> tensor<1x4x1x1xi32> {
  %row = graph.reshape %x : tensor<1x4x1x1xi8> -> tensor<1x4xi8>
  %back = graph.reshape %row : tensor<1x4xi8> -> tensor<1x4x1x1xi8>
  %sum = graph.add %back, %back : tensor<1x4x1x1xi8>, tensor<1x4x1x1xi8> -> tensor<1x4x1x1xi32>
  func.return %sum : tensor<1x4x1x1xi32>
}

// CHECK-LABEL: func.func @reshapes
// CHECK-NEXT: %[[LAST:.*]] = graph.reshape %x {graph.name = "last"} : tensor<1x4x1x1xi8> -> tensor<4x1xi8>
// CHECK-NEXT: func.return %[[LAST]]
func.func @reshapes(%x: tensor<1x4x1x1xi8>) -> tensor<4x1xi8> {
  %square = graph.reshape %x : tensor<1x4x1x1xi8> -> tensor<2x2xi8>
  %row = graph.reshape %square : tensor<2x2xi8> -> tensor<1x4xi8>
  %column = graph.reshape %row {graph.name = "last"} : tensor<1x4xi8> -> tensor<4x1xi8>
  func.return %column : tensor<4x1xi8>
}

// What nobody reads goes, with all it alone has read.

// CHECK-LABEL: func.func @dead
// CHECK-NEXT: func.return %x
func.func @dead(%x: tensor<1x2xi8>) -> tensor<1x2xi8> {
  %weights = arith.constant dense<1> : tensor<2x2xi8>
  %acc = graph.dense %x, %weights : tensor<1x2xi8>, tensor<2x2xi8> -> tensor<1x2xi32>
  %unread = graph.requant "floor" %acc multiplier [1] shift [1] zero_point 0 range 0 to 12 : tensor<1x2xi32> -> tensor<1x2xi8>
  func.return %x : tensor<1x2xi8>
}
