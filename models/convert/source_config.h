// From the JSON files of a Hugging Face folder to our ModelConfig: old and new spellings, configs
// that only list what differs from the class defaults (sizes then come from tensor shapes),
// preprocessor and generation defaults. Used by convert.cc.
#pragma once

#include "convert/checkpoint.h"
#include "convert/io.h"
#include "format/manifest.h"

namespace ocelli {

// Reads config.json, preprocessor_config.json (or processor_config.json) and
// generation_config.json; all but the first may be missing. The result is not yet checked against
// the ranges (check_config) nor the tensors. kInvalidConfig, kUnsupportedRope,
// kUnsupportedQuantization, kMissingTensor, kIoError; param is the file.
Result<ModelConfig> read_source_config(Source& source, const Checkpoint& checkpoint,
                                       Listener& listener);

}  // namespace ocelli
