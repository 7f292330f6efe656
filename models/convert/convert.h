// The converter: a Hugging Face Qwen2.5-VL folder in, an ocelli container out (models/FORMAT.md).
// main.cc wraps it as the command ocelli_convert, natively and as a WASI module; tests call it in
// memory. Memory: one shard, a few MB of rows, and for AWQ the largest packed matrix (some 100 MB
// for 72B).
#pragma once

#include <string>

#include "convert/container_writer.h"
#include "convert/io.h"
#include "convert/matrix_writer.h"
#include "format/manifest.h"

namespace ocelli {

struct ConvertOptions {
  std::string name = "model";
  int shard_mib = kShardMibDefault;  // 1 to kShardMibMax
  Precision linear = Precision::kKeep;
  Precision vision = Precision::kF16Exact;
  Precision embedding = Precision::kF16Exact;  // and the head, when it is not the embedding
};

// Writes and commits the container. Equal sources and options give equal bytes. After an error the
// sink has not been committed. Errors: those of source_config.h, checkpoint.h, matrix_writer.h,
// kInvalidTokenizer.
Result<Manifest> convert(Source& source, Sink& sink, Listener& listener,
                         const ConvertOptions& options);

}  // namespace ocelli
