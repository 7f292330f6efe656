#include "convert/memory_folders.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/half.h"

namespace ocelli::testing {

Result<std::vector<std::string>> MemorySource::list() {
  std::vector<std::string> names;
  for (const auto& [name, bytes] : files_) names.push_back(name);
  return names;
}

Result<uint64_t> MemorySource::size(const std::string& file) {
  const auto found = files_.find(file);
  if (found == files_.end()) return fail(Status::kIoError, "cannot find " + file, file);
  return found->second.size();
}

Result<void> MemorySource::read(const std::string& file, uint64_t offset, std::span<uint8_t> out) {
  const auto found = files_.find(file);
  if (found == files_.end()) return fail(Status::kIoError, "cannot open " + file, file);
  if (offset > found->second.size() || out.size() > found->second.size() - offset)
    return fail(Status::kIoError, file + " is shorter than expected", file);
  if (!out.empty()) std::memcpy(out.data(), found->second.data() + offset, out.size());
  return {};
}

Result<void> MemorySink::write(const std::string& file,
                               std::span<const std::span<const uint8_t>> parts) {
  EXPECT_FALSE(files.contains(file)) << file << " is written twice";
  std::vector<uint8_t>& out = files[file];
  for (const std::span<const uint8_t> part : parts) out.insert(out.end(), part.begin(), part.end());
  return {};
}

Result<void> MemorySink::commit() {
  EXPECT_FALSE(committed);
  committed = true;
  return {};
}

void RecordingListener::progress(uint64_t bytes_done, uint64_t bytes_total) {
  EXPECT_GE(bytes_done, done);
  EXPECT_LE(bytes_done, bytes_total);
  done = bytes_done;
  total = bytes_total;
}

bool RecordingListener::noted(std::string_view part) const {
  for (const std::string& line : notes)
    if (line.find(part) != std::string::npos) return true;
  return false;
}

Container::Container(const Files& files) : files_(files) {
  const auto found = files_.find("manifest.json");
  if (found == files_.end()) {
    ADD_FAILURE() << "no manifest.json";
    return;
  }
  auto parsed =
      parse_manifest({reinterpret_cast<const char*>(found->second.data()), found->second.size()});
  if (!parsed) {
    ADD_FAILURE() << parsed.error().message;
    return;
  }
  manifest_ = std::move(*parsed);
  EXPECT_EQ(files_.size(), manifest_.shards.size() + 1) << "files that the manifest does not name";
  for (size_t i = 0; i < manifest_.shards.size(); ++i) {
    const auto views =
        open_shard(files_[manifest_.shards[i].sha256 + ".safetensors"], manifest_.shards[i]);
    if (!views) {
      ADD_FAILURE() << views.error().message;
      return;
    }
    for (const TensorView& view : *views) {
      EXPECT_TRUE(tensors_.emplace(view.name, view).second) << view.name << " is there twice";
      shard_of_[view.name] = static_cast<int>(i);
      order_.push_back(view.name);
    }
  }
}

std::vector<float> Container::floats(const std::string& name) const {
  const TensorView& view = tensor(name);
  EXPECT_EQ(view.dtype, Dtype::kF32);
  EXPECT_EQ(view.shape.size(), 1u);
  std::vector<float> out(view.data.size() / 4);
  std::memcpy(out.data(), view.data.data(), view.data.size());
  return out;
}

// All rows of one part, padding rows included, as [row][k].
std::vector<float> Container::part(const std::string& name, int k) const {
  const auto bits_16 = [](const TensorView& view, size_t index) {
    uint16_t bits = 0;
    std::memcpy(&bits, view.data.data() + 2 * index, 2);
    return bits;
  };
  const auto size_k = static_cast<size_t>(k);
  std::vector<float> out;
  if (has(name + ".dense")) {
    const TensorView& dense = tensor(name + ".dense");
    const auto tiles = static_cast<size_t>(dense.shape.at(0));
    EXPECT_EQ(dense.shape, (std::vector<int64_t>{dense.shape.at(0), k, 8}));
    out.resize(tiles * 8 * size_k);
    for (size_t at = 0; at < out.size(); ++at) {
      const size_t t = at / (8 * size_k), i = at / 8 % size_k, r = at % 8;
      float value = 0.0f;
      if (dense.dtype == Dtype::kF32) std::memcpy(&value, dense.data.data() + 4 * at, 4);
      if (dense.dtype == Dtype::kF16) value = f16_to_f32(bits_16(dense, at));
      if (dense.dtype == Dtype::kBf16) value = bf16_to_f32(bits_16(dense, at));
      out[(t * 8 + r) * size_k + i] = value;
    }
    return out;
  }
  const bool is_u4 = has(name + ".u4");
  const size_t group = is_u4 ? 128 : 64;
  const size_t padded = (size_k + group - 1) / group * group;
  const size_t cell_inputs = is_u4 ? 8 : 4;
  const TensorView& codes = tensor(name + (is_u4 ? ".u4" : ".u8"));
  const TensorView& scales = tensor(name + ".scales");
  const auto tiles = static_cast<size_t>(codes.shape.at(0));
  EXPECT_EQ(codes.dtype, Dtype::kU8);
  EXPECT_EQ(scales.dtype, Dtype::kF16);
  EXPECT_EQ(codes.shape, (std::vector<int64_t>{codes.shape.at(0),
                                               static_cast<int64_t>(padded / cell_inputs), 32}));
  EXPECT_EQ(scales.shape,
            (std::vector<int64_t>{codes.shape.at(0), static_cast<int64_t>(padded / group), 8}));
  if (is_u4) {
    EXPECT_EQ(tensor(name + ".zeros").shape, scales.shape);
  }
  out.resize(tiles * 8 * size_k);
  for (size_t row = 0; row < tiles * 8; ++row)
    for (size_t i = 0; i < padded; ++i) {
      const size_t t = row / 8, r = row % 8;
      const size_t g = (t * (padded / group) + i / group) * 8 + r;
      const uint8_t byte =
          codes.data[(t * (padded / cell_inputs) + i / cell_inputs) * 32 + 4 * r + i % 4];
      int code = byte - 128;
      if (is_u4) {
        code = (i % 8 < 4 ? byte & 15 : byte >> 4) - tensor(name + ".zeros").data[g];
      } else {
        EXPECT_GE(byte, 1);
      }
      if (i < size_k) {
        out[row * size_k + i] = static_cast<float>(code) * f16_to_f32(bits_16(scales, g));
      } else {
        EXPECT_EQ(code, 0) << name << ": padding along k must stand for 0";
      }
    }
  return out;
}

std::vector<float> Container::matrix(const std::string& name, int n, int k) const {
  const auto is_there = [&](const std::string& piece) {
    return has(piece + ".dense") || has(piece + ".u8") || has(piece + ".u4");
  };
  std::vector<float> out;
  if (is_there(name)) out = part(name, k);
  for (int index = 0; is_there(name + "#" + std::to_string(index)); ++index) {
    EXPECT_FALSE(is_there(name));
    const std::vector<float> rows = part(name + "#" + std::to_string(index), k);
    out.insert(out.end(), rows.begin(), rows.end());
  }
  const auto used = static_cast<size_t>(n) * static_cast<size_t>(k);
  EXPECT_EQ(out.size(), static_cast<size_t>((n + 7) / 8 * 8) * static_cast<size_t>(k)) << name;
  for (size_t i = used; i < out.size(); ++i)
    EXPECT_EQ(out[i], 0.0f) << name << ": padding rows must be 0";
  out.resize(used);
  return out;
}

Container::U4 Container::u4(const std::string& name, int row, int i) const {
  const TensorView& codes = tensor(name + ".u4");
  const TensorView& scales = tensor(name + ".scales");
  const int t = row / 8, r = row % 8;
  const auto g = static_cast<size_t>((t * scales.shape.at(1) + i / 128) * 8 + r);
  const uint8_t byte =
      codes.data[static_cast<size_t>((t * codes.shape.at(1) + i / 8) * 32 + 4 * r + i % 4)];
  uint16_t scale = 0;
  std::memcpy(&scale, scales.data.data() + 2 * g, 2);
  return {i % 8 < 4 ? byte & 15 : byte >> 4, tensor(name + ".zeros").data[g], scale};
}

}  // namespace ocelli::testing
