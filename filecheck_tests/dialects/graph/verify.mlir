// RUN: htvm-opt %s --verify-diagnostics --split-input-file | filecheck %s

%x, %w = "test.op"() : () -> (tensor<4x8x8xi8>, tensor<6x2x3x3xi8>)
%r = graph.conv2d %x, %w strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] groups 2 : tensor<4x8x8xi8>, tensor<6x2x3x3xi8> -> tensor<1x6x8x8xi32>
// CHECK: Operation does not verify: input must have rank 4, got shape [4, 8, 8]

// -----
// CHECK: {{// ?-----}}

%x, %w = "test.op"() : () -> (tensor<1x4x?x8xi8>, tensor<6x2x3x3xi8>)
%r = graph.conv2d %x, %w strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] groups 2 : tensor<1x4x?x8xi8>, tensor<6x2x3x3xi8> -> tensor<1x6x8x8xi32>
// CHECK: Operation does not verify: input must have a static shape, got tensor<1x4x?x8xi8>

// -----
// CHECK: {{// ?-----}}

%x, %w = "test.op"() : () -> (tensor<1x4x8x8xf32>, tensor<6x2x3x3xi8>)
%r = graph.conv2d %x, %w strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] groups 2 : tensor<1x4x8x8xf32>, tensor<6x2x3x3xi8> -> tensor<1x6x8x8xi32>
// CHECK: Operation does not verify: input must hold integers, not f32

// -----
// CHECK: {{// ?-----}}

%x, %w = "test.op"() : () -> (tensor<1x4x8x8xi8>, tensor<6x2x3xi8>)
%r = graph.conv2d %x, %w strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] groups 2 : tensor<1x4x8x8xi8>, tensor<6x2x3xi8> -> tensor<1x6x8x8xi32>
// CHECK: Operation does not verify: weights must have rank 4, got shape [6, 2, 3]

// -----
// CHECK: {{// ?-----}}

%x, %w = "test.op"() : () -> (tensor<2x4x8x8xi8>, tensor<6x2x3x3xi8>)
%r = graph.conv2d %x, %w strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] groups 2 : tensor<2x4x8x8xi8>, tensor<6x2x3x3xi8> -> tensor<1x6x8x8xi32>
// CHECK: Operation does not verify: batch must be 1, got 2

// -----
// CHECK: {{// ?-----}}

%x, %w = "test.op"() : () -> (tensor<1x4x8x8xi8>, tensor<6x2x3x3xi8>)
%r = graph.conv2d %x, %w strides [1] pads [1, 1, 1, 1] dilations [1, 1] groups 2 : tensor<1x4x8x8xi8>, tensor<6x2x3x3xi8> -> tensor<1x6x8x8xi32>
// CHECK: Operation does not verify: strides must be 2 integers of at least 1, got [1]

// -----
// CHECK: {{// ?-----}}

%x, %w = "test.op"() : () -> (tensor<1x4x8x8xi8>, tensor<6x2x3x3xi8>)
%r = graph.conv2d %x, %w strides [0, 1] pads [1, 1, 1, 1] dilations [1, 1] groups 2 : tensor<1x4x8x8xi8>, tensor<6x2x3x3xi8> -> tensor<1x6x8x8xi32>
// CHECK: Operation does not verify: strides must be 2 integers of at least 1, got [0, 1]

// -----
// CHECK: {{// ?-----}}

%x, %w = "test.op"() : () -> (tensor<1x4x8x8xi8>, tensor<6x2x3x3xi8>)
%r = graph.conv2d %x, %w strides [1, 1] pads [1, 1] dilations [1, 1] groups 2 : tensor<1x4x8x8xi8>, tensor<6x2x3x3xi8> -> tensor<1x6x8x8xi32>
// CHECK: Operation does not verify: pads must be 4 integers of at least 0, got [1, 1]

// -----
// CHECK: {{// ?-----}}

%x, %w = "test.op"() : () -> (tensor<1x4x8x8xi8>, tensor<6x2x3x3xi8>)
%r = graph.conv2d %x, %w strides [1, 1] pads [-1, 1, 1, 1] dilations [1, 1] groups 2 : tensor<1x4x8x8xi8>, tensor<6x2x3x3xi8> -> tensor<1x6x8x8xi32>
// CHECK: Operation does not verify: pads must be 4 integers of at least 0, got [-1, 1, 1, 1]

// -----
// CHECK: {{// ?-----}}

%x, %w = "test.op"() : () -> (tensor<1x4x8x8xi8>, tensor<6x2x3x3xi8>)
%r = graph.conv2d %x, %w strides [1, 1] pads [1, 1, 1, 1] dilations [1, 0] groups 2 : tensor<1x4x8x8xi8>, tensor<6x2x3x3xi8> -> tensor<1x6x8x8xi32>
// CHECK: Operation does not verify: dilations must be 2 integers of at least 1, got [1, 0]

// -----
// CHECK: {{// ?-----}}

%x, %w = "test.op"() : () -> (tensor<1x4x8x8xi8>, tensor<6x2x3x3xi8>)
%r = graph.conv2d %x, %w strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] groups 0 : tensor<1x4x8x8xi8>, tensor<6x2x3x3xi8> -> tensor<1x6x8x8xi32>
// CHECK: Operation does not verify: groups 0 must divide the 4 input and 6 output channels

// -----
// CHECK: {{// ?-----}}

%x, %w = "test.op"() : () -> (tensor<1x4x8x8xi8>, tensor<6x2x3x3xi8>)
%r = graph.conv2d %x, %w strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] groups 4 : tensor<1x4x8x8xi8>, tensor<6x2x3x3xi8> -> tensor<1x6x8x8xi32>
// CHECK: Operation does not verify: groups 4 must divide the 4 input and 6 output channels

// -----
// CHECK: {{// ?-----}}

%x, %w = "test.op"() : () -> (tensor<1x4x8x8xi8>, tensor<6x2x3x3xi8>)
%r = graph.conv2d %x, %w strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] groups 1 : tensor<1x4x8x8xi8>, tensor<6x2x3x3xi8> -> tensor<1x6x8x8xi32>
// CHECK: Operation does not verify: weights take 2 channels, the input has 4 in 1 groups

// -----
// CHECK: {{// ?-----}}

%x, %w = "test.op"() : () -> (tensor<1x4x8x8xi8>, tensor<6x2x3x3xi8>)
%r = graph.conv2d %x, %w strides [1, 1] pads [1, 1, 1, 1] dilations [5, 1] groups 2 : tensor<1x4x8x8xi8>, tensor<6x2x3x3xi8> -> tensor<1x6x8x8xi32>
// CHECK: Operation does not verify: kernel 3x3 does not fit the padded input

// -----
// CHECK: {{// ?-----}}

%x, %w = "test.op"() : () -> (tensor<1x4x8x8xi8>, tensor<6x2x3x3xi8>)
%r = graph.conv2d %x, %w strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] groups 2 : tensor<1x4x8x8xi8>, tensor<6x2x3x3xi8> -> tensor<1x6x6x6xi32>
// CHECK: Operation does not verify: result shape is [1, 6, 6, 6], but the operands give [1, 6, 8, 8]

// -----
// CHECK: {{// ?-----}}

%x, %w = "test.op"() : () -> (tensor<1x4x8x8xi8>, tensor<6x2x3x3xi8>)
%r = graph.conv2d %x, %w strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] groups 2 : tensor<1x4x8x8xi8>, tensor<6x2x3x3xi8> -> tensor<1x6x8x8xi8>
// CHECK: Operation does not verify: result must be i32

// -----
// CHECK: {{// ?-----}}

%x, %w, %b = "test.op"() : () -> (tensor<1x4x8x8xi8>, tensor<6x2x3x3xi8>, tensor<4xi32>)
%r = graph.conv2d %x, %w bias %b strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] groups 2 : tensor<1x4x8x8xi8>, tensor<6x2x3x3xi8>, tensor<4xi32> -> tensor<1x6x8x8xi32>
// CHECK: Operation does not verify: bias must have shape [6], got [4]

// -----
// CHECK: {{// ?-----}}

%x, %w, %b = "test.op"() : () -> (tensor<1x4x8x8xi8>, tensor<6x2x3x3xi8>, tensor<6xi16>)
%r = graph.conv2d %x, %w bias %b strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] groups 2 : tensor<1x4x8x8xi8>, tensor<6x2x3x3xi8>, tensor<6xi16> -> tensor<1x6x8x8xi32>
// CHECK: Operation does not verify: bias must be i32

// -----
// CHECK: {{// ?-----}}

%x, %w = "test.op"() : () -> (tensor<1x6x1xi8>, tensor<10x6xi8>)
%r = graph.dense %x, %w : tensor<1x6x1xi8>, tensor<10x6xi8> -> tensor<1x10xi32>
// CHECK: Operation does not verify: input must have rank 2, got shape [1, 6, 1]

// -----
// CHECK: {{// ?-----}}

%x, %w = "test.op"() : () -> (tensor<3x6xi8>, tensor<10x6xi8>)
%r = graph.dense %x, %w : tensor<3x6xi8>, tensor<10x6xi8> -> tensor<1x10xi32>
// CHECK: Operation does not verify: batch must be 1, got 3

// -----
// CHECK: {{// ?-----}}

%x, %w = "test.op"() : () -> (tensor<1x6xi8>, tensor<10x5xi8>)
%r = graph.dense %x, %w : tensor<1x6xi8>, tensor<10x5xi8> -> tensor<1x10xi32>
// CHECK: Operation does not verify: weights take 5 inputs, the input has 6

// -----
// CHECK: {{// ?-----}}

%x, %w = "test.op"() : () -> (tensor<1x6xi8>, tensor<10x6xi8>)
%r = graph.dense %x, %w : tensor<1x6xi8>, tensor<10x6xi8> -> tensor<1x9xi32>
// CHECK: Operation does not verify: result shape is [1, 9], but the operands give [1, 10]

// -----
// CHECK: {{// ?-----}}

%x, %w = "test.op"() : () -> (tensor<1x6xi8>, tensor<10x6xi8>)
%r = graph.dense %x, %w : tensor<1x6xi8>, tensor<10x6xi8> -> tensor<1x10xi8>
// CHECK: Operation does not verify: result must be i32

// -----
// CHECK: {{// ?-----}}

%x, %w, %b = "test.op"() : () -> (tensor<1x6xi8>, tensor<10x6xi8>, tensor<1xi32>)
%r = graph.dense %x, %w bias %b : tensor<1x6xi8>, tensor<10x6xi8>, tensor<1xi32> -> tensor<1x10xi32>
// CHECK: Operation does not verify: bias must have shape [10], got [1]

// -----
// CHECK: {{// ?-----}}

%a, %b = "test.op"() : () -> (tensor<1x6xi8>, tensor<1x5xi8>)
%r = graph.add %a, %b : tensor<1x6xi8>, tensor<1x5xi8> -> tensor<1x6xi32>
// CHECK: Operation does not verify: operand shapes differ: [1, 6] and [1, 5]

// -----
// CHECK: {{// ?-----}}

%a, %b = "test.op"() : () -> (tensor<1x6xf32>, tensor<1x6xi8>)
%r = graph.add %a, %b : tensor<1x6xf32>, tensor<1x6xi8> -> tensor<1x6xi32>
// CHECK: Operation does not verify: lhs must hold integers, not f32

// -----
// CHECK: {{// ?-----}}

%a, %b = "test.op"() : () -> (tensor<1x6xi8>, tensor<1x6xf32>)
%r = graph.add %a, %b : tensor<1x6xi8>, tensor<1x6xf32> -> tensor<1x6xi32>
// CHECK: Operation does not verify: rhs must hold integers, not f32

// -----
// CHECK: {{// ?-----}}

%a, %b = "test.op"() : () -> (tensor<1x6xi8>, tensor<1x6xi8>)
%r = graph.add %a, %b : tensor<1x6xi8>, tensor<1x6xi8> -> tensor<1x5xi32>
// CHECK: Operation does not verify: result shape is [1, 5], but the operands give [1, 6]

// -----
// CHECK: {{// ?-----}}

%a, %b = "test.op"() : () -> (tensor<1x?xi8>, tensor<1x?xi8>)
%r = graph.add %a, %b : tensor<1x?xi8>, tensor<1x?xi8> -> tensor<1x?xi32>
// CHECK: Operation does not verify: result must have a static shape, got tensor<1x?xi32>

// -----
// CHECK: {{// ?-----}}

%a, %b = "test.op"() : () -> (tensor<1x6xi8>, tensor<1x6xi8>)
%r = graph.add %a, %b : tensor<1x6xi8>, tensor<1x6xi8> -> tensor<1x6xi8>
// CHECK: Operation does not verify: result must be i32

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<4x8xi8>
%r = graph.pool "max" %x kernel [2, 2] strides [2, 2] pads [0, 0, 0, 0] rounding "floor" : tensor<4x8xi8> -> tensor<1x4x4x4xi8>
// CHECK: Operation does not verify: input must have rank 4, got shape [4, 8]

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<3x4x8x8xi8>
%r = graph.pool "max" %x kernel [2, 2] strides [2, 2] pads [0, 0, 0, 0] rounding "floor" : tensor<3x4x8x8xi8> -> tensor<3x4x4x4xi8>
// CHECK: Operation does not verify: batch must be 1, got 3

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x4x8x8xi8>
%r = graph.pool "max" %x kernel [2] strides [2, 2] pads [0, 0, 0, 0] rounding "floor" : tensor<1x4x8x8xi8> -> tensor<1x4x4x4xi8>
// CHECK: Operation does not verify: kernel must be 2 integers of at least 1, got [2]

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x4x8x8xi8>
%r = graph.pool "max" %x kernel [2, 2] strides [2, 0] pads [0, 0, 0, 0] rounding "floor" : tensor<1x4x8x8xi8> -> tensor<1x4x4x4xi8>
// CHECK: Operation does not verify: strides must be 2 integers of at least 1, got [2, 0]

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x4x8x8xi8>
%r = graph.pool "median" %x kernel [2, 2] strides [2, 2] pads [0, 0, 0, 0] rounding "floor" : tensor<1x4x8x8xi8> -> tensor<1x4x4x4xi8>
// CHECK: Operation does not verify: kind must be one of average, max, sum, got 'median'

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x4x8x8xi8>
%r = graph.pool "max" %x kernel [2, 2] strides [2, 2] pads [0, 0, 0, 0] rounding "ceil" : tensor<1x4x8x8xi8> -> tensor<1x4x4x4xi8>
// CHECK: Operation does not verify: rounding must be one of floor, half_up, half_away, half_even, got 'ceil'

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x4x8x8xi8>
%r = graph.pool "max" %x kernel [2, 2] strides [2, 2] pads [2, 0, 0, 0] rounding "floor" : tensor<1x4x8x8xi8> -> tensor<1x4x4x4xi8>
// CHECK: Operation does not verify: pads must be smaller than the kernel

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x4x8x8xi8>
%r = graph.pool "max" %x kernel [9, 9] strides [2, 2] pads [0, 0, 0, 0] rounding "floor" : tensor<1x4x8x8xi8> -> tensor<1x4x4x4xi8>
// CHECK: Operation does not verify: kernel 9x9 does not fit the padded input

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x4x8x8xi8>
%r = graph.pool "max" %x kernel [2, 2] strides [2, 2] pads [0, 0, 0, 0] rounding "floor" : tensor<1x4x8x8xi8> -> tensor<1x4x3x4xi8>
// CHECK: Operation does not verify: result shape is [1, 4, 3, 4], but the operands give [1, 4, 4, 4]

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x4x8x8xi8>
%r = graph.pool "max" %x kernel [2, 2] strides [2, 2] pads [0, 0, 0, 0] rounding "floor" : tensor<1x4x8x8xi8> -> tensor<1x4x4x4xi32>
// CHECK: Operation does not verify: result and input must have the same element type

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x4xf32>
%r = graph.requant "floor" %x multiplier [1] shift [7] zero_point 0 range -128 to 127 : tensor<1x4xf32> -> tensor<1x4xi8>
// CHECK: Operation does not verify: input must hold integers, not f32

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x4xi32>
%r = graph.requant "floor" %x multiplier [1] shift [7] zero_point 0 range -128 to 127 : tensor<1x4xi32> -> tensor<1x5xi8>
// CHECK: Operation does not verify: result shape is [1, 5], but the operands give [1, 4]

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x4xi32>
%r = graph.requant "ceil" %x multiplier [1] shift [7] zero_point 0 range -128 to 127 : tensor<1x4xi32> -> tensor<1x4xi8>
// CHECK: Operation does not verify: rounding 'ceil' is none of floor, half_up, half_even, half_away, gemmlowp, single

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x4xi32>
%r = graph.requant "floor" %x multiplier [1, 2] shift [7] zero_point 0 range -128 to 127 : tensor<1x4xi32> -> tensor<1x4xi8>
// CHECK: Operation does not verify: multiplier must have 1 or 4 values, got 2

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x4xi32>
%r = graph.requant "floor" %x multiplier [1] shift [1, 2, 3] zero_point 0 range -128 to 127 : tensor<1x4xi32> -> tensor<1x4xi8>
// CHECK: Operation does not verify: shift must have 1 or 4 values, got 3

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x4xi32>
%r = graph.requant "floor" %x multiplier [1] addend [1, 2, 3] shift [1] zero_point 0 range -128 to 127 : tensor<1x4xi32> -> tensor<1x4xi8>
// CHECK: Operation does not verify: addend must have 1 or 4 values, got 3

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x4xi32>
%r = graph.requant "half_up" %x multiplier [1] addend [1] shift [1] zero_point 0 range -128 to 127 : tensor<1x4xi32> -> tensor<1x4xi8>
// CHECK: Operation does not verify: rounding 'half_up' takes no addend; use floor

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x4xi32>
%r = graph.requant "floor" %x multiplier [1] addend [4611686018427387904] shift [1] zero_point 0 range -128 to 127 : tensor<1x4xi32> -> tensor<1x4xi8>
// CHECK: Operation does not verify: addend must lie in +-4611686018427387903

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x4xi32>
%r = graph.requant "floor" %x multiplier [1] shift [-1] zero_point 0 range -128 to 127 : tensor<1x4xi32> -> tensor<1x4xi8>
// CHECK: Operation does not verify: shift must lie in 0 to 62

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x4xi32>
%r = graph.requant "floor" %x multiplier [1] shift [63] zero_point 0 range -128 to 127 : tensor<1x4xi32> -> tensor<1x4xi8>
// CHECK: Operation does not verify: shift must lie in 0 to 62

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x4xi32>
%r = graph.requant "gemmlowp" %x multiplier [1] shift [30] zero_point 0 range -128 to 127 : tensor<1x4xi32> -> tensor<1x4xi8>
// CHECK: Operation does not verify: shift must lie in 31 to 62

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x4xi32>
%r = graph.requant "floor" %x multiplier [2147483648] shift [7] zero_point 0 range -128 to 127 : tensor<1x4xi32> -> tensor<1x4xi8>
// CHECK: Operation does not verify: multiplier must fit 32 bits

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x4xi32>
%r = graph.requant "floor" %x multiplier [1] shift [7] zero_point 0 range -128 to 127 : tensor<1x4xi32> -> tensor<1x4xf32>
// CHECK: Operation does not verify: result must hold integers, not f32

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x4xi32>
%r = graph.requant "floor" %x multiplier [1] shift [7] zero_point 0 range 5 to 4 : tensor<1x4xi32> -> tensor<1x4xi8>
// CHECK: Operation does not verify: the range 5 to 4 is empty

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x4xi32>
%r = graph.requant "floor" %x multiplier [1] shift [7] zero_point 0 range 0 to 255 : tensor<1x4xi32> -> tensor<1x4xi8>
// CHECK: Operation does not verify: the range 0 to 255 does not fit i8

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x4xi32>
%r = graph.requant "floor" %x multiplier [1] shift [7] zero_point 0 range -128 to 127 : tensor<1x4xi32> -> tensor<1x4xui8>
// CHECK: Operation does not verify: the range -128 to 127 does not fit ui8

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x4x2xi8>
%r = graph.reshape %x : tensor<1x4x2xi8> -> tensor<1x9xi8>
// CHECK: Operation does not verify: [1, 4, 2] has 8 elements, [1, 9] has 9

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x4x2xi8>
%r = graph.reshape %x : tensor<1x4x2xi8> -> tensor<1x8xi32>
// CHECK: Operation does not verify: result and input must have the same element type

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x?xi8>
%r = graph.reshape %x : tensor<1x?xi8> -> tensor<?x1xi8>
// CHECK: Operation does not verify: result must have a static shape, got tensor<?x1xi8>

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<4x8xi8>
%r = graph.space_to_depth %x block [2, 2] pads [0, 0, 0, 0] : tensor<4x8xi8> -> tensor<1x16x4x4xi8>
// CHECK: Operation does not verify: input must have rank 4, got shape [4, 8]

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<2x4x8x8xi8>
%r = graph.space_to_depth %x block [2, 2] pads [0, 0, 0, 0] : tensor<2x4x8x8xi8> -> tensor<2x16x4x4xi8>
// CHECK: Operation does not verify: batch must be 1, got 2

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x4x8x8xi8>
%r = graph.space_to_depth %x block [2] pads [0, 0, 0, 0] : tensor<1x4x8x8xi8> -> tensor<1x16x4x4xi8>
// CHECK: Operation does not verify: block must be 2 integers of at least 1, got [2]

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x4x8x8xi8>
%r = graph.space_to_depth %x block [2, 2] pads [0, 0] : tensor<1x4x8x8xi8> -> tensor<1x16x4x4xi8>
// CHECK: Operation does not verify: pads must be 4 integers of at least 0, got [0, 0]

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x4x8x8xi8>
%r = graph.space_to_depth %x block [2, 2] pads [1, 0, 0, 0] : tensor<1x4x8x8xi8> -> tensor<1x16x4x4xi8>
// CHECK: Operation does not verify: the padded input 9x8 is not a multiple of the block 2x2

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x4x8x8xi8>
%r = graph.space_to_depth %x block [2, 2] pads [0, 0, 0, 0] : tensor<1x4x8x8xi8> -> tensor<1x4x4x4xi8>
// CHECK: Operation does not verify: result shape is [1, 4, 4, 4], but the operands give [1, 16, 4, 4]

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x4x8x8xi8>
%r = graph.space_to_depth %x block [2, 2] pads [0, 0, 0, 0] : tensor<1x4x8x8xi8> -> tensor<1x16x4x4xi32>
// CHECK: Operation does not verify: result and input must have the same element type

// -----
// CHECK: {{// ?-----}}

%x, %w = "test.op"() : () -> (tensor<1x4x8x8xi8>, tensor<4x4x1x1xi8>)
%r = graph.conv2d %x, %w strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] groups 1 zero_point 128 : tensor<1x4x8x8xi8>, tensor<4x4x1x1xi8> -> tensor<1x4x8x8xi32>
// CHECK: Operation does not verify: zero_point 128 does not fit i8

// -----
// CHECK: {{// ?-----}}

%x, %w = "test.op"() : () -> (tensor<1x6xui8>, tensor<10x6xi8>)
%r = graph.dense %x, %w zero_point -1 : tensor<1x6xui8>, tensor<10x6xi8> -> tensor<1x10xi32>
// CHECK: Operation does not verify: zero_point -1 does not fit ui8

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x4x8x8xi8>
%r = graph.pool "sum" %x kernel [2, 2] strides [2, 2] pads [0, 0, 0, 0] rounding "floor" : tensor<1x4x8x8xi8> -> tensor<1x4x4x4xi8>
// CHECK: Operation does not verify: a sum must be i32

// -----
// CHECK: {{// ?-----}}

%a, %b = "test.op"() : () -> (tensor<1x6xi8>, tensor<1x5xi8>)
%r = graph.sub %a, %b : tensor<1x6xi8>, tensor<1x5xi8> -> tensor<1x6xi32>
// CHECK: Operation does not verify: operand shapes differ: [1, 6] and [1, 5]

// -----
// CHECK: {{// ?-----}}

%a, %b = "test.op"() : () -> (tensor<1x6xi8>, tensor<1x6xi8>)
%r = graph.sub %a, %b : tensor<1x6xi8>, tensor<1x6xi8> -> tensor<1x6xi8>
// CHECK: Operation does not verify: result must be i32

// -----
// CHECK: {{// ?-----}}

%a, %b = "test.op"() : () -> (tensor<1x6xi8>, tensor<1x6xf32>)
%r = graph.mul %a, %b zero_points [0, 0] : tensor<1x6xi8>, tensor<1x6xf32> -> tensor<1x6xi32>
// CHECK: Operation does not verify: rhs must hold integers, not f32

// -----
// CHECK: {{// ?-----}}

%a, %b = "test.op"() : () -> (tensor<1x6xi8>, tensor<1x6xi8>)
%r = graph.mul %a, %b zero_points [0] : tensor<1x6xi8>, tensor<1x6xi8> -> tensor<1x6xi32>
// CHECK: Operation does not verify: zero_points must be 2 integers, got 1

// -----
// CHECK: {{// ?-----}}

%a, %b = "test.op"() : () -> (tensor<1x6xi8>, tensor<1x6xi8>)
%r = graph.mul %a, %b zero_points [0, 200] : tensor<1x6xi8>, tensor<1x6xi8> -> tensor<1x6xi32>
// CHECK: Operation does not verify: zero_point 200 does not fit i8

// -----
// CHECK: {{// ?-----}}

%x, %t = "test.op"() : () -> (tensor<1x6xi16>, tensor<256xi8>)
%r = graph.lookup %x, %t : tensor<1x6xi16>, tensor<256xi8> -> tensor<1x6xi8>
// CHECK: Operation does not verify: input must hold i8 or ui8, not i16

// -----
// CHECK: {{// ?-----}}

%x, %t = "test.op"() : () -> (tensor<1x6xi8>, tensor<256xi32>)
%r = graph.lookup %x, %t : tensor<1x6xi8>, tensor<256xi32> -> tensor<1x6xi32>
// CHECK: Operation does not verify: table must hold i8 or ui8, not i32

// -----
// CHECK: {{// ?-----}}

%x, %t = "test.op"() : () -> (tensor<1x6xi8>, tensor<128xi8>)
%r = graph.lookup %x, %t : tensor<1x6xi8>, tensor<128xi8> -> tensor<1x6xi8>
// CHECK: Operation does not verify: table must have shape [256], got [128]

// -----
// CHECK: {{// ?-----}}

%x, %t = "test.op"() : () -> (tensor<1x6xi8>, tensor<256xi8>)
%r = graph.lookup %x, %t : tensor<1x6xi8>, tensor<256xi8> -> tensor<1x5xi8>
// CHECK: Operation does not verify: result shape is [1, 5], but the operands give [1, 6]

// -----
// CHECK: {{// ?-----}}

%x, %t = "test.op"() : () -> (tensor<1x6xi8>, tensor<256xi8>)
%r = graph.lookup %x, %t : tensor<1x6xi8>, tensor<256xi8> -> tensor<1x6xui8>
// CHECK: Operation does not verify: result and table must have the same element type

// -----
// CHECK: {{// ?-----}}

%a, %b = "test.op"() : () -> (tensor<1x6xi8>, tensor<1x5xi8>)
%r = graph.concat %a, %b axis 2 : tensor<1x6xi8>, tensor<1x5xi8> -> tensor<1x11xi8>
// CHECK: Operation does not verify: axis 2 is none of a tensor of rank 2

// -----
// CHECK: {{// ?-----}}

%a, %b = "test.op"() : () -> (tensor<1x6xi8>, tensor<1x5xi8>)
%r = graph.concat %a, %b axis 0 : tensor<1x6xi8>, tensor<1x5xi8> -> tensor<2x6xi8>
// CHECK: Operation does not verify: operand shapes [1, 6] and [1, 5] differ beside axis 0

// -----
// CHECK: {{// ?-----}}

%a, %b = "test.op"() : () -> (tensor<1x6xi8>, tensor<1x5xui8>)
%r = graph.concat %a, %b axis 1 : tensor<1x6xi8>, tensor<1x5xui8> -> tensor<1x11xi8>
// CHECK: Operation does not verify: operands must have the same element type

// -----
// CHECK: {{// ?-----}}

%a, %b = "test.op"() : () -> (tensor<1x6xi8>, tensor<1x5xi8>)
%r = graph.concat %a, %b axis 1 : tensor<1x6xi8>, tensor<1x5xi8> -> tensor<1x12xi8>
// CHECK: Operation does not verify: result shape is [1, 12], but the operands give [1, 11]

// -----
// CHECK: {{// ?-----}}

%a, %b = "test.op"() : () -> (tensor<1x6xi8>, tensor<1x5xi8>)
%r = graph.concat %a, %b axis 1 : tensor<1x6xi8>, tensor<1x5xi8> -> tensor<1x11xui8>
// CHECK: Operation does not verify: result and input must have the same element type

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x6xi8>
%r = graph.slice %x offsets [0] sizes [1, 2] strides [1, 1] : tensor<1x6xi8> -> tensor<1x2xi8>
// CHECK: Operation does not verify: offsets, sizes and strides must be 2 integers each

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x6xi8>
%r = graph.slice %x offsets [0, 2] sizes [1, 3] strides [1, 2] : tensor<1x6xi8> -> tensor<1x3xi8>
// CHECK: Operation does not verify: axis 1: 3 elements from 2 by 2 do not lie in an extent of 6

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x6xi8>
%r = graph.slice %x offsets [0, -1] sizes [1, 3] strides [1, 1] : tensor<1x6xi8> -> tensor<1x3xi8>
// CHECK: Operation does not verify: axis 1: 3 elements from -1 by 1 do not lie in an extent of 6

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x6xi8>
%r = graph.slice %x offsets [0, 1] sizes [1, 3] strides [1, 1] : tensor<1x6xi8> -> tensor<1x4xi8>
// CHECK: Operation does not verify: result shape is [1, 4], but the operands give [1, 3]

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x6xi8>
%r = graph.slice %x offsets [0, 1] sizes [1, 3] strides [1, 1] : tensor<1x6xi8> -> tensor<1x3xi32>
// CHECK: Operation does not verify: result and input must have the same element type

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x6xi8>
%r = graph.pad %x before [0, -1] after [0, 0] value 0 : tensor<1x6xi8> -> tensor<1x5xi8>
// CHECK: Operation does not verify: before and after must be 2 integers of at least 0 each

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x6xi8>
%r = graph.pad %x before [0] after [0, 0] value 0 : tensor<1x6xi8> -> tensor<1x6xi8>
// CHECK: Operation does not verify: before and after must be 2 integers of at least 0 each

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x6xi8>
%r = graph.pad %x before [0, 1] after [0, 0] value 128 : tensor<1x6xi8> -> tensor<1x7xi8>
// CHECK: Operation does not verify: value 128 does not fit i8

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x6xi8>
%r = graph.pad %x before [0, 1] after [0, 0] value 0 : tensor<1x6xi8> -> tensor<1x6xi8>
// CHECK: Operation does not verify: result shape is [1, 6], but the operands give [1, 7]

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x6xf32>
%r = graph.pad %x before [0, 1] after [0, 0] value 0 : tensor<1x6xf32> -> tensor<1x7xf32>
// CHECK: Operation does not verify: input must hold integers, not f32

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x6xi8>
%r = graph.transpose %x permutation [1, 1] : tensor<1x6xi8> -> tensor<6x6xi8>
// CHECK: Operation does not verify: [1, 1] is no permutation of 2 axes

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x6xi8>
%r = graph.transpose %x permutation [1, 0] : tensor<1x6xi8> -> tensor<1x6xi8>
// CHECK: Operation does not verify: result shape is [1, 6], but the operands give [6, 1]

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x6xi8>
%r = graph.transpose %x permutation [1, 0] : tensor<1x6xi8> -> tensor<6x1xi32>
// CHECK: Operation does not verify: result and input must have the same element type

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x6xi8>
%r = graph.reverse %x axes [1, 1] : tensor<1x6xi8> -> tensor<1x6xi8>
// CHECK: Operation does not verify: [1, 1] are no axes, each once, of a tensor of rank 2

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x6xi8>
%r = graph.reverse %x axes [2] : tensor<1x6xi8> -> tensor<1x6xi8>
// CHECK: Operation does not verify: [2] are no axes, each once, of a tensor of rank 2

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x6xi8>
%r = graph.reverse %x axes [1] : tensor<1x6xi8> -> tensor<6x1xi8>
// CHECK: Operation does not verify: result shape is [6, 1], but the operands give [1, 6]

// -----
// CHECK: {{// ?-----}}

%x = "test.op"() : () -> tensor<1x6xi8>
%r = graph.reverse %x axes [1] : tensor<1x6xi8> -> tensor<1x6xi32>
// CHECK: Operation does not verify: result and input must have the same element type
