// Source and Sink over real folders with POSIX calls, which wasi-libc has too.
// The sink writes to OUT.partial-XXXXXXXX beside OUT and renames it on commit: a conversion that is
// killed leaves no container that looks complete. Destroyed without commit it removes what it
// wrote.
#pragma once

#include <memory>

#include "convert/io.h"

namespace ocelli {

// kIoError when `path` is no readable folder.
Result<std::unique_ptr<Source>> open_source_directory(const std::string& path);

// Refuses (kIoError) an existing `path` that is not an empty folder, unless `force` is set and it
// is an ocelli container; that one is replaced on commit.
Result<std::unique_ptr<Sink>> open_sink_directory(const std::string& path, bool force);

}  // namespace ocelli
