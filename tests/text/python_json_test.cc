#include "text/python_json.h"

#include <cmath>
#include <limits>

#include "gtest/gtest.h"

namespace ocelli {
namespace {

// json.dumps(json.loads(text), ensure_ascii=False)
std::string again(std::string_view text) {
  const auto value = parse_json(text);
  if (!value) return "error: " + value.error().message;
  std::string out;
  dump_python(*value, out);
  return out;
}

TEST(PythonJson, SpacesAndOrder) {
  EXPECT_EQ(again(R"({"b":1,"a":[1,2,{"c":null}],"d":{},"e":[],"f":true,"g":false})"),
            R"({"b": 1, "a": [1, 2, {"c": null}], "d": {}, "e": [], "f": true, "g": false})");
  EXPECT_EQ(again(R"({"a":1,"b":2,"a":3})"), R"({"a": 3, "b": 2})");
  EXPECT_EQ(again(" 5 "), "5");
}

TEST(PythonJson, Numbers) {
  EXPECT_EQ(again("[1.0, 1, -0, -0.0, 1e5, 1E+2, 0.1, 1e16, 123456789012345680.0, 1e15, 1e-4, "
                  "0.00001, 5e-324]"),
            "[1.0, 1, 0, -0.0, 100000.0, 100.0, 0.1, 1e+16, 1.2345678901234568e+17, "
            "1000000000000000.0, 0.0001, 1e-05, "
            "5e-324]");
  EXPECT_EQ(again("[18446744073709551615, -9223372036854775808, 18446744073709551616, "
                  "-99999999999999999999999]"),
            "[18446744073709551615, -9223372036854775808, 18446744073709551616, "
            "-99999999999999999999999]");
  EXPECT_EQ(python_float(9999999999999998.0), "9999999999999998.0");
  EXPECT_EQ(python_float(1.7976931348623157e308), "1.7976931348623157e+308");
  EXPECT_EQ(python_float(std::nan("")), "NaN");
  EXPECT_EQ(python_float(-std::numeric_limits<double>::infinity()), "-Infinity");
}

TEST(PythonJson, BigIntegersAreNoNumbersToOthers) {
  const auto value = parse_json("123456789012345678901234567890");
  ASSERT_TRUE(value);
  EXPECT_FALSE(value->is_number());
}

TEST(PythonJson, Strings) {
  EXPECT_EQ(again(R"("\u00e9 \ud83d\ude00 \/ \" \\ \n\r\t\b\f \u0000\u001f \u007f \u2028")"),
            "\"é 😀 / \\\" \\\\ \\n\\r\\t\\b\\f \\u0000\\u001f \x7f \u2028\"");
}

TEST(PythonJson, BadTextIsRefusedWithItsPlace) {
  for (const char* text : {"", "{", "[1,]", "{\"a\":1,}", "nul", "\"\\ud800\"", "\"\xff\"", "1 2",
                           "NaN", "01", "'a'"}) {
    const auto value = parse_json(text);
    ASSERT_FALSE(value) << text;
    EXPECT_EQ(value.error().status, Status::kInvalidJson) << text;
    EXPECT_NE(value.error().message.find("at byte"), std::string::npos) << value.error().message;
  }
  const auto overflow = parse_json("1e999");
  ASSERT_FALSE(overflow);
  EXPECT_NE(overflow.error().message.find("number out of range"), std::string::npos);
}

TEST(PythonJson, DepthIsLimited) {
  const std::string deepest = std::string(kJsonDepthMax, '[') + std::string(kJsonDepthMax, ']');
  EXPECT_EQ(again(deepest), deepest);
  const auto value = parse_json("[" + deepest + "]");
  ASSERT_FALSE(value);
  EXPECT_EQ(value.error().status, Status::kInvalidValue);
  EXPECT_EQ(value.error().message, "JSON is nested more than 128 deep");

  OrderedJson nested = OrderedJson::array();
  for (int i = 1; i < kJsonDepthMax; ++i) nested = OrderedJson::array({std::move(nested)});
  EXPECT_FALSE(json_too_deep(nested));
  EXPECT_TRUE(json_too_deep(OrderedJson::array({std::move(nested)})));
}

TEST(PythonJson, KeysAreLimited) {
  std::string text = "{\"k\":0";
  for (int i = 0; i < kJsonKeysMax; ++i) text += ",\"" + std::to_string(i) + "\":0";
  const auto value = parse_json(text + "}");
  ASSERT_FALSE(value);
  EXPECT_EQ(value.error().status, Status::kInvalidValue);
  EXPECT_EQ(value.error().message, "a JSON object has more than 4096 keys");
}

}  // namespace
}  // namespace ocelli
