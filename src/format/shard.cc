#include "format/shard.h"

#include "format/sha256.h"

namespace ocelli {

Result<std::vector<TensorView>> read_shard(std::span<const uint8_t> file) {
  OCELLI_TRY(const uint64_t header_bytes,
             safetensors_header_bytes(file.first(file.size() < 8 ? file.size() : 8), file.size()));
  const size_t data_at = 8 + static_cast<size_t>(header_bytes);
  if (data_at % 64 != 0) {
    return fail(Status::kInvalidShard, "shard data starts at byte " + std::to_string(data_at) +
                                           ", must be a multiple of 64");
  }
  const std::span<const uint8_t> data = file.subspan(data_at);
  OCELLI_TRY(
      std::vector<TensorInfo> infos,
      parse_safetensors_header(file.subspan(8, static_cast<size_t>(header_bytes)), data.size()));
  std::vector<TensorView> views;
  views.reserve(infos.size());
  for (TensorInfo& info : infos) {
    switch (info.dtype) {
      case Dtype::kU8:
      case Dtype::kU32:
      case Dtype::kF16:
      case Dtype::kBf16:
      case Dtype::kF32:
        break;
      default:
        return fail(Status::kInvalidShard, "tensor \"" + info.name + "\" in a shard has dtype " +
                                               std::string(dtype_word(info.dtype)) +
                                               ", allowed are U8, U32, F16, BF16, F32");
    }
    if (info.bytes() % 8 != 0) {
      return fail(Status::kInvalidShard, "tensor \"" + info.name + "\" in a shard has " +
                                             std::to_string(info.bytes()) +
                                             " bytes, must be a multiple of 8");
    }
    views.push_back(
        {std::move(info.name), info.dtype, std::move(info.shape),
         data.subspan(static_cast<size_t>(info.begin), static_cast<size_t>(info.bytes()))});
  }
  return views;
}

namespace {

Result<void> check_size(std::span<const uint8_t> file, const ShardInfo& info) {
  if (file.size() == info.bytes) return {};
  const std::string file_name = info.sha256 + ".safetensors";
  return fail(Status::kInvalidShard,
              "shard " + file_name + " has " + std::to_string(file.size()) +
                  " bytes, the manifest says " + std::to_string(info.bytes),
              file_name);
}

}  // namespace

Result<std::vector<TensorView>> open_shard(std::span<const uint8_t> file, const ShardInfo& info) {
  OCELLI_TRY_VOID(check_size(file, info));
  return open_shard(file, info, sha256_hex(file));
}

Result<std::vector<TensorView>> open_shard(std::span<const uint8_t> file, const ShardInfo& info,
                                           const std::string& sha256) {
  OCELLI_TRY_VOID(check_size(file, info));
  const std::string file_name = info.sha256 + ".safetensors";
  if (sha256 != info.sha256) {
    return fail(Status::kShardHashMismatch,
                "shard " + file_name + " has the sha256 " + sha256 + ": damaged", file_name);
  }
  auto views = read_shard(file);
  if (!views) views.error().param = file_name;
  return views;
}

}  // namespace ocelli
