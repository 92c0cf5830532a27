#!/busybox sh
# The first process of the guest: mounts what a machine has, runs the suites of this boot, powers off.
# ttyS0 is the kernel's console; only this script and the suites' result files write to ttyS1; what suites print goes
# to ttyS2.
if [ "$1" != moved ]; then
    # pivot_root does not work in an initramfs: it has to be mounted on itself.
    /busybox mkdir /root.d
    /busybox mount --bind / /root.d
    cd /root.d || exit 1
    /busybox mount --move . /
    exec /busybox chroot . /init moved
fi
/busybox mkdir -p /proc /sys /dev /tmp /run /busybox.d
/busybox --install -s /busybox.d
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/busybox.d
/busybox.d/mount -t proc proc /proc
/busybox.d/mount -t sysfs sysfs /sys
/busybox.d/mount -t devtmpfs dev /dev
/busybox.d/mount -t tmpfs -o mode=1777 tmp /tmp
/busybox.d/mount -t tmpfs -o mode=755 run /run
/busybox.d/mount -t cgroup2 cgroup2 /sys/fs/cgroup
/busybox.d/mount -t tracefs tracefs /sys/kernel/tracing
/busybox.d/mount -t securityfs securityfs /sys/kernel/security
/busybox.d/mount -t bpf bpf /sys/fs/bpf
for module in /modules/$(uname -r)/*.ko; do insmod "$module"; done
ip link set lo up
hostname guest
stty -F /dev/ttyS1 raw
stty -F /dev/ttyS2 raw
exec </dev/null >/dev/ttyS2 2>&1
export HOME=/root CI=true RUST_BACKTRACE=1 RUST_TEST_THREADS=2 DUETECTOR_TEST_GUEST=1 DUETECTOR_TEST_SLOWNESS=16 DUETECTOR_TEST_BIN=/suites/duetector-actors DUETECTOR_TEST_EXAMPLES=/suites/examples
# Each trampoline is two descriptors.
ulimit -n 65536
cd /tmp

# step NUMBER: begins a step, with the seconds since the boot.
step() {
    read -r uptime rest </proc/uptime
    echo "step $1 ${uptime%.*}" >/dev/ttyS1
}

# suite NAME ARGUMENT…
suite() {
    name=$1
    shift
    echo "begin $name" >/dev/ttyS1
    echo "--- $name $(uname -r)"
    "/suites/$name" "$@"
    echo "end $name $?" >/dev/ttyS1
}

. "/suites/$boot.boot"
echo "done $(uname -r)" >/dev/ttyS1
sync
poweroff -f
