#include "convert/matrix_reader.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/check.h"
#include "base/half.h"

namespace ocelli {
namespace {

static_assert(std::endian::native == std::endian::little,
              "tensors are used as they lie in the file");

bool is_float(Dtype dtype) {
  return dtype == Dtype::kBf16 || dtype == Dtype::kF16 || dtype == Dtype::kF32;
}

// No NaN, no infinity: no value with all exponent bits set.
template <class T>
bool all_finite(const T* values, size_t count, T exponent) {
  T bad = 0;
  for (size_t i = 0; i < count; ++i) bad |= static_cast<T>((values[i] & exponent) == exponent);
  return bad == 0;
}

bool all_finite(Dtype dtype, const uint8_t* raw, size_t count) {
  if (dtype == Dtype::kF32)
    return all_finite(reinterpret_cast<const uint32_t*>(raw), count, 0x7f800000u);
  const auto* values = reinterpret_cast<const uint16_t*>(raw);
  return all_finite<uint16_t>(values, count, dtype == Dtype::kBf16 ? 0x7f80 : 0x7c00);
}

void to_f32(Dtype dtype, const uint8_t* raw, size_t count, float* out) {
  const auto* values = reinterpret_cast<const uint16_t*>(raw);
  if (dtype == Dtype::kF32) std::memcpy(out, raw, count * 4);
  if (dtype == Dtype::kBf16)
    for (size_t i = 0; i < count; ++i) out[i] = bf16_to_f32(values[i]);
  if (dtype == Dtype::kF16)
    for (size_t i = 0; i < count; ++i) out[i] = f16_to_f32(values[i]);
}

std::unexpected<Error> not_finite(const SourceTensor& tensor) {
  return fail(Status::kTensorDtype,
              "tensor " + tensor.source_name + " in " + tensor.file +
                  " has NaN or infinite values, all must be finite",
              tensor.source_name);
}

Result<void> check_shape(const SourceTensor& tensor, const std::vector<int64_t>& shape) {
  if (tensor.shape == shape) return {};
  return fail(Status::kTensorShape,
              "tensor " + tensor.source_name + " in " + tensor.file + " has shape " +
                  shape_text(tensor.shape) + ", must be " + shape_text(shape),
              tensor.source_name);
}

Result<void> check_dtype(const SourceTensor& tensor, bool ok, std::string_view allowed) {
  if (ok) return {};
  return fail(Status::kTensorDtype,
              "tensor " + tensor.source_name + " in " + tensor.file + " has dtype " +
                  std::string(dtype_word(tensor.dtype)) + ", must be " + std::string(allowed),
              tensor.source_name);
}

Result<MatrixTensors> find_awq(const Checkpoint& checkpoint, const WeightSpec& spec) {
  MatrixTensors found;
  const auto take = [&](const char* suffix, const SourceTensor*& tensor) -> Result<void> {
    tensor = checkpoint.find(spec.name + suffix);
    if (tensor != nullptr) return {};
    return fail(Status::kMissingTensor, "tensor " + spec.name + suffix + " is missing",
                spec.name + suffix);
  };
  OCELLI_TRY_VOID(take(".qweight", found.qweight));
  OCELLI_TRY_VOID(take(".qzeros", found.qzeros));
  OCELLI_TRY_VOID(take(".scales", found.scales));
  if (spec.k % kGroupU4 != 0 || spec.n % 8 != 0) {
    return fail(Status::kTensorShape,
                "matrix " + spec.name + " is " + std::to_string(spec.n) + " x " +
                    std::to_string(spec.k) +
                    "; AWQ needs outputs in multiples of 8 and inputs in multiples of 128",
                spec.name);
  }
  const int64_t groups = spec.k / kGroupU4;
  OCELLI_TRY_VOID(check_shape(*found.qweight, {spec.k, spec.n / 8}));
  OCELLI_TRY_VOID(check_shape(*found.qzeros, {groups, spec.n / 8}));
  OCELLI_TRY_VOID(check_shape(*found.scales, {groups, spec.n}));
  const auto packed = [](Dtype dtype) { return dtype == Dtype::kI32 || dtype == Dtype::kU32; };
  OCELLI_TRY_VOID(check_dtype(*found.qweight, packed(found.qweight->dtype), "I32"));
  OCELLI_TRY_VOID(check_dtype(*found.qzeros, packed(found.qzeros->dtype), "I32"));
  OCELLI_TRY_VOID(check_dtype(*found.scales, is_float(found.scales->dtype), "F16, BF16 or F32"));
  return found;
}

}  // namespace

Result<MatrixTensors> find_matrix(const Checkpoint& checkpoint, const WeightSpec& spec) {
  const SourceTensor* dense = checkpoint.find(spec.name + ".weight");
  const bool packed = checkpoint.find(spec.name + ".qweight") != nullptr;
  if (dense != nullptr && packed) {
    return fail(Status::kUnsupportedQuantization,
                "matrix " + spec.name + " is there twice, as .weight and as .qweight", spec.name);
  }
  if (packed) return find_awq(checkpoint, spec);
  if (dense == nullptr)
    return fail(Status::kMissingTensor, "tensor " + spec.name + ".weight is missing",
                spec.name + ".weight");
  // The patch embedding is a convolution [out, channels, frames, rows, columns]: the same values in
  // the same order.
  if (dense->shape.size() == 5) {
    int64_t inputs = 1;
    for (size_t i = 1; i < 5; ++i) inputs *= dense->shape[i];
    SourceTensor flat = *dense;
    flat.shape = {dense->shape[0], inputs};
    OCELLI_TRY_VOID(check_shape(flat, {spec.n, spec.k}));
  } else {
    OCELLI_TRY_VOID(check_shape(*dense, {spec.n, spec.k}));
  }
  OCELLI_TRY_VOID(check_dtype(*dense, is_float(dense->dtype), "BF16, F16 or F32"));
  return MatrixTensors{dense, nullptr, nullptr, nullptr};
}

Result<std::vector<float>> read_floats(Checkpoint& checkpoint, const SourceTensor& tensor) {
  OCELLI_TRY_VOID(check_dtype(tensor, is_float(tensor.dtype), "BF16, F16 or F32"));
  std::vector<uint8_t> raw(static_cast<size_t>(tensor.bytes));
  OCELLI_TRY_VOID(checkpoint.read(tensor, 0, raw));
  std::vector<float> values(raw.size() / static_cast<size_t>(dtype_bytes(tensor.dtype)));
  if (!all_finite(tensor.dtype, raw.data(), values.size())) return not_finite(tensor);
  to_f32(tensor.dtype, raw.data(), values.size(), values.data());
  return values;
}

int rows_per_chunk(int k) {
  const int rows = (1 << 20) / k / kTileRows * kTileRows;
  return std::max(rows, kTileRows);
}

Result<MatrixReader> MatrixReader::open(Checkpoint& checkpoint, const WeightSpec& spec,
                                        const MatrixTensors& tensors) {
  MatrixReader reader(checkpoint, spec, tensors);
  if (tensors.awq()) OCELLI_TRY_VOID(reader.load_awq());
  return reader;
}

Result<void> MatrixReader::load_awq() {
  const auto load = [&](const SourceTensor& tensor, std::vector<uint32_t>& words) {
    words.resize(static_cast<size_t>(tensor.bytes / 4));
    return checkpoint_->read(tensor, 0,
                             {reinterpret_cast<uint8_t*>(words.data()), words.size() * 4});
  };
  OCELLI_TRY_VOID(load(*tensors_.qweight, qweight_));
  OCELLI_TRY_VOID(load(*tensors_.qzeros, qzeros_));
  OCELLI_TRY(const std::vector<float> scales, read_floats(*checkpoint_, *tensors_.scales));
  scales_.reserve(scales.size());
  for (const float scale : scales) {
    scales_.push_back(f32_to_f16(scale));
    if (f16_to_f32(scales_.back()) != scale) {
      return fail(Status::kTensorDtype,
                  "tensor " + tensors_.scales->source_name + " in " + tensors_.scales->file +
                      " holds " + std::to_string(scale) + ", which is no f16 value",
                  tensors_.scales->source_name);
    }
  }
  // The vectors move with the reader, their contents stay in place.
  awq_ = {n_, k_, qweight_.data(), qzeros_.data(), scales_.data()};
  return {};
}

Result<void> MatrixReader::read_raw(int begin, int count) {
  const SourceTensor& tensor = *tensors_.dense;
  const uint64_t row_bytes =
      static_cast<uint64_t>(k_) * static_cast<uint64_t>(dtype_bytes(tensor.dtype));
  raw_.resize(static_cast<size_t>(count * row_bytes));
  OCELLI_TRY_VOID(checkpoint_->read(tensor, begin * row_bytes, raw_));
  if (!all_finite(tensor.dtype, raw_.data(), static_cast<size_t>(count) * k_))
    return not_finite(tensor);
  return {};
}

Result<void> MatrixReader::rows_f32(int begin, int count, std::vector<float>& out) {
  out.resize(static_cast<size_t>(count) * k_);
  if (tensors_.awq()) {
    for (int i = 0; i < count; ++i)
      dequantize_awq_row(awq_, begin + i, out.data() + static_cast<size_t>(i) * k_);
    return {};
  }
  OCELLI_TRY_VOID(read_raw(begin, count));
  to_f32(tensors_.dense->dtype, raw_.data(), out.size(), out.data());
  return {};
}

Result<void> MatrixReader::rows_16(int begin, int count, std::vector<uint16_t>& out) {
  OCELLI_CHECK(!tensors_.awq() && dtype_bytes(tensors_.dense->dtype) == 2);
  OCELLI_TRY_VOID(read_raw(begin, count));
  out.resize(static_cast<size_t>(count) * k_);
  std::memcpy(out.data(), raw_.data(), out.size() * 2);
  return {};
}

Result<MatrixReader::F16Fit> MatrixReader::scan_f16(bool range_only) {
  F16Fit fit;
  std::vector<float> rows;
  const int chunk = rows_per_chunk(k_);
  for (int begin = 0; begin < n_; begin += chunk) {
    OCELLI_TRY_VOID(rows_f32(begin, std::min(chunk, n_ - begin), rows));
    bool inexact = false;
    bool overflow = false;
    for (const float value : rows) {
      const float back = f16_to_f32(f32_to_f16(value));
      inexact |= back != value;
      overflow |= (std::bit_cast<uint32_t>(back) & 0x7f800000u) == 0x7f800000u;
    }
    fit.exact &= !inexact;
    fit.in_range &= !overflow;
    if (!fit.in_range || (!range_only && !fit.exact)) {
      const int rows_left = n_ - std::min(n_, begin + chunk);
      const SourceTensor& tensor = *tensors_.dense;
      checkpoint_->skip(static_cast<uint64_t>(rows_left) * static_cast<uint64_t>(k_) *
                        static_cast<uint64_t>(dtype_bytes(tensor.dtype)));
      break;
    }
  }
  return fit;
}

}  // namespace ocelli
