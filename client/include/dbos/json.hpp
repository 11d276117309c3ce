// Values ↔ portable_json text: the one public header that names nlohmann/json. User types join by nlohmann's to_json/from_json (ADL) or its macros.
// Format: dbos-transact's portable JSON, tag `portable_json`: results are the bare value, void is null, inputs {"positionalArgs":[…]} (read
// too: "namedArgs"). Numbers that are not finite are refused: JSON has none. Thread safety: functions without state.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <typeinfo>

#include "dbos/error.hpp"

namespace dbos {

// Deepest nesting that is parsed; deeper text is a CodecError, not a stack overflow.
inline constexpr int kMaxJsonDepth = 512;

// Types that can be written to the system database, read from it, and both. What is read has to own its contents: no pointers, no views.
template <class T>
concept Encodable = requires(nlohmann::json json, const T& value) {
  json = value;
};
template <class T>
concept Decodable = !std::is_pointer_v<T> && !std::is_reference_v<T> && !std::is_same_v<T, std::string_view> && requires(const nlohmann::json& json) {
  json.template get<T>();
};
template <class T>
concept Serializable = std::is_void_v<T> ||(Encodable<T>&& Decodable<T>);

namespace detail {

// Parses text or throws CodecError with position; `what` names the value in the message ("result of workflow x").
nlohmann::json parse_json(std::string_view text, std::string_view what);
// Dumps or throws CodecError (invalid UTF-8, NaN, infinity, deeper than kMaxJsonDepth).
std::string dump_json(const nlohmann::json& value, std::string_view what);
std::string type_name(const std::type_info& type);
// The CodecErrors of a value that does not fit its type. `value` adds the shape (member names and types, no contents) to the message.
[[noreturn]] void throw_decode_error(const std::type_info& type, std::string_view what, const std::exception& cause, const nlohmann::json& value);
[[noreturn]] void throw_encode_error(const std::type_info& type, std::string_view what, const std::exception& cause);
// The positional arguments of an inputs envelope (named ones alone become the single argument of a one-parameter workflow); checks the count.
nlohmann::json::array_t parse_arguments(std::string_view envelope, std::size_t expected, std::size_t required);
// Throws CodecError as dump_json(), and for a text with a NUL character.
std::string dump_arguments(nlohmann::json::array_t arguments);

template <class T>
T decode_value(const nlohmann::json& value, std::string_view what) {
  static_assert(Decodable<T>,
                "this type cannot be read from JSON: give it a from_json, or NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE; pointers and views are not read");
  try {
    return value.get<T>();
  } catch (const nlohmann::json::exception& e) {
    throw_decode_error(typeid(T), what, e, value);
  }
}

template <class T>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;

}  // namespace detail

// The time for which a run of a schedule is meant: the first argument of its workflow. As JSON the text that all SDKs read.
struct ScheduledTime {
  std::int64_t epoch_ms = 0;
  std::chrono::sys_time<std::chrono::milliseconds> time_point() const {
    return std::chrono::sys_time<std::chrono::milliseconds>{std::chrono::milliseconds{epoch_ms}};
  }
  friend bool operator==(const ScheduledTime&, const ScheduledTime&) = default;
};
void to_json(nlohmann::json& json, const ScheduledTime& value);
// A text as 2026-01-31T12:00:00.000Z, with Z or an offset; nlohmann's type_error for others.
void from_json(const nlohmann::json& json, ScheduledTime& value);

template <class T>
struct Codec {
  static std::string encode(const T& value, std::string_view what = "value") {
    static_assert(Encodable<T>, "this type cannot be written as JSON: give it a to_json, or NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE");
    nlohmann::json json;
    try {
      json = value;
    } catch (const nlohmann::json::exception& e) {
      detail::throw_encode_error(typeid(T), what, e);
    }
    return detail::dump_json(json, what);
  }
  static T decode(std::string_view text, std::string_view what = "value") { return detail::decode_value<T>(detail::parse_json(text, what), what); }
};

// A string literal is written as the string it is, and read as std::string.
template <std::size_t N>
struct Codec<char[N]> {
  static std::string encode(const char (&text)[N], std::string_view what = "value") {
    return detail::dump_json(nlohmann::json(std::string_view(text)), what);
  }
};

}  // namespace dbos

// std::optional as the JSON value or null, as every SDK writes it.
template <class T>
struct nlohmann::adl_serializer<std::optional<T>> {
  static void to_json(nlohmann::json& json, const std::optional<T>& value) {
    if (value) json = *value;
    else json = nullptr;
  }
  static void from_json(const nlohmann::json& json, std::optional<T>& value) {
    if (json.is_null()) value.reset();
    else value = json.get<T>();
  }
};

namespace dbos::detail {

template <class... A>
std::string encode_arguments(const A&... arguments) {
  static_assert((Encodable<A> && ...), "an argument's type cannot be written as JSON: give it a to_json, or NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE");
  nlohmann::json::array_t array;
  array.reserve(sizeof...(A));
  (array.emplace_back(nlohmann::json(arguments)), ...);
  return dump_arguments(std::move(array));
}

template <class... A>
std::tuple<A...> decode_arguments(std::string_view envelope) {
  constexpr std::size_t required = (std::size_t{0} + ... + (is_optional<A> ? 0 : 1));
  auto array = parse_arguments(envelope, sizeof...(A), required);
  array.resize(sizeof...(A));
  std::size_t index = 0;
  [[maybe_unused]] auto next = [&]<class T>(std::type_identity<T>) {
    const auto& json = array[index++];
    return decode_value<T>(json, "argument " + std::to_string(index) + " of " + std::to_string(sizeof...(A)));
  };
  // Braced initialisation evaluates from left to right.
  return std::tuple<A...>{next(std::type_identity<A>{})...};
}

}  // namespace dbos::detail
