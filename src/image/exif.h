// The one thing ocelli wants from EXIF: the orientation. Called by the JPEG, PNG and WebP codecs
// with the TIFF block that their containers hold.
#pragma once

#include "image/bytes.h"
#include "image/canvas.h"

namespace ocelli {

// tiff: starts with "II*\0" or "MM\0*" (an "Exif\0\0" in front is skipped). Anything odd, missing
// or out of range means upright: a damaged tag must not cost the picture.
Orientation exif_orientation(Bytes tiff);

}  // namespace ocelli
