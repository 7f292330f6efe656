// Checked reading of JSON objects from outside (manifests, source configs): every access names the
// field, its value and the allowed range when it fails. Used by manifest.cc and models/convert. The
// first problem is kept in JsonIssues and reading goes on with harmless values, so that a reader is
// a plain list of fields; look at `issues.first` once at the end.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace ocelli {

struct JsonIssues {
  Status status = Status::kInvalidManifest;
  std::string file;  // "manifest.json", becomes Error::param
  std::optional<Error> first;

  void add(std::string message);
};

// Parses text that must be one JSON object nested at most 64 deep; adds an issue and returns {}
// otherwise.
nlohmann::json parse_json_object(std::string_view text, JsonIssues& issues);

class JsonObject {
 public:
  // `value` must outlive the reader; anything but an object becomes an issue. `path` is "" at the
  // root.
  JsonObject(const nlohmann::json& value, std::string path, JsonIssues& issues);

  // Present and not null.
  bool has(std::string_view key) const { return find(key) != nullptr; }
  // The value, or null when absent or JSON null.
  const nlohmann::json* find(std::string_view key) const;

  // Absent fields are an issue, unless a fallback is given.
  int64_t integer(std::string_view key, int64_t low, int64_t high,
                  std::optional<int64_t> fallback = {}) const;
  double number(std::string_view key, double low, double high,
                std::optional<double> fallback = {}) const;
  bool boolean(std::string_view key, std::optional<bool> fallback = {}) const;
  std::string text(std::string_view key, const std::optional<std::string>& fallback = {}) const;
  std::vector<int64_t> integers(std::string_view key, int64_t low, int64_t high,
                                size_t count_max) const;
  std::vector<double> numbers(std::string_view key, double low, double high, size_t count) const;
  std::vector<std::string> texts(std::string_view key, size_t count_max) const;
  JsonObject object(std::string_view key) const;  // an empty one when absent (an issue)
  // Elements of a list of objects.
  std::vector<JsonObject> objects(std::string_view key, size_t count_max) const;

  // "config.text.hidden"
  std::string path_of(std::string_view key) const;
  JsonIssues& issues() const { return *issues_; }

 private:
  const nlohmann::json* list(std::string_view key, size_t count_max) const;
  int64_t to_integer(const nlohmann::json& value, const std::string& where, int64_t low,
                     int64_t high) const;
  double to_number(const nlohmann::json& value, const std::string& where, double low,
                   double high) const;
  std::string to_text(const nlohmann::json& value, const std::string& where) const;
  void missing(std::string_view key) const;

  const nlohmann::json* value_;
  std::string path_;
  JsonIssues* issues_;
};

// A JSON value for a message, cut after 40 bytes.
std::string json_excerpt(const nlohmann::json& value);

}  // namespace ocelli
