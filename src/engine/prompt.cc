#include "engine/prompt.h"

#include <algorithm>
#include <string>

namespace ocelli {

namespace {

// From messages: ids, images and their order.
Result<Prompt> chat_prompt(const RequestSpec& spec, std::span<const PatchGrid> grids,
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
  return prompt;
}

Result<void> truncate(Prompt& prompt, const RequestSpec& spec) {
  const int cut = static_cast<int>(prompt.ids.size()) - spec.truncate_prompt;
  if (spec.truncate_prompt <= 0 || cut <= 0) return {};
  for (size_t i = 0; i < prompt.images.size(); ++i) {
    if (prompt.images[i].token_begin <= cut) {  // vision_start before it goes with it
      return fail(Status::kInvalidValue,
                  "truncate_prompt_tokens=" + std::to_string(spec.truncate_prompt) + " of " +
                      std::to_string(prompt.ids.size()) + " tokens would cut away " +
                      spec.images[static_cast<size_t>(prompt.image_order[i])].path +
                      ": images must be among the last tokens",
                  "truncate_prompt_tokens");
    }
    prompt.images[i].token_begin -= cut;
  }
  prompt.ids.erase(prompt.ids.begin(), prompt.ids.begin() + cut);
  return {};
}

}  // namespace

Result<Prompt> build_prompt(const RequestSpec& spec, std::span<const PatchGrid> grids,
                            const ModelConfig& config, const Tokenizer& tokenizer) {
  Prompt prompt;
  if (spec.raw) {
    prompt.ids = spec.raw->ids;
    if (prompt.ids.empty()) tokenizer.encode(spec.raw->text, true, prompt.ids);
  } else {
    OCELLI_TRY(prompt, chat_prompt(spec, grids, config, tokenizer));
  }
  OCELLI_TRY_VOID(truncate(prompt, spec));
  prompt.positions = rope_positions(static_cast<int>(prompt.ids.size()), prompt.images,
                                    config.vision.merge, config.vision.tokens_per_second);
  return prompt;
}

}  // namespace ocelli
