// Parameters in binary format, built into buffers that are kept from trip to trip: no allocation per element, no escaping.
// A text that cannot be sent is remembered as the first fault; who builds looks at it before sending.
// May include: std, pg/text.hpp. Thread safety: none.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "pg/text.hpp"

namespace dbos::detail::pg {

using Oid = unsigned int;

// Built-in types: their OIDs are fixed by PostgreSQL.
inline constexpr Oid kBool = 16, kInt8 = 20, kInt4 = 23, kText = 25, kJsonb = 3802;
inline constexpr Oid kBoolArray = 1000, kInt4Array = 1007, kTextArray = 1009, kInt8Array = 1016, kJsonbArray = 3807;

// The text that was refused, and which element of its array it is (-1: a scalar).
struct Fault {
  TextCheck check = {};
  int element = -1;
  explicit operator bool() const noexcept { return check.fault != TextFault::none; }
};

// A one-dimensional array in the form that array_recv() reads.
class ArrayBuffer {
 public:
  ArrayBuffer(Oid array_type, Oid element_type) : array_type_(array_type), element_type_(element_type) { clear(); }

  void clear();
  void add_null() { append_int4(-1), has_null_ = true, ++count_; }
  void add_text(std::string_view text);
  void add_jsonb(std::string_view text);
  void add_int4(std::int32_t value) { append_int4(4), append_int4(value), ++count_; }
  void add_int8(std::int64_t value);
  void add_bool(bool value);

  // Writes the header; the bytes are good until the next call on this object.
  std::string_view finish();
  Oid type() const noexcept { return array_type_; }
  int count() const noexcept { return count_; }
  std::size_t bytes() const noexcept { return bytes_.size(); }
  const Fault& fault() const noexcept { return fault_; }

 private:
  void append_int4(std::int32_t value);
  void check(std::string_view text);

  Oid array_type_;
  Oid element_type_;
  std::string bytes_;
  int count_ = 0;
  bool has_null_ = false;
  Fault fault_;
};

// The parameters of one statement. Texts and arrays are referred to, not copied: they have to live until the statement is sent.
class Params {
 public:
  static constexpr int kMax = 32;

  Params& text(std::string_view value);
  Params& text_or_null(std::string_view value) { return value.empty() ? null(kText) : text(value); }
  Params& jsonb(std::string_view value);
  Params& boolean(bool value);
  Params& int4(std::int32_t value);
  Params& int8(std::int64_t value);
  Params& null(Oid type);
  Params& array(ArrayBuffer& array);

  int count() const noexcept { return count_; }
  const Oid* types() const noexcept { return types_.data(); }
  const char* const* values() const noexcept { return values_.data(); }
  const int* lengths() const noexcept { return lengths_.data(); }
  const int* formats() const noexcept { return formats_.data(); }
  const Fault& fault() const noexcept { return fault_; }

 private:
  Params& add(Oid type, const char* value, std::size_t length);

  int count_ = 0;
  std::array<Oid, kMax> types_;
  std::array<const char*, kMax> values_;
  std::array<int, kMax> lengths_;
  std::array<int, kMax> formats_;
  std::array<std::array<char, 8>, kMax> scalars_;
  std::vector<std::string> owned_;
  Fault fault_;

 public:
  Params() { owned_.reserve(4); }
  // values_ points into this object.
  Params(const Params&) = delete;
  Params& operator=(const Params&) = delete;
};

// Big-endian integers of the wire format.
void put_int4(char* to, std::int32_t value) noexcept;
void put_int8(char* to, std::int64_t value) noexcept;
std::int32_t get_int4(const char* from) noexcept;
std::int64_t get_int8(const char* from) noexcept;

}  // namespace dbos::detail::pg
