// What the set-up tools share: single statements on a direct connection, and their failures as dbos::Error leaves.
// May include: std, dbos/error.hpp, pg/*.
#pragma once

#include <string>

#include "pg/connection.hpp"

namespace dbos::detail {

// Throws Error with the statement's SQLSTATE: `what`, the server's message and detail, its hint or else `hint`.
[[noreturn]] void fail_setup(const pg::ServerError& error, const std::string& what, const std::string& hint = {});

// One statement as one transaction: CREATE DATABASE and CREATE INDEX CONCURRENTLY may not share one. Throws ConnectionError.
pg::Result run_alone(pg::Connection& connection, const std::string& sql, const pg::Params& params = {});

// The same for a statement that must not fail.
pg::Result ask(pg::Connection& connection, const std::string& sql, const pg::Params& params, const std::string& what);

// A name as SQL takes it.
std::string quoted_identifier(const std::string& name);

}  // namespace dbos::detail
