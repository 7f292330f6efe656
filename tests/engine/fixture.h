// What the engine tests share: one container a process, short ways to write bodies and read what
// came back. Everything goes through the C interface.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "abi/ocelli.h"
#include "golden/engine_driver.h"

namespace ocelli::test {

// A container of the smallest checkpoint that has all parts; removed when the process ends.
inline const std::string& container() {
  struct Folder {
    std::string path = container_of("tied_bf16", "small");
    ~Folder() {
      std::error_code ignored;
      std::filesystem::remove_all(path, ignored);
    }
  };
  static const Folder folder;
  return folder.path;
}

inline ordered_json user(ordered_json content) {
  ordered_json messages = ordered_json::array();
  messages.push_back({{"role", "user"}, {"content", std::move(content)}});
  return messages;
}

// A greedy request of 8 tokens about `text`, changed by `fields`.
inline ordered_json ask(const std::string& text, const ordered_json& fields = nullptr) {
  ordered_json body = {{"messages", user(text)},
                       {"temperature", 0},
                       {"repetition_penalty", 1.0},
                       {"max_tokens", 8},
                       {"return_token_ids", true}};
  for (const auto& [name, value] : fields.items()) body[name] = value;
  return body;
}

inline Reply run(EngineDriver& engine, const ordered_json& body) {
  Reply reply = engine.run(body, "");
  if (reply.error.is_null()) engine.close(reply);
  return reply;
}

inline ordered_json stats(const EngineDriver& engine) {
  const char* json = nullptr;
  uint32_t bytes = 0;
  EXPECT_EQ(ocelli_stats(engine.handle(), &json, &bytes), 0);
  return ordered_json::parse(json, json + bytes, nullptr, false);
}

inline void expect_all_blocks_free(const EngineDriver& engine) {
  const ordered_json now = stats(engine);
  EXPECT_EQ(now["kv_blocks_free"], now["kv_blocks"]);
}

inline std::vector<int32_t> tokens_of(const EngineDriver& engine, const std::string& text) {
  const char* json = nullptr;
  uint32_t bytes = 0;
  EXPECT_EQ(ocelli_tokenize(engine.handle(), text.data(), static_cast<uint32_t>(text.size()), 1,
                            &json, &bytes),
            0);
  return ordered_json::parse(json, json + bytes).get<std::vector<int32_t>>();
}

inline int32_t token_of(const EngineDriver& engine, const std::string& text) {
  const std::vector<int32_t> ids = tokens_of(engine, text);
  EXPECT_EQ(ids.size(), 1u) << text;
  return ids.at(0);
}

// logit_bias that leaves no other choice.
inline ordered_json only(int32_t id) { return {{std::to_string(id), 100}}; }

// An uncompressed image of one grey. `stored` false: the header alone.
inline std::string bmp(int width, int height, bool stored = true) {
  const uint32_t row = (static_cast<uint32_t>(width) * 3 + 3) / 4 * 4;
  const uint32_t pixels = stored ? row * static_cast<uint32_t>(height) : 0;
  std::string file = "BM";
  const auto put32 = [&](uint32_t value) {
    for (int i = 0; i < 4; ++i) file += static_cast<char>(value >> (8 * i));
  };
  put32(54 + pixels);
  put32(0);
  put32(54);
  put32(40);
  put32(static_cast<uint32_t>(width));
  put32(static_cast<uint32_t>(height));
  put32(1 | 24u << 16);
  for (const uint32_t value : {0u, pixels, 2835u, 2835u, 0u, 0u}) put32(value);
  file.append(pixels, '\x60');
  return file;
}

inline int32_t put_image(const EngineDriver& engine, const std::string& file, uint32_t& media) {
  return ocelli_media_put(engine.handle(), reinterpret_cast<const uint8_t*>(file.data()),
                          static_cast<uint32_t>(file.size()), &media);
}

// Content of several parts.
template <class... Part>
ordered_json parts(const Part&... part) {
  ordered_json list = ordered_json::array();
  (list.push_back(ordered_json(part)), ...);
  return list;
}

inline ordered_json image_part(uint32_t media) { return {{"type", "image"}, {"media", media}}; }

}  // namespace ocelli::test
