// RUN: htvm-opt %s -p explicit-dma,pipeline-dma | filecheck %s

// The npu's channels have queues, and constants are brought to a memory of their own. With two buffers for them and three
// for the output: the constants of the first two tiles are on their way before the first job is started, those of the third
// follow beside the second job, and stores start beside the next job. Every wait is for one transfer, or for what came
// before it in the queue.

builtin.module attributes {accel.target = #accel.target<"npu">} {
// CHECK-LABEL: func.func private @outputs
// CHECK-NEXT: %[[IN:.*]] = memref.alloc() : memref<8xi8, "L1">
// CHECK-NEXT: %[[OUT0:.*]] = memref.alloc() : memref<16xi8, "L1">
// CHECK-NEXT: %[[OUT1:.*]] = memref.alloc() : memref<16xi8, "L1">
// CHECK-NEXT: %[[OUT2:.*]] = memref.alloc() : memref<16xi8, "L1">
// CHECK:      %[[W0:.*]] = memref.alloc() : memref<192xi8, "WM">
// CHECK-NEXT: %[[W1:.*]] = memref.alloc() : memref<192xi8, "WM">
// CHECK:      %[[LOAD:.*]] = dma.start @inputs %x to %[[IN]]
// CHECK:      %[[LOAD_W0:.*]] = dma.start @weights %{{.*}} to %[[W0]]
// CHECK:      %[[LOAD_W1:.*]] = dma.start @weights %{{.*}} to %[[W1]]
// CHECK-NEXT: dma.wait %[[LOAD_W0]]
// CHECK-NEXT: dma.wait %[[LOAD]]
// CHECK-NEXT: %[[JOB0:.*]] = accel.launch @array "conv2d" ins(%[[IN]] : {{.*}}) constants(%[[W0]] : {{.*}}) outs(%[[OUT0]] :
// CHECK-NEXT: accel.await %[[JOB0]]
// CHECK:      dma.wait %[[LOAD_W1]]
// CHECK-NEXT: %[[JOB1:.*]] = accel.launch @array "conv2d" ins(%[[IN]] : {{.*}}) constants(%[[W1]] : {{.*}}) outs(%[[OUT1]] :
// CHECK-NEXT: %[[STORE0:.*]] = dma.start @outputs %[[OUT0]] to
// CHECK:      %[[LOAD_W2:.*]] = dma.start @weights %{{.*}} to %[[W0]]
// CHECK-NEXT: accel.await %[[JOB1]]
// CHECK:      dma.wait %[[LOAD_W2]]
// CHECK-NEXT: %[[JOB2:.*]] = accel.launch @array "conv2d" ins(%[[IN]] : {{.*}}) constants(%[[W0]] : {{.*}}) outs(%[[OUT2]] :
// CHECK-NEXT: %[[STORE1:.*]] = dma.start @outputs %[[OUT1]] to
// CHECK-NEXT: accel.await %[[JOB2]]
// CHECK:      %[[STORE2:.*]] = dma.start @outputs %[[OUT2]] to
// CHECK-NEXT: dma.wait %[[STORE0]]
// CHECK-NEXT: dma.wait %[[STORE1]]
// CHECK-NEXT: dma.wait %[[STORE2]]
// CHECK-NEXT: func.return
func.func private @outputs(%x: memref<1x8xi8, "L2">, %y: memref<1x48xi8, "L2">) attributes {accel.types = [tensor<1x8xi8>, tensor<1x48xi8>]} {
  %weights = arith.constant dense<1> : tensor<48x8xi8>
  tiled.nest @array "outputs" grid <k = 48 by 16> windows [#tiled.window<_, _>, #tiled.window<k, _>, #tiled.window<_, k>] buffers [1, 3] constants 2 : i64 ins(%x, %weights : memref<1x8xi8, "L2">, tensor<48x8xi8>) outs(%y : memref<1x48xi8, "L2">) {
  ^bb0(%a: tensor<1x8xi8>, %w: tensor<16x8xi8>):
    %acc = graph.dense %a, %w : tensor<1x8xi8>, tensor<16x8xi8> -> tensor<1x16xi32>
    %r = graph.requant "floor" %acc multiplier [1] shift [5] zero_point 0 range -128 to 127 : tensor<1x16xi32> -> tensor<1x16xi8>
    tiled.yield %r : tensor<1x16xi8>
  }
  func.return
}
}
