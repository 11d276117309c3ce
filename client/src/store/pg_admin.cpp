// Creates a system database: the one place that makes databases and extensions. See dbos/admin.hpp.
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dbos/admin.hpp"
#include "dbos/error.hpp"
#include "pg/connection.hpp"
#include "store/pg_session.hpp"
#include "store/pg_setup.hpp"

namespace dbos {

namespace {

using detail::ask;
using detail::fail_setup;
using detail::run_alone;
using detail::pg::Connection;
using detail::pg::Params;
using detail::pg::Result;
using detail::pg::ServerError;
using detail::pg::Target;

// A value in a connection string.
std::string quoted(std::string_view text) {
  std::string out = "'";
  for (char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}
using detail::quoted_identifier;

bool is_connection_string(const std::string& text) { return text.find('=') != std::string::npos || text.find("://") != std::string::npos; }

// The same connection to another database of the server. Strings that cannot be parsed stay, for connect() to complain about.
std::string with_name(const std::string& database, const std::string& name) {
  std::string out = "dbname=" + quoted(name);
  if (!is_connection_string(database)) return out;
  std::unique_ptr<PQconninfoOption, void (*)(PQconninfoOption*)> options(PQconninfoParse(database.c_str(), nullptr), PQconninfoFree);
  if (!options) return database;
  for (const auto* option = options.get(); option->keyword; option++) {
    std::string_view key = option->keyword;
    if (option->val && *option->val && key != "dbname") out += " " + std::string(key) + "=" + quoted(option->val);
  }
  return out;
}

// What libpq takes for the database's name after services, PG* variables and its own defaults.
std::string resolved_name(const std::string& database) {
  const char* keys[] = {"dbname", nullptr};
  const char* values[] = {database.c_str(), nullptr};
  std::unique_ptr<PGconn, void (*)(PGconn*)> connection(PQconnectStartParams(database.empty() ? keys + 1 : keys, values, 1), PQfinish);
  const char* name = connection ? PQdb(connection.get()) : nullptr;
  return name ? name : "";
}

std::string hint_for_database(const ServerError& error, const InitOptions& options) {
  if (error.sqlstate == "42501") return "the role needs CREATEDB, and to be a member of the owner; or run this as a superuser";
  if (error.sqlstate == "42704" && !options.owner.empty()) return "CREATE ROLE " + quoted_identifier(options.owner) + " LOGIN;";
  return {};
}

Connection connect_to_maintenance_database(const InitOptions& options) {
  try {
    return Connection::connect({with_name(options.database, options.maintenance_database), "dbos-sys init", options.connect_timeout});
  } catch (const ConnectionError& error) {
    if (error.sqlstate() != "3D000") throw;
    throw ConnectionError(error.what(), error.sqlstate(), {}, "to create a database, one that is there is connected to: --maintenance-db NAME");
  }
}

// False when another session has just made it.
bool create_database(const InitOptions& options, const std::string& name) {
  auto maintenance = connect_to_maintenance_database(options);
  std::string sql =
      "CREATE DATABASE " + quoted_identifier(name) + " TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C'";
  if (!options.owner.empty()) sql += " OWNER " + quoted_identifier(options.owner);
  Result result = run_alone(maintenance, sql);
  if (result.ok()) return true;
  ServerError error = result.error();
  bool raced = error.sqlstate == "42P04" || error.sqlstate == "23505";
  if (!raced) fail_setup(error, "cannot create database " + quoted_identifier(name), hint_for_database(error, options));
  return false;
}

std::string hint_for_extension(const ServerError& error) {
  if (error.sqlstate == "42501")
    return "a superuser has to run this, or CREATE EXTENSION dbos_sys; in this database before you do; on a managed server: init --plain";
  if (error.sqlstate == "0A000" || error.sqlstate == "58P01")
    return "install the extension's files on the server: make install in its sources; on a managed server: init --plain";
  return {};
}

// Empty when they are absent.
std::string functions_version(Connection& connection) {
  Result found =
      ask(connection,
          "SELECT FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace WHERE n.nspname = 'dbos_sys' AND "
          "p.proname = 'version'",
          {}, "cannot look for the functions");
  if (found.rows() == 0) return {};
  return ask(connection, "SELECT dbos_sys.version()", {}, "cannot read the version of the functions").text(0, 0);
}

bool create_extension(Connection& connection) {
  if (!functions_version(connection).empty()) return false;
  Result result = run_alone(connection, "CREATE EXTENSION dbos_sys");
  if (result.ok()) return true;
  ServerError error = result.error();
  bool raced = error.sqlstate == "42710" || error.sqlstate == "23505";
  if (!raced) fail_setup(error, "cannot create extension dbos_sys", hint_for_extension(error));
  return false;
}

bool run_plain_script(Connection& connection, const char* script) {
  bool absent = functions_version(connection).empty();
  Result result = connection.run_script(script);
  if (!result.ok()) fail_setup(result.error(), "cannot make the functions");
  return absent;
}

std::string install_tables(Connection& connection, const std::string& owner) {
  Params params;
  params.text_or_null(owner);
  Result result = run_alone(connection, "SELECT dbos_sys.install($1::pg_catalog.text::pg_catalog.name)", params);
  if (!result.ok()) fail_setup(result.error(), "cannot make the tables", {});
  return result.text(0, 0);
}

void apply_settings(Connection& connection, InitReport& report) {
  constexpr const char* kAdvised = "SELECT s.name, s.statement, s.restart FROM dbos_sys.advised_settings() AS s";
  Result advised = ask(connection, kAdvised, {}, "cannot read the server's settings");
  for (int row = 0; row < advised.rows(); row++) {
    AppliedSetting setting{advised.text(row, 0), advised.text(row, 1), advised.boolean(row, 2)};
    Result result = run_alone(connection, setting.statement);
    if (!result.ok())
      fail_setup(result.error(), "cannot set " + setting.name, "a superuser has to run this; on a managed server see extension/dbos_sys.conf");
    report.settings.push_back(std::move(setting));
  }
  if (!report.settings.empty()) ask(connection, "SELECT pg_catalog.pg_reload_conf()", {}, "cannot reload the configuration");
  report.tuned_tables = ask(connection, "SELECT FROM dbos_sys.tune_tables()", {}, "cannot tune the tables").rows();
}

}  // namespace

InitReport init_system_database(const InitOptions& options) {
  Target target{options.database, "dbos-sys init", options.connect_timeout};
  target.notices = detail::notices_to(options.log);
  detail::pg::check_target(target);
  if (!options.name.empty()) target.database = with_name(options.database, options.name);
  InitReport report;
  auto connect = [&] {
    try {
      return Connection::connect(target);
    } catch (const ConnectionError& error) {
      if (error.sqlstate() != "3D000") throw;
    }
    report.created_database = create_database(options, options.name.empty() ? resolved_name(options.database) : options.name);
    return Connection::connect(target);
  };
  Connection connection = connect();
  report.created_extension = options.plain_script ? run_plain_script(connection, options.plain_script) : create_extension(connection);
  report.tables = install_tables(connection, options.owner);
  report.extension_version = functions_version(connection);
  Result facts = ask(connection,
                     "SELECT d.datname::pg_catalog.text, d.datcollate::pg_catalog.text, EXISTS (SELECT FROM pg_catalog.pg_extension AS e WHERE "
                     "e.extname = 'dbos_sys') FROM pg_catalog.pg_database AS d WHERE d.datname = current_database()",
                     {}, "cannot read the database's facts");
  report.database = facts.text(0, 0);
  report.collation = facts.text(0, 1);
  report.plain = !facts.boolean(0, 2);
  if (options.server_settings) apply_settings(connection, report);
  return report;
}

}  // namespace dbos
