#include "store/pg_schedules.hpp"

#include "codec/object_text.hpp"

namespace dbos::detail {

namespace {

using Repeat = PgPool::Repeat;

constexpr const char* kApply = "SELECT 1 FROM dbos_sys.apply_schedule($1, $2, $3, $4)";
constexpr const char* kAlter = "SELECT 1 FROM dbos_sys.alter_schedule($1, $2)";
constexpr const char* kPause = "SELECT 1 FROM dbos_sys.pause_schedule($1)";
constexpr const char* kResume = "SELECT 1 FROM dbos_sys.resume_schedule($1)";
constexpr const char* kDrop = "SELECT 1 FROM dbos_sys.drop_schedule($1)";
constexpr const char* kTrigger = "SELECT dbos_sys.trigger_schedule($1)";
constexpr const char* kBackfill =
    "SELECT b.runs, b.enqueued, COALESCE((EXTRACT(epoch FROM b.rest_from) OPERATOR(pg_catalog.*) 1000)::pg_catalog.int8, 0) "
    "FROM dbos_sys.backfill_schedule($1, pg_catalog.to_timestamp($2::pg_catalog.float8 OPERATOR(pg_catalog./) 1000), "
    "pg_catalog.to_timestamp($3::pg_catalog.float8 OPERATOR(pg_catalog./) 1000), $4) AS b";
constexpr const char* kSchedules =
    "SELECT s.name, s.workflow, s.class_name, s.cron, s.time_zone, s.status OPERATOR(pg_catalog.=) 'PAUSED', s.queue, s.application_name, "
    "s.automatic_backfill, s.last_fired_at, COALESCE((EXTRACT(epoch FROM s.next_at) OPERATOR(pg_catalog.*) 1000)::pg_catalog.int8, 0), s.obstacle, "
    "COALESCE((EXTRACT(epoch FROM s.backfill_from) OPERATOR(pg_catalog.*) 1000)::pg_catalog.int8, 0) FROM dbos_sys.schedules($1) AS s";

}  // namespace

// A second call of the same changes nothing, so do the others but drop, trigger.
void apply_schedule(PgPool& pool, const std::string& name, const std::string& workflow, const ScheduleOptions& options,
                    const std::string& application) {
  ObjectText settings;
  settings.text("time_zone", options.time_zone);
  if (options.context_json) settings.json("context", *options.context_json);
  settings.boolean("automatic_backfill", options.automatic_backfill);
  if (options.server) settings.boolean("server", *options.server);
  if (options.typescript) settings.text("format", *options.typescript ? "typescript" : "portable");
  if (!options.queue.empty()) settings.text("queue", options.queue);
  if (!options.class_name.empty()) settings.text("class_name", options.class_name);
  if (!application.empty()) settings.text("application_name", application);
  auto text = settings.str();
  pool.run(Repeat::read, kApply, pg::Params().text(name).text(workflow).text(options.cron).jsonb(text), "apply_schedule");
}

void alter_schedule(PgPool& pool, const std::string& name, const ScheduleChange& change, const std::string& application) {
  ObjectText settings;
  if (change.cron) settings.text("cron", *change.cron);
  if (change.time_zone) settings.text("time_zone", *change.time_zone);
  if (change.queue && change.queue->empty()) settings.json("queue", "null");
  else if (change.queue) settings.text("queue", *change.queue);
  if (change.context_json) settings.json("context", *change.context_json);
  if (change.automatic_backfill) settings.boolean("automatic_backfill", *change.automatic_backfill);
  if (change.server) settings.boolean("server", *change.server);
  if (!application.empty()) settings.text("application_name", application);
  auto text = settings.str_or_empty_object();
  pool.run(Repeat::read, kAlter, pg::Params().text(name).jsonb(text), "alter_schedule");
}

void pause_schedule(PgPool& pool, const std::string& name) { pool.run(Repeat::read, kPause, pg::Params().text(name), "pause_schedule"); }

void resume_schedule(PgPool& pool, const std::string& name) { pool.run(Repeat::read, kResume, pg::Params().text(name), "resume_schedule"); }

void drop_schedule(PgPool& pool, const std::string& name) { pool.run(Repeat::write, kDrop, pg::Params().text(name), "drop_schedule"); }

std::string trigger_schedule(PgPool& pool, const std::string& name) {
  return pool.run(Repeat::write, kTrigger, pg::Params().text(name), "trigger_schedule").text(0, 0);
}

BackfillReport backfill_schedule(PgPool& pool, const std::string& name, std::int64_t from, std::int64_t to, int limit) {
  auto row = pool.run(Repeat::read, kBackfill, pg::Params().text(name).int8(from).int8(to).int4(limit), "backfill_schedule");
  return {.runs = row.int4(0, 0), .enqueued = row.int4(0, 1), .rest_from = row.int8(0, 2)};
}

std::vector<ScheduleInfo> list_schedules(PgPool& pool, const std::string& application) {
  auto rows = pool.run(Repeat::read, kSchedules, pg::Params().text_or_null(application), "schedules");
  std::vector<ScheduleInfo> schedules;
  for (int row = 0; row < rows.rows(); ++row)
    schedules.push_back({.name = rows.text(row, 0),
                         .workflow = rows.text(row, 1),
                         .class_name = rows.text(row, 2),
                         .cron = rows.text(row, 3),
                         .time_zone = rows.text(row, 4),
                         .paused = rows.boolean(row, 5),
                         .queue = rows.text(row, 6),
                         .application = rows.text(row, 7),
                         .automatic_backfill = rows.boolean(row, 8),
                         .last_fired_at = rows.text(row, 9),
                         .next_at = rows.int8(row, 10),
                         .obstacle = rows.text(row, 11),
                         .backfill_from = rows.int8(row, 12)});
  return schedules;
}

}  // namespace dbos::detail
