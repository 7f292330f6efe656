// What an Engine tells about itself: counts for `stats`, and what a request has computed so far,
// for comparisons with the reference (models/reference).
#include <nlohmann/json.hpp>

#include "engine/engine.h"

namespace ocelli {

std::string Engine::stats_json() const {
  nlohmann::ordered_json out = {{"threads", pool_->threads()}, {"context", plan_.context}};
  out["kv_blocks"] = kv_->blocks();
  out["kv_blocks_free"] = kv_->free_blocks();
  out["adapters"] = nlohmann::ordered_json::object();
  for (const auto& [name, adapter] : adapters_.all()) out["adapters"][name] = adapter->bytes();
  if (scheduler_) {
    const SchedulerStats& stats = scheduler_->stats();
    out["requests"] = scheduler_->count();
    out["steps"] = stats.steps;
    out["layers"] = stats.layers;
    out["prefix_queries"] = stats.prefix_queries;
    out["prefix_hits"] = stats.prefix_hits;
    out["rows"] = stats.rows;
    out["guessed_tokens"] = stats.guessed;
    out["accepted_tokens"] = stats.accepted;
    out["preemptions"] = stats.preemptions;
    out["image_tokens"] = scheduler_->image_tokens();
  }
  return out.dump();
}

Result<Dump> Engine::dump(uint32_t handle, std::string_view name) {
  OCELLI_TRY(Request * request, find(handle));
  if (name == "prompt.json") {
    nlohmann::ordered_json out;
    const auto& tokens = request->sequences[0].tokens;
    out["prompt_token_ids"] =
        std::vector<int32_t>(tokens.begin(), tokens.begin() + request->prompt_tokens);
    out["image_grid_thw"] = nlohmann::ordered_json::array();
    for (const RequestImage& image : request->images) {
      out["image_grid_thw"].push_back({image.grid.t, image.grid.h, image.grid.w});
    }
    out["video_grid_thw"] = nlohmann::ordered_json::array();
    out["positions"] = nlohmann::ordered_json::array();
    for (int axis = 0; axis < 3; ++axis) {
      std::vector<int32_t> values;
      values.reserve(request->positions.positions.size());
      for (const Position& position : request->positions.positions)
        values.push_back(position[axis]);
      out["positions"].push_back(std::move(values));
    }
    out["rope_delta"] = request->positions.rope_delta;
    dump_ = out.dump();
    return Dump{{reinterpret_cast<const uint8_t*>(dump_.data()), dump_.size()}, 0, 0};
  }
  for (size_t i = 0; i < request->images.size(); ++i) {
    if (name != "vision_" + std::to_string(i)) continue;
    const RequestImage& image = request->images[i];
    if (!image.merged) {
      const char* why = request->finished ? " were given back by the step after the request's end"
                        : request->cached_tokens > image.token_begin
                            ? " are not needed: the prompt's beginning was in the cache"
                            : " are not computed yet";
      return fail(Status::kNotReady, "the rows of image " + std::to_string(i) + why);
    }
    const auto rows = static_cast<uint32_t>(image.grid.tokens(manifest_.config.vision.merge));
    return Dump{{reinterpret_cast<const uint8_t*>(image.merged->data()),
                 static_cast<size_t>(image.merged->count()) * 4},
                rows,
                static_cast<uint32_t>(manifest_.config.vision.out)};
  }
  return fail(Status::kInvalidArgument, "a request has no dump named " + std::string(name));
}

}  // namespace ocelli
