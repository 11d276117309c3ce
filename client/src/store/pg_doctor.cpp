// Asks dbos_sys.doctor() how the database and its server are: see dbos/admin.hpp.
#include <chrono>
#include <string>
#include <vector>

#include "dbos/admin.hpp"
#include "dbos/error.hpp"
#include "store/pg_session.hpp"
#include "store/pg_setup.hpp"

namespace dbos {

namespace {

using detail::fail_setup;
using detail::pg::ArrayBuffer;
using detail::pg::Connection;
using detail::pg::Params;
using detail::pg::Result;
using detail::pg::ServerError;

constexpr const char* kDoctor =
    "SELECT d.name, d.state, d.finding, d.wanted, d.why, d.mend FROM dbos_sys.doctor($1::pg_catalog.text[], $2::pg_catalog.jsonb) AS d ORDER BY "
    "d.place";

// What the server cannot know: a pooler tells the client a process id of its own.
std::string client_facts(const Connection& connection) {
  auto now = std::chrono::duration_cast<Milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  return "{\"pid\": " + std::to_string(connection.backend_pid()) + ", \"now\": " + std::to_string(now) + "}";
}

// A statement_timeout that is meant for short statements must not end the checklist. For this transaction alone: a pooler lends the session.
Result ask_doctor(Connection& connection, const Params& params) {
  if (!connection.queue("BEGIN") || !connection.queue("SET LOCAL statement_timeout = '10min'") || !connection.queue(kDoctor, params) ||
      !connection.queue("COMMIT"))
    throw ConnectionError(connection.failure().message);
  auto results = connection.finish_transaction();
  if (const auto* failed = detail::first_error(results)) return std::move(results[static_cast<std::size_t>(failed - results.data())]);
  return std::move(results[2]);
}

[[noreturn]] void fail_doctor(const ServerError& error) {
  if (error.sqlstate == "WF001") throw UsageError(error.message, error.sqlstate, {}, error.hint);
  bool absent = error.sqlstate == "42883" || error.sqlstate == "3F000";
  bool denied = error.sqlstate == "42501";
  fail_setup(error, "cannot ask the doctor",
             absent   ? "dbos-sys init, or dbos-sys init --plain on a managed server, makes the functions"
             : denied ? "as the owner of the tables: SELECT dbos_sys.grant_access('ROLE')"
                      : "");
}

}  // namespace

std::vector<DoctorLine> examine_system_database(const DoctorOptions& options) {
  detail::pg::Target target{options.database, "dbos-sys doctor", options.connect_timeout};
  target.notices = detail::notices_to(options.log);
  auto connection = Connection::connect(target);
  ArrayBuffer names(detail::pg::kTextArray, detail::pg::kText);
  for (const std::string& name : options.names) names.add_text(name);
  std::string facts = client_facts(connection);
  Params params;
  if (options.names.empty()) params.null(detail::pg::kTextArray);
  else params.array(names);
  params.jsonb(facts);
  if (params.fault() || names.fault())
    throw UsageError("the name of a line is no UTF-8, or holds NUL", {}, {}, "name lines as dbos-sys doctor shows them");
  Result result = ask_doctor(connection, params);
  if (!result.ok()) fail_doctor(result.error());
  std::vector<DoctorLine> lines;
  for (int row = 0; row < result.rows(); row++) {
    lines.push_back({.name = result.text(row, 0),
                     .state = result.text(row, 1),
                     .found = result.text(row, 2),
                     .wanted = result.text(row, 3),
                     .why = result.text(row, 4),
                     .mend = result.text(row, 5)});
  }
  return lines;
}

}  // namespace dbos
