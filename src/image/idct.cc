// Two passes of the 11-multiplication 8-point transform: columns into a scratch block that keeps
// two extra fraction bits, then rows. Constants carry 13 fraction bits.
#include "image/idct.h"

#include <algorithm>

namespace ocelli {
namespace {

constexpr int kConstBits = 13;
constexpr int kPassBits = 2;

constexpr uint32_t fixed(double value) {
  return static_cast<uint32_t>(static_cast<int32_t>(value * (1 << kConstBits) + 0.5));
}

// Rotations of the flow graph; cN = cos(N pi / 16), each scaled by sqrt(2).
constexpr uint32_t kC6 = fixed(0.541196100);  // c6
constexpr uint32_t kC2MinusC6 = fixed(0.765366865);
constexpr uint32_t kC2PlusC6 = fixed(1.847759065);
constexpr uint32_t kC3 = fixed(1.175875602);
constexpr uint32_t kOdd7 = fixed(0.298631336);   // -c1 + c3 + c5 - c7
constexpr uint32_t kOdd5 = fixed(2.053119869);   //  c1 + c3 - c5 + c7
constexpr uint32_t kOdd3 = fixed(3.072711026);   //  c1 + c3 + c5 - c7
constexpr uint32_t kOdd1 = fixed(1.501321110);   //  c1 + c3 - c5 - c7
constexpr uint32_t kMix71 = fixed(0.899976223);  //  c3 - c7
constexpr uint32_t kMix53 = fixed(2.562915447);  //  c1 + c3
constexpr uint32_t kMix73 = fixed(1.961570560);  //  c3 + c5
constexpr uint32_t kMix51 = fixed(0.390180644);  //  c3 - c5

// One 8-point transform of x[0], x[step], ...; hands each output, still with its fraction bits, to
// put(index, value). Unsigned words: wrapping is defined.
template <class Put>
inline void transform(const int32_t* x, int step, Put put) {
  const auto in = [&](int i) { return static_cast<uint32_t>(x[i * step]); };

  const uint32_t low = (in(2) + in(6)) * kC6;
  const uint32_t even2 = low - in(6) * kC2PlusC6;
  const uint32_t even3 = low + in(2) * kC2MinusC6;
  const uint32_t sum04 = (in(0) + in(4)) << kConstBits;
  const uint32_t difference04 = (in(0) - in(4)) << kConstBits;
  const uint32_t even[4] = {sum04 + even3, difference04 + even2, difference04 - even2,
                            sum04 - even3};

  const uint32_t shared = (in(7) + in(3) + in(5) + in(1)) * kC3;
  const uint32_t mix71 = (in(7) + in(1)) * kMix71;
  const uint32_t mix53 = (in(5) + in(3)) * kMix53;
  const uint32_t mix73 = shared - (in(7) + in(3)) * kMix73;
  const uint32_t mix51 = shared - (in(5) + in(1)) * kMix51;
  const uint32_t odd[4] = {
      in(1) * kOdd1 - mix71 + mix51,
      in(3) * kOdd3 - mix53 + mix73,
      in(5) * kOdd5 - mix53 + mix51,
      in(7) * kOdd7 - mix71 + mix73,
  };
  for (int i = 0; i < 4; ++i) {
    put(i, even[i] + odd[i]);
    put(7 - i, even[i] - odd[i]);
  }
}

constexpr int32_t descale(uint32_t value, int bits) {
  return static_cast<int32_t>(value + (1u << (bits - 1))) >> bits;
}

}  // namespace

void idct_8x8(uint8_t* out, int stride, const int16_t* coefficients) {
  int32_t input[64], columns[64];  // [8, 8]
  for (int i = 0; i < 64; ++i) input[i] = coefficients[i];
  for (int x = 0; x < 8; ++x) {
    transform(input + x, 8, [&](int y, uint32_t value) {
      columns[y * 8 + x] = descale(value, kConstBits - kPassBits);
    });
  }
  for (int y = 0; y < 8; ++y) {
    uint8_t* row = out + static_cast<ptrdiff_t>(y) * stride;
    transform(columns + y * 8, 1, [&](int x, uint32_t value) {
      const int32_t sample = descale(value, kConstBits + kPassBits + 3) + 128;
      row[x] = static_cast<uint8_t>(std::clamp(sample, 0, 255));
    });
  }
}

}  // namespace ocelli
