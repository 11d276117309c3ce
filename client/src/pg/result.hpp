// A result in binary format, and why a statement failed. Owns the PGresult; views live as long as it does.
// May include: std, libpq, pg/params.hpp.
#pragma once

#include <libpq-fe.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace dbos::detail::pg {

// What the server says about a failed statement; every field one line.
struct ServerError {
  std::string sqlstate;  // empty: the connection was lost
  std::string message;
  std::string detail;
  std::string hint;
};

ServerError error_of(const PGresult* result);

// Walks over the elements of a one-dimensional array. Throws std::runtime_error when the bytes are no such array.
class ArrayReader {
 public:
  explicit ArrayReader(std::string_view bytes);
  int count() const noexcept { return count_; }
  // The next element, nullopt for NULL.
  std::optional<std::string_view> next();

 private:
  std::string_view rest_;
  int count_ = 0;
};

class Result {
 public:
  explicit Result(PGresult* result = nullptr) noexcept : result_(result) {}
  explicit operator bool() const noexcept { return result_ != nullptr; }

  ExecStatusType status() const noexcept { return PQresultStatus(result_.get()); }
  bool ok() const noexcept { return status() == PGRES_TUPLES_OK || status() == PGRES_COMMAND_OK || status() == PGRES_EMPTY_QUERY; }
  ServerError error() const { return error_of(result_.get()); }

  int rows() const noexcept { return PQntuples(result_.get()); }
  bool is_null(int row, int column) const noexcept { return PQgetisnull(result_.get(), row, column) == 1; }
  // The column's bytes; empty for NULL.
  std::string_view bytes(int row, int column) const noexcept;
  std::string text(int row, int column) const { return std::string(bytes(row, column)); }
  std::optional<std::string> text_or_null(int row, int column) const;
  // 0 and false for NULL. Throw std::runtime_error when the width is another.
  std::int32_t int4(int row, int column) const;
  std::int64_t int8(int row, int column) const;
  bool boolean(int row, int column) const;
  // Empty for NULL.
  ArrayReader array(int row, int column) const { return ArrayReader(bytes(row, column)); }

 private:
  struct Clear {
    void operator()(PGresult* result) const noexcept { PQclear(result); }
  };
  std::unique_ptr<PGresult, Clear> result_;
};

}  // namespace dbos::detail::pg
