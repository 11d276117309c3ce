// Which sanitizers this translation unit is built with: DBOS_ASAN and DBOS_TSAN are 1 or 0. g++ and clang tell it differently.
#pragma once

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define DBOS_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define DBOS_TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define DBOS_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__)
#define DBOS_TSAN 1
#endif

#ifndef DBOS_ASAN
#define DBOS_ASAN 0
#endif
#ifndef DBOS_TSAN
#define DBOS_TSAN 0
#endif
