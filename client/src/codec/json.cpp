// The functions behind dbos/json.hpp: text in, values out, every failure a CodecError that names what it was about.
#include "dbos/json.hpp"

#include <cxxabi.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>

namespace dbos::detail {

namespace {

using nlohmann::json;

// nlohmann's messages without their "[json.exception.type_error.302] " head.
std::string plain_message(const std::exception& e) {
  std::string text = e.what();
  if (text.starts_with('[')) {
    auto end = text.find("] ");
    if (end != std::string::npos) text.erase(0, end + 2);
  }
  return text;
}

[[noreturn]] void throw_codec(std::string_view verb, std::string_view what, const std::string& why) {
  throw CodecError("cannot " + std::string(verb) + " " + std::string(what) + ": " + why);
}

// The parser itself has no bound, and destroying, comparing and dumping a value recurse.
void check_text_depth(std::string_view text, std::string_view what) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      else if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > kMaxJsonDepth) {
        throw_codec("read", what, "nested deeper than " + std::to_string(kMaxJsonDepth) + " levels at byte " + std::to_string(i + 1));
      }
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
}

void check_value(const json& value, std::string_view what, int depth) {
  if (value.is_number_float()) {
    double number = value.get<double>();
    if (!std::isfinite(number)) throw_codec("write", what, "it contains " + std::string(std::isnan(number) ? "NaN" : "infinity"));
  } else if (value.is_structured()) {
    if (depth == kMaxJsonDepth) throw_codec("write", what, "nested deeper than " + std::to_string(kMaxJsonDepth) + " levels");
    for (const auto& element : value) check_value(element, what, depth + 1);
  }
}

// The server's JSON functions cannot hold it.
bool has_nul(const json& value) {
  if (value.is_string()) return value.get_ref<const std::string&>().find('\0') != std::string::npos;
  if (value.is_object()) {
    return std::any_of(value.items().begin(), value.items().end(),
                       [](const auto& member) { return member.key().find('\0') != std::string::npos || has_nul(member.value()); });
  }
  return value.is_array() && std::any_of(value.begin(), value.end(), has_nul);
}

// Enough to find the member that does not fit, without showing its contents.
std::string shape_of(const json& value) {
  if (value.is_array()) return "array of " + std::to_string(value.size());
  if (!value.is_object()) return value.type_name();
  std::string text = "{";
  int shown = 0;
  for (auto it = value.begin(); it != value.end(); ++it) {
    if (shown == 20) return text + ", …}";
    text += (shown++ ? ", " : "") + it.key() + ": " + it.value().type_name();
  }
  return text + "}";
}

}  // namespace

nlohmann::json parse_json(std::string_view text, std::string_view what) {
  if (text.empty()) throw_codec("read", what, "the text is empty");
  // The parser would skip it; no other reader would.
  if (text.starts_with("\xEF\xBB\xBF")) throw_codec("read", what, "it begins with a byte order mark");
  check_text_depth(text, what);
  try {
    return json::parse(text.begin(), text.end());
  } catch (const json::exception& e) {
    throw_codec("read", what, plain_message(e));
  }
}

std::string dump_json(const nlohmann::json& value, std::string_view what) {
  check_value(value, what, 0);
  try {
    return value.dump();
  } catch (const json::exception& e) {
    throw_codec("write", what, plain_message(e));
  }
}

std::string type_name(const std::type_info& type) {
  int status = 0;
  std::unique_ptr<char, void (*)(void*)> name(abi::__cxa_demangle(type.name(), nullptr, nullptr, &status), std::free);
  std::string text = status == 0 ? name.get() : type.name();
  static constexpr std::string_view kString = "std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >";
  for (auto at = text.find(kString); at != std::string::npos; at = text.find(kString)) text.replace(at, kString.size(), "std::string");
  return text;
}

void throw_decode_error(const std::type_info& type, std::string_view what, const std::exception& cause, const nlohmann::json& value) {
  throw_codec("read", std::string(what) + " as " + type_name(type), plain_message(cause) + " (the value is " + shape_of(value) + ")");
}

void throw_encode_error(const std::type_info& type, std::string_view what, const std::exception& cause) {
  throw_codec("write", std::string(what) + " of type " + type_name(type), plain_message(cause));
}

nlohmann::json::array_t parse_arguments(std::string_view envelope, std::size_t expected, std::size_t required) {
  static constexpr std::string_view kWhat = "inputs";
  json object = parse_json(envelope, kWhat);
  if (!object.is_object()) throw_codec("read", kWhat, "they are " + std::string(object.type_name()) + R"(, not {"positionalArgs": […]})");
  json positional, named;
  for (auto it = object.begin(); it != object.end(); ++it) {
    if (it.key() == "positionalArgs") positional = std::move(it.value());
    else if (it.key() == "namedArgs") named = std::move(it.value());
    else throw_codec("read", kWhat, "unknown member '" + it.key() + R"(' beside "positionalArgs" and "namedArgs")");
  }
  if (!positional.is_null() && !positional.is_array()) throw_codec("read", kWhat, "positionalArgs is " + std::string(positional.type_name()));
  if (!named.is_null() && !named.is_object()) throw_codec("read", kWhat, "namedArgs is " + std::string(named.type_name()));

  json::array_t arguments;
  if (positional.is_array()) arguments = std::move(positional.get_ref<json::array_t&>());
  if (named.is_object() && !named.empty()) {
    // C++ parameters have no names: an object of names is one argument.
    if (expected != 1 || !arguments.empty())
      throw_codec("read", kWhat, "named arguments need a workflow with one parameter, and no positional ones beside them");
    arguments.push_back(std::move(named));
  }
  if (arguments.size() > expected || arguments.size() < required) {
    std::string wanted = required == expected ? std::to_string(expected) : std::to_string(required) + " to " + std::to_string(expected);
    throw_codec("read", kWhat, "the workflow takes " + wanted + " arguments, and there are " + std::to_string(arguments.size()));
  }
  return arguments;
}

std::string dump_arguments(nlohmann::json::array_t arguments) {
  std::string text = R"({"positionalArgs":)";
  const json array(std::move(arguments));
  text += dump_json(array, "arguments");
  text += '}';
  for (std::size_t i = 0; i < array.size(); ++i) {
    if (has_nul(array[i])) throw_codec("write", "argument " + std::to_string(i + 1), "a text in it contains a NUL character");
  }
  return text;
}

}  // namespace dbos::detail

namespace dbos {

void to_json(nlohmann::json& json, const ScheduledTime& value) {
  using namespace std::chrono;
  auto time = value.time_point();
  auto day = floor<days>(time);
  year_month_day date{day};
  hh_mm_ss clock{time - day};
  char text[40];
  std::snprintf(text, sizeof text, "%04d-%02u-%02uT%02d:%02d:%02d.%03dZ", static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                static_cast<unsigned>(date.day()), static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
                static_cast<int>(clock.seconds().count()), static_cast<int>(clock.subseconds().count()));
  json = text;
}

void from_json(const nlohmann::json& json, ScheduledTime& value) {
  using namespace std::chrono;
  auto text = json.get<std::string>();
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0, length = 0, offset_hours = 0, offset_minutes = 0, all = 0;
  auto fail = [&] { detail::throw_codec("read", "scheduled time", "\"" + text + "\" is no time as 2026-01-31T12:00:00.000Z"); };
  if (std::sscanf(text.c_str(), "%4d-%2d-%2dT%2d:%2d:%2d%n", &year, &month, &day, &hour, &minute, &second, &length) != 6) fail();
  int ms = 0;
  std::size_t at = static_cast<std::size_t>(length);
  if (at < text.size() && text[at] == '.') {
    int scale = 100;
    for (++at; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at, scale /= 10) ms += (text[at] - '0') * scale;
  }
  std::string zone = text.substr(at);
  char sign = '+';
  if (zone != "Z" && (std::sscanf(zone.c_str(), "%c%2d:%2d%n", &sign, &offset_hours, &offset_minutes, &all) != 3 ||
                      static_cast<std::size_t>(all) != zone.size() || (sign != '+' && sign != '-')))
    fail();
  year_month_day date{std::chrono::year{year}, std::chrono::month{static_cast<unsigned>(month)}, std::chrono::day{static_cast<unsigned>(day)}};
  if (!date.ok() || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59) fail();
  auto offset = hours{offset_hours} + minutes{offset_minutes};
  auto time = sys_days{date} + hours{hour} + minutes{minute} + seconds{second} + milliseconds{ms} - (sign == '-' ? -offset : offset);
  value.epoch_ms = duration_cast<milliseconds>(time.time_since_epoch()).count();
}

}  // namespace dbos
