//! Settings of the server (`[server]`).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use model::{Period, Problem, Size};
use serde::{Deserialize, Serialize};

use crate::address::Address;
use crate::scope::Scope;

/// Settings of the server (`[server]`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerSettings {
    /// Address to listen on: `HOST:PORT` or `unix:PATH`.
    pub listen: String,
    /// User that the server runs as if root starts it.
    pub user: String,
    /// Number of connections at the same time. Further ones wait.
    pub max_connections: u32,
    /// Largest body of a request.
    pub max_body: Size,
    /// Time in which a client has to send a request, and to take a part of an answer.
    pub slow_client: Period,
    /// Number of questions that are answered at the same time; 0: one for each processor.
    pub parallel: u32,
    /// Number of questions that wait for others. Further ones are refused.
    pub waiting: u32,
    /// Longest time for a question, without the time in which its answer is sent.
    pub timeout: Period,
    /// Most memory that statements of SQL take together.
    pub sql_memory: Size,
    /// Number of requests that each token may make in a second; 0: no limit.
    pub rate: u32,
    /// Tokens, by name.
    pub tokens: BTreeMap<String, TokenSettings>,
}

/// A token that clients may use (`[server.tokens.NAME]`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenSettings {
    /// File that has the token; empty: `sha256` has its hash.
    pub file: PathBuf,
    /// The SHA-256 hash of the token, as hex.
    pub sha256: String,
    /// Parts of the server that the token opens.
    pub scopes: Vec<Scope>,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8120".to_owned(),
            user: "nobody".to_owned(),
            max_connections: 256,
            max_body: Size(1 << 20),
            slow_client: Period(Duration::from_secs(10)),
            parallel: 0,
            waiting: 64,
            timeout: Period(Duration::from_secs(30)),
            sql_memory: Size(256 << 20),
            rate: 1000,
            tokens: BTreeMap::new(),
        }
    }
}

impl Default for TokenSettings {
    fn default() -> Self {
        Self { file: PathBuf::new(), sha256: String::new(), scopes: Scope::ALL.to_vec() }
    }
}

impl ServerSettings {
    /// Returns the problems of the section `section`.
    pub fn validate(&self, section: &str) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut check = |is_valid: bool, key: &str, message: &str| {
            if !is_valid {
                problems.push(Problem::new(format!("{section}.{key}"), message));
            }
        };
        check(!self.user.is_empty(), "user", "must be the name or the number of a user");
        check((1..=65_536).contains(&self.max_connections), "max_connections", "must be 1 to 65536");
        check((1..=64 << 20).contains(&self.max_body.0), "max_body", "must be 1B to 64MiB");
        let is_patient = |period: Period| (1..=3600).contains(&period.0.as_secs());
        check(is_patient(self.slow_client), "slow_client", "must be 1s to 1h");
        check(is_patient(self.timeout), "timeout", "must be 1s to 1h");
        check(self.parallel <= 256, "parallel", "must be at most 256");
        check(self.waiting <= 65_536, "waiting", "must be at most 65536");
        check(self.sql_memory.0 >= 8 << 20, "sql_memory", "must be at least 8MiB");
        if let Err(why) = Address::parse(&self.listen) {
            problems.push(Problem::new(format!("{section}.listen"), why));
        }
        for (name, token) in &self.tokens {
            problems.extend(
                token.problem().map(|(key, why)| Problem::new(format!("{section}.tokens.{name}.{key}"), why)),
            );
        }
        problems
    }
}

impl TokenSettings {
    /// Returns the key that is wrong, and why.
    fn problem(&self) -> Option<(&'static str, String)> {
        let has_file = !self.file.as_os_str().is_empty();
        if has_file != self.sha256.is_empty() {
            return Some((
                "sha256",
                "set either file or sha256, the hash that `printf %s TOKEN | sha256sum` prints".to_owned(),
            ));
        }
        if !has_file && parse_hash(&self.sha256).is_none() {
            return Some((
                "sha256",
                "must be 64 hexadecimal digits, as `printf %s TOKEN | sha256sum` prints them".to_owned(),
            ));
        }
        self.scopes.is_empty().then(|| ("scopes", format!("must name at least one of {}", Scope::names())))
    }
}

/// Returns the hash that a text of 64 hexadecimal digits is.
pub(crate) fn parse_hash(text: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (at, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(settings: &ServerSettings) -> Vec<String> {
        settings.validate("server").into_iter().map(|problem| problem.key).collect()
    }

    #[test]
    fn wrong_settings_are_named() {
        assert!(keys(&ServerSettings::default()).is_empty());
        let wrong = ServerSettings {
            listen: "here".into(),
            user: String::new(),
            max_connections: 0,
            timeout: Period(Duration::ZERO),
            ..Default::default()
        };
        assert_eq!(
            keys(&wrong),
            ["server.user", "server.max_connections", "server.timeout", "server.listen"]
        );
    }

    #[test]
    fn a_token_has_a_file_or_a_hash_and_a_scope() {
        let with = |token: TokenSettings| {
            let tokens = BTreeMap::from([("x".to_owned(), token)]);
            keys(&ServerSettings { tokens, ..Default::default() })
        };
        let hash = "ab".repeat(32);
        assert!(with(TokenSettings { sha256: hash.clone(), ..Default::default() }).is_empty());
        assert!(with(TokenSettings { file: "/t".into(), ..Default::default() }).is_empty());
        for wrong in [
            TokenSettings::default(),
            TokenSettings { file: "/t".into(), sha256: hash.clone(), ..Default::default() },
            TokenSettings { sha256: "secret".into(), ..Default::default() },
        ] {
            assert_eq!(with(wrong), ["server.tokens.x.sha256"]);
        }
        let none = TokenSettings { sha256: hash, scopes: Vec::new(), ..Default::default() };
        assert_eq!(with(none), ["server.tokens.x.scopes"]);
    }
}
