import json, os, shutil, socket, subprocess, tempfile, threading
shutil.copytree("tree", "copy", symlinks=True)
with tempfile.TemporaryDirectory(dir=".") as folder:
    name = os.path.join(folder, "a")
    with open(name, "w") as file:
        json.dump(list(range(5000)), file)
    os.chmod(name, 0o600)
    os.utime(name)
    os.truncate(name, 100)
    os.replace(name, name + "b")
def reads():
    for parent, folders, files in os.walk("copy"):
        for file in files:
            with open(os.path.join(parent, file)) as opened:
                opened.read()
threads = [threading.Thread(target=reads) for i in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert subprocess.run(["sort", "tree/b"], stdout=subprocess.PIPE).stdout
one, other = socket.socketpair()
one.sendall(b"x" * 1000)
other.recv(300, socket.MSG_PEEK)
other.recv(2000)
try:
    socket.create_connection(("127.0.0.1", 9))
except ConnectionRefusedError:
    pass
os.kill(os.getpid(), 0)
shutil.rmtree("copy")
