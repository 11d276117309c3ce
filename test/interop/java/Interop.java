import dev.dbos.transact.DBOS;
import dev.dbos.transact.config.DBOSConfig;
import java.io.FileOutputStream;
import java.io.InputStream;
import java.net.URI;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.ObjectMapper;

/** The programs on the official Java SDK: Interop launch|app|worker|client ARGUMENT... */
public class Interop {
  static final ObjectMapper JSON = new ObjectMapper();
  static final JsonNode GOLDEN = golden();
  private static int failures = 0;

  interface Body {
    void run() throws Exception;
  }

  private static JsonNode golden() {
    try (InputStream in = Interop.class.getResourceAsStream("golden.json")) {
      return JSON.readTree(in);
    } catch (java.io.IOException e) {
      throw new java.io.UncheckedIOException(e);
    }
  }

  static String golden(String key) {
    return GOLDEN.get(key).asString();
  }

  /** The driver knows no other form of the address, and user and password apart from it. */
  static String jdbc(URI uri) {
    return "jdbc:postgresql://" + uri.getHost() + ":" + uri.getPort() + uri.getPath();
  }

  static String[] login(URI uri) {
    return uri.getUserInfo().split(":", 2);
  }

  static DBOS dbos(String address, String application) {
    URI uri = URI.create(address);
    return new DBOS(
        DBOSConfig.defaults(application)
            .withDatabaseUrl(jdbc(uri))
            .withDbUser(login(uri)[0])
            .withDbPassword(login(uri)[1])
            .withAppVersion(application + "-1"));
  }

  /** One line `ok - name` or `not ok - name`; what went wrong goes to stderr. */
  static boolean check(String name, Body body) {
    try {
      body.run();
      System.out.println("ok - " + name);
      return true;
    } catch (Exception | AssertionError e) {
      failures++;
      System.out.println("not ok - " + name);
      e.printStackTrace();
      return false;
    }
  }

  static void equal(Object got, Object wanted) {
    JsonNode left = JSON.valueToTree(got), right = JSON.valueToTree(wanted);
    if (!left.equals(right)) throw new AssertionError("got " + left + ", wanted " + right);
  }

  /** The exit status tells a crash (before this) from a failed check. */
  static void finish() {
    System.exit(failures == 0 ? 0 : 1);
  }

  /** Writes `ready` to descriptor 3 and keeps the worker until SIGTERM. */
  static void serve(DBOS dbos) throws Exception {
    Runtime.getRuntime().addShutdownHook(new Thread(dbos::shutdown));
    try (var ready = new FileOutputStream("/dev/fd/3")) {
      ready.write("ready\n".getBytes());
    }
    new CountDownLatch(1).await();
  }

  private static void launch(String uri) {
    DBOS dbos = dbos(uri, "launch");
    dbos.launch();
    dbos.shutdown();
    finish();
  }

  public static void main(String[] a) throws Exception {
    Map<String, Integer> counts = Map.of("launch", 2, "app", 3, "worker", 3, "client", 4);
    String program = a.length == 0 ? "" : a[0];
    if (a.length != counts.getOrDefault(program, -1) && !(program.equals("worker") && a.length == 4)) {
      System.err.println("usage: Interop launch URI | app URI APPLICATION | worker URI APPLICATION [QUEUE] | client URI APPLICATION ID");
      System.exit(2);
    }
    switch (program) {
      case "launch" -> launch(a[1]);
      case "app" -> new App(a[1], a[2]).run();
      case "worker" -> Worker.run(a[1], a[2], a.length == 4 ? a[3] : golden("queue"));
      default -> new Client(a[1], a[3]).run();
    }
  }
}
