// libFuzzer target: any text as manifest.json. What is accepted is written and read back as the
// same, and the weights it describes can be listed.
#include <cstdlib>

#include "format/manifest.h"
#include "format/weight_table.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ocelli;
  const auto manifest = parse_manifest({reinterpret_cast<const char*>(data), size});
  if (!manifest) {
    if (manifest.error().message.empty() || manifest.error().param != "manifest.json") abort();
    return 0;
  }
  const auto again = parse_manifest(write_manifest(*manifest));
  if (!again || !(*again == *manifest)) abort();
  for (const WeightSpec& spec : weight_table(manifest->config))
    if (spec.n <= 0 || spec.k <= 0) abort();
  return 0;
}
