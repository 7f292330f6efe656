// The fields of a body that say what an answer must look like: response_format, guided_*,
// structured_outputs, and tools that must be called or have strict parameters. Called by
// parse_request when tool_choice is known.
#pragma once

#include <nlohmann/json.hpp>

#include "base/result.h"
#include "engine/request.h"

namespace ocelli {

// Fills in spec.grammar. At most one of the fields may be given; a response_format beside tools
// lets the model choose between an answer and calls.
Result<void> read_constraint(const nlohmann::ordered_json& body, RequestSpec& spec);

}  // namespace ocelli
