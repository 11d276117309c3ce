// CarrierPool: the threads that run fibers and the step bodies inside them. Grows while bodies block, shrinks when they are done.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>

namespace dbos::detail {

// A task of the pool. Intrusive, so that posting allocates nothing: it is linked through `next` from post() until run() begins, and must
// live that long. run() may post it again, or end it. run() must not throw (std::terminate).
struct Runnable {
  virtual void run() = 0;
  Runnable* next = nullptr;

 protected:
  ~Runnable() = default;
};

struct CarrierOptions {
  // Carriers that always exist. Defaults to the number of processors (0).
  unsigned base = 0;
  // Bodies that may block at once. Defaults to 512.
  unsigned max = 512;
  // How long a carrier beyond base stays without work. Defaults to 5 s.
  std::chrono::milliseconds idle{5000};
};

// Tasks start in the order in which they were posted. The pool grows beyond base only while tasks wait and fewer than base carriers can
// take them, because the others sleep inside a task (a blocking body) or have computed in one for long.
//
// Thread safety: all members may be called from any thread, stop() and the destructor from none of the pool's own.
class CarrierPool {
  struct Carrier;

 public:
  explicit CarrierPool(CarrierOptions options);
  ~CarrierPool();
  CarrierPool(const CarrierPool&) = delete;
  CarrierPool& operator=(const CarrierPool&) = delete;

  void post(Runnable* task);
  // In order; one lock and at most as many wake-ups as are needed for all.
  void post_batch(Runnable** tasks, std::size_t count);

  // Running tasks end, waiting tasks are forgotten (not run, not touched again), and so is what is posted later. Returns when every
  // carrier has ended.
  void stop();
  // As stop(), but gives up after grace: false when tasks are still running. The pool must then be kept, or stopped again.
  bool stop_for(std::chrono::milliseconds grace);

  unsigned size() const;        // carriers
  std::size_t waiting() const;  // tasks not yet begun

  // In a task, around a wait for other tasks of this pool: lends the pool a carrier beyond max meanwhile, so that waiting bodies cannot
  // use up the carriers that they wait for.
  class Lend {
   public:
    explicit Lend(CarrierPool& pool);
    ~Lend();
    Lend(const Lend&) = delete;
    Lend& operator=(const Lend&) = delete;

   private:
    CarrierPool& pool_;
    Carrier* carrier_;
  };

 private:
  struct Core;
  std::unique_ptr<Core> core_;
};

}  // namespace dbos::detail
