// A few blocking connections, made on demand, for callers on any thread.
// May include: std, pg/*, store/pg_session.hpp.
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <vector>

#include "pg/connection.hpp"

namespace dbos::detail {

class PgPool {
 public:
  static constexpr int kMost = 4;

  explicit PgPool(pg::Target target) : target_(std::move(target)) {}

  // A connection that is in nobody else's hands; back in the pool when the lease ends, unless it broke.
  class Lease {
   public:
    Lease(PgPool& pool, pg::Connection connection) : pool_(pool), connection_(std::move(connection)) {}
    ~Lease();
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    pg::Connection& operator*() noexcept { return connection_; }

   private:
    PgPool& pool_;
    pg::Connection connection_;
  };

  // Waits for a free place, then takes an idle connection that still lives or makes one. Throws ConnectionError.
  Lease acquire();

  // What may be done after an error: reading is repeated after a lost connection, writing only where nothing can have happened.
  enum class Repeat : char { read, write };
  // One statement as one transaction; repeats what another try may pass, a few times. Throws the leaves of throw_server_error().
  // reply_timeout: instead of the target's.
  pg::Result run(Repeat repeat, const char* sql, const pg::Params& params, const std::string& what, const std::string& id = {},
                 std::optional<std::chrono::milliseconds> reply_timeout = {});

  const pg::Target& target() const noexcept { return target_; }

 private:
  void give_back(pg::Connection connection) noexcept;
  void drop_idle() noexcept;

  const pg::Target target_;
  std::mutex mu_;
  std::condition_variable freed_;
  std::vector<pg::Connection> idle_;
  int leased_ = 0;
};

}  // namespace dbos::detail
