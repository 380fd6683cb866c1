// What does java.net.http get from the base URL given as the argument? Prints a summary as JSON.
// The client is used as it comes: it offers an upgrade to HTTP/2 with every first request.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

public class Client {
    static String base;
    static final HttpClient CLIENT = HttpClient.newHttpClient();

    static HttpRequest request(String path) {
        return HttpRequest.newBuilder(URI.create(base + path)).header("Authorization", "Bearer mine").build();
    }

    static HttpResponse<String> get(String path) throws Exception {
        return CLIENT.send(request(path), BodyHandlers.ofString());
    }

    static String header(HttpResponse<?> answer, String name) {
        return quoted(answer.headers().firstValue(name).orElse(""));
    }

    static String code(String document) {
        Matcher found = Pattern.compile("\"code\":\\s*\"(\\w+)\"").matcher(document);
        return quoted(found.find() ? found.group(1) : "");
    }

    static String quoted(String text) {
        return "\"" + text.replace("\\", "\\\\").replace("\"", "\\\"") + "\"";
    }

    static String list(List<String> items) {
        return "[" + String.join(",", items) + "]";
    }

    public static void main(String[] arguments) throws Exception {
        base = arguments[0];
        List<String> summary = new ArrayList<>();

        HttpResponse<String> answer = get("/hello");
        summary.add("\"get\":{\"status\":" + answer.statusCode() + ",\"body\":" + quoted(answer.body()) + "}");

        answer = get("/echo?q=a%20b&q=%2F");
        summary.add("\"query\":{\"status\":" + answer.statusCode() + ",\"body\":" + quoted(answer.body()) + "}");

        HttpRequest post = HttpRequest.newBuilder(URI.create(base + "/echo"))
            .header("Content-Type", "application/json")
            .POST(HttpRequest.BodyPublishers.ofString("{\"name\":\"caf\u00e9\",\"n\":1}"))
            .build();
        answer = CLIENT.send(post, BodyHandlers.ofString());
        summary.add("\"post\":{\"status\":" + answer.statusCode() + ",\"body\":" + quoted(answer.body()) + "}");

        answer = get("/missing");
        summary.add("\"error\":{\"status\":" + answer.statusCode() + ",\"type\":" + header(answer, "content-type")
            + ",\"code\":" + code(answer.body()) + ",\"header\":" + header(answer, "leeward-error") + "}");

        answer = get("/flaky");
        summary.add("\"retried\":{\"status\":" + answer.statusCode() + ",\"body\":" + quoted(answer.body())
            + ",\"attempts\":" + header(answer, "leeward-attempts") + "}");

        List<String> events = new ArrayList<>();
        try (BufferedReader lines = new BufferedReader(new InputStreamReader(
                CLIENT.send(request("/stream"), BodyHandlers.ofInputStream()).body(), StandardCharsets.UTF_8))) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                if (line.startsWith("data: ")) {
                    events.add(quoted(line.substring(6)));
                    if (events.size() == 1) {
                        get("/release");
                    }
                }
            }
        }
        summary.add("\"stream\":" + list(events));

        List<CompletableFuture<HttpResponse<String>>> calls = new ArrayList<>();
        for (int number = 0; number < 40; number++) {
            calls.add(CLIENT.sendAsync(request("/popular"), BodyHandlers.ofString()));
        }
        List<HttpResponse<String>> many = calls.stream().map(CompletableFuture::join).collect(Collectors.toList());
        summary.add("\"many\":{\"count\":" + many.size()
            + ",\"statuses\":" + list(many.stream().map(a -> "" + a.statusCode()).distinct().toList())
            + ",\"bodies\":" + list(many.stream().map(a -> quoted(a.body())).distinct().toList()) + "}");

        answer = get("/limited");
        summary.add("\"limited\":{\"status\":" + answer.statusCode() + ",\"code\":" + code(answer.body())
            + ",\"retry_after\":" + header(answer, "retry-after") + "}");

        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        out.println("{" + String.join(",", summary) + "}");
        System.exit(0);
    }
}
