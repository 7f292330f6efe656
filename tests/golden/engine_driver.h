// Drives the core through its C interface as a host does: container from a folder, requests in,
// replies out. Used by the golden suites and the engine tests.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ocelli::test {

using nlohmann::ordered_json;

// Converts build/checkpoints/PROFILE (made by models/reference/checkpoint.mjs) into a fresh
// container; returns its folder. precision: "default", "exact" (f32 vision and embedding), "small"
// (both int8) or "vision8".
std::string container_of(const std::string& profile, const std::string& precision);
std::string read_file(const std::string& path);
// The two files of build/checkpoints/PROFILE/adapters/NAME.
struct AdapterFiles {
  std::string config, tensors;
};
AdapterFiles adapter_of(const std::string& profile, const std::string& name);

struct Choice {
  std::string text;
  ordered_json tool_calls = ordered_json::array();  // deltas as they came
  std::vector<int32_t> token_ids;
  std::vector<ordered_json> logprobs;  // one entry a token
  std::string finish_reason;
  ordered_json stop_reason;
};

struct Reply {
  uint32_t handle = 0;
  ordered_json error;  // set when the request was refused or failed
  ordered_json prompt, usage;
  ordered_json prompt_logprobs;  // null unless asked for
  ordered_json weights;          // the last event that said how far the weights have come
  ordered_json vision;           // the last event that said how far an image has come
  std::map<int, Choice> choices;
};

class EngineDriver {
 public:
  EngineDriver(const std::string& container, const ordered_json& options);
  // Opened, with no shard placed yet.
  static EngineDriver without_weights(const std::string& manifest, const ordered_json& options);
  ~EngineDriver();
  EngineDriver(const EngineDriver&) = delete;
  EngineDriver(EngineDriver&& other) noexcept : engine_(std::exchange(other.engine_, 0)) {}

  // Puts `file:` and data images of the body as media and opens the request; the reply has `error`
  // on refusal.
  Reply open(ordered_json body, const std::string& image_folder);
  // Steps until nothing is left, filling the replies. Returns the number of steps.
  int finish(std::vector<Reply>& replies);
  Reply run(const ordered_json& body, const std::string& image_folder);
  void step_once(std::vector<Reply>& replies, bool& more);
  uint32_t step_state(std::vector<Reply>& replies);       // what ocelli_step said
  int32_t place(uint32_t index, std::string_view bytes);  // the status of the commit
  // Loads an adapter: the status of the first call that fails, else 0.
  int32_t add_adapter(const std::string& name, const std::string& config, const std::string& file);
  void close(const Reply& reply);

  ordered_json dump_prompt(const Reply& reply);
  std::vector<float> dump_vision(const Reply& reply, int index);
  uint32_t handle() const { return engine_; }
  static ordered_json last_error();

 private:
  EngineDriver() = default;
  void open_engine(const std::string& manifest, const ordered_json& options);
  void drain(std::vector<Reply>& replies);
  uint32_t engine_ = 0;
};

}  // namespace ocelli::test
