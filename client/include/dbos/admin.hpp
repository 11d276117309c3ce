// Making or adopting a system database. For set-up tools and tests; applications need nothing of this.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "dbos/options.hpp"

namespace dbos {

struct InitOptions {
  // Where: anything libpq takes, as ClientOptions::database. CREATE EXTENSION asks for a superuser.
  std::string database = {};
  // The database's name; empty = the one that `database` names.
  std::string name = {};
  // Existing role that shall own the database and the tables; empty = the connected role, or an existing database's owner.
  std::string owner = {};
  // Connected to when the database has to be created.
  std::string maintenance_database = "postgres";
  // The functions as an SQL script, in place of the extension, where none can be installed (managed servers): run each time, so that
  // present ones are updated. Asks for the database's owner, no superuser. nullptr: the extension.
  const char* plain_script = nullptr;
  Milliseconds connect_timeout{5000};
  // Also tells the server by ALTER SYSTEM what one that has nothing but this database should be told (extension/dbos_sys.conf), and gives the
  // hot tables their storage parameters. What is met already, or set beyond it, stays. Asks for a superuser.
  bool server_settings = false;
  // What the server says by NOTICE (info) and WARNING.
  LogSink log = {};
};

struct AppliedSetting {
  std::string name;
  std::string statement;
  // It holds from the server's next start on.
  bool restart = false;
};

struct InitReport {
  std::string database;
  bool created_database = false;
  // The extension or, with a script, its functions were not there before.
  bool created_extension = false;
  // The functions are the script's, of this time or an earlier one.
  bool plain = false;
  // What dbos_sys.install() answered: `created`, `upgraded from N`, `already` or `newer`.
  std::string tables;
  std::string extension_version;
  // Collation of the database; everything but C makes the tables slower.
  std::string collation;
  // With server_settings: what was said to the server, and how many tables got parameters.
  std::vector<AppliedSetting> settings = {};
  int tuned_tables = 0;
};

// Creates what is missing of: the database (UTF8, collation C, from template0), the extension or its functions, the tables. Safe to repeat, and two at
// once are. Throws ConnectionError, Error (with SQLSTATE and hint).
InitReport init_system_database(const InitOptions& options);

struct MigrateOptions {
  // Where: a direct connection, not through a transaction pooler.
  std::string database = {};
  // Although sessions of SDKs are connected that know the tables as they are now.
  bool force = false;
  // Only tells the steps.
  bool dry_run = false;
  Milliseconds connect_timeout{5000};
  // What the server says by NOTICE (info) and WARNING.
  LogSink log = {};
};

struct MigrationStep {
  std::int64_t version = 0;
  // Its statements run singly, outside of a transaction, while the application works; else they are one transaction.
  bool online = false;
  std::vector<std::string> statements = {};
};

struct MigrateReport {
  std::int64_t from = 0;
  std::int64_t to = 0;
  std::vector<MigrationStep> steps = {};
  // What dbos_sys.install() answered in the end; empty for a dry run.
  std::string tables = {};
};

// What dbos_sys.install() does for tables of an earlier shared version, step by step and for tables of any size: indexes are built
// CONCURRENTLY, table locks are waited for a second at a time. May be interrupted and called again: each step records its number, and an
// index whose build broke off is built anew. At our version it builds indexes that are missing or not valid. `done` is told of each step.
// Throws ConnectionError, Error (with SQLSTATE and hint).
MigrateReport migrate_system_database(const MigrateOptions& options, const std::function<void(const MigrationStep&)>& done = {});

struct DoctorOptions {
  std::string database = {};
  // These lines only; empty: all.
  std::vector<std::string> names = {};
  Milliseconds connect_timeout{5000};
  // What the server says by NOTICE (info) and WARNING.
  LogSink log = {};
};

// A line of the checklist for production (docs/production.md).
struct DoctorLine {
  std::string name;
  // `ok`, `warn` (it costs speed, or will hurt), `bad` (work is lost or stands still), `not known` (it cannot be seen from here, or by this role).
  std::string state;
  std::string found;
  std::string wanted;
  std::string why;
  // The command that mends it; empty when ok.
  std::string mend;
};

// dbos_sys.doctor(), in its order: the first six lines are always the same. Tells the server also what a client alone knows, its own clock and
// whether a pooler is in between. Reads only. Throws UsageError (unknown line), ConnectionError, Error (with SQLSTATE and hint).
std::vector<DoctorLine> examine_system_database(const DoctorOptions& options);

}  // namespace dbos
