// dbos-sys limits: the limits that steps share.
#include <charconv>
#include <dbos/client.hpp>
#include <dbos/error.hpp>
#include <iostream>

#include "commands.hpp"
#include "report.hpp"
#include "text.hpp"
#include "verb.hpp"

namespace dbos::cli {

namespace {

template <class Number>
std::optional<Number> number_option(const char* option, const std::string& text) {
  if (text.empty()) return std::nullopt;
  Number value{};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size())
    throw UsageError(std::string(option) + " '" + text + "' is not a number", {}, {}, "write digits, as 10");
  return value;
}

// --rate and --per; a rate may have its period with it, as those of queues do: 100/1m.
struct Pace {
  std::optional<double> rate = {};
  std::optional<Milliseconds> per = {};
};

Pace pace_option(const LimitArguments& arguments) {
  auto slash = arguments.rate.find('/');
  Pace pace{.rate = number_option<double>("--rate", arguments.rate.substr(0, slash))};
  if (!arguments.per.empty()) pace.per = duration_option("--per", arguments.per);
  if (slash == std::string::npos) return pace;
  auto per = parse_duration(arguments.rate.substr(slash + 1));
  if (!pace.rate || !per)
    throw UsageError("--rate '" + arguments.rate + "' is not a rate", {}, {}, "write 100, or with its period 100/1s or 5000/1h");
  if (pace.per) throw UsageError("--rate '" + arguments.rate + "' has its period with it, and --per is given too", {}, {}, "leave one of them out");
  pace.per = per;
  return pace;
}

std::map<std::string, double> weights_option(const std::vector<std::string>& given) {
  std::map<std::string, double> weights;
  for (const auto& text : given) {
    auto equals = text.rfind('=');
    auto share = equals == std::string::npos ? std::nullopt : number_option<double>("--weight", text.substr(equals + 1));
    if (!share) throw UsageError("--weight '" + text + "' is not KEY=SHARE", {}, {}, "write --weight tenant-a=3");
    weights[text.substr(0, equals)] = *share;
  }
  return weights;
}

// The limit as it is now.
void report(Client& client, const Common& common, const std::string& name) {
  std::vector<LimitInfo> limits;
  for (auto& limit : client.limits()) {
    if (limit.name == name) limits.push_back(std::move(limit));
  }
  if (common.json) print(limits.empty() ? nlohmann::json() : to_json(limits.front()));
  else std::cout << limits_text(limits);
}

}  // namespace

void run_limits_list(const Common& common) {
  auto limits = connect(common).limits();
  if (common.json) {
    nlohmann::json rows = nlohmann::json::array();
    for (const auto& limit : limits) rows.push_back(to_json(limit));
    print(rows);
  } else if (limits.empty()) {
    std::cerr << "no limit is registered\n";
  } else {
    std::cout << limits_text(limits);
  }
}

void run_limits_register(const Common& common, const LimitArguments& arguments) {
  // An explicit 0 is a mistake here, not the absence of a bound.
  Pace pace = pace_option(arguments);
  LimitChange given{.rate = pace.rate,
                    .burst = number_option<int>("--burst", arguments.burst),
                    .concurrency = number_option<int>("--concurrency", arguments.concurrency)};
  if (given.rate == 0.0 || given.concurrency == 0)
    throw UsageError("a bound of 0 would let nobody begin", {}, {}, "give a number above 0, or hold the limit");
  Client client = connect(common);
  client.register_limit(arguments.name, {.rate = given.rate.value_or(0),
                                         .per = pace.per.value_or(Milliseconds{1000}),
                                         .burst = given.burst.value_or(0),
                                         .concurrency = given.concurrency.value_or(0),
                                         .weights = weights_option(arguments.weights)});
  report(client, common, arguments.name);
}

void run_limits_alter(const Common& common, const LimitArguments& arguments) {
  Pace pace = pace_option(arguments);
  LimitChange change{.rate = pace.rate,
                     .burst = number_option<int>("--burst", arguments.burst),
                     .concurrency = number_option<int>("--concurrency", arguments.concurrency)};
  if (pace.per) change.per = *pace.per;
  if (!arguments.weights.empty()) change.weights = weights_option(arguments.weights);
  Client client = connect(common);
  client.alter_limit(arguments.name, change);
  report(client, common, arguments.name);
}

void run_limits_drop(const Common& common, const LimitArguments& arguments) {
  auto used = connect(common).drop_limit(arguments.name, arguments.force);
  if (common.json) print(nlohmann::json{{"dropped", arguments.name}, {"in_use", used}});
  else std::cout << "dropped " << printable(arguments.name) << (used > 0 ? ", which " + std::to_string(used) + " used\n" : "\n");
}

void run_limits_hold(const Common& common, const LimitArguments& arguments) {
  Client client = connect(common);
  client.hold(arguments.name, duration_option("DURATION", arguments.duration));
  report(client, common, arguments.name);
}

}  // namespace dbos::cli
