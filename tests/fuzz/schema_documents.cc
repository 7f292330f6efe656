// Documents by chance: reads lines {"schema":..,"count":n,"seed":s,"texts":[..]} and answers each
// with one: {"refused":message}, or {"documents":[..],"unfinished":n,"accepted":[..]}: n documents
// drawn under the grammar's masks with Qwen2.5's tokens, and which of the texts the grammar takes.
// Started by schemas.test.ts, which judges them:  schema_documents TOKENIZER.json < LINES
// Surprise: logits are made up, normal ones of deviation 3, and drawn from at temperature 1.5;
// after 20 to 80 tokens what closes a string, list or object goes first, or few documents would
// end.
#include <array>
#include <bit>
#include <cmath>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>

#include "grammar/grammar.h"
#include "grammar/qwen_vocabulary.h"

namespace {

using namespace ocelli;
using nlohmann::ordered_json;

constexpr int kTokensMax = 2000;  // of a document
constexpr double kTemperature = 1.5, kDeviation = 3;

// exp(logit / temperature) of so many normal logits; a token takes one by a hash of step and id.
std::array<double, 4096> weights() {
  std::array<double, 4096> out;
  std::mt19937 random(1);
  std::normal_distribution<double> normal(0, kDeviation);
  for (double& weight : out) weight = std::exp(normal(random) / kTemperature);
  return out;
}

class Writer {
 public:
  explicit Writer(const Vocabulary& vocabulary) : vocabulary_(vocabulary) {
    for (int32_t id = 0; id < QwenVocabulary::kIds; ++id) {
      if (vocabulary.bytes(id).size() == 1)
        byte_ids_[static_cast<uint8_t>(vocabulary.bytes(id)[0])] = id;
    }
  }

  bool accepts(const std::shared_ptr<Grammar>& grammar, const std::string& text) const {
    Matcher matcher(grammar);
    for (const char byte : text) {
      if (!matcher.accept(byte_ids_[static_cast<uint8_t>(byte)])) return false;
    }
    return matcher.may_end();
  }

  // Nothing: it did not end in time.
  std::optional<std::string> document(const std::shared_ptr<Grammar>& grammar,
                                      std::mt19937& random) const {
    Matcher matcher(grammar);
    std::string text;
    const int calm = 20 + static_cast<int>(random() % 60);
    for (int taken = 0; taken < kTokensMax; ++taken) {
      if (matcher.must_end()) return text;
      if (matcher.may_end() && (taken >= calm || random() % 4 == 0)) return text;
      const auto mask = matcher.mask();
      if (!mask) return std::nullopt;
      const int32_t id = taken < calm ? draw(*mask, random()) : closing(*mask, random());
      if (id < 0 && matcher.may_end()) return text;
      if (id < 0 || !matcher.accept(id)) {
        std::fprintf(stderr, "the mask lets through %d, the matcher does not\n", id);
        std::exit(1);
      }
      text += vocabulary_.bytes(id);
    }
    return std::nullopt;
  }

 private:
  int32_t closing(std::span<const uint32_t> mask, uint32_t seed) const {
    for (const char byte : {'"', ']', '}'}) {
      const int32_t id = byte_ids_[static_cast<uint8_t>(byte)];
      if (mask[static_cast<size_t>(id) / 32] >> (id % 32) & 1) return id;
    }
    return draw(mask, seed);
  }
  int32_t draw(std::span<const uint32_t> mask, uint32_t seed) const {
    double sum = 0;
    const auto each = [&](const auto& visit) {
      for (size_t word = 0; word < mask.size(); ++word) {
        for (uint32_t bits = mask[word]; bits != 0; bits &= bits - 1) {
          const auto id = static_cast<uint32_t>(word * 32) + std::countr_zero(bits);
          if (visit(static_cast<int32_t>(id), weights_[((id ^ seed) * 2654435761u) >> 20])) return;
        }
      }
    };
    each([&](int32_t, double weight) { return sum += weight, false; });
    double rest = sum * (seed >> 8) * 0x1p-24;
    int32_t chosen = -1;
    each([&](int32_t id, double weight) { return chosen = id, (rest -= weight) < 0; });
    return chosen;
  }

  const Vocabulary& vocabulary_;
  std::array<int32_t, 256> byte_ids_{};
  const std::array<double, 4096> weights_ = weights();
};

ordered_json answer(const ordered_json& line, const Vocabulary& vocabulary, const Writer& writer) {
  const auto grammar =
      compile({GrammarSource::Kind::kJsonSchema, line["schema"].dump(), "schema"}, vocabulary);
  if (!grammar) return {{"refused", grammar.error().message}};
  std::mt19937 random(line["seed"].get<uint32_t>());
  ordered_json out = {{"documents", ordered_json::array()}, {"unfinished", 0}};
  for (int i = 0; i < line["count"].get<int>(); ++i) {
    if (const auto text = writer.document(*grammar, random)) {
      out["documents"].push_back(*text);
    } else {
      out["unfinished"] = out["unfinished"].get<int>() + 1;
    }
  }
  out["accepted"] = ordered_json::array();
  for (const ordered_json& text : line["texts"])
    out["accepted"].push_back(writer.accepts(*grammar, text.get<std::string>()));
  return out;
}

}  // namespace

int main(int count, char** values) {
  if (count != 2) return std::fputs("usage: schema_documents TOKENIZER.json < LINES\n", stderr), 2;
  const QwenVocabulary qwen(values[1]);
  const Vocabulary vocabulary = qwen.make();
  const Writer writer(vocabulary);
  for (std::string line; std::getline(std::cin, line);) {
    const auto out = answer(ordered_json::parse(line), vocabulary, writer);
    std::cout << out.dump(-1, ' ', false, ordered_json::error_handler_t::replace) << "\n";
  }
  return 0;
}
