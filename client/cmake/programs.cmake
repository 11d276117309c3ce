# Programs of the work tree: dbos-sys, tests, examples, benches. Whatever .cpp exists is built.
set(DBOS_ROOT "${CMAKE_CURRENT_SOURCE_DIR}/..")

# dbos_programs(folder pattern… [PRIVATE_HEADERS] [LIBRARIES …]): one program per source file, named after it, in build/<folder>.
function(dbos_programs folder)
  cmake_parse_arguments(PARSE_ARGV 1 arg "PRIVATE_HEADERS" "" "LIBRARIES;PATTERNS;EXCLUDE")
  file(GLOB sources CONFIGURE_DEPENDS ${arg_PATTERNS})
  foreach(exclude IN LISTS arg_EXCLUDE)
    list(FILTER sources EXCLUDE REGEX "${exclude}")
  endforeach()
  foreach(source IN LISTS sources)
    get_filename_component(name "${source}" NAME_WE)
    add_executable(${folder}_${name} "${source}")
    set_target_properties(${folder}_${name} PROPERTIES OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}/${folder}")
    target_link_libraries(${folder}_${name} PRIVATE dbos::client dbos_build_flags ${arg_LIBRARIES})
    if(arg_PRIVATE_HEADERS)
      target_include_directories(${folder}_${name} PRIVATE src)
    endif()
  endforeach()
endfunction()

# ---- the command-line tool: public headers only
file(GLOB DBOS_CLI_SOURCES CONFIGURE_DEPENDS cli/*.cpp)
if(DBOS_CLI_SOURCES)
  find_package(CLI11 REQUIRED)
  # Exports of the archive are gzipped and have checksums.
  find_package(ZLIB REQUIRED)
  find_package(OpenSSL REQUIRED COMPONENTS Crypto)
  # `dbos-sys init --plain` brings the extension's functions along as a script.
  file(GLOB DBOS_SQL_SOURCES CONFIGURE_DEPENDS ${DBOS_ROOT}/extension/sql/*.sql ${DBOS_ROOT}/extension/plain/*.sql)
  set(DBOS_PLAIN_SCRIPT "${CMAKE_CURRENT_BINARY_DIR}/plain_script.cpp")
  add_custom_command(OUTPUT "${DBOS_PLAIN_SCRIPT}"
    COMMAND "${DBOS_ROOT}/extension/assemble" plain-cpp > "${DBOS_PLAIN_SCRIPT}"
    DEPENDS ${DBOS_SQL_SOURCES} ${DBOS_ROOT}/extension/assemble ${DBOS_ROOT}/extension/Makefile ${DBOS_ROOT}/extension/dbos_sys.control VERBATIM)
  add_executable(dbos-sys ${DBOS_CLI_SOURCES} "${DBOS_PLAIN_SCRIPT}")
  target_include_directories(dbos-sys PRIVATE cli)
  target_link_libraries(dbos-sys PRIVATE dbos::client dbos_build_flags CLI11::CLI11 Libpq::Libpq OpenSSL::Crypto ZLIB::ZLIB)
  target_compile_definitions(dbos-sys PRIVATE DBOS_VERSION="${PROJECT_VERSION}")
  install(TARGETS dbos-sys)
endif()

# ---- unit tests: all link the one main
find_package(doctest REQUIRED)
file(GLOB DBOS_TEST_HELPERS CONFIGURE_DEPENDS ${DBOS_ROOT}/test/client/*.cpp)
list(FILTER DBOS_TEST_HELPERS EXCLUDE REGEX "_test\\.cpp$")
add_library(dbos_test_main STATIC ${DBOS_TEST_HELPERS})
target_include_directories(dbos_test_main PRIVATE src)
target_compile_definitions(dbos_test_main PRIVATE DBOS_TEST_ROOT="${DBOS_ROOT}")
target_link_libraries(dbos_test_main PUBLIC doctest::doctest dbos::client PRIVATE dbos_build_flags Libpq::Libpq)
dbos_programs(test PRIVATE_HEADERS PATTERNS ${DBOS_ROOT}/test/client/*_test.cpp LIBRARIES dbos_test_main Libpq::Libpq Boost::context Threads::Threads)

# ---- programs driven by scripts
find_package(fmt REQUIRED)
dbos_programs(limits PATTERNS ${DBOS_ROOT}/test/limits/*.cpp)
dbos_programs(interop PATTERNS ${DBOS_ROOT}/test/interop/*.cpp)
dbos_programs(schedules PATTERNS ${DBOS_ROOT}/test/schedules/*.cpp)
dbos_programs(queues_sdk PATTERNS ${DBOS_ROOT}/test/queues_sdk/*.cpp)
dbos_programs(crash PRIVATE_HEADERS PATTERNS ${DBOS_ROOT}/test/crash/*.cpp LIBRARIES fmt::fmt Libpq::Libpq Threads::Threads)
dbos_programs(examples PATTERNS ${DBOS_ROOT}/examples/*/*.cpp EXCLUDE "/examples/(ingest|scheduled-prune)/")
dbos_programs(examples PATTERNS ${DBOS_ROOT}/examples/scheduled-prune/*.cpp LIBRARIES Libpq::Libpq)
# The main job is one program of several files.
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
file(GLOB DBOS_INGEST_SOURCES CONFIGURE_DEPENDS ${DBOS_ROOT}/examples/ingest/*.cpp)
add_executable(examples_ingest ${DBOS_INGEST_SOURCES})
set_target_properties(examples_ingest PROPERTIES OUTPUT_NAME ingest RUNTIME_OUTPUT_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}/examples")
target_link_libraries(examples_ingest PRIVATE dbos::client dbos_build_flags CLI11::CLI11 Libpq::Libpq OpenSSL::Crypto)
dbos_programs(bench PRIVATE_HEADERS PATTERNS ${DBOS_ROOT}/bench/*.cpp LIBRARIES Libpq::Libpq Threads::Threads)
