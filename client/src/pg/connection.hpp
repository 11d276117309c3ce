// One connection to PostgreSQL, never blocking by itself: pipelines of statements, unnamed ones unless the caller knows that the session is its
// own, results in binary format.
//
// Folder pg knows libpq and nothing of workflows, tables or SQL functions. May include: std, libpq, dbos/error.hpp.
// Who may include it: store/pg_*.cpp and tests. Nothing of it may appear in a public header.
//
// Settings of the session: only what the start-up packet of every pooler carries (application_name, client_encoding); no `options`,
// no SET, no session lock. A transaction pooler may hand every transaction to another server process.
// Thread safety: none; one thread at a time.
#pragma once

#include <libpq-fe.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dbos/error.hpp"
#include "pg/params.hpp"
#include "pg/result.hpp"

namespace dbos::detail::pg {

using Deadline = std::chrono::steady_clock::time_point;

// What the server says beside results, as NOTICE and WARNING. Called while the connection is read; must not throw.
enum class Severity : char { notice, warning };
using NoticeSink = std::function<void(Severity, const ServerError&)>;

// Where and as whom to connect. database: URI, key=value pairs, service=…, or a name; empty = PG* variables.
struct Target {
  std::string database;
  std::string session_name;  // application_name; the server cuts it at 63 bytes
  std::chrono::milliseconds timeout{5000};
  // await_results() gives up when the server says nothing for so long; 0 = never.
  std::chrono::milliseconds reply_timeout{60000};
  NoticeSink notices = {};
};

// Throws ConnectionError when the string cannot be parsed; its secrets are not in the message.
void check_target(const Target& target);

class Connection {
 public:
  enum class Progress : char { want_read, want_write, ready, failed };
  enum class Event : char {
    nothing,  // more input is needed
    result,
    synced,  // the transaction's end: all results were given
    lost,
  };
  struct Notification {
    std::string channel;
    std::string payload;
  };

  // Begins to connect; `skip` hosts of a list of several are tried last (those that did not answer in time before).
  explicit Connection(const Target& target, int skip = 0);

  // To be called when the socket is as the last call asked for. A connection is in pipeline mode when it becomes ready.
  Progress connect_step();
  // Connects within the timeout for each host. Throws ConnectionError.
  static Connection connect(const Target& target);

  int socket() const noexcept { return PQsocket(conn_.get()); }
  int backend_pid() const noexcept { return PQbackendPID(conn_.get()); }
  bool alive() const noexcept { return PQstatus(conn_.get()) == CONNECTION_OK; }
  // False when an idle connection was closed by the server; reads what has arrived.
  bool check_idle();
  // Between transactions, with nothing under way.
  bool reusable() const noexcept { return alive() && !syncing_ && expected_ == 0 && PQtransactionStatus(conn_.get()) == PQTRANS_IDLE; }

  // Adds a statement, or the end of the transaction, to what is sent by flush(). False: the connection is gone.
  bool queue(const char* sql, const Params& params);
  bool queue(const char* sql);
  // For sessions that no pooler lends: names a statement for the session's life, and adds one so named.
  bool prepare(const char* name, const char* sql);
  bool queue_prepared(const char* name, const Params& params);
  bool sync();
  // False: the connection is gone. unsent() tells whether to wait until the socket takes more.
  bool flush();
  bool unsent() const noexcept { return unsent_; }
  // Reads what the socket has. False: the connection is gone, with all results that next() has not given.
  bool read();
  // statement: index in the transaction since the last sync.
  Event next(Result& result, int& statement);
  std::optional<Notification> notification();

  // Waits for the results of the statements before sync(); one per statement, their errors included. Throws InDoubt when the connection is
  // lost, or when it is silent for the target's reply_timeout: then it is closed.
  std::vector<Result> await_results();
  // Of the results that are awaited from now on; 0 = no limit.
  void limit_reply(std::chrono::milliseconds limit) noexcept { reply_timeout_ = limit; }
  // sync() and await_results().
  std::vector<Result> finish_transaction();

  // A constant text of several statements that brings its own BEGIN and COMMIT. Waits for its end; while nothing else is under way.
  // The result is the last statement's, or the first failure. Throws InDoubt when the connection is lost.
  Result run_script(const char* sql);

  // Why the connection failed: one line, no password. sqlstate where the server gave one.
  ServerError failure() const;
  std::string host() const;

 private:
  bool wait_for_socket(short events, Deadline deadline) const;
  void await_reply();

  struct Finish {
    void operator()(PGconn* conn) const noexcept { PQfinish(conn); }
  };
  std::unique_ptr<const NoticeSink> notices_;  // where conn_ finds it, also after a move; outlives it
  std::unique_ptr<PGconn, Finish> conn_;
  std::string reason_;  // when there is no PGconn to ask
  std::chrono::milliseconds reply_timeout_;
  int expected_ = 0;  // statements sent since the last sync
  int current_ = 0;   // the one whose results come now
  bool syncing_ = false;
  bool unsent_ = false;
};

}  // namespace dbos::detail::pg
