// Scheduler's steps of vision: at most one bounded slice of one image per step. Surprise: what an
// image has become stays until the step after its request's end, since a preempted prompt needs it,
// and some of it beyond that, for prompts that show the same picture.
#include <algorithm>
#include <memory>

#include "engine/media.h"
#include "engine/scheduler.h"
#include "image/patchify.h"
#include "image/resize.h"

namespace ocelli {

// Not when a request ends but at the next step: until then its host may ask for a dump.
void Scheduler::give_back_images() {
  for (const auto& request : requests_) {
    if (!request->finished) continue;
    for (RequestImage& image : request->images) {
      image.pixels.reset();
      image.merged.reset();
    }
  }
  const int64_t idle = options_.prefix_cache ? kIdleImageTokensMax : 0;
  images_.shrink(images_.tokens() - std::max<int64_t>(0, images_.idle_tokens() - idle));
}

int64_t Scheduler::image_tokens() const {
  int64_t tokens = images_.tokens();
  for (const auto& request : requests_) {
    for (const RequestImage& image : request->images) {
      if (image.job) tokens += image.grid.tokens(config_.vision.merge);
    }
  }
  return tokens;
}

Result<void> Scheduler::begin_image(RequestImage& image) {
  OCELLI_TRY(Image pixels, resize_bicubic(*image.pixels, image.width, image.height));
  auto resized = std::make_shared<const Image>(std::move(pixels));
  const ImageConfig processor = image_config(config_.vision, config_.image);
  const auto patches = [resized, processor](int64_t begin, int64_t end, float* out) {
    patchify(*resized, processor, begin, end, out);
  };
  OCELLI_TRY(image.job, VisionJob::make(tower_, image.grid, patches));
  image.pixels.reset();
  return {};
}

// What others have had computed needs no work, and does not wait for that of older requests.
void Scheduler::take_over_images() {
  for (const auto& request : requests_) {
    if (!request->admitted || request->finished || request->images.empty()) continue;
    for (Sequence& sequence : request->sequences) {
      if (!sequence.finished && !sequence.waits_for_fork) adopt(*request, sequence);
    }
    for (RequestImage& image : request->images) {
      if (!image.merged && !image.job && needs(*request, image))
        image.merged = images_.find(image.key);
    }
  }
}

bool Scheduler::vision_work(bool shared) {
  vision_request_ = nullptr;
  take_over_images();
  for (const auto& owner : requests_) {
    Request& request = *owner;
    if (!request.admitted || request.finished) continue;
    for (RequestImage& image : request.images) {
      if (image.merged || !needs(request, image)) continue;
      const int64_t tokens = image.grid.tokens(config_.vision.merge);
      if (!image.job) {
        // A prompt's own images always fit its context; older ones have begun before.
        images_.shrink(options_.context - tokens - (image_tokens() - images_.tokens()));
        if (image_tokens() + tokens > options_.context) return false;
        Result<void> begun = begin_image(image);
        if (!begun) {
          images_.shrink(0);
          begun = begin_image(image);
        }
        if (!begun) {
          fail_request(request, begun.error());  // no memory for this image: the others go on
          return true;
        }
        events_.progress(request, "vision", 0, image.job->work_total());
        vision_request_ = &request;
        return true;  // resizing is work enough for a step
      }
      if (image.job->waits()) return false;
      const bool done = image.job->advance(shared ? kVisionStepWorkShared : kVisionStepWork);
      events_.progress(request, "vision", image.job->work_done(), image.job->work_total());
      vision_request_ = &request;
      if (done) {
        image.merged = std::make_shared<const Buffer<float>>(image.job->take_merged());
        image.job.reset();
        images_.put(image.key, image.merged, tokens);
      }
      return true;
    }
  }
  return false;
}

}  // namespace ocelli
