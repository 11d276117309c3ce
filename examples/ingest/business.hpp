// The business database: where results go. It knows nothing of workflows but their ids.
#pragma once

#include <string>

#include "digest.hpp"

namespace ingest {

class Business {
 public:
  // Anything libpq takes. Creates the table when it is missing; throws std::runtime_error when the database is out of reach.
  explicit Business(std::string database);

  // One row for an id, however often it is called: a step runs at least once. Thread safety: any thread; each has its own connection.
  void store(const std::string& id, const std::string& path, const Digest& digest, const Counts& counts) const;

 private:
  std::string database_;
};

}  // namespace ingest
