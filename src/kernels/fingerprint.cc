// kernels_fingerprint: runs every kernel on generated data and hashes the bits (FNV-1a).
// Surprise: the generator uses integers and exact divisions only, so the inputs are the same
// everywhere without libm.
#include "kernels/fingerprint.h"

#include <vector>

#include "base/half.h"
#include "kernels/attention.h"
#include "kernels/matmul.h"
#include "kernels/ops.h"

namespace ocelli {
namespace {

class Generator {
 public:
  uint32_t next() {
    state_ = state_ * 1664525u + 1013904223u;
    return state_ >> 8;
  }
  // Sum of three uniforms, in -3 * range / 2 .. 3 * range / 2: roughly bell-shaped.
  float value(float range) {
    const int64_t sum = int64_t{next()} + next() + next();
    return static_cast<float>(sum - 3 * (1 << 23)) * (range / (1 << 24));
  }
  std::vector<float> values(int count, float range) {
    std::vector<float> out(static_cast<size_t>(count));
    for (float& v : out) v = value(range);
    return out;
  }

 private:
  volatile uint32_t state_ = 12345u;
};

struct Hash {
  uint64_t state = 14695981039346656037ull;
  void add(const void* data, size_t bytes) {
    for (size_t i = 0; i < bytes; ++i) {
      state = (state ^ static_cast<const uint8_t*>(data)[i]) * 1099511628211ull;
    }
  }
  void add(const std::vector<float>& values) { add(values.data(), values.size() * sizeof(float)); }
};

void hash_matmul(WeightFormat format, Generator& generator, Hash& hash) {
  constexpr int kN = 20, kK = 300, kRows = 15;
  Linear w;
  w.format = format;
  w.n = kN;
  w.k = kK;
  const bool quantised = format == WeightFormat::kU4 || format == WeightFormat::kU8;
  const int k = w.k_padded();
  std::vector<uint64_t> codes(static_cast<size_t>(w.tiles() * tile_bytes(format, k)) / 8);
  if (format == WeightFormat::kF32) {
    auto* to = reinterpret_cast<float*>(codes.data());
    for (size_t i = 0; i < codes.size() * 2; ++i) to[i] = generator.value(1.0f);
  } else if (!quantised) {
    auto* to = reinterpret_cast<uint16_t*>(codes.data());
    for (size_t i = 0; i < codes.size() * 4; ++i) {
      const float v = generator.value(1.0f);
      to[i] = format == WeightFormat::kF16 ? f32_to_f16(v) : f32_to_bf16(v);
    }
  } else {
    for (uint64_t& code : codes) {
      code =
          uint64_t{generator.next()} << 40 ^ uint64_t { generator.next() } << 20 ^ generator.next();
    }
  }
  const int group = format == WeightFormat::kU4 ? kGroupU4 : kGroupU8;
  std::vector<uint16_t> scales(static_cast<size_t>(w.tiles() * (k / group + 1)) * kTileRows);
  std::vector<uint8_t> zeros(scales.size());
  for (uint16_t& scale : scales) scale = f32_to_f16(0.03125f + 0.01f * generator.value(1.0f));
  for (uint8_t& zero : zeros) zero = generator.next() & 15;
  const auto bias = generator.values(w.tiles() * kTileRows, 1.0f);
  w.parts = {{0, w.tiles(), codes.data(), scales.data(), zeros.data()}};
  w.bias = bias.data();

  auto x = generator.values(kRows * kK, 2.0f);
  x[kK + 40] = 812.5f;
  std::vector<float> y(kRows * kN);
  matmul_f32(w, 0, w.tiles(), x.data(), kRows, kK, y.data(), kN);
  hash.add(y);
  std::vector<float> row(kK);
  dequantize_row(w, 13, row.data());
  hash.add(row);
  if (!quantised) return;
  std::vector<uint64_t> memory(static_cast<size_t>(quantized_rows_bytes(kRows, 384)) / 8 + 2);
  for (ActBits bits : {ActBits::k8, ActBits::k15}) {
    QuantizedRows q = quantized_rows_at(memory.data(), kRows, 384, bits);
    for (int m = 0; m < kRows; ++m) quantize_row(&x[m * kK], kK, q, m);
    gather_peaks(q);
    matmul_q8(w, 0, w.tiles(), q, kRows, y.data(), kN);
    hash.add(y);
  }
}

void hash_ops(Generator& generator, Hash& hash) {
  constexpr int kWidth = 75;
  const auto weight = generator.values(kWidth, 1.0f), other = generator.values(kWidth, 2.0f);
  auto x = generator.values(kWidth, 10.0f);
  std::vector<float> out(kWidth);
  rms_norm(x.data(), weight.data(), kWidth, 1e-6f, out.data());
  hash.add(out);
  silu_mul(x.data(), other.data(), kWidth, out.data());
  hash.add(out);
  add(out.data(), weight.data(), kWidth);
  hash.add(out);
  multiply(out.data(), weight.data(), kWidth);
  hash.add(out);
  gelu(out.data(), kWidth);
  hash.add(out);
  rope_half(x.data(), 3, 24, weight.data(), other.data());
  hash.add(x);
  float lse[2];
  lse[0] = log_sum_exp(x.data(), kWidth, &lse[1]);
  hash.add(lse, sizeof(lse));
  const int32_t best = argmax(x.data(), kWidth);
  hash.add(&best, sizeof(best));
}

void hash_attention(Generator& generator, Hash& hash) {
  constexpr int kTokens = 73, kHeads = 4, kKvHeads = 2, kHeadDim = 24, kRows = 5;
  constexpr int kBlocks = 5, kWidth = kHeads * kHeadDim;
  for (KvFormat format : {KvFormat::kF16, KvFormat::kF32, KvFormat::kInt8}) {
    std::vector<uint64_t> k(static_cast<size_t>(kv_block_bytes(format, kKvHeads, kHeadDim)) *
                            kBlocks / 8);
    std::vector<uint64_t> v(k.size());
    const KvLayer kv = {k.data(), v.data(), format, kKvHeads, kHeadDim};
    const int32_t blocks[kBlocks] = {2, 4, 1, 0, 3};
    for (int t = 0; t < kTokens; ++t) {
      const auto key = generator.values(kKvHeads * kHeadDim, 4.0f);
      const auto value = generator.values(kKvHeads * kHeadDim, 2.0f);
      kv_store(kv, blocks[t / kKvBlock], t % kKvBlock, key.data(), value.data());
    }
    const auto q = generator.values(kRows * kWidth, 2.0f);
    std::vector<float> out(q.size());
    AttentionCall call;
    call.blocks = blocks;
    call.q = q.data();
    call.out = out.data();
    call.q_stride = call.out_stride = kWidth;
    call.rows = kRows;
    call.heads = kHeads;
    call.scale = 0.223607f;
    for (bool causal : {true, false}) {
      call.causal = causal;
      call.first_length = causal ? kTokens - kRows + 1 : kTokens;
      for (call.kv_head = 0; call.kv_head < kKvHeads; ++call.kv_head) attention_paged(kv, call);
      hash.add(out);
    }
  }
}

}  // namespace

uint64_t kernels_fingerprint() {
  Generator generator;
  Hash hash;
  for (WeightFormat format : {WeightFormat::kF32, WeightFormat::kF16, WeightFormat::kBf16,
                              WeightFormat::kU8, WeightFormat::kU4}) {
    hash_matmul(format, generator, hash);
  }
  hash_ops(generator, hash);
  hash_attention(generator, hash);
  return hash.state;
}

}  // namespace ocelli
