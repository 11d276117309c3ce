import dev.dbos.transact.DBOS;
import dev.dbos.transact.StartWorkflowOptions;
import dev.dbos.transact.workflow.QueueOptions;
import dev.dbos.transact.workflow.Workflow;
import dev.dbos.transact.workflow.WorkflowHandle;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Launches (which migrates where it is due) and uses every durable feature once. */
class App {
  interface Flows {
    String child(String text);

    Map<String, Object> everything(String text);

    String stumbling();

    int queued(int n);
  }

  static class FlowsImpl implements Flows {
    private final DBOS dbos;
    Flows self;

    FlowsImpl(DBOS dbos) {
      this.dbos = dbos;
    }

    @Override
    @Workflow(name = "child")
    public String child(String text) {
      return dbos.runStep(() -> text.toUpperCase(), "shout");
    }

    @Override
    @Workflow(name = "everything")
    public Map<String, Object> everything(String text) {
      int length = dbos.runStep(() -> text.length(), "measure");
      dbos.setEvent("length", length);
      dbos.writeStream("words", text);
      dbos.closeStream("words");
      dbos.sleep(Duration.ofMillis(50));
      WorkflowHandle<String, RuntimeException> handle = dbos.startWorkflow(() -> self.child(text));
      Object message = dbos.recv("greeting", Duration.ofSeconds(30)).orElse(null);
      return Map.of("length", length, "shouted", handle.getResult(), "message", message);
    }

    @Override
    @Workflow(name = "stumbling")
    public String stumbling() {
      return dbos.runStep(
          () -> {
            throw new IllegalStateException("the step fails");
          },
          "stumble");
    }

    @Override
    @Workflow(name = "queued")
    public int queued(int n) {
      return n * 2;
    }
  }

  private static final Map<String, Object> WANTED = Map.of("length", 7, "shouted", "DURABLE", "message", Map.of("from", "test"));
  private static final List<String> STEPS =
      List.of("measure", "DBOS.setEvent", "DBOS.writeStream", "DBOS.closeStream", "DBOS.sleep", "child", "DBOS.recv", "DBOS.sleep", "DBOS.getResult");

  private final DBOS dbos;
  private final String application;
  private final String id;
  private final Flows flows;

  App(String uri, String application) {
    this.dbos = Interop.dbos(uri, application);
    this.application = application;
    this.id = application + "-everything";
    FlowsImpl target = new FlowsImpl(dbos);
    this.flows = dbos.registerProxy(Flows.class, target);
    target.self = flows;
  }

  private void completes() {
    WorkflowHandle<Map<String, Object>, RuntimeException> handle =
        dbos.startWorkflow(() -> flows.everything("durable"), new StartWorkflowOptions(id));
    Interop.equal(dbos.getEvent(id, "length", Duration.ofSeconds(30)).orElse(null), 7);
    List<Object> words = new ArrayList<>();
    dbos.readStream(id, "words").forEachRemaining(words::add);
    Interop.equal(words, List.of("durable"));
    dbos.send(id, Map.of("from", "test"), "greeting");
    Interop.equal(handle.getResult(), WANTED);
    Interop.equal(dbos.listWorkflowSteps(id).stream().map(step -> step.functionName()).toList(), STEPS);
  }

  private void fails() {
    WorkflowHandle<String, RuntimeException> handle = dbos.startWorkflow(() -> flows.stumbling());
    try {
      handle.getResult();
    } catch (IllegalStateException e) {
      Interop.equal(e.getMessage(), "the step fails");
      return;
    }
    throw new AssertionError("the workflow did not fail");
  }

  private void drains() {
    String queue = application + "-queue";
    dbos.registerQueue(queue, QueueOptions.setPollingInterval(Duration.ofMillis(100)).andWorkerConcurrency(2));
    List<WorkflowHandle<Integer, RuntimeException>> handles = new ArrayList<>();
    for (int i = 0; i < 5; i++) {
      int n = i;
      handles.add(dbos.startWorkflow(() -> flows.queued(n), new StartWorkflowOptions().withQueue(queue)));
    }
    List<Integer> results = new ArrayList<>();
    for (var handle : handles) results.add(handle.getResult());
    Interop.equal(results, List.of(0, 2, 4, 6, 8));
  }

  void run() {
    if (!Interop.check("the SDK launches", dbos::launch)) Interop.finish();
    Interop.check("a workflow with step, event, stream, sleep, child and message completes", this::completes);
    Interop.check("a failed step fails its workflow with the recorded error", this::fails);
    Interop.check("a queue is registered and drained", this::drains);
    Interop.check("a finished workflow is forked from a step", () -> Interop.equal(dbos.forkWorkflow(id, 8).getResult(), WANTED));
    dbos.shutdown();
    Interop.finish();
  }
}
