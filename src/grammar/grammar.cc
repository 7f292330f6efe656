#include "grammar/grammar.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "grammar/ebnf.h"
#include "grammar/json_schema.h"
#include "grammar/regex.h"
#include "grammar/tags.h"

namespace ocelli {
namespace {

using Kind = GrammarSource::Kind;

Rules::Part choice(Rules& rules, const Schema& list) {
  std::vector<std::string> texts;
  if (!list.is_array() || list.empty()) rules.problem("must be a list of at least one string");
  for (const Schema& one : list) {
    if (!one.is_string() || one.get_ref<const std::string&>().empty()) {
      rules.problem("must be a list of strings that are not empty, got " +
                    one.dump().substr(0, 100));
      break;
    }
    texts.push_back(one.get<std::string>());
  }
  return rules.one_of(texts);
}

std::string marker(const Vocabulary& vocabulary, const std::string& text) {
  return vocabulary.has_marker(text) ? kMarkerByte + text : text;
}

}  // namespace

Result<std::shared_ptr<Grammar>> compile(const GrammarSource& source,
                                         const Vocabulary& vocabulary) {
  const auto refuse = [&](const std::string& why, Status status = Status::kInvalidValue) {
    return fail(status, source.field + " " + why, source.field);
  };
  if (source.text.size() > kGrammarBytesMax) {
    return refuse("has " + std::to_string(source.text.size()) + " bytes, at most " +
                  std::to_string(kGrammarBytesMax) + " are allowed");
  }
  Rules rules;
  JsonSchemas schemas(rules);
  Schema json;
  const bool is_text = source.kind == Kind::kRegex || source.kind == Kind::kEbnf;
  if (!is_text) {
    json = Schema::parse(source.text, nullptr, false);
    if (json.is_discarded()) return refuse("is no JSON");
  }
  int32_t root = -1;
  if (source.kind == Kind::kEbnf) {
    root = ebnf(rules, source.text);
  } else {
    root = rules.declare("root");
    Rules::Part part;
    switch (source.kind) {
      case Kind::kJsonSchema:
        part = schemas.document(json);
        break;
      case Kind::kRegex:
        part = regex(rules, source.text, Spelling::kPlain);
        break;
      case Kind::kChoice:
        part = choice(rules, json);
        break;
      case Kind::kStructuralTag:
        part = structural_tag(rules, schemas, json);
        break;
      case Kind::kTools:
        part = tool_calls(rules, schemas, json, marker(vocabulary, "<tool_call>"),
                          marker(vocabulary, "</tool_call>"));
        break;
      case Kind::kEbnf:
        break;
    }
    rules.define(root, part);
  }
  if (!schemas.unsupported().empty()) {
    return refuse("has schema keywords that are not supported: " + schemas.unsupported(),
                  Status::kUnsupportedFeature);
  }
  if (Result<void> done = rules.finish(root); !done) return refuse(done.error().message);
  auto grammar = std::make_shared<Grammar>(std::move(rules), vocabulary);
  if (grammar->automaton().exhausted()) return refuse("is too ambiguous at its beginning");
  return grammar;
}

Result<std::shared_ptr<Grammar>> GrammarCache::get(const GrammarSource& source,
                                                   const Vocabulary& vocabulary) {
  const auto found = std::ranges::find_if(kept_, [&](const Entry& entry) {
    return entry.kind == source.kind && entry.text == source.text;
  });
  if (found != kept_.end()) {
    kept_.splice(kept_.begin(), kept_, found);
    return found->grammar;
  }
  OCELLI_TRY(auto grammar, compile(source, vocabulary));
  kept_.push_front({source.kind, source.text, grammar});
  size_t bytes = 0, fitting = 0;
  for (const Entry& entry : kept_) {
    bytes += entry.grammar->bytes();
    if (bytes > kGrammarCacheBytes || fitting == kGrammarsKept) break;
    ++fitting;
  }
  kept_.resize(std::max<size_t>(1, fitting));
  return grammar;
}

}  // namespace ocelli
