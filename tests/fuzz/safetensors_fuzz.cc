// libFuzzer target: any bytes as a shard. What the reader accepts must lie in the file, without
// overlap, and be readable to the last byte.
#include <cstdlib>
#include <numeric>

#include "format/shard.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ocelli;
  const auto views = read_shard({data, size});
  if (!views) {
    if (views.error().message.empty()) abort();
    return 0;
  }
  const uint8_t* at = data;
  uint64_t sum = 0;
  for (const TensorView& view : *views) {
    if (view.data.data() < at || view.data.data() + view.data.size() > data + size) abort();
    at = view.data.data() + view.data.size();
    uint64_t bytes = static_cast<uint64_t>(dtype_bytes(view.dtype));
    for (const int64_t dim : view.shape) bytes *= static_cast<uint64_t>(dim);
    if (bytes != view.data.size()) abort();
    sum = std::accumulate(view.data.begin(), view.data.end(), sum);
  }
  if (at != data + size && !views->empty()) abort();
  return sum == UINT64_MAX ? 1 : 0;
}
