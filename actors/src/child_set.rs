//! Sets of children that follow the configuration: a child for each section that is enabled.
//!
//! A change compares old with new settings, and touches only the children that differ. One change happens at a time,
//! each in a task of its own, so that it completes even if the caller drops its future. Whatever can be refused is refused
//! before ([`Prepared`]): applying a change can't fail. A child can also be enabled or disabled at run time, contrary to its
//! settings; this lasts until they change. A child that was disabled at run time stays listed.
//!
//! ```text
//!  new settings ─ prepare() ─▶ plan() ─▶ steps ─▶ stop() ─▶ start() ─▶ finish() ─▶ changes
//!                 (all problems)         (added, removed, restarted, or kept)
//! ```
//!
//! ```
//! use std::convert::Infallible;
//!
//! use actix::System;
//! use actors::testkit::{Faulty, FaultyState};
//! use actors::{AnyChild, ChildKind, ChildRef, ChildSet, Member, Spec, Supervisor};
//! use model::{Change, Subject, What};
//!
//! /// Makes an actor for each name.
//! struct Workers(Supervisor);
//!
//! impl ChildKind for Workers {
//!     type Key = String;
//!     type Settings = (String, u32);
//!     type Child = ChildRef<Faulty, FaultyState>;
//!     type Error = Infallible;
//!
//!     fn key((name, _): &Self::Settings) -> String {
//!         name.clone()
//!     }
//!     fn subject((name, _): &Self::Settings, _: Option<&Self::Settings>) -> Subject {
//!         Subject::Filter(name.clone())
//!     }
//!     fn actor(child: &Self::Child) -> &dyn AnyChild {
//!         child
//!     }
//!     fn start(&self, (name, _): &Self::Settings, _: Option<&Member<Self>>) -> Self::Child {
//!         self.0.spawn(Spec::new(name), Faulty::new)
//!     }
//! }
//!
//! System::new().block_on(async {
//!     let settings = |all: &[(&str, u32)]| all.iter().map(|(name, size)| (name.to_string(), *size)).collect();
//!     let set = ChildSet::start_all(Workers(Supervisor::new()), settings(&[("a", 1), ("b", 1)]));
//!     let after = settings(&[("b", 2), ("c", 1)]);
//!     let prepared = set.prepare(Vec::new(), |set| async move { set.apply(after).await });
//!     let changes = prepared.unwrap_or_else(|problems| panic!("{problems:?}")).await;
//!     let change = |what, name: &str| Change::new(what, Subject::Filter(name.to_owned()));
//!     assert_eq!(changes, [change(What::Restarted, "b"), change(What::Added, "c"), change(What::Removed, "a")]);
//!     assert_eq!(set.set_enabled("c".to_owned(), false).await, Some(Ok(true)));
//!     assert!(set.members()[1].is_off());
//! });
//! ```

use std::sync::{Arc, Mutex, MutexGuard};

use futures::future::{BoxFuture, join_all};
use model::lock::lock;
use model::{Change, Problem, Subject, What};

use crate::{AnyChild, Phase};

/// Describes the children of a [`ChildSet`]: the settings they are made from, and how they are started and stopped.
pub trait ChildKind: Sized + 'static {
    /// Identifies a child before and after a change.
    type Key: PartialEq + 'static;
    /// Everything a child is made from. Equal settings make equal children.
    type Settings: Clone + PartialEq + 'static;
    /// Handle to a child.
    type Child: Clone + 'static;
    /// Reason why a child can't be enabled or disabled.
    type Error: 'static;
    /// True if a child that is disabled at run time keeps its actor; otherwise its actor is stopped, and another is started.
    const KEEPS_ACTOR: bool = false;

    /// Returns the key of the child with these settings.
    fn key(settings: &Self::Settings) -> Self::Key;

    /// Returns the name of the child with these settings for the list of changes. `before` are those that they replace.
    fn subject(settings: &Self::Settings, before: Option<&Self::Settings>) -> Subject;

    /// Returns whether a child with these settings is to run.
    fn enables(_settings: &Self::Settings) -> bool {
        true
    }

    /// Returns whether a running child has to be replaced when its settings change.
    fn replaces(before: &Self::Settings, after: &Self::Settings) -> bool {
        before != after
    }

    /// Returns whether a child that was enabled or disabled at run time stays so.
    fn keeps_override(before: &Self::Settings, after: &Self::Settings) -> bool {
        before == after
    }

    /// Returns the child's actor.
    fn actor(child: &Self::Child) -> &dyn AnyChild;

    /// Prepares what several children share, before those with these settings are started.
    fn starting(&self, _all: &[&Self::Settings]) {}

    /// Starts a child, which replaces that of `before` if there is one.
    fn start(&self, settings: &Self::Settings, before: Option<&Member<Self>>) -> Self::Child;

    /// Stops a child. Returns when all its records have been passed on. Called again for a child that has stopped.
    fn stop(&self, child: &Self::Child) -> impl Future<Output = ()> {
        let stop = Self::actor(child).stop();
        async move { drop(stop.await) }
    }

    /// Enables or disables a child that keeps its actor. For others, waits until the actor that was started is ready.
    fn follow(&self, _child: &Self::Child, _on: bool) -> impl Future<Output = Result<(), Self::Error>> {
        async { Ok(()) }
    }

    /// Ends what children shared if none needs it any more. Called at the end of each change.
    fn changed(&self, _members: &[Member<Self>]) -> impl Future<Output = ()> {
        async {}
    }
}

/// Settings, and the child that was made from them.
pub struct Member<K: ChildKind> {
    pub settings: K::Settings,
    /// The child, unless its settings disable it. A child that was disabled at run time may have been stopped.
    pub child: Option<K::Child>,
    /// True if enabled, and false if disabled at run time, contrary to the settings.
    switched: Option<bool>,
}

impl<K: ChildKind> Clone for Member<K> {
    fn clone(&self) -> Self {
        Self { settings: self.settings.clone(), child: self.child.clone(), switched: self.switched }
    }
}

impl<K: ChildKind> Member<K> {
    /// Returns whether the child is disabled, by its settings or at run time.
    pub fn is_off(&self) -> bool {
        !self.switched.unwrap_or_else(|| K::enables(&self.settings))
    }

    fn phase(&self) -> Option<Phase> {
        self.child.as_ref().map(|child| K::actor(child).status().phase)
    }

    /// Returns whether there is a child that was not stopped.
    pub fn exists(&self) -> bool {
        self.phase().is_some_and(|phase| phase != Phase::Stopped)
    }

    /// Returns whether the child is enabled and was not given up.
    fn is_on(&self) -> bool {
        !self.is_off() && self.phase().is_some_and(|phase| !phase.is_terminal())
    }
}

/// Way of one member from the settings before a change to those after it.
pub struct Step<K: ChildKind> {
    /// Effect on the child; `None` if it is kept as it is.
    pub what: Option<What>,
    pub before: Option<Member<K>>,
    pub after: Option<Member<K>>,
}

impl<K: ChildKind> Step<K> {
    fn new(before: Option<Member<K>>, settings: K::Settings) -> Self {
        let keeps = |before: &&Member<K>| K::keeps_override(&before.settings, &settings);
        let switched = before.as_ref().filter(keeps).and_then(|before| before.switched);
        let mut after = Member { settings, child: None, switched };
        let exists = before.as_ref().is_some_and(Member::exists);
        let child = before.as_ref().and_then(|before| before.child.clone());
        let what = match &before {
            Some(_) if child.is_some() && after.is_off() && switched.is_none() => Some(What::Removed),
            _ if !exists && !after.is_off() => Some(What::Added),
            Some(before) if exists && K::replaces(&before.settings, &after.settings) => Some(What::Restarted),
            _ => None,
        };
        after.child = child.filter(|_| what.is_none());
        Self { what, before, after: Some(after) }
    }

    /// Returns the change for the list, if the child is touched.
    pub fn change(&self) -> Option<Change> {
        let settings = |member: &Option<Member<K>>| member.as_ref().map(|member| member.settings.clone());
        let (before, after) = (settings(&self.before), settings(&self.after));
        let subject = match self.what? {
            What::Added => K::subject(&after?, None),
            What::Removed => K::subject(&before?, None),
            What::Restarted | What::Changed => K::subject(&after?, before.as_ref()),
        };
        Some(Change::new(self.what?, subject))
    }

    fn starts(&self) -> bool {
        matches!(self.what, Some(What::Added | What::Restarted))
    }

    /// Returns the child that a change stops.
    fn leaving(&self) -> Option<&K::Child> {
        self.what.and(self.before.as_ref()?.child.as_ref())
    }
}

/// A change in which nothing is wrong. Awaiting it makes the change, as a whole even if the caller stops waiting; a change
/// that is dropped before that touches nothing.
pub type Prepared = BoxFuture<'static, Vec<Change>>;

/// A set of children that follows the configuration. Clones share the children.
pub struct ChildSet<K: ChildKind> {
    inner: Arc<Inner<K>>,
}

struct Inner<K: ChildKind> {
    kind: K,
    /// Members in the order of their settings.
    members: Mutex<Vec<Member<K>>>,
    /// Held during a change, so that there is one at a time.
    changing: tokio::sync::Mutex<()>,
}

impl<K: ChildKind> Clone for ChildSet<K> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<K: ChildKind> ChildSet<K> {
    /// Creates a set of children that run already.
    pub fn new(kind: K, running: Vec<(K::Settings, K::Child)>) -> Self {
        let member = |(settings, child)| Member { settings, child: Some(child), switched: None };
        let members = Mutex::new(running.into_iter().map(member).collect());
        Self { inner: Arc::new(Inner { kind, members, changing: tokio::sync::Mutex::default() }) }
    }

    /// Creates a set, and starts a child for each of these settings that is enabled.
    pub fn start_all(kind: K, settings: Vec<K::Settings>) -> Self {
        let set = Self::new(kind, Vec::new());
        let mut steps = set.plan(settings);
        set.start(&mut steps);
        set
    }

    /// Returns what makes the children.
    pub fn kind(&self) -> &K {
        &self.inner.kind
    }

    /// Returns the members, in the order of their settings.
    pub fn members(&self) -> Vec<Member<K>> {
        self.lock().clone()
    }

    /// Returns the member with this key.
    pub fn get(&self, key: &K::Key) -> Option<Member<K>> {
        self.lock().iter().find(|member| K::key(&member.settings) == *key).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Member<K>>> {
        lock(&self.inner.members)
    }

    /// Returns the change if there are no problems.
    ///
    /// # Errors
    /// The problems.
    pub fn prepare<F>(
        &self,
        problems: Vec<Problem>,
        change: impl FnOnce(Self) -> F + Send + 'static,
    ) -> Result<Prepared, Vec<Problem>>
    where
        Self: Send + Sync,
        F: Future<Output = Vec<Change>> + Send + 'static,
    {
        let set = self.clone();
        // Without a result only when the runtime shuts down.
        let change = async move { set.alone(change(set.clone())).await.unwrap_or_default() };
        if problems.is_empty() { Ok(Box::pin(change)) } else { Err(problems) }
    }

    /// Waits until no other change is under way, then makes this one in a task of its own: a caller that drops the future
    /// does not interrupt it.
    async fn alone<T: 'static>(&self, change: impl Future<Output = T> + 'static) -> Option<T> {
        let set = self.clone();
        let task = actix::spawn(async move {
            let _changing = set.inner.changing.lock().await;
            change.await
        });
        task.await.ok()
    }

    /// Makes the set follow these settings, as a part of a change: children that leave or are replaced are stopped at the
    /// same time, then the new ones are started. Returns when those that were stopped have ended.
    pub async fn apply(&self, settings: Vec<K::Settings>) -> Vec<Change> {
        let mut steps = self.plan(settings);
        self.stop(&steps).await;
        self.start(&mut steps);
        self.finish(&steps);
        let new = steps.iter().filter(|step| step.starts() && !K::KEEPS_ACTOR);
        let new = new.filter_map(|step| step.after.as_ref()?.child.as_ref());
        // A child that can't run reports that in its own status.
        join_all(new.map(|child| self.kind().follow(child, true))).await;
        self.kind().changed(&self.members()).await;
        steps.iter().filter_map(Step::change).collect()
    }

    /// Compares the members with new settings. Changes nothing.
    pub fn plan(&self, settings: Vec<K::Settings>) -> Vec<Step<K>> {
        let mut left = self.members();
        let step = |settings| {
            let key = K::key(&settings);
            let found = left.iter().position(|member| K::key(&member.settings) == key);
            Step::new(found.map(|index| left.remove(index)), settings)
        };
        let mut steps: Vec<Step<K>> = settings.into_iter().map(step).collect();
        steps.extend(left.into_iter().map(|member| {
            let what = member.child.is_some().then_some(What::Removed);
            Step { what, before: Some(member), after: None }
        }));
        steps
    }

    /// Stops the children that leave or are replaced.
    pub async fn stop(&self, steps: &[Step<K>]) {
        let leaving = steps.iter().filter_map(Step::leaving);
        join_all(leaving.map(|child| self.kind().stop(child))).await;
    }

    /// Starts the new children. Those that leave stay listed until the end of the change, so that whoever stops all children
    /// meanwhile finds them.
    pub fn start(&self, steps: &mut [Step<K>]) {
        let mut new: Vec<_> = steps.iter_mut().filter(|step| step.starts()).collect();
        let settings: Vec<_> = new.iter().filter_map(|step| Some(&step.after.as_ref()?.settings)).collect();
        if !settings.is_empty() {
            self.kind().starting(&settings);
        }
        for Step { before, after, .. } in &mut new {
            let start = |member: &Member<K>| self.kind().start(&member.settings, before.as_ref());
            after.iter_mut().for_each(|member| member.child = Some(start(member)));
        }
        self.finish(steps);
        let leaving = steps.iter().filter(|step| step.leaving().is_some());
        self.lock().extend(leaving.filter_map(|step| step.before.clone()));
    }

    /// Removes the children that have left from the list.
    pub fn finish(&self, steps: &[Step<K>]) {
        *self.lock() = steps.iter().filter_map(|step| step.after.clone()).collect();
    }

    /// Enables or disables a child until its settings change. Returns false if it was in that state already; `None` if there
    /// is none with this key.
    pub async fn set_enabled(&self, key: K::Key, on: bool) -> Option<Result<bool, K::Error>> {
        let set = self.clone();
        self.alone(async move { set.set_enabled_within(&key, on).await }).await?
    }

    async fn set_enabled_within(&self, key: &K::Key, on: bool) -> Option<Result<bool, K::Error>> {
        let mut member = self.get(key)?;
        // A child that was given up can still be disabled if its actor is stopped for that.
        let is_on = if on || K::KEEPS_ACTOR { member.is_on() } else { member.exists() };
        if is_on == on {
            return Some(Ok(false));
        }
        member.switched = (K::enables(&member.settings) != on).then_some(on);
        let kind = self.kind();
        if !K::KEEPS_ACTOR {
            if let Some(child) = &member.child {
                kind.stop(child).await;
            }
            if on {
                kind.starting(&[&member.settings]);
                member.child = Some(kind.start(&member.settings, Some(&member)));
            }
        }
        let child = member.child.clone()?;
        if member.is_off() && member.switched.is_none() && !K::KEEPS_ACTOR {
            member.child = None;
        }
        self.lock().iter_mut().filter(|it| K::key(&it.settings) == *key).for_each(|it| *it = member.clone());
        let followed = kind.follow(&child, on).await;
        kind.changed(&self.members()).await;
        Some(followed.map(|()| true))
    }
}
