// Schedules as the client makes, changes and reads them.
// May include: std, dbos/options.hpp, dbos/records.hpp, store/pg_pool.hpp, codec/object_text.hpp.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dbos/options.hpp"
#include "dbos/records.hpp"
#include "store/pg_pool.hpp"

namespace dbos::detail {

// application: the owner, empty = none.
void apply_schedule(PgPool& pool, const std::string& name, const std::string& workflow, const ScheduleOptions& options,
                    const std::string& application);
void alter_schedule(PgPool& pool, const std::string& name, const ScheduleChange& change, const std::string& application);
void pause_schedule(PgPool& pool, const std::string& name);
void resume_schedule(PgPool& pool, const std::string& name);
void drop_schedule(PgPool& pool, const std::string& name);
std::string trigger_schedule(PgPool& pool, const std::string& name);
BackfillReport backfill_schedule(PgPool& pool, const std::string& name, std::int64_t from, std::int64_t to, int limit);
// application: its schedules and those of none; empty = all.
std::vector<ScheduleInfo> list_schedules(PgPool& pool, const std::string& application);

}  // namespace dbos::detail
