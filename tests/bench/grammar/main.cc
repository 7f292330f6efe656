// The benchmark of grammars: what compiling one costs, and what it costs per token, with the real
// vocabulary. Prints one JSON object a case. Started by tests/bench/grammar.mjs, natively and as
// WebAssembly; never part of the shipped modules.
//   bench_grammar TOKENIZER.json [--walks N] [--filter TEXT] [--list]
// Surprise: each walk compiles its grammar afresh, so that nothing is known at its first token, as
// in the first request of a kind. A walk draws from the tokens that may come next and ends only
// where it must, which makes texts as long and as odd as a grammar allows.
#include <algorithm>
#include <bit>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <random>

#include "bench/grammar/cases.h"
#include "grammar/qwen_vocabulary.h"

namespace {

using namespace ocelli;
using namespace ocelli::bench;

double ms_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
      .count();
}

// One token of those allowed; once in eight times one of a single byte, so that strings end before
// they are full. -1: none.
int32_t draw(std::span<const uint32_t> mask, const Vocabulary& vocabulary, std::mt19937& random) {
  std::vector<int32_t> allowed, single;
  for (size_t word = 0; word < mask.size(); ++word) {
    for (uint32_t bits = mask[word]; bits != 0; bits &= bits - 1) {
      allowed.push_back(static_cast<int32_t>(word * 32) + std::countr_zero(bits));
      if (vocabulary.bytes(allowed.back()).size() == 1) single.push_back(allowed.back());
    }
  }
  if (random() % 8 == 0 && !single.empty()) allowed = std::move(single);
  return allowed.empty() ? -1 : allowed[random() % allowed.size()];
}

struct Figures {
  std::vector<double> compile_ms, token_ms;
  std::string problem;
};

Figures measure(const GrammarCase& one, const Vocabulary& vocabulary, int walks) {
  Figures out;
  for (int walk = 0; walk < walks; ++walk) {
    std::mt19937 random(static_cast<uint32_t>(walk) + 1);
    const auto begin = std::chrono::steady_clock::now();
    const auto grammar = compile({one.kind, one.text, "grammar"}, vocabulary);
    out.compile_ms.push_back(ms_since(begin));
    if (!grammar) {
      out.problem = grammar.error().message;
      return out;
    }
    Matcher matcher(*grammar);
    for (int taken = 0; taken < one.tokens && !matcher.must_end(); ++taken) {
      const auto before = std::chrono::steady_clock::now();
      const auto mask = matcher.mask();
      double ms = ms_since(before);
      if (!mask) {
        out.problem = mask.error().message;
        break;
      }
      const int32_t id = draw(*mask, vocabulary, random);
      if (id < 0) break;
      const auto again = std::chrono::steady_clock::now();
      matcher.accept(id);
      ms += ms_since(again);
      out.token_ms.push_back(ms);
    }
  }
  return out;
}

double at(std::vector<double>& sorted, double part) {
  if (sorted.empty()) return 0;
  return sorted[static_cast<size_t>(part * static_cast<double>(sorted.size() - 1))];
}

void print(const GrammarCase& one, Figures& figures) {
  std::ranges::sort(figures.compile_ms);
  std::ranges::sort(figures.token_ms);
  double sum = 0;
  for (const double ms : figures.token_ms) sum += ms;
  nlohmann::ordered_json out = {
      {"case", one.name},
      {"tokens", figures.token_ms.size()},
      {"compile_ms", at(figures.compile_ms, 0.5)},
      {"mean_ms",
       figures.token_ms.empty() ? 0 : sum / static_cast<double>(figures.token_ms.size())},
      {"median_ms", at(figures.token_ms, 0.5)},
      {"p99_ms", at(figures.token_ms, 0.99)},
      {"max_ms", at(figures.token_ms, 1)}};
  if (!figures.problem.empty()) out["problem"] = figures.problem;
  std::printf("%s\n", out.dump().c_str());
  std::fflush(stdout);
}

}  // namespace

int main(int count, char** values) {
  int walks = 3;
  std::string filter;
  bool list = false;
  for (int i = 2; i < count; ++i) {
    const std::string word = values[i];
    if (word == "--list") {
      list = true;
    } else if (word == "--walks" && i + 1 < count) {
      walks = std::max(1, std::atoi(values[++i]));
    } else if (word == "--filter" && i + 1 < count) {
      filter = values[++i];
    } else {
      count = 0;
    }
  }
  if (count < 2) {
    std::fputs("usage: bench_grammar TOKENIZER.json [--walks N] [--filter TEXT] [--list]\n",
               stderr);
    return 2;
  }
  const QwenVocabulary qwen(values[1]);
  const auto begin = std::chrono::steady_clock::now();
  const Vocabulary vocabulary = qwen.make();
  std::printf("{\"case\":\"vocabulary\",\"compile_ms\":%.3f}\n", ms_since(begin));
  for (const GrammarCase& one : grammar_cases()) {
    if (one.name.find(filter) == std::string::npos) continue;
    if (list) {
      std::printf("{\"case\":\"%s\"}\n", one.name.c_str());
      continue;
    }
    Figures figures = measure(one, vocabulary, walks);
    print(one, figures);
  }
  return 0;
}
