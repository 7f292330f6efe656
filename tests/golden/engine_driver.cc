#include "golden/engine_driver.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdio>
#include <cstring>
#include <random>

#include "abi/ocelli.h"
#include "convert/convert.h"
#include "convert/directory.h"

namespace ocelli::test {
namespace {

class Silent : public Listener {
 public:
  void progress(uint64_t, uint64_t) override {}
  void note(const std::string&) override {}
};

ordered_json parse(const char* json, uint32_t bytes) {
  return ordered_json::parse(json, json + bytes, nullptr, false);
}

}  // namespace

std::string read_file(const std::string& path) {
  std::string content;
  if (FILE* file = std::fopen(path.c_str(), "rb")) {
    char buffer[65536];
    for (size_t n; (n = std::fread(buffer, 1, sizeof buffer, file)) > 0;) content.append(buffer, n);
    std::fclose(file);
  } else {
    ADD_FAILURE() << "cannot read " << path;
  }
  return content;
}

AdapterFiles adapter_of(const std::string& profile, const std::string& name) {
  const std::string folder =
      std::string(OCELLI_ROOT) + "/build/checkpoints/" + profile + "/adapters/" + name;
  return {read_file(folder + "/adapter_config.json"),
          read_file(folder + "/adapter_model.safetensors")};
}

std::string container_of(const std::string& profile, const std::string& precision) {
  const std::string folder = std::string(OCELLI_ROOT) + "/build/checkpoints/" + profile;
  // Processes run side by side, and one C library we build for has no mkdtemp: a random name.
  std::string out = std::string(OCELLI_ROOT) + "/build/containers";
  mkdir(out.c_str(), 0777);
  std::random_device random;
  out += "/" + profile + "-" + precision + "-" + std::to_string(random());
  auto source = open_source_directory(folder);
  if (!source) {
    ADD_FAILURE() << source.error().message
                  << ": run node models/reference/checkpoint.mjs build/checkpoints";
    return out;
  }
  auto sink = open_sink_directory(out, false);
  ConvertOptions options;
  options.name = profile;
  options.shard_mib = 1;
  if (precision == "exact") options.vision = options.embedding = Precision::kF32;
  if (precision == "small") options.vision = options.embedding = Precision::kInt8;
  if (precision == "vision8") options.vision = Precision::kInt8;
  Silent silent;
  auto manifest = convert(**source, **sink, silent, options);
  if (!manifest) ADD_FAILURE() << manifest.error().message;
  return out;
}

void EngineDriver::open_engine(const std::string& manifest, const ordered_json& options) {
  const std::string text = options.dump();
  EXPECT_EQ(ocelli_open(manifest.data(), static_cast<uint32_t>(manifest.size()), text.data(),
                        static_cast<uint32_t>(text.size()), &engine_),
            0)
      << last_error().dump();
}

EngineDriver EngineDriver::without_weights(const std::string& manifest,
                                           const ordered_json& options) {
  EngineDriver engine;
  engine.open_engine(manifest, options);
  return engine;
}

EngineDriver::EngineDriver(const std::string& container, const ordered_json& options) {
  const std::string manifest = read_file(container + "/manifest.json");
  open_engine(manifest, options);
  if (engine_ == 0) return;
  const ordered_json parsed = ordered_json::parse(manifest, nullptr, false);
  uint32_t index = 0;
  for (const ordered_json& shard : parsed["shards"]) {
    const std::string name = shard["sha256"].get<std::string>() + ".safetensors";
    EXPECT_EQ(place(index++, read_file(container + "/" + name)), 0) << last_error().dump();
  }
  EXPECT_EQ(ocelli_ready(engine_), 0);
}

int32_t EngineDriver::place(uint32_t index, std::string_view bytes) {
  void* address = nullptr;
  uint32_t room = 0;
  const int32_t reserved = ocelli_shard_reserve(engine_, index, &address, &room);
  if (reserved != 0) return reserved;
  EXPECT_EQ(bytes.size(), room);
  std::memcpy(address, bytes.data(), std::min<size_t>(bytes.size(), room));
  return ocelli_shard_commit(engine_, index);
}

EngineDriver::~EngineDriver() {
  if (engine_ != 0) ocelli_close(engine_);
}

ordered_json EngineDriver::last_error() {
  const char* json = nullptr;
  uint32_t bytes = 0;
  ocelli_last_error(&json, &bytes);
  return parse(json, bytes);
}

Reply EngineDriver::open(ordered_json body, const std::string& image_folder) {
  Reply reply;
  std::vector<uint32_t> handles;
  for (ordered_json& message : body["messages"]) {
    if (!message.is_object() || !message.contains("content") || !message["content"].is_array())
      continue;
    for (ordered_json& part : message["content"]) {
      if (!part.contains("image_url")) continue;
      const std::string url = part["image_url"]["url"].get<std::string>();
      const std::string bytes = read_file(image_folder + "/" + url.substr(strlen("file:")));
      uint32_t media = 0;
      if (ocelli_media_put(engine_, reinterpret_cast<const uint8_t*>(bytes.data()),
                           static_cast<uint32_t>(bytes.size()), &media) != 0) {
        reply.error = last_error();
        return reply;
      }
      handles.push_back(media);
      part = {{"type", "image"}, {"media", media}};
    }
  }
  const std::string json = body.dump();
  if (ocelli_request_open(engine_, json.data(), static_cast<uint32_t>(json.size()),
                          &reply.handle) != 0) {
    reply.error = last_error();
  }
  for (const uint32_t media : handles) ocelli_media_drop(engine_, media);
  return reply;
}

void EngineDriver::drain(std::vector<Reply>& replies) {
  const char* json = nullptr;
  uint32_t bytes = 0;
  while (ocelli_next_event(engine_, &json, &bytes) == 0 && bytes > 0) {
    const ordered_json event = parse(json, bytes);
    for (Reply& reply : replies) {
      if (reply.handle == 0 || event["request"] != reply.handle) continue;
      const std::string type = event["type"].get<std::string>();
      if (type == "prompt") reply.prompt = event;
      if (type == "done") {
        reply.usage = event["usage"];
        reply.prompt_logprobs = event.value("prompt_logprobs", ordered_json());
      }
      if (type == "error") reply.error = event;
      if (type == "progress" && event["stage"] == "weights") reply.weights = event;
      if (type == "progress" && event["stage"] == "vision") reply.vision = event;
      if (type != "delta" && type != "finish") continue;
      Choice& choice = reply.choices[event["index"].get<int>()];
      if (type == "finish") {
        choice.finish_reason = event["reason"].get<std::string>();
        choice.stop_reason = event["stop_reason"];
        continue;
      }
      if (event.contains("text")) choice.text += event["text"].get<std::string>();
      if (event.contains("tool_calls")) {
        for (const auto& delta : event["tool_calls"]) choice.tool_calls.push_back(delta);
      }
      if (event.contains("token_ids")) {
        for (const auto& id : event["token_ids"]) choice.token_ids.push_back(id.get<int32_t>());
      }
      if (event.contains("logprobs")) {
        for (const auto& entry : event["logprobs"]) choice.logprobs.push_back(entry);
      }
    }
  }
}

uint32_t EngineDriver::step_state(std::vector<Reply>& replies) {
  uint32_t state = 0;
  EXPECT_EQ(ocelli_step(engine_, &state), 0) << last_error().dump();
  drain(replies);
  return state;
}

void EngineDriver::step_once(std::vector<Reply>& replies, bool& more) {
  more = step_state(replies) != 0;
}

int EngineDriver::finish(std::vector<Reply>& replies) {
  int steps = 0;
  for (bool more = true; more && steps < 100000; ++steps) step_once(replies, more);
  return steps;
}

Reply EngineDriver::run(const ordered_json& body, const std::string& image_folder) {
  std::vector<Reply> replies{open(body, image_folder)};
  if (replies[0].error.is_null()) finish(replies);
  return replies[0];
}

int32_t EngineDriver::add_adapter(const std::string& name, const std::string& config,
                                  const std::string& file) {
  void* room = nullptr;
  const int32_t reserved =
      ocelli_adapter_reserve(engine_, static_cast<uint32_t>(file.size()), &room);
  if (reserved != 0) return reserved;
  if (!file.empty()) std::memcpy(room, file.data(), file.size());
  return ocelli_adapter_commit(engine_, name.data(), static_cast<uint32_t>(name.size()),
                               config.data(), static_cast<uint32_t>(config.size()));
}

void EngineDriver::close(const Reply& reply) {
  EXPECT_EQ(ocelli_request_close(engine_, reply.handle), 0);
}

ordered_json EngineDriver::dump_prompt(const Reply& reply) {
  const uint8_t* data = nullptr;
  uint32_t bytes = 0, rows = 0, columns = 0;
  const char name[] = "prompt.json";
  EXPECT_EQ(
      ocelli_dump(engine_, reply.handle, name, sizeof name - 1, &data, &bytes, &rows, &columns), 0);
  return parse(reinterpret_cast<const char*>(data), bytes);
}

std::vector<float> EngineDriver::dump_vision(const Reply& reply, int index) {
  const uint8_t* data = nullptr;
  uint32_t bytes = 0, rows = 0, columns = 0;
  const std::string name = "vision_" + std::to_string(index);
  EXPECT_EQ(ocelli_dump(engine_, reply.handle, name.data(), static_cast<uint32_t>(name.size()),
                        &data, &bytes, &rows, &columns),
            0);
  EXPECT_EQ(bytes, rows * columns * 4);
  std::vector<float> values(bytes / 4);
  std::memcpy(values.data(), data, bytes);
  return values;
}

}  // namespace ocelli::test
