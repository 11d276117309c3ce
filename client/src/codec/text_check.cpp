#include "codec/text_check.hpp"

#include <cstdint>
#include <cstring>

namespace dbos::detail {

namespace {

// Length of the well-formed UTF-8 character at p (Unicode, table 3-7), 0 when there is none.
std::size_t character_length(const unsigned char* p, std::size_t left) noexcept {
  auto continues = [&](std::size_t i, unsigned low = 0x80, unsigned high = 0xBF) { return i < left && p[i] >= low && p[i] <= high; };
  unsigned lead = p[0];
  if (lead < 0x80) return 1;
  if (lead < 0xC2) return 0;
  if (lead < 0xE0) return continues(1) ? 2 : 0;
  if (lead < 0xF0) {
    unsigned low = lead == 0xE0 ? 0xA0 : 0x80;
    unsigned high = lead == 0xED ? 0x9F : 0xBF;
    return continues(1, low, high) && continues(2) ? 3 : 0;
  }
  if (lead > 0xF4) return 0;
  unsigned low = lead == 0xF0 ? 0x90 : 0x80;
  unsigned high = lead == 0xF4 ? 0x8F : 0xBF;
  return continues(1, low, high) && continues(2) && continues(3) ? 4 : 0;
}

// True when the eight bytes are ASCII without NUL.
bool plain_word(std::uint64_t word) noexcept {
  constexpr std::uint64_t kHigh = 0x8080808080808080;
  constexpr std::uint64_t kOnes = 0x0101010101010101;
  return ((word | ((word - kOnes) & ~word)) & kHigh) == 0;
}

}  // namespace

TextCheck check_text(std::string_view text) noexcept {
  const auto* data = reinterpret_cast<const unsigned char*>(text.data());
  std::size_t i = 0;
  while (i < text.size()) {
    std::uint64_t word;
    if (text.size() - i >= sizeof word) {
      std::memcpy(&word, data + i, sizeof word);
      if (plain_word(word)) {
        i += sizeof word;
        continue;
      }
    }
    if (data[i] == 0) return {TextFault::nul, i};
    std::size_t length = character_length(data + i, text.size() - i);
    if (length == 0) return {TextFault::not_utf8, i};
    i += length;
  }
  return {};
}

std::string describe(const TextCheck& check) {
  switch (check.fault) {
    case TextFault::none: return "is valid";
    case TextFault::nul: return "contains a NUL byte at offset " + std::to_string(check.at);
    case TextFault::not_utf8: return "is not UTF-8 at offset " + std::to_string(check.at);
  }
  return {};
}

}  // namespace dbos::detail
