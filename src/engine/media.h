// MediaStore: decoded images by handle, until the host drops them. Requests share them, so dropping
// is always safe.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>

#include "base/result.h"
#include "engine/options.h"
#include "engine/sequence.h"
#include "format/manifest.h"
#include "image/image.h"
#include "image/patchify.h"

namespace ocelli {

// What the image folder needs to know about the model.
ImageConfig image_config(const VisionConfig& vision, const ImageProcessorConfig& image);

class MediaStore {
 public:
  Result<uint32_t> put(std::span<const uint8_t> encoded);
  Result<void> drop(uint32_t handle);
  // Size and grid of an image as this part of a request shows it. Nothing is resized yet.
  Result<RequestImage> open(const ImagePart& part, const ModelConfig& config,
                            int image_tokens_max) const;

 private:
  struct Entry {
    std::shared_ptr<const Image> image;
    Digest digest;
  };
  std::unordered_map<uint32_t, Entry> entries_;
  uint32_t next_ = 1;
};

}  // namespace ocelli
