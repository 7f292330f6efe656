// Signatures of the kinds that are decoded and of the well-known ones that are not, so that the
// latter get a message with their name.
#include "image/sniff.h"

#include <algorithm>

namespace ocelli {
namespace {

using std::string_view_literals::operator""sv;

struct Signature {
  std::string_view prefix;
  const char* name;
};
constexpr Signature kUnsupported[] = {
    {"II*\0"sv, "TIFF"},
    {"MM\0*"sv, "TIFF"},
    {"II+\0"sv, "TIFF"},
    {"MM\0+"sv, "TIFF"},
    {"\0\0\1\0"sv, "ICO"},
    {"\0\0\0\x0cJXL "sv, "JPEG XL"},
    {"\xff\x0a"sv, "JPEG XL"},
    {"\0\0\0\x0cjP  "sv, "JPEG 2000"},
    {"\xff\x4f\xff\x51"sv, "JPEG 2000"},
    {"8BPS"sv, "PSD"},
    {"%PDF-"sv, "PDF"},
    {"qoif"sv, "QOI"},
    {"P4\n"sv, "PBM"},
    {"P5\n"sv, "PGM"},
    {"P6\n"sv, "PPM"},
    {"#?RADIANCE"sv, "Radiance HDR"},
    {"\x1a\x45\xdf\xa3"sv, "WebM"},
};

// ISO base media files name their brand after "ftyp".
const char* media_name(Bytes bytes) {
  for (const std::string_view brand : {"avif"sv, "avis"sv}) {
    if (has_prefix(bytes, brand, 8)) return "AVIF";
  }
  for (const std::string_view brand :
       {"heic"sv, "heix"sv, "heim"sv, "heis"sv, "hevc"sv, "hevx"sv, "mif1"sv, "msf1"sv}) {
    if (has_prefix(bytes, brand, 8)) return "HEIC";
  }
  return "MP4";
}

bool looks_like_svg(Bytes bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()),
                              std::min<size_t>(bytes.size(), 1024));
  const size_t start = text.find_first_not_of("\xef\xbb\xbf \t\r\n");
  return start != std::string_view::npos && text[start] == '<' &&
         text.find("<svg") != std::string_view::npos;
}

}  // namespace

Sniffed sniff_image(Bytes bytes) {
  if (has_prefix(bytes, "\x89PNG\r\n\x1a\n")) return {ImageKind::kPng};
  if (has_prefix(bytes, "\xff\xd8\xff")) return {ImageKind::kJpeg};
  if (has_prefix(bytes, "GIF87a") || has_prefix(bytes, "GIF89a")) return {ImageKind::kGif};
  if (has_prefix(bytes, "RIFF") && has_prefix(bytes, "WEBP", 8)) return {ImageKind::kWebp};
  if (has_prefix(bytes, "BM")) return {ImageKind::kBmp};
  if (has_prefix(bytes, "ftyp", 4)) return {ImageKind::kUnsupported, media_name(bytes)};
  for (const Signature& signature : kUnsupported) {
    if (has_prefix(bytes, signature.prefix)) return {ImageKind::kUnsupported, signature.name};
  }
  if (looks_like_svg(bytes)) return {ImageKind::kUnsupported, "SVG"};
  return {};
}

}  // namespace ocelli
