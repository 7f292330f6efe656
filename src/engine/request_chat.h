// The fields of a body that concern the conversation: prompt, template, tools, images. Called by
// parse_request, read_prompt first.
#pragma once

#include <nlohmann/json.hpp>

#include "base/result.h"
#include "engine/request.h"

namespace ocelli {

// messages, or without them prompt: text or token ids.
Result<void> read_prompt(const nlohmann::ordered_json& body, int vocab, RequestSpec& spec);

// chat_template, chat_template_kwargs, add_generation_prompt, continue_final_message.
Result<void> read_template(const nlohmann::ordered_json& body, RequestSpec& spec);

// echo: the text of the last message when the answer goes on with it or has its role, or the raw
// prompt's; that of raw ids is left to who has the tokenizer.
Result<void> read_echo(const nlohmann::ordered_json& body, RequestSpec& spec);

// tools, tool_choice, parallel_tool_calls. Without tools a choice means nothing and is tolerated.
Result<void> read_tool_choice(const nlohmann::ordered_json& body, RequestSpec& spec);

// The image parts in the order in which the template numbers them, with their pixel limits: the
// part's own, those of mm_processor_kwargs, or the model's.
Result<void> read_images(const nlohmann::ordered_json& body, const ImageProcessorConfig& defaults,
                         RequestSpec& spec);

}  // namespace ocelli
