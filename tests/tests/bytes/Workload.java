import java.io.*;
import java.net.*;
import java.nio.*;
import java.nio.channels.*;
import java.nio.file.*;
import java.nio.file.attribute.*;
import java.util.stream.*;
import java.util.zip.*;

class Workload {
    static void read(Path below) {
        try (Stream<Path> all = Files.walk(below)) {
            for (Path file : all.filter(Files::isRegularFile).toList()) Files.readAllBytes(file);
        } catch (IOException failed) {
            throw new UncheckedIOException(failed);
        }
    }

    public static void main(String[] arguments) throws Exception {
        Path copy = Files.createDirectory(Path.of("copy"));
        Files.copy(Path.of("tree/b"), copy.resolve("b"));
        try (var in = FileChannel.open(Path.of("tree/c")); var out = new FileOutputStream("copy/c").getChannel()) {
            in.transferTo(0, in.size(), out);
        }
        try (var in = new FileInputStream("tree/below/d"); var out = new GZIPOutputStream(new FileOutputStream("d.gz"))) {
            in.transferTo(out);
        }
        try (var in = new GZIPInputStream(new FileInputStream("d.gz")); var out = new FileOutputStream("copy/d")) {
            in.transferTo(out);
        }
        Thread[] threads = new Thread[3];
        for (int at = 0; at < 3; at++) (threads[at] = new Thread(() -> read(Path.of("copy")))).start();
        for (Thread thread : threads) thread.join();
        Path name = Files.createTempDirectory(Path.of("."), "temporary").resolve("a");
        Files.writeString(name, IntStream.range(0, 5000).boxed().toList().toString());
        Files.setPosixFilePermissions(name, PosixFilePermissions.fromString("rw-------"));
        Files.setLastModifiedTime(name, FileTime.fromMillis(1000));
        Files.createLink(name.resolveSibling("link"), name);
        Files.createSymbolicLink(name.resolveSibling("symlink"), Path.of("a"));
        try (var file = new RandomAccessFile(name.toFile(), "rw"); var channel = file.getChannel()) {
            file.setLength(10000);
            MappedByteBuffer mapped = channel.map(FileChannel.MapMode.READ_WRITE, 0, 10000);
            mapped.put(3, (byte) 7);
            mapped.force();
            channel.write(ByteBuffer.wrap(new byte[1234]), 77);
            channel.read(new ByteBuffer[] {ByteBuffer.allocate(100), ByteBuffer.allocateDirect(200)});
        }
        Files.move(name, name.resolveSibling("b"), StandardCopyOption.REPLACE_EXISTING);
        try {
            Files.readAllBytes(Path.of("nowhere"));
        } catch (NoSuchFileException expected) {
        }
        new ProcessBuilder("sort", "tree/b").redirectOutput(new File("sorted")).start().waitFor();
        try (ServerSocket listener = new ServerSocket(0, 1, InetAddress.getLoopbackAddress());
                Socket client = new Socket(listener.getInetAddress(), listener.getLocalPort());
                Socket peer = listener.accept()) {
            client.getOutputStream().write(new byte[5000]);
            peer.getInputStream().readNBytes(5000);
        }
        try (Stream<Path> all = Files.walk(copy)) {
            for (Path file : all.sorted(java.util.Comparator.reverseOrder()).toList()) Files.delete(file);
        }
    }
}
