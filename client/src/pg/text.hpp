// Texts of pg: checked before they are sent, and made fit to be shown.
// May include: std, codec/text_check.hpp.
#pragma once

#include <string>
#include <string_view>

#include "codec/text_check.hpp"

namespace dbos::detail::pg {

using detail::check_text;
using detail::describe;
using detail::TextCheck;
using detail::TextFault;

// One line without control characters, for messages: what a server or an exception says may hold anything.
std::string one_line(std::string_view text);

// What stands for passwords becomes ***: user:secret@ and password=secret.
std::string mask_passwords(std::string_view text, std::string_view known_password = {});
// As mask_passwords, for complaints about a string that could not be parsed: whatever is quoted there goes, but for keywords.
std::string mask_quoted(std::string_view text);

}  // namespace dbos::detail::pg
