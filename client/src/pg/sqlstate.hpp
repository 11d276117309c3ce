// Which SQLSTATEs another try may pass. May include: std only.
#pragma once

#include <string_view>

namespace dbos::detail::pg {

enum class Fate : char {
  permanent,
  retry,      // the same statements may pass: connection trouble, shutdown, serialization, locks, full disk, an object that is just dropped
  careful,    // a key was taken by a transaction in flight: the careful form finds it
  elsewhere,  // this server cannot write (any more): reconnect
};

// `message`: the server's own words, which alone tell a lost race with DDL from other internal errors (they are never translated).
Fate fate_of(std::string_view sqlstate, std::string_view message = {}) noexcept;

// The login was refused or the database does not exist: waiting does not help, though a DBA may.
bool is_login_error(std::string_view sqlstate) noexcept;

}  // namespace dbos::detail::pg
