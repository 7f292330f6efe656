#include "convert/matrix_writer.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/check.h"
#include "base/half.h"
#include "convert/matrix_parts.h"
#include "convert/matrix_reader.h"
#include "convert/tile_codec.h"

namespace ocelli {
namespace {

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
  PartFiller(MatrixReader& reader, const WeightSpec& spec, bool raw_16)
      : reader_(reader), spec_(spec), raw_16_(raw_16) {}

  Result<void> fill(const MatrixPart& part) {
    const int chunk_tiles = rows_per_chunk(spec_.k) / kTileRows;
    for (int tile = 0; tile < part.tiles; tile += chunk_tiles) {
      const int row_begin = (part.tile_begin + tile) * kTileRows;
      const int rows =
          std::min(std::min(chunk_tiles, part.tiles - tile) * kTileRows, spec_.n - row_begin);
      if (raw_16_) {
        OCELLI_TRY_VOID(reader_.rows_16(row_begin, rows, rows_16_));
      } else {
        OCELLI_TRY_VOID(reader_.rows_f32(row_begin, rows, rows_f32_));
        if (part.format == WeightFormat::kF16) {
          rows_16_.resize(rows_f32_.size());
          std::transform(rows_f32_.begin(), rows_f32_.end(), rows_16_.begin(), f32_to_f16);
        }
      }
      for (int row = 0; row < rows; row += kTileRows)
        OCELLI_TRY_VOID(fill_tile(row, rows, tile + row / kTileRows, part));
    }
    return {};
  }

 private:
  // `row` is the tile's first row within the chunk, `tile` its place within the part.
  Result<void> fill_tile(int row, int rows, int tile, const MatrixPart& part) {
    uint8_t* codes = part.codes(tile);
    bool fits = true;
    switch (part.format) {
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
        fits =
            quantize_u8(pointers(rows_f32_, row, rows).data(), spec_.k, codes, part.scales(tile));
        break;
      case WeightFormat::kU4:
        fits = quantize_u4(pointers(rows_f32_, row, rows).data(), spec_.k, codes, part.scales(tile),
                           part.zeros(tile));
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
  bool raw_16_;
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
  PartFiller filler(reader, spec, raw_16);
  const bool repacks = tensors.awq() && format == WeightFormat::kU4;
  OCELLI_TRY_VOID(write_parts(shards, spec, format, [&](const MatrixPart& part) -> Result<void> {
    if (!repacks) return filler.fill(part);
    repack_awq(reader.awq(), part.tile_begin, part.tiles, part.codes(0), part.scales(0),
               part.zeros(0));
    return {};
  }));
  return written;
}

// Fills the place of a norm or a bias.
Result<void> copy_vector(Checkpoint& checkpoint, const std::string& source,
                         std::span<uint8_t> place) {
  const SourceTensor* tensor = checkpoint.find(source);
  OCELLI_CHECK(tensor != nullptr);
  OCELLI_TRY(const std::vector<float> values, read_floats(checkpoint, *tensor));
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
    OCELLI_TRY(const std::span<uint8_t> place, place_norm(shards, spec));
    OCELLI_TRY_VOID(copy_vector(checkpoint, spec.name + ".weight", place));
    return WrittenMatrix{};
  }
  OCELLI_TRY(const WrittenMatrix written, write_matrix(checkpoint, spec, precision, shards));
  if (spec.bias) {
    OCELLI_TRY(const std::span<uint8_t> place, place_bias(shards, spec));
    OCELLI_TRY_VOID(copy_vector(checkpoint, spec.name + ".bias", place));
  }
  return written;
}

}  // namespace ocelli
