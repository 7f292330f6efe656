#include "convert/matrix_parts.h"

#include <algorithm>

namespace ocelli {
namespace {

constexpr int kNormPadding = 2;

// Bytes of scales for one tile.
int64_t scale_bytes(WeightFormat format, int64_t k_padded) {
  if (format == WeightFormat::kU4) return k_padded / kGroupU4 * kTileRows * 2;
  if (format == WeightFormat::kU8) return k_padded / kGroupU8 * kTileRows * 2;
  return 0;
}

int64_t zero_bytes(WeightFormat format, int64_t k_padded) {
  return format == WeightFormat::kU4 ? k_padded / kGroupU4 * kTileRows : 0;
}

int64_t bytes_per_tile(WeightFormat format, int64_t k_padded) {
  return tile_bytes(format, k_padded) + scale_bytes(format, k_padded) +
         zero_bytes(format, k_padded);
}

void place_part(ShardWriter& shards, const std::string& name, MatrixPart& part) {
  const int64_t tiles = part.tiles, k = part.k_padded;
  const auto dense = [&](Dtype dtype) {
    part.codes_all = shards.add(name + ".dense", dtype, {tiles, k, kTileRows});
  };
  switch (part.format) {
    case WeightFormat::kU4:
      part.codes_all = shards.add(name + ".u4", Dtype::kU8, {tiles, k / 8, 32});
      part.scales_all = shards.add(name + ".scales", Dtype::kF16, {tiles, k / kGroupU4, kTileRows});
      part.zeros_all = shards.add(name + ".zeros", Dtype::kU8, {tiles, k / kGroupU4, kTileRows});
      break;
    case WeightFormat::kU8:
      part.codes_all = shards.add(name + ".u8", Dtype::kU8, {tiles, k / 4, 32});
      part.scales_all = shards.add(name + ".scales", Dtype::kF16, {tiles, k / kGroupU8, kTileRows});
      break;
    case WeightFormat::kF32:
      dense(Dtype::kF32);
      break;
    case WeightFormat::kF16:
      dense(Dtype::kF16);
      break;
    case WeightFormat::kBf16:
      dense(Dtype::kBf16);
      break;
  }
}

Result<std::span<uint8_t>> place_vector(ShardWriter& shards, const WeightSpec& spec,
                                        std::string name, int padding) {
  const int64_t padded = round_up(spec.n, padding);
  OCELLI_TRY_VOID(shards.begin(spec.holds, static_cast<uint64_t>(padded) * 4));
  return shards.add(std::move(name), Dtype::kF32, {padded});
}

}  // namespace

int padded_inputs(WeightFormat format, int k) {
  if (format == WeightFormat::kU4) return round_up(k, kGroupU4);
  if (format == WeightFormat::kU8) return round_up(k, kGroupU8);
  return k;
}

uint8_t* MatrixPart::codes(int tile) const {
  return codes_all.data() + tile * tile_bytes(format, k_padded);
}

uint16_t* MatrixPart::scales(int tile) const {
  return reinterpret_cast<uint16_t*>(scales_all.data() + tile * scale_bytes(format, k_padded));
}

uint8_t* MatrixPart::zeros(int tile) const {
  return zeros_all.data() + tile * zero_bytes(format, k_padded);
}

int64_t weight_bytes(const WeightSpec& spec, WeightFormat format) {
  if (spec.kind == WeightKind::kNorm) return int64_t{round_up(spec.n, kNormPadding)} * 4;
  const int rows = round_up(spec.n, kTileRows);
  return rows / kTileRows * bytes_per_tile(format, padded_inputs(format, spec.k)) +
         (spec.bias ? int64_t{rows} * 4 : 0);
}

Result<void> write_parts(ShardWriter& shards, const WeightSpec& spec, WeightFormat format,
                         const std::function<Result<void>(const MatrixPart&)>& fill) {
  MatrixPart part;
  part.format = format;
  part.k_padded = padded_inputs(format, spec.k);
  const int tiles = round_up(spec.n, kTileRows) / kTileRows;
  const int64_t tile_total = bytes_per_tile(format, part.k_padded);
  const auto limit = static_cast<int64_t>(shards.data_bytes_max());
  const int part_tiles = static_cast<int>(std::clamp<int64_t>(limit / tile_total, 1, tiles));
  for (int index = 0; part.tile_begin < tiles; ++index, part.tile_begin += part_tiles) {
    part.tiles = std::min(part_tiles, tiles - part.tile_begin);
    OCELLI_TRY_VOID(shards.begin(spec.holds, static_cast<uint64_t>(part.tiles * tile_total)));
    place_part(shards, part_tiles == tiles ? spec.name : spec.name + "#" + std::to_string(index),
               part);
    OCELLI_TRY_VOID(fill(part));
  }
  return {};
}

Result<std::span<uint8_t>> place_norm(ShardWriter& shards, const WeightSpec& spec) {
  return place_vector(shards, spec, spec.name, kNormPadding);
}

Result<std::span<uint8_t>> place_bias(ShardWriter& shards, const WeightSpec& spec) {
  return place_vector(shards, spec, spec.name + ".bias", kTileRows);
}

std::string_view format_word(WeightFormat format) {
  switch (format) {
    case WeightFormat::kF32:
      return "f32";
    case WeightFormat::kF16:
      return "f16";
    case WeightFormat::kBf16:
      return "bf16";
    case WeightFormat::kU8:
      return "u8";
    case WeightFormat::kU4:
      return "u4";
  }
  return "";
}

}  // namespace ocelli
