// Owns loading AMX's tile configuration right: included in front of llama.cpp's sources when
// llama_cpp.mjs builds them for a CPU with AMX. Surprise: GCC 12 says of its own _tile_loadconfig
// that it reads 8 of the 64 bytes, takes the stores to the others for dead, and the program
// crashes.

#pragma once

#include <immintrin.h>

struct __attribute__((may_alias)) peer_tiles {
  char bytes[64];
};

static inline void peer_load_tiles(const void* tiles) {
  __asm__ volatile("ldtilecfg %0" ::"m"(*(const struct peer_tiles*)tiles));
}

#define _tile_loadconfig(tiles) peer_load_tiles(tiles)
