// Making a system database. For set-up tools and tests; applications need nothing of this.
#pragma once

#include <string>

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
  Milliseconds connect_timeout{5000};
};

struct InitReport {
  std::string database;
  bool created_database = false;
  bool created_extension = false;
  // What dbos_sys.install() answered: `created`, `already` or `newer`.
  std::string tables;
  std::string extension_version;
  // Collation of the database; everything but C makes the tables slower.
  std::string collation;
};

// Creates what is missing of: the database (UTF8, collation C, from template0), the extension, the tables. Safe to repeat, and two at
// once are. Throws ConnectionError, Error (with SQLSTATE and hint).
InitReport init_system_database(const InitOptions& options);

}  // namespace dbos
