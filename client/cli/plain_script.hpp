// The functions of dbos_sys as one SQL script: extension/assemble makes it when dbos-sys is built.
#pragma once

namespace dbos::cli {

extern const char* const kPlainScript;

}  // namespace dbos::cli
