// A Trip as one pipelined transaction, and its results as a TripReply. With pg_client.cpp the only place that names SQL functions.
// May include: std, pg/*, store/*. Thread safety: none; the buffers of a TripWriter are reused from trip to trip.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "pg/connection.hpp"
#include "store/store.hpp"

namespace dbos::detail {

// beat: heartbeat and held in one; claim_and_beat: with a claim too.
enum class Part : char {
  begin,
  setting,
  flush,
  load,
  outcomes,
  heartbeat,
  held,
  beat,
  give_back,
  maintain,
  outbound,
  retire,
  claim,
  claim_and_beat,
  limits,
  commit
};

class TripWriter {
 public:
  enum class Queued : char { sent, refused, gone };

  // Queues the trip's statements and the end of the transaction. An empty identity (a client that only enqueues) goes as NULLs. refused: a text of the trip cannot be sent (see refusal()), nothing was
  // queued; gone: the connection is lost before anything could have been committed.
  // prepared: by the names that prepare() gave on that connection.
  Queued write(pg::Connection& connection, const Trip& trip, const Identity& identity, bool prepared, std::vector<Part>& parts);
  // Queues the names of the statements that most trips have; to be parsed and planned once a session. False: the connection is gone.
  static bool prepare(pg::Connection& connection);
  const std::string& refusal() const noexcept { return refusal_; }

 private:
  bool encode(const Trip& trip);
  void encode_flush(const FlushRequest& flush);
  void encode_claim(const ClaimRequest& claim);
  void encode_limits(const LimitRequest& limits);
  bool check_flush(const FlushRequest& flush);
  bool check_rest();
  bool queue_flush(pg::Connection& connection, const FlushRequest& flush, const Identity& identity);
  bool queue_limits(pg::Connection& connection, const LimitRequest& limits, const Identity& identity);
  bool queue_often(pg::Connection& connection, Part part, const pg::Params& params);
  static void add_beat(pg::Params& params, const Identity& identity);
  bool queue_claim(pg::Connection& connection, bool beat, const std::string& token, const Identity& identity);
  bool queue_part(pg::Connection& connection, Part part, const Trip& trip, const Identity& identity);

  static pg::ArrayBuffer texts() { return {pg::kTextArray, pg::kText}; }
  static pg::ArrayBuffer ints() { return {pg::kInt4Array, pg::kInt4}; }
  static pg::ArrayBuffer longs() { return {pg::kInt8Array, pg::kInt8}; }
  static pg::ArrayBuffer jsons() { return {pg::kJsonbArray, pg::kJsonb}; }

  // In the order of the parameters of dbos_sys.flush().
  struct Runs {
    pg::ArrayBuffer id = texts(), token = texts(), is_new{pg::kBoolArray, pg::kBool}, name = texts(), inputs = texts(), options = jsons(),
                    status = texts(), output = texts(), error = texts();
  } runs_;
  struct Steps {
    pg::ArrayBuffer run = ints(), function_id = ints(), name = texts(), output = texts(), error = texts(), started = longs(), completed = longs();
  } steps_;
  struct Ops {
    pg::ArrayBuffer run = ints(), function_id = ints(), kind = texts(), args = jsons();
  } ops_;
  pg::ArrayBuffer load_ids_ = texts(), load_tokens_ = texts(), outcome_ids_ = texts(), back_ids_ = texts(), back_tokens_ = texts();
  pg::ArrayBuffer tickets_ = texts(), ticket_limits_ = texts(), ticket_keys_ = texts(), waits_ = texts(), releases_ = texts();
  std::string holds_;
  pg::ArrayBuffer outbound_ = texts(), outbound_limits_ = texts();
  pg::ArrayBuffer queues_ = texts(), limits_ = ints(), priorities_ = ints(), times_ = longs(), running_ = ints();
  pg::ArrayBuffer names_ = texts(), classes_ = texts(), attempts_ = ints();
  std::shared_ptr<const ClaimFilter> filter_;  // what names_, classes_ and attempts_ hold
  std::string lease_;
  std::string refusal_;
  bool prepared_ = false;
};

// Adds the result of one statement to the reply.
void read_part(Part part, const pg::Result& result, const Trip& trip, TripReply& reply);
// A failed statement as the reply's error.
void read_error(Part part, const pg::ServerError& error, TripReply& reply);

}  // namespace dbos::detail
