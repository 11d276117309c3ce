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
};

struct InitReport {
  std::string database;
  bool created_database = false;
  // The extension or, with a script, its functions were not there before.
  bool created_extension = false;
  // What dbos_sys.install() answered: `created`, `upgraded from N`, `already` or `newer`.
  std::string tables;
  std::string extension_version;
  // Collation of the database; everything but C makes the tables slower.
  std::string collation;
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

}  // namespace dbos
