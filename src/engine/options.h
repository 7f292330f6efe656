// EngineOptions: what a host may choose at open (the options JSON of src/abi/ocelli.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/result.h"
#include "engine/limits.h"
#include "kernels/attention.h"

namespace ocelli {

struct EngineOptions {
  int threads = 1;
  bool fast = true;            // "compute": "fast" | "reference"
  std::optional<KvFormat> kv;  // "kv": "f16" | "int8", of fast compute; f16 if none
  int context = 0;  // tokens; 0 = as much as fits, up to kContextDefault: an engine has its plan's
  int sequences_max = kSequencesDefault;
  int image_tokens_max = kImageTokensDefault;
  int64_t memory_bytes_max = int64_t{1} << 32;
  bool prefix_cache = true;  // prompts take over what earlier ones have computed
  bool guess = true;         // "guess": whether steps compute tokens that may come next (guess.h)
  uint64_t seed = 0;         // entropy for requests that name no seed
};

// An empty text is an empty object. Unknown keys are an error: they would be typing mistakes of a
// host.
Result<EngineOptions> parse_options(std::string_view json);

}  // namespace ocelli
