// Source, Sink and Listener in memory, and a reader of finished containers that is written from
// models/FORMAT.md alone: it shares no code with the converter's packing.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "convert/io.h"
#include "format/manifest.h"
#include "format/shard.h"

namespace ocelli::testing {

using Files = std::map<std::string, std::vector<uint8_t>>;

class MemorySource : public Source {
 public:
  explicit MemorySource(const Files& files) : files_(files) {}
  Result<std::vector<std::string>> list() override;
  Result<uint64_t> size(const std::string& file) override;
  Result<void> read(const std::string& file, uint64_t offset, std::span<uint8_t> out) override;

 private:
  const Files& files_;
};

class MemorySink : public Sink {
 public:
  Result<void> write(const std::string& file,
                     std::span<const std::span<const uint8_t>> parts) override;
  Result<void> commit() override;

  Files files;
  bool committed = false;
};

class RecordingListener : public Listener {
 public:
  void progress(uint64_t bytes_done, uint64_t bytes_total) override;
  void note(const std::string& line) override { notes.push_back(line); }
  bool noted(std::string_view part) const;

  std::vector<std::string> notes;
  uint64_t done = 0;
  uint64_t total = 0;
};

class Container {
 public:
  // Opens manifest and all shards; a test failure and an empty container when anything is wrong.
  explicit Container(const Files& files);

  const Manifest& manifest() const { return manifest_; }
  const std::vector<std::string>& order() const { return order_; }  // tensor names as they lie
  bool has(const std::string& name) const { return tensors_.contains(name); }
  const TensorView& tensor(const std::string& name) const { return tensors_.at(name); }
  int shard_of(const std::string& name) const { return shard_of_.at(name); }

  std::vector<float> floats(const std::string& name) const;  // an F32 tensor
  // W[n][k] without padding, put together from its parts; checks that the padding is as specified.
  std::vector<float> matrix(const std::string& name, int n, int k) const;
  // Code, zero and scale bits of one element of a u4 matrix.
  struct U4 {
    int code, zero;
    uint16_t scale;
  };
  U4 u4(const std::string& name, int row, int i) const;

 private:
  std::vector<float> part(const std::string& name, int k) const;

  Manifest manifest_;
  Files files_;
  std::map<std::string, TensorView> tensors_;
  std::map<std::string, int> shard_of_;
  std::vector<std::string> order_;
};

}  // namespace ocelli::testing
