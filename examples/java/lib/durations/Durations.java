package durations;

import java.time.Duration;

/** A library as others would ship it: the program finds it in a jar. */
public final class Durations {
    private Durations() {
    }

    /** A duration in words, in its largest unit. */
    public static String inWords(Duration duration) {
        if (duration.toHours() > 0) {
            return duration.toHours() + " hours";
        }
        return duration.toSeconds() + " seconds";
    }
}
