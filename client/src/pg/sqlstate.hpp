// Which SQLSTATEs another try may pass. May include: std only.
#pragma once

#include <string_view>

namespace dbos::detail::pg {

enum class Fate : char {
  permanent,
  retry,      // the same statements may pass: connection trouble, shutdown, serialization, locks, full disk
  careful,    // a key was taken by a transaction in flight: the careful form finds it
  elsewhere,  // this server cannot write (any more): reconnect
};

Fate fate_of(std::string_view sqlstate) noexcept;

// The login was refused or the database does not exist: waiting does not help, though a DBA may.
bool is_login_error(std::string_view sqlstate) noexcept;

}  // namespace dbos::detail::pg
