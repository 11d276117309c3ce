#include "pg/connection.hpp"

#include <poll.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstring>

#include "pg/text.hpp"

namespace dbos::detail::pg {

namespace {

// PQconninfoFree's arguments under RAII.
struct FreeOptions {
  void operator()(PQconninfoOption* options) const noexcept { PQconninfoFree(options); }
};
using ConninfoOptions = std::unique_ptr<PQconninfoOption, FreeOptions>;

struct Settings {
  std::vector<const char*> keywords;
  std::vector<const char*> values;
  void add(const char* keyword, const char* value) {
    keywords.push_back(keyword);
    values.push_back(value);
  }
};

// Named keys override what stands before them: first our defaults, then the user's string, then what has to be so.
Settings settings_of(const Target& target) {
  Settings settings;
  settings.add("keepalives_idle", "30");
  settings.add("keepalives_interval", "5");
  settings.add("keepalives_count", "3");
  settings.add("tcp_user_timeout", "20000");
  // Not read-write: a role's default_transaction_read_only is no obstacle, every transaction says READ WRITE.
  settings.add("target_session_attrs", "primary");
  if (!target.database.empty()) settings.add("dbname", target.database.c_str());
  settings.add("client_encoding", "UTF8");
  settings.add("application_name", target.session_name.c_str());
  return settings;
}

const char* option(const PQconninfoOption* options, const char* keyword) {
  for (const auto* o = options; o && o->keyword; ++o) {
    if (std::strcmp(o->keyword, keyword) == 0) return o->val;
  }
  return nullptr;
}

// "a,b,c" turned left by n places; an entry for all, or none, stays.
std::string rotated(const char* list, int n) {
  std::vector<std::string> entries(1);
  for (const char* c = list ? list : ""; *c; ++c) {
    if (*c == ',') entries.emplace_back();
    else entries.back() += *c;
  }
  std::rotate(entries.begin(), entries.begin() + n % static_cast<int>(entries.size()), entries.end());
  std::string text;
  for (const auto& entry : entries) text += (&entry == &entries.front() ? "" : ",") + entry;
  return text;
}

int count_hosts(PGconn* conn) {
  ConninfoOptions options(PQconninfo(conn));
  const char* hosts = option(options.get(), "hostaddr");
  if (!hosts || !*hosts) hosts = option(options.get(), "host");
  return hosts ? 1 + static_cast<int>(std::count(hosts, hosts + std::strlen(hosts), ',')) : 1;
}

PGconn* start(Settings& settings) {
  settings.add(nullptr, nullptr);
  return PQconnectStartParams(settings.keywords.data(), settings.values.data(), 1);
}

PGconn* start_skipping(const Target& target, PGconn* conn, int skip) {
  ConninfoOptions options(PQconninfo(conn));
  Settings settings = settings_of(target);
  std::array<std::string, 3> values;
  std::array<const char*, 3> keys{"host", "hostaddr", "port"};
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const char* value = option(options.get(), keys[i]);
    if (!value || !*value) continue;
    values[i] = rotated(value, skip);
    settings.add(keys[i], values[i].c_str());
  }
  return start(settings);
}

// Of a PGresult that libpq keeps. What is said for logs only, or for all who listen (INFO, LOG, DEBUG), has no taker here.
void hand_on(void* sink, const PGresult* result) noexcept {
  const auto& notices = *static_cast<const NoticeSink*>(sink);
  const char* severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
  if (!notices || !severity) return;
  if (std::strcmp(severity, "WARNING") == 0) notices(Severity::warning, error_of(result));
  if (std::strcmp(severity, "NOTICE") == 0) notices(Severity::notice, error_of(result));
}

// libpq's text after "FATAL:  28P01: password authentication failed…\nLOCATION: …", as asked for by PQERRORS_VERBOSE.
ServerError parse_failure(std::string_view text) {
  ServerError error;
  std::string kept;
  while (!text.empty()) {
    auto line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (line.starts_with("LOCATION:")) continue;
    kept += kept.empty() || line.starts_with('\t') ? "" : "; ";
    kept += line;
  }
  for (std::size_t at = kept.find(":  "); at != std::string::npos; at = kept.find(":  ", at + 1)) {
    auto code = std::string_view(kept).substr(at + 3);
    bool is_code = code.size() > 6 && code[5] == ':' &&
                   std::all_of(code.begin(), code.begin() + 5, [](unsigned char c) { return std::isdigit(c) || std::isupper(c); });
    if (!is_code) continue;
    error.sqlstate = code.substr(0, 5);
    kept.erase(at + 3, 7);
  }
  error.message = one_line(kept);
  while (!error.message.empty() && (error.message.back() == ';' || error.message.back() == ' ')) error.message.pop_back();
  return error;
}

[[noreturn]] void throw_connection_error(const ServerError& failure) {
  std::string hint;
  if (failure.sqlstate.starts_with("28")) hint = "check user and password (URI, PGUSER, PGPASSWORD, ~/.pgpass) and the server's pg_hba.conf";
  else if (failure.sqlstate == "3D000") hint = "create the database: dbos-sys init, or CREATE DATABASE … TEMPLATE template0 LOCALE 'C'";
  throw ConnectionError(failure.message, failure.sqlstate, {}, hint);
}

}  // namespace

void check_target(const Target& target) {
  if (auto check = check_text(target.database); check.fault != TextFault::none) throw ConnectionError("the connection string " + describe(check));
  bool is_string =
      target.database.find('=') != std::string::npos || target.database.starts_with("postgresql://") || target.database.starts_with("postgres://");
  if (!is_string) {
    // A mistyped scheme would be taken for a database's name, and shown with its password.
    if (target.database.find("://") != std::string::npos || target.database.find('@') != std::string::npos) {
      throw ConnectionError("the connection string \"" + mask_passwords(target.database) + "\" is no URI that begins with postgresql://");
    }
    return;
  }
  char* message = nullptr;
  ConninfoOptions options(PQconninfoParse(target.database.c_str(), &message));
  std::string text = message ? message : "out of memory";
  PQfreemem(message);
  if (!options) throw ConnectionError("the connection string is not valid: " + one_line(mask_quoted(text)));
}

Connection::Connection(const Target& target, int skip)
    : notices_(std::make_unique<const NoticeSink>(target.notices)), reply_timeout_(target.reply_timeout) {
  auto settings = settings_of(target);
  conn_.reset(start(settings));
  if (conn_ && skip > 0 && count_hosts(conn_.get()) > 1) conn_.reset(start_skipping(target, conn_.get(), skip));
  if (!conn_) {
    reason_ = "out of memory";
    return;
  }
  PQsetErrorVerbosity(conn_.get(), PQERRORS_VERBOSE);
  PQsetNoticeReceiver(conn_.get(), hand_on, const_cast<NoticeSink*>(notices_.get()));
}

Connection::Progress Connection::connect_step() {
  if (!conn_ || PQstatus(conn_.get()) == CONNECTION_BAD) return Progress::failed;
  switch (PQconnectPoll(conn_.get())) {
    case PGRES_POLLING_READING: return Progress::want_read;
    case PGRES_POLLING_WRITING: return Progress::want_write;
    case PGRES_POLLING_OK: break;
    default: return Progress::failed;
  }
  if (PQsetnonblocking(conn_.get(), 1) != 0 || PQenterPipelineMode(conn_.get()) != 1) {
    reason_ = "the connection cannot be used in pipeline mode";
    return Progress::failed;
  }
  return Progress::ready;
}

Connection Connection::connect(const Target& target) {
  check_target(target);
  ServerError failure;
  // libpq goes on to the next host after an error, but not when a host does not answer at all.
  for (int skip = 0, hosts = 1; skip < hosts; ++skip) {
    Connection connection(target, skip);
    hosts = connection.conn_ ? count_hosts(connection.conn_.get()) : 1;
    auto deadline = std::chrono::steady_clock::now() + target.timeout;
    // Right after the start libpq wants to write, whatever it has done so far.
    for (auto progress = Progress::want_write;;) {
      bool answered = connection.socket() < 0 || connection.wait_for_socket(progress == Progress::want_read ? POLLIN : POLLOUT, deadline);
      if (!answered) break;
      progress = connection.connect_step();
      if (progress == Progress::ready) return connection;
      if (progress == Progress::failed) throw_connection_error(connection.failure());
    }
    failure.message = "no answer from " + connection.host() + " within " + std::to_string(target.timeout.count()) + " ms";
  }
  throw_connection_error(failure);
}

bool Connection::wait_for_socket(short events, Deadline deadline) const {
  for (;;) {
    auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    int timeout = deadline == Deadline::max() ? -1 : static_cast<int>(std::clamp<long>(left, 0, 1 << 30));
    pollfd fd{socket(), events, 0};
    int ready = ::poll(&fd, 1, timeout);
    if (ready > 0) return true;
    if (ready == 0) return false;
    if (errno != EINTR) return false;
  }
}

bool Connection::check_idle() {
  if (!alive()) return false;
  // The server's last words and the end of the stream are read one after the other.
  for (pollfd fd{socket(), POLLIN, 0}; ::poll(&fd, 1, 0) != 0;) {
    if (!read()) return false;
  }
  return true;
}

bool Connection::queue(const char* sql, const Params& params) {
  if (!PQsendQueryParams(conn_.get(), sql, params.count(), params.types(), params.values(), params.lengths(), params.formats(), 1)) return false;
  ++expected_;
  return true;
}

bool Connection::queue(const char* sql) {
  if (!PQsendQueryParams(conn_.get(), sql, 0, nullptr, nullptr, nullptr, nullptr, 1)) return false;
  ++expected_;
  return true;
}

bool Connection::prepare(const char* name, const char* sql) {
  if (!PQsendPrepare(conn_.get(), name, sql, 0, nullptr)) return false;
  ++expected_;
  return true;
}

bool Connection::queue_prepared(const char* name, const Params& params) {
  if (!PQsendQueryPrepared(conn_.get(), name, params.count(), params.values(), params.lengths(), params.formats(), 1)) return false;
  ++expected_;
  return true;
}

bool Connection::sync() {
  syncing_ = PQpipelineSync(conn_.get()) == 1;
  current_ = 0;
  return syncing_ && flush();
}

bool Connection::flush() {
  int left = PQflush(conn_.get());
  unsent_ = left == 1;
  return left >= 0 && alive();
}

bool Connection::read() {
  // The socket may take more only after libpq has read: see the documentation of PQflush().
  bool read = PQconsumeInput(conn_.get()) == 1;
  return read && (!unsent_ || flush());
}

Connection::Event Connection::next(Result& result, int& statement) {
  while (syncing_ && alive() && PQisBusy(conn_.get()) == 0) {
    Result next(PQgetResult(conn_.get()));
    // libpq 15 makes empty successful results of what it has read when the end of the stream was read behind it.
    if (!alive()) return Event::lost;
    if (!next) {
      // The end of one statement's results; when none is left, nothing will come.
      if (++current_ <= expected_) continue;
      return Event::nothing;
    }
    if (next.status() == PGRES_PIPELINE_SYNC) {
      syncing_ = false;
      expected_ = 0;
      return Event::synced;
    }
    statement = current_;
    result = std::move(next);
    return Event::result;
  }
  return alive() ? Event::nothing : Event::lost;
}

std::optional<Connection::Notification> Connection::notification() {
  std::unique_ptr<PGnotify, void (*)(void*)> notify(PQnotifies(conn_.get()), PQfreemem);
  if (!notify) return std::nullopt;
  return Notification{notify->relname, notify->extra};
}

std::vector<Result> Connection::finish_transaction() {
  sync();
  return await_results();
}

void Connection::await_reply() {
  auto deadline = reply_timeout_.count() == 0 ? Deadline::max() : std::chrono::steady_clock::now() + reply_timeout_;
  if (!wait_for_socket(static_cast<short>(POLLIN | (unsent_ ? POLLOUT : 0)), deadline)) {
    reason_ = "no reply from " + host() + " within " + std::to_string(reply_timeout_.count()) + " ms";
    conn_.reset();
    throw InDoubt(reason_);
  }
  if (unsent_) flush();
  read();
}

std::vector<Result> Connection::await_results() {
  std::vector<Result> results(static_cast<std::size_t>(expected_));
  for (;;) {
    Result result;
    int statement = 0;
    switch (next(result, statement)) {
      case Event::result:
        // The first result counts: the loss of the connection adds another.
        if (auto& slot = results.at(static_cast<std::size_t>(statement)); !slot) slot = std::move(result);
        break;
      case Event::synced: return results;
      case Event::lost: throw InDoubt("the connection to the database was lost: " + failure().message);
      case Event::nothing: await_reply();
    }
  }
}

Result Connection::run_script(const char* sql) {
  if (PQexitPipelineMode(conn_.get()) != 1) throw ConnectionError(failure().message);
  Result result(PQexec(conn_.get(), sql));
  if (!alive()) throw InDoubt("the connection to the database was lost: " + failure().message);
  PQenterPipelineMode(conn_.get());
  return result;
}

ServerError Connection::failure() const {
  if (!reason_.empty()) return {{}, reason_, {}, {}};
  const char* password = PQpass(conn_.get());
  auto error = parse_failure(PQerrorMessage(conn_.get()));
  error.message = mask_passwords(error.message, password ? password : "");
  if (error.message.empty()) error.message = "connection to " + host() + " lost";
  return error;
}

std::string Connection::host() const {
  const char* host = PQhost(conn_.get());
  const char* port = PQport(conn_.get());
  return std::string(host && *host ? host : "the server") + (port && *port ? std::string(" port ") + port : "");
}

}  // namespace dbos::detail::pg
