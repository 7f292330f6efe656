#include "engine/prompt.h"

#include <string>

namespace ocelli {

Result<Prompt> build_prompt(const RequestSpec& spec, std::span<const PatchGrid> grids,
                            const ModelConfig& config, const Tokenizer& tokenizer) {
  OCELLI_TRY(const auto pieces, render_chat(spec.messages, spec.tools, spec.chat, tokenizer));
  Prompt prompt;
  std::string text;
  const auto flush = [&] {
    tokenizer.encode(text, /*match_added=*/false, prompt.ids);
    text.clear();
  };
  for (const PromptPiece& piece : pieces) {
    switch (piece.kind) {
      case PromptPiece::kText:
        text += piece.text;
        break;
      case PromptPiece::kControl:
        flush();
        prompt.ids.push_back(piece.id);
        break;
      case PromptPiece::kImage: {
        flush();
        const size_t index = prompt.images.size();
        if (index >= grids.size() || piece.media != static_cast<int>(index)) {
          return fail(Status::kMediaMissing,
                      "the messages show more images than there are media handles", "messages");
        }
        prompt.images.push_back({static_cast<int>(prompt.ids.size()), grids[index], 0.0});
        prompt.ids.insert(prompt.ids.end(),
                          static_cast<size_t>(grids[index].tokens(config.vision.merge)),
                          config.ids.image_pad);
        break;
      }
      case PromptPiece::kVideo:
        return fail(Status::kUnsupportedFeature,
                    "video parts are not supported: send frames as images", "messages");
    }
  }
  flush();
  if (prompt.images.size() != grids.size()) {
    return fail(Status::kMediaMissing,
                "the chat template shows " + std::to_string(prompt.images.size()) + " of " +
                    std::to_string(grids.size()) +
                    " images: images belong into the content of user, system or tool "
                    "messages",
                "messages");
  }
  prompt.positions = rope_positions(static_cast<int>(prompt.ids.size()), prompt.images,
                                    config.vision.merge, config.vision.tokens_per_second);
  return prompt;
}

}  // namespace ocelli
