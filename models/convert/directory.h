// Source and Sink over real folders with POSIX calls, which wasi-libc has too.
// The sink writes to OUT.partial-TAG beside OUT and renames it on commit: a conversion that is
// killed leaves no container that looks complete. Destroyed without commit it removes what it
// wrote. What a killed one left is removed by js/cli/leftovers.ts, which knows whose it was by the
// tag.
#pragma once

#include <memory>
#include <string>

#include "convert/io.h"

namespace ocelli {

// kIoError when `path` is no readable folder.
Result<std::unique_ptr<Source>> open_source_directory(const std::string& path);

// Refuses (kIoError) an existing `path` that is not an empty folder, unless `force` is set and it
// is an ocelli container; that one is replaced on commit. `owner`, of letters, digits and dashes,
// begins the tag, random digits end it.
Result<std::unique_ptr<Sink>> open_sink_directory(const std::string& path, bool force,
                                                  const std::string& owner = "");

}  // namespace ocelli
