// RUN: htvm-opt %s -p lower-host | filecheck %s --check-prefix=IR
// RUN: htvm-opt %s -p lower-host -t htvm-c | filecheck %s

// Reversed rows in a layout that reverses the bytes of words: whole words change places. The fourth is padding.

builtin.module attributes {accel.target = #accel.target<"diana">} {

// IR-LABEL: func.func private @words
// IR: %[[IN:.*]] = memref.view %{{.*}}[%{{.*}}][] : memref<36xi8, "L2"> to memref<9xi32, "L2">
// IR: %[[OUT:.*]] = memref.view %{{.*}}[%{{.*}}][] : memref<48xi8, "L2"> to memref<12xi32, "L2">
// IR: scf.for
// IR: scf.for
// IR: %[[WORD:.*]] = memref.load %[[IN]][%{{.*}}] : memref<9xi32, "L2">
// IR: memref.store %[[WORD]], %[[OUT]][%{{.*}}] : memref<12xi32, "L2">
// IR: memref.store %{{.*}}, %[[OUT]][%{{.*}}] : memref<12xi32, "L2">

// CHECK:      typedef int32_t __attribute__((__may_alias__)) word_t;
// CHECK:      int32_t tvmgen_default_words(const int8_t *input, int8_t *restrict output) {
// CHECK-NEXT:   const word_t *const words = (const word_t *)(const void *)input;
// CHECK-NEXT:   word_t *const words_1 = (word_t *)(void *)output;
// CHECK-NEXT:   for (int32_t i = 0; i < 3; ++i) {
// CHECK:          for (int32_t i_1 = 0; i_1 < 3; ++i_1) {
// CHECK:            const int32_t word = words[{{.*}}];
// CHECK:            words_1[{{.*}}] = word;
// CHECK-NEXT:     }
// CHECK:          words_1[{{.*}}] = 0;
func.func private @words(%input: memref<1x1x3x12xi8, "L2">, %output: memref<1x1x3x16xi8, "L2">) {
  accel.dispatch @cpu "words" ins(%input : memref<1x1x3x12xi8, "L2">) outs(%output : memref<1x1x3x16xi8, "L2">) {
  ^bb0(%x: tensor<1x1x3x12xi8>):
    %y = graph.reverse %x axes [3] : tensor<1x1x3x12xi8> -> tensor<1x1x3x12xi8>
    %z = accel.convert_layout %y : tensor<1x1x3x12xi8> to tensor<1x1x3x12xi8, #accel.layout<0, 1, 2, 3 : 16 xor 3>>
    accel.yield %z : tensor<1x1x3x12xi8, #accel.layout<0, 1, 2, 3 : 16 xor 3>>
  }
  func.return
}
}
