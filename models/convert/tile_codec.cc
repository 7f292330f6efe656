#include "convert/tile_codec.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/half.h"

namespace ocelli {
namespace {

constexpr float kF16Max = 65504.0f;

template <class T>
void pack_dense(const T* const rows[kTileRows], int k, T* out) {
  for (int r = 0; r < kTileRows; ++r) {
    const T* row = rows[r];
    for (int i = 0; i < k; ++i)
      out[static_cast<size_t>(i) * kTileRows + r] = row == nullptr ? T{} : row[i];
  }
}

// The smallest f16 that is not below `value` >= 0.
uint16_t f16_at_least(float value) {
  const uint16_t nearest = f32_to_f16(value);
  return f16_to_f32(nearest) < value ? static_cast<uint16_t>(nearest + 1) : nearest;
}

// Half to even, the default rounding mode; a single instruction on wasm.
int round_even(float value) { return static_cast<int>(std::nearbyint(value)); }

// Places of element k of row r within a tile's codes.
size_t place_u8(int r, int i) { return static_cast<size_t>(i / 4) * 32 + 4 * r + i % 4; }
size_t place_u4(int r, int i) { return static_cast<size_t>(i / 8) * 32 + 4 * r + i % 4; }

// Swaps nibbles so that word r of the result has bits [4c, 4c+4) = nibble r of w[c].
void transpose_nibbles(uint32_t w[8]) {
  for (int i = 0; i < 4; ++i) {
    const uint32_t swap = ((w[i] >> 16) ^ w[i + 4]) & 0x0000ffffu;
    w[i + 4] ^= swap;
    w[i] ^= swap << 16;
  }
  for (const int i : {0, 1, 4, 5}) {
    const uint32_t swap = ((w[i] >> 8) ^ w[i + 2]) & 0x00ff00ffu;
    w[i + 2] ^= swap;
    w[i] ^= swap << 8;
  }
  for (const int i : {0, 2, 4, 6}) {
    const uint32_t swap = ((w[i] >> 4) ^ w[i + 1]) & 0x0f0f0f0fu;
    w[i + 1] ^= swap;
    w[i] ^= swap << 4;
  }
}

}  // namespace

void pack_dense_16(const uint16_t* const rows[kTileRows], int k, uint16_t* out) {
  pack_dense(rows, k, out);
}

void pack_dense_32(const float* const rows[kTileRows], int k, float* out) {
  pack_dense(rows, k, out);
}

bool quantize_u8(const float* const rows[kTileRows], int k, uint8_t* codes, uint16_t* scales) {
  const int k_padded = round_up(k, kGroupU8);
  std::memset(codes, kZeroU8, static_cast<size_t>(k_padded) * kTileRows);
  std::memset(scales, 0, static_cast<size_t>(k_padded / kGroupU8) * kTileRows * 2);
  for (int r = 0; r < kTileRows; ++r) {
    const float* row = rows[r];
    if (row == nullptr) continue;
    for (int begin = 0; begin < k; begin += kGroupU8) {
      const int end = std::min(begin + kGroupU8, k);
      float largest = 0.0f;
      for (int i = begin; i < end; ++i) largest = std::max(largest, std::fabs(row[i]));
      if (largest == 0.0f) continue;
      if (largest > 127.0f * kF16Max) return false;
      // Rounded up, so that no code leaves -127..127 and no value is clipped.
      const uint16_t scale_bits = f16_at_least(largest / 127.0f);
      const float scale = f16_to_f32(scale_bits);
      scales[begin / kGroupU8 * kTileRows + r] = scale_bits;
      for (int i = begin; i < end; ++i) {
        const int code = std::clamp(round_even(row[i] / scale), -127, 127);
        codes[place_u8(r, i)] = static_cast<uint8_t>(code + kZeroU8);
      }
    }
  }
  return true;
}

bool quantize_u4(const float* const rows[kTileRows], int k, uint8_t* codes, uint16_t* scales,
                 uint8_t* zeros) {
  const int k_padded = round_up(k, kGroupU4);
  std::memset(codes, 0, static_cast<size_t>(k_padded / 2) * kTileRows);
  std::memset(scales, 0, static_cast<size_t>(k_padded / kGroupU4) * kTileRows * 2);
  std::memset(zeros, 0, static_cast<size_t>(k_padded / kGroupU4) * kTileRows);
  for (int r = 0; r < kTileRows; ++r) {
    const float* row = rows[r];
    if (row == nullptr) continue;
    for (int begin = 0; begin < k; begin += kGroupU4) {
      const int end = std::min(begin + kGroupU4, k);
      // Zero belongs to the range: a group of one sign would otherwise be clipped at 15 steps from
      // zero.
      float low = 0.0f;
      float high = 0.0f;
      for (int i = begin; i < end; ++i) {
        low = std::min(low, row[i]);
        high = std::max(high, row[i]);
      }
      if (high / 15.0f - low / 15.0f > kF16Max) return false;
      const uint16_t scale_bits = f32_to_f16(std::max(high - low, 1e-5f) / 15.0f);
      const float scale = f16_to_f32(scale_bits);
      const int zero = std::clamp(-round_even(low / scale), 0, 15);
      const size_t group = static_cast<size_t>(begin / kGroupU4) * kTileRows + r;
      scales[group] = scale_bits;
      zeros[group] = static_cast<uint8_t>(zero);
      for (int i = begin; i < begin + kGroupU4; ++i) {
        const int code = i < end ? std::clamp(round_even(row[i] / scale) + zero, 0, 15) : zero;
        codes[place_u4(r, i)] |= static_cast<uint8_t>(i % 8 < 4 ? code : code << 4);
      }
    }
  }
  return true;
}

void repack_awq(const AwqMatrix& matrix, int tile_begin, int tiles, uint8_t* codes,
                uint16_t* scales, uint8_t* zeros) {
  const size_t words = static_cast<size_t>(matrix.n) / 8;  // in a row of qweight and qzeros
  const size_t cells = static_cast<size_t>(matrix.k) / 8;
  const size_t groups = static_cast<size_t>(matrix.k) / kGroupU4;
  // A tile is one word column of qweight. Sixteen neighbours at a time share the cache lines they
  // come from.
  constexpr int kBlock = 16;
  for (int block = 0; block < tiles; block += kBlock) {
    const int block_tiles = std::min(kBlock, tiles - block);
    for (size_t c = 0; c < cells; ++c) {
      const uint32_t* in = matrix.qweight + c * 8 * words + tile_begin + block;
      for (int t = 0; t < block_tiles; ++t) {
        // Nibble i of word k is column 2i (i < 4) or 2i - 7: after the transpose word i holds that
        // row's 8 inputs. Inputs 0..3 belong into the low nibbles of its 4 bytes, 4..7 into the
        // high ones.
        uint32_t w[8];
        for (int i = 0; i < 8; ++i) w[i] = in[static_cast<size_t>(i) * words + t];
        // Order the inputs 0 4 1 5 2 6 3 7 so that neighbours share a byte.
        uint32_t ordered[8] = {w[0], w[4], w[1], w[5], w[2], w[6], w[3], w[7]};
        transpose_nibbles(ordered);
        uint8_t* out = codes + ((static_cast<size_t>(block) + t) * cells + c) * 32;
        constexpr int kPlace[8] = {0, 4, 1, 5, 2, 6, 3, 7};
        for (int r = 0; r < 8; ++r) std::memcpy(out + 4 * r, &ordered[kPlace[r]], 4);
      }
    }
  }
  for (int t = 0; t < tiles; ++t) {
    for (size_t g = 0; g < groups; ++g) {
      const size_t tile = static_cast<size_t>(tile_begin) + t;
      const size_t out = (static_cast<size_t>(t) * groups + g) * kTileRows;
      const uint32_t word = matrix.qzeros[g * words + tile];
      for (int r = 0; r < kTileRows; ++r) {
        zeros[out + r] = static_cast<uint8_t>(awq_nibble(word, r));
        scales[out + r] = matrix.scales[g * matrix.n + tile * kTileRows + r];
        if ((scales[out + r] & 0x8000u) == 0) continue;
        // (code - zero) * scale = ((15 - code) - (15 - zero)) * -scale: the format has no negative
        // ones.
        scales[out + r] &= 0x7fffu;
        zeros[out + r] ^= 15u;
        for (size_t c = g * kGroupU4 / 8; c < (g + 1) * kGroupU4 / 8; ++c) {
          uint8_t* bytes = codes + (static_cast<size_t>(t) * cells + c) * 32 + 4 * r;
          for (int i = 0; i < 4; ++i) bytes[i] ^= 0xffu;
        }
      }
    }
  }
}

void dequantize_awq_row(const AwqMatrix& matrix, int row, float* out) {
  const size_t words = static_cast<size_t>(matrix.n) / 8;
  for (int i = 0; i < matrix.k; ++i) {
    const size_t group = static_cast<size_t>(i) / kGroupU4;
    const int code = static_cast<int>(awq_nibble(matrix.qweight[i * words + row / 8], row % 8));
    const int zero = static_cast<int>(awq_nibble(matrix.qzeros[group * words + row / 8], row % 8));
    out[i] = static_cast<float>(code - zero) * f16_to_f32(matrix.scales[group * matrix.n + row]);
  }
}

}  // namespace ocelli
