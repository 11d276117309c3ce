// Brings the tables that an SDK made to the version of this release while its application works: dbos/admin.hpp. The statements come from
// dbos_sys.migration_plan(); here they are sent, each step recorded, under upstream's migration lock.
#include <algorithm>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "dbos/admin.hpp"
#include "dbos/error.hpp"
#include "store/pg_session.hpp"
#include "store/pg_setup.hpp"

namespace dbos {

namespace {

using detail::ask;
using detail::fail_setup;
using detail::run_alone;
using detail::pg::Connection;
using detail::pg::Params;
using detail::pg::ServerError;

// How long another migration is waited for, as SDKs do; and a table lock, in tries that each hold up the application this long at most.
constexpr std::chrono::seconds kMigrationPatience{30};
constexpr std::chrono::milliseconds kPause{500};
constexpr const char* kLockTimeout = "SET LOCAL lock_timeout = '1s'";
constexpr int kLockTries = 120;

constexpr const char* kResume = "what was done is kept: run dbos-sys migrate again to go on";

struct PlannedStep {
  MigrationStep step;
  std::string run_as;
};

void prepare_session(Connection& connection) {
  // A client that is gone ends its index build: who runs migrate again need not wait for it.
  for (const char* setting :
       {"default_transaction_read_only = off", "lock_timeout = 0", "statement_timeout = 0", "client_connection_check_interval = '2s'"})
    ask(connection, std::string("SET ") + setting, {}, "cannot prepare the session");
}

void lock_migrations(Connection& connection) {
  auto deadline = std::chrono::steady_clock::now() + kMigrationPatience;
  while (!ask(connection, "SELECT pg_catalog.pg_try_advisory_lock(1234567890)", {}, "cannot take the migration lock").boolean(0, 0)) {
    if (std::chrono::steady_clock::now() > deadline) {
      throw Error("another session has been migrating this database for " + std::to_string(kMigrationPatience.count()) + " s", "WF003", {},
                  "look for the advisory lock 1234567890 in pg_locks, and run dbos-sys migrate again when that session has ended");
    }
    std::this_thread::sleep_for(kPause);
  }
}

// Not by a function of dbos_sys: the tables' owner, as whom steps run, may have no right to those yet.
std::int64_t schema_version(Connection& connection) {
  constexpr const char* kVersion = "SELECT pg_catalog.max(m.version)::pg_catalog.int8 FROM dbos.dbos_migrations AS m";
  return ask(connection, kVersion, {}, "cannot read the version of the tables").int8(0, 0);
}

std::vector<PlannedStep> read_plan(Connection& connection, bool force) {
  Params params;
  params.boolean(force);
  auto rows =
      ask(connection, "SELECT p.version::pg_catalog.int8, p.online, p.statements, p.run_as::pg_catalog.text FROM dbos_sys.migration_plan($1) AS p",
          params, "cannot migrate");
  std::vector<PlannedStep> plan;
  for (int row = 0; row < rows.rows(); ++row) {
    PlannedStep planned{{.version = rows.int8(row, 0), .online = rows.boolean(row, 1)}, rows.text(row, 3)};
    auto statements = rows.array(row, 2);
    for (int i = 0; i < statements.count(); ++i) planned.step.statements.emplace_back(statements.next().value_or(""));
    plan.push_back(std::move(planned));
  }
  return plan;
}

std::string record_version(std::int64_t version) {
  std::string number = std::to_string(version);
  return "UPDATE dbos.dbos_migrations SET version = " + number + " WHERE version < " + number;
}

// Nothing that another session holds is waited for longer than the lock timeout.
bool is_busy(const std::string& sqlstate) { return sqlstate == "55P03" || sqlstate == "40P01"; }

// The version first: an SDK that migrates at this moment, without any lock, is waited for there.
ServerError run_transaction(Connection& connection, const MigrationStep& step) {
  bool sent = connection.queue(detail::kBegin) && connection.queue(kLockTimeout) && connection.queue(record_version(step.version).c_str());
  for (const std::string& statement : step.statements) sent = sent && connection.queue(statement.c_str());
  if (!sent || !connection.queue("COMMIT")) throw ConnectionError(connection.failure().message);
  auto results = connection.finish_transaction();
  const auto* failed = detail::first_error(results);
  if (!failed) return {};
  auto error = failed->error();
  detail::roll_back(connection);
  return error;
}

void run_offline(Connection& connection, const MigrationStep& step, const std::string& what) {
  for (int tries = 1;; ++tries) {
    ServerError error = run_transaction(connection, step);
    if (error.sqlstate.empty()) return;
    if (schema_version(connection) >= step.version) return;  // an SDK has just made this step
    if (!is_busy(error.sqlstate) || tries == kLockTries) fail_setup(error, what, kResume);
    std::this_thread::sleep_for(kPause);
  }
}

// Whether an SDK, which need not mind the migration lock, has made the step meanwhile. `from` is the version before all steps: what repairs
// the tables of that version has no number of its own.
bool is_made(Connection& connection, const MigrationStep& step, std::int64_t from) {
  return step.version > from && schema_version(connection) >= step.version;
}

void run_online(Connection& connection, const MigrationStep& step, std::int64_t from, const std::string& what) {
  for (const std::string& statement : step.statements) {
    auto result = run_alone(connection, statement);
    if (result.ok()) continue;
    if (is_made(connection, step, from)) return;
    fail_setup(result.error(), what, kResume);
  }
  ask(connection, record_version(step.version), {}, what);
}

void run_step(Connection& connection, const PlannedStep& planned, std::int64_t from) {
  std::string what = "migration " + std::to_string(planned.step.version) + " failed";
  if (is_made(connection, planned.step, from)) return;
  ask(connection, "SET ROLE " + detail::quoted_identifier(planned.run_as), {}, what);
  if (planned.step.online) run_online(connection, planned.step, from, what);
  else run_offline(connection, planned.step, what);
  ask(connection, "RESET ROLE", {}, what);
}

std::string complete(Connection& connection, bool force) {
  Params params;
  params.boolean(force);
  auto result = detail::transact(connection, "SELECT dbos_sys.install(NULL, $1)", params, "install");
  return result.text(0, 0);
}

}  // namespace

MigrateReport migrate_system_database(const MigrateOptions& options, const std::function<void(const MigrationStep&)>& done) {
  detail::pg::Target target{options.database, "dbos-sys migrate", options.connect_timeout};
  target.notices = detail::notices_to(options.log);
  detail::pg::check_target(target);
  auto connection = Connection::connect(target);
  detail::check_extension(connection, false);
  prepare_session(connection);
  lock_migrations(connection);
  MigrateReport report;
  auto plan = read_plan(connection, options.force);
  report.from = schema_version(connection);
  for (const PlannedStep& planned : plan) {
    try {
      if (!options.dry_run) run_step(connection, planned, report.from);
    } catch (const InDoubt& lost) {
      throw InDoubt(lost.what(), lost.sqlstate(), {}, kResume);
    }
    report.steps.push_back(planned.step);
    if (done) done(planned.step);
  }
  if (!options.dry_run) report.tables = complete(connection, options.force);
  report.to = schema_version(connection);
  return report;
}

}  // namespace dbos
