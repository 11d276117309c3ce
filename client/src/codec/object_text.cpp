#include "codec/object_text.hpp"

#include <algorithm>

#include "dbos/json.hpp"

namespace dbos::detail {

std::string json_quote(std::string_view text) { return dump_json(nlohmann::json(text), "text"); }

void require_object(std::string_view text, std::string_view what) {
  auto refuse = [&](const std::string& why) { throw UsageError(std::string(what) + " " + why + ": " + std::string(text.substr(0, 80))); };
  try {
    if (!parse_json(text, what).is_object()) refuse("is no JSON object");
  } catch (const CodecError& e) {
    refuse("is no JSON object that can be sent (" + std::string(e.what()) + ")");
  }
  // In JSON a backslash stands in strings only.
  for (auto at = text.find('\\'); at != std::string_view::npos; at = text.find('\\', at + 2)) {
    if (text.substr(at, 6) == "\\u0000") refuse("contains \\u0000 at offset " + std::to_string(at) + ", which no database column takes");
  }
}

void ObjectText::key(std::string_view name) {
  // Names of options are plain; those of limits and partitions are whatever users give.
  bool plain = std::all_of(name.begin(), name.end(), [](char c) { return c >= ' ' && c <= '~' && c != '"' && c != '\\'; });
  body_ += body_.empty() ? '{' : ',';
  if (plain) body_.append(1, '"').append(name).append(1, '"');
  else body_ += json_quote(name);
  body_ += ':';
}

ObjectText& ObjectText::text(std::string_view name, std::string_view value) { return json(name, json_quote(value)); }
ObjectText& ObjectText::number(std::string_view name, std::int64_t value) { return json(name, std::to_string(value)); }
ObjectText& ObjectText::boolean(std::string_view name, bool value) { return json(name, value ? "true" : "false"); }

ObjectText& ObjectText::json(std::string_view name, std::string_view value) {
  key(name);
  body_ += value;
  return *this;
}

}  // namespace dbos::detail
