import dev.dbos.transact.DBOSClient;
import dev.dbos.transact.json.PortableWorkflowException;
import dev.dbos.transact.workflow.ListWorkflowsInput;
import dev.dbos.transact.workflow.WorkflowHandle;
import java.net.URI;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Enqueues the golden workflows for whatever worker serves them. */
class Client {
  private final DBOSClient client;
  private final String id;

  Client(String address, String id) {
    URI uri = URI.create(address);
    String[] login = Interop.login(uri);
    this.client = new DBOSClient(Interop.jdbc(uri), login[0], login[1]);
    this.id = id;
  }

  private WorkflowHandle<Object, PortableWorkflowException> enqueue(String name, String id, Object... arguments) {
    var options = new DBOSClient.EnqueueOptions(name, Interop.golden("queue")).withClassName(Interop.golden("class")).withWorkflowId(id);
    return client.enqueuePortableWorkflow(options, arguments, null);
  }

  private static Object[] arguments() {
    return Interop.JSON.treeToValue(Interop.GOLDEN.get("arguments"), Object[].class);
  }

  private void message(WorkflowHandle<Object, PortableWorkflowException> handle) {
    Object message = Interop.JSON.treeToValue(Interop.GOLDEN.get("message"), Map.class);
    for (int i = 0; i < 2; i++) {
      client.send(id, message, Interop.golden("topic"), "once", DBOSClient.SendOptions.portable());
    }
    Interop.equal(handle.getResult(), Interop.GOLDEN.get("output"));
  }

  private void stream() {
    List<Object> values = new ArrayList<>();
    client.readStream(id, Interop.golden("streamKey")).forEachRemaining(values::add);
    Interop.equal(values, List.of(Interop.GOLDEN.get("streamItem")));
  }

  private void error() {
    var handle = enqueue(Interop.golden("failing"), id + "-rejected", "o1");
    try {
      handle.getResult();
    } catch (PortableWorkflowException e) {
      Map<String, Object> got = new HashMap<>();
      got.put("name", e.getErrorName());
      got.put("message", e.getMessage());
      got.put("code", e.getCode());
      got.put("data", e.getData());
      Interop.equal(got, Interop.GOLDEN.get("failure"));
      return;
    }
    throw new AssertionError("the workflow did not fail");
  }

  private void listed() {
    var rows = client.listWorkflows(new ListWorkflowsInput().withWorkflowIds(id).withLoadInput(true).withLoadOutput(true));
    Interop.equal(rows.size(), 1);
    Interop.equal(rows.get(0).status().name(), "SUCCESS");
    Interop.equal(rows.get(0).input(), Interop.GOLDEN.get("arguments"));
    Interop.equal(rows.get(0).output(), Interop.GOLDEN.get("output"));
  }

  void run() {
    var handle = enqueue(Interop.golden("workflow"), id, arguments());
    Interop.check(
        "reads the event that it set",
        () -> Interop.equal(client.getEvent(id, Interop.golden("eventKey"), Duration.ofSeconds(30)).orElse(null), Interop.GOLDEN.get("event")));
    Interop.check("reads the stream that it wrote, and sees its end", this::stream);
    Interop.check("a message reaches it and the result comes back", () -> message(handle));
    Interop.check("an error comes back with name, message, code and data", this::error);
    Interop.check("the workflow is listed with its inputs and output", this::listed);
    client.close();
    Interop.finish();
  }
}
