// Result<T>: how the core reports what the world did wrong (bad request, bad file, no memory).
// Our own bugs never come this way: they trap in OCELLI_CHECK (check.h).
#pragma once

#include <expected>
#include <string>
#include <utility>

#include "base/status.h"

namespace ocelli {

struct Error {
  Status status = Status::kInternal;
  std::string message;  // names the thing, the value and the allowed range
  std::string param;    // request field or file at fault, empty when there is none
};

template <class T>
using Result = std::expected<T, Error>;

// `return fail(Status::kInvalidValue, "temperature must be ...", "temperature");`
inline std::unexpected<Error> fail(Status status, std::string message, std::string param = {}) {
  return std::unexpected(Error{status, std::move(message), std::move(param)});
}

#define OCELLI_CONCAT_INNER(a, b) a##b
#define OCELLI_CONCAT(a, b) OCELLI_CONCAT_INNER(a, b)

// OCELLI_TRY(auto image, decode(bytes)); hands an error on, otherwise binds the value.
#define OCELLI_TRY(declaration, ...)                                          \
  auto OCELLI_CONCAT(try_, __LINE__) = (__VA_ARGS__);                         \
  if (!OCELLI_CONCAT(try_, __LINE__))                                         \
    return std::unexpected(std::move(OCELLI_CONCAT(try_, __LINE__)).error()); \
  declaration = std::move(*OCELLI_CONCAT(try_, __LINE__))

// The same for Result<void>.
#define OCELLI_TRY_VOID(...)                               \
  do {                                                     \
    if (auto try_void = (__VA_ARGS__); !try_void)          \
      return std::unexpected(std::move(try_void).error()); \
  } while (false)

}  // namespace ocelli
