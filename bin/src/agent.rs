//! The running agent: all its actors, the control socket, and the status that it reports.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use actors::{AnyChild, ChildStatus, Phase, Placement, Supervisor, clock};
use anyhow::Context as _;
use collector::SinkSpec;
use futures::future::BoxFuture;
use store::access::Access;
use tokio::sync::watch;

use crate::assemble::{self, Topology};
use crate::config::{Config, Loaded, Running, Sources};
use crate::control::{self, Answer, Ask, Control, Request};
use crate::daemon;
use crate::enable::{self, EnableResult};
use crate::exit::Failure;
use crate::read::Read;
use crate::reload::Reloader;
use crate::service;
use crate::socket::{self, SocketServer};
use crate::status::{ActorStatus, Reloaded, Status, TracerPhase, TracerStatus};
use crate::subsystem::Tracer;

/// Interval between checks whether an actor that the agent needs has been given up.
const BROKEN_CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// A running agent. Dropping it does not stop the actors; [`Agent::stop`] does.
pub(crate) struct Agent {
    inner: Arc<Inner>,
    /// The actor that answers on the control socket. The `child` command has none.
    control: Option<Arc<dyn AnyChild>>,
    /// The actor that answers on the read socket. The `child` command has none.
    read: Option<Arc<dyn AnyChild>>,
}

struct Inner {
    topology: Topology,
    reloader: Reloader,
    workdir: PathBuf,
    started: clock::Instant,
    started_wall: String,
    stop: watch::Sender<bool>,
    /// Whether pinned programs and rings are kept at the stop, if the stop request says so.
    keep: watch::Sender<Option<bool>>,
}

impl Agent {
    /// Starts all actors. Returns before tracers have attached; [`Agent::status`] reports their progress.
    pub(crate) async fn start(
        sources: &Sources,
        loaded: &Arc<Loaded>,
        workdir: &Path,
        watched: bool,
    ) -> Result<Self, Failure> {
        let topology = assemble::assemble(&loaded.config, workdir, watched, None).await?;
        let reloader = Reloader::new(sources.clone(), loaded.clone());
        let inner = Arc::new(Inner::new(topology, reloader, workdir));
        let access = assemble::access(&loaded.config)?;
        let control = Some(serve_control(&inner, workdir)?);
        let read = Some(serve_read(&inner, workdir, access)?);
        access
            .open_folder(workdir)
            .with_context(|| format!("letting store.group into the work folder {}", workdir.display()))?;
        Ok(Self { inner, control, read })
    }

    /// Starts all actors as the child of another program. The only sink is `host`, which sends the rows to that program.
    /// There is no control socket.
    pub(crate) async fn start_as_child(config: &Config, host: SinkSpec) -> Result<Self, Failure> {
        let nowhere = Path::new("/");
        let topology = assemble::assemble(config, nowhere, false, Some(host)).await?;
        let loaded = Arc::new(Loaded::from(config.clone()));
        let reloader = Reloader::new(Sources::default(), loaded);
        Ok(Self { inner: Arc::new(Inner::new(topology, reloader, nowhere)), control: None, read: None })
    }

    /// Returns the state of all tracers and actors.
    pub(crate) fn status(&self) -> Status {
        self.inner.status()
    }

    /// Returns the path of the store, if there is one.
    pub(crate) fn store(&self) -> Option<PathBuf> {
        self.inner.topology.collector.store()
    }

    /// Loads the configuration again and applies it.
    pub(crate) async fn reload(&self) {
        self.inner.clone().reload().await;
    }

    /// Waits until the agent is asked to stop over the control socket.
    pub(crate) async fn stop_requested(&self) {
        let mut stop = self.inner.stop.subscribe();
        // The sender lives as long as `self`.
        let _ = stop.wait_for(|stop| *stop).await;
    }

    /// Waits until an actor that the agent can't run without has been given up, and returns the reason.
    pub(crate) async fn broken(&self) -> Failure {
        loop {
            if let Some(failure) = self.inner.broken() {
                return failure;
            }
            clock::sleep(clock::until_tick(BROKEN_CHECK_INTERVAL)).await;
        }
    }

    /// Stops all actors in order. When this returns, every record that was read has been flushed.
    pub(crate) async fn stop(&self) {
        self.inner.reloader.close().await;
        let keep = *self.inner.keep.borrow();
        self.inner.topology.stop(keep, &self.inner.workdir).await;
        // Followers get the last rows, too.
        self.inner.topology.collector.feed().close();
        for (server, socket) in [(&self.read, socket::READ), (&self.control, socket::CONTROL)] {
            if let Some(server) = server {
                server.stop().await;
                let _ = std::fs::remove_file(socket.path(&self.inner.workdir));
            }
        }
    }
}

fn serve_control(inner: &Arc<Inner>, workdir: &Path) -> Result<Arc<dyn AnyChild>, Failure> {
    let listener = socket::CONTROL
        .bind(workdir, Access::default())
        .with_context(|| format!("creating the control socket in {}", workdir.display()))?;
    let served = inner.clone();
    let ask: Ask = Arc::new(move |request| served.clone().answer(request));
    let spec = actors::Spec::new("control");
    let protocol = Control(ask);
    let server = Supervisor::new()
        .spawn_loop(spec, move |ctx| SocketServer::new(ctx, listener.clone(), protocol.clone()));
    Ok(Arc::new(server))
}

fn serve_read(inner: &Arc<Inner>, workdir: &Path, access: Access) -> Result<Arc<dyn AnyChild>, Failure> {
    let listener = socket::READ
        .bind(workdir, access)
        .with_context(|| format!("creating the read socket in {}", workdir.display()))?;
    let served = inner.clone();
    let protocol = Read::new(Arc::new(move || served.status()), inner.topology.collector.clone());
    let spec = actors::Spec { placement: Placement::OwnThread, ..actors::Spec::new("read") };
    let server = Supervisor::new()
        .spawn_loop(spec, move |ctx| SocketServer::new(ctx, listener.clone(), protocol.clone()));
    Ok(Arc::new(server))
}

impl Inner {
    fn new(topology: Topology, reloader: Reloader, workdir: &Path) -> Self {
        Self {
            topology,
            reloader,
            workdir: workdir.to_owned(),
            started: clock::now(),
            started_wall: clock::wall().to_text(),
            stop: watch::Sender::new(false),
            keep: watch::Sender::new(None),
        }
    }

    fn answer(self: Arc<Self>, request: Request) -> BoxFuture<'static, Answer> {
        Box::pin(async move {
            match request {
                Request::Status => Answer::of(Ok(self.status())),
                Request::Config => Answer::of(Ok(Running::of(&self.reloader.loaded()))),
                Request::Cache { tracer, change } => {
                    Answer::of(control::answer_cache(&self.topology.programs, tracer, change).await)
                }
                Request::Reload => Answer::of(Ok(self.reload().await)),
                Request::SetEnabled { tracers, on } => Answer::of(self.set_enabled(tracers, on).await),
                Request::Stop { keep } => {
                    self.keep.send_replace(keep);
                    self.stop.send_replace(true);
                    Answer::Ok(serde_json::Value::Null)
                }
                #[cfg(feature = "fault-injection")]
                Request::InjectPanic { actor } => match self.topology.faults.inject(&actor).await {
                    Ok(()) => Answer::Ok(serde_json::Value::Null),
                    Err(why) => Answer::Error(why),
                },
            }
        })
    }

    /// Reloads in a task of its own, so that the reload completes even if the caller disconnects.
    async fn reload(self: Arc<Self>) -> Reloaded {
        let reload = async move {
            service::reloading();
            daemon::reopen_log();
            let result = self.reloader.reload(&self.topology.subsystems).await;
            // As logrotate expects, also if the configuration was refused.
            self.topology.collector.reopen_outputs().await;
            service::ready(&self.status());
            result
        };
        let ended = actix::spawn(reload).await;
        ended.unwrap_or_else(|cause| Reloaded::Refused {
            problems: format!("the reload was interrupted: {cause}"),
        })
    }

    /// Enables or disables tracers in a task of its own, for the same reason.
    async fn set_enabled(
        self: Arc<Self>,
        tracers: Vec<String>,
        on: bool,
    ) -> Result<Vec<EnableResult>, String> {
        let change = async move {
            let Some(_guard) = self.reloader.change_lock().await else {
                return Err("the agent is stopping".to_owned());
            };
            let config = &self.reloader.loaded().config;
            enable::set_enabled(&self.topology.subsystems, config, &tracers, on).await
        };
        let done = actix::spawn(change).await;
        done.unwrap_or_else(|cause| Err(format!("enabling or disabling was interrupted: {cause}")))
    }

    fn status(&self) -> Status {
        let topology = &self.topology;
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            workdir: self.workdir.display().to_string(),
            collector_id: topology.collector.collector_id.clone(),
            started: self.started_wall.clone(),
            config: self.reloader.status(),
            live: topology.collector.feed().state(),
            uptime_s: self.started.elapsed().as_secs_f64(),
            tracers: topology.tracers().iter().map(|tracer| self.tracer_status(tracer)).collect(),
            actors: self.actor_statuses(),
        }
    }

    fn tracer_status(&self, tracer: &Tracer) -> TracerStatus {
        let ChildStatus { phase, first_cause, last_cause, restarts, .. } = tracer.child.status();
        let host = tracer.host.as_ref().map(|host| host.status());
        // A tracer can't record if the actor that reads its records has been given up.
        let host_down = host.as_ref().filter(|host| host.phase == Phase::GivenUp);
        let detail = tracer.child.state_json();
        let off = tracer.off.then(|| "disabled at run time".to_owned());
        let phase = match (&off, host_down) {
            (Some(_), _) => TracerPhase::Disabled,
            (None, Some(_)) => TracerPhase::Degraded,
            (None, None) => TracerPhase::of(phase, tracer.attached),
        };
        let records = phase == TracerPhase::Attached;
        let lacks =
            (records && !tracer.lacks.is_empty()).then(|| format!("without {}", tracer.lacks.join("; ")));
        let phase = if lacks.is_some() { TracerPhase::Degraded } else { phase };
        let account = self.topology.account(&tracer.stored_as);
        TracerStatus {
            tracer: tracer.stored_as.as_str().to_owned(),
            section: tracer.section.clone(),
            kind: tracer.kind.as_str().to_owned(),
            phase,
            records,
            cause: off.or(lacks).or(host_down.and_then(|host| host.first_cause.clone())).or(first_cause),
            last_cause,
            restarts,
            in_flight: account.in_flight(),
            account,
            detail,
        }
    }

    fn actor_statuses(&self) -> Vec<ActorStatus> {
        let stage = self.topology.stage();
        let actors = stage
            .groups()
            .iter()
            .flat_map(|(group, children)| children.iter().map(move |child| (group, child)));
        actors
            .map(|(group, child)| ActorStatus {
                name: child.name().to_owned(),
                group: (*group).to_owned(),
                status: child.status(),
                state: child.state_json(),
            })
            .collect()
    }

    fn broken(&self) -> Option<Failure> {
        let given_up = |child: &Arc<dyn AnyChild>| {
            let status = child.status();
            (status.phase == Phase::GivenUp).then(|| status.first_cause.unwrap_or_default())
        };
        let tracers = self.topology.tracers();
        let strict = tracers.iter().filter(|tracer| tracer.strict).find_map(|tracer| {
            let cause = given_up(&tracer.child)?;
            Some(format!("tracer {} can't run, and ebpf.strict is set: {cause}", tracer.stored_as))
        });
        let essential = self.topology.essential.iter().find_map(|child| {
            let cause = given_up(child)?;
            Some(format!("actor {} can't run, and nothing can be stored without it: {cause}", child.name()))
        });
        strict.or(essential).map(Failure::failed)
    }
}
