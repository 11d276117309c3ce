#include "store/pg_hub.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <random>

#include "dbos/error.hpp"
#include "pg/params.hpp"
#include "pg/sqlstate.hpp"
#include "store/pg_rows.hpp"
#include "store/pg_session.hpp"

namespace dbos::detail {

namespace {

const std::string kOutcomes = std::string("SELECT ") + kOutcomeColumns + " FROM dbos_sys.outcomes($1) AS o";
constexpr const char* kEvents =
    "SELECT w.id, w.key, e.value FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) AS w(id, key), LATERAL dbos_sys.get_event(w.id, "
    "w.key) AS e";
constexpr const char* kDoneChannel = "dbos_sys";
constexpr const char* kEventChannel = "dbos_workflow_events_channel";
constexpr std::chrono::milliseconds kLongestPause{1000};
constexpr std::size_t kMostAtOnce = 1000;

// What is asked here is answered at once; and the destructor waits for it.
pg::Target impatient(pg::Target target) {
  constexpr std::chrono::milliseconds kLongest{10000};
  if (target.reply_timeout.count() == 0 || target.reply_timeout > kLongest) target.reply_timeout = kLongest;
  return target;
}

}  // namespace

PgHub::PgHub(const pg::Target& target, bool listen)
    : target_(impatient(target)), link_(target_, std::random_device()()), listen_(listen), wake_fd_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  if (wake_fd_ < 0) throw Error("cannot make an eventfd: out of file descriptors?");
}

PgHub::~PgHub() {
  {
    std::lock_guard lock(mu_);
    quit_ = true;
  }
  wake();
  if (thread_.joinable()) thread_.join();
  ::close(wake_fd_);
}

void PgHub::wake() noexcept {
  std::uint64_t one = 1;
  [[maybe_unused]] auto written = ::write(wake_fd_, &one, sizeof one);
}

std::optional<WorkflowOutcome> PgHub::wait_outcome(const std::string& id, bool must_exist, Deadline deadline) {
  Waiter waiter{.id = id, .must_exist = must_exist};
  wait(waiter, deadline);
  return std::move(waiter.outcome);
}

std::optional<std::string> PgHub::wait_event(const std::string& id, const std::string& key, Deadline deadline) {
  Waiter waiter{.id = id, .key = key};
  wait(waiter, deadline);
  return std::move(waiter.event);
}

void PgHub::wait(Waiter& waiter, Deadline deadline) {
  std::unique_lock lock(mu_);
  if (waiters_.empty()) last_up_ = std::chrono::steady_clock::now();
  if (!thread_.joinable()) {
    thread_ = std::thread([this] { loop(); });
  }
  waiters_.push_back(&waiter);
  wake();
  auto done = [&] { return waiter.done; };
  if (deadline) waiter.changed.wait_until(lock, *deadline, done);
  else waiter.changed.wait(lock, done);
  if (!waiter.done) waiters_.remove(&waiter);
  lock.unlock();
  if (waiter.failure) throw_server_error(*waiter.failure, waiter.id);
}

void PgHub::finish(Waiter& waiter) {
  waiters_.remove(&waiter);
  waiter.done = true;
  waiter.changed.notify_one();
}

void PgHub::fail_all(const pg::ServerError& failure) {
  std::lock_guard lock(mu_);
  for (auto* waiter : waiters_) {
    waiter->failure = failure;
    waiter->done = true;
    waiter->changed.notify_one();
  }
  waiters_.clear();
}

// Without waiters the connection stays, so that the next one need not wait for it.
void PgHub::loop() {
  for (;;) {
    {
      std::lock_guard lock(mu_);
      if (quit_) return;
    }
    try {
      auto until = connect() ? next_due() : link_.due();
      if (link_.up() && until <= std::chrono::steady_clock::now()) {
        ask();
        until = next_due();
      }
      wait_for_input(until);
    } catch (const InDoubt&) {
      link_.lose(std::chrono::steady_clock::now());
    } catch (const std::exception& e) {
      fail_all({"XX000", e.what(), {}, {}});
      link_.lose(std::chrono::steady_clock::now());
    }
  }
}

// True when the connection is there. Waiters are told when that takes too long.
bool PgHub::connect() {
  auto now = std::chrono::steady_clock::now();
  if (link_.up() && link_.connection().alive()) return true;
  if (link_.up()) link_.lose(now);
  link_.advance(now);
  bool refused = pg::is_login_error(link_.failure().sqlstate);
  if (link_.state() == Link::State::waiting && (refused || last_up() + kPatience <= now)) {
    auto failure = link_.failure();
    if (!refused) failure.sqlstate.clear();
    fail_all(failure);
  }
  return false;
}

MonotonicTime PgHub::last_up() {
  std::lock_guard lock(mu_);
  return last_up_;
}

MonotonicTime PgHub::next_due() {
  std::lock_guard lock(mu_);
  auto due = MonotonicTime::max();
  for (const auto* waiter : waiters_) due = std::min(due, waiter->due);
  return due;
}

void PgHub::ask() {
  pg::ArrayBuffer ids(pg::kTextArray, pg::kText), event_ids(pg::kTextArray, pg::kText), event_keys(pg::kTextArray, pg::kText);
  bool any_outcome = false, any_event = false;
  {
    std::lock_guard lock(mu_);
    auto now = std::chrono::steady_clock::now();
    std::size_t asked = 0;
    for (auto* waiter : waiters_) {
      if (waiter->due > now) continue;
      if (++asked > kMostAtOnce) break;
      waiter->due = now + waiter->pause;
      waiter->pause = std::min(waiter->pause * 2, kLongestPause);
      (waiter->key.empty() ? any_outcome : any_event) = true;
      if (waiter->key.empty()) ids.add_text(waiter->id);
      else event_ids.add_text(waiter->id), event_keys.add_text(waiter->key);
    }
  }
  auto& connection = link_.connection();
  pg::Params outcome_params, event_params;
  outcome_params.array(ids);
  event_params.array(event_ids).array(event_keys);
  connection.queue(kBegin);
  if (any_outcome) connection.queue(kOutcomes.c_str(), outcome_params);
  if (any_event) connection.queue(kEvents, event_params);
  connection.queue(kCommit);
  auto results = connection.finish_transaction();
  if (const auto* failed = first_error(results)) {
    auto error = failed->error();
    roll_back(connection);
    if (pg::fate_of(error.sqlstate, error.message) == pg::Fate::permanent) fail_all(error);
    return;
  }
  // BEGIN, what was asked, COMMIT.
  if (any_outcome) read_outcomes_of(results[1]);
  if (any_event) read_events_of(results[any_outcome ? 2 : 1]);
}

// Answers those of the waiters that `matches`; with mu_ held.
template <class Matches, class Fill>
void PgHub::answer(Matches&& matches, Fill&& fill) {
  for (auto it = waiters_.begin(); it != waiters_.end();) {
    Waiter& waiter = **it++;
    if (!matches(waiter)) continue;
    fill(waiter);
    finish(waiter);
  }
}

void PgHub::read_outcomes_of(const pg::Result& result) {
  std::vector<WorkflowOutcome> outcomes;
  read_outcomes(result, outcomes);
  std::lock_guard lock(mu_);
  last_up_ = std::chrono::steady_clock::now();
  for (auto& outcome : outcomes) {
    answer([&](const Waiter& w) { return w.key.empty() && w.id == outcome.id && (w.must_exist || !outcome.status.empty()); },
           [&](Waiter& w) { w.outcome = outcome; });
  }
}

void PgHub::read_events_of(const pg::Result& events) {
  std::lock_guard lock(mu_);
  last_up_ = std::chrono::steady_clock::now();
  for (int row = 0; row < events.rows(); ++row) {
    answer([&](const Waiter& w) { return !w.key.empty() && w.id == events.bytes(row, 0) && w.key == events.bytes(row, 1); },
           [&](Waiter& w) { w.event = events.text(row, 2); });
  }
}

void PgHub::all_due() {
  std::lock_guard lock(mu_);
  for (auto* waiter : waiters_) waiter->due = {};
}

void PgHub::notified(const pg::Connection::Notification& notification) {
  std::lock_guard lock(mu_);
  for (auto* waiter : waiters_) {
    bool outcome = waiter->key.empty() && notification.channel == kDoneChannel && notification.payload == "done";
    bool event = !waiter->key.empty() && notification.channel == kEventChannel && notification.payload == waiter->id + "::" + waiter->key;
    if (outcome || event) waiter->due = {};
  }
}

bool PgHub::take_notifications() {
  bool any = false;
  while (auto notification = link_.connection().notification()) {
    notified(*notification);
    any = true;
  }
  return any;
}

// Until something is due, the connection says something, or wake() is called.
void PgHub::wait_for_input(MonotonicTime until) {
  auto left = std::clamp(until - std::chrono::steady_clock::now(), MonotonicTime::duration::zero(), MonotonicTime::duration(std::chrono::hours(1)));
  timespec limit{static_cast<time_t>(left.count() / 1000000000), static_cast<long>(left.count() % 1000000000)};
  // Some may have come together with an answer.
  if (link_.up() && take_notifications()) return;
  bool connected = link_.state() != Link::State::waiting;
  pollfd fds[2] = {{wake_fd_, POLLIN, 0}, {connected ? link_.connection().socket() : -1, link_.up() ? short{POLLIN} : link_.events(), 0}};
  if (::ppoll(fds, 2, &limit, nullptr) <= 0) return;
  if (fds[0].revents != 0) {
    std::uint64_t count;
    [[maybe_unused]] auto got = ::read(wake_fd_, &count, sizeof count);
  }
  if (fds[1].revents == 0) return;
  if (!link_.up()) {
    if (!link_.step(std::chrono::steady_clock::now()) || !link_.up()) return;
    if (listen_) {
      for (const char* listen : {"LISTEN dbos_sys", "LISTEN dbos_workflow_events_channel"}) link_.connection().queue(listen);
      link_.connection().finish_transaction();
    }
    return all_due();
  }
  link_.connection().read();
  take_notifications();
}

}  // namespace dbos::detail
