// What of a connection must never be printed.
// May include: std only.
#pragma once

#include <string>

namespace dbos::cli {

// text without the passwords that db or PGPASSWORD hold, and without any in a URI or password=… that text quotes.
std::string without_passwords(std::string text, const std::string& db);

}  // namespace dbos::cli
