#include "secrets.hpp"

#include <cstdlib>
#include <regex>
#include <vector>

namespace dbos::cli {

namespace {

constexpr const char* kMask = "***";

// Userinfo ends at the last '@' before the path, so that a password with '@' in it is covered whole.
const std::regex& uri_password() {
  static const std::regex pattern(R"((postgres(?:ql)?://[^:/@\s]*:)([^/\s]*)(@))", std::regex::icase);
  return pattern;
}

const std::regex& key_password() {
  static const std::regex pattern(R"(((?:ssl)?password\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s&']+))", std::regex::icase);
  return pattern;
}

std::string percent_decoded(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); i++) {
    if (text[i] != '%' || i + 2 >= text.size()) {
      out += text[i];
      continue;
    }
    out += static_cast<char>(std::strtol(text.substr(i + 1, 2).c_str(), nullptr, 16));
    i += 2;
  }
  return out;
}

std::vector<std::string> secrets(const std::string& db) {
  std::vector<std::string> found;
  std::smatch match;
  if (std::regex_search(db, match, uri_password())) found.insert(found.end(), {match[2], percent_decoded(match[2])});
  for (std::sregex_iterator it(db.begin(), db.end(), key_password()), end; it != end; ++it) {
    std::string value = (*it)[2];
    if (value.size() >= 2 && value.front() == '\'') value = value.substr(1, value.size() - 2);
    found.insert(found.end(), {value, percent_decoded(value)});
  }
  if (const char* password = std::getenv("PGPASSWORD")) found.emplace_back(password);
  return found;
}

}  // namespace

std::string without_passwords(std::string text, const std::string& db) {
  text = std::regex_replace(text, uri_password(), std::string("$1") + kMask + "$3");
  text = std::regex_replace(text, key_password(), std::string("$1") + kMask);
  for (const std::string& secret : secrets(db)) {
    // A secret of one or two characters would blank out half the message.
    if (secret.size() < 3) continue;
    for (auto at = text.find(secret); at != std::string::npos; at = text.find(secret, at + 3)) text.replace(at, secret.size(), kMask);
  }
  return text;
}

}  // namespace dbos::cli
