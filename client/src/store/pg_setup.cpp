#include "store/pg_setup.hpp"

#include <utility>

#include "dbos/error.hpp"

namespace dbos::detail {

void fail_setup(const pg::ServerError& error, const std::string& what, const std::string& hint) {
  std::string message = what + ": " + error.message;
  if (!error.detail.empty()) message += " (" + error.detail + ")";
  throw Error(message, error.sqlstate, {}, error.hint.empty() ? hint : error.hint);
}

pg::Result run_alone(pg::Connection& connection, const std::string& sql, const pg::Params& params) {
  if (!connection.queue(sql.c_str(), params)) throw ConnectionError(connection.failure().message);
  return std::move(connection.finish_transaction().at(0));
}

pg::Result ask(pg::Connection& connection, const std::string& sql, const pg::Params& params, const std::string& what) {
  pg::Result result = run_alone(connection, sql, params);
  if (!result.ok()) fail_setup(result.error(), what, result.error().sqlstate == "42501" ? "do this as the owner of the tables or a superuser" : "");
  return result;
}

std::string quoted_identifier(const std::string& name) {
  std::string out = "\"";
  for (char c : name) out += c == '"' ? "\"\"" : std::string(1, c);
  return out + "\"";
}

}  // namespace dbos::detail
