// JPEG: markers and colour are ours, entropy decoding and dequantisation are stb_image's. We walk
// the markers ourselves because stb 2.27 trusts table sizes and never-sent tables; each segment is
// checked at the very byte where stb is about to parse it. Baseline, extended and progressive
// Huffman, 8 bits. Not done: libjpeg's smoothing of progressive files that end before all their
// scans were sent.
#include "image/codecs.h"
#include "image/exif.h"
#include "image/idct.h"
#include "image/jpeg_color.h"
#include "image/memory.h"

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_JPEG
#define STBI_NO_STDIO
#define STBI_NO_SIMD
#define STBI_NO_LINEAR
#define STBI_NO_FAILURE_STRINGS
#define STBI_ASSERT(condition) static_cast<void>(0)
#define STBI_MALLOC(size) ::ocelli::image_alloc(size)
#define STBI_REALLOC(block, size) ::ocelli::image_realloc(block, size)
#define STBI_FREE(block) ::ocelli::image_free(block)
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Weverything"
#pragma clang attribute push(__attribute__((no_sanitize("undefined"))), apply_to = function)
#include <stb_image.h>
#pragma clang attribute pop
#pragma clang diagnostic pop

namespace ocelli {
namespace {

constexpr int kScansMax = 100;  // a few bytes buy a pass over the whole picture
constexpr int kMarkerNone = 0xff, kEoi = 0xd9, kSos = 0xda, kDht = 0xc4;

std::unexpected<Error> damaged(const char* what) {
  return fail(Status::kInvalidImage, std::string("damaged JPEG image: ") + what);
}
std::unexpected<Error> truncated() {
  return fail(Status::kInvalidImage, "truncated JPEG image: it ends before its end marker");
}

class JpegDecoder {
 public:
  JpegDecoder(Bytes bytes, const ImageLimits& limits) : bytes_(bytes), limits_(limits) {}
  ~JpegDecoder() {
    if (jpeg_) stbi__free_jpeg_components(jpeg_.get(), 4, 0);
  }
  JpegDecoder(const JpegDecoder&) = delete;
  JpegDecoder& operator=(const JpegDecoder&) = delete;

  Result<Image> run();

 private:
  Bytes unread() const {
    return {context_.img_buffer,
            static_cast<size_t>(context_.img_buffer_end - context_.img_buffer)};
  }
  int next_marker();
  Result<void> check_segment(int marker);
  Result<void> check_tables(Bytes segment);
  Result<void> frame(int marker);
  Result<void> scan();
  Result<JpegColor> color() const;
  Result<Image> convert(JpegColor color);

  Bytes bytes_;
  ImageLimits limits_;
  stbi__context context_ = {};
  std::unique_ptr<stbi__jpeg, ImageFree> jpeg_;
  Orientation orientation_ = Orientation::kUpright;
  bool exif_seen_ = false;
  bool framed_ = false;
  bool drawn_ = false;
  int scans_ = 0;
};

// The marker that ended the entropy-coded data, or the next one in the file; garbage before it is
// skipped as libjpeg does. kMarkerNone at the end of the file.
int JpegDecoder::next_marker() {
  if (jpeg_->marker != kMarkerNone) {
    const int marker = jpeg_->marker;
    jpeg_->marker = kMarkerNone;
    return marker;
  }
  while (!stbi__at_eof(&context_)) {
    if (stbi__get8(&context_) != 0xff) continue;
    int marker = 0xff;
    while (marker == 0xff && !stbi__at_eof(&context_)) marker = stbi__get8(&context_);
    if (marker != 0 && marker != 0xff) return marker;
  }
  return kMarkerNone;
}

// The segment after a marker lies wholly in the file, and its tables fit stb's arrays.
Result<void> JpegDecoder::check_segment(int marker) {
  ByteReader reader(unread());
  const int length = reader.u16();
  if (!reader.ok()) return truncated();
  if (length < 2) return damaged("a segment is shorter than its length field");
  const Bytes segment = reader.take(static_cast<size_t>(length - 2));
  if (!reader.ok()) return truncated();
  if (marker == kDht) return check_tables(segment);
  if (marker == 0xe1 && !exif_seen_ && has_prefix(segment, std::string_view("Exif\0\0", 6))) {
    exif_seen_ = true;
    orientation_ = exif_orientation(segment);
  }
  return {};
}

Result<void> JpegDecoder::check_tables(Bytes segment) {
  ByteReader reader(segment);
  while (reader.left() > 0) {
    const int target = reader.u8();
    if ((target >> 4) > 1 || (target & 15) > 3) return damaged("a Huffman table has no such slot");
    size_t symbols = 0;
    uint32_t codes = 0;
    for (int bits = 1; bits <= 16; ++bits) {
      const uint32_t count = reader.u8();
      symbols += count;
      codes = codes * 2 + count;
      if (codes > (1u << bits))
        return damaged("a Huffman table has more codes than its bits allow");
    }
    if (symbols > 256) return damaged("a Huffman table has more than 256 symbols");
    reader.skip(symbols);
    if (!reader.ok()) return damaged("a Huffman table is cut short");
  }
  return {};
}

Result<void> JpegDecoder::frame(int marker) {
  if (framed_) return damaged("it has two frame headers");
  ByteReader reader(unread());
  reader.skip(2);
  const int precision = reader.u8();
  const int height = reader.u16();
  const int width = reader.u16();
  const int components = reader.u8();
  if (!reader.ok()) return truncated();
  if (precision != 8) {
    return fail(Status::kUnsupportedImage, "JPEG images of " + std::to_string(precision) +
                                               " bits a sample are not supported; 8 are");
  }
  if (marker > 0xc2) {
    return fail(Status::kUnsupportedImage,
                "lossless, hierarchical and arithmetic-coded JPEG images are not supported; "
                "baseline and progressive Huffman-coded ones are");
  }
  OCELLI_TRY_VOID(Canvas::check("JPEG", width, height, limits_));
  if (components != 1 && components != 3 && components != 4) {
    return fail(Status::kUnsupportedImage, "JPEG images of " + std::to_string(components) +
                                               " components are not supported; 1, 3 or 4 are");
  }
  jpeg_->progressive = marker == 0xc2;
  if (!stbi__process_frame_header(jpeg_.get(), STBI__SCAN_load)) {
    if (MemoryBudget::refusal() != Status::kOk) {
      return std::unexpected(MemoryBudget::error("a JPEG image's samples"));
    }
    return damaged("its frame header");
  }
  // What no scan reaches stays grey, as the zero coefficients of libjpeg come out.
  for (int i = 0; i < components; ++i) {
    const auto& c = jpeg_->img_comp[i];
    std::memset(c.data, 128, static_cast<size_t>(c.w2) * static_cast<size_t>(c.h2));
  }
  framed_ = true;
  return {};
}

Result<void> JpegDecoder::scan() {
  if (!framed_) return damaged("pixels come before the frame header");
  if (++scans_ > kScansMax) {
    return fail(Status::kInvalidImage,
                "JPEG image has more than " + std::to_string(kScansMax) + " scans");
  }
  if (!stbi__process_scan_header(jpeg_.get())) return damaged("a scan header");
  for (int i = 0; i < jpeg_->scan_n; ++i) {
    for (int j = 0; j < i; ++j) {
      if (jpeg_->order[i] == jpeg_->order[j]) return damaged("a scan names a component twice");
    }
  }
  if (!stbi__parse_entropy_coded_data(jpeg_.get())) {
    return stbi__at_eof(&context_) ? truncated() : damaged("its compressed data");
  }
  drawn_ = true;
  return {};
}

// The rules by which libjpeg guesses the colour space from markers and component names.
Result<JpegColor> JpegDecoder::color() const {
  const int adobe = jpeg_->app14_color_transform;  // -1: no Adobe marker
  if (context_.img_n == 1) return JpegColor::kGrey;
  if (context_.img_n == 4) return adobe > 0 ? JpegColor::kYcck : JpegColor::kCmyk;
  if (jpeg_->jfif) return JpegColor::kYcbcr;
  if (adobe >= 0) return adobe == 0 ? JpegColor::kRgb : JpegColor::kYcbcr;
  return jpeg_->rgb == 3 ? JpegColor::kRgb : JpegColor::kYcbcr;
}

Result<Image> JpegDecoder::convert(JpegColor color) {
  OCELLI_TRY(Canvas canvas,
             Canvas::create("JPEG", context_.img_x, context_.img_y, orientation_, limits_));
  JpegUpsampler components[4];
  for (int i = 0; i < context_.img_n; ++i) {
    const auto& c = jpeg_->img_comp[i];
    OCELLI_TRY(components[i], JpegUpsampler::create({.samples = c.data,
                                                     .width = c.x,
                                                     .height = c.y,
                                                     .stride = c.w2,
                                                     .h_expand = jpeg_->img_h_max / c.h,
                                                     .v_expand = jpeg_->img_v_max / c.v}));
  }
  const size_t width = static_cast<size_t>(canvas.width());
  OCELLI_TRY(auto rgb, make_block<uint8_t>(width * 3, "a row of pixels"));
  for (int y = 0; y < canvas.height(); ++y) {
    const uint8_t* rows[4] = {};
    for (int i = 0; i < context_.img_n; ++i) rows[i] = components[i].row(y);
    jpeg_to_rgb(color, rows, canvas.width(), rgb.get());
    canvas.put_rgb_row(y, rgb.get());
  }
  return canvas.take();
}

Result<Image> JpegDecoder::run() {
  jpeg_.reset(static_cast<stbi__jpeg*>(image_alloc(sizeof(stbi__jpeg))));
  if (!jpeg_) return std::unexpected(MemoryBudget::error("the JPEG decoder"));
  stbi__start_mem(&context_, bytes_.data(), static_cast<int>(bytes_.size()));
  jpeg_->s = &context_;
  stbi__setup_jpeg(jpeg_.get());
  jpeg_->idct_block_kernel = [](stbi_uc* out, int stride, short* data) {
    idct_8x8(out, stride, data);
  };
  jpeg_->app14_color_transform = -1;
  jpeg_->marker = kMarkerNone;
  // A table that is never sent has no codes: without these, the search for one would leave the
  // array.
  for (int i = 0; i < 4; ++i) {
    for (auto* table : {&jpeg_->huff_dc[i], &jpeg_->huff_ac[i]}) {
      table->maxcode[17] = 0xffffffff;
      std::memset(table->fast, 255, sizeof table->fast);
    }
  }

  for (int marker = next_marker(); marker != kEoi; marker = next_marker()) {
    if (marker == kMarkerNone) return truncated();
    if (marker == 0xd8 || marker == 0x01 || (marker >= 0xd0 && marker <= 0xd7)) continue;
    OCELLI_TRY_VOID(check_segment(marker));
    if (marker == kSos) {
      OCELLI_TRY_VOID(scan());
    } else if (marker >= 0xc0 && marker <= 0xcf && marker != kDht && marker != 0xc8 &&
               marker != 0xcc) {
      OCELLI_TRY_VOID(frame(marker));
    } else if (marker == kDht || marker == 0xdb || marker == 0xdd ||
               (marker >= 0xe0 && marker <= 0xef)) {
      if (!stbi__process_marker(jpeg_.get(), marker)) return damaged("a table or its length");
    } else {
      stbi__skip(&context_, stbi__get16be(&context_) - 2);
    }
  }
  if (!drawn_) return damaged("it holds no pixels");
  if (jpeg_->progressive) stbi__jpeg_finish(jpeg_.get());
  OCELLI_TRY(const JpegColor color, color());
  return convert(color);
}

}  // namespace

Result<Image> decode_jpeg(Bytes bytes, const ImageLimits& limits) {
  // Cut-off downloads are common and decoding them is slow: look for an end marker first.
  bool ends = false;
  for (size_t i = bytes.size(); i >= 2 && !ends; --i) {
    ends = bytes[i - 2] == 0xff && bytes[i - 1] == kEoi;
  }
  if (!ends) return truncated();
  return JpegDecoder(bytes, limits).run();
}

}  // namespace ocelli
