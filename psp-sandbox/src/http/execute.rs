//! The idempotency layer and what it guards.

use std::sync::Arc;

use super::answer::Answer;
use super::api::Call;
use super::command::Command;
use super::expand::expand;
use super::refusal::{key_in_use, key_reused, unavailable};
use crate::config::Behaviour;
use crate::core::{Core, SharedWorld, locked};
use crate::fault::Executes;
use crate::model::event::{Snapshot, Stored};
use crate::model::{IntentStatus, SessionStatus};
use crate::render::Renderer;
use crate::store::Commit;
use crate::wire::ApiError;
use crate::world::{Lookup, Saved, SavedBody, StoredBody, StoredKey, Surroundings, Tx, World};

/// A key held in flight; it is freed unless its call left an answer.
pub struct Claim(Option<(SharedWorld, Arc<str>)>);

impl Claim {
    /// Takes the key of a call, or gives the answer it has already.
    pub fn take(core: &Core, call: &Call) -> Result<Self, Answer> {
        let Some(key) = &call.key else {
            return Ok(Self(None));
        };
        let ttl_ms = ttl_ms(&core.behaviour());
        let mut world = locked(&call.world);
        let found = world.keys().look_up(key, call.fingerprint, core.now_ms(), ttl_ms);
        if let Some(answer) = known(core, found, &call.renderer(core)) {
            return Err(answer);
        }
        world.keys().claim(key);
        Ok(Self(Some((Arc::clone(&call.world), Arc::clone(key)))))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some((world, key)) = self.0.take() {
            locked(&world).keys().release(&key);
        }
    }
}

fn ttl_ms(behaviour: &Behaviour) -> i64 {
    i64::from(behaviour.idempotency_ttl_seconds) * 1000
}

/// The answer to a key that is not fresh.
fn known(core: &Core, found: Lookup, renderer: &Renderer<'_>) -> Option<Answer> {
    match found {
        Lookup::Fresh => None,
        Lookup::InFlight => Some(Answer::error(&key_in_use(), renderer)),
        Lookup::Mismatch => Some(Answer::error(&key_reused(), renderer)),
        Lookup::Replay(saved) => {
            core.stats.replayed();
            Some(replay(saved, renderer))
        }
    }
}

fn replay(saved: Saved, renderer: &Renderer<'_>) -> Answer {
    let body = match &saved.body {
        SavedBody::Object(snapshot) => renderer.json(snapshot),
        SavedBody::Text(text) => text.as_bytes().to_vec(),
    };
    Answer { original: Some(saved.request), ..Answer::new(saved.status, body) }
}

/// What executing needs.
pub struct Work<'a> {
    /// The sandbox.
    pub core: &'a Core,
    /// How the account's objects are rendered.
    pub renderer: &'a Renderer<'a>,
    /// What to expand.
    pub expand: &'a [String],
    /// The idempotency key.
    pub key: Option<&'a Arc<str>>,
    /// What is asked.
    pub fingerprint: u128,
    /// The request.
    pub request: &'a Arc<str>,
    /// What is done of a call that answers a saved 500.
    pub executes: Option<Executes>,
}

/// A body before it is bytes.
enum Reply {
    Object(Stored, Snapshot),
    Text(Vec<u8>),
}

impl Work<'_> {
    /// Does it once: decides, writes what changed together with the answer, and only then answers.
    pub fn execute(&self, shared: &SharedWorld, command: Result<Command, ApiError>, claimed: bool) -> Answer {
        let behaviour = self.core.behaviour();
        let endpoints = self.core.dispatcher.endpoints();
        let around = Surroundings {
            request: Some(Arc::clone(self.request)),
            idempotency_key: self.key.map(Arc::clone),
            ..self.core.surroundings(&behaviour, &endpoints)
        };
        let now_ms = around.now_ms;
        let mut world = locked(shared);
        if world.retired {
            return Answer::error(&unavailable(), self.renderer);
        }
        if let Some(key) = self.key.filter(|_| !claimed) {
            let ttl_ms = ttl_ms(&behaviour);
            let found = world.keys().look_up(key, self.fingerprint, now_ms, ttl_ms);
            if let Some(answer) = known(self.core, found, self.renderer) {
                return answer;
            }
        }
        let command = match command {
            Ok(command) => command,
            Err(error) => return Answer::error(&error, self.renderer),
        };
        let mut tx = Tx::new(&world, around);
        let outcome = match self.executes {
            Some(Executes::Nothing) => Err(ApiError::internal()),
            Some(Executes::Created) => command.created_only().run(&mut tx),
            Some(Executes::All) | None => command.run(&mut tx),
        };
        let mut commit = tx.finish();
        let applied = world.apply(&commit, behaviour.events_kept);
        let (status, reply) = match applied.and_then(|()| self.reply(&world, outcome)) {
            Ok(reply) => reply,
            Err(error) => {
                tracing::error!(error, "a call contradicts its account");
                return Answer::error(&ApiError::internal(), self.renderer);
            }
        };
        if let Err(answer) = self.write(&mut world, &mut commit, status, &reply, now_ms) {
            return answer;
        }
        let index = world.index;
        drop(world);
        self.core.send_events(index, &commit, &behaviour);
        let body = match reply {
            Reply::Object(_, snapshot) => self.renderer.json(&snapshot),
            Reply::Text(text) => text,
        };
        Answer::new(status, body)
    }

    /// The status and body of an outcome.
    fn reply(&self, world: &World, outcome: Result<Stored, ApiError>) -> Result<(u16, Reply), String> {
        if self.executes.is_some() {
            let error = ApiError::internal();
            return Ok((error.status, Reply::Text(error.json(self.renderer))));
        }
        let stored = match outcome {
            Ok(stored) => stored,
            Err(error) => return Ok((error.status, Reply::Text(error.json(self.renderer)))),
        };
        let snapshot = world.resolve(&stored)?;
        // Where to authenticate or pay depends on where the sandbox listens, which a restart may change.
        let fixed = match &snapshot {
            Snapshot::Intent(intent) => intent.status != IntentStatus::RequiresAction,
            Snapshot::Session(session) => session.status != SessionStatus::Open,
            _ => true,
        };
        if fixed && self.expand.is_empty() {
            return Ok((200, Reply::Object(stored, snapshot)));
        }
        let body = self.renderer.json(&snapshot);
        match expand(self.core, world, body, self.expand) {
            Ok(body) => Ok((200, Reply::Text(body))),
            Err(error) => Ok((error.status, Reply::Text(error.json(self.renderer)))),
        }
    }

    /// Writes what changed and the answer to it as one, and only then lets the answer go.
    fn write(
        &self,
        world: &mut World,
        commit: &mut Commit,
        status: u16,
        reply: &Reply,
        created_ms: i64,
    ) -> Result<(), Answer> {
        commit.key = self.key.map(|key| StoredKey {
            key: Arc::clone(key),
            fingerprint: self.fingerprint,
            created_ms,
            status,
            request: Arc::clone(self.request),
            body: match reply {
                Reply::Object(stored, _) => StoredBody::Object(stored.clone()),
                Reply::Text(text) => StoredBody::Text(String::from_utf8_lossy(text).into()),
            },
        });
        let refused = |_| Answer::error(&unavailable(), self.renderer);
        self.core.store.commit(world.index, commit).map_err(refused)?;
        match &commit.key {
            None => Ok(()),
            Some(key) => {
                world.apply_key(key).map_err(|_| Answer::error(&ApiError::internal(), self.renderer))
            }
        }
    }
}
