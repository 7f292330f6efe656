#include "convert/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace ocelli {
namespace {

constexpr int kBarCells = 24;
constexpr auto kRedrawInterval = std::chrono::milliseconds(100);

std::string duration_text(double seconds) {
  const int whole = static_cast<int>(std::min(seconds, 359999.0) + 0.5);
  char text[32];
  if (whole >= 3600) {
    std::snprintf(text, sizeof text, "%d:%02d:%02d", whole / 3600, whole / 60 % 60, whole % 60);
  } else {
    std::snprintf(text, sizeof text, "%d:%02d", whole / 60, whole % 60);
  }
  return text;
}

}  // namespace

std::string bytes_text(uint64_t bytes) {
  const char* const units[] = {"B", "kB", "MB", "GB", "TB"};
  double value = static_cast<double>(bytes);
  int unit = 0;
  while (value >= 999.5 && unit < 4) {
    value /= 1000.0;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof text, "%.*f %s",
                unit == 0 || value >= 99.95 ? 0
                : value >= 9.995            ? 1
                                            : 2,
                value, units[unit]);
  return text;
}

ProgressPrinter::ProgressPrinter(bool quiet)
    : quiet_(quiet),
      terminal_(::isatty(2) != 0),
      start_(Clock::now()),
      last_(start_ - kRedrawInterval) {}

void ProgressPrinter::progress(uint64_t bytes_done, uint64_t bytes_total) {
  if (quiet_ || bytes_total == 0) return;
  const Clock::time_point now = Clock::now();
  const double part =
      std::min(1.0, static_cast<double>(bytes_done) / static_cast<double>(bytes_total));
  const bool last = bytes_done >= bytes_total;
  if (terminal_ ? now - last_ < kRedrawInterval && !last : static_cast<int>(part * 10.0) <= tenths_)
    return;
  last_ = now;
  tenths_ = static_cast<int>(part * 10.0);
  const double seconds = std::chrono::duration<double>(now - start_).count();
  const double rate = seconds > 0.0 ? static_cast<double>(bytes_done) / seconds : 0.0;
  const double left =
      rate > 0.0 ? static_cast<double>(bytes_total - std::min(bytes_done, bytes_total)) / rate
                 : 0.0;
  const std::string figures = bytes_text(bytes_done) + " of " + bytes_text(bytes_total) + ", " +
                              bytes_text(static_cast<uint64_t>(rate)) + "/s, " +
                              duration_text(left) + " left";
  if (!terminal_) {
    std::fprintf(stderr, "%3d %%  %s\n", static_cast<int>(part * 100.0), figures.c_str());
    return;
  }
  const int filled = static_cast<int>(part * kBarCells);
  const std::string bar = std::string(static_cast<size_t>(filled), '#') +
                          std::string(static_cast<size_t>(kBarCells - filled), '.');
  std::fprintf(stderr, "\r[%s] %3d %%  %s\x1b[K", bar.c_str(), static_cast<int>(part * 100.0),
               figures.c_str());
  drawn_ = true;
}

void ProgressPrinter::note(const std::string& line) {
  if (quiet_ && !line.starts_with("warning:")) return;
  finish();
  std::fprintf(stderr, "%s\n", line.c_str());
}

void ProgressPrinter::finish() {
  if (drawn_) std::fputc('\n', stderr);
  drawn_ = false;
}

}  // namespace ocelli
