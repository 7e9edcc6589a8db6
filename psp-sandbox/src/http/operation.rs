//! The calls of the API.

use axum::http::Method;

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident = $text:literal),+ $(,)?) => {
        /// A call of the API.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Operation {
            $(#[doc = concat!("`", $text, "`")] $name),+
        }

        impl Operation {
            /// All of them, in order of their numbers.
            pub const ALL: [Self; [$($text),+].len()] = [$(Self::$name),+];

            /// Its name for faults and statistics.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }
        }
    };
}

operations! {
    IntentsCreate = "payment_intents.create",
    IntentsUpdate = "payment_intents.update",
    IntentsConfirm = "payment_intents.confirm",
    IntentsCapture = "payment_intents.capture",
    IntentsCancel = "payment_intents.cancel",
    IntentsRetrieve = "payment_intents.retrieve",
    IntentsList = "payment_intents.list",
    IntentsSearch = "payment_intents.search",
    SessionsCreate = "checkout.sessions.create",
    SessionsRetrieve = "checkout.sessions.retrieve",
    SessionsExpire = "checkout.sessions.expire",
    RefundsCreate = "refunds.create",
    RefundsRetrieve = "refunds.retrieve",
    RefundsList = "refunds.list",
    DisputesUpdate = "disputes.update",
    DisputesClose = "disputes.close",
    DisputesRetrieve = "disputes.retrieve",
    DisputesList = "disputes.list",
    ChargesRetrieve = "charges.retrieve",
    EventsRetrieve = "events.retrieve",
    EventsList = "events.list",
    TransactionsRetrieve = "balance_transactions.retrieve",
    TransactionsList = "balance_transactions.list",
    PayoutsCreate = "payouts.create",
    PayoutsRetrieve = "payouts.retrieve",
    PayoutsList = "payouts.list",
    AccountRetrieve = "account.retrieve",
}

impl Operation {
    /// The call a request line means, and the id in its path.
    pub fn route<'a>(method: &Method, path: &'a str) -> Option<(Self, &'a str)> {
        let mut parts = path.strip_prefix("/v1/")?.trim_end_matches('/').splitn(3, '/');
        let resource = parts.next()?;
        let id = parts.next().unwrap_or_default();
        let action = parts.next().unwrap_or_default();
        if (resource, id) == ("checkout", "sessions") {
            return Self::of_session(method, action);
        }
        let operation = match (method.as_str(), resource, id, action) {
            ("POST", "payment_intents", "", "") => Self::IntentsCreate,
            ("GET", "payment_intents", "", "") => Self::IntentsList,
            ("GET", "payment_intents", "search", "") => Self::IntentsSearch,
            ("GET", "payment_intents", _, "") => Self::IntentsRetrieve,
            ("POST", "payment_intents", _, "") => Self::IntentsUpdate,
            ("POST", "payment_intents", _, "confirm") => Self::IntentsConfirm,
            ("POST", "payment_intents", _, "capture") => Self::IntentsCapture,
            ("POST", "payment_intents", _, "cancel") => Self::IntentsCancel,
            ("POST", "refunds", "", "") => Self::RefundsCreate,
            ("GET", "refunds", "", "") => Self::RefundsList,
            ("GET", "refunds", _, "") => Self::RefundsRetrieve,
            ("GET", "disputes", "", "") => Self::DisputesList,
            ("GET", "disputes", _, "") => Self::DisputesRetrieve,
            ("POST", "disputes", id, "") if !id.is_empty() => Self::DisputesUpdate,
            ("POST", "disputes", _, "close") => Self::DisputesClose,
            ("GET", "charges", id, "") if !id.is_empty() => Self::ChargesRetrieve,
            ("GET", "events", "", "") => Self::EventsList,
            ("GET", "events", _, "") => Self::EventsRetrieve,
            ("GET", "balance_transactions", "", "") => Self::TransactionsList,
            ("GET", "balance_transactions", _, "") => Self::TransactionsRetrieve,
            ("POST", "payouts", "", "") => Self::PayoutsCreate,
            ("GET", "payouts", "", "") => Self::PayoutsList,
            ("GET", "payouts", _, "") => Self::PayoutsRetrieve,
            ("GET", "account", "", "") => Self::AccountRetrieve,
            _ => return None,
        };
        Some((operation, id))
    }

    /// A call under `/v1/checkout/sessions`, by what follows that.
    fn of_session<'a>(method: &Method, rest: &'a str) -> Option<(Self, &'a str)> {
        let (id, action) = rest.split_once('/').unwrap_or((rest, ""));
        let operation = match (method.as_str(), id, action) {
            ("POST", "", "") => Self::SessionsCreate,
            ("GET", id, "") if !id.is_empty() => Self::SessionsRetrieve,
            ("POST", _, "expire") => Self::SessionsExpire,
            _ => return None,
        };
        Some((operation, id))
    }

    /// Whether it reads only.
    pub const fn reads(self) -> bool {
        !matches!(
            self,
            Self::IntentsCreate
                | Self::IntentsUpdate
                | Self::IntentsConfirm
                | Self::IntentsCapture
                | Self::IntentsCancel
                | Self::SessionsCreate
                | Self::SessionsExpire
                | Self::RefundsCreate
                | Self::DisputesUpdate
                | Self::DisputesClose
                | Self::PayoutsCreate
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_lines_lead_to_their_operations() {
        for (method, path, expected) in [
            (Method::POST, "/v1/payment_intents", Some((Operation::IntentsCreate, ""))),
            (Method::GET, "/v1/payment_intents/search", Some((Operation::IntentsSearch, "search"))),
            (Method::GET, "/v1/payment_intents/pi_1", Some((Operation::IntentsRetrieve, "pi_1"))),
            (Method::POST, "/v1/payment_intents/pi_1/confirm", Some((Operation::IntentsConfirm, "pi_1"))),
            (Method::POST, "/v1/payment_intents/pi_1/explode", None),
            (Method::POST, "/v1/checkout/sessions", Some((Operation::SessionsCreate, ""))),
            (Method::GET, "/v1/checkout/sessions/cs_1", Some((Operation::SessionsRetrieve, "cs_1"))),
            (Method::POST, "/v1/checkout/sessions/cs_1/expire", Some((Operation::SessionsExpire, "cs_1"))),
            (Method::GET, "/v1/checkout/sessions", None),
            (Method::DELETE, "/v1/payment_intents/pi_1", None),
            (Method::GET, "/v2/payment_intents", None),
        ] {
            assert_eq!(Operation::route(&method, path), expected, "{method} {path}");
        }
        for (number, operation) in Operation::ALL.into_iter().enumerate() {
            assert_eq!(operation as usize, number);
        }
    }
}
