// The command ocelli_convert: arguments, folders and messages around convert() and synthesize().
// Built natively for tests and for WASI, where `ocelli convert` and `ocelli synth` run it; exit
// status 0 done, 1 failed, 2 wrong usage. Surprise: with --shape there is no SRC.
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>

#include "convert/convert.h"
#include "convert/directory.h"
#include "convert/progress.h"
#include "convert/synth.h"
#include "convert/synth_shapes.h"

namespace {

using namespace ocelli;

constexpr const char* kUsage =
    "usage: ocelli_convert SRC OUT [options]\n"
    "       ocelli_convert --shape 3b|7b|tiny OUT [options]\n"
    "  SRC                  Hugging Face folder: config.json, *.safetensors, tokenizer.json, ...\n"
    "  OUT                  folder to create; appears only when complete\n"
    "  --shard-mib N        largest shard, 1 to 1024 (default 48)\n"
    "  --vision P           vision tower: f32, f16, int8 (default: f16 where exact, else as the "
    "source)\n"
    "  --embedding P        embedding and head: f32, f16, int8 (default: the same)\n"
    "  --linear P           decoder matrices: keep, int4, int8 (default keep)\n"
    "  --name TEXT          model name in the manifest (default: name of SRC)\n"
    "  --owner TEXT         letters, digits and dashes for the name of OUT's partial folder\n"
    "  --force              replace OUT if it is an ocelli container\n"
    "  --quiet              no progress\n"
    "random weights instead of SRC's (default int4, vision and embedding int8):\n"
    "  --shape NAME         sizes of Qwen2.5-VL-3B or -7B, or a toy's\n"
    "  --seed N             other weights (default 0)\n"
    "  --tokenizer FILE     tokenizer.json (default: a vocabulary made by rule)\n";

constexpr size_t kOwnerBytesMax = 64;

struct Arguments {
  std::string source;
  std::string out;
  std::string shape;  // not empty: no source
  std::string tokenizer;
  uint64_t seed = 0;
  std::optional<Precision> linear, vision, embedding;
  int shard_mib = kShardMibDefault;
  std::string name;
  std::string owner;
  bool force = false;
  bool quiet = false;
};

std::string last_part(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  const std::string name = path.substr(path.rfind('/') + 1);
  return name.empty() || name == "." || name == ".." ? "model" : name;
}

std::optional<Precision> precision_of(std::string_view word, std::string_view allowed) {
  constexpr std::pair<std::string_view, Precision> kWords[] = {{"keep", Precision::kKeep},
                                                               {"f32", Precision::kF32},
                                                               {"f16", Precision::kF16},
                                                               {"int8", Precision::kInt8},
                                                               {"int4", Precision::kInt4}};
  for (const auto& [name, precision] : kWords)
    if (name == word && allowed.find(name) != std::string_view::npos) return precision;
  return std::nullopt;
}

template <class Number>
bool parse_number(std::string_view text, Number& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size();
}

// Prints what is wrong and returns false.
bool wrong(const std::string& message) {
  std::fprintf(stderr, "ocelli_convert: %s\n%s", message.c_str(), kUsage);
  return false;
}

bool is_owner(std::string_view text) {
  const auto bad = [](char c) { return c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z'); };
  return text.size() <= kOwnerBytesMax && !std::any_of(text.begin(), text.end(), bad);
}

bool take_option(const std::string& key, std::string_view value, Arguments& out) {
  const std::string said = key + " is \"" + std::string(value) + "\", must be ";
  if (key == "--name") {
    out.name = value;
  } else if (key == "--owner") {
    out.owner = value;
    if (!is_owner(value))
      return wrong(said + "at most " + std::to_string(kOwnerBytesMax) +
                   " small letters, digits and dashes");
  } else if (key == "--tokenizer") {
    out.tokenizer = value;
  } else if (key == "--shape") {
    out.shape = value;
    if (!synth_shape(value)) return wrong(said + shape_names());
  } else if (key == "--seed") {
    if (!parse_number(value, out.seed)) return wrong(said + "a whole number from 0 to 2^64 - 1");
  } else if (key == "--shard-mib") {
    if (!parse_number(value, out.shard_mib) || !check_shard_mib(out.shard_mib))
      return wrong(said + "a whole number from 1 to " + std::to_string(kShardMibMax));
  } else if (key == "--linear") {
    out.linear = precision_of(value, "keep, int4, int8");
    if (!out.linear) return wrong(said + "keep, int4 or int8");
  } else {
    std::optional<Precision>& precision = key == "--vision" ? out.vision : out.embedding;
    precision = precision_of(value, "f32, f16, int8");
    if (!precision) return wrong(said + "f32, f16 or int8");
  }
  return true;
}

bool parse_arguments(int count, char** values, Arguments& out) {
  constexpr std::string_view kValued[] = {"--shard-mib", "--vision", "--embedding",
                                          "--linear",    "--name",   "--owner",
                                          "--shape",     "--seed",   "--tokenizer"};
  std::vector<std::string> places;
  bool synth_only = false;
  for (int i = 1; i < count; ++i) {
    const std::string_view word = values[i];
    if (word == "--force") {
      out.force = true;
    } else if (word == "--quiet") {
      out.quiet = true;
    } else if (!word.starts_with("--")) {
      places.emplace_back(word);
    } else {
      const size_t equals = word.find('=');
      const std::string key(word.substr(0, equals));
      if (std::find(std::begin(kValued), std::end(kValued), key) == std::end(kValued))
        return wrong("unknown option " + key);
      if (equals == std::string_view::npos && i + 1 == count) return wrong(key + " needs a value");
      synth_only |= key == "--seed" || key == "--tokenizer";
      if (!take_option(
              key, equals == std::string_view::npos ? values[++i] : word.substr(equals + 1), out))
        return false;
    }
  }
  const bool synth = !out.shape.empty();
  if (synth_only && !synth) return wrong("--seed and --tokenizer need --shape");
  if (synth && out.linear == Precision::kKeep)
    return wrong("--linear is \"keep\", must be int4 or int8 with --shape");
  if (places.size() != (synth ? 1 : 2)) {
    return wrong(std::string("needs ") + (synth ? "OUT" : "SRC and OUT") + ", got " +
                 std::to_string(places.size()) + " folders");
  }
  if (!synth) out.source = places[0];
  out.out = places.back();
  if (out.name.empty()) out.name = synth ? "synth-" + out.shape : last_part(out.source);
  return true;
}

Result<Manifest> run_convert(const Arguments& arguments, Sink& sink, Listener& listener) {
  OCELLI_TRY(const std::unique_ptr<Source> source, open_source_directory(arguments.source));
  ConvertOptions options;
  options.name = arguments.name;
  options.shard_mib = arguments.shard_mib;
  options.linear = arguments.linear.value_or(options.linear);
  options.vision = arguments.vision.value_or(options.vision);
  options.embedding = arguments.embedding.value_or(options.embedding);
  return convert(*source, sink, listener, options);
}

WeightFormat synth_format(std::optional<Precision> precision, WeightFormat otherwise) {
  if (!precision) return otherwise;
  if (*precision == Precision::kInt4) return WeightFormat::kU4;
  if (*precision == Precision::kInt8) return WeightFormat::kU8;
  return *precision == Precision::kF16 ? WeightFormat::kF16 : WeightFormat::kF32;
}

Result<Manifest> run_synth(const Arguments& arguments, Sink& sink, Listener& listener) {
  SynthOptions options;
  OCELLI_TRY(options.config, synth_shape(arguments.shape));
  options.name = arguments.name;
  options.seed = arguments.seed;
  options.shard_mib = arguments.shard_mib;
  options.linear = synth_format(arguments.linear, options.linear);
  options.vision = synth_format(arguments.vision, options.vision);
  options.embedding = synth_format(arguments.embedding, options.embedding);
  if (!arguments.tokenizer.empty()) {
    const std::string& path = arguments.tokenizer;
    const size_t slash = path.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    OCELLI_TRY(const std::unique_ptr<Source> source, open_source_directory(folder));
    OCELLI_TRY(const std::string json,
               read_text_file(*source, path.substr(slash + 1), kTokenizerBytesMax));
    OCELLI_TRY(options.tokenizer, import_tokenizer(json));
  }
  return synthesize(sink, listener, std::move(options));
}

Result<Manifest> run(const Arguments& arguments, Listener& listener) {
  OCELLI_TRY(const std::unique_ptr<Sink> sink,
             open_sink_directory(arguments.out, arguments.force, arguments.owner));
  return arguments.shape.empty() ? run_convert(arguments, *sink, listener)
                                 : run_synth(arguments, *sink, listener);
}

}  // namespace

int main(int count, char** values) {
  if (count == 2 && std::strcmp(values[1], "--help") == 0) {
    std::fputs(kUsage, stdout);
    return 0;
  }
  Arguments arguments;
  if (!parse_arguments(count, values, arguments)) return 2;
  ProgressPrinter printer(arguments.quiet);
  const Result<Manifest> manifest = run(arguments, printer);
  printer.finish();
  if (!manifest) {
    // As the command `ocelli` says it of its other parts.
    std::fprintf(stderr, "ocelli: %s: %s\n",
                 std::string(status_code(manifest.error().status)).c_str(),
                 manifest.error().message.c_str());
    return 1;
  }
  uint64_t bytes = 0;
  for (const ShardInfo& shard : manifest->shards) bytes += shard.bytes;
  if (!arguments.quiet) {
    std::fprintf(stderr, "%s: %zu shards, %s; linear %s, vision %s, embedding %s\n",
                 arguments.out.c_str(), manifest->shards.size(), bytes_text(bytes).c_str(),
                 manifest->linear.c_str(), manifest->vision.c_str(), manifest->embedding.c_str());
  }
  return 0;
}
