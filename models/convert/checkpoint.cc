#include "convert/checkpoint.h"

#include <algorithm>
#include <set>

#include "format/json_object.h"

namespace ocelli {
namespace {

constexpr uint64_t kIndexBytesMax = 64 << 20;
constexpr std::string_view kIndexFile = "model.safetensors.index.json";
constexpr std::string_view kSingleFile = "model.safetensors";

bool is_plain_file_name(const std::string& name) {
  return !name.empty() && name[0] != '.' &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos;
}

}  // namespace

std::string canonical_name(const std::string& name) {
  // Order matters: the longer prefixes first.
  if (name.starts_with("model.language_model.")) return "model." + name.substr(21);
  if (name.starts_with("model.visual.")) return name.substr(6);
  return name;
}

Result<std::string> read_text_file(Source& source, const std::string& file, uint64_t bytes_max) {
  OCELLI_TRY(const uint64_t bytes, source.size(file));
  if (bytes > bytes_max) {
    return fail(
        Status::kIoError,
        file + " has " + std::to_string(bytes) + " bytes, at most " + std::to_string(bytes_max),
        file);
  }
  std::string text(static_cast<size_t>(bytes), '\0');
  OCELLI_TRY_VOID(source.read(file, 0, {reinterpret_cast<uint8_t*>(text.data()), text.size()}));
  return text;
}

Result<std::vector<std::string>> Checkpoint::files_of_index(const std::string& index_file) {
  OCELLI_TRY(const std::string text, read_text_file(*source_, index_file, kIndexBytesMax));
  JsonIssues issues{Status::kInvalidSafetensors, index_file, {}};
  const nlohmann::json root = parse_json_object(text, issues);
  std::set<std::string> files;
  const auto map = root.find("weight_map");
  if (map == root.end() || !map->is_object()) {
    issues.add("\"weight_map\" must be an object");
  } else {
    for (const auto& [name, file] : map->items()) {
      if (!file.is_string() || !is_plain_file_name(file.get<std::string>())) {
        issues.add("\"weight_map." + name + "\" must be a file name in the same folder, is " +
                   json_excerpt(file));
        break;
      }
      files.insert(file.get<std::string>());
      promised_[name] = file.get<std::string>();
    }
  }
  if (issues.first) return std::unexpected(std::move(*issues.first));
  return std::vector<std::string>(files.begin(), files.end());
}

Result<Checkpoint> Checkpoint::open(Source& source) {
  Checkpoint checkpoint(source);
  OCELLI_TRY(const std::vector<std::string> names, source.list());
  const auto has = [&](std::string_view name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  std::vector<std::string> files;
  if (has(kSingleFile)) {
    files.emplace_back(kSingleFile);
  } else if (has(kIndexFile)) {
    OCELLI_TRY(files, checkpoint.files_of_index(std::string(kIndexFile)));
  } else {
    for (const std::string& name : names)
      if (name.ends_with(".safetensors")) files.push_back(name);
  }
  if (files.empty()) {
    return fail(Status::kIoError,
                "the source folder has no *.safetensors file (other weight files, such as .bin, "
                "are not read)");
  }
  for (const std::string& file : files) OCELLI_TRY_VOID(checkpoint.add_file(file));
  for (const auto& [name, file] : checkpoint.promised_) {
    const SourceTensor* tensor = checkpoint.find(canonical_name(name));
    if (tensor == nullptr || tensor->file != file) {
      return fail(Status::kMissingTensor,
                  "tensor " + name + " is not in " + file + ", where " + std::string(kIndexFile) +
                      " puts it",
                  file);
    }
  }
  return checkpoint;
}

Result<void> Checkpoint::add_file(const std::string& file) {
  const auto in_file = [&](Error error) {
    error.message = file + ": " + error.message;
    error.param = file;
    return std::unexpected(std::move(error));
  };
  OCELLI_TRY(const uint64_t file_bytes, source_->size(file));
  uint8_t first_8[8] = {};
  const std::span<uint8_t> first =
      std::span(first_8).first(static_cast<size_t>(std::min<uint64_t>(8, file_bytes)));
  OCELLI_TRY_VOID(source_->read(file, 0, first));
  const Result<uint64_t> header_bytes = safetensors_header_bytes(first, file_bytes);
  if (!header_bytes) return in_file(header_bytes.error());
  std::vector<uint8_t> header(static_cast<size_t>(*header_bytes));
  OCELLI_TRY_VOID(source_->read(file, 8, header));
  const uint64_t data_at = 8 + *header_bytes;
  Result<std::vector<TensorInfo>> infos = parse_safetensors_header(header, file_bytes - data_at);
  if (!infos) return in_file(infos.error());
  for (TensorInfo& info : *infos) {
    const std::string name = canonical_name(info.name);
    SourceTensor tensor{
        file, info.name, info.dtype, std::move(info.shape), data_at + info.begin, info.bytes()};
    const auto [existing, fresh] = tensors_.emplace(name, std::move(tensor));
    if (!fresh) {
      return fail(Status::kInvalidSafetensors,
                  "tensor " + info.name + " in " + file + " is already in " +
                      existing->second.file + " as " + existing->second.source_name,
                  file);
    }
  }
  return {};
}

const SourceTensor* Checkpoint::find(const std::string& name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

Result<void> Checkpoint::read(const SourceTensor& tensor, uint64_t begin, std::span<uint8_t> out) {
  OCELLI_TRY_VOID(source_->read(tensor.file, tensor.offset + begin, out));
  if (on_read) on_read(out.size());
  return {};
}

}  // namespace ocelli
