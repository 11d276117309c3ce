import dev.dbos.transact.DBOS;
import dev.dbos.transact.json.PortableWorkflowException;
import dev.dbos.transact.workflow.QueueOptions;
import dev.dbos.transact.workflow.SerializationStrategy;
import dev.dbos.transact.workflow.Workflow;
import dev.dbos.transact.workflow.WorkflowClassName;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;

/** Serves the golden workflows. */
class Worker {
  interface Golden {
    Map<String, Object> canonicalWorkflow(
        String text, int num, String date, List<String> items, Map<String, Object> meta, boolean flag, Object empty);

    Object rejectOrder(String orderId);
  }

  @WorkflowClassName("interop")
  static class GoldenWorkflows implements Golden {
    private final DBOS dbos;

    GoldenWorkflows(DBOS dbos) {
      this.dbos = dbos;
    }

    @Override
    @Workflow(name = "canonicalWorkflow", serializationStrategy = SerializationStrategy.PORTABLE)
    public Map<String, Object> canonicalWorkflow(
        String text, int num, String date, List<String> items, Map<String, Object> meta, boolean flag, Object empty) {
      dbos.setEvent(Interop.golden("eventKey"), Map.of("text", text, "num", num, "flag", flag));
      dbos.writeStream(Interop.golden("streamKey"), Map.of("item", text));
      dbos.closeStream(Interop.golden("streamKey"));
      Object received = dbos.recv(Interop.golden("topic"), Duration.ofSeconds(60)).orElse(null);
      Map<String, Object> result = new LinkedHashMap<>();
      result.put("echo_text", text);
      result.put("echo_num", num);
      result.put("echo_dt", date);
      result.put("items_count", items.size());
      result.put("meta_keys", List.copyOf(new TreeSet<>(meta.keySet())));
      result.put("flag", flag);
      result.put("empty", empty);
      result.put("received", received);
      return result;
    }

    @Override
    @Workflow(name = "rejectOrder", serializationStrategy = SerializationStrategy.PORTABLE)
    public Object rejectOrder(String orderId) {
      var failure = Interop.GOLDEN.get("failure");
      throw new PortableWorkflowException(
          failure.get("message").asString(), failure.get("name").asString(), failure.get("code").asInt(), Map.of("orderId", orderId));
    }
  }

  static void run(String uri, String application, String queue) throws Exception {
    DBOS dbos = Interop.dbos(uri, application);
    dbos.registerProxy(Golden.class, new GoldenWorkflows(dbos));
    dbos.launch();
    dbos.registerQueue(queue, QueueOptions.setPollingInterval(Duration.ofMillis(100)));
    Interop.serve(dbos);
  }
}
