// Functions of libm in single precision, for kernels that bring no libm: only correctly rounded operations and integers,
// so that every machine computes the same bits. Polynomials are those of Cephes (S. Moshier), errors a few units in the
// last place, except powf with its relative error of up to 1e-5, measured by the tests. Before each function stand its name in C and the others it calls.

// bitsf:
static inline uint32_t htvm_bitsf(float x) {
  union { float number; uint32_t bits; } both = {x};
  return both.bits;
}

// floatf:
static inline float htvm_floatf(uint32_t bits) {
  union { uint32_t bits; float number; } both = {bits};
  return both.number;
}

// fabsf: bitsf floatf
static inline float htvm_fabsf(float x) { return htvm_floatf(htvm_bitsf(x) & 0x7FFFFFFFu); }

// truncf: fabsf
static float htvm_truncf(float x) {
  if (!(htvm_fabsf(x) < 8388608.0f)) return x;
  const float whole = (float)(int32_t)x;
  return whole == 0.0f && (x < 0.0f || 1.0f / x < 0.0f) ? -0.0f : whole;
}

// floorf: truncf
static float htvm_floorf(float x) {
  const float whole = htvm_truncf(x);
  return whole > x ? whole - 1.0f : whole;
}

// ceilf: truncf
static float htvm_ceilf(float x) {
  const float whole = htvm_truncf(x);
  return whole < x ? (whole == -1.0f ? -0.0f : whole + 1.0f) : whole;
}

// roundf: truncf fabsf
static float htvm_roundf(float x) {
  const float whole = htvm_truncf(x);
  if (htvm_fabsf(x - whole) < 0.5f) return whole;
  return x < 0.0f ? whole - 1.0f : whole + 1.0f;
}

// nearbyintf: fabsf
static float htvm_nearbyintf(float x) {
  const float shift = 8388608.0f;  // from here on every float is an integer
  if (!(htvm_fabsf(x) < shift)) return x;
  const volatile float moved = x < 0.0f ? x - shift : x + shift;
  const float whole = x < 0.0f ? moved + shift : moved - shift;
  return whole == 0.0f && (x < 0.0f || 1.0f / x < 0.0f) ? -0.0f : whole;
}

// rintf: nearbyintf
static float htvm_rintf(float x) { return htvm_nearbyintf(x); }

// fmaxf:
static inline float htvm_fmaxf(float x, float y) { return x != x ? y : (y != y || x > y ? x : y); }

// fminf:
static inline float htvm_fminf(float x, float y) { return x != x ? y : (y != y || x < y ? x : y); }

// scalef: floatf
static float htvm_scalef(float x, int32_t exponent) {
  while (exponent > 127) {
    x *= htvm_floatf(254u << 23);
    exponent -= 127;
  }
  while (exponent < -126) {
    x *= htvm_floatf(1u << 23);
    exponent += 126;
  }
  return x * htvm_floatf((uint32_t)(exponent + 127) << 23);
}

// sqrtf: bitsf floatf scalef
static float htvm_sqrtf(float x) {
  if (x != x || x == 0.0f) return x;
  if (x < 0.0f) return 0.0f / 0.0f;
  uint32_t bits = htvm_bitsf(x);
  if (bits >= 0x7F800000u) return x;
  int32_t half = 0;
  if (bits < 0x00800000u) {
    bits = htvm_bitsf(x * 16777216.0f);
    half = -12;
  }
  int32_t exponent = (int32_t)(bits >> 23) - 127;
  uint64_t mantissa = (bits & 0x007FFFFFu) | 0x00800000u;
  if (exponent & 1) mantissa <<= 1;
  exponent = (exponent - (exponent & 1)) / 2;
  uint64_t rest = mantissa << 25, root = 0;  // the root gets one bit more than a float has
  for (uint64_t bit = UINT64_C(1) << 48; bit != 0; bit >>= 2) {
    if (rest >= root + bit) {
      rest -= root + bit;
      root = (root >> 1) + bit;
    } else {
      root >>= 1;
    }
  }
  root += root & 1;  // no root of a float lies half way between two
  return htvm_scalef((float)(root >> 1), exponent - 23 + half);
}

// expf: floorf scalef
static float htvm_expf(float x) {
  if (x != x) return x;
  if (x > 88.72283935546875f) return 1.0f / 0.0f;
  if (x < -104.0f) return 0.0f;
  const float n = htvm_floorf(1.44269504088896341f * x + 0.5f);
  x -= n * 0.693359375f;
  x -= n * -2.12194440e-4f;
  float y = 1.9875691500e-4f;
  y = y * x + 1.3981999507e-3f;
  y = y * x + 8.3334519073e-3f;
  y = y * x + 4.1665795894e-2f;
  y = y * x + 1.6666665459e-1f;
  y = y * x + 5.0000001201e-1f;
  y = y * (x * x) + x + 1.0f;
  return htvm_scalef(y, (int32_t)n);
}

// exp2f: floorf scalef expf
static float htvm_exp2f(float x) {
  if (x != x) return x;
  if (x >= 128.0f) return 1.0f / 0.0f;
  if (x < -150.0f) return 0.0f;
  const float n = htvm_floorf(x + 0.5f);
  return htvm_scalef(htvm_expf((x - n) * 0.693147180559945309f), (int32_t)n);
}

// logf: bitsf floatf
static float htvm_logf(float x) {
  if (x != x || x == 1.0f / 0.0f) return x;
  if (x == 0.0f) return -1.0f / 0.0f;
  if (x < 0.0f) return 0.0f / 0.0f;
  int32_t exponent = 0;
  if (x < 1.17549435e-38f) {
    x *= 16777216.0f;
    exponent = -24;
  }
  exponent += (int32_t)(htvm_bitsf(x) >> 23) - 126;
  x = htvm_floatf((htvm_bitsf(x) & 0x007FFFFFu) | 0x3F000000u);
  if (x < 0.707106781186547524f) {
    exponent -= 1;
    x = x + x - 1.0f;
  } else {
    x = x - 1.0f;
  }
  const float z = x * x, n = (float)exponent;
  float y = 7.0376836292e-2f;
  y = y * x - 1.1514610310e-1f;
  y = y * x + 1.1676998740e-1f;
  y = y * x - 1.2420140846e-1f;
  y = y * x + 1.4249322787e-1f;
  y = y * x - 1.6668057665e-1f;
  y = y * x + 2.0000714765e-1f;
  y = y * x - 2.4999993993e-1f;
  y = y * x + 3.3333331174e-1f;
  y = y * x * z;
  y += -2.12194440e-4f * n;
  y += -0.5f * z;
  return x + y + 0.693359375f * n;
}

// log2f: logf
static float htvm_log2f(float x) { return htvm_logf(x) * 1.44269504088896341f; }

// log10f: logf
static float htvm_log10f(float x) { return htvm_logf(x) * 0.434294481903251828f; }

// tanhf: fabsf expf
static float htvm_tanhf(float x) {
  const float size = htvm_fabsf(x);
  if (size > 9.1f) return x < 0.0f ? -1.0f : 1.0f;
  if (size >= 0.625f) {
    const float part = 1.0f - 2.0f / (htvm_expf(size + size) + 1.0f);
    return x < 0.0f ? -part : part;
  }
  const float z = x * x;
  float y = -5.70498872745e-3f;
  y = y * z + 2.06390887954e-2f;
  y = y * z - 5.37397155531e-2f;
  y = y * z + 1.33314422036e-1f;
  y = y * z - 3.33332819422e-1f;
  return y * z * x + x;
}

// erfcf: expf fabsf erff
static float htvm_erff(float x);
static float htvm_erfcf(float x) {
  const float size = htvm_fabsf(x);
  if (size < 1.0f) return 1.0f - htvm_erff(x);
  if (size > 10.1f) return x < 0.0f ? 2.0f : 0.0f;
  static const float low[] = {2.326819970068386e-2f,  -1.387039388740657e-1f, 3.687424674597105e-1f,
                              -5.824733027278666e-1f, 6.210004621745983e-1f,  -4.944515323274145e-1f,
                              3.404879937665872e-1f,  -2.741127028184656e-1f, 5.638259427386472e-1f};
  static const float high[] = {-1.047766399936249e+1f, 1.297719955372516e+1f,  -7.495518717768503e+0f,
                               2.921019019210786e+0f,  -1.015265279202700e+0f, 4.218463358204948e-1f,
                               -2.820767439740514e-1f, 5.641895067754075e-1f};
  const float *terms = size < 2.0f ? low : high;
  const float q = 1.0f / size, y = q * q;
  float p = 0.0f;
  for (int32_t n = 0; n < (size < 2.0f ? 9 : 8); n++) p = p * y + terms[n];
  p = htvm_expf(-size * size) * q * p;
  return x < 0.0f ? 2.0f - p : p;
}

// erff: fabsf erfcf
static float htvm_erff(float x) {
  if (htvm_fabsf(x) > 1.0f) return 1.0f - htvm_erfcf(x);
  const float z = x * x;
  float y = 7.853861353153693e-5f;
  y = y * z - 8.010193625184903e-4f;
  y = y * z + 5.188327685732524e-3f;
  y = y * z - 2.685381193529856e-2f;
  y = y * z + 1.128358514861418e-1f;
  y = y * z - 3.761262582423300e-1f;
  y = y * z + 1.128379165726710e+0f;
  return x * y;
}

// powf: logf expf truncf fabsf
static float htvm_powf(float x, float y) {
  if (y == 0.0f || x == 1.0f) return 1.0f;
  if (x != x || y != y) return 0.0f / 0.0f;
  const float whole = htvm_truncf(y);
  if (whole == y && htvm_fabsf(y) <= 64.0f) {
    double power = 1.0;
    for (int32_t n = (int32_t)htvm_fabsf(y); n > 0; n--) power *= (double)x;
    return (float)(y < 0.0f ? 1.0 / power : power);
  }
  const int odd = whole == y && htvm_fabsf(y) < 16777216.0f && ((int32_t)y & 1);
  if (x < 0.0f && whole != y) return 0.0f / 0.0f;
  const float size = htvm_fabsf(x);
  if (size == 0.0f) return y < 0.0f ? (odd ? 1.0f / x : 1.0f / 0.0f) : (odd ? x : 0.0f);
  if (size == 1.0f / 0.0f) return y < 0.0f ? 0.0f : (x < 0.0f && odd ? x : size);
  const float power = htvm_expf(y * htvm_logf(size));
  return x < 0.0f && odd ? -power : power;
}
