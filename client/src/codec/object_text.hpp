// Small JSON objects as text, written member by member: the arguments of SQL functions. Reading and user values are json.hpp's.
// Folder codec: text formats. May include: std, dbos/error.hpp, dbos/json.hpp in the .cpp files. Must not know: store, engine, pg.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace dbos::detail {

// JSON string literal of UTF-8 text, quotes included. Throws CodecError for invalid UTF-8.
std::string json_quote(std::string_view text);

// Throws UsageError unless text is one JSON object that jsonb takes: at most kMaxJsonDepth levels, no \u0000. `what` names it.
void require_object(std::string_view text, std::string_view what);

// Names of members may be any UTF-8 text.
class ObjectText {
 public:
  ObjectText& text(std::string_view key, std::string_view value);
  ObjectText& number(std::string_view key, std::int64_t value);
  ObjectText& boolean(std::string_view key, bool value);
  // value is JSON text already.
  ObjectText& json(std::string_view key, std::string_view value);

  bool empty() const noexcept { return body_.empty(); }
  // The object; "" while nothing was added.
  std::string str() const { return body_.empty() ? std::string() : body_ + "}"; }
  std::string str_or_empty_object() const { return body_.empty() ? std::string("{}") : body_ + "}"; }

 private:
  void key(std::string_view name);

  std::string body_;
};

}  // namespace dbos::detail
