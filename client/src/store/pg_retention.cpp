// Policies, pruning and deletion over a connection of their own: see dbos/retention.hpp.
#include <string>
#include <utility>
#include <vector>

#include "dbos/error.hpp"
#include "dbos/retention.hpp"
#include "store/pg_session.hpp"
#include "store/pg_setup.hpp"

namespace dbos {

using detail::pg::ArrayBuffer;
using detail::pg::Params;
using detail::pg::Result;

namespace {

constexpr const char* kPolicies =
    "SELECT r.workflow, r.queue, r.application, r.status, (extract(epoch FROM r.keep) * 1000)::pg_catalog.int8, r.keep_rows, "
    "(extract(epoch FROM r.cancel_after) * 1000)::pg_catalog.int8, r.archive FROM dbos_sys.retention() AS r";
constexpr const char* kRetain =
    "SELECT dbos_sys.retain(workflow => $1, queue => $2, application => $3, status => $4, keep => $5::pg_catalog.text::pg_catalog.interval, "
    "keep_rows => $6, cancel_after => $7::pg_catalog.text::pg_catalog.interval, archive => $8, force => $9)";
constexpr const char* kDrop = "SELECT dbos_sys.drop_retention(workflow => $1, queue => $2, application => $3, status => $4)";
constexpr const char* kPreview =
    "SELECT p.workflow, p.queue, p.application, p.status, p.what, p.item_count, p.byte_count, (extract(epoch FROM p.oldest) * "
    "1000)::pg_catalog.int8 FROM dbos_sys.prune(dry_run => true) AS p";

void add_selector(Params& params, const RetentionSelector& selector) {
  for (const std::string* text : {&selector.workflow, &selector.queue, &selector.application, &selector.status}) params.text_or_null(*text);
}

RetentionSelector selector_of(const Result& rows, int row) {
  return {.workflow = rows.text(row, 0), .queue = rows.text(row, 1), .application = rows.text(row, 2), .status = rows.text(row, 3)};
}

std::string span_text(const std::optional<Milliseconds>& span) { return span ? std::to_string(span->count()) + " ms" : ""; }

std::optional<Milliseconds> span_of(const Result& rows, int row, int column) {
  if (rows.is_null(row, column)) return {};
  return Milliseconds(rows.int8(row, column));
}

}  // namespace

struct Retention::Impl : detail::ToolSession {
  using ToolSession::ToolSession;
};

// prune() has an end of its own.
Retention::Retention(const RetentionOptions& options)
    : impl_(std::make_unique<Impl>(options.database, "dbos-sys retention", options.connect_timeout, Milliseconds{0}, options.log)) {}

Retention::~Retention() = default;
Retention::Retention(Retention&&) noexcept = default;
Retention& Retention::operator=(Retention&&) noexcept = default;

std::vector<RetentionPolicy> Retention::policies() {
  Result rows = impl_->call(kPolicies, {}, "retain");
  std::vector<RetentionPolicy> policies;
  for (int row = 0; row < rows.rows(); row++) {
    RetentionPolicy policy{
        .selector = selector_of(rows, row), .keep = span_of(rows, row, 4), .cancel_after = span_of(rows, row, 6), .archive = rows.boolean(row, 7)};
    if (!rows.is_null(row, 5)) policy.keep_rows = rows.int8(row, 5);
    policies.push_back(std::move(policy));
  }
  return policies;
}

void Retention::retain(const RetentionPolicy& policy, bool force) {
  std::string keep = span_text(policy.keep);
  std::string cancel_after = span_text(policy.cancel_after);
  Params params;
  add_selector(params, policy.selector);
  params.text_or_null(keep);
  if (policy.keep_rows) params.int8(*policy.keep_rows);
  else params.null(detail::pg::kInt8);
  params.text_or_null(cancel_after).boolean(policy.archive).boolean(force);
  impl_->call(kRetain, params, "retain");
}

void Retention::drop(const RetentionSelector& selector) {
  Params params;
  add_selector(params, selector);
  impl_->call(kDrop, params, "retain");
}

PruneReport Retention::prune(Milliseconds budget) {
  std::string span = span_text(budget);
  Params params;
  params.text(span);
  // It commits by itself: no transaction around it.
  Result row = detail::run_alone(impl_->connection, "CALL dbos_sys.prune($1::pg_catalog.text::pg_catalog.interval)", params);
  if (!row.ok()) detail::throw_server_error(row.error());
  return {.workflows = row.int8(0, 0), .orphans = row.int8(0, 1), .cancelled = row.int8(0, 2), .bytes = row.int8(0, 3), .note = row.text(0, 4)};
}

std::vector<PrunePreview> Retention::preview() {
  Result rows = impl_->call(kPreview, {}, "prune");
  std::vector<PrunePreview> lines;
  for (int row = 0; row < rows.rows(); row++)
    lines.push_back({.selector = selector_of(rows, row),
                     .what = rows.text(row, 4),
                     .count = rows.int8(row, 5),
                     .bytes = rows.int8(row, 6),
                     .oldest = rows.int8(row, 7)});
  return lines;
}

std::vector<DeletedWorkflow> Retention::remove(const std::vector<std::string>& ids, bool children, bool force) {
  ArrayBuffer texts(detail::pg::kTextArray, detail::pg::kText);
  for (const std::string& id : ids) texts.add_text(id);
  if (texts.fault()) throw UsageError("delete: an id is no UTF-8, or holds NUL", "22021", {}, "dbos-sys list shows ids");
  Params params;
  params.array(texts).boolean(children).boolean(force);
  Result rows = impl_->call("SELECT d.workflow_uuid, d.place FROM dbos_sys.delete($1, $2, $3) AS d", params, "delete");
  std::vector<DeletedWorkflow> places;
  for (int row = 0; row < rows.rows(); row++) places.push_back({.id = rows.text(row, 0), .place = rows.text(row, 1)});
  return places;
}

}  // namespace dbos
