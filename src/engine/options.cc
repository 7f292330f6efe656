#include "engine/options.h"

#include <nlohmann/json.hpp>
#include <string>

namespace ocelli {
namespace {

using nlohmann::json;

Result<int64_t> integer(const json& value, const std::string& key, int64_t low, int64_t high) {
  const bool fits =
      value.is_number_integer() && value.get<int64_t>() >= low && value.get<int64_t>() <= high;
  if (fits) return value.get<int64_t>();
  return fail(Status::kInvalidValue,
              "option " + key + " must be an integer in [" + std::to_string(low) + ", " +
                  std::to_string(high) + "], got " + value.dump(),
              key);
}

}  // namespace

Result<EngineOptions> parse_options(std::string_view text) {
  EngineOptions options;
  if (text.empty()) return options;
  const json body = json::parse(text, nullptr, false);
  if (!body.is_object())
    return fail(Status::kInvalidJson, "engine options must be a JSON object", "options");
  for (const auto& [key, value] : body.items()) {
    if (key == "threads") {
      OCELLI_TRY(options.threads, integer(value, key, 1, 64));
    } else if (key == "context") {
      OCELLI_TRY(options.context, integer(value, key, 16, 1 << 20));
    } else if (key == "sequences_max") {
      OCELLI_TRY(options.sequences_max, integer(value, key, 1, kSequencesMax));
    } else if (key == "image_tokens_max") {
      OCELLI_TRY(options.image_tokens_max, integer(value, key, 1, 1 << 16));
    } else if (key == "memory_bytes_max") {
      OCELLI_TRY(options.memory_bytes_max, integer(value, key, 1 << 20, int64_t{1} << 40));
    } else if (key == "seed") {
      OCELLI_TRY(const int64_t seed, integer(value, key, 0, INT64_MAX));
      options.seed = static_cast<uint64_t>(seed);
    } else if (key == "prefix_cache") {
      if (!value.is_boolean()) {
        return fail(Status::kInvalidValue,
                    "option prefix_cache must be true or false, got " + value.dump(), key);
      }
      options.prefix_cache = value.get<bool>();
    } else if (key == "guess") {
      if (!value.is_boolean()) {
        return fail(Status::kInvalidValue,
                    "option guess must be true or false, got " + value.dump(), key);
      }
      options.guess = value.get<bool>();
    } else if (key == "compute") {
      if (value != "fast" && value != "reference") {
        return fail(Status::kInvalidValue,
                    "option compute must be \"fast\" or \"reference\", got " + value.dump(), key);
      }
      options.fast = value == "fast";
    } else if (key == "kv") {
      if (value != "f16" && value != "int8") {
        return fail(Status::kInvalidValue,
                    "option kv must be \"f16\" or \"int8\", got " + value.dump(), key);
      }
      options.kv = value == "f16" ? KvFormat::kF16 : KvFormat::kInt8;
    } else {
      return fail(Status::kInvalidValue, "unknown engine option " + key, key);
    }
  }
  return options;
}

}  // namespace ocelli
