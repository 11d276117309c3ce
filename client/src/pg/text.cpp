#include "pg/text.hpp"

namespace dbos::detail::pg {

namespace {

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
