// Guessed tokens change how many steps an answer takes and nothing else: whatever a request asks
// for, in whatever company, its events are those of an engine that guesses nothing.
#include <algorithm>
#include <functional>
#include <random>
#include <tuple>

#include "engine/fixture.h"

namespace ocelli::test {
namespace {

// What was told, request by request and choice by choice (-1: of all). How far a prompt has come is
// left out: a prompt that gave its blocks back is computed again, and when depends on the steps.
struct Told {
  std::map<std::pair<size_t, int>, std::vector<std::string>> events;
  int64_t guessed = 0, accepted = 0, steps = 0, preemptions = 0, tokens = 0;
};

void listen(const EngineDriver& engine, const std::vector<uint32_t>& handles, Told& told) {
  const char* json = nullptr;
  uint32_t bytes = 0;
  while (ocelli_next_event(engine.handle(), &json, &bytes) == 0 && bytes > 0) {
    ordered_json event = ordered_json::parse(json, json + bytes);
    if (event["type"] == "progress") continue;
    const auto which = std::find(handles.begin(), handles.end(), event["request"].get<uint32_t>());
    ASSERT_NE(which, handles.end());
    told.tokens += event.value("tokens", 0);
    const auto place = static_cast<size_t>(which - handles.begin());
    told.events[{place, event.value("index", -1)}].push_back(event.dump());
  }
}

using Prepare = std::function<void(EngineDriver&)>;

// Opens a request every `pace` steps (0: all at once) and steps to the end.
Told tell(ordered_json options, bool guess, const std::vector<ordered_json>& bodies, int pace,
          const Prepare& prepare = nullptr) {
  options["guess"] = guess;
  EngineDriver engine(container(), options);
  if (prepare) prepare(engine);
  Told told;
  std::vector<uint32_t> handles;
  uint32_t state = 1;
  for (int step = 0; state == 1 || handles.size() < bodies.size(); ++step) {
    while (handles.size() < bodies.size() && (pace == 0 || step % pace == 0)) {
      const std::string body = bodies[handles.size()].dump();
      uint32_t handle = 0;
      EXPECT_EQ(ocelli_request_open(engine.handle(), body.data(),
                                    static_cast<uint32_t>(body.size()), &handle),
                0)
          << EngineDriver::last_error().dump();
      handles.push_back(handle);
      if (pace > 0) break;
    }
    EXPECT_EQ(ocelli_step(engine.handle(), &state), 0);
    listen(engine, handles, told);
  }
  const ordered_json now = stats(engine);
  told.guessed = now["guessed_tokens"].get<int64_t>();
  told.accepted = now["accepted_tokens"].get<int64_t>();
  told.steps = now["steps"].get<int64_t>();
  told.preemptions = now["preemptions"].get<int64_t>();
  for (const uint32_t handle : handles) EXPECT_EQ(ocelli_request_close(engine.handle(), handle), 0);
  expect_all_blocks_free(engine);
  return told;
}

// What both engines told, when it was the same.
Told expect_equal(const ordered_json& options, const std::vector<ordered_json>& bodies, int pace,
                  const Prepare& prepare = nullptr) {
  const Told without = tell(options, false, bodies, pace, prepare);
  Told with = tell(options, true, bodies, pace, prepare);
  EXPECT_EQ(without.guessed, 0);
  EXPECT_EQ(with.events.size(), without.events.size());
  for (const auto& [of, events] : without.events) {
    const auto& others = with.events[of];
    EXPECT_EQ(others, events) << options.dump() << "\n" << bodies[of.first].dump();
  }
  return with;
}

// A few letters that alone can be drawn: what is drawn repeats itself, and then does not.
ordered_json only_letters(const std::string& letters) {
  EngineDriver engine(container(), {{"context", 64}});
  ordered_json bias = ordered_json::object();
  for (const char letter : letters)
    bias[std::to_string(token_of(engine, std::string(1, letter)))] = 100;
  return bias;
}

std::vector<int32_t> ids_of_text(const std::string& text) {
  EngineDriver engine(container(), {{"context", 64}});
  return tokens_of(engine, text);
}

const std::string kBoxes =
    "[{\"box\": [1, 20, 30, 4], \"label\": \"cat\"}, {\"box\": [5, 20, 36, 7], \"label\": "
    "\"cat\"}, "
    "{\"box\": [1, 29, 30, 8], \"label\": \"dog\"}, {\"box\": [5, 20, 31, 9], \"label\": \"cat\"}]";

ordered_json fields_by(std::mt19937& random) {
  static const ordered_json kAb = only_letters("ab"), kAbc = only_letters("abc");
  static const std::vector<int32_t> kForced = ids_of_text(kBoxes);
  const auto one_in = [&](unsigned n) { return random() % n == 0; };
  ordered_json fields = {{"max_tokens", 1 + random() % 60}, {"seed", random() % 1000}};
  fields["temperature"] = std::vector<double>{0, 0.7, 1, 1.5}[random() % 4];
  if (one_in(2)) fields["ignore_eos"] = true;
  if (one_in(3)) {
    fields["logprobs"] = true;
    fields["top_logprobs"] = random() % 4;
  }
  if (one_in(3)) fields["repetition_penalty"] = 1.1;
  if (one_in(3)) fields["frequency_penalty"] = 0.3;
  if (one_in(3)) fields["presence_penalty"] = -0.5;
  if (one_in(4)) fields["top_k"] = 5;
  if (one_in(4)) fields["top_p"] = 0.8;
  if (one_in(4)) fields["min_tokens"] = random() % (fields["max_tokens"].get<unsigned>() + 1);
  if (one_in(4)) fields["stream"] = true;
  if (one_in(5)) fields["n"] = 2 + random() % 2;
  if (one_in(6) && !fields.contains("stream")) fields["prompt_logprobs"] = 1;
  if (one_in(6)) fields["include_stop_str_in_output"] = true;
  switch (random() % 7) {
    case 0:
      fields["logit_bias"] = kAb;
      if (one_in(2)) fields["stop"] = {"aabba", "babb"};
      break;
    case 1:
      fields["logit_bias"] = kAbc;
      if (one_in(3)) fields["stop_token_ids"] = ids_of_text("b");
      break;
    case 2:
      fields["guided_regex"] = "((ab){1,3}c){2,20}";
      break;
    case 3:
      fields["response_format"] = {{"type", "json_schema"},
                                   {"json_schema",
                                    {{"name", "x"},
                                     {"schema",
                                      {{"type", "array"},
                                       {"minItems", 3},
                                       {"items",
                                        {{"type", "object"},
                                         {"properties", {{"label", {{"enum", {"cat", "dog"}}}}}},
                                         {"required", {"label"}}}}}}}}};
      break;
    case 4:
      fields["tools"] = {{{"type", "function"}, {"function", {{"name", "look"}}}}};
      if (one_in(2)) {
        fields["tool_choice"] = "required";
      } else {
        fields["forced_token_ids"] = ids_of_text(
            "<tool_call>\n{\"name\": \"look\", \"arguments\": {}}\n</tool_call>\n"
            "<tool_call>\n{\"name\": \"look\", \"arguments\": {}}\n</tool_call>");
      }
      break;
    case 5:
      fields["forced_token_ids"] = kForced;
      break;
    default:
      break;
  }
  return fields;
}

ordered_json options_by(std::mt19937& random) {
  ordered_json options = {{"threads", 1 + random() % 2}, {"seed", 9}};
  options["sequences_max"] = 3 + random() % 6;
  // Small ones: what is longer than the cache together takes turns.
  options["context"] = random() % 2 ? 512 : 256;
  switch (random() % 3) {
    case 0:
      options["compute"] = "reference";
      break;
    case 1:
      options["kv"] = "int8";
      break;
    default:
      break;
  }
  return options;
}

TEST(Guessing, ChangesNoEvent) {
  std::mt19937 random(20);
  Told all;
  for (int round = 0; round < 40; ++round) {
    const ordered_json options = options_by(random);
    std::vector<ordered_json> bodies(1 + random() % 5);
    for (ordered_json& body : bodies) {
      const std::string text = random() % 2 ? "red, green, red, green" : "hi";
      ordered_json fields = fields_by(random);
      if (options["context"] < 512) fields.erase("tools"), fields.erase("tool_choice");
      body = ask(text, fields);
    }
    const Told told = expect_equal(options, bodies, static_cast<int>(random() % 6));
    if (HasFailure()) return;
    all.guessed += told.guessed;
    all.accepted += told.accepted;
    all.preemptions += told.preemptions;
  }
  EXPECT_GT(all.accepted, 500);
  EXPECT_GT(all.guessed, all.accepted + 100);  // misses are part of the test
  EXPECT_GT(all.preemptions, 5);
}

TEST(Guessing, ChangesNoEventOfAdaptersAndImages) {
  const Prepare prepare = [](EngineDriver& engine) {
    for (const char* name : {"all", "some"}) {
      const AdapterFiles files = adapter_of("tied_bf16", name);
      ASSERT_EQ(engine.add_adapter(name, files.config, files.tensors), 0);
    }
    uint32_t media = 0;
    ASSERT_EQ(put_image(engine, bmp(84, 56), media), 0);
    ASSERT_EQ(media, 1u);
  };
  const ordered_json fields = {{"max_tokens", 50},
                               {"logit_bias", only_letters("ab")},
                               {"temperature", 1},
                               {"logprobs", true},
                               {"seed", 4}};
  std::vector<ordered_json> bodies;
  for (const char* adapter : {"", "all", "some"}) {
    bodies.push_back(ask("abab", fields));
    if (*adapter) bodies.back()["adapter"] = adapter;
  }
  bodies.push_back(ask("", fields));
  bodies.back()["messages"] = user(parts(image_part(1), image_part(1)));
  for (const int pace : {0, 7}) {
    const Told told = expect_equal({{"context", 512}}, bodies, pace, prepare);
    EXPECT_GT(told.accepted, 10);
    EXPECT_GT(told.guessed, told.accepted);
  }
}

TEST(Guessing, WhatRepeatsComesInFewerSteps) {
  const std::vector<int32_t> ids = ids_of_text(kBoxes);
  const auto count = static_cast<int64_t>(ids.size());
  const ordered_json body =
      ask("hi", {{"forced_token_ids", ids}, {"max_tokens", count}, {"logprobs", true}});
  const Told told = expect_equal({{"context", 512}}, {body}, 0);
  EXPECT_EQ(told.tokens, count);
  EXPECT_LT(told.steps * 3, count * 2);
  EXPECT_EQ(told.steps, count - told.accepted);
}

TEST(Guessing, WhatDoesNotRepeatIsHardlyGuessed) {
  EngineDriver engine(container(), {{"context", 64}});
  std::vector<int32_t> ids(120);
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(20 + i);
  const ordered_json body = ask("hi", {{"forced_token_ids", ids}, {"max_tokens", ids.size()}});
  EXPECT_EQ(tell({{"context", 512}}, true, {body}, 0).guessed, 0);
  // What always goes on in another way is given up soon.
  std::mt19937 random(3);
  for (int32_t& id : ids) id = static_cast<int32_t>(20 + random() % 8);
  const ordered_json noise = ask("hi", {{"forced_token_ids", ids}, {"max_tokens", ids.size()}});
  EXPECT_LT(tell({{"context", 512}}, true, {noise}, 0).guessed, 30);
}

TEST(Guessing, RowsOfLogitsAreLeftToTheOthers) {
  // Two sequences at most: beside another one there is no room for a guess.
  const std::vector<int32_t> ids(40, ids_of_text("a").at(0));
  const ordered_json body = ask("hi", {{"forced_token_ids", ids}, {"max_tokens", 40}});
  const ordered_json options = {{"context", 512}, {"sequences_max", 2}};
  EXPECT_EQ(tell(options, true, {body, body}, 0).guessed, 0);
  const Told alone = expect_equal(options, {body}, 0);
  EXPECT_GT(alone.accepted, 10);
  EXPECT_LE(alone.guessed, alone.steps);  // a row beside the sequence's own, no more
  EXPECT_EQ(tell({{"context", 512}, {"sequences_max", 1}}, true, {body}, 0).guessed, 0);
}

TEST(Guessing, TheOptionIsABoolean) {
  const std::string manifest = read_file(container() + "/manifest.json");
  const std::string options = R"({"guess":1})";
  uint32_t engine = 0;
  EXPECT_NE(ocelli_open(manifest.data(), static_cast<uint32_t>(manifest.size()), options.data(),
                        static_cast<uint32_t>(options.size()), &engine),
            0);
  EXPECT_EQ(EngineDriver::last_error()["param"], "guess");
}

}  // namespace
}  // namespace ocelli::test
