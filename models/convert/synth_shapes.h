// The models that `ocelli synth --shape` knows by name: configurations without weights. Called by
// main.cc and the tests. Surprise: "tiny" is no model of anybody's, it has every part small for
// tests.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "format/manifest.h"

namespace ocelli {

// "3b, 7b or tiny"
std::string shape_names();

// The configuration as a converted checkpoint of that shape would have it, token ids left out.
// kInvalidValue names the shapes there are.
Result<ModelConfig> synth_shape(std::string_view name);

}  // namespace ocelli
