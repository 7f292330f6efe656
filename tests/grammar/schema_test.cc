// JSON schemas: what each keyword lets through, what is refused by name, documents by chance.
#include <nlohmann/json.hpp>

#include "grammar/vocabulary_fixture.h"

namespace ocelli {
namespace {

using Kind = GrammarSource::Kind;

struct Case {
  const char* schema;
  std::vector<std::string> yes, no;
};

class Schemas : public testing::TestWithParam<Case> {};

TEST_P(Schemas, LetThroughWhatTheyAllow) {
  const SmallVocabulary small;
  const auto grammar = compile_as(Kind::kJsonSchema, GetParam().schema, small.vocabulary);
  ASSERT_TRUE(grammar) << GetParam().schema << ": " << grammar.error().message;
  for (const std::string& text : GetParam().yes)
    EXPECT_TRUE(matches(*grammar, text)) << GetParam().schema << " should allow " << text;
  for (const std::string& text : GetParam().no)
    EXPECT_FALSE(matches(*grammar, text)) << GetParam().schema << " should not allow " << text;
}

const Case kCases[] = {
    {R"({})",
     {"{}", "[]", "[1, -2.5e3,\"a\"]", "{\"a\":{\"b\": null}}", "true", "\"\\u00e9\\n\""},
     {"", "[1,]", "{a:1}", "01", "\"\n\"", "{ }", "[1,  2]", "\"\\ud800\"", "1e999"}},
    {R"({"type":"object"})", {"{}", "{\"a\": [1]}"}, {"[]", "1", "{\"a\":1,}", "{\"a\" :1}"}},
    {R"({"type":["string","null"]})", {"\"\"", "null"}, {"1", "[]"}},
    {R"({"type":"string","minLength":2,"maxLength":3})",
     {"\"ab\"", "\"\xC3\xA9\\n\\u0041\""},
     {"\"a\"", "\"abcd\"", "\"\xC3\""}},
    {R"({"type":"string","pattern":"^[a-z]+\"\\d$"})", {"\"abc\\\"1\""}, {"\"abc\"", "\"A\\\"1\""}},
    {R"({"type":"string","pattern":"b"})", {"\"abc\"", "\"b\""}, {"\"ac\"", "\"\""}},
    {R"({"type":"string","format":"date"})",
     {"\"2026-11-30\""},
     {"\"2026-11-31\"", "\"2026-02-30\""}},
    {R"({"type":"string","format":"uuid"})",
     {"\"123e4567-e89b-12d3-a456-426614174000\""},
     {"\"123e4567\""}},
    {R"({"type":"integer"})",
     {"0", "-1", "123456789012345"},
     {"1.5", "-0", "01", "1234567890123456"}},
    {R"({"type":"integer","minimum":-3,"maximum":12})",
     {"-3", "-1", "0", "9", "10", "12"},
     {"-4", "13", "-0", "100", "1.0"}},
    {R"({"type":"integer","exclusiveMinimum":99,"exclusiveMaximum":1001})",
     {"100", "999", "1000"},
     {"99", "1001", "50"}},
    {R"({"type":"integer","minimum":2.5})", {"3", "999999999999999"}, {"2", "-3"}},
    {R"({"type":"number","minimum":0,"maximum":1})",
     {"0", "1", "0.25"},
     {"1.1", "-0.1", "2", "1e5"}},
    {R"({"type":"number","exclusiveMinimum":0})", {"1", "1.5", "7.0"}, {"0", "0.0", "-1"}},
    {R"({"type":"number","minimum":-1.5,"maximum":0.25})",
     {"-1.50", "-1", "0", "0.25", "-0.01"},
     {"-1.51", "0.26", "1", "-0.00"}},
    {R"({"type":"integer","multipleOf":7})", {"0", "7", "-14", "700"}, {"1", "8", "-1"}},
    {R"({"type":"integer","multipleOf":5,"minimum":3,"maximum":16})",
     {"5", "15"},
     {"0", "20", "7"}},
    {R"({"enum":["a",1,null,{"k":[true]}]})",
     {"\"a\"", "1", "null", "{\"k\":[true]}"},
     {"\"b\"", "2"}},
    {R"({"const":"x\n"})", {"\"x\\n\""}, {"\"x\""}},
    {R"({"type":"string","enum":["a",1]})", {"\"a\""}, {"1"}},
    {R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"boolean"}},"required":["b"]})",
     {"{\"a\":1,\"b\":true}", "{\"b\": false}", "{\"a\": 1, \"b\": true}"},
     {"{}", "{\"a\":1}", "{\"b\":true,\"a\":1}", "{\"b\":true,\"c\":1}",
      "{\"a\":\"x\",\"b\":true}"}},
    {R"({"properties":{"a":{"type":"integer"}},"additionalProperties":{"type":"string"}})",
     {"{}", "{\"a\":1}", "{\"a\":1,\"ab\":\"x\"}", "{\"b\":\"\",\"\":\"\"}"},
     {"{\"a\":\"x\"}", "{\"b\":1}", "{\"a\":1,\"a\":\"x\"}", "{\"\\u0061\":\"x\"}"}},
    {R"({"type":"object","minProperties":2,"maxProperties":3,"properties":{"a":true,"b":true,"c":true,"d":true}})",
     {"{\"a\":1,\"b\":2}", "{\"b\":1,\"c\":2,\"d\":3}"},
     {"{\"a\":1}", "{\"a\":1,\"b\":2,\"c\":3,\"d\":4}"}},
    {R"({"type":"object","maxProperties":1})", {"{}", "{\"a\":1}"}, {"{\"a\":1,\"b\":2}"}},
    {R"({"type":"object","required":["x"],"additionalProperties":{"type":"null"}})",
     {"{\"x\":null}", "{\"x\":null,\"y\":null}"},
     {"{}", "{\"y\":null}", "{\"x\":1}"}},
    {R"({"type":"array","items":{"type":"boolean"},"minItems":1,"maxItems":2})",
     {"[true]", "[true, false]"},
     {"[]", "[true,true,true]", "[1]"}},
    {R"({"prefixItems":[{"type":"integer"},{"type":"string"}],"items":false})",
     {"[]", "[1]", "[1,\"a\"]"},
     {"[\"a\"]", "[1,\"a\",2]"}},
    {R"({"type":"array","prefixItems":[{"type":"null"}],"items":{"type":"integer"},"minItems":3})",
     {"[null,1,2]", "[null,1,2,3]"},
     {"[null,1]", "[1,2,3]"}},
    {R"({"anyOf":[{"type":"integer"},{"type":"string","maxLength":1}]})",
     {"12", "\"a\""},
     {"\"ab\"", "null"}},
    {R"({"oneOf":[{"type":"object","properties":{"k":{"const":"a"},"v":{"type":"integer"}},"required":["k","v"]},
                  {"type":"object","properties":{"k":{"const":"b"}},"required":["k"]}]})",
     {"{\"k\":\"a\",\"v\":1}", "{\"k\":\"b\"}"},
     {"{\"k\":\"a\"}", "{\"k\":\"c\"}"}},
    {R"({"allOf":[{"type":"object","properties":{"a":{"type":"integer","minimum":1}}},
                  {"properties":{"a":{"maximum":5},"b":{"type":"null"}},"required":["a"]}]})",
     {"{\"a\":5,\"b\":null}", "{\"a\":1}"},
     {"{}", "{\"a\":0}", "{\"a\":6}"}},
    {R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"integer"}},
         "anyOf":[{"required":["a"]},{"required":["b"]}]})",
     {"{\"a\":1}", "{\"b\":1}", "{\"a\":1,\"b\":1}"},
     {"{}"}},
    {R"({"$ref":"#/$defs/node","$defs":{"node":{"type":"object","required":["next"],
         "properties":{"next":{"anyOf":[{"$ref":"#/$defs/node"},{"type":"null"}]}}}}})",
     {"{\"next\":null}", "{\"next\":{\"next\":{\"next\":null}}}"},
     {"{}", "{\"next\":1}"}},
    {R"({"type":"string","pattern":"^[a-z]+$","minLength":2,"maxLength":4})",
     {"\"ab\"", "\"abcd\""},
     {"\"a\"", "\"abcde\"", "\"aB\""}},
    // Searched, and counted in characters: escapes and letters of several bytes are one each.
    {R"({"type":"string","pattern":"é","maxLength":3})",
     {"\"é\"", "\"éé\"", "\"x\\né\"", "\"\\u001fé!\""},
     {"\"abc\"", "\"xé\\n\\n\"", "\"\\u001fééé\""}},
    {R"({"type":"string","pattern":"\\.pdf$","minLength":6})",
     {"\"ab.pdf\"", "\"abcdefgh.pdf\""},
     {"\"a.pdf\"", "\".pdf\"", "\"abc.pdf2\""}},
    {R"({"type":"string","format":"date","pattern":"^2024"})",
     {"\"2024-02-03\""},
     {"\"2023-02-03\"", "\"2024-13-03\""}},
    {R"({"type":"string","format":"email","maxLength":9})",
     {"\"a@bc.de\"", "\"ab@cd.efg\""},
     {"\"abc@cd.efg\""}},
    {R"re({"type":"string","pattern":"^(?=.*[0-9])(?=.*[A-Z])(?!.*(--|__)).{4,}$"})re",
     {"\"aB3-\"", "\"1A-_-\""},
     {"\"aB3\"", "\"abcd1\"", "\"ABCD\"", "\"A1--x\""}},
    {R"re({"type":"string","pattern":"^(?!root$|admin)[a-z]+$","maxLength":8})re",
     {"\"roots\"", "\"adm\""},
     {"\"root\"", "\"admin\"", "\"admins\"", "\"abcdefghi\""}},
    {R"({"type":"array","uniqueItems":true,"items":{"enum":["a","b",1]},"minItems":1})",
     {"[\"a\"]", "[1,\"b\",\"a\"]", "[\"b\",1]"},
     {"[]", "[1,1]", "[\"a\",\"b\",\"a\"]", "[\"a\",\"b\",1,1]", "[2]"}},
    {R"({"type":"array","uniqueItems":true,"maxItems":2,"items":{"$ref":"#/$defs/x"},
         "$defs":{"x":{"enum":[1,1.0,2,"3"],"type":"integer"}}})",
     {"[]", "[2,1]"},
     {"[1,1.0]", "[\"3\"]"}},
    {R"({"type":"array","uniqueItems":true,"items":{"type":"boolean"}})",
     {"[]", "[true,false]"},
     {"[true,true]", "[null]"}},
    {R"({"type":"array","uniqueItems":true,"maxItems":1,"items":{"type":"string"}})",
     {"[\"x\"]"},
     {"[\"x\",\"y\"]"}},
    {R"({"type":"object","propertyNames":{"enum":["x","y"]},"additionalProperties":{"type":"null"}})",
     {"{}", "{\"y\":null}", "{\"x\":null,\"y\":null}"},
     {"{\"z\":null}", "{\"x\":1}", "{\"x\":null,\"x\":null}"}},
    {R"({"type":"object","propertyNames":{"pattern":"^[a-z]{2,3}$","maxLength":2},
         "properties":{"ab":{"const":1},"abc":true,"A":true},"additionalProperties":{"const":2}})",
     {"{\"ab\":1}", "{\"ab\":1,\"cd\":2}", "{\"cd\":2}"},
     {"{\"abc\":1}", "{\"A\":1}", "{\"ab\":2}", "{\"c\":2}", "{\"cde\":2}"}},
    {R"({"type":"object","patternProperties":{"^n_":{"type":"integer"}},
         "properties":{"n_a":{"maximum":3},"b":{"type":"null"}},"required":["n_z"]})",
     {"{\"n_z\":1}", "{\"n_a\":2,\"b\":null,\"n_z\":12,\"n_q\":5}"},
     {"{}", "{\"n_z\":null}", "{\"n_a\":4,\"n_z\":1}", "{\"n_z\":1,\"c\":1}"}},
    {R"({"type":"object","patternProperties":{"^S":{"type":"string"}},"minProperties":1})",
     {"{\"S\":\"\"}", "{\"S1\":\"a\",\"S2\":\"\"}"},
     {"{}", "{\"S\":1}", "{\"T\":\"\"}"}},
    {R"({"type":"string","nullable":true})", {"null", "\"\""}, {"1"}},
    {R"({"type":"object","properties":{"a":false,"b":{"type":"null"}}})",
     {"{}", "{\"b\":null}"},
     {"{\"a\":1}"}},
};
INSTANTIATE_TEST_SUITE_P(All, Schemas, testing::ValuesIn(kCases));

TEST(SchemaRefusals, NameTheKeyword) {
  const SmallVocabulary small;
  const std::pair<const char*, const char*> cases[] = {
      {R"({"not":{"type":"string"}})", "not (at #)"},
      {R"({"properties":{"a":{"if":{},"then":{}}}})", "if (at #/properties/a), then"},
      {R"({"items":{"uniqueItems":true}})",
       "uniqueItems where items are no choice of at most 10 (at #/items)"},
      {R"({"uniqueItems":true,"items":{"enum":[1,2,3,4,5,6,7,8,9,10,11]}})", "uniqueItems"},
      {R"({"uniqueItems":true,"prefixItems":[{"const":1}],"items":{"enum":[1]}})", "uniqueItems"},
      {R"({"contains":{}})", "contains"},
      {R"({"patternProperties":{"a":{},"b":{}}})", "patternProperties of several patterns (at #)"},
      {R"({"patternProperties":{"a":{}},"additionalProperties":{"type":"null"}})",
       "patternProperties beside a schema of additionalProperties"},
      {R"({"allOf":[{"patternProperties":{"a":{}}},{"additionalProperties":false}]})",
       "patternProperties"},
      {R"({"dependentRequired":{}})", "dependentRequired"},
      {R"({"propertyNames":{"anyOf":[{"maxLength":3}]}})",
       "propertyNames with anyOf (at #/propertyNames)"},
      {R"({"propertyNames":{"not":{}}})", "not (at #/propertyNames)"},
      {R"({"$dynamicRef":"#a"})", "$dynamicRef"},
      {R"({"unevaluatedProperties":false})", "unevaluatedProperties"},
      {R"({"foo":1})", "foo"},
      {R"({"allOf":[{"not":{}}]})", "not"},
      {R"({"type":"string","format":"regex"})", "format"},
      {R"({"type":"string","pattern":"a","maxLength":100000})", "too many states"},
      {R"re({"type":"string","pattern":"^a(?=b)"})re", "lookahead that is not at the beginning"},
      {R"re({"type":"string","pattern":"(?<=a)b"})re", "lookbehind"},
      {R"({"type":"number","multipleOf":0.1})", "multipleOf"},
      {R"({"type":"thing"})", "thing"},
      {R"({"type":"string","minLength":-1})", "minLength"},
      {R"({"$ref":"http://example.com/x"})", "http://example.com/x"},
      {R"({"$ref":"#/$defs/none"})", "#/$defs/none"},
      {R"({"$ref":"#"})", "no text"},
      {R"({"allOf":[{"$ref":"#"},{"minLength":1}]})", "deep"},
      {R"({"oneOf":[{"type":"integer"},{"type":"number"}]})", "oneOf"},
      {R"({"enum":["aa","b"],"minLength":2})", "minLength"},
      {R"({"type":"string","enum":[]})", "no text"},
      {R"({"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]})", "no text"},
      {R"({"type":"integer","minimum":3,"maximum":2})", "no text"},
      {R"({"type":"object","minProperties":2})", "minProperties 2 at #: at most 1"},
      {R"({"properties":3})", "properties"},
      {R"({"allOf":[{"required":{"a":1},"properties":{"a":true}},{"required":["a"]}]})",
       "required"},
      {R"({"allOf":[{"enum":3},{"enum":[1]}]})", "enum"},
      {R"({"oneOf":[{"type":"object","required":3},{"type":"object","required":["a"]}]})", "oneOf"},
      {R"({"type":[1]})", "type"},
      {R"({"anyOf":{"type":"string"}})", "anyOf"},
      {R"({"items":[3]})", "items"},
      {R"({"$ref":3})", "$ref"},
      {R"(3)", "no schema"},
      {R"({"type")", "JSON"},
  };
  for (const auto& [schema, word] : cases) {
    const auto grammar = compile_as(Kind::kJsonSchema, schema, small.vocabulary);
    ASSERT_FALSE(grammar) << schema;
    EXPECT_NE(grammar.error().message.find(word), std::string::npos)
        << schema << ": " << grammar.error().message;
  }
}

// What would take long or much memory is refused before it does.
TEST(SchemaRefusals, HostileSizes) {
  const SmallVocabulary small;
  const auto refused = [&](const std::string& schema) {
    return !compile_as(Kind::kJsonSchema, schema, small.vocabulary);
  };
  std::string deep = "true";
  for (int i = 0; i < 5000; ++i) deep = "{\"items\":" + deep + "}";
  EXPECT_TRUE(refused(deep));
  std::string wide = "{\"type\":\"string\"}";
  for (int i = 0; i < 12; ++i) wide = "{\"anyOf\":[" + wide + "," + wide + "]}";
  EXPECT_TRUE(refused(wide) || wide.size() < kGrammarBytesMax);
  std::string all = "{\"$defs\":{\"a0\":{\"type\":\"string\"}";
  for (int i = 1; i < 40; ++i) {
    const std::string before = "{\"$ref\":\"#/$defs/a" + std::to_string(i - 1) + "\"}";
    all += ",\"a" + std::to_string(i) + "\":{\"allOf\":[" + before + "," + before + "]}";
  }
  EXPECT_TRUE(refused(all + "},\"$ref\":\"#/$defs/a39\"}"));
  EXPECT_FALSE(refused(R"({"type":"string","maxLength":1000000000})"));
  EXPECT_FALSE(refused(R"({"type":"array","maxItems":1000000000,"minItems":5})"));
}

TEST(SchemaWalks, DocumentsParse) {
  const SmallVocabulary small;
  std::mt19937 random(3);
  int made = 0;
  for (const Case& one : kCases) {
    const auto grammar = compile_as(Kind::kJsonSchema, one.schema, small.vocabulary);
    ASSERT_TRUE(grammar);
    for (int i = 0; i < 8; ++i) {
      const auto text = walk(*grammar, small.tokens, random, 40);
      if (!text) continue;
      ++made;
      const auto json = nlohmann::json::parse(*text, nullptr, false);
      EXPECT_FALSE(json.is_discarded()) << one.schema << ": " << *text;
    }
  }
  EXPECT_GT(made, 200);
}

}  // namespace
}  // namespace ocelli
