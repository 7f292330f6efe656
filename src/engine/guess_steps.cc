// Scheduler's guesses: which tokens are computed before they are drawn, and which of them were
// drawn. gather() calls choose_guesses, take_logits calls take_tokens. Surprise: a token that was
// guessed wrong has left keys and values in the cache; they are stored again before they are read.
#include <algorithm>

#include "engine/scheduler.h"

namespace ocelli {
namespace {

template <class F>
void each_running(const std::vector<std::unique_ptr<Request>>& requests, F&& visit) {
  for (const auto& request : requests) {
    if (!request->admitted || request->finished) continue;
    for (Sequence& sequence : request->sequences) {
      if (!sequence.finished) visit(*request, sequence);
    }
  }
}

}  // namespace

// Never a token that ends the answer, since nothing follows it, nor one without text.
void Scheduler::guess(const Request& request, Sequence& sequence, int blocks_to_spare) {
  const int output = static_cast<int>(sequence.tokens.size()) - request.prompt_tokens;
  const int stored = static_cast<int>(sequence.blocks.size()) * kKvBlock;
  const int room = blocks_to_spare > 0 ? kGuessMax : stored - sequence.begun - 1;
  Guess& guess = sequence.guess;
  guess = guess_next(sequence.tokens, std::min(room, request.spec.max_tokens - output - 1));
  const auto ends = [&](int32_t id) {
    return tokenizer_.is_special(id) ||
           std::ranges::find(request.spec.stop_ids, id) != request.spec.stop_ids.end();
  };
  const auto first = guess.tokens.begin();
  guess.count = static_cast<int>(std::find_if(first, first + guess.count, ends) - first);
}

// Guesses get rows where the step then gives more tokens for its cost, as far as one can tell, and
// nobody else has to wait for a row of logits or gives blocks back.
void Scheduler::choose_guesses() {
  if (!options_.guess || !weights_.complete()) return;
  int running = 0, decoding = 0;
  bool lists = false;
  each_running(requests_, [&](const Request& request, const Sequence& sequence) {
    ++running;
    decoding += sequence.decodes();
    lists |= request.lists_prompt(sequence);
  });
  const int blocks_to_spare = kv_.free_blocks() - running - kStepRowsMax / kKvBlock;
  each_running(requests_, [&](const Request& request, Sequence& sequence) {
    sequence.guess.count = sequence.guess.rows = 0;
    const bool begun = static_cast<int>(sequence.tokens.size()) > request.prompt_tokens;
    if (sequence.decodes() && begun) guess(request, sequence, blocks_to_spare);
  });
  // Where several decode, those that guess nothing wait for the others' rows.
  const int most = std::min(decoding > 1 ? 2 * decoding : kGuessingRowsMax, kGuessingRowsMax);
  const int room = lists ? 0 : std::min(most - decoding, options_.sequences_max - running);
  const int worth = give_rows(decoding, room);
  give_rows(decoding, worth);
}

// Gives up to `room` rows to the guessed tokens that are the likeliest to be drawn. Returns how
// many of these rows are worth what they cost.
int Scheduler::give_rows(int decoding, int room) {
  each_running(requests_, [](const Request&, Sequence& sequence) { sequence.guess.rows = 0; });
  if (decoding == 0 || room <= 0) return 0;
  float tokens = static_cast<float>(decoding), best = tokens / step_cost(decoding);
  int worth = 0;
  for (int rows = 1; rows <= room; ++rows) {
    Sequence* likeliest = nullptr;
    float chance = 0;
    each_running(requests_, [&](const Request&, Sequence& sequence) {
      const Guess& guess = sequence.guess;
      if (guess.rows == guess.count) return;
      const float own = sequence.guess_record.chance(guess, guess.rows + 1);
      if (own > chance) likeliest = &sequence, chance = own;
    });
    if (!likeliest) break;
    ++likeliest->guess.rows;
    tokens += chance;
    const float rate = tokens / step_cost(decoding + rows);
    if (rate > best) best = rate, worth = rows;
  }
  return worth;
}

// Draws from the logits of the last token and, while the token drawn is the one guessed, from those
// of the guesses' rows, which begin at `first`.
void Scheduler::take_tokens(const StepRun& run, int first) {
  Sequence& sequence = *run.sequence;
  const Guess& guess = sequence.guess;
  int accepted = 0;
  stats_.guessed += run.guessed;
  for (int i = 0; i <= run.guessed; ++i) {
    const size_t before = sequence.tokens.size();
    sample(run, decoder_.logits(first + i));
    if (sequence.tokens.size() == before) return;  // its request has failed
    const bool right =
        i < guess.count && sequence.tokens.back() == guess.tokens[static_cast<size_t>(i)];
    if (i < guess.count) sequence.guess_record.note(guess, i, right);
    if (!right || i == run.guessed) break;
    ++accepted;
    ++stats_.accepted;
    if (sequence.finished) return;
    ++sequence.computed;
  }
  if (sequence.finished) return;
  sequence.begun -= run.guessed - accepted;
  if (accepted > 0) seal_blocks(*run.request, sequence);
}

}  // namespace ocelli
