#include "codec/object_text.hpp"

#include "dbos/json.hpp"

namespace dbos::detail {

std::string json_quote(std::string_view text) { return dump_json(nlohmann::json(text), "text"); }

void require_object(std::string_view text, std::string_view what) {
  auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) throw UsageError(std::string(what) + " is no JSON object: " + std::string(text.substr(0, 80)));
}

void ObjectText::key(std::string_view name) {
  body_ += body_.empty() ? '{' : ',';
  body_ += '"';
  body_ += name;
  body_ += "\":";
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
