#include "text/tokenizer.h"

#include <chrono>
#include <nlohmann/json.hpp>
#include <random>

#include "text/vocabularies.h"

namespace ocelli {
namespace {

using Ids = std::vector<int32_t>;

std::string from_hex(const std::string& hex) {
  std::string out;
  for (size_t i = 0; i + 1 < hex.size(); i += 2)
    out += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return out;
}

std::string bytes_of(const Tokenizer& tokenizer, const Ids& ids) {
  std::string out;
  for (const int32_t id : ids) out += tokenizer.token_bytes(id);
  return out;
}

// tests/golden/README.md says how the vectors were made; OCELLI_TOKENIZER_GOLDEN names others.
TEST_F(RealVocabulary, GivesTheIdsOfTheReference) {
  const char* other = std::getenv("OCELLI_TOKENIZER_GOLDEN");
  const auto golden = nlohmann::json::parse(
      read_file(other != nullptr ? other : OCELLI_ROOT "/tests/golden/tokenizer_qwen2_5.json"),
      nullptr, false);
  ASSERT_TRUE(golden.is_object());
  ASSERT_GE(golden["vectors"].size(), 400u);
  for (const auto& vector : golden["vectors"]) {
    const bool is_text = vector.contains("text");
    const std::string text =
        is_text ? vector["text"].get<std::string>() : from_hex(vector["hex"].get<std::string>());
    const Ids plain = vector["ids"].get<Ids>();
    EXPECT_EQ(ids(text), plain) << vector.dump();
    EXPECT_EQ(ids(text, true), vector.contains("added") ? vector["added"].get<Ids>() : plain)
        << vector.dump();
  }
}

// The specification's own vectors, from an implementation of its own.
TEST_F(RealVocabulary, GivesTheIdsOfTheSpecification) {
  const std::vector<std::pair<std::string, Ids>> vectors = {
      {"Hello, world! 123", {9707, 11, 1879, 0, 220, 16, 17, 18}},
      {"\n", {198}},
      {"\n\n", {271}},
      {"\r\n\r\n", {871}},
      {"  \n", {2303}},
      {"   x", {256, 856}},
      {"hello   world  ", {14990, 256, 1879, 256}},
      {"a\tb", {64, 2233}},
      {"你好,世界。", {108386, 11, 99489, 1773}},
      {"été", {38783}},
      {"e\u0301te\u0301", {38783}},
      {"\U0001F600", {141334}},
      {"don't DON'T I'LL", {15007, 944, 44273, 17323, 358, 6, 4086}},
      {"3.14159", {18, 13, 16, 19, 16, 20, 24}},
      {"x=[1,2];\n", {87, 5818, 16, 11, 17, 935}},
      {"it’s", {275, 748}},
      {"\u00a0x", {4102, 87}},
      {"'ſ", {6, 144815}},
      {"ｆｕｌｌ", {144862, 144552, 144433, 144433}},
      {"١٢٣", {149, 94, 149, 95, 149, 96}},
      {"नमस्ते", {60096, 87244, 78368, 30484, 97, 34370}},
      {"\U0001F1EB\U0001F1F7", {145919, 145070}},
      {"Ω≈ç√", {144572, 144540, 3131, 144336}},
      {R"({"bbox_2d": [12, 34, 560, 781], "label": "cat"})",
       {4913, 58456, 62, 17, 67,  788, 508, 16, 17,   11,  220,  18,  19,  11,   220,
        20,   21,    15, 11, 220, 22,  23,  16, 1125, 330, 1502, 788, 330, 4616, 9207}},
      {"```json\n", {73594, 2236, 198}},
  };
  for (const auto& [text, want] : vectors) EXPECT_EQ(ids(text), want) << text;
  EXPECT_EQ(ids("<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"location\": "
                "\"London\"}}\n</tool_call><|im_end|>",
                true)
                .size(),
            20u);
}

TEST_F(RealVocabulary, KnowsItsTokens) {
  EXPECT_EQ(tokenizer().size(), 151665);
  EXPECT_EQ(tokenizer().find_added("<|im_end|>"), 151645);
  EXPECT_EQ(tokenizer().find_added("<tool_response>"), std::nullopt);
  EXPECT_TRUE(tokenizer().is_special(151645));
  EXPECT_FALSE(tokenizer().is_special(151657));
  EXPECT_TRUE(tokenizer().is_added(151657));
  EXPECT_FALSE(tokenizer().is_added(151642));
  EXPECT_EQ(tokenizer().token_bytes(151657), "<tool_call>");
  EXPECT_EQ(tokenizer().token_bytes(9707), "Hello");
  EXPECT_EQ(tokenizer().token_bytes(188), std::string_view("\0", 1));
  EXPECT_EQ(tokenizer().token_bytes(151665), "");
  EXPECT_EQ(tokenizer().token_bytes(-1), "");
}

// A hundred thousand characters of one class are one piece: BPE must not be quadratic in it.
TEST_F(RealVocabulary, IsQuickOnLongRuns) {
  std::string letters;
  for (size_t i = 0; i < 100000; ++i) letters += static_cast<char>('a' + (i * i * 7 + i / 3) % 26);
  const auto start = std::chrono::steady_clock::now();
  for (const std::string& text :
       {std::string(100000, 'a'), std::string(100000, ' '), std::string(100000, '!'), letters})
    EXPECT_EQ(bytes_of(tokenizer(), ids(text)), text);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

TEST(Tokenizer, MergesByRankThenFromTheLeft) {
  TinyVocabulary tiny;
  const int32_t bc = tiny.merge('b', 'c');
  const int32_t ab = tiny.merge('a', 'b');
  const int32_t aa = tiny.merge('a', 'a');
  const int32_t abc = tiny.merge('a', bc);
  const Tokenizer tokenizer = tiny.open();
  Ids out;
  tokenizer.encode("abc abd aaa", false, out);
  EXPECT_EQ(out, (Ids{abc, ' ', ab, 'd', ' ', aa, 'a'}));
}

// Against merging one pair at a time, the definition.
TEST(Tokenizer, EqualsTheSlowDefinition) {
  std::mt19937 random(7);
  TinyVocabulary tiny;
  for (int i = 0; i < 120; ++i) {
    const auto pick = [&] {
      return random() % 3 != 0 || tiny.tables.tokens == 256
                 ? 'a' + static_cast<int32_t>(random() % 4)
                 : 256 + static_cast<int32_t>(random() % (tiny.tables.tokens - 256u));
    };
    tiny.merge(pick(), pick());
  }
  const Tokenizer tokenizer = tiny.open();
  for (int round = 0; round < 300; ++round) {
    std::string text;
    for (uint32_t i = random() % 60; i-- > 0;) text += static_cast<char>('a' + random() % 4);
    Ids want(text.begin(), text.end());
    while (true) {
      size_t best = want.size(), best_rank = tiny.tables.merges.size();
      for (size_t i = 0; i + 1 < want.size(); ++i) {
        for (size_t row = tiny.tables.merges.size() / 4;
             row-- > 0;) {  // of equal pairs the last row counts
          const uint32_t* merge = &tiny.tables.merges[row * 4];
          if (merge[0] != static_cast<uint32_t>(want[i]) ||
              merge[1] != static_cast<uint32_t>(want[i + 1]))
            continue;
          if (row < best_rank) best = i, best_rank = row;
          break;
        }
      }
      if (best == want.size()) break;
      want[best] = static_cast<int32_t>(tiny.tables.merges[best_rank * 4 + 2]);
      want.erase(want.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    }
    Ids have;
    tokenizer.encode(text, false, have);
    ASSERT_EQ(have, want) << text;
  }
}

TEST(Tokenizer, MatchesTheLongestAddedToken) {
  TinyVocabulary tiny;
  const int32_t shorter = tiny.add_added("<a>");
  const int32_t longer = tiny.add_added("<a><b>", false);
  const Tokenizer tokenizer = tiny.open();
  Ids out;
  tokenizer.encode("<a><b><a>x<a", true, out);
  EXPECT_EQ(out, (Ids{longer, shorter, 'x', '<', 'a'}));
  out.clear();
  tokenizer.encode("<a>", false, out);
  EXPECT_EQ(out, (Ids{'<', 'a', '>'}));
  EXPECT_TRUE(tokenizer.is_special(shorter));
  EXPECT_FALSE(tokenizer.is_special(longer));
}

TEST(Tokenizer, ReplacesInvalidTextBeforeMatching) {
  TinyVocabulary tiny;
  const int32_t end = tiny.add_added("<end>");
  const Tokenizer tokenizer = tiny.open();
  Ids out;
  tokenizer.encode("\xc3<end>\xff", true, out);
  EXPECT_EQ(out, (Ids{0xef, 0xbf, 0xbd, end, 0xef, 0xbf, 0xbd}));
}

struct Damage {
  const char* name;
  void (*apply)(TokenizerTables&);
  const char* message;  // part of it
};

class HostileTokenizer : public testing::TestWithParam<Damage> {};

TEST_P(HostileTokenizer, IsRefused) {
  TinyVocabulary tiny;
  tiny.merge('a', 'b');
  tiny.add_added("<end>");
  ASSERT_TRUE(Tokenizer::open(tiny.tables.view()));
  GetParam().apply(tiny.tables);
  const auto opened = Tokenizer::open(tiny.tables.view());
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().status, Status::kInvalidTokenizer);
  EXPECT_NE(opened.error().message.find(GetParam().message), std::string::npos)
      << opened.error().message;
}

INSTANTIATE_TEST_SUITE_P(
    , HostileTokenizer,
    testing::Values(
        Damage{"TokensNegative", [](TokenizerTables& t) { t.tokens = -1; },
               "tokens is -1, must be 256"},
        Damage{"TokensHuge", [](TokenizerTables& t) { t.tokens = 1 << 30; },
               "tokens is 1073741824"},
        Damage{"EndsShort", [](TokenizerTables& t) { t.ends.resize(200); },
               "ends has 200 entries, must have 258"},
        Damage{"EndsFallBack", [](TokenizerTables& t) { t.ends[20] = 3; },
               "end of token 20 is 3, must be 20"},
        Damage{"EndsBeyondBytes", [](TokenizerTables& t) { t.ends[257] = 4000; },
               "end of token 257 is 4000"},
        Damage{"ByteMissing", [](TokenizerTables& t) { t.bytes[7] = 8; },
               "no token for the single byte 7"},
        Damage{"MergeRowCut", [](TokenizerTables& t) { t.merges.pop_back(); },
               "merges has 3 numbers"},
        Damage{"MergeIdOutside", [](TokenizerTables& t) { t.merges[1] = 258; },
               "merge 0 names token 258"},
        Damage{"MergeOfOtherText", [](TokenizerTables& t) { t.merges[0] = 'c'; },
               "merge 0 makes token 256"},
        Damage{"AddedOutside", [](TokenizerTables& t) { t.added[0].id = 258; },
               "added token 258, must be 0 to 257"},
        Damage{"AddedNegative", [](TokenizerTables& t) { t.added[0].id = -5; }, "added token -5"},
        Damage{"AddedEmpty", [](TokenizerTables& t) { t.added[0].content = ""; },
               "added token 257 has no content"},
        Damage{"AddedOther", [](TokenizerTables& t) { t.added[0].content = "<End>"; },
               "differs from its bytes"},
        Damage{"AddedTwice", [](TokenizerTables& t) { t.added.push_back(t.added[0]); },
               "same content"},
        Damage{"AddedMany", [](TokenizerTables& t) { t.added.resize(5000, t.added[0]); },
               "5000 added tokens"}),
    [](const auto& info) { return info.param.name; });

TEST(Tokenizer, EmptyMergesAndPaddedEndsAreFine) {
  TinyVocabulary tiny;
  tiny.tables.ends.push_back(tiny.tables.ends.back());
  const Tokenizer tokenizer = tiny.open();
  Ids out;
  tokenizer.encode("ab", false, out);
  EXPECT_EQ(out, (Ids{'a', 'b'}));
}

}  // namespace
}  // namespace ocelli
