// Queues as the client registers, changes and reads them.
// May include: std, dbos/options.hpp, dbos/records.hpp, store/pg_pool.hpp, codec/object_text.hpp.
#pragma once

#include <string>
#include <vector>

#include "dbos/options.hpp"
#include "dbos/records.hpp"
#include "store/pg_pool.hpp"

namespace dbos::detail {

// application: the owner, empty = none; version as ClientStore::register_queue().
void register_queue(PgPool& pool, const std::string& name, const QueueOptions& options, const std::string& application, const std::string& version);
void alter_queue(PgPool& pool, const std::string& name, const QueueOptions& options, const std::string& application);
void pause_queue(PgPool& pool, const std::string& name, const std::string& application);
void resume_queue(PgPool& pool, const std::string& name, const std::string& application);
void drop_queue(PgPool& pool, const std::string& name, bool force, const std::string& application);
std::vector<QueueInfo> list_queues(PgPool& pool);
std::vector<UnregisteredQueue> list_unregistered_queues(PgPool& pool, const std::string& application);

}  // namespace dbos::detail
