import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;

/**
 * Reads lines of a pattern, a tab and a text. Of each it prints what a PKI realm of Elasticsearch
 * makes of them: "=" and the first group of the first find, "none", "nogroup", or "error".
 */
public class Patterns {
    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            int tab = line.indexOf('\t');
            out.println(find(line.substring(0, tab), line.substring(tab + 1)));
        }
        out.flush();
    }

    private static String find(String pattern, String text) {
        try {
            Matcher matcher = Pattern.compile(pattern, Pattern.CASE_INSENSITIVE).matcher(text);
            if (matcher.groupCount() < 1) {
                return "nogroup";
            }
            if (!matcher.find()) {
                return "none";
            }
            return "=" + (matcher.group(1) == null ? "" : matcher.group(1));
        } catch (PatternSyntaxException e) {
            return "error";
        }
    }
}
