// Where Qwen2.5 cuts text before BPE: the one regular expression of its tokenizer, written out by
// hand. Called by tokenizer.cc for each stretch of plain text.
//
// Surprise: combining marks and emoji are neither letters nor numbers, so vowel signs of Indic
// scripts end a word.
#pragma once

#include <cstddef>
#include <string_view>

namespace ocelli {

// End offset of the piece that starts at `at` (< text.size(), valid UTF-8). Pieces cover the text
// without gaps. Same as the leftmost match, first alternative first, of
//   (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|
//   ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
size_t next_piece(std::string_view text, size_t at);

}  // namespace ocelli
