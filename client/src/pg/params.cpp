#include "pg/params.hpp"

#include <bit>
#include <stdexcept>

namespace dbos::detail::pg {

namespace {

// dimensions, flag for NULLs, element type, length, lower bound: 4 bytes each.
constexpr std::size_t kHeader = 20;
constexpr std::size_t kEmptyHeader = 12;
constexpr char kJsonbVersion = 1;

template <class Unsigned>
Unsigned big_endian(Unsigned value) noexcept {
  if constexpr (std::endian::native == std::endian::big) return value;
  else if constexpr (sizeof(Unsigned) == 4) return __builtin_bswap32(value);
  else return __builtin_bswap64(value);
}

}  // namespace

void put_int4(char* to, std::int32_t value) noexcept {
  auto bits = big_endian(static_cast<std::uint32_t>(value));
  std::memcpy(to, &bits, sizeof bits);
}

void put_int8(char* to, std::int64_t value) noexcept {
  auto bits = big_endian(static_cast<std::uint64_t>(value));
  std::memcpy(to, &bits, sizeof bits);
}

std::int32_t get_int4(const char* from) noexcept {
  std::uint32_t bits;
  std::memcpy(&bits, from, sizeof bits);
  return static_cast<std::int32_t>(big_endian(bits));
}

std::int64_t get_int8(const char* from) noexcept {
  std::uint64_t bits;
  std::memcpy(&bits, from, sizeof bits);
  return static_cast<std::int64_t>(big_endian(bits));
}

void ArrayBuffer::clear() {
  // One trip with huge payloads must not hold its memory for ever.
  if (bytes_.capacity() > (std::size_t{4} << 20)) bytes_ = {};
  bytes_.assign(kHeader, '\0');
  count_ = 0;
  has_null_ = false;
  fault_ = {};
}

void ArrayBuffer::append_int4(std::int32_t value) {
  char bytes[4];
  put_int4(bytes, value);
  bytes_.append(bytes, sizeof bytes);
}

void ArrayBuffer::check(std::string_view text) {
  if (fault_) return;
  if (auto check = check_text(text); check.fault != TextFault::none) fault_ = {check, count_};
}

void ArrayBuffer::add_text(std::string_view text) {
  check(text);
  append_int4(static_cast<std::int32_t>(text.size()));
  bytes_.append(text);
  ++count_;
}

void ArrayBuffer::add_jsonb(std::string_view text) {
  check(text);
  append_int4(static_cast<std::int32_t>(text.size() + 1));
  bytes_ += kJsonbVersion;
  bytes_.append(text);
  ++count_;
}

void ArrayBuffer::add_int8(std::int64_t value) {
  char bytes[8];
  put_int8(bytes, value);
  append_int4(8);
  bytes_.append(bytes, sizeof bytes);
  ++count_;
}

void ArrayBuffer::add_bool(bool value) {
  append_int4(1);
  bytes_ += static_cast<char>(value);
  ++count_;
}

std::string_view ArrayBuffer::finish() {
  char* header = bytes_.data();
  put_int4(header, count_ == 0 ? 0 : 1);
  put_int4(header + 4, has_null_ ? 1 : 0);
  put_int4(header + 8, static_cast<std::int32_t>(element_type_));
  put_int4(header + 12, count_);
  put_int4(header + 16, 1);
  return {bytes_.data(), count_ == 0 ? kEmptyHeader : bytes_.size()};
}

Params& Params::add(Oid type, const char* value, std::size_t length) {
  if (count_ == kMax) throw std::logic_error("too many parameters");
  types_[count_] = type;
  values_[count_] = value;
  lengths_[count_] = static_cast<int>(length);
  formats_[count_] = 1;
  ++count_;
  return *this;
}

Params& Params::text(std::string_view value) {
  if (auto check = check_text(value); !fault_ && check.fault != TextFault::none) fault_ = {check, -1};
  // A NULL pointer would mean NULL, and an empty view may have one.
  return add(kText, value.empty() ? "" : value.data(), value.size());
}

Params& Params::jsonb(std::string_view value) {
  if (auto check = check_text(value); !fault_ && check.fault != TextFault::none) fault_ = {check, -1};
  if (owned_.size() == owned_.capacity()) throw std::logic_error("too many JSON parameters");
  auto& copy = owned_.emplace_back(1, kJsonbVersion);
  copy += value;
  return add(kJsonb, copy.data(), copy.size());
}

Params& Params::boolean(bool value) {
  auto& scalar = scalars_[count_ % kMax];
  scalar[0] = static_cast<char>(value);
  return add(kBool, scalar.data(), 1);
}

Params& Params::int4(std::int32_t value) {
  auto& scalar = scalars_[count_ % kMax];
  put_int4(scalar.data(), value);
  return add(kInt4, scalar.data(), 4);
}

Params& Params::int8(std::int64_t value) {
  auto& scalar = scalars_[count_ % kMax];
  put_int8(scalar.data(), value);
  return add(kInt8, scalar.data(), 8);
}

Params& Params::null(Oid type) { return add(type, nullptr, 0); }

Params& Params::array(ArrayBuffer& array) {
  if (!fault_ && array.fault()) fault_ = array.fault();
  auto bytes = array.finish();
  return add(array.type(), bytes.data(), bytes.size());
}

}  // namespace dbos::detail::pg
