// What the files of verbs share: the client that the common options ask for, ids from the command line, JSON on standard output.
// May include: public headers, commands.hpp.
#pragma once

#include <dbos/client.hpp>
#include <dbos/json.hpp>
#include <string>
#include <vector>

#include "commands.hpp"

namespace dbos::cli {

Client connect(const Common& common);

// Throws UsageError for a blank one.
void require_ids(const std::vector<std::string>& ids);

// Indented; bytes that are no UTF-8 are replaced.
void print(const nlohmann::json& value);

}  // namespace dbos::cli
