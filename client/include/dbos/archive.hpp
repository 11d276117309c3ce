// The archive of ended workflows, month by month: out into lines of JSON, and back. For tools that keep it elsewhere; dbos-sys writes files.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "dbos/options.hpp"

namespace dbos {

struct ArchiveOptions {
  // Where: anything libpq takes, as ClientOptions::database.
  std::string database = {};
  Milliseconds connect_timeout{5000};
  // What the server says by NOTICE (info) and WARNING.
  LogSink log = {};
};

// A month of ended workflows.
struct ArchivePartition {
  std::string name;
  std::int64_t workflows = 0;
  std::int64_t rows = 0;
  // What it takes in the database.
  std::int64_t bytes = 0;
  // When its first and last workflow ended; epoch ms, 0 when it is empty.
  std::int64_t first_ended = 0;
  std::int64_t last_ended = 0;
  // Places that hold an export of just what is in it now, and those that hold one of an earlier state only: not enough for drop().
  std::vector<std::string> exports = {};
  std::vector<std::string> older_exports = {};
};

// A chunk of workflows, or the names of the columns that chunks behind it have.
struct ArchiveLine {
  // Which chunk, and its digest; empty for columns.
  std::string stamp;
  // JSON without a line feed.
  std::string text;
  std::int64_t workflows = 0;
  std::int64_t rows = 0;
};

struct ArchiveImport {
  // Workflows that were put into the archive, and those that were left as they are: in the tables or in the archive.
  std::int64_t workflows = 0;
  std::int64_t present = 0;
};

// One connection, made by the constructor. Throws ConnectionError, InDoubt (repeat the call), Error (WF053: what was archived or exported has been
// altered; WF055: no such partition, or it changed). Thread safety: one thread at a time.
class Archive {
 public:
  explicit Archive(const ArchiveOptions& options);
  ~Archive();
  Archive(Archive&&) noexcept;
  Archive& operator=(Archive&&) noexcept;

  std::vector<ArchivePartition> partitions();
  // SHA-256 over the stamps of all its chunks, with line feeds between them: another one as soon as anything comes in or goes.
  std::string sum(const std::string& partition);
  // The chunks behind the one with this stamp, about 4 MB of them; none: it is over.
  std::vector<ArchiveLine> page(const std::string& partition, const std::string& after);
  // Notes that a place holds what sum() stands for, has been written there to stay and was read back.
  void note_export(const std::string& partition, const std::string& place, std::int64_t rows, const std::string& sum);
  // The sums of the exports of a partition that were noted for a place by this database. Others there are another's, and may be its only copy.
  std::vector<std::string> exports_at(const std::string& partition, const std::string& place);
  // Says that of the exports of a partition which were noted for a place those with these sums are left there: the database forgets whose workflows the
  // others had.
  void forget_exports(const std::string& partition, const std::string& place, const std::vector<std::string>& left);
  // Lines as page() gave them: with those that name the columns, and with all of a chunk's parts. Repeating it changes nothing.
  ArchiveImport import(const std::vector<std::string>& lines);
  // The ids of those workflows in lines as page() gave them, with those that name the columns, that the archive has not now: in whatever chunk or month
  // they are. The same id created at another time is another workflow. Of a chunk in parts only the first is looked at.
  std::vector<std::string> not_archived(const std::vector<std::string>& lines);
  // How many workflows were in it. Refused (WF055) unless a noted export holds exactly what is in it, or force. Whether its
  // files are still there and whole is for the caller to see.
  std::int64_t drop(const std::string& partition, bool force = false);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dbos
