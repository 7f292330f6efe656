#include "engine/prompt.h"

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
  if (prompt.images.size() != grids.size()) {
    return fail(Status::kMediaMissing,
                "the chat template shows " + std::to_string(prompt.images.size()) + " of " +
                    std::to_string(grids.size()) +
                    " images: images belong into the content of system, user or tool messages",
                "messages");
  }
  prompt.positions = rope_positions(static_cast<int>(prompt.ids.size()), prompt.images,
                                    config.vision.merge, config.vision.tokens_per_second);
  return prompt;
}

}  // namespace ocelli
