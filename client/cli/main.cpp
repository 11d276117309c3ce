// dbos-sys: set up a DBOS system database and look after its workflows.
// Exit codes: 0 done, 1 failed, 2 wrong usage; doctor has more.
#include <CLI/CLI.hpp>
#include <dbos/error.hpp>
#include <functional>
#include <iostream>
#include <limits>
#include <string>
#include <vector>

#include "archive.hpp"
#include "commands.hpp"
#include "history.hpp"
#include "queues.hpp"
#include "retention.hpp"
#include "schedules.hpp"
#include "usage.hpp"

namespace {

using namespace dbos::cli;

CLI::App* add_verb(CLI::App& app, Common& common, const char* name, const char* description) {
  CLI::App* verb = app.add_subcommand(name, description);
  verb->add_option("--db", common.db, "URI, key=value pairs, service=NAME or a database's name; without it the PG* variables");
  verb->add_flag("--json", common.json, "JSON instead of text");
  return verb;
}

void add_application(CLI::App* verb, Common& common, const char* description) { verb->add_option("--application", common.application, description); }

void add_init(CLI::App& app, Common& common, InitArguments& arguments) {
  CLI::App* verb = add_verb(app, common, "init", "Create the system database (collation C), the extension and the tables; safe to repeat");
  verb->add_option("--name", arguments.name, "name of the database, instead of the connection's");
  verb->add_option("--owner", arguments.owner, "existing role that shall own the database and the tables");
  verb->add_option("--maintenance-db", arguments.maintenance_database, "database to connect to for CREATE DATABASE")->capture_default_str();
  verb->add_flag("--plain", arguments.plain, "the functions as plain SQL instead of the extension: for managed servers, as the database's owner");
  verb->add_flag("--settings", arguments.settings,
                 "also set the server up for this database alone, as dbos_sys.conf says: ALTER SYSTEM, as a superuser; what is met stays");
  verb->callback([&] { run_init(common, arguments); });
}

void add_migrate(CLI::App& app, Common& common, MigrateArguments& arguments) {
  CLI::App* verb =
      add_verb(app, common, "migrate", "Bring an official SDK's tables to our version while its application works; safe to interrupt and repeat");
  verb->add_flag("--force", arguments.force, "although older SDKs are connected");
  verb->add_flag("--dry-run", arguments.dry_run, "only print the statements");
  verb->callback([&] { run_migrate(common, arguments); });
}

void add_doctor(CLI::App& app, Common& common, DoctorArguments& arguments, int& exit_code) {
  CLI::App* verb = add_verb(app, common, "doctor", "Examine database, server and workflows by the checklist for production");
  verb->add_option("LINE", arguments.names, "only these lines, by name");
  verb->add_option("--accept", arguments.accepted, "line that may be as it is; may be repeated or given with commas")
      ->delimiter(',')
      ->allow_extra_args(false);
  verb->add_option("--wait", arguments.wait, "look again until nothing is to mend, at most so long (30s, 5m)");
  verb->footer("Exit code: 0 all is well, 3 something is to mend, 4 nothing is, but something is not known; 1 and 2 as for each verb.");
  verb->callback([&] { exit_code = run_doctor(common, arguments); });
}

void add_list(CLI::App& app, Common& common, ListArguments& arguments) {
  CLI::App* verb = add_verb(app, common, "list", "List workflows, newest first");
  add_application(verb, common, "only this application's");
  verb->add_option("--status", arguments.status, "only these; may be repeated or given with commas")->delimiter(',');
  verb->add_option("--name", arguments.name, "only workflows of this name");
  verb->add_option("--queue", arguments.queue, "only this queue's");
  verb->add_option("--id-prefix", arguments.id_prefix, "only ids that start so");
  verb->add_option("--executor", arguments.executor, "only those this executor ran last");
  verb->add_option("--version", arguments.version, "only this application version's");
  verb->add_option("--parent", arguments.parent, "only children of this workflow");
  verb->add_option("--since", arguments.since, "created at or after: a time, or how long ago (90m)");
  verb->add_option("--until", arguments.until, "created at or before");
  verb->add_option("--limit", arguments.limit, "at most so many")->check(CLI::Range(1, 1'000'000))->capture_default_str();
  verb->add_option("--offset", arguments.offset, "leave out the first ones")->check(CLI::Range(0, std::numeric_limits<int>::max()));
  verb->add_flag("--oldest-first", arguments.oldest_first, "reverse the order");
  verb->add_flag("--archived", arguments.archived, "those in the archive, instead of those in the tables");
  verb->add_flag("--payloads", arguments.payloads, "with --json: inputs and results too");
  verb->callback([&] { run_list(common, arguments); });
}

void add_show(CLI::App& app, Common& common, std::string& id) {
  CLI::App* verb = add_verb(app, common, "show", "Show a workflow and its steps as a timeline");
  verb->add_option("ID", id, "id of the workflow")->required();
  verb->callback([&] { run_show(common, id); });
}

void add_history(CLI::App& app, Common& common, HistoryArguments& arguments) {
  auto add = [&](const char* name, const char* description, void (*run)(const Common&, const HistoryArguments&)) {
    CLI::App* verb = add_verb(app, common, name, description);
    verb->add_option("ID", arguments.id, "id of the workflow")->required();
    verb->callback([&common, &arguments, run] { run(common, arguments); });
    return verb;
  };
  add("history", "Show all that is recorded of a workflow, from the tables or from the archive", run_history);
  CLI::App* restore = add("restore", "Move a workflow from the archive back into the tables", run_restore);
  restore->add_option("--hold", arguments.hold, "prune leaves it alone for so long")->capture_default_str();
  restore->add_flag("--children", arguments.children, "with all that it started, and they");
  CLI::App* fork = add("fork", "Start a copy of a workflow, also of an archived one, and print its id", run_fork);
  fork->add_option("--step", arguments.step, "run on from this step; what was recorded before it is taken over")
      ->check(CLI::Range(0, std::numeric_limits<int>::max()))
      ->capture_default_str();
  fork->add_option("--id", arguments.new_id, "id of the copy");
  fork->add_option("--queue", arguments.queue, "queue instead of the internal one");
  fork->add_option("--version", arguments.version, "application version instead of the original's");
}

void add_start(CLI::App& app, Common& common, StartArguments& arguments) {
  CLI::App* verb = add_verb(app, common, "start", "Enqueue a workflow and print its id");
  add_application(verb, common, "application that shall run it; without it, any that knows the name");
  verb->add_option("NAME", arguments.name, "name of the workflow")->required();
  verb->add_option("--args", arguments.args, "JSON array of arguments, or object of named ones; - reads standard input");
  verb->add_option("--id", arguments.id, "id and idempotency key");
  verb->add_option("--queue", arguments.queue, "queue")->capture_default_str();
  verb->add_option("--timeout", arguments.timeout, "cancel when it runs longer (30s, 5m, 2h)");
  verb->add_option("--delay", arguments.delay, "not before this time has passed");
  verb->add_option("--priority", arguments.priority, "0 first")->check(CLI::Range(0, std::numeric_limits<int>::max()));
  verb->add_option("--version", arguments.version, "only executors of this application version");
  verb->add_option("--class", arguments.class_name, "class under which another SDK registered it");
  verb->add_option("--partition", arguments.partition, "partition key on a partitioned queue");
  verb->add_option("--dedup", arguments.deduplication_id, "deduplication id, unique among the queue's active workflows");
  verb->add_option("--attributes", arguments.attributes, "JSON object of attributes");
  verb->add_flag("--wait", arguments.wait, "wait for the end and print the result");
  verb->callback([&] { run_start(common, arguments); });
}

void add_cancel(CLI::App& app, Common& common, ChangeArguments& arguments) {
  CLI::App* verb = add_verb(app, common, "cancel", "Cancel workflows; those that ended stay as they are");
  verb->add_option("ID", arguments.ids, "ids of workflows")->required();
  verb->add_flag("--children", arguments.children, "their descendants too");
  verb->callback([&] { run_cancel(common, arguments); });
}

void add_resume(CLI::App& app, Common& common, ChangeArguments& arguments) {
  CLI::App* verb = add_verb(app, common, "resume", "Put cancelled, dead-letter or stuck workflows back on a queue");
  verb->add_option("ID", arguments.ids, "ids of workflows")->required();
  verb->add_option("--queue", arguments.queue, "queue instead of the internal one");
  verb->callback([&] { run_resume(common, arguments); });
}

void add_queue_limits(CLI::App* verb, QueueArguments& arguments) {
  auto limits = [&](QueueLimitArguments& to, const std::string& prefix, const std::string& of) {
    verb->add_option("--" + prefix + "concurrency", to.concurrency, "runs at a time" + of + ", in all processes; none: no limit");
    verb->add_option("--" + prefix + "worker-concurrency", to.worker_concurrency, "runs at a time" + of + " in one process");
    verb->add_option("--" + prefix + "rate", to.rate, "starts" + of + " in a period, as 100/1s");
  };
  limits(arguments.whole, "", "");
  limits(arguments.partition, "partition-", " of one partition key");
  verb->add_option("--partitioned", arguments.partitioned, "yes: each workflow needs a partition key, although no other option is per key");
  verb->add_option("--fair", arguments.fair, "yes: starts are shared among the partition keys that wait");
  verb->add_option("--weight", arguments.weights, "share of a partition key, as tenant-a=2; may be repeated, replaces all");
  verb->add_option("--polling-interval", arguments.polling_interval, "how often official SDKs look for work");
}

void add_queues(CLI::App& app, Common& common, QueueArguments& arguments) {
  CLI::App* queues = add_verb(app, common, "queues", "List queues, or register, alter, pause, resume or drop one");
  add_application(queues, common, "only this application's and those of none");
  queues->require_subcommand(0, 1);
  auto add = [&](const char* name, const char* description, void (*run)(const Common&, const QueueArguments&)) {
    CLI::App* verb = add_verb(*queues, common, name, description);
    verb->add_option("NAME", arguments.name, "name of the queue")->required();
    verb->callback([&common, &arguments, run] { run(common, arguments); });
    return verb;
  };
  CLI::App* list = add_verb(*queues, common, "list", "List queues");
  add_application(list, common, "only this application's and those of none");
  list->callback([&] { run_queues_list(common); });
  CLI::App* create = add("register", "Create a queue, or replace all its options", run_queues_register);
  add_application(create, common, "application that owns it; without it, none does");
  add_queue_limits(create, arguments);
  create->add_flag("--keep", arguments.keep, "leave a queue that exists as it is");
  CLI::App* alter = add("alter", "Change some options of a queue; it holds from the next claim on", run_queues_alter);
  add_queue_limits(alter, arguments);
  add("pause", "Let nothing of a queue start until it is resumed; what runs goes on", run_queues_pause);
  add("resume", "End a pause", run_queues_resume);
  add("drop", "Take a queue off the list", run_queues_drop)
      ->add_flag("--force", arguments.force, "although workflows wait on it: they stay ENQUEUED");
  queues->callback([&common, queues] {
    if (queues->get_subcommands().empty()) run_queues_list(common);
  });
}

void add_bounds(CLI::App* verb, LimitArguments& arguments) {
  verb->add_option("NAME", arguments.name, "name of the limit")->required();
  verb->add_option("--rate", arguments.rate, "so many may begin in each --per; or both in one, as 100/1s");
  verb->add_option("--per", arguments.per, "500ms, 1s, 1m, 1h (1s)");
  verb->add_option("--burst", arguments.burst, "so many beyond an even rate");
  verb->add_option("--concurrency", arguments.concurrency, "so many at the same time");
  verb->add_option("--weight", arguments.weights, "KEY=SHARE; may be repeated");
}

void add_limits(CLI::App& app, Common& common, LimitArguments& arguments) {
  CLI::App* group = add_verb(app, common, "limits", "List the limits that steps of all processes share, or register, alter, hold or drop one");
  group->require_subcommand(0, 1);
  add_verb(*group, common, "list", "List limits: bounds, who waits, who holds")->callback([&] { run_limits_list(common); });
  CLI::App* make = add_verb(*group, common, "register", "Make a limit, or replace its bounds");
  add_bounds(make, arguments);
  make->callback([&] { run_limits_register(common, arguments); });
  CLI::App* alter = add_verb(*group, common, "alter", "Change the bounds that are given");
  add_bounds(alter, arguments);
  alter->callback([&] { run_limits_alter(common, arguments); });
  CLI::App* drop = add_verb(*group, common, "drop", "Remove a limit; refused while somebody waits or holds");
  drop->add_option("NAME", arguments.name, "name of the limit")->required();
  drop->add_flag("--force", arguments.force, "although it is in use");
  drop->callback([&] { run_limits_drop(common, arguments); });
  CLI::App* hold = add_verb(*group, common, "hold", "Let nobody begin for a time; 0 ends a hold");
  hold->add_option("NAME", arguments.name, "name of the limit")->required();
  hold->add_option("DURATION", arguments.duration, "500ms, 30s, 5m, 2h; 0 ends the hold")->required();
  hold->callback([&] { run_limits_hold(common, arguments); });
  group->callback([&common, group] {
    if (group->get_subcommands().empty()) run_limits_list(common);
  });
}

void add_schedule_options(CLI::App* verb, ScheduleArguments& arguments) {
  verb->add_option("--time-zone", arguments.time_zone, "name of the IANA database, as Europe/Paris (UTC)");
  verb->add_option("--context", arguments.context, "JSON that each run gets as its second argument");
  verb->add_option("--queue", arguments.queue, "queue of the runs; none: the internal one");
  verb->add_option("--backfill", arguments.backfill, "yes: what was missed is enqueued later");
  verb->add_option("--server", arguments.server, "no: only processes of the application fire it");
}

void add_schedules(CLI::App& app, Common& common, ScheduleArguments& arguments) {
  CLI::App* schedules = add_verb(app, common, "schedules", "List schedules, or apply, alter, pause, resume, trigger, fill in or drop one");
  add_application(schedules, common, "only this application's and those of none");
  schedules->require_subcommand(0, 1);
  auto add = [&](const char* name, const char* description, void (*run)(const Common&, const ScheduleArguments&)) {
    CLI::App* verb = add_verb(*schedules, common, name, description);
    verb->add_option("NAME", arguments.name, "name of the schedule")->required();
    verb->callback([&common, &arguments, run] { run(common, arguments); });
    return verb;
  };
  CLI::App* list = add_verb(*schedules, common, "list", "List schedules, when they fire next, and why one does not");
  add_application(list, common, "only this application's and those of none");
  list->callback([&] { run_schedules_list(common); });
  CLI::App* apply =
      add("apply", "Make a schedule, or replace all but its pause, its application and, unless given, its context", run_schedules_apply);
  apply->add_option("WORKFLOW", arguments.workflow, "name of the workflow, which is called with (time, context)")->required();
  apply->add_option("CRON", arguments.cron, "[second] minute hour day-of-month month day-of-week, as '30 2 * * MON-FRI'")->required();
  add_schedule_options(apply, arguments);
  add_application(apply, common, "application that owns it; without it, none does");
  apply->add_option("--class", arguments.class_name, "class under which another SDK registered the workflow");
  apply->add_flag("--typescript", arguments.typescript, "for a workflow on the official TypeScript SDK, which reads no other context");
  CLI::App* alter = add("alter", "Change what is given", run_schedules_alter);
  alter->add_option("--cron", arguments.cron, "another cron text");
  add_schedule_options(alter, arguments);
  add("pause", "Let it fire no more until it is resumed", run_schedules_pause);
  add("resume", "End a pause", run_schedules_resume);
  add("trigger", "Enqueue one run now and print its id", run_schedules_trigger);
  CLI::App* backfill = add("backfill", "Enqueue the runs between two times; those that exist stay as they are", run_schedules_backfill);
  backfill->add_option("--from", arguments.from, "a time, or how long ago (2d); outside")->required();
  backfill->add_option("--to", arguments.to, "a time, or how long ago; outside")->required();
  backfill->add_option("--limit", arguments.limit, "at most so many")->check(CLI::Range(1, 100000))->capture_default_str();
  add("drop", "Take a schedule off the list; what it enqueued stays", run_schedules_drop);
  schedules->callback([&common, schedules] {
    if (schedules->get_subcommands().empty()) run_schedules_list(common);
  });
}

void add_archive(CLI::App& app, Common& common, ArchiveArguments& arguments) {
  CLI::App* archive = add_verb(app, common, "archive", "List the archive's partitions, or export, import or drop them");
  archive->require_subcommand(0, 1);
  add_verb(*archive, common, "list", "List partitions: a month of ended workflows each")->callback([&] { run_archive_list(common); });
  CLI::App* out =
      add_verb(*archive, common, "export", "Write partitions to files, read them back and note where they are; safe to interrupt and repeat");
  out->add_option("--to", arguments.to, "folder, a path or file:///path; it is made where it is missing, for its owner only")->required();
  out->add_option("PARTITION", arguments.partitions, "only these");
  out->callback([&] { run_archive_export(common, arguments); });
  CLI::App* in = add_verb(*archive, common, "import", "Put exported workflows back into the archive; what is there stays as it is");
  in->add_option("--from", arguments.from, "folder that export wrote to")->required();
  in->add_option("PARTITION", arguments.partitions, "only these");
  in->callback([&] { run_archive_import(common, arguments); });
  CLI::App* drop = add_verb(*archive, common, "drop", "Drop a partition; refused unless an export holds all that is in it, and can be read");
  drop->add_option("PARTITION", arguments.partition, "its name, as archive_2027_01")->required();
  drop->add_option("--from", arguments.from, "folder of the export that is read again, instead of those that are noted");
  drop->add_flag("--force", arguments.force, "although its workflows are nowhere else");
  drop->callback([&] { run_archive_drop(common, arguments); });
  archive->callback([&common, archive] {
    if (archive->get_subcommands().empty()) run_archive_list(common);
  });
}

void add_selector(CLI::App* verb, Common& common, RetentionArguments& arguments) {
  verb->add_option("--workflow", arguments.workflow, "name, or a pattern in which * stands for any text; any unless given");
  verb->add_option("--queue", arguments.queue, "queue");
  verb->add_option("--status", arguments.status, "status in which they ended");
  add_application(verb, common, "application");
}

void add_retain(CLI::App& app, Common& common, RetentionArguments& arguments) {
  CLI::App* retain = add_verb(app, common, "retain", "List retention policies, or set or drop one");
  retain->require_subcommand(0, 1);
  add_verb(*retain, common, "list", "List policies, the most specific first")->callback([&] { run_retain_list(common); });
  CLI::App* set = add_verb(*retain, common, "set", "Set the policy for these workflows; without --keep and --keep-rows they stay for ever");
  add_selector(set, common, arguments);
  set->add_option("--keep", arguments.keep, "so long after their end, as 30d");
  set->add_option("--keep-rows", arguments.keep_rows, "not more than so many, the newest; with --keep, what is past either goes");
  set->add_option("--cancel-after", arguments.cancel_after, "cancel what has not ended so long after its creation");
  set->add_flag("--archive", arguments.archive, "pack them away instead of deleting them");
  set->add_flag("--force", arguments.force, "although it is for everything, keeps less than a minute or no row, or cancels within a minute");
  set->callback([&] { run_retain_set(common, arguments); });
  CLI::App* drop = add_verb(*retain, common, "drop", "Drop the policy for these workflows");
  add_selector(drop, common, arguments);
  drop->callback([&] { run_retain_drop(common, arguments); });
  retain->callback([&common, retain] {
    if (retain->get_subcommands().empty()) run_retain_list(common);
  });
}

void add_prune(CLI::App& app, Common& common, RetentionArguments& arguments) {
  CLI::App* verb = add_verb(app, common, "prune", "Delete or archive what the policies no longer keep, in small batches; safe to interrupt");
  verb->add_flag("--dry-run", arguments.dry_run, "only tell what would go");
  verb->add_option("--budget", arguments.budget, "at most so long")->capture_default_str();
  verb->callback([&] { run_prune(common, arguments); });
}

void add_delete(CLI::App& app, Common& common, RetentionArguments& arguments) {
  CLI::App* verb = add_verb(app, common, "delete", "Delete workflows from the tables and the archive, and name the exports that still hold them");
  verb->add_option("ID", arguments.ids, "ids of workflows")->required();
  verb->add_flag("--children", arguments.children, "also those that they started, wherever they are: in the tables or in the archive");
  verb->add_flag("--force", arguments.force, "although they have not ended: they are cancelled before");
  verb->callback([&] { run_delete(common, arguments); });
}

// A text that is empty means `any` or `as it is` to the verbs, and comes from a variable of the shell that is not set.
void refuse_blank_options(CLI::App& app) {
  for (CLI::Option* option : app.get_options())
    if (!option->get_positional() && option->get_type_size() > 0 && option->get_name() != "--db")
      option->check([](const std::string& value) {
        return value.empty() ? std::string("the value is empty; give one, or leave the option out") : std::string();
      });
  for (CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; })) refuse_blank_options(*verb);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Durable workflows on the DBOS system tables", "dbos-sys"};
  app.require_subcommand(1);
  app.footer("Every verb has --help. Exit code: 0 done, 1 failed, 2 wrong usage.");
  Common common;
  InitArguments init;
  MigrateArguments migrate;
  ListArguments list;
  StartArguments start;
  ChangeArguments change;
  QueueArguments queues;
  LimitArguments limit;
  DoctorArguments doctor;
  int exit_code = 0;
  ScheduleArguments schedule;
  ArchiveArguments archive;
  RetentionArguments retention;
  HistoryArguments history;
  std::string id;
  add_init(app, common, init);
  add_migrate(app, common, migrate);
  add_doctor(app, common, doctor, exit_code);
  add_list(app, common, list);
  add_show(app, common, id);
  add_history(app, common, history);
  add_start(app, common, start);
  add_cancel(app, common, change);
  add_resume(app, common, change);
  add_queues(app, common, queues);
  add_limits(app, common, limit);
  add_schedules(app, common, schedule);
  add_archive(app, common, archive);
  add_retain(app, common, retention);
  add_prune(app, common, retention);
  add_delete(app, common, retention);
  refuse_blank_options(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return usage_exit(app, error, common.db);
  } catch (const dbos::UsageError& error) {
    return fail(error.what(), in_our_words(error.hint()), common.db, 2);
  } catch (const dbos::Error& error) {
    return fail(error.what(), in_our_words(error.hint()), common.db, 1);
  } catch (const std::exception& error) {
    return fail(error.what(), {}, common.db, 1);
  }
  if (!std::cout.flush()) return fail("cannot write the output", {}, common.db, 1);
  return exit_code;
}
