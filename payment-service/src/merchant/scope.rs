//! What an API key may do.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// One thing that an API key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Scope {
    /// Create, change and read payments.
    Payments = 1,
    /// Read wallets and the ledger.
    FinanceRead = 1 << 1,
    /// Move money between wallets and to banks.
    FinanceWrite = 1 << 2,
    /// Set up the webhooks that the merchant receives.
    Webhooks = 1 << 3,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Payments, Self::FinanceRead, Self::FinanceWrite, Self::Webhooks];

    /// As it stands in the database and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Payments => "payments",
            Self::FinanceRead => "finance_read",
            Self::FinanceWrite => "finance_write",
            Self::Webhooks => "webhooks",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected payments, finance_read, finance_write or webhooks, found {0:?}")]
pub struct UnknownScope(String);

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or_else(|| UnknownScope(text.to_owned()))
    }
}

/// A set of scopes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scopes(u8);

impl Scopes {
    /// Whether the scope is in the set.
    pub const fn contains(self, scope: Scope) -> bool {
        self.0 & scope as u8 != 0
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those in the set, in their fixed order.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.contains(*scope))
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |set, scope| set | scope as u8))
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for scope in self.iter() {
            write!(f, "{separator}{scope}")?;
            separator = ",";
        }
        Ok(())
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scopes({self})")
    }
}

impl Serialize for Scopes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Scope::as_str))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in_and_nothing_else() {
        let set = Scopes::from_iter([Scope::FinanceRead, Scope::Payments, Scope::Payments]);
        assert_eq!(set.to_string(), "payments,finance_read");
        for scope in Scope::ALL {
            assert_eq!(set.contains(scope), matches!(scope, Scope::Payments | Scope::FinanceRead));
            assert_eq!(scope.as_str().parse(), Ok(scope));
        }
        assert!(Scopes::from_iter([]).is_empty());
        assert!("admin".parse::<Scope>().is_err());
    }
}
