// A worker that tests kill: workflows whose steps write a side-effect log, one line before and one after each body, each line on disk
// before the body goes on.
//
//   crash_worker start|work --database URI --log FILE --executor ID [options]
//     start: starts --count workflows under the ids PREFIX-KIND-NUMBER, even numbers directly, odd ones on a queue, and waits for them
//     work:  works until SIGTERM, with --until-idle until nothing is left to do
//
// Standard output: `ready`; `ack ID` when a start is acknowledged; `result ID JSON` and `failed ID NAME` as a waiter was told;
// `open ID WHY` when it was not told.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <ctime>
#include <dbos/dbos.hpp>
#include <functional>
#include <iostream>
#include <map>
#include <sstream>
#include <thread>

namespace {

using std::chrono::milliseconds;

struct Settings {
  std::string mode, database, log, executor, application = "crash", prefix = "w";
  std::vector<std::string> kinds = {"chain", "nap", "family", "flaky", "fail"};
  int count = 10;
  int step_ms = 5;
  int nap_ms = 600;
  int lease_ms = 15000;
  int drain_ms = 300;
  int threads = 4;
  std::string way = "both";  // direct, queue, both
  bool until_idle = false;
  // A queue belongs to one application.
  std::string queue() const { return application + " work"; }
};

// The parts one after the other.
template <class... T>
std::string text_of(const T&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

std::int64_t microseconds(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<std::int64_t>(time.tv_sec) * 1000000 + time.tv_nsec / 1000;
}

// One write() to a file in append mode: lines of several processes do not mix, and their order is the order of what happened.
class EffectLog {
 public:
  EffectLog(const std::string& path, std::string executor)
      : fd_(::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644)), executor_(std::move(executor)) {
    if (fd_ < 0) throw std::runtime_error("cannot open " + path);
  }
  void write(const dbos::StepContext& step, std::string_view name, std::int64_t execution, const char* phase) {
    auto line = text_of(executor_, '\t', ::getpid(), '\t', step.workflow_id(), '\t', step.step_id(), '\t', name, '\t', step.attempt(), '\t',
                        execution, '\t', phase, '\t', microseconds(CLOCK_REALTIME), '\t', microseconds(CLOCK_MONOTONIC), '\n');
    if (::write(fd_, line.data(), line.size()) != static_cast<ssize_t>(line.size()) || ::fdatasync(fd_) != 0) std::abort();
  }

 private:
  int fd_;
  std::string executor_;
};

void say(const std::string& line) {
  auto text = line + "\n";
  if (::write(STDOUT_FILENO, text.data(), text.size()) != static_cast<ssize_t>(text.size())) std::abort();
}

// The workflows. test/crash/auditor.py knows by itself what each has to record and return.
class Workflows {
 public:
  Workflows(dbos::Runtime& runtime, const Settings& settings, EffectLog& log)
      : settings_(settings),
        log_(log),
        chain_(runtime.workflow("chain", [this](dbos::Context& context, std::string tag, int steps) { return chain(context, tag, steps); })),
        nap_(runtime.workflow("nap", [this](dbos::Context& context, std::string tag, int ms) { return nap(context, tag, ms); })),
        messenger_(
            runtime.workflow("messenger", [this](dbos::Context& context, std::string to, std::string tag) { return messenger(context, to, tag); })),
        family_(runtime.workflow("family", [this](dbos::Context& context, std::string tag) { return family(context, tag); })),
        flaky_(runtime.workflow("flaky", [this](dbos::Context& context, std::string tag) { return flaky(context, tag); })),
        fail_(runtime.workflow("fail", [this](dbos::Context& context, std::string tag) { return fail(context, tag); })) {}

  dbos::Handle<std::string> start(int number) {
    const auto& kind = settings_.kinds[static_cast<std::size_t>(number) % settings_.kinds.size()];
    auto tag = text_of(settings_.prefix, '-', kind, '-', number);
    if (kind == "chain") return go(chain_, number, tag, tag, 3 + number % 3);
    if (kind == "nap") return go(nap_, number, tag, tag, settings_.nap_ms);
    if (kind == "family") return go(family_, number, tag, tag);
    if (kind == "flaky") return go(flaky_, number, tag, tag);
    if (kind == "fail") return go(fail_, number, tag, tag);
    throw std::runtime_error("no kind " + kind);
  }

 private:
  template <class... A>
  using Flow = dbos::Workflow<std::string(A...)>;

  template <class... A>
  dbos::Handle<std::string> go(const Flow<A...>& flow, int number, const std::string& id, const std::type_identity_t<A>&... arguments) {
    bool queued = settings_.way == "queue" || (settings_.way == "both" && number % 2 == 1);
    return queued ? flow.enqueue(settings_.queue(), {.id = id}, arguments...) : flow.start({.id = id}, arguments...);
  }

  int effect(dbos::Context& context, const std::string& name, int value, const dbos::StepOptions& options = {}, bool fails_first = false) {
    auto execution = context.attempt();
    return context.step(name, options, [&](dbos::StepContext& step) {
      log_.write(step, name, execution, "begin");
      std::this_thread::sleep_for(milliseconds(settings_.step_ms));
      if (fails_first && step.attempt() == 1) throw std::runtime_error("the first attempt fails");
      log_.write(step, name, execution, "end");
      return value;
    });
  }

  std::string chain(dbos::Context& context, const std::string& tag, int steps) {
    int total = 0;
    for (int i = 0; i < steps; ++i) total += effect(context, text_of("link", i), 10 * i + steps);
    return text_of(tag, '/', total);
  }

  std::string nap(dbos::Context& context, const std::string& tag, int ms) {
    int total = effect(context, "before", 1);
    context.sleep(milliseconds(ms));
    total += effect(context, "after", 2);
    total += effect(context, "last", 4);
    return text_of(tag, '/', total);
  }

  std::string family(dbos::Context& context, const std::string& tag) {
    effect(context, "born", 1);
    bool direct = tag.back() % 2 == 0;
    auto child = direct ? context.start(messenger_, context.workflow_id(), tag)
                        : context.enqueue(messenger_, settings_.queue(), {}, context.workflow_id(), tag);
    auto message = context.recv<std::string>("go", milliseconds(300000));
    auto result = child.result();
    effect(context, "grown", 2);
    return message.value_or("nothing") + "|" + result;
  }

  std::string messenger(dbos::Context& context, const std::string& to, const std::string& tag) {
    effect(context, "pack", 1);
    context.send(to, tag + "!", "go");
    effect(context, "return", 2);
    return tag + "~";
  }

  std::string flaky(dbos::Context& context, const std::string& tag) {
    int total = effect(context, "stumble", 1, {.retries = 2, .interval = milliseconds(20)}, true);
    total += effect(context, "walk", 2);
    total += effect(context, "arrive", 4);
    return text_of(tag, '/', total);
  }

  std::string fail(dbos::Context& context, const std::string& tag) {
    effect(context, "try", 1);
    effect(context, "give_up", 2);
    effect(context, "tell", 3);
    throw dbos::PortableError("Refusal", tag + " refused");
  }

  const Settings& settings_;
  EffectLog& log_;
  Flow<std::string, int> chain_;
  Flow<std::string, int> nap_;
  Flow<std::string, std::string> messenger_;
  Flow<std::string> family_;
  Flow<std::string> flaky_;
  Flow<std::string> fail_;
};

void await(const dbos::Handle<std::string>& handle) {
  try {
    say(text_of("result ", handle.id(), ' ', nlohmann::json(handle.result()).dump()));
  } catch (const dbos::WorkflowFailed& e) {
    say(text_of("failed ", handle.id(), ' ', e.name()));
  } catch (const std::exception& e) {
    say(text_of("open ", handle.id(), ' ', e.what()));
  }
}

void start_and_await(Workflows& workflows, int from, const Settings& settings) {
  std::vector<dbos::Handle<std::string>> handles;
  for (int number = from; number < settings.count; number += settings.threads) {
    try {
      auto handle = workflows.start(number);
      say("ack " + handle.id());
      handles.push_back(handle);
    } catch (const std::exception& e) {
      say(text_of("open ", settings.prefix, '-', number, ' ', e.what()));
    }
  }
  for (const auto& handle : handles) await(handle);
}

bool idle(dbos::Runtime& runtime) {
  dbos::ListFilter unfinished{.status = {dbos::Status::enqueued, dbos::Status::delayed, dbos::Status::pending}, .limit = 1, .load_payloads = false};
  return runtime.list(unfinished).empty();
}

// True when SIGTERM came within the time.
bool terminated(milliseconds limit) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  timespec time{limit.count() / 1000, limit.count() % 1000 * 1000000};
  return sigtimedwait(&set, nullptr, &time) == SIGTERM;
}

void run_starts(dbos::Runtime& runtime, Workflows& workflows, const Settings& settings) {
  std::atomic<int> left = settings.threads;
  std::vector<std::jthread> starters;
  for (int i = 0; i < settings.threads; ++i) {
    starters.emplace_back([&, i] {
      start_and_await(workflows, i, settings);
      --left;
    });
  }
  while (left > 0 && !terminated(milliseconds(20))) {
  }
  runtime.shutdown();
}

int run(const Settings& settings) {
  EffectLog log(settings.log, settings.executor);
  dbos::Runtime runtime({.application = settings.application,
                         .database = settings.database,
                         .executor_id = settings.executor,
                         .version = settings.application + " 1",
                         .lease = milliseconds(settings.lease_ms),
                         .carriers = 8,
                         .drain_timeout = milliseconds(settings.drain_ms),
                         .log = [](dbos::LogLevel, std::string_view text) { std::cerr << text_of(microseconds(CLOCK_REALTIME), ' ', text, '\n'); }});
  Workflows workflows(runtime, settings, log);
  runtime.queue(settings.queue(), {.worker_concurrency = 40});
  runtime.launch();
  say("ready");
  if (settings.mode == "start") {
    run_starts(runtime, workflows, settings);
  } else {
    while (!terminated(milliseconds(settings.until_idle ? 50 : 60000)) && !(settings.until_idle && idle(runtime))) {
    }
    runtime.shutdown();
  }
  say("bye");
  return 0;
}

std::vector<std::string> words(const std::string& list) {
  std::vector<std::string> found(1);
  for (char c : list) {
    if (c == ',') found.emplace_back();
    else found.back() += c;
  }
  return found;
}

Settings read(int argc, char** argv) {
  Settings s;
  std::map<std::string, std::function<void(const std::string&)>> options;
  auto text = [&](const char* name, std::string& target) { options[name] = [&target](const std::string& value) { target = value; }; };
  auto number = [&](const char* name, int& target) { options[name] = [&target](const std::string& value) { target = std::stoi(value); }; };
  text("--database", s.database), text("--log", s.log), text("--executor", s.executor), text("--application", s.application);
  text("--prefix", s.prefix), text("--way", s.way);
  number("--count", s.count), number("--step-ms", s.step_ms), number("--nap-ms", s.nap_ms), number("--lease-ms", s.lease_ms);
  number("--drain-ms", s.drain_ms), number("--threads", s.threads);
  options["--kinds"] = [&s](const std::string& value) { s.kinds = words(value); };
  s.mode = argc > 1 ? argv[1] : "";
  if (s.mode != "start" && s.mode != "work") throw std::runtime_error("want start or work");
  for (int i = 2; i < argc; ++i) {
    std::string name = argv[i];
    if (name == "--until-idle") {
      s.until_idle = true;
      continue;
    }
    auto option = options.find(name);
    if (option == options.end() || ++i == argc) throw std::runtime_error("unknown option, or one without its value: " + name);
    option->second(argv[i]);
  }
  if (s.database.empty() || s.log.empty() || s.executor.empty()) throw std::runtime_error("--database, --log and --executor are needed");
  return s;
}

}  // namespace

int main(int argc, char** argv) {
  // Blocked before any thread exists: SIGTERM is fetched by sigtimedwait() alone.
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  try {
    return run(read(argc, argv));
  } catch (const dbos::Error& e) {
    std::cerr << "crash_worker: " << e.what() << " (" << e.sqlstate() << ")\n";
    return 3;
  } catch (const std::exception& e) {
    std::cerr << "crash_worker: " << e.what() << '\n';
    return 2;
  }
}
