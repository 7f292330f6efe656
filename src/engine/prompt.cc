#include "engine/prompt.h"

#include <algorithm>
#include <string>

namespace ocelli {

Result<Prompt> build_prompt(const RequestSpec& spec, std::span<const PatchGrid> grids,
                            const ModelConfig& config, const Tokenizer& tokenizer) {
  OCELLI_TRY(const auto pieces, render_chat(spec.messages, spec.tools, spec.chat, tokenizer));
  std::vector<size_t> pads;
  const std::vector<int32_t> ids = encode_pieces(pieces, tokenizer, &pads);
  Prompt prompt;
  size_t shown = 0, copied = 0;
  for (const PromptPiece& piece : pieces) {
    if (piece.kind == PromptPiece::kVideo) {
      return fail(Status::kUnsupportedFeature,
                  "video parts are not supported: send frames as images", "messages");
    }
    if (piece.kind != PromptPiece::kImage) continue;
    if (piece.media >= static_cast<int>(grids.size())) {
      return fail(Status::kMediaMissing,
                  "the messages show more images than there are media handles", "messages");
    }
    // The single pad of the template becomes one token per merged row.
    const PatchGrid& grid = grids[piece.media];
    prompt.ids.insert(prompt.ids.end(), ids.begin() + copied, ids.begin() + pads[shown]);
    prompt.images.push_back({static_cast<int>(prompt.ids.size()), grid, 0.0});
    prompt.image_order.push_back(piece.media);
    prompt.ids.insert(prompt.ids.end(), static_cast<size_t>(grid.tokens(config.vision.merge)),
                      config.ids.image_pad);
    copied = pads[shown++] + 1;
  }
  prompt.ids.insert(prompt.ids.end(), ids.begin() + copied, ids.end());
  for (size_t i = 0; i < grids.size(); ++i) {
    if (std::ranges::count(prompt.image_order, static_cast<int>(i)) > 0) continue;
    const std::string& path = spec.images[i].path;
    return fail(Status::kInvalidValue,
                path +
                    " is an image beside tool calls, where the hermes template shows no content; "
                    "must be in a message of its own",
                path);
  }
  prompt.positions = rope_positions(static_cast<int>(prompt.ids.size()), prompt.images,
                                    config.vision.merge, config.vision.tokens_per_second);
  return prompt;
}

}  // namespace ocelli
