//! Phrases of tracers of sockets: `connect`, `accept`, `close`, `bind`, `udp`, `dns`.

use super::facts::{Facts, shortened};
use super::units::{bytes, counted, duration};

/// `to 10.0.0.1:443`, `to /run/nscd/socket (process 812)`
pub(super) fn connect(row: &Facts<'_>) -> Option<String> {
    if let Some(remote) = remote(row) {
        return Some(format!("to {remote}"));
    }
    let peer = row.unsigned("peer_pid").map(|pid| format!(" (process {pid})")).unwrap_or_default();
    Some(format!("to {}{peer}", unix(row)?))
}

/// `from 10.0.0.9:48174 at 10.0.0.1:443`, `from process 812 at /run/app.sock`
pub(super) fn accept(row: &Facts<'_>) -> Option<String> {
    let Some(local) = local(row) else {
        let peer = row.unsigned("peer_pid").map(|pid| format!("from process {pid} ")).unwrap_or_default();
        return Some(format!("{peer}at {}", unix(row)?));
    };
    let from = remote(row).map(|remote| format!("from {remote} ")).unwrap_or_default();
    Some(format!("{from}at {local}"))
}

/// `to 10.0.0.1:443: sent 100 bytes, received 21.9 KiB, over 1.5 s`
pub(super) fn close(row: &Facts<'_>) -> Option<String> {
    let side = if row.is("accepted") { "from" } else { "to" };
    Some(format!("{side} {}: {}", remote(row)?, traffic(row)?))
}

/// `bind 0.0.0.0:80`, `listen on 0.0.0.0:80, backlog 128`
pub(super) fn bind(row: &Facts<'_>) -> Option<String> {
    let local = local(row).or_else(|| unix(row))?;
    match row.call()? {
        "listen" => {
            let backlog = row.unsigned("backlog").map(|backlog| format!(", backlog {backlog}"));
            Some(format!("listen on {local}{}", backlog.unwrap_or_default()))
        }
        _ => Some(format!("bind {local}")),
    }
}

/// `send to 10.0.0.1:123`, `receive at 10.0.0.9:5000 from 10.0.0.1:123`, and the sums of a flow that is over:
/// `flow with 10.0.0.1:123: sent 48 bytes in 1 datagram, received 48 bytes in 1 datagram, over 12 ms`.
pub(super) fn udp(row: &Facts<'_>) -> Option<String> {
    let other = remote(row).or_else(|| unix(row));
    if row.call().is_none() {
        return Some(format!("flow with {}: {}", other.or_else(|| local(row))?, traffic(row)?));
    }
    match row.text("direction")? {
        "sent" => Some(format!("send to {}", other?)),
        _ => {
            let from = remote(row).map(|remote| format!(" from {remote}")).unwrap_or_default();
            Some(format!("receive at {}{from}", local(row).or_else(|| unix(row))?))
        }
    }
}

/// `query to 10.0.0.1:53: example.org A`, `answer from 10.0.0.1:53: example.org A: NOERROR 192.0.2.7`
pub(super) fn dns(row: &Facts<'_>) -> Option<String> {
    let (side, other) = match row.text("direction")? {
        "sent" => ("to", remote(row)),
        _ => ("from", remote(row)),
    };
    let other = other.map(|other| format!(" {side} {other}")).unwrap_or_default();
    if row.is("malformed") {
        return Some(format!("message{other} that is not DNS"));
    }
    let question = format!("{} {}", row.text("name")?, row.text("query_type")?);
    let Some(code) = row.text("rcode") else { return Some(format!("query{other}: {question}")) };
    let addresses = shortened(&row.list("addresses"));
    Some(format!("answer{other}: {question}: {code} {addresses}").trim_end().to_owned())
}

fn traffic(row: &Facts<'_>) -> Option<String> {
    let side = |amount: &str, datagrams: &str| {
        let datagrams = row.unsigned(datagrams).map(|count| format!(" in {}", counted(count, "datagram")));
        Some(format!("{}{}", bytes(row.unsigned(amount)?), datagrams.unwrap_or_default()))
    };
    let (sent, received) =
        (side("bytes_sent", "datagrams_sent")?, side("bytes_received", "datagrams_received")?);
    let time = row.unsigned("duration_ns").map(|time| format!(", over {}", duration(time)));
    Some(format!("sent {sent}, received {received}{}", time.unwrap_or_default()))
}

fn remote(row: &Facts<'_>) -> Option<String> {
    endpoint(row, "daddr", "dport")
}

fn local(row: &Facts<'_>) -> Option<String> {
    endpoint(row, "saddr", "sport")
}

/// Returns an address with its number of a port: `10.0.0.1:443`, `[::1]:443`.
fn endpoint(row: &Facts<'_>, address: &str, number: &str) -> Option<String> {
    let (address, number) = (row.text(address)?, row.unsigned(number));
    // A vsock address has its number, a hardware address none.
    let Some(number) = number else { return Some(address.to_owned()) };
    Some(if address.contains(':') { format!("[{address}]:{number}") } else { format!("{address}:{number}") })
}

/// The path of a unix socket, else its abstract name.
fn unix(row: &Facts<'_>) -> Option<String> {
    let name = row.path.or_else(|| row.text("sun_path"))?;
    Some(if name.is_empty() { "an unnamed unix socket".to_owned() } else { name.to_owned() })
}
