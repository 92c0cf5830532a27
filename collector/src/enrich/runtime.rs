//! Asks container runtimes for names and images of containers, outside the data path, which never waits for an
//! answer. Rows that come before the answer lack name and image; later rows of the same container have them.
//!
//! Docker and podman answer one HTTP request on a socket. containerd speaks gRPC on its socket; the same information
//! is in the file that it starts the container from, so that file is read instead.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actors::clock::{self, Instant};
use model::container::{CONTAINERD, DOCKER, PODMAN};
use model::lock::lock;
use model::{Container, Period};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// Number of containers that may wait to be asked for. If there are more, a later row asks again.
const QUESTIONS: usize = 256;
/// Number of containers whose answers are remembered. Beyond it the cache is cleared.
const ANSWERS: usize = 4096;
/// Longest answer that is read, in bytes; a usual answer has about 20 KB.
const ANSWER_LIMIT: u64 = 4 << 20;

/// Container runtimes to ask for names and images of containers (`[collector.runtimes]`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RuntimesConfig {
    /// Asks no runtime.
    pub disabled: bool,
    /// Path of docker's socket; empty: docker is not asked.
    pub docker: String,
    /// Path of podman's socket; empty: podman is not asked.
    pub podman: String,
    /// Folder of containerd's running containers; empty: containerd is not asked.
    pub containerd: String,
    /// Time to wait for a runtime's answer.
    pub timeout: Period,
    /// Time after which a container that no runtime knew is asked for again.
    pub ask_again: Period,
    /// Users, besides root, who run container runtimes: names of their cgroups are believed.
    pub uids: Vec<u32>,
}

impl Default for RuntimesConfig {
    fn default() -> Self {
        Self {
            disabled: false,
            docker: "/run/docker.sock".to_owned(),
            podman: "/run/podman/podman.sock".to_owned(),
            containerd: "/run/containerd/io.containerd.runtime.v2.task".to_owned(),
            timeout: Period(Duration::from_secs(2)),
            ask_again: Period(Duration::from_secs(30)),
            uids: Vec::new(),
        }
    }
}

/// Cache of containers' names and images. Clones share it.
#[derive(Clone, Debug)]
pub struct Names {
    answers: Arc<Mutex<HashMap<Arc<str>, Answer>>>,
    questions: flume::Sender<Question>,
}

#[derive(Clone, Debug)]
enum Answer {
    Asked,
    Known(Arc<Container>),
    /// No runtime knew the container; it may be asked for again from this time on.
    Unknown(Instant),
}

#[derive(Debug)]
struct Question {
    id: Arc<str>,
    found: Arc<Container>,
}

impl Names {
    /// Makes an empty cache, and the task that asks the runtimes; the task ends when the last clone is dropped.
    /// `None` if asking is disabled.
    pub fn new(config: &RuntimesConfig) -> Option<(Self, impl Future<Output = ()> + use<>)> {
        if config.disabled {
            return None;
        }
        let (questions, asked) = flume::bounded(QUESTIONS);
        let answers = Arc::default();
        let task = answer(config.clone(), Arc::clone(&answers), asked);
        Some((Self { answers, questions }, task))
    }

    /// Returns the container with its name and image, if its runtime has answered; otherwise queues a question.
    pub(super) fn of(&self, id: &Arc<str>, found: &Arc<Container>) -> Option<Arc<Container>> {
        if !matches!(found.runtime, None | Some(DOCKER | CONTAINERD | PODMAN)) || !is_plain(id) {
            return None;
        }
        let mut answers = lock(&self.answers);
        match answers.get(id) {
            Some(Answer::Known(container)) => return Some(container.clone()),
            Some(Answer::Asked) => return None,
            Some(Answer::Unknown(until)) if clock::now() < *until => return None,
            Some(Answer::Unknown(_)) | None => {}
        }
        if self.questions.try_send(Question { id: id.clone(), found: found.clone() }).is_ok() {
            if answers.len() >= ANSWERS {
                answers.clear();
            }
            answers.insert(id.clone(), Answer::Asked);
        }
        None
    }
}

/// Returns whether the id can safely be part of a path: a user who can name cgroups must not be able to name files.
fn is_plain(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

async fn answer(
    config: RuntimesConfig,
    answers: Arc<Mutex<HashMap<Arc<str>, Answer>>>,
    questions: flume::Receiver<Question>,
) {
    while let Ok(Question { id, found }) = questions.recv_async().await {
        let answer = match ask(&config, &id, found.runtime).await {
            Some((runtime, name, image)) => {
                let runtime = found.runtime.or(Some(runtime));
                Answer::Known(Arc::new(Container { runtime, name, image, ..Container::clone(&found) }))
            }
            None => Answer::Unknown(clock::now() + config.ask_again.0),
        };
        lock(&answers).insert(id, answer);
    }
}

type Description = (&'static str, Option<String>, Option<String>);

/// Asks the runtimes in order, until one of them knows the container.
async fn ask(config: &RuntimesConfig, id: &str, runtime: Option<&str>) -> Option<Description> {
    // Docker's containers run in its own containerd, which does not know their names.
    for (name, path) in [(DOCKER, &config.docker), (PODMAN, &config.podman), (CONTAINERD, &config.containerd)]
    {
        if path.is_empty() || runtime.is_some_and(|runtime| runtime != name) {
            continue;
        }
        let asked = async {
            match name {
                CONTAINERD => from_bundle(path, id).await,
                _ => from_socket(path, id).await,
            }
        };
        match tokio::time::timeout(config.timeout.0, asked).await {
            Ok(Ok(Some((title, image)))) => return Some((name, title, image)),
            Ok(Ok(None)) => {}
            Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => {}
            Ok(Err(error)) => tracing::debug!(runtime = name, path, %error, "a runtime can't be asked"),
            Err(_) => tracing::debug!(runtime = name, path, "a runtime did not answer"),
        }
    }
    None
}

type Labels = (Option<String>, Option<String>);

async fn from_socket(socket: &str, id: &str) -> io::Result<Option<Labels>> {
    let mut stream = UnixStream::connect(socket).await?;
    // An HTTP/1.0 answer is not chunked and ends with the connection, so no parsing of chunks is needed.
    let request = format!("GET /containers/{id}/json HTTP/1.0\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_LIMIT).read_to_end(&mut answer).await?;
    Ok(inspected(&answer))
}

/// Reads name and image from the answer to `GET /containers/ID/json`. Docker puts a `/` before names.
fn inspected(answer: &[u8]) -> Option<Labels> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let (version, rest) = head.split_once(' ')?;
    if !version.starts_with("HTTP/1.") || !rest.starts_with("200") {
        return None;
    }
    let body: Value = serde_json::from_slice(&answer[end + 4..]).ok()?;
    let name = text(&body["Name"]).map(|name| name.trim_start_matches('/').to_owned());
    let image = text(&body["Config"]["Image"]).or_else(|| text(&body["ImageName"]));
    Some((name, image))
}

/// Reads the container's bundle; the container may be in any of containerd's namespaces.
async fn from_bundle(folder: &str, id: &str) -> io::Result<Option<Labels>> {
    let mut namespaces = tokio::fs::read_dir(folder).await?;
    while let Some(namespace) = namespaces.next_entry().await? {
        match read(&namespace.path().join(id).join("config.json")).await {
            Ok(bytes) => return Ok(serde_json::from_slice(&bytes).ok().map(|config| annotated(&config))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

async fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    tokio::fs::File::open(path).await?.take(ANSWER_LIMIT).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

/// Reads the annotations that containerd's CRI plug-in and nerdctl add to a container.
fn annotated(config: &Value) -> Labels {
    let of = |keys: &[&str]| keys.iter().find_map(|key| text(&config["annotations"][*key]));
    (
        of(&["io.kubernetes.cri.container-name", "nerdctl/name", "io.kubernetes.cri.sandbox-name"]),
        of(&["io.kubernetes.cri.image-name", "nerdctl/image-ref"]),
    )
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(ToOwned::to_owned)
}

#[cfg(test)]
#[path = "runtime_tests.rs"]
mod tests;
