//! Names, ids, currencies, amounts and places in lists: what is read from a path, a query or a field.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use money::{Currency, Money, OperationId, OrderId, PaymentId, SellerId};
use payment_service::operation::OperationCursor;
use payment_service::psp::{Psp, PspReference};

/// What can be read is written so that it is read alike.
pub(crate) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    same::<Currency>(&text);
    same::<OperationId>(&text);
    same::<PaymentId>(&text);
    same::<OrderId>(&text);
    same::<SellerId>(&text);
    same::<OperationCursor>(&text);
    if let Ok(reference) = PspReference::parse(&text) {
        assert_eq!(reference.as_str(), text);
    }
    let (amount, currency) = data.split_at(data.len().min(8));
    let amount = amount.iter().fold(0_i64, |amount, byte| (amount << 8) | i64::from(*byte));
    if let Some(money) = Psp::Stripe.read_amount(amount, &String::from_utf8_lossy(currency)) {
        assert!(Psp::Stripe.validate_amount(Money { minor: 0, ..money }).is_err());
        let _any = Psp::Stripe.validate_amount(money);
    }
}

fn same<T: FromStr + Display + Debug + PartialEq>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        let again = value.to_string().parse::<T>().ok();
        assert_eq!(again.as_ref(), Some(&value), "{text:?}");
    }
}
