#include "convert/shard_writer.h"

#include <algorithm>

#include "base/check.h"
#include "format/sha256.h"

namespace ocelli {
namespace {

constexpr uint64_t kShardFileBytesMax = UINT32_MAX;

// Names are ours: no character in them needs escaping.
std::string header_json(const std::vector<TensorInfo>& tensors) {
  std::string json = "{";
  for (const TensorInfo& tensor : tensors) {
    if (json.size() > 1) json += ',';
    json += "\"" + tensor.name + "\":{\"dtype\":\"" + std::string(dtype_word(tensor.dtype)) +
            "\",\"shape\":[";
    for (size_t i = 0; i < tensor.shape.size(); ++i)
      json += (i == 0 ? "" : ",") + std::to_string(tensor.shape[i]);
    json += "],\"data_offsets\":[" + std::to_string(tensor.begin) + "," +
            std::to_string(tensor.end) + "]}";
  }
  json += "}";
  while ((8 + json.size()) % 64 != 0) json += ' ';
  return json;
}

}  // namespace

Result<void> ShardWriter::begin(const std::string& holds, uint64_t bytes) {
  if (!tensors_.empty() && data_.size() + bytes > data_bytes_max_) OCELLI_TRY_VOID(flush());
  const uint64_t bytes_wanted = std::max<uint64_t>(data_.size() + bytes, data_bytes_max_);
  if (bytes_wanted > kShardFileBytesMax / 2)
    return fail(Status::kOutOfMemory,
                "a shard would need " + std::to_string(bytes_wanted) + " bytes");
  if (data_.capacity() < bytes_wanted) data_.reserve(static_cast<size_t>(bytes_wanted));
  if (holds_.empty() || holds_.back() != holds) holds_.push_back(holds);
  return {};
}

std::span<uint8_t> ShardWriter::add(std::string name, Dtype dtype, std::vector<int64_t> shape) {
  uint64_t bytes = static_cast<uint64_t>(dtype_bytes(dtype));
  for (const int64_t dim : shape) bytes *= static_cast<uint64_t>(dim);
  const size_t at = data_.size();
  OCELLI_CHECK(bytes % 8 == 0 && at + bytes <= data_.capacity() && !holds_.empty());
  data_.resize(at + static_cast<size_t>(bytes));
  tensors_.push_back({std::move(name), dtype, std::move(shape), at, at + bytes});
  return std::span(data_).subspan(at);
}

Result<void> ShardWriter::flush() {
  const std::string json = header_json(tensors_);
  uint8_t length[8];
  for (int i = 0; i < 8; ++i) length[i] = static_cast<uint8_t>(uint64_t{json.size()} >> (8 * i));
  const std::span<const uint8_t> parts[3] = {
      length, {reinterpret_cast<const uint8_t*>(json.data()), json.size()}, data_};
  Sha256 hash;
  for (const std::span<const uint8_t> part : parts) hash.update(part);
  ShardInfo shard;
  shard.sha256 = hash.finish_hex();
  shard.bytes = static_cast<uint32_t>(8 + json.size() + data_.size());
  shard.holds = std::move(holds_);
  OCELLI_TRY_VOID(sink_->write(shard.sha256 + ".safetensors", parts));
  shards_.push_back(std::move(shard));
  data_.clear();
  tensors_.clear();
  holds_.clear();
  return {};
}

Result<std::vector<ShardInfo>> ShardWriter::finish() {
  if (!tensors_.empty()) OCELLI_TRY_VOID(flush());
  return std::move(shards_);
}

}  // namespace ocelli
