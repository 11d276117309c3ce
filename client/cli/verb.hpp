// What the files of verbs share: the client that the common options ask for, ids from the command line, JSON on standard output.
// May include: public headers, commands.hpp.
#pragma once

#include <dbos/client.hpp>
#include <dbos/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "commands.hpp"

namespace dbos::cli {

// What the library and the server say beside results, on the error output; each once.
void tell(LogLevel level, std::string_view text);

Client connect(const Common& common);

// Throws UsageError for what is no duration; empty is none too.
Milliseconds duration_option(const std::string& option, const std::string& text);

// Throws UsageError for a blank one.
void require_ids(const std::vector<std::string>& ids);

// Indented; bytes that are no UTF-8 are replaced.
void print(const nlohmann::json& value);

}  // namespace dbos::cli
