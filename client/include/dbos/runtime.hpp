// Runtime: a Client that also executes. Register, launch, start; the destructor shuts down.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include "dbos/client.hpp"
#include "dbos/context.hpp"
#include "dbos/options.hpp"
#include "dbos/workflow.hpp"

namespace dbos {

namespace detail {

// R(A...) of a callable R(Context&, A...).
template <class F>
struct SignatureOf : SignatureOf<decltype(&F::operator())> {};
template <class R, class... A>
struct SignatureOf<R (*)(Context&, A...)> {
  using type = R(std::remove_cvref_t<A>...);
};
template <class R, class... A>
struct SignatureOf<R(Context&, A...)> : SignatureOf<R (*)(Context&, A...)> {};
template <class C, class R, class... A>
struct SignatureOf<R (C::*)(Context&, A...)> : SignatureOf<R (*)(Context&, A...)> {};
template <class C, class R, class... A>
struct SignatureOf<R (C::*)(Context&, A...) const> : SignatureOf<R (*)(Context&, A...)> {};

// Inputs envelope in, output text out; called on the fiber.
using WorkflowBody = std::function<std::string(Context&, const std::string&)>;

// Thrown through undecodable inputs: the engine decides between ERROR (first run) and the dead letter (recovery).
struct UndecodableInput {
  std::string message;
};

template <class Sig>
struct BodyMaker;
template <class R, class... A>
struct BodyMaker<R(A...)> {
  template <class F>
  static WorkflowBody make(F function) {
    return [function = std::move(function)](Context& context, const std::string& inputs) mutable -> std::string {
      std::optional<std::tuple<A...>> arguments;
      auto decode = [&] {
        try {
          arguments.emplace(decode_arguments<A...>(inputs));
        } catch (const CodecError& e) {
          throw UndecodableInput{e.what()};
        }
      };
      off_fiber([](void* f) { (*static_cast<decltype(decode)*>(f))(); }, &decode);
      if constexpr (std::is_void_v<R>) {
        std::apply([&](A&... a) { function(context, std::move(a)...); }, *arguments);
        return "null";
      } else {
        R result = std::apply([&](A&... a) { return function(context, std::move(a)...); }, *arguments);
        std::string text;
        auto encode = [&] { text = Codec<R>::encode(result, "result of workflow " + context.workflow_id()); };
        off_fiber([](void* f) { (*static_cast<decltype(encode)*>(f))(); }, &encode);
        return text;
      }
    };
  }
};

}  // namespace detail

// Thread safety: workflow(), queue(), limit() and schedule() before launch(), from one thread; everything else from any thread.
class Runtime : public Client {
 public:
  explicit Runtime(RuntimeOptions options);
  // shutdown() with the drain timeout of the options.
  ~Runtime() override;

  // Registers a callable R(Context&, A...) under a name that rows carry: renaming it orphans running work. Throws UsageError for a
  // blank or taken name and after launch().
  template <class F>
  auto workflow(const std::string& name, F&& function) {
    return workflow(name, WorkflowOptions{}, std::forward<F>(function));
  }
  template <class F>
  auto workflow(const std::string& name, const WorkflowOptions& options, F&& function) {
    using Sig = typename detail::SignatureOf<std::remove_cvref_t<std::remove_pointer_t<std::remove_cvref_t<F>>>>::type;
    add_workflow(name, options, detail::BodyMaker<Sig>::make(std::decay_t<F>(std::forward<F>(function))));
    return Workflow<Sig>(runtime_, name, options.class_name);
  }
  template <class R, class... A, class F>
  Workflow<R(A...)> workflow(const Signature<R(A...)>& signature, F&& function) {
    std::string name(signature.name);
    WorkflowOptions options{.class_name = std::string(signature.class_name)};
    add_workflow(name, options, detail::BodyMaker<R(A...)>::make(std::decay_t<F>(std::forward<F>(function))));
    return Workflow<R(A...)>(runtime_, name, options.class_name);
  }

  // Serves a queue; the row in dbos.queues is created or changed at launch().
  void queue(const std::string& name, QueueOptions options = {});

  // A limit that steps name in StepOptions::limit: registered, or its bounds replaced, at launch() for all processes. Not needed where
  // another program or an operator registers it.
  void limit(const std::string& name, LimitOptions options);

  // Runs a workflow by the clock: applied at launch(), as Client::apply_schedule(); a pause that is in the database stays. One that is no
  // longer named here goes on until it is dropped. The context is the workflow's second argument; without one, options.context_json is.
  template <class R, class C>
  void schedule(const std::string& name, ScheduleOptions options, const Workflow<R(ScheduledTime, C)>& workflow) {
    options.class_name = workflow.class_name();
    add_schedule(name, workflow.name(), std::move(options));
  }
  template <class R, class C>
  void schedule(const std::string& name, ScheduleOptions options, const Workflow<R(ScheduledTime, C)>& workflow,
                const std::type_identity_t<C>& context) {
    options.context_json = Codec<C>::encode(context, "context of schedule " + name);
    schedule(name, std::move(options), workflow);
  }

  // Connects, creates or checks the tables, registers the executor, begins to claim. Throws ConnectionError and Error (WF…).
  void launch();

  // No more claims; runs go on until they end or drain is over, the rest is handed back ENQUEUED. Idempotent.
  void shutdown();
  void shutdown(Milliseconds drain);

  const std::string& executor_id() const noexcept;
  const std::string& version() const noexcept;

 private:
  void add_schedule(const std::string& name, const std::string& workflow, ScheduleOptions options);
  void add_workflow(const std::string& name, const WorkflowOptions& options, detail::WorkflowBody body);

  std::shared_ptr<detail::RuntimeImpl> runtime_;
};

}  // namespace dbos
