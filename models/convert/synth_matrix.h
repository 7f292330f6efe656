// Random weights straight as codes: whole tiles of 8 rows in any format of the container, without
// making floats first. Called by synth.cc for each part of a matrix.
#pragma once

#include "convert/matrix_parts.h"
#include "convert/synth_statistics.h"

namespace ocelli {

// Fills `part` of the matrix `spec`. Every group of inputs has its own scale; int4 codes lie around
// zero points from 6 to 9 and reach 0 or 15, int8 codes fill -127..127, as quantising bell-shaped
// weights gives.
void fill_random(const WeightSpec& spec, const SynthStatistics& statistics, const Noise& noise,
                 const MatrixPart& part);

}  // namespace ocelli
