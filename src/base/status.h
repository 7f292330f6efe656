// The one table of status codes: number, name, HTTP status. Used by every folder; JavaScript gets
// the same facts from ocelli_last_error(), so there is no mirror. Numbers are append-only and never
// reused. Families: 1xx the request, 2xx the weights, 3xx resources, 4xx state, 9xx our own fault.
#pragma once

#include <cstdint>
#include <string_view>

namespace ocelli {

// X(constant, number, "code", http)
#define OCELLI_STATUS_TABLE(X)                                      \
  X(kOk, 0, "ok", 200)                                              \
  X(kInvalidJson, 100, "invalid_json", 400)                         \
  X(kInvalidValue, 101, "invalid_value", 400)                       \
  X(kMissingField, 102, "missing_field", 400)                       \
  X(kUnknownRole, 103, "unknown_role", 400)                         \
  X(kContextLengthExceeded, 104, "context_length_exceeded", 400)    \
  X(kTemplateError, 105, "template_error", 400)                     \
  X(kInvalidImage, 106, "invalid_image", 400)                       \
  X(kImageAspectRatio, 107, "image_aspect_ratio", 400)              \
  X(kImageTooLarge, 108, "image_too_large", 400)                    \
  X(kUnsupportedImage, 109, "unsupported_image", 400)               \
  X(kMediaMissing, 110, "media_missing", 400)                       \
  X(kInvalidTokenId, 111, "invalid_token_id", 400)                  \
  X(kUnsupportedFeature, 112, "unsupported_feature", 400)           \
  X(kInvalidAdapter, 113, "invalid_adapter", 400)                   \
  X(kInvalidManifest, 200, "invalid_manifest", 500)                 \
  X(kInvalidShard, 201, "invalid_shard", 500)                       \
  X(kShardHashMismatch, 202, "shard_hash_mismatch", 500)            \
  X(kInvalidSafetensors, 203, "invalid_safetensors", 500)           \
  X(kMissingTensor, 204, "missing_tensor", 500)                     \
  X(kTensorShape, 205, "tensor_shape", 500)                         \
  X(kTensorDtype, 206, "tensor_dtype", 500)                         \
  X(kUnsupportedQuantization, 207, "unsupported_quantization", 500) \
  X(kInvalidConfig, 208, "invalid_config", 500)                     \
  X(kUnsupportedRope, 209, "unsupported_rope", 500)                 \
  X(kInvalidTokenizer, 210, "invalid_tokenizer", 500)               \
  X(kIoError, 211, "io_error", 500)                                 \
  X(kOutOfMemory, 300, "out_of_memory", 507)                        \
  X(kPlanExceedsMemory, 301, "plan_exceeds_memory", 507)            \
  X(kQueueFull, 302, "queue_full", 429)                             \
  X(kNotReady, 400, "not_ready", 503)                               \
  X(kStaleHandle, 401, "stale_handle", 500)                         \
  X(kInvalidArgument, 402, "invalid_argument", 500)                 \
  X(kAdapterMissing, 403, "adapter_not_found", 404)                 \
  X(kInternal, 900, "internal_error", 500)

enum class Status : int32_t {
#define X(constant, number, code, http) constant = number,
  OCELLI_STATUS_TABLE(X)
#undef X
};

// Stable machine-readable name, e.g. "context_length_exceeded".
constexpr std::string_view status_code(Status status) {
  switch (status) {
#define X(constant, number, code, http) \
  case Status::constant:                \
    return code;
    OCELLI_STATUS_TABLE(X)
#undef X
  }
  return "internal_error";
}

// The HTTP status a server answers with.
constexpr int status_http(Status status) {
  switch (status) {
#define X(constant, number, code, http) \
  case Status::constant:                \
    return http;
    OCELLI_STATUS_TABLE(X)
#undef X
  }
  return 500;
}

}  // namespace ocelli
