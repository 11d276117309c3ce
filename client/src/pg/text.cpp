#include "pg/text.hpp"

#include <cstdint>
#include <cstring>

namespace dbos::detail::pg {

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

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) text.replace(at, from.size(), to);
}

// user:secret@host, in URIs and in what should have been one. A word's last @ ends the secret: it may hold others.
void mask_userinfo(std::string& text) {
  for (std::size_t at = text.rfind('@'); at != std::string::npos;) {
    std::size_t start = text.find_last_of(" \"'", at);
    start = start == std::string::npos ? 0 : start + 1;
    std::size_t slashes = text.find("//", start);
    std::size_t colon = text.find(':', slashes < at ? slashes + 2 : start);
    if (colon < at) text.replace(colon + 1, at - colon - 1, "***");
    at = start == 0 ? std::string::npos : text.rfind('@', start - 1);
  }
}

void mask_assignment(std::string& text, std::string_view key) {
  for (std::size_t at = text.find(key); at != std::string::npos; at = text.find(key, at)) {
    at += key.size();
    while (at < text.size() && text[at] == ' ') ++at;
    if (at >= text.size() || text[at] != '=') continue;
    ++at;
    while (at < text.size() && text[at] == ' ') ++at;
    bool quoted = at < text.size() && text[at] == '\'';
    std::size_t end = quoted ? text.find('\'', at + 1) : text.find_first_of(" &\"", at);
    end = end == std::string::npos ? text.size() : quoted ? end + 1 : end;
    text.replace(at, end - at, "***");
  }
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

std::string one_line(std::string_view text) {
  std::string line;
  line.reserve(text.size());
  for (char c : text) {
    bool blank = static_cast<unsigned char>(c) <= ' ' || c == '\x7F';
    if (!blank) line += c;
    else if (!line.empty() && line.back() != ' ') line += ' ';
  }
  while (!line.empty() && line.back() == ' ') line.pop_back();
  return line;
}

std::string mask_passwords(std::string_view text, std::string_view known_password) {
  std::string masked(text);
  // Shorter ones would hit ordinary words.
  if (known_password.size() >= 4) replace_all(masked, known_password, "***");
  mask_userinfo(masked);
  mask_assignment(masked, "password");
  return masked;
}

std::string mask_quoted(std::string_view text) {
  std::string masked(text);
  // These quote a keyword.
  if (text.starts_with("invalid connection option") || text.starts_with("invalid URI query parameter")) return mask_passwords(masked);
  for (auto open = masked.find('"'); open != std::string::npos;) {
    auto close = masked.find('"', open + 1);
    if (close == std::string::npos) break;
    if (close - open > 2) {
      masked.replace(open + 1, close - open - 1, "***");
      close = open + 4;
    }
    open = masked.find('"', close + 1);
  }
  return mask_passwords(masked);
}

}  // namespace dbos::detail::pg
