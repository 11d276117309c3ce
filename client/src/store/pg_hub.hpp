// PgHub: one thread and one connection for all callers that wait for something in the database. It listens where the server sends
// notifications and asks with back-off otherwise, one statement for all that is due.
//
// Lock order: mu_ alone; never held while the connection is used. Thread safety: wait_… from any thread.
#pragma once

#include <chrono>
#include <condition_variable>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "pg/connection.hpp"
#include "store/pg_link.hpp"
#include "store/store.hpp"

namespace dbos::detail {

class PgHub {
 public:
  PgHub(const pg::Target& target, bool listen);
  ~PgHub();
  PgHub(const PgHub&) = delete;
  PgHub& operator=(const PgHub&) = delete;

  using Deadline = std::optional<MonotonicTime>;
  // nullopt after the deadline. Throw ConnectionError when the database does not answer for kPatience, or refuses the login.
  // must_exist: an id without a row ends the wait with an outcome of empty status.
  std::optional<WorkflowOutcome> wait_outcome(const std::string& id, bool must_exist, Deadline deadline);
  std::optional<std::string> wait_event(const std::string& id, const std::string& key, Deadline deadline);

  static constexpr std::chrono::seconds kPatience{30};

 private:
  struct Waiter {
    std::string id;
    std::string key = {};  // event; empty: outcome
    bool must_exist = false;
    MonotonicTime due = {};
    std::chrono::milliseconds pause{1};
    bool done = false;
    std::optional<WorkflowOutcome> outcome = {};
    std::optional<std::string> event = {};
    std::optional<pg::ServerError> failure = {};
    std::condition_variable changed = {};
  };

  void wait(Waiter& waiter, Deadline deadline);
  void loop();
  bool connect();
  void ask();
  template <class Matches, class Fill>
  void answer(Matches&& matches, Fill&& fill);
  void read_outcomes_of(const pg::Result& result);
  void read_events_of(const pg::Result& events);
  void finish(Waiter& waiter);  // (mu_)
  void fail_all(const pg::ServerError& failure);
  MonotonicTime last_up();
  MonotonicTime next_due();
  void wait_for_input(MonotonicTime until);
  bool take_notifications();
  void notified(const pg::Connection::Notification& notification);
  void all_due();
  void wake() noexcept;

  const pg::Target target_;  // that link_ refers to
  Link link_;
  const bool listen_;
  int wake_fd_;
  std::mutex mu_;
  MonotonicTime last_up_;       // (mu_) of the last answer, or when the first waiter came
  std::list<Waiter*> waiters_;  // (mu_)
  bool quit_ = false;           // (mu_)
  std::thread thread_;          // (mu_) made with the first waiter
};

}  // namespace dbos::detail
