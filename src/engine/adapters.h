// The adapters that requests may name. Owned by the engine. Surprise: an adapter that is dropped
// while requests use it stays until the last of them has ended.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/buffer.h"
#include "format/manifest.h"
#include "model/adapter.h"

namespace ocelli {

class AdapterStore {
 public:
  // Room for the bytes of adapter_model.safetensors; the room before it is given back.
  // kInvalidAdapter: too large. kOutOfMemory.
  Result<std::span<uint8_t>> reserve(uint32_t bytes);
  // Reads what was written to the room, under a new name, and gives the room back. kInvalidAdapter:
  // what is wrong with it; kInvalidValue: the name is in use, or no name; kOutOfMemory.
  Result<void> commit(std::string_view name, std::string_view config, const ModelConfig& model);
  Result<void> drop(std::string_view name);  // kAdapterMissing
  // kAdapterMissing.
  Result<std::shared_ptr<const Adapter>> find(std::string_view name) const;

  const std::map<std::string, std::shared_ptr<const Adapter>, std::less<>>& all() const {
    return adapters_;
  }

 private:
  std::map<std::string, std::shared_ptr<const Adapter>, std::less<>> adapters_;
  Buffer<uint8_t> room_;
  uint64_t made_ = 0;
};

}  // namespace ocelli
