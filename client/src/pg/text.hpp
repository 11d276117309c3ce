// What a text has to be before it is sent: UTF-8 without NUL. The server would refuse the first and libpq's text format cuts at the second.
// May include: std only.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace dbos::detail::pg {

enum class TextFault : char { none, nul, not_utf8 };

struct TextCheck {
  TextFault fault = TextFault::none;
  std::size_t at = 0;  // offset of the byte
};

TextCheck check_text(std::string_view text) noexcept;
// "contains a NUL byte at offset 3" …
std::string describe(const TextCheck& check);

// One line without control characters, for messages: what a server or an exception says may hold anything.
std::string one_line(std::string_view text);

// What stands for passwords becomes ***: user:secret@ and password=secret.
std::string mask_passwords(std::string_view text, std::string_view known_password = {});
// As mask_passwords, for complaints about a string that could not be parsed: whatever is quoted there goes, but for keywords.
std::string mask_quoted(std::string_view text);

}  // namespace dbos::detail::pg
