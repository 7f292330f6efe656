// Prompt: from a validated request to token ids, image runs and positions.
#pragma once

#include <span>
#include <vector>

#include "base/result.h"
#include "engine/request.h"
#include "format/manifest.h"
#include "model/mrope.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace ocelli {

struct Prompt {
  std::vector<int32_t> ids;        // image pads expanded
  std::vector<VisionSpan> images;  // in prompt order
  std::vector<int> image_order;    // which image of the messages each of them is
  PromptPositions positions;
};

// Renders the chat and tokenises it. Runs of text are joined before BPE, so ids equal those of the
// whole rendered string; grids[i] is the size of the i-th image. A raw prompt is taken as it is.
// kMediaMissing when the template shows another number of images, kInvalidValue when truncating to
// the last spec.truncate_prompt tokens would cut away an image.
Result<Prompt> build_prompt(const RequestSpec& spec, std::span<const PatchGrid> grids,
                            const ModelConfig& config, const Tokenizer& tokenizer);

}  // namespace ocelli
