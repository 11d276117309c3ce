#include "store/pg_trip.hpp"

#include <algorithm>
#include <stdexcept>

#include "codec/object_text.hpp"
#include "pg/sqlstate.hpp"
#include "store/pg_rows.hpp"
#include "store/pg_session.hpp"

namespace dbos::detail {

namespace {

const std::string kFlush =
    std::string("SELECT ") + kFlushColumns +
    " FROM dbos_sys.flush($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, "
    "$23, $24, $25) AS f";
const std::string kClaim =
    std::string("SELECT ") + kClaimColumns + kClaimOnlyColumns + " FROM dbos_sys.claim($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) AS c";
const std::string kClaimAndBeat = std::string("SELECT ") + kClaimColumns + kClaimOnlyColumns + ", " + kBeatColumns +
                                  " FROM dbos_sys.beat($1, $2, $3, $4, $5) AS b "
                                  "LEFT JOIN dbos_sys.claim($1, $2, $3, $4, $6, $7, $8, $9, $10, $11, $12, $13, $14) AS c ON true";
const std::string kLoad = std::string("SELECT ") + kClaimColumns + " FROM dbos_sys.load($1, $2) AS c";
const std::string kOutcomes = std::string("SELECT ") + kOutcomeColumns + " FROM dbos_sys.outcomes($1) AS o";
constexpr const char* kHeartbeat = "SELECT h.state, h.now_ms, h.maintained FROM dbos_sys.heartbeat($1, $2::pg_catalog.interval, $3, $4, $5) AS h";
const std::string kBeat = std::string("SELECT ") + kBeatColumns + " FROM dbos_sys.beat($1, $2, $3, $4, $5) AS b";
constexpr const char* kHeld = "SELECT h.id, h.token FROM dbos_sys.held($1, $2, $3) AS h";
constexpr const char* kGiveBack = "SELECT dbos_sys.give_back($1, $2)";
constexpr const char* kMaintain = "SELECT 1 FROM dbos_sys.maintain()";
constexpr const char* kLimits = "SELECT l.kind, l.name, l.wait_ms FROM dbos_sys.limit_trip($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) AS l";
constexpr const char* kOutbound = "SELECT dbos_sys.declare_steps($1, $2)";
constexpr const char* kRetire = "SELECT dbos_sys.retire_executor($1, $2, $3)";
// A run whose key another transaction holds waits so long for it at most; then the flush is sent again.
constexpr const char* kLockTimeout = "SET LOCAL lock_timeout = '5s'";
constexpr const char* kAsynchronous = "SET LOCAL synchronous_commit = off";

struct Often {
  Part part;
  const char* name;
  const std::string& sql;
};
const std::array<Often, 3> kOften{{{Part::flush, "dbos_sys.flush", kFlush},
                                   {Part::claim, "dbos_sys.claim", kClaim},
                                   {Part::claim_and_beat, "dbos_sys.claim_and_beat", kClaimAndBeat}}};

const char* status_text(FinalStatus status) {
  switch (status) {
    case FinalStatus::success: return "SUCCESS";
    case FinalStatus::error: return "ERROR";
    case FinalStatus::dead: return "MAX_RECOVERY_ATTEMPTS_EXCEEDED";
    case FinalStatus::none: break;
  }
  return nullptr;
}

void add(pg::ArrayBuffer& array, const std::optional<std::string>& text) {
  if (text) array.add_text(*text);
  else array.add_null();
}

// What may be forgotten by a crash of the server without harm.
bool forgettable(const Trip& trip) {
  return !trip.flush && trip.give_back.empty() && !trip.maintain && !trip.retire && !trip.claim && !trip.limits && trip.outbound.empty() &&
         trip.heartbeat;
}

// Whether keys of other transactions can be met. Steps and completions alone stand under the lock of their run's row.
bool may_wait(const FlushRequest& flush) {
  return flush.careful || !flush.ops.empty() || std::any_of(flush.runs.begin(), flush.runs.end(), [](const RunItem& run) { return run.is_new; });
}

std::vector<Part> parts_of(const Trip& trip) {
  std::vector<Part> parts{Part::begin};
  parts.reserve(12);
  if ((trip.flush && may_wait(*trip.flush)) || trip.limits || forgettable(trip)) parts.push_back(Part::setting);
  if (trip.flush) parts.push_back(Part::flush);
  if (!trip.load.empty()) parts.push_back(Part::load);
  if (!trip.outcomes.empty()) parts.push_back(Part::outcomes);
  // What is held is listed before the claim takes more.
  bool beat = trip.heartbeat && trip.held;
  bool one = beat && trip.claim && trip.give_back.empty() && !trip.maintain && !trip.retire;
  if (beat && !one) parts.push_back(Part::beat);
  if (trip.heartbeat && !beat) parts.push_back(Part::heartbeat);
  if (trip.held && !beat) parts.push_back(Part::held);
  if (!trip.give_back.empty()) parts.push_back(Part::give_back);
  if (trip.maintain) parts.push_back(Part::maintain);
  if (!trip.outbound.empty()) parts.push_back(Part::outbound);
  if (trip.retire) parts.push_back(Part::retire);
  if (trip.claim) parts.push_back(one ? Part::claim_and_beat : Part::claim);
  if (trip.limits) parts.push_back(Part::limits);
  parts.push_back(Part::commit);
  return parts;
}

// An id that is safe to show.
std::string shown(const std::string& id) { return pg::check_text(id).fault == pg::TextFault::none ? "workflow " + id : "a workflow"; }

}  // namespace

void TripWriter::encode_flush(const FlushRequest& flush) {
  for (auto* array : {&runs_.id,       &runs_.token,      &runs_.is_new, &runs_.name,         &runs_.inputs, &runs_.options, &runs_.status,
                      &runs_.output,   &runs_.error,      &steps_.run,   &steps_.function_id, &steps_.name,  &steps_.output, &steps_.error,
                      &steps_.started, &steps_.completed, &ops_.run,     &ops_.function_id,   &ops_.kind,    &ops_.args}) {
    array->clear();
  }
  for (const auto& run : flush.runs) {
    runs_.id.add_text(run.id);
    runs_.token.add_text(run.token);
    runs_.is_new.add_bool(run.is_new);
    if (run.is_new) runs_.name.add_text(run.name), runs_.inputs.add_text(run.inputs);
    else runs_.name.add_null(), runs_.inputs.add_null();
    if (run.options.empty()) runs_.options.add_null();
    else runs_.options.add_jsonb(run.options);
    if (const char* status = status_text(run.status)) runs_.status.add_text(status);
    else runs_.status.add_null();
    add(runs_.output, run.output);
    add(runs_.error, run.error);
  }
  for (const auto& step : flush.steps) {
    steps_.run.add_int4(step.run + 1);
    steps_.function_id.add_int4(step.function_id);
    steps_.name.add_text(step.name);
    add(steps_.output, step.output);
    add(steps_.error, step.error);
    steps_.started.add_int8(step.started_ms);
    steps_.completed.add_int8(step.completed_ms);
  }
  for (const auto& op : flush.ops) {
    ops_.run.add_int4(op.run + 1);
    ops_.function_id.add_int4(op.function_id);
    ops_.kind.add_text(op.kind);
    ops_.args.add_jsonb(op.args.empty() ? "{}" : op.args);
  }
}

void TripWriter::encode_claim(const ClaimRequest& claim) {
  for (auto* array : {&queues_, &limits_, &priorities_, &times_, &running_}) array->clear();
  for (const auto& queue : claim.queues) {
    queues_.add_text(queue.queue);
    limits_.add_int4(queue.limit);
    if (queue.from) priorities_.add_int4(queue.from->priority), times_.add_int8(queue.from->created_ms);
    else priorities_.add_null(), times_.add_null();
    if (queue.running) running_.add_int4(*queue.running);
    else running_.add_null();
  }
  if (filter_ == claim.filter && filter_) return;
  filter_ = claim.filter;
  for (auto* array : {&names_, &classes_, &attempts_}) array->clear();
  if (!filter_) return;
  for (const auto& name : filter_->names) names_.add_text(name);
  for (const auto& name : filter_->classes) classes_.add_text(name);
  for (int attempts : filter_->max_attempts) attempts_.add_int4(attempts);
}

void TripWriter::encode_limits(const LimitRequest& limits) {
  for (auto* array : {&tickets_, &ticket_limits_, &ticket_keys_, &waits_, &releases_}) array->clear();
  for (const auto& ask : limits.asks) {
    tickets_.add_text(ask.ticket);
    ticket_limits_.add_text(ask.limit);
    ticket_keys_.add_text(ask.key);
  }
  for (const auto& limit : limits.waits) waits_.add_text(limit);
  for (const auto& ticket : limits.releases) releases_.add_text(ticket);
  ObjectText holds;
  for (const auto& [limit, ms] : limits.holds) holds.number(limit, ms);
  holds_ = holds.str_or_empty_object();
}

bool TripWriter::check_flush(const FlushRequest& flush) {
  const auto run_of = [&](int element) -> const std::string& { return flush.runs[static_cast<std::size_t>(element)].id; };
  const auto step_run = [&](int element) -> const std::string& { return run_of(flush.steps[static_cast<std::size_t>(element)].run); };
  const auto op_run = [&](int element) -> const std::string& { return run_of(flush.ops[static_cast<std::size_t>(element)].run); };
  auto refuse = [&](const pg::ArrayBuffer& array, const char* what, const auto& run) {
    const auto& fault = array.fault();
    if (fault) refusal_ = std::string(what) + " of " + shown(run(fault.element)) + " " + pg::describe(fault.check);
    return static_cast<bool>(fault);
  };
  return !(refuse(runs_.id, "the id", run_of) || refuse(runs_.token, "the token", run_of) || refuse(runs_.name, "the name", run_of) ||
           refuse(runs_.inputs, "the inputs", run_of) || refuse(runs_.options, "an option", run_of) || refuse(runs_.output, "the result", run_of) ||
           refuse(runs_.error, "the error", run_of) || refuse(steps_.name, "a step's name", step_run) ||
           refuse(steps_.output, "a step's result", step_run) || refuse(steps_.error, "a step's error", step_run) ||
           refuse(ops_.args, "an operation", op_run) || refuse(ops_.kind, "an operation", op_run));
}

bool TripWriter::check_rest() {
  for (const auto* array : {&load_ids_, &load_tokens_, &outcome_ids_, &back_ids_, &back_tokens_, &queues_, &names_, &classes_, &tickets_,
                            &ticket_limits_, &ticket_keys_, &waits_, &releases_, &outbound_, &outbound_limits_}) {
    if (array->fault()) {
      refusal_ = "a text " + pg::describe(array->fault().check);
      return false;
    }
  }
  return true;
}

bool TripWriter::encode(const Trip& trip) {
  for (auto* array : {&load_ids_, &load_tokens_, &outcome_ids_, &back_ids_, &back_tokens_, &outbound_, &outbound_limits_}) array->clear();
  for (const auto& step : trip.outbound) {
    outbound_.add_text(step.name);
    if (step.limit.empty()) outbound_limits_.add_null();
    else outbound_limits_.add_text(step.limit);
  }
  if (trip.flush) encode_flush(*trip.flush);
  for (const auto& key : trip.load) load_ids_.add_text(key.id), load_tokens_.add_text(key.token);
  for (const auto& id : trip.outcomes) outcome_ids_.add_text(id);
  for (const auto& key : trip.give_back) back_ids_.add_text(key.id), back_tokens_.add_text(key.token);
  if (trip.claim) encode_claim(*trip.claim);
  if (trip.limits) encode_limits(*trip.limits);
  return (!trip.flush || check_flush(*trip.flush)) && check_rest();
}

bool TripWriter::queue_flush(pg::Connection& connection, const FlushRequest& flush, const Identity& identity) {
  pg::Params params;
  params.text_or_null(identity.application).text_or_null(identity.executor).text_or_null(identity.incarnation).text_or_null(identity.version);
  params.boolean(flush.careful);
  for (auto* array : {&runs_.id,       &runs_.token,      &runs_.is_new, &runs_.name,         &runs_.inputs, &runs_.options, &runs_.status,
                      &runs_.output,   &runs_.error,      &steps_.run,   &steps_.function_id, &steps_.name,  &steps_.output, &steps_.error,
                      &steps_.started, &steps_.completed, &ops_.run,     &ops_.function_id,   &ops_.kind,    &ops_.args}) {
    params.array(*array);
  }
  return queue_often(connection, Part::flush, params);
}

bool TripWriter::queue_limits(pg::Connection& connection, const LimitRequest& limits, const Identity& identity) {
  pg::Params params;
  params.text_or_null(identity.application).text_or_null(identity.executor).text(identity.incarnation).int8(identity.lease.count());
  params.boolean(limits.listens);
  for (auto* array : {&tickets_, &ticket_limits_, &ticket_keys_, &waits_, &releases_}) params.array(*array);
  return connection.queue(kLimits, params.jsonb(holds_));
}

bool TripWriter::prepare(pg::Connection& connection) {
  return std::all_of(kOften.begin(), kOften.end(), [&](const Often& often) { return connection.prepare(often.name, often.sql.c_str()); });
}

bool TripWriter::queue_often(pg::Connection& connection, Part part, const pg::Params& params) {
  const auto& often = *std::find_if(kOften.begin(), kOften.end(), [&](const Often& one) { return one.part == part; });
  return prepared_ ? connection.queue_prepared(often.name, params) : connection.queue(often.sql.c_str(), params);
}

void TripWriter::add_beat(pg::Params& params, const Identity& identity) {
  params.text(identity.application).text(identity.executor).text(identity.incarnation).text(identity.version).int8(identity.lease.count());
}

bool TripWriter::queue_claim(pg::Connection& connection, bool beat, const std::string& token, const Identity& identity) {
  pg::Params params;
  if (beat) add_beat(params, identity);
  else params.text(identity.application).text(identity.executor).text(identity.incarnation).text(identity.version);
  params.text(token).array(queues_).array(limits_).array(names_).array(classes_).array(attempts_).array(priorities_).array(times_).array(running_);
  return queue_often(connection, beat ? Part::claim_and_beat : Part::claim, params);
}

bool TripWriter::queue_part(pg::Connection& connection, Part part, const Trip& trip, const Identity& identity) {
  pg::Params params;
  switch (part) {
    case Part::begin: return connection.queue(kBegin);
    case Part::commit: return connection.queue(kCommit);
    case Part::setting: return connection.queue(trip.flush || trip.limits ? kLockTimeout : kAsynchronous);
    case Part::flush: return queue_flush(connection, *trip.flush, identity);
    case Part::load: return connection.queue(kLoad.c_str(), params.array(load_ids_).array(load_tokens_));
    case Part::outcomes: return connection.queue(kOutcomes.c_str(), params.array(outcome_ids_));
    case Part::heartbeat:
      lease_ = std::to_string(identity.lease.count()) + " milliseconds";
      params.text(identity.executor).text(lease_).text(identity.application).text(identity.incarnation).text(identity.version);
      return connection.queue(kHeartbeat, params);
    case Part::held: return connection.queue(kHeld, params.text(identity.application).text(identity.executor).text(identity.incarnation));
    case Part::beat: add_beat(params, identity); return connection.queue(kBeat.c_str(), params);
    case Part::give_back: return connection.queue(kGiveBack, params.array(back_ids_).array(back_tokens_));
    case Part::maintain: return connection.queue(kMaintain);
    case Part::outbound: return connection.queue(kOutbound, params.array(outbound_).array(outbound_limits_));
    case Part::retire: return connection.queue(kRetire, params.text(identity.application).text(identity.executor).text(identity.incarnation));
    case Part::claim: return queue_claim(connection, false, trip.claim->token, identity);
    case Part::claim_and_beat: return queue_claim(connection, true, trip.claim->token, identity);
    case Part::limits: return queue_limits(connection, *trip.limits, identity);
  }
  return false;
}

TripWriter::Queued TripWriter::write(pg::Connection& connection, const Trip& trip, const Identity& identity, bool prepared,
                                     std::vector<Part>& parts) {
  if (!encode(trip)) return Queued::refused;
  prepared_ = prepared;
  parts = parts_of(trip);
  for (auto part : parts) {
    if (!queue_part(connection, part, trip, identity)) return Queued::gone;
  }
  // From here on the COMMIT may reach the server, whatever the socket says.
  connection.sync();
  return Queued::sent;
}

void read_part(Part part, const pg::Result& result, const Trip& trip, TripReply& reply) {
  switch (part) {
    case Part::flush: return read_flush(result, *trip.flush, reply);
    case Part::load: return read_loaded(result, trip.load, reply.loaded, reply.server_now_ms);
    case Part::outcomes: return read_outcomes(result, reply.outcomes);
    case Part::heartbeat: return read_heartbeat(result, reply);
    case Part::held: return read_held(result, reply.held);
    case Part::beat: return read_beat(result, reply);
    case Part::claim: return read_claimed(result, trip.claim->token, reply);
    case Part::claim_and_beat: return read_claimed_and_beat(result, trip.claim->token, reply);
    case Part::limits: return read_limits(result, reply.limits);
    default: return;
  }
}

void read_error(Part part, const pg::ServerError& error, TripReply& reply) {
  reply.sqlstate = error.sqlstate;
  reply.message = error.detail.empty() ? error.message : error.message + " (" + error.detail + ")";
  reply.hint = error.hint;
  // A standby refuses READ WRITE as an unsupported feature.
  if (part == Part::begin && error.sqlstate == "0A000") reply.sqlstate = "25006";
  reply.error = pg::fate_of(reply.sqlstate, reply.message) == pg::Fate::permanent ? TripError::permanent : TripError::transient;
  reply.ended = error.sqlstate == "WF021";
  reply.claim_refused = part == Part::claim || part == Part::claim_and_beat;
}

}  // namespace dbos::detail
