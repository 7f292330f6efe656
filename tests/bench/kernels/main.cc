// The kernel benchmark: times the kernels that a build holds and prints one JSON object a line.
// Started by tests/bench/kernels.mjs, natively and as WebAssembly, round after round; never part of
// the shipped modules.
//   bench_kernels [--seconds S] [--samples N] [--threads N] [--filter TEXT] [--list]
// Surprise: a case whose result is not the scalar specification's ends the program with status 1.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "bench/kernels/cases.h"
#include "bench/kernels/timing.h"
#include "kernels/matmul.h"

namespace {

using namespace ocelli;
using namespace ocelli::bench;

struct Arguments {
  double seconds = 0.1;
  int samples = 5;
  int threads = 1;
  std::string filter;
  bool list = false;
};

bool parse(int count, char** values, Arguments& out) {
  for (int i = 1; i < count; ++i) {
    const std::string word = values[i];
    if (word == "--list") {
      out.list = true;
      continue;
    }
    if (i + 1 == count) return false;
    const char* value = values[++i];
    char* end = nullptr;
    if (word == "--filter") {
      out.filter = value;
    } else if (word == "--seconds") {
      out.seconds = std::strtod(value, &end);
      if (*end != '\0' || !(out.seconds > 0.0)) return false;
    } else if (word == "--samples" || word == "--threads") {
      const long number = std::strtol(value, &end, 10);
      if (*end != '\0' || number < 1 || number > 1000) return false;
      (word == "--samples" ? out.samples : out.threads) = static_cast<int>(number);
    } else {
      return false;
    }
  }
  return true;
}

void print(const Case& one, const Work& work, int threads, const std::vector<double>& samples) {
  std::printf("{\"case\":\"%s\",\"tier\":\"%s\",\"threads\":%d,\"macs\":%.0f,\"bytes\":%.0f",
              one.name.c_str(), kernel_tier(), threads, one.macs, one.bytes);
  if (work.second_share >= 0.0) std::printf(",\"second_share\":%.3f", work.second_share);
  std::printf(",\"seconds\":[");
  for (size_t i = 0; i < samples.size(); ++i) std::printf("%s%.4e", i == 0 ? "" : ",", samples[i]);
  std::printf("]}\n");
  std::fflush(stdout);
}

}  // namespace

int main(int count, char** values) {
  Arguments arguments;
  if (!parse(count, values, arguments)) {
    std::fputs(
        "usage: bench_kernels [--seconds S] [--samples N] [--threads N] [--filter TEXT] [--list]\n",
        stderr);
    return 2;
  }
  Pool pool(arguments.threads);
  for (const Case& one : all_cases()) {
    if (one.name.find(arguments.filter) == std::string::npos) continue;
    if (arguments.list) {
      std::printf("%s\n", one.name.c_str());
      continue;
    }
    const Work work = one.prepare(pool);
    const std::vector<double> samples = time_runs(work.run, arguments.seconds, arguments.samples);
    if (!work.correct()) {
      std::fprintf(stderr, "%s: the result is wrong\n", one.name.c_str());
      return 1;
    }
    print(one, work, pool.threads(), samples);
  }
  return 0;
}
