// From chat messages and tools to the pieces of a prompt, and from pieces to token ids. Called by
// the engine when a request opens. chat_message.cc reads the messages, template_qwen.cc and
// template_hermes.cc render them.
//
// Surprise: text from a request never becomes a control token, whatever it spells: only the
// template's own words are matched against added tokens. Otherwise ids equal the reference's for
// the whole rendered string.
//
// kQwen is the text template of Qwen2.5 (tools, tool results) with the content lists of the vision
// template. kHermes is the one the hosted service runs, for equal prompt counts. Where we differ
// from what the references do:
//
// clang-format off
// | input                                | reference                 | here                       |
// |--------------------------------------|---------------------------|----------------------------|
// | content null or missing              | error, or empty in vLLM   | empty                      |
// | role developer                       | own turn (qwen), lost     | system                     |
// | role function, function_call         | own turn, lost            | tool, one tool call        |
// | any other role                       | own turn (vision), lost   | own turn                   |
// | tool_calls null                      | 400                       | as if absent               |
// | tool_calls []                        | content lost (hermes)     | as if absent               |
// | content beside calls (hermes)        | lost                      | lost (for equal counts)    |
// | arguments missing, null, "" or blank | 400                       | {}                         |
// | arguments a string of JSON           | that value, written anew  | the same                   |
// | arguments another string             | 400                       | the string as it is        |
// | no description (hermes)              | 400                       | empty description          |
// | description no string (hermes)       | 400, or Python's spelling | as JSON                    |
// | properties null (hermes)             | 400                       | no parameters              |
// | type ["string", "null"] (hermes)     | 400 (endless recursion)   | Union[str,None]            |
// | type of an unknown name (hermes)     | 400 (endless recursion)   | Any                        |
// | text that spells a placeholder       | an image's place, or 400  | text                       |
// | part {"text": null}                  | skipped with a warning    | skipped                    |
// | part with "image": null              | an image, skipped in vLLM | skipped; text if it has it |
// | part with both text and an image     | image; text in vLLM       | kInvalidValue              |
// | continue_final_message together with | 400                       | kInvalidValue              |
// |   add_generation_prompt              |                           |                            |
// | continue_final_message after a tool  | cut after the last text   | kInvalidValue              |
// |   result or tool calls               |                           |                            |
// clang-format on
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/python_json.h"
#include "text/tokenizer.h"

namespace ocelli {

enum class ChatTemplate { kQwen, kHermes };

struct PromptPiece {
  enum Kind {
    kControl,  // added token `id`; text is its content
    kText,     // text to tokenise, never matched against added tokens
    kImage,    // the media-th image of the conversation; id is the image pad, text its content
    kVideo,    // the media-th video; id is the video pad
  };
  Kind kind;
  int32_t id = -1;
  std::string text = {};
  int media = -1;
};

struct ChatOptions {
  ChatTemplate chat_template = ChatTemplate::kQwen;
  bool add_generation_prompt = true;
  bool continue_final_message =
      false;                   // leave the last message open; excludes add_generation_prompt
  bool add_vision_id = false;  // "Picture 1: " before each image (kQwen)
};

// Renders a conversation. `messages` is the array of a request, `tools` its array or null (also
// when tool_choice is "none"). Images and videos come as vision_start, the kImage or kVideo piece,
// vision_end; they are numbered from 0 in order of appearance in `messages`, each kind for itself,
// whatever order the template puts them in. Errors: kInvalidValue, kMissingField, kUnknownRole with
// the field as `param` ("messages[1].role"); kTemplateError when the tokenizer lacks a token the
// template needs.
Result<std::vector<PromptPiece>> render_chat(const OrderedJson& messages, const OrderedJson& tools,
                                             const ChatOptions& options,
                                             const Tokenizer& tokenizer);

// Token ids of the pieces. Neighbouring texts are joined before tokenising. An image or video is
// one pad id, which the caller repeats; `media_at`, when given, gets the index in the result of
// each, in the order of the pieces.
std::vector<int32_t> encode_pieces(const std::vector<PromptPiece>& pieces,
                                   const Tokenizer& tokenizer,
                                   std::vector<size_t>* media_at = nullptr);

// What the template would have rendered as one string (for logs and comparisons).
std::string pieces_text(const std::vector<PromptPiece>& pieces);

}  // namespace ocelli
