// Images of a request: what is refused, by which call and with which code, and what the host is
// told about those that are taken.
#include <algorithm>

#include "base/status.h"
#include "engine/fixture.h"
#include "engine/limits.h"

namespace ocelli::test {
namespace {

void expect_put_fails(const EngineDriver& engine, const std::string& file, const char* code) {
  uint32_t media = 0;
  EXPECT_NE(put_image(engine, file, media), 0) << code;
  EXPECT_EQ(EngineDriver::last_error()["code"], code) << EngineDriver::last_error().dump();
}

Reply ask_about(EngineDriver& engine, const ordered_json& parts,
                const ordered_json& fields = nullptr) {
  ordered_json body = ask("", fields);
  body["messages"] = user(parts);
  return run(engine, body);
}

TEST(Images, OnlyImagesOfBearableSizeAreTaken) {
  EngineDriver engine(container(), {{"context", 512}});
  expect_put_fails(engine, "", "invalid_image");
  expect_put_fails(engine, "This is no image, however long one looks at it.", "invalid_image");
  expect_put_fails(engine, bmp(10000, 10000, false), "image_too_large");
  expect_put_fails(engine, bmp(100, 100).substr(0, 500), "invalid_image");
  expect_put_fails(engine, std::string("\x89PNG\r\n\x1a\n", 8), "invalid_image");
  expect_put_fails(engine, std::string(kMediaBytesMax + 1, 'x'), "image_too_large");
  uint32_t media = 0;
  EXPECT_EQ(put_image(engine, bmp(100, 100), media), 0) << EngineDriver::last_error().dump();
}

TEST(Images, RatioBeyondTwoHundredIsRefused) {
  EngineDriver engine(container(), {{"context", 512}});
  for (const auto& [width, height, fits] :
       {std::tuple{1, 200, true}, {1, 201, false}, {201, 1, false}}) {
    uint32_t media = 0;
    ASSERT_EQ(put_image(engine, bmp(width, height), media), 0);
    const Reply reply = ask_about(engine, parts(image_part(media)));
    if (fits) {
      EXPECT_TRUE(reply.error.is_null()) << reply.error.dump();
    } else {
      EXPECT_EQ(reply.error["code"], "image_aspect_ratio");
      EXPECT_EQ(reply.error["param"], "messages[0].content[0]");
    }
  }
}

TEST(Images, MediaHandlesAreCheckedWhenTheRequestOpens) {
  EngineDriver engine(container(), {{"context", 512}});
  uint32_t media = 0;
  ASSERT_EQ(put_image(engine, bmp(56, 56), media), 0);
  EXPECT_EQ(ask_about(engine, parts(image_part(media + 1))).error["code"], "media_missing");
  EXPECT_EQ(ask_about(engine, parts(ordered_json{{"type", "image"}})).error["code"],
            "media_missing");
  // Twice the same handle is two images.
  const Reply twice = ask_about(engine, parts(image_part(media), image_part(media)));
  ASSERT_TRUE(twice.error.is_null()) << twice.error.dump();
  EXPECT_EQ(twice.prompt["images"].size(), 2u);
  // Dropping while a request shows it is safe; afterwards the handle is stale.
  ordered_json body = ask("");
  body["messages"] = user(parts(image_part(media)));
  std::vector<Reply> replies{engine.open(body, "")};
  ASSERT_TRUE(replies[0].error.is_null()) << replies[0].error.dump();
  EXPECT_EQ(ocelli_media_drop(engine.handle(), media), 0);
  EXPECT_EQ(ocelli_media_drop(engine.handle(), media), static_cast<int32_t>(Status::kStaleHandle));
  engine.finish(replies);
  EXPECT_EQ(replies[0].usage["completion_tokens"], 8);
  EXPECT_EQ(ask_about(engine, parts(image_part(media))).error["code"], "media_missing");
}

TEST(Images, TokensOfAnImageAreBounded) {
  EngineDriver engine(container(), {{"context", 512}, {"image_tokens_max", 16}});
  uint32_t media = 0;
  ASSERT_EQ(put_image(engine, bmp(140, 140), media), 0);  // 5 x 5 tokens
  const Reply refused = ask_about(engine, parts(image_part(media)));
  EXPECT_EQ(refused.error["code"], "image_too_large");
  EXPECT_NE(refused.error["message"].get<std::string>().find("25 tokens, at most 16"),
            std::string::npos);
  ordered_json smaller = image_part(media);
  smaller["max_pixels"] = 112 * 112;
  const Reply reply = ask_about(engine, parts(smaller));
  ASSERT_TRUE(reply.error.is_null()) << reply.error.dump();
  const ordered_json expected = {{"width", 112},
                                 {"height", 112},
                                 {"source_width", 140},
                                 {"source_height", 140},
                                 {"grid", {1, 8, 8}}};
  EXPECT_EQ(reply.prompt["images"][0], expected);
  EXPECT_TRUE(ask_about(engine, parts(image_part(media)),
                        {{"mm_processor_kwargs", {{"max_pixels", 12544}}}})
                  .error.is_null());
  const Reply empty_range =
      ask_about(engine, parts(image_part(media)),
                {{"mm_processor_kwargs", {{"min_pixels", 9000}, {"max_pixels", 4000}}}});
  EXPECT_EQ(empty_range.error["code"], "invalid_value");
  EXPECT_EQ(empty_range.error["param"], "min_pixels");
}

TEST(Images, ImageTokensCountAgainstTheContext) {
  EngineDriver engine(container(), {{"context", 64}});
  uint32_t media = 0;
  ASSERT_EQ(put_image(engine, bmp(280, 280), media), 0);  // 100 tokens
  EXPECT_EQ(ask_about(engine, parts(image_part(media))).error["code"], "context_length_exceeded");
}

TEST(Images, ImagesBelongWhereTheTemplateShowsThem) {
  EngineDriver engine(container(), {{"context", 1024}});
  uint32_t media = 0;
  ASSERT_EQ(put_image(engine, bmp(56, 84), media), 0);
  ordered_json body = ask("hi", {{"max_tokens", 1}});
  body["messages"].push_back({{"role", "assistant"}, {"content", parts(image_part(media))}});
  body["messages"].push_back({{"role", "user"}, {"content", "and?"}});
  const ordered_json call = {{"function", {{"name", "f"}, {"arguments", "{}"}}}};
  for (const char* chat_template : {"qwen", "hermes"}) {
    body["chat_template"] = chat_template;
    body["messages"][1].erase("tool_calls");
    const Reply reply = run(engine, body);
    ASSERT_TRUE(reply.error.is_null()) << reply.error.dump();
    EXPECT_EQ(reply.prompt["images"].size(), 1u);
    const auto ids = reply.prompt["prompt_token_ids"].get<std::vector<int32_t>>();
    EXPECT_EQ(std::count(ids.begin(), ids.end(), token_of(engine, "<|image_pad|>")), 6);
    // Beside tool calls hermes shows no content, so an image there would be lost.
    body["messages"][1]["tool_calls"] = parts(call);
    const Reply beside = run(engine, body);
    if (std::string(chat_template) == "qwen") {
      ASSERT_TRUE(beside.error.is_null()) << beside.error.dump();
      continue;
    }
    EXPECT_EQ(beside.error["code"], "invalid_value");
    EXPECT_EQ(beside.error["param"], "messages[1].content[0]");
    EXPECT_NE(beside.error["message"].get<std::string>().find("beside tool calls"),
              std::string::npos);
  }
  const Reply video = ask_about(engine, parts(ordered_json{{"type", "video"}, {"video", "x"}}));
  EXPECT_EQ(video.error["code"], "unsupported_feature") << video.error.dump();
}

TEST(Images, APartWithTextAndAnImageIsRefused) {
  EngineDriver engine(container(), {{"context", 512}});
  for (const ordered_json& part :
       parts(ordered_json{{"type", "text"}, {"text", "x"}, {"image", "a.png"}},
             ordered_json{{"text", "x"}, {"video", "a.mp4"}})) {
    const Reply reply = ask_about(engine, parts("a text", part));
    EXPECT_EQ(reply.error["code"], "invalid_value");
    EXPECT_EQ(reply.error["param"], "messages[0].content[1]");
    EXPECT_NE(reply.error["message"].get<std::string>().find("each needs a part of its own"),
              std::string::npos);
  }
}

// Several windows, blocks of both kinds: what the stages add up to is what was announced.
TEST(Images, ProgressEndsAtTheTotal) {
  EngineDriver engine(container(), {{"context", 512}});
  uint32_t media = 0;
  ASSERT_EQ(put_image(engine, bmp(280, 252), media), 0);
  ordered_json body = ask("");
  body["messages"] = user(parts(image_part(media)));
  const Reply opened = engine.open(body, "");
  ASSERT_TRUE(opened.error.is_null()) << opened.error.dump();
  ordered_json last;
  for (uint32_t more = 1; more != 0;) {
    ASSERT_EQ(ocelli_step(engine.handle(), &more), 0);
    const char* json = nullptr;
    uint32_t bytes = 0;
    while (ocelli_next_event(engine.handle(), &json, &bytes) == 0 && bytes > 0) {
      ordered_json event = ordered_json::parse(json, json + bytes);
      if (event["type"] == "progress" && event["stage"] == "vision") last = std::move(event);
    }
  }
  ASSERT_FALSE(last.is_null());
  EXPECT_GT(last["total"], 0);
  EXPECT_EQ(last["done"], last["total"]);
}

TEST(Images, RowsAreGivenBackByTheStepAfterTheEnd) {
  EngineDriver engine(container(), {{"context", 512}, {"prefix_cache", false}});
  uint32_t media = 0;
  ASSERT_EQ(put_image(engine, bmp(140, 140), media), 0);
  ordered_json body = ask("", {{"max_tokens", 1}});
  body["messages"] = user(parts(image_part(media)));
  std::vector<Reply> replies{engine.open(body, "")};
  engine.finish(replies);
  EXPECT_EQ(stats(engine)["image_tokens"], 25);
  EXPECT_EQ(engine.dump_vision(replies[0], 0).size(), 25u * 128);
  uint32_t state = 0;
  EXPECT_EQ(ocelli_step(engine.handle(), &state), 0);
  EXPECT_EQ(stats(engine)["image_tokens"], 0);
  const uint8_t* data = nullptr;
  uint32_t bytes = 0, rows = 0, columns = 0;
  EXPECT_EQ(ocelli_dump(engine.handle(), replies[0].handle, "vision_0", 8, &data, &bytes, &rows,
                        &columns),
            static_cast<int32_t>(Status::kNotReady));
  EXPECT_EQ(EngineDriver::last_error()["message"],
            "the rows of image 0 were given back by the step after the request's end");
  engine.close(replies[0]);
}

TEST(Images, TogetherTheyHaveAsManyTokensAsTheContext) {
  const ordered_json fields = {{"logprobs", true}, {"ignore_eos", true}};
  EngineDriver engine(container(), {{"context", 80}});
  const auto open_one = [&](int side) {
    uint32_t media = 0;
    EXPECT_EQ(put_image(engine, bmp(side, side), media), 0);
    ordered_json body = ask("", fields);
    body["messages"] = user(parts(image_part(media)));
    return engine.open(body, "");
  };
  std::vector<Reply> alone, together;
  for (const int side : {140, 112, 168, 140, 84}) {  // 25, 16, 36, 25 and 9 tokens
    std::vector<Reply> one{open_one(side)};
    ASSERT_TRUE(one[0].error.is_null()) << one[0].error.dump();
    engine.finish(one);
    engine.close(one[0]);
    alone.push_back(one[0]);
  }
  for (const int side : {140, 112, 168, 140, 84}) together.push_back(open_one(side));
  int most = 0;
  for (bool more = true; more;) {
    engine.step_once(together, more);
    most = std::max(most, stats(engine)["image_tokens"].get<int>());
  }
  EXPECT_LE(most, 80);
  EXPECT_GT(most, 36);
  for (size_t i = 0; i < alone.size(); ++i) {
    ASSERT_EQ(together[i].choices.size(), 1u);
    EXPECT_EQ(together[i].choices.at(0).logprobs, alone[i].choices.at(0).logprobs) << i;
  }
}

TEST(Images, AnAnswerDependsOnThePicture) {
  EngineDriver engine(container(), {{"context", 512}});
  const std::string folder = std::string(OCELLI_ROOT) + "/tests/golden/models/";
  std::vector<Choice> choices;
  for (const char* name : {"field.png", "photo.jpg", "field.png"}) {
    uint32_t media = 0;
    ASSERT_EQ(put_image(engine, read_file(folder + name), media), 0);
    ordered_json part = image_part(media);
    part["max_pixels"] = 9408;
    const Reply reply = ask_about(engine, parts(part), {{"logprobs", true}});
    ASSERT_TRUE(reply.error.is_null()) << reply.error.dump();
    choices.push_back(reply.choices.at(0));
  }
  EXPECT_NE(choices[0].logprobs, choices[1].logprobs);
  EXPECT_EQ(choices[0].logprobs, choices[2].logprobs);
}

}  // namespace
}  // namespace ocelli::test
