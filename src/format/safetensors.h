// The header of a safetensors file, read as hostile input: names, dtypes, shapes and byte ranges.
// Used by the shard reader (shard.h) and by models/convert on source checkpoints, which may be
// larger than 4 GiB: offsets are 64-bit also on wasm32. Surprise: stricter than "in range". Ranges
// must cover the data exactly, without holes, as the reference loader demands; a truncated download
// therefore never passes.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace ocelli {

enum class Dtype : uint8_t {
  kBool,
  kU8,
  kI8,
  kU16,
  kI16,
  kF16,
  kBf16,
  kU32,
  kI32,
  kF32,
  kU64,
  kI64,
  kF64
};

// Bytes of one element.
int dtype_bytes(Dtype dtype);
// The word in a safetensors header, e.g. "BF16".
std::string_view dtype_word(Dtype dtype);

inline constexpr uint64_t kSafetensorsHeaderBytesMax = 100'000'000;
inline constexpr int kTensorDimsMax = 8;

struct TensorInfo {
  std::string name;
  Dtype dtype = Dtype::kF32;
  std::vector<int64_t> shape;
  uint64_t begin = 0;  // byte range within the data, which starts after the header
  uint64_t end = 0;

  uint64_t bytes() const { return end - begin; }
};

// "[3840, 1280]"
std::string shape_text(std::span<const int64_t> shape);

// Length of the JSON header from the first 8 bytes of a file of `file_bytes` bytes.
// kInvalidSafetensors when the file is too short for it or the header passes the cap.
Result<uint64_t> safetensors_header_bytes(std::span<const uint8_t> first_8, uint64_t file_bytes);

// Every tensor of a file, sorted by begin. `header_json` are the n header bytes, `data_bytes` what
// follows them. kInvalidSafetensors: not JSON of the expected shape, duplicate names, ranges out of
// bounds, overlapping, with holes, or not matching shape and dtype. kTensorDtype: a dtype not in
// the table above.
Result<std::vector<TensorInfo>> parse_safetensors_header(std::span<const uint8_t> header_json,
                                                         uint64_t data_bytes);

}  // namespace ocelli
