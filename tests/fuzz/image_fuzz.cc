// libFuzzer target: any bytes through decode_image, then through resizing and patches. Start it
// with tests/golden/images as corpus.
#include <cstdlib>
#include <numeric>
#include <vector>

#include "image/decode.h"
#include "image/patchify.h"
#include "image/resize.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ocelli;
  const ImageLimits limits{.pixels_max = 1 << 18, .bytes_max = 32 << 20};
  const auto image = decode_image({data, size}, limits);
  if (!image) {
    if (image.error().message.empty()) abort();
    return 0;
  }
  if (image->rgb.size() != size_t(image->width) * size_t(image->height) * 3) abort();
  // Reading every pixel lets a memory checker see bytes that no codec wrote.
  if (std::accumulate(image->rgb.begin(), image->rgb.end(), uint64_t{0}) == UINT64_MAX) abort();
  const auto to = smart_resize(image->height, image->width, 28, 784, 28 * 28 * 16);
  if (!to) return 0;
  const auto resized = resize_bicubic(*image, to->width, to->height);
  if (!resized) abort();
  const ImageConfig config;
  std::vector<float> row(static_cast<size_t>(config.row_features()));
  patchify(*resized, config, 0, 1, row.data());
  return 0;
}
