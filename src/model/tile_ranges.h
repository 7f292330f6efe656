// One parallel pass over the tiles of several matrices: they form one range, so one dispatch serves
// them all. Used by projections and adapters.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/pool.h"
#include "tensor/linear.h"

namespace ocelli {

// Few rows take up to four tiles at once (src/kernels/README.md, "Memory"): borders leave them
// whole.
inline constexpr int64_t kTilesTogether = 4;

// matrix(i) is the i-th of `count` matrices; visit(i, tile_begin, tile_end) is called with its
// tiles, on any thread, each tile once.
template <class M, class F>
void parallel_tiles(Pool& pool, size_t count, M&& matrix, F&& visit) {
  int64_t total = 0;
  for (size_t i = 0; i < count; ++i) total += matrix(i).tiles();
  const int64_t units = (total + kTilesTogether - 1) / kTilesTogether;
  pool.parallel(units, [&](int, int64_t unit_begin, int64_t unit_end) {
    const int64_t begin = unit_begin * kTilesTogether;
    const int64_t end = std::min(unit_end * kTilesTogether, total);
    int64_t first = 0;
    for (size_t i = 0; i < count && first < end; ++i) {
      const int64_t tiles = matrix(i).tiles();
      const int64_t from = std::max(begin, first) - first;
      const int64_t to = std::min(end - first, tiles);
      first += tiles;
      if (from < to) visit(i, static_cast<int>(from), static_cast<int>(to));
    }
  });
}

}  // namespace ocelli
