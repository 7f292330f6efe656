// Sequence and Request: the state of what is being generated. Owned and driven by the scheduler.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/guess.h"
#include "engine/image_cache.h"
#include "engine/request.h"
#include "format/sha256.h"
#include "grammar/matcher.h"
#include "image/image.h"
#include "model/adapter.h"
#include "model/mrope.h"
#include "model/vision.h"
#include "sampler/sampler.h"
#include "stream/output.h"

namespace ocelli {

// One stream of tokens.
struct Sequence {
  Sequence(SamplingParams own_sampling, OutputStream own_output)
      : sampling(std::move(own_sampling)), output(std::move(own_output)) {}

  SamplingParams sampling;
  // From admission to the end: its tables are as large as the vocabulary, and many requests may
  // wait.
  std::optional<Sampler> sampler;
  std::optional<Matcher> matcher;  // of the grammar, if the answer has one
  OutputStream output;
  int index = 0;                   // choice
  std::vector<int32_t> tokens;     // prompt, then output
  int computed = 0;                // tokens whose keys and values are in the cache
  int begun = 0;                   // those, and the ones in steps that wait for weights
  std::vector<int32_t> blocks;     // KV blocks, in order
  int sealed = 0;                  // of them, those that others can find
  std::vector<Digest> identities;  // of the first full blocks, computed when first asked for
  bool assumed = false;            // begins with made-up keys and values, which nobody may find
  bool waits_for_fork = false;     // shares the prompt of choice 0 once that is computed
  bool finished = false;
  Guess guess;  // of the tokens after the last one; its rows, for the step at hand
  GuessRecord guess_record;

  int pending() const { return static_cast<int>(tokens.size()) - begun; }
  bool in_step() const { return begun != computed; }
  bool decodes() const { return begun > 0 && pending() == 1; }
};

// One image of a prompt, from pixels to merged rows.
struct RequestImage {
  std::shared_ptr<const Image> pixels;  // as decoded, until the job begins
  int width = 0, height = 0;            // after smart resize
  int source_width = 0, source_height = 0;
  PatchGrid grid;
  int token_begin = 0;           // of its run of pads in the prompt
  Digest media = {};             // of the file
  Digest key = {};               // of the rows it becomes, and part of block identities
  std::optional<VisionJob> job;  // while it is being encoded
  ImageCache::Rows merged;       // when done, until the step after the request's end

  int token_end(int merge) const { return token_begin + static_cast<int>(grid.tokens(merge)); }
};

struct Request {
  uint32_t handle = 0;
  RequestSpec spec;
  int prompt_tokens = 0;
  PromptPositions positions;
  std::vector<RequestImage> images;
  std::shared_ptr<const Adapter> adapter;  // null: the base alone
  std::vector<Sequence> sequences;
  bool admitted = false;
  bool announced = false;       // the "prompt" event is out
  int64_t vision_reported = 0;  // multiply-adds at the last progress event
  Digest prefix_root = {};
  bool started = false;   // a row of it is in a step or has been
  int cached_tokens = 0;  // of the prompt, that were in the cache before it started
  int completion_tokens = 0;
  std::vector<Sampled> prompt_listed;  // of the second token of the prompt and those after it
  bool finished = false;

  // Whether this sequence has still to find out how likely the tokens of the prompt are.
  bool lists_prompt(const Sequence& sequence) const {
    return spec.prompt_logprobs >= 0 && sequence.index == 0 && sequence.begun < prompt_tokens - 1 &&
           static_cast<int>(prompt_listed.size()) < prompt_tokens - 1;
  }
};

}  // namespace ocelli
