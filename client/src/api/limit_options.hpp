// What is wrong with the bounds of a limit can be told before anything is sent. All throw UsageError (WF001) with the value.
#pragma once

#include <string>

#include "dbos/options.hpp"

namespace dbos::detail {

// Blank, too long or reserved.
void check_limit_name(const std::string& name);
// A share that is no positive number. of: what the key belongs to, as the message begins.
void check_weight(std::string of, const std::string& key, double weight);
void check_limit(const std::string& name, const LimitOptions& options);
void check_limit(const std::string& name, const LimitChange& change);

}  // namespace dbos::detail
