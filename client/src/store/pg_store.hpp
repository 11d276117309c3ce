// PgStore: the Store on PostgreSQL. N lanes carry one trip each at a time; one more connection listens for notifications.
//
// Folder store: interface (store.hpp, client_store.hpp) and its PostgreSQL side (pg_*). May include: std, pg/*, dbos/error.hpp,
// dbos/options.hpp, dbos/records.hpp. Must not know: fibers, runs, JSON values. Who may include pg_store.hpp: the api, to make the engine's
// store, and tests; the engine sees store.hpp only.
//
// A lane: down → connecting → idle ⇄ busy; after a failed transaction it is rolled back before it is idle again. A lost connection answers
// its trip in_doubt as soon as the COMMIT was handed to the kernel, not_sent before. All lanes are re-made with back-off and jitter; the
// executor's identity stays: whether its incarnation still stands is the heartbeat's to tell.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "dbos/options.hpp"
#include "store/store.hpp"

namespace dbos::detail {

struct PgStoreOptions {
  std::string database = {};
  int lanes = 2;
  bool listen = true;
  Milliseconds connect_timeout{5000};
  LogSink log = {};
  Milliseconds reply_timeout{60000};  // of open()
};

std::unique_ptr<Store> make_pg_store(const PgStoreOptions& options);
std::unique_ptr<Store> make_pg_store(const RuntimeOptions& options);

}  // namespace dbos::detail
