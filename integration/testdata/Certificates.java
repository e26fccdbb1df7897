import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.InputStreamReader;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.util.Base64;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509TrustManager;

/**
 * Says of certificates whether Java's TLS lets their holders in. The first line of its input is the
 * authority; each of the others is a client's certificate and those above it, in base64.
 */
public class Certificates {
    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, "UTF-8"));
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        store.setCertificateEntry("authority", parse(in.readLine())[0]);
        TrustManagerFactory factory = TrustManagerFactory.getInstance("PKIX");
        factory.init(store);
        X509TrustManager manager = (X509TrustManager) factory.getTrustManagers()[0];
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String answer = "yes";
            try {
                X509Certificate[] chain = parse(line);
                manager.checkClientTrusted(chain, chain[0].getPublicKey().getAlgorithm());
            } catch (Exception e) {
                answer = e.toString();
            }
            System.out.println(answer.replaceAll("\\s+", " "));
        }
    }

    private static X509Certificate[] parse(String line) throws Exception {
        CertificateFactory factory = CertificateFactory.getInstance("X.509");
        String[] parts = line.split(" ");
        X509Certificate[] chain = new X509Certificate[parts.length];
        for (int i = 0; i < parts.length; i++) {
            byte[] der = Base64.getDecoder().decode(parts[i]);
            chain[i] = (X509Certificate) factory.generateCertificate(new ByteArrayInputStream(der));
        }
        return chain;
    }
}
