#include "store/pg_session.hpp"

#include <array>
#include <cstdio>
#include <utility>

#include "pg/sqlstate.hpp"

namespace dbos::detail {

namespace {

constexpr const char* kClientVersion = DBOS_VERSION;
constexpr const char* kCreate = "CREATE EXTENSION dbos_sys; SELECT dbos_sys.install(); or, on a managed server: dbos-sys init --plain";

std::string full_message(const pg::ServerError& error) { return error.detail.empty() ? error.message : error.message + " (" + error.detail + ")"; }

// Codes of the extension that have a leaf of their own; the others are plain Errors with their SQLSTATE. Not WF012: Deduplicated names the
// holder, which an error's text does not give; starts are told of it by a reply of their own (RunState::deduplicated).
[[noreturn]] void throw_extension_error(const pg::ServerError& e, const std::string& id) {
  std::string message = full_message(e);
  std::string_view code = std::string_view(e.sqlstate).substr(2);
  if (code == "001" || code == "015" || code == "030" || code == "031") throw UsageError(message, e.sqlstate, id, e.hint);
  if (code == "002") throw ConnectionError(message, e.sqlstate, id, e.hint);
  if (code == "010" || code == "032") throw NotFound(message, e.sqlstate, id, e.hint);
  if (code == "011" || code == "013") throw Conflict(message, e.sqlstate, id, e.hint);
  if (code == "014") throw Nondeterminism(message, e.sqlstate, id, e.hint);
  throw Error(message, e.sqlstate, id, e.hint);
}

bool missing_object(const std::string& sqlstate) { return sqlstate == "3F000" || sqlstate == "42883" || sqlstate == "42P01"; }

struct Version {
  int major = 0, minor = 0, patch = 0;
  auto operator<=>(const Version&) const = default;
};

Version parse_version(const std::string& text) {
  Version version;
  std::sscanf(text.c_str(), "%d.%d.%d", &version.major, &version.minor, &version.patch);
  return version;
}

}  // namespace

void throw_server_error(const pg::ServerError& error, const std::string& id) {
  std::string message = full_message(error);
  if (error.sqlstate.empty()) throw ConnectionError(message, {}, id);
  if (error.sqlstate.starts_with("WF")) throw_extension_error(error, id);
  if (missing_object(error.sqlstate)) throw ConnectionError("this is no dbos_sys database, or an older one: " + message, error.sqlstate, id, kCreate);
  if (error.sqlstate == "25006")
    throw ConnectionError("the server is read-only: " + message, error.sqlstate, id, "connect to the primary; a URI may name several hosts");
  if (error.sqlstate == "42501") {
    bool owners = message.find("must be owner") != std::string::npos;
    throw Error(message, error.sqlstate, id,
                owners ? "do this as the owner of the tables" : "as the owner of the tables: SELECT dbos_sys.grant_access('ROLE')");
  }
  // Data exceptions: a value that the server cannot take, such as \u0000 inside jsonb.
  if (error.sqlstate.starts_with("22") || error.sqlstate == "54000") throw UsageError(message, error.sqlstate, id, error.hint);
  throw Error(message, error.sqlstate, id, error.hint);
}

pg::NoticeSink notices_to(LogSink log) {
  if (!log) return {};
  return [log = std::move(log)](pg::Severity severity, const pg::ServerError& notice) {
    std::string hint = notice.hint.empty() ? "" : " (hint: " + notice.hint + ")";
    log(severity == pg::Severity::warning ? LogLevel::warning : LogLevel::info, full_message(notice) + hint);
  };
}

Milliseconds check_reply_timeout(Milliseconds timeout) {
  if (timeout.count() < 0) throw UsageError("reply_timeout is " + std::to_string(timeout.count()) + " ms; it must not be negative, 0 is no limit");
  return timeout;
}

void check_params(const pg::Params& params, const std::string& what) {
  if (const auto& fault = params.fault()) {
    std::string which = fault.element < 0 ? "an argument" : "element " + std::to_string(fault.element + 1) + " of an argument";
    throw UsageError(what + ": " + which + " " + pg::describe(fault.check), "22021", {}, "texts have to be UTF-8 without NUL");
  }
}

const pg::Result* first_error(const std::vector<pg::Result>& results) {
  for (const auto& result : results) {
    if (result && !result.ok() && result.status() != PGRES_PIPELINE_ABORTED) return &result;
  }
  return nullptr;
}

void roll_back(pg::Connection& connection) {
  if (connection.queue(kRollback)) connection.finish_transaction();
}

pg::Result transact(pg::Connection& connection, const char* sql, const pg::Params& params, const std::string& what, const std::string& id) {
  check_params(params, what);
  if (!connection.queue(kBegin) || !connection.queue(sql, params) || !connection.queue(kCommit)) throw ConnectionError(connection.failure().message);
  auto results = connection.finish_transaction();
  if (const auto* failed = first_error(results)) {
    auto error = failed->error();
    roll_back(connection);
    // "cannot set transaction read-write mode during recovery"
    if (failed == &results[0] && error.sqlstate == "0A000") error.sqlstate = "25006";
    throw_server_error(error, id);
  }
  return std::move(results[1]);
}

bool has_own_session(pg::Connection& connection) {
  return transact(connection, "SELECT pg_catalog.pg_backend_pid()", {}, "connect").int4(0, 0) == connection.backend_pid();
}

VersionFit compare_versions(const std::string& extension, const std::string& client) {
  Version server = parse_version(extension);
  Version ours = parse_version(client);
  auto line = [](const Version& v) { return std::pair(v.major, v.major == 0 ? v.minor : 0); };
  if (line(server) > line(ours)) return VersionFit::newer;
  return server < ours ? VersionFit::older : VersionFit::fits;
}

void check_extension(pg::Connection& connection, bool tables) {
  // The catalog needs no right on the schema, the function does.
  static constexpr const char* kFunctions =
      "SELECT pg_catalog.current_database()::pg_catalog.text, EXISTS (SELECT FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid "
      "OPERATOR(pg_catalog.=) p.pronamespace WHERE n.nspname OPERATOR(pg_catalog.=) 'dbos_sys' AND p.proname OPERATOR(pg_catalog.=) 'version')";
  auto row = transact(connection, kFunctions, {}, "connect");
  std::string database = row.text(0, 0);
  if (!row.boolean(0, 1)) throw ConnectionError("extension dbos_sys is not installed in database \"" + database + "\"", "WF002", {}, kCreate);
  std::string version = transact(connection, "SELECT dbos_sys.version()", {}, "connect").text(0, 0);
  auto fit = compare_versions(version, kClientVersion);
  std::string both = "extension dbos_sys in database \"" + database + "\" is version " + version + ", ";
  if (fit == VersionFit::older) {
    throw Error(
        both + "older than this client (" + kClientVersion + ")", "WF004", {},
        "install the extension's files of that version, then ALTER EXTENSION dbos_sys UPDATE; or, without the extension: dbos-sys init --plain");
  }
  if (fit == VersionFit::newer)
    throw Error(both + "too new for this client (" + kClientVersion + ")", "WF004", {}, "build the program with the client library of that version");
  if (!tables) return;
  auto schema = transact(connection,
                         "SELECT dbos_sys.schema_version()::pg_catalog.int8, dbos_sys.upstream_version()::pg_catalog.int8, "
                         "pg_catalog.to_regclass('dbos_ops.executors') IS NOT NULL",
                         {}, "connect");
  if (schema.is_null(0, 0) || !schema.boolean(0, 2)) {
    throw ConnectionError("database \"" + database + "\" has the extension dbos_sys, but not its tables", "WF002", {}, "SELECT dbos_sys.install();");
  }
  if (schema.int8(0, 0) < schema.int8(0, 1)) {
    throw ConnectionError("the tables of database \"" + database + "\" are at version " + std::to_string(schema.int8(0, 0)) + ", and " +
                              std::to_string(schema.int8(0, 1)) + " is needed",
                          "WF002", {}, "SELECT dbos_sys.install();");
  }
}

namespace {

pg::Connection connect_tool(const std::string& database, const char* name, Milliseconds connect_timeout, Milliseconds reply_timeout, LogSink log) {
  pg::Target target{database, name, connect_timeout, reply_timeout, notices_to(std::move(log))};
  pg::check_target(target);
  return pg::Connection::connect(target);
}

}  // namespace

ToolSession::ToolSession(const std::string& database, const char* name, Milliseconds connect_timeout, Milliseconds reply_timeout, LogSink log)
    : connection(connect_tool(database, name, connect_timeout, reply_timeout, std::move(log))) {
  check_extension(connection, true);
}

pg::Result ToolSession::call(const char* sql, const pg::Params& params, const char* what) {
  check_params(params, what);
  return transact(connection, sql, params, what);
}

}  // namespace dbos::detail
