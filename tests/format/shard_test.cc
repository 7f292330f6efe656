// Shards: what the reader gives back, and that a damaged one never gets through.
#include "format/shard.h"

#include <gtest/gtest.h>

#include "format/sha256.h"

namespace ocelli {
namespace {

std::vector<uint8_t> make_shard(std::string header, const std::vector<uint8_t>& data,
                                size_t align = 64) {
  while ((8 + header.size()) % align != 0) header += ' ';
  std::vector<uint8_t> file(8);
  for (int i = 0; i < 8; ++i)
    file[static_cast<size_t>(i)] = static_cast<uint8_t>(header.size() >> (8 * i));
  file.insert(file.end(), header.begin(), header.end());
  file.insert(file.end(), data.begin(), data.end());
  return file;
}

const char* const kHeader = R"({"a":{"dtype":"F16","shape":[1,1,8],"data_offsets":[0,16]},)"
                            R"("b":{"dtype":"U8","shape":[8],"data_offsets":[16,24]}})";

std::vector<uint8_t> sample() {
  std::vector<uint8_t> data(24);
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<uint8_t>(i);
  return make_shard(kHeader, data);
}

ShardInfo info_of(const std::vector<uint8_t>& file) {
  return {sha256_hex(file), static_cast<uint32_t>(file.size()), {"vision"}};
}

TEST(Shard, GivesViewsIntoTheBytes) {
  const std::vector<uint8_t> file = sample();
  const auto views = open_shard(file, info_of(file));
  ASSERT_TRUE(views) << views.error().message;
  ASSERT_EQ(views->size(), 2u);
  EXPECT_EQ((*views)[0].name, "a");
  EXPECT_EQ((*views)[0].dtype, Dtype::kF16);
  EXPECT_EQ((*views)[0].shape, (std::vector<int64_t>{1, 1, 8}));
  EXPECT_EQ((*views)[0].data.size(), 16u);
  EXPECT_EQ((*views)[1].data.data(), file.data() + file.size() - 8);
  EXPECT_EQ((*views)[1].data[7], 23);
}

TEST(Shard, EveryFlippedBitIsCaught) {
  std::vector<uint8_t> file = sample();
  const ShardInfo info = info_of(file);
  for (size_t bit = 0; bit < file.size() * 8; bit += 5) {
    file[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
    const auto views = open_shard(file, info);
    ASSERT_FALSE(views);
    EXPECT_EQ(views.error().status, Status::kShardHashMismatch);
    EXPECT_EQ(views.error().param, info.sha256 + ".safetensors");
    file[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
  }
}

TEST(Shard, EveryTruncationIsCaught) {
  const std::vector<uint8_t> file = sample();
  const ShardInfo info = info_of(file);
  for (size_t length = 0; length < file.size(); ++length) {
    const auto views = open_shard(std::span(file).first(length), info);
    ASSERT_FALSE(views);
    EXPECT_EQ(views.error().status, Status::kInvalidShard);
    EXPECT_FALSE(read_shard(std::span(file).first(length))) << length;
  }
}

TEST(Shard, RefusesWhatTheFormatForbids) {
  const auto refused = [](const char* header, size_t bytes, size_t align, std::string_view part) {
    const auto views = read_shard(make_shard(header, std::vector<uint8_t>(bytes), align));
    ASSERT_FALSE(views);
    EXPECT_EQ(views.error().status, Status::kInvalidShard);
    EXPECT_NE(views.error().message.find(part), std::string::npos) << views.error().message;
  };
  refused(R"({"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]} })", 8, 32 + 8 * 2,
          "multiple of 64");
  refused(R"({"a":{"dtype":"U8","shape":[9],"data_offsets":[0,9]}})", 9, 64, "multiple of 8");
  refused(R"({"a":{"dtype":"I32","shape":[2],"data_offsets":[0,8]}})", 8, 64, "I32");
  refused(R"({"a":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}})", 8, 64, "F64");
}

}  // namespace
}  // namespace ocelli
