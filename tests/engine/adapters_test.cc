// LoRA adapters through the C interface: what they change and what they leave alone, in company,
// and every way in which a file can be wrong. That they compute what PEFT does: golden_test.cc.
#include <functional>

#include "engine/fixture.h"

namespace ocelli::test {
namespace {

// {"name": [dtype, shape]} as a safetensors file; every byte of the data is `fill`.
std::string tensors_of(const ordered_json& tensors, char fill = 0) {
  ordered_json header = ordered_json::object();
  size_t at = 0;
  for (const auto& [name, tensor] : tensors.items()) {
    size_t bytes = tensor[0] == "F32" || tensor[0] == "I32" ? 4 : 2;
    for (const ordered_json& dim : tensor[1]) bytes *= dim.get<size_t>();
    header[name] = {{"dtype", tensor[0]}, {"shape", tensor[1]}, {"data_offsets", {at, at + bytes}}};
    at += bytes;
  }
  const std::string json = header.dump();
  std::string file(8, '\0');
  for (int i = 0; i < 8; ++i) file[i] = static_cast<char>(uint64_t{json.size()} >> (8 * i));
  return file + json + std::string(at, fill);
}

ordered_json plain_config() {
  return {{"peft_type", "LORA"}, {"r", 4}, {"lora_alpha", 8}, {"target_modules", {"q_proj"}}};
}

const std::string kModule = "base_model.model.model.layers.0.self_attn.q_proj";

ordered_json pair_of(const std::string& module, int n, int k, int rank = 4) {
  return {{module + ".lora_A.weight", {"F32", {rank, k}}},
          {module + ".lora_B.weight", {"F32", {n, rank}}}};
}

int hidden_of() {
  const ordered_json manifest = ordered_json::parse(read_file(container() + "/manifest.json"));
  return manifest["config"]["text"]["hidden"].get<int>();
}

struct Loaded {
  EngineDriver engine;
  explicit Loaded(const ordered_json& options = {{"context", 512}}) : engine(container(), options) {
    for (const char* name : {"all", "some"}) {
      const AdapterFiles files = adapter_of("tied_bf16", name);
      EXPECT_EQ(engine.add_adapter(name, files.config, files.tensors), 0)
          << EngineDriver::last_error().dump();
    }
  }
};

ordered_json ask_with(const std::string& adapter,
                      const std::string& text = "the weather in London") {
  ordered_json body = ask(text, {{"logprobs", true}, {"top_logprobs", 3}, {"ignore_eos", true}});
  if (!adapter.empty()) body["adapter"] = adapter;
  return body;
}

TEST(Adapters, ChangeTheirOwnRequestsOnly) {
  EngineDriver bare(container(), {{"context", 512}});
  const Reply before = run(bare, ask_with(""));
  Loaded loaded;
  const Reply base = run(loaded.engine, ask_with(""));
  EXPECT_EQ(base.choices.at(0).logprobs, before.choices.at(0).logprobs);
  const Reply all = run(loaded.engine, ask_with("all")),
              some = run(loaded.engine, ask_with("some"));
  EXPECT_NE(all.choices.at(0).logprobs, base.choices.at(0).logprobs);
  EXPECT_NE(some.choices.at(0).logprobs, base.choices.at(0).logprobs);
  EXPECT_NE(some.choices.at(0).logprobs, all.choices.at(0).logprobs);
}

TEST(Adapters, CompanyAndThreadsChangeNothing) {
  const std::string long_text(300, 'x');  // more rows than one slice has beside others
  std::vector<Choice> alone;
  std::vector<ordered_json> bodies;
  for (const char* adapter : {"all", "", "some", "all", ""}) {
    bodies.push_back(ask_with(adapter, bodies.size() > 2 ? long_text : "hi"));
    Loaded loaded({{"context", 1024}, {"threads", 1}});
    alone.push_back(run(loaded.engine, bodies.back()).choices.at(0));
  }
  for (const int context : {1024, 400}) {  // the small cache makes them take turns
    Loaded loaded({{"context", context}, {"threads", 2}, {"sequences_max", 4}});
    std::vector<Reply> replies;
    for (const ordered_json& body : bodies) replies.push_back(loaded.engine.open(body, ""));
    loaded.engine.finish(replies);
    for (size_t i = 0; i < replies.size(); ++i) {
      ASSERT_TRUE(replies[i].error.is_null()) << replies[i].error.dump();
      EXPECT_EQ(replies[i].choices.at(0).logprobs, alone[i].logprobs) << i;  // bit for bit
    }
  }
}

TEST(Adapters, AreUsedByAllChoicesAndEveryCache) {
  for (const char* kv : {"f16", "int8"}) {
    Loaded loaded({{"context", 512}, {"kv", kv}});
    ordered_json body = ask_with("all");
    body["n"] = 2;
    body["temperature"] = 1.0;
    body["seed"] = 3;
    const Reply both = run(loaded.engine, body);
    ASSERT_EQ(both.choices.size(), 2u) << both.error.dump();
    for (const int index : {0, 1}) {
      body["n"] = 1;
      body["seed"] = 3 + index;
      EXPECT_EQ(run(loaded.engine, body).choices.at(0).logprobs, both.choices.at(index).logprobs);
    }
  }
}

TEST(Adapters, StayWithTheRequestsThatHaveThem) {
  Loaded loaded;
  const Reply expected = run(loaded.engine, ask_with("all"));
  std::vector<Reply> replies;
  replies.push_back(loaded.engine.open(ask_with("all"), ""));
  bool more = true;
  loaded.engine.step_once(replies, more);
  EXPECT_EQ(ocelli_adapter_drop(loaded.engine.handle(), "all", 3), 0);
  EXPECT_EQ(run(loaded.engine, ask_with("all")).error["code"], "adapter_not_found");
  loaded.engine.finish(replies);
  EXPECT_EQ(replies[0].choices.at(0).logprobs, expected.choices.at(0).logprobs);
  loaded.engine.close(replies[0]);
  EXPECT_EQ(stats(loaded.engine)["adapters"].size(), 1u);
  expect_all_blocks_free(loaded.engine);
  // Its name is free again.
  const AdapterFiles files = adapter_of("tied_bf16", "some");
  EXPECT_EQ(loaded.engine.add_adapter("all", files.config, files.tensors), 0);
  EXPECT_EQ(run(loaded.engine, ask_with("all")).choices.at(0).logprobs,
            run(loaded.engine, ask_with("some")).choices.at(0).logprobs);
}

TEST(Adapters, NamesAreChecked) {
  Loaded loaded;
  const auto error_of = [&](const std::string& name) {
    const AdapterFiles files = adapter_of("tied_bf16", "some");
    EXPECT_NE(loaded.engine.add_adapter(name, files.config, files.tensors), 0) << name;
    return EngineDriver::last_error();
  };
  EXPECT_EQ(error_of("all")["message"], "The lora adapter 'all' has already been loaded.");
  EXPECT_EQ(error_of("")["code"], "invalid_value");
  EXPECT_EQ(error_of(std::string(257, 'n'))["code"], "invalid_value");
  EXPECT_NE(ocelli_adapter_drop(loaded.engine.handle(), "nobody", 6), 0);
  const ordered_json error = EngineDriver::last_error();
  EXPECT_EQ(error["message"], "The lora adapter 'nobody' cannot be found.");
  EXPECT_EQ(error["http"], 404);
  EXPECT_EQ(run(loaded.engine, ask_with("nobody")).error["http"], 404);
  ordered_json body = ask_with("");
  body["adapter"] = 5;
  EXPECT_EQ(run(loaded.engine, body).error["param"], "adapter");
}

struct Wrong {
  const char* what;  // in the message
  std::function<void(ordered_json& config, ordered_json& tensors)> change;
};

TEST(Adapters, WhatCannotBeDoneIsRefusedByName) {
  const int hidden = hidden_of();
  const auto renamed = [=](const std::string& module, int n, int k) {
    return [=](ordered_json&, ordered_json& tensors) { tensors = pair_of(module, n, k); };
  };
  const auto with = [](const char* field, ordered_json value) {
    return [=](ordered_json& config, ordered_json&) { config[field] = value; };
  };
  const std::vector<Wrong> wrongs = {
      {"peft_type", with("peft_type", "IA3")},
      {"\"r\"", with("r", 0)},
      {"\"r\"", with("r", 257)},
      {"lora_alpha", [](auto& config, auto&) { config.erase("lora_alpha"); }},
      {"use_dora", with("use_dora", true)},
      {"\"bias\" must be \"none\"", with("bias", "all")},
      {"modules_to_save", with("modules_to_save", {"lm_head"})},
      {"layer_replication", with("layer_replication", {{0, 1}})},
      {"init_lora_weights", with("init_lora_weights", "pissa_niter_4")},
      {"rank_pattern", with("rank_pattern", {{".*_proj", 4}})},
      {"alpha_pattern.q_proj", with("alpha_pattern", {{"q_proj", "much"}})},
      {"two values of \"alpha_pattern\"",
       with("alpha_pattern", {{"q_proj", 1}, {"self_attn.q_proj", 2}})},
      {"an integer from 1 to 256", with("rank_pattern", {{"q_proj", 4.5}})},
      {"has shape", with("r", 5)},
      {"vision tower", renamed("base_model.model.visual.blocks.0.attn.qkv", hidden, hidden)},
      {"vision tower", renamed("base_model.model.model.visual.merger.mlp.0", hidden, hidden)},
      {"matches no module", renamed("base_model.model.lm_head", hidden, hidden)},
      {"matches no module", renamed("base_model.model.model.layers.x.self_attn.q_proj", 8, 8)},
      {"matches no module",
       renamed("base_model.model.model.layers.0.self_attn.w_proj", hidden, hidden)},
      {"belongs to layer 999",
       renamed("base_model.model.model.layers.999.self_attn.q_proj", hidden, hidden)},
      {"is none of a LoRA adapter", renamed("model.layers.0.self_attn.q_proj", hidden, hidden)},
      {"has shape", renamed(kModule, hidden + 8, hidden)},
      {"has shape", renamed(kModule, hidden, hidden - 1)},
      {"has dtype I32",
       [](auto&, auto& tensors) { tensors[kModule + ".lora_A.weight"][0] = "I32"; }},
      {"a lora_A but no lora_B",
       [](auto&, auto& tensors) { tensors.erase(kModule + ".lora_B.weight"); }},
      {"is not supported",
       [](auto&, auto& tensors) { tensors[kModule + ".lora_magnitude_vector"] = {"F32", {8}}; }},
      {"is not supported",
       [](auto&, auto& tensors) { tensors[kModule + ".lora_embedding_A"] = {"F32", {8}}; }},
      {"unknown ending",
       [](auto&, auto& tensors) { tensors[kModule + ".lora_A.a.b.weight"] = {"F32", {8}}; }},
      {"adapt the same module",
       [=](auto&, auto& tensors) {
         tensors[kModule + ".lora_A.default.weight"] = {"F32", {4, hidden}};
       }},
      {"holds no tensor", [](auto&, auto& tensors) { tensors = ordered_json::object(); }},
  };
  EngineDriver engine(container(), {{"context", 512}});
  for (const Wrong& wrong : wrongs) {
    ordered_json config = plain_config(), tensors = pair_of(kModule, hidden, hidden);
    ASSERT_EQ(engine.add_adapter("right", config.dump(), tensors_of(tensors)), 0)
        << EngineDriver::last_error().dump();
    ASSERT_EQ(ocelli_adapter_drop(engine.handle(), "right", 5), 0);
    wrong.change(config, tensors);
    EXPECT_NE(engine.add_adapter("wrong", config.dump(), tensors_of(tensors)), 0) << wrong.what;
    const ordered_json error = EngineDriver::last_error();
    EXPECT_EQ(error["code"], "invalid_adapter") << wrong.what;
    EXPECT_EQ(error["http"], 400);
    EXPECT_NE(error["message"].get<std::string>().find(wrong.what), std::string::npos)
        << wrong.what << ": " << error["message"].get<std::string>();
  }
  EXPECT_TRUE(stats(engine)["adapters"].empty());
}

TEST(Adapters, DamagedFilesAreRefused) {
  EngineDriver engine(container(), {{"context", 512}});
  const int hidden = hidden_of();
  const std::string config = plain_config().dump();
  const std::string file = tensors_of(pair_of(kModule, hidden, hidden));
  for (size_t size = 0; size < file.size(); size += size < 400 ? 1 : 97) {
    ASSERT_NE(engine.add_adapter("cut", config, file.substr(0, size)), 0) << size;
  }
  for (size_t size = 0; size < config.size(); ++size)
    ASSERT_NE(engine.add_adapter("cut", config.substr(0, size), file), 0) << size;
  EXPECT_NE(engine.add_adapter("deep", std::string(100'000, '['), file), 0);
  EXPECT_NE(engine.add_adapter("nan", config, tensors_of(pair_of(kModule, hidden, hidden), '\xff')),
            0);
  EXPECT_NE(EngineDriver::last_error()["message"].get<std::string>().find("not finite"),
            std::string::npos);
  void* room = nullptr;
  EXPECT_NE(ocelli_adapter_reserve(engine.handle(), UINT32_MAX, &room), 0);
  EXPECT_EQ(EngineDriver::last_error()["code"], "invalid_adapter");
  // A commit without room for it.
  EXPECT_NE(ocelli_adapter_commit(engine.handle(), "n", 1, config.data(),
                                  static_cast<uint32_t>(config.size())),
            0);
  EXPECT_NE(ocelli_adapter_reserve(12345, 8, &room), 0);
  EXPECT_EQ(EngineDriver::last_error()["code"], "stale_handle");
}

TEST(Adapters, ZeroMatricesChangeNothing) {
  EngineDriver engine(container(), {{"context", 512}});
  const int hidden = hidden_of();
  ASSERT_EQ(engine.add_adapter("zero", plain_config().dump(),
                               tensors_of(pair_of(kModule, hidden, hidden))),
            0);
  EXPECT_EQ(run(engine, ask_with("zero")).choices.at(0).logprobs,
            run(engine, ask_with("")).choices.at(0).logprobs);
}

}  // namespace
}  // namespace ocelli::test
