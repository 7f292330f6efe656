// Regular expressions, choices, EBNF and Lark, masks and the cache.
#include "grammar/grammar.h"

#include "grammar/vocabulary_fixture.h"

namespace ocelli {
namespace {

using Kind = GrammarSource::Kind;

class Grammars : public testing::Test {
 protected:
  std::shared_ptr<Grammar> made(Kind kind, std::string text) {
    auto grammar = compile_as(kind, text, small_.vocabulary);
    EXPECT_TRUE(grammar) << text << ": " << grammar.error().message;
    return grammar.value_or(nullptr);
  }
  void expect(Kind kind, std::string source, std::vector<std::string> yes,
              std::vector<std::string> no) {
    const auto grammar = made(kind, source);
    if (!grammar) return;
    for (const std::string& text : yes)
      EXPECT_TRUE(matches(grammar, text)) << source << " " << text;
    for (const std::string& text : no)
      EXPECT_FALSE(matches(grammar, text)) << source << " " << text;
  }
  void expect_refused(Kind kind, std::string source, std::string_view word) {
    const auto grammar = compile_as(kind, source, small_.vocabulary);
    ASSERT_FALSE(grammar) << source;
    EXPECT_EQ(grammar.error().param, "field");
    EXPECT_NE(grammar.error().message.find(word), std::string::npos) << grammar.error().message;
  }
  SmallVocabulary small_;
};

TEST_F(Grammars, RegexMatchesTheWholeText) {
  expect(Kind::kRegex, "a|bc", {"a", "bc"}, {"", "b", "abc", "ac"});
  expect(Kind::kRegex, "(ab)*c+", {"c", "abc", "ababccc"}, {"ab", "aabc"});
  expect(Kind::kRegex, "^x{2,3}$", {"xx", "xxx"}, {"x", "xxxx"});
  expect(Kind::kRegex, "(?:a{2}){3}", {"aaaaaa"}, {"aaaa", "aaaaaaa"});
  expect(Kind::kRegex, "[a-cx]+[^0-9]", {"ax", "bc\xC3\xA9"}, {"a1", "d", "a\xC3"});
  expect(Kind::kRegex, "\\d{3}-\\w\\s", {"123-_ ", "000-Z\t"}, {"12-a ", "123-- "});
  expect(Kind::kRegex, "\\u00e9|\\x41|\\u{1F600}", {"\xC3\xA9", "A", "\xF0\x9F\x98\x80"}, {"e"});
  expect(Kind::kRegex, "\xE4\xBD\xA0?.", {"\xE4\xBD\xA0x", "x"}, {"\n", "\xE4\xBD"});
  expect(Kind::kRegex, "(a?){3}b", {"b", "ab", "aaab"}, {"aaaab"});
  expect(Kind::kRegex, "(a|b){0,1000}c", {"c", "abbac", std::string(1000, 'a') + "c"},
         {std::string(1001, 'a') + "c"});
  expect(Kind::kRegex, "a{200,}", {std::string(200, 'a'), std::string(900, 'a')},
         {std::string(199, 'a')});
}

TEST_F(Grammars, RegexRefusesWhatItCannotFollow) {
  for (const char* text : {"(a", "a)", "[a", "*a", "a**", "a{3,2}", "\\", "a{1,2"}) {
    expect_refused(Kind::kRegex, text, "byte");
  }
  for (const char* text : {"a(?=b)", "(?<!a)b", "\\bword", "(a)\\1", "\\p{L}", "a^b", "(^a)b"}) {
    expect_refused(Kind::kRegex, text, "supported");
  }
  expect_refused(Kind::kRegex, "[]", "no text");
  expect_refused(Kind::kRegex, "(a?){100}", "may be empty");
  expect_refused(Kind::kRegex, std::string(200, '(') + std::string(200, ')'), "deep");
  expect_refused(Kind::kRegex, std::string(200'000, 'a'), "bytes");
}

TEST_F(Grammars, ChoiceIsOneOfItsTexts) {
  expect(Kind::kChoice, R"(["yes","no","yes, sir","é"])", {"yes", "no", "yes, sir", "\xC3\xA9"},
         {"y", "yes,", "nope", ""});
  for (const char* text : {"[]", "3", "[3]", R"([""])", R"({"a":1})"})
    expect_refused(Kind::kChoice, text, "string");
  expect_refused(Kind::kChoice, "[", "JSON");
}

TEST_F(Grammars, EbnfHasRules) {
  const char* arithmetic =
      "# sums\nroot ::= term (op term)*\nop ::= \"+\" | \"-\"\nterm ::= [0-9]{1,3}\n  | \"(\" root "
      "\")\"\n";
  expect(Kind::kEbnf, arithmetic, {"1", "1+22", "(1-(2+3))-444"},
         {"", "1+", "(1", "1234", "1 + 2"});
  expect(Kind::kEbnf, "root ::= \"\\u00e9\\n\" [^a-z\\n]+", {"\xC3\xA9\n12"}, {"\xC3\xA9\n1a"});
  expect(Kind::kEbnf, "root ::= \"a\" root | \"\"", {"", "aaaa"}, {"b"});
  for (const auto& [source, word] : {std::pair{"root ::= root \"a\" | \"b\"", "left-recursive"},
                                     {"root ::= x", "not defined"},
                                     {"a ::= \"b\"", "no rule \"root\""},
                                     {"root ::= \"a", "without an end"},
                                     {"root ::= (\"a\"", "unmatched"},
                                     {"root ::= \"a\"\nroot ::= \"b\"", "second"},
                                     {"root ::= \"a\" (= \"b\")", "lookahead"},
                                     {"root ::= \"a\" root", "no text"},
                                     {"root ::= x \"a\"\nx ::= \"\" | root", "left-recursive"}}) {
    expect_refused(Kind::kEbnf, source, word);
  }
}

TEST_F(Grammars, LarkHasRules) {
  const char* lark =
      "%import common.INT\n// a list\nstart: \"[\" [item (\",\" item)*] \"]\" -> list\n"
      "?item: INT | NAME | start\nNAME.2: /[a-z]+/\n";
  expect(Kind::kEbnf, lark, {"[]", "[1,a]", "[[12],xyz]"}, {"[", "[,]", "[A]"});
  expect(Kind::kEbnf, "start: \"a\"..\"c\" ~ 2..3", {"ab", "cba"}, {"a", "abca", "ad"});
  for (const auto& [source, word] : {std::pair{"start: \"a\"\n%ignore \" \"", "%ignore"},
                                     {"start: \"a\"i", "case"},
                                     {"start: /a/i", "flags"},
                                     {"other: \"a\"", "no rule \"start\""},
                                     {"%import common.SQL\nstart: SQL", "unsupported"}}) {
    expect_refused(Kind::kEbnf, source, word);
  }
}

TEST_F(Grammars, MaskIsWhatAcceptAllows) {
  const char* sources[] = {"(hello| world|[a-c]{2,4})+", "\"(\\w|\xC3\xA9|\xE4\xBD\xA0)*\"",
                           "[0-9]{2,9}"};
  std::mt19937 random(7);
  for (const char* source : sources) {
    const auto grammar = made(Kind::kRegex, source);
    Matcher matcher(grammar);
    for (int step = 0; step < 40 && !matcher.must_end(); ++step) {
      const auto mask = matcher.mask();
      ASSERT_TRUE(mask);
      std::vector<int32_t> allowed;
      for (int32_t id = 0; id < static_cast<int32_t>(small_.tokens.size()); ++id) {
        Matcher copy = matcher;
        const bool accepted = copy.accept(id);
        EXPECT_EQ(accepted, allows(*mask, id)) << source << " " << small_.tokens[id];
        if (accepted) allowed.push_back(id);
      }
      if (allowed.empty()) break;
      matcher.accept(allowed[random() % allowed.size()]);
    }
  }
}

TEST_F(Grammars, HeldStatesOutliveTheOthers) {
  // Each count is a state of its own: far more of them than are kept.
  const auto grammar = made(Kind::kRegex, "([a-z]{1,9}[0-9]){1000}(x|[a-f]{50000})");
  Matcher matcher(grammar), other(grammar);
  ASSERT_TRUE(other.accept('q'));
  size_t before = 0, forgotten = 0;
  const auto look = [&](int i) {
    if (i % 50 != 0) return true;
    const Matcher copy = matcher;
    const bool fine = matcher.mask().has_value();
    forgotten += grammar->automaton().bytes() < before;
    before = grammar->automaton().bytes();
    return fine;
  };
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(look(i) && matcher.accept('q') && matcher.accept('7')) << i;
  }
  for (int i = 0; i < 30'000; ++i) {
    ASSERT_TRUE(look(i) && matcher.accept('a')) << i;
  }
  EXPECT_GE(forgotten, 2u);
  EXPECT_LT(grammar->automaton().bytes(), kAutomatonBytesHard);
  EXPECT_FALSE(matcher.accept('x'));
  // One letter has been read, so nine more are one too many.
  for (int i = 0; i < 8; ++i) ASSERT_TRUE(other.accept('q')) << i;
  EXPECT_FALSE(other.accept('q'));
  EXPECT_TRUE(other.accept('7'));
  EXPECT_EQ(grammar->held().size(), 2u);
}

// Near and far from each bound of a count, with tokens that cross it, in loops within loops.
TEST_F(Grammars, MasksOfCountsAreExact) {
  std::vector<std::string> tokens = small_.tokens;
  tokens.resize(256);
  for (int length = 2; length <= 40; ++length) {
    tokens.emplace_back(length, 'a');
    tokens.push_back(std::string(static_cast<size_t>(length) - 1, 'a') + "b");
    if (length % 3 == 0) tokens.push_back(std::string(static_cast<size_t>(length), 'a') + "ba");
  }
  const Vocabulary vocabulary(static_cast<int>(tokens.size()),
                              [&](int32_t id) { return std::string_view(tokens[id]); }, {});
  for (const char* source :
       {"a{0,60}b", "a{30,60}b", "a{45}b", "a{50,}b", "a{19,20}(ba)?", "(a{2,30}b){1,25}",
        "((a{1,3}){1,22}b){20,40}", "(a?b?){0,30}", "(a{0,40}|(aa){3,25}b){1,3}"}) {
    const auto grammar = compile_as(Kind::kRegex, source, vocabulary);
    ASSERT_TRUE(grammar) << source << ": " << grammar.error().message;
    Matcher matcher(*grammar);
    for (int step = 0; step < 80; ++step) {
      const auto mask = matcher.mask();
      ASSERT_TRUE(mask) << source;
      for (int32_t id = 'a'; id < static_cast<int32_t>(tokens.size()); ++id) {
        Matcher copy = matcher;
        ASSERT_EQ(copy.accept(id), allows(*mask, id)) << source << " " << step << " " << tokens[id];
      }
      if (!matcher.accept('a') && !matcher.accept('b')) break;
    }
  }
}

TEST_F(Grammars, TooAmbiguousEndsWithAnError) {
  // Every byte may be the count of any of many loops.
  std::string source = "root ::= \"x\" ";
  for (int i = 0; i < 60; ++i) source += "([ab]{0,200}){0,60} ";
  const auto grammar = compile_as(Kind::kEbnf, source, small_.vocabulary);
  ASSERT_TRUE(grammar) << grammar.error().message;
  Matcher matcher(*grammar);
  const Result<std::span<const uint32_t>> mask = matcher.mask();
  ASSERT_FALSE(mask);
  EXPECT_NE(mask.error().message.find("ambiguous"), std::string::npos) << mask.error().message;
}

TEST_F(Grammars, CacheKeepsTheLastOnes) {
  GrammarCache cache;
  const auto get = [&](const std::string& text) {
    return *cache.get({Kind::kRegex, text, "field"}, small_.vocabulary);
  };
  const auto first = get("first");
  EXPECT_EQ(get("first"), first);
  for (size_t i = 0; i + 1 < kGrammarsKept; ++i) get("x" + std::to_string(i));
  EXPECT_EQ(get("first"), first);
  EXPECT_EQ(cache.size(), kGrammarsKept);
  for (size_t i = 0; i < kGrammarsKept; ++i) get("y" + std::to_string(i));
  EXPECT_NE(get("first"), first);
  EXPECT_FALSE(cache.get({Kind::kRegex, "(", "field"}, small_.vocabulary));
}

TEST_F(Grammars, RandomSourcesNeverCrash) {
  std::mt19937 random(11);
  const std::string letters = "ab()[]{}|*+?^$\\.,-:=\"'/\n 0129~%#rotstu<>";
  int compiled = 0;
  for (int i = 0; i < 1500; ++i) {
    std::string text = i % 3 == 1 ? "root ::= " : i % 3 == 2 ? "start: " : "";
    for (uint32_t n = random() % 24; n > 0; --n) text += letters[random() % letters.size()];
    const auto grammar =
        compile_as(i % 3 == 0 ? Kind::kRegex : Kind::kEbnf, text, small_.vocabulary);
    if (!grammar) continue;
    ++compiled;
    const auto made = walk(*grammar, small_.tokens, random, 20);
    if (made) EXPECT_TRUE(matches(*grammar, *made)) << text;
  }
  EXPECT_GT(compiled, 40);
}

}  // namespace
}  // namespace ocelli
