package hello;

import durations.Durations;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;

/** Prints what it is and where it runs, reads a resource that it was shipped with, and uses a library. */
public final class Main {
    private Main() {
    }

    public static void main(String[] arguments) throws IOException {
        String system = System.getProperty("os.name").toLowerCase() + "/" + System.getProperty("os.arch");
        System.out.println("program: Java on " + system);
        // Java has no getuid; a process's entry in /proc belongs to its user.
        System.out.println("user: " + Files.getAttribute(Path.of("/proc/self/"), "unix:uid"));
        System.out.println("folder: " + Path.of("").toAbsolutePath());
        try (InputStream greeting = Main.class.getResourceAsStream("/greeting.txt")) {
            System.out.print("file: " + new String(greeting.readAllBytes(), StandardCharsets.UTF_8));
        }
        System.out.println("dependency: durations makes " + Durations.inWords(Duration.ofMillis(7_200_000))
                + " of 7200000");
    }
}
