// Surprise: the weights of one case exist several times, so that each run reads others and finds
// none of them in a cache, as in a model whose layers follow each other.
#include "bench/kernels/matmul_cases.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "base/half.h"
#include "base/scramble.h"
#include "kernels/matmul.h"
#include "kernels/ops.h"

namespace ocelli::bench {
namespace {

constexpr int64_t kWeightBytes = int64_t{192} << 20;  // of all copies together, one at least

struct Shape {
  const char* name;
  WeightFormat format;
  int n, k;
  bool few_rows_only;
};
constexpr Shape kShapes[] = {
    {"o_proj u4 2048x2048", WeightFormat::kU4, 2048, 2048, false},
    {"gate+up u4 22016x2048", WeightFormat::kU4, 22016, 2048, false},
    {"down u4 2048x11008", WeightFormat::kU4, 2048, 11008, false},
    {"head u8 151936x2048", WeightFormat::kU8, 151936, 2048, true},
    {"vision gate+up u8 6840x1280", WeightFormat::kU8, 6840, 1280, false},
    {"vision down u8 1280x3420", WeightFormat::kU8, 1280, 3420, false},
};

struct Packed {
  std::unique_ptr<uint8_t, decltype(&std::free)> memory{nullptr, std::free};
  std::vector<Linear> copies;
};

int64_t groups_of(const Linear& w) {
  return int64_t{w.tiles()} *
         (w.k_padded() / (w.format == WeightFormat::kU4 ? kGroupU4 : kGroupU8));
}

// Bytes of one copy, all of them read by a product.
int64_t weight_bytes(const Linear& w) {
  return w.tiles() * tile_bytes(w.format, w.k_padded()) +
         groups_of(w) * kTileRows * (w.format == WeightFormat::kU4 ? 3 : 2);
}

std::shared_ptr<const Packed> random_weights(const Shape& shape) {
  // Cases of one shape follow each other.
  static const Shape* last_shape = nullptr;
  static std::shared_ptr<const Packed> last;
  if (last_shape == &shape) return last;
  last.reset();
  Linear w;
  w.format = shape.format;
  w.n = shape.n;
  w.k = shape.k;
  const int64_t one = (weight_bytes(w) + 63) / 64 * 64;
  const int64_t copies = std::max<int64_t>(1, kWeightBytes / one);
  Packed packed;
  packed.memory.reset(static_cast<uint8_t*>(take_memory(copies * one)));
  const int64_t codes = w.tiles() * tile_bytes(w.format, w.k_padded());
  const int64_t scales = groups_of(w) * kTileRows;
  for (int64_t copy = 0; copy < copies; ++copy) {
    uint8_t* at = packed.memory.get() + copy * one;
    for (int64_t i = 0; i < codes / 8; ++i) {
      const uint64_t word = bits_at(1, static_cast<uint64_t>(copy * codes + i));
      std::memcpy(at + 8 * i, &word, 8);
    }
    auto* scale = reinterpret_cast<uint16_t*>(at + codes);
    for (int64_t i = 0; i < scales; ++i)
      scale[i] = f32_to_f16(0.001f + 0.0001f * static_cast<float>(i % 7));
    LinearPart part{0, w.tiles(), at, scale, nullptr};
    if (w.format == WeightFormat::kU4) {
      uint8_t* zeros = at + codes + 2 * scales;
      for (int64_t i = 0; i < scales; ++i) zeros[i] = static_cast<uint8_t>(6 + i % 4);
      part.zeros = zeros;
    }
    w.parts = {part};
    packed.copies.push_back(w);
  }
  last_shape = &shape;
  return last = std::make_shared<const Packed>(std::move(packed));
}

struct Product {
  std::shared_ptr<const Packed> weights;
  std::vector<uint8_t> memory;
  QuantizedRows x;
  std::vector<float> y;
  int rows = 0;
  size_t next = 0;  // copy
};

Work prepare(const Shape& shape, int rows, bool swiglu, ActBits bits, Pool& pool) {
  auto product = std::make_shared<Product>();
  product->weights = random_weights(shape);
  product->rows = rows;
  const int k_padded = round_up(shape.k, kGroupU4);
  product->memory.resize(static_cast<size_t>(quantized_rows_bytes(rows, k_padded)) + 64);
  product->x = quantized_rows_at(
      product->memory.data() + 64 - reinterpret_cast<uintptr_t>(product->memory.data()) % 64, rows,
      k_padded, bits);
  for (int row = 0; row < rows; ++row) {
    std::vector<float> values = normal_values(shape.k, static_cast<uint64_t>(100 + row));
    if (swiglu) {
      const std::vector<float> up = normal_values(shape.k, static_cast<uint64_t>(300 + row));
      silu_mul(values.data(), up.data(), shape.k, values.data());
    }
    quantize_row(values.data(), shape.k, product->x, row);
  }
  gather_peaks(product->x);
  product->y.assign(static_cast<size_t>(rows) * static_cast<size_t>(round_up(shape.n, kTileRows)),
                    0.0f);
  Work work;
  const QuantizedRows& x = product->x;
  const int64_t blocks = int64_t{rows} * x.blocks();
  work.second_share =
      x.wide ? 1.0 : static_cast<double>(x.peak_begin[x.blocks()]) / static_cast<double>(blocks);
  work.run = [product, &pool] {
    const Linear& w = product->weights->copies[product->next];
    product->next = (product->next + 1) % product->weights->copies.size();
    pool.parallel(w.tiles(), [&](int, int64_t begin, int64_t end) {
      matmul_q8(w, static_cast<int>(begin), static_cast<int>(end), product->x, product->rows,
                product->y.data(), round_up(w.n, kTileRows));
    });
  };
  work.correct = [product] {
    const size_t copies = product->weights->copies.size();
    const Linear& w = product->weights->copies[(product->next + copies - 1) % copies];
    const int64_t stride = round_up(w.n, kTileRows);
    std::vector<float> expected(product->y.size(), 0.0f);
    const int tile = w.tiles() / 2;
    matmul_q8_scalar(w, tile, tile + 1, product->x, product->rows, expected.data(), stride);
    for (int row = 0; row < product->rows; ++row) {
      const size_t at = static_cast<size_t>(row * stride + tile * kTileRows);
      if (std::memcmp(&expected[at], &product->y[at], kTileRows * sizeof(float)) != 0) return false;
    }
    return true;
  };
  return work;
}

}  // namespace

void* take_memory(int64_t bytes) {
  void* memory = std::aligned_alloc(64, static_cast<size_t>((bytes + 63) / 64 * 64));
  if (memory == nullptr) {
    std::fprintf(stderr, "no memory for %lld bytes\n", static_cast<long long>(bytes));
    std::exit(1);
  }
  return memory;
}

std::vector<float> normal_values(int64_t count, uint64_t key) {
  std::vector<float> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) {
    // Twelve uniform numbers of 10 bits, from two words: deviation 1, tails to +-6.
    int sum = 0;
    for (uint64_t half = 0; half < 2; ++half) {
      const uint64_t word = bits_at(key, 2 * i + half);
      for (int part = 0; part < 6; ++part) sum += static_cast<int>(word >> (10 * part) & 1023);
    }
    values[i] = static_cast<float>(sum - 6138) / 1024.0f;
  }
  return values;
}

std::vector<Case> matmul_cases() {
  std::vector<Case> cases;
  for (const Shape& shape : kShapes) {
    for (const int rows : {1, 2, 4, 8, 32, 128}) {
      if (shape.few_rows_only && rows > 8) continue;
      const bool down = std::string_view(shape.name).find("down") != std::string_view::npos;
      for (const auto& [name, bits] : {std::pair{"", down ? ActBits::k8LongTails : ActBits::k8},
                                       std::pair{", 15 bits", ActBits::k15}}) {
        Linear w;
        w.format = shape.format;
        w.n = shape.n;
        w.k = shape.k;
        Case one;
        one.name = std::string(shape.name) + ", " + std::to_string(rows) + " rows" + name;
        one.macs = double(shape.n) * shape.k * rows;
        one.bytes = static_cast<double>(weight_bytes(w));
        one.prepare = [&shape, rows, down, bits](Pool& pool) {
          return prepare(shape, rows, down, bits, pool);
        };
        cases.push_back(std::move(one));
      }
    }
  }
  return cases;
}

}  // namespace ocelli::bench
