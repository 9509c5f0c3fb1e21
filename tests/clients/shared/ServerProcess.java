import java.io.File;
import java.io.IOException;
import java.net.HttpURLConnection;
import java.net.ServerSocket;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** The real server on free ports: what the suites of clients for Java need. */
public class ServerProcess {
    final int http = freePort();
    final int postgres = freePort();
    final String binary;
    private final Path folder;
    private final List<String> more;
    private Process process;

    /** {@code more}: more arguments for {@code serve}. */
    ServerProcess(String binary, Path folder, String... more) throws Exception {
        this.binary = binary;
        this.folder = folder;
        this.more = List.of(more);
        Files.createDirectories(folder);
        // A case that fails leaves no server behind.
        Runtime.getRuntime().addShutdownHook(new Thread(() -> process.destroyForcibly()));
        start();
    }

    void start() throws Exception {
        List<String> words = new ArrayList<>(List.of(binary, "serve"));
        words.addAll(List.of("--data", folder.resolve("data").toString(), "--keys", folder.resolve("keys").toString()));
        words.addAll(List.of("--http", "127.0.0.1:" + http, "--postgres", "127.0.0.1:" + postgres));
        words.addAll(more);
        File log = folder.resolve("log").toFile();
        ProcessBuilder builder = new ProcessBuilder(words).redirectErrorStream(true);
        process = builder.redirectOutput(ProcessBuilder.Redirect.appendTo(log)).start();
        for (int n = 0; n < 1200; n++) {
            if (!process.isAlive()) {
                throw new AssertionError("the server ended: " + Files.readString(log.toPath()));
            }
            try {
                URI health = URI.create("http://127.0.0.1:" + http + "/healthz");
                if (((HttpURLConnection) health.toURL().openConnection()).getResponseCode() == 200) {
                    return;
                }
            } catch (IOException notYet) {
                Thread.sleep(50);
            }
        }
        throw new AssertionError("the server does not answer");
    }

    void stop() throws Exception {
        process.destroy();
        if (!process.waitFor(60, TimeUnit.SECONDS)) {
            throw new AssertionError("the server does not stop");
        }
    }

    void kill() throws Exception {
        process.destroyForcibly().waitFor();
    }

    static int freePort() {
        try (ServerSocket probe = new ServerSocket(0)) {
            return probe.getLocalPort();
        } catch (IOException error) {
            throw new IllegalStateException(error);
        }
    }
}
