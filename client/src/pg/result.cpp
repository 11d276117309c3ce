#include "pg/result.hpp"

#include <stdexcept>

#include "pg/params.hpp"
#include "pg/text.hpp"

namespace dbos::detail::pg {

namespace {

std::string field(const PGresult* result, int code) {
  const char* text = PQresultErrorField(result, code);
  return text ? one_line(text) : std::string();
}

void check_width(std::string_view bytes, std::size_t width) {
  if (bytes.size() != width) {
    throw std::runtime_error("the server sent " + std::to_string(bytes.size()) + " bytes where " + std::to_string(width) + " were expected");
  }
}

}  // namespace

ServerError error_of(const PGresult* result) {
  ServerError error;
  error.sqlstate = field(result, PG_DIAG_SQLSTATE);
  error.message = field(result, PG_DIAG_MESSAGE_PRIMARY);
  error.detail = field(result, PG_DIAG_MESSAGE_DETAIL);
  error.hint = field(result, PG_DIAG_MESSAGE_HINT);
  if (error.message.empty()) error.message = one_line(PQresultErrorMessage(result));
  return error;
}

std::string_view Result::bytes(int row, int column) const noexcept {
  return {PQgetvalue(result_.get(), row, column), static_cast<std::size_t>(PQgetlength(result_.get(), row, column))};
}

std::optional<std::string> Result::text_or_null(int row, int column) const {
  if (is_null(row, column)) return std::nullopt;
  return std::optional<std::string>(std::in_place, bytes(row, column));
}

std::int32_t Result::int4(int row, int column) const {
  if (is_null(row, column)) return 0;
  check_width(bytes(row, column), 4);
  return get_int4(bytes(row, column).data());
}

std::int64_t Result::int8(int row, int column) const {
  if (is_null(row, column)) return 0;
  check_width(bytes(row, column), 8);
  return get_int8(bytes(row, column).data());
}

bool Result::boolean(int row, int column) const {
  if (is_null(row, column)) return false;
  check_width(bytes(row, column), 1);
  return bytes(row, column)[0] != 0;
}

ArrayReader::ArrayReader(std::string_view bytes) : rest_(bytes) {
  if (bytes.empty()) return;
  if (bytes.size() < 12) throw std::runtime_error("the server sent a truncated array");
  int dimensions = get_int4(bytes.data());
  if (dimensions == 0) return;
  if (dimensions != 1 || bytes.size() < 20) throw std::runtime_error("the server sent an array of more than one dimension");
  count_ = get_int4(bytes.data() + 12);
  rest_.remove_prefix(20);
}

std::optional<std::string_view> ArrayReader::next() {
  if (rest_.size() < 4) throw std::runtime_error("the server sent a truncated array");
  int length = get_int4(rest_.data());
  rest_.remove_prefix(4);
  if (length < 0) return std::nullopt;
  if (rest_.size() < static_cast<std::size_t>(length)) throw std::runtime_error("the server sent a truncated array");
  auto element = rest_.substr(0, static_cast<std::size_t>(length));
  rest_.remove_prefix(static_cast<std::size_t>(length));
  return element;
}

}  // namespace dbos::detail::pg
