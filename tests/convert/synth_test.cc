// Synthetic models: complete containers of the asked shape, the same bytes for a seed everywhere,
// with the statistics that make them worth measuring.
#include "convert/synth.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "convert/memory_folders.h"
#include "convert/synth_shapes.h"
#include "convert/synth_statistics.h"
#include "convert/synth_tokenizer.h"
#include "text/tokenizer.h"

namespace ocelli {
namespace {

using namespace testing;

SynthOptions tiny() {
  SynthOptions options;
  options.name = "synth-tiny";
  options.config = *synth_shape("tiny");
  return options;
}

Files made(SynthOptions options) {
  MemorySink sink;
  RecordingListener listener;
  const auto manifest = synthesize(sink, listener, std::move(options));
  EXPECT_TRUE(manifest) << manifest.error().message;
  EXPECT_TRUE(sink.committed);
  EXPECT_GT(listener.total, 0u);
  EXPECT_EQ(listener.done, listener.total);
  return std::move(sink.files);
}

double deviation(const std::vector<float>& values) {
  double sum = 0.0, squares = 0.0;
  for (const float value : values) {
    sum += value;
    squares += double{value} * value;
  }
  const double mean = sum / static_cast<double>(values.size());
  return std::sqrt(squares / static_cast<double>(values.size()) - mean * mean);
}

std::string manifest_text(const Files& files) {
  const std::vector<uint8_t>& bytes = files.at("manifest.json");
  return {bytes.begin(), bytes.end()};
}

// The manifest holds the sha256 of every shard, so it stands for all bytes. tests/js/synth.test.ts
// compares what the WebAssembly converter writes with the same file.
TEST(Synth, GivesTheSameBytesForASeedOnEveryPlatform) {
  std::ifstream file(OCELLI_ROOT "/tests/convert/fixtures/synth_tiny.json", std::ios::binary);
  const std::string expected{std::istreambuf_iterator<char>(file), {}};
  EXPECT_EQ(manifest_text(made(tiny())), expected);
  SynthOptions other = tiny();
  other.seed = 1;
  EXPECT_NE(manifest_text(made(other)), expected);
}

TEST(Synth, WritesEveryWeightOfTheShape) {
  const Container container(made(tiny()));
  EXPECT_EQ(container.manifest().linear, "u4");
  EXPECT_EQ(container.manifest().vision, "u8");
  EXPECT_EQ(container.manifest().embedding, "u8");
  for (const WeightSpec& spec : weight_table(container.manifest().config)) {
    SCOPED_TRACE(spec.name);
    if (spec.kind == WeightKind::kMatrix) {
      // Checks layouts, and that padding stands for zeros.
      const std::vector<float> values = container.matrix(spec.name, spec.n, spec.k);
      ASSERT_EQ(values.size(), static_cast<size_t>(spec.n) * static_cast<size_t>(spec.k));
      EXPECT_GT(deviation(values), 1e-4);
      for (const float value : values) ASSERT_TRUE(std::isfinite(value));
    }
    if (spec.kind == WeightKind::kNorm || spec.bias) {
      const std::string name = spec.kind == WeightKind::kNorm ? spec.name : spec.name + ".bias";
      const std::vector<float> values = container.floats(name);
      for (size_t i = 0; i < values.size(); ++i) {
        ASSERT_TRUE(std::isfinite(values[i]));
        if (i >= static_cast<size_t>(spec.n)) {
          EXPECT_EQ(values[i], 0.0f);
        }
      }
    }
  }
}

TEST(Synth, SplitsByShardSizeAndKeepsTheWeights) {
  SynthOptions small = tiny();
  small.shard_mib = 1;
  const Container one(made(tiny())), many(made(small));
  EXPECT_EQ(one.manifest().shards.size(), 1u);
  EXPECT_GT(many.manifest().shards.size(), 3u);
  for (const char* name : {"model.embed_tokens", "model.layers.2.mlp.up_proj"}) {
    const bool embed = std::string_view(name) == "model.embed_tokens";
    const int n = embed ? 1024 : 640;
    EXPECT_EQ(one.matrix(name, n, 256), many.matrix(name, n, 256));
  }
}

TEST(Synth, HasTheOtherPrecisionsWithinTheirRounding) {
  SynthOptions wide = tiny();
  wide.linear = WeightFormat::kU8;
  wide.vision = WeightFormat::kF16;
  wide.embedding = WeightFormat::kF32;
  const Container codes(made(tiny())), values(made(wide));
  EXPECT_EQ(values.manifest().linear, "u8");
  EXPECT_EQ(values.manifest().vision, "f16");
  EXPECT_EQ(values.manifest().embedding, "f32");
  EXPECT_EQ(codes.matrix("model.embed_tokens", 1024, 256),
            values.matrix("model.embed_tokens", 1024, 256));
  const auto a = codes.matrix("visual.blocks.1.mlp.down_proj", 192, 340);
  const auto b = values.matrix("visual.blocks.1.mlp.down_proj", 192, 340);
  for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], std::fabs(a[i]) / 2048 + 1e-7);
}

TEST(Synth, Int4UsesItsRangeWithZeroPointsThatVary) {
  const Container container(made(tiny()));
  std::map<int, int> codes, zeros;
  for (int row = 0; row < 256; ++row) {
    double group = 0.0;
    for (int i = 0; i < 640; ++i) {
      const Container::U4 got = container.u4("model.layers.1.mlp.down_proj", row, i);
      ++codes[got.code];
      if (i % 128 == 0) ++zeros[got.zero];
      group += got.code - got.zero;
    }
    EXPECT_LT(std::fabs(group / 640), 0.9);  // bell-shaped around the zero point
  }
  EXPECT_EQ(codes.size(), 16u);
  EXPECT_EQ(zeros.size(), 4u);
  EXPECT_EQ(zeros.begin()->first, 6);
  EXPECT_GT(codes[7], 20 * codes[15]);
}

// The mechanism of massive activations: marked in the embedding, answered and written in layer 0.
TEST(Synth, PlantsOutliersAndMassiveActivations) {
  const SynthOptions options = tiny();
  const Container container(made(options));
  const auto& added = container.manifest().added;
  const int32_t im_start = added[1].id;
  ASSERT_EQ(added[1].content, "<|im_start|>");
  ModelConfig config = container.manifest().config;
  const SynthStatistics statistics(config, im_start, options.seed);
  ASSERT_EQ(statistics.outliers().size(), 1u);
  ASSERT_EQ(statistics.massive().size(), 1u);
  EXPECT_TRUE(statistics.triggers(im_start));

  const auto embed = container.matrix("model.embed_tokens", 1024, 256);
  const auto gate = container.matrix("model.layers.0.mlp.gate_proj", 640, 256);
  const auto up = container.matrix("model.layers.0.mlp.up_proj", 640, 256);
  const auto down = container.matrix("model.layers.0.mlp.down_proj", 256, 640);
  const auto o = container.matrix("model.layers.0.self_attn.o_proj", 256, 256);
  // The detector is the gate row with a single weight; that weight's input is the trigger channel.
  int detector = -1, trigger = -1;
  for (int row = 0; row < 640; ++row) {
    int count = 0, last = 0;
    for (int k = 0; k < 256; ++k)
      if (gate[static_cast<size_t>(row * 256 + k)] != 0.0f) {
        ++count;
        last = k;
      }
    if (count != 1) continue;
    EXPECT_EQ(detector, -1);
    detector = row;
    trigger = last;
  }
  ASSERT_GE(detector, 0);
  EXPECT_NEAR(gate[static_cast<size_t>(detector * 256 + trigger)], 1.0f, 1e-3);
  EXPECT_NEAR(up[static_cast<size_t>(detector * 256 + trigger)], 2.0f, 2e-3);
  for (int k = 0; k < 256; ++k) EXPECT_EQ(o[static_cast<size_t>(trigger * 256 + k)], 0.0f);

  int triggering = 0;
  for (int32_t token = 0; token < 1024; ++token) {
    const float mark = embed[static_cast<size_t>(token * 256 + trigger)];
    if (statistics.triggers(token)) {
      ++triggering;
      EXPECT_NEAR(mark, 0.3f, 1e-3);
    } else {
      EXPECT_EQ(mark, 0.0f);
    }
    const float outlier = embed[static_cast<size_t>(token * 256 + statistics.outliers()[0])];
    EXPECT_GE(outlier, 0.149f);
    EXPECT_LE(outlier, 0.451f);
  }
  EXPECT_GT(triggering, 4);
  EXPECT_LT(triggering, 40);
  for (int row = 0; row < 256; ++row) {
    const float weight = down[static_cast<size_t>(row * 640 + detector)];
    EXPECT_EQ(weight != 0.0f, row == statistics.massive()[0]) << row;
  }
}

TEST(Synth, ShapesAreThoseOfTheReleasedModels) {
  int64_t decoder = 0, vision = 0, blocks = 0;
  for (const WeightSpec& spec : weight_table(*synth_shape("3b"))) {
    if (spec.kind == WeightKind::kNorm) continue;
    const int64_t weights = int64_t{spec.n} * spec.k;
    if (spec.group == WeightGroup::kLinear) decoder += weights;
    if (spec.group == WeightGroup::kVision) vision += weights;
    blocks += spec.name.starts_with("visual.blocks.") ? weights : 0;
  }
  EXPECT_EQ(decoder, 2'774'532'096);  // multiply-adds of a token
  EXPECT_EQ(blocks / 32, 4 * 1280 * 1280 + 3 * 1280 * 3420);
  EXPECT_EQ(vision - blocks, 1176 * 1280 + 5120 * (5120 + 2048));
  const auto large = synth_shape("7b");
  ASSERT_TRUE(large);
  EXPECT_FALSE(large->text.tied);
  EXPECT_EQ(large->text.head_dim, 128);
  EXPECT_EQ(weight_table(*large).back().name, "lm_head");
}

TEST(Synth, RefusesWhatItCannotMake) {
  const auto wrong = synth_shape("4b");
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().status, Status::kInvalidValue);
  EXPECT_EQ(wrong.error().message, "the shape is \"4b\", must be 3b, 7b or tiny");

  const auto refused = [](SynthOptions options, Status status, std::string_view part) {
    MemorySink sink;
    RecordingListener listener;
    const auto manifest = synthesize(sink, listener, std::move(options));
    ASSERT_FALSE(manifest);
    EXPECT_EQ(manifest.error().status, status);
    EXPECT_NE(manifest.error().message.find(part), std::string::npos) << manifest.error().message;
    EXPECT_FALSE(sink.committed);
  };
  SynthOptions options = tiny();
  options.shard_mib = 0;
  refused(options, Status::kInvalidArgument, "0 MiB");
  options = tiny();
  options.config.text.vocab = 400;
  refused(options, Status::kInvalidConfig, "text.vocab is 400");
  options = tiny();
  options.config.text.hidden = 250;
  refused(options, Status::kInvalidConfig, "hidden");
  options = tiny();
  options.tokenizer = rule_tokenizer(2000);
  refused(options, Status::kInvalidTokenizer, "2000 ids");
  options.tokenizer = rule_tokenizer(600);
  options.tokenizer->added.erase(options.tokenizer->added.begin() + 1);
  refused(options, Status::kInvalidTokenizer, "<|im_start|>");
}

TEST(Synth, TakesAGivenTokenizer) {
  SynthOptions options = tiny();
  options.tokenizer = rule_tokenizer(600);
  const Container container(made(options));
  EXPECT_EQ(container.manifest().tokens, 600);
  EXPECT_EQ(container.manifest().config.ids.image_pad, 600 - 22 + 12);
  EXPECT_EQ(container.manifest().config.generation.eos, (std::vector<int32_t>{580, 578}));
}

TEST(SynthTokenizer, IsAWholeVocabularyOfQwensSize) {
  const TokenizerTables tables = rule_tokenizer(151665);
  EXPECT_EQ(tables.tokens, 151665);
  EXPECT_EQ(tables.merges.size() / 4, 151387u);
  const auto tokenizer = Tokenizer::open(tables.view());
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  EXPECT_EQ(tokenizer->find_added("<|image_pad|>"), 151655);
  EXPECT_TRUE(tokenizer->is_special(151645));
  EXPECT_FALSE(tokenizer->is_special(151657));
  std::set<std::string_view> texts;
  for (int32_t id = 0; id < tables.tokens; ++id) texts.insert(tokenizer->token_bytes(id));
  EXPECT_EQ(texts.size(), 151665u);

  const std::string text = "The quick brown fox jumps over the lazy dog: caf\xc3\xa9, 12.5!\n";
  std::vector<int32_t> ids;
  tokenizer->encode(text, false, ids);
  EXPECT_LE(ids.size(), text.size() / 2);
  std::string back;
  for (const int32_t id : ids) back += tokenizer->token_bytes(id);
  EXPECT_EQ(back, text);
}

}  // namespace
}  // namespace ocelli
