//! A client of HTTP that sends exactly the bytes that a test wants.

use std::io::{self, BufReader, Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

/// Longer than any answer takes, also on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// The address of a server.
#[derive(Clone, Debug)]
pub enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// An answer of the server.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    /// Names in lower case, with their values.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    /// Returns the value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Returns the body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns the body as JSON.
    ///
    /// # Panics
    /// If it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|why| panic!("no JSON: {why}: {} {}", self.status, self.text()))
    }
}

/// A connection to a server.
#[derive(Debug)]
pub enum Connection {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn open(address: &Address) -> io::Result<Self> {
        Ok(match address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                Self::Tcp(stream)
            }
            Address::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                Self::Unix(stream)
            }
        })
    }

    /// Sends these bytes.
    ///
    /// # Errors
    /// The server has closed the connection.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(bytes),
            Self::Unix(stream) => stream.write_all(bytes),
        }
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// The connection ends before the answer does, or it is none.
    pub fn receive(&mut self) -> io::Result<Response> {
        receive(&mut BufReader::new(self))
    }

    /// Reads whatever comes until the connection ends.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // An end by an error is an end, too.
        let _ = self.read_to_end(&mut rest);
        rest
    }
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

/// Sends a request and returns the answer; each on a connection of its own.
///
/// # Panics
/// When there is no answer.
pub fn ask(address: &Address, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
    let mut text = format!("{method} {target} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n");
    headers.iter().for_each(|(name, value)| text.push_str(&format!("{name}: {value}\r\n")));
    if !body.is_empty() {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    let mut connection = Connection::open(address).expect("the server does not listen");
    connection.send(&[text.as_bytes(), body].concat()).expect("the server does not take the request");
    connection.receive().unwrap_or_else(|why| panic!("no answer to {method} {target}: {why}"))
}

fn receive(from: &mut impl io::BufRead) -> io::Result<Response> {
    let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut line = String::new();
    from.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(|| bad(&line))?;
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        from.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let mut response = Response { status, headers, body: Vec::new() };
    if response.header("transfer-encoding") == Some("chunked") {
        loop {
            let mut line = String::new();
            from.read_line(&mut line)?;
            let length = usize::from_str_radix(line.trim(), 16).map_err(|_| bad("no length of a chunk"))?;
            let mut chunk = vec![0; length + 2];
            from.read_exact(&mut chunk)?;
            response.body.extend(&chunk[..length]);
            if length == 0 {
                return Ok(response);
            }
        }
    }
    if let Some(length) = response.header("content-length").and_then(|length| length.parse().ok()) {
        response.body = vec![0; length];
        from.read_exact(&mut response.body)?;
    }
    Ok(response)
}
