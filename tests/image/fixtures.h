// What the tests of this folder share: golden files, the hash and the pseudo-random pictures of
// models/reference/images.py.
#pragma once

#include <cstdint>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "image/image.h"

namespace ocelli {

// Through stdio: the standard library of the WASI builds has no file streams. Empty when it is
// missing.
inline std::vector<uint8_t> read_golden_image(const std::string& name) {
  std::vector<uint8_t> bytes;
  const std::string path = std::string(OCELLI_ROOT) + "/tests/golden/images/" + name;
  std::FILE* file = std::fopen(path.c_str(), "rb");
  if (file == nullptr) return bytes;
  uint8_t block[4096];
  while (const size_t count = std::fread(block, 1, sizeof block, file)) {
    bytes.insert(bytes.end(), block, block + count);
  }
  std::fclose(file);
  return bytes;
}

inline const nlohmann::json& golden_images() {
  static const nlohmann::json expected = [] {
    const auto bytes = read_golden_image("expected.json");
    return nlohmann::json::parse(bytes.begin(), bytes.end(), nullptr, false);
  }();
  return expected;
}

inline std::string fnv1a(std::span<const uint8_t> bytes) {
  uint64_t value = 0xcbf29ce484222325u;
  for (const uint8_t byte : bytes) value = (value ^ byte) * 0x100000001b3u;
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
  return text;
}

inline Image noise(int width, int height, uint32_t seed) {
  Image image{.width = width, .height = height, .rgb = {}};
  image.rgb.resize(size_t(width) * size_t(height) * 3);
  for (uint8_t& value : image.rgb) {
    seed = seed * 1664525u + 1013904223u;
    value = static_cast<uint8_t>(seed >> 24);
  }
  return image;
}

}  // namespace ocelli
