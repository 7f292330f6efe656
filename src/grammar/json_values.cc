#include "grammar/json_values.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "grammar/product.h"

namespace ocelli {
namespace {

using nlohmann::ordered_json;

constexpr int64_t kIntegerMax = 999'999'999'999'999;  // kDigitsMax nines
constexpr int kDecimalsMax = 6;                       // of a bound
constexpr int64_t kMultiplesMax = 1000;               // listed
constexpr int64_t kRemaindersMax = 256;               // told apart

const ordered_json* field(const ordered_json& schema, const char* name) {
  const auto found = schema.find(name);
  return found == schema.end() ? nullptr : &*found;
}

std::string digits_of(int64_t value, size_t width) {
  std::string digits = std::to_string(value);
  if (digits.size() < width) digits.insert(0, width - digits.size(), '0');
  return digits;
}

// Numbers of as many digits as `low` and `high` have, from one to the other; a point goes in before
// the last `decimals`. tight: still equal to the beginning of low (1), of high (2).
Rules::Part digits_between(Rules& rules, const std::string& low, const std::string& high,
                           size_t decimals) {
  const Rules::Part part = rules.never();
  std::map<std::pair<size_t, int>, int32_t> states = {{{0, 3}, part.from}};
  for (size_t i = 0; i < low.size(); ++i) {
    for (int tight = 0; tight < 4; ++tight) {
      const auto at = states.find({i, tight});
      if (at == states.end()) continue;
      int32_t from = at->second;
      if (decimals > 0 && i == low.size() - decimals) {
        const int32_t behind = rules.state();
        rules.bytes(from, behind, '.', '.');
        from = behind;
      }
      const char first = (tight & 1) ? low[i] : '0', last = (tight & 2) ? high[i] : '9';
      for (char digit = first; digit <= last; ++digit) {
        const int next =
            ((tight & 1) && digit == first ? 1 : 0) | ((tight & 2) && digit == last ? 2 : 0);
        const auto [to, fresh] = states.try_emplace({i + 1, next}, part.to);
        if (fresh && i + 1 < low.size()) to->second = rules.state();
        rules.bytes(from, to->second, static_cast<uint8_t>(digit), static_cast<uint8_t>(digit));
      }
    }
  }
  return part;
}

// 0 <= low <= high, without a sign.
void add_unsigned(Rules& rules, int64_t low, int64_t high, size_t decimals,
                  std::vector<Rules::Part>& out) {
  const size_t narrow = decimals + 1;
  for (size_t width = digits_of(low, narrow).size(); width <= digits_of(high, narrow).size();
       ++width) {
    std::string from =
        width == narrow ? std::string(width, '0') : "1" + std::string(width - 1, '0');
    std::string to(width, '9');
    if (digits_of(low, narrow).size() == width) from = digits_of(low, narrow);
    if (digits_of(high, narrow).size() == width) to = digits_of(high, narrow);
    out.push_back(digits_between(rules, from, to, decimals));
  }
}

// All of [low, high] / 10^decimals, each written with that many decimals. Never "-0".
Rules::Part fixed(Rules& rules, int64_t low, int64_t high, size_t decimals) {
  std::vector<Rules::Part> parts;
  if (low < 0) {
    std::vector<Rules::Part> below;
    add_unsigned(rules, std::max<int64_t>(1, -high), -low, decimals, below);
    parts.push_back(rules.sequence(rules.literal("-"), rules.choice(below)));
  }
  if (high >= 0) add_unsigned(rules, std::max<int64_t>(0, low), high, decimals, parts);
  return rules.choice(parts);
}

// A bound as an integer times 10^-decimals, exactly as it is written.
struct Decimal {
  int64_t value = 0;
  int decimals = 0;
};

bool read_decimal(const ordered_json& number, Decimal& out) {
  if (number.is_number_unsigned() && number.get<uint64_t>() > uint64_t{INT64_MAX}) return false;
  std::string text = number.dump();
  if (text.find('e') != std::string::npos) return false;
  const size_t point = text.find('.');
  if (point != std::string::npos) {
    text.erase(point, 1);
    while (text.size() > point && text.back() == '0') text.pop_back();
    out.decimals = static_cast<int>(text.size() - point);
  }
  if (text.size() > kDigitsMax + 1 || out.decimals > kDecimalsMax) {
    // A bound beyond every number that is written bounds nothing.
    if (out.decimals > 0) return false;
    out.value = text[0] == '-' ? -kIntegerMax - 1 : kIntegerMax + 1;
    return true;
  }
  int64_t value = 0;
  for (const char c : text) {
    if (c != '-') value = value * 10 + (c - '0');
  }
  out.value = text[0] == '-' ? -value : value;
  return true;
}

struct Bounds {
  bool any = false, low_open = false, high_open = false;
  Decimal low{-kIntegerMax, 0}, high{kIntegerMax, 0};
};

int64_t scaled(Decimal number, int decimals) {
  for (int i = number.decimals; i < decimals; ++i) {
    if (number.value > kIntegerMax / 10 || number.value < -kIntegerMax / 10)
      return number.value < 0 ? -kIntegerMax : kIntegerMax;
    number.value *= 10;
  }
  return number.value;
}

bool less(Decimal a, Decimal b) {
  const int decimals = std::max(a.decimals, b.decimals);
  return scaled(a, decimals) < scaled(b, decimals);
}

bool read_bounds(Rules& rules, const ordered_json& schema, Bounds& out) {
  const auto read = [&](const char* name, bool upper, bool open) {
    const ordered_json* value = field(schema, name);
    if (!value || value->is_boolean()) return true;  // draft 4 has exclusiveMinimum: true
    Decimal bound;
    if (!value->is_number() || !read_decimal(*value, bound)) {
      rules.problem(std::string("has ") + name + " " + value->dump() +
                    ", which is no number that can be followed exactly (at most " +
                    std::to_string(kDecimalsMax) + " decimals)");
      return false;
    }
    Decimal& old = upper ? out.high : out.low;
    bool& old_open = upper ? out.high_open : out.low_open;
    if (upper ? less(bound, old) : less(old, bound)) {
      old = bound;
      old_open = open;
    } else if (!less(bound, old) && !less(old, bound)) {
      old_open = old_open || open;
    }
    out.any = true;
    return true;
  };
  const auto flag = [&](const char* name) {
    const ordered_json* value = field(schema, name);
    return value && value->is_boolean() && value->get<bool>();
  };
  return read("minimum", false, flag("exclusiveMinimum")) &&
         read("maximum", true, flag("exclusiveMaximum")) && read("exclusiveMinimum", false, true) &&
         read("exclusiveMaximum", true, true);
}

int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b != 0 && a < 0); }

// The integers within the bounds.
std::pair<int64_t, int64_t> integers_within(const Bounds& bounds) {
  int64_t unit = 1;
  for (int i = 0; i < bounds.low.decimals; ++i) unit *= 10;
  int64_t low = -floor_div(-bounds.low.value, unit);
  if (bounds.low_open && low * unit == bounds.low.value) ++low;
  unit = 1;
  for (int i = 0; i < bounds.high.decimals; ++i) unit *= 10;
  int64_t high = floor_div(bounds.high.value, unit);
  if (bounds.high_open && high * unit == bounds.high.value) --high;
  return {std::max(low, -kIntegerMax), std::min(high, kIntegerMax)};
}

Rules::Part multiples(Rules& rules, int64_t step, int64_t low, int64_t high, bool any_bounds) {
  if (any_bounds) {
    const int64_t first = -floor_div(-low, step) * step;
    if ((high - first) / step > kMultiplesMax) {
      rules.problem("has multipleOf " + std::to_string(step) + " with bounds around more than " +
                    std::to_string(kMultiplesMax) + " numbers");
      return rules.never();
    }
    std::vector<std::string> all;
    for (int64_t value = first; value <= high; value += step) all.push_back(std::to_string(value));
    return rules.one_of(all);
  }
  if (step > kRemaindersMax) {
    rules.problem("has multipleOf " + std::to_string(step) + ", at most " +
                  std::to_string(kRemaindersMax) + " is supported without bounds");
    return rules.never();
  }
  // A state per remainder and number of digits.
  const Rules::Part part = rules.never();
  std::vector<int32_t> states(static_cast<size_t>(step), -1), next(states);
  rules.bytes(part.from, part.to, '0', '0');
  const int32_t first = rules.state();
  rules.empty(part.from, first);
  rules.bytes(part.from, first, '-', '-');
  const auto read = [&](int32_t from, int64_t rest, int digit) {
    int32_t& to = next[static_cast<size_t>((rest * 10 + digit) % step)];
    if (to < 0) to = rules.state();
    rules.bytes(from, to, static_cast<uint8_t>('0' + digit), static_cast<uint8_t>('0' + digit));
  };
  for (int digit = 1; digit <= 9; ++digit) read(first, 0, digit);
  for (int digits = 1; digits < kDigitsMax; ++digits) {
    states.swap(next);
    std::ranges::fill(next, -1);
    for (int64_t rest = 0; rest < step; ++rest) {
      const int32_t from = states[static_cast<size_t>(rest)];
      if (from < 0) continue;
      for (int digit = 0; digit <= 9; ++digit) read(from, rest, digit);
    }
    if (states[0] >= 0) rules.empty(states[0], part.to);
  }
  return part;
}

struct Format {
  const char* name;
  const char* pattern;
  int least, most;  // characters
};

#define OCELLI_DATE                                                                        \
  "[0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|" \
  "02-(0[1-9]|1[0-9]|2[0-8]))"
#define OCELLI_TIME \
  "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
#define OCELLI_HOST "[A-Za-z0-9]{1,20}(-[A-Za-z0-9]{1,20})?(\\.[A-Za-z]{2,12}){1,3}"
#define OCELLI_BYTE "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
#define OCELLI_CLOCK \
  "T([0-9]{1,2}H([0-9]{1,2}M([0-9]{1,2}S)?)?|[0-9]{1,2}M([0-9]{1,2}S)?|[0-9]{1,2}S)"

// What is allowed of each format: usual spellings, each valid by its standard, not all of them.
constexpr Format kFormats[] = {
    {"date", OCELLI_DATE, 10, 10},
    {"time", OCELLI_TIME, 9, 21},
    {"date-time", OCELLI_DATE "T" OCELLI_TIME, 20, 32},
    {"duration",
     "P([0-9]{1,4}W|([0-9]{1,4}Y([0-9]{1,2}M([0-9]{1,3}D)?)?|[0-9]{1,2}M([0-9]{1,3}D)?|"
     "[0-9]{1,3}D)(" OCELLI_CLOCK ")?|" OCELLI_CLOCK ")",
     3, 25},
    {"email", "[A-Za-z0-9]{1,20}([._+-][A-Za-z0-9]{1,20}){0,2}@" OCELLI_HOST, 6, 144},
    {"hostname", OCELLI_HOST, 4, 80},
    {"ipv4", "(" OCELLI_BYTE "\\.){3}" OCELLI_BYTE, 7, 15},
    {"ipv6", "([0-9a-f]{1,4}:){7}[0-9a-f]{1,4}", 15, 39},
    {"uuid", "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", 36, 36},
    {"uri", "https?://" OCELLI_HOST "(/[A-Za-z0-9._~-]{1,40}){0,6}/?(\\?[A-Za-z0-9._~=&-]{1,80})?",
     11, 500},
};

}  // namespace

std::string compact(const ordered_json& value) {
  return value.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

bool read_count(Rules& rules, const ordered_json& schema, const char* name, int64_t& out) {
  const ordered_json* value = field(schema, name);
  if (!value) return true;
  const double number = value->is_number() ? value->get<double>() : -1;
  if (number < 0 || number != std::floor(number)) {
    rules.problem(std::string("has ") + name + " " + compact(*value).substr(0, 100) +
                  ", which is no count");
    return false;
  }
  out = number < kUnbounded ? static_cast<int64_t>(number) : kUnbounded;
  return true;
}

Rules::Part json_character(Rules& rules) {
  // \u escapes of surrogates are left out: alone they are no text, and pairs are other characters.
  return rules.choice(
      {{character(rules, CharSet::all(), Spelling::kJson),
        regex(rules, "\\\\([/bfnrt]|u([0-9a-cA-CefEF][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2}))",
              Spelling::kPlain)}});
}

Rules::Part json_number(Rules& rules, bool integer) {
  // Exponents of two digits keep the number finite; many digits are where a model loses its way.
  return regex(rules,
               integer ? "0|-?[1-9][0-9]{0,14}"
                       : "-?(0|[1-9][0-9]{0,14})(\\.[0-9]{1,15})?([eE][+-]?[0-9]{1,2})?",
               Spelling::kPlain);
}

Rules::Part bounded_number(Rules& rules, const ordered_json& schema, bool integer) {
  Bounds bounds;
  if (!read_bounds(rules, schema, bounds)) return rules.never();
  const auto [low, high] = integers_within(bounds);
  if (const ordered_json* step = field(schema, "multipleOf")) {
    Decimal value;
    if (!step->is_number() || !read_decimal(*step, value) || value.decimals > 0 ||
        value.value <= 0) {
      rules.problem("has multipleOf " + step->dump() + ": only positive integers are supported");
      return rules.never();
    }
    return multiples(rules, value.value, low, high, bounds.any);
  }
  if (!bounds.any) return json_number(rules, integer);
  std::vector<Rules::Part> parts;
  if (low <= high) parts.push_back(fixed(rules, low, high, 0));
  if (!integer) {
    const int decimals = std::max(bounds.low.decimals, bounds.high.decimals);
    if (decimals > 0) {
      int64_t from = scaled(bounds.low, decimals), to = scaled(bounds.high, decimals);
      from += bounds.low_open && !less(bounds.low, {from, decimals});
      to -= bounds.high_open && !less({to, decimals}, bounds.high);
      if (from <= to) parts.push_back(fixed(rules, from, to, static_cast<size_t>(decimals)));
    } else if (low < high || bounds.low_open || bounds.high_open) {
      // n.f is in [n, n + 1), -n.f in (-n - 1, -n]: both within the bounds, which are integers.
      const int64_t least = bounds.low.value, most = bounds.high.value;
      const auto with_fraction = [&](int64_t from, int64_t to, const char* sign) {
        if (from > to) return;
        parts.push_back(rules.sequence({rules.literal(sign), fixed(rules, from, to, 0),
                                        regex(rules, "\\.[0-9]{1,6}", Spelling::kPlain)}));
      };
      with_fraction(std::max<int64_t>(0, least + bounds.low_open), most - 1, "");
      with_fraction(std::max<int64_t>(0, bounds.high_open - most), -least - 1, "-");
    }
  }
  return rules.choice(parts);
}

Rules::Part string_text(Rules& rules, const ordered_json& schema) {
  int64_t least = 0, most = kUnbounded;
  if (!read_count(rules, schema, "minLength", least) ||
      !read_count(rules, schema, "maxLength", most))
    return rules.never();
  std::vector<Condition> conditions;
  if (const ordered_json* pattern = field(schema, "pattern")) {
    const std::string source = pattern->get<std::string>();
    conditions.push_back(
        {[source](Rules& own) { return regex(own, source, Spelling::kJson, true); }});
  }
  if (const ordered_json* format = field(schema, "format")) {
    const auto known = std::ranges::find_if(
        kFormats, [&](const Format& f) { return format->get_ref<const std::string&>() == f.name; });
    if (known == std::end(kFormats)) {
      std::string names;
      for (const Format& f : kFormats) names += std::string(names.empty() ? "" : ", ") + f.name;
      rules.problem("has the unsupported format " + format->dump() + " (known: " + names + ")");
      return rules.never();
    }
    // Bounds that all texts of the format keep need no counting.
    if (least <= known->least) least = 0;
    if (most >= known->most) most = kUnbounded;
    conditions.push_back(
        {[known](Rules& own) { return regex(own, known->pattern, Spelling::kPlain); }});
  }
  if (least > most) return rules.never();
  const bool bounded = least > 0 || most != kUnbounded;
  if (conditions.empty()) {
    return rules.repeat(json_character(rules), static_cast<int32_t>(least),
                        static_cast<int32_t>(most));
  }
  if (conditions.size() == 1 && !bounded) return conditions[0].text(rules);
  return meeting(rules, conditions, Spelling::kJson, least, most);
}

Rules::Part bounded_string(Rules& rules, const ordered_json& schema) {
  return rules.sequence({rules.literal("\""), string_text(rules, schema), rules.literal("\"")});
}

}  // namespace ocelli
