// A connection that is re-made whenever it is lost, with growing and jittered pauses. Driven by the poll loop of its owner.
// May include: std, pg/*. Thread safety: none.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "pg/backoff.hpp"
#include "pg/connection.hpp"

namespace dbos::detail {

class Link {
 public:
  using Time = std::chrono::steady_clock::time_point;
  enum class State : char { waiting, connecting, up };

  Link(const pg::Target& target, std::uint64_t seed) : target_(target), backoff_(kFirstPause, kLongestPause, seed) {}

  State state() const noexcept { return state_; }
  bool up() const noexcept { return state_ == State::up; }
  pg::Connection& connection() noexcept { return *connection_; }

  // Takes a connection that is ready.
  void adopt(pg::Connection connection);
  // Begins to connect when it is time; gives up an attempt that takes too long. True: the state changed.
  bool advance(Time now);
  // The socket is ready for what events() asked: goes on connecting. True: up or failed.
  bool step(Time now);
  // Drops the connection; the next attempt after a pause.
  void lose(Time now);
  // Another connection of the same target was made: no need to wait longer.
  void hurry(Time now) noexcept;
  void close() noexcept { connection_.reset(), state_ = State::waiting, retry_at_ = Time::max(); }

  // poll()'s events while connecting.
  short events() const noexcept { return events_; }
  // When advance() has something to do.
  Time due() const noexcept { return state_ == State::waiting ? retry_at_ : state_ == State::connecting ? deadline_ : Time::max(); }
  // Why the last attempt or connection failed.
  const pg::ServerError& failure() const noexcept { return failure_; }

  static constexpr std::chrono::milliseconds kFirstPause{100};
  static constexpr std::chrono::milliseconds kLongestPause{10000};

 private:
  void fail(Time now, pg::ServerError failure);

  const pg::Target& target_;
  pg::Backoff backoff_;
  std::optional<pg::Connection> connection_;
  State state_ = State::waiting;
  Time retry_at_{};
  Time deadline_{};
  short events_ = 0;
  int skip_ = 0;
  pg::ServerError failure_;
};

}  // namespace dbos::detail
