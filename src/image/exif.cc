// Reads tag 0x0112 of the first directory of a TIFF block (TIFF 6.0, EXIF 2.3). Never follows a
// pointer other than the first directory's, so hostile offsets cannot loop.
#include "image/exif.h"

namespace ocelli {

Orientation exif_orientation(Bytes tiff) {
  if (has_prefix(tiff, std::string_view("Exif\0\0", 6))) tiff = tiff.subspan(6);
  const bool little = has_prefix(tiff, std::string_view("II*\0", 4));
  if (!little && !has_prefix(tiff, std::string_view("MM\0*", 4))) return Orientation::kUpright;
  ByteReader header(tiff, !little);
  header.skip(4);
  const uint32_t directory = header.u32();
  if (!header.ok() || directory > tiff.size()) return Orientation::kUpright;

  ByteReader reader(tiff.subspan(directory), !little);
  const int entries = reader.u16();
  for (int i = 0; i < entries && reader.left() >= 12; ++i) {
    const uint16_t tag = reader.u16();
    const uint16_t type = reader.u16();
    const uint32_t count = reader.u32();
    ByteReader value(reader.take(4), !little);
    if (tag != 0x0112) continue;
    if (count != 1) break;
    uint32_t orientation = 0;
    if (type == 1) orientation = value.u8();
    if (type == 3) orientation = value.u16();
    if (type == 4) orientation = value.u32();
    if (orientation >= 1 && orientation <= 8) return static_cast<Orientation>(orientation);
    break;
  }
  return Orientation::kUpright;
}

}  // namespace ocelli
