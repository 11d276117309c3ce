#include "server.hpp"

#include <libpq-fe.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <thread>

namespace dbos::testing {

namespace {

std::string root() {
  const char* root = std::getenv("DBOS_SYS_ROOT");
  return root ? root : DBOS_TEST_ROOT;
}
std::string script() { return "'" + root() + "/scripts/cluster' "; }

std::string run(const std::string& command) {
  std::string output;
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  if (!pipe) throw std::runtime_error("cannot run " + command);
  std::array<char, 4096> buffer;
  for (std::size_t got; (got = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) output.append(buffer.data(), got);
  int status = ::pclose(pipe);
  if (status != 0) throw std::runtime_error(command + " failed: " + output);
  while (!output.empty() && output.back() == '\n') output.pop_back();
  return output;
}

}  // namespace

bool plain() {
  const char* flavour = std::getenv("DBOS_SYS_FLAVOUR");
  return flavour && std::string(flavour) == "plain";
}

Server::Server(std::string name, std::string options) : name_(std::move(name)) {
  if (plain()) options += " --no-preload";
  if (!std::getenv("DBOS_SYS_ROOT")) run(script() + "prepare");
  cluster("start", options + " --owner " + std::to_string(::getpid()));
  base_ = run(script() + "uri " + name_);
}

Server::~Server() {
  try {
    cluster("destroy");
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
  }
}

std::string Server::cluster(const std::string& verb, const std::string& arguments) const {
  return run(script() + verb + " " + name_ + " " + arguments);
}

std::string Server::variable(const std::string& name) const {
  return run("eval \"$(" + script() + "env " + name_ + ")\"; printf '%s' \"$" + name + "\"");
}

std::string Server::uri(const std::string& database) const { return base_ + database; }

std::string Server::create_database(const std::string& name) const {
  query(uri(), "DROP DATABASE IF EXISTS \"" + name + "\" WITH (FORCE)");
  query(uri(), "CREATE DATABASE \"" + name + "\" TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'");
  return uri(name);
}

void Server::make_functions(const std::string& uri) const {
  if (plain()) run("\"" + variable("BINDIR") + "/psql\" -Xq '" + uri + "' -f '" + root() + "/extension/dbos_sys-plain.sql'");
  else query(uri, "CREATE EXTENSION dbos_sys");
}

std::string Server::create_system_database(const std::string& name) {
  std::string source = "dbos_template_" + std::to_string(::getpid());
  if (!has_template_) {
    auto uri = create_database(source);
    make_functions(uri);
    query(uri, "SELECT dbos_sys.install()");
    has_template_ = true;
  }
  query(uri(), "DROP DATABASE IF EXISTS \"" + name + "\" WITH (FORCE)");
  query(uri(), "CREATE DATABASE \"" + name + "\" TEMPLATE \"" + source + "\"");
  return uri(name);
}

std::string query(const std::string& uri, const std::string& sql) {
  std::unique_ptr<PGconn, void (*)(PGconn*)> connection(PQconnectdb(uri.c_str()), PQfinish);
  PQsetNoticeReceiver(
      connection.get(), [](void*, const PGresult*) {}, nullptr);
  std::unique_ptr<PGresult, void (*)(PGresult*)> result(PQexec(connection.get(), sql.c_str()), PQclear);
  auto status = PQresultStatus(result.get());
  if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) throw std::runtime_error(sql + ": " + PQerrorMessage(connection.get()));
  return PQntuples(result.get()) > 0 ? PQgetvalue(result.get(), 0, 0) : "";
}

void await(const std::string& uri, const std::string& condition) {
  auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (query(uri, "SELECT (" + condition + ")") != "t") {
    if (std::chrono::steady_clock::now() > deadline) throw std::runtime_error("in vain awaited: " + condition);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

}  // namespace dbos::testing
