import java.io.FileInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.security.KeyStore;
import java.security.cert.X509Certificate;
import java.util.Arrays;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManager;
import javax.net.ssl.X509TrustManager;

/**
 * Requests of Java's own client, one line each: the version, the status and the body. Arguments: the port, an API key or '-', a
 * PKCS#12 file with the password 'test' or '-'.
 */
public class JavaCaller {
  public static void main(String[] arguments) throws Exception {
    // It looks at a host name, which SVIDs do not have.
    System.setProperty("jdk.internal.httpclient.disableHostnameVerification", "true");
    SSLContext context = SSLContext.getInstance("TLS");
    KeyManagerFactory keys = null;
    if (!arguments[2].equals("-")) {
      KeyStore store = KeyStore.getInstance("PKCS12");
      try (FileInputStream file = new FileInputStream(arguments[2])) {
        store.load(file, "test".toCharArray());
      }
      keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
      keys.init(store, "test".toCharArray());
    }
    TrustManager[] everybody = {new Everybody()};
    context.init(keys == null ? null : keys.getKeyManagers(), everybody, null);
    for (HttpClient.Version version :
        Arrays.asList(HttpClient.Version.HTTP_1_1, HttpClient.Version.HTTP_2)) {
      HttpClient client = HttpClient.newBuilder().sslContext(context).version(version).build();
      URI uri = URI.create("https://127.0.0.1:" + arguments[0] + "/java");
      HttpRequest.Builder request =
          HttpRequest.newBuilder(uri).POST(HttpRequest.BodyPublishers.ofString("x".repeat(100_000)));
      if (!arguments[1].equals("-")) request.header("x-api-key", arguments[1]);
      HttpResponse<String> reply =
          client.send(request.build(), HttpResponse.BodyHandlers.ofString());
      System.out.println(reply.version() + " " + reply.statusCode() + " " + reply.body().trim());
    }
  }

  /** The tests look at who the sidecar is elsewhere. */
  static class Everybody implements X509TrustManager {
    public void checkClientTrusted(X509Certificate[] chain, String type) {}

    public void checkServerTrusted(X509Certificate[] chain, String type) {}

    public X509Certificate[] getAcceptedIssuers() {
      return new X509Certificate[0];
    }
  }
}
