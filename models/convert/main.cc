// The command ocelli_convert: arguments, folders and messages around convert(). Built natively for
// tests and for WASI, where `ocelli convert` runs it; exit status 0 done, 1 failed, 2 wrong usage.
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>

#include "convert/convert.h"
#include "convert/directory.h"
#include "convert/progress.h"

namespace {

using namespace ocelli;

constexpr const char* kUsage =
    "usage: ocelli_convert SRC OUT [options]\n"
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
    "  --quiet              no progress\n";

constexpr size_t kOwnerBytesMax = 64;

struct Arguments {
  std::string source;
  std::string out;
  ConvertOptions options;
  std::string owner;
  bool force = false;
  bool quiet = false;
};

std::string last_part(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  const std::string name = path.substr(path.rfind('/') + 1);
  return name.empty() || name == "." || name == ".." ? "model" : name;
}

bool parse_precision(std::string_view word, bool linear, Precision& out) {
  if (word == "int8")
    out = Precision::kInt8;
  else if (linear && word == "keep")
    out = Precision::kKeep;
  else if (linear && word == "int4")
    out = Precision::kInt4;
  else if (!linear && word == "f32")
    out = Precision::kF32;
  else if (!linear && word == "f16")
    out = Precision::kF16;
  else
    return false;
  return true;
}

// Prints what is wrong and returns false.
bool wrong(const std::string& message) {
  std::fprintf(stderr, "ocelli_convert: %s\n%s", message.c_str(), kUsage);
  return false;
}

bool parse_arguments(int count, char** values, Arguments& out) {
  std::vector<std::string> places;
  std::string name;
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
      std::string_view value;
      if (key != "--shard-mib" && key != "--vision" && key != "--embedding" && key != "--linear" &&
          key != "--name" && key != "--owner")
        return wrong("unknown option " + key);
      if (equals != std::string_view::npos) {
        value = word.substr(equals + 1);
      } else if (++i < count) {
        value = values[i];
      } else {
        return wrong(key + " needs a value");
      }
      const std::string said = key + " is \"" + std::string(value) + "\", must be ";
      ConvertOptions& options = out.options;
      if (key == "--name") {
        name = value;
      } else if (key == "--owner") {
        const auto bad = [](char c) {
          return c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z');
        };
        if (value.size() > kOwnerBytesMax || std::any_of(value.begin(), value.end(), bad))
          return wrong(said + "at most " + std::to_string(kOwnerBytesMax) +
                       " small letters, digits and dashes");
        out.owner = value;
      } else if (key == "--shard-mib") {
        const auto [end, error] =
            std::from_chars(value.data(), value.data() + value.size(), options.shard_mib);
        if (error != std::errc() || end != value.data() + value.size() || options.shard_mib < 1 ||
            options.shard_mib > kShardMibMax)
          return wrong(said + "a whole number from 1 to " + std::to_string(kShardMibMax));
      } else if (key == "--linear") {
        if (!parse_precision(value, true, options.linear))
          return wrong(said + "keep, int4 or int8");
      } else {
        Precision& precision = key == "--vision" ? options.vision : options.embedding;
        if (!parse_precision(value, false, precision)) return wrong(said + "f32, f16 or int8");
      }
    }
  }
  if (places.size() != 2)
    return wrong("needs SRC and OUT, got " + std::to_string(places.size()) + " folders");
  out.source = places[0];
  out.out = places[1];
  out.options.name = name.empty() ? last_part(out.source) : name;
  return true;
}

Result<Manifest> run(const Arguments& arguments, ProgressPrinter& printer) {
  OCELLI_TRY(const std::unique_ptr<Source> source, open_source_directory(arguments.source));
  OCELLI_TRY(const std::unique_ptr<Sink> sink,
             open_sink_directory(arguments.out, arguments.force, arguments.owner));
  return convert(*source, *sink, printer, arguments.options);
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
    std::fprintf(stderr, "ocelli_convert: %s (%s)\n", manifest.error().message.c_str(),
                 std::string(status_code(manifest.error().status)).c_str());
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
