// Engine: its life, and the loop of the I/O thread.
#include "engine/engine.hpp"

#include "dbos/error.hpp"
#include "engine/crashpoint.hpp"
#include "engine/ids.hpp"

namespace dbos::detail {

namespace {

constexpr std::chrono::seconds kHeldInterval{5};
// A third of the lease, but closer than 5 s with all that delays one: heartbeats that go on so prove that the server was up while nobody ticked.
constexpr Milliseconds kBeatInterval{3000};
// Sooner when workflows have ended, by whatever hand: so long after the last time, and longer the more there is to compare.
constexpr std::chrono::milliseconds kHeldPause{200};
constexpr std::chrono::milliseconds kHeldPausePerRun{1};
constexpr std::chrono::seconds kMaintainInterval{1};
// Names that a program makes of its data are no declaration; they end here.
constexpr std::size_t kOutboundSteps = 10000;
// How long stopped code has to end, and then the sign-off.
constexpr std::chrono::seconds kStopGrace{2};
// From so many runs on a flush is worth a transaction of its own beside the claim.
constexpr std::size_t kParcelsBesideClaim = 16;

// Threads that were left behind may come back: what they use is never destroyed.
void keep_for_ever(std::shared_ptr<Engine> engine) {
  static std::mutex mutex;
  static auto* kept = new std::vector<std::shared_ptr<Engine>>;
  std::lock_guard lock(mutex);
  kept->push_back(std::move(engine));
}

// Times that fit into every clock that they are added to.
RuntimeOptions bounded(RuntimeOptions options) {
  for (auto* time : {&options.lease, &options.poll_interval, &options.unload_after, &options.drain_timeout}) *time = std::min(*time, kLongestWait);
  return options;
}

}  // namespace

Engine::Engine(const RuntimeOptions& options, Registry registry, std::unique_ptr<Store> store)
    : options_(bounded(options)),
      registry_(std::move(registry)),
      filter_(registry_.filter()),
      store_(std::move(store)),
      stacks_(options.stack_bytes, options.max_stacks),
      carriers_({.base = options.carriers, .max = options.max_blocking_steps}),
      limiter_(options.listen, options_.lease) {}

Engine::~Engine() { close(options_.drain_timeout); }

void Engine::log(LogLevel level, std::string_view message) const noexcept {
  if (options_.log) options_.log(level, message);
}

void Engine::serve(ServedQueue queue) { queues_.insert_or_assign(queue.name, queue); }

void Engine::open(const Identity& identity, bool migrate) {
  arm_crash_point();
  identity_ = identity;
  auto wall = std::chrono::system_clock::now().time_since_epoch();
  server_offset_ms_ = std::chrono::duration_cast<std::chrono::milliseconds>(wall - now().time_since_epoch()).count();
  store_->open(identity, migrate, [this](const Notification& notification) { notified(notification); });
  std::lock_guard lock(mu_);
  opened_ = true;
  next_beat_ = next_poll_ = next_maintain_ = now();
  last_held_ = now() - kHeldInterval;
  next_held_ = now() + kHeldInterval;
  io_ = std::thread([this] { loop(); });
}

std::int64_t Engine::server_now_ms() const noexcept {
  return std::chrono::duration_cast<std::chrono::milliseconds>(store_->now().time_since_epoch()).count() +
         server_offset_ms_.load(std::memory_order_relaxed);
}

MonotonicTime Engine::from_server_ms(std::int64_t epoch_ms) const noexcept {
  return MonotonicTime(std::chrono::milliseconds(epoch_ms - server_offset_ms_.load(std::memory_order_relaxed)));
}

void Engine::loop() {
  for (;;) {
    {
      std::lock_guard lock(mu_);
      if (quit_) return;
      nudged_ = false;
      fire_timers();
      queue_stale_starts();
      post_ready();
    }
    if (ended_ && now() >= next_rejoin_) rejoin();
    while (store_->free_lanes() > 0 && send_something()) {
    }
    MonotonicTime until;
    {
      std::lock_guard lock(mu_);
      bool lane = store_->free_lanes() > 0;
      if (lane && (nudged_ || !dirty_.empty())) continue;
      io_waits_ = lane;
      // Without a lane nothing that is due can be sent: poll() returns when there is one again.
      until = poll_deadline_ = lane ? next_look() : next_timer();
    }
    store_->poll(until);
    std::lock_guard lock(mu_);
    io_waits_ = false;
    poll_deadline_ = MonotonicTime{};
  }
}

MonotonicTime Engine::next_timer() const {
  auto until = now() + std::chrono::seconds(1);
  return timers_.empty() ? until : std::min(until, timers_.top().when);
}

MonotonicTime Engine::next_look() const {
  auto window = ride_window();
  auto until = std::min({next_timer(), beat_alone_ ? now() : next_beat_ + window, next_poll_, held_hurries_ ? next_held_ : next_held_ + window});
  if (maintain_here_) until = std::min(until, next_maintain_);
  until = std::min(until, limiter_.due());
  if (companions_at_ > now()) until = std::min(until, companions_at_);
  for (const auto& shipment : again_) until = std::min(until, shipment->not_before);
  for (const auto& [name, queue] : queues_) {
    if (queue.retry_at != MonotonicTime{}) until = std::min(until, queue.retry_at);
  }
  return until;
}

// One trip with all that is due; false when nothing is. A claim beside a large flush is a trip of its own: two backends then work for us.
bool Engine::send_something() {
  auto time = now();
  for (auto entry = again_.begin(); entry != again_.end(); ++entry) {
    if ((*entry)->not_before > time) continue;
    auto shipment = *entry;
    again_.erase(entry);
    ship(std::move(shipment));
    return true;
  }
  auto shipment = std::make_shared<Shipment>();
  shipment->trip = std::make_shared<Trip>();
  auto& trip = *shipment->trip;
  bool any = false;
  {
    std::lock_guard lock(mu_);
    if (limiter_.due() <= time) {
      trip.limits = limiter_.take(time);
    } else {
      shipment->parcels = take_parcels();
      take_companions(trip);
      beat(trip);
    }
    any = trip.limits || !shipment->parcels.empty() || !trip.load.empty() || !trip.give_back.empty() || !trip.outcomes.empty() || trip.claim ||
          trip.heartbeat || trip.held || trip.maintain;
  }
  if (!any) return false;
  // The runs of the parcels cannot change what was taken: packing needs no lock.
  if (!shipment->parcels.empty()) pack(*shipment);
  std::shared_ptr<Shipment> claim;
  if (trip.claim && shipment->parcels.size() >= kParcelsBesideClaim && store_->free_lanes() > 1) {
    claim = std::make_shared<Shipment>();
    claim->trip = std::make_shared<Trip>();
    claim->trip->claim = std::exchange(trip.claim, std::nullopt);
  }
  ship(std::move(shipment));
  if (claim) ship(std::move(claim));
  return true;
}

// What is asked for besides: all of it can wait a little when the database has just refused some.
void Engine::take_companions(Trip& trip) {
  auto time = now();
  expire_retries();
  bool poll_due = time >= next_poll_;
  if (poll_due) {
    next_poll_ = time + options_.poll_interval;
    outcomes_due_ = kAllOutcomes;
    expect_work();
    if (!options_.listen) wake_all_watchers();
    post_ready();
  }
  if (time < companions_at_) return;
  trip.load = std::exchange(to_load_, {});
  trip.give_back = std::exchange(to_give_back_, {});
  if (outcomes_due_ > 0) trip.outcomes = awaited_outcomes();
  if (claiming_ || draining_ || registry_.empty()) return;
  ClaimRequest claim;
  if (!claim_capacity(claim.queues)) return;
  claim.token = uuid_v4();
  claim.filter = filter_;
  trip.claim = std::move(claim);
  claiming_ = true;
}

// How long heartbeat and comparison wait for a look for work to ride with, so that an idle process sends one statement at a time.
Milliseconds Engine::ride_window() const { return std::min(identity_.lease / 12, Milliseconds(kHeldInterval) / 4); }

void Engine::declare_outbound(std::string_view step, const std::string& limit) {
  std::lock_guard lock(mu_);
  std::pair<std::string, std::string> key(step, limit);
  if (outbound_.size() >= kOutboundSteps || !outbound_.insert(key).second) return;
  undeclared_.push_back({std::move(key.first), std::move(key.second)});
}

void Engine::beat(Trip& trip) {
  auto time = now();
  auto due = trip.claim ? time : time - ride_window();
  bool held = next_held_ <= (held_hurries_ ? time : due);
  bool beat = beat_alone_ ? !trip.claim : next_beat_ <= due;
  // One costs no more than the other, and so they come to keep the same time.
  if (trip.claim && held && !held_hurries_ && !beat_alone_) beat = true;
  if (beat && next_held_ <= time + kHeldInterval / 2) held = true;
  if (beat) {
    next_beat_ = time + std::min(identity_.lease / 3, kBeatInterval);
    beat_alone_ = false;
    trip.heartbeat = true;
    trip.outbound = std::exchange(undeclared_, {});
  }
  if (held) {
    last_held_ = time;
    next_held_ = time + kHeldInterval;
    held_hurries_ = false;
    trip.held = true;
  }
  if (maintain_here_ && time >= next_maintain_) {
    next_maintain_ = time + kMaintainInterval;
    trip.maintain = true;
  }
}

// Perhaps of those that run here, and their bodies are to be asked to stop.
void Engine::some_ended() {
  outcomes_due_ = kAllOutcomes;
  if (!runs_.empty()) hurry_held(last_held_ + kHeldPause + kHeldPausePerRun * static_cast<std::int64_t>(runs_.size()));
}

void Engine::hurry_held(MonotonicTime when) {
  next_held_ = std::min(next_held_, when);
  held_hurries_ = true;
}

// From poll(), on the I/O thread.
void Engine::notified(const Notification& notification) {
  std::lock_guard lock(mu_);
  const auto& payload = notification.payload;
  if (notification.channel == "dbos_sys") {
    if (payload == "work") expect_work();
    else if (payload == "done") some_ended();
    else if (payload == "limit") limiter_.look_again(now());
  } else if (notification.channel == "dbos_notifications_channel") {
    wake_watchers("m:" + payload);
  } else if (notification.channel == "dbos_workflow_events_channel") {
    wake_watchers("e:" + payload);
  } else if (notification.channel.empty()) {
    expect_work();
    outcomes_due_ = kAllOutcomes;
    limiter_.look_again(now());
    wake_all_watchers();
  }
  post_ready();
}

// This incarnation was declared dead, or replaced: its runs belong to others now. Goes on as a new one.
void Engine::rejoin() {
  ended_ = false;
  log(LogLevel::warning, "executor " + identity_.executor + " was declared dead; its runs are stopped and it joins again");
  {
    std::lock_guard lock(mu_);
    std::vector<std::shared_ptr<Run>> all;
    for (auto& [id, run] : runs_) {
      if (run->started) all.push_back(run);
    }
    for (auto& run : all) lose(*run, std::nullopt);
    limiter_.reset();
    post_ready();
  }
  auto identity = identity_;
  identity.incarnation = uuid_v4();
  try {
    store_->open(identity, false, [this](const Notification& notification) { notified(notification); });
    identity_ = identity;
  } catch (const Error& e) {
    log(LogLevel::error, std::string("joining again failed: ") + e.what());
    ended_ = true;
    next_rejoin_ = now() + identity_.lease / 3;
  }
}

void Engine::close(Milliseconds drain) {
  std::lock_guard closing(closing_);
  {
    std::unique_lock lock(mu_);
    if (!opened_) return;
    draining_ = true;
    idle_.wait_for(lock, std::min(drain, kLongestWait), [&] { return runs_.empty() && enqueues_.empty(); });
    std::vector<std::shared_ptr<Run>> left;
    for (auto& [id, run] : runs_) left.push_back(run);
    for (auto& run : left) stop_run(*run, StopReason::shutdown);
    post_ready();
    nudge();
    idle_.wait_for(lock, kStopGrace, [&] { return runs_.empty(); });
    // Kept as they are: an unfinished fiber is never unwound, and the engine outlives the threads that run its code.
    for (auto& [id, run] : runs_) log(LogLevel::warning, "workflow " + id + " did not stop in time; it is handed back while its code still runs");
    quit_ = true;
    opened_ = false;
  }
  store_->wake();
  if (io_.joinable()) io_.join();
  hand_back_and_leave();
  if (!carriers_.stop_for(kStopGrace)) {
    log(LogLevel::warning, "step bodies still run after the shutdown; their threads are left behind");
    keep_for_ever(shared_from_this());
  }
  std::lock_guard lock(mu_);
  for (auto& [id, wait] : foreign_) wait->changed.notify_all();
  for (auto& [id, run] : runs_) {
    if (run->changed) run->changed->notify_all();
  }
  for (const auto& run : enqueues_) {
    if (run->changed) run->changed->notify_all();
  }
}

// After the I/O thread: what is unfinished goes back to its queue without counting as an attempt.
void Engine::hand_back_and_leave() {
  bool done = false;
  auto until = now() + kStopGrace;
  while (outstanding_ > 0 && now() < until) store_->poll(std::min(until, now() + std::chrono::milliseconds(50)));
  auto shipment = std::make_shared<Shipment>();
  shipment->trip = std::make_shared<Trip>();
  shipment->trip->retire = true;
  shipment->trip->outbound = std::exchange(undeclared_, {});
  bool sent = false;
  while (!done && now() < until) {
    if (!sent && store_->free_lanes() > 0) {
      sent = true;
      store_->send(shipment->trip, [&](TripReply&& reply) {
        done = reply.error == TripError::none;
        sent = done;
      });
    }
    store_->poll(std::min(until, now() + std::chrono::milliseconds(50)));
  }
  if (!done) log(LogLevel::warning, "the executor could not sign off: recovery hands its workflows on when its sessions or lease have ended");
  store_->close();
}

}  // namespace dbos::detail
