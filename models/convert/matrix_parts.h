// Where a matrix's tensors go in the shards: named by its format, split along the tiles when it is
// larger than a shard (models/FORMAT.md section 4). matrix_writer.cc fills them from a checkpoint,
// synth.cc with random weights. Surprise: all places are zeroed, so what a filler leaves out is 0,
// which for u8 codes is not the code of 0.0.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "convert/shard_writer.h"
#include "format/weight_table.h"
#include "tensor/linear.h"

namespace ocelli {

// K as stored: padded to the format's group.
int padded_inputs(WeightFormat format, int k);

// One part of a matrix in the shard being built: whole tiles.
struct MatrixPart {
  WeightFormat format = WeightFormat::kF32;
  int k_padded = 0;
  int tile_begin = 0;  // in the whole matrix
  int tiles = 0;
  std::span<uint8_t> codes_all, scales_all, zeros_all;

  // Of tile `tile` of this part.
  uint8_t* codes(int tile) const;    // [K/4 or K/8, 32], or [K, 8] values
  uint16_t* scales(int tile) const;  // [K/G, 8] f16, quantised formats only
  uint8_t* zeros(int tile) const;    // [K/128, 8], u4 only
};

// Bytes of all tensors of a weight, its bias included.
int64_t weight_bytes(const WeightSpec& spec, WeightFormat format);

// Takes places for a matrix of `spec`, part after part, and has `fill` fill each.
Result<void> write_parts(ShardWriter& shards, const WeightSpec& spec, WeightFormat format,
                         const std::function<Result<void>(const MatrixPart&)>& fill);

// The place of a norm's weights, F32 [n padded to 2], or of a matrix's bias, F32 [n padded to 8].
Result<std::span<uint8_t>> place_norm(ShardWriter& shards, const WeightSpec& spec);
Result<std::span<uint8_t>> place_bias(ShardWriter& shards, const WeightSpec& spec);

// "u4", "bf16", ...
std::string_view format_word(WeightFormat format);

}  // namespace ocelli
