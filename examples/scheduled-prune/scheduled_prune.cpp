// A schedule that keeps the system database small: each hour a workflow whose one step calls dbos_sys.prune(). The policies that prune() acts on
// are made once, in SQL: SELECT dbos_sys.retain('30 days', application => 'shop'), and '7 days' for workflow 'prune', for its runs are rows too.
// scheduled_prune [URI] [CRON]; ends with SIGTERM.
#include <libpq-fe.h>

#include <csignal>
#include <cstdio>
#include <dbos/dbos.hpp>
#include <memory>

struct Finish {
  void operator()(PGconn* connection) const { PQfinish(connection); }
  void operator()(PGresult* result) const { PQclear(result); }
};

struct Pruned {
  long workflows = 0;
  std::string note;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Pruned, workflows, note)

// On a session of its own and outside a transaction block: prune() commits after each batch. It returns within its budget; the next call goes on,
// and so does this one when it is repeated after a crash. While somebody else prunes it returns at once, and the note says so.
Pruned prune(const std::string& database) {
  std::unique_ptr<PGconn, Finish> session(PQconnectdb(database.c_str()));
  std::unique_ptr<PGresult, Finish> row(PQexec(session.get(), "CALL dbos_sys.prune('10 minutes')"));
  if (PQresultStatus(row.get()) != PGRES_TUPLES_OK) throw std::runtime_error(PQerrorMessage(session.get()));
  auto text = [&](const char* column) { return std::string(PQgetvalue(row.get(), 0, PQfnumber(row.get(), column))); };
  return {std::stol(text("workflows")), text("note")};
}

int main(int argc, char** argv) {
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);  // before launch(), whose threads inherit it

  std::string database = argc > 1 ? argv[1] : "postgresql:///dbos_sys";
  dbos::Runtime app({.application = "shop", .database = database, .version = "shop-1"});
  auto pruning = app.workflow(
      "prune", [&](dbos::Context& ctx, dbos::ScheduledTime, std::nullptr_t) { return ctx.step("prune", [&] { return prune(database); }); });
  app.schedule("prune", {.cron = argc > 2 ? argv[2] : "7 * * * *"}, pruning);
  app.launch();
  std::puts("ready");
  std::fflush(stdout);
  int signal = 0;
  sigwait(&ends, &signal);
}
