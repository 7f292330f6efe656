// json.dumps(value, ensure_ascii=False) and random values, for the tests of this folder.
#pragma once

#include <nlohmann/json.hpp>
#include <random>
#include <string>

namespace ocelli {

inline std::string python_dumps(const nlohmann::ordered_json& value) {
  std::string out;
  if (value.is_object()) {
    for (const auto& [key, item] : value.items()) {
      if (!out.empty()) out += ", ";
      out += nlohmann::json(key).dump() + ": " + python_dumps(item);
    }
    return "{" + out + "}";
  }
  if (value.is_array()) {
    for (const auto& item : value) {
      if (!out.empty()) out += ", ";
      out += python_dumps(item);
    }
    return "[" + out + "]";
  }
  return value.dump();
}

inline std::string random_text(std::mt19937& random) {
  static const char* const kPieces[] = {
      "a",  "London", " ",    "\"",          "\\",           "\n",           "}",
      "{",  "]",      ", ",   ": ",          "\x01",         "\xc3\xa9",     "\xf0\x9f\x98\x80",
      "\t", "'",      "</to", "<tool_call>", "</tool_call>", "\xe4\xb8\xad", "u00e9"};
  std::string text;
  for (size_t i = random() % 6; i > 0; --i) text += kPieces[random() % std::size(kPieces)];
  return text;
}

inline nlohmann::ordered_json random_json(std::mt19937& random, int depth) {
  switch (random() % (depth > 0 ? 8 : 6)) {
    case 0:
      return nullptr;
    case 1:
      return random() % 2 == 0;
    case 2:
      return static_cast<int>(random() % 2000) - 1000;
    case 3:
      return (static_cast<int>(random() % 2000) - 1000) / 8.0;
    case 4:
    case 5:
      return random_text(random);
    case 6: {
      auto list = nlohmann::ordered_json::array();
      for (size_t i = random() % 4; i > 0; --i) list.push_back(random_json(random, depth - 1));
      return list;
    }
    default: {
      auto object = nlohmann::ordered_json::object();
      for (size_t i = random() % 4; i > 0; --i)
        object[random_text(random)] = random_json(random, depth - 1);
      return object;
    }
  }
}

}  // namespace ocelli
