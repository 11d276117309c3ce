// Packer: what runs have to say becomes trips, and replies become what runs learn. On the I/O thread, with mu_ held but for store calls.
// The unit of failure is one run: a trip that the database refuses is halved until the run that it refuses stands alone.
#include <cmath>

#include "codec/object_text.hpp"
#include "codec/portable_error.hpp"
#include "dbos/error.hpp"
#include "engine/crashpoint.hpp"
#include "engine/engine.hpp"
#include "engine/ids.hpp"

namespace dbos::detail {

namespace {

constexpr std::string_view kIncarnationEnded = "WF021";
constexpr std::size_t kRunsPerTrip = 1000;
constexpr std::size_t kBytesPerTrip = 8 * 1024 * 1024;
// A PENDING row that nobody here runs for this long is given back: the reply of its claim was lost.
constexpr std::chrono::seconds kOrphanAge{5};
constexpr std::size_t kLostClaims = 1000;
// Far longer than a claim without a reply can still take to commit.
constexpr std::chrono::seconds kDoubt{60};

std::chrono::milliseconds back_off(int attempt) {
  double base = std::min(10.0 * std::pow(2.0, attempt), 2000.0);
  double jitter = 0.5 + static_cast<double>(random_bits() >> 11) * 0x1.0p-53;
  return std::chrono::milliseconds(static_cast<std::int64_t>(base * jitter));
}

// Asks for something that is asked for again at once when it fails.
bool has_companions(const Trip& trip) { return trip.claim || !trip.load.empty() || !trip.outcomes.empty() || !trip.give_back.empty(); }

// Nothing but runs could have raised the error.
bool flush_alone(const Trip& trip) { return !has_companions(trip) && !trip.heartbeat && !trip.held && !trip.maintain; }

// Schema, function or table missing, rights, I/O: the extension is being replaced, or an operator has to act. Runs wait.
bool is_environment(std::string_view sqlstate) {
  return sqlstate == "3F000" || sqlstate == "42883" || sqlstate == "42P01" || sqlstate == "42501" || sqlstate == "58030";
}

const char* status_text(FinalStatus status) {
  switch (status) {
    case FinalStatus::success: return "SUCCESS";
    case FinalStatus::error: return "ERROR";
    case FinalStatus::dead: return "MAX_RECOVERY_ATTEMPTS_EXCEEDED";
    case FinalStatus::none: break;
  }
  return "";
}

std::string with_parent(const std::string& options, int parent_run, int function_id) {
  std::string members = "\"parent_run\":" + std::to_string(parent_run) + ",\"parent_fid\":" + std::to_string(function_id) + "}";
  return options.empty() ? "{" + members : options.substr(0, options.size() - 1) + "," + members;
}

std::exception_ptr start_failure(const Run& run, const RunReply& reply) {
  if (reply.state == RunState::conflict)
    return std::make_exception_ptr(Conflict("workflow id " + run.id + " belongs to workflow " + reply.value + ", not " + run.name, "WF011", run.id));
  return std::make_exception_ptr(
      Deduplicated("workflow " + run.id + " was deduplicated: workflow " + reply.value + " holds its deduplication id", "WF012", reply.value));
}

}  // namespace

std::vector<Engine::Parcel> Engine::take_parcels() {
  std::vector<Parcel> parcels;
  std::size_t bytes = 0;
  std::size_t taken = 0;
  for (; taken < dirty_.size() && parcels.size() < kRunsPerTrip && bytes < kBytesPerTrip; ++taken) {
    auto run = std::move(dirty_[taken]);
    run->dirty = false;
    if (run->ended || run->in_flight || run->outbox.empty()) continue;
    run->in_flight = true;
    bytes += run->outbox.bytes();
    auto outbox = std::exchange(run->outbox, Outbox{});
    if (outbox.start) expect_work_of(*run);
    for (const auto& child : outbox.children) expect_work_of(*child.run);
    parcels.push_back({std::move(run), std::move(outbox)});
  }
  dirty_.erase(dirty_.begin(), dirty_.begin() + static_cast<std::ptrdiff_t>(taken));
  return parcels;
}

void Engine::pack(Shipment& shipment) {
  auto& flush = shipment.trip->flush.emplace();
  flush.runs.reserve(shipment.parcels.size());
  flush.steps.reserve(shipment.parcels.size());
  shipment.op_owner.clear();
  for (std::size_t index = 0; index < shipment.parcels.size(); ++index) pack_parcel(shipment, index);
}

void Engine::pack_parcel(Shipment& shipment, std::size_t index) {
  auto& [run, outbox, first_run] = shipment.parcels[index];
  auto& flush = *shipment.trip->flush;
  first_run = static_cast<int>(flush.runs.size());
  RunItem item{.id = run->id, .token = run->token, .status = outbox.final, .output = outbox.output, .error = outbox.error};
  if (outbox.final != FinalStatus::none) crash_point(CrashPoint::end_before_send);
  if (outbox.start) {
    crash_point(CrashPoint::start_before_send);
    item.is_new = true;
    item.name = run->name;
    item.inputs = run->inputs;
    item.options = run->start_options;
  }
  flush.runs.push_back(std::move(item));
  for (const auto& step : outbox.steps) flush.steps.emplace_back(step).run = first_run;
  for (const auto& op : outbox.ops) {
    flush.ops.emplace_back(op).run = first_run;
    shipment.op_owner.push_back(static_cast<int>(index));
  }
  for (const auto& [child, function_id] : outbox.children) {
    flush.runs.push_back({.id = child->id,
                          .token = child->token,
                          .is_new = true,
                          .name = child->name,
                          .inputs = child->inputs,
                          .options = with_parent(child->start_options, first_run + 1, function_id)});
  }
}

// Without mu_.
void Engine::ship(std::shared_ptr<Shipment> shipment) {
  shipment->sent = now();
  ++outstanding_;
  auto trip = std::shared_ptr<const Trip>(shipment, shipment->trip.get());
  store_->send(std::move(trip), [this, shipment](TripReply&& reply) {
    --outstanding_;
    std::lock_guard lock(mu_);
    replied(shipment, std::move(reply));
    post_ready();
  });
}

void Engine::replied(const std::shared_ptr<Shipment>& shipment, TripReply&& reply) {
  const Trip& trip = *shipment->trip;
  if (trip.claim) claiming_ = false;
  if (reply.server_now_ms != 0) {
    auto local = std::chrono::duration_cast<std::chrono::milliseconds>(now().time_since_epoch()).count();
    server_offset_ms_.store(reply.server_now_ms - local, std::memory_order_relaxed);
  }
  if (trip.limits) limit_answered(*shipment, reply);
  if (reply.error != TripError::none) return send_again(shipment, reply);
  if (has_companions(trip)) companion_failures_ = 0;
  if (trip.claim) notice_ends(*trip.claim, false);
  apply(*shipment, reply);
  if (trip.claim) notice_ends(*trip.claim, true);
  unknown_queues_.tell(options_.log, reply.unknown_queues);
  if (trip.heartbeat) {
    maintain_here_ = !reply.maintained;
    ended_ = ended_ || reply.ended;
  }
  if (trip.held) compare_held(*shipment, reply);
  if (!trip.load.empty()) {
    for (auto& loaded : reply.loaded) reload(std::move(loaded), shipment->sent);
    for (const auto& key : trip.load) {
      auto entry = runs_.find(key.id);
      if (entry != runs_.end() && entry->second->unloaded && entry->second->token == key.token) lose(*entry->second, std::nullopt);
    }
  }
  for (const auto& outcome : reply.outcomes) resolve(outcome);
  if (trip.claim) {
    std::map<std::string, int> got;
    for (auto& claimed : reply.claimed) {
      crash_point(CrashPoint::claim_after_commit);
      ++got[claimed.queue];
      accept(std::move(claimed), shipment->sent);
    }
    for (const auto& queue : trip.claim->queues) {
      if (queue.limit > 0 && got[queue.queue] >= queue.limit) queues_[queue.queue].due = true;
    }
    learn(*trip.claim, reply);
  }
}

void Engine::limit_answered(const Shipment& shipment, const TripReply& reply) {
  if (reply.error != TripError::none) {
    limiter_.failed(*shipment.trip->limits, now() + back_off(limit_failures_++));
    return;
  }
  limit_failures_ = 0;
  for (const auto& run : limiter_.answered(reply.limits, now())) {
    if (!run->ended) wake_waiting(*run);
  }
}

// What comes back unsent or in doubt goes again, carefully where it may have happened.
void Engine::send_again(const std::shared_ptr<Shipment>& shipment, const TripReply& reply) {
  if (shipment->trip->claim && reply.error != TripError::permanent) expect_work();
  // Also a reply that could not be read is an error here.
  if (shipment->trip->claim && reply.error != TripError::not_sent) doubt_held();
  if (shipment->trip->claim && reply.error == TripError::in_doubt) {
    if (lost_claims_.size() >= kLostClaims) lost_claims_.clear();
    lost_claims_.insert(shipment->trip->claim->token);
    hurry_held(now());
  }
  bool raised = reply.error == TripError::permanent || reply.error == TripError::transient;
  if (raised && has_companions(*shipment->trip)) companions_at_ = now() + back_off(companion_failures_++);
  if (raised && shipment->trip->claim && shipment->trip->heartbeat) beat_alone_ = true;
  for (const auto& key : shipment->trip->load) to_load_.push_back(key);
  for (const auto& key : shipment->trip->give_back) to_give_back_.push_back(key);
  if (!shipment->trip->outcomes.empty()) outcomes_due_ = kAllOutcomes;
  for (const auto& step : shipment->trip->outbound) undeclared_.push_back(step);
  if (reply.error == TripError::permanent && (shipment->parcels.empty() || !flush_alone(*shipment->trip) || is_environment(reply.sqlstate)))
    log(LogLevel::error, "the database refused a request: " + reply.message + " (" + reply.sqlstate + ")");
  if (shipment->parcels.empty()) {
    ended_ = ended_ || reply.sqlstate == kIncarnationEnded;
    return;
  }
  // An ended incarnation is this process's matter, and a refused claim the claim's: neither says anything about the runs.
  if (reply.sqlstate == kIncarnationEnded) ended_ = true;
  // So does what rode along, and a database whose objects or rights are being changed.
  bool blameless = reply.sqlstate == kIncarnationEnded || !flush_alone(*shipment->trip) || is_environment(reply.sqlstate);
  if (reply.error == TripError::permanent && !blameless) {
    if (shipment->parcels.size() > 1) return split(shipment, reply);
    return refuse(shipment->parcels.front(), reply.sqlstate, reply.message);
  }
  auto again = std::make_shared<Shipment>();
  again->trip = std::make_shared<Trip>();
  again->trip->flush = shipment->trip->flush;
  bool doubt = reply.error == TripError::in_doubt || reply.error == TripError::transient;
  bool wait = reply.error == TripError::transient || reply.sqlstate == kIncarnationEnded || is_environment(reply.sqlstate);
  again->trip->flush->careful = shipment->trip->flush->careful || doubt;
  again->parcels = std::move(shipment->parcels);
  again->op_owner = std::move(shipment->op_owner);
  again->attempt = shipment->attempt + 1;
  if (wait) again->not_before = now() + back_off(shipment->attempt);
  again_.push_back(std::move(again));
}

void Engine::split(const std::shared_ptr<Shipment>& shipment, const TripReply& reply) {
  log(LogLevel::debug, "a flush of " + std::to_string(shipment->parcels.size()) + " runs is halved: " + reply.message);
  auto half = shipment->parcels.size() / 2;
  for (int part = 0; part < 2; ++part) {
    auto again = std::make_shared<Shipment>();
    again->trip = std::make_shared<Trip>();
    auto begin = std::make_move_iterator(shipment->parcels.begin() + static_cast<std::ptrdiff_t>(part == 0 ? 0 : half));
    auto end = std::make_move_iterator(part == 0 ? shipment->parcels.begin() + static_cast<std::ptrdiff_t>(half) : shipment->parcels.end());
    again->parcels.assign(begin, end);
    pack(*again);
    again->trip->flush->careful = shipment->trip->flush->careful;
    again_.push_back(std::move(again));
  }
}

// The database will not take what this run has to say.
void Engine::refuse(Parcel& parcel, const std::string& sqlstate, const std::string& message) {
  auto& run = *parcel.run;
  run.in_flight = false;
  doubt_held();  // its row may stay ours when its code is given up
  log(LogLevel::error, "workflow " + run.id + ": the database refused its records: " + message + " (" + sqlstate + ")");
  auto failure = std::make_exception_ptr(Error(message, sqlstate, run.id));
  for (auto& child : parcel.outbox.children) finish(*child.run, std::nullopt, failure, false);
  drop(std::exchange(run.outbox, Outbox{}));
  if (parcel.outbox.start || ++run.refusals > 1) {
    run.failure = failure;
    if (run.code_done || !run.registration || !run.began) return finish(run, std::nullopt, failure, false);
    return stop_run(run, StopReason::lost);
  }
  run.dead_error = encode_error("Refused", message + " (SQLSTATE " + sqlstate + ")");
  if (run.code_done) {
    run.outbox.final = FinalStatus::dead;
    run.outbox.error = run.dead_error;
    return mark_dirty(run);
  }
  stop_run(run, StopReason::dead);
}

void Engine::apply(Shipment& shipment, TripReply& reply) {
  if (shipment.parcels.empty()) return;
  for (std::size_t op = 0; op < shipment.op_owner.size(); ++op) {
    auto& run = *shipment.parcels[static_cast<std::size_t>(shipment.op_owner[op])].run;
    if (op < reply.ops.size()) run.op_reply = std::move(reply.ops[op]);
  }
  for (auto& parcel : shipment.parcels) apply_parcel(parcel, shipment, reply);
}

void Engine::apply_parcel(Parcel& parcel, Shipment& shipment, TripReply& reply) {
  auto& run = *parcel.run;
  auto& answer = reply.runs[static_cast<std::size_t>(parcel.first_run)];
  if (answer.state == RunState::busy) {
    auto again = std::make_shared<Shipment>();
    again->trip = std::make_shared<Trip>();
    again->attempt = shipment.attempt + 1;
    again->not_before = now() + back_off(shipment.attempt);
    again->parcels.push_back(std::move(parcel));
    pack(*again);
    again_.push_back(std::move(again));
    return;
  }
  if (answer.state == RunState::refused) return refuse(parcel, answer.value, answer.detail.empty() ? "refused" : answer.detail);
  run.in_flight = false;
  run.confirmed = shipment.sent;
  for (std::size_t child = 0; child < parcel.outbox.children.size(); ++child) {
    const auto& started = reply.runs[static_cast<std::size_t>(parcel.first_run) + 1 + child];
    // Whoever held the child's keys has gone meanwhile: it goes again with its parent.
    if (answer.state == RunState::done && started.state == RunState::busy) run.outbox.children.push_back(parcel.outbox.children[child]);
    else if (answer.state == RunState::done) apply_child(parcel.outbox.children[child], started, shipment.sent);
    else finish(*parcel.outbox.children[child].run, std::nullopt, nullptr, true);
  }
  if (answer.state == RunState::lost) return lose(run, std::move(answer.outcome));
  if (parcel.outbox.start) {
    crash_point(CrashPoint::start_after_commit);
    apply_start(run, answer);
  }
  if (answer.state != RunState::done) return;
  if (parcel.outbox.final != FinalStatus::none) {
    crash_point(CrashPoint::end_after_commit);
    finish(
        run,
        WorkflowOutcome{run.id, status_text(parcel.outbox.final), std::move(parcel.outbox.output), std::move(parcel.outbox.error), "portable_json"},
        nullptr, false);
    return;
  }
  if (!parcel.outbox.steps.empty()) crash_point(CrashPoint::step_after_commit);
  if (!run.outbox.empty()) mark_dirty(run);
  resume_if_ready(run);
}

void Engine::apply_child(ChildStart& start, const RunReply& reply, MonotonicTime sent) {
  auto& child = *start.run;
  child.in_flight = false;
  child.confirmed = sent;
  apply_start(child, reply);
  if (reply.state == RunState::lost) return finish(child, std::nullopt, nullptr, true);
  resume_if_ready(child);
}

void Engine::apply_start(Run& run, const RunReply& reply) {
  run.start_reply = reply;
  if (reply.state == RunState::conflict || reply.state == RunState::deduplicated) return finish(run, std::nullopt, start_failure(run, reply), false);
  if (reply.state != RunState::done && reply.state != RunState::exists) return;
  run.started = true;
  if (run.changed) run.changed->notify_all();
  if (reply.state == RunState::exists || !run.registration) finish(run, std::nullopt, nullptr, true);
}

void Engine::compare_held(const Shipment& shipment, const TripReply& reply) {
  std::map<std::string, MonotonicTime> orphans;
  std::unordered_map<std::string_view, std::string_view> held;
  for (const auto& key : reply.held) {
    held.emplace(key.id, key.token);
    auto entry = runs_.find(key.id);
    if (entry != runs_.end() && entry->second->token == key.token) continue;
    auto deferred = deferred_.find(key.id);
    if (deferred != deferred_.end() && deferred->second.token == key.token) continue;
    auto since = orphans_.find(key.id + key.token);
    auto first = since == orphans_.end() ? now() : since->second;
    if (now() - first >= kOrphanAge || lost_claims_.contains(key.token)) give_back(key);
    else orphans.emplace(key.id + key.token, first);
  }
  if (!orphans.empty()) doubt_held();
  else if (doubtful_until_ == MonotonicTime::max() && shipment.sent > doubted_at_) doubtful_until_ = now() + kDoubt;
  orphans_ = std::move(orphans);
  // A run that the database does not know as ours is asked about by an ownership check: its reply decides.
  for (auto& [id, run] : runs_) {
    if (!run->started || run->started_at >= shipment.sent || run->in_flight || run->code_done || run->stop != StopReason::none) continue;
    auto entry = held.find(id);
    if (entry != held.end() && entry->second == run->token) continue;
    if (run->unloaded) {
      ask_load(*run);
    } else {
      run->outbox.check = true;
      mark_dirty(*run);
    }
  }
}

}  // namespace dbos::detail
