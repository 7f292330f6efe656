#include "convert/tokenizer_import.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

namespace ocelli {
namespace {

using Json = nlohmann::json;

constexpr int64_t kIdMax = (1 << 20) - 1;
constexpr std::string_view kQwenPattern =
    R"re((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)re";

using Vocabulary = std::unordered_map<std::string, uint32_t>;  // tokens in the byte alphabet

std::unexpected<Error> invalid(std::string_view file, std::string message) {
  return fail(Status::kInvalidTokenizer, std::string(file) + ": " + std::move(message),
              std::string(file));
}

const Json* member(const Json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

bool is_true(const Json& object, const char* key) {
  const Json* value = member(object, key);
  return value != nullptr && value->is_boolean() && value->get<bool>();
}

std::string text_of(const Json& object, const char* key) {
  const Json* value = member(object, key);
  return value != nullptr && value->is_string() ? value->get<std::string>() : std::string();
}

std::optional<uint32_t> id_of(const Json& value) {
  if (!value.is_number_integer()) return std::nullopt;
  const int64_t id = value.get<int64_t>();
  if (id < 0 || id > kIdMax) return std::nullopt;
  return static_cast<uint32_t>(id);
}

// The byte alphabet: printable Latin-1 stands for itself, the other 68 bytes for U+0100.. in order.
struct ByteAlphabet {
  std::array<int16_t, 0x144> byte_of{};
  ByteAlphabet() {
    byte_of.fill(-1);
    int next = 0x100;
    for (int byte = 0; byte < 256; ++byte) {
      const bool itself =
          (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
      byte_of[static_cast<size_t>(itself ? byte : next++)] = static_cast<int16_t>(byte);
    }
  }

  // Appends the raw bytes of a token; false when a character is not in the alphabet. All of it is
  // below U+0144, so UTF-8 takes one or two bytes.
  bool undo(std::string_view token, std::vector<uint8_t>& out) const {
    for (size_t i = 0; i < token.size(); ++i) {
      uint32_t c = static_cast<uint8_t>(token[i]);
      if (c >= 0x80) {
        if ((c & 0xe0) != 0xc0 || i + 1 >= token.size()) return false;
        c = (c & 0x1f) << 6 | (static_cast<uint8_t>(token[++i]) & 0x3f);
      }
      if (c >= byte_of.size() || byte_of[c] < 0) return false;
      out.push_back(static_cast<uint8_t>(byte_of[c]));
    }
    return true;
  }
};

Result<Vocabulary> read_vocabulary(std::string_view file, const Json& vocab) {
  if (!vocab.is_object()) return invalid(file, "the vocabulary is not an object");
  Vocabulary out;
  out.reserve(vocab.size());
  for (auto entry = vocab.begin(); entry != vocab.end(); ++entry) {
    const auto id = id_of(entry.value());
    if (!id)
      return invalid(file, "the id of token \"" + entry.key() + "\" is not an integer from 0 to " +
                               std::to_string(kIdMax));
    out.emplace(entry.key(), *id);
  }
  return out;
}

Result<AddedToken> read_added(std::string_view file, const Json& entry, uint32_t id) {
  const std::string name = "added token " + std::to_string(id);
  for (const char* flag : {"lstrip", "rstrip", "single_word"}) {
    if (is_true(entry, flag))
      return invalid(file, name + " has " + flag + ", which is not supported");
  }
  std::string content = text_of(entry, "content");
  if (content.empty()) return invalid(file, name + " has no content");
  return AddedToken{static_cast<int32_t>(id), std::move(content), is_true(entry, "special")};
}

Result<void> add_merge(std::string_view file, const Vocabulary& vocab, const std::string& left,
                       const std::string& right, std::vector<uint32_t>& merges) {
  std::array<uint32_t, 3> ids{};
  const std::array<std::string, 3> names = {left, right, left + right};
  for (size_t i = 0; i < 3; ++i) {
    const auto found = vocab.find(names[i]);
    if (found == vocab.end())
      return invalid(file, "merge " + std::to_string(merges.size() / 4) + " (" + left + " " +
                               right + ") needs \"" + names[i] +
                               "\", which is not in the vocabulary");
    ids[i] = found->second;
  }
  merges.insert(merges.end(), {ids[0], ids[1], ids[2], 0});
  return {};
}

// "left right"; neither part holds a space, because the byte alphabet has none.
Result<void> add_merge_line(std::string_view file, const Vocabulary& vocab, std::string_view line,
                            std::vector<uint32_t>& merges) {
  const size_t space = line.find(' ');
  if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos)
    return invalid(file, "merge " + std::to_string(merges.size() / 4) + " (" + std::string(line) +
                             ") is not two parts with one space between");
  return add_merge(file, vocab, std::string(line.substr(0, space)),
                   std::string(line.substr(space + 1)), merges);
}

// Lays out bytes and ends. An id named twice must be the same text both times.
Result<void> lay_out(std::string_view file, const Vocabulary& vocab, TokenizerTables& out) {
  uint32_t tokens = 0;
  for (const auto& [token, id] : vocab) tokens = std::max(tokens, id + 1);
  for (const AddedToken& token : out.added)
    tokens = std::max(tokens, static_cast<uint32_t>(token.id) + 1);

  std::vector<const AddedToken*> added_at(tokens, nullptr);
  for (const AddedToken& token : out.added) {
    const AddedToken*& place = added_at[static_cast<size_t>(token.id)];
    if (place != nullptr)
      return invalid(file, "added token " + std::to_string(token.id) + " is listed twice");
    place = &token;
  }
  std::vector<const std::string*> text_at(tokens, nullptr);
  for (const auto& [token, id] : vocab) {
    if (text_at[id] != nullptr)
      return invalid(file, "tokens \"" + *text_at[id] + "\" and \"" + token + "\" share id " +
                               std::to_string(id));
    text_at[id] = &token;
  }
  const ByteAlphabet alphabet;
  for (uint32_t id = 0; id < tokens; ++id) {
    if (added_at[id] != nullptr) {
      out.bytes.insert(out.bytes.end(), added_at[id]->content.begin(), added_at[id]->content.end());
    } else if (text_at[id] != nullptr && !alphabet.undo(*text_at[id], out.bytes)) {
      return invalid(file, "token " + std::to_string(id) + " \"" + *text_at[id] +
                               "\" is not in the byte alphabet");
    }
    out.ends.push_back(static_cast<uint32_t>(out.bytes.size()));
  }
  out.tokens = static_cast<int>(tokens);
  std::sort(out.added.begin(), out.added.end(),
            [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
  return {};
}

bool is_type(const Json& value, const char* type) { return text_of(value, "type") == type; }

// Only NFC, alone or as the only step of a sequence.
Result<void> check_normalizer(std::string_view file, const Json& root) {
  const Json* normalizer = member(root, "normalizer");
  if (normalizer != nullptr && is_type(*normalizer, "Sequence")) {
    const Json* steps = member(*normalizer, "normalizers");
    normalizer =
        steps != nullptr && steps->is_array() && steps->size() == 1 ? &(*steps)[0] : nullptr;
  }
  if (normalizer == nullptr || !is_type(*normalizer, "NFC"))
    return invalid(file, "normalizer must be NFC");
  return {};
}

// A split by Qwen2's expression, then the byte alphabet without its own splitting.
Result<void> check_pre_tokenizer(std::string_view file, const Json& root) {
  const Json* pre = member(root, "pre_tokenizer");
  const Json* steps =
      pre != nullptr && is_type(*pre, "Sequence") ? member(*pre, "pretokenizers") : nullptr;
  if (steps == nullptr || !steps->is_array() || steps->size() != 2 ||
      !is_type((*steps)[0], "Split") || !is_type((*steps)[1], "ByteLevel"))
    return invalid(file, "pre_tokenizer must be a Sequence of Split and ByteLevel");
  const Json& split = (*steps)[0];
  const Json* pattern = member(split, "pattern");
  if (pattern == nullptr || text_of(*pattern, "Regex") != kQwenPattern ||
      text_of(split, "behavior") != "Isolated" || is_true(split, "invert"))
    return invalid(file, "pre_tokenizer must split by the Qwen2 expression, isolated");
  const Json* own_split = member((*steps)[1], "use_regex");
  if (is_true((*steps)[1], "add_prefix_space") || own_split == nullptr ||
      is_true((*steps)[1], "use_regex"))
    return invalid(file, "pre_tokenizer ByteLevel must have use_regex and add_prefix_space false");
  return {};
}

Result<void> check_model(std::string_view file, const Json& model) {
  const std::string type = text_of(model, "type");
  if (type != "BPE" && !(type.empty() && member(model, "merges") != nullptr))
    return invalid(file, "model.type is \"" + type + "\", must be BPE");
  for (const char* flag : {"ignore_merges", "byte_fallback"}) {
    if (is_true(model, flag)) return invalid(file, std::string("model.") + flag + " must be false");
  }
  for (const char* affix : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!text_of(model, affix).empty())
      return invalid(file, std::string("model.") + affix + " must be empty");
  }
  if (member(model, "dropout") != nullptr) return invalid(file, "model.dropout must be null");
  return {};
}

}  // namespace

Result<TokenizerTables> import_tokenizer(std::string_view tokenizer_json) {
  constexpr std::string_view kFile = "tokenizer.json";
  const Json root = Json::parse(tokenizer_json, nullptr, false);
  if (!root.is_object()) return invalid(kFile, "is not a JSON object");
  const Json* model = member(root, "model");
  if (model == nullptr || !model->is_object()) return invalid(kFile, "has no model");
  OCELLI_TRY_VOID(check_model(kFile, *model));
  OCELLI_TRY_VOID(check_normalizer(kFile, root));
  OCELLI_TRY_VOID(check_pre_tokenizer(kFile, root));

  const Json* vocab_json = member(*model, "vocab");
  if (vocab_json == nullptr) return invalid(kFile, "has no model.vocab");
  OCELLI_TRY(const Vocabulary vocab, read_vocabulary(kFile, *vocab_json));

  TokenizerTables out;
  const Json* merges = member(*model, "merges");
  if (merges == nullptr || !merges->is_array())
    return invalid(kFile, "model.merges is not an array");
  out.merges.reserve(merges->size() * 4);
  for (const Json& merge : *merges) {
    if (merge.is_string()) {
      OCELLI_TRY_VOID(
          add_merge_line(kFile, vocab, merge.get_ref<const std::string&>(), out.merges));
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
               merge[1].is_string()) {
      OCELLI_TRY_VOID(add_merge(kFile, vocab, merge[0].get_ref<const std::string&>(),
                                merge[1].get_ref<const std::string&>(), out.merges));
    } else {
      return invalid(kFile, "merge " + std::to_string(out.merges.size() / 4) +
                                " is neither a line nor a pair");
    }
  }
  if (const Json* added = member(root, "added_tokens"); added != nullptr) {
    if (!added->is_array()) return invalid(kFile, "added_tokens is not an array");
    for (const Json& entry : *added) {
      const Json* id_json = member(entry, "id");
      const auto id = id_json == nullptr ? std::nullopt : id_of(*id_json);
      if (!id)
        return invalid(kFile, "an added token has no id from 0 to " + std::to_string(kIdMax));
      OCELLI_TRY(AddedToken token, read_added(kFile, entry, *id));
      out.added.push_back(std::move(token));
    }
  }
  OCELLI_TRY_VOID(lay_out(kFile, vocab, out));
  return out;
}

Result<TokenizerTables> import_vocab_merges(std::string_view vocab_json,
                                            std::string_view merges_txt,
                                            std::string_view tokenizer_config_json) {
  const Json vocab_root = Json::parse(vocab_json, nullptr, false);
  OCELLI_TRY(const Vocabulary vocab, read_vocabulary("vocab.json", vocab_root));

  TokenizerTables out;
  while (!merges_txt.empty()) {
    const size_t newline = merges_txt.find('\n');
    std::string_view line = merges_txt.substr(0, newline);
    merges_txt.remove_prefix(newline == std::string_view::npos ? merges_txt.size() : newline + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.starts_with("#version")) continue;
    OCELLI_TRY_VOID(add_merge_line("merges.txt", vocab, line, out.merges));
  }

  constexpr std::string_view kConfig = "tokenizer_config.json";
  const Json config = Json::parse(tokenizer_config_json, nullptr, false);
  const Json* added = member(config, "added_tokens_decoder");
  if (added == nullptr || !added->is_object())
    return invalid(kConfig, "has no added_tokens_decoder");
  for (auto entry = added->begin(); entry != added->end(); ++entry) {
    const std::string& key = entry.key();
    const bool digits =
        !key.empty() && key.size() <= 8 &&
        std::all_of(key.begin(), key.end(), [](char c) { return c >= '0' && c <= '9'; });
    uint32_t id = 0;
    for (size_t i = 0; digits && i < key.size(); ++i)
      id = id * 10 + static_cast<uint32_t>(key[i] - '0');
    if (!digits || id > kIdMax)
      return invalid(kConfig, "added_tokens_decoder key \"" + key + "\" is not an id from 0 to " +
                                  std::to_string(kIdMax));
    OCELLI_TRY(AddedToken token, read_added(kConfig, entry.value(), id));
    out.added.push_back(std::move(token));
  }
  OCELLI_TRY_VOID(lay_out("vocab.json", vocab, out));
  return out;
}

}  // namespace ocelli
