// Every limit of the engine in one place. Memory and time bounds follow from these and the
// configuration.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ocelli {

inline constexpr int kStepRowsMax = 256;       // token rows in one step
inline constexpr int kPrefillRowsShared = 64;  // of them, prompt rows while others are streaming
inline constexpr int kParkedSlices = 8;  // of that many rows, computed as far as weights have come
inline constexpr int kLoadingStepWork = 256;  // rows x layers in a step while weights are coming
inline constexpr int kWarmPasses = 4;  // of the first layer, by turns for some rows and for one
inline constexpr int kWarmRows = 16;
inline constexpr int kWarmVisionPasses = 2;  // of a picture of four tokens through the first block
inline constexpr int64_t kVisionStepWork = 4'000'000'000;  // multiply-adds of vision work in a step
inline constexpr int64_t kVisionStepWorkShared = 500'000'000;  // while others are streaming
inline constexpr int kSequencesDefault = 8;                    // that generate at the same time
inline constexpr int kSequencesMax = 64;
inline constexpr int kRequestsMax = 256;             // open at once, waiting ones included
inline constexpr int kMediaMax = 256;                // images held at once
inline constexpr int64_t kMediaBytesMax = 64 << 20;  // of one encoded image
inline constexpr int64_t kImagePixelsMax = 64'000'000;
inline constexpr int kImageTokensDefault = 16384;     // of one image
inline constexpr int64_t kIdleImageTokensMax = 8192;  // whose rows are kept for later requests
inline constexpr int kContextDefault = 32768;
inline constexpr int kChoicesMax = 64;  // n
inline constexpr int kStopStringsMax = 64;
inline constexpr int kLogprobsMax = 20;
inline constexpr int64_t kPromptLogprobsMax = 1 << 17;  // entries: tokens x those listed for each
inline constexpr size_t kAdaptersMax = 64;              // loaded at once
inline constexpr int64_t kAdapterBytesMax = 1 << 30;    // of one adapter's file
inline constexpr size_t kAdapterNameBytesMax = 256;
inline constexpr int64_t kRequestBytesMax = 32 << 20;
inline constexpr int64_t kMemoryReserve = 48 << 20;  // code, stacks, tokenizer index, requests

}  // namespace ocelli
