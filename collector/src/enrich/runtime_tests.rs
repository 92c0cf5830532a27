//! Runtimes that answer, do not know the container, or never answer, on real sockets.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::UnixListener;

use super::*;

const ID: &str = "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00";

/// Runs a test on a current-thread runtime with real sockets and real time.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(tokio::task::LocalSet::new().run_until(test));
}

/// Serves as a runtime that answers every request with `answer`, or never; returns the number of requests.
fn serve(socket: &Path, answer: Option<&'static str>) -> Arc<AtomicUsize> {
    let (listener, count) = (UnixListener::bind(socket).unwrap(), Arc::new(AtomicUsize::new(0)));
    let counted = count.clone();
    tokio::task::spawn_local(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            let mut request = vec![0; 512];
            let length = stream.read(&mut request).await.unwrap();
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            assert!(request.starts_with(&format!("GET /containers/{ID}/json HTTP/1.0\r\n")), "{request}");
            match answer {
                Some(answer) => stream.write_all(answer.as_bytes()).await.unwrap(),
                None => held.push(stream),
            }
        }
    });
    count
}

fn config(folder: &Path) -> RuntimesConfig {
    let at = |name: &str| folder.join(name).to_string_lossy().into_owned();
    RuntimesConfig {
        docker: at("docker.sock"),
        podman: at("podman.sock"),
        containerd: at("containerd"),
        timeout: Period(Duration::from_millis(50)),
        ..RuntimesConfig::default()
    }
}

fn found(runtime: Option<&'static str>) -> Arc<Container> {
    Arc::new(Container { runtime, ..Container::default() })
}

/// Asks as rows do until the runtimes have answered.
async fn settled(names: &Names, found: &Arc<Container>) -> Option<Arc<Container>> {
    let id = Arc::from(ID);
    assert_eq!(names.of(&id, found), None, "the first row does not wait");
    while matches!(lock(&names.answers).get(ID), Some(Answer::Asked)) {
        clock::sleep(Duration::from_millis(1)).await;
    }
    names.of(&id, found)
}

const DOCKERS: &str = "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n\
    {\"Id\": \"x\", \"Name\": \"/web\", \"Config\": {\"Image\": \"nginx:1.27\"}}";
const NOBODYS: &str = "HTTP/1.0 404 Not Found\r\n\r\n{\"message\": \"No such container\"}";

#[test]
fn a_later_row_has_what_docker_answered() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let asked = serve(&folder.path().join("docker.sock"), Some(DOCKERS));
        let (names, task) = Names::new(&config(folder.path())).unwrap();
        tokio::task::spawn_local(task);
        let known = settled(&names, &found(Some(DOCKER))).await.unwrap();
        assert_eq!((known.name.as_deref(), known.image.as_deref()), (Some("web"), Some("nginx:1.27")));
        assert!(names.of(&Arc::from(ID), &found(Some(DOCKER))).is_some());
        assert_eq!(asked.load(Ordering::Relaxed), 1, "once");
    });
}

#[test]
fn the_runtime_that_knows_a_container_is_its_runtime() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        serve(&folder.path().join("docker.sock"), Some(NOBODYS));
        serve(&folder.path().join("podman.sock"), Some(DOCKERS));
        let (names, task) = Names::new(&config(folder.path())).unwrap();
        tokio::task::spawn_local(task);
        assert_eq!(settled(&names, &found(None)).await.unwrap().runtime, Some(PODMAN));
    });
}

#[test]
fn an_unknown_container_is_not_asked_for_again_soon() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let asked = serve(&folder.path().join("docker.sock"), Some(NOBODYS));
        let (names, task) = Names::new(&config(folder.path())).unwrap();
        tokio::task::spawn_local(task);
        assert_eq!(settled(&names, &found(Some(DOCKER))).await, None);
        for _ in 0..100 {
            assert_eq!(names.of(&Arc::from(ID), &found(Some(DOCKER))), None);
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        assert_eq!(names.of(&Arc::from("web"), &found(Some("lxc"))), None, "has no such socket");
        assert_eq!(names.of(&Arc::from("../../etc"), &found(None)), None, "is no id");
        assert_eq!(lock(&names.answers).len(), 1);
    });
}

#[test]
fn a_runtime_that_hangs_delays_no_row() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let asked = serve(&folder.path().join("docker.sock"), None);
        let (names, task) = Names::new(&config(folder.path())).unwrap();
        for number in 0..2 * QUESTIONS {
            assert_eq!(names.of(&Arc::from(format!("{number:064x}")), &found(Some(PODMAN))), None);
        }
        assert_eq!(lock(&names.answers).len(), QUESTIONS, "the rest is asked for by later rows");
        tokio::task::spawn_local(task);
        while names.questions.len() == QUESTIONS {
            clock::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(settled(&names, &found(Some(DOCKER))).await, None);
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn a_container_of_containerd_is_named_from_its_bundle() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let bundle = folder.path().join("containerd/k8s.io").join(ID);
        std::fs::create_dir_all(&bundle).unwrap();
        std::fs::create_dir_all(folder.path().join("containerd/empty")).unwrap();
        let annotations = serde_json::json!({"annotations": {
            "io.kubernetes.cri.container-name": "train",
            "io.kubernetes.cri.image-name": "registry/train:3",
        }});
        std::fs::write(bundle.join("config.json"), annotations.to_string()).unwrap();
        let (names, task) = Names::new(&config(folder.path())).unwrap();
        tokio::task::spawn_local(task);
        let known = settled(&names, &found(Some(CONTAINERD))).await.unwrap();
        assert_eq!(
            (known.name.as_deref(), known.image.as_deref()),
            (Some("train"), Some("registry/train:3"))
        );
    });
}

#[test]
fn answers_that_are_none() {
    for answer in
        ["", "HTTP/1.0 200 OK", "HTTP/1.0 200 OK\r\n\r\n{", "HTTP/1.0 500 no\r\n\r\n{}", "\r\n\r\n{}"]
    {
        assert_eq!(inspected(answer.as_bytes()), None, "{answer}");
    }
    assert_eq!(inspected(b"HTTP/1.1 200 OK\r\n\r\n{\"Name\": 7}"), Some((None, None)));
}
