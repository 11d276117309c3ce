// What is said about wrong arguments and failures: one line, with what mends it.
// May include: CLI11, std, the files of this folder. Must not know: databases.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace dbos::cli {

// Prints `dbos-sys: message (hint: …)` in one line without passwords; returns code.
int fail(std::string message, const std::string& hint, const std::string& db, int code);

// What CLI11 found wrong, told of the verb that the arguments reached; help is no failure.
int usage_exit(const CLI::App& app, const CLI::ParseError& error, const std::string& db);

// A hint of the server's, which speaks SQL, in words of this tool where it has them.
std::string in_our_words(std::string hint);

}  // namespace dbos::cli
