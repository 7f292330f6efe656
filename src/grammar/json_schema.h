// JSON schemas as parts of Rules: what they allow is written compactly, properties in the order in
// which the schema lists them, others behind those. Surprise: a grammar may allow less than its
// schema, never more: what cannot be followed exactly is refused by name. `properties` without
// additionalProperties allow no others, and a keyword about objects means an object.
#pragma once

#include <deque>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "grammar/rules.h"
#include "grammar/schema_merge.h"

namespace ocelli {

class JsonSchemas {
 public:
  explicit JsonSchemas(Rules& rules) : rules_(rules) {}

  Rules::Part any_value();
  Rules::Part any_object();
  // A whole schema with definitions of its own; it is copied. Problems go to the rules; what is not
  // supported is listed by unsupported().
  Rules::Part document(const Schema& schema);
  // "not (at #/properties/a), if (at #)"; empty when there is none.
  const std::string& unsupported() const { return unsupported_; }

 private:
  Rules::Part value(const Schema& schema, const std::string& path, int depth);
  Rules::Part join(const Schema& schema, const std::string& path, int depth);
  Rules::Part branches(const Schema& schema, const char* keyword, const std::string& path,
                       int depth);
  Rules::Part listed(const Schema& schema);
  Rules::Part of_type(const Schema& schema, const std::string& type, const std::string& path,
                      int depth);
  Rules::Part object(const Schema& schema, const std::string& path, int depth);
  Rules::Part array(const Schema& schema, const std::string& path, int depth);
  Rules::Part distinct(const Schema& schema, const std::string& path, int64_t least, int64_t most);
  std::vector<std::string> few_values(const Schema& schema) const;
  struct Members;
  bool read_members(const Schema& schema, const std::string& path, Members& out);
  bool read_names(const Schema& given, const std::string& path, Members& out);
  Rules::Part key_of(const Members& members);
  Rules::Part reference(const std::string& pointer, int depth);
  Rules::Part separator(char c);
  const Schema* resolve(std::string_view pointer) const;
  bool known_keywords(const Schema& schema, const std::string& path);
  void refuse(const std::string& what, const std::string& path);  // adds to unsupported()

  Rules& rules_;
  std::deque<Schema> documents_;
  const Schema* root_ = nullptr;
  std::map<std::pair<const Schema*, std::string>, int32_t> references_;
  int32_t any_value_ = -1, any_object_ = -1, any_string_ = -1;
  int compiled_ = 0, joined_ = 0;
  std::string unsupported_;
};

}  // namespace ocelli
