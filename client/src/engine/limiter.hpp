// Limiter: what runs of this process have with limits that all processes share: tickets that wait, permits that are held.
//
// A ticket is fresh (not asked for yet) → waiting → granted, and gone when it is released. The database decides who may begin and when;
// here tickets of many runs become one request at a time. Guarded by Engine::mu_.
// May include: store/store.hpp. Must not know: fibers, SQL.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "store/store.hpp"

namespace dbos::detail {

class Run;

class Limiter {
 public:
  struct Grant {
    bool unknown = false;  // there is no such limit
    MonotonicTime start{};
  };

  Limiter(bool listens, std::chrono::milliseconds lease) : listens_(listens), renew_after_(lease / 3) {}

  // ---- runs
  // A new ticket of the run.
  std::string ask(const std::shared_ptr<Run>& run, std::string limit, std::string key);
  // Its answer; nullopt while it waits.
  std::optional<Grant> grant(const std::string& ticket) const;
  // Gives up the permit or the place in the queue; "" and unknown tickets are passed over.
  void release(const std::string& ticket);
  // Nobody begins for so long (nothing: no change), here at once, elsewhere as soon as the database knows.
  void hold(const std::string& limit, std::chrono::milliseconds time, MonotonicTime now);
  bool held(const std::string& limit, MonotonicTime now) const;

  // ---- the I/O thread
  // When a request is due; max() while there is nothing to ask or one is under way.
  MonotonicTime due() const;
  LimitRequest take(MonotonicTime now);
  // Returns the runs that have an answer now.
  std::vector<std::shared_ptr<Run>> answered(const std::vector<LimitAnswer>& answers, MonotonicTime now);
  // The request failed, or its outcome is unknown: asked for again from `again` on.
  void failed(const LimitRequest& request, MonotonicTime again);
  // A permit may have come free.
  void look_again(MonotonicTime now);
  // Under a new incarnation nothing of the old one's stands.
  void reset();

 private:
  enum class State : char { fresh, waiting, granted, unknown };
  struct Ticket {
    LimitAsk ask;
    std::weak_ptr<Run> run;
    State state = State::fresh;
    bool permit = false;
    MonotonicTime start{};
  };
  struct Limit {
    int waiting = 0;  // tickets that were asked for
    MonotonicTime next{};
    MonotonicTime held_until{};
  };

  void ask_all_again();
  void keep_longest(const std::string& limit, std::int64_t ms);

  const bool listens_;
  const std::chrono::milliseconds renew_after_;
  std::unordered_map<std::string, Ticket> tickets_;
  std::map<std::string, Limit> limits_;
  std::vector<std::string> fresh_;  // tickets to be asked for, or once more
  std::vector<std::string> releases_;
  std::map<std::string, std::int64_t> holds_;  // in ms; the longest of those that are not sent yet
  bool under_way_ = false;
  MonotonicTime not_before_{};
  MonotonicTime renewal_{};
  MonotonicTime repetition_{};
};

}  // namespace dbos::detail
