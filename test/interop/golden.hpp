// The golden vectors of golden.mjs for the C++ programs.
#pragma once

#include <cstdint>
#include <dbos/dbos.hpp>
#include <optional>
#include <string>
#include <vector>

namespace golden {

using Json = nlohmann::json;

inline constexpr const char* queue = "interopq";
inline constexpr const char* topic = "interop_topic";
inline constexpr const char* event_key = "interop_event";
inline constexpr const char* stream_key = "interop_stream";

using Empty = std::optional<int>;

inline constexpr dbos::Signature<Json(std::string, std::int64_t, std::string, std::vector<std::string>, Json, bool, Empty)> canonical{
    "canonicalWorkflow", "interop"};
inline constexpr dbos::Signature<Json(std::string)> reject_order{"rejectOrder", "interop"};

struct Message {
  std::string sender;
  std::vector<int> payload;
  bool operator==(const Message&) const = default;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Message, sender, payload)

struct Event {
  std::string text;
  std::int64_t num = 0;
  bool flag = false;
  bool operator==(const Event&) const = default;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Event, text, num, flag)

struct StreamItem {
  std::string item;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(StreamItem, item)

}  // namespace golden
