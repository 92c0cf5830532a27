#!/bin/bash
# Tries the package on a machine that was made for this: as its process 1 starts it, `cargo xtask package --try-it` reads the result.
# It installs the package, and checks the unit's sandbox, a reload, a crash, an upgrade under load, readers, removal and purge.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
unit=duetector-actors
work=/var/lib/duetector-actors
step() { echo "== $*"; }
fail() { echo "FAILED: $*"; journalctl --boot --unit $unit --no-pager --output cat --lines 40; exit 1; }
# Each command of the user makes one row of `exec`.
load() { while [ -e /run/load ]; do setpriv --reuid 4711 --clear-groups /bin/true && echo >> /run/made; done; }
rows() { duetector-actors query --tracer exec --where uid=4711 --where comm=true --limit 0 --format jsonl | wc -l; }

step "nothing is left of a run before"
dpkg --purge $unit 2> /dev/null || true
rm -rf $work

step "a bpffs as systemd mounts it on machines"
mountpoint -q /sys/fs/bpf || mount -t bpf -o mode=700 bpf /sys/fs/bpf

step "installation"
dpkg --install /root/first.deb
systemctl is-active --quiet $unit || fail "the unit does not run"
state=$(systemctl show --property StatusText --value $unit)
echo "$state"
[[ $state =~ ^([0-9]+)\ of\ ([0-9]+)\ tracers ]] && [ "${BASH_REMATCH[1]}" = "${BASH_REMATCH[2]}" ] || fail "not all tracers attach"
pid=$(systemctl show --property MainPID --value $unit)
grep -E "^(Uid|CapEff|CapBnd|NoNewPrivs|Seccomp):" "/proc/$pid/status"
[ "$(stat --format %U "/proc/$pid")" = duetector-actors ] || fail "it does not run as its own user"
[ "$(grep --count : "/proc/$pid/net/dev")" = 1 ] || fail "it has a network"

step "exposure"
systemd-analyze security --no-pager $unit | tail -n 1

step "reload, and a crash under load"
systemctl reload $unit
touch /run/load /run/made
load &
until [ "$(wc -l < /run/made)" -gt 50 ]; do :; done
kill -KILL "$(systemctl show --property MainPID --value $unit)"
until [ "$(systemctl show --property MainPID --value $unit)" != "$pid" ] && systemctl is-active --quiet $unit; do :; done

step "upgrade under load"
dpkg --install /root/second.deb
until systemctl is-active --quiet $unit; do :; done
rm /run/load && wait
duetector-actors status --format json > /run/status.json
systemctl stop $unit
made=$(wc -l < /run/made)
stored=$(rows)
echo "$made programs were run, $stored rows are stored"
[ "$made" = "$stored" ] || fail "rows are missing or there twice"
jq --exit-status 'all(.tracers[]; .seen == .stored + .filtered + ([.lost[]] | add) + .in_flight)' /run/status.json > /dev/null ||
    fail "the accounts do not balance"
jq --raw-output '.tracers[] | ([.lost[]] | add) as $lost | select($lost > 0) |
    "\(.tracer): \($lost) of \(.seen) records lost, and counted"' /run/status.json
rm /run/made

step "readers"
# The machine may have them from the time before.
id reader > /dev/null 2>&1 || useradd --create-home reader
id stranger > /dev/null 2>&1 || useradd --create-home stranger
usermod --groups duetector-actors reader
runuser --user reader -- duetector-actors --workdir $work brief > /dev/null || fail "a member of the group can't read"
! runuser --user stranger -- duetector-actors --workdir $work brief > /dev/null 2>&1 || fail "a stranger can read"
systemctl start $unit
duetector-actors store verify

step "removal and purge"
dpkg --remove $unit
[ -z "$(ls -A /sys/fs/bpf/duetector-actors)" ] || fail "something stays in the kernel"
[ -e $work/store.sqlite3 ] || fail "removal took the store"
dpkg --purge $unit
[ -e $work/store.sqlite3 ] || fail "purge took the store although nobody had asked for that"
dpkg --install /root/second.deb
echo "$unit $unit/remove-store boolean true" | debconf-set-selections
dpkg --purge $unit
[ ! -e $work ] || fail "purge left the store although it was asked to remove it"
echo "SUCCEEDED"
