// The safetensors header reader against every damage a file can have.
#include "format/safetensors.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "base/half.h"

namespace ocelli {
namespace {

Result<std::vector<TensorInfo>> parse(std::string_view json, uint64_t data_bytes) {
  return parse_safetensors_header({reinterpret_cast<const uint8_t*>(json.data()), json.size()},
                                  data_bytes);
}

// The header is refused with this status and a message that contains `part`.
void expect_refused(std::string_view json, uint64_t data_bytes, std::string_view part,
                    Status status = Status::kInvalidSafetensors) {
  const auto parsed = parse(json, data_bytes);
  ASSERT_FALSE(parsed) << json;
  EXPECT_EQ(parsed.error().status, status) << json;
  EXPECT_NE(parsed.error().message.find(part), std::string::npos) << parsed.error().message;
}

TEST(Safetensors, ReadsTensorsInFileOrder) {
  const auto parsed = parse(
      R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F16","shape":[2,3],"data_offsets":[4,16]},)"
      R"("a":{"data_offsets":[0,4],"shape":[],"dtype":"F32"},"empty":{"dtype":"I64","shape":[0,9],"data_offsets":[16,16]}}   )",
      16);
  ASSERT_TRUE(parsed) << parsed.error().message;
  ASSERT_EQ(parsed->size(), 3u);
  EXPECT_EQ((*parsed)[0].name, "a");
  EXPECT_TRUE((*parsed)[0].shape.empty());
  EXPECT_EQ((*parsed)[1].name, "b");
  EXPECT_EQ((*parsed)[1].dtype, Dtype::kF16);
  EXPECT_EQ((*parsed)[1].shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ((*parsed)[1].begin, 4u);
  EXPECT_EQ((*parsed)[1].bytes(), 12u);
  EXPECT_EQ((*parsed)[2].name, "empty");
}

TEST(Safetensors, TakesOffsetsBeyondFourGib) {
  const auto parsed =
      parse(R"({"a":{"dtype":"U8","shape":[6000000000],"data_offsets":[0,6000000000]},)"
            R"("b":{"dtype":"U8","shape":[1],"data_offsets":[6000000000,6000000001]}})",
            6000000001);
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ((*parsed)[1].begin, 6000000000u);
}

TEST(Safetensors, KnowsEveryDtype) {
  const std::pair<const char*, int> kWords[] = {
      {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"U16", 2}, {"I16", 2}, {"F16", 2}, {"BF16", 2},
      {"U32", 4},  {"I32", 4}, {"F32", 4}, {"U64", 8}, {"I64", 8}, {"F64", 8}};
  for (const auto& [word, bytes] : kWords) {
    const std::string json = std::string(R"({"a":{"dtype":")") + word +
                             R"(","shape":[1],"data_offsets":[0,)" + std::to_string(bytes) + "]}}";
    const auto parsed = parse(json, static_cast<uint64_t>(bytes));
    ASSERT_TRUE(parsed) << parsed.error().message;
    EXPECT_EQ(dtype_word((*parsed)[0].dtype), word);
    EXPECT_EQ(dtype_bytes((*parsed)[0].dtype), bytes);
  }
}

// Made by the safetensors library:
//   save_file({"half": arange(6).reshape(2, 3).half() / 4, "brain": tensor([1.5, -2, 0,
//   3e30]).bfloat16(),
//     "ids": tensor([[7], [-1]]), "none": zeros(0, 4), "one": tensor(2.5)}, path, {"format": "pt",
//     "note": "é"})
TEST(Safetensors, ReadsAFileOfTheReferenceLibrary) {
  std::ifstream in(OCELLI_ROOT "/tests/format/fixtures/python.safetensors", std::ios::binary);
  const std::vector<char> chars{std::istreambuf_iterator<char>(in), {}};
  ASSERT_EQ(chars.size(), 392u);
  const std::span<const uint8_t> file(reinterpret_cast<const uint8_t*>(chars.data()), chars.size());
  const auto length = safetensors_header_bytes(file.first(8), file.size());
  ASSERT_TRUE(length);
  const auto data = file.subspan(8 + static_cast<size_t>(*length));
  const auto parsed =
      parse_safetensors_header(file.subspan(8, static_cast<size_t>(*length)), data.size());
  ASSERT_TRUE(parsed) << parsed.error().message;
  ASSERT_EQ(parsed->size(), 5u);
  const auto find = [&](std::string_view name) {
    return *std::find_if(parsed->begin(), parsed->end(),
                         [&](const TensorInfo& info) { return info.name == name; });
  };
  const auto bits = [&](const TensorInfo& info, size_t i) {
    const size_t at = static_cast<size_t>(info.begin) + 2 * i;
    return static_cast<uint16_t>(data[at] | data[at + 1] << 8);
  };
  EXPECT_EQ(find("half").shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(f16_to_f32(bits(find("half"), 5)), 1.25f);
  EXPECT_EQ(bf16_to_f32(bits(find("brain"), 1)), -2.0f);
  EXPECT_EQ(find("ids").dtype, Dtype::kI64);
  EXPECT_EQ(find("none").bytes(), 0u);
  EXPECT_TRUE(find("one").shape.empty());
}

TEST(Safetensors, RefusesDamage) {
  const char* kOne = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  ASSERT_TRUE(parse(kOne, 8));
  expect_refused(kOne, 7, "truncated");
  expect_refused(kOne, 0, "truncated");
  expect_refused(kOne, 9, "belong to no tensor");
  expect_refused("", 0, "not valid JSON");
  expect_refused("[]", 0, "a list");
  expect_refused("3", 0, "a number");
  expect_refused(R"({"a":1})", 0, "a number");
  expect_refused(R"({"a":{}})", 0, "lacks one of");
  expect_refused(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}})", 8, "two data_offsets");
  expect_refused(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,9]}})", 8, "more than two");
  expect_refused(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8,
                 "truncated or damaged");
  expect_refused(R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", 8,
                 "a negative number");
  expect_refused(R"({"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}})", 8, "a fraction");
  expect_refused(R"({"a":{"dtype":"F32","shape":[[2]],"data_offsets":[0,8]}})", 8, "a list");
  expect_refused(R"({"a":{"dtype":"F32","shape":"2","data_offsets":[0,8]}})", 8, "a string");
  expect_refused(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"extra":1}})", 8,
                 "unknown field");
  expect_refused(R"({"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8,
                 "two fields");
  expect_refused(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8, "does not fill");
  expect_refused(R"({"a":{"dtype":"F16","shape":[2],"data_offsets":[0,8]}})", 8, "does not fill");
  expect_refused(R"({"a":{"dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8]}})", 8, "F8_E4M3",
                 Status::kTensorDtype);
  expect_refused(R"({"__metadata__":{"x":{"y":"z"}}})", 0, "an object");
  expect_refused("{\"a\xff\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8,
                 "not valid JSON");
}

TEST(Safetensors, RefusesOverlapsHolesAndDuplicates) {
  const auto two = [](const char* first, const char* second) {
    return std::string(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":)") + first +
           R"(},"b":{"dtype":"U8","shape":[4],"data_offsets":)" + second + "}}";
  };
  ASSERT_TRUE(parse(two("[0,4]", "[4,8]"), 8));
  ASSERT_TRUE(parse(two("[4,8]", "[0,4]"), 8));
  expect_refused(two("[0,4]", "[3,7]"), 7, "overlap");
  expect_refused(two("[0,4]", "[0,4]"), 4, "overlap");
  expect_refused(two("[0,4]", "[5,9]"), 9, "belong to no tensor");
  expect_refused(two("[1,5]", "[5,9]"), 9, "belong to no tensor");
  expect_refused(
      R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
      2, "listed twice");
}

TEST(Safetensors, RefusesSizesThatOverflow) {
  expect_refused(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0,
                 "does not fill");
  expect_refused(R"({"a":{"dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,8]}})", 8,
                 "a dimension of");
  expect_refused(R"({"a":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]}})", 1,
                 "dimensions");
  expect_refused(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,99999999999999999999]}})", 1,
                 "a fraction");
}

TEST(Safetensors, HeaderLengthIsBounded) {
  const auto length = [](uint64_t header, uint64_t file) {
    uint8_t bytes[8];
    for (int i = 0; i < 8; ++i) bytes[i] = static_cast<uint8_t>(header >> (8 * i));
    return safetensors_header_bytes(bytes, file);
  };
  EXPECT_EQ(*length(100, 108), 100u);
  EXPECT_FALSE(length(101, 108));
  EXPECT_FALSE(length(kSafetensorsHeaderBytesMax + 1, uint64_t{1} << 40));
  EXPECT_FALSE(length(UINT64_MAX, 1000));
  EXPECT_FALSE(length(UINT64_MAX - 7, UINT64_MAX));
  const uint8_t few[3] = {1, 0, 0};
  const auto refused = safetensors_header_bytes(few, 3);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().status, Status::kInvalidSafetensors);
}

}  // namespace
}  // namespace ocelli
