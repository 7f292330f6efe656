// What a request asks its answer to be, and the way from there to a Grammar. Used by the engine.
#pragma once

#include <list>
#include <memory>
#include <string>

#include "base/result.h"
#include "grammar/matcher.h"

namespace ocelli {

inline constexpr size_t kGrammarBytesMax = 128 << 10;  // of a source
inline constexpr size_t kGrammarsKept = 16;
inline constexpr size_t kGrammarCacheBytes = 16 << 20;  // those of running requests stay besides

struct GrammarSource {
  enum class Kind : uint8_t {
    kJsonSchema,     // a schema
    kRegex,          // the whole answer matches
    kChoice,         // a JSON list of strings
    kEbnf,           // EBNF or Lark
    kStructuralTag,  // {"structures":[{"begin","schema","end"}],"triggers":[..]}: text around them
    kTools,          // see tools.h
  };
  Kind kind = Kind::kJsonSchema;
  std::string text;
  std::string field;  // of the request, for messages
};

// kInvalidValue or kUnsupportedFeature, with source.field as the parameter and the reason in words.
Result<std::shared_ptr<Grammar>> compile(const GrammarSource& source, const Vocabulary& vocabulary);

// The grammars used last, so that a schema that comes again is not read again and its masks are
// there. One per engine.
class GrammarCache {
 public:
  Result<std::shared_ptr<Grammar>> get(const GrammarSource& source, const Vocabulary& vocabulary);
  size_t size() const { return kept_.size(); }

 private:
  struct Entry {
    GrammarSource::Kind kind;
    std::string text;
    std::shared_ptr<Grammar> grammar;
  };
  std::list<Entry> kept_;  // last used first
};

}  // namespace ocelli
