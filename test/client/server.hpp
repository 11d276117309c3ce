// A private PostgreSQL server (not preloaded in the plain flavour) for the tests of one program: a cluster of scripts/cluster that is destroyed when the program ends.
#pragma once

#include <string>

namespace dbos::testing {

class Server {
 public:
  // options: those of `scripts/cluster start`.
  explicit Server(std::string name, std::string options = {});
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // URI of a database over the Unix socket.
  std::string uri(const std::string& database = "postgres") const;
  // A new, empty database (collation C); its URI.
  std::string create_database(const std::string& name) const;
  // Extension or, with DBOS_SYS_FLAVOUR=plain, the plain script.
  void make_functions(const std::string& uri) const;
  // A new database with functions and tables, copied from one that is made once.
  std::string create_system_database(const std::string& name);

  // One of scripts/cluster's verbs on this cluster; its output. Throws when it fails.
  std::string cluster(const std::string& verb, const std::string& arguments = {}) const;
  // A variable of `scripts/cluster env`.
  std::string variable(const std::string& name) const;

 private:
  std::string name_;
  std::string base_;  // URI up to the database
  bool has_template_ = false;
};

// One statement outside a transaction, through libpq's simple protocol; the first column of the first row, "" for none. Throws std::runtime_error.
std::string query(const std::string& uri, const std::string& sql);
// Until the statement returns "t"; throws after ten seconds.
void await(const std::string& uri, const std::string& condition);

}  // namespace dbos::testing
