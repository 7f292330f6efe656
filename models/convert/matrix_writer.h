// Writes one weight of the table (a norm, a bias, a matrix) from the checkpoint into the shards, in
// the precision asked for. convert.cc calls check_weight for all of them before it writes the
// first.
#pragma once

#include <cstdint>
#include <string>

#include "convert/checkpoint.h"
#include "convert/shard_writer.h"
#include "format/weight_table.h"
#include "tensor/linear.h"

namespace ocelli {

// What the options --linear, --vision and --embedding ask for.
enum class Precision : uint8_t {
  kKeep,  // the source's own: AWQ as u4, bf16, f16 or f32 as they are
  kF32,
  kF16,       // rounded to f16; a matrix with values beyond its range keeps the source's type
  kF16Exact,  // f16 where it holds every value exactly, otherwise the source's type
  kInt8,
  kInt4,
};

// Where the source has this weight and that it has the right shape and dtype, bias included.
// kMissingTensor, kTensorShape, kTensorDtype, kUnsupportedQuantization.
Result<void> check_weight(const Checkpoint& checkpoint, const WeightSpec& spec);

// Bytes that write_weight will read, for the progress bar.
uint64_t weight_read_bytes(const Checkpoint& checkpoint, const WeightSpec& spec,
                           Precision precision);

struct WrittenMatrix {
  WeightFormat format = WeightFormat::kF32;
  bool fell_back = false;  // f16 was asked for and not given
};

// Writes a checked weight. kTensorDtype (param: the tensor) for NaN or infinite values.
Result<WrittenMatrix> write_weight(Checkpoint& checkpoint, const WeightSpec& spec,
                                   Precision precision, ShardWriter& shards);

}  // namespace ocelli
