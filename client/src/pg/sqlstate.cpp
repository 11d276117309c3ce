#include "pg/sqlstate.hpp"

#include <algorithm>
#include <array>

namespace dbos::detail::pg {

namespace {

using namespace std::string_view_literals;

// 57014: somebody's pg_cancel_backend() or statement_timeout. 57P04 (database dropped) and 53400 (a limit of the DBA's) are not here.
constexpr std::array kRetry{"40001"sv, "40P01"sv, "55P03"sv, "57014"sv, "57P01"sv, "57P02"sv,
                            "57P03"sv, "57P05"sv, "53000"sv, "53100"sv, "53200"sv, "53300"sv};

// Functions are not locked while they are called: DROP and CREATE OR REPLACE of the extension's may be met halfway.
bool lost_to_ddl(std::string_view message) noexcept {
  constexpr std::array kRaces{"cache lookup failed for "sv, "could not open relation with OID "sv, "tuple concurrently "sv};
  return std::any_of(kRaces.begin(), kRaces.end(), [&](auto text) { return message.starts_with(text); });
}

}  // namespace

Fate fate_of(std::string_view sqlstate, std::string_view message) noexcept {
  if (sqlstate == "23505"sv) return Fate::careful;
  if (sqlstate == "25006"sv) return Fate::elsewhere;
  if (sqlstate == "XX000"sv) return lost_to_ddl(message) ? Fate::retry : Fate::permanent;
  bool retry = sqlstate.starts_with("08"sv) || std::find(kRetry.begin(), kRetry.end(), sqlstate) != kRetry.end();
  return retry ? Fate::retry : Fate::permanent;
}

bool is_login_error(std::string_view sqlstate) noexcept { return sqlstate.starts_with("28"sv) || sqlstate == "3D000"sv || sqlstate == "57P04"sv; }

}  // namespace dbos::detail::pg
