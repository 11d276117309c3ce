// What is wrong with the options of a queue can be told before anything is sent.
#pragma once

#include <string>

#include "dbos/options.hpp"

namespace dbos::detail {

// Throws UsageError (WF001), with the value: a name that is blank, too long or reserved, a limit that is not positive or exceeds the one it is a part of,
// a rate without a period and the reverse, a weight that is no positive number. altering: 0 takes
// a limit away, and what the row holds besides is the server's to compare.
void check_queue(const std::string& name, const QueueOptions& options, bool altering = false);

}  // namespace dbos::detail
