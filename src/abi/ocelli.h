// The whole surface of the core: every extern "C" function, in the order a host uses them.
//
// 1. Every function returns an int32 status (0 = ok, else src/base/status.h) unless stated; results
//    come through out pointers. After a failure ocelli_last_error() describes it.
// 2. Only 32-bit integers and pointers cross. Text is UTF-8 as (pointer, bytes), never terminated.
// 3. Handles are small integers that carry a generation: a stale one is an error, not corruption.
// 4. The host pulls: there are no callbacks and no imports of ours. No call outlasts one step.
// 5. One caller at a time per engine. Buffers handed out belong to the core and live until the next
//    call on the same engine, except those of ocelli_alloc and ocelli_shard_reserve.
// 6. On wasm32 pointers are unsigned: use >>> 0 in JavaScript, memory goes past 2 GiB.
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// --- version, memory, last error
uint32_t ocelli_abi_version(void);   // the host refuses a core with another number
void* ocelli_alloc(uint32_t bytes);  // null when memory is short; 64-byte aligned
void ocelli_free(void* pointer);     // only what ocelli_alloc gave
// JSON:
// {"status":104,"code":"context_length_exceeded","http":400,"message":"...","param":"messages"|null}
int32_t ocelli_last_error(const char** json, uint32_t* bytes);

// --- relaxed SIMD probe: 1 when the kernels of this build compute what the scalar ones do, else 0
uint32_t ocelli_self_test(void);

// --- engine: options JSON, every key optional:
// {"threads":2,"compute":"fast"|"reference","context":4096,"sequences_max":8,"image_tokens_max":16384,
//  "memory_bytes_max":4294967296,"prefix_cache":true,"guess":true}
// Plan: what open would need, JSON out (see src/engine/plan.h). Touches no weights.
int32_t ocelli_plan(const char* manifest, uint32_t manifest_bytes, const char* options,
                    uint32_t options_bytes, const char** json, uint32_t* json_bytes);
int32_t ocelli_open(const char* manifest, uint32_t manifest_bytes, const char* options,
                    uint32_t options_bytes, uint32_t* engine);
// Where shard `index` (order of manifest.json) wants its bytes; write them, then commit. Commit
// checks the sha256 and the safetensors header and binds the tensors; on a mismatch the shard can
// be reserved again. Any order will do, and several may be reserved at a time. Once those that hold
// "tokenizer" are committed, text can be tokenized and requests opened; steps then compute as far
// as weights have come.
int32_t ocelli_shard_reserve(uint32_t engine, uint32_t index, void** address, uint32_t* bytes);
// Hashing may go along with writing: shard_hash says that the first `bytes` bytes are written, and
// commit hashes what is left; or the host hashes faster than a module and hands in the 64 hex
// digits of what it has written, before the commit.
int32_t ocelli_shard_hash(uint32_t engine, uint32_t index, uint32_t bytes);
int32_t ocelli_shard_digest(uint32_t engine, uint32_t index, const char* sha256,
                            uint32_t sha256_bytes);
int32_t ocelli_shard_commit(uint32_t engine, uint32_t index);
int32_t ocelli_ready(uint32_t engine);  // 0 when all weights are there, else not_ready
// While weights come and nothing is asked: a little work for nothing, through the kernels that
// requests will use, for hosts that optimise code while it runs. *more: 1 call again.
int32_t ocelli_warm_up(uint32_t engine, uint32_t* more);
int32_t ocelli_close(uint32_t engine);  // frees everything; pending requests are gone

// --- text without a request
// ids as JSON array. flags: 1 = match added tokens such as <|im_start|> in the text.
int32_t ocelli_tokenize(uint32_t engine, const char* text, uint32_t text_bytes, uint32_t flags,
                        const char** json, uint32_t* json_bytes);
// ids (int32 array) to text; flags: 1 = skip special tokens.
int32_t ocelli_detokenize(uint32_t engine, const int32_t* ids, uint32_t count, uint32_t flags,
                          const char** text, uint32_t* text_bytes);

// --- LoRA adapters (PEFT): requests name one in their field "adapter"
// Where the bytes of adapter_model.safetensors go; write them, then commit with a name and the text
// of adapter_config.json. Adapters and the base run together in one batch.
int32_t ocelli_adapter_reserve(uint32_t engine, uint32_t bytes, void** address);
int32_t ocelli_adapter_commit(uint32_t engine, const char* name, uint32_t name_bytes,
                              const char* config, uint32_t config_bytes);
// Requests that use it already keep it.
int32_t ocelli_adapter_drop(uint32_t engine, const char* name, uint32_t name_bytes);

// --- requests
// Encoded image bytes (PNG, JPEG, ...) are put first and named by the handle in the request's JSON:
// an image part of a message is {"type":"image","media":HANDLE,"min_pixels"?,"max_pixels"?}. The
// bytes are copied and decoded here.
int32_t ocelli_media_put(uint32_t engine, const uint8_t* data, uint32_t bytes, uint32_t* media);
int32_t ocelli_media_drop(uint32_t engine, uint32_t media);
// A chat-completions body (api: vLLM fields) with media handles in place of URLs. Validates
// everything, renders the template, tokenises; errors that can be known before generation are
// returned here.
int32_t ocelli_request_open(uint32_t engine, const char* json, uint32_t json_bytes,
                            uint32_t* request);
int32_t ocelli_request_cancel(uint32_t engine,
                              uint32_t request);  // ends it with finish reason "abort"
int32_t ocelli_request_close(uint32_t engine,
                             uint32_t request);  // after its last event, or to drop it
// For measuring: counts the first `tokens` tokens of the request's prompt, a multiple of 16, as
// computed, with made-up keys and values. What follows costs what it costs after a real prompt of
// that length; its text means nothing.
int32_t ocelli_request_assume(uint32_t engine, uint32_t request, uint32_t tokens);

// One scheduler step for all open requests. *state: 0 nothing to do, 1 call again, 2 nothing can go
// on before another shard is committed (or a request opened). When the weights turned out to be
// unusable at a commit, that error.
int32_t ocelli_step(uint32_t engine, uint32_t* state);
// Next event or *json_bytes = 0 when there is none. JSON, one object:
//  {"request":R,"type":"prompt","prompt_tokens":N,"prompt_token_ids":[..]?,"images":[{"width","height",
//   "source_width","source_height","grid":[t,h,w]}]}
//  {"request":R,"type":"progress","stage":"vision"|"prompt"|"weights","done":n,"total":N}
//   ("weights": it waits for them; bytes committed)
//  {"request":R,"type":"delta","index":I,"text":"..."?,"tool_calls":[{"index":K,"name":"..."?,"arguments":"..."?}]?,
//   "logprobs":[{"token","logprob","bytes":[..],"top_logprobs":[..]}]?,"token_ids":[..]?,"tokens":n}
//  {"request":R,"type":"finish","index":I,"reason":"stop"|"length"|"tool_calls"|"abort","stop_reason":null|"text"|id}
//  {"request":R,"type":"done","usage":{"prompt_tokens","cached_tokens","completion_tokens"},
//   "prompt_logprobs":[..]?,"timing":{..}}
//  {"request":R,"type":"error", ...the fields of ocelli_last_error}      (nothing follows it)
int32_t ocelli_next_event(uint32_t engine, const char** json, uint32_t* json_bytes);

// --- looking inside
int32_t ocelli_stats(uint32_t engine, const char** json, uint32_t* json_bytes);
// For --dump: "prompt.json", or "vision_N" (f32 rows, [rows, columns] out) of an open request after
// its prompt phase; "vision_N" until the first step after its end.
int32_t ocelli_dump(uint32_t engine, uint32_t request, const char* name, uint32_t name_bytes,
                    const uint8_t** data, uint32_t* bytes, uint32_t* rows, uint32_t* columns);

#ifdef __cplusplus
}
#endif
