#include "verb.hpp"

#include <algorithm>
#include <dbos/error.hpp>
#include <iostream>

namespace dbos::cli {

Client connect(const Common& common) { return Client({.database = common.db, .application = common.application}); }

void require_ids(const std::vector<std::string>& ids) {
  if (std::any_of(ids.begin(), ids.end(), [](const std::string& id) { return id.empty(); }))
    throw UsageError("a workflow id is blank", {}, {}, "dbos-sys list shows ids");
}

void print(const nlohmann::json& value) { std::cout << value.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << "\n"; }

}  // namespace dbos::cli
