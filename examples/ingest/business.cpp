#include "business.hpp"

#include <libpq-fe.h>

#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

namespace ingest {

namespace {

struct Finish {
  void operator()(PGconn* connection) const { PQfinish(connection); }
  void operator()(PGresult* result) const { PQclear(result); }
};
using Connection = std::unique_ptr<PGconn, Finish>;
using Result = std::unique_ptr<PGresult, Finish>;
using Text = std::optional<std::string>;

// A message of libpq ends in a line break.
std::string trimmed(std::string message) {
  while (!message.empty() && message.back() == '\n') message.pop_back();
  return message;
}

// The calling thread's connection, made anew when the last one broke.
Connection& connection(const std::string& database) {
  static thread_local Connection mine;
  static thread_local std::string made_for;
  if (mine && made_for == database && PQstatus(mine.get()) == CONNECTION_OK) return mine;
  mine.reset(PQconnectdb(database.c_str()));
  made_for = database;
  if (PQstatus(mine.get()) != CONNECTION_OK) throw std::runtime_error("business database: " + trimmed(PQerrorMessage(mine.get())));
  return mine;
}

void run(PGconn* connection, const char* sql, const std::vector<Text>& values) {
  std::vector<const char*> pointers;
  for (const Text& value : values) pointers.push_back(value ? value->c_str() : nullptr);
  Result result(PQexecParams(connection, sql, static_cast<int>(values.size()), nullptr, pointers.data(), nullptr, nullptr, 0));
  ExecStatusType status = PQresultStatus(result.get());
  if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) throw std::runtime_error("business database: " + trimmed(PQerrorMessage(connection)));
}

Text number(std::int64_t value, bool known) { return known ? Text(std::to_string(value)) : std::nullopt; }

}  // namespace

Business::Business(std::string database) : database_(std::move(database)) {
  // Two workers may start at once, and IF NOT EXISTS alone lets both try.
  run(connection(database_).get(), R"(
    DO $$
    BEGIN
      PERFORM pg_advisory_xact_lock(hashtext('ingest.results'));
      IF to_regclass('public.ingest_results') IS NULL THEN
        CREATE TABLE public.ingest_results (
          workflow_id text PRIMARY KEY,
          path text NOT NULL,
          sha256 text,
          lines bigint,
          words bigint,
          bytes bigint,
          error text,
          writes integer NOT NULL DEFAULT 1,
          stored_at timestamptz NOT NULL DEFAULT now());
      END IF;
    END $$)",
      {});
}

void Business::store(const std::string& id, const std::string& path, const Digest& digest, const Counts& counts) const {
  run(connection(database_).get(), R"(
    INSERT INTO public.ingest_results AS r (workflow_id, path, sha256, lines, words, bytes, error) VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (workflow_id) DO UPDATE
    SET path = excluded.path, sha256 = excluded.sha256, lines = excluded.lines, words = excluded.words, bytes = excluded.bytes,
        error = excluded.error, writes = r.writes + 1, stored_at = now())",
      {id, path, digest.sha256, number(counts.lines, !counts.error), number(counts.words, !counts.error), number(counts.bytes, !counts.error),
       digest.error ? digest.error : counts.error});
}

}  // namespace ingest
