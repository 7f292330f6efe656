// The rules of a request body that concern tools, templates, constraints and images.
#include <gtest/gtest.h>

#include "engine/request.h"

namespace ocelli {
namespace {

using nlohmann::ordered_json;

ModelConfig model() {
  ModelConfig config;
  config.text.vocab = 1000;
  return config;
}

Result<RequestSpec> parse(const ordered_json& fields) {
  ordered_json body = {{"messages", {{{"role", "user"}, {"content", "hi"}}}}};
  for (const auto& [name, value] : fields.items()) body[name] = value;
  return parse_request(body.dump(), model(), 0);
}

void expect_refused(const ordered_json& fields, Status status, const std::string& param,
                    const std::string& part_of_message) {
  const auto spec = parse(fields);
  ASSERT_FALSE(spec) << fields.dump();
  EXPECT_EQ(spec.error().status, status) << spec.error().message;
  EXPECT_EQ(spec.error().param, param) << spec.error().message;
  EXPECT_NE(spec.error().message.find(part_of_message), std::string::npos) << spec.error().message;
}

const ordered_json kTools = {
    {{"type", "function"}, {"function", {{"name", "look"}, {"strict", true}}}}};

TEST(RequestChat, ToolChoiceFormsAreTold) {
  for (const ordered_json& choice : ordered_json({nullptr, "auto"})) {
    const auto spec = parse({{"tools", kTools}, {"tool_choice", choice}});
    ASSERT_TRUE(spec) << spec.error().message;
    EXPECT_EQ(spec->tool_choice, ToolChoice::kAuto);
    EXPECT_EQ(spec->tools, kTools);
    EXPECT_EQ(spec->tool_names, std::vector<std::string>{"look"});
  }
  const auto none = parse({{"tools", kTools}, {"tool_choice", "none"}});
  ASSERT_TRUE(none);
  EXPECT_EQ(none->tool_choice, ToolChoice::kNone);
  EXPECT_TRUE(none->tools.is_null());
  const ordered_json named = {{"type", "function"}, {"function", {{"name", "look"}}}};
  const auto required = parse({{"tools", kTools}, {"tool_choice", "required"}});
  ASSERT_TRUE(required);
  EXPECT_EQ(required->tool_choice, ToolChoice::kRequired);
  const auto one = parse({{"tools", kTools}, {"tool_choice", named}});
  ASSERT_TRUE(one);
  EXPECT_EQ(one->tool_choice, ToolChoice::kNamed);
  EXPECT_EQ(one->named_tool, "look");
  for (const ordered_json& choice : ordered_json::array({"maybe", 3, true, {"auto"}})) {
    expect_refused({{"tools", kTools}, {"tool_choice", choice}}, Status::kInvalidValue,
                   "tool_choice", "Only named tools, \"none\", \"auto\" or \"required\"");
  }
  for (const ordered_json& choice : ordered_json::array({ordered_json::object(),
                                                         {{"type", "function"}},
                                                         {{"function", "look"}},
                                                         {{"function", ordered_json::object()}},
                                                         {{"function", {{"name", 3}}}}})) {
    expect_refused({{"tools", kTools}, {"tool_choice", choice}}, Status::kInvalidValue,
                   "tool_choice", "Expected field `function` in `tool_choice`");
  }
  expect_refused({{"tools", kTools}, {"tool_choice", {{"function", {{"name", "see"}}}}}},
                 Status::kInvalidValue, "tool_choice",
                 "does not match any of the specified `tools`: there is no \"see\"");
  // Clients send a choice without tools: it means nothing then.
  for (const ordered_json& choice : ordered_json::array({"auto", "required", nullptr, named})) {
    EXPECT_TRUE(parse({{"tool_choice", choice}}));
    EXPECT_TRUE(parse({{"tools", ordered_json::array()}, {"tool_choice", choice}}));
  }
}

TEST(RequestChat, ParallelCallsAreOnUnlessRefused) {
  EXPECT_TRUE(parse({{"tools", kTools}})->parallel_tool_calls);
  EXPECT_TRUE(parse({{"tools", kTools}, {"parallel_tool_calls", true}})->parallel_tool_calls);
  EXPECT_FALSE(parse({{"tools", kTools}, {"parallel_tool_calls", false}})->parallel_tool_calls);
}

TEST(RequestChat, EveryToolHasAName) {
  expect_refused({{"tools", "look"}}, Status::kInvalidValue, "tools", "must be an array");
  const ordered_json wrong = {3,
                              nullptr,
                              ordered_json::object(),
                              {{"function", 3}},
                              {{"function", ordered_json::object()}},
                              {{"function", {{"name", ""}}}},
                              {{"function", {{"name", 3}}}}};
  for (const ordered_json& tool : wrong) {
    expect_refused({{"tools", ordered_json::array({kTools[0], tool})}}, Status::kInvalidValue,
                   "tools", tool.dump());
  }
}

TEST(RequestChat, TemplatesHaveNames) {
  EXPECT_EQ(parse({{"chat_template", "hermes"}})->chat.chat_template, ChatTemplate::kHermes);
  EXPECT_EQ(parse({{"chat_template", "qwen"}})->chat.chat_template, ChatTemplate::kQwen);
  EXPECT_EQ(parse({{"chat_template", nullptr}})->chat.chat_template, ChatTemplate::kQwen);
  for (const ordered_json& name : ordered_json::array({"{{ messages }}", "", 3, true, {1}})) {
    expect_refused({{"chat_template", name}}, Status::kInvalidValue, "chat_template",
                   "\"qwen\" or \"hermes\", got " + name.dump());
  }
  EXPECT_TRUE(
      parse({{"chat_template_kwargs", {{"add_vision_id", true}, {"x", 1}}}})->chat.add_vision_id);
  expect_refused({{"chat_template_kwargs", 3}}, Status::kInvalidValue, "chat_template_kwargs",
                 "an object");
  expect_refused({{"chat_template_kwargs", {{"add_vision_id", 1}}}}, Status::kInvalidValue,
                 "add_vision_id", "true or false");
}

TEST(RequestChat, ContinuingExcludesAGenerationPrompt) {
  EXPECT_TRUE(parse({{"model", "x"}})->chat.add_generation_prompt);
  const auto spec = parse({{"continue_final_message", true}});
  ASSERT_TRUE(spec);
  EXPECT_FALSE(spec->chat.add_generation_prompt);
  EXPECT_TRUE(parse({{"continue_final_message", true}, {"add_generation_prompt", false}}));
  expect_refused({{"continue_final_message", true}, {"add_generation_prompt", true}},
                 Status::kInvalidValue, "add_generation_prompt", "Cannot set both");
}

TEST(RequestChat, AToolsParametersAreASchemaAndItsChoiceIsAKnownWord) {
  for (const ordered_json& wrong : ordered_json::array({"x", 3, {1}})) {
    const ordered_json function = {{"name", "f"}, {"parameters", wrong}};
    expect_refused({{"tools", {{{"type", "function"}, {"function", function}}}}},
                   Status::kInvalidValue, "tools", "the tool \"f\" must be a JSON schema");
  }
  // Without tools the choice among them is tolerated, but not a word that is none.
  EXPECT_TRUE(parse({{"tool_choice", "required"}}));
  for (const ordered_json& wrong : ordered_json::array({"maybe", true, {1}}))
    expect_refused({{"tool_choice", wrong}}, Status::kInvalidValue, "tool_choice", wrong.dump());
}

TEST(RequestChat, ABoundOfPixelsThatIsNotNamedGivesWay) {
  const ordered_json plain = {{"type", "image"}, {"media", 3}};
  const auto bounds = [&](const ordered_json& all, const ordered_json& own) {
    ordered_json part = plain;
    part.update(own);
    const ordered_json messages = {{{"role", "user"}, {"content", ordered_json::array({part})}}};
    const auto spec = parse({{"messages", messages}, {"mm_processor_kwargs", all}});
    EXPECT_TRUE(spec) << spec.error().message;
    return std::pair(spec->images[0].min_pixels, spec->images[0].max_pixels);
  };
  const ordered_json none = ordered_json::object();
  EXPECT_EQ(bounds({{"max_pixels", 1000}}, none), std::pair(1, 1000));
  EXPECT_EQ(bounds({{"min_pixels", 13000000}}, none), std::pair(13000000, 13000000));
  EXPECT_EQ(bounds({{"min_pixels", 5000}}, {{"max_pixels", 4000}}), std::pair(1, 4000));
  EXPECT_EQ(bounds({{"max_pixels", 4000}}, {{"min_pixels", 5000}}), std::pair(5000, 5000));
  expect_refused({{"mm_processor_kwargs", {{"min_pixels", 9000}, {"max_pixels", 4000}}}},
                 Status::kInvalidValue, "min_pixels", "at most max_pixels=4000, got 9000");
}

TEST(RequestChat, PixelRangesComeFromTheModelTheRequestOrThePart) {
  const ordered_json plain = {{"type", "image"}, {"media", 3}};
  ordered_json own = plain;
  own["min_pixels"] = 100;
  own["max_pixels"] = 200;
  const ordered_json messages = {{{"role", "user"}, {"content", {plain, own}}}};
  auto spec = parse({{"messages", messages}});
  ASSERT_TRUE(spec) << spec.error().message;
  ASSERT_EQ(spec->images.size(), 2u);
  EXPECT_EQ(spec->images[0].media, 3u);
  EXPECT_EQ(spec->images[0].min_pixels, 3136);
  EXPECT_EQ(spec->images[0].max_pixels, 12845056);
  EXPECT_EQ(spec->images[1].min_pixels, 100);
  EXPECT_EQ(spec->images[1].max_pixels, 200);
  spec = parse({{"messages", messages},
                {"mm_processor_kwargs", {{"min_pixels", 5}, {"max_pixels", 500}, {"fps", 2}}}});
  ASSERT_TRUE(spec);
  EXPECT_EQ(spec->images[0].max_pixels, 500);
  EXPECT_EQ(spec->images[0].min_pixels, 5);
  EXPECT_EQ(spec->images[1].max_pixels, 200);
  expect_refused({{"mm_processor_kwargs", 3}}, Status::kInvalidValue, "mm_processor_kwargs",
                 "an object");
  for (const ordered_json& wrong : ordered_json::array({0, -1, 1.5, "1", INT64_MAX})) {
    expect_refused({{"mm_processor_kwargs", {{"max_pixels", wrong}}}}, Status::kInvalidValue,
                   "max_pixels", wrong.dump());
  }
}

ordered_json one_part(const ordered_json& part) {
  return {{{"role", "user"}, {"content", ordered_json::array({"a text", part})}}};
}

TEST(RequestChat, PartsWithoutAnImageAreNoImages) {
  const ordered_json parts = {
      {{"type", "image_url"}, {"image_url", nullptr}},
      {{"type", "image"}, {"image", nullptr}},
      {{"image", nullptr}, {"text", "x"}},
      {{"type", "text"}, {"text", "x"}, {"image_url", nullptr}, {"image", nullptr}},
      {{"type", "text"}, {"text", "x"}, {"image_url", "https://example.org/a.png"}}};
  for (const ordered_json& part : parts) {
    const auto spec = parse({{"messages", one_part(part)}});
    ASSERT_TRUE(spec) << part.dump() << spec.error().message;
    EXPECT_EQ(spec->images.size(), 0u) << part.dump();
  }
}

TEST(RequestChat, ImagePartsNeedAMediaHandle) {
  const ordered_json parts = {
      {{"type", "image"}},
      {{"type", "input_image"}},
      {{"type", "image_url"}, {"image_url", {{"url", "https://example.org/a.png"}}}},
      {{"image_url", "https://example.org/a.png"}},
      {{"image", "a.png"}},
      {{"type", "text"}, {"text", nullptr}, {"image", "a.png"}},
      {{"type", "image"}, {"media", nullptr}}};
  for (const ordered_json& part : parts) {
    expect_refused({{"messages", one_part(part)}}, Status::kMediaMissing, "messages[0].content[1]",
                   "messages[0].content[1] is an image without a media handle");
  }
  for (const ordered_json& media : ordered_json::array({0, -1, "3", 1.5, int64_t{1} << 32})) {
    const ordered_json part = {{"type", "image"}, {"media", media}};
    const ordered_json messages = {{{"role", "user"}, {"content", ordered_json::array({part})}}};
    expect_refused({{"messages", messages}}, Status::kInvalidValue, "media", media.dump());
  }
}

}  // namespace
}  // namespace ocelli
