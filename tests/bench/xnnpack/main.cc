// Our kernels beside XNNPACK's in one process: dense products on the vision tower's shapes and the
// softmax, turn by turn, one JSON object a line. Started by tests/bench/xnnpack.mjs; no part of any
// shipped module.
//   bench_xnnpack [--samples N] [--filter TEXT]
// Surprise: times are CPU time of the process, so what else runs on the machine costs less of the
// figures; and a result that is far from the double reference ends the program with status 1.
#include <emscripten.h>
#include <xnnpack.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "base/half.h"
#include "bench/kernels/matmul_cases.h"
#include "kernels/attention_softmax.h"
#include "kernels/matmul.h"
#include "kernels/ops.h"
#include "xnnpack/hardware-config.h"

EM_JS(double, cpu_seconds, (), {
  const used = process.cpuUsage();
  return (used.user + used.system) / 1e6;
});

namespace {

using namespace ocelli;
using namespace ocelli::bench;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

void good(bool fine, const char* what) {
  if (fine) return;
  std::fprintf(stderr, "%s failed\n", what);
  std::exit(1);
}
void good(xnn_status status, const char* what) { good(status == xnn_status_success, what); }
void run(xnn_operator_t op) { good(xnn_run_operator(op, nullptr), "xnn_run_operator"); }

struct Side {
  std::function<void()> run;
  const std::vector<float>* result = nullptr;  // null: nothing to compare
  std::vector<double> seconds = {};
};

// Two ways to the same numbers. `reference` gives [index into the results, double value].
struct Contest {
  std::string name;
  const char* unit;
  double work;
  Side ours, theirs;
  const std::vector<std::pair<size_t, double>>* reference = nullptr;
  double error_max = 0.0;
};

// Root mean square of the difference over that of the reference.
double error_of(const Side& side, const std::vector<std::pair<size_t, double>>& reference) {
  double wrong = 0.0, all = 0.0;
  for (const auto& [at, value] : reference) {
    const double difference = double((*side.result)[at]) - value;
    wrong += difference * difference;
    all += value * value;
  }
  return std::sqrt(wrong / all);
}

double time(const Side& side, int runs) {
  const double start = cpu_seconds();
  for (int i = 0; i < runs; ++i) side.run();
  return (cpu_seconds() - start) / runs;
}

void print(const char* name, const Side& side, const Contest& contest) {
  std::printf(",\"%s\":{\"seconds\":[", name);
  for (size_t i = 0; i < side.seconds.size(); ++i)
    std::printf("%s%.4e", i == 0 ? "" : ",", side.seconds[i]);
  std::printf("]");
  if (contest.reference != nullptr) {
    const double error = error_of(side, *contest.reference);
    std::printf(",\"error\":%.2e", error);
    if (!(error <= contest.error_max)) {
      std::fprintf(stderr, "%s, %s: error %g, at most %g\n", contest.name.c_str(), name, error,
                   contest.error_max);
      std::exit(1);
    }
  }
  std::printf("}");
}

void hold(Contest contest, int samples, const std::string& filter) {
  if (contest.name.find(filter) == std::string::npos) return;
  // Warm: V8's optimising compiler replaces the baseline code of what has run long enough.
  constexpr double kWarmSeconds = 0.3, kSampleSeconds = 0.03;
  int runs[2];
  Side* sides[2] = {&contest.ours, &contest.theirs};
  for (int i = 0; i < 2; ++i) {
    const double start = cpu_seconds();
    do time(*sides[i], 2);
    while (cpu_seconds() - start < kWarmSeconds);
    runs[i] = std::max(1, static_cast<int>(kSampleSeconds / std::max(1e-6, time(*sides[i], 1))));
  }
  for (int i = 0; i < 2 * samples; ++i) {
    const int turn = (i + i / 2) % 2;  // ours, theirs, theirs, ours, ...
    sides[turn]->seconds.push_back(time(*sides[turn], runs[turn]));
  }
  const xnn_hardware_config* found = xnn_init_hardware_config();
  const char* dot = found->use_wasm_usdot  ? "unsigned bytes"
                    : found->use_wasm_sdot ? "signed bytes"
                                           : "none";
  std::printf("{\"case\":\"%s\",\"unit\":\"%s\",\"work\":%.0f,\"tier\":\"%s\",\"their_dot\":\"%s\"",
              contest.name.c_str(), contest.unit, contest.work, kernel_tier(), dot);
  print("ours", contest.ours, contest);
  print("theirs", contest.theirs, contest);
  std::printf("}\n");
  std::fflush(stdout);
}

// W[n][k] = code * scale[n], of which both sides can hold exactly the same numbers.
struct Weights {
  int n, k;
  std::vector<int8_t> codes;  // [n, k] -127..127
  std::vector<float> scales;  // [n] f16 values
  std::vector<uint8_t> tiles_u8;
  std::vector<uint16_t> tile_scales;
  std::vector<float> dense, tiles_f32;  // [n, k]; [T, k, 8]
  Linear u8, f32;
};

void make(Weights& w, int n, int k) {
  w.n = n;
  w.k = k;
  const int k_padded = round_up(k, kGroupU8), groups = k_padded / kGroupU8;
  const std::vector<float> values = normal_values(int64_t{n} * k, 7);
  w.codes.resize(values.size());
  w.dense.resize(values.size());
  w.tiles_f32.resize(values.size());
  w.scales.resize(size_t(n));
  w.tiles_u8.assign(size_t(n) * size_t(k_padded), kZeroU8);
  w.tile_scales.resize(size_t(n) * size_t(groups));
  for (int row = 0; row < n; ++row) {
    const int tile = row / kTileRows, r = row % kTileRows;
    const uint16_t scale = f32_to_f16(0.001f + 0.0001f * static_cast<float>(row % 7));
    w.scales[size_t(row)] = f16_to_f32(scale);
    for (int g = 0; g < groups; ++g)
      w.tile_scales[size_t((int64_t{tile} * groups + g) * kTileRows + r)] = scale;
    for (int i = 0; i < k; ++i) {
      const size_t at = size_t(int64_t{row} * k + i);
      const int code = std::clamp(static_cast<int>(std::lround(values[at] * 32.0f)), -127, 127);
      w.codes[at] = static_cast<int8_t>(code);
      w.dense[at] = static_cast<float>(code) * w.scales[size_t(row)];
      w.tiles_f32[size_t((int64_t{tile} * k + i) * kTileRows + r)] = w.dense[at];
      const int64_t cell = (int64_t{tile} * (k_padded / 4) + i / 4) * 32;
      w.tiles_u8[size_t(cell + 4 * r + i % 4)] = static_cast<uint8_t>(code + kZeroU8);
    }
  }
  w.u8 = {WeightFormat::kU8, n, k, {{0, n / kTileRows, w.tiles_u8.data(), w.tile_scales.data()}}};
  w.f32 = {WeightFormat::kF32, n, k, {{0, n / kTileRows, w.tiles_f32.data()}}};
}

void products(const char* layer, const Weights& w, int rows, ActBits bits, int samples,
              const std::string& filter) {
  const size_t n = size_t(w.n), k = size_t(w.k), m = size_t(rows);
  std::vector<float> x(m * k + XNN_EXTRA_BYTES), y_ours(m * n), y_theirs(m * n);
  for (size_t row = 0; row < m; ++row) {
    std::vector<float> values = normal_values(w.k, 100 + row);
    if (bits == ActBits::k8LongTails) {  // as SwiGLU gives
      const std::vector<float> up = normal_values(w.k, 3000 + row);
      silu_mul(values.data(), up.data(), w.k, values.data());
    }
    std::memcpy(&x[row * k], values.data(), k * sizeof(float));
  }
  std::vector<std::pair<size_t, double>> reference;
  for (const size_t row : {size_t{0}, m / 3, m - 1}) {
    for (size_t out = 0; out < n; ++out) {
      double sum = 0.0;
      for (size_t i = 0; i < k; ++i) sum += double(w.dense[out * k + i]) * double(x[row * k + i]);
      reference.emplace_back(row * n + out, sum);
    }
  }

  const int k_padded = round_up(w.k, kGroupU4);
  void* memory = take_memory(quantized_rows_bytes(rows, k_padded));
  QuantizedRows codes = quantized_rows_at(memory, rows, k_padded, bits);
  const auto quantise = [&] {
    for (int row = 0; row < rows; ++row) quantize_row(&x[size_t(row) * k], w.k, codes, row);
    gather_peaks(codes);
  };
  const auto product = [&] { matmul_q8(w.u8, 0, w.u8.tiles(), codes, rows, y_ours.data(), w.n); };

  xnn_operator_t convert = nullptr, dense_q8 = nullptr, dense_f32 = nullptr;
  std::vector<int8_t> their_codes(m * k + XNN_EXTRA_BYTES);
  std::vector<xnn_quantization_params> their_scales(m + XNN_EXTRA_QUANTIZATION_PARAMS);
  good(xnn_create_convert_nc_f32_qd8(0, &convert), "convert");
  good(xnn_reshape_convert_nc_f32_qd8(convert, m, k, k, k, nullptr), "convert");
  good(xnn_setup_convert_nc_f32_qd8(convert, x.data(), their_codes.data(), their_scales.data()),
       "convert");
  good(xnn_create_fully_connected_nc_qd8_f32_qc8w(k, n, k, n, w.scales.data(), w.codes.data(),
                                                  nullptr, -kInfinity, kInfinity, 0, nullptr,
                                                  nullptr, &dense_q8),
       "qd8-f32-qc8w");
  good(xnn_reshape_fully_connected_nc_qd8_f32_qc8w(dense_q8, m, nullptr), "qd8-f32-qc8w");
  good(xnn_setup_fully_connected_nc_qd8_f32_qc8w(dense_q8, their_codes.data(), y_theirs.data(),
                                                 their_scales.data()),
       "qd8-f32-qc8w");
  good(xnn_create_fully_connected_nc_f32(k, n, k, n, w.dense.data(), nullptr, -kInfinity, kInfinity,
                                         0, nullptr, nullptr, &dense_f32),
       "f32");
  good(xnn_reshape_fully_connected_nc_f32(dense_f32, m, nullptr), "f32");
  good(xnn_setup_fully_connected_nc_f32(dense_f32, x.data(), y_theirs.data()), "f32");

  const auto one = [&](const char* what, const char* unit, double work, std::function<void()> ours,
                       std::function<void()> theirs, double error_max) {
    Contest contest{std::string(layer) + ", " + std::to_string(rows) + " rows, " + what, unit, work,
                    Side{std::move(ours), &y_ours}, Side{std::move(theirs), &y_theirs}};
    if (error_max > 0.0) contest.reference = &reference;
    contest.error_max = error_max;
    hold(std::move(contest), samples, filter);
  };
  const double macs = double(m) * double(n) * double(k);
  const auto both = [&] {
    quantise();
    product();
  };
  const auto their_both = [&] {
    run(convert);
    run(dense_q8);
  };
  one("int8", "GMAC/s", macs, both, their_both, 3e-2);
  one("int8, quantisation", "G/s", double(m) * double(k), quantise, [&] { run(convert); }, 0.0);
  quantise();
  run(convert);
  one("int8, product", "GMAC/s", macs, product, [&] { run(dense_q8); }, 3e-2);
  one(
      "f32", "GMAC/s", macs,
      [&] { matmul_f32(w.f32, 0, w.f32.tiles(), x.data(), rows, w.k, y_ours.data(), w.n); },
      [&] { run(dense_f32); }, 1e-5);
  for (xnn_operator_t op : {convert, dense_q8, dense_f32}) xnn_delete_operator(op);
  std::free(memory);
}

// Whole rows at once, as the small kernel of our attention does a tile of keys.
OCELLI_NOINLINE void softmax_rows(const float* x, int rows, int columns, float* y) {
  for (int row = 0; row < rows; ++row, x += columns, y += columns) {
    Query query{nullptr, nullptr, -kInfinity, 0.0f, columns};
    soften(query, columns, 1.0f, x, y);
    const f32x4 factor = splat(1.0f / query.sum);
    for (int i = 0; i < columns; i += 8) {
      const f32x4 low = load<f32x4>(y + i) * factor, high = load<f32x4>(y + i + 4) * factor;
      store(y + i, low);
      store(y + i + 4, high);
    }
  }
}

void softmax(int samples, const std::string& filter) {
  constexpr size_t kRows = 1024, kColumns = 1024;
  std::vector<float> x = normal_values(kRows * kColumns, 5);
  for (float& value : x) value *= 3.0f;
  x.resize(x.size() + XNN_EXTRA_BYTES);
  std::vector<float> ours(kRows * kColumns), theirs(kRows * kColumns);
  std::vector<std::pair<size_t, double>> reference;
  for (const size_t row : {size_t{0}, kRows - 1}) {
    double sum = 0.0;
    for (size_t i = 0; i < kColumns; ++i) sum += std::exp(double(x[row * kColumns + i]));
    for (size_t i = row * kColumns; i < (row + 1) * kColumns; ++i)
      reference.emplace_back(i, std::exp(double(x[i])) / sum);
  }
  xnn_operator_t op = nullptr;
  good(xnn_create_softmax_nc_f32(0, &op), "softmax");
  good(xnn_reshape_softmax_nc_f32(op, kColumns, kColumns, kColumns, kRows, nullptr), "softmax");
  good(xnn_setup_softmax_nc_f32(op, x.data(), theirs.data()), "softmax");
  hold({"softmax f32 1024x1024", "G/s", double(kRows * kColumns),
        Side{[&] { softmax_rows(x.data(), kRows, kColumns, ours.data()); }, &ours},
        Side{[&] { run(op); }, &theirs}, &reference, 1e-6},
       samples, filter);
  xnn_delete_operator(op);
}

}  // namespace

int main(int count, char** values) {
  int samples = 7;
  std::string filter;
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string word = values[i];
    if (word == "--samples") samples = std::atoi(values[i + 1]);
    if (word == "--filter") filter = values[i + 1];
  }
  if (samples < 1 || count % 2 == 0) {
    std::fputs("usage: bench_xnnpack [--samples N] [--filter TEXT]\n", stderr);
    return 2;
  }
  good(xnn_initialize(nullptr), "xnn_initialize");
  const struct {
    const char* name;
    int n, k;
    ActBits bits;
  } shapes[] = {{"gate+up 6840x1280", 6840, 1280, ActBits::k8},
                {"down 1280x3420", 1280, 3420, ActBits::k8LongTails}};
  for (const auto& shape : shapes) {
    Weights weights;
    make(weights, shape.n, shape.k);
    for (const int rows : {128, 1024})
      products(shape.name, weights, rows, shape.bits, samples, filter);
  }
  softmax(samples, filter);
  return 0;
}
