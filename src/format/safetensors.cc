#include "format/safetensors.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_set>

namespace ocelli {
namespace {

struct DtypeRow {
  Dtype dtype;
  std::string_view word;
  int bytes;
};

constexpr DtypeRow kDtypes[] = {
    {Dtype::kBool, "BOOL", 1}, {Dtype::kU8, "U8", 1},   {Dtype::kI8, "I8", 1},
    {Dtype::kU16, "U16", 2},   {Dtype::kI16, "I16", 2}, {Dtype::kF16, "F16", 2},
    {Dtype::kBf16, "BF16", 2}, {Dtype::kU32, "U32", 4}, {Dtype::kI32, "I32", 4},
    {Dtype::kF32, "F32", 4},   {Dtype::kU64, "U64", 8}, {Dtype::kI64, "I64", 8},
    {Dtype::kF64, "F64", 8}};

const DtypeRow& row_of(Dtype dtype) { return kDtypes[static_cast<size_t>(dtype)]; }

std::string in_quotes(const std::string& name) {
  return "\"" + (name.size() <= 200 ? name : name.substr(0, 200) + "...") + "\"";
}

// Builds the tensor list straight from parser events: no document tree, so that memory stays a
// small multiple of the header, and duplicate names are seen. Returning false stops the parser.
class HeaderHandler {
 public:
  using number_integer_t = nlohmann::json::number_integer_t;
  using number_unsigned_t = nlohmann::json::number_unsigned_t;
  using number_float_t = nlohmann::json::number_float_t;
  using string_t = nlohmann::json::string_t;
  using binary_t = nlohmann::json::binary_t;

  std::vector<TensorInfo> tensors;
  Error error{Status::kInvalidSafetensors, "safetensors header is not valid JSON", ""};

  bool null() { return unexpected("null"); }
  bool boolean(bool) { return unexpected("a boolean"); }
  bool number_integer(number_integer_t) { return unexpected("a negative number"); }
  bool number_float(number_float_t, const string_t&) { return unexpected("a fraction"); }
  bool binary(binary_t&) { return unexpected("binary data"); }

  bool number_unsigned(number_unsigned_t value) {
    if (place_ == Place::kShape) {
      if (tensors.back().shape.size() >= kTensorDimsMax)
        return stop("tensor " + name() + " has more than " + std::to_string(kTensorDimsMax) +
                    " dimensions");
      if (value > uint64_t{1} << 48)
        return stop("tensor " + name() + " has a dimension of " + std::to_string(value));
      tensors.back().shape.push_back(static_cast<int64_t>(value));
      return true;
    }
    if (place_ == Place::kOffsets) {
      if (offsets_ == 0) tensors.back().begin = value;
      if (offsets_ == 1) tensors.back().end = value;
      if (++offsets_ > 2) return stop("tensor " + name() + " has more than two data_offsets");
      return true;
    }
    return unexpected("a number");
  }

  bool string(string_t& value) {
    if (place_ == Place::kMetadata) return true;
    if (place_ != Place::kTensor || key_ != "dtype") return unexpected("a string");
    for (const DtypeRow& row : kDtypes) {
      if (row.word != value) continue;
      tensors.back().dtype = row.dtype;
      return true;
    }
    error.status = Status::kTensorDtype;
    return stop("tensor " + name() + " has the unknown dtype " + in_quotes(value));
  }

  bool key(string_t& value) {
    if (place_ == Place::kMetadata) return true;
    if (place_ == Place::kTensor) {
      const int bit = value == "dtype" ? 1 : value == "shape" ? 2 : value == "data_offsets" ? 4 : 0;
      if (bit == 0) return stop("tensor " + name() + " has the unknown field " + in_quotes(value));
      if (fields_ & bit) return stop("tensor " + name() + " has two fields " + in_quotes(value));
      fields_ |= bit;
    } else if (!names_.insert(value).second) {
      return stop("tensor " + in_quotes(value) + " is listed twice");
    }
    key_ = value;
    return true;
  }

  bool start_object(std::size_t) {
    switch (place_) {
      case Place::kNothing:
        place_ = Place::kRoot;
        return true;
      case Place::kRoot:
        place_ = key_ == "__metadata__" ? Place::kMetadata : Place::kTensor;
        if (place_ == Place::kTensor) {
          tensors.emplace_back().name = key_;
          fields_ = 0;
        }
        return true;
      default:
        return unexpected("an object");
    }
  }

  bool end_object() {
    if (place_ == Place::kTensor && fields_ != 7)
      return stop("tensor " + name() + " lacks one of dtype, shape, data_offsets");
    place_ = place_ == Place::kRoot ? Place::kNothing : Place::kRoot;
    return true;
  }

  bool start_array(std::size_t) {
    if (place_ != Place::kTensor || key_ == "dtype") return unexpected("a list");
    place_ = key_ == "shape" ? Place::kShape : Place::kOffsets;
    offsets_ = 0;
    return true;
  }

  bool end_array() {
    if (place_ == Place::kOffsets && offsets_ != 2)
      return stop("tensor " + name() + " must have two data_offsets");
    place_ = Place::kTensor;
    return true;
  }

  // The reader's message quotes the input; a fixed one is enough and bounded.
  template <class Exception>
  bool parse_error(std::size_t position, const std::string&, const Exception&) {
    error.message = "safetensors header is not valid JSON at byte " + std::to_string(position);
    return false;
  }

 private:
  enum class Place { kNothing, kRoot, kMetadata, kTensor, kShape, kOffsets };

  std::string name() const { return in_quotes(tensors.back().name); }
  bool stop(std::string message) {
    error.message = std::move(message);
    return false;
  }
  bool unexpected(const char* what) {
    return stop("safetensors header has " + std::string(what) +
                " where it does not belong, after " + in_quotes(key_));
  }

  Place place_ = Place::kNothing;
  std::string key_;
  std::unordered_set<std::string> names_;
  int fields_ = 0;
  int offsets_ = 0;
};

// shape x dtype == end - begin, and the range lies in the data.
Result<void> check_extent(const TensorInfo& tensor, uint64_t data_bytes) {
  const std::string range =
      "[" + std::to_string(tensor.begin) + ", " + std::to_string(tensor.end) + "]";
  if (tensor.begin > tensor.end || tensor.end > data_bytes) {
    return fail(Status::kInvalidSafetensors, "tensor " + in_quotes(tensor.name) +
                                                 " has data_offsets " + range + " in a file with " +
                                                 std::to_string(data_bytes) +
                                                 " bytes of data: truncated or damaged");
  }
  uint64_t bytes = static_cast<uint64_t>(dtype_bytes(tensor.dtype));
  bool overflow = false;
  for (const int64_t dim : tensor.shape)
    overflow |= __builtin_mul_overflow(bytes, static_cast<uint64_t>(dim), &bytes);
  // A zero dimension makes the tensor empty whatever the others are.
  if (std::find(tensor.shape.begin(), tensor.shape.end(), 0) != tensor.shape.end()) {
    bytes = 0;
    overflow = false;
  }
  if (overflow || bytes != tensor.bytes()) {
    return fail(Status::kInvalidSafetensors, "tensor " + in_quotes(tensor.name) + " of shape " +
                                                 shape_text(tensor.shape) + " and dtype " +
                                                 std::string(dtype_word(tensor.dtype)) +
                                                 " does not fill its data_offsets " + range);
  }
  return {};
}

}  // namespace

int dtype_bytes(Dtype dtype) { return row_of(dtype).bytes; }

std::string_view dtype_word(Dtype dtype) { return row_of(dtype).word; }

std::string shape_text(std::span<const int64_t> shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + "]";
}

Result<uint64_t> safetensors_header_bytes(std::span<const uint8_t> first_8, uint64_t file_bytes) {
  if (first_8.size() < 8 || file_bytes < 8) {
    return fail(Status::kInvalidSafetensors,
                "safetensors file has " + std::to_string(file_bytes) + " bytes, fewer than 8");
  }
  uint64_t bytes = 0;
  for (int i = 0; i < 8; ++i) bytes |= uint64_t{first_8[i]} << (8 * i);
  if (bytes > kSafetensorsHeaderBytesMax || bytes > file_bytes - 8) {
    return fail(Status::kInvalidSafetensors, "safetensors header claims " + std::to_string(bytes) +
                                                 " bytes in a file of " +
                                                 std::to_string(file_bytes) + " (at most " +
                                                 std::to_string(kSafetensorsHeaderBytesMax) +
                                                 "): truncated, or not a safetensors file");
  }
  return bytes;
}

Result<std::vector<TensorInfo>> parse_safetensors_header(std::span<const uint8_t> header_json,
                                                         uint64_t data_bytes) {
  HeaderHandler handler;
  const auto* text = reinterpret_cast<const char*>(header_json.data());
  if (!nlohmann::json::sax_parse(text, text + header_json.size(), &handler))
    return std::unexpected(std::move(handler.error));
  std::vector<TensorInfo> tensors = std::move(handler.tensors);
  for (const TensorInfo& tensor : tensors) OCELLI_TRY_VOID(check_extent(tensor, data_bytes));
  std::sort(tensors.begin(), tensors.end(), [](const TensorInfo& a, const TensorInfo& b) {
    return a.begin != b.begin ? a.begin < b.begin
           : a.end != b.end   ? a.end < b.end
                              : a.name < b.name;
  });
  uint64_t covered = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (tensors[i].begin < covered) {
      return fail(Status::kInvalidSafetensors, "tensors " + in_quotes(tensors[i - 1].name) +
                                                   " and " + in_quotes(tensors[i].name) +
                                                   " overlap at data byte " +
                                                   std::to_string(tensors[i].begin));
    }
    if (tensors[i].begin > covered) {
      return fail(Status::kInvalidSafetensors, "data bytes " + std::to_string(covered) + " to " +
                                                   std::to_string(tensors[i].begin) +
                                                   " before tensor " + in_quotes(tensors[i].name) +
                                                   " belong to no tensor");
    }
    covered = tensors[i].end;
  }
  if (covered != data_bytes) {
    return fail(Status::kInvalidSafetensors, "data bytes " + std::to_string(covered) + " to " +
                                                 std::to_string(data_bytes) +
                                                 " belong to no tensor");
  }
  return tensors;
}

}  // namespace ocelli
