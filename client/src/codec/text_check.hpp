// What a text has to be before it is sent: UTF-8 without NUL. The server would refuse the first and libpq's text format cuts at the second.
// May include: std only.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace dbos::detail {

enum class TextFault : char { none, nul, not_utf8 };

struct TextCheck {
  TextFault fault = TextFault::none;
  std::size_t at = 0;  // offset of the byte
};

TextCheck check_text(std::string_view text) noexcept;
// "contains a NUL byte at offset 3" …
std::string describe(const TextCheck& check);

}  // namespace dbos::detail
