// How long ended workflows stay, and their end. For tools; the database prunes by itself where a worker, pg_cron or a client maintains it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dbos/options.hpp"

namespace dbos {

struct RetentionOptions {
  // Where: anything libpq takes, as ClientOptions::database; a direct connection where one has the choice.
  std::string database = {};
  Milliseconds connect_timeout{5000};
  // What the server says by NOTICE (info) and WARNING.
  LogSink log = {};
};

// Which workflows a policy governs; empty = any. The most specific governs.
struct RetentionSelector {
  // A name, or a pattern in which * stands for any text.
  std::string workflow = {};
  std::string queue = {};
  std::string application = {};
  std::string status = {};
};

// Without keep and keep_rows they stay for ever.
struct RetentionPolicy {
  RetentionSelector selector = {};
  std::optional<Milliseconds> keep = {};
  std::optional<std::int64_t> keep_rows = {};
  // What was created so long ago and has not ended is cancelled.
  std::optional<Milliseconds> cancel_after = {};
  // Into the archive instead of away.
  bool archive = false;
};

struct PruneReport {
  std::int64_t workflows = 0;
  std::int64_t orphans = 0;
  std::int64_t cancelled = 0;
  std::int64_t bytes = 0;
  // `done`, or why it ended before.
  std::string note;
};

// What a policy would do now.
struct PrunePreview {
  RetentionSelector selector = {};
  std::string what;
  std::int64_t count = 0;
  std::int64_t bytes = 0;
  // When the oldest of them ended; epoch ms, 0 when that is not known.
  std::int64_t oldest = 0;
};

struct DeletedWorkflow {
  std::string id;
  // `tables`, `archive`, or the export that still holds it.
  std::string place;
};

// One connection, made by the constructor. Throws UsageError, ConnectionError, InDoubt, NotFound, Error (with SQLSTATE and hint).
// Thread safety: one thread at a time.
class Retention {
 public:
  explicit Retention(const RetentionOptions& options);
  ~Retention();
  Retention(Retention&&) noexcept;
  Retention& operator=(Retention&&) noexcept;

  // The most specific first.
  std::vector<RetentionPolicy> policies();
  // Sets the policy of this selector. Refused unless force: one for everything, keep or cancel_after below a minute, keep_rows 0.
  void retain(const RetentionPolicy& policy, bool force = false);
  void drop(const RetentionSelector& selector);
  // In batches that commit, for at most so long. One runs at a time, whoever it is; another's note says so.
  PruneReport prune(Milliseconds budget = std::chrono::hours(1));
  std::vector<PrunePreview> preview();
  // From the tables and from the archive; where each was. One that has not ended throws Conflict unless force, which cancels it before.
  std::vector<DeletedWorkflow> remove(const std::vector<std::string>& ids, bool children = false, bool force = false);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dbos
