// The libpq layer against a real server: encodings, errors, pipelines, lost connections. Knows nothing of workflows.
#include <doctest/doctest.h>

#include <chrono>
#include <limits>
#include <string>
#include <thread>

#include "pg/backoff.hpp"
#include "pg/connection.hpp"
#include "pg/params.hpp"
#include "pg/sqlstate.hpp"
#include "pg/text.hpp"
#include "proxy.hpp"
#include "server.hpp"

namespace {

using namespace dbos::detail::pg;
using namespace std::chrono_literals;
using dbos::testing::Proxy;
using dbos::testing::query;
using dbos::testing::Server;

Server& server() {
  static Server instance("pg_test", "--no-preload --tcp");
  return instance;
}

Target target(const std::string& database) { return {database, "pg_test", 5000ms}; }

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// One statement and its result.
Result ask(Connection& connection, const char* sql, const Params& params) {
  REQUIRE(connection.queue(sql, params));
  auto results = connection.finish_transaction();
  return std::move(results.at(0));
}

// The ConnectionError of an attempt; fails the test when it succeeds.
dbos::ConnectionError refusal(const Target& target) {
  try {
    Connection::connect(target);
  } catch (const dbos::ConnectionError& e) {
    return e;
  }
  FAIL("the connection was made");
  return dbos::ConnectionError("");
}

bool is_one_line(const std::string& text) { return text.find('\n') == std::string::npos && !text.empty(); }

std::string tcp_uri(const std::string& password, const std::string& rest) {
  auto uri = server().variable("TCP_URI");
  auto at = uri.find('@');
  return "postgresql://postgres:" + password + uri.substr(at, uri.rfind('/') - at) + rest;
}

}  // namespace

TEST_CASE("texts are checked for NUL and UTF-8 wherever the byte stands") {
  for (std::size_t at = 0; at < 40; ++at) {
    std::string text(40, 'x');
    CHECK(check_text(text).fault == TextFault::none);
    text[at] = '\0';
    CHECK(check_text(text).fault == TextFault::nul);
    CHECK(check_text(text).at == at);
    text[at] = '\xFF';
    CHECK(check_text(text).fault == TextFault::not_utf8);
    CHECK(check_text(text).at == at);
  }
}

TEST_CASE("UTF-8 is exactly what the standard allows") {
  for (const char* good :
       {"", "\x7F", "\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80", "\xED\x9F\xBF", "\xEE\x80\x80", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF", "Ünïcode 🍵"}) {
    CAPTURE(good);
    CHECK(check_text(good).fault == TextFault::none);
  }
  for (const char* bad : {"\x80", "\xC0\x80", "\xC1\xBF", "\xC2", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xE2\x82", "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80",
                          "\xF5\x80\x80\x80", "\xC3("}) {
    CHECK(check_text(bad).fault == TextFault::not_utf8);
  }
}

TEST_CASE("arrays arrive as they were built, texts of every kind included") {
  auto connection = Connection::connect(target(server().uri()));
  std::vector<std::string> texts{"",
                                 "plain",
                                 "a,b{c}\"d\\e",
                                 "NULL",
                                 "'; DROP TABLE x;--",
                                 "E'\\''",
                                 "$$ %s %I",
                                 "line\nbreak\ttab",
                                 "Ünïcode 🍵 \u202E",
                                 std::string(100000, 'y')};
  ArrayBuffer array(kTextArray, kText);
  for (const auto& text : texts) array.add_text(text);
  array.add_null();
  Params params;
  auto result = ask(connection, "SELECT $1, pg_catalog.cardinality($1), pg_catalog.array_position($1, NULL), $1[10]", params.array(array));
  REQUIRE(result.ok());
  auto reader = result.array(0, 0);
  REQUIRE(reader.count() == static_cast<int>(texts.size()) + 1);
  for (const auto& text : texts) CHECK(reader.next().value_or("NULL!") == text);
  CHECK_FALSE(reader.next().has_value());
  CHECK_THROWS_AS(reader.next(), std::runtime_error);
  CHECK(result.int4(0, 1) == 11);
  CHECK(result.int4(0, 2) == 11);
  CHECK(result.bytes(0, 3).size() == 100000);
}

TEST_CASE("numbers, booleans, JSON and empty arrays arrive as they were built") {
  auto connection = Connection::connect(target(server().uri()));
  ArrayBuffer ints(kInt4Array, kInt4), longs(kInt8Array, kInt8), bools(kBoolArray, kBool), jsons(kJsonbArray, kJsonb), empty(kTextArray, kText);
  for (auto number : {std::numeric_limits<std::int32_t>::min(), -1, 0, std::numeric_limits<std::int32_t>::max()}) ints.add_int4(number);
  for (auto number : {std::numeric_limits<std::int64_t>::min(), std::int64_t{1795540069000}, std::numeric_limits<std::int64_t>::max()})
    longs.add_int8(number);
  for (bool value : {true, false}) bools.add_bool(value);
  jsons.add_jsonb(R"({"a": [1, "x"]})");
  jsons.add_null();
  Params params;
  params.array(ints).array(longs).array(bools).array(jsons).array(empty).boolean(true).int4(-7).int8(1LL << 40).null(kText).text("").jsonb("[1]");
  auto result =
      ask(connection,
          "SELECT $1::text, $2::text, $3::text, ($4)[1] -> 'a' ->> 1, ($4)[2] IS NULL, pg_catalog.cardinality($5), $6, $7, $8, $9 IS NULL, $10 = '', "
          "$11::text, $4::text",
          params);
  REQUIRE(result.ok());
  CHECK(result.text(0, 0) == "{-2147483648,-1,0,2147483647}");
  CHECK(result.text(0, 1) == "{-9223372036854775808,1795540069000,9223372036854775807}");
  CHECK(result.text(0, 2) == "{t,f}");
  CHECK(result.text(0, 3) == "x");
  CHECK(result.boolean(0, 4));
  CHECK(result.int4(0, 5) == 0);
  CHECK(result.boolean(0, 6));
  CHECK(result.int4(0, 7) == -7);
  CHECK(result.int8(0, 8) == 1LL << 40);
  CHECK(result.boolean(0, 9));
  CHECK(result.boolean(0, 10));
  CHECK(result.text(0, 11) == "[1]");
  // Asked for as another type: an error, no wild value.
  CHECK_THROWS_AS(result.int8(0, 7), std::runtime_error);
}

TEST_CASE("a buffer that is used again holds the new elements only, and remembers the first text that cannot be sent") {
  ArrayBuffer array(kTextArray, kText);
  array.add_text("ok");
  array.add_text(std::string("a\0b", 3));
  array.add_text("\xFF");
  CHECK(array.fault().element == 1);
  CHECK(array.fault().check.fault == TextFault::nul);
  Params params;
  params.array(array);
  CHECK(static_cast<bool>(params.fault()));
  array.clear();
  CHECK_FALSE(static_cast<bool>(array.fault()));
  CHECK(array.count() == 0);
  CHECK(array.finish().size() == 12);
}

TEST_CASE("a failed statement reports SQLSTATE, message, detail and hint; those behind it are not executed") {
  auto uri = server().create_database("pipeline");
  query(uri, "CREATE TABLE t (id int PRIMARY KEY)");
  auto connection = Connection::connect(target(uri));
  connection.queue("BEGIN");
  connection.queue("INSERT INTO t VALUES (1)");
  connection.queue("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'WF013', MESSAGE = 'wrong', DETAIL = E'two\nlines', HINT = 'do this'; END $$");
  connection.queue("INSERT INTO t VALUES (2)");
  connection.queue("COMMIT");
  auto results = connection.finish_transaction();
  REQUIRE(results.size() == 5);
  CHECK(results[1].ok());
  auto error = results[2].error();
  CHECK(error.sqlstate == "WF013");
  CHECK(error.message == "wrong");
  CHECK(error.detail == "two lines");
  CHECK(error.hint == "do this");
  CHECK(results[3].status() == PGRES_PIPELINE_ABORTED);
  CHECK(results[4].status() == PGRES_PIPELINE_ABORTED);
  CHECK_FALSE(connection.reusable());
  connection.queue("ROLLBACK");
  CHECK(connection.finish_transaction().at(0).ok());
  CHECK(connection.reusable());
  CHECK(query(uri, "SELECT count(*) FROM t") == "0");
}

TEST_CASE("large pipelines pass although neither side reads while it writes") {
  auto connection = Connection::connect(target(server().uri()));
  std::string big(1 << 20, 'z');
  for (int i = 0; i < 20; ++i) {
    Params params;
    REQUIRE(connection.queue("SELECT $1", params.text(big)));
  }
  auto results = connection.finish_transaction();
  REQUIRE(results.size() == 20);
  for (const auto& result : results) CHECK(result.bytes(0, 0) == big);
}

TEST_CASE("the session carries its name and UTF-8, and nothing else") {
  auto connection = Connection::connect(target(server().uri()));
  auto result = ask(connection, "SELECT current_setting('application_name'), current_setting('client_encoding'), current_setting('search_path')", {});
  CHECK(result.text(0, 0) == "pg_test");
  CHECK(result.text(0, 1) == "UTF8");
  CHECK(result.text(0, 2) == "\"$user\", public");
}

TEST_CASE("a refused login says why in one line, with SQLSTATE and hint, without the password") {
  auto error = refusal(target(tcp_uri("s3cr3tpass", "/postgres")));
  CHECK(error.sqlstate() == "28P01");
  CHECK(has(error.what(), "password authentication failed for user \"postgres\""));
  CHECK_FALSE(has(error.what(), "s3cr3tpass"));
  CHECK(is_one_line(error.what()));
  CHECK(has(error.hint(), "pg_hba.conf"));
  auto missing = refusal(target("host=127.0.0.1 user=postgres dbname=postgres passfile=/nonexistent port=" + server().variable("PGPORT")));
  CHECK(has(missing.what(), "no password supplied"));
  CHECK(is_one_line(missing.what()));
}

TEST_CASE("the right password with every odd character passes") {
  query(server().uri(), "CREATE ROLE odd LOGIN PASSWORD 'p@:/?# %'");
  auto uri = server().variable("TCP_URI");
  auto at = uri.find('@');
  auto connection = Connection::connect(target("postgresql://odd:p%40%3A%2F%3F%23%20%25" + uri.substr(at, uri.rfind('/') - at) + "/postgres"));
  CHECK(connection.alive());
}

TEST_CASE("missing databases, roles, hosts and sockets are named") {
  auto database = refusal(target(server().uri("nowhere")));
  CHECK(database.sqlstate() == "3D000");
  CHECK(has(database.what(), "database \"nowhere\" does not exist"));
  CHECK(has(database.hint(), "dbos-sys init"));
  CHECK(is_one_line(database.what()));
  CHECK(refusal(target("user=nobody dbname=postgres host=" + server().variable("PGHOST") + " port=" + server().variable("PGPORT"))).sqlstate() ==
        "28000");
  CHECK(has(refusal(target("host=/nonexistent dbname=x")).what(), "/nonexistent/.s.PGSQL.5432"));
  CHECK(has(refusal(target("host=127.0.0.1 port=1 dbname=x")).what(), "Connection refused"));
  CHECK(has(refusal(target("host=host.invalid dbname=x")).what(), "host.invalid"));
  CHECK(has(refusal(target("postgresql://postgres@[::1]:1/x")).what(), "::1"));
  CHECK(has(refusal(target(tcp_uri("x", "/postgres?sslmode=verify-full"))).what(), "SSL"));
}

TEST_CASE("a string that is no connection string is refused without showing what may be a password") {
  for (const char* text :
       {"postgresql//u:s3cr3t@h/db", "postgresql://u:s3cr3t@h:port/db", "postgres://u:s3cr3t@h/db?unknown=1", "host=h password=s3cr3t pasword=1",
        "host=h s3cr3t", "mysql://u:s3cr3t@h/db", "postgresql://u:s3 cr3t@h/db?x", "password='s3cr3t"}) {
    auto error = refusal(target(text));
    CAPTURE(error.what());
    CHECK_FALSE(has(error.what(), "s3cr3t"));
    CHECK_FALSE(has(error.what(), "cr3t@"));
    CHECK(is_one_line(error.what()));
  }
  CHECK(has(refusal(target("host=h pasword=1")).what(), "pasword"));
  CHECK(has(refusal(target(std::string("host=h\0x", 8))).what(), "NUL"));
}

TEST_CASE("passwords are masked in texts of any form") {
  CHECK(mask_passwords("cannot reach postgresql://me:a/b:c@d@host/db") == "cannot reach postgresql://me:***@host/db");
  CHECK(mask_passwords("host=h password='a b' dbname=x") == "host=h password=*** dbname=x");
  CHECK(mask_passwords("postgresql://h/db?user=u&password=abc&x=1") == "postgresql://h/db?user=u&password=***&x=1");
  CHECK(mask_passwords("the word hunter22 appears", "hunter22") == "the word *** appears");
  CHECK(mask_passwords("port 5432 failed: FATAL: role \"x\" does not exist") == "port 5432 failed: FATAL: role \"x\" does not exist");
}

TEST_CASE("a host that does not answer costs one timeout, and the next host is tried") {
  Proxy dead(server().variable("PGHOST") + "/.s.PGSQL." + server().variable("PGPORT"));
  dead.set(Proxy::Mode::silent);
  auto port = std::to_string(dead.port());
  auto started = std::chrono::steady_clock::now();
  auto silent = refusal({"postgresql://postgres@127.0.0.1:" + port + "/postgres", "pg_test", 300ms});
  CHECK(has(silent.what(), "no answer from 127.0.0.1 port " + port + " within 300 ms"));
  CHECK(std::chrono::steady_clock::now() - started < 3s);
  auto host = server().variable("PGHOST");
  auto connection = Connection::connect(
      {"dbname=postgres user=postgres host=127.0.0.1," + host + " port=" + port + "," + server().variable("PGPORT"), "pg_test", 300ms});
  CHECK(connection.alive());
  CHECK(connection.host() == host + " port " + server().variable("PGPORT"));
}

TEST_CASE("a role's read-only default is no obstacle") {
  query(server().uri(), "CREATE ROLE reader LOGIN SUPERUSER; ALTER ROLE reader SET default_transaction_read_only = on");
  auto uri = server().uri();
  uri.replace(uri.find("postgres@"), 9, "reader@");
  auto connection = Connection::connect(target(uri));
  connection.queue("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE");
  connection.queue("CREATE TEMPORARY TABLE t ()");
  connection.queue("ROLLBACK");
  for (const auto& result : connection.finish_transaction()) CHECK(result.ok());
}

TEST_CASE("a session that the server ended is noticed while idle and in a transaction") {
  auto connection = Connection::connect(target(server().uri()));
  auto pid = std::to_string(ask(connection, "SELECT pg_catalog.pg_backend_pid()", {}).int4(0, 0));
  CHECK(connection.check_idle());
  query(server().uri(), "SELECT pg_catalog.pg_terminate_backend(" + pid + ", 5000)");
  CHECK_FALSE(connection.check_idle());
  CHECK_FALSE(connection.reusable());

  auto busy = Connection::connect(target(server().uri()));
  busy.queue("SELECT pg_catalog.pg_terminate_backend(pg_catalog.pg_backend_pid())");
  CHECK_THROWS_AS(busy.finish_transaction(), dbos::InDoubt);
}

TEST_CASE("results are not taken from a connection that has ended, though they were read") {
  auto connection = Connection::connect(target(server().uri()));
  auto pid = ask(connection, "SELECT pg_catalog.pg_backend_pid()", {}).int4(0, 0);
  Params params;
  connection.queue("SELECT $1", params.text("complete"));
  connection.sync();
  auto uri = server().uri();
  dbos::testing::await(uri, "SELECT state = 'idle' FROM pg_stat_activity WHERE pid = " + std::to_string(pid));
  query(uri, "SELECT pg_catalog.pg_terminate_backend(" + std::to_string(pid) + ", 5000)");
  CHECK(connection.read());
  CHECK_FALSE(connection.read());
  CHECK_THROWS_AS(connection.await_results(), dbos::InDoubt);
}

TEST_CASE("notifications arrive on a connection in pipeline mode") {
  auto connection = Connection::connect(target(server().uri()));
  connection.queue("LISTEN dbos_sys");
  REQUIRE(connection.finish_transaction().at(0).ok());
  query(server().uri(), "NOTIFY dbos_sys, 'work'");
  auto deadline = std::chrono::steady_clock::now() + 5s;
  std::optional<Connection::Notification> notification;
  while (!notification && std::chrono::steady_clock::now() < deadline) {
    CHECK(connection.check_idle());
    notification = connection.notification();
  }
  REQUIRE(notification.has_value());
  CHECK(notification->channel == "dbos_sys");
  CHECK(notification->payload == "work");
}

TEST_CASE("SQLSTATEs say whether another try may pass") {
  for (const char* code : {"08006", "08000", "57P01", "57P02", "57P03", "57P05", "53300", "40001", "40P01", "55P03", "53100", "57014"}) {
    CAPTURE(code);
    CHECK(fate_of(code) == Fate::retry);
  }
  for (const char* code : {"22P05", "22021", "23503", "42501", "42P01", "28P01", "53400", "57P04", "WF001", "XX000", ""}) {
    CAPTURE(code);
    CHECK(fate_of(code) == Fate::permanent);
  }
  for (const char* message : {"cache lookup failed for function 16700", "could not open relation with OID 16700", "tuple concurrently updated"}) {
    CAPTURE(message);
    CHECK(fate_of("XX000", message) == Fate::retry);
  }
  CHECK(fate_of("XX000", "unexpected data beyond EOF") == Fate::permanent);
  CHECK(fate_of("23505") == Fate::careful);
  CHECK(fate_of("25006") == Fate::elsewhere);
}

TEST_CASE("pauses between attempts double up to the longest, with jitter") {
  Backoff backoff(100ms, 10000ms, 7);
  for (int expected : {100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000, 10000}) {
    auto pause = backoff.next().count();
    CHECK(pause >= expected / 2 - 1);
    CHECK(pause <= expected * 3 / 2);
  }
  backoff.reset();
  CHECK(backoff.next().count() <= 150);
  Backoff one(100ms, 10000ms, 1), other(100ms, 10000ms, 2);
  CHECK(one.next() != other.next());
}
