import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.Socket;
import java.net.SocketAddress;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.Channels;
import java.nio.channels.SocketChannel;
import java.sql.Connection;
import java.sql.DriverManager;
import java.util.Properties;
import javax.net.SocketFactory;

/** Jdbc options|bind: gives the key in FERNET_KEY to a session, and prints the fingerprint that it has. */
public class Jdbc {
  public static void main(String[] arguments) throws Exception {
    String key = System.getenv("FERNET_KEY");
    Properties properties = new Properties();
    properties.setProperty("user", System.getenv("PGUSER"));
    properties.setProperty("sslmode", "disable");
    properties.setProperty("socketFactory", UnixSocketFactory.class.getName());
    if (arguments[0].equals("options")) {
      properties.setProperty("options", "-c fernet.key=" + key);
    }
    try (Connection conn = DriverManager.getConnection("jdbc:postgresql:app", properties)) {
      if (arguments[0].equals("bind")) {
        try (var statement = conn.prepareStatement("SELECT set_config('fernet.key', ?, false)")) {
          statement.setString(1, key);
          statement.executeQuery();
        }
      }
      var result = conn.createStatement().executeQuery("SELECT fingerprint FROM fernet_keys()");
      result.next();
      System.out.println(result.getString(1));
    }
  }

  /** The server of the test has a Unix socket and no other, which JDBC knows nothing of. */
  public static class UnixSocketFactory extends SocketFactory {
    @Override
    public Socket createSocket() {
      return new UnixSocket();
    }

    @Override
    public Socket createSocket(String host, int port) {
      throw new UnsupportedOperationException();
    }

    @Override
    public Socket createSocket(String host, int port, InetAddress local, int localPort) {
      throw new UnsupportedOperationException();
    }

    @Override
    public Socket createSocket(InetAddress host, int port) {
      throw new UnsupportedOperationException();
    }

    @Override
    public Socket createSocket(InetAddress host, int port, InetAddress local, int localPort) {
      throw new UnsupportedOperationException();
    }
  }

  private static class UnixSocket extends Socket {
    private SocketChannel channel;

    @Override
    public void connect(SocketAddress address, int timeout) throws IOException {
      channel = SocketChannel.open(UnixDomainSocketAddress.of(
          System.getenv("PGHOST") + "/.s.PGSQL." + System.getenv("PGPORT")));
    }

    @Override
    public boolean isConnected() {
      return channel != null;
    }

    @Override
    public InputStream getInputStream() {
      return Channels.newInputStream(channel);
    }

    @Override
    public OutputStream getOutputStream() {
      return Channels.newOutputStream(channel);
    }

    @Override
    public void close() throws IOException {
      if (channel != null) {
        channel.close();
      }
    }

    @Override
    public void setTcpNoDelay(boolean on) {}

    @Override
    public void setKeepAlive(boolean on) {}

    @Override
    public void setSoTimeout(int milliseconds) {}

    @Override
    public int getSoTimeout() {
      return 0;
    }

    @Override
    public int getSendBufferSize() {
      return 65536;
    }
  }
}
