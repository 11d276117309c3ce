// The main job: one workflow for each file of a tree, three steps each, results in a second database.
//   ingest enqueue --dir D --system URI              enqueue the files (safe to repeat: ids are made from paths)
//   ingest work --system URI --business URI          run them until SIGTERM; as many processes as you like
#include <CLI/CLI.hpp>
#include <chrono>
#include <csignal>
#include <dbos/dbos.hpp>
#include <filesystem>
#include <iostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "business.hpp"
#include "digest.hpp"

namespace {

namespace fs = std::filesystem;

constexpr dbos::Signature<std::string(std::string)> kIngest{"ingest_file"};
constexpr std::size_t kBatch = 500;

struct Options {
  std::string dir;
  std::string system;
  std::string business;
  std::string queue = "ingest";
  std::string executor_id;
  int concurrency = 100;
  int threads = 16;
};

std::string ingest_file(dbos::Context& ctx, const ingest::Business& business, const std::string& argument) {
  const fs::path path = ingest::decode_path(argument);
  auto digest = ctx.step("digest", [&] { return ingest::digest_file(path); });
  auto counts = ctx.step("count", [&] { return ingest::count_file(path); });
  // The other database may be away for a while; the upsert makes a second try harmless.
  ctx.step("store", {.retries = 8, .interval = std::chrono::milliseconds(100)}, [&] { business.store(ctx.workflow_id(), argument, digest, counts); });
  return digest.sha256.value_or("unreadable: " + digest.error.value_or(""));
}

// Calls visit for each regular file below dir; links are not followed. A folder that cannot be read is named and left out.
template <class F>
void walk(const fs::path& dir, F&& visit) {
  std::vector<fs::path> folders{dir};
  while (!folders.empty()) {
    const fs::path folder = std::move(folders.back());
    folders.pop_back();
    std::error_code error;
    for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
      std::error_code vanished;
      fs::file_type type = it->symlink_status(vanished).type();
      if (type == fs::file_type::directory) folders.push_back(it->path());
      if (type == fs::file_type::regular) visit(it->path());
    }
    if (error) std::cerr << "ingest: left out " << folder << ": " << error.message() << "\n";
  }
}

void log(dbos::LogLevel level, std::string_view text) {
  if (level >= dbos::LogLevel::warning) std::cerr << "ingest: " + std::string(text) + "\n";
}

dbos::RuntimeOptions runtime_options(const Options& options) {
  dbos::RuntimeOptions runtime;
  runtime.application = "ingest";
  runtime.database = options.system;
  runtime.version = "ingest-1";
  runtime.executor_id = options.executor_id;
  runtime.max_blocking_steps = static_cast<unsigned>(options.threads);
  runtime.log = log;
  return runtime;
}

std::size_t enqueue(const Options& options) {
  const fs::path dir = fs::canonical(options.dir);
  // A Runtime that serves no queue: post_to() gathers many starts into one commit.
  dbos::Runtime app(runtime_options(options));
  auto job = app.workflow(kIngest, [](dbos::Context&, std::string) -> std::string { throw dbos::Permanent("this process only enqueues"); });
  app.launch();
  // No worker may have been up yet that registers it, with its own limit.
  dbos::Client({.database = options.system, .application = runtime_options(options).application})
      .register_queue(options.queue, {.on_conflict = dbos::QueueConflict::never_update});
  std::vector<dbos::Handle<std::string>> batch;
  std::size_t files = 0;
  auto settle = [&] {
    for (const auto& handle : batch) handle.wait_durable();
    files += batch.size();
    batch.clear();
  };
  walk(dir, [&](const fs::path& path) {
    batch.push_back(job.post_to(options.queue, {.id = ingest::workflow_id(path)}, ingest::encode_path(path)));
    if (batch.size() == kBatch) settle();
  });
  settle();
  return files;
}

void work(const Options& options) {
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  sigaddset(&stop, SIGINT);
  // Before any thread exists, so that all of them inherit it and sigwait below is the one receiver.
  pthread_sigmask(SIG_BLOCK, &stop, nullptr);
  ingest::Business business(options.business);
  dbos::Runtime app(runtime_options(options));
  app.workflow(kIngest, [&business](dbos::Context& ctx, std::string path) { return ingest_file(ctx, business, path); });
  app.queue(options.queue, {.worker_concurrency = options.concurrency});
  app.launch();
  std::cout << "ingest: executor " << app.executor_id() << " is working" << std::endl;
  int signal = 0;
  sigwait(&stop, &signal);
  app.shutdown();
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App cli{"Ingest a folder tree durably", "ingest"};
  cli.require_subcommand(1);
  CLI::App* enqueue_verb = cli.add_subcommand("enqueue", "enqueue one workflow for each file");
  CLI::App* work_verb = cli.add_subcommand("work", "run workflows until SIGTERM");
  enqueue_verb->add_option("--dir", options.dir, "folder tree")->required()->check(CLI::ExistingDirectory);
  for (CLI::App* verb : {enqueue_verb, work_verb}) {
    verb->add_option("--system", options.system, "system database")->required();
    verb->add_option("--queue", options.queue, "queue")->capture_default_str();
    verb->add_option("--executor-id", options.executor_id, "name of this process, unique among the running ones");
  }
  work_verb->add_option("--business", options.business, "database for the results")->required();
  work_verb->add_option("--concurrency", options.concurrency, "files at a time")->check(CLI::Range(1, 10'000))->capture_default_str();
  work_verb->add_option("--threads", options.threads, "threads, each with a connection to --business")
      ->check(CLI::Range(1, 512))
      ->capture_default_str();
  CLI11_PARSE(cli, argc, argv);
  try {
    if (work_verb->parsed()) work(options);
    else std::cout << enqueue(options) << " files enqueued\n";
    return 0;
  } catch (const std::exception& e) {
    std::cerr << "ingest: " << e.what() << "\n";
    return 1;
  }
}
