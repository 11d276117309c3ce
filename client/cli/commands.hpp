// The verbs of dbos-sys: options in, text or JSON out. Errors leave as dbos::Error (UsageError = exit code 2).
// May include: public headers, the files of this folder.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace dbos::cli {

// What all verbs share.
struct Common {
  std::string db = {};
  std::string application = {};
  bool json = false;
};

struct InitArguments {
  std::string name = {};
  std::string owner = {};
  std::string maintenance_database = "postgres";
  bool plain = false;
  bool settings = false;
};

struct MigrateArguments {
  bool force = false;
  bool dry_run = false;
};

struct ListArguments {
  std::vector<std::string> status = {};
  std::string name = {};
  std::string queue = {};
  std::string id_prefix = {};
  std::string executor = {};
  std::string version = {};
  std::string parent = {};
  std::string since = {};
  std::string until = {};
  int limit = 50;
  int offset = 0;
  bool oldest_first = false;
  bool payloads = false;
  bool archived = false;
};

struct StartArguments {
  std::string name = {};
  std::string args = {};
  std::string id = {};
  std::string queue = "_dbos_internal_queue";
  std::string timeout = {};
  std::string delay = {};
  std::string version = {};
  std::string class_name = {};
  std::string partition = {};
  std::string deduplication_id = {};
  std::string attributes = {};
  int priority = 0;
  bool wait = false;
};

struct ChangeArguments {
  std::vector<std::string> ids = {};
  bool children = false;   // cancel
  std::string queue = {};  // resume
};

struct LimitArguments {
  std::string name = {};
  // Empty = not given.
  std::string rate = {};
  std::string per = {};
  std::string burst = {};
  std::string concurrency = {};
  std::vector<std::string> weights = {};  // KEY=SHARE
  bool force = false;                     // drop
  std::string duration = {};              // hold
};

struct DoctorArguments {
  std::vector<std::string> names = {};     // empty = all lines
  std::vector<std::string> accepted = {};  // lines that do not count for the exit code
  std::string wait = {};
};

void run_init(const Common& common, const InitArguments& arguments);
void run_migrate(const Common& common, const MigrateArguments& arguments);
void run_list(const Common& common, const ListArguments& arguments);
void run_show(const Common& common, const std::string& id);
void run_start(const Common& common, const StartArguments& arguments);
void run_cancel(const Common& common, const ChangeArguments& arguments);
void run_resume(const Common& common, const ChangeArguments& arguments);
// The exit code: 0 all is well, 3 something is to mend, 4 something is not known.
int run_doctor(const Common& common, const DoctorArguments& arguments);
void run_limits_list(const Common& common);
void run_limits_register(const Common& common, const LimitArguments& arguments);
void run_limits_alter(const Common& common, const LimitArguments& arguments);
void run_limits_drop(const Common& common, const LimitArguments& arguments);
void run_limits_hold(const Common& common, const LimitArguments& arguments);

}  // namespace dbos::cli
