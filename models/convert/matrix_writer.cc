#include "convert/matrix_writer.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/check.h"
#include "base/half.h"
#include "convert/matrix_reader.h"
#include "convert/tile_codec.h"

namespace ocelli {
namespace {

struct Placed {  // one part of a matrix in the shard being built
  std::span<uint8_t> codes;
  std::span<uint8_t> scales;
  std::span<uint8_t> zeros;
};

// Bytes of scales for one tile.
int64_t scale_bytes(WeightFormat format, int64_t k_padded) {
  if (format == WeightFormat::kU4) return k_padded / kGroupU4 * kTileRows * 2;
  if (format == WeightFormat::kU8) return k_padded / kGroupU8 * kTileRows * 2;
  return 0;
}

int64_t zero_bytes(WeightFormat format, int64_t k_padded) {
  return format == WeightFormat::kU4 ? k_padded / kGroupU4 * kTileRows : 0;
}

Placed place_part(ShardWriter& shards, const std::string& name, WeightFormat format, int64_t tiles,
                  int64_t k_padded) {
  Placed placed;
  switch (format) {
    case WeightFormat::kU4:
      placed.codes = shards.add(name + ".u4", Dtype::kU8, {tiles, k_padded / 8, 32});
      placed.scales =
          shards.add(name + ".scales", Dtype::kF16, {tiles, k_padded / kGroupU4, kTileRows});
      placed.zeros =
          shards.add(name + ".zeros", Dtype::kU8, {tiles, k_padded / kGroupU4, kTileRows});
      return placed;
    case WeightFormat::kU8:
      placed.codes = shards.add(name + ".u8", Dtype::kU8, {tiles, k_padded / 4, 32});
      placed.scales =
          shards.add(name + ".scales", Dtype::kF16, {tiles, k_padded / kGroupU8, kTileRows});
      return placed;
    case WeightFormat::kF32:
      placed.codes = shards.add(name + ".dense", Dtype::kF32, {tiles, k_padded, kTileRows});
      return placed;
    case WeightFormat::kF16:
      placed.codes = shards.add(name + ".dense", Dtype::kF16, {tiles, k_padded, kTileRows});
      return placed;
    case WeightFormat::kBf16:
      placed.codes = shards.add(name + ".dense", Dtype::kBf16, {tiles, k_padded, kTileRows});
      return placed;
  }
  return placed;
}

WeightFormat format_of(Dtype dtype) {
  if (dtype == Dtype::kBf16) return WeightFormat::kBf16;
  if (dtype == Dtype::kF16) return WeightFormat::kF16;
  return WeightFormat::kF32;
}

bool needs_scan(const MatrixTensors& tensors, Precision precision) {
  return !tensors.awq() && tensors.dense->dtype != Dtype::kF16 &&
         (precision == Precision::kF16 || precision == Precision::kF16Exact);
}

Result<WeightFormat> choose_format(MatrixReader& reader, const MatrixTensors& tensors,
                                   Precision precision) {
  if (precision == Precision::kInt8) return WeightFormat::kU8;
  if (precision == Precision::kF32) return WeightFormat::kF32;
  if (tensors.awq() || precision == Precision::kInt4) return WeightFormat::kU4;
  const WeightFormat own = format_of(tensors.dense->dtype);
  if (!needs_scan(tensors, precision)) return own;
  OCELLI_TRY(const MatrixReader::F16Fit fit, reader.scan_f16(precision == Precision::kF16));
  return (precision == Precision::kF16 ? fit.in_range : fit.exact) ? WeightFormat::kF16 : own;
}

// Fills the tiles of one part from chunks of rows.
class PartFiller {
 public:
  PartFiller(MatrixReader& reader, const WeightSpec& spec, WeightFormat format, bool raw_16)
      : reader_(reader), spec_(spec), format_(format), raw_16_(raw_16), k_padded_(spec.k) {
    if (format == WeightFormat::kU4) k_padded_ = round_up(spec.k, kGroupU4);
    if (format == WeightFormat::kU8) k_padded_ = round_up(spec.k, kGroupU8);
  }

  int k_padded() const { return k_padded_; }

  Result<void> fill(int tile_begin, int tiles, const Placed& placed) {
    const int chunk_tiles = rows_per_chunk(spec_.k) / kTileRows;
    for (int tile = 0; tile < tiles; tile += chunk_tiles) {
      const int row_begin = (tile_begin + tile) * kTileRows;
      const int rows =
          std::min(std::min(chunk_tiles, tiles - tile) * kTileRows, spec_.n - row_begin);
      if (raw_16_) {
        OCELLI_TRY_VOID(reader_.rows_16(row_begin, rows, rows_16_));
      } else {
        OCELLI_TRY_VOID(reader_.rows_f32(row_begin, rows, rows_f32_));
        if (format_ == WeightFormat::kF16) {
          rows_16_.resize(rows_f32_.size());
          std::transform(rows_f32_.begin(), rows_f32_.end(), rows_16_.begin(), f32_to_f16);
        }
      }
      for (int row = 0; row < rows; row += kTileRows)
        OCELLI_TRY_VOID(fill_tile(row, rows, tile + row / kTileRows, placed));
    }
    return {};
  }

 private:
  // `row` is the tile's first row within the chunk, `tile` its place within the part.
  Result<void> fill_tile(int row, int rows, int tile, const Placed& placed) {
    uint8_t* codes = placed.codes.data() + tile * tile_bytes(format_, k_padded_);
    auto* scales =
        reinterpret_cast<uint16_t*>(placed.scales.data() + tile * scale_bytes(format_, k_padded_));
    bool fits = true;
    switch (format_) {
      case WeightFormat::kF16:
      case WeightFormat::kBf16:
        pack_dense_16(pointers(rows_16_, row, rows).data(), spec_.k,
                      reinterpret_cast<uint16_t*>(codes));
        break;
      case WeightFormat::kF32:
        pack_dense_32(pointers(rows_f32_, row, rows).data(), spec_.k,
                      reinterpret_cast<float*>(codes));
        break;
      case WeightFormat::kU8:
        fits = quantize_u8(pointers(rows_f32_, row, rows).data(), spec_.k, codes, scales);
        break;
      case WeightFormat::kU4:
        fits = quantize_u4(pointers(rows_f32_, row, rows).data(), spec_.k, codes, scales,
                           placed.zeros.data() + tile * zero_bytes(format_, k_padded_));
        break;
    }
    if (!fits) {
      return fail(Status::kUnsupportedQuantization,
                  "matrix " + spec_.name +
                      " has values too large to quantise with f16 scales (up to 65504)",
                  spec_.name);
    }
    return {};
  }

  template <class T>
  std::array<const T*, kTileRows> pointers(const std::vector<T>& rows, int row, int count) const {
    std::array<const T*, kTileRows> out = {};
    for (int r = 0; r < kTileRows && row + r < count; ++r)
      out[static_cast<size_t>(r)] = rows.data() + static_cast<size_t>(row + r) * spec_.k;
    return out;
  }

  MatrixReader& reader_;
  const WeightSpec& spec_;
  WeightFormat format_;
  bool raw_16_;
  int k_padded_;
  std::vector<float> rows_f32_;
  std::vector<uint16_t> rows_16_;
};

Result<WrittenMatrix> write_matrix(Checkpoint& checkpoint, const WeightSpec& spec,
                                   Precision precision, ShardWriter& shards) {
  OCELLI_TRY(const MatrixTensors tensors, find_matrix(checkpoint, spec));
  OCELLI_TRY(MatrixReader reader, MatrixReader::open(checkpoint, spec, tensors));
  WrittenMatrix written;
  OCELLI_TRY(written.format, choose_format(reader, tensors, precision));
  const WeightFormat format = written.format;
  written.fell_back = needs_scan(tensors, precision) && format != WeightFormat::kF16;

  const bool raw_16 =
      !tensors.awq() && format != WeightFormat::kF32 && format == format_of(tensors.dense->dtype);
  PartFiller filler(reader, spec, format, raw_16);
  const int tiles = round_up(spec.n, kTileRows) / kTileRows;
  const int64_t k_padded = filler.k_padded();
  const int64_t bytes_per_tile =
      tile_bytes(format, k_padded) + scale_bytes(format, k_padded) + zero_bytes(format, k_padded);
  const auto limit = static_cast<int64_t>(shards.data_bytes_max());
  const int part_tiles = static_cast<int>(std::clamp<int64_t>(limit / bytes_per_tile, 1, tiles));
  for (int tile = 0, part = 0; tile < tiles; tile += part_tiles, ++part) {
    const int count = std::min(part_tiles, tiles - tile);
    const std::string name =
        part_tiles == tiles ? spec.name : spec.name + "#" + std::to_string(part);
    OCELLI_TRY_VOID(shards.begin(spec.holds, static_cast<uint64_t>(count * bytes_per_tile)));
    const Placed placed = place_part(shards, name, format, count, k_padded);
    if (tensors.awq() && format == WeightFormat::kU4) {
      repack_awq(reader.awq(), tile, count, placed.codes.data(),
                 reinterpret_cast<uint16_t*>(placed.scales.data()), placed.zeros.data());
    } else {
      OCELLI_TRY_VOID(filler.fill(tile, count, placed));
    }
  }
  return written;
}

// A norm or bias as F32 [n padded to a multiple of `padding`].
Result<void> write_vector(Checkpoint& checkpoint, const WeightSpec& spec, const std::string& source,
                          const std::string& name, int padding, ShardWriter& shards) {
  const SourceTensor* tensor = checkpoint.find(source);
  OCELLI_CHECK(tensor != nullptr);
  OCELLI_TRY(const std::vector<float> values, read_floats(checkpoint, *tensor));
  const int64_t padded = round_up(spec.n, padding);
  OCELLI_TRY_VOID(shards.begin(spec.holds, static_cast<uint64_t>(padded) * 4));
  const std::span<uint8_t> place = shards.add(name, Dtype::kF32, {padded});
  std::memcpy(place.data(), values.data(), values.size() * 4);
  return {};
}

Result<void> check_vector(const Checkpoint& checkpoint, const std::string& name, int n) {
  const SourceTensor* tensor = checkpoint.find(name);
  if (tensor == nullptr)
    return fail(Status::kMissingTensor, "tensor " + name + " is missing", name);
  if (tensor->shape != std::vector<int64_t>{n}) {
    return fail(Status::kTensorShape,
                "tensor " + tensor->source_name + " in " + tensor->file + " has shape " +
                    shape_text(tensor->shape) + ", must be [" + std::to_string(n) + "]",
                tensor->source_name);
  }
  if (tensor->dtype != Dtype::kBf16 && tensor->dtype != Dtype::kF16 &&
      tensor->dtype != Dtype::kF32) {
    return fail(Status::kTensorDtype,
                "tensor " + tensor->source_name + " in " + tensor->file + " has dtype " +
                    std::string(dtype_word(tensor->dtype)) + ", must be BF16, F16 or F32",
                tensor->source_name);
  }
  return {};
}

}  // namespace

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

Result<void> check_weight(const Checkpoint& checkpoint, const WeightSpec& spec) {
  if (spec.kind == WeightKind::kNorm)
    return check_vector(checkpoint, spec.name + ".weight", spec.n);
  OCELLI_TRY([[maybe_unused]] const MatrixTensors tensors, find_matrix(checkpoint, spec));
  if (spec.bias) OCELLI_TRY_VOID(check_vector(checkpoint, spec.name + ".bias", spec.n));
  return {};
}

uint64_t weight_read_bytes(const Checkpoint& checkpoint, const WeightSpec& spec,
                           Precision precision) {
  uint64_t bytes = 0;
  for (const char* suffix : {".weight", ".bias", ".qweight", ".qzeros", ".scales"})
    if (const SourceTensor* tensor = checkpoint.find(spec.name + suffix)) bytes += tensor->bytes;
  if (spec.kind == WeightKind::kNorm) return bytes;
  const auto tensors = find_matrix(checkpoint, spec);
  if (tensors && needs_scan(*tensors, precision)) bytes += tensors->dense->bytes;
  return bytes;
}

Result<WrittenMatrix> write_weight(Checkpoint& checkpoint, const WeightSpec& spec,
                                   Precision precision, ShardWriter& shards) {
  if (spec.kind == WeightKind::kNorm) {
    OCELLI_TRY_VOID(write_vector(checkpoint, spec, spec.name + ".weight", spec.name, 2, shards));
    return WrittenMatrix{};
  }
  OCELLI_TRY(const WrittenMatrix written, write_matrix(checkpoint, spec, precision, shards));
  if (spec.bias)
    OCELLI_TRY_VOID(write_vector(checkpoint, spec, spec.name + ".bias", spec.name + ".bias",
                                 kTileRows, shards));
  return written;
}

}  // namespace ocelli
