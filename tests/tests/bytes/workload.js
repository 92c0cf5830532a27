const fs = require("fs"), path = require("path"), zlib = require("zlib"), net = require("net");
const { pipeline } = require("stream/promises");
const { Worker } = require("worker_threads");
const { execFileSync } = require("child_process");

const reads = `
const fs = require("fs"), path = require("path");
for (const name of fs.readdirSync("copy", { recursive: true })) {
  const file = path.join("copy", name);
  if (fs.statSync(file).isFile()) fs.readFileSync(file);
}`;

(async () => {
  fs.cpSync("tree", "copy", { recursive: true, verbatimSymlinks: true });
  await fs.promises.copyFile("tree/b", "copied");
  await pipeline(fs.createReadStream("tree/below/d"), zlib.createGzip(), fs.createWriteStream("d.gz"));
  await pipeline(fs.createReadStream("d.gz"), zlib.createGunzip(), fs.createWriteStream("d"));
  await Promise.all([1, 2, 3].map(() => new Promise((done) => new Worker(reads, { eval: true }).on("exit", done))));
  const folder = fs.mkdtempSync("temporary-");
  const name = path.join(folder, "a");
  fs.writeFileSync(name, JSON.stringify([...Array(5000).keys()]));
  fs.appendFileSync(name, "more");
  fs.chmodSync(name, 0o600);
  fs.utimesSync(name, 1, 2);
  fs.truncateSync(name, 100);
  fs.symlinkSync("a", path.join(folder, "link"));
  fs.linkSync(name, name + "b");
  fs.renameSync(name + "b", name + "c");
  const opened = await fs.promises.open(name, "r+");
  await opened.writev([Buffer.from("x"), Buffer.from("yz")], 7);
  await opened.read(Buffer.alloc(50), 0, 50, 3);
  await opened.datasync();
  await opened.close();
  await fs.promises.readFile("nowhere").catch(() => {});
  execFileSync("sort", ["tree/b"]);
  const server = net.createServer((peer) => peer.pipe(peer)).listen("socket");
  await new Promise((done) => server.on("listening", done));
  const client = net.connect("socket");
  client.end("x".repeat(100000));
  for await (const part of client) part.length;
  server.close();
  fs.rmSync(folder, { recursive: true });
  fs.rmSync("copy", { recursive: true });
})();
