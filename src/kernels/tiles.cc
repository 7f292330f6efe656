// dequantize_panel: the one place that turns stored weights into f32. Called by matmul_f32 for each
// panel and by dequantize_row. Surprise: u4 and u8 codes go row by row in cells of 4 inputs, so a
// cell is transposed here; the dense formats are already [k][8].
#include "kernels/tiles.h"

#include "base/half.h"

namespace ocelli {
namespace {

typedef uint8_t u8x16 __attribute__((vector_size(16)));

// Byte 4r + j of a 16-byte half cell -> lane r, for j = 0..3: four vectors over the same 4 rows.
OCELLI_INLINE void store_cell(u32x4 rows, i32x4 zero, f32x4 scale, float* out) {
  for (int j = 0; j < 4; ++j) {
    const i32x4 code = (i32x4)((rows >> (8 * j)) & 0xffu);
    store(out + kTileRows * j, __builtin_convertvector(code - zero, f32x4) * scale);
  }
}

void panel_u4(const uint8_t* codes, const uint16_t* scales, const uint8_t* zeros, int count,
              float* out) {
  const F32x8 scale = scales_to_f32(scales);
  const i32x4 zero_low = __builtin_convertvector(load<u8x4>(zeros), i32x4);
  const i32x4 zero_high = __builtin_convertvector(load<u8x4>(zeros + 4), i32x4);
  for (int k = 0; k < count; k += 8, codes += 32, out += 8 * kTileRows) {
    const u32x4 low = load<u32x4>(codes), high = load<u32x4>(codes + 16);
    const uint32_t nibble = 0x0f0f0f0fu;
    store_cell(low & nibble, zero_low, scale.low, out);
    store_cell(high & nibble, zero_high, scale.high, out + 4);
    store_cell((low >> 4) & nibble, zero_low, scale.low, out + 4 * kTileRows);
    store_cell((high >> 4) & nibble, zero_high, scale.high, out + 4 * kTileRows + 4);
  }
}

void panel_u8(const uint8_t* codes, const uint16_t* scales, int count, float* out) {
  const i32x4 zero = {kZeroU8, kZeroU8, kZeroU8, kZeroU8};
  for (int k = 0; k < count; k += kGroupU8, scales += kTileRows) {
    const F32x8 scale = scales_to_f32(scales);
    const int end = std::min(k + kGroupU8, count);
    for (int i = k; i < end; i += 4, codes += 32, out += 4 * kTileRows) {
      store_cell(load<u32x4>(codes), zero, scale.low, out);
      store_cell(load<u32x4>(codes + 16), zero, scale.high, out + 4);
    }
  }
}

}  // namespace

OCELLI_NOINLINE void dequantize_panel(const Linear& w, const LinearPart& part, int tile_in_part,
                                      int k_begin, int count, float* out) {
  const int64_t k = w.k_padded();
  const auto* tile =
      static_cast<const uint8_t*>(part.codes) + tile_in_part * tile_bytes(w.format, k);
  switch (w.format) {
    case WeightFormat::kF32:
      std::memcpy(out, tile + int64_t{k_begin} * 32, size_t(count) * 32);
      return;
    case WeightFormat::kF16: {
      const uint8_t* from = tile + int64_t{k_begin} * 16;
      for (int i = 0; i < count * 2; ++i)
        store(out + 4 * i, f16x4_to_f32(load<u16x4>(from + 8 * i)));
      return;
    }
    case WeightFormat::kBf16: {
      const uint8_t* from = tile + int64_t{k_begin} * 16;
      for (int i = 0; i < count * 2; ++i) {
        store(out + 4 * i, bf16x4_to_f32(load<u16x4>(from + 8 * i)));
      }
      return;
    }
    case WeightFormat::kU8: {
      const int64_t group = tile_in_part * (k / kGroupU8) + k_begin / kGroupU8;
      panel_u8(tile + int64_t{k_begin} * 8, part.scales + group * kTileRows, count, out);
      return;
    }
    case WeightFormat::kU4: {
      const int64_t group = tile_in_part * (k / kGroupU4) + k_begin / kGroupU4;
      for (int done = 0; done < count; done += kGroupU4) {
        const int64_t g = group + done / kGroupU4;
        panel_u4(tile + int64_t{k_begin + done} * 4, part.scales + g * kTileRows,
                 part.zeros + g * kTileRows, std::min(kGroupU4, count - done),
                 out + int64_t{done} * kTileRows);
      }
      return;
    }
  }
  check_failed();
}

}  // namespace ocelli
