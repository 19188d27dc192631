// RUN: htvm-opt %s -t htvm-c | filecheck %s

// The interface, the arena, transfers and jobs.

builtin.module attributes {accel.target = #accel.target<"diana">, graph.model = "tiny", accel.arena = {L1 = 64 : i64, L2 = 96 : i64}} {

// CHECK:      // ---- src/tvmgen_default_kernels.c
// CHECK:      // digital_add_job: 64 words for an engine.
// CHECK-NEXT: static const _Alignas(32) uint32_t digital_add_job[64] DIANA_L2_SHARED_CONST = {
// CHECK-NEXT:   0x{{[0-9A-F]+}}, 0x
// CHECK:      int32_t tvmgen_default_digital_add(const int8_t *input, const int8_t *input_1, int8_t *restrict output) {
// CHECK-NEXT:   diana_digital_dma_in(0, input, 16, 2, 32, 1, 0);
// CHECK-NEXT:   diana_digital_wait();
// CHECK-NEXT:   diana_digital_dma_in(32, (input_1 + 32), 32, 1, 0, 1, 0);
// CHECK-NEXT:   diana_digital_wait();
// CHECK-NEXT:   diana_digital_add(digital_add_job);
// CHECK-NEXT:   diana_digital_wait();
// CHECK-NEXT:   diana_digital_dma_out(output, 0, 32, 1, 0, 1, 0);
// CHECK-NEXT:   diana_digital_wait();
// CHECK-NEXT:   return 0;
func.func private @digital_add(%0: memref<2x32xi8>, %1: memref<64xi8, "L2">, %2: memref<32xi8>) attributes {accel.engine = "digital"} {
  %left = memref.alloc() {accel.offset = 0 : i64} : memref<32xi8, "L1">
  %right = memref.alloc() {accel.offset = 32 : i64} : memref<32xi8, "L1">
  %columns = memref.subview %0[0, 0] [2, 16] [1, 1] : memref<2x32xi8> to memref<2x16xi8, strided<[32, 1]>>
  %t0 = dma.start @digital_in %columns to %left : memref<2x16xi8, strided<[32, 1]>> to memref<32xi8, "L1">
  dma.wait %t0
  %half = memref.subview %1[32] [32] [1] : memref<64xi8, "L2"> to memref<32xi8, strided<[1], offset: 32>, "L2">
  %t1 = dma.start @digital_in %half to %right : memref<32xi8, strided<[1], offset: 32>, "L2"> to memref<32xi8, "L1">
  dma.wait %t1
  %job = accel.launch @digital "add" ins(%left, %right : memref<32xi8, "L1">, memref<32xi8, "L1">) outs(%left : memref<32xi8, "L1">) job {c = 32 : i64, shift = 1 : i64, relu = 0 : i64}
  accel.await %job
  %t2 = dma.start @digital_out %left to %2 : memref<32xi8, "L1"> to memref<32xi8>
  dma.wait %t2
  func.return
}

// CHECK:      // ---- include/tvmgen_default.h
// CHECK:      #define TVMGEN_DEFAULT_WORKSPACE_SIZE 96
// CHECK:      // Input 'onnx::In.1': 2x32 int8_t, row-major.
// CHECK-NEXT: #define TVMGEN_DEFAULT_ONNX__IN_1_SIZE 64
// CHECK-NEXT: // real number = TVMGEN_DEFAULT_ONNX__IN_1_SCALE * (integer - TVMGEN_DEFAULT_ONNX__IN_1_ZERO_POINT)
// CHECK-NEXT: #define TVMGEN_DEFAULT_ONNX__IN_1_SCALE 0.5
// CHECK-NEXT: #define TVMGEN_DEFAULT_ONNX__IN_1_ZERO_POINT (-3)
// CHECK:      #define TVMGEN_DEFAULT_OUTPUT_SIZE 32
// CHECK:      struct tvmgen_default_inputs {
// CHECK-NEXT:   void* onnx__in_1;
// CHECK-NEXT: };
// CHECK:      struct tvmgen_default_outputs {
// CHECK-NEXT:   void* output;
// CHECK-NEXT: };
// CHECK:      // ---- src/tvmgen_default.c
// CHECK:      static _Alignas(32) uint8_t arena_l2[96] DIANA_L2_SHARED_BSS;
// CHECK:      int32_t tvmgen_default___tvm_main__(const int8_t *onnx__in_1, int8_t *restrict output) {
// CHECK-NEXT:   int8_t *const side = (int8_t *)&arena_l2[32];
// CHECK-NEXT:   if (tvmgen_default_digital_add(onnx__in_1, side, output) != 0) {
// CHECK-NEXT:     return -1;
// CHECK-NEXT:   }
// CHECK-NEXT:   return 0;
// CHECK:      int32_t tvmgen_default_run(struct tvmgen_default_inputs *inputs, struct tvmgen_default_outputs *outputs) {
// CHECK-NEXT:   return tvmgen_default___tvm_main__(inputs->onnx__in_1, outputs->output);
func.func @main(%in: memref<2x32xi8> {graph.name = "onnx::In.1", graph.scale = 0.5 : f64, graph.zero_point = -3 : i64}, %out: memref<32xi8> {accel.output}) {
  %side = memref.alloc() {accel.offset = 32 : i64} : memref<64xi8, "L2">
  func.call @digital_add(%in, %side, %out) : (memref<2x32xi8>, memref<64xi8, "L2">, memref<32xi8>) -> ()
  func.return
}

}
