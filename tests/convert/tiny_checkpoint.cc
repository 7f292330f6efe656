#include "convert/tiny_checkpoint.h"

#include <cstring>
#include <random>

#include "base/half.h"

namespace ocelli::testing {
namespace {

// Around normal with deviation 0.06. The same numbers with every standard library: only raw output
// is used.
float random_value(std::mt19937& random) {
  float sum = 0.0f;
  for (int i = 0; i < 4; ++i) sum += static_cast<float>(random() >> 8) * 0x1p-24f - 0.5f;
  return sum * 0.1f;
}

void put(Dtype dtype, float value, std::vector<uint8_t>& out, size_t index) {
  if (dtype == Dtype::kF32) {
    std::memcpy(out.data() + 4 * index, &value, 4);
  } else {
    const uint16_t bits = dtype == Dtype::kF16 ? f32_to_f16(value) : f32_to_bf16(value);
    std::memcpy(out.data() + 2 * index, &bits, 2);
  }
}

TinyTensor random_tensor(Dtype dtype, std::vector<int64_t> shape, std::mt19937& random) {
  size_t count = 1;
  for (const int64_t dim : shape) count *= static_cast<size_t>(dim);
  TinyTensor tensor{dtype, std::move(shape),
                    std::vector<uint8_t>(count * static_cast<size_t>(dtype_bytes(dtype)))};
  for (size_t i = 0; i < count; ++i) put(dtype, random_value(random), tensor.bytes, i);
  return tensor;
}

nlohmann::json tiny_config(bool tied) {
  return nlohmann::json::parse(R"({
    "architectures": ["Qwen2_5_VLForConditionalGeneration"], "model_type": "qwen2_5_vl",
    "hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 256, "vocab_size": 300, "hidden_act": "silu", "rms_norm_eps": 1e-6, "rope_theta": 1000000.0,
    "rope_scaling": {"type": "mrope", "mrope_section": [4, 6, 6]}, "max_position_embeddings": 4096,
    "sliding_window": 32768, "use_sliding_window": false, "max_window_layers": 70,
    "image_token_id": 264, "video_token_id": 265, "vision_start_token_id": 261, "vision_end_token_id": 262,
    "eos_token_id": 258, "tie_word_embeddings": )" +
                               std::string(tied ? "true" : "false") + R"(,
    "vision_config": {"depth": 2, "hidden_size": 32, "num_heads": 2, "intermediate_size": 44, "in_chans": 3,
      "patch_size": 14, "spatial_merge_size": 2, "spatial_patch_size": 14, "temporal_patch_size": 2,
      "window_size": 112, "fullatt_block_indexes": [1], "out_hidden_size": 128, "hidden_act": "silu",
      "tokens_per_second": 2}})");
}

std::string utf8(int code) {
  if (code < 0x80) return std::string(1, static_cast<char>(code));
  return {static_cast<char>(0xc0 | code >> 6), static_cast<char>(0x80 | (code & 63))};
}

// 256 bytes, two merges ("in" 256, "ing" 257), added tokens 258 to 266.
nlohmann::json tiny_tokenizer() {
  nlohmann::json json = nlohmann::json::parse(R"js({
    "normalizer": {"type": "NFC"},
    "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
      {"type": "Split", "behavior": "Isolated", "invert": false, "pattern": {"Regex":
       "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}},
      {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false}]},
    "model": {"type": "BPE", "merges": ["i n", "in g"]}})js");
  nlohmann::json& vocab = json["model"]["vocab"];
  int id = 0;
  std::vector<std::string> others;
  for (int byte = 0; byte < 256; ++byte) {
    const bool itself =
        (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    if (itself)
      vocab[utf8(byte)] = id++;
    else
      others.push_back(utf8(0x100 + static_cast<int>(others.size())));
  }
  for (const std::string& other : others) vocab[other] = id++;
  vocab["in"] = id++;
  vocab["ing"] = id++;
  for (const char* content :
       {"<|im_end|>", "<|endoftext|>", "<|im_start|>", "<|vision_start|>", "<|vision_end|>",
        "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>", "<tool_call>"})
    json["added_tokens"].push_back(
        {{"id", id++}, {"content", content}, {"special", content[1] == '|'}});
  return json;
}

const char* const kDecoderMatrices[] = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
                                        "self_attn.o_proj", "mlp.gate_proj",    "mlp.up_proj",
                                        "mlp.down_proj"};

// [rows, n] values as AWQ words [rows, n/8].
TinyTensor pack_awq(const std::vector<uint8_t>& values, size_t n) {
  constexpr int kOrder[8] = {0, 2, 4, 6, 1, 3, 5, 7};
  TinyTensor tensor{Dtype::kI32,
                    {static_cast<int64_t>(values.size() / n), static_cast<int64_t>(n / 8)},
                    std::vector<uint8_t>(values.size() / 2)};
  for (size_t i = 0; i < values.size(); i += 8) {
    uint32_t word = 0;
    for (int j = 0; j < 8; ++j)
      word |= uint32_t{values[i + static_cast<size_t>(kOrder[j])]} << (4 * j);
    std::memcpy(tensor.bytes.data() + i / 2, &word, 4);
  }
  return tensor;
}

}  // namespace

std::vector<uint8_t> bytes_of(const std::string& text) { return {text.begin(), text.end()}; }

std::vector<uint8_t> safetensors_file(
    const std::vector<std::pair<std::string, TinyTensor>>& tensors) {
  nlohmann::ordered_json header;
  header["__metadata__"] = {{"format", "pt"}};
  uint64_t at = 0;
  for (const auto& [name, tensor] : tensors) {
    header[name] = {{"dtype", std::string(dtype_word(tensor.dtype))},
                    {"shape", tensor.shape},
                    {"data_offsets", {at, at + tensor.bytes.size()}}};
    at += tensor.bytes.size();
  }
  std::string json = header.dump();
  while (json.size() % 8 != 0) json += ' ';
  std::vector<uint8_t> file(8);
  for (size_t i = 0; i < 8; ++i) file[i] = static_cast<uint8_t>(uint64_t{json.size()} >> (8 * i));
  file.insert(file.end(), json.begin(), json.end());
  for (const auto& [name, tensor] : tensors)
    file.insert(file.end(), tensor.bytes.begin(), tensor.bytes.end());
  return file;
}

TinyCheckpoint tiny_checkpoint(Dtype dtype, bool tied) {
  std::mt19937 random(7);
  TinyCheckpoint tiny;
  tiny.config = tiny_config(tied);
  tiny.generation = nlohmann::json::parse(
      R"({"eos_token_id": [258, 259], "temperature": 1e-6, "repetition_penalty": 1.05, "do_sample": true})");
  tiny.preprocessor = nlohmann::json::parse(
      R"({"min_pixels": 3136, "max_pixels": 12845056, "patch_size": 14, "temporal_patch_size": 2, "merge_size": 2,
          "image_mean": [0.5, 0.25, 0.125], "image_std": [0.5, 0.75, 1.0]})");
  tiny.tokenizer = tiny_tokenizer();
  const auto add = [&](const std::string& name, std::vector<int64_t> shape) {
    tiny.tensors[name] = random_tensor(dtype, std::move(shape), random);
  };
  const auto linear = [&](const std::string& name, int n, int k, bool bias) {
    add(name + ".weight", {n, k});
    if (bias) add(name + ".bias", {n});
  };
  add("visual.patch_embed.proj.weight", {kVisionHidden, 3, 2, 14, 14});
  for (int i = 0; i < kVisionDepth; ++i) {
    const std::string block = "visual.blocks." + std::to_string(i) + ".";
    add(block + "norm1.weight", {kVisionHidden});
    add(block + "norm2.weight", {kVisionHidden});
    linear(block + "attn.qkv", 3 * kVisionHidden, kVisionHidden, true);
    linear(block + "attn.proj", kVisionHidden, kVisionHidden, true);
    linear(block + "mlp.gate_proj", kVisionIntermediate, kVisionHidden, true);
    linear(block + "mlp.up_proj", kVisionIntermediate, kVisionHidden, true);
    linear(block + "mlp.down_proj", kVisionHidden, kVisionIntermediate, true);
  }
  add("visual.merger.ln_q.weight", {kVisionHidden});
  linear("visual.merger.mlp.0", 4 * kVisionHidden, 4 * kVisionHidden, true);
  linear("visual.merger.mlp.2", kHidden, 4 * kVisionHidden, true);
  add("model.embed_tokens.weight", {kVocab, kHidden});
  for (int i = 0; i < kLayers; ++i) {
    const std::string layer = "model.layers." + std::to_string(i) + ".";
    add(layer + "input_layernorm.weight", {kHidden});
    add(layer + "post_attention_layernorm.weight", {kHidden});
    linear(layer + "self_attn.q_proj", kHeads * kHeadDim, kHidden, true);
    linear(layer + "self_attn.k_proj", kKvHeads * kHeadDim, kHidden, true);
    linear(layer + "self_attn.v_proj", kKvHeads * kHeadDim, kHidden, true);
    linear(layer + "self_attn.o_proj", kHidden, kHeads * kHeadDim, false);
    linear(layer + "mlp.gate_proj", kIntermediate, kHidden, false);
    linear(layer + "mlp.up_proj", kIntermediate, kHidden, false);
    linear(layer + "mlp.down_proj", kHidden, kIntermediate, false);
  }
  add("model.norm.weight", {kHidden});
  if (!tied) add("lm_head.weight", {kVocab, kHidden});
  return tiny;
}

TinyCheckpoint tiny_awq(std::map<std::string, AwqTruth>& truth) {
  std::mt19937 random(11);
  TinyCheckpoint tiny = tiny_checkpoint(Dtype::kBf16);
  tiny.config["quantization_config"] = nlohmann::json::parse(
      R"({"bits": 4, "group_size": 128, "quant_method": "awq", "version": "gemm", "zero_point": true,
          "modules_to_not_convert": ["visual"]})");
  for (int layer = 0; layer < kLayers; ++layer) {
    for (const char* matrix : kDecoderMatrices) {
      const std::string name = "model.layers." + std::to_string(layer) + "." + matrix;
      const auto n = static_cast<size_t>(tiny.tensors[name + ".weight"].shape[0]);
      const auto k = static_cast<size_t>(tiny.tensors[name + ".weight"].shape[1]);
      tiny.tensors.erase(name + ".weight");
      AwqTruth& t = truth[name];
      t.codes.resize(k * n);
      t.zeros.resize(k / 128 * n);
      t.scales.resize(k / 128 * n);
      for (uint8_t& code : t.codes) code = static_cast<uint8_t>(random() >> 28);
      for (uint8_t& zero : t.zeros) zero = static_cast<uint8_t>(random() >> 28);
      for (uint16_t& scale : t.scales) scale = static_cast<uint16_t>(0x1c00 + (random() >> 22));
      tiny.tensors[name + ".qweight"] = pack_awq(t.codes, n);
      tiny.tensors[name + ".qzeros"] = pack_awq(t.zeros, n);
      TinyTensor scales{Dtype::kF16,
                        {static_cast<int64_t>(k / 128), static_cast<int64_t>(n)},
                        std::vector<uint8_t>(t.scales.size() * 2)};
      std::memcpy(scales.bytes.data(), t.scales.data(), scales.bytes.size());
      tiny.tensors[name + ".scales"] = scales;
      if (tiny.tensors.contains(name + ".bias"))
        tiny.tensors[name + ".bias"] =
            random_tensor(Dtype::kF16, {static_cast<int64_t>(n)}, random);
    }
  }
  return tiny;
}

void rename_tensors(TinyCheckpoint& checkpoint,
                    const std::function<std::string(const std::string&)>& rename) {
  std::map<std::string, TinyTensor> renamed;
  for (auto& [name, tensor] : checkpoint.tensors) renamed[rename(name)] = std::move(tensor);
  checkpoint.tensors = std::move(renamed);
}

Files TinyCheckpoint::files() const {
  Files out;
  out["config.json"] = bytes_of(config.dump());
  out["tokenizer.json"] = bytes_of(tokenizer.dump());
  if (!generation.is_null()) out["generation_config.json"] = bytes_of(generation.dump());
  if (!preprocessor.is_null()) out["preprocessor_config.json"] = bytes_of(preprocessor.dump());
  std::vector<std::vector<std::pair<std::string, TinyTensor>>> parts(
      static_cast<size_t>(weight_files));
  const auto file_name = [&](size_t part) {
    if (weight_files == 1) return std::string("model.safetensors");
    return "model-" + std::to_string(part + 1) + "-of-" + std::to_string(weight_files) +
           ".safetensors";
  };
  nlohmann::json map;
  size_t index = 0;
  for (const auto& [name, tensor] : tensors) {
    const size_t part = index++ % parts.size();
    parts[part].emplace_back(name, tensor);
    map[name] = file_name(part);
  }
  for (size_t part = 0; part < parts.size(); ++part)
    out[file_name(part)] = safetensors_file(parts[part]);
  if (weight_files > 1)
    out["model.safetensors.index.json"] = bytes_of(nlohmann::json{{"weight_map", map}}.dump());
  return out;
}

std::vector<float> TinyCheckpoint::values(const std::string& name) const {
  const TinyTensor& tensor = tensors.at(name);
  std::vector<float> out(tensor.bytes.size() / static_cast<size_t>(dtype_bytes(tensor.dtype)));
  for (size_t i = 0; i < out.size(); ++i) {
    uint16_t bits = 0;
    if (tensor.dtype == Dtype::kF32) {
      std::memcpy(&out[i], tensor.bytes.data() + 4 * i, 4);
      continue;
    }
    std::memcpy(&bits, tensor.bytes.data() + 2 * i, 2);
    out[i] = tensor.dtype == Dtype::kF16 ? f16_to_f32(bits) : bf16_to_f32(bits);
  }
  return out;
}

void TinyCheckpoint::set(const std::string& name, size_t index, float value) {
  TinyTensor& tensor = tensors.at(name);
  put(tensor.dtype, value, tensor.bytes, index);
}

}  // namespace ocelli::testing
