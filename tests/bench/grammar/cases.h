// What the benchmark of grammars compiles and walks: ordinary ones and each worst case we know of.
// Used by main.cc.
#pragma once

#include <string>
#include <vector>

#include "grammar/grammar.h"

namespace ocelli::bench {

struct GrammarCase {
  std::string name;
  GrammarSource::Kind kind;
  std::string text;
  // The walk goes on in a text of this kind until it must close, so that long ones get long.
  int tokens = 300;
};

std::vector<GrammarCase> grammar_cases();

}  // namespace ocelli::bench
