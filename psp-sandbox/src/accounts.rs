//! Which account an API key belongs to.
//!
//! A key never seen before opens an account of its own. A key may also be added to an account that exists, as when a
//! merchant replaces its secret, and any key may be revoked. Keys are remembered by the id of the account they would open:
//! a digest, so that no secret is written to the journal.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::core::{SharedWorld, locked};

/// The longest key that is taken.
pub const KEY_LIMIT: usize = 255;

/// Why a key leads to no account.
#[derive(Debug)]
pub enum NoAccount {
    /// It was revoked.
    Revoked,
    /// There are as many accounts as there may be.
    Full,
    /// A new account cannot be written down.
    Unwritten,
}

/// Why a key cannot be added to an account.
#[derive(Debug)]
pub enum NotAdded {
    /// There is no such account.
    NoSuchAccount,
    /// A live key for a test account, or the reverse.
    OtherMode,
    /// It belongs to this account.
    Taken(Box<str>),
    /// There are as many keys as there may be.
    Full,
    /// It cannot be written down.
    Unwritten(io::Error),
}

/// All accounts, and the keys that lead to them.
#[derive(Default)]
pub struct Accounts {
    /// What was found before, to be quick.
    by_key: HashMap<Box<str>, SharedWorld>,
    by_account: HashMap<Box<str>, SharedWorld>,
    /// By digest: the account a key was added to, or none when it was revoked.
    changed: BTreeMap<Box<str>, Option<u32>>,
    all: Vec<SharedWorld>,
}

impl Accounts {
    /// Every account, by position.
    pub fn all(&self) -> &[SharedWorld] {
        &self.all
    }

    /// The account at a position.
    pub fn at(&self, index: u32) -> Option<&SharedWorld> {
        self.all.get(usize::try_from(index).ok()?)
    }

    /// The next account's position.
    pub fn next_index(&self) -> u32 {
        u32::try_from(self.all.len()).unwrap_or(u32::MAX)
    }

    /// An account that came to be.
    pub fn insert(&mut self, world: SharedWorld) {
        let account = locked(&world).account.clone();
        self.by_account.insert(account, Arc::clone(&world));
        self.all.push(world);
    }

    /// The account that was found for this very key before.
    pub fn remembered(&self, key: &str) -> Option<&SharedWorld> {
        self.by_key.get(key)
    }

    /// The account of a key, if there is one yet.
    pub fn find(&mut self, key: &str) -> Result<Option<SharedWorld>, NoAccount> {
        let digest = account_of(key);
        let found = match self.changed.get(digest.as_str()) {
            Some(None) => return Err(NoAccount::Revoked),
            Some(Some(index)) => self.at(*index).cloned(),
            None => self.by_account.get(digest.as_str()).cloned(),
        };
        if let Some(world) = &found {
            self.by_key.insert(key.into(), Arc::clone(world));
        }
        Ok(found)
    }

    /// The position of the account that a key may be added to.
    pub fn may_add(&self, key: &str, account: &str, most: usize) -> Result<u32, NotAdded> {
        let world = self.by_account.get(account).ok_or(NotAdded::NoSuchAccount)?;
        let (index, livemode) = {
            let world = locked(world);
            (world.index, world.livemode)
        };
        if livemode != is_live(key) {
            return Err(NotAdded::OtherMode);
        }
        let digest = account_of(key);
        let added = self.changed.get(digest.as_str()).copied().flatten().and_then(|index| self.at(index));
        let owner = self.by_account.get(digest.as_str()).or(added).map(|world| locked(world).account.clone());
        match owner {
            Some(owner) if &*owner != account => Err(NotAdded::Taken(owner)),
            None if self.changed.len() >= most => Err(NotAdded::Full),
            _ => Ok(index),
        }
    }

    /// Whether a key may be revoked: one that leads somewhere.
    pub fn may_revoke(&self, key: &str) -> bool {
        let digest = account_of(key);
        let own = self.by_account.contains_key(digest.as_str());
        self.changed.get(digest.as_str()).map_or(own, Option::is_some)
    }

    /// A key, by its digest, was added to an account or revoked.
    pub fn change(&mut self, digest: &str, to: Option<u32>) {
        self.by_key.retain(|key, _| account_of(key) != digest);
        self.changed.insert(digest.into(), to);
    }

    /// Every key that was added or revoked, by digest.
    pub fn changed(&self) -> impl Iterator<Item = (&str, Option<u32>)> {
        self.changed.iter().map(|(digest, to)| (&**digest, *to))
    }
}

/// The account that a key opens, unless it was added to another.
pub fn account_of(key: &str) -> String {
    let digest = Sha256::digest(key.as_bytes());
    format!("acct_1{}", &hex::encode(digest)[..15])
}

/// Whether a key is for real money.
pub fn is_live(key: &str) -> bool {
    key.starts_with("sk_live_") || key.starts_with("rk_live_")
}

/// Whether a text can be a secret key.
pub fn is_key(text: &str) -> bool {
    let known = ["sk_test_", "sk_live_", "rk_test_", "rk_live_"];
    text.len() <= KEY_LIMIT && known.iter().any(|it| text.starts_with(it))
}
