// The portable error object {"name","message","code","data"} that every SDK reads and writes.
#pragma once

#include <exception>
#include <string>
#include <string_view>

namespace dbos::detail {

struct ErrorParts {
  std::string name;
  std::string message;
  std::string code_json;  // "" = absent
  std::string data_json;  // "" = absent
};

std::string encode_error(const ErrorParts& parts);
std::string encode_error(std::string_view name, std::string_view message);
// Tolerant, as readers must be: missing members stay empty, text that is no such object becomes the message.
ErrorParts decode_error(std::string_view text);
// What a user's exception looks like to other SDKs: PortableError as it says, others by their type's short name and what().
ErrorParts describe_exception(const std::exception_ptr& error);

}  // namespace dbos::detail
