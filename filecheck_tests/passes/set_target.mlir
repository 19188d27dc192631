// RUN: htvm-opt %s -p 'set-target{target=diana}' | filecheck %s --check-prefix=ALL
// RUN: htvm-opt %s -p 'set-target{target=diana engines=digital}' | filecheck %s --check-prefix=ONE
// RUN: htvm-opt %s -p 'set-target{target=diana engines=none}' | filecheck %s --check-prefix=NONE
// RUN: not htvm-opt %s -p 'set-target{target=dyana}' 2>&1 | filecheck %s --check-prefix=TARGET
// RUN: not htvm-opt %s -p 'set-target{target=diana engines=digitol}' 2>&1 | filecheck %s --check-prefix=ENGINE

// A target that is there already is replaced.
builtin.module attributes {accel.target = #accel.target<"other">} {}

// ALL: builtin.module attributes {accel.target = #accel.target<"diana">} {
// ONE: builtin.module attributes {accel.target = #accel.target<"diana" engines ["digital"]>} {
// NONE: builtin.module attributes {accel.target = #accel.target<"diana" engines []>} {
// TARGET: error: unknown target 'dyana'; known targets: {{.*}}diana
// ENGINE: error: target 'diana' has no engine 'digitol'; choose from digital, analog, none
