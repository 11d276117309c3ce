#include "store/pg_link.hpp"

#include <poll.h>

namespace dbos::detail {

void Link::adopt(pg::Connection connection) {
  connection_.emplace(std::move(connection));
  state_ = State::up;
  backoff_.reset();
}

bool Link::advance(Time now) {
  if (now < due()) return false;
  if (state_ == State::waiting) {
    connection_.emplace(target_, skip_);
    state_ = State::connecting;
    events_ = POLLOUT;
    deadline_ = now + target_.timeout;
    if (connection_->socket() < 0) fail(now, connection_->failure());
  } else {
    // A host that does not answer: the next attempt begins with the one after it.
    ++skip_;
    fail(now, {{}, "no answer from " + connection_->host() + " within " + std::to_string(target_.timeout.count()) + " ms", {}, {}});
  }
  return true;
}

bool Link::step(Time now) {
  switch (connection_->connect_step()) {
    case pg::Connection::Progress::want_read: events_ = POLLIN; return false;
    case pg::Connection::Progress::want_write: events_ = POLLOUT; return false;
    case pg::Connection::Progress::ready:
      state_ = State::up;
      backoff_.reset();
      return true;
    case pg::Connection::Progress::failed: fail(now, connection_->failure()); return true;
  }
  return false;
}

void Link::lose(Time now) { fail(now, connection_->failure()); }

void Link::fail(Time now, pg::ServerError failure) {
  failure_ = std::move(failure);
  connection_.reset();
  state_ = State::waiting;
  retry_at_ = now + backoff_.next();
}

void Link::hurry(Time now) noexcept {
  if (state_ == State::waiting) retry_at_ = now;
}

}  // namespace dbos::detail
