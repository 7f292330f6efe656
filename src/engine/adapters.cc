#include "engine/adapters.h"

#include <utility>

#include "engine/limits.h"
#include "format/adapter.h"

namespace ocelli {
namespace {

std::unexpected<Error> missing(std::string_view name) {
  return fail(Status::kAdapterMissing,
              "The lora adapter '" + std::string(name) + "' cannot be found.", "model");
}

}  // namespace

Result<std::span<uint8_t>> AdapterStore::reserve(uint32_t bytes) {
  if (bytes > kAdapterBytesMax) {
    return fail(Status::kInvalidAdapter, "the adapter has " + std::to_string(bytes) +
                                             " bytes, at most " + std::to_string(kAdapterBytesMax) +
                                             " are allowed");
  }
  room_ = {};
  OCELLI_TRY(room_, Buffer<uint8_t>::make(bytes, "an adapter's file"));
  return std::span<uint8_t>(room_.data(), bytes);
}

Result<void> AdapterStore::commit(std::string_view name, std::string_view config,
                                  const ModelConfig& model) {
  const Buffer<uint8_t> file = std::exchange(room_, {});
  if (name.empty() || name.size() > kAdapterNameBytesMax) {
    return fail(Status::kInvalidValue, "an adapter's name must have 1 to " +
                                           std::to_string(kAdapterNameBytesMax) + " bytes, got " +
                                           std::to_string(name.size()));
  }
  if (adapters_.contains(name)) {
    return fail(Status::kInvalidValue,
                "The lora adapter '" + std::string(name) + "' has already been loaded.");
  }
  if (adapters_.size() >= kAdaptersMax) {
    return fail(Status::kInvalidValue,
                "at most " + std::to_string(kAdaptersMax) + " adapters can be loaded at once");
  }
  OCELLI_TRY(const auto pairs,
             read_adapter(config, {file.data(), static_cast<size_t>(file.count())}, model));
  OCELLI_TRY(auto adapter, Adapter::make(pairs, model.text.layers, ++made_));
  adapters_.emplace(name, std::move(adapter));
  return {};
}

Result<void> AdapterStore::drop(std::string_view name) {
  const auto found = adapters_.find(name);
  if (found == adapters_.end()) return missing(name);
  adapters_.erase(found);
  return {};
}

Result<std::shared_ptr<const Adapter>> AdapterStore::find(std::string_view name) const {
  const auto found = adapters_.find(name);
  if (found == adapters_.end()) return missing(name);
  return found->second;
}

}  // namespace ocelli
