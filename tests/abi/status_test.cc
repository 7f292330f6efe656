// Every status code has a way to come about: one producer each, through the C interface or the
// converter. The table is read from src/base/status.h, so a new code without a producer fails here.
#include "base/status.h"

#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>

#include "convert/convert.h"
#include "convert/directory.h"
#include "engine/fixture.h"
#include "engine/limits.h"
#include "format/sha256.h"

namespace ocelli::test {
namespace {

namespace fs = std::filesystem;

class Silent : public Listener {
 public:
  void progress(uint64_t, uint64_t) override {}
  void note(const std::string&) override {}
};

// --- producers: each returns the status of the call that is to fail

int32_t request_status(const ordered_json& body, const ordered_json& options = {{"context", 64}}) {
  EngineDriver engine(container(), options);
  const std::string json = body.dump();
  uint32_t request = 0;
  return ocelli_request_open(engine.handle(), json.data(), static_cast<uint32_t>(json.size()),
                             &request);
}

int32_t media_status(const std::string& file) {
  EngineDriver engine(container(), {{"context", 64}});
  uint32_t media = 0;
  return put_image(engine, file, media);
}

// Opens a container, some of it replaced, as far as it goes; `engine` is closed by the caller.
int32_t load(const ordered_json& manifest, const std::map<size_t, std::string>& replaced,
             uint32_t& engine) {
  const std::string text = manifest.dump(), options = R"({"context":64})";
  int32_t status = ocelli_open(text.data(), static_cast<uint32_t>(text.size()), options.data(),
                               static_cast<uint32_t>(options.size()), &engine);
  for (uint32_t i = 0; status == 0 && i < manifest["shards"].size(); ++i) {
    const std::string name = manifest["shards"][i]["sha256"].get<std::string>();
    const std::string bytes = replaced.contains(i)
                                  ? replaced.at(i)
                                  : read_file(container() + "/" + name + ".safetensors");
    void* address = nullptr;
    uint32_t room = 0;
    status = ocelli_shard_reserve(engine, i, &address, &room);
    if (status == 0) std::memcpy(address, bytes.data(), std::min<size_t>(room, bytes.size()));
    if (status == 0) status = ocelli_shard_commit(engine, i);
  }
  return status;
}

ordered_json manifest() { return ordered_json::parse(read_file(container() + "/manifest.json")); }

int32_t manifest_status(const std::function<void(ordered_json&)>& change) {
  ordered_json changed = manifest();
  change(changed);
  uint32_t engine = 0;
  const int32_t status = load(changed, {}, engine);
  ocelli_close(engine);
  return status;
}

// The last shard becomes another file, which the manifest vouches for.
int32_t shard_status(const std::string& file) {
  ordered_json changed = manifest();
  const size_t last = changed["shards"].size() - 1;
  changed["shards"][last]["bytes"] = file.size();
  changed["shards"][last]["sha256"] =
      sha256_hex({reinterpret_cast<const uint8_t*>(file.data()), file.size()});
  uint32_t engine = 0;
  const int32_t status = load(changed, {{last, file}}, engine);
  ocelli_close(engine);
  return status;
}

// A safetensors file of one tensor of 64 bytes whose data begins at a multiple of `alignment`.
std::string one_tensor(const std::string& dtype, size_t alignment) {
  std::string header =
      R"({"spare":{"dtype":")" + dtype + R"(","shape":[64],"data_offsets":[0,64]}})";
  while ((8 + header.size()) % alignment != 0) header += ' ';
  std::string file(8, '\0');
  file[0] = static_cast<char>(header.size());
  return file + header + std::string(64, '\0');
}

int32_t convert_status(const std::string& file,
                       const std::function<std::string(std::string)>& edit) {
  std::string folder = "/tmp/ocelli-status-XXXXXX";
  EXPECT_NE(mkdtemp(folder.data()), nullptr);
  const fs::path source_path = fs::path(folder) / "source";
  fs::copy(std::string(OCELLI_ROOT) + "/build/checkpoints/tied_bf16", source_path);
  const std::string edited = edit(read_file(source_path / file));
  std::ofstream(source_path / file, std::ios::binary | std::ios::trunc) << edited;
  int32_t status = 0;
  {
    auto source = open_source_directory(source_path);
    auto sink = open_sink_directory(folder + "/out", false);
    EXPECT_TRUE(source && sink);
    Silent silent;
    const auto converted = convert(**source, **sink, silent, ConvertOptions{});
    if (!converted) status = static_cast<int32_t>(converted.error().status);
  }
  fs::remove_all(folder);
  return status;
}

int32_t config_status(const std::string& key, const ordered_json& value) {
  return convert_status("config.json", [&](const std::string& text) {
    ordered_json config = ordered_json::parse(text);
    config[key] = value;
    return config.dump();
  });
}

int32_t too_many_engines() {
  const std::string text = read_file(container() + "/manifest.json"), options = R"({"context":64})";
  std::vector<uint32_t> open;
  int32_t status = 0;
  while (status == 0 && open.size() < 100) {
    uint32_t engine = 0;
    status = ocelli_open(text.data(), static_cast<uint32_t>(text.size()), options.data(),
                         static_cast<uint32_t>(options.size()), &engine);
    if (status == 0) open.push_back(engine);
  }
  EXPECT_EQ(open.size(), 16u);
  for (const uint32_t engine : open) EXPECT_EQ(ocelli_close(engine), 0);
  return status;
}

int32_t too_many_images() {
  EngineDriver engine(container(), {{"context", 64}});
  int32_t status = 0;
  uint32_t media = 0;
  for (int i = 0; status == 0 && i <= kMediaMax; ++i)
    status = put_image(engine, bmp(28, 28), media);
  return status;
}

int32_t image_ratio() {
  EngineDriver engine(container(), {{"context", 64}});
  uint32_t media = 0, request = 0;
  EXPECT_EQ(put_image(engine, bmp(1, 201), media), 0);
  ordered_json body = ask("");
  body["messages"] = user(parts(image_part(media)));
  const std::string json = body.dump();
  return ocelli_request_open(engine.handle(), json.data(), static_cast<uint32_t>(json.size()),
                             &request);
}

// Its tokenizer calls <|im_start|> by another name, in the manifest and in the shard.
int32_t without_a_control_token() {
  const std::string token = "<|im_start|>", other = "<|im_other|>";
  std::string text = manifest().dump();
  text.replace(text.find(token), token.size(), other);
  ordered_json changed = ordered_json::parse(text);
  std::map<size_t, std::string> replaced;
  for (size_t i = 0; i < changed["shards"].size(); ++i) {
    ordered_json& sha256 = changed["shards"][i]["sha256"];
    std::string file = read_file(container() + "/" + sha256.get<std::string>() + ".safetensors");
    const size_t at = file.find(token);
    if (at == std::string::npos) continue;
    file.replace(at, token.size(), other);
    sha256 = sha256_hex({reinterpret_cast<const uint8_t*>(file.data()), file.size()});
    replaced[i] = file;
  }
  EXPECT_EQ(replaced.size(), 1u);
  uint32_t engine = 0, request = 0;
  EXPECT_EQ(load(changed, replaced, engine), 0) << EngineDriver::last_error().dump();
  const std::string json = ask("hi").dump();
  const int32_t status =
      ocelli_request_open(engine, json.data(), static_cast<uint32_t>(json.size()), &request);
  ocelli_close(engine);
  return status;
}

int32_t before_the_shards() {
  const std::string text = read_file(container() + "/manifest.json");
  uint32_t engine = 0;
  EXPECT_EQ(ocelli_open(text.data(), static_cast<uint32_t>(text.size()), nullptr, 0, &engine), 0);
  const int32_t status = ocelli_ready(engine);
  ocelli_close(engine);
  return status;
}

int32_t no_such_shard() {
  EngineDriver engine(container(), {{"context", 64}});
  void* address = nullptr;
  uint32_t bytes = 0;
  return ocelli_shard_reserve(engine.handle(), 999, &address, &bytes);
}

int32_t wrong_id() {
  EngineDriver engine(container(), {{"context", 64}});
  const int32_t ids[] = {1, -1};
  const char* text = nullptr;
  uint32_t bytes = 0;
  return ocelli_detokenize(engine.handle(), ids, 2, 0, &text, &bytes);
}

int32_t plan_status() {
  const std::string text = read_file(container() + "/manifest.json");
  const std::string options = R"({"memory_bytes_max":1048576})";
  const char* json = nullptr;
  uint32_t bytes = 0;
  return ocelli_plan(text.data(), static_cast<uint32_t>(text.size()), options.data(),
                     static_cast<uint32_t>(options.size()), &json, &bytes);
}

int32_t missing_folder() {
  const auto source = open_source_directory("/tmp/no/such/folder");
  return source ? 0 : static_cast<int32_t>(source.error().status);
}

ordered_json with_role(const char* role) {
  ordered_json body = ask("hi");
  body["messages"][0]["role"] = role;
  return body;
}

std::string unusual_bmp() {
  std::string file = bmp(8, 8);
  file[28] = 5;  // bits a pixel
  return file;
}

const std::map<std::string_view, std::function<int32_t()>>& producers() {
  static const std::map<std::string_view, std::function<int32_t()>> table = {
      {"invalid_json", [] { return request_status(ordered_json::array()); }},
      {"invalid_value", [] { return request_status(ask("hi", {{"n", 0}})); }},
      {"missing_field", [] { return request_status(ordered_json::object()); }},
      {"unknown_role", [] { return request_status(with_role("")); }},
      {"context_length_exceeded", [] { return request_status(ask(std::string(99, '7'))); }},
      {"template_error", without_a_control_token},
      {"invalid_image", [] { return media_status("no image"); }},
      {"image_aspect_ratio", image_ratio},
      {"image_too_large", [] { return media_status(bmp(10000, 10000, false)); }},
      {"unsupported_image", [] { return media_status(unusual_bmp()); }},
      {"media_missing",
       [] {
         ordered_json body = ask("");
         body["messages"] = user(parts(image_part(5)));
         return request_status(body);
       }},
      {"invalid_token_id", wrong_id},
      {"unsupported_feature",
       [] { return request_status(ask("hi", {{"guided_json", {{"not", true}}}})); }},
      {"invalid_adapter",
       [] { return EngineDriver(container(), {{"context", 64}}).add_adapter("a", "{}", ""); }},
      {"adapter_not_found", [] { return request_status(ask("hi", {{"adapter", "a"}})); }},
      {"invalid_manifest", [] { return manifest_status([](ordered_json& m) { m.clear(); }); }},
      {"invalid_shard", [] { return shard_status(one_tensor("U8", 8)); }},
      {"shard_hash_mismatch",
       [] {
         return manifest_status([](ordered_json& m) {
           m["shards"][0]["bytes"] = m["shards"][0]["bytes"].get<int>() - 8;
         });
       }},
      {"invalid_safetensors", [] { return shard_status(std::string(200, '\xFF')); }},
      {"missing_tensor", [] { return shard_status(one_tensor("U8", 64)); }},
      {"tensor_shape",
       [] {
         return manifest_status([](ordered_json& m) {
           ordered_json& value = m["config"]["text"]["intermediate"];
           value = value.get<int>() + 64;
         });
       }},
      {"tensor_dtype", [] { return shard_status(one_tensor("C8", 64)); }},
      {"unsupported_quantization",
       [] {
         return config_status("quantization_config", {{"quant_method", "gptq"}, {"bits", 4}});
       }},
      {"invalid_config", [] { return config_status("hidden_size", 0); }},
      {"unsupported_rope",
       [] { return config_status("rope_scaling", {{"type", "longrope"}, {"factor", 2}}); }},
      {"invalid_tokenizer",
       [] { return convert_status("tokenizer.json", [](const std::string&) { return "{}"; }); }},
      {"io_error", missing_folder},
      {"out_of_memory", too_many_engines},
      {"plan_exceeds_memory", plan_status},
      {"queue_full", too_many_images},
      {"not_ready", before_the_shards},
      {"stale_handle", [] { return ocelli_ready(12345); }},
      {"invalid_argument", no_such_shard},
  };
  return table;
}

TEST(Status, EveryCodeIsProduced) {
  for (const auto& [code, number] : std::initializer_list<std::pair<std::string_view, int>>{
#define X(constant, number, code, http) {code, number},
           OCELLI_STATUS_TABLE(X)
#undef X
       }) {
    SCOPED_TRACE(std::string(code));
    // A call that succeeds has no error; a fault of our own traps here, and the JavaScript side
    // reports the trap under this name (js/errors.ts).
    if (code == "ok" || code == "internal_error") {
      EXPECT_FALSE(producers().contains(code));
      continue;
    }
    const auto found = producers().find(code);
    if (found == producers().end()) {
      ADD_FAILURE() << "nothing produces " << code;
      continue;
    }
    EXPECT_EQ(found->second(), number) << EngineDriver::last_error().dump();
  }
}

TEST(Status, NumbersAndNamesAreUniqueAndInTheirFamilies) {
  std::map<int, int> numbers;
  std::map<std::string_view, int> names;
#define X(constant, number, code, http)                          \
  ++numbers[number];                                             \
  ++names[code];                                                 \
  EXPECT_EQ(status_code(Status::constant), code);                \
  EXPECT_EQ(status_http(Status::constant), http);                \
  EXPECT_EQ(number >= 100 && number < 200, http == 400) << code; \
  EXPECT_TRUE(number == 0 || http >= 400) << code;
  OCELLI_STATUS_TABLE(X)
#undef X
  for (const auto& [number, count] : numbers) EXPECT_EQ(count, 1) << number;
  for (const auto& [name, count] : names) EXPECT_EQ(count, 1) << name;
  EXPECT_EQ(status_code(static_cast<Status>(-1)), "internal_error");
}

TEST(Status, TheLastErrorDescribesTheLastFailure) {
  EXPECT_NE(ocelli_ready(777), 0);
  const ordered_json error = EngineDriver::last_error();
  EXPECT_EQ(error["status"], 401);
  EXPECT_EQ(error["code"], "stale_handle");
  EXPECT_EQ(error["http"], 500);
  EXPECT_EQ(error["message"], "no engine has the handle 777");
  EXPECT_TRUE(error["param"].is_null());
  EXPECT_EQ(request_status(ask("hi", {{"top_p", 7}})), 101);
  EXPECT_EQ(EngineDriver::last_error()["param"], "top_p");
}

}  // namespace
}  // namespace ocelli::test
