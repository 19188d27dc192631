// RUN: htvm-opt %s | htvm-opt | filecheck %s
// RUN: htvm-opt %s --print-op-generic | htvm-opt | filecheck %s
// RUN: htvm-opt %s --print-op-generic | filecheck %s --check-prefix=GENERIC

%x, %w, %b = "test.op"() : () -> (tensor<1x4x8x8xi8>, tensor<6x2x3x1xi8>, tensor<6xi32>)
// CHECK: %[[x:.*]], %[[w:.*]], %[[b:.*]] = "test.op"()

%conv = graph.conv2d %x, %w bias %b strides [2, 1] pads [1, 0, 1, 0] dilations [1, 2] groups 2 {graph.name = "conv.1"} : tensor<1x4x8x8xi8>, tensor<6x2x3x1xi8>, tensor<6xi32> -> tensor<1x6x4x8xi32>
// CHECK-NEXT: %[[conv:.*]] = graph.conv2d %[[x]], %[[w]] bias %[[b]] strides [2, 1] pads [1, 0, 1, 0] dilations [1, 2] groups 2 {graph.name = "conv.1"} : tensor<1x4x8x8xi8>, tensor<6x2x3x1xi8>, tensor<6xi32> -> tensor<1x6x4x8xi32>
// GENERIC: "graph.conv2d"(%{{.*}}, %{{.*}}, %{{.*}}) <{strides = array<i64: 2, 1>, pads = array<i64: 1, 0, 1, 0>, dilations = array<i64: 1, 2>, groups = 2 : i64}> {graph.name = "conv.1"} : (tensor<1x4x8x8xi8>, tensor<6x2x3x1xi8>, tensor<6xi32>) -> tensor<1x6x4x8xi32>

%plain = graph.conv2d %x, %w strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] groups 2 : tensor<1x4x8x8xi8>, tensor<6x2x3x1xi8> -> tensor<1x6x6x8xi32>
// CHECK-NEXT: graph.conv2d %[[x]], %[[w]] strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] groups 2 : tensor<1x4x8x8xi8>, tensor<6x2x3x1xi8> -> tensor<1x6x6x8xi32>

%narrow = graph.requant "half_even" %conv multiplier [1, 2, 3, 4, 5, -6] shift [7] zero_point -3 range -128 to 127 : tensor<1x6x4x8xi32> -> tensor<1x6x4x8xi8>
// CHECK-NEXT: %[[narrow:.*]] = graph.requant "half_even" %[[conv]] multiplier [1, 2, 3, 4, 5, -6] shift [7] zero_point -3 range -128 to 127 : tensor<1x6x4x8xi32> -> tensor<1x6x4x8xi8>
// GENERIC: "graph.requant"(%{{.*}}) <{rounding = "half_even", multiplier = array<i64: 1, 2, 3, 4, 5, -6>, shift = array<i64: 7>, zero_point = -3 : i64, lo = -128 : i64, hi = 127 : i64}>

%unsigned = graph.requant "gemmlowp" %conv multiplier [1073741824] shift [31] zero_point 0 range 0 to 255 : tensor<1x6x4x8xi32> -> tensor<1x6x4x8xui8>
// CHECK-NEXT: graph.requant "gemmlowp" %[[conv]] multiplier [1073741824] shift [31] zero_point 0 range 0 to 255 : tensor<1x6x4x8xi32> -> tensor<1x6x4x8xui8>

%moved = graph.requant "floor" %conv multiplier [5] addend [1, 2, 3, 4, 5, -6] shift [7] zero_point 0 range 0 to 255 : tensor<1x6x4x8xi32> -> tensor<1x6x4x8xui8>
// CHECK-NEXT: graph.requant "floor" %[[conv]] multiplier [5] addend [1, 2, 3, 4, 5, -6] shift [7] zero_point 0 range 0 to 255 : tensor<1x6x4x8xi32> -> tensor<1x6x4x8xui8>

%sum = graph.add %narrow, %narrow : tensor<1x6x4x8xi8>, tensor<1x6x4x8xi8> -> tensor<1x6x4x8xi32>
// CHECK-NEXT: graph.add %[[narrow]], %[[narrow]] : tensor<1x6x4x8xi8>, tensor<1x6x4x8xi8> -> tensor<1x6x4x8xi32>

%mean = graph.pool "average" %narrow kernel [4, 8] strides [1, 1] pads [0, 0, 0, 0] rounding "half_up" : tensor<1x6x4x8xi8> -> tensor<1x6x1x1xi8>
// CHECK-NEXT: %[[mean:.*]] = graph.pool "average" %[[narrow]] kernel [4, 8] strides [1, 1] pads [0, 0, 0, 0] rounding "half_up" : tensor<1x6x4x8xi8> -> tensor<1x6x1x1xi8>

%max = graph.pool "max" %narrow kernel [3, 3] strides [2, 2] pads [1, 1, 0, 0] rounding "floor" : tensor<1x6x4x8xi8> -> tensor<1x6x2x4xi8>
// CHECK-NEXT: graph.pool "max" %[[narrow]] kernel [3, 3] strides [2, 2] pads [1, 1, 0, 0] rounding "floor" : tensor<1x6x4x8xi8> -> tensor<1x6x2x4xi8>

%flat = graph.reshape %mean : tensor<1x6x1x1xi8> -> tensor<1x6xi8>
// CHECK-NEXT: %[[flat:.*]] = graph.reshape %[[mean]] : tensor<1x6x1x1xi8> -> tensor<1x6xi8>

%matrix, %bias = "test.op"() : () -> (tensor<10x6xi8>, tensor<10xi32>)
// CHECK-NEXT: %[[matrix:.*]], %[[bias:.*]] = "test.op"()

%logits = graph.dense %flat, %matrix bias %bias : tensor<1x6xi8>, tensor<10x6xi8>, tensor<10xi32> -> tensor<1x10xi32>
// CHECK-NEXT: graph.dense %[[flat]], %[[matrix]] bias %[[bias]] : tensor<1x6xi8>, tensor<10x6xi8>, tensor<10xi32> -> tensor<1x10xi32>

%unbiased = graph.dense %flat, %matrix : tensor<1x6xi8>, tensor<10x6xi8> -> tensor<1x10xi32>
// CHECK-NEXT: graph.dense %[[flat]], %[[matrix]] : tensor<1x6xi8>, tensor<10x6xi8> -> tensor<1x10xi32>

%blocks = graph.space_to_depth %x block [2, 4] pads [1, 0, 1, 4] : tensor<1x4x8x8xi8> -> tensor<1x32x5x3xi8>
// CHECK-NEXT: graph.space_to_depth %[[x]] block [2, 4] pads [1, 0, 1, 4] : tensor<1x4x8x8xi8> -> tensor<1x32x5x3xi8>

%u = "test.op"() : () -> tensor<1x4x8x8xui8>
// CHECK-NEXT: %[[u:.*]] = "test.op"()

%shifted = graph.conv2d %u, %w bias %b strides [1, 1] pads [1, 0, 1, 0] dilations [1, 1] groups 2 zero_point 128 : tensor<1x4x8x8xui8>, tensor<6x2x3x1xi8>, tensor<6xi32> -> tensor<1x6x8x8xi32>
// CHECK-NEXT: graph.conv2d %[[u]], %[[w]] bias %[[b]] strides [1, 1] pads [1, 0, 1, 0] dilations [1, 1] groups 2 zero_point 128 : tensor<1x4x8x8xui8>, tensor<6x2x3x1xi8>, tensor<6xi32> -> tensor<1x6x8x8xi32>

%offset = graph.dense %flat, %matrix bias %bias zero_point -5 : tensor<1x6xi8>, tensor<10x6xi8>, tensor<10xi32> -> tensor<1x10xi32>
// CHECK-NEXT: graph.dense %[[flat]], %[[matrix]] bias %[[bias]] zero_point -5 : tensor<1x6xi8>, tensor<10x6xi8>, tensor<10xi32> -> tensor<1x10xi32>

%total = graph.pool "sum" %u kernel [2, 2] strides [2, 2] pads [0, 0, 0, 0] rounding "floor" : tensor<1x4x8x8xui8> -> tensor<1x4x4x4xi32>
// CHECK-NEXT: graph.pool "sum" %[[u]] kernel [2, 2] strides [2, 2] pads [0, 0, 0, 0] rounding "floor" : tensor<1x4x8x8xui8> -> tensor<1x4x4x4xi32>

%difference = graph.sub %x, %u : tensor<1x4x8x8xi8>, tensor<1x4x8x8xui8> -> tensor<1x4x8x8xi32>
// CHECK-NEXT: graph.sub %[[x]], %[[u]] : tensor<1x4x8x8xi8>, tensor<1x4x8x8xui8> -> tensor<1x4x8x8xi32>

%product = graph.mul %x, %u zero_points [-3, 7] : tensor<1x4x8x8xi8>, tensor<1x4x8x8xui8> -> tensor<1x4x8x8xi32>
// CHECK-NEXT: graph.mul %[[x]], %[[u]] zero_points [-3, 7] : tensor<1x4x8x8xi8>, tensor<1x4x8x8xui8> -> tensor<1x4x8x8xi32>
// GENERIC: "graph.mul"(%{{.*}}, %{{.*}}) <{zero_points = array<i64: -3, 7>}>

%table = "test.op"() : () -> tensor<256xi8>
// CHECK-NEXT: %[[table:.*]] = "test.op"()

%sigmoid = graph.lookup %u, %table : tensor<1x4x8x8xui8>, tensor<256xi8> -> tensor<1x4x8x8xi8>
// CHECK-NEXT: graph.lookup %[[u]], %[[table]] : tensor<1x4x8x8xui8>, tensor<256xi8> -> tensor<1x4x8x8xi8>

%joined = graph.concat %x, %x, %sigmoid axis 1 : tensor<1x4x8x8xi8>, tensor<1x4x8x8xi8>, tensor<1x4x8x8xi8> -> tensor<1x12x8x8xi8>
// CHECK-NEXT: graph.concat %[[x]], %[[x]], %{{.*}} axis 1 : tensor<1x4x8x8xi8>, tensor<1x4x8x8xi8>, tensor<1x4x8x8xi8> -> tensor<1x12x8x8xi8>

%part = graph.slice %x offsets [0, 1, 0, 2] sizes [1, 2, 4, 3] strides [1, 1, 2, 2] : tensor<1x4x8x8xi8> -> tensor<1x2x4x3xi8>
// CHECK-NEXT: graph.slice %[[x]] offsets [0, 1, 0, 2] sizes [1, 2, 4, 3] strides [1, 1, 2, 2] : tensor<1x4x8x8xi8> -> tensor<1x2x4x3xi8>

%framed = graph.pad %x before [0, 0, 1, 0] after [0, 2, 0, 3] value -7 : tensor<1x4x8x8xi8> -> tensor<1x6x9x11xi8>
// CHECK-NEXT: graph.pad %[[x]] before [0, 0, 1, 0] after [0, 2, 0, 3] value -7 : tensor<1x4x8x8xi8> -> tensor<1x6x9x11xi8>

%turned = graph.transpose %part permutation [0, 2, 3, 1] : tensor<1x2x4x3xi8> -> tensor<1x4x3x2xi8>
// CHECK-NEXT: graph.transpose %{{.*}} permutation [0, 2, 3, 1] : tensor<1x2x4x3xi8> -> tensor<1x4x3x2xi8>

%mirrored = graph.reverse %part axes [1, 3] : tensor<1x2x4x3xi8> -> tensor<1x2x4x3xi8>
// CHECK-NEXT: graph.reverse %{{.*}} axes [1, 3] : tensor<1x2x4x3xi8> -> tensor<1x2x4x3xi8>
