#include "codec/portable_error.hpp"

#include <typeinfo>

#include "dbos/json.hpp"

namespace dbos::detail {

namespace {

std::string short_type_name(const std::type_info& type) {
  std::string name = type_name(type);
  auto end = name.find('<');
  auto colon = name.rfind("::", end);
  return colon == std::string::npos ? name : name.substr(colon + 2);
}

std::string text_member(const nlohmann::json& object, const char* key) {
  auto found = object.find(key);
  if (found == object.end() || found->is_null()) return {};
  return found->is_string() ? found->get<std::string>() : dump_json(*found, key);
}

std::string json_member(const nlohmann::json& object, const char* key) {
  auto found = object.find(key);
  return found == object.end() || found->is_null() ? std::string() : dump_json(*found, key);
}

// Text that the user says is JSON; what is not, or is nested too deep for a reader, becomes a string.
nlohmann::ordered_json user_json(const std::string& text) {
  try {
    parse_json(text, "an error's member");
  } catch (const CodecError&) {
    return nlohmann::ordered_json(text);
  }
  return nlohmann::ordered_json::parse(text);
}

}  // namespace

std::string encode_error(const ErrorParts& parts) {
  nlohmann::ordered_json object;
  object["name"] = parts.name;
  object["message"] = parts.message;
  if (!parts.code_json.empty()) object["code"] = user_json(parts.code_json);
  if (!parts.data_json.empty()) object["data"] = user_json(parts.data_json);
  // An exception's text may be in any encoding: it must not make the error unrecordable.
  return object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

std::string encode_error(std::string_view name, std::string_view message) {
  return encode_error(ErrorParts{std::string(name), std::string(message), {}, {}});
}

ErrorParts decode_error(std::string_view text) {
  auto json = nlohmann::json::parse(text, nullptr, false);
  // The native format of the TypeScript SDK wraps the same members: {"json":{…},"__dbos_serializer":"superjson"}.
  if (json.is_object() && json.contains("__dbos_serializer") && json.contains("json")) json = nlohmann::json(json["json"]);
  if (!json.is_object()) return {{}, std::string(text), {}, {}};
  return {text_member(json, "name"), text_member(json, "message"), json_member(json, "code"), json_member(json, "data")};
}

ErrorParts describe_exception(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const PortableError& e) {
    return {e.name(), e.what(), e.code_json(), e.data_json()};
  } catch (const std::exception& e) {
    return {short_type_name(typeid(e)), e.what(), {}, {}};
  } catch (...) {
    return {"UnknownException", "an exception that is not a std::exception", {}, {}};
  }
}

}  // namespace dbos::detail
