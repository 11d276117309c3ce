#include "engine/limiter.hpp"

#include <algorithm>

#include "engine/ids.hpp"
#include "engine/run.hpp"

namespace dbos::detail {

namespace {

constexpr std::size_t kAsksPerTrip = 1000;
// Waiting tickets are asked for again so often: the limit may have been dropped and made anew meanwhile. Harmless where they stand.
constexpr std::chrono::seconds kRepetition{10};

}  // namespace

std::string Limiter::ask(const std::shared_ptr<Run>& run, std::string limit, std::string key) {
  auto ticket = uuid_v7();
  fresh_.push_back(ticket);
  tickets_.emplace(ticket, Ticket{.ask = {ticket, std::move(limit), std::move(key)}, .run = run});
  return ticket;
}

std::optional<Limiter::Grant> Limiter::grant(const std::string& ticket) const {
  auto found = tickets_.find(ticket);
  // Forgotten with the incarnation: the run is about to learn that it is lost.
  if (found == tickets_.end()) return std::nullopt;
  if (found->second.state == State::unknown) return Grant{.unknown = true};
  if (found->second.state != State::granted) return std::nullopt;
  return Grant{.start = found->second.start};
}

void Limiter::release(const std::string& ticket) {
  auto found = tickets_.find(ticket);
  if (found == tickets_.end()) return;
  auto& known = found->second;
  if (known.state == State::waiting) --limits_[known.ask.limit].waiting;
  // A ticket without a permit ended with its grant, one that was never sent is nowhere; one under way answers for itself.
  if (known.state == State::waiting || known.permit) releases_.push_back(ticket);
  tickets_.erase(found);
}

void Limiter::hold(const std::string& limit, std::chrono::milliseconds time, MonotonicTime now) {
  // 0 would end what others hold.
  if (time.count() <= 0) return;
  auto& until = limits_[limit].held_until;
  until = std::max(until, now + time);
  keep_longest(limit, time.count());
}

bool Limiter::held(const std::string& limit, MonotonicTime now) const {
  auto found = limits_.find(limit);
  return found != limits_.end() && found->second.held_until > now;
}

MonotonicTime Limiter::due() const {
  if (under_way_) return MonotonicTime::max();
  auto due = MonotonicTime::max();
  if (!fresh_.empty() || !releases_.empty() || !holds_.empty()) due = MonotonicTime{};
  for (const auto& [name, limit] : limits_) {
    if (limit.waiting > 0) due = std::min(due, limit.next);
  }
  if (!tickets_.empty()) due = std::min(due, renewal_);
  return std::max(due, not_before_);
}

LimitRequest Limiter::take(MonotonicTime now) {
  under_way_ = true;
  renewal_ = now + renew_after_;
  if (now >= repetition_) {
    repetition_ = now + kRepetition;
    ask_all_again();
  }
  LimitRequest request{.listens = listens_};
  std::size_t taken = 0;
  for (; taken < fresh_.size() && request.asks.size() < kAsksPerTrip; ++taken) {
    auto found = tickets_.find(fresh_[taken]);
    if (found == tickets_.end() || found->second.state == State::granted) continue;
    if (std::exchange(found->second.state, State::waiting) != State::waiting) ++limits_[found->second.ask.limit].waiting;
    request.asks.push_back(found->second.ask);
  }
  fresh_.erase(fresh_.begin(), fresh_.begin() + static_cast<std::ptrdiff_t>(taken));
  for (auto entry = limits_.begin(); entry != limits_.end();) {
    if (entry->second.waiting > 0) request.waits.push_back(entry->first);
    bool idle = entry->second.waiting <= 0 && entry->second.held_until <= now;
    entry = idle ? limits_.erase(entry) : std::next(entry);
  }
  request.releases = std::exchange(releases_, {});
  request.holds.assign(holds_.begin(), holds_.end());
  holds_.clear();
  return request;
}

std::vector<std::shared_ptr<Run>> Limiter::answered(const std::vector<LimitAnswer>& answers, MonotonicTime now) {
  under_way_ = false;
  std::vector<std::shared_ptr<Run>> runs;
  for (const auto& answer : answers) {
    if (answer.word == LimitWord::ask) {
      if (auto limit = limits_.find(answer.name); limit != limits_.end()) limit->second.next = now + std::chrono::milliseconds(answer.ms);
      continue;
    }
    if (answer.word == LimitWord::unknown) {
      for (auto& [name, ticket] : tickets_) {
        if (ticket.ask.limit != answer.name || ticket.state != State::waiting) continue;
        ticket.state = State::unknown;
        --limits_[answer.name].waiting;
        if (auto run = ticket.run.lock()) runs.push_back(std::move(run));
      }
      continue;
    }
    bool permit = answer.word == LimitWord::permit;
    auto found = tickets_.find(answer.name);
    if (found == tickets_.end()) {
      // Given up meanwhile; perhaps its release did not know of the permit.
      if (permit) releases_.push_back(answer.name);
      continue;
    }
    auto& ticket = found->second;
    if (ticket.state != State::waiting) continue;
    --limits_[ticket.ask.limit].waiting;
    ticket.state = State::granted;
    ticket.permit = permit;
    ticket.start = now + std::chrono::milliseconds(answer.ms);
    if (auto run = ticket.run.lock()) runs.push_back(std::move(run));
  }
  return runs;
}

void Limiter::failed(const LimitRequest& request, MonotonicTime again) {
  under_way_ = false;
  not_before_ = again;
  releases_.insert(releases_.end(), request.releases.begin(), request.releases.end());
  for (const auto& [limit, ms] : request.holds) keep_longest(limit, ms);
  ask_all_again();
}

void Limiter::keep_longest(const std::string& limit, std::int64_t ms) {
  auto& longest = holds_[limit];
  longest = std::max(longest, ms);
}

void Limiter::ask_all_again() {
  fresh_.clear();
  for (const auto& [name, ticket] : tickets_) {
    if (ticket.state == State::fresh || ticket.state == State::waiting) fresh_.push_back(name);
  }
  // In the order in which they were made.
  std::sort(fresh_.begin(), fresh_.end());
}

void Limiter::look_again(MonotonicTime now) {
  for (auto& [name, limit] : limits_) limit.next = std::min(limit.next, now);
}

void Limiter::reset() {
  tickets_.clear();
  limits_.clear();
  fresh_.clear();
  releases_.clear();
  under_way_ = false;
}

}  // namespace dbos::detail
