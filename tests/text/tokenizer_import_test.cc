// The importer of models/convert, tested beside the tokenizer that opens its result.
#include "convert/tokenizer_import.h"

#include <nlohmann/json.hpp>

#include "text/vocabularies.h"

namespace ocelli {
namespace {

using Json = nlohmann::json;

std::string utf8_of(int code_point) {
  if (code_point < 0x80) return std::string(1, static_cast<char>(code_point));
  return {static_cast<char>(0xc0 | code_point >> 6), static_cast<char>(0x80 | (code_point & 0x3f))};
}

// The smallest file that is accepted: 256 bytes, two merges, two added tokens and a hole at id 258.
Json small_file() {
  Json vocab = Json::object();
  int id = 0, next = 0x100;
  std::vector<int> order;
  for (int byte = 0; byte < 256; ++byte) {
    if ((byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae)
      order.push_back(byte);
  }
  for (const int byte : order) vocab[utf8_of(byte)] = id++;
  while (id < 256) vocab[utf8_of(next++)] = id++;
  vocab["ab"] = 256;
  vocab["abc"] = 257;
  const char* pattern =
      R"re((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)re";
  return {{"normalizer", {{"type", "NFC"}}},
          {"pre_tokenizer",
           {{"type", "Sequence"},
            {"pretokenizers",
             {{{"type", "Split"},
               {"pattern", {{"Regex", pattern}}},
               {"behavior", "Isolated"},
               {"invert", false}},
              {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}}}},
          {"added_tokens",
           {{{"id", 260}, {"content", "<x>"}, {"special", false}},
            {{"id", 259}, {"content", "<|é|>"}, {"special", true}}}},
          {"model",
           {{"type", "BPE"}, {"vocab", vocab}, {"merges", {"a b", Json::array({"ab", "c"})}}}}};
}

void expect_small(const TokenizerTables& tables) {
  EXPECT_EQ(tables.tokens, 261);
  EXPECT_EQ(tables.merges, (std::vector<uint32_t>{64, 65, 256, 0, 256, 66, 257, 0}));
  ASSERT_EQ(tables.added.size(), 2u);
  EXPECT_EQ(tables.added[0].id, 259);
  EXPECT_EQ(tables.added[0].content, "<|é|>");
  EXPECT_TRUE(tables.added[0].special);
  EXPECT_FALSE(tables.added[1].special);
  const auto tokenizer = Tokenizer::open(tables.view());
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  EXPECT_EQ(tokenizer->token_bytes(188), std::string_view("\0", 1));
  EXPECT_EQ(tokenizer->token_bytes(220), " ");
  EXPECT_EQ(tokenizer->token_bytes(255), "\xad");
  EXPECT_EQ(tokenizer->token_bytes(258), "");
  std::vector<int32_t> ids;
  tokenizer->encode("abc<x>", true, ids);
  EXPECT_EQ(ids, (std::vector<int32_t>{257, 260}));
}

TEST(TokenizerImport, ReadsTokenizerJson) {
  const auto tables = import_tokenizer(small_file().dump());
  ASSERT_TRUE(tables) << tables.error().message;
  expect_small(*tables);
}

TEST(TokenizerImport, ReadsVocabularyAndMerges) {
  const Json file = small_file();
  const Json config = {{"added_tokens_decoder",
                        {{"259", {{"content", "<|é|>"}, {"special", true}}},
                         {"260", {{"content", "<x>"}, {"special", false}}}}}};
  const auto tables = import_vocab_merges(file["model"]["vocab"].dump(),
                                          "#version: 0.2\na b\r\nab c\n", config.dump());
  ASSERT_TRUE(tables) << tables.error().message;
  expect_small(*tables);
}

TEST(TokenizerImport, RefusesWhatItWouldGetWrong) {
  struct Case {
    const char* pointer;
    Json value;
    const char* message;
  };
  const std::vector<Case> cases = {
      {"/model/type", "Unigram", "model.type is \"Unigram\", must be BPE"},
      {"/model/ignore_merges", true, "model.ignore_merges must be false"},
      {"/model/byte_fallback", true, "model.byte_fallback must be false"},
      {"/model/dropout", 0.1, "model.dropout must be null"},
      {"/model/end_of_word_suffix", "</w>", "model.end_of_word_suffix must be empty"},
      {"/model/vocab", Json::array(), "the vocabulary is not an object"},
      {"/model/vocab/ab", -1, "the id of token \"ab\" is not an integer"},
      {"/model/vocab/ab", 5000000, "the id of token \"ab\" is not an integer"},
      {"/model/vocab/ab", 257, "share id 257"},
      {"/model/vocab/水", 258, "is not in the byte alphabet"},
      {"/model/merges/0", "a  b", "is not two parts with one space between"},
      {"/model/merges/0", "a d", "needs \"ad\", which is not in the vocabulary"},
      {"/model/merges/0", 5, "merge 0 is neither a line nor a pair"},
      {"/model/merges", "a b", "model.merges is not an array"},
      {"/normalizer/type", "NFKC", "normalizer must be NFC"},
      {"/normalizer", nullptr, "normalizer must be NFC"},
      {"/pre_tokenizer/type", "Whitespace",
       "pre_tokenizer must be a Sequence of Split and ByteLevel"},
      {"/pre_tokenizer/pretokenizers/0/pattern/Regex", "\\s+",
       "pre_tokenizer must split by the Qwen2 expression"},
      {"/pre_tokenizer/pretokenizers/0/invert", true,
       "pre_tokenizer must split by the Qwen2 expression"},
      {"/pre_tokenizer/pretokenizers/1/use_regex", true, "ByteLevel must have use_regex"},
      {"/added_tokens/0/lstrip", true, "added token 260 has lstrip, which is not supported"},
      {"/added_tokens/0/content", "", "added token 260 has no content"},
      {"/added_tokens/0/id", "x", "an added token has no id"},
      {"/added_tokens/0/id", 259, "added token 259 is listed twice"},
  };
  for (const Case& one : cases) {
    Json file = small_file();
    file[Json::json_pointer(one.pointer)] = one.value;
    const auto tables = import_tokenizer(file.dump());
    ASSERT_FALSE(tables) << one.pointer;
    EXPECT_EQ(tables.error().status, Status::kInvalidTokenizer);
    EXPECT_EQ(tables.error().param, "tokenizer.json");
    EXPECT_NE(tables.error().message.find(one.message), std::string::npos)
        << tables.error().message;
  }
  for (const char* text : {"", "[]", "{", "{\"model\": 5}"})
    EXPECT_FALSE(import_tokenizer(text)) << text;
  EXPECT_FALSE(import_vocab_merges("{}", "", "{}"));
  EXPECT_FALSE(import_vocab_merges("[", "", R"({"added_tokens_decoder": {}})"));
  EXPECT_FALSE(
      import_vocab_merges("{}", "", R"({"added_tokens_decoder": {"-1": {"content": "x"}}})"));
}

// Both ways of shipping the real vocabulary give the same tables.
TEST_F(RealVocabulary, IsTheSameFromVocabularyAndMerges) {
  const Json file = Json::parse(read_file(real_tokenizer_path()), nullptr, false);
  std::string merges = "#version: 0.2\n";
  for (const Json& merge : file["model"]["merges"]) merges += merge.get<std::string>() + "\n";
  Json added = Json::object();
  for (const Json& token : file["added_tokens"])
    added[std::to_string(token["id"].get<int>())] = token;
  const auto tables = import_vocab_merges(file["model"]["vocab"].dump(), merges,
                                          Json{{"added_tokens_decoder", added}}.dump());
  ASSERT_TRUE(tables) << tables.error().message;
  EXPECT_EQ(tables->bytes, tables_.bytes);
  EXPECT_EQ(tables->ends, tables_.ends);
  EXPECT_EQ(tables->merges, tables_.merges);
  EXPECT_EQ(tables->tokens, 151665);
  EXPECT_EQ(tables->merges.size() / 4, 151387u);
  EXPECT_EQ(tables->added.size(), 22u);
}

}  // namespace
}  // namespace ocelli
