//! Tokens: who may ask what. The server keeps only hashes, and compares them in constant time.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::num::NonZeroU32;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::scope::Scope;
use crate::settings::{TokenSettings, parse_hash};

/// Name of the token, and of its file in the work folder, if the configuration has none.
const DEFAULT: &str = "server.token";
/// Longest token that is accepted, in bytes.
const LONGEST: u64 = 4096;
/// Fewest bytes of a token in a file: shorter ones can be guessed.
const SHORTEST: usize = 16;
/// Bits of a file's mode that let others than its owner and group do something.
const OF_OTHERS: u32 = 0o007;

/// A token that is known.
#[derive(Debug)]
pub(crate) struct Token {
    /// Name in the configuration, which logs may have.
    pub(crate) name: String,
    hash: [u8; 32],
    scopes: Vec<Scope>,
    limiter: Option<DefaultDirectRateLimiter>,
}

impl Token {
    /// Returns whether the token opens that part of the server.
    pub(crate) fn opens(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// Counts a request; returns whether it is within the rate.
    pub(crate) fn admits(&self) -> bool {
        self.limiter.as_ref().is_none_or(|limiter| limiter.check().is_ok())
    }
}

/// All tokens that clients may use.
#[derive(Debug)]
pub struct Tokens {
    tokens: Vec<Token>,
    /// File of the token that is used if the configuration has none.
    made: Option<PathBuf>,
}

impl Tokens {
    /// Reads the tokens of the configuration. If it has none, reads the token in the work folder, which is made if it is missing. `rate` is
    /// the number of requests that each may make in a second; 0: no limit.
    ///
    /// # Errors
    /// A file can't be read or made, others may read it, or its content is no token: a sentence.
    pub fn load(
        settings: &BTreeMap<String, TokenSettings>,
        workdir: &Path,
        rate: u32,
    ) -> Result<Self, String> {
        let limiter = || Some(RateLimiter::direct(Quota::per_second(NonZeroU32::new(rate)?)));
        let token = |name: &str, hash, scopes: &[Scope]| Token {
            name: name.to_owned(),
            hash,
            scopes: scopes.to_vec(),
            limiter: limiter(),
        };
        if settings.is_empty() {
            let file = workdir.join(DEFAULT);
            make(&file)?;
            let tokens = vec![token("default", read(&file)?, &Scope::ALL)];
            return Ok(Self { tokens, made: Some(file) });
        }
        let tokens = settings.iter().map(|(name, settings)| {
            let hash = match parse_hash(&settings.sha256) {
                Some(hash) => hash,
                None => read(&settings.file)?,
            };
            Ok(token(name, hash, &settings.scopes))
        });
        Ok(Self { tokens: tokens.collect::<Result<_, String>>()?, made: None })
    }

    /// Returns the file of the token that is used because the configuration has none.
    pub fn default_file(&self) -> Option<&Path> {
        self.made.as_deref()
    }

    /// Returns the token that a client has sent. All known ones are compared, and each in the same time.
    pub(crate) fn find(&self, sent: &[u8]) -> Option<&Token> {
        let hash: [u8; 32] = Sha256::digest(sent).into();
        let mut found = None;
        for token in &self.tokens {
            if bool::from(token.hash.ct_eq(&hash)) {
                found = Some(token);
            }
        }
        found
    }
}

/// Makes the file with a new token, which only its owner may read, unless there is a file.
fn make(file: &Path) -> Result<(), String> {
    let mut options = OpenOptions::new();
    match options.write(true).create_new(true).mode(0o600).open(file) {
        Ok(mut file) => {
            let token: [u8; 32] = rand::random();
            writeln!(file, "{}", model::text::hex(&token))
        }
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(cause) => Err(cause),
    }
    .map_err(|cause| {
        format!(
            "no token is configured, and none can be made in {}: {cause}; start the server once as the agent's user, or set \
             server.tokens.NAME.file or server.tokens.NAME.sha256",
            file.display()
        )
    })
}

/// Returns the hash of the token in a file.
fn read(path: &Path) -> Result<[u8; 32], String> {
    let failed =
        |cause: &dyn std::fmt::Display| format!("the token in {} can't be used: {cause}", path.display());
    let file = File::open(path).map_err(|cause| failed(&cause))?;
    let found = file.metadata().map_err(|cause| failed(&cause))?;
    model::trusted::trusted_file(path, &found).map_err(|cause| failed(&cause))?;
    if found.mode() & OF_OTHERS != 0 {
        return Err(failed(&format!(
            "others may read the file (mode {:o}): chmod 600",
            found.mode() & 0o7777
        )));
    }
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text).map_err(|cause| failed(&cause))?;
    let token = text.trim();
    if token.len() < SHORTEST || token.contains(char::is_whitespace) {
        return Err(failed(&format!("expected one line of at least {SHORTEST} characters without spaces")));
    }
    Ok(Sha256::digest(token.as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn load(folder: &Path, rate: u32) -> Tokens {
        Tokens::load(&BTreeMap::new(), folder, rate).unwrap()
    }

    #[test]
    fn a_token_is_made_once_and_only_its_owner_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = load(folder.path(), 0);
        let file = tokens.default_file().unwrap().to_owned();
        assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600);
        let text = fs::read_to_string(&file).unwrap();
        assert_eq!(text.trim().len(), 64);
        for tokens in [tokens, load(folder.path(), 0)] {
            let token = tokens.find(text.trim().as_bytes()).unwrap();
            assert!(Scope::ALL.iter().all(|scope| token.opens(*scope)));
            assert!(tokens.find(b"").is_none() && tokens.find(text.as_bytes()).is_none());
        }
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let refused = Tokens::load(&BTreeMap::new(), folder.path(), 0).unwrap_err();
        assert!(refused.contains("chmod 600"), "{refused}");
    }

    #[test]
    fn a_token_of_the_configuration_opens_what_its_scopes_name() {
        let folder = tempfile::tempdir().unwrap();
        let hash = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
        let settings = TokenSettings { sha256: hash.into(), scopes: vec![Scope::Sql], ..Default::default() };
        let settings = BTreeMap::from([("one".to_owned(), settings)]);
        let tokens = Tokens::load(&settings, folder.path(), 1).unwrap();
        let token = tokens.find(b"secret").unwrap();
        assert!(token.opens(Scope::Sql) && !token.opens(Scope::Rows));
        assert!(token.admits() && !token.admits(), "one request a second");
        assert!(!folder.path().join(DEFAULT).exists());
    }
}
