// Engine's shards: reserved, hashed as their bytes come, committed. Loader and abi call it.
// Surprise: the tokenizer opens and layers become usable as soon as their own tensors are there,
// and while nothing else can be computed the kernels are warmed up.
#include <algorithm>
#include <array>

#include "engine/engine.h"
#include "format/shard.h"

namespace ocelli {

Result<std::span<uint8_t>> Engine::shard_reserve(uint32_t index) {
  if (index >= shards_.size() || shards_[index].committed) {
    return fail(Status::kInvalidArgument,
                "shard " + std::to_string(index) +
                    (index < shards_.size() ? " is committed already" : " does not exist"));
  }
  Shard& shard = shards_[index];
  const uint32_t bytes = manifest_.shards[index].bytes;
  if (!shard.bytes.data()) {
    OCELLI_TRY(shard.bytes, Buffer<uint8_t>::make(bytes, "a weight shard"));
  }
  shard.hash = {};
  shard.hashed = 0;
  shard.digest.clear();
  return std::span<uint8_t>(shard.bytes.data(), bytes);
}

Result<Engine::Shard*> Engine::reserved(uint32_t index) {
  if (index >= shards_.size() || shards_[index].committed || !shards_[index].bytes.data()) {
    return fail(Status::kInvalidArgument, "shard " + std::to_string(index) + " is not reserved");
  }
  return &shards_[index];
}

Result<void> Engine::shard_hash(uint32_t index, uint32_t bytes) {
  OCELLI_TRY(Shard * shard, reserved(index));
  const uint32_t all = manifest_.shards[index].bytes;
  if (bytes < shard->hashed || bytes > all) {
    return fail(Status::kInvalidArgument,
                "the bytes of shard " + std::to_string(index) + " to hash must be in [" +
                    std::to_string(shard->hashed) + ", " + std::to_string(all) + "], got " +
                    std::to_string(bytes));
  }
  shard->hash.update({shard->bytes.data() + shard->hashed, bytes - shard->hashed});
  shard->hashed = bytes;
  return {};
}

Result<void> Engine::shard_digest(uint32_t index, std::string_view sha256) {
  OCELLI_TRY(Shard * shard, reserved(index));
  if (sha256.size() != 64) {
    return fail(Status::kInvalidArgument, "a sha256 must be 64 hex digits, got " +
                                              std::to_string(sha256.size()) + " characters");
  }
  shard->digest = sha256;
  return {};
}

Result<void> Engine::shard_commit(uint32_t index) {
  OCELLI_TRY(Shard * shard, reserved(index));
  const ShardInfo& info = manifest_.shards[index];
  if (shard->digest.empty()) {
    OCELLI_TRY_VOID(shard_hash(index, info.bytes));
    shard->digest = shard->hash.finish_hex();
  }
  OCELLI_TRY(const auto tensors,
             open_shard({shard->bytes.data(), info.bytes}, info, shard->digest));
  shard->committed = true;
  committed_bytes_ += info.bytes;
  Result<void> bound = loader_->add(tensors);
  if (bound) bound = bind();
  if (!bound) load_error_ = bound.error();
  return bound;
}

int64_t Engine::missing_shards() const {
  return std::count_if(shards_.begin(), shards_.end(),
                       [](const Shard& shard) { return !shard.committed; });
}

// As soon as its tensors are there, so that text can be tokenized without the rest of the weights.
Result<void> Engine::open_tokenizer() {
  if (tokenizer_ || !loader_->find("tokenizer.bytes") || !loader_->find("tokenizer.ends") ||
      !loader_->find("tokenizer.merges")) {
    return {};
  }
  TokenizerData data;
  const auto tensor = [&](const char* name, Dtype dtype) -> Result<std::span<const uint8_t>> {
    const TensorView* view = loader_->find(name);
    if (view->dtype != dtype)
      return fail(Status::kTensorDtype, std::string(name) + " has the wrong dtype");
    return view->data;
  };
  const auto words = [](std::span<const uint8_t> bytes) {
    return std::span(reinterpret_cast<const uint32_t*>(bytes.data()),
                     bytes.size() / sizeof(uint32_t));
  };
  OCELLI_TRY(data.bytes, tensor("tokenizer.bytes", Dtype::kU8));
  OCELLI_TRY(const auto ends, tensor("tokenizer.ends", Dtype::kU32));
  OCELLI_TRY(const auto merges, tensor("tokenizer.merges", Dtype::kU32));
  data.ends = words(ends);
  data.merges = words(merges);
  data.tokens = manifest_.tokens;
  for (const AddedTokenInfo& added : manifest_.added)
    data.added.push_back({added.id, added.content, added.special});
  OCELLI_TRY(tokenizer_, Tokenizer::open(data));
  return {};
}

Result<void> Engine::bind() {
  const bool all = missing_shards() == 0;
  OCELLI_TRY_VOID(open_tokenizer());
  for (const char* name : {"tokenizer.bytes", "tokenizer.ends", "tokenizer.merges"}) {
    if (all && !loader_->find(name))
      return fail(Status::kMissingTensor, std::string("the container has no tensor ") + name);
  }
  OCELLI_TRY_VOID(loader_->bind(weights_, all));
  if (!tokenizer_ || scheduler_) return {};
  events_.emplace(*tokenizer_);
  scheduler_.emplace(manifest_.config, *tokenizer_, weights_, *decoder_, *tower_, *kv_, options_,
                     *events_);
  return {};
}

Result<void> Engine::ready() const {
  if (load_error_) return std::unexpected(*load_error_);
  if (weights_.complete()) return {};
  return fail(Status::kNotReady, std::to_string(missing_shards()) + " of " +
                                     std::to_string(shards_.size()) +
                                     " shards are not committed yet");
}

bool Engine::warm_up() {
  if (load_error_ || !scheduler_ || scheduler_->count() > 0) return false;
  return warm_text() || warm_vision();
}

bool Engine::warm_text() {
  if (warm_text_ >= kWarmPasses || !weights_.has_layer(0)) return false;
  std::array<int32_t, (kWarmRows + kKvBlock - 1) / kKvBlock> blocks;
  for (int32_t& block : blocks) block = kv_->take();
  const bool room = std::ranges::find(blocks, -1) == blocks.end();
  if (room) decoder_->warm_up(warm_text_ % 2 == 0 ? kWarmRows : 1, blocks.data(), *kv_);
  for (const int32_t block : blocks) {
    if (block >= 0) kv_->release(block);
  }
  warm_text_ = room ? warm_text_ + 1 : kWarmPasses;  // a tiny cache has no room: never mind
  return true;
}

bool Engine::warm_vision() {
  if (warm_vision_ >= kWarmVisionPasses || !weights_.has_block(0)) return false;
  const VisionConfig& vision = manifest_.config.vision;
  const PatchGrid grid{1, 2 * vision.merge, 2 * vision.merge};
  const int64_t values =
      int64_t{vision.in_channels} * vision.temporal_patch * vision.patch * vision.patch;
  const auto grey = [values](int64_t begin, int64_t end, float* out) {
    std::fill_n(out, (end - begin) * values, 0.5f);
  };
  Result<VisionJob> job = VisionJob::make(*tower_, grid, grey);
  // Embedding, then all stages of the first block.
  for (int stage = 0; job && stage < 4 && !job->waits(); ++stage) job->advance(1);
  ++warm_vision_;
  return true;
}

}  // namespace ocelli
