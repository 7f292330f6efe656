// Scheduler's steps of text: begun, run as far as weights have come, parked, ended. Scheduler::step
// calls text_work. Surprise: once the weights are there nothing is ever parked, and a step begins
// and ends in one call; while they come, up to kParkedSlices wait, in their order, and the first to
// begin is the first to end. Then a call computes little, a layer of a full slice: the caller has
// to commit what has come, and to make room for what comes next.
#include <algorithm>
#include <utility>

#include "engine/scheduler.h"

namespace ocelli {

// One slice of rows: the oldest that weights have come for, else a new one.
bool Scheduler::text_work(bool shared) {
  for (size_t i = 0; i < parked_count_; ++i) {
    if (!decoder_.can_advance(parked_[i].rows.layer)) continue;
    exchange(parked_[i]);
    const auto first = parked_.begin();
    std::rotate(first + static_cast<ptrdiff_t>(i), first + static_cast<ptrdiff_t>(i) + 1,
                first + static_cast<ptrdiff_t>(parked_count_));
    --parked_count_;
    run_step(i);
    return true;
  }
  if (!decoder_.can_advance(0) || !make_room_to_park()) return false;
  gather(shared);
  if (runs_.empty()) return false;
  row_runs_.clear();
  logit_rows_.clear();
  for (StepRun& run : runs_) {
    row_runs_.push_back(run.rows);
    const int end = run.rows.row_begin + run.rows.rows;
    for (int row = end - run.logit_rows; row < end; ++row) logit_rows_.push_back(row);
  }
  decoder_.begin(rows_);
  run_step(parked_count_);
  return true;
}

// Another step may only begin when it could be parked, too.
bool Scheduler::make_room_to_park() {
  if (weights_.complete()) {
    parked_.clear();
    return true;
  }
  if (parked_count_ < parked_.size()) return true;
  if (parked_count_ == kParkedSlices) return false;
  Result<ParkedRows> rows = decoder_.make_parked();
  if (!rows) return false;  // no memory: it waits for its turn
  parked_.push_back({{}, {}, {}, 0, std::move(*rows)});
  Parked& room = parked_.back();
  room.runs.reserve(kStepRowsMax);  // they stay in use when nothing waits any more
  room.row_runs.reserve(kStepRowsMax);
  room.logit_rows.reserve(kStepRowsMax);
  return true;
}

void Scheduler::exchange(Parked& parked) {
  std::swap(runs_, parked.runs);
  std::swap(row_runs_, parked.row_runs);
  std::swap(logit_rows_, parked.logit_rows);
  std::swap(rows_, parked.row_count);
  decoder_.exchange(parked.rows);
}

// The cache may hold some of what such a step has stored; it is stored again before it is read.
void Scheduler::abandon_steps_of(const Request& request) {
  size_t first = 0;
  const auto has_it = [&](const StepRun& run) { return run.request == &request; };
  while (first < parked_count_ &&
         std::none_of(parked_[first].runs.begin(), parked_[first].runs.end(), has_it)) {
    ++first;
  }
  // Those behind it may need what it has not stored yet.
  for (size_t i = first; i < parked_count_; ++i) {
    for (const StepRun& run : parked_[i].runs)
      run.sequence->begun = std::min(run.sequence->begun, run.rows.cached);
  }
  parked_count_ = first;
}

// `place`: which of the parked ones it is when it has to wait.
void Scheduler::run_step(size_t place) {
  // A sequence that goes on in a later slice has a longer table by now, perhaps elsewhere.
  for (size_t i = 0; i < runs_.size(); ++i) row_runs_[i].blocks = runs_[i].sequence->blocks.data();
  const int layer = decoder_.next_layer();
  const int layers_max =
      weights_.complete() ? config_.text.layers : std::max(1, kLoadingStepWork / rows_);
  const bool whole = decoder_.advance(row_runs_, kv_, logit_rows_, layers_max);
  stats_.layers += decoder_.next_layer() - layer;
  if (!whole || place > 0) {  // steps end in their order
    exchange(parked_[parked_count_]);
    const auto first = parked_.begin();
    std::rotate(first + static_cast<ptrdiff_t>(place),
                first + static_cast<ptrdiff_t>(parked_count_),
                first + static_cast<ptrdiff_t>(parked_count_) + 1);
    ++parked_count_;
    return;
  }
  ++stats_.steps;
  stats_.rows += rows_;
  stats_.rows_last = rows_;

  int logits = 0;
  for (const StepRun& run : runs_) {
    run.sequence->computed += run.rows.rows - run.guessed;
    seal_blocks(*run.request, *run.sequence);
    if (run.sequence->computed <= run.request->prompt_tokens && run.rows.rows > 1) {
      events_.progress(*run.request, "prompt", run.sequence->computed, run.request->prompt_tokens);
    }
    take_logits(run, logits);
    logits += run.logit_rows;
  }
}

}  // namespace ocelli
