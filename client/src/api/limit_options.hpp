// What is wrong with the bounds of a limit can be told before anything is sent. All throw UsageError (WF001) with the value.
#pragma once

#include <string>

#include "dbos/options.hpp"

namespace dbos::detail {

// Blank, too long or reserved.
void check_limit_name(const std::string& name);
// A share of whatever `of` names that is no positive number.
void check_weight(const std::string& of, double weight);
void check_limit(const std::string& name, const LimitOptions& options);
void check_limit(const std::string& name, const LimitChange& change);

}  // namespace dbos::detail
