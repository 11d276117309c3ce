// Values ↔ portable JSON text: what every DBOS SDK reads and writes, and a clear error for everything else.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "codec/object_text.hpp"
#include "codec/portable_error.hpp"
#include "dbos/json.hpp"
#include "dbos/records.hpp"

namespace shop {

struct Order {
  std::string item;
  int count = 0;
  double price = 0;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Order, item, count, price)

}  // namespace shop

namespace {

using dbos::Codec;
using dbos::CodecError;
using namespace dbos::detail;

// The message of the CodecError that f throws; "" when it throws none.
template <class F>
std::string refusal(F&& f) {
  try {
    f();
  } catch (const CodecError& e) {
    return e.what();
  }
  return {};
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::string nested(int depth) { return std::string(static_cast<std::size_t>(depth), '[') + std::string(static_cast<std::size_t>(depth), ']'); }

}  // namespace

TEST_CASE("a result is the bare JSON value") {
  CHECK(Codec<std::string>::encode("ok:order-9") == R"("ok:order-9")");
  CHECK(Codec<char[5]>::encode("text") == R"("text")");
  CHECK(Codec<int>::encode(42) == "42");
  CHECK(Codec<bool>::encode(true) == "true");
  CHECK(Codec<std::vector<int>>::encode({1, 2, 3}) == "[1,2,3]");
  CHECK(Codec<std::optional<int>>::encode(std::nullopt) == "null");
  CHECK(Codec<std::optional<int>>::encode(7) == "7");
  CHECK(Codec<shop::Order>::encode({"tea", 2, 1.5}) == R"({"count":2,"item":"tea","price":1.5})");
}

TEST_CASE("values come back as they went") {
  CHECK(Codec<double>::decode(Codec<double>::encode(0.1)) == 0.1);
  CHECK(std::signbit(Codec<double>::decode(Codec<double>::encode(-0.0))));
  for (auto number : {std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max(), (std::int64_t{1} << 53) + 1}) {
    CHECK(Codec<std::int64_t>::decode(Codec<std::int64_t>::encode(number)) == number);
  }
  CHECK(Codec<std::uint64_t>::decode(Codec<std::uint64_t>::encode(std::numeric_limits<std::uint64_t>::max())) ==
        std::numeric_limits<std::uint64_t>::max());
  std::string text = std::string("a\0b", 3) + "\u202E\xF0\x9F\x8D\xB5 '; DROP TABLE x;-- $$ \\ %s {}";
  CHECK(Codec<std::string>::decode(Codec<std::string>::encode(text)) == text);
  auto order = Codec<shop::Order>::decode(Codec<shop::Order>::encode({"tea", 2, 1.5}));
  CHECK(order.item == "tea");
  CHECK(order.count == 2);
}

TEST_CASE("a NUL in a string is written as an escape, never as a byte") {
  CHECK(Codec<std::string>::encode(std::string("a\0b", 3)) == R"("a\u0000b")");
}

TEST_CASE("empty string, null and absent are three values") {
  CHECK(Codec<std::optional<std::string>>::decode(R"("")") == std::optional<std::string>(""));
  CHECK(Codec<std::optional<std::string>>::decode("null") == std::nullopt);
  CHECK(has(refusal([] { Codec<std::string>::decode("", "result of workflow w"); }), "result of workflow w: the text is empty"));
}

TEST_CASE("invalid UTF-8 is refused when writing and when reading") {
  for (std::string bytes : {"\xFF", "\xC0\xAF", "\xED\xA0\x80", "abc\xE2\x82", "\xF4\x90\x80\x80"}) {
    auto written = refusal([&] { Codec<std::string>::encode(bytes, "argument"); });
    CHECK(has(written, "cannot write argument: "));
    CHECK(has(written, "UTF-8"));
    CHECK(has(refusal([&] { Codec<std::string>::decode("\"" + bytes + "\"", "message"); }), "cannot read message: "));
  }
}

TEST_CASE("numbers that JSON does not have are refused instead of becoming null") {
  CHECK(has(refusal([] { Codec<double>::encode(std::nan(""), "result"); }), "cannot write result: it contains NaN"));
  CHECK(has(refusal([] { Codec<std::vector<double>>::encode({1, INFINITY}, "result"); }), "it contains infinity"));
  CHECK(has(refusal([] { Codec<double>::decode("1e400000", "result"); }), "number overflow"));
}

TEST_CASE("text that is not JSON is refused with its position") {
  for (const char* text : {"{", "[1,]", "NaN", "Infinity", "'a'", "{} x", "\"\\ud800\"", "nul", "01",
                           "\xEF\xBB\xBF"
                           "1"}) {
    auto message = refusal([&] { Codec<nlohmann::json>::decode(text, "inputs"); });
    CAPTURE(text);
    CHECK(has(message, "cannot read inputs: "));
    CHECK(message.find("json.exception") == std::string::npos);
  }
  CHECK(has(refusal([] { Codec<nlohmann::json>::decode("[1,\n x]"); }), "line 2, column 2"));
  CHECK(has(refusal([] {
              Codec<nlohmann::json>::decode(
                  "\xEF\xBB\xBF"
                  "1");
            }),
            "byte order mark"));
}

TEST_CASE("deep nesting is an error and no stack overflow") {
  CHECK(refusal([] { Codec<nlohmann::json>::decode(nested(512)); }).empty());
  CHECK(has(refusal([] { Codec<nlohmann::json>::decode(nested(513)); }), "nested deeper than 512 levels at byte 513"));
  CHECK(has(refusal([] { Codec<nlohmann::json>::decode(std::string(100000, '[')); }), "nested deeper than 512 levels"));
  CHECK(refusal([] { Codec<nlohmann::json>::decode(R"(["[[[[","\"[{",{"[":1}])"); }).empty());
  nlohmann::json deep;
  for (int i = 0; i < 600; ++i) deep = nlohmann::json::array({deep});
  CHECK(has(refusal([&] { Codec<nlohmann::json>::encode(deep, "result"); }), "cannot write result: nested deeper than 512 levels"));
}

TEST_CASE("a value of the wrong shape names what, type and members, but no contents") {
  auto message = refusal([] { Codec<shop::Order>::decode(R"({"item":"secret","count":"two","price":1})", "argument 1 of 1"); });
  CHECK(has(message, "cannot read argument 1 of 1 as shop::Order: type must be number, but is string"));
  CHECK(has(message, "{count: string, item: string, price: number}"));
  CHECK_FALSE(has(message, "secret"));
  CHECK(has(refusal([] { Codec<shop::Order>::decode(R"({"item":"tea"})"); }), "key 'count' not found"));
  CHECK(has(refusal([] { Codec<std::string>::decode("[1,2]", "result of workflow w"); }),
            "as std::string: type must be string, but is array (the value is array of 2)"));
}

TEST_CASE("the inputs envelope of every SDK is read") {
  auto one = [](const char* envelope) { return std::get<0>(decode_arguments<std::string>(envelope)); };
  CHECK(one(R"({"positionalArgs":["order-9"]})") == "order-9");
  CHECK(one(R"({"namedArgs":{},"positionalArgs":["order-9"]})") == "order-9");
  CHECK(one(R"({"positionalArgs":["order-9"],"namedArgs":{}})") == "order-9");
  CHECK(one(R"({"positionalArgs":["order-9"],"namedArgs":null})") == "order-9");
  CHECK(one(R"({"positionalArgs" : ["order-9"], "namedArgs" : {}})") == "order-9");
  CHECK(decode_arguments<>(R"({"positionalArgs" : null})") == std::tuple<>());
  CHECK(decode_arguments<>("{}") == std::tuple<>());
}

TEST_CASE("the golden inputs of the SDKs' own suites are read and written byte by byte") {
  const std::string golden =
      R"({"positionalArgs":["hello-interop",42,"2025-06-15T10:30:00.000Z",["alpha","beta","gamma"],{"key1":"value1","key2":99,"nested":{"deep":true}},true,null]})";
  using Json = nlohmann::json;
  auto [text, number, date, list, object, flag, empty] =
      decode_arguments<std::string, int, std::string, std::vector<std::string>, Json, bool, std::optional<int>>(golden);
  CHECK(text == "hello-interop");
  CHECK(number == 42);
  CHECK(date == "2025-06-15T10:30:00.000Z");
  CHECK(list == std::vector<std::string>{"alpha", "beta", "gamma"});
  CHECK(object["nested"]["deep"] == true);
  CHECK(flag);
  CHECK_FALSE(empty.has_value());
  CHECK(encode_arguments(text, number, date, list, object, flag, empty) == golden);
}

TEST_CASE("arguments that do not fit are refused with the counts or the argument") {
  auto message = [](const char* envelope) { return refusal([&] { decode_arguments<std::string, int>(envelope); }); };
  CHECK(has(message(R"({"positionalArgs":["a"]})"), "the workflow takes 2 arguments, and there are 1"));
  CHECK(has(message(R"({"positionalArgs":["a",1,2]})"), "the workflow takes 2 arguments, and there are 3"));
  CHECK(has(message(R"({"positionalArgs":["a","b"]})"), "argument 2 of 2 as int"));
  CHECK(has(message(R"(["a",1])"), "they are array"));
  CHECK(has(message(R"({"args":["a",1]})"), "unknown member 'args'"));
  CHECK(has(message(R"({"positionalArgs":{"a":1}})"), "positionalArgs is object"));
  CHECK(has(message(R"({"positionalArgs":["a",1],"namedArgs":{"b":2}})"), "named arguments need a workflow with one parameter"));
  CHECK(has(message("order-9"), "cannot read inputs: parse error"));
}

TEST_CASE("trailing optional arguments may be absent") {
  auto [id, note] = decode_arguments<std::string, std::optional<std::string>>(R"({"positionalArgs":["order-9"]})");
  CHECK(id == "order-9");
  CHECK_FALSE(note.has_value());
  CHECK(has(refusal([] { decode_arguments<std::string, std::optional<int>>("{}"); }), "takes 1 to 2 arguments, and there are 0"));
}

TEST_CASE("named arguments are the one object parameter") {
  auto [order] = decode_arguments<shop::Order>(R"({"positionalArgs":[],"namedArgs":{"item":"tea","count":1,"price":2.5}})");
  CHECK(order.item == "tea");
}

TEST_CASE("errors have the portable form, and a reader is tolerant") {
  CHECK(encode_error("Error", "plain") == R"({"name":"Error","message":"plain"})");
  auto text = encode_error(ErrorParts{"NotFoundError", "Order not found", "404", R"({"orderId":"o1"})"});
  CHECK(text == R"({"name":"NotFoundError","message":"Order not found","code":404,"data":{"orderId":"o1"}})");
  auto parts = decode_error(text);
  CHECK(parts.name == "NotFoundError");
  CHECK(parts.code_json == "404");
  CHECK(decode_error(R"({"name":"E","message":"m","code":null})").code_json.empty());
  CHECK(decode_error("{}").message.empty());
  CHECK(decode_error("no json").message == "no json");
  CHECK(decode_error(encode_error("E", "bad \xFF byte")).message == "bad \xEF\xBF\xBD byte");
}

TEST_CASE("an error's data that is nested too deep to be read is kept as text") {
  std::string deep(200000, '[');
  deep += std::string(200000, ']');
  auto parts = decode_error(encode_error({"TooDeep", "see data", deep, deep}));
  CHECK(parts.name == "TooDeep");
  CHECK(parts.data_json == nlohmann::json(deep).dump());
}

TEST_CASE("an argument with a NUL character is refused by its place, wherever the NUL stands") {
  const std::string nul("a\0b", 3);
  auto refused = [](const auto&... arguments) {
    try {
      encode_arguments(arguments...);
    } catch (const CodecError& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  CHECK(refused(1, nul) == "cannot write argument 2: a text in it contains a NUL character");
  CHECK(refused(std::map<std::string, std::vector<std::string>>{{"k", {"", nul}}}) ==
        "cannot write argument 1: a text in it contains a NUL character");
  CHECK(refused(std::map<std::string, int>{{nul, 1}}) == "cannot write argument 1: a text in it contains a NUL character");
  CHECK(refused("\\u0000", 2).empty());
}

TEST_CASE("object text quotes what it has to") {
  CHECK(ObjectText().text("a", "x\"y\n").number("n", -5).boolean("b", true).json("j", "[1]").str() == R"({"a":"x\"y\n","n":-5,"b":true,"j":[1]})");
  CHECK(ObjectText().number("a \"key\" \\ of ü\n", 1).str() == R"({"a \"key\" \\ of ü\n":1})");
  CHECK(ObjectText().str().empty());
  CHECK(has(refusal([] { json_quote("\xFF"); }), "invalid UTF-8"));
}

TEST_CASE("statuses have upstream's names") {
  for (auto status : {dbos::Status::enqueued, dbos::Status::delayed, dbos::Status::pending, dbos::Status::success, dbos::Status::error,
                      dbos::Status::cancelled, dbos::Status::max_recovery_attempts_exceeded}) {
    CHECK(dbos::status_from_string(to_string(status)) == status);
  }
  CHECK(to_string(dbos::Status::max_recovery_attempts_exceeded) == "MAX_RECOVERY_ATTEMPTS_EXCEEDED");
  CHECK(dbos::status_from_string("success") == dbos::Status::unknown);
}

TEST_CASE("the time of a schedule is read from the text of every SDK and written as JavaScript writes it") {
  using dbos::Codec, dbos::ScheduledTime;
  for (const char* text :
       {"\"2026-10-25T01:30:00.000Z\"", "\"2026-10-25T01:30:00Z\"", "\"2026-10-25T02:30:00+01:00\"", "\"2026-10-24T20:00:00.000-05:30\""})
    CHECK(Codec<ScheduledTime>::decode(text).epoch_ms == 1792891800000);
  CHECK(Codec<ScheduledTime>::encode({1792891800007}) == "\"2026-10-25T01:30:00.007Z\"");
  CHECK(Codec<ScheduledTime>::encode({-1}) == "\"1969-12-31T23:59:59.999Z\"");
  CHECK(Codec<ScheduledTime>::decode("\"2024-02-29T23:59:59.5Z\"").epoch_ms == 1709251199500);
  for (const char* text : {"\"\"", "\"soon\"", "\"2026-10-25\"", "\"2026-10-25T01:30:00\"", "\"2026-02-30T01:30:00Z\"", "\"2026-10-25T25:30:00Z\"",
                           "\"2026-10-25T01:30:00Zulu\"", "\"2026-10-25T01:30:00+1\"", "1792891800000", "null", "{}"})
    CHECK_THROWS_AS(Codec<ScheduledTime>::decode(text), dbos::CodecError);
}
