#include "bench/kernels/cases.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "bench/kernels/matmul_cases.h"
#include "kernels/attention.h"
#include "kernels/ops.h"
#include "kernels/quantize.h"
#include "kernels/vec.h"

namespace ocelli::bench {
namespace {

template <class T>
std::shared_ptr<T> memory(int64_t count) {
  return {static_cast<T*>(take_memory(count * static_cast<int64_t>(sizeof(T)))), std::free};
}

// The ceiling: sums of 16-byte loads, four chains. Out of line and called often, like a kernel.
OCELLI_NOINLINE u32x4 sum_bytes(const uint8_t* from, int64_t bytes) {
  u32x4 a = {}, b = {}, c = {}, d = {};
  for (int64_t i = 0; i < bytes; i += 64) {
    a += load<u32x4>(from + i);
    b += load<u32x4>(from + i + 16);
    c += load<u32x4>(from + i + 32);
    d += load<u32x4>(from + i + 48);
  }
  return (a + b) + (c + d);
}

Case read_case() {
  constexpr int64_t kChunk = 1 << 18, kChunks = 1024;
  Case one;
  one.name = "read 256 MiB";
  one.bytes = double(kChunk) * kChunks;
  one.prepare = [](Pool& pool) {
    auto bytes = memory<uint8_t>(kChunk * kChunks);
    std::memset(bytes.get(), 1, static_cast<size_t>(kChunk * kChunks));
    auto sink = std::make_shared<std::vector<u32x4>>(static_cast<size_t>(pool.threads()) * 4);
    Work work;
    work.run = [bytes, sink, &pool] {
      pool.parallel(kChunks, [&](int worker, int64_t begin, int64_t end) {
        u32x4 sum = {};
        for (int64_t i = begin; i < end; ++i) sum += sum_bytes(bytes.get() + i * kChunk, kChunk);
        (*sink)[static_cast<size_t>(worker) * 4] = sum;
      });
    };
    work.correct = [sink] {
      uint32_t total = 0;
      for (const u32x4& sum : *sink) total += (sum[0] + sum[1]) + (sum[2] + sum[3]);
      return total == 0x01010101u * static_cast<uint32_t>(kChunk * kChunks / 4);
    };
    return work;
  };
  return one;
}

// Decoder attention of the 3B shape against a cache of `context` tokens.
Case paged_case(KvFormat format, int context, int rows) {
  constexpr int kHeads = 16, kKvHeads = 2, kHeadDim = 128, kRowsAtOnce = 16;
  const int length = context + rows, blocks = (length + kKvBlock - 1) / kKvBlock;
  const int64_t block_bytes = kv_block_bytes(format, kKvHeads, kHeadDim);
  Case one;
  one.name = std::string(format == KvFormat::kInt8 ? "int8" : "f16") + " attention, context " +
             std::to_string(context) + ", " + std::to_string(rows) + " rows";
  one.macs = 2.0 * kHeads * kHeadDim * (double(context) + (rows + 1) / 2.0) * rows;
  one.bytes = 2.0 * static_cast<double>(block_bytes) * blocks;
  one.prepare = [=](Pool& pool) {
    auto k = memory<uint8_t>(blocks * block_bytes), v = memory<uint8_t>(blocks * block_bytes);
    const KvLayer layer{k.get(), v.get(), format, kKvHeads, kHeadDim};
    const std::vector<float> normal = normal_values(1 << 16, 7);
    auto table = std::make_shared<std::vector<int32_t>>();
    // Blocks of a sequence lie anywhere: 7 has no factor in common with most counts.
    for (int i = 0; i < blocks; ++i)
      table->push_back(static_cast<int32_t>(int64_t{i} * (blocks % 7 == 0 ? 1 : 7) % blocks));
    for (int token = 0; token < blocks * kKvBlock; ++token) {
      const float* row = normal.data() + token * 64 % ((1 << 16) - 2 * kKvHeads * kHeadDim);
      kv_store(layer, (*table)[static_cast<size_t>(token / kKvBlock)], token % kKvBlock, row,
               row + kKvHeads * kHeadDim);
    }
    auto q =
        std::make_shared<std::vector<float>>(normal_values(int64_t{rows} * kHeads * kHeadDim, 8));
    auto out = std::make_shared<std::vector<float>>(q->size());
    Work work;
    work.run = [=, &pool] {
      AttentionCall all;
      all.blocks = table->data();
      all.q_stride = all.out_stride = kHeads * kHeadDim;
      all.heads = kHeads;
      all.scale = 1.0f / std::sqrt(float(kHeadDim));
      const int batches = (rows + kRowsAtOnce - 1) / kRowsAtOnce;
      pool.parallel(int64_t{batches} * kKvHeads, [&](int, int64_t begin, int64_t end) {
        for (int64_t task = begin; task < end; ++task) {
          const int row = static_cast<int>(task / kKvHeads) * kRowsAtOnce;
          AttentionCall call = all;
          call.q = q->data() + row * all.q_stride;
          call.out = out->data() + row * all.out_stride;
          call.rows = std::min(kRowsAtOnce, rows - row);
          call.first_length = context + row + 1;
          call.kv_head = static_cast<int>(task % kKvHeads);
          attention_paged(layer, call);
        }
      });
    };
    work.correct = [=] {
      (void)k, (void)v;  // held as long as the case: the layer has bare pointers
      // A mix of values lies within them.
      for (const float value : *out)
        if (!(std::fabs(value) < 6.2f)) return false;
      return true;
    };
    return work;
  };
  return one;
}

// The vision tower's attention: one segment of `tokens`, all heads.
Case segment_case(const char* kind, int tokens) {
  constexpr int kHeads = 16, kHeadDim = 80, kRowsAtOnce = 256, kWidth = kHeads * kHeadDim;
  const int blocks = tokens / kKvBlock;
  const int64_t bytes = blocks * kv_block_bytes(KvFormat::kInt8, kHeads, kHeadDim);
  Case one;
  one.name =
      std::string("vision attention, ") + kind + " of " + std::to_string(tokens) + " patches";
  one.macs = 2.0 * kWidth * tokens * tokens;
  one.bytes = 2.0 * static_cast<double>(bytes) + 4.0 * kWidth * tokens;
  one.prepare = [=](Pool& pool) {
    auto k = memory<uint8_t>(bytes), v = memory<uint8_t>(bytes);
    const KvLayer layer{k.get(), v.get(), KvFormat::kInt8, kHeads, kHeadDim};
    auto q = std::make_shared<std::vector<float>>(normal_values(int64_t{tokens} * kWidth, 9));
    auto out = std::make_shared<std::vector<float>>(q->size());
    auto table = std::make_shared<std::vector<int32_t>>();
    for (int i = 0; i < blocks; ++i) table->push_back(i);
    for (int token = 0; token < tokens; ++token) {
      const float* row = q->data() + int64_t{token} * kWidth;
      kv_store(layer, token / kKvBlock, token % kKvBlock, row, row);
    }
    Work work;
    work.run = [=, &pool] {
      (void)k, (void)v;  // held as long as the case: the layer has bare pointers
      AttentionCall all;
      all.blocks = table->data();
      all.q_stride = all.out_stride = kWidth;
      all.causal = false;
      all.first_length = tokens;
      all.heads = kHeads;
      all.scale = 1.0f / std::sqrt(float(kHeadDim));
      for (int row = 0; row < tokens; row += kRowsAtOnce) {
        pool.parallel(kHeads, [&](int, int64_t begin, int64_t end) {
          AttentionCall call = all;
          call.q = q->data() + int64_t{row} * kWidth;
          call.out = out->data() + int64_t{row} * kWidth;
          call.rows = std::min(kRowsAtOnce, tokens - row);
          for (int64_t head = begin; head < end; ++head) {
            call.kv_head = static_cast<int>(head);
            attention_paged(layer, call);
          }
        });
      }
    };
    return work;
  };
  return one;
}

// An operation on rows of `width` floats; `touched` floats are read and written a run.
Case rows_case(const std::string& name, int rows, int width, double floats,
               std::function<void(float*, float*, QuantizedRows&, int)> each,
               ActBits bits = ActBits::k8) {
  Case one;
  one.name = name + ", " + std::to_string(rows) + " rows of " + std::to_string(width);
  one.bytes = 4.0 * floats * rows * width;
  one.prepare = [=](Pool& pool) {
    const int64_t count = int64_t{rows} * width;
    auto x = std::make_shared<std::vector<float>>(normal_values(count, 10));
    auto y = std::make_shared<std::vector<float>>(normal_values(count, 11));
    const int k_padded = round_up(width, kGroupU4);
    auto codes = memory<uint8_t>(quantized_rows_bytes(rows, k_padded));
    QuantizedRows quantized = quantized_rows_at(codes.get(), rows, k_padded, bits);
    Work work;
    work.run = [=, &pool]() mutable {
      (void)codes;
      pool.parallel(rows, [&](int, int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row)
          each(x->data() + row * width, y->data() + row * width, quantized, static_cast<int>(row));
      });
    };
    return work;
  };
  return one;
}

void add_row_cases(std::vector<Case>& cases) {
  for (const int rows : {1, 128}) {
    for (const int width : {2048, 11008}) {
      for (const auto& [name, bits] :
           {std::pair{"quantize", ActBits::k8}, std::pair{"quantize, 15 bits", ActBits::k15}}) {
        cases.push_back(rows_case(
            name, rows, width, 1.0,
            [=](float* x, float*, QuantizedRows& out, int row) {
              quantize_row(x, width, out, row);
            },
            bits));
      }
    }
    cases.push_back(
        rows_case("rms_norm", rows, 2048, 2.0,
                  [](float* x, float* y, QuantizedRows&, int) { rms_norm(x, x, 2048, 1e-6f, y); }));
    cases.push_back(
        rows_case("silu_mul", rows, 11008, 3.0,
                  [](float* x, float* y, QuantizedRows&, int) { silu_mul(x, x, 11008, y); }));
    cases.push_back(rows_case("add", rows, 2048, 3.0,
                              [](float* x, float* y, QuantizedRows&, int) { add(y, x, 2048); }));
  }
}

}  // namespace

std::vector<Case> all_cases() {
  std::vector<Case> cases = {read_case()};
  for (Case& one : matmul_cases()) cases.push_back(std::move(one));
  for (const KvFormat format : {KvFormat::kF16, KvFormat::kInt8})
    for (const int rows : {1, 8, 128})
      for (const int context : {0, 4096, 16384}) cases.push_back(paged_case(format, context, rows));
  cases.push_back(segment_case("window", 64));
  cases.push_back(segment_case("image", 4096));
  add_row_cases(cases);
  return cases;
}

}  // namespace ocelli::bench
