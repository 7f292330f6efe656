#include "engine/media.h"

#include <algorithm>
#include <string>

#include "engine/prefix.h"
#include "image/decode.h"
#include "image/resize.h"

namespace ocelli {
ImageConfig image_config(const VisionConfig& vision, const ImageProcessorConfig& image) {
  ImageConfig config;
  config.patch = vision.patch;
  config.temporal_patch = vision.temporal_patch;
  config.merge = vision.merge;
  config.channels = vision.in_channels;
  config.min_pixels = image.min_pixels;
  config.max_pixels = image.max_pixels;
  std::copy(std::begin(image.mean), std::end(image.mean), config.mean);
  std::copy(std::begin(image.std), std::end(image.std), config.std);
  return config;
}

Result<uint32_t> MediaStore::put(std::span<const uint8_t> encoded) {
  if (static_cast<int64_t>(encoded.size()) > kMediaBytesMax) {
    return fail(Status::kImageTooLarge, "the image file has " + std::to_string(encoded.size()) +
                                            " bytes, at most " + std::to_string(kMediaBytesMax) +
                                            " are allowed");
  }
  if (entries_.size() >= kMediaMax) {
    return fail(Status::kQueueFull,
                "at most " + std::to_string(kMediaMax) + " images can be held at once");
  }
  ImageLimits limits;
  limits.pixels_max = kImagePixelsMax;
  OCELLI_TRY(Image image, decode_image(encoded, limits));
  const Digest digest = media_digest(encoded);
  const uint32_t handle = next_++;
  entries_[handle] = {std::make_shared<const Image>(std::move(image)), digest};
  return handle;
}

Result<void> MediaStore::drop(uint32_t handle) {
  if (entries_.erase(handle)) return {};
  return fail(Status::kStaleHandle, "no image has the handle " + std::to_string(handle));
}

Result<RequestImage> MediaStore::open(const ImagePart& part, const ModelConfig& config,
                                      int image_tokens_max) const {
  const auto found = entries_.find(part.media);
  if (found == entries_.end()) {
    return fail(Status::kMediaMissing,
                part.path + ": no image has the handle " + std::to_string(part.media), part.path);
  }
  const VisionConfig& vision = config.vision;
  RequestImage image;
  image.pixels = found->second.image;
  const Result<ResizedSize> size =
      smart_resize(image.pixels->height, image.pixels->width, vision.patch * vision.merge,
                   part.min_pixels, part.max_pixels);
  if (!size) return fail(size.error().status, part.path + ": " + size.error().message, part.path);
  image.width = size->width;
  image.height = size->height;
  image.source_width = image.pixels->width;
  image.source_height = image.pixels->height;
  image.grid = {1, size->height / vision.patch, size->width / vision.patch};
  if (image.grid.tokens(vision.merge) > image_tokens_max) {
    return fail(Status::kImageTooLarge,
                part.path + ": the image takes " + std::to_string(image.grid.tokens(vision.merge)) +
                    " tokens, at most " + std::to_string(image_tokens_max) +
                    " are allowed: lower max_pixels",
                part.path);
  }
  image.media = found->second.digest;
  return image;
}

}  // namespace ocelli
