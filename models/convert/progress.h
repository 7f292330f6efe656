// Progress on standard error: one redrawn line on a terminal, a plain line every tenth elsewhere.
// main.cc's Listener; with quiet only notes that start with "warning:" are printed.
#pragma once

#include <chrono>
#include <string>

#include "convert/io.h"

namespace ocelli {

class ProgressPrinter : public Listener {
 public:
  explicit ProgressPrinter(bool quiet);
  void progress(uint64_t bytes_done, uint64_t bytes_total) override;
  void note(const std::string& line) override;
  // Ends the redrawn line, so that what follows starts on a fresh one.
  void finish();

 private:
  using Clock = std::chrono::steady_clock;

  bool quiet_;
  bool terminal_;
  bool drawn_ = false;
  int tenths_ = 0;
  Clock::time_point start_;
  Clock::time_point last_;
};

// "1.33 GB", decimal units.
std::string bytes_text(uint64_t bytes);

}  // namespace ocelli
