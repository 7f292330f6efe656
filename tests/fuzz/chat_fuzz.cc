// Any JSON as messages and tools: a clear error, or pieces whose control tokens are the template's
// own.
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "text/chat_template.h"

namespace {

// Single bytes and the control tokens of a chat.
struct ChatVocabulary {
  std::vector<uint8_t> bytes;
  std::vector<uint32_t> ends;
  std::vector<ocelli::AddedToken> added;

  ChatVocabulary() {
    for (int byte = 0; byte < 256; ++byte) {
      bytes.push_back(static_cast<uint8_t>(byte));
      ends.push_back(static_cast<uint32_t>(bytes.size()));
    }
    for (const std::string_view content :
         {"<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>",
          "<|video_pad|>", "<tool_call>", "</tool_call>"}) {
      added.push_back({static_cast<int32_t>(ends.size()), std::string(content), true});
      bytes.insert(bytes.end(), content.begin(), content.end());
      ends.push_back(static_cast<uint32_t>(bytes.size()));
    }
  }
  ocelli::Tokenizer open() const {
    auto opened = ocelli::Tokenizer::open({bytes, ends, {}, added, static_cast<int>(ends.size())});
    OCELLI_CHECK(opened);
    return std::move(*opened);
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ocelli;
  static const ChatVocabulary vocabulary;
  static const Tokenizer tokenizer = vocabulary.open();

  if (size == 0) return 0;
  const uint8_t flags = data[0];
  const auto body = parse_json({reinterpret_cast<const char*>(data) + 1, size - 1});
  if (!body) {
    OCELLI_CHECK(!body.error().message.empty());
    return 0;
  }
  std::string printed;
  dump_python(*body, printed);
  const auto again = parse_json(printed);
  OCELLI_CHECK(again && *again == *body);

  ChatOptions options;
  options.chat_template = (flags & 1) != 0 ? ChatTemplate::kHermes : ChatTemplate::kQwen;
  options.add_generation_prompt = (flags & 2) != 0;
  options.continue_final_message = (flags & 4) != 0;
  options.add_vision_id = (flags & 8) != 0;
  const OrderedJson none;
  const auto member = [&](const char* key) -> const OrderedJson& {
    if (!body->is_object()) return *body;
    const auto found = body->find(key);
    return found == body->end() ? none : *found;
  };
  const OrderedJson& tools = body->is_object() ? member("tools") : none;
  const auto pieces = render_chat(member("messages"), tools, options, tokenizer);
  if (!pieces) {
    OCELLI_CHECK(!pieces.error().message.empty());
    return 0;
  }
  size_t controls = 0, found = 0;
  for (const PromptPiece& piece : *pieces) controls += piece.kind != PromptPiece::kText;
  for (const int32_t id : encode_pieces(*pieces, tokenizer)) found += tokenizer.is_added(id);
  OCELLI_CHECK(controls == found);
  return 0;
}
