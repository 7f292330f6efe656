// libFuzzer target: a Hugging Face folder of any files through the whole converter. The input is
// split at 0xff bytes, which JSON text cannot hold: config.json, tokenizer.json,
// generation_config.json, weights.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>

#include "convert/convert.h"

namespace {

using namespace ocelli;

class FuzzSource : public Source {
 public:
  explicit FuzzSource(std::map<std::string, std::span<const uint8_t>> files)
      : files_(std::move(files)) {}
  Result<std::vector<std::string>> list() override {
    std::vector<std::string> names;
    for (const auto& [name, bytes] : files_) names.push_back(name);
    return names;
  }
  Result<uint64_t> size(const std::string& file) override {
    if (!files_.contains(file)) return fail(Status::kIoError, "cannot find " + file, file);
    return files_[file].size();
  }
  Result<void> read(const std::string& file, uint64_t offset, std::span<uint8_t> out) override {
    const std::span<const uint8_t> bytes = files_[file];
    if (offset > bytes.size() || out.size() > bytes.size() - offset)
      return fail(Status::kIoError, "short", file);
    if (!out.empty()) std::memcpy(out.data(), bytes.data() + offset, out.size());
    return {};
  }

 private:
  std::map<std::string, std::span<const uint8_t>> files_;
};

class CountingSink : public Sink {
 public:
  Result<void> write(const std::string&, std::span<const std::span<const uint8_t>>) override {
    return {};
  }
  Result<void> commit() override { return {}; }
};

class SilentListener : public Listener {
 public:
  void progress(uint64_t, uint64_t) override {}
  void note(const std::string&) override {}
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const char* const kFiles[] = {"config.json", "tokenizer.json", "generation_config.json",
                                "model.safetensors"};
  std::map<std::string, std::span<const uint8_t>> files;
  std::span<const uint8_t> rest(data, size);
  for (int i = 0; i < 4; ++i) {
    const auto end = i == 3 ? rest.end() : std::find(rest.begin(), rest.end(), 0xff);
    files[kFiles[i]] = rest.first(static_cast<size_t>(end - rest.begin()));
    if (end == rest.end()) break;
    rest = rest.subspan(files[kFiles[i]].size() + 1);
  }
  FuzzSource source(std::move(files));
  CountingSink sink;
  SilentListener listener;
  ConvertOptions options;
  options.shard_mib = 1;
  const auto manifest = convert(source, sink, listener, options);
  if (!manifest && manifest.error().message.empty()) abort();
  return 0;
}
