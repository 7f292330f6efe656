// A byte-level vocabulary made by a rule, for synthetic models: as many tokens as Qwen's, so that
// text costs about as many tokens, without anybody's data. Called by synth.cc when no tokenizer is
// given.
#pragma once

#include "convert/tokenizer_import.h"

namespace ocelli {

// The 256 bytes, then merges of two and of four letters, the likely ones first, then Qwen2.5's
// added tokens: `tokens` ids in all. From 512 to 200,000.
TokenizerTables rule_tokenizer(int tokens);

}  // namespace ocelli
