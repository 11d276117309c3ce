// What PgStore and ClientStore share: errors of the extension as dbos::Error leaves, and one-statement transactions that block.
// May include: std, pg/*, dbos/error.hpp, dbos/options.hpp. Only store/pg_*.cpp include it.
#pragma once

#include <string>

#include "dbos/options.hpp"
#include "pg/connection.hpp"

namespace dbos::detail {

inline constexpr const char* kBegin = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
inline constexpr const char* kCommit = "COMMIT";
inline constexpr const char* kRollback = "ROLLBACK";
// Indexes of tables with rows may be built, behind another session that does the same.
inline constexpr Milliseconds kInstallTimeout{600000};

// The option as it is; UsageError when it is negative.
Milliseconds check_reply_timeout(Milliseconds timeout);

// What the server says, as lines for a log: a NOTICE is an info. No sink: nobody listens.
pg::NoticeSink notices_to(LogSink log);

// The leaf for a statement's error. id: the workflow that the call was about, if one.
[[noreturn]] void throw_server_error(const pg::ServerError& error, const std::string& id = {});
// UsageError for a parameter that cannot be sent; `what` names the call.
void check_params(const pg::Params& params, const std::string& what);

// One statement as one transaction. Throws the leaves above; InDoubt when the connection is lost.
pg::Result transact(pg::Connection& connection, const char* sql, const pg::Params& params, const std::string& what, const std::string& id = {});
// The first error of a transaction's results, if any. The connection is then still inside the failed transaction: roll_back() it.
const pg::Result* first_error(const std::vector<pg::Result>& results);
void roll_back(pg::Connection& connection);

// Whether the server process that answers is the one that the connection was promised: a pooler promises one of its own.
bool has_own_session(pg::Connection& connection);

// Throws ConnectionError (WF002) when extension or tables are missing, Error (WF004) when the extension is older or newer than this client.
// tables: look for the tables too.
void check_extension(pg::Connection& connection, bool tables);

// A connection of a tool's own to a database with our tables. One call at a time.
struct ToolSession {
  // reply_timeout: 0 = none. Throws as check_extension() does, and UsageError for options that cannot be.
  ToolSession(const std::string& database, const char* name, Milliseconds connect_timeout, Milliseconds reply_timeout, LogSink log);
  // transact(), after check_params().
  pg::Result call(const char* sql, const pg::Params& params, const char* what);

  pg::Connection connection;
};

// The version that this client was built as, and the rule: same minor release before 1.0, same major after, and not older.
enum class VersionFit : char { fits, older, newer };
VersionFit compare_versions(const std::string& extension, const std::string& client);

}  // namespace dbos::detail
