// The tensors of a Hugging Face checkpoint, whichever files they lie in and whichever spelling they
// use. convert.cc asks it by the old names ("model.layers.0.mlp.up_proj.weight",
// "visual.patch_embed.proj.weight").
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "convert/io.h"
#include "format/safetensors.h"

namespace ocelli {

struct SourceTensor {
  std::string file;
  std::string source_name;  // as spelled in the file
  Dtype dtype = Dtype::kF32;
  std::vector<int64_t> shape;
  uint64_t offset = 0;  // in the file
  uint64_t bytes = 0;
};

// The old spelling of a tensor name: "model.visual.x" -> "visual.x", "model.language_model.x" ->
// "model.x".
std::string canonical_name(const std::string& name);

class Checkpoint {
 public:
  // Reads the header of every safetensors file: model.safetensors, else those that
  // model.safetensors.index.json names, else all *.safetensors.
  // kIoError without any, kInvalidSafetensors / kTensorDtype for damaged ones, kMissingTensor when
  // the index promises a tensor that its file lacks.
  static Result<Checkpoint> open(Source& source);

  // Null when there is none of that canonical name.
  const SourceTensor* find(const std::string& name) const;
  const std::map<std::string, SourceTensor>& tensors() const { return tensors_; }

  // Bytes [begin, begin + out.size()) of a tensor.
  Result<void> read(const SourceTensor& tensor, uint64_t begin, std::span<uint8_t> out);

  // Bytes that were announced but need not be read after all.
  void skip(uint64_t bytes) const {
    if (on_read) on_read(bytes);
  }

  // Called with the number of bytes of each read() and skip().
  std::function<void(uint64_t)> on_read;

 private:
  explicit Checkpoint(Source& source) : source_(&source) {}
  Result<void> add_file(const std::string& file);
  Result<std::vector<std::string>> files_of_index(const std::string& index_file);

  Source* source_;
  std::map<std::string, SourceTensor> tensors_;
  std::map<std::string, std::string> promised_;  // source name -> file, from the index
};

// A whole small file; kIoError when it is missing or longer than `bytes_max`.
Result<std::string> read_text_file(Source& source, const std::string& file, uint64_t bytes_max);

}  // namespace ocelli
