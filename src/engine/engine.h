// Engine: loaded weights + tokenizer + KV pool + scheduler. What src/abi hands out as a handle; one
// per model.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/buffer.h"
#include "base/pool.h"
#include "base/result.h"
#include "engine/adapters.h"
#include "engine/events.h"
#include "engine/media.h"
#include "engine/options.h"
#include "engine/plan.h"
#include "engine/scheduler.h"
#include "format/manifest.h"
#include "format/sha256.h"
#include "grammar/grammar.h"
#include "model/decoder.h"
#include "model/kv_pool.h"
#include "model/vision.h"
#include "model/weights.h"
#include "text/tokenizer.h"

namespace ocelli {

// A named piece of a request for --dump: bytes, and rows x columns when it is a matrix of f32.
struct Dump {
  std::span<const uint8_t> bytes;
  uint32_t rows = 0, columns = 0;
};

class Engine {
 public:
  // Checks manifest, options and plan, then takes all memory but the shards'. Requests can be
  // opened as soon as the tokenizer's shard is committed, and are computed as far as weights have
  // come.
  static Result<std::unique_ptr<Engine>> open(std::string_view manifest, std::string_view options);

  Result<std::span<uint8_t>> shard_reserve(uint32_t index);
  // The first `bytes` bytes are written: hashes those that are new, so that less is left to commit.
  Result<void> shard_hash(uint32_t index, uint32_t bytes);
  // The host has hashed the shard itself: 64 hex digits.
  Result<void> shard_digest(uint32_t index, std::string_view sha256);
  Result<void> shard_commit(uint32_t index);
  Result<void> ready() const;
  // A little work for nothing, through the kernels that requests will use: a host that optimises
  // code while it runs can have done so before the first of them. True: call again. False: enough,
  // or nothing can be done before more weights come, or requests have work of their own.
  bool warm_up();

  Result<std::vector<int32_t>> tokenize(std::string_view text, bool match_added) const;
  Result<std::string> detokenize(std::span<const int32_t> ids, bool skip_special) const;

  // LoRA adapters, by name; see adapters.h.
  Result<std::span<uint8_t>> adapter_reserve(uint32_t bytes) { return adapters_.reserve(bytes); }
  Result<void> adapter_commit(std::string_view name, std::string_view config);
  Result<void> adapter_drop(std::string_view name) { return adapters_.drop(name); }

  Result<uint32_t> media_put(std::span<const uint8_t> encoded);
  Result<void> media_drop(uint32_t handle) { return media_.drop(handle); }
  Result<uint32_t> request_open(std::string_view json);
  Result<void> request_cancel(uint32_t handle);
  Result<void> request_close(uint32_t handle);
  Result<void> request_assume(uint32_t handle, uint32_t tokens);

  Result<StepState> step();
  bool next_event(std::string& json) { return events_ && events_->next(json); }
  std::string stats_json() const;
  Result<Dump> dump(uint32_t request, std::string_view name);

 private:
  struct Shard {
    Buffer<uint8_t> bytes;
    Sha256 hash;  // of the first `hashed` bytes
    uint32_t hashed = 0;
    std::string digest;  // from the host, else empty
    bool committed = false;
  };
  Engine() = default;
  Result<Shard*> reserved(uint32_t index);
  int64_t missing_shards() const;
  Result<void> open_tokenizer();
  Result<void> bind();  // what the shards so far have brought
  bool warm_text();
  bool warm_vision();
  Result<Request*> find(uint32_t handle);
  Result<std::shared_ptr<Grammar>> grammar_of(const RequestSpec& spec);

  Manifest manifest_;
  EngineOptions options_;
  MemoryPlan plan_;
  std::unique_ptr<Pool> pool_;
  std::vector<Shard> shards_;
  int64_t committed_bytes_ = 0, reported_bytes_ = -1;
  int warm_text_ = 0, warm_vision_ = 0;  // passes
  std::optional<Error> load_error_;      // what the weights are unusable for
  std::optional<WeightLoader> loader_;
  Weights weights_;
  std::optional<Tokenizer> tokenizer_;
  std::optional<Vocabulary> vocabulary_;  // from the first request with a grammar on
  GrammarCache grammars_;
  std::optional<Decoder> decoder_;
  std::optional<VisionTower> tower_;
  std::optional<KvPool> kv_;
  std::optional<EventQueue> events_;
  std::optional<Scheduler> scheduler_;
  MediaStore media_;
  AdapterStore adapters_;
  uint32_t next_request_ = 1;
  std::string dump_;
};

}  // namespace ocelli
