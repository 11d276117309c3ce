#include "store/pg_pool.hpp"

#include <random>
#include <thread>

#include "pg/backoff.hpp"
#include "pg/sqlstate.hpp"
#include "store/pg_session.hpp"

namespace dbos::detail {

namespace {

constexpr int kTries = 6;

bool may_pass(const std::string& sqlstate) { return pg::fate_of(sqlstate) != pg::Fate::permanent; }

}  // namespace

PgPool::Lease::~Lease() { pool_.give_back(std::move(connection_)); }

PgPool::Lease PgPool::acquire() {
  {
    std::unique_lock lock(mu_);
    freed_.wait(lock, [this] { return leased_ < kMost; });
    ++leased_;
    while (!idle_.empty()) {
      auto connection = std::move(idle_.back());
      idle_.pop_back();
      if (connection.check_idle()) return {*this, std::move(connection)};
    }
  }
  try {
    return {*this, pg::Connection::connect(target_)};
  } catch (...) {
    std::lock_guard lock(mu_);
    --leased_;
    freed_.notify_one();
    throw;
  }
}

void PgPool::give_back(pg::Connection connection) noexcept {
  std::lock_guard lock(mu_);
  --leased_;
  if (connection.reusable()) idle_.push_back(std::move(connection));
  freed_.notify_one();
}

void PgPool::drop_idle() noexcept {
  std::lock_guard lock(mu_);
  idle_.clear();
}

pg::Result PgPool::run(Repeat repeat, const char* sql, const pg::Params& params, const std::string& what, const std::string& id,
                       std::optional<std::chrono::milliseconds> reply_timeout) {
  pg::Backoff backoff(std::chrono::milliseconds(10), std::chrono::milliseconds(1000), std::random_device()());
  const auto limit = reply_timeout.value_or(target_.reply_timeout);
  const auto begun = std::chrono::steady_clock::now();
  // Silence is not waited for once more.
  auto is_last = [&](int left) { return left == 0 || (limit.count() > 0 && std::chrono::steady_clock::now() - begun >= limit); };
  for (int left = kTries - 1;; --left) {
    try {
      auto connection = acquire();
      (*connection).limit_reply(limit);
      return transact(*connection, sql, params, what, id);
    } catch (const InDoubt& e) {
      if (repeat == Repeat::write) throw InDoubt(e.what(), e.sqlstate(), id, "repeat the call");
      if (is_last(left)) throw ConnectionError(e.what(), e.sqlstate(), id);
    } catch (const Error& e) {
      if (is_last(left) || !may_pass(e.sqlstate())) throw;
      if (pg::fate_of(e.sqlstate()) == pg::Fate::elsewhere) drop_idle();
    }
    std::this_thread::sleep_for(backoff.next());
  }
}

}  // namespace dbos::detail
