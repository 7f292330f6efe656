// The only extern "C" code: checks arguments, turns handles into engines and results into status
// codes. No logic.
#include "abi/ocelli.h"

#include <array>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "engine/engine.h"
#include "engine/self_test.h"

namespace {

using namespace ocelli;

constexpr uint32_t kAbiVersion = 3;
constexpr uint32_t kEnginesMax = 16;

struct Slot {
  std::unique_ptr<Engine> engine;
  uint32_t generation = 0;
};

std::array<Slot, kEnginesMax> g_slots;
Error g_error;
std::string g_text;  // what the last call handed out

int32_t report(Error error) {
  g_error = std::move(error);
  return static_cast<int32_t>(g_error.status);
}

int32_t hand_out(std::string text, const char** out, uint32_t* bytes) {
  g_text = std::move(text);
  *out = g_text.data();
  *bytes = static_cast<uint32_t>(g_text.size());
  return 0;
}

// A handle is generation * kEnginesMax + slot + 1.
Engine* engine_of(uint32_t handle) {
  const uint32_t slot = (handle - 1) % kEnginesMax;
  if (handle == 0 || g_slots[slot].generation != (handle - 1) / kEnginesMax) return nullptr;
  return g_slots[slot].engine.get();
}

int32_t stale(uint32_t handle) {
  return report({Status::kStaleHandle, "no engine has the handle " + std::to_string(handle), ""});
}

int32_t status_of(Result<void> result) { return result ? 0 : report(std::move(result).error()); }

}  // namespace

uint32_t ocelli_abi_version(void) { return kAbiVersion; }

void* ocelli_alloc(uint32_t bytes) {
  if (bytes > UINT32_MAX - 64) return nullptr;
  return std::aligned_alloc(64, (static_cast<size_t>(bytes) + 64) / 64 * 64);
}

void ocelli_free(void* pointer) { std::free(pointer); }

int32_t ocelli_last_error(const char** json, uint32_t* bytes) {
  return hand_out(error_json(g_error), json, bytes);
}

uint32_t ocelli_self_test(void) { return self_test() ? 1 : 0; }

int32_t ocelli_plan(const char* manifest, uint32_t manifest_bytes, const char* options,
                    uint32_t options_bytes, const char** json, uint32_t* json_bytes) {
  const auto parsed = parse_manifest({manifest, manifest_bytes});
  if (!parsed) return report(parsed.error());
  const auto chosen = parse_options({options, options_bytes});
  if (!chosen) return report(chosen.error());
  const auto plan = plan_memory(*parsed, *chosen);
  if (!plan) return report(plan.error());
  return hand_out(plan_json(*parsed, *plan), json, json_bytes);
}

int32_t ocelli_open(const char* manifest, uint32_t manifest_bytes, const char* options,
                    uint32_t options_bytes, uint32_t* engine) {
  for (uint32_t slot = 0; slot < kEnginesMax; ++slot) {
    if (g_slots[slot].engine) continue;
    auto opened = Engine::open({manifest, manifest_bytes}, {options, options_bytes});
    if (!opened) return report(std::move(opened).error());
    g_slots[slot].engine = std::move(*opened);
    *engine = g_slots[slot].generation * kEnginesMax + slot + 1;
    return 0;
  }
  return report({Status::kOutOfMemory,
                 "at most " + std::to_string(kEnginesMax) + " engines can be open", ""});
}

int32_t ocelli_shard_reserve(uint32_t engine, uint32_t index, void** address, uint32_t* bytes) {
  Engine* e = engine_of(engine);
  if (!e) return stale(engine);
  const auto span = e->shard_reserve(index);
  if (!span) return report(span.error());
  *address = span->data();
  *bytes = static_cast<uint32_t>(span->size());
  return 0;
}

int32_t ocelli_shard_hash(uint32_t engine, uint32_t index, uint32_t bytes) {
  Engine* e = engine_of(engine);
  return e ? status_of(e->shard_hash(index, bytes)) : stale(engine);
}

int32_t ocelli_shard_digest(uint32_t engine, uint32_t index, const char* sha256,
                            uint32_t sha256_bytes) {
  Engine* e = engine_of(engine);
  return e ? status_of(e->shard_digest(index, {sha256, sha256_bytes})) : stale(engine);
}

int32_t ocelli_shard_commit(uint32_t engine, uint32_t index) {
  Engine* e = engine_of(engine);
  return e ? status_of(e->shard_commit(index)) : stale(engine);
}

int32_t ocelli_ready(uint32_t engine) {
  Engine* e = engine_of(engine);
  return e ? status_of(e->ready()) : stale(engine);
}

int32_t ocelli_warm_up(uint32_t engine, uint32_t* more) {
  Engine* e = engine_of(engine);
  if (!e) return stale(engine);
  *more = e->warm_up() ? 1 : 0;
  return 0;
}

int32_t ocelli_close(uint32_t engine) {
  if (!engine_of(engine)) return stale(engine);
  Slot& slot = g_slots[(engine - 1) % kEnginesMax];
  slot.engine.reset();
  ++slot.generation;
  return 0;
}

int32_t ocelli_tokenize(uint32_t engine, const char* text, uint32_t text_bytes, uint32_t flags,
                        const char** json, uint32_t* json_bytes) {
  Engine* e = engine_of(engine);
  if (!e) return stale(engine);
  const auto ids = e->tokenize({text, text_bytes}, flags & 1);
  if (!ids) return report(ids.error());
  return hand_out(nlohmann::json(*ids).dump(), json, json_bytes);
}

int32_t ocelli_detokenize(uint32_t engine, const int32_t* ids, uint32_t count, uint32_t flags,
                          const char** text, uint32_t* text_bytes) {
  Engine* e = engine_of(engine);
  if (!e) return stale(engine);
  auto decoded = e->detokenize({ids, count}, flags & 1);
  if (!decoded) return report(std::move(decoded).error());
  return hand_out(std::move(*decoded), text, text_bytes);
}

int32_t ocelli_adapter_reserve(uint32_t engine, uint32_t bytes, void** address) {
  Engine* e = engine_of(engine);
  if (!e) return stale(engine);
  const auto room = e->adapter_reserve(bytes);
  if (!room) return report(room.error());
  *address = room->data();
  return 0;
}

int32_t ocelli_adapter_commit(uint32_t engine, const char* name, uint32_t name_bytes,
                              const char* config, uint32_t config_bytes) {
  Engine* e = engine_of(engine);
  return e ? status_of(e->adapter_commit({name, name_bytes}, {config, config_bytes}))
           : stale(engine);
}

int32_t ocelli_adapter_drop(uint32_t engine, const char* name, uint32_t name_bytes) {
  Engine* e = engine_of(engine);
  return e ? status_of(e->adapter_drop({name, name_bytes})) : stale(engine);
}

int32_t ocelli_media_put(uint32_t engine, const uint8_t* data, uint32_t bytes, uint32_t* media) {
  Engine* e = engine_of(engine);
  if (!e) return stale(engine);
  const auto handle = e->media_put({data, bytes});
  if (!handle) return report(handle.error());
  *media = *handle;
  return 0;
}

int32_t ocelli_media_drop(uint32_t engine, uint32_t media) {
  Engine* e = engine_of(engine);
  return e ? status_of(e->media_drop(media)) : stale(engine);
}

int32_t ocelli_request_open(uint32_t engine, const char* json, uint32_t json_bytes,
                            uint32_t* request) {
  Engine* e = engine_of(engine);
  if (!e) return stale(engine);
  const auto handle = e->request_open({json, json_bytes});
  if (!handle) return report(handle.error());
  *request = *handle;
  return 0;
}

int32_t ocelli_request_cancel(uint32_t engine, uint32_t request) {
  Engine* e = engine_of(engine);
  return e ? status_of(e->request_cancel(request)) : stale(engine);
}

int32_t ocelli_request_close(uint32_t engine, uint32_t request) {
  Engine* e = engine_of(engine);
  return e ? status_of(e->request_close(request)) : stale(engine);
}

int32_t ocelli_request_assume(uint32_t engine, uint32_t request, uint32_t tokens) {
  Engine* e = engine_of(engine);
  return e ? status_of(e->request_assume(request, tokens)) : stale(engine);
}

int32_t ocelli_step(uint32_t engine, uint32_t* state) {
  Engine* e = engine_of(engine);
  if (!e) return stale(engine);
  const auto next = e->step();
  if (!next) return report(next.error());
  *state = std::to_underlying(*next);
  return 0;
}

int32_t ocelli_next_event(uint32_t engine, const char** json, uint32_t* json_bytes) {
  Engine* e = engine_of(engine);
  if (!e) return stale(engine);
  *json_bytes = 0;
  std::string event;
  return e->next_event(event) ? hand_out(std::move(event), json, json_bytes) : 0;
}

int32_t ocelli_stats(uint32_t engine, const char** json, uint32_t* json_bytes) {
  Engine* e = engine_of(engine);
  return e ? hand_out(e->stats_json(), json, json_bytes) : stale(engine);
}

int32_t ocelli_dump(uint32_t engine, uint32_t request, const char* name, uint32_t name_bytes,
                    const uint8_t** data, uint32_t* bytes, uint32_t* rows, uint32_t* columns) {
  Engine* e = engine_of(engine);
  if (!e) return stale(engine);
  const auto dump = e->dump(request, {name, name_bytes});
  if (!dump) return report(dump.error());
  *data = dump->bytes.data();
  *bytes = static_cast<uint32_t>(dump->bytes.size());
  *rows = dump->rows;
  *columns = dump->columns;
  return 0;
}
