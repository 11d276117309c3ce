// The archive over a connection of its own: see dbos/archive.hpp.
#include <string>
#include <utility>
#include <vector>

#include "dbos/archive.hpp"
#include "dbos/error.hpp"
#include "store/pg_session.hpp"

namespace dbos {

using detail::pg::ArrayBuffer;
using detail::pg::Params;
using detail::pg::Result;

namespace {

// A page is read from disk and unpacked, a month is counted: not within the minute that a reply has elsewhere.
constexpr std::chrono::minutes kReplyTimeout{30};

constexpr const char* kPartitions =
    "SELECT a.partition, a.workflows, a.row_count, a.bytes, (extract(epoch FROM a.first_ended) * 1000)::pg_catalog.int8, "
    "(extract(epoch FROM a.last_ended) * 1000)::pg_catalog.int8, a.exports, dbos_sys.exports_of(a.partition, false) FROM dbos_sys.archives() AS a "
    "ORDER BY a.partition";
constexpr const char* kPage = "SELECT e.stamp, e.line, e.workflows, e.row_count FROM dbos_sys.export_archive($1, $2) AS e";

std::vector<std::string> texts_of(const Result& rows, int row, int column) {
  std::vector<std::string> texts;
  auto array = rows.array(row, column);
  for (int i = 0; i < array.count(); i++) texts.emplace_back(array.next().value_or(""));
  return texts;
}

std::vector<std::string> first_column(const Result& rows) {
  std::vector<std::string> texts;
  for (int row = 0; row < rows.rows(); row++) texts.push_back(rows.text(row, 0));
  return texts;
}

ArrayBuffer lines_of(const std::vector<std::string>& lines) {
  ArrayBuffer texts(detail::pg::kTextArray, detail::pg::kText);
  for (const std::string& line : lines) texts.add_text(line);
  if (texts.fault())
    throw Error("the export is not as it was written: a line is no UTF-8, or holds NUL", "WF053", {}, "use another copy of the export");
  return texts;
}

}  // namespace

struct Archive::Impl : detail::ToolSession {
  using ToolSession::ToolSession;
};

Archive::Archive(const ArchiveOptions& options)
    : impl_(std::make_unique<Impl>(options.database, "dbos-sys archive", options.connect_timeout, kReplyTimeout, options.log)) {}

Archive::~Archive() = default;
Archive::Archive(Archive&&) noexcept = default;
Archive& Archive::operator=(Archive&&) noexcept = default;

std::vector<ArchivePartition> Archive::partitions() {
  Result rows = impl_->call(kPartitions, {}, "archive list");
  std::vector<ArchivePartition> partitions;
  for (int row = 0; row < rows.rows(); row++) {
    ArchivePartition partition{.name = rows.text(row, 0),
                               .workflows = rows.int8(row, 1),
                               .rows = rows.int8(row, 2),
                               .bytes = rows.int8(row, 3),
                               .first_ended = rows.int8(row, 4),
                               .last_ended = rows.int8(row, 5)};
    partition.exports = texts_of(rows, row, 6);
    partition.older_exports = texts_of(rows, row, 7);
    partitions.push_back(std::move(partition));
  }
  return partitions;
}

std::string Archive::sum(const std::string& partition) {
  Params params;
  params.text(partition);
  return impl_->call("SELECT dbos_sys.archive_sum($1)", params, "archive export").text(0, 0);
}

std::vector<ArchiveLine> Archive::page(const std::string& partition, const std::string& after) {
  Params params;
  params.text(partition).text_or_null(after);
  Result rows = impl_->call(kPage, params, "archive export");
  std::vector<ArchiveLine> lines;
  for (int row = 0; row < rows.rows(); row++)
    lines.push_back({.stamp = rows.text(row, 0), .text = rows.text(row, 1), .workflows = rows.int4(row, 2), .rows = rows.int4(row, 3)});
  return lines;
}

void Archive::note_export(const std::string& partition, const std::string& place, std::int64_t rows, const std::string& sum) {
  Params params;
  params.text(partition).text(place).int8(rows).text(sum);
  impl_->call("SELECT dbos_sys.note_export($1, $2, $3, $4)", params, "archive export");
}

void Archive::forget_exports(const std::string& partition, const std::string& place, const std::vector<std::string>& left) {
  ArrayBuffer sums(detail::pg::kTextArray, detail::pg::kText);
  for (const std::string& sum : left) sums.add_text(sum);
  Params params;
  params.text(partition).text(place).array(sums);
  impl_->call("SELECT dbos_sys.forget_export($1, $2, $3)", params, "archive export");
}

std::vector<std::string> Archive::exports_at(const std::string& partition, const std::string& place) {
  Params params;
  params.text(partition).text(place);
  Result rows = impl_->call("SELECT e.digest FROM dbos_sys.exports_at($1, $2) AS e(digest)", params, "archive export");
  return first_column(rows);
}

ArchiveImport Archive::import(const std::vector<std::string>& lines) {
  ArrayBuffer texts = lines_of(lines);
  Params params;
  params.array(texts);
  Result rows = impl_->call("SELECT i.workflows, i.present FROM dbos_sys.import_archive($1) AS i", params, "archive import");
  return {.workflows = rows.int8(0, 0), .present = rows.int8(0, 1)};
}

std::vector<std::string> Archive::not_archived(const std::vector<std::string>& lines) {
  ArrayBuffer texts = lines_of(lines);
  Params params;
  params.array(texts);
  Result rows = impl_->call("SELECT n.id FROM dbos_sys.not_archived($1) AS n(id)", params, "archive export");
  return first_column(rows);
}

std::int64_t Archive::drop(const std::string& partition, bool force) {
  Params params;
  params.text(partition).boolean(force);
  return impl_->call("SELECT dbos_sys.drop_archive($1, $2)", params, "archive drop").int8(0, 0);
}

}  // namespace dbos
