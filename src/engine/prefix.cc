// Identities, and the scheduler's use of them: a prompt takes over the blocks that an earlier one
// has left, as far as both say the same. Surprise: a row's result does not depend on company or
// slices, so what is taken over has the bits that computing it again would give.
#include "engine/prefix.h"

#include <algorithm>
#include <span>

#include "engine/scheduler.h"

namespace ocelli {
namespace {

// A digest of values, each in the bytes that it has in memory: identities stay in the process.
class Identity {
 public:
  template <class T>
  Identity& add(const T& value) {
    return bytes({reinterpret_cast<const uint8_t*>(&value), sizeof value});
  }
  Identity& bytes(std::span<const uint8_t> bytes) {
    hash_.update(bytes);
    return *this;
  }
  Identity& text(std::string_view text) {
    return bytes({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  }
  Digest done() { return hash_.finish_digest(); }

 private:
  Sha256 hash_;
};

}  // namespace

Digest prefix_root(uint64_t adapter, std::string_view salt) {
  return Identity().add(adapter).text(salt).done();
}

Digest block_identity(const Digest& before, std::span<const int32_t> tokens, int begin,
                      std::span<const RequestImage> images, int merge) {
  Identity identity;
  identity.add(before);
  for (int token = begin; token < begin + kKvBlock; ++token)
    identity.add(tokens[static_cast<size_t>(token)]);
  for (const RequestImage& image : images) {
    if (image.token_begin < begin + kKvBlock && begin < image.token_end(merge))
      identity.add(image.key).add(begin - image.token_begin);
  }
  return identity.done();
}

Digest media_digest(std::span<const uint8_t> encoded) { return Identity().bytes(encoded).done(); }

Digest image_key(const Digest& media, int width, int height, std::string_view salt) {
  return Identity().add(media).add(width).add(height).text(salt).done();
}

const Digest& Scheduler::identity(const Request& request, Sequence& sequence, int block) {
  std::vector<Digest>& known = sequence.identities;
  while (static_cast<int>(known.size()) <= block) {
    const int begin = static_cast<int>(known.size()) * kKvBlock;
    known.push_back(block_identity(known.empty() ? request.prefix_root : known.back(),
                                   sequence.tokens, begin, request.images, config_.vision.merge));
  }
  return known[static_cast<size_t>(block)];
}

// Between whole blocks only.
bool Scheduler::may_adopt(const Request& request, const Sequence& sequence) const {
  return options_.prefix_cache && !sequence.assumed && !request.lists_prompt(sequence) &&
         !sequence.in_step() &&
         sequence.computed == static_cast<int>(sequence.blocks.size()) * kKvBlock;
}

// Never the last token: its logits are needed.
void Scheduler::adopt(Request& request, Sequence& sequence) {
  if (!may_adopt(request, sequence)) return;
  const int known = static_cast<int>(sequence.tokens.size() - 1) / kKvBlock;
  for (int block = static_cast<int>(sequence.blocks.size()); block < known; ++block) {
    const int found = kv_.find(identity(request, sequence, block));
    if (found < 0) return;
    sequence.blocks.push_back(found);
    sequence.computed = sequence.begun = (block + 1) * kKvBlock;
    sequence.sealed = block + 1;
    if (request.started || sequence.index > 0) continue;
    request.cached_tokens += kKvBlock;
    stats_.prefix_hits += kKvBlock;
  }
}

// Whether a prompt in the step that is gathered computes what this sequence needs next: it can be
// taken over after the step.
bool Scheduler::comes_in_step(const Request& request, Sequence& sequence) {
  const int block = sequence.begun / kKvBlock;
  const int known = static_cast<int>(sequence.tokens.size() - 1) / kKvBlock;
  if (!may_adopt(request, sequence) || block >= known) return false;
  return std::ranges::any_of(runs_, [&](const StepRun& run) {
    const int end = run.rows.cached + run.rows.rows - run.guessed;
    return run.rows.cached <= block * kKvBlock && end >= (block + 1) * kKvBlock &&
           !run.sequence->assumed &&
           identity(*run.request, *run.sequence, block) == identity(request, sequence, block);
  });
}

void Scheduler::seal_blocks(const Request& request, Sequence& sequence) {
  if (!options_.prefix_cache || sequence.assumed) return;
  for (; (sequence.sealed + 1) * kKvBlock <= sequence.computed; ++sequence.sealed) {
    kv_.set_identity(sequence.blocks[static_cast<size_t>(sequence.sealed)],
                     identity(request, sequence, sequence.sealed));
  }
}

// An image whose tokens are all in the cache has to become no rows.
bool Scheduler::needs(const Request& request, const RequestImage& image) const {
  return std::ranges::any_of(request.sequences, [&](const Sequence& sequence) {
    return !sequence.finished && !sequence.waits_for_fork &&
           sequence.begun < image.token_end(config_.vision.merge);
  });
}

bool Scheduler::has_images(const Request& request, const Sequence& sequence) const {
  return std::ranges::all_of(request.images, [&](const RequestImage& image) {
    return image.merged || image.token_end(config_.vision.merge) <= sequence.begun;
  });
}

}  // namespace ocelli
