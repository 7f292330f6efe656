// Where the converter reads from and writes to. Implemented by directory.h for real folders and by
// the tests in memory; the converter itself touches no file system.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace ocelli {

// A Hugging Face model folder, flat. Offsets are 64-bit: checkpoint files pass 4 GiB.
class Source {
 public:
  virtual ~Source() = default;
  // Names of the files, sorted.
  virtual Result<std::vector<std::string>> list() = 0;
  virtual Result<uint64_t> size(const std::string& file) = 0;
  // Fills all of `out`; kIoError when the file is shorter or cannot be read.
  virtual Result<void> read(const std::string& file, uint64_t offset, std::span<uint8_t> out) = 0;
};

// Takes the files of a container. Nothing is visible under the final name before commit().
class Sink {
 public:
  virtual ~Sink() = default;
  // Writes one whole file as the concatenation of the parts.
  virtual Result<void> write(const std::string& file,
                             std::span<const std::span<const uint8_t>> parts) = 0;
  virtual Result<void> commit() = 0;
};

// Told what happens while converting; all calls come from the converting thread.
class Listener {
 public:
  virtual ~Listener() = default;
  virtual void progress(uint64_t bytes_done, uint64_t bytes_total) = 0;
  // A line a person should see: something was ignored, or kept in another precision than asked.
  virtual void note(const std::string& line) = 0;
};

}  // namespace ocelli
