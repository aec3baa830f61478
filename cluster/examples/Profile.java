// A service in Java that asks Sojourn who somebody is. Nothing but the standard library.
//
//   java Profile.java

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.Executors;

public class Profile {
    static final String SOJOURN = setting("SOJOURN", "http://localhost:3000");
    static final HttpClient CLIENT = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();

    static String setting(String name, String otherwise) {
        return System.getenv().getOrDefault(name, otherwise);
    }

    /** Passes on the cookie of a browser or the bearer token of a program: 200 with who it is, or 401. */
    static HttpResponse<String> whoIs(HttpExchange exchange) throws IOException, InterruptedException {
        var ask = HttpRequest.newBuilder(URI.create(SOJOURN + "/profile")).timeout(Duration.ofSeconds(5));
        for (String name : List.of("Cookie", "Authorization")) {
            String value = exchange.getRequestHeaders().getFirst(name);
            if (value != null) ask.header(name, value);
        }
        return CLIENT.send(ask.build(), HttpResponse.BodyHandlers.ofString());
    }

    static void index(HttpExchange exchange) throws IOException {
        int status = 503;
        String body = "sojourn does not answer";
        try {
            var answer = whoIs(exchange);
            status = answer.statusCode();
            if (status == 200) {
                exchange.getResponseHeaders().set("Content-Type", "application/json");
                body = "{\"user\":" + answer.body() + "}";
            } else if (status == 401 && exchange.getRequestHeaders().getFirst("Authorization") == null) {
                String here = "http://" + exchange.getRequestHeaders().getFirst("Host") + exchange.getRequestURI();
                String next = URLEncoder.encode(here, StandardCharsets.UTF_8);
                exchange.getResponseHeaders().set("Location", SOJOURN + "/login?next=" + next);
                status = 303;
                body = "";
            } else {
                body = "sojourn answers " + status;
            }
        } catch (IOException why) {
            System.err.println("sojourn does not answer: " + why.getMessage());
        } catch (InterruptedException why) {
            Thread.currentThread().interrupt();
        }
        byte[] bytes = body.getBytes(StandardCharsets.UTF_8);
        exchange.sendResponseHeaders(status, bytes.length == 0 ? -1 : bytes.length);
        exchange.getResponseBody().write(bytes);
        exchange.close();
    }

    public static void main(String[] args) throws IOException {
        int port = Integer.parseInt(setting("PORT", "4003"));
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 0);
        server.setExecutor(Executors.newCachedThreadPool());
        server.createContext("/", Profile::index);
        server.start();
        System.out.println("http://localhost:" + port);
    }
}
