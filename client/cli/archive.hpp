// The verb `archive`: list, export, import, drop.
// May include: commands.hpp.
#pragma once

#include <string>
#include <vector>

#include "commands.hpp"

namespace dbos::cli {

struct ArchiveArguments {
  std::vector<std::string> partitions = {};  // export, import: empty = all
  std::string partition = {};                // drop
  std::string to = {};
  std::string from = {};
  bool force = false;  // drop
};

void run_archive_list(const Common& common);
// Both verify each file before it counts, and may be broken off and repeated.
void run_archive_export(const Common& common, const ArchiveArguments& arguments);
void run_archive_import(const Common& common, const ArchiveArguments& arguments);
void run_archive_drop(const Common& common, const ArchiveArguments& arguments);

}  // namespace dbos::cli
