// The two small JSON files beside config.json: how images are prepared and how text is sampled by
// default. Used by source_config.cc. Both may be missing.
#pragma once

#include <string_view>
#include <vector>

#include "convert/io.h"
#include "format/json_object.h"
#include "format/manifest.h"

namespace ocelli {

// preprocessor_config.json, or the "image_processor" of processor_config.json; defaults of the
// model family without either. kInvalidConfig when it asks for something else than `vision` or the
// reference's steps.
Result<ImageProcessorConfig> read_image_config(Source& source, const VisionConfig& vision,
                                               Listener& listener);

// generation_config.json; `generation.eos` keeps what config.json said unless this file names ids.
Result<void> read_generation_config(Source& source, GenerationDefaults& generation,
                                    Listener& listener);

// One id or a list of ids.
std::vector<int32_t> read_token_ids(const JsonObject& json, std::string_view key);

}  // namespace ocelli
