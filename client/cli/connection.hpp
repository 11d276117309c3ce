// Where the system database is, and what of it must never be printed.
// May include: std only.
#pragma once

#include <string>

namespace dbos::cli {

// --db as libpq wants it: URIs and key=value pairs as they are, a single word as the database's name; empty = PG* variables.
std::string connection_text(const std::string& db);

// text without the passwords that db or PGPASSWORD hold, and without any in a URI or password=… that text quotes.
std::string without_passwords(std::string text, const std::string& db);

}  // namespace dbos::cli
