// Scheduler's steps of vision: at most one bounded slice of one image per step. Surprise: what an
// image has become stays until the step after its request's end, since a preempted prompt needs it.
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
      image.merged = {};
    }
  }
}

int64_t Scheduler::image_tokens() const {
  int64_t tokens = 0;
  for (const auto& request : requests_) {
    for (const RequestImage& image : request->images) {
      if (image.job || image.merged.data()) tokens += image.grid.tokens(config_.vision.merge);
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

bool Scheduler::vision_work(bool shared) {
  vision_request_ = nullptr;
  for (const auto& owner : requests_) {
    Request& request = *owner;
    if (!request.admitted || request.finished) continue;
    for (RequestImage& image : request.images) {
      if (image.done) continue;
      if (!image.job) {
        // A prompt's own images always fit its context; older ones have begun before.
        const int64_t tokens = image_tokens() + image.grid.tokens(config_.vision.merge);
        if (tokens > options_.context) return false;
        if (Result<void> begun = begin_image(image); !begun) {
          fail_request(request, begun.error());  // no memory for this image: the others go on
          return true;
        }
        events_.progress(request, "vision", 0, image.job->work_total());
        vision_request_ = &request;
        return true;  // resizing is work enough for a step
      }
      if (image.job->waits()) return false;
      image.done = image.job->advance(shared ? kVisionStepWorkShared : kVisionStepWork);
      events_.progress(request, "vision", image.job->work_done(), image.job->work_total());
      vision_request_ = &request;
      if (image.done) {
        image.merged = image.job->take_merged();
        image.job.reset();
      }
      return true;
    }
  }
  return false;
}

}  // namespace ocelli
