#include "store/pg_store.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <random>
#include <vector>

#include "dbos/error.hpp"
#include "pg/sqlstate.hpp"
#include "pg/text.hpp"
#include "store/pg_link.hpp"
#include "store/pg_session.hpp"
#include "store/pg_trip.hpp"

namespace dbos::detail {

namespace {

using Event = pg::Connection::Event;

constexpr const char* kRegister = "SELECT 1 FROM dbos_sys.register_executor($1, $2, $3, $4, $5)";
constexpr const char* kInstall = "SELECT dbos_sys.install()::pg_catalog.text";
constexpr std::array kListen{"LISTEN dbos_sys", "LISTEN dbos_notifications_channel", "LISTEN dbos_workflow_events_channel"};
// Behind a pooler that lends sessions, a session of the incarnation's name comes and goes without meaning anything: there the lease
// decides alone.
constexpr const char* kLentSession = "dbos_sys pooled";
constexpr std::string_view kSelfTest = "dbos_listen_selftest";

class WakeUp {
 public:
  WakeUp() : fd_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    if (fd_ < 0) throw Error("cannot make an eventfd: out of file descriptors?");
  }
  ~WakeUp() { ::close(fd_); }
  WakeUp(const WakeUp&) = delete;
  WakeUp& operator=(const WakeUp&) = delete;
  int fd() const noexcept { return fd_; }
  void signal() const noexcept {
    std::uint64_t one = 1;
    [[maybe_unused]] auto written = ::write(fd_, &one, sizeof one);
  }
  void clear() const noexcept {
    std::uint64_t count;
    [[maybe_unused]] auto got = ::read(fd_, &count, sizeof count);
  }

 private:
  int fd_;
};

struct Lane {
  Link link;
  bool busy = false;
  bool rolling_back = false;
  bool preparing = false;
  bool prepared = false;         // the session knows the statements by name
  MonotonicTime reply_due = {};  // while not idle
  std::shared_ptr<const Trip> trip = {};
  Store::Done done = {};
  std::vector<Part> parts = {};
  TripReply reply = {};

  bool idle() const noexcept { return !busy && !rolling_back && !preparing; }
};

class PgStore final : public Store {
 public:
  explicit PgStore(const PgStoreOptions& options);
  ~PgStore() override { close(); }

  void open(const Identity& identity, bool migrate, Listener listener) override;
  int free_lanes() override;
  void send(std::shared_ptr<const Trip> trip, Done done) override;
  void poll(MonotonicTime until) override;
  void wake() noexcept override { wake_up_.signal(); }
  MonotonicTime now() const override { return std::chrono::steady_clock::now(); }
  void close() noexcept override;

 private:
  struct Watched {
    Link* link;
    Lane* lane;  // nullptr: the listener
  };

  bool is_free(const Lane& lane) const noexcept { return lane.link.up() && lane.idle(); }
  bool answer_refused();
  bool wait(MonotonicTime until);
  MonotonicTime advance_links();
  void linked(const char* what);
  void lost(Link& link, const char* what, const char* reason = nullptr);
  bool handle(Watched watched, short revents);
  bool handle_lane(Lane& lane, short revents);
  bool drain_lane(Lane& lane);
  void take_result(Lane& lane, const pg::Result& result, int statement);
  void answer(Lane& lane);
  void lose_lane(Lane& lane, TripError error, const char* reason = nullptr);
  bool lose_silent_lanes();
  void start_preparing(Lane& lane);
  bool handle_listener(short revents);
  void start_listening();
  void log(LogLevel level, const std::string& text) const noexcept;

  const PgStoreOptions options_;
  pg::Target target_;
  Identity identity_;
  Listener listener_;
  WakeUp wake_up_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  std::optional<Link> listening_;
  TripWriter writer_;
  std::deque<std::pair<Done, TripReply>> refused_;  // answered by the next poll()
  std::vector<pollfd> fds_;
  std::vector<Watched> watched_;
  std::string last_loss_;
};

PgStore::PgStore(const PgStoreOptions& options) : options_(options) {
  if (options.lanes < 1 || options.lanes > 64) throw UsageError("connections is " + std::to_string(options.lanes) + "; it can be 1 to 64");
  if (options.connect_timeout.count() <= 0)
    throw UsageError("connect_timeout is " + std::to_string(options.connect_timeout.count()) + " ms; it has to be positive");
  target_.database = options.database;
  target_.timeout = options.connect_timeout;
  target_.reply_timeout = check_reply_timeout(options.reply_timeout);
}

void PgStore::open(const Identity& identity, bool migrate, Listener listener) {
  identity_ = identity;
  listener_ = std::move(listener);
  target_.session_name = kLentSession;
  auto connection = pg::Connection::connect(target_);
  check_extension(connection, !migrate);
  if (migrate) {
    connection.limit_reply(kInstallTimeout);
    auto outcome = transact(connection, kInstall, {}, "install").text(0, 0);
    connection.limit_reply(target_.reply_timeout);
    if (outcome == "created") log(LogLevel::info, "DBOS tables created");
    if (outcome.starts_with("upgraded")) log(LogLevel::info, "DBOS tables " + outcome);
    if (outcome == "newer") log(LogLevel::warning, "the DBOS tables are newer than this release knows: they are used as they are");
  }
  if (options_.listen && has_own_session(connection)) {
    target_.session_name = "dbos_sys/" + identity.incarnation;
    connection = pg::Connection::connect(target_);
  }
  pg::Params params;
  params.text(identity.application).text(identity.executor).text(identity.incarnation).text(identity.version).int8(identity.lease.count());
  transact(connection, kRegister, params, "register");

  // Opened again under a new incarnation: sessions of the old one end, what is under way there is in doubt.
  close();
  lanes_.clear();
  listening_.reset();
  std::random_device seed;
  for (int i = 0; i < options_.lanes; ++i) lanes_.push_back(std::make_unique<Lane>(Lane{.link = Link(target_, seed())}));
  lanes_.front()->link.adopt(std::move(connection));
  start_preparing(*lanes_.front());
  if (options_.listen) listening_.emplace(target_, seed());
}

int PgStore::free_lanes() {
  return static_cast<int>(std::count_if(lanes_.begin(), lanes_.end(), [this](const auto& lane) { return is_free(*lane); }));
}

void PgStore::send(std::shared_ptr<const Trip> trip, Done done) {
  auto free = std::find_if(lanes_.begin(), lanes_.end(), [this](const auto& lane) { return is_free(*lane); });
  if (free == lanes_.end()) {
    refused_.emplace_back(std::move(done), TripReply{.error = TripError::not_sent, .message = "no connection is free"});
    return;
  }
  Lane& lane = **free;
  switch (writer_.write(lane.link.connection(), *trip, identity_, lane.prepared, lane.parts)) {
    case TripWriter::Queued::refused:
      refused_.emplace_back(std::move(done), TripReply{.error = TripError::permanent, .sqlstate = "22021", .message = writer_.refusal()});
      return;
    case TripWriter::Queued::gone:
      refused_.emplace_back(std::move(done), TripReply{.error = TripError::not_sent, .message = lane.link.connection().failure().message});
      lost(lane.link, "connection");
      return;
    case TripWriter::Queued::sent: break;
  }
  lane.busy = true;
  lane.reply_due = now() + 2 * identity_.lease;
  lane.trip = std::move(trip);
  lane.done = std::move(done);
  lane.reply = {};
}

void PgStore::poll(MonotonicTime until) {
  while (!answer_refused() && !wait(until) && now() < until) {
  }
}

bool PgStore::answer_refused() {
  if (refused_.empty()) return false;
  auto refused = std::exchange(refused_, {});
  for (auto& [done, reply] : refused) done(std::move(reply));
  return true;
}

// Starts what is due; the time of the next thing to start.
MonotonicTime PgStore::advance_links() {
  auto next = MonotonicTime::max();
  auto time = now();
  auto advance = [&](Link& link) {
    if (link.advance(time) && link.state() == Link::State::waiting) lost(link, "connection");
    next = std::min(next, link.due());
  };
  for (auto& lane : lanes_) {
    advance(lane->link);
    if (!lane->idle()) next = std::min(next, lane->reply_due);
  }
  if (listening_) advance(*listening_);
  return next;
}

// One turn. True when something happened that the engine may want to act upon.
bool PgStore::wait(MonotonicTime until) {
  if (lose_silent_lanes()) return true;
  auto timeout = std::max(std::min(until, advance_links()) - now(), MonotonicTime::duration::zero());
  fds_.assign(1, pollfd{wake_up_.fd(), POLLIN, 0});
  watched_.assign(1, {});
  auto watch = [&](Link& link, Lane* lane) {
    if (link.state() == Link::State::waiting) return;
    short events = link.up() ? static_cast<short>(POLLIN | (link.connection().unsent() ? POLLOUT : 0)) : link.events();
    fds_.push_back({link.connection().socket(), events, 0});
    watched_.push_back({&link, lane});
  };
  for (auto& lane : lanes_) watch(lane->link, lane.get());
  if (listening_) watch(*listening_, nullptr);

  auto nanoseconds = std::min(std::chrono::duration_cast<std::chrono::nanoseconds>(timeout), std::chrono::nanoseconds(std::chrono::hours(1))).count();
  timespec limit{static_cast<time_t>(nanoseconds / 1000000000), static_cast<long>(nanoseconds % 1000000000)};
  if (::ppoll(fds_.data(), fds_.size(), &limit, nullptr) <= 0) return false;

  bool happened = fds_[0].revents != 0;
  if (happened) wake_up_.clear();
  for (std::size_t i = 1; i < fds_.size(); ++i) {
    if (fds_[i].revents != 0) happened = handle(watched_[i], fds_[i].revents) || happened;
  }
  return happened;
}

bool PgStore::handle(Watched watched, short revents) {
  Link& link = *watched.link;
  // A callback of this turn may have closed everything.
  if (link.state() == Link::State::waiting) return false;
  if (link.state() == Link::State::connecting) {
    if (!link.step(now())) return false;
    if (!link.up()) {
      lost(link, "connection");
      return false;
    }
    linked(watched.lane ? "connection" : "listening connection");
    if (!watched.lane) start_listening();
    else start_preparing(*watched.lane);
    return watched.lane != nullptr;
  }
  return watched.lane ? handle_lane(*watched.lane, revents) : handle_listener(revents);
}

bool PgStore::handle_lane(Lane& lane, short revents) {
  auto& connection = lane.link.connection();
  if ((revents & POLLOUT) && !connection.flush() && !(revents & POLLIN)) {
    lose_lane(lane, TripError::in_doubt);
    return true;
  }
  if (revents & ~POLLOUT) connection.read();
  if (!lane.idle()) return drain_lane(lane);
  if (connection.alive()) return false;
  lost(lane.link, "connection");
  return false;
}

// Reads results as far as they have come.
bool PgStore::drain_lane(Lane& lane) {
  for (;;) {
    pg::Result result;
    int statement = 0;
    switch (lane.link.connection().next(result, statement)) {
      case Event::nothing: return false;
      case Event::lost: lose_lane(lane, TripError::in_doubt); return true;
      case Event::result: take_result(lane, result, statement); break;
      case Event::synced:
        if (lane.preparing) lane.preparing = false;
        else if (lane.rolling_back) lane.rolling_back = false;
        else answer(lane);
        return true;
    }
  }
}

void PgStore::take_result(Lane& lane, const pg::Result& result, int statement) {
  if (lane.preparing) lane.prepared = lane.prepared && result.ok();
  if (!lane.busy || lane.reply.error != TripError::none || static_cast<std::size_t>(statement) >= lane.parts.size()) return;
  Part part = lane.parts[static_cast<std::size_t>(statement)];
  try {
    if (result.ok()) read_part(part, result, *lane.trip, lane.reply);
    else read_error(part, result.error(), lane.reply);
  } catch (const std::exception& e) {
    lane.reply.error = TripError::permanent;
    lane.reply.message = e.what();
  }
}

// The transaction has ended, well or with an error. After an error the connection is still inside it.
void PgStore::answer(Lane& lane) {
  auto reply = std::exchange(lane.reply, {});
  if (reply.error != TripError::none) {
    reply = TripReply{.error = reply.error,
                      .sqlstate = std::move(reply.sqlstate),
                      .message = std::move(reply.message),
                      .hint = std::move(reply.hint),
                      .ended = reply.ended,
                      .claim_refused = reply.claim_refused};
    // The session lost its statements, or an update of the extension gave them other results: from now on by their text.
    if (lane.prepared && (reply.sqlstate == "26000" || reply.sqlstate == "0A000")) {
      lane.prepared = false;
      reply.error = TripError::transient;
    }
    if (pg::fate_of(reply.sqlstate) == pg::Fate::elsewhere) {
      lost(lane.link, "connection", "the server is read-only");
    } else {
      auto& connection = lane.link.connection();
      lane.rolling_back = connection.queue(kRollback) && connection.sync();
      if (!lane.rolling_back) lost(lane.link, "connection");
    }
  }
  lane.busy = false;
  lane.trip.reset();
  std::exchange(lane.done, {})(std::move(reply));
}

// Something between here and the server swallows what is sent and keeps the connection open. Two leases later this executor has lost
// its runs anyway, unless another connection kept it alive.
bool PgStore::lose_silent_lanes() {
  bool any = false;
  auto time = now();
  for (auto& lane : lanes_) {
    if (lane->idle() || time < lane->reply_due) continue;
    lose_lane(*lane, TripError::in_doubt, "no reply within two leases");
    any = true;
  }
  return any;
}

void PgStore::lose_lane(Lane& lane, TripError error, const char* reason) {
  auto failure = lane.link.connection().failure();
  // The reason that the server gave in the last result, where it gave one.
  TripReply reply{.error = error, .sqlstate = lane.reply.sqlstate, .message = lane.reply.message.empty() ? failure.message : lane.reply.message};
  lost(lane.link, "connection", reason);
  lane.rolling_back = lane.preparing = false;
  if (!std::exchange(lane.busy, false)) return;
  lane.trip.reset();
  lane.reply = {};
  std::exchange(lane.done, {})(std::move(reply));
}

// Most of a small trip is parsing and planning. A session that a pooler lends cannot be told in advance.
void PgStore::start_preparing(Lane& lane) {
  lane.prepared = target_.session_name != kLentSession;
  if (!lane.prepared) return;
  lane.preparing = true;
  lane.reply_due = now() + 2 * identity_.lease;
  if (!TripWriter::prepare(lane.link.connection()) || !lane.link.connection().sync()) lose_lane(lane, TripError::not_sent);
}

void PgStore::start_listening() {
  auto& connection = listening_->connection();
  for (const char* listen : kListen) {
    if (!connection.queue(listen)) return lost(*listening_, "listening connection");
  }
  if (!connection.sync()) lost(*listening_, "listening connection");
}

bool PgStore::handle_listener(short revents) {
  auto& connection = listening_->connection();
  if (revents & POLLOUT) connection.flush();
  connection.read();
  bool happened = false;
  for (;;) {
    pg::Result result;
    int statement = 0;
    auto event = connection.next(result, statement);
    if (event == Event::nothing) break;
    if (event == Event::lost || (event == Event::result && !result.ok())) {
      lost(*listening_, "listening connection");
      return happened;
    }
    if (event == Event::synced) {
      happened = true;
      listener_({});
    }
  }
  while (auto notification = connection.notification()) {
    if (notification->payload == kSelfTest) continue;
    happened = true;
    listener_({std::move(notification->channel), std::move(notification->payload)});
    if (!listening_ || !listening_->up()) break;
  }
  return happened;
}

void PgStore::linked(const char* what) {
  if (!last_loss_.empty()) log(LogLevel::info, std::string(what) + " to the database is back");
  last_loss_.clear();
  for (auto& lane : lanes_) lane->link.hurry(now());
  if (listening_) listening_->hurry(now());
}

// Says a reason once, not with every attempt.
void PgStore::lost(Link& link, const char* what, const char* reason) {
  if (link.state() != Link::State::waiting) link.lose(now());
  const auto& failure = link.failure();
  std::string why = reason ? reason : failure.message;
  if (why == last_loss_) return;
  last_loss_ = why;
  log(pg::is_login_error(failure.sqlstate) ? LogLevel::error : LogLevel::warning,
      std::string("no ") + what + " to the database, trying again: " + why);
}

void PgStore::log(LogLevel level, const std::string& text) const noexcept {
  if (options_.log) options_.log(level, text);
}

void PgStore::close() noexcept {
  for (auto& lane : lanes_) {
    if (lane->busy) {
      lane->busy = false;
      lane->trip.reset();
      std::exchange(lane->done, {})(TripReply{.error = TripError::in_doubt, .message = "the store was closed"});
    }
    lane->rolling_back = lane->preparing = false;
    lane->link.close();
  }
  answer_refused();
  if (listening_) listening_->close();
}

}  // namespace

std::unique_ptr<Store> make_pg_store(const PgStoreOptions& options) { return std::make_unique<PgStore>(options); }

std::unique_ptr<Store> make_pg_store(const RuntimeOptions& options) {
  return make_pg_store(PgStoreOptions{.database = options.database,
                                      .lanes = options.connections,
                                      .listen = options.listen,
                                      .connect_timeout = options.connect_timeout,
                                      .log = options.log,
                                      .reply_timeout = options.reply_timeout});
}

}  // namespace dbos::detail
